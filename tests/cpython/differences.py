"""Every case of CPython's own tests that `joinable` fails on purpose, and why.

The list is exact: `run.py` fails when a case that is listed passes or does not exist, and when one
that is not listed fails. Only a case that sleeps and hopes may pass, where the machine is slow.
"""

from __future__ import annotations

from typing import NamedTuple

_EVERYWHERE = frozenset(("3.11", "3.12", "3.13", "3.14", "3.14t", "3.15", "3.15t"))
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

DIFFERENCES = {
    "test_threading.ThreadTests.test_no_refcycle_through_target": Difference(
        "The error of a thread is kept for result(), also after it was reported, and the frames of "
        "its traceback lead to what the target used. A target that returns leaves nothing: that is "
        "the first half of the case, and it passes."
    ),
    "test_threading.ThreadTests.test_finalize_daemon_thread_hang": Difference(
        "The script takes the first flush of stderr for the interpreter's last. A Thread is a "
        "concurrent.futures.Future, that package imports logging, and logging flushes stderr at "
        "exit; with `import concurrent.futures` alone the script fails in the same way.",
        _SINCE_3_14,
    ),
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


def on(interpreter: str) -> dict[str, Difference]:
    """Return the differences of one interpreter ("3.13", "3.14t"), by case."""
    return {name: found for name, found in DIFFERENCES.items() if interpreter in found.on}
