"""The calls of one `run_all`, and the workers ("lanes") that run them.

Who may run between which lines. The lanes and the caller share one `Batch`. `todo` holds the
indices that nobody has taken; `list.pop` and `list.clear` are atomic on every build, so an index is
taken once, and after a `clear` none is. A lane alone writes `results[index]` of the index it took,
and the caller reads it when the crew is gone. `failures` is added to under the crew's lock; its
first entry is the first failure. `left` is written under the same lock when the caller gives up
those who are still there: an error is in `failures` when the caller looks there next, or reported.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextvars
import math
import threading

from joinable import _chain, _frames, _runtime, _unasked
from joinable._check import short
from joinable._crew import Crew
from joinable._errors import Cancelled, CancelledError, DeadlineExceeded
from joinable._running import LAST_MOMENT
from joinable._scope import task_scope
from joinable._typing import override
from joinable._verdict import say_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joinable._scope import CancelScope
    from joinable._workers import Job

_NAMED = 10  # later failures that the note on the first one names; it says how many more there were


def _taken() -> object:
    """Stand in the place of a call that somebody has taken."""
    raise AssertionError("a call of run_all was taken twice")


class Batch(Crew):
    """The calls of one `run_all`, shared by the lanes that run them."""

    def __init__(
        self,
        calls: list[Callable[[], object]],
        keys: Sequence[object] | None,
        *,
        max_workers: int | None,
        timeout: float | None,
        return_exceptions: bool,
    ) -> None:
        super().__init__(max_workers)
        self.calls = calls
        self.keys = range(len(calls)) if keys is None else keys
        self.timeout = timeout
        self.return_exceptions = return_exceptions
        self.todo = list(range(len(calls) - 1, -1, -1))  # taken from the end: the first call first
        self.results: list[object] = [None] * len(calls)
        self.failures: list[tuple[int, BaseException]] = []
        self.running: dict[threading.Thread, int] = {}  # what each lane took last
        self.scope: CancelScope  # the calls' own
        self.stopped: Cancelled | None = None  # what has stopped the first call that was
        self.asked: Cancelled | None = None  # the same, where a scope around us has asked
        self.context = contextvars.copy_context()  # never run in; every call has a copy of it
        self.place = _frames.caller()
        self.left = False  # nobody will look at `failures` any more

    # ---------------------------------------------------------------- the caller's part

    def run(self) -> None:
        """Run everything, and wait for all, whatever happens."""
        _chain.checkpoint()
        # The calls are in the scope, and so in those around us. Who waits for them is in none.
        deadline = _runtime.until(self.timeout)
        self.scope = task_scope(_chain.in_force(), deadline)
        self.context.run(_chain.current.set, self.scope)
        try:
            self._run(deadline)
        finally:
            self.scope._close(stays=True)

    def _run(self, deadline: float) -> None:
        try:
            self.call()
            if not self.wait(deadline) or (self.stopped is not None and self.stopped._late):
                self._stop_late(deadline)
        except BaseException as error:  # Ctrl-C, or the system has no more threads
            try:
                self._leave(error)
            except BaseException as second:  # Ctrl-C again, wherever in `_leave` that was
                self.todo.clear()
                with self.lock:
                    self.abandon()
                    self.left = True
                _note_failures(second, self.failures)
                left = say_calls(self._runners())
                _frames.note(second, f"run_all left these calls running: {left}")
                raise
            raise

    def _leave(self, error: BaseException) -> None:
        """Start nothing more, ask what runs to stop, and wait for its end."""
        if isinstance(error, DeadlineExceeded) and self.left:
            return
        self.todo.clear()
        self.scope.cancel(error)
        self.outlast(math.inf, "run_all", self._runners)
        _note_failures(error, self.failures)

    def _stop_late(self, deadline: float) -> None:
        """Give what runs a last moment; what waits has been stopped by the deadline itself."""
        self.todo.clear()
        if not self.wait(deadline + LAST_MOMENT):
            with self.lock:  # a lane sees it, or has added its failure
                self.left = self.abandon()
        if self.failures or self.asked:
            return
        unfinished = [(name, _frames.current_line(ident)) for name, ident in self._runners()]
        stopped = None
        if not unfinished:
            line = None if self.stopped is None else _frames.raised_at(self.stopped)
            stopped = ("run_all", f"it was stopped at {line}" if line else "it was stopped")
        self.left = True  # `_leave` has nothing to wait for
        raise DeadlineExceeded(self.timeout or 0.0, unfinished, stopped) from self.stopped

    def _runners(self) -> list[tuple[str, int | None]]:
        # A copy is made at once; a lane may be about to note what it took.
        running = self.running.copy().items()
        return [(f"call {short(self.keys[index])}", lane.ident) for lane, index in running]

    def first_failure(self) -> BaseException | None:
        """Return what is to be raised, with the later failures in a note; None after a success."""
        error = self.failures[0][1] if self.failures else self.asked
        if error is None:
            if self.stopped is None:
                return None
            return CancelledError("the scope of this run_all was cancelled")
        _note_failures(error, self.failures[1:])
        # Its traceback leads to this object: do not close the circle, and keep nothing else alive.
        for kept in (self.failures, self.results, self.calls):
            kept.clear()
        self.scope._reason = self.stopped = self.asked = None
        return error

    # ---------------------------------------------------------------- the lanes' part

    @override
    def has_more(self) -> bool:
        return bool(self.todo)

    @override
    def broke(self, error: BaseException) -> None:
        with self.lock:
            self.failures.append((-1, error))
        self.todo.clear()
        self.scope.cancel(error)

    @override
    def work(self, job: Job) -> bool:
        """Take calls and run them until none is left."""
        pop, results, me = self.todo.pop, self.results, threading.current_thread()
        me.name = f"run_all-{len(self.lanes)}"
        first = clean = True
        while clean:
            try:
                index = pop()
            except IndexError:
                break
            if first:
                self.arrived(job)
                first = False
            self.running[me] = index
            if self.left:  # it may not have been seen there by who has given us up
                break
            try:
                results[index] = self._call(index)
            except BaseException as error:  # noqa: BLE001  every one is kept, for the caller
                self._failed(index, error)
                clean = isinstance(error, (Exception, Cancelled))
        self.running.pop(me, None)
        return clean

    def _call(self, index: int) -> object:
        call = self.calls[index]
        self.calls[index] = _taken  # nothing of a finished call is kept
        return self.context.copy().run(call)

    def _failed(self, index: int, error: BaseException) -> None:
        if isinstance(error, Cancelled) and self.scope._has_asked(error):
            self._was_stopped(error)
            return
        _frames.cut(error)
        key, place = short(self.keys[index]), _frames.show(self.place)
        _frames.note(error, f"in call {key} of the run_all at {place}")
        if (
            self.return_exceptions
            and not self.left
            and not isinstance(error, (KeyboardInterrupt, SystemExit, Cancelled))
        ):
            self.results[index] = error
            return
        with self.lock:
            late = self.left
            if not late:
                self.failures.append((index, error))
        if late:
            self._report_late(error)
            return
        self.todo.clear()
        self.scope.cancel(error)

    def _was_stopped(self, error: Cancelled) -> None:
        if error._scope is self.scope:
            self.stopped = self.stopped or error
            return
        # No failure: it would hide one, and be swallowed by the scope that has asked.
        _frames.cut(error)
        self.asked = self.asked or error
        self.todo.clear()

    def _report_late(self, error: BaseException) -> None:
        thread = threading.current_thread()
        late = threading.ExceptHookArgs((type(error), error, error.__traceback__, thread))
        _unasked.report(lambda: late)


def _note_failures(error: BaseException, failures: Sequence[tuple[int, BaseException]]) -> None:
    """Name in a note on `error` the failures that are not raised."""
    if not failures:
        return
    named = "; ".join(short(other) for _, other in failures[:_NAMED])
    more = f"; and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
    _frames.note(error, f"{len(failures)} more failed in the same run_all: {named}{more}")
