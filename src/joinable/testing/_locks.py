# pyright: reportPrivateUsage=false
# ruff: noqa: FBT001, FBT002  (the signatures are the standard library's)
"""`Lock` and `RLock` that reach points and wait in the scheduler.

Each wraps a real one, and the real one is the truth: a strand takes the real lock without
blocking, and where that fails it waits in the scheduler until its holder lets go. So a thread that
is not controlled may use the same object, which for it is the real one; and an object that
outlives its exploration goes on working.

Which operations are points: taking what is free (before it), letting go (after it), asking. Taking
what is held is no point but a wait, at which anybody may go on anyway. Making a lock is no point,
nor is taking one that was made since the last point: nobody else can have seen it.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from joinable._typing import override
from joinable.testing import _real, _scheduler

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from joinable.testing._scheduler import Scheduler
    from joinable.testing._strand import Strand

_EVENT_INIT = threading.Event.__init__.__code__
_THREAD_INIT = threading.Thread.__init__.__code__


def deadline_of(scheduler: Scheduler, timeout: float | None) -> float | None:
    """Turn a timeout in seconds (None or -1: none) into a virtual time."""
    return None if timeout is None or timeout < 0 else scheduler.now + timeout


def _held_by(holder: Strand | None) -> str:
    return "" if holder is None else f" held by {holder.name}"


class Lock:
    """A lock whose waits the scheduler sees."""

    __slots__ = ("__weakref__", "_holder", "_inner", "_made", "_quiet")

    _inner: _real.RealLock
    #: The strand that holds it; None too when a thread out of control does.
    _holder: Strand | None
    #: The step at which it was made.
    _made: int
    _quiet: bool

    def __new__(cls) -> Lock:  # noqa: PYI034  (it may be a real one)
        """Make a real lock instead when the caller is not under control."""
        scheduler = _scheduler.here()
        if scheduler is None:
            return _real.allocate_lock()  # type: ignore[return-value]
        self = object.__new__(cls)
        self._inner = _real.allocate_lock()
        self._holder = None
        self._made = scheduler.step
        # The lock inside Thread._started: its waits are part of `start`, which is one point.
        frame = sys._getframe(1)
        self._quiet = (
            frame.f_code is _EVENT_INIT
            and frame.f_back is not None
            and frame.f_back.f_code is _THREAD_INIT
        )
        return self

    @classmethod
    def around(cls, real: _real.RealLock) -> Self:
        """Control a real lock that exists already."""
        self = object.__new__(cls)
        self._inner = real
        self._holder = None
        self._made = -1
        self._quiet = False
        return self

    def ready(self) -> bool:
        """Tell whether no strand holds it."""
        return self._holder is None

    def describe(self) -> str:
        """Name it, with its holder."""
        return f"a Lock{_held_by(self._holder)}"

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, as `threading.Lock.acquire`."""
        scheduler = _scheduler.here()
        if scheduler is None:
            return self._inner.acquire(blocking, timeout)
        if timeout != -1 and (not blocking or not 0 <= timeout <= threading.TIMEOUT_MAX):
            return self._inner.acquire(blocking, timeout)  # raises what a real one raises
        at_once = not blocking or timeout == 0
        if self._made != scheduler.step and not self._quiet and (at_once or self._holder is None):
            scheduler.point()
        if self._take(scheduler, at_once=at_once):
            return True
        return not at_once and self._wait(scheduler, deadline_of(scheduler, timeout))

    def _take(self, scheduler: Scheduler, *, at_once: bool) -> bool:
        """Take it if no strand holds it; for real, where a thread out of control does."""
        if not self._inner.acquire(False) and (
            at_once or self._holder is not None or not self._inner.acquire()
        ):
            return False
        self._holder = scheduler.current
        return True

    def _wait(self, scheduler: Scheduler, deadline: float | None) -> bool:
        while scheduler.block(self, deadline):
            if self._take(scheduler, at_once=False):
                return True
        return False

    def release(self) -> None:
        """Let go, as `threading.Lock.release`."""
        scheduler = _scheduler.here()
        if scheduler is None:
            self._holder = None
            self._inner.release()
            return
        self._let_go(scheduler)
        if not self._quiet:
            scheduler.point()

    def _let_go(self, scheduler: Scheduler) -> None:
        if scheduler.ending and not self._inner.locked():
            return  # an unwound `with` lets go of what its wait never got back
        self._holder = None
        self._inner.release()
        scheduler.changed()

    def locked(self) -> bool:
        """Tell whether it is held."""
        scheduler = _scheduler.here()
        if scheduler is not None and not self._quiet:
            scheduler.point()
        return self._inner.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def abandon(self) -> None:
        """Free it if a strand of an earlier run has left it held."""
        if self._holder is not None:
            self._holder = None
            self._inner.release()

    # What a Condition asks for: with these it makes no needless points.

    def _is_owned(self) -> bool:
        return self._inner.locked()

    def _release_save(self) -> None:
        scheduler = _scheduler.here()
        if scheduler is None:
            self.release()
        else:
            self._let_go(scheduler)

    def _acquire_restore(self, _state: object) -> None:
        self.acquire()

    def _at_fork_reinit(self) -> None:
        self._holder = None
        self._inner._at_fork_reinit()  # type: ignore[attr-defined]

    # The names a lock had before they were spelled out.
    acquire_lock = acquire
    release_lock = release
    locked_lock = locked

    @override
    def __repr__(self) -> str:
        state = "locked" if self._inner.locked() else "unlocked"
        return f"<{state} explored Lock{_held_by(self._holder)}>"


