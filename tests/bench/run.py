"""Measure against the standard library, side by side in one run: ratios of medians.

    python tests/bench/run.py [--rounds N] [--check]

Every round runs each contender once, in turn, so that a machine that changes its speed changes it
for all. CPU time is the firm figure and wall time the noisy one; the row "the same again" is the
baseline against itself and shows how noisy. `--check` ends with an error where a CPU ratio is above
its limit.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import queue
import statistics
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import joinable
from joinable import _workers, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FREE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
THREADS = 200  # a contender starts so many a round: some 10 ms, well above the clock's grain
CALLS = 50
IMPORT_LIMIT = 1.15  # of the wall time of a process
TURNS = 20_000  # of what takes a microsecond or less


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: what ours costs as a multiple of what the standard library's costs."""

    name: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    limit: float | None = None
    """The highest CPU ratio allowed; None: shown, not judged."""


def nothing() -> None:
    """Stand for the smallest call there is."""


def standard_thread() -> None:
    for _ in range(THREADS):
        thread = threading.Thread(target=nothing)
        thread.start()
        thread.join()


def our_thread() -> None:
    for _ in range(THREADS):
        thread = joinable.Thread(target=nothing)
        thread.start()
        thread.result()


def our_thread_joined() -> None:
    for _ in range(THREADS):
        thread = joinable.Thread(target=nothing)
        thread.start()
        thread.result()
        thread.join()


def on_one_processor(contender: Callable[[], object]) -> Callable[[], object]:
    """Let it run on one of the processors: what is left is its own work, and no traffic."""
    if sys.platform != "linux":
        return contender

    def run() -> None:
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            contender()
        finally:
            os.sched_setaffinity(0, allowed)

    return run


def cold(contender: Callable[[], object]) -> Callable[[], object]:
    """Let it find no idle worker of the library's."""

    def run() -> None:
        end, restore = _workers.renew()
        try:
            contender()
        finally:
            end()
            restore()

    return run


def standard_list(call: Callable[[], object], count: int) -> None:
    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def pool(call: Callable[[], object], count: int) -> None:
    """Do it as the standard library does: a pool that has a thread for each call if need be."""
    with ThreadPoolExecutor(count) as executor:
        for future in [executor.submit(call) for _ in range(count)]:
            future.result()


def pool_of_failures(count: int) -> None:
    with ThreadPoolExecutor(count) as executor:
        futures = [executor.submit(failing) for _ in range(count)]
        for future in futures:
            future.exception()


def all_failing(count: int) -> None:
    joinable.run_all([failing] * count, return_exceptions=True)


def failing() -> None:
    raise ValueError


def group() -> None:
    with joinable.TaskGroup() as tasks:
        for _ in range(THREADS):
            tasks.spawn(nothing)


def run_all(call: Callable[[], object], count: int) -> None:
    joinable.run_all([call] * count)


def blocking() -> None:
    time.sleep(0.002)


def turns_of_events(kind: type[threading.Event]) -> None:
    event = kind()
    for _ in range(TURNS):
        event.set()
        event.wait()
        event.clear()


def turns_of_semaphores(kind: type[threading.Semaphore]) -> None:
    permits = kind(1)
    for _ in range(TURNS):
        permits.acquire()
        permits.release()


def turns_of_queues(kind: type[queue.Queue[int]]) -> None:
    items = kind()
    for number in range(TURNS):
        items.put(number)
        items.get()


def uncontended(name: str, turn: Callable[[type], None], ours: type, theirs: type) -> Row:
    """Compare a primitive of `sync` with its standard one, where no scope is in force."""
    return Row(name, functools.partial(turn, ours), functools.partial(turn, theirs), 1.2)


