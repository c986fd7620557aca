"""The tasks of a pool, how they end and who learns of it, under every schedule.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import concurrent.futures
from concurrent.futures import _base
from typing import Any

import pytest

from exploring import Composed, Fault, Model, ended_by, together_here
from joinable import (
    CancelledError,
    ThreadPool,
    _debt,
    _errand,
    _outcome,
    _sealed,
    sleep,
)
from joinable._errand import Errand
from joinable._sealed import Sealed

PARTS = (_errand, _sealed)
ENDS = (*PARTS, _outcome)


def one_waits_for_the_result() -> None:
    """It has it, whether it was there already or not."""
    with ThreadPool(1) as pool:
        assert pool.submit(int, "5").result() == 5


def all_kinds_of_waiting_at_the_end() -> None:
    """Whoever waits for the end, in whichever way, learns of it once."""
    told: list[object] = []
    with ThreadPool(1) as pool:
        task = pool.submit(int, "5")
        together_here(
            lambda: told.append(task.result()),
            lambda: told.extend(concurrent.futures.wait([task]).done),
            lambda: task.add_done_callback(told.append),
        )
    assert len(told) == 3
    assert told.count(5) == 1


def two_wait_for_one() -> None:
    """Both learn of the end."""
    told: list[str] = []
    with ThreadPool(1) as pool:
        task = pool.submit(int)

        def wait() -> None:
            told.append(ended_by(task.result))

        together_here(wait, wait)
    assert told == ["returned", "returned"]


def one_waits_for_what_is_stopped() -> None:
    """It learns of this end, too."""
    told: list[str] = []
    with ThreadPool(1) as pool:
        task = pool.submit(sleep, 1000)
        together_here(lambda: told.append(ended_by(task.result)), task.cancel)
    assert told == ["CancelledError"]


def two_ends_are_counted_once_each() -> None:
    """Who waits for both, as `wait` does, is told when both have ended, and not before."""
    with ThreadPool(2) as pool:
        tasks = [pool.submit(int), pool.submit(int)]
        conditions: list[Any] = [task._condition for task in tasks]
        with conditions[0], conditions[1]:
            pending = sum(not task.done() for task in tasks)
            waiter: Any = _base._AllCompletedWaiter(pending, stop_on_exception=False)
            for task in tasks:
                if not task.done():
                    task._waiters.append(waiter)
        if pending:
            waiter.event.wait()
        assert all(task.done() for task in tasks)


def cancelled_when_it_begins() -> None:
    """It never runs, or is told to stop; never both, and never neither."""
    ran: list[None] = []

    def call() -> None:
        ran.append(None)
        sleep(1000)

    with ThreadPool(1) as pool:
        task = pool.submit(call)
        assert task.cancel()
        with pytest.raises(CancelledError):
            task.result()
    assert len(ran) <= 1


def cancelled_when_it_ends() -> None:
    """It has its result, or was cancelled before it began; `cancel` and the result agree."""
    with ThreadPool(1) as pool:
        task = pool.submit(int, "5")
        answers: list[bool] = []
        together_here(lambda: answers.append(task.cancel()), lambda: answers.append(task.cancel()))
        concurrent.futures.wait([task])
        if task.cancelled():
            assert answers == [True, True]
        else:
            assert task.result() == 5


def asked_when_it_ends() -> None:
    """Who is told of the end finds the result."""
    with ThreadPool(1) as pool:
        task = pool.submit(int, "5")
        concurrent.futures.wait([task])
        assert task.result() == 5


def an_error_is_asked_for_when_it_comes() -> None:
    """It is taken, or reported, and never both."""
    with ThreadPool(1) as pool:
        task = pool.submit(int, "x")
        assert isinstance(task.exception(), ValueError)
        assert task._debt is None or not task._debt._left


# -------------------------------------------------------------------- the models


MODELS = (
    Model(one_waits_for_the_result, ENDS),
    Model(all_kinds_of_waiting_at_the_end, ENDS, 0),
    Model(two_wait_for_one, ENDS),
    Model(one_waits_for_what_is_stopped, ENDS),
    Model(two_ends_are_counted_once_each, ENDS, 0),
    Model(cancelled_when_it_begins, ENDS),
    Model(cancelled_when_it_ends, ENDS),
    Model(asked_when_it_ends, PARTS),
    Model(an_error_is_asked_for_when_it_comes, (_errand, _debt)),
)

FAULTS = {
    "who waits for the lock is told nothing": Fault(
        Errand,
        "run_here",
        "    self._finish(FINISHED, result)",
        "    self._state = FINISHED",
        all_kinds_of_waiting_at_the_end,
    ),
    "the first who waits is told nothing": Fault(
        Errand,
        "run_here",
        "            told.append(self._first)",
        "            pass",
        one_waits_for_the_result,
    ),
    "the first who waits does not look for the seal": Fault(
        Sealed,
        "_be_first",
        'return latch if hasattr(self, "_seal") else None',
        "return latch",
        one_waits_for_the_result,
    ),
    "two are the first who wait": Fault(
        Sealed,
        "_be_first",
        "del self._place",
        "pass",
        two_wait_for_one,
    ),
    "the first who waits is not told of another end": Fault(
        Sealed, "_finish", "_park.release(self._first)", "pass", one_waits_for_what_is_stopped
    ),
    "the seal is taken before the result is there": Fault(
        Errand,
        "run_here",
        "    self._result = result  # first: who finds the seal gone takes it for written\n"
        "        try:\n            del self._seal\n",
        "    try:\n            del self._seal\n"
        "            for _ in '1' * 60:\n                pass\n            self._result = result\n",
        asked_when_it_ends,
    ),
    "who finds the seal gone does not know why": Fault(
        Sealed,
        "_furnish",
        "self._state = FINISHED",
        "pass",
        asked_when_it_ends,
        20_000,
        rare=True,
    ),
    "who looks leaves the seal": Fault(
        Sealed,
        "_furnish",
        'broken.extend(map(delattr, (self,), ("_seal",)))',
        "broken.append(None)",
        all_kinds_of_waiting_at_the_end,
    ),
    "a call that begins is not told": Fault(
        Errand, "cancel", "self._told = True", "pass", cancelled_when_it_begins
    ),
    "a call that was told begins all the same": Fault(
        Errand, "run_here", "if self._told:", "if False:", cancelled_when_it_begins
    ),
}


class TestTasksOfPools(Composed):
    models = MODELS
    faults = FAULTS
    runs = 10
