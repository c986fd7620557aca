"""What was begun and may still be under way: for whoever draws it, and nobody here keeps it alive.

Scopes, groups, runs of calls. Whether one is still under way is written in itself; so nothing is
done here at its end, and an entry goes when the object is collected.

Who may run between which lines. An entry is a weak reference, and the key of a dict: setting,
popping and copying one are atomic on every build. Its callback is the dict's `pop`, in C, so that
of a finalizer no line of Python runs here, whichever thread is just in the midst of the dict.
"""

from __future__ import annotations

import weakref

__all__ = ["enter", "found"]


class _Entry(weakref.ref[object]):
    """A reference that is like no other one: what it refers to may not be hashable."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


_entries: dict[weakref.ref[object], None] = {}


def enter(thing: object) -> None:
    """Have it found from now on, in the order in which things are entered."""
    _entries[_Entry(thing, _entries.pop)] = None


def found() -> list[object]:
    """Return what is there, the oldest first."""
    return [thing for entry in _entries.copy() if (thing := entry()) is not None]
