"""`TaskGroup`: nobody is left behind, and no error is lost."""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import contextvars
import functools
import logging
import threading
import weakref
from typing import TYPE_CHECKING, NoReturn, cast

import pytest

from joinable import (
    Cancelled,
    CancelledError,
    CancelScope,
    DeadlineExceeded,
    GroupClosed,
    Task,
    TaskGroup,
    abandoned_threads,
    checkpoint,
    current_scope,
    move_on_after,
    run_all,
    shield,
    sleep,
    spawn,
)
from joinable import _runtime as runtime
from joinable import _workers as workers
from joinable.testing import FakeClock
from waiting import LONG, PATIENCE, Gate, Waiter, until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

WHO = contextvars.ContextVar("WHO", default="nobody")


class BoomError(Exception):
    """What the calls of these tests raise."""


def fail(*args: object) -> NoReturn:
    raise BoomError(*args)


def raised_by(error: BaseExceptionGroup[BaseException]) -> list[object]:
    """Say what each error of the group was given."""
    return [each.args[0] if each.args else None for each in error.exceptions]


# -------------------------------------------------------------------- in and out


def test_it_gives_out_tasks_and_has_their_results_when_it_is_left() -> None:
    with TaskGroup() as group:
        tasks = [group.spawn(pow, 2, number) for number in range(50)]
        named = group.spawn(int, "ff", base=16)
    assert [task.result() for task in tasks] == [2**number for number in range(50)]
    assert named.result() == 255
    assert all(task.done() and not task.cancelled() for task in tasks)


def test_leaving_waits_for_all() -> None:
    gates = [Gate() for _ in range(5)]
    openers = [threading.Timer(0.02, gate.may_end.set) for gate in gates]
    with TaskGroup() as group:
        for gate, opener in zip(gates, openers, strict=True):
            _ = group.spawn(gate)
            opener.start()
    assert [gate.ended for gate in gates] == [True] * 5
    for opener in openers:
        opener.join()


def test_an_empty_group_is_left_at_once() -> None:
    with TaskGroup() as group:
        pass
    with pytest.raises(GroupClosed, match="it has ended"):
        _ = group.spawn(int)


def test_every_call_has_a_thread_so_calls_may_wait_for_each_other() -> None:
    together = threading.Barrier(40)
    with TaskGroup() as group:
        tasks = [group.spawn(together.wait) for _ in range(40)]
    assert sorted(task.result() for task in tasks) == list(range(40))


def test_all_threads_are_idle_when_it_has_been_left() -> None:
    # Together: once all have come, nobody is on the way who may be called off, and is idle later.
    together = threading.Barrier(20)

    def come() -> threading.Thread:
        _ = together.wait()
        return threading.current_thread()

    with TaskGroup() as group:
        tasks = [group.spawn(come) for _ in range(20)]
    seen = {task.result() for task in tasks}
    assert len(seen) == 20
    assert seen <= set(workers.idle())


def test_a_group_is_entered_once() -> None:
    group = TaskGroup()
    with group, pytest.raises(RuntimeError, match="entered once"):
        group.__enter__()
    with pytest.raises(RuntimeError, match="entered once"):
        group.__enter__()


def test_before_it_is_entered_nothing_can_be_started() -> None:
    with pytest.raises(GroupClosed, match="it has not been entered"):
        _ = TaskGroup().spawn(int)


def test_what_it_tells_of_itself() -> None:
    gates = [Gate(), Gate()]
    with TaskGroup(max_workers=1, name="fetchers") as group:
        assert group.name == "fetchers"
        tasks = [group.spawn(gate) for gate in gates]
        assert gates[0].begun.wait(PATIENCE)
        assert repr(group) == "<TaskGroup fetchers: open; 1 running, 1 waiting>"
        for gate in gates:
            gate.may_end.set()
    assert repr(group) == "<TaskGroup fetchers: it has ended; 0 running, 0 waiting>"
    assert [task.name for task in tasks] == ["fetchers-1 (Gate)", "fetchers-2 (Gate)"]
    assert TaskGroup().name.startswith("TaskGroup-")


