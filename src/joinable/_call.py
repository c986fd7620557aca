"""A task that a worker runs: one call of a group.

Who may run between which lines. `cancel` and the lane that takes the call settle under the task's
lock whether it runs (`_begin`). The lane alone completes it, unless the group has given it up
before: `_finish` lets one of them through.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextvars
import threading
from concurrent.futures._base import FINISHED, PENDING, RUNNING

from joinable import _chain, _frames, _runtime
from joinable._chain import OWNER, PARENT
from joinable._check import steady
from joinable._errors import Cancelled, CancelledError, DeadlineExceeded
from joinable._launch import Launch
from joinable._running import Running
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import functools
    from typing import Protocol

    from joinable._chain import Link
    from joinable._crew import Crew
    from joinable._scope import CancelScope
    from joinable._typing import T

    class Owner(Protocol):
        """Who has made the call, and wants to know of its error first."""

        def _failed(self, error: BaseException) -> bool: ...
        def _stopping(self) -> CancelScope | None: ...


__all__ = ["Call"]


class Call(Running["T"]):
    """One call, and what comes of it."""

    report_after = None
    _noted = False  # the owner raises its error

    def __init__(
        self,
        owner: Owner,
        crew: Crew,
        parent: Link,
        name: str,
        body: functools.partial[T],
    ) -> None:
        """Make a call that is to run in a copy of the context of here, in the scope `parent`."""
        super().__init__()
        self._name = name
        self._owner = owner
        self._crew = crew
        self._launch = launch = Launch()
        launch.seat, launch.body = [self, parent, None], body
        launch.context = contextvars.copy_context()
        launch.context.run(_chain.current.set, launch.seat)
        self._asked = True  # the owner takes the error

    def run_here(self) -> bool:
        """Run the call on this worker; False if the thread must not be used again."""
        if not self._run_body():
            return True
        self._runner = self._launch = None
        error = self._exception
        return error is None or isinstance(error, (Exception, Cancelled))

    @override
    def _begin(self) -> Launch | None:
        """Claim the run for this worker; None when it was cancelled before."""
        with self._mutex:
            if self._state != PENDING:
                return None
            self._state = RUNNING
            self._runner = _runtime.get_ident()
        threading.current_thread().name = self._name
        return self._launch

    @override
    def cancel(self) -> bool:
        if self._is_inherited():
            return self.cancelled()  # who runs it is not here, and may have held its lock
        cancelled = super().cancel()
        launch = self._launch
        if launch is not None and self.cancelled() and self._runner is None:
            # It never runs: nothing of it is kept.
            launch.body = launch.context = None
            launch.seat[OWNER] = launch.seat[PARENT] = None
        return cancelled

    @override
    def _failed(self, parent: Link | None, scope: CancelScope | None, error: BaseException) -> None:
        asking = scope or parent
        if (asking is None or not asking._has_asked(error)) and not self.done():
            _frames.cut(error)
            try:
                self._asked = self._noted = self._owner._failed(error)
            finally:  # whatever a callback of a call raises that is cancelled for it
                super()._failed(parent, scope, error)
            return
        super()._failed(parent, scope, error)

    @override
    def _cancellation(self) -> CancelledError:
        error = super()._cancellation()
        error._scope = self._owner._stopping()  # type: ignore[attr-defined]  # who has asked for it
        return error

    @override
    def _watch(self) -> None:
        self._owe(0)  # at once: the group is over, and nobody else looks

    @override
    @steady
    def __repr__(self) -> str:
        return f"<Task({self._name}, {self._outcome()})>"

    @override
    def _report_late(self, error: BaseException) -> None:
        if not self._noted:
            super()._report_late(error)

    def give_up(self, seconds: float) -> bool:
        """Complete it, though it still runs; False if it has ended."""
        error = DeadlineExceeded(seconds, [(self._name, self._where())])
        self._annotate(error)
        self._given_up = True
        return self._finish(FINISHED, exception=error)
