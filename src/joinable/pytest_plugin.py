"""The pytest plugin: a test is explored when it is marked, and nothing else is changed.

`@pytest.mark.explore(...)` runs the test function under many thread schedules; `--explore-runs`
sets how many, `--explore-replay` runs the one that failed. The fixture `no_thread_leaks` fails a
test that leaves threads behind. Nothing of this is on by default.

Every run of pytest where the package is installed imports this module, so it imports little: the
tools themselves come when the first test asks for them.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import shlex
import sys
import unittest
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType

    from joinable.testing import Report

    Test = Callable[..., object]

#: The whole-number keywords of the mark, and the least each can be.
_LEAST = {"runs": 1, "preemptions": 0, "max_steps": 1, "seed": None}
_STRATEGIES = ("pct", "random", "dfs")
_explored_so_far = pytest.StashKey[str]()
_marked = pytest.StashKey[int]()
_MARK = (
    "explore(*, runs=1000, strategy='pct', preemptions=2, seed=0, watch=(), max_steps=100_000): "
    "run the test function under many thread schedules and show the shortest one that fails; "
    "fixtures are made once, outside (joinable.testing.explore)"
)


# ------------------------------------------------------------------------------- what pytest calls


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("joinable", "thread schedules (joinable)")
    group.addoption(
        "--explore-runs",
        type=_runs,
        metavar="N",
        help="run each test marked with 'explore' under N schedules, whatever its mark says",
    )
    group.addoption(
        "--explore-replay",
        metavar="SCHEDULE",
        help="run the one selected test that is marked with 'explore' under this schedule only",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, and read the schedule to replay.

    Raises:
        pytest.UsageError: It is not a schedule.
    """
    config.addinivalue_line("markers", _MARK)
    schedule: str | None = config.getoption("--explore-replay")
    if schedule is not None:
        from joinable.testing._schedule import decode  # noqa: PLC0415  (only who asks pays)

        try:
            decode(schedule)
        except ValueError as error:
            raise pytest.UsageError(f"--explore-replay: {error}") from None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the marked tests that are selected."""
    marked = sum(item.get_closest_marker("explore") is not None for item in session.items)
    session.config.stash[_marked] = marked


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test whose mark is wrong, before its fixtures are made.

    Not at collection: there an error would end the whole run, and with xdist crash its workers.
    """
    if item.get_closest_marker("explore") is not None:
        faults = _faults(item)
        if faults:
            pytest.fail("\n".join(faults), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Put the exploration where the test function is, while it is called."""
    __tracebackhide__ = True
    if pyfuncitem.get_closest_marker("explore") is None:
        return (yield)
    test: Any = pyfuncitem.obj
    property_test: Any = getattr(test, "hypothesis", None)
    # Under hypothesis it is the function inside that is explored, once for each example.
    owner, name = (pyfuncitem, "obj") if property_test is None else (property_test, "inner_test")
    inner: Test = getattr(owner, name)
    setattr(owner, name, _explored(pyfuncitem, inner))
    try:
        result: object = yield
    finally:
        setattr(owner, name, inner)
    # Here and not after each exploration: under hypothesis there are many.
    report = pyfuncitem.stash.get(_explored_so_far, None)
    if report is not None:
        pyfuncitem.add_report_section("call", "explored", f"{report}\n")
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give a schedule that failed a section of the report, however the test came to explore."""
    report = yield
    testing: Any = sys.modules.get("joinable.testing")
    error: Any = None if call.excinfo is None else call.excinfo.value
    # Where the tools were never imported the failure is none of theirs.
    if testing is not None and isinstance(error, testing.ScheduleError):
        story = f"{error.schedule}\nRun it again with:\n    {error.replay_line}"
        report.sections.append(("explored schedule", story))
    return report


@pytest.fixture
def no_thread_leaks() -> Generator[None]:
    """Fail the test if it leaves threads, unfinished tasks or unasked errors behind.

    Ask for it before other fixtures that start threads: then it looks after they have ended. For
    another grace, or threads that may stay, use `joinable.testing.no_leaks` itself.
    """
    # Not at the top: every run of pytest imports this file.
    from joinable.testing import LeakError, no_leaks  # noqa: PLC0415

    left: str | None = None
    try:
        with no_leaks():
            yield
    except LeakError as leak:
        left = str(leak)
    if left is not None:  # the message says all; the frames would be ours
        pytest.fail(left, pytrace=False)


# ----------------------------------------------------------------------------------- what is wrong


def _runs(text: str) -> int:
    """Read `--explore-runs`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 is needed, not {text!r}")
    return int(text)


def _faults(item: pytest.Item) -> list[str]:
    """Say all that is wrong with the marks of a test, and with replaying it."""
    marked = item.config.stash.get(_marked, 1)
    if item.config.getoption("--explore-replay") is not None and marked != 1:
        fault = (
            f"--explore-replay runs one test, and {marked} that are marked with 'explore' are "
            "selected: a schedule belongs to the test it was found in; give its full name"
        )
        return [fault]
    faults = [fault for mark in item.iter_markers("explore") for fault in _mark_faults(mark)]
    if not isinstance(item, pytest.Function):
        return [*faults, "explore can only run test functions"]
    test: object = inspect.unwrap(item.obj)
    if item.cls is not None and issubclass(item.cls, unittest.TestCase):
        faults.append("explore cannot run a unittest.TestCase; call joinable.testing.explore in it")
    elif inspect.iscoroutinefunction(test) or inspect.isasyncgenfunction(test):
        faults.append("explore runs plain functions, and this one is async")
    return faults


def _mark_faults(mark: pytest.Mark) -> list[str]:
    faults = [f"explore takes keywords only, not {mark.args!r}"] if mark.args else []
    for name, value in mark.kwargs.items():
        fault = _option_fault(name, value)
        if fault is not None:
            faults.append(f"explore({name}={value!r}): {fault}")
    return faults


def _option_fault(name: str, value: object) -> str | None:
    if name in _LEAST:
        least = _LEAST[name]
        if not isinstance(value, int) or isinstance(value, bool):
            return "a whole number is needed"
        return f"at least {least} is needed" if least is not None and value < least else None
    if name == "strategy":
        return None if value in _STRATEGIES else f"use one of {', '.join(map(repr, _STRATEGIES))}"
    if name == "watch":
        if isinstance(value, (list, tuple, set, frozenset)):
            return None
        return "put what is to be watched into a list"
    return f"there is no such keyword; there are {', '.join([*_LEAST, 'strategy', 'watch'])}"


# ------------------------------------------------------------------------------------ how it is run


class _Program:
    """The test function with its arguments: what is explored."""

    def __init__(self, nodeid: str, test: Test, arguments: dict[str, Any]) -> None:
        self._nodeid = nodeid
        self._test = test
        self._arguments = arguments
        #: What the last run returned: pytest objects to a test that returns something.
        self.returned: object = None
        # Where the exploration looks for locks that belong to it.
        self.__module__: str = getattr(test, "__module__", __name__)

    def __call__(self) -> None:
        self.returned = self._test(**self._arguments)

    def write_replay(self, schedule: str, _watched: str) -> str:
        """Write the command that runs a schedule again."""
        return shlex.join(["pytest", self._nodeid, f"--explore-replay={schedule}"])

    def trimmed(self, traceback: TracebackType | None) -> TracebackType | None:
        """Return the traceback from the frame of the test function on."""
        code: object = getattr(inspect.unwrap(self._test), "__code__", None)
        rest = traceback
        while rest is not None and rest.tb_frame.f_code is not code:
            rest = rest.tb_next
        return traceback if rest is None else rest


def _explored(item: pytest.Function, test: Test) -> Test:
    @functools.wraps(test)
    def run(**arguments: Any) -> object:
        __tracebackhide__ = True
        program = _Program(item.nodeid, test, arguments)
        _run(item, program)
        return program.returned

    return run


def _run(item: pytest.Function, program: _Program) -> None:
    __tracebackhide__ = True
    from joinable.testing import ScheduleError  # noqa: PLC0415  (see no_thread_leaks)

    try:
        report = _explore(item, program)
    except ScheduleError as error:
        cause = error.__cause__
        if isinstance(cause, (pytest.skip.Exception, pytest.xfail.Exception)):
            raise cause from None  # skipped is skipped, under whichever schedule
        if cause is not None:
            cause = cause.with_traceback(program.trimmed(cause.__traceback__))
        # Without the frames of the engine: the reader wants those of the test, and the schedule.
        raise error.with_traceback(None) from cause
    if report.diverged and report.strategy == "replay":
        item.warn(pytest.PytestWarning("--explore-replay: the schedule no longer fits the test"))
    item.stash[_explored_so_far] = str(report)


def _explore(item: pytest.Function, program: _Program) -> Report:
    from joinable.testing import explore, replay  # noqa: PLC0415  (see no_thread_leaks)

    __tracebackhide__ = True
    options: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("explore"))):  # the nearest last: it wins
        options.update(mark.kwargs)
    schedule: str | None = item.config.getoption("--explore-replay")
    if schedule is not None:
        kept = {name: options[name] for name in ("watch", "max_steps") if name in options}
        return replay(program, schedule, **kept)
    runs: int | None = item.config.getoption("--explore-runs")
    if runs is not None:
        options["runs"] = runs
    return explore(program, **options)
