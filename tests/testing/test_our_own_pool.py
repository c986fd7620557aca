"""Pools and their tasks under every schedule.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
import time
from concurrent.futures import _base
from typing import TYPE_CHECKING, Any

import pytest

from exploring import Composed, Fault, Model, at_one, ended_by, inside, race, together_here
from joinable import (
    CancelledError,
    CancelScope,
    ThreadPool,
    _crew,
    _debt,
    _errand,
    _hands,
    _lounge,
    _outcome,
    _park,
    _pool,
    _room,
    _sealed,
    _staff,
    _workers,
    sleep,
)
from joinable._errand import Errand
from joinable._sealed import Sealed
from joinable._staff import Staff

if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable import Task

POOLS = (_errand, _lounge, _staff, _pool)
ENDS = (_errand, _sealed, _outcome)
ALL = (_errand, _sealed, _lounge, _staff, _pool, _crew, _hands, _workers, _park)


class Book:
    """What was asked of a pool, and what has come of it."""

    def __init__(self, pool: ThreadPool) -> None:
        self.pool = pool
        self.tasks: list[Task[object]] = []
        self.refused: list[None] = []
        self.numbers = itertools.count()
        self.made: list[int] = []
        self.over = False

    def submit(self, fn: Callable[[], object] = int) -> None:
        """Ask the pool for a call, which may refuse it."""
        number = next(self.numbers)

        def call() -> object:
            assert not self.over
            self.made.append(number)
            return fn()

        try:
            self.tasks.append(self.pool.submit(call))
        except RuntimeError:
            self.refused.append(None)

    def is_right(self, asked: int) -> None:
        """Check, when the pool is shut down: each was refused, or run once, or cancelled."""
        self.over = True
        assert len(self.tasks) + len(self.refused) == asked
        assert all(task.done() for task in self.tasks)
        never = sum(task.cancelled() for task in self.tasks)
        assert len(self.made) == len({*self.made})
        assert len(self.tasks) - never <= len(self.made) <= len(self.tasks)
        time.sleep(20)  # what comes now comes too late; and nobody rests any more
        assert not self.pool._staff.lanes


# -------------------------------------------------------------------- submitting and leaving


def all_are_done_at_the_end() -> None:
    """Every call is made once, and its value is there when the block is left."""
    begun = time.monotonic()
    with ThreadPool(2) as pool:
        book = Book(pool)
        for _ in range(3):
            book.submit()
    assert time.monotonic() - begun < _lounge.LINGER / 2  # who rests is told to leave
    book.is_right(3)
    assert sorted(book.made) == [0, 1, 2]


def two_submit_at_once() -> None:
    """Each call finds a worker: one who comes, or one who is on the way."""
    with ThreadPool(2) as pool:
        book = Book(pool)
        together_here(book.submit, book.submit)
        for task in book.tasks:
            task.result()
    assert len(book.made) == 2


def two_submit_when_one_rests() -> None:
    """Each call finds a worker at once: the one who rests, or another one."""
    with ThreadPool(2) as pool:
        book = Book(pool)
        book.submit()
        book.tasks[0].result()
        begun = time.monotonic()
        together_here(book.submit, book.submit)
        for task in book.tasks:
            task.result()
        book.submit()
        book.tasks[-1].result()
        assert time.monotonic() - begun < _lounge.LINGER / 2
    assert len(book.made) == 4


def one_after_the_other() -> None:
    """Each call finds the worker, which may just come to rest."""
    with ThreadPool(1) as pool:
        begun = time.monotonic()
        assert [pool.submit(int, text).result() for text in "123"] == [1, 2, 3]
        assert time.monotonic() - begun < _lounge.LINGER / 2


def two_calls_meet() -> None:
    """Both have a worker at once, whoever of the two was sent for first."""
    with ThreadPool(2) as pool:
        barrier = threading.Barrier(2)
        tasks = [pool.submit(barrier.wait), pool.submit(barrier.wait)]
        assert sorted(task.result() for task in tasks) == [0, 1]


def one_submit_and_shutdown() -> None:
    """A call is refused, or run before the end."""
    pool = ThreadPool(1)
    book = Book(pool)

    def shut_down() -> None:
        pool.shutdown()
        book.over = True  # nothing begins from now on

    together_here(book.submit, shut_down)
    book.is_right(1)


def submit_and_shutdown() -> None:
    """A call is refused, or run before the end."""
    pool = ThreadPool(1)
    book = Book(pool)
    together_here(book.submit, book.submit, pool.shutdown)
    book.is_right(2)


def submit_and_cancelling_shutdown() -> None:
    """A call is refused, or run, or cancelled, and somebody says so to who waits."""
    pool = ThreadPool(1)
    book = Book(pool)

    def wait() -> None:
        book.submit()
        for task in book.tasks:
            concurrent.futures.wait([task])

    together_here(wait, book.submit, lambda: pool.shutdown(cancel_futures=True))
    book.is_right(2)


def submit_when_a_worker_leaves() -> None:
    """A worker that has rested for long, and a call: one of the two finds the other."""
    pool = ThreadPool(1)
    book = Book(pool)
    book.submit()
    book.tasks[0].result()
    time.sleep(_lounge.LINGER)
    book.submit()
    book.tasks[1].result()
    time.sleep(_lounge.LINGER)
    race(book.submit, pool.shutdown)
    pool.shutdown()
    book.is_right(3)


def stopped_while_calls_begin() -> None:
    """What waits never runs, what runs is told, whenever it begins; then all have ended."""
    pool = ThreadPool(2)
    book = Book(pool)

    def submit_and_stop() -> None:
        with pytest.raises(KeyError), pool:
            book.submit(lambda: sleep(1000))
            book.submit(lambda: sleep(1000))
            raise KeyError

    submit_and_stop()
    assert all(task.cancelled() for task in book.tasks)
    book.is_right(2)


def stopped_while_one_begins() -> None:
    """The same for one call, which a worker may just have taken."""
    pool = ThreadPool(1)
    tasks: list[Task[None]] = []
    with pytest.raises(KeyError), pool:
        tasks.append(pool.submit(sleep, 1000))
        raise KeyError
    assert tasks[0].cancelled()


def one_waits_for_another() -> None:
    """A call lends its place to the one it waits for, and gets it back."""
    with ThreadPool(1) as pool:
        book = Book(pool)

        def outer() -> object:
            book.submit()
            return book.tasks[-1].result()

        task = pool.submit(outer)
        book.submit()
        task.result()
    book.is_right(2)
    assert len(book.made) == 2


def a_place_is_wanted_back_by_one_while_another_comes_to_rest() -> None:
    """The one that rests leaves for it, at once."""
    with ThreadPool(1) as pool:
        inner: list[Task[int]] = []

        def outer() -> float:
            inner.append(pool.submit(int))
            begun = time.monotonic()
            inner[0].result()
            return time.monotonic() - begun

        assert pool.submit(outer).result() < _lounge.LINGER / 2
        assert pool.submit(int).result() == 0


# -------------------------------------------------------------------- the end of a call


def all_kinds_of_waiting_at_the_end() -> None:
    """Whoever waits for the end, in whichever way, learns of it once."""
    told: list[object] = []
    with ThreadPool(1) as pool:
        task = pool.submit(int, "5")
        together_here(
            lambda: told.append(task.result()),
            lambda: told.extend(concurrent.futures.wait([task]).done),
            lambda: task.add_done_callback(told.append),
        )
    assert len(told) == 3
    assert told.count(5) == 1


def two_wait_for_one() -> None:
    """Both learn of the end."""
    told: list[str] = []
    with ThreadPool(1) as pool:
        task = pool.submit(int)

        def wait() -> None:
            told.append(ended_by(task.result))

        together_here(wait, wait)
    assert told == ["returned", "returned"]


def one_waits_for_what_is_stopped() -> None:
    """It learns of this end, too."""
    told: list[str] = []
    with ThreadPool(1) as pool:
        task = pool.submit(sleep, 1000)
        together_here(lambda: told.append(ended_by(task.result)), task.cancel)
    assert told == ["CancelledError"]


def two_ends_are_counted_once_each() -> None:
    """Who waits for both, as `wait` does, is told when both have ended, and not before."""
    with ThreadPool(2) as pool:
        tasks = [pool.submit(int), pool.submit(int)]
        conditions: list[Any] = [task._condition for task in tasks]
        with conditions[0], conditions[1]:
            pending = sum(not task.done() for task in tasks)
            waiter: Any = _base._AllCompletedWaiter(pending, stop_on_exception=False)
            for task in tasks:
                if not task.done():
                    task._waiters.append(waiter)
        if pending:
            waiter.event.wait()
        assert all(task.done() for task in tasks)


def cancelled_when_it_begins() -> None:
    """It never runs, or is told to stop; never both, and never neither."""
    ran: list[None] = []

    def call() -> None:
        ran.append(None)
        sleep(1000)

    with ThreadPool(1) as pool:
        task = pool.submit(call)
        assert task.cancel()
        with pytest.raises(CancelledError):
            task.result()
    assert len(ran) <= 1


def cancelled_when_it_ends() -> None:
    """It has its result, or was cancelled before it began; `cancel` and the result agree."""
    with ThreadPool(1) as pool:
        task = pool.submit(int, "5")
        answers: list[bool] = []
        together_here(lambda: answers.append(task.cancel()), lambda: answers.append(task.cancel()))
        concurrent.futures.wait([task])
        if task.cancelled():
            assert answers == [True, True]
        else:
            assert task.result() == 5


def asked_when_it_ends() -> None:
    """Who is told of the end finds the result."""
    with ThreadPool(1) as pool:
        task = pool.submit(int, "5")
        concurrent.futures.wait([task])
        assert task.result() == 5


def an_error_is_asked_for_when_it_comes() -> None:
    """It is taken, or reported, and never both."""
    with ThreadPool(1) as pool:
        task = pool.submit(int, "x")
        assert isinstance(task.exception(), ValueError)
        assert task._debt is None or not task._debt._left  # type: ignore[attr-defined]


# -------------------------------------------------------------------- a bounded queue


def two_wait_for_room() -> None:
    """Every call gets in, and never more than one waits."""
    with ThreadPool(1, backlog=1) as pool:
        book = Book(pool)
        book.submit()
        together_here(book.submit, book.submit)
        assert len(pool._staff.todo) <= 1
    book.is_right(3)
    assert len(book.made) == 3


def one_who_waits_for_room_is_cancelled() -> None:
    """The room that it was just told of goes to the other one who waits."""
    with ThreadPool(1, backlog=1) as pool:
        book, scope = Book(pool), CancelScope()
        book.submit(lambda: time.sleep(1))
        book.submit()

        def bounded() -> None:
            with scope:
                book.submit()

        def second() -> None:
            time.sleep(0.5)
            book.submit()

        together_here(bounded, second, at_one(scope.cancel))
    assert len(book.made) == len(book.tasks) >= 3


def no_room_until_the_shutdown() -> None:
    """Whoever waits for room is let in, or refused; nobody is left waiting."""
    pool = ThreadPool(1, backlog=1)
    book = Book(pool)
    together_here(book.submit, book.submit, book.submit, pool.shutdown)
    book.is_right(3)


def cancelling_makes_room() -> None:
    """One who waits for room gets that of a call that was cancelled."""
    with ThreadPool(1, backlog=1) as pool:
        book = Book(pool)
        with CancelScope() as scope:
            call = inside(lambda: sleep(1000))
            book.submit(call)
            book.submit()
            together_here(book.submit, book.tasks[1].cancel)
            scope.cancel()
    book.is_right(3)


# -------------------------------------------------------------------- the models


MODELS = (
    Model(all_are_done_at_the_end, POOLS),
    Model(two_submit_at_once, POOLS),
    Model(two_submit_when_one_rests, POOLS, 0),
    Model(one_after_the_other, POOLS),
    Model(two_calls_meet, POOLS),
    Model(one_submit_and_shutdown, POOLS),
    Model(submit_and_shutdown, ALL),
    Model(submit_and_cancelling_shutdown, POOLS),
    Model(submit_when_a_worker_leaves, ALL, 0),
    Model(stopped_while_calls_begin, POOLS),
    Model(stopped_while_one_begins, POOLS),
    Model(one_waits_for_another, ALL),
    Model(a_place_is_wanted_back_by_one_while_another_comes_to_rest, (_staff, _lounge, _crew)),
    Model(all_kinds_of_waiting_at_the_end, ENDS),
    Model(two_wait_for_one, ENDS),
    Model(one_waits_for_what_is_stopped, ENDS),
    Model(two_ends_are_counted_once_each, ENDS),
    Model(cancelled_when_it_begins, ENDS),
    Model(cancelled_when_it_ends, ENDS),
    Model(asked_when_it_ends, ENDS),
    Model(an_error_is_asked_for_when_it_comes, (_errand, _debt)),
    Model(two_wait_for_room, (_staff, _lounge, _room)),
    Model(one_who_waits_for_room_is_cancelled, (_staff, _lounge, _room, _park), 0),
    Model(no_room_until_the_shutdown, (_staff, _lounge, _room), 0),
    Model(cancelling_makes_room, (_staff, _lounge, _room, _errand)),
)

FAULTS = {
    "a call that came after the shutdown is left there": Fault(
        Staff,
        "see_to",
        "if self.closed and errand.take_back():",
        "if False:",
        one_submit_and_shutdown,
        3000,
    ),
    "a call that is refused is left in the queue": Fault(
        Staff, "see_to", "self._take_out(errand)", "pass", no_room_until_the_shutdown
    ),
    "who comes to rest does not look again": Fault(
        Staff, "rest", "if not self._is_needed():", "if True:", one_after_the_other
    ),
    "nobody sends for the next": Fault(
        Staff, "_take_all", "if todo and not self.waking:", "if False:", two_calls_meet
    ),
    "who has come is still on the way": Fault(
        Staff, "work", "    self.waking = False", "    pass", two_calls_meet
    ),
    "who was woken is still on the way": Fault(
        Staff, "rest", "    self.waking = False", "    pass", two_submit_when_one_rests
    ),
    "who rests is not told of the end": Fault(
        Staff, "close", "while self.parked:", "while False:", all_are_done_at_the_end
    ),
    "a call that begins late is not told to stop": Fault(
        Staff, "_take_all", "if self.stopping:", "if False:", stopped_while_one_begins, 3000
    ),
    "who waits for room does not look again": Fault(
        Staff, "_await_room", "if not self._is_roomy() and not", "if not", two_wait_for_room
    ),
    "who leaves the queue takes the news along": Fault(
        Staff, "_await_room", "if unused:", "if False:", one_who_waits_for_room_is_cancelled
    ),
    "nobody tells of room": Fault(Staff, "_take_all", "if queue:", "if False:", two_wait_for_room),
    "who waits for room is not told of the end": Fault(
        Staff, "close", "while self.queue:", "while False:", no_room_until_the_shutdown
    ),
    "a call that was cancelled makes no room": Fault(
        Staff, "forget_call", "    self.has_room()", "    pass", cancelling_makes_room
    ),
    "who rests keeps the place that is wanted": Fault(
        Staff,
        "make_way",
        "    self.wake_one()",
        "    pass",
        a_place_is_wanted_back_by_one_while_another_comes_to_rest,
    ),
    "who waits lends no place": Fault(
        Staff, "lend", "and super().lend()", "and False", one_waits_for_another
    ),
    "who waits for the lock is told nothing": Fault(
        Errand,
        "run_here",
        "    self._finish(FINISHED, result)",
        "    self._state = FINISHED",
        all_kinds_of_waiting_at_the_end,
    ),
    "the first who waits is told nothing": Fault(
        Errand,
        "run_here",
        "            _park.release(self._first)",
        "            pass",
        one_after_the_other,
    ),
    "the first who waits does not look for the seal": Fault(
        Sealed,
        "_wait_once",
        '    if not hasattr(self, "_seal"):',
        "    if False:",
        one_after_the_other,
    ),
    "two are the first who wait": Fault(
        Sealed,
        "_wait_once",
        "del self._place",
        "pass",
        two_wait_for_one,
    ),
    "the first who waits is not told of another end": Fault(
        Sealed, "_finish", "_park.release(self._first)", "pass", one_waits_for_what_is_stopped
    ),
    "the seal is taken before the result is there": Fault(
        Errand,
        "run_here",
        "    self._result = result  # first: who finds the seal gone takes it for written\n"
        "        try:\n            del self._seal\n",
        "    try:\n            del self._seal\n"
        "            for _ in '123456':\n                pass\n            self._result = result\n",
        asked_when_it_ends,
    ),
    "who finds the seal gone does not know why": Fault(
        Sealed,
        "_furnish",
        "self._state = FINISHED",
        "pass",
        all_kinds_of_waiting_at_the_end,
        3000,
    ),
    "who looks leaves the seal": Fault(
        Sealed,
        "_furnish",
        'broken.extend(map(delattr, (self,), ("_seal",)))',
        "broken.append(None)",
        all_kinds_of_waiting_at_the_end,
    ),
    "a call that begins is not told": Fault(
        Errand, "cancel", "self._told = True", "pass", cancelled_when_it_begins
    ),
    "a call that was told begins all the same": Fault(
        Errand, "run_here", "if self._told:", "if False:", cancelled_when_it_begins
    ),
}


class TestPools(Composed):
    models = MODELS
    faults = FAULTS
