"""`run_all(executor=...)`: the same as with threads, on an executor that the test has in hand."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from executing import AtOnce, Counting, Desk
from joinable import (
    Cancelled,
    CancelScope,
    DeadlineExceeded,
    _calls,
    _runtime,
    current_scope,
    move_on_after,
    run_all,
    sleep,
    spawn,
)
from waiting import LONG, Gate, Waiter, interrupt_waiting_main, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable import Thread
    from joinable._typing import Lock


def fail(text: str) -> NoReturn:
    raise ValueError(text)


def mixed(*calls: Callable[[], object]) -> list[Callable[[], object]]:
    return [*calls]


# -------------------------------------------------------------------- results


def test_results_have_the_shape_of_the_input_and_its_order() -> None:
    with ThreadPoolExecutor(3) as executor:
        assert run_all([partial(pow, 2, n) for n in range(4)], executor=executor) == [1, 2, 4, 8]
        assert run_all((int, str), executor=executor) == (0, "")
        assert run_all({"a": int, "b": str}, executor=executor) == {"a": 0, "b": ""}
        assert run_all([], executor=executor) == []


def test_the_order_in_which_calls_end_does_not_matter() -> None:
    desk = Desk()
    running = spawn(lambda: run_all([partial(int, n) for n in range(4)], executor=desk))
    until(lambda: len(desk.futures) == 4)
    for number in (2, 0, 3, 1):
        assert not running.done()
        desk.make(number)
    assert running.result() == [0, 1, 2, 3]


def test_an_executor_may_make_its_calls_at_once() -> None:
    assert run_all([partial(int, n) for n in range(50)], executor=AtOnce()) == [*range(50)]
    assert run_all([int] * 50, max_workers=1, executor=AtOnce()) == [0] * 50


def test_without_a_limit_all_is_handed_in_at_once() -> None:
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as executor:
        counting = Counting(executor)
        run_all([partial(barrier.wait, 10)] * 4, executor=counting)
    assert counting.threads == {threading.current_thread()}


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_the_executor_has_no_more_than_max_workers(limit: int) -> None:
    with ThreadPoolExecutor(8) as executor:
        counting = Counting(executor)
        calls = [partial(int, n) for n in range(300)]
        assert run_all(calls, max_workers=limit, executor=counting) == [*range(300)]
    assert counting.most <= limit
    assert counting.total == 300


def test_a_place_that_becomes_free_is_taken_at_once() -> None:
    desk = Desk()
    running = spawn(
        lambda: run_all([partial(int, n) for n in range(4)], max_workers=2, executor=desk)
    )
    until(lambda: len(desk.futures) == 2)
    desk.make(1)  # the first one goes on
    until(lambda: len(desk.futures) == 3)
    desk.make(2)
    until(lambda: len(desk.futures) == 4)
    desk.make(3)
    desk.make(0)
    assert running.result() == [0, 1, 2, 3]


# -------------------------------------------------------------------- failures


def test_the_first_failure_is_raised_itself_without_the_frames_between() -> None:
    error = ValueError("one")

    def raises() -> NoReturn:
        raise error

    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="one") as caught:
        run_all(mixed(int, raises), executor=executor)
    assert caught.value is error
    names = [entry.name for entry in caught.traceback]
    assert names == [
        "test_the_first_failure_is_raised_itself_without_the_frames_between",
        "run_all",
        "raises",
    ]
    assert any("in call 1 of the run_all at " in note for note in error.__notes__)


def test_after_a_failure_nothing_more_is_handed_in_and_the_rest_taken_back() -> None:
    desk = Desk()
    calls = mixed(partial(fail, "0"), int, int, int, int)
    running = spawn(lambda: run_all(calls, max_workers=3, executor=desk))
    until(lambda: len(desk.futures) == 3)
    desk.futures[1].set_running_or_notify_cancel()
    desk.make(0)
    until(desk.futures[2].cancelled)
    assert not running.done(), "it waits for what runs"
    desk.futures[1].set_result(1)
    with pytest.raises(ValueError, match="0"):
        running.result()
    assert len(desk.futures) == 3


def test_later_failures_are_named_in_a_note() -> None:
    desk = Desk()
    running = spawn(lambda: run_all([partial(fail, "a"), partial(fail, "b")], executor=desk))
    until(lambda: len(desk.futures) == 2)
    desk.futures[0].set_running_or_notify_cancel()  # so it cannot be taken back
    desk.make(1)
    desk.futures[0].set_exception(ValueError("a"))
    with pytest.raises(ValueError, match="b") as caught:
        running.result()
    assert any("1 more failed in the same run_all" in note for note in caught.value.__notes__)


def test_exceptions_can_take_the_places_of_results() -> None:
    with ThreadPoolExecutor(2) as executor:
        got = run_all(
            mixed(int, partial(fail, "x"), str), return_exceptions=True, executor=executor
        )
    assert (got[0], got[2]) == (0, "")
    assert isinstance(got[1], ValueError)


def test_a_call_that_somebody_else_has_cancelled_is_a_failure() -> None:
    desk = Desk()
    running = spawn(lambda: run_all([int, int], executor=desk))
    until(lambda: len(desk.futures) == 2)
    desk.futures[0].cancel()
    with pytest.raises(CancelledError, match="call 0 was cancelled by somebody else: the Desk"):
        running.result()


def test_a_call_that_was_cancelled_can_take_the_place_of_a_result() -> None:
    desk = Desk()
    running = spawn(lambda: run_all([int, int], return_exceptions=True, executor=desk))
    until(lambda: len(desk.futures) == 2)
    desk.futures[0].cancel()
    desk.make(1)
    first, second = running.result()
    assert isinstance(first, CancelledError)
    assert second == 0


def test_an_executor_that_takes_no_more_ends_it_whatever_return_exceptions_says() -> None:
    class Closing(AtOnce):
        left = 3

        def submit(self, fn: Callable[[], Any], /) -> Any:
            if not self.left:
                raise RuntimeError("closed")
            self.left -= 1
            return super().submit(fn)

    with pytest.raises(RuntimeError, match="closed"):
        run_all([int] * 5, return_exceptions=True, executor=Closing())


# -------------------------------------------------------------------- time and scopes


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be no last moment for what does not end in any case."""
    monkeypatch.setattr(_calls, "LAST_MOMENT", 0.0)


