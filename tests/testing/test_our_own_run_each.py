"""`run_each` under every schedule: every item once, no result late or lost, no thread left.

The windows are of one and of two items: there the consumer and the workers wait for each other all
the time. Each model is a small program; the line under its name says what must hold. The faults at
the end show that the models can fail.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from exploring import Composed, Fault, Model, interrupted_once
from joinable import (
    CancelledError,
    DeadlineExceeded,
    _calls,
    _eager,
    _flow,
    _lazy,
    _shelf,
    _stream,
    current_scope,
    run_each,
    sleep,
)
from joinable._eager import Eager
from joinable._flow import Flow
from joinable._lazy import Lazy
from joinable._shelf import AsCompleted, InOrder, InPieces, Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

WATCH = (_calls, _eager, _flow, _lazy, _shelf, _stream)


class BoomError(Exception):
    """What the calls of these models raise."""


def alone() -> bool:
    """Tell whether no thread of a stream is left: those it had are idle."""
    return not any(thread.name.startswith("run_each") for thread in threading.enumerate())


class Source:
    """A source of numbers that knows how far it was read, and that one thread is in it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read = 0
        self.inside = threading.Lock()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        assert self.inside.acquire(blocking=False)
        try:
            if self.read == self.count:
                raise StopIteration
            self.read += 1
            return self.read - 1
        finally:
            self.inside.release()


def all_come_out(
    *, max_workers: int, buffersize: int | None, ordered: bool = True, count: int = 3
) -> None:
    """Each item is called with once, all results come out, within the window, and all is left."""
    made: list[int] = []
    source = Source(count)
    window = count if buffersize is None else max_workers + buffersize

    def call(number: int) -> int:
        made.append(number)
        return number

    got: list[int] = []
    results = run_each(
        call, source, max_workers=max_workers, buffersize=buffersize, ordered=ordered
    )
    for number in results:
        got.append(number)
        assert source.read <= len(got) + window
    assert (got if ordered else sorted(got)) == [*range(count)]
    assert sorted(made) == [*range(count)]
    assert alone()


def one_worker_and_no_buffer() -> None:
    """The window is of one item."""
    all_come_out(max_workers=1, buffersize=0)


def one_worker_and_a_buffer_of_one() -> None:
    """The window is of two items, for one worker."""
    all_come_out(max_workers=1, buffersize=1, count=4)


def two_workers_and_no_buffer() -> None:
    """The window is of two items, for two workers."""
    all_come_out(max_workers=2, buffersize=0)


def two_workers_and_no_buffer_as_completed() -> None:
    """The same, in any order."""
    all_come_out(max_workers=2, buffersize=0, ordered=False)


def two_workers_and_no_bound() -> None:
    """All the input is there."""
    all_come_out(max_workers=2, buffersize=None)


def three_in_one_piece() -> None:
    """The first calls were quick, so one worker sets more aside; the other one helps."""
    all_come_out(max_workers=2, buffersize=None, count=6)


def slow_ones_are_taken_one_at_a_time() -> None:
    """They begin in their order, and each worker has always one."""
    begin = time.monotonic()
    made: list[int] = []

    def call(number: int) -> int:
        made.append(number)
        sleep(1)
        return number

    assert list(run_each(call, range(4), max_workers=2, buffersize=None)) == [0, 1, 2, 3]
    assert sorted(made) == [0, 1, 2, 3]
    assert sorted(made[:2]) == [0, 1]
    assert time.monotonic() == begin + 2
    assert alone()


def a_slow_one_fails() -> None:
    """Its error is raised at its place, and nothing is taken after it."""
    made: list[int] = []

    def call(number: int) -> int:
        made.append(number)
        sleep(1 if number else 2)
        if number == 1:
            raise BoomError
        return number

    got: list[int] = []
    with pytest.raises(BoomError):
        got.extend(run_each(call, range(4), max_workers=2, buffersize=None))
    assert (got, sorted(made)) == ([0], [0, 1])
    assert alone()


