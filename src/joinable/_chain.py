"""Which scopes can stop what runs here: the chain from the innermost one outwards.

The scope in force is in a ContextVar, so a thread of ours, which runs in a copy of its starter's
context, inherits it. Whoever waits enters itself in every scope from there outwards, up to the
first active shield, as a watcher; cancelling a scope wakes its watchers. Deadlines wake nobody: who
waits, waits no longer than to the earliest.

Who may run between which lines. A link's lock guards `_sleepers` and `_callbacks`; `_requested` is
written under it. A watcher adds itself under the lock and *then* looks at `_requested`; `cancel`
writes `_requested` and then looks at the watchers: so either sees the other, also where `cancel`
runs in a signal handler between two lines of the adding thread, which the lock lets in. The end of
a shield is the same with `_state`, which the entering thread alone writes. Whoever was woken looks
at the whole chain anew, so it does not matter who woke it.

A generator that yields inside the block of a scope leaves it behind in its consumer's context.
Such a scope remembers the generator's frame, and is in force only while that runs.

The child of a fork has none of the threads that could leave or cancel what it inherits, and a lock
may be held for ever: scopes of the parent process are not in force there.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import operator
import os

from joinable import _frames, _runtime
from joinable._errors import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Protocol

    from joinable._typing import Lock

    class Owner(Protocol):
        """What a seat needs of a task."""

        def _make_scope(self) -> object: ...

    class Callback(Protocol):
        """What a scope needs of a callback that is registered with it."""

        scope: Link

        def call(self) -> None: ...
        def look_again(self) -> None: ...
        def remove(self) -> None: ...

    Seat = list[Any]
    """What stands for the scope of a task, which is made when somebody asks for it.

    Most calls never wait in the library, and nobody cancels them: theirs is never made. It is a
    list, and no object with names: each task has one, and that would take three times as long.
    """


NEW, ENTERED, LEFT = "not entered", "entered", "left"

OWNER, PARENT, LINK = 0, 1, 2
"""What a seat holds: the task (None before its call is started and when it has ended), the scope
around it, and the scope of the task, or None as long as there is none."""

current: contextvars.ContextVar[Link | Seat | None] = contextvars.ContextVar(
    "joinable.scope", default=None
)
"""The innermost scope, or what stands for it; `here` gives it, `in_force` the one that counts."""

forks = [0]  # how many lie between this process and the first one; a scope keeps its own count


class Sleeper:
    """One wait, as the scopes see it that can end it."""

    __slots__ = ("_release", "_released", "latch")

    def __init__(self, latch: Lock) -> None:
        """Begin a wait on a latch."""
        self.latch = latch
        self._release = [latch.release]  # two scopes may be cancelled at once: `pop` is atomic
        self._released: list[None] = []

    @property
    def woken(self) -> bool:
        """Whether `wake` has ended the wait."""
        return bool(self._released)

    def wake(self) -> None:
        """Have it look again: release the latch, if nobody else has; under the scope's lock."""
        # Taken, called and noted in one step: a Ctrl-C is handled before it or after.
        with contextlib.suppress(IndexError, RuntimeError):
            self._released.extend(map(operator.call, iter(self._release.pop, None)))


def release(latch: Lock) -> bool:
    """End the wait on a latch; False when somebody has ended it already."""
    try:
        latch.release()
    except RuntimeError:
        return False
    return True


class Link:
    """What the chain has to know of a scope."""

    # What a scope begins with, on the class: it makes a scope, and so a thread, cheaper.
    _deadline = math.inf
    _shield_until = -math.inf
    _state = NEW
    _requested = False
    _passed = False  # the deadline was over when the scope was left
    _stays = False  # cancelled or late, and left in order: no context of its own thread has it
    _reason: str | BaseException | None = None
    _parent: Link | None = None
    _frame: FrameType | None = None
    _thread: int | None = None
    _since = 0.0  # when it was entered

    def __init__(self) -> None:
        """Make a link that is in no chain yet."""
        count_forks()
        self._fork = forks[0]
        self._lock = _runtime.allocate_mutex()
        self._sleepers: dict[Sleeper, None] = {}
        self._callbacks: dict[Callback, None] = {}

    def _open(self, parent: Link | None) -> None:
        self._parent = without_the_over(parent)
        self._fork, self._thread = forks[0], _runtime.get_ident()
        self._since = _runtime.monotonic()
        self._state = ENTERED

    def _is_of_this_process(self) -> bool:
        return self._fork == forks[0]

    def _is_open(self) -> bool:
        return self._state is ENTERED and self._fork == forks[0]

    def _is_over(self) -> bool:
        """Tell whether it will not be in force again, here or in any other thread."""
        # `_stays` is written before the state, which is read first.
        return (self._state is LEFT and not self._stays) or self._fork != forks[0]

    def _is_late(self) -> bool:
        return self._deadline < math.inf and self._is_due(_runtime.monotonic())

    def _is_in_force(self) -> bool:
        """Tell whether it is open, and its block is one that the calling thread runs.

        One that was cancelled before it was left stays in force for the threads that still run in
        it: what was told to stop stays told.
        """
        if self._state is not ENTERED or self._fork != forks[0]:
            return self._stays and self._fork == forks[0]
        frame = self._frame
        return frame is None or self._thread != _runtime.get_ident() or _frames.on_stack(frame)

    def _asks(self, now: float) -> bool:
        return self._requested or self._stays or self._is_due(now)

    def _is_due(self, now: float) -> bool:
        return self._deadline <= now + _runtime.MOMENT

    def _shields(self, now: float) -> bool:
        return self._shield_until > now + _runtime.MOMENT

    def _changes_at(self, now: float) -> float:
        """Return when it changes by itself: at its deadline, or the end of its shield."""
        return min(self._deadline, self._shield_until if self._shields(now) else math.inf)

    def _interruption(self) -> Cancelled:
        late = not self._requested
        error = Cancelled("the deadline has passed" if late else self._reason)
        error._scope, error._late = self, late
        return error

    def _has_asked(self, error: BaseException) -> bool:
        """Tell whether `error` is a `Cancelled` of this scope, or of one around it."""
        return isinstance(error, Cancelled) and self._is_in(error._scope)

    def _is_in(self, scope: object) -> bool:
        """Tell whether it is that scope, or one in it."""
        link: Link | None = self
        while link is not None and link is not scope:
            link = link._parent
        return link is not None

    def _has_run_out(self, error: BaseException | None) -> bool:
        """Tell whether the deadline has ended what `error` has ended, and nobody's `cancel`."""
        if isinstance(error, Cancelled) and self._has_asked(error):
            return error._scope is self and error._late
        return self._passed


