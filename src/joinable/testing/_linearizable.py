# pyright: reportPrivateUsage=false
"""Check that an object used by several threads behaves as if each call happened at one instant.

That is linearizability (Herlihy and Wing, 1990): whatever the threads do, there is one order of all
the calls, in which no call comes before one that had returned when it was made, and in which a
plain sequential model gives the same results. The histories come from `explore`, so they are those
of every schedule tried, and one that fits no order is shrunk and replayed like any failure.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, cast

from joinable.testing import _scheduler, _takeover
from joinable.testing._explore import explore, replay
from joinable.testing._history import Call, History
from joinable.testing._orders import Search, SearchLimitError
from joinable.testing._report import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from joinable.testing._report import Report
    from joinable.testing._scheduler import Scheduler

    Written = str | tuple[object, ...] | Call

#: More sets of operations than these cannot be searched in the time of a run.
WIDEST = 20_000


class LinearizabilityError(AssertionError):
    """A history that no order of its operations explains.

    Example:
        >>> import queue
        >>> from joinable.testing import LinearizabilityError, ScheduleError, check_linearizable
        >>> class Stack(queue.SimpleQueue):
        ...     def put(self, item):
        ...         super().put(item)
        ...         return self.qsize()
        >>> class Model:
        ...     size = 0
        ...     def put(self, item):
        ...         self.size += 1
        ...         return self.size
        >>> try:
        ...     _ = check_linearizable(Stack, [[("put", 1)], [("put", 2)]], Model, watch=[Stack])
        ... except ScheduleError as found:
        ...     print(isinstance(found.__cause__, LinearizabilityError))
        True

    Attributes:
        timeline: The operations, when each began and ended, and what came of it.
        explanation: The longest order that fits, and why nothing can come after it.
    """

    def __init__(self, timeline: str, explanation: str, blocked: Sequence[str]) -> None:
        self.timeline = timeline
        self.explanation = explanation
        stuck = "".join(f"\n    {line}" for line in blocked)
        super().__init__(
            f"no order of these operations fits the model:\n{timeline}\n{explanation}"
            + (f"\nBlocked for ever:{stuck}" if blocked else "")
        )


def check_linearizable(  # noqa: PLR0913  (all but the first three are keywords)
    make: Callable[[], object],
    operations: Iterable[Iterable[Written]],
    model: Callable[[], object],
    *,
    after: Iterable[Written] = (),
    watch: Iterable[object] = (),
    runs: int = 1000,
    strategy: Literal["random", "pct", "dfs"] = "pct",
    preemptions: int = 2,
    seed: int = 0,
    max_steps: int = 100_000,
    schedule: str | None = None,
) -> Report:
    """Call an object from several threads under many schedules; raise when no order explains it.

    In each run `make()` gives a new object, each sequence of `operations` is called on it by a
    thread of its own, and then an order of all calls is looked for in which `model()`, a plain
    class with the same methods, answers the same. An order must keep one call before another
    where the one had returned before the other was made.

        >>> import threading
        >>> from joinable.testing import check_linearizable
        >>> class Counter:
        ...     def __init__(self):
        ...         self.value, self.lock = 0, threading.Lock()
        ...     def add(self, amount):
        ...         with self.lock:
        ...             self.value += amount
        ...             return self.value
        >>> class Model:
        ...     value = 0
        ...     def add(self, amount):
        ...         self.value += amount
        ...         return self.value
        >>> check_linearizable(
        ...     Counter, [[("add", 1), ("add", 2)], [("add", 3)]], Model, strategy="dfs"
        ... ).exhausted
        True

    Args:
        make: Makes the object: a class or a function, called in each run. Threads that the object
            starts must be daemons, or end when an operation says so.
        operations: For each thread its operations: `Call("put", 1, block=False)`, or
            `("put", 1)`, or just `"get"`.
        model: Makes the model. It is never used by two threads, must answer the same calls the
            same way each time, and keeps its state in its attributes and items. A method raises
            `WouldBlock` where the real one would wait until something changes.
        after: Operations called one by one by a last thread, when the others have ended or are
            blocked for ever: to look at what is left.
        watch: As for `explore`. A class that does without locks must be named here: where it has
            no points, no thread can come between.
        runs: As for `explore`.
        strategy: As for `explore`.
        preemptions: As for `explore`.
        seed: As for `explore`.
        max_steps: As for `explore`.
        schedule: Run only this schedule, from a `ScheduleError`.

    Returns:
        What was run, when every history fits.

    Raises:
        ScheduleError: From a `LinearizabilityError`, which shows the history as a timeline and
            the longest order that fits; or from any other failure, as in `explore`.
        SearchLimitError: A history has too many orders to search.
        TypeError: An operation is not one, or the object or the model has no such method.
        ValueError: There are no operations, or too many side by side.

    Results agree when they are equal, exceptions when they are of exactly the same type: what is
    said in them is seldom promised. Values that are returned must not change later. An exception
    above `Exception` that leaves an operation is a failure.

    A call that is still blocked when nothing can go on must be one for which the model raises
    `WouldBlock` after all calls that did return: so a lost wake-up is found, and a call that has
    had its effect and then hangs. A model that never raises it says that no call may block.

    Cost: that of `explore`, and a search for each run (Wing and Gong, 1993) that grows with the
    product of the number of operations of each thread plus one, at most 20 000 here: exponential
    in the number of threads, not in the length.
    """
    program = _Program(make, _threads(operations), _calls(after, "after"), model)
    try:
        if schedule is not None:
            report = replay(program, schedule, watch=watch, max_steps=max_steps)
        else:
            report = explore(
                program,
                watch=watch,
                runs=runs,
                strategy=strategy,
                preemptions=preemptions,
                seed=seed,
                max_steps=max_steps,
            )
    finally:
        # Rather than the ScheduleError that a run cut short may have led to.
        if program.refused is not None:
            raise program.refused
    return report


def _threads(operations: Iterable[Iterable[Written]]) -> list[list[Call]]:
    threads: list[list[Call]] = []
    sets = 1
    for thread in operations:
        if isinstance(thread, (str, Call)):
            raise TypeError(
                f"operations= takes a sequence for each thread, not the operation {thread!r}: "
                "put it into a list of its own"
            )
        threads.append(_calls(thread, f"thread {len(threads) + 1}"))
        sets *= len(threads[-1]) + 1
    if sets == 1:
        raise ValueError("operations= is empty: nothing would be checked")
    if sets > WIDEST:
        raise ValueError(
            f"operations= can have been done in {sets} combinations, more than the {WIDEST} that "
            "can be searched: use fewer threads, or fewer operations in each"
        )
    return threads


def _calls(written: Iterable[Written], where: str) -> list[Call]:
    return [_call(operation, where) for operation in written]


def _call(written: object, where: str) -> Call:
    if isinstance(written, Call):
        return written
    if isinstance(written, str):
        return Call(written)
    if isinstance(written, tuple) and written and isinstance(written[0], str):
        name, *args = cast("tuple[object, ...]", written)
        return Call(str(name), *args)
    raise TypeError(
        f"{written!r}, in {where}, is no operation: "
        "write Call('put', 1), or ('put', 1), or 'get' for one without arguments"
    )


class _Program:
    """What is explored: make the object, call it from all threads, look for an order."""

    def __init__(
        self,
        make: Callable[[], object],
        threads: list[list[Call]],
        after: list[Call],
        model: Callable[[], object],
    ) -> None:
        self._make, self._threads, self._after, self._model = make, threads, after, model
        #: An error of whoever has written the check, which no schedule is to blame for.
        self.refused: Exception | None = None
        # Where the exploration looks for locks that belong to it.
        self.__module__: str = getattr(make, "__module__", None) or __name__

    def __call__(self) -> None:
        """Run once."""
        scheduler = _scheduler.here()
        if scheduler is None or self.refused is not None:
            return
        # `queue.SimpleQueue` was the real one when it was handed to us.
        make: Any = _takeover._replacements().get(id(self._make), self._make)
        target, history = make(), History()
        try:
            for one in (target, self._model()):
                self._check_methods(one)
        except TypeError as error:
            self.refused = error
            return
        threads = {f"thread {number}": calls for number, calls in enumerate(self._threads, 1)}
        ended = _start_all(scheduler, history, target, threads)
        complete = ended.wait(scheduler)
        if self._after:
            last = _start_all(scheduler, history, target, {"after": self._after}).wait(scheduler)
            # What was blocked may have been woken by it.
            complete = ended.wait(scheduler) and last
        self._judge(scheduler, history, stuck=not complete)

    def _check_methods(self, target: object) -> None:
        for call in (call for calls in (*self._threads, self._after) for call in calls):
            if not callable(getattr(target, call.name, None)):
                raise TypeError(f"{target!r} has no method {call.name!r}, which operations= calls")

    def _judge(self, scheduler: Scheduler, history: History, *, stuck: bool) -> None:
        # The model is nobody's business but ours: it reaches no points.
        scheduler.current.quiet += 1
        try:
            search = Search(history, self._model)
            if search.fits():
                return
            blocked = scheduler.blocked() if stuck else []
            raise LinearizabilityError(_indented(history), search.explain(), blocked)
        except SearchLimitError as error:
            self.refused = error
        finally:
            scheduler.current.quiet -= 1

    def write_replay(self, schedule: str, watched: str) -> str:
        """Write the call that runs a schedule again."""
        after = f", after={self._after!r}" if self._after else ""
        return (
            f"check_linearizable({name_of(self._make)}, {self._threads!r}, "
            f"{name_of(self._model)}{after}, schedule={schedule!r}{watched})"
        )


class _Ended:
    """That all of some threads have ended: waited for without a lock, and so without a point."""

    def __init__(self, left: int) -> None:
        self.left = left

    def ready(self) -> bool:
        """Tell whether all have ended."""
        return not self.left

    def describe(self) -> str:
        """Name it."""
        return "the operations to end"

    def wait(self, scheduler: Scheduler) -> bool:
        """Wait until all have ended; False when nobody can go on and some have not.

        Timeouts are virtual and the clock moves when nobody can go on: this one fires last.
        """
        return self.ready() or scheduler.block(self, scheduler.now + threading.TIMEOUT_MAX)


def _start_all(
    scheduler: Scheduler, history: History, target: object, threads: dict[str, list[Call]]
) -> _Ended:
    """Make all calls, each sequence in a thread of its own."""
    ended = _Ended(len(threads))

    def run(name: str, calls: list[Call]) -> None:
        for number, call in enumerate(calls):
            if number:
                # Between two calls the others may do anything, also where a call has no points.
                scheduler.point()
            history.record(name, call, target)
        ended.left -= 1

    for name, calls in threads.items():
        # Daemons: those that are blocked for ever are no deadlock if the model agrees.
        threading.Thread(target=run, args=(name, calls), name=name, daemon=True).start()
    return ended


def _indented(history: History) -> str:
    return "".join(f"    {line}\n" for line in history.timeline().splitlines())[:-1]
