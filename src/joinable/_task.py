"""One call and its outcome: `Task`, a `Future` that costs little and loses nothing.

What it promises beyond a Future:

- `result()` raises the call's error with the worker's traceback, without the library's frames, and
  of the same length however often it is asked for.
- A wait can be interrupted, and a timeout that fires says which call is stuck, and at which line.
- Waiting for oneself is an error, not a hang.
- An error that nobody takes is reported (`_unasked`); taking it is calling `result`, `exception` or
  `add_done_callback`, or awaiting the task.
- `StopIteration` never reaches an event loop: there it is a `RuntimeError`, as PEP 479 has it.

`_outcome` is the inner half: how the outcome is written and waited for, and who may run meanwhile.
"""

from __future__ import annotations

from concurrent.futures._base import (
    CANCELLED_AND_NOTIFIED,
    FINISHED,
    PENDING,
    RUNNING,
)

from joinable._check import short, steady
from joinable._errors import CancelledError, InvalidStateError
from joinable._loops import as_runtime_error, await_task, in_event_loop
from joinable._outcome import CANCELLED_STATES, DONE_STATES, Outcome
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from joinable._scope import CancelScope
    from joinable._typing import T

_NOT_BEGUN = frozenset((PENDING,))
_WORDS = {PENDING: "pending", RUNNING: "running", **dict.fromkeys(CANCELLED_STATES, "cancelled")}


