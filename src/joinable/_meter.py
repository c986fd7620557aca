"""How far a run is: the calls that have ended, told to one object by one thread at a time.

What this promises:

- No call is lost and none is told twice, on any build: `advance` was given all that have ended by
  the time nobody is in it any more. Who counts never waits for who tells.
- The object is in the hand of one thread at a time, outside every lock and scope of the library,
  in a context of its own.
- `finish` is called once, after all that had ended by then was told, and nothing is told after it.
- An error of the object costs no result. It goes to `sys.unraisablehook`, and the object is not
  advanced any more. What a signal handler raises on the main thread is not its doing, and passes.

Who may run between which lines. Who counts appends to `news`, and *then* tries to enter itself in
`claim`; who is entered there takes what is in `news`, tells it, takes itself out, and *then* looks
at `news` once more. Entering (`dict.setdefault`) and taking out lock the dict, so one comes before
the other. If the entry comes too early it finds the other one there, who has yet to take himself
out: that look comes after the news. If it comes later, nobody is there, and it is made. So nothing
is left in `news` that nobody is going to look at. (To look *before* taking oneself out would lose
what comes between the two.) `news` is changed by `append`, at its end, and by who is entered, at
its front; each of these is atomic on every build.

The end of the run is one of the news. So it has its place among the calls: those before it are told
before `finish`, and those behind it, of calls that were given up, never. If somebody is in
`advance` at that moment, as a call that was given up may be, nobody waits for it: who is entered
calls `finish` when that returns.

Ctrl-C may come between any two lines of the main thread, which tells where an executor has it learn
of the end of calls, and calls `finish`. No signal is handled between taking the news and calling
the object, nor between noting that it is over and calling `finish`: nothing is called there. Who is
kept from taking itself out is found by `close` in the same thread.
"""

from __future__ import annotations

import contextvars
import threading
from typing import Protocol

from joinable import _chain, _frames, _runtime
from joinable._check import name_of
from joinable._errors import Cancelled, unraisable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Meter", "Progress"]


class Progress(Protocol):
    """What shows how far a run is: any object with these three methods.

    They are called one at a time, though by any of the threads, outside every lock and scope of the
    library, in copies of the context of the call of `run_all` or `run_each`. So an object needs no
    lock of its own, as long as it shows one run at a time. It should be quick: calls end meanwhile,
    and are told together, but the thread that is in `advance` has a result to give back.

    What `start` raises is raised by the call, and nothing is started. An error of `advance` or
    `finish` costs no result: it goes to `sys.unraisablehook`, and the object is not advanced any
    more.

    Cost: with methods that do nothing, 1 to 3 microseconds of processor time for each call of
    `run_each`, and 4 to 5 for one of `run_all`; without a GIL 5 to 7, and 16 to 22.

    Example:
        >>> from joinable import run_each
        >>> from joinable.progress import Progress
        >>> class Dots(Progress):
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


_CALL = None
"""Among the news: a call has ended."""

_END = "the end"
"""Among the news: the run is over."""


class Meter:
    """What one run tells its progress object."""

    def __init__(self, progress: Progress, what: str) -> None:
        """Be ready to tell it; `what` is named in a report of an error of the object."""
        self.what = what
        # Looked up now: an attribute may be code of the user's, too.
        self._start, self._advance, self._finish = progress.start, progress.advance, progress.finish
        self._context = contextvars.copy_context()  # never run in; every call has a copy of it
        self._context.run(_chain.current.set, None)
        self._news: list[str | None] = []
        self._claim: dict[str, tuple[int, object]] = {}  # who tells, if anybody does
        self._is_begun = self._is_broken = self._is_over = False  # guarded by the claim

    def start(self, total: int | None) -> None:
        """Tell it that the run begins; what it raises is raised."""
        run = self._context.copy().run
        self._is_begun = True
        run(self._start, total)

    def count(self) -> None:
        """Count a call that has ended; tell of it, unless somebody else is about to."""
        self._news.append(_CALL)
        self._drain()

    def counted(self, function: Callable[..., object]) -> Callable[..., object]:
        """Make a function that does the same, and is counted at its end, whatever that is."""
        count = self.count

        def call(*args: object) -> object:
            try:
                return function(*args)
            finally:
                count()

        call.__name__ = call.__qualname__ = name_of(function)
        return call

    def close(self) -> None:
        """Tell the rest, and that the run is over; once, however often this is called."""
        try:
            self._close()
        except BaseException:  # Ctrl-C between two lines
            self._close()
            raise

    def _close(self) -> None:
        if not self._is_begun:
            return
        teller = self._claim.get("by")
        if teller is not None and teller[0] == _runtime.get_ident():
            self._claim.pop("by", None)  # Ctrl-C has kept this thread from it
        self._news.append(_END)
        self._drain()

    def _drain(self) -> None:
        """Tell all news, unless somebody is at it, who will."""
        mine = (_runtime.get_ident(), object())
        while self._news:
            try:
                if self._claim.setdefault("by", mine) is not mine:
                    return
                self._tell()
            finally:
                if self._claim.get("by") is mine:
                    del self._claim["by"]

    def _tell(self) -> None:
        """Tell the calls that have ended, or what comes first: that the run is over."""
        news = self._news[:]
        calls = news.index(_END) if _END in news else len(news)
        run = self._context.copy().run
        try:
            if self._is_over:
                del self._news[: len(news)]
            elif calls and self._is_broken:
                del self._news[:calls]
            elif calls:
                del self._news[:calls]
                run(self._advance, calls)
            elif news:  # else somebody has told them since `_drain` has looked
                self._is_over = True
                run(self._finish)
        except BaseException as error:
            if threading.current_thread() is threading.main_thread() and not isinstance(
                error, (Exception, Cancelled)
            ):
                raise
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._is_broken = True
        _frames.cut(error)
        _frames.note(error, f"in the progress object of {self.what}, which goes on without it")
        unraisable(error)
