"""What a block leaves behind is found and told."""

from __future__ import annotations

import _thread
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import pytest

from joinable import Task, TaskGroup, Thread, _workers, run_all, spawn
from joinable import _events as events
from joinable.testing import FakeClock, LeakError, _leaks, no_leaks
from joinable.testing._leaks import _starts
from waiting import PATIENCE, Gate, until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

REAL_START = threading.Thread.start


@pytest.fixture(autouse=True)
def _nothing_stays_replaced() -> Generator[None]:
    yield
    assert threading.Thread.start is REAL_START
    assert events.observers == ()


@pytest.fixture
def gate() -> Generator[threading.Event]:
    """Hold threads, and join them after the test."""
    before, gate = threading.enumerate(), threading.Event()
    yield gate
    gate.set()
    for thread in threading.enumerate():
        if thread not in before and not thread.name.startswith(("joinable", "Dummy", "left")):
            thread.join(30)


def boom() -> NoReturn:
    raise ZeroDivisionError("by nothing")


def line_of(function: Callable[..., object], offset: int) -> str:
    return f"test_leaks.py:{function.__code__.co_firstlineno + offset}"


# -------------------------------------------------------------------- what is a leak


def test_a_clean_block_passes_without_waiting() -> None:
    with no_leaks(grace=1000):
        assert run_all([dict, list]) == [{}, []]
        with ThreadPoolExecutor(2) as pool:
            pool.submit(dict).result()


@pytest.mark.parametrize("kind", [threading.Thread, Thread], ids=["standard", "ours"])
def test_a_thread_left_is_told_with_its_name_its_start_and_its_line(
    kind: type[threading.Thread], gate: threading.Event
) -> None:
    def leave() -> None:
        kind(target=gate.wait, name="forgotten").start()

    with pytest.raises(LeakError) as caught, no_leaks(grace=0.01):
        leave()
    (fact,) = caught.value.threads
    assert fact.startswith("'forgotten', started at ")
    assert line_of(leave, 1) in fact
    assert ", now at " in fact
    assert "threading.py" in fact.split(", now at ")[1]
    assert str(caught.value).startswith("the block left behind:\n  thread 'forgotten'")
    assert caught.value.tasks == ()


def test_a_pool_left_open_is_told_with_the_users_line(gate: threading.Event) -> None:
    pool = ThreadPoolExecutor(1)
    with pytest.raises(LeakError) as caught, no_leaks(grace=0.01):
        pool.submit(gate.wait)
    assert line_of(test_a_pool_left_open_is_told_with_the_users_line, 3) in caught.value.threads[0]
    gate.set()
    pool.shutdown()


def test_what_ends_in_the_moment_of_grace_is_none(gate: threading.Event) -> None:
    """The thread ends only when it is joined: then it is told to, by a stand-in for its `join`."""
    joined: list[str] = []
    real = threading.Thread.join

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        joined.append(thread.name)
        gate.set()
        real(thread, timeout)

    with pytest.MonkeyPatch.context() as patch, no_leaks(grace=30):
        patch.setattr(threading.Thread, "join", join)
        threading.Thread(target=gate.wait, name="last").start()
        threading.Thread(target=gate.wait, name="other").start()
    assert sorted(joined) == ["last", "other"]


def test_a_thread_that_an_ending_thread_starts_is_found(gate: threading.Event) -> None:
    """The second is started when the first is joined already."""
    first_may_end = threading.Event()
    real = threading.Thread.join

    def first() -> None:
        first_may_end.wait()
        threading.Thread(target=gate.wait, name="second").start()

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        first_may_end.set()
        real(thread, timeout if thread.name == "first" else 0.01)

    with (
        pytest.raises(LeakError, match="'second'") as caught,
        pytest.MonkeyPatch.context() as patch,
        no_leaks(grace=30),
    ):
        patch.setattr(threading.Thread, "join", join)
        threading.Thread(target=first, name="first").start()
    assert len(caught.value.threads) == 1


