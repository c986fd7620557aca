"""`ThreadPool`: an executor whose tasks can be waited for, cancelled and relied on.

What it promises:

- It is a `concurrent.futures.Executor`: what takes one takes it.
- Each call runs in its own copy of the context in which it was submitted, on every build, and obeys
  the scope that was in force there.
- Leaving its block waits for all calls. Leaving it by an error, a cancelled scope around it or
  Ctrl-C cancels those that wait, tells those that run to stop, and waits for these.
- A call that waits for another one of the pool lends its place meanwhile.
- Nothing is begun after `shutdown` has returned.

`_staff` tells who may run between which lines.
"""

from __future__ import annotations

import itertools
from concurrent.futures._base import Executor
from types import FunctionType

from joinable import _chain, _events, _pools
from joinable._check import (
    COROUTINE_FLAGS,
    check_callable,
    check_count,
    check_flag,
    check_workers,
    name_of,
    short,
    some_workers,
    steady,
)
from joinable._errand import Errand
from joinable._staff import Staff
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Literal, Self

    from joinable._statistics import PoolStatistics
    from joinable._task import Task
    from joinable._typing import P, T

__all__ = ["ThreadPool"]

_numbers = itertools.count(1)
_SHUTDOWN = "shutdown"


class ThreadPool(Executor):
    """Run calls on a bounded number of threads, as `concurrent.futures.ThreadPoolExecutor` does.

    Example:
        >>> from joinable import ThreadPool
        >>> with ThreadPool(4) as pool:
        ...     task = pool.submit(pow, 2, 10)
        ...     powers = list(pool.map(pow, [2, 3], [5, 2]))
        >>> task.result(), powers
        (1024, [32, 9])

    What `submit` returns is a `Task`: it can be told to stop while it runs, obeys the scope in
    which it was submitted, and an error of it that nobody asks for goes to `threading.excepthook`.

    Leaving the block waits for all calls. When an error leaves it, or Ctrl-C, or a scope around it
    is cancelled, the calls that wait are cancelled, those that run are asked to stop, and are
    waited for.

    Args:
        max_workers: Run so many calls at a time at most. A call that waits for the result of
            another one of the pool does not count meanwhile. None: four more than there are
            processors, and no more than 32, as a `ThreadPoolExecutor` has from 3.13 on.
        name: The name of the pool, with which those of its threads and tasks begin.
        backlog: Let so many calls wait for a thread at most: a `submit` for which there is no room
            waits. None: as many as there is memory for.

    Raises:
        TypeError, ValueError: An argument is of the wrong kind.

    Exit: the interpreter waits at its end until every pool has done what it was given; Ctrl-C
    meanwhile cancels that. Fork: in the child it is a new pool, with nothing to do.

    Thread-safety: every method may be called by any thread at any time.

    Cost: a call that is submitted with many others costs a fifth to a third of what it costs with a
    `ThreadPoolExecutor`. Threads are started when they are needed, and used again by all of the
    library when the pool has had nothing to do for a second.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        name: str | None = None,
        backlog: int | None = None,
    ) -> None:
        """Make a pool that has no threads yet."""
        check_workers(max_workers, "as many as suit this machine")
        if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"name must be a text, not {short(name)}")
        if backlog is not None:
            check_count(backlog, "backlog", 1)
        self._name = name or f"ThreadPool-{next(_numbers)}"
        self._max_workers = some_workers() if max_workers is None else max_workers  # dask reads it
        self._backlog = backlog
        self._numbers = itertools.count(1)
        self._staff = Staff(self._max_workers, backlog, self._name)
        _pools.enter(self._staff, self)

    @property
    def name(self) -> str:
        """The pool's name; its tasks are named `name-1 (fn)` and so on, its threads `name_0`.

        Example:
            >>> from joinable import ThreadPool
            >>> with ThreadPool(name="mail") as pool:
            ...     task = pool.submit(len, "hello")
            >>> pool.name, task.name
            ('mail', 'mail-1 (len)')
        """
        return self._name

    @override
    @steady
    def __repr__(self) -> str:
        staff = self._staff
        state = f"closed by {staff.closed}" if staff.closed else "open"
        counts = f"{staff.busy()} running, {len(staff.todo)} waiting"
        return f"<{type(self).__name__} {self._name}: {state}; {counts}>"

    def statistics(self) -> PoolStatistics:
        """Return how many calls run, wait and have ended, and how many threads there are.

        Example:
            >>> from joinable import ThreadPool
            >>> with ThreadPool(2) as pool:
            ...     results = list(pool.map(abs, range(3)))
            >>> pool.statistics().submitted, pool.statistics().done
            (3, 3)

        Thread-safety: may be called by any thread at any time. What happens meanwhile may be in one
        number and not in the other: a call that goes to its thread at this very moment may count as
        done. To take a lock for that would make each call dearer.

        Cost: some microseconds, and nobody waits for it.
        """
        from joinable._statistics import PoolStatistics  # noqa: PLC0415  few ask for it

        staff = self._staff
        # How often `next` was called; an iterator tells it in no other way.
        submitted = int(repr(self._numbers)[len("count(") : -1]) - 1 - staff.refused
        # In the order in which a call goes through them: so it is counted twice rather than not at
        # all, which would make it one that has ended.
        waiting, running = len(staff.todo), staff.busy()
        return PoolStatistics(
            state=staff.closed or "open",
            submitted=submitted,
            running=running,
            waiting=waiting,
            done=max(0, submitted - running - waiting),
            failed=staff.failed,
            threads=len(staff.lanes),
            idle=len(staff.parked),
            max_workers=self._max_workers,
            backlog=self._backlog,
        )

    # ---------------------------------------------------------------- giving it something to do

    @override
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Task[T]:
        """Have `fn(*args, **kwargs)` run in a thread of the pool, in a copy of this context.

        Calls begin in the order in which they were submitted. A call of the pool may submit others
        and wait for their results: it lends its place meanwhile.

        Example:
            >>> from joinable import ThreadPool
            >>> with ThreadPool(2) as pool:
            ...     tasks = [pool.submit(pow, 2, n) for n in range(4)]
            >>> [task.result() for task in tasks]
            [1, 2, 4, 8]

        Args:
            fn: What to call.
            args: Its arguments.
            kwargs: Its arguments by name.

        Returns:
            The task at once; its `result()` waits for the call. With a `backlog`, as soon as there
            is room.

        Raises:
            TypeError: `fn` cannot be called, or is a coroutine function.
            RuntimeError: The pool was shut down, or the system can start no thread at all.
            Cancelled: With a `backlog`: a scope in force asks the caller to stop; it has not been
                submitted.
        """
        if type(fn) is FunctionType and not fn.__code__.co_flags & COROUTINE_FLAGS:
            called = fn.__name__
        else:
            check_callable(fn, "fn")
            called = name_of(fn)
        staff = self._staff
        errand: Errand[T] = Errand(staff, next(self._numbers), called, fn, args, kwargs)
        if _events.observers:
            _events.spawning(errand)
        if self._backlog is None:
            staff.add(errand)  # type: ignore[arg-type]  # a task gives out a T, and takes none
        else:
            staff.add_in_turn(errand)  # type: ignore[arg-type]
        return errand

    @override
    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[object],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Call `fn` with one item of each iterable at a time; return the results, in order.

        As `Executor.map` of the standard library, with its `buffersize` on every version. For more,
        and for less time a call, there is `run_each`.

        Example:
            >>> from itertools import count, islice
            >>> from joinable import ThreadPool
            >>> with ThreadPool(2) as pool:
            ...     list(islice(pool.map(str, count(), buffersize=4), 3))
            ['0', '1', '2']

        Args:
            fn: What to call.
            iterables: Where the arguments come from; at least one. The shortest one ends it.
            timeout: Seconds from now on in which a result must be there. None: as long as it takes.
            chunksize: There for the standard library's signature; threads take one call at a time.
            buffersize: Submit so many calls at first, and another one for each result that is
                taken: so the input may be endless. None: all of the input is read here and now.

        Returns:
            An iterator of the results. When it is closed, or an error comes out of it, what waits
            is cancelled, and what runs is asked to stop.

        Raises:
            TypeError, ValueError: An argument is of the wrong kind; nothing has been submitted.
            RuntimeError: The pool was shut down.
            BaseException: By the iterator: the error of a call, in its place.
            DeadlineExceeded: By the iterator: a result was not there in time.
            Cancelled: By the iterator: a scope in force asks the caller to stop.
        """
        from joinable._pool_map import results  # noqa: PLC0415  not every pool maps

        return results(self.submit, fn, iterables, timeout, chunksize, buffersize)

    # ---------------------------------------------------------------- the end

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and wait for those that were taken.

        Ctrl-C, or a scope in force that is cancelled, cancels the calls that wait and asks those
        that run to stop; they are waited for. A second Ctrl-C leaves at once, and names what runs.

        Example:
            >>> from joinable import ThreadPool
            >>> pool = ThreadPool(2)
            >>> task = pool.submit(pow, 2, 3)
            >>> pool.shutdown()
            >>> task.result()
            8

        Args:
            wait: Whether to wait. What was taken is done in any case.
            cancel_futures: Whether to cancel the calls that have not begun.

        Raises:
            RuntimeError: One of the pool's own calls would wait for its own end.
            Cancelled: A scope in force asks the caller to stop.
            KeyboardInterrupt: Ctrl-C. The first one is raised when all has ended, the second at
                once, with a note that names the calls that it left.
        """
        check_flag(wait, "wait")
        check_flag(cancel_futures, "cancel_futures")
        staff = self._staff
        self._refuse_to_wait(wait=wait)
        staff.close(_SHUTDOWN)
        if cancel_futures:
            staff.cancel_waiting()
        if wait:
            self._wait()

    def _refuse_to_wait(self, *, wait: bool) -> None:
        if wait and self._staff.is_here():
            raise RuntimeError(
                f"a call of {self._name!r} would wait for its own end: use shutdown(wait=False)"
            )

    def _wait(self) -> None:
        try:
            # A function of its own, see `_pools.outlast`.
            self._staff.await_end()
            _chain.checkpoint()  # what was to be waited for may have ended for the same reason
        except BaseException:  # Ctrl-C, or a scope around us
            self._stop()
            raise

    def _stop(self) -> None:
        """Cancel what waits, tell what runs to stop, and wait for that."""
        staff = self._staff
        try:
            staff.close(_SHUTDOWN)
            staff.stop()
        finally:
            _pools.outlast(staff)

    @override
    def __enter__(self) -> Self:
        """Have it shut down at the end of the block."""
        return self

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> Literal[False]:
        """Shut it down; when an error leaves the block, cancel what waits and stop what runs."""
        if exc_val is None:
            self.shutdown()
        else:
            self._refuse_to_wait(wait=True)
            self._stop()
        return False

    def begin_anew(self) -> None:
        """Be as new, in the child of a fork: for the library's own use.

        What it was given is its parent's, and so are its threads.
        """
        self._numbers = itertools.count(1)
        closed = self._staff.closed
        self._staff.disown()
        self._staff = Staff(self._max_workers, self._backlog, self._name)
        self._staff.closed = closed
        _pools.enter(self._staff, self)