ROWS = (
    Row("Thread: start, run, result", our_thread, standard_thread, 1.2),
    Row("Thread: start, run, result, join", our_thread_joined, standard_thread, 1.2),
    Row(
        "Thread: start, run, result, on one processor",
        on_one_processor(our_thread),
        on_one_processor(standard_thread),
        1.2,
    ),
    Row(
        "TaskGroup: a task on a warm worker, against a Thread",
        group,
        standard_thread,
        0.40 if FREE else 0.25,
    ),
    Row(
        f"run_all, {CALLS} no-ops, against a list of Threads",
        functools.partial(run_all, nothing, CALLS),
        functools.partial(standard_list, nothing, CALLS),
        0.05,
    ),
    Row(
        f"run_all, {CALLS} no-ops, against a pool",
        functools.partial(run_all, nothing, CALLS),
        functools.partial(pool, nothing, CALLS),
        0.10,
    ),
    Row(
        "run_all, 1000 no-ops, against a pool",
        functools.partial(run_all, nothing, 1000),
        functools.partial(pool, nothing, 1000),
        0.03,
    ),
    Row(
        "run_all, 200 calls that sleep 2 ms, new threads, against a list of Threads",
        cold(functools.partial(run_all, blocking, 200)),
        functools.partial(standard_list, blocking, 200),
        1.0,
    ),
    Row(
        "run_all, 200 calls that sleep 2 ms, against a pool",
        functools.partial(run_all, blocking, 200),
        functools.partial(pool, blocking, 200),
        0.6 if FREE else 0.5,
    ),
    Row(
        "run_all, 1000 failures, against a pool",
        functools.partial(all_failing, 1000),
        functools.partial(pool_of_failures, 1000),
        0.15,
    ),
    uncontended("sync.Event: set, wait, clear", turns_of_events, sync.Event, threading.Event),
    uncontended(
        "sync.Semaphore: acquire, release",
        turns_of_semaphores,
        sync.Semaphore,
        threading.Semaphore,
    ),
    uncontended("sync.Queue: put, get", turns_of_queues, sync.Queue, queue.Queue),
    uncontended("sync.LifoQueue: put, get", turns_of_queues, sync.LifoQueue, queue.LifoQueue),
    Row("the same again (threading.Thread against itself)", standard_thread, standard_thread),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a contender took, in seconds."""

    cpu: float
    wall: float


def cost(contender: Callable[[], object]) -> Cost:
    gc.collect()  # else one contender pays for what the other left
    cpu, wall = time.process_time(), time.perf_counter()
    contender()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def ratios(row: Row, rounds: int) -> tuple[float, float]:
    """Return the median CPU ratio and the median wall ratio over the rounds."""
    pairs: list[tuple[Cost, Cost]] = []
    for number in range(rounds + 1):
        if number % 2:  # who comes first has a colder cache: take turns
            theirs, ours = cost(row.theirs), cost(row.ours)
        else:
            ours, theirs = cost(row.ours), cost(row.theirs)
        pairs.append((ours, theirs))
    del pairs[0]  # the warm-up
    return (
        statistics.median(ours.cpu / theirs.cpu for ours, theirs in pairs),
        statistics.median(ours.wall / theirs.wall for ours, theirs in pairs),
    )


def import_ratio(rounds: int) -> float:
    """Return the wall ratio of a process that imports us to one that imports concurrent.futures."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def start(module: str) -> float:
        begun = time.perf_counter()
        command = [sys.executable, "-c", f"import {module}"]
        subprocess.run(command, check=True, env=environment)  # noqa: S603  our own interpreter
        return time.perf_counter() - begun

    start("joinable")  # compiles it
    pairs = [(start("joinable"), start("concurrent.futures.thread")) for _ in range(rounds)]
    return statistics.median(ours / theirs for ours, theirs in pairs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if --check was given and a limit is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--check", action="store_true", help="fail where a limit is broken")
    options = parser.parse_args(arguments)
    print(f"CPython {sys.version.split()[0]}{'t' * FREE}, medians of {options.rounds} rounds")
    print(f"{'ours / theirs':76} {'CPU':>6} {'wall':>6} {'limit':>6}")
    broken = False
    for row in ROWS:
        cpu, wall = ratios(row, options.rounds)
        broken |= row.limit is not None and cpu > row.limit
        limit = "" if row.limit is None else f"{row.limit:6.2f}"
        print(f"{row.name:76} {cpu:6.2f} {wall:6.2f} {limit:>6}")
    imports = import_ratio(options.rounds)
    broken |= imports > IMPORT_LIMIT
    print(f"{'import, whole process':76} {'':6} {imports:6.2f} {IMPORT_LIMIT:6.2f}")
    return int(broken and options.check)


if __name__ == "__main__":
    sys.exit(main())
