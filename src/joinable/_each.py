"""`run_each`: call a function with the items of any input, and take the results as they come.

What it promises is in `_stream` and `_flow`; here is what is asked of the arguments.
"""

from __future__ import annotations

import functools
import math

from joinable import _chain
from joinable._check import (
    check_callable,
    check_count,
    check_flag,
    check_iterable,
    check_span,
    check_workers,
    name_of,
    some_workers,
)
from joinable._stream import Stream
from joinable._typing import overload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Literal

    from joinable._flow import Flow
    from joinable._meter import Progress
    from joinable._progress import Watched
    from joinable._typing import T1, T2, T3, T4, T5, SupportsSubmit, T

__all__ = ["run_each"]


@overload
def run_each(
    fn: Callable[[T1], T],
    items: Iterable[T1],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T]: ...
@overload
def run_each(
    fn: Callable[[T1, T2], T],
    items: Iterable[T1],
    items2: Iterable[T2],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T]: ...
@overload
def run_each(
    fn: Callable[[T1, T2, T3], T],
    items: Iterable[T1],
    items2: Iterable[T2],
    items3: Iterable[T3],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T]: ...
@overload
def run_each(
    fn: Callable[[T1, T2, T3, T4], T],
    items: Iterable[T1],
    items2: Iterable[T2],
    items3: Iterable[T3],
    items4: Iterable[T4],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T]: ...
@overload
def run_each(
    fn: Callable[[T1, T2, T3, T4, T5], T],
    items: Iterable[T1],
    items2: Iterable[T2],
    items3: Iterable[T3],
    items4: Iterable[T4],
    items5: Iterable[T5],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T]: ...
@overload
def run_each(
    fn: Callable[..., T],
    items: Iterable[object],
    items2: Iterable[object],
    items3: Iterable[object],
    items4: Iterable[object],
    items5: Iterable[object],
    items6: Iterable[object],
    /,
    *iterables: Iterable[object],
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T]: ...
@overload
def run_each(
    fn: Callable[[T1], T],
    items: Iterable[T1],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: bool,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T | BaseException]: ...
@overload
def run_each(
    fn: Callable[[T1, T2], T],
    items: Iterable[T1],
    items2: Iterable[T2],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: bool,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T | BaseException]: ...
@overload
def run_each(
    fn: Callable[[T1, T2, T3], T],
    items: Iterable[T1],
    items2: Iterable[T2],
    items3: Iterable[T3],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: bool,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T | BaseException]: ...
@overload
def run_each(
    fn: Callable[[T1, T2, T3, T4], T],
    items: Iterable[T1],
    items2: Iterable[T2],
    items3: Iterable[T3],
    items4: Iterable[T4],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: bool,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T | BaseException]: ...
