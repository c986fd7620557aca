"""The calls of one `run_all` that an executor runs.

Who may run between which lines. The caller lists its latch under the crew's lock, and looks there
whether there is something to do; the end of a call is noted under that lock, and then it is looked
whether somebody sleeps who should do something about it. So either the sleeper sees the end, or
the end finds the latch.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextlib

from joinable import _park
from joinable._abroad import Abroad
from joinable._batch import Batch, taken
from joinable._errors import Cancelled
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from joinable._typing import Lock, SupportsSubmit

__all__ = ["ForeignBatch"]


class ForeignBatch(Abroad, Batch):
    """The calls of one `run_all`, which waits for an executor to run them."""

    sleeper: Lock | None = None
    over = False  # a call has failed, or was stopped: what can be taken back is

    def __init__(  # noqa: PLR0913  what `run_all` was given
        self,
        executor: SupportsSubmit,
        calls: list[Callable[[], object]],
        keys: Sequence[object] | None,
        *,
        max_workers: int | None,
        timeout: float | None,
        return_exceptions: bool,
    ) -> None:
        super().__init__(
            calls,
            keys,
            max_workers=max_workers,
            timeout=timeout,
            return_exceptions=return_exceptions,
        )
        self.use(executor)

    @override
    def _run(self) -> None:
        try:
            in_time = self._work_off()
            if not in_time or (self.stopped is not None and self.stopped._late):
                self.be_late()
        except BaseException as error:
            self.leave(error)
            if not self.failures or not isinstance(error, Cancelled):
                raise  # else it would hide a failure, which comes first

    def _work_off(self) -> bool:
        """Hand in everything, and wait until all has ended; False when the time is up."""
        while True:
            while self.todo and self.has_place():
                self._hand_in_next()
            if self._has_ended():
                self.over = True
                self.stop()
                self.recall()
            if not self.pending and not self.todo:  # the last may have ended since it was looked at
                return True
            if not self._sleep():
                return False

    def _hand_in_next(self) -> None:
        with contextlib.suppress(IndexError):  # a call has failed since we have looked
            index = self.todo.pop()
            call = self.calls[index]
            self.calls[index] = taken
            self.hand_in(index, call)

    def _sleep(self) -> bool:
        """Wait until there is something to do; False when the time is up."""
        held = _park.latch()
        with self.lock:
            if self._must_look():
                return True
            self.sleeper = held
        try:
            return _park.park(held, self.deadline)
        finally:
            self.sleeper = None

    def _must_look(self) -> bool:
        return not self.pending or (bool(self.todo) and self.has_place()) or self._has_ended()

    def _has_ended(self) -> bool:
        """Tell whether nothing more is to be handed in, and what was is to be taken back."""
        return not self.over and bool(self.failures or self.asked)

    # ---------------------------------------------------------------- the executor's part

    @override
    def succeeded(self, index: int, value: object) -> None:
        with contextlib.suppress(IndexError):  # the caller has left, and cleared it
            self.results[index] = value

    @override
    def went_wrong(self, index: int, error: BaseException) -> None:
        self._failed(index, error)

    @override
    def refused(self, index: int, error: BaseException) -> None:
        self.broke(error)

    @override
    def ended(self, index: int) -> None:
        with self.lock:
            sleeper = self.sleeper  # once: the caller takes it away when it likes
            if sleeper is not None and self._must_look():
                _park.release(sleeper)
