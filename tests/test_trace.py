"""What a recording knows: every kind of call, its end, its waits, and nothing that is alive."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from joinable import (
    Cancelled,
    CancelScope,
    DeadlineExceeded,
    Task,
    TaskGroup,
    Thread,
    ThreadPool,
    _events,
    _workers,
    checkpoint,
    move_on_after,
    run_all,
    run_any,
    run_each,
    sleep,
    spawn,
    sync,
)
from joinable.testing import FakeClock, explore, no_leaks
from joinable.trace import Summary, TaskFacts, Timeline, record
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 60


def fail() -> None:
    raise ValueError("no <such> thing")


def free() -> None:
    """Succeed."""


def named(summary: Summary) -> dict[str, TaskFacts]:
    found = {task.name: task for task in summary.tasks}
    assert len(found) == len(summary.tasks), "two tasks have the same name"
    return found


def outcomes(timeline: Timeline) -> dict[str, str]:
    return {name: task.outcome for name, task in named(timeline.summary()).items()}


# -------------------------------------------------------------------- every kind of call


def test_a_thread_is_a_task_with_its_name_its_place_and_its_thread() -> None:
    with record() as timeline:
        first = Thread(target=int, name="first")
        first.start()
        first.join()
        thread = spawn(int)
        thread.result()
        thread.join()
    by_name = named(timeline.summary())
    assert by_name["first"].thread == "first"
    assert by_name[thread.name].outcome == "ok"
    place = by_name[thread.name].place
    assert place is not None
    assert place.startswith(f"{__file__}:")


def test_calls_of_run_all_are_tasks_and_a_mapping_names_them() -> None:
    with record() as timeline:
        run_all([int, str])
        run_all({"a": int, "b": str}, max_workers=1)
    assert outcomes(timeline) == dict.fromkeys(
        ["run_all-0 (int)", "run_all-1 (str)", "run_all-'a' (int)", "run_all-'b' (str)"], "ok"
    )


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("buffersize", [0, 64, None])
def test_calls_of_run_each_are_tasks_each_with_its_item(
    buffersize: int | None, ordered: bool
) -> None:
    items = [*range(50)]
    with record() as timeline:
        got = run_each(abs, items, max_workers=4, buffersize=buffersize, ordered=ordered)
        assert sorted(got) == items
    assert outcomes(timeline) == {f"run_each-{n} (abs {n})": "ok" for n in items}


def test_the_arguments_of_run_each_are_shown_only_where_that_runs_no_code_of_the_users() -> None:
    class Item:
        def __repr__(self) -> str:
            raise AssertionError("nobody is to ask")

    with record() as timeline:
        assert list(run_each(id, [Item()], max_workers=1)) != []
        assert list(run_each(pow, [2], [3], max_workers=1)) == [8]
    assert [task.name for task in timeline.summary().tasks] == [
        "run_each-0 (id)",
        "run_each-0 (pow)",
    ]


def test_calls_of_groups_pools_and_run_any_are_tasks() -> None:
    with record() as timeline:
        with TaskGroup(name="group") as group:
            group.spawn(int)
        with ThreadPool(1, name="pool") as pool:
            pool.submit(str).result()
            list(pool.map(abs, [1]))
        run_any([fail, free], stagger=PATIENCE)  # the next starts when one fails
    found = outcomes(timeline)
    assert found.pop("run_any-1 (fail)") == "failed"  # though the error is dropped
    wanted = ["group-1 (int)", "pool-1 (str)", "pool-2 (abs)", "run_any-2 (free)"]
    assert found == dict.fromkeys(wanted, "ok")


def test_calls_that_an_executor_of_this_process_runs_are_on_its_threads() -> None:
    with ThreadPoolExecutor(1, "theirs") as executor, record() as timeline:
        run_all([int, str], executor=executor)
        list(run_each(abs, [1], executor=executor))
    tasks = named(timeline.summary())
    assert sorted(tasks) == ["run_all-0 (int)", "run_all-1 (str)", "run_each-0 (abs 1)"]
    assert {task.thread for task in tasks.values()} == {"theirs_0"}


def test_calls_that_run_in_other_processes_have_places_of_their_own() -> None:
    with ProcessPoolExecutor(1) as executor, record() as timeline:
        assert list(run_each(abs, [-1, -2], executor=executor)) == [1, 2]
        with suppress(ValueError):
            run_all([fail], executor=executor)
    summary = timeline.summary()
    tasks = named(summary)
    assert {name: task.outcome for name, task in tasks.items()} == {
        "run_each-0 (abs -1)": "ok",
        "run_each-1 (abs -2)": "ok",
        "run_all-0 (fail)": "failed",
    }
    assert {task.thread for task in tasks.values()} <= {
        "ProcessPoolExecutor 1",
        "ProcessPoolExecutor 2",
    }


# -------------------------------------------------------------------- every ending


def test_a_failure_is_told_with_the_beginning_of_its_message() -> None:
    class OddError(Exception):
        @property
        def args(self) -> tuple[object, ...]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
            raise AssertionError("nobody is to ask")

    def odd() -> None:
        raise OddError("x")

    with record() as timeline:
        run_all([fail, odd], return_exceptions=True)
        thread = spawn(fail)
        with suppress(ValueError):
            thread.result()
        thread.join()
        with suppress(ExceptionGroup), TaskGroup() as group:
            group.spawn(fail)
    errors = [task.error for task in timeline.summary().failures]
    assert sorted(map(str, errors)) == ["OddError: x"] + ["ValueError: no <such> thing"] * 3


def test_what_was_told_to_stop_is_cancelled_whatever_has_run_it() -> None:
    begun = sync.Semaphore(0)

    def wait() -> None:
        begun.release()
        sleep(PATIENCE)

    def stop_when_begun(count: int, stop: Callable[[], object]) -> None:
        for _ in range(count):
            begun.acquire()
        stop()

    with record() as timeline:
        scope = CancelScope()
        stopper = spawn(stop_when_begun, 2, scope.cancel)
        with scope:
            run_all([wait, wait])
        stopper.join()
        thread = spawn(wait)
        stop_when_begun(1, thread.cancel)
        thread.join()
        with TaskGroup(name="group") as group:
            group.spawn(wait)
            stop_when_begun(1, group.cancel)
        with run_each(lambda _: wait(), [1], max_workers=1):
            stop_when_begun(1, int)
        with ThreadPool(1, name="pool") as pool:
            task = pool.submit(wait)
            stop_when_begun(1, task.cancel)
    found = outcomes(timeline)
    assert found.pop(stopper.name) == "ok"
    assert len(found) == 6
    assert set(found.values()) == {"cancelled"}


def test_what_is_cancelled_before_its_start_is_counted_and_never_runs() -> None:
    with record() as timeline:
        thread = Thread(target=int)
        thread.cancel()
        gate = threading.Event()
        with ThreadPool(1) as pool:
            _ = pool.submit(gate.wait)
            pool.submit(int).cancel()
            gate.set()
    summary = timeline.summary()
    assert summary.never_begun == 2
    assert len(summary.tasks) == 1


def test_an_abandoned_thread_runs_on_until_it_has_really_ended() -> None:
    gate = threading.Event()
    with record() as timeline:
        thread = Thread(target=gate.wait, timeout=0, name="stuck")
        thread.start()
        with pytest.raises(DeadlineExceeded):
            thread.result()
        # Who finds the outcome without a wait may find it before the end is told.
        until(lambda: timeline.summary().tasks[0].outcome != "running", PATIENCE)
        early = timeline.summary().tasks[0]
        gate.set()
        thread.join()
        late = timeline.summary().tasks[0]
    for facts in (early, late):
        assert (facts.name, facts.outcome, facts.thread) == ("stuck", "given up", "stuck")
        assert facts.error is not None
        assert facts.error.startswith("DeadlineExceeded")
    assert late.seconds > early.seconds
    assert timeline.summary().tasks[0] == late  # it does not grow any more
    assert timeline.summary().failures == (late,)


def test_a_call_that_a_group_gives_up_is_one_too() -> None:
    gate, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait()

    with record() as timeline:
        with suppress(ExceptionGroup), TaskGroup(grace=0, name="group") as group:
            group.spawn(work)
            begun.wait()
            group.cancel()
        (running,) = timeline.summary().tasks
        assert running.outcome == "given up"
        (thread,) = [each for each in threading.enumerate() if each.name == "group-1 (work)"]
        gate.set()
        assert ends_or_rests(thread)
        (ended,) = timeline.summary().tasks
    assert (ended.outcome, ended.thread) == ("given up", running.thread)
    assert timeline.summary().tasks == (ended,)  # it does not grow any more
    assert ended.seconds > running.seconds


def ends_or_rests(thread: threading.Thread) -> bool:
    end = time.monotonic() + PATIENCE
    while thread.is_alive() and thread not in _workers.idle():
        if time.monotonic() > end:
            return False
        thread.join(0.01)
    return True


def test_what_still_runs_is_told_as_running_until_the_end_of_the_block() -> None:
    gate, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait()

    with record() as timeline:
        thread = spawn(work)
        begun.wait()
        first = timeline.summary().tasks[0]
        second = timeline.summary().tasks[0]
    gate.set()
    thread.result()
    last = timeline.summary().tasks[0]
    assert [facts.outcome for facts in (first, second, last)] == ["running"] * 3
    assert first.seconds <= second.seconds <= last.seconds
    assert last.start + last.seconds == pytest.approx(timeline.summary().seconds)


# -------------------------------------------------------------------- waits


def test_waits_of_every_kind_are_seen_in_the_task_that_waits() -> None:
    lock, queue, event = sync.Lock(), sync.Queue[int](), sync.Event()
    waits: dict[str, Callable[[], object]] = {
        "Lock": lambda: lock.acquire(timeout=0.01),
        "Queue": queue.get,
        "Event": lambda: event.wait(0.01),
        "sleep": lambda: sleep(0.01),
        "result": lambda: spawn(sleep, 0.01).result(),
        "join": lambda: spawn(sleep, 0.01).join(),
        "run_all": lambda: run_all([lambda: sleep(0.01)]),
        "run_each": lambda: list(run_each(sleep, [0.01])),
    }
    queue.put(1)
    found: dict[str, TaskFacts] = {}
    # A timed wait may be cut by a hair.
    least: dict[str, float] = dict.fromkeys(("Lock", "Event", "sleep"), 0.009)
    with record() as timeline, lock:
        for name, wait in waits.items():

            def is_seen(name: str = name, wait: Callable[[], object] = wait) -> bool:
                # What is waited for may be over by then, or nearly: the time that a wait is to take
                # begins before it, and on a busy machine long before. So once more.
                spawn_named(f"{name} {len(timeline.summary().tasks)}", wait)
                found[name] = [
                    task for task in timeline.summary().tasks if task.name.startswith(f"{name} ")
                ][-1]
                return found[name].waiting >= least.get(name, 1e-9) or name == "Queue"

            until(is_seen, PATIENCE)
    assert all(task.waiting <= task.seconds for task in found.values())
    assert found["Queue"].waiting == 0  # there was something


def spawn_named(name: str, call: Callable[[], object]) -> None:
    thread = Thread(target=call, name=name)
    thread.start()
    thread.result()
    thread.join()


def test_a_wait_that_ends_by_an_error_ends_for_the_recording_too() -> None:
    def wait() -> None:
        with suppress(TimeoutError):
            spawn(sleep, PATIENCE).result(timeout=0.1)
        with move_on_after(0.1):
            sleep(PATIENCE)

    def wait_and_stop() -> None:
        wait()
        group.cancel()

    with record() as timeline, TaskGroup() as group:
        group.spawn(wait_and_stop)
        with suppress(Cancelled):
            sleep(PATIENCE)
        for thread in threading.enumerate():
            if isinstance(thread, Thread):
                thread.cancel()
                thread.join()
    main, *others = timeline.summary().threads
    assert main.name == threading.current_thread().name
    assert main.waiting > 0.01  # not 0.2: it may have begun late
    assert all(thread.idle >= 0 for thread in others)
    waiting = [task for task in timeline.summary().tasks if "wait_and" in task.name]
    assert 0.1 < waiting[0].waiting < PATIENCE  # not 0.2: the time begins before the wait


def test_the_parent_of_a_task_is_the_one_that_has_spawned_it() -> None:
    with record() as timeline, TaskGroup(name="outer") as group:

        def work() -> None:
            with TaskGroup(name="inner") as inner:
                inner.spawn(lambda: run_all([int]))

        group.spawn(work)
    found = named(timeline.summary())
    assert found["outer-1 (work)"].parent is None
    assert found["inner-1 (<lambda>)"].parent == "outer-1 (work)"
    assert found["run_all-0 (int)"].parent == "inner-1 (<lambda>)"


# -------------------------------------------------------------------- the ring, and what it holds


def test_the_oldest_are_dropped_and_counted_and_what_runs_is_not() -> None:
    gate, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait()

    with record(capacity=10) as timeline:
        thread = spawn(work)
        begun.wait()
        list(run_each(abs, range(100), max_workers=1, buffersize=None))
        summary = timeline.summary()
        gate.set()
        thread.result()
    names = {task.name for task in summary.tasks}
    assert thread.name in names  # though it was the first
    assert "run_each-99 (abs 99)" in names
    assert "run_each-0 (abs 0)" not in names
    assert len(names) <= 11
    assert summary.dropped >= 90  # and waits of this thread
    assert f"dropped  {summary.dropped} " in str(summary)


def test_nothing_of_a_finished_task_is_kept_alive() -> None:
    class Thing:
        def __call__(self) -> Thing:
            return self

        def use(self, _: object = None) -> Thing:
            return self

    with record() as timeline:
        things = [Thing() for _ in range(6)]
        refs: list[weakref.ref[object]] = [weakref.ref(thing) for thing in things]
        group, tasks = TaskGroup(), list[Task[Thing]]()
        with group:
            tasks.append(group.spawn(things.pop().use))
        with ThreadPool(1) as pool:
            tasks.append(pool.submit(things.pop().use))
        run_all([things.pop()])
        list(run_each(id, [things.pop()]))
        list(run_each(id, [things.pop()], buffersize=None))
        thread = spawn(things.pop().use)
        thread.join()
        refs.append(weakref.ref(tasks[0]))
        refs.append(weakref.ref(tasks[1]))
        refs.append(weakref.ref(thread))
        del group, pool, tasks, thread
        gc.collect()
        assert [ref() for ref in refs] == [None] * 9
    assert len(timeline.summary().tasks) == 6


def test_all_is_counted_when_many_threads_are_seen_at_once() -> None:
    count = 400
    with record(capacity=100 * count) as timeline, record(capacity=count) as small:
        run_all([lambda: list(run_each(abs, range(count), max_workers=1, buffersize=None))] * 8)
    summary = timeline.summary()
    assert len(summary.tasks) == 8 * count + 8
    assert summary.dropped == 0
    assert small.summary().dropped >= 7 * count
    kept = [task for task in small.summary().tasks if task.name.startswith("run_each")]
    assert len(kept) <= count


def test_a_recording_can_be_looked_at_while_others_write_to_it() -> None:
    with record(capacity=10) as small, record() as timeline:
        counts: list[int] = []

        def look() -> None:
            while len(counts) < 20:
                counts.append(len(timeline.summary().tasks))
                assert len(small.summary().tasks) <= 10 + 4  # the others run

        looking = spawn(look)
        while not looking.done():
            with TaskGroup(max_workers=3) as group:
                for _ in range(20):
                    group.spawn(checkpoint)
        looking.result()
    assert counts == sorted(counts)  # what ends at that very moment is not overlooked


def test_whose_end_was_waited_for_has_ended_in_the_recording() -> None:
    def program() -> None:
        with ThreadPool(1) as pool, record() as timeline, TaskGroup() as group:
            for number, start in enumerate((spawn, pool.submit, group.spawn), 1):
                start(sleep, 1).result()
                assert timeline.summary().count("ok") == number

    explore(program, runs=50)


# -------------------------------------------------------------------- coming and going


def test_observers_are_gone_after_the_block_also_after_an_error() -> None:
    before = _events.observers
    with pytest.raises(ZeroDivisionError), record(), record():
        assert len(_events.observers) == len(before) + 2
        _ = 1 / 0
    assert _events.observers == before


def test_recordings_may_overlap_and_each_has_its_own() -> None:
    first, second = record(), record()
    with first:
        run_all([int])
        with second:
            run_all([str])
    with record() as third:
        pass
    assert [task.name for task in first.summary().tasks] == ["run_all-0 (int)", "run_all-0 (str)"]
    assert [task.name for task in second.summary().tasks] == ["run_all-0 (str)"]
    assert third.summary().tasks == ()


def test_what_had_begun_before_is_not_shown() -> None:
    gate, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait()

    thread = spawn(work)
    begun.wait()
    with record() as timeline:
        gate.set()
        thread.join()
    assert timeline.summary().tasks == ()


def test_misuse_is_refused() -> None:
    for capacity in (0, -1):
        with pytest.raises(ValueError, match="capacity must be at least 1"):
            record(capacity=capacity)
    with pytest.raises(TypeError, match="capacity must be a whole number"):
        record(capacity=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    timeline = record()
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        timeline.summary()
    assert repr(timeline) == "<Timeline: not entered>"
    with timeline:
        assert repr(timeline).startswith("<Timeline: recording; 1 threads")
    with pytest.raises(RuntimeError, match="once"), timeline:
        pass
    assert repr(timeline).startswith("<Timeline: ended")


def test_it_records_the_time_of_a_fake_clock_and_breaks_nothing() -> None:
    with FakeClock(autojump=True), record() as timeline:
        spawn(sleep, 1000).result()
    (task,) = timeline.summary().tasks
    assert task.waiting == pytest.approx(1000)
    with record() as around, FakeClock(autojump=True):
        spawn(sleep, 1000).result()
    assert around.summary().count("ok") == 1


def test_it_works_under_any_schedule() -> None:
    def program() -> None:
        with no_leaks(), record() as timeline:
            with TaskGroup() as group:
                group.spawn(int)
                group.spawn(int)
            run_all([int, int])
        assert timeline.summary().count("ok") == 4

    explore(program, strategy="random", runs=50)
