"""A schedule as a short string, and the search for the shortest one that fails.

`1@12>2,0@7>1` reads: thread 1, at its 12th point, gives way to thread 2; later thread 0, at its
7th point, to thread 1. Thread 0 runs the explored function; the others are numbered as started.
The empty schedule, `-`, forces nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joinable.testing._strategies import Deviation

_SWITCH = re.compile(r"(\d+)@(\d+)>(\d+)")
#: Runs each search may take: enough to try each switch alone in schedules of some hundred.
SHRINK_RUNS = 600


def encode(deviations: Sequence[Deviation]) -> str:
    """Write a schedule down."""
    return ",".join(f"{me}@{steps}>{other}" for me, steps, other in deviations) or "-"


def decode(schedule: str) -> tuple[Deviation, ...]:
    """Read a schedule.

    Raises:
        ValueError: It is not a schedule that `explore` has written.
    """
    if schedule == "-":
        return ()
    deviations: list[Deviation] = []
    for part in schedule.split(","):
        match = _SWITCH.fullmatch(part)
        if match is None:
            raise ValueError(
                f"{schedule!r} is no schedule (at {part!r}): paste the string from the "
                "ScheduleError unchanged, for example '1@12>2,0@7>1'"
            )
        deviations.append((int(match[1]), int(match[2]), int(match[3])))
    return tuple(deviations)


def shrink(
    deviations: tuple[Deviation, ...],
    attempt: Callable[[tuple[Deviation, ...]], tuple[Deviation, ...] | None],
) -> tuple[Deviation, ...]:
    """Find few switches that still fail (delta debugging, Zeller and Hildebrandt, 2002).

    `attempt` runs a schedule and returns the switches that took place if it failed in the same
    way, else None. The result cannot lose a single switch more and still fail.
    """
    best = deviations
    runs = 0
    size = max(1, len(best) // 2)
    while best and runs < SHRINK_RUNS:
        start = 0
        smaller = False
        while start < len(best) and runs < SHRINK_RUNS:
            runs += 1
            took = attempt(best[:start] + best[start + size :])
            if took is not None and len(took) < len(best):
                best, smaller = took, True
            else:
                start += size
        if size == 1 and not smaller:
            break
        size = max(1, min(size, len(best)) // 2)
    return best


def fewer(
    best: tuple[Deviation, ...],
    branch: Callable[[tuple[Deviation, ...]], tuple[bool, list[Deviation]]],
) -> tuple[Deviation, ...]:
    """Look for a failing schedule of fewer switches than `best`, which cannot lose one alone.

    All schedules of one switch, then those of two that begin with a switch of `best`, and so on as
    far as the runs last. `branch` runs a schedule and returns whether it failed in the same way,
    and what switches could come after it.
    """
    runs = 0
    level: list[tuple[Deviation, ...]] = [()]
    for count in range(1, len(best)):
        deeper: list[tuple[Deviation, ...]] = []
        for prefix in level:
            failed, more = branch(prefix)
            children = [(*prefix, switch) for switch in more]
            # Switches that `best` makes too are the likeliest to matter.
            children.sort(key=lambda child: child[-1] not in best)
            for child in children:
                runs += 1
                failed, _ = branch(child)
                if failed:
                    return child
                if runs >= SHRINK_RUNS:
                    return best
            deeper.extend(child for child in children if child[-1] in best)
        level = deeper
        del count
    return best
