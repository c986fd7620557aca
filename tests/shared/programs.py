"""The programs of docs/examples, started as a user does, and what reaches them from outside."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PATIENCE = 100.0  # seconds, long before which everything here has happened, on a busy machine too
# Warnings are errors in the programs: a socket left open would show on stderr.
ENVIRONMENT = {
    **os.environ,
    "PYTHONDEVMODE": "1",
    "PYTHONWARNINGS": "error",
    "PYTHONPATH": str(EXAMPLES),  # for a program that begins with `import serve`
}

not_on_windows = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows cannot send a signal to one process"
)


def load(name: str) -> ModuleType:
    """Import an example, which lies in no package."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # its classes look themselves up among the modules
    return module


def run(
    name: str, *arguments: str | Path, seconds: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run an example to its end, which comes within so many seconds."""
    return subprocess.run(  # noqa: S603  our own example
        [sys.executable, EXAMPLES / f"{name}.py", *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=ENVIRONMENT,
    )


@contextmanager
def started(
    name: str, *arguments: str | Path, code: str = "", env: Mapping[str, str] | None = None
) -> Generator[subprocess.Popen[str]]:
    """Start an example, or `code` that imports it, and kill it if it has not ended by then."""
    program = ["-c", code] if code else [str(EXAMPLES / f"{name}.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603  the program is our own
        [sys.executable, *program, *arguments],
        stdout=pipe,
        stderr=pipe,
        text=True,
        env={**ENVIRONMENT, **(env or {})},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def refusal(module: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Give a program arguments that it refuses; return what it says."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit, match=r"^2$"):
        patch.setattr(sys, "argv", [module.__name__, *arguments])
        module.main()
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def line_of(process: subprocess.Popen[str]) -> str:
    """Return the next line that it prints; nothing when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Look again and again: what another process does wakes nobody here."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.001)


def send(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> None:
    """Send a signal when the main thread has been waiting for a while.

    One that comes in the very microseconds in which a wait begins is seen by CPython only when that
    wait ends.
    """
    status = Path(f"/proc/{process.pid}/task/{process.pid}/status")
    looks: list[str] = [""]

    def waits() -> bool:
        time.sleep(0.01)
        text = status.read_text()
        counts = text[text.index("voluntary_ctxt_switches") :]
        looks.append(counts if "State:\tS" in text else "")
        return bool(looks[-1]) and len(looks) > 5 and len(set(looks[-5:])) == 1

    if status.exists():
        wait_until(waits)
    process.send_signal(number)


def press_ctrl_c(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Interrupt a process that is busy; return how it ended, and what it had still to say."""
    # CPython overlooks a signal that comes just before a lock wait, until it is woken. So a second
    # one is in reserve, sent only when one did not end the process.
    for patience in (PATIENCE / 2, PATIENCE):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            stdout, stderr = process.communicate(timeout=patience)
            return process.returncode, stdout, stderr
    raise AssertionError("Ctrl-C did not end the process")
