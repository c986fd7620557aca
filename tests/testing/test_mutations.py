"""Single faults put into copies of the standard library's primitives are all found.

Each row of `FAULTS` changes one line (or moves one) in the source of one class. The unchanged copy
passes every model under the same schedules, so it is the fault that is found, not the model.
"""

from __future__ import annotations

import inspect
import linecache
import queue
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

from exploring import fewer
from joinable.testing import ScheduleError, explore

if TYPE_CHECKING:
    from collections.abc import Callable

COPIED = {
    "Condition": threading,
    "Semaphore": threading,
    "BoundedSemaphore": threading,
    "Event": threading,
    "Barrier": threading,
    "Queue": queue,
}


def copy_of(name: str, old: str = "", new: str = "") -> ModuleType:
    """Execute the source of the copied classes in a module of their own, one of them changed."""
    module = ModuleType("faulty_copy")
    for source in (threading, queue):
        vars(module).update({k: v for k, v in vars(source).items() if not k.startswith("__")})
    vars(module)["threading"] = module  # what Queue makes its Conditions from
    for kind, origin in COPIED.items():
        text = inspect.getsource(getattr(origin, kind))
        if kind == name:
            assert text.count(old) == 1 or not old, f"{old!r} is {text.count(old)} times there"
            text = text.replace(old, new)
        file = f"<copy of {kind}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec"), vars(module))  # noqa: S102
    return module


