"""`on_cancel`: once, on the right thread, outside locks, and after `remove` never."""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import functools
import gc
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from joinable import (
    Cancelled,
    CancelScope,
    checkpoint,
    current_scope,
    move_on_after,
    shield,
    sleep,
    spawn,
)
from joinable import _runtime as runtime
from joinable import _timer as timer
from joinable.testing import FakeClock, Sequencer
from waiting import LONG, PATIENCE, Gate, elsewhere, until

if TYPE_CHECKING:
    import sys
    from collections.abc import Callable

    from joinable._callback import CancelCallback
    from joinable._typing import Lock

pytestmark = pytest.mark.usefixtures("timer_of_its_own")


class Trouble:
    """Stand in for `sys.unraisablehook`."""

    def __init__(self) -> None:
        self.seen: list[BaseException | None] = []

    def __call__(self, arguments: sys.UnraisableHookArgs) -> None:
        self.seen.append(arguments.exc_value)


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    trouble = Trouble()
    monkeypatch.setattr("sys.unraisablehook", trouble)
    return trouble


def raising(error: BaseException) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


# -------------------------------------------------------------------- when it is called


def test_it_is_called_once_however_often_the_scopes_are_cancelled() -> None:
    calls: list[int] = []
    with CancelScope() as outer, CancelScope() as scope:
        callback = scope.on_cancel(functools.partial(calls.append, 1))
        assert not callback.called
        for _ in range(3):
            scope.cancel()
            outer.cancel()
        assert callback.called
    assert calls == [1]


def test_it_is_not_called_when_nobody_cancels() -> None:
    calls: list[int] = []
    with CancelScope() as scope, scope.on_cancel(functools.partial(calls.append, 1)) as callback:
        sleep(0)
    assert not callback.called
    scope.cancel()
    assert calls == []


def test_it_runs_on_the_thread_that_cancels_before_cancel_returns() -> None:
    seen: list[threading.Thread] = []
    with CancelScope() as scope:
        scope.on_cancel(lambda: seen.append(threading.current_thread()))

        def cancel() -> list[threading.Thread]:
            scope.cancel()
            return seen.copy()

        thread = spawn(cancel)
        with shield(None):
            assert thread.result() == [thread]
            thread.join()


def test_in_a_scope_that_is_cancelled_already_it_runs_at_once() -> None:
    seen: list[threading.Thread] = []
    with CancelScope() as scope:
        scope.cancel()
        callback = scope.on_cancel(lambda: seen.append(threading.current_thread()))
        assert seen == [threading.current_thread()]
        assert callback.called
        callback.remove()
    with move_on_after(0) as late:
        assert late.on_cancel(int).called


def test_the_scopes_around_call_it_too_and_those_within_do_not() -> None:
    calls: list[str] = []
    with CancelScope() as outer, CancelScope() as scope, CancelScope() as inner:
        scope.on_cancel(functools.partial(calls.append, "scope"))
        inner.cancel()
        assert calls == []
        outer.cancel()
        assert calls == ["scope"]


def test_several_run_in_the_order_in_which_they_were_registered() -> None:
    calls: list[int] = []
    with CancelScope() as scope:
        for number in range(5):
            scope.on_cancel(functools.partial(calls.append, number))
        scope.cancel()
        assert calls == [0, 1, 2, 3, 4]


def test_waits_are_woken_before_the_callbacks_run() -> None:
    with CancelScope() as scope:
        thread = spawn(sleep, LONG)
        own = thread._make_scope()
        until(lambda: own is not None and own._sleepers)
        ended: list[bool] = []

        def look() -> None:  # it would never end if the callback came first
            with shield(None):
                thread.join(PATIENCE)
            ended.append(thread.cancelled())

        scope.on_cancel(look)
        scope.cancel()
        assert ended == [True]


def test_leaving_the_scope_removes_it() -> None:
    calls: list[int] = []
    with CancelScope() as parent:
        with CancelScope() as scope:
            callback = scope.on_cancel(functools.partial(calls.append, 1))
        assert parent._callbacks == {}
        parent.cancel()
        scope.cancel()
    assert calls == []
    assert not callback.called


