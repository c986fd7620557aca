"""The one way in which the library waits: on a private latch, which one release ends.

Whoever waits makes a latch (a lock that is held), puts it where the one who notifies will find it,
and parks on it. Notifier, canceller or timeout, whichever comes first, ends the wait. That holds
for every wait of the library: `sync`, `sleep`, `Task.result`, `Thread.join`.

What `park` promises: it returns True when the latch was released by a notifier, False when the time
is up, and raises `Cancelled` when a scope in force, or one around it, asks for it: at entry, or
while it waits, at once. In every case, Ctrl-C too, the latch is afterwards held again, unless a
notifier has released it since. So whoever leaves the notifier's queue can tell by
`latch.acquire(blocking=False)` whether a notification came that nobody has used, and pass it on: a
dead waiter must not eat it.

Who may run between which lines. A canceller releases the latch once at most, and no more after the
sleeper was taken out of the scope: both happen under the scope's lock. A notifier may release it
at any time until the caller has left its queue. Releasing a lock is one atomic step on every build,
and of two that release a held one, the second gets a RuntimeError: so the canceller knows whether
it was the one. When the canceller came first and the waiter has taken the latch again, a notifier
may release it a second time; that is the one which has to be passed on.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import math

from joinable import _chain, _events, _runtime
from joinable._chain import Sleeper, release
from joinable._check import check_span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque

    from joinable._chain import Link
    from joinable._typing import Lock

__all__ = ["latch", "leave", "outwait", "park", "release", "sleep"]


def latch() -> Lock:
    """Make a latch: a lock that is held, for one wait."""
    made = _runtime.allocate_lock()
    made.acquire()
    return made


def leave(waiters: deque[Lock], held: Lock) -> bool:
    """Take a latch out of a notifier's queue; True when a notification came that nobody has used.

    To be called under the lock that guards the queue, after `park`. When an interrupt has ended the
    wait it may have come after the release: then a latch that is in the queue no more counts as
    notified. To pass on one too many wakes somebody in vain, one too few leaves him asleep.
    """
    listed = held in waiters
    if listed:
        waiters.remove(held)
    return held.acquire(blocking=False) or not listed


def park(held: Lock, deadline: float = math.inf, awaited: object = None) -> bool:
    """Wait until the latch is released, and no longer than to a time of the clock's.

    `awaited` is the task for whose end it is, if it is for that: to be told to who watches.

    Raises:
        Cancelled: A scope in force asks for it.
    """
    link = _chain.here()
    if _events.observers:
        return _events.waiting(awaited, _park_under, link, held, deadline)
    if link is None:
        return _runtime.acquire_until(held, deadline)
    return _park_in(link, held, deadline)


def outwait(held: Lock, deadline: float = math.inf) -> bool:
    """Wait so, whatever a scope asks for."""
    if _events.observers:
        return _events.waiting(None, _runtime.acquire_until, held, deadline)
    return _runtime.acquire_until(held, deadline)


def _park_under(link: Link | None, held: Lock, deadline: float) -> bool:
    if link is None:
        return _runtime.acquire_until(held, deadline)
    return _park_in(link, held, deadline)


def _park_in(link: Link, held: Lock, deadline: float) -> bool:
    # Looks again when the wait has ended for neither reason: at the end of a shield, say. There is
    # no `try` here: on 3.13 a Ctrl-C in the loop can skip handlers of its frame (cpython#130279).
    while True:
        _chain.check(link)
        ended = _park_once(link, held, deadline)
        if ended is False:
            _chain.check(link)  # where both are due, the scope goes first
        if ended is not None:
            return ended


def _park_once(link: Link, held: Lock, deadline: float) -> bool | None:
    """Wait until the latch is released, the time is up, or (None) a scope may have changed."""
    now = _runtime.monotonic()
    sleeper = Sleeper(held)
    scopes = _chain.reach(link, now)
    taken = False
    try:
        until = _enter(sleeper, scopes, deadline, now)
        taken = _runtime.acquire_until(held, until)
    finally:
        for scope in scopes:
            with scope._lock:
                scope._sleepers.pop(sleeper, None)
    if sleeper.woken:
        if not taken:
            # The time was up at the same moment. Hold the latch again, as a notifier expects it.
            held.acquire(blocking=False)
        return None
    # Not by the clock: a test may have put it back meanwhile.
    return taken or (False if until == deadline < math.inf else None)


def _enter(sleeper: Sleeper, scopes: list[Link], until: float, now: float) -> float:
    """Enter the sleeper in every scope; return when to look again."""
    for scope in scopes:
        with scope._lock:
            scope._sleepers[sleeper] = None
        if scope._requested or not scope._is_open():  # looked at when it has been entered
            return -math.inf
        until = min(until, scope._changes_at(now))
    return until


def sleep(seconds: float) -> None:
    """Wait so many seconds, or until the scope in force is cancelled or late.

    Example:
        >>> from joinable import move_on_after, sleep
        >>> with move_on_after(0.01):
        ...     sleep(60)

    Args:
        seconds: 0 or more; 0 only looks whether there is a reason to stop. Infinity: until then.

    Raises:
        TypeError, ValueError: `seconds` is not a number of at least 0.
        Cancelled: The scope in force, or one around it, is cancelled or late.
    """
    check_span(seconds, "seconds")
    park(latch(), _runtime.until(seconds))
