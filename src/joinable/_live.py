"""What was begun and may still be under way: for whoever draws it, and nobody here keeps it alive.

Scopes, groups and runs of calls enter themselves here and take themselves out at their end, by one
operation of a dict each. One that ends with threads that it has given up stays until it is
collected; one that nobody ever ends goes when somebody looks.

Who may run between which lines. Setting, popping and copying an entry are atomic on every build,
and each object has a key of its own while it lives. The callback of one that stays is the dict's
`pop`, in C, so that of a finalizer no line of Python runs here, whichever thread is just in the
midst of the dict; it comes before the memory of the object, and so its key, is anybody else's.
"""

from __future__ import annotations

import functools
import weakref

__all__ = ["entered", "found", "leave"]

entered: dict[int, weakref.ref[object]] = {}
"""What is entered, by its id: for those who enter often, and so without a call in between."""


def leave(thing: object, *, stays: bool) -> None:
    """Take it out; or have it stay as long as it lives."""
    key = id(thing)
    if stays:
        entered[key] = weakref.ref(thing, functools.partial(entered.pop, key))
    else:
        entered.pop(key, None)


def found() -> list[object]:
    """Return what is there, the oldest first."""
    things: list[object] = []
    for key, entry in entered.copy().items():
        thing = entry()
        if thing is not None:
            things.append(thing)
        elif entered.get(key) is entry:
            # One that has come between these two lines, at the same place in memory, is lost for
            # the picture, and for nothing else.
            entered.pop(key, None)
    return things
