# A group may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""Groups, their calls and races under every schedule.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest

from exploring import (
    Composed,
    Fault,
    Model,
    at_one,
    let_all_run,
    together_here,
)
from joinable import (
    Cancelled,
    CancelledError,
    CancelScope,
    DeadlineExceeded,
    GroupClosed,
    TaskGroup,
    _call,
    _crew,
    _group,
    _hands,
    _loops,
    _race,
    _runtime,
    _task,
    run_any,
    sleep,
)
from joinable._call import Call
from joinable._hands import Hands
from joinable._race import _Race
from joinable._running import abandoned

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from joinable import Task
    from joinable._typing import T

GROUPS = (_call, _crew, _group, _hands)
AWAITS = (_call, _loops)
RACES = (_race, _group, _hands)


class WrongError(Exception):
    """What a call raises, by number."""


class Book:
    """What was asked of a group, and what has come of it."""

    def __init__(self) -> None:
        self.tasks: list[Task[object]] = []
        self.refused = 0
        self.numbers = itertools.count()
        self.made: list[int] = []
        self.running = 0
        self.left = False

    def spawn(self, group: TaskGroup, fn: Callable[[], object] = int) -> None:
        """Ask the group for a call, which may refuse it."""
        number = next(self.numbers)

        def call() -> object:
            assert not self.left
            self.made.append(number)
            return fn()

        try:
            self.tasks.append(group.spawn(call))
        except GroupClosed:
            self.refused += 1

    def is_right(self, asked: int) -> bool:
        """Check, when the group is left: each was refused, or run once, or cancelled."""
        assert len(self.tasks) + self.refused == asked
        assert all(task.done() for task in self.tasks)
        never = sum(task.cancelled() for task in self.tasks)
        assert len(self.made) == len({*self.made})
        assert len(self.tasks) - never <= len(self.made) <= len(self.tasks)
        self.left = True
        time.sleep(1)  # what comes now comes too late
        return True


def fail(number: int) -> None:
    raise WrongError(number)


def numbers_in(group: BaseExceptionGroup[BaseException]) -> list[int]:
    """Return the numbers of what is in it; there must be nothing else."""
    assert all(type(error) is WrongError for error in group.exceptions), group.exceptions
    return [error.args[0] for error in group.exceptions]


# -------------------------------------------------------------------- spawning and closing


def all_are_done_at_the_end() -> None:
    """Every call is made once, and its value is there when the block is left."""
    with TaskGroup() as group:
        tasks = [group.spawn(pow, 2, number) for number in range(3)]
    assert all(task.done() for task in tasks)
    assert [task.result() for task in tasks] == [1, 2, 4]
    assert not group._crew.running
    with pytest.raises(GroupClosed):
        group.spawn(int)


def two_at_a_time() -> None:
    """No more are at work."""
    here: list[int] = []
    most: list[int] = []

    def call(number: int) -> None:
        here.append(number)
        most.append(len(here))
        here.remove(number)

    with TaskGroup(max_workers=2) as group:
        for number in range(3):
            group.spawn(call, number)
    assert len(most) == 3
    assert max(most) <= 2


def they_wait_for_each_other() -> None:
    """Without a limit each has a thread at once."""
    barrier = threading.Barrier(3)
    with TaskGroup() as group:
        tasks = [group.spawn(barrier.wait, 1) for _ in range(3)]
    assert sorted(task.result() for task in tasks) == [0, 1, 2]


def a_spawn_comes_with_the_end() -> None:
    """It is refused, or done when the block is left."""
    book = Book()
    with TaskGroup() as group:
        thread = threading.Thread(target=book.spawn, args=(group,))
        thread.start()
        book.spawn(group)
    thread.join()
    assert book.is_right(2)


def a_spawn_comes_with_the_end_and_takes_long() -> None:
    """Nobody has asked it to stop: it has all the time that it needs."""
    book = Book()
    with TaskGroup(grace=1) as group:
        thread = threading.Thread(target=book.spawn, args=(group, lambda: sleep(5)))
        thread.start()
        book.spawn(group)
    thread.join()
    assert book.is_right(2)


