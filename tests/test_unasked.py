"""An error that nobody asks for is reported, soon, and once."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import TYPE_CHECKING, NoReturn

import pytest

from joinable import Task, Thread, spawn
from joinable import _runtime as runtime
from joinable import _unasked as unasked
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator


class BoomError(Exception):
    """What the calls of these tests raise."""


def boom() -> NoReturn:
    raise BoomError


class Hook:
    """Stand in for `threading.excepthook`; remembers what it was given, and by which thread."""

    def __init__(self) -> None:
        self.reports: list[threading.ExceptHookArgs] = []
        self.threads: list[str] = []
        self.called = threading.Semaphore(0)

    def __call__(self, arguments: threading.ExceptHookArgs) -> None:
        self.reports.append(arguments)
        self.threads.append(threading.current_thread().name)
        self.called.release()

    def wait(self) -> None:
        assert self.called.acquire(timeout=30), "the error was not reported"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Hook:
    hook = Hook()
    monkeypatch.setattr(threading, "excepthook", hook)
    return hook


@pytest.fixture
def watch(hook: Hook) -> Generator[unasked._Watch]:
    """Start from nothing, and end the reporting thread of the test before going back."""
    del hook  # it must be there before, and still be there when the rest is reported
    finish, restore = unasked.renew()
    yield unasked._watch
    finish()
    restore()


def settle() -> None:
    """Make the reporting thread look at everything that is due or collected by now."""
    gc.collect()
    marker = Quick(target=boom, name="marker")
    marker.start()
    marker.join()


class Quick(Thread[object]):
    report_after = 0.01


class Immediate(Thread[object]):
    report_after = 0


class Patient(Thread[object]):
    report_after = None


def started(kind: type[Thread[object]], name: str = "failing") -> Thread[object]:
    thread = kind(target=boom, name=name)
    thread.start()
    thread.join()
    return thread


def forgotten(kind: type[Thread[object]], name: str = "failing") -> None:
    """Start one that fails, and keep no handle on it."""
    _ = started(kind, name)


def test_it_is_reported_when_its_time_is_up_though_the_handle_is_kept(hook: Hook) -> None:
    thread = started(Quick)
    hook.wait()
    (report,) = hook.reports
    assert report.exc_type is BoomError
    assert report.exc_value is thread.exception()
    assert report.thread is thread
    assert report.exc_traceback is not None
    assert report.exc_traceback.tb_frame.f_code is boom.__code__
    assert hook.threads == ["joinable-reports"]


def test_it_is_reported_when_the_thread_is_collected(hook: Hook) -> None:
    forgotten(Patient)
    gc.collect()
    hook.wait()
    assert [report.exc_type for report in hook.reports] == [BoomError]
    thread = hook.reports[0].thread
    assert thread is not None
    assert thread.name == "failing"


def test_it_is_reported_once_though_every_occasion_comes(hook: Hook) -> None:
    thread = started(Quick)
    hook.wait()
    del thread
    hook.reports.clear()  # lets go of the thread
    settle()
    hook.wait()
    assert [report.thread and report.thread.name for report in hook.reports] == ["marker"]


def test_after_no_time_it_is_reported_by_the_thread_itself(hook: Hook) -> None:
    thread = started(Immediate)
    assert hook.threads == ["failing"]
    assert hook.reports[0].thread is thread


@pytest.mark.parametrize("ask", ["result", "exception", "callback"])
def test_what_was_asked_for_is_not_reported(ask: str, hook: Hook) -> None:
    thread = Patient(target=boom)
    if ask == "callback":
        thread.add_done_callback(lambda _: None)
    thread.start()
    thread.join()
    if ask == "result":
        with pytest.raises(BoomError):
            thread.result()
    if ask == "exception":
        assert isinstance(thread.exception(), BoomError)
    del thread
    settle()
    hook.wait()
    assert [report.thread and report.thread.name for report in hook.reports] == ["marker"]


def test_asked_for_after_the_report_it_is_raised_all_the_same(hook: Hook) -> None:
    thread = started(Immediate)
    hook.wait()
    with pytest.raises(BoomError):
        thread.result()


def test_join_and_wait_do_not_count_as_asking(hook: Hook) -> None:
    thread = started(Quick)
    thread.join()
    assert thread.done()
    hook.wait()
    assert len(hook.reports) == 1


def test_a_question_that_timed_out_does_not_count_as_asking(hook: Hook) -> None:
    gate = threading.Event()

    def fail_later() -> NoReturn:
        gate.wait()
        raise BoomError

    thread = Quick(target=fail_later)
    thread.start()
    with pytest.raises(TimeoutError):
        thread.result(timeout=0)
    gate.set()
    hook.wait()
    assert len(hook.reports) == 1


def test_a_waiter_interrupted_as_the_error_comes_leaves_it_to_the_hook(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Force it: 1. the finisher takes the latch and counts on the waiter, 2. Ctrl-C, 3. it goes."""
    task = Task[int]()
    task.report_after = 0

    def acquire(*_: object) -> bool:
        task.set_exception(BoomError())
        assert not hook.reports
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runtime, "acquire", acquire)
        task.result()
    assert [report.exc_type for report in hook.reports] == [BoomError]


def test_system_exit_goes_to_the_hook_too_which_ignores_it(hook: Hook) -> None:
    def leave() -> NoReturn:
        raise SystemExit

    thread = Immediate(target=leave)
    thread.start()
    thread.join()
    assert [report.exc_type for report in hook.reports] == [SystemExit]


