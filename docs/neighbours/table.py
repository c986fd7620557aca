"""Find out what the neighbours do, for the table of the home page: `nox -s neighbours`.

Every cell is the answer of a small program that runs in a process of its own, and uses the tool as
its own documentation has it. `--write` keeps the table in `_neighbours.inc`; without it the program
fails if what it finds is not what is written there. `table.py ROW TOOL` asks for one cell.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import amounts
import behaviour
import stopping
from tools import TOOLS, VERSIONED, run_self

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[1] / "_neighbours.inc"

ROWS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "error": ("An error reaches the caller", behaviour.an_error_reaches_the_caller),
    "unasked": ("An error nobody asks for is shown", behaviour.an_unasked_error_is_shown),
    "timeout": ("A wait can have a timeout", stopping.a_wait_has_a_timeout),
    "where": ("... which says where the call is stuck", stopping.a_timeout_says_where),
    "stop": (
        "Cancelling wakes a thread that waits in a queue",
        stopping.a_waiting_thread_can_be_stopped,
    ),
    "context": ("A call sees the caller's context variables", behaviour.context_is_carried),
    "window": ("A lazy map takes its input as results are used", amounts.a_map_keeps_a_window),
    "ctrl-c": ("Ctrl-C ends a program whose queue is full", amounts.ctrl_c_ends_it),
    "types": ("Several results are one typed tuple", behaviour.several_results_are_a_typed_tuple),
    "free": ("Free threading is declared", behaviour.free_threading_is_declared),
    "loop": ("Works without an event loop", behaviour.no_event_loop_is_needed),
    "package": ("Comes with Python", behaviour.takes_no_package),
    "sockets": (
        "Waits for sockets without a thread each",
        behaviour.waits_for_sockets_without_threads,
    ),
    "process": ("Runs such calls in processes, too", behaviour.the_same_runs_in_a_process),
}


def cell(row: str, tool: str) -> str:
    out, err = run_self(row, tool).communicate(timeout=180)
    if out.strip() not in {"yes", "no"}:
        sys.exit(f"{row} {tool} gave no answer: {out}{err}")
    return out.strip()


def table() -> str:
    versions = {tool: importlib.metadata.version(tool) for tool in VERSIONED}
    heads = [f"{tool} {versions.get(tool, '')}".strip() for tool in TOOLS]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{':-:|' * len(TOOLS)}"]
    for row, (words, _) in ROWS.items():
        marks = {"yes": "yes", "no": "\N{EN DASH}"}
        cells = [marks[cell(row, tool)] for tool in TOOLS]
        lines.append(f"| {words} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    build = platform.python_version()
    return "\n".join([*lines, "", f"CPython {build}; `threading` to `asyncio` are its own.", ""])


def main() -> None:
    # What a shell starts in the background ignores Ctrl-C, which one of the rows is about.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    match sys.argv[1:]:
        case ["forget", tool]:
            behaviour.FORGETTING[tool]()
        case ["fill", tool]:
            print("begun", flush=True)
            amounts.FILLING[tool]()
        case [row, tool]:
            print("yes" if ROWS[row][1](tool) else "no", flush=True)
            os._exit(0)  # what some of them leave behind would hold the exit
        case ["--write"]:
            PAGE.write_text(table(), encoding="utf-8")
        case _:
            if table() != PAGE.read_text(encoding="utf-8"):
                sys.exit(f"{PAGE.name} says something else: look, and then use --write")


if __name__ == "__main__":
    main()
