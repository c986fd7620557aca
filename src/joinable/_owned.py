"""What a thread has of one `ThreadLocal`: a value that it is to close, and values of binds.

In the thread's own dictionary there is `value`, absent when there is none; `owned`, its entry in
what the thread is to close, None where the value is only bound; `top`, the innermost bind. A bind
keeps all three as they were before it, so binds make a chain; what was set in one is closed when
that is left.

Who may run between which lines: a finalizer, or on the main thread a signal handler, that uses this
very ThreadLocal; nobody else. What is new is entered first, and becomes visible in one step; so it
is closed in any case.
"""

# What is here are parts of a ThreadLocal, not its users.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import os
import threading

from joinable import _chain, _closing, _frames, _unasked
from joinable._bind import elsewhere
from joinable._check import short
from joinable._limits import shield

TYPE_CHECKING = False
if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable
    from typing import Any, Protocol

    class Place(Protocol):
        """A ThreadLocal."""

        _per_task: bool

        def _here(self) -> dict[str, object]: ...
        def _entries(self) -> _closing.Entries: ...
        def _close(self, owned: object) -> None: ...


__all__ = ["LAST_WAIT", "Bound", "Owned"]

LAST_WAIT = 1.0
"""Seconds that an `on_exit` may wait in a task that was told to stop: as its `finally` would."""


class Owned:
    """A value that a thread is to close."""

    __slots__ = ("on_exit", "process", "reference", "value")

    def __init__(
        self,
        reference: weakref.ref[threading.local],
        value: object,
        on_exit: Callable[[Any], object] | None,
    ) -> None:
        self.reference = reference
        # What is only to be dropped goes with the ThreadLocal, if that goes first.
        self.value = None if on_exit is None else value
        self.on_exit = on_exit
        self.process = 0 if on_exit is None else os.getpid()

    def close(self, *, has_locals: bool) -> None:
        """Close it: its task or thread ends."""
        if has_locals:
            self._hide()
        if self.on_exit is None:
            return
        try:
            if _chain.here() is None:
                self.call()
            else:
                with shield(LAST_WAIT):
                    self.call()
        except BaseException as error:  # noqa: BLE001  reported: the other values are to be closed
            self._report(error)

    def call(self) -> None:
        """Have it closed; in the process in which it was made, for it has one end."""
        if self.on_exit is not None and self.process == os.getpid():
            self.on_exit(self.value)

    def forget(self) -> None:
        """Report that it is not closed."""
        self._hide()
        if self.on_exit is not None and self.process == os.getpid():
            rounds = f"after {_closing.ROUNDS} rounds of closing there was still something to close"
            self._report(RuntimeError(f"{rounds}; this value is not: {short(self.value)}"))

    def _hide(self) -> None:
        local = self.reference()
        if local is not None and local.__dict__.get("owned") is self:
            local.__dict__.pop("value", None)
            local.__dict__["owned"] = None

    def _report(self, error: BaseException) -> None:
        _frames.cut(error)
        _frames.note(error, f"in on_exit={short(self.on_exit)} of a ThreadLocal")
        thread = _closing.mine().owner
        arguments = threading.ExceptHookArgs((type(error), error, error.__traceback__, thread))
        _unasked.report(lambda: arguments)


class Bound:
    """A ThreadLocal and its value in a block; what was there before it."""

    __slots__ = ("is_left", "local", "saved", "value")

    def __init__(self, local: Place, value: object) -> None:
        """Know them."""
        self.local = local
        self.value = value
        self.saved: dict[str, object] = {}
        self.is_left = True

    def enter(self) -> None:
        """Put it there."""
        here = self.local._here()  # noqa: SLF001
        self.is_left = False
        self.saved = {name: here.get(name) for name in ("owned", "top")}
        if "value" in here:
            self.saved["value"] = here["value"]
        _closing.mine().enter(self, per_task=self.local._per_task)  # noqa: SLF001
        here.update(value=self.value, owned=None, top=self)

    def leave(self) -> None:
        """Put back what was there before; nothing happens when that was done."""
        if not self.is_left:
            self._take_out()

    def _take_out(self) -> None:
        """Be what it was before the bind; close what was set in it."""
        entries, here = self.local._entries(), self.local._here()  # noqa: SLF001
        if self not in entries:
            self.is_left = True
            raise elsewhere("the task in which it was entered has ended")
        inner, over = _levels(here, self)
        if inner is not None:
            self.restore(here)
        self.is_left = True  # first: an entry that stays behind does nothing
        for each in (*(inner or ()), self):
            entries.pop(each, None)
        try:
            for owned in over:
                self.local._close(owned)  # noqa: SLF001
        finally:
            if inner:
                raise RuntimeError("a bind was left before another one that was entered in it")

    def restore(self, here: dict[str, object]) -> None:
        """Put it back; the last step says that the bind is left."""
        if "value" not in self.saved:
            here.pop("value", None)
        here.update(self.saved)

    def close(self, *, has_locals: bool) -> None:
        """Be left, since the task or the thread ends in which it was entered."""
        here = self.local._here() if has_locals else {}  # noqa: SLF001
        if here.get("top") is self:
            self.restore(here)

    def forget(self) -> None:
        """Be left."""
        self.close(has_locals=True)


def _levels(here: dict[str, object], bound: object) -> tuple[list[Bound] | None, list[object]]:
    """Return the binds inside this one, and what was set in them and in it.

    None where it is not in force, since a Ctrl-C has come between two lines.
    """
    inner: list[Bound] = []
    over: list[object] = []
    level = here
    while True:
        top = level.get("top")
        over.append(level.get("owned"))
        if top is bound:
            return inner, over
        if not isinstance(top, Bound):
            return None, []
        inner.append(top)
        level = top.saved