def test_a_thread_that_an_ending_thread_starts_has_its_moment_too() -> None:
    gates = {"first": threading.Event(), "second": threading.Event()}
    real = threading.Thread.join

    def first() -> None:
        gates["first"].wait()
        threading.Thread(target=gates["second"].wait, name="second").start()

    def join(thread: threading.Thread, timeout: float | None = None) -> None:
        gates[thread.name].set()
        real(thread, timeout)

    with pytest.MonkeyPatch.context() as patch, no_leaks(grace=30):
        patch.setattr(threading.Thread, "join", join)
        threading.Thread(target=first, name="first").start()
    gates["second"].set()


def test_a_task_that_has_not_ended_is_told() -> None:
    task, ended = Task[None](), Task[None]()
    expected = r"unfinished task 'job': <Task\(job, running\)>"
    with pytest.raises(LeakError, match=expected), no_leaks(grace=0.01):
        for each in (task, ended):
            each.name = "job"
            each.set_running_or_notify_cancel()
            events.emit(events.Kind.STARTED, each)
        ended.set_result(None)
    task.set_result(None)


def test_an_error_that_nobody_asked_for_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    threads: list[threading.Thread] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    for _ in range(30):
        with FakeClock() as clock:
            with pytest.raises(LeakError) as caught, no_leaks():
                threads.append(spawn(boom))  # kept: one that is collected has its error reported
                threads[0].join()
            (fact,) = caught.value.errors
            assert fact.startswith("ZeroDivisionError: by nothing; in thread 'Thread-")
            clock.advance(60)  # its report would be due
            assert reported == []
            del caught, threads[:]


def test_an_error_that_was_asked_for_is_none() -> None:
    with no_leaks():
        assert spawn(boom).exception() is not None


def test_an_error_of_the_block_wins_and_the_leaks_are_its_note(gate: threading.Event) -> None:
    with pytest.raises(KeyError) as caught, no_leaks(grace=0):
        _ = spawn(gate.wait)
        raise KeyError
    assert caught.value.__notes__[0].startswith("the block left behind:\n  thread 'Thread-")


# -------------------------------------------------------------------- what is none


def test_what_was_there_before_is_none(gate: threading.Event) -> None:
    _ = spawn(gate.wait)
    failing = spawn(boom)
    failing.join()
    with no_leaks(grace=0):
        pass
    assert failing.exception() is not None


def test_an_error_of_a_thread_from_before_is_left_to_be_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[type[BaseException]] = []

    def hook(arguments: threading.ExceptHookArgs) -> None:
        reported.append(arguments.exc_type)

    monkeypatch.setattr(threading, "excepthook", hook)
    with FakeClock() as clock:
        gate = Task[None]()

        def fail() -> None:
            gate.result()
            boom()

        failing = spawn(fail)
        with no_leaks():
            gate.set_result(None)
            failing.join()
        clock.advance(10)
        assert reported == [ZeroDivisionError]


def test_the_reporting_thread_is_none() -> None:
    with no_leaks(grace=0.01):
        failing = spawn(boom)
        failing.join()  # from now on the reporting thread waits for ten seconds
        assert any(thread.name == "joinable-reports" for thread in threading.enumerate())
        assert failing.exception() is not None


def test_a_worker_that_has_nothing_to_do_is_none() -> None:
    with no_leaks(grace=1000), TaskGroup() as group:
        for _ in range(5):
            _ = group.spawn(int)


def workers_with(name: str, function: Callable[..., object]) -> SimpleNamespace:
    """Return what stands for the module, one function of which is another."""
    return SimpleNamespace(**{**vars(_workers), name: function})


