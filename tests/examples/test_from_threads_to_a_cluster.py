"""The program of the page on executors: the same number wherever it counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "docs" / "examples" / "from_threads_to_a_cluster.py"


def count_in(*where: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *where]
    return subprocess.run(  # noqa: S603  the project's own program
        command, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("where", ["threads", "processes", "interpreters"])
def test_it_counts_the_same_everywhere(where: str) -> None:
    if where == "interpreters" and sys.version_info < (3, 14):
        pytest.skip("InterpreterPoolExecutor is there from 3.14 on")
    done = count_in(where)
    assert done.stdout == f"9592 primes, counted in {where}\n", done.stderr
    assert done.returncode == 0


def test_another_place_is_refused() -> None:
    done = count_in("elsewhere")
    assert done.returncode == 1
    assert "'elsewhere' is none of threads, processes, interpreters, dask" in done.stderr
