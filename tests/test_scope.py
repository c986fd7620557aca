"""`CancelScope` and its kin: who is stopped, by which scope, and who is not."""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import contextvars
import functools
import gc
import math
import os
import re
import signal
import sys
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from joinable import (
    Cancelled,
    CancelledError,
    CancelScope,
    DeadlineExceeded,
    Task,
    Thread,
    checkpoint,
    current_scope,
    fail_after,
    move_on_after,
    remaining,
    run_all,
    shield,
    sleep,
    spawn,
)
from joinable import _park as park
from joinable._chain import Sleeper
from joinable._chain import current as variable
from joinable.testing import FakeClock, Sequencer
from processes import run, signalled
from waiting import LONG, PATIENCE, elsewhere, sleeper, until, waiting_in

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from joinable._typing import Lock

TIMED: list[Callable[[float], object]] = [move_on_after, fail_after, shield, sleep]


@pytest.fixture(autouse=True)
def _no_scope_is_left_behind() -> Generator[None]:
    assert variable.get() is None
    yield
    assert variable.get() is None


def stopped(scope: CancelScope, wait: Callable[[], object]) -> Cancelled:
    """Run a wait in a cancelled scope; return what it raised."""
    with pytest.raises(Cancelled) as caught:
        wait()
    assert caught.value._scope is scope
    return caught.value


# -------------------------------------------------------------------- cancelling


def test_a_cancelled_scope_stops_a_wait_in_it_and_swallows_its_cancelled() -> None:
    with CancelScope() as scope:
        scope.cancel()
        sleep(LONG)
        pytest.fail("the wait was not stopped")
    assert scope.cancelled
    assert scope.cancelled_caught


def test_a_scope_that_is_not_cancelled_stops_nothing() -> None:
    with CancelScope() as scope:
        sleep(0)
        checkpoint()
    assert (scope.cancelled, scope.cancelled_caught, scope.reason) == (False, False, None)


def test_another_thread_wakes_the_wait_at_once() -> None:
    scope = CancelScope()

    def cancel() -> None:
        waiting_in(scope)
        scope.cancel("enough")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with scope:
        sleep(LONG)
    canceller.join()
    assert scope.cancelled_caught
    assert scope.reason == "enough"


def test_every_thread_that_was_started_in_the_block_is_stopped() -> None:
    with CancelScope() as scope:
        threads = [spawn(sleep, LONG) for _ in range(5)]
        waiting_in(scope, 5)
        scope.cancel()
        assert not scope.cancelled_caught
    for thread in threads:
        thread.join()
        assert thread.cancelled()
    assert scope.cancelled
    assert not scope.cancelled_caught  # nothing in the block itself was cut short


def test_a_thread_started_by_a_thread_belongs_to_the_scope_too() -> None:
    inner: list[Thread[None]] = []

    def outer() -> None:
        inner.append(spawn(sleep, LONG))
        inner[0].exception()

    with CancelScope() as scope:
        thread = spawn(outer)
        waiting_in(scope, 2)
        scope.cancel()
    thread.join()
    inner[0].join()
    assert (thread.cancelled(), inner[0].cancelled()) == (True, True)


def test_what_runs_outside_is_not_stopped() -> None:
    gate: Task[int] = Task()
    outside = spawn(gate.result)
    with CancelScope() as scope:
        scope.cancel()
    gate.set_result(3)
    assert outside.result() == 3


def test_it_is_level_triggered_until_the_scope_is_left() -> None:
    waits: list[Callable[[], object]] = [
        checkpoint, functools.partial(sleep, 0), functools.partial(sleep, LONG),
        Task[None]().result, Task[None]().exception, functools.partial(Task[None]().result, 0),
    ]  # fmt: skip
    with CancelScope() as scope:
        scope.cancel("again and again")
        errors = [stopped(scope, wait) for wait in waits * 3]
    assert not scope.cancelled_caught  # each was caught in the block
    assert len({id(error) for error in errors}) == len(errors)
    assert {error.reason for error in errors} == {"again and again"}
    checkpoint()


def test_a_finally_that_waits_is_stopped_again_and_the_scope_swallows_the_last() -> None:
    with CancelScope() as scope:
        scope.cancel()
        try:
            sleep(LONG)
        finally:
            sleep(LONG)
    assert scope.cancelled_caught


def test_cancelled_is_no_exception() -> None:
    assert issubclass(Cancelled, BaseException)
    assert not issubclass(Cancelled, Exception)


def test_only_the_scope_that_asked_swallows() -> None:
    with CancelScope() as outer:
        with CancelScope() as inner:
            outer.cancel()
            sleep(LONG)
        pytest.fail("the inner one has swallowed it")
    assert (outer.cancelled_caught, inner.cancelled_caught, inner.cancelled) == (True, False, False)


def test_of_several_the_outermost_asks() -> None:
    with CancelScope() as outer:
        with CancelScope() as middle, CancelScope() as inner:
            for scope in (inner, middle, outer):
                scope.cancel()
                stopped(scope, checkpoint)
            sleep(LONG)
        pytest.fail("an inner one has swallowed it")
    assert [scope.cancelled_caught for scope in (outer, middle, inner)] == [True, False, False]


def test_an_error_of_the_block_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError), CancelScope() as scope:
        scope.cancel()
        raise ZeroDivisionError
    assert scope.cancelled
    assert not scope.cancelled_caught


def test_a_cancelled_that_nobody_asked_for_is_not_swallowed() -> None:
    with pytest.raises(Cancelled, match="mine"), CancelScope() as scope:
        scope.cancel()
        raise Cancelled("mine")
    assert not scope.cancelled_caught


