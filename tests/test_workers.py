"""Workers: idle threads that are used again, and the clock that counts them."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
from typing import TYPE_CHECKING, NoReturn

import pytest

from joinable import DeadlineExceeded, Task, move_on_after, run_all, sleep
from joinable import _runtime as runtime
from joinable import _workers as workers
from joinable._workers import Job
from joinable.testing import FakeClock
from waiting import LONG, PATIENCE, Gate, until

if TYPE_CHECKING:
    from collections.abc import Callable

WHO = contextvars.ContextVar("WHO", default="nobody")

pytestmark = pytest.mark.usefixtures("workers_of_its_own")


class BoomError(Exception):
    """What the calls of these tests raise."""


class Errand:
    """A job that a test starts, and of which it knows how far it has come."""

    def __init__(self, does: Callable[[], object] = int, *, clean: bool = True) -> None:
        self.does = does
        self.clean = clean
        self.ended = threading.Event()
        self.was_idle: bool | None = None
        self.thread: threading.Thread | None = None
        self.job = Job(self.run, self.after)

    def run(self, job: Job) -> bool:
        self.thread = threading.current_thread()
        assert job.thread is self.thread
        self.does()
        return self.clean

    def after(self, _: Job) -> None:
        self.was_idle = self.thread in workers.idle()
        self.ended.set()

    def start(self) -> Errand:
        workers.start(self.job)
        return self

    def done(self) -> threading.Thread:
        """Return the thread that it was done by."""
        assert self.ended.wait(PATIENCE)
        assert self.thread is not None
        return self.thread


def held(count: int) -> tuple[list[Gate], list[Errand]]:
    """Start so many that run at the same time, until they may end."""
    gates = [Gate() for _ in range(count)]
    errands = [Errand(gate).start() for gate in gates]
    for gate in gates:
        assert gate.begun.wait(PATIENCE)
    return gates, errands


# -------------------------------------------------------------------- used again


def test_a_worker_is_a_real_daemon_thread_with_an_empty_context() -> None:
    seen: list[object] = []
    token = WHO.set("the starter")
    errand = Errand(lambda: seen.append(WHO.get())).start()
    thread = errand.done()
    WHO.reset(token)
    assert seen == ["nobody"]
    assert type(thread) is threading.Thread
    assert thread.daemon
    assert thread.name.startswith("joinable-worker-")
    assert thread in threading.enumerate()


def test_the_next_job_goes_to_the_same_thread() -> None:
    first = Errand().start().done()
    assert {Errand().start().done() for _ in range(20)} == {first}


def test_the_worker_that_became_idle_last_is_used_first() -> None:
    gates, errands = held(3)
    order: list[threading.Thread] = []
    for number in (1, 0, 2):
        gates[number].may_end.set()
        order.append(errands[number].done())
    again, next_ones = held(3)
    assert [errand.thread for errand in next_ones] == [*reversed(order)]
    for gate, errand in zip(again, next_ones, strict=True):
        gate.may_end.set()
        errand.done()


def test_a_worker_is_idle_before_anybody_is_told_that_its_job_is_over() -> None:
    errand = Errand().start()
    errand.done()
    assert errand.was_idle is True


def test_a_name_that_a_job_has_given_its_thread_is_taken_back() -> None:
    def rename() -> None:
        threading.current_thread().name = "of the job"

    thread = Errand(rename).start().done()
    assert thread.name.startswith("joinable-worker-")


def test_a_thread_in_which_something_was_wrong_is_not_used_again() -> None:
    errand = Errand(clean=False).start()
    thread = errand.done()
    assert errand.was_idle is False
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert Errand().start().done() is not thread


def test_nothing_of_a_finished_job_is_kept() -> None:
    class Thing:
        def __call__(self, _: Job) -> bool:
            return True

        def __del__(self) -> None:
            gone.set()

    gone, ended = threading.Event(), threading.Event()
    # No Errand: it knows its job, and such a circle waits for the garbage collector.
    workers.start(Job(Thing(), lambda _: ended.set()))
    assert ended.wait(PATIENCE)
    # Another one: without a GIL a thread may hold back, until it runs, what others let go of.
    until(lambda: Errand().start().done().is_alive() and gone.is_set())


# -------------------------------------------------------------------- called off


def test_a_job_that_was_called_off_first_is_never_run() -> None:
    ran: list[int] = []
    errand = Errand(lambda: ran.append(1))
    assert errand.job.claim()
    errand.start()
    until(workers.idle)  # the worker that found nothing to do
    assert not errand.job.claim()
    assert (ran, errand.ended.is_set()) == ([], False)


def test_a_job_that_has_begun_cannot_be_called_off() -> None:
    (gate,), (errand,) = held(1)
    assert not errand.job.claim()
    gate.may_end.set()
    errand.done()


# -------------------------------------------------------------------- time


def test_a_worker_that_nobody_needs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE", 0.01)
    thread = Errand().start().done()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert workers.idle() == []


def test_a_job_that_comes_when_the_time_is_just_up_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Force it: 1. the rest is over, 2. the job is given, 3. the worker settles whether it ends."""
    over, given = threading.Event(), threading.Event()

    def rest(lock: threading.Lock, seconds: float) -> bool:
        if over.is_set():
            return lock.acquire(timeout=seconds)
        over.set()
        assert given.wait(PATIENCE)
        return False

    monkeypatch.setattr(runtime, "rest", rest)
    thread = Errand().start().done()
    assert over.wait(PATIENCE)
    errand = Errand().start()
    given.set()
    assert errand.done() is thread


