"""Record what eight threads do, good and bad, and draw it: `python timeline.py timeline.svg`.

A table, on which one worker at a time may write, a queue that is filled too slowly, a call that
fails, and those that are stopped because of it. With `.json` at the end of the name it becomes a
file for https://ui.perfetto.dev.
"""

from __future__ import annotations

import sys
import time

from joinable import TaskGroup, fail_after, run_all, run_each, sleep
from joinable.sync import Lock, Queue
from joinable.trace import record

table = Lock()
orders: Queue[int] = Queue()


def compute(seconds: float) -> None:
    """Stand for work: blocked where the library does not see it, it counts as running."""
    time.sleep(seconds)


def load(part: int) -> int:
    compute(0.02 + 0.01 * (part % 4))
    with table:  # one at a time: the others wait
        compute(0.012)
    return part


def take_orders() -> None:
    while (order := orders.get()) >= 0:
        compute(0.01 * order)


def cook() -> None:
    for order in (2, 4, 1, 3):
        compute(0.035)
        orders.put(order)
    orders.put(-1)


def burn() -> None:
    compute(0.09)
    raise RuntimeError("the kitchen is on fire")


def dine(seconds: float) -> None:
    compute(seconds / 4)
    sleep(seconds)  # may be told to stop


def evening() -> None:
    """Load, cook and serve, and end in a fire."""
    # Few enough that what they do can be told apart.
    for part in run_each(load, range(18), max_workers=5):
        if part == 9:
            compute(0.05)
    run_all([cook, take_orders])
    with fail_after(5), TaskGroup(name="guests") as guests:
        for seconds in (0.03, 0.06, 0.3, 0.15, 0.2, 0.24):
            guests.spawn(dine, seconds)
        guests.spawn(burn)


def main(file: str) -> None:
    with record() as timeline:
        try:
            evening()
        except* RuntimeError as fire:
            print(f"the evening is over: {fire.exceptions[0]}")
    timeline.save(file)
    print(timeline.summary())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "timeline.svg")
