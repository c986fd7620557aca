"""The calls of a `run_each` that takes all its items at once, and calls as fast as it can.

What it promises: as long as calls are not known to be quick, a lane takes one at a time. Where they
are, it sets them aside for itself in pieces, which become longer; who finds nothing more to set
aside helps with the pieces of others. So no call waits for the end of another one while a lane has
nothing to do, and calls that are slow from the first one on start in the order of their items.

Where calls are quick, a lane that comes may be in the way of those who are here: it holds back for
a moment, once, and only then sets calls aside and sends for the next.

Who may run between which lines. `turn` guards `blocks` and `taken`: each item is taken alone or in
one piece, and by one lane. A piece is put on the shelf, and among the `claims`, before `taken` is
moved on, under that lock: who sees without it that all is taken finds all pieces that have
something to help with. The owner pops from the end of its `todo`, which is atomic on every build,
and so calls one after the other. Who helps, or takes away what is behind a failure, does so at the
other end, under `turn`.

One lane at a time is on its way, so one at a time holds back: `held` is its latch. It enters that
under `turn`, where it sees that there is something to take; the lane that takes the last does so
under `turn` afterwards, and looks for the latch when it has come to the end of it.

A call may leave something to be closed before anybody has its result (`_closing`). To ask that
after each call would cost a tenth of a tiny one; so the lane is told of it, within the call, and
has its piece withhold results from that one on (`Piece.withhold`). A note among the sleepers brings
the lane to `_after` once the result is put.
"""

from __future__ import annotations

import contextvars
import functools
import os
import sys
import threading

from joinable import _closing, _park, _runtime
from joinable._calls import IDLE
from joinable._errors import Cancelled
from joinable._flow import Flow
from joinable._shelf import FAILED, AsCompleted, InPieces, Piece
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from joinable._calls import Spot
    from joinable._shelf import Shelf
    from joinable._typing import Lock
    from joinable._workers import Job

__all__ = ["Eager"]

_LONGEST = 512
"""Calls in a piece at most; so many results are kept until the consumer has used the last one."""

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