def test_a_task_is_named_after_the_function_that_was_meant() -> None:
    with TaskGroup(name="g") as group:
        twice = functools.partial(functools.partial(pow, 2), 3)
        tasks = [group.spawn(twice), group.spawn(min, 1, 2)]
    assert [task.name for task in tasks] == ["g-1 (pow)", "g-2 (min)"]


def test_a_call_runs_under_its_name_in_a_copy_of_the_context_of_its_spawn() -> None:
    def call(name: str) -> tuple[str, str]:
        before = WHO.get()
        WHO.set(name)
        return before, threading.current_thread().name

    token = WHO.set("caller")
    with TaskGroup(max_workers=2, name="g") as group:
        tasks = [group.spawn(call, str(number)) for number in range(10)]
        WHO.set("later")
        tasks.append(group.spawn(call, "last"))
    seen = [task.result() for task in tasks]
    assert seen == [
        ("caller" if number < 11 else "later", f"g-{number} (call)") for number in range(1, 12)
    ]
    assert WHO.get() == "later"
    WHO.reset(token)


def test_a_call_may_spawn_siblings_until_the_last_has_ended() -> None:
    seen: list[int] = []

    def call(group: TaskGroup, depth: int) -> None:
        seen.append(depth)
        if depth:
            for _ in range(2):
                _ = group.spawn(call, group, depth - 1)

    with TaskGroup(max_workers=3) as group:
        _ = group.spawn(call, group, 6)
    assert sorted(seen) == sorted(level for level in range(7) for _ in range(2 ** (6 - level)))


# -------------------------------------------------------------------- failure


def test_one_failure_is_a_group_of_one_with_the_traceback_of_the_call() -> None:
    error = BoomError("x")

    def call() -> NoReturn:
        raise error

    with pytest.raises(ExceptionGroup) as caught, TaskGroup(name="g") as group:
        task = group.spawn(call)
    assert caught.value.exceptions == (error,)
    assert caught.value.message == "g: 1 error"
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert error.__traceback__ is not None
    assert error.__traceback__.tb_frame.f_code is call.__code__
    (note,) = error.__notes__
    assert note.startswith(f"in thread 'g-1 (call)', started at {__file__}:")
    assert task.exception() is error


def test_a_failure_of_a_call_wakes_the_block_and_the_other_calls() -> None:
    stopped: list[str | BaseException | None] = []
    error, waits = BoomError("first"), threading.Semaphore(0)

    def wait() -> None:
        waits.release()
        try:
            sleep(LONG)
        except Cancelled as cancelled:
            stopped.append(cancelled.reason)
            raise

    def raising() -> NoReturn:
        for _ in range(4):
            assert waits.acquire(timeout=PATIENCE)
        raise error

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        tasks = [group.spawn(wait) for _ in range(3)]
        _ = group.spawn(raising)
        wait()
    assert stopped == [error] * 4
    assert caught.value.exceptions == (error,)
    assert [task.cancelled() for task in tasks] == [True] * 3
    for task in tasks:
        with pytest.raises(CancelledError):
            task.result()


def test_a_failure_of_the_block_stops_the_calls_and_comes_first() -> None:
    begun: Task[None] = Task()

    def wait() -> NoReturn:
        begun.set_result(None)
        try:
            sleep(LONG)
        finally:
            raise BoomError("in clean-up")

    error = BoomError("block")
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        _ = group.spawn(wait)
        begun.result()
        raise error
    first, second = caught.value.exceptions
    assert first is error
    assert second.args == ("in clean-up",)
    assert isinstance(second.__context__, Cancelled)


