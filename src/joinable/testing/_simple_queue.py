# ruff: noqa: FBT001, FBT002  (the signatures are the standard library's)
"""A `SimpleQueue` that reaches points and waits in the scheduler.

It wraps a real one, as the locks do and for the same reasons. Taking an item that is there is a
point (before it), adding one is (after it), asking is; taking from an empty queue is a wait.
"""

from __future__ import annotations

from queue import Empty
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from joinable.testing import _real, _scheduler
from joinable.testing._locks import deadline_of

if TYPE_CHECKING:
    from joinable.testing._scheduler import Scheduler

T = TypeVar("T")


class SimpleQueue(Generic[T]):
    """A `queue.SimpleQueue` whose waits the scheduler sees."""

    __slots__ = ("__weakref__", "_inner")

    _inner: Any

    def __new__(cls) -> SimpleQueue[T]:
        """Make a real queue instead when the caller is not under control."""
        if _scheduler.here() is None:
            return _real.simple_queue_type()  # type: ignore[return-value]
        self = object.__new__(cls)
        self._inner = _real.simple_queue_type()
        return self

    def ready(self) -> bool:
        """Tell whether there is an item to get."""
        return not self._inner.empty()

    def describe(self) -> str:
        """Name it."""
        return "an empty SimpleQueue"

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Add an item, as `queue.SimpleQueue.put`, which never blocks either."""
        del block, timeout
        self._inner.put(item)
        scheduler = _scheduler.here()
        if scheduler is not None:
            scheduler.changed()
            scheduler.point()

    def put_nowait(self, item: T) -> None:
        """Add an item."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the oldest item, as `queue.SimpleQueue.get`."""
        scheduler = _scheduler.here()
        if scheduler is None or (block and timeout is not None and timeout < 0):
            return self._inner.get(block, timeout)  # type: ignore[no-any-return]
        if not block or timeout == 0 or not self._inner.empty():
            scheduler.point()
        wait = block and timeout != 0
        return self._get(scheduler, deadline_of(scheduler, timeout), block=wait)

    def _get(self, scheduler: Scheduler, deadline: float | None, *, block: bool) -> T:
        while True:
            try:
                return self._inner.get_nowait()  # type: ignore[no-any-return]
            except Empty:  # or a thread out of control was quicker
                if not block or not scheduler.block(self, deadline):
                    raise

    def get_nowait(self) -> T:
        """Take the oldest item or raise `queue.Empty`."""
        return self.get(False)

    def empty(self) -> bool:
        """Tell whether it is empty now."""
        return self.qsize() == 0

    def qsize(self) -> int:
        """Count the items."""
        scheduler = _scheduler.here()
        if scheduler is not None:
            scheduler.point()
        return self._inner.qsize()  # type: ignore[no-any-return]
