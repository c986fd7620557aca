# A scope may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""`ThreadPool`: what it does with calls, one behaviour a test."""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, cast

import pytest

from joinable import (
    Cancelled,
    CancelledError,
    CancelScope,
    DeadlineExceeded,
    InvalidStateError,
    Task,
    ThreadPool,
    _lounge,
    _workers,
    current_scope,
    sleep,
)
from waiting import LONG, PATIENCE, Gate, until

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def call_with(gate: Gate) -> Callable[[object], object]:
    return lambda _: gate()


def failing() -> None:
    raise ValueError("as it should")


# -------------------------------------------------------------------- what a call gives back


def test_a_call_gives_its_result_by_a_task() -> None:
    with ThreadPool(2) as pool:
        task = pool.submit(divmod, 20, 7)
        assert isinstance(task, Task)
        assert task.result(PATIENCE) == (2, 6)
        assert pool.submit(dict, a=1, fn=2, self=3).result(PATIENCE) == {"a": 1, "fn": 2, "self": 3}


def test_an_error_has_the_traceback_of_its_thread_and_says_where_it_was_submitted() -> None:
    with ThreadPool(1, name="loaders") as pool:
        task = pool.submit(failing)
        with pytest.raises(ValueError, match="as it should") as first:
            task.result(PATIENCE)
    (note,) = first.value.__notes__
    assert note.startswith("in task 'loaders-1 (failing)', submitted at ")
    assert f"{__file__}:" in note
    names = [entry.name for entry in first.traceback]
    assert names[-1] == "failing"
    with pytest.raises(ValueError, match="as it should") as again:
        task.result()
    assert [entry.name for entry in again.traceback] == names


def test_it_is_an_executor_for_wait_and_as_completed() -> None:
    gate = Gate()
    with ThreadPool(2) as pool:
        slow: Task[object] = pool.submit(gate)
        quick: Task[object] = pool.submit(int)
        done, left = concurrent.futures.wait(
            [slow, quick], PATIENCE, concurrent.futures.FIRST_COMPLETED
        )
        assert done == {quick}
        assert left == {slow}
        gate.may_end.set()
        assert set(concurrent.futures.as_completed([slow, quick], PATIENCE)) == {slow, quick}
        assert concurrent.futures.wait([slow, quick], 0).not_done == set()
    assert isinstance(pool, concurrent.futures.Executor)


def test_callbacks_are_called_whether_the_call_has_ended_or_not() -> None:
    gate, called = Gate(), list[str]()
    with ThreadPool(1) as pool:
        running, waiting = pool.submit(gate), pool.submit(int)
        running.add_done_callback(lambda _: called.append("running"))
        waiting.add_done_callback(lambda _: called.append("waiting"))
        gate.may_end.set()
    running.add_done_callback(lambda _: called.append("late"))
    assert called == ["running", "waiting", "late"]


def test_calls_begin_in_the_order_in_which_they_were_submitted() -> None:
    seen: list[int] = []
    with ThreadPool(1) as pool:
        for number in range(100):
            _ = pool.submit(seen.append, number)
    assert seen == [*range(100)]


def test_no_more_calls_run_at_a_time_than_there_may_be_workers() -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def call() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.001)
        with lock:
            running[0] -= 1

    with ThreadPool(3) as pool:
        for _ in range(60):
            _ = pool.submit(call)
    assert 2 <= most[0] <= 3


def test_calls_that_block_get_all_workers_that_are_allowed() -> None:
    barrier = threading.Barrier(8)
    with ThreadPool(8) as pool:
        tasks = [pool.submit(barrier.wait, PATIENCE) for _ in range(8)]
    assert sorted(task.result() for task in tasks) == [*range(8)]


@pytest.mark.usefixtures("workers_of_its_own")
def test_one_call_after_the_other_needs_one_thread() -> None:
    with ThreadPool(8) as pool:
        idents = {pool.submit(threading.get_ident).result(PATIENCE) for _ in range(50)}
        # A worker that has just told the result may not rest yet when the next call comes.
        assert len(idents) <= 2
        assert len(pool._staff.lanes) <= 2


@pytest.mark.usefixtures("workers_of_its_own")
def test_a_worker_goes_back_to_all_when_the_pool_has_had_nothing_to_do_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_lounge, "LINGER", 0.01)
    with ThreadPool(2) as pool:
        assert pool.submit(int).result(PATIENCE) == 0
        until(lambda: not pool._staff.lanes)
        assert len(_workers.idle()) == 1
        assert pool.submit(int).result(PATIENCE) == 0


