"""`run_any`: the first success, and nothing of the rest left behind."""

from __future__ import annotations

import contextvars
import functools
import gc
import threading
from typing import TYPE_CHECKING, NoReturn, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joinable import (
    Cancelled,
    CancelScope,
    DeadlineExceeded,
    abandoned_threads,
    fail_after,
    move_on_after,
    run_any,
    shield,
    sleep,
)
from joinable import _runtime as runtime
from joinable._race import _Race
from joinable.testing import FakeClock
from waiting import LONG, PATIENCE, Gate, Waiter, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WHO = contextvars.ContextVar("WHO", default="nobody")


class BoomError(Exception):
    """What the calls of these tests raise."""


def fail(*args: object) -> NoReturn:
    raise BoomError(*args)


def after(seconds: float, then: Callable[[], str]) -> Callable[[], str]:
    """Make a call that takes so long."""

    def call() -> str:
        sleep(seconds)
        return then()

    return call


# -------------------------------------------------------------------- who wins


def test_the_first_success_wins() -> None:
    with FakeClock(autojump=True) as clock:
        won = run_any([after(3, lambda: "c"), after(1, lambda: "a"), after(2, lambda: "b")])
        assert (won, clock.now) == ("a", 1)


def test_none_is_a_value_too() -> None:
    assert run_any([lambda: None]) is None


def test_a_call_that_fails_is_out_of_the_race() -> None:
    with FakeClock(autojump=True) as clock:
        assert run_any([fail, after(2, lambda: "slow"), fail]) == "slow"
        assert clock.now == 2


def test_the_losers_are_cancelled_and_have_ended() -> None:
    ended: list[str] = []

    def loser() -> str:
        waits.release()
        try:
            sleep(LONG)
        except Cancelled as cancelled:
            ended.append(str(cancelled))
            raise
        return "lost"

    def winner() -> str:
        for _ in range(3):
            assert waits.acquire(timeout=PATIENCE)
        return "won"

    waits = threading.Semaphore(0)
    assert run_any([loser, loser, winner, loser]) == "won"
    assert ended == ["another call has succeeded"] * 3


def test_a_quick_winner_keeps_the_rest_from_starting() -> None:
    for _ in range(50):
        assert run_any([lambda: "quick"] * 20) == "quick"


def test_an_error_of_a_loser_in_clean_up_costs_nothing() -> None:
    def loser() -> str:
        waits.set()
        try:
            sleep(LONG)
        finally:
            fail("in clean-up")

    def winner() -> str:
        assert waits.wait(PATIENCE)
        return "won"

    waits = threading.Event()
    assert run_any([loser, winner]) == "won"


def test_of_two_winners_the_first_one_counts() -> None:
    gate = Gate(then=lambda: "late")
    begun = threading.Event()

    def first() -> str:
        assert gate.begun.wait(PATIENCE)
        begun.set()
        opener.start()
        return "first"

    opener = threading.Timer(0.01, gate.may_end.set)
    calls: list[Callable[[], object]] = [gate, first]
    assert run_any(calls) == "first"
    assert gate.ended
    opener.join()


def test_each_call_runs_in_a_copy_of_the_context() -> None:
    def call() -> str:
        before = WHO.get()
        WHO.set("a call")
        return before

    token = WHO.set("caller")
    assert run_any([call, call]) == "caller"
    assert WHO.get() == "caller"
    WHO.reset(token)


# -------------------------------------------------------------------- all fail


def test_when_all_fail_all_their_errors_are_raised_in_the_order_of_their_ends() -> None:
    calls = [after(second, functools.partial(fail, second)) for second in (3, 1, 2)]
    with FakeClock(autojump=True), pytest.raises(ExceptionGroup) as caught:
        run_any(calls)
    errors = caught.value.exceptions
    assert [error.args for error in errors] == [(1,), (2,), (3,)]
    assert caught.value.message == "run_any: 3 of 3 calls failed"
    for number, error in zip((1, 2, 0), errors, strict=True):
        assert error.__notes__[0].startswith(f"in call {number} of the run_any at {__file__}:")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_is_no_exception_ends_the_race_bare(kind: type[BaseException]) -> None:
    def leave() -> NoReturn:
        raise kind

    calls: list[Callable[[], object]] = [leave, lambda: sleep(LONG)]
    with pytest.raises(kind):
        run_any(calls)


# -------------------------------------------------------------------- stagger


def test_with_stagger_the_next_starts_only_after_that_long() -> None:
    begun: list[float] = []

    def call(seconds: float) -> str:
        begun.append(runtime.monotonic())
        sleep(seconds)
        return f"after {seconds}"

    calls = [functools.partial(call, seconds) for seconds in (100, 100, 1, 100)]
    with FakeClock(autojump=True) as clock:
        assert run_any(calls, stagger=2) == "after 1"
        assert clock.now == 5
    assert [time - begun[0] for time in begun] == [0, 2, 4]


