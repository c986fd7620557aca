"""`TaskGroup`: a block that starts calls in threads and does not end before they have.

What it promises:

- When the block is left, no call of it runs any more. The exception is asked for by `grace`, and
  then the error names what was left.
- The first failure, of a call or of the block itself, asks all the rest to stop, wakes the block
  wherever it waits in the library, and lets nothing more be started.
- Every error is raised, in one `ExceptionGroup`: that of the block first, then in the order in
  which the calls ended. `KeyboardInterrupt` and `SystemExit` go bare, the others as their context.
- What was stopped because it was asked is no error.

Who may run between which lines. A spawn looks at `_closed` and adds its call to `todo` under the
crew's lock; who closes the group writes `_closed` under it, and takes out what nobody has taken, to
cancel it. So a call is refused, or run, or cancelled. At the end the group is closed in the same
step in which it is seen that nobody is there. `_errors` is added to, and read at the end, under the
same lock: what comes after that, of a call that was given up, is reported, and nothing is both.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import functools
import itertools
import math
import os
import sys
from weakref import ref

from joinable import _chain, _events, _frames, _live, _park, _runtime
from joinable._call import Call
from joinable._check import check_callable, check_span, check_workers, name_of, short, steady
from joinable._errors import Cancelled, CancelledError, DeadlineExceeded, GroupClosed
from joinable._hands import Hands
from joinable._limits import failing
from joinable._loops import is_being_cancelled, is_cancelled_error
from joinable._scope import CancelScope
from joinable._typing import override
from joinable._verdict import decide, raise_verdict, say_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from joinable._statistics import GroupStatistics
    from joinable._task import Task
    from joinable._typing import P, T

__all__ = ["TaskGroup"]

_NEW = "it has not been entered"
_numbers = itertools.count(1)


class TaskGroup:
    """Start calls in threads, and leave the block when all of them have ended.

    Example:
        >>> from joinable import TaskGroup
        >>> with TaskGroup() as group:
        ...     low = group.spawn(min, 3, 1, 2)
        ...     high = group.spawn(max, 3, 1, 2)
        >>> low.result(), high.result()
        (1, 3)

    The first failure asks the rest to stop and raises, in any case, an `ExceptionGroup`:

        >>> try:
        ...     with TaskGroup() as group:
        ...         task = group.spawn(int, "x")
        ... except* ValueError as failed:
        ...     print(len(failed.exceptions))
        1

    Args:
        max_workers: Run so many calls at a time at most; the others wait for their turn. A call
            that waits for another one of the group lends its place meanwhile. None: each has a
            thread at once, so they may wait for each other.
        timeout: Seconds that the block and its calls may take. `TaskGroup(timeout=t)` is
            `fail_after(t)` around a `TaskGroup()`.
        grace: Seconds that calls have to end once they were asked to stop; with 0 even one that
            would stop at once has none. What runs on is abandoned: see `abandoned_threads`. None:
            as long as it takes.
        name: The name of the group, with which those of its tasks begin.

    Raises:
        TypeError, ValueError: An argument is of the wrong kind.
        RuntimeError: On entering: it was entered before.
        ExceptionGroup: On leaving: the errors of the block and of its calls.
        DeadlineExceeded: On leaving: `timeout` has stopped it.
        KeyboardInterrupt, SystemExit: On leaving, bare, with all other errors as the context.

    What asks it to stop: `cancel`, `timeout`, a scope around it, a failure, Ctrl-C. A group whose
    block is never left is not waited for at the end of the program.

    Thread-safety: `spawn` and `cancel` may be called by any thread; one thread enters and leaves.

    Cost: a call costs a hand-over to an idle thread, about a quarter of what a thread costs.
    """

    def __init__(
        self,
        *,
        max_workers: int | None = None,
        timeout: float | None = None,
        grace: float | None = None,
        name: str | None = None,
    ) -> None:
        """Make a group that is not entered yet."""
        check_workers(max_workers)
        if timeout is not None:
            check_span(timeout, "timeout")
        if grace is not None:
            check_span(grace, "grace")
        if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"name must be a text, not {short(name)}")
        self._name = name or f"TaskGroup-{next(_numbers)}"
        self._limit = None if timeout is None else failing(timeout, repr(self._name))
        self._grace = math.inf if grace is None else grace
        self._scope = CancelScope()
        self._crew = Hands(max_workers, self._failed)
        self._errors: list[BaseException] = []
        self._told = False  # nobody will look at `_errors` any more
        self._verdict: BaseException | None = None  # what is about to be raised
        self._closed = _NEW
        self._told_to_stop = False
        self._process = os.getpid()
        self._serial = itertools.count(1)
        self._failed_calls = 0  # what `_errors` has had, which is emptied when all is raised
        self._max_workers = max_workers
        self._spawned = 0  # under the crew's lock

    @property
    def name(self) -> str:
        """The group's name; its tasks are named `name-1 (fn)` and so on.

        Example:
            >>> from joinable import TaskGroup
            >>> TaskGroup(name="fetchers").name
            'fetchers'
        """
        return self._name

    @override
    @steady
    def __repr__(self) -> str:
        crew = self._crew
        state = self._closed or "open"
        counts = f"{len(crew.running)} running, {len(crew.todo)} waiting"
        failed = f", {len(self._errors)} failed" if self._errors else ""
        return f"<{type(self).__name__} {self._name}: {state}; {counts}{failed}>"

    def statistics(self) -> GroupStatistics:
        """Return how many calls run, wait, have ended and have failed.

        Example:
            >>> from joinable import TaskGroup
            >>> with TaskGroup() as group:
            ...     tasks = [group.spawn(abs, n) for n in range(3)]
            >>> group.statistics().done
            3

        Thread-safety: may be called by any thread at any time. The numbers belong together, but
        that a call which goes to its thread at this very moment may count as done.

        Cost: some microseconds, for which no call is spawned.
        """
        from joinable._statistics import GroupStatistics  # noqa: PLC0415  few ask for it

        crew = self._crew
        limit = self._max_workers
        if self._process != os.getpid():  # a thread that is not here may hold the lock
            return GroupStatistics("of the process that forked this one", 0, 0, 0, 0, 0, limit)
        with crew.lock:
            spawned, waiting = self._spawned, len(crew.todo)
            # After that: a call that goes to its thread now is seen twice rather than not at all.
            running = min(len(crew.running), spawned - waiting)
            state, failed = self._closed or "open", self._failed_calls
        done = spawned - running - waiting
        return GroupStatistics(state, spawned, running, waiting, done, failed, limit)

    # ---------------------------------------------------------------- what may be asked of it

    def spawn(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Task[T]:
        """Have `fn(*args, **kwargs)` run in a thread of the group, in a copy of this context.

        A call of the group may spawn others into it, until the last of them has ended.

        Example:
            >>> from joinable import TaskGroup
            >>> with TaskGroup() as group:
            ...     tasks = [group.spawn(pow, 2, n) for n in range(4)]
            >>> [task.result() for task in tasks]
            [1, 2, 4, 8]

        Calls begin in the order in which they were spawned. What asks the group to stop, asks them.

        Args:
            fn: What to call.
            args: Its arguments.
            kwargs: Its arguments by name.

        Returns:
            The task at once; its `result()` waits for the call.

        Raises:
            TypeError: `fn` cannot be called.
            GroupClosed: The group has failed, was cancelled, or has ended: nothing more is started.
            RuntimeError: It was not entered, or the system can start no more threads.
        """
        check_callable(fn, "fn")
        return self._start(fn, functools.partial(fn, *args, **kwargs))

    def _start(self, fn: object, body: functools.partial[T]) -> Task[T]:
        crew = self._crew
        name = f"{self._name}-{next(self._serial)} ({name_of(fn)})"
        call: Call[T] = Call(self, crew, self._scope, name, body)
        if self._process != os.getpid():  # first: the lock may be held by a thread not here
            raise RuntimeError(f"{self._name!r} is of the process that forked this one")
        if _events.observers:
            _events.spawning(call)
        with crew.lock:
            self._refuse_if_closed()
            crew.todo.append(call)  # type: ignore[arg-type]  # a call gives out a T, and takes none
            self._spawned += 1
            if self._closed and crew.drop(call):  # type: ignore[arg-type]
                self._spawned -= 1
                self._refuse_if_closed()  # by a signal handler, which the lock lets in
        try:
            crew.call()
        except RuntimeError as error:  # no thread can be had
            dropped = crew.drop(call)  # type: ignore[arg-type]
            if crew.todo:  # others may have counted on the thread that was not to be had
                self._failed(RuntimeError(f"there is no thread for what waits: {error}"))
            if dropped:
                with crew.lock:
                    self._spawned -= 1
                raise
        return call

    def _refuse_if_closed(self) -> None:
        if not self._closed:
            return
        hint = ": write `with group:`, and spawn in its block" if self._closed is _NEW else ""
        refusal = GroupClosed(f"{self._name!r} takes no more calls: {self._closed}{hint}")
        refusal._scope = self._stopping()
        raise refusal

    def _stopping(self) -> CancelScope | None:
        """Return the scope in which a refusal is no error: None while nobody was told to stop."""
        if self._told_to_stop:
            return self._scope
        now = _runtime.monotonic()
        asked = any(scope._asks(now) for scope in _chain.reach(self._scope, now))
        return self._scope if asked else None

    def cancel(self, reason: str | BaseException | None = None) -> None:
        """Ask all that runs to stop, and start nothing more; leaving the block is no error then.

        May be called by any thread, by a signal handler, more than once, and before the block.

        Args:
            reason: Why, as for `CancelScope.cancel`.

        Example:
            >>> from joinable import TaskGroup, sleep
            >>> with TaskGroup() as group:
            ...     task = group.spawn(sleep, 60)
            ...     group.cancel("seen enough")
            >>> task.cancelled()
            True
        """
        if self._process != os.getpid():
            return  # its calls are not here, and a lock of it may be held by a thread not here
        self._close("it was cancelled")
        self._scope.cancel(reason)

    def _failed(self, error: BaseException) -> bool:
        """Note an error and ask the rest to stop; False if it comes too late to be raised."""
        if self._was_refused(error):
            return True
        with self._crew.lock:
            if self._told:
                return False
            self._errors.append(error)
            self._failed_calls += 1
        self._close("it has failed")
        self._scope.cancel(error)
        return True

    def _close(self, why: str) -> None:
        crew = self._crew
        with crew.lock:
            self._closed, self._told_to_stop = self._closed or why, True
            crew.drop_all()
            crew.tell_if_gone()
        try:
            crew.cancel_dropped()
        except BaseException:  # Ctrl-C, or a callback's: nobody else would cancel the others
            crew.cancel_dropped()
            raise

    # ---------------------------------------------------------------- in and out

    def __enter__(self) -> Self:
        """Open the group."""
        if self._scope._state is not _chain.NEW:
            raise RuntimeError(f"a group can be entered once, and this one was: {self!r}")
        try:
            if self._limit is not None:
                self._limit.__enter__()
            self._closed = "it was cancelled" if self._scope.cancelled else ""
            _live.entered[id(self)] = ref(self)
            # The last: were anything done after it when Ctrl-C comes, nobody would leave the scope.
            self._scope.__enter__()
        except BaseException:  # Ctrl-C: who was not let in does not leave, either
            self._closed = "it could not be entered"
            _live.entered.pop(id(self), None)
            if self._limit is not None and self._limit._state is _chain.ENTERED:
                self._limit.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool:
        """Wait for all that was started, and raise what went wrong."""
        limit = self._limit
        if limit is None:
            return self._leave(exc)
        try:
            swallowed = self._leave(exc)
        except BaseException as error:
            if limit.__exit__(type(error), error, error.__traceback__):
                return True
            raise
        else:
            left = (None, None, None) if swallowed else (exc_type, exc, traceback)
            return limit.__exit__(*left) or swallowed

    def _leave(self, exc: BaseException | None) -> bool:
        try:
            return self._end(exc, None)
        except BaseException as error:
            verdict, self._verdict = self._verdict, None
            if error is verdict or isinstance(error, Cancelled):
                raise
            if verdict is not None:  # Ctrl-C, just before that was raised
                error.__context__ = verdict
                raise
            interrupt = error  # Ctrl-C, on some line between
        # Again: nobody may be left behind, and nothing that has gone wrong be lost.
        try:
            return self._end(exc, interrupt)
        finally:
            self._verdict = None
            del exc, interrupt  # a traceback leads here: close no circle

    def _end(self, exc: BaseException | None, interrupt: BaseException | None) -> bool:
        if self._process != os.getpid() or sys.is_finalizing():
            return self._scope.__exit__(None, exc, None)  # nobody is here who could end
        # Before the join, which closes the group in any case.
        refused = exc is not None and self._was_refused(exc)
        body = None if exc is None or refused or self._scope._has_asked(exc) else exc
        first = exc if isinstance(exc, KeyboardInterrupt) else None
        if interrupt is None:
            try:
                # A function of its own: on 3.13 a Ctrl-C inside `while condition:` can skip the
                # `except` of its own frame (cpython#130279).
                self._join(body, exc)
            except BaseException as error:  # noqa: BLE001  Ctrl-C; raised below
                self._interrupted(error, first)
        else:
            self._told = False
            self._interrupted(interrupt, first)
        with self._crew.lock:
            self._told = True
            found = self._errors if body is None else [body, *self._errors]
        # Who asks for the result of a call that has failed fails with the very same error.
        errors = [*{id(error): error for error in found}.values()]
        swallowed = False
        try:
            if self._scope._state is _chain.ENTERED:
                swallowed = self._scope.__exit__(None, exc, None)
        except RuntimeError as misuse:  # left out of order
            errors = [*errors, misuse]
        _live.leave(self, stays=bool(self._crew.running))  # who was given up is still to be seen
        leaving = None if refused else exc
        self._verdict = verdict = decide(self._name, errors, leaving)
        self._errors = []  # it has all of them
        try:
            raise_verdict(verdict, leaving)
        finally:
            del (
                verdict,
                errors,
                found,
                body,
                exc,
                leaving,
                first,
                interrupt,
            )  # a traceback leads here
        return swallowed or refused

    def _was_refused(self, error: BaseException) -> bool:
        """Tell whether it only says that a group was told to stop: this one, or one around it.

        A call was refused then, or the result asked for of one that was stopped.
        """
        if isinstance(error, (GroupClosed, CancelledError)):
            return self._scope._is_in(getattr(error, "_scope", self))
        # What a coroutine gets that awaits such a call.
        return self._told_to_stop and is_cancelled_error(error) and not is_being_cancelled()

    def _interrupted(self, interrupt: BaseException, first: BaseException | None) -> None:
        """Ask all to stop and go on waiting; if that is interrupted again, wait no more."""
        try:
            if first is not None:
                raise interrupt  # noqa: TRY301  that one had ended the block
            self._failed(interrupt)
            self._outlast()
        except BaseException as second:  # noqa: BLE001  raised by `_leave`, as the first
            self._close("it was interrupted")
            self._crew.abandon()
            self._cancel_unbegun()
            left = say_calls(self._runners())
            text = f"{self._name!r} left these calls running: {left or 'none'}"
            _frames.note(first or second, text)  # what is raised
            self._errors.insert(0, second)

    # ---------------------------------------------------------------- waiting for the end

    def _join(self, body: BaseException | None, exc: BaseException | None) -> None:
        if body is not None:
            self._close("it has failed")
            self._scope.cancel(body)
        elif exc is not None:
            self._close("it was cancelled")
        self._crew.call()  # a spawn may have been interrupted before it did
        # Somebody else may spawn just when it has ended; what runs then was not asked to stop.
        while not self._told_to_stop and not self._has_ended():
            self._wait_in_scope()
        self._outlast()

    def _wait_in_scope(self) -> None:
        """Wait until nothing is left to do, or this is to stop."""
        held = _park.latch()
        self._crew.listen(held)
        try:
            _park.park(held)
        except Cancelled:
            # By whomever: all calls of ours have been asked as well, and are waited for.
            self._close("it was cancelled")
        finally:
            self._crew.forget(held)

    def _outlast(self) -> None:
        """Wait until everybody is gone, for the time of grace at most; close the group."""
        end = self._end_of_grace()
        while not self._has_ended():
            if not self._crew.outlast(end, self._name, self._runners):
                self._abandon()
                return

    def _end_of_grace(self) -> float:
        return _runtime.monotonic() + self._grace

    def _has_ended(self) -> bool:
        """Close the group if nobody is here any more: in one step, so that no spawn comes late."""
        with self._crew.lock:
            if not self._crew.is_gone():
                return False
            self._closed = self._closed or "it has ended"
            return True

    def _abandon(self) -> None:
        """Give up what has not ended within the time of grace."""
        left = self._give_up(self._grace)
        if left:
            self._errors.append(DeadlineExceeded(self._grace, left))

    def _give_up(self, seconds: float) -> list[tuple[str, str | None]]:
        """Complete the calls that have not ended, and tell where they are."""
        self._close("its time was up")
        self._crew.abandon()  # first: what is not seen here is not begun
        left: list[tuple[str, str | None]] = []
        self._cancel_unbegun()
        for call in self._crew.running.copy():
            told = (call.name, call._where())
            if call.give_up(seconds):
                left.append(told)
        return left

    def _cancel_unbegun(self) -> None:
        """Cancel what was taken, and has not begun."""
        for call in self._crew.running.copy():
            if call._runner is None:
                call.cancel()

    def _runners(self) -> list[_frames.Runner]:
        return [(call.name, call._runner, call._origin()) for call in self._crew.running.copy()]
