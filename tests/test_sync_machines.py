"""Waiters in real threads, cancelled at any moment, against a plain model of who gets what.

Each step is a list of acts that are done under the primitive's own lock, one after the other, so
that the model knows their order: whom the canceller has reached first is cancelled, though to the
notifier that comes next he looks alive. Then the lock is let go, and the waiters have to come to
where the model is.
"""

from __future__ import annotations

import functools
import queue
import threading
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

import waiting
from joinable import Cancelled
from joinable.sync import (
    Barrier,
    Condition,
    Event,
    LifoQueue,
    Lock,
    PriorityQueue,
    Queue,
    Semaphore,
)
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable


MOST = 6  # waiters at a time

PLACES = st.integers(0, MOST - 1)


class Waiter(waiting.Waiter):
    """One that waits, or has ended, when it is there."""

    def __init__(self, wait: Callable[[], object]) -> None:
        super().__init__(wait)
        until(lambda: self.is_asleep() or self.ended())


class Machine(RuleBasedStateMachine):
    """What the machines share: who waits, in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Waiter] = []

    def at(self, place: int) -> Waiter | None:
        """Take the waiter at a place out of those who wait; None without one."""
        return self.waiting.pop(place % len(self.waiting)) if self.waiting else None

    def came_to(self, expected: dict[Waiter, object]) -> None:
        """See that these have ended as they should, and that nobody else has ended."""
        assert {waiter: waiter.end() for waiter in expected} == expected
        assert not [waiter for waiter in self.waiting if waiter.ended()], "woken for nothing"

    def teardown(self) -> None:
        """Cancel who still waits: had he been woken he would end otherwise."""
        for waiter in self.waiting:
            waiter.scope.cancel()
        assert all([waiter.end() is Cancelled for waiter in self.waiting])  # noqa: C419  join all


# ---------------------------------------------------------------- Condition


class ConditionMachine(Machine):
    """`notify` wakes those who came first and are not cancelled, and nobody else."""

    def lock(self) -> Lock | None:
        """Return the lock to put under the condition; None for its own."""
        return None

    def __init__(self) -> None:
        super().__init__()
        self.condition = Condition(self.lock())

    def wait(self) -> bool:
        with self.condition:
            return self.condition.wait()

    @precondition(lambda self: len(self.waiting) < MOST)
    @rule()
    def one_comes(self) -> None:
        self.waiting.append(Waiter(self.wait))

    @rule(
        acts=st.lists(
            st.one_of(
                st.tuples(st.just("cancel"), PLACES),
                st.tuples(st.sampled_from(["notify", "all", "too late"]), PLACES),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def act(self, acts: list[tuple[str, int]]) -> None:
        expected: dict[Waiter, object] = {}
        late: list[Waiter] = []
        with self.condition:
            for name, number in acts:
                if name == "cancel":
                    waiter = self.at(number)
                    if waiter is not None:
                        waiter.cancel()
                        expected[waiter] = Cancelled
                else:
                    woken = self.notify(name, number)
                    if name == "too late":
                        late += woken
                    else:
                        expected |= dict.fromkeys(woken, True)
        # Either is right: to use the notification, or to be cancelled and pass it on to the next.
        spare = [waiter.end() for waiter in late].count(Cancelled)
        expected |= dict.fromkeys(self.waiting[:spare], True)
        self.waiting = self.waiting[spare:]
        self.came_to(expected)
        assert len(self.condition._waiters) == len(self.waiting)

    def notify(self, name: str, number: int) -> list[Waiter]:
        """Notify so many, or all, and return them; cancel them then, when that is too late."""
        count = len(self.waiting) if name == "all" else number
        woken, self.waiting = self.waiting[:count], self.waiting[count:]
        if name == "all":
            self.condition.notify_all()
        else:
            self.condition.notify(count)
        for waiter in woken:
            if name == "too late":
                waiter.scope.cancel()
        return woken


class ConditionOverLockMachine(ConditionMachine):
    """The same over our `Lock`, which a cancelled waiter must get back in its cancelled scope."""

    def lock(self) -> Lock:
        return Lock()


# ---------------------------------------------------------------- Event


class EventMachine(Machine):
    """`set` wakes all who wait then, also when it is followed by `clear`."""

    def __init__(self) -> None:
        super().__init__()
        self.event = Event()

    @precondition(lambda self: len(self.waiting) < MOST)
    @rule()
    def one_comes(self) -> None:
        waiter = Waiter(self.event.wait)
        if self.event.is_set():
            assert waiter.end() is True
        else:
            self.waiting.append(waiter)

    @rule(
        acts=st.lists(
            st.tuples(st.sampled_from(["cancel", "set", "clear", "look"]), PLACES),
            min_size=1,
            max_size=5,
        )
    )
    def act(self, acts: list[tuple[str, int]]) -> None:
        expected: dict[Waiter, object] = {}
        flag = self.event.is_set()
        with self.event._cond:
            for name, number in acts:
                if name == "cancel" and (waiter := self.at(number)):
                    waiter.cancel()
                    expected[waiter] = Cancelled
                elif name == "set":
                    self.event.set()
                    expected |= dict.fromkeys(self.waiting, True)
                    self.waiting, flag = [], True
                elif name == "clear":
                    self.event.clear()
                    flag = False
                # It lets the lock go for a moment, and those who die pass on what they have got.
                elif name == "look":
                    assert self.event.wait(1e-4) is flag
        self.came_to(expected)
        assert len(self.event._cond._waiters) == len(self.waiting)


# ---------------------------------------------------------------- Semaphore


class SemaphoreMachine(Machine):
    """A permit is free, or with exactly one; nobody waits while one is free."""

    def __init__(self) -> None:
        super().__init__()
        self.permits = Semaphore(2)
        self.held = 0
        self.total = 2

    # No precondition: who still waits hangs on the order in which threads run, and a rule that is
    # there in one run and not in the next is none for the search.
    @rule()
    def one_comes(self) -> None:
        if len(self.waiting) == MOST:
            return
        self.waiting.append(Waiter(self.permits.acquire))
        self.settle(set())

    @rule(
        acts=st.lists(
            st.tuples(st.sampled_from(["cancel", "release", "take"]), PLACES),
            min_size=1,
            max_size=5,
        )
    )
    def act(self, acts: list[tuple[str, int]]) -> None:
        cancelled: set[Waiter] = set()
        with self.permits._cond:
            for name, number in acts:
                if name == "cancel" and self.waiting:
                    waiter = self.waiting[number % len(self.waiting)]
                    waiter.cancel()
                    cancelled.add(waiter)
                elif name == "release" and self.held:
                    self.permits.release()
                    self.held -= 1
                elif name == "take":  # perhaps what another was woken for
                    self.held += self.permits.acquire(blocking=False)
        self.settle(cancelled)

    def settle(self, cancelled: set[Waiter]) -> None:
        until(lambda: all(waiter.ended() for waiter in cancelled))
        until(lambda: self.count() == self.total)
        until(lambda: not self.permits._value or all(one.ended() for one in self.waiting))
        until(lambda: self.count() == self.total)
        for waiter in [one for one in self.waiting if one.ended()]:
            self.waiting.remove(waiter)
            ended = waiter.end()
            self.held += ended is True
            assert ended is True or waiter in cancelled
        assert self.permits._value + self.held == self.total
        assert len(self.permits._cond._waiters) <= len(self.waiting)

    def count(self) -> int:
        """Return how many permits there are, wherever they are."""
        with self.permits._cond:
            got = [one for one in self.waiting if one.ended() and one.end() is True]
            return self.permits._value + self.held + len(got)


# ---------------------------------------------------------------- queues


class QueueMachine(Machine):
    """What was put is there, or with exactly one; nobody waits for what is there."""

    def make(self) -> Queue[int]:
        """Return a queue with room for two."""
        return Queue(2)

    def __init__(self) -> None:
        super().__init__()
        self.jobs = self.make()
        self.serial = 0
        self.taken: list[int] = []  # by the machine, and by those who have ended
        self.put: list[int] = []  # (the same)
        self.getters: list[Waiter] = []
        self.putters: dict[Waiter, int] = {}

    def next(self) -> int:
        self.serial += 1
        return self.serial

    # No preconditions: who still waits hangs on the order in which threads run, and a rule that is
    # there in one run and not in the next is none for the search.
    @rule()
    def a_consumer_comes(self) -> None:
        if len(self.getters) == MOST:
            return
        self.getters.append(Waiter(self.jobs.get))
        self.settle(set())

    @rule()
    def a_producer_comes(self) -> None:
        if len(self.putters) == MOST:
            return
        item = self.next()
        self.putters[Waiter(functools.partial(self.jobs.put, item))] = item
        self.settle(set())

    @rule(
        acts=st.lists(
            st.tuples(
                st.sampled_from(["cancel a consumer", "cancel a producer", "put", "get"]), PLACES
            ),
            min_size=1,
            max_size=5,
        )
    )
    def act(self, acts: list[tuple[str, int]]) -> None:
        cancelled: set[Waiter] = set()
        with self.jobs.mutex:
            for name, number in acts:
                if name == "put":
                    self.put_one()
                elif name == "get":
                    self.get_one()
                else:
                    some = self.getters if name == "cancel a consumer" else list(self.putters)
                    if some:
                        waiter = some[number % len(some)]
                        waiter.cancel()
                        cancelled.add(waiter)
        self.settle(cancelled)

    def put_one(self) -> None:
        item, full = self.next(), self.jobs.full()
        try:
            self.jobs.put_nowait(item)
        except queue.Full:
            assert full
        else:
            self.put.append(item)

    def get_one(self) -> None:
        there = list(self.jobs.queue)
        try:
            item = self.jobs.get_nowait()
        except queue.Empty:
            assert not there
        else:
            self.taken.append(item)
            assert item == self.first_of(there)

    def first_of(self, there: list[int]) -> int:
        """Say which item goes first."""
        return there[0]

    def settle(self, cancelled: set[Waiter]) -> None:
        until(lambda: all(waiter.ended() for waiter in cancelled))
        until(self.is_quiet)
        self.getters, done = split(self.getters)
        for waiter in done:
            ended = waiter.end()
            if ended is Cancelled:
                assert waiter in cancelled
            else:
                assert isinstance(ended, int)
                self.taken.append(ended)
        for waiter in [one for one in self.putters if one.ended()]:
            item = self.putters.pop(waiter)
            if waiter.end() is Cancelled:
                assert waiter in cancelled
            else:
                self.put.append(item)
        there = list(self.jobs.queue)
        assert sorted(self.put) == sorted(self.taken + there)
        assert self.jobs.unfinished_tasks == len(self.put)
        assert len(there) <= 2

    def is_quiet(self) -> bool:
        """Tell whether nobody waits for what is there, and all that moves has arrived."""
        with self.jobs.mutex:
            there = list(self.jobs.queue)
            getters, got = split(self.getters)
            putters, done = split(list(self.putters))
        if (there and getters) or (len(there) < 2 and putters):
            return False
        items = [item for item in (one.end() for one in got) if item is not Cancelled]
        new = [self.putters[one] for one in done if one.end() is not Cancelled]
        return len(self.put) + len(new) == len(self.taken) + len(items) + len(there)

    def teardown(self) -> None:
        self.waiting = [*self.getters, *self.putters]
        super().teardown()
        left = [self.jobs.get_nowait() for _ in range(self.jobs.qsize())]
        assert sorted(self.put) == sorted(self.taken + left)
        for _ in self.put:
            self.jobs.task_done()
        self.jobs.join()


def split(waiters: list[Waiter]) -> tuple[list[Waiter], list[Waiter]]:
    """Return those who wait, and those who have ended: each is asked once."""
    ended = [waiter.ended() for waiter in waiters]
    return (
        [waiter for waiter, over in zip(waiters, ended, strict=True) if not over],
        [waiter for waiter, over in zip(waiters, ended, strict=True) if over],
    )


class LifoQueueMachine(QueueMachine):
    """The same of a stack."""

    def make(self) -> Queue[int]:
        return LifoQueue(2)

    def first_of(self, there: list[int]) -> int:
        return there[-1]


class PriorityQueueMachine(QueueMachine):
    """The same, the least item first."""

    def make(self) -> Queue[int]:
        return PriorityQueue(2)

    def first_of(self, there: list[int]) -> int:
        return min(there)


# ---------------------------------------------------------------- Barrier


class BarrierMachine(Machine):
    """All of a round go on, or none but those for whom it was too late."""

    parties = 4

    def __init__(self) -> None:
        super().__init__()
        self.acted = 0
        self.rounds = 0
        self.barrier = Barrier(self.parties, self.action)
        self.broken = False

    def action(self) -> None:
        self.acted += 1

    def meet(self) -> str:
        try:
            self.barrier.wait()
        except threading.BrokenBarrierError:
            return "broken"
        return "met"

    @rule()
    def one_comes(self) -> None:
        waiter = Waiter(self.meet)
        self.waiting.append(waiter)
        if self.broken:
            self.all_end("broken", {})
        elif len(self.waiting) == self.parties:
            self.rounds += 1
            self.all_end("met", {})
        else:
            self.came_to({})

    @rule(
        acts=st.lists(
            st.tuples(st.sampled_from(["cancel", "meet", "too late"]), PLACES),
            min_size=1,
            max_size=3,
        )
    )
    def act(self, acts: list[tuple[str, int]]) -> None:
        """The last one comes, or not, and one or several are cancelled before or after that."""
        cancelled: dict[Waiter, object] = {}
        late: list[Waiter] = []
        word = ""
        with self.barrier._cond:
            for name, number in acts:
                if name == "cancel" and not word and (waiter := self.at(number)):
                    waiter.cancel()
                    cancelled[waiter] = Cancelled
                elif name == "meet" and not word and self.is_last(cancelled):
                    self.rounds += 1
                    word = self.meet()
                    assert word == "met"
                elif name == "too late" and word and self.waiting:
                    late.append(self.waiting.pop(number % len(self.waiting)))
                    late[-1].scope.cancel()
        assert {waiter.end() for waiter in late} <= {"met", Cancelled}
        # Under the lock the barrier has not heard of them yet, and is broken when they have it.
        if cancelled and not word:
            self.broken, word = True, "broken"
        self.all_end(word, cancelled) if word else self.came_to(cancelled)

    def is_last(self, cancelled: dict[Waiter, object]) -> bool:
        return not self.broken and len(self.waiting) + len(cancelled) == self.parties - 1

    def all_end(self, word: str, cancelled: dict[Waiter, object]) -> None:
        expected = cancelled | dict.fromkeys(self.waiting, word)
        self.waiting = []
        self.came_to(expected)
        until(lambda: not self.barrier._count)
        assert self.barrier.broken is self.broken
        assert self.acted == self.rounds

    @rule()
    def somebody_resets_it(self) -> None:
        self.barrier.reset()
        self.broken = False
        self.all_end("broken", {})

    @rule()
    def somebody_breaks_it(self) -> None:
        self.barrier.abort()
        self.broken = True
        self.all_end("broken", {})

    def teardown(self) -> None:
        self.barrier.abort()
        self.broken = True
        self.all_end("broken", {})


TestCondition = ConditionMachine.TestCase
TestConditionOverLock = ConditionOverLockMachine.TestCase
TestEvent = EventMachine.TestCase
TestSemaphore = SemaphoreMachine.TestCase
TestQueue = QueueMachine.TestCase
TestLifoQueue = LifoQueueMachine.TestCase
TestPriorityQueue = PriorityQueueMachine.TestCase
TestBarrier = BarrierMachine.TestCase

# A step may have to wait for a busy machine, and each starts threads.
CALM = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCondition.settings = CALM
TestConditionOverLock.settings = CALM
TestEvent.settings = CALM
TestSemaphore.settings = CALM
TestQueue.settings = CALM
TestLifoQueue.settings = CALM
TestPriorityQueue.settings = CALM
TestBarrier.settings = CALM