class RLock:
    """A reentrant lock whose waits the scheduler sees."""

    __slots__ = ("__weakref__", "_depth", "_holder", "_inner", "_made")

    _inner: _real.RealRLock
    _holder: Strand | None
    _depth: int
    _made: int

    def __new__(cls) -> RLock:  # noqa: PYI034  (it may be a real one)
        """Make a real lock instead when the caller is not under control."""
        scheduler = _scheduler.here()
        if scheduler is None:
            return _real.rlock_type()  # type: ignore[return-value]
        self = cls.around(_real.rlock_type())
        self._made = scheduler.step
        return self

    @classmethod
    def around(cls, real: _real.RealRLock) -> Self:
        """Control a real lock that exists already."""
        self = object.__new__(cls)
        self._inner = real
        self._holder = None
        self._depth = 0
        self._made = -1
        return self

    def ready(self) -> bool:
        """Tell whether it is free."""
        return self._holder is None

    def describe(self) -> str:
        """Name it, with its holder."""
        return f"an RLock{_held_by(self._holder)}"

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, as `threading.RLock.acquire`."""
        scheduler = _scheduler.here()
        if scheduler is None:
            return self._inner.acquire(blocking, timeout)
        if timeout != -1 and (not blocking or not 0 <= timeout <= threading.TIMEOUT_MAX):
            return self._inner.acquire(blocking, timeout)
        if self._holder is scheduler.current:
            self._depth += 1
            return self._inner.acquire()
        at_once = not blocking or timeout == 0
        if self._made != scheduler.step and (at_once or self._holder is None):
            scheduler.point()
        if self._take(scheduler, at_once=at_once):
            return True
        return not at_once and self._wait(scheduler, deadline_of(scheduler, timeout))

    def _take(self, scheduler: Scheduler, *, at_once: bool) -> bool:
        """Take it if no strand holds it; for real, where a thread out of control does."""
        if not self._inner.acquire(False) and (
            at_once or self._holder is not None or not self._inner.acquire()
        ):
            return False
        self._holder = scheduler.current
        self._depth += 1
        return True

    def _wait(self, scheduler: Scheduler, deadline: float | None) -> bool:
        while scheduler.block(self, deadline):
            if self._take(scheduler, at_once=False):
                return True
        return False

    def release(self) -> None:
        """Let go once, as `threading.RLock.release`."""
        scheduler = _scheduler.here()
        if scheduler is not None and scheduler.ending and not self._inner._is_owned():
            return
        self._inner.release()  # raises for a thread that does not hold it, before anything changes
        if self._holder is None:
            return
        self._depth -= 1
        if self._depth == 0:
            self._freed(scheduler)
            if scheduler is not None:
                scheduler.point()

    def _freed(self, scheduler: Scheduler | None) -> None:
        self._holder = None
        self._depth = 0
        if scheduler is not None:
            scheduler.changed()

    def locked(self) -> bool:
        """Tell whether any thread holds it (3.14 and later have this)."""
        scheduler = _scheduler.here()
        if scheduler is not None:
            scheduler.point()
        if self._holder is not None:
            return True
        if self._inner._is_owned() or not self._inner.acquire(False):
            return True
        self._inner.release()
        return False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def abandon(self) -> None:
        """Free it if a strand of an earlier run has left it held: its thread is gone."""
        if self._holder is not None:
            self._holder = None
            self._depth = 0
            self._inner._at_fork_reinit()  # type: ignore[attr-defined]

    def _is_owned(self) -> bool:
        return self._inner._is_owned()

    def _recursion_count(self) -> int:
        return self._depth

    def _release_save(self) -> tuple[int, int]:
        state = self._inner._release_save()
        self._freed(_scheduler.here())
        return state

    def _acquire_restore(self, state: tuple[int, int]) -> None:
        scheduler = _scheduler.here()
        if scheduler is None:
            self._inner._acquire_restore(state)
            return
        self.acquire()
        self._inner.release()
        self._inner._acquire_restore(state)
        self._depth = state[0]

    def _at_fork_reinit(self) -> None:
        self._holder = None
        self._depth = 0
        self._inner._at_fork_reinit()  # type: ignore[attr-defined]

    @override
    def __repr__(self) -> str:
        return f"<explored RLock depth={self._depth}{_held_by(self._holder)}>"
