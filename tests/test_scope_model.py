"""Random trees of scopes over several threads, against a plain model of who is stopped by whom.

Every thread enters its scopes, starts its children between them, and then waits, in the innermost
one first. Time passes in whole seconds of a `FakeClock`; scopes are cancelled and left in any
order. A thread that is stopped says by which scope, and unwinds when it is told: one at a time, so
that the model knows which scopes are left when.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import queue
import threading
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from joinable import Cancelled, CancelScope, current_scope, move_on_after, shield, spawn
from joinable import _park as park
from joinable import _timer as timer
from joinable.testing import FakeClock

if TYPE_CHECKING:
    from joinable import Thread
    from joinable._typing import Lock

LONG = 10**6  # seconds of the fake clock that no test lets pass
PATIENCE = 5  # seconds of real time after which what should take none has failed


# -------------------------------------------------------------------- the plan


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one thread does: the scopes that it enters, and where it is started."""

    scopes: tuple[tuple[str, int | None], ...]
    parent: int  # another thread, with a lower number; that of the first one counts for nothing
    depth: int  # inside of how many of the parent's scopes


SECONDS = st.integers(1, 8)
KINDS = st.one_of(
    st.just(("scope", None)),
    st.tuples(st.just("after"), SECONDS),
    st.tuples(st.just("shield"), st.one_of(st.none(), SECONDS)),
)


@st.composite
def plans(draw: st.DrawFn) -> list[Plan]:
    made: list[Plan] = []
    for number in range(draw(st.integers(2, 4))):
        scopes = tuple(draw(st.lists(KINDS, min_size=1, max_size=3)))
        parent = draw(st.integers(0, number - 1)) if number else 0
        depth = draw(st.integers(0, len(made[parent].scopes))) if number else 0
        made.append(Plan(scopes, parent, depth))
    return made


DEEDS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["cancel", "leave"]), st.integers(0, 15)),
    max_size=8,
)


# -------------------------------------------------------------------- the model


@dataclasses.dataclass
class Scope:
    """What the model knows of a scope."""

    number: int
    parent: Scope | None
    deadline: float = math.inf
    shielded: float = -math.inf
    requested: bool = False
    left: bool = False
    told: bool = False  # cancelled or late when it was left
    called: bool = False

    def asks(self, now: float) -> bool:
        return self.told or self.requested or self.deadline <= now

    def reach(self, now: float) -> list[Scope]:
        """List the scopes that can stop what runs in this one."""
        found: list[Scope] = []
        scope: Scope | None = self
        while scope is not None:
            if not scope.left or scope.told:
                found.append(scope)
                if scope.shielded > now:
                    break
            scope = scope.parent
        return found

    def asker(self, now: float) -> Scope | None:
        asking = [scope for scope in self.reach(now) if scope.asks(now)]
        return asking[-1] if asking else None


class Model:
    """All scopes, and those that each thread is in, with its task's own as the first."""

    def __init__(self, plan: list[Plan]) -> None:
        self.now = 0.0
        self.scopes: list[Scope] = []
        self.stacks: list[list[Scope]] = []
        self.bases: list[Scope] = []
        for thread in plan:
            parent = self.stacks[thread.parent][thread.depth] if self.stacks else None
            stack = [self._new(parent)]
            for kind, seconds in thread.scopes:
                scope = self._new(stack[-1])
                if kind == "after":
                    scope.deadline = seconds or 0
                elif kind == "shield":
                    scope.shielded = math.inf if seconds is None else seconds
                stack.append(scope)
            self.stacks.append(stack)

    def _new(self, parent: Scope | None) -> Scope:
        scope = Scope(len(self.scopes), parent)
        self.scopes.append(scope)
        return scope

    def askers(self) -> dict[int, int]:
        """Tell, of every thread that has to be stopped now, the scope that stops it."""
        found = {n: stack[-1].asker(self.now) for n, stack in enumerate(self.stacks) if stack}
        return {number: scope.number for number, scope in found.items() if scope is not None}

    def cancel(self, number: int) -> None:
        if not self.scopes[number].left:
            self.scopes[number].requested = True
        self.call()

    def leave(self, thread: int) -> None:
        scope = self.stacks[thread].pop()
        scope.told = scope.asks(self.now)
        scope.left = True
        scope.shielded = -math.inf  # who was told to stop is, by the outermost who asks
        self.call()

    def unwind(self, thread: int, asker: int) -> None:
        """Leave every scope up to the one that asked, or, when it is not the thread's, all."""
        while self.stacks[thread]:
            number = self.stacks[thread][-1].number
            self.leave(thread)
            if number == asker and self.stacks[thread]:
                break

    def call(self) -> None:
        """Call the callbacks that are due."""
        for scope in self.scopes:
            scope.called |= not scope.left and scope.asker(self.now) is not None


# -------------------------------------------------------------------- the real thing


