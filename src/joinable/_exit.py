"""What the exit of the interpreter owes to daemon threads: to be told, and a second to clean up.

A daemon's `finally` blocks do not run at exit unless somebody waits for them. So a daemon `Thread`
is asked to stop, as by its `cancel()`, when all other threads have ended, and the exit waits a
second for all of them together. What was abandoned before is not waited for.

Nothing is registered before the first daemon runs. Who may run between which lines: `running` is a
dict, of which setting, popping and copying are atomic on every build. Two daemons that begin at
once may both register the hook; it does its work once.
"""

from __future__ import annotations

import atexit
import os
import threading

from joinable import _runtime
from joinable._running import LAST_MOMENT, abandoned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["began", "ended"]

running: dict[threading.Thread, tuple[int, Callable[[], object]]] = {}
"""The daemons that run, each with its process and what asks it to stop."""

_process: list[int] = []  # in which the hook is registered: multiprocessing clears it in a child


def began(cancel: Callable[[], object]) -> None:
    """Note that the calling thread is a daemon that is about to run a call."""
    if os.getpid() not in _process:
        _process[:] = [os.getpid()]
        atexit.unregister(_tell_daemons)
        atexit.register(_tell_daemons)
    running[threading.current_thread()] = os.getpid(), cancel


def ended() -> None:
    """Forget the calling thread, which has run its call."""
    running.pop(threading.current_thread(), None)


def _tell_daemons() -> None:
    me = os.getpid()
    if _process != [me]:
        return
    _process.clear()
    daemons = running.copy().items()
    # What was running when this process was forked is not in it.
    told = [(each, stop) for each, (at, stop) in daemons if at == me and each not in abandoned]
    for _, cancel in told:
        cancel()
    end = _runtime.monotonic() + LAST_MOMENT
    for thread, _ in told:
        if thread.is_alive():
            _runtime.join(thread, max(0.0, end - _runtime.monotonic()))
