"""A block in which a variable has another value: what `bind` gives out.

What it promises: after the block the variable is what it was before, whatever has ended the block,
and whatever was set in it. Of several variables all are bound, or none. The block is left where it
was entered: by the same thread, and in the same task.

Who may run between which lines. One block has it at a time: `_free` is popped, which is atomic on
every build. A Ctrl-C may come between any two lines. So entering that was cut short is undone, and
leaving is begun again; a part that has left, or was never entered, does nothing then.
"""

from __future__ import annotations

import contextlib

from joinable import _runtime
from joinable._check import steady
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Protocol

    class Part(Protocol):
        """One variable and its value."""

        def enter(self) -> None: ...
        def leave(self) -> None: ...


__all__ = ["Bind", "Variable"]

_ELSEWHERE = "a bind must be left in the task and the thread in which it was entered"


class Bind:
    """A block in which variables have other values."""

    __slots__ = ("_free", "_parts", "_thread")

    def __init__(self, parts: Sequence[Part]) -> None:
        """Make a block that is not entered yet."""
        self._parts = parts
        self._free = [None]  # empty: it is in force
        self._thread = 0

    @override
    @steady
    def __repr__(self) -> str:
        state = "not in force" if self._free else "in force"
        return f"<bind of {len(self._parts)}: {state}>"

    def __enter__(self) -> None:
        """Give each variable its value."""
        try:
            self._free.pop()
        except IndexError:
            raise RuntimeError("this bind is in force already: make one for each block") from None
        try:
            self._thread = _runtime.get_ident()
            for part in self._parts:
                part.enter()
        except BaseException:  # Ctrl-C: who was not let in does not leave, either
            with contextlib.suppress(RuntimeError):
                self._leave()
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Give each variable back what it had before."""
        if self._free:
            raise RuntimeError("this bind is not in force: it was never entered, or left before")
        if self._thread != _runtime.get_ident():
            raise RuntimeError(f"{_ELSEWHERE}: another thread has entered this one")
        try:
            self._leave()
        except BaseException:  # Ctrl-C between two lines; what has left does nothing
            self._leave()
            raise

    def _leave(self) -> None:
        first: BaseException | None = None
        for part in reversed(self._parts):
            try:
                part.leave()
            except BaseException as error:  # noqa: BLE001  raised below, when all have left
                first = first or error
        if not self._free:
            self._free.append(None)
        if first is not None:
            try:
                raise first
            finally:
                del first  # its traceback leads here


class Variable:
    """A ContextVar and its value in the block."""

    __slots__ = ("_tokens", "_value", "_variable")

    def __init__(self, variable: contextvars.ContextVar[object], value: object) -> None:
        """Know them."""
        self._variable = variable
        self._value = value
        self._tokens: list[contextvars.Token[object]] = []

    def enter(self) -> None:
        """Set it, and keep what undoes that: in one step, for Ctrl-C comes between steps."""
        self._tokens.extend(map(self._variable.set, (self._value,)))

    def leave(self) -> None:
        """Undo it, once; in one step, too."""
        try:
            with contextlib.suppress(IndexError):  # there is no more of them
                _ = [*map(self._variable.reset, iter(self._tokens.pop, None))]
        except ValueError as error:
            raise RuntimeError(f"{_ELSEWHERE}: this is another context") from error


def elsewhere(what: str) -> RuntimeError:
    """Make the error for a block that is left where it was not entered."""
    return RuntimeError(f"{_ELSEWHERE}: {what}")
