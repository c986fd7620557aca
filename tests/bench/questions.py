"""What the pages under docs/questions tell, measured: `python tests/bench --questions`."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, TypedDict

import connections
import contest
import elsewhere
import record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from record import Row

CLIENTS = (10, 100, 1000, 5000)  # connections at the same time
TIMES = 3  # each number of them is measured so often, in turn with the other way


class Record(TypedDict):
    """All that such a run has found on one build."""

    build: str
    version: str
    system: str
    processors: int
    rounds: int
    rows: list[Row]
    connections: dict[str, dict[str, dict[str, float]]]
    """By the way, and the number of connections: rate, CPU time of an answer, and memory."""
    memory: dict[str, float]
    """MiB of one worker, by its kind."""


def ask_over(clients: int) -> dict[str, dict[str, float]]:
    """Measure both ways in turn; the most answers, and the median of what they cost."""
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in connections.WAYS}
    for _ in range(TIMES):
        for way, found in runs.items():
            found.append(connections.child(way, clients))
    return {
        way: {
            "rate": record.short(max(run["rate"] for run in found)),
            "cpu": record.short(statistics.median(run["cpu"] for run in found)),
            "memory": record.short(statistics.median(run["memory"] for run in found)),
        }
        for way, found in runs.items()
    }


def measure_connections() -> dict[str, dict[str, dict[str, float]]]:
    """Measure as many connections as the system lets a process have."""
    found: dict[str, dict[str, dict[str, float]]] = {way: {} for way in connections.WAYS}
    for clients in CLIENTS:
        if not connections.may_open(clients + connections.ROOM):
            print(f"left out, since so many files may not be open: {clients} connections")
            continue
        for way, figures in ask_over(clients).items():
            found[way][str(clients)] = figures
            told = ", ".join(f"{field} {value:g}" for field, value in figures.items())
            print(f"{clients} connections, {way}: {told}", flush=True)
    return found


def measure_rows(rounds: int) -> Iterable[Row]:
    """Hold the contests, and show what each way takes."""
    for each in elsewhere.contests():
        row = record.as_row(contest.hold(each, rounds))
        costs = ", ".join(f"{name} {wall * 1e3:.3g} ms" for name, (_, wall) in row["costs"].items())
        print(f"{each.title}: {costs}", flush=True)
        yield row


def measure_memory() -> dict[str, float]:
    kinds = (elsewhere.THREADS, *elsewhere.makers())
    found = {kind: record.short(elsewhere.child("memory", kind)["each"]) for kind in kinds}
    print("MiB of one more worker: ", found)
    return found


def measure(rounds: int) -> Record:
    """Measure all of it on this interpreter."""
    made = record.new(rounds, [])
    print(f"CPython {made['version']}, wall time, medians of {rounds} rounds")
    return {
        "build": made["build"],
        "version": made["version"],
        "system": made["system"],
        "processors": made["processors"],
        "rounds": rounds,
        "rows": list(measure_rows(rounds)),
        "connections": measure_connections(),
        "memory": measure_memory(),
    }


def save(found: Record) -> None:
    record.FOLDER.mkdir(exist_ok=True)
    path = record.FOLDER / f"questions-{found['build']}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def saved() -> list[Record]:
    """Return what was found on all builds, oldest first, GIL before free-threaded."""
    paths = record.FOLDER.glob("questions-*.json")
    records: list[Record] = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(records, key=lambda found: record.order(found["build"]))
