"""What came of each case, by its name, and what that means for the list of differences."""

from __future__ import annotations

import gc
import unittest
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cases import name_of
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from differences import Difference

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

_IN_VAIN = 2.0  # seconds that a listed case gets for a wait that never ends; usually it is 30


class Support(Protocol):
    """What we use of the module `test.support`."""

    SHORT_TIMEOUT: float
    environment_altered: bool
    verbose: int

    def set_memlimit(self, limit: str) -> None: ...


class Outcomes(unittest.TestResult):
    """Collect outcomes; a thread or a process that is left behind is a failure."""

    def __init__(self, support: Support, listed: Mapping[str, Difference]) -> None:
        """Take the interpreter's `test.support`, and the reason of each difference by its name."""
        super().__init__()
        self.buffer = True  # what a case prints is shown if it fails
        self.passed: set[str] = set()
        self.failed: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self._support = support
        self._listed = listed
        self._usual_timeout = support.SHORT_TIMEOUT

    @override
    def startTest(self, test: unittest.TestCase) -> None:
        expected = name_of(test) in self._listed
        self._support.SHORT_TIMEOUT = _IN_VAIN if expected else self._usual_timeout
        super().startTest(test)

    @override
    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        name = name_of(test)
        if name in self.failed:
            gc.collect()  # the frames of a failed case hold its threads
        elif self._support.environment_altered:
            self.failed[name] = "It left threads or processes behind."
        self._support.environment_altered = False

    @override
    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.passed.add(name_of(test))

    @override
    def addExpectedFailure(self, test: unittest.TestCase, err: ExcInfo) -> None:
        super().addExpectedFailure(test, err)
        self.passed.add(name_of(test))

    @override
    def addFailure(self, test: unittest.TestCase, err: ExcInfo) -> None:
        super().addFailure(test, err)
        self.failed[name_of(test)] = self.failures[-1][1]

    @override
    def addError(self, test: unittest.TestCase, err: ExcInfo) -> None:
        super().addError(test, err)
        self.failed[name_of(test)] = self.errors[-1][1]

    @override
    def addSubTest(
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: ExcInfo | None
    ) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed[name_of(test)] = (self.failures + self.errors)[-1][1]

    @override
    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self.failed[name_of(test)] = "It is marked as an expected failure, and passed."

    @override
    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self.left_out[name_of(test)] = reason


class Verdict(NamedTuple):
    """Every case that ran, by what came of it; in `failed` and `skipped` with the reason."""

    passed: frozenset[str]
    failed: Mapping[str, str]
    different: frozenset[str]
    skipped: Mapping[str, str]

    def sum_of(self, module: str = "") -> str:
        """Say how many there are of each kind; of one module, or of all."""
        counts = {kind: len(_of(module, names)) for kind, names in self._asdict().items()}
        always = ("passed", "failed")
        return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n or kind in always)

    def has(self, module: str) -> bool:
        """Tell whether any case of the module ran."""
        return any(_of(module, names) for names in self)


def _of(module: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(f"{module}." if module else "")]


def judge(outcomes: Outcomes, listed: Mapping[str, Difference], known: frozenset[str]) -> Verdict:
    """Hold what came of the cases against the list; `known` are all that could have been listed."""
    failed = {name: text for name, text in outcomes.failed.items() if name not in listed}
    passed = outcomes.passed - outcomes.failed.keys()
    for name in passed & listed.keys():
        if not listed[name].may_pass:
            failed[name] = f"It passes, and is listed as a difference:\n{listed[name].reason}"
    for name in listed.keys() - known:
        failed[name] = "It is listed as a difference, and there is no such case."
    return Verdict(
        passed=frozenset(passed - failed.keys()),
        failed=failed,
        different=frozenset(outcomes.failed.keys() & listed.keys()),
        skipped={
            name: reason
            for name, reason in outcomes.left_out.items()
            if name not in passed and name not in outcomes.failed
        },
    )
