"""`progress=`: all calls are counted, one at a time, and it is finished however the run ends."""

from __future__ import annotations

import contextvars
import gc
import multiprocessing
import operator
import random
import sys
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import count, repeat
from typing import TYPE_CHECKING

import pytest

from executing import AtOnce, Desk, Shuffling
from joinable import (
    Cancelled,
    CancelledError,
    CancelScope,
    DeadlineExceeded,
    checkpoint,
    current_scope,
    run_all,
    run_each,
    sleep,
)
from joinable.testing import no_leaks
from waiting import LONG, PATIENCE, Gate, interrupt_waiting_main, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from joinable import Stream
    from joinable._typing import T

EACH = [(64, True), (64, False), (None, True), (None, False), (0, True)]
BUFFERS = pytest.mark.parametrize("buffersize", [0, 64, None])


class Shown:
    """Keeps what it is told, and would lose some of it if two threads told it at once."""

    def __init__(self) -> None:
        self.ended = 0
        self.told: list[str | int | None] = []

    def start(self, total: int | None) -> None:
        self.told.append(total)

    def advance(self, n: int) -> None:
        ended = self.ended
        for _ in range(n % 3):
            pass
        self.ended = ended + n
        if self.told[-1] != "advance":
            self.told.append("advance")

    def finish(self) -> None:
        self.told.append("finish")

    def was_told(self, total: int | None) -> bool:
        """Tell whether all was in its order, and each end told once."""
        return self.told == [total, "advance", "finish"]


@pytest.fixture
def shown() -> Shown:
    return Shown()


def put(shown: Shown, **methods: Callable[..., object]) -> None:
    """Put other methods in the place of its own."""
    for name, method in methods.items():
        setattr(shown, name, method)


class BoomError(Exception):
    """What calls and progress objects of these tests raise."""


def boom(*_: object) -> None:
    raise BoomError


