"""The workers of a group: who takes its calls, and which of them run.

Who may run between which lines. A lane takes a call with one `popleft`, without the lock, and so
does `drop_all`: each call is taken once. A call that was taken is in `running` before it is begun;
whoever has set `_over` looks there afterwards. So a call is seen there, or sees that it is over.
"""

from __future__ import annotations

import contextlib
from collections import deque

from joinable._crew import Crew
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._call import Call
    from joinable._workers import Job

__all__ = ["Hands"]


class Hands(Crew):
    """The workers of one group."""

    def __init__(self, limit: int | None, broke: Callable[[BaseException], object]) -> None:
        """Make workers who tell `broke` of an error that is none of a call."""
        super().__init__(limit)
        self.todo: deque[Call[object]] = deque()
        self.running: dict[Call[object], None] = {}
        self.dropped: list[Call[object]] = []  # not to be begun, and not all cancelled yet
        self._over = False  # what nobody has begun is not to be begun
        self._broke = broke

    @override
    def has_more(self) -> bool:
        return bool(self.todo)

    def drop_all(self) -> None:
        """Take what nobody has taken, for `cancel_dropped`; needs the lock."""
        # In one step, for Ctrl-C comes between steps; and no copy: a lane takes without the lock.
        with contextlib.suppress(IndexError):
            self.dropped.extend(iter(self.todo.popleft, None))

    def cancel_dropped(self) -> None:
        """Cancel what was dropped, each call, whatever a callback of one of them raises."""
        first: BaseException | None = None
        for call in self.dropped.copy():
            try:
                call.cancel()
            except BaseException as error:  # noqa: BLE001  raised below, when all are cancelled
                first = first or error
        with self.lock:
            if all(call.done() for call in self.dropped):
                self.dropped.clear()
        if first is not None:
            raise first

    @override
    def abandon(self) -> bool:
        self._over = True
        return super().abandon()

    def drop(self, call: Call[object]) -> bool:
        """Take back what is refused, which must not run later; False if somebody has taken it."""
        with self.lock:
            try:
                self.todo.remove(call)
            except ValueError:
                return False
            self.tell_if_gone()
        call.cancel()
        return True

    @override
    def broke(self, error: BaseException) -> None:
        self._broke(error)

    @override
    def work(self, job: Job) -> bool:
        first = clean = True
        while clean:
            try:
                call = self.todo.popleft()
            except IndexError:
                break
            if first:
                self.arrived(job)
                first = False
            clean = self._run(call)
            del call  # nothing of a finished one is kept
            if self.must_leave():
                break
        return clean

    def _run(self, call: Call[object]) -> bool:
        self.running[call] = None
        if self._over:  # who has given us up may have looked before that line
            call.cancel()
        try:
            return call.run_here()
        finally:
            del self.running[call]
