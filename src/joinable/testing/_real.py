# ruff: noqa: FBT001, FBT002  (the signatures are the standard library's)
"""The interpreter's own primitives, bound before any takeover.

The engine itself must never run on what it replaces: its batons, its real waits and its watchdog
use these names and no others. Everything here is bound once, at import, and never rebound.
"""

from __future__ import annotations

import _queue
import _thread
import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class RealLock(Protocol):
    """What the engine uses of a lock."""

    def acquire(self, blocking: bool = True, timeout: float = -1, /) -> bool: ...
    def release(self) -> None: ...
    def locked(self) -> bool: ...


class RealRLock(Protocol):
    """What the engine uses of a reentrant lock."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...
    def _is_owned(self) -> bool: ...
    def _release_save(self) -> tuple[int, int]: ...
    def _acquire_restore(self, state: tuple[int, int], /) -> None: ...


class RealHandle(Protocol):
    """What the engine uses of the handle of an operating system's thread (3.13 and later)."""

    @property
    def ident(self) -> int: ...
    def join(self, timeout: float | None = None, /) -> None: ...
    def is_done(self) -> bool: ...
    def _set_done(self) -> None: ...


#: Whether threads have joinable handles (3.13) or sentinel locks (3.11, 3.12).
HAS_HANDLES = sys.version_info >= (3, 13)

allocate_lock: Callable[[], RealLock] = _thread.allocate_lock
lock_type: type = _thread.LockType
rlock_type: Callable[[], RealRLock] = _thread.RLock  # type: ignore[assignment]
simple_queue_type = _queue.SimpleQueue
get_ident: Callable[[], int] = _thread.get_ident
monotonic: Callable[[], float] = time.monotonic
sleep: Callable[[float], None] = time.sleep
start_new_thread: Callable[..., int] = _thread.start_new_thread
#: Bound by name, for each exists on some of the versions only.
start_joinable_thread: Callable[..., RealHandle] | None = getattr(
    _thread, "start_joinable_thread", None
)
thread_handle: Callable[[], RealHandle] | None = getattr(_thread, "_ThreadHandle", None)
set_sentinel: Callable[[], RealLock] | None = getattr(_thread, "_set_sentinel", None)
