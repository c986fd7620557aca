"""Each primitive of `joinable.sync`: as the standard one, and with waits that end when told to.

To force a race a test takes the lock of the primitive itself (it is reentrant), cancels, waits
until the waiter has come back from its latch and stands at that lock, and then notifies: to the
notifier the dead waiter looks alive.
"""

from __future__ import annotations

import functools
import queue
import signal
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest

import waiting
from joinable import Cancelled, CancelScope, _park, fail_after, move_on_after, spawn
from joinable._errors import DeadlineExceeded
from joinable.sync import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    LifoQueue,
    Lock,
    PriorityQueue,
    Queue,
    Semaphore,
    ShutDown,
)
from joinable.testing import FakeClock
from processes import signalled
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from joinable._chain import Link, Sleeper

LIMIT = 5  # seconds of real time; what is not there by then never comes
LONG = 3600  # seconds of the fake clock

Waits = dict[str, "Callable[[], tuple[Callable[[], object], Callable[[], object]]]"]
"""By name: what makes a primitive and returns a wait of it, and what shows its state."""

QUEUES = pytest.mark.parametrize("kind", [Queue, LifoQueue, PriorityQueue])
SEMAPHORES = pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])


class Waiter(waiting.Waiter):
    """One that has come to wait when it is there."""

    def __init__(self, wait: Callable[[], object]) -> None:
        super().__init__(wait)
        until(self.is_asleep)


def full(maxsize: int = 1) -> Queue[int]:
    made: Queue[int] = Queue(maxsize)
    for number in range(maxsize):
        made.put(number)
    return made


def items(made: Queue[int]) -> list[int]:
    return list(made.queue)


def in_condition(condition: Condition, wait: Callable[[], object]) -> Callable[[], object]:
    def waiting() -> object:
        with condition:
            return wait()

    return waiting


# ---------------------------------------------------------------- what they are


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Condition(), threading.Condition),
        (Event(), threading.Event),
        (Semaphore(), threading.Semaphore),
        (BoundedSemaphore(), threading.BoundedSemaphore),
        (BoundedSemaphore(), Semaphore),
        (Barrier(1), threading.Barrier),
        (Queue[int](), queue.Queue),
        (LifoQueue[int](), queue.LifoQueue),
        (PriorityQueue[int](), queue.PriorityQueue),
        (LifoQueue[int](), Queue),
        (PriorityQueue[int](), Queue),
    ],
    ids=lambda value: getattr(value, "__qualname__", type(value).__name__),
)
def test_each_is_one_of_the_standard_library_too(ours: object, theirs: type) -> None:
    assert isinstance(ours, theirs)


def test_shutdown_raises_the_standard_error_where_there_is_one() -> None:
    assert getattr(queue, "ShutDown", ShutDown) is ShutDown


# ---------------------------------------------------------------- cancelled at entry


def a_wait_of(
    made: Any, wait: Callable[[Any], object], state: Callable[[Any], object]
) -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: wait(made), lambda: state(made)


def event_that_is_set() -> Event:
    made = Event()
    made.set()
    return made


def value_of(semaphore: Semaphore) -> object:
    return semaphore._value, len(semaphore._cond._waiters)


def state_of(made: Queue[int]) -> object:
    sleeping = made.not_empty, made.not_full, made.all_tasks_done
    return items(made), made.unfinished_tasks, [len(vars(one)["_waiters"]) for one in sleeping]


def count_of(barrier: Barrier) -> object:
    return barrier._count, len(barrier._cond._waiters)


def wait_on(condition: Condition) -> object:
    with condition:
        return condition.wait()


READY: Waits = {
    "Event.wait": lambda: a_wait_of(event_that_is_set(), Event.wait, Event.is_set),
    "Semaphore.acquire": lambda: a_wait_of(Semaphore(1), Semaphore.acquire, value_of),
    "with Semaphore": lambda: a_wait_of(Semaphore(1), Semaphore.__enter__, value_of),
    "BoundedSemaphore.acquire": lambda: a_wait_of(
        BoundedSemaphore(1), BoundedSemaphore.acquire, value_of
    ),
    "Queue.get": lambda: a_wait_of(full(), lambda made: made.get(), state_of),
    "Queue.put": lambda: a_wait_of(full(0), lambda made: made.put(1), state_of),
    "Queue.join": lambda: a_wait_of(full(0), lambda made: made.join(), state_of),
    "Condition.wait_for": lambda: a_wait_of(
        Condition(), lambda made: in_condition(made, lambda: made.wait_for(lambda: True))(), repr
    ),
}
"""Waits that would not have to wait."""

