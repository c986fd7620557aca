"""Other people's libraries in the benchmark. One that is not installed is left out, and said so.

They are imported by name, since the type checkers do not have them.
"""

from __future__ import annotations

import importlib
import logging
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tool import Number, Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Loop:
    """What trio and anyio call differently, of the little that is needed here."""

    run: Any
    group: Any
    limiter: Any
    semaphore: Any
    in_thread: Any

    def gather(self, call: Callable[[], object], count: int, workers: int) -> None:
        async def main() -> None:
            limiter = self.limiter(workers)

            async def one() -> None:
                await self.in_thread(call, limiter=limiter)

            async with self.group() as tasks:
                for _ in range(count):
                    tasks.start_soon(one)

        self.run(main)

    def settle(self, call: Callable[[], object], count: int, workers: int) -> None:
        async def main() -> None:
            limiter = self.limiter(workers)

            async def one() -> None:
                with suppress(ValueError):
                    await self.in_thread(call, limiter=limiter)

            async with self.group() as tasks:
                for _ in range(count):
                    tasks.start_soon(one)

        self.run(main)

    def collect(self, fn: Number, items: Iterable[int], workers: int) -> list[int]:
        results: dict[int, int] = {}

        async def main() -> None:
            limiter = self.limiter(workers)

            async def one(place: int, item: int) -> None:
                results[place] = await self.in_thread(fn, item, limiter=limiter)

            async with self.group() as tasks:
                for place, item in enumerate(items):
                    tasks.start_soon(one, place, item)

        self.run(main)
        return [results[place] for place in range(len(results))]

    def unordered(
        self, fn: Number, items: Iterable[int], workers: int, window: int
    ) -> Iterator[int]:
        """Let a semaphore hold the intake back. The results are kept: a loop cannot yield them."""
        results: list[int] = []

        async def main() -> None:
            limiter, free = self.limiter(workers), self.semaphore(workers + window)

            async def one(item: int) -> None:
                results.append(await self.in_thread(fn, item, limiter=limiter))
                free.release()

            async with self.group() as tasks:
                for item in items:
                    await free.acquire()
                    tasks.start_soon(one, item)

        self.run(main)
        return iter(results)

    def tool(self, name: str) -> Tool:
        return Tool(
            name, self.gather, self.settle, self.collect, unordered=self.unordered, slow=True
        )


def make_trio() -> Tool:
    trio: Any = importlib.import_module("trio")
    loop = Loop(
        trio.run,
        trio.open_nursery,
        trio.CapacityLimiter,
        trio.Semaphore,
        trio.to_thread.run_sync,
    )
    return loop.tool("trio")


def make_anyio() -> Tool:
    anyio: Any = importlib.import_module("anyio")
    to_thread: Any = importlib.import_module("anyio.to_thread")
    loop = Loop(
        anyio.run,
        anyio.create_task_group,
        anyio.CapacityLimiter,
        anyio.Semaphore,
        to_thread.run_sync,
    )
    return loop.tool("anyio")


def make_joblib() -> Tool:
    """Make joblib's tool. It stops at the first error, so there is no `settle`."""
    joblib: Any = importlib.import_module("joblib")

    def parallel(workers: int, **options: Any) -> Any:
        return joblib.Parallel(n_jobs=workers, backend="threading", **options)

    def gather(call: Callable[[], object], count: int, workers: int) -> None:
        parallel(workers)(joblib.delayed(call)() for _ in range(count))

    def collect(fn: Number, items: Iterable[int], workers: int) -> list[int]:
        results: list[int] = parallel(workers)(joblib.delayed(fn)(item) for item in items)
        return results

    def stream_as(kind: str) -> Any:
        def stream(fn: Number, items: Iterable[int], workers: int, window: int) -> Iterator[int]:
            calls = (joblib.delayed(fn)(item) for item in items)
            bound = workers + window
            yield from parallel(workers, return_as=kind, pre_dispatch=bound)(calls)

        return stream

    return Tool(
        "joblib",
        gather,
        None,
        collect,
        stream_as("generator"),
        stream_as("generator_unordered"),
        slow=True,
    )


def make_pebble() -> Tool:
    pebble: Any = importlib.import_module("pebble")
    # Its threads may complete a future twice, which is logged each time; the results are all there.
    logging.getLogger("concurrent.futures").setLevel(logging.CRITICAL + 1)

    def gather(call: Callable[[], object], count: int, workers: int) -> None:
        with pebble.ThreadPool(max_workers=workers) as pool:
            for future in [pool.schedule(call) for _ in range(count)]:
                future.result()

    def settle(call: Callable[[], object], count: int, workers: int) -> None:
        with pebble.ThreadPool(max_workers=workers) as pool:
            for future in [pool.schedule(call) for _ in range(count)]:
                future.exception()

    def collect(fn: Number, items: Iterable[int], workers: int) -> list[int]:
        with pebble.ThreadPool(max_workers=workers) as pool:
            return list(pool.map(fn, items).result())

    def unordered(fn: Number, items: Iterable[int], workers: int, window: int) -> Iterator[int]:
        del window  # nothing there takes one
        with pebble.ThreadPool(max_workers=workers) as pool:
            futures: list[Any] = [pool.schedule(fn, args=(item,)) for item in items]
            for future in as_completed(futures):
                yield future.result()

    return Tool("pebble", gather, settle, collect, None, unordered, slow=True)


MAKERS = {"trio": make_trio, "anyio": make_anyio, "joblib": make_joblib, "pebble": make_pebble}


def installed(names: Iterable[str] = tuple(MAKERS)) -> tuple[list[Tool], list[str]]:
    """Return those of the tools that are here, and the names of those that are not."""
    tools: list[Tool] = []
    missing: list[str] = []
    for name in names:
        try:
            tools.append(MAKERS[name]())
        except ModuleNotFoundError:
            missing.append(name)
    return tools, missing
