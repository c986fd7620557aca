"""Each classic race is found, shrunk and replayed; its correct twin is never accused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from exploring import TO_THE_END, fewer
from joinable import run_all
from joinable.testing import DeadlockError, ScheduleError, explore, replay

if TYPE_CHECKING:
    from collections.abc import Callable


def run_threads(*targets: Callable[[], object]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- a counter without a lock ---------------------------------------------------------------------


class RacyCounter:
    def __init__(self) -> None:
        self.value = 0

    def add(self) -> None:
        self.value += 1


class LockedCounter(RacyCounter):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def add(self) -> None:
        with self.lock:
            self.value += 1


def count(kind: type[RacyCounter]) -> None:
    counter = kind()
    run_threads(counter.add, counter.add)
    assert counter.value == 2


# -- a future whose callback is registered after a look that is out of date ------------------------


class RacyFuture:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.done = False
        self.callbacks: list[Callable[[], None]] = []

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        if self.done:
            callback()
            return
        with self.lock:
            self.callbacks.append(callback)

    def finish(self) -> None:
        with self.lock:
            self.done = True
            callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


class SafeFuture(RacyFuture):
    def add_done_callback(self, callback: Callable[[], None]) -> None:
        with self.lock:
            if not self.done:
                self.callbacks.append(callback)
                return
        callback()


def notify_future(kind: type[RacyFuture]) -> None:
    future = kind()
    called: list[int] = []
    run_threads(future.finish, lambda: future.add_done_callback(lambda: called.append(1)))
    assert called == [1]


# -- one Condition for two predicates, woken by notify ---------------------------------------------


class RacySlot:
    """A buffer for one item: getters and putters wait on the same condition."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.items: list[int] = []

    def wake(self) -> None:
        self.changed.notify()

    def put(self, item: int) -> None:
        with self.changed:
            while self.items:
                self.changed.wait()
            self.items.append(item)
            self.wake()

    def get(self) -> int:
        with self.changed:
            while not self.items:
                self.changed.wait()
            item = self.items.pop()
            self.wake()
            return item


class SafeSlot(RacySlot):
    def wake(self) -> None:
        self.changed.notify_all()


def pass_items(kind: type[RacySlot]) -> None:
    slot = kind()
    run_threads(lambda: slot.put(1), lambda: slot.put(2), slot.get, slot.get)


# -- double-checked initialisation that publishes before it is done --------------------------------


class RacyLazy:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.config: dict[str, int] | None = None

    def get(self) -> int:
        if self.config is None:
            with self.lock:
                if self.config is None:
                    self.config = {}
                    self.config["answer"] = 42
        return self.config["answer"]


class SafeLazy(RacyLazy):
    def get(self) -> int:
        if self.config is None:
            with self.lock:
                if self.config is None:
                    config = {"answer": 42}
                    self.config = config
        return self.config["answer"]


def initialise(kind: type[RacyLazy]) -> None:
    lazy = kind()
    run_threads(lazy.get, lazy.get)


# -- two locks in two orders -----------------------------------------------------------------------


class RacyAccounts:
    def __init__(self) -> None:
        self.locks = (threading.Lock(), threading.Lock())
        self.money = [10, 10]

    def order(self, source: int, target: int) -> tuple[int, int]:
        return source, target

    def transfer(self, source: int, target: int) -> None:
        first, second = self.order(source, target)
        with self.locks[first], self.locks[second]:
            self.money[source] -= 1
            self.money[target] += 1


class SafeAccounts(RacyAccounts):
    def order(self, source: int, target: int) -> tuple[int, int]:
        return min(source, target), max(source, target)


def transfer(kind: type[RacyAccounts]) -> None:
    accounts = kind()
    run_threads(lambda: accounts.transfer(0, 1), lambda: accounts.transfer(1, 0))
    assert accounts.money == [10, 10]


# -- a semaphore that is released twice by whoever fails -------------------------------------------


class RacySlots:
    """One place; whoever finds the work done gives it back, and so does the `finally`."""

    def __init__(self) -> None:
        self.places = threading.Semaphore(1)
        self.inside = 0
        self.worst = 0
        self.done = False

    def early(self) -> None:
        self.places.release()

    def work(self) -> None:
        self.places.acquire()
        try:
            self.inside += 1
            self.worst = max(self.worst, self.inside)
            if self.done:
                self.early()
                return
            self.done = True
        finally:
            self.inside -= 1
            self.places.release()