def test_every_call_has_a_copy_of_the_context_of_its_submit() -> None:
    def change() -> str:
        before = VARIABLE.get()
        VARIABLE.set("changed")
        return before

    with ThreadPool(1) as pool:
        token = VARIABLE.set("first")
        one = pool.submit(change)
        VARIABLE.set("second")
        two = pool.submit(change)
        VARIABLE.reset(token)
        three = pool.submit(change)
        found = [task.result(PATIENCE) for task in (one, two, three)]
    assert found == ["first", "second", "none"]
    assert VARIABLE.get() == "none"


def test_threads_and_tasks_have_the_name_of_the_pool() -> None:
    with ThreadPool(1, name="loaders") as pool:
        task = pool.submit(lambda: threading.current_thread().name)
        assert task.result(PATIENCE) == "loaders_0"
        assert task.name == "loaders-1 (<lambda>)"
        assert pool.submit(functools.partial(int, "3")).name == "loaders-2 (int)"
        task.name = "mine"
        assert repr(task) == "<Task(mine, returned str)>"
        assert pool.name == "loaders"


def test_what_is_seen_of_it() -> None:
    gate = Gate()
    with ThreadPool(1, name="loaders") as pool:
        running, waiting = pool.submit(gate), pool.submit(int)
        assert gate.begun.wait(PATIENCE)
        assert repr(pool) == "<ThreadPool loaders: open; 1 running, 1 waiting>"
        assert (running.running(), running.done()) == (True, False)
        assert (waiting.running(), waiting.done()) == (False, False)
        assert repr(waiting) == "<Task(loaders-2 (int), pending)>"
        gate.may_end.set()
    assert repr(pool) == "<ThreadPool loaders: closed by shutdown; 0 running, 0 waiting>"


def test_a_timeout_tells_which_line_the_call_is_at() -> None:
    gate = Gate()
    with ThreadPool(1) as pool:
        task = pool.submit(gate)
        assert gate.begun.wait(PATIENCE)
        with pytest.raises(DeadlineExceeded, match=r"not end within 0\.01 s: it is at .*waiting"):
            task.result(0.01)
        gate.may_end.set()


def test_nothing_of_a_call_that_has_ended_is_kept() -> None:
    class Big:
        pass

    def take(big: Big) -> str:
        return type(big).__name__

    with ThreadPool(1) as pool:
        big = Big()
        seen = weakref.ref(big)
        task = pool.submit(take, big)
        assert task.result(PATIENCE) == "Big"
        del big
        until(lambda: seen() is None)

        result = weakref.ref(pool.submit(Big).result(PATIENCE))
        until(lambda: result() is None)


def test_a_call_that_was_cancelled_keeps_nothing_of_its_arguments() -> None:
    class Big:
        pass

    gate, big = Gate(), Big()
    seen = weakref.ref(big)
    with ThreadPool(1) as pool:
        _ = pool.submit(gate)
        task = pool.submit(isinstance, big, Big)
        del big
        assert task.cancel()
        assert seen() is None
        gate.may_end.set()


# -------------------------------------------------------------------- calls that wait for calls


def test_a_call_that_waits_for_another_one_lends_its_place() -> None:
    with ThreadPool(1) as pool:

        def depth(left: int) -> int:
            return 0 if left == 0 else 1 + pool.submit(depth, left - 1).result()

        assert pool.submit(depth, 30).result(PATIENCE) == 30


def test_many_calls_that_wait_for_others_do_not_run_more_than_are_allowed() -> None:
    running, most, lock = [0], [0], threading.Lock()

    def leaf() -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.001)
        with lock:
            running[0] -= 1
        return 1

    with ThreadPool(2) as pool:

        def tree(depth: int) -> int:
            if depth == 0:
                return leaf()
            return sum(task.result() for task in [pool.submit(tree, depth - 1) for _ in range(2)])

        assert pool.submit(tree, 5).result(PATIENCE) == 32
    assert most[0] <= 2


# -------------------------------------------------------------------- cancelling


def test_a_call_that_waits_is_cancelled_and_never_runs() -> None:
    gate, ran = Gate(), list[int]()
    with ThreadPool(1) as pool:
        _ = pool.submit(gate)
        task = pool.submit(ran.append, 1)
        assert task.cancel()
        assert task.cancelled()
        assert task.cancel()
        with pytest.raises(CancelledError, match="was cancelled"):
            task.result()
        assert concurrent.futures.wait([task], PATIENCE).done == {task}
        gate.may_end.set()
    assert ran == []


def test_a_call_that_runs_is_asked_to_stop() -> None:
    with ThreadPool(1) as pool:
        task = pool.submit(sleep, LONG)
        until(task.running)
        assert task.cancel()
        with pytest.raises(CancelledError):
            task.result(PATIENCE)
        assert task.cancelled()
        assert pool.submit(int).result(PATIENCE) == 0


