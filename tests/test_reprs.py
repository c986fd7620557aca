"""The repr of every public object tells its state, and never raises or waits."""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import threading
from contextvars import ContextVar
from dataclasses import is_dataclass
from typing import TYPE_CHECKING

import pytest

import joinable
from joinable import (
    CancelScope,
    Task,
    TaskGroup,
    Thread,
    ThreadLocal,
    ThreadPool,
    bind,
    fail_after,
    run_each,
    shield,
    sleep,
    spawn,
    sync,
    testing,
)
from waiting import PATIENCE, Gate, until

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable


def is_protocol(kind: type) -> bool:
    return bool(vars(kind).get("_is_protocol", False))


def public_classes() -> list[type]:
    """Return every class that the package promises, but errors, whose repr is Python's own."""
    found = pkgutil.iter_modules(joinable.__path__, "joinable.")
    modules = ["joinable", *(m.name for m in found if not m.name.startswith("joinable._"))]
    names = {
        getattr(module, name)
        for module in map(importlib.import_module, modules)
        for name in getattr(module, "__all__", ())
    }
    # Nor records, which are made whole or not at all, nor protocols, of which nothing is made.
    classes = {
        each
        for each in names
        if inspect.isclass(each) and not is_dataclass(each) and not is_protocol(each)
    }
    return sorted(
        (each for each in classes if not issubclass(each, BaseException)),
        key=lambda each: each.__name__,
    )


@pytest.mark.parametrize("kind", public_classes(), ids=lambda kind: kind.__name__)
def test_one_whose_constructor_has_not_run_has_a_repr(kind: type[object]) -> None:
    text = repr(object.__new__(kind))
    assert kind.__name__ in text


@pytest.mark.parametrize("kind", public_classes(), ids=lambda kind: kind.__name__)
def test_every_class_has_a_repr_of_its_own(kind: type) -> None:
    assert getattr(kind, "__repr__") is not getattr(object, "__repr__")  # noqa: B009  for mypy


def test_a_task_tells_its_outcome() -> None:
    task: Task[int] = Task()
    words = [repr(task)]
    task.set_running_or_notify_cancel()
    words.append(repr(task))
    task.set_result(1)
    words.append(repr(task))
    assert words == ["<Task(task, pending)>", "<Task(task, running)>", "<Task(task, returned int)>"]


def test_a_thread_tells_its_outcome_and_its_ident() -> None:
    thread = Thread(target=int, name="one")
    assert repr(thread) == "<Thread(one, pending, initial)>"
    thread.start()
    thread.join()
    assert re.fullmatch(r"<Thread\(one, returned int, stopped \d+\)>", repr(thread))


def test_a_group_tells_its_counts() -> None:
    gate = Gate()
    with TaskGroup(name="g", max_workers=1) as group:
        group.spawn(gate)
        group.spawn(gate)
        assert gate.begun.wait(PATIENCE)
        assert repr(group) == "<TaskGroup g: open; 1 running, 1 waiting>"
        gate.may_end.set()
    assert repr(group) == "<TaskGroup g: it has ended; 0 running, 0 waiting>"


def test_a_pool_tells_its_counts() -> None:
    gate = Gate()
    with ThreadPool(1, name="p") as pool:
        tasks = [pool.submit(gate), pool.submit(gate)]
        assert gate.begun.wait(PATIENCE)
        assert repr(pool) == "<ThreadPool p: open; 1 running, 1 waiting>"
        assert repr(tasks[0]) == "<Task(p-1 (Gate), running)>"
        assert repr(tasks[1]) == "<Task(p-2 (Gate), pending)>"
        gate.may_end.set()
    assert repr(pool) == "<ThreadPool p: closed by shutdown; 0 running, 0 waiting>"


def test_a_scope_tells_its_state_who_waits_and_that_it_is_a_shield() -> None:
    scope = CancelScope()
    assert repr(scope) == "<CancelScope not entered>"
    with scope:
        thread = spawn(sleep, 1000)
        until(lambda: ", 1 waiting" in repr(scope), PATIENCE)
        scope.cancel()
        assert ", cancelled" in repr(scope)
    thread.join()
    with shield(5) as shielding, fail_after(5) as limited:
        assert ", a shield" in repr(shielding)
        assert re.search(r", (5|4\.\d+) s left", repr(limited))


def test_a_callback_tells_whether_it_was_called() -> None:
    with CancelScope() as scope:
        callback = scope.on_cancel(int)
        removed = scope.on_cancel(int)
        assert repr(callback) == "<CancelCallback waiting>"
        removed.remove()
        scope.cancel()
        assert repr(callback) == "<CancelCallback called>"
        assert repr(removed) == "<CancelCallback removed>"


