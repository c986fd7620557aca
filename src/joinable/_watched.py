"""A task that is a thread object: an error that nobody asks for is reported in that thread's name.

Not by a `Debt`: the report names the very object, and that may not hang on itself, or only the
garbage collector would end it. So here the object has a finalizer, and comes back for the report.
"""

from __future__ import annotations

import threading

from joinable import _unasked
from joinable._running import Running
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from joinable._typing import T  # noqa: F401  in the brackets of the base

__all__ = ["Watched"]


class Watched(Running["T"]):
    """The base of `Thread`, beside that of the standard library."""

    # On the class: the finalizer finds them on a thread whose constructor did not run.
    _watch_keys: tuple[int, ...] = ()
    _reported = False

    @override
    def _watch(self) -> None:
        key = _unasked.watch(self._claim, self.report_after)
        if key is not None:
            with self._mutex:  # two may be here at once: each key is told of the end
                self._watch_keys = (*self._watch_keys, key)

    def _claim(self) -> threading.ExceptHookArgs | None:
        """Answer what to report; None when somebody has asked for the error."""
        error = self._exception
        with self._mutex:  # two may hold the claim, each for a waiter that was interrupted
            if error is None or self._asked or self._reported:
                return None
            self._reported = True
        return threading.ExceptHookArgs((type(error), error, self._traceback, self))

    def __del__(self) -> None:
        for key in self._watch_keys:
            _unasked.collected(key, self._claim)
