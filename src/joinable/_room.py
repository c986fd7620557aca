"""The calls that wait for a worker of a pool, and the room that there is for them.

What this promises: with a bound no more calls wait than that, and who submits waits until there is
room; that wait can be cancelled. A place that becomes free goes to somebody who waits for one.

Who may run between which lines. Who waits for room enters its latch in `queue`, and *then* looks at
`todo`; a worker takes a call, and *then* looks at `queue`. Both lock the deque by what they do to
it, on every build: of two who lock it, the second sees all that the first has done before. So
either the one who waits finds the room, or the worker finds the latch. Who closes writes `closed`,
and *then* looks at `queue`. A call is added under the lock, so that of two one gets the last place.
"""

from __future__ import annotations

import contextlib
from collections import deque

from joinable import _park
from joinable._chain import release
from joinable._hands import Hands
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._errand import Errand
    from joinable._typing import Lock

__all__ = ["Room"]


class Room(Hands):
    """The queue of one pool."""

    name: str
    todo: deque[Errand[object]]  # type: ignore[assignment]

    def __init__(
        self, limit: int, backlog: int | None, broke: Callable[[BaseException], object]
    ) -> None:
        """Have nothing yet."""
        super().__init__(limit, broke)
        self.backlog = backlog
        self.closed = ""  # after what nothing more is taken
        self.queue: deque[Lock] = deque()  # latches of those who wait for room
        self.refused: int = 0  # calls, as the next: both under the lock
        self.failed: int = 0

    def see_to(self, errand: Errand[object]) -> None:
        """See that somebody takes what was just added."""
        raise NotImplementedError

    @override
    def has_more(self) -> bool:
        self.todo.rotate(0)  # changes nothing, and locks it
        return bool(self.todo)

    def refuse(self) -> None:
        """Say that nothing more is done.

        Raises:
            RuntimeError: always.
        """
        with self.lock:
            self.refused += 1
        # It begins as that of the standard library, which some look for.
        raise RuntimeError(f"cannot schedule new futures after {self.closed}: {self.name!r}")

    def add_in_turn(self, errand: Errand[object]) -> None:
        """Wait until there is room for it, and have it done.

        Raises:
            Cancelled: A scope in force asks the caller to stop.
            RuntimeError: It is closed, or no thread can be had.
        """
        while not self._admit(errand):
            if self.lend():  # the room that it waits for may come when its own place is taken
                try:
                    self._await_room()
                finally:
                    self.take_back()
            else:
                self._await_room()
        self.see_to(errand)

    def _admit(self, errand: Errand[object]) -> bool:
        with self.lock:
            if self.closed:
                self.refuse()
            if not self._is_roomy():
                return False
            self.todo.append(errand)
            return True

    def _is_roomy(self) -> bool:
        self.todo.rotate(0)  # as above
        return self.backlog is None or len(self.todo) < self.backlog

    def _await_room(self) -> None:
        held = _park.latch()
        try:
            self.queue.append(held)
            if not self._is_roomy() and not self.closed:
                _park.park(held)
        except BaseException:
            with self.lock:
                unused = _park.leave(self.queue, held)
            if unused:
                self.has_room()
            raise
        with self.lock:
            if held in self.queue:
                self.queue.remove(held)

    def forget_call(self, errand: Errand[object]) -> None:
        """Make room: it was cancelled. Without a bound it goes when somebody comes to it."""
        if self.backlog is not None:
            self._take_out(errand)
            self.has_room()

    def _take_out(self, errand: Errand[object]) -> None:
        with self.lock:
            with contextlib.suppress(ValueError):  # somebody has taken it, and will find it empty
                self.todo.remove(errand)
            self.tell_if_gone()

    def has_room(self) -> None:
        """Wake the first who waits for room."""
        with self.lock:
            if self.queue:
                release(self.queue.popleft())
