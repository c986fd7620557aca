"""What comes between two lines of a group, forced: Ctrl-C, an error, a fork, a slow thread."""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
from typing import TYPE_CHECKING, NoReturn, cast

import pytest

from joinable import CancelledError, GroupClosed, TaskGroup, abandoned_threads, sleep
from joinable import _call as calls
from joinable import _crew as crews
from joinable import _runtime as runtime
from joinable import _workers as workers
from waiting import LONG, PATIENCE, Gate, interrupt_main, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable import Task


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


# -------------------------------------------------------------------- Ctrl-C


def test_a_ctrl_c_in_a_spawn_that_somebody_catches_loses_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[int] = []
    with TaskGroup() as group:
        monkeypatch.setattr(crews, "start", interrupt)
        with contextlib.suppress(KeyboardInterrupt):
            _ = group.spawn(ran.append, 1)
        monkeypatch.undo()
    assert ran == [1]


def test_a_call_that_was_taken_and_not_begun_is_not_begun_after_a_second_ctrl_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken, gate, ran = threading.Event(), threading.Event(), list[int]()
    real = cast("Callable[[object], bool]", calls.Call.run_here)

    def run_late(call: object) -> bool:
        taken.set()
        assert gate.wait(PATIENCE)
        return real(call)

    monkeypatch.setattr(calls.Call, "run_here", run_late)
    tasks: list[Task[None]] = []
    timer = threading.Timer(0.05, interrupt_main)
    with pytest.raises(KeyboardInterrupt), TaskGroup() as group:
        tasks.append(group.spawn(ran.append, 1))
        assert taken.wait(PATIENCE)
        timer.start()
        raise KeyboardInterrupt
    timer.join()
    gate.set()
    until(lambda: not group._crew.lanes)
    assert ran == []
    assert tasks[0].cancelled()


@pytest.mark.parametrize("line", ["lock", "scope"])
def test_a_ctrl_c_after_the_join_costs_no_error_and_leaves_no_scope(line: str) -> None:
    """It comes where the errors are read, or where the scope is left."""
    group = TaskGroup()
    armed: list[None] = []

    class Lock:
        real = group._crew.lock

        def __enter__(self) -> None:
            if armed and not group._told and group._closed and not group._crew.lanes:
                armed.clear()
                raise KeyboardInterrupt
            self.real.acquire()

        def __exit__(self, *_: object) -> None:
            self.real.release()

    leave = group._scope.__exit__

    def leave_late(*arguments: object) -> bool:
        if armed:
            armed.clear()
            raise KeyboardInterrupt
        return leave(*arguments)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt) as caught, group:
        _ = group.spawn(int, "x")
        until(lambda: group._errors)
        until(lambda: not group._crew.lanes)
        armed.append(None)
        if line == "lock":
            group._crew.lock = Lock()  # type: ignore[assignment]
        else:
            group._scope.__exit__ = leave_late  # type: ignore[method-assign]
    assert armed == []
    errors = caught.value.__context__
    assert isinstance(errors, BaseExceptionGroup)
    assert "ValueError" in repr(cast("object", errors))
    sleep(0)  # no scope of the group is in force


# -------------------------------------------------------------------- errors of callbacks


@pytest.mark.parametrize("by", ["failure", "cancel"])
def test_a_callback_that_raises_keeps_no_other_call_from_its_end(by: str) -> None:
    gate, tasks = Gate(), list["Task[object]"]()

    def exit_(_: object) -> NoReturn:
        raise SystemExit

    def block() -> None:
        with TaskGroup(max_workers=1) as group:
            tasks.append(group.spawn(gate))
            assert gate.begun.wait(PATIENCE)
            tasks.extend(group.spawn(int) for _ in range(3))
            tasks[1].add_done_callback(exit_)
            if by == "cancel":
                gate.may_end.set()
                group.cancel()
            else:
                gate.then = lambda: int("x")
                gate.may_end.set()
                sleep(LONG)

    with pytest.raises((SystemExit, ExceptionGroup)):
        block()
    until(lambda: all(task.done() for task in tasks))