def run_threads(*targets: Callable[[], object]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- the models: small programs that hold for correct primitives -----------------------------------


def one_waits_for_a_flag(lib: Any) -> None:
    changed = lib.Condition()
    flag: list[int] = []

    def wait() -> None:
        with changed:
            while not flag:
                changed.wait()

    def tell() -> None:
        with changed:
            flag.append(1)
            changed.notify()

    run_threads(wait, tell)


def two_wait_and_are_notified_one_by_one(lib: Any) -> None:
    changed = lib.Condition()
    tokens: list[int] = []

    def take() -> None:
        with changed:
            while not tokens:
                changed.wait()
            tokens.pop()

    def give() -> None:
        with changed:
            tokens.extend((1, 2))
            changed.notify()
            changed.notify()

    run_threads(take, take, give)


def all_are_notified(lib: Any) -> None:
    changed = lib.Condition()
    ready: list[int] = []

    def wait() -> None:
        with changed:
            changed.wait_for(lambda: bool(ready))
            assert ready

    def tell() -> None:
        with changed:
            ready.append(1)
            changed.notify_all()

    run_threads(wait, wait, tell)


def two_take_from_what_all_are_told_of(lib: Any) -> None:
    changed = lib.Condition()
    tokens: list[int] = []

    def take() -> None:
        with changed:
            changed.wait_for(lambda: bool(tokens))
            tokens.pop()

    def give() -> None:
        for number in range(2):
            with changed:
                tokens.append(number)
                changed.notify_all()

    run_threads(take, take, give)


def a_waiter_that_gave_up_takes_no_notify(lib: Any) -> None:
    changed = lib.Condition()
    tokens: list[int] = []

    def give_up() -> None:
        with changed:
            assert not changed.wait(timeout=1)

    def take() -> None:
        with changed:
            while not tokens:
                changed.wait()

    give_up()
    taker = threading.Thread(target=take)
    taker.start()
    with changed:
        tokens.append(1)
        changed.notify()
    taker.join()


def at_most_one_inside(lib: Any) -> None:
    places = lib.Semaphore(1)
    guard = threading.Lock()
    inside: list[int] = []

    def work() -> None:
        with places:
            with guard:
                inside.append(1)
                assert len(inside) == 1
            with guard:
                inside.pop()

    run_threads(work, work)


def permits_add_up(lib: Any) -> None:
    permits = lib.Semaphore(0)

    def give() -> None:
        permits.release()

    def take() -> None:
        permits.acquire()

    run_threads(give, give, take, take)


def several_permits_at_once(lib: Any) -> None:
    permits = lib.Semaphore(0)
    run_threads(permits.acquire, permits.acquire, lambda: permits.release(2))


def a_bounded_semaphore_takes_back_no_more_than_it_gave(lib: Any) -> None:
    permits = lib.BoundedSemaphore(1)
    permits.acquire()
    refused: list[int] = []

    def release() -> None:
        try:
            permits.release()
        except ValueError:
            refused.append(1)

    run_threads(release, release)
    assert len(refused) == 1


def an_event_wakes_all(lib: Any) -> None:
    event = lib.Event()
    run_threads(event.wait, event.wait, event.set)


def an_event_wait_in_time_is_true(lib: Any) -> None:
    event = lib.Event()

    def wait() -> None:
        assert event.wait(timeout=5)

    run_threads(wait, event.set)


def a_barrier_keeps_phases_apart(lib: Any) -> None:
    barrier = lib.Barrier(2)
    phase = [0, 0]

    def walk(me: int) -> None:
        for _ in range(2):
            phase[me] += 1
            barrier.wait()
            assert abs(phase[0] - phase[1]) <= 1
            assert phase[1 - me] >= phase[me]

    run_threads(lambda: walk(0), lambda: walk(1))


def a_barrier_gives_each_its_index(lib: Any) -> None:
    barrier = lib.Barrier(3)
    indices: list[int] = []
    run_threads(*[lambda: indices.append(barrier.wait())] * 3)
    assert sorted(indices) == [0, 1, 2]


def a_broken_barrier_lets_go(lib: Any) -> None:
    barrier = lib.Barrier(2)

    def wait() -> None:
        with pytest.raises(lib.BrokenBarrierError):
            barrier.wait()

    run_threads(wait, barrier.abort)


def a_late_barrier_breaks_for_all(lib: Any) -> None:
    barrier = lib.Barrier(3)

    def wait(timeout: float | None) -> None:
        with pytest.raises(lib.BrokenBarrierError):
            barrier.wait(timeout)

    run_threads(lambda: wait(None), lambda: wait(1.0))


def checked_queue(lib: Any) -> Any:
    """Make a queue for one item that minds its own bound."""

    class Checked(lib.Queue):  # type: ignore[misc]
        def _put(self, item: int) -> None:
            assert self._qsize() < self.maxsize
            super()._put(item)  # pyright: ignore[reportUnknownMemberType]

    return Checked(1)


def a_bounded_queue(lib: Any) -> None:
    items = checked_queue(lib)
    got: list[int] = []

    def consume() -> None:
        got.append(items.get())

    def produce() -> None:
        items.put(1)

    run_threads(produce, produce, produce, consume, consume, consume)
    assert got == [1, 1, 1]


def two_putters_one_getter(lib: Any) -> None:
    items = checked_queue(lib)
    items.put(0)

    def consume() -> None:
        for _ in range(3):
            items.get()

    run_threads(lambda: items.put(1), lambda: items.put(2), consume)


def two_getters_one_putter(lib: Any) -> None:
    items = checked_queue(lib)

    def produce() -> None:
        for item in range(2):
            items.put(item)

    run_threads(items.get, items.get, produce)


def a_queue_is_joined(lib: Any) -> None:
    items = lib.Queue()
    done: list[int] = []

    def consume() -> None:
        items.get()
        done.append(1)
        items.task_done()

    def produce() -> None:
        items.put(1)
        items.join()
        assert done

    run_threads(produce, consume)


class Fault(NamedTuple):
    """One changed line, and the model that must notice."""

    kind: str
    old: str
    new: str
    model: Callable[[Any], None]
    strategy: Literal["pct", "random"] = "pct"


LOCKED_FLAG = """\
        with self._cond:
            signaled = self._flag
"""
UNLOCKED_FLAG = """\
        signaled = self._flag
        with self._cond:
"""
SET_THEN_TELL = """\
            self._flag = True
            self._cond.notify_all()
"""
TELL_THEN_SET = """\
            self._cond.notify_all()
        self._flag = True
"""
APPEND_THEN_RELEASE = """\
        self._waiters.append(waiter)
        saved_state = self._release_save()
"""
RELEASE_THEN_APPEND = """\
        saved_state = self._release_save()
        self._waiters.append(waiter)
"""
TAKE_PERMIT = """\
            while self._value == 0:
                if not blocking:
"""
TAKE_PERMIT_UNDER_ZERO = """\
            while self._value < 0:
                if not blocking:
"""
NOTIFY_PERMITS = "self._cond.notify(n)" if sys.version_info >= (3, 12) else "for i in range(n):"
NOTIFY_ONE = "self._cond.notify()" if sys.version_info >= (3, 12) else "for i in range(1):"
NOTIFY_NONE = "pass" if sys.version_info >= (3, 12) else "for i in range(0):"
BOUND_CHECK = """\
        with self._cond:
            if self._value + n > self._initial_value:
"""
BOUND_CHECK_OUTSIDE = """\
        if self._value + n <= self._initial_value:
            self._value += n
            return
        with self._cond:
            if self._value + n > self._initial_value:
"""
UNLIST_NOTIFIED = """\
                waiters.remove(waiter)
            except ValueError:
                pass

    def notify_all"""
LOOK_AGAIN = """\
        while not result:
            if waittime is not None:
                if endtime is None:
                    endtime = _time() + waittime
                else:
                    waittime = endtime - _time()
                    if waittime <= 0:
                        break
"""
PUT_WAITS = "while self._qsize() >= self.maxsize:\n                        self.not_full.wait()"
GET_WAITS = "while not self._qsize():\n                    self.not_empty.wait()"

FAULTS = {
    "condition: listed as a waiter after the lock is let go": Fault(
        "Condition", APPEND_THEN_RELEASE, RELEASE_THEN_APPEND, one_waits_for_a_flag
    ),
    "condition: notify releases no waiter": Fault(
        "Condition", "waiter.release()\n", "pass\n", one_waits_for_a_flag
    ),
    "condition: a notified waiter stays listed and is notified again": Fault(
        "Condition",
        UNLIST_NOTIFIED,
        UNLIST_NOTIFIED.replace("waiters.remove(waiter)", "n -= 1"),
        two_wait_and_are_notified_one_by_one,
    ),
    "condition: a waiter that timed out stays listed": Fault(
        "Condition", "if not gotit:", "if gotit:", a_waiter_that_gave_up_takes_no_notify
    ),
    "condition: wait returns without the lock": Fault(
        "Condition", "self._acquire_restore(saved_state)\n", "pass\n", one_waits_for_a_flag
    ),
    "condition: wait_for looks once, `if` for `while`": Fault(
        "Condition",
        LOOK_AGAIN,
        LOOK_AGAIN.replace("while", "if").replace("break", "pass"),
        two_take_from_what_all_are_told_of,
    ),
    "condition: notify_all wakes one": Fault(
        "Condition", "self.notify(len(self._waiters))", "self.notify(1)", all_are_notified
    ),
    "semaphore: a permit is taken below zero": Fault(
        "Semaphore", TAKE_PERMIT, TAKE_PERMIT_UNDER_ZERO, at_most_one_inside
    ),
    "semaphore: release sets instead of adds": Fault(
        "Semaphore", "self._value += n", "self._value = n", permits_add_up
    ),
    "semaphore: release wakes nobody": Fault(
        "Semaphore", NOTIFY_PERMITS, NOTIFY_NONE, permits_add_up
    ),
    "semaphore: release of two wakes one": Fault(
        "Semaphore", NOTIFY_PERMITS, NOTIFY_ONE, several_permits_at_once
    ),
    "bounded semaphore: the bound is checked before the lock": Fault(
        "BoundedSemaphore",
        BOUND_CHECK,
        BOUND_CHECK_OUTSIDE,
        a_bounded_semaphore_takes_back_no_more_than_it_gave,
    ),
    "event: set wakes one": Fault(
        "Event",
        SET_THEN_TELL,
        SET_THEN_TELL.replace("notify_all", "notify"),
        an_event_wakes_all,
    ),
    "event: set after telling, outside the lock": Fault(
        "Event", SET_THEN_TELL, TELL_THEN_SET, an_event_wakes_all
    ),
    "event: the flag is read before the lock": Fault(
        "Event", LOCKED_FLAG, UNLOCKED_FLAG, an_event_wait_in_time_is_true
    ),
    "barrier: a drain is not waited for": Fault(
        "Barrier",
        "while self._state in (-1, 1):",
        "while self._state in (-1, -1):",
        a_barrier_keeps_phases_apart,
    ),
    "barrier: drained, and nobody told": Fault(
        "Barrier",
        "self._state = 0\n                self._cond.notify_all()",
        "self._state = 0",
        a_barrier_keeps_phases_apart,
    ),
    "barrier: the last one wakes one": Fault(
        "Barrier",
        "self._state = 1\n            self._cond.notify_all()",
        "self._state = 1\n            self._cond.notify()",
        a_barrier_gives_each_its_index,
    ),
    "barrier: broken, and nobody told": Fault(
        "Barrier",
        "self._state = -2\n        self._cond.notify_all()",
        "self._state = -2",
        a_broken_barrier_lets_go,
    ),
    "barrier: a timeout does not break it": Fault(
        "Barrier",
        "self._break()\n            raise BrokenBarrierError",
        "raise BrokenBarrierError",
        a_late_barrier_breaks_for_all,
    ),
    "queue: put looks once, `if` for `while`": Fault(
        "Queue", PUT_WAITS, PUT_WAITS.replace("while", "if"), two_putters_one_getter, "random"
    ),
    "queue: get looks once, `if` for `while`": Fault(
        "Queue", GET_WAITS, GET_WAITS.replace("while", "if"), two_getters_one_putter, "random"
    ),
    "queue: get tells no putter": Fault("Queue", "self.not_full.notify()", "pass", a_bounded_queue),
    "queue: put tells the putters": Fault(
        "Queue", "self.not_empty.notify()", "self.not_full.notify()", a_bounded_queue
    ),
    "queue: one condition for both ends": Fault(
        "Queue",
        "self.not_full = threading.Condition(self.mutex)",
        "self.not_full = self.not_empty",
        a_bounded_queue,
    ),
    "queue: the last task_done tells nobody": Fault(
        "Queue",
        "raise ValueError('task_done() called too many times')\n"
        "                self.all_tasks_done.notify_all()",
        "raise ValueError('task_done() called too many times')",
        a_queue_is_joined,
    ),
    "queue: put counts no task": Fault(
        "Queue", "self.unfinished_tasks += 1", "pass", a_queue_is_joined
    ),
}


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Make a copy that `explore` finds among the loaded modules, as any module of a user."""

    def make(*change: str) -> ModuleType:
        module = copy_of(*change)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module

    return make


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_the_fault_is_found(fault: Fault, listed: Callable[..., ModuleType]) -> None:
    lib = listed(fault.kind, fault.old, fault.new)
    watch = [getattr(lib, fault.kind)]
    with pytest.raises(ScheduleError) as caught:
        explore(lambda: fault.model(lib), watch=watch, runs=2000, strategy=fault.strategy)
    assert caught.value.schedule.count("@") <= 3


MODELS = {f"{fault.kind}, {fault.model.__name__}": fault for fault in FAULTS.values()}


@pytest.mark.parametrize("fault", MODELS.values(), ids=list(MODELS))
def test_the_unchanged_copy_passes(fault: Fault, listed: Callable[..., ModuleType]) -> None:
    lib = listed("none")
    watch = [getattr(lib, fault.kind)]
    report = explore(
        lambda: fault.model(lib), watch=watch, runs=fewer(100), strategy=fault.strategy
    )
    assert report.runs == fewer(100)
