"""Where the results of `run_each` lie, between the workers and the one who takes them.

What this promises: what is put here is given out once, in the order of the items or in that of its
coming; and whoever sleeps until something is there is woken.

A shelf has `values`, and `marks` which say where there is a value; one in pieces has both in each
piece, and one in the order of coming has no marks. Workers write to them directly, for a call of a
method would cost as much as all of that.

Who may run between which lines. Workers put; one thread takes, and it alone sleeps. It enters its
latch in `sleepers`, and *then* looks for a result; a worker puts the result there, and *then* looks
for the latch. The last that it puts, and the first that is looked at, locks itself on every build,
for reading as for writing: the marks, which are a bytearray (of a list one place is read without),
a dict that is popped from, or a list of which a slice is taken. Of the two who lock it, the second
sees all that the first has done before: so either the sleeper finds the result, or the worker finds
the latch. A place is used again only after its taker has moved on what it has `given`.
"""

from __future__ import annotations

from joinable import _park
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
        self.sleepers: dict[int, Lock] = {}

    def wake(self, index: int) -> None:
        """Wake who sleeps until the result of this item is there."""
        latch = self.sleepers.pop(index, None)
        if latch is not None:
            _park.release(latch)

    def wake_all(self) -> None:
        """Wake who sleeps."""
        for index in self.sleepers.copy():
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
        return _take(self.values, self.marks, start, min(start + most, self.room))

    @override
    def failure(self, index: int) -> Failure | None:
        return _failure(self.values, self.marks, index % self.room)


class Piece:
    """The items of some calls that follow each other, and in their places, later, the results."""

    def __init__(self, start: int, values: list[object]) -> None:
        """Make a piece of items, of which the first has this number."""
        self.start = start
        self.end = start + len(values)
        self.values = values
        self.marks = bytearray(len(values))
        self.todo = list(range(len(values) - 1, -1, -1))  # taken from the end: the first call first


class InPieces(Shelf):
    """Results in the order of their items, in pieces that come one by one."""

    def __init__(self) -> None:
        """Have no piece yet."""
        super().__init__()
        self.pieces: dict[int, Piece] = {}
        self._piece = Piece(0, [])

    def put(self, piece: Piece) -> None:
        """Put a piece where it is looked for."""
        self.pieces[piece.start] = piece

    @override
    def take(self, index: int, most: int) -> list[object]:
        piece = self._at(index)
        if piece is None:
            return []
        length = len(piece.values)
        if index == piece.start and length <= most and piece.marks.count(DONE) == length:
            self._piece = Piece(piece.end, [])  # it is not kept here
            return piece.values  # all of it at once: nobody writes there any more
        start = index - piece.start
        return _take(piece.values, piece.marks, start, start + most)

    @override
    def failure(self, index: int) -> Failure | None:
        piece = self._at(index)
        if piece is None:
            return None
        return _failure(piece.values, piece.marks, index - piece.start)

    def _at(self, index: int) -> Piece | None:
        if index == self._piece.end:
            following = self.pieces.pop(index, None)
            if following is None:
                return None
            self._piece = following
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
            kinds = [type(value) for value in values]
            if Failure in kinds:
                del values[kinds.index(Failure) :]
        del self.values[: len(values)]
        return values

    @override
    def failure(self, index: int) -> Failure | None:
        values = self.values[:1]
        if not values or not isinstance(values[0], Failure):
            return None
        del self.values[0]  # its traceback may lead here
        return values[0]


def _take(values: list[object], marks: bytearray, start: int, end: int) -> list[object]:
    """Take out the results that are there in a row."""
    there = marks[start:end]
    count = len(there) - len(there.lstrip(_DONE_MARK))
    if not count:
        return []
    end = start + count
    taken = values[start:end]
    values[start:end] = [None] * count
    marks[start:end] = bytes(count)
    return taken


def _failure(values: list[object], marks: bytearray, place: int) -> Failure | None:
    if marks[place] != FAILED:
        return None
    failure: Failure = values[place]  # type: ignore[assignment]  # so says its mark
    values[place] = None  # its traceback may lead here
    return failure
