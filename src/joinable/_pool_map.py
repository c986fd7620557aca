"""`ThreadPool.map`: the results of a function over iterables, in order.

What it promises is what `Executor.map` promises, with `buffersize` on every version: with it no
more calls than that are there at a time, done or not, whose results were not taken. Whoever takes
the results advances the input, and nobody else.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from joinable import _runtime
from joinable._check import check_callable, check_count, check_iterable, check_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from joinable._task import Task
    from joinable._typing import T

__all__ = ["results"]


def results(  # noqa: PLR0913, PLR0917
    submit: Callable[..., Task[T]],
    fn: Callable[..., T],
    iterables: tuple[Iterable[object], ...],
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
) -> Iterator[T]:
    """Look at the arguments, submit the first calls, and return the results."""
    check_callable(fn, "fn")
    for position, iterable in enumerate(iterables):
        check_iterable(iterable, f"iterables[{position}]")
    check_seconds(timeout, "timeout")
    check_count(chunksize, "chunksize", 1)
    if buffersize is not None:
        check_count(buffersize, "buffersize", 1)
    deadline = _runtime.until(timeout)
    calls = (submit(fn, *arguments) for arguments in zip(*iterables, strict=False))
    tasks = deque(_some(calls, buffersize))
    return _in_order(tasks, calls, timeout, deadline)


def _some(calls: Iterator[Task[T]], most: int | None) -> list[Task[T]]:
    """Submit so many; none is left behind when the input fails."""
    tasks: list[Task[T]] = []
    try:
        tasks.extend(islice(calls, most))
    except BaseException:
        _cancel(tasks)
        raise
    return tasks


def _in_order(
    tasks: deque[Task[T]], calls: Iterator[Task[T]], timeout: float | None, deadline: float
) -> Generator[T]:
    try:
        while tasks:
            tasks.extend(islice(calls, 1))  # before it waits, as the standard library
            yield _take(tasks, timeout, deadline)
    finally:
        _cancel(tasks)


def _take(tasks: deque[Task[T]], timeout: float | None, deadline: float) -> T:
    """Wait for the first; it is not kept by who is suspended in a `yield`."""
    left = None if timeout is None else deadline - _runtime.monotonic()
    result = tasks[0].result(left)
    del tasks[0]
    return result


def _cancel(tasks: Iterable[Task[T]]) -> None:
    for task in tasks:
        task.cancel()
