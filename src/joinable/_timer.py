"""One thread that calls functions at a time: for scopes that have callbacks and a deadline.

What waits in the library needs no timer: it knows its deadline, and wakes by itself. A timer is for
what has to be *done* at a deadline while nobody waits, such as closing a socket that another thread
reads.

The thread is a daemon, started by the first entry, never at import, and ends when nothing is left
to come. An entry that was cancelled stays until its time, or until there are many of them; its
function is let go at once.

Who may run between which lines. `_timers.lock` guards the heap and `service`; functions are called
outside it. An entry is cancelled by taking its function away, and the thread takes the function
before it calls it: `list.pop` is atomic on every build, so it is called once or not at all. After a
fork the child starts from nothing.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import os
import threading

from joinable import _runtime
from joinable._errors import unraisable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import queue
    from collections.abc import Callable

_FEW = 64  # cancelled entries that may lie about; more than that, and than the live ones, may not


class Entry:
    """A function that is to be called at a time."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], object]) -> None:
        """Make an entry that has not been called."""
        self.function = [function]

    def take(self) -> Callable[[], object] | None:
        """Take the function out; None when it was called or cancelled."""
        try:
            return self.function.pop()
        except IndexError:
            return None

    def cancel(self) -> bool:
        """Let it not be called; False when it has been taken already."""
        return self.take() is not None


class _Timers:
    """All that is to come, and the thread that calls it; one of them for the process."""

    def __init__(self) -> None:
        self.lock = _runtime.allocate_mutex()
        self.channel: queue.SimpleQueue[None] = _runtime.make_channel()
        self.heap: list[tuple[float, int, Entry]] = []
        self.many = _FEW
        self.serial = itertools.count()  # of two entries for one moment the older goes first
        self.service: threading.Thread | None = None


_timers = _Timers()


def call_at(when: float, function: Callable[[], object]) -> Entry:
    """Call `function` at the monotonic time `when`, on the timer's thread.

    It must be quick, for all entries share that thread. What it raises goes to
    `sys.unraisablehook`.

    Raises:
        RuntimeError: No thread can be had.
    """
    _forget_in_children()
    entry = Entry(function)
    with _timers.lock:
        _tidy()
        new = (when, next(_timers.serial), entry)
        heapq.heappush(_timers.heap, new)
        try:
            _serve_from_now_on()
        except BaseException:  # Ctrl-C, or no thread can be had: the caller learns of it
            entry.cancel()
            raise
        if _timers.heap[0] is new:  # earlier than what the thread sleeps for
            _timers.channel.put(None)
    return entry


def service() -> threading.Thread | None:
    """Return the thread of the timer; None while nothing is to come."""
    with _timers.lock:
        return _timers.service


def is_here() -> bool:
    """Tell whether the calling thread is the timer's."""
    return threading.current_thread() is _timers.service


def look_again() -> threading.Thread | None:
    """Have the thread read the clock again, for whoever has replaced it; return it."""
    with _timers.lock:
        if _timers.service is not None:
            _timers.channel.put(None)
        return _timers.service


def _tidy() -> None:
    """Drop what was cancelled, once it may be the larger part; needs the lock."""
    if len(_timers.heap) > _timers.many:
        _timers.heap = [item for item in _timers.heap if item[2].function]
        heapq.heapify(_timers.heap)
        _timers.many = 2 * len(_timers.heap) + _FEW


def _serve_from_now_on() -> None:
    if _timers.service is None or not _timers.service.is_alive():
        # The new thread's first act is to take our lock, so it sees what is added meanwhile.
        _timers.service = _runtime.start_service(_serve, "joinable-timer")


def _serve() -> None:
    while True:
        function, wait = _take_due()
        if function is not None:
            _call(function)
            del function  # or it would be kept while this waits
        elif wait is None:
            return
        else:
            _runtime.receive(_timers.channel, wait)


def _take_due() -> tuple[Callable[[], object] | None, float | None]:
    """Return what is due, or how long to wait; neither when there is nothing to come."""
    now = _runtime.monotonic()
    with _timers.lock:
        while _timers.heap:
            when, _, entry = _timers.heap[0]
            if when > now + _runtime.MOMENT and entry.function:
                break
            heapq.heappop(_timers.heap)
            function = entry.take()
            if function is not None:
                return function, None
        if not _timers.heap:
            _timers.service = None  # under the lock: the next entry starts another
            return None, None
        return None, max(0.0, _timers.heap[0][0] - now)


def _call(function: Callable[[], object]) -> None:
    try:
        function()
    except BaseException as error:  # noqa: BLE001  it must not cost the others their time
        unraisable(error)


@functools.cache  # once in the life of a process: a child inherits it, and it cannot be undone
def _forget_in_children() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    """Start from nothing, in the child of a fork: the lock may be held by a thread not here."""
    global _timers  # noqa: PLW0603  see above: the old one may be locked for ever
    _timers = _Timers()


def renew() -> tuple[Callable[[], object], Callable[[], object]]:
    """Start from nothing, for one run of a test; return what ends the run, and what undoes this."""
    old = _timers
    _forget()

    def restore() -> None:
        global _timers  # noqa: PLW0603  as in `_forget`
        _timers = old

    return _end, restore


def _end() -> None:
    """Drop what is to come, and wait for the thread."""
    with _timers.lock:
        _timers.heap.clear()
        thread = look_again()
    if thread is not None:
        _runtime.join(thread)
