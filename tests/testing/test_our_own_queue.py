# A scope may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""`Queue` under every schedule: no item is lost or doubled where a wait is cancelled.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from exploring import Composed, Fault, Model, late, race, together_here
from joinable import CancelScope, _chain, _park, _scope, move_on_after
from joinable.sync import Condition, Queue, ShutDown, _condition, _queue

if TYPE_CHECKING:
    from collections.abc import Callable


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
    together_here(
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

    together_here(get, get, put_and_shut)
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

    together_here(cancelled, put, scope.cancel, items.shutdown)
    assert len(refused) == 2 - scope.cancelled_caught
    assert items.qsize() == 1


def a_join_of_a_queue_comes_with_a_cancel() -> None:
    """Who is not cancelled learns that all is done."""
    items, scope = Queue[int](), CancelScope()
    items.put(7)

    def cancelled() -> None:
        with scope:
            items.join()

    together_here(cancelled, items.join, scope.cancel, items.task_done)
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

    together_here(get, put)
    assert len(got) + items.qsize() == 1


CORE = (_chain, _park, _scope)

MODELS = [
    Model(an_item_comes_with_a_cancel, (_condition, _park, _queue), bound=0),
    Model(an_item_comes_with_the_cancel_of_one_who_waits, (_condition, _park, _queue), bound=0),
    Model(room_comes_with_a_cancel, (_condition, _park, _queue)),
    Model(a_shutdown_comes_with_an_item, (_condition, _queue), bound=2),
    Model(a_shutdown_comes_with_a_put_and_a_cancel, (_condition, _park, _queue)),
    Model(a_join_of_a_queue_comes_with_a_cancel, (_condition, _park, _queue)),
    Model(an_item_comes_at_the_deadline, (_condition, *CORE), bound=2),
]

FAULTS = {
    "Condition: a notification goes on to those who came after it only": Fault(
        Condition,
        "_pass_on",
        "other.serial <= told",
        "other.serial > told",
        an_item_comes_with_the_cancel_of_one_who_waits,
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


class TestQueue(Composed):
    models = MODELS
    faults = FAULTS
