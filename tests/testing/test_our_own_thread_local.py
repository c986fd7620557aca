# A group may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""The end of what is in a `ThreadLocal` under every schedule: of tasks, threads and workers.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NoReturn
from unittest import mock

import pytest

from exploring import Composed, Fault, Model, at_one, race
from joinable import TaskGroup, ThreadLocal, run_all, run_each, spawn
from joinable import _batch as batch
from joinable import _closing as closing
from joinable import _eager as eager
from joinable import _lazy as lazy
from joinable import _running as running
from joinable import _shelf as shelf
from joinable import _thread as thread_module
from joinable import _workers as workers
from joinable._workers import IDLE, _Worker
from joinable.testing import ScheduleError, explore
from things import Thing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

WORKERS = (workers, closing)
TASKS = (running, closing)
THREADS = (running, thread_module, closing)
BATCHES = (batch, closing)
STREAMS = (lazy, closing)
LISTS = (eager, shelf, closing)


class Things:
    """What one program makes: it knows all of it, and whether it is closed."""

    def __init__(self, per: Literal["task", "thread"]) -> None:
        self.made: list[Thing] = []
        self.local = ThreadLocal(self.make, on_exit=Thing.close, per=per)

    def make(self) -> Thing:
        thing = Thing()
        self.made.append(thing)
        return thing

    def use(self, *_: object) -> Thing:
        """Look that what there is was made here, and is open."""
        thing = self.local.get()
        assert thing.made_by == threading.get_ident()
        assert not thing.is_closed()
        return thing

    def are_closed(self) -> bool:
        return all(thing.is_closed() for thing in self.made)


# -------------------------------------------------------------------- workers


def a_call_comes_when_a_worker_retires() -> None:
    """It has that worker, with what it has, or a new one; the exit closes what is left."""
    things = Things("thread")
    run_all([things.use])
    time.sleep(IDLE)
    run_all([things.use])
    workers._have_closed()
    assert things.are_closed()
    assert len(things.made) in (1, 2)


def the_exit_comes_when_a_worker_retires() -> None:
    """It finds the worker idle or leaving, or all is closed."""
    things = Things("thread")
    run_all([things.use])
    time.sleep(IDLE)
    workers._have_closed()
    assert things.are_closed()
    assert not workers._pool.leaving


def the_exit_comes_when_a_worker_is_spoiled() -> None:
    """It is not used again, and has closed everything when the exit goes on."""
    things = Things("thread")

    def leave() -> NoReturn:
        things.use()
        raise SystemExit

    with pytest.raises(SystemExit):
        run_all([leave])
    workers._have_closed()
    assert things.are_closed()


def a_call_comes_at_the_exit() -> None:
    """It is done, by the idle worker or by a new one; the exit closes what both have."""
    things = Things("thread")
    run_all([things.use])
    race(workers._have_closed, lambda: run_all([int]))
    workers._have_closed()
    assert things.are_closed()


# -------------------------------------------------------------------- the end of a task


def who_has_the_result_finds_all_closed() -> None:
    """Of threads and of groups, whoever waits and however."""
    things = Things("task")
    with TaskGroup(max_workers=1) as group:
        for task in (group.spawn(things.use), spawn(things.use)):
            assert task.result().is_closed()
    assert len({*things.made}) == 2


def a_callback_finds_all_closed() -> None:
    """And what it makes itself is not seen by the next call of that thread."""
    things = Things("task")
    gate = threading.Event()

    def look(done: object) -> None:
        assert done is first
        assert things.are_closed()
        things.use()

    with TaskGroup(max_workers=1) as group:
        first = group.spawn(lambda: (gate.wait(), things.use()))
        group.spawn(things.use)
        first.add_done_callback(look)
        gate.set()
    assert things.are_closed()
    assert len({*things.made}) == 3


def who_joins_finds_all_closed() -> None:
    """What belongs to the thread, too."""
    of_task, of_thread = Things("task"), Things("thread")
    thread = spawn(lambda: (of_task.use(), of_thread.use()))
    thread.result()
    assert of_task.are_closed()
    thread.join()
    assert of_thread.are_closed()
    assert len(of_task.made) == len(of_thread.made) == 1


def run_all_comes_back_when_all_is_closed() -> None:
    """On whichever threads its calls have run."""
    things = Things("task")
    made = run_all([things.use] * 2)
    assert len({*made}) == 2
    assert things.are_closed()


