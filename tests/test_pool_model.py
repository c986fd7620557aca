"""Random programs on a pool, against an account of what must come of each of their calls.

A program submits calls that return, fail, wait, are deaf for a while, or submit calls of their own
and wait for these; it cancels, asks, shuts down, and may leave by an error. Nothing says when what
happens, so the account does not tell what comes of a call, but what it must agree with.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import gc
import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from joinable import Cancelled, CancelledError, Task, ThreadPool, sleep
from waiting import LONG, PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENT = 0.0005  # seconds
NUMBER: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=-1)
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)


class BoomError(Exception):
    """What the calls of these programs raise, by number."""


class LeaveError(Exception):
    """What leaves the block."""


# -------------------------------------------------------------------- programs


@dataclasses.dataclass(frozen=True)
class Node:
    """One call: what it does, and what it submits before."""

    number: int
    kind: str
    children: tuple[Node, ...] = ()


@dataclasses.dataclass(frozen=True)
class Program:
    """What the main thread does; a number says to which of the tasks."""

    workers: int
    backlog: int | None
    steps: tuple[tuple[str, Node | int], ...]
    end: str


KINDS = st.sampled_from(["value", "value", "fail", "wait", "deaf", "long"])
ENDS = st.sampled_from(["leave", "leave", "error", "shutdown", "cancelling", "not waiting"])


@st.composite
def programs(draw: st.DrawFn) -> Program:
    numbers = itertools.count()
    steps: list[tuple[str, Node | int]] = []
    for _ in range(draw(st.integers(1, 8))):
        what = draw(st.sampled_from(["submit", "submit", "submit", "cancel", "ask"]))
        place = st.integers(0, 5)
        steps.append((what, node(draw, numbers, 2) if what == "submit" else draw(place)))
    bound = draw(st.one_of(st.none(), st.integers(1, 2)))
    return Program(draw(st.integers(1, 3)), bound, (*steps,), draw(ENDS))


def node(draw: st.DrawFn, numbers: Iterator[int], depth: int) -> Node:
    number = next(numbers)
    count = draw(st.integers(0, 2)) if depth and draw(st.booleans()) else 0
    children = [node(draw, numbers, depth - 1) for _ in range(count)]
    return Node(number, draw(KINDS), (*children,))


# -------------------------------------------------------------------- running them


class Run:
    """One run of a program: what was asked for, and what has come of it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.pool = ThreadPool(program.workers, backlog=program.backlog)
        self.lock = threading.Lock()
        self.tasks: dict[int, Task[int]] = {}
        self.refused: list[int] = []
        self.begun: list[int] = []
        self.raised: dict[int, BaseException] = {}
        self.at_work = self.most = 0
        self.over = False

    def submit(self, node: Node) -> Task[int] | None:
        token = NUMBER.set(node.number)
        try:
            task = self.pool.submit(self.call, node)
        except RuntimeError:
            self.refused.append(node.number)
            return None
        finally:
            NUMBER.reset(token)
        self.tasks[node.number] = task
        return task

    def call(self, node: Node) -> int:
        assert not self.over
        assert NUMBER.get() == node.number
        self.begun.append(node.number)
        self.count(1)
        try:
            return self.work(node)
        except BaseException as error:
            self.raised[node.number] = error
            raise
        finally:
            self.count(-1)

    def count(self, change: int) -> None:
        """Count those that work, and do not wait for others."""
        with self.lock:
            self.at_work += change
            self.most = max(self.most, self.at_work)

    def work(self, node: Node) -> int:
        self.count(-1)
        try:
            children = [self.submit(child) for child in node.children]
        finally:
            self.count(1)
        for task in children:
            if task is not None:
                self.ask(task)
        if node.kind == "fail":
            raise BoomError(node.number)
        if node.kind in ("wait", "long"):
            sleep(LONG if node.kind == "long" and self.is_stopped_at_the_end() else MOMENT)
        if node.kind == "deaf":
            time.sleep(MOMENT)
        return node.number

    def is_stopped_at_the_end(self) -> bool:
        """Tell whether a call need not end by itself: nobody waits for room, either."""
        return self.program.end == "error" and self.program.backlog is None

    def ask(self, task: Task[int]) -> None:
        self.count(-1)
        try:
            task.result(PATIENCE)
        except (BoomError, CancelledError):
            pass
        finally:
            self.count(1)

    def go(self) -> None:
        """Do what the program says, and leave as it says."""
        for what, argument in self.program.steps:
            if isinstance(argument, Node):
                self.submit(argument)
                continue
            task = self.tasks.get(argument)
            if task is None:
                continue
            if what == "cancel":
                assert task.cancel() or task.done()
            elif not self.is_stopped_at_the_end():
                self.ask(task)
        self.leave()
        self.over = True

    def leave(self) -> None:
        end = self.program.end
        if end in ("leave", "error"):
            self.leave_block(fails=end == "error")
            return
        self.pool.shutdown(wait=end != "not waiting", cancel_futures=end == "cancelling")
        self.pool.shutdown()

    def leave_block(self, *, fails: bool) -> None:
        with pytest.raises(LeaveError) if fails else contextlib.nullcontext(), self.pool:
            if fails:
                raise LeaveError