BLOCKED: Waits = {
    "Event.wait": lambda: a_wait_of(Event(), Event.wait, Event.is_set),
    "Condition.wait": lambda: a_wait_of(Condition(), wait_on, lambda made: len(made._waiters)),
    "Condition.wait_for": lambda: a_wait_of(
        Condition(),
        lambda made: in_condition(made, lambda: made.wait_for(lambda: False))(),
        lambda made: len(made._waiters),
    ),
    "Semaphore.acquire": lambda: a_wait_of(Semaphore(0), Semaphore.acquire, value_of),
    "BoundedSemaphore.acquire": lambda: a_wait_of(
        BoundedSemaphore(0), BoundedSemaphore.acquire, value_of
    ),
    "Barrier.wait": lambda: a_wait_of(Barrier(2), Barrier.wait, count_of),
    "Queue.get": lambda: a_wait_of(Queue[int](), lambda made: made.get(), state_of),
    "LifoQueue.get": lambda: a_wait_of(LifoQueue[int](), lambda made: made.get(), state_of),
    "PriorityQueue.get": lambda: a_wait_of(PriorityQueue[int](), lambda made: made.get(), state_of),
    "Queue.put": lambda: a_wait_of(full(), lambda made: made.put(1), state_of),
    "Queue.join": lambda: a_wait_of(full(), lambda made: made.join(), state_of),
    "Lock.acquire": lambda: a_wait_of(taken_lock(), Lock.acquire, lock_state),
    "with Lock": lambda: a_wait_of(taken_lock(), Lock.__enter__, lock_state),
}
"""Waits that end only when somebody else does something."""


def taken_lock() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock


def lock_state(lock: Lock) -> object:
    return lock.locked(), len(lock._waiters)


@pytest.mark.parametrize("name", READY)
def test_in_a_cancelled_scope_a_wait_raises_before_it_takes_what_is_there(name: str) -> None:
    wait, state = READY[name]()
    before = state()
    reached = False
    with CancelScope() as scope:
        scope.cancel()
        wait()
        reached = True
    assert not reached
    assert scope.cancelled_caught
    assert state() == before
    wait()  # outside it is as it was


@pytest.mark.parametrize("name", BLOCKED)
def test_in_a_cancelled_scope_a_wait_that_would_block_raises_at_once(name: str) -> None:
    wait, state = BLOCKED[name]()
    before = state()
    with CancelScope() as scope:
        scope.cancel("enough")
        with pytest.raises(Cancelled, match="enough"):
            wait()
        with pytest.raises(Cancelled, match="enough"):  # and again, until the scope is left
            wait()
    assert state() == before


@pytest.mark.parametrize("name", BLOCKED)
def test_a_wait_that_is_cancelled_ends_and_takes_nothing(name: str) -> None:
    wait, state = BLOCKED[name]()
    before = state()
    waiter = Waiter(wait)
    assert state() != before or name.startswith("Event")
    waiter.scope.cancel()
    assert waiter.end() is Cancelled
    assert state() == before


@pytest.mark.parametrize("name", BLOCKED)
def test_a_wait_obeys_the_deadline_around_it(name: str) -> None:
    with FakeClock() as clock:
        wait, state = BLOCKED[name]()
        before = state()

        def limited() -> None:
            with fail_after(LONG):
                wait()

        thread = spawn(limited)
        clock.until_waiting()
        clock.advance(LONG - 1)
        assert not thread.done()
        clock.advance(1)
        assert isinstance(thread.exception(LIMIT), DeadlineExceeded)
        assert state() == before


@pytest.mark.parametrize("name", BLOCKED)
def test_a_cancel_of_an_outer_scope_goes_through_an_inner_one(name: str) -> None:
    wait, _ = BLOCKED[name]()
    inner = CancelScope()

    def nested() -> None:
        with inner:
            wait()
        pytest.fail("the outer scope asked, and the inner one swallowed it")

    waiter = Waiter(nested)
    waiter.scope.cancel()
    assert waiter.end() is Cancelled
    assert not inner.cancelled_caught


def test_a_cancel_that_comes_between_the_first_look_and_the_wait_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event, scope, enter = Event(), CancelScope(), _park._enter

    def cancelled_before(sleeper: Sleeper, scopes: list[Link], until: float, now: float) -> float:
        scope.cancel()  # nobody is entered yet, so it wakes nobody
        return enter(sleeper, scopes, until, now)

    def wait() -> None:
        with scope:
            event.wait()

    monkeypatch.setattr(_park, "_enter", cancelled_before)
    thread = spawn(wait)
    try:
        thread.result(LIMIT)
    finally:
        event.set()  # or it would wait for ever
    assert scope.cancelled_caught


def test_a_lock_that_is_free_is_taken_in_a_cancelled_scope_too() -> None:
    lock = Lock()
    with CancelScope() as scope:
        scope.cancel()
        assert lock.acquire()
        assert lock.locked()
        lock.release()
        with lock:
            assert lock.locked()
    assert not scope.cancelled_caught
    assert not lock.locked()


