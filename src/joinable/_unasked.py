"""Report the errors that nobody asked for: to `threading.excepthook`, soon, and once.

A task that fails while nobody waits for it is *watched*. Its error is reported by whichever comes
first:

- the task is collected (`collected`, called by its finalizer);
- its time is up (`after` seconds; None for never);
- the interpreter exits (a sweep, after non-daemon threads have ended).

An error that has been asked for by then is not reported: the claim that the task left here answers
None. Whoever takes a key out of `_watched` reports it, and a key is taken out under the lock, so
nothing is reported twice.

The hook is called by a daemon thread of ours. It is started by the first error that is watched,
never at import, and ends when nothing is watched any more. Where no such thread can be had, the
error is reported at once, by the thread that failed.

Who may run between which lines: `collected` may run anywhere, even in a thread that holds our lock,
since finalizers do. So it only reads a dict and puts a message in a queue whose `put` is reentrant.
Its key stays in `_watched` until the message is read, and as long as there is a key there is a
thread to read it. After a fork the child starts from nothing: what its parent watches, the parent
reports.
"""

from __future__ import annotations

import atexit
import functools
import heapq
import itertools
import os
import sys
import threading
import weakref

from joinable import _runtime
from joinable._errors import unraisable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import queue
    from collections.abc import Callable

    Claim = Callable[[], threading.ExceptHookArgs | None]
    """What to report, or None when the error has been asked for."""
    Message = tuple[int, Claim | None]
    """A key that was collected, and its claim; without a claim: end."""

_LAST_WORDS = 1.0  # seconds that the sweep at exit gives a report under way; a hook may hang


class _Watch:
    """All that is watched, and the thread that reports it; one of them for the process."""

    def __init__(self) -> None:
        # Guards everything here but `channel`, which guards itself.
        self.lock = _runtime.allocate_mutex()
        self.channel: queue.SimpleQueue[Message | None] = _runtime.make_channel()
        self.watched: dict[int, weakref.WeakMethod[Claim]] = {}
        self.due: list[tuple[float, int]] = []  # a heap; keys gone from `watched` are skipped
        self.dead: set[int] = set()  # due, and dead already: their messages are on their way
        self.keys = itertools.count()
        self.service: threading.Thread | None = None
        self.over = False
        self.hooked = False


_watch = _Watch()


def watch(claim: Claim, after: float | None) -> int | None:
    """Report what `claim` answers, `after` seconds from now or earlier.

    Returns the key for `collected`. `claim` is a bound method; only a weak reference to its object
    is kept. With `after` not above 0, or where no reporting thread can be had, the report is made
    before this returns, and the key is None.
    """
    if after is not None and after <= 0:
        report(claim)
        return None
    with _watch.lock:
        key = _add(claim, after) if _served() else None
    if key is None:
        report(claim)
    return key


def collected(key: int, claim: Claim) -> None:
    """Have it reported now; to be called by finalizers, so it neither waits nor locks."""
    if key in _watch.watched:
        _watch.channel.put((key, claim))


def watched() -> dict[int, Claim]:
    """Return what is watched now, by key: for leak checks, which keep it for a moment only."""
    with _watch.lock:
        alive = [(key, reference()) for key, reference in _watch.watched.items()]
    return {key: claim for key, claim in alive if claim is not None}


def is_over() -> bool:
    """Tell whether the program is ending, and all that is watched has its last moment."""
    return _watch.over


def service() -> threading.Thread | None:
    """Return the thread that reports; None while nothing is watched."""
    with _watch.lock:
        return _watch.service


def look_again() -> threading.Thread | None:
    """Have the reporting thread read the clock again, for whoever has replaced it; return it."""
    with _watch.lock:
        if _watch.service is not None:  # else the message would wait for the next one
            _watch.channel.put(None)
        return _watch.service


def report(claim: Claim) -> None:
    """Call `threading.excepthook` with what `claim` answers; nothing where that is None."""
    arguments = claim()
    if arguments is None:
        return
    try:
        threading.excepthook(arguments)
    except BaseException as error:  # noqa: BLE001  a failing hook must not cost the other reports
        _hook_failed(error)


def _hook_failed(error: BaseException) -> None:
    """Tell of a hook that failed, as the standard library does: a line, and `sys.excepthook`."""
    error.__suppress_context__ = True  # the context may be the error that was to be reported
    try:
        if sys.stderr is not None:  # it is None without a console, and late at exit
            sys.stderr.write("Exception in threading.excepthook:\n")
            sys.stderr.flush()
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException as second:  # noqa: BLE001  there is one place left to tell it to
        unraisable(second)