# -------------------------------------------------------------------- what must hold


def check(run: Run) -> None:
    assert not run.pool._staff.lanes
    assert not run.pool._staff.todo
    assert len(run.begun) == len({*run.begun})
    assert run.at_work == 0
    for number, task in run.tasks.items():
        check_task(run, number, task)
    assert {*run.begun} <= {*run.tasks}


def check_task(run: Run, number: int, task: Task[int]) -> None:
    assert task.done()
    error = run.raised.get(number)
    if task.cancelled():
        assert (number not in run.begun) or isinstance(error, Cancelled)
    elif error is not None:
        assert task.exception() is error
        assert isinstance(error, BoomError)
    else:
        assert number in run.begun
        assert task.result() == number
    event("cancelled" if task.cancelled() else "failed" if error else "returned")


@pytest.mark.filterwarnings("error")
@given(programs())
@SETTINGS
def test_every_call_is_refused_or_cancelled_or_run_once(program: Program) -> None:
    run = Run(program)
    run.go()
    check(run)


@pytest.mark.soak
@given(programs())
@settings(SETTINGS, max_examples=10_000)
def test_every_call_is_refused_or_cancelled_or_run_once_for_long(program: Program) -> None:
    run = Run(program)
    run.go()
    check(run)


@given(st.integers(1, 3), st.lists(st.booleans(), max_size=12), st.booleans())
@SETTINGS
def test_calls_begin_in_order_and_no_more_at_a_time_than_there_may_be(
    workers: int,
    kinds: list[bool],
    bounded: bool,
) -> None:
    nodes = tuple(Node(number, "deaf" if deaf else "value") for number, deaf in enumerate(kinds))
    steps = tuple(("submit", node) for node in nodes)
    run = Run(Program(workers, 1 if bounded else None, steps, "leave"))
    run.go()
    check(run)
    assert run.most <= workers
    if workers == 1:
        assert run.begun == [*range(len(kinds))]


@given(st.lists(st.sampled_from(["ask", "drop", "wait", "callback"]), max_size=6))
@settings(SETTINGS, max_examples=12)
def test_an_error_is_taken_or_reported_once(ways: list[str]) -> None:
    reported: list[BaseException | None] = []

    def report(args: threading.ExceptHookArgs) -> None:
        reported.append(args.exc_value)

    hook, threading.excepthook = threading.excepthook, report
    try:
        with ThreadPool(2) as pool:
            for number, way in enumerate(ways):
                fail_and(way, pool, number)
        gc.collect()
        dropped = [number for number, way in enumerate(ways) if way in ("drop", "wait")]
        until(lambda: len(reported) >= len(dropped))
    finally:
        threading.excepthook = hook
    assert sorted(error.args[0] for error in reported if error is not None) == dropped


def fail_and(way: str, pool: ThreadPool, number: int) -> None:
    def fail() -> None:
        raise BoomError(number)

    task = pool.submit(fail)
    if way == "ask":
        assert isinstance(task.exception(PATIENCE), BoomError)
    elif way == "wait":
        until(task.done)
    elif way == "callback":
        task.add_done_callback(lambda _: None)