@pytest.fixture
def unraised(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """Return what goes to `sys.unraisablehook`."""
    found: list[BaseException | None] = []

    def hook(facts: sys.UnraisableHookArgs) -> None:
        found.append(facts.exc_value)

    monkeypatch.setattr(sys, "unraisablehook", hook)
    return found


class TestCounts:
    @pytest.mark.parametrize(("buffersize", "ordered"), EACH)
    def test_all_calls_of_a_stream_are_counted(
        self, shown: Shown, buffersize: int | None, ordered: bool
    ) -> None:
        items = 100_000 if buffersize != 0 else 10_000
        results = run_each(
            abs, range(items), max_workers=8, buffersize=buffersize, ordered=ordered, progress=shown
        )
        assert sum(results) == sum(range(items))
        assert shown.ended == items
        assert shown.was_told(items)

    def test_all_calls_of_run_all_are_counted(self, shown: Shown) -> None:
        calls = 5_000
        assert run_all([int] * calls, max_workers=8, progress=shown) == [0] * calls
        assert shown.ended == calls
        assert shown.was_told(calls)

    def test_no_calls_are_none(self, shown: Shown) -> None:
        assert run_all([], progress=shown) == []
        assert list(run_each(str, range(0), progress=shown)) == []
        assert shown.told == [0, "finish", 0, "finish"]

    def test_who_has_the_results_finds_it_finished(self, shown: Shown) -> None:
        results = run_each(abs, range(3), progress=shown)
        assert list(results) == [0, 1, 2]
        assert shown.was_told(3)
        results.close()
        assert shown.was_told(3)

    def test_it_has_counted_a_call_when_that_is_over_and_another_one_runs(
        self, shown: Shown
    ) -> None:
        gate = Gate()
        calls: list[Callable[[], object]] = [int, int, gate]
        with run_each(operator.call, calls, progress=shown) as results:
            assert [next(results), next(results)] == [0, 0]
            until(lambda: shown.ended == 2)
            assert "finish" not in shown.told
            gate.may_end.set()
            assert next(results) == 0
        assert shown.ended == 3

    def test_a_call_counts_that_fails_or_was_stopped_and_not_one_that_never_began(
        self, shown: Shown
    ) -> None:
        begun = threading.Barrier(2)

        def fail() -> None:
            begun.wait(PATIENCE)
            raise BoomError

        def wait() -> None:
            begun.wait(PATIENCE)
            sleep(LONG)

        calls: list[Callable[[], object]] = [fail, wait, int, int]
        with pytest.raises(BoomError):
            run_all(calls, max_workers=2, progress=shown)
        assert shown.ended == 2
        assert shown.was_told(4)

    def test_a_call_counts_whose_error_takes_the_place_of_the_result(self, shown: Shown) -> None:
        got = list(run_each(int, ["1", "x", "3"], return_exceptions=True, progress=shown))
        assert [type(value) for value in got] == [int, ValueError, int]
        assert shown.ended == 3

    def test_it_may_be_used_again(self, shown: Shown) -> None:
        for _ in range(2):
            run_all([int, int], progress=shown)
        assert shown.ended == 4
        assert shown.told == [2, "advance", "finish"] * 2

    def test_false_is_none(self) -> None:
        assert run_all([int], progress=False) == [0]
        assert list(run_each(abs, [1], progress=False)) == [1]

    def test_what_counts_as_false_is_told_all_the_same(self) -> None:
        class Empty(Shown):
            def __bool__(self) -> bool:
                raise TypeError("an empty bar cannot tell")

        shown = Empty()
        run_all([int], progress=shown)
        assert shown.was_told(1)


class TestTotal:
    def test_of_several_inputs_it_is_the_length_of_the_shortest(self, shown: Shown) -> None:
        list(run_each(pow, [2, 3, 4], (5, 2), progress=shown))
        assert shown.was_told(2)

    @pytest.mark.parametrize("items", [iter([1, 2]), (number for number in (1, 2))])
    @BUFFERS
    def test_nobody_knows_it_of_an_iterator(
        self, shown: Shown, items: Iterator[int], buffersize: int | None
    ) -> None:
        list(run_each(abs, items, buffersize=buffersize, progress=shown))
        assert shown.told[0] is None

    def test_nobody_knows_it_where_one_input_has_no_length(self, shown: Shown) -> None:
        list(run_each(pow, [2, 3], repeat(2), progress=shown))
        assert shown.was_told(None)

    def test_the_calls_of_run_all_are_read_first(self, shown: Shown) -> None:
        run_all((call for call in [int, int]), progress=shown)
        run_all({"a": int}, progress=shown)
        assert shown.told == [2, "advance", "finish", 1, "advance", "finish"]


class TestEnds:
    @BUFFERS
    def test_it_is_finished_after_an_error(self, shown: Shown, buffersize: int | None) -> None:
        with pytest.raises(ValueError, match="invalid literal"):
            list(run_each(int, ["1", "x"], buffersize=buffersize, progress=shown))
        assert shown.was_told(2)

    @BUFFERS
    def test_it_is_finished_after_an_error_of_the_input(
        self, shown: Shown, buffersize: int | None
    ) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise BoomError

        results = run_each(abs, items(), buffersize=buffersize, progress=shown)
        with pytest.raises(BoomError):
            list(results)
        assert shown.ended == 1
        assert shown.was_told(None)

    @BUFFERS
    def test_it_is_finished_when_the_stream_is_closed(
        self, shown: Shown, buffersize: int | None
    ) -> None:
        with run_each(sleep, [0, LONG], max_workers=2, buffersize=buffersize, progress=shown) as it:
            next(it)
        assert shown.was_told(2)

    def test_it_is_not_finished_by_a_call_that_cannot_close_its_stream(self, shown: Shown) -> None:
        streams: list[Stream[object]] = []
        ready = threading.Event()

        def call(_: int) -> str:
            assert ready.wait(PATIENCE)
            with pytest.raises(RuntimeError, match="cannot close it"):
                streams[0].close()
            assert "finish" not in shown.told
            return "went on"

        streams.append(run_each(call, [1], progress=shown))
        ready.set()
        assert list(streams[0]) == ["went on"]
        assert shown.was_told(1)

    @BUFFERS
    @pytest.mark.parametrize("taken", [0, 1])
    def test_it_is_finished_when_the_stream_is_dropped(
        self, shown: Shown, buffersize: int | None, taken: int
    ) -> None:
        results = run_each(sleep, [0, LONG], max_workers=2, buffersize=buffersize, progress=shown)
        for _ in range(taken):
            next(results)
        until(lambda: shown.ended == 1)
        del results
        gc.collect()
        until(lambda: "finish" in shown.told)
        assert shown.told[-1] == "finish"

    def test_a_finalizer_does_not_call_it(self, shown: Shown) -> None:
        finished: list[threading.Thread] = []
        put(shown, finish=lambda: finished.append(threading.current_thread()))
        results = run_each(abs, [1, 2], progress=shown)
        next(results)
        del results
        gc.collect()
        until(lambda: finished)
        assert finished[0] is not threading.current_thread()

    def test_it_is_finished_when_the_scope_around_it_is_cancelled(self, shown: Shown) -> None:
        with CancelScope() as scope:
            scope.cancel()
            run_all([int], progress=shown)
        assert scope.cancelled
        assert shown.told == [1, "finish"]

    def test_it_is_finished_when_a_call_cancels_the_scope_of_all(self, shown: Shown) -> None:
        def stop() -> None:
            scope = current_scope()
            assert scope is not None
            scope.cancel()
            checkpoint()

        with pytest.raises(CancelledError):
            run_all([stop], progress=shown)
        assert shown.was_told(1)

    @pytest.mark.parametrize("each", [False, True])
    def test_calls_that_were_given_up_are_not_told_after_the_end(
        self, shown: Shown, each: bool
    ) -> None:
        gate = Gate()
        calls: list[Callable[[], object]] = [int, gate]
        with pytest.raises(DeadlineExceeded):
            if each:
                list(run_each(operator.call, calls, timeout=0.01, progress=shown))
            else:
                run_all(calls, timeout=0.01, progress=shown)
        assert shown.ended == 1
        assert shown.was_told(2)
        gate.may_end.set()
        until(lambda: gate.ended)
        until(lambda: not any(thread.name.startswith("run_") for thread in threading.enumerate()))
        assert shown.was_told(2)

    def test_who_is_in_it_when_the_run_is_given_up_finishes_it(self, shown: Shown) -> None:
        gate = Gate()
        finished: list[threading.Thread] = []

        def advance(_: int) -> None:
            gate()

        put(shown, advance=advance)
        put(shown, finish=lambda: finished.append(threading.current_thread()))
        with pytest.raises(DeadlineExceeded) as caught:
            run_all([int], timeout=0.01, progress=shown)
        assert gate.begun.is_set()
        assert "in __call__" in caught.value.unfinished[0]
        assert finished == []
        gate.may_end.set()
        until(lambda: finished)
        assert finished[0] is not threading.current_thread()

    def test_it_is_finished_after_ctrl_c(self, shown: Shown) -> None:
        def interrupt() -> None:
            interrupt_waiting_main()
            sleep(LONG)

        with pytest.raises(KeyboardInterrupt):
            run_all([interrupt], progress=shown)
        assert shown.was_told(1)

    def test_no_leak_check_ends_a_stream_that_goes_on(self, shown: Shown) -> None:
        with no_leaks():
            results = run_each(abs, [1], progress=shown)
            until(lambda: shown.ended == 1)
        assert "finish" not in shown.told
        assert list(results) == [1]
        assert shown.was_told(1)


class TestErrorsOfTheObject:
    @pytest.mark.parametrize("each", [False, True])
    def test_one_of_start_is_raised_by_the_call_and_nothing_is_started(
        self, shown: Shown, each: bool
    ) -> None:
        began: list[object] = []
        put(shown, start=boom)

        def items() -> Iterator[int]:
            began.append("the input")
            yield 1

        with pytest.raises(BoomError):
            if each:
                run_each(began.append, items(), progress=shown)
            else:
                run_all([partial(began.append, "a call")], progress=shown)
        assert began == []
        assert shown.told == ["finish"]

    @BUFFERS
    def test_one_of_advance_costs_no_result_and_is_told_once(
        self, shown: Shown, buffersize: int | None, unraised: list[BaseException | None]
    ) -> None:
        asked: list[int] = []

        def advance(n: int) -> None:
            asked.append(n)
            raise BoomError

        put(shown, advance=advance)
        got = list(run_each(abs, range(100), buffersize=buffersize, progress=shown))
        assert got == [*range(100)]
        assert shown.told == [100, "finish"]
        assert len(asked) == 1
        (error,) = unraised
        assert isinstance(error, BoomError)
        assert "in the progress object of the run_each at " in error.__notes__[0]
        assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][1:] == [
            "advance"
        ]

    def test_one_of_finish_costs_no_result(
        self, shown: Shown, unraised: list[BaseException | None]
    ) -> None:
        put(shown, finish=boom)
        assert run_all([int, int], progress=shown) == [0, 0]
        assert list(map(type, unraised)) == [BoomError]

    def test_one_of_finish_does_not_hide_that_of_a_call(
        self, shown: Shown, unraised: list[BaseException | None]
    ) -> None:
        put(shown, finish=boom)
        with pytest.raises(ZeroDivisionError):
            run_all([partial(divmod, 1, 0)], progress=shown)
        assert list(map(type, unraised)) == [BoomError]

    def test_ctrl_c_in_finish_is_raised(self, shown: Shown) -> None:
        def finish() -> None:
            shown.told.append("finish")
            raise KeyboardInterrupt

        put(shown, finish=finish)
        with pytest.raises(KeyboardInterrupt):
            run_all([int], progress=shown)
        with pytest.raises(KeyboardInterrupt):
            list(run_each(abs, [1], progress=shown))
        assert shown.told == [1, "advance", "finish"] * 2

    def test_ctrl_c_in_start_is_raised_and_it_is_finished(self, shown: Shown) -> None:
        def start(total: int | None) -> None:
            shown.told.append(total)
            raise KeyboardInterrupt

        put(shown, start=start)
        with pytest.raises(KeyboardInterrupt):
            run_each(abs, [1], progress=shown)
        assert shown.told == [1, "finish"]

    def test_ctrl_c_in_advance_on_the_main_thread_is_raised_and_it_is_finished(
        self, shown: Shown
    ) -> None:
        def advance(_: int) -> None:
            raise KeyboardInterrupt

        put(shown, advance=advance)
        with pytest.raises(KeyboardInterrupt):
            run_all([int, int], executor=AtOnce(), progress=shown)
        assert shown.told == [2, "finish"]