class Worker:
    """A thread, and what the test has in hand of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.latch: Lock = park.latch()
        self.go = threading.Semaphore(0)
        self.thread: Thread[None] | None = None


class World:
    """The scopes and threads of a plan."""

    def __init__(self, plan: list[Plan], model: Model, clock: FakeClock) -> None:
        self.plan, self.model, self.clock = plan, model, clock
        self.workers = [Worker(number) for number in range(len(plan))]
        self.scopes: dict[int, CancelScope] = {}
        self.reports: queue.SimpleQueue[tuple[int, object]] = queue.SimpleQueue()
        self.calls: list[int] = []
        self.over = False
        self.start(0)

    def start(self, number: int) -> None:
        self.workers[number].thread = spawn(self.live, number)

    def live(self, number: int) -> None:
        own = current_scope()
        assert own is not None
        self.enter(number, 0, own)

    def enter(self, number: int, depth: int, scope: CancelScope) -> None:
        index = self.index(number, depth)
        self.scopes[index] = scope
        scope.on_cancel(functools.partial(self.calls.append, index))
        for child, plan in enumerate(self.plan):
            if child and (plan.parent, plan.depth) == (number, depth):
                self.start(child)
        if depth < len(self.plan[number].scopes):
            with make(*self.plan[number].scopes[depth]) as inner:
                self.enter(number, depth + 1, inner)
        self.wait(self.workers[number])

    def index(self, number: int, depth: int) -> int:
        return sum(1 + len(plan.scopes) for plan in self.plan[:number]) + depth

    def wait(self, worker: Worker) -> None:
        """Wait until told to leave the innermost scope, or stopped."""
        if self.over:
            return
        try:
            park.park(worker.latch, LONG)
        except Cancelled as cancelled:
            self.reports.put((worker.number, cancelled._scope))
            worker.go.acquire()
            raise

    # ---------------------------------------------------------------- for the test's thread

    def settle(self) -> None:
        """See that those are stopped who have to be, by whom they have to be, and nobody else."""
        stopped: dict[int, int] = {}
        while True:
            expected = {**self.model.askers(), **stopped}
            while stopped.keys() != expected.keys():
                stopped |= self.next_report()
            assert stopped == expected
            alive = sum(bool(stack) for stack in self.model.stacks)
            self.clock.until_waiting(alive - len(stopped), patience=PATIENCE)
            assert self.reports.empty()
            assert sorted(self.calls) == [s.number for s in self.model.scopes if s.called]
            if not stopped:
                return
            self.unwind(*stopped.popitem())

    def next_report(self) -> dict[int, int]:
        try:
            number, scope = self.reports.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"not stopped: one of {self.model.askers()}") from None
        return {number: next(n for n, known in self.scopes.items() if known is scope)}

    def unwind(self, number: int, asker: int) -> None:
        worker = self.workers[number]
        self.model.unwind(number, asker)
        worker.go.release()
        if not self.model.stacks[number]:
            assert worker.thread is not None
            worker.thread.join()
            assert worker.thread.cancelled()

    def leave(self, number: int) -> None:
        worker = self.workers[number]
        if not self.model.stacks[number]:
            return
        self.model.leave(number)
        park.release(worker.latch)
        if not self.model.stacks[number]:
            assert worker.thread is not None
            worker.thread.join()
            assert not worker.thread.cancelled()
            assert worker.thread.result() is None

    def end(self) -> None:
        self.over = True
        for worker in self.workers:
            worker.go.release()
            park.release(worker.latch)
        for worker in self.workers:
            if worker.thread is not None:
                threading.Thread.join(worker.thread, PATIENCE)


def make(kind: str, seconds: int | None) -> CancelScope:
    if kind == "after":
        return move_on_after(seconds or 0)
    return shield(seconds) if kind == "shield" else CancelScope()


def play(plan: list[Plan], deeds: list[tuple[int, str, int]]) -> Model:
    model = Model(plan)
    end, restore = timer.renew()
    try:
        with FakeClock() as clock:
            world = World(plan, model, clock)
            try:
                clock.until_waiting(len(plan), patience=PATIENCE)
                for seconds, deed, whom in [*deeds, (10, "cancel", 0)]:
                    for _ in range(seconds):
                        clock.advance(1)
                        model.now += 1
                        model.call()
                        world.settle()
                    if deed == "cancel":
                        number = whom % len(model.scopes)
                        model.cancel(number)
                        world.scopes[number].cancel(str(number))
                    else:
                        world.leave(whom % len(plan))
                    world.settle()
                    check_what_they_tell(world)
            finally:
                world.end()
                end()
    finally:
        restore()
    return model


def check_what_they_tell(world: World) -> None:
    for scope in world.model.scopes:
        real = world.scopes[scope.number]
        assert real.cancelled == (scope.told or (scope.asks(world.model.now) and not scope.left))
        assert (real.reason == str(scope.number)) == scope.requested


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(plan=plans(), deeds=DEEDS)
def test_who_is_stopped_when_and_by_which_scope(
    plan: list[Plan], deeds: list[tuple[int, str, int]]
) -> None:
    model = play(plan, deeds)
    event(f"{sum(scope.called for scope in model.scopes)} scopes called")


def test_a_shield_that_is_left_hands_its_threads_to_the_scopes_around() -> None:
    # 0 is in a scope and a shield; 1 was started in the shield. The scope is cancelled (and the
    # task of 0, later) when the shield has been left.
    plan = [Plan((("scope", None), ("shield", None)), 0, 0), Plan((), 0, 2)]
    model = play(plan, [(1, "leave", 0), (1, "cancel", 1)])
    assert model.stacks == [[], []]


def test_the_model_has_cases_of_every_kind() -> None:
    # What the random ones are made of, each once: the outermost asks, a shield ends, a late scope.
    nested = [Plan((("scope", None), ("after", 3)), 0, 0), Plan((("shield", 5),), 0, 2)]
    model = play(nested, [(1, "cancel", 1), (2, "cancel", 2), (2, "leave", 1)])
    assert not any(model.stacks)
    assert all(scope.called for scope in model.scopes[:3])
