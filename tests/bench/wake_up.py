"""Measure how long a cancelled wait takes to end, and what a wait costs while nothing happens.

    python tests/bench/wake_up.py [--rounds N] [--check]

The time is from just before `cancel()` to the first line after the wait, in the thread that waited,
on an otherwise idle machine. The CPU time is that of the whole process while eleven threads wait,
one in each of the waits, with a deadline, for one second. `--check` ends with an error where a
median is 1 ms or more, or the waiting costs more than 1 % of a core.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import sysconfig
import threading
import time
from typing import TYPE_CHECKING

import joinable
from joinable import Cancelled, CancelScope, Task, move_on_after
from joinable.sync import Barrier, Condition, Event, Lock, Queue, Semaphore

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 1e-3  # seconds that a wake-up may take
SETTLE = 2e-3  # seconds after which a thread that is entered in its scope is surely asleep
MOST_CPU = 0.01  # seconds of CPU time for a second of waiting


def wait_on_condition() -> None:
    condition = Condition()
    with condition:
        condition.wait()


def full_queue() -> Queue[int]:
    jobs: Queue[int] = Queue(1)
    jobs.put(1)
    return jobs


def wait_for_lock() -> None:
    lock = Lock()
    lock.acquire()
    lock.acquire()


def waits(forever: joinable.Thread[object]) -> dict[str, Callable[[], object]]:
    """Return the waits by name; none of them ends by itself."""
    return {
        "sleep": lambda: joinable.sleep(1000),
        "Event.wait": lambda: Event().wait(),
        "Condition.wait": wait_on_condition,
        "Queue.get": lambda: Queue[int]().get(),
        "Queue.put": lambda: full_queue().put(1),
        "Queue.join": lambda: full_queue().join(),
        "Semaphore.acquire": lambda: Semaphore(0).acquire(),
        "Barrier.wait": lambda: Barrier(2).wait(),
        "Lock.acquire": wait_for_lock,
        "Task.result": lambda: Task[int]().result(),
        "Thread.join": forever.join,
    }


def wake_up(wait: Callable[[], object]) -> float:
    """Return the seconds from a cancel to the end of the wait."""
    scope, ended = CancelScope(), list[float]()

    def run() -> None:
        with scope:
            try:
                wait()
            except Cancelled:
                ended.append(time.perf_counter())
                raise

    thread = threading.Thread(target=run)
    thread.start()
    while not scope._sleepers:
        time.sleep(1e-4)
    time.sleep(SETTLE)
    begun = time.perf_counter()
    scope.cancel()
    thread.join()
    return ended[0] - begun


def cpu_of_waiting(all_waits: list[Callable[[], object]]) -> float:
    """Return the CPU seconds that the process uses while each wait lasts for a second."""
    scope = CancelScope()
    threads: list[joinable.Thread[None]] = []
    used: list[float] = []
    with scope:
        threads += [joinable.spawn(wait_with_deadline, wait) for wait in all_waits]
        while len(scope._sleepers) < len(threads):
            time.sleep(1e-3)
        time.sleep(SETTLE)
        begun = time.process_time()
        time.sleep(1)
        used.append(time.process_time() - begun)
        scope.cancel()
    for thread in threads:
        thread.join()
    return used[0]


def wait_with_deadline(wait: Callable[[], object]) -> None:
    with move_on_after(1000):
        wait()


def build() -> str:
    return sys.version.split()[0] + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200, help="cancelled waits of each kind")
    parser.add_argument("--check", action="store_true", help="fail where a limit is not kept")
    options = parser.parse_args()
    gate = threading.Event()
    forever: joinable.Thread[object] = joinable.spawn(gate.wait)
    all_waits = waits(forever)
    print(f"CPython {build()}; median and 95th percentile of a wake-up, in microseconds")
    slow: list[str] = []
    for name, wait in all_waits.items():
        times = sorted(wake_up(wait) for _ in range(options.rounds))
        median = statistics.median(times)
        print(f"{name:20}{median * 1e6:8.0f}{times[int(0.95 * len(times))] * 1e6:8.0f}", flush=True)
        if median >= MOST:
            slow.append(name)
    used = cpu_of_waiting(list(all_waits.values()))
    print(f"CPU of {len(all_waits)} waits of 1 s: {used * 1e3:.2f} ms")
    gate.set()
    forever.join()
    if options.check and (slow or used > MOST_CPU):
        print("over the limit:", ", ".join([*slow, *["CPU"] * (used > MOST_CPU)]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
