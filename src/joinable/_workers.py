"""Idle threads that are used again, so that a task costs a hand-over and not a thread.

What they promise:

- A worker is a real `threading.Thread`, a daemon, with an empty context of its own. The one that
  became idle last is used first; one that nobody needs for `IDLE` seconds ends.
- It is among the idle ones before `Job.after` is called, so whoever is told there that a job is
  over, and starts the next, gets that very thread.
- A thread in which a job has said that something was wrong is not used again.
- A job runs once, or never when it was called off first.

Who may run between which lines. A worker is handed a job by one `dict.setdefault`, which is atomic
on every build: the worker, when its time is up, settles in the same way that it ends. So a job is
never given to one that has ended, and of two that find the same idle worker one looks further. What
lies in `box` is the truth, the latch only ends a wait: an interrupt between the two costs time, at
most `IDLE` seconds, and a latch that is released once too often costs one look more.

What belongs to a worker (`_closing`) it closes before it ends. At exit those idle ones that have
something to close are told to end, and waited for. One that is about to end on its own is among the
leaving before it settles that; so the exit, which looks there after it has looked among the idle,
finds it, or it has closed everything.

Who waits for a worker to have nothing to do (`watch`) is told without a lock of its own. Who comes,
has become idle or goes locks a container with it (`idle`, `here` and `coming` lock themselves, on
every build) and *then* looks for somebody to tell; who waits says so first, and *then* looks, and
locks the same container. Of the two the second sees all that the first has done before: so either
he finds what he waits for, or he is found.

After a fork the child starts from nothing: its parent's workers are not there.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import logging
import os
import threading

from joinable import _closing, _runtime
from joinable._chain import release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._typing import Lock

    Watcher = Callable[[threading.Thread | None], object]

__all__ = ["IDLE", "Job", "idle", "is_worker", "start", "unwatch", "watch"]

_LOGGER = logging.getLogger("joinable")

IDLE = 10.0
"""Seconds for which a worker that has nothing to do is kept."""


class Job:
    """What one worker is to do: a function that says whether the thread may be used again."""

    __slots__ = ("_claim", "after", "run", "thread", "trip")

    def __init__(self, run: Callable[[Job], bool], after: Callable[[Job], object]) -> None:
        """Make a job that nobody has begun; `after` is called when its worker is idle again."""
        self.run = run
        self.after = after
        self.thread: threading.Thread | None = None
        self.trip: _runtime.Trip | None = None
        self._claim = [None]

    def claim(self) -> bool:
        """Begin it, or call it off; False when somebody has done either before."""
        try:
            self._claim.pop()
        except IndexError:
            return False
        return True


LAST_CHANCE = 10.0
"""Seconds for which the exit waits for idle workers that close what belongs to them.

