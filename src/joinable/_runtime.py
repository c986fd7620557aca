"""The seam: the only place that blocks, starts a thread or reads the clock.

Every other module asks here, by attribute and at the moment of need (`_runtime.monotonic()`,
`_runtime.allocate_lock()`), so that whoever replaces an attribute replaces the world under the
whole library: a scheduler that decides which thread runs next, a clock in the hand of a test.
No other module calls `time.monotonic`, `time.sleep`, `_thread`, or blocks on a lock that it did not
get here; a test reads the sources to hold that.

Guarantees:

- `acquire` can be interrupted by Ctrl-C on the main thread, on every system. On Windows before
  3.14 the interpreter cannot do that, so there, and only there, a wait is cut in slices.
- A timeout longer than the system can count is a wait of the longest time that it can count.
"""

from __future__ import annotations

import _thread
import contextlib
import contextvars
import functools
import math
import os
import queue
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Protocol

    from joinable._typing import Lock, T

    class Trip(Protocol):
        """The way of a job to its worker, as a clock sees it."""

        def arrive(self) -> None: ...
        def end(self) -> None: ...


monotonic: Callable[[], float] = time.monotonic
get_ident: Callable[[], int] = _thread.get_ident
allocate_lock: Callable[[], Lock] = _thread.allocate_lock
"""Make a plain lock: a latch that one thread takes and any other releases."""

# `allocate_mutex` makes a lock that guards state. Reentrant, because a Python signal handler or a
# finalizer may run between any two lines of the very thread that holds it, and call what it guards.
if sys.version_info[:2] != (3, 14) or TYPE_CHECKING:
    allocate_mutex = threading.RLock
else:

    class allocate_mutex(_thread.RLock):  # noqa: N801  called as the function that it stands for
        """A lock that Ctrl-C does not leave locked.

        On 3.14, and there alone, a signal may be handled between an `__enter__` in C and the body
        of its `with`; what the handler raises then leaves the lock taken for ever. Between
        unpacking and the return of a Python function no signal is handled.
        """

        def __enter__(self) -> bool:
            (taken,) = map(self.acquire, (True,))
            return taken


allocate_rlock = threading.RLock
"""Make such a lock without that care, which costs a Python call for each use.

For what people use in a hurry; there the standard library has the same weakness.
"""

daemons_allowed: Callable[[], bool] = getattr(_thread, "daemon_threads_allowed", lambda: True)
"""Whether this interpreter may have daemon threads: an isolated subinterpreter (3.12+) may not."""

# `make_channel` makes a queue whose `put` may be called from a finalizer.
if sys.version_info >= (3, 13) or TYPE_CHECKING:
    make_channel = queue.SimpleQueue
else:

    class make_channel:  # noqa: N801  called as the class that it stands for
        """A SimpleQueue whose `get` comes back in time.

        Before 3.13 the standard one can wait for ever: when a signal is handled in the middle of a
        `get` with a timeout, what is left of the timeout may be below 0, which is taken for "none".
        Every signal counts, whoever handles it, a profiler's too.
        """

        def __init__(self) -> None:
            self._messages = queue.SimpleQueue()
            self._news = _plain_lock()  # the clock of a test knows nothing of it
            self._news.acquire()
            self.empty = self._messages.empty

        def put(self, message: object) -> None:
            """Add a message; only then tell, so that who is told finds it."""
            self._messages.put(message)
            with contextlib.suppress(RuntimeError):  # told already
                self._news.release()

        def get(self, timeout: float | None = None) -> object:
            """Take a message; with a timeout, Empty may come early."""
            if timeout is None:
                return self._messages.get()
            # Takes the news along with the message, or it would cut the next wait short. One that
            # belongs to a later message may go with this one: that message is not waited for.
            self._news.acquire(timeout=timeout if self._messages.empty() else 0)
            return self._messages.get_nowait()


MOMENT = 1e-9
"""The clock counts nanoseconds. What is nearer than that is now: sums of floats are not exact."""

_SLICE = 0.05
_plain_lock = _thread.allocate_lock
_Thread = threading.Thread  # once: a program may put another class in its place
_SLICED = os.name == "nt" and sys.version_info < (3, 14)


def acquire(lock: Lock, timeout: float | None = None) -> bool:
    """Wait for the lock, `timeout` seconds at most; True when it was taken."""
    if _SLICED and threading.current_thread() is threading.main_thread():
        return _acquire_in_slices(lock, timeout)
    if timeout is None:
        return lock.acquire()
    return lock.acquire(timeout=max(0.0, min(timeout, threading.TIMEOUT_MAX)))


def acquire_until(lock: Lock, deadline: float) -> bool:
    """Wait for the lock until a time of the clock's, infinity for none; True when it was taken.

    For a wait that looks again: the time that is left would be wrong where a test's clock moves on
    between the look at it and the wait.
    """
    return acquire(lock, None if deadline == math.inf else deadline - monotonic())


