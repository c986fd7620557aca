"""`record` and the `Timeline` that it gives: a block that is watched, and what is made of it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from joinable._check import check_count, short, steady
from joinable._typing import override
from joinable.trace._chrome import to_json
from joinable.trace._history import read, summarize
from joinable.trace._recorder import Recorder
from joinable.trace._svg import to_svg

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from joinable.trace._facts import Summary
    from joinable.trace._history import History

__all__ = ["Timeline", "record"]

_WRITERS = {".json": to_json, ".svg": to_svg}


def record(*, capacity: int = 100_000) -> Timeline:
    """Record what the threads do while a block runs.

    Every task that starts meanwhile is recorded, whoever starts it, in whatever thread: calls of
    `run_all`, `run_any`, `run_each`, of groups and pools, and every `Thread`. So is every wait in
    the library: for a result, a lock, a queue, a `sleep`, the end of a group.

    Example:
        >>> from joinable import run_all
        >>> from joinable.trace import record
        >>> with record() as timeline:
        ...     run_all([lambda: sum(range(1000))] * 3)
        [499500, 499500, 499500]
        >>> summary = timeline.summary()
        >>> len(summary.tasks), summary.count("ok"), summary.longest[0].error
        (3, 3, None)

    Args:
        capacity: How many ends of tasks and of waits are kept: the newest. What has not ended is
            kept in any case.

    Returns:
        A timeline, for one `with` statement.

    Raises:
        TypeError, ValueError: `capacity` is no whole number of at least 1.

    What had begun before the block is not shown, nor are the calls that a worker of a `run_all` or
    `run_each` makes which took its first one before. A call that is blocked outside the library, in
    a socket say, counts as running.

    Blocks may lie in each other and overlap, in any threads: each has its own recording. Under a
    `FakeClock` times are those of the clock: begin to record within its block.

    Thread-safety: events of all threads are kept without a lock. Nothing of a task is kept alive,
    but its name, where it was spawned, and the class and the message of its error.

    Cost: while it records, about 5 microseconds for a call of `run_all` or `run_each`, 10 for a
    task of a group or a pool, and 4 for a wait; on free-threaded builds up to twice as much. While
    nobody does, a look at an empty tuple where a worker comes, a task is spawned or a wait begins.
    """
    check_count(capacity, "capacity", least=1)
    return Timeline(Recorder(capacity))


class Timeline:
    """What `record` has recorded; may be looked at, and saved, meanwhile and afterwards.

    Example:
        >>> from joinable import run_all
        >>> from joinable.trace import Timeline, record
        >>> def tell(timeline: Timeline) -> str:
        ...     return f"{len(timeline.summary().tasks)} tasks so far"
        >>> with record() as timeline:
        ...     numbers = run_all([int, int])
        ...     print(tell(timeline))
        2 tasks so far
    """

    def __init__(self, recorder: Recorder) -> None:
        """Be made by `record`."""
        self._recorder = recorder
        self._entered = False

    def __enter__(self) -> Self:
        """Record from here on."""
        if self._entered:
            raise RuntimeError("a recording can be entered once: call record() for each block")
        self._entered = True
        self._recorder.begin()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Record no more."""
        self._recorder.finish()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, in the format that its name ends with.

        - `.svg`: a picture with a row for each thread, for a browser or a page. It says more where
          the pointer rests.
        - `.json`: for https://ui.perfetto.dev, or `chrome://tracing`: threads as rows, tasks and
          their waits as slices, and an arrow from where a task was spawned to its start.

        Example:
            >>> import pathlib, tempfile
            >>> from joinable import run_all
            >>> from joinable.trace import record
            >>> with record() as timeline:
            ...     run_all([list, dict])
            [[], {}]
            >>> folder = pathlib.Path(tempfile.mkdtemp())
            >>> timeline.save(folder / "run.svg")
            >>> timeline.save(folder / "run.json")
            >>> sorted(file.name for file in folder.iterdir())
            ['run.json', 'run.svg']

        Args:
            path: Where to. A file that is there is replaced in one step, when the new one is whole:
                nobody finds half of one.

        Raises:
            ValueError: The name ends with something else.
            OSError: The file cannot be written; what was there before is as it was.

        What still runs is drawn to the end, which is now while it records. May be called then by
        any thread, as often as you like.
        """
        if not isinstance(path, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"path must be a text or a path, not {short(path)}")
        file = Path(path)
        writer = _WRITERS.get(file.suffix.lower())
        if writer is None:
            raise ValueError(
                f"path must end with .json or .svg, not {file.suffix!r}: {short(path)}"
            )
        _replace(file, writer(self._read()))

    def summary(self) -> Summary:
        """Count what was recorded, until now or until the end of the block.

        Example:
            >>> from joinable import sleep, spawn
            >>> from joinable.trace import record
            >>> with record() as timeline:
            ...     spawn(sleep, 0.01).join()  # a result is there a moment before the end
            >>> summary = timeline.summary()
            >>> 0 < summary.waiting <= summary.seconds
            True
            >>> str(summary).splitlines()[0]
            'tasks    1 (1 ok)'

        Returns:
            Facts, of which `str()` makes a table.
        """
        return summarize(self._read())

    def _read(self) -> History:
        if not self._entered:
            raise RuntimeError("nothing was recorded: write `with record() as timeline:`")
        return read(self._recorder.snapshot())

    @override
    @steady
    def __repr__(self) -> str:
        if not self._entered:
            return "<Timeline: not entered>"
        snapshot = self._recorder.snapshot()
        state = "recording" if self._recorder.is_on else "ended"
        return f"<Timeline: {state}; {len(snapshot.rows)} threads, {len(snapshot.ended)} entries>"


def _replace(file: Path, text: str) -> None:
    """Write a file, or leave what is there."""
    file = file.resolve()  # a link stays one
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        draft.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):  # it may not have been made
            draft.unlink()
        raise