class TestBadArguments:
    @pytest.mark.parametrize("each", [False, True])
    @pytest.mark.parametrize(
        ("progress", "hint"),
        [
            (3, "not 3"),
            (object(), "an object with start"),
            (Shown, r"write Shown\(\)"),
            (print, "not <built-in function print>"),
        ],
    )
    def test_what_is_no_progress_is_refused_before_anything_starts(
        self, progress: object, hint: str, each: bool
    ) -> None:
        began: list[int] = []
        with pytest.raises(TypeError, match=hint):
            if each:
                run_each(began.append, [1], progress=progress)  # type: ignore[call-overload]
            else:
                run_all([partial(began.append, 1)], progress=progress)  # type: ignore[call-overload]
        assert began == []


class TestWhereItIsCalled:
    def test_the_context_of_the_caller_stays_as_it_was(self, shown: Shown) -> None:
        variable = contextvars.ContextVar("variable", default="nothing")
        seen: list[str] = []

        def see(*_: object) -> None:
            seen.append(variable.get())
            variable.set("changed")

        put(shown, start=see, advance=see, finish=see)
        variable.set("the caller's")
        run_all([int], progress=shown)
        with run_each(abs, [1], progress=shown) as results:
            assert next(results) == 1
        assert seen == ["the caller's"] * 6
        assert variable.get() == "the caller's"

    def test_no_scope_is_in_force(self, shown: Shown) -> None:
        seen: list[object] = []

        def see(*_: object) -> None:
            seen.append(current_scope())
            checkpoint()

        put(shown, start=see, advance=see, finish=see)
        gate = Gate(partial(sleep, LONG))

        def cancel() -> None:
            scope.cancel()
            gate.may_end.set()

        calls: list[Callable[[], object]] = [gate, cancel]
        with CancelScope() as scope:
            run_all(calls, progress=shown)
        assert scope.cancelled
        assert len(seen) in {3, 4}
        assert {*seen} == {None}

    def test_it_may_use_the_library_itself(self, shown: Shown) -> None:
        inner = Shown()
        put(shown, finish=lambda: run_all([int], progress=inner))
        run_all([int], progress=shown)
        assert inner.was_told(1)

    def test_a_traceback_and_a_note_are_as_without_it(self, shown: Shown) -> None:
        def fail(_: object = None) -> None:
            raise BoomError

        def all_of_it(progress: Shown | None) -> object:
            return run_all([fail], progress=progress)

        def each(buffersize: int | None, progress: Shown | None) -> object:
            return list(run_each(fail, [1], buffersize=buffersize, progress=progress))

        told: list[list[str]] = []
        for progress in (None, shown):
            for run in (all_of_it, partial(each, 64), partial(each, None)):
                with pytest.raises(BoomError) as caught:
                    run(progress)
                names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
                told.append([*names[1:], *caught.value.__notes__])
        assert told[:3] == told[3:]

    def test_what_is_called_keeps_its_name(self, shown: Shown) -> None:
        names: list[str] = []

        class Seeing(AtOnce):
            def submit(self, fn: Callable[[], T], /) -> Future[T]:
                names.append(fn.__name__)
                return super().submit(fn)

        run_all([int], executor=Seeing(), progress=shown)
        assert names == ["int"]


