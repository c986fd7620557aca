"""What is kept of the events while they happen: names and numbers, and as little work as can be.

What this promises: a finished task, and a wait that is over, is one entry of a ring, which drops
the oldest when it is full and tells how many. What has not ended is kept apart and never dropped,
so the longest task is there, however many short ones have come after its start. Nothing of a task
is kept alive.

Who may run between which lines. There is no lock. Each thread writes to its own `Row`, which no
other one writes. What threads share are a deque, a dict and a count: appending to a bounded deque,
setting, getting and popping with a key that is an integer, and taking the next number are one step
each, on every build; so is a copy of the deque, of the dict, or of a list. An entry carries its
number, so what was dropped is told from the numbers that are there.

A task is entered by the thread that runs it, and taken out by that thread. Another one that gives
it up writes that on the entry, and takes out nothing; the runner says when it has left. The id of a
task is its own as long as it is in an event, so between its start and its end no other one has it.

What ends is put in the ring first, and then taken out of what is open. A snapshot copies what is
open first, and then the ring: what ends meanwhile may be in both, and is known by its identity;
nothing is in neither. A number may be taken whose entry is not in the ring yet: so while it is full
and others write to it, a few may count as dropped that are about to come.
"""

# A task's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, cast

from joinable import _closing, _events, _frames, _runtime
from joinable._task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Begun", "Entry", "Recorder", "Row", "Snapshot", "Wait"]

_LONGEST = 80
"""Characters of an error's message that are kept."""


class Row:
    """One thread, as long as it lives: an ident may be given to another one later."""

    __slots__ = ("failed", "ident", "last", "name", "number", "open", "since", "waits")

    def __init__(self, number: int, now: float) -> None:
        """Stand for the calling thread."""
        self.number = number
        self.ident = _runtime.get_ident()
        self.name = _closing.thread_name()
        self.since = self.last = now
        self.open: list[Begun] = []  # what it runs; more than one where that runs one itself
        self.waits: list[Wait] = []  # that are not over; more than one where a signal is handled
        self.failed: str | None = None  # what the call has raised whose end is told next


class Begun:
    """A task that has begun."""

    __slots__ = ("given_up", "name", "outer", "row", "spawn", "start")

    def __init__(
        self,
        row: int,
        start: float,
        name: str,
        spawn: _events.Spawn | None,
        outer: Begun | None = None,
    ) -> None:
        """Note the start."""
        self.row = row
        self.outer = outer  # on the same thread
        self.start = start
        self.name = name
        self.spawn = spawn
        self.given_up: str | None = None  # why


class Wait:
    """A wait that has begun."""

    __slots__ = ("awaited", "called", "outer", "place", "row", "start")

    def __init__(self, row: int, start: float, awaited: object, outer: Begun | None) -> None:
        """Note who waits, and for whom."""
        self.row = row
        self.outer = outer
        self.start = start
        task = cast("Task[object] | None", awaited if isinstance(awaited, Task) else None)
        self.awaited: str | None = None if task is None else task.name
        self.called, self.place = _frames.crossing()


class Entry(NamedTuple):
    """What has ended, or never begun."""

    number: int
    what: Begun | Wait
    end: float
    name: str
    outcome: str
    error: str | None


class Snapshot(NamedTuple):
    """What there was at one moment."""

    rows: list[Row]
    open: list[Begun | Wait]
    ended: list[Entry]
    dropped: int
    begin: float
    end: float


ELSEWHERE = -1
"""The row of what ran in no thread of this process."""
NEVER = "never"
"""The outcome of what never ran; its row is that of who has cancelled it."""


