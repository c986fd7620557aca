"""`executor=` with real executors of the standard library that run calls elsewhere."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import statistics
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from executing import Counting
from joinable import DeadlineExceeded, _calls, move_on_after, run_all, run_each
from processes import signalled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from joinable._typing import SupportsSubmit


def die(number: int) -> None:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module", params=["process", "interpreter"])
def executor(request: pytest.FixtureRequest) -> Generator[SupportsSubmit]:
    """Give an executor of each kind, made once: its workers take their time to start."""
    if request.param == "process":
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            warm_up(pool)
            yield pool
        return
    kind = getattr(concurrent.futures, "InterpreterPoolExecutor", None)
    if kind is None:
        pytest.skip("InterpreterPoolExecutor is there from 3.14 on")
    with kind(2) as pool:
        warm_up(pool)
        yield pool


def warm_up(pool: concurrent.futures.Executor) -> None:
    """See that all its threads are there, which is none of a test's business."""
    concurrent.futures.wait([pool.submit(time.sleep, 0.1) for _ in range(4)])


def test_results_come_in_order_and_the_window_is_kept(executor: SupportsSubmit) -> None:
    counting = Counting(executor)
    got = run_each(pow, range(300), [2] * 300, max_workers=3, executor=counting)
    assert list(got) == [number**2 for number in range(300)]
    assert counting.most <= 3
    calls = [partial(pow, 2, number) for number in range(20)]
    assert run_all(calls, executor=executor) == [2**number for number in range(20)]


def test_an_error_has_the_traceback_of_there_in_a_note(executor: SupportsSubmit) -> None:
    # Of the standard library: a fresh interpreter cannot import what pytest has.
    samples: list[list[int]] = [[0], [1], [2], [], [4]]
    got: list[float] = []
    with pytest.raises(statistics.StatisticsError, match="no median for empty data") as caught:
        got.extend(run_each(statistics.median, samples, executor=executor))
    assert got == [0, 1, 2]
    notes = "\n".join(caught.value.__notes__)
    assert f"its traceback in the {type(executor).__name__}:\n" in notes
    assert ", in median" in notes
    assert "in call 3 of the run_each at " in notes
    assert caught.value.__cause__ is None, "the note has it"


def test_what_cannot_be_sent_is_named(executor: SupportsSubmit) -> None:
    kind = type(executor).__name__
    with pytest.raises(TypeError, match=f"call 1 cannot be sent to the {kind}: .*lock.* cannot be"):
        list(run_each(id, [1, threading.Lock(), 2], executor=executor))
    with pytest.raises(
        TypeError, match=f"call 0 cannot be sent to the {kind}: .*<func.* cannot be pickled"
    ):
        run_all([lambda: 1], executor=executor)
    calls: list[Callable[[], int]] = [int, lambda: 1]
    got: list[object] = [*run_all(calls, return_exceptions=True, executor=executor)]
    assert got[0] == 0
    assert isinstance(got[1], TypeError)


def test_a_result_that_cannot_come_back_is_an_error_of_its_call(executor: SupportsSubmit) -> None:
    error: Any = run_all([threading.Lock], return_exceptions=True, executor=executor)[0]
    assert isinstance(error, Exception)
    assert "cannot be sent" not in str(error)


def test_the_time_is_up_whatever_runs_there(
    executor: SupportsSubmit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_calls, "LAST_MOMENT", 0.0)
    with pytest.raises(DeadlineExceeded, match="at the ") as caught:
        run_all([partial(time.sleep, 0.3)], timeout=0.05, executor=executor)
    assert caught.value.unfinished == (f"call 0 at the {type(executor).__name__}",)
    assert run_all([int], executor=executor) == [0]  # it is as good as before


def test_a_scope_ends_it_when_what_runs_there_has_ended(executor: SupportsSubmit) -> None:
    counting = Counting(executor)
    with move_on_after(0.02) as scope:
        list(run_each(time.sleep, [0.2] * 500, max_workers=4, executor=counting))
    assert scope.cancelled_caught
    assert counting.now == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
