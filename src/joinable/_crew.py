"""The workers that work off one list of calls: as many as are needed, and no more than allowed.

A subclass says what there is to do (`has_more`) and does it (`work`). What this promises:

- As long as there is something to take and the limit allows it, a worker is on its way. There is
  one on its way at a time: it takes something first and then sends for the next. So calls that end
  at once need two threads, and calls that block all get one.
- A worker whose call ends takes the next. The others are gone (among the idle again) when there is
  nothing left; then `wait` returns.
- A call that waits for another one of the same crew lends its place meanwhile, so that waiting
  within a limit is no deadlock.

Who may run between which lines. `lock` guards `lanes`, `coming`, `limit` and the latches, and
`has_more` is asked under it. Whoever adds something to do adds it *before* `call`; a lane that has
found nothing leaves, and then asks once more under the lock. So either the one who adds finds it
gone, or it finds what was added. A lane counts until `_left`, when its thread is idle already: who
is told that the crew is gone can have all its threads, but for one that was on its way, for whom
nothing was left: it is called off, and idle as soon as it has seen that.

A Ctrl-C may come between any two lines of `call` and `wait` on the main thread: a job that was
counted is either begun by a worker, who will take it off the books, or called off here.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections import deque

from joinable import _frames, _park, _runtime
from joinable._chain import release
from joinable._errors import Cancelled
from joinable._running import abandoned
from joinable._workers import Job, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from joinable._typing import Lock

__all__ = ["LONG", "Crew"]

_LOGGER = logging.getLogger("joinable")

LONG = 10.0
"""Seconds after which a warning tells what still runs, though it was asked to stop."""


class Crew:
    """The workers that work off one list."""

    def __init__(self, limit: int | None) -> None:
        """Make a crew without workers."""
        self.limit: float = math.inf if limit is None else limit
        self.lock = _runtime.allocate_mutex()
        self.lanes: dict[Job, None] = {}
        self.coming: Job | None = None
        self._gone: deque[Lock] = deque()  # latches of those who wait for the end
        self._lenders: deque[Lock] = deque()  # latches of those who want their place back

    # ---------------------------------------------------------------- what a subclass says

    def has_more(self) -> bool:
        """Tell whether there is something that nobody has taken; called under the lock."""
        raise NotImplementedError

    def work(self, job: Job) -> bool:
        """Take and do one thing after the other; False if the thread must not be used again.

        It calls `arrived` when it has taken the first, and returns when `must_leave` says so.
        """
        raise NotImplementedError

    def broke(self, error: BaseException) -> None:
        """Deal with an error that is none of a call: a lane cannot send for the next one, say."""
        raise NotImplementedError

    # ---------------------------------------------------------------- coming and going

    def call(self) -> None:
        """See that a worker is on its way, if there is something to take.

        Raises:
            RuntimeError: No thread can be had.
        """
        job = Job(self._lane, self._left)
        try:
            with self.lock:
                if self.coming or len(self.lanes) >= self.limit or not self.has_more():
                    return
                self.lanes[job] = None  # first: `_call_off` looks for it there
                self.coming = job
            start(job)
        except BaseException:  # Ctrl-C, or no thread can be had: nobody comes for the job
            self._call_off(job)
            raise

    def arrived(self, job: Job) -> None:
        """Send for the next one, if there is more to take; for a lane that has taken its first."""
        with self.lock:
            if self.coming is job:
                self.coming = None
            if not self.has_more():
                return
        self.call_another()

    def must_leave(self) -> bool:
        """Tell a lane whether somebody wants its place back, or has taken it."""
        return bool(self._lenders) or len(self.lanes) > self.limit

    def _lane(self, job: Job) -> bool:
        try:
            return self.work(job)
        except BaseException as fault:  # noqa: BLE001  as above; no memory, for one
            self.broke(fault)
            return False

    def call_another(self) -> None:
        try:
            self.call()
        except BaseException as error:  # noqa: BLE001  whoever waits for the crew must learn of it
            self.broke(error)

    def _left(self, job: Job) -> None:
        """Take a lane off the books, whose thread is idle again."""
        with self.lock:
            del self.lanes[job]
            if self.coming is job:
                self.coming = None  # it came too late to take anything
            self._count_off(job)
            more = self.has_more()
            if not more and self.coming is not None and self.coming.claim():
                del self.lanes[self.coming]  # nobody needs to wait until it has come
                self._count_off(self.coming)
                self.coming = None
            self._give_back()
            self.tell_if_gone()
        if more:
            self.call_another()

    def _count_off(self, job: Job) -> None:
        if job.thread is not None:
            abandoned.discard(job.thread)  # under the lock, where `abandon` looks who there is

    def _call_off(self, job: Job) -> None:
        """Take a job off the books that nobody has begun, and nobody will."""
        with self.lock:
            if job in self.lanes and job.claim():
                del self.lanes[job]
                if self.coming is job:
                    self.coming = None
                self._count_off(job)
                self._give_back()
                self.tell_if_gone()

    # ---------------------------------------------------------------- waiting for the end

    def wait(self, deadline: float = math.inf) -> bool:
        """Wait until nothing is left to do and nobody is here; False when the time is up.

        No scope ends it.
        """
        held = _park.latch()
        try:
            with self.lock:
                if self.is_gone():
                    return True
                self._gone.append(held)
            return _park.outwait(held, deadline)
        finally:
            self.forget(held)

    def outlast(
        self, deadline: float, who: str, runners: Callable[[], Iterable[_frames.Runner]]
    ) -> bool:
        """Wait so for what was asked to stop; a warning tells what still runs after a while."""
        warn = _runtime.monotonic() + LONG
        if deadline <= warn:
            return self.wait(deadline)
        if self.wait(warn):
            return True
        stacks = "\n".join(
            f"{name}:\n{_frames.stack(ident, origin)}" for name, ident, origin in runners()
        )
        text = "%r waits for calls that were asked to stop %g s ago\n%s"
        _LOGGER.warning(text, who, LONG, stacks)
        return self.wait(deadline)

    def listen(self, held: Lock) -> None:
        """Have the latch released when nothing is left to do and nobody is here."""
        with self.lock:
            self._gone.append(held)
            self.tell_if_gone()

    def forget(self, held: Lock) -> None:
        """Do not release the latch any more."""
        with self.lock:
            if held in self._gone:
                self._gone.remove(held)

    def abandon(self) -> bool:
        """Give up those who are here; False if nobody is."""
        with self.lock:
            for job in self.lanes:
                if job.thread is not None:
                    abandoned.add(job.thread)
            return bool(self.lanes)

    def is_gone(self) -> bool:
        """Tell whether nothing is left to do and nobody is here; needs the lock."""
        return not self.lanes and not self.has_more()

    def tell_if_gone(self) -> None:
        """Wake who waits for that; needs the lock."""
        if self._gone and self.is_gone():
            for held in self._gone:
                release(held)

    # ---------------------------------------------------------------- places that are lent

    def lend(self) -> bool:
        """Let another call have the place of the calling lane, which is about to wait for one.

        False, and nothing is lent, where the caller is no lane, or there is no limit.
        """
        with self.lock:
            me = threading.current_thread()
            if self.limit == math.inf or all(job.thread is not me for job in self.lanes):
                return False
            self.limit += 1
            self._give_back()  # the first one in the row may be who this call waits for
        self.call_another()
        return True

    def take_back(self, deadline: float = math.inf) -> None:
        """Wait for a place that is free, `deadline` at most; then go on in any case.

        So does a call that is told to stop: there is no place to be kept for what it cleans up.
        """
        held = _park.latch()
        with self.lock:
            if len(self.lanes) < self.limit:
                self.limit -= 1
                return
            self._lenders.append(held)
        try:
            self.make_way()
            with contextlib.suppress(Cancelled):
                _park.park(held, deadline)
        finally:
            with self.lock:
                if held in self._lenders:
                    self._lenders.remove(held)
                    self.limit -= 1

    def make_way(self) -> None:
        """See that a lane which only waits for something to do leaves, if there is one."""

    def _give_back(self) -> None:
        while self._lenders and len(self.lanes) < self.limit:
            self.limit -= 1
            release(self._lenders.popleft())