def test_a_removed_one_lets_go_of_its_function_and_removing_twice_is_nothing() -> None:
    class Held:
        def method(self) -> None: ...

    held = Held()
    gone = weakref.ref(held)
    with CancelScope() as scope, move_on_after(LONG):
        callback = scope.on_cancel(held.method)
        del held
        callback.remove()
        callback.remove()
        gc.collect()
        assert gone() is None


def test_a_called_one_lets_go_of_its_function() -> None:
    class Held:
        def method(self) -> None: ...

    held = Held()
    gone = weakref.ref(held)
    with CancelScope() as scope:
        callback = scope.on_cancel(held.method)
        del held
        scope.cancel()
        gc.collect()
        assert gone() is None
        callback.remove()


# -------------------------------------------------------------------- as a `with`


def test_as_a_with_it_ends_the_block_by_cancelled_though_the_call_returned() -> None:
    gate = threading.Event()
    with CancelScope() as scope:
        with scope.on_cancel(gate.set):
            elsewhere(scope.cancel)()
            assert gate.wait(PATIENCE)  # the foreign call, which has ended
        pytest.fail("the block was cut short, and went on")
    assert scope.cancelled_caught


def test_what_the_interrupted_call_raised_becomes_the_context_of_the_cancelled() -> None:
    error = OSError("the socket was shut down")
    with CancelScope() as scope:
        with pytest.raises(Cancelled) as caught, scope.on_cancel(int):
            scope.cancel()
            raise error
        assert caught.value.__context__ is error
        assert caught.value._scope is scope


def test_a_with_whose_callback_was_not_called_changes_nothing() -> None:
    with pytest.raises(OSError, match="mine"), CancelScope() as scope, scope.on_cancel(int):
        raise OSError("mine")


def test_an_interrupt_leaves_the_with_as_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), CancelScope() as scope, scope.on_cancel(int):
        scope.cancel()
        raise KeyboardInterrupt


# -------------------------------------------------------------------- outside locks


def test_a_callback_may_use_the_scope_also_from_another_thread() -> None:
    calls: list[str] = []
    with CancelScope() as outer, CancelScope() as scope:

        def use() -> None:
            scope.cancel()
            outer.cancel()
            calls.append(repr(scope))
            scope.on_cancel(lambda: calls.append("nested"))

        def use_elsewhere() -> None:
            use()
            thread = threading.Thread(target=use)  # it would block if we held the scope's lock
            thread.start()
            thread.join(PATIENCE)
            calls.append("ended" if not thread.is_alive() else "blocked")

        scope.on_cancel(use_elsewhere)
        scope.cancel()
    assert [call for call in calls if "<" not in call] == ["nested", "nested", "ended"]
    assert all("cancelled" in call for call in calls if "<" in call)


def test_a_callback_may_wait_for_a_thread_that_registers_another_one() -> None:
    calls: list[str] = []
    with CancelScope() as scope:

        def register() -> None:
            scope.on_cancel(lambda: calls.append("second"))

        def first() -> None:
            thread = threading.Thread(target=register)
            thread.start()
            thread.join(PATIENCE)
            calls.append("first")

        scope.on_cancel(first)
        scope.cancel()
    assert calls == ["second", "first"]


# -------------------------------------------------------------------- errors


def test_errors_go_to_the_unraisable_hook_and_the_others_run(trouble: Trouble) -> None:
    calls: list[int] = []
    errors = [ZeroDivisionError("first"), ValueError("second")]
    with CancelScope() as scope:
        for error in errors:
            scope.on_cancel(raising(error))
        scope.on_cancel(functools.partial(calls.append, 1))
        scope.cancel()
        assert calls == [1]
    assert trouble.seen == errors


def test_a_callback_that_waits_in_the_cancelled_scope_does_not_stop_the_others(
    trouble: Trouble,
) -> None:
    calls: list[int] = []
    with CancelScope() as scope:
        scope.on_cancel(checkpoint)
        scope.on_cancel(functools.partial(calls.append, 1))
        scope.cancel()
        assert calls == [1]
    assert [type(error) for error in trouble.seen] == [Cancelled]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_interrupt_in_a_callback_comes_out_of_cancel_when_all_have_run(
    interrupt: BaseException,
) -> None:
    calls: list[int] = []
    with CancelScope() as scope:
        scope.on_cancel(raising(interrupt))
        scope.on_cancel(functools.partial(calls.append, 1))
        with pytest.raises(type(interrupt)) as caught:
            scope.cancel()
        assert caught.value is interrupt
        assert calls == [1]


