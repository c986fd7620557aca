"""The programs of `docs/examples`, started as a user does it, interrupted, and looked into."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PATIENCE = 100.0  # seconds, long before which everything here has happened, on a busy machine too
# Warnings are errors in the programs: a file that is left open would show on stderr.
ENVIRONMENT = {**os.environ, "PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error"}

not_on_windows = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows cannot send a signal to one process"
)


def load(name: str) -> ModuleType:
    """Import an example, which lies in no package."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run an example to its end."""
    return subprocess.run(  # noqa: S603  our own example
        [sys.executable, EXAMPLES / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=ENVIRONMENT,
    )


@contextmanager
def started(*arguments: str | Path) -> Generator[subprocess.Popen[str]]:
    """Start an interpreter with these arguments, and end it after the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603  our own example
        [sys.executable, *arguments], stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def press_ctrl_c(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Interrupt a process; return how it ended, and what it had still to say."""
    # CPython overlooks a signal that comes just before a lock wait, until it is woken. So a second
    # one is in reserve, sent only when one did not end the process.
    for patience in (PATIENCE / 2, PATIENCE):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            stdout, stderr = process.communicate(timeout=patience)
            return process.returncode, stdout, stderr
    raise AssertionError("Ctrl-C did not end the process")
