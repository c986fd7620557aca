"""Make the tables and plots of docs/questions from the records of all builds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import plots
import questions
import record
from elsewhere import INTERPRETERS, LOOP, MANY, PROCESSES, THREADS
from page import number, table
from plots import BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from questions import Record
    from record import Row

SPACE = "\N{NO-BREAK SPACE}"
KINDS = (THREADS, PROCESSES, INTERPRETERS)
KIND_COLOURS = {THREADS: BLUE, PROCESSES: ORANGE, INTERPRETERS: GREEN}
WAYS = {"threads": BLUE, "asyncio": ORANGE}
LINES = ("-", "--", ":", "-.")  # of the builds
SHADES = (BLUE, "#56b4e9", ORANGE, "#e69f00")  # (the same)
ALONE = ("python", "hashing", "waiting")
JOBS = ("compute", "wait", "numbers")
PANELS = (
    ("rate", "answers a second", "log"),
    ("cpu", "CPU time of an answer, microseconds", "linear"),
    ("memory", "memory of all connections, MiB", "log"),
)


def row_of(found: Record, key: str) -> Row:
    return next(row for row in found["rows"] if row["key"] == key)


def faster(row: Row, name: str) -> float | None:
    """Return how many times as fast as the plain loop it was."""
    return row["ratios"][name][1] if name in row["ratios"] else None


def times(value: float | None) -> str:
    return "" if value is None else f"{number(value)}x"


def milliseconds(row: Row, name: str) -> str:
    return f"{number(row['costs'][name][1] * 1e3)}{SPACE}ms" if name in row["costs"] else ""


def connections(made: Sequence[Record]) -> str:
    """Show what the connections cost, one table for each build."""
    tables: list[str] = []
    for found in made:
        head = [f"CPython {found['version']}: connections"]
        head += [f"{way}: {what}" for what in ("a second", "CPU", "memory") for way in WAYS]
        lines: list[list[str]] = []
        for clients in found["connections"]["threads"]:
            of_ways = [found["connections"][way][clients] for way in WAYS]
            rates = [number(each["rate"]) for each in of_ways]
            cpu = [f"{number(each['cpu'])}{SPACE}µs" for each in of_ways]
            memory = [f"{number(max(each['memory'], 0.01))}{SPACE}MiB" for each in of_ways]
            lines.append([clients, *rates, *cpu, *memory])
        tables.append(table(head, lines))
    return "\n".join(tables)


def alone(made: Sequence[Record]) -> str:
    """Show what more threads do for work of each kind."""
    head = ["work", "CPython", LOOP, "1 thread", "2 threads", "4 threads"]
    lines: list[list[str]] = []
    for key in ALONE:
        for found in made:
            row = row_of(found, key)
            speeds = [times(faster(row, workers)) for workers in ("1", "2", "4")]
            lines.append([row["title"], found["build"], milliseconds(row, LOOP), *speeds])
    return table(head, lines)


def jobs(made: Sequence[Record]) -> str:
    """Show how much faster the same calls are elsewhere."""
    head = ["work", "CPython", LOOP, *KINDS]
    lines: list[list[str]] = []
    for key in JOBS:
        for found in made:
            row = row_of(found, key)
            speeds = [times(faster(row, kind)) for kind in KINDS]
            lines.append([row["title"], found["build"], milliseconds(row, LOOP), *speeds])
    return table(head, lines)


def prices(made: Sequence[Record]) -> str:
    """Show what it costs to have workers, and to call them."""
    lines: list[list[str]] = []
    for found in made:
        row = row_of(found, "start")
        lines.append([row["title"], found["build"], *[milliseconds(row, kind) for kind in KINDS]])
    for found in made:
        costs = row_of(found, "nothing")["costs"]
        each = [costs[kind][1] / MANY * 1e6 if kind in costs else None for kind in KINDS]
        cells = ["" if cost is None else f"{number(cost)}{SPACE}µs" for cost in each]
        lines.append(["a call that does nothing", found["build"], *cells])
    for found in made:
        memory = [found["memory"].get(kind) for kind in KINDS]
        cells = ["" if mib is None else f"{number(mib)}{SPACE}MiB" for mib in memory]
        lines.append(["memory of one more worker", found["build"], *cells])
    return table(["what", "CPython", *KINDS], lines)


def measured_on(made: Sequence[Record]) -> str:
    lines = [
        f"- CPython {found['version']}, {found['system']}, {found['processors']} processors, "
        f"{found['rounds']} rounds\n"
        for found in made
    ]
    return "".join(lines)


def connection_lines(made: Sequence[Record], field: str, unit: str, scale: str, axes: Any) -> None:
    """Draw one of the figures against the number of connections."""
    for found, style in zip(made, LINES, strict=False):
        for way, colour in WAYS.items():
            points = found["connections"][way]
            counts = [int(clients) for clients in points]
            values = [max(each[field], 0.01) for each in points.values()]
            label = f"{way}, {found['build']}"
            axes.plot(counts, values, style, color=colour, label=label, marker=".")
    axes.set(title=unit, xlabel="connections", xscale="log", yscale=scale)
    axes.set_xticks(counts_of(made), [str(count) for count in counts_of(made)])
    if scale == "linear":
        axes.set_ylim(bottom=0)
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)


def counts_of(made: Sequence[Record]) -> list[int]:
    return sorted({int(clients) for found in made for clients in found["connections"]["threads"]})


def alone_bars(made: Sequence[Record], axes: Any) -> None:
    """Draw how much faster two threads are than a plain loop, for each kind of work."""
    width = 0.8 / len(made)
    for place, (found, colour) in enumerate(zip(made, SHADES, strict=False)):
        values = [faster(row_of(found, key), "2") or 0 for key in ALONE]
        spots = [spot + (place - (len(made) - 1) / 2) * width for spot in range(len(ALONE))]
        bars = axes.bar(spots, values, width * 0.9, color=colour, label=found["build"])
        axes.bar_label(bars, fmt="{:.2g}", fontsize=9, padding=2)
    titles = [row_of(made[0], key)["title"].replace(", ", ",\n") for key in ALONE]
    axes.set_xticks(range(len(ALONE)), titles)
    axes.axhline(1, color="black", linewidth=1)
    axes.set(title="two threads, times as fast as a plain loop")
    axes.set_ylim(0, max(2.4, axes.get_ylim()[1]))


def kind_dots(found: Record, axes: Any) -> None:
    """Draw how much faster, or slower, the same calls are elsewhere, on one build."""
    rows = [row_of(found, key) for key in JOBS]
    for kind, colour in KIND_COLOURS.items():
        values = [(place, faster(row, kind)) for place, row in enumerate(rows)]
        there = [(place, value) for place, value in values if value is not None]
        spots = [place + (KINDS.index(kind) - 1) * 0.15 for place, _ in there]  # not one on another
        axes.plot([v for _, v in there], spots, "o", color=colour, label=kind, markersize=8)
    axes.set_yticks(range(len(rows)), [row["title"].replace(", ", ",\n") for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlim(min(0.03, axes.get_xlim()[0]), max(16, axes.get_xlim()[1]))
    axes.set_xticks((0.1, 0.5, 1, 2, 8), ("0.1", "0.5", "1", "2", "8"))
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=1)
    axes.grid(visible=True, alpha=0.3)
    axes.set(title=f"CPython {found['build']}", xlabel="times as fast as a plain loop")


def draw(made: Sequence[Record]) -> None:
    """Draw all, one panel a file: beside each other on a wide page, below each other on a phone."""
    for field, unit, scale in PANELS:
        fill = partial(connection_lines, made, field, unit, scale)
        plots.panel(f"connections-{field}", fill, legend=len(WAYS))
    plots.panel("single-threaded", partial(alone_bars, made), legend=len(made))
    # One build of each sort: what is older looks as the one with the GIL.
    for name, free in (("gil", False), ("free", True)):
        newest = [found for found in made if found["build"].endswith("t") is free][-1:]
        for found in newest:
            plots.panel(f"kinds-{name}", partial(kind_dots, found), legend=len(KINDS))


def write() -> None:
    """Write the tables and the plots beside the records."""
    made = questions.saved()
    tables = {
        "connections": connections(made),
        "single-threaded": alone(made),
        "kinds": jobs(made),
        "prices": prices(made),
        "questions-measured-on": measured_on(made),
    }
    for name, text in tables.items():
        (record.FOLDER / f"{name}.inc").write_text(text, encoding="utf-8")
    draw(made)
