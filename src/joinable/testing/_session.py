# pyright: reportPrivateUsage=false
"""Run one function again and again: what is set up around the runs, and what is counted over them.

Here a failure is shrunk and told, too.
"""

from __future__ import annotations

import concurrent.futures.thread
import contextvars
import gc
import sys
import threading
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from joinable.testing import _real, _scheduler
from joinable.testing._baton import Baton
from joinable.testing._controller import control
from joinable.testing._errors import ScheduleError, Unwind
from joinable.testing._own_state import OwnState, library_modules
from joinable.testing._points import codes_of, points_in
from joinable.testing._report import interleaving, replay_line
from joinable.testing._schedule import encode, fewer, shrink
from joinable.testing._scheduler import Scheduler, Turn
from joinable.testing._strategies import (
    Branching,
    Deviation,
    Replay,
    Search,
    Strategy,
)
from joinable.testing._takeover import Takeover, release_idle_workers, takeover
from joinable.testing._threads import start_root
from joinable.testing._where import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

#: Garbage of the runs is collected every so many runs, between them: a collection inside a run
#: would call finalizers, which may reach points, at places no schedule can name.
COLLECT_EVERY = 50

#: Fewer frozen objects than these are nobody's: CPython 3.12 itself begins with some hundred.
FROZEN = 1000

#: A shrunk schedule of more switches than these is looked for afresh, ...
FEW = 2
#: ... in so many runs.
AFRESH_RUNS = 500

_exploring = _real.allocate_lock()


class Outcome(NamedTuple):
    """How one run ended."""

    failure: BaseException | None
    later: list[str]
    deviations: tuple[Deviation, ...]
    steps: int
    threads: int
    turns: list[Turn]
    stuck: bool


class Session:
    """The runs of one function, and what is counted over them."""

    def __init__(
        self, fn: Callable[[], object], watch: tuple[object, ...], max_steps: int, taken: Takeover
    ) -> None:
        self._fn = fn
        self._watch = watch
        self._max_steps = max_steps
        self._taken = taken
        self._executed = 0
        self.runs = self.steps = self.longest = self.threads = self.diverged = 0

    def run(self, strategy: Strategy, *, logged: bool = False) -> Outcome:
        """Run once."""
        self._executed += 1
        if self._executed % COLLECT_EVERY == 0:
            gc.collect()
        self._taken.fresh_run()
        scheduler = Scheduler(strategy, self._max_steps, logged=logged, drain=release_idle_workers)
        state = OwnState()
        body = _body(scheduler, self._fn, state)
        try:
            control(scheduler, lambda: start_root(scheduler, body))
        finally:
            state.restore()
            concurrent.futures.thread._shutdown = False
        self.longest = max(self.longest, scheduler.step)
        self.threads = max(self.threads, scheduler.born + 1)
        return Outcome(
            scheduler.failure,
            scheduler.later,
            tuple(scheduler.deviations),
            scheduler.step,
            scheduler.born + 1,
            scheduler.log or [],
            scheduler.stuck,
        )

    def settle(self) -> None:
        """Run once without forcing anything, uncounted: imports and caches fill here."""
        outcome = self.run(Replay())
        if outcome.failure is not None:
            self._failed(outcome)

    def _counted(self, strategy: Strategy) -> None:
        outcome = self.run(strategy)
        self.runs += 1
        self.steps += outcome.steps
        if outcome.failure is not None:
            self._failed(outcome)

    def sample(self, runs: int, sampler: Callable[[int], Strategy]) -> None:
        """Run schedules drawn at random."""
        for _ in range(runs):
            self._counted(sampler(self.longest))

    def exhaust(self, runs: int, preemptions: int) -> bool:
        """Run all schedules with at most so many preemptions; True if it was all of them."""
        search = Search(preemptions, runs)
        while (strategy := search.next()) is not None:
            self._counted(strategy)
            search.ran(strategy)
            self.diverged += bool(strategy.diverged)
        return search.complete and not self.diverged

    def _failed(self, outcome: Outcome) -> None:
        """Shrink a failure and raise it."""
        failure = outcome.failure
        if failure is None:
            return
        found = f"found in run {self.runs or 1}"
        if outcome.stuck:  # each attempt would cost the whole watchdog time, and a thread
            raise self.error(outcome, outcome.deviations, f"{found}, not shrunk") from failure
        best = self._shortest(outcome.deviations, type(failure))
        final = self.run(Replay(best), logged=True)
        if final.failure is None:
            found += ", but not when run again: the function is not the same at each run"
            raise self.error(outcome, outcome.deviations, found) from failure
        found += f", shrunk to {len(best)} forced switch{'' if len(best) == 1 else 'es'}"
        raise self.error(final, best, found) from final.failure

    def _shortest(
        self, deviations: tuple[Deviation, ...], kind: type[BaseException]
    ) -> tuple[Deviation, ...]:
        """Find few switches under which it fails in the same way, by three searches."""

        def attempt(candidate: tuple[Deviation, ...]) -> tuple[Deviation, ...] | None:
            outcome = self.run(Replay(candidate))
            return outcome.deviations if type(outcome.failure) is kind else None

        def branch(prefix: tuple[Deviation, ...]) -> tuple[bool, list[Deviation]]:
            strategy = Branching(prefix, preemptions=1)
            outcome = self.run(strategy)
            return type(outcome.failure) is kind, strategy.free + strategy.costly

        best = shrink(deviations, attempt)
        if len(best) > FEW:
            other = self._afresh(kind)
            best = best if other is None else min(best, shrink(other, attempt), key=len)
        return fewer(best, branch)

    def _afresh(self, kind: type[BaseException]) -> tuple[Deviation, ...] | None:
        """Search the schedules of few preemptions for the same failure, far from the first one."""
        search = Search(preemptions=2, runs=AFRESH_RUNS)
        while (strategy := search.next()) is not None:
            outcome = self.run(strategy)
            search.ran(strategy)
            if type(outcome.failure) is kind:
                return outcome.deviations
        return None

    def error(
        self, outcome: Outcome, deviations: tuple[Deviation, ...], found: str
    ) -> ScheduleError:
        """Tell a failure."""
        schedule = encode(deviations)
        failure = outcome.failure
        error = ScheduleError(
            f"{type(failure).__name__}: {failure}",
            schedule=schedule,
            interleaving=interleaving(outcome.turns),
            replay_line=replay_line(self._fn, schedule, self._watch),
            found=found,
        )
        for line in outcome.later:
            error.add_note(f"and another thread failed as well: {line}")
        return error


