"""The contests: threads, tasks, `run_all`, streams and maps, and the primitives of `sync`.

What takes milliseconds or more is measured once a round; shorter work is repeated in a loop, so
that it is well above the clock's grain.
"""

from __future__ import annotations

import os
import queue
import sys
import sysconfig
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import ours
import standard
from contest import OURS, Contender, Contest, Limit
from joinable import ThreadLocal, sync
from ours import JOINABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tool import Tool

FREE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
THREADS = 200  # a contender starts so many a round: some 10 ms
TURNS = 20_000  # of what takes a microsecond or less
# Made beforehand: on a free-threaded build a number costs more where another thread frees it.
ITEMS = list(range(20_000))
LOOPS = 10  # a plain loop over the items is done so often: some 10 ms as well
SLEEP = 0.002  # seconds a blocking call blocks
SLICES = 24  # calls of some milliseconds of CPU time each
EXECUTOR = standard.EXECUTOR.name

Form = Literal["gather", "settle", "collect", "stream", "unordered"]


def nothing() -> None:
    """Stand for the smallest call there is."""


def failing() -> None:
    raise ValueError


def blocking() -> None:
    time.sleep(SLEEP)


def blocking_with(item: int) -> int:
    time.sleep(SLEEP)
    return item


def add_one(item: int) -> int:
    return item + 1


def busy() -> int:
    """Compute for some milliseconds, with nothing shared."""
    total = 0
    for number in range(60_000):
        total += number & 7
    return total


def plain_loop() -> None:
    for _ in range(LOOPS):
        results: list[int] = []
        for item in ITEMS:
            results.append(add_one(item))  # noqa: PERF401  a loop is what it is measured against


def serial() -> None:
    for _ in range(SLICES):
        busy()


def contenders(tools: Sequence[Tool], form: Form, *arguments: Any) -> dict[str, Contender]:
    """Let each tool that has the form do that work."""
    found: dict[str, Contender] = {}
    for tool in tools:
        run: Callable[..., object] | None = getattr(tool, form)
        if run is not None:
            found[tool.name] = Contender(partial(run, *arguments))
    return found


