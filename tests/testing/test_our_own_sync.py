# A scope may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""The primitives of `sync` under every schedule: nothing is lost where a wait is cancelled.

Each model is a small program; the line under its name says what must hold. Then come checked
histories, and the faults at the end show that the models can fail.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from joinable import (
    Cancelled,
    CancelScope,
    _chain,
    _park,
    _scope,
    move_on_after,
    shield,
)
from joinable._chain import Sleeper
from joinable.sync import (
    Barrier,
    Condition,
    Event,
    Lock,
    Queue,
    Semaphore,
    ShutDown,
    _barrier,
    _condition,
    _event,
    _lock,
    _queue,
    _semaphore,
)
from joinable.testing import ScheduleError, WouldBlock, check_linearizable, explore

if TYPE_CHECKING:
    from collections.abc import Callable

    Waits = Callable[[], object]


def together(*calls: Callable[[], object]) -> None:
    """Run all but the last in threads of their own, and the last one here."""
    threads = [threading.Thread(target=call) for call in calls[:-1]]
    for thread in threads:
        thread.start()
    calls[-1]()
    for thread in threads:
        thread.join()


def at_one(call: Callable[[], object]) -> Callable[[], object]:
    """Let it be called at second 1, when all that came before it is done or waits."""

    def wait_and_call() -> None:
        time.sleep(1)
        call()

    return wait_and_call


def race(*calls: Callable[[], object]) -> None:
    """Make all calls at one moment: whoever goes first, it is not for having been started first."""
    together(*map(at_one, calls))


def late(*calls: Callable[[], object]) -> None:
    """Make the first two calls, and all others at one moment when those two wait."""
    together(*calls[:2], *map(at_one, calls[2:]))


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

    together(late, patient, release)
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

    together(cancelled, patient, cancel)
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

    together(lambda: wait("a", 1), lambda: wait("b", 10), notify)
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

    together(lambda: enter("a"), at_one(lambda: enter("b")), at_one(permits.release))
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

    together(cancelled, patient, patient, lambda: permits.release(2), scope.cancel)
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

    together(cancelled, lambda: seen.append(event.wait()), scope.cancel, event.set)
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

    together(cancelled, lambda: meet(barrier, other), scope.cancel)
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

    together(cancelled, patient, scope.cancel)
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

    together(lambda: meet(barrier, one), lambda: meet(barrier, other), reset)
    assert one == other
    assert calls == ["action"]
    assert not barrier.broken
    assert barrier.n_waiting == 0


# -------------------------------------------------------------------- Queue


def item_comes_with_a_cancel(make_calls: Callable[..., None]) -> None:
    """The getter that is not cancelled has it; the other one puts it back if it was first."""
    items, scope = Queue[int](), CancelScope()
    got: list[int] = []

    def cancelled() -> None:
        with scope:
            items.put_nowait(items.get())

    make_calls(cancelled, lambda: got.append(items.get()), scope.cancel, lambda: items.put(7))
    assert got == [7]
    assert items.qsize() == 0
    assert not items.not_empty._waiters  # type: ignore[attr-defined]


def an_item_comes_with_a_cancel() -> None:
    """It comes while they come."""
    item_comes_with_a_cancel(race)


def an_item_comes_with_the_cancel_of_one_who_waits() -> None:
    """It comes while they wait."""
    item_comes_with_a_cancel(late)


def room_comes_with_a_cancel() -> None:
    """What is put is what comes out, of each once; a putter that is cancelled has put nothing."""
    items, scope = Queue[int](1), CancelScope()
    items.put(1)

    def cancelled() -> None:
        with scope:
            put(2)

    def put(item: int) -> None:
        items.put(item)
        assert items.qsize() <= 1

    got: list[int] = []
    together(
        cancelled,
        lambda: put(3),
        scope.cancel,
        lambda: got.extend([items.get(), items.get()]),
    )
    got += [items.get() for _ in range(items.qsize())]
    assert sorted(got) == ([1, 3] if scope.cancelled_caught else [1, 2, 3])
    assert not items.not_full._waiters  # type: ignore[attr-defined]


def a_shutdown_comes_with_an_item() -> None:
    """An item that was put is got, and every getter comes back."""
    items = Queue[int]()
    ends: list[object] = []

    def get() -> None:
        try:
            ends.append(items.get())
        except ShutDown:
            ends.append("shut down")

    def put_and_shut() -> None:
        items.put(7)
        items.shutdown()

    together(get, get, put_and_shut)
    assert sorted(ends, key=str) == [7, "shut down"]


