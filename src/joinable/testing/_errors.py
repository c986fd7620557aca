"""What can go wrong under exploration; each message is built from facts.

`ScheduleError` is what `explore` and `replay` raise. The others are its causes, when the failure
is not an exception of the program itself but something only a scheduler can see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Unwind(BaseException):
    """Raised in a thread that is left over, so that it ends; never leaves the engine."""


class ScheduleError(AssertionError):
    """A schedule under which the explored function fails; its cause is the failure itself.

    Example:
        >>> from joinable import spawn
        >>> from joinable.testing import ScheduleError, explore
        >>> def test() -> None:
        ...     said: list[str] = []
        ...     threads = [spawn(said.append, word) for word in ("tea", "milk")]
        ...     for thread in threads:
        ...         thread.join()
        ...     assert said == ["tea", "milk"], said
        >>> try:
        ...     _ = explore(test)
        ... except ScheduleError as found:
        ...     print(repr(found.__cause__))
        AssertionError(['milk', 'tea'])

    Attributes:
        schedule: The forced switches, as a string for `replay`.
        interleaving: The switches of the failing run, by thread, with their source lines.
        replay_line: The line to paste to run this schedule again.
    """

    def __init__(
        self, failure: str, *, schedule: str, interleaving: str, replay_line: str, found: str
    ) -> None:
        self.schedule = schedule
        self.interleaving = interleaving
        self.replay_line = replay_line
        super().__init__(
            f"{failure}\n\n{found}; the threads took turns like this:\n"
            f"{interleaving}\n\nRun it again with:\n    {replay_line}"
        )


class DeadlockError(RuntimeError):
    """No thread can ever go on; names each blocked thread and the line where it waits.

    Example:
        >>> import threading
        >>> from joinable.testing import DeadlockError, ScheduleError, explore
        >>> try:
        ...     _ = explore(lambda: threading.Event().wait(), runs=1)
        ... except ScheduleError as found:
        ...     print(isinstance(found.__cause__, DeadlockError))
        True
    """

    def __init__(self, blocked: Sequence[str]) -> None:
        self.blocked: tuple[str, ...] = tuple(blocked)
        lines = "".join(f"\n  {line}" for line in blocked)
        super().__init__(f"deadlock: no thread can go on{lines}")


class StepLimitError(RuntimeError):
    """A run went on for more than `max_steps` points: something spins.

    Example:
        >>> import threading
        >>> from joinable.testing import ScheduleError, StepLimitError, explore
        >>> def spin() -> None:
        ...     lock = threading.Lock()
        ...     while lock.acquire():
        ...         lock.release()
        >>> try:
        ...     _ = explore(spin, runs=1, max_steps=50)
        ... except ScheduleError as found:
        ...     print(isinstance(found.__cause__, StepLimitError))
        True
    """

    def __init__(self, max_steps: int, running: str) -> None:
        self.max_steps = max_steps
        super().__init__(
            f"the run did not end within max_steps={max_steps} points; last to run: {running}. "
            "A loop that polls must sleep or wait; a longer program needs a larger max_steps"
        )


class LeftoverError(RuntimeError):
    """A thread that was left over at the end of a run could not be ended."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"thread {name!r} was left over at the end of a run and does not end: it swallows "
            "every BaseException, or blocks in C. It stays, asleep; give it a way to end"
        )


class UnseenBlockError(RuntimeError):
    """A thread blocks, or computes, where the scheduler cannot see it.

    It is found after ten seconds of real time, and the message shows where the thread is:

    Example:
        >>> from joinable.testing import UnseenBlockError
        >>> error = UnseenBlockError("reader", 10, "  File ..., in recv")
        >>> print(error)  # doctest: +NORMALIZE_WHITESPACE
        thread 'reader' reached no point for 10 s of real time: it blocks in C, or on a lock made
        before the exploration, or computes without end. Make what it waits for inside the explored
        function.
          File ..., in recv
    """

    def __init__(self, name: str, seconds: float, stack: str) -> None:
        super().__init__(
            f"thread {name!r} reached no point for {seconds:g} s of real time: it blocks in C, "
            "or on a lock made before the exploration, or computes without end. "
            f"Make what it waits for inside the explored function.\n{stack}"
        )
