"""Who goes on: random walks, priorities with change points, all schedules within a bound, replay.

A schedule is the list of its deviations from the default policy, under which a strand runs until
it blocks or ends and then the oldest that can goes on. A deviation is `(strand, steps, other)`: at
that step of that strand, the other goes on. Steps are counted by strand, so that a deviation keeps
its meaning when an earlier one is taken away: that is what makes schedules shrink well.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from joinable._typing import override

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from joinable.testing._strand import Strand

Deviation = tuple[int, int, int]
NEVER = 1 << 62


class Strategy(Protocol):
    """What the scheduler asks, for one run."""

    #: The next step at which `choose` wants to be called though nothing has changed.
    alarm: int

    def admit(self, strand: Strand) -> None:
        """A strand is born."""
        ...

    def demote(self, strand: Strand) -> None:
        """A strand gives way of its own will."""
        ...

    def choose(
        self, me: Strand, enabled: list[Strand], default: Strand, step: int, *, staying: bool
    ) -> Strand:
        """Pick one of `enabled` (oldest first); `staying` when `me` could go on."""
        ...


class Replay:
    """Follows a list of deviations, and the default policy everywhere else."""

    def __init__(self, deviations: Iterable[Deviation] = ()) -> None:
        self.alarm = 0
        self._wanted = {(number, steps): other for number, steps, other in deviations}
        #: Deviations that could not be followed: the program is not the one that was recorded.
        self.missed = 0

    def admit(self, strand: Strand) -> None:
        """Nothing to know about a strand."""

    def demote(self, strand: Strand) -> None:
        """Nothing to change: the default policy already gives way."""

    def choose(
        self, me: Strand, enabled: list[Strand], default: Strand, step: int, *, staying: bool
    ) -> Strand:
        """Take the recorded choice if there is one here and it is possible."""
        del step, staying
        wanted = self._wanted.pop((me.number, me.steps), None)
        if not self._wanted:
            self.alarm = NEVER
        if wanted is None:
            return default
        for strand in enabled:
            if strand.number == wanted:
                return strand
        self.missed += 1
        return default

    @property
    def diverged(self) -> int:
        """How many deviations were not followed."""
        return self.missed + len(self._wanted)


class Branching(Replay):
    """Follows a prefix of deviations and lists each deviation that could come after it."""

    def __init__(self, prefix: tuple[Deviation, ...], preemptions: int) -> None:
        super().__init__(prefix)
        self._budget = preemptions
        #: Alternatives that cost nothing, and those that cost one preemption.
        self.free: list[Deviation] = []
        self.costly: list[Deviation] = []

    @override
    def choose(
        self, me: Strand, enabled: list[Strand], default: Strand, step: int, *, staying: bool
    ) -> Strand:
        """Follow the prefix; past its end, note what else could have been chosen."""
        if self._wanted:
            choice = super().choose(me, enabled, default, step, staying=staying)
            self.alarm = 0
            return choice
        if not staying or default is not me:
            found = self.free
        elif self._budget:
            found = self.costly
        else:
            self.alarm = NEVER
            return default
        found.extend((me.number, me.steps, s.number) for s in enabled if s is not default)
        return default


class Search:
    """All schedules with at most so many preemptions, those with fewest first.

    Each schedule is a parent's switches and one more, later: so each comes exactly once.
    """

    def __init__(self, preemptions: int, runs: int) -> None:
        self._budget = preemptions
        self._left = runs
        self._level: list[tuple[Deviation, ...]] = [()]
        self._deeper: list[tuple[Deviation, ...]] = []
        self._prefix: tuple[Deviation, ...] = ()
        self._dropped = False

    def next(self) -> Branching | None:
        """Return the next schedule to run, or None when there is none, or no run, left."""
        if not self._level and self._budget:
            self._budget -= 1
            self._level, self._deeper = self._deeper[::-1], []
        if not self._level or not self._left:
            return None
        self._left -= 1
        self._prefix = self._level.pop()
        return Branching(self._prefix, self._budget)

    def ran(self, strategy: Branching) -> None:
        """Take note of what could have been chosen instead."""
        prefix = self._prefix
        self._level.extend((*prefix, more) for more in reversed(strategy.free))
        room = max(0, self._left - len(self._deeper))  # what cannot be run need not be kept
        self._dropped = self._dropped or len(strategy.costly) > room
        self._deeper.extend((*prefix, more) for more in strategy.costly[:room])

    @property
    def complete(self) -> bool:
        """Whether all schedules have been run."""
        return not (self._level or self._deeper or self._dropped)


class RandomWalk:
    """Switches after random stretches; every run has its own mean length of a stretch."""

    def __init__(self, rng: random.Random, length: int) -> None:
        self._rng = rng
        self._mean = rng.choice((1, 3, 10, 30, 100, max(2, length // 3)))
        self.alarm = self._stretch(0)

    def _stretch(self, step: int) -> int:
        return step + 1 + int(self._rng.expovariate(1.0 / self._mean))

    def admit(self, strand: Strand) -> None:
        """Nothing to know about a strand."""

    def demote(self, strand: Strand) -> None:
        """Nothing to change: the default policy already gives way."""

    def choose(
        self, me: Strand, enabled: list[Strand], default: Strand, step: int, *, staying: bool
    ) -> Strand:
        """Any strand that can go on, when the stretch is over or this strand cannot."""
        if not staying or default is not me:
            return self._rng.choice(enabled)
        if step < self.alarm:
            return me
        self.alarm = self._stretch(step)
        others = [s for s in enabled if s is not me]
        return self._rng.choice(others) if others else me


class Priorities:
    """Probabilistic concurrency testing: random priorities, lowered at a few random steps.

    With `preemptions` change points in a run of n steps and k threads, a bug that needs at most
    that many ordered events besides the first is met with a chance of at least 1/(k n^preemptions)
    a run (Burckhardt et al., 2010).
    """

    def __init__(self, rng: random.Random, length: int, preemptions: int) -> None:
        self._rng = rng
        steps = sorted(rng.randrange(1, max(2, length) + 1) for _ in range(preemptions))
        self._changes = deque(steps)
        self._lowest = 0.0
        self.alarm = self._next()

    def _next(self) -> int:
        return self._changes[0] if self._changes else NEVER

    def admit(self, strand: Strand) -> None:
        """Give a new strand a random place among the priorities."""
        strand.priority = self._rng.random()

    def demote(self, strand: Strand) -> None:
        """Put a strand below all others, or a polling loop of high priority starves them."""
        self._lowest -= 1.0
        strand.priority = self._lowest

    def choose(
        self, me: Strand, enabled: list[Strand], default: Strand, step: int, *, staying: bool
    ) -> Strand:
        """The strand of the highest priority."""
        del default, staying
        while self._changes and step >= self._changes[0]:
            self._changes.popleft()
            self.demote(me)
        self.alarm = self._next()
        return max(enabled, key=_priority)


def _priority(strand: Strand) -> float:
    return strand.priority
