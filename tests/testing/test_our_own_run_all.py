"""`run_all` under every schedule: everything once, nothing after a failure, no thread left.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING

import pytest

from exploring import Fault, Model, SmallParts, interrupted_once
from joinable import DeadlineExceeded, _batch, _calls, _crew, _runtime, run_all
from joinable._batch import Batch
from joinable._calls import Calls
from joinable._crew import Crew
from joinable._running import LAST_MOMENT, abandoned

if TYPE_CHECKING:
    from collections.abc import Callable


WATCH = (_batch, _calls, _crew)


def alone() -> bool:
    """Tell whether no thread of a `run_all` is left: those it had are idle."""
    return not any(thread.name.startswith("run_all") for thread in threading.enumerate())


def all_run(max_workers: int | None) -> None:
    """Results are in order, every call is made once, and no thread is left."""
    made: list[int] = []

    def call(number: int) -> int:
        made.append(number)
        return number * number

    calls = [functools.partial(call, number) for number in range(3)]
    assert run_all(calls, max_workers=max_workers) == [0, 1, 4]
    assert sorted(made) == [0, 1, 2]
    assert alone()


def all_run_in_one_thread() -> None:
    """The same, and in order."""
    all_run(1)


def all_run_in_two_threads() -> None:
    """The same."""
    all_run(2)


def all_run_at_once() -> None:
    """The same."""
    all_run(None)


def one_fails(failing: int, max_workers: int | None) -> None:
    """Once a failure is recorded, each other thread makes at most the call that it had taken.

    No call is made twice, none after the end, and the failure is raised when no thread is left.
    """
    made: list[object] = []
    recorded: list[int] = []
    lanes: list[threading.Thread] = []
    real = Batch._failed

    def call(number: int) -> None:
        made.append(number)
        if recorded:
            lanes.append(threading.current_thread())
        if number == failing:
            raise ValueError(number)

    def failed(self: Batch, index: int, error: BaseException) -> None:
        real(self, index, error)
        recorded.append(index)

    Batch._failed = failed  # type: ignore[method-assign]
    try:
        with pytest.raises(ValueError, match=str(failing)):
            run_all([functools.partial(call, n) for n in range(4)], max_workers=max_workers)
    finally:
        Batch._failed = real  # type: ignore[method-assign]
    assert alone()
    assert len({*made}) == len(made)
    assert {*range(failing + 1)} <= {*made}
    assert len({*lanes}) == len(lanes)
    if max_workers == 1:
        assert made == [*range(failing + 1)]


def the_second_fails_in_one_thread() -> None:
    """What comes after it is not made."""
    one_fails(1, 1)


def the_first_fails_in_two_threads() -> None:
    """At most what was taken already is made."""
    one_fails(0, 2)


def the_second_fails_of_all_at_once() -> None:
    """The same."""
    one_fails(1, None)


def two_fail() -> None:
    """The first failure is raised; a second one, if there was time for it, is in its note."""
    raised: list[int] = []

    def fail(number: int) -> None:
        raised.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match=r"[01]") as caught:
        run_all([functools.partial(fail, number) for number in range(2)])
    notes = getattr(caught.value, "__notes__", [])
    assert len(raised) == sum("more failed" in note for note in notes) + 1
    assert alone()


def they_wait_for_each_other() -> None:
    """Without `max_workers` every call has a thread, whatever the others do."""
    barrier = threading.Barrier(3)
    assert sorted(run_all([barrier.wait] * 3)) == [0, 1, 2]
    assert alone()


def one_is_inside_another() -> None:
    """A nested `run_all` has threads of its own, so one worker on each floor is enough."""

    def inner() -> list[int]:
        return run_all([lambda: 1, lambda: 2], max_workers=1)

    assert run_all([inner, inner], max_workers=1) == [[1, 2], [1, 2]]
    assert alone()


def one_does_not_end_in_time() -> None:
    """The time is up, and a moment later; its error is raised, or reported, and not lost."""
    abandoned.clear()  # what another model has left there, with a fault in it
    reported: list[object] = []
    threading.excepthook = lambda told: reported.append(told.exc_value)
    begin = time.monotonic()

    def stubborn() -> None:
        time.sleep(1 + LAST_MOMENT)
        raise ValueError

    raised: list[object] = []
    try:
        run_all((stubborn, int), timeout=1)
    except (ValueError, DeadlineExceeded) as error:
        raised.append(error)
    assert time.monotonic() == begin + 1 + LAST_MOMENT
    time.sleep(60)
    assert sum(type(error) is ValueError for error in raised + reported) == 1
    assert not abandoned


def an_interrupt_comes_while_it_waits() -> None:
    """Nothing more is begun, what runs is waited for, and the interrupt is raised."""
    with interrupted_once() as call:
        run_all([functools.partial(call, number) for number in range(3)], max_workers=2)
    assert alone()


class NoMoreError(RuntimeError):
    """Stands for the system's "can't start new thread"."""