def test_what_does_not_wait_is_not_concerned_by_a_cancelled_scope() -> None:
    lock, permits, flag, jobs = Lock(), Semaphore(1), Event(), Queue[int](1)
    with CancelScope() as scope:
        scope.cancel()
        assert lock.acquire(blocking=False)
        assert not lock.acquire(blocking=False)
        assert permits.acquire(blocking=False)
        assert not permits.acquire(blocking=False)
        permits.release()
        flag.set()
        flag.clear()
        jobs.put_nowait(1)
        with pytest.raises(queue.Full):
            jobs.put(2, block=False)
        assert jobs.get_nowait() == 1
        with pytest.raises(queue.Empty):
            jobs.get(block=False)
        jobs.task_done()
        with Condition() as entered:
            assert entered
        Barrier(2).abort()
    assert not scope.cancelled_caught


# ---------------------------------------------------------------- timeouts, on the fake clock


def timed(make: Callable[[], Callable[[float], object]]) -> Iterator[object]:
    """Yield what a wait of LONG seconds has to say one second before its end, and at its end."""
    with FakeClock() as clock:
        wait = make()
        thread = spawn(wait, LONG)
        clock.until_waiting()
        clock.advance(LONG - 1)
        yield thread.done()
        clock.advance(1)
        yield thread.exception(LIMIT) or thread.result(LIMIT)


def wait_with(condition: Condition, timeout: float) -> bool:
    with condition:
        return condition.wait(timeout)


def wait_in_vain_for(condition: Condition, timeout: float) -> object:
    with condition:
        return condition.wait_for(lambda: 0, timeout)


TIMED: dict[str, tuple[Callable[[], Callable[[float], object]], object]] = {
    "Event.wait": (lambda: Event().wait, False),
    "Condition.wait": (lambda: lambda time: wait_with(Condition(), time), False),
    "Condition.wait_for": (lambda: lambda time: wait_in_vain_for(Condition(), time), 0),
    "Condition over Lock": (lambda: lambda time: wait_with(Condition(Lock()), time), False),
    "Semaphore.acquire": (lambda: lambda time: Semaphore(0).acquire(timeout=time), False),
    "Lock.acquire": (lambda: lambda time: taken_lock().acquire(timeout=time), False),
    "Queue.get": (lambda: lambda time: Queue[int]().get(timeout=time), queue.Empty),
    "Queue.put": (lambda: lambda time: full().put(1, timeout=time), queue.Full),
    "Barrier.wait": (lambda: Barrier(2).wait, threading.BrokenBarrierError),
    "Barrier(timeout=)": (
        lambda: lambda time: Barrier(2, timeout=time).wait(),
        threading.BrokenBarrierError,
    ),
}


@pytest.mark.parametrize("name", TIMED)
def test_a_timeout_ends_a_wait_when_it_is_over_and_not_before(name: str) -> None:
    make, expected = TIMED[name]
    early, outcome = timed(make)
    assert not early
    if isinstance(expected, type):
        assert type(outcome) is expected
    else:
        assert outcome == expected


@pytest.mark.parametrize("name", TIMED)
def test_a_timeout_that_is_infinite_is_obeyed(name: str) -> None:
    make, _ = TIMED[name]
    waiter = Waiter(lambda: make()(float("inf")))
    waiter.scope.cancel()
    assert waiter.end() is Cancelled


def test_a_scope_goes_first_where_a_timeout_is_over_at_the_same_moment() -> None:
    with FakeClock() as clock:
        event = Event()

        def both() -> str:
            with move_on_after(LONG):
                event.wait(LONG)
                return "timeout"
            return "scope"

        thread = spawn(both)
        clock.until_waiting()
        clock.advance(LONG)
        assert thread.result(LIMIT) == "scope"


@pytest.mark.parametrize("timeout", [0, -1, -1e300])
def test_no_time_at_all_means_to_look_once(timeout: float) -> None:
    assert not Event().wait(timeout)
    assert not Semaphore(0).acquire(timeout=timeout)
    assert Semaphore(1).acquire(timeout=timeout)
    assert not wait_with(Condition(), timeout)
    with pytest.raises(threading.BrokenBarrierError):
        Barrier(2).wait(timeout)


def test_a_timeout_of_zero_of_what_takes_no_negative_one() -> None:
    assert not taken_lock().acquire(timeout=0)
    with pytest.raises(queue.Empty):
        Queue[int]().get(timeout=0)
    with pytest.raises(queue.Full):
        full().put(1, timeout=0)


# ---------------------------------------------------------------- the notification is not lost


@pytest.mark.parametrize("lock", [None, Lock, threading.Lock, threading.RLock])
def test_a_dead_waiter_of_a_condition_does_not_eat_the_notify(
    lock: Callable[[], Any] | None,
) -> None:
    condition = Condition(None if lock is None else lock())
    first = Waiter(lambda: wait_with(condition, LONG))
    second = Waiter(lambda: wait_with(condition, LONG))
    third = Waiter(lambda: wait_with(condition, LONG))
    with condition:
        first.cancel()
        condition.notify()
    assert first.end() is Cancelled
    assert second.end() is True  # the next in the row, and only that
    assert third.is_asleep()
    third.scope.cancel()
    assert third.end() is Cancelled
    assert not condition._waiters