def test_errors_come_in_the_order_in_which_the_calls_ended() -> None:
    gates = [Gate(then=functools.partial(fail, number)) for number in range(4)]

    def block() -> None:
        with TaskGroup() as group:
            tasks = [group.spawn(gate) for gate in gates]
            for gate in gates:
                assert gate.begun.wait(PATIENCE)
            for number in (2, 0, 3, 1):
                gates[number].may_end.set()
                until(tasks[number].done)

    with pytest.raises(ExceptionGroup) as caught:
        block()
    assert raised_by(caught.value) == [2, 0, 3, 1]
    assert "4 errors" in str(caught.value)


def test_what_has_not_started_never_runs_after_a_failure() -> None:
    ran: list[int] = []
    gate = Gate(then=fail)
    with pytest.raises(ExceptionGroup) as caught, TaskGroup(max_workers=1) as group:
        _ = group.spawn(gate)
        waiting = [group.spawn(ran.append, number) for number in range(5)]
        gate.may_end.set()
    assert len(caught.value.exceptions) == 1
    assert ran == []
    assert [task.cancelled() for task in waiting] == [True] * 5


def test_a_group_that_has_failed_takes_no_more_and_being_refused_is_no_error_of_its_own() -> None:
    """Force it: 1. one fails, 2. a sibling and the block are refused, 3. neither is an error."""
    refused: list[GroupClosed] = []

    def late(group: TaskGroup) -> None:
        until(lambda: "failed" in repr(group))
        try:
            _ = group.spawn(int)
        except GroupClosed as error:
            refused.append(error)
            raise

    with pytest.raises(ExceptionGroup) as caught, TaskGroup(name="g") as group:
        _ = group.spawn(late, group)
        _ = group.spawn(fail, "first")
        late(group)
    assert raised_by(caught.value) == ["first"]
    assert [str(error) for error in refused] == ["'g' takes no more calls: it has failed"] * 2


# -------------------------------------------------------------------- what is no exception


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_goes_bare_with_the_rest_as_its_context(
    kind: type[BaseException],
) -> None:
    error, begun = kind("bare"), threading.Event()

    def clean_up() -> NoReturn:
        begun.set()
        try:
            sleep(LONG)
        finally:
            raise BoomError("in clean-up")

    def leave() -> NoReturn:
        assert begun.wait(PATIENCE)
        raise error

    def block() -> None:
        with TaskGroup() as group:
            _ = group.spawn(clean_up)
            _ = group.spawn(leave)

    with pytest.raises(kind) as caught:
        block()
    assert caught.value is error
    assert raised_by(context_of(error)) == ["in clean-up"]


def context_of(error: BaseException) -> BaseExceptionGroup[BaseException]:
    context = error.__context__
    assert isinstance(context, BaseExceptionGroup)
    return cast("BaseExceptionGroup[BaseException]", context)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_the_same_from_the_block(kind: type[BaseException]) -> None:
    error = kind("bare")
    gate = Gate(then=fail)

    def block() -> None:
        with TaskGroup() as group:
            _ = group.spawn(gate)
            assert gate.begun.wait(PATIENCE)
            opener.start()
            raise error

    opener = threading.Timer(0.01, gate.may_end.set)
    with pytest.raises(kind) as caught:
        block()
    opener.join()
    assert caught.value is error
    assert [type(each) for each in context_of(error).exceptions] == [BoomError]


def test_alone_it_has_no_context() -> None:
    with pytest.raises(SystemExit) as caught, TaskGroup() as group:
        _ = group.spawn(exit_with, 3)
    assert caught.value.code == 3
    assert caught.value.__context__ is None


