"""What a thread is to close: at the end of each task that it runs, and at its own end.

`ThreadLocal` enters here what belongs to a thread; whoever runs tasks has it closed when one ends.
What this promises:

- What was entered for a task is closed by the thread that entered it, newest first, when the task
  has ended and before anybody is told of its outcome. What was entered for the thread is closed
  when that ends: a thread of ours says so, the main one does at the exit of the interpreter, and
  any other when Python drops what is local to it.
- Closing may enter something again, which is closed in the next round. After `ROUNDS` of them what
  is still entered is forgotten, and that is reported.

Who may run between which lines: nobody. A record is touched by its own thread alone, but that
others may ask whether it is empty; and of `idents` each thread writes what is its own. A finalizer
or a signal handler of that thread may enter something between any two lines: it is found in the
same round or in the next.

A fork leaves the records of other threads behind, whose finalizers then run in the child, in a
thread that is not theirs: they do nothing. What is local to the forking thread stays.
"""

from __future__ import annotations

import atexit
import operator
import os
import sys
import threading

from joinable import _runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar, Protocol

    class Entry(Protocol):
        """What is to be closed; neither of these may raise.

        Whether the thread still has what is local to it is told to `close`.
        """

        def close(self, *, has_locals: bool) -> None: ...
        def forget(self) -> None: ...

    Entries = dict[Entry, None]


__all__ = ["ROUNDS", "Record", "close_at_exit", "mine"]

ROUNDS = 4
"""As often as POSIX lets what is local to a thread be made again while it is destroyed."""


class Record:
    """What one thread is to close; what is entered last is closed first."""

    ident = 0  # of no thread, until all is there that the finalizer looks at
    has_locals = True
    owner: threading.Thread | None = None
    worker: str | None = None
    """Which worker the thread is, whose name is that of what it runs."""
    idents: ClassVar[dict[int, int]] = {}
    """The threads that have one, and some that have had one; of each the id of the last."""
    on_entry: Callable[[], object] | None = None
    """Called before something is entered for a task, by who does not look after each task."""

    def __init__(self) -> None:
        """Make the record of the calling thread."""
        self.task: Entries = {}
        self.thread: Entries = {}
        self.ident = _runtime.get_ident()
        self.idents[self.ident] = id(self)

    def enter(self, entry: Entry, *, per_task: bool) -> None:
        """Have it closed at one of the two ends."""
        if per_task and self.on_entry is not None:
            self.on_entry()
        self.entries(per_task=per_task)[entry] = None

    def entries(self, *, per_task: bool) -> Entries:
        """Return what is to be closed at one of the two ends."""
        return self.task if per_task else self.thread

    def end_task(self, run: Callable[[Callable[[], object]], object] = operator.call) -> None:
        """Close what was entered for the task that has ended; never raises.

        `run` is the `run` of the task's context.
        """
        try:
            run(self._close_task)
        except RuntimeError:  # the context is the user's own, and another thread is in it
            self._close_task()

    def end_call(self, before: list[Entry], run: Callable[[Callable[[], object]], object]) -> None:
        """End a task that has run inside of another one, or of none; that one had these entries."""
        kept = {entry: None for entry in before if entry in self.task}
        try:
            for entry in kept:
                del self.task[entry]
            self.end_task(run)
        finally:
            self.task.update(kept)

    def end_thread(self) -> None:
        """Close all: what a task has left, and what was entered for the thread; never raises."""
        self._close(self.task, self.thread)

    def _close_task(self) -> None:
        self._close(self.task)

    def _close(self, *kinds: Entries) -> None:
        for _ in range(ROUNDS):
            for entries in kinds:
                for entry in reversed([*entries]):
                    if entry in entries:  # else what was closed before it has taken it out
                        del entries[entry]
                        entry.close(has_locals=self.has_locals)
            if not any(kinds):
                return
        for entries in kinds:
            while entries:
                entries.popitem()[0].forget()

    def know_thread(self) -> None:
        """Note which thread it is, for reports: at its very end nobody could tell any more."""
        if self.owner is None:
            # Not `current_thread()`: that would make an object for a thread that Python has not
            # started, which it never forgets before 3.13.
            threads = threading.enumerate()
            self.owner = next((each for each in threads if each.ident == self.ident), None)

    def __del__(self) -> None:
        """Close what is left: the thread ends, and it is not one of ours."""
        if not self.ident:
            return
        # At the end of an interpreter nothing of this module is there any more.
        if _runtime is None or sys.is_finalizing():  # type: ignore[redundant-expr]  # pyright: ignore[reportUnnecessaryComparison]
            return
        if self.ident != _runtime.get_ident():
            return  # in the child of a fork, where there is no such thread
        if self.task or self.thread:
            self._close_left()
        if self.idents.get(self.ident) == id(self):  # else another thread has its number by now
            del self.idents[self.ident]

    def _close_left(self) -> None:
        # What is local to it is gone. Touched now, it would come back, and nobody would drop it
        # again: half a kilobyte a thread. So that is left to what closes the values.
        self.has_locals = False
        _ending[self.ident] = self
        unknown = self.owner is not None and self.ident not in _known
        if unknown and self.owner is not None:
            # `threading` has forgotten it: `current_thread()`, as every line of a log calls it,
            # would make another object for it, of which 3.13 complains at exit.
            _known[self.ident] = self.owner
        self.end_thread()
        if unknown:
            del _known[self.ident]
        del _ending[self.ident]


_here = threading.local()
_ending: dict[int, Record] = {}
"""The records of threads that have lost what is local to them, by ident."""

_known: dict[int, threading.Thread] = getattr(threading, "_active", {})
"""The threads that `threading` knows, by ident; of which setting and deleting are atomic."""

_process: list[int] = []  # in which the hook is registered: multiprocessing clears it in a child


def mine() -> Record:
    """Return the record of the calling thread."""
    try:
        record: Record = _here.record
    except AttributeError:
        known = _ending.get(_runtime.get_ident()) if _ending else None
        if known is not None:
            known.has_locals = True  # again: what is closed now uses them
            return known
        record = _here.record = Record()
    return record


def known() -> Record | None:
    """Return the record of the calling thread if it has one.

    To make one that nobody needs would cost a tenth of what a thread costs.
    """
    return mine() if _runtime.get_ident() in Record.idents else None


def left_by_task() -> Record | None:
    """Return that record if the task that has ended here has left something to close."""
    record = known()
    return record if record is not None and record.task else None


def thread_name() -> str:
    """Return what the calling thread is called, whatever it runs at the moment."""
    # Not `current_thread()`, see `know_thread`.
    ident = _runtime.get_ident()
    thread = _known.get(ident)
    return mine().worker or (f"thread {ident}" if thread is None else thread.name)


def close_at_exit() -> None:
    """See that the thread which exits the interpreter closes what it has."""
    if os.getpid() not in _process:
        _process[:] = [os.getpid()]
        atexit.unregister(_close_here)
        atexit.register(_close_here)


def _close_here() -> None:
    try:
        mine().end_thread()
    except BaseException:  # Ctrl-C between two lines; all that is closed has been taken out
        mine().end_thread()
        raise


def renew() -> tuple[Callable[[], object], Callable[[], object]]:
    """Start from nothing, for one run of a test; return what ends the run, and what undoes this."""
    global _here  # so that no thread knows its old record
    old, _here = _here, threading.local()

    def restore() -> None:
        global _here  # noqa: PLW0603  as above
        _here = old

    return _close_here, restore
