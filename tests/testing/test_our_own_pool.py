"""Pools and their tasks under every schedule.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest

from exploring import Composed, Fault, Model, at_one, inside, race, together_here
from joinable import (
    CancelScope,
    ThreadPool,
    _crew,
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
from joinable._staff import Staff

if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable import Task

POOLS = (_errand, _sealed, _lounge, _staff, _pool)
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


def two_submit_to_one_worker() -> None:
    """Each call is begun at once, though the worker may just come to rest."""
    with ThreadPool(1) as pool:
        book = Book(pool)
        begun = time.monotonic()
        together_here(book.submit, book.submit)
        for task in book.tasks:
            task.result()
        assert time.monotonic() - begun < _lounge.LINGER / 2


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


def one_is_told_before_the_next_begins() -> None:
    """Who waits for a call need not wait for the one behind it."""
    with ThreadPool(1) as pool:
        gate = threading.Event()
        tasks = [pool.submit(bool), pool.submit(gate.wait)]
        assert tasks[0].result() is False
        gate.set()
        assert tasks[1].result()


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
    Model(two_submit_at_once, POOLS, 0),
    Model(two_submit_to_one_worker, (_staff, _lounge), 0),
    Model(two_submit_when_one_rests, POOLS, 0),
    Model(one_after_the_other, POOLS),
    Model(one_is_told_before_the_next_begins, POOLS),
    Model(two_calls_meet, POOLS, 0),
    Model(one_submit_and_shutdown, POOLS),
    Model(submit_and_shutdown, ALL),
    Model(submit_and_cancelling_shutdown, POOLS),
    Model(submit_when_a_worker_leaves, ALL, 0),
    Model(stopped_while_calls_begin, POOLS),
    Model(stopped_while_one_begins, (_staff,)),
    Model(one_waits_for_another, ALL),
    Model(a_place_is_wanted_back_by_one_while_another_comes_to_rest, (_staff, _lounge, _crew)),
    Model(two_wait_for_room, (_staff, _lounge, _room), 0),
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
        Staff,
        "rest",
        "needed = bool(",
        "needed = False and bool(",
        two_submit_to_one_worker,
    ),
    "nobody sends for the next": Fault(
        Staff, "_take_all", "if todo and not self.waking:", "if False:", two_calls_meet
    ),
    "who has come is still on the way": Fault(
        Staff, "work", "    self.waking = False", "    pass", two_calls_meet
    ),
    "who comes to rest tells nobody of its last call": Fault(
        Staff, "rest", "if told:", "if False:", one_after_the_other
    ),
    "who goes on with the next call tells nobody": Fault(
        Staff, "_take_all", "if told:", "if False:", one_is_told_before_the_next_begins
    ),
    "who was woken is still on the way": Fault(
        Staff, "rest", "    self.waking = False", "    pass", two_submit_when_one_rests
    ),
    "who rests is not told of the end": Fault(
        Staff, "close", "while self.parked:", "while False:", all_are_done_at_the_end
    ),
    "a call that begins late is not told to stop": Fault(
        Staff,
        "_take_all",
        "if self.stopping:",
        "if False:",
        stopped_while_one_begins,
        20_000,
        rare=True,
    ),
    "who waits for room does not look again": Fault(
        Staff, "_await_room", "if not self._is_roomy() and not", "if not", two_wait_for_room
    ),
    "who leaves the queue takes the news along": Fault(
        Staff, "_await_room", "if unused:", "if False:", one_who_waits_for_room_is_cancelled
    ),
    "nobody tells of room": Fault(Staff, "_take_all", "if queue:", "if False:", two_wait_for_room),
    "who waits for room is not told of the end": Fault(
        Staff, "close", "while self.queue:", "while False:", no_room_until_the_shutdown, 40
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
}


class TestPools(Composed):
    models = MODELS
    faults = FAULTS
    runs = 10
