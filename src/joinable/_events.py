"""The one hook through which the library can be watched.

Progress bars, timelines and leak checks are observers of it; nothing below them knows that they
exist. While nobody watches, an event costs a look at an empty tuple.

An observer is called on the thread on which the thing happened, outside every lock of the library.
It should be quick, and it must not wait. What it raises goes to `sys.unraisablehook`: watching must
not change what is watched.
"""

from __future__ import annotations

import enum
import threading

from joinable import _runtime
from joinable._errors import unraisable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Observer = Callable[["Kind", object], object]


class Kind(enum.Enum):
    """What happened to a task."""

    STARTED = "started"
    WAITING = "waiting"
    """The calling thread is about to block until the task is done."""
    WOKEN = "woken"
    """The calling thread goes on, whether the task is done or not."""
    DONE = "done"
    CANCELLED = "cancelled"


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