@pytest.mark.usefixtures("hasty")
def test_when_the_time_is_up_what_has_not_begun_is_taken_back_and_the_rest_named() -> None:
    gate = Gate()
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(DeadlineExceeded) as caught:
            run_all(mixed(gate, int, int), timeout=0.05, executor=executor)
        gate.may_end.set()
    assert len(caught.value.unfinished) == 1
    assert "call 0 at " in caught.value.unfinished[0]
    assert "in __call__" in caught.value.unfinished[0], "the line of it, which is in this process"


@pytest.mark.usefixtures("hasty")
def test_what_an_executor_elsewhere_has_is_named_with_the_executor() -> None:
    desk = Desk()

    class Elsewhere:
        def submit(self, fn: Callable[[], Any], /) -> Any:
            future = desk.submit(fn)
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(DeadlineExceeded, match="it is at the Elsewhere") as caught:
        run_all([int], timeout=0, executor=Elsewhere())
    assert caught.value.unfinished == ("call 0 at the Elsewhere",)
    desk.futures[0].set_result(3)  # too late, and no harm done


@pytest.mark.usefixtures("hasty")
def test_an_error_that_comes_too_late_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    desk = Desk()
    desk_submit = desk.submit

    def submit(fn: Callable[[], Any], /) -> Any:
        future = desk_submit(fn)
        future.set_running_or_notify_cancel()
        return future

    monkeypatch.setattr(desk, "submit", submit)
    with pytest.raises(DeadlineExceeded):
        run_all([int], timeout=0, executor=desk)
    late = ValueError("late")
    desk.futures[0].set_exception(late)
    assert [each.exc_value for each in told] == [late]


def test_calls_in_this_process_are_in_the_scope_and_stop_when_asked() -> None:
    with ThreadPoolExecutor(2) as executor, pytest.raises(ValueError, match="x"):
        run_all(mixed(partial(sleep, LONG), partial(fail, "x")), executor=executor)
    with ThreadPoolExecutor(2) as executor, move_on_after(0.05) as scope:
        run_all([partial(sleep, LONG)] * 2, executor=executor)
    assert scope.cancelled_caught
    with ThreadPoolExecutor(2) as executor, pytest.raises(DeadlineExceeded) as caught:
        run_all([partial(sleep, LONG)] * 2, timeout=0.05, executor=executor)
    assert caught.value.unfinished == ()


def test_a_call_may_cancel_the_scope_of_the_calls() -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(CancelledError, match="the scope of th"):
        run_all([cancel_the_scope], executor=executor)


