"""What came of a call: written once, told to everybody, and waited for.

The inner half of `Task`. State, and what guards it. `_mutex` guards `_state`, `_result`,
`_exception`, `_waiters`, `_done_callbacks` (a Future's own names, which `wait`, `as_completed` and
`asyncio` read), and `_latches`, `_made_condition`, `_debt`. `_state` only moves forward:

    PENDING -> RUNNING -> FINISHED
    PENDING or RUNNING -> CANCELLED_AND_NOTIFIED     (a Future's CANCELLED is passed over)

Who may run between which lines: a waiter looks at `_state` and adds its latch under the lock; the
finisher writes the outcome under the same lock, and then releases every latch. So either the waiter
saw the outcome, or the finisher saw the latch: no wake-up is lost. The outcome is written before
`_state`, and `_state` is read first: on a free-threaded build `done()` and the quick path of
`result()` read it without the lock, and what they read after it was written before it.

Ctrl-C may come between any two lines on the main thread, which runs `_finish` when it cancels: what
there is to wake and to call stays in `_latches` and `_done_callbacks` until it is done with, and is
gone through again after an interrupt.

Why no Condition: making one costs more than the whole rest of a task. One latch (a plain lock) is
made a waiter; the Condition that `concurrent.futures.wait` locks is made when it is first read.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from concurrent.futures._base import (
    CANCELLED,
    CANCELLED_AND_NOTIFIED,
    FINISHED,
    PENDING,
    RUNNING,
)

from joinable import _chain, _events, _frames, _park, _runtime
from joinable._check import check_seconds
from joinable._debt import Debt
from joinable._errors import Cancelled, DeadlineExceeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Protocol

    from joinable._typing import Lock, T

    class Lender(Protocol):
        """Whose limit a call counts for that waits for another one of the same."""

        def lend(self) -> bool: ...
        def take_back(self, deadline: float) -> None: ...


__all__ = ["Outcome"]

# The logger that a Future's failing callbacks have always gone to.
_LOGGER = logging.getLogger("concurrent.futures")

# A Future's states are strings. `CANCELLED` itself only ever comes from outside (a test sets it).
CANCELLED_STATES = frozenset((CANCELLED, CANCELLED_AND_NOTIFIED))
DONE_STATES = CANCELLED_STATES | {FINISHED}
BEGUN_OR_NOT = frozenset((PENDING, RUNNING))
_KINDS = {FINISHED: _events.Kind.DONE, **dict.fromkeys(CANCELLED_STATES, _events.Kind.CANCELLED)}


class Outcome(Future["T"]):
    """A Future's state, how it ends, and how it is waited for."""

    # What a task begins with, on the class: each attribute that is set only when needed makes a
    # task cheaper.
    _traceback: TracebackType | None = None
    _made_condition: threading.Condition | None = None
    _runner: int | None = None
    _asked: bool = False
    _debt: Debt | None = None
    _name: str = "task"
    _crew: Lender | None = None
    _spawn: _events.Spawn | None = None  # for those who watch

    if TYPE_CHECKING:
        report_after: float | None

    def __init__(self) -> None:
        """Be pending, and run by nothing: for the library's own use."""
        # Not Future's constructor: it makes a Condition.
        self._mutex = _runtime.allocate_mutex()
        self._state = PENDING
        self._result: T | None = None
        self._exception: BaseException | None = None
        self._waiters = []
        self._done_callbacks: list[Callable[[Future[T]], object]] = []
        self._latches: list[Lock] = []

    # ---------------------------------------------------------------- the end

    def _finish(
        self,
        state: str,
        result: T | None = None,
        exception: BaseException | None = None,
        allowed: frozenset[str] = BEGUN_OR_NOT,
    ) -> bool:
        """Write the outcome and wake everybody; False, and nothing is done, from another state."""
        # Before the lock: an exception's class may have its own idea of `with_traceback`.
        traceback = None if exception is None else _frames.cut(exception)
        with self._mutex:
            if self._state not in allowed:
                return False
            self._result, self._exception, self._traceback = result, exception, traceback
            self._state = state  # last: whoever reads it without the lock may read the rest
            # A waiter that has its latch takes the error, or sees to the report (`_wait`).
            unasked = exception is not None and not self._latches and not self._asked
            if self._waiters:
                self._tell_waiters()
            if self._made_condition is not None:
                self._made_condition.notify_all()
        # A function that is called for nothing costs most on a processor that has just come.
        try:
            if _events.observers:  # first: who is woken may end the recording at once
                _events.emit(_KINDS[state], self)
            if self._latches or self._done_callbacks:
                self._announce()
        except BaseException:
            # Ctrl-C between two wake-ups: who is left must be woken all the same.
            self._announce()
            raise
        finally:
            if unasked:
                self._watch()
        return True

    def _announce(self) -> None:
        self._wake()
        self._call_back()

    def _wake(self) -> None:
        """Release every latch; only the thread that changed the state is here, and may be twice."""
        while self._latches:
            # No matter if it was released already: by a canceller, or before an interrupt.
            _park.release(self._latches[-1])
            self._latches.pop()

    def _call_back(self) -> None:
        """Run the callbacks, each once, whatever one of them raises."""
        first: BaseException | None = None
        while self._done_callbacks:
            try:
                self._call_one(self._done_callbacks.pop(0))
            except BaseException as error:  # noqa: BLE001  raised below, when all have run
                first = first or error
        if first is not None:
            raise first

    def _tell_waiters(self) -> None:
        """Tell each `wait` and `as_completed` of `concurrent.futures`; needs the lock."""
        for waiter in self._waiters:
            if self._state in CANCELLED_STATES:
                waiter.add_cancelled(self)
            elif self._exception is not None:
                waiter.add_exception(self)
            else:
                waiter.add_result(self)

    def _call_one(self, callback: Callable[[Future[T]], object]) -> None:
        try:
            callback(self)
        except Exception:  # the standard library's rule: it costs the others nothing
            _LOGGER.exception("exception calling callback for %r", self)

    # ---------------------------------------------------------------- waiting

    def _wait(self, timeout: float | None) -> None:
        """Return when the task is done and its error, if any, is taken."""
        check_seconds(timeout, "timeout")
        if self._is_inherited():
            # Before the lock, which a thread that is not in this process may hold.
            raise RuntimeError(f"{self._name!r} runs in the process that forked this one, not here")
        try:
            self._wait_until_done(timeout)
            if self._state in CANCELLED_STATES:
                # What stopped the task may have been meant for us, too, and have come a moment
                # later: then we were stopped, and have not failed.
                _chain.checkpoint()
            self._ask()
        except BaseException:
            # Ctrl-C. The finisher may have counted on this waiter; it is reported only once.
            if self._exception is not None and self._state in DONE_STATES and not self._asked:
                self._watch()
            raise

    def _wait_until_done(self, timeout: float | None) -> None:
        """Wait; the loop is for a start that failed and was tried again."""
        deadline = _runtime.until(timeout)
        crew = self._crew
        if crew is None or not crew.lend():
            self._wait_to(deadline, timeout)
            return
        try:
            self._wait_to(deadline, timeout)
        finally:
            crew.take_back(deadline)

    def _wait_to(self, deadline: float, timeout: float | None) -> None:
        while self._state not in DONE_STATES:
            if not self._wait_once(deadline):
                raise DeadlineExceeded(timeout or 0.0, [(self._name, self._where())])

    def _where(self) -> str | None:
        """Tell where the call is now; None when it has not begun, or has ended."""
        return _frames.where(self._runner, self._origin())

    def _origin(self) -> _frames.Origin | None:
        """Tell what the call is, and where it comes from, as far as that is known."""
        return None

    def _wait_once(self, deadline: float) -> bool:
        latch = _park.latch()
        try:
            with self._mutex:
                if self._state in DONE_STATES:
                    return True
                self._refuse_to_wait()  # under the lock: a start that fails wakes who is listed
                self._latches.append(latch)
            woken = _park.park(latch, deadline, self)
        except Cancelled:
            if self._leave(latch):
                raise
            woken = True  # cancelled at the moment of the end: there is nothing to wait for
        except BaseException:  # Ctrl-C: nobody is to look for a latch that nobody waits for
            self._leave(latch)
            raise
        # Timed out, but the finisher has our latch already: then the task is done.
        return woken or not self._leave(latch)

    def _leave(self, latch: Lock) -> bool:
        """Take the latch back; False when the task is done, and the finisher has it."""
        with self._mutex:
            if self._state in DONE_STATES:
                return False
            if latch in self._latches:
                self._latches.remove(latch)
            return True

    def _is_inherited(self) -> bool:
        """Tell whether the call runs in the process from which this one was forked."""
        return False

    def _refuse_to_wait(self) -> None:
        if self._runner == _runtime.get_ident():
            raise RuntimeError(
                f"{self._name!r} would wait for itself: its result is there only when it has ended"
            )

    if not TYPE_CHECKING:  # for checkers it is the attribute that a Future has

        @property
        def _condition(self) -> threading.Condition:
            """What `concurrent.futures.wait` and `as_completed` lock; made when they first ask."""
            with self._mutex:
                if self._made_condition is None:
                    self._made_condition = threading.Condition(self._mutex)
                return self._made_condition

    # ---------------------------------------------------------------- an error nobody asked for

    def _ask(self) -> None:
        """Note that somebody takes the error, if there is one."""
        self._asked = True  # first: `_watch` looks at it when it has made the debt
        if self._debt is not None:
            self._debt.forgive()

    def _watch(self) -> None:
        """Have the error reported, unless somebody asks for it."""
        self._owe(self.report_after)

    def _owe(self, after: float | None) -> None:
        error = self._exception
        if error is None:
            return
        with self._mutex:  # two who waited may be interrupted at once
            debt = self._debt = self._debt or Debt(error, self._traceback, self._reporter())
        if self._asked:
            debt.forgive()
        debt.watch(after)  # not under the lock: it may call the user's hook

    def _reporter(self) -> threading.Thread | None:
        """Return the thread in whose name the error is reported."""
        return None
