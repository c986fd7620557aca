"""`Task` under every schedule: one outcome, which everybody sees and nobody sees too late.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, CancelledError, as_completed, wait
from typing import TYPE_CHECKING

import pytest

from exploring import Fault, Model, SmallParts, together
from joinable import DeadlineExceeded, InvalidStateError, Task, _outcome, _task
from joinable.testing import explore

if TYPE_CHECKING:
    from collections.abc import Callable

WATCH = (_task, _outcome)


def run(task: Task[int]) -> None:
    """Do what an executor does."""
    if task.set_running_or_notify_cancel():
        task.set_result(7)


def outcome(task: Task[int]) -> int | None:
    """Wait; None stands for "cancelled"."""
    try:
        return task.result()
    except CancelledError:
        return None


def two_wait_while_it_is_run_and_cancelled() -> None:
    """It is cancelled or it is run, never both, and both waiters learn which."""
    task: Task[int] = Task()
    cancelled: list[bool] = []
    seen: list[int | None] = []

    def look() -> None:
        seen.append(outcome(task))

    together(lambda: run(task), lambda: cancelled.append(task.cancel()), look, look)
    assert seen == ([None, None] if cancelled[0] else [7, 7])
    assert task.cancelled() == cancelled[0]
    assert not task._latches


def two_complete_it() -> None:
    """One of two completions wins, the other one is told, and the outcome is the winner's."""
    task: Task[int] = Task()
    lost: list[str] = []

    def complete(name: str, how: Callable[[], None]) -> None:
        try:
            how()
        except InvalidStateError:
            lost.append(name)

    together(
        lambda: complete("value", lambda: task.set_result(7)),
        lambda: complete("error", lambda: task.set_exception(ValueError("x"))),
    )
    (loser,) = lost
    assert isinstance(task.exception(), ValueError) == (loser == "value")


def who_sees_it_done_sees_the_value() -> None:
    """Once `done()` is true, the value is there and no wait is needed."""
    task: Task[int] = Task()

    def look() -> None:
        if task.done():
            assert task.result(timeout=0) == 7

    together(lambda: run(task), look, look)


def two_ask_for_the_error() -> None:
    """Both get the same exception object; it is taken, so it is never reported."""
    task: Task[int] = Task()
    error = ValueError("x")
    seen: list[BaseException | None] = []

    def ask() -> None:
        seen.append(task.exception())

    def catch() -> None:
        with pytest.raises(ValueError, match="x") as caught:
            task.result()
        seen.append(caught.value)

    together(ask, catch, lambda: task.set_exception(error))
    assert seen == [error, error]


def a_timeout_comes_with_the_end() -> None:
    """A waiter is late at its deadline or has the value; after the end nobody is ever late."""
    task: Task[int] = Task()
    ended: list[bool] = []
    begin = time.monotonic()

    def end() -> None:
        time.sleep(1)
        task.set_result(7)
        ended.append(True)

    def ask(after: float, timeout: float) -> None:
        time.sleep(after)
        too_late = bool(ended)
        try:
            assert task.result(timeout) == 7
        except DeadlineExceeded:
            assert not too_late
            assert time.monotonic() - begin == 1

    together(end, lambda: ask(0, 1), lambda: ask(1, 0))
    assert task.result() == 7
    assert not task._latches


def callbacks_come_with_the_end() -> None:
    """Each callback is called exactly once, when the task is done."""
    task: Task[int] = Task()
    called: list[str] = []

    def add(name: str) -> None:
        task.add_done_callback(lambda done: called.append(f"{name} {done.done()}"))

    together(lambda: task.set_result(7), lambda: add("a"), lambda: add("b"))
    assert sorted(called) == ["a True", "b True"]


def futures_are_waited_for() -> None:
    """`wait` and `as_completed`, which make the condition at once, miss no end and no cancel."""
    one, two = tasks = [Task[int](), Task[int]()]

    def wait_for_all() -> None:
        assert wait(tasks).done == {one, two}

    def take_each() -> None:
        assert {one, two} == set(as_completed(tasks))

    together(wait_for_all, take_each, lambda: run(one), two.cancel)
    assert not one._waiters
    assert not two._waiters


