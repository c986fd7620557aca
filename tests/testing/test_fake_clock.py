"""Under a FakeClock the library's time is what the test says."""

from __future__ import annotations

import contextvars
import math
import threading
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import pytest

from joinable import DeadlineExceeded, Task, Thread, run_all, spawn
from joinable import _runtime as runtime
from joinable.testing import FakeClock

if TYPE_CHECKING:
    import queue

NAMES = ("monotonic", "allocate_lock", "acquire", "start", "start_service", "join", "receive")


@pytest.fixture(autouse=True)
def _the_runtime_is_itself_again() -> object:
    real = [getattr(runtime, name) for name in NAMES]
    yield
    assert [getattr(runtime, name) for name in NAMES] == real


def boom() -> NoReturn:
    raise ZeroDivisionError


class Reports:
    """Stand in for `threading.excepthook`."""

    def __init__(self) -> None:
        self.seen: list[type[BaseException]] = []

    def __call__(self, arguments: threading.ExceptHookArgs) -> None:
        self.seen.append(arguments.exc_type)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    reports = Reports()
    monkeypatch.setattr(threading, "excepthook", reports)
    return reports


def wait_for_nothing(seconds: float) -> bool:
    """Wait so many seconds for what never comes; True when the wait ended with the time."""
    try:
        Task[None]().result(seconds)
    except DeadlineExceeded:
        return True
    return False


def waits(seconds: float) -> Thread[bool]:
    """Start a thread that waits so many seconds for what never comes."""
    return spawn(wait_for_nothing, seconds)


# -------------------------------------------------------------------- advance


def test_a_wait_ends_when_the_clock_reaches_its_deadline_and_not_before() -> None:
    with FakeClock() as clock:
        waiter = waits(10)
        clock.until_waiting()
        clock.advance(9.999)
        assert clock._books._waiting() == 1
        clock.advance(0.001)
        assert clock._books._waiting() == 0
        assert clock.now == 10
        assert waiter.result()


def test_real_time_does_not_end_a_wait() -> None:
    with FakeClock() as clock:
        waiter = waits(0.001)
        clock.until_waiting()
        threading.Thread.join(waiter, 0.05)  # real time, fifty times as long
        assert waiter.is_alive()
        clock.advance(1)
        assert waiter.result()


def test_waits_end_in_the_order_of_their_deadlines() -> None:
    order: list[int] = []

    def wait(seconds: int) -> None:
        latch = runtime.allocate_lock()
        latch.acquire()
        assert not runtime.acquire(latch, seconds)
        order.append(seconds)

    with FakeClock(autojump=True) as clock:  # with it each has gone on before the next one wakes
        run_all([partial(wait, seconds) for seconds in (3, 1, 5, 2, 4)])
        assert order == [1, 2, 3, 4, 5]
        assert clock.now == 5


@pytest.mark.parametrize("step", [0.1, 0.25, 1 / 3])
def test_small_steps_add_up(step: float) -> None:
    with FakeClock() as clock:
        waiter = waits(step * 30)
        clock.until_waiting()
        for _ in range(30):
            clock.advance(step)
        assert waiter.result()
        assert clock.now == round(step * 30, 9)


def test_a_wait_that_succeeds_is_as_always() -> None:
    with FakeClock() as clock:
        task = Task[int]()
        waiter = spawn(task.result, 10)
        clock.until_waiting()
        task.set_result(3)
        assert waiter.result() == 3
        assert spawn(pow, 2, 5).result(timeout=10) == 32
        assert clock.now == 0


def test_a_timeout_of_zero_does_not_wait() -> None:
    with FakeClock(), pytest.raises(DeadlineExceeded):
        Task[None]().result(0)


def test_a_join_is_timed_by_the_clock_and_ends_with_the_thread() -> None:
    with FakeClock() as clock:
        task = Task[None]()
        thread = spawn(task.result)
        joiner = spawn(thread.join, 5)
        clock.until_waiting()
        clock.advance(5)
        joiner.result()
        assert thread.is_alive()
        joiner = spawn(thread.join, 5)
        clock.until_waiting()
        task.set_result(None)
        joiner.result()
        assert not thread.is_alive()
        assert clock.now == 5
        thread.join()
        with pytest.raises(RuntimeError, match="before it is started"):
            Thread(target=boom).join(3)
        with pytest.raises(RuntimeError, match="current thread"):
            spawn(lambda: threading.current_thread().join(3)).result()