def test_of_a_group_in_a_group_its_context_keeps_the_errors_of_both() -> None:
    error, gates = SystemExit("bare"), [Gate(then=functools.partial(fail, n)) for n in range(2)]

    def leave() -> NoReturn:
        for gate in gates:
            assert gate.begun.wait(PATIENCE)
            opener = threading.Timer(0.01, gate.may_end.set)
            opener.start()
            openers.append(opener)
        raise error

    def block() -> None:
        with TaskGroup() as outer:
            _ = outer.spawn(gates[0])
            with TaskGroup() as inner:
                _ = inner.spawn(gates[1])
                _ = inner.spawn(leave)

    openers: list[threading.Timer] = []
    with pytest.raises(SystemExit) as caught:
        block()
    for opener in openers:
        opener.join()
    assert caught.value is error
    of_outer = context_of(error)
    assert (raised_by(of_outer), raised_by(context_of(of_outer))) == ([0], [1])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_the_thread_in_which_it_was_raised_is_not_used_again(kind: type[BaseException]) -> None:
    seen: list[threading.Thread] = []

    def leave() -> NoReturn:
        seen.append(threading.current_thread())
        raise kind

    with pytest.raises(kind), TaskGroup() as group:
        _ = group.spawn(leave)
    (thread,) = seen
    assert thread not in workers.idle()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def exit_with(code: int) -> NoReturn:
    raise SystemExit(code)


# -------------------------------------------------------------------- cancelled


def test_cancelling_a_group_is_quiet() -> None:
    ran: list[int] = []
    with TaskGroup(max_workers=2) as group:
        tasks = [group.spawn(sleep, LONG) for _ in range(2)]
        until(lambda: all(task.running() for task in tasks))  # or a worker may just take the third
        waiting = group.spawn(ran.append, 1)
        group.cancel("enough")
    assert [task.cancelled() for task in (*tasks, waiting)] == [True] * 3
    assert ran == []


def test_cancelling_a_group_wakes_its_block_quietly() -> None:
    with TaskGroup() as group:
        _ = group.spawn(group.cancel)
        sleep(LONG)
        raise AssertionError


def test_a_group_that_was_cancelled_takes_no_more_and_that_is_quiet_too() -> None:
    after: list[int] = []
    with TaskGroup() as group:
        group.cancel()
        _ = group.spawn(after.append, 1)
        after.append(2)
    assert after == []
    with pytest.raises(GroupClosed, match="it was cancelled"):
        _ = group.spawn(int)


def test_an_error_in_clean_up_of_a_cancelled_group_is_raised() -> None:
    def wait() -> None:
        try:
            sleep(LONG)
        except Cancelled:
            fail("in clean-up")

    waits = Task[None]()

    def call() -> None:
        waits.set_result(None)
        wait()

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        _ = group.spawn(call)
        waits.result()
        group.cancel()
    assert raised_by(caught.value) == ["in clean-up"]


def test_cancelling_one_task_stops_that_one_alone() -> None:
    gate = Gate(lambda: "open")
    with TaskGroup(max_workers=2) as group:
        stopped, other = group.spawn(sleep, LONG), group.spawn(gate)
        never = group.spawn(fail)
        until(lambda: stopped.running() and other.running())  # else one of them may begin the third
        assert never.cancel()
        assert stopped.cancel()
        until(stopped.done)
        gate.may_end.set()
    assert stopped.cancelled()
    assert other.result() == "open"


def test_a_cancelled_child_that_waited_its_turn_never_runs_and_is_no_error() -> None:
    ran: list[int] = []
    gate = Gate()
    with TaskGroup(max_workers=1) as group:
        _ = group.spawn(gate)
        waiting = group.spawn(ran.append, 1)
        assert waiting.cancel()
        gate.may_end.set()
    assert (ran, waiting.cancelled()) == ([], True)


def test_a_scope_around_a_group_stops_it_and_swallows_its_own() -> None:
    ended: list[int] = []

    def call() -> None:
        try:
            sleep(LONG)
        finally:
            ended.append(1)

    begun = threading.Barrier(2)
    with CancelScope() as scope:
        with TaskGroup() as group:
            _ = group.spawn(call)
            _ = group.spawn(begun.wait)
            begun.wait()
            scope.cancel()
        raise AssertionError
    assert scope.cancelled_caught
    assert ended in ([], [1])
    assert "cancelled" in repr(group)


