"""Threads that give back their value, their error and your time.

Everyday names are here; nothing is started, patched or registered by importing them.
"""

from __future__ import annotations

from joinable._chain import checkpoint, remaining
from joinable._combine import run_all
from joinable._each import run_each
from joinable._errors import (
    Cancelled,
    CancelledError,
    DeadlineExceeded,
    GroupClosed,
    InvalidStateError,
)
from joinable._group import TaskGroup
from joinable._limits import fail_after, move_on_after, shield
from joinable._park import sleep
from joinable._race import run_any
from joinable._scope import CancelScope, current_scope
from joinable._spawn import spawn, threaded
from joinable._stream import Stream
from joinable._task import Task
from joinable._thread import Thread, abandoned_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joinable._context import bind, carry
    from joinable._pool import ThreadPool
    from joinable._statistics import GroupStatistics, PoolStatistics
    from joinable._thread_local import ThreadLocal
    from joinable._tree import dump_tree, dump_tree_on_signal

__all__ = [
    "CancelScope",
    "Cancelled",
    "CancelledError",
    "DeadlineExceeded",
    "GroupClosed",
    "GroupStatistics",
    "InvalidStateError",
    "PoolStatistics",
    "Stream",
    "Task",
    "TaskGroup",
    "Thread",
    "ThreadLocal",
    "ThreadPool",
    "abandoned_threads",
    "bind",
    "carry",
    "checkpoint",
    "current_scope",
    "dump_tree",
    "dump_tree_on_signal",
    "fail_after",
    "move_on_after",
    "remaining",
    "run_all",
    "run_any",
    "run_each",
    "shield",
    "sleep",
    "spawn",
    "threaded",
]

_LATER = {
    "GroupStatistics": "joinable._statistics",
    "PoolStatistics": "joinable._statistics",
    "ThreadLocal": "joinable._thread_local",
    "ThreadPool": "joinable._pool",
    "bind": "joinable._context",
    "carry": "joinable._context",
    "dump_tree": "joinable._tree",
    "dump_tree_on_signal": "joinable._tree",
}
"""What few programs need, by the module that has it: that is loaded when it is first asked for."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415  it is there already

    value: object = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__version__ = "0.1.0"
