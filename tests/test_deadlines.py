"""`Thread(timeout=)`, `cancel()` of what runs, and waits for threads and tasks in a scope."""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import gc
import math
import threading
import traceback
import weakref
from typing import TYPE_CHECKING, NoReturn

import pytest

from joinable import (
    Cancelled,
    CancelledError,
    CancelScope,
    DeadlineExceeded,
    Task,
    Thread,
    abandoned_threads,
    checkpoint,
    current_scope,
    move_on_after,
    shield,
    sleep,
    spawn,
)
from joinable import _running as running
from joinable import _timer as timer
from joinable.testing import FakeClock
from processes import run
from waiting import LONG, PATIENCE, Gate, sleeper, until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

pytestmark = pytest.mark.usefixtures("timer_of_its_own")


@pytest.fixture(autouse=True)
def _nothing_is_abandoned() -> Generator[None]:
    """Look when the timer has ended: the fixture that is asked for by name ends before this."""
    yield
    assert abandoned_threads() == []


class Reports:
    """Stand in for `threading.excepthook`."""

    def __init__(self) -> None:
        self.seen: list[threading.ExceptHookArgs] = []

    def __call__(self, arguments: threading.ExceptHookArgs) -> None:
        self.seen.append(arguments)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    reports = Reports()
    monkeypatch.setattr(threading, "excepthook", reports)
    return reports


def started(target: Callable[..., object], *args: object, timeout: float) -> Thread[object]:
    thread: Thread[object] = Thread(target=target, args=args, name="worker", timeout=timeout)
    thread.start()
    return thread


def waiting() -> Thread[None]:
    """Start a thread, and return it when it waits in the library."""
    return sleeper()[0]


# -------------------------------------------------------------------- Thread(timeout=)


def test_a_thread_that_ends_in_time_keeps_its_outcome() -> None:
    thread = started(pow, 2, 5, timeout=LONG)
    assert thread.result() == 32
    failed = started(int, "x", timeout=LONG)
    assert isinstance(failed.exception(), ValueError)
    for each in (thread, failed):
        each.join()


def test_a_call_that_waits_is_stopped_at_the_deadline_and_told_where_it_was() -> None:
    with FakeClock() as clock:
        thread = started(sleep, LONG, timeout=10)
        clock.until_waiting()
        clock.advance(9.999)
        assert thread.running()
        clock.advance(0.001)
        error = thread.exception()
        thread.join()
        assert clock.now == 10
    assert isinstance(error, DeadlineExceeded)
    assert isinstance(error, TimeoutError)
    assert not thread.cancelled()
    assert error.unfinished == ()  # it has ended
    assert isinstance(error.__cause__, Cancelled)
    # Its target is ours, so no line of the user's is on its stack.
    assert str(error) == "'worker' did not end within 10 s: it was stopped in its first wait"


def work_in_the_users_code() -> NoReturn:
    sleep(LONG)
    raise AssertionError


def test_the_error_names_the_users_line_and_has_the_note() -> None:
    thread = started(work_in_the_users_code, timeout=0.01)
    line = work_in_the_users_code.__code__.co_firstlineno + 1
    with pytest.raises(DeadlineExceeded) as caught:
        thread.result()
    thread.join()
    assert f"it was stopped at {__file__}:{line} in work_in_the_users_code" in str(caught.value)
    notes = [
        note
        for e in (caught.value, caught.value.__cause__)
        for note in vars(e).get("__notes__", [])
    ]
    assert any(note.startswith("in thread 'worker', started at ") for note in notes)


def test_the_deadline_counts_from_the_start() -> None:
    with FakeClock() as clock:
        thread: Thread[None] = Thread(target=sleep, args=(LONG,), timeout=10)
        clock.advance(100)
        thread.start()
        clock.until_waiting()
        clock.advance(9)
        assert thread.running()
        clock.until_waiting()
        clock.advance(1)
        assert isinstance(thread.exception(), DeadlineExceeded)
        thread.join()


def test_an_earlier_deadline_of_the_starter_makes_it_cancelled_not_late() -> None:
    with FakeClock() as clock:
        with move_on_after(5):
            thread = started(sleep, LONG, timeout=10)
            clock.until_waiting()
            clock.advance(5)
            with shield(None):
                until(thread.done)
        thread.join()
        assert thread.cancelled()


