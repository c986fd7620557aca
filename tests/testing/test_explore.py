"""What an exploration is: time, deadlocks, limits, determinism, what leaves a thread."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import queue
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from joinable.testing import (
    DeadlockError,
    ScheduleError,
    StepLimitError,
    UnseenBlockError,
    _controller,
    explore,
    replay,
)
from joinable.testing._session import COLLECT_EVERY

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

each_strategy = pytest.mark.parametrize("strategy", ["pct", "random", "dfs"])


def start(*targets: Callable[[], object], daemon: bool = False) -> list[threading.Thread]:
    threads = [threading.Thread(target=target, daemon=daemon) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def run_threads(*targets: Callable[[], object]) -> None:
    for thread in start(*targets):
        thread.join()


def failure_of(program: Callable[[], object], **options: Any) -> ScheduleError:
    with pytest.raises(ScheduleError) as caught:
        explore(program, **options)
    return caught.value


class TestTime:
    @each_strategy
    def test_sleepers_wake_in_the_order_of_their_deadlines(self, strategy: Any) -> None:
        def program() -> None:
            woken: list[int] = []

            def sleep(seconds: int) -> None:
                time.sleep(seconds)
                woken.append(seconds)

            run_threads(*[lambda s=s: sleep(s) for s in (3600, 60, 1)])
            assert woken == [1, 60, 3600]

        before = time.perf_counter()
        explore(program, strategy=strategy, runs=50)
        assert time.perf_counter() - before < 60

    def test_the_clock_moves_by_what_was_slept(self) -> None:
        def program() -> None:
            before = time.monotonic()
            time.sleep(2.5)
            assert time.monotonic() - before == 2.5

        explore(program, runs=10)

    def test_equal_deadlines_fire_in_every_order(self) -> None:
        orders: set[str] = set()

        def program() -> None:
            woken: list[str] = []

            def sleep(name: str) -> None:
                time.sleep(1)
                woken.append(name)

            run_threads(lambda: sleep("a"), lambda: sleep("z"))
            orders.add("".join(woken))

        assert explore(program, strategy="dfs").exhausted
        assert orders == {"az", "za"}

    def test_a_timeout_fires_only_when_nobody_can_go_on(self) -> None:
        def program() -> None:
            items: queue.Queue[int] = queue.Queue()

            def produce() -> None:
                for _ in range(3):
                    held().release()
                items.put(1)

            threads = start(produce)
            assert items.get(timeout=0.001) == 1
            threads[0].join()

        explore(program, runs=200)

    @pytest.mark.parametrize(
        "wait",
        [
            lambda: threading.Lock().acquire(timeout=-1) and held().acquire(timeout=2),
            lambda: threading.Event().wait(2),
            lambda: threading.Semaphore(0).acquire(timeout=2),
            lambda: start(lambda: time.sleep(9))[0].join(2),
            lambda: empty(queue.Queue()),
            lambda: empty(queue.SimpleQueue()),
        ],
        ids=["lock", "event", "semaphore", "join", "queue", "simple queue"],
    )
    def test_every_timed_wait_takes_its_time(self, wait: Callable[[], object]) -> None:
        def program() -> None:
            before = time.monotonic()
            assert not wait()
            assert time.monotonic() - before == 2

        explore(program, runs=5)

    def test_a_poller_that_sleeps_starves_nobody(self) -> None:
        def program() -> None:
            done: list[int] = []
            threads = start(lambda: done.append(1))
            while not done:
                time.sleep(0)
            threads[0].join()

        explore(program, runs=100)


def held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def empty(items: Any) -> bool:
    try:
        items.get(timeout=2)
    except queue.Empty:
        return False
    return True


class TestDeadlock:
    def test_each_blocked_thread_is_named_with_its_line_and_the_holder(self) -> None:
        def program() -> None:
            left, right = threading.Lock(), threading.Lock()

            def one() -> None:
                with left, right:  # one
                    pass

            def two() -> None:
                with right, left:  # two
                    pass

            run_threads(one, two)

        error = failure_of(program, strategy="dfs")
        cause = error.__cause__
        assert isinstance(cause, DeadlockError)
        main, first, second = cause.blocked
        assert main.startswith("main waits for Thread-1 (one) to end at test_explore.py:")
        assert first.startswith("Thread-1 (one) waits for a Lock held by Thread-2 (two)")
        assert first.endswith("with left, right:  # one")
        assert second.endswith("with right, left:  # two")

    def test_a_thread_alone_can_deadlock(self) -> None:
        error = failure_of(lambda: [held().acquire() for _ in range(1)])
        assert isinstance(error.__cause__, DeadlockError)
        assert error.schedule == "-"

    def test_a_thread_that_would_hold_up_the_exit_is_a_deadlock(self) -> None:
        error = failure_of(lambda: start(threading.Event().wait))
        assert isinstance(error.__cause__, DeadlockError)

    def test_a_daemon_left_waiting_is_none(self) -> None:
        explore(lambda: start(threading.Event().wait, daemon=True), runs=20)

    def test_an_executor_left_open_is_none(self) -> None:
        def program() -> None:
            pool = concurrent.futures.ThreadPoolExecutor(2)
            assert pool.submit(int, "1").result() == 1

        explore(program, runs=50)


class TestLimits:
    def test_a_run_that_spins_ends_at_max_steps(self) -> None:
        def program() -> None:
            lock = threading.Lock()
            while not lock.locked():
                pass

        error = failure_of(program, max_steps=500)
        assert isinstance(error.__cause__, StepLimitError)
        assert "max_steps=500" in str(error)

    def test_a_loop_that_reads_the_clock_ends_at_max_steps(self) -> None:
        def program() -> None:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                pass

        error = failure_of(program, max_steps=500)
        assert isinstance(error.__cause__, StepLimitError)

    def test_a_thread_that_blocks_out_of_sight_is_told_with_its_stack(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_controller, "STUCK_AFTER", 0.2)
        real = [held()]  # in a list, where no takeover looks
        before = threading.active_count()

        def take() -> None:
            real[0].acquire()

        error = failure_of(lambda: run_threads(take))
        assert isinstance(error.__cause__, UnseenBlockError)
        assert "real[0].acquire()" in str(error)
        real[0].release()
        settle(lambda: threading.active_count() <= before)  # an idle worker may end meanwhile

    def test_a_thread_that_swallows_its_end_is_given_up(self) -> None:
        # In a process of its own: such a thread stays, parked for ever.
        code = """
            import queue, threading
            from joinable.testing import ScheduleError, _controller, explore
            _controller.UNWIND_WITHIN = 1.0
            def stubborn():
                items = queue.SimpleQueue()
                while True:
                    try:
                        items.get()
                    except BaseException:
                        pass
            def start():
                threading.Thread(target=stubborn, daemon=True).start()
            try:
                explore(start)
            except ScheduleError as error:
                print(error)
        """
        command = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603  our own
        assert "swallows every BaseException" in done.stdout
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"runs": 0}, "runs=0: at least 1"),
            ({"preemptions": -1}, "preemptions=-1: at least 0"),
            ({"strategy": "best"}, "use 'pct', 'random' or 'dfs'"),
        ],
    )
    def test_bad_numbers_are_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            explore(int, **options)

    def test_what_cannot_be_watched_is_refused(self) -> None:
        with pytest.raises(TypeError, match="written in Python"):
            explore(int, watch=[len])

    def test_a_nested_exploration_is_refused(self) -> None:
        error = failure_of(lambda: explore(int))
        assert isinstance(error.__cause__, RuntimeError)
        assert "inside an explored function" in str(error)

    def test_a_second_exploration_at_once_is_refused(self) -> None:
        refused: list[RuntimeError] = []
        begun, asked = held(), held()  # real ones: both threads run while the strand waits

        def second() -> None:
            begun.acquire()
            try:
                explore(int)
            except RuntimeError as error:
                refused.append(error)
            asked.release()

        thread = threading.Thread(target=second)
        thread.start()
        first: list[threading.Lock] = [begun, asked]

        def program() -> None:
            if first:
                first.pop(0).release()
                first.pop(0).acquire()

        explore(program, runs=1)
        thread.join()
        assert "explore one at a time" in str(refused[0])


def settle(condition: Callable[[], bool]) -> None:
    """Wait for what another, real thread is about to do."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class TestGarbage:
    @pytest.fixture(autouse=True)
    def _nothing_is_collected_by_chance(self) -> Generator[None]:
        gc.disable()
        yield
        gc.enable()

    def test_what_is_garbage_before_is_not_collected_by_the_runs(self) -> None:
        seen: list[bool] = []
        before = weakref.ref(circle())
        explore(lambda: seen.append(before() is None), runs=3 * COLLECT_EVERY)
        assert True not in seen
        gc.collect()
        assert before() is None  # and it is afterwards

    @pytest.mark.parametrize("runs", [2, 3 * COLLECT_EVERY])
    def test_what_the_runs_leave_is_collected_by_them_and_at_the_end(self, runs: int) -> None:
        left: list[weakref.ref[Circle]] = []
        most: list[int] = []

        def program() -> None:
            left.append(weakref.ref(circle()))
            most.append(sum(each() is not None for each in left))

        explore(program, runs=runs)
        assert not [each for each in left if each() is not None]
        assert max(most) <= COLLECT_EVERY + 1

    def test_what_others_have_frozen_stays_frozen(self) -> None:
        gc.freeze()
        try:
            before = gc.get_freeze_count()
            explore(int, runs=2)
            assert gc.get_freeze_count() >= before - 100  # some may have ended by themselves
        finally:
            gc.unfreeze()


