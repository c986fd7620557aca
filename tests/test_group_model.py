"""Random trees of groups and `run_all`s, against a plain account of what must come of them.

Each node is a call that does some steps: it succeeds, fails, waits, is deaf for a while, spawns,
asks, cancels; some are groups or a `run_all` with nodes of their own. Nothing says when what
happens, so no model can tell who is stopped by whom. But each node keeps account of what the calls
in it have raised, and what comes out of it must be just that.
"""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import dataclasses
import functools
import itertools
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from joinable import (
    Cancelled,
    CancelledError,
    DeadlineExceeded,
    GroupClosed,
    TaskGroup,
    abandoned_threads,
    checkpoint,
    move_on_after,
    run_all,
    sleep,
)
from joinable import _workers as workers
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from joinable import Task

MOMENT = 0.0005  # seconds


class BoomError(Exception):
    """What the calls of these programs raise."""


# -------------------------------------------------------------------- programs


@dataclasses.dataclass(frozen=True)
class Node:
    """One call: what it does, and what it starts."""

    number: int
    kind: str
    steps: tuple[str, ...]
    children: tuple[Node, ...]
    workers: int | None = None
    timeout: float | None = None
    stop: float | None = None  # the time of a scope around what it does
    keep: bool = False


# What is named more often comes more often.
STEPS = ["wait", "wait", "deaf", "check", "spawn", "spawn", "ask", "fail", "clean", "cancel"]
RARE = [*STEPS * 4, "exit"]
TIMES = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 6))


@st.composite
def programs(draw: st.DrawFn) -> Node:
    return draw_node(draw, itertools.count(), "group", depth=3)


def draw_node(draw: st.DrawFn, numbers: Iterator[int], kind: str, *, depth: int) -> Node:
    number = next(numbers)
    steps = tuple(draw(st.lists(st.sampled_from(RARE), max_size=3)))
    kinds = ["leaf", "leaf", "group", "run_all"] if depth > 1 else ["leaf"]
    children = [
        draw_node(draw, numbers, draw(st.sampled_from(kinds)), depth=depth - 1)
        for _ in range(draw(st.integers(0, 3)) if depth else 0)
    ]
    timeout, stop = draw(TIMES), draw(TIMES)
    return Node(
        number,
        kind,
        steps,
        tuple(children),
        draw(st.sampled_from([None, None, 1, 2])),
        None if timeout is None else timeout * MOMENT,
        None if stop is None else stop * MOMENT,
        draw(st.booleans()),
    )


