"""The standard library's locks and queues, with waits that end when you say so.

Each is a subclass of the standard class, where there is one, and can take its place. Every wait in
them ends when the scope in force is cancelled or its deadline passes, and takes nothing then: no
item, permit or notification is lost.

What waits raises `Cancelled` at entry in a cancelled scope, also where it would not have to wait (a
busy consumer would never stop otherwise); a `Lock` only when it would have to. What does not wait
(`put_nowait`, `acquire(blocking=False)`) is not concerned.
"""

from __future__ import annotations

from joinable.sync._barrier import Barrier
from joinable.sync._condition import Condition
from joinable.sync._event import Event
from joinable.sync._lock import Lock
from joinable.sync._queue import LifoQueue, PriorityQueue, Queue, ShutDown
from joinable.sync._semaphore import BoundedSemaphore, Semaphore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joinable._statistics import (
        BarrierStatistics,
        ConditionStatistics,
        EventStatistics,
        LockStatistics,
        QueueStatistics,
        SemaphoreStatistics,
    )

__all__ = [
    "Barrier",
    "BarrierStatistics",
    "BoundedSemaphore",
    "Condition",
    "ConditionStatistics",
    "Event",
    "EventStatistics",
    "LifoQueue",
    "Lock",
    "LockStatistics",
    "PriorityQueue",
    "Queue",
    "QueueStatistics",
    "Semaphore",
    "SemaphoreStatistics",
    "ShutDown",
]


def __getattr__(name: str) -> object:
    # Records are loaded when they are first asked for: few do.
    if not name.endswith("Statistics") or name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from joinable import _statistics  # noqa: PLC0415  see above

    value: object = getattr(_statistics, name)
    globals()[name] = value
    return value
