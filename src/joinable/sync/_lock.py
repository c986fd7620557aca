"""`Lock`: a mutex whose wait can be cancelled.

Who may run between which lines. `_lock`, a plain lock, is the truth: whoever takes it has the Lock,
and taking it is one atomic step. `_mutex` guards `_waiters`. A waiter lists itself and *then* tries
`_lock`; `release` lets `_lock` go and *then* looks at the list, both under `_mutex`: so either the
waiter finds `_lock` free, or the releaser finds the waiter. A wake-up is no more than a hint to try
again: somebody else may have been quicker, and then the waiter is listed again, in front. Whoever
is woken and does not try again wakes the next one.
"""

from __future__ import annotations

from collections import deque

from joinable import _park, _runtime
from joinable._check import check_seconds, steady
from joinable._limits import shield
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from joinable import _typing
    from joinable._statistics import LockStatistics

__all__ = ["Lock"]


class Lock:
    """A `threading.Lock` whose wait can be cancelled and obeys the deadline around it.

    Example:
        >>> from joinable import move_on_after
        >>> from joinable.sync import Lock
        >>> lock = Lock()
        >>> with lock, move_on_after(0.01) as scope:
        ...     lock.acquire()
        >>> scope.cancelled_caught
        True

    The standard lock cannot be subclassed, so this is a class of its own with the same methods.
    Waiters are woken in the order in which they came, but a thread that asks at the right moment
    may be quicker than the one that was woken.

    Thread-safety: any thread may release it.

    Cost: three to seven times a `threading.Lock`, which is written in C.
    """

    __slots__ = ("__weakref__", "_lock", "_mutex", "_waiters")

    def __init__(self) -> None:
        """Make a lock that nobody has."""
        self._lock = _runtime.allocate_lock()
        self._mutex = _runtime.allocate_mutex()
        self._waiters: deque[_typing.Lock] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; False when it could not be had in time.

        Args:
            blocking: Whether to wait for it.
            timeout: Wait so many seconds at most. -1: as long as it takes.

        Raises:
            Cancelled: It would have to wait, and a scope in force asks it to stop.
            ValueError: A timeout that is negative, or without waiting.
        """
        if timeout != -1:
            _check_timeout(timeout, blocking=blocking)
        # In one step, so that Ctrl-C cannot come when it is taken and nobody knows.
        (taken,) = map(self._lock.acquire, (False,))
        if taken:
            return True
        if not blocking:
            return False
        return self._acquire_by(_runtime.until(None if timeout == -1 else timeout))

    def release(self) -> None:
        """Let the lock go.

        Example:
            >>> from joinable.sync import Lock
            >>> lock = Lock()
            >>> lock.acquire(), lock.locked()
            (True, True)
            >>> lock.release()
            >>> lock.locked()
            False

        Raises:
            RuntimeError: Nobody has it.
        """
        self._lock.release()
        self._wake_next()

    def locked(self) -> bool:
        """Tell whether somebody has the lock; by the time you look, that may be over.

        Example:
            >>> from joinable.sync import Lock
            >>> with (lock := Lock()):
            ...     lock.locked()
            True
        """
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.release()

    @override
    @steady
    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        count = len(self._waiters)
        waiting = f": {count} waiting" if count else ""
        return f"<{state} joinable.sync.{type(self).__name__} object at {id(self):#x}{waiting}>"

    def statistics(self) -> LockStatistics:
        """Return whether somebody has the lock, and how many wait for it.

        Example:
            >>> from joinable.sync import Lock
            >>> Lock().statistics()
            LockStatistics(locked=False, waiting=0)
        """
        from joinable._statistics import LockStatistics  # noqa: PLC0415  few ask for it

        with self._mutex:
            return LockStatistics(self.locked(), len(self._waiters))

    # ---------------------------------------------------------------- waiting

    def _acquire_by(self, deadline: float) -> bool:
        again = False
        while (taken := self._try_or_wait(deadline, again=again)) is None:
            again = True
        return taken

    def _try_or_wait(self, deadline: float, *, again: bool) -> bool | None:
        """Take the lock, or wait for a hint; None after one, False when the time is up."""
        held = _park.latch()
        taken = False
        try:
            with self._mutex:
                (self._waiters.appendleft if again else self._waiters.append)(held)
            # Listed first, then tried: whoever lets go in between finds us.
            (taken,) = map(self._lock.acquire, (False,))
            ended = True if taken else (None if _park.park(held, deadline) else False)
            self._leave(held, wake_next=ended is False)
        except BaseException:
            self._leave(held, wake_next=True)
            if taken:
                self.release()
            raise
        return ended

    def _leave(self, held: _typing.Lock, *, wake_next: bool) -> None:
        """Be listed no more; whoever was woken and does not try again wakes the next one."""
        with self._mutex:
            woken = _park.leave(self._waiters, held)
        if woken and wake_next:
            self._wake_next()

    def _wake_next(self) -> None:
        with self._mutex:
            while self._waiters:
                first = self._waiters[0]
                # Released first: an interrupt between the two must not lose the hint. A signal
                # handler may come between them, too, and do the same.
                woken = _park.release(first)
                if self._waiters and self._waiters[0] is first:
                    self._waiters.popleft()
                if woken:
                    return

    # ---------------------------------------------------------------- what Condition asks for

    def _release_save(self) -> None:
        self.release()

    def _acquire_restore(self, state: None) -> None:
        """Take it back after a wait: whoever leaves `wait()`, cancelled or not, has the lock."""
        del state
        with shield(None):
            self.acquire()

    def _at_fork_reinit(self) -> None:
        Lock.__init__(self)


def _check_timeout(timeout: float, *, blocking: bool) -> None:
    check_seconds(timeout, "timeout")
    if not blocking:
        raise ValueError("a timeout needs blocking=True: leave it out, or wait")
    if timeout < 0:
        raise ValueError(f"timeout must be at least 0, or -1 for no limit, not {timeout}")
