"""`run_all`: all of them, in order, or the first failure, and nothing left behind."""

from __future__ import annotations

import contextvars
import functools
import gc
import itertools
import threading
import traceback
import weakref
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joinable import (
    Cancelled,
    CancelledError,
    CancelScope,
    DeadlineExceeded,
    _workers,
    abandoned_threads,
    current_scope,
    run_all,
    sleep,
)
from joinable import _runtime as runtime
from joinable._batch import Batch
from joinable.testing import FakeClock
from waiting import LONG, PATIENCE, Gate, Waiter, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WHO = contextvars.ContextVar("WHO", default="nobody")


class BoomError(Exception):
    """What the calls of these tests raise."""


def fail(*args: object) -> NoReturn:
    raise BoomError(*args)


# -------------------------------------------------------------------- shapes and order


def test_a_tuple_gives_a_tuple_a_mapping_a_dict_and_the_rest_a_list() -> None:
    assert run_all((lambda: 1, lambda: "two")) == (1, "two")
    assert run_all({"b": lambda: 1, "a": lambda: 2}) == {"b": 1, "a": 2}
    assert list(run_all({"b": lambda: 1, "a": lambda: 2})) == ["b", "a"]
    assert run_all([lambda: 1]) == [1]
    assert run_all(functools.partial(int, digit) for digit in "123") == [1, 2, 3]


def test_nothing_in_nothing_out() -> None:
    nothing: list[Callable[[], int]] = []
    assert run_all(nothing) == []
    assert run_all(()) == ()
    assert run_all(dict[str, "Callable[[], int]"]()) == {}


def test_results_are_in_order_though_the_calls_end_in_reverse() -> None:
    ended = [threading.Event() for _ in range(6)]
    ended[5].set()

    def call(number: int) -> int:
        if number < 5:
            ended[number + 1].wait()
        ended[number].set()
        return number

    ended[5].clear()
    assert run_all([functools.partial(call, number) for number in range(6)]) == list(range(6))


def test_every_call_has_a_thread_so_calls_may_wait_for_each_other() -> None:
    together = threading.Barrier(40)
    assert sorted(run_all([together.wait] * 40)) == list(range(40))


