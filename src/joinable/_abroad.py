"""Calls that an executor of somebody else's runs, and one caller of ours waits for.

What this promises to who builds on it:

- The executor has no more than `limit` calls of ours at a time. It is handed calls by the thread of
  the caller alone, in which a `fork` does what it would have done without us.
- Each call that was handed in is settled once: by a result, by an error, or, when it was taken
  back, by nothing. Only then it counts as ended.
- To take back is to try: what `cancel` answers does not count, the end of the call does.

Who may run between which lines. An executor tells of the end of a call (`_ended`) in any thread, at
any time, more than once, and maybe under a lock of its own: what happens there waits for nobody
and hands in nothing. Whoever is the first to enter itself as a call's `teller`, under the crew's
lock, settles it. `pending` is added to before we ask to be told, and popped under that lock when
all is settled: so who finds it empty there finds every result.

Ctrl-C may come between any two lines of the caller. A future is in `pending` in the same step in
which it is handed to us. When the calls are left we ask again to be told of all that are there: the
interrupted thread may not have asked yet, or have been told of an end, by `submit` or `cancel`, and
not have settled it. What was interrupted in the executor's own `submit` may be lost to us: in this
process such a call does not begin any more.
"""

from __future__ import annotations

import contextlib
import functools
from concurrent.futures import BrokenExecutor

from joinable import _frames, _runtime
from joinable._calls import Calls
from joinable._errors import CancelledError
from joinable._foreign import Work, explain, kind_of
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from joinable._typing import SupportsOutcome, SupportsSubmit

__all__ = ["Abroad"]


