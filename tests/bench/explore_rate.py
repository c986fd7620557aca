"""Measure the schedules a second of `explore`: a bounded queue, two producers, two consumers.

python tests/bench/explore_rate.py [--runs N]
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import threading
import time

from joinable.testing import explore


class BoundedQueue:
    """The queue of every textbook: one lock, two conditions."""

    def __init__(self, size: int) -> None:
        self.items: list[int] = []
        self.size = size
        lock = threading.Lock()
        self.not_full, self.not_empty = threading.Condition(lock), threading.Condition(lock)

    def put(self, item: int) -> None:
        with self.not_full:
            while len(self.items) >= self.size:
                self.not_full.wait()
            self.items.append(item)
            self.not_empty.notify()

    def get(self) -> int:
        with self.not_empty:
            while not self.items:
                self.not_empty.wait()
            item = self.items.pop(0)
            self.not_full.notify()
            return item


def model() -> None:
    """Pass four items through a queue of one."""
    queue = BoundedQueue(1)
    taken: list[int] = []

    def produce(first: int) -> None:
        queue.put(first)
        queue.put(first + 1)

    def consume() -> None:
        taken.append(queue.get())
        taken.append(queue.get())

    threads = [threading.Thread(target=produce, args=(first,)) for first in (0, 2)]
    threads += [threading.Thread(target=consume) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [0, 1, 2, 3]


def main() -> None:
    """Print the best rate of four, a strategy a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    free = "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    for strategy in ("pct", "random"):
        times: list[float] = []
        for _ in range(4):
            begun = time.perf_counter()
            explore(model, runs=runs, strategy=strategy)
            times.append(time.perf_counter() - begun)
        rate = runs / min(times)
        print(
            f"CPython {sys.version.split()[0]}{free}: {rate:6.0f} schedules a second ({strategy})"
        )


if __name__ == "__main__":
    main()