def run_all_fails_when_all_is_closed() -> None:
    """Also what belongs to a call that was stopped."""
    things = Things("task")

    def fail() -> NoReturn:
        things.use()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_all((things.use, fail, things.use))
    assert things.are_closed()


def a_result_of_a_stream_is_closed() -> None:
    """When it is given out; what its source has made, too."""
    things = Things("task")
    source = (number for number in range(2) if things.use().made_by)
    for thing in run_each(things.use, source, max_workers=2, buffersize=0):
        assert thing.is_closed()
    assert things.are_closed()
    assert len({*things.made}) == 4


def a_result_of_a_list_is_closed() -> None:
    """When it is given out; a lane that has something to close is told so."""
    things = Things("task")
    for thing in run_each(things.use, range(3), max_workers=2, buffersize=None):
        assert thing.is_closed()
    assert len({*things.made}) == 3


def a_result_of_a_piece_is_closed() -> None:
    """Of some calls in a row only one has something to close; another lane helps."""
    things = Things("task")

    def call(number: int) -> Thing | None:
        return things.use() if number == 2 else None

    with mock.patch.object(eager, "_QUICK", IDLE):  # so pieces become longer
        results = [*enumerate(run_each(call, range(5), max_workers=2, buffersize=None))]
    assert [number for number, thing in results if thing] == [2]


def an_error_of_a_list_comes_when_all_is_closed() -> None:
    """What the call had that failed; the lane goes on."""
    things = Things("task")

    def call(number: int) -> Thing:
        if number == 1:
            raise LookupError(things.use())
        return things.use()

    results = run_each(call, range(3), max_workers=2, buffersize=None, return_exceptions=True)
    for result in results:
        thing = result if isinstance(result, Thing) else result.args[0]
        assert thing.is_closed()
    assert len(things.made) == 3


def a_task_ends_when_it_is_cancelled() -> None:
    """What it has is closed, once, whoever is first."""
    things = Things("task")
    with TaskGroup() as group:
        task = group.spawn(things.use)
        at_one(task.cancel)()
    assert things.are_closed()


# Bound 0: more would cost seconds each. Every schedule of two preemptions is run by the soak.
MODELS = [
    Model(a_call_comes_when_a_worker_retires, WORKERS),
    Model(the_exit_comes_when_a_worker_retires, WORKERS),
    Model(the_exit_comes_when_a_worker_is_spoiled, WORKERS),
    Model(a_call_comes_at_the_exit, WORKERS, bound=0),
    Model(who_has_the_result_finds_all_closed, TASKS, bound=0),
    Model(a_callback_finds_all_closed, TASKS),
    Model(who_joins_finds_all_closed, THREADS),
    Model(run_all_comes_back_when_all_is_closed, BATCHES, bound=0),
    Model(run_all_fails_when_all_is_closed, BATCHES, bound=0),
    Model(a_result_of_a_stream_is_closed, STREAMS, bound=0),
    Model(a_result_of_a_list_is_closed, LISTS, bound=0),
    Model(a_result_of_a_piece_is_closed, LISTS, bound=0),
    Model(an_error_of_a_list_comes_when_all_is_closed, LISTS, bound=0),
    Model(a_task_ends_when_it_is_cancelled, TASKS),
]

