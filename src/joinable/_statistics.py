"""What `statistics()` gives out: records of numbers, as they were at one moment.

Loaded when somebody first asks for one.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BarrierStatistics",
    "ConditionStatistics",
    "EventStatistics",
    "GroupStatistics",
    "LockStatistics",
    "PoolStatistics",
    "QueueStatistics",
    "SemaphoreStatistics",
]


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """The calls of a `TaskGroup`.

    Example:
        >>> from joinable import GroupStatistics, TaskGroup
        >>> with TaskGroup(max_workers=2) as group:
        ...     tasks = [group.spawn(abs, n) for n in range(3)]
        >>> now: GroupStatistics = group.statistics()
        >>> now.spawned, now.failed, now.max_workers
        (3, 0, 2)

    Attributes:
        state: "open", or why nothing more is started: "it has failed", say.
        spawned: Calls that the group has taken.
        running: Calls that have a thread.
        waiting: Calls that wait for one.
        done: Calls that have ended, in whatever way.
        failed: Errors of calls, and what else has made the group fail, such as Ctrl-C.
        max_workers: How many calls may run at a time; None for any number.
    """

    state: str
    spawned: int
    running: int
    waiting: int
    done: int
    failed: int
    max_workers: int | None


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The calls and threads of a `ThreadPool`.

    Example:
        >>> from joinable import PoolStatistics, ThreadPool
        >>> with ThreadPool(2) as pool:
        ...     results = list(pool.map(abs, range(5)))
        >>> now: PoolStatistics = pool.statistics()
        >>> now.submitted, now.waiting, now.state
        (5, 0, 'shutdown')

    Attributes:
        state: "open", or by what it was closed: "shutdown", say.
        submitted: Calls that the pool has taken.
        running: Calls that have a thread.
        waiting: Calls that wait for one.
        done: Calls that have ended, in whatever way.
        failed: Those of them that have raised an error of their own.
        threads: Threads that the pool has now.
        idle: Those of them that have nothing to do.
        max_workers: How many calls may run at a time.
        backlog: How many calls may wait; None for any number.
    """

    state: str
    submitted: int
    running: int
    waiting: int
    done: int
    failed: int
    threads: int
    idle: int
    max_workers: int
    backlog: int | None


@dataclass(frozen=True, slots=True)
class LockStatistics:
    """The state of a `Lock`.

    Example:
        >>> from joinable.sync import Lock, LockStatistics
        >>> lock = Lock()
        >>> with lock:
        ...     lock.statistics() == LockStatistics(locked=True, waiting=0)
        True

    Attributes:
        locked: Whether somebody has it. Who, it does not know: any thread may release it.
        waiting: Threads that wait for it.
    """

    locked: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class ConditionStatistics:
    """The state of a `Condition`.

    Example:
        >>> from joinable.sync import Condition, ConditionStatistics
        >>> Condition().statistics() == ConditionStatistics(waiting=0)
        True

    Attributes:
        waiting: Threads that wait for a notification.
    """

    waiting: int


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """The state of an `Event`.

    Example:
        >>> from joinable.sync import Event, EventStatistics
        >>> event = Event()
        >>> event.set()
        >>> event.statistics() == EventStatistics(is_set=True, waiting=0)
        True

    Attributes:
        is_set: Whether it is set.
        waiting: Threads that wait for that.
    """

    is_set: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class SemaphoreStatistics:
    """The state of a `Semaphore` or `BoundedSemaphore`.

    Example:
        >>> from joinable.sync import Semaphore, SemaphoreStatistics
        >>> permits = Semaphore(3)
        >>> with permits:
        ...     permits.statistics() == SemaphoreStatistics(value=2, waiting=0, bound=None)
        True

    Attributes:
        value: Permits that are free.
        waiting: Threads that wait for one.
        bound: How many there may be; None without a bound.
    """

    value: int
    waiting: int
    bound: int | None


@dataclass(frozen=True, slots=True)
class BarrierStatistics:
    """The state of a `Barrier`.

    Example:
        >>> from joinable.sync import Barrier, BarrierStatistics
        >>> Barrier(2).statistics() == BarrierStatistics(parties=2, waiting=0, broken=False)
        True

    Attributes:
        parties: How many threads have to meet.
        waiting: Threads that are there, and wait for the others.
        broken: Whether it is broken.
    """

    parties: int
    waiting: int
    broken: bool


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """The state of a `Queue`, `LifoQueue` or `PriorityQueue`.

    Example:
        >>> from joinable.sync import Queue, QueueStatistics
        >>> jobs = Queue(maxsize=8)
        >>> jobs.put("sweep")
        >>> now: QueueStatistics = jobs.statistics()
        >>> now.size, now.maxsize, now.unfinished
        (1, 8, 1)

    Attributes:
        size: Items in it.
        maxsize: How many there may be; 0 or less for any number.
        unfinished: Items that were put and not reported by `task_done`.
        getting: Threads that wait in `get` for an item.
        putting: Threads that wait in `put` for room.
        joining: Threads that wait in `join`.
        is_shutdown: Whether it has been shut down.
    """

    size: int
    maxsize: int
    unfinished: int
    getting: int
    putting: int
    joining: int
    is_shutdown: bool
