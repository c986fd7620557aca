"""What the models of our own code share: what a model and a fault are, and the tests of both.

A file of models names its programs, its faults and what is watched, and hands them to a subclass
of `SmallParts` or `Composed`, which is what pytest finds there.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import sys
import sysconfig
import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest

from joinable import Cancelled, DeadlineExceeded, _runtime, _timer
from joinable.testing import ScheduleError, explore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from joinable._typing import Lock

THOROUGH = sys.version_info[:2] == (3, 14) and not sysconfig.get_config_var("Py_GIL_DISABLED")
"""Whether every schedule is run here: with one of the newest interpreters.

The others run the same lines under a few schedules, by chance; the soak runs the rest. That a build
has no GIL makes no difference here, where one thread runs at a time: the stress tests are for that.
"""


TO_THE_END = () if THOROUGH else (pytest.mark.soak,)
"""The marks of what is run where every schedule is, and elsewhere by the soak alone."""


def fewer(runs: int) -> int:
    """Count the runs by chance: all where it is thorough, and a tenth elsewhere."""
    return runs if THOROUGH else max(runs // 10, 5)


class Model(NamedTuple):
    """A program that must hold, what is watched in it, and the preemptions within which all its
    schedules are run.
    """

    program: Callable[[], None]
    watch: tuple[object, ...]
    bound: int = 1


class Fault(NamedTuple):
    """One changed line, the model that must notice, and within how many runs."""

    owner: object
    name: str
    old: str
    new: str
    program: Callable[[], None]
    runs: int = 400
    rare: bool = False  # found by chance only, and late: that is for the soak


def name_of(model: Model) -> str:
    return model.program.__name__


# -------------------------------------------------------------------- what models are made of


def together(*calls: Callable[[], object]) -> None:
    """Run each in a thread of its own."""
    together_here(*calls, int)


def together_here(*calls: Callable[[], object]) -> None:
    """Run all but the last in threads of their own, and the last one here."""
    threads = [threading.Thread(target=call) for call in calls[:-1]]
    for thread in threads:
        thread.start()
    calls[-1]()
    for thread in threads:
        thread.join()


def at_one(call: Callable[[], object]) -> Callable[[], object]:
    """Let it be called at second 1, when all that came before it is done or waits."""

    def wait_and_call() -> None:
        time.sleep(1)
        call()

    return wait_and_call


def race(*calls: Callable[[], object]) -> None:
    """Make all calls at one moment: whoever goes first, it is not for having been started first."""
    together_here(*map(at_one, calls))


def late(*calls: Callable[[], object]) -> None:
    """Make the first two calls, and all others at one moment when those two wait."""
    together_here(*calls[:2], *map(at_one, calls[2:]))


def inside(call: Callable[[], object]) -> Callable[[], object]:
    """Let it run in the scope that is in force here, whatever thread calls it."""
    return functools.partial(contextvars.copy_context().run, call)


def ended_by(call: Callable[[], object]) -> str:
    """Tell how a call has ended."""
    try:
        call()
    except (Cancelled, DeadlineExceeded, CancelledError) as error:
        return type(error).__name__
    return "returned"


def let_all_run() -> None:
    """Come back when all others wait or have ended: only then does the time go on."""
    time.sleep(0.001)


@contextlib.contextmanager
def interrupted_once() -> Generator[Callable[[int], None]]:
    """Interrupt the first wait of the main thread in the block; give it a call to make.

    All that was begun by then has ended when the block is left by that, or in order.
    """
    real, main, once = _runtime.acquire_until, threading.current_thread(), [None]
    begun: list[int] = []
    ended: list[int] = []

    def acquire_until(lock: Lock, deadline: float) -> bool:
        if once and threading.current_thread() is main:
            once.pop()
            raise KeyboardInterrupt
        return real(lock, deadline)

    def call(number: int) -> None:
        begun.append(number)
        let_all_run()
        ended.append(number)

    _runtime.acquire_until = acquire_until
    try:
        yield call
    except KeyboardInterrupt:
        assert not once
    finally:
        _runtime.acquire_until = real
    assert sorted(ended) == sorted(begun)


def to_come() -> int:
    """Count what the timer is still to call."""
    return sum(bool(entry.function) for _, _, entry in _timer._timers.heap)


# -------------------------------------------------------------------- the tests


class Explored:
    """The tests of one file of models, whatever these are of."""

    models: ClassVar[Sequence[Model]]
    faults: ClassVar[Mapping[str, Fault]]
    marks_of_faults: ClassVar[tuple[pytest.MarkDecorator, ...]] = ()
    runs: ClassVar[int] = 40
    """How often each model is run by chance; the soak runs it more often."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give each test the models or the faults of the subclass, and both strategies."""
        if "strategy" in metafunc.fixturenames:
            metafunc.parametrize("strategy", ["pct", "random"])
        if "model" in metafunc.fixturenames:
            metafunc.parametrize("model", self.models, ids=name_of)
        if "whole" in metafunc.fixturenames:
            whole = [pytest.param(each, id=name_of(each), marks=TO_THE_END) for each in self.models]
            metafunc.parametrize("whole", whole)
        if "case" in metafunc.fixturenames:
            # That a model can fail is a property of the model, whatever runs it.
            marks = (*self.marks_of_faults, *TO_THE_END)
            cases = [
                pytest.param(
                    case, id=name, marks=(*marks, pytest.mark.soak) if case.rare else marks
                )
                for name, case in self.faults.items()
            ]
            metafunc.parametrize("case", cases)

    def test_it_holds_with_every_bytecode_a_point(self, model: Model, strategy: Any) -> None:
        explore(model.program, watch=model.watch, strategy=strategy, runs=fewer(self.runs))

    def test_it_holds_under_every_schedule_within_the_bound(self, whole: Model) -> None:
        report = explore(whole.program, strategy="dfs", preemptions=whole.bound, runs=20_000)
        assert report.exhausted

    @pytest.mark.soak
    def test_it_holds_for_long(self, model: Model, strategy: Any) -> None:
        program, watch = model.program, model.watch
        explore(program, watch=watch, strategy=strategy, preemptions=3, runs=10_000, seed=1)

    def test_a_fault_is_found(
        self, case: Fault, fault: Callable[[Any, str, str, str], None]
    ) -> None:
        watch = next(model.watch for model in self.models if model.program == case.program)
        fault(case.owner, case.name, case.old, case.new)
        with pytest.raises(ScheduleError):
            self.search(case, watch)

    def search(self, case: Fault, watch: tuple[object, ...]) -> None:
        """Look for a schedule under which the fault shows; raise it."""
        explore(case.program, watch=watch, strategy="random", runs=case.runs)


class SmallParts(Explored):
    """For programs so short that one preemption can be tried at each of their bytecodes."""

    @pytest.mark.soak
    def test_it_holds_under_every_schedule_of_one_preemption_at_a_bytecode(
        self, model: Model
    ) -> None:
        program, watch = model.program, model.watch
        report = explore(program, watch=watch, strategy="dfs", preemptions=1, runs=100_000)
        assert report.exhausted


class Composed(Explored):
    """For programs of several parts: at a bytecode is chance, at a lock is everything."""

    @pytest.mark.soak
    def test_it_holds_under_every_schedule_of_two_preemptions(self, model: Model) -> None:
        report = explore(model.program, strategy="dfs", preemptions=2, runs=200_000)
        assert report.exhausted

    def search(self, case: Fault, watch: tuple[object, ...]) -> None:
        """Look at the bytecodes first, then at every schedule of one preemption."""
        super().search(case, watch)
        explore(case.program, strategy="dfs", preemptions=1, runs=4000)
