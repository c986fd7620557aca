"""The calls of one `run_all` or `run_each`: their scope, how they fail, and how they are left.

What it promises to who waits for them:

- All calls are in one scope, within those around the caller. Who waits is not in it.
- When the caller is interrupted, or an error is raised, nothing more is started, what runs is asked
  to stop, and is waited for. A second Ctrl-C leaves at once, and names what runs.
- When the time is up, what runs has a last moment; then it is named and given up.
- A call that was stopped because it was asked has not failed. The error of one that was given up is
  reported.

Who may run between which lines. `left` is written under the crew's lock when those who are still
there are given up, and a lane looks at it under that lock before it adds a failure: so an error is
where the caller looks next, or it is reported, and never both.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextvars
import math
import threading
from weakref import ref

from joinable import _chain, _events, _frames, _live, _runtime, _unasked
from joinable._check import name_of, short
from joinable._crew import Crew
from joinable._errors import Cancelled, DeadlineExceeded
from joinable._running import LAST_MOMENT
from joinable._scope import task_scope
from joinable._verdict import say_places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joinable._scope import CancelScope

__all__ = ["IDLE", "READING", "Calls", "Spot", "Unreached", "note_failures", "report"]

READING = -1
"""In a lane's spot: it is at the source of the calls, and none of them runs."""

IDLE = -(10**9)
"""In a lane's spot: it is about to look for something to do."""

_PLAIN = frozenset((str, int, float, bool))

_NAMED = 10  # later failures that the note on the first one names; it says how many more there were


class Spot:
    """Where a lane is."""

    __slots__ = ("index",)

    def __init__(self, index: int = IDLE) -> None:
        """Be at this call."""
        self.index = index

    def at(self) -> int:
        """Return the number of the call that it is at."""
        return self.index


