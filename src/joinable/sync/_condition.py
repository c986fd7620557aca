"""`Condition`: the standard one with a wait that can be cancelled; what the others are built on.

Who may run between which lines. `_waiters`, the standard library's queue, is touched
only by who has the condition's lock. `notify` (inherited) releases the first waiter whose latch
nobody has released before, and takes it out of the queue. A canceller may release a latch at any
time. A waiter that has been cancelled takes the lock back and leaves the queue. If `notify` has
reached it, then that is written in it (`told`): such a notification it passes on, still under the
lock, but only to one that waited already when it was given.
"""

from __future__ import annotations

import threading

from joinable import _chain, _park, _runtime
from joinable._check import check_callable, check_seconds, shown, steady
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from joinable import _typing
    from joinable._statistics import ConditionStatistics
    from joinable._typing import T

__all__ = ["Condition"]


def waiting(condition: threading.Condition) -> int:
    """Return how many threads wait; takes no lock."""
    return len(vars(condition)["_waiters"])


class _Waiter:
    """One wait, as `notify` sees it."""

    __slots__ = ("condition", "latch", "serial", "told")

    def __init__(self, condition: Condition, serial: int) -> None:
        self.condition = condition
        self.latch = _park.latch()
        self.serial = serial  # counts those who have ever waited
        self.told: int | None = None  # who was the last of them when it was notified

    def release(self) -> None:
        """End the wait; RuntimeError if a canceller was first, and then `notify` tries the next."""
        self.latch.release()
        self.told = self.condition.serial

    def take_over(self, told: int) -> bool:
        """End the wait by somebody else's notification; False if a canceller was first.

        Whoever may have it after this one is who might have had it from the first.
        """
        self.told = told  # first: one that was released and not told would not pass it on
        if not _park.release(self.latch):
            self.told = None
        return self.told is not None


class Condition(threading.Condition):
    """A `threading.Condition` whose wait can be cancelled and obeys the deadline around it.

    Whatever ends a wait, the lock is held again when it returns or raises. A notification that
    reaches a waiter which is being cancelled goes to the next one.

    Example:
        >>> from joinable import move_on_after
        >>> from joinable.sync import Condition
        >>> condition = Condition()
        >>> with condition, move_on_after(0.01) as scope:
        ...     condition.wait()
        >>> scope.cancelled_caught
        True

    Args:
        lock: The lock to use: a `Lock`, a `threading.Lock` or `RLock`. None: an RLock of its own.

    Thread-safety: `wait` and `notify` need the lock, as in the standard library.
    """

    if TYPE_CHECKING:
        # The standard library's own names, which it gives to the lock's methods.
        _waiters: deque[_Waiter]

        def _is_owned(self) -> bool: ...
        def _release_save(self) -> object: ...
        def _acquire_restore(self, state: object, /) -> None: ...

    serial: int = 0
    """How many have waited so far; for the library's own use."""

    def __init__(self, lock: _typing.AnyLock | None = None) -> None:
        """Make a condition that nobody waits for."""
        super().__init__(_runtime.allocate_rlock() if lock is None else lock)  # type: ignore[arg-type]  # any lock will do

    @override
    def wait(self, timeout: float | None = None) -> bool:
        """Let the lock go, wait for a notification, take the lock back.

        Args:
            timeout: Wait so many seconds at most. None: as long as it takes.

        Returns:
            True after a notification, False when the time was up.

        Raises:
            Cancelled: A scope in force asks it to stop.
            RuntimeError: The calling thread has not got the lock.
        """
        check_seconds(timeout, "timeout")
        return self._wait_until(_runtime.until(timeout))

    def _wait_until(self, deadline: float) -> bool:
        if not self._is_owned():
            raise RuntimeError("wait() needs the lock: call it inside `with condition:`")
        _chain.checkpoint()
        self.serial += 1
        waiter = _Waiter(self, self.serial)
        try:
            self._waiters.append(waiter)
            notified = self._park(waiter, deadline)
        except BaseException:
            self._leave(waiter)
            self._pass_on(waiter)
            raise
        self._leave(waiter)
        # Either: an interrupt may have come between the two lines of `release`.
        return notified or waiter.told is not None

    @override
    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until `predicate()` is true; return what it returned last.

        Example:
            >>> from joinable import spawn
            >>> from joinable.sync import Condition
            >>> condition, letters = Condition(), []
            >>> def deliver() -> None:
            ...     with condition:
            ...         letters.append("from Ada")
            ...         condition.notify()
            >>> with condition:
            ...     postman = spawn(deliver)
            ...     condition.wait_for(lambda: letters, timeout=10)
            ['from Ada']
            >>> postman.join()

        Args:
            predicate: Called with the lock held, first of all and after each notification.
            timeout: Wait so many seconds at most. None: as long as it takes.

        Raises:
            Cancelled: A scope in force asks it to stop.
            RuntimeError: The calling thread has not got the lock.
        """
        check_callable(predicate, "predicate")
        check_seconds(timeout, "timeout")
        _chain.checkpoint()
        deadline = _runtime.until(timeout)
        result = predicate()
        while not result:
            told = self._wait_until(deadline)
            result = predicate()
            if not told:
                break
        return result

    @override
    @steady
    def __repr__(self) -> str:
        return shown(self, f"{waiting(self)} waiting, {vars(self)['_lock']!r}")

    def statistics(self) -> ConditionStatistics:
        """Return how many threads wait.

        Example:
            >>> from joinable.sync import Condition
            >>> Condition().statistics()
            ConditionStatistics(waiting=0)
        """
        from joinable._statistics import ConditionStatistics  # noqa: PLC0415  few ask for it

        return ConditionStatistics(waiting(self))  # not with the lock, which is the user's

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def _pass_on(self, waiter: _Waiter) -> None:
        told = waiter.told
        if told is None:
            return
        for other in list(self._waiters):
            if other.serial <= told and other.told is None and other.take_over(told):
                self._leave(other)
                return

    def _park(self, waiter: _Waiter, deadline: float) -> bool:
        """Wait without the lock."""
        saved = self._release_save()
        try:
            return _park.park(waiter.latch, deadline)
        finally:
            self._take_back(saved)

    def _take_back(self, saved: object) -> None:
        done: list[object] = []
        try:
            # In one step: an interrupt comes before it, or after it was noted.
            done.extend(map(self._acquire_restore, (saved,)))
        except BaseException:
            # Whoever called `wait` is about to let the lock go, and must have it.
            if not done:
                self._acquire_restore(saved)
            raise
