"""Look at arguments before anything starts: what is wrong, in which one, what to do instead."""

from __future__ import annotations

import functools
import os
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType

COROUTINE_FLAGS = (
    0x80 | 0x200
)  # CO_COROUTINE, CO_ASYNC_GENERATOR of `inspect`, which is slow to import


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._typing import K

_PLAIN = frozenset((str, int, float, bool, bytes, type(None)))
_MOST = 32  # workers, unless told otherwise: as many as a standard pool has


def is_callable(value: object) -> bool:
    """Tell whether `value` can be called by a thread to some effect."""
    if type(value) is FunctionType:  # most are, and this is quicker
        return not value.__code__.co_flags & COROUTINE_FLAGS
    if not callable(value):
        return False
    code: object = getattr(value, "__code__", None)
    # A proxy has any attribute that it is asked for: a remote `__code__` is no code.
    return not (isinstance(code, CodeType) and code.co_flags & COROUTINE_FLAGS)


def check_callable(value: object, where: str) -> None:
    """Raise TypeError unless `value` can be called by a thread to some effect."""
    if is_callable(value):
        return
    if not callable(value):
        raise TypeError(f"{where} must be callable, not {_kind(value)} ({short(value)})")
    raise TypeError(
        f"{where} is the coroutine function {short(value)}: calling it in a thread would make "
        "a coroutine and run nothing; pass a plain function, or one that calls asyncio.run()"
    )


def check_workers(value: object, default: str = "no bound") -> None:
    """Raise unless `value` is None or a whole number of at least 1."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(
            f"max_workers must be a whole number or None, not {_kind(value)} ({short(value)})"
        )
    if value < 1:
        raise ValueError(f"max_workers must be at least 1, not {value}; leave it out for {default}")


def check_count(value: object, where: str, least: int | None = 0) -> None:
    """Raise unless `value` is a whole number, of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{where} must be a whole number, not {_kind(value)} ({short(value)})")
    if least is not None and value < least:
        raise ValueError(f"{where} must be at least {least}, not {value}")


def check_flag(value: object, where: str) -> None:
    """Raise unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{where} must be True or False, not {_kind(value)} ({short(value)})")


def check_seconds(value: object, where: str) -> None:
    """Raise unless `value` is None or a number of seconds; negative ones mean "do not wait"."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{where} must be a number of seconds or None, not {_kind(value)} ({short(value)})"
        )
    if value != value:  # noqa: PLR0124  the one value that differs from itself is NaN
        raise ValueError(f"{where} must be a number of seconds, not NaN")


def check_time(value: object, where: str) -> None:
    """Raise unless `value` is a time of the monotonic clock."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        hint = "None: leave it out" if value is None else f"{_kind(value)} ({short(value)})"
        raise TypeError(f"{where} must be a time of time.monotonic(), a number, not {hint}")
    check_seconds(value, where)


def check_span(value: object, where: str, hint: str = "") -> None:
    """Raise unless `value` is a number of seconds of at least 0; infinity is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = f"None{hint}" if value is None else f"{_kind(value)} ({short(value)})"
        raise TypeError(f"{where} must be a number of seconds, not {kind}")
    check_seconds(value, where)
    if value < 0:
        raise ValueError(f"{where} must be at least 0, not {value}")


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def short(value: object) -> str:
    """Show a value in at most 60 characters; user code makes its repr, so that may fail."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  what is shown is a detail of the message that needs it
        text = f"<{type(value).__name__} that has no repr>"
    return text if len(text) <= 60 else text[:57] + "..."


def name_of(fn: object) -> str:
    """Return what a function is called; of a partial, what that calls."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


def called(fn: object) -> str:
    """Return what a function is called, with its module where it is written in C."""
    while isinstance(fn, functools.partial):
        inner: object = fn.func
        if isinstance(inner, MethodType) and inner.__module__ == "joinable._race":
            inner = fn.args[-1]  # ours, which tries a function of the user's
        fn = inner
    # No code of the user's is to run here, and `__name__` of an object may be a property.
    if isinstance(fn, (FunctionType, MethodType, type)):
        return fn.__name__
    if not isinstance(fn, BuiltinFunctionType):
        return type(fn).__name__
    module: object = fn.__module__
    # A method of an object in C has none, whatever the stubs say.
    is_told = isinstance(module, str)  # pyright: ignore[reportUnnecessaryIsInstance]
    return f"{module}.{fn.__qualname__}" if is_told else fn.__qualname__


def plain(value: object) -> str:
    """Show a value without running code of its class, which may wait or raise."""
    return short(value) if type(value) in _PLAIN else f"<{type(value).__name__}>"


def check_iterable(value: object, where: str) -> None:
    """Raise TypeError unless `value` has items that a thread can take."""
    if hasattr(value, "__iter__") or hasattr(value, "__getitem__"):
        return
    hint = ""
    if hasattr(value, "__aiter__"):
        hint = "; threads cannot take from an asynchronous one"
    elif callable(value):
        hint = "; to run several functions, use run_all"
    raise TypeError(f"{where} must be iterable, not {short(value)}{hint}")


def some_workers() -> int:
    """Return how many threads a pool has that was not told, as a standard one from 3.13 on."""
    processors: int | None = getattr(os, "process_cpu_count", os.cpu_count)()
    return min(_MOST, (processors or 1) + 4)


def steady(show: Callable[[K], str]) -> Callable[[K], str]:
    """Make a `__repr__` that never raises: whoever looks at an object is hunting another error.

    It may be one whose constructor has not run, or was cut short.
    """

    @functools.wraps(show)
    def __repr__(self: K) -> str:  # noqa: N807  that is its name
        try:
            return show(self)
        except Exception as error:  # noqa: BLE001  see above
            return f"<{type(self).__name__} that is not ready: {type(error).__name__}>"

    return __repr__


def shown(thing: object, facts: str) -> str:
    """Show an object as the standard library shows its own, with its facts."""
    return f"<joinable.sync.{type(thing).__name__} at {id(thing):#x}: {facts}>"
