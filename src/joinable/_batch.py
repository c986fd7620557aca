"""The calls of one `run_all`, and the threads ("lanes") that run them.

Who may run between which lines. The lanes and the caller share one `Batch`. `todo` holds the
indices that nobody has taken; `list.pop` and `list.clear` are atomic on every build, so an index is
taken once, and after a `clear` none is. A lane alone writes `results[index]` of the index it took,
and the caller reads it after the lane has ended. `failures` is only appended to, which is atomic
too; its first entry is the first failure.

A lane whose call ends early takes the next one, so small calls use few threads. A call never waits
for the end of another one to start, unless the caller set a limit: while anything is left to take,
another lane is started.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextvars
import threading

from joinable import _chain, _frames, _runtime, _unasked
from joinable._check import short
from joinable._errors import Cancelled, CancelledError
from joinable._scope import task_scope
from joinable._thread import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joinable._scope import CancelScope

_NAMED = 10  # later failures that the note on the first one names; it says how many more there were


def _taken() -> object:
    """Stand in the place of a call that somebody has taken."""
    raise AssertionError("a call of run_all was taken twice")


class Batch:
    """The calls of one `run_all`, shared by the lanes that run them."""

    def __init__(
        self,
        calls: list[Callable[[], object]],
        keys: Sequence[object] | None,
        *,
        return_exceptions: bool,
    ) -> None:
        self.calls = calls
        self.keys = range(len(calls)) if keys is None else keys
        self.return_exceptions = return_exceptions
        self.todo = list(range(len(calls) - 1, -1, -1))  # taken from the end: the first call first
        self.results: list[object] = [None] * len(calls)
        self.failures: list[tuple[int, BaseException]] = []
        self.scope: CancelScope  # the calls' own
        self.lanes: list[Thread[None]] = []
        self.running: dict[threading.Thread, int] = {}  # what each lane took last
        self.cut = False  # a call was stopped by it
        self.context = contextvars.copy_context()  # never run in; every call has a copy of it
        self.place = _frames.caller()
        self.left = False  # a second Ctrl-C: nobody will look at `failures` any more

    def run(self, max_workers: int | None) -> None:
        """Run everything, and join it whatever happens."""
        _chain.checkpoint()
        # The calls are in the scope, and so in those around us. Who joins them is in none, to wait
        # for their end. Each in a context of its own: whatever Ctrl-C interrupts, the caller's
        # context is as it was.
        self.scope = task_scope(_chain.in_force())
        self.context.run(_chain.current.set, self.scope)
        outside = contextvars.copy_context()
        outside.run(_chain.current.set, None)
        try:
            outside.run(self._run, max_workers)
        finally:
            self.scope._close(stays=True)

    def _run(self, max_workers: int | None) -> None:
        try:
            # Loops in functions of their own: on 3.13 a Ctrl-C inside `while condition:` can skip
            # the `except` of its own frame (cpython#130279).
            self._start_lanes(max_workers or len(self.calls))
            self._join_lanes()
        except BaseException as error:  # Ctrl-C, or the system has no more threads
            try:
                self._leave(error)
            except BaseException as second:  # Ctrl-C again, wherever in `_leave` that was
                self.todo.clear()
                self.left = True
                _note_failures(second, self.failures)
                _frames.note(second, "run_all left these calls running: " + self._running())
                raise
            raise

    def _start_lanes(self, limit: int) -> None:
        while self.todo and len(self.lanes) < limit:
            lane: Thread[None] = Thread(
                target=self._lane,
                name=f"run_all-{len(self.lanes) + 1}",
                daemon=_runtime.daemons_allowed(),
            )
            self.lanes.append(
                lane
            )  # before the start: an interrupt inside it must not lose a thread
            lane.start()

    def _join_lanes(self) -> None:
        for lane in self.lanes:
            if not lane.cancelled():
                # `exception` first: one whose start was interrupted may not be ready for `join`.
                error = lane.exception()
                lane.join()
                if error is not None:  # a lane keeps the errors of its calls: this is our own
                    raise error

    def _leave(self, error: BaseException) -> None:
        """Start nothing more, ask what runs to stop, and join it."""
        self.todo.clear()
        self.scope.cancel(error)
        for lane in self.lanes:
            lane.cancel()  # one that was made but not started would be waited for in vain
        self._join_lanes()
        _note_failures(error, self.failures)

    def _running(self) -> str:
        return "; ".join(
            f"{short(self.keys[index])} at {_frames.current_line(lane.ident) or 'its end'}"
            # A copy is made at once; a lane may be about to note what it took.
            for lane, index in self.running.copy().items()
            if lane.is_alive()
        )

    def first_failure(self) -> BaseException | None:
        """Return what is to be raised, with the later failures in a note; None after a success."""
        if not self.failures:
            return CancelledError("the scope of this run_all was cancelled") if self.cut else None
        error = self.failures[0][1]
        _note_failures(error, self.failures[1:])
        # Its traceback leads to this object: do not close the circle, and keep nothing else alive.
        for kept in (self.failures, self.results, self.calls, self.lanes, self.running):
            kept.clear()
        self.scope._reason = None
        return error

    def _lane(self) -> None:
        """Take calls and run them until none is left: the life of one thread."""
        pop, results, me = self.todo.pop, self.results, threading.current_thread()
        while self.todo:
            try:
                index = pop()
            except IndexError:  # another lane was quicker
                return
            self.running[me] = index
            try:
                results[index] = self._call(index)
            except BaseException as error:  # noqa: BLE001  every error is kept, none may end a lane
                self._failed(index, error)

    def _call(self, index: int) -> object:
        call = self.calls[index]
        self.calls[index] = _taken  # nothing of a finished call is kept
        return self.context.copy().run(call)

    def _failed(self, index: int, error: BaseException) -> None:
        if isinstance(error, Cancelled) and error._scope is self.scope:
            self.cut = True
            return
        _frames.cut(error)
        key, place = short(self.keys[index]), _frames.show(self.place)
        _frames.note(error, f"in call {key} of the run_all at {place}")
        if self.left:
            self._report_late(error)
            return
        if self.return_exceptions and not isinstance(
            error, (KeyboardInterrupt, SystemExit, Cancelled)
        ):
            self.results[index] = error
            return
        self.failures.append((index, error))
        self.todo.clear()
        self.scope.cancel(error)

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