def results_are_let_come() -> None:
    """The consumer has been woken soon, and waits for more than one; the last is long in coming."""
    with mock.patch.object(_eager, "_AMPLE", 1):
        assert list(run_each(sleep, [0, 0, 0, 1], max_workers=2, buffersize=None)) == [None] * 4
    assert alone()


def one_holds_back() -> None:
    """The calls were quick, so the second worker leaves them to the first, and loses no time."""
    begin = time.monotonic()
    with mock.patch.multiple(_eager, _PROVEN=0, _ENOUGH=1):
        all_come_out(max_workers=2, buffersize=None)
    assert time.monotonic() == begin


def two_workers_and_no_bound_as_completed() -> None:
    """The same, in any order."""
    all_come_out(max_workers=2, buffersize=None, ordered=False)


def it_is_left(buffersize: int | None, how: str) -> None:
    """What began has ended when it is left, and nothing begins after."""
    begin = time.monotonic()
    begun: list[int] = []
    ended: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        try:
            sleep(number)
        finally:
            ended.append(number)
        return number

    results = run_each(call, [0, 1000, 1000], max_workers=2, buffersize=buffersize)
    assert next(results) == 0
    if how == "closed":
        results.close()
    else:
        del results
        time.sleep(1)
    assert sorted(begun) == sorted(ended)
    assert time.monotonic() < begin + 1000
    assert alone()


def it_is_closed() -> None:
    """After one result, when the second call runs or not."""
    it_is_left(0, "closed")


def it_is_closed_without_a_bound() -> None:
    """The same."""
    it_is_left(None, "closed")


def it_is_dropped() -> None:
    """The same, but nobody waits."""
    it_is_left(0, "dropped")


def it_is_dropped_without_a_bound() -> None:
    """The same."""
    it_is_left(None, "dropped")


def one_fails(bad: int, buffersize: int | None, *, ordered: bool = True, count: int = 4) -> None:
    """Its error is raised at its place, nothing is called with twice, and no thread is left."""
    made: list[int] = []

    def call(number: int) -> int:
        made.append(number)
        if number == bad:
            raise BoomError
        return number

    results = run_each(call, range(count), max_workers=2, buffersize=buffersize, ordered=ordered)
    got: list[int] = []
    with pytest.raises(BoomError):
        got.extend(results)
    assert got == [*range(bad)] or not ordered
    assert len({*made}) == len(made)
    assert alone()


def the_second_fails() -> None:
    """In a window of two."""
    one_fails(1, 0)


def the_second_fails_as_completed() -> None:
    """When it happens."""
    one_fails(1, 0, ordered=False)


def the_last_fails_without_a_bound() -> None:
    """What is before it is made, whoever had set it aside."""
    one_fails(3, None)


def nothing_behind_it_is_begun(bad: int, buffersize: int | None) -> None:
    """With one worker: what it had taken, and lies behind the one that fails, is dropped."""
    made: list[int] = []

    def call(number: int) -> int:
        made.append(number)
        if number == bad:
            raise BoomError
        return number

    got: list[int] = []
    with pytest.raises(BoomError):
        got.extend(run_each(call, [0, 1, 2, 3, 4, 5], max_workers=1, buffersize=buffersize))
    assert got == [*range(bad)]
    assert made == [*range(bad + 1)]
    assert alone()


def the_second_fails_and_nothing_behind_it_is_begun() -> None:
    """What it had set aside is dropped."""
    nothing_behind_it_is_begun(2, None)


def the_source_fails() -> None:
    """Its error comes after the results of what was before it."""

    def source() -> Iterator[int]:
        yield 0
        yield 1
        raise BoomError

    got: list[int] = []
    with pytest.raises(BoomError):
        got.extend(run_each(int, source(), max_workers=2, buffersize=0))
    assert got == [0, 1]
    assert alone()


def a_call_stops_them_all() -> None:
    """Who asks is told so, whatever was called by then."""

    def call(number: int) -> int:
        scope = current_scope()
        assert scope is not None
        if number == 1:
            scope.cancel()
        sleep(number)
        return number

    for buffersize in (0, None):
        with pytest.raises(CancelledError):
            list(run_each(call, range(4), max_workers=2, buffersize=buffersize))
        assert alone()


