"""What hurts with `ThreadPoolExecutor`, one pain a test, and that it does not hurt here.

Each pain is a function that is run with both. It tells whether it hurts: the standard executor has
to say yes, on the versions where it does, and ours no.
"""

from __future__ import annotations

import contextvars
import gc
import itertools
import os
import signal
import sys
import sysconfig
import threading
import traceback
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any

import pytest

from joinable import ThreadPool, move_on_after
from processes import run, signalled
from waiting import PATIENCE, Gate, until

if TYPE_CHECKING:
    from collections.abc import Callable

FREE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
SOON = 0.3  # seconds after which something that does not come is taken never to come
NAMES: dict[type[Executor], str] = {
    ThreadPoolExecutor: "concurrent.futures",
    ThreadPool: "joinable",
}

both = pytest.mark.parametrize("kind", [ThreadPoolExecutor, ThreadPool])
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def hurts(kind: type[Executor]) -> bool:
    """Tell what is expected."""
    return kind is ThreadPoolExecutor


def failing() -> None:
    raise ValueError("as it should")


# -------------------------------------------------------------------- 1 and 2: a full queue


@both
def test_ctrl_c_with_a_full_queue(kind: type[Executor]) -> None:
    """All that waits is done before the interrupt gets out of the block."""
    code, out, err = signalled(
        f"""
        import threading, time
        from {NAMES[kind]} import {kind.__name__}
        ran = []
        def call():
            time.sleep(0.01)
            ran.append(None)
        try:
            with {kind.__name__}(1) as pool:
                for _ in range(50):
                    pool.submit(call)
                cue("ready")
                threading.Event().wait()
        except KeyboardInterrupt:
            print(len(ran))
        """,
        signal.SIGINT,
    )
    assert code == 0, err
    assert (int(out.split()[-1]) == 50) is hurts(kind)


@both
def test_an_error_in_the_block_with_a_full_queue(kind: type[Executor]) -> None:
    """All that waits is done before the error gets out of the block."""
    gate, ran = Gate(), list[None]()

    def leave() -> None:
        with kind(1) as pool:  # type: ignore[call-arg]
            pool.submit(gate)
            for _ in range(100):
                pool.submit(ran.append, None)
            gate.may_end.set()
            failing()

    with pytest.raises(ValueError, match="as it should"):
        leave()
    if hurts(kind):
        assert len(ran) == 100
    else:
        assert len(ran) < 100


# -------------------------------------------------------------------- 3: a dropped exception


@both
def test_an_error_that_nobody_asks_for(
    kind: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is lost, and nobody ever learns of it."""
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    with kind(1) as pool:  # type: ignore[call-arg]
        pool.submit(failing)
    gc.collect()
    if hurts(kind):
        threading.Event().wait(0.05)
        assert not reported
    else:
        until(lambda: reported)


# -------------------------------------------------------------------- 4 and 5: contexts


@both
def test_what_one_call_sets_another_one_sees(kind: type[Executor]) -> None:
    """A worker has one context for all calls."""
    with kind(1) as pool:  # type: ignore[call-arg]
        pool.submit(VARIABLE.set, "left behind").result(PATIENCE)
        assert (pool.submit(VARIABLE.get).result(PATIENCE) != "none") is hurts(kind)


@both
def test_a_call_does_not_see_the_context_of_its_submitter(kind: type[Executor]) -> None:
    """It sees none, or without a GIL that of the one who was first to submit, for ever."""

    def submit_as(name: str) -> Future[str]:
        VARIABLE.set(name)
        return pool.submit(VARIABLE.get)

    with kind(1) as pool:  # type: ignore[call-arg]
        seen = [
            contextvars.copy_context().run(submit_as, name).result(PATIENCE)
            for name in ("first", "second")
        ]
    if hurts(kind):
        inherits = getattr(sys.flags, "thread_inherit_context", 0)
        assert seen == (["first", "first"] if inherits else ["none", "none"])
        assert bool(inherits) is FREE
    else:
        assert seen == ["first", "second"]


# -------------------------------------------------------------------- 6: nested calls


@both
def test_a_call_that_waits_for_another_one(kind: type[Executor]) -> None:
    """With all workers waiting, nobody does what they wait for."""

    def outer() -> bool:
        inner = pool.submit(int)
        try:
            inner.result(SOON)
        except (TimeoutError, FutureTimeout):
            return True
        return False

    with kind(1) as pool:  # type: ignore[call-arg]
        assert pool.submit(outer).result(PATIENCE) is hurts(kind)


# -------------------------------------------------------------------- 7 and 8: no bound


@both
def test_submit_takes_whatever_comes(kind: type[Executor]) -> None:
    """Nothing holds back who submits faster than the calls end."""
    gate, submitted = Gate(), list[None]()
    bounded: dict[str, Any] = {"backlog": 10}
    if hurts(kind):
        with pytest.raises(TypeError):
            kind(1, **bounded)  # type: ignore[call-arg]
        bounded = {}
    with kind(1, **bounded) as pool:  # type: ignore[call-arg]
        with move_on_after(SOON):
            for _ in range(1000):
                pool.submit(gate)
                submitted.append(None)
        assert (len(submitted) == 1000) is hurts(kind)
        pool.shutdown(wait=False, cancel_futures=True)
        gate.may_end.set()


@both
def test_map_reads_all_of_its_input(kind: type[Executor]) -> None:
    """It has to end; only from 3.14 on a bound may be asked for."""
    taken: list[int] = []
    limit = 1000

    def numbers() -> Any:
        for number in itertools.count():
            taken.append(number)
            if number == limit:
                raise OverflowError
            yield number

    with kind(1) as pool:  # type: ignore[call-arg]
        call: Callable[..., Any] = pool.map
        if hurts(kind) and sys.version_info < (3, 14):
            with pytest.raises(TypeError):
                call(str, numbers(), buffersize=4)
            with pytest.raises(OverflowError):
                call(str, numbers())
        else:
            results = call(str, numbers(), buffersize=4)
            assert [next(results) for _ in range(3)] == ["0", "1", "2"]
            assert len(taken) <= 8


# -------------------------------------------------------------------- 9: a traceback that grows


@both
def test_asking_again_makes_the_traceback_longer(kind: type[Executor]) -> None:
    """Every `result()` adds its frames to what is kept."""

    def length() -> int:
        try:
            future.result(PATIENCE)
        except ValueError as error:
            return len(traceback.extract_tb(error.__traceback__))
        raise AssertionError

    with kind(1) as pool:  # type: ignore[call-arg]
        future = pool.submit(failing)
        assert (length() < length()) is hurts(kind)


# -------------------------------------------------------------------- 10: a fork


@both
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_pool_in_the_child_of_a_fork(kind: type[Executor]) -> None:
    """It takes a call that nobody will ever do."""
    done = run(
        f"""
        import os, warnings
        from {NAMES[kind]} import {kind.__name__}
        warnings.simplefilter("ignore")
        pool = {kind.__name__}(1)
        pool.submit(int).result()
        child = os.fork()
        if child == 0:
            try:
                print(pool.submit(int, "5").result({SOON}), flush=True)
            except TimeoutError:
                print("nobody is there", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "nobody is there\n") is hurts(kind)
    assert done.stdout in ("nobody is there\n", "5\n")
