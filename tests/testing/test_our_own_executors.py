"""`executor=` under every schedule: everything once, in order, and nobody sleeps for ever.

The executor of these models begins each call in a thread of its own, at once, so what is explored
is how ends of calls meet the caller. The faults at the end show that the models can fail.
"""

from __future__ import annotations

import functools
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, ClassVar

from exploring import Composed, Fault, Model, interrupted_once, let_all_run
from joinable import (
    DeadlineExceeded,
    _abroad,
    _foreign_batch,
    _foreign_flow,
    move_on_after,
    run_all,
    run_each,
)
from joinable._abroad import Abroad
from joinable._flow import Flow
from joinable._foreign_batch import ForeignBatch
from joinable._foreign_flow import ForeignFlow

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    import pytest

    from joinable._typing import T

WATCH = (_abroad, _foreign_batch, _foreign_flow)


class Starter:
    """Begins each call at once, in a thread of its own; leaving the block joins them."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.now: list[None] = []
        self.most = 0

    def submit(self, fn: Callable[[], T], /) -> Future[T]:
        future: Future[T] = Future()
        self.now.append(None)
        self.most = max(self.most, len(self.now))
        thread = threading.Thread(target=self._make, args=(fn, future))
        self.threads.append(thread)
        thread.start()
        return future

    def _make(self, fn: Callable[[], T], future: Future[T]) -> None:
        if not future.set_running_or_notify_cancel():
            self.now.pop()
            return
        try:
            result = fn()
        except BaseException as error:  # noqa: BLE001  as executors do
            self.now.pop()
            future.set_exception(error)
        else:
            self.now.pop()
            future.set_result(result)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self.threads:
            thread.join()


# -------------------------------------------------------------------- run_all


def all_are_there(max_workers: int | None, count: int) -> None:
    """Results are in order, and the executor has no more calls than it may."""
    with Starter() as executor:
        calls = [functools.partial(abs, number) for number in range(count)]
        assert run_all(calls, max_workers=max_workers, executor=executor) == [*range(count)]
        assert executor.most <= (max_workers or count)


def all_at_once() -> None:
    """The same, without a limit."""
    all_are_there(None, 2)


def one_at_a_time() -> None:
    """The same, with a limit of one."""
    all_are_there(1, 2)


def two_at_a_time() -> None:
    """The same, with a limit of two."""
    all_are_there(2, 3)


def the_first_waits_for_the_third() -> None:
    """Who waits for all hands in the third call when the second has ended."""
    call = functools.partial(call_and_meet, threading.Event())
    with Starter() as executor:
        calls = [functools.partial(call, number) for number in range(3)]
        assert run_all(calls, max_workers=2, executor=executor) == [0, 1, 2]


def one_of_them_fails() -> None:
    """It is raised when all has ended, and at most one more was handed in."""
    begun: list[int] = []
    ended: list[int] = []

    def call(number: int) -> None:
        begun.append(number)
        try:
            if number == 0:
                raise ValueError(number)
        finally:
            ended.append(number)

    with Starter() as executor:
        try:
            calls = [functools.partial(call, number) for number in range(3)]
            run_all(calls, max_workers=2, executor=executor)
        except ValueError:
            assert sorted(begun) == sorted(ended)
        else:
            raise AssertionError("the failure was lost")


def the_time_is_up() -> None:
    """It comes back a second later, whatever the calls do."""
    begin = time.monotonic()
    with Starter() as executor:
        try:
            run_all([functools.partial(time.sleep, 5)] * 2, timeout=1, executor=executor)
        except DeadlineExceeded as error:
            late = len(error.unfinished)
        else:
            raise AssertionError("the time was not up")
        assert late == 2
        assert time.monotonic() - begin < 3


def a_scope_ends_it() -> None:
    """What runs is waited for all the same, and no longer than that."""
    begin = time.monotonic()
    ended: list[None] = []

    def call() -> None:
        time.sleep(3)
        ended.append(None)

    with Starter() as executor:
        with move_on_after(1) as scope:
            run_all([call, call], executor=executor)
        assert scope.cancelled_caught
        assert len(ended) == 2
        assert time.monotonic() - begin < 4


def an_interrupt_ends_it() -> None:
    """What runs is waited for, and what has not begun never does."""
    with Starter() as executor, interrupted_once() as call:
        run_all([functools.partial(call, number) for number in range(2)], executor=executor)


# -------------------------------------------------------------------- run_each


def all_come_out(
    limit: int | None, buffersize: int | None, *, ordered: bool = True, count: int = 2
) -> None:
    """Every item once, in order if that is asked for."""
    with Starter() as executor:
        results = run_each(
            abs,
            range(count),
            max_workers=limit,
            buffersize=buffersize,
            ordered=ordered,
            executor=executor,
        )
        got = [*results]
        assert (got if ordered else sorted(got)) == [*range(count)]
        assert executor.most <= (limit or count)


def a_window_of_one() -> None:
    """Each result is waited for before the next item is taken."""
    all_come_out(1, 0)


def a_window_of_two() -> None:
    """The executor has two calls."""
    all_come_out(2, 0, count=3)


def a_limit_of_two_and_a_buffer() -> None:
    """What has ended out of order makes room for the next."""
    all_come_out(2, 2, count=3)


def no_limit() -> None:
    """All are handed in at the call."""
    all_come_out(None, None)


def no_limit_as_completed() -> None:
    """The same, in any order."""
    all_come_out(None, None, ordered=False)


def call_and_meet(met: threading.Event, number: int) -> int:
    """Make the first call wait for the third."""
    if number == 0:
        met.wait()
    elif number == 2:
        met.set()
    return number


def a_call_waits_for_one_that_is_handed_in_later() -> None:
    """Whoever waits for the first result hands in the third call when the second has ended."""
    call = functools.partial(call_and_meet, threading.Event())
    with Starter() as executor:
        results = run_each(call, range(3), max_workers=2, executor=executor)
        assert [*results] == [0, 1, 2]


def the_second_fails() -> None:
    """The first result comes, then the error, and all has ended."""
    begun: list[int] = []
    ended: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        try:
            if number == 1:
                raise ValueError(number)
        finally:
            ended.append(number)
        return number

    got: list[int] = []
    with Starter() as executor:
        try:
            got.extend(run_each(call, range(3), max_workers=2, executor=executor))
        except ValueError:
            assert sorted(begun) == sorted(ended)
        else:
            raise AssertionError("the failure was lost")
    assert got == [0]


def it_is_closed() -> None:
    """What has begun has ended when `close` returns, and nothing begins after."""
    begun: list[int] = []
    ended: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        let_all_run()
        ended.append(number)
        return number

    with Starter() as executor:
        with run_each(call, range(3), max_workers=2, executor=executor) as results:
            assert next(results) == 0
        seen = [*begun]
        assert sorted(seen) == sorted(ended)
    assert begun == seen


short = functools.partial(Model, watch=WATCH, bound=1)
long = functools.partial(Model, watch=WATCH, bound=0)

MODELS = [
    *map(
        short,
        (
            all_at_once,
            one_at_a_time,
            the_time_is_up,
            a_scope_ends_it,
            an_interrupt_ends_it,
            a_window_of_one,
        ),
    ),
    # These have so many threads that one preemption at each lock takes long: it is tried in soak.
    *map(
        long,
        (
            two_at_a_time,
            the_first_waits_for_the_third,
            one_of_them_fails,
            a_window_of_two,
            a_limit_of_two_and_a_buffer,
            no_limit,
            no_limit_as_completed,
            a_call_waits_for_one_that_is_handed_in_later,
            the_second_fails,
            it_is_closed,
        ),
    ),
]

FAULTS = {
    "who sleeps is not woken": Fault(
        ForeignBatch, "ended", "sleeper is not None", "False", all_at_once
    ),
    "who goes to sleep does not look": Fault(
        ForeignBatch, "_sleep", "if self._must_look():", "if False:", all_at_once
    ),
    "a free place wakes nobody": Fault(
        ForeignBatch,
        "_must_look",
        "(bool(self.todo) and self.has_place())",
        "False",
        the_first_waits_for_the_third,
    ),
    "the limit counts for nothing": Fault(
        Abroad, "has_place", "len(self.pending) < self.limit", "True", one_at_a_time
    ),
    "a call has ended before its result is there": Fault(
        Abroad,
        "_ended",
        "self._settle(index, work, self.pending[index])",
        "future = self.pending.pop(index)\n"
        "        self.ended(index)\n"
        "        self._settle(index, work, future)",
        all_at_once,
    ),
    "nobody is told that all has ended": Fault(
        Abroad, "_ended", "self.tell_if_gone()", "pass", a_scope_ends_it
    ),
    "what runs is not waited for": Fault(
        Abroad, "_leave", "super()._leave(why)", "pass", an_interrupt_ends_it
    ),
    "the wait has no deadline": Fault(
        ForeignBatch, "_sleep", "self.deadline", "float('inf')", the_time_is_up
    ),
    "a mark is set before the result is there": Fault(
        ForeignFlow,
        "_put",
        "shelf.values[place] = value\n"
        "        shelf.marks[place] = mark  # last: it says that the other is there",
        "shelf.marks[place] = mark\n        shelf.values[place] = value",
        a_window_of_one,
        runs=1500,
    ),
    "a result wakes nobody": Fault(
        ForeignFlow, "ended", "self.shelf.wake(index)", "pass", no_limit
    ),
    "an end wakes only who waits for it": Fault(
        ForeignFlow,
        "ended",
        "self.shelf.wake_all()  # whoever waits for another result may hand in the next call",
        "self.shelf.wake(index)",
        a_call_waits_for_one_that_is_handed_in_later,
    ),
    "who goes to sleep does not look for a free place": Fault(
        Flow,
        "_has_some",
        "not self.may_go_on() and ",
        "",
        a_call_waits_for_one_that_is_handed_in_later,
        runs=2000,
    ),
    "one that has just ended is taken for the last": Fault(
        ForeignBatch,
        "_work_off",
        "not self.pending and not self.todo",
        "not self.pending",
        one_at_a_time,
    ),
}


class TestExecutors(Composed):
    models: ClassVar = MODELS
    faults: ClassVar = FAULTS
    marks_of_faults: ClassVar[tuple[pytest.MarkDecorator, ...]] = ()
