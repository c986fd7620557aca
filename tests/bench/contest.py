"""What a comparison is, and how it is measured: side by side, round by round.

Every round runs each contender once, in turn, so that a machine that changes its speed changes it
for all; another one begins each time, since who comes first has a colder cache. Each lives in a
process of its own: idle threads that one keeps make new threads dearer for all others of the
process, on a free-threaded build many times. CPU time is the firm figure and wall time the noisy
one. What is told is the median over the rounds.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

OURS = "joinable"
MAIN = Path(__file__).with_name("__main__.py")
LONG = 12.0  # seconds after which a contest begins no other round
FEWEST = 5  # rounds that are measured all the same: a median of fewer is an accident


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that something took, or such seconds as a multiple of others."""

    cpu: float
    wall: float


def in_this_process(run: Callable[[], object]) -> Cost:
    """Measure what the whole process does meanwhile, with all of its threads."""
    gc.collect()  # else one contender pays for what the other left
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the work of a contest."""

    run: Callable[[], object]
    work: float = 1.0
    """It does so many times the work of the others; its cost is divided by that."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What ours may cost at most, as a multiple of what another contender costs."""

    against: str
    most: float
    figure: Literal["cpu", "wall"] = "cpu"


@dataclass(frozen=True, slots=True)
class Contest:
    """The same work, done in several ways; the others are compared with the first of them."""

    key: str
    title: str
    contenders: Mapping[str, Contender]
    limits: tuple[Limit, ...] = ()
    measure: Callable[[Callable[[], object]], Cost] = in_this_process
    program: Path = MAIN
    """What is started for each contender, with `--serve`, the key and the name."""


@dataclass(slots=True)
class Result:
    """What became of a contest: medians, by the name of the contender."""

    contest: Contest
    costs: dict[str, Cost] = field(default_factory=dict[str, Cost])
    ratios: dict[str, Cost] = field(default_factory=dict[str, Cost])
    """What the first one cost, as a multiple of what that contender cost in the same round."""

    def broken(self) -> list[Limit]:
        """Return the limits that were not kept."""
        return [limit for limit in self.contest.limits if self.measured(limit) > limit.most]

    def measured(self, limit: Limit) -> float:
        """Return the ratio that a limit is about."""
        ratio = self.ratios[limit.against]
        return ratio.cpu if limit.figure == "cpu" else ratio.wall


def hold(contest: Contest, rounds: int) -> Result:
    """Measure so many rounds, after one that warms up; fewer if they take long."""
    with ExitStack() as stack:
        runners = {name: stack.enter_context(Runner(contest, name)) for name in contest.contenders}
        one_round(runners, 0)
        begun, measured = time.perf_counter(), list[dict[str, Cost]]()
        while len(measured) < rounds:
            measured.append(one_round(runners, len(measured)))
            if len(measured) >= FEWEST and time.perf_counter() - begun > LONG:
                break
    result = Result(contest)
    first = next(iter(contest.contenders))
    for name in contest.contenders:
        result.costs[name] = median(costs[name] for costs in measured)
        if name != first:
            result.ratios[name] = median(ratio(costs[first], costs[name]) for costs in measured)
    return result


def one_round(runners: Mapping[str, Runner], number: int) -> dict[str, Cost]:
    """Run each contender once; the number of the round says who begins."""
    names = list(runners)
    first = number % len(names)
    return {name: runners[name].cost() for name in names[first:] + names[:first]}


class Runner:
    """A contender in a process of its own, in which it runs whenever it is told to."""

    def __init__(self, contest: Contest, name: str) -> None:
        self.process = subprocess.Popen(  # noqa: S603  our own interpreter
            [sys.executable, contest.program, "--serve", contest.key, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.work = contest.contenders[name].work

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self.process:  # closes the pipes, which is what tells it to end
            pass

    def cost(self) -> Cost:
        """Let it run once."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        cpu, wall = map(float, self.process.stdout.readline().split())
        return Cost(cpu / self.work, wall / self.work)


def environment() -> dict[str, str]:
    """Let a fresh interpreter find the modules of this folder: it does not know the program's."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).parent)}


def serve(contest: Contest, name: str) -> None:
    """Be such a process: run once for each line that comes in."""
    for _ in sys.stdin:
        cost = contest.measure(contest.contenders[name].run)
        print(cost.cpu, cost.wall, flush=True)


def ratio(ours: Cost, theirs: Cost) -> Cost:
    return Cost(ours.cpu / theirs.cpu, ours.wall / theirs.wall)


def median(costs: Iterable[Cost]) -> Cost:
    every = list(costs)
    return Cost(
        statistics.median(cost.cpu for cost in every),
        statistics.median(cost.wall for cost in every),
    )