def a_shutdown_comes_with_a_put_and_a_cancel() -> None:
    """Every putter comes back; one that was refused or cancelled has put nothing."""
    items, scope = Queue[int](1), CancelScope()
    items.put(1)
    refused: list[str] = []

    def put() -> None:
        try:
            items.put(2)
        except ShutDown:
            refused.append("refused")

    def cancelled() -> None:
        with scope:
            put()

    together(cancelled, put, scope.cancel, items.shutdown)
    assert len(refused) == 2 - scope.cancelled_caught
    assert items.qsize() == 1


def a_join_of_a_queue_comes_with_a_cancel() -> None:
    """Who is not cancelled learns that all is done."""
    items, scope = Queue[int](), CancelScope()
    items.put(7)

    def cancelled() -> None:
        with scope:
            items.join()

    together(cancelled, items.join, scope.cancel, items.task_done)
    assert not items.all_tasks_done._waiters  # type: ignore[attr-defined]


def an_item_comes_at_the_deadline() -> None:
    """It is got or it is in the queue, and is nowhere twice."""
    items = Queue[int]()
    got: list[int] = []

    def get() -> None:
        with move_on_after(1):
            got.append(items.get())

    def put() -> None:
        time.sleep(1)
        items.put(7)

    together(get, put)
    assert len(got) + items.qsize() == 1


class Model(NamedTuple):
    """A program that must hold, what is watched, and the bound within which all is run."""

    program: Callable[[], None]
    watch: tuple[object, ...]
    bound: int = 1


CORE = (_chain, _park, _scope)

MODELS = [
    Model(a_lock_is_released_when_one_of_two_is_cancelled, (_lock, _park), 0),
    Model(a_lock_is_released_when_one_who_waits_is_cancelled, (_lock, _park), 0),
    Model(a_lock_is_released_when_a_time_is_up, (_lock, _park)),
    Model(a_notification_meets_a_cancel, (_condition, _lock, _park), 0),
    Model(a_notification_meets_the_cancel_of_one_who_waits, (_condition, _lock, _park), 0),
    Model(nobody_is_woken_by_two_cancels, (_condition, *CORE)),
    Model(nobody_is_woken_by_a_cancel_in_time, (_condition, *CORE), 2),
    Model(nobody_is_woken_by_the_end_of_a_shield, (_condition, *CORE), 2),
    Model(a_notification_meets_a_timeout, (_condition, *CORE), 2),
    Model(a_notification_meets_a_timeout_and_a_cancel, (_condition, *CORE), 0),
    Model(a_permit_comes_with_a_cancel, (_condition, _park, _semaphore), 0),
    Model(a_permit_comes_with_the_cancel_of_one_who_waits, (_condition, _park, _semaphore), 0),
    Model(a_permit_is_snatched_away, (_condition, _semaphore)),
    Model(two_permits_come_at_once_with_a_cancel, (_condition, _park, _semaphore), 0),
    Model(an_event_is_set_while_one_is_cancelled, (_condition, _event, _park)),
    Model(the_last_comes_when_one_is_cancelled, (_barrier, _condition, _park)),
    Model(one_is_cancelled_in_the_second_round, (_barrier, _condition, _park)),
    Model(a_reset_comes_while_the_action_runs, (_barrier, _condition)),
    Model(an_item_comes_with_a_cancel, (_condition, _park, _queue), 0),
    Model(an_item_comes_with_the_cancel_of_one_who_waits, (_condition, _park, _queue), 0),
    Model(room_comes_with_a_cancel, (_condition, _park, _queue)),
    Model(a_shutdown_comes_with_an_item, (_condition, _queue), 2),
    Model(a_shutdown_comes_with_a_put_and_a_cancel, (_condition, _park, _queue)),
    Model(a_join_of_a_queue_comes_with_a_cancel, (_condition, _park, _queue)),
    Model(an_item_comes_at_the_deadline, (_condition, *CORE), 2),
]


def name_of(model: Model) -> str:
    return model.program.__name__


each_model = pytest.mark.parametrize("model", MODELS, ids=name_of)


@each_model
@pytest.mark.parametrize("strategy", ["pct", "random"])
def test_it_holds_with_every_bytecode_a_point(model: Model, strategy: Any) -> None:
    explore(model.program, watch=model.watch, strategy=strategy, runs=40)


