"""Every way in which the library calls a function of the user's, one call after the other."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

import pytest

from joinable import TaskGroup, Thread, run_all, run_any, run_each, spawn

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")
    Way = Callable[[Callable[[int], T], int], list[T]]


def by_spawn(fn: Callable[[int], T], count: int) -> list[T]:
    return [spawn(fn, number).result() for number in range(count)]


def by_thread(fn: Callable[[int], T], count: int) -> list[T]:
    threads = [Thread(target=fn, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
        thread.join()
    return [thread.result() for thread in threads]


def by_run_all(fn: Callable[[int], T], count: int) -> list[T]:
    return run_all([functools.partial(fn, number) for number in range(count)], max_workers=1)


def by_run_any(fn: Callable[[int], T], count: int) -> list[T]:
    return [run_any([functools.partial(fn, number)]) for number in range(count)]


def by_group(fn: Callable[[int], T], count: int) -> list[T]:
    with TaskGroup(max_workers=1) as group:
        tasks = [group.spawn(fn, number) for number in range(count)]
    return [task.result() for task in tasks]  # pyright: ignore[reportPossiblyUnboundVariable]


def by_stream(fn: Callable[[int], T], count: int) -> list[T]:
    return list(run_each(fn, range(count), max_workers=1))


def by_list(fn: Callable[[int], T], count: int) -> list[T]:
    return list(run_each(fn, range(count), max_workers=1, buffersize=None))


def by_unordered(fn: Callable[[int], T], count: int) -> list[T]:
    return list(run_each(fn, range(count), max_workers=1, ordered=False))


def by_unordered_list(fn: Callable[[int], T], count: int) -> list[T]:
    return list(run_each(fn, range(count), max_workers=1, ordered=False, buffersize=None))


REUSED = [by_run_all, by_run_any, by_group, by_stream, by_list, by_unordered, by_unordered_list]
"""Those that use a thread again."""

WAYS = pytest.mark.parametrize("way", [by_spawn, by_thread, *REUSED])
REUSING = pytest.mark.parametrize("way", REUSED)
