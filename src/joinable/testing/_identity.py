"""Hashes of threads and futures that are the same in every run.

By default they come from addresses, so the order of a set of threads (an executor joins its
workers in that order) or of futures (as `as_completed` keeps) would differ from run to run, and a
schedule could not be replayed. Under exploration those two classes, and what derives from them,
are numbered as they are made. Objects made by other threads, or before, keep the hash they have.
"""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from joinable._task import Task
from joinable.testing import _scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_NUMBER = "_explored_number"


class Numbering:
    """Counts the threads and futures of a run."""

    def __init__(self) -> None:
        self._next = itertools.count(1).__next__

    def restart(self) -> None:
        """Begin at one again: a new run."""
        self._next = itertools.count(1).__next__

    def init(self, before: Callable[..., None]) -> Callable[..., None]:
        """Return an `__init__` that numbers what it makes."""

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            if _scheduler.here() is not None and _NUMBER not in vars(self):
                vars(self)[_NUMBER] = numbering._next()
            before(self, *args, **kwargs)

        numbering = self
        return __init__


def _hash(self: object) -> int:
    number: int | None = vars(self).get(_NUMBER)
    return object.__hash__(self) if number is None else number


def identity(item: object) -> int:
    """Stand for `id` where futures are put in the order of their addresses."""
    number: int | None = getattr(item, _NUMBER, None)
    return id(item) if number is None else number


@contextmanager
def numbered() -> Generator[Numbering]:
    """Number threads and futures for a while."""
    numbering = Numbering()
    kinds: list[Any] = [threading.Thread, Future, Task]  # a Task does not call Future's
    inits = [kind.__init__ for kind in kinds]
    for kind, init in zip(kinds, inits, strict=True):
        kind.__init__ = numbering.init(init)
        kind.__hash__ = _hash
    try:
        yield numbering
    finally:
        for kind, init in zip(kinds, inits, strict=True):
            kind.__init__ = init
            del kind.__hash__