def here() -> Link | None:
    """Return the innermost scope, which may be over."""
    return resolved(current.get())


def resolved(found: Link | Seat | None) -> Link | None:
    """Return what stands in `current`, or what that stands for.

    For a seat it is the scope of the task; the one around it, when the task has ended without.
    """
    if not isinstance(found, list):
        return found
    owner: Owner | None = found[OWNER]
    if found[LINK] is None and owner is not None:
        owner._make_scope()  # it becomes the link
    link: Link | None = found[LINK]
    outer: Link | None = found[PARENT]
    return outer if link is None else link


def in_force() -> Link | None:
    """Return the innermost scope that the calling code runs in; None without one."""
    link = resolved(current.get())
    while link is not None and not link._is_in_force():
        link = link._parent
    return link


def without_the_over(link: Link | None) -> Link | None:
    """Return the innermost scope from there that is not over, and unlink all that are.

    Else threads that start each other and end, as timers do, would make a chain without end. Two
    may do this to one chain at once: what either writes is right, if not always the shortest.
    """
    first = inner = _not_over(link)
    while inner is not None:
        outer = inner._parent
        kept = _not_over(outer)
        if kept is not outer:
            inner._parent = kept
        inner = kept
    return first


def _not_over(link: Link | None) -> Link | None:
    while link is not None and link._is_over():
        link = link._parent
    return link


def reach(link: Link | None, now: float, *, anywhere: bool = False) -> list[Link]:
    """Return the scopes that can stop what runs in `link` now, from the innermost outwards.

    With `anywhere` also those of a generator that does not run at the moment.
    """
    found: list[Link] = []
    while link is not None:
        if link._is_in_force() or (anywhere and link._is_open()):
            found.append(link)
            if link._shields(now):
                break
        link = link._parent
    return found


def check(link: Link) -> None:
    """Raise `Cancelled` for the outermost scope that asks what runs in `link` to stop."""
    now = _runtime.monotonic()
    asking = [found for found in reach(link, now) if found._asks(now)]
    if asking:
        raise asking[-1]._interruption()


def checkpoint() -> None:
    """Raise `Cancelled` if the scope in force, or one around it, is cancelled or late.

    Call it in long computations, which nothing else can stop.

    Example:
        >>> from joinable import checkpoint, move_on_after
        >>> with move_on_after(0.01):
        ...     while True:
        ...         checkpoint()
    """
    link = here()
    if link is not None:
        check(link)


def remaining() -> float:
    """Return the seconds left until the scope in force stops what runs in it.

    For the `timeout=` of calls that are not the library's. Infinity without a deadline, which
    sockets and locks refuse: give them None then. 0.0 when it has passed or a scope is cancelled,
    which for a socket means "do not wait". What a `shield` keeps off counts from its end.

    Example:
        >>> from joinable import fail_after, remaining
        >>> remaining()
        inf
        >>> with fail_after(5):
        ...     4.9 < remaining() <= 5
        True
    """
    now = _runtime.monotonic()
    end, shielded = math.inf, -math.inf
    link = here()
    while link is not None:
        if link._is_in_force():
            asks = -math.inf if link._asks(now) else link._deadline
            end = min(end, max(asks, shielded))
            shielded = max(shielded, link._shield_until)
        link = link._parent
    return max(0.0, end - now)


@functools.cache  # once in the life of a process: a child inherits it, and it cannot be undone
def count_forks() -> None:
    """See that forks are counted from here on."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    forks[0] += 1
