"""What happens when there is much to do: a long input, and a full queue at Ctrl-C."""

from __future__ import annotations

import itertools
import queue
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

from tools import LONG, PATIENCE, named, run_self

if TYPE_CHECKING:
    from collections.abc import Callable


# -------------------------------------------------------------------- a map over an endless input

ENOUGH = 2000


class Source:
    """An input that counts what is taken, and ends before memory does."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Any:
        for self.taken in itertools.count(1):
            if self.taken > ENOUGH:
                return
            yield self.taken


def map_with_futures(source: Source) -> Any:
    pool = named("concurrent.futures").ThreadPoolExecutor(2)
    return pool.map(abs, source, buffersize=64)


def map_with_anyio(source: Source) -> Any:
    """Have `amap` run the calls in threads; it has no results before it has all of them."""
    anyio, run_sync = named("anyio"), named("anyio.to_thread").run_sync

    async def call(item: int) -> Any:
        return await run_sync(abs, item)

    async def main() -> Any:
        return await anyio.amap(call, source)

    return iter(anyio.run(main))


def map_with_joblib(source: Source) -> Any:
    joblib = named("joblib")
    work = joblib.Parallel(n_jobs=2, backend="threading", return_as="generator")
    return work(joblib.delayed(abs)(item) for item in source)


MAPPING: dict[str, Callable[[Source], Any]] = {
    "futures": map_with_futures,
    "ThreadPool": lambda source: named("multiprocessing.pool").ThreadPool(2).imap(abs, source),
    "anyio": map_with_anyio,
    "joblib": map_with_joblib,
    "pebble": lambda source: (
        named("pebble").ThreadPool(max_workers=2).map(abs, iter(source)).result()
    ),
    "joinable": lambda source: named("joinable").run_each(abs, source, max_workers=2),
}


def a_map_keeps_a_window(tool: str) -> bool:
    """Take one result, wait, and look how much of the input is gone."""
    if tool not in MAPPING:  # threading, asyncio and trio have no map over threads
        return False
    source = Source()
    results = MAPPING[tool](source)
    next(results)
    taken = -1
    while source.taken not in {taken, ENOUGH + 1}:  # until it rests
        taken = source.taken
        time.sleep(PATIENCE / 2)
    return source.taken <= ENOUGH


# -------------------------------------------------------------------- Ctrl-C with a full queue


def many(call: Callable[[], object]) -> list[Callable[[], object]]:
    """Make as many calls as two workers have LONG seconds with."""
    return [call] * (2 * LONG * 10)


def nap() -> None:
    time.sleep(0.1)


def fill_threading() -> None:
    jobs: queue.Queue[Callable[[], object]] = queue.Queue()

    def work() -> None:
        while not jobs.empty():
            jobs.get()()

    for job in many(nap):
        jobs.put(job)
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fill_futures() -> None:
    with named("concurrent.futures").ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(job) for job in many(nap)]:
            future.result()


def fill_thread_pool() -> None:
    with named("multiprocessing.pool").ThreadPool(2) as pool:
        for result in [pool.apply_async(job) for job in many(nap)]:
            result.get()


def fill_asyncio() -> None:
    asyncio = named("asyncio")

    async def main() -> None:
        pool = named("concurrent.futures").ThreadPoolExecutor(2)
        asyncio.get_running_loop().set_default_executor(pool)
        await asyncio.gather(*(asyncio.to_thread(job) for job in many(nap)))

    asyncio.run(main())


def fill_anyio() -> None:
    anyio = named("anyio")

    async def main() -> None:
        limiter = anyio.CapacityLimiter(2)

        async def one(job: Callable[[], object]) -> None:
            await named("anyio.to_thread").run_sync(job, limiter=limiter)

        async with anyio.create_task_group() as tasks:
            for job in many(nap):
                tasks.start_soon(one, job)

    anyio.run(main)


def fill_trio() -> None:
    trio = named("trio")

    async def main() -> None:
        limiter = trio.CapacityLimiter(2)

        async def one(job: Callable[[], object]) -> None:
            await trio.to_thread.run_sync(job, limiter=limiter)

        async with trio.open_nursery() as nursery:
            for job in many(nap):
                nursery.start_soon(one, job)

    trio.run(main)


def fill_joblib() -> None:
    joblib = named("joblib")
    joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(job)() for job in many(nap))


def fill_pebble() -> None:
    with named("pebble").ThreadPool(max_workers=2) as pool:
        for future in [pool.schedule(job) for job in many(nap)]:
            future.result()


def fill_joinable() -> None:
    named("joinable").run_all(many(nap), max_workers=2)


FILLING: dict[str, Callable[[], None]] = {
    "threading": fill_threading,
    "futures": fill_futures,
    "ThreadPool": fill_thread_pool,
    "asyncio": fill_asyncio,
    "anyio": fill_anyio,
    "trio": fill_trio,
    "joblib": fill_joblib,
    "pebble": fill_pebble,
    "joinable": fill_joinable,
}


def ctrl_c_ends_it(tool: str) -> bool:
    run = run_self("fill", tool)
    next(iter(run.stdout or ()))  # it has begun
    time.sleep(1)
    run.send_signal(signal.SIGINT)
    try:
        run.wait(LONG / 2)
    except subprocess.TimeoutExpired:
        return False
    else:
        return run.returncode != 0  # it has not just finished
    finally:
        run.kill()
        run.communicate()
