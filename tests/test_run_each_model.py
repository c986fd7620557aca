"""Random streams against a plain account: for any input, workers, window, order, pattern of delays
and failures, and any moment of leaving, what comes out is the beginning of what a loop would give.
"""

from __future__ import annotations

import dataclasses
import itertools
import resource
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from joinable import abandoned_threads, run_each, sleep
from waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENT = 0.0003  # seconds
SETTINGS = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class BoomError(Exception):
    """What calls and sources raise."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A stream, what its calls do, and what its consumer does."""

    kinds: tuple[str, ...]
    source: str
    max_workers: int
    buffersize: int | None
    ordered: bool
    keep: bool
    leave: int | None
    how: str
    pauses: bool

    def window(self) -> int:
        if self.buffersize is None:
            return len(self.kinds)
        return self.max_workers + self.buffersize


KINDS = ["quick"] * 12 + ["wait", "deaf", "deaf", "fail"]
PROGRAMS = st.builds(
    Program,
    kinds=st.lists(st.sampled_from(KINDS), max_size=60).map(tuple),
    source=st.sampled_from(["list", "generator", "slow", "failing"]),
    max_workers=st.sampled_from([1, 2, 3, 8]),
    buffersize=st.sampled_from([0, 1, 2, 3, 16, 64, None]),
    ordered=st.booleans(),
    keep=st.booleans(),
    leave=st.one_of(st.none(), st.integers(0, 60)),
    how=st.sampled_from(["close", "with", "drop"]),
    pauses=st.booleans(),
)


class Run:
    """One run of a program, which keeps account of it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.read = 0
        self.made: list[int] = []
        self.ended: list[int] = []
        self.got: list[object] = []
        self.inside = threading.Lock()
        self.left = False

    def source(self) -> Iterator[int]:
        for number in range(len(self.program.kinds)):
            assert self.inside.acquire(blocking=False), "two threads are in the source"
            try:
                if self.program.source == "slow" and number % 7 == 3:
                    time.sleep(MOMENT)
                self.read += 1
                assert self.read <= len(self.got) + self.program.window() + 1
            finally:
                self.inside.release()
            yield number
        if self.program.source == "failing":
            raise BoomError("source")

    def call(self, number: int) -> int:
        assert not self.left, "a call begins after the stream was left"
        self.made.append(number)
        kind = self.program.kinds[number]
        try:
            if kind == "wait":
                sleep(MOMENT)
            elif kind == "deaf":
                time.sleep(MOMENT)
            elif kind == "fail":
                raise BoomError(number)
        finally:
            self.ended.append(number)
        return number

    def run(self) -> BaseException | None:
        """Do as the program says; return the error that came out."""
        program = self.program
        items = range(len(program.kinds)) if program.source == "list" else self.source()
        results = run_each(
            self.call,
            items,
            max_workers=program.max_workers,
            buffersize=program.buffersize,
            ordered=program.ordered,
            return_exceptions=program.keep,
        )
        try:
            for result in results:
                self.got.append(result)
                if program.pauses and len(self.got) % 5 == 0:
                    time.sleep(MOMENT)
                if len(self.got) == program.leave:
                    break
        except BoomError as error:
            self.left = True
            return error
        if program.leave is not None:
            if program.how == "drop":
                del results
                until(lambda: sorted(self.made) == sorted(self.ended))
                return None
            if program.how == "with":
                with results:
                    pass
            results.close()
        self.left = True
        return None

    def check(self, error: BaseException | None) -> None:
        """Compare what came out with what a loop would give."""
        program = self.program
        assert not [number for number, times in Counter(self.made).items() if times > 1]
        assert sorted(self.made) == sorted(self.ended)
        numbers = [each.args[0] if isinstance(each, BoomError) else each for each in self.got]
        if program.ordered:
            assert numbers == [*range(len(numbers))]
        assert len({*numbers}) == len(numbers)
        kept: list[int] = [each.args[0] for each in self.got if isinstance(each, BoomError)]
        assert all(program.keep and program.kinds[number] == "fail" for number in kept)
        bad = [number for number, kind in enumerate(program.kinds) if kind == "fail"]
        if isinstance(error, BoomError) and error.args[0] != "source":
            assert error.args[0] == bad[0] or not program.ordered
            assert error.args[0] in bad
            assert not program.keep
            assert len(numbers) == bad[0] or not program.ordered
        elif error is not None:
            assert program.source == "failing"
            assert len(numbers) == len(program.kinds)
        elif program.leave is None or program.leave > len(program.kinds):
            assert len(numbers) == len(program.kinds)
            assert program.source != "failing"
            assert program.keep or not bad


def run_and_check(program: Program) -> None:
    run = Run(program)
    error = run.run()
    until(lambda: not any(t.name.startswith("run_each") for t in threading.enumerate()))
    run.check(error)
    assert abandoned_threads() == []
    event(f"error: {type(error).__name__}")


@pytest.fixture(autouse=True)
def _reports_are_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that was not reached before the stream was left; that is shown elsewhere."""
    monkeypatch.setattr(threading, "excepthook", id)


@SETTINGS
@given(PROGRAMS)
def test_what_comes_out_is_the_beginning_of_what_a_loop_would_give(program: Program) -> None:
    run_and_check(program)


@pytest.mark.soak
@settings(SETTINGS, max_examples=10_000)
@given(PROGRAMS)
def test_so_it_is_for_long(program: Program) -> None:
    run_and_check(program)


# -------------------------------------------------------------------- stress


@pytest.mark.parametrize("rounds", [1, pytest.param(60, marks=pytest.mark.soak)])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 7, 16, 33, 64, 200, 1024])
@pytest.mark.parametrize("ordered", [True, False])
def test_nobody_sleeps_for_ever_whatever_the_window(
    rounds: int, window: int, ordered: bool
) -> None:
    """Forced by sheer numbers: at these windows both sides run out of work all the time."""
    count = 3000
    for workers in [min(window, most) for most in (1, 2, 8)] * rounds:
        results = run_each(
            abs,
            iter(range(count)),
            max_workers=workers,
            buffersize=window - workers,
            ordered=ordered,
            timeout=PATIENCE,
        )
        got = list(results)
        assert (got if ordered else sorted(got)) == [*range(count)]


@pytest.mark.soak
def test_ten_million_items_in_constant_memory() -> None:
    """By a generator, in a window of a thousand; what grows shows in the peak of the process."""

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux

    def use(count: int, buffersize: int = 64) -> None:
        total = sum(
            run_each(abs, (number for number in range(count)), max_workers=4, buffersize=buffersize)
        )
        assert total == count * (count - 1) // 2

    use(200_000)
    use(200_000, buffersize=1000)
    before = peak()
    use(10_000_000, buffersize=1000)
    assert peak() - before < 4 * 1024


@pytest.mark.parametrize("count", [200_000, pytest.param(3_000_000, marks=pytest.mark.soak)])
def test_a_source_without_end_is_read_in_constant_memory(count: int) -> None:
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        for number in itertools.count():
            read = number
            yield number

    with run_each(abs, source(), max_workers=4) as results:
        for number, result in enumerate(results):
            assert result == number
            if number == count:
                break
        assert read <= count + 4 + 64
