"""The workers of one pool, and the calls that wait for one of them.

What this promises beyond a crew: a worker with nothing to do rests here for a while, so that the
next call costs the release of one lock; and of workers on their way here there is one at a time: it
takes a call first, and then sends for the next worker if there is more. So calls that end at once
need two threads, and calls that block all that are allowed.

Who may run between which lines. Nothing here takes a lock for a call that is added or taken, but
for the deque and the list, which lock themselves, on every build: of two who lock one of them, the
second sees all that the first has done before. `has_more` locks the deque, too.

- Who adds a call puts it in `todo`, and *then* looks at `coming`, `waking`, `parked` and `lanes`. A
  worker that comes clears `coming` and `waking`, and *then* takes from `todo`; one that rests
  enters itself in `parked`, and *then* looks at `todo`; one that leaves takes itself out of `lanes`
  first. So either who adds finds it, or it finds the call. Who finds that somebody is on the way
  leaves the rest to him.
- Who closes writes `closed`, and *then* wakes those who rest, and *then* looks whether `todo` is
  empty and nobody is here. Who adds looks at `closed` once more after it has put the call in `todo`
  and takes that back, if nobody else has. So a call is refused, or run, or cancelled; and none is
  begun after `wait` has returned.
- Who stops all writes `stopping`, and *then* looks at the `spots`; a worker enters its call in its
  spot, and *then* looks at `stopping`.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextlib
import itertools
import math
import threading

from joinable import _chain, _closing, _park, _runtime
from joinable._lounge import Lounge, tell
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joinable import _frames
    from joinable._errand import Errand
    from joinable._typing import Lock
    from joinable._workers import Job

    Spot = list[Errand[object] | None]
    """What a worker is at."""

__all__ = ["Staff"]


class Staff(Lounge):
    """The workers of one pool."""

    def __init__(self, limit: int, backlog: int | None, name: str) -> None:
        """Have no worker yet."""
        super().__init__(limit, backlog, self._fail_all)
        self.name = name
        _chain.count_forks()
        self.fork = _chain.forks[0]
        self.stopping = False
        self.spots: dict[int, Spot] = {}  # what each worker is at, by its thread
        self._numbers = itertools.count()
        self._shared = self.todo.popleft, self.todo, self.queue, self.lanes, self._lenders

    # ---------------------------------------------------------------- giving it something to do

    def add(self, errand: Errand[object]) -> None:
        """Have it done.

        Raises:
            RuntimeError: It is closed, or no thread can be had.
        """
        if self.closed:
            self.refuse()
        self.todo.append(errand)
        # As in `see_to`, which has nothing to do for most.
        if self.closed or not (self.waking or (len(self.lanes) == self.limit and not self.parked)):
            self.see_to(errand)

    @override
    def see_to(self, errand: Errand[object]) -> None:
        if self.closed and errand.take_back():
            self._take_out(errand)
            self.refuse()
        if self.waking or not (self.parked or len(self.lanes) < self.limit):
            return
        try:
            if self.parked:  # most of the time, and a shorter way
                self.waking = True
                if self.wake_one():
                    return
            self._send()
        except RuntimeError as error:  # no thread can be had
            self._fail_all(error, errand)
        except Exception:
            raise
        except BaseException:  # Ctrl-C: others may have counted on the one who was to come
            self.call_another()
            raise

    def _send(self) -> None:
        try:
            self._send_until_done()
        except BaseException:
            self.waking = False
            raise

    def _send_until_done(self) -> None:
        # A function of its own: on 3.13 a Ctrl-C inside `while condition:` can skip the `except` of
        # its own frame (cpython#130279).
        while not self._is_sent():
            pass

    def _is_sent(self) -> bool:
        """Send for one; False when it is to be tried again."""
        self.waking = True
        if self.parked and self.wake_one():
            return True
        self.call()
        if self.coming is not None:
            return True
        self.waking = False  # before `todo` is looked at, for those who have counted on us
        return not (self.has_more() and (self.parked or len(self.lanes) < self.limit))

    @override
    def call_another(self) -> None:
        try:
            self._send()
        except BaseException as error:  # noqa: BLE001  those who are here do what there is to do
            self.broke(error)

    def _fail_all(self, error: BaseException, errand: Errand[object] | None = None) -> None:
        """Give up what waits, where nobody is here who could do it; raise for this one."""
        with self.lock:
            if self.lanes:
                return
            dropped: list[Errand[object]] = []
            with contextlib.suppress(IndexError):
                dropped.extend(iter(self.todo.popleft, None))
            self.tell_if_gone()
        refused = errand is not None and errand in dropped and errand.take_back()
        for each in dropped:
            each.fail(RuntimeError(f"there is no thread for a call of {self.name!r}: {error}"))
        if refused:
            with self.lock:
                self.refused += 1
            raise error

    # ---------------------------------------------------------------- a worker's life

    @override
    def work(self, job: Job) -> bool:
        wake, sleep = _runtime.make_bed()
        ident = _runtime.get_ident()
        spot: Spot = [None]
        self.spots[ident] = spot
        threading.current_thread().name = f"{self.name}_{next(self._numbers)}"
        with self.lock:
            if self.coming is job:
                self.coming = None
        self.waking = False
        told: list[Lock] = []
        record = _closing.mine()
        try:
            clean = self._take_all(spot, told, record)
            while clean and self.rest(wake, sleep, told):
                clean = self._take_all(spot, told, record)
        finally:  # after no memory, for one
            tell(told)
        del self.spots[ident]
        return clean

    def _take_all(self, spot: Spot, told: list[Lock], record: _closing.Record) -> bool:
        """Take and run calls until there are none, or to leave; False to be used no more."""
        # In names of this function: without a GIL, threads that look up the same attribute count
        # the references to what is there, and hold each other up.
        pop, todo, queue, lanes, lenders = self._shared
        first = clean = True
        while clean:
            try:
                spot[0] = errand = pop()
            except IndexError:
                break
            if first:
                first = False
                if todo and not self.waking:
                    self.call_another()
            if queue:
                self.has_room()
            if self.stopping:
                self._cancel_one(spot)
            clean = errand.run_here(told, record)
            del errand  # nothing of a finished one is kept
            if not todo or lenders or len(lanes) > self.limit:
                break
            if told:
                tell(told)
        spot[0] = None
        return clean

    @override
    def lend(self) -> bool:
        # Most who wait for a call of a pool are none of its workers.
        return _runtime.get_ident() in self.spots and super().lend()

    @override
    def _left(self, job: Job) -> None:
        super()._left(job)
        if self.waking and self.coming is None:
            self.waking = False  # who was on the way may have been called off: as above
            if self.has_more():
                self.call_another()

    # ---------------------------------------------------------------- the end

    def close(self, why: str) -> None:
        """Take nothing more; what was taken is done."""
        self.closed = self.closed or why
        while self.parked:
            self.wake_one()
        while self.queue:
            self.has_room()
        if self.has_more():
            self.call_another()  # a Ctrl-C may have come before somebody was sent for
        with self.lock:
            self.tell_if_gone()

    def cancel_waiting(self) -> None:
        """Cancel what nobody has begun."""
        with self.lock:
            self.drop_all()
            self.tell_if_gone()
        try:
            self.cancel_dropped()
        except BaseException:  # Ctrl-C, or a callback's: nobody else would cancel the others
            self.cancel_dropped()
            raise

    def stop(self) -> None:
        """Cancel what waits, and tell what runs to stop."""
        self.stopping = True
        self.cancel_waiting()
        for spot in self.spots.copy().values():
            self._cancel_one(spot[:])  # which locks it

    def _cancel_one(self, spot: Spot) -> None:
        errand = spot[0]
        if errand is not None:
            errand.cancel()

    def await_end(self) -> None:
        """Wait until all is done.

        Raises:
            Cancelled: A scope in force asks the caller to stop.
        """
        while True:
            with self.lock:
                if self.is_gone():
                    return
            held = _park.latch()
            try:
                self.listen(held)
                _park.park(held)
            finally:
                self.forget(held)

    def outlast_all(self) -> None:
        """Wait until all is done that was told to stop; no scope ends it."""
        self.outlast(math.inf, self.name, self.runners)

    def disown(self) -> None:
        """Do nothing more, in the child of a fork: all of this is the parent's."""
        self.lock = _runtime.allocate_mutex()  # it may be held by a thread that is not here
        self.closed = "fork"
        self.todo.clear()
        self.parked.clear()
        self.queue.clear()

    def is_given_up(self) -> bool:
        """Tell whether nobody waits for it any more."""
        return self._over

    def is_here(self) -> bool:
        """Tell whether the calling thread is one of the workers."""
        return _runtime.get_ident() in self.spots

    def runners(self) -> list[_frames.Runner]:
        """Name the calls that run, each with its thread, and where it comes from."""
        running = [(spot[:][0], ident) for ident, spot in self.spots.copy().items()]
        return [(each.name, ident, each._origin()) for each, ident in running if each is not None]

    def busy(self) -> int:
        """Return how many of them are at a call."""
        errands = [spot[:][0] for spot in self.spots.copy().values()]
        return sum(errand is not None and not errand.done() for errand in errands)

    def has_failed(self) -> None:
        """Count a call that has raised an error of its own."""
        with self.lock:
            self.failed += 1

    def runner_of(self, errand: Errand[object]) -> int | None:
        """Return the thread that runs a call."""
        spots = self.spots.copy().items()
        return next((ident for ident, spot in spots if spot[0] is errand), None)