def test_a_cancelled_that_is_kept_is_not_swallowed_by_a_later_scope() -> None:
    kept: list[Cancelled] = []
    with CancelScope() as first:
        first.cancel()
        kept.append(stopped(first, checkpoint))
    with pytest.raises(Cancelled) as caught, CancelScope() as second:
        second.cancel()
        raise kept[0]
    assert caught.value is kept[0]


@pytest.mark.parametrize("reason", [None, "the window was closed", ValueError("bad input")])
def test_the_reason_reaches_who_catches(reason: str | BaseException | None) -> None:
    with CancelScope() as scope:
        scope.cancel(reason)
        error = stopped(scope, checkpoint)
        assert error.reason is reason
        assert scope.reason is reason
        assert str(error) == {
            None: "cancelled",
            "the window was closed": "the window was closed",
        }.get(cast("str", reason), "cancelled because of ValueError: bad input")


def test_the_first_reason_counts() -> None:
    with CancelScope() as scope:
        scope.cancel("first")
        scope.cancel("second")
        assert scope.reason == "first"


def test_a_scope_that_was_cancelled_before_it_was_entered_stops_the_first_wait() -> None:
    scope = CancelScope()
    scope.cancel()
    with scope:
        assert scope.cancelled
        sleep(LONG)
    assert scope.cancelled_caught


def test_a_scope_that_was_left_cannot_be_cancelled() -> None:
    with CancelScope() as scope:
        pass
    scope.cancel("too late")
    assert not scope.cancelled
    assert scope.reason is None


def test_of_many_who_cancel_at_once_one_reason_counts_and_all_waits_end() -> None:
    for _ in range(30):
        start = threading.Barrier(5)

        def cancel(scope: CancelScope, number: int, start: threading.Barrier = start) -> None:
            start.wait()
            scope.cancel(str(number))

        scope = CancelScope()
        cancellers = [threading.Thread(target=cancel, args=(scope, n)) for n in range(4)]
        for canceller in cancellers:
            canceller.start()
        with scope:
            thread = spawn(sleep, LONG)
            start.wait()
            with pytest.raises(Cancelled) as caught:
                sleep(LONG)
            assert caught.value.reason == scope.reason
        for canceller in cancellers:
            canceller.join()
        thread.join()
        assert thread.cancelled()
        assert scope.reason in set("0123")


# -------------------------------------------------------------------- deadlines


def test_move_on_after_goes_on_behind_the_block_and_not_before_its_time() -> None:
    with FakeClock(autojump=True) as clock:
        with move_on_after(10) as scope:
            sleep(9.5)
            assert not scope.cancelled
            sleep(9.5)
            pytest.fail("the deadline did not stop it")
        assert clock.now == 10
    assert (scope.cancelled, scope.cancelled_caught) == (True, True)


def test_fail_after_raises_and_tells_the_line_at_which_the_block_was() -> None:
    with FakeClock(autojump=True) as clock:
        with pytest.raises(DeadlineExceeded) as caught, fail_after(10):
            sleep(LONG)
        assert clock.now == 10
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.unfinished == ()
    assert isinstance(error.__cause__, Cancelled)
    pattern = r"the block did not end within 10 s: it was stopped at (.*):\d+ in test_fail_after_.*"
    match = re.fullmatch(pattern, str(error))
    assert match is not None
    assert match[1] == __file__


def test_fail_after_that_cancel_has_stopped_raises_nothing() -> None:
    with fail_after(LONG) as scope:
        scope.cancel()
        sleep(LONG)
    assert scope.cancelled_caught


def test_fail_after_whose_block_ends_late_by_itself_raises_nothing() -> None:
    with FakeClock() as clock:
        with fail_after(1) as scope:
            clock.advance(2)
        assert scope.cancelled
        assert not scope.cancelled_caught
        with pytest.raises(ZeroDivisionError), fail_after(1):
            clock.advance(2)
            raise ZeroDivisionError


@pytest.mark.parametrize(("outer", "inner", "first"), [(5, 10, 0), (10, 5, 1), (5, 5, 0)])
def test_of_nested_deadlines_the_earlier_counts_and_of_equal_ones_the_outer(
    outer: float, inner: float, first: int
) -> None:
    with FakeClock(autojump=True) as clock:
        with move_on_after(outer) as a:
            with move_on_after(inner) as b:
                sleep(LONG)
            assert clock.now == inner
            assert first == 1
        assert clock.now == min(outer, inner)
    assert [a.cancelled_caught, b.cancelled_caught] == [not first, bool(first)]


def test_a_deadline_stops_the_threads_of_the_block() -> None:
    with FakeClock() as clock, move_on_after(10) as scope:
        thread = spawn(sleep, LONG)
        clock.until_waiting()
        clock.advance(9)
        assert thread.running()
        clock.advance(1)
        until(thread.cancelled)
        assert scope.cancelled


def test_the_seconds_count_from_the_with() -> None:
    with FakeClock() as clock:
        scope = move_on_after(5)
        assert scope.deadline == math.inf
        clock.advance(100)
        with scope:
            assert remaining() == 5
            clock.advance(4)
            checkpoint()
            clock.advance(1)
            checkpoint()
    assert scope.cancelled_caught


def test_a_scope_takes_an_absolute_deadline() -> None:
    with CancelScope(deadline=time.monotonic() - 1) as past:
        assert past.cancelled
        checkpoint()
    assert past.cancelled_caught
    when = time.monotonic() + LONG
    with CancelScope(deadline=when) as future:
        assert future.deadline == when
        checkpoint()
    assert not future.cancelled


