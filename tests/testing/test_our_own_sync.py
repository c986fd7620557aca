# A scope may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""The primitives of `sync` under every schedule: nothing is lost where a wait is cancelled.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import TYPE_CHECKING

from exploring import Composed, Fault, Model, at_one, late, race, together_here
from joinable import Cancelled, CancelScope, _chain, _park, _scope, shield
from joinable._chain import Sleeper
from joinable.sync import (
    Barrier,
    Condition,
    Event,
    Lock,
    Semaphore,
    _barrier,
    _condition,
    _event,
    _lock,
    _semaphore,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Visitors:
    """Who is inside what admits one at a time."""

    def __init__(self) -> None:
        self.inside = 0
        self.names: list[str] = []

    def visit(self, name: str) -> None:
        self.inside += 1
        assert self.inside == 1
        time.sleep(0)  # where others may come in between
        self.names.append(name)
        self.inside -= 1


# -------------------------------------------------------------------- Lock


def lock_comes_with_a_cancel(make_calls: Callable[..., None]) -> None:
    """The other one gets it, whoever was woken, and nobody is left in the queue."""
    lock, scope, visitors = Lock(), CancelScope(), Visitors()
    lock.acquire()

    def cancelled() -> None:
        with scope, lock:
            visitors.visit("a")

    def patient() -> None:
        with lock:
            visitors.visit("b")

    make_calls(cancelled, patient, scope.cancel, lock.release)
    assert ("a" in visitors.names) != scope.cancelled_caught
    assert "b" in visitors.names
    assert not lock.locked()
    assert not lock._waiters


def a_lock_is_released_when_one_of_two_is_cancelled() -> None:
    """It comes while they come."""
    lock_comes_with_a_cancel(race)


def a_lock_is_released_when_one_who_waits_is_cancelled() -> None:
    """It comes while they wait."""
    lock_comes_with_a_cancel(late)


def a_lock_is_released_when_a_time_is_up() -> None:
    """Who is late passes on what has woken him."""
    lock, visitors = Lock(), Visitors()
    lock.acquire()

    def late() -> None:
        if lock.acquire(timeout=1):
            visitors.visit("a")
            lock.release()

    def patient() -> None:
        with lock:
            visitors.visit("b")

    def release() -> None:
        time.sleep(1)
        lock.release()

    together_here(late, patient, release)
    assert "b" in visitors.names
    assert not lock.locked()
    assert not lock._waiters


# -------------------------------------------------------------------- Condition


def notification_comes_with_a_cancel(make_calls: Callable[..., None]) -> None:
    """Of two who wait, one is cancelled and one is notified, or one is left to the next `notify`.

    With a Lock of ours, which must be held again after the wait however that has ended.
    """
    lock = Lock()
    condition, scope, visitors = Condition(lock), CancelScope(), Visitors()
    permits: list[int] = []

    def enter(name: str) -> None:
        with condition:
            condition.wait_for(lambda: permits)
            visitors.visit(name)
            condition.notify()

    def cancelled() -> None:
        with scope:
            enter("a")

    def permit() -> None:
        with condition:
            permits.append(1)
            condition.notify()

    make_calls(cancelled, lambda: enter("b"), scope.cancel, permit)
    assert ("a" in visitors.names) != scope.cancelled_caught
    assert "b" in visitors.names
    assert not lock.locked()
    assert not condition._waiters


def a_notification_meets_a_cancel() -> None:
    """It comes while they come."""
    notification_comes_with_a_cancel(race)


def a_notification_meets_the_cancel_of_one_who_waits() -> None:
    """It comes while they wait."""
    notification_comes_with_a_cancel(late)


def nobody_is_woken_by_two_cancels() -> None:
    """A wait that two scopes end at one moment is no notification for the next one in the queue."""
    condition, outer, inner = Condition(), CancelScope(), CancelScope()
    woken: list[bool] = []

    def cancelled() -> None:
        with outer, inner, condition:
            woken.append(condition.wait())

    def patient() -> None:
        with condition:
            woken.append(condition.wait(10))

    late(cancelled, patient, inner.cancel, outer.cancel)
    assert woken == [False]
    assert not condition._waiters


def two_cancels_leave_the_latch_held() -> None:
    """One of them releases it, and the waiter takes it back."""
    outer, inner, held = CancelScope(), CancelScope(), _park.latch()

    def cancelled() -> None:
        with outer, inner:
            _park.park(held)

    late(cancelled, int, inner.cancel, outer.cancel)
    assert held.locked()


def nobody_is_woken_by_a_cancel_in_time() -> None:
    """Nor is one that is cancelled at the moment when its time is up."""
    condition, scope = Condition(), CancelScope()
    woken: list[bool] = []

    def cancelled() -> None:
        with scope, condition:
            assert not condition.wait(1)

    def patient() -> None:
        with condition:
            woken.append(condition.wait(10))

    def cancel() -> None:
        time.sleep(1)
        scope.cancel()

    together_here(cancelled, patient, cancel)
    assert woken == [False]
    assert not condition._waiters


def nobody_is_woken_by_the_end_of_a_shield() -> None:
    """A wait in another thread looks again then; its time is up at that moment, and no more."""
    condition = Condition()
    woken: list[bool] = []

    def wait() -> None:
        with condition:
            woken.append(condition.wait(1))

    with shield(None):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(wait,))
        thread.start()
        time.sleep(1)
    thread.join()
    assert woken == [False]


