"""Programs in an interpreter of their own, and signals that reach them when they wait."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal

LIMIT = 20  # seconds; a process that is not done by then hangs


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in an interpreter of its own."""
    command = [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(  # noqa: S603  the test's own code
        command, capture_output=True, text=True, timeout=LIMIT, check=False
    )


# Prints a line once the main thread has been blocked in one place for a while. A signal that comes
# in the very microseconds in which a wait begins is seen by CPython only when that wait ends
# (measured with plain `threading`: 8 of 30 on 3.14t, when it is sent the moment another thread
# prints).
CUES = """
    import sys, threading
    def cue(text):
        def watch():
            main, pause = threading.main_thread().ident, threading.Event()
            looks = [None]
            while len(looks) < 5 or len(set(looks[-5:])) > 1 or None in looks[-5:]:
                pause.wait(0.01)
                frame = first = sys._current_frames()[main]
                while first is not None and first.f_code is not cue.__code__:
                    first = first.f_back
                # It waits in `start`, too, and on a busy machine that may take as long.
                here = (id(frame.f_code), frame.f_lasti)
                looks.append(here if first is None else None)
            print(text, flush=True)
        threading.Thread(target=watch, daemon=True).start()
"""


def signalled(code: str, *signals: signal.Signals, prepare: str = "") -> tuple[int, str, str]:
    """Run `code`, which may use `cue`; send it one signal for each line that it prints.

    `prepare` is run before it.

    Return how it ended, and what it wrote.
    """
    command = [sys.executable, "-u", "-c", "".join(map(textwrap.dedent, (CUES, prepare, code)))]
    with subprocess.Popen(  # noqa: S603  the test's own code
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        for number in signals:
            lines.append(process.stdout.readline())
            process.send_signal(number)
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, "".join(lines) + out, err
