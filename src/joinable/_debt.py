"""An error that is reported when the task that keeps it is collected, unless somebody asks before.

It hangs on the task and is collected with it. So a task that has not failed needs no finalizer,
which would cost something for each.
"""

from __future__ import annotations

import threading

from joinable import _unasked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Debt"]


class Debt:
    """An error that nobody has asked for."""

    _key: int | None = None

    def __init__(self, error: BaseException, traceback: TracebackType | None) -> None:
        """Keep what there is to report, in the end as an error of the calling thread."""
        thread = threading.current_thread()
        # `pop` is atomic on every build: it is reported once, or forgiven.
        self._left = [threading.ExceptHookArgs((type(error), error, traceback, thread))]

    def watch(self, after: float | None) -> None:
        """Have it reported after so many seconds, or earlier; None for never: see `_unasked`."""
        if self._key is None:
            self._key = _unasked.watch(self.claim, after)

    def claim(self) -> threading.ExceptHookArgs | None:
        """Answer what to report, once."""
        try:
            return self._left.pop()
        except IndexError:
            return None

    def forgive(self) -> None:
        """Report nothing: somebody has asked."""
        self._left.clear()

    def __del__(self) -> None:
        if self._key is not None:
            _unasked.collected(self._key, self.claim)