def a_notification_meets_a_timeout() -> None:
    """Who is late has not been notified, and then the other one has, or it comes to nobody."""
    condition = Condition()
    woken: list[tuple[str, bool]] = []

    def wait(name: str, seconds: float) -> None:
        with condition:
            woken.append((name, condition.wait(seconds)))

    def notify() -> None:
        time.sleep(1)
        with condition:
            condition.notify()

    together_here(lambda: wait("a", 1), lambda: wait("b", 10), notify)
    assert sorted(woken) in (
        [("a", True), ("b", False)],
        [("a", False), ("b", True)],
    )
    assert not condition._waiters


def a_notification_meets_a_timeout_and_a_cancel() -> None:
    """One of two who wait is ended in three ways at once: the notification wakes one of them."""
    condition, scope = Condition(), CancelScope()
    woken: list[str] = []

    def cancelled() -> None:
        with scope, condition:
            if condition.wait(1):
                woken.append("a")

    def patient() -> None:
        with condition:
            if condition.wait(10):
                woken.append("b")

    def notify() -> None:
        with condition:
            condition.notify()

    late(cancelled, patient, notify, scope.cancel)
    assert len(woken) == 1
    assert not condition._waiters


# -------------------------------------------------------------------- Semaphore


def permit_comes_with_a_cancel(make_calls: Callable[..., None]) -> None:
    """It is taken by the one that was not cancelled in the end, and then it is back."""
    permits, scope, visitors = Semaphore(0), CancelScope(), Visitors()

    def cancelled() -> None:
        with scope, permits:
            visitors.visit("a")

    def patient() -> None:
        permits.acquire()
        visitors.visit("b")
        permits.release()

    make_calls(cancelled, patient, scope.cancel, permits.release)
    assert ("a" in visitors.names) != scope.cancelled_caught
    assert "b" in visitors.names
    assert permits._value == 1
    assert not permits._cond._waiters


def a_permit_comes_with_a_cancel() -> None:
    """It comes while they come."""
    permit_comes_with_a_cancel(race)


def a_permit_comes_with_the_cancel_of_one_who_waits() -> None:
    """It comes while they wait."""
    permit_comes_with_a_cancel(late)


def a_permit_is_snatched_away() -> None:
    """Who is woken and comes too late waits on."""
    permits, visitors = Semaphore(0), Visitors()

    def enter(name: str) -> None:
        permits.acquire()
        visitors.visit(name)
        permits.release()

    together_here(lambda: enter("a"), at_one(lambda: enter("b")), at_one(permits.release))
    assert sorted(visitors.names) == ["a", "b"]
    assert permits._value == 1


def two_permits_come_at_once_with_a_cancel() -> None:
    """Both patient ones get in; the cancelled one or the last one leaves a permit."""
    permits, scope = Semaphore(0), CancelScope()
    taken: list[str] = []

    def cancelled() -> None:
        with scope:
            permits.acquire()
            permits.release()

    def patient() -> None:
        permits.acquire()
        taken.append("b")

    together_here(cancelled, patient, patient, lambda: permits.release(2), scope.cancel)
    assert taken == ["b", "b"]
    assert permits._value == 0
    assert not permits._cond._waiters


# -------------------------------------------------------------------- Event


def an_event_is_set_while_one_is_cancelled() -> None:
    """Who is not cancelled sees it set, also who is only about to wait."""
    event, scope = Event(), CancelScope()
    seen: list[bool] = []

    def cancelled() -> None:
        with scope:
            assert event.wait()

    together_here(cancelled, lambda: seen.append(event.wait()), scope.cancel, event.set)
    assert seen == [True]
    assert not event._cond._waiters


# -------------------------------------------------------------------- Barrier


def meet(barrier: Barrier, ended: list[str]) -> None:
    """Wait at a barrier and write down how that has ended."""
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        ended.append("broken")
    except Cancelled:
        ended.append("cancelled")
        raise
    else:
        ended.append("met")


