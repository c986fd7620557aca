"""The service of the tutorial: it is started as a user would, used, and stopped by Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "docs/examples/kitchen.py"
OUTPUT = ROOT / "docs/examples/output/kitchen.txt"
PATIENCE = 60  # seconds after which it hangs


def kitchen(*orders: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(  # noqa: S603  the project's own program
        [sys.executable, "-u", str(PROGRAM), *orders],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def order(process: subprocess.Popen[str], *words: str) -> None:
    assert process.stdin is not None
    process.stdin.writelines(f"{word}\n" for word in words)
    process.stdin.flush()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_page_shows_what_it_prints() -> None:
    command, _, shown = OUTPUT.read_text(encoding="utf-8").partition("\n")
    out, err = kitchen(*command.split()[3:]).communicate(timeout=PATIENCE)
    assert (out, err) == (shown, "")


def test_ctrl_c_closes_it_when_what_was_ordered_is_served() -> None:
    with kitchen() as process:
        order(process, "tea")
        assert line_of(process) == "tea: hot tea\n"
        order(process, "soup")
        # Both cooks are free, so one has it, or will have it: it was put before Ctrl-C is seen.
        order(process, "milk")
        assert line_of(process) == "milk: hot milk\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines() == [
        "closing: what was ordered will be served",
        "soup: given up, DeadlineExceeded",
        "closed, and nobody is left in the kitchen",
    ]


def test_a_second_ctrl_c_leaves_at_once() -> None:
    with kitchen() as process:
        order(process, "tea")
        assert line_of(process) == "tea: hot tea\n"
        order(process, *["soup"] * 10, "milk")
        process.send_signal(signal.SIGINT)
        while not (line := line_of(process)).startswith("closing"):
            assert line  # it has not ended
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    assert "closed" not in out
    assert out.count("soup") < 10  # nobody has waited for all of them
