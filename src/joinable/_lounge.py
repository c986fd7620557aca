"""Where the workers of a pool rest, and how they are woken.

What this promises: a worker with nothing to do rests here for a while, so that the next call costs
the release of one lock. And it comes here before it tells who waits for its last call of the end:
so whoever is told, and submits the next, finds it here, and sends for nobody else.

Who may run between which lines. A worker that rests enters itself in `parked`, and *then* looks at
`todo`; who has added a call there looks at `parked` afterwards, see `_staff`. Who takes a worker
out of `parked` wakes it, and nobody else does: the list locks itself, on every build, so that of
two who take one out each gets another, and a worker that leaves finds itself there or is woken.
"""

from __future__ import annotations

import operator
import threading
from collections import deque

from joinable import _runtime
from joinable._chain import release
from joinable._room import Room
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._typing import Lock

__all__ = ["LINGER", "Lounge"]

LINGER = 1.0
"""Seconds for which a worker rests here, before it is there for everybody again."""

_EVER = threading.TIMEOUT_MAX


def tell(told: list[Lock]) -> None:
    """Release each latch."""
    while told:
        release(told.pop())


class Lounge(Room):
    """The workers of one pool that have nothing to do."""

    def __init__(
        self, limit: int, backlog: int | None, broke: Callable[[BaseException], object]
    ) -> None:
        """Have nobody here yet."""
        super().__init__(limit, backlog, broke)
        self.waking = False  # somebody is on the way who will look for something to take
        self.parked: list[Callable[[], object]] = []  # what wakes those who rest
        # Each `next` takes one out and wakes it in one step: a Ctrl-C is handled before or after.
        # An iterator for all, and in two threads at once: what it does is the list's atomic `pop`.
        self._wakings = map(operator.call, iter(self.parked.pop, None))
        self.trips: deque[_runtime.Trip] = deque()

    def wake_one(self) -> bool:
        departing = _runtime.departing
        trip = None if departing is None else departing()
        if trip is not None:
            self.trips.append(trip)
        try:
            next(self._wakings)
        except IndexError:  # somebody was quicker
            if trip is not None:
                self.trips.remove(trip)
                trip.end()
            return False
        return True

    def rest(
        self, wake: Callable[[], object], sleep: Callable[[float], bool], told: list[Lock]
    ) -> bool:
        """Wait until there may be something to take; False to leave."""
        self.parked.append(wake)
        self.todo.rotate(0)  # as in `has_more`
        # All of it is looked at now: what is there and gone a moment later may hide the rest.
        needed = bool(self.todo or self.closed or self._lenders or len(self.lanes) > self.limit)
        # Now: little is left to be done until it sleeps, when who is told wants the GIL.
        if told:
            tell(told)
        if not needed:
            at_rest = _runtime.at_rest
            if at_rest is not None:
                at_rest()
            if not sleep(LINGER):
                if self._unpark(wake):
                    return False
                sleep(_EVER)  # somebody is just waking us
        elif self._unpark(wake):
            return self.has_more() and not self.must_leave()
        else:
            sleep(_EVER)
        if self.trips:
            self.trips.popleft().arrive()
        self.waking = False
        return True

    def _unpark(self, wake: Callable[[], object]) -> bool:
        try:
            self.parked.remove(wake)
        except ValueError:
            return False
        return True

    @override
    def make_way(self) -> None:
        if self.parked:
            self.wake_one()
