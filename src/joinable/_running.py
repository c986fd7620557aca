"""A task whose call runs in a thread: in its scope, for its time, and to its end.

Who may run between which lines. The thread that runs the call completes the task, unless the timer
has given it up before: `_finish` lets one of them through. Whoever joins lists a latch under the
task's lock, where `_gone` is looked at; the thread sets `_gone` under the same lock, and then
releases every latch. So either the joiner sees it gone, or the thread sees the joiner.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import os
import threading
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED

from joinable import _closing, _events, _frames, _park, _runtime, _timer, _unasked
from joinable._chain import LINK, OWNER, PARENT
from joinable._check import called
from joinable._errors import Cancelled, DeadlineExceeded
from joinable._limits import too_late
from joinable._scope import run_in, task_scope
from joinable._task import Task
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable

    from joinable._chain import Link, Seat
    from joinable._launch import Launch
    from joinable._scope import CancelScope
    from joinable._typing import Lock, T

__all__ = ["LAST_MOMENT", "Running"]

# Seconds that a call which has used up its time gets to clean up, before its task is completed.
LAST_MOMENT = 1.0

abandoned: set[threading.Thread] = set()
"""What was given up and still runs. Adding, discarding and copying are atomic on every build."""


class Running(Task["T"]):
    """What `Thread` is beside its start: the run of the call."""

    _launch: Launch | None = None
    _gone = False
    _joiners: list[Lock] | None = None
    _timeout: float | None = None
    _given_up = False  # or somebody was about to

    if TYPE_CHECKING:

        def is_alive(self) -> bool: ...
        def _begin(self) -> Launch | None: ...

    # ---------------------------------------------------------------- its scope

    @override
    def _make_scope(self) -> CancelScope | None:
        """Return the scope of the call, made now if it was not; None when the call has ended."""
        seat = self._seat()  # once: the end lets go of it
        if seat is None or self._is_inherited():
            return None
        with self._mutex:
            if seat[LINK] is None and seat[OWNER] is not None:
                seat[LINK] = task_scope(seat[PARENT])
        return seat[LINK]  # type: ignore[no-any-return]  # what `task_scope` makes

    def _seat(self) -> Seat | None:
        """Return what stands for the scope of the call; None before it and when it has ended."""
        launch = self._launch  # once: as above
        return None if launch is None else launch.seat

    def _leave_scope(self, seat: Seat) -> CancelScope | None:
        """Close the scope of the call, which has ended; None where it was never made.

        One that a `cancel` is just making comes too late.
        """
        seat[OWNER] = None
        scope: CancelScope | None = seat[LINK]
        if scope is not None:
            scope._close(stays=True)
        return scope

    # ---------------------------------------------------------------- the run

    def _run_body(self) -> bool:
        """Run what it is to run, and let go of it: whoever waits may look at what is left.

        False when there is nothing to run on this OS thread.
        """
        launch = self._begin()
        if launch is None:
            return False
        # Both are there, since `_begin` gives a launch out once.
        body: Callable[[], T] = launch.body  # type: ignore[assignment]
        context: contextvars.Context = launch.context  # type: ignore[assignment]
        launch.running, launch.body, launch.context = body, None, None
        try:
            if _events.observers:
                _events.emit(_events.Kind.STARTED, self)
            try:
                result = context.run(body)
            finally:
                record = _closing.left_by_task()
                if record is not None:
                    _end_in(launch, context, record)
        except BaseException as error:  # noqa: BLE001  whatever it raised is the outcome
            launch.running = None
            del body, context
            scope = self._leave_scope(launch.seat)
            self._failed(launch.seat[PARENT], scope, error)
        else:
            launch.running = None
            del body, context
            scope = self._leave_scope(launch.seat)
            if scope is not None and scope._has_run_out(None):
                self._finish(
                    FINISHED, exception=too_late(self._timeout or 0.0, repr(self._name), None)
                )
            else:
                self._finish(FINISHED, result)
        del launch, scope  # an error's traceback leads here: it must not keep what is around us
        record = _closing.left_by_task()
        if record is not None:  # of callbacks
            record.end_task()
        # Who gives it up writes that before the end: if we come too late to write that, it is seen.
        if self._given_up and _events.observers:
            _events.emit(_events.Kind.LEFT, self)
        return True

    def _failed(self, parent: Link | None, scope: CancelScope | None, error: BaseException) -> None:
        """Complete the task: by an error, or because it was asked to stop."""
        late = scope is not None and scope._has_run_out(error)
        asking = scope or parent
        if not late and asking is not None and asking._has_asked(error):
            self._finish(CANCELLED_AND_NOTIFIED)
            return
        self._annotate(error)
        outcome = too_late(self._timeout or 0.0, repr(self._name), error) if late else error
        if not self._finish(FINISHED, exception=outcome) and not isinstance(error, Cancelled):
            self._report_late(error)

    def _give_up(self) -> None:
        """Complete the task whose call does not stop: on the timer's thread."""
        # Before the end is told: one that ends at this very moment would stay in it.
        self._given_up = True
        abandoned.add(self)  # type: ignore[arg-type]  # as every `Running` with a timeout, it is a thread
        error = DeadlineExceeded(self._timeout or 0.0, [(self._name, self._where())])
        self._annotate(error)
        if not self._finish(FINISHED, exception=error):
            abandoned.discard(self)

    @override
    def _call_back(self) -> None:
        """Run the callbacks; a slow one must not keep the timer from the deadlines of others."""
        if not self._done_callbacks or not _timer.is_here():
            super()._call_back()
            return
        try:
            _runtime.start_service(super()._call_back, "joinable-callbacks")
        except RuntimeError:  # no thread can be had
            super()._call_back()

    def _end(self) -> None:
        """Let go of what was for the run, and tell who joins; the last that the thread does."""
        launch = self._launch
        if launch is not None and launch.timer is not None:
            launch.timer.cancel()
            abandoned.discard(self)
        self._launch = None  # it leads to the scopes around this task
        with self._mutex:
            self._gone = True
            while self._joiners:
                _park.release(self._joiners[-1])
                self._joiners.pop()

    def _wait_for_end(self, timeout: float | None) -> bool:
        """Wait until the thread is about to end; False when the time is up."""
        held = _park.latch()
        try:
            with self._mutex:
                if self._gone:
                    return True
                if self._joiners is None:
                    self._joiners = []
                self._joiners.append(held)
            return _park.park(held, _runtime.until(timeout), self) or self._gone
        except Cancelled:
            if not self._gone:
                raise
            return True  # cancelled at the moment of the end: there is nothing to wait for
        finally:
            with self._mutex:
                if self._joiners and held in self._joiners:
                    self._joiners.remove(held)

    @override
    def _is_inherited(self) -> bool:
        launch = self._launch  # once: the end lets go of it
        return launch is not None and launch.process != os.getpid()

    @override
    def _origin(self) -> _frames.Origin | None:
        launch = self._launch  # once: the end lets go of it
        if launch is None:
            return None
        return _frames.Origin(self._called_now(launch), f"started at {_frames.show(launch.place)}")

    def _called_now(self, launch: Launch) -> str | None:
        """Name the function that is being called, as far as that is known."""
        return None if launch.running is None else called(launch.running)

    def _annotate(self, error: BaseException) -> None:
        launch = self._launch  # once: the end lets go of it
        if launch is not None:
            place = _frames.show(launch.place)
            _frames.note(error, f"in thread {self._name!r}, started at {place}")

    def _report_late(self, error: BaseException) -> None:
        """Report an error for which the task has no place: it was completed by somebody else."""
        traceback = _frames.trimmed(error.__traceback__)
        arguments = threading.ExceptHookArgs((type(error), error, traceback, self))
        _unasked.report(lambda: arguments)


def _end_in(launch: Launch, context: contextvars.Context, record: _closing.Record) -> None:
    """Close what belongs to the call that has ended: in its context, and in its scope."""
    record.end_task(lambda close: context.run(run_in, launch.seat, close))