def the_system_has_one_thread_only() -> None:
    """The error is raised, what ran is joined, nothing runs twice."""
    made: list[int] = []
    real = _runtime.start_worker

    def start_worker(function: Callable[[], object], name: str) -> threading.Thread:
        if not name.endswith("-1"):
            raise NoMoreError
        return real(function, name)

    _runtime.start_worker = start_worker
    try:
        run_all([lambda: made.append(1)] * 3)
    except NoMoreError:
        assert len(made) <= 3
    else:
        assert made == [1, 1, 1]  # the first thread was quick enough to do it all
    finally:
        _runtime.start_worker = real
    assert alone()


MODELS = [
    Model(all_run_in_one_thread, WATCH, bound=2),
    Model(all_run_in_two_threads, WATCH),
    Model(all_run_at_once, WATCH),
    Model(the_second_fails_in_one_thread, WATCH, bound=2),
    Model(the_first_fails_in_two_threads, WATCH),
    Model(the_second_fails_of_all_at_once, WATCH, bound=0),
    Model(two_fail, WATCH),
    Model(they_wait_for_each_other, WATCH, bound=0),
    Model(one_is_inside_another, WATCH),
    Model(an_interrupt_comes_while_it_waits, WATCH),
    Model(one_does_not_end_in_time, WATCH),
    Model(the_system_has_one_thread_only, WATCH),
]


FAULTS = {
    "a call is taken by looking and then dropping": Fault(
        Batch,
        "work",
        "index = pop()",
        "index = self.todo[-1]; pop()",
        all_run_in_two_threads,
    ),
    "a failure leaves what is to do": Fault(
        Batch,
        "_failed",
        "    self.todo.clear()\n",
        "    pass\n",
        the_first_fails_in_two_threads,
    ),
    "a lane whose call was taken by another one fails": Fault(
        Batch, "work", "except IndexError:", "except KeyError:", all_run_in_two_threads
    ),
    "the last lane is not waited for": Fault(
        Crew, "is_gone", "not self.lanes and", "len(self.lanes) < 2 and", all_run_in_two_threads
    ),
    "one lane less than the calls": Fault(
        Batch,
        "has_more",
        "bool(self.todo)",
        "len(self.todo) > 1",
        they_wait_for_each_other,
    ),
    "who is still there after an interrupt is not waited for": Fault(
        Calls,
        "_leave",
        "self.outlast(math.inf, self.what, self.runners)",
        "pass",
        an_interrupt_comes_while_it_waits,
    ),
    "a lane that cannot send for the next one tells nobody": Fault(
        Batch,
        "broke",
        "self.failures.append((-1, error))",
        "pass",
        the_system_has_one_thread_only,
    ),
    "a late error is lost": Fault(
        Calls,
        "add_failure",
        "report(error)",
        "pass",
        one_does_not_end_in_time,
        runs=2000,
    ),
}


class TestRunAll(SmallParts):
    models = MODELS
    faults = FAULTS
