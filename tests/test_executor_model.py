"""Random programs: `executor=` changes where calls run, and nothing that comes out.

Each program is run with threads of the library, and with an executor: a real pool, one that makes
calls at once, and one that makes them in a random order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from executing import AtOnce, Counting, Shuffling
from joinable import run_all, run_each
from waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from joinable._typing import SupportsSubmit

MOMENT = 0.0003  # seconds
SETTINGS = settings(deadline=None)


class BoomError(Exception):
    """What calls and sources raise."""


@dataclasses.dataclass(frozen=True)
class Program:
    """Calls, and how they are to be run."""

    kinds: tuple[str, ...]
    max_workers: int | None
    buffersize: int | None
    ordered: bool
    keep: bool
    source_fails: bool
    leave: int | None
    where: str
    seed: int


PROGRAMS = st.builds(
    Program,
    kinds=st.lists(st.sampled_from(["quick"] * 12 + ["slow", "fail"]), max_size=40).map(tuple),
    max_workers=st.sampled_from([None, 1, 2, 5]),
    buffersize=st.sampled_from([0, 1, 3, 64, None]),
    ordered=st.booleans(),
    keep=st.booleans(),
    source_fails=st.booleans(),
    leave=st.one_of(st.none(), st.integers(0, 40)),
    where=st.sampled_from(["pool", "at once", "shuffled"]),
    seed=st.integers(0, 1000),
)


@contextlib.contextmanager
def executor_of(program: Program) -> Generator[Counting]:
    with contextlib.ExitStack() as stack:
        inner: SupportsSubmit = AtOnce()
        if program.where == "pool":
            inner = stack.enter_context(ThreadPoolExecutor(3))
        elif program.where == "shuffled":
            inner = stack.enter_context(Shuffling(random.Random(program.seed)))  # noqa: S311
        yield Counting(inner)


class Account:
    """The calls of one run of a program."""

    def __init__(self, program: Program) -> None:
        self.kinds = program.kinds
        self.program = program
        self.made: list[int] = []
        self.ended: list[int] = []
        self.over = False

    def call(self, number: int) -> int:
        assert not self.over, "a call begins after the end"
        self.made.append(number)
        try:
            if self.kinds[number] == "slow":
                time.sleep(MOMENT)
            if self.kinds[number] == "fail":
                raise BoomError(number)
        finally:
            self.ended.append(number)
        return number

    def source(self) -> Iterator[int]:
        yield from range(len(self.kinds))
        if self.program.source_fails:
            raise BoomError("source")

    def check(self) -> None:
        self.over = True
        assert sorted(self.made) == sorted(self.ended)
        assert len({*self.made}) == len(self.made)


def named(value: object) -> object:
    return value.args if isinstance(value, BoomError) else value


def stream(program: Program, executor: SupportsSubmit | None) -> tuple[list[object], object]:
    """Run the program by `run_each`; return what came out, and the error."""
    account, error = Account(program), None
    got: list[object] = []
    results = run_each(
        account.call,
        account.source(),
        max_workers=program.max_workers,
        buffersize=program.buffersize,
        ordered=program.ordered,
        return_exceptions=program.keep,
        timeout=PATIENCE,
        executor=executor,
    )
    try:
        with results:
            for result in itertools.islice(results, program.leave):
                got.append(named(result))  # noqa: PERF401  what came before an error is kept
    except BoomError as raised:
        error = named(raised)
    account.check()
    return got, error


@pytest.fixture(autouse=True)
def _reports_are_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that was not reached before the stream was left; that is shown elsewhere."""
    monkeypatch.setattr(threading, "excepthook", id)


def run_each_is_the_same(program: Program) -> None:
    here, its_error = stream(program, None)
    with executor_of(program) as executor:
        there, error = stream(program, executor)
        until(lambda: executor.now == 0)
    assert executor.most <= (program.max_workers or len(program.kinds))
    event(f"error: {error}")
    if program.ordered:
        assert (there, error) == (here, its_error)
        return
    failing = {(n,) for n, kind in enumerate(program.kinds) if kind == "fail"}
    if program.leave is None:
        assert (error is None) == (its_error is None)
        assert error is None or error in failing | {("source",)}
        if error is None or not failing:
            assert sorted(there, key=str) == sorted(here, key=str)
    assert {*there} <= {*range(len(program.kinds)), *(failing if program.keep else ())}
    assert len({*there}) == len(there)


def run_all_is_the_same(program: Program) -> None:
    def run(executor: SupportsSubmit | None) -> object:
        account = Account(program)
        calls = [partial(account.call, number) for number in range(len(program.kinds))]
        options: dict[str, Any] = {"max_workers": program.max_workers, "timeout": PATIENCE}
        try:
            got = run_all(calls, return_exceptions=program.keep, executor=executor, **options)
        except BoomError as error:
            account.check()
            return error
        account.check()
        return [*map(named, got)]

    here = run(None)
    with executor_of(program) as executor:
        there = run(executor)
        until(lambda: executor.now == 0)
    assert executor.most <= (program.max_workers or len(program.kinds))
    if isinstance(here, BoomError):
        assert isinstance(there, BoomError)
        if program.max_workers == 1:
            assert there.args == here.args
    else:
        assert there == here


@SETTINGS
@given(PROGRAMS)
def test_run_each_gives_the_same_wherever_it_runs(program: Program) -> None:
    run_each_is_the_same(program)


@SETTINGS
@given(PROGRAMS)
def test_run_all_gives_the_same_wherever_it_runs(program: Program) -> None:
    run_all_is_the_same(program)


@pytest.mark.soak
@settings(SETTINGS, max_examples=10_000)
@given(PROGRAMS)
def test_so_it_is_for_long(program: Program) -> None:
    run_each_is_the_same(program)
    run_all_is_the_same(program)