class SafeSlots(RacySlots):
    def early(self) -> None:
        """Leave it to the `finally`."""


def use_slots(kind: type[RacySlots]) -> None:
    slots = kind()
    slots.work()
    run_threads(slots.work, slots.work, slots.work)
    assert slots.worst == 1


# -- a racy task in a pool -------------------------------------------------------------------------


def count_in_pool(kind: type[RacyCounter]) -> None:
    counter = kind()
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(counter.add) for _ in range(2)]
    for future in futures:
        future.result()
    assert counter.value == 2


# -- a racy call of run_all ------------------------------------------------------------------------


def count_in_run_all(kind: type[RacyCounter]) -> None:
    counter = kind()
    run_all([counter.add, counter.add])
    assert counter.value == 2


# -- a racy subclass of Thread ---------------------------------------------------------------------


class RacyWorker(threading.Thread):
    seen: list[int]

    def __init__(self, seen: list[int]) -> None:
        super().__init__()
        self.seen = seen

    def run(self) -> None:
        number = len(self.seen)
        self.seen.append(number)


class SafeWorker(RacyWorker):
    lock: threading.Lock

    def run(self) -> None:
        with self.lock:
            super().run()


def number_workers(kind: type[RacyWorker]) -> None:
    seen: list[int] = []
    SafeWorker.lock = threading.Lock()
    workers = [kind(seen) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert seen == [0, 1]


class Case(NamedTuple):
    """A model, its faulty and its correct object, and what counts as watched."""

    model: Callable[[Any], None]
    racy: type
    safe: type
    failure: type[BaseException] = AssertionError
    watched: bool = True
    exhausts: bool = True


CASES = {
    "unsynchronised counter": Case(count, RacyCounter, LockedCounter),
    "check-then-register future": Case(notify_future, RacyFuture, SafeFuture),
    "one condition, two predicates": Case(
        pass_items, RacySlot, SafeSlot, DeadlockError, watched=False, exhausts=False
    ),
    "double-checked initialisation": Case(initialise, RacyLazy, SafeLazy, KeyError),
    "lock order": Case(transfer, RacyAccounts, SafeAccounts, DeadlockError, watched=False),
    "semaphore released twice": Case(use_slots, RacySlots, SafeSlots, exhausts=False),
    "task in a ThreadPoolExecutor": Case(count_in_pool, RacyCounter, LockedCounter, exhausts=False),
    "run_all": Case(count_in_run_all, RacyCounter, LockedCounter, exhausts=False),
    "Thread subclass": Case(number_workers, RacyWorker, SafeWorker, exhausts=False),
}

# The engine is the same everywhere: a second and a third way where time is taken for it.
STRATEGIES = ["pct", *(pytest.param(name, marks=TO_THE_END) for name in ("random", "dfs"))]

each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def watch_of(case: Case, kind: type) -> list[type]:
    """Watch a class and those it takes its methods from, as far as they are of this file."""
    if not case.watched:
        return []
    return [base for base in kind.__mro__ if base.__module__ == __name__]


@each_case
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_bug_is_found_shrunk_and_replayed_exactly(case: Case, strategy: Any) -> None:
    watch = watch_of(case, case.racy)

    def program() -> None:
        case.model(case.racy)

    with pytest.raises(ScheduleError) as caught:
        explore(program, watch=watch, strategy=strategy, runs=3000)
    error = caught.value
    assert isinstance(error.__cause__, case.failure)
    assert error.schedule.count("@") <= 3
    for _ in range(fewer(20)):
        with pytest.raises(ScheduleError) as again:
            replay(program, error.schedule, watch=watch)
        assert again.value.interleaving == error.interleaving
        assert type(again.value.__cause__) is type(error.__cause__)


@each_case
@pytest.mark.parametrize("strategy", STRATEGIES[:2])
def test_the_twin_is_not_accused(case: Case, strategy: Any) -> None:
    watch = watch_of(case, case.safe)
    report = explore(lambda: case.model(case.safe), watch=watch, strategy=strategy, runs=fewer(100))
    assert report.runs == fewer(100)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=TO_THE_END)
        for name, case in CASES.items()
        if case.exhausts
    ],
)
def test_the_twin_is_explored_to_the_end_at_two_preemptions(case: Case) -> None:
    watch = watch_of(case, case.safe)
    report = explore(
        lambda: case.model(case.safe), watch=watch, strategy="dfs", preemptions=2, runs=20_000
    )
    assert report.exhausted