def test_the_deadline_of_a_scope_that_was_left_fires_no_more() -> None:
    with FakeClock() as clock:
        with move_on_after(5) as scope:
            thread = spawn(sleep, 20)
            clock.until_waiting()
        clock.advance(10)
        assert thread.running()
        clock.until_waiting()
        clock.advance(10)
        assert thread.result() is None
        assert not scope.cancelled


def test_no_time_at_all_stops_the_first_wait() -> None:
    with move_on_after(0) as scope:
        checkpoint()
    assert scope.cancelled_caught
    with pytest.raises(DeadlineExceeded, match=r"within 0 s"), fail_after(0):
        sleep(0)


def test_a_wait_that_can_end_before_the_deadline_does() -> None:
    with FakeClock(autojump=True) as clock, fail_after(10) as scope:
        sleep(3)
        assert clock.now == 3
        with pytest.raises(DeadlineExceeded):
            Task[None]().result(timeout=4)
        assert clock.now == 7
        assert not scope.cancelled


# -------------------------------------------------------------------- remaining, sleep


def test_remaining_is_infinite_without_a_deadline() -> None:
    assert remaining() == math.inf
    with CancelScope():
        assert remaining() == math.inf


def test_remaining_is_what_the_earliest_deadline_leaves() -> None:
    with FakeClock() as clock, CancelScope() as around:
        with move_on_after(10), move_on_after(20):
            assert remaining() == 10
            with move_on_after(3):
                assert remaining() == 3
                clock.advance(2)
                assert remaining() == 1
                clock.advance(2)
                assert remaining() == 0
            assert remaining() == 6
        around.cancel()
        assert remaining() == 0


def test_what_a_shield_keeps_off_counts_from_its_end() -> None:
    with FakeClock() as clock, move_on_after(2) as outer:
        with shield(5):
            assert remaining() == 5
            clock.advance(1)
            assert remaining() == 4
        with shield(0.5):
            assert remaining() == 1
        outer.cancel()
        with shield(None):
            assert remaining() == math.inf
            with move_on_after(7):
                assert remaining() == 7
        assert remaining() == 0


def test_sleep_sleeps_so_long() -> None:
    with FakeClock(autojump=True) as clock:
        sleep(1.5)
        sleep(2)
        assert clock.now == 3.5
    begun = time.monotonic()
    sleep(0.02)
    assert time.monotonic() - begun >= 0.0199


def test_an_endless_sleep_ends_with_its_scope() -> None:
    with FakeClock(autojump=True) as clock, move_on_after(9) as scope:
        sleep(math.inf)
    assert scope.cancelled_caught
    assert clock.now == 9


# -------------------------------------------------------------------- shield


def test_a_shield_keeps_a_cancelled_scope_off_and_its_end_does_not() -> None:
    with FakeClock(autojump=True) as clock, CancelScope() as scope:
        scope.cancel()
        with shield(10):
            sleep(4)
            assert clock.now == 4
        sleep(LONG)
        pytest.fail("behind the shield the scope counts again")
    assert scope.cancelled_caught
    assert clock.now == 4


def test_a_shield_that_expires_wakes_its_waiter() -> None:
    with FakeClock(autojump=True) as clock, CancelScope() as scope:
        scope.cancel()
        with shield(10) as guard:
            sleep(LONG)
    assert clock.now == 10
    assert (scope.cancelled_caught, guard.cancelled_caught, guard.cancelled) == (True, False, False)


def test_a_shield_that_expires_in_a_scope_that_is_not_cancelled_wakes_nobody() -> None:
    with FakeClock(autojump=True) as clock, CancelScope(), shield(10):
        sleep(15)
        assert clock.now == 15


def test_a_scope_cancelled_behind_an_expired_shield_wakes_the_waiter_that_began_before() -> None:
    with FakeClock() as clock:
        with CancelScope() as scope, shield(10):
            thread = spawn(sleep, LONG)
            clock.until_waiting()
            clock.advance(20)
            clock.until_waiting()
            scope.cancel()
            with pytest.raises(CancelledError):
                thread.result()
        thread.join()


def test_a_shield_without_end_has_to_be_written_out_and_lasts_for_the_block() -> None:
    with FakeClock(autojump=True) as clock, CancelScope() as scope:
        scope.cancel()
        with shield(None):
            sleep(10 * LONG)
        assert clock.now == 10 * LONG
        with shield(0):
            checkpoint()
            pytest.fail("a shield of no time keeps nothing off")
    assert scope.cancelled_caught


def test_a_shield_keeps_deadlines_off_too_but_not_those_within() -> None:
    with FakeClock(autojump=True) as clock, move_on_after(2) as outer:
        with shield(LONG):
            with move_on_after(5) as inner:
                sleep(LONG)
            assert inner.cancelled_caught
            assert clock.now == 5
        checkpoint()
        pytest.fail("the outer deadline has passed")
    assert outer.cancelled_caught


def test_a_shield_can_itself_be_cancelled() -> None:
    with CancelScope() as scope:
        with shield(LONG) as guard:
            guard.cancel()
            sleep(LONG)
        assert guard.cancelled_caught
        checkpoint()
    assert not scope.cancelled


def test_threads_started_under_a_shield_are_shielded() -> None:
    gate: Task[int] = Task()
    with CancelScope() as scope, shield(LONG) as guard:
        thread = spawn(gate.result)
        waiting_in(guard)
        scope.cancel()
        assert not scope._sleepers
        gate.set_result(8)
        assert thread.result() == 8


# -------------------------------------------------------------------- a scope that was left


def test_a_thread_that_goes_on_in_a_scope_that_was_left_belongs_to_the_parent() -> None:
    with CancelScope() as parent:
        with CancelScope() as scope:
            thread, own = sleeper()
        scope.cancel()  # over: it stops nobody
        assert thread.running()
        assert len(own._sleepers) == 1
        parent.cancel()
        with shield(LONG):
            thread.join()
    assert thread.cancelled()


