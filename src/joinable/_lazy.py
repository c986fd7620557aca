"""The calls of a `run_each` that takes its items one by one, when somebody is about to call.

What it promises: the source is advanced by one lane at a time, in one context of its own, and never
more than `window` items ahead of what the consumer has done with.

Who may run between which lines. `turn` is held by the lane that looks whether there is room and
takes an item: it guards the source, and `taken`. A lane that finds no room leaves, and asks once
more under the crew's lock; the consumer writes `used` and then, before it waits, calls a lane
under that lock: so either it finds the lane gone, or the lane finds the room.
"""

from __future__ import annotations

import functools

from joinable import _closing, _runtime
from joinable._calls import IDLE, READING
from joinable._errors import Cancelled
from joinable._flow import MOST, Flow
from joinable._shelf import DONE, AsCompleted, InOrder
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable

    from joinable._calls import Spot
    from joinable._shelf import Shelf
    from joinable._workers import Job

__all__ = ["Lazy"]

_PLAIN = frozenset((type(iter(())), type(iter([])), type(iter(range(0))), type(iter(""))))
"""Iterators that run no code of the user's, so that they need no context."""

_NOWHERE: tuple[list[object], bytearray] = ([], bytearray())
"""For results that have no place of their own."""

_AMPLE = 512
"""Items in a window, at least, that workers are not through with in a moment, tiny as they are."""


class Lazy(Flow):
    """The calls of one `run_each` over an input that may be endless."""

    @override
    def make_shelf(self) -> Shelf:
        return InOrder(self.window) if self.ordered else AsCompleted()

    @override
    def set_up(self) -> None:
        # While the consumer is at these, all but the first keep their room: half of the buffer.
        self.most = min(MOST, self.low)
        self.turn = _runtime.allocate_lock()
        self.filling = True
        self.step: Callable[[], object] = self.source.__next__

    @override
    def read(self) -> None:
        if type(self.source) not in _PLAIN:
            self.step = functools.partial(_step, self.own, self.step)

    @override
    def is_ample(self) -> bool:
        return self.window >= _AMPLE

    @override
    def hint(self) -> None:
        if self.coming is None:
            self.look()

    @override
    def look(self) -> None:
        if self.window - (self.taken - self.used) >= self.low:
            self.filling = True
            self.call_another()

    @override
    def has_more(self) -> bool:
        # Where there is much to do, the first bit of room counts. A lane that has found none comes
        # back for more than that, or each single entry would cost a change of threads.
        room = self.window - (self.taken - self.used)
        return not self.over and room >= (1 if self.filling else self.low)

    @override
    def call_all(self, job: Job, spot: Spot) -> bool:
        copy, fn, step = self.contexts(), self.caller(spot), self.step
        take_turn, pass_turn = self.turn.acquire, self.turn.release  # a `with` costs twice as much
        window, shelf, sleepers = self.window, self.shelf, self.shelf.sleepers
        values, marks = (shelf.values, shelf.marks) if isinstance(shelf, InOrder) else _NOWHERE
        append = shelf.values.append if isinstance(shelf, AsCompleted) else None
        of_task = _closing.mine().task  # what a call has left to close
        first = clean = True
        while clean:
            spot.index = IDLE
            take_turn()
            try:
                index = self.taken
                if self.over or index - self.used >= window:
                    self.filling = False
                    break
                spot.index = READING
                item = step()
                if self.over:  # since the source was asked: nothing is started any more
                    break  # type: ignore[unreachable]
                self.taken = index + 1
                spot.index = index
            except BaseException as error:  # noqa: BLE001  it has its place in the stream
                self.end(error)
                break
            finally:
                pass_turn()
            if first:
                self.arrived(job)
                first = False
            mark, context = DONE, copy()
            try:
                try:
                    value = context.run(fn, item)
                finally:
                    if of_task:
                        _closing.mine().end_task(context.run)
            except BaseException as error:  # noqa: BLE001  every one is kept, for the consumer
                clean = isinstance(error, (Exception, Cancelled))
                value, mark = self.failed(index, error)
            if append is None:
                place = index % window
                values[place] = value
                marks[place] = mark  # last: it says that the other is there
            else:
                append(value)
            if sleepers:  # after that; see `_shelf`
                shelf.wake(index)
            del item, value, context  # nothing of a finished call is kept during the next wait
        return clean


def _step(own: contextvars.Context, step: Callable[[], object]) -> object:
    """Take an item, in the source's context: a task of its own, which ends with that."""
    record = _closing.mine()
    try:
        return own.run(step)
    finally:
        if record.task:
            record.end_task(own.run)