class Calls(Crew):
    """Calls that one caller waits for."""

    what = "run_all"
    _spawn: _events.Spawn | None = None  # for those who watch

    def __init__(
        self, max_workers: int | None, timeout: float | None, *, return_exceptions: bool
    ) -> None:
        """Make a crew for calls that come later; `open` begins their time."""
        super().__init__(max_workers)
        self.timeout = timeout
        self.return_exceptions = return_exceptions
        self.failures: list[tuple[int, BaseException]] = []
        self.running: dict[threading.Thread, Spot] = {}  # each lane's
        self.scope: CancelScope  # the calls' own
        self.deadline: float
        self.stopped: Cancelled | None = None  # what has stopped the first call that was
        self.asked: Cancelled | None = None  # the same, where a scope around us has asked
        self.context = contextvars.copy_context()  # never run in; every call has a copy of it
        self.place = _frames.caller()
        self.left = False  # nobody will look at `failures` any more

    def open(self) -> None:
        """Begin: from now on the calls have their scope, and their time runs."""
        self.deadline = _runtime.until(self.timeout)
        self.scope = task_scope(_chain.in_force(), self.deadline)
        self.context.run(_chain.current.set, self.scope)
        _live.entered[id(self)] = ref(self)
        if _events.observers:
            _events.spawning(self)

    def close_scope(self) -> None:
        """Be over: the scope asks nobody any more, and only who was given up is to be seen."""
        self.scope._close(stays=True)
        _live.leave(self, stays=bool(self.running))

    def stop(self) -> None:
        """Start nothing more."""
        raise NotImplementedError

    # ---------------------------------------------------------------- the caller's part

    def leave(self, why: BaseException | str) -> None:
        """Wait for the end of all, because an error is on its way to the caller, or for a reason.

        Raises:
            BaseException: Ctrl-C again, wherever that was; what still runs is named in a note.
        """
        try:
            self._leave(why)
        except BaseException as second:
            self.stop()
            with self.lock:
                self.abandon()
                self.left = True
            note_failures(second, self.failures, self.what)
            left = say_places(self.places())
            _frames.note(second, f"{self.what} left these calls running: {left}")
            raise

    def _leave(self, why: BaseException | str) -> None:
        if not self.left:  # else who is still there was given up
            self.stop()
            self.scope.cancel(why)
            self.outlast(math.inf, self.what, self.runners)
        if not isinstance(why, str):
            note_failures(why, self.failures, self.what)

    def be_late(self) -> None:
        """Give what runs a last moment; what waits has been stopped by the deadline itself.

        Raises:
            DeadlineExceeded: unless there is something else to raise.
        """
        self.stop()
        if not self.wait(self.deadline + LAST_MOMENT):
            with self.lock:  # a lane sees it, or has added its failure
                self.left = self.abandon()
        if self.failures or self.asked:
            return
        unfinished = self.places()
        stopped = None
        if not unfinished:
            line = None if self.stopped is None else _frames.raised_at(self.stopped)
            stopped = (self.what, f"it was stopped at {line}" if line else "it was stopped")
        self.left = True  # `_leave` has nothing to wait for
        raise DeadlineExceeded(self.timeout or 0.0, unfinished, stopped) from self.stopped

    def runners(self) -> list[_frames.Runner]:
        """Name the calls that run, each with its thread, and where it comes from."""
        origin = self.origin()
        # A copy is made at once; a lane may be about to note what it took.
        spots = [(spot.at(), lane.ident) for lane, spot in self.running.copy().items()]
        return [(self.say(index), ident, origin) for index, ident in spots if index >= READING]

    def counts(self) -> str:
        """Say how many calls run, and how far they are; waits for nobody."""
        return f"{self.busy()} running"

    def busy(self) -> int:
        """Return how many calls run."""
        return sum(spot.at() >= 0 for spot in self.running.copy().values())

    def origin(self) -> _frames.Origin:
        """Tell where the calls come from."""
        return _frames.Origin(None, f"called by the {self.what} at {_frames.show(self.place)}")

    def places(self) -> list[tuple[str, str | None]]:
        """Name the calls that run, each with where it is."""
        return [(name, _frames.where(ident, origin)) for name, ident, origin in self.runners()]

    def say(self, index: int) -> str:
        """Name a call."""
        raise NotImplementedError

    # ---------------------------------------------------------------- the lanes' part

    def sight(
        self, index: int, fn: object, args: tuple[object, ...] = (), where: str | None = None
    ) -> _events.Sight:
        """Return what those see of a call who watch."""
        # An item is told where its class is known: of another one that would run the user's code.
        told = "".join(f" {short(arg)}" for arg in args[:1] if type(arg) in _PLAIN)
        name = f"{self.what}-{short(self.title(index))} ({name_of(fn)}{told})"
        return _events.Sight(name, self._spawn, where)

    def title(self, index: int) -> object:
        """Return what tells a call from others."""
        return index

    def watched(self, spot: Spot, fn: Callable[..., object], *args: object) -> object:
        """Make the call of the lane at this spot, for those who watch."""
        return _events.watched(self.sight(spot.at(), fn, args), self.is_asked, fn, *args)

    def keeps(self, error: BaseException) -> bool:
        """Tell whether the error of a call is to be given back as its result."""
        return (
            self.return_exceptions
            and not self.left
            and not isinstance(error, (KeyboardInterrupt, SystemExit, Cancelled))
        )

    def was_asked(self, error: BaseException) -> bool:
        """Tell whether the call was only stopped; note by what."""
        if not isinstance(error, Cancelled) or not self.is_asked(error):
            return False
        if error._scope is self.scope:
            self.stopped = self.stopped or error
        else:
            # No failure: it would hide one, and be swallowed by the scope that has asked.
            _frames.cut(error)
            self.asked = self.asked or error
        return True

    def is_asked(self, error: BaseException) -> bool:
        """Tell whether it is no failure of a call, but stops one that was told to."""
        return isinstance(error, Cancelled) and self.scope._has_asked(error)

    def mark(self, index: int, error: BaseException) -> None:
        """Tell on the error of which call it is."""
        _frames.cut(error)
        place = _frames.show(self.place)
        _frames.note(error, f"in {self.say(index)} of the {self.what} at {place}")

    def add_failure(self, index: int, error: BaseException) -> bool:
        """Keep it for the caller; False when nobody looks there any more, and it was reported."""
        with self.lock:
            late = self.left
            if not late:
                self.failures.append((index, error))
        if late:
            report(error)
        return not late


class Unreached:
    """A failure that is reported unless somebody comes to it: it is in `failures` until then."""

    def __init__(
        self, failures: list[tuple[int, BaseException]], failure: tuple[int, BaseException]
    ) -> None:
        self.failures = failures
        self.failure = failure
        self.thread = threading.current_thread()
        self.key: int | None = None

    def claim(self) -> threading.ExceptHookArgs | None:
        """Answer what to report, once."""
        try:
            self.failures.remove(self.failure)
        except ValueError:
            return None
        error = self.failure[1]
        return threading.ExceptHookArgs((type(error), error, error.__traceback__, self.thread))


def report(error: BaseException) -> None:
    """Report an error that nobody will ask for."""
    thread = threading.current_thread()
    late = threading.ExceptHookArgs((type(error), error, error.__traceback__, thread))
    _unasked.report(lambda: late)


def note_failures(
    error: BaseException, failures: Sequence[tuple[int, BaseException]], what: str
) -> None:
    """Name in a note on `error` the failures that are not raised."""
    if not failures:
        return
    named = "; ".join(short(other) for _, other in failures[:_NAMED])
    more = f"; and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
    _frames.note(error, f"{len(failures)} more failed in the same {what}: {named}{more}")