def test_being_refused_by_a_group_around_it_that_was_cancelled_is_quiet_too() -> None:
    with TaskGroup() as outer, TaskGroup() as inner:
        outer.cancel()
        _ = inner.spawn(outer.spawn, int)
        _ = outer.spawn(int)
        raise AssertionError


def test_a_scope_of_the_starter_that_was_left_does_not_matter_to_a_call() -> None:
    """The calls belong to the group, not to where `spawn` was called."""
    go = threading.Event()

    def call() -> str:
        assert go.wait(PATIENCE)
        checkpoint()
        return "not stopped"

    with TaskGroup() as group:
        with CancelScope() as inner:
            task = group.spawn(call)
            inner.cancel()
        go.set()
    assert task.result() == "not stopped"


def test_a_shield_in_a_call_lets_it_clean_up() -> None:
    said: list[str] = []

    def call() -> None:
        begun.set_result(None)
        try:
            sleep(LONG)
        finally:
            with shield(5):
                sleep(0.001)
                said.append("goodbye")

    begun = Task[None]()
    with TaskGroup() as group:
        _ = group.spawn(call)
        begun.result()
        group.cancel()
    assert said == ["goodbye"]


# -------------------------------------------------------------------- timeout and grace


def test_a_timeout_stops_all_and_says_where_the_block_was() -> None:
    with (
        FakeClock(autojump=True) as clock,
        pytest.raises(DeadlineExceeded, match=r"'g' did not end within 5 s: .* in test_a_timeout"),
        TaskGroup(timeout=5, name="g") as group,
    ):
        task = group.spawn(sleep, LONG)
        sleep(LONG)
    assert clock.now == 5
    assert task.cancelled()


def test_a_timeout_while_it_waits_for_its_calls_is_the_same() -> None:
    with FakeClock(autojump=True) as clock:
        with (
            pytest.raises(DeadlineExceeded, match="'g' did not end within 5 s: its calls were st"),
            TaskGroup(timeout=5, name="g") as group,
        ):
            _ = group.spawn(sleep, LONG)
        assert clock.now == 5


def test_an_error_of_a_call_goes_before_the_timeout() -> None:
    def wait() -> None:
        try:
            sleep(LONG)
        except Cancelled:
            fail("in clean-up")

    with (
        FakeClock(autojump=True),
        pytest.raises(ExceptionGroup) as caught,
        TaskGroup(timeout=5) as group,
    ):
        _ = group.spawn(wait)
    assert raised_by(caught.value) == ["in clean-up"]


def test_what_ends_in_time_has_no_timeout() -> None:
    with FakeClock(autojump=True), TaskGroup(timeout=5) as group:
        task = group.spawn(sleep, 4)
    assert task.result() is None


def test_an_earlier_deadline_around_it_goes_first() -> None:
    with FakeClock(autojump=True) as clock:
        with move_on_after(3) as scope, TaskGroup(timeout=5) as group:
            _ = group.spawn(sleep, LONG)
        assert scope.cancelled_caught
        assert clock.now == 3


def deaf_group(gate: Gate, tasks: list[Task[object]], *, fails: bool = False) -> None:
    with TaskGroup(grace=2, name="g") as group:
        tasks.append(group.spawn(gate))
        assert gate.begun.wait(PATIENCE)
        group.cancel()
        if fails:
            fail("block")


@pytest.mark.parametrize("fails", [False, True])
def test_what_runs_on_after_the_grace_is_abandoned_and_named(*, fails: bool) -> None:
    gate, tasks = Gate(), list[Task[object]]()
    with FakeClock() as clock:
        caller = Waiter(lambda: deaf_group(gate, tasks, fails=fails))
        clock.until_waiting()
        clock.advance(1.999)
        assert not caller.ended()
        assert abandoned_threads() == []
        clock.advance(0.001)
        with pytest.raises(ExceptionGroup) as caught:
            caller.end()
    error = caught.value.exceptions[-1]
    assert isinstance(error, DeadlineExceeded)
    assert error.unfinished[0].startswith("g-1 (Gate) at ")
    assert len(caught.value.exceptions) == 1 + fails
    (task,) = tasks
    assert isinstance(task.exception(), DeadlineExceeded)
    assert len(abandoned_threads()) == 1
    gate.may_end.set()
    until(lambda: not abandoned_threads())