def test_what_was_told_to_stop_stays_told_though_the_scope_is_left_at_once() -> None:
    left, cancelled = threading.Event(), list[object]()

    def work() -> None:  # it comes to its wait when the scope has been left
        left.wait()
        with pytest.raises(Cancelled) as caught:
            sleep(LONG)
        cancelled.append(caught.value._scope)

    with CancelScope() as scope:
        threads = [spawn(work) for _ in range(3)]
        scope.cancel()
    left.set()
    for thread in threads:
        thread.result()
        thread.join()
    assert cancelled == [scope] * 3


def test_a_deadline_that_had_passed_when_the_scope_was_left_stays_passed() -> None:
    with FakeClock() as clock:
        left = threading.Event()

        def work() -> None:
            left.wait()
            checkpoint()

        with move_on_after(5) as late:
            first = spawn(work)
            clock.advance(5)
        with move_on_after(5) as early:
            second = spawn(work)
            clock.advance(4)
        clock.advance(10)
        left.set()
        for thread in (first, second):
            thread.join()
        assert (first.cancelled(), second.cancelled()) == (True, False)
        assert (late.cancelled, early.cancelled) == (True, False)


def test_a_thread_that_waits_under_a_shield_that_is_left_belongs_to_the_parent() -> None:
    with CancelScope() as parent:
        with shield(None):
            thread, own = sleeper()
        parent.cancel()
        with shield(None):
            thread.join(5)
            stopped_by_the_parent = thread.cancelled()
            own.cancel()
            thread.join()
    assert stopped_by_the_parent


def test_a_thread_under_a_shield_that_is_left_in_a_cancelled_scope_is_stopped() -> None:
    with CancelScope() as parent:
        with shield(None):
            thread, own = sleeper()
            parent.cancel()
        with shield(None):
            thread.join(5)
            stopped_by_the_parent = thread.cancelled()
            own.cancel()
            thread.join()
    assert stopped_by_the_parent


def test_a_deadline_behind_a_shield_that_is_left_stops_who_waited_under_it() -> None:
    with FakeClock() as clock, move_on_after(10):
        with shield(None):
            thread = spawn(sleep, LONG)
            clock.until_waiting()
        clock.until_waiting()
        clock.advance(10)
        with shield(None):
            try:
                until(thread.done)
                assert thread.cancelled()
            finally:
                thread.cancel()


def test_a_wait_that_begins_in_a_scope_that_was_left_is_the_parents() -> None:
    left, steps, seen = threading.Event(), Sequencer(), list[object]()

    def work() -> None:
        left.wait()
        with steps(0):
            checkpoint()  # the scope is over, and was not cancelled before
        with steps(2), pytest.raises(Cancelled) as caught:
            checkpoint()
        seen.append(caught.value._scope)

    with CancelScope() as parent:
        with CancelScope() as scope:
            thread = spawn(work)
        scope.cancel()
        left.set()
        with steps(1):
            parent.cancel()
        with shield(None):
            thread.result()
            thread.join()
    assert seen == [parent]


# -------------------------------------------------------------------- forced races


class Interposed:
    """A lock before whose next entry something happens, once."""

    def __init__(self, lock: Lock, before: Callable[[], object]) -> None:
        self.lock, self.before = lock, [before]

    def __enter__(self) -> bool:
        if self.before:
            self.before.pop()()
        return self.lock.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.lock.__exit__(exc_type, exc, traceback)


def interpose(scope: CancelScope, before: Callable[[], object]) -> None:
    scope._lock = Interposed(scope._lock, before)  # type: ignore[assignment, arg-type, unused-ignore]


def test_a_cancel_between_the_look_and_the_entry_of_a_wait_stops_it() -> None:
    # 1. The wait has looked: nobody asks. 2. Another thread cancels, and finds nobody who waits.
    # 3. The wait is entered: it has to look again.
    with CancelScope() as scope:
        interpose(scope, elsewhere(scope.cancel))
        begun = time.monotonic()
        sleep(5)
        pytest.fail("the cancel was lost")
    assert scope.cancelled_caught
    assert time.monotonic() - begun < 4  # at the end of its time it looks in any case


def left_between(use: Callable[[CancelScope], object]) -> tuple[CancelScope, Thread[object]]:
    """Leave a shield while a thread within it is about to enter there, then cancel the parent."""
    at_the_lock, left = threading.Event(), threading.Event()

    def wait_at_the_lock() -> None:
        at_the_lock.set()
        left.wait(PATIENCE)

    def work() -> object:
        own = current_scope()
        assert own is not None
        interpose(guard, wait_at_the_lock)
        return use(own)

    with CancelScope() as parent:
        with shield(None) as guard:
            thread = spawn(work)
            at_the_lock.wait()
        left.set()
        with shield(None):
            until(lambda: parent._sleepers or parent._callbacks or thread.done())
        parent.cancel()
    return parent, thread


def test_a_shield_that_is_left_between_the_look_and_the_entry_of_a_wait_is_noticed() -> None:
    parent, thread = left_between(lambda _: sleep(5))
    begun = time.monotonic()
    thread.join()
    assert thread.cancelled()
    assert time.monotonic() - begun < 4  # at the end of its time it looks in any case
    assert not parent._sleepers


def test_a_shield_that_is_left_between_the_look_and_the_entry_of_a_callback_is_noticed() -> None:
    called = threading.Event()

    def use(own: CancelScope) -> bool:
        own.on_cancel(called.set)
        return called.wait(5)

    _, thread = left_between(use)
    assert thread.result() is True
    thread.join()