That was asked for, so it is more than the moment that is given to what was left running. Closing
that hangs must not hold the exit for ever.
"""

_NO_MORE = Job(bool, bool)


class _Worker:
    __slots__ = ("box", "latch", "name", "pool", "record", "thread")

    def __init__(self, pool: _Pool, job: Job) -> None:
        self.pool = pool
        self.name = f"joinable-worker-{next(pool.numbers)}"
        self.latch: Lock = _runtime.allocate_lock()
        self.latch.acquire()
        self.box = {"job": job}
        self.thread: threading.Thread | None = None
        self.record: _closing.Record | None = None

    def give(self, job: Job) -> bool:
        """Hand it a job; False when it has got another one, or ends."""
        try:
            if self.box.setdefault("job", job) is not job:
                return False
            release(self.latch)
        except BaseException:
            if self.box.get("job") is job:  # Ctrl-C: it may not have been woken
                release(self.latch)
            raise
        return True

    def has_to_close(self) -> bool:
        """Tell, while it is idle, whether something belongs to it that is closed when it ends."""
        return self.record is not None and bool(self.record.thread)

    def live(self) -> None:
        """Do one job after the other: the life of the thread."""
        self.thread = thread = threading.current_thread()
        self.record = record = _closing.mine()
        record.worker = self.name
        pool = self.pool
        pool.here[thread] = None  # first: it is in one of the two at any moment
        pool.coming.pop(self, None)
        pool.tell(None)
        job: Job | None = self.box.pop("job")
        while job is not None:
            clean = self._do(job, pool, record)
            del job  # nothing of a finished one is kept
            if record.task:  # of what was called when it was over
                record.end_task()
            if not clean:
                break
            at_rest = _runtime.at_rest
            if at_rest is not None:
                at_rest()
            job = self._next(pool, thread)
        del pool.here[thread]  # from here on there is nothing to wait for but its end
        pool.tell(None)
        record.end_thread()
        pool.leaving.pop(thread, None)

    def _do(self, job: Job, pool: _Pool, record: _closing.Record) -> bool:
        """Do one job; False when this thread is not to be used again."""
        thread = job.thread = threading.current_thread()
        if job.trip is not None:
            job.trip.arrive()
        mine = job.claim()
        clean = not mine or job.run(job)
        if record.task:  # of an error's report, say
            record.end_task()
        if clean:
            if thread.name != self.name:
                thread.name = self.name
            if pool.watchers:  # first: what it is given from there on is another job
                pool.tell(thread)
            pool.idle.append(self)
            if pool.watchers:  # again: for who has come meanwhile, and who waits until it is listed
                pool.tell(thread)
        else:
            pool.leaving[thread] = None  # before anybody is told: the exit looks for it there
        if mine:
            job.after(job)
        return clean

    def _next(self, pool: _Pool, thread: threading.Thread) -> Job | None:
        """Wait for the next job; None when it is time to end."""
        while "job" not in self.box:
            if not _runtime.rest(self.latch, IDLE):
                # First: whoever wants to give it a job then takes it from the idle ones.
                pool.leaving[thread] = None
                if self.box.setdefault("job", _NO_MORE) is not _NO_MORE:
                    del pool.leaving[thread]  # at the last moment
        if self.box["job"] is not _NO_MORE:
            return self.box.pop("job")
        # It stays there, for those who find this worker among the idle ones.
        with contextlib.suppress(ValueError):
            pool.idle.remove(self)
        return None


class _Pool:
    """The idle workers; one pool for the process."""

    def __init__(self) -> None:
        self.idle: list[_Worker] = []
        self.leaving: dict[threading.Thread, None] = {}  # they close what is theirs, and end
        self.coming: dict[_Worker, None] = {}  # started, and nobody knows their thread yet
        self.here: dict[threading.Thread, None] = {}  # they do a job, or may do another one
        self.watchers: list[Watcher] = []
        self.numbers = itertools.count(1)

    def tell(self, idle: threading.Thread | None) -> None:
        """Tell those who watch that this worker becomes idle, or that one has come or goes."""
        for watcher in self.watchers.copy():
            watcher(idle)


_pool = _Pool()
_process: list[int] = []  # in which the hook is registered: multiprocessing clears it in a child


def start(job: Job) -> None:
    """Have the job done by an idle worker, or by a new one.

    Raises:
        RuntimeError: No thread can be had.
    """
    pool = _pool
    departing = _runtime.departing
    job.trip = None if departing is None else departing()
    while pool.idle:
        try:
            worker = pool.idle.pop()
        except IndexError:  # somebody was quicker
            break
        if worker.give(job):
            return
    prepare()
    if os.getpid() not in _process:
        _process[:] = [os.getpid()]
        atexit.unregister(_have_closed)
        atexit.register(_have_closed)
    new = _Worker(pool, job)
    pool.coming[new] = None
    try:
        _runtime.start_worker(new.live, new.name)
    except BaseException:
        pool.coming.pop(new, None)
        if job.trip is not None and job.thread is None:
            job.trip.end()
        raise


def idle() -> list[threading.Thread]:
    """Return the threads that wait for something to do."""
    return [worker.thread for worker in list(_pool.idle) if worker.thread is not None]


def watch(tell: Watcher) -> None:
    """Call `tell` with each worker that becomes idle from now on; with None if one comes or goes.

    It is called in that thread, before it is listed as idle, and after that, when others may have
    given it another job.
    """
    _pool.watchers.append(tell)


def unwatch(tell: Watcher) -> None:
    """Call it no more; a call that is under way may still come."""
    with contextlib.suppress(ValueError):  # another pool's, by now
        _pool.watchers.remove(tell)


def is_worker(thread: threading.Thread) -> bool:
    """Tell whether the thread is a worker that may be idle one day, or may turn out to be one."""
    # In this order: who comes is in both for a moment, and never in neither.
    return bool(list(_pool.coming)) or thread in _pool.here.copy()


@functools.cache  # once in the life of a process: a child inherits it, and it cannot be undone
def prepare() -> None:
    """Register what is to be done after a fork and, where workers cannot be daemons, at exit."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)
    if not _runtime.daemons_allowed():
        # The interpreter joins its threads, the idle ones too.
        getattr(threading, "_register_atexit", bool)(_send_home)


def _forget() -> None:
    """Start from nothing."""
    global _pool  # noqa: PLW0603  the old one's workers are of another process, or of another run
    _pool = _Pool()


def _send_home() -> None:
    """Let the idle ones end, and wait for that."""
    while _pool.idle:
        try:
            worker = _pool.idle.pop()
        except IndexError:
            break
        thread = worker.thread
        if worker.give(_NO_MORE) and thread is not None:
            _runtime.join(thread)


def _have_closed() -> None:
    """Let the idle ones end that have something to close, and give them some time for it."""
    pool = _pool
    told = [each for each in pool.idle.copy() if each.has_to_close() and each.give(_NO_MORE)]
    # Who was told may be among the leaving by now, too.
    closing = dict.fromkeys([*(each.thread for each in told if each.thread), *pool.leaving])
    end = _runtime.monotonic() + LAST_CHANCE
    for thread in closing:
        _runtime.join(thread, max(0.0, end - _runtime.monotonic()))
    left = ", ".join(thread.name for thread in closing if thread.is_alive())
    if left:
        _LOGGER.warning("the exit has waited for %g s and leaves %s", LAST_CHANCE, left)


def renew() -> tuple[Callable[[], object], Callable[[], object]]:
    """Start from nothing, for one run of a test; return what ends the run, and what undoes this."""
    old = _pool
    _forget()

    def restore() -> None:
        global _pool  # noqa: PLW0603  as in `_forget`
        _pool = old

    return _send_home, restore