class Recorder:
    """An observer that remembers."""

    def __init__(self, capacity: int) -> None:
        """Remember so many ends at most."""
        self._ring: deque[tuple[int, Begun | Wait, float, str, str, str | None]]
        self._ring = deque(maxlen=capacity)
        self._open: dict[int, Begun] = {}  # by the id of the task
        self._rows: list[Row] = []
        self._here = threading.local()
        self._entries, self._threads = itertools.count(), itertools.count()
        self._begin = self._end = 0.0
        self.is_on: bool = False

    def begin(self) -> None:
        """Watch from now on."""
        self._begin = _runtime.monotonic()
        self._row(self._begin)  # the thread that records comes first
        self.is_on = True
        # The last: were anything done after it when Ctrl-C comes, nobody would take it back.
        _events.observe(self._saw)

    def finish(self) -> None:
        """Watch no more."""
        _events.unobserve(self._saw)
        self._end = _runtime.monotonic()
        self.is_on = False

    def snapshot(self) -> Snapshot:
        """Return what there is by now."""
        rows = self._rows.copy()
        waits = [wait for row in rows for wait in row.waits.copy()]
        running: list[Begun | Wait] = [*waits, *self._open.copy().values()]
        ended = [Entry._make(each) for each in self._ring.copy()]
        end = _runtime.monotonic() if self.is_on else self._end
        gone = {id(entry.what) for entry in ended}
        running = [each for each in running if id(each) not in gone]
        taken = 1 + max((entry.number for entry in ended), default=-1)
        dropped = taken - len(ended) if len(ended) == self._ring.maxlen else 0
        return Snapshot(rows, running, ended, dropped, self._begin, end)

    # ---------------------------------------------------------------- on the threads that are seen

    def _saw(self, kind: _events.Kind, subject: object) -> None:
        if kind is _events.Kind.SPAWNED:
            # Nothing is kept: the task has it. But the thread is to be known, from that time on.
            self._row(subject._spawn.time)  # type: ignore[attr-defined]
            return
        now = _runtime.monotonic()
        row = self._row(now)
        now = max(now, row.last)  # a test may put the clock back
        row.last = now
        if kind is _events.Kind.WAITING:
            row.waits.append(Wait(row.number, now, subject, row.open[-1] if row.open else None))
        elif kind is _events.Kind.WOKEN:
            if row.waits:  # else it began before us
                wait = row.waits[-1]
                self._keep(wait, now)
                row.waits.remove(wait)  # after that: see `snapshot`
        elif kind is _events.Kind.FAILED:
            row.failed = _tell(subject)
        elif isinstance(subject, (Task, _events.Sight)):
            self._saw_task(kind, subject, row, now)  # pyright: ignore[reportUnknownArgumentType]

    def _row(self, now: float) -> Row:
        try:
            row: Row = self._here.row
        except AttributeError:
            row = self._here.row = Row(next(self._threads), now)
            self._rows.append(row)
        return row

    def _saw_task(
        self, kind: _events.Kind, task: Task[object] | _events.Sight, row: Row, now: float
    ) -> None:
        key = id(task)
        if kind is _events.Kind.STARTED:
            outer = row.open[-1] if row.open else None
            starting = Begun(row.number, now, task.name, task._spawn, outer)
            self._open[key] = starting
            row.open.append(starting)
            return
        failed, row.failed = row.failed, None
        begun = self._open.get(key)
        if begun is None:
            self._saw_unbegun(kind, task, row, now, failed)
        elif begun.row != row.number:  # given up: by a timer, or by the group
            begun.given_up = _error_of(task) or "given up"
        else:
            self._saw_end(kind, task, begun, now, failed)
            del self._open[key]  # after that: see `snapshot`
            row.open.remove(begun)

    def _saw_end(
        self,
        kind: _events.Kind,
        task: Task[object] | _events.Sight,
        begun: Begun,
        now: float,
        failed: str | None,
    ) -> None:
        if kind is _events.Kind.CANCELLED:
            self._keep(begun, now, task.name, "cancelled")
        elif kind is _events.Kind.LEFT:
            self._keep(begun, now, task.name, "given up", begun.given_up or _error_of(task))
        else:
            error = failed or _error_of(task)
            self._keep(begun, now, task.name, "ok" if error is None else "failed", error)

    def _saw_unbegun(
        self,
        kind: _events.Kind,
        task: Task[object] | _events.Sight,
        row: Row,
        now: float,
        failed: str | None,
    ) -> None:
        """Keep what has ended without a start: what was cancelled before, and what ran elsewhere.

        Else it has begun before us.
        """
        spawn = task._spawn
        if kind is _events.Kind.CANCELLED:
            self._keep(Begun(row.number, now, task.name, spawn), now, task.name, NEVER)
        elif isinstance(task, _events.Sight) and task.where and spawn is not None:
            begun = Begun(ELSEWHERE, spawn.time, task.where, spawn)
            self._keep(begun, now, task.name, "failed" if failed else "ok", failed)

    def _keep(
        self,
        what: Begun | Wait,
        now: float,
        name: str = "",
        outcome: str = "",
        error: str | None = None,
    ) -> None:
        self._ring.append((next(self._entries), what, now, name, outcome, error))


def _error_of(task: Task[object] | _events.Sight) -> str | None:
    error = None if isinstance(task, _events.Sight) else task._exception
    return None if error is None else _tell(error)


_args_of: Callable[[BaseException], tuple[object, ...]] = vars(BaseException)["args"].__get__
"""A subclass may have its own idea of them."""


def _tell(error: object) -> str:
    """Say what was raised, running none of the user's code."""
    kind = type(error).__name__
    args = _args_of(error) if isinstance(error, BaseException) else ()
    first = args[0] if args else None
    return f"{kind}: {first[:_LONGEST]}" if type(first) is str and first else kind