def test_an_executor_may_take_a_call_that_has_stopped_for_a_cancelled_one() -> None:
    class Polite(Desk):
        def submit(self, fn: Callable[[], Any], /) -> Future[Any]:
            future = super().submit(fn)

            def make() -> None:
                try:
                    future.set_result(fn())
                except Cancelled:
                    future.cancel()
                    future.set_running_or_notify_cancel()

            threads.append(spawn(make))
            return future

    threads: list[Thread[None]] = []
    with move_on_after(0.05) as scope:
        run_all([partial(sleep, LONG)] * 2, executor=Polite())
    assert scope.cancelled_caught
    with pytest.raises(DeadlineExceeded, match="it was stopped"):
        run_all([partial(sleep, LONG)] * 2, timeout=0.05, executor=Polite())
    with pytest.raises(CancelledError, match="the scope of this run_all was cancelled"):
        run_all([cancel_the_scope], executor=Polite())
    for thread in threads:
        thread.join()


def cancel_the_scope() -> None:
    scope = current_scope()
    assert scope is not None
    scope.cancel()
    sleep(LONG)


def test_a_cancelled_scope_ends_the_wait_for_what_has_not_begun() -> None:
    desk = Desk()
    waiter = Waiter(lambda: run_all([int, int], executor=desk))
    until(waiter.is_asleep)
    waiter.scope.cancel()
    assert waiter.end() is not None
    assert waiter.scope.cancelled_caught
    assert all(future.cancelled() for future in desk.futures)


def test_nothing_is_handed_in_in_a_cancelled_scope() -> None:
    desk = Desk()
    with CancelScope() as scope:
        scope.cancel()
        run_all([int], executor=desk)
    assert not desk.futures


def test_a_failure_comes_before_the_end_of_the_scope() -> None:
    desk = Desk()
    seen: list[BaseException] = []

    def work() -> None:
        try:
            run_all(mixed(partial(fail, "x"), int), executor=desk)
        except ValueError as error:
            seen.append(error)

    waiter = Waiter(work)
    until(waiter.is_asleep)
    desk.futures[0].set_running_or_notify_cancel()
    desk.futures[1].set_running_or_notify_cancel()
    waiter.cancel()
    desk.futures[0].set_exception(ValueError("x"))
    desk.futures[1].set_result(1)
    waiter.end()
    assert len(seen) == 1


# -------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_takes_back_and_waits_for_what_runs() -> None:
    desk = Desk()
    ended: list[int] = []

    def press() -> None:
        until(lambda: len(desk.futures) == 2)
        desk.futures[0].set_running_or_notify_cancel()
        interrupt_waiting_main()
        until(desk.futures[1].cancelled)
        ended.append(0)
        desk.futures[0].set_result(0)

    presser = spawn(press)
    with pytest.raises(KeyboardInterrupt):
        run_all([int, int], executor=desk)
    assert ended == [0]
    presser.result()


def test_a_second_ctrl_c_leaves_and_names_what_it_leaves() -> None:
    desk = Desk()

    def press() -> None:
        until(lambda: len(desk.futures) == 2)
        desk.futures[0].set_running_or_notify_cancel()
        interrupt_waiting_main()
        until(desk.futures[1].cancelled)
        interrupt_waiting_main()

    presser = spawn(press)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_all([int, int], executor=desk)
    assert any("left these calls running: call 0 at the Desk" in n for n in caught.value.__notes__)
    presser.result()
    desk.futures[0].set_result(0)


@pytest.mark.parametrize("when", range(1, 12))
def test_an_interrupted_hand_in_is_taken_back(when: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever line of it is interrupted, who waits is not left to wait for ever."""
    desk = Desk()
    count = iter(range(1, 100))
    real = _runtime.allocate_lock

    def add_done_callback(*arguments: Any) -> None:
        if next(count) == when:
            raise KeyboardInterrupt
        real_add(*arguments)
        if next(count) == when:
            raise KeyboardInterrupt

    def allocate_lock() -> Lock:
        if next(count) == when:
            raise KeyboardInterrupt
        return real()

    futures: Any = type(desk.submit(int))
    desk.futures.clear()
    desk.calls.clear()
    real_add = futures.add_done_callback
    monkeypatch.setattr(futures, "add_done_callback", add_done_callback)
    monkeypatch.setattr(_runtime, "allocate_lock", allocate_lock)
    with pytest.raises(KeyboardInterrupt):
        run_all([int] * 5, timeout=0.01, executor=desk)
    assert all(future.cancelled() for future in desk.futures)
