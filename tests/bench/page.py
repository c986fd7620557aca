"""Make the tables of the page from the records of all builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import record
from contest import OURS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from record import Fact, Judged, Record, Row

# Where what counts is how soon it is done, and not how little it takes.
IN_TIME = ("all-warm", "sleeping", "busy")
NEIGHBOURS = (
    "threading",
    "concurrent.futures",
    "ThreadPool",
    "trio",
    "anyio",
    "joblib",
    "pebble",
    "plain loop",
    "ideal",
)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in (head, rule, *lines))


def number(value: float) -> str:
    """Show two digits that mean something, and all that stand before the point."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def row_of(made: Record, key: str) -> Row | None:
    return next((row for row in made["rows"] if row["key"] == key), None)


def limit_of(row: Row | None, against: str, figure: str) -> Judged | None:
    limits = row["limits"] if row else []
    same = (limit for limit in limits if (limit["against"], limit["figure"]) == (against, figure))
    return next(same, None)


def judged(made: Sequence[Record]) -> str:
    """Show each limit beside what was measured on each build."""
    places = dict.fromkeys(
        (row["key"], row["title"], limit["against"], limit["figure"])
        for each in made
        for row in each["rows"]
        for limit in row["limits"]
    )
    lines: list[list[str]] = []
    for key, title, against, figure in places:
        limits = [limit_of(row_of(each, key), against, figure) for each in made]
        wall = " (wall)" * (figure == "wall")
        lines.append([title, against + wall, *map(judged_cell, limits)])
    return table(["work", "against", *[each["build"] for each in made]], lines)


def judged_cell(limit: Judged | None) -> str:
    if limit is None:
        return ""
    kept = f"{limit['measured']:.3g} of {limit['most']:.3g}"
    return kept if limit["measured"] <= limit["most"] else f"**{kept}**"


def multiples(made: Record, rows: Sequence[Row], place: int) -> str:
    """Show what the others cost, as multiples of ours; `place` 0: CPU time, 1: wall time."""
    names = [name for name in NEIGHBOURS if any(name in row["ratios"] for row in rows)]
    names = [name for name in names if place or name != "ideal"]  # a sleep costs no CPU time
    lines: list[list[str]] = []
    for row in rows:
        cost = row["costs"][OURS][place] * 1e3
        others = [row["ratios"].get(name) for name in names]
        cells = ["" if other is None else number(1 / other[place]) for other in others]
        lines.append([row["title"], f"{number(cost)} ms", *cells])
    return table([f"CPython {made['version']}", OURS, *names], lines)


def facts(made: Sequence[Record]) -> str:
    """Show what was counted on each build."""
    titles = dict.fromkeys(
        (fact["title"], name)
        for each in made
        for fact in each["facts"]
        for name in fact["measured"]
    )
    lines: list[list[str]] = []
    for title, name in titles:
        cells = [fact_cell(fact_of(each, title), name) for each in made]
        lines.append([title, name, *cells])
    return table(["what", "of", *[each["build"] for each in made]], lines)


def fact_of(made: Record, title: str) -> Fact | None:
    return next((fact for fact in made["facts"] if fact["title"] == title), None)


def fact_cell(fact: Fact | None, name: str) -> str:
    if fact is None or name not in fact["measured"]:
        return ""
    measured = fact["measured"][name]
    if name != OURS:
        return number(measured)
    kept = f"{number(measured)} of {number(fact['most'])}"
    return kept if measured <= fact["most"] else f"**{kept}**"


def write() -> None:
    """Write the tables, one file each, beside the records."""
    made = record.saved()
    (record.FOLDER / "limits.inc").write_text(judged(made), encoding="utf-8")
    (record.FOLDER / "facts.inc").write_text(facts(made), encoding="utf-8")
    compared = {each["build"]: [r for r in each["rows"] if len(r["ratios"]) > 1] for each in made}
    cpu = "\n".join(multiples(each, compared[each["build"]], 0) for each in made)
    (record.FOLDER / "cpu.inc").write_text(cpu, encoding="utf-8")
    wall: list[str] = []
    for each in made:
        timed = [row for row in compared[each["build"]] if row["key"] in IN_TIME]
        wall.append(multiples(each, timed, 1))
    (record.FOLDER / "wall.inc").write_text("\n".join(wall), encoding="utf-8")
    (record.FOLDER / "measured-on.inc").write_text(measured_on(made), encoding="utf-8")


def measured_on(made: Sequence[Record]) -> str:
    lines: list[str] = []
    for each in made:
        left_out = ", ".join(each["missing"])
        lines.append(
            f"- CPython {each['version']}, {each['system']}, {each['processors']} processors, "
            f"{each['rounds']} rounds"
            + same_again(row_of(each, "itself"))
            + (f"; not installed there and left out: {left_out}" if left_out else "")
            + "\n"
        )
    return "".join(lines)


def same_again(row: Row | None) -> str:
    if row is None:
        return ""
    ((cpu, wall),) = row["ratios"].values()
    return f"; the same code against itself: {cpu:.2f} in CPU time, {wall:.2f} in wall time"
