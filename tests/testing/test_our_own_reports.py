"""Errors that nobody asks for: reported once or taken, whichever comes first, at any moment.

Time is virtual, so the seconds of `report_after` cost nothing. Observers of events are here too:
they are the other thing that one thread changes while others read it.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from exploring import Fault, Model, SmallParts, together
from joinable import DeadlineExceeded, Task, _debt, _events, _outcome, _unasked

if TYPE_CHECKING:
    from collections.abc import Callable

WATCH = (_outcome, _debt, _unasked, _events)


class Soon(Task[int]):
    """A task whose error is reported after five seconds."""

    report_after = 5.0


def hooked() -> list[BaseException | None]:
    """Collect what is reported from here on; the hook is put back after the run."""
    seen: list[BaseException | None] = []

    def hook(args: threading.ExceptHookArgs, /) -> None:
        seen.append(args.exc_value)

    threading.excepthook = hook
    return seen


def later(seconds: float, call: Callable[[], object]) -> Callable[[], None]:
    """Make the call after so many seconds."""

    def wait() -> None:
        time.sleep(seconds)
        call()

    return wait


def it_is_asked_for_when_it_is_due() -> None:
    """Who asks gets it at any moment, and it is reported once at most."""
    seen = hooked()
    task = Soon()
    error = ValueError("x")

    def ask() -> None:
        assert task.exception() is error

    together(lambda: task.set_exception(error), later(5, ask))
    _unasked._sweep()
    assert seen in ([], [error])


def it_is_asked_for_before_it_is_due() -> None:
    """It is never reported."""
    seen = hooked()
    task = Soon()
    together(
        lambda: task.set_exception(ValueError("x")),
        later(4.9, task.exception),
        lambda: time.sleep(6),
    )
    _unasked._sweep()
    assert not seen


def it_is_dropped_when_it_is_due_and_at_exit() -> None:
    """It is reported exactly once, by whichever of three comes first."""
    seen = hooked()
    held = [Soon()]
    held[0].set_exception(ValueError("x"))
    together(later(5, held.clear), later(5, _unasked._sweep))
    _unasked._sweep()
    assert len(seen) == 1


def one_is_left_at_exit() -> None:
    """What is not due at exit is reported then, once, whatever is still failing."""
    seen = hooked()
    one, two = Soon(), Soon()
    together(
        lambda: one.set_exception(ValueError("x")),
        lambda: two.set_exception(ValueError("y")),
        _unasked._sweep,
    )
    _unasked._sweep()
    assert sorted(map(str, seen)) == ["x", "y"]


def two_fail_at_once() -> None:
    """Each is reported exactly once; one more, after the reporting thread may have ended, too."""
    seen = hooked()
    tasks = [Soon(), Soon(), Soon()]
    errors = [ValueError(number) for number in range(3)]

    def fail(number: int) -> None:
        tasks[number].set_exception(errors[number])

    together(lambda: fail(0), lambda: fail(1), later(5, lambda: fail(2)))
    time.sleep(10)
    assert {*map(id, seen)} == {*map(id, errors)}
    assert len(seen) == 3


def a_waiter_gives_up_when_it_fails() -> None:
    """The waiter gets the error or it is reported once; not both, and not neither."""
    seen = hooked()
    task = Soon()
    taken: list[BaseException | None] = []

    def ask() -> None:
        with contextlib.suppress(DeadlineExceeded):
            taken.append(task.exception(timeout=1))

    together(ask, later(1, lambda: task.set_exception(ValueError("x"))))
    _unasked._sweep()
    assert len(seen) + len(taken) == 1


def a_callback_comes_with_the_error() -> None:
    """A callback has asked for it: it gets the error, once, and it is not reported later."""
    seen = hooked()
    task = Soon()
    got: list[BaseException | None] = []

    def add() -> None:
        task.add_done_callback(lambda done: got.append(done.exception()))

    together(add, lambda: task.set_exception(ValueError("x")))
    _unasked._sweep()
    assert len(got) == 1
    assert not seen


def observers_come_and_go() -> None:
    """None that comes is lost and none that goes stays; who is there throughout hears all."""
    _events.observers = ()  # an earlier run that failed may have left its own
    heard: list[str] = []

    def first(kind: object, _: object) -> None:
        heard.append(f"first {kind}")

    def second(kind: object, _: object) -> None:
        heard.append(f"second {kind}")

    def third(kind: object, _: object) -> None:
        heard.append(f"third {kind}")

    _events.observe(first)
    task: Task[int] = Task()

    def come_and_go() -> None:
        _events.observe(third)
        _events.unobserve(third)

    together(lambda: _events.observe(second), come_and_go, lambda: task.set_result(7))
    assert heard.count("first Kind.DONE") == 1
    assert {*_events.observers} == {first, second}
    _events.observers = ()


MODELS = [
    Model(it_is_asked_for_when_it_is_due, WATCH),
    Model(it_is_asked_for_before_it_is_due, WATCH, bound=0),
    Model(it_is_dropped_when_it_is_due_and_at_exit, WATCH, bound=0),
    Model(one_is_left_at_exit, WATCH, bound=0),
    Model(two_fail_at_once, WATCH, bound=0),
    Model(a_waiter_gives_up_when_it_fails, WATCH),
    Model(a_callback_comes_with_the_error, WATCH),
    Model(observers_come_and_go, WATCH),
]


FAULTS = {
    "an observer is added outside the lock": Fault(
        _events, "observe", "with _changing:", "if True:", observers_come_and_go
    ),
    "the sweep at exit leaves out what is left": Fault(
        _unasked,
        "_sweep",
        "for key, claim in left:",
        "for key, claim in left[1:]:",
        one_is_left_at_exit,
    ),
    "the service forgets that it has ended": Fault(
        _unasked,
        "_take_due",
        "_watch.service = None",
        "pass",
        two_fail_at_once,
        runs=6000,
    ),
    "who asked is not looked at": Fault(
        Task, "_ask", "self._debt.forgive()", "pass", it_is_asked_for_before_it_is_due
    ),
    "it is watched before anybody can have asked": Fault(
        Task,
        "_finish",
        " and not self._latches and not self._asked",
        " and False",
        it_is_dropped_when_it_is_due_and_at_exit,
    ),
}


class TestReports(SmallParts):
    models = MODELS
    faults = FAULTS
