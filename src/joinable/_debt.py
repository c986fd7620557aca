"""An error that is reported when the task that keeps it is collected, unless somebody asks before.

It hangs on the task and is collected with it. So a task that has not failed needs no finalizer,
which would cost something for each.
"""

from __future__ import annotations

import threading

from joinable import _unasked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Debt"]


class Debt:
    """An error that nobody has asked for."""

    # On the class: the finalizer finds it on one whose constructor did not come to its end.
    _keys: Sequence[int] = ()

    def __init__(
        self,
        error: BaseException,
        traceback: TracebackType | None,
        thread: threading.Thread | None,
    ) -> None:
        """Keep what there is to report, in the name of a thread or of none."""
        # `pop` is atomic on every build: it is reported once, or forgiven.
        self._left = [threading.ExceptHookArgs((type(error), error, traceback, thread))]

    def watch(self, after: float | None) -> None:
        """Have it reported after so many seconds, or earlier; None for never: see `_unasked`."""
        key = _unasked.watch(self.claim, after)
        if key is not None:
            # In one step: two may be here at once, and each key is told of the end.
            vars(self).setdefault("_keys", []).append(key)

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
        for key in self._keys:
            _unasked.collected(key, self.claim)