def test_one_notification_goes_past_several_dead_waiters() -> None:
    condition = Condition()
    dying = [Waiter(lambda: wait_with(condition, LONG)) for _ in range(3)]
    last = Waiter(lambda: wait_with(condition, LONG))
    with condition:
        for waiter in dying:
            waiter.cancel()
        condition.notify()
    assert [waiter.end() for waiter in dying] == [Cancelled] * 3
    assert last.end() is True


def test_two_notifications_wake_two_whoever_is_dead() -> None:
    condition = Condition()
    waiters = [Waiter(lambda: wait_with(condition, LONG)) for _ in range(4)]
    with condition:
        waiters[0].cancel()
        waiters[1].cancel()
        condition.notify(2)
    assert [waiter.end() for waiter in waiters] == [Cancelled, Cancelled, True, True]


def test_who_is_notified_and_then_cancelled_uses_the_notification_or_passes_it_on() -> None:
    """Both are right: the canceller may find it on its way from the latch to the lock."""
    condition = Condition()
    first = Waiter(lambda: wait_with(condition, LONG))
    second = Waiter(lambda: wait_with(condition, LONG))
    with condition:
        condition.notify()
        first.scope.cancel()
    if first.end() is Cancelled:
        assert second.end() is True
    else:
        assert second.is_asleep()
        second.scope.cancel()
        assert second.end() is Cancelled


def test_a_notification_is_not_passed_on_to_one_who_came_after_it() -> None:
    condition = Condition()
    first = Waiter(lambda: wait_with(condition, LONG))
    with condition:
        first.cancel()
        condition.notify()
        assert not condition.wait(0.01)  # it queues up before the dying one has the lock
    assert first.end() is Cancelled


def test_a_notification_that_is_passed_on_twice_does_not_reach_one_who_came_after_it() -> None:
    condition = Condition()
    waiters = [Waiter(lambda: wait_with(condition, LONG)) for _ in range(2)]
    with condition:
        for waiter in waiters:
            waiter.cancel()
        condition.notify()
        assert not condition.wait(0.01)
    assert [waiter.end() for waiter in waiters] == [Cancelled, Cancelled]


def test_an_event_that_was_set_and_cleared_does_not_wake_who_came_later() -> None:
    event = Event()
    first = Waiter(event.wait)
    with event._cond:
        first.cancel()
        event.set()
        event.clear()
        assert not event.wait(0.01)
    assert first.end() is Cancelled


def test_who_waited_when_an_event_was_set_returns_though_it_is_cleared_at_once() -> None:
    event = Event()
    waiters = [Waiter(event.wait) for _ in range(3)]
    with event._cond:
        waiters[1].cancel()
        event.set()
        event.clear()
    assert [waiter.end() for waiter in waiters] == [True, Cancelled, True]


@SEMAPHORES
def test_a_dead_waiter_of_a_semaphore_takes_no_permit(kind: type[Semaphore]) -> None:
    permits = kind(2)
    assert permits.acquire()
    assert permits.acquire()
    first, second = Waiter(permits.acquire), Waiter(permits.acquire)
    with permits._cond:
        first.cancel()
        permits.release()
    assert (first.end(), second.end()) == (Cancelled, True)
    assert value_of(permits) == (0, 0)


@QUEUES
def test_a_dead_consumer_takes_no_item(kind: type[Queue[int]]) -> None:
    jobs = kind()
    first, second = Waiter(jobs.get), Waiter(jobs.get)
    with jobs.mutex:
        first.cancel()
        jobs.put(7)
    assert (first.end(), second.end()) == (Cancelled, 7)
    assert state_of(jobs) == ([], 1, [0, 0, 0])


@QUEUES
def test_a_dead_producer_takes_no_room_and_puts_no_item(kind: type[Queue[int]]) -> None:
    jobs = kind(1)
    jobs.put(0)
    first, second = Waiter(lambda: jobs.put(1)), Waiter(lambda: jobs.put(2))
    with jobs.mutex:
        first.cancel()
        assert jobs.get() == 0
    assert (first.end(), second.end()) == (Cancelled, None)
    assert state_of(jobs) == ([2], 2, [0, 0, 0])


def test_a_dead_joiner_holds_no_other_up() -> None:
    jobs = full()
    first, second = Waiter(jobs.join), Waiter(jobs.join)
    with jobs.mutex:
        first.cancel()
        jobs.get()
        jobs.task_done()
    assert (first.end(), second.end()) == (Cancelled, None)


