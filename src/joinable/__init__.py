"""Threads that give back their value, their error and your time.

Everyday names are here; nothing is started, patched or registered by importing them.
"""

from __future__ import annotations

from joinable._combine import run_all
from joinable._errors import CancelledError, DeadlineExceeded, InvalidStateError
from joinable._spawn import spawn, threaded
from joinable._task import Task
from joinable._thread import Thread

__all__ = [
    "CancelledError",
    "DeadlineExceeded",
    "InvalidStateError",
    "Task",
    "Thread",
    "run_all",
    "spawn",
    "threaded",
]

__version__ = "0.1.0"