def calls_that_wait_for_each_other(buffersize: int | None) -> None:
    """As many as there are workers can: none waits in the piece of another one."""
    barrier = threading.Barrier(3)
    calls = [int, int, int, barrier.wait, barrier.wait, barrier.wait]
    got = list(run_each(lambda call: call(), calls, max_workers=3, buffersize=buffersize))
    assert sorted(got) == [0, 0, 0, 0, 1, 2]


def calls_wait_for_each_other() -> None:
    """In a window of three."""
    calls_that_wait_for_each_other(0)


def calls_wait_for_each_other_without_a_bound() -> None:
    """In one piece."""
    calls_that_wait_for_each_other(None)


def it_is_late() -> None:
    """The first result is given out, then it is too late; the call that waited has ended."""
    begin = time.monotonic()
    results = run_each(sleep, [0, 1000], max_workers=2, buffersize=0, timeout=1)
    assert next(results) is None
    with pytest.raises(DeadlineExceeded):
        next(results)
    assert time.monotonic() == begin + 1
    assert alone()


def an_interrupt_comes_while_it_waits() -> None:
    """What runs is waited for, and the interrupt is raised."""
    with interrupted_once() as call:
        list(run_each(call, range(3), max_workers=2, buffersize=0))
    assert alone()


def the_consumer_is_slow() -> None:
    """Two items are taken ahead, and no more, and the workers come back for the rest."""
    source = Source(5)
    results = run_each(int, source, max_workers=1, buffersize=1)
    for number in range(5):
        assert next(results) == number
        time.sleep(1)  # now all that may run has run
        assert source.read == min(5, number + 3)
    assert list(results) == []


def one_holds_back_for_a_moment() -> None:
    """The calls were quick, but the next one waits for the one after it."""
    with mock.patch.multiple(_eager, _PROVEN=0, _ENOUGH=1):
        calls_wait_for_each_other_without_a_bound()


def quick_ones_hold_on(*, max_workers: int, buffersize: int, ordered: bool = True) -> None:
    """The calls are quick, so lanes wait for room where they are; nobody loses time by that."""
    begin = time.monotonic()
    with mock.patch.object(_lazy, "_PROVEN", 1):
        all_come_out(max_workers=max_workers, buffersize=buffersize, ordered=ordered, count=4)
    assert time.monotonic() == begin


def one_holds_on() -> None:
    """In a window of one."""
    quick_ones_hold_on(max_workers=1, buffersize=0)


def two_hold_on() -> None:
    """In a window of two."""
    quick_ones_hold_on(max_workers=2, buffersize=0)


def two_hold_on_as_completed() -> None:
    """The same, in any order."""
    quick_ones_hold_on(max_workers=2, buffersize=0, ordered=False)


def one_holds_on_for_a_moment() -> None:
    """The calls were quick, but the next ones wait for each other."""
    with mock.patch.object(_lazy, "_PROVEN", 1):
        calls_that_wait_for_each_other(0)


def results_are_let_come_from(max_workers: int, *, ordered: bool = True) -> None:
    """The consumer waits for more than one, and no longer than there are any to come."""
    begin = time.monotonic()
    with mock.patch.object(_lazy, "_LAVISH", 1):
        all_come_out(max_workers=max_workers, buffersize=1, ordered=ordered, count=4)
    assert time.monotonic() == begin


def results_are_let_come_from_one() -> None:
    """In a window of two."""
    results_are_let_come_from(1)


def results_are_let_come_from_one_that_holds_on() -> None:
    """The same, and the lane stays."""
    with mock.patch.object(_lazy, "_PROVEN", 1):
        results_are_let_come_from(1)


def results_are_let_come_from_two_as_completed() -> None:
    """In a window of three, in any order."""
    results_are_let_come_from(2, ordered=False)


def the_source_waits_for_results() -> None:
    """Each item depends on the result before it, which is not let wait for others."""
    begin = time.monotonic()
    items: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    items.put(0)
    with run_each(int, iter(items.get, None), max_workers=1, buffersize=64) as results:
        for number in results:
            items.put(number + 1 if number < 3 else None)
    assert time.monotonic() == begin
    assert alone()


