"""What `run_each` gives out: results as they come, and a way to leave early.

What it promises: whoever has seen the end, an error of it, or `close` return, has nothing of it
left running, but for what was given up after its time. What is only dropped is asked to stop: a
finalizer must not wait. An error that nobody can come to any more is reported.

Who may run between which lines: one thread iterates, and closes. It is handed chunks, by a
generator, which holds no lock and is in no scope while it is suspended, so the consumer's context
is as it was. The workers know nothing of it: it is collected as soon as nobody can ask it any more,
and `_Reins`, which goes with it, tells them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from joinable import _frames
from joinable._check import steady
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType
    from typing import Protocol, Self

    from joinable._typing import T_co

    class Flow(Protocol):
        """What a stream needs of its calls."""

        @property
        def chunk(self) -> list[object]: ...
        @property
        def failures(self) -> list[tuple[int, BaseException]]: ...

        def take(self) -> list[object]: ...
        def finish(self) -> None: ...
        def leave(self, why: BaseException | str) -> None: ...
        def let_go(self) -> None: ...
        def drop(self) -> None: ...
        def close(self, *, interrupted: bool) -> None: ...
        def is_here(self) -> bool: ...
        def counts(self) -> str: ...


__all__ = ["Stream"]


class _Reins:
    """What tells the workers that nobody can ask any more, before the first `next`, too."""

    def __init__(self, flow: Flow) -> None:
        self.flow: Flow | None = flow  # None: it has ended

    def __del__(self) -> None:
        if self.flow is not None:
            self.flow.drop()

    def chunk(self) -> list[object]:
        return [] if self.flow is None else self.flow.chunk

    def close(self, *, interrupted: bool) -> None:
        if self.flow is not None and self.flow.is_here():
            self.flow.close(interrupted=interrupted)
        self.flow = None


class Stream(Iterator["T_co"]):
    """The results of a `run_each`: an iterator, and a context manager that closes it.

    Example:
        >>> from joinable import Stream, run_each
        >>> stream: Stream[int]
        >>> with run_each(abs, [-1, -2, -3]) as stream:
        ...     first = next(stream)
        >>> first, list(stream)
        (1, [])

    Thread-safety: one thread iterates and closes; which one does not matter.
    """

    def __init__(self, flow: Flow) -> None:
        self._reins = _Reins(flow)
        # In C, but for one step for each chunk: a `__next__` for each result would cost thrice.
        chunks: Generator[list[T_co]] = _chunks(self._reins)  # type: ignore[assignment]
        self._results = itertools.chain.from_iterable(chunks)

    @override
    @steady
    def __repr__(self) -> str:
        flow = self._reins.flow  # once: its end takes it away
        return "<Stream: it has ended>" if flow is None else f"<Stream: {flow.counts()}>"

    @override
    def __iter__(self) -> Iterator[T_co]:  # noqa: PYI034  what is in C is faster
        """Return the iterator over the results."""
        return self._results

    @override
    def __next__(self) -> T_co:
        """Wait for the next result."""
        return next(self._results)

    def close(self) -> None:
        """Ask the calls that run to stop, start nothing more, and wait for the end of it.

        An error that was not reached goes to `threading.excepthook`. Closing again does nothing.

        Example:
            >>> import itertools
            >>> from joinable import run_each
            >>> stream = run_each(abs, itertools.count(-1))
            >>> next(stream)
            1
            >>> stream.close()
            >>> next(stream, "closed")
            'closed'

        Raises:
            KeyboardInterrupt: Ctrl-C. The first one is raised when all has ended, the second at
                once, with a note that names the calls that it left.
        """
        self._reins.close(interrupted=False)

    def __enter__(self) -> Self:
        """Have it closed at the end of the block."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Close it."""
        self._reins.close(interrupted=isinstance(exc, KeyboardInterrupt))


def _chunks(reins: _Reins) -> Generator[list[object]]:
    while _wait(reins):
        yield reins.chunk()


def _wait(reins: _Reins) -> bool:
    """Wait for results; False at the end of the stream."""
    flow = reins.flow
    if flow is None:
        return False
    if not flow.is_here():
        raise RuntimeError("this run_each is of the process that forked this one")
    try:
        if flow.take():
            return True
        flow.finish()
    except BaseException as error:
        try:
            flow.leave(error)
        finally:
            flow.failures.clear()  # they are named in its note
            flow.let_go()
            reins.flow = None
            del flow, reins  # the error's traceback leads here
        _frames.cut(error)
        raise
    flow.let_go()
    reins.flow = None
    return False
