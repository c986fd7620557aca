"""The state of a model as something that can be compared, to know a state that was seen before.

Promise: two models with equal keys, made by the same factory, answer all further calls alike, as
long as their state is in their attributes and items. States that differ only in what cannot be seen
may have different keys; that costs time, no more. So order counts everywhere, in sets as well, an
object that is reached twice is told from two that are alike, and what cannot be looked into is
compared by identity.
"""

from __future__ import annotations

from collections import deque
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, cast

from joinable._typing import override

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN = (int, float, complex, str, bytes, bool, type(None), range)
_ITEMS = (list, tuple, deque, set, frozenset, bytearray)
_OPAQUE = (type, FunctionType, BuiltinFunctionType, ModuleType)


class _Same:
    """Equal only to what holds the same object, which it keeps: no address is used twice."""

    __slots__ = ("_it",)

    def __init__(self, it: object) -> None:
        self._it = it

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._it is other._it

    @override
    def __hash__(self) -> int:
        return id(self._it)


def state_of(model: object) -> object:
    """Return a hashable key of the state of `model`."""
    return _key(model, {})


def _key(value: object, seen: dict[int, int]) -> object:
    kind: type[object] = type(value)
    if kind in _PLAIN:
        # The type as well: 1 and True are equal, and answer differently; so do 0.0 and -0.0.
        return (kind, repr(value)) if kind in (float, complex) else (kind, value)
    if isinstance(value, _OPAQUE):
        return _Same(value)
    if id(value) in seen:
        return ("seen", seen[id(value)])
    seen[id(value)] = len(seen)
    attributes, items = _attributes(value, seen), _items(value)
    if items is not None:
        return (kind, *attributes, *(_key(item, seen) for item in items))
    # Where there is nothing to look into (`object()`, or made in C) the object stands for itself.
    return (kind, *attributes) if attributes else _Same(value)


def _items(value: object) -> list[object] | None:
    """Return what is in a container, in its order; None if it is none that is known."""
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value)
        return [part for pair in pairs.items() for part in pair]
    if isinstance(value, _ITEMS):
        return list(cast("Iterable[object]", value))
    return None


def _attributes(value: object, seen: dict[int, int]) -> list[object]:
    """Return the keys of what is in the `__dict__` and the `__slots__`, with their names."""
    found: dict[str, object] = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots: str | Iterable[str] = vars(kind).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            name = _mangled(slot, kind)
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return [part for name, item in found.items() for part in (name, _key(item, seen))]


def _mangled(slot: str, kind: type[object]) -> str:
    private = slot.startswith("__") and not slot.endswith("__")
    return f"_{kind.__name__.lstrip('_')}{slot}" if private else slot