class Abroad(Calls):
    """Calls that an executor runs: to be mixed into those that threads of ours would run."""

    executor: SupportsSubmit
    pending: dict[int, SupportsOutcome[object]]
    works: dict[int, Work]
    broken = False  # the executor, and that has been told
    tally: Callable[[], object] | None = None  # counts the calls that have come to an outcome

    def use(self, executor: SupportsSubmit) -> None:
        """Have the calls run there."""
        self.executor = executor
        self.kind = kind_of(executor)
        self.pending = {}
        self.works = {}

    # ---------------------------------------------------------------- what a subclass does with it

    def succeeded(self, index: int, value: object) -> None:
        """Put the result of a call where it belongs."""
        raise NotImplementedError

    def went_wrong(self, index: int, error: BaseException) -> None:
        """Put the error of a call where it belongs."""
        raise NotImplementedError

    def refused(self, index: int, error: BaseException) -> None:
        """Deal with an executor that takes no more calls, from this one on."""
        raise NotImplementedError

    def ended(self, index: int) -> None:
        """Wake who waits for that: the call is settled, and its place free."""
        raise NotImplementedError

    # ---------------------------------------------------------------- the caller's part

    def has_place(self) -> bool:
        """Tell whether the executor may be handed another call."""
        return len(self.pending) < self.limit

    def hand_in(self, index: int, fn: Callable[..., object], *args: object) -> None:
        """Hand in a call."""
        work = self.works[index] = Work(fn, args, self.context.copy())
        try:
            # All in C from where `submit` returns: no Ctrl-C comes between that and the entry.
            self.pending.update(zip((index,), map(self.executor.submit, (work,)), strict=True))
            self._listen(index, self.pending[index])
        except Exception as error:  # noqa: BLE001  it is raised at its place
            self.works.pop(index, None)
            self.pending.pop(index, None)
            self._was_refused(index, work, error)

    def _listen(self, index: int, future: SupportsOutcome[object]) -> None:
        if not hasattr(future, "add_done_callback"):
            raise TypeError(
                f"submit() of the {self.kind} must return a future, which has an "
                f"add_done_callback(), not {type(future).__name__}"
            )
        future.add_done_callback(functools.partial(self._ended, index))

    def _was_refused(self, index: int, work: Work, error: Exception) -> None:
        if work.could_not_be_sent():
            self.went_wrong(index, explain(error, work, self.say(index), self.kind))
            if self.tally is not None:
                self.tally()
            return
        place = _frames.show(self.place)
        told = f"the {self.kind} has not taken {self.say(index)} of the {self.what} at {place}"
        _frames.note(error, told)
        self.refused(index, error)

    def recall(self, behind: float = -1) -> None:
        """Try to take back what was handed in, all that comes behind this call."""
        for index, work in self.works.copy().items():
            if index > behind:
                work.recalled = True
                future = self.pending.get(index)
                if future is not None:
                    with contextlib.suppress(Exception):  # it is tried
                        future.cancel()

    def _take_up(self) -> None:
        """Do what Ctrl-C may have interrupted in this thread."""
        me = _runtime.get_ident()
        for index, work in self.works.copy().items():
            if work.teller == me:
                work.teller = None
            future = self.pending.get(index)
            if future is not None:
                self._listen(index, future)

    @override
    def _leave(self, why: BaseException | str) -> None:
        if not self.left:
            self.stop()
            self.recall()
            self._take_up()
        with self.lock:  # if it came while this thread was told of an end, it is there, too
            self.failures[:] = [failure for failure in self.failures if failure[1] is not why]
        super()._leave(why)

    @override
    def be_late(self) -> None:
        self.stop()
        self.recall()
        super().be_late()

    @override
    def abandon(self) -> bool:
        return bool(self.pending)

    @override
    def runners(self) -> list[tuple[str, int | None]]:
        works = self.works.copy().items()
        return [(self.say(index), work.ident) for index, work in works if index in self.pending]

    @override
    def places(self) -> list[tuple[str, str | None]]:
        there = f"the {self.kind}"
        return [
            (name, there if ident is None else _frames.current_line(ident))
            for name, ident in self.runners()
        ]

    # ---------------------------------------------------------------- the executor's part

    @override
    def has_more(self) -> bool:
        return bool(self.pending)

    def _ended(self, index: int, _: object) -> None:
        with self.lock:
            work = self.works.get(index)
            if work is None or work.teller is not None:
                return  # it was told before
            work.teller = _runtime.get_ident()
        try:
            came = self._settle(index, work, self.pending[index])
            if came and self.tally is not None:
                self.tally()  # before it is popped: who finds nothing there has nothing to count
        except BaseException as error:
            self.broke(error)
            if not isinstance(error, Exception):
                raise  # Ctrl-C, where the caller himself has handed in or taken back
        finally:
            with self.lock:
                self.pending.pop(index, None)
                self.works.pop(index, None)
                self.tell_if_gone()
            self.ended(index)

    def _settle(self, index: int, work: Work, future: SupportsOutcome[object]) -> bool:
        """Put what has come of a call where it belongs; False if it was taken back in time."""
        stopped, work.stopped = work.stopped, None  # its traceback leads there
        if future.cancelled():
            if stopped is not None:
                self.went_wrong(index, explain(stopped, work, self.say(index), self.kind))
            elif not work.recalled:
                self.went_wrong(index, self._cancellation(index))
            else:
                return False
            return True
        # No time for it: an executor may tell of an end that there is not.
        error = future.exception(0)
        if error is None:
            self.succeeded(index, future.result(0))
        elif not work.recalled or work.ident is not None or not isinstance(error, CancelledError):
            self.went_wrong(index, explain(error, work, self.say(index), self.kind))
        else:
            return False
        return True

    def _cancellation(self, index: int) -> CancelledError:
        return CancelledError(
            f"{self.say(index)} was cancelled by somebody else: the {self.kind} was shut down, say"
        )

    @override
    def mark(self, index: int, error: BaseException) -> None:
        if not isinstance(error, BrokenExecutor):
            super().mark(index, error)
        elif not self.broken:  # the same error for all the calls that it had
            self.broken = True
            place = _frames.show(self.place)
            _frames.note(error, f"the {self.kind} had calls of the {self.what} at {place}")

    @override
    def add_failure(self, index: int, error: BaseException) -> bool:
        if any(known is error for _, known in self.failures):
            return True
        return super().add_failure(index, error)
