"""Run a command until it ends, or the scope says stop; then stop the command, too.

    python stop_a_process.py

It runs three commands: one that ends, one that is told to, and one that does not listen.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from joinable import Cancelled, CancelScope, move_on_after, shield, sleep, spawn

if TYPE_CHECKING:
    from collections.abc import Sequence

GRACE = 0.5  # seconds between the request and the end
STUBBORN = ["sh", "-c", "trap '' TERM; echo not listening; exec sleep 60"]


def run(command: Sequence[str]) -> int:
    """Run a command and return its exit code; end it when the scope ends."""
    with (
        subprocess.Popen(command) as process,
        CancelScope() as scope,
        scope.on_cancel(process.terminate),
    ):
        process.wait()
    return process.returncode


def run_firmly(command: Sequence[str], grace: float = GRACE) -> int:
    """Run a command as `run` does; end it by force if it has not ended after `grace` seconds."""
    with subprocess.Popen(command) as process:
        end = spawn(process.wait)  # nobody can wake that thread, but whoever waits for it
        try:
            return end.result()
        except Cancelled:
            process.terminate()
            with shield(None), move_on_after(grace):
                end.result()
            process.kill()  # does nothing if it has ended
            raise


def main() -> None:
    """Show the three ends of a process."""
    print("ended:   ", run([sys.executable, "-c", "raise SystemExit(3)"]))

    napper = spawn(run, ["sleep", "60"])
    sleep(0.1)
    napper.cancel()
    napper.join()
    print("stopped: ", napper.cancelled())

    with move_on_after(1) as scope:
        run_firmly(STUBBORN)
    print("killed:  ", scope.cancelled_caught)


if __name__ == "__main__":
    main()
