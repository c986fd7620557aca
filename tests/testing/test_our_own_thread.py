"""`Thread` under every schedule: started once or cancelled, and everybody learns which.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

import pytest

from exploring import Fault, Model, SmallParts, together
from joinable import Task, Thread, _outcome, _running, _runtime, _task, _thread, spawn
from joinable.testing import explore, replay

if TYPE_CHECKING:
    from collections.abc import Callable

WATCH = (_thread, _running, _task, _outcome)


def it_is_started_and_cancelled() -> None:
    """It runs once or is cancelled, never both; one that runs may be asked in vain."""
    ran: list[int] = []
    cancelled: list[bool] = []
    thread: Thread[None] = Thread(target=lambda: ran.append(1))
    together(thread.start, lambda: cancelled.append(thread.cancel()))
    thread.join()
    assert thread.cancelled() == (not ran)
    assert cancelled[0] or ran == [1]  # False only when it has ended
    assert len(ran) <= 1
    assert not thread.is_alive()
    if ran:
        assert thread.result() is None


def it_is_started_twice() -> None:
    """One start wins, the other one is told, and it runs once."""
    ran: list[int] = []
    refused: list[str] = []
    thread: Thread[None] = Thread(target=lambda: ran.append(1))

    def start() -> None:
        try:
            thread.start()
        except RuntimeError as error:
            refused.append(str(error))

    together(start, start)
    thread.join()
    assert ran == [1]
    assert refused == ["threads can only be started once"]


def it_is_asked_while_it_is_started() -> None:
    """Who asks too early is told so; nobody else waits in vain or sees another value."""
    thread: Thread[int] = Thread(target=lambda: 7)

    def ask() -> None:
        try:
            assert thread.result() == 7
        except RuntimeError as error:
            assert "has not been started" in str(error)  # noqa: PT017  (it may also pass)

    def join() -> None:
        try:
            thread.join()
        except RuntimeError:
            return  # before the start
        assert thread.done()

    together(thread.start, ask, join)
    assert thread.result() == 7
    thread.join()


class Doubled(Thread[int]):
    def run(self) -> int:  # type: ignore[override]
        return 2 * 21


def a_subclass_runs() -> None:
    """The value of an overridden `run` is the result, and `run` is put back before it is called."""
    thread = Doubled()
    thread.start()
    together(lambda: thread.result() == 42, lambda: thread.result() == 42)
    assert thread.result() == 42
    assert "run" not in vars(thread)


def an_error_is_taken_by_two() -> None:
    """Both get the same object, and nothing is reported."""
    seen: list[BaseException | None] = []
    thread = spawn(int, "x")
    together(*[lambda: seen.append(thread.exception())] * 2)
    assert isinstance(seen[0], ValueError)
    assert seen[0] is seen[1]
    thread.join()


WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


def two_contexts_start_it() -> None:
    """It runs in the context of the start that won."""
    thread: Thread[str] = Thread(target=WHO.get)
    won: list[str] = []

    def start(name: str) -> None:
        WHO.set(name)
        try:
            thread.start()
        except RuntimeError:
            return
        won.append(name)

    together(lambda: start("a"), lambda: start("b"))
    assert [thread.result()] == won
    thread.join()


class Interrupted(BaseException):
    """Stands for Ctrl-C, which only the main thread of a process can get."""


def interrupted_start(where: str) -> Callable[[threading.Thread], None]:
    """Make a `_runtime.start` that is interrupted before, in or after the real one."""

    def interrupt(*_: object) -> bool:
        raise Interrupted

    def start(thread: threading.Thread) -> None:
        if where == "before":
            interrupt()
        if where == "in":  # the OS thread is there, and `start` waits until it says so
            vars(thread)["_started"].wait = interrupt
        threading.Thread.start(thread)
        interrupt()

    return start


def put_start(start: Callable[[threading.Thread], None]) -> None:
    """Put it in the place of the seam's, for one run."""
    setattr(_runtime, "start", start)  # noqa: B010  (a function, which checkers hold to its name)


def start_with(start: Callable[[threading.Thread], None], ran: list[int]) -> Thread[int]:
    """Start a thread whose start is `start`, while another thread waits for its result."""

    def call() -> int:
        ran.append(1)
        return 7

    thread: Thread[int] = Thread(target=call)
    real = _runtime.start
    put_start(start)

    def interrupted() -> None:
        with pytest.raises((Interrupted, NoMoreError)):
            thread.start()

    def ask() -> None:
        try:
            assert thread.result() == 7
        except CancelledError:
            assert not ran
        except RuntimeError as error:
            assert "has not been started" in str(error)  # noqa: PT017  (it may also pass)

    try:
        together(interrupted, ask)
    finally:
        put_start(real)
    return thread


def a_start_is_interrupted(where: str) -> None:
    ran: list[int] = []
    thread = start_with(interrupted_start(where), ran)
    assert thread.done() or where != "before"
    try:
        assert thread.result() == 7
    except CancelledError:
        assert not ran
    else:
        assert ran == [1]


