"""The calls of a `run_each` that takes all its items at once, and calls as fast as it can.

What it promises: a lane sets calls aside for itself in pieces, longer ones where calls are quick;
who finds nothing more to set aside helps with the pieces of others. So no call waits for the end of
another one while a lane has nothing to do, and calls that are slow from the first one on start in
the order of their items.

Where calls are quick, a lane that comes may be in the way of those who are here: it holds back for
a moment, once, and only then sets calls aside and sends for the next.

Who may run between which lines. `turn` guards `blocks` and `taken`. A piece is put on the shelf,
and among the `claims`, before `taken` is moved on, under that lock: who sees without it that all
is set aside finds all pieces that have something to help with. The owner pops from the end of its
`todo`, which is atomic on every build, and so calls one after the other. Who helps, or takes away
what is behind a failure, does so at the other end, under `turn`.

One lane at a time is on its way, so one at a time holds back: `held` is its latch. It enters that
under `turn`, where it sees that there is something to set aside; the lane that sets the last aside
does so under `turn` afterwards, and looks for the latch when it has come to the end of it.
"""

from __future__ import annotations

import os
import sys
import threading

from joinable import _park, _runtime
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
    from joinable._typing import Lock
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

_PROVEN = 32
"""Calls in the next piece from which on they count as quick for a lane that comes."""

_MOMENT = 1e-3
"""Seconds for which it holds back: as many calls may wait as others make in that time."""

_PROCESSORS: int = getattr(os, "process_cpu_count", os.cpu_count)() or 1
_ENOUGH = 1 if getattr(sys, "_is_gil_enabled", lambda: True)() else _PROCESSORS
"""Lanes that can make quick calls at the same time."""


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
        self.held: Lock | None = None

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
        return self._may_cut() or any(piece.todo for piece in self.claims.copy().values())

    @override
    def call_all(self, job: Job, spot: Spot) -> bool:
        copy, me = self.contexts(), threading.current_thread()
        if self.length >= _PROVEN and len(self.lanes) > _ENOUGH:
            self._hold_back()
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

    def _hold_back(self) -> None:
        """Leave the quick calls for a moment to those who are here."""
        latch = _park.latch()
        with self.turn:
            if not self._may_cut():
                return
            self.held = latch
        _runtime.rest(latch, _MOMENT)
        self.held = None

    def _call(self, piece: Piece, copy: Callable[[], contextvars.Context]) -> bool:
        """Make the calls of a piece of one's own; False if the thread must not be used again."""
        fn, pop, start, sleepers = self.fn, piece.todo.pop, piece.start, self.shelf.sleepers
        results, put = piece.results, piece.results.append
        # Of this thread: one that is shared would cost more than the call, without a GIL.
        clean, item = True, (nothing := object())
        while clean:
            try:
                while True:  # what a tiny call costs is in here
                    item = pop()
                    put(copy().run(fn, item))
                    item = nothing
                    if sleepers:  # after that; see `_shelf`
                        self.shelf.wake(start + len(results) - 1)
            except BaseException as error:
                if item is nothing:
                    if isinstance(error, IndexError):
                        break  # from `pop`
                    raise
                item = nothing
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
        self.claims.pop(job, None)
        # First without the lock, at which all lanes would queue up when they end.
        if self._may_cut():
            with self.turn:
                if self._may_cut():
                    return self._cut(job)
        held, self.held = self.held, None
        if held is not None:
            _park.release(held)
        for piece in self.claims.copy().values():
            if piece.todo:
                return piece
        return None

    def _may_cut(self) -> bool:
        """Tell whether there is something to set aside; once there is not, there never is again."""
        return self.taken < self.total and not self.over

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
