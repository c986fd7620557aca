"""What runs on the takeover, and that nothing of it stays."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import queue
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from joinable.testing import DeadlockError, ScheduleError, explore

if TYPE_CHECKING:
    from collections.abc import Callable

MADE_AT_IMPORT = threading.Lock()
CONDITION_MADE_AT_IMPORT = threading.Condition()

each_strategy = pytest.mark.parametrize("strategy", ["pct", "random", "dfs"])


def run_threads(*targets: Callable[[], object]) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- programs of the standard library's own parts, all correct -------------------------------------


def with_barrier() -> None:
    barrier = threading.Barrier(3)
    indices: list[int] = []
    run_threads(*[lambda: indices.append(barrier.wait())] * 3)
    assert sorted(indices) == [0, 1, 2]


def with_timer() -> None:
    fired: list[float] = []
    begin = time.monotonic()
    timer = threading.Timer(30, lambda: fired.append(time.monotonic() - begin))
    timer.start()
    timer.join()
    assert fired == [30]
    cancelled = threading.Timer(30, lambda: fired.append(0))
    cancelled.start()
    cancelled.cancel()
    cancelled.join()
    assert fired == [30]


def with_reentrant_condition() -> None:
    changed = threading.Condition(threading.RLock())
    items: list[int] = []

    def take() -> None:
        with changed, changed:
            while not items:
                changed.wait()
            items.pop()

    def give() -> None:
        with changed:
            items.append(1)
            changed.notify()

    run_threads(take, give)


def with_events_and_semaphores() -> None:
    event, places = threading.Event(), threading.BoundedSemaphore(2)

    def work() -> None:
        assert event.wait(5)
        with places:
            pass

    run_threads(work, work, event.set)


def with_queues() -> None:
    items: queue.PriorityQueue[int] = queue.PriorityQueue(1)
    simple: queue.SimpleQueue[int] = queue.SimpleQueue()
    run_threads(
        lambda: items.put(1), lambda: simple.put(items.get()), lambda: items.put(simple.get())
    )
    assert items.get_nowait() == 1


def with_executor() -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(pow, 2, n) for n in range(3)]
        done = {future.result() for future in concurrent.futures.as_completed(futures)}
        assert done == {1, 2, 4}
        assert list(pool.map(abs, (-1, 2))) == [1, 2]
        assert not concurrent.futures.wait(futures).not_done


def with_locals() -> None:
    local = threading.local()

    def work() -> None:
        assert not hasattr(local, "name")
        local.name = threading.current_thread().name

    run_threads(work, work)


def with_enumeration() -> None:
    alive = threading.Event()
    thread = threading.Thread(target=alive.wait, daemon=True)
    thread.start()
    assert thread in threading.enumerate()
    assert thread.is_alive()
    alive.set()
    thread.join()
    assert not thread.is_alive()
    assert thread not in threading.enumerate()


PROGRAMS = [
    with_barrier,
    with_timer,
    with_reentrant_condition,
    with_events_and_semaphores,
    with_queues,
    with_executor,
    with_locals,
    with_enumeration,
]


@each_strategy
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_the_standard_library_runs_on_it(program: Callable[[], None], strategy: Any) -> None:
    report = explore(program, strategy=strategy, runs=60)
    assert report.diverged == 0


# -- semantics of the controlled primitives --------------------------------------------------------


def test_locks_refuse_what_real_ones_refuse() -> None:
    def program() -> None:
        lock, reentrant = threading.Lock(), threading.RLock()
        for kind in (lock, reentrant):
            with pytest.raises(RuntimeError):
                kind.release()
            with pytest.raises(ValueError, match="timeout"):
                kind.acquire(False, 1)
            with pytest.raises(ValueError, match="timeout"):
                kind.acquire(True, -2)
            with pytest.raises(OverflowError):
                kind.acquire(True, 1e20)
        with pytest.raises(ValueError, match="non-negative"):
            time.sleep(-1)

    explore(program, runs=2)


def test_a_reentrant_lock_is_released_by_its_owner_only() -> None:
    def program() -> None:
        lock = threading.RLock()
        refused: list[int] = []

        def other() -> None:
            try:
                lock.release()
            except RuntimeError:
                refused.append(1)

        with lock, lock:
            run_threads(other)
            assert lock.acquire(timeout=1)
            lock.release()
        assert refused == [1]
        taken: list[bool] = []
        run_threads(lambda: taken.append(lock.acquire(False)))
        assert taken == [True]

    explore(program, runs=50)


def test_try_acquire_sees_a_lock_held() -> None:
    seen: set[bool] = set()

    def program() -> None:
        lock = threading.Lock()

        def hold() -> None:
            with lock:
                time.sleep(1)

        def probe() -> None:
            taken = lock.acquire(False)
            seen.add(taken)
            if taken:
                lock.release()

        run_threads(hold, probe)

    explore(program, runs=50)
    assert seen == {True, False}


def test_a_lock_made_at_import_is_under_control() -> None:
    def program() -> None:
        with MADE_AT_IMPORT:
            MADE_AT_IMPORT.acquire()

    real = MADE_AT_IMPORT
    with pytest.raises(ScheduleError) as caught:
        explore(program)
    assert isinstance(caught.value.__cause__, DeadlockError)
    assert MADE_AT_IMPORT is real
    assert not real.locked()


def test_a_condition_made_at_import_is_under_control() -> None:
    def program() -> None:
        flag: list[int] = []

        def wait() -> None:
            with CONDITION_MADE_AT_IMPORT:
                CONDITION_MADE_AT_IMPORT.wait_for(lambda: bool(flag))

        def tell() -> None:
            with CONDITION_MADE_AT_IMPORT:
                flag.append(1)
                CONDITION_MADE_AT_IMPORT.notify()

        run_threads(wait, tell)

    before = vars(CONDITION_MADE_AT_IMPORT).copy()
    explore(program, runs=100)
    assert vars(CONDITION_MADE_AT_IMPORT) == before


def test_a_thread_made_before_is_joined_under_control() -> None:
    made = [threading.Thread(target=lambda: time.sleep(3600), name="made before")]

    def program() -> None:
        if made:
            thread = made.pop()
            thread.start()
            thread.join()
            assert not thread.is_alive()

    explore(program, runs=1)


def test_objects_outlive_their_exploration() -> None:
    kept: list[Any] = []

    def program() -> None:
        kept[:] = [threading.Lock(), threading.RLock(), threading.Condition(), queue.SimpleQueue()]
        kept.append(queue.Queue())

    explore(program, runs=1)
    lock, reentrant, condition, simple, full = kept
    held = threading.Event()
    go = threading.Event()

    def hold() -> None:
        with lock, reentrant:
            held.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    assert not lock.acquire(timeout=0.01)
    assert not reentrant.acquire(timeout=0.01)
    go.set()
    thread.join()
    with lock, reentrant, condition:
        assert not condition.wait(0.01)
    simple.put(1)
    full.put(2)
    assert (simple.get(), full.get()) == (1, 2)


# -- nothing stays ---------------------------------------------------------------------------------


def fail() -> None:
    threading.Thread(target=threading.Event().wait).start()
    raise LookupError


# Hypothesis counts the collections of garbage, which an exploration does on purpose.
NOT_OURS = ("joinable.testing", "hypothesis.")


def snapshot() -> dict[tuple[str, str], int]:
    """Note what every name of every loaded module is bound to."""
    return {
        (module.__name__, name): id(value)
        for module in list(sys.modules.values())
        if type(module) is ModuleType and not module.__name__.startswith(NOT_OURS)
        for name, value in vars(module).copy().items()
        if type(value) is not float  # hypothesis times each garbage collection
    }


@pytest.mark.parametrize("program", [with_executor, fail], ids=["after a pass", "after a failure"])
def test_every_name_is_put_back(program: Callable[[], None]) -> None:
    explore(with_executor, runs=1, watch=[with_executor])
    before = snapshot()
    methods = threading.Thread.__init__, threading.Thread.__hash__, sys.gettrace()
    try:
        explore(program, runs=5, watch=[with_executor])
    except ScheduleError as error:
        assert isinstance(error.__cause__, LookupError)  # noqa: PT017
    after = snapshot()
    changed = {name for name, value in before.items() if after.get(name, value) != value}
    assert not changed
    assert (threading.Thread.__init__, threading.Thread.__hash__, sys.gettrace()) == methods
    assert gc.isenabled()
    if sys.version_info >= (3, 12):
        assert "joinable.testing.explore" not in [sys.monitoring.get_tool(i) for i in range(6)]


def threads_of_the_system() -> int:
    """Count OS threads: by the system where it tells, else those that run Python."""
    if Path("/proc/self/task").is_dir():
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208
    return len(sys._current_frames())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not list them")
def test_no_file_descriptor_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    explore(with_executor, runs=5)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def leave_things_behind() -> None:
    finished: list[int] = []

    def wait_for_ever() -> None:
        try:
            threading.Event().wait()
        finally:
            finished.append(1)

    threading.Thread(target=wait_for_ever, daemon=True).start()
    threading.Thread(target=queue.SimpleQueue().get, daemon=True).start()
    threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
    concurrent.futures.ThreadPoolExecutor(2).submit(int)


def test_leftover_threads_are_unwound() -> None:
    explore(leave_things_behind, runs=1)
    before = threading.active_count(), threads_of_the_system()
    explore(leave_things_behind, runs=200)
    # The interpreter is done with the last one a moment before the system is.
    end = time.monotonic() + 10
    while threading.active_count() > before[0] or threads_of_the_system() > before[1]:
        assert time.monotonic() < end, f"threads were {before}"
        time.sleep(0.01)


def test_the_finally_blocks_of_a_leftover_thread_run() -> None:
    cleaned: list[int] = []

    def program() -> None:
        lock = threading.Lock()

        def hold() -> None:
            try:
                with lock:
                    threading.Event().wait()
            finally:
                cleaned.append(1)

        threading.Thread(target=hold, daemon=True).start()
        time.sleep(1)
        assert lock.locked()

    explore(program, runs=3)
    assert len(cleaned) == 4  # the warm-up and three runs


def test_other_threads_are_not_disturbed() -> None:
    stop = threading.Event()
    errors: list[BaseException] = []
    turns: list[int] = []

    def live() -> None:
        """Do all that is taken over, for real, and mind that it stays real."""
        try:
            while not stop.is_set():
                begin = time.monotonic()
                items: queue.Queue[int] = queue.Queue(1)
                thread = threading.Thread(target=items.put, args=(1,))
                thread.start()
                assert items.get(timeout=10) == 1
                thread.join()
                lock, reentrant = threading.Lock(), threading.RLock()
                condition = threading.Condition()
                with lock, reentrant, condition:
                    time.sleep(0.001)
                with concurrent.futures.ThreadPoolExecutor(1) as pool:
                    assert pool.submit(abs, -1).result(10) == 1
                assert 0.001 <= time.monotonic() - begin < 60
                turns.append(1)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    other = threading.Thread(target=live)
    other.start()
    try:
        for _ in range(3):
            explore(with_executor, runs=50)
            explore(leave_things_behind, runs=50)
    finally:
        stop.set()
        other.join()
    assert not errors
    assert turns
