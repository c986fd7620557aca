"""The calls of a `run_each` that takes all its items at once, and calls as fast as it can.

What it promises: a lane sets calls aside for itself in pieces, longer ones where calls are quick;
who finds nothing more to set aside helps with the pieces of others. So no call waits for the end of
another one while a lane has nothing to do, and calls that are slow from the first one on start in
the order of their items.

Who may run between which lines. `turn` guards `blocks` and `taken`. A piece is put on the shelf,
and among the `claims`, before `taken` is moved on, under that lock. The owner pops from the end of
its `todo`, which is atomic on every build, and so calls one after the other. Who helps, or takes
away what is behind a failure, does so at the other end, under `turn`.
"""

from __future__ import annotations

import threading

from joinable import _runtime
from joinable._calls import IDLE
from joinable._errors import Cancelled
from joinable._flow import Flow
from joinable._shelf import FAILED, AsCompleted, InPieces, Piece
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable

    from joinable._calls import Spot
    from joinable._shelf import Shelf
    from joinable._workers import Job

__all__ = ["Eager"]

_LONGEST = 256
"""Calls in a piece at most: the integers up to there are made once, and counted by nobody."""

_QUICK = 20e-6
"""Seconds that a call takes at most to count as quick: then pieces become longer.

About as long as it takes two threads to fight for the next item.
"""

_AMPLE = 64
"""Results that have yet to come, at least, for them to be let come together."""

_NOTHING = object()


class Eager(Flow):
    """The calls of one `run_each` with `buffersize=None`."""

    @override
    def make_shelf(self) -> Shelf:
        return InPieces() if self.ordered else AsCompleted()

    @override
    def set_up(self) -> None:
        self.turn = _runtime.allocate_lock()
        self.blocks: list[list[object]] = []  # the items, the last of these first
        self.claims: dict[Job, Piece] = {}
        self.length = 1  # of the next piece

    @override
    def read(self) -> None:
        items: list[object] = []
        try:
            self.own.run(items.extend, self.source)
        except (Exception, Cancelled) as error:  # noqa: BLE001  its place is behind what came before
            self.end(error)
            self.over = False
        self.total = len(items)
        # Not by the lanes: without a GIL, to count what another thread has made costs more.
        starts = range(0, self.total, _LONGEST)
        self.blocks = [items[start : start + _LONGEST] for start in reversed(starts)]

    @override
    def is_ample(self) -> bool:
        return self.total - self.given >= _AMPLE

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
        with self.turn:  # nobody makes a claim now, or helps
            self.over = True
            for piece in self.claims.copy().values():
                piece.cut(index)

    @override
    def has_more(self) -> bool:
        if self.taken < self.total and not self.over:
            return True
        return any(piece.todo for piece in self.claims.copy().values())

    @override
    def call_all(self, job: Job, spot: Spot) -> bool:
        copy, me = self.contexts(), threading.current_thread()
        piece, clean = self._claim(job), True
        if piece is not None:
            self.arrived(job)
        while piece is not None:
            begun = _runtime.monotonic()
            if self.ordered and self.claims.get(job) is piece:
                self.running[me] = piece
                clean = self._call(piece, copy)
                self.running[me] = spot
            else:
                clean = self._help(piece, copy, spot)
                spot.index = IDLE
            length = piece.end - piece.start
            quick = _runtime.monotonic() - begun < length * _QUICK
            self.length = min(2 * length, _LONGEST) if quick else 1
            piece = self._claim(job) if clean else None  # what it has set aside is for others
        return clean

    def _call(self, piece: Piece, copy: Callable[[], contextvars.Context]) -> bool:
        """Make the calls of a piece of one's own; False if the thread must not be used again."""
        fn, pop, start, sleepers = self.fn, piece.todo.pop, piece.start, self.shelf.sleepers
        results, put = piece.results, piece.results.append
        clean, item = True, _NOTHING
        while clean:
            try:
                while True:  # what a tiny call costs is in here
                    item = pop()
                    put(copy().run(fn, item))
                    item = _NOTHING
                    if sleepers:  # after that; see `_shelf`
                        self.shelf.wake(start + len(results) - 1)
            except BaseException as error:
                if item is _NOTHING:
                    if isinstance(error, IndexError):
                        break  # from `pop`
                    raise
                item = _NOTHING
                clean = isinstance(error, (Exception, Cancelled))
                self._put_failure(piece, error)
        return clean

    def _put_failure(self, piece: Piece, error: BaseException) -> None:
        index = piece.start + len(piece.results)
        value, mark = self.failed(index, error)
        piece.failed = piece.failed or mark == FAILED  # first; see there
        piece.results.append(value)
        self.shelf.wake(index)

    def _help(self, piece: Piece, copy: Callable[[], contextvars.Context], spot: Spot) -> bool:
        """Make calls of a piece as one of many; all do where the order is that of their ends."""
        shelf, clean = self.shelf, True
        pick = piece.pick_last if self.ordered else piece.pick_first
        while clean:
            try:
                with self.turn:
                    spot.index, item = pick()
            except IndexError:
                break
            try:
                value = copy().run(self.fn, item)
            except BaseException as error:  # noqa: BLE001  every one is kept, for the consumer
                clean = isinstance(error, (Exception, Cancelled))
                value = self.failed(spot.index, error)[0]
            if isinstance(shelf, AsCompleted):
                shelf.values.append(value)
            else:
                piece.helped[spot.index] = value
            if shelf.sleepers:  # after that; see `_shelf`
                shelf.wake(spot.index)
            del item, value  # nothing of a finished call is kept
        return clean

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
        block, length = self.blocks[-1], self.length  # once: other lanes write it
        if length < len(block):
            values = block[:length]
            del block[:length]
        else:
            values = self.blocks.pop()
        piece = Piece(self.taken, values)
        self.claims[job] = piece
        if isinstance(self.shelf, InPieces):
            self.shelf.put(piece)
        self.taken = piece.end
        if self.over:  # `stop` may not have seen the claim
            piece.todo.clear()
        return piece
