"""The example of a timeline, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "timeline.py"


def test_it_draws_tasks_of_every_kind(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLE), str(tmp_path / "timeline.svg")]
    done = subprocess.run(  # noqa: S603  the program is our own
        command, capture_output=True, text=True, timeout=60, check=True
    )
    first, second, *_ = done.stdout.splitlines()
    assert first == "the evening is over: the kitchen is on fire"
    assert second.startswith("tasks    27 (")
    assert " 1 failed, " in second
    picture = (tmp_path / "timeline.svg").read_text("utf-8")
    for words in ("failed (1)", "cancelled (", "RuntimeError: the kitchen is on fire", "Queue.get"):
        assert words in picture
