"""What was begun and may still be under way: for whoever draws it, and nobody here keeps it alive.

Groups and runs of calls: whether one is still under way is written in itself; so nothing is done
here at its end, and an entry goes when the object is collected. Scopes, of which there are many,
enter themselves and take themselves out, which is the cheapest; one that is never left goes when
somebody looks.

Who may run between which lines. An entry is a weak reference, and the key of a dict: setting,
popping and copying one are atomic on every build. Its callback is the dict's `pop`, in C, so that
of a finalizer no line of Python runs here, whichever thread is just in the midst of the dict.
"""

from __future__ import annotations

import weakref

__all__ = ["enter", "found", "scopes"]


class _Entry(weakref.ref[object]):
    """A reference that is like no other one: what it refers to may not be hashable."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


_entries: dict[weakref.ref[object], None] = {}


def enter(thing: object) -> None:
    """Have it found from now on, in the order in which things are entered."""
    _entries[_Entry(thing, _entries.pop)] = None


scopes: dict[int, weakref.ref[object]] = {}
"""Those that are entered, by their ids."""


def found() -> list[object]:
    """Return what is there, the oldest first of either kind."""
    for key, entry in scopes.copy().items():
        if entry() is None and scopes.get(key) is entry:
            # One that has come between these two lines, at the same place in memory, is lost for
            # the picture, and for nothing else.
            scopes.pop(key, None)
    entries = (*scopes.copy().values(), *_entries.copy())
    return [thing for entry in entries if (thing := entry()) is not None]
