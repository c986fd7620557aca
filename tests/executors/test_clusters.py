"""`executor=` with executors that others have made: loky, and dask with two worker processes.

`nox -s executors` installs them and runs this.
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from executing import Counting
from joinable import DeadlineExceeded, move_on_after, run_all, run_each
from joinable.executors import dask_executor

if TYPE_CHECKING:
    from collections.abc import Generator

    from joinable._typing import SupportsSubmit

loky: Any = pytest.importorskip("loky")
distributed: Any = pytest.importorskip("distributed")

# The workers read these functions by their values: this file is no module that they could import.
__import__("cloudpickle").register_pickle_by_value(sys.modules[__name__])

COUNT = 10_000
SOME = 500  # dask takes some milliseconds for a call


def square(number: int) -> int:
    return number * number


def fails_at_300(number: int) -> int:
    if number == 300:
        raise ValueError(number)
    return number


def kills_once(sign: str, number: int) -> int:
    """Kill the worker process that makes this call, at one of them, the first time."""
    if number == 300:
        try:
            os.close(os.open(sign, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return number
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.fixture(autouse=True)
def _every_thread_is_joined() -> None:
    """Dask keeps threads of its own, which it starts when it needs them; none of them is ours."""


@pytest.fixture(scope="module")
def client() -> Generator[Any]:
    """Start a cluster on the loopback: a scheduler, and two worker processes of one thread each."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as made,
    ):
        yield made


@pytest.fixture(scope="module", params=["loky", "dask"])
def executor(request: pytest.FixtureRequest, client: Any) -> Generator[SupportsSubmit]:
    if request.param == "dask":
        yield dask_executor(client)
        return
    pool = loky.ProcessPoolExecutor(2)
    assert list(pool.map(square, range(100)))[-1] == 99 * 99  # its threads are there
    yield pool
    pool.shutdown()


def test_ten_thousand_items_come_in_order_and_the_window_is_kept(executor: SupportsSubmit) -> None:
    counting = Counting(executor)
    results = run_each(square, iter(range(COUNT)), buffersize=100, executor=counting)
    assert list(results) == [number * number for number in range(COUNT)]
    assert counting.total == COUNT
    assert 64 < counting.most <= 100 + 32


def test_the_executor_has_no_more_than_max_workers(executor: SupportsSubmit) -> None:
    counting = Counting(executor)
    results = run_each(square, range(SOME), max_workers=4, executor=counting)
    assert list(results) == [number * number for number in range(SOME)]
    assert counting.most <= 4


def test_an_item_that_fails_raises_with_the_traceback_of_there(executor: SupportsSubmit) -> None:
    counting = Counting(executor)
    got: list[int] = []
    with pytest.raises(ValueError, match="300") as caught:
        got.extend(run_each(fails_at_300, range(COUNT), executor=counting))
    assert got == [*range(300)]
    notes = "\n".join(caught.value.__notes__)
    assert "its traceback in the Counting:\n" in notes
    assert ", in fails_at_300" in notes
    assert "in call 300 of the run_each at " in notes
    assert counting.now == 0
    assert counting.total < 300 + 200


def test_run_all_gives_what_it_gives_with_threads(executor: SupportsSubmit) -> None:
    calls = {number: partial(square, number) for number in range(50)}
    expected = {number: number * number for number in range(50)}
    assert run_all(calls, max_workers=5, executor=executor) == expected
    got = run_all([partial(fails_at_300, 300)], return_exceptions=True, executor=executor)
    assert isinstance(got[0], ValueError)


def test_what_cannot_be_sent_is_named(executor: SupportsSubmit) -> None:
    with pytest.raises(TypeError, match=r"call 2 cannot be sent to the .*lock.* cannot be pickled"):
        list(run_each(id, [1, 2, threading.Lock(), 4], executor=executor))


def test_time_and_scopes_are_obeyed(executor: SupportsSubmit) -> None:
    with pytest.raises(DeadlineExceeded):
        run_all([partial(time.sleep, 0.3)] * 20, timeout=0.05, executor=executor)
    with move_on_after(0.05) as scope:
        list(run_each(time.sleep, [0.3] * 20, executor=executor))
    assert scope.cancelled_caught
    assert run_all([int], executor=executor) == [0]


def test_a_worker_of_the_cluster_that_is_killed_loses_nothing(
    client: Any, tmp_path: pathlib.Path
) -> None:
    call = partial(kills_once, str(tmp_path / "sign"))
    counting = Counting(dask_executor(client))
    assert list(run_each(call, range(SOME), executor=counting)) == [*range(SOME)]
    assert (tmp_path / "sign").exists(), "one was killed"
    assert counting.most <= 64 + 32


def test_calls_that_look_the_same_are_all_made(client: Any, tmp_path: pathlib.Path) -> None:
    """With the client's own executor, too, which would make one of them."""
    call = partial(append, str(tmp_path / "made"))
    for executor in (dask_executor(client), client.get_executor()):
        list(run_each(call, [7] * 20, executor=executor))
    assert (tmp_path / "made").read_text() == "7" * 40


def append(name: str, number: int) -> None:
    with open(name, "a") as file:  # noqa: PTH123  in another process
        file.write(str(number))


def test_a_client_is_no_executor(client: Any) -> None:
    with pytest.raises(TypeError, match=r"give it joinable.executors.dask_executor\(client\)"):
        run_all([int], executor=client)
    with pytest.raises(TypeError, match="client must be a"):
        dask_executor(client.get_executor())


def test_the_program_of_the_page_counts_on_a_cluster() -> None:
    program = pathlib.Path(__file__).parents[2] / "docs/examples/from_threads_to_a_cluster.py"
    command = [sys.executable, str(program), "dask"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603  ours
    assert done.stdout == "9592 primes, counted in dask\n", done.stderr
