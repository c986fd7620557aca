"""The calls of one `run_each`: what lies between its source and its consumer.

What this promises:

- Each item with which a call was begun gives one entry on the shelf: a result, or a failure. After
  a failure nothing that comes behind it is started; in order, all that is before it is. Until then
  each item that was taken from the source is called with.
- When the source has ended, `total` says how many entries there are.
- Whoever waits for an entry is woken when it is there, or when it will never be.
- Nothing of a call, and nothing of a result that was given out, is kept, but for the chunk of
  results that the consumer is at.

How items are taken is the business of `_lazy` and `_eager`.

Who may run between which lines. The consumer alone writes `given` and `chunk`; how it sleeps is
proved in `_shelf`. `total`, `fault`, `over` and `closed` are written before the sleeper is woken
because of them, and read after it has entered its latch. One that lets results come sleeps for a
moment at most. It enters its latch in `patient`, and *then* looks whether there is something to
wait for; a lane of a window that finds nothing more to do takes it out afterwards.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextlib
import functools
import math
import threading

from joinable import _chain, _events, _park, _runtime, _unasked
from joinable._calls import READING, Calls, Spot, Unreached
from joinable._errors import Cancelled, CancelledError
from joinable._shelf import DONE, FAILED, AsCompleted, Failure
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Iterator
    from typing import Any

    from joinable._shelf import Shelf
    from joinable._typing import Lock
    from joinable._workers import Job

__all__ = ["MOST", "Flow"]

MOST = 256
"""Results that are given out at a time at most, unless they lie together: they are kept until the
last of them is used."""

_SHORT = 100e-6
"""Seconds: after so short a wait the next one is not worth two changes of threads."""

_MOMENT = 200e-6
"""Seconds that results come together then, before the consumer is woken by the next one."""

_WIDEST = 2**20
"""Items in a window at most: there is a place for each."""


class Flow(Calls):
    """The calls of one `run_each`."""

    what = "run_each"

    def __init__(  # noqa: PLR0913  what `run_each` was given
        self,
        fn: Callable[[Any], object],
        source: Iterator[object],
        *,
        ordered: bool,
        max_workers: int,
        buffersize: int,
        timeout: float | None,
        return_exceptions: bool,
    ) -> None:
        """Make them, of a function and the items to call it with; `begin` starts."""
        super().__init__(max_workers, timeout, return_exceptions=return_exceptions)
        self.fn = fn
        self.source = source
        self.ordered = ordered
        self.window = min(max_workers + buffersize, _WIDEST)
        self.low = max(1, buffersize // 2)  # so much room is worth to send for a worker
        self.most = MOST
        self.shelf: Shelf = self.make_shelf()
        self.own: contextvars.Context  # the source's
        self.taken: int = 0  # items
        self.given: int = 0  # results that the consumer has done with
        self.chunk: list[object] = []  # those it is at
        self.used: int = 0  # given, and the first of the chunk
        self.total = math.inf
        self.fault: BaseException | None = None  # none of a call
        self.last: BaseException | None = None  # of the source
        self.over = False  # nothing more is taken
        self.closed = False  # nobody looks for results any more
        self.released = True  # nobody has begun it, or it has let go of everything
        self.unreached: list[Unreached] = []
        self.hurried = False  # the last wait was a short one
        self.patient: list[Lock] = []  # the latch of a consumer that lets results come
        self.set_up()

    # ---------------------------------------------------------------- the consumer's part

    def begin(self) -> None:
        """Start to take and to call.

        Raises:
            RuntimeError: No thread can be had.
        """
        self.open()
        self.own = self.context.copy()
        self.released = False
        try:
            self.read()
            self.call()
        except BaseException as error:
            self.leave(error)
            self.let_go()
            raise

    def make_shelf(self) -> Shelf:
        """Make what the results are to lie on."""
        raise NotImplementedError

    def set_up(self) -> None:
        """Make what a subclass has beside this."""
        raise NotImplementedError

    def read(self) -> None:
        """Do at the source what is to be done before the first call."""

    def take(self) -> list[object]:
        """Return results, as soon as there is one; nothing when no more will come.

        Raises:
            BaseException: The failure of a call, at its place.
            Cancelled: A scope in force asks for it.
            DeadlineExceeded: The time is up, and there is nothing left that came before.
        """
        self.given += len(self.chunk)
        self.used, self.chunk = self.given, []
        _chain.checkpoint()
        if self.deadline < math.inf and self.deadline <= _runtime.monotonic():
            self.stop()  # what is there is given out; then it is too late
        self.chunk = self.shelf.take(self.given, self.most)
        if not self.chunk:
            self._wait_for_some()
        if self.chunk:
            self.used += 1
            self.hint()
        return self.chunk

    def _wait_for_some(self) -> None:
        self.look()
        if self.hurried and self.is_ample():
            self._let_some_come()
            if self.chunk:
                return
        begun = _runtime.monotonic()
        while not self._has_some():
            pass
        self.hurried = _runtime.monotonic() - begun < _SHORT

    def _let_some_come(self) -> None:
        """Wait for more than one result: to be woken for each costs more than a quick call.

        For a moment at most: nothing depends on who releases the latch.
        """
        latch = _park.latch()
        self.patient.append(latch)
        if self.is_ample():  # after that
            _park.park(latch, min(self.deadline, _runtime.monotonic() + _MOMENT))
        self.patient.clear()
        self.chunk = [] if self.closed else self.shelf.take(self.given, self.most)

    def _has_some(self) -> bool:
        """Wait once; False when it is to be looked at again."""
        held = _park.latch()
        self.shelf.sleepers[self.given] = held  # first: who puts something there looks for it then
        try:
            self.chunk = [] if self.closed else self.shelf.take(self.given, self.most)
            if self.chunk:
                return True
            failure = self.shelf.failure(self.given)
            if failure is not None:
                self.raise_failure(failure)
            if self.given >= self.total or self.closed or self.fault is not None:
                return True
            if not self.may_go_on() and not _park.park(held, self.deadline):
                self.be_too_late()
        finally:
            self.shelf.sleepers.pop(self.given, None)
        return False

    def is_ample(self) -> bool:
        """Tell whether workers have something to do while nothing is taken from the shelf."""
        raise NotImplementedError

    def may_go_on(self) -> bool:
        """Tell whether the consumer has something to do before it waits."""
        return False

    def hint(self) -> None:
        """Send for a worker where it is worth it: before a wait, `look` sees to it for certain."""

    def look(self) -> None:
        """Send for a worker, if there is room that somebody has to be told of."""

    def be_too_late(self) -> None:
        """Raise that the time is up, or what has gone wrong before.

        Raises:
            BaseException: always.
        """
        self.be_late()
        self.raise_error(self.asked)

    def raise_failure(self, failure: Failure) -> None:
        """Raise the error of a call, or why it was stopped."""
        with contextlib.suppress(ValueError):  # one that was only stopped is not among them
            self.failures.remove((failure.index, failure.error))
        self.raise_error(failure.error)

    def raise_error(self, error: BaseException | None) -> None:
        """Raise an error of a call or of the source, or why that was stopped."""
        if self.failures and (error is None or self.is_asked(error)):
            error = self.failures.pop(0)[1]  # it comes first, whoever has stopped the others
        if error is not None and not self.is_asked(error):
            raise error
        if isinstance(error, Cancelled) and error._scope is self.scope and error._late:
            self.be_too_late()
        _chain.checkpoint()  # a scope that is around us, too
        raise CancelledError("the scope of this run_each was cancelled")

    def close(self, *, interrupted: bool) -> None:
        """Ask what runs to stop, and wait for its end; report what nobody can come to any more.

        Raises:
            KeyboardInterrupt: The first one when all has ended, the second at once; it is the
                second where this is called because it was `interrupted`.
        """
        if self.is_in_a_call():
            raise RuntimeError("a call of a run_each cannot close it: it would wait for itself")
        self.closed = True
        self.chunk.clear()  # its iterator ends there
        self.shelf.wake_all()
        why = "the stream was closed"
        try:
            if not interrupted:
                self._leave(why)
        except BaseException:  # Ctrl-C: it is raised when all has ended; a second one at once
            interrupted = True
            raise
        finally:
            if interrupted:
                self.leave(why)
            self.let_go()

    def is_in_a_call(self) -> bool:
        """Tell whether the calling thread is in one of the calls."""
        return threading.current_thread() in self.running

    def drop(self) -> None:
        """Ask what runs to stop, without waiting: for a finalizer."""
        if self.released or not self.is_here():
            return
        self.closed = True
        self.stop()
        self.left = True
        self.scope.cancel("the stream was dropped")
        self.let_go()

    def is_here(self) -> bool:
        """Tell whether the calls are in this process, and not in the one that forked it."""
        return self.scope._is_of_this_process()

    def let_go(self) -> None:
        """Let go of everything; report the errors that are left."""
        self.released = self.closed = True
        self.close_scope()
        self.report_left()
        self.unreached = []
        self.shelf = self.make_shelf()
        # The traceback of an error leads here: do not close the circle.
        self.scope._reason = self.stopped = self.asked = self.fault = self.last = None

    def report_left(self) -> None:
        """Have the errors reported that nobody comes to, by another thread."""
        for unreached in self.unreached.copy():
            if unreached.key is not None:
                _unasked.collected(unreached.key, unreached.claim)

    def finish(self) -> None:
        """Wait until all workers are gone, after the last entry; raise what there is to raise."""
        self.wait()
        for error in (self.fault, self.last):
            if error is not None and not self.closed:
                self.raise_failure(Failure(READING, error))

    # ---------------------------------------------------------------- the lanes' part

    @override
    def stop(self) -> None:
        self.over = True

    def stop_behind(self, index: int) -> None:
        """Start nothing more that comes behind this item, in order; else nothing at all."""
        raise NotImplementedError

    @override
    def broke(self, error: BaseException) -> None:
        if self.fault is None:
            self.fault = error
            self.add_failure(READING, error)
        self.stop()
        self.scope.cancel(error)
        self.shelf.wake_all()

    def serve(self) -> None:
        """Wake the consumer that lets results come: there are no more for now."""
        try:
            latch = self.patient.pop()
        except IndexError:
            return
        _park.release(latch)

    @override
    def counts(self) -> str:
        return f"{super().counts()}, {self.begun()} items taken, {self.used} results used"

    def begun(self) -> int:
        """Return how many items were taken to call with them."""
        return self.taken

    @override
    def say(self, index: int) -> str:
        return "the source of its items" if index == READING else f"call {index}"

    @override
    def work(self, job: Job) -> bool:
        me, spot = threading.current_thread(), Spot()
        me.name = f"run_each-{len(self.lanes)}"
        self.running[me] = spot
        clean = self.call_all(job, spot)
        self.running.pop(me, None)
        return clean

    def call_all(self, job: Job, spot: Spot) -> bool:
        """Take items and call, one lane as long as there are any; enter in the spot which call.

        False when the thread must not be used again.
        """
        raise NotImplementedError

    def caller(self, spot: Spot) -> Callable[[Any], object]:
        """Return what a lane at this spot is to call."""
        return functools.partial(self.watched, spot, self.fn) if _events.observers else self.fn

    def contexts(self) -> Callable[[], contextvars.Context]:
        """Return what makes a context for each call of one lane.

        It copies one that has the same variables as that of the other lanes, in an object of its
        own: without a GIL, threads that count references to the same object hold each other up.
        """
        model = self.context.copy()
        model.run(_chain.current.set, None)
        model.run(_chain.current.set, self.scope)
        return model.copy

    @override
    def add_failure(self, index: int, error: BaseException) -> bool:
        if not super().add_failure(index, error):
            return False
        unreached = Unreached(self.failures, (index, error))
        self.unreached.append(unreached)
        unreached.key = _unasked.watch(unreached.claim, None)
        if self.left:  # since we have looked: a finalizer does not wait for our lock
            self.report_left()
        return True

    def failed(self, index: int, error: BaseException) -> tuple[object, int]:
        """Return what takes the place of the result, and its mark; start nothing more behind it."""
        if self.keeps(error):
            self.mark(index, error)
            return error, DONE
        return self.spoilt(index, error), FAILED

    def spoilt(self, index: int, error: BaseException) -> Failure:
        """Return what takes the place of a result that will not come; go no further behind it."""
        self.stop_behind(index)
        if not self.was_asked(error):
            self.mark(index, error)
            if self.add_failure(index, error) and isinstance(self.shelf, AsCompleted):
                self.scope.cancel(error)
        if isinstance(self.shelf, AsCompleted):
            self.shelf.failed = True
        return Failure(index, error)

    def end(self, error: BaseException) -> None:
        """Take nothing more: the source has ended, or failed."""
        self.over = True
        if not isinstance(error, StopIteration):
            if not self.is_asked(error):
                self.mark(READING, error)
                self.add_failure(READING, error)
            self.last = error
        self.total = self.taken  # last: who reads it may read the error
        self.shelf.wake_all()
