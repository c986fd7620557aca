"""`run_each`: results as they come, from an input that may be endless, and nothing left behind."""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import contextlib
import contextvars
import functools
import gc
import itertools
import sqlite3
import sysconfig
import threading
import traceback
import weakref
from typing import TYPE_CHECKING, NoReturn

import pytest

from joinable import (
    Cancelled,
    CancelledError,
    CancelScope,
    DeadlineExceeded,
    Stream,
    abandoned_threads,
    current_scope,
    fail_after,
    move_on_after,
    run_each,
    sleep,
)
from joinable import _calls as calls
from joinable import _runtime as runtime
from joinable._flow import Flow
from joinable.sync import Queue
from joinable.testing import FakeClock
from waiting import LONG, PATIENCE, Gate, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

WHO = contextvars.ContextVar("WHO", default="nobody")
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
BUFFERS = pytest.mark.parametrize("buffersize", [0, 1, 2, 64, None])
ORDERS = pytest.mark.parametrize("ordered", [True, False])
LAZY = pytest.mark.parametrize("buffersize", [0, 1, 2, 64])


class BoomError(Exception):
    """What the calls of these tests raise."""


def fail(*args: object) -> NoReturn:
    raise BoomError(*args)


def square(number: int) -> int:
    return number * number


def at(bad: int) -> Callable[[int], int]:
    """Make a function that fails for one item."""
    return lambda number: fail(number) if number == bad else square(number)


def lanes() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("run_each")]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Generator[None]:
    yield
    until(lambda: not lanes())
    assert abandoned_threads() == []


class Counted:
    """An endless source that knows how far it was read, and by how many at a time."""

    def __init__(self) -> None:
        self.read = 0
        self.inside = 0

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.inside += 1
        assert self.inside == 1, "two threads are in the source"
        number, self.read = self.read, self.read + 1
        self.inside -= 1
        return number


# -------------------------------------------------------------------- what comes out


@BUFFERS
@ORDERS
@pytest.mark.parametrize("count", [0, 1, 2, 3, 300, 700])
@pytest.mark.parametrize("max_workers", [1, 2, 8])
def test_all_results_come_out(
    buffersize: int | None, ordered: bool, count: int, max_workers: int
) -> None:
    results = run_each(
        square, range(count), max_workers=max_workers, buffersize=buffersize, ordered=ordered
    )
    assert isinstance(results, Stream)
    got = list(results)
    assert (got if ordered else sorted(got)) == [square(number) for number in range(count)]
    assert list(results) == []


@BUFFERS
def test_several_iterables_give_one_argument_each_and_the_shortest_ends_it(
    buffersize: int | None,
) -> None:
    assert list(run_each(pow, [2, 3, 4, 5], (5, 2, 3), buffersize=buffersize)) == [32, 9, 64]
    assert list(run_each(pow, [2, 3], [1, 2], [5, 5], buffersize=buffersize)) == [2, 4]


@BUFFERS
def test_a_result_may_be_anything(buffersize: int | None) -> None:
    class Strange:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("nobody asked")

        __hash__ = None  # type: ignore[assignment]

    things: list[object] = [None, Strange(), NotImplemented, ValueError(), b"\1", [], StopIteration]
    for ordered in (True, False):
        got = list(run_each(lambda x: x, things, buffersize=buffersize, ordered=ordered))
        assert {id(thing) for thing in got} == {id(thing) for thing in things}


def test_a_list_may_grow_until_it_is_used_up() -> None:
    todo = [3]

    def call(number: int) -> int:
        if number:
            todo.append(number - 1)
        return number

    assert list(run_each(call, todo, max_workers=1)) == [3, 2, 1, 0]


def test_who_waits_while_another_is_in_the_source_is_at_no_call() -> None:
    gate = threading.Event()

    def source() -> Generator[int]:
        yield from range(3)
        assert gate.wait(PATIENCE)

    with run_each(square, source(), max_workers=3) as stream:
        assert [next(stream) for _ in range(3)] == [0, 1, 4]
        until(lambda: " 0 running" in repr(stream))
        gate.set()
        assert list(stream) == []


