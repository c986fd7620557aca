"""What is an error of a group that was told to stop, and what only says so."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from joinable import CancelledError, GroupClosed, TaskGroup, current_scope, run_any, sleep
from processes import run
from waiting import LONG, PATIENCE, Gate, interrupt_main

if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable import Task


def stopped_task(group: TaskGroup) -> Task[None]:
    """Spawn a call and stop the group; return the task when it has been stopped."""
    task = group.spawn(sleep, LONG)
    group.cancel("enough")
    assert concurrent.futures.wait([task], PATIENCE).done
    return task


# -------------------------------------------------------------------- the result of a stopped call


@pytest.mark.parametrize("how", ["result", "exception"])
def test_to_ask_for_what_was_stopped_is_no_error_in_the_block(how: str) -> None:
    with TaskGroup() as group:
        getattr(stopped_task(group), how)()
        raise AssertionError


def test_nor_in_a_call_nor_in_a_group_inside() -> None:
    gate = Gate()

    def ask(task: Task[None]) -> None:
        gate()
        with contextlib.suppress(GroupClosed), TaskGroup() as inner:
            _ = inner.spawn(task.exception)
        task.exception()

    with TaskGroup() as group:
        sleeper = group.spawn(sleep, LONG)
        _ = group.spawn(functools.partial(ask, sleeper))
        assert gate.begun.wait(PATIENCE)
        group.cancel()
        gate.may_end.set()


def test_outside_the_group_it_is_one() -> None:
    tasks: list[Task[None]] = []
    with TaskGroup() as group:
        tasks.append(stopped_task(group))
    with pytest.raises(CancelledError, match="was cancelled"):
        tasks[0].result()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as other:
        other.cancel()
        tasks[0].result()
    assert isinstance(caught.value.exceptions[0], CancelledError)


def test_the_result_of_one_that_was_cancelled_alone_is_an_error() -> None:
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        task = group.spawn(sleep, LONG)
        task.cancel()
        task.result()
    assert isinstance(caught.value.exceptions[0], CancelledError)


# -------------------------------------------------------------------- refusals


def new() -> TaskGroup:
    return TaskGroup(name="other")


def ended() -> TaskGroup:
    with TaskGroup(name="other") as group:
        pass
    return group


@pytest.mark.parametrize("make", [new, ended])
def test_the_refusal_of_another_group_is_an_error_in_one_that_was_stopped(
    make: Callable[[], TaskGroup],
) -> None:
    other = make()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.cancel()
        _ = other.spawn(int)
    (refusal,) = caught.value.exceptions
    assert isinstance(refusal, GroupClosed)
    assert str(refusal).startswith("'other' takes no more calls")


def test_the_refusal_of_a_group_around_that_was_stopped_is_none() -> None:
    with TaskGroup() as outer:
        outer.cancel()
        with TaskGroup():
            _ = outer.spawn(int)
        raise AssertionError


def test_who_forgets_to_enter_is_told_how() -> None:
    with pytest.raises(GroupClosed, match="not been entered: write `with group:`, and spawn"):
        _ = new().spawn(int)


def test_a_group_that_was_cancelled_before_takes_nothing() -> None:
    group = TaskGroup()
    group.cancel()
    with group:
        _ = group.spawn(pytest.fail)


def test_a_signal_handler_may_cancel_between_any_two_lines_of_a_spawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here: after the look whether the group is open, and before the call is there to be done."""
    group = TaskGroup()
    look = group._refuse_if_closed

    def interrupted() -> None:
        monkeypatch.setattr(group, "_refuse_if_closed", look)
        look()
        group.cancel("a signal")

    ran: list[int] = []
    with group:
        monkeypatch.setattr(group, "_refuse_if_closed", interrupted)
        _ = group.spawn(ran.append, 1)
        raise AssertionError
    assert ran == []


# -------------------------------------------------------------------- coroutines


async def in_a_group(began: asyncio.Event) -> None:
    with TaskGroup() as group:
        task = group.spawn(sleep, LONG)
        began.set()
        await task


def test_a_coroutine_that_is_cancelled_in_a_group_ends_as_cancelled() -> None:
    async def main() -> None:
        began = asyncio.Event()
        task = asyncio.create_task(in_a_group(began))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_a_group(asyncio.Event()), 0.01)

    asyncio.run(main())


def test_to_await_what_the_group_has_stopped_is_no_error_of_its_own() -> None:
    async def main() -> None:
        with TaskGroup() as quiet:
            await stopped_task(quiet)
            raise AssertionError
        with pytest.raises(ExceptionGroup) as caught, TaskGroup() as failed:
            task = failed.spawn(sleep, LONG)
            _ = failed.spawn(int, "x")
            await task
        assert [type(error) for error in caught.value.exceptions] == [ValueError]

    asyncio.run(main())


def test_to_await_what_was_cancelled_alone_is_raised_as_it_is() -> None:
    async def main() -> None:
        with TaskGroup() as group:
            task = group.spawn(sleep, LONG)
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError):  # as without a group
        asyncio.run(main())


# -------------------------------------------------------------------- run_any, and the end


def test_calls_that_cancel_their_own_scope_are_no_deadline() -> None:
    def stop() -> None:
        scope = current_scope()
        assert scope is not None
        scope.cancel()
        sleep(LONG)

    with pytest.raises(CancelledError, match="the scope of this run_any was cancelled"):
        run_any([stop, stop])


def test_a_group_in_a_generator_that_is_left_at_exit_does_not_hold_the_process() -> None:
    result = run("""
        import threading
        from joinable import TaskGroup

        def numbers():
            with TaskGroup() as group:
                group.spawn(threading.Event().wait)
                yield 1

        kept = numbers()
        next(kept)
    """)
    assert result.returncode == 0


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals here")
def test_two_times_ctrl_c_is_one_error() -> None:
    gate, timer = Gate(), threading.Timer(0.05, interrupt_main)
    with pytest.raises(KeyboardInterrupt) as caught, TaskGroup() as group:
        _ = group.spawn(gate)
        assert gate.begun.wait(PATIENCE)
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            timer.start()
    timer.join()
    gate.may_end.set()
    assert not isinstance(caught.value.__context__, BaseExceptionGroup)
