"""`no_leaks`: a block that leaves no thread, no unfinished task and no unasked error behind.

What it promises:

- What the block left is found, and told with facts: its name, where it was started, its line now.
- What is just ending has a moment (`grace`): it is joined, so a clean block is not held up. Of a
  worker that is just becoming idle not the end is waited for, which comes much later, but that.
- An error of the block itself wins; the leaks are a note on it.
- Nothing is watched, and nothing replaced, outside such a block.

It sees the whole process: a thread that some other thread starts meanwhile looks like one of the
block's own. Run tests that use it one at a time.

Where a thread was started is known because `threading.Thread.start` is replaced while any block is
open; `_starts.lock` guards the count of the open blocks.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fnmatch
import functools
import inspect
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Self, cast

from joinable import _events, _frames, _runtime, _timer, _unasked, _workers
from joinable._check import check_seconds
from joinable._task import Task
from joinable._typing import override
from joinable.testing._waits import HELPER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    Allowed = str | Iterable[str] | Callable[[threading.Thread], bool]

__all__ = ["LeakError", "no_leaks"]


class LeakError(AssertionError):
    """A block has left something behind; each is told in a line of its own.

    Attributes:
        threads: The threads that are still alive.
        tasks: The tasks that have not ended.
        errors: The errors of tasks that nobody has asked for.
    """

    def __init__(self, threads: Iterable[str], tasks: Iterable[str], errors: Iterable[str]) -> None:
        """Build the message from the facts."""
        self.threads: tuple[str, ...] = tuple(threads)
        self.tasks: tuple[str, ...] = tuple(tasks)
        self.errors: tuple[str, ...] = tuple(errors)
        lines = [
            *(f"thread {fact}" for fact in self.threads),
            *(f"unfinished task {fact}" for fact in self.tasks),
            *(f"error that nobody asked for: {fact}" for fact in self.errors),
        ]
        super().__init__("\n  ".join(["the block left behind:", *lines]))


def no_leaks(*, grace: float = 1.0, allow: Allowed = ()) -> NoLeaks:
    """Fail when the block leaves threads, unfinished tasks or unasked errors behind.

    A context manager, and a decorator for functions.

    Example:
        >>> import threading
        >>> from joinable.testing import no_leaks
        >>> gate = threading.Event()
        >>> try:
        ...     with no_leaks(grace=0.01):
        ...         threading.Thread(target=gate.wait, name="forgotten").start()
        ... except AssertionError as error:
        ...     print(str(error).split(",")[0])
        the block left behind:
          thread 'forgotten'
        >>> gate.set()

        >>> from joinable import run_all
        >>> @no_leaks()
        ... def test() -> None:
        ...     assert run_all([dict, list]) == [{}, []]
        >>> test()

    Not counted: threads that were there before, the thread of the library that reports unasked
    errors, its workers that have nothing to do, tqdm's monitor, and what `allow` names. An error
    that is told here is not reported a second time.

    Args:
        grace: Seconds, of real time, that what is ending has in all.
        allow: Names of threads that may stay (`"worker-*"` matches as in a shell), or a function
            that is given a thread and says whether it may.

    Raises:
        LeakError: On leaving, if the block itself raised nothing.
        TypeError: An argument is of the wrong kind.
        ValueError: `grace` is negative.

    Thread-safety: the blocks of several threads may overlap; each sees what all of them start.
    """
    return NoLeaks(_checked(grace), _predicate(allow))


def _checked(grace: float | None) -> float:
    check_seconds(grace, "grace")
    if grace is None or grace < 0:
        raise ValueError(f"grace must be 0 seconds or more, not {grace!r}")
    return grace


def _predicate(allow: Allowed) -> Callable[[threading.Thread], bool]:
    if callable(allow):
        return allow
    names = [allow] if isinstance(allow, str) else list(allow)
    for name in names:
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"allow must be names of threads, or a function, not {name!r}")
    return lambda thread: any(fnmatch.fnmatchcase(thread.name, name) for name in names)


class NoLeaks(contextlib.ContextDecorator):
    """The block of one `no_leaks`."""

    def __init__(self, grace: float, allow: Callable[[threading.Thread], bool]) -> None:
        """Made by `no_leaks`."""
        self._grace = grace
        self._allow = allow
        self._before: list[threading.Thread] | None = None
        self._watched: frozenset[int] = frozenset()
        self._begun: dict[int, Task[object]] = {}
        self._rested: list[threading.Thread | None] = []

    @override
    def _recreate_cm(self) -> Self:
        # As a decorator: each call is a block of its own.
        return type(self)(self._grace, self._allow)

    @override
    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:  # type: ignore[override]
        """Decorate a function: each call is a block."""
        if inspect.iscoroutinefunction(func) or inspect.isgeneratorfunction(func):
            raise TypeError(
                f"no_leaks() cannot decorate {func!r}: a call of it runs nothing yet; "
                "write `with no_leaks():` inside"
            )
        return super().__call__(func)

    def __enter__(self) -> Self:
        """Remember what is there."""
        if self._before is not None:
            raise RuntimeError("this no_leaks() is in use: make one for each block")
        _starts.follow()
        self._watched = frozenset(_unasked.watched())
        # An idle worker is none of what was there before: what it is given now is the block's. One
        # that is busy is, until it has become idle.
        _workers.watch(self._rested.append)
        idle = _workers.idle()
        self._before = [thread for thread in threading.enumerate() if thread not in idle]
        _events.observe(self._saw)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Look at what is there now."""
        before, self._before = self._before or [], None
        try:
            leaks = self._look([thread for thread in before if _is_new(thread, self._rested)])
        finally:
            _workers.unwatch(self._rested.append)
            self._rested.clear()
            _events.unobserve(self._saw)
            _starts.unfollow()
            self._begun.clear()
        if not (leaks.threads or leaks.tasks or leaks.errors):
            return
        if exc is None:
            raise leaks
        _frames.note(exc, str(leaks))

    def _saw(self, kind: _events.Kind, task: object) -> None:
        """Keep what has begun and not ended: the observer, called by any thread."""
        if isinstance(task, threading.Thread) or not isinstance(task, Task):
            return  # a Thread is found among the threads
        begun = cast("Task[object]", task)
        # The task itself, not a weak reference: what runs is alive anyway.
        if kind is _events.Kind.STARTED:
            self._begun[id(begun)] = begun
        elif kind in _ENDS:
            self._begun.pop(id(begun), None)

    # ---------------------------------------------------------------- what is left

    def _look(self, before: list[threading.Thread]) -> LeakError:
        deadline = time.monotonic() + self._grace
        # First the tasks: the thread that ran one may be idle, and allowed to stay.
        pending = [task for task in self._begun.copy().values() if not task.done()]
        if pending:
            concurrent.futures.wait(pending, _left(deadline))
        threads = self._outlast(before, deadline)
        tasks = [_tell_task(task) for task in pending if not task.done()]
        # Last: a thread that has been joined has left its error by now.
        return LeakError([_tell_thread(thread) for thread in threads], tasks, self._errors(before))

    def _outlast(self, before: list[threading.Thread], deadline: float) -> list[threading.Thread]:
        """Join what is new, each once, and what that starts; return what is still there."""
        spared: list[threading.Thread] = [*before, threading.current_thread()]
        tried: list[threading.Thread] = []
        while True:
            new = [thread for thread in threading.enumerate() if _is_new(thread, spared)]
            new = [thread for thread in new if not self._may_stay(thread)]
            fresh = [thread for thread in new if _is_new(thread, tried)]
            if not fresh:
                return new
            for thread in fresh:
                tried.append(thread)
                outlast(thread, deadline)

    def _may_stay(self, thread: threading.Thread) -> bool:
        kind = type(thread)
        if isinstance(thread, threading._DummyThread):  # pyright: ignore[reportPrivateUsage]
            # Stands for a thread that Python did not start; before 3.12 it may outlive that.
            return thread.ident not in _idents() or self._allow(thread)
        return (
            thread in {_unasked.service(), _timer.service(), *_workers.idle()}
            or thread.name == HELPER
            or (kind.__name__ == "TMonitor" and kind.__module__.startswith("tqdm"))
            or self._allow(thread)
        )

    def _errors(self, before: list[threading.Thread]) -> list[str]:
        told: list[str] = []
        for key, claim in _unasked.watched().items():
            whose: object = getattr(claim, "__self__", None)
            old = isinstance(whose, threading.Thread) and not _is_new(whose, before)
            if old or key in self._watched:
                continue
            # A claim answers once: from here on the error is ours to tell, and nobody else's.
            facts = claim()
            if facts is not None:
                told.append(_tell_error(facts))
        return told


