"""What an exploration tells: the report of a pass, the story of a failure."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING

from joinable._typing import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from joinable.testing._scheduler import Turn


@dataclass(frozen=True, slots=True)
class Report:
    """What was explored without a failure.

    Example:
        >>> from joinable import run_all
        >>> from joinable.testing import Report, explore
        >>> report: Report = explore(lambda: run_all([int, int]), runs=20)
        >>> report.runs, report.exhausted, report.diverged
        (20, False, 0)

    Attributes:
        runs: Schedules that were run.
        exhausted: True when these were all the schedules there are within the bound of
            preemptions; only the strategy `dfs` can know.
        steps: Points passed, in all runs together.
        longest: Points passed in the longest run.
        threads: The most threads in one run, with the one that runs the function.
        diverged: Runs that did not follow the schedule they were given: the function is not the
            same at each run. Never exhausted then.
        strategy: How the schedules were chosen.
        preemptions: The bound, or the number of change points.
        seed: What the choices were drawn from.
    """

    runs: int
    exhausted: bool
    steps: int
    longest: int
    threads: int
    diverged: int
    strategy: str
    preemptions: int
    seed: int

    @override
    def __str__(self) -> str:
        every = "all schedules within the bound" if self.exhausted else "no failure"
        return (
            f"{self.runs} schedules of up to {self.threads} threads and {self.longest} points "
            f"({self.strategy}, {self.preemptions} preemptions): {every}"
        )


def interleaving(turns: Sequence[Turn]) -> str:
    """Lay out the turns of a run: who ran, up to which line, and why it stopped there."""
    if not turns:
        return "  (one thread only)"
    width = max(len(turn.name) for turn in turns)
    return "\n".join(_turn(turn, width) for turn in turns)


def _turn(turn: Turn, width: int) -> str:
    start = f"{'->' if turn.forced else '  '} {turn.name:<{width}}  "
    if turn.line is None:
        return start + turn.why
    return f"{start}{turn.line}\n{'':{width + 9}}{turn.why}"


def replay_line(fn: object, schedule: str, watch: Iterable[object]) -> str:
    """Write the call that runs a schedule again; a program made of parts writes its own."""
    names = [name_of(item) for item in watch]
    watched = f", watch=[{', '.join(names)}]" if names else ""
    write: Callable[[str, str], str] | None = getattr(fn, "write_replay", None)
    if write is not None:
        return write(schedule, watched)
    return f"replay({name_of(fn)}, {schedule!r}{watched})"


def name_of(item: object) -> str:
    """Name something as its source does, as far as can be known."""
    if isinstance(item, ModuleType):
        return item.__name__
    if isinstance(item, (FunctionType, MethodType, type)):
        return item.__qualname__.rpartition("<locals>.")[2]
    return repr(item)
