"""`spawn` and `threaded`: a thread in one call."""

from __future__ import annotations

import functools

from joinable._check import check_callable
from joinable._thread import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._typing import P, T

__all__ = ["spawn", "threaded"]


def spawn(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Thread[T]:
    """Start `fn(*args, **kwargs)` in a thread of its own and return the thread.

    The same as making a `Thread` with `target`, `args` and `kwargs`, and starting it; type checkers
    hold the arguments against the function's.

    Example:
        >>> from joinable import spawn
        >>> threads = [spawn(divmod, number, 7) for number in (20, 30)]
        >>> [thread.result() for thread in threads]
        [(2, 6), (4, 2)]

    Raises:
        TypeError: `fn` cannot be called, or is a coroutine function.
        RuntimeError: The system can start no more threads.
    """
    check_callable(fn, "fn")
    thread = Thread(target=fn, args=args, kwargs=kwargs)
    thread.start()
    return thread


def threaded(fn: Callable[P, T], /) -> Callable[P, Thread[T]]:
    """Make a function whose every call runs in a thread of its own.

    Calling the decorated function returns the started `Thread` at once; the same as `spawn(fn,
    ...)`.

    Example:
        >>> from joinable import threaded
        >>> @threaded
        ... def shout(text: str) -> str:
        ...     return text.upper()
        >>> thread = shout("hello")
        >>> thread.result()
        'HELLO'

    Raises:
        TypeError: `fn` cannot be called, or is a coroutine function.
    """
    check_callable(fn, "fn")

    @functools.wraps(fn)
    def start(*args: P.args, **kwargs: P.kwargs) -> Thread[T]:
        return spawn(fn, *args, **kwargs)

    return start
