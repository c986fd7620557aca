"""What is measured in processes of their own: imports, memory, and how far a source runs ahead.

    python tests/bench/children.py WHAT [ARGUMENT ...]

is such a process; it prints one line of JSON. Memory is the resident set, as Linux tells it; on
other systems those figures are left out.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joinable
import standard
from contest import OURS, Contender, Contest, Cost, Limit
from ours import JOINABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tool import Tool

IMPORT_LIMIT = 1.15
IMPORTS = {
    OURS: "joinable",
    "concurrent.futures": "concurrent.futures.thread",
    "ThreadPool": "multiprocessing.pool",
    "trio": "trio",
    "anyio": "anyio.to_thread",
    "joblib": "joblib",
    "pebble": "pebble",
}
MIB = 2**20
WORKERS, WINDOW = 8, 64
COUNT = 100_000  # items of a source that stands for an endless one
IDLE = 200  # threads, to tell what one of them takes
IO_SLEEP = 0.01  # seconds that a call waits for an imagined server
TOOLS: dict[str, Tool] = {OURS: JOINABLE, "concurrent.futures": standard.EXECUTOR}
STREAMS: dict[str, Tool] = TOOLS | {"ThreadPool": standard.POOL}


def start(module: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", f"import {module}"]
    subprocess.run(command, check=True, env=environment)  # noqa: S603  our own interpreter


def in_children(run: Callable[[], object]) -> Cost:
    """Measure what the processes that end meanwhile use."""
    cpu, wall = cpu_of_children(), time.perf_counter()
    run()
    cpu, wall = cpu_of_children() - cpu, time.perf_counter() - wall
    return Cost(cpu or wall, wall)  # a start does little but compute


def cpu_of_children() -> float:
    """Return the seconds that children have used which have ended; 0 if the system won't say."""
    try:
        resource: Any = importlib.import_module("resource")
    except ModuleNotFoundError:  # Windows
        return 0.0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    used: float = usage.ru_utime + usage.ru_stime
    return used


def import_row(names: set[str]) -> Contest:
    """Compare whole processes that import one thing and end."""
    ways: dict[str, Contender] = {}
    for name, module in IMPORTS.items():
        if name in names:
            ways[name] = Contender(partial(start, module))
    limits = (Limit("concurrent.futures", IMPORT_LIMIT, "wall"),)
    return Contest("import", "import, the whole process", ways, limits, in_children)


def child(*arguments: object) -> dict[str, float]:
    """Run this file as a process, and return what it printed."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  (same)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def resident(field: str = "VmRSS") -> float:
    """Return the MiB of memory in use, or the most ever (`VmHWM`); NaN if the system won't say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return float("nan")
    return next(int(line.split()[1]) * 1024 / MIB for line in lines if line.startswith(field))


def endless(name: str) -> dict[str, float]:
    """Read a long source through a stream; tell how far it ran ahead, and the memory it took."""
    stream = STREAMS[name].stream
    assert stream is not None
    taken = used = ahead = 0

    def source() -> Iterator[int]:
        nonlocal taken, ahead
        for number in range(COUNT):
            taken += 1
            ahead = max(ahead, taken - used)
            yield number

    for _ in stream(abs, range(1000), WORKERS, WINDOW):
        pass  # what the tool itself takes is there before the measurement begins
    before = resident()
    for _ in stream(abs, source(), WORKERS, WINDOW):
        used += 1
    return {"ahead": ahead, "growth": resident("VmHWM") - before}


def idle(name: str) -> dict[str, float]:
    """Tell the KiB that an idle worker takes, or a thread that waits for a lock afterwards."""
    keep = idle_workers if name == OURS else waiting_threads
    keep(1)  # what is made once is there before the measurement begins
    before = resident()
    keep(IDLE)
    return {"each": (resident() - before) * 1024 / IDLE}


def idle_workers(count: int) -> None:
    meet = threading.Barrier(count)
    joinable.run_all([meet.wait] * count)


def waiting_threads(count: int) -> None:
    """Start threads that meet as the workers did, and then wait while the process lives."""
    meet, lock = threading.Barrier(count + 1), threading.Lock()
    lock.acquire()

    def live() -> None:
        meet.wait()
        lock.acquire()

    for _ in range(count):
        threading.Thread(target=live, daemon=True).start()
    meet.wait()


def wait_for_server(item: int) -> int:
    time.sleep(IO_SLEEP)
    return item


def compute(item: int) -> int:
    """Use the processor for half a millisecond or so."""
    for _ in range(20_000):
        item ^= 1
    return item


def capacity(name: str, workers: str) -> dict[str, float]:
    """Tell the calls a second that so many workers do, and the memory they take."""
    collect, count = TOOLS[name].collect, int(workers)
    assert collect is not None
    before = resident()
    waits = min(10 * count, max(4 * count, 640))
    io = rate(partial(collect, wait_for_server, range(waits), count), waits)
    peak = resident("VmHWM") - before
    slices = max(200, 2 * count)
    cpu = rate(partial(collect, compute, range(slices), count), slices)
    return {"io": io, "cpu": cpu, "memory": peak}


def rate(work: Callable[[], object], calls: int) -> float:
    begun = time.perf_counter()
    work()
    return calls / (time.perf_counter() - begun)


def main(arguments: list[str]) -> None:
    what: dict[str, Callable[..., Any]] = {"endless": endless, "idle": idle, "capacity": capacity}
    print(json.dumps(what[arguments[0]](*arguments[1:])))


if __name__ == "__main__":
    main(sys.argv[1:])