def test_on_another_thread_than_the_main_one_an_exit_is_an_error_of_the_callback(
    trouble: Trouble,
) -> None:
    error = SystemExit(3)
    with CancelScope() as scope:
        scope.on_cancel(raising(error))
        thread = spawn(scope.cancel)
        with shield(None):
            assert thread.exception() is None
            thread.join()
    assert trouble.seen == [error]


# -------------------------------------------------------------------- under shields


def test_a_shield_keeps_a_callback_within_it_from_being_called() -> None:
    calls: list[str] = []
    with CancelScope() as outer:
        outer.on_cancel(functools.partial(calls.append, "outer"))
        with shield(LONG) as guard:
            guard.on_cancel(functools.partial(calls.append, "guard"))
            outer.cancel()
            assert calls == ["outer"]
            guard.cancel()
            assert calls == ["outer", "guard"]


def test_at_the_end_of_a_shield_the_callback_is_called_by_the_timer() -> None:
    seen: list[str] = []
    with FakeClock() as clock, CancelScope() as outer, shield(10) as guard:
        outer.cancel()
        with guard.on_cancel(lambda: seen.append(threading.current_thread().name)) as callback:
            clock.advance(9)
            assert not callback.called
            clock.advance(1)
            assert seen == ["joinable-timer"]
    assert outer.cancelled_caught  # the `with` has seen that it was called


def test_a_scope_cancelled_when_the_shield_is_over_calls_it() -> None:
    calls: list[int] = []
    with FakeClock() as clock, CancelScope() as outer, shield(10) as guard:
        guard.on_cancel(functools.partial(calls.append, 1))
        clock.advance(20)
        assert calls == []
        outer.cancel()
        assert calls == [1]


def test_a_callback_of_a_thread_under_a_shield_that_is_left_belongs_to_the_parent() -> None:
    steps, calls = Sequencer(), list[int]()

    def work() -> None:
        scope = current_scope()
        assert scope is not None
        with steps(0):
            callback = scope.on_cancel(functools.partial(calls.append, 1))
        with steps(2):
            assert callback.called

    with CancelScope() as parent:
        with shield(None):
            thread = spawn(work)
            until(lambda: steps._next > 0)
        with steps(1):
            parent.cancel()
        with shield(None):
            thread.result()
            thread.join()
    assert calls == [1]


# -------------------------------------------------------------------- at a deadline


def test_at_a_deadline_the_timers_thread_calls_it_and_the_wait_goes_on_without_it() -> None:
    seen: list[str] = []
    with FakeClock() as clock, move_on_after(10) as scope:
        scope.on_cancel(lambda: seen.append(threading.current_thread().name))
        clock.advance(9.5)
        assert seen == []
        clock.advance(0.5)
        assert seen == ["joinable-timer"]
        assert scope.cancelled


def test_the_earliest_deadline_of_the_scopes_around_calls_it_and_once() -> None:
    calls: list[float] = []
    with FakeClock() as clock:
        with move_on_after(5), move_on_after(20) as scope, move_on_after(3):
            scope.on_cancel(lambda: calls.append(clock.now))
            clock.advance(30)
        assert calls == [5]


def test_callbacks_at_one_deadline_all_run_though_one_fails(trouble: Trouble) -> None:
    calls: list[int] = []
    error = ZeroDivisionError()
    with FakeClock() as clock, move_on_after(5) as scope:
        scope.on_cancel(raising(error))
        scope.on_cancel(functools.partial(calls.append, 1))
        clock.advance(5)
        assert calls == [1]
    assert trouble.seen == [error]