FAULTS = {
    "a worker that retires is not listed": Fault(
        _Worker,
        "_next",
        "pool.leaving[thread] = None",
        "pass",
        the_exit_comes_when_a_worker_retires,
    ),
    "a spoiled worker is not listed": Fault(
        _Worker,
        "_do",
        "pool.leaving[thread] = None",
        "pass",
        the_exit_comes_when_a_worker_is_spoiled,
    ),
    "a spoiled worker is listed when it has told": Fault(
        _Worker,
        "_do",
        "else:\n        pool.leaving[thread] = None"
        "  # before anybody is told: the exit looks for it there\n"
        "    if mine:\n        job.after(job)\n",
        "if mine:\n        job.after(job)\n"
        "    if not clean:\n        pool.leaving[thread] = None\n",
        the_exit_comes_when_a_worker_is_spoiled,
    ),
    "a worker says that it has left before it has closed": Fault(
        _Worker,
        "live",
        "    record.end_thread()\n    pool.leaving.pop(thread, None)\n",
        "    pool.leaving.pop(thread, None)\n    record.end_thread()\n",
        the_exit_comes_when_a_worker_retires,
    ),
    "a worker closes nothing": Fault(
        _Worker,
        "live",
        "record.end_thread()",
        "pass",
        a_call_comes_when_a_worker_retires,
    ),
    "the exit does not look among the leaving": Fault(
        workers,
        "_have_closed",
        ", *pool.leaving]",
        "]",
        the_exit_comes_when_a_worker_retires,
    ),
    "a task is closed when its outcome is there": Fault(
        running.Running,
        "_run_body",
        "_end_in(launch, context, record)",
        "pass",
        who_has_the_result_finds_all_closed,
    ),
    "what a callback has made stays": Fault(
        running.Running,
        "_run_body",
        "record.end_task()",
        "pass",
        a_callback_finds_all_closed,
    ),
    "a call of run_all is closed at the end of its lane": Fault(
        batch.Batch,
        "_call",
        "if record.task:",
        "if False:",
        run_all_comes_back_when_all_is_closed,
    ),
    "a call of a stream is closed at the end of its lane": Fault(
        lazy.Lazy,
        "_call_some",
        "if of_task:",
        "if False:",
        a_result_of_a_stream_is_closed,
    ),
    "a lane of a list is not told that there is something to close": Fault(
        eager.Eager,
        "call_all",
        "functools.partial(self._withhold, threading.current_thread())",
        "None",
        a_result_of_a_list_is_closed,
    ),
    "a result of a list is not held back": Fault(
        shelf.Piece,
        "withhold",
        "self.withheld = len(self.results)",
        "pass",
        a_result_of_a_list_is_closed,
    ),
    "a lane that holds a result back does not look there": Fault(
        shelf.Piece,
        "withhold",
        "sleepers[-1 - self.start] = None",
        "pass",
        a_result_of_a_list_is_closed,
    ),
    "a whole piece is given out though some is held back": Fault(
        shelf.Piece,
        "_is_whole",
        " and self.withheld is None",
        "",
        a_result_of_a_list_is_closed,
    ),
    "what was held back is not given out": Fault(
        shelf.Piece, "publish", "self.withheld = None", "pass", a_result_of_a_list_is_closed
    ),
    "the sleeper is woken before that is given out": Fault(
        eager.Eager,
        "_after",
        "        record.end_task(context.run)\n        piece.publish(self.shelf.sleepers)\n"
        "    self.shelf.wake(piece.start + len(piece.results) - 1)\n",
        "        self.shelf.wake(piece.start + len(piece.results) - 1)\n"
        "        record.end_task(context.run)\n        piece.publish(self.shelf.sleepers)\n",
        a_result_of_a_list_is_closed,
    ),
    "an error of a list comes first": Fault(
        eager.Eager,
        "_call",
        "            if record.task:\n                record.end_task(context.run)\n"
        "            self._put_failure(piece, error)\n"
        "            self._after(piece, context, record)\n",
        "            piece.withheld = None\n"
        "            self._put_failure(piece, error)\n"
        "            self._after(piece, context, record)\n",
        an_error_of_a_list_comes_when_all_is_closed,
    ),
    "what a source has made goes on to the call": Fault(
        lazy,
        "_take_one",
        "if record.task:",
        "if False:",
        a_result_of_a_stream_is_closed,
    ),
}


LISTED = "            pool.leaving[thread] = None\n"
SETTLED = '            if self.box.setdefault("job", _NO_MORE) is not _NO_MORE:\n'
GIVEN = "                del pool.leaving[thread]  # at the last moment\n"
LISTED_TOO_LATE = SETTLED.replace("is not", "is") + "    " + LISTED


class TestThreadLocal(Composed):
    models = MODELS
    faults = FAULTS

    def test_a_worker_that_is_listed_too_late_is_found(
        self, fault: Callable[[Any, str, str, str], None]
    ) -> None:
        """By four switches, in that function: by chance at every bytecode they are rare."""
        fault(_Worker, "_next", LISTED + SETTLED + GIVEN, LISTED_TOO_LATE)
        program = a_call_comes_when_a_worker_retires
        with pytest.raises(ScheduleError):
            explore(program, watch=(_Worker._next,), strategy="pct", runs=1000)
