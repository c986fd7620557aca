"""One attempt to start a thread: what it is to run, and where it was asked for."""

from __future__ import annotations

import contextvars
import os

from joinable import _frames, _runtime
from joinable._check import check_callable, check_span, short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._chain import Seat
    from joinable._timer import Entry

__all__ = ["Launch", "check_call"]


class Launch:
    """One attempt to start a thread."""

    body: Callable[[], object] | None = None
    context: contextvars.Context | None = None
    running: Callable[[], object] | None = None
    """The body, while it runs: for who asks what is being called."""
    seat: Seat
    revoked = False
    timer: Entry | None = None

    def __init__(self) -> None:
        self.place = _frames.caller(3)  # `caller`, this, and who makes it, are ours
        self.process = os.getpid()
        self.since = _runtime.monotonic()


def check_call(
    target: object, args: object, kwargs: object, context: object, timeout: object
) -> None:
    """Raise unless a thread can be made of these arguments."""
    if target is not None:
        check_callable(target, "target")
    if not hasattr(args, "__iter__"):
        raise TypeError(
            f"args must be a tuple of arguments, not {short(args)}: write args=({short(args)},)"
        )
    if kwargs is not None and not hasattr(kwargs, "keys"):
        raise TypeError(f"kwargs must be a mapping of names to arguments, not {short(kwargs)}")
    if context is not None and not isinstance(context, contextvars.Context):
        raise TypeError(f"context must be a contextvars.Context or None, not {short(context)}")
    if timeout is not None:
        check_span(timeout, "timeout")