def test_a_dead_waiter_of_a_lock_passes_the_hint_on() -> None:
    lock = taken_lock()
    first, second = Waiter(lock.acquire), Waiter(lock.acquire)
    with lock._mutex:
        first.cancel()
        lock.release()
    assert (first.end(), second.end()) == (Cancelled, True)
    assert lock_state(lock) == (True, 0)


def test_a_lock_goes_to_who_came_first() -> None:
    lock, order = taken_lock(), list[int]()

    def take(number: int) -> None:
        with lock:
            order.append(number)

    waiters = [Waiter(functools.partial(take, number)) for number in range(4)]
    lock.release()
    for waiter in waiters:
        waiter.end()
    assert sorted(order) == [0, 1, 2, 3]
    assert not lock.locked()


def test_notify_wakes_in_the_order_of_waiting() -> None:
    condition, woken = Condition(), Queue[int]()

    def wait(number: int) -> None:
        with condition:
            condition.wait()
            woken.put(number)

    waiters = [Waiter(functools.partial(wait, number)) for number in range(4)]
    waiters[1].scope.cancel()
    assert waiters[1].end() is Cancelled
    for expected in (0, 2, 3):
        with condition:
            condition.notify()
        assert woken.get(timeout=LIMIT) == expected
    for waiter in waiters:
        waiter.end()


# ---------------------------------------------------------------- Condition


def test_over_our_lock_a_cancelled_wait_raises_with_the_lock_held() -> None:
    lock = Lock()
    condition = Condition(lock)
    seen: list[bool] = []

    def wait() -> None:
        with condition:
            try:
                condition.wait()
            finally:
                # It had to block to get the lock back, in a scope that is cancelled.
                seen.append(lock.locked())
                seen.append(lock.acquire(blocking=False))

    waiter = Waiter(wait)
    lock.acquire()
    waiter.cancel()
    until(lambda: lock._waiters)
    assert not seen
    lock.release()
    assert waiter.end() is Cancelled
    assert seen == [True, False]
    assert not lock.locked()


def test_a_lock_taken_twice_is_let_go_and_taken_back_twice() -> None:
    condition = Condition()
    with condition, condition, move_on_after(0) as scope:
        condition.wait()
    assert scope.cancelled_caught

    def both() -> None:
        with condition, condition:
            condition.wait()

    waiter = Waiter(both)
    assert condition.acquire(blocking=False)
    condition.release()
    waiter.scope.cancel()
    assert waiter.end() is Cancelled
    assert condition.acquire(blocking=False)
    condition.release()


def test_wait_for_returns_what_the_predicate_returned_last() -> None:
    condition, answers = Condition(), iter(["", "", "yes"])
    asked = 0

    def predicate() -> str:
        nonlocal asked
        asked += 1
        return next(answers)

    waiter = Waiter(in_condition(condition, lambda: condition.wait_for(predicate)))
    with condition:
        assert asked == 1
        condition.notify()
    until(lambda: asked == 2 and waiter.is_asleep())
    with condition:
        condition.notify()
    assert waiter.end() == "yes"
    assert asked == 3


def test_a_predicate_that_raises_leaves_the_lock_as_it_was() -> None:
    condition = Condition()

    def predicate() -> bool:
        raise LookupError("asked")

    with pytest.raises(LookupError), condition:
        condition.wait_for(predicate)
    assert spawn(condition.acquire, blocking=False).result(LIMIT)


def test_waiting_without_the_lock_is_an_error_that_says_so() -> None:
    for condition in (Condition(), Condition(Lock())):
        with pytest.raises(RuntimeError, match="needs the lock"):
            condition.wait()
        with pytest.raises(RuntimeError):
            condition.notify()


# ---------------------------------------------------------------- Barrier


def test_a_barrier_lets_as_many_go_as_it_takes_and_is_used_again() -> None:
    called: list[int] = []
    barrier = Barrier(3, lambda: called.append(1))
    for rounds in (1, 2):
        waiters = [Waiter(barrier.wait), Waiter(barrier.wait)]
        assert len(called) == rounds - 1
        index = barrier.wait()
        assert {index, *(waiter.end() for waiter in waiters)} == {0, 1, 2}
        assert len(called) == rounds
    assert count_of(barrier) == (0, 0)


def broken_or_index(barrier: Barrier) -> object:
    try:
        return barrier.wait()
    except threading.BrokenBarrierError:
        return "broken"


def test_a_cancelled_wait_breaks_the_barrier_for_all() -> None:
    barrier = Barrier(4)
    others = [Waiter(lambda: broken_or_index(barrier)) for _ in range(2)]
    dying = Waiter(lambda: broken_or_index(barrier))
    dying.scope.cancel()
    assert dying.end() is Cancelled
    assert [other.end() for other in others] == ["broken"] * 2
    assert broken_or_index(barrier) == "broken"
    assert barrier.broken
    barrier.reset()
    assert [barrier.broken, count_of(barrier)] == [False, (0, 0)]


