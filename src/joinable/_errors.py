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

__all__ = ["CancelledError", "DeadlineExceeded", "InvalidStateError"]


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
    """The calls that were still running, each with the line it was at."""

    def __init__(self, seconds: float, unfinished: Sequence[tuple[str, str | None]]) -> None:
        """Build the message from the time limit and, a call, its name and its current line."""
        self._facts = (seconds, (*unfinished,))
        self.unfinished = tuple(_stuck(name, line) for name, line in unfinished)
        count = len(unfinished)
        whom = repr(unfinished[0][0]) if count == 1 else f"{count} calls"
        places = "; ".join(f"at {line}" if line else "not running yet" for _, line in unfinished)
        verb = "it is" if count == 1 else "they are"
        super().__init__(f"{whom} did not end within {seconds:g} s: {verb} {places}")

    @override
    def __reduce__(self) -> tuple[object, ...]:
        """Let it be pickled: a process pool sends errors that way."""
        return type(self), self._facts, vars(self)


def _stuck(name: str, line: str | None) -> str:
    return f"{name} at {line}" if line else f"{name}, not running yet"


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
