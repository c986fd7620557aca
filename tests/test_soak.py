"""Free-running races: thousands of rounds in `nox -s soak`, a few of each with the other tests."""

from __future__ import annotations

import concurrent.futures
import functools
import gc
import random
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from joinable import CancelledError, Task, Thread, run_all, spawn

if TYPE_CHECKING:
    from collections.abc import Callable

SHORT_AND_LONG = pytest.mark.parametrize(
    "rounds", [60, pytest.param(6000, marks=pytest.mark.soak)], ids=["short", "long"]
)


class BoomError(Exception):
    """What the calls of these tests raise."""


def ask(task: Task[int], timeout: float | None) -> str:
    """Say in a word how asking for the result ended."""
    try:
        return str(task.result(timeout))
    except CancelledError:
        return "cancelled"
    except TimeoutError:
        return "late"
    except BoomError:
        return "boom"


def see_callback(task: Task[int]) -> str:
    """Say in a word what a done callback saw; wait for it."""
    seen: list[str] = []
    called = threading.Event()

    def callback(done: object) -> None:
        assert done is task
        seen.append(ask(task, 0))
        called.set()

    task.add_done_callback(callback)
    assert called.wait(60)
    return seen[0]


def see_wait(task: Task[int]) -> str:
    done, _ = concurrent.futures.wait([task], timeout=60)
    assert done == {task}
    return ask(task, 0)


@SHORT_AND_LONG
def test_everybody_who_asks_at_any_moment_sees_the_same_outcome(rounds: int) -> None:
    chance = random.Random(rounds)  # noqa: S311  to be repeated, not secret
    for _ in range(rounds):
        outcome = chance.choice(["7", "boom", "cancelled"])
        task = Task[int]()
        askers: list[Callable[[Task[int]], str]] = [
            functools.partial(ask, timeout=None),
            functools.partial(ask, timeout=chance.choice([0, 1e-5, 1e-4])),
            see_callback,
            see_wait,
        ]
        together = threading.Barrier(len(askers) + 1)

        def started(
            asker: Callable[[Task[int]], str],
            task: Task[int] = task,
            together: threading.Barrier = together,
        ) -> str:
            together.wait(60)
            return asker(task)

        threads = [spawn(started, asker) for asker in askers]
        together.wait(60)
        complete(task, outcome)
        words = [thread.result(60) for thread in threads]
        assert words[1] in {outcome, "late"}
        assert {words[0], *words[2:]} == {outcome}
        for thread in threads:
            thread.join()


def complete(task: Task[int], outcome: str) -> None:
    if outcome == "cancelled":
        assert task.cancel()
    elif outcome == "boom":
        task.set_exception(BoomError())
    else:
        task.set_result(int(outcome))


@SHORT_AND_LONG
def test_every_error_is_taken_or_reported_exactly_once(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are asked for, some collected, some kept until their time is up, some by several."""
    reports: Counter[int] = Counter()
    lock, reported = threading.Lock(), threading.Semaphore(0)

    def hook(arguments: threading.ExceptHookArgs) -> None:
        assert arguments.exc_value is not None
        with lock:
            reports[arguments.exc_value.args[0]] += 1
        reported.release()

    class Quick(Thread[int]):
        report_after = 0.002

    def fail(number: int) -> int:
        raise BoomError(number)

    monkeypatch.setattr(threading, "excepthook", hook)
    chance = random.Random(rounds)  # noqa: S311  to be repeated, not secret
    expected: set[int] = set()
    kept: list[Thread[int]] = []
    for number in range(rounds):
        thread = Quick(target=fail, args=(number,))
        asked = chance.random() < 0.5
        if asked:
            thread.add_done_callback(lambda _: None)
        else:
            expected.add(number)
        thread.start()
        if chance.random() < 0.5:
            kept.append(thread)
        if chance.random() < 0.1:
            del thread
            gc.collect()
    gc.collect()
    for _ in expected:
        assert reported.acquire(timeout=60)
    assert set(reports) == expected
    assert set(reports.values()) <= {1}
    for failed in kept:
        failed.join()


@SHORT_AND_LONG
def test_run_all_of_anything_gives_what_a_loop_would(rounds: int) -> None:
    chance = random.Random(rounds)  # noqa: S311  to be repeated, not secret
    for _ in range(rounds):
        count = chance.randrange(12)
        bad = {number for number in range(count) if chance.random() < 0.05}
        calls = [functools.partial(one, number, number in bad) for number in range(count)]
        workers = chance.choice([None, 1, 2, 5])
        failed: int | None = None
        results: list[int] | None = None
        try:
            results = run_all(calls, max_workers=workers)
        except BoomError as error:
            failed = error.args[0]
        if bad:
            assert failed in bad
        else:
            assert results == list(range(count))
        assert not [t for t in threading.enumerate() if t.name.startswith("run_all")]


def one(number: int, bad: bool) -> int:
    if bad:
        raise BoomError(number)
    return number
