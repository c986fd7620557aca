"""Where the results of `run_each` lie, between the workers and the one who takes them.

What this promises: what is put here is given out once, in the order of the items or in that of its
coming; and whoever sleeps until something is there is woken.

Workers write to it directly, for a call of a method would cost as much as all of that. In a ring
`marks` say which places are taken; in a piece, whose owner calls in their order, and in the order
of coming, results are put one behind the other; what lies by itself has its number.

Who may run between which lines. Workers put; one thread takes, and it alone sleeps. It enters its
latch in `sleepers`, and *then* looks for a result; a worker puts the result there, and *then* looks
for the latch. The last that it puts, and the first that is looked at, locks itself on every build,
for reading as for writing: the marks, which are a bytearray (of a list one place is read without),
a dict that is popped from, or a list of which a slice is taken. Of the two who lock it, the second
sees all that the first has done before: so either the sleeper finds the result, or the worker finds
the latch. A place is used again only after its taker has moved on what it has `given`.

The owner of a piece may withhold results that it puts: `withheld` says from which one on. That is
written before they are put, and read after a slice of them was taken: who sees a result sees that
it is withheld. Publishing clears it, and *then* locks the results, before the latch is looked for:
so either the sleeper, who has entered his, sees that, or the owner finds the latch.
"""

from __future__ import annotations

from joinable import _park
from joinable._calls import IDLE, Spot
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joinable._typing import Lock

__all__ = ["DONE", "FAILED", "AsCompleted", "Failure", "InOrder", "InPieces", "Piece", "Shelf"]

DONE = 1
"""Marks a result."""
FAILED = 2
"""Marks a failure."""

_DONE_MARK = bytes([DONE])
_NOTHING = object()


class Failure:
    """What stands in the place of a result."""

    __slots__ = ("error", "index")

    def __init__(self, index: int, error: BaseException) -> None:
        """Keep the error of a call."""
        self.index = index
        self.error = error


class Shelf:
    """What all kinds have: one thread may sleep until something comes."""

    def __init__(self) -> None:
        """Have nothing yet."""
        self.sleepers: dict[int, Lock | None] = {}  # below zero: notes of lanes to themselves

    def wake(self, index: int) -> None:
        """Wake who sleeps until the result of this item is there."""
        latch = self.sleepers.pop(index, None)
        if latch is not None:
            _park.release(latch)

    def wake_all(self) -> None:
        """Wake who sleeps."""
        for index in self.sleepers.copy():
            if index >= 0:
                Shelf.wake(self, index)

    def take(self, index: int, most: int) -> list[object]:
        """Return what is there, from this result on: so many at most, and up to a failure."""
        raise NotImplementedError

    def failure(self, index: int) -> Failure | None:
        """Take out the failure that stands in the place of this result."""
        raise NotImplementedError


class InOrder(Shelf):
    """Results in the order of their items, in a ring: there is room for so many at a time."""

    def __init__(self, room: int) -> None:
        """Make room; a result has its place at its index modulo that."""
        super().__init__()
        self.room = room
        self.values: list[object] = [None] * room
        self.marks = bytearray(room)

    @override
    def take(self, index: int, most: int) -> list[object]:
        start = index % self.room
        there = self.marks[start : start + most]
        count = len(there) - len(there.lstrip(_DONE_MARK))
        if not count:
            return []
        end = start + count
        taken = self.values[start:end]
        self.values[start:end] = [None] * count
        self.marks[start:end] = bytes(count)
        return taken

    @override
    def failure(self, index: int) -> Failure | None:
        place = index % self.room
        if self.marks[place] != FAILED:
            return None
        failure: Failure = self.values[place]  # type: ignore[assignment]  # so says its mark
        self.values[place] = None  # its traceback may lead here
        return failure


