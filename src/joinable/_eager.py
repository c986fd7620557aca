"""The calls of a `run_each` that takes all its items at once, and calls as fast as it can.

What it promises: a lane sets calls aside for itself in pieces, longer ones where calls are quick;
who finds nothing more to set aside takes from the pieces of others. So no call waits for the end of
another one while a lane has nothing to do, and calls that are slow from the first one on start in
the order of their items.

Who may run between which lines. `turn` guards `items` and `taken`. A piece is put on the shelf, and
among the `claims`, before `taken` is moved on, under that lock; everybody pops from its `todo`,
which is atomic on every build. That is in descending order, so its next call is popped first, and
calls at its beginning can be taken away without touching those.
"""

from __future__ import annotations

from joinable import _runtime
from joinable._calls import IDLE
from joinable._errors import Cancelled
from joinable._flow import Flow
from joinable._shelf import AsCompleted, InPieces, Piece
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joinable._shelf import Shelf
    from joinable._workers import Job

__all__ = ["Eager"]

_LONGEST = 256
"""Calls in a piece at most: the integers up to there are made once, and counted by nobody."""

_QUICK = 20e-6
"""Seconds that a call takes at most to count as quick: then pieces become longer.

About as long as it takes two threads to fight for the next item.
"""


class Eager(Flow):
    """The calls of one `run_each` with `buffersize=None`."""

    @override
    def make_shelf(self) -> Shelf:
        return InPieces() if self.ordered else AsCompleted()

    @override
    def set_up(self) -> None:
        self.turn = _runtime.allocate_lock()
        self.items: list[object] = []
        self.claims: dict[Job, Piece] = {}
        self.length = 1  # of the next piece

    @override
    def read(self) -> None:
        try:
            self.own.run(self.items.extend, self.source)
        except (Exception, Cancelled) as error:  # noqa: BLE001  its place is behind what came before
            self.end(error)
            self.over = False
        self.total = len(self.items)
        self.items.reverse()  # pieces are cut off its end

    @override
    def stop(self) -> None:
        self.over = True  # first: who has made a claim looks at it then
        for piece in self.claims.copy().values():
            piece.todo.clear()

    @override
    def stop_behind(self, index: int) -> None:
        if not self.ordered:
            self.stop()
            return
        with self.turn:  # nobody makes a claim now
            self.over = True
            for piece in self.claims.copy().values():
                behind = [each for each in piece.todo if piece.start + each > index]
                del piece.todo[: len(behind)]  # what was popped meanwhile was at the other end

    @override
    def has_more(self) -> bool:
        if self.taken < self.total and not self.over:
            return True
        return any(piece.todo for piece in self.claims.copy().values())

    @override
    def call_all(self, job: Job, spot: list[int]) -> bool:
        copy, fn, shelf, sleepers = self.contexts(), self.fn, self.shelf, self.shelf.sleepers
        append = shelf.values.append if isinstance(shelf, AsCompleted) else None
        piece, first, clean = self._claim(job), True, True
        while piece is not None:
            if first:
                self.arrived(job)
                first = False
            spot[1] = piece.start
            pop, values, marks = piece.todo.pop, piece.values, piece.marks
            begun = _runtime.monotonic()
            while clean:
                try:
                    spot[0] = index = pop()
                except IndexError:
                    break
                try:
                    values[index] = copy().run(fn, values[index])
                except BaseException as error:  # noqa: BLE001  every one is kept, for the consumer
                    clean = isinstance(error, (Exception, Cancelled))
                    values[index], marks[index] = self.failed(piece.start + index, error)
                else:
                    marks[index] = 1  # DONE; last: it says that the result is there
                if append is not None:
                    append(values[index])
                    values[index] = None
                if sleepers:  # after that; see `_shelf`
                    shelf.wake(piece.start + index)
            spot[0] = IDLE
            if not clean:
                return False  # what it has set aside is there for the others
            quick = _runtime.monotonic() - begun < len(values) * _QUICK
            self.length = min(2 * len(values), _LONGEST) if quick else 1
            piece = self._claim(job)
        return True

    def _claim(self, job: Job) -> Piece | None:
        """Set calls aside, or find some that others have; None when there are none left."""
        with self.turn:
            self.claims.pop(job, None)
            if self.taken < self.total and not self.over:
                return self._cut(job)
        for piece in self.claims.copy().values():
            if piece.todo:
                return piece
        return None

    def _cut(self, job: Job) -> Piece:
        length = min(self.length, len(self.items))
        values = self.items[-length:]
        del self.items[-length:]
        values.reverse()
        piece = Piece(self.taken, values)
        self.claims[job] = piece
        if isinstance(self.shelf, InPieces):
            self.shelf.put(piece)
        self.taken += length
        if self.over:  # `stop` may not have seen the claim
            piece.todo.clear()
        return piece
