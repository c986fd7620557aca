"""What an executor of somebody else's is given to run, and what is made of what comes back.

What this promises:

- An executor gets calls without arguments, by its `submit`, and nothing else is asked of it: it is
  never shut down. What crosses to another process is the function and its arguments alone, so that
  nothing of the library has to be there.
- A call that runs in this process runs in a copy of the caller's context, and in its scope.
- An error says where it comes from: the traceback of another process is kept in a note, and work
  that cannot be pickled is named.
"""

from __future__ import annotations

import functools

from joinable import _closing, _events, _frames, _runtime
from joinable._check import short
from joinable._errors import Cancelled, CancelledError
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Iterator

    from joinable._typing import SupportsSubmit

__all__ = ["Work", "check_executor", "explain", "kind_of"]

_REMOTE = ("_RemoteTraceback", "ExecutionFailed")
"""Causes whose text is a traceback: of process pools and of interpreters."""


class Work:
    """One call, for an executor to make.

    Who may run between which lines: the executor calls it, or pickles it, in a thread of its own,
    and what that writes is read when the call has ended, or for a message.
    """

    __slots__ = (
        "_args",
        "_asked",
        "_context",
        "_fn",
        "_sent",
        "ident",
        "recalled",
        "sight",
        "stopped",
        "teller",
    )

    def __init__(
        self, fn: Callable[..., object], args: tuple[object, ...], context: contextvars.Context
    ) -> None:
        """Make it of a function and its arguments; the context is for a run in this process."""
        self._fn = fn
        self._args = args
        self._context = context
        self._asked = self._sent = False
        self.recalled = False
        self.ident: int | None = None  # of the thread of this process that has begun it
        self.teller: int | None = None  # of the one that was told of its end first
        self.stopped: Cancelled | None = None  # what has stopped it, in this process
        self.sight: _events.Sight | None = None  # for those who watch

    def __call__(self) -> object:
        """Make the call."""
        if self.recalled:  # there are executors that cannot cancel
            raise CancelledError("the call was taken back before it began")
        self.ident = _runtime.get_ident()
        record = _closing.mine()
        before = [*record.task]  # not ours: the thread is not, and may be that of the caller
        try:
            if self.sight is not None and _events.observers:
                body = functools.partial(self._fn, *self._args)
                return self._context.run(_events.watched, self.sight, _is_stop, body)
            return self._context.run(self._fn, *self._args)
        except Cancelled as stopped:
            self.stopped = stopped  # there are executors that make a cancelled future of it
            raise
        finally:
            if [*record.task] != before:
                record.end_call(before, self._context.run)

    @property
    def __name__(self) -> str:
        """The function's: for those executors that show what they run."""
        name: object = getattr(self._fn, "__name__", None)
        return name if isinstance(name, str) else type(self._fn).__name__

    @override
    def __reduce__(self) -> tuple[object, ...]:
        """Leave the context here; note in `_sent` that the rest could be pickled."""
        self._asked = True
        return functools.partial, (self._fn, *self._args), None, self._note_sent()

    def _note_sent(self) -> Iterator[object]:
        # Whoever pickles takes the items of this, of which there are none, when it is through with
        # the function and its arguments.
        self._sent = True
        yield from ()

    def __dask_tokenize__(self) -> object:
        """Be like no other call: dask makes one of those that look the same."""
        import uuid  # noqa: PLC0415  only dask asks

        return uuid.uuid4().hex

    def could_not_be_sent(self) -> bool:
        """Tell whether it was pickled in vain."""
        return self._asked and not self._sent and self.ident is None

    def culprit(self) -> str:
        """Tell which part of it cannot be pickled, and why."""
        import pickle  # noqa: PLC0415  who is here has loaded it

        for part in (*self._args, self._fn):
            try:
                pickle.dumps(part)
            except Exception as why:  # noqa: BLE001  whatever a class raises that is pickled
                return f"{short(part)} cannot be pickled ({type(why).__name__}: {why})"
        return "it cannot be pickled"


_BEGINNING = Work.__call__.__code__


def _is_stop(error: BaseException) -> bool:
    return isinstance(error, Cancelled)


def explain(error: BaseException, work: Work, call: str, kind: str) -> BaseException:
    """Return what is to be raised for an error that an executor has given us."""
    if work.could_not_be_sent():
        refusal = TypeError(
            f"{call} cannot be sent to the {kind}: {work.culprit()}; give it functions from the "
            "top level of a module, and arguments that pickle.dumps() takes"
        )
        refusal.__cause__ = error
        return refusal
    if work.ident is not None:
        _frames.cut_behind(error, _BEGINNING)
    else:
        _keep_traceback(error, kind)
    return error


def _keep_traceback(error: BaseException, kind: str) -> None:
    """Keep in a note what the error's traceback was where it was raised."""
    cause = error.__cause__
    if cause is not None and type(cause).__name__ in _REMOTE:
        text = str(cause).strip('"\n ')
        error.__cause__ = None  # that was its text
    elif error.__traceback__ is not None:
        import traceback  # noqa: PLC0415  slow to import, and seldom needed

        text = "".join(traceback.format_exception(error)).rstrip()
    else:
        return
    _frames.note(error, f"its traceback in the {kind}:\n{text}")


def kind_of(executor: object) -> str:
    """Name an executor."""
    return type(executor).__name__


def check_executor(executor: object) -> SupportsSubmit:
    """Raise TypeError unless it is something that runs calls; return it."""
    if isinstance(executor, type):
        raise TypeError(
            f"executor must be an executor, not the class {executor.__name__}: "
            f"with {executor.__name__}() as executor: ..."
        )
    modules = [base.__module__.partition(".")[0] for base in type(executor).__mro__]
    if "distributed" in modules and hasattr(executor, "get_executor"):
        raise TypeError(
            "executor must be an executor, not a dask Client: give it "
            "joinable.executors.dask_executor(client)"
        )
    if not callable(getattr(executor, "submit", None)):
        hint = ""
        if hasattr(executor, "call_soon_threadsafe"):
            hint = "; an event loop runs coroutines: leave executor out, and calls run in threads"
        elif hasattr(executor, "apply_async"):
            hint = "; take concurrent.futures.ProcessPoolExecutor in the place of such a pool"
        raise TypeError(f"executor must have a method submit(fn), unlike {short(executor)}{hint}")
    return executor  # type: ignore[return-value]