def every(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from every(child)


# -------------------------------------------------------------------- how one is run


class Owner:
    """A group or a `run_all` that runs, and the account of what its calls have raised."""

    def __init__(self, group: TaskGroup | None) -> None:
        self.group = group
        self.errors: list[BaseException] = []
        self.tasks: list[Task[int]] = []
        self.left = False

    def note(self, error: BaseException) -> None:
        # To have been stopped is no error, nor to be refused by a group that was, nor to have asked
        # one for the result of a call that was stopped with it.
        if not isinstance(error, (Cancelled, CancelledError, GroupClosed)):
            self.errors.append(error)


class Program:
    """One run of one tree."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.lock = threading.Lock()
        self.ran: Counter[int] = Counter()
        self.threads: set[threading.Thread] = set()
        self.faults: list[str] = []
        self.disturbed = any(
            node.timeout is not None or node.stop is not None for node in every(root)
        )

    def run(self) -> None:
        outermost = Owner(None)
        try:
            self.call(self.root, outermost)
        except BaseException as error:  # noqa: BLE001  Cancelled, SystemExit and groups of them
            self.expect(not isinstance(error, Cancelled), self.root, f"nobody asked: {error!r}")
        self.check_the_end()

    def expect(self, holds: object, node: Node, what: str) -> None:
        if not holds:
            self.faults.append(f"node {node.number}, a {node.kind}: {what}")

    def call(self, node: Node, owner: Owner) -> int:
        """Run a node, and keep account of how it ends."""
        with self.lock:
            self.ran[node.number] += 1
            self.threads.add(threading.current_thread())
        self.expect(not owner.left, node, "it began after its group had ended")
        try:
            if node.stop is None:
                self.act(node, owner)
            else:
                with move_on_after(node.stop):
                    self.act(node, owner)
        except BaseException as error:
            owner.note(error)
            raise
        finally:
            self.expect(not owner.left, node, "it ended after its group had ended")
        return node.number

    def act(self, node: Node, owner: Owner) -> None:
        if node.kind == "group":
            self.act_as_group(node)
        elif node.kind == "run_all":
            self.act_as_run_all(node)
        else:
            self.take_steps(node, owner, list(node.children))

    # ---------------------------------------------------------------- what a node does

    def take_steps(self, node: Node, owner: Owner, children: list[Node]) -> None:
        for step in node.steps:
            getattr(self, f"do_{step}")(node, owner, children)
        for child in children:
            self.spawn(child, owner)

    def do_wait(self, *_: object) -> None:
        sleep(MOMENT)

    def do_deaf(self, *_: object) -> None:
        time.sleep(MOMENT)

    def do_check(self, *_: object) -> None:
        checkpoint()

    def do_fail(self, node: Node, *_: object) -> None:
        raise BoomError(node.number)

    def do_exit(self, node: Node, *_: object) -> None:
        raise SystemExit(node.number)

    def do_clean(self, node: Node, *_: object) -> None:
        try:
            sleep(2 * MOMENT)
        except Cancelled:
            raise BoomError(node.number) from None

    def do_cancel(self, _: Node, owner: Owner, __: object) -> None:
        if owner.group is not None:
            self.disturbed = True
            owner.group.cancel()

    def do_spawn(self, _: Node, owner: Owner, children: list[Node]) -> None:
        if children:
            self.spawn(children.pop(), owner)

    def do_ask(self, _: Node, owner: Owner, children: list[Node]) -> None:
        if children:
            task = self.spawn(children.pop(), owner)
            if task is not None and task.result() < 0:
                raise AssertionError

    def spawn(self, child: Node, owner: Owner) -> Task[int] | None:
        if owner.group is None:
            self.call(child, owner)  # in a run_all nobody can be added
            return None
        task = owner.group.spawn(self.call, child, owner)
        owner.tasks.append(task)
        return task

    # ---------------------------------------------------------------- groups

    def act_as_group(self, node: Node) -> None:
        group = TaskGroup(max_workers=node.workers, timeout=node.timeout)
        owner, body = Owner(group), Owner(None)
        raised: BaseException | None = None
        try:
            with group:
                self.run_block(node, owner, body)
        except BaseException as error:  # noqa: BLE001  it is looked at, and raised below
            raised = error
        owner.left = True
        self.check_group(node, owner, body.errors, raised)
        if raised is not None:
            raise raised

    def run_block(self, node: Node, owner: Owner, body: Owner) -> None:
        try:
            self.take_steps(node, owner, list(node.children))
        except BaseException as error:
            body.note(error)
            raise

    def check_group(
        self, node: Node, owner: Owner, body: list[BaseException], raised: BaseException | None
    ) -> None:
        self.expect(all(task.done() for task in owner.tasks), node, "a task is not done")
        errors = unique([*body, *owner.errors])
        bare = [error for error in errors if isinstance(error, SystemExit)]
        if bare:
            self.expect(raised in bare, node, f"{raised!r} instead of one of {bare}")
            rest = [error for error in errors if error is not raised]
            if rest and raised is not None:
                self.expect(same(rest, members(raised.__context__)), node, f"{rest} are lost")
        elif errors:
            self.expect(same(errors, members(raised)), node, f"{raised!r} instead of {errors}")
            first = members(raised)[:1]
            self.expect(not body or first == body, node, f"{first} is before {body}")
        else:
            self.expect_no_error(node, raised)

    def expect_no_error(self, node: Node, raised: BaseException | None) -> None:
        late = isinstance(raised, DeadlineExceeded) and node.timeout is not None
        stopped = raised is None or isinstance(raised, Cancelled)
        self.expect(stopped or late, node, f"{raised!r} instead of nothing")

    # ---------------------------------------------------------------- run_all

    def act_as_run_all(self, node: Node) -> None:
        owner = Owner(None)
        raised: BaseException | None = None
        results: list[int | BaseException] = []
        calls = [functools.partial(self.call, child, owner) for child in node.children]
        try:
            results = run_all(
                calls, max_workers=node.workers, timeout=node.timeout, return_exceptions=node.keep
            )
        except BaseException as error:  # noqa: BLE001  it is looked at, and raised below
            raised = error
        owner.left = True
        if raised is None:
            self.check_results(node, owner, results)
        else:
            self.check_raised(node, owner, raised)
            raise raised

    def check_results(self, node: Node, owner: Owner, results: list[int | BaseException]) -> None:
        errors = [result for result in results if not isinstance(result, int)]
        expected = unique(owner.errors)
        self.expect(same(errors, expected), node, f"{errors} instead of {expected}")
        for child, result in zip(node.children, results, strict=True):
            numbered = not isinstance(result, int) or result == child.number
            self.expect(numbered, node, f"{result} in the place of {child.number}")

    def check_raised(self, node: Node, owner: Owner, raised: BaseException) -> None:
        # With `return_exceptions` they are values, which an error takes the place of.
        errors = [e for e in unique(owner.errors) if not node.keep or not isinstance(e, Exception)]
        if not errors:
            self.expect_no_error(node, raised)
            return
        self.expect(any(raised is error for error in errors), node, f"{raised!r} is of nobody")
        notes = " ".join(getattr(raised, "__notes__", []))
        more = f"{len(errors) - 1} more failed in the same run_all: "
        self.expect(len(errors) == 1 or more in notes, node, f"not in the notes: {more}{notes}")

    # ---------------------------------------------------------------- the end

    def check_the_end(self) -> None:
        idle = workers.idle()
        here = threading.current_thread()
        busy = [t for t in self.threads - {here} if t not in idle and t.name[:7] != "joinabl"]
        # A worker that saw a SystemExit is not used again: it ends.
        until(lambda: not any(thread.is_alive() for thread in busy))
        assert self.faults == []
        assert set(self.ran.values()) <= {1}
        if not self.disturbed and not self.failed():
            assert set(self.ran) == {node.number for node in every(self.root)}
        assert abandoned_threads() == []

    def failed(self) -> bool:
        return any({"fail", "exit", "clean"} & set(node.steps) for node in every(self.root))


def unique(errors: list[BaseException]) -> list[BaseException]:
    return [*{id(error): error for error in errors}.values()]


def members(error: BaseException | None) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return []
    return [*cast("BaseExceptionGroup[BaseException]", error).exceptions]


def same(some: list[BaseException], others: list[BaseException]) -> bool:
    """Tell whether they are the same objects, each as often here as there."""
    return Counter(map(id, some)) == Counter(map(id, others))


# -------------------------------------------------------------------- the property


def check(root: Node) -> None:
    reports: list[threading.ExceptHookArgs] = []
    hook, threading.excepthook = threading.excepthook, reports.append
    try:
        program = Program(root)
        program.run()
    finally:
        threading.excepthook = hook
    assert reports == []  # every error has been raised
    event(f"{min(len(program.ran), 8)} or more ran" if program.ran else "nothing ran")


SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)


@SETTINGS
@given(programs())
def test_a_tree_of_groups_loses_no_error_and_leaves_nobody_behind(root: Node) -> None:
    check(root)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(20))  # a test may take two minutes
@settings(SETTINGS, max_examples=1000)
@given(root=programs())
def test_twenty_thousand_trees_do(root: Node, part: int) -> None:
    assert part >= 0
    check(root)


# -------------------------------------------------------------------- one worker, many lists


@pytest.mark.parametrize(
    "rounds", [100, pytest.param(10_000, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_lists_in_lists_under_one_worker_do_not_hang(rounds: int) -> None:
    def nested(depth: int) -> int:
        if not depth:
            return 1
        return sum(run_all([functools.partial(nested, depth - 1)] * 2, max_workers=1))

    def asking(group: TaskGroup, depth: int) -> int:
        if not depth:
            return nested(1)
        tasks = [group.spawn(asking, group, depth - 1) for _ in range(2)]
        return sum(task.result() for task in tasks)

    for _ in range(rounds):
        assert nested(3) == 8
        with TaskGroup(max_workers=1) as group:
            task = group.spawn(asking, group, 2)
        assert task.result() == 8
