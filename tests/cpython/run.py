"""Run CPython's own tests of threads, futures, locks and queues on ours.

`stand_in` says how our classes get there, `cases` which cases run, `differences` which of them fail
and why. What fails without being listed is an error, and so is what is listed and passes.

Some distributions leave modules out of the interpreter's `test` package and ship them apart. A
folder that holds them is named by --test-package, or by CPYTHON_TESTS in the environment;
"{version}" in it stands for the likes of 3.14. Where there is no test_threading, nothing is
run: that is said, and is no failure.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import signal
import subprocess
import sys
import sysconfig
import unittest
from pathlib import Path
from typing import cast

import cases
import differences
import stand_in
from outcomes import Outcomes, Support, Verdict, judge

_HANG = 300  # seconds; a run takes 30 to 60
# Two cases with 20 and 40 threads ask for so much. It is address space for stacks, hardly any used.
_MEMORY = "4G"


def main() -> int:
    """Run what was asked for and return the exit code."""
    options = _options()
    # What a shell starts in the background ignores Ctrl-C, which some cases are about.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    stand_in.install(
        _test_package(options.test_package), ours=not options.standard, pool=options.pool
    )
    if cases.find("test_threading") is None:
        print(f"CPython {_interpreter()} comes without test_threading: nothing to run (see --help)")
        return 0
    modules = cases.POOL_MODULES if options.pool else cases.MODULES
    if not any(map(cases.find, modules)):
        print(f"CPython {_interpreter()} comes without {modules[0]}: nothing to run")
        return 0
    if not options.standard:
        _check_stand_ins()
    listed = {} if options.standard else differences.on(_interpreter(), pool=options.pool)
    verdict = _run(modules, options.cases, listed, ours=not options.standard)
    _print(modules, verdict, listed)
    return 1 if verdict.failed or not verdict.passed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--test-package", metavar="DIR")
    parser.add_argument(
        "--standard", action="store_true", help="leave the standard classes in place, to compare"
    )
    parser.add_argument(
        "--pool", action="store_true", help="put our pool in the place of the standard one"
    )
    parser.add_argument("cases", metavar="CASE", nargs="*", help="a part of the name of a case")
    return parser.parse_args()


def _interpreter() -> str:
    free = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return f"{sys.version_info.major}.{sys.version_info.minor}{free}"


def _test_package(folder: str | None) -> str | None:
    """Return the folder to add; one that was asked for must be of use, the environment's may be."""
    name = folder or os.environ.get("CPYTHON_TESTS")
    if not name:
        return None
    path = Path(name.replace("{version}", _interpreter().removesuffix("t"))).resolve()
    if (path / "test_threading.py").is_file():
        return str(path)
    if folder:
        sys.exit(f"run.py: {path} holds no test_threading.py: name the folder that does")
    return None


def _check_stand_ins() -> None:
    """End the run if a new process does not get our Thread: all its scripts would prove nothing."""
    code = "from threading import Thread; print(Thread.__mro__)"
    command = [sys.executable, "-I", "-c", code]
    found = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  our own code
    if b"joinable" not in found.stdout:
        sys.exit(f"run.py: the stand-ins do not reach a new process: {found.stdout.decode()}")


def _run(
    modules: tuple[str, ...],
    wanted: list[str],
    listed: dict[str, differences.Difference],
    *,
    ours: bool,
) -> Verdict:
    faulthandler.dump_traceback_later(_HANG, exit=True)
    support = _support()
    outcomes = Outcomes(support, listed)
    suite, found = _suite(modules, wanted, ours=ours)
    known = frozenset(cases.name_of(case) for case in cases.members(suite))
    suite.run(outcomes)
    faulthandler.cancel_dump_traceback_later()
    return judge(outcomes, _within(listed, found, wanted), known)


def _suite(
    modules: tuple[str, ...], wanted: list[str], *, ours: bool
) -> tuple[unittest.TestSuite, set[str]]:
    """Return the cases that are wanted, and the modules that were found."""
    suite, found = unittest.TestSuite(), set[str]()
    for name in modules:
        module = cases.find(name)
        if module is None:
            print(f"{name}: this interpreter's test package is without it")
            continue
        found.add(name)
        if ours and name == "test_queue":
            stand_in.install_queues(module)
        suite.addTest(cases.load(module, wanted))
    others = {type(case) for case in cases.members(suite) if stand_in.tests_others(type(case))}
    if ours and others:
        sys.exit(f"run.py: these would not test anything of ours: {others}")
    return suite, found


def _within(
    listed: dict[str, differences.Difference], found: set[str], wanted: list[str]
) -> dict[str, differences.Difference]:
    """Return what is listed of the modules that are here, and of the cases that were asked for."""
    return {
        name: difference
        for name, difference in listed.items()
        if name.rsplit(".", 2)[0] in found and cases.is_wanted(name, wanted)
    }


def _support() -> Support:
    """Return the interpreter's `test.support`, made quiet and told how much memory there is."""
    support = cast("Support", importlib.import_module("test.support"))
    support.verbose = 0
    support.set_memlimit(_MEMORY)
    try:
        isolation = importlib.import_module("test.support.isolation")
    except ModuleNotFoundError:
        return support
    # It would run such a case in a new process, without us; "this is that process" keeps it here.
    vars(isolation)["runningInSubprocess"] = True
    return support


def _print(
    modules: tuple[str, ...], verdict: Verdict, listed: dict[str, differences.Difference]
) -> None:
    for name in sorted(verdict.skipped):
        print(f"skipped: {name}\n    {verdict.skipped[name]}")
    for name in sorted(verdict.different):
        print(f"different: {name}\n    {listed[name].reason}")
    for name in sorted(verdict.failed):
        print(f"FAILED: {name}\n{verdict.failed[name]}")
    for module in modules:
        if verdict.has(module):
            print(f"{module}: {verdict.sum_of(module)}")
    print(f"CPython {_interpreter()}: {verdict.sum_of()}")


if __name__ == "__main__":
    sys.exit(main())