def test_cancel_before_the_deadline_makes_it_cancelled() -> None:
    with FakeClock() as clock:
        thread = started(sleep, LONG, timeout=10)
        clock.until_waiting()
        assert thread.cancel()
        with pytest.raises(CancelledError, match="'worker' was cancelled"):
            thread.result()
        thread.join()


def test_a_value_that_comes_too_late_is_replaced() -> None:
    with FakeClock() as clock:
        call = Gate(then=lambda: "too late")
        thread = started(call, timeout=10)
        assert call.begun.wait(PATIENCE)
        clock.advance(10.5)  # asked to stop, and not given up yet
        assert thread.running()
        call.may_end.set()
        with pytest.raises(DeadlineExceeded) as caught:
            thread.result()
        thread.join()
    assert str(caught.value) == "'worker' did not end within 10 s: it ended too late"
    assert caught.value.unfinished == ()


def test_an_error_that_comes_too_late_is_the_cause() -> None:
    with FakeClock() as clock:
        call = Gate(then=functools.partial(int, "x"))
        thread = started(call, timeout=10)
        assert call.begun.wait(PATIENCE)
        clock.advance(10.5)
        call.may_end.set()
        with pytest.raises(DeadlineExceeded) as caught:
            thread.result()
        thread.join()
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_call_that_does_not_stop_is_abandoned_a_second_later_and_named() -> None:
    with FakeClock() as clock:
        call = Gate()
        thread = started(call, timeout=10)
        assert call.begun.wait(PATIENCE)
        clock.advance(10.999)
        assert thread.running()
        assert abandoned_threads() == []
        clock.advance(0.001)
        assert thread.done()
        assert abandoned_threads() == [thread]
        with pytest.raises(DeadlineExceeded) as caught:
            thread.result()
        error = caught.value
        assert thread.is_alive()
        call.may_end.set()
        thread.join()
        assert abandoned_threads() == []
    (unfinished,) = error.unfinished
    assert unfinished.startswith("worker at ")
    assert f"called from {Gate.__call__.__code__.co_filename}:" in unfinished
    assert " in __call__" in unfinished
    assert str(error).startswith("'worker' did not end within 10 s: it is at ")
    assert error.__cause__ is None


def test_the_deadline_of_an_abandoned_one_is_told_to_all_alike() -> None:
    with FakeClock() as clock:
        call, told = Gate(), list[object]()
        thread = started(call, timeout=10)
        thread.add_done_callback(lambda done: told.append(done.exception()))
        assert call.begun.wait(PATIENCE)
        waiter = threading.Thread(
            target=lambda: told.extend(
                done.exception() for done in concurrent.futures.as_completed([thread])
            )
        )
        waiter.start()
        clock.advance(11)
        waiter.join(PATIENCE)
        assert told == [thread.exception()] * 2
        assert isinstance(told[0], DeadlineExceeded)
        call.may_end.set()
        thread.join()


def test_a_callback_that_blocks_does_not_keep_others_from_their_deadlines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "LAST_MOMENT", 0.0)
    blocked, gate = threading.Event(), threading.Event()

    def block(_: object) -> None:
        blocked.set()
        gate.wait(PATIENCE)

    call = Gate()
    slow: Thread[object] = Thread(target=call, timeout=0.01)
    slow.add_done_callback(block)  # before it starts: a late one would be called here
    slow.start()
    assert blocked.wait(PATIENCE)
    other = started(call, timeout=0.01)
    # Not its call's end, which comes only below.
    assert isinstance(other.exception(PATIENCE), DeadlineExceeded)
    gate.set()
    call.may_end.set()
    for thread in (slow, other):
        thread.join()


def test_a_late_error_of_an_abandoned_one_goes_to_the_hook(reports: Reports) -> None:
    with FakeClock() as clock:
        call = Gate(then=functools.partial(int, "x"))
        thread = started(call, timeout=10)
        assert call.begun.wait(PATIENCE)
        clock.advance(11)
        assert isinstance(thread.exception(), DeadlineExceeded)
        call.may_end.set()
        thread.join()
        until(lambda: reports.seen)
    (report,) = reports.seen
    assert report.thread is thread
    assert report.exc_type is ValueError
    assert report.exc_value is not None
    assert any("in thread 'worker'" in note for note in report.exc_value.__notes__)
    names = [frame.name for frame in traceback.extract_tb(report.exc_traceback)]
    assert names == ["__call__"]


