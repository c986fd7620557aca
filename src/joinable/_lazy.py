"""The calls of a `run_each` that takes its items when somebody is about to call.

What it promises: the source is advanced by one lane at a time, in one context of its own, and never
more than `window` items ahead of what the consumer has done with. Where that runs no code of the
user's, some are taken at a time; they lie `ready` for all lanes, so that none waits for a call that
is made with another.

Where calls are quick, a lane that finds no room holds on for a moment before it leaves: to come
back costs as much as many such calls. Then one lane is enough, and the next one need not be sent
for as long as another one holds on: that looks for itself when the moment is over. So a call that
is not quick any more keeps those behind it waiting for a moment, and no longer.

Who may run between which lines. `turn` is held by the lane that looks whether there is room and
takes items: it guards the source, and `taken`, and nobody else adds to `ready`. From there each is
taken by one lane, in their order: the deque locks itself. Who stops what lies behind an item says
so in `halted`, and *then* clears the deque: all in it lies behind. A lane looks at `halted` when it
has its item, which may lie before: that is called with. A lane that finds no room leaves, and asks
once more under the crew's lock; the consumer writes `used` and then, before it waits, calls a lane
under that lock: so either it finds the lane gone, or the lane finds the room.

A lane that holds on enters its latch in `held`, and *then* looks for room, and for the end; the
consumer writes `used`, and who ends it `over`, and *then* takes latches out. A list locks itself on
every build: of the two the second sees what the first has done before. Whoever takes a latch out
adds to `roused` before; the lane takes from that, and *then* the turn, at which it looks for room.
So while something lies there, a lane is on its way that sees what `used` is now.

A lane that was roused, and has taken an item, looks whether another one holds on: if it did, that
comes to the turn later, when its moment is over, and sees what there is to take.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections import deque

from joinable import _closing, _park, _runtime
from joinable._calls import IDLE, READING
from joinable._errors import Cancelled
from joinable._flow import MOST, Flow
from joinable._shelf import DONE, AsCompleted, InOrder
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Iterator

    from joinable._calls import Spot
    from joinable._shelf import Shelf
    from joinable._typing import Lock
    from joinable._workers import Job

__all__ = ["Lazy"]

_PLAIN = frozenset((type(iter(())), type(iter([])), type(iter(range(0))), type(iter(""))))
"""Iterators that run no code of the user's, so that they need no context."""

_NOWHERE: tuple[list[object], bytearray] = ([], bytearray())
"""For results that have no place of their own."""

_AMPLE = 32
"""Items in a window, at least, for more than one of their results to be let come."""

_LAVISH = 512
"""The same where the source runs code of the user's, which may wait for a result to be used."""

_GULP = 64
"""Items that are taken at a time at most, where no code of the user's runs for them."""

_PROVEN = 8
"""Calls in a row, at least, after which it can be told how quick they are."""

_QUICK = 20e-6
"""Seconds that a call takes at most to count as quick, what it waits for others included."""

