"""`progress=`: how a `run_all` or a `run_each` shows how far it is. Loaded when that is asked for.

What it promises: the object is started before anything else, and finished when the run is over,
however it ends: by its results, an error, Ctrl-C, a deadline, `close`. Calls are counted by a
function around each of them; where an executor runs them, at the end of each, in this process, so
that nothing of this has to be sent anywhere.

A finalizer must not call what is the user's: that may wait. So when a stream was dropped, the
thread that reports unasked errors finishes the object, and the exit of the program does so for a
stream that is still open then.
"""

from __future__ import annotations

from typing import Protocol

from joinable import _frames, _unasked
from joinable._abroad import Abroad
from joinable._batch import Batch
from joinable._bars import TqdmProgress
from joinable._check import short
from joinable._meter import Meter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from joinable._calls import Calls
    from joinable._flow import Flow

__all__ = ["Progress", "Watched", "run_watched", "total_of"]


class Progress(Protocol):
    """What shows how far a run is: any object with these three methods.

    They are called one at a time, though by any of the threads, outside every lock and scope of the
    library, in copies of the context of the call of `run_all` or `run_each`. So an object needs no
    lock of its own, as long as it shows one run at a time. It should be quick: calls end meanwhile,
    and are told together, but the thread that is in `advance` has a result to give back.

    What `start` raises is raised by the call, and nothing is started. An error of `advance` or
    `finish` costs no result: it goes to `sys.unraisablehook`, and the object is not advanced any
    more.

    Example:
        >>> from joinable import run_each
        >>> class Dots:
        ...     def start(self, total):
        ...         print(f"{total} to do", end=": ")
        ...     def advance(self, n):
        ...         print("." * n, end="")
        ...     def finish(self):
        ...         print(" done")
        >>> lengths = list(run_each(len, ["one", "two", "three"], progress=Dots()))
        3 to do: ... done
    """

    def start(self, total: int | None, /) -> object:
        """Begin, with so many calls to make; None where nobody knows."""
        ...

    def advance(self, n: int, /) -> object:
        """So many more calls have ended: succeeded, failed, or stopped while they ran."""
        ...

    def finish(self) -> object:
        """Be done; called once after each `start`, whatever has happened."""
        ...


_METHODS = ("start", "advance", "finish")


def read_progress(progress: object) -> Progress:
    """Return the object that is meant; raise TypeError where there is none.

    Raises:
        ImportError: A bar was asked for, and tqdm is not installed.
    """
    if progress is True:
        return TqdmProgress()
    if isinstance(progress, str):
        return TqdmProgress(label=progress)
    missing = [name for name in _METHODS if not callable(getattr(progress, name, None))]
    if isinstance(progress, type) or missing:
        raise TypeError(
            "progress must be True, a label, or an object with start(total), advance(n) and "
            f"finish(), not {short(progress)}{_hint(progress)}"
        )
    return progress  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def _hint(progress: object) -> str:
    """Say what to write in the place of what is often taken for such an object."""
    kind = progress if isinstance(progress, type) else type(progress)
    makers = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if "tqdm" in makers:
        name = kind.__name__
        return f": write joinable.progress.TqdmProgress({name}), which makes a {name} for each run"
    if "rich" in makers:
        of_rich = "progress" if kind is not progress else f"{kind.__name__}()"
        return f": write joinable.progress.RichProgress({of_rich})"
    return f": write {kind.__name__}()" if kind is progress else ""


def run_watched(batch: Batch, progress: object) -> None:
    """Run the calls of a `run_all`, and show how far they are."""
    meter = _meter(batch, progress)
    try:
        meter.start(len(batch.calls))
        batch.run()
    finally:
        meter.close()


def _meter(calls: Calls, progress: object) -> Meter:
    """Make a meter that counts these calls."""
    what = f"the {calls.what} at {_frames.show(calls.place)}"
    meter = Meter(read_progress(progress), what)
    if isinstance(calls, Abroad):
        calls.tally = meter.count
    elif isinstance(calls, Batch):
        calls.calls[:] = map(meter.counted, calls.calls)
    else:
        flow: Flow = calls  # type: ignore[assignment]
        flow.fn = meter.counted(flow.fn)
    return meter


def total_of(iterables: Iterable[object]) -> int | None:
    """Return how many items the shortest one has; None unless all can be asked."""
    lengths = [len(each) if hasattr(each, "__len__") else None for each in iterables]  # type: ignore[arg-type]
    return None if None in lengths else min(lengths)  # type: ignore[type-var]


class Watched:
    """The calls of a `run_each`, as its stream knows them; they show how far they are.

    Who may run between which lines: the one who iterates, and a finalizer, as with the calls
    themselves. Only the stream knows this object, so that is collected when nobody can ask it.
    """

    _key: int | None = None  # that of `_late`

    def __init__(self, flow: Flow, progress: object, total: int | None) -> None:
        """Watch these calls, which have not begun."""
        self._flow = flow
        self._meter = _meter(flow, progress)
        self._total = total

    def begin(self) -> None:
        """Start to show, then to call."""
        try:
            self._meter.start(self._total)
            self._flow.begin()
            # Late: whatever a first call forks should find no thread of ours.
            self._key = _unasked.watch(self._late, None)
        except BaseException as error:
            self._undo(error)
            raise

    def _undo(self, error: BaseException) -> None:
        try:
            if not self._flow.released:  # Ctrl-C, since it has begun
                try:
                    self._flow.leave(error)
                finally:
                    self._flow.let_go()
        finally:
            self._meter.close()

    # ---------------------------------------------------------------- the stream's part

    @property
    def chunk(self) -> list[object]:
        """The results that the consumer is at."""
        return self._flow.chunk

    @property
    def failures(self) -> list[tuple[int, BaseException]]:
        """The failures that nobody has come to."""
        return self._flow.failures

    def take(self) -> list[object]:
        """Return results, as soon as there is one."""
        return self._flow.take()

    def finish(self) -> None:
        """Wait until all workers are gone."""
        self._flow.finish()

    def leave(self, why: BaseException | str) -> None:
        """Wait for the end of all, because an error is on its way."""
        self._flow.leave(why)

    def is_here(self) -> bool:
        """Tell whether the calls are in this process."""
        return self._flow.is_here()

    def let_go(self) -> None:
        """Let go of everything: the end."""
        try:
            self._flow.let_go()
        finally:
            self._end()

    def close(self, *, interrupted: bool) -> None:
        """Stop what runs, and wait for it."""
        try:
            self._flow.close(interrupted=interrupted)
        finally:
            self._end()

    def _end(self) -> None:
        if self._flow.released:  # else it cannot be closed from where that was tried
            try:
                self._meter.close()
            finally:
                self._tell_service()

    def drop(self) -> None:
        """Stop what runs, without waiting: for a finalizer."""
        self._flow.drop()
        if self._key is not None and self._flow.is_here():
            self._tell_service()

    def _tell_service(self) -> None:
        if self._key is not None:
            _unasked.collected(self._key, self._late)

    def _late(self) -> threading.ExceptHookArgs | None:
        """Finish what shows a stream that was dropped, or is open at the exit of the program.

        There is nothing to report.
        """
        if self._key is not None and (self._flow.released or _unasked.is_over()):
            self._meter.close()
        return None
