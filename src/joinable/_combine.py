"""`run_all`: start all, join all, results in order.

What it promises:

- Nothing starts before all of the input has been looked at.
- Every call has a thread as soon as `run_all` can start it, so calls may wait for each other;
  `max_workers` bounds that. A thread whose call ends early takes the next one.
- After a failure nothing more is started. What runs is asked to stop, and joined. The first failure
  is raised: that very exception, with its traceback.
- The scope around it stops the calls, which belong to it. It is left when they have ended.
- With an `executor` all that is the same, but calls in another process cannot be asked to stop.
- Ctrl-C once: nothing more is started, and what runs is asked to stop, and joined. Twice: it leaves
  at once, and the interrupt says which calls it left. The interrupt is raised in either case.
"""

# A tuple is an iterable too, and gives something else: the overloads overlap, and the first that
# fits is meant to win.
# mypy: disable-error-code="overload-overlap"
# pyright: reportOverlappingOverload=false
from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from joinable._batch import Batch
from joinable._check import check_callable, check_span, check_workers, is_callable, short
from joinable._typing import overload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from joinable._meter import Progress
    from joinable._typing import T1, T2, T3, T4, T5, T6, T7, T8, K, SupportsSubmit, T

__all__ = ["read_calls", "run_all"]


@overload
def run_all(
    funcs: tuple[Callable[[], T1]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1]: ...
@overload
def run_all(
    funcs: tuple[Callable[[], T1], Callable[[], T2]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1, T2]: ...
@overload
def run_all(
    funcs: tuple[Callable[[], T1], Callable[[], T2], Callable[[], T3]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1, T2, T3]: ...
@overload
def run_all(
    funcs: tuple[Callable[[], T1], Callable[[], T2], Callable[[], T3], Callable[[], T4]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1, T2, T3, T4]: ...
@overload
def run_all(
    funcs: tuple[
        Callable[[], T1], Callable[[], T2], Callable[[], T3], Callable[[], T4], Callable[[], T5]
    ],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1, T2, T3, T4, T5]: ...
@overload
def run_all(
    funcs: tuple[
        Callable[[], T1],
        Callable[[], T2],
        Callable[[], T3],
        Callable[[], T4],
        Callable[[], T5],
        Callable[[], T6],
    ],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1, T2, T3, T4, T5, T6]: ...
@overload
def run_all(
    funcs: tuple[
        Callable[[], T1],
        Callable[[], T2],
        Callable[[], T3],
        Callable[[], T4],
        Callable[[], T5],
        Callable[[], T6],
        Callable[[], T7],
    ],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1, T2, T3, T4, T5, T6, T7]: ...
@overload
def run_all(
    funcs: tuple[
        Callable[[], T1],
        Callable[[], T2],
        Callable[[], T3],
        Callable[[], T4],
        Callable[[], T5],
        Callable[[], T6],
        Callable[[], T7],
        Callable[[], T8],
    ],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1, T2, T3, T4, T5, T6, T7, T8]: ...
@overload
def run_all(
    funcs: tuple[Callable[[], T], ...],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T, ...]: ...
@overload
def run_all(
    funcs: Mapping[K, Callable[[], T]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> dict[K, T]: ...
@overload
def run_all(
    funcs: Iterable[Callable[[], T]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[False] = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> list[T]: ...
@overload
def run_all(
    funcs: tuple[Callable[[], T1]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[True],
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1 | BaseException]: ...
@overload
def run_all(
    funcs: tuple[Callable[[], T1], Callable[[], T2]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[True],
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1 | BaseException, T2 | BaseException]: ...
@overload
def run_all(
    funcs: tuple[Callable[[], T1], Callable[[], T2], Callable[[], T3]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[True],
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1 | BaseException, T2 | BaseException, T3 | BaseException]: ...
@overload
def run_all(
    funcs: tuple[Callable[[], T1], Callable[[], T2], Callable[[], T3], Callable[[], T4]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[True],
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T1 | BaseException, T2 | BaseException, T3 | BaseException, T4 | BaseException]: ...
@overload
def run_all(
    funcs: tuple[
        Callable[[], T1], Callable[[], T2], Callable[[], T3], Callable[[], T4], Callable[[], T5]
    ],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[True],
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[
    T1 | BaseException,
    T2 | BaseException,
    T3 | BaseException,
    T4 | BaseException,
    T5 | BaseException,
]: ...
@overload
def run_all(
    funcs: tuple[
        Callable[[], T1],
        Callable[[], T2],
        Callable[[], T3],
        Callable[[], T4],
        Callable[[], T5],
        Callable[[], T6],
    ],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[True],
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[
    T1 | BaseException,
    T2 | BaseException,
    T3 | BaseException,
    T4 | BaseException,
    T5 | BaseException,
    T6 | BaseException,
]: ...
@overload
def run_all(
    funcs: tuple[
        Callable[[], T1],
        Callable[[], T2],
        Callable[[], T3],
        Callable[[], T4],
        Callable[[], T5],
        Callable[[], T6],
        Callable[[], T7],
    ],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[True],
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[
    T1 | BaseException,
    T2 | BaseException,
    T3 | BaseException,
    T4 | BaseException,
    T5 | BaseException,
    T6 | BaseException,
    T7 | BaseException,
]: ...
@overload
def run_all(
    funcs: tuple[
        Callable[[], T1],
        Callable[[], T2],
        Callable[[], T3],
        Callable[[], T4],
        Callable[[], T5],
        Callable[[], T6],
        Callable[[], T7],
        Callable[[], T8],
    ],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: Literal[True],
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[
    T1 | BaseException,
    T2 | BaseException,
    T3 | BaseException,
    T4 | BaseException,
    T5 | BaseException,
    T6 | BaseException,
    T7 | BaseException,
    T8 | BaseException,
]: ...
@overload
def run_all(
    funcs: tuple[Callable[[], T], ...],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: bool,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> tuple[T | BaseException, ...]: ...
@overload
def run_all(
    funcs: Mapping[K, Callable[[], T]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: bool,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> dict[K, T | BaseException]: ...
@overload
def run_all(
    funcs: Iterable[Callable[[], T]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: bool,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> list[T | BaseException]: ...
def run_all(  # noqa: PLR0913  each of them is asked for by some
    funcs: Iterable[Callable[[], object]] | Mapping[K, Callable[[], object]],
    /,
    *,
    max_workers: int | None = None,
    timeout: float | None = None,
    return_exceptions: bool = False,
    executor: SupportsSubmit | None = None,
    progress: bool | str | Progress | None = None,
) -> object:
    """Run all the calls in threads, wait for all, and return their results in order.

    A tuple of functions gives a tuple of results, a mapping a dict with the same keys, any other
    iterable a list; the iterable is read to its end before anything starts. Each call runs in its
    own copy of the caller's context.

    Example:
        >>> from functools import partial
        >>> from joinable import run_all
        >>> run_all([partial(pow, 2, 10), partial(pow, 3, 4)])
        [1024, 81]
        >>> run_all({"low": lambda: min(3, 1, 2), "high": lambda: max(3, 1, 2)})
        {'low': 1, 'high': 3}

    Args:
        funcs: What to call, without arguments; `functools.partial` or a `lambda` binds them.
        max_workers: Run so many calls at a time at most. None: all at once, so calls may wait for
            each other.
        timeout: Wait so many seconds at most, and a second for those that stop when asked. None: as
            long as it takes.
        return_exceptions: Let every call finish, and put an exception in the place of its result.
            KeyboardInterrupt and SystemExit are raised all the same.
        executor: Have the calls run there: by a `concurrent.futures.ProcessPoolExecutor`, or by
            anything else that has its `submit`. None: in threads of the library.
        progress: Show how far it is: True or a label in a bar (which needs `joinable[progress]`),
            or a `joinable.progress.Progress`. None or False: do not.

    Returns:
        The results, in the shape and order of `funcs`, whatever the order in which the calls ended.

    Raises:
        TypeError: `funcs` or one of its members is of the wrong kind; nothing has been started.
        ValueError: `max_workers` is below 1; nothing has been started.
        ImportError: `progress` asks for a bar, and tqdm is not installed; nothing has been started.
        RuntimeError: The system can start no more threads; what ran was asked to stop, and joined.
        BaseException: The first failure of a call, itself, after what ran was asked to stop, and
            joined. What had not started by then never does; later failures are named in a note on
            the first.
        DeadlineExceeded: The time was up. Nothing more was started, and what ran was asked to stop.
            What has not stopped a second later is named in `unfinished`, and *abandoned*: see
            `abandoned_threads`.
        Cancelled: A scope in force asks it to stop: at entry, or it has stopped a call.
        CancelledError: A call has cancelled the scope of the calls (`current_scope().cancel()`), or
            somebody else a call of the executor's.

    With an executor: it is handed functions without arguments, never more than `max_workers` at a
    time, and is not shut down. What has not begun is taken back where something is to stop; what
    runs in another process cannot be asked, and is waited for. There is no context in another
    process. An error from there has its traceback in a note; what cannot be pickled is named in a
    TypeError. An executor that is broken, or shut down, raises its own error, whatever
    `return_exceptions` says.
    """
    keys, calls = read_calls(funcs, "run_all")
    check_workers(max_workers)
    if timeout is not None:
        check_span(timeout, "timeout")
    batch = _kind(executor)(
        calls,
        keys,
        max_workers=max_workers,
        timeout=timeout,
        return_exceptions=return_exceptions,
    )
    if progress is None or progress is False:
        batch.run()
    else:
        from joinable._progress import run_watched  # noqa: PLC0415  who asks for it pays for it

        run_watched(batch, progress)
    error = batch.first_failure()
    if error is not None:
        try:
            raise error  # here, so that one frame of ours is in its traceback
        finally:
            del error, batch  # which the traceback leads back to
    if isinstance(funcs, tuple):
        return tuple(batch.results)
    return batch.results if keys is None else dict(zip(keys, batch.results, strict=True))


def _kind(executor: SupportsSubmit | None) -> Callable[..., Batch]:
    if executor is None:
        return Batch
    # Here, and not above: who has an executor pays for it, and not each `import joinable`.
    from joinable._foreign import check_executor  # noqa: PLC0415
    from joinable._foreign_batch import ForeignBatch  # noqa: PLC0415

    return functools.partial(ForeignBatch, check_executor(executor))


def read_calls(
    funcs: Iterable[Callable[[], object]] | Mapping[K, Callable[[], object]], taker: str
) -> tuple[list[object] | None, list[Callable[[], object]]]:
    """Take the input apart and look at all of it: the keys of a mapping, and the calls."""
    keys: list[object] | None
    calls: list[Callable[[], object]]
    # What the types rule out is what this looks for.
    if callable(funcs) or not hasattr(funcs, "__iter__"):  # type: ignore[redundant-expr]
        raise TypeError(
            f"{taker} takes a tuple, a mapping or an iterable of functions, not {short(funcs)}; "
            f"write {taker}([f, g]) to run f() and g()"
        )
    if isinstance(funcs, Mapping):
        mapping: Mapping[object, Callable[[], object]] = funcs  # type: ignore[assignment]  # K varies
        # Not by `values()`: that of somebody's own mapping may be of another mind than its keys.
        keys = [*mapping]
        calls = [mapping[key] for key in keys]
    else:
        keys, calls = None, [*funcs]
    for position, call in enumerate(calls):
        if not is_callable(call):  # first: what a message needs is not made for each of the others
            check_callable(call, f"funcs[{short(position if keys is None else keys[position])}]")
    return keys, calls
