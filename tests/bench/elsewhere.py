"""The same `run_all` on threads, processes and interpreters, against a plain loop.

    python tests/bench/elsewhere.py --serve KEY NAME
    python tests/bench/elsewhere.py memory KIND

is one of them in a process of its own. The program that starts worker processes is small on
purpose: each of these reads it again.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import contest
import work
from contest import Contender, Contest
from joinable import run_all
from ours import cold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Executor

LOOP = "plain loop"
THREADS, PROCESSES, INTERPRETERS = "threads", "processes", "interpreters"
WORKERS = 2  # of work that computes; the machine of the page has two processors
WAITERS = 8  # of work that waits
CALLS = 16  # of a job
MANY = 500  # calls that do nothing, to tell what one costs
BATCH = 8  # workers at a time, to tell the memory of one
PROGRAM = Path(__file__)
MIB = 2**20


def new_processes(workers: int) -> Executor:
    """Start them as Python 3.14 does: a fork of a process with threads may hang."""
    ways = multiprocessing.get_all_start_methods()
    way = "forkserver" if "forkserver" in ways else "spawn"
    context = multiprocessing.get_context(way)
    return concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)


def new_interpreters(workers: int) -> Executor:
    kind: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", None)
    executor: Executor = kind(workers)
    return executor


def makers() -> dict[str, Callable[[int], Executor]]:
    """Return what makes an executor; of interpreters from Python 3.14 on."""
    found: dict[str, Callable[[int], Executor]] = {PROCESSES: new_processes}
    if hasattr(concurrent.futures, "InterpreterPoolExecutor"):
        found[INTERPRETERS] = new_interpreters
    return found


class Warm:
    """Run calls on an executor that is kept: what it costs to start is measured by itself."""

    def __init__(self, make: Callable[[int], Executor], workers: int, calls: Sequence[Any]) -> None:
        self.make, self.workers, self.calls = make, workers, calls
        self.executor: Executor | None = None

    def __call__(self) -> None:
        if self.executor is None:
            self.executor = self.make(self.workers)
            # All of its workers, and not only those that the first few calls need.
            run_all([work.wait] * CALLS * self.workers, executor=self.executor)
        run_all(self.calls, executor=self.executor)


def in_turn(calls: Iterable[Callable[[], object]]) -> None:
    for call in calls:
        call()


def job(key: str, title: str, call: Callable[[], object], workers: int, count: int) -> Contest:
    """Do a call so often in every way there is."""
    calls = [call] * count
    ways: dict[str, Callable[[], object]] = {
        LOOP: partial(in_turn, calls),
        THREADS: partial(run_all, calls, max_workers=workers),
    }
    for name, make in makers().items():
        ways[name] = Warm(make, workers, calls)
    return Contest(key, title, contenders(ways), program=PROGRAM)


def contenders(ways: dict[str, Callable[[], object]]) -> dict[str, Contender]:
    return {name: Contender(run) for name, run in ways.items()}


def start(make: Callable[[int], Executor]) -> None:
    with make(WORKERS) as executor:
        run_all([work.nothing] * WORKERS, executor=executor)


def starting() -> Contest:
    """Start the workers, let each do nothing, and end them."""
    threads = cold(partial(run_all, [work.nothing] * WORKERS))
    ways: dict[str, Callable[[], object]] = {THREADS: threads}
    for name, make in makers().items():
        ways[name] = partial(start, make)
    return Contest(
        "start", f"start {WORKERS} workers, and end them", contenders(ways), program=PROGRAM
    )


def alone(key: str, title: str, call: Callable[[], object]) -> Contest:
    """Do a call in a plain loop, and with so many threads."""
    calls = [call] * CALLS
    ways: dict[str, Callable[[], object]] = {LOOP: partial(in_turn, calls)}
    for workers in (1, 2, 4):
        ways[str(workers)] = partial(run_all, calls, max_workers=workers)
    return Contest(key, title, contenders(ways), program=PROGRAM)


def contests() -> list[Contest]:
    numbers = partial(work.add_up, work.NUMBERS)
    return [
        alone("python", "computing in Python", work.compute),
        alone("hashing", "hashing, in C code", work.digest),
        alone("waiting", "waiting", work.wait),
        job("compute", f"computing, {WORKERS} workers", work.compute, WORKERS, CALLS),
        job("wait", f"waiting, {WAITERS} workers", work.wait, WAITERS, CALLS),
        job("numbers", f"adding up big lists, {WORKERS} workers", numbers, WORKERS, CALLS),
        job("nothing", f"doing nothing, {WORKERS} workers", work.nothing, WORKERS, MANY),
        starting(),
    ]


def own_memory() -> float:
    """Return the MiB that this process and its children share with nobody; NaN if nobody tells."""
    try:
        return sum(map(private, [os.getpid(), *children(os.getpid())])) * 1024 / MIB
    except FileNotFoundError:
        return float("nan")


def children(process: int) -> list[int]:
    """Return all processes that this one has started, and those that these have."""
    every: list[int] = []
    for each in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, each.read_text(encoding="ascii").split()):
            every += [child, *children(child)]
    return every


def private(process: int) -> int:
    """Return the KiB of a process that no other one shares."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def hold_threads(count: int) -> None:
    """Have so many of them at once; they stay as idle workers."""
    run_all([threading.Barrier(count).wait] * count)


def memory(kind: str) -> dict[str, float]:
    """Tell the MiB that one more worker takes."""
    if kind == THREADS:
        hold_threads(1)  # what is made once is there before the measurement begins
        before = own_memory()
        hold_threads(BATCH)
        return {"each": (own_memory() - before) / BATCH}
    make = makers()[kind]
    with make(1) as first, make(BATCH) as second:
        run_all([work.nothing], executor=first)
        before = own_memory()
        run_all([work.wait] * BATCH * 4, executor=second)
        return {"each": (own_memory() - before) / BATCH}


def child(*arguments: str) -> dict[str, float]:
    """Run this file as a process, and return what it printed."""
    command = [sys.executable, str(PROGRAM), *arguments]
    done = subprocess.run(  # noqa: S603  our own interpreter
        command, check=True, capture_output=True, text=True, env=contest.environment()
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main(arguments: list[str]) -> None:
    if arguments[0] == "--serve":
        contest.serve(next(each for each in contests() if each.key == arguments[1]), arguments[2])
    else:
        print(json.dumps(memory(arguments[1])))


if __name__ == "__main__":
    main(sys.argv[1:])