class Task(Outcome["T"]):
    """Stand for one call and its outcome.

    A task is a `concurrent.futures.Future`: what takes one takes the other (`as_completed`, `wait`,
    `asyncio.wrap_future`), and it can be awaited. You get tasks from `Thread`, `spawn` and the
    like; there is no need to make one.

    Thread-safety: every method may be called by any thread at any time.

    Example:
        >>> from joinable import Task, spawn
        >>> task: Task[int] = spawn(pow, 2, 5)
        >>> task.result()
        32
        >>> task.done(), task.running(), task.cancelled()
        (True, False, False)
    """

    report_after: float | None = None
    """Seconds after its end when an error that nobody has asked for is reported.

    None stands for "not before the task is collected or the interpreter exits".
    """

    if TYPE_CHECKING:
        name: str  # as `threading.Thread` declares it, which is a base beside this one in `Thread`
    else:

        @property
        def name(self) -> str:
            """The name that errors and pictures show; it may be set.

            Example:
                >>> from joinable import TaskGroup
                >>> with TaskGroup(name="sums") as group:
                ...     task = group.spawn(sum, [1, 2])
                >>> task.name
                'sums-1 (sum)'
            """
            return self._name

        @name.setter
        def name(self, name: object) -> None:
            self._name = str(name)

    # ---------------------------------------------------------------- the outcome

    @override
    def done(self) -> bool:
        """Return whether the call has ended or was cancelled; never waits."""
        return self._state in DONE_STATES

    @override
    def running(self) -> bool:
        """Return whether the call has been started and has not ended; never waits."""
        return self._state == RUNNING

    @override
    def cancelled(self) -> bool:
        """Return whether the call was cancelled; never waits."""
        return self._state in CANCELLED_STATES

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
        if self._state != FINISHED:  # as it is most of the time
            if self._state not in DONE_STATES:
                self._wait(timeout)
            if self._state in CANCELLED_STATES:
                raise self._cancellation()
        error = self._exception
        if error is None:
            return self._result  # type: ignore[return-value]  # set before _state
        self._ask()
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

        Example:
            >>> from joinable import spawn
            >>> spawn(int, "40").exception() is None
            True
            >>> spawn(int, "forty").exception()
            ValueError("invalid literal for int() with base 10: 'forty'")

        Args:
            timeout: As for `result`.

        Raises:
            Cancelled: A scope in force asks the *caller* to stop; never once the task is done.
            CancelledError: The task was cancelled.
            DeadlineExceeded: The call did not end in time.
            RuntimeError: The task would wait for itself, or it has not been started.
        """
        if self._state not in DONE_STATES:
            self._wait(timeout)
        self._ask()
        if self._state in CANCELLED_STATES:
            raise self._cancellation()
        if isinstance(self._exception, StopIteration) and in_event_loop():
            return as_runtime_error(self._exception)
        return self._exception

    def _cancellation(self) -> CancelledError:
        return CancelledError(f"{self._name!r} was cancelled")

    def __await__(self) -> Generator[object, None, T]:
        """Wait for the call in a coroutine; the event loop goes on meanwhile."""
        return await_task(self).__await__()

    @override
    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Call `fn(task)` when the task is done; at once if it is already.

        Callbacks run one after the other, in the order they were added, on the thread that
        completes the task, outside every lock. What one raises is logged, as a Future does.

        Example:
            >>> from joinable import spawn
            >>> task = spawn(pow, 2, 5)
            >>> task.join()
            >>> task.add_done_callback(lambda done: print("got", done.result()))
            got 32
        """
        self._ask()
        with self._mutex:
            if self._state not in DONE_STATES:
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

        Example:
            >>> from joinable import ThreadPool, sleep
            >>> with ThreadPool(1) as pool:
            ...     task = pool.submit(sleep, 60)
            ...     task.cancel()
            True
            >>> task.cancelled(), task.cancel()
            (True, True)

        Returns:
            True when the task is cancelled, now or earlier, or was asked to stop; False when it has
            ended, or runs and cannot be asked: only what the library runs can.
        """
        if self._finish(CANCELLED_AND_NOTIFIED, allowed=_NOT_BEGUN):
            return True
        scope = self._make_scope() if self._state == RUNNING else None
        if scope is None:
            return self.cancelled()
        scope.cancel(f"{self._name!r} was cancelled")
        return True

    def _make_scope(self) -> CancelScope | None:
        """Return the scope that the call runs in, for the library's own use; None without one."""
        return None

    @override
    def set_running_or_notify_cancel(self) -> bool:
        """Mark the call as started; False when it must not run because it was cancelled.

        For executors and tests, as in `concurrent.futures`.

        Example:
            >>> from joinable import Task
            >>> task: Task[int] = Task()
            >>> task.set_running_or_notify_cancel(), task.running()
            (True, True)
            >>> task.set_result(3)
            >>> cancelled: Task[int] = Task()
            >>> cancelled.cancel(), cancelled.set_running_or_notify_cancel()
            (True, False)

        Raises:
            RuntimeError: It was marked before.
        """
        with self._mutex:
            if self._state in CANCELLED_STATES:
                return False
            if self._state != PENDING:
                raise RuntimeError(f"{self!r} has been started already")
            self._state = RUNNING
        return True

    @override
    def set_result(self, result: T) -> None:
        """Complete the task with what its call returned: for executors and tests.

        Example:
            >>> from joinable import Task
            >>> task: Task[int] = Task()
            >>> task.set_result(3)
            >>> task.result()
            3

        Raises:
            InvalidStateError: It is done already.
        """
        if not self._finish(FINISHED, result):
            raise InvalidStateError(f"{self!r} is done already")

    @override
    def set_exception(self, exception: BaseException | None) -> None:
        """Complete the task with what its call raised: for executors and tests.

        Example:
            >>> from joinable import Task
            >>> task: Task[int] = Task()
            >>> task.set_exception(KeyError("lost"))
            >>> task.exception()
            KeyError('lost')

        Raises:
            InvalidStateError: It is done already.
        """
        # What the types rule out is what this looks for: a class, most often.
        if not isinstance(exception, BaseException | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"exception must be an exception object, not {short(exception)}")
        if not self._finish(FINISHED, exception=exception):
            raise InvalidStateError(f"{self!r} is done already")

    # ---------------------------------------------------------------- how it looks

    @override
    @steady
    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._name}, {self._outcome()})>"

    def _outcome(self) -> str:
        """Say the state in a word or two; takes no lock, so that a debugger cannot block."""
        if self._state == FINISHED:
            if self._exception is not None:
                return f"raised {type(self._exception).__name__}"
            return f"returned {type(self._result).__name__}"
        return _WORDS[self._state]