@pytest.mark.usefixtures("workers_of_its_own")
@pytest.mark.parametrize("step", ["watch", "idle", "is_worker"])
def test_a_worker_that_is_becoming_idle_is_waited_for_and_not_its_end(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Force it: 1. the block ends, 2. `outlast` makes that step, 3. the worker becomes idle.

    Joined, it would rest for ten seconds, and have ended.
    """
    gate, real, seen = Gate(), getattr(_workers, step), list[threading.Thread]()

    def and_then(*arguments: object) -> object:
        found = real(*arguments)
        gate.may_end.set()
        until(_workers.idle)
        return found

    def run(_: _workers.Job) -> bool:
        seen.append(threading.current_thread())
        return gate() == 0

    with no_leaks(grace=1000):
        _workers.start(_workers.Job(run, bool))
        assert gate.begun.wait(PATIENCE)
        monkeypatch.setattr(_leaks, "_workers", workers_with(step, and_then))
    assert _workers.idle() == seen
    assert not _workers._pool.watchers


@pytest.mark.usefixtures("workers_of_its_own")
def test_a_worker_that_has_not_come_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Force it: 1. its thread is there, 2. it is waited for, 3. it begins, and is known."""
    may_begin, real = threading.Event(), _workers._Worker.live

    def live(worker: _workers._Worker) -> None:
        assert may_begin.wait(PATIENCE)
        real(worker)

    def is_worker(thread: threading.Thread) -> bool:
        found = _workers.is_worker(thread)
        may_begin.set()
        return found

    monkeypatch.setattr(_workers._Worker, "live", live)
    with no_leaks(grace=1000):
        _workers.start(_workers.Job(lambda _: True, bool))
        monkeypatch.setattr(_leaks, "_workers", workers_with("is_worker", is_worker))
    assert len(_workers.idle()) == 1


@pytest.mark.usefixtures("workers_of_its_own")
def test_what_a_worker_is_given_that_was_busy_before_is_the_blocks(gate: threading.Event) -> None:
    """Force it: 1. a worker has a job, 2. the block begins, 3. it is idle, and gets another."""
    first, seen = Gate(), list[threading.Thread]()

    def run(wait: Callable[[], object]) -> None:
        def job(_: _workers.Job) -> bool:
            seen.append(threading.current_thread())
            return wait() is not None

        _workers.start(_workers.Job(job, bool))

    run(first)
    assert first.begun.wait(PATIENCE)
    with pytest.raises(LeakError, match="'joinable-worker-1', started before"), no_leaks(grace=0.1):
        first.may_end.set()
        until(_workers.idle)
        run(gate.wait)
    gate.set()
    until(_workers.idle)
    assert seen[0] is seen[1]


@pytest.mark.usefixtures("workers_of_its_own")
def test_what_a_worker_does_from_before_is_none(gate: threading.Event) -> None:
    _workers.start(_workers.Job(lambda _: gate.wait(), bool))
    with no_leaks(grace=0):
        pass
    gate.set()
    until(_workers.idle)


@pytest.mark.usefixtures("workers_of_its_own")
def test_what_a_worker_does_that_was_on_its_way_before_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Force it: 1. its thread is there, 2. the block begins, 3. it begins its job."""
    may_begin, gate, real = threading.Event(), Gate(), _workers._Worker.live

    def live(worker: _workers._Worker) -> None:
        assert may_begin.wait(PATIENCE)
        real(worker)

    monkeypatch.setattr(_workers._Worker, "live", live)
    _workers.start(_workers.Job(lambda _: gate() == 0, bool))
    with no_leaks(grace=0):
        may_begin.set()
        assert gate.begun.wait(PATIENCE)
    gate.may_end.set()
    until(_workers.idle)


@pytest.mark.usefixtures("workers_of_its_own")
def test_a_worker_that_goes_on_has_its_moment_of_grace(gate: threading.Event) -> None:
    with pytest.raises(LeakError, match="'joinable-worker-1'"), no_leaks(grace=0.01):
        _workers.start(_workers.Job(lambda _: gate.wait(), bool))
    gate.set()
    until(_workers.idle)


def test_a_worker_that_is_busy_with_what_was_abandoned_is_told() -> None:
    gate = Gate()
    with pytest.raises(LeakError) as caught, no_leaks(grace=0.01), FakeClock(autojump=True):
        abandon(gate)
    (fact,) = caught.value.threads
    assert fact.startswith("'left-1 (Gate)', ")
    gate.may_end.set()


def abandon(gate: Gate) -> None:
    with pytest.raises(ExceptionGroup), TaskGroup(grace=0, name="left") as group:
        _ = group.spawn(gate)
        assert gate.begun.wait(PATIENCE)  # a call that has not begun would be cancelled
        group.cancel()


def test_the_monitor_of_tqdm_is_none(gate: threading.Event) -> None:
    kind = type("TMonitor", (threading.Thread,), {"__module__": "tqdm._monitor"})
    with no_leaks(grace=0):
        kind(target=gate.wait).start()


def is_idle(thread: threading.Thread) -> bool:
    return thread.name.startswith("idle")


@pytest.mark.parametrize("allow", ["idle-*", ["other", "idle-1"], is_idle])
def test_what_is_allowed_is_none(
    allow: str | Callable[[threading.Thread], bool], gate: threading.Event
) -> None:
    with no_leaks(grace=0, allow=allow):
        threading.Thread(target=gate.wait, name="idle-1").start()
    with pytest.raises(LeakError, match="'busy'"), no_leaks(grace=0, allow=allow):
        threading.Thread(target=gate.wait, name="busy").start()


def test_a_thread_that_python_did_not_start_counts_while_it_lives(gate: threading.Event) -> None:
    known, over = threading.Semaphore(0), threading.Event()

    def foreign() -> None:
        threading.current_thread()  # makes a stand-in for it
        known.release()
        gate.wait()
        over.set()

    with pytest.raises(LeakError, match=r"which no Thread\.start"), no_leaks(grace=0.01):
        _thread.start_new_thread(foreign, ())
        known.acquire()
    gate.set()
    over.wait()


# -------------------------------------------------------------------- how it is used


def test_as_a_decorator_each_call_is_a_block(gate: threading.Event) -> None:
    @no_leaks(grace=0.01)
    def call(depth: int) -> int:
        return call(depth - 1) + 1 if depth else 0

    @no_leaks(grace=0.01)
    def leave() -> None:
        _ = spawn(gate.wait)

    assert call(3) == 3
    for _ in range(2):
        with pytest.raises(LeakError):
            leave()


def test_blocks_may_overlap_in_any_order(gate: threading.Event) -> None:
    first, second = no_leaks(grace=0), no_leaks(grace=0)
    first.__enter__()
    second.__enter__()
    _ = spawn(gate.wait)
    with pytest.raises(LeakError, match=r"test_leaks\.py"):
        first.__exit__(None, None, None)
    _ = spawn(gate.wait)
    with pytest.raises(LeakError) as caught:
        second.__exit__(None, None, None)
    assert [", started at " in fact for fact in caught.value.threads] == [True, True]
    assert _starts._open == 0


def test_one_object_is_one_block_at_a_time() -> None:
    block = no_leaks()
    with block, pytest.raises(RuntimeError, match="in use"):
        block.__enter__()


def test_many_blocks_at_once_leave_nothing_replaced() -> None:
    def block() -> None:
        with no_leaks(grace=30, allow=lambda _: True):
            spawn(int).result()

    for _ in range(20):
        run_all([block] * 8)
        assert threading.Thread.start is REAL_START


def test_wrong_arguments_are_errors() -> None:
    with pytest.raises(ValueError, match="grace"):
        no_leaks(grace=-1)
    with pytest.raises(TypeError, match="allow must be names"):
        no_leaks(allow=[3])  # type: ignore[list-item]

    async def test() -> None:
        pass

    with pytest.raises(TypeError, match="with no_leaks"):
        no_leaks()(test)
