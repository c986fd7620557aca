# pyright: reportPrivateUsage=false
"""What the thread that called `explore` does during a run: begin it, watch over it, clear up.

It waits for the run's end in real time, where Ctrl-C reaches it. It only touches the scheduler's
fields before the first strand runs and after the last has given control back, or lost it.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from joinable import _frames
from joinable.testing import _real, _scheduler
from joinable.testing._errors import UnseenBlockError

if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable.testing._scheduler import Scheduler

#: Seconds of real time without a point after which a run is ended.
STUCK_AFTER = 10.0
#: Real seconds a leftover thread gets to unwind before it is abandoned.
UNWIND_WITHIN = 5.0


def control(scheduler: Scheduler, begin: Callable[[], object]) -> None:
    """Run to the end, as the controller: start the root, watch over it, clear up after it."""
    _scheduler.active = scheduler
    try:
        begin()
        _watch(scheduler)
        _unwind_all(scheduler)
    finally:
        scheduler.ident = 0
        _scheduler.active = None


def _watch(scheduler: Scheduler) -> None:
    """Wait for the end; a run that passes no point for long is given up."""
    seen = -1
    try:
        while not scheduler.done.acquire(True, STUCK_AFTER):
            if scheduler.step == seen:
                _give_up(scheduler)
                return
            seen = scheduler.step
    except BaseException:
        _interrupt(scheduler)
        raise


def _interrupt(scheduler: Scheduler) -> None:
    """Ctrl-C in the controller: have the run end at its next point, then clear it up.

    The interrupt may have come just after the end was acquired, so `ending` is what counts.
    """
    scheduler.max_steps = scheduler.alarm = 0
    end = _real.monotonic() + UNWIND_WITHIN
    while not scheduler.ending and _real.monotonic() < end:
        scheduler.done.acquire(True, 0.05)
    if scheduler.ending:
        scheduler.done.acquire(True, 0.05)
        _unwind_all(scheduler)
    else:
        _give_up(scheduler)


def _give_up(scheduler: Scheduler) -> None:
    me = scheduler.current
    frame = _frames.frames().get(me.ident)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
    scheduler.ending = True
    # Before it loses control, so that a strand that comes back now sees a run that has failed.
    scheduler.failure = UnseenBlockError(me.name, STUCK_AFTER, stack)
    scheduler.forsake(me)
    _unwind_all(scheduler)


def _unwind_all(scheduler: Scheduler) -> None:
    """End the threads that are left, youngest first, one at a time."""
    # Idle workers of a pool leave of their own will; told to unwind, the pool would log it.
    spared = [] if scheduler.drain is None else scheduler.drain(scheduler.alive)
    for strand in reversed(list(scheduler.alive)):
        strand.killed = strand not in spared
        scheduler.hand_over(strand)
        if not scheduler.done.acquire(True, UNWIND_WITHIN):
            scheduler.forsake(strand)
    scheduler.reap()