def some_are_taken_at_a_time() -> None:
    """The source is a list, and the window of three; what is ready is dropped."""
    nothing_behind_it_is_begun(1, 2)


def the_third_of_a_list_fails() -> None:
    """What is before it is made, whoever has taken it."""
    one_fails(2, 1, count=3)


def two_workers_and_a_list() -> None:
    """In a window of four."""
    made: list[int] = []
    results = run_each(made.append, [0, 1, 2, 3, 4, 5], max_workers=2, buffersize=2)
    assert len(list(results)) == 6
    assert sorted(made) == [0, 1, 2, 3, 4, 5]
    assert alone()


def it_is_left_while_one_holds_on() -> None:
    """Nobody waits for the end of the moment."""
    begin = time.monotonic()
    with mock.patch.object(_lazy, "_PROVEN", 1):
        with run_each(int, Source(9), max_workers=2, buffersize=1) as results:
            assert next(results) == 0
        assert time.monotonic() == begin
    assert alone()


def one_holds_on_when_the_second_fails() -> None:
    """Its error is raised, nothing behind it is begun, and no time is lost."""
    begin = time.monotonic()
    with mock.patch.object(_lazy, "_PROVEN", 1):
        one_fails(1, 0)
    assert time.monotonic() == begin


MODELS = [
    Model(one_holds_on, WATCH, bound=2),
    Model(two_hold_on, WATCH),
    Model(two_hold_on_as_completed, WATCH),
    Model(one_holds_on_for_a_moment, WATCH, bound=0),
    Model(results_are_let_come_from_one, WATCH, bound=2),
    Model(results_are_let_come_from_one_that_holds_on, WATCH),
    Model(results_are_let_come_from_two_as_completed, WATCH),
    Model(the_source_waits_for_results, WATCH, bound=0),
    Model(some_are_taken_at_a_time, WATCH),
    Model(two_workers_and_a_list, WATCH),
    Model(the_third_of_a_list_fails, (Lazy,)),
    Model(it_is_left_while_one_holds_on, WATCH),
    Model(one_holds_on_when_the_second_fails, WATCH),
    Model(one_worker_and_no_buffer, WATCH, bound=2),
    Model(one_worker_and_a_buffer_of_one, WATCH),
    Model(two_workers_and_no_buffer, WATCH),
    Model(two_workers_and_no_buffer_as_completed, WATCH),
    Model(two_workers_and_no_bound, WATCH),
    Model(two_workers_and_no_bound_as_completed, WATCH),
    Model(three_in_one_piece, WATCH, bound=0),
    Model(slow_ones_are_taken_one_at_a_time, WATCH, bound=0),
    Model(a_slow_one_fails, WATCH, bound=0),
    Model(results_are_let_come, WATCH, bound=0),
    Model(it_is_closed, WATCH),
    Model(it_is_closed_without_a_bound, WATCH),
    Model(it_is_dropped, WATCH),
    Model(it_is_dropped_without_a_bound, WATCH),
    Model(the_second_fails, WATCH),
    Model(the_second_fails_as_completed, WATCH),
    Model(the_last_fails_without_a_bound, WATCH),
    Model(the_second_fails_and_nothing_behind_it_is_begun, WATCH),
    Model(the_source_fails, WATCH),
    Model(a_call_stops_them_all, WATCH, bound=0),
    Model(calls_wait_for_each_other, WATCH, bound=0),
    Model(calls_wait_for_each_other_without_a_bound, WATCH, bound=0),
    Model(one_holds_back, WATCH),
    Model(one_holds_back_for_a_moment, WATCH, bound=0),
    Model(it_is_late, WATCH),
    Model(an_interrupt_comes_while_it_waits, WATCH),
    Model(the_consumer_is_slow, WATCH),
]


