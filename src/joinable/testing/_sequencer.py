"""`Sequencer`: numbered steps across threads, so that a race runs in the order that a test wants.

What it promises:

- A step begins when every step with a lower number has ended, and each number is used once.
- Nobody hangs: a step that raises, or that never comes, is an error in every thread that waits for
  it, and the error names it.

`_mutex` guards everything. A waiter puts its latch into `_waiting` under the mutex and then blocks
on the latch alone; whoever ends the step before it, or breaks the sequence, takes the latch out
under the same mutex and releases it. So a waiter is released once, and it was either told or saw.

The latch is waited for with its own timeout, not with the runtime's: under `FakeClock` that is real
time, in which a test must end, and the clock still sees that the thread waits. Under `explore` the
time is virtual, and a missing step is found at once.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from joinable import _frames, _runtime
from joinable._check import check_seconds, steady
from joinable._typing import override

if TYPE_CHECKING:
    from types import TracebackType

    from joinable._typing import Lock

__all__ = ["MissingStepError", "SequenceError", "Sequencer"]


class SequenceError(RuntimeError):
    """A step cannot run: its number was used before, or a step before it failed.

    Example:
        >>> from joinable.testing import SequenceError, Sequencer
        >>> seq = Sequencer()
        >>> with seq(0):
        ...     pass
        >>> try:
        ...     with seq(0):
        ...         pass
        ... except SequenceError as error:
        ...     print(error)
        step 0 was used before: give each block its own number
    """


class MissingStepError(SequenceError, TimeoutError):
    """A step waited in vain for a lower one, which its message names.

    Example:
        >>> from joinable.testing import MissingStepError, Sequencer
        >>> seq = Sequencer(timeout=0.01)
        >>> try:
        ...     with seq(1):
        ...         pass
        ... except MissingStepError as error:
        ...     print(error)
        step 1 waited 0.01 s in vain for step 0, which no thread has begun
    """


class Sequencer:
    """Run blocks of several threads one after the other, in the order of their numbers.

    `with seq(n):` waits until the blocks 0 to n-1 have ended, whichever threads they are in. Each
    number is used once, and none may be left out.

    Example:
        >>> from joinable import run_all
        >>> from joinable.testing import Sequencer
        >>> seq, said = Sequencer(), []
        >>> def left() -> None:
        ...     with seq(0):
        ...         said.append("first")
        ...     with seq(2):
        ...         said.append("third")
        >>> def right() -> None:
        ...     with seq(1):
        ...         said.append("second")
        >>> _ = run_all([right, left])
        >>> said
        ['first', 'second', 'third']

    A block that raises breaks the sequence: later steps raise `SequenceError` instead of running.

    Args:
        timeout: Seconds, of real time, for which a step waits for the lower ones before it raises
            `MissingStepError`.

    Thread-safety: any thread may take any step.
    """

    def __init__(self, *, timeout: float = 30.0) -> None:
        """Make a sequence whose first step is number 0."""
        check_seconds(timeout, "timeout")
        if not timeout or timeout <= 0:  # "not": None, which the types rule out
            raise ValueError(f"timeout must be above 0 seconds, not {timeout!r}")
        self._timeout = min(timeout, threading.TIMEOUT_MAX)
        self._mutex = _runtime.allocate_mutex()
        self._next = 0  # the lowest step that has not ended
        self._threads: dict[int, int] = {}  # who has used each number
        self._waiting: dict[int, Lock] = {}
        self._broken: SequenceError | None = None  # never raised itself: each thread has its own

    def __call__(self, number: int) -> Step:
        """Return the context manager of step `number`.

        Raises:
            TypeError: `number` is not a whole number.
            ValueError: `number` is negative.
        """
        return Step(self, _checked(number))

    @override
    @steady
    def __repr__(self) -> str:
        # Without the lock: a debugger must not wait for it.
        waiting = ", ".join(map(str, sorted(self._waiting.copy()))) or "none"
        broken = self._broken  # once: it may be written meanwhile
        state = f"broken: {broken}" if broken else f"next step {self._next}"
        return f"<Sequencer({state}, waiting: {waiting})>"

    # ---------------------------------------------------------------- what a step does

    def _enter(self, number: int) -> None:
        latch = self._claim(number)
        if latch is None:
            return
        try:
            told = latch.acquire(timeout=self._timeout)
        except BaseException as error:  # Ctrl-C: this step will not run, nor can any after it
            self._break(number, _raised(number, error))
            raise
        if not told:
            self._give_up(number)
        # Not "if broken": it may have been broken behind us, since we were given our turn.
        if self._next != number and self._broken is not None:
            raise type(self._broken)(*self._broken.args)

    def _claim(self, number: int) -> Lock | None:
        """Take the number; return the latch to wait for, or None when it is its turn."""
        with self._mutex:
            if number in self._threads:
                raise SequenceError(
                    f"step {number} was used before: give each block its own number"
                )
            if self._broken is not None:
                raise type(self._broken)(*self._broken.args)
            self._threads[number] = _runtime.get_ident()
            if number == self._next:
                return None
            latch = _runtime.allocate_lock()
            latch.acquire()
            self._waiting[number] = latch
            return latch

    def _give_up(self, number: int) -> None:
        """Break the sequence over the missing step, unless our turn came this very moment."""
        with self._mutex:
            if number in self._waiting:
                self._break(number, MissingStepError(self._missing(number)))

    def _missing(self, number: int) -> str:
        waited = f"step {number} waited {self._timeout:g} s in vain for step {self._next}"
        holder = self._threads.get(self._next)
        if holder is None:
            return f"{waited}, which no thread has begun"
        return f"{waited}, which is still {_frames.where(holder) or 'at its end'}"

    def _leave(self, number: int, error: BaseException | None) -> None:
        if error is not None:
            self._break(number, _raised(number, error))
            return
        with self._mutex:
            self._next = number + 1
            latch = self._waiting.pop(self._next, None)
            if latch is not None:
                latch.release()

    def _break(self, number: int, reason: SequenceError) -> None:
        """Let nobody wait any more; the first reason counts."""
        with self._mutex:
            self._waiting.pop(number, None)
            if self._broken is None:
                self._broken = reason
            latches = list(self._waiting.values())
            self._waiting.clear()
        for latch in latches:
            latch.release()


class Step:
    """One step of a `Sequencer`: a context manager to be entered once."""

    def __init__(self, sequencer: Sequencer, number: int) -> None:
        """Made by `Sequencer.__call__`."""
        self._sequencer = sequencer
        self._number = number

    @override
    @steady
    def __repr__(self) -> str:
        return f"<step {self._number} of {self._sequencer!r}>"

    def __enter__(self) -> Self:
        """Wait for all lower steps.

        Raises:
            SequenceError: The number was used before, or an earlier step raised.
            MissingStepError: A lower step did not end in time.
        """
        self._sequencer._enter(self._number)  # pyright: ignore[reportPrivateUsage]
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Let the next step begin, or break the sequence if the block raised."""
        self._sequencer._leave(self._number, exc)  # pyright: ignore[reportPrivateUsage]


def _checked(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"a step's number must be a whole number, not {number!r}")
    if number < 0:
        raise ValueError(f"there is no step {number}: steps are numbered 0, 1, 2, ...")
    return number


def _raised(number: int, error: BaseException) -> SequenceError:
    # Words, not the error itself: it would keep the frames of another thread alive.
    return SequenceError(f"step {number} raised {type(error).__name__}: {error}")