class Gauge:
    """Counts how many calls run at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.together()
        with self.lock:
            self.now -= 1

    def together(self) -> None:
        """Give the others every chance to run too."""
        threading.Event().wait(0.0005)


def test_max_workers_bounds_how_many_run_at_a_time() -> None:
    gauge = Gauge()
    run_all([gauge] * 50, max_workers=3)
    assert 1 <= gauge.most <= 3


def test_one_worker_runs_them_one_after_the_other_in_order() -> None:
    seen: list[int] = []
    run_all([functools.partial(seen.append, number) for number in range(20)], max_workers=1)
    assert seen == list(range(20))


def test_run_all_may_be_nested() -> None:
    def inner(number: int) -> list[int]:
        return run_all([functools.partial(pow, number, power) for power in range(3)])

    outer = run_all([functools.partial(inner, number) for number in range(3)])
    assert outer == [[1, 0, 0], [1, 1, 1], [1, 2, 4]]


# -------------------------------------------------------------------- failure


def test_the_first_failure_is_raised_as_itself_with_its_traceback() -> None:
    error = BoomError()

    def raising() -> NoReturn:
        raise error

    calls: list[Callable[[], object]] = [int, raising]
    with pytest.raises(BoomError) as caught:
        run_all(calls)
    assert caught.value is error
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-2:] == ["run_all", "raising"]


def test_the_note_names_the_call_and_the_line_of_the_run_all() -> None:
    calls: dict[str, Callable[[], object]] = {"good": int, "bad": fail}
    with pytest.raises(BoomError) as caught:
        run_all(calls)
    (note,) = caught.value.__notes__
    assert note.startswith(f"in call 'bad' of the run_all at {__file__}:")


def test_everything_that_runs_is_joined_before_the_failure_is_raised() -> None:
    started, gate = threading.Event(), threading.Event()
    ended: list[bool] = []

    def slow() -> None:
        started.set()
        gate.wait()
        ended.append(True)

    def failing() -> NoReturn:
        started.wait()
        releaser.start()
        raise BoomError

    releaser = threading.Timer(0.02, gate.set)
    with pytest.raises(BoomError):
        run_all([slow, failing])
    assert ended == [True]
    releaser.join()


def test_what_has_not_started_does_not_start_after_a_failure() -> None:
    ran: list[int] = []
    rest = [functools.partial(ran.append, number) for number in range(10)]
    calls: list[Callable[[], object]] = [fail, *rest]
    with pytest.raises(BoomError):
        run_all(calls, max_workers=1)
    assert ran == []


def test_later_failures_are_named_in_a_note_on_the_first() -> None:
    together = threading.Barrier(3)

    def failing(number: int) -> NoReturn:
        together.wait()
        raise BoomError(f"number {number}")

    with pytest.raises(BoomError) as caught:
        run_all([functools.partial(failing, number) for number in range(3)])
    first = str(caught.value)
    others = {f"number {number}" for number in range(3)} - {first}
    note = caught.value.__notes__[-1]
    assert note.startswith("2 more failed in the same run_all: ")
    assert all(f"BoomError({other!r})" in note for other in others)


def test_a_long_list_of_later_failures_is_cut_and_counted() -> None:
    together = threading.Barrier(20)

    def failing() -> NoReturn:
        together.wait()
        raise BoomError

    with pytest.raises(BoomError) as caught:
        run_all([failing] * 20)
    assert caught.value.__notes__[-1].endswith("; and 9 more")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_errors_that_are_no_exceptions_come_out_bare(kind: type[BaseException]) -> None:
    def leave() -> NoReturn:
        raise kind

    calls: list[Callable[[], object]] = [leave, int]
    with pytest.raises(kind):
        run_all(calls)


def test_return_exceptions_lets_all_finish_and_puts_errors_in_their_places() -> None:
    results = run_all((int, fail, str), return_exceptions=True)
    assert results[0] == 0
    assert isinstance(results[1], BoomError)
    assert results[2] == ""
    with pytest.raises(KeyboardInterrupt):
        run_all([interrupt], return_exceptions=True)


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("workers_of_its_own")
def test_a_system_without_threads_left_is_told_after_joining(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Force it: 1. two calls have a thread, 2. there is no third one, 3. the calls end."""
    start, started = runtime.start_worker, itertools.count(1)
    go = threading.Event()
    gate = threading.Timer(0.02, go.set)
    ended: list[bool] = []

    def two_threads(function: Callable[[], object], name: str) -> threading.Thread:
        if next(started) == 3:
            gate.start()
            raise RuntimeError("can't start new thread")
        return start(function, name)

    monkeypatch.setattr(runtime, "start_worker", two_threads)

    def call() -> None:
        assert go.wait(PATIENCE)
        scope = current_scope()
        assert scope is not None
        ended.append(scope.cancelled)

    with pytest.raises(RuntimeError, match="can't start"):
        run_all([call] * 5)
    assert ended == [True, True]
    gate.join()


def test_an_error_that_refuses_a_traceback_is_raised_all_the_same() -> None:
    class StubbornError(BoomError):
        def with_traceback(self, _: object) -> NoReturn:
            raise TypeError("not with this one")

    def failing() -> NoReturn:
        raise StubbornError

    with pytest.raises(StubbornError):
        run_all([failing])


def test_a_fault_of_our_own_in_a_lane_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(Batch, "_failed", broken)
    with pytest.raises(ZeroDivisionError):
        run_all([fail])


def test_the_error_keeps_no_result_of_another_call_alive() -> None:
    class Thing:
        pass

    watched: list[weakref.ref[Thing]] = []
    made = threading.Event()

    def make() -> Thing:
        thing = Thing()
        watched.append(weakref.ref(thing))
        made.set()
        return thing

    def failing() -> NoReturn:
        made.wait()
        raise BoomError

    calls: list[Callable[[], object]] = [make, failing]
    with pytest.raises(BoomError) as caught:
        run_all(calls)
    gc.collect()
    assert caught.value.__traceback__ is not None
    assert watched[0]() is None


def test_the_error_is_in_no_cycle() -> None:
    def run() -> weakref.ref[BoomError]:
        try:
            run_all([fail, fail])
        except BoomError as error:
            return weakref.ref(error)
        raise AssertionError

    end, restore = _workers.renew()
    gc.disable()
    try:
        error = run()
        end()  # without a GIL a thread may hold back, until it runs again, what others let go of
        assert error() is None
    finally:
        gc.enable()
        restore()


class Unshowable(str):
    __slots__ = ()

    def __repr__(self) -> str:
        raise ValueError("no repr")


