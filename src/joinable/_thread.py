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

from __future__ import annotations

import contextvars
import os
import sys
import threading
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING

from joinable import _events, _frames, _runtime, _unasked
from joinable._check import check_callable, short
from joinable._task import Task
from joinable._typing import override

# Bound here, once: a program may put our class in the place of the standard one.
_Standard = threading.Thread

# Stands where a context was; nothing is ever run in it.
_NOTHING = contextvars.Context()

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from joinable._typing import T

__all__ = ["Thread"]


class _Launch:
    """One attempt to start a thread: by whom, and what it is to run."""

    __slots__ = ("body", "context", "place", "process", "revoked")

    def __init__(self) -> None:
        self.place = _frames.caller()
        self.process = os.getpid()
        self.body: Callable[[], object] | None = None
        self.context: contextvars.Context | None = None
        self.revoked = False


class Thread(Task["T"], _Standard):
    """Run a call in an OS thread of its own and keep what comes of it.

    Use it where you use `threading.Thread`: same constructor, same methods. It is a `Task` too, so
    `result()` waits and returns the value of the target, or raises its error.

    Example:
        >>> from joinable import Thread
        >>> thread = Thread(target=sum, args=([1, 2, 3],))
        >>> thread.start()
        >>> thread.result()
        6

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

        Raises:
            TypeError: An argument is of the wrong kind.
        """
        _check_call(target, args, kwargs, context)
        _Standard.__init__(self, group, target, name, args, kwargs, daemon=daemon)
        Task.__init__(self)  # pyright: ignore[reportUnknownMemberType]
        if context is not None:
            self._own_context = context

    # What a thread begins with, on the class as in `Task`.
    _own_context: contextvars.Context | None = None
    _launch: _Launch | None = None
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
        launch: _Launch = _Launch()
        try:
            # The claim too: Ctrl-C may come between its last line and this one's next.
            if self._claim_start(launch):
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

        Args:
            timeout: Wait so many seconds at most. None: as long as it takes.

        Raises:
            RuntimeError: It has not been started, or it is the calling thread.
        """
        # Cancelled before it began: there is no thread, or one that does nothing. `_initialized`
        # goes first: a constructor that forgot to call ours must meet the standard library's own
        # message.
        if self._initialized and self.cancelled() and not self._begun:
            return
        _runtime.join(self, timeout)

    @override
    def cancel(self) -> bool:
        """Cancel the thread if it has not been started: `start()` will do nothing.

        Returns:
            True when it is cancelled, now or earlier; False when it has been started.
        """
        cancelled = super().cancel()
        if cancelled and not self._begun:
            self._drop_call()
        return cancelled

    # ---------------------------------------------------------------- the start, step by step

    def _claim_start(self, launch: _Launch) -> bool:
        """Move from pending to running, with all that the new thread needs; False if cancelled."""
        with self._mutex:
            if self.cancelled():
                return False
            if self._state != PENDING:
                raise RuntimeError("threads can only be started once")
            if sys.version_info >= (3, 14):
                # The bootstrap enters a context of its own, and keeps it: let it be an empty one.
                # Ours is entered in `_run_body`, where a failure to enter it is an error of this
                # task.
                self._context = contextvars.Context()
            own = self._own_context  # not `or`: an empty Context is false
            launch.context = contextvars.copy_context() if own is None else own
            if self._launch is None:
                launch.body = self.run
                self.run = self._execute  # type: ignore[method-assign, assignment]
            else:  # an attempt failed, and `run` is still replaced
                launch.body = self._launch.body
            self._launch = launch
            self._state = RUNNING
        return True

    def _start_failed(self, launch: _Launch, error: BaseException) -> None:
        """Be pending again, or cancelled where an OS thread may exist; nothing if the call runs.

        What was raised does not tell whether there is an OS thread: a signal handler may raise any
        exception, and deep recursion a RuntimeError. So `run` stays replaced, in case a thread is
        about to look it up, and `_begin` decides.
        """
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

    def _begin(self) -> bool:
        """Claim the run for this OS thread; False when it must not run, or another one does."""
        with self._mutex:
            launch = self._launch
            if self._state != RUNNING or self._begun or launch is None or launch.revoked:
                return False
            self._begun = True
            self._runner = _runtime.get_ident()
        return True

    def _execute(self) -> None:
        """Run the body in its context and complete the task: the whole life of the OS thread."""
        if not self._begin():
            if self.done():
                self._let_go()
                self._drop_call()
            return
        try:
            self._run_body()
        except BaseException as fault:
            # A fault of our own bookkeeping (no memory, say): nobody may wait for ever. What a done
            # callback raises comes here too, after the end, and goes on to the bootstrap.
            if not self._finish(FINISHED, exception=fault):
                raise
        finally:
            self._runner = None

    def _run_body(self) -> None:
        body, context = self._let_go()
        try:
            if _events.observers:
                _events.emit(_events.Kind.STARTED, self)
            result = context.run(body)
        except BaseException as error:  # noqa: BLE001  whatever it raised is the outcome
            # Let go before anybody is told: who waits for the end may look at what is left.
            del body, context
            self._annotate(error)
            if not self._finish(FINISHED, exception=error):
                self._report_late(error)
        else:
            del body, context
            self._finish(FINISHED, result)

    def _let_go(self) -> tuple[Callable[[], T], contextvars.Context]:
        """Put `run` back and hand over what is to be run, so that nothing of it is kept."""
        with self._mutex:
            launch = self._launch
            # Else another OS thread was here before: of an interrupted start that was tried again.
            if launch is None or launch.body is None or launch.context is None:
                return self.run, _NOTHING
            body, context = launch.body, launch.context
            del self.run
            if getattr(body, "__func__", None) is not type(self).run:
                # It was set on the instance.
                self.run = body  # type: ignore[method-assign, assignment]
            launch.body = launch.context = self._own_context = None
        return body, context  # type: ignore[return-value]  # what `run` was, or is on the instance

    def _drop_call(self) -> None:
        self._target, self._args, self._kwargs = None, (), {}
        self._own_context = None

    def _annotate(self, error: BaseException) -> None:
        if self._launch is not None:
            place = _frames.show(self._launch.place)
            _frames.note(error, f"in thread {self._name!r}, started at {place}")

    # ---------------------------------------------------------------- what Task leaves open

    @override
    def _refuse_to_wait(self) -> None:
        super()._refuse_to_wait()
        if self._state == PENDING:
            raise RuntimeError(f"{self._name!r} has not been started: call start() first")
        if self._launch is not None and self._launch.process != os.getpid():
            raise RuntimeError(f"{self._name!r} runs in the process that forked this one, not here")

    def _report_late(self, error: BaseException) -> None:
        """Report an error for which the task has no place: it was completed by somebody else."""
        traceback = _frames.trimmed(error.__traceback__)
        arguments = threading.ExceptHookArgs((type(error), error, traceback, self))
        _unasked.report(lambda: arguments)

    @override
    def _hook_thread(self) -> threading.Thread | None:
        return self

    @override
    def __repr__(self) -> str:
        standard = _Standard.__repr__(self)
        head = f"<{type(self).__name__}({self._name}, "
        return f"{head}{self._outcome()}, {standard.removeprefix(head)}"


def _check_call(target: object, args: object, kwargs: object, context: object) -> None:
    if target is not None:
        check_callable(target, "target")
    if not hasattr(args, "__iter__"):
        raise TypeError(
            f"args must be a tuple of arguments, not {short(args)}: write args=({short(args)},)"
        )
    if kwargs is not None and not hasattr(kwargs, "keys"):
        raise TypeError(f"kwargs must be a mapping of names to arguments, not {short(kwargs)}")
    if context is not None and not isinstance(context, contextvars.Context):
        raise TypeError(f"context must be a contextvars.Context or None, not {short(context)}")