def test_an_error_of_what_was_abandoned_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reports.append)
    gate, tasks = Gate(then=functools.partial(fail, "late")), list[Task[object]]()
    with FakeClock() as clock:
        caller = Waiter(lambda: deaf_group(gate, tasks))
        clock.until_waiting()
        clock.advance(2)
        with pytest.raises(ExceptionGroup):
            caller.end()
    gate.may_end.set()
    until(lambda: not abandoned_threads())
    until(lambda: reports)
    assert [report.exc_type for report in reports] == [BoomError]


def test_what_ends_within_the_grace_is_no_error() -> None:
    gate, tasks = Gate(), list[Task[object]]()
    with FakeClock() as clock:
        caller = Waiter(lambda: deaf_group(gate, tasks))
        clock.until_waiting()
        clock.advance(1)
        gate.may_end.set()
        assert caller.end() is None
    assert tasks[0].result() == 0
    assert abandoned_threads() == []


def test_the_grace_counts_from_when_it_was_asked_to_stop_only() -> None:
    with FakeClock(autojump=True) as clock:
        with TaskGroup(grace=2) as group:
            _ = group.spawn(sleep, 100)
        assert clock.now == 100


def test_a_wait_of_ten_seconds_for_what_was_asked_to_stop_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()

    def block() -> None:
        with TaskGroup(name="slow") as group:
            _ = group.spawn(gate)
            assert gate.begun.wait(PATIENCE)
            group.cancel()

    with FakeClock() as clock:
        caller = Waiter(block)
        clock.until_waiting()
        clock.advance(9.999)
        assert caplog.records == []
        clock.advance(0.001)
        until(lambda: caplog.records)
        (record,) = caplog.records
        clock.advance(100)
        gate.may_end.set()
        caller.end()
    assert caplog.records == [record]
    assert (record.name, record.levelno) == ("joinable", logging.WARNING)
    message = record.getMessage()
    first, second, *lines = message.splitlines()
    assert first == "'slow' waits for calls that were asked to stop 10 s ago"
    assert second == "slow-1 (Gate):"
    assert "waiting.py" in lines[0]
    assert "self.may_end.wait(PATIENCE)" in message
    assert "joinable/_" not in message


def test_a_long_call_that_nobody_asked_to_stop_is_no_reason_for_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with FakeClock(autojump=True) as clock:
        with TaskGroup() as group:
            _ = group.spawn(sleep, 1000)
        assert clock.now == 1000
    assert caplog.records == []


# -------------------------------------------------------------------- a limit


