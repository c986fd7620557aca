"""Count primes, wherever there is a processor: `from_threads_to_a_cluster.py [where]`.

What differs between the places is the executor, and nothing else.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import sys
from typing import TYPE_CHECKING, Any

from joinable import run_each

if TYPE_CHECKING:
    from collections.abc import Generator

STEP = 2_000


def count_primes(start: int) -> int:
    """Count the primes in one stretch of numbers."""
    numbers = range(max(start, 2), start + STEP)
    return sum(all(n % factor for factor in range(2, int(n**0.5) + 1)) for n in numbers)


def count_all(below: int, executor: Any = None) -> int:
    """Add up what the stretches have."""
    return sum(run_each(count_primes, range(0, below, STEP), executor=executor))


@contextlib.contextmanager
def executor_for(where: str) -> Generator[Any]:
    """Give the executor of a place."""
    if where == "threads":
        yield None
    elif where == "processes":
        with concurrent.futures.ProcessPoolExecutor() as executor:
            yield executor
    elif where == "interpreters":  # Python 3.14 or later
        with concurrent.futures.InterpreterPoolExecutor() as executor:  # type: ignore[attr-defined, unused-ignore]
            yield executor
    elif where == "dask":  # pip install joinable[dask]
        distributed: Any = importlib.import_module("distributed")

        from joinable.executors import dask_executor  # noqa: PLC0415

        with distributed.Client(n_workers=2, threads_per_worker=1) as client:
            yield dask_executor(client)
    else:
        sys.exit(f"{where!r} is none of threads, processes, interpreters, dask")


def main(where: str = "threads") -> None:
    """Count there."""
    with executor_for(where) as executor:
        print(count_all(100_000, executor), "primes, counted in", where)


if __name__ == "__main__":
    main(*sys.argv[1:])
