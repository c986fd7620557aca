"""What comes of a call: its value, its error, its context, its type, its process."""

from __future__ import annotations

import contextvars
import importlib.metadata
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from tools import STANDARD, TOOLS, named, run_self

if TYPE_CHECKING:
    from collections.abc import Callable


# -------------------------------------------------------------------- how each runs one call


def with_threading(fn: Callable[[], object]) -> object:
    thread = threading.Thread(target=fn)
    thread.start()
    thread.join()
    return None  # there is nothing else to ask


def with_futures(fn: Callable[[], object]) -> object:
    with named("concurrent.futures").ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()  # the worker is there before the call, as in a program
        return pool.submit(fn).result()


def with_thread_pool(fn: Callable[[], object]) -> object:
    with named("multiprocessing.pool").ThreadPool(1) as pool:
        return pool.apply(fn)


def with_asyncio(fn: Callable[[], object]) -> object:
    asyncio = named("asyncio")
    return asyncio.run(asyncio.to_thread(fn))


def with_anyio(fn: Callable[[], object]) -> object:
    return named("anyio").run(named("anyio.to_thread").run_sync, fn)


def with_trio(fn: Callable[[], object]) -> object:
    trio = named("trio")
    return trio.run(trio.to_thread.run_sync, fn)


def with_joblib(fn: Callable[[], object]) -> object:
    joblib = named("joblib")
    # Two calls: with one it would not use a thread.
    return joblib.Parallel(n_jobs=2, backend="threading")([joblib.delayed(fn)()] * 2)[0]


def with_pebble(fn: Callable[[], object]) -> object:
    with named("pebble").ThreadPool(max_workers=1) as pool:
        pool.schedule(int).result()
        return pool.schedule(fn).result()


def with_joinable(fn: Callable[[], object]) -> object:
    return named("joinable").spawn(fn).result()


ONE_CALL: dict[str, Callable[[Callable[[], object]], object]] = dict(
    zip(
        TOOLS,
        (
            with_threading,
            with_futures,
            with_thread_pool,
            with_asyncio,
            with_anyio,
            with_trio,
            with_joblib,
            with_pebble,
            with_joinable,
        ),
        strict=True,
    )
)


def lost() -> object:
    raise ValueError("lost")


def an_error_reaches_the_caller(tool: str) -> bool:
    threading.excepthook = lambda _: None
    try:
        ONE_CALL[tool](lost)
    except ValueError:
        return True
    return False


variable = contextvars.ContextVar("variable", default="nothing")


def context_is_carried(tool: str) -> bool:
    seen: list[str] = []

    def look() -> None:
        seen.append(variable.get())

    # Set after the pools of others have begun, as the value of one request is.
    variable.set("first")
    ONE_CALL[tool](look)
    variable.set("second")
    ONE_CALL[tool](look)
    return seen[0] == "first" and seen[-1] == "second"


# -------------------------------------------------------------------- an error nobody asks for


def forget_with_asyncio() -> None:
    asyncio = named("asyncio")

    async def main() -> None:
        task = asyncio.create_task(asyncio.to_thread(lost))
        await asyncio.wait([task])

    asyncio.run(main())


def forget_with_anyio() -> None:
    anyio = named("anyio")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(named("anyio.to_thread").run_sync, lost)

    anyio.run(main)


def forget_with_trio() -> None:
    trio = named("trio")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, lost)

    trio.run(main)


def forget_with_pool(pool: Any, submit: str) -> None:
    with pool:
        getattr(pool, submit)(lost)
        time.sleep(0.2)


FORGETTING: dict[str, Callable[[], object]] = {
    "threading": lambda: with_threading(lost),
    "futures": lambda: forget_with_pool(
        named("concurrent.futures").ThreadPoolExecutor(1), "submit"
    ),
    "ThreadPool": lambda: forget_with_pool(
        named("multiprocessing.pool").ThreadPool(1), "apply_async"
    ),
    "asyncio": forget_with_asyncio,
    "anyio": forget_with_anyio,
    "trio": forget_with_trio,
    "joblib": lambda: with_joblib(lost),
    "pebble": lambda: forget_with_pool(named("pebble").ThreadPool(max_workers=1), "schedule"),
    "joinable": lambda: named("joinable").spawn(lost).join(),
}