def test_a_call_that_does_not_stop_keeps_its_result() -> None:
    gate = Gate()
    with ThreadPool(1) as pool:
        task = pool.submit(gate)
        assert gate.begun.wait(PATIENCE)
        assert task.cancel()
        gate.may_end.set()
        assert task.result(PATIENCE) == 0
        assert not task.cancel()


def test_a_call_has_a_scope_of_its_own() -> None:
    with ThreadPool(1) as pool:

        def cancel_myself() -> None:
            scope = current_scope()
            assert scope is not None
            scope.cancel()
            sleep(LONG)

        task = pool.submit(cancel_myself)
        with pytest.raises(CancelledError):
            task.result(PATIENCE)


def test_a_call_obeys_the_scope_in_which_it_was_submitted() -> None:
    with ThreadPool(2) as pool:
        with CancelScope() as scope:
            task = pool.submit(sleep, LONG)
            until(task.running)
            scope.cancel()
        other = pool.submit(int)
        assert other.result(PATIENCE) == 0
        with pytest.raises(CancelledError):
            task.result(PATIENCE)


def test_nobody_but_the_pool_completes_a_task() -> None:
    gate = Gate()
    with ThreadPool(1) as pool:
        task = pool.submit(gate)
        with pytest.raises(InvalidStateError, match="by the pool that runs it"):
            task.set_result(1)
        with pytest.raises(InvalidStateError, match="by the pool that runs it"):
            task.set_exception(ValueError())
        with pytest.raises(InvalidStateError, match="by the pool that runs it"):
            task.set_running_or_notify_cancel()
        gate.may_end.set()


# -------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be at least 1"),
        ({"max_workers": 2.0}, TypeError, "max_workers must be a whole number"),
        ({"name": 3}, TypeError, "name must be a text"),
        ({"backlog": 0}, ValueError, "backlog must be at least 1"),
        ({"backlog": "5"}, TypeError, "backlog must be a whole number"),
    ],
    ids=str,
)
def test_arguments_of_the_wrong_kind_are_refused(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ThreadPool(**arguments)


def test_what_cannot_be_called_is_refused_at_the_call() -> None:
    async def coroutine() -> None:
        pass

    wrong: Any = 5
    not_a_number: Any = "5"
    with ThreadPool(1) as pool:
        with pytest.raises(TypeError, match="fn must be callable"):
            _ = pool.submit(wrong)
        with pytest.raises(TypeError, match="fn is the coroutine function"):
            _ = pool.submit(coroutine)
        with pytest.raises(TypeError, match=r"iterables\[0\] must be iterable"):
            pool.map(str, wrong)
        with pytest.raises(TypeError, match="buffersize must be a whole number"):
            pool.map(str, [], buffersize=not_a_number)
        with pytest.raises(ValueError, match="buffersize must be at least 1"):
            pool.map(str, [], buffersize=0)
        with pytest.raises(TypeError, match="wait must be True or False"):
            pool.shutdown(wrong)


def test_a_base_exception_goes_to_who_asks_and_ends_only_its_thread() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with ThreadPool(1) as pool:
        with pytest.raises(SystemExit):
            _ = pool.submit(leave).result(PATIENCE)
        assert pool.submit(int).result(PATIENCE) == 0


def test_no_thread_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    from joinable import _runtime  # noqa: PLC0415  what is replaced

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    end, restore = _workers.renew()
    try:
        with ThreadPool(1) as pool:
            monkeypatch.setattr(_runtime, "start_worker", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                _ = pool.submit(int)
            monkeypatch.undo()
            assert pool.submit(int).result(PATIENCE) == 0
    finally:
        end()
        restore()


def test_a_cancelled_caller_does_not_hide_what_it_raises() -> None:
    with CancelScope() as scope, ThreadPool(1) as pool:
        task = pool.submit(int)
        scope.cancel()
        assert task.result(PATIENCE) == 0
        with pytest.raises(Cancelled):
            sleep(1)


def test_who_comes_to_rest_sees_the_end_though_a_call_is_there_and_gone() -> None:
    pool = ThreadPool(2)
    staff = pool._staff
    staff.todo.append(cast("Any", None))  # another worker takes it in a moment
    staff.closed = "shutdown"
    slept: list[float] = []

    class Latch:
        """What is released between the look and the sleep."""

        def release(self) -> None:
            staff.todo.clear()

    def sleep(seconds: float) -> bool:
        slept.append(seconds)
        return False

    told: list[Any] = [Latch()]
    assert not staff.rest(int, sleep, told)
    assert not slept
    assert not told