def _body(scheduler: Scheduler, fn: Callable[[], object], state: OwnState) -> Callable[[], None]:
    context = contextvars.copy_context()

    def body() -> None:
        try:
            state.renew()
            context.run(fn)
            state.finish()
        except Unwind:
            raise
        except BaseException as error:  # noqa: BLE001  (SystemExit too: it leaves the function)
            if not scheduler.ending:
                scheduler.fail(error)

    return body


@contextmanager
def session_of(
    fn: Callable[[], object], watch: tuple[object, ...], max_steps: int
) -> Generator[Session]:
    """Everything that is different while exploring, and is put back afterwards."""
    if _scheduler.here() is not None:
        raise RuntimeError(
            "explore() was called inside an explored function: explore the inner program on its own"
        )
    codes = codes_of(watch)
    if not _exploring.acquire(False):
        raise RuntimeError("another thread of this process is exploring: explore one at a time")
    try:
        with (
            _collected(),
            shown({code.co_filename for code in codes}),
            takeover(_own(fn, watch)) as taken,
            points_in(codes),
        ):
            yield Session(fn, watch, max_steps, taken)
    finally:
        Baton.clear()
        _exploring.release()


@contextmanager
def _collected() -> Generator[None]:
    """Collect garbage between the runs only, and only what the runs have made."""
    enabled = gc.isenabled()
    gc.disable()
    frozen = gc.get_freeze_count() < FROZEN
    # What is garbage by now is frozen as well, and of no consequence until the end: to find it all
    # that a large test suite has in memory would have to be looked at, for every exploration.
    if frozen:
        gc.freeze()
    else:  # somebody else's frozen objects must stay so, then each collection costs more
        gc.collect()
    try:
        yield
    finally:
        if frozen:
            gc.collect()  # now, when the last runs' garbage is quickly found
            gc.unfreeze()
        if enabled:
            gc.enable()


def _own(fn: object, watch: tuple[object, ...]) -> Iterator[dict[str, Any]]:
    """Yield the namespaces that belong to the exploration."""
    seen: set[int] = set()
    for namespace in _namespaces(fn, watch):
        if id(namespace) not in seen:
            seen.add(id(namespace))
            yield namespace


def _namespaces(fn: object, watch: tuple[object, ...]) -> Iterator[dict[str, Any]]:
    for item in (fn, *watch):
        name = item.__name__ if isinstance(item, ModuleType) else getattr(item, "__module__", None)
        module = sys.modules.get(name or "")
        namespace = getattr(item, "__globals__", None if module is None else vars(module))
        if isinstance(namespace, dict) and module is not threading:
            yield namespace
    for module in library_modules():
        yield vars(module)