class Gauge:
    """Counts how many calls run at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.0005)
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_max_workers_bounds_how_many_run_at_a_time(limit: int) -> None:
    gauge = Gauge()
    with TaskGroup(max_workers=limit) as group:
        for _ in range(40):
            _ = group.spawn(gauge)
    assert 1 <= gauge.most <= limit


def test_with_a_limit_they_start_in_the_order_in_which_they_were_spawned() -> None:
    seen: list[int] = []
    with TaskGroup(max_workers=1) as group:
        for number in range(20):
            _ = group.spawn(seen.append, number)
    assert seen == list(range(20))


def test_a_call_that_waits_for_another_one_lends_its_place() -> None:
    def factorial(group: TaskGroup, number: int) -> int:
        if number == 0:
            return 1
        return number * group.spawn(factorial, group, number - 1).result()

    for limit in (1, 2):
        with TaskGroup(max_workers=limit) as group:
            task = group.spawn(factorial, group, 10)
        assert task.result() == 3628800


def test_a_place_that_was_lent_is_given_back_so_the_limit_holds() -> None:
    gauge = Gauge()

    def call(group: TaskGroup, depth: int) -> None:
        gauge()
        if depth:
            children = [group.spawn(call, group, depth - 1) for _ in range(3)]
            gauge()
            for child in children:
                child.result()
            gauge()

    with TaskGroup(max_workers=2) as group:
        for _ in range(3):
            _ = group.spawn(call, group, 2)
    assert gauge.most <= 2
    assert group._crew.limit == 2


def test_a_lender_whose_wait_is_over_goes_on_though_its_place_is_taken() -> None:
    """Its time is up, or it is cancelled: it does not wait for the place of a call that is deaf."""
    deaf, ends = Gate(), list[str]()

    def lender(group: TaskGroup) -> None:
        other = group.spawn(deaf)
        with pytest.raises(DeadlineExceeded):
            other.result(timeout=5)
        ends.append("timeout")
        with move_on_after(5):
            other.result()
        ends.append("cancelled")

    with FakeClock() as clock, TaskGroup(max_workers=1) as group:
        _ = group.spawn(lender, group)
        assert deaf.begun.wait(PATIENCE)
        for count in (1, 2):
            clock.until_waiting()
            clock.advance(5)
            until(lambda count=count: len(ends) == count)  # type: ignore[misc]
        deaf.may_end.set()
    assert ends == ["timeout", "cancelled"]


def test_a_wait_from_outside_lends_nothing() -> None:
    with TaskGroup(max_workers=1) as group:
        task = group.spawn(int)
        assert task.result() == 0
        assert spawn(task.result).result() == 0
        assert group._crew.limit == 1


# -------------------------------------------------------------------- bad input, and no thread


@pytest.mark.parametrize(
    ("arguments", "kind", "match"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be at least 1"),
        ({"max_workers": "2"}, TypeError, "max_workers must be a whole number"),
        ({"timeout": -1}, ValueError, "timeout"),
        ({"timeout": "1"}, TypeError, "timeout"),
        ({"grace": -1}, ValueError, "grace"),
        ({"grace": float("nan")}, ValueError, "grace"),
        ({"grace": "1"}, TypeError, "grace"),
        ({"name": 3}, TypeError, "name must be a text"),
    ],
    ids=repr,
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, object], kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        TaskGroup(**arguments)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_what_cannot_be_called_is_refused_at_the_spawn() -> None:
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        _ = group.spawn(3)  # type: ignore[arg-type]  # pyright: ignore[reportUnknownVariableType, reportArgumentType, reportCallIssue]
    (error,) = caught.value.exceptions
    assert isinstance(error, TypeError)
    assert str(error) == "fn must be callable, not int (3)"


@pytest.mark.usefixtures("workers_of_its_own")
def test_a_call_for_which_there_is_no_thread_is_refused_and_never_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[int] = []
    with TaskGroup() as group:
        with monkeypatch.context() as patch:
            patch.setattr(runtime, "start_worker", no_thread)
            with pytest.raises(RuntimeError, match="can't start"):
                _ = group.spawn(ran.append, 1)
        _ = group.spawn(ran.append, 2)
    assert ran == [2]


def no_thread(*_: object) -> NoReturn:
    raise RuntimeError("can't start new thread")


@pytest.mark.usefixtures("workers_of_its_own")
def test_a_worker_for_which_there_is_no_second_thread_goes_on_or_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lane that has taken the first call finds no thread for the second one."""
    start, started = runtime.start_worker, list[str]()
    spawned = threading.Event()

    def one_thread(function: Callable[[], object], name: str) -> threading.Thread:
        started.append(name)
        if len(started) > 1:
            raise RuntimeError("can't start new thread")

        def when_both_are_spawned() -> None:
            assert spawned.wait(PATIENCE)
            function()

        return start(when_both_are_spawned, name)

    monkeypatch.setattr(runtime, "start_worker", one_thread)
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        tasks = [group.spawn(int), group.spawn(int)]
        spawned.set()
    (error,) = caught.value.exceptions
    assert isinstance(error, RuntimeError)
    assert all(task.done() for task in tasks)