def test_a_removed_one_is_not_called_at_the_deadline() -> None:
    calls: list[int] = []
    with FakeClock() as clock, move_on_after(5) as scope:
        with scope.on_cancel(functools.partial(calls.append, 1)) as callback:
            pass
        clock.advance(10)
        assert not callback.called
    assert calls == []


def test_a_cancel_before_the_deadline_calls_it_and_the_deadline_does_not_again() -> None:
    seen: list[threading.Thread] = []
    with FakeClock() as clock, move_on_after(5) as scope:
        scope.on_cancel(lambda: seen.append(threading.current_thread()))
        scope.cancel()
        clock.advance(10)
        assert seen == [threading.current_thread()]


def test_there_is_no_timer_without_a_callback_and_a_deadline() -> None:
    with move_on_after(LONG) as late:
        sleep(0)
        assert timer.service() is None
    with CancelScope() as scope, scope.on_cancel(int):
        assert timer.service() is None
    with move_on_after(LONG), CancelScope() as scope, scope.on_cancel(int):
        assert timer.service() is not None
    assert not late.cancelled


def test_the_timer_is_one_thread_for_all_and_ends_when_nothing_is_to_come() -> None:
    called: list[int] = []
    done = threading.Barrier(9)

    def work(number: int) -> None:
        ended = threading.Event()
        with move_on_after(0.02 + 0.002 * number) as scope, scope.on_cancel(ended.set):
            done.wait(PATIENCE)
            assert ended.wait(PATIENCE)  # not one of our waits, which knows its deadline itself
            called.append(number)

    threads = [spawn(work, number) for number in range(8)]
    until(lambda: done.n_waiting == 8 or called)
    services = [t for t in threading.enumerate() if t.name == "joinable-timer"]
    done.wait(PATIENCE)
    for thread in threads:
        thread.result()
        thread.join()
    assert len(services) == 1
    assert services[0].daemon
    until(lambda: timer.service() is None)
    services[0].join(PATIENCE)
    assert not services[0].is_alive()
    assert sorted(called) == list(range(8))


def test_many_cancelled_entries_are_not_kept() -> None:
    with move_on_after(LONG) as scope:
        for _ in range(1000):
            with scope.on_cancel(int):
                pass
        assert len(timer._timers.heap) <= 2 * timer._FEW + 1


# -------------------------------------------------------------------- remove against call


def removed_by(callback: CancelCallback, gate: Gate, seen: list[bool]) -> threading.Thread:
    """Start a thread that removes the callback, and then sees whether it has ended."""

    def remove() -> None:
        callback.remove()
        seen.append(gate.ended)

    thread = threading.Thread(target=remove)
    thread.start()
    return thread


def test_remove_waits_for_a_callback_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1. The canceller is inside the callback. 2. Two others come to `remove`, and wait there.
    # 3. The callback ends. 4. They come back, and find it ended.
    gate, seen, waiting = Gate(), list[bool](), list[int]()
    acquire = runtime.acquire

    def noting(lock: Lock, timeout: float | None = None) -> bool:
        waiting.append(threading.get_ident())
        return acquire(lock, timeout)

    with CancelScope() as scope:
        callback = scope.on_cancel(gate)
        canceller = threading.Thread(target=scope.cancel)
        canceller.start()
        assert gate.begun.wait(PATIENCE)
        monkeypatch.setattr("joinable._runtime.acquire", noting)
        removers = [removed_by(callback, gate, seen) for _ in range(2)]
        until(lambda: {remover.ident for remover in removers} <= set(waiting))
        assert seen == []
        gate.may_end.set()
        for thread in (*removers, canceller):
            thread.join(PATIENCE)
        monkeypatch.undo()
    assert seen == [True, True]


def test_leaving_the_scope_waits_for_a_callback_that_runs() -> None:
    gate, ended = Gate(), list[bool]()

    def let_it_end() -> None:
        until(lambda: "left" in repr(scope))  # the owner is in `__exit__`
        ended.append(gate.ended)
        gate.may_end.set()

    with CancelScope() as scope:
        scope.on_cancel(gate)
        canceller = threading.Thread(target=scope.cancel)
        canceller.start()
        assert gate.begun.wait(PATIENCE)
        helper = threading.Thread(target=let_it_end)
        helper.start()
    ended.append(gate.ended)
    canceller.join()
    helper.join()
    assert ended == [False, True]


