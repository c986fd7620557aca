"""`run_each(executor=...)`: the same as with threads, on an executor that the test has in hand."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import pytest

from executing import AtOnce, Counting, Desk
from joinable import (
    Cancelled,
    DeadlineExceeded,
    Stream,
    _foreign_flow,
    fail_after,
    move_on_after,
    run_each,
    sleep,
    spawn,
)
from joinable._check import some_workers
from waiting import LONG, PATIENCE, Gate, Waiter, interrupt_waiting_main, until

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER = 1e9


def three_fails(number: int) -> int:
    if number == 3:
        raise ValueError(number)
    return number


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it fill its window at each result, however slow this machine is just now."""
    monkeypatch.setattr(_foreign_flow, "_SOON", NEVER)


# -------------------------------------------------------------------- results and the window


@pytest.mark.parametrize("buffersize", [0, 1, 64, None])
@pytest.mark.parametrize("limit", [None, 1, 3])
def test_results_come_in_the_order_of_the_items(limit: int | None, buffersize: int | None) -> None:
    with ThreadPoolExecutor(4) as executor:
        got = run_each(
            pow, range(500), [2] * 500, max_workers=limit, buffersize=buffersize, executor=executor
        )
        assert list(got) == [n * n for n in range(500)]


@pytest.mark.parametrize("limit", [None, 1, 3])
def test_results_can_come_as_they_are_ready(limit: int | None) -> None:
    with ThreadPoolExecutor(4) as executor:
        got = run_each(abs, range(500), max_workers=limit, ordered=False, executor=executor)
        assert sorted(got) == [*range(500)]


def test_what_is_ready_first_comes_first_if_the_order_does_not_matter() -> None:
    desk = Desk()
    stream = run_each(abs, range(3), ordered=False, executor=desk)
    for number in (2, 0, 1):
        desk.make(number)
        assert next(stream) == number
    assert list(stream) == []


def test_an_executor_may_make_its_calls_at_once() -> None:
    assert list(run_each(abs, range(300), executor=AtOnce())) == [*range(300)]
    assert list(run_each(abs, range(300), max_workers=1, executor=AtOnce())) == [*range(300)]
    assert list(run_each(abs, range(300), buffersize=None, executor=AtOnce())) == [*range(300)]


def test_no_items_give_no_results() -> None:
    nothing: list[int] = []
    assert list(run_each(abs, nothing, executor=Desk())) == []
    assert list(run_each(abs, nothing, buffersize=None, executor=Desk())) == []


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("workers", "buffersize"), [(1, 0), (2, 3), (4, 64)])
def test_no_more_than_the_window_is_ahead_of_the_consumer(workers: int, buffersize: int) -> None:
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        for number in itertools.count():
            read += 1
            yield number

    with ThreadPoolExecutor(4) as executor:
        counting = Counting(executor)
        stream = run_each(
            abs, source(), max_workers=workers, buffersize=buffersize, executor=counting
        )
        with stream:
            for used, result in enumerate(stream, 1):
                assert result == used - 1
                assert read <= used + workers + buffersize
                if used == 300:
                    break
    assert counting.most <= workers


@pytest.mark.usefixtures("patient")
def test_without_a_limit_the_executor_has_all_that_the_window_holds() -> None:
    desk = Desk()
    with run_each(abs, itertools.count(), buffersize=10, executor=desk):
        workers = some_workers()
        assert len(desk.futures) == workers + 10


def test_without_a_buffersize_all_is_handed_in_at_the_call() -> None:
    desk = Desk()
    with run_each(abs, iter(range(2000)), buffersize=None, executor=desk):
        assert len(desk.futures) == 2000


def test_a_place_that_becomes_free_is_taken_while_the_consumer_waits_for_another_result() -> None:
    desk = Desk()
    stream = run_each(abs, range(4), max_workers=2, executor=desk)
    assert len(desk.futures) == 2
    waiting = spawn(next, stream)
    desk.make(1)
    until(lambda: len(desk.futures) == 3)
    desk.make(2)
    until(lambda: len(desk.futures) == 4)
    desk.make(0)
    assert waiting.result() == 0
    desk.make(3)
    assert list(stream) == [1, 2, 3]


def test_a_slow_source_holds_a_result_back_for_one_item_at_most() -> None:
    steps: list[int] = []
    pause = threading.Event()

    def source() -> Iterator[int]:
        for number in range(20):
            if number:
                pause.wait(2 * _foreign_flow._SOON)
            steps.append(number)
            yield number

    stream = run_each(abs, source(), executor=AtOnce())
    for used in range(20):
        before = len(steps)
        assert next(stream) == used
        assert len(steps) <= before + 1
    stream.close()


