"""What is kept of a run: one file of JSON for each build, from which the page is made."""

from __future__ import annotations

import json
import os
import platform
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contest import Cost, Result

FOLDER = Path(__file__).parents[2] / "docs" / "_bench"
BUILD = f"{sys.version_info[0]}.{sys.version_info[1]}" + "t" * bool(
    sysconfig.get_config_var("Py_GIL_DISABLED")
)


class Judged(TypedDict):
    """A limit, and what was measured."""

    against: str
    figure: str
    most: float
    measured: float


class Row(TypedDict):
    """A contest: CPU and wall time of each contender in seconds, and ours divided by them."""

    key: str
    title: str
    costs: dict[str, tuple[float, float]]
    ratios: dict[str, tuple[float, float]]
    limits: list[Judged]


class Fact(TypedDict):
    """Something that was counted; the limit is for the first one, ours."""

    title: str
    measured: dict[str, float]
    most: float


class Record(TypedDict):
    """All that a run has found."""

    build: str
    version: str
    system: str
    processors: int
    rounds: int
    missing: list[str]
    rows: list[Row]
    facts: list[Fact]
    capacity: dict[str, dict[str, dict[str, float]]]


def short(number: float) -> float:
    """Keep the four digits that may mean something."""
    return float(f"{number:.4g}")


def figures(costs: Mapping[str, Cost]) -> dict[str, tuple[float, float]]:
    return {name: (short(cost.cpu), short(cost.wall)) for name, cost in costs.items()}


def as_row(result: Result) -> Row:
    return {
        "key": result.contest.key,
        "title": result.contest.title,
        "costs": figures(result.costs),
        "ratios": figures(result.ratios),
        "limits": [
            {
                "against": limit.against,
                "figure": limit.figure,
                "most": short(limit.most),
                "measured": short(result.measured(limit)),
            }
            for limit in result.contest.limits
        ],
    }


def new(rounds: int, missing: Sequence[str]) -> Record:
    """Begin the record of a run on this interpreter."""
    return {
        "build": BUILD,
        "version": platform.python_version() + "t" * BUILD.endswith("t"),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count() or 1,
        "rounds": rounds,
        "missing": list(missing),
        "rows": [],
        "facts": [],
        "capacity": {},
    }


def save(record: Record) -> None:
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"cpython-{record['build']}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def saved() -> list[Record]:
    """Return the records of all builds, oldest first, GIL before free-threaded."""
    paths = FOLDER.glob("cpython-*.json")
    records: list[Record] = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(records, key=lambda record: order(record["build"]))


def order(build: str) -> tuple[bool, list[int]]:
    return build.endswith("t"), [int(part) for part in build.rstrip("t").split(".")]
