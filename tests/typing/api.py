"""The public types, held by mypy and basedpyright; nothing here is ever run.

A line that must be an error carries an ignore: mypy reports an ignore that is not needed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sqlite3
from contextvars import ContextVar
from typing import TYPE_CHECKING, assert_type

import rich.progress

from joinable import (
    DeadlineExceeded,
    Stream,
    Task,
    Thread,
    ThreadLocal,
    ThreadPool,
    bind,
    carry,
    run_all,
    run_each,
    spawn,
    threaded,
)
from joinable.executors import dask_executor
from joinable.progress import Progress, RichProgress, TqdmProgress

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from joinable._typing import T


def number() -> int:
    return 1


def text() -> str:
    return ""


def nothing() -> None:
    pass


def scale(value: float, *, by: float = 1.0) -> float:
    return value * by


# ------------------------------------------------------------------ Thread, spawn, threaded

made = assert_type(Thread(target=number), Thread[int])
assert_type(Thread(target=number).result(), int)
assert_type(Thread(target=number).result(timeout=1), int)
assert_type(Thread(target=number).exception(), "BaseException | None")
assert_type(Thread(target=number).join(), None)
assert_type(Thread(target=number).name, str)

spawned = assert_type(spawn(scale, 2.0, by=3), Thread[float])
spawn(scale, "2").join()  # type: ignore[arg-type]
spawn(scale).join()  # type: ignore[call-arg]
spawn(scale, 1, too=2).join()  # type: ignore[call-arg]
spawn(3).join()  # type: ignore[arg-type]


@threaded
def fetch(url: str, *, retries: int = 0) -> bytes:
    return url.encode() * retries


fetching = assert_type(fetch("a", retries=1), Thread[bytes])
assert_type(fetch("a").result(), bytes)
fetch(1).join()  # type: ignore[arg-type]
fetch().join()  # type: ignore[call-arg]


class Job(Thread[int]):
    def run(self) -> int:  # type: ignore[override]  # mypy: the standard one returns None
        return 1


assert_type(Job().result(), int)


# ------------------------------------------------------------------ a thread and a Future

standard: threading.Thread = Job()
future: concurrent.futures.Future[int] = Job()
task: Task[int] = Job()
for done in concurrent.futures.as_completed([Job(), Job()]):
    assert_type(done.result(), int)
concurrent.futures.wait([Job()])


async def coroutine() -> None:
    assert_type(await Job(), int)
    assert_type(await asyncio.wrap_future(Job()), int)


def callback(ended: concurrent.futures.Future[int]) -> None:
    assert_type(ended.result(), int)


Job().add_done_callback(callback)
Thread(target=text).add_done_callback(callback)  # type: ignore[arg-type]


# ------------------------------------------------------------------ run_all: the shapes

assert_type(run_all((number,)), tuple[int])
assert_type(run_all((number, text)), tuple[int, str])
assert_type(run_all((number, text, nothing)), tuple[int, str, None])
assert_type(
    run_all((number, text, number, text, number, text, number, text)),
    tuple[int, str, int, str, int, str, int, str],
)
assert_type(
    run_all((number, number, number, number, number, number, number, number, number)),
    tuple[int, ...],
)
assert_type(run_all([number, number]), list[int])
assert_type(run_all(iter([number])), list[int])
assert_type(run_all({"a": number}), dict[str, int])
assert_type(run_all({1: text}, max_workers=2), dict[int, str])

assert_type(
    run_all((number, text), return_exceptions=True),
    "tuple[int | BaseException, str | BaseException]",
)
assert_type(run_all([number], return_exceptions=True), "list[int | BaseException]")
assert_type(run_all({"a": number}, return_exceptions=True), "dict[str, int | BaseException]")


def any_number(many: tuple[Callable[[], int], ...]) -> None:
    assert_type(run_all(many), tuple[int, ...])


def either(*, keep: bool) -> None:
    assert_type(run_all([number], return_exceptions=keep), "list[int | BaseException]")


first, second = run_all((number, text))
assert_type(first, int)
assert_type(second, str)

run_all(number)  # type: ignore[call-overload]
run_all([scale])  # type: ignore[list-item]
run_all([number], max_workers="2")  # type: ignore[call-overload]
run_all([number], workers=2)  # type: ignore[call-overload]

# ------------------------------------------------------------------ errors

error: TimeoutError = DeadlineExceeded(1.0, [("name", None)])
assert_type(DeadlineExceeded(1.0, []).unfinished, tuple[str, ...])


# ------------------------------------------------------------------ run_each: as `map`


def text_of(*numbers: int) -> str:
    return repr(numbers)


assert_type(run_each(len, ["a", "b"]), Stream[int])
assert_type(next(run_each(len, ["a", "b"])), int)
assert_type(list(run_each(len, iter(["a"]), max_workers=2, ordered=False)), list[int])
assert_type(list(run_each(divmod, [1, 2], (3, 4))), "list[tuple[int, int]]")
assert_type(list(run_each(lambda a, b, c: f"{a}{b}{c}", [1], [2], [3])), list[str])
assert_type(list(run_each(text_of, [1], [2], [3], [4], [5], [6])), list[str])
assert_type(list(run_each(len, ["a"], return_exceptions=True)), "list[int | BaseException]")
run_each(len, [1, 2]).close()  # type: ignore[arg-type]
run_each(len, 3).close()  # type: ignore[call-overload]
for letters in run_each(str.upper, ["a"], buffersize=None):
    assert_type(letters, str)
with run_each(len, ["a"]) as stream:
    assert_type(stream, Stream[int])
    for size in stream:
        assert_type(size, int)
covariant: Stream[object] = run_each(len, ["a"])

# ------------------------------------------------------------------ executor=


class Executor:
    def submit(self, fn: Callable[[], T], /) -> concurrent.futures.Future[T]:
        raise NotImplementedError


class NoExecutor:
    def submit(self, fn: int) -> int:
        raise NotImplementedError


with concurrent.futures.ProcessPoolExecutor() as pool:
    assert_type(run_all((number, text), executor=pool), "tuple[int, str]")
    assert_type(run_all([number, number], executor=pool), "list[int]")
    assert_type(
        run_all({1: text}, return_exceptions=True, executor=pool), "dict[int, str | BaseException]"
    )
    assert_type(run_each(len, ["a"], executor=pool), Stream[int])
    assert_type(run_each(scale, [1.0], ordered=False, executor=None), Stream[float])
assert_type(
    run_each(len, ["a"], return_exceptions=True, executor=Executor()), "Stream[int | BaseException]"
)
run_all([number], executor=NoExecutor())  # type: ignore[call-overload]
run_each(len, ["a"], executor=concurrent.futures.ThreadPoolExecutor)  # type: ignore[call-overload]


class Client:
    def get_executor(self, *, pure: bool) -> concurrent.futures.Executor:
        raise NotImplementedError


assert_type(dask_executor(Client()), concurrent.futures.Executor)
dask_executor(pool)  # type: ignore[arg-type]


# ------------------------------------------------------------------ progress=


class Shown:
    def start(self, total: int | None) -> None: ...
    def advance(self, n: int) -> None: ...
    def finish(self) -> None: ...


class WithoutFinish:
    def start(self, total: int | None) -> None: ...
    def advance(self, n: int) -> None: ...


assert_type(run_all((number, text), progress=True), "tuple[int, str]")
assert_type(run_all({1: text}, progress="label"), "dict[int, str]")
assert_type(
    run_all([number], return_exceptions=True, progress=Shown()), "list[int | BaseException]"
)
assert_type(run_each(len, ["a"], progress=Shown()), Stream[int])
assert_type(run_each(divmod, [1], [2], progress=False), "Stream[tuple[int, int]]")
assert_type(
    run_each(len, ["a"], return_exceptions=True, progress=None), "Stream[int | BaseException]"
)
run_each(len, ["a"], progress=TqdmProgress(label="pages", unit="page")).close()
run_all([number], progress=RichProgress(rich.progress.Progress(), label="pages"))
every: Progress = Shown()
run_all([number], progress=WithoutFinish())  # type: ignore[call-overload]
run_each(len, ["a"], progress=3)  # type: ignore[call-overload]
run_all([number], progress=Shown)  # type: ignore[call-overload]
RichProgress(Shown())  # type: ignore[arg-type]


# ------------------------------------------------------------------ ThreadLocal, bind, carry

connection = ThreadLocal(
    lambda: sqlite3.connect(":memory:"), on_exit=sqlite3.Connection.close, per="thread"
)
assert_type(connection, ThreadLocal[sqlite3.Connection])
assert_type(connection.get(), sqlite3.Connection)
local = assert_type(ThreadLocal[list[str]](list), ThreadLocal[list[str]])
assert_type(local.get(), list[str])
local.set(["a"])
local.set([1])  # type: ignore[list-item]
assert_type(local.delete(), None)
ThreadLocal(number, on_exit=str.upper)  # type: ignore[misc]
ThreadLocal(number, per="process")  # type: ignore[arg-type]
ThreadLocal(3)  # type: ignore[arg-type]

who: ContextVar[str | None] = ContextVar("who", default=None)
count: ContextVar[int] = ContextVar("count")


def bound() -> int:
    with bind(who, "ann"), bind(local, []), local.bind(["b"]):
        assert_type(who.get(), "str | None")
    with bind(who, None, count, 1, local, ["a"], connection, connection.get()) as nothing_new:
        assert_type(nothing_new, None)
        return 1  # a bind swallows nothing: there is no way past this line


bind(who, 3)  # type: ignore[misc]
bind(who, "ann", count, "one")  # type: ignore[misc]
bind(who)  # type: ignore[call-overload]
bind("who", "ann")  # type: ignore[call-overload]

carried = carry(scale)
assert_type(carried(2.0, by=3), float)
carried("2")  # type: ignore[arg-type]
carry(3)  # type: ignore[arg-type]

# ------------------------------------------------------------------ ThreadPool: as an Executor

executor: concurrent.futures.Executor = ThreadPool(2, name="loaders", backlog=10)
with ThreadPool() as ours:
    assert_type(ours, ThreadPool)
    submitted = assert_type(ours.submit(number), Task[int])
    assert_type(ours.submit(scale, 2, by=3.0).result(), float)
    ours.submit(scale, "2").cancel()  # type: ignore[arg-type]
    ours.submit(scale, 2, to=3).cancel()  # type: ignore[call-arg]
    assert_type(list(ours.map(number, [1], buffersize=3)), list[int])
    ours.shutdown(wait=False, cancel_futures=True)
ThreadPool(initializer=number)  # type: ignore[call-arg]