def test_the_consumer_alone_hands_in_and_may_be_another_one_each_time() -> None:
    with ThreadPoolExecutor(2) as executor:
        counting = Counting(executor)
        stream = run_each(abs, range(400), buffersize=0, executor=counting)
        assert spawn(lambda: list(itertools.islice(stream, 200))).result() == [*range(200)]
        assert list(stream) == [*range(200, 400)]
    assert len(counting.threads) == 2


# -------------------------------------------------------------------- failures


def test_a_failure_comes_at_its_place_itself_and_nothing_behind_it_is_handed_in() -> None:
    with ThreadPoolExecutor(2) as executor:
        counting = Counting(executor)
        stream = run_each(three_fails, itertools.count(), buffersize=2, executor=counting)
        got: list[int] = []
        with pytest.raises(ValueError, match="3") as caught:
            got.extend(stream)
    assert got == [0, 1, 2]
    assert any("in call 3 of the run_each at " in note for note in caught.value.__notes__)
    assert [entry.name for entry in caught.traceback][-1] == "three_fails"
    assert not any("thread.py" in str(entry.path) for entry in caught.traceback)
    assert counting.now == 0
    assert list(stream) == []


@pytest.mark.usefixtures("patient")
def test_what_lies_behind_a_failure_is_taken_back_as_soon_as_a_result_is_asked_for() -> None:
    desk = Desk()
    stream = run_each(three_fails, range(20), executor=desk)
    desk.make(0)
    desk.make(1)
    desk.make(3)
    assert next(stream) == 0
    assert next(stream) == 1
    assert [future.cancelled() for future in desk.futures] == [number > 3 for number in range(20)]
    desk.make(2)
    with pytest.raises(ValueError, match="3"):
        list(stream)


def test_a_failure_comes_when_it_happens_if_the_order_does_not_matter() -> None:
    desk = Desk()
    stream = run_each(three_fails, range(6), ordered=False, executor=desk)
    desk.make(3)
    with pytest.raises(ValueError, match="3"):
        next(stream)
    assert all(future.done() for future in desk.futures)


def test_exceptions_can_take_the_places_of_results() -> None:
    with ThreadPoolExecutor(2) as executor:
        got = list(run_each(three_fails, range(6), return_exceptions=True, executor=executor))
    assert [each for each in got if not isinstance(each, ValueError)] == [0, 1, 2, 4, 5]
    assert isinstance(got[3], ValueError)


@pytest.mark.parametrize("buffersize", [64, None])
def test_an_error_of_the_source_comes_after_the_results_of_what_it_gave(
    buffersize: int | None,
) -> None:
    def source() -> Iterator[int]:
        yield from range(5)
        raise ValueError("source")

    with ThreadPoolExecutor(2) as executor:
        stream = run_each(abs, source(), buffersize=buffersize, executor=executor)
        got: list[int] = []
        with pytest.raises(ValueError, match="source") as caught:
            got.extend(stream)
    assert got == [0, 1, 2, 3, 4]
    assert any("in the source of its items of the run_each" in n for n in caught.value.__notes__)


def test_a_stop_iteration_of_a_call_is_no_end() -> None:
    def stop(_: int) -> NoReturn:
        raise StopIteration

    with pytest.raises(RuntimeError):
        list(run_each(stop, range(3), executor=AtOnce()))


def test_an_executor_that_takes_no_more_is_an_error_behind_the_results() -> None:
    executor = ThreadPoolExecutor(1)
    stream = run_each(abs, range(50), return_exceptions=True, buffersize=0, executor=executor)
    executor.shutdown()
    got: list[object] = []
    with pytest.raises(RuntimeError, match="after shutdown") as caught:
        got.extend(stream)
    assert got == [*range(len(got))]
    assert f"the ThreadPoolExecutor has not taken call {len(got)} of" in caught.value.__notes__[0]


def test_a_call_that_somebody_else_has_cancelled_is_a_failure_at_its_place() -> None:
    desk = Desk()
    stream = run_each(abs, range(3), executor=desk)
    desk.make(0)
    desk.futures[1].cancel()
    assert next(stream) == 0
    with pytest.raises(CancelledError, match="call 1 was cancelled by somebody else: the Desk"):
        next(stream)


# -------------------------------------------------------------------- leaving early


def test_closing_takes_back_and_waits_for_what_runs() -> None:
    gate = Gate()
    with ThreadPoolExecutor(1) as executor:
        counting = Counting(executor)
        stream = run_each(lambda _: gate(), range(100), executor=counting)
        gate.begun.wait()
        closing = spawn(stream.close)
        until(lambda: counting.now == 1)
        assert not closing.done()
        gate.may_end.set()
        closing.result()
    assert gate.ended
    assert list(stream) == []


def test_the_end_of_the_block_does_the_same() -> None:
    desk = Desk()
    with run_each(abs, range(5), executor=desk):
        pass
    assert all(future.cancelled() for future in desk.futures)