class TestExecutors:
    def test_calls_in_other_processes_are_counted_here(self, shown: Shown) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            got = list(
                run_each(
                    divmod,
                    [1, 2, 3],
                    [1, 0, 1],
                    return_exceptions=True,
                    executor=pool,
                    progress=shown,
                )
            )
            assert [type(value) for value in got] == [tuple, ZeroDivisionError, tuple]
            assert shown.ended == 3
            # What cannot be sent has failed.
            calls: list[Callable[[], object]] = [int, lambda: 1]
            zero, refused = run_all(calls, return_exceptions=True, executor=pool, progress=shown)
        assert (zero, type(refused)) == (0, TypeError)
        assert shown.ended == 5
        assert shown.told == [3, "advance", "finish", 2, "advance", "finish"]

    @pytest.mark.parametrize("ordered", [True, False])
    @pytest.mark.parametrize("buffersize", [64, None])
    def test_all_calls_are_counted(
        self, shown: Shown, ordered: bool, buffersize: int | None
    ) -> None:
        with ThreadPoolExecutor(8) as pool:
            results = run_each(
                abs,
                range(2000),
                ordered=ordered,
                buffersize=buffersize,
                executor=pool,
                progress=shown,
            )
            assert sum(results) == sum(range(2000))
            assert shown.ended == 2000
            run_all([int] * 2000, executor=pool, progress=shown)
        assert shown.ended == 4000
        assert shown.told == [2000, "advance", "finish"] * 2

    def test_an_executor_that_is_in_no_order_changes_nothing(self, shown: Shown) -> None:
        with Shuffling(random.Random(1)) as executor:  # noqa: S311  an order, no secret
            got = list(run_each(operator.neg, range(200), executor=executor, progress=shown))
        assert got == [-number for number in range(200)]
        assert shown.ended == 200

    def test_a_call_counts_when_its_future_is_done(self, shown: Shown) -> None:
        desk = Desk()
        with run_each(abs, [-1, -2], executor=desk, progress=shown) as results:
            desk.make(0)
            assert shown.ended == 1
            desk.make(1)
            assert shown.ended == 2
            assert list(results) == [1, 2]
        assert shown.was_told(2)

    def test_what_was_taken_back_does_not_count(self, shown: Shown) -> None:
        desk = Desk()
        with run_each(abs, count(), max_workers=4, executor=desk, progress=shown) as results:
            desk.make(0)
            assert next(results) == 0
        assert all(future.done() for future in desk.futures)
        assert shown.ended == 1
        assert shown.was_told(None)

    def test_what_somebody_else_has_cancelled_counts_as_it_has_an_error(self, shown: Shown) -> None:
        desk = Desk()
        with run_each(
            abs, [1, 2], executor=desk, return_exceptions=True, progress=shown
        ) as results:
            desk.futures[0].cancel()
            desk.make(1)
            first, second = results
        assert (type(first), second) == (CancelledError, 2)
        assert shown.ended == 2

    def test_it_is_not_in_force_where_the_call_was_stopped(self, shown: Shown) -> None:
        with ThreadPoolExecutor(2) as pool:
            gate = Gate(boom)

            def wait() -> None:
                gate.may_end.set()
                sleep(LONG)

            calls: list[Callable[[], object]] = [gate, wait]
            with pytest.raises(BoomError):
                run_all(calls, executor=pool, progress=shown)
        assert shown.ended == 2
        assert shown.was_told(2)


def test_a_cancelled_from_elsewhere_in_the_object_is_an_error_of_it(
    unraised: list[BaseException | None], shown: Shown
) -> None:
    def advance(_: int) -> None:
        raise Cancelled("by itself")

    put(shown, advance=advance)
    assert run_all([int], progress=shown) == [0]
    assert list(map(type, unraised)) == [Cancelled]
    assert shown.told == [1, "finish"]
