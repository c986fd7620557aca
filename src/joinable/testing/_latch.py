"""A lock whose waits a `FakeClock` sees: what `_runtime.allocate_lock` makes under it.

A release hands the lock to the waiter that came first, under the ledger's mutex. So the waiter
counts as running from that moment on, and no other thread can take the lock in between.

It goes on working when the clock is gone: then its waits are a plain lock's.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from joinable.testing._waits import Outcome, Wait

if TYPE_CHECKING:
    from types import TracebackType

    from joinable.testing._waits import Ledger


class Latch:
    """A plain lock: one thread takes it, and any other may release it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._held = False
        self._queue: list[Wait] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002
        """Take it, as `threading.Lock.acquire`: a timeout is of real time."""
        if not blocking or timeout == 0:
            return self._take_now()
        patience = None if timeout < 0 else min(timeout, threading.TIMEOUT_MAX)
        return self._wait(None, patience) is Outcome.TAKEN

    def take(self, deadline: float | None) -> bool:
        """Take it by `deadline`, a time of the clock's."""
        outcome = self._wait(deadline, None)
        if outcome is Outcome.SET_FREE and deadline is not None:
            return self.acquire(timeout=max(0.0, deadline - self.ledger.now))
        return outcome is Outcome.TAKEN

    def _take_now(self) -> bool:
        with self.ledger.mutex:
            taken = not self._held
            self._held = True
            return taken

    def _wait(self, deadline: float | None, patience: float | None) -> Outcome:
        ledger = self.ledger
        wait = Wait(ledger.here(), deadline, self._queue)
        try:
            with ledger.mutex:
                if self._take_now():
                    return Outcome.TAKEN
                if ledger.passed(deadline):
                    return Outcome.EXPIRED
                ledger.enter(wait)
            return ledger.block(wait, patience)
        except BaseException:
            # Ctrl-C, after it was handed to us: somebody else is to have it.
            if wait.outcome is Outcome.TAKEN:
                self.release()
            raise

    def release(self) -> None:
        """Let go; the oldest waiter has it then."""
        with self.ledger.mutex:
            if not self._held:
                raise RuntimeError("release unlocked lock")
            if not self._queue:
                self._held = False
                return
            wait = self._queue[0]
            self.ledger.decide(wait, Outcome.TAKEN)
            wait.wake()

    def locked(self) -> bool:
        """Tell whether it is held."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.release()
