"""The pools of this process: what the exit of the interpreter and a fork owe to them.

A normal exit finishes what was accepted: it waits until every open pool has done what it was given.
Ctrl-C meanwhile cancels that, and a second one leaves at once. The hook is registered when the
first pool is made. Such hooks run newest first, and all of them before threads are joined that are
no daemons: those may give work to a pool no more.

The child of a fork has none of the workers, and what its parent has given to a pool is the
parent's. So there every pool begins anew, without work and without workers.

Who may run between which lines: setting and copying a dict are atomic on every build. A pool that
is made while the hook runs is closed by its maker, who looks at `over` after it has entered it.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref

from joinable import _frames, _workers
from joinable._verdict import say_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from joinable._staff import Staff

    class Pool(Protocol):
        """What is told of a fork."""

        def begin_anew(self) -> None: ...


__all__ = ["enter", "outlast", "renew"]

_ENDING = "interpreter shutdown"


class _Open:
    """What is open; one for the process."""

    def __init__(self) -> None:
        self.staffs: weakref.WeakValueDictionary[int, Staff] = weakref.WeakValueDictionary()
        self.pools: weakref.WeakValueDictionary[int, Pool] = weakref.WeakValueDictionary()
        self.over = False


_open = _Open()


def enter(staff: Staff, pool: Pool) -> None:
    """See that it is waited for at exit, and begins anew after a fork."""
    if not _registered():
        staff.close(_ENDING)
        return
    _open.staffs[id(staff)] = staff
    _open.pools[id(pool)] = pool
    if _open.over:
        staff.close(_ENDING)


@functools.cache  # once in the life of a process: a child inherits it, and it cannot be undone
def _registered() -> bool:
    """Register the hooks; False where it is too late for that."""
    # First: what it registers is called after our own, when our workers are idle.
    _workers.prepare()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forked)
    try:
        getattr(threading, "_register_atexit", bool)(_finish)
    except RuntimeError:
        return False
    return True


def staffs() -> list[weakref.ref[Staff]]:
    """Return those of the pools of this process, for who looks at them and must not wait."""
    return list(_open.staffs.valuerefs())


def _finish() -> None:
    """Let every pool finish what it was given, and wait for that."""
    _open.over = True
    staffs = [staff for each in _open.staffs.valuerefs() if (staff := each()) is not None]
    for staff in staffs:
        staff.close(_ENDING)
    staffs = [staff for staff in staffs if not staff.is_given_up()]
    try:
        for staff in staffs:
            staff.wait()
    except BaseException:  # Ctrl-C
        for staff in staffs:
            staff.stop()
        for staff in staffs:
            outlast(staff)
        raise


def outlast(staff: Staff) -> None:
    """Wait for what was asked to stop; a Ctrl-C leaves it, and names it."""
    try:
        # A function of its own: on 3.13 a Ctrl-C inside `while condition:` can skip the `except`
        # of its own frame (cpython#130279).
        staff.outlast_all()
    except BaseException as interrupt:
        staff.abandon()
        left = say_calls(staff.runners())
        _frames.note(interrupt, f"{staff.name!r} left these calls running: {left or 'none'}")
        raise


def _forked() -> None:
    """Begin anew, in the child of a fork."""
    pools = [pool for each in _open.pools.valuerefs() if (pool := each()) is not None]
    _open.staffs = weakref.WeakValueDictionary()
    for pool in pools:
        pool.begin_anew()


def renew() -> tuple[Callable[[], object], Callable[[], object]]:
    """Start from nothing, for one run of a test; return what ends the run, and what undoes this."""
    global _open
    old, _open = _open, _Open()
    _registered()

    def restore() -> None:
        global _open  # noqa: PLW0603  what is open in a run is not open outside
        _open = old

    return _finish, restore