def test_a_failing_hook_is_told_of_and_does_not_cost_the_other_reports(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    done = threading.Event()
    trouble: list[str] = []
    told = threading.Semaphore(0)

    def failing(arguments: threading.ExceptHookArgs) -> None:
        assert arguments.thread is not None
        seen.append(arguments.thread.name)
        if len(seen) == 2:
            done.set()
        raise RuntimeError("the hook is broken")

    def remember(kind: type[BaseException], error: BaseException, _: object) -> None:
        trouble.append(f"{kind.__name__}: {error}")
        told.release()

    monkeypatch.setattr(threading, "excepthook", failing)
    monkeypatch.setattr(sys, "excepthook", remember)
    kept = [started(Quick, "one"), started(Quick, "two")]
    assert done.wait(30)
    assert told.acquire(timeout=30)
    assert told.acquire(timeout=30)
    assert sorted(seen) == ["one", "two"]
    assert trouble == ["RuntimeError: the hook is broken"] * 2
    assert capsys.readouterr().err == "Exception in threading.excepthook:\n" * 2
    assert all(isinstance(thread.exception(), BoomError) for thread in kept)


def test_where_no_reporting_thread_can_be_had_the_failing_thread_reports(
    hook: Hook, watch: unasked._Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(runtime, "start_service", no_more)
    assert watch.service is None
    forgotten(Patient, "lonely")
    assert hook.threads == ["lonely"]


def test_the_reporting_thread_ends_when_nothing_is_watched(
    hook: Hook, watch: unasked._Watch
) -> None:
    forgotten(Quick)
    hook.wait()
    service = watch.service
    if service is not None:
        service.join(30)
        assert not service.is_alive()
    assert watch.service is None
    assert not watch.watched


@pytest.mark.parametrize("after", [float("inf"), 1e12], ids=repr)
def test_a_time_too_long_to_count_does_not_end_the_reports(
    after: float, hook: Hook, watch: unasked._Watch
) -> None:

    class Endless(Thread[object]):
        report_after = after

    endless = started(Endless)
    kept = started(Quick)
    hook.wait()
    assert [report.thread for report in hook.reports] == [kept]
    assert watch.service is not None
    endless.exception()


def test_a_finalizer_that_forgets_ours_does_not_keep_the_reporting_thread(
    hook: Hook, watch: unasked._Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unasked, "_LAST_WORDS", 0.01)

    class Forgetful(Thread[object]):
        report_after = 0.05

        def __del__(self) -> None:
            pass

    started(Forgetful).name = "lost"
    gc.collect()
    service = watch.service
    if service is not None:  # else it has ended already
        service.join(30)
        assert not service.is_alive()
    assert not hook.reports
    assert not watch.watched
    assert not watch.dead


def test_a_reporting_thread_that_died_is_replaced(hook: Hook, watch: unasked._Watch) -> None:
    dead = threading.Thread()
    dead.start()
    dead.join()
    watch.service = dead
    kept = started(Quick)
    hook.wait()
    assert hook.reports[0].thread is kept


def test_a_late_error_of_a_task_that_was_completed_meanwhile_is_reported(hook: Hook) -> None:
    entered, gate = threading.Event(), threading.Event()

    def fail_later() -> NoReturn:
        entered.set()
        gate.wait()
        raise BoomError

    thread: Thread[int] = Thread(target=fail_later)
    thread.start()
    entered.wait()  # one that is completed before it begins is not run at all
    thread.set_result(5)
    gate.set()
    thread.join()
    assert thread.result() == 5
    assert [report.exc_type for report in hook.reports] == [BoomError]


def test_many_failures_at_once_are_each_reported_once(hook: Hook) -> None:
    together = threading.Barrier(16)

    def fail(number: int) -> NoReturn:
        together.wait()
        raise BoomError(number)

    class Many(Thread[object]):
        report_after = 0.02

    threads = [Many(target=fail, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    # Half are collected; half, with the last one, are kept until their time is up.
    del threads[::2]
    gc.collect()
    for _ in range(16):
        hook.wait()
    settle()
    hook.wait()
    numbers = [report.exc_value.args[0] for report in hook.reports[:-1] if report.exc_value]
    assert sorted(numbers) == list(range(16))


def test_asked_from_another_thread_while_it_fails_it_is_raised_or_reported() -> None:
    for _ in range(100):
        thread = spawn(boom)
        asker = spawn(thread.exception)
        assert isinstance(asker.result(), BoomError)
        thread.join()


def test_a_failed_task_does_not_keep_the_thread_that_has_failed_it(hook: Hook) -> None:
    """Or a thread that keeps its task would be collected by the garbage collector alone."""

    def fail_one() -> Task[int]:
        task: Task[int] = Task()
        task.set_exception(BoomError())
        return task

    gc.collect()
    gc.disable()
    try:
        thread = spawn(fail_one)
        thread.join()
        gone = weakref.ref(thread)
        del thread
        assert gone() is None
        hook.wait()
        assert [report.thread for report in hook.reports] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [Task, Patient])
def test_nothing_is_watched_any_more_though_several_have_had_it_watched(
    kind: type[Task[object]], hook: Hook, watch: unasked._Watch
) -> None:
    """As those do who are interrupted when it ends."""
    task = kind()
    task.set_exception(BoomError())
    for _ in range(2):
        task._watch()
    assert len(watch.watched) == 3
    del task
    gc.collect()
    settle()
    for _ in range(2):  # the marker's, too
        hook.wait()
    until(lambda: not watch.watched)
    assert len(hook.reports) == 2
