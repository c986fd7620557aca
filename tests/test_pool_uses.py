# A scope may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""`ThreadPool`: how it is left, its bound, `map`, and asyncio, one behaviour a test."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest

from joinable import (
    Task,
    ThreadLocal,
    ThreadPool,
    move_on_after,
    sleep,
    spawn,
)
from waiting import LONG, PATIENCE, Gate, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def call_with(gate: Gate) -> Callable[[object], object]:
    return lambda _: gate()


def failing() -> None:
    raise ValueError("as it should")


# -------------------------------------------------------------------- leaving


def test_leaving_the_block_waits_for_all_calls() -> None:
    with ThreadPool(2) as pool:
        tasks = [pool.submit(time.sleep, 0.001) for _ in range(20)]
    assert all(task.done() for task in tasks)
    assert not pool._staff.lanes


def test_leaving_by_an_error_cancels_what_waits_and_stops_what_runs() -> None:
    tasks: list[Task[None]] = []

    def leave() -> None:
        with ThreadPool(2) as pool:
            tasks.extend(pool.submit(sleep, LONG) for _ in range(1000))
            until(tasks[0].running)
            raise KeyError("the block's own")

    with pytest.raises(KeyError, match="the block's own"):
        leave()
    assert all(task.cancelled() for task in tasks)


def test_a_scope_that_is_cancelled_around_it_stops_all() -> None:
    tasks: list[Task[None]] = []
    with move_on_after(0.01) as scope, ThreadPool(2) as pool:
        tasks.extend(pool.submit(sleep, LONG) for _ in range(100))
    assert scope.cancelled_caught
    assert all(task.cancelled() for task in tasks)


def test_shutdown_that_is_not_waited_for_finishes_what_was_taken() -> None:
    gate = Gate()
    pool = ThreadPool(1)
    running, waiting = pool.submit(gate), pool.submit(int)
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        _ = pool.submit(int)
    gate.may_end.set()
    assert running.result(PATIENCE) == waiting.result(PATIENCE) == 0
    pool.shutdown()
    assert not pool._staff.lanes


def test_shutdown_cancels_what_waits_if_it_is_to() -> None:
    gate = Gate()
    pool = ThreadPool(1)
    running, waiting = pool.submit(gate), [pool.submit(int) for _ in range(100)]
    assert gate.begun.wait(PATIENCE)
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(task.cancelled() for task in waiting)
    assert not running.done()
    gate.may_end.set()
    pool.shutdown()
    assert running.result() == 0


def test_a_call_cannot_wait_for_its_own_end() -> None:
    with ThreadPool(1) as pool:
        task = pool.submit(pool.shutdown)
        with pytest.raises(RuntimeError, match="would wait for its own end"):
            task.result(PATIENCE)
        assert pool.submit(pool.shutdown, wait=False).result(PATIENCE) is None


def test_a_pool_that_is_dropped_finishes_what_it_was_given() -> None:
    gate = Gate()
    pool = ThreadPool(1)
    task, later = pool.submit(gate), pool.submit(int)
    del pool
    gate.may_end.set()
    assert task.result(PATIENCE) == later.result(PATIENCE) == 0


def test_an_error_that_nobody_asks_for_is_reported_when_the_task_is_collected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    gc.disable()
    try:
        with ThreadPool(1) as pool:
            task = pool.submit(failing)
            concurrent.futures.wait([task])
            assert reported == []
            del task
            until(lambda: reported)
    finally:
        gc.enable()
    assert reported[0].exc_type is ValueError


def test_an_error_that_was_asked_for_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    with ThreadPool(2) as pool:
        early, late, told, other = (pool.submit(failing) for _ in range(4))
        told.add_done_callback(lambda _: None)
        for task in (early, late):
            assert isinstance(task.exception(PATIENCE), ValueError)
        assert isinstance(other.exception(), ValueError)
        del early, late, told, other, task
        gc.collect()
        unasked = pool.submit(failing)
        concurrent.futures.wait([unasked])
        del unasked  # a mark: what was to be reported before it has been by then
        until(lambda: reported)
    assert len(reported) == 1


# -------------------------------------------------------------------- a bounded queue


def test_submit_waits_until_there_is_room() -> None:
    gate = Gate()
    with ThreadPool(1, backlog=2) as pool:
        first = pool.submit(gate)
        assert gate.begun.wait(PATIENCE)
        waiting = [pool.submit(int) for _ in range(2)]
        submitter = spawn(pool.submit, int, "5")
        until(lambda: pool._staff.queue)
        assert not submitter.done()
        assert len(pool._staff.todo) == 2
        gate.may_end.set()
        assert submitter.result(PATIENCE).result(PATIENCE) == 5
        assert first.result(PATIENCE) == 0
        assert [task.result(PATIENCE) for task in waiting] == [0, 0]


def test_a_bounded_queue_takes_any_number_of_calls_in_order() -> None:
    seen: list[int] = []
    with ThreadPool(1, backlog=1) as pool:
        for number in range(500):
            _ = pool.submit(seen.append, number)
            assert len(pool._staff.todo) <= 1
    assert seen == [*range(500)]