@each_model
def test_it_holds_under_every_schedule_within_the_bound(model: Model) -> None:
    report = explore(model.program, strategy="dfs", preemptions=model.bound, runs=20_000)
    assert report.exhausted


@pytest.mark.soak
@each_model
@pytest.mark.parametrize("strategy", ["pct", "random"])
def test_it_holds_for_long(model: Model, strategy: Any) -> None:
    explore(model.program, watch=model.watch, strategy=strategy, preemptions=3, runs=10_000, seed=1)


@pytest.mark.soak
@each_model
def test_it_holds_under_every_schedule_of_two_preemptions(model: Model) -> None:
    report = explore(model.program, strategy="dfs", preemptions=2, runs=200_000)
    assert report.exhausted


# -------------------------------------------------------------------- checked histories


class Timed:
    """One wait is cancelled at second 1; what it waits for comes at second 1 too.

    All that is done before has been done by then. So a wait that was cancelled had to wait, and in
    a sequence of calls it stands where it began: it is a look that has found nothing.
    """

    def __init__(self) -> None:
        self.scope = CancelScope()

    def cancel(self) -> None:
        time.sleep(1)
        self.scope.cancel()


class TimedQueue(Timed):
    def __init__(self, *items: int) -> None:
        super().__init__()
        self.items = Queue[int](1)
        for item in items:
            self.items.put(item)

    def get(self) -> int:
        return self.items.get()

    def put(self, item: int) -> None:
        self.items.put(item)

    def get_or_stop(self) -> int | None:
        with self.scope:
            return self.items.get()
        return None

    def put_or_stop(self, item: int) -> bool:
        with self.scope:
            self.items.put(item)
            return True
        return False

    def get_at_one(self) -> int:
        time.sleep(1)
        return self.items.get()

    def put_at_one(self, item: int) -> None:
        time.sleep(1)
        self.items.put(item)

    def look(self) -> int | None:
        try:
            return self.items.get_nowait()
        except queue.Empty:
            return None


class QueueModel:
    def __init__(self, *items: int) -> None:
        self.items = [*items]

    def cancel(self) -> None:
        """Change nothing: whom it stops has changed nothing either."""

    def get(self) -> int:
        if not self.items:
            raise WouldBlock
        return self.items.pop(0)

    def put(self, item: int) -> None:
        if self.items:
            raise WouldBlock
        self.items.append(item)

    def get_or_stop(self) -> int | None:
        return self.items.pop(0) if self.items else None

    def put_or_stop(self, item: int) -> bool:
        if self.items:
            return False
        self.items.append(item)
        return True

    get_at_one = get
    put_at_one = put
    look = get_or_stop


class TimedPermits(Timed):
    """A Semaphore or a Lock that nobody can have at first."""

    def __init__(self, permits: Semaphore | Lock) -> None:
        super().__init__()
        self.permits = permits

    def acquire(self) -> bool:
        return self.permits.acquire()

    def acquire_or_stop(self) -> bool:
        with self.scope:
            return self.permits.acquire()
        return False

    def release_at_one(self) -> None:
        time.sleep(1)
        self.permits.release()

    def look(self) -> bool:
        return self.permits.acquire(blocking=False)


class PermitsModel:
    def __init__(self) -> None:
        self.free = 0

    def cancel(self) -> None:
        """Change nothing."""

    def acquire(self) -> bool:
        if not self.free:
            raise WouldBlock
        return self.acquire_or_stop()

    def acquire_or_stop(self) -> bool:
        free, self.free = self.free, max(0, self.free - 1)
        return free > 0

    def release_at_one(self) -> None:
        self.free += 1

    look = acquire_or_stop


def full_queue() -> TimedQueue:
    return TimedQueue(1)


def full_model() -> QueueModel:
    return QueueModel(1)


def no_permits() -> TimedPermits:
    return TimedPermits(Semaphore(0))


def taken_lock() -> TimedPermits:
    lock = Lock()
    lock.acquire()
    return TimedPermits(lock)


class History(NamedTuple):
    """Calls that are made at once, on what, and what they must agree with."""

    make: Callable[[], object]
    model: Callable[[], object]
    calls: list[list[str | tuple[object, ...]]]
    watch: tuple[object, ...]