def a_spawn_comes_with_a_cancel() -> None:
    """It is refused, or cancelled, or done; leaving is no error."""
    book = Book()
    with TaskGroup(max_workers=1) as group:
        book.spawn(group)
        together_here(group.cancel, lambda: book.spawn(group))
    assert book.is_right(2)


def a_spawn_comes_with_a_failure() -> None:
    """It is refused, or cancelled, or done; the failure is raised, and nothing else."""
    book = Book()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail, 1)
        book.spawn(group)
        book.spawn(group)
    assert numbers_in(caught.value) == [1]
    assert book.is_right(2)


def a_call_spawns_into_a_group_that_fails() -> None:
    """That it is refused is no error of its own, wherever it comes."""
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:

        def ask() -> None:
            group.spawn(int)

        for _ in range(2):
            group.spawn(ask)
        group.spawn(fail, 1)
    assert numbers_in(caught.value) == [1]


def a_call_asks_when_a_scope_around_is_cancelled() -> None:
    """That it gets no result is no error of its own."""
    with CancelScope() as scope, TaskGroup() as group:
        sleeper = group.spawn(sleep, 100)
        group.spawn(sleeper.exception)
        scope.cancel()
    assert sleeper.cancelled()


def a_call_spawns_when_a_scope_around_is_cancelled() -> None:
    """The same; the block is stopped, and has not failed."""
    ended: list[bool] = []
    with CancelScope() as scope:
        with TaskGroup() as group:

            def ask() -> None:
                time.sleep(1)
                group.spawn(int)

            group.spawn(ask)
            group.spawn(at_one(scope.cancel))
        ended.append(True)
    assert scope.cancelled
    assert scope.cancelled_caught == (not ended)


def calls_spawn_their_like() -> None:
    """The block is left when the last of them has ended."""
    made: list[int] = []
    with TaskGroup() as group:

        def call(left: int) -> None:
            if left:
                group.spawn(call, left - 1)
            made.append(left)

        group.spawn(call, 2)
    assert sorted(made) == [0, 1, 2]


# -------------------------------------------------------------------- failures


def two_fail() -> None:
    """Each error is raised once, in the order in which they came; none comes alone."""
    begun: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        fail(number)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        for number in range(2):
            try:
                group.spawn(call, number)
            except GroupClosed:
                break
    assert sorted(numbers_in(caught.value)) == sorted(begun)


def the_block_fails_with_a_call() -> None:
    """Its error is the first, whoever was quicker."""
    begun: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        fail(number)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(call, 1)
        fail(0)
    assert numbers_in(caught.value) == [0, *begun]


def the_block_fails_while_a_call_waits() -> None:
    """The call is stopped at once."""
    begin = time.monotonic()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(sleep, 60)
        fail(0)
    assert numbers_in(caught.value) == [0]
    assert time.monotonic() == begin


def a_failure_wakes_the_block_and_the_rest() -> None:
    """All that waits in the library is stopped at once."""
    begin = time.monotonic()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(sleep, 60)
        group.spawn(fail, 1)
        sleep(60)
    assert numbers_in(caught.value) == [1]
    assert time.monotonic() == begin


def nothing_is_taken_after_a_failure() -> None:
    """It is closed when the block is woken."""
    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        group.spawn(fail, 1)
        try:
            sleep(60)
        finally:
            with pytest.raises(GroupClosed):
                group.spawn(int)
    assert numbers_in(caught.value) == [1]


def a_clean_up_fails() -> None:
    """That error is raised as well."""

    def clean_up() -> None:
        try:
            sleep(60)
        finally:
            fail(2)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup() as group:
        begun = group.spawn(clean_up)
        while not begun.running():
            let_all_run()
        group.spawn(fail, 1)
    assert numbers_in(caught.value) == [1, 2]


