"""Measure this library against others, side by side in one run: ratios of medians.

    python tests/bench [--rounds N] [--quick] [--check] [--write] [--only WORD]
    python tests/bench --questions [--rounds N] [--write]

`docs/benchmarks.md` tells what is measured and how. `--quick` leaves other people's libraries out;
`--check` ends with an error where a limit is broken; `--write` keeps what was found beside the page
and makes its tables and plots anew. `--questions` measures what the pages of docs/questions tell.
"""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING

import answers
import children
import contest
import page
import peers
import plots
import questions
import record
import rows
import standard
from contest import OURS
from ours import JOINABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contest import Contest, Result
    from record import Fact, Record

WORKERS = (1, 2, 4, 16, 64, 256, 1024)  # of "how many threads can I run?"
TIMES = 3  # so often, each in a process of its own
MEMORY = 2.0  # MiB that a stream may take, however long it is


def read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="the standard library only")
    parser.add_argument("--check", action="store_true", help="fail where a limit is broken")
    parser.add_argument("--write", action="store_true", help="write the page's tables and plots")
    parser.add_argument("--only", default="", help="rows with this in their key; no facts")
    parser.add_argument("--questions", action="store_true", help="for docs/questions, no more")
    parser.add_argument("--serve", nargs=2, metavar=("KEY", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.write and (options.only or options.quick):
        parser.error("--write wants the whole run: leave --only and --quick out")
    return options


def contests(names: Iterable[str]) -> tuple[list[Contest], list[str]]:
    """Return what to measure with these others, and the names of those that are not here."""
    others, missing = peers.installed(names)
    tools = [JOINABLE, *standard.TOOLS, *others]
    imports = children.import_row({tool.name for tool in tools})
    return [*rows.all_rows(tools), imports], missing


def serve(key: str, name: str) -> None:
    """Be one contender of one contest."""
    every, _ = contests([name] if name in peers.MAKERS else [])
    contest.serve(next(each for each in every if each.key == key), name)


def show(result: Result) -> None:
    """Print a line for each contender, and mark the limits that are broken."""
    title = result.contest.title
    for name, ratio in result.ratios.items():
        about = [limit for limit in result.contest.limits if limit.against == name]
        limits = " ".join(f"{limit.figure} {limit.most:.3g}" for limit in about)
        broken = "  BROKEN" if any(limit in result.broken() for limit in about) else ""
        print(f"{title:68} {name:19}{ratio.cpu:8.3f}{ratio.wall:8.3f}  {limits}{broken}")
        title = ""
    sys.stdout.flush()


def facts(quick: bool) -> Iterable[Fact]:
    """Count what is no ratio. (A shorter run leaves the comparison out.)"""
    names = [OURS] if quick else list(children.STREAMS)
    streams = {name: children.child("endless", name) for name in names}
    window = children.WORKERS + children.WINDOW
    yield {
        "title": f"endless source: items ahead, with {window} allowed",
        "measured": {name: figures["ahead"] for name, figures in streams.items()},
        "most": window + 1,
    }
    if math.isnan(children.resident()):
        return
    yield {
        "title": f"endless source: MiB after {children.COUNT} items",
        "measured": {name: record.short(each["growth"]) for name, each in streams.items()},
        "most": MEMORY,
    }
    threads = {name: children.child("idle", name)["each"] for name in (OURS, "threading")}
    yield {
        "title": "an idle worker, or a waiting thread: KiB",
        "measured": {name: record.short(each) for name, each in threads.items()},
        "most": record.short(threads["threading"]),
    }


def show_fact(fact: Fact) -> None:
    figures = ", ".join(f"{name} {value:g}" for name, value in fact["measured"].items())
    broken = "  BROKEN" if is_broken(fact) else ""
    print(f"{fact['title']}: {figures}; at most {fact['most']:g}{broken}", flush=True)


def is_broken(fact: Fact) -> bool:
    return fact["measured"][OURS] > fact["most"]


def capacity() -> dict[str, dict[str, dict[str, float]]]:
    """Measure how many threads one can run: the most calls, and the least memory, of a few runs."""
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in children.TOOLS}
    for workers in WORKERS:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in children.TOOLS}
        for _ in range(TIMES):
            for name in children.TOOLS:
                runs[name].append(children.child("capacity", name, workers))
        for name, each in runs.items():
            found[name][str(workers)] = {
                "io": record.short(max(run["io"] for run in each)),
                "cpu": record.short(max(run["cpu"] for run in each)),
                "memory": record.short(min(run["memory"] for run in each)),
            }
    return found


def measure(options: argparse.Namespace) -> tuple[Record, bool]:
    """Do all that was asked for; return what was found, and whether a limit is broken."""
    every, missing = contests([] if options.quick else peers.MAKERS)
    chosen = [each for each in every if options.only in each.key]
    made, broken = record.new(options.rounds, missing), False
    print(f"CPython {made['version']}, medians of {options.rounds} rounds: joinable / the other")
    for name in missing:
        print(f"left out, since it is not installed: {name}")
    print(f"{'':68} {'':19}{'CPU':>8}{'wall':>8}  at most")
    for each in chosen:
        result = contest.hold(each, options.rounds)
        show(result)
        made["rows"].append(record.as_row(result))
        broken |= bool(result.broken())
    for fact in () if options.only else facts(options.quick):
        show_fact(fact)
        made["facts"].append(fact)
        broken |= is_broken(fact)
    return made, broken


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if --check was given and a limit is broken."""
    options = read(arguments)
    if options.serve:
        serve(*options.serve)
        return 0
    if options.questions:
        found = questions.measure(options.rounds)
        if options.write:
            questions.save(found)
            answers.write()
        return 0
    made, broken = measure(options)
    if options.write:
        made["capacity"] = capacity()
        record.save(made)
        page.write()
        plots.write()
    return int(broken and options.check)


if __name__ == "__main__":
    sys.exit(main())
