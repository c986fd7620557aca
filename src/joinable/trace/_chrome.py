"""Write a history as Chrome trace events, which Perfetto and `chrome://tracing` open.

What this promises: of the slices of one thread each lies within another one, or beside it. An arrow
begins and ends in a slice, or viewers would drop it: so a thread that has spawned something outside
of a task has a slice for all of its time, with its own name.

Times are whole nanoseconds, written as microseconds.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from joinable._frames import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joinable.trace._history import Bar, Gap, History, Line

    Event = dict[str, object]

__all__ = ["to_json"]


def to_json(history: History) -> str:
    """Return the text of the file."""
    told = {"tool": "joinable.trace", "dropped": history.dropped}
    whole = {"traceEvents": [*_events(history)], "displayTimeUnit": "ms", "otherData": told}
    return json.dumps(whole, separators=(",", ":"))


def _events(history: History) -> Iterator[Event]:
    program = Path(sys.argv[0]).name if sys.argv else ""
    numbers = {line: number for number, line in enumerate(history.lines, 1)}
    spawners = {bar.spawner for bar in history.bars if bar.spawner and bar.parent is None}
    yield _about("process_name", 0, name=program or "python")
    for line, tid in numbers.items():
        yield _about("thread_name", tid, name=line.name)
        yield _about("thread_sort_index", tid, sort_index=tid)
        if line.gaps or line in spawners:
            yield _slice(tid, "thread", line.name, min(0.0, line.since), history.seconds)
        for gap in line.gaps:
            yield _wait(tid, gap)
        for bar in line.bars:
            yield _task(tid, bar)
            for gap in bar.gaps:
                yield _wait(tid, gap)
    for bar in history.never:
        yield _never(numbers[bar.line], bar)
    for number, bar in enumerate(history.bars, 1):
        yield from _arrow(number, bar, numbers)


def _about(what: str, tid: int, **args: object) -> Event:
    return {"ph": "M", "name": what, "pid": os.getpid(), "tid": tid, "ts": 0, "args": args}


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _event(phase: str, tid: int, category: str, name: str, seconds: float) -> Event:
    pid, ts = os.getpid(), _ns(seconds) / 1000
    return {"ph": phase, "name": name, "cat": category, "pid": pid, "tid": tid, "ts": ts}


def _slice(tid: int, category: str, name: str, start: float, end: float) -> Event:
    dur = (_ns(end) - _ns(start)) / 1000
    return _event("X", tid, category, name, start) | {"dur": dur}


def _wait(tid: int, gap: Gap) -> Event:
    args = {"at": show(gap.place)}
    return _slice(tid, "wait", f"waits: {gap.what}", gap.start, gap.end) | {"args": args}


def _task(tid: int, bar: Bar) -> Event:
    args: Event = {"outcome": bar.outcome, "waiting_ms": _ns(bar.waiting) / 1e6}
    if bar.error is not None:
        args["error"] = bar.error
    shown = _slice(tid, "task", bar.name, bar.start, bar.end)
    colour = _COLOURS.get(bar.outcome)
    if colour:
        shown["cname"] = colour
    return shown | {"args": args | _origin(bar)}


_COLOURS = {"failed": "terrible", "given up": "terrible", "cancelled": "grey"}
"""Of the few that the format has; where a viewer does not know them, it chooses itself."""


def _origin(bar: Bar) -> Event:
    args: Event = {}
    if bar.spawn is not None:
        args["spawned_at"] = show(bar.spawn.place)
    if bar.parent is not None:
        args["parent"] = bar.parent.name
    return args


def _never(tid: int, bar: Bar) -> Event:
    shown = _event("i", tid, "task", f"cancelled before its start: {bar.name}", bar.start)
    return shown | {"s": "t", "args": _origin(bar)}


def _arrow(number: int, bar: Bar, numbers: dict[Line, int]) -> Iterator[Event]:
    if bar.spawn is None or bar.spawner is None or bar.spawned is None:
        return
    start = min(bar.spawned, bar.start)
    yield _event("s", numbers[bar.spawner], "spawn", "spawn", start) | {"id": number}
    yield _event("f", numbers[bar.line], "spawn", "spawn", bar.start) | {"id": number, "bp": "e"}
