"""The calls of one `run_each` that an executor runs.

What it promises: the consumer's thread advances the source and hands in the calls, whenever it asks
for a result. A result that is there waits for one item of the source, and for a moment at most.

Who may run between which lines. `taken`, the source and the executor's `submit` are the consumer's
alone. The end of a call puts the result on the shelf, then pops the call from `pending`, then looks
for the sleeper; the consumer enters its latch, then looks for the result and for a free place, both
of which lock: so either it finds them, or the latch is found.
"""

from __future__ import annotations

import math

from joinable import _chain, _runtime, _unasked
from joinable._abroad import Abroad
from joinable._errors import Cancelled
from joinable._flow import Flow
from joinable._shelf import DONE, FAILED, AsCompleted, InOrder
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from joinable._shelf import Shelf
    from joinable._typing import SupportsSubmit

__all__ = ["ForeignFlow"]

_SOON = 1e-3
"""Seconds for which a result that is there may wait until more calls are handed in.

Enough to fill a window from a list. An executor takes 10 to 200 microseconds for a call.
"""


class ForeignFlow(Abroad, Flow):
    """The calls of one `run_each`, which has an executor run them."""

    key: int | None = None  # that of `_recall_late`
    worst = math.inf  # nothing behind this call is wanted

    def __init__(  # noqa: PLR0913  what `run_each` was given
        self,
        executor: SupportsSubmit,
        limit: float,
        fn: Callable[..., object],
        source: Iterator[tuple[object, ...]],
        *,
        eager: bool,
        ordered: bool,
        max_workers: int,
        buffersize: int,
        timeout: float | None,
        return_exceptions: bool,
    ) -> None:
        """Make them; the executor has `limit` of them at most, if the window is as wide as that."""
        self.use(executor)
        super().__init__(
            fn,
            source,
            ordered=ordered,
            max_workers=max_workers,
            buffersize=buffersize,
            timeout=timeout,
            return_exceptions=return_exceptions,
        )
        self.limit = limit
        self.eager = eager
        self.source: Iterator[tuple[object, ...]] = source
        self.most = 1  # at each result the source is asked for another item
        self.filled = False  # the calls that there is room for were handed in, at this result

    @override
    def make_shelf(self) -> Shelf:
        return InOrder(self.window) if self.ordered else AsCompleted()

    @override
    def set_up(self) -> None:
        pass

    # ---------------------------------------------------------------- the consumer's part

    @override
    def begin(self) -> None:
        try:
            super().begin()
            # Late: whatever a first call forks should find no thread of ours.
            self.key = _unasked.watch(self._recall_late, None)
        except BaseException as error:  # Ctrl-C between the two
            if not self.released:
                self.leave(error)
                self.let_go()
            raise

    @override
    def read(self) -> None:
        if self.eager:
            items: list[tuple[object, ...]] = []
            self.source = self.own.run(_read_all, self.source, items)
            self.window = len(items) + 1  # at the last of them is room to see that it is
            self.shelf = self.make_shelf()

    @override
    def call(self) -> None:
        self._fill()

    @override
    def hint(self) -> None:
        if not self.filled:
            self._fill()
        self.filled = False

    @override
    def _wait_for_some(self) -> None:
        self._fill()
        while not self._has_some():
            self._fill()
        self.filled = True

    @override
    def may_go_on(self) -> bool:
        return self._has_room() and self.has_place()

    def _fill(self) -> None:
        """Hand in what there is room for; one call at least, and no more for long."""
        if self.worst < math.inf:
            self.recall(self.worst)
        soon = math.inf if self.eager else _runtime.monotonic() + _SOON
        while self.may_go_on():
            _chain.checkpoint()
            self._hand_in_next()
            now = _runtime.monotonic()
            if now >= self.deadline:
                self.stop()
            if now >= soon and self._is_ready():
                return

    def _has_room(self) -> bool:
        return not self.over and self.taken - self.used < self.window

    def _is_ready(self) -> bool:
        shelf = self.shelf
        if self.chunk:
            return True
        if isinstance(shelf, InOrder):
            return shelf.marks[self.given % shelf.room] != 0
        return isinstance(shelf, AsCompleted) and bool(shelf.values)

    def _hand_in_next(self) -> None:
        try:
            arguments = self.own.run(self.source.__next__)
        except (Exception, Cancelled) as error:  # noqa: BLE001  it has its place in the stream
            self.end(error)
            return
        index, self.taken = self.taken, self.taken + 1
        self.hand_in(index, self.fn, *arguments)

    @override
    def let_go(self) -> None:
        super().let_go()
        if self.key is not None:
            _unasked.collected(self.key, self._recall_late)

    def _recall_late(self) -> threading.ExceptHookArgs | None:
        """Take back the calls of a stream that was dropped: its finalizer must not wait for it.

        There is nothing to report.
        """
        if self.closed:
            self.recall()
        return None

    @override
    def is_in_a_call(self) -> bool:
        me = _runtime.get_ident()
        return any(work.ident == me for work in self.works.copy().values())

    # ---------------------------------------------------------------- the executor's part

    @override
    def stop_behind(self, index: int) -> None:
        with self.lock:  # against another failure
            self.worst = min(self.worst, index if self.ordered else -1)
        self.over = True
        self.shelf.wake_all()  # whoever waits for what comes before takes the rest back

    @override
    def succeeded(self, index: int, value: object) -> None:
        self._put(index, value, DONE)

    @override
    def went_wrong(self, index: int, error: BaseException) -> None:
        self._put(index, *self.failed(index, error))

    @override
    def refused(self, index: int, error: BaseException) -> None:
        self._put(index, self.spoilt(index, error), FAILED)

    def _put(self, index: int, value: object, mark: int) -> None:
        shelf = self.shelf
        if isinstance(shelf, InOrder):
            place = index % shelf.room
            shelf.values[place] = value
            shelf.marks[place] = mark  # last: it says that the other is there
        elif isinstance(shelf, AsCompleted):
            shelf.values.append(value)

    @override
    def ended(self, index: int) -> None:
        if self.limit < math.inf:
            self.shelf.wake_all()  # whoever waits for another result may hand in the next call
        else:
            self.shelf.wake(index)


def _read_all(
    source: Iterator[tuple[object, ...]], items: list[tuple[object, ...]]
) -> Iterator[tuple[object, ...]]:
    """Take all the items; return an iterator that does what the source has done."""
    try:
        items.extend(source)
    except (Exception, Cancelled) as error:  # noqa: BLE001  raised behind what came before
        return _repeat(items, error)
    return iter(items)


def _repeat(items: list[tuple[object, ...]], error: BaseException) -> Iterator[tuple[object, ...]]:
    yield from items
    raise error
