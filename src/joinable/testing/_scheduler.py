# pyright: reportPrivateUsage=false
"""One thread at a time: the baton, the points, the runnable set, and virtual time.

Promise: while a `Scheduler` runs, exactly one of its strands executes Python code, namely
`current`; which one goes on is decided at points only, by the strategy, from the strands that can
go on. The same decisions give the same run.

How control moves: each strand waits on a real lock of its own, its baton. To switch, the running
strand writes `current` and `ident`, releases the other's baton and acquires its own; between those
two calls it touches nothing shared. So all fields below are only touched by the strand that runs,
or by the controller (the thread that called `explore`) when `ident` is zero, and need no lock.

Virtual time: sleeps and timeouts cost nothing. The clock stands still while any strand can go on
and otherwise moves to the earliest deadline; all strands whose deadline that is can then go on, in
every order the strategy likes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from joinable import _frames
from joinable.testing import _real
from joinable.testing._errors import (
    DeadlockError,
    LeftoverError,
    StepLimitError,
    Unwind,
)
from joinable.testing._strand import Resource, Strand
from joinable.testing._where import Line, user_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable.testing._strategies import Strategy

#: Where the virtual clock starts: far from zero, which programs may take for "no deadline".
EPOCH = 1000.0
#: Points a leftover thread may pass while it unwinds before it is told again, ...
UNWIND_POINTS = 2_000
#: ... before it is given up, and the points that a refused wait counts for.
UNWIND_LIMIT = 20_000
REFUSAL = 200

#: The scheduler that runs now; at most one in the process.
active: Scheduler | None = None
#: Threads of ended runs that blocked out of sight: they end at their next point.
abandoned: set[int] = set()


class Turn(NamedTuple):
    """One stretch of a run: who ran, until where, and why it stopped there."""

    name: str
    line: Line | None
    why: str
    forced: bool


def here() -> Scheduler | None:
    """Return the active scheduler if the calling thread is the strand that runs."""
    scheduler = active
    if scheduler is not None and scheduler.ident == _real.get_ident():
        return scheduler
    if abandoned and _real.get_ident() in abandoned:
        raise Unwind
    return None


class Scheduler:
    """The state of one run."""

    def __init__(
        self,
        strategy: Strategy,
        max_steps: int,
        *,
        logged: bool = False,
        drain: Callable[[list[Strand]], list[Strand]] | None = None,
    ) -> None:
        self.strategy = strategy
        self.max_steps = max_steps
        self.alive: list[Strand] = []
        self.born = 0
        self.ident = 0
        self.step = 0
        #: The next step at which the strategy wants to be asked.
        self.alarm = 0
        self.now = EPOCH
        self.ending = False
        self.failure: BaseException | None = None
        self.later: list[str] = []
        self.deviations: list[tuple[int, int, int]] = []
        self.log: list[Turn] | None = [] if logged else None
        self.stuck = False
        self.drain = drain
        self._reaping: list[Strand] = []
        self.done = _real.allocate_lock()
        self.done.acquire()
        self.root = self.current = Strand(0, None, daemon=False)

    # -- points, called by the strand that runs ------------------------------------------------

    def point(self) -> None:
        """Let the strategy decide who goes on; the caller is able to."""
        me = self.current
        if me.quiet:
            return
        me.steps += 1
        step = self.step = self.step + 1
        if step >= self.alarm:
            self._decide(me, staying=True)

    def give_way(self) -> None:
        """Reach a point at which another strand goes on by default."""
        me = self.current
        me.steps += 1
        self.step += 1
        self.strategy.demote(me)
        self._decide(me, staying=True, yielding=True)

    def tick(self) -> None:
        """Count a step without a decision, so that a loop that reads the clock ends."""
        self.step += 1
        if self.step >= self.max_steps:
            self._decide(self.current, staying=True)

    def changed(self) -> None:
        """Note that a strand may have become able to go on."""
        self.alarm = 0

    def block(self, resource: Resource, deadline: float | None = None) -> bool:
        """Wait for `resource`; False when the deadline came first. Quiet strands may block too."""
        me = self.current
        if self.ending:
            self._unwinding(me, REFUSAL)
            raise Unwind
        me.wait, me.deadline = resource, deadline
        me.steps += 1
        self.step += 1
        try:
            self._decide(me, staying=False)
        finally:
            me.wait = me.deadline = None
        return resource.ready()

    def _decide(self, me: Strand, *, staying: bool, yielding: bool = False) -> None:
        if self.ending:
            self._unwinding(me)
            return
        if self.failure is None and self.step >= self.max_steps:
            self.fail(StepLimitError(self.max_steps, f"{me.name} at {self._line_of(me)}"))
        if self.failure is not None:
            self._end(me)
            return
        choice = self._choose(me, staying=staying, yielding=yielding)
        if choice is None:
            self._end(me)
        elif choice is not me:
            self.hand_over(choice)
            self._park(me)

    def _choose(self, me: Strand, *, staying: bool, yielding: bool) -> Strand | None:
        enabled = self._enabled()
        while not enabled:
            if not self._go_on_somehow():
                return None
            enabled = self._enabled()
        default = me if staying and not yielding else _next(me, enabled, yielding=yielding)
        choice = self.strategy.choose(me, enabled, default, self.step, staying=staying)
        self.alarm = min(self.strategy.alarm, self.max_steps)
        if choice is not default:
            self.deviations.append((me.number, me.steps, choice.number))
        if choice is not me and self.log is not None:
            self._note(me, choice, forced=choice is not default, staying=staying)
        return choice

    def _enabled(self) -> list[Strand]:
        now = self.now
        return [
            s
            for s in self.alive
            if (wait := s.wait) is None
            or wait.ready()
            or (s.deadline is not None and s.deadline <= now)
        ]

    def _go_on_somehow(self) -> bool:
        """Nobody can go on: let idle workers leave, move the clock, or declare a deadlock."""
        if self.root.finished and self.drain is not None and self.drain(self.alive):
            return True
        deadlines = [s.deadline for s in self.alive if s.deadline is not None]
        if deadlines:
            self.now = min(deadlines)
            return True
        if any(not s.daemon for s in self.alive):
            self.fail(DeadlockError(self.blocked()))
        return False

    def hand_over(self, target: Strand) -> None:
        self.current = target
        self.ident = target.ident
        target.baton.give()

    def _park(self, me: Strand) -> None:
        """Wait for the baton. Nothing shared may be touched before it is there."""
        me.baton.wait()
        if self._reaping:
            self.reap()
        if me.killed:
            raise Unwind

    def reap(self) -> None:
        """Wait until ended OS threads are gone: their thread-locals die before we go on."""
        while self._reaping:
            strand = self._reaping.pop()
            strand.reap()
            strand.baton.drop()

    # -- birth and death of strands ------------------------------------------------------------

    def begin(self, *, daemon: bool, start: Callable[[Strand], object]) -> Strand:
        """Start a strand and wait, without a decision, until it is about to run user code."""
        if self.ending:
            raise Unwind
        parent = self.current
        self.born += 1
        child = Strand(self.born, parent, daemon=daemon)
        self.strategy.admit(child)
        self.alive.append(child)
        try:
            start(child)
        except BaseException:
            self.alive.remove(child)
            raise
        self._park(parent)
        self.changed()
        return child

    def enter(self, me: Strand) -> None:
        """First thing a new OS thread does: take over as the strand that runs."""
        me.ident = _real.get_ident()
        self.current = me
        self.ident = me.ident

    def booted(self, me: Strand) -> None:
        """The strand is about to run user code: give the baton back to who started it."""
        me.booting = False
        me.quiet -= 1
        if me.parent is not None:
            self.hand_over(me.parent)
            self._park(me)

    def finish(self, me: Strand) -> None:
        """Last thing a strand does: pass the baton on, for ever."""
        me.finished = True
        abandoned.discard(me.ident)
        if me not in self.alive:
            return  # a forsaken strand that came back: nobody waits for it
        self.alive.remove(me)
        me.sentinel()
        self._reaping.append(me)
        if me.booting and me.parent is not None and not self.ending:
            self.hand_over(me.parent)
            return
        self._leave(me)

    def _leave(self, me: Strand) -> None:
        me.steps += 1
        self.step += 1
        over = self.root.finished and all(s.daemon for s in self.alive)
        if self.ending or self.failure is not None or over:
            self._end(me)
            return
        choice = self._choose(me, staying=False, yielding=False)
        if choice is None:
            self._end(me)
        else:
            self.hand_over(choice)

    def fail(self, error: BaseException) -> None:
        """Record a failure; the run ends at the next point."""
        if self.failure is None:
            self.failure = error
        else:
            self.later.append(f"{type(error).__name__}: {error}")
        self.alarm = 0

    # -- the end of a run ----------------------------------------------------------------------

    def _end(self, me: Strand) -> None:
        """Hand control to the controller; a strand that is not finished is unwound by it."""
        if self.log is not None and not self.ending:
            self._note(me, None, forced=False, staying=not me.finished)
        self.ending = True
        self.alarm = 0
        self.ident = 0
        self.done.release()
        if not me.finished:
            self._park(me)

    def _unwinding(self, me: Strand, cost: int = 1) -> None:
        """A point while unwinding: no switches; a loop that swallows everything is given up."""
        me.unwound += cost
        if me.unwound > UNWIND_LIMIT:
            self.forsake(me)
            self.done.release()
            while True:  # for ever: there is no other way to end a thread that will not
                me.baton.wait()
        if me.unwound % UNWIND_POINTS == 0:
            raise Unwind

    def forsake(self, strand: Strand) -> None:
        """Take control from a strand that cannot be ended."""
        self.stuck = True
        self.ident = 0
        self.current = Strand(-1, None, daemon=True)
        if strand in self.alive:
            self.alive.remove(strand)
        abandoned.add(strand.ident)
        if self.failure is None:
            self.failure = LeftoverError(strand.name)

    # -- what people read ----------------------------------------------------------------------

    def _line_of(self, strand: Strand) -> Line:
        return user_line(_frames.frames().get(strand.ident))

    def blocked(self) -> list[str]:
        """Tell what each blocked strand waits for, and where."""
        frames = _frames.frames()
        return [
            f"{s.name} waits for {s.wait.describe()} at {user_line(frames.get(s.ident))}"
            for s in self.alive
            if s.wait is not None
        ]

    def _note(self, me: Strand, choice: Strand | None, *, forced: bool, staying: bool) -> None:
        log = self.log
        if log is None:
            return
        if me.finished:
            why = "ends"
        elif not staying and me.wait is not None:
            why = f"waits for {me.wait.describe()}"
        elif choice is None:
            why = "the run ends here"
        else:
            why = "is switched away" if forced else "gives way"
        if forced and choice is not None:
            why += f", {choice.name} goes on"
        line = None if me.finished else user_line(sys._getframe(2))
        log.append(Turn(me.name, line, why, forced))


def _next(me: Strand, enabled: list[Strand], *, yielding: bool) -> Strand:
    """Who goes on when nothing forces a choice: the oldest; after a yield, the next in turn."""
    if yielding:
        return next((s for s in enabled if s.number > me.number), enabled[0])
    return enabled[0]
