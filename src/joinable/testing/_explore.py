"""`explore` and `replay`: run a function under one schedule after another."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

from joinable.testing._report import Report
from joinable.testing._schedule import decode
from joinable.testing._strategies import (
    Priorities,
    RandomWalk,
    Replay,
    Strategy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
from joinable.testing._session import session_of


def explore(  # noqa: PLR0913  (all but the first are keywords)
    fn: Callable[[], object],
    *,
    watch: Iterable[object] = (),
    runs: int = 1000,
    strategy: Literal["random", "pct", "dfs"] = "pct",
    preemptions: int = 2,
    seed: int = 0,
    max_steps: int = 100_000,
) -> Report:
    """Run `fn` under many thread schedules; raise the shortest one found under which it fails.

    `fn` starts what threads it likes, of this package or of the standard library, and is run again
    and again, one thread at a time. Who goes on is decided at points: each use of a lock, a wait,
    a start, a join, a sleep, and each bytecode instruction of what is watched. It must make the
    objects it shares itself and do the same each time, apart from what the threads' order decides.

        >>> import threading
        >>> from joinable.testing import explore
        >>> def two_adders():
        ...     lock, total = threading.Lock(), []
        ...     def add():
        ...         with lock:
        ...             total.append(len(total))
        ...     threads = [threading.Thread(target=add) for _ in range(2)]
        ...     for thread in threads:
        ...         thread.start()
        ...     for thread in threads:
        ...         thread.join()
        ...     assert total == [0, 1]
        >>> explore(two_adders, strategy="dfs").exhausted
        True

    Args:
        fn: The program. An exception that leaves it, or any thread it starts, is a failure; so
            are a deadlock, and a thread that would hold up the exit of the interpreter for ever.
        watch: Modules, classes or functions whose every instruction is a point.
        runs: The most schedules to run.
        strategy: `pct`: random priorities with `preemptions` change points, the best at finding.
            `random`: a random walk. `dfs`: all schedules with at most `preemptions` switches away
            from a thread that could go on, fewest first.
        preemptions: See `strategy`.
        seed: The same seed gives the same schedules.
        max_steps: Points after which a run counts as one that spins.

    Returns:
        What was run, when nothing failed.

    Raises:
        ScheduleError: From the failure, with the shrunk schedule.
        RuntimeError: An exploration is already going on in this process.

    Time is virtual: sleeps and timeouts cost nothing, and fire in the order of their deadlines
    when no thread can go on otherwise. One exploration at a time in a process; other threads are
    not disturbed. Cost: some hundred microseconds a schedule and about one a point.
    """
    _check(fn, runs=runs, preemptions=preemptions, max_steps=max_steps)
    if strategy not in ("random", "pct", "dfs"):
        raise ValueError(f"strategy={strategy!r}: use 'pct', 'random' or 'dfs'")
    watched = tuple(watch)
    with session_of(fn, watched, max_steps) as session:
        session.settle()
        if strategy == "dfs":
            exhausted = session.exhaust(runs, preemptions)
        else:
            exhausted = False
            rng = random.Random(seed)  # noqa: S311  (it must repeat, not surprise)
            session.sample(runs, _sampler(strategy, rng, preemptions))
    return Report(
        runs=session.runs,
        exhausted=exhausted,
        steps=session.steps,
        longest=session.longest,
        threads=session.threads,
        diverged=session.diverged,
        strategy=strategy,
        preemptions=preemptions,
        seed=seed,
    )


def replay(
    fn: Callable[[], object],
    schedule: str,
    *,
    watch: Iterable[object] = (),
    max_steps: int = 100_000,
) -> Report:
    """Run `fn` once under a schedule that `explore` has written; raise if it fails again.

    Instruction points are numbered by bytecode, so a schedule with watched code belongs to one
    minor version of Python and to the code as it was: on another, `diverged` in the report tells.

        >>> from joinable.testing import replay
        >>> replay(lambda: None, "-").runs
        1

    Args:
        fn: The same program.
        schedule: `ScheduleError.schedule`.
        watch: The same as for `explore`.
        max_steps: The same as for `explore`.

    Returns:
        What was run, when nothing failed; then the bug is gone, or the schedule no longer fits.

    Raises:
        ScheduleError: From the failure.
        ValueError: `schedule` is not one.
    """
    _check(fn, runs=1, preemptions=0, max_steps=max_steps)
    deviations = decode(schedule)
    watched = tuple(watch)
    with session_of(fn, watched, max_steps) as session:
        follow = Replay(deviations)
        outcome = session.run(follow, logged=True)
        if outcome.failure is not None:
            raise session.error(outcome, deviations, "fails in this replay") from outcome.failure
    return Report(
        runs=1,
        exhausted=False,
        steps=outcome.steps,
        longest=outcome.steps,
        threads=outcome.threads,
        diverged=follow.diverged,
        strategy="replay",
        preemptions=len(deviations),
        seed=0,
    )


def _check(fn: object, **counts: int) -> None:
    if not callable(fn):
        raise TypeError(f"explore runs a function without arguments, not {fn!r}")
    for name, value in counts.items():
        least = 0 if name == "preemptions" else 1
        if value < least:
            raise ValueError(f"{name}={value}: at least {least} is needed")


def _sampler(strategy: str, rng: random.Random, preemptions: int) -> Callable[[int], Strategy]:
    """Return what makes the strategy of a run, given the length of the longest run so far."""
    if strategy == "random":
        return lambda length: RandomWalk(rng, length)
    return lambda length: Priorities(rng, length, preemptions)
