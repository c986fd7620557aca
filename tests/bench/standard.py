"""The standard library in the benchmark: `threading`, `concurrent.futures`, `multiprocessing`."""

from __future__ import annotations

import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from contextvars import copy_context
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any

from tool import Number, Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextvars import Context


def threads(call: Callable[[], object], count: int, workers: int) -> None:
    """Start a thread for each call; there is nothing that would hold some of them back."""
    assert workers >= count
    started = [threading.Thread(target=call) for _ in range(count)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def threads_in_turn(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()


THREADING = Tool("threading", gather=threads)


def submit(call: Callable[[], object], count: int, workers: int) -> None:
    with ThreadPoolExecutor(workers) as executor:
        for future in [executor.submit(call) for _ in range(count)]:
            future.result()


def submit_in_turn(call: Callable[[], object], count: int) -> None:
    with ThreadPoolExecutor(8) as executor:
        for _ in range(count):
            executor.submit(call).result()


def hand_over_in_turn(count: int) -> None:
    """Wake another thread, and be woken by it: what no pool can do without."""
    there, back = threading.Lock(), threading.Lock()
    there.acquire()
    back.acquire()

    def answer() -> None:
        for _ in range(count):
            there.acquire()
            back.release()

    thread = threading.Thread(target=answer)
    thread.start()
    for _ in range(count):
        there.release()
        back.acquire()
    thread.join()


def hand_over_calls_in_turn(call: Callable[[], object], count: int) -> None:
    """Hand over a call, its context and its result, too: the pool that can do nothing else."""
    there, back = threading.Lock(), threading.Lock()
    there.acquire()
    back.acquire()
    calls: deque[tuple[Context, Callable[[], object]]] = deque()
    results: deque[object] = deque()

    def answer() -> None:
        for _ in range(count):
            there.acquire()
            context, fn = calls.popleft()
            results.append(context.run(fn))
            back.release()

    def submit() -> None:
        calls.append((copy_context(), call))
        there.release()

    def result() -> object:
        back.acquire()
        return results.popleft()

    thread = threading.Thread(target=answer)
    thread.start()
    for _ in range(count):
        submit()
        result()
    thread.join()


def submit_failures(call: Callable[[], object], count: int, workers: int) -> None:
    with ThreadPoolExecutor(workers) as executor:
        for future in [executor.submit(call) for _ in range(count)]:
            future.exception()


def executor_map(fn: Number, items: Iterable[int], workers: int) -> list[int]:
    with ThreadPoolExecutor(workers) as executor:
        return list(executor.map(fn, items))


def executor_stream(fn: Number, items: Iterable[int], workers: int, window: int) -> Iterator[int]:
    """Bound it where `map` can: from 3.14 on. Before, it reads all of its input."""
    bound: dict[str, Any] = {"buffersize": window} if sys.version_info >= (3, 14) else {}
    with ThreadPoolExecutor(workers) as executor:
        yield from executor.map(fn, items, **bound)


def executor_completed(
    fn: Number, items: Iterable[int], workers: int, window: int
) -> Iterator[int]:
    """Read all of the input: nothing there takes a window."""
    del window
    with ThreadPoolExecutor(workers) as executor:
        for future in as_completed([executor.submit(fn, item) for item in items]):
            yield future.result()


EXECUTOR = Tool(
    "concurrent.futures", submit, submit_failures, executor_map, executor_stream, executor_completed
)


def apply(call: Callable[[], object], count: int, workers: int) -> None:
    with ThreadPool(workers) as pool:
        for outcome in [pool.apply_async(call) for _ in range(count)]:
            outcome.get()


def apply_failures(call: Callable[[], object], count: int, workers: int) -> None:
    with ThreadPool(workers) as pool:
        for outcome in [pool.apply_async(call) for _ in range(count)]:
            with suppress(ValueError):
                outcome.get()


def pool_map(fn: Number, items: Iterable[int], workers: int) -> list[int]:
    """It hands the items out in chunks of its own choice: some hundreds of 20 000."""
    with ThreadPool(workers) as pool:
        return pool.map(fn, items)


def pool_stream(fn: Number, items: Iterable[int], workers: int, window: int) -> Iterator[int]:
    """Read all of the input: `imap` takes no window."""
    del window
    with ThreadPool(workers) as pool:
        yield from pool.imap(fn, items)


def pool_unordered(fn: Number, items: Iterable[int], workers: int, window: int) -> Iterator[int]:
    del window
    with ThreadPool(workers) as pool:
        yield from pool.imap_unordered(fn, items)


POOL = Tool("ThreadPool", apply, apply_failures, pool_map, pool_stream, pool_unordered)
TOOLS = (THREADING, EXECUTOR, POOL)
