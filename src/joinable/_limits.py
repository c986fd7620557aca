"""Time for a block of code: `move_on_after`, `fail_after`, and `shield`, which keeps it off.

Each makes a `CancelScope` whose time counts from its `with`.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

from joinable import _frames, _runtime
from joinable._check import check_span
from joinable._errors import Cancelled, DeadlineExceeded
from joinable._scope import CancelScope
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from joinable._chain import Link

__all__ = ["fail_after", "failing", "move_on_after", "shield", "too_late"]


class _Limit(CancelScope):
    """A scope whose deadline counts from its `with`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    @override
    def _open(self, parent: Link | None) -> None:
        self._deadline = _runtime.monotonic() + self._seconds
        super()._open(parent)  # last: from now on it is entered, and others may look at it


class _Failing(_Limit):
    whom = "the block"
    where = "it was stopped in its first wait"

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool:
        swallowed = super().__exit__(exc_type, exc, traceback)
        if swallowed and isinstance(exc, Cancelled) and exc._late:
            raise too_late(self._seconds, self.whom, exc, self.where) from exc
        return swallowed


def too_late(
    seconds: float,
    whom: str,
    stopped_by: BaseException | None,
    where: str = _Failing.where,
) -> DeadlineExceeded:
    """Make the error that says what has used up its time, and at which line it was stopped."""
    if stopped_by is None:
        how = "it ended too late"
    else:
        line = _frames.raised_at(stopped_by)
        how = f"it was stopped at {line}" if line else where
    error = DeadlineExceeded(seconds, (), (whom, how))
    error.__cause__ = stopped_by
    return error


def move_on_after(seconds: float) -> CancelScope:
    """Stop the block after so many seconds and go on behind it.

    Example:
        >>> from joinable import move_on_after, sleep
        >>> with move_on_after(0.01) as scope:
        ...     sleep(60)
        >>> scope.cancelled_caught
        True

    Args:
        seconds: Counted from the `with`; 0 or more.

    Raises:
        TypeError, ValueError: `seconds` is not a number of at least 0.
    """
    check_span(seconds, "seconds", ": without a deadline, use CancelScope()")
    return _Limit(seconds)


def fail_after(seconds: float) -> CancelScope:
    """Stop the block after so many seconds and raise `DeadlineExceeded`.

    A block that ends by itself, even late, or by an error of its own raises nothing new; so does
    one that `cancel()` has stopped.

    Example:
        >>> from joinable import DeadlineExceeded, fail_after, sleep
        >>> try:
        ...     with fail_after(0.01):
        ...         sleep(60)
        ... except DeadlineExceeded as error:
        ...     print(str(error).partition(" at ")[0])
        the block did not end within 0.01 s: it was stopped

    Args:
        seconds: Counted from the `with`; 0 or more.

    Raises:
        TypeError, ValueError: `seconds` is not a number of at least 0.
        DeadlineExceeded: On leaving: the deadline has stopped the block. Its cause is the
            `Cancelled`, with the line at which the block was.
    """
    check_span(seconds, "seconds", ": without a deadline, use CancelScope()")
    return _Failing(seconds)


def failing(seconds: float, whom: str) -> CancelScope:
    """Make what `fail_after` makes, for a block that has a name and calls of its own."""
    limit = _Failing(seconds)
    limit.whom, limit.where = whom, "its calls were stopped"
    return limit


def shield(seconds: float | None) -> CancelScope:
    """Keep the scopes around the block from stopping it, for so many seconds.

    For clean-up that has to wait, in a scope that is cancelled. When the time is up they stop it,
    if they have been cancelled by then. The scope that this returns can itself be cancelled.

    Example:
        >>> from joinable import CancelScope, shield, sleep
        >>> with CancelScope() as scope:
        ...     scope.cancel()
        ...     with shield(1):
        ...         sleep(0.01)
        ...         print("said goodbye")
        said goodbye

    Args:
        seconds: Counted from the `with`; 0 or more. None, which has to be written out: for as long
            as the block takes.

    Raises:
        TypeError, ValueError: `seconds` is neither None nor a number of at least 0.
    """
    if seconds is not None:
        check_span(seconds, "seconds")
    scope = CancelScope()
    scope._shield = seconds
    return scope
