"""A small service that stops cleanly: cooks take orders from a queue, until Ctrl-C.

    python kitchen.py            # type orders, one a line; Ctrl-C or the end of the input closes
    python kitchen.py tea soup   # take these orders, and close

Whatever is ordered is cooked within two seconds or given up: soup never gets done. After closing,
what was ordered is finished, but for no longer than ten seconds. A second Ctrl-C leaves at once.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from joinable import TaskGroup, fail_after, move_on_after, sleep
from joinable.sync import Queue, ShutDown

if TYPE_CHECKING:
    from collections.abc import Iterable

COOKS = 2
FOR_AN_ORDER = 2  # seconds
FOR_THE_LAST_ONES = 10  # seconds, after closing


def cook(order: str) -> str:
    sleep(60 if order == "soup" else 0.05)  # stands for a request to somebody else
    return f"hot {order}"


def take_orders(orders: Queue[str]) -> None:
    while True:
        try:
            order = orders.get()
        except ShutDown:
            return
        try:
            with fail_after(FOR_AN_ORDER):
                print(f"{order}: {cook(order)}", flush=True)
        except TimeoutError as late:
            print(f"{order}: given up, {type(late).__name__}", flush=True)


def serve(incoming: Iterable[str]) -> None:
    orders: Queue[str] = Queue(maxsize=100)
    with TaskGroup(name="kitchen") as kitchen:
        cooks = [kitchen.spawn(take_orders, orders) for _ in range(COOKS)]
        try:
            for line in incoming:
                orders.put(line.strip())
        except KeyboardInterrupt:
            print("closing: what was ordered will be served", flush=True)
        orders.shutdown()
        with move_on_after(FOR_THE_LAST_ONES) as last_orders:
            for each in cooks:
                each.result()
        if last_orders.cancelled_caught:
            kitchen.cancel("it takes too long")
    print("closed, and nobody is left in the kitchen", flush=True)


if __name__ == "__main__":
    serve(sys.argv[1:] or sys.stdin)