@pytest.mark.parametrize("return_exceptions", [False, True])
def test_a_worker_that_dies_breaks_the_pool_and_that_is_told(return_exceptions: bool) -> None:
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        stream = run_each(
            die, range(1000), max_workers=2, return_exceptions=return_exceptions, executor=pool
        )
        with pytest.raises(BrokenExecutor) as caught:
            list(stream)
    notes = "\n".join(caught.value.__notes__)
    assert "the ProcessPoolExecutor ha" in notes  # has not taken, or had calls
    assert "of the run_each at " in notes


CTRL_C = """
    import functools, joinable, multiprocessing, os, threading, time
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    def go(pool):
        pool.submit(os.getpid).result()
        {cue}
        try:
            {run}
        except KeyboardInterrupt as interrupt:
            print("interrupted", *getattr(interrupt, "__notes__", ()), flush=True)
        gate.set()
        print(pool.submit(abs, -1).result())

    gate, begun = threading.Event(), threading.Event()

    def stuck(number):
        if number == 0:
            begun.wait()
            return
        if number == 1:
            joinable.current_scope().on_cancel(functools.partial(cue, "again"))
            begun.set()
            {stuck_cue}
        gate.wait()

    if __name__ == "__main__":
        # Not of our process group: the signal is for us alone.
        context = multiprocessing.get_context("forkserver")
        processes = functools.partial(ProcessPoolExecutor, 1, context)
        with {pool} as pool:
            go(pool)
    """

PAUSES = "time.sleep, [0.3] * 9"
EACH = f"list(joinable.run_each({PAUSES}, executor=pool))"
ALL = "joinable.run_all([functools.partial(time.sleep, 0.3)] * 9, executor=pool)"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no forkserver")
@pytest.mark.parametrize("pool", ["processes()", "ThreadPoolExecutor(1)"])
@pytest.mark.parametrize("run", [ALL, EACH], ids=["run_all", "run_each"])
def test_ctrl_c_waits_for_what_runs_and_leaves_the_pool_alone(pool: str, run: str) -> None:
    code = CTRL_C.format(run=run, pool=pool, cue='cue("waiting")', stuck_cue="")
    done, out, err = signalled(code, signal.SIGINT)
    assert (done, err) == (0, "")
    assert out == "waiting\ninterrupted\n1\n"


LEAVING = """
            import signal
            def handler(*_):
                gate.set()
                raise KeyboardInterrupt
            signal.signal(signal.SIGINT, handler)
            with joinable.run_each(stuck, range(9), executor=pool) as results:
                next(results)
"""
STUCK_ALL = "joinable.run_all([functools.partial(stuck, n) for n in range(1, 9)], executor=pool)"
STUCK_EACH = "list(joinable.run_each(stuck, range(1, 9), executor=pool))"


@pytest.mark.parametrize("run", [STUCK_ALL, STUCK_EACH], ids=["run_all", "run_each"])
def test_a_second_ctrl_c_leaves_at_once_and_names_what_runs_in_threads(run: str) -> None:
    pool, cue = "ThreadPoolExecutor(1)", 'cue("waiting")'
    code = CTRL_C.format(run=run, pool=pool, cue="", stuck_cue=cue)
    done, out, err = signalled(code, signal.SIGINT, signal.SIGINT)
    assert (done, err) == (0, "")
    first, second, note, last = out.splitlines()
    assert (first, second, last) == ("waiting", "again", "1")
    assert note.startswith("interrupted run_")
    assert "left these calls running: call 0 at " in note
    assert "in stuck" in note


def test_a_ctrl_c_where_the_block_is_left_is_raised_when_all_has_ended() -> None:
    code = CTRL_C.format(run=LEAVING, pool="ThreadPoolExecutor(2)", cue="", stuck_cue="")
    done, out, err = signalled(code, signal.SIGINT)
    assert (done, err) == (0, "")
    assert out == "again\ninterrupted\n1\n"
