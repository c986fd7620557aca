"""Put in order what was recorded: rows of bars, in which waits lie, all properly nested."""

from __future__ import annotations

import bisect
import dataclasses
import operator
import os
import re
from typing import TYPE_CHECKING, cast

from joinable._frames import show
from joinable.trace._facts import Summary, TaskFacts, ThreadFacts
from joinable.trace._recorder import ELSEWHERE, NEVER, Begun, Wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from joinable._events import Spawn
    from joinable._frames import Place
    from joinable.trace._facts import Outcome
    from joinable.trace._recorder import Entry, Row, Snapshot

__all__ = ["Bar", "Gap", "History", "Line", "read", "short_place", "summarize"]


@dataclasses.dataclass(slots=True)
class Gap:
    """A wait."""

    start: float
    end: float
    what: str
    place: Place


@dataclasses.dataclass(slots=True, eq=False)
class Bar:
    """A task."""

    name: str
    line: Line
    start: float
    end: float
    outcome: Outcome
    error: str | None
    spawn: Spawn | None
    gaps: list[Gap] = dataclasses.field(default_factory=list[Gap])
    outer: Bar | None = None
    """The task of the same thread in which this one has run."""
    parent: Bar | None = None
    """The task that has spawned it."""
    spawner: Line | None = None
    """The thread that has, as far as it was seen."""
    spawned: float | None = None
    """When it has."""
    where: str | None = None
    """What has run it, if that is no thread of this process."""

    @property
    def waiting(self) -> float:
        """How long it waited."""
        return sum(gap.end - gap.start for gap in self.gaps)

    @property
    def depth(self) -> int:
        """In how many others it lies."""
        return 0 if self.outer is None else 1 + self.outer.depth


@dataclasses.dataclass(slots=True, eq=False)
class Line:
    """A thread, or a place for what ran in another process."""

    name: str
    ident: int | None
    since: float
    bars: list[Bar] = dataclasses.field(default_factory=list[Bar])
    gaps: list[Gap] = dataclasses.field(default_factory=list[Gap])
    """Waits outside of all tasks."""

    def at(self, time: float) -> Bar | None:
        """Return the innermost task that ran at this time."""
        place = bisect.bisect_right(self.bars, time, key=operator.attrgetter("start"))
        bar = self.bars[place - 1] if place else None
        while bar is not None and bar.end < time:
            bar = bar.outer
        return bar


@dataclasses.dataclass(slots=True)
class History:
    """All of it; the times are seconds from the beginning."""

    lines: list[Line]
    seconds: float
    dropped: int
    never: list[Bar]
    """What never ran: cancelled before."""

    @property
    def bars(self) -> list[Bar]:
        """Every task, in the order of their starts."""
        every = [bar for line in self.lines for bar in line.bars]
        return sorted(every, key=operator.attrgetter("start"))


def read(snapshot: Snapshot) -> History:
    """Make a history of what was recorded."""
    starts = [entry.what.start for entry in snapshot.ended] + [each.start for each in snapshot.open]
    ends = [entry.end for entry in snapshot.ended]
    # What has begun before belongs to another clock: that of a test, which was put in its place.
    begin, end = min([snapshot.begin, *starts]), max([snapshot.end, *starts, *ends])
    lines = {row.number: _line(row, begin) for row in snapshot.rows}
    never, away = _sort(snapshot, lines, begin, end)
    first, *others = lines.values()  # who records, and the rest
    every = [first, *sorted(others, key=_by_name), *_pack(away)]
    for line in every:
        # What lies within another one comes behind it, if the clock has stood still, too.
        line.bars.sort(key=lambda bar: (bar.start, -bar.end, bar.depth))
    by_ident = _by_ident(lines.values())
    for bar in [*never, *(bar for line in every for bar in line.bars)]:
        _find_parent(bar, by_ident, begin)
    return History(every, end - begin, snapshot.dropped, never)


def _line(row: Row, begin: float) -> Line:
    return Line(row.name, row.ident, row.since - begin)


def _sort(
    snapshot: Snapshot, lines: dict[int, Line], begin: float, end: float
) -> tuple[list[Bar], list[Bar]]:
    """Put each task on its line and each wait into its task.

    Return what never ran, and what ran elsewhere.
    """
    bars: dict[Begun, Bar] = {}
    never: list[Bar] = []
    elsewhere = Line("elsewhere", None, 0.0)  # until there is a place for each
    waits: list[tuple[Wait, float]] = []
    for what, until, entry in _all(snapshot, end):
        if isinstance(what, Wait):
            waits.append((what, until))
        else:
            line = lines.get(what.row, elsewhere)
            bar = _bar(what, line, what.start - begin, until - begin, entry)
            if entry is not None and entry.outcome == NEVER:
                never.append(bar)
            else:
                bars[what] = bar
    for what, bar in bars.items():
        bar.outer = None if what.outer is None else bars.get(what.outer)
        if what.row != ELSEWHERE:
            bar.line.bars.append(bar)
    for wait, until in waits:
        gap = Gap(wait.start - begin, until - begin, _say(wait), wait.place)
        task = None if wait.outer is None else bars.get(wait.outer)
        (lines[wait.row].gaps if task is None else task.gaps).append(gap)
    return never, [bar for bar in bars.values() if bar.line is elsewhere]


