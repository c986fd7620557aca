"""The cases of CPython's own tests that are about threads, futures, locks and queues.

A case is known by its name without the leading `test.`: `test_threading.ThreadTests.test_name`.
"""

from __future__ import annotations

import importlib
import unittest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

MODULES = (
    "test_threading",  # with all of `lock_tests`; test_thread has but its LockTests once more
    "test_concurrent_futures.test_future",
    # These use a ThreadPoolExecutor: the standard one, made of our threads and giving out our
    # tasks, or ours (`POOL_MODULES`).
    "test_concurrent_futures.test_wait",
    "test_concurrent_futures.test_as_completed",
    "test_concurrent_futures.test_thread_pool",
    "test_concurrent_futures.test_shutdown",
    "test_queue",
)
POOL_MODULES = tuple(
    f"test_concurrent_futures.{name}"
    for name in ("test_thread_pool", "test_shutdown", "test_wait", "test_as_completed")
)
"""Those that use a pool: run once more, with ours."""
# The classes in these modules that would test nothing of ours: the standard RLock; `Timer`, which
# is built on the real Thread; the list of the standard module's public names; `SimpleQueue`.
_NOT_OURS = frozenset(
    (
        "PyRLockTests",
        "CRLockTests",
        "TimerTests",
        "MiscTestCase",
        "PySimpleQueueTest",
        "CSimpleQueueTest",
        # The same cases as in CQueueTest and so on, for a second copy of `queue`: ours is but one.
        "PyQueueTest",
        "PyLifoQueueTest",
        "PyPriorityQueueTest",
        "PyFailingQueueTest",
    )
)
# Executors that work in processes or interpreters, with the same futures as a pool of threads.
_OTHER_EXECUTORS = ("Process", "Interpreter")


def find(module: str) -> ModuleType | None:
    """Import a module of tests; None where this interpreter has none."""
    name = f"test.{module}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A package above it counts as the module; what the module itself wants to import does not.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            return None
        raise


def load(module: ModuleType, wanted: list[str]) -> unittest.TestSuite:
    """Return the cases of a module that concern us and are wanted."""
    everything = unittest.defaultTestLoader.loadTestsFromModule(module)
    return unittest.TestSuite(
        case
        for case in members(everything)
        if _concerns_us(type(case)) and is_wanted(name_of(case), wanted)
    )


def members(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Go through the cases of a suite, and of those in it."""
    for member in suite:
        if isinstance(member, unittest.TestSuite):
            yield from members(member)
        else:
            yield member


def name_of(case: unittest.TestCase) -> str:
    """Return the name of a case; of a subtest, that of the case it is in."""
    whole: unittest.TestCase = getattr(case, "test_case", case)
    return whole.id().removeprefix("test.")


def is_wanted(name: str, wanted: list[str]) -> bool:
    """Tell whether the name holds one of the words; no words means all."""
    return not wanted or any(word in name for word in wanted)


def _concerns_us(kind: type[unittest.TestCase]) -> bool:
    name = kind.__name__
    return name not in _NOT_OURS and not any(word in name for word in _OTHER_EXECUTORS)