# -------------------------------------------------------------------- slow threads, and none


def test_a_place_that_is_free_is_given_back_to_every_lender(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two wait for one call. Its thread takes the next one, too, before another comes for that."""
    may_come, asks, taken = threading.Event(), threading.Event(), threading.Event()
    both, box = threading.Barrier(2), list["Task[None]"]()
    real, take_back = runtime.start_worker, crews.Crew.take_back

    def start_late(function: Callable[[], object], name: str) -> threading.Thread:
        def late() -> None:
            assert may_come.wait(PATIENCE)
            function()

        return real(late, name)

    def take_back_late(crew: crews.Crew, deadline: float) -> None:
        assert taken.wait(PATIENCE)
        take_back(crew, deadline)

    def ask() -> None:
        assert asks.wait(PATIENCE)
        box[0].result()
        both.wait(PATIENCE)

    def next_one(group: TaskGroup) -> None:
        taken.set()
        until(lambda: len(group._crew._lenders) == 2)

    def answer(group: TaskGroup) -> None:
        until(lambda: group._crew.limit == 4)  # both have lent their places
        workers._pool.idle.clear()
        monkeypatch.setattr(runtime, "start_worker", start_late)
        _ = group.spawn(next_one, group)

    monkeypatch.setattr(crews.Crew, "take_back", take_back_late)
    try:
        with TaskGroup(max_workers=2) as group:
            askers = [group.spawn(ask), group.spawn(ask)]
            box.append(group.spawn(answer, group))
            asks.set()
            until(lambda: all(task.done() for task in askers))
            may_come.set()
    finally:
        may_come.set()
    assert [task.exception() for task in askers] == [None, None]


def test_a_lender_gets_its_place_back_when_no_thread_comes_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, asks, box = workers.start, threading.Event(), list["Task[int]"]()

    def ask() -> bool:
        assert asks.wait(PATIENCE)
        with contextlib.suppress(CancelledError):
            box[0].result()
        return True

    def no_thread(_: workers.Job) -> NoReturn:
        monkeypatch.setattr(crews, "start", real)
        box[0].cancel()
        until(lambda: group._crew._lenders)
        raise RuntimeError("can't start new thread")

    with TaskGroup(max_workers=1) as group:
        asker = group.spawn(ask)
        until(lambda: group._crew.running)
        # One that nobody will run, for it is in no list.
        nothing = functools.partial(int)
        box.append(calls.Call(group, group._crew, group._scope, "b", nothing))
        asks.set()
        until(lambda: group._crew.limit == 2)
        monkeypatch.setattr(crews, "start", no_thread)
        with pytest.raises(RuntimeError, match="can't start"):
            _ = group.spawn(int)
        assert asker.result(PATIENCE)


# -------------------------------------------------------------------- the child of a fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # that is the point
@pytest.mark.parametrize("what", ["spawn", "cancel", "task"])
def test_the_child_of_a_fork_waits_for_no_lock_that_was_held(what: str) -> None:
    held, may_end = threading.Event(), threading.Event()
    with TaskGroup() as group:
        gate = Gate()
        task = group.spawn(gate)
        assert gate.begun.wait(PATIENCE)

        def hold() -> None:
            with group._crew.lock, task._mutex:
                held.set()
                assert may_end.wait(PATIENCE)

        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(PATIENCE)
        actions: dict[str, Callable[[], object]] = {
            "spawn": lambda: group.spawn(int),
            "cancel": group.cancel,
            "task": task.cancel,
        }
        child = os.fork()
        if not child:
            signal.alarm(PATIENCE)  # it ends the process, if it is not over by then
            with contextlib.suppress(RuntimeError, GroupClosed):
                actions[what]()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        may_end.set()
        holder.join()
        gate.may_end.set()
    assert os.waitstatus_to_exitcode(status) == 0
    assert abandoned_threads() == []
