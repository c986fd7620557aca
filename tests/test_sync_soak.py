"""Free-running: cancel against notify, thousands of rounds in `nox -s soak`, some with the rest."""

from __future__ import annotations

import functools
import queue
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

import waiting
from joinable import Cancelled, CancelScope, spawn
from joinable.sync import (
    Barrier,
    BoundedSemaphore,
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
    from collections.abc import Callable, Iterator


LIMIT = 60  # seconds; what is not there by then never comes

SHORT_AND_LONG = pytest.mark.parametrize(
    "rounds", [60, pytest.param(4000, marks=pytest.mark.soak)], ids=["short", "long"]
)

Pair = tuple["Callable[[], object]", "Callable[[], object]"]


class Waiter(waiting.Waiter):
    limit = LIMIT

    def until_asleep(self) -> None:
        def look() -> bool:
            asleep = self.is_asleep()
            assert asleep or not self.ended()
            return asleep

        until(look, LIMIT)


class Canceller:
    """A thread that cancels one scope a round, at the same moment as the test does its part."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[CancelScope, int] | None] = queue.SimpleQueue()
        self._together = threading.Barrier(2)
        self._thread = spawn(self._serve)

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            scope, pause = order
            self._together.wait(LIMIT)
            spin(pause)
            scope.cancel()

    def race(self, scope: CancelScope, give: Callable[[], object], chance: random.Random) -> object:
        """Cancel the scope and give, in some order or at once; return what giving gave."""
        self._orders.put((scope, chance.randrange(200)))
        # With a GIL, the one who is the last to come goes on: let it be the one, or the other.
        if chance.random() < 0.5:
            time.sleep(1e-4)
        self._together.wait(LIMIT)
        spin(chance.randrange(200))
        return give()

    def end(self) -> None:
        self._orders.put(None)
        self._thread.result(LIMIT)
        self._thread.join(LIMIT)


def spin(turns: int) -> None:
    """Pass a few microseconds without giving up the processor."""
    for _ in range(turns):
        pass


@pytest.fixture(name="canceller")
def _canceller() -> Iterator[Canceller]:
    canceller = Canceller()
    yield canceller
    canceller.end()


def of_condition() -> Pair:
    condition = Condition()
    return wait_and_notify(condition)


def of_condition_over_lock() -> Pair:
    return wait_and_notify(Condition(Lock()))


def wait_and_notify(condition: Condition) -> Pair:
    def take() -> bool:
        with condition:
            return condition.wait()

    def give() -> None:
        with condition:
            condition.notify()

    return take, give


def of_semaphore() -> Pair:
    permits = Semaphore(0)
    return permits.acquire, permits.release


def of_bounded_semaphore() -> Pair:
    permits = BoundedSemaphore(2)
    permits.acquire()
    permits.acquire()
    return permits.acquire, permits.release


def of_lock() -> Pair:
    lock = Lock()
    lock.acquire()
    return lock.acquire, lock.release


def of_get(kind: type[Queue[int]]) -> Pair:
    jobs = kind()
    return jobs.get, lambda: jobs.put(1)


def of_put(kind: type[Queue[int]]) -> Pair:
    jobs = kind(2)
    jobs.put(1)
    jobs.put(1)
    return lambda: jobs.put(1), jobs.get


PRIMITIVES: dict[str, Callable[[], Pair]] = {
    "Condition": of_condition,
    "Condition over Lock": of_condition_over_lock,
    "Semaphore": of_semaphore,
    "BoundedSemaphore": of_bounded_semaphore,
    "Lock": of_lock,
    "Queue.get": lambda: of_get(Queue),
    "LifoQueue.get": lambda: of_get(LifoQueue),
    "PriorityQueue.get": lambda: of_get(PriorityQueue),
    "Queue.put": lambda: of_put(Queue),
    "PriorityQueue.put": lambda: of_put(PriorityQueue),
}
"""By name: what makes a primitive and returns a wait in it, and what ends exactly one such wait."""


@SHORT_AND_LONG
@pytest.mark.parametrize("name", PRIMITIVES)
def test_what_is_given_while_one_of_two_is_cancelled_reaches_exactly_one(
    name: str, rounds: int, canceller: Canceller
) -> None:
    chance = random.Random(name)  # noqa: S311  to be repeated, not secret
    ends = {"given": 0, "cancelled": 0}
    for _ in range(rounds):
        take, give = PRIMITIVES[name]()
        first, second = Waiter(take), Waiter(take)
        first.until_asleep()
        second.until_asleep()
        canceller.race(first.scope, give, chance)
        if first.end() is Cancelled:
            ends["cancelled"] += 1
        else:
            ends["given"] += 1
            assert not second.thread.done(), "one was given, and two have it"
            give()
        # A lost one would leave it asleep: nothing more is given.
        assert second.end() is not Cancelled
    assert sum(ends.values()) == rounds
    if rounds > 1000:
        assert min(ends.values()) > 0, f"this has raced nothing: {ends}"


@SHORT_AND_LONG
def test_an_event_that_is_set_wakes_whoever_is_not_cancelled(
    rounds: int, canceller: Canceller
) -> None:
    chance = random.Random(rounds)  # noqa: S311  to be repeated, not secret
    for _ in range(rounds):
        event = Event()
        first, second = Waiter(event.wait), Waiter(event.wait)
        second.until_asleep()

        def pulse(event: Event = event) -> None:
            event.set()
            event.clear()

        canceller.race(first.scope, pulse, chance)
        later = Waiter(event.wait)
        assert first.end() in {True, Cancelled}
        assert second.end() is True
        later.until_asleep()
        later.scope.cancel()
        assert later.end() is Cancelled, "it came when the event was cleared again"


@SHORT_AND_LONG
@pytest.mark.parametrize("with_action", [False, True], ids=["bare", "action"])
def test_a_barrier_breaks_for_all_or_for_none(
    rounds: int, canceller: Canceller, *, with_action: bool
) -> None:
    chance = random.Random(rounds)  # noqa: S311  to be repeated, not secret
    for _ in range(rounds):
        barrier = Barrier(3, (lambda: spin(100)) if with_action else None)

        def meet(barrier: Barrier = barrier) -> object:
            try:
                barrier.wait()
            except threading.BrokenBarrierError:
                return "broken"
            return "met"

        first, second = Waiter(meet), Waiter(meet)
        first.until_asleep()
        second.until_asleep()
        mine = canceller.race(first.scope, meet, chance)
        ends = {mine, second.end()}
        assert len(ends) == 1
        assert first.end() in {Cancelled, mine}
        assert barrier.broken is (ends == {"broken"})
        assert barrier._count == 0


@SHORT_AND_LONG
def test_a_queue_is_joined_by_whoever_is_not_cancelled(rounds: int, canceller: Canceller) -> None:
    chance = random.Random(rounds)  # noqa: S311  to be repeated, not secret
    for _ in range(rounds):
        jobs = Queue[int]()
        jobs.put(1)
        first, second = Waiter(jobs.join), Waiter(jobs.join)
        first.until_asleep()
        canceller.race(first.scope, jobs.task_done, chance)
        assert first.end() in {None, Cancelled}
        assert second.end() is None


@pytest.mark.parametrize("maxsize", [0, 16], ids=["unbounded", "bounded"])
@pytest.mark.parametrize(
    "count", [4_000, pytest.param(100_000, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_of_8_consumers_6_are_cancelled_and_no_item_is_lost_or_there_twice(
    count: int, maxsize: int
) -> None:
    jobs: Queue[int | None] = Queue(maxsize)
    consumers = [Consumer(jobs) for _ in range(8)]
    chance = random.Random(count)  # noqa: S311  to be repeated, not secret
    cancelled_at = dict(zip(chance.sample(range(count), 6), range(6), strict=True))
    producers = [
        spawn(produce, jobs, range(half, count, 2), cancelled_at, consumers) for half in (0, 1)
    ]
    for producer in producers:
        producer.result(LIMIT)
        producer.join()
    for consumer in consumers[:6]:
        assert consumer.waiter.end() is Cancelled
    for _ in consumers[6:]:
        jobs.put(None)
    for consumer in consumers[6:]:
        assert consumer.waiter.end() is None
    assert jobs.empty()
    taken = [consumer.taken for consumer in consumers]
    assert sorted(item for items in taken for item in items) == list(range(count))
    for items in taken:  # in the order in which each producer has put them
        for half in (0, 1):
            of_one = [item for item in items if item % 2 == half]
            assert of_one == sorted(of_one)


class Consumer:
    """Takes items until it gets None, or is cancelled."""

    def __init__(self, jobs: Queue[int | None]) -> None:
        self._jobs = jobs
        self.taken: list[int] = []
        self.waiter = Waiter(self._consume)

    def _consume(self) -> None:
        while (item := self._jobs.get()) is not None:
            self.taken.append(item)


def produce(
    jobs: Queue[int | None],
    numbers: range,
    cancelled_at: dict[int, int],
    consumers: list[Consumer],
) -> None:
    for number in numbers:
        jobs.put(number)
        if number in cancelled_at:
            consumers[cancelled_at[number]].waiter.scope.cancel()


@SHORT_AND_LONG
def test_permits_are_neither_lost_nor_made_when_takers_are_cancelled(rounds: int) -> None:
    """Some threads take and give back two permits all the time; one by one they are cancelled."""
    permits, inside, most = Semaphore(2), list[int](), 0
    for _ in range(max(1, rounds // 40)):

        def take_and_give() -> None:
            nonlocal most
            while True:
                with permits:
                    inside.append(1)
                    most = max(most, len(inside))
                    inside.pop()

        takers = [Waiter(take_and_give) for _ in range(5)]
        for taker in takers:
            spin(20_000)
            taker.scope.cancel()
            assert taker.end() is Cancelled
        assert permits._value == 2
        assert not permits._cond._waiters
    assert 1 <= most <= 2


@SHORT_AND_LONG
def test_a_lock_excludes_and_is_free_at_last_when_takers_are_cancelled(rounds: int) -> None:
    lock = Lock()
    for _ in range(max(1, rounds // 40)):
        counts = {"steps": 0}
        done = [0] * 5

        def work(number: int, counts: dict[str, int] = counts, done: list[int] = done) -> None:
            for _ in range(100_000):
                lock.acquire()
                before = counts["steps"]
                done[number] += 1
                counts["steps"] = before + 1
                lock.release()
                if done[number] % 8 == 0:
                    Semaphore().acquire()  # a wait: so a lock that is always free can be left too

        workers = [Waiter(functools.partial(work, number)) for number in range(5)]
        for worker in workers:
            spin(20_000)
            worker.scope.cancel()
            assert worker.end() in {Cancelled, None}
        assert counts["steps"] == sum(done)
        assert not lock.locked()
        assert not lock._waiters
