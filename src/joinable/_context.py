"""`bind` and `carry`: a value for a block, and a context for calls that others make."""

from __future__ import annotations

import contextvars
import functools

from joinable._bind import Bind, Variable
from joinable._check import check_callable, short
from joinable._owned import Bound
from joinable._thread_local import ThreadLocal
from joinable._typing import overload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from joinable._bind import Part
    from joinable._typing import T1, T2, T3, T4, P, T

    Place: TypeAlias = contextvars.ContextVar[T] | ThreadLocal[T]
    """What has one value for each context, or for each thread."""

__all__ = ["bind", "carry"]


@overload
def bind(variable: Place[T], value: T, /) -> AbstractContextManager[None, None]: ...
@overload
def bind(
    variable: Place[T1], value: T1, variable2: Place[T2], value2: T2, /
) -> AbstractContextManager[None, None]: ...
@overload
def bind(
    variable: Place[T1],
    value: T1,
    variable2: Place[T2],
    value2: T2,
    variable3: Place[T3],
    value3: T3,
    /,
) -> AbstractContextManager[None, None]: ...
@overload
def bind(
    variable: Place[T1],
    value: T1,
    variable2: Place[T2],
    value2: T2,
    variable3: Place[T3],
    value3: T3,
    variable4: Place[T4],
    value4: T4,
    /,
) -> AbstractContextManager[None, None]: ...
def bind(*pairs: object) -> AbstractContextManager[None, None]:
    """Give variables other values for a block.

    A variable is a `ContextVar` or a `ThreadLocal`. Several are bound at once by further pairs, up
    to four where types are checked. After the block each is what it was before, whatever has ended
    the block and whatever was set in it. Tasks that are started in the block inherit what a
    `ContextVar` was bound to, on every build; not so the value of a `ThreadLocal`.

    Example:
        >>> from contextvars import ContextVar
        >>> from joinable import bind, run_all
        >>> user = ContextVar("user", default="nobody")
        >>> with bind(user, "ann"):
        ...     run_all([user.get, user.get])
        ['ann', 'ann']
        >>> user.get()
        'nobody'

    Args:
        pairs: A variable, its value, the next variable, and so on.

    Returns:
        What a `with` takes, again and again, but once at a time.

    Raises:
        TypeError: There is no variable, one is neither a `ContextVar` nor a `ThreadLocal`, or has
            no value.
        RuntimeError: On entering: it is in force already. On leaving: this is another thread, task
            or context than that in which it was entered.

    Thread-safety: one thread enters and leaves.

    Cost: a microsecond or two.
    """
    if not pairs or len(pairs) % 2:
        raise TypeError(
            f"bind wants a value for each variable, not {len(pairs)} arguments: "
            "bind(variable, value, variable2, value2)"
        )
    return Bind([_part(*pairs[at : at + 2]) for at in range(0, len(pairs), 2)])


def _part(variable: object, value: object) -> Part:
    if isinstance(variable, contextvars.ContextVar):
        return Variable(variable, value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(variable, ThreadLocal):
        return Bound(variable, value)  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(f"bind wants a ContextVar or a ThreadLocal, not {short(variable)}")


def carry(fn: Callable[P, T], /) -> Callable[P, T]:
    """Make `fn` run in the context of here, whoever calls it.

    For callbacks that are given to threads and pools which are not the library's; what the library
    starts has its starter's context anyway. The context is copied now, and again for each call: so
    calls may run at the same time, any number of them, and none sees what another one sets. With
    the context goes the scope that is in force here: when it is cancelled, waits in `fn` end.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from contextvars import ContextVar
        >>> from joinable import bind, carry
        >>> user = ContextVar("user", default="nobody")
        >>> with ThreadPoolExecutor() as pool, bind(user, "ann"):
        ...     bare, carried = pool.submit(lambda: 0), pool.submit(carry(user.get))
        >>> carried.result()
        'ann'

    The value of a `ThreadLocal` belongs to its thread, and is not carried.

    Args:
        fn: What to call.

    Returns:
        A function with the same arguments and result.

    Raises:
        TypeError: `fn` cannot be called, or is a coroutine function.

    Thread-safety: what it returns may be called by any thread at any time.

    Cost: each call, a third of a microsecond more.
    """
    check_callable(fn, "fn")
    context = contextvars.copy_context()

    @functools.wraps(fn, updated=())  # the attributes of an object that can be called are its own
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.copy().run(fn, *args, **kwargs)

    return call