_EMPTY = contextvars.Context()  # before the first call of a piece has its own


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
        return self._may_take() or any(piece.todo for piece in self.claims.copy().values())

    @override
    def call_all(self, job: Job, spot: Spot) -> bool:
        record = _closing.mine()
        record.on_entry = functools.partial(self._withhold, threading.current_thread())
        try:
            return self._call_pieces(job, spot, record)
        finally:
            record.on_entry = None  # it leads to the results

    def _withhold(self, me: threading.Thread) -> None:
        """Withhold what the call returns that is running here, in a piece of one's own."""
        piece = self.running.get(me)
        if isinstance(piece, Piece):
            piece.withhold(self.shelf.sleepers)

    def _call_pieces(self, job: Job, spot: Spot, record: _closing.Record) -> bool:
        copy = self.contexts()
        if self.length >= _PROVEN and len(self.lanes) > _ENOUGH:
            self._hold_back()
        while self._call_singly(job, copy, spot, record):
            piece = self._claim(job)
            if piece is None:
                return True
            if self.coming is job:
                self.arrived(job)
            begun = _runtime.monotonic()
            if self.ordered and self.claims.get(job) is piece:
                clean = self._call_own(piece, copy, spot, record)
            else:
                clean = self._help(piece, copy, spot, record)
            self._note_pace(piece.end - piece.start, _runtime.monotonic() - begun)
            if not clean:
                return False  # what it has set aside is for others
            self.claims.pop(job, None)
            del piece  # its results are not kept here
        return False

    def _call_singly(
        self,
        job: Job,
        copy: Callable[[], contextvars.Context],
        spot: Spot,
        record: _closing.Record,
    ) -> bool:
        """Make one call after the other, until they prove quick or none is left to take."""
        fn, clean = self.caller(spot), True
        while clean and self.length == 1 and self._may_take():
            try:
                with self.turn:
                    spot.index, item = self._take_one()
            except IndexError:
                break
            if self.coming is job:
                self.arrived(job)
            begun = _runtime.monotonic()
            clean = self._call_one(fn, item, copy(), spot.index, record)
            if _runtime.monotonic() - begun < _QUICK:
                self.length = 2
            del item
        spot.index = IDLE
        return clean

    def _note_pace(self, calls: int, seconds: float) -> None:
        self.length = min(2 * calls, _LONGEST) if seconds < calls * _QUICK else 1

    def _hold_back(self) -> None:
        """Leave the quick calls for a moment to those who are here."""
        latch = _park.latch()
        with self.turn:
            if not self._may_take():
                return
            self.held = latch
        _runtime.rest(latch, _MOMENT)
        self.held = None

    def _call_own(
        self,
        piece: Piece,
        copy: Callable[[], contextvars.Context],
        spot: Spot,
        record: _closing.Record,
    ) -> bool:
        """Make the calls of a piece of one's own; False if the thread must not be used again."""
        me = threading.current_thread()
        self.running[me] = piece
        clean = self._call(piece, copy, record)
        self.running[me] = spot
        if piece.withheld is not None:  # since a finalizer came behind the last call
            record.end_task()
            piece.publish(self.shelf.sleepers)
        return clean

    def _call(
        self, piece: Piece, copy: Callable[[], contextvars.Context], record: _closing.Record
    ) -> bool:
        """Make its calls as fast as it goes."""
        pop, results, sleepers = piece.todo.pop, piece.results, self.shelf.sleepers
        fn = self.caller(piece)
        # Of this thread: one that is shared would cost more than the call, without a GIL.
        clean, item, context = True, (nothing := object()), _EMPTY
        while clean:
            try:
                # What a tiny call costs is in here. No `try` within: 3.14 would count references.
                while True:
                    item = pop()
                    results.append((context := copy()).run(fn, item))
                    item = nothing
                    if sleepers:  # after that; see `_shelf`
                        self._after(piece, context, record)
            except BaseException as error:
                if item is nothing:
                    if isinstance(error, IndexError):
                        break  # from `pop`
                    raise
                item = nothing
                clean = isinstance(error, (Exception, Cancelled))
                if record.task:
                    record.end_task(context.run)
                self._put_failure(piece, error)
                self._after(piece, context, record)
        return clean

    def _after(self, piece: Piece, context: contextvars.Context, record: _closing.Record) -> None:
        """Close what a call has left, whose result is put; wake who sleeps until it is there."""
        if piece.withheld is not None or record.task:
            record.end_task(context.run)
            piece.publish(self.shelf.sleepers)
        self.shelf.wake(piece.start + len(piece.results) - 1)

    def _put_failure(self, piece: Piece, error: BaseException) -> None:
        index = piece.start + len(piece.results)
        value, mark = self.failed(index, error)
        piece.failed = piece.failed or mark == FAILED  # first; see there
        piece.results.append(value)

    def _help(
        self,
        piece: Piece,
        copy: Callable[[], contextvars.Context],
        spot: Spot,
        record: _closing.Record,
    ) -> bool:
        """Make calls of a piece as one of many; all do where the order is that of their ends."""
        fn, clean = self.caller(spot), True
        pick = piece.pick_last if self.ordered else piece.pick_first
        while clean:
            try:
                with self.turn:
                    spot.index, item = pick()
            except IndexError:
                break
            clean = self._call_one(fn, item, copy(), spot.index, record)
            del item
        spot.index = IDLE
        return clean

    def _call_one(
        self,
        fn: Callable[[Any], object],
        item: object,
        context: contextvars.Context,
        index: int,
        record: _closing.Record,
    ) -> bool:
        """Make a call, and put its result by itself; False if the thread must not be used again."""
        shelf, clean = self.shelf, True
        try:
            try:
                value = context.run(fn, item)
            finally:
                if record.task:
                    record.end_task(context.run)
        except BaseException as error:  # noqa: BLE001  every one is kept, for the consumer
            clean = isinstance(error, (Exception, Cancelled))
            value = self.failed(index, error)[0]
        if isinstance(shelf, InPieces):
            shelf.singles[index] = value
        elif isinstance(shelf, AsCompleted):
            shelf.values.append(value)
        del value  # the traceback of an error leads here
        if shelf.sleepers:  # after that; see `_shelf`
            shelf.wake(index)
        return clean

    def _claim(self, job: Job) -> Piece | None:
        """Set calls aside, or find some that others have; None when there are none left."""
        # First without the lock, at which all lanes would queue up when they end.
        if self._may_take():
            with self.turn:
                if self._may_take():
                    return self._cut(job)
        held, self.held = self.held, None
        if held is not None:
            _park.release(held)
        for piece in self.claims.copy().values():
            if piece.todo:
                return piece
        return None

    def _may_take(self) -> bool:
        """Tell whether there is something to take; once there is not, there never is again."""
        return self.taken < self.total and not self.over

    def _take_one(self) -> tuple[int, object]:
        """Take the next item; by one lane at a time.

        Raises:
            IndexError: There are none left.
        """
        if not self._may_take():
            raise IndexError
        block = self.blocks[-1]
        item = block.pop(0)
        if not block:
            self.blocks.pop()
        self.taken += 1
        return self.taken - 1, item

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