@functools.cache  # once in the life of a process: a child inherits it, and it cannot be undone
def _forget_in_children() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)


def _add(claim: Claim, after: float | None) -> int:
    key = next(_watch.keys)
    _watch.watched[key] = weakref.WeakMethod(claim)
    if after is not None:
        due = (_runtime.monotonic() + after, key)
        heapq.heappush(_watch.due, due)
        if _watch.due[0] is due:  # earlier than what the thread sleeps for
            _watch.channel.put(None)
    return key


def _served() -> bool:
    """See that the reporting thread runs; False where it cannot. Called under the lock."""
    if _watch.over:
        return False
    if not _watch.hooked:
        _watch.hooked = True
        # Anew in a child: a fork inherits the registration, but multiprocessing clears it.
        atexit.unregister(_sweep)
        atexit.register(_sweep)
        _forget_in_children()
    if _watch.service is None or not _watch.service.is_alive():
        try:
            # The new thread's first act is to take our lock, so it sees what is added meanwhile.
            _watch.service = _runtime.start_service(_serve, "joinable-reports")
        except RuntimeError:
            return False
    return True


def _serve() -> None:
    """Report what falls due or is collected, until nothing is watched."""
    while True:
        claim, wait = _take_due()
        if claim is not None:
            report(claim)
            del claim  # or a reported task would be kept while this waits
        elif wait == 0 or _read(wait):
            return


def _take_due() -> tuple[Claim | None, float | None]:
    """Return one that is due, or how long to wait: None for a message only, 0 to end."""
    now = _runtime.monotonic()
    with _watch.lock:
        while _watch.due and _watch.due[0][0] <= now:
            time, key = heapq.heappop(_watch.due)
            reference = _watch.watched.get(key)
            claim = None if reference is None else reference()
            if claim is not None:
                del _watch.watched[key]
                return claim, None
            if reference is not None:
                _expect_message(time, key)
        if not _watch.watched and _watch.channel.empty():
            _watch.service = None  # under the lock: the next one that is watched starts another
            return None, 0
        return None, max(1e-3, _watch.due[0][0] - now) if _watch.due else None


def _expect_message(time: float, key: int) -> None:
    """Keep the key of a dead task for its finalizer's message, which is on its way; not for ever.

    A subclass with a `__del__` of its own may have forgotten to call ours.
    """
    if key in _watch.dead:
        _watch.dead.remove(key)
        del _watch.watched[key]
    else:
        _watch.dead.add(key)
        heapq.heappush(_watch.due, (time + _LAST_WORDS, key))


def _read(wait: float | None) -> bool:
    """Wait for a message and do what it says; True to end."""
    message = _runtime.receive(_watch.channel, wait)
    if message is None:
        return False
    key, claim = message
    if claim is not None and _take(key):
        report(claim)
    return claim is None


def _take(key: int) -> bool:
    with _watch.lock:
        _watch.dead.discard(key)
        return _watch.watched.pop(key, None) is not None


def _sweep() -> None:
    """Report at exit all that is left, on the main thread."""
    with _watch.lock:
        _watch.over = True  # from now on errors are reported by the threads that fail
        service = _watch.service
    if service is not None:
        _watch.channel.put((-1, None))
        _runtime.join(service, _LAST_WORDS)
    while not _watch.channel.empty():
        _read(0)
    with _watch.lock:
        left = [(key, reference()) for key, reference in _watch.watched.items()]
    for key, claim in left:
        # A service that did not end in time may have taken it meanwhile.
        if claim is not None and _take(key):
            report(claim)
    # What is left has died meanwhile: its finalizer's message is on its way (`_expect_message`).
    end = _runtime.monotonic() + _LAST_WORDS
    while _watch.watched and (wait := end - _runtime.monotonic()) > 0:
        _read(wait)
    _watch.watched.clear()


def _forget() -> None:
    """Start from nothing, in the child of a fork: the lock may be held by a thread not here."""
    global _watch  # noqa: PLW0603  see above: the old one may be locked for ever
    keys = _watch.keys
    _watch = _Watch()
    _watch.keys = keys  # go on counting: a task of the parent's, collected here, is none of ours


def renew() -> tuple[Callable[[], object], Callable[[], object]]:
    """Start from nothing, for one run of a test; return what ends the run, and what undoes this."""
    old = _watch
    _forget()
    _watch.hooked = True  # nothing is to happen at an exit that comes after the run

    def restore() -> None:
        global _watch  # noqa: PLW0603  as in `_forget`
        _watch = old

    return _sweep, restore
