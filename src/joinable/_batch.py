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

import functools
import threading

from joinable import _chain, _closing, _events
from joinable._calls import Calls, Spot, note_failures
from joinable._check import short
from joinable._errors import Cancelled, CancelledError
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joinable._workers import Job

__all__ = ["Batch", "taken"]


def taken() -> object:
    """Stand in the place of a call that somebody has taken."""
    raise AssertionError("a call of run_all was taken twice")


class Batch(Calls):
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
        super().__init__(max_workers, timeout, return_exceptions=return_exceptions)
        self.calls = calls
        self.keys = range(len(calls)) if keys is None else keys
        self.todo = list(range(len(calls) - 1, -1, -1))  # taken from the end: the first call first
        self.results: list[object] = [None] * len(calls)

    # ---------------------------------------------------------------- the caller's part

    def run(self) -> None:
        """Run everything, and wait for all, whatever happens."""
        _chain.checkpoint()
        self.open()
        try:
            self._run()
        finally:
            self.close_scope()

    def _run(self) -> None:
        try:
            self.call()
            if not self.wait(self.deadline) or (self.stopped is not None and self.stopped._late):
                self.be_late()
        except BaseException as error:  # Ctrl-C, or the system has no more threads
            self.leave(error)
            raise

    def first_failure(self) -> BaseException | None:
        """Return what is to be raised, with the later failures in a note; None after a success."""
        error = self.failures[0][1] if self.failures else self.asked
        if error is None:
            if self.stopped is None:
                return None
            return CancelledError("the scope of this run_all was cancelled")
        note_failures(error, self.failures[1:], self.what)
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
    def say(self, index: int) -> str:
        return f"call {short(self.keys[index])}"

    @override
    def counts(self) -> str:
        return f"{super().counts()}, {len(self.todo)} of {len(self.results)} calls waiting"

    @override
    def title(self, index: int) -> object:
        return self.keys[index]

    @override
    def stop(self) -> None:
        self.todo.clear()

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
        record = _closing.mine()
        me.name = f"run_all-{len(self.lanes)}"
        spot, first, clean = Spot(), True, True
        call = self._watched_call if _events.observers else self._call
        while clean:
            try:
                spot.index = index = pop()
            except IndexError:
                break
            if first:
                self.running[me] = spot
                self.arrived(job)
                first = False
            if self.left:  # it may not have been seen there by who has given us up
                break
            try:
                results[index] = call(index, record)
            except BaseException as error:  # noqa: BLE001  every one is kept, for the caller
                self._failed(index, error)
                clean = isinstance(error, (Exception, Cancelled))
        self.running.pop(me, None)
        return clean

    def _call(self, index: int, record: _closing.Record) -> object:
        call = self.calls[index]
        self.calls[index] = taken  # nothing of a finished call is kept
        context = self.context.copy()
        try:
            return context.run(call)
        finally:
            if record.task:
                record.end_task(context.run)

    def _watched_call(self, index: int, record: _closing.Record) -> object:
        fn = self.calls[index]
        sight = self.sight(index, fn)
        self.calls[index] = functools.partial(_events.watched, sight, self.is_asked, fn)
        del fn
        return self._call(index, record)

    def _failed(self, index: int, error: BaseException) -> None:
        if self.was_asked(error):
            if self.asked is not None:
                self.stop()
            return
        self.mark(index, error)
        if self.keeps(error):
            self.results[index] = error
        elif self.add_failure(index, error):
            self.todo.clear()
            self.scope.cancel(error)