def test_with_stagger_the_next_starts_at_once_when_one_fails() -> None:
    begun: list[float] = []

    def call(seconds: float, then: Callable[[], str]) -> str:
        begun.append(runtime.monotonic())
        sleep(seconds)
        return then()

    calls: list[Callable[[], str]] = [
        functools.partial(call, 1, fail),
        functools.partial(call, 0, fail),
        functools.partial(call, 100, lambda: "third"),
        functools.partial(call, 1, lambda: "fourth"),
    ]
    with FakeClock(autojump=True):
        assert run_any(calls, stagger=10) == "fourth"
    assert [time - begun[0] for time in begun] == [0, 1, 1, 11]


def test_with_stagger_all_may_fail() -> None:
    with FakeClock(autojump=True) as clock, pytest.raises(ExceptionGroup) as caught:
        run_any([functools.partial(fail, number) for number in range(3)], stagger=5)
    assert [error.args for error in caught.value.exceptions] == [(0,), (1,), (2,)]
    assert clock.now <= 5  # it needs no pause behind the last one


def test_with_stagger_the_first_may_win_before_the_second_starts() -> None:
    ran: list[int] = []
    with FakeClock(autojump=True) as clock:
        calls: list[Callable[[], object]] = [after(1, lambda: "a"), lambda: ran.append(1)]
        assert run_any(calls, stagger=60) == "a"
        assert clock.now == 1
    assert ran == []


# -------------------------------------------------------------------- timeout and scopes


def test_at_the_timeout_all_are_stopped() -> None:
    with FakeClock(autojump=True) as clock, pytest.raises(DeadlineExceeded) as caught:
        run_any([after(10, lambda: "a"), fail], timeout=5)
    assert clock.now == 5
    assert caught.value.unfinished == ()
    assert str(caught.value) == "run_any did not end within 5 s: its calls were stopped"
    assert "1 of 2 calls failed" in repr(cast("object", caught.value.__cause__))  # by then


def test_what_does_not_stop_is_named_and_abandoned_a_second_after_the_timeout() -> None:
    gate = Gate()
    with FakeClock() as clock:
        calls: list[Callable[[], object]] = [gate, fail]
        caller = Waiter(lambda: run_any(calls, timeout=5))
        assert gate.begun.wait(PATIENCE)
        clock.until_waiting()
        clock.advance(5)
        clock.until_waiting()
        clock.advance(0.999)
        assert not caller.ended()
        clock.advance(0.001)
        with pytest.raises(DeadlineExceeded) as caught:
            caller.end()
    (line,) = caught.value.unfinished
    assert line.startswith("run_any-1 (Gate) ")
    assert "waiting.py" in line
    assert len(abandoned_threads()) == 1
    gate.may_end.set()
    until(lambda: not abandoned_threads())


def test_a_late_error_of_what_was_abandoned_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reports.append)
    gate = Gate(then=fail)
    with FakeClock() as clock:
        caller = Waiter(lambda: run_any([gate], timeout=5))
        assert gate.begun.wait(PATIENCE)
        for seconds in (5, 1):
            clock.until_waiting()
            clock.advance(seconds)
        with pytest.raises(DeadlineExceeded):
            caller.end()
    gate.may_end.set()
    until(lambda: not abandoned_threads())
    del caller
    until(lambda: gc.collect() >= 0 and reports)  # nobody can ask for it any more
    assert [report.exc_type for report in reports] == [BoomError]