def a_start_is_interrupted_before_there_is_a_thread() -> None:
    """It is cancelled, and who waits is told."""
    a_start_is_interrupted("before")


def a_start_is_interrupted_while_it_waits_for_the_thread() -> None:
    """It runs to its end or is cancelled and never runs; who waits learns which."""
    a_start_is_interrupted("in")


def a_start_is_interrupted_when_the_thread_runs() -> None:
    """The same."""
    a_start_is_interrupted("after")


class NoMoreError(RuntimeError):
    """Stands for the system's "can't start new thread"."""


def no_thread_can_be_had_at_first() -> None:
    """Who waits is told that it has not been started; it can be started again, and runs once."""
    ran: list[int] = []

    def refuse(_: threading.Thread) -> None:
        raise NoMoreError

    thread = start_with(refuse, ran)
    assert not ran
    thread.start()
    assert thread.result() == 7
    assert ran == [1]
    thread.join()


def a_failed_start_and_a_good_one_wake_who_waits() -> None:
    """A start that failed and the end of the next one overlap, and each waiter is woken."""
    thread: Thread[int] = Thread(target=lambda: 7)
    refusals = [NoMoreError()]
    real = _runtime.start

    def start_once_failing(begun: threading.Thread) -> None:
        if refusals:
            raise refusals.pop()
        real(begun)

    def start() -> None:
        try:
            thread.start()
        except RuntimeError:
            return

    def ask() -> None:
        try:
            assert thread.result() == 7
        except RuntimeError as error:
            assert "has not been started" in str(error)  # noqa: PT017  (it may also pass)

    put_start(start_once_failing)
    try:
        together(ask, ask, start, start)
        if not thread.done() and thread.ident is None:
            thread.start()
        assert thread.result() == 7
    finally:
        put_start(real)


MODELS = [
    Model(it_is_started_and_cancelled, WATCH, bound=2),
    Model(it_is_started_twice, WATCH, bound=2),
    Model(it_is_asked_while_it_is_started, WATCH, bound=0),
    Model(a_subclass_runs, WATCH),
    Model(an_error_is_taken_by_two, WATCH),
    Model(two_contexts_start_it, WATCH),
    Model(a_start_is_interrupted_before_there_is_a_thread, WATCH),
    Model(a_start_is_interrupted_while_it_waits_for_the_thread, WATCH),
    Model(a_start_is_interrupted_when_the_thread_runs, WATCH),
    Model(no_thread_can_be_had_at_first, WATCH),
    Model(a_failed_start_and_a_good_one_wake_who_waits, WATCH, bound=0),
]


def test_who_comes_between_a_start_and_its_failure_is_told() -> None:
    # Found so: thread 2 sees it running, thread 1 fails to start it and wakes nobody, thread 2
    # adds its latch and waits for ever.
    replay(no_thread_can_be_had_at_first, "1@2>2,2@1>1")


LOCKED_CLAIM = """\
    with self._mutex:
        if self._state != PENDING:
"""

WAKE_INSIDE = """\
            # Under the lock: who starts it now may be at its own `_wake` before we are done.
            self._wake()
        else:
            launch.revoked = True
    if not again:
"""
WAKE_OUTSIDE = """\
        else:
            launch.revoked = True
    if again:
        self._wake()
    else:
"""

FAULTS = {
    "a start looks outside the lock": Fault(
        Thread,
        "_claim_start",
        LOCKED_CLAIM,
        LOCKED_CLAIM.replace("with self._mutex:", "if True:"),
        it_is_started_and_cancelled,
    ),
    "a failed start does not wake who waits": Fault(
        Thread, "_start_failed", "self._wake()", "pass", no_thread_can_be_had_at_first
    ),
    "who waits looks at the state before the lock only": Fault(
        Task, "_wait_once", "self._refuse_to_wait()", "pass", no_thread_can_be_had_at_first
    ),
    "a failed start wakes outside the lock": Fault(
        Thread,
        "_start_failed",
        WAKE_INSIDE,
        WAKE_OUTSIDE,
        a_failed_start_and_a_good_one_wake_who_waits,
        runs=8000,
    ),
    "an interrupted start leaves it running": Fault(
        Thread,
        "_start_failed",
        "self._finish(CANCELLED_AND_NOTIFIED)",
        "pass",
        a_start_is_interrupted_before_there_is_a_thread,
    ),
}


class TestThread(SmallParts):
    models = MODELS
    faults = FAULTS
    # A fault may start one thread object twice: its bootstrap then complains, beside the failure.
    marks_of_faults = (
        pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    )

    def search(self, case: Fault, watch: tuple[object, ...]) -> None:
        # The faults that need it take three switches, at the right lines.
        explore(case.program, watch=watch, strategy="pct", preemptions=3, runs=case.runs)
