"""`Semaphore` and `BoundedSemaphore`: permits to wait for, with a wait that can be cancelled.

A permit that is free is counted in `_value` and nowhere else. A waiter that is woken takes it from
there under the lock, or leaves it there when it is cancelled, and passes the wake-up on
(`Condition`): so none is lost.
"""

from __future__ import annotations

import threading

from joinable import _chain, _runtime
from joinable._check import check_count, check_seconds, shown, steady
from joinable._typing import override
from joinable.sync._condition import Condition, waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joinable._statistics import SemaphoreStatistics

__all__ = ["BoundedSemaphore", "Semaphore"]


class Semaphore(threading.Semaphore):
    """A `threading.Semaphore` whose wait can be cancelled and obeys the deadline around it.

    Example:
        >>> from joinable import move_on_after
        >>> from joinable.sync import Semaphore
        >>> permits = Semaphore(1)
        >>> with permits, move_on_after(0.01) as scope:
        ...     permits.acquire()
        >>> scope.cancelled_caught
        True

    Waiters are woken in the order in which they came, but a thread that asks at the right moment
    may be quicker than the one that was woken.

    Args:
        value: How many permits there are at first; 0 or more.

    Thread-safety: every method may be called by any thread at any time.
    """

    if TYPE_CHECKING:
        _cond: Condition
        _value: int

    def __init__(self, value: int = 1) -> None:
        """Make a semaphore with so many permits."""
        check_count(value, "value")
        super().__init__(value)
        self._cond = Condition(_runtime.allocate_rlock())

    @override
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; False when none could be had in time.

        Args:
            blocking: Whether to wait for one.
            timeout: Wait so many seconds at most. None: as long as it takes.

        Raises:
            Cancelled: A scope in force asks it to stop; at entry also when a permit is free.
            ValueError: A timeout without waiting.
        """
        if timeout is not None:
            check_seconds(timeout, "timeout")
            if not blocking:
                raise ValueError("a timeout needs blocking=True: leave it out, or wait")
        if blocking:
            _chain.checkpoint()
        with self._cond:
            if self._value <= 0 and not (blocking and self._cond.wait_for(self._has_one, timeout)):
                return False
            self._value -= 1
            return True

    __enter__ = acquire

    def _has_one(self) -> bool:
        return self._value > 0

    @override
    @steady
    def __repr__(self) -> str:
        bound = self._bound()
        value = f"value={self._value}" if bound is None else f"value={self._value}/{bound}"
        return shown(self, f"{value}, {waiting(self._cond)} waiting")

    def statistics(self) -> SemaphoreStatistics:
        """Return how many permits are free, and how many wait for one.

        Example:
            >>> from joinable.sync import BoundedSemaphore
            >>> BoundedSemaphore(2).statistics()
            SemaphoreStatistics(value=2, waiting=0, bound=2)
        """
        from joinable._statistics import SemaphoreStatistics  # noqa: PLC0415  few ask for it

        with self._cond:
            return SemaphoreStatistics(self._value, waiting(self._cond), self._bound())

    def _bound(self) -> int | None:
        """Return how many permits there may be; None without a bound."""
        return None


class BoundedSemaphore(Semaphore, threading.BoundedSemaphore):
    """A `Semaphore` that raises ValueError when more permits come back than there were at first.

    Example:
        >>> from joinable.sync import BoundedSemaphore
        >>> permits = BoundedSemaphore(2)
        >>> permits.release()
        Traceback (most recent call last):
        ValueError: Semaphore released too many times
    """

    if TYPE_CHECKING:
        _initial_value: int

    @override
    def _bound(self) -> int | None:
        return self._initial_value
