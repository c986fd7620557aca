"""Every exception of the library, each with a message built from facts.

An error subclasses the builtin that people already catch. What `concurrent.futures` has a name for
keeps that name (`CancelledError`, `InvalidStateError`).
"""

from __future__ import annotations

from concurrent.futures import CancelledError, InvalidStateError

from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Cancelled", "CancelledError", "DeadlineExceeded", "GroupClosed", "InvalidStateError"]


class Cancelled(BaseException):
    """Unwind the code in a cancelled scope, up to the `with` of the scope that asked for it.

    The library's own waits and `checkpoint()` raise it, and nothing else. It is no `Exception`, so
    `except Exception` lets it pass. Let it pass yourself: clean up in `finally`, or catch it and
    raise it again. Whoever swallows it meets it again at the next wait.

    Example:
        >>> from joinable import CancelScope, Cancelled, sleep
        >>> with CancelScope() as scope:
        ...     scope.cancel("the window was closed")
        ...     try:
        ...         sleep(60)
        ...     except Cancelled as cancelled:
        ...         print(cancelled.reason)
        ...         raise
        the window was closed
    """

    reason: str | BaseException | None
    """What `cancel()` was given, or that a deadline has passed."""

    _scope: object = None  # the one that swallows it
    _late = False  # a deadline, not `cancel()`, asked for it

    def __init__(self, reason: str | BaseException | None = None) -> None:
        """Build the message from the reason."""
        self.reason = reason
        message = reason if isinstance(reason, str) else "cancelled"
        if isinstance(reason, BaseException):
            message = f"cancelled because of {type(reason).__name__}: {reason}"
        super().__init__(message)

    @override
    def __reduce__(self) -> tuple[object, ...]:
        """Let it be pickled, without the scope, which belongs to this process."""
        return type(self), (self.reason,)


class GroupClosed(RuntimeError):  # noqa: N818  as `BrokenBarrierError` would be no better
    """Refuse a call that a `TaskGroup` cannot run: it has failed, was cancelled, or has ended.

    Raised in a group that was asked to stop it is no error of its own: the group has one already.

    Example:
        >>> from joinable import GroupClosed, TaskGroup
        >>> with TaskGroup(name="fetchers") as group:
        ...     group.cancel()
        ...     try:
        ...         group.spawn(print)
        ...     except GroupClosed as refused:
        ...         print(refused)
        'fetchers' takes no more calls: it was cancelled
    """

    _scope: object = None  # that of the group, if it was told to stop


class DeadlineExceeded(TimeoutError):  # noqa: N818  trio's and grpc's name: it says what happened
    """Tell which calls were still running when the time was up, and the line each was at.

    It is a `TimeoutError`, so `except TimeoutError` catches it.

    Example:
        >>> import threading
        >>> from joinable import DeadlineExceeded, Thread
        >>> gate = threading.Event()
        >>> thread = Thread(target=gate.wait, name="waiter")
        >>> thread.start()
        >>> try:
        ...     thread.result(timeout=0.01)
        ... except DeadlineExceeded as error:
        ...     print(str(error).split(" at ")[0])
        'waiter' did not end within 0.01 s: it is
        >>> gate.set()
        >>> thread.result()
        True
    """

    unfinished: tuple[str, ...]
    """The calls that were still running, each with where it was; often there is none left."""

    def __init__(
        self,
        seconds: float,
        unfinished: Sequence[tuple[str, str | None]],
        stopped: tuple[str, str] | None = None,
    ) -> None:
        """Build the message from the time limit and, a call, its name and where it is.

        The latter as a part of a sentence, `at app.py:3 in fetch`, or None: it has not begun.
        Where nothing is left running, `stopped` says what was stopped, and how.
        """
        self._facts = (seconds, (*unfinished,), stopped)
        self.unfinished = tuple(_stuck(name, where) for name, where in unfinished)
        whom, where = stopped or _running(unfinished)
        super().__init__(f"{whom} did not end within {seconds:g} s: {where}")

    @override
    def __reduce__(self) -> tuple[object, ...]:
        """Let it be pickled: a process pool sends errors that way."""
        return type(self), self._facts, vars(self)


def _running(unfinished: Sequence[tuple[str, str | None]]) -> tuple[str, str]:
    count = len(unfinished)
    whom = repr(unfinished[0][0]) if count == 1 else f"{count} calls"
    places = "; ".join(where or "not running yet" for _, where in unfinished)
    return whom, f"{'it is' if count == 1 else 'they are'} {places}"


def _stuck(name: str, where: str | None) -> str:
    return f"{name} {where}" if where else f"{name}, not running yet"


class _Carrier:
    """Its collection raises the error that it carries."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __del__(self) -> None:
        raise self.error


def unraisable(error: BaseException) -> None:
    """Hand an error that has no caller to `sys.unraisablehook`.

    Python code cannot build the argument of that hook, the interpreter can: it does so for what a
    finalizer raises, so a finalizer raises it.
    """
    _Carrier(error)
