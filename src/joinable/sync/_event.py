"""`Event`: a flag to wait for, with a wait that can be cancelled."""

from __future__ import annotations

import threading

from joinable import _chain, _runtime
from joinable._check import check_seconds, shown, steady
from joinable._typing import override
from joinable.sync._condition import Condition, waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joinable._statistics import EventStatistics

__all__ = ["Event"]


class Event(threading.Event):
    """A `threading.Event` whose wait can be cancelled and obeys the deadline around it.

    Example:
        >>> from joinable import move_on_after
        >>> from joinable.sync import Event
        >>> event = Event()
        >>> with move_on_after(0.01) as scope:
        ...     event.wait()
        >>> scope.cancelled_caught
        True
        >>> event.set()
        >>> event.wait()
        True

    Thread-safety: every method may be called by any thread at any time, `set()` by a signal handler
    too.
    """

    if TYPE_CHECKING:
        _cond: Condition
        _flag: bool

    def __init__(self) -> None:
        """Make an event that is not set."""
        super().__init__()
        # Reentrant: a signal handler may call `set` while its thread is inside `wait`.
        self._cond = Condition(_runtime.allocate_rlock())

    @override
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set.

        Args:
            timeout: Wait so many seconds at most. None: as long as it takes.

        Returns:
            True when it is set, False when the time was up.

        Raises:
            Cancelled: A scope in force asks it to stop; at entry also when the event is set.
        """
        if timeout is not None:
            check_seconds(timeout, "timeout")
        link = _chain.here()
        if link is not None:
            _chain.check(link)
        if self._flag:  # read without the lock, as `is_set` does
            return True
        with self._cond:
            return self.is_set() or self._cond.wait(timeout)

    @override
    @steady
    def __repr__(self) -> str:
        return shown(self, f"{'set' if self._flag else 'unset'}, {waiting(self._cond)} waiting")

    def statistics(self) -> EventStatistics:
        """Return whether it is set, and how many wait for it.

        Example:
            >>> from joinable.sync import Event
            >>> Event().statistics()
            EventStatistics(is_set=False, waiting=0)
        """
        from joinable._statistics import EventStatistics  # noqa: PLC0415  few ask for it

        with self._cond:
            return EventStatistics(self._flag, waiting(self._cond))