def an_unasked_error_is_shown(tool: str) -> bool:
    run = run_self("forget", tool)
    return "ValueError: lost" in run.communicate(timeout=60)[1]


# -------------------------------------------------------------------- types, and package data

TYPES = {
    "asyncio": (
        "import asyncio\n"
        "async def main() -> None:\n"
        "    reveal_type(await asyncio.gather(asyncio.to_thread(int), asyncio.to_thread(str)))\n"
    ),
    "anyio": (
        "import anyio, anyio.to_thread\n"
        "async def main() -> None:\n"
        "    run = anyio.to_thread.run_sync\n"
        "    reveal_type(await anyio.gather(run(int), run(str)))\n"
    ),
    "joinable": "from joinable import run_all\nreveal_type(run_all((int, str)))\n",
}


def several_results_are_a_typed_tuple(tool: str) -> bool:
    """Ask mypy; the others have no call that takes several functions and returns all results."""
    if tool not in TYPES:
        return False
    # Without the settings of the project that it is called in.
    mypy = [sys.executable, "-m", "mypy", "--no-incremental", "--config-file=", "-c", TYPES[tool]]
    told = subprocess.run(mypy, capture_output=True, text=True, check=False).stdout
    if "Revealed type" not in told:
        sys.exit(told)
    return "tuple[int, str]" in told.replace("builtins.", "")


def free_threading_is_declared(tool: str) -> bool:
    """Look into the package data; the standard library is CPython's own."""
    if tool in STANDARD:
        return True
    found = importlib.metadata.metadata(tool).get_all("Classifier", [])
    return any("Free Threading" in line for line in found)


def no_event_loop_is_needed(tool: str) -> bool:
    return tool not in {"asyncio", "anyio", "trio"}


def takes_no_package(tool: str) -> bool:
    return tool in STANDARD


def waits_for_sockets_without_threads(tool: str) -> bool:
    return tool in {"asyncio", "anyio", "trio"}


# -------------------------------------------------------------------- the same in a process


def in_process_with_asyncio() -> object:
    asyncio = named("asyncio")

    async def main() -> object:
        with named("concurrent.futures").ProcessPoolExecutor(1) as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, os.getpid)

    return asyncio.run(main())


def in_process_with_pool(pool: Any, submit: str, get: str) -> object:
    with pool:
        return getattr(getattr(pool, submit)(os.getpid), get)()


def in_process_with_joblib() -> object:
    joblib = named("joblib")
    try:
        return joblib.Parallel(n_jobs=2)([joblib.delayed(os.getpid)()] * 2)[0]
    finally:  # its processes would stay for minutes, and whoever reads what we print would wait
        named("joblib.externals.loky").get_reusable_executor().shutdown(kill_workers=True)


def in_process_with_joinable() -> object:
    with named("concurrent.futures").ProcessPoolExecutor(1) as pool:
        return named("joinable").run_all([os.getpid], executor=pool)[0]


IN_PROCESS: dict[str, Callable[[], object]] = {
    "futures": lambda: in_process_with_pool(
        named("concurrent.futures").ProcessPoolExecutor(1), "submit", "result"
    ),
    "ThreadPool": lambda: in_process_with_pool(
        named("multiprocessing").Pool(1), "apply_async", "get"
    ),
    "asyncio": in_process_with_asyncio,
    "anyio": lambda: named("anyio").run(named("anyio.to_process").run_sync, os.getpid),
    "joblib": in_process_with_joblib,
    "pebble": lambda: in_process_with_pool(
        named("pebble").ProcessPool(max_workers=1), "schedule", "result"
    ),
    "joinable": in_process_with_joinable,
}


def the_same_runs_in_a_process(tool: str) -> bool:
    return tool in IN_PROCESS and IN_PROCESS[tool]() != os.getpid()