@overload
def run_each(
    fn: Callable[[T1, T2, T3, T4, T5], T],
    items: Iterable[T1],
    items2: Iterable[T2],
    items3: Iterable[T3],
    items4: Iterable[T4],
    items5: Iterable[T5],
    /,
    *,
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: bool,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T | BaseException]: ...
@overload
def run_each(
    fn: Callable[..., T],
    items: Iterable[object],
    items2: Iterable[object],
    items3: Iterable[object],
    items4: Iterable[object],
    items5: Iterable[object],
    items6: Iterable[object],
    /,
    *iterables: Iterable[object],
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: bool,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[T | BaseException]: ...
def run_each(  # noqa: PLR0913  each of them is asked for by some
    fn: Callable[..., object],
    /,
    *iterables: Iterable[object],
    max_workers: int | None = None,
    ordered: bool = True,
    buffersize: int | None = 64,
    timeout: float | None = None,
    return_exceptions: bool = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> Stream[Any]:
    """Call `fn` with each item in threads, and give out the results as an iterator.

    The input is taken bit by bit, by the threads that are about to call, so it may be endless: no
    more than `max_workers + buffersize` items are ahead of the results that you have used. A slow
    consumer stops the intake, a slow source holds no finished result back. Of several iterables the
    function gets one item each, as with `map`; the shortest one ends it.

    Example:
        >>> from itertools import count
        >>> from joinable import run_each
        >>> list(run_each(pow, [2, 3, 4], [5, 2, 3]))
        [32, 9, 64]
        >>> with run_each(str, count(1), max_workers=4) as texts:
        ...     for text in texts:
        ...         if len(text) > 1:
        ...             break
        >>> text
        '10'

    Args:
        fn: What to call. Each call runs in its own copy of the caller's context.
        iterables: Where the arguments come from; at least one. Threads advance it, one at a time,
            in one copy of the caller's context. What is tied to one thread, such as a cursor of
            sqlite3, wants `buffersize=None`, or `check_same_thread=False`.
        max_workers: Run so many calls at a time at most. None: four more than there are processors,
            and no more than 32.
        ordered: Give out the results in the order of the items. False: as the calls end.
        buffersize: So many items are taken, or results kept, beyond those that calls are busy with.
            More than a million count as a million. None: all of the input is read here and now,
            before this returns; the fastest way to a list.
        timeout: Seconds from now on for all of it. None: as long as it takes.
        return_exceptions: Give out an exception in the place of the result, and go on.
            KeyboardInterrupt and SystemExit are raised all the same.
        executor: Have the calls run there: by a `concurrent.futures.ProcessPoolExecutor`, or by
            anything else that has its `submit`. None: in threads of the library.
        progress: Show how far it is: True or a label in a bar (which needs `joinable[progress]`),
            or a `joinable.progress.Progress`. None or False: do not.

    Returns:
        The results, as they are asked for. Calls start at once, without being asked.

    Raises:
        TypeError: An argument is of the wrong kind; nothing has been started.
        ValueError: A number is too small; nothing has been started.
        ImportError: `progress` asks for a bar, and tqdm is not installed; nothing has been started.
        RuntimeError: The system can start no more threads.
        BaseException: The first failure of a call, itself, by the iterator: at its place, after the
            results before it; if not `ordered`, when it happens. Nothing behind it is started, what
            runs is asked to stop, and joined; later failures are named in a note. An error of an
            iterable comes after all results of what was before. A StopIteration becomes the cause
            of a RuntimeError.
        DeadlineExceeded: By the iterator: the time was up, and what was ready by then has been
            given out. What has not stopped a second later is named in `unfinished`, and
            *abandoned*: see `abandoned_threads`.
        Cancelled: A scope in force asks it to stop: at the call, or around the one who iterates.
        CancelledError: By the iterator: a call has cancelled the scope of the calls
            (`current_scope().cancel()`), or one that is not around the iterator has.

    Leaving early: use it in a `with`, or call `close()`; that asks the calls that run to stop, and
    waits for their end. A stream that is only dropped, as by a `break` in a bare `for`, asks them
    to stop and does not wait. An error that was not reached by then goes to
    `threading.excepthook`.

    With an executor: it is handed functions without arguments, by the thread that iterates, which
    advances the input as well: at the call and whenever it asks for a result. So a source that
    waits holds results back, and nothing is handed in while nobody asks. `max_workers` is what the
    executor has at most at a time, running or not. None: as many as the window of `max_workers +
    buffersize` holds; of them it runs as many as it can. With `buffersize=None` that is all of the
    input. The executor is not shut down. What has not begun is taken back where something is to
    stop; what runs in another process cannot be asked, and is waited for. There is no context in
    another process. An error from there has its traceback in a note; what cannot be pickled is
    named in a TypeError, at its place. An executor that is broken, or shut down, raises its own
    error there, whatever `return_exceptions` says.

    Thread-safety: may be called by any thread at any time, in a call of its own, too. One thread
    iterates.

    Cost: a call of a list costs a thirtieth to a fiftieth of what it costs with `Executor.map`; of
    a stream with a buffer of 64 a seventh to a tenth, of 256 a tenth at most. What is not there
    yet costs a hand-over between threads; where these follow each other closely and more are to
    come (of a list in a window of 32, of any input in one of 512 or in none), results may wait for
    each other, for a fifth of a millisecond.
    """
    check_callable(fn, "fn")
    if not iterables:
        raise TypeError("run_each needs something to call fn with: run_each(fn, items)")
    for position, iterable in enumerate(iterables):
        check_iterable(iterable, f"iterables[{position}]")
    check_workers(max_workers)
    check_flag(ordered, "ordered")
    check_flag(return_exceptions, "return_exceptions")
    if buffersize is not None:
        check_count(buffersize, "buffersize")
    if timeout is not None:
        check_span(timeout, "timeout")
    kind = _kind(executor, max_workers, eager=buffersize is None)
    _chain.checkpoint()
    simple = executor is None and len(iterables) == 1
    flow = kind(
        fn if simple or executor is not None else _spread(fn),
        iter(iterables[0]) if simple else zip(*iterables, strict=False),
        ordered=ordered,
        max_workers=some_workers() if max_workers is None else max_workers,
        buffersize=buffersize or 0,
        timeout=timeout,
        return_exceptions=return_exceptions,
    )
    calls: Flow | Watched = flow
    if progress is not None and progress is not False:
        from joinable._progress import Watched, total_of  # noqa: PLC0415  who asks for it pays for it

        calls = Watched(flow, progress, total_of(iterables))
    stream: Stream[Any] = Stream(calls)  # first: whatever interrupts us, it looks after the calls
    calls.begin()
    return stream


def _spread(fn: Callable[..., object]) -> Callable[[Iterable[object]], object]:
    def call(arguments: Iterable[object]) -> object:
        return fn(*arguments)

    call.__name__ = name_of(fn)  # for those who watch
    return call


def _kind(
    executor: SupportsSubmit | None, max_workers: int | None, *, eager: bool
) -> Callable[..., Flow]:
    # Here, and not above: who streams pays for it, and not each `import joinable`.
    if executor is not None:
        from joinable._foreign import check_executor  # noqa: PLC0415
        from joinable._foreign_flow import ForeignFlow  # noqa: PLC0415

        limit = math.inf if max_workers is None else max_workers
        return functools.partial(ForeignFlow, check_executor(executor), limit, eager=eager)
    if eager:
        from joinable._eager import Eager  # noqa: PLC0415

        return Eager
    from joinable._lazy import Lazy  # noqa: PLC0415

    return Lazy