_ENDS = (_events.Kind.DONE, _events.Kind.CANCELLED)


def _is_new(thread: threading.Thread | None, known: Sequence[threading.Thread | None]) -> bool:
    # Not `in`: a subclass may say that two threads are equal.
    return all(thread is not other for other in known)


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _join(thread: threading.Thread, timeout: float) -> None:
    # Not the thread's own `join`, which may be on a `FakeClock`.
    if not isinstance(thread, threading._DummyThread):  # pyright: ignore[reportPrivateUsage]
        threading.Thread.join(thread, min(timeout, threading.TIMEOUT_MAX))


def outlast(thread: threading.Thread, deadline: float) -> bool:
    """Wait until a thread has ended, or is a worker with nothing to do; False if it is neither.

    The deadline is one of real time.
    """
    news = threading.Event()

    def tell(_: threading.Thread | None) -> None:
        news.set()

    _workers.watch(tell)
    try:
        while True:
            news.clear()  # first: what is told from here on may be seen below, or not
            if thread in _workers.idle():
                return True
            if not _workers.is_worker(thread):
                break
            if not news.wait(_left(deadline)):
                return False
    finally:
        _workers.unwatch(tell)
    # A thread that is about to start, or that Python did not start, cannot be joined.
    with contextlib.suppress(RuntimeError):
        _join(thread, _left(deadline))
    return not thread.is_alive()


