"""`Thread`: an OS thread of its own and the outcome of what ran in it.

What it promises:

- It is a `threading.Thread` and a `concurrent.futures.Future`, and each keeps the standard meaning.
- Its target runs in a copy of the context of the code that called `start()`, on every build.
- An error in it is kept whole, and says in one note which thread it was and where that was started.
- Once it has ended it keeps nothing of its call: no function, no arguments, no context, no frame
  but those that the traceback of its error holds.

How the value of `run()` is caught, also of a subclass's: `start()` puts `_execute` in the place of
`run` on the instance, the standard library's bootstrap calls that, and the first thing it does is
to put `run` back. Only public names of `threading.Thread` are touched, so debuggers, tracers and
subclasses work.

Who may run between which lines. `start` claims the task (PENDING -> RUNNING) under its lock, so of
two starts, or a start and a `cancel()`, one wins. The new thread claims `_begun` under the same
lock. An exception inside `start` cannot tell whether the OS thread exists (Ctrl-C comes anywhere):
the attempt is revoked, unless the thread has begun, and a thread that finds its attempt revoked
does nothing. So either the call runs, or everybody who waits for it learns that it will not.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextvars
import functools
import sys
import threading
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING

from joinable import _chain, _closing, _events, _exit, _running, _runtime, _timer
from joinable._chain import LINK, OWNER
from joinable._check import called, check_seconds, steady
from joinable._launch import Launch, check_call
from joinable._running import abandoned
from joinable._scope import run_in, task_scope
from joinable._typing import override
from joinable._watched import Watched

# Bound here, once: a program may put our class in the place of the standard one.
_Standard = threading.Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from joinable._typing import T

__all__ = ["Thread", "abandoned_threads"]


class Thread(Watched["T"], _Standard):
    """Run a call in an OS thread of its own and keep what comes of it.

    Use it where you use `threading.Thread`: same constructor, same methods. It is a `Task` too, so
    `result()` waits and returns the value of the target, or raises its error.

    Example:
        >>> from joinable import Thread
        >>> thread = Thread(target=sum, args=([1, 2, 3],), name="adder")
        >>> thread.start()
        >>> thread.result(), thread.name
        (6, 'adder')

    A subclass may override `run()` and return a value:

        >>> class Square(Thread[int]):
        ...     def __init__(self, number: int) -> None:
        ...         super().__init__()
        ...         self.number = number
        ...     def run(self) -> int:
        ...         return self.number**2
        >>> square = Square(12)
        >>> square.start()
        >>> square.result()
        144

    `join()` only waits, and raises nothing of the call's. An error that nobody asks for goes to
    `threading.excepthook` (see `report_after`).

    Type checkers: mypy wants `# type: ignore[override]` on a `run()` that returns a value, since
    the standard one returns None.

    Thread-safety: every method may be called by any thread at any time.

    Cost: that of a `threading.Thread`, and at most a fifth more.
    """

    report_after: float | None = 10.0
    """Seconds after its end when an error that nobody has asked for is reported.

    It is reported earlier when the thread object is collected or the interpreter exits; with None,
    only then. With 0 it is reported at once, by the thread itself, as `threading.Thread` does. Set
    it on a subclass or on an object.
    """

    def __init__(  # noqa: PLR0913  the standard library's signature
        self,
        group: None = None,
        target: Callable[..., T] | None = None,
        name: str | None = None,
        args: Iterable[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        daemon: bool | None = None,
        context: contextvars.Context | None = None,
        timeout: float | None = None,
    ) -> None:
        """Make a thread that has not started.

        Args:
            group: None; there for the standard library's signature.
            target: What to call; without it, override `run`.
            name: The thread's name. None: one of the form `Thread-1 (target)`.
            args: Positional arguments for the target.
            kwargs: Keyword arguments for the target.
            daemon: Whether the interpreter may exit while it runs. None: as its maker.
            context: The context to run in. None: a copy of the one in which `start()` is called.
            timeout: Seconds that the whole run may take, from `start()` on. Then the call is asked
                to stop, and the task completed with `DeadlineExceeded`: at once when the call
                stops, a second later if it does not. Such a call is *abandoned*: see
                `abandoned_threads`. A thread with a timeout is a daemon unless you say otherwise.

        Raises:
            TypeError: An argument is of the wrong kind.
            ValueError: `timeout` is negative or NaN.
        """
        check_call(target, args, kwargs, context, timeout)
        if timeout is not None and daemon is None and _runtime.daemons_allowed():
            daemon = True
        _Standard.__init__(self, group, target, name, args, kwargs, daemon=daemon)
        Watched.__init__(self)  # pyright: ignore[reportUnknownMemberType]
        if context is not None:
            self._own_context = context
        if timeout is not None:
            self._timeout = timeout

    # What a thread begins with, on the class as in `Task`.
    _own_context: contextvars.Context | None = None
    _begun = False
    if TYPE_CHECKING:
        # The standard library's own attributes that the code below reads.
        _initialized: bool
        _target: Callable[..., T] | None
        _args: Iterable[object]
        _kwargs: Mapping[str, object]
    else:
        # Not Task's: setting a thread's name renames the OS thread too, from 3.14 on.
        name = _Standard.name

    @override
    def start(self) -> None:
        """Start the thread; nothing is run if it was cancelled before.

        Raises:
            RuntimeError: It has been started before, or the system can start no more threads; after
                the latter it may be tried again.
        """
        if not self._initialized:
            raise RuntimeError("Thread.__init__() not called")
        launch = Launch()
        try:
            # The claim too: Ctrl-C may come between its last line and this one's next.
            if self._claim_start(launch):
                if _events.observers:
                    _events.spawning(self)
                _runtime.start(self)
        except BaseException as error:
            self._start_failed(launch, error)
            raise

    @override
    def run(self) -> T:  # type: ignore[override]  # the standard one returns None
        """Call the target and return what it returns; override it to do something else."""
        try:
            if self._target is None:
                return None  # type: ignore[return-value]  # T is None then
            return self._target(*self._args, **self._kwargs)
        finally:
            # As the standard library: an argument may lead back to this thread.
            del self._target, self._args, self._kwargs

    @override
    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended; returns None whether it has or the time is up.

        The wait ends with the scope around it, too; the thread goes on then.

        Example:
            >>> from joinable import spawn
            >>> thread = spawn(int, "forty")
            >>> thread.join()  # raises nothing of the call's
            >>> thread.is_alive(), type(thread.exception())
            (False, <class 'ValueError'>)

        Args:
            timeout: Wait so many seconds at most. None: as long as it takes.

        Raises:
            Cancelled: A scope in force asks the *caller* to stop; never once the thread has ended.
            RuntimeError: It has not been started, or it is the calling thread.
        """
        check_seconds(timeout, "timeout")
        # Cancelled before it began: there is no thread, or one that does nothing. `_initialized`
        # goes first: a constructor that forgot to call ours must meet the standard library's own
        # message.
        if self._initialized and self.cancelled() and not self._begun:
            return
        if _chain.here() is not None and self._runner != _runtime.get_ident():
            if self.is_alive() and not self._wait_for_end(timeout):
                return
            timeout = None  # what is left of the thread is a moment
        if _events.observers and self.is_alive():
            _events.waiting(self, _runtime.join, self, timeout)
            return
        _runtime.join(self, timeout)

    @override
    def cancel(self) -> bool:
        """Cancel the thread: `start()` will do nothing; one that runs is asked to stop.

        A call that was asked stops at its next wait in the library, or `checkpoint()`; one that
        waits there wakes at once. `cancelled()` is true when it has stopped for that reason. A call
        that ends in another way all the same keeps its result or its error.

        Example:
            >>> from joinable import sleep, spawn
            >>> thread = spawn(sleep, 60)
            >>> thread.cancel()
            True
            >>> thread.join()
            >>> thread.cancelled()
            True

        Returns:
            True when it is cancelled, now or earlier, or asked to stop; False when it has ended.
        """
        if self._is_inherited():
            return self.cancelled()
        cancelled = super().cancel()
        if self.cancelled() and not self._begun:
            self._drop_call()
        return cancelled

    # ---------------------------------------------------------------- the start, step by step

    def _claim_start(self, launch: Launch) -> bool:
        """Move from pending to running, with all that the new thread needs; False if cancelled."""
        with self._mutex:
            if self._state != PENDING:
                if self.cancelled():
                    return False
                raise RuntimeError("threads can only be started once")
            if sys.version_info >= (3, 14):
                # The bootstrap enters a context of its own, and keeps it: let it be an empty one.
                # Ours is entered in `_run_body`, where a failure to enter it is an error of this
                # task.
                self._context = contextvars.Context()
            self._set_limits(launch)
            if self._launch is None:
                launch.body = self.run
                self.run = self._execute  # type: ignore[method-assign, assignment]
            else:  # an attempt failed, and `run` is still replaced
                launch.body = self._launch.body
            self._launch = launch
            self._state = RUNNING
        return True

    def _set_limits(self, launch: Launch) -> None:
        """Give the run its context, its scope, and the timer that gives it up."""
        own = self._own_context  # not `or`: an empty Context is false
        # Here, not in the new thread: a generator's scope is in force only while that runs.
        parent = _chain.in_force() if own is None else _chain.resolved(own.get(_chain.current))
        launch.seat = seat = [self, parent, None]
        if own is None:
            launch.context = contextvars.copy_context()
            launch.context.run(_chain.current.set, seat)
        else:
            launch.context = own
        if self._timeout is not None:
            deadline = _runtime.monotonic() + self._timeout
            seat[LINK] = task_scope(parent, deadline)
            launch.timer = _timer.call_at(deadline + _running.LAST_MOMENT, self._give_up)

    def _start_failed(self, launch: Launch, error: BaseException) -> None:
        """Be pending again, or cancelled where an OS thread may exist; nothing if the call runs.

        What was raised does not tell whether there is an OS thread: a signal handler may raise any
        exception, and deep recursion a RuntimeError. So `run` stays replaced, in case a thread is
        about to look it up, and `_begin` decides.
        """
        if launch.timer is not None:
            launch.timer.cancel()
        with self._mutex:
            if self._launch is not launch or self._begun or self._state != RUNNING:
                return
            again = isinstance(error, Exception) and self.ident is None
            if again:
                self._state = PENDING
                # Under the lock: who starts it now may be at its own `_wake` before we are done.
                self._wake()
            else:
                launch.revoked = True
        if not again:
            self._drop_call()
            self._finish(CANCELLED_AND_NOTIFIED)

    @override
    def _begin(self) -> Launch | None:
        """Claim the run for this OS thread; None when it must not run, or another one does."""
        with self._mutex:
            launch = self._launch
            if self._state != RUNNING or self._begun or launch is None or launch.revoked:
                return None
            self._begun = True
            self._runner = _runtime.get_ident()
            self._put_back(launch)
        return launch

    def _execute(self) -> None:
        """Run the body in its context and complete the task: the whole life of the OS thread."""
        begun, daemon = True, False
        try:
            daemon = self.daemon
            if daemon:
                _exit.began(self.cancel)
            begun = self._run_body()
        except BaseException as fault:
            # A fault of our own bookkeeping (no memory, say): nobody may wait for ever. What a done
            # callback raises comes here too, after the end, and goes on to the bootstrap.
            if not self._finish(FINISHED, exception=fault):
                raise
        finally:
            record = _closing.known()
            if record is not None:
                record.end_thread()
            if daemon:
                _exit.ended()
            if begun:
                self._runner = None
                self._end()
        if not begun:
            self._end_unbegun()

    def _end_unbegun(self) -> None:
        """Let go of everything if the task is done: it was given up, or its start taken back."""
        if not self.done():
            return
        with self._mutex:
            launch = self._launch
            # Else another OS thread was here before: of an interrupted start that was tried again.
            if launch is not None and launch.body is not None:
                self._put_back(launch)
                launch.body = launch.context = launch.seat[OWNER] = None
        self._drop_call()
        if not self._begun:
            self._end()

    def _put_back(self, launch: Launch) -> None:
        """Let `run` be what it was; needs the lock."""
        del self.run
        body = launch.body
        if getattr(body, "__func__", None) is not type(self).run:
            # It was set on the instance.
            self.run = body  # type: ignore[method-assign, assignment]
        if self._own_context is not None and body is not None:
            launch.body = functools.partial(run_in, launch.seat, body)
            self._own_context = None

    def _drop_call(self) -> None:
        self._target, self._args, self._kwargs = None, (), {}
        self._own_context = None

    # ---------------------------------------------------------------- what Task leaves open

    @override
    def _refuse_to_wait(self) -> None:
        super()._refuse_to_wait()
        if self._state == PENDING:
            raise RuntimeError(f"{self._name!r} has not been started: call start() first")

    @override
    def _called_now(self, launch: Launch) -> str | None:
        target: object = vars(self).get("_target")  # which goes when it has returned
        return None if target is None else called(target)

    @override
    @steady
    def __repr__(self) -> str:
        standard = _Standard.__repr__(self)
        head = f"<{type(self).__name__}({self._name}, "
        return f"{head}{self._outcome()}, {standard.removeprefix(head)}"


def abandoned_threads() -> list[threading.Thread]:
    """Return the threads whose time was up, which did not stop, and which still run.

    Their tasks are done, with a `DeadlineExceeded`. They are daemons, so they do not hold the exit
    of the interpreter. An error that one of them raises later goes to `threading.excepthook`. A
    thread that runs a call of `run_all` or of a group is listed as long as that call runs.

    Example:
        >>> from joinable import abandoned_threads
        >>> abandoned_threads()
        []
    """
    return sorted(filter(_is_abandoned, abandoned.copy()), key=lambda thread: thread.name)


def _is_abandoned(thread: threading.Thread) -> bool:
    # A Thread is entered a moment before its end is told.
    return thread.is_alive() and (not isinstance(thread, Thread) or thread.done())
