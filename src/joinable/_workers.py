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

After a fork the child starts from nothing: its parent's workers are not there.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import threading

from joinable import _runtime
from joinable._chain import release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._typing import Lock

__all__ = ["IDLE", "Job", "idle", "start"]

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


_NO_MORE = Job(bool, bool)


class _Worker:
    __slots__ = ("box", "latch", "name", "thread")

    def __init__(self, name: str, job: Job) -> None:
        self.name = name
        self.latch: Lock = _runtime.allocate_lock()
        self.latch.acquire()
        self.box = {"job": job}
        self.thread: threading.Thread | None = None

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

    def live(self) -> None:
        """Do one job after the other: the life of the thread."""
        self.thread = threading.current_thread()
        pool = _pool
        job: Job | None = self.box.pop("job")
        while job is not None:
            if not self._do(job, pool):
                return
            del job  # nothing of a finished one is kept
            _runtime.at_rest()
            job = self._next(pool)

    def _do(self, job: Job, pool: _Pool) -> bool:
        """Do one job; False when this thread is not to be used again."""
        thread = job.thread = threading.current_thread()
        if job.trip is not None:
            job.trip.arrive()
        mine = job.claim()
        clean = not mine or job.run(job)
        if clean:
            if thread.name != self.name:
                thread.name = self.name
            pool.idle.append(self)
        if mine:
            job.after(job)
        return clean

    def _next(self, pool: _Pool) -> Job | None:
        """Wait for the next job; None when it is time to end."""
        while "job" not in self.box:
            if not _runtime.rest(self.latch, IDLE):
                self.box.setdefault("job", _NO_MORE)
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
        self.numbers = itertools.count(1)


_pool = _Pool()


def start(job: Job) -> None:
    """Have the job done by an idle worker, or by a new one.

    Raises:
        RuntimeError: No thread can be had.
    """
    pool = _pool
    job.trip = _runtime.departing()
    while pool.idle:
        try:
            worker = pool.idle.pop()
        except IndexError:  # somebody was quicker
            break
        if worker.give(job):
            return
    _prepare()
    new = _Worker(f"joinable-worker-{next(pool.numbers)}", job)
    try:
        _runtime.start_worker(new.live, new.name)
    except BaseException:
        if job.trip is not None and job.thread is None:
            job.trip.end()
        raise


def idle() -> list[threading.Thread]:
    """Return the threads that wait for something to do."""
    return [worker.thread for worker in list(_pool.idle) if worker.thread is not None]


@functools.cache  # once in the life of a process: a child inherits it, and it cannot be undone
def _prepare() -> None:
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


def renew() -> tuple[Callable[[], object], Callable[[], object]]:
    """Start from nothing, for one run of a test; return what ends the run, and what undoes this."""
    old = _pool
    _forget()

    def restore() -> None:
        global _pool  # noqa: PLW0603  as in `_forget`
        _pool = old

    return _send_home, restore
