"""Every case of CPython's own tests that `joinable` fails on purpose, and why.

The list is exact: `run.py` fails when a case that is listed passes or does not exist, and when one
that is not listed fails. Only a case that sleeps and hopes may pass, where the machine is slow.
"""

from __future__ import annotations

from typing import NamedTuple

_EVERYWHERE = frozenset(("3.11", "3.12", "3.13", "3.14", "3.14t", "3.15", "3.15t"))
_BEFORE_3_13 = frozenset(("3.11", "3.12"))
_SINCE_3_13 = _EVERYWHERE - _BEFORE_3_13
_SINCE_3_14 = frozenset(("3.14", "3.14t", "3.15", "3.15t"))


class Difference(NamedTuple):
    """Why a case fails, and on which interpreters."""

    reason: str
    on: frozenset[str] = _EVERYWHERE
    may_pass: bool = False
    """The case sleeps to let another thread come first; one that comes late makes it pass."""


_FUTURE = "test_concurrent_futures.test_future.FutureTests."
_OWN_REPR = (
    "A Task is shown with its name and its outcome, which tell one from the other; a Future with "
    "its address."
)
_SYNC_REPR = Difference(
    "It is shown as one of joinable.sync: that has a dot in its name, and the pattern allows none. "
    "What follows tells how many wait for it, too."
)
_A_CLASS = (
    "A standard lock is a type of its own in C. Ours is a class like any other: it is called to "
    "make a lock, and a subclass of it does no harm."
)

DIFFERENCES = {
    "test_threading.ThreadTests.test_no_refcycle_through_target": Difference(
        "The error of a thread is kept for result(), also after it was reported, and the frames of "
        "its traceback lead to what the target used. A target that returns leaves nothing: that is "
        "the first half of the case, and it passes."
    ),
    "test_threading.ThreadTests.test_disallow_instantiation": Difference(_A_CLASS, _BEFORE_3_13),
    "test_threading.ThreadTests.test_lock_no_subclass": Difference(_A_CLASS, _SINCE_3_13),
    "test_threading.LockTests.test_timeout": Difference(
        "A timeout longer than the system can count is no OverflowError, here as everywhere in the "
        "library, but a wait of the longest time that it can count."
    ),
    "test_threading.EventTests.test_at_fork_reinit": Difference(
        "The case holds the event's lock and expects not to get it again. Ours is reentrant, so "
        "that a signal handler may set the event which its thread waits for. After a fork it is "
        "as new, as it should be."
    ),
    "test_threading.EventTests.test_repr": _SYNC_REPR,
    "test_threading.SemaphoreTests.test_repr": _SYNC_REPR,
    "test_threading.BoundedSemaphoreTests.test_repr": _SYNC_REPR,
    "test_threading.BarrierTests.test_repr": _SYNC_REPR,
    _FUTURE + "test_cancel": Difference(
        "cancel() leaves CANCELLED_AND_NOTIFIED, where a Future is CANCELLED until a worker comes "
        "by: wait() and as_completed() know at once."
    ),
    _FUTURE + "test_repr": Difference(_OWN_REPR),
    _FUTURE + "test_multiple_set_result": Difference(f"The message shows the task. {_OWN_REPR}"),
    _FUTURE + "test_multiple_set_exception": Difference(f"The message shows the task. {_OWN_REPR}"),
    _FUTURE + "test_exception_with_success": Difference(
        "The case completes a future by writing its private state and notifying its Condition. "
        "Who waits for a Task does not wait on a Condition, which it mostly never has, but on a "
        "lock of their own; set_result(), set_exception() and cancel() wake them. The case gives "
        "the waiting thread 0.1 s to wait: where it takes longer it finds the task done.",
        may_pass=True,
    ),
}
"""A difference a case. The name of a case is without the leading `test.`."""


_POOL = "test_concurrent_futures.test_thread_pool.ThreadPoolExecutorTest."
_SHUTDOWN = "test_concurrent_futures.test_shutdown.ThreadPoolShutdownTest."
_OWN_WORDS = Difference(
    "The error has the same type, and says what was wrong in the words of the library, with the "
    "value that was given."
)
_BUFFERSIZE = Difference(_OWN_WORDS.reason, _SINCE_3_14)
_WORKERS = (
    "A pool's threads have its name as long as they work for it. Those of a pool that is gone are "
    "there for everybody again, with their own names."
)

POOL_DIFFERENCES = {
    _POOL + "test_max_workers_negative": _OWN_WORDS,
    _POOL + "test_map_buffersize_type_validation": _BUFFERSIZE,
    _POOL + "test_map_buffersize_value_validation": _BUFFERSIZE,
    _SHUTDOWN + "test_thread_names_assigned": Difference(_WORKERS, may_pass=True),
    _SHUTDOWN + "test_thread_names_default": Difference(
        f"A pool that is given no name is called ThreadPool-N. {_WORKERS}"
    ),
}
"""The same of a pool of ours in the place of the standard one."""


def on(interpreter: str, *, pool: bool) -> dict[str, Difference]:
    """Return the differences of one interpreter ("3.13", "3.14t"), by case."""
    every = POOL_DIFFERENCES if pool else DIFFERENCES
    return {name: found for name, found in every.items() if interpreter in found.on}