def test_a_stream_tells_how_far_it_is() -> None:
    with run_each(abs, [-1, -2], max_workers=1) as stream:
        assert next(stream) == 1
        until(lambda: "2 items taken, 1 results used" in repr(stream), PATIENCE)
        assert list(stream) == [2]
    assert repr(stream) == "<Stream: it has ended>"


def test_a_thread_local_tells_whether_there_is_a_value_and_makes_none() -> None:
    local = ThreadLocal(dict[str, int])
    assert repr(local).endswith("per='task'): no value here>")
    local.get()
    assert repr(local).endswith("per='task'): a value here>")


def test_a_bind_tells_whether_it_is_in_force() -> None:
    block = bind(ContextVar[int]("number"), 1)
    assert repr(block) == "<bind of 1: not in force>"
    with block:
        assert repr(block) == "<bind of 1: in force>"


@pytest.mark.parametrize(
    ("made", "facts"),
    [
        (sync.Condition(), "0 waiting, <unlocked .*RLock.*>"),
        (sync.Event(), "unset, 0 waiting"),
        (sync.Semaphore(3), "value=3, 0 waiting"),
        (sync.BoundedSemaphore(3), "value=3/3, 0 waiting"),
        (sync.Barrier(2), "waiters=0/2"),
        (sync.Queue[int](5), "0 of 5 items"),
        (sync.LifoQueue[int](), "0 items"),
        (sync.PriorityQueue[int](), "0 items"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_is_waited_for_tells_its_state(made: object, facts: str) -> None:
    name = type(made).__name__
    assert re.fullmatch(rf"<joinable\.sync\.{name} at 0x[0-9a-f]+: {facts}>", repr(made))


def test_a_lock_tells_its_state() -> None:
    lock = sync.Lock()
    assert repr(lock).startswith("<unlocked joinable.sync.Lock object at 0x")
    with lock:
        thread = spawn(lock.acquire)
        until(lambda: repr(lock).endswith(": 1 waiting>"), PATIENCE)
        assert repr(lock).startswith("<locked ")
    thread.join()


def test_a_queue_that_was_shut_down_tells_it() -> None:
    jobs: sync.Queue[int] = sync.Queue()
    jobs.put(1)
    jobs.shutdown()
    assert repr(jobs).endswith(": 1 items, shut down>")


def test_a_fake_clock_tells_the_time() -> None:
    clock = testing.FakeClock()
    assert repr(clock) == "<FakeClock: not installed>"
    with clock:
        clock.advance(90)
        assert repr(clock) == "<FakeClock: installed, 90 s have passed>"
    assert repr(clock) == "<FakeClock: not installed any more, 90 s have passed>"


def test_a_sequencer_and_its_steps_tell_what_is_next() -> None:
    seq = testing.Sequencer()
    with seq(0):
        pass
    assert repr(seq) == "<Sequencer(next step 1, waiting: none)>"
    assert repr(seq(5)) == "<step 5 of <Sequencer(next step 1, waiting: none)>>"


def test_no_leaks_tells_whether_it_is_in_use() -> None:
    block = testing.no_leaks()
    assert repr(block) == "<no_leaks: not in use>"
    with block:
        assert repr(block) == "<no_leaks: in use>"


def things() -> list[tuple[object, Callable[[], contextlib.AbstractContextManager[object]]]]:
    """Return objects, each with what holds a lock that guards its state."""
    group, pool, task, lock = TaskGroup(), ThreadPool(1), Task[int](), sync.Lock()
    scope, event, jobs = CancelScope(), sync.Event(), sync.Queue[int]()
    seq = testing.Sequencer()
    return [
        (group, lambda: group._crew.lock),
        (pool, lambda: pool._staff.lock),
        (task, lambda: task._mutex),
        (lock, lambda: lock._mutex),
        (scope, lambda: scope._lock),
        (event, lambda: event._cond),
        (jobs, lambda: jobs.mutex),
        (seq, lambda: seq._mutex),
    ]


@pytest.mark.parametrize(("thing", "hold"), things(), ids=lambda each: type(each).__name__)
def test_no_repr_waits_for_a_lock(
    thing: object, hold: Callable[[], contextlib.AbstractContextManager[object]]
) -> None:
    shown: list[str] = []
    with hold():
        looker = threading.Thread(target=lambda: shown.append(repr(thing)))
        looker.start()
        looker.join(PATIENCE)
        assert not looker.is_alive(), "it waits"
    assert shown


def test_reprs_work_under_explore() -> None:
    shown: list[str] = []

    def program() -> None:
        lock, jobs = sync.Lock(), sync.Queue[int]()
        with TaskGroup() as group, lock, CancelScope() as scope:
            task = group.spawn(jobs.put, 1)
            shown.extend(map(repr, (lock, jobs, group, scope, task)))

    testing.explore(program, runs=10)
    assert not [text for text in shown if "not ready" in text]