def test_a_wait_for_room_obeys_its_scope() -> None:
    gate, ran = Gate(), list[int]()
    with ThreadPool(1, backlog=1) as pool:
        _ = pool.submit(gate)
        assert gate.begun.wait(PATIENCE)
        _ = pool.submit(int)
        with move_on_after(0.01) as scope:
            _ = pool.submit(ran.append, 1)
        assert scope.cancelled_caught
        assert not pool._staff.queue
        gate.may_end.set()
    assert ran == []


def test_a_call_that_is_cancelled_makes_room() -> None:
    gate = Gate()
    with ThreadPool(1, backlog=1) as pool:
        _ = pool.submit(gate)
        assert gate.begun.wait(PATIENCE)
        waiting = pool.submit(int)
        submitter = spawn(pool.submit, int, "5")
        until(lambda: pool._staff.queue)
        waiting.cancel()
        task = submitter.result(PATIENCE)
        assert not task.done()
        gate.may_end.set()
        assert task.result(PATIENCE) == 5


def test_a_shutdown_ends_the_wait_for_room() -> None:
    gate = Gate()
    pool = ThreadPool(1, backlog=1)
    _ = pool.submit(gate)
    assert gate.begun.wait(PATIENCE)
    _ = pool.submit(int)
    submitter = spawn(pool.submit, int)
    until(lambda: pool._staff.queue)
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="after shutdown"):
        _ = submitter.result(PATIENCE)
    gate.may_end.set()
    pool.shutdown()


def test_a_call_that_waits_for_room_lends_its_place() -> None:
    with ThreadPool(1, backlog=1) as pool:

        def flood() -> int:
            return sum(task.result() for task in [pool.submit(int, "1") for _ in range(20)])

        assert pool.submit(flood).result(PATIENCE) == 20


# -------------------------------------------------------------------- map


def test_map_gives_the_results_in_order() -> None:
    with ThreadPool(3) as pool:
        assert list(pool.map(pow, [2, 3, 4], [5, 2])) == [32, 9]
        assert list(pool.map(str, [], timeout=1, chunksize=5)) == []
        assert list(pool.map(str, range(100), buffersize=3)) == [*map(str, range(100))]


def test_map_with_a_buffer_takes_from_an_endless_input() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    with ThreadPool(2) as pool:
        results = pool.map(str, numbers(), buffersize=4)
        assert len(taken) == 4
        assert [next(results) for _ in range(10)] == [*map(str, range(10))]
        assert len(taken) == 14


def test_map_raises_the_error_of_a_call_in_its_place_and_cancels_what_comes_behind_it() -> None:
    gate, begun = Gate(), list[int]()

    def call(number: int) -> object:
        begun.append(number)
        if number == 1:
            failing()
        return gate() if number > 1 else number

    with ThreadPool(1) as pool:
        results = pool.map(call, range(100))
        assert next(results) == 0
        with pytest.raises(ValueError, match="as it should"):
            next(results)
        gate.may_end.set()
    assert begun[:2] == [0, 1]
    assert len(begun) <= 3  # the worker may have begun one before it was cancelled


def test_map_that_is_late_says_so() -> None:
    gate = Gate()
    with ThreadPool(1) as pool:
        results = pool.map(call_with(gate), [1, 2], timeout=0.01)
        with pytest.raises(TimeoutError):
            next(results)
        gate.may_end.set()


def test_map_cancels_what_it_has_submitted_when_its_input_fails() -> None:
    gate = Gate()

    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        failing()

    with ThreadPool(1) as pool:
        with pytest.raises(ValueError, match="as it should"):
            pool.map(call_with(gate), numbers())
        gate.may_end.set()


# -------------------------------------------------------------------- asyncio


def test_an_event_loop_runs_its_calls_in_it() -> None:
    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        with ThreadPool(2) as pool:
            one = await loop.run_in_executor(pool, divmod, 20, 7)
            return one[0], await pool.submit(int, "6")

    assert asyncio.run(main()) == (2, 6)


def test_a_coroutine_that_is_cancelled_cancels_the_call() -> None:
    async def main() -> bool:
        with ThreadPool(1) as pool:
            begun = asyncio.Event()
            tell = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, begun.set)

            def call() -> None:
                tell()
                sleep(LONG)

            task = pool.submit(call)

            async def wait() -> None:
                await task

            waiter = asyncio.ensure_future(wait())
            await begun.wait()
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            return task.cancelled()

    assert asyncio.run(main())


def test_what_a_call_has_made_for_itself_is_closed_before_anybody_has_its_result() -> None:
    closed: list[int] = []
    numbers = itertools.count()
    local = ThreadLocal(lambda: next(numbers), on_exit=closed.append)

    def fail() -> None:
        local.get()
        raise ValueError("as it should")

    with ThreadPool(2) as pool:
        assert pool.submit(local.get).result() == 0
        assert closed == [0]
        assert isinstance(pool.submit(fail).exception(), ValueError)
        assert closed == [0, 1]
        assert pool.submit(local.get).result() == 2