class Circle:
    """What only the collector can find."""

    def __init__(self) -> None:
        self.me = self


def circle() -> Circle:
    return Circle()


class TestFailures:
    def test_an_exception_that_leaves_any_thread_is_one(self) -> None:
        def program() -> None:
            start(lambda: int("x"))[0].join()

        error = failure_of(program)
        assert isinstance(error.__cause__, ValueError)

    def test_one_that_leaves_a_thread_without_an_object_is_one(self) -> None:
        import _thread  # noqa: PLC0415

        def program() -> None:
            _thread.start_new_thread(lambda: int("x"), ())
            time.sleep(1)

        assert isinstance(failure_of(program).__cause__, ValueError)

    def test_a_thread_may_exit(self) -> None:
        explore(lambda: run_threads(sys.exit), runs=5)

    def test_a_hook_of_the_program_takes_what_it_takes(self) -> None:
        def program() -> None:
            seen: list[object] = []
            threading.excepthook = lambda args: seen.append(args.exc_value)
            run_threads(lambda: int("x"))
            assert len(seen) == 1

        hook = threading.excepthook
        explore(program, runs=3)
        assert threading.excepthook is hook

    def test_the_story_shows_the_source_lines_by_thread(self) -> None:
        def program() -> None:
            box = [0]

            def add() -> None:
                value = box[0]
                box[0] = value + 1

            run_threads(add, add)
            assert box == [2]

        error = failure_of(program, watch=[program], strategy="dfs")
        assert error.interleaving.count("->") == 1
        assert "-> Thread-1 (add)" in error.interleaving
        assert "value = box[0]" in error.interleaving
        assert f"replay(program, {error.schedule!r}, watch=[program])" in str(error)

    def test_a_function_that_is_not_the_same_each_time_is_told(self) -> None:
        calls: list[int] = []

        def program() -> None:
            calls.append(1)
            assert len(calls) != 7

        assert "the function is not the same at each run" in str(failure_of(program))

    def test_ctrl_c_ends_the_exploration_and_puts_everything_back(self) -> None:
        import _thread  # noqa: PLC0415

        def interrupt() -> None:
            _thread.interrupt_main()
            run_threads(int)

        names = vars(threading).copy()
        with pytest.raises(KeyboardInterrupt):
            explore(interrupt, runs=100_000)
        assert vars(threading) == names