def _say(wait: Wait) -> str:
    whom = f" of {wait.awaited}" if wait.awaited else ""
    # Without what nobody writes: `Lock`, of `Lock.__enter__`.
    head, _, last = wait.called.rpartition(".")
    return f"{head if head and last.startswith('__') else wait.called}{whom}"


def _all(snapshot: Snapshot, end: float) -> Iterable[tuple[Begun | Wait, float, Entry | None]]:
    for entry in snapshot.ended:
        yield entry.what, entry.end, entry
    for what in snapshot.open:
        yield what, end, None


def _bar(what: Begun, line: Line, start: float, end: float, entry: Entry | None) -> Bar:
    if entry is not None:
        outcome = cast("Outcome", entry.outcome)
        where = what.name if what.row == ELSEWHERE else None
        return Bar(entry.name, line, start, end, outcome, entry.error, what.spawn, where=where)
    given_up = what.given_up
    state: Outcome = "running" if given_up is None else "given up"
    return Bar(what.name, line, start, end, state, given_up, what.spawn)


def _pack(away: Sequence[Bar]) -> list[Line]:
    """Put what ran at the same time elsewhere on lines of their own, as few as will do."""
    lines: dict[str, list[Line]] = {}
    for bar in sorted(away, key=lambda each: each.start):
        where = bar.where or "elsewhere"
        known = lines.setdefault(where, [])
        free = (line for line in known if line.bars[-1].end <= bar.start)
        line = next(free, None)
        if line is None:
            line = Line(f"{where} {len(known) + 1}", None, bar.start)
            known.append(line)
        bar.line = line
        line.bars.append(bar)
    return [line for known in lines.values() for line in known]


def _by_name(line: Line) -> list[tuple[bool, int, str]]:
    """Order names as people do: `worker-2` before `worker-10`."""
    parts = re.split(r"(\d+)", line.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _by_ident(lines: Iterable[Line]) -> dict[int | None, list[Line]]:
    found: dict[int | None, list[Line]] = {}
    for line in sorted(lines, key=lambda each: each.since):
        found.setdefault(line.ident, []).append(line)
    return found


def _find_parent(bar: Bar, by_ident: dict[int | None, list[Line]], begin: float) -> None:
    spawn = bar.spawn
    if spawn is None:
        return
    time = spawn.time - begin
    # The last that had the ident by then: the system gives it to another thread later.
    known = [line for line in by_ident.get(spawn.ident, ()) if line.since <= time]
    if known:
        bar.spawner, bar.spawned = known[-1], time
        bar.parent = known[-1].at(time)


def short_place(place: Place) -> str:
    """Show a place without what is the same for all, and nobody else's business."""
    parts = place[0].replace(os.sep, "/").split("/")
    return f"{'/'.join(parts[-2:])}:{place[1]}"


# ---------------------------------------------------------------- the facts of it


def summarize(history: History) -> Summary:
    """Return what it comes to."""
    return Summary(
        seconds=history.seconds,
        tasks=tuple(_task_facts(bar) for bar in history.bars),
        never_begun=len(history.never),
        threads=tuple(_thread_facts(line, history.seconds) for line in history.lines),
        dropped=history.dropped,
    )


def _task_facts(bar: Bar) -> TaskFacts:
    return TaskFacts(
        name=bar.name,
        thread=bar.line.name,
        start=bar.start,
        seconds=bar.end - bar.start,
        waiting=bar.waiting,
        outcome=bar.outcome,
        error=bar.error,
        place=None if bar.spawn is None else show(bar.spawn.place),
        parent=None if bar.parent is None else bar.parent.name,
    )


def _thread_facts(line: Line, seconds: float) -> ThreadFacts:
    within = sum(bar.waiting for bar in line.bars)
    outside = sum(gap.end - gap.start for gap in line.gaps)
    took = sum(bar.end - bar.start for bar in line.bars if bar.outer is None)
    return ThreadFacts(
        name=line.name,
        tasks=len(line.bars),
        running=took - within,
        waiting=within + outside,
        idle=max(0.0, seconds - took - outside),
    )
