"""Who waits for what under a `FakeClock`: the books that the clock keeps.

`Ledger.mutex` guards everything here and in `_latch`. It is reentrant, since a finalizer may
release a latch between any two lines. Nobody blocks while holding it (a Condition lets go of it).

- A `Life` is a thread that the clock knows: one that the library started, or that has waited in it.
- A `Wait` is one wait of one life. What ends it (`Ledger.decide`) is settled once, under the mutex,
  by whoever comes first: a release, the clock, an end, an interrupt. In the same breath its life
  counts as running again, long before its thread does run. So "all wait" is never seen too early.

A service (a life that has called `receive`) waits for messages, and a message is put without our
knowing. So a service counts as waiting for good only when it has come back to `receive`, found
nothing there, while all others were waiting: whoever needs to know puts None ("look again") and
looks when it has come back. That a service sends nothing to another service is assumed.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import threading
from typing import TYPE_CHECKING, Any

from joinable import _frames, _runtime

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable

    from joinable._typing import Lock

#: Seconds by which a deadline may lie ahead and count as passed: 0.1 + 0.2 is more than 0.3.
TOLERANCE = 1e-9
#: Seconds of real time after which something that should take no time is an error, not a hang.
PATIENCE = 30.0
#: The name of a thread that blocks in the place of another one, and that no clock counts.
HELPER = "joinable-clock"


class Outcome(enum.Enum):
    """What has ended a wait."""

    TAKEN = "taken"
    EXPIRED = "expired"
    GIVEN_UP = "given up"
    """An interrupt, or a limit of real time."""
    SET_FREE = "set free"
    """The clock was removed: what is left of the wait is for real time."""


class Life:
    """A thread that the clock knows."""

    def __init__(self, thread: threading.Thread | None = None, *, service: bool = False) -> None:
        self.thread = thread
        self.ident = None if thread is None else thread.ident
        self.service = service
        self.wait: Wait | None = None  # None: it runs, as far as the clock knows
        self.channel: queue.SimpleQueue[Any] | None = None  # of a service
        self.visits = 0  # how often the service has found its channel empty
        self.joiners: list[Wait] = []
        self.over = False

    def settled(self, visits: int) -> bool:
        """Tell whether a service has done all that it was told until it had so many visits."""
        on_a_latch = self.wait is not None and self.wait.channel is None
        return self.over or on_a_latch or self.visits >= visits


class Wait:
    """One wait of one thread."""

    def __init__(self, life: Life, deadline: float | None, row: list[Wait] | None) -> None:
        self.life = life
        self.deadline = deadline
        self.row = row  # who waits for the same, the oldest first
        self.outcome: Outcome | None = None
        self.channel: queue.SimpleQueue[Any] | None = None
        self.epoch = -1  # in which nobody but services has run since this wait began
        self.left = False  # its thread has come back
        self.signal: Lock | None = None

    def wake(self) -> None:
        """Let its thread come back; after the outcome is written."""
        if self.channel is not None:
            self.channel.put(None)
        elif self.signal is not None:
            self.signal.release()


class _Token:
    """Lies in a thread's local storage, which the interpreter empties when the thread ends."""

    def __init__(self, ledger: Ledger, life: Life) -> None:
        self.ledger = ledger
        self.life = life

    def __del__(self) -> None:
        self.ledger.end(self.life)


