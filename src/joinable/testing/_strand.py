"""One controlled thread, as the scheduler sees it.

A strand runs only while it holds the baton. Its fields are written by the thread that holds the
baton, whichever that is, so none of them needs a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from joinable.testing._baton import Baton

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


class Resource(Protocol):
    """Something a strand can wait for."""

    def ready(self) -> bool:
        """Tell whether a strand that waits for this could go on now."""
        ...

    def describe(self) -> str:
        """Name it for a deadlock message, with its holder where that is known."""
        ...


class Strand:
    """A controlled thread: its baton, what it waits for, and how far it is."""

    __slots__ = (
        "baton",
        "booting",
        "daemon",
        "deadline",
        "finished",
        "ident",
        "killed",
        "number",
        "parent",
        "priority",
        "quiet",
        "reap",
        "sentinel",
        "steps",
        "thread",
        "unwound",
        "wait",
    )

    def __init__(self, number: int, parent: Strand | None, *, daemon: bool) -> None:
        self.number = number
        self.parent = parent
        self.daemon = daemon
        self.baton = Baton()
        self.ident = 0
        self.thread: threading.Thread | None = None
        #: Points passed by this strand: with `number` the address of a decision.
        self.steps = 0
        #: While above zero the strand reaches no points (it holds a lock that stays real).
        self.quiet = 1
        #: Between the start of the OS thread and the first line of `run`.
        self.booting = True
        self.finished = False
        #: Told to end: the next point raises `Unwind`.
        self.killed = False
        #: How much it has done since it was told to end.
        self.unwound = 0
        self.wait: Resource | None = None
        self.deadline: float | None = None
        self.priority = 0.0
        #: Waits until the OS thread is really gone, its thread-locals destroyed.
        self.reap: Callable[[], object] = _nothing
        #: 3.11 and 3.12: released at the end, so that `join` returns.
        self.sentinel: Callable[[], None] = _nothing

    @property
    def name(self) -> str:
        """The thread's name, or its number when it was not made by `threading`."""
        # Not its property `name`: that is code, which may be watched, and a point in the scheduler
        # itself would end the run twice.
        return f"thread {self.number}" if self.thread is None else vars(self.thread)["_name"]


def _nothing() -> None:
    """Stand in for a duty this version or this strand does not have."""
