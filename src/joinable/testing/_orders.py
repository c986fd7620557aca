"""The search for an order of the operations of a history that a sequential model could follow.

By Wing and Gong ("Testing and Verifying Concurrent Objects", 1993): take as next any operation that
was called before every other one that is left had returned, see whether the model answers alike,
and go on with the rest, or back. What has been seen in vain, the same operations done and the model
in the same state, is not tried again.

Cost: at most one visit for each set of operations that can have been done (the product of their
number by thread, each plus one) and state of the model after them: exponential in the number of
threads, not in the length. Beyond `LIMIT` steps the search gives up, and says so.

Blocked operations are judged as Burckhardt and others do ("Line-Up", 2010): they have had no
effect, and in the last state of the order the model must block for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from joinable._typing import override
from joinable.testing._history import listed, outcome_of
from joinable.testing._state import state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joinable.testing._history import History, Operation, Outcome

#: Steps of the model in one search: a second or so.
LIMIT = 500_000


class WouldBlock(Exception):  # noqa: N818  (nothing has gone wrong: it is how a model says "not now")
    """Raised by a model's method where the real one would block until something changes.

    >>> from joinable.testing import WouldBlock
    >>> class QueueModel:
    ...     def __init__(self):
    ...         self.items = []
    ...     def put(self, item):
    ...         self.items.append(item)
    ...     def get(self):
    ...         if not self.items:
    ...             raise WouldBlock
    ...         return self.items.pop(0)
    """


class SearchLimitError(RuntimeError):
    """A history has too many orders to look through.

    Example:
        >>> from joinable.testing import SearchLimitError
        >>> print(SearchLimitError(40))  # doctest: +NORMALIZE_WHITESPACE
        no answer after 500000 steps of the model, for a history of 40 operations:
        use fewer threads, or fewer operations in each
    """

    def __init__(self, operations: int) -> None:
        super().__init__(
            f"no answer after {LIMIT} steps of the model, for a history of {operations} "
            "operations: use fewer threads, or fewer operations in each"
        )


class Refusal(NamedTuple):
    """An operation that could have come next, and what the model answers instead."""

    operation: Operation
    answer: Outcome

    @override
    def __str__(self) -> str:
        does = _does(self.answer)
        if self.operation.outcome is None:
            return (
                f"{self.operation.thread}  {self.operation.call} is blocked, but the model {does}"
            )
        seen = self.operation.outcome
        return f"{self.operation.thread}  {self.operation.call} {seen}, but the model {does}"


class Search:
    """The search over one history."""

    def __init__(self, history: History, model: Callable[[], object]) -> None:
        self._model = model
        self._done = history.completed
        self._pending = history.pending
        self._seen: set[tuple[int, object]] = set()
        self._left = LIMIT
        #: The longest order that fits, and what could not come after it.
        self.longest: list[Operation] = []
        self.refusals: list[Refusal] = []

    def fits(self) -> bool:
        """Tell whether there is an order that the model could follow.

        Raises:
            SearchLimitError: There was no answer in reasonable time.
        """
        return self._extend([], 0)

    def _extend(self, order: list[Operation], taken: int) -> bool:
        """Look for an order that begins with this one, which fits; `taken` is it as a bit set."""
        refusals: list[Refusal] = []
        if len(order) == len(self._done):
            refusals = self._unjustified(order)
            if not refusals:
                return True
        for number in self._next(taken):
            operation = self._done[number]
            model = self._after(order)
            answer = self._ask(model, operation)
            if not _agree(operation, answer):
                refusals.append(Refusal(operation, answer))
            elif self._new(taken | 1 << number, model) and self._extend(
                [*order, operation], taken | 1 << number
            ):
                return True
        # Of equally long ones the first that is refused everything tells most.
        if refusals and len(order) >= len(self.longest) + bool(self.refusals):
            self.longest, self.refusals = order, refusals
        return False

    def _next(self, taken: int) -> list[int]:
        """Return what may come next: called before any other that is left had returned."""
        left = [number for number in range(len(self._done)) if not taken >> number & 1]
        first_end = min((self._done[number].end or 0 for number in left), default=0)
        return [number for number in left if self._done[number].begin < first_end]

    def _after(self, order: Sequence[Operation]) -> object:
        """Make a model that has seen these operations.

        Made afresh each time, not copied: a copy of an argument would not be equal to it.
        """
        model = self._model()
        for operation in order:
            self._ask(model, operation)
        return model

    def _ask(self, model: object, operation: Operation) -> Outcome:
        self._left -= 1
        if self._left < 0:
            raise SearchLimitError(len(self._done) + len(self._pending))
        return outcome_of(operation.call, model)

    def _new(self, taken: int, model: object) -> bool:
        key = (taken, state_of(model))
        known = key in self._seen
        self._seen.add(key)
        return not known

    def _unjustified(self, order: Sequence[Operation]) -> list[Refusal]:
        """Ask, after all that have returned, for each blocked operation whether it may be."""
        asked = [
            Refusal(operation, self._ask(self._after(order), operation))
            for operation in self._pending
        ]
        return [refusal for refusal in asked if not isinstance(refusal.answer.error, WouldBlock)]

    def explain(self) -> str:
        """Say why no order fits: the longest that does, and what cannot come after it."""
        refusals = "\n".join(f"    {refusal}" for refusal in self.refusals)
        if not self.longest:
            return f"None of these can be the first:\n{refusals}"
        order = "\n".join(f"    {line}" for line in listed(self.longest))
        begins = "is" if len(self.longest) == len(self._done) else "begins with"
        return f"The longest order that fits {begins}\n{order}\nand then:\n{refusals}"


def _agree(operation: Operation, answer: Outcome) -> bool:
    # WouldBlock agrees with nothing: no operation has raised it.
    return operation.outcome is not None and operation.outcome.agrees(answer)


def _does(answer: Outcome) -> str:
    if isinstance(answer.error, WouldBlock):
        return "would block"
    return str(answer).replace("returned", "returns", 1).replace("raised", "raises", 1)
