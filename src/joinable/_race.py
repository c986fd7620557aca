"""`run_any`: the first success of several calls.

What it promises:

- The first call that succeeds gives the value; the others are asked to stop, and waited for.
- A call that fails is out of the race. When all have failed, all their errors are raised together.
- With `stagger` the calls start one after the other, the next as soon as one has failed.
- With `timeout` it comes back a second after that at the latest, whatever the calls do.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextvars
import functools

from joinable import _chain, _events, _frames, _runtime
from joinable._check import check_span
from joinable._combine import read_calls
from joinable._errors import Cancelled, CancelledError, DeadlineExceeded
from joinable._group import TaskGroup
from joinable._running import LAST_MOMENT
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from joinable._typing import T
    from joinable.sync import Semaphore

__all__ = ["run_any"]


def run_any(
    funcs: Iterable[Callable[[], T]],
    /,
    *,
    stagger: float | None = None,
    timeout: float | None = None,
) -> T:
    """Run the calls in threads and return what the first one returns that succeeds.

    The others are asked to stop, and have ended when this returns.

    Example:
        >>> from joinable import run_any, sleep
        >>> def slow() -> str:
        ...     sleep(60)
        ...     return "slow"
        >>> run_any([slow, lambda: "quick"])
        'quick'

    Args:
        funcs: What to call, without arguments; read to its end before anything starts. Each call
            runs in its own copy of the caller's context.
        stagger: Start the next call only so many seconds after the one before, or at once when one
            fails; 0.25 is usual for connections. None: start all at once.
        timeout: Wait so many seconds at most, and a second for those that stop when asked. None: as
            long as it takes.

    Returns:
        What the first call returned that did not raise.

    Raises:
        TypeError: An argument is of the wrong kind; nothing has been started.
        ValueError: There is nothing to call, or a number is negative; nothing has been started.
        ExceptionGroup: All have failed; their errors, in the order in which they ended.
        DeadlineExceeded: The time was up before one had succeeded; what had failed by then is its
            cause.
        Cancelled: A scope in force asks it to stop.
        CancelledError: A call has cancelled the scope of the calls (`current_scope().cancel()`).
        KeyboardInterrupt, SystemExit: A call has raised it.

    What fails beside a success is dropped: it has lost the race.

    Thread-safety: may be called by any thread at any time, in a call of its own, too.

    Cost: a call costs a hand-over to an idle thread, about a quarter of what a thread costs.

    Source: RFC 8305 ("Happy Eyeballs"), for `stagger`.
    """
    _, calls = read_calls(funcs, "run_any")
    if not calls:
        raise ValueError("run_any needs at least one function to call")
    if stagger is not None:
        check_span(stagger, "stagger")
    if timeout is not None:
        check_span(timeout, "timeout")
    _chain.checkpoint()  # else calls would start that are to stop at once
    race = _Race(calls, timeout)
    # In a context of its own: whatever Ctrl-C interrupts, the caller's is as it was.
    contextvars.copy_context().run(race.run, stagger)
    return race.result()  # type: ignore[return-value]  # what one of the calls has returned


class _Race(TaskGroup):
    """The calls of one `run_any`."""

    def __init__(self, calls: list[Callable[[], object]], timeout: float | None) -> None:
        super().__init__(name="run_any")
        self._calls = calls
        self._seconds = timeout
        self._scope._deadline = _runtime.until(timeout)
        self._won: list[object] = []
        self._lost: list[Exception] = []
        self._left: list[tuple[str, str | None]] = []
        self._late = False  # a call was stopped because the time was up
        self._next: Semaphore | None = None  # a permit for each that has failed
        self._place = _frames.caller()

    def run(self, stagger: float | None) -> None:
        """Start the calls, and wait for the end of all of them."""
        with self:
            self._start_all(stagger)

    def _start_all(self, stagger: float | None) -> None:
        if stagger is not None:
            from joinable.sync import Semaphore  # noqa: PLC0415  few need it, and all would load it

            self._next = Semaphore(0)
        for number, call in enumerate(self._calls):
            _ = self._start(call, functools.partial(self._try, number, call))
            if self._next is not None:
                self._next.acquire(timeout=stagger)

    def _try(self, number: int, call: Callable[[], object]) -> None:
        try:
            value = call()
        except Cancelled as stopped:
            self._late |= stopped._late and stopped._scope is self._scope
            raise
        except Exception as error:
            if self._left:
                raise  # nobody looks any more: it is reported
            _frames.cut(error)  # it is out of the race
            place = _frames.show(self._place)
            _frames.note(error, f"in call {number} of the run_any at {place}")
            if _events.observers:
                _events.emit(_events.Kind.FAILED, error)
            self._lost.append(error)
            if self._next is not None:
                self._next.release()
        else:
            self._won.append(value)
            self.cancel("another call has succeeded")

    def result(self) -> object:
        """Return the value of the first that has succeeded, or raise why there is none."""
        if self._won:
            return self._won[0]
        failed = self._failures() if self._lost else None
        try:
            if failed is not None and len(self._lost) == len(self._calls):
                raise failed
            raise self._unfinished() from failed
        finally:
            del self, failed  # the traceback leads here

    def _failures(self) -> ExceptionGroup:
        count = f"{len(self._lost)} of {len(self._calls)}"
        return ExceptionGroup(f"run_any: {count} calls failed", self._lost)

    def _unfinished(self) -> Exception:
        """Return why there is neither a success nor a failure of all."""
        if self._left or self._late or self._scope.deadline <= _runtime.monotonic():
            stopped = None if self._left else ("run_any", "its calls were stopped")
            return DeadlineExceeded(self._seconds or 0.0, self._left, stopped)
        return CancelledError("the scope of this run_any was cancelled")

    @override
    def _end_of_grace(self) -> float:
        return max(self._scope.deadline, _runtime.monotonic()) + LAST_MOMENT

    @override
    def _abandon(self) -> None:
        self._left = self._give_up(self._seconds or 0.0)
