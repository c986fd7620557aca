"""A task that has no lock, and no list of those who wait, until somebody needs one.

Most tasks of a pool are asked for when they have ended, or by one thread that waits. What all
others need is made when they come. Until then a seal says who writes the end.

Who may run between which lines. Deleting an attribute is one step on every build, where it lies in
the instance's dict (a slot would not do): of two who delete it, one gets an AttributeError. And it
takes the lock of the dict, as setting one does: of two who do that, the second sees all that the
first has done before.

- While `_seal` is there, the worker ends the call without a lock. It writes the result, deletes the
  seal, writes the state, and *then* looks whether one waits (`_first`). The one who waits and finds
  `_place`, which is there for one, enters its latch in `_first`, and *then* looks for the seal. So
  either it finds the seal, and the worker the latch, or the result is there.
- Whoever needs the lock makes it, and breaks the seal (`_furnish`): from then on the worker ends
  the call as every task ends, under the lock. Of the two, one gets the seal. When the seal was gone
  because the worker has it, the result is written, and the state is written for the worker.

So `wait` and `as_completed` of `concurrent.futures`, which look at the state under the lock and
trust it until they have let go, see it change under the lock only.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

from concurrent.futures._base import FINISHED

from joinable import _events, _park, _runtime
from joinable._chain import current, forks
from joinable._errors import Cancelled
from joinable._outcome import BEGUN_OR_NOT, DONE_STATES
from joinable._running import Running
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any, Protocol

    from joinable._typing import Lock, T

    class Host(Protocol):
        """Who has the call done, as far as it matters to who waits."""

        fork: int

        @property
        def spots(self) -> Container[int]: ...  # threads that are at its calls

        def lend(self) -> bool: ...
        def take_back(self, deadline: float) -> None: ...

        def is_here(self) -> bool: ...


__all__ = ["Sealed"]

_PARTS = frozenset(("_mutex", "_waiters", "_done_callbacks", "_latches"))
_furnishing = _runtime.allocate_mutex()
"""Guards the making of those parts: of two who need them at once, one makes them."""


class Sealed(Running["T"]):
    """A task whose worker ends it without a lock, as long as nobody else has needed one."""

    # Not on the class, as what other tasks begin with: an instance's attribute that hides one of
    # its class is looked up the long way, each time.
    if TYPE_CHECKING:
        _staff: Host
        _seal: None
        _place: None
        _first: Lock | None

    def __getattr__(self, name: str) -> Any:
        # Called for what is missing: for these, once in the life of a task.
        if name not in _PARTS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._furnish()
        return vars(self)[name]

    def _furnish(self) -> None:
        """Make what is needed to look at a task that may be running."""
        with _furnishing:
            if "_mutex" in vars(self):
                return
            # Each step may have been done before, by a signal handler or until a Ctrl-C.
            broken = vars(self).setdefault("_broken", [])
            # Broken and noted in one step: a Ctrl-C is handled before it or after.
            try:
                broken.extend(map(delattr, (self,), ("_seal",)))
            except AttributeError:
                if not broken:
                    self._state = FINISHED  # the worker has the seal, and is about to write that
            made = vars(self).setdefault("_made", ([], [], [], _runtime.allocate_mutex()))
            self._waiters, self._done_callbacks, self._latches, self._mutex = made

    @override
    def _wait(self, timeout: float | None) -> None:
        # The way that most go who wait for a task of a pool: it is felt how long that is.
        staff = self._staff
        if (
            timeout is None
            and current.get() is None
            and _runtime.get_ident() not in staff.spots
            and staff.fork == forks[0]
        ):
            latch = self._be_first()
            if latch is not None:
                _runtime.acquire(latch)
            if self._state in DONE_STATES:
                return
        super()._wait(timeout)

    @override
    def _wait_once(self, deadline: float) -> bool:
        self._refuse_to_wait()
        latch = self._be_first()
        if latch is None:
            return super()._wait_once(deadline)
        try:
            return _park.park(latch, deadline, self) or self._state in DONE_STATES
        except Cancelled:
            if self._state in DONE_STATES:
                return True  # cancelled at the moment of the end: there is nothing to wait for
            raise

    def _be_first(self) -> Lock | None:
        """Return a latch that the end will release; None for who has to wait as for other tasks."""
        if _events.observers:
            return None
        latch = _park.latch()
        try:
            del self._place
        except AttributeError:  # somebody else is the first
            return None
        self._first = latch
        return latch if hasattr(self, "_seal") else None

    @override
    def _finish(
        self,
        state: str,
        result: T | None = None,
        exception: BaseException | None = None,
        allowed: frozenset[str] = BEGUN_OR_NOT,
    ) -> bool:
        try:
            return super()._finish(state, result, exception, allowed)
        finally:
            if self._first is not None and self._state in DONE_STATES:
                _park.release(self._first)