def test_in_order_though_the_calls_end_in_reverse() -> None:
    ended = [threading.Event() for _ in range(6)]

    def call(number: int) -> int:
        if number < 5:
            assert ended[number + 1].wait(PATIENCE)
        ended[number].set()
        return number

    for buffersize in (0, 64, None):
        assert list(run_each(call, range(6), max_workers=6, buffersize=buffersize)) == [*range(6)]
        for event in ended:
            event.clear()


@BUFFERS
def test_as_completed_though_the_calls_end_in_reverse(buffersize: int | None) -> None:
    gates = [Gate(then=functools.partial(int, number)) for number in range(3)]
    with run_each(
        lambda gate: gate(), gates, max_workers=3, buffersize=buffersize, ordered=False
    ) as results:
        for number in (2, 0, 1):
            gates[number].may_end.set()
            assert next(results) == number
        assert list(results) == []


@BUFFERS
@ORDERS
def test_a_result_is_given_out_while_the_next_call_runs(
    buffersize: int | None, ordered: bool
) -> None:
    gate = Gate()
    calls: list[Callable[[], object]] = [int, int, gate]
    with run_each(
        lambda call: call(), calls, max_workers=1, buffersize=buffersize, ordered=ordered
    ) as results:
        assert [next(results), next(results)] == [0, 0]
        gate.may_end.set()
        assert list(results) == [0]


@LAZY
def test_a_source_that_waits_holds_back_no_result(buffersize: int) -> None:
    more = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        assert more.wait(PATIENCE)
        yield 2

    results = run_each(square, source(), max_workers=2, buffersize=buffersize)
    assert next(results) == 1
    more.set()
    assert list(results) == [4]


def test_calls_start_without_being_asked_for() -> None:
    gate = Gate()
    results = run_each(lambda _: gate(), [1])
    assert gate.begun.wait(PATIENCE)
    gate.may_end.set()
    assert list(results) == [0]


# -------------------------------------------------------------------- how far ahead


@LAZY
@ORDERS
@pytest.mark.parametrize("max_workers", [1, 2, 8])
def test_the_source_is_no_further_ahead_than_the_window(
    buffersize: int, ordered: bool, max_workers: int
) -> None:
    source, used = Counted(), 0

    def call(number: int) -> int:
        assert number < used + max_workers + buffersize + 1  # `used` grows when it was used
        return number

    with run_each(
        call, source, max_workers=max_workers, buffersize=buffersize, ordered=ordered
    ) as results:
        for _ in results:
            used += 1
            assert source.read <= used + max_workers + buffersize
            if used == 500:
                break


@LAZY
def test_a_slow_consumer_stops_the_intake_and_all_of_the_window_is_used(buffersize: int) -> None:
    source = Counted()
    with run_each(square, source, max_workers=2, buffersize=buffersize) as results:
        until(lambda: source.read == 2 + buffersize)
        assert next(results) == 0
        until(lambda: not lanes())
        assert source.read <= 3 + buffersize


