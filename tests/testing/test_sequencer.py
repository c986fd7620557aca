"""Numbered steps across threads run in order, and never hang."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from joinable import Task, Thread, run_all, spawn
from joinable import _runtime as runtime
from joinable.testing import FakeClock, MissingStepError, SequenceError, Sequencer


def test_steps_run_in_the_order_of_their_numbers_whichever_thread_comes_first() -> None:
    for _ in range(50):
        seq, seen = Sequencer(), list[int]()

        def take(numbers: range, seq: Sequencer = seq, seen: list[int] = seen) -> None:
            for number in numbers:
                with seq(number):
                    seen.append(number)

        run_all([partial(take, range(start, 30, 3)) for start in (2, 1, 0)])
        assert seen == list(range(30))


def test_a_step_does_not_begin_before_the_lower_one_has_ended() -> None:
    seq, inside = Sequencer(), threading.Event()

    def take() -> None:
        with seq(1):
            inside.set()

    with seq(0):
        second = spawn(take)
        while 1 not in seq._waiting:  # it will not come in without us
            assert not inside.is_set()
        assert repr(seq) == "<Sequencer(next step 0, waiting: 1)>"
    second.result(30)
    assert inside.is_set()


@pytest.mark.parametrize("number", [0, 1])
def test_a_number_is_used_once(number: int) -> None:
    seq = Sequencer()
    for step in range(number + 1):
        with seq(step):
            pass
    with pytest.raises(SequenceError, match=f"step {number} was used before"), seq(number):
        pass
    with seq(number + 1):  # the others are none the worse for it
        pass


@pytest.mark.parametrize(
    ("number", "error"), [(-1, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_a_wrong_number_is_an_error_that_names_it(number: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=str(number)):
        Sequencer()(number)


@pytest.mark.parametrize("timeout", [0, -1, None])
def test_a_wrong_timeout_is_an_error(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be above 0"):
        Sequencer(timeout=timeout)


def test_a_step_that_raises_breaks_all_that_wait_and_all_that_come() -> None:
    seq, waiters = Sequencer(), list[Thread[object]]()
    with pytest.raises(ZeroDivisionError), seq(0):
        waiters += [spawn(seq(number).__enter__) for number in (1, 2)]
        while len(seq._waiting) < 2:
            pass
        _ = 1 / 0
    for waiter in waiters:
        with pytest.raises(SequenceError, match=r"step 0 raised ZeroDivisionError: division"):
            waiter.result(30)
    with pytest.raises(SequenceError, match="step 0 raised"), seq(3):
        pass


def test_a_step_that_nobody_begins_is_named() -> None:
    seq = Sequencer(timeout=0.01)
    with pytest.raises(
        MissingStepError, match=r"step 1 waited 0.01 s in vain for step 0, which no"
    ):
        seq(1).__enter__()
    with pytest.raises(MissingStepError, match="for step 0"), seq(0):  # late: nobody waits any more
        pass


def test_a_step_that_does_not_end_is_named_with_its_line() -> None:
    seq = Sequencer(timeout=0.01)
    with seq(0):
        waiter = spawn(seq(1).__enter__)
        line = r"still waiting in Task.result at .*test_sequencer.py"
        with pytest.raises(MissingStepError, match=line):
            waiter.result(30)


def test_one_missing_step_is_told_to_everybody_at_once() -> None:
    seq = Sequencer(timeout=30)
    patient = spawn(seq(2).__enter__)
    while 2 not in seq._waiting:
        pass
    seq._timeout = 0.01
    with pytest.raises(MissingStepError):
        seq(1).__enter__()
    with pytest.raises(MissingStepError, match=r"step 1 waited 0.01 s in vain for step 0"):
        patient.result(30)


def test_an_interrupted_wait_breaks_the_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        """A latch whose second taking is interrupted."""

        taken = False

        def acquire(self, *, timeout: float = -1) -> bool:  # noqa: ARG002
            if self.taken:
                raise KeyboardInterrupt
            self.taken = True
            return True

        def release(self) -> None:
            raise AssertionError("nobody waits for it")

    seq = Sequencer()
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "allocate_lock", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            seq(1).__enter__()
    with pytest.raises(SequenceError, match="step 1 raised KeyboardInterrupt"), seq(0):
        pass


def test_a_turn_that_comes_as_the_time_is_up_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """1: the wait of step 1 times out. 2: step 0 ends and hands over. 3: step 1 gives up."""
    seq = Sequencer(timeout=0.01)
    give_up = seq._give_up

    def late(number: int) -> None:
        seq._leave(0, None)
        give_up(number)

    with seq(0) as first:
        monkeypatch.setattr(seq, "_give_up", late)
        spawn(seq(1).__enter__).result(30)
        assert seq._next == 1
        assert seq._broken is None
        monkeypatch.undo()
    assert first is not None


def test_it_waits_in_real_time_under_a_clock_which_sees_that_it_waits() -> None:
    seq = Sequencer()
    with FakeClock(autojump=True) as clock:

        def first() -> None:
            with seq(0), pytest.raises(TimeoutError):
                Task[None]().result(5)

        worker = spawn(first)
        with seq(1):
            assert clock.now == 5
        worker.result()
