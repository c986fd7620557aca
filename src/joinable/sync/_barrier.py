"""`Barrier`: a meeting point, with a wait that can be cancelled.

A cancelled or interrupted wait breaks the barrier, as a timeout does: the others would wait for a
thread that does not come. The action runs outside the barrier's lock, which the standard library's
does not: it is the user's code.

States: 0 filling, 1 draining, -1 resetting, -2 broken (the standard library's numbers), and 2: full
while the action runs.
"""

from __future__ import annotations

import threading

from joinable import _chain, _runtime
from joinable._check import check_callable, check_count, check_seconds, shown, steady
from joinable._typing import override
from joinable.sync._condition import Condition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._statistics import BarrierStatistics

__all__ = ["Barrier"]

_FILLING, _DRAINING, _RESETTING, _BROKEN, _FULL = 0, 1, -1, -2, 2


class Barrier(threading.Barrier):
    """A `threading.Barrier` whose wait can be cancelled and obeys the deadline around it.

    A wait that is cancelled breaks the barrier, as one that times out does: whoever else waits gets
    a `threading.BrokenBarrierError`, until `reset()`.

    Example:
        >>> from joinable import move_on_after
        >>> from joinable.sync import Barrier
        >>> barrier = Barrier(2)
        >>> with move_on_after(0.01):
        ...     barrier.wait()
        >>> barrier.broken
        True

    Args:
        parties: How many threads have to meet; 1 or more.
        action: Called by the last that comes, before any of them goes on; outside the barrier's
            lock, so it may use the barrier.
        timeout: The timeout of every `wait` that is given none, in seconds.

    Thread-safety: every method may be called by any thread at any time.
    """

    _next_is_broken = False  # one of the next round was cancelled before it could come

    if TYPE_CHECKING:
        _cond: Condition
        _action: Callable[[], object] | None
        _timeout: float | None
        _parties: int
        _state: int
        _count: int

        def _break(self) -> None: ...

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Make a barrier at which nobody waits."""
        check_count(parties, "parties", least=1)
        if action is not None:
            check_callable(action, "action")
        check_seconds(timeout, "timeout")
        super().__init__(parties, action, timeout)  # type: ignore[arg-type]  # what it returns is dropped
        self._cond = Condition(_runtime.allocate_rlock())

    @override
    def wait(self, timeout: float | None = None) -> int:
        """Wait until as many threads are here as `parties` says, then go on together.

        Args:
            timeout: Wait so many seconds at most. None: as the barrier was made.

        Returns:
            A number from 0 to `parties` - 1, another one for each thread.

        Raises:
            Cancelled: A scope in force asks it to stop; the barrier is broken then.
            threading.BrokenBarrierError: It is broken, or was reset, or the time was up.
        """
        check_seconds(timeout, "timeout")
        with self._cond:
            self._come()
            index = self._count
            self._count += 1
            try:
                if index + 1 == self._parties:
                    self._complete()
                else:
                    self._meet(self._timeout if timeout is None else timeout)
            finally:
                self._count -= 1
                self._exit()
        return index

    def _come(self) -> None:
        """Wait while those of the round before are on their way out."""
        try:
            _chain.checkpoint()
            self._cond.wait_for(lambda: self._state in {_FILLING, _BROKEN})
        except BaseException:
            # The others of our round would wait for us.
            if self._state == _FILLING:
                self._break()
            else:
                self._next_is_broken = True
            raise
        if self._state == _BROKEN:
            raise threading.BrokenBarrierError

    def _exit(self) -> None:
        """Begin the next round if we are the last of this one."""
        if self._count == 0 and self._state in {_DRAINING, _RESETTING}:
            self._state = _BROKEN if self._next_is_broken else _FILLING
            self._next_is_broken = False
            self._cond.notify_all()

    def _meet(self, timeout: float | None) -> None:
        try:
            met = self._cond.wait_for(lambda: self._state not in {_FILLING, _FULL}, timeout)
        except BaseException:
            if self._state in {_FILLING, _FULL}:
                self._break()
            raise
        if not met:
            self._break()
        if self._state != _DRAINING:
            raise threading.BrokenBarrierError

    def _complete(self) -> None:
        """Let everybody go, after the action."""
        if self._action is not None:
            self._state = _FULL
            try:
                self._act(self._action)
            except BaseException:
                self._break()
                raise
            if self._state != _FULL:  # broken or reset meanwhile
                raise threading.BrokenBarrierError
        self._state = _DRAINING
        self._cond.notify_all()

    def _act(self, action: Callable[[], object]) -> None:
        self._cond.release()
        try:
            action()
        finally:
            self._cond.acquire()

    @override
    def reset(self) -> None:
        """Make it as new; whoever waits gets a `threading.BrokenBarrierError`.

        Example:
            >>> from joinable.sync import Barrier
            >>> barrier = Barrier(2)
            >>> barrier.abort()
            >>> barrier.reset()
            >>> barrier.broken
            False
        """
        with self._cond:
            self._next_is_broken = False
            if self._count == 0:
                self._state = _FILLING
            elif self._state != _DRAINING:  # those who have met, have met
                self._state = _RESETTING
            self._cond.notify_all()

    @override
    @steady
    def __repr__(self) -> str:
        return shown(
            self, "broken" if self._state == _BROKEN else f"waiters={self.n_waiting}/{self.parties}"
        )

    def statistics(self) -> BarrierStatistics:
        """Return how many are there and wait for the others.

        Example:
            >>> from joinable.sync import Barrier
            >>> Barrier(2).statistics()
            BarrierStatistics(parties=2, waiting=0, broken=False)
        """
        from joinable._statistics import BarrierStatistics  # noqa: PLC0415  few ask for it

        with self._cond:
            return BarrierStatistics(self.parties, self.n_waiting, self.broken)
