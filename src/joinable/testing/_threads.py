# pyright: reportPrivateUsage=false
# ruff: noqa: FBT001, FBT002  (the signatures are the standard library's)
"""How threads start, end and are joined under control, below `threading.Thread`.

On 3.13 and later `Thread` starts through `_start_joinable_thread` and joins a handle; on 3.11 and
3.12 it starts through `_start_new_thread` and joins a sentinel lock. Both ways lead to `_run`. The
OS thread is a daemon whatever the strand is: one that never unwinds must not hold the exit.
"""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any

from joinable._typing import override
from joinable.testing import _real, _scheduler
from joinable.testing._errors import Unwind
from joinable.testing._locks import Lock, deadline_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from joinable.testing._scheduler import Scheduler
    from joinable.testing._strand import Strand

_BOOTSTRAP: Any = threading.Thread._bootstrap  # type: ignore[attr-defined]


class Handle:
    """A thread handle (3.13 and later) whose `join` the scheduler sees."""

    __slots__ = ("_inner", "_strand")

    _inner: _real.RealHandle
    _strand: Strand | None

    def __new__(cls) -> Handle:  # noqa: PYI034  (it may be a real one)
        """Make a real handle instead when the caller is not under control."""
        if _real.thread_handle is None:  # pragma: no cover  (not installed before 3.13)
            raise RuntimeError("thread handles exist on Python 3.13 and later only")
        if _scheduler.here() is None:
            return _real.thread_handle()  # type: ignore[return-value]
        self = object.__new__(cls)
        self._inner = _real.thread_handle()
        self._strand = None
        return self

    @property
    def ident(self) -> int:
        """The identifier of the thread."""
        return self._inner.ident

    def ready(self) -> bool:
        """Tell whether the thread has ended."""
        return self._strand is not None and self._strand.finished

    def describe(self) -> str:
        """Name the thread that is joined."""
        return "a thread" if self._strand is None else f"{self._strand.name} to end"

    def is_done(self) -> bool:
        """Tell whether the thread has ended."""
        scheduler = _scheduler.here()
        if scheduler is None or self._strand is None:
            return self._inner.is_done()
        scheduler.point()
        return self._strand.finished

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended."""
        scheduler = _scheduler.here()
        if scheduler is None or self._strand is None:
            self._inner.join(timeout)
            return
        if self._strand.finished or timeout == 0:
            scheduler.point()
        deadline = deadline_of(scheduler, timeout)
        while not self._strand.finished:
            if timeout == 0 or not scheduler.block(self, deadline):
                return

    def _set_done(self) -> None:
        self._inner._set_done()

    @override
    def __repr__(self) -> str:
        return f"<explored handle of {self.describe()}>"


def start_joinable_thread(
    function: Callable[[], object], *, handle: Any = None, daemon: bool = True
) -> Any:
    """Start a thread, as `_thread.start_joinable_thread`."""
    start = _real.start_joinable_thread
    scheduler = _scheduler.here()
    if start is None:  # pragma: no cover  (not installed before 3.13)
        raise RuntimeError("joinable threads exist on Python 3.13 and later only")
    if scheduler is None:
        real = handle._inner if isinstance(handle, Handle) else handle
        return start(function, handle=real, daemon=daemon)
    if not isinstance(handle, Handle):
        handle = _adopt(function, handle)

    def launch(strand: Strand) -> None:
        handle._strand = strand
        _describe(strand, function)
        strand.reap = handle._inner.join
        start(lambda: _run(scheduler, strand, function), handle=handle._inner, daemon=True)

    scheduler.begin(daemon=daemon, start=launch)
    scheduler.point()
    return handle


def _adopt(function: Callable[[], object], real: _real.RealHandle | None) -> Handle:
    """Control the handle of a Thread that was made before the exploration."""
    handle = Handle()
    if real is not None:
        handle._inner = real
        owner = getattr(function, "__self__", None)
        for name in ("_os_thread_handle", "_handle"):
            if getattr(owner, name, None) is real:
                setattr(owner, name, handle)
    return handle


def start_new_thread(
    function: Callable[..., object], args: tuple[Any, ...], kwargs: Any = None, /
) -> int:
    """Start a thread, as `_thread.start_new_thread`."""
    call: dict[str, Any] = {} if kwargs is None else kwargs
    scheduler = _scheduler.here()
    if scheduler is None:
        return _real.start_new_thread(function, args, call)
    owner = getattr(function, "__self__", None)
    daemon = owner.daemon if isinstance(owner, threading.Thread) else True

    def launch(strand: Strand) -> None:
        _describe(strand, function)
        _start(scheduler, strand, lambda: function(*args, **call))

    strand = scheduler.begin(daemon=daemon, start=launch)
    scheduler.point()
    return strand.ident


def _start(scheduler: Scheduler, strand: Strand, function: Callable[[], object]) -> None:
    """Start the OS thread of a strand that nobody has a handle of."""
    if _real.start_joinable_thread is not None:
        body = lambda: _run(scheduler, strand, function)  # noqa: E731
        strand.reap = _real.start_joinable_thread(body, daemon=True).join
    else:
        _real.start_new_thread(_run, (scheduler, strand, function))


def start_root(scheduler: Scheduler, body: Callable[[], object]) -> None:
    """Start the strand that runs the explored function, from the controller."""
    strand = scheduler.root
    thread = threading.Thread(target=body, name="main", daemon=False)
    if hasattr(thread, "_context"):
        thread.__dict__["_context"] = contextvars.Context()
    # What Thread.start does before it starts the OS thread.
    threading._limbo[thread] = thread  # type: ignore[attr-defined]
    strand.thread = thread
    scheduler.alive.append(strand)
    scheduler.strategy.admit(strand)
    _start(scheduler, strand, thread._bootstrap)  # type: ignore[attr-defined]


def _describe(strand: Strand, function: Callable[..., object]) -> None:
    owner = getattr(function, "__self__", None)
    if getattr(function, "__func__", None) is _BOOTSTRAP:
        strand.thread = owner


def _run(scheduler: Scheduler, strand: Strand, function: Callable[[], object]) -> None:
    """Be the OS thread of a strand, from its first to its last line."""
    if _real.set_sentinel is not None:
        gone = _real.set_sentinel()
        gone.acquire()
        strand.reap = gone.acquire  # released by the interpreter when the thread is gone
    scheduler.enter(strand)
    try:
        if strand.thread is None:
            scheduler.booted(strand)
        function()
    except (Unwind, SystemExit):
        pass  # a leftover thread that was told to end; or one that chose to, which is no failure
    except BaseException as error:  # noqa: BLE001  (whatever leaves a thread is a failure)
        if not scheduler.ending:
            scheduler.fail(error)
    finally:
        scheduler.finish(strand)


class Sentinel(Lock):
    """The lock that `Thread.join` waits for on 3.11 and 3.12."""

    __slots__ = ("_strand",)

    _strand: Strand

    @override
    def describe(self) -> str:
        """Name the thread that is joined."""
        return f"{self._strand.name} to end"

    @override
    def release(self) -> None:
        """Let go without a point: `join` releases at once what it has acquired."""
        self._holder = None
        self._inner.release()

    @override
    def locked(self) -> bool:
        """Tell without a point: `threading` asks all of a set of these, in the order of addresses.

        A switch in between would make the run depend on that order.
        """
        return self._inner.locked()


def set_sentinel() -> Any:
    """Give the calling thread the lock that is released at its end (3.11 and 3.12)."""
    scheduler = _scheduler.here()
    if scheduler is None:
        if _real.set_sentinel is None:  # pragma: no cover  (not installed after 3.12)
            raise RuntimeError("sentinel locks exist up to Python 3.12 only")
        return _real.set_sentinel()
    lock = Sentinel.around(_real.allocate_lock())
    lock._strand = scheduler.current

    def ended() -> None:
        if lock._inner.locked():
            lock.release()
            scheduler.changed()

    scheduler.current.sentinel = ended
    return lock


class BootLock:
    """`threading._active_limbo_lock`, kept real, telling the scheduler when a thread has booted.

    Nothing under this lock reaches a point, so that it is never held across a switch: threads out
    of control use the same lock. The first time a new thread lets go of it, `run` comes next.
    """

    __slots__ = ("_inner",)

    def __init__(self, real: _real.RealRLock) -> None:
        self._inner = real

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the real lock."""
        taken = self._inner.acquire(blocking, timeout)
        scheduler = _scheduler.here()
        if taken and scheduler is not None:
            scheduler.current.quiet += 1
        return taken

    def release(self) -> None:
        """Let go of the real lock."""
        self._inner.release()
        scheduler = _scheduler.here()
        if scheduler is None:
            return
        me = scheduler.current
        me.quiet -= 1
        if me.booting:
            scheduler.booted(me)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self._inner._at_fork_reinit()  # type: ignore[attr-defined]