def test_a_key_or_an_error_that_cannot_be_shown_costs_nothing_but_its_name() -> None:
    class MuteError(BoomError):
        def __repr__(self) -> str:
            raise ValueError("no repr")

    together = threading.Barrier(2)

    def failing() -> NoReturn:
        together.wait()
        raise MuteError

    with pytest.raises(MuteError) as caught:
        run_all({Unshowable("a"): failing, Unshowable("b"): failing})
    first, later = caught.value.__notes__
    assert first.startswith("in call <Unshowable that has no repr> of the run_all at ")
    assert later == "1 more failed in the same run_all: <MuteError that has no repr>"


# -------------------------------------------------------------------- timeout


def test_at_the_timeout_what_cooperates_is_stopped_and_the_error_says_where() -> None:
    stopped: list[str] = []

    def cooperate() -> None:
        try:
            sleep(LONG)
        except Cancelled as cancelled:
            stopped.append(str(cancelled))
            raise

    with FakeClock(autojump=True) as clock:
        with pytest.raises(DeadlineExceeded) as caught:
            run_all([cooperate, cooperate], timeout=5)
        assert clock.now == 5
    assert stopped == ["the deadline has passed"] * 2
    assert caught.value.unfinished == ()
    assert str(caught.value).startswith("run_all did not end within 5 s: it was stopped at ")
    assert "in cooperate" in str(caught.value)


def late_caller(clock: FakeClock, gate: Gate, **others: Callable[[], object]) -> Waiter:
    """Start a run_all of five seconds, and return when it is in its last moment."""
    calls: dict[str, Callable[[], object]] = {"deaf": gate, **others}
    caller = Waiter(lambda: run_all(calls, timeout=5))
    clock.until_waiting()
    assert gate.begun.wait(PATIENCE)
    clock.advance(5)
    clock.until_waiting()
    return caller


def test_what_does_not_stop_is_named_and_abandoned_a_second_after_the_timeout() -> None:
    gate = Gate()
    with FakeClock() as clock:
        caller = late_caller(clock, gate, quick=int)
        clock.advance(0.999)
        assert not caller.ended()
        clock.advance(0.001)
        with pytest.raises(DeadlineExceeded) as caught:
            caller.end()
    (line,) = caught.value.unfinished
    assert line.startswith("call 'deaf' at ")
    assert "waiting.py" in line
    assert str(caught.value).startswith("\"call 'deaf'\" did not end within 5 s: it is at ")
    assert len(abandoned_threads()) == 1
    gate.may_end.set()
    until(lambda: not abandoned_threads())


def test_what_ends_in_the_last_moment_is_not_waited_for_any_longer() -> None:
    gate = Gate()
    with FakeClock() as clock:
        caller = late_caller(clock, gate)
        gate.may_end.set()
        with pytest.raises(DeadlineExceeded) as caught:
            caller.end()
        assert clock.now == 5
    assert caught.value.unfinished == ()
    assert str(caught.value) == "run_all did not end within 5 s: it was stopped"
    assert abandoned_threads() == []


def test_a_late_error_of_what_was_abandoned_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reports.append)
    gate = Gate(then=fail)
    with FakeClock() as clock:
        caller = late_caller(clock, gate)
        clock.advance(1)
        with pytest.raises(DeadlineExceeded):
            caller.end()
    gate.may_end.set()
    until(lambda: not abandoned_threads())
    until(lambda: reports)
    (report,) = reports
    assert report.exc_type is BoomError
    assert report.exc_value is not None
    assert report.exc_value.__notes__[0].startswith("in call 'deaf' of the run_all at ")


def test_a_failure_before_the_timeout_goes_first() -> None:
    with FakeClock(autojump=True), pytest.raises(BoomError):
        run_all([fail, lambda: sleep(LONG)], timeout=5)


@pytest.mark.parametrize(("timeout", "kind"), [("1", TypeError), (-1, ValueError)], ids=repr)
def test_a_timeout_of_the_wrong_kind_is_refused(timeout: float, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="timeout"):
        run_all([int], timeout=timeout)


# -------------------------------------------------------------------- cancelling


def test_a_failure_wakes_the_others_wherever_they_wait_in_the_library() -> None:
    with pytest.raises(BoomError):
        run_all([fail, *[lambda: sleep(LONG)] * 5])