class TestReplay:
    def test_a_string_that_is_no_schedule_is_refused(self) -> None:
        with pytest.raises(ValueError, match="is no schedule"):
            replay(int, "1@2")

    def test_a_schedule_that_no_longer_fits_says_so(self) -> None:
        assert replay(lambda: None, "1@5>2,0@900>1").diverged == 2

    def test_a_passing_replay_reports_one_run(self) -> None:
        assert replay(lambda: run_threads(int, int), "-").runs == 1


ORDERS = """
import textwrap
import threading
from joinable.testing import explore
seen = []
def program():
    names = set()
    order = []
    def work(name):
        for _ in range(2):
            order.append(name)
            with threading.Lock():
                names.add(name)
    threads = {threading.Thread(target=work, args=(n,)) for n in ("x", "y", "z")}
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen.append("".join(order))
for strategy in ("pct", "random", "dfs"):
    explore(program, strategy=strategy, runs=40, seed=7)
print(" ".join(seen))
"""


class TestDeterminism:
    def test_one_seed_gives_the_same_schedules_in_every_process(self) -> None:
        path = os.pathsep.join(p for p in sys.path if Path(p).is_dir())
        outputs = {
            subprocess.run(  # noqa: S603
                [sys.executable, "-c", ORDERS],
                env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
                timeout=120,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(outputs) == 1
        assert len(set(outputs.pop().split())) > 10

    def test_two_seeds_give_different_schedules(self) -> None:
        def sequence(seed: int) -> list[str]:
            seen: list[str] = []

            def program() -> None:
                order: list[str] = []
                lock = threading.Lock()

                def work(name: str) -> None:
                    for _ in range(3):
                        with lock:
                            order.append(name)

                run_threads(lambda: work("a"), lambda: work("b"))
                seen.append("".join(order))

            explore(program, runs=20, seed=seed)
            return seen

        assert sequence(1) == sequence(1)
        assert sequence(1) != sequence(2)

    def test_dfs_runs_each_schedule_once_and_all_of_them(self) -> None:
        seen: list[str] = []

        def program() -> None:
            order: list[str] = []
            lock = threading.Lock()

            def work(name: str) -> None:
                for _ in range(2):
                    with lock:
                        order.append(name)

            run_threads(lambda: work("a"), lambda: work("b"))
            seen.append("".join(order))

        report = explore(program, strategy="dfs", preemptions=3, runs=50_000)
        assert report.exhausted
        # Two letters each, in all six orders.
        assert set(seen) == {"aabb", "abab", "abba", "bbaa", "baba", "baab"}

    def test_dfs_out_of_runs_does_not_claim_all(self) -> None:
        report = explore(lambda: run_threads(int, int), strategy="dfs", runs=3)
        assert report.runs == 3
        assert not report.exhausted