def test_scopes_left_out_of_order_are_told_with_the_other_errors() -> None:
    def leave_them() -> None:
        group, inner = TaskGroup(), CancelScope()
        group.__enter__()
        inner.__enter__()
        _ = group.spawn(int)
        with pytest.raises(ExceptionGroup) as caught:
            group.__exit__(None, None, None)
        (error,) = caught.value.exceptions
        assert "out of order" in str(error)
        inner.__exit__(None, None, None)

    contextvars.copy_context().run(leave_them)  # what is left in this order stays in the context


# -------------------------------------------------------------------- with the rest of the library


def test_groups_nest_in_calls_and_in_blocks() -> None:
    def inner(number: int) -> list[int]:
        with TaskGroup() as group:
            tasks = [group.spawn(pow, number, power) for power in range(3)]
        return [task.result() for task in tasks]

    with TaskGroup(max_workers=1) as outer:
        tasks = [outer.spawn(inner, number) for number in range(3)]
        assert inner(4) == [1, 4, 16]
    assert [task.result() for task in tasks] == [[1, 0, 0], [1, 1, 1], [1, 2, 4]]


def test_a_failure_in_an_inner_group_stops_the_outer_one() -> None:
    def inner() -> None:
        with TaskGroup() as group:
            _ = group.spawn(fail, "deep")

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as outer:
        _ = outer.spawn(inner)
        _ = outer.spawn(sleep, LONG)
    (group,) = caught.value.exceptions
    assert isinstance(group, BaseExceptionGroup)
    assert raised_by(cast("BaseExceptionGroup[BaseException]", group)) == ["deep"]


def test_a_failure_outside_stops_what_runs_in_an_inner_group() -> None:
    def inner() -> None:
        with TaskGroup() as group:
            _ = group.spawn(sleep, LONG)
            waits.set_result(None)

    waits = Task[None]()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as outer:
        task = outer.spawn(inner)
        waits.result()
        fail("outer")
    assert raised_by(caught.value) == ["outer"]
    assert task.cancelled()


def test_run_all_in_a_call_is_stopped_with_its_group() -> None:
    def call() -> None:
        run_all([lambda: sleep(LONG)] * 3)

    with FakeClock(autojump=True) as clock:
        with move_on_after(7), TaskGroup() as group:
            task = group.spawn(call)
        assert clock.now == 7
    assert task.cancelled()


def test_a_call_knows_its_scope_and_is_cancelled_by_it() -> None:
    def call() -> None:
        scope = current_scope()
        assert scope is not None
        scope.cancel()
        sleep(LONG)

    with TaskGroup() as group:
        task, other = group.spawn(call), group.spawn(int)
    assert task.cancelled()
    assert other.result() == 0


def test_done_callbacks_and_result_of_a_task_are_as_of_a_future() -> None:
    seen: list[object] = []
    with TaskGroup() as group:
        task = group.spawn(int, "7")
        task.add_done_callback(lambda done: seen.append(done.result()))
    assert seen == [7]


def test_a_call_cannot_wait_for_itself() -> None:
    box: list[Task[object]] = []
    gate = threading.Event()

    def call() -> object:
        assert gate.wait(PATIENCE)
        return box[0].result()

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        box.append(group.spawn(call))
        gate.set()
    assert "would wait for itself" in str(caught.value.exceptions[0])


def test_nothing_of_a_finished_call_is_kept() -> None:
    class Thing:
        pass

    thing = Thing()
    watched = weakref.ref(thing)
    with TaskGroup() as group:
        task = group.spawn(id, thing)
        del thing
        task.result()
        # Another one: without a GIL a thread may hold back, until it runs, what others let go of.
        until(lambda: group.spawn(int).result() == 0 and watched() is None)


@pytest.fixture(autouse=True)
def _nothing_is_left_abandoned() -> Generator[None]:
    yield
    assert abandoned_threads() == []
