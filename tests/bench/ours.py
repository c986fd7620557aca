"""This library in the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import joinable
from contest import OURS
from joinable import _workers
from tool import Number, Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def gather(call: Callable[[], object], count: int, workers: int) -> None:
    joinable.run_all([call] * count, max_workers=None if workers >= count else workers)


def settle(call: Callable[[], object], count: int, workers: int) -> None:
    bound = None if workers >= count else workers
    joinable.run_all([call] * count, max_workers=bound, return_exceptions=True)


def collect(fn: Number, items: Iterable[int], workers: int) -> list[int]:
    return list(joinable.run_each(fn, items, max_workers=workers, buffersize=None))


def stream(fn: Number, items: Iterable[int], workers: int, window: int) -> Iterator[int]:
    return joinable.run_each(fn, items, max_workers=workers, buffersize=window)


def unordered(fn: Number, items: Iterable[int], workers: int, window: int) -> Iterator[int]:
    return joinable.run_each(fn, items, max_workers=workers, buffersize=window, ordered=False)


JOINABLE = Tool(OURS, gather, settle, collect, stream, unordered)


def threads_in_turn(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        thread = joinable.Thread(target=call)
        thread.start()
        thread.result()


def joined_threads_in_turn(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        thread = joinable.Thread(target=call)
        thread.start()
        thread.result()
        thread.join()


def group(call: Callable[[], object], count: int) -> None:
    with joinable.TaskGroup() as tasks:
        for _ in range(count):
            tasks.spawn(call)


def pool_in_turn(call: Callable[[], object], count: int) -> None:
    with joinable.ThreadPool(8) as pool:
        for _ in range(count):
            pool.submit(call).result()


def pool_at_once(call: Callable[[], object], count: int, workers: int) -> None:
    with joinable.ThreadPool(workers) as pool:
        for task in [pool.submit(call) for _ in range(count)]:
            task.result()


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