def test_who_comes_to_a_barrier_in_a_cancelled_scope_breaks_it() -> None:
    """The others would wait for a thread that does not come."""
    called: list[int] = []
    barrier = Barrier(2, lambda: called.append(1))
    other = Waiter(lambda: broken_or_index(barrier))
    with CancelScope() as scope:
        scope.cancel()
        barrier.wait()
    assert scope.cancelled_caught
    assert other.end() == "broken"
    assert barrier.broken
    assert not called
    assert count_of(barrier) == (0, 0)


def test_a_cancel_that_comes_when_all_are_there_breaks_nothing() -> None:
    barrier = Barrier(3)
    first, dying = (Waiter(lambda: broken_or_index(barrier)) for _ in range(2))
    with barrier._cond:
        dying.cancel()
        barrier.wait()
    assert first.end() == 0
    assert dying.end() is Cancelled
    assert not barrier.broken
    assert count_of(barrier) == (0, 0)


def test_a_cancelled_wait_breaks_the_barrier_while_the_action_runs() -> None:
    entered, gate = Event(), Event()

    def action() -> None:
        entered.set()
        assert gate.wait(LIMIT)

    barrier = Barrier(3, action)
    first, dying = (Waiter(lambda: broken_or_index(barrier)) for _ in range(2))
    acting = spawn(broken_or_index, barrier)
    assert entered.wait(LIMIT)
    dying.scope.cancel()
    assert dying.end() is Cancelled
    assert first.end() == "broken"
    assert barrier.broken
    gate.set()
    assert acting.result(LIMIT) == "broken"
    acting.join()
    assert count_of(barrier) == (0, 0)


def test_the_action_runs_without_the_lock_of_the_barrier() -> None:
    seen: list[bool] = []

    def ask() -> None:
        seen.append(barrier._cond.acquire(False))
        barrier._cond.release()

    barrier = Barrier(2, lambda: spawn(ask).join())
    other = Waiter(barrier.wait)
    barrier.wait()
    assert other.end() == 0
    assert seen == [True]


def test_an_action_that_raises_or_is_cancelled_breaks_the_barrier() -> None:
    barrier = Barrier(2, lambda: Event().wait())
    other = Waiter(lambda: broken_or_index(barrier))
    acting = Waiter(barrier.wait)
    acting.scope.cancel()
    assert acting.end() is Cancelled
    assert other.end() == "broken"

    def fail() -> None:
        raise LookupError("action")

    barrier = Barrier(2, fail)
    other = Waiter(lambda: broken_or_index(barrier))
    with pytest.raises(LookupError, match="action"):
        barrier.wait()
    assert other.end() == "broken"


def test_reset_and_abort_send_away_who_waits() -> None:
    barrier = Barrier(2)
    for send_away, broken in ((barrier.reset, False), (barrier.abort, True)):
        waiter = Waiter(lambda: broken_or_index(barrier))
        send_away()
        assert waiter.end() == "broken"
        assert barrier.broken is broken


# ---------------------------------------------------------------- Event, Semaphore


def test_an_event_wakes_all_who_wait_and_stays_set() -> None:
    event = Event()
    waiters = [Waiter(event.wait) for _ in range(3)]
    event.set()
    assert [waiter.end() for waiter in waiters] == [True] * 3
    assert event.wait(0)
    event.clear()
    assert not event.is_set()


@SEMAPHORES
def test_release_of_several_permits_wakes_as_many(kind: type[Semaphore]) -> None:
    permits = kind(3)
    for _ in range(3):
        permits.acquire()
    waiters = [Waiter(permits.acquire) for _ in range(3)]
    permits.release(2)
    until(lambda: sum(waiter.is_asleep() for waiter in waiters) == 1)
    permits.release()
    assert [waiter.end() for waiter in waiters] == [True] * 3
    assert value_of(permits) == (0, 0)


def test_a_bounded_semaphore_takes_back_no_more_than_it_gave() -> None:
    permits = BoundedSemaphore(1)
    with permits, pytest.raises(ValueError, match="released too many"):
        permits.release(2)
    with pytest.raises(ValueError, match="released too many"):
        permits.release()


# ---------------------------------------------------------------- queues


def test_each_queue_gives_its_items_in_its_order() -> None:
    made: Queue[int]
    for made, expected in (
        (Queue[int](), [2, 3, 1]),
        (LifoQueue[int](), [1, 3, 2]),
        (PriorityQueue[int](), [1, 2, 3]),
    ):
        for item in (2, 3, 1):
            made.put(item)
        assert [made.get() for _ in range(3)] == expected
        assert made.empty()