class Piece(Spot):
    """Some items that follow each other, and the results of calls with them.

    Its owner takes from the end of `todo`, where the first one lies, and puts results one behind
    the other. Others help with the last ones, whose results lie by themselves.
    """

    def __init__(self, start: int, items: list[object]) -> None:
        """Make a piece of items, of which the first has this number."""
        items.reverse()
        self.start = start
        self.end = start + len(items)
        self.todo = items
        self.first = start  # before this one, and
        self.rest = self.end  # from this one on, those who help have taken them
        self.results: list[object] = []
        self.failed = False  # set before a failure is put behind what came before it
        self.withheld: int | None = None  # results from this one on are not to be taken yet

    @override
    def at(self) -> int:
        withheld = self.withheld  # its owner may be closing what that call has left
        index = self.start + (len(self.results) if withheld is None else withheld)  # its owner's
        return index if index < self.end else IDLE

    def withhold(self, sleepers: dict[int, Lock | None]) -> None:
        """Withhold results, from that of the call on which runs now; leave a note for its lane."""
        if self.withheld is None:
            self.withheld = len(self.results)
        sleepers[-1 - self.start] = None

    def publish(self, sleepers: dict[int, Lock | None]) -> None:
        """Withhold nothing any more. Who sleeps until it is there is yet to be woken."""
        # First: if a finalizer withholds something between the two, its note stays.
        sleepers.pop(-1 - self.start, None)
        self.withheld = None
        _ = self.results[:0]  # locks, see above

    def pick_first(self) -> tuple[int, object]:
        """Take the first item, of a piece that has no owner; by one lane at a time.

        Raises:
            IndexError: There are none left.
        """
        item = self.todo.pop()
        self.first += 1
        return self.first - 1, item

    def pick_last(self) -> tuple[int, object]:
        """Take the last item, to help the owner; by one lane at a time.

        Raises:
            IndexError: There are none left.
        """
        item = self.todo.pop(0)
        self.rest -= 1
        return self.rest, item

    def cut(self, index: int) -> None:
        """Drop the items behind this one; nobody may help meanwhile."""
        behind = max(0, min(self.rest - 1 - index, len(self.todo)))
        del self.todo[:behind]  # the owner is at the other end
        self.rest -= behind

    def take(self, first: int, most: int) -> list[object]:
        """Take out the results that are there in a row from this number on, up to a failure."""
        if first == self.start and self._is_whole() and not self.failed:
            return self.results  # all of it at once: nobody writes there any more
        place = first - self.start
        results = self.results[place : place + most]
        withheld = self.withheld  # looked at after that, as is `failed`
        if withheld is not None:
            del results[max(0, withheld - place) :]
        if self.failed:
            results = _up_to_failure(results)
        self.results[place : place + len(results)] = [None] * len(results)
        return results

    def _is_whole(self) -> bool:
        """Tell whether its owner has put and published all results, and none was of who helped."""
        if len(self.results) < self.end - self.start:
            return False
        # To look at the length locks nothing, and this does, see above. A copy would count
        # references that another thread has made: without a GIL that costs as much as a call.
        return not self.results[:0] and self.withheld is None

    def failure(self, index: int) -> Failure | None:
        """Take out the failure that stands in the place of this result."""
        place = index - self.start
        value = next(iter(self.results[place : place + 1]), None)
        if not isinstance(value, Failure):
            return None
        self.results[place] = None  # its traceback may lead here
        return value


class InPieces(Shelf):
    """Results in the order of their items, in pieces that come one by one, or each by itself."""

    def __init__(self) -> None:
        """Have nothing yet."""
        super().__init__()
        self.pieces: dict[int, Piece] = {}
        self.singles: dict[int, object] = {}  # of calls that were made one at a time
        self._piece: Piece | None = None

    def put(self, piece: Piece) -> None:
        """Put a piece where it is looked for."""
        self.pieces[piece.start] = piece

    @override
    def take(self, index: int, most: int) -> list[object]:
        piece = self._at(index)
        if piece is None:
            return self._in_a_row(index, most)
        values = piece.take(index, most)
        if values is piece.results:
            self._piece = None  # it is not kept here
            return values
        return values + self._in_a_row(index + len(values), most - len(values))

    def _in_a_row(self, index: int, most: int) -> list[object]:
        """Take out the results that lie by themselves from this number on, up to a failure."""
        values: list[object] = []
        while len(values) < most:  # looked at once at least
            value = self.singles.pop(index + len(values), _NOTHING)
            if value is _NOTHING:
                break
            if isinstance(value, Failure):
                self.singles[value.index] = value
                break
            values.append(value)
        return values

    @override
    def failure(self, index: int) -> Failure | None:
        piece = self._at(index)
        failure = None if piece is None else piece.failure(index)
        if failure is not None:
            return failure
        value = self.singles.get(index)
        if not isinstance(value, Failure):
            return None
        del self.singles[index]  # its traceback may lead here
        return value

    def _at(self, index: int) -> Piece | None:
        """Return the piece that this result is in, if it is in one."""
        if self._piece is None or index >= self._piece.end:
            self._piece = self.pieces.pop(index, None)
        return self._piece


class AsCompleted(Shelf):
    """Results in the order in which they come."""

    def __init__(self) -> None:
        """Have nothing yet."""
        super().__init__()
        self.values: list[object] = []
        self.failed = False  # set before the first failure is put behind what came before it

    @override
    def wake(self, index: int) -> None:
        self.wake_all()  # any will do

    @override
    def take(self, index: int, most: int) -> list[object]:
        values = self.values[:most]
        if self.failed:
            values = _up_to_failure(values)
        del self.values[: len(values)]
        return values

    @override
    def failure(self, index: int) -> Failure | None:
        values = self.values[:1]
        if not values or not isinstance(values[0], Failure):
            return None
        del self.values[0]  # its traceback may lead here
        return values[0]


def _up_to_failure(values: list[object]) -> list[object]:
    kinds = [type(value) for value in values]
    return values[: kinds.index(Failure)] if Failure in kinds else values
