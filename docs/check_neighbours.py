"""Find out what the neighbours do, for the table of the home page: `nox -s neighbours`.

Every cell is the answer of a small program that runs in a process of its own. `--write` keeps the
table in `_neighbours.inc`; without it the script fails if what it finds is not what is written
there. Each tool is used in the way that its own documentation has it. `check_neighbours.py` alone
takes the whole table; `check_neighbours.py ROW TOOL` runs one program and prints its answer.
"""

from __future__ import annotations

import contextvars
import importlib
import importlib.metadata
import itertools
import os
import platform
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).with_name("_neighbours.inc")
VERSIONED = ("anyio", "trio", "joblib", "pebble")
STANDARD = ("threading", "futures", "ThreadPool", "asyncio")
TOOLS = (*STANDARD, *VERSIONED, "joinable")
PATIENCE = 5.0  # seconds, on a busy machine: what has not happened by then does not happen
LONG = 60  # seconds of work in the queue when Ctrl-C comes


def named(module: str) -> Any:
    """Import a neighbour by its name: the type checkers do not have them all."""
    return importlib.import_module(module)


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


ONE_CALL = dict(
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
        try:
            work([joblib.delayed(waiter)(), joblib.delayed(int)()])
        except TimeoutError:
            pass

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
    assert run.stdout is not None
    run.stdout.readline()  # it has begun
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
    "pebble": lambda fn: (
        named("pebble").ThreadPool(max_workers=1).schedule(fn).result(timeout=0.2)
    ),
    "joinable": lambda fn: named("joinable").spawn(fn).result(timeout=0.2),
}


def timed_out(tool: str) -> str | None:
    """Wait for a call that takes longer; return what the error says, None if it came too late."""
    gate, begin = threading.Event(), time.monotonic()
    try:
        WAITING[tool](lambda: gate.wait(2 * PATIENCE))
    except Exception as error:  # noqa: BLE001  trio and multiprocessing have their own
        if "timeout" not in type(error).__name__.lower().replace("tooslow", "timeout") and (
            not isinstance(error, TimeoutError)
        ):
            return None
        return str(error) if time.monotonic() - begin < PATIENCE else None
    finally:
        gate.set()
    return None


def a_wait_has_a_timeout(tool: str) -> bool:
    return timed_out(tool) is not None


def a_timeout_says_where(tool: str) -> bool:
    return Path(__file__).name in (timed_out(tool) or "")


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
    return joblib.Parallel(n_jobs=2)([joblib.delayed(os.getpid)()] * 2)[0]


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


ROWS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "error": ("An error reaches the caller", an_error_reaches_the_caller),
    "unasked": ("An error nobody asks for is shown", an_unasked_error_is_shown),
    "timeout": ("A wait can have a timeout", a_wait_has_a_timeout),
    "where": ("... which says where the call is stuck", a_timeout_says_where),
    "stop": ("Cancelling wakes a thread that waits in a queue", a_waiting_thread_can_be_stopped),
    "context": ("A call sees the caller's context variables", context_is_carried),
    "window": ("A lazy map takes its input as results are used", a_map_keeps_a_window),
    "ctrl-c": ("Ctrl-C ends a program whose queue is full", ctrl_c_ends_it),
    "types": ("Several results are one typed tuple", several_results_are_a_typed_tuple),
    "free": ("Free threading is declared", free_threading_is_declared),
    "loop": ("Works without an event loop", no_event_loop_is_needed),
    "package": ("Comes with Python", takes_no_package),
    "sockets": ("Waits for sockets without a thread each", waits_for_sockets_without_threads),
    "process": ("Runs such calls in processes, too", the_same_runs_in_a_process),
}


# -------------------------------------------------------------------- the table


def run_self(*words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, __file__, *words]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


def cell(row: str, tool: str) -> str:
    out, err = run_self(row, tool).communicate(timeout=180)
    if out.strip() not in {"yes", "no"}:
        sys.exit(f"{row} {tool} gave no answer: {out}{err}")
    return out.strip()


def table() -> str:
    versions = {tool: importlib.metadata.version(tool) for tool in VERSIONED}
    heads = [f"{tool} {versions.get(tool, '')}".strip() for tool in TOOLS]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{':-:|' * len(TOOLS)}"]
    for row, (words, _) in ROWS.items():
        marks = {"yes": "yes", "no": "–"}
        cells = [marks[cell(row, tool)] for tool in TOOLS]
        lines.append(f"| {words} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    build = platform.python_version()
    return "\n".join([*lines, "", f"CPython {build}; `threading` to `asyncio` are its own.", ""])


def main() -> None:
    match sys.argv[1:]:
        case ["forget", tool]:
            FORGETTING[tool]()
        case ["fill", tool]:
            print("begun", flush=True)
            FILLING[tool]()
        case [row, tool]:
            print("yes" if ROWS[row][1](tool) else "no", flush=True)
            os._exit(0)  # what some of them leave behind would hold the exit
        case ["--write"]:
            PAGE.write_text(table(), encoding="utf-8")
        case _:
            if table() != PAGE.read_text(encoding="utf-8"):
                sys.exit(f"{PAGE.name} says something else: look, and then use --write")


if __name__ == "__main__":
    main()