def test_two_scopes_that_are_cancelled_at_once_release_a_latch_once() -> None:
    # 1. The inner one wakes the wait. 2. Before that has deregistered from the outer one, the outer
    # one is cancelled too. The latch has to be held afterwards, or it would pass for notified.
    latch = park.latch()

    def cancel() -> None:
        waiting_in(outer)
        interpose(outer, elsewhere(outer.cancel))
        inner.cancel()

    with CancelScope() as outer, CancelScope() as inner:
        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(Cancelled):
            park.park(latch)
        assert latch.locked()
    canceller.join()
    assert outer.cancelled
    assert inner.cancelled


@pytest.mark.parametrize("late", [False, True], ids=["before a wake-up", "after it"])
def test_an_interrupt_in_a_cancel_leaves_nobody_asleep(
    monkeypatch: pytest.MonkeyPatch,
    *,
    late: bool,
) -> None:
    wake, called, interrupts = Sleeper.wake, list[int](), [KeyboardInterrupt]

    def interrupted(sleeper: Sleeper) -> None:
        if late:
            wake(sleeper)
        if interrupts:
            raise interrupts.pop()
        wake(sleeper)

    with CancelScope() as scope:
        threads = [sleeper()[0] for _ in range(3)]
        scope.on_cancel(functools.partial(called.append, 1))
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Sleeper, "wake", interrupted)
            scope.cancel()
        for thread in threads:
            thread.join()
    assert called == [1]


def test_a_cancel_that_comes_as_the_scope_is_left_is_done_or_not_at_all() -> None:
    # 1. `cancel` has seen that the scope is open. 2. The scope is left. 3. `cancel` goes on.
    scope = CancelScope()
    entered = threading.Event()

    def own() -> None:
        with scope:
            threads.append(sleeper()[0])
            entered.set()
            steps.wait()

    steps, threads = threading.Event(), list[Thread[None]]()
    owner = threading.Thread(target=own)
    owner.start()
    entered.wait()

    def leave() -> None:
        steps.set()
        owner.join()

    interpose(scope, leave)
    scope.cancel()
    owner.join()
    told = scope.cancelled
    threads[0].join(5 if told else 0.05)
    stopped_by_it = threads[0].cancelled()
    threads[0].cancel()
    threads[0].join()
    assert told == stopped_by_it


# -------------------------------------------------------------------- what it tells


def test_current_scope_is_the_innermost() -> None:
    assert current_scope() is None
    with CancelScope() as outer:
        assert current_scope() is outer
        with move_on_after(LONG) as inner:
            assert current_scope() is inner
        assert current_scope() is outer
    assert current_scope() is None


def test_a_thread_has_a_scope_of_its_own_which_task_cancel_cancels() -> None:
    def work() -> CancelScope | None:
        return current_scope()

    with CancelScope() as scope:
        own = spawn(work).result()
    assert own is not None
    assert own is not scope
    assert own._parent is scope
    thread, mine = sleeper()
    assert thread.cancel()
    thread.join()
    assert thread.cancelled()
    assert mine.cancelled


def test_its_repr_tells_the_line_and_the_state() -> None:
    scope = move_on_after(60)
    assert repr(scope) == "<CancelScope not entered>"
    with FakeClock():
        with scope:
            line = sys._getframe().f_lineno - 1
            assert repr(scope) == f"<CancelScope entered at {__file__}:{line}, 60 s left>"
            scope.cancel()
            assert repr(scope) == f"<CancelScope entered at {__file__}:{line}, cancelled>"
        assert repr(scope) == f"<CancelScope left at {__file__}:{line}, cancelled>"


def test_a_scope_that_was_left_keeps_nothing_of_its_block() -> None:
    class Held:
        pass

    def block() -> tuple[CancelScope, weakref.ref[Held]]:
        held = Held()
        with CancelScope() as scope:
            scope.on_cancel(lambda: held)
            sleep(0)
        return scope, weakref.ref(held)

    scope, held = block()
    gc.collect()
    assert held() is None
    assert scope._sleepers == {}
    assert scope._callbacks == {}


def test_threads_that_start_each_other_and_end_do_not_make_a_chain_of_their_scopes() -> None:
    scopes: list[weakref.ref[CancelScope]] = []
    depths: list[int] = []

    def work(before: Thread[None] | None, left: int) -> None:
        if before is not None:
            before.join()
            del before
        link = scope = current_scope()
        assert scope is not None
        scopes.append(weakref.ref(scope))
        depth = 0
        while link is not None:
            link, depth = link._parent, depth + 1  # type: ignore[assignment]
        depths.append(depth)
        if left:
            own = threading.current_thread()
            # Not kept: what a thread keeps is not to be the reason why its scope is.
            spawn(work, own, left - 1)  # type: ignore[arg-type, unused-awaitable]
        else:
            done.set()

    done = threading.Event()
    spawn(work, None, 50)  # type: ignore[unused-awaitable]
    assert done.wait(PATIENCE)
    assert max(depths) <= 3  # its own, that of the one that started it, and perhaps one more
    gc.collect()
    assert sum(scope() is not None for scope in scopes) <= 3


def test_a_scope_that_was_cancelled_and_left_is_not_skipped() -> None:
    steps = Sequencer()

    def second() -> None:
        with steps(2):
            pass
        sleep(LONG)

    def first() -> Thread[None]:
        with steps(1):
            return spawn(second)

    with CancelScope() as scope:
        thread = spawn(first)
        with steps(0):
            scope.cancel()
    started = thread.result()
    with pytest.raises(CancelledError):
        started.result()
    started.join()