@pytest.mark.parametrize("buffersize", [0, 5, None])
def test_no_more_calls_at_a_time_than_workers(buffersize: int | None) -> None:
    inside, most = 0, 0
    lock = threading.Lock()
    together = threading.Barrier(3)

    def call(_: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        together.wait(PATIENCE)  # three at a time, or it would break
        with lock:
            inside -= 1

    assert len(list(run_each(call, range(30), max_workers=3, buffersize=buffersize))) == 30
    assert most == 3


def test_without_a_bound_all_the_input_is_read_before_it_returns() -> None:
    read: list[int] = []
    here = threading.get_ident()

    def source() -> Iterator[int]:
        for number in range(1000):
            assert threading.get_ident() == here
            read.append(number)
            yield number

    results = run_each(square, source(), buffersize=None)
    assert len(read) == 1000
    assert list(results) == [square(number) for number in range(1000)]


def test_a_cursor_that_is_tied_to_its_thread_can_be_read_without_a_bound() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        rows = connection.execute("select 1 union select 2 union select 3")
        assert list(run_each(lambda row: row[0] * 2, rows, buffersize=None)) == [2, 4, 6]
        rows = connection.execute("select 1")
        with pytest.raises(sqlite3.ProgrammingError, match="thread"):
            list(run_each(lambda row: row, rows))


# -------------------------------------------------------------------- the context


@BUFFERS
def test_calls_have_a_copy_of_the_context_each_and_the_source_one_of_its_own(
    buffersize: int | None,
) -> None:
    seen: list[str] = []

    def source() -> Iterator[int]:
        for number in range(10):
            seen.append(WHO.get())
            WHO.set(f"source {number}")
            yield number

    def call(number: int) -> str:
        found = WHO.get()
        WHO.set(f"call {number}")
        return found

    token = WHO.set("the caller")
    try:
        found: set[str] = set()
        for result in run_each(call, source(), max_workers=2, buffersize=buffersize):
            found.add(result)
            assert WHO.get() == "the caller"
    finally:
        WHO.reset(token)
    assert found == {"the caller"}
    assert seen == ["the caller", *(f"source {number}" for number in range(9))]


def test_the_consumer_is_in_no_scope_of_it() -> None:
    assert current_scope() is None
    for scope in run_each(lambda _: current_scope(), range(3)):
        assert scope is not None
        assert current_scope() is None


# -------------------------------------------------------------------- errors


@BUFFERS
@pytest.mark.parametrize("bad", [0, 1, 5, 99])
@pytest.mark.parametrize("max_workers", [1, 3])
def test_an_error_comes_out_at_its_place(
    buffersize: int | None, bad: int, max_workers: int
) -> None:
    got: list[int] = []
    results = run_each(at(bad), range(100), max_workers=max_workers, buffersize=buffersize)
    with pytest.raises(BoomError) as caught:
        got.extend(results)  # keeps what came before it
    assert got == [square(number) for number in range(bad)]
    assert caught.value.args == (bad,)
    assert caught.value.__notes__[0].startswith(f"in call {bad} of the run_each at {__file__}:")
    assert list(results) == []


@BUFFERS
def test_out_of_order_an_error_comes_when_it_happens_and_stops_the_others(
    buffersize: int | None,
) -> None:
    stopped: list[int] = []

    def call(number: int) -> None:
        if number == 1:
            fail(number)
        try:
            sleep(LONG)
        except Cancelled:
            stopped.append(number)
            raise

    with pytest.raises(BoomError):
        list(run_each(call, range(2), max_workers=2, buffersize=buffersize, ordered=False))
    assert stopped in ([], [0])  # it may not have begun


@BUFFERS
def test_nothing_is_started_after_an_error(buffersize: int | None) -> None:
    started: list[int] = []

    def call(number: int) -> None:
        started.append(number)
        fail(number)

    with pytest.raises(BoomError):
        list(run_each(call, range(100), max_workers=1, buffersize=buffersize))
    assert started == [0]


@BUFFERS
def test_the_first_error_is_raised_and_later_ones_are_named(buffersize: int | None) -> None:
    together = threading.Barrier(3)

    def call(number: int) -> NoReturn:
        together.wait(PATIENCE)
        fail(number)

    with pytest.raises(BoomError) as caught:
        list(run_each(call, range(3), max_workers=3, buffersize=buffersize))
    assert caught.value.args == (0,)
    assert "2 more failed in the same run_each: " in caught.value.__notes__[-1]


def test_the_traceback_is_that_of_the_call_with_one_frame_of_ours() -> None:
    for buffersize in (64, None):
        with pytest.raises(BoomError) as caught:
            list(run_each(fail, [1], buffersize=buffersize))
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names == [
            "test_the_traceback_is_that_of_the_call_with_one_frame_of_ours",
            "_chunks",
            "fail",
        ]


@BUFFERS
@ORDERS
@pytest.mark.parametrize("before", [0, 1, 2, 70])
def test_an_error_of_the_source_comes_after_all_results_of_what_was_before_it(
    buffersize: int | None, ordered: bool, before: int
) -> None:
    def source() -> Iterator[int]:
        yield from range(before)
        fail("the source")

    got: list[int] = []
    with pytest.raises(BoomError, match="the source"):
        got.extend(
            run_each(square, source(), max_workers=3, buffersize=buffersize, ordered=ordered)
        )
    assert sorted(got) == [square(number) for number in range(before)]


def test_an_error_of_a_call_goes_before_a_later_one_of_the_source() -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        fail("the source")

    for buffersize in (0, 64, None):
        with pytest.raises(BoomError) as caught:
            list(run_each(at(1), source(), max_workers=3, buffersize=buffersize))
        assert caught.value.args == (1,)


@BUFFERS
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_comes_out_too(
    buffersize: int | None, kind: type[BaseException]
) -> None:
    def call(number: int) -> int:
        if number == 3:
            raise kind(number)
        return number

    for return_exceptions in (False, kind is not GeneratorExit):
        got: list[object] = []
        with pytest.raises(kind):
            got.extend(
                run_each(
                    call,
                    range(9),
                    max_workers=2,
                    buffersize=buffersize,
                    return_exceptions=return_exceptions,
                )
            )
        assert got == [0, 1, 2]
    until(lambda: not lanes())


@BUFFERS
def test_a_stop_iteration_of_a_call_is_an_error_and_not_the_end(buffersize: int | None) -> None:
    def call(number: int) -> int:
        if number == 2:
            raise StopIteration
        return number

    got: list[int] = []
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        got.extend(run_each(call, range(5), buffersize=buffersize))
    assert got == [0, 1]
    assert isinstance(caught.value.__cause__, StopIteration)


@BUFFERS
@ORDERS
def test_errors_can_be_given_out_in_the_place_of_results(
    buffersize: int | None, ordered: bool
) -> None:
    got = list(
        run_each(
            at(2),
            range(5),
            max_workers=2,
            buffersize=buffersize,
            ordered=ordered,
            return_exceptions=True,
        )
    )
    errors = [each for each in got if isinstance(each, BoomError)]
    assert len(got) == 5
    assert [error.args for error in errors] == [(2,)]
    if ordered:
        assert [each for each in got if not isinstance(each, BoomError)] == [0, 1, 9, 16]
        assert got[2] is errors[0]


# -------------------------------------------------------------------- leaving early


def sleeping(count: int) -> tuple[Callable[[int], None], threading.Semaphore, list[int]]:
    """Make a function that sleeps, and tell when it does and when it was stopped."""
    begun, stopped = threading.Semaphore(0), list[int]()

    def call(number: int) -> None:
        if number < count:
            return
        begun.release()
        try:
            sleep(LONG)
        except Cancelled:
            stopped.append(number)
            raise

    return call, begun, stopped


@BUFFERS
@ORDERS
def test_the_end_of_the_block_stops_what_runs_and_waits_for_it(
    buffersize: int | None, ordered: bool
) -> None:
    call, begun, stopped = sleeping(2)
    with run_each(call, range(4), max_workers=2, buffersize=buffersize, ordered=ordered) as results:
        assert [next(results), next(results)] == [None, None]
        for _ in range(2):
            assert begun.acquire(timeout=PATIENCE)
    assert sorted(stopped) == [2, 3]
    assert lanes() == []
    assert list(results) == []
    results.close()


@BUFFERS
def test_results_that_were_not_taken_are_not_given_out_after_it_was_closed(
    buffersize: int | None,
) -> None:
    results = run_each(square, range(50), max_workers=2, buffersize=buffersize)
    iterator = iter(results)
    assert next(iterator) == 0
    results.close()
    assert list(iterator) == []
    assert list(results) == []


@BUFFERS
def test_who_only_drops_it_stops_what_runs(buffersize: int | None) -> None:
    call, begun, stopped = sleeping(1)
    for _ in run_each(call, range(3), max_workers=2, buffersize=buffersize):
        for _ in range(2):
            assert begun.acquire(timeout=PATIENCE)
        break
    until(lambda: sorted(stopped) == [1, 2])


def test_who_drops_it_before_the_first_result_stops_it_too() -> None:
    call, begun, stopped = sleeping(0)
    results = run_each(call, range(9), max_workers=1)
    assert begun.acquire(timeout=PATIENCE)
    del results
    until(lambda: stopped == [0])


def test_who_drops_it_in_a_circle_stops_it_when_that_is_collected() -> None:
    call, begun, stopped = sleeping(0)
    circle: list[object] = [run_each(call, range(9), max_workers=1)]
    circle.append(circle)
    assert begun.acquire(timeout=PATIENCE)
    del circle
    gc.collect()
    until(lambda: stopped == [0])


class Reports:
    """Stand in for `threading.excepthook`."""

    def __init__(self) -> None:
        self.seen: list[BaseException | None] = []

    def __call__(self, arguments: threading.ExceptHookArgs) -> None:
        self.seen.append(arguments.exc_value)


@BUFFERS
def test_an_error_that_nobody_comes_to_is_reported(
    buffersize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports, failed = Reports(), threading.Event()
    monkeypatch.setattr(threading, "excepthook", reports)

    def call(number: int) -> int:
        if number == 1:
            try:
                fail(number)
            finally:
                failed.set()
        return number

    with run_each(call, range(2), max_workers=2, buffersize=buffersize) as results:
        assert next(results) == 0
        assert failed.wait(PATIENCE)
    until(lambda: [error.args for error in reports.seen if error] == [(1,)])


@BUFFERS
def test_an_error_after_it_was_dropped_is_reported(
    buffersize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports, gate = Reports(), Gate(then=functools.partial(fail, "late"))
    monkeypatch.setattr(threading, "excepthook", reports)
    results = run_each(lambda _: gate(), range(1), buffersize=buffersize)
    assert gate.begun.wait(PATIENCE)
    del results
    gate.may_end.set()
    until(lambda: [error.args for error in reports.seen if error] == [("late",)])


@BUFFERS
def test_an_error_of_the_source_that_nobody_comes_to_is_reported(
    buffersize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports, failed = Reports(), threading.Event()
    monkeypatch.setattr(threading, "excepthook", reports)

    def source() -> Iterator[int]:
        yield 0
        failed.set()
        fail("the source")

    with run_each(square, source(), max_workers=2, buffersize=buffersize) as results:
        assert next(results) == 0
        assert failed.wait(PATIENCE)
        until(lambda: not lanes())
    until(lambda: [error.args for error in reports.seen if error] == [("the source",)])


@BUFFERS
def test_an_error_of_the_source_is_named_by_that_of_a_call_before_it(
    buffersize: int | None,
) -> None:
    failed = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        failed.set()
        fail("the source")

    def call(_: int) -> None:
        assert failed.wait(PATIENCE)
        until(lambda: len(lanes()) <= 1)  # the one that was in the source has left
        fail("the call")

    with pytest.raises(BoomError, match="the call") as caught:
        list(run_each(call, source(), max_workers=2, buffersize=buffersize))
    assert "1 more failed in the same run_each: BoomError('the source')" in caught.value.__notes__


def test_what_the_source_gives_after_it_was_closed_is_not_called_with() -> None:
    asked, gate = threading.Event(), Gate()
    called: list[int] = []

    def source() -> Iterator[int]:
        yield 0
        asked.set()
        gate()
        yield 1

    with run_each(called.append, source(), max_workers=2) as results:
        next(results)
        assert asked.wait(PATIENCE)
        flow = results._reins.flow
        assert isinstance(flow, Flow)
        flow.scope.on_cancel(gate.may_end.set)  # that is when it is closed
    assert called == [0]


@BUFFERS
def test_out_of_order_the_failure_is_raised_and_not_that_the_others_were_stopped_by_it(
    buffersize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, stopped = CancelScope.cancel, threading.Event()

    def cancel(self: CancelScope, reason: str | BaseException | None = None) -> None:
        real(self, reason)
        if isinstance(reason, BoomError):
            assert stopped.wait(PATIENCE)
            until(lambda: len(lanes()) <= 1)  # what was stopped has been put on the shelf

    monkeypatch.setattr(CancelScope, "cancel", cancel)
    sleeping_now = threading.Event()

    def call(number: int) -> None:
        if number == 0:
            assert sleeping_now.wait(PATIENCE)
            fail(number)
        try:
            sleeping_now.set()
            sleep(LONG)
        finally:
            stopped.set()

    with pytest.raises(BoomError):
        list(run_each(call, range(2), max_workers=2, buffersize=buffersize, ordered=False))


def test_a_call_cannot_close_the_stream_that_it_is_of() -> None:
    streams: list[Stream[None]] = []
    there = threading.Event()

    def call(_: int) -> None:
        assert there.wait(PATIENCE)
        streams[0].close()

    streams.append(run_each(call, [1]))
    there.set()
    with pytest.raises(RuntimeError, match="it would wait for itself"):
        next(streams[0])


@pytest.mark.skipif(FREE_THREADED, reason="counts of references are merged later there")
@BUFFERS
@ORDERS
def test_an_error_is_in_no_circle(buffersize: int | None, ordered: bool) -> None:
    def ended() -> weakref.ref[BoomError]:
        try:
            list(run_each(fail, [1], max_workers=1, buffersize=buffersize, ordered=ordered))
        except BoomError as error:
            return weakref.ref(error)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        gone = ended()
        until(lambda: not lanes() and gone() is None)
    finally:
        gc.enable()


def test_closing_ends_a_source_that_waits_in_the_library() -> None:
    items: Queue[int] = Queue()
    items.put(3)
    with run_each(square, iter(items.get, None), max_workers=2) as results:
        assert next(results) == 9
    assert lanes() == []


@BUFFERS
def test_nothing_is_kept_of_what_was_used(buffersize: int | None) -> None:
    class Thing:
        pass

    kept: list[weakref.ref[Thing]] = []

    def call(thing: Thing) -> Thing:
        result = Thing()
        kept.extend((weakref.ref(thing), weakref.ref(result)))
        return result

    def source() -> Iterator[Thing]:
        for _ in range(3):
            yield Thing()

    results = run_each(call, source(), max_workers=1, buffersize=buffersize)
    assert [type(result) for result in results] == [Thing] * 3
    until(lambda: gc.collect() < 0 or not any(reference() for reference in kept))
    assert list(results) == []


def test_the_stream_keeps_neither_the_function_nor_the_source_after_its_end() -> None:
    class Callable_:  # noqa: N801  a function that can be referred to weakly
        def __call__(self, number: int) -> int:
            return number

    for buffersize in (64, None):
        function = Callable_()
        gone = weakref.ref(function)
        results = run_each(function, range(3), buffersize=buffersize)
        assert list(results) == [0, 1, 2]
        del function
        until(lambda gone=gone: gc.collect() < 0 or gone() is None)  # type: ignore[misc]
        assert list(results) == []


# -------------------------------------------------------------------- time, and being told to stop


@BUFFERS
@ORDERS
def test_late_calls_are_stopped_and_what_came_before_is_given_out(
    buffersize: int | None, ordered: bool
) -> None:
    call, _, stopped = sleeping(2)
    with FakeClock() as clock:
        results = run_each(
            call, range(4), max_workers=2, buffersize=buffersize, ordered=ordered, timeout=10
        )
        assert [next(results), next(results)] == [None, None]
        clock.until_waiting(2)
        clock.advance(10)
        with pytest.raises(DeadlineExceeded, match="run_each did not end within 10 s") as caught:
            next(results)
    assert sorted(stopped) == [2, 3]
    assert caught.value.unfinished == ()
    assert list(results) == []


@BUFFERS
@ORDERS
def test_a_stream_that_never_waits_ends_in_time(buffersize: int | None, ordered: bool) -> None:
    source = itertools.count() if buffersize is not None else range(10**4)
    with FakeClock() as clock:
        results = run_each(
            square, source, max_workers=2, buffersize=buffersize, ordered=ordered, timeout=10
        )
        next(results)
        clock.advance(10)
        with contextlib.suppress(DeadlineExceeded):  # without a bound all may have been called
            for number, _ in enumerate(results):
                assert number < 10**4


@BUFFERS
def test_a_call_that_does_not_stop_is_named_and_abandoned(
    buffersize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LAST_MOMENT", 0.0)
    gate = Gate()
    with FakeClock() as clock:
        results = run_each(lambda _: gate(), [1], buffersize=buffersize, timeout=10)
        assert gate.begun.wait(PATIENCE)
        until(lambda: len(lanes()) == 1)
        clock.advance(10)
        with pytest.raises(DeadlineExceeded) as caught:
            next(results)
        assert len(abandoned_threads()) == 1
    (text,) = caught.value.unfinished
    assert text.startswith("call 0 at ")
    assert "waiting.py" in text
    gate.may_end.set()
    until(lambda: abandoned_threads() == [])


def test_a_source_that_does_not_stop_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "LAST_MOMENT", 0.0)
    gate = Gate()

    def source() -> Iterator[int]:
        yield 0
        gate()

    with FakeClock() as clock:
        results = run_each(square, source(), timeout=10)
        assert next(results) == 0
        assert gate.begun.wait(PATIENCE)
        clock.advance(10)
        with pytest.raises(DeadlineExceeded) as caught:
            next(results)
    (text,) = caught.value.unfinished
    assert text.startswith("the source of its items at ")
    assert "waiting.py" in text
    gate.may_end.set()
    until(lambda: abandoned_threads() == [])


@BUFFERS
@ORDERS
def test_a_scope_around_it_stops_it(buffersize: int | None, ordered: bool) -> None:
    call, begun, stopped = sleeping(0)
    with CancelScope() as scope:
        results = run_each(call, range(9), max_workers=2, buffersize=buffersize, ordered=ordered)
        for _ in range(2):
            assert begun.acquire(timeout=PATIENCE)
        scope.cancel()
        next(results)
        raise AssertionError
    assert scope.cancelled_caught
    assert sorted(stopped) == [0, 1]
    assert lanes() == []


@BUFFERS
def test_a_busy_consumer_that_is_told_to_stop_does(buffersize: int | None) -> None:
    source = itertools.count() if buffersize is not None else range(10**5)
    with CancelScope() as scope:
        for number in run_each(square, source, max_workers=2, buffersize=buffersize):
            if number == 100:
                scope.cancel()
            assert number < square(10**4)
    assert scope.cancelled_caught


@BUFFERS
def test_a_scope_around_the_consumer_alone_stops_it_too(buffersize: int | None) -> None:
    call, begun, stopped = sleeping(0)
    results = run_each(call, range(9), max_workers=1, buffersize=buffersize)
    assert begun.acquire(timeout=PATIENCE)
    with move_on_after(0.001) as scope:
        next(results)
    assert scope.cancelled_caught
    assert stopped == [0]


@BUFFERS
def test_a_scope_that_was_left_cancelled_stops_the_calls_and_who_asks_later_is_told(
    buffersize: int | None,
) -> None:
    call, begun, _ = sleeping(0)
    with CancelScope() as scope:
        results = run_each(call, range(9), max_workers=2, buffersize=buffersize)
        assert begun.acquire(timeout=PATIENCE)
        scope.cancel()
    with pytest.raises(CancelledError):
        next(results)


@BUFFERS
@ORDERS
def test_a_call_can_stop_them_all(buffersize: int | None, ordered: bool) -> None:
    def call(number: int) -> None:
        if number == 3:
            scope = current_scope()
            assert scope is not None
            scope.cancel()
        sleep(0 if number < 3 else LONG)

    results = run_each(call, range(9), max_workers=2, buffersize=buffersize, ordered=ordered)
    with pytest.raises(CancelledError, match="the scope of this run_each was cancelled"):
        list(results)


def test_nothing_is_started_in_a_scope_that_is_cancelled() -> None:
    with CancelScope() as scope:
        scope.cancel()
        run_each(fail, [1])
        raise AssertionError
    assert scope.cancelled_caught


def test_a_deadline_around_it_is_that_of_its_scope() -> None:
    with FakeClock() as clock:
        call, begun, _ = sleeping(0)
        with pytest.raises(DeadlineExceeded), fail_after(5):
            results = run_each(call, range(2), max_workers=1)
            assert begun.acquire(timeout=PATIENCE)
            clock.until_waiting()
            clock.advance(5)
            next(results)


@BUFFERS
def test_a_call_that_is_stuck_does_not_hold_up_the_failure_of_another_beyond_the_timeout(
    buffersize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LAST_MOMENT", 0.0)
    gate, failed = Gate(), threading.Event()

    def call(number: int) -> None:
        if number == 0:
            gate()
        failed.set()
        fail(number)

    with FakeClock() as clock:
        results = run_each(call, range(2), max_workers=2, buffersize=buffersize, timeout=10)
        assert gate.begun.wait(PATIENCE)
        assert failed.wait(PATIENCE)
        until(lambda: len(lanes()) == 1)
        clock.advance(10)
        with pytest.raises(BoomError) as caught:
            next(results)
    assert caught.value.args == (1,)
    assert len(abandoned_threads()) == 1
    gate.then = int
    with monkeypatch.context() as quiet:
        quiet.setattr(threading, "excepthook", Reports())
        gate.may_end.set()
        until(lambda: abandoned_threads() == [])


# -------------------------------------------------------------------- nesting


@BUFFERS
def test_calls_may_use_streams_of_their_own(buffersize: int | None) -> None:
    def call(number: int) -> int:
        return sum(run_each(square, range(number), max_workers=2, buffersize=buffersize))

    got = list(run_each(call, range(20), max_workers=3, buffersize=buffersize))
    assert got == [sum(map(square, range(number))) for number in range(20)]


@BUFFERS
def test_a_stream_can_be_the_source_of_another(buffersize: int | None) -> None:
    inner = run_each(square, range(100), max_workers=2, buffersize=buffersize)
    outer = run_each(square, inner, max_workers=2, buffersize=buffersize)
    assert list(outer) == [number**4 for number in range(100)]


# -------------------------------------------------------------------- what cannot be


def test_arguments_that_cannot_be_are_refused_before_anything_starts() -> None:
    wrong: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (TypeError, "fn must be callable", lambda: run_each(3, [1])),  # type: ignore[call-overload]
        (TypeError, r"run_each\(fn, items\)", lambda: run_each(square)),  # type: ignore[call-overload]
        (TypeError, r"iterables\[0\] must be iterable, not 5", lambda: run_each(square, 5)),  # type: ignore[call-overload]
        (TypeError, r"iterables\[1\] must be iterable", lambda: run_each(pow, [1], 5)),  # type: ignore[call-overload]
        (TypeError, "use run_all", lambda: run_each(square, square)),  # type: ignore[call-overload]
        (TypeError, "asynchronous", lambda: run_each(square, asynchronous())),  # type: ignore[call-overload]
        (ValueError, "max_workers must be at least 1", lambda: run_each(square, [], max_workers=0)),
        (ValueError, "buffersize must be at least 0", lambda: run_each(square, [], buffersize=-1)),
        (TypeError, "buffersize must be a whole", lambda: run_each(square, [], buffersize=1.5)),  # type: ignore[call-overload]
        (ValueError, "timeout must be at least 0", lambda: run_each(square, [], timeout=-1)),
        (TypeError, "ordered must be True or False", lambda: run_each(square, [], ordered=None)),  # type: ignore[call-overload]
        (
            TypeError,
            "return_exceptions must be True or False",
            lambda: run_each(square, [], return_exceptions=1),  # type: ignore[call-overload]
        ),
    ]
    before = threading.active_count()
    for kind, match, call in wrong:
        with pytest.raises(kind, match=match):
            call()
    assert threading.active_count() == before


async def asynchronous() -> AsyncIterator[int]:
    yield 1


def test_a_buffer_may_be_as_large_as_you_like() -> None:
    for ordered in (True, False):
        assert sorted(run_each(square, [1, 2], buffersize=10**12, ordered=ordered)) == [1, 4]


@pytest.mark.usefixtures("workers_of_its_own")
@BUFFERS
def test_where_no_second_thread_can_be_had_it_says_so(
    buffersize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = runtime.start_worker
    refused: list[object] = []

    def refuse(function: Callable[[], object], name: str) -> threading.Thread:
        if threading.current_thread() is threading.main_thread() and not refused:
            return real(function, name)
        refused.append(name)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(runtime, "start_worker", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(run_each(sleep, [LONG] * 3, max_workers=3, buffersize=buffersize))
    assert refused


@pytest.mark.usefixtures("workers_of_its_own")
@BUFFERS
def test_where_no_thread_can_be_had_it_says_so_and_leaves_nothing(
    buffersize: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(runtime, "start_worker", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run_each(square, [1], buffersize=buffersize)
