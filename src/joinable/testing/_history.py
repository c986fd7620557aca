"""What was called on an object, by which thread, in which order, and what came of it.

Promise: of two operations the one is before the other here exactly if it had returned before the
other was called. The record is written by whichever strand holds the baton, so it needs no lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from joinable._check import steady
from joinable._typing import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Call:
    """One operation: the name of a method and its arguments; it cannot be changed.

        >>> from joinable.testing import Call
        >>> Call("put", 1, block=False)
        Call('put', 1, block=False)
        >>> Call("put", 1) == Call("put", 1)
        True
        >>> Call("index", "b").name, Call("index", "b").on(["a", "b"])
        ('index', 1)

    Args:
        name: The method.
        args: Its arguments. They are handed to the object and to the model, in every run, so they
            should be things that cannot change.
        kwargs: Its keyword arguments.

    Raises:
        TypeError: `name` is not a string.
    """

    __slots__ = ("_args", "_kwargs", "_name")

    def __init__(self, name: str, /, *args: object, **kwargs: object) -> None:
        """Describe a call; nothing is called yet."""
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"a Call begins with the name of a method, not {name!r}")
        self._name, self._args, self._kwargs = name, args, kwargs

    @property
    def name(self) -> str:
        """The method."""
        return self._name

    def on(self, target: object) -> object:
        """Make the call on `target` and return what it returns."""
        method = getattr(target, self._name)
        result: object = method(*self._args, **self._kwargs)
        return result

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and self._facts() == other._facts()

    @override
    def __hash__(self) -> int:
        return hash((self._name, self._args, frozenset(self._kwargs.items())))

    @override
    @steady
    def __repr__(self) -> str:
        inside = ", ".join([repr(self._name), *self._written()])
        return f"Call({inside})"

    @override
    def __str__(self) -> str:
        return f"{self._name}({', '.join(self._written())})"

    def _facts(self) -> tuple[object, ...]:
        return self._name, self._args, self._kwargs

    def _written(self) -> list[str]:
        named = [f"{name}={value!r}" for name, value in self._kwargs.items()]
        return [*map(repr, self._args), *named]


class Outcome(NamedTuple):
    """What a call returned, or the exception it raised."""

    value: object
    error: Exception | None

    def agrees(self, other: Outcome) -> bool:
        """Tell whether a user sees the same: equal values, or exceptions of the same type."""
        if self.error is not None or other.error is not None:
            return type(self.error) is type(other.error)
        return bool(self.value == other.value)

    @override
    def __str__(self) -> str:
        if self.error is None:
            return f"returned {self.value!r}"
        return f"raised {_written(self.error)}"

    @property
    def arrow(self) -> str:
        """The outcome as it stands behind a call."""
        return f"-> {self.value!r}" if self.error is None else f"raises {_written(self.error)}"


def outcome_of(call: Call, target: object) -> Outcome:
    """Make a call and catch what comes of it.

    Only an `Exception` is an outcome. What is above that (Ctrl-C, the end of the run) goes on up.
    """
    try:
        return Outcome(call.on(target), None)
    except Exception as error:  # noqa: BLE001  (whatever it is, the model must raise it as well)
        # The traceback would keep the frames, and with them the object, alive.
        return Outcome(None, error.with_traceback(None))


def _written(error: Exception) -> str:
    return f"{type(error).__name__}{error.args!r}" if len(error.args) != 1 else repr(error)


class Operation:
    """One call in a history: `begin` and `end` count the events; a blocked one has no end."""

    __slots__ = ("begin", "call", "end", "outcome", "thread")

    def __init__(self, thread: str, call: Call, begin: int) -> None:
        self.thread = thread
        self.call = call
        self.begin = begin
        self.end: int | None = None
        self.outcome: Outcome | None = None

    @override
    def __str__(self) -> str:
        return f"{self.thread}  {self.call} {self.arrow}"

    @property
    def arrow(self) -> str:
        """What came of it."""
        return "never returns" if self.outcome is None else self.outcome.arrow


class History:
    """The operations of one run, in the order in which they were called."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.events = 0

    def record(self, thread: str, call: Call, target: object) -> None:
        """Make a call and write down when it began, when it ended, and what came of it."""
        operation = Operation(thread, call, self._event())
        self.operations.append(operation)
        outcome = outcome_of(call, target)
        operation.outcome, operation.end = outcome, self._event()

    def _event(self) -> int:
        self.events += 1
        return self.events

    @property
    def completed(self) -> list[Operation]:
        """The operations that have returned or raised."""
        return [operation for operation in self.operations if operation.end is not None]

    @property
    def pending(self) -> list[Operation]:
        """The operations that never return."""
        return [operation for operation in self.operations if operation.end is None]

    def timeline(self) -> str:
        """Draw each operation as a bar over the time it took, events being equally far apart."""
        left = listed(self.operations)
        width = max(map(len, left), default=0)
        rows = zip(left, self.operations, strict=True)
        return "\n".join(f"{text:<{width}}  {self._bar(op)}" for text, op in rows)

    def _bar(self, operation: Operation) -> str:
        start = " " * (2 * (operation.begin - 1))
        if operation.end is None:
            return f"{start}|{'-' * (2 * (self.events - operation.begin) + 1)}..."
        return f"{start}|{'-' * (2 * (operation.end - operation.begin) - 1)}|"


def listed(operations: Sequence[Operation]) -> list[str]:
    """Write operations below each other, the columns aligned."""
    thread = _widest(op.thread for op in operations)
    call = _widest(str(op.call) for op in operations)
    return [f"{op.thread:<{thread}}  {op.call!s:<{call}} {op.arrow}" for op in operations]


def _widest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)