def what_is_left_is_given_up() -> None:
    """The error names it, and its own one goes to the hook, or to the group, but not to both."""
    abandoned.clear()  # what another model has left there, with a fault in it
    reported: list[object] = []
    threading.excepthook = lambda told: reported.append(told.exc_value)

    begun = threading.Event()

    def stubborn() -> None:
        begun.set()
        time.sleep(1)
        fail(1)

    with pytest.raises(ExceptionGroup) as caught, TaskGroup(grace=1) as group:
        group.spawn(stubborn)
        begun.wait()
        group.cancel()
    time.sleep(60)
    raised = [type(error) for error in caught.value.exceptions]
    assert raised.count(WrongError) + len(reported) == 1
    assert raised.count(DeadlineExceeded) <= 1
    assert not abandoned


def nothing_is_begun_after_it_was_given_up() -> None:
    """Not even what somebody had taken, unless the error names it."""
    left: list[bool] = []
    late: list[bool] = []
    tasks: list[Task[None]] = []
    with contextlib.suppress(ExceptionGroup), TaskGroup(grace=0) as group:
        tasks.extend(group.spawn(late.extend, left) for _ in range(2))
        group.cancel()
    left.append(True)
    time.sleep(1)  # whoever has taken something sees then that it is cancelled
    assert all(task.done() for task in tasks)
    begun = [task for task in tasks if not task.cancelled()]
    given_up = [task for task in begun if isinstance(task.exception(), DeadlineExceeded)]
    assert len(late) <= len(given_up)


def the_system_has_no_thread_for_one() -> None:
    """Who asked for it is told, and no other call is left behind."""
    real = _runtime.start_worker
    told: list[BaseException] = []
    tasks: list[Task[int]] = []

    def start_worker(function: Callable[[], object], name: str) -> threading.Thread:
        if name.endswith("-1"):
            raise RuntimeError("no more")
        return real(function, name)

    def spawn(group: TaskGroup) -> None:
        try:
            task = group.spawn(int)
        except RuntimeError as error:
            told.append(error)
            return
        tasks.append(task)
        with contextlib.suppress(Cancelled, CancelledError):
            task.result()

    _runtime.start_worker = start_worker
    try:
        with TaskGroup() as group:
            together_here(functools.partial(spawn, group), functools.partial(spawn, group))
    except ExceptionGroup as failed:
        told.extend(failed.exceptions)
    finally:
        _runtime.start_worker = real
    assert told or len(tasks) == 2  # one that has come for the other may do both
    assert all(task.done() for task in tasks)


def the_system_has_no_thread_at_all() -> None:
    """Who asked for it is told, and that is all."""
    real = _runtime.start_worker

    def start_worker(function: Callable[[], object], name: str) -> threading.Thread:
        raise RuntimeError(f"no more: {name} for {function}")

    _runtime.start_worker = start_worker
    try:
        with TaskGroup() as group, pytest.raises(RuntimeError, match="no more"):
            group.spawn(int)
    finally:
        _runtime.start_worker = real


# -------------------------------------------------------------------- cancelling


def nothing_is_begun_after_a_cancel() -> None:
    """What waits for its turn is cancelled."""
    made: list[int] = []
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        sleep(60)

    with TaskGroup(max_workers=1) as group:
        group.spawn(wait)
        task = group.spawn(made.append, 1)
        begun.wait()
        thread = threading.Thread(target=group.cancel)
        thread.start()
        thread.join()
    assert task.cancelled()
    assert not made


def a_group_is_cancelled_while_its_calls_wait() -> None:
    """They are stopped, and the block ends quietly."""
    begin = time.monotonic()
    with TaskGroup() as group:
        tasks = [group.spawn(sleep, 60) for _ in range(2)]
        group.spawn(group.cancel)
    assert all(task.cancelled() or task.result() is None for task in tasks)
    assert time.monotonic() == begin


def a_task_is_cancelled_when_its_turn_comes() -> None:
    """It never runs, or is told to stop; the others do not notice."""
    ran: list[int] = []
    with TaskGroup(max_workers=1) as group:
        group.spawn(int)
        task = group.spawn(ran.append, 1)
        cancelled = task.cancel()
        last = group.spawn(ran.append, 2)
    assert last.done()
    assert ran in ([1, 2], [2])
    assert cancelled or ran == [1, 2]
    assert not last.cancelled()


