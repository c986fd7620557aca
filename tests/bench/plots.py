"""Draw the plots of the page: the same bytes for the same records."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

import record
from contest import OURS
from page import NEIGHBOURS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from record import Record

# Told apart by those who see no red or no green, too.
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
COLOURS = (BLUE, "#56b4e9", ORANGE, "#e69f00", GREEN, "#cc79a7", "#000000", "#999999")
STYLES = {OURS: "-", "concurrent.futures": "--"}
SETTINGS = {
    "svg.hashsalt": "joinable",  # else the names of the parts of a drawing differ each time
    "svg.fonttype": "none",  # text stays text: small, and sharp
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
PANELS = (
    ("io", "calls that wait 10 ms", "calls a second"),
    ("cpu", "calls that compute", "calls a second"),
    ("memory", "memory while they wait", "MiB"),
)


def draw(name: str, size: tuple[float, float], fill: Callable[[Any], None]) -> None:
    """Make a drawing, let it be filled, and save it."""
    matplotlib: Any = importlib.import_module("matplotlib")
    figures: Any = importlib.import_module("matplotlib.figure")
    with matplotlib.rc_context(SETTINGS):
        figure = figures.Figure(figsize=size, layout="constrained", facecolor="white")
        fill(figure)
        path = record.FOLDER / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    lines = [line.rstrip() for line in text.splitlines()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def panel(name: str, fill: Callable[[Any], None], legend: int) -> None:
    """Draw one panel, small enough for a phone, with so many columns of names below it."""

    def fill_figure(figure: Any) -> None:
        axes = figure.subplots()
        fill(axes)
        entries = list(zip(*axes.get_legend_handles_labels(), strict=True))
        # A column for each tool: they are "tool, build", and columns are filled from the left.
        tools = list(dict.fromkeys(label.partition(",")[0] for _, label in entries))
        entries.sort(key=lambda entry: tools.index(entry[1].partition(",")[0]))
        handles, labels = zip(*entries, strict=True)
        figure.legend(handles, labels, loc="outside lower center", ncols=legend, frameon=False)

    draw(name, (4.4, 3.8), fill_figure)


def capacity(made: Sequence[Record]) -> None:
    """Answer "how many threads can I run?"."""
    for field, title, unit in PANELS:
        fill = partial(capacity_lines, made, field, title, unit)
        panel(f"capacity-{field}", fill, legend=len(STYLES))


def capacity_lines(made: Sequence[Record], field: str, title: str, unit: str, axes: Any) -> None:
    for each, colour in zip(made, COLOURS, strict=False):
        lines_of_build(axes, each, field, colour)
    axes.set(title=title, xlabel="workers", ylabel=unit)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_yscale("linear" if field == "cpu" else "log")
    axes.set_ylim(bottom=0 if field == "cpu" else None)
    axes.grid(visible=True, alpha=0.3)


def lines_of_build(axes: Any, made: Record, field: str, colour: str) -> None:
    for name, by_workers in made["capacity"].items():
        workers = [int(count) for count in by_workers]
        values = [figures[field] for figures in by_workers.values()]
        label = f"{name}, {made['build']}"
        axes.plot(workers, values, STYLES[name], color=colour, label=label, marker=".")


def costs(made: Sequence[Record]) -> Callable[[Any], None]:
    """Show what the others' CPU time is, as a multiple of ours."""

    def fill(figure: Any) -> None:
        panels = figure.subplots(1, len(made), sharey=True, sharex=True, squeeze=False)[0]
        for each, axes in zip(made, panels, strict=True):
            dots_of_build(axes, each)
            axes.set(
                title=f"CPython {each['build']}", xscale="log", xlabel="times joinable's CPU time"
            )
            axes.minorticks_off()  # half of the file
            axes.axvline(1, color="black", linewidth=1)
            axes.grid(visible=True, alpha=0.3)
        panels[0].invert_yaxis()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)

    return fill


def dots_of_build(axes: Any, made: Record) -> None:
    rows = [row for row in made["rows"] if len(row["ratios"]) > 1]
    # Not what is no tool: a bare sleep, and what the row of a pool is held against beside.
    names = [name for name in NEIGHBOURS if name != "ideal"]
    for name, colour in zip(names, COLOURS, strict=True):
        there = [place for place, row in enumerate(rows) if name in row["ratios"]]
        values = [1 / rows[place]["ratios"][name][0] for place in there]
        axes.plot(values, there, "o", color=colour, label=name, markersize=5, alpha=0.8)
    axes.set_yticks(range(len(rows)), [row["title"].replace(": ", ":\n", 1) for row in rows])


def write() -> None:
    """Draw all."""
    made = record.saved()
    capacity(made)
    draw("costs", (10.0, 6.5), costs(made))