@QUEUES
def test_shutdown_ends_every_wait_and_lets_what_is_there_be_taken(kind: type[Queue[int]]) -> None:
    empty, one = kind(), kind(1)
    one.put(1)
    waiters = [Waiter(wait) for wait in (empty.get, empty.get, lambda: one.put(2))]
    joiner = Waiter(one.join)
    for jobs in (empty, one):
        jobs.shutdown()
        assert jobs.is_shutdown
    for waiter in waiters:
        assert isinstance(waiter.thread.exception(LIMIT), ShutDown)
        waiter.thread.join()
    with pytest.raises(ShutDown):
        one.put_nowait(3)
    assert one.get() == 1
    for get in (one.get, one.get_nowait, lambda: one.get(timeout=1)):
        with pytest.raises(ShutDown):
            get()
    assert joiner.is_asleep()
    one.task_done()
    assert joiner.end() is None


@QUEUES
def test_an_immediate_shutdown_drops_what_is_there_and_lets_join_go(kind: type[Queue[int]]) -> None:
    jobs = kind()
    for item in range(3):
        jobs.put(item)
    assert jobs.get() in {0, 2}
    joiner = Waiter(jobs.join)
    jobs.shutdown(immediate=True)
    assert jobs.empty()
    with pytest.raises(ShutDown):
        jobs.get()
    assert jobs.unfinished_tasks == 1  # the one that was taken
    jobs.task_done()
    assert joiner.end() is None


def test_a_shutdown_while_a_consumer_is_dying_reaches_the_others() -> None:
    jobs = Queue[int]()
    first, second = Waiter(jobs.get), Waiter(jobs.get)
    with jobs.mutex:
        first.cancel()
        jobs.shutdown()
    assert first.end() is Cancelled
    assert isinstance(second.thread.exception(LIMIT), ShutDown)
    second.thread.join()


def test_in_a_cancelled_scope_a_queue_that_is_shut_down_says_cancelled() -> None:
    jobs = Queue[int]()
    jobs.shutdown()
    with CancelScope() as scope:
        scope.cancel()
        jobs.get()
    assert scope.cancelled_caught


# ---------------------------------------------------------------- bad input