def the_last_comes_when_one_is_cancelled() -> None:
    """Both meet, or the other one learns that nobody comes, but not once they have met."""
    barrier, scope = Barrier(2), CancelScope()
    one: list[str] = []
    other: list[str] = []

    def cancelled() -> None:
        with scope:
            meet(barrier, one)

    together_here(cancelled, lambda: meet(barrier, other), scope.cancel)
    assert (one, other) in (
        (["met"], ["met"]),
        (["cancelled"], ["met"]),
        (["cancelled"], ["broken"]),
    )
    assert barrier.broken == (other == ["broken"])
    assert barrier.n_waiting == 0


def one_is_cancelled_in_the_second_round() -> None:
    """What has been met stays so, and a round that breaks is broken for the other one too."""
    barrier, scope = Barrier(2), CancelScope()
    one: list[str] = []
    other: list[str] = []

    def cancelled() -> None:
        meet(barrier, one)
        with scope:
            meet(barrier, one)

    def patient() -> None:
        meet(barrier, other)
        meet(barrier, other)

    together_here(cancelled, patient, scope.cancel)
    assert one[0] == other[0] == "met"
    assert (one[1], other[1]) in (("met", "met"), ("cancelled", "met"), ("cancelled", "broken"))
    assert barrier.broken == (other[1] == "broken")


def a_reset_comes_while_the_action_runs() -> None:
    """The round that is reset is broken for all its threads, and the next one begins anew."""
    calls: list[str] = []

    def act() -> None:
        calls.append("action")
        time.sleep(1)

    barrier = Barrier(2, act)
    one: list[str] = []
    other: list[str] = []

    def reset() -> None:
        time.sleep(1)
        barrier.reset()

    together_here(lambda: meet(barrier, one), lambda: meet(barrier, other), reset)
    assert one == other
    assert calls == ["action"]
    assert not barrier.broken
    assert barrier.n_waiting == 0


CORE = (_chain, _park, _scope)

MODELS = [
    Model(a_lock_is_released_when_one_of_two_is_cancelled, (_lock, _park), bound=0),
    Model(a_lock_is_released_when_one_who_waits_is_cancelled, (_lock, _park), bound=0),
    Model(a_lock_is_released_when_a_time_is_up, (_lock, _park)),
    Model(a_notification_meets_a_cancel, (_condition, _lock, _park), bound=0),
    Model(a_notification_meets_the_cancel_of_one_who_waits, (_condition, _lock, _park), bound=0),
    Model(nobody_is_woken_by_two_cancels, (_condition, *CORE)),
    Model(two_cancels_leave_the_latch_held, (_park, _chain, _scope)),
    Model(nobody_is_woken_by_a_cancel_in_time, (_condition, *CORE), bound=2),
    Model(nobody_is_woken_by_the_end_of_a_shield, (_condition, *CORE), bound=2),
    Model(a_notification_meets_a_timeout, (_condition, *CORE), bound=2),
    Model(a_notification_meets_a_timeout_and_a_cancel, (_condition, *CORE), bound=0),
    Model(a_permit_comes_with_a_cancel, (_condition, _park, _semaphore), bound=0),
    Model(
        a_permit_comes_with_the_cancel_of_one_who_waits, (_condition, _park, _semaphore), bound=0
    ),
    Model(a_permit_is_snatched_away, (_condition, _semaphore)),
    Model(two_permits_come_at_once_with_a_cancel, (_condition, _park, _semaphore), bound=0),
    Model(an_event_is_set_while_one_is_cancelled, (_condition, _event, _park)),
    Model(the_last_comes_when_one_is_cancelled, (_barrier, _condition, _park)),
    Model(one_is_cancelled_in_the_second_round, (_barrier, _condition, _park)),
    Model(a_reset_comes_while_the_action_runs, (_barrier, _condition)),
]


