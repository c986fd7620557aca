"""The outputs that the pages show, in `docs/examples/output`, and how they are made and compared.

    python tests/shared/outputs.py              # write them all anew
    python tests/shared/outputs.py crawl.txt    # write this one

The first line of such a file is the command, as a user types it in the folder of the project; the
rest is what the terminal shows then. To add one, write that line into a new file, and run this.

A command begins with `python`, which stands for the interpreter that runs this. Where the output
depends on the build, it begins with `python3.14` or `python3.14t`: then the interpreter is made to
start its threads as that build does.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
OUTPUTS = EXAMPLES / "output"
PATIENCE = 110  # seconds after which an example hangs, on a busy machine too
PROMPT = "$ "
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


class Rule(NamedTuple):
    """Something that is another one each time, and what is compared instead."""

    what: str
    pattern: str
    instead: str


NUMBER = r"(?<![\w.,])\d+(?:\.\d+)?"
# In this order; blanks before a number are there to put it under the one above.
RULES = (
    Rule("a rate", rf" *{NUMBER} ((?:\w+ (?:a|per) second|[kMG]?i?B/s)\b)", r" # \1"),
    Rule("a duration", rf" *{NUMBER} ((?:s|ms|us|µs|ns|seconds?|minutes?)\b)", r" # \1"),
    Rule("a port", r"(127\.0\.0\.1|localhost|\[::1\]):\d+\b", r"\1:#"),
    Rule("a process", r"\b(process|pid) \d+\b", r"\1 #"),
    Rule("a temporary name", r"\btmp[a-z0-9_]{8}\b", "tmp#"),
    Rule("an address in memory", r"\b0x[0-9a-f]+\b", "0x#"),
    Rule("a thread", r"\b((?:run_all|run_each|Thread)-)\d+\b", r"\1#"),
)

# What is another one each time in one output only.
RULES_OF = {
    "crawl.txt": (Rule("the slowest page, of a busy machine", r"slowest: /\d+", "slowest: /#"),),
    "request_ids.txt": (Rule("a request: either user may be the first", r"(?m)^r[12]\b", "r#"),),
}

# Outputs whose lines come from several threads at a time: their order is another one each time.
UNORDERED = {"monitor.txt", "request_ids.txt"}


def comparable(name: str, output: str) -> list[str]:
    """Return the lines by which one output of a command is compared with another one."""
    for rule in (*RULES, *RULES_OF.get(name, ())):
        output = re.sub(rule.pattern, rule.instead, output)
    lines = output.splitlines()
    return sorted(lines) if name in UNORDERED else lines


def overwritten(line: str) -> str:
    r"""Return what a terminal shows of a line in which there are `\r`."""
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip()


def as_shown(printed: str, folder: str) -> str:
    """Return what is kept: what a terminal shows in the end, without the paths of this machine."""
    printed = printed.replace(f"{folder}{os.sep}", "").replace(tempfile.gettempdir(), "/tmp")  # noqa: S108  a text
    return "".join(f"{overwritten(line)}\n" for line in printed.split("\n")).rstrip("\n") + "\n"


def command_in(text: str) -> str:
    """Return the command of an output file."""
    first = text.partition("\n")[0]
    if not first.startswith(PROMPT):
        raise ValueError(f"the first line has to be {PROMPT!r} and a command, not {first!r}")
    return first.removeprefix(PROMPT)


def program_in(command: str) -> str:
    """Return the name of the program that a command starts."""
    path = next(word for word in shlex.split(command) if word.endswith(".py"))
    return Path(path).name


def interpreter(word: str) -> list[str] | None:
    """Return what stands for the first word of a command; None if this one cannot act as it."""
    option = "thread_inherit_context"  # from 3.14 on
    if word == "python":
        return [sys.executable]
    if word == "python3.14":  # free-threaded builds before 3.14 do not count: there are none here
        as_it = ["-X", f"{option}=0"] if FREE_THREADED else []
        return [sys.executable, *as_it]
    if word == "python3.14t":
        as_it = [] if FREE_THREADED else ["-X", f"{option}=1"]
        return [sys.executable, *as_it] if hasattr(sys.flags, option) else None
    raise ValueError(f"a command begins with python, python3.14 or python3.14t, not {word!r}")


def output_of(command: str) -> str | None:
    """Run a command in a folder of its own, and return what its user sees.

    None if this interpreter cannot act as the one of the command.
    """
    word, *arguments = shlex.split(command)
    start = interpreter(word)
    if start is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        # So the command is the user's, word for word, and a program that writes does no harm.
        there = Path(folder) / EXAMPLES.relative_to(ROOT)
        shutil.copytree(EXAMPLES, there, ignore=shutil.ignore_patterns("output", "__pycache__"))
        done = subprocess.run(  # noqa: S603  our own examples
            [*start, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
            # What is printed comes in the order in which a terminal shows it.
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
        )
        printed = done.stdout.decode("utf-8", "replace").replace("\r\n", "\n")
        shown = as_shown(printed, folder)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{shown}")
    return shown


def write(path: Path) -> None:
    """Run the command of an output file, and write its output there."""
    command = command_in(path.read_text(encoding="utf-8"))
    output = output_of(command)
    if output is None:
        print(f"{path.name}: left as it is; {command.split()[0]} is not this interpreter")
    else:
        path.write_text(f"{PROMPT}{command}\n{output}", encoding="utf-8")
        print(f"{path.name}: written")


def main(*names: str) -> None:
    """Write these, or all."""
    for path in [OUTPUTS / name for name in names] or sorted(OUTPUTS.glob("*.txt")):
        write(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
