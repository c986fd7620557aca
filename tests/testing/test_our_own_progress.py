"""What a run tells its progress object, under every schedule: all calls, one at a time, one end.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from exploring import Composed, Fault, Model, SmallParts, together
from joinable import _meter, _progress, run_all, run_each, sleep
from joinable._meter import Meter

if TYPE_CHECKING:
    from collections.abc import Callable


class Shown:
    """A progress object that loses counts when two threads are in it."""

    def __init__(self) -> None:
        self.total: int | None = -1
        self.ended = 0
        self.finished = 0
        self.wrong: list[int] = []  # what it raises itself is no failure of a run

    def start(self, total: int | None) -> None:
        assert self.total == -1
        self.total = total

    def advance(self, n: int) -> None:
        if n < 1 or self.finished:
            self.wrong.append(n)
        ended = self.ended
        self.ended = ended + n

    def finish(self) -> None:
        self.finished += 1


WATCH = (_meter, Shown)
RUNS = (_meter, _progress, Shown)


def begun(shown: Shown) -> Meter:
    """Make a meter for the object, and start it."""
    meter = Meter(shown, "a model")
    meter.start(None)
    return meter


def three_calls_end_at_once() -> None:
    """When nobody tells any more, all has been told, though nothing comes after."""
    shown = Shown()
    meter = begun(shown)
    together(meter.count, meter.count, meter.count)
    assert shown.ended == 3
    meter.close()
    assert (shown.ended, shown.finished, shown.wrong) == (3, 1, [])


def one_thread_ends_calls_and_another_one() -> None:
    """The same, where one that tells is met by calls again and again."""
    shown = Shown()
    meter = begun(shown)

    def twice() -> None:
        meter.count()
        meter.count()

    together(twice, twice)
    assert shown.ended == 4
    meter.close()
    assert (shown.ended, shown.finished, shown.wrong) == (4, 1, [])


def the_run_is_over_while_calls_end() -> None:
    """What had ended before is told, nothing after the end, and that once, whoever says so."""
    shown = Shown()
    meter = begun(shown)
    meter.count()
    together(meter.count, meter.close, meter.close)
    assert shown.finished == 1
    assert shown.ended in {1, 2}
    meter.count()
    assert shown.finished == 1
    assert not meter._news
    assert not shown.wrong


def calls_of_all_end() -> None:
    """All are told by the time that the results are there."""
    shown = Shown()
    assert run_all([int, int, int], progress=shown) == [0, 0, 0]
    assert (shown.total, shown.ended, shown.finished) == (3, 3, 1)


def calls_of_each_end(buffersize: int | None, *, ordered: bool = True) -> None:
    """The same, at the end of the stream."""
    shown = Shown()
    results = run_each(
        abs, range(3), max_workers=2, buffersize=buffersize, ordered=ordered, progress=shown
    )
    assert sorted(results) == [0, 1, 2]
    assert (shown.total, shown.ended, shown.finished) == (3, 3, 1)


def calls_of_each_end_in_a_window() -> None:
    """In order, in a window of two."""
    calls_of_each_end(0)


def calls_of_each_end_without_a_bound() -> None:
    """All the input is there."""
    calls_of_each_end(None)


def calls_of_each_end_as_completed() -> None:
    """In any order."""
    calls_of_each_end(None, ordered=False)


def a_stream_is_left(how: Callable[[list[object]], object]) -> None:
    """It is finished, once, when calls have ended, were stopped, or have not begun."""
    shown = Shown()
    results = run_each(sleep, [0, 1000, 1000], max_workers=2, progress=shown)
    assert next(results) is None
    left: list[object] = [results]
    del results
    how(left)
    time.sleep(1)  # nobody waits for the end of one that was dropped
    assert shown.finished == 1
    assert not any(thread.name.startswith("run_each") for thread in threading.enumerate())


def a_stream_is_closed() -> None:
    """By who iterates."""
    a_stream_is_left(lambda left: left[0].close())  # type: ignore[attr-defined]


def a_stream_is_dropped() -> None:
    """By a finalizer, which does not call the object."""
    a_stream_is_left(lambda left: left.clear())


METERS = [
    Model(three_calls_end_at_once, WATCH),
    Model(one_thread_ends_calls_and_another_one, WATCH),
    Model(the_run_is_over_while_calls_end, WATCH),
]

FAULTS = {
    "nobody looks again after taking itself out": Fault(
        Meter, "_drain", "while self._news:", "if self._news:", three_calls_end_at_once
    ),
    "two tell at once": Fault(
        Meter,
        "_drain",
        'if self._claim.setdefault("by", mine) is not mine:',
        "if False:",
        three_calls_end_at_once,
    ),
    "no news are taken for the end": Fault(
        Meter, "_tell", "elif news:", "else:", one_thread_ends_calls_and_another_one
    ),
    "calls that end behind the end are told": Fault(
        Meter,
        "_tell",
        "del self._news[: len(news)]\n",
        "del self._news[: len(news)]; run(self._advance, len(news))\n",
        the_run_is_over_while_calls_end,
    ),
    "more is told than was taken": Fault(
        Meter,
        "_tell",
        "run(self._advance, calls)",
        "run(self._advance, calls + len(self._news))",
        three_calls_end_at_once,
    ),
}

STREAMS = [
    Model(calls_of_all_end, RUNS, bound=0),
    Model(calls_of_each_end_in_a_window, RUNS, bound=0),
    Model(calls_of_each_end_without_a_bound, RUNS, bound=0),
    Model(calls_of_each_end_as_completed, RUNS, bound=0),
    Model(a_stream_is_closed, RUNS, bound=0),
    Model(a_stream_is_dropped, RUNS, bound=0),
]

FAULTS_OF_STREAMS = {
    "nobody is told that a stream was dropped": Fault(
        _progress.Watched, "drop", "self._tell_service()", "pass", a_stream_is_dropped
    ),
    "a stream that is closed is not finished": Fault(
        _progress.Watched, "close", "self._end()", "pass", a_stream_is_closed
    ),
}


class TestMeter(SmallParts):
    models = METERS
    faults = FAULTS


class TestRuns(Composed):
    models = STREAMS
    faults = FAULTS_OF_STREAMS
    runs = 20