FAULTS = {
    "Lock: a waiter is listed and does not try again": Fault(
        Lock,
        "_try_or_wait",
        "map(self._lock.acquire, (False,))",
        "(False,)",
        a_lock_is_released_when_one_of_two_is_cancelled,
    ),
    "Lock: a cancelled waiter keeps the hint": Fault(
        Lock,
        "_try_or_wait",
        "self._leave(held, wake_next=True)",
        "self._leave(held, wake_next=False)",
        a_lock_is_released_when_one_who_waits_is_cancelled,
    ),
    "Lock: who is late keeps the hint": Fault(
        Lock,
        "_try_or_wait",
        "wake_next=ended is False",
        "wake_next=False",
        a_lock_is_released_when_a_time_is_up,
    ),
    "Lock: a release looks at the list before it lets go": Fault(
        Lock,
        "release",
        "    self._lock.release()\n    self._wake_next()",
        "    self._wake_next()\n    self._lock.release()",
        a_lock_is_released_when_one_of_two_is_cancelled,
    ),
    "Lock: a waiter that leaves stays in the queue": Fault(
        _park,
        "leave",
        "        waiters.remove(held)",
        "        pass",
        a_lock_is_released_when_one_of_two_is_cancelled,
    ),
    "Condition: a cancelled waiter does not get the lock back": Fault(
        Lock,
        "_acquire_restore",
        "with shield(None):",
        "if True:",
        a_notification_meets_a_cancel,
    ),
    "Condition: a notification is not passed on": Fault(
        Condition,
        "_wait_until",
        "self._pass_on(waiter)",
        "pass",
        a_permit_comes_with_the_cancel_of_one_who_waits,
    ),
    "Condition: a waiter that leaves stays in the queue": Fault(
        Condition,
        "_leave",
        "self._waiters.remove(waiter)",
        "pass",
        nobody_is_woken_by_a_cancel_in_time,
    ),
    "Condition: a waiter is listed when the lock has been let go": Fault(
        Condition,
        "_park",
        "    saved = self._release_save()\n",
        "    self._waiters.remove(waiter)\n"
        "    saved = self._release_save()\n"
        "    self._waiters.append(waiter)\n",
        a_permit_comes_with_a_cancel,
    ),
    "Condition: a notification at the last moment counts as late": Fault(
        Condition,
        "_wait_until",
        "return notified or waiter.told is not None",
        "return notified",
        a_notification_meets_a_timeout,
    ),
    "a latch that canceller and clock have ended is left released": Fault(
        _park,
        "_park_once",
        "held.acquire(blocking=False)",
        "pass",
        nobody_is_woken_by_the_end_of_a_shield,
    ),
    "a canceller does not know whether it was the one": Fault(
        Sleeper,
        "wake",
        "self._released.extend(map(operator.call, iter(self._release.pop, None)))",
        "self._release.pop()()",
        nobody_is_woken_by_two_cancels,
    ),
    "two scopes wake one waiter twice": Fault(
        Sleeper,
        "wake",
        "map(operator.call, iter(self._release.pop, None))",
        "[self._release[0]()]",
        two_cancels_leave_the_latch_held,
        runs=4000,
    ),
    "Semaphore: a woken waiter does not look again": Fault(
        Semaphore,
        "acquire",
        "self._cond.wait_for(self._has_one, timeout)",
        "self._cond.wait(timeout)",
        a_permit_is_snatched_away,
    ),
    "Semaphore: a permit is taken outside the lock": Fault(
        Semaphore,
        "acquire",
        "        self._value -= 1\n        return True",
        "        pass\n    self._value -= 1\n    return True",
        two_permits_come_at_once_with_a_cancel,
    ),
    "Event: who is about to wait does not look again": Fault(
        Event,
        "wait",
        "self.is_set() or self._cond.wait(timeout)",
        "self._cond.wait(timeout)",
        an_event_is_set_while_one_is_cancelled,
    ),
    "Barrier: a cancelled wait does not break it": Fault(
        Barrier,
        "_meet",
        "            self._break()\n        raise",
        "            pass\n        raise",
        the_last_comes_when_one_is_cancelled,
    ),
    "Barrier: a cancelled wait breaks a round that has been met": Fault(
        Barrier,
        "_meet",
        "        if self._state in {_FILLING, _FULL}:\n            self._break()",
        "        self._break()",
        the_last_comes_when_one_is_cancelled,
    ),
    "Barrier: one that comes cancelled does not break it": Fault(
        Barrier,
        "_come",
        "self._break()",
        "pass",
        the_last_comes_when_one_is_cancelled,
    ),
    "Barrier: one that is cancelled during the drain does not break the next round": Fault(
        Barrier,
        "_come",
        "self._next_is_broken = True",
        "pass",
        one_is_cancelled_in_the_second_round,
    ),
    "Barrier: a reset breaks a round that has been met": Fault(
        Barrier,
        "reset",
        "self._state != _DRAINING",
        "True",
        a_reset_comes_while_the_action_runs,
    ),
    "Barrier: the next round begins while the last one drains": Fault(
        Barrier,
        "_come",
        "self._state in {_FILLING, _BROKEN}",
        "True",
        one_is_cancelled_in_the_second_round,
    ),
    "Barrier: a reset during the action is overlooked": Fault(
        Barrier,
        "_complete",
        "self._state != _FULL",
        "False",
        a_reset_comes_while_the_action_runs,
    ),
}


class TestSync(Composed):
    models = MODELS
    faults = FAULTS