def a_scope_around_is_cancelled() -> None:
    """The calls are stopped, and the block with them."""
    begin = time.monotonic()
    with CancelScope() as scope, TaskGroup() as group:
        group.spawn(sleep, 60)
        thread = threading.Thread(target=scope.cancel)
        thread.start()
        sleep(60)
    thread.join()
    assert scope.cancelled_caught
    assert time.monotonic() == begin


def the_time_of_a_group_is_up() -> None:
    """It is cut short then, and says so."""
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded), TaskGroup(timeout=1) as group:
        group.spawn(sleep, 60)
    assert time.monotonic() == begin + 1


# -------------------------------------------------------------------- races


def the_first_wins() -> None:
    """The others are stopped, and have ended."""
    begin = time.monotonic()
    ends: list[str] = []

    def slow() -> str:
        try:
            sleep(60)
        except Cancelled:
            ends.append("stopped")
            raise
        return "slow"

    assert run_any([slow, lambda: "quick"]) == "quick"
    assert time.monotonic() == begin
    assert len(ends) <= 1


def two_come_in_together() -> None:
    """One of them wins."""
    assert run_any([at_one_return(1), at_one_return(2)]) in (1, 2)


def at_one_return(value: int) -> Callable[[], int]:
    def call() -> int:
        time.sleep(1)
        return value

    return call


def fail_in_race() -> int:
    raise WrongError(1)


def one_fails_and_one_wins() -> None:
    """A failure is no end of the race."""
    assert run_any([fail_in_race, lambda: 2]) == 2


def all_fail() -> None:
    """All errors are raised, each once."""
    with pytest.raises(ExceptionGroup) as caught:
        run_any([functools.partial(fail, number) for number in range(2)])
    assert sorted(numbers_in(caught.value)) == [0, 1]


def one_starts_when_another_fails() -> None:
    """At once, and not only when its time has come."""
    begin = time.monotonic()
    assert run_any([fail_in_race, lambda: 2], stagger=5) == 2
    assert time.monotonic() == begin


def a_race_has_a_deadline() -> None:
    """It is over then, and at most a moment later."""
    begin = time.monotonic()

    def stubborn() -> None:
        time.sleep(9)

    with pytest.raises(DeadlineExceeded):
        run_any([stubborn, lambda: sleep(60)], timeout=1)
    assert time.monotonic() == begin + 2


# -------------------------------------------------------------------- await


