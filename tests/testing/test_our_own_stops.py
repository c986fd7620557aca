# A scope may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""Tasks and threads that are waited for and stopped in scopes, under every schedule.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import time

import pytest

from exploring import (
    Composed,
    Fault,
    Model,
    ended_by,
    inside,
    let_all_run,
    race,
    to_come,
    together_here,
)
from joinable import (
    CancelScope,
    Task,
    Thread,
    _outcome,
    _park,
    _running,
    _task,
    _thread,
    abandoned_threads,
    sleep,
)

TASKS = (_park, _task, _outcome)
THREADS = (_park, _thread, _running)


def a_result_comes_with_a_cancel() -> None:
    """The waiter has the value or is cancelled, and the task forgets it."""
    task: Task[int] = Task()
    scope = CancelScope()

    def wait() -> None:
        with scope:
            assert task.result() == 7
        assert task.done() or not task._latches

    race(lambda: task.set_result(7), scope.cancel, wait)
    assert not task._latches
    assert not scope._sleepers


def a_result_comes_before_a_cancel() -> None:
    """Who waited already when it was there is not cancelled any more."""
    task: Task[int] = Task()
    scope = CancelScope()

    def end_and_cancel() -> None:
        task.set_result(7)
        scope.cancel()

    def wait() -> None:
        with scope:
            assert task.result() == 7
        assert not scope.cancelled_caught

    race(end_and_cancel, wait)


def two_join_it_in_a_scope() -> None:
    """Both wake at the end, also who is only about to wait."""
    with CancelScope():
        thread: Thread[int] = Thread(target=lambda: 7)
        thread.start()
        together_here(inside(thread.join), inside(thread.join))
    assert not thread.is_alive()
    assert not thread._joiners


def a_join_comes_with_a_cancel_and_the_end() -> None:
    """It returns or is cancelled; the thread forgets who waited."""
    thread: Thread[int] = Thread(target=lambda: 7)
    thread.start()
    scope = CancelScope()

    def wait() -> None:
        with scope:
            thread.join()
        assert scope.cancelled_caught or not thread.is_alive()
        assert thread._gone or not thread._joiners

    together_here(scope.cancel, wait)
    thread.join()
    assert not thread._joiners


def a_join_comes_before_a_cancel() -> None:
    """Who waited already when the thread ended is not cancelled any more."""
    thread: Thread[int] = Thread(target=lambda: 7)
    thread.start()
    scope = CancelScope()

    def join_and_cancel() -> None:
        thread.join()
        scope.cancel()

    def wait() -> None:
        with scope:
            thread.join()
        assert not scope.cancelled_caught

    race(join_and_cancel, wait)


def it_is_started_and_asked_to_stop() -> None:
    """It stops at once or never runs, and counts as cancelled."""
    begin = time.monotonic()
    thread: Thread[None] = Thread(target=sleep, args=(60,))
    together_here(thread.start, thread.cancel)
    assert ended_by(thread.result) == "CancelledError"
    assert thread.cancelled()
    thread.join()
    assert time.monotonic() == begin


def its_time_is_up_when_it_ends() -> None:
    """It is too late however it ends, and nothing of it is left when it is joined."""
    _running.abandoned.clear()
    thread: Thread[None] = Thread(target=time.sleep, args=(2,), timeout=1)
    thread.start()
    assert ended_by(thread.result) == "DeadlineExceeded"
    thread.join()
    assert not abandoned_threads()
    let_all_run()
    assert not _running.abandoned
    assert not to_come()


def its_time_is_up_before_it_begins() -> None:
    """It is too late, whether its call runs or not; a join in a scope ends."""
    _running.abandoned.clear()
    moment, _running.LAST_MOMENT = _running.LAST_MOMENT, 0.0
    try:
        thread: Thread[None] = Thread(target=lambda: None, timeout=0)
        thread.start()
    finally:
        _running.LAST_MOMENT = moment
    with CancelScope():
        thread.join()
    assert ended_by(thread.result) == "DeadlineExceeded"
    let_all_run()
    assert not _running.abandoned


def it_is_asked_to_stop_when_its_time_is_up() -> None:
    """It is cancelled or too late, and stops at that moment."""
    begin = time.monotonic()
    thread: Thread[None] = Thread(target=sleep, args=(60,), timeout=1)

    def cancel() -> None:
        time.sleep(1)
        thread.cancel()

    thread.start()
    together_here(cancel, thread.join)
    assert ended_by(thread.result) in {"CancelledError", "DeadlineExceeded"}
    assert time.monotonic() - begin == 1
    let_all_run()
    assert not to_come()


MODELS = [
    Model(a_result_comes_with_a_cancel, TASKS),
    Model(a_result_comes_before_a_cancel, TASKS, bound=2),
    Model(two_join_it_in_a_scope, THREADS),
    Model(a_join_comes_with_a_cancel_and_the_end, THREADS),
    Model(a_join_comes_before_a_cancel, THREADS, bound=2),
    Model(it_is_started_and_asked_to_stop, THREADS, bound=2),
    Model(its_time_is_up_when_it_ends, THREADS),
    Model(its_time_is_up_before_it_begins, THREADS, bound=0),
    Model(it_is_asked_to_stop_when_its_time_is_up, THREADS, bound=0),
]

FAULTS = {
    "a waiter of a task is cancelled although it is done": Fault(
        Task,
        "_wait_once",
        """\
        if self._leave(latch):
            raise
""",
        """\
        self._leave(latch)
        raise
""",
        a_result_comes_before_a_cancel,
    ),
    "a waiter of a task that is cancelled stays listed": Fault(
        Task,
        "_leave",
        "self._latches.remove(latch)",
        "pass",
        a_result_comes_with_a_cancel,
    ),
    "who joins does not look again": Fault(
        Thread,
        "_wait_for_end",
        "if self._gone:",
        "if False:",
        two_join_it_in_a_scope,
    ),
    "one who joins is woken": Fault(
        Thread,
        "_end",
        "while self._joiners:",
        "if self._joiners:",
        two_join_it_in_a_scope,
    ),
    "a thread that ends does not say so": Fault(
        Thread,
        "_end",
        "self._gone = True",
        "pass",
        two_join_it_in_a_scope,
    ),
    "who joins and is cancelled stays listed": Fault(
        Thread,
        "_wait_for_end",
        "self._joiners.remove(held)",
        "pass",
        a_join_comes_with_a_cancel_and_the_end,
    ),
    "a thread that ends while it is given up stays abandoned": Fault(
        Thread,
        "_give_up",
        "    if not self._finish(FINISHED, exception=error):\n        abandoned.discard(self)",
        "    self._finish(FINISHED, exception=error)",
        its_time_is_up_when_it_ends,
    ),
    "a thread is abandoned after its end was told": Fault(
        Thread,
        "_give_up",
        "    if not self._finish(FINISHED, exception=error):\n        abandoned.discard(self)",
        "    if self._finish(FINISHED, exception=error):\n        abandoned.add(self)",
        its_time_is_up_when_it_ends,
    ),
    "a thread that ends in time keeps its timer": Fault(
        Thread,
        "_end",
        "launch.timer.cancel()",
        "pass",
        it_is_asked_to_stop_when_its_time_is_up,
    ),
}


class TestStops(Composed):
    models = MODELS
    faults = FAULTS
    # A fault in a callback may come to light in the callback, too, which has nobody to raise to.
    marks_of_faults = (
        pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    )