def test_a_stream_that_is_dropped_takes_back_and_does_not_wait() -> None:
    desk = Desk()
    stream: Stream[int] | None = run_each(abs, range(5), executor=desk)
    desk.futures[0].set_running_or_notify_cancel()
    del stream
    gc.collect()
    until(lambda: sum(future.cancelled() for future in desk.futures) == len(desk.futures) - 1)
    desk.futures[0].set_result(3)


def test_a_failure_that_nobody_came_to_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    desk = Desk()
    stream = run_each(three_fails, range(5), executor=desk)
    desk.make(3)
    stream.close()
    until(lambda: told)
    assert [type(each.exc_value) for each in told] == [ValueError]


def test_a_call_cannot_close_its_stream() -> None:
    streams: list[Stream[None]] = []
    desk = Desk()
    streams.append(run_each(lambda _: streams[0].close(), range(1), executor=desk))
    desk.make(0)
    with pytest.raises(RuntimeError, match="it would wait for itself"):
        next(streams[0])


def test_nothing_is_kept_of_what_was_given_out() -> None:
    class Result:
        pass

    with ThreadPoolExecutor(1) as executor:
        stream = run_each(lambda _: Result(), range(200), executor=executor)
        kept = [weakref.ref(next(stream)) for _ in range(100)]
        gc.collect()
        assert sum(each() is not None for each in kept) <= 1
        stream.close()


# -------------------------------------------------------------------- time and scopes


def test_when_the_time_is_up_what_is_ready_is_given_out_first() -> None:
    desk = Desk()
    stream = run_each(abs, range(5), timeout=0.05, executor=desk)
    desk.make(0)
    desk.make(1)
    with pytest.raises(DeadlineExceeded):
        spawn(lambda: [next(run_each(abs, [1], timeout=0.05, executor=Desk()))]).result()
    got: list[int] = []
    with pytest.raises(DeadlineExceeded):
        got.extend(stream)
    assert got == [0, 1]
    assert all(future.done() for future in desk.futures)


def test_a_source_without_end_does_not_outlast_the_time() -> None:
    with pytest.raises(DeadlineExceeded):
        list(run_each(abs, itertools.count(), timeout=0.05, executor=AtOnce()))


def test_a_scope_around_the_consumer_ends_its_wait() -> None:
    desk = Desk()
    stream = run_each(abs, range(5), executor=desk)
    with move_on_after(0.05) as scope:
        next(stream)
    assert scope.cancelled_caught
    assert all(future.cancelled() for future in desk.futures)
    with pytest.raises(DeadlineExceeded), fail_after(0.05):
        next(run_each(abs, range(5), executor=desk))


def test_a_cancelled_scope_ends_it_between_two_items_of_a_busy_source() -> None:
    made = threading.Event()

    def source() -> Iterator[int]:
        made.wait()
        for number in itertools.count():
            if number == 10:
                waiter.scope.cancel()
            yield number

    waiter = Waiter(lambda: list(run_each(abs, source(), executor=Desk())))
    made.set()
    waiter.end()
    assert waiter.scope.cancelled_caught


def test_a_wait_of_the_source_obeys_the_scopes_around_the_call() -> None:
    def source() -> Iterator[int]:
        yield 1
        sleep(LONG)

    with move_on_after(0.05) as scope:
        list(run_each(abs, source(), executor=AtOnce()))
    assert scope.cancelled_caught
    with pytest.raises(DeadlineExceeded):
        list(run_each(abs, source(), timeout=0.05, executor=AtOnce()))


def test_calls_in_this_process_stop_when_asked() -> None:
    stopped: list[BaseException] = []

    def call(number: int) -> int:
        if number == 0:
            return 0
        try:
            sleep(LONG)
        except Cancelled as cancelled:
            stopped.append(cancelled)
            raise
        return number

    with ThreadPoolExecutor(3) as executor:
        with run_each(call, range(3), executor=executor) as stream:
            assert next(stream) == 0
        assert len(stopped) <= 2


# -------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_takes_back_and_waits_the_second_one_leaves(times: int) -> None:
    desk = Desk()
    stream = run_each(abs, range(3), executor=desk)
    desk.futures[0].set_running_or_notify_cancel()

    def press() -> None:
        interrupt_waiting_main()
        until(desk.futures[2].cancelled)
        if times == 1:
            desk.futures[0].set_result(0)
        else:
            interrupt_waiting_main()

    presser = spawn(press)
    with pytest.raises(KeyboardInterrupt) as caught:
        next(stream)
    presser.result(PATIENCE)
    left = [note for note in getattr(caught.value, "__notes__", []) if "call 0 at the Desk" in note]
    assert len(left) == times - 1
    if times == 2:
        desk.futures[0].set_result(0)


def test_ctrl_c_in_the_source_ends_the_stream() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    desk = Desk()
    with pytest.raises(KeyboardInterrupt):
        run_each(abs, source(), executor=desk)
    assert all(future.cancelled() for future in desk.futures)