def the_first_of_two_futures_ends() -> None:
    """`wait(FIRST_COMPLETED)` with a timeout at the moment of the end has one of two answers."""
    one, two = tasks = [Task[int](), Task[int]()]

    def end() -> None:
        time.sleep(1)
        one.set_exception(ValueError("x"))

    def wait_for_one() -> None:
        done, left = wait(tasks, timeout=1, return_when=FIRST_COMPLETED)
        assert (done, left) in (({one}, {two}), (set(), {one, two}))
        assert isinstance(one.exception(), ValueError)

    together(end, wait_for_one)
    assert not one._waiters


MODELS = [
    Model(two_wait_while_it_is_run_and_cancelled, WATCH, bound=0),
    Model(two_complete_it, WATCH, bound=2),
    Model(who_sees_it_done_sees_the_value, WATCH, bound=2),
    Model(two_ask_for_the_error, WATCH),
    Model(a_timeout_comes_with_the_end, WATCH, bound=0),
    Model(callbacks_come_with_the_end, WATCH, bound=2),
    Model(futures_are_waited_for, WATCH, bound=0),
    Model(the_first_of_two_futures_ends, WATCH),
]


def test_a_timeout_and_the_end_at_one_moment_come_in_both_orders() -> None:
    seen: set[str] = set()

    def program() -> None:
        task: Task[int] = Task()

        def end() -> None:
            time.sleep(1)
            task.set_result(7)

        def ask() -> None:
            try:
                task.result(timeout=1)
                seen.add("value")
            except DeadlineExceeded:
                seen.add("late")

        together(end, ask)

    assert explore(program, strategy="dfs", preemptions=0).exhausted
    assert seen == {"value", "late"}


STATE_LAST = """\
        self._result, self._exception, self._traceback = result, exception, traceback
        self._state = state  # last: whoever reads it without the lock may read the rest
"""
STATE_FIRST = """\
        self._state = state
        self._result, self._exception, self._traceback = result, exception, traceback
"""
LOCKED_LATCH = """\
        with self._mutex:
            if self._state in DONE_STATES:
                return True
            self._refuse_to_wait()  # under the lock: a start that fails wakes who is listed
            self._latches.append(latch)
"""
UNLOCKED_LATCH = """\
        if self._state in DONE_STATES:
            return True
        self._latches.append(latch)
"""
LOCKED_CALLBACK = """\
    with self._mutex:
        if self._state not in DONE_STATES:
            self._done_callbacks.append(fn)
            return
"""
UNLOCKED_CALLBACK = """\
    if self._state not in DONE_STATES:
        self._done_callbacks.append(fn)
        return
"""
LOCKED_START = """\
    with self._mutex:
        if self._state in CANCELLED_STATES:
            return False
        if self._state != PENDING:
            raise RuntimeError(f"{self!r} has been started already")
        self._state = RUNNING
"""
UNLOCKED_START = LOCKED_START.replace("with self._mutex:", "if True:")

FAULTS = {
    "the state is written before the value": Fault(
        Task,
        "_finish",
        STATE_LAST,
        STATE_FIRST,
        who_sees_it_done_sees_the_value,
        runs=4000,
    ),
    "a latch is added outside the lock": Fault(
        Task, "_wait_once", LOCKED_LATCH, UNLOCKED_LATCH, two_wait_while_it_is_run_and_cancelled
    ),
    "a callback is added outside the lock": Fault(
        Task, "add_done_callback", LOCKED_CALLBACK, UNLOCKED_CALLBACK, callbacks_come_with_the_end
    ),
    "a start looks outside the lock": Fault(
        Task,
        "set_running_or_notify_cancel",
        LOCKED_START,
        UNLOCKED_START,
        two_wait_while_it_is_run_and_cancelled,
    ),
    "one latch is released, `if` for `while`": Fault(
        Task, "_wake", "while", "if", two_wait_while_it_is_run_and_cancelled
    ),
    "who waits for several is not told": Fault(
        Task, "_finish", "self._tell_waiters()", "pass", futures_are_waited_for
    ),
    "a second completion is allowed": Fault(
        Task,
        "_finish",
        "        if self._state not in allowed:\n            return False\n",
        "",
        two_complete_it,
    ),
}


class TestTask(SmallParts):
    models = MODELS
    faults = FAULTS