class Loop(asyncio.BaseEventLoop):
    """An event loop that waits for threads only, where the exploration sees it."""

    def __init__(self) -> None:
        super().__init__()
        self._bell = threading.Semaphore(0)
        self._selector = self

    def select(self, timeout: float | None) -> list[object]:
        self._bell.acquire(timeout=timeout)
        return []

    def _process_events(self, _: list[object]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        self._bell.release()

    def run(self, main: Coroutine[object, object, T]) -> T:
        """Run it to its end."""
        try:
            return self.run_until_complete(main)
        finally:
            self.close()


def a_task_is_awaited() -> None:
    """Its value comes to who awaits it, whenever the call ends."""

    async def main() -> int:
        return await task

    with TaskGroup() as group:
        task = group.spawn(int, "7")
        assert Loop().run(main()) == 7


def who_awaits_is_cancelled() -> None:
    """The call is told to stop, and has ended when the one who awaited goes on."""
    ended: list[int] = []

    def call() -> None:
        try:
            sleep(2)
        finally:
            let_all_run()
            ended.append(1)

    async def wait() -> None:
        try:
            await task
        finally:
            assert ended or task.cancelled()

    async def main() -> bool:
        waiter = asyncio.ensure_future(wait())
        await asyncio.sleep(1)
        waiter.cancel()
        await asyncio.wait([waiter])
        return waiter.cancelled()

    with TaskGroup() as group:
        task = group.spawn(call)
        assert Loop().run(main())
    assert ended == [1]


MODELS = [
    Model(all_are_done_at_the_end, GROUPS),
    Model(two_at_a_time, GROUPS),
    Model(they_wait_for_each_other, GROUPS),
    Model(a_spawn_comes_with_the_end, GROUPS),
    Model(a_spawn_comes_with_the_end_and_takes_long, GROUPS),
    Model(a_call_asks_when_a_scope_around_is_cancelled, GROUPS),
    Model(a_spawn_comes_with_a_cancel, GROUPS),
    Model(a_spawn_comes_with_a_failure, GROUPS),
    Model(a_call_spawns_into_a_group_that_fails, GROUPS),
    Model(a_call_spawns_when_a_scope_around_is_cancelled, GROUPS),
    Model(calls_spawn_their_like, GROUPS),
    Model(two_fail, GROUPS),
    Model(the_block_fails_with_a_call, GROUPS),
    Model(the_block_fails_while_a_call_waits, GROUPS),
    Model(a_failure_wakes_the_block_and_the_rest, GROUPS),
    Model(nothing_is_taken_after_a_failure, GROUPS),
    Model(a_clean_up_fails, GROUPS),
    Model(what_is_left_is_given_up, GROUPS),
    Model(nothing_is_begun_after_it_was_given_up, GROUPS),
    Model(the_system_has_no_thread_for_one, GROUPS),
    Model(the_system_has_no_thread_at_all, GROUPS),
    Model(nothing_is_begun_after_a_cancel, GROUPS),
    Model(a_group_is_cancelled_while_its_calls_wait, GROUPS),
    Model(a_task_is_cancelled_when_its_turn_comes, GROUPS),
    Model(a_scope_around_is_cancelled, GROUPS),
    Model(the_time_of_a_group_is_up, GROUPS),
    Model(the_first_wins, RACES),
    Model(two_come_in_together, RACES),
    Model(one_fails_and_one_wins, RACES),
    Model(all_fail, RACES),
    Model(one_starts_when_another_fails, RACES),
    Model(a_race_has_a_deadline, RACES),
    Model(a_task_is_awaited, AWAITS),
    Model(who_awaits_is_cancelled, AWAITS),
]

FAULTS = {
    "a spawn looks outside the lock whether it may": Fault(
        TaskGroup,
        "_start",
        """\
    with crew.lock:
        self._refuse_if_closed()
        crew.todo.append(call)  # type: ignore[arg-type]  # a call gives out a T, and takes none
        self._spawned += 1
        if self._closed and crew.drop(call):  # type: ignore[arg-type]
            self._spawned -= 1
            self._refuse_if_closed()  # by a signal handler, which the lock lets in
""",
        """\
    self._refuse_if_closed()
    with crew.lock:
        crew.todo.append(call)
        self._spawned += 1
""",
        a_spawn_comes_with_the_end,
        runs=4000,
    ),
    "who closes a group leaves what is to do": Fault(
        TaskGroup,
        "_close",
        "crew.drop_all()",
        "pass",
        nothing_is_begun_after_a_cancel,
    ),
    "what was taken out is not cancelled": Fault(
        TaskGroup,
        "_close",
        """\
    try:
        crew.cancel_dropped()
""",
        """\
    try:
        pass
""",
        a_spawn_comes_with_a_cancel,
    ),
    "a group is not closed when it has ended": Fault(
        TaskGroup,
        "_has_ended",
        'self._closed = self._closed or "it has ended"',
        "pass",
        all_are_done_at_the_end,
    ),
    "a refusal is no error when the scope was cancelled, and not before": Fault(
        TaskGroup,
        "_stopping",
        "if self._told_to_stop:",
        "if self._scope._requested:",
        a_call_spawns_into_a_group_that_fails,
        runs=2000,
    ),
    "to ask for what was stopped is an error when a scope around was cancelled": Fault(
        TaskGroup,
        "_stopping",
        "return self._scope if asked else None",
        "return None",
        a_call_asks_when_a_scope_around_is_cancelled,
        runs=2000,
    ),
    "what nobody asked to stop has the time of grace": Fault(
        TaskGroup,
        "_join",
        "while not self._told_to_stop and not self._has_ended():",
        "if True:",
        a_spawn_comes_with_the_end_and_takes_long,
        runs=4000,
    ),
    "a failure stops nobody": Fault(
        TaskGroup,
        "_failed",
        "self._scope.cancel(error)",
        "pass",
        a_failure_wakes_the_block_and_the_rest,
    ),
    "a failure leaves the group open": Fault(
        TaskGroup,
        "_failed",
        'self._close("it has failed")',
        "pass",
        nothing_is_taken_after_a_failure,
    ),
    "a failure of the block stops nobody": Fault(
        TaskGroup,
        "_join",
        "self._scope.cancel(body)",
        "pass",
        the_block_fails_while_a_call_waits,
    ),
    "only the first error is kept": Fault(
        TaskGroup,
        "_failed",
        "self._errors.append(error)",
        "self._errors[:] = self._errors[:1] or [error]",
        two_fail,
    ),
    "who has taken a call does not look whether that was seen": Fault(
        Hands,
        "_run",
        "if self._over:",
        "if False:",
        nothing_is_begun_after_it_was_given_up,
        runs=4000,
    ),
    "the errors are read without the lock's word for it": Fault(
        TaskGroup,
        "_end",
        "self._told = True",
        "pass",
        what_is_left_is_given_up,
        runs=4000,
    ),
    "an error is raised and reported": Fault(
        Call,
        "_report_late",
        "if not self._noted:",
        "if True:",
        what_is_left_is_given_up,
        runs=4000,
    ),
    "the block's own error comes last": Fault(
        TaskGroup,
        "_end",
        "[body, *self._errors]",
        "[*self._errors, body]",
        the_block_fails_with_a_call,
    ),
    "a call that was cancelled runs": Fault(
        Call,
        "_begin",
        "if self._state != PENDING:",
        "if False:",
        a_task_is_cancelled_when_its_turn_comes,
    ),
    "a stop is taken for a failure": Fault(
        Call,
        "_failed",
        "(asking is None or not asking._has_asked(error)) and",
        "",
        a_group_is_cancelled_while_its_calls_wait,
    ),
    "what has been refused stays to be done": Fault(
        Hands,
        "drop",
        "self.todo.remove(call)",
        "pass",
        the_system_has_no_thread_at_all,
    ),
    "others wait for a thread that was not to be had": Fault(
        TaskGroup,
        "_start",
        "if crew.todo:",
        "if False:",
        the_system_has_no_thread_for_one,
    ),
    "a call is taken by looking": Fault(
        Hands,
        "work",
        "call = self.todo.popleft()",
        "call = self.todo[0]; self.todo.remove(call)",
        two_at_a_time,
        runs=4000,
    ),
    "the losers run on": Fault(
        _Race,
        "_try",
        'self.cancel("another call has succeeded")',
        "pass",
        the_first_wins,
    ),
    "the last one wins": Fault(
        _Race,
        "result",
        "return self._won[0]",
        "return self._won[1]",
        the_first_wins,
    ),
    "a failure ends the race": Fault(
        _Race,
        "_try",
        "self._lost.append(error)",
        "self._lost.append(error); self.cancel()",
        one_fails_and_one_wins,
    ),
    "a failure does not let the next one start": Fault(
        _Race,
        "_try",
        "self._next.release()",
        "pass",
        one_starts_when_another_fails,
    ),
    "a race waits for all": Fault(
        _Race,
        "_end_of_grace",
        "max(self._scope.deadline, _runtime.monotonic()) + LAST_MOMENT",
        "self._scope.deadline + 100",
        a_race_has_a_deadline,
    ),
    "who was cancelled does not wait for the call": Fault(
        _task,
        "await_task",
        "while not task.done():",
        "while False:",
        who_awaits_is_cancelled,
    ),
}


class TestGroup(Composed):
    models = MODELS
    faults = FAULTS