def test_a_thread_and_a_lock_from_before_are_waited_for_on_the_clock() -> None:
    gate, lock = threading.Event(), runtime.allocate_lock()
    lock.acquire()
    thread = spawn(gate.wait)
    with FakeClock() as clock:
        joiner, taker = spawn(thread.join, 5), spawn(runtime.acquire, lock, 6)
        clock.until_waiting(2)
        clock.advance(6)
        joiner.result()
        assert not taker.result()
        joiner, taker = spawn(thread.join, 5), spawn(runtime.acquire, lock, 6)
        clock.until_waiting(2)
        gate.set()
        lock.release()
        joiner.result()
        assert taker.result()
        assert clock.now == 6
    # What helped the first taker may still wait for it: which of two helpers is first is open.
    lock.release()


def test_an_unasked_error_is_reported_when_its_time_has_come(reports: Reports) -> None:
    for _ in range(30):
        reports.seen.clear()
        with FakeClock() as clock:
            thread = spawn(boom)
            thread.join()
            clock.advance(9.9)
            assert reports.seen == []
            clock.advance(0.1)
            assert reports.seen == [ZeroDivisionError]


def test_a_report_has_been_made_when_the_clock_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook holds back until the clock has returned, which it must not do before the hook."""
    returned, too_early = threading.Event(), list[bool]()

    def hook(_: threading.ExceptHookArgs) -> None:
        too_early.append(returned.wait(0.05))

    monkeypatch.setattr(threading, "excepthook", hook)
    with FakeClock() as clock:
        thread = spawn(boom)
        thread.join()
        clock.advance(10)
        returned.set()
        assert too_early == [False]


def test_the_reporting_thread_from_before_comes_to_the_clock(reports: Reports) -> None:
    for _ in range(30):
        reports.seen.clear()
        before = spawn(boom)
        before.join()
        with FakeClock() as clock:
            during = spawn(boom)
            during.join()
            clock.advance(11)  # the clock begins at a whole second, up to one after the present
            assert reports.seen == [ZeroDivisionError] * 2


# -------------------------------------------------------------------- autojump


def test_the_clock_jumps_when_all_wait() -> None:
    with FakeClock(autojump=True) as clock:
        assert wait_for_nothing(3600)
        assert clock.now == 3600
        waiters = [waits(seconds) for seconds in (10, 20, 30)]
        for waiter in waiters:
            waiter.join()
        assert clock.now == 3630


def test_the_clock_does_not_jump_while_a_thread_runs() -> None:
    """A thread that is handed a result runs from that moment on, not from when it wakes."""
    for _ in range(200):
        with FakeClock(autojump=True) as clock:
            task = Task[int]()
            waiter = spawn(task.result)
            setter = spawn(task.set_result, 1)
            assert waiter.result(timeout=1) == 1
            setter.join()
            assert clock.now == 0


def test_the_end_of_a_thread_counts_whoever_started_it() -> None:
    with FakeClock(autojump=True) as clock:
        # Not the library's: known once it waits.
        guest = threading.Thread(target=wait_for_nothing, args=(1,))
        guest.start()
        clock.until_waiting()
        assert waits(5).result()
        guest.join()
        assert clock.now == 5
        assert wait_for_nothing(10)
        assert clock.now == 15


def test_a_message_on_its_way_to_a_service_holds_the_clock() -> None:
    """Nobody sees a message being put: the service still counts as waiting when all others do."""
    for _ in range(100):
        channel: queue.SimpleQueue[Task[int] | None] = runtime.make_channel()

        def serve(channel: queue.SimpleQueue[Task[int] | None] = channel) -> None:
            while True:
                task = runtime.receive(channel, 1000)
                if task is not None:
                    task.set_result(1)
                    return

        with FakeClock(autojump=True) as clock:
            service = runtime.start_service(serve, "service")
            task = Task[int]()
            channel.put(task)
            assert task.result(timeout=5) == 1
            assert clock.now == 0
        service.join(30)


def test_a_report_is_due_by_autojump_too(reports: Reports) -> None:
    for _ in range(50):
        reports.seen.clear()
        with FakeClock(autojump=True) as clock:
            thread = spawn(boom)
            thread.join()
            assert wait_for_nothing(60)
            assert clock.now == 60
            assert reports.seen == [ZeroDivisionError]


# -------------------------------------------------------------------- in and out


def test_what_still_waits_at_the_end_goes_on_in_real_time() -> None:
    task = Task[int]()
    with FakeClock() as clock:
        short, long, untimed = waits(1000.01), spawn(task.result, 1000), spawn(task.result)
        joiner = spawn(untimed.join, 1000)
        clock.until_waiting(3)
        clock.advance(999.99)
    assert short.result(30)
    task.set_exception(ZeroDivisionError())
    for thread in (long, untimed):
        assert isinstance(thread.exception(30), (ZeroDivisionError, DeadlineExceeded))
    joiner.result(30)


def test_the_runtime_is_restored_after_an_error() -> None:
    real = runtime.monotonic
    with pytest.raises(ZeroDivisionError), FakeClock():
        boom()
    assert runtime.monotonic is real


def test_time_does_not_go_back_on_entering() -> None:
    before = runtime.monotonic()
    with FakeClock():
        assert before <= runtime.monotonic() <= before + 1.5


def test_one_clock_at_a_time_and_each_once() -> None:
    clock = FakeClock()
    with clock, pytest.raises(RuntimeError, match="under control already"):
        FakeClock().__enter__()
    with pytest.raises(RuntimeError, match="used once"):
        clock.__enter__()
    with pytest.raises(RuntimeError, match="not installed any more"):
        clock.advance(1)
    with pytest.raises(RuntimeError, match="not installed"):
        _ = FakeClock().now


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan, None])
def test_wrong_seconds_are_an_error(seconds: float) -> None:
    with FakeClock() as clock, pytest.raises(ValueError, match="seconds"):
        clock.advance(seconds)


def test_wrong_arguments_are_errors() -> None:
    with pytest.raises(TypeError, match="autojump"):
        FakeClock(autojump=1)  # type: ignore[arg-type]
    with FakeClock() as clock, pytest.raises(TimeoutError, match=r"0 threads wait .* not 2"):
        clock.until_waiting(2, patience=0.01)


def test_a_start_that_fails_leaves_the_thread_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> NoReturn:
        raise RuntimeError("no more threads")

    thread = Thread(target=pow, args=(2, 3))
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "start", refuse)
        with FakeClock() as clock:
            with pytest.raises(RuntimeError, match="no more"):
                thread.start()
            assert clock._books.life_of(thread) is None
    # The library's own stand-in for `run` or none at all: nothing of the clock's.
    assert vars(thread).get("run", thread._execute) == thread._execute
    with FakeClock():
        thread.start()
        assert thread.result(1) == 8


def test_context_and_subclasses_are_as_always() -> None:
    colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour")
    colour.set("red")

    class Own(Thread[str]):
        def run(self) -> str:  # type: ignore[override]
            return colour.get()

    with FakeClock():
        thread = Own()
        thread.start()
        assert thread.result(5) == "red"
        assert "run" not in vars(thread)


# -------------------------------------------------------------------- the latch


def test_a_latch_is_a_plain_lock() -> None:
    with FakeClock():
        latch = runtime.allocate_lock()
        with latch:
            assert not runtime.acquire(latch, 0)
            assert not latch.acquire(timeout=0.01)  # its own timeout is of real time
        with pytest.raises(RuntimeError, match="release unlocked lock"):
            latch.release()
    assert latch.acquire()  # it outlives the clock
    assert not runtime.acquire(latch, 0.01)
    latch.release()


def test_release_races_the_deadline_and_one_of_them_wins() -> None:
    """Whoever comes first decides: the lock is never both handed over and free."""
    for _ in range(300):
        with FakeClock() as clock:
            latch = runtime.allocate_lock()
            latch.acquire()
            taker = spawn(runtime.acquire, latch, 1)
            clock.until_waiting()
            run_all((latch.release, partial(clock.advance, 1)))
            assert taker.result() is not runtime.acquire(latch, 0)


def test_an_interrupt_after_the_hand_over_passes_the_lock_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeClock() as clock:
        latch = runtime.allocate_lock()
        latch.acquire()

        def interrupt(*_: object) -> NoReturn:
            latch.release()  # it is ours now
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(clock._books, "acquire", interrupt)
            with pytest.raises(KeyboardInterrupt):
                runtime.acquire(latch)
        assert runtime.acquire(latch, 0)