def test_the_error_of_a_task_keeps_no_scope_around_it() -> None:
    def block() -> tuple[Thread[None], weakref.ref[CancelScope]]:
        with CancelScope() as scope:
            thread = spawn(sleep, -1)
            thread.join()
        return thread, weakref.ref(scope)

    gc.disable()
    try:
        thread, scope = block()
        assert isinstance(thread.exception(), ValueError)
        assert scope() is None
    finally:
        gc.enable()


def test_a_wait_leaves_nothing_behind_in_its_scopes() -> None:
    with CancelScope() as outer, CancelScope() as inner:
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                Task[None]().result(timeout=0.001)
        inner.cancel()
        stopped(inner, functools.partial(sleep, LONG))
        assert (outer._sleepers, inner._sleepers) == ({}, {})


# -------------------------------------------------------------------- bad input, misuse


@pytest.mark.parametrize("function", TIMED, ids=lambda function: function.__name__)
@pytest.mark.parametrize(
    ("seconds", "error", "message"),
    [
        (math.nan, ValueError, "seconds must be a number of seconds, not NaN"),
        (-1, ValueError, "seconds must be at least 0, not -1"),
        (-math.inf, ValueError, "seconds must be at least 0, not -inf"),
        ("5", TypeError, r"seconds must be a number of seconds.*, not str \('5'\)"),
        (True, TypeError, r"seconds must be a number of seconds.*, not bool \(True\)"),
        (1j, TypeError, r"seconds must be a number of seconds.*, not complex \(1j\)"),
    ],
    ids=repr,
)
def test_seconds_must_be_a_number_of_at_least_0(
    function: Callable[[object], object], seconds: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        function(seconds)


@pytest.mark.parametrize("function", [move_on_after, fail_after], ids=["move_on", "fail"])
def test_none_is_no_time_and_the_message_tells_what_to_write(
    function: Callable[[object], object],
) -> None:
    with pytest.raises(TypeError, match=r"not None: without a deadline, use CancelScope\(\)"):
        function(None)
    with pytest.raises(TypeError, match="seconds must be a number of seconds, not None"):
        cast("Callable[[object], object]", sleep)(None)


@pytest.mark.parametrize(
    ("deadline", "error"),
    [(math.nan, ValueError), (None, TypeError), ("soon", TypeError), (False, TypeError)],
    ids=repr,
)
def test_a_deadline_must_be_a_time(deadline: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="deadline must be"):
        CancelScope(deadline=cast("float", deadline))


@pytest.mark.parametrize("reason", [3, b"bytes", ValueError, ["list"]], ids=repr)
def test_a_reason_must_be_a_text_or_an_exception(reason: object) -> None:
    with CancelScope() as scope:
        with pytest.raises(TypeError, match="reason must be a text or an exception, not "):
            scope.cancel(cast("str", reason))
        assert not scope.cancelled


def test_a_callback_must_be_callable() -> None:
    async def coroutine() -> None:
        """Would never run."""

    with CancelScope() as scope:
        with pytest.raises(TypeError, match="callback must be callable, not None"):
            scope.on_cancel(cast("Callable[[], object]", None))
        with pytest.raises(TypeError, match="callback is the coroutine function"):
            scope.on_cancel(coroutine)


def test_on_cancel_outside_of_the_block_is_an_error() -> None:
    scope = CancelScope()
    message = "on_cancel has to be called inside the `with` of the scope: <CancelScope not entered>"
    with pytest.raises(RuntimeError, match=message):
        scope.on_cancel(int)
    with scope:
        pass
    with pytest.raises(RuntimeError, match="inside the `with` of the scope: <CancelScope left at"):
        scope.on_cancel(int)


def test_a_scope_is_entered_once() -> None:
    scope = CancelScope()
    with scope:
        with (
            pytest.raises(RuntimeError, match=r"can be entered once.*<CancelScope entered at"),
            scope,
        ):
            pytest.fail("entered twice at a time")
        assert current_scope() is scope
    with pytest.raises(RuntimeError, match=r"can be entered once.*<CancelScope left at"), scope:
        pytest.fail("entered twice")
    assert current_scope() is None


def leave_out_of_order() -> None:
    outer, inner = CancelScope(), move_on_after(60)
    outer.__enter__()
    inner.__enter__()
    message = r"left out of order: <CancelScope entered at .*>; in force is <CancelScope .* s left>"
    with pytest.raises(RuntimeError, match=message):
        outer.__exit__(None, None, None)
    # The outer one is over all the same, and the inner one can be left.
    assert current_scope() is inner
    outer.cancel()
    checkpoint()
    inner.__exit__(None, None, None)
    assert current_scope() is None
    with CancelScope() as scope:
        assert scope._parent is None


def test_a_scope_left_out_of_order_is_an_error_that_says_which() -> None:
    contextvars.Context().run(leave_out_of_order)  # the dead one stays in the context


def test_a_scope_that_was_never_entered_cannot_be_left() -> None:
    with pytest.raises(
        RuntimeError, match=r"left out of order: <CancelScope not entered>; in.*None"
    ):
        CancelScope().__exit__(None, None, None)


def test_a_scope_left_by_another_thread_stays_in_force_where_it_was_entered() -> None:
    with CancelScope() as scope:
        thread = spawn(scope.__exit__, None, None, None)
        with pytest.raises(
            RuntimeError, match=r"entered by another thread, which must leave it: <C"
        ):
            thread.result()
        thread.join()
        scope.cancel()
        checkpoint()
        pytest.fail("it was not in force any more")
    assert scope.cancelled_caught


# -------------------------------------------------------------------- generators, contexts


def numbers(scope: CancelScope) -> Generator[int]:
    """Yield inside the block of a scope, which must not stay behind in the consumer."""
    with scope:
        yield 1
        sleep(0)
        yield 2


def test_a_scope_in_a_generator_is_in_force_only_while_that_runs() -> None:
    scope = CancelScope()
    generator = numbers(scope)
    assert next(generator) == 1
    assert current_scope() is None
    scope.cancel()
    sleep(0)
    assert remaining() == math.inf
    assert list(generator) == []  # it was stopped where it waits, and has swallowed it
    assert scope.cancelled_caught
    assert current_scope() is None
    assert variable.get() is None


def test_a_callback_of_a_scope_whose_generator_is_suspended_is_called() -> None:
    scope, calls = CancelScope(), list[int]()
    generator = numbers(scope)
    next(generator)
    scope.on_cancel(functools.partial(calls.append, 1))
    scope.cancel()
    assert calls == [1]
    generator.close()


def test_the_consumers_scope_stops_the_generator_and_the_consumer() -> None:
    with CancelScope() as outer:
        generator = numbers(CancelScope())
        next(generator)
        assert current_scope() is outer
        outer.cancel()
        next(generator)
        pytest.fail("the generator was not stopped")
    assert outer.cancelled_caught


def test_a_thread_that_the_consumer_starts_does_not_belong_to_the_generator() -> None:
    scope = CancelScope()
    generator = numbers(scope)
    next(generator)
    gate: Task[int] = Task()
    thread = spawn(gate.result)
    scope.cancel()
    gate.set_result(4)
    assert thread.result() == 4
    generator.close()


def test_a_thread_that_a_generator_starts_belongs_to_its_scope_also_while_it_is_suspended() -> None:
    def starting(scope: CancelScope) -> Generator[Thread[None]]:
        with scope:
            yield spawn(sleep, LONG)

    scope = CancelScope()
    generator = starting(scope)
    thread = next(generator)
    waiting_in(scope)
    scope.cancel()
    thread.join()
    assert thread.cancelled()
    generator.close()


def test_a_generator_that_is_dropped_leaves_its_scope() -> None:
    scope = CancelScope()
    generator = numbers(scope)
    next(generator)
    del generator
    gc.collect()
    assert "left" in repr(scope)
    assert variable.get() is None


def test_a_generators_scope_does_not_leak_through_a_context_manager_of_the_users() -> None:
    @contextmanager
    def limit() -> Generator[CancelScope]:
        with CancelScope() as scope:
            yield scope

    def within_a_manager() -> Generator[CancelScope]:
        with limit() as scope:
            yield scope

    def within_a_stack() -> Generator[CancelScope]:
        with ExitStack() as stack:
            yield stack.enter_context(CancelScope())

    for generator in (within_a_manager(), within_a_stack()):
        scope = next(generator)
        try:
            assert current_scope() is None
            scope.cancel()
            checkpoint()
        finally:
            generator.close()


def test_a_scope_in_a_contextmanager_is_in_force_in_the_block() -> None:
    @contextmanager
    def limit(scope: CancelScope) -> Generator[CancelScope]:
        with scope:
            yield scope

    inner = CancelScope()
    with limit(inner) as scope:
        assert current_scope() is scope
        scope.cancel()
        sleep(LONG)
    assert inner.cancelled_caught
    with pytest.raises(DeadlineExceeded), limit(fail_after(0)):
        sleep(LONG)


def test_a_contextmanager_can_be_used_by_a_thread_too_and_as_a_decorator() -> None:
    @contextmanager
    def limit() -> Generator[None]:
        with move_on_after(0):
            yield

    @limit()
    def work() -> None:
        sleep(LONG)

    thread = spawn(work)
    assert thread.result() is None
    thread.join()


def test_a_context_of_the_users_brings_its_scope_and_is_put_right() -> None:
    with CancelScope() as scope:
        context = contextvars.copy_context()
        first = Thread(target=current_scope, context=context)
        first.start()
        own = first.result()
        first.join()
        assert own is not None
        assert own._parent is scope
        assert context[variable] is scope
    plain = contextvars.Context()
    for _ in range(2):  # also after an error
        second = Thread(target=int, args=("x",), context=plain)
        second.start()
        second.exception()
        second.join()
        assert plain.get(variable) is None
    third = Thread(target=sleep, args=(LONG,), context=plain)
    with CancelScope() as around:  # its context knows nothing of this scope
        third.start()
        around.cancel()
    waiting_in(cast("CancelScope", third._make_scope()))
    third.cancel()
    third.join()
    assert third.cancelled()


def test_a_plain_thread_begins_without_a_scope_unless_it_is_given_one() -> None:
    seen: list[CancelScope | None] = []

    def look() -> None:
        seen.append(current_scope())

    with CancelScope() as scope:
        context = contextvars.copy_context()
        empty = contextvars.Context()
        for run in (context.run, empty.run):
            thread = threading.Thread(target=run, args=(look,))
            thread.start()
            thread.join()
    assert seen == [scope, None]


# -------------------------------------------------------------------- tasks in a scope


def test_result_of_a_done_task_never_raises_cancelled() -> None:
    done = spawn(int)
    done.join()
    failed = spawn(int, "x")
    failed.join()
    with CancelScope() as scope:
        scope.cancel()
        assert done.result() == 0
        assert done.result(0) == 0
        assert done.exception() is None
        done.join()
        with pytest.raises(ValueError, match="invalid literal"):
            failed.result()
        assert isinstance(failed.exception(), ValueError)
    assert not scope.cancelled_caught


def test_a_cancelled_scope_stops_who_asks_and_not_who_is_asked_outside() -> None:
    gate: Task[int] = Task()
    thread = spawn(gate.result)
    with CancelScope() as scope:
        scope.cancel()
        thread.result()
    assert scope.cancelled_caught
    assert thread.running()
    gate.set_result(1)
    assert thread.result() == 1


def test_run_all_in_a_cancelled_scope_starts_nothing() -> None:
    calls: list[int] = []
    with CancelScope() as scope:
        scope.cancel()
        run_all([functools.partial(calls.append, 1)])
    assert scope.cancelled_caught
    assert calls == []


def test_a_deadline_around_run_all_stops_all_its_calls_and_joins_them() -> None:
    ended: list[str] = []

    def call() -> None:
        try:
            sleep(LONG)
        finally:
            with shield(5):
                sleep(1)
            ended.append("clean")

    with FakeClock(autojump=True) as clock, move_on_after(10) as scope:
        run_all([call] * 3)
    assert scope.cancelled_caught
    assert ended == ["clean"] * 3
    assert clock.now == 11


def test_the_first_failure_of_run_all_wakes_the_others_and_starts_no_more() -> None:
    stops: list[str | BaseException | None] = []
    waiting = threading.Barrier(3)
    error = ZeroDivisionError("first")

    def wait() -> None:
        waiting.wait()
        try:
            sleep(LONG)
        except Cancelled as cancelled:
            stops.append(cancelled.reason)
            raise

    def fail() -> None:
        waiting.wait()
        raise error

    calls: list[Callable[[], None]] = [wait, wait, fail, lambda: stops.append("started")]
    with pytest.raises(ZeroDivisionError) as caught:
        run_all(calls, max_workers=3)
    assert caught.value is error
    assert stops == [error, error]
    assert len(error.__notes__) == 1  # those that were stopped have not failed


def test_return_exceptions_cancels_nobody() -> None:
    gate: Task[int] = Task()
    calls: list[Callable[[], object]] = [gate.result, functools.partial(int, "x"), int]

    def last() -> int:
        gate.set_result(6)
        return 7

    results = run_all([*calls, last], return_exceptions=True)
    assert results[0] == 6
    assert isinstance(results[1], ValueError)
    assert results[2:] == [0, 7]


# -------------------------------------------------------------------- real processes


def process(code: str) -> tuple[int, str, str]:
    done = run(code)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_in_the_child_of_a_fork_inherited_scopes_are_dead() -> None:
    code, out, err = process(
        """
        import math, os, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from joinable import *
        held, free = threading.Event(), threading.Event()
        def hold(scope):  # the child finds the lock taken for ever
            with scope._lock:
                held.set()
                free.wait()
        with CancelScope() as cancelled, fail_after(3600), CancelScope() as scope:
            called = []
            callback = scope.on_cancel(lambda: called.append(1))
            cancelled.cancel()
            holder = threading.Thread(target=hold, args=(scope,))
            holder.start()
            held.wait()
            child = os.fork()
            if child:
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), called)
                free.set()
                holder.join()
            else:
                assert current_scope() is None and remaining() == math.inf
                sleep(0.01)
                scope.cancel()
                assert called == [1]
                with move_on_after(0.01) as own:
                    assert current_scope() is own and own._parent is None
                    sleep(60)
                assert own.cancelled_caught
                assert run_all([current_scope, int])[0] is not None
                callback.remove()
        if not child:
            assert current_scope() is None
            os._exit(7)
        """
    )
    assert (code, out, err) == (0, "7 [1]\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_in_the_child_of_a_fork_a_callback_that_ran_in_the_parent_can_be_removed() -> None:
    code, out, err = process(
        """
        import os, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import faulthandler
        from joinable import *
        inside, gate = threading.Event(), threading.Event()
        def callback():
            inside.set()
            gate.wait()
        with CancelScope() as scope:
            handle = scope.on_cancel(callback)
            canceller = threading.Thread(target=scope.cancel)
            canceller.start()
            inside.wait()
            child = os.fork()
            if not child:
                faulthandler.dump_traceback_later(5, exit=True)
                handle.remove()
                os._exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            gate.set()
            canceller.join()
        """
    )
    assert (code, out, err) == (0, "7\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_timer_of_the_parent_does_not_fire_in_the_child_and_the_child_has_its_own() -> None:
    code, out, err = process(
        """
        import os, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from joinable import *
        called = threading.Event()
        with move_on_after(0.2) as scope:
            scope.on_cancel(called.set)
            child = os.fork()
            if not child:
                threading.Event().wait(0.4)
                assert not called.is_set()
                mine = threading.Event()
                with move_on_after(0.01) as own, own.on_cancel(mine.set):
                    assert mine.wait(10)
                os._exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), called.wait(10))
        """
    )
    assert (code, out, err) == (0, "7 True\n", "")


WAITS = {
    "sleep": "sleep(3600)",
    "result": "Task().result()",
    "timed result": "Task().result(3600)",
    "join": "thread.join()",
    "queue": "sync.Queue().get()",
}


@pytest.mark.parametrize("wait", WAITS)
def test_a_signal_handler_may_cancel_what_the_main_thread_waits_in(wait: str) -> None:
    code = f"""
        import signal, threading
        from joinable import *
        from joinable import sync
        gate = threading.Event()
        thread = spawn(gate.wait)
        with CancelScope() as scope:
            signal.signal(signal.SIGTERM, lambda *_: scope.cancel("terminated"))
            def tell():
                while not scope._sleepers:
                    pass
                threading.Event().wait(0.1)  # till it is asleep: see CUES in processes
                print("waiting", flush=True)
            threading.Thread(target=tell, daemon=True).start()
            {WAITS[wait]}
        print(scope.cancelled_caught, scope.reason)
        gate.set()
        thread.join()
        """
    assert signalled(code, signal.SIGTERM) == (0, "waiting\nTrue terminated\n", "")