FAULTS = {
    "nobody who holds on is roused": Fault(Lazy, "look", "self._rouse()", "False", one_holds_on),
    "who holds on does not look again": Fault(
        Lazy, "_hold_on", "if not self.over and not self.has_more():", "if True:", one_holds_on
    ),
    "who was roused does not say so": Fault(
        Lazy, "_hold_on", "self.roused.pop()", "pass", one_holds_on
    ),
    "it is said too late who was roused": Fault(
        Lazy,
        "_rouse",
        "_park.release(latch)",
        "_park.release(latch); self.roused.append(self.roused.pop())",
        one_holds_on_for_a_moment,
    ),
    "who comes is expected for ever": Fault(
        Lazy, "_hold_on", "self.coming = None", "pass", one_holds_on_for_a_moment
    ),
    "nobody follows who was roused": Fault(
        Lazy, "_follow", "self.call_another()", "pass", one_holds_on_for_a_moment
    ),
    "at the end nobody is roused": Fault(Lazy, "end", "self._tell_all()", "pass", two_hold_on),
    "nobody is roused when it is left": Fault(
        Lazy, "_halt", "self._tell_all()", "pass", it_is_left_while_one_holds_on
    ),
    "nobody is sent for when there is room": Fault(
        Lazy, "look", "self.call_another()", "pass", one_worker_and_no_buffer
    ),
    "the first bit of room counts for nobody": Fault(
        Lazy, "has_more", "_room() >= (", "_room() > (", one_worker_and_no_buffer
    ),
    "a lane takes one more than there is room for": Fault(
        Lazy,
        "_take",
        "room <= 0",
        "room < 0",
        two_workers_and_no_buffer,
    ),
    "two are in the source": Fault(
        Lazy,
        "set_up",
        "self.turn = _runtime.allocate_lock()",
        "self.turn = __import__('threading').Semaphore(2)",
        two_workers_and_no_buffer,
    ),
    "the sleeper does not look again when it is entered": Fault(
        Flow,
        "_has_some",
        "[] if self.closed else self.shelf.take(self.given, self.most)",
        "[]",
        two_workers_and_no_buffer,
    ),
    "a lane does not look for the sleeper": Fault(
        Lazy, "_call_some", "if sleepers:", "if False:", one_worker_and_no_buffer
    ),
    "a lane of a list does not look for the sleeper": Fault(
        Eager, "_call", "if sleepers:", "if False:", two_workers_and_no_bound
    ),
    "nobody wakes who lets results come": Fault(
        Lazy, "call_all", "self.serve()", "pass", results_are_let_come_from_one
    ),
    "a lane that holds on does not wake who lets results come": Fault(
        Lazy, "_hold_on", "self.serve()", "pass", results_are_let_come_from_one_that_holds_on
    ),
    "results are let come that do not": Fault(
        Flow,
        "_let_some_come",
        "if self.is_ample():",
        "if True:",
        results_are_let_come_from_one,
    ),
    "results are let come that a source waits for": Fault(
        Lazy,
        "read",
        "_AMPLE if plain else _LAVISH",
        "_AMPLE",
        the_source_waits_for_results,
    ),
    "what was taken is called with in any case": Fault(
        Lazy, "_halt", "self.ready.clear()", "self.halted.clear()", some_are_taken_at_a_time
    ),
    "what was taken before a failure is dropped": Fault(
        Lazy, "_call_some", "index > min(halted)", "True", the_third_of_a_list_fails
    ),
    "what was taken is given out twice": Fault(
        Lazy, "_call_some", "pop()", "ready[0]; pop()", two_workers_and_a_list
    ),
    "what is taken counts for nothing": Fault(
        Lazy,
        "_take",
        "self.taken += len(items)",
        "self.taken += 1",
        two_workers_and_a_list,
    ),
    "the mark comes before the value": Fault(
        Lazy,
        "_call_some",
        "            values[place] = value\n            marks[place] = mark",
        "            marks[place] = mark\n            values[place] = value",
        one_worker_and_a_buffer_of_one,
        runs=4000,
    ),
    "the end wakes nobody": Fault(
        Flow, "end", "self.shelf.wake_all()", "pass", one_worker_and_no_buffer
    ),
    "the end is told before it is known": Fault(
        Flow,
        "end",
        "self.total = self.taken  # last: who reads it may read the error\n"
        "    self.shelf.wake_all()",
        "self.shelf.wake_all()\n    self.total = self.taken",
        one_worker_and_no_buffer,
    ),
    "what was given out is counted twice": Fault(
        Flow,
        "take",
        "self.given += len(self.chunk)",
        "self.given += 2 * len(self.chunk)",
        one_worker_and_no_buffer,
    ),
    "taken marks stay": Fault(
        InOrder, "take", "self.marks[start:end] = bytes(count)", "pass", one_worker_and_no_buffer
    ),
    "a piece is not put on the shelf": Fault(
        Eager, "_cut", "self.shelf.put(piece)", "pass", two_workers_and_no_bound
    ),
    "the next piece is not looked for": Fault(
        InPieces, "_at", "self.pieces.pop(index, None)", "None", two_workers_and_no_bound
    ),
    "any result wakes nobody": Fault(
        AsCompleted, "wake", "self.wake_all()", "pass", two_workers_and_no_buffer_as_completed
    ),
    "closing does not stop the intake": Fault(
        Flow, "close", "self._leave(why)", "self.wait()", it_is_closed
    ),
    "dropping stops nothing": Fault(
        Flow, "drop", 'self.scope.cancel("the stream was dropped")', "pass", it_is_dropped
    ),
    "a failure stops nothing": Fault(
        Flow,
        "spoilt",
        "self.stop_behind(index)",
        "pass",
        the_second_fails_and_nothing_behind_it_is_begun,
    ),
    "a failure drops what was before it": Fault(
        Piece,
        "cut",
        "max(0, min(self.rest - 1 - index, len(self.todo)))",
        "len(self.todo)",
        the_last_fails_without_a_bound,
    ),
    "a failure is not marked": Fault(
        Flow, "failed", "self.spoilt(index, error), FAILED", "error, DONE", the_second_fails
    ),
    "an error of the source is forgotten": Fault(
        Flow, "finish", "(self.fault, self.last)", "(self.fault,)", the_source_fails
    ),
    "nobody takes from the piece of another": Fault(
        Eager,
        "_claim",
        "if piece.todo:",
        "if False:",
        calls_wait_for_each_other_without_a_bound,
    ),
    "who helps takes what the owner is about to call": Fault(
        Piece, "pick_last", "self.todo.pop(0)", "self.todo.pop()", three_in_one_piece
    ),
    "what a helper has put there is not looked for": Fault(
        InPieces,
        "_in_a_row",
        "self.singles.pop(index + len(values), _NOTHING)",
        "_NOTHING",
        three_in_one_piece,
    ),
    "a helper does not look for the sleeper": Fault(
        Eager, "_call_one", "if shelf.sleepers:", "if False:", three_in_one_piece
    ),
    "two take the same": Fault(
        Eager, "_call_singly", "with self.turn:", "if True:", slow_ones_are_taken_one_at_a_time
    ),
    "nobody follows who takes one": Fault(
        Eager, "_call_singly", "self.arrived(job)", "pass", slow_ones_are_taken_one_at_a_time
    ),
    "a failure is given out as a result": Fault(
        Eager,
        "_put_failure",
        "piece.failed or mark == FAILED",
        "False",
        the_last_fails_without_a_bound,
    ),
    "nobody tells who holds back that all is set aside": Fault(
        Eager, "_claim", "if held is not None:", "if False:", one_holds_back
    ),
    "one holds back when all is set aside": Fault(
        Eager, "_hold_back", "if not self._may_take():", "if False:", one_holds_back
    ),
    "nobody looks after results were let come": Fault(
        Flow,
        "_wait_for_some",
        "while not self._has_some():",
        "while not self.hurried and not self._has_some():",
        results_are_let_come,
    ),
    "what others have set aside counts for nothing": Fault(
        Eager,
        "has_more",
        "any(piece.todo for piece in self.claims.copy().values())",
        "False",
        calls_wait_for_each_other_without_a_bound,
    ),
    "who is still there after an interrupt is not waited for": Fault(
        _calls.Calls,
        "_leave",
        "self.outlast(math.inf, self.what, self.runners)",
        "pass",
        an_interrupt_comes_while_it_waits,
    ),
}


class TestRunEach(Composed):
    models = MODELS
    faults = FAULTS