def test_a_late_cancelled_and_a_late_value_of_an_abandoned_one_are_dropped(
    reports: Reports,
) -> None:
    for then in (checkpoint, int):
        with FakeClock() as clock:
            call = Gate(then=then)
            thread = started(call, timeout=10)
            assert call.begun.wait(PATIENCE)
            clock.advance(11)
            outcome = thread.exception()
            call.may_end.set()
            thread.join()
            assert thread.exception() is outcome
            clock.advance(60)
    assert reports.seen == []


def test_abandoned_threads_are_sorted_by_name_and_forgotten_when_they_end() -> None:
    with FakeClock() as clock:
        calls = [Gate() for _ in range(3)]
        threads: list[Thread[object]] = [
            Thread(target=call, name=name, timeout=1)
            for call, name in zip(calls, "bca", strict=True)
        ]
        for thread in threads:
            thread.start()
        for call in calls:
            assert call.begun.wait(PATIENCE)
        clock.advance(2)
        assert [thread.name for thread in abandoned_threads()] == ["a", "b", "c"]
        calls[0].may_end.set()
        threads[0].join()
        assert [thread.name for thread in abandoned_threads()] == ["a", "c"]
        for call, thread in zip(calls, threads, strict=True):
            call.may_end.set()
            thread.join()
            assert isinstance(thread.exception(), DeadlineExceeded)


def test_a_thread_with_a_timeout_is_a_daemon_unless_you_say_otherwise() -> None:
    assert Thread(target=int, timeout=5).daemon
    assert not Thread(target=int, timeout=5, daemon=False).daemon
    assert not Thread(target=int).daemon


