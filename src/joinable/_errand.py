"""A task of a pool: one call, which costs little as long as nobody asks for it while it runs.

Who may run between which lines. Whoever deletes `_fn` completes the task: a worker that runs it, or
who cancels it. Deleting an attribute is one step, see `_sealed`, where the end is told of.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING

from joinable import _chain, _events, _frames
from joinable._chain import LINK, OWNER, PARENT, current
from joinable._check import steady
from joinable._errors import Cancelled, InvalidStateError
from joinable._outcome import DONE_STATES
from joinable._sealed import Sealed
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from types import CodeType
    from typing import Any, NoReturn, Protocol

    from joinable import _closing
    from joinable._chain import Link, Seat
    from joinable._typing import Lock, T

    class Owner(Protocol):
        """Who has the call done: a `Host`, and what is asked of it here."""

        name: str
        fork: int

        @property
        def spots(self) -> Container[int]: ...

        def lend(self) -> bool: ...
        def take_back(self, deadline: float) -> None: ...

        def is_here(self) -> bool: ...
        def runner_of(self, errand: Errand[object]) -> int | None: ...
        def forget_call(self, errand: Errand[object]) -> None: ...
        def has_failed(self) -> None: ...


__all__ = ["Errand"]

# Looked up here, once: every task of a pool would do it.
_enter = current.set
_scope_here = current.get
_copy_context = contextvars.copy_context
_frame_at = sys._getframe


class Errand(Sealed["T"]):
    """One call that a pool was given, and what comes of it."""

    report_after = None

    if TYPE_CHECKING:
        _staff: Owner  # pyright: ignore[reportIncompatibleVariableOverride]
        _fn: Callable[..., T]
        _own_name: str
        _own_seat: Seat | None  # while it runs

    def __init__(  # noqa: PLR0913, PLR0917  a tuple of them would be an object more
        self,
        staff: Owner,
        number: int,
        called: str,
        fn: Callable[..., T],
        args: tuple[object, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Make a task that runs in a copy of the context of here; the caller's caller is told."""
        # Not the constructors above: what they make is made by `_furnish`, where it is needed. And
        # the fewer objects a task has while it waits, the less the garbage collector has to visit.
        try:
            frame = _frame_at(2)
        except ValueError:  # nothing in Python has called our caller: the exit of it, for one
            frame = _frame_at()
        self._staff = staff  # pyright: ignore[reportIncompatibleVariableOverride]
        self._number = number
        self._called = called
        self._code: CodeType = frame.f_code
        self._instruction = frame.f_lasti  # the line is looked up when somebody wants to know it
        self._context: contextvars.Context | None = _copy_context()
        self._args: tuple[object, ...] | None = args
        self._kwargs: dict[str, Any] | None = kwargs or None
        self._parent: Link | None = None if _scope_here() is None else _chain.in_force()
        self._exception = self._first = None
        self._told = False
        self._state = PENDING
        self._seal = self._place = None  # which costs nothing to count, in whatever thread
        self._fn = fn

    # ---------------------------------------------------------------- the run

    def run_here(  # noqa: C901, PLR0912  each call of a function of ours is felt
        self, told: list[Lock], record: _closing.Record
    ) -> bool:
        """Run the call on this worker; False if the thread must not be used again.

        What it puts in `told` is to be released by the worker, see `_lounge`.
        """
        try:
            fn = self._fn
            del self._fn
        except AttributeError:
            return True  # it was cancelled
        # It has these until somebody has claimed it.
        context: contextvars.Context = self._context  # type: ignore[assignment]
        args: tuple[Any, ...] = self._args  # type: ignore[assignment]
        kwargs = self._kwargs
        seat: Seat = [self, self._parent, None]
        self._context = self._args = self._kwargs = self._parent = None
        self._own_seat = seat
        if self._told:  # looked at when the scope can be made
            self._ask_to_stop()
        self._state = RUNNING
        if _events.observers:
            _events.emit(_events.Kind.STARTED, self)
        context.run(_enter, seat)
        try:
            if kwargs is None:
                result = context.run(fn, *args) if args else context.run(fn)  # which is quicker
            else:
                result = context.run(fn, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001  whatever it raised is the outcome
            if record.task:
                record.end_task(context.run)
            del context, fn, args, kwargs
            try:
                return self._end_badly(seat, error)
            finally:
                del self, seat  # the error's traceback leads here
        if record.task:  # before anybody has the result
            record.end_task(context.run)
        del context, fn, args, kwargs
        seat[OWNER] = self._own_seat = None
        if seat[LINK] is not None:
            self._leave_scope(seat)
        if not _events.observers:
            self._result = result  # first: who finds the seal gone takes it for written
            try:
                del self._seal
            except AttributeError:
                pass  # somebody has needed the lock
            else:
                self._state = FINISHED
                if self._first is not None:  # after that; see `_sealed`
                    told.append(self._first)
                return True
        self._finish(FINISHED, result)
        return True

    def _end_badly(self, seat: Seat, error: BaseException) -> bool:
        parent, scope = seat[PARENT], self._leave_scope(seat)
        asking = scope or parent
        self._own_seat = None
        try:
            if asking is None or not asking._has_asked(error):
                self._staff.has_failed()
            self._failed(parent, scope, error)
            return isinstance(error, (Exception, Cancelled))
        finally:
            del parent, scope, asking, seat, error, self

    # ---------------------------------------------------------------- cancelling

    @override
    def cancel(self) -> bool:
        if self._state in DONE_STATES or self._is_inherited():
            return self.cancelled()
        self._furnish()
        claimed: list[object] = []
        try:
            # In one step: what a Ctrl-C comes after is done.
            with contextlib.suppress(AttributeError):
                claimed.extend(map(delattr, (self,), ("_fn",)))
            if claimed:
                self._never_run()
                return True
        except BaseException:
            if claimed:
                self._never_run()
            raise
        self._told = True  # first: the worker looks at it when it has made what a scope hangs on
        self._ask_to_stop()
        return self._state not in DONE_STATES or self.cancelled()

    def _ask_to_stop(self) -> None:
        scope = self._make_scope()
        if scope is not None:
            scope.cancel(f"{self._name!r} was cancelled")

    def _never_run(self) -> None:
        self._let_go()
        try:
            self._finish(CANCELLED_AND_NOTIFIED)
        finally:
            self._staff.forget_call(self)  # type: ignore[arg-type]

    def _let_go(self) -> None:
        self._context = self._args = self._kwargs = self._parent = None

    def take_back(self) -> bool:
        """Have it never run, and nobody told: for the pool that has not given it out yet."""
        try:
            del self._fn
        except AttributeError:
            return False
        self._let_go()
        return True

    @override
    def set_running_or_notify_cancel(self) -> bool:
        self._refuse()

    @override
    def set_result(self, result: T) -> None:
        self._refuse()

    @override
    def set_exception(self, exception: BaseException | None) -> None:
        self._refuse()

    def fail(self, error: BaseException) -> None:
        """Complete it by an error, if nobody has begun it: there is no thread for it."""
        if self.take_back():
            self._finish(FINISHED, exception=error)

    def _refuse(self) -> NoReturn:
        raise InvalidStateError(f"{self!r} is completed by the pool that runs it, and nobody else")

    # ---------------------------------------------------------------- what it tells

    if not TYPE_CHECKING:
        # What others have on their class, see `Sealed`.

        @property
        def _crew(self):  # noqa: ANN202
            return self._staff

        @property
        def _name(self):  # noqa: ANN202
            own = vars(self).get("_own_name")
            return own or f"{self._staff.name}-{self._number} ({self._called})"

        @_name.setter
        def _name(self, name):  # noqa: ANN001, ANN202
            self._own_name = name

        @property
        def _runner(self):  # noqa: ANN202
            return self._staff.runner_of(self)

    @override
    def _seat(self) -> Seat | None:
        return vars(self).get("_own_seat")

    @override
    def _refuse_to_wait(self) -> None:
        if self._staff.is_here():  # as few who wait are
            super()._refuse_to_wait()

    @override
    def _reporter(self) -> threading.Thread:
        return threading.current_thread()

    @override
    def _is_inherited(self) -> bool:
        return self._staff.fork != _chain.forks[0]

    @override
    def _origin(self) -> _frames.Origin:
        return _frames.Origin(
            self._called, self._submitted() or f"submitted to {self._staff.name!r}"
        )

    def _submitted(self) -> str:
        place = _frames.place_in(self._code, self._instruction)
        return "" if place is None else f"submitted at {_frames.show(place)}"

    @override
    def _annotate(self, error: BaseException) -> None:
        submitted = self._submitted()
        _frames.note(error, f"in task {self._name!r}{submitted and ', '}{submitted}")

    @override
    @steady
    def __repr__(self) -> str:
        return f"<Task({self._name}, {self._outcome()})>"
