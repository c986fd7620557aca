"""`statistics()`: frozen records of what groups, pools, locks and queues are at."""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import dataclasses
import inspect
import threading
from typing import TYPE_CHECKING, Any

import pytest

import joinable
from joinable import (
    GroupStatistics,
    PoolStatistics,
    TaskGroup,
    ThreadPool,
    run_all,
    spawn,
    sync,
)
from joinable import _statistics as records
from waiting import PATIENCE, Gate, until

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_group_counts_what_runs_waits_has_ended_and_has_failed() -> None:
    gate = Gate()
    group = TaskGroup(max_workers=2, name="g")
    with group:
        quick = group.spawn(int)
        quick.result()
        tasks = [group.spawn(gate) for _ in range(5)]
        until(lambda: group.statistics().running == 2, PATIENCE)
        assert group.statistics() == GroupStatistics("open", 6, 2, 3, 1, 0, 2)
        gate.may_end.set()
    assert all(task.done() for task in tasks)
    assert group.statistics() == GroupStatistics("it has ended", 6, 0, 0, 6, 0, 2)


def test_a_group_counts_its_failures_also_when_they_were_raised() -> None:
    with pytest.raises(ExceptionGroup), TaskGroup() as group:
        group.spawn(int, "x")
    told = group.statistics()
    assert (told.state, told.failed, told.done) == ("it has failed", 1, 1)


def test_a_call_that_was_refused_is_not_counted() -> None:
    with TaskGroup() as group:
        group.cancel()
        with pytest.raises(joinable.GroupClosed):
            group.spawn(int)
    assert group.statistics().spawned == 0


def test_a_pool_counts_its_calls_and_threads() -> None:
    gate = Gate()
    with ThreadPool(2, backlog=10) as pool:
        failed = pool.submit(int, "x")
        assert isinstance(failed.exception(), ValueError)
        tasks = [pool.submit(gate) for _ in range(5)]
        until(lambda: pool.statistics().running == 2, PATIENCE)
        assert pool.statistics() == PoolStatistics(
            state="open",
            submitted=6,
            running=2,
            waiting=3,
            done=1,
            failed=1,
            threads=2,
            idle=0,
            max_workers=2,
            backlog=10,
        )
        gate.may_end.set()
    assert all(task.done() for task in tasks)
    told = pool.statistics()
    assert (told.state, told.submitted, told.done, told.failed) == ("shutdown", 6, 6, 1)


def test_a_pool_counts_neither_what_it_refuses_nor_a_cancelled_call_as_failed() -> None:
    gate = Gate()
    with ThreadPool(1) as pool:
        running = pool.submit(gate)
        waiting = pool.submit(int)
        waiting.cancel()
        gate.may_end.set()
    with pytest.raises(RuntimeError):
        _ = pool.submit(int)
    assert running.done()
    told = pool.statistics()
    assert (told.submitted, told.done, told.failed) == (2, 2, 0)


def test_counts_of_a_pool_are_right_when_many_threads_have_submitted() -> None:
    with ThreadPool(4) as pool:
        run_all([lambda: [pool.submit(abs, n) for n in range(500)]] * 4)
    told = pool.statistics()
    assert (told.submitted, told.done, told.running, told.waiting) == (2000, 2000, 0, 0)


def test_counts_of_a_group_never_exceed_what_was_spawned() -> None:
    over = threading.Event()
    seen: list[GroupStatistics] = []

    def look(group: TaskGroup) -> None:
        while not over.is_set():
            seen.append(group.statistics())

    with TaskGroup(max_workers=3) as group:
        looker = spawn(look, group)
        for task in [group.spawn(abs, n) for n in range(2000)]:
            task.result()
        over.set()
        looker.result()
    looker.join()
    assert all(each.running + each.waiting + each.done == each.spawned for each in seen)
    assert group.statistics().done == 2000


def asleep(wait: Callable[[], object], count: Callable[[], int]) -> joinable.Thread[object]:
    """Start a thread that waits, and return it when it does."""
    thread = spawn(wait)
    until(lambda: count() == 1, PATIENCE)
    return thread


def test_a_lock_counts_who_waits() -> None:
    lock = sync.Lock()
    with lock:
        thread = asleep(lock.acquire, lambda: lock.statistics().waiting)
        assert lock.statistics() == sync.LockStatistics(locked=True, waiting=1)
    thread.join()
    assert lock.statistics() == sync.LockStatistics(locked=True, waiting=0)


def test_a_condition_counts_who_waits() -> None:
    condition = sync.Condition()

    def wait() -> None:
        with condition:
            condition.wait()

    thread = asleep(wait, lambda: condition.statistics().waiting)
    with condition:
        condition.notify()
    thread.join()
    assert condition.statistics() == sync.ConditionStatistics(waiting=0)


def test_an_event_counts_who_waits() -> None:
    event = sync.Event()
    thread = asleep(event.wait, lambda: event.statistics().waiting)
    event.set()
    thread.join()
    assert event.statistics() == sync.EventStatistics(is_set=True, waiting=0)


@pytest.mark.parametrize(("kind", "bound"), [(sync.Semaphore, None), (sync.BoundedSemaphore, 1)])
def test_a_semaphore_counts_permits_and_who_waits(
    kind: type[sync.Semaphore], bound: int | None
) -> None:
    permits = kind(1)
    assert permits.statistics() == sync.SemaphoreStatistics(value=1, waiting=0, bound=bound)
    with permits:
        thread = asleep(permits.acquire, lambda: permits.statistics().waiting)
        assert permits.statistics() == sync.SemaphoreStatistics(value=0, waiting=1, bound=bound)
    thread.join()


def test_a_barrier_counts_who_is_there() -> None:
    barrier = sync.Barrier(2)
    thread = asleep(barrier.wait, lambda: barrier.statistics().waiting)
    assert barrier.statistics() == sync.BarrierStatistics(parties=2, waiting=1, broken=False)
    barrier.abort()
    assert isinstance(thread.exception(), threading.BrokenBarrierError)
    thread.join()
    assert barrier.statistics().broken


@pytest.mark.parametrize("kind", [sync.Queue, sync.LifoQueue, sync.PriorityQueue])
def test_a_queue_counts_items_and_who_waits_for_what(kind: type[sync.Queue[int]]) -> None:
    jobs = kind(1)
    getter = asleep(jobs.get, lambda: jobs.statistics().getting)
    jobs.put(1)
    getter.join()
    jobs.put(2)
    putter = asleep(lambda: jobs.put(3), lambda: jobs.statistics().putting)
    joiner = asleep(jobs.join, lambda: jobs.statistics().joining)
    assert jobs.statistics() == sync.QueueStatistics(
        size=1, maxsize=1, unfinished=2, getting=0, putting=1, joining=1, is_shutdown=False
    )
    jobs.shutdown(immediate=True)
    assert isinstance(putter.exception(), sync.ShutDown)
    jobs.task_done()
    for thread in (putter, joiner):
        thread.join()
    assert jobs.statistics().is_shutdown


@pytest.mark.parametrize("name", records.__all__)
def test_a_record_is_frozen_and_slotted_and_every_number_of_it_is_documented(name: str) -> None:
    record: Any = getattr(records, name)
    fields = dataclasses.fields(record)
    made = record(*range(len(fields)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, fields[0].name, 0)
    assert not hasattr(made, "__dict__")
    for field in fields:
        assert f"\n    {field.name}: " in inspect.cleandoc(record.__doc__)
