"""What can be stopped: a thread that waits, and the wait for one."""

from __future__ import annotations

import contextlib
import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools import LONG, PATIENCE, named

if TYPE_CHECKING:
    from collections.abc import Callable


# -------------------------------------------------------------------- stop one that waits


class Waiter:
    """A call that waits for an item that does not come."""

    def __init__(self, box: Any) -> None:
        self.box = box
        self.began = threading.Event()
        self.ended = threading.Event()

    def __call__(self) -> None:
        self.began.set()
        try:
            self.box.get()
        finally:
            self.ended.set()

    def answer(self) -> bool:
        """Tell whether it has ended by itself, and let it end."""
        stopped = self.ended.wait(PATIENCE)
        self.box.put(None)
        return stopped


def stop_with_futures(waiter: Waiter) -> bool:
    with named("concurrent.futures").ThreadPoolExecutor(1) as pool:
        future = pool.submit(waiter)
        waiter.began.wait()
        future.cancel()
        pool.shutdown(wait=False, cancel_futures=True)
        return waiter.answer()


def stop_with_thread_pool(waiter: Waiter) -> bool:
    pool = named("multiprocessing.pool").ThreadPool(1)
    pool.apply_async(waiter)
    waiter.began.wait()
    threading.Thread(target=pool.terminate, daemon=True).start()
    return waiter.answer()


def stop_with_asyncio(waiter: Waiter) -> bool:
    asyncio = named("asyncio")

    async def main() -> bool:
        task = asyncio.create_task(asyncio.to_thread(waiter))
        await asyncio.to_thread(waiter.began.wait)
        task.cancel()
        await asyncio.wait([task])
        return waiter.answer()

    return bool(asyncio.run(main()))


def stop_with_anyio(waiter: Waiter) -> bool:
    anyio, run_sync = named("anyio"), named("anyio.to_thread").run_sync

    async def main() -> bool:
        with anyio.move_on_after(0.2):
            await run_sync(waiter, abandon_on_cancel=True)
        return waiter.answer()

    return bool(anyio.run(main))


def stop_with_trio(waiter: Waiter) -> bool:
    trio = named("trio")

    async def main() -> bool:
        with trio.move_on_after(0.2):
            await trio.to_thread.run_sync(waiter, abandon_on_cancel=True)
        return waiter.answer()

    return bool(trio.run(main))


def stop_with_joblib(waiter: Waiter) -> bool:
    joblib = named("joblib")

    def run() -> None:
        work = joblib.Parallel(n_jobs=2, backend="threading", timeout=0.2)
        with contextlib.suppress(TimeoutError):
            work([joblib.delayed(waiter)(), joblib.delayed(int)()])

    threading.Thread(target=run, daemon=True).start()
    return waiter.answer()


def stop_with_pebble(waiter: Waiter) -> bool:
    pool = named("pebble").ThreadPool(max_workers=1)
    future = pool.schedule(waiter)
    waiter.began.wait()
    future.cancel()
    pool.stop()
    stopped = waiter.answer()
    pool.join()
    return stopped


def stop_with_joinable(waiter: Waiter) -> bool:
    waiter.box = named("joinable.sync").Queue()
    thread = named("joinable").spawn(waiter)
    waiter.began.wait()
    thread.cancel()
    return waiter.answer()


STOPPING: dict[str, Callable[[Waiter], bool]] = {
    "futures": stop_with_futures,
    "ThreadPool": stop_with_thread_pool,
    "asyncio": stop_with_asyncio,
    "anyio": stop_with_anyio,
    "trio": stop_with_trio,
    "joblib": stop_with_joblib,
    "pebble": stop_with_pebble,
    "joinable": stop_with_joinable,
}


def a_waiting_thread_can_be_stopped(tool: str) -> bool:
    """Of `threading` there is nothing to call: a Thread has no method that asks it to stop."""
    if tool == "threading":
        return any(hasattr(threading.Thread, name) for name in ("cancel", "stop", "kill"))
    return STOPPING[tool](Waiter(queue.Queue()))


# -------------------------------------------------------------------- a limit on the wait


def wait_with_asyncio(fn: Callable[[], object]) -> None:
    asyncio = named("asyncio")

    async def main() -> None:
        async with asyncio.timeout(0.2):
            await asyncio.to_thread(fn)

    # Not `run`: it would wait for the thread at its end, and here only the wait counts.
    asyncio.new_event_loop().run_until_complete(main())


def wait_with_anyio(fn: Callable[[], object]) -> None:
    anyio = named("anyio")

    async def main() -> None:
        with anyio.fail_after(0.2):
            await named("anyio.to_thread").run_sync(fn, abandon_on_cancel=True)

    anyio.run(main)


def wait_with_trio(fn: Callable[[], object]) -> None:
    trio = named("trio")

    async def main() -> None:
        with trio.fail_after(0.2):
            await trio.to_thread.run_sync(fn, abandon_on_cancel=True)

    trio.run(main)


def wait_with_joblib(fn: Callable[[], object]) -> None:
    joblib = named("joblib")
    joblib.Parallel(n_jobs=2, backend="threading", timeout=0.2)([joblib.delayed(fn)()] * 2)


def wait_with_threading(fn: Callable[[], object]) -> None:
    thread = threading.Thread(target=fn, daemon=True)
    thread.start()
    thread.join(0.2)
    if thread.is_alive():
        raise TimeoutError


WAITING: dict[str, Callable[[Callable[[], object]], object]] = {
    "threading": wait_with_threading,
    "futures": lambda fn: (
        named("concurrent.futures").ThreadPoolExecutor(1).submit(fn).result(timeout=0.2)
    ),
    "ThreadPool": lambda fn: (
        named("multiprocessing.pool").ThreadPool(1).apply_async(fn).get(timeout=0.2)
    ),
    "asyncio": wait_with_asyncio,
    "anyio": wait_with_anyio,
    "trio": wait_with_trio,
    "joblib": wait_with_joblib,
    "pebble": lambda fn: named("pebble").ThreadPool(max_workers=1).schedule(fn).result(timeout=0.2),
    "joinable": lambda fn: named("joinable").spawn(fn).result(timeout=0.2),
}


def timed_out(tool: str) -> str | None:
    """Wait for a call that takes longer; return what the error says, None if it came too late."""
    gate, ended = threading.Event(), threading.Event()

    def call() -> None:
        gate.wait(LONG)
        ended.set()

    try:
        WAITING[tool](call)
    except Exception as error:  # noqa: BLE001  trio and multiprocessing have their own
        late = isinstance(error, TimeoutError) or "TooSlow" in type(error).__name__
        late = late or type(error).__name__ == "TimeoutError"
        return str(error) if late and not ended.is_set() else None
    finally:
        gate.set()
    return None


def a_wait_has_a_timeout(tool: str) -> bool:
    return timed_out(tool) is not None


def a_timeout_says_where(tool: str) -> bool:
    return Path(__file__).name in (timed_out(tool) or "")
