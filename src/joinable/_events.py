"""The one hook through which the library can be watched.

Progress bars, timelines and leak checks are observers of it; nothing below them knows that they
exist. While nobody watches, an event costs a look at an empty tuple.

An observer is called on the thread on which the thing happened, outside every lock of the library.
It should be quick, and it must not wait. What it raises goes to `sys.unraisablehook`: watching must
not change what is watched.

What is told of is a task, or a `Sight`: the calls of `run_all` and `run_each` are no tasks. Whether
anybody watches those is looked at when a thread begins to take them, and not for each call.
"""

from __future__ import annotations

import enum
import threading

from joinable import _frames, _runtime
from joinable._errors import unraisable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from joinable._frames import Place
    from joinable._typing import P, T

    Observer = Callable[["Kind", object], object]

    class Spawnable(Protocol):
        """What `spawning` writes to."""

        _spawn: Spawn | None


class Kind(enum.Enum):
    """What happened to a task."""

    SPAWNED = "spawned"
    """The calling thread is about to have it run; its `_spawn` tells when and where."""
    STARTED = "started"
    WAITING = "waiting"
    """The calling thread is about to block: until that task is done, or for something else (None).

    Each of these is followed by a `WOKEN` of the same thread.
    """
    WOKEN = "woken"
    """The calling thread goes on, whether the task is done or not."""
    FAILED = "failed"
    """What the calling thread runs has failed by this error; where the task would not tell it."""
    DONE = "done"
    """It has ended, or was given up: then another thread tells it than the one that runs it."""
    CANCELLED = "cancelled"
    LEFT = "left"
    """The calling thread is through with a call that may have been given up before."""


class Spawn:
    """When and where something was spawned."""

    __slots__ = ("ident", "place", "time")

    def __init__(self, place: Place) -> None:
        """Note that the calling thread spawns something now."""
        self.time = _runtime.monotonic()
        self.ident = _runtime.get_ident()
        self.place = place


class Sight:
    """What can be seen of a call that has no task."""

    __slots__ = ("_spawn", "name", "where")

    def __init__(self, name: str, spawn: Spawn | None, where: str | None = None) -> None:
        """Stand for a call; `where` says what runs it, if that is no thread of this process."""
        self.name = name
        self._spawn = spawn
        self.where = where


observers: tuple[Observer, ...] = ()
"""Replaced as a whole, never changed in place, so that `emit` can read it without a lock."""

_changing = _runtime.allocate_mutex()
"""Guards the replacement: two observers that come at once must both be in the tuple."""


def emit(kind: Kind, task: object) -> None:
    """Tell every observer; callers look at `observers` first, to pay for nothing."""
    for observer in observers:
        try:
            observer(kind, task)
        except BaseException as error:
            # An observer must not change the run. What a signal handler raises is not its doing.
            if threading.current_thread() is threading.main_thread() and not isinstance(
                error, Exception
            ):
                raise
            unraisable(error)


def observe(observer: Observer) -> None:
    """Call `observer(kind, task)` for each event from now on."""
    global observers  # noqa: PLW0603  see `observers`
    with _changing:
        observers = (*observers, observer)


def unobserve(observer: Observer) -> None:
    """Call `observer` no more; an event that is under way may still reach it.

    Raises:
        ValueError: It was not observing.
    """
    global observers  # noqa: PLW0603  see `observers`
    with _changing:
        rest = list(observers)
        rest.remove(observer)
        observers = tuple(rest)


def spawning(task: Spawnable) -> None:
    """Tell that the calling thread is about to have this run; to be called where somebody looks."""
    task._spawn = Spawn(_frames.caller(2))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    emit(Kind.SPAWNED, task)


def waiting(awaited: object, wait: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Wait, and tell of the beginning and the end; to be called where somebody looks."""
    emit(Kind.WAITING, awaited)
    try:
        return wait(*args, **kwargs)
    finally:
        emit(Kind.WOKEN, awaited)


def watched(
    sight: Sight,
    stops: Callable[[BaseException], bool],
    fn: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Make a call, and tell of the beginning and the end; to be called where somebody looks.

    `stops` says whether an error only means that the call was told to stop.
    """
    emit(Kind.STARTED, sight)
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:
        stopped = stops(error)
        if not stopped:
            emit(Kind.FAILED, error)
        emit(Kind.CANCELLED if stopped else Kind.DONE, sight)
        raise
    emit(Kind.DONE, sight)
    return result