def _idents() -> set[int]:
    return set(_frames.frames())


def _tell_thread(thread: threading.Thread) -> str:
    place = _starts.place(thread)
    started = f"started at {_frames.show(place)}" if place else _started_unseen(thread)
    return f"{thread.name!r}, {started}, now at {_frames.current_line(thread.ident) or 'its end'}"


def _started_unseen(thread: threading.Thread) -> str:
    if isinstance(thread, threading._DummyThread):  # pyright: ignore[reportPrivateUsage]
        return "which no Thread.start() started"
    return "started before the block"  # a worker that was idle then


def _tell_task(task: Task[object]) -> str:
    return f"{task.name!r}: {task!r}"


def _tell_error(facts: threading.ExceptHookArgs) -> str:
    error = facts.exc_value
    notes: list[str] = getattr(error, "__notes__", [])
    return "; ".join([f"{facts.exc_type.__name__}: {error}", *map(str, notes)])


class _Starts:
    """Where threads were started, while anybody wants to know."""

    def __init__(self) -> None:
        self.lock = _runtime.allocate_mutex()
        self._open = 0
        self._real: Callable[[threading.Thread], None] | None = None
        self._ours: Callable[[threading.Thread], None] | None = None
        self._places: weakref.WeakKeyDictionary[threading.Thread, _frames.Place] = (
            weakref.WeakKeyDictionary()
        )

    def follow(self) -> None:
        """Remember every start from now on."""
        with self.lock:
            self._open += 1
            if self._real is None:
                self._real = threading.Thread.start
                self._ours = _remembering(self._real)
                _set_start(self._ours)

    def unfollow(self) -> None:
        """Let go, if nobody else wants to know."""
        with self.lock:
            self._open -= 1
            # Whoever has replaced it after us calls ours: then it stays, and is used again.
            if self._open == 0 and self._real and threading.Thread.start is self._ours:
                _set_start(self._real)
                self._real = None

    def remember(self, thread: threading.Thread) -> None:
        """Note the line that starts this thread."""
        place = _frames.user_caller()
        with self.lock:
            if self._open:
                self._places[thread] = place

    def place(self, thread: threading.Thread) -> _frames.Place | None:
        """Return the line that started it, if it was seen."""
        with self.lock:
            return self._places.get(thread)


_starts = _Starts()


def _set_start(start: Callable[[threading.Thread], None]) -> None:
    setattr(threading.Thread, "start", start)  # noqa: B010  a checker would have it never assigned


def _remembering(real: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(real)
    def start(self: threading.Thread) -> None:
        _starts.remember(self)
        real(self)

    return start