_MOMENT = 1e-3
"""Seconds for which a lane holds on: a window of quick calls is used up in less."""


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
        self.quick = False
        self.held: list[Lock] = []  # latches of lanes that hold on
        self.roused: list[None] = []  # one for each that was released, until its lane has seen it
        self.ready: deque[tuple[int, object]] = deque()  # what was taken, with its numbers
        self.halted: list[int] = []  # what lies behind one of these is not called with any more
        self.step: Callable[[int], list[object]]
        self.may_let_come: bool

    @override
    def read(self) -> None:
        plain = type(self.source) in _PLAIN
        self.may_let_come = self.window >= (_AMPLE if plain else _LAVISH)
        if plain:
            self.step = functools.partial(_take_some, self.source)
        else:
            self.step = functools.partial(_take_one, self.own, self.source.__next__)

    @override
    def is_ample(self) -> bool:
        return self.may_let_come and not self.over and self._room() > 0

    @override
    def hint(self) -> None:
        if self.coming is None:
            self.look()

    @override
    def look(self) -> None:
        if self._room() >= self.low:
            self.filling = True
            # A copy locks the list: who takes from it afterwards sees what `used` is now.
            if not self.roused.copy() and not self._rouse():
                self.call_another()

    def _room(self) -> int:
        """Return with how many items more calls may begin."""
        return self.window + self.used - self.begun()

    @override
    def begun(self) -> int:
        return self.taken - len(self.ready)  # in this order: some too few while they are taken

    def _rouse(self) -> bool:
        """Have a lane come to its turn that holds on; False if there is none."""
        self.roused.append(None)  # first: the lane may look for it at once
        try:
            latch = self.held.pop()
        except IndexError:
            self.roused.pop()
            return False
        _park.release(latch)
        return True

    @override
    def stop(self) -> None:
        self._halt(-1)

    @override
    def stop_behind(self, index: int) -> None:
        self._halt(index if self.ordered else -1)

    def _halt(self, index: int) -> None:
        self.halted.append(index)  # first: who has just taken an item looks at it then
        self.over = True
        self.ready.clear()
        self._tell_all()

    @override
    def end(self, error: BaseException) -> None:
        super().end(error)
        self._tell_all()

    def _tell_all(self) -> None:
        self.serve()
        while self._rouse():
            pass

    @override
    def has_more(self) -> bool:
        # Where there is much to do, the first bit of room counts. A lane that has found none comes
        # back for more than that, or each single entry would cost a change of threads.
        return not self.over and self._room() >= (1 if self.filling else self.low)

    @override
    def call_all(self, job: Job, spot: Spot) -> bool:
        copy = self.contexts()
        follow: Callable[[], object] = functools.partial(self.arrived, job)
        while True:
            begun, calls = _runtime.monotonic(), self.begun()
            if not self._call_some(spot, copy, follow):
                return False
            self._note_pace(self.begun() - calls, _runtime.monotonic() - begun)
            if not self.quick or not self._hold_on(job):
                self.serve()
                return True
            follow = self._follow

    def _note_pace(self, calls: int, seconds: float) -> None:
        if calls:  # else nothing new is known
            self.quick = calls >= _PROVEN and seconds < calls * _QUICK

    def _hold_on(self, job: Job) -> bool:
        """Wait a moment for room; False to leave."""
        with self.lock:
            if self.coming is job:  # it has come, though it has taken nothing
                self.coming = None
        latch = _park.latch()
        self.held.append(latch)
        if not self.over and not self.has_more():  # after that
            self.serve()  # just before this one sleeps: who is woken needs the GIL
            _runtime.rest(latch, _MOMENT)
        try:
            self.held.remove(latch)
        except ValueError:  # somebody has roused us, or is just doing it
            self.roused.pop()
            return True
        return self.has_more()

    def _follow(self) -> None:
        """See that the next one comes, for a lane that was roused and has taken its first."""
        if not self.held:
            self.call_another()

    def _call_some(
        self, spot: Spot, copy: Callable[[], contextvars.Context], follow: Callable[[], object]
    ) -> bool:
        """Take items and call until there is no room; False if the thread must not be used again.

        After the first item the next lane is to `follow`.
        """
        # What a call has left to close is in the last one.
        fn, ready, halted = self.caller(spot), self.ready, self.halted
        of_task = _closing.mine().task
        pop, window, shelf, sleepers = ready.popleft, self.window, self.shelf, self.shelf.sleepers
        values, marks = (shelf.values, shelf.marks) if isinstance(shelf, InOrder) else _NOWHERE
        append = shelf.values.append if isinstance(shelf, AsCompleted) else None
        first = clean = True
        while clean:
            if not ready and not self._take(spot):
                break
            try:
                index, item = pop()
            except IndexError:  # another lane was quicker
                continue
            if halted and index > min(halted):
                break
            spot.index = index
            if first:
                follow()
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
        spot.index = IDLE
        return clean

    def _take(self, spot: Spot) -> bool:
        """See that there are items to call with; False if there is no room, or none is left."""
        spot.index = IDLE  # while it waits for others
        with self.turn:
            if self.ready:
                return True
            room = self._room()
            if self.over or room <= 0:
                self.filling = False
                return False
            spot.index = READING
            try:
                items = self.step(min(room, _GULP))
            except BaseException as error:  # noqa: BLE001  it has its place in the stream
                self.end(error)
                return False
            finally:
                spot.index = IDLE
            self.ready.extend(enumerate(items, self.taken))
            self.taken += len(items)  # after that, see `begun`
            if self.over:  # since the source was asked: nothing is started any more
                self.ready.clear()  # type: ignore[unreachable]
                return False
        return True


def _take_some(source: Iterator[object], most: int) -> list[object]:
    """Take so many items at most from a source that runs no code of the user's.

    Not to its end, unless it is asked for more: a list may grow until then.
    """
    items = [*itertools.islice(source, max(1, min(most, operator.length_hint(source))))]
    if not items:
        raise StopIteration
    return items


def _take_one(own: contextvars.Context, step: Callable[[], object], _most: int) -> list[object]:
    """Take an item, in the source's context: a task of its own, which ends with that."""
    record = _closing.mine()
    try:
        return [own.run(step)]
    finally:
        if record.task:
            record.end_task(own.run)