@pytest.mark.parametrize(
    ("timeout", "error", "message"),
    [
        (math.nan, ValueError, "timeout must be a number of seconds, not NaN"),
        (-1, ValueError, "timeout must be at least 0, not -1"),
        ("5", TypeError, r"timeout must be a number of seconds.*, not str \('5'\)"),
        (True, TypeError, r"timeout must be a number of seconds.*, not bool \(True\)"),
    ],
    ids=repr,
)
def test_a_timeout_must_be_a_number_of_at_least_0(
    timeout: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _ = Thread(target=int, timeout=timeout)


def test_an_endless_timeout_is_none_and_one_of_0_stops_the_first_wait() -> None:
    endless = started(int, timeout=math.inf)
    assert endless.result() == 0
    endless.join()
    at_once = started(sleep, LONG, timeout=0)
    assert isinstance(at_once.exception(), DeadlineExceeded)
    at_once.join()


def test_one_that_was_cancelled_before_its_start_starts_no_timer() -> None:
    thread: Thread[int] = Thread(target=int, timeout=5)
    thread.cancel()
    thread.start()
    assert thread.cancelled()
    assert timer.service() is None


def test_the_timer_keeps_nothing_of_a_thread_that_has_ended() -> None:
    class Held:
        def call(self) -> None: ...

    held = Held()
    gone = weakref.ref(held)
    thread = started(held.call, timeout=LONG)
    thread.result()
    thread.join()
    thread_gone = weakref.ref(thread)
    del held, thread
    gc.collect()
    assert gone() is None
    assert thread_gone() is None


def test_a_subclass_and_a_context_of_the_users_obey_the_deadline_too() -> None:
    class Sleeping(Thread[None]):
        def run(self) -> None:
            sleep(LONG)

    context = contextvars.copy_context()
    with FakeClock() as clock:
        threads: list[Thread[None]] = [
            Sleeping(timeout=3),
            Thread(target=sleep, args=(LONG,), context=context, timeout=3),
        ]
        for thread in threads:
            thread.start()
        clock.until_waiting(2)
        clock.advance(3)
        for thread in threads:
            assert isinstance(thread.exception(), DeadlineExceeded)
            thread.join()


def test_threads_that_a_late_call_has_started_are_stopped_with_it() -> None:
    inner: list[Thread[None]] = []

    def outer() -> None:
        inner.append(spawn(sleep, LONG))
        inner[0].exception()

    with FakeClock() as clock:
        thread = started(outer, timeout=5)
        until(lambda: inner)
        clock.until_waiting()
        until(lambda: inner[0]._latches)
        clock.advance(5)
        assert isinstance(thread.exception(), DeadlineExceeded)
        for each in (thread, inner[0]):
            each.join()
    assert inner[0].cancelled()


@pytest.mark.parametrize("rounds", [60, pytest.param(3000, marks=pytest.mark.soak)])
def test_an_end_at_the_very_deadline_is_one_outcome_and_leaves_nothing(rounds: int) -> None:
    # Free running: value, stop and deadline come together; whoever is first, all agree.
    outcomes: set[str] = set()
    for number in range(rounds):
        thread: Thread[None] = Thread(target=sleep, args=(0.001,), timeout=0.001)
        thread.start()
        if number % 2:
            thread.cancel()
        try:
            thread.result(PATIENCE)
            outcomes.add("value")
        except CancelledError:
            outcomes.add("cancelled")
        except DeadlineExceeded:
            outcomes.add("late")
        thread.join()
        assert thread.done()
        assert thread._make_scope() is None
    assert outcomes <= {"value", "cancelled", "late"}
    assert "late" in outcomes


# -------------------------------------------------------------------- cancel() of what runs


def test_cancel_wakes_a_call_that_waits() -> None:
    thread = waiting()
    assert thread.cancel()
    with pytest.raises(CancelledError):
        thread.result()
    thread.join()
    assert thread.cancelled()
    assert thread.cancel()  # cancelled earlier


def test_cancel_stops_a_call_that_computes_at_its_next_checkpoint() -> None:
    turns: list[int] = []

    def compute() -> NoReturn:
        while True:
            turns.append(1)
            checkpoint()

    thread = spawn(compute)
    until(lambda: len(turns) > 10)
    assert thread.cancel()
    thread.join()
    assert thread.cancelled()


def test_a_call_that_ends_in_another_way_all_the_same_keeps_its_outcome() -> None:
    def answer() -> str:
        try:
            sleep(LONG)
        except Cancelled:
            return "stopped"
        return "slept"

    def fail() -> None:
        try:
            sleep(LONG)
        finally:
            raise ZeroDivisionError

    for call, outcome in ((answer, "stopped"), (fail, "ZeroDivisionError()")):
        thread: Thread[object] = Thread(target=call)
        thread.start()
        scope = thread._make_scope()
        assert scope is not None
        until(lambda scope=scope: scope._sleepers)  # type: ignore[misc]
        assert thread.cancel()
        error = thread.exception()
        thread.join()
        assert not thread.cancelled()
        assert (repr(error) if error else thread.result()) == outcome
        assert not thread.cancel()  # it has ended


def test_cancelling_the_thread_does_not_stop_what_its_scope_shields() -> None:
    gate, ended = Task[int](), list[int]()

    def tidy() -> None:
        try:
            sleep(LONG)
        finally:
            with shield(LONG):
                ended.append(gate.result())

    thread = spawn(tidy)
    scope = thread._make_scope()
    assert scope is not None
    until(lambda: scope._sleepers)
    thread.cancel()
    until(lambda: gate._latches)
    assert thread.running()
    gate.set_result(5)
    thread.join()
    assert ended == [5]
    assert thread.cancelled()


def test_a_cancelled_of_another_scope_than_those_around_is_an_error_of_the_call() -> None:
    error = Cancelled("from nowhere")

    def fail() -> None:
        raise error

    thread = spawn(fail)
    thread.join()
    assert not thread.cancelled()
    assert thread.exception() is error


def test_cancel_of_a_task_that_nothing_of_ours_runs_cannot_ask() -> None:
    task: Task[int] = Task()
    assert task.set_running_or_notify_cancel()
    assert not task.cancel()
    task.set_result(1)
    assert task.result() == 1


def test_cancel_at_any_moment_of_a_short_life_stops_it_or_lets_it_be() -> None:
    asked: list[bool] = []
    begin = threading.Barrier(2)

    def cancel(thread: Thread[None]) -> None:
        begin.wait()
        asked.append(thread.cancel())

    for _ in range(150):
        thread: Thread[None] = Thread(target=sleep, args=(LONG,))
        canceller = threading.Thread(target=cancel, args=(thread,))
        canceller.start()
        begin.wait()
        thread.start()
        canceller.join()
        thread.join(PATIENCE)
        assert asked.pop() is True
        assert thread.cancelled()
        assert not thread.is_alive()


# -------------------------------------------------------------------- waiting in a scope


def test_join_in_a_cancelled_scope_raises_and_the_thread_goes_on() -> None:
    gate: Task[int] = Task()
    thread = spawn(gate.result)
    with CancelScope() as scope:

        def cancel() -> None:
            until(lambda: scope._sleepers)
            scope.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        thread.join()
    canceller.join()
    assert scope.cancelled_caught
    assert thread.running()
    assert not thread._joiners
    gate.set_result(2)
    assert thread.result() == 2
    thread.join()


def test_join_obeys_the_deadline_around_it_and_its_own_timeout() -> None:
    gate: Task[int] = Task()
    thread = spawn(gate.result)
    with FakeClock(autojump=True) as clock:
        with move_on_after(10) as scope:
            thread.join(4)
            assert clock.now == 4
            thread.join(math.inf)
        assert clock.now == 10
    assert scope.cancelled_caught
    gate.set_result(1)
    thread.join()


def test_join_in_a_scope_returns_when_the_os_thread_has_ended() -> None:
    for _ in range(100):
        with CancelScope():
            thread = spawn(int)
            thread.join()
            assert not thread.is_alive()


def test_join_in_a_scope_refuses_what_the_standard_one_refuses() -> None:
    with CancelScope():
        with pytest.raises(RuntimeError, match="before it is started"):
            Thread(target=int).join()
        with pytest.raises(ValueError, match="NaN"):
            waiting_for_ever().join(math.nan)
        ourselves = spawn(lambda: threading.current_thread().join())
        with pytest.raises(RuntimeError, match=r"cannot join current thread|deadlock"):
            ourselves.result()
        ourselves.join()


def waiting_for_ever() -> Thread[int]:
    gate: Task[int] = Task()
    thread = spawn(gate.result)
    gate.set_result(1)
    return thread


def test_result_in_a_scope_is_stopped_and_the_call_goes_on() -> None:
    gate: Task[int] = Task()
    thread = spawn(gate.result)
    with FakeClock() as clock:
        for ask in (thread.result, thread.exception):
            asker = spawn(ask)
            until(lambda: len(thread._latches) == 1)
            asker.cancel()
            asker.join()
            assert asker.cancelled()
            assert thread._latches == []
        assert clock.now == 0
    gate.set_result(6)
    assert thread.result() == 6
    thread.join()


def test_a_timeout_of_result_does_not_cancel_the_call() -> None:
    gate: Task[int] = Task()
    thread = spawn(gate.result)
    for _ in range(3):
        with pytest.raises(DeadlineExceeded, match=r"did not end within 0.001 s: it is waiting "):
            thread.result(0.001)
    assert thread.running()
    gate.set_result(3)
    assert thread.result() == 3
    thread.join()


def test_where_both_are_due_the_scope_goes_first() -> None:
    with FakeClock(autojump=True), move_on_after(5) as scope:
        Task[None]().result(timeout=5)
    assert scope.cancelled_caught


def after(begin: threading.Barrier, run: Callable[[], object]) -> None:
    begin.wait()
    run()


@pytest.mark.parametrize("rounds", [100, pytest.param(5000, marks=pytest.mark.soak)])
def test_a_result_against_a_cancel_is_one_of_them_and_never_lost(rounds: int) -> None:
    # Free running: the task ends while its waiter is cancelled. A waiter that is cancelled all the
    # same finds the result at the next ask, in the cancelled scope too.
    for _ in range(rounds):
        task: Task[int] = Task()
        begin = threading.Barrier(3)
        seen: list[object] = []

        def ask(task: Task[int] = task, seen: list[object] = seen) -> None:
            scope = current_scope()
            assert scope is not None
            try:
                seen.append(task.result())
            except Cancelled:
                seen.append("cancelled")
                until(task.done)
                seen.append(task.result())

        asker = spawn(ask)
        until(lambda task=task: task._latches)  # type: ignore[misc]
        both = [
            threading.Thread(target=after, args=(begin, run))
            for run in (asker.cancel, functools.partial(task.set_result, 7))
        ]
        for thread in both:
            thread.start()
        begin.wait()
        for thread in both:
            thread.join()
        asker.join()
        assert seen in ([7], ["cancelled", 7])
        assert task._latches == []


# -------------------------------------------------------------------- real processes


def test_an_abandoned_thread_does_not_hold_the_exit() -> None:
    code = """
        import threading, joinable
        thread = joinable.Thread(target=threading.Event().wait, timeout=0.01, name="stuck")
        thread.start()
        try:
            thread.result()
        except joinable.DeadlineExceeded as error:
            print(str(error).split(": it is at")[0], joinable.abandoned_threads() == [thread])
        """
    done = run(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "'stuck' did not end within 0.01 s True\n"