def test_a_worker_that_has_settled_to_end_is_given_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Force it: 1. it has settled, but is still listed, 2. a job finds it there."""
    resting, settled = threading.Event(), threading.Event()

    def rest(lock: threading.Lock, seconds: float) -> bool:
        resting.set()
        assert settled.wait(PATIENCE)
        return lock.acquire(timeout=seconds)

    first = Errand().start().done()
    monkeypatch.setattr(runtime, "rest", rest)
    assert Errand().start().done() is first  # so that it rests there
    assert resting.wait(PATIENCE)
    (worker,) = workers._pool.idle
    worker.box.setdefault("job", workers._NO_MORE)  # as it does itself
    second = Errand().start().done()
    settled.set()
    worker.latch.release()
    assert second is not first
    first.join(PATIENCE)
    assert not first.is_alive()


# -------------------------------------------------------------------- no thread


def no_thread(*_: object) -> NoReturn:
    raise RuntimeError("can't start new thread")


def test_a_system_without_threads_left_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "start_worker", no_thread)
    with pytest.raises(RuntimeError, match="can't start"):
        Errand().start()
    monkeypatch.undo()
    Errand().start().done()


def test_a_clock_does_not_wait_for_a_thread_that_could_not_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeClock(autojump=True) as clock:
        monkeypatch.setattr(runtime, "start_worker", no_thread)
        with pytest.raises(RuntimeError, match="can't start"):
            Errand().start()
        sleep(LONG)
        assert clock.now == LONG


# -------------------------------------------------------------------- calls in them


def threads_of(calls: int) -> set[threading.Thread]:
    """Return the threads that so many calls have run in."""
    seen: set[threading.Thread] = set()
    run_all([lambda: seen.add(threading.current_thread())] * calls)
    return seen


def test_calls_that_end_at_once_need_few_threads_and_calls_that_block_get_all() -> None:
    # The best of ten: a call that ends at once may be held up by the system all the same.
    assert min(len(threads_of(200)) for _ in range(10)) <= 10
    together = threading.Barrier(40)
    run_all([together.wait] * 40)
    assert len(workers.idle()) >= 40
    before = set(workers.idle())
    run_all([together.wait] * 40)
    assert set(workers.idle()) == before  # they were used again


def test_a_call_in_a_used_worker_sees_nothing_of_the_ones_before() -> None:
    def call(number: int) -> tuple[str, str]:
        seen = WHO.get()
        WHO.set(f"call {number}")
        return seen, threading.current_thread().name

    results = run_all([functools.partial(call, number) for number in range(20)], max_workers=1)
    assert set(results) == {("nobody", "run_all-1")}


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_worker_that_saw_more_than_an_exception_is_retired(kind: type[BaseException]) -> None:
    seen: list[threading.Thread] = []

    def leave() -> NoReturn:
        seen.append(threading.current_thread())
        raise kind

    with pytest.raises(kind):
        run_all([leave])
    seen[0].join(PATIENCE)
    assert not seen[0].is_alive()
    assert seen[0] not in workers.idle()


def fail() -> NoReturn:
    raise BoomError


@pytest.mark.parametrize("end", [fail, functools.partial(sleep, LONG)], ids=["error", "cancelled"])
def test_a_worker_that_saw_an_exception_or_was_cancelled_is_kept(
    end: Callable[[], object],
) -> None:
    seen: list[threading.Thread] = []

    def call() -> None:
        seen.append(threading.current_thread())
        end()

    with contextlib.suppress(BoomError), move_on_after(0.01):
        run_all([call])
    assert seen == workers.idle()


# -------------------------------------------------------------------- under a clock


def test_a_clock_counts_workers_that_wait_and_not_those_that_rest() -> None:
    run_all([threading.Barrier(3).wait] * 3)  # three that were there before the clock
    with FakeClock(autojump=True) as clock:
        run_all([functools.partial(sleep, seconds) for seconds in (1, 5, 3, 2, 4)])
        assert clock.now == 5
        sleep(10)  # nobody else is counted by now
        assert clock.now == 15


def test_a_clock_does_not_jump_while_a_job_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Force it: 1. the job is given, 2. the caller waits with a deadline, 3. the worker wakes."""
    waits, rests, real = threading.Event(), threading.Event(), runtime.rest

    def rest(lock: threading.Lock, seconds: float) -> bool:
        rests.set()
        woken = real(lock, seconds)
        assert waits.wait(PATIENCE)
        return woken

    monkeypatch.setattr(runtime, "rest", rest)
    Errand().start().done()
    assert rests.wait(PATIENCE)
    task = Task[int]()
    with FakeClock(autojump=True) as clock:
        errand = Errand(lambda: task.set_result(7)).start()
        timer = threading.Timer(0.02, waits.set)
        timer.start()
        assert task.result(timeout=60) == 7  # and no jump to the 60th second
        errand.done()
        assert clock.now == 0
        with pytest.raises(DeadlineExceeded):
            Task[int]().result(timeout=60)
        assert clock.now == 60
    timer.join()
