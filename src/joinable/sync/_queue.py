"""`Queue`, `LifoQueue`, `PriorityQueue`: the standard ones with waits that can be cancelled.

An item is in the queue or with whoever took it: it is put and taken under the lock, after the wait,
in one go with the notification of the other side. A wait that is cancelled takes nothing and passes
its notification on (`Condition`). So none is lost, and none is there twice.
"""

from __future__ import annotations

import queue
import sys

from joinable import _chain, _runtime
from joinable._check import check_count, check_span, shown, steady
from joinable._typing import override
from joinable.sync._condition import Condition, waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading

    from joinable._statistics import QueueStatistics
    from joinable._typing import T

__all__ = ["LifoQueue", "PriorityQueue", "Queue", "ShutDown"]

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):  # noqa: N818  the standard library's name, from 3.13 on
        """Say that the queue has been shut down; the standard library's own from 3.13 on."""


class Queue(queue.Queue["T"]):
    """A `queue.Queue` whose waits can be cancelled and obey the deadline around them.

    It has `shutdown()` on every version of Python.

    Example:
        >>> from joinable import move_on_after
        >>> from joinable.sync import Queue
        >>> jobs: Queue[str] = Queue()
        >>> jobs.put("sweep")
        >>> jobs.get()
        'sweep'
        >>> with move_on_after(0.01) as scope:
        ...     jobs.get()
        >>> scope.cancelled_caught
        True

    Args:
        maxsize: How many items it holds before `put` waits. 0 or less: any number.

    Thread-safety: every method may be called by any thread at any time.

    Cost: that of a `queue.Queue`.
    """

    is_shutdown: bool
    not_empty: threading.Condition
    not_full: threading.Condition
    all_tasks_done: threading.Condition
    unfinished_tasks: int

    def __init__(self, maxsize: int = 0) -> None:
        """Make an empty queue."""
        check_count(maxsize, "maxsize", least=None)
        super().__init__(maxsize)
        mutex = _runtime.allocate_rlock()
        self.mutex = mutex  # type: ignore[assignment]  # reentrant, which a Lock is not
        self.not_empty = Condition(mutex)
        self.not_full = Condition(mutex)
        self.all_tasks_done = Condition(mutex)
        self.is_shutdown = False

    @override
    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Add an item; wait for room if the queue is full.

        Args:
            item: Anything.
            block: Whether to wait.
            timeout: Wait so many seconds at most. None: as long as it takes.

        Raises:
            Cancelled: A scope in force asks it to stop; the item is not in the queue.
            queue.Full: There was no room, in time or at once.
            ShutDown: The queue has been shut down.
        """
        if block:
            _check_wait(timeout)
        with self.not_full:
            if 0 < self.maxsize <= self._qsize() and not self.is_shutdown:
                self._wait_for_room(timeout if block else 0)
            if self.is_shutdown:
                raise ShutDown
            self._put(item)
            self.unfinished_tasks += 1
            self.not_empty.notify()

    @override
    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take an item; wait for one if the queue is empty.

        Args:
            block: Whether to wait.
            timeout: Wait so many seconds at most. None: as long as it takes.

        Raises:
            Cancelled: A scope in force asks it to stop; no item is taken, not even one that is
                there.
            queue.Empty: There was no item, in time or at once.
            ShutDown: The queue has been shut down and is empty.
        """
        if block:
            _check_wait(timeout)
        with self.not_empty:
            if not self._qsize():
                self._wait_for_item(timeout if block else 0)
            item: T = self._get()
            self.not_full.notify()
            return item

    @override
    def join(self) -> None:
        """Wait until every item that was put has been reported by `task_done`.

        Example:
            >>> from joinable import spawn
            >>> from joinable.sync import Queue
            >>> jobs: Queue[str] = Queue()
            >>> done: list[str] = []
            >>> def work() -> None:
            ...     done.append(jobs.get())
            ...     jobs.task_done()
            >>> jobs.put("sweep")
            >>> worker = spawn(work)
            >>> jobs.join()
            >>> done
            ['sweep']
            >>> worker.join()

        Raises:
            Cancelled: A scope in force asks it to stop.
        """
        _chain.checkpoint()
        with self.all_tasks_done:
            self.all_tasks_done.wait_for(lambda: not self.unfinished_tasks)

    @override
    # The standard class has it from 3.13 on.
    def shutdown(  # type: ignore[misc, unused-ignore]  # pyright: ignore[reportGeneralTypeIssues]
        self, immediate: bool = False
    ) -> None:
        """Take no more items: `put` raises `ShutDown` from now on, `get` once the queue is empty.

        Whoever waits in `put` or `get` is woken.

        Example:
            >>> from joinable.sync import Queue, ShutDown
            >>> jobs: Queue[str] = Queue()
            >>> jobs.put("sweep")
            >>> jobs.shutdown()
            >>> jobs.get()
            'sweep'
            >>> try:
            ...     jobs.get()
            ... except ShutDown:
            ...     print("no more jobs")
            no more jobs

        Args:
            immediate: Drop what is in the queue, and count it as done for `join`.
        """
        with self.mutex:
            self.is_shutdown = True
            while immediate and self._qsize():
                self._get()
                self.unfinished_tasks = max(0, self.unfinished_tasks - 1)
            for condition in (self.not_empty, self.not_full, self.all_tasks_done):
                condition.notify_all()

    @override
    @steady
    def __repr__(self) -> str:
        size = self._qsize()  # without the lock
        room = f"{size} of {self.maxsize} items" if self.maxsize > 0 else f"{size} items"
        return shown(self, f"{room}{', shut down' if self.is_shutdown else ''}")

    def statistics(self) -> QueueStatistics:
        """Return how many items there are, and how many threads wait for what.

        Example:
            >>> from joinable.sync import Queue
            >>> jobs: Queue[str] = Queue(maxsize=5)
            >>> jobs.put("sweep")
            >>> jobs.statistics().size, jobs.statistics().maxsize
            (1, 5)
        """
        from joinable._statistics import QueueStatistics  # noqa: PLC0415  few ask for it

        with self.mutex:
            return QueueStatistics(
                size=self._qsize(),
                maxsize=self.maxsize,
                unfinished=self.unfinished_tasks,
                getting=waiting(self.not_empty),
                putting=waiting(self.not_full),
                joining=waiting(self.all_tasks_done),
                is_shutdown=self.is_shutdown,
            )

    def _wait_for_room(self, timeout: float | None) -> None:
        if timeout == 0 or not self.not_full.wait_for(
            lambda: self.is_shutdown or self._qsize() < self.maxsize, timeout
        ):
            raise queue.Full

    def _wait_for_item(self, timeout: float | None) -> None:
        if not self.is_shutdown and (
            timeout == 0
            or not self.not_empty.wait_for(lambda: self.is_shutdown or self._qsize(), timeout)
        ):
            raise queue.Empty
        if not self._qsize():
            raise ShutDown


class LifoQueue(Queue["T"], queue.LifoQueue["T"]):
    """A `Queue` that gives back the item first that was put last.

    Example:
        >>> from joinable.sync import LifoQueue
        >>> stack: LifoQueue[int] = LifoQueue()
        >>> stack.put(1)
        >>> stack.put(2)
        >>> stack.get()
        2
    """


class PriorityQueue(Queue["T"], queue.PriorityQueue["T"]):  # type: ignore[type-var]  # any item that can be ordered; there is no public name for that
    """A `Queue` that gives back the least item first.

    Example:
        >>> from joinable.sync import PriorityQueue
        >>> jobs: PriorityQueue[tuple[int, str]] = PriorityQueue()
        >>> jobs.put((2, "dust"))
        >>> jobs.put((1, "put out the fire"))
        >>> jobs.get()
        (1, 'put out the fire')
    """


def _check_wait(timeout: float | None) -> None:
    if timeout is not None:
        check_span(timeout, "timeout")
    link = _chain.here()
    if link is not None:
        _chain.check(link)