class Ledger:
    """All lives, all waits, and the time."""

    def __init__(self, now: float, *, autojump: bool) -> None:
        self.mutex = _runtime.allocate_mutex()
        self.now = now
        self.autojump = autojump
        self.over = False
        self.allocate_lock = _runtime.allocate_lock  # the real one: the clock is not there yet
        self.acquire = _runtime.acquire
        self._changed = threading.Condition(self.mutex)
        self._lives: list[Life] = []
        self._timed: list[tuple[float, int, Wait]] = []  # a heap; decided waits are skipped
        self._serial = itertools.count()  # of two waits with one deadline the older is first
        self._epoch = 0  # how often a thread other than a service began to run
        self._here = threading.local()

    # ---------------------------------------------------------------- lives

    def begin(self, thread: threading.Thread | None, *, service: bool = False) -> Life:
        """Count a thread from now on, as one that runs."""
        life = Life(thread, service=service)
        with self.mutex:
            self._lives.append(life)
            self._epoch += 1
        return life

    def settle_in(self, life: Life) -> None:
        """Say that the calling thread is `life`; its end will be noticed."""
        life.ident = _runtime.get_ident()
        self._here.token = _Token(self, life)

    def settle_out(self) -> None:
        """Say that the calling thread is not to be counted any more, until it waits again."""
        token: _Token | None = getattr(self._here, "token", None)
        if token is not None:
            del self._here.token
            self.end(token.life)

    def here(self) -> Life:
        """Return the life of the calling thread, from now on counted if it was not."""
        token: _Token | None = getattr(self._here, "token", None)
        if token is not None:
            return token.life
        with self.mutex:  # one step: `adopt` may do the same for this thread
            life = self._find(_runtime.get_ident()) or self.begin(None)
            self.settle_in(life)
        return life

    def adopt(self, service: threading.Thread) -> Life:
        """Count a service that was there before the clock, if it has not come by itself."""
        with self.mutex:
            return self._find(service.ident) or self.begin(service, service=True)

    def _find(self, ident: int | None) -> Life | None:
        return next((life for life in self._lives if life.ident == ident), None)

    def life_of(self, thread: threading.Thread) -> Life | None:
        """Find the life of a thread; None when the clock does not know it, or it has ended."""
        with self.mutex:
            return next((life for life in self._lives if life.thread is thread), None)

    def end(self, life: Life) -> None:
        """Count a thread no more, and wake who joins it."""
        with self.mutex:
            if life.over:
                return
            life.over = True
            life.thread = None
            self._lives.remove(life)
            while life.joiners:
                joiner = life.joiners[0]
                self.decide(joiner, Outcome.TAKEN)
                joiner.wake()
            self._moved()

    # ---------------------------------------------------------------- waits

    def passed(self, deadline: float | None) -> bool:
        """Tell whether the time is up."""
        return deadline is not None and deadline <= self.now + TOLERANCE

    def enter(self, wait: Wait, *, counted: bool = True) -> None:
        """Begin a wait; needs the mutex. Not counted: its end cannot be seen in time."""
        if wait.channel is None:
            wait.signal = self.allocate_lock()
            wait.signal.acquire()
        if wait.row is not None:
            wait.row.append(wait)
        if wait.deadline is not None:
            heapq.heappush(self._timed, (wait.deadline, next(self._serial), wait))
        if counted:
            wait.life.wait = wait
        if wait.channel is not None and wait.channel.empty():
            wait.life.visits += 1
            if all(life.wait is not None or life.service for life in self._lives):
                wait.epoch = self._epoch
        if self.over and wait.deadline is not None:
            self._finish(wait, Outcome.SET_FREE)
        self._moved()

    def block(self, wait: Wait, patience: float | None = None) -> Outcome:
        """Wait for the outcome, `patience` seconds of real time at most."""
        signal = wait.signal
        assert signal is not None  # noqa: S101  `enter` has made it
        try:
            if patience is None:
                self.acquire(signal, None)
            else:
                signal.acquire(timeout=patience)
        finally:
            self.leave(wait)
        return wait.outcome or Outcome.GIVEN_UP

    def leave(self, wait: Wait, outcome: Outcome = Outcome.GIVEN_UP) -> None:
        """Say that the thread has come back; the outcome counts if there is none yet."""
        with self.mutex:
            self.decide(wait, outcome)
            wait.left = True
            self._changed.notify_all()

    def decide(self, wait: Wait, outcome: Outcome) -> bool:
        """Settle what ended the wait; False when that is settled. Needs the mutex."""
        if wait.outcome is not None:
            return False
        wait.outcome = outcome
        if wait.row is not None:
            wait.row.remove(wait)
        if wait.life.wait is wait:
            wait.life.wait = None
            if not wait.life.service:
                self._epoch += 1
        return True

    def _finish(self, wait: Wait, outcome: Outcome) -> None:
        if self.decide(wait, outcome):
            wait.wake()

    def _first(self) -> Wait | None:
        """Return the wait with the earliest deadline; needs the mutex."""
        while self._timed and self._timed[0][2].outcome is not None:
            heapq.heappop(self._timed)
        return self._timed[0][2] if self._timed else None

    def _expire(self, wait: Wait) -> None:
        """Let the time be the deadline of this wait, and end it."""
        # `now` is written first: who comes back must find that its deadline has passed.
        self.now = max(self.now, wait.deadline or self.now)
        self._finish(wait, Outcome.EXPIRED)

    # ---------------------------------------------------------------- all wait

    def _moved(self) -> None:
        """Tell who looks at the books, and jump if nobody runs any more; needs the mutex."""
        self._changed.notify_all()
        if not self.autojump or self.over or any(life.wait is None for life in self._lives):
            return
        first = self._first()
        if first is None or self._doubtful():
            return
        self._expire(first)
        while (wait := self._first()) is not None and self.passed(wait.deadline):
            self._expire(wait)

    def _doubtful(self) -> bool:
        """Have every service look again that may have a message which we have not seen."""
        waits = [life.wait for life in self._lives if life.wait is not None]
        doubtful = [w.channel for w in waits if w.channel is not None and w.epoch != self._epoch]
        for channel in doubtful:
            # With a message there it will come back anyway; one more each time would never end.
            if channel.empty():
                channel.put(None)
        return bool(doubtful)

    # ---------------------------------------------------------------- for the test's thread

    def advance(self, seconds: float) -> None:
        """Let time pass, one deadline after the other."""
        with self.mutex:
            self._settle()
            target = self.now + seconds
            while (wait := self._first()) is not None and wait.deadline is not None:
                if wait.deadline > target + TOLERANCE:
                    break
                self._expire(wait)
                self._until_left(wait)
                self._settle()
            self.now = max(self.now, target)

    def _until_left(self, wait: Wait) -> None:
        if not self._changed.wait_for(lambda: wait.left, PATIENCE):
            raise RuntimeError(f"a thread does not come back from its wait in {PATIENCE:g} s")

    def _settle(self) -> None:
        """Return when every service has done what it was told, and waits; needs the mutex."""
        me = self.here()
        services = [life for life in self._lives if life.service and life is not me]
        due = [(life, life.visits + 1) for life in services]
        for life in services:
            if life.channel is not None:
                life.channel.put(None)
        if not self._changed.wait_for(lambda: all(x.settled(n) for x, n in due), PATIENCE):
            stuck = [_line(life) for life, visits in due if not life.settled(visits)]
            raise RuntimeError(
                f"a service of the library does not come to rest in {PATIENCE:g} s: "
                f"{'; '.join(stuck)}; a hook that it calls must not wait for the test"
            )

    def until_waiting(self, threads: int, patience: float) -> int:
        """Return when so many threads wait with a deadline, or how many do when time is up."""
        with self.mutex:
            self._changed.wait_for(lambda: self._waiting() >= threads, patience)
            return self._waiting()

    def _waiting(self) -> int:
        waits = [entry[2] for entry in self._timed]
        return sum(wait.outcome is None and not wait.life.service for wait in waits)

    def close(self) -> None:
        """Set every timed wait free; untimed ones go on as they are."""
        with self.mutex:
            self.over = True
            while (wait := self._first()) is not None:
                self._finish(wait, Outcome.SET_FREE)

    def help(
        self, work: Callable[[], object], deadline: float, undo: Callable[[], object] | None
    ) -> Outcome:
        """Wait for the end of `work`, which blocks where we cannot see, in a thread of its own.

        That thread stays until `work` ends, however long that is. The wait is not counted.
        """
        wait = Wait(self.here(), deadline, None)

        def labour() -> None:
            work()
            with self.mutex:
                if self.decide(wait, Outcome.TAKEN):
                    wait.wake()
                elif undo is not None:
                    undo()

        with self.mutex:
            # Before `enter`: where no thread can be had, there is no wait. It cannot decide yet.
            threading.Thread(target=labour, name=HELPER, daemon=True).start()
            self.enter(wait, counted=False)
        return self.block(wait)


def _line(life: Life) -> str:
    thread = life.thread
    if thread is None:
        return "a thread"
    return f"{thread.name!r} {_frames.where(thread.ident)}"