def test_a_loser_that_does_not_stop_has_a_second_after_the_timeout_though_somebody_won(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`timeout` is a bound: the value is there, and given back then."""
    gate, has_won, end_of_grace = Gate(), threading.Event(), _Race._end_of_grace

    def after_the_win(race: _Race) -> float:
        has_won.set()
        return end_of_grace(race)

    monkeypatch.setattr(_Race, "_end_of_grace", after_the_win)

    def winner() -> str:
        assert gate.begun.wait(PATIENCE)
        return "won"

    calls: list[Callable[[], object]] = [gate, winner]
    with FakeClock() as clock:
        caller = Waiter(lambda: run_any(calls, timeout=5))
        assert has_won.wait(PATIENCE)
        clock.until_waiting()
        clock.advance(5.999)
        assert not caller.ended()
        clock.advance(0.001)
        assert caller.end() == "won"
    gate.may_end.set()
    until(lambda: not abandoned_threads())


def test_a_win_before_the_timeout_counts() -> None:
    with FakeClock(autojump=True):
        assert run_any([after(4, lambda: "in time"), after(6, lambda: "late")], timeout=5) == (
            "in time"
        )


def test_a_scope_around_it_stops_it() -> None:
    with FakeClock(autojump=True) as clock:
        with move_on_after(3) as scope:
            run_any([after(10, lambda: "a"), after(20, lambda: "b")], timeout=50)
        assert scope.cancelled_caught
        assert clock.now == 3


def test_a_deadline_around_it_is_told_as_that_of_the_block() -> None:
    late = pytest.raises(DeadlineExceeded, match="the block did not end within 3 s")
    with FakeClock(autojump=True), late, fail_after(3):
        run_any([after(10, lambda: "a")])


def test_a_scope_that_was_cancelled_starts_nothing() -> None:
    ran: list[int] = []
    with CancelScope() as scope:
        scope.cancel()
        run_any([lambda: ran.append(1)])
    assert scope.cancelled_caught
    assert ran == []


def test_a_loser_may_clean_up_in_a_shield() -> None:
    said: list[str] = []

    def loser() -> str:
        try:
            sleep(LONG)
        finally:
            with shield(5):
                sleep(2)
                said.append("goodbye")
        return "lost"

    with FakeClock(autojump=True) as clock:
        assert run_any([loser, after(1, lambda: "won")]) == "won"
        assert clock.now == 3
    assert said == ["goodbye"]


# -------------------------------------------------------------------- bad input


def test_nothing_to_run_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="at least one function"):
        run_any([])


def test_a_member_that_cannot_be_called_is_named_before_anything_starts() -> None:
    ran: list[int] = []
    with pytest.raises(TypeError, match=r"funcs\[1\] must be callable, not int \(3\)"):
        run_any([lambda: ran.append(1), 3])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert ran == []


def test_an_iterable_that_fails_starts_nothing() -> None:
    ran: list[int] = []

    def broken() -> Iterator[Callable[[], None]]:
        yield functools.partial(ran.append, 1)
        raise BoomError

    with pytest.raises(BoomError):
        run_any(broken())
    assert ran == []


@pytest.mark.parametrize("funcs", [int, 5, None], ids=repr)
def test_what_is_no_collection_is_refused_with_what_to_write(funcs: object) -> None:
    with pytest.raises(TypeError, match=r"write run_any\(\[f, g\]\)"):
        run_any(funcs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["stagger", "timeout"])
@pytest.mark.parametrize(
    ("number", "kind"), [("1", TypeError), (-1, ValueError), (float("nan"), ValueError)], ids=repr
)
def test_a_number_of_the_wrong_kind_is_refused(
    name: str, number: float, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=name):
        run_any([int], **{name: number})


# -------------------------------------------------------------------- any race


@settings(deadline=None, max_examples=60)
@given(
    plan=st.lists(
        st.tuples(st.integers(0, 20), st.booleans()),
        min_size=1,
        max_size=6,
        unique_by=lambda call: call[0],
    ),
    stagger=st.one_of(st.none(), st.integers(0, 5)),
)
def test_any_race_has_a_winner_that_a_plain_model_names(
    plan: list[tuple[int, bool]], stagger: int | None
) -> None:
    # No two things happen at one moment: each call has a bit of its own, which no stagger has.
    plan = [(1000 * length + 2**number, wins) for number, (length, wins) in enumerate(plan)]
    stagger = None if stagger is None else 1000 * stagger + 100
    with FakeClock(autojump=True) as clock:
        calls = [
            after(length, functools.partial(str if wins else fail, number))
            for number, (length, wins) in enumerate(plan)
        ]
        outcome: str | None = None
        errors = 0
        try:
            outcome = run_any(calls, stagger=stagger)
        except ExceptionGroup as group:
            errors = len(group.exceptions)
        end = clock.now
    ends = model(plan, stagger)
    winners = {str(n): t for n, t in ends.items() if plan[n][1]}
    if not winners:
        assert (outcome, errors, end >= max(ends.values())) == (None, len(plan), True)
        return
    first = min(winners.values())
    assert outcome in {number for number, time in winners.items() if time == first}
    assert end == first


def model(plan: list[tuple[int, bool]], stagger: int | None) -> dict[int, int]:
    """Say when each call would end, if none were stopped."""
    ends: dict[int, int] = {}
    begin, used = 0, 0
    for number, (length, _) in enumerate(plan):
        ends[number] = begin + length
        if stagger is None:
            continue
        # A failure is a permit for one start; one that comes before it is waited for is kept.
        failures = sorted(ends[n] for n in ends if not plan[n][1])
        due = failures[used] if used < len(failures) else begin + stagger + 1
        if max(due, begin) <= begin + stagger:
            begin, used = max(due, begin), used + 1
        else:
            begin += stagger
    return ends