def test_a_callback_removes_itself() -> None:
    kept: list[CancelCallback] = []
    with CancelScope() as scope:
        kept.append(scope.on_cancel(lambda: kept[0].remove()))  # noqa: PLW0108  (the same)
        scope.cancel()
        assert kept[0].called
        kept[0].remove()


def test_a_callback_removes_the_next_one_which_then_never_runs() -> None:
    calls: list[str] = []
    with CancelScope() as scope:
        scope.on_cancel(lambda: second.remove())  # noqa: PLW0108  there is no second one yet
        second = scope.on_cancel(functools.partial(calls.append, "second"))
        scope.on_cancel(functools.partial(calls.append, "third"))
        scope.cancel()
        assert not second.called
    assert calls == ["third"]


def test_removed_between_the_list_and_the_call_it_never_runs() -> None:
    # 1. `cancel` has made its list, and runs the first callback. 2. Another thread removes the
    # second one, which is on the list. 3. The first callback ends, and the second's turn comes.
    gate, calls = Gate(), list[int]()
    with CancelScope() as scope:
        scope.on_cancel(gate)
        second = scope.on_cancel(functools.partial(calls.append, 2))
        canceller = threading.Thread(target=scope.cancel)
        canceller.start()
        assert gate.begun.wait(PATIENCE)
        second.remove()
        gate.may_end.set()
        canceller.join()
        assert not second.called
    assert calls == []


def test_a_cancel_between_the_look_and_the_entry_still_calls_it() -> None:
    # 1. `on_cancel` is about to enter the callback, and waits for the scope's lock. 2. Another
    # thread cancels, and finds no callback. 3. It is entered: the second look must find it.
    calls: list[int] = []

    class LateLock:
        def __init__(self, real: object, before: Callable[[], object]) -> None:
            self.real, self.before = real, [before]

        def __enter__(self) -> object:
            if self.before:
                self.before.pop()()
            return self.real.__enter__()  # type: ignore[attr-defined]

        def __exit__(self, *exc: object) -> object:
            return self.real.__exit__(*exc)  # type: ignore[attr-defined]

    with CancelScope() as scope:

        def cancel() -> None:
            scope._lock = real
            thread = threading.Thread(target=scope.cancel)
            thread.start()
            thread.join()

        real = scope._lock
        scope._lock = LateLock(real, cancel)  # type: ignore[assignment]
        scope.on_cancel(functools.partial(calls.append, 1))
        assert calls == [1]


def use(open_file: list[bool], calls: list[bool]) -> None:
    """Be a callback that uses what may be closed once it was removed."""
    calls.append(open_file[0])


@pytest.mark.parametrize("rounds", [150, pytest.param(10_000, marks=pytest.mark.soak)])
def test_remove_against_cancel_against_a_deadline(rounds: int) -> None:
    # Free running: whoever comes first, after `remove` the callback has ended or will never run.
    begin = threading.Barrier(3)
    box: list[tuple[CancelScope, CancelCallback]] = []
    late: list[str] = []

    def cancel() -> None:
        for _ in range(rounds):
            begin.wait()
            box[-1][0].cancel()
            begin.wait()

    def remove_too() -> None:
        for _ in range(rounds):
            begin.wait()
            box[-1][1].remove()
            begin.wait()

    threads = [threading.Thread(target=run) for run in (cancel, remove_too)]
    for thread in threads:
        thread.start()
    for number in range(rounds):
        open_file = [True]
        calls: list[bool] = []
        with move_on_after(0.0002 if number % 3 == 0 else LONG) as scope:
            callback = scope.on_cancel(functools.partial(use, open_file, calls))
            box[:] = [(scope, callback)]
            begin.wait()
            callback.remove()
            open_file[0] = False  # what the callback touches is closed now
            before = len(calls)
            begin.wait()
            late.extend(["twice"] * (len(calls) > 1))
            late.extend(["late"] * (len(calls) != before or False in calls))
            late.extend(["untold"] * (callback.called != bool(calls)))
    for thread in threads:
        thread.join()
    assert late == []
