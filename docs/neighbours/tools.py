"""Which tools are compared, and how a question is asked in a process of its own."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

VERSIONED = ("anyio", "trio", "joblib", "pebble")
STANDARD = ("threading", "futures", "ThreadPool", "asyncio")
TOOLS = (*STANDARD, *VERSIONED, "joinable")
PATIENCE = 5.0  # seconds, on a busy machine: what has not happened by then does not happen
LONG = 60  # seconds that a call or a queue of calls takes, which is not to be waited for


def named(module: str) -> Any:
    """Import a neighbour by its name: the type checkers do not have them all."""
    return importlib.import_module(module)


def run_self(*words: str) -> subprocess.Popen[str]:
    """Start this program, with one question."""
    pipe = subprocess.PIPE
    command = [sys.executable, str(Path(__file__).with_name("table.py")), *words]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