def until(timeout: float | None) -> float:
    """Return the time of the clock's at which a wait of so many seconds from now is over."""
    return math.inf if timeout is None else monotonic() + timeout


def _acquire_in_slices(lock: Lock, timeout: float | None) -> bool:
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        left = _SLICE if deadline is None else min(_SLICE, deadline - monotonic())
        if lock.acquire(timeout=max(0.0, left)):
            return True
        if deadline is not None and monotonic() >= deadline:
            return False


def _start(thread: threading.Thread) -> None:
    try:
        _Thread.start(thread)
    except Exception as error:
        interrupt = _interrupt_behind(error)
        if interrupt is not None:
            raise interrupt from None
        raise


start: Callable[[threading.Thread], None] = _start
"""Start the OS thread behind a thread; returns when it is running."""


def _interrupt_behind(error: Exception) -> BaseException | None:
    """Return the Ctrl-C of which the standard library has made another error.

    `Event.wait`, interrupted at the wrong moment, fails to release a lock that it has not got: the
    RuntimeError has the interrupt as its context. One that was raised outside `Thread.start`, and
    is just being handled by who called it, is not meant.
    """
    context = error.__context__
    if context is None or isinstance(context, Exception) or context.__traceback__ is None:
        return None
    frame: FrameType | None = context.__traceback__.tb_frame
    while frame is not None and frame.f_code is not _Thread.start.__code__:
        frame = frame.f_back
    return None if frame is None else context


def join(thread: threading.Thread, timeout: float | None = None) -> None:
    """Wait until the OS thread behind `thread` has ended, `timeout` seconds at most."""
    if _SLICED and threading.current_thread() is threading.main_thread():
        _join_in_slices(thread, timeout)
    else:
        _Thread.join(thread, None if timeout is None else min(timeout, threading.TIMEOUT_MAX))


def _join_in_slices(thread: threading.Thread, timeout: float | None) -> None:
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        left = _SLICE if deadline is None else min(_SLICE, deadline - monotonic())
        _Thread.join(thread, max(0.0, left))
        if not thread.is_alive() or (deadline is not None and monotonic() >= deadline):
            return


def start_service(function: Callable[[], object], name: str) -> threading.Thread:
    """Start a daemon thread of the library's own, in an empty context.

    Raises:
        RuntimeError: where no thread can be had: the system has no more, the interpreter is ending,
            or it is a subinterpreter that allows no daemon.
    """
    return _start_in_no_context(function, name, daemon=True)


def _start_in_no_context(
    function: Callable[[], object], name: str, *, daemon: bool
) -> threading.Thread:
    run = contextvars.Context().run
    thread = _Thread(target=run, args=(function,), name=name, daemon=daemon)
    _start(thread)
    return thread


def start_worker(function: Callable[[], object], name: str) -> threading.Thread:
    """Start a thread that runs one call of the users' after the other, in an empty context.

    Raises:
        RuntimeError: no thread can be had.
    """
    return _start_in_no_context(function, name, daemon=daemons_allowed())


def rest(lock: Lock, seconds: float) -> bool:
    """Wait as a worker does that has nothing to do: in real time, and no clock counts it."""
    return lock.acquire(timeout=seconds)


def make_bed() -> tuple[Callable[[], object], Callable[[float], bool]]:
    """Return what wakes one thread that rests, each time once, and how it rests so many seconds.

    The second returns False when the time is up. In C, the first can be called in one step with
    what gives it out. Without a GIL a thread that waits for a lock spends as long as the whole
    hand-over takes on asking for it again and again; one that waits for a message sleeps.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)() and sys.version_info >= (3, 14):
        channel: queue.SimpleQueue[bool] = make_channel()
        return functools.partial(channel.put, True), functools.partial(_rest_for, channel)
    latch = allocate_lock()
    latch.acquire()
    return latch.release, functools.partial(latch.acquire, True)  # as `rest` does


def _rest_for(channel: queue.SimpleQueue[bool], seconds: float) -> bool:
    try:
        return channel.get(timeout=seconds)
    except queue.Empty:
        return False


# For a clock that counts threads. Read once and called, if they are there: a clock comes and goes.
departing: Callable[[], Trip] | None = None
"""Say that a worker is about to be given something to do."""

at_rest: Callable[[], object] | None = None
"""Say that the calling worker has done what it was given."""


def receive(channel: queue.SimpleQueue[T], timeout: float | None) -> T | None:
    """Wait for a message, `timeout` seconds at most; None, which may come early, for none."""
    try:
        return channel.get(
            timeout=None if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX))
        )
    except queue.Empty:
        return None