def test_a_scope_around_it_stops_the_calls() -> None:
    with CancelScope() as scope:
        run_all([lambda: sleep(LONG), lambda: scope.cancel()])  # noqa: PLW0108  it returns None
    assert scope.cancelled_caught


def test_a_call_that_cancels_the_scope_of_the_calls_is_a_cancelled_error() -> None:
    def cancel() -> None:
        scope = current_scope()
        assert scope is not None
        assert scope._parent is not None
        whole: object = scope
        assert isinstance(whole, CancelScope)
        whole.cancel()
        sleep(LONG)

    with CancelScope() as outer, pytest.raises(CancelledError, match="scope of this run_all"):
        run_all([cancel])
    assert not outer.cancelled_caught


# -------------------------------------------------------------------- context


def test_every_call_has_its_own_copy_of_the_callers_context() -> None:
    token = WHO.set("caller")

    def call(name: str) -> str:
        before = WHO.get()
        WHO.set(name)
        return before

    calls = [functools.partial(call, str(number)) for number in range(20)]
    assert run_all(calls, max_workers=2) == ["caller"] * 20
    assert WHO.get() == "caller"
    WHO.reset(token)


# -------------------------------------------------------------------- bad input


def test_a_member_that_cannot_be_called_is_named_by_its_position_before_anything_starts() -> None:
    calls: list[int] = []
    start = functools.partial(calls.append, 1)
    with pytest.raises(TypeError, match=r"funcs\[1\] must be callable, not int \(3\)"):
        run_all([start, 3])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"funcs\['b'\] must be callable, not str"):
        run_all({"a": start, "b": "text"})  # type: ignore[arg-type]
    assert calls == []


def test_a_mapping_is_read_by_its_keys() -> None:
    class Odd(dict[str, "Callable[[], int]"]):
        def values(self) -> NoReturn:
            raise AssertionError

    assert run_all(Odd(a=lambda: 1, b=lambda: 2)) == {"a": 1, "b": 2}


def test_an_iterable_that_fails_starts_nothing() -> None:
    calls: list[int] = []

    def broken() -> Iterator[Callable[[], None]]:
        yield functools.partial(calls.append, 1)
        raise BoomError

    with pytest.raises(BoomError):
        run_all(broken())
    assert calls == []


@pytest.mark.parametrize("funcs", [int, 5, None], ids=repr)
def test_what_is_no_collection_is_refused_with_what_to_write(funcs: object) -> None:
    with pytest.raises(TypeError, match=r"write run_all\(\[f, g\]\)"):
        run_all(funcs)  # type: ignore[call-overload]


@pytest.mark.parametrize("count", [1.0, True, "2", False], ids=repr)
def test_a_count_of_workers_of_the_wrong_kind_is_refused(count: int) -> None:
    with pytest.raises(TypeError, match="max_workers must be a whole number"):
        run_all([int], max_workers=count)


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_of_workers_below_one_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="max_workers must be at least 1"):
        run_all([int], max_workers=count)


# -------------------------------------------------------------------- any list of calls


@settings(deadline=None)
@given(
    outcomes=st.lists(st.one_of(st.integers(), st.sampled_from([BoomError, SystemExit]))),
    workers=st.one_of(st.none(), st.integers(1, 5)),
    keep=st.booleans(),
)
def test_any_list_of_calls_does_what_a_plain_loop_would(
    outcomes: list[int | type[BaseException]], workers: int | None, *, keep: bool
) -> None:
    ran: list[int] = []

    def call(number: int) -> int:
        ran.append(number)
        outcome = outcomes[number]
        if isinstance(outcome, int):
            return outcome
        raise outcome(number)

    calls = [functools.partial(call, number) for number in range(len(outcomes))]
    fatal = [kind for kind in outcomes if kind is SystemExit or (kind is BoomError and not keep)]
    results: list[int | BaseException] = []
    raised: BaseException | None = None
    try:
        results = run_all(calls, max_workers=workers, return_exceptions=keep)
    except (BoomError, SystemExit) as error:
        raised = error
    if raised is not None:
        assert type(raised) in fatal
        assert outcomes[raised.args[0]] is type(raised)
        if workers == 1:
            assert ran == list(range(raised.args[0] + 1))
    else:
        assert not fatal
        assert [kept if isinstance(kept, int) else type(kept) for kept in results] == outcomes
        assert sorted(ran) == list(range(len(outcomes)))
    assert len(ran) == len(set(ran))