HISTORIES = {
    "two get while one comes": History(
        TimedQueue,
        QueueModel,
        [["get_or_stop"], ["get"], [("put_at_one", 1)], ["cancel"]],
        (_condition, _park, _queue),
    ),
    "two put while one goes": History(
        full_queue,
        full_model,
        [[("put_or_stop", 2)], [("put", 3)], ["get_at_one"], ["cancel"]],
        (_condition, _park, _queue),
    ),
    "two want a permit": History(
        no_permits,
        PermitsModel,
        [["acquire_or_stop"], ["acquire"], ["release_at_one"], ["cancel"]],
        (_condition, _park, _semaphore),
    ),
    "two want a lock": History(
        taken_lock,
        PermitsModel,
        [["acquire_or_stop"], ["acquire"], ["release_at_one"], ["cancel"]],
        (_lock, _park),
    ),
}

each_history = pytest.mark.parametrize("history", HISTORIES.values(), ids=list(HISTORIES))


@each_history
@pytest.mark.parametrize("strategy", ["pct", "random"])
def test_its_calls_have_an_order(history: History, strategy: Any) -> None:
    check_linearizable(
        history.make,
        history.calls,
        history.model,
        after=["look", "look"],
        watch=history.watch,
        strategy=strategy,
        runs=100,
    )


@each_history
@pytest.mark.parametrize("bound", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_its_calls_have_an_order_under_every_schedule(history: History, bound: int) -> None:
    report = check_linearizable(
        history.make,
        history.calls,
        history.model,
        after=["look", "look"],
        strategy="dfs",
        preemptions=bound,
        runs=50_000,
    )
    assert report.exhausted


@pytest.mark.soak
@each_history
def test_its_calls_have_an_order_for_long(history: History) -> None:
    check_linearizable(
        history.make,
        history.calls,
        history.model,
        after=["look", "look"],
        watch=history.watch,
        preemptions=3,
        runs=10_000,
        seed=1,
    )


# -------------------------------------------------------------------- faults


class Fault(NamedTuple):
    """One changed line, and the model that must notice."""

    owner: object
    name: str
    old: str
    new: str
    program: Callable[[], None]


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
    "Condition: a notification goes on to those who came after it only": Fault(
        Condition,
        "_pass_on",
        "self._waiters[0].serial <= told",
        "self._waiters[0].serial > told",
        an_item_comes_with_the_cancel_of_one_who_waits,
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
        "self.woken = release(self.latch)",
        "release(self.latch)",
        nobody_is_woken_by_two_cancels,
    ),
    "two scopes wake one waiter twice": Fault(
        Sleeper,
        "wake",
        "self._once.pop()",
        "pass",
        nobody_is_woken_by_two_cancels,
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
    "Queue: a put wakes nobody": Fault(
        Queue,
        "put",
        "self.not_empty.notify()",
        "pass",
        an_item_comes_with_a_cancel,
    ),
    "Queue: a get wakes nobody": Fault(
        Queue,
        "get",
        "self.not_full.notify()",
        "pass",
        room_comes_with_a_cancel,
    ),
    "Queue: a woken putter does not look again": Fault(
        Queue,
        "_wait_for_room",
        "self.is_shutdown or self._qsize() < self.maxsize",
        "True",
        room_comes_with_a_cancel,
    ),
    "Queue: a getter does not know of the shutdown": Fault(
        Queue,
        "_wait_for_item",
        "lambda: self.is_shutdown or self._qsize()",
        "self._qsize",
        a_shutdown_comes_with_an_item,
    ),
    "Queue: a shutdown wakes one of each": Fault(
        Queue,
        "shutdown",
        "condition.notify_all()",
        "condition.notify()",
        a_shutdown_comes_with_a_put_and_a_cancel,
    ),
    "Queue: a putter that was woken by the shutdown puts": Fault(
        Queue,
        "put",
        "        if self.is_shutdown:\n            raise ShutDown\n",
        "",
        a_shutdown_comes_with_a_put_and_a_cancel,
    ),
}

WATCHED = {model.program: model.watch for model in MODELS}


@pytest.mark.parametrize("case", FAULTS.values(), ids=list(FAULTS))
def test_a_fault_is_found(case: Fault, fault: Callable[[Any, str, str, str], None]) -> None:
    fault(case.owner, case.name, case.old, case.new)
    with pytest.raises(ScheduleError):
        explore(case.program, watch=WATCHED[case.program], strategy="random", runs=400)
        explore(case.program, strategy="dfs", preemptions=1, runs=4000)