NAN = float("nan")
BAD: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "Event NaN": (lambda: Event().wait(NAN), ValueError, "timeout"),
    "Event text": (lambda: Event().wait("1"), TypeError, "timeout"),  # type: ignore[arg-type]
    "Condition NaN": (lambda: wait_with(Condition(), NAN), ValueError, "timeout"),
    "Condition bool": (lambda: wait_with(Condition(), timeout=True), TypeError, "timeout"),
    "wait_for": (lambda: Condition().wait_for(1), TypeError, "predicate"),  # type: ignore[arg-type]
    "Semaphore value": (lambda: Semaphore(-1), ValueError, "value"),
    "Semaphore float": (lambda: Semaphore(1.5), TypeError, "value"),  # type: ignore[arg-type]
    "Semaphore bool": (lambda: BoundedSemaphore(True), TypeError, "value"),
    "Semaphore NaN": (lambda: Semaphore().acquire(timeout=NAN), ValueError, "timeout"),
    "Semaphore both": (lambda: Semaphore().acquire(False, 1), ValueError, "blocking=True"),
    "Semaphore release": (lambda: Semaphore().release(0), ValueError, "n must be"),
    "Lock NaN": (lambda: taken_lock().acquire(timeout=NAN), ValueError, "timeout"),
    "Lock negative": (lambda: Lock().acquire(timeout=-2), ValueError, "timeout"),
    "Lock text": (lambda: Lock().acquire(timeout="1"), TypeError, "timeout"),  # type: ignore[arg-type]
    "Lock both": (lambda: Lock().acquire(False, 1), ValueError, "blocking=True"),
    "Lock release": (lambda: Lock().release(), RuntimeError, "release"),
    "Barrier parties": (lambda: Barrier(0), ValueError, "parties"),
    "Barrier text": (lambda: Barrier("2"), TypeError, "parties"),  # type: ignore[arg-type]
    "Barrier action": (lambda: Barrier(2, 3), TypeError, "action"),  # type: ignore[arg-type]
    "Barrier NaN": (lambda: Barrier(2, timeout=NAN), ValueError, "timeout"),
    "Barrier wait": (lambda: Barrier(2).wait(NAN), ValueError, "timeout"),
    "Queue maxsize": (lambda: Queue("1"), TypeError, "maxsize"),  # type: ignore[arg-type]
    "Queue get": (lambda: Queue[int]().get(timeout=-1), ValueError, "timeout"),
    "Queue get NaN": (lambda: Queue[int]().get(timeout=NAN), ValueError, "timeout"),
    "Queue put": (lambda: full().put(1, timeout=-1), ValueError, "timeout"),
    "Queue put text": (lambda: full().put(1, timeout="1"), TypeError, "timeout"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_and_the_message_names_the_argument(name: str) -> None:
    call, error, word = BAD[name]
    with pytest.raises(error, match=word):
        call()


def test_a_bad_timeout_takes_nothing() -> None:
    jobs, permits = full(), Semaphore(1)
    with pytest.raises(ValueError, match="timeout"):
        jobs.get(timeout=NAN)
    with pytest.raises(ValueError, match="timeout"):
        permits.acquire(timeout=NAN)
    assert (items(jobs), permits._value) == ([0], 1)


# ---------------------------------------------------------------- signals, in a real process


def ended(code: str, *signals: signal.Signals) -> tuple[int, str, str]:
    """Run `code`, which may name what it likes of `sync`; return how the signals end it."""
    imports = "import joinable, signal, threading\nfrom joinable.sync import *\n"
    return signalled(imports + textwrap.dedent(code), *signals)


INTERRUPTED = {
    "Event": ("e = Event()", "e.wait()", "e.wait(0), e.set(), e.wait()", "(False, None, True)"),
    "Event timeout": ("e = Event()", "e.wait(1000)", "e.wait(0)", "False"),
    "Condition": (
        "c = Condition()",
        "\n            with c: c.wait()",
        "c.acquire(False), c.release(), len(c._waiters)",
        "(True, None, 0)",
    ),
    "Condition over Lock": (
        "c = Condition(Lock())",
        "\n            with c: c.wait()",
        "c.acquire(False), c.release(), len(c._waiters)",
        "(True, None, 0)",
    ),
    "Semaphore": (
        "s = Semaphore(0)",
        "s.acquire()",
        "s.release(), s.acquire(False)",
        "(None, True)",
    ),
    "Barrier": ("b = Barrier(2)", "b.wait()", "b.broken, b.n_waiting", "(True, 0)"),
    "Queue.get": ("q = Queue()", "q.get()", "q.put(1), q.get()", "(None, 1)"),
    "Queue.put": ("q = Queue(1); q.put(0)", "q.put(1)", "q.get(), q.qsize()", "(0, 0)"),
    "Queue.join": ("q = Queue(); q.put(0)", "q.join()", "q.task_done(), q.join()", "(None, None)"),
    "Lock": (
        "l = Lock(); l.acquire()",
        "l.acquire()",
        "l.release(), l.acquire(False), len(l._waiters)",
        "(None, True, 0)",
    ),
}


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C can be sent to one process there")
@pytest.mark.parametrize("scoped", [False, True], ids=["bare", "in a scope"])
@pytest.mark.parametrize("name", INTERRUPTED)
def test_ctrl_c_ends_a_wait_and_leaves_all_in_order(name: str, *, scoped: bool) -> None:
    make, wait, after, expected = INTERRUPTED[name]
    code = f"""
        if {scoped}:
            scope = joinable.CancelScope()
            scope.__enter__()
        {make}
        cue("waiting")
        try:
            {wait}
        except KeyboardInterrupt:
            left = {after}
            print(left)
        """
    assert ended(code, signal.SIGINT) == (0, f"waiting\n{expected}\n", "")


HANDLED = {
    "Event": ("e = Event()", "e.set()", "e.wait()", "True"),
    "Event timeout": ("e = Event()", "e.set()", "e.wait(1000)", "True"),
    "Queue.get": ("q = Queue()", "q.put(7)", "q.get()", "7"),
    "Queue.put": ("q = Queue(1); q.put(0)", "q.get()", "q.put(1)", "None"),
    "Queue.join": ("q = Queue(); q.put(0)", "q.task_done()", "q.join()", "None"),
    "Semaphore": ("s = Semaphore(0)", "s.release()", "s.acquire()", "True"),
    "Lock": ("l = Lock(); l.acquire()", "l.release()", "l.acquire()", "True"),
    "Barrier": ("b = Barrier(2)", "b.reset()", "b.n_waiting or see(b)", "broken"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGUSR1 is not known there")
@pytest.mark.parametrize("scoped", [False, True], ids=["bare", "in a scope"])
@pytest.mark.parametrize("name", HANDLED)
def test_a_signal_handler_may_end_the_wait_that_it_interrupts(name: str, *, scoped: bool) -> None:
    make, act, wait, expected = HANDLED[name]
    code = f"""
        if {scoped}:
            scope = joinable.CancelScope()
            scope.__enter__()
        def see(barrier):
            try:
                barrier.wait()
            except threading.BrokenBarrierError:
                return "broken"
        {make}
        signal.signal(signal.SIGUSR1, lambda *_: {act})
        cue("waiting")
        print({wait})
        """
    assert ended(code, signal.SIGUSR1) == (0, f"waiting\n{expected}\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGUSR1 is not known there")
def test_a_signal_handler_may_cancel_the_wait_that_it_interrupts() -> None:
    code = """
        with joinable.CancelScope() as scope:
            signal.signal(signal.SIGUSR1, lambda *_: scope.cancel())
            cue("waiting")
            Queue().get()
        print(scope.cancelled_caught)
        """
    assert ended(code, signal.SIGUSR1) == (0, "waiting\nTrue\n", "")
