"""One call and its outcome: `Task`, a `Future` that costs little and loses nothing.

What it promises beyond a Future:

- `result()` raises the call's error with the worker's traceback, without the library's frames, and
  of the same length however often it is asked for.
- A wait can be interrupted, and a timeout that fires says which call is stuck, and at which line.
- Waiting for oneself is an error, not a hang.
- An error that nobody takes is reported (`_unasked`); taking it is calling `result`, `exception` or
  `add_done_callback`, or awaiting the task.
- `StopIteration` never reaches an event loop: there it is a `RuntimeError`, as PEP 479 has it.

State, and what guards it. `_mutex` guards `_state`, `_result`, `_exception`, `_waiters`,
`_done_callbacks` (a Future's own names, which `wait`, `as_completed` and `asyncio` read), and
`_latches`, `_made_condition`, `_asked`, `_reported`. `_state` only moves forward:

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

from joinable import _chain, _events, _frames, _park, _runtime, _unasked
from joinable._check import check_seconds, short
from joinable._errors import Cancelled, CancelledError, DeadlineExceeded, InvalidStateError
from joinable._loops import as_runtime_error, await_future, in_event_loop
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from joinable._scope import CancelScope
    from joinable._typing import Lock, T

# The logger that a Future's failing callbacks have always gone to.
_LOGGER = logging.getLogger("concurrent.futures")

# A Future's states are strings. `CANCELLED` itself only ever comes from outside (a test sets it).
_CANCELLED = frozenset((CANCELLED, CANCELLED_AND_NOTIFIED))
_DONE = _CANCELLED | {FINISHED}
_NOT_BEGUN = frozenset((PENDING,))
_BEGUN_OR_NOT = frozenset((PENDING, RUNNING))
_WORDS = {PENDING: "pending", RUNNING: "running", **dict.fromkeys(_CANCELLED, "cancelled")}
_KINDS = {FINISHED: _events.Kind.DONE, **dict.fromkeys(_CANCELLED, _events.Kind.CANCELLED)}


class Task(Future["T"]):
    """Stand for one call and its outcome.

    A task is a `concurrent.futures.Future`: what takes one takes the other (`as_completed`, `wait`,
    `asyncio.wrap_future`), and it can be awaited. You get tasks from `Thread`, `spawn` and the
    like; there is no need to make one.

    Thread-safety: every method may be called by any thread at any time.

    Example:
        >>> from joinable import spawn
        >>> task = spawn(pow, 2, 5)
        >>> task.result()
        32
        >>> task.done()
        True
    """

    # What a task begins with, on the class: the finalizer finds it on a task whose constructor did
    # not run, and each attribute that is set only when needed makes a task cheaper.
    _exception: BaseException | None = None
    _result: T | None = None
    _traceback: TracebackType | None = None
    _made_condition: threading.Condition | None = None
    _runner: int | None = None
    _scope: CancelScope | None = None
    _watch_key: int | None = None
    _asked: bool = False
    _reported: bool = False
    _name: str = "task"

    report_after: float | None = None
    """Seconds after its end when an error that nobody has asked for is reported.

    None stands for "not before the task is collected or the interpreter exits".
    """

    def __init__(self) -> None:
        """Make a task that is pending and that nothing runs: for the library's own use."""
        # Not Future's constructor: it makes a Condition.
        self._mutex = _runtime.allocate_mutex()
        self._state = PENDING
        self._waiters = []
        self._done_callbacks: list[Callable[[Future[T]], object]] = []
        self._latches: list[Lock] = []

    if TYPE_CHECKING:
        name: str  # as `threading.Thread` declares it, which is a base beside this one in `Thread`
    else:

        @property
        def name(self) -> str:
            """The name that errors and pictures show; it may be set."""
            return self._name

        @name.setter
        def name(self, name: object) -> None:
            self._name = str(name)

    # ---------------------------------------------------------------- the outcome

    @override
    def done(self) -> bool:
        """Return whether the call has ended or was cancelled; never waits."""
        return self._state in _DONE

    @override
    def running(self) -> bool:
        """Return whether the call has been started and has not ended; never waits."""
        return self._state == RUNNING

    @override
    def cancelled(self) -> bool:
        """Return whether the call was cancelled; never waits."""
        return self._state in _CANCELLED

    @override
    def result(self, timeout: float | None = None) -> T:
        """Wait for the call and return what it returned, or raise what it raised.

        The exception is the very object that was raised, with the traceback that it had in its
        thread. Asking again raises it again, with the same traceback, not a longer one.

        Args:
            timeout: Wait so many seconds at most. None: as long as it takes. 0 or less: not at all.

        The call goes on when the time is up, and may be asked again; `cancel()` asks it to stop.

        Raises:
            Cancelled: A scope in force asks the *caller* to stop; never once the task is done.
            CancelledError: The task was cancelled.
            DeadlineExceeded: The call did not end in time; a `TimeoutError` that tells where it is.
            RuntimeError: The task would wait for itself, or it has not been started.
        """
        if self._state not in _DONE:
            self._wait(timeout)
        self._asked = True
        if self._state in _CANCELLED:
            raise CancelledError(f"{self._name!r} was cancelled")
        error = self._exception
        if error is None:
            return self._result  # type: ignore[return-value]  # set before _state
        try:
            raise BaseException.with_traceback(error, self._traceback)
        finally:
            # The traceback holds this frame: without this, error and frame would keep each other.
            del self, error

    @override
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call and return what it raised; None when it returned.

        Called on the thread of a running event loop it gives a `RuntimeError` for a
        `StopIteration`, which no coroutine can raise (PEP 479).

        Args:
            timeout: As for `result`.

        Raises:
            Cancelled: A scope in force asks the *caller* to stop; never once the task is done.
            CancelledError: The task was cancelled.
            DeadlineExceeded: The call did not end in time.
            RuntimeError: The task would wait for itself, or it has not been started.
        """
        if self._state not in _DONE:
            self._wait(timeout)
        self._asked = True
        if self._state in _CANCELLED:
            raise CancelledError(f"{self._name!r} was cancelled")
        if isinstance(self._exception, StopIteration) and in_event_loop():
            return as_runtime_error(self._exception)
        return self._exception

    def __await__(self) -> Generator[object, None, T]:
        """Wait for the call in a coroutine; the event loop goes on meanwhile."""
        return await_future(self)

    @override
    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call `fn(task)` when the task is done; at once if it is already.

        Callbacks run one after the other, in the order they were added, on the thread that
        completes the task, outside every lock. What one raises is logged, as a Future does.
        """
        self._asked = True
        with self._mutex:
            if self._state not in _DONE:
                self._done_callbacks.append(fn)
                return
        self._call_one(fn)

    # ---------------------------------------------------------------- for whoever runs the call

    @override
    def cancel(self) -> bool:
        """Cancel the call: it never runs if it has not started, and is asked to stop if it runs.

        A call that was asked stops at its next wait in the library, or `checkpoint()`; one that
        waits there wakes at once. `cancelled()` is true when it has stopped for that reason. A call
        that ends in another way all the same keeps its result or its error.

        Returns:
            True when the task is cancelled, now or earlier, or was asked to stop; False when it has
            ended, or runs and cannot be asked: only what the library runs can.
        """
        if self._finish(CANCELLED_AND_NOTIFIED, allowed=_NOT_BEGUN):
            return True
        scope = self._scope
        if scope is None or self._state != RUNNING:
            return self.cancelled()
        scope.cancel(f"{self._name!r} was cancelled")
        return True

    @override
    def set_running_or_notify_cancel(self) -> bool:
        """Mark the call as started; False when it must not run because it was cancelled.

        For executors and tests, as in `concurrent.futures`.
        """
        with self._mutex:
            if self._state in _CANCELLED:
                return False
            if self._state != PENDING:
                raise RuntimeError(f"{self!r} has been started already")
            self._state = RUNNING
        return True

    @override
    def set_result(self, result: T) -> None:
        """Complete the task with what its call returned: for executors and tests.

        Raises:
            InvalidStateError: It is done already.
        """
        if not self._finish(FINISHED, result):
            raise InvalidStateError(f"{self!r} is done already")

    @override
    def set_exception(self, exception: BaseException | None) -> None:
        """Complete the task with what its call raised: for executors and tests.

        Raises:
            InvalidStateError: It is done already.
        """
        # What the types rule out is what this looks for: a class, most often.
        if not isinstance(exception, BaseException | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"exception must be an exception object, not {short(exception)}")
        if not self._finish(FINISHED, exception=exception):
            raise InvalidStateError(f"{self!r} is done already")

    def _finish(
        self,
        state: str,
        result: T | None = None,
        exception: BaseException | None = None,
        allowed: frozenset[str] = _BEGUN_OR_NOT,
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
            self._tell_waiters()
            if self._made_condition is not None:
                self._made_condition.notify_all()
        try:
            self._announce(state)
        except BaseException:
            # Ctrl-C between two wake-ups: who is left must be woken all the same.
            self._announce(state)
            raise
        finally:
            if unasked:
                self._watch()
        return True

    def _announce(self, state: str) -> None:
        self._wake()
        self._call_back()
        if _events.observers:
            _events.emit(_KINDS[state], self)

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
            if self._state in _CANCELLED:
                waiter.add_cancelled(self)
            elif self._exception is not None:
                waiter.add_exception(self)
            else:
                waiter.add_result(self)

    def _call_one(self, callback: Callable[[Future[T]], object]) -> None:
        try:
            callback(self)
        except Exception:
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
            if self._state in _CANCELLED:
                # What stopped the task may have been meant for us, too, and have come a moment
                # later: then we were stopped, and have not failed.
                _chain.checkpoint()
            self._asked = True
        except BaseException:
            # Ctrl-C. The finisher may have counted on this waiter; `_claim` answers only once.
            if self._exception is not None and self._state in _DONE and not self._asked:
                self._watch()
            raise

    def _wait_until_done(self, timeout: float | None) -> None:
        """Wait; the loop is for a start that failed and was tried again."""
        deadline = _runtime.until(timeout)
        while self._state not in _DONE:
            if not self._wait_once(deadline):
                raise DeadlineExceeded(
                    timeout or 0.0, [(self._name, _frames.current_line(self._runner))]
                )

    def _wait_once(self, deadline: float) -> bool:
        latch = _park.latch()
        try:
            with self._mutex:
                if self._state in _DONE:
                    return True
                self._refuse_to_wait()  # under the lock: a start that fails wakes who is listed
                self._latches.append(latch)
            if _events.observers:
                _events.emit(_events.Kind.WAITING, self)
            woken = _park.park(latch, deadline)
        except Cancelled:
            if self._leave(latch):
                raise
            woken = True  # cancelled at the moment of the end: there is nothing to wait for
        except BaseException:
            self._leave(latch)
            raise
        if _events.observers:
            _events.emit(_events.Kind.WOKEN, self)
        # Timed out, but the finisher has our latch already: then the task is done.
        return woken or not self._leave(latch)

    def _leave(self, latch: Lock) -> bool:
        """Take the latch back; False when the task is done, and the finisher has it."""
        with self._mutex:
            if self._state in _DONE:
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

    def _watch(self) -> None:
        self._watch_key = _unasked.watch(self._claim, self.report_after)

    def _claim(self) -> threading.ExceptHookArgs | None:
        """Answer what to report; None when somebody has asked for the error."""
        error = self._exception
        with self._mutex:  # two may hold the claim, each for a waiter that was interrupted
            if error is None or self._asked or self._reported:
                return None
            self._reported = True
        return threading.ExceptHookArgs((type(error), error, self._traceback, self._hook_thread()))

    def _hook_thread(self) -> threading.Thread | None:
        return None

    def __del__(self) -> None:
        if self._watch_key is not None:
            _unasked.collected(self._watch_key, self._claim)

    # ---------------------------------------------------------------- how it looks

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._name}, {self._outcome()})>"

    def _outcome(self) -> str:
        """Say the state in a word or two; takes no lock, so that a debugger cannot block."""
        if self._state == FINISHED:
            if self._exception is not None:
                return f"raised {type(self._exception).__name__}"
            return f"returned {type(self._result).__name__}"
        return _WORDS[self._state]