def over_items(tools: Sequence[Tool], form: Form, *arguments: Any) -> dict[str, Contender]:
    """Let each tool call `add_one` with all items, a slow one with a tenth of them."""
    found: dict[str, Contender] = {}
    for tool in tools:
        run: Callable[..., Any] | None = getattr(tool, form)
        if run is not None:
            items = ITEMS[: len(ITEMS) // 10] if tool.slow else ITEMS
            found[tool.name] = Contender(
                partial(used_up, run, add_one, items, *arguments), len(items) / len(ITEMS)
            )
    return found


def used_up(run: Callable[..., Any], *arguments: Any) -> None:
    results = list(run(*arguments))
    assert len(results) == len(arguments[1])


def on_one_processor(contender: Callable[[], object]) -> Callable[[], object]:
    """Let it run on one of the processors: what is left is its own work, and no traffic."""
    if sys.platform != "linux":
        return contender

    def run() -> None:
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            contender()
        finally:
            os.sched_setaffinity(0, allowed)

    return run


def pair(run: Callable[[], object], theirs: Callable[[], object]) -> dict[str, Contender]:
    return {OURS: Contender(run), "threading": Contender(theirs)}


def thread_rows() -> list[Contest]:
    in_turn = partial(ours.threads_in_turn, nothing, THREADS)
    joined = partial(ours.joined_threads_in_turn, nothing, THREADS)
    theirs = partial(standard.threads_in_turn, nothing, THREADS)
    bound = (Limit("threading", 1.2),)
    alone = pair(on_one_processor(in_turn), on_one_processor(theirs))
    return [
        Contest("thread", "Thread: start, run, result", pair(in_turn, theirs), bound),
        Contest("joined", "Thread: start, run, result, join", pair(joined, theirs), bound),
        Contest("alone", "Thread: start, run, result, on one processor", alone, bound),
        Contest("itself", "the same again: threading.Thread against itself", pair(theirs, theirs)),
    ]


def task_row(tools: Sequence[Tool]) -> Contest:
    others = [tool for tool in tools if tool not in (JOINABLE, standard.THREADING)]
    group = partial(ours.group, nothing, THREADS)
    theirs = partial(standard.threads_in_turn, nothing, THREADS)
    ways = pair(group, theirs) | contenders(others, "gather", nothing, THREADS, THREADS)
    limit = Limit("threading", 0.40 if FREE else 0.25)
    return Contest("group", f"TaskGroup: {THREADS} tasks, no-ops", ways, (limit,))


def pool_rows() -> list[Contest]:
    in_turn = {
        OURS: Contender(partial(ours.pool_in_turn, nothing, THREADS)),
        EXECUTOR: Contender(partial(standard.submit_in_turn, nothing, THREADS)),
        "two hand-overs": Contender(partial(standard.hand_over_in_turn, THREADS)),
        "of a bare call": Contender(partial(standard.hand_over_calls_in_turn, nothing, THREADS)),
    }
    at_once = {
        OURS: Contender(partial(ours.pool_at_once, nothing, len(ITEMS), 8)),
        EXECUTOR: Contender(partial(standard.submit, nothing, len(ITEMS), 8)),
    }
    bounds = (Limit(EXECUTOR, 1.0 if FREE else 0.85), Limit("two hand-overs", 1.35))
    return [
        Contest(
            "pool-one",
            "ThreadPool: submit one call, wait for it",
            in_turn,
            bounds[: 1 if FREE else 2],
        ),
        Contest(
            "pool-many",
            "ThreadPool: submit 20 000 calls, take the results, 8 workers",
            at_once,
            (Limit(EXECUTOR, 0.30 if FREE else 0.25),),
        ),
    ]


def run_all_rows(tools: Sequence[Tool]) -> list[Contest]:
    warm = contenders(tools, "gather", blocking, THREADS, THREADS)
    new = partial(standard.threads, blocking, THREADS, THREADS)
    cold = pair(ours.cold(warm[OURS].run), new)
    return [
        Contest(
            "all-50",
            "run_all: 50 no-ops",
            contenders(tools, "gather", nothing, 50, 50),
            (Limit("threading", 0.05), Limit(EXECUTOR, 0.10)),
        ),
        Contest(
            "all-1000",
            "run_all: 1000 no-ops",
            contenders(tools, "gather", nothing, 1000, 1000),
            (Limit(EXECUTOR, 0.03),),
        ),
        Contest(
            "all-cold",
            "run_all: 200 calls that sleep 2 ms, all threads new",
            cold,
            (Limit("threading", 1.0),),
        ),
        Contest(
            "all-warm",
            "run_all: 200 calls that sleep 2 ms",
            warm,
            (Limit(EXECUTOR, 0.6 if FREE else 0.5),),
        ),
        Contest(
            "failures",
            "run_all: 1000 failures, all gathered",
            contenders(tools, "settle", failing, 1000, 1000),
            (Limit(EXECUTOR, 0.15),),
        ),
    ]


def eager_rows(tools: Sequence[Tool]) -> list[Contest]:
    """On one processor too: the other one, where the calls are made, may be a slower one."""
    ways = over_items(tools, "collect", 8) | {"plain loop": Contender(plain_loop, LOOPS)}
    limit = Limit("plain loop", 10.0 if FREE else 5.0)
    title = "run_each to a list: 20 000 tiny calls, 8 workers"
    alone = {
        name: Contender(on_one_processor(ways[name].run), ways[name].work)
        for name in (OURS, "plain loop")
    }
    return [
        Contest("list", title, ways, (limit, Limit(EXECUTOR, 1 / 20 if FREE else 1 / 35))),
        Contest("list-alone", f"{title}, on one processor", alone, (limit,)),
    ]


def stream_rows(tools: Sequence[Tool]) -> list[Contest]:
    rows = eager_rows(tools)
    for window, faster in ((64, 1.2 if FREE else 4.0), (256, 4.0 if FREE else 10.0)):
        rows.append(
            Contest(
                f"stream-{window}",
                f"run_each as a stream, buffersize={window}: 20 000 tiny calls, 8 workers",
                over_items(tools, "stream", 8, window),
                (Limit(EXECUTOR, 1 / faster),),
            )
        )
    unordered = over_items(tools, "unordered", 8, 1016)
    title = "run_each unordered, buffersize=1016: 20 000 tiny calls, 8 workers"
    rows.append(Contest("unordered", title, unordered, (Limit(EXECUTOR, 1 / 10),)))
    return rows


def sleeping_row(tools: Sequence[Tool]) -> Contest:
    """500 calls on 50 workers are ten rounds of sleep: no tool can be faster than that."""
    ways: dict[str, Contender] = {}
    for tool in tools:
        if tool.collect is not None:
            ways[tool.name] = Contender(partial(tool.collect, blocking_with, range(500), 50))
    ways["ideal"] = Contender(partial(time.sleep, 500 / 50 * SLEEP))
    limits = (Limit(EXECUTOR, 0.6), Limit("ideal", 1.35, "wall"))
    return Contest("sleeping", "run_each: 500 calls that sleep 2 ms, 50 workers", ways, limits)


def busy_row(tools: Sequence[Tool]) -> Contest:
    ways = contenders(
        [tool for tool in tools if tool is not standard.THREADING], "gather", busy, SLICES, 2
    )
    ways["plain loop"] = Contender(serial)
    # 1.7 times as fast wants two processors that are free, which no limit can ask for.
    limits = (Limit("plain loop", 1.10),) if FREE else ()
    return Contest("busy", "run_all: computing, 2 workers", ways, limits)


def turns_of_events(kind: type[threading.Event]) -> None:
    event = kind()
    for _ in range(TURNS):
        event.set()
        event.wait()
        event.clear()


def turns_of_semaphores(kind: type[threading.Semaphore]) -> None:
    permits = kind(1)
    for _ in range(TURNS):
        permits.acquire()
        permits.release()


def turns_of_queues(kind: type[queue.Queue[int]]) -> None:
    items = kind()
    for number in range(TURNS):
        items.put(number)
        items.get()


def uncontended(name: str, turn: Callable[[type], None], mine: type, theirs: type) -> Contest:
    """Compare a primitive of `sync` with its standard one, where no scope is in force."""
    ways = pair(partial(turn, mine), partial(turn, theirs))
    return Contest(name.partition(":")[0], name, ways, (Limit("threading", 1.2),))


def sync_rows() -> list[Contest]:
    return [
        uncontended("sync.Event: set, wait, clear", turns_of_events, sync.Event, threading.Event),
        uncontended(
            "sync.Semaphore: acquire, release",
            turns_of_semaphores,
            sync.Semaphore,
            threading.Semaphore,
        ),
        uncontended("sync.Queue: put, get", turns_of_queues, sync.Queue, queue.Queue),
        uncontended("sync.LifoQueue: put, get", turns_of_queues, sync.LifoQueue, queue.LifoQueue),
    ]


class Bag:
    """An object with one attribute, as a `threading.local` is used."""

    value: int


def turns_of_attributes(local: Bag) -> None:
    for _ in range(TURNS):
        _ = local.value


def turns_of_gets(local: ThreadLocal[int]) -> None:
    for _ in range(TURNS):
        local.get()


def local_row() -> Contest:
    mine = ThreadLocal(int)

    def ours() -> None:
        mine.get()
        turns_of_gets(mine)

    theirs: Any = threading.local()

    def standard() -> None:
        theirs.value = 0  # in the thread that measures
        turns_of_attributes(theirs)

    limits = (Limit("threading", 3.0),)
    return Contest("local", "ThreadLocal: get a value", pair(ours, standard), limits)


def all_rows(tools: Sequence[Tool]) -> list[Contest]:
    """Return every contest that is measured inside this process."""
    return [
        *thread_rows(),
        task_row(tools),
        *pool_rows(),
        *run_all_rows(tools),
        *stream_rows(tools),
        sleeping_row(tools),
        busy_row(tools),
        *sync_rows(),
        local_row(),
    ]
