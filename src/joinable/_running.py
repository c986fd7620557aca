"""A task whose call runs in a thread: in its scope, for its time, and to its end.

Who may run between which lines. The thread that runs the call completes the task, unless the timer
has given it up before: `_finish` lets one of them through. Whoever joins lists a latch under the
task's lock, where `_gone` is looked at; the thread sets `_gone` under the same lock, and then
releases every latch. So either the joiner sees it gone, or the thread sees the joiner.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import threading
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED

from joinable import _events, _frames, _park, _runtime, _timer, _unasked
from joinable._errors import Cancelled, DeadlineExceeded
from joinable._limits import too_late
from joinable._scope import run_in
from joinable._task import Task
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable

    from joinable._chain import Link
    from joinable._launch import Launch
    from joinable._scope import CancelScope
    from joinable._typing import Lock, T

__all__ = ["LAST_MOMENT", "Running"]

# Seconds that a call which has used up its time gets to clean up, before its task is completed.
LAST_MOMENT = 1.0

abandoned: set[Running[object]] = set()
"""What was given up and still runs. Adding, discarding and copying are atomic on every build."""


class Running(Task["T"]):
    """What `Thread` is beside its start: the run of the call."""

    _launch: Launch | None = None
    _gone = False
    _joiners: list[Lock] | None = None
    _timeout: float | None = None

    if TYPE_CHECKING:

        def is_alive(self) -> bool: ...
        def _let_go(
            self,
        ) -> tuple[Callable[[], T], contextvars.Context, CancelScope, Link | None]: ...

    def _run_body(self) -> None:
        body, context, scope, parent = self._let_go()
        try:
            if _events.observers:
                _events.emit(_events.Kind.STARTED, self)
            result = context.run(run_in, scope, parent, body)
        except BaseException as error:  # noqa: BLE001  whatever it raised is the outcome
            # Let go before anybody is told: who waits for the end may look at what is left.
            del body, context, parent
            self._failed(scope, error)
            del scope  # the error's traceback may lead here
        else:
            del body, context, parent
            if scope._has_run_out(None):
                self._finish(
                    FINISHED, exception=too_late(self._timeout or 0.0, repr(self._name), None)
                )
            else:
                self._finish(FINISHED, result)

    def _failed(self, scope: CancelScope, error: BaseException) -> None:
        """Complete the task: by an error, or because it was asked to stop."""
        late = scope._has_run_out(error)
        if not late and scope._has_asked(error):
            self._finish(CANCELLED_AND_NOTIFIED)
            return
        self._annotate(error)
        outcome = too_late(self._timeout or 0.0, repr(self._name), error) if late else error
        if not self._finish(FINISHED, exception=outcome) and not isinstance(error, Cancelled):
            self._report_late(error)

    def _give_up(self) -> None:
        """Complete the task whose call does not stop: on the timer's thread."""
        # Before the end is told: one that ends at this very moment would stay in it.
        abandoned.add(self)  # type: ignore[arg-type]  # a thread gives out a T, and takes none
        error = DeadlineExceeded(
            self._timeout or 0.0, [(self._name, _frames.current_line(self._runner))]
        )
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
        self._scope = None
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
            return _park.park(held, _runtime.until(timeout)) or self._gone
        except Cancelled:
            if not self._gone:
                raise
            return True  # cancelled at the moment of the end: there is nothing to wait for
        finally:
            with self._mutex:
                if self._joiners and held in self._joiners:
                    self._joiners.remove(held)

    def _annotate(self, error: BaseException) -> None:
        if self._launch is not None:
            place = _frames.show(self._launch.place)
            _frames.note(error, f"in thread {self._name!r}, started at {place}")

    def _report_late(self, error: BaseException) -> None:
        """Report an error for which the task has no place: it was completed by somebody else."""
        traceback = _frames.trimmed(error.__traceback__)
        arguments = threading.ExceptHookArgs((type(error), error, traceback, self))
        _unasked.report(lambda: arguments)
