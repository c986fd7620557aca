# A scope may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""Calls on the primitives of `sync`, some cancelled, have an order under every schedule."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from exploring import TO_THE_END, fewer
from joinable import CancelScope, _park
from joinable.sync import Lock, Queue, Semaphore, _condition, _lock, _queue, _semaphore
from joinable.testing import WouldBlock, check_linearizable

if TYPE_CHECKING:
    from collections.abc import Callable


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
        runs=fewer(100),
    )


@each_history
@pytest.mark.parametrize(
    "bound", [pytest.param(0, marks=TO_THE_END), pytest.param(1, marks=pytest.mark.soak)]
)
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
