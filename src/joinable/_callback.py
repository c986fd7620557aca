"""Callbacks of a scope: what makes a call end that the library cannot wake.

A callback runs once: on the thread that cancels, or on the timer's at a deadline, outside every
lock. After `remove` it has ended or will never run (C++'s `stop_callback` has this rule), so what
it touches may be closed then.

Who may run between which lines. The one who calls and the one who removes settle it by
`dict.setdefault`, which is atomic on every build and names the calling thread in the same step: so
a signal handler, too, finds it settled or not, and never between. A callback enters itself in every
scope that reaches it and then looks whether one has been cancelled; it looks once more whether it
has been settled meanwhile, since the timer's thread does the same while another one removes it.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import math
import threading

from joinable import _chain, _runtime, _timer
from joinable._check import steady
from joinable._errors import Cancelled, unraisable
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Literal, Self

    from joinable._chain import Link

__all__ = ["CancelCallback"]

_REMOVED = ("removed", 0)


class CancelCallback:
    """A callback of `on_cancel`, for as long as it is to be called.

    As a `with` it does what its scope cannot do for a call that is not the library's: when the
    callback was called during the block, leaving the block raises `Cancelled`, whatever the
    interrupted call returned or raised, which becomes the context of the `Cancelled`.

    Example:
        >>> import socket
        >>> from joinable import move_on_after
        >>> ours, theirs = socket.socketpair()
        >>> with move_on_after(0.01) as scope:
        ...     with scope.on_cancel(lambda: ours.shutdown(socket.SHUT_RDWR)) as callback:
        ...         _ = ours.recv(1)
        >>> callback.called
        True
        >>> ours.close()
        >>> theirs.close()

    Thread-safety: every method may be called by any thread at any time.
    """

    def __init__(self, scope: Link, function: Callable[[], object]) -> None:
        """Register the callback, or call it at once: for `on_cancel`."""
        self.scope = scope
        self._function = [function]
        # Who settles it first, the caller or the remover: an entry is made once.
        self._claim: dict[str, tuple[str, int]] = {}
        self._ended = _runtime.allocate_lock()
        self._ended.acquire()
        self._timer: _timer.Entry | None = None
        self.look_again()

    @override
    @steady
    def __repr__(self) -> str:
        settled = self._claim.get("by")
        return f"<CancelCallback {'waiting' if settled is None else settled[0]}>"

    @property
    def called(self) -> bool:
        """Whether it was called, or is being called."""
        return self._claim.get("by", _REMOVED)[0] == "called"

    def call(self) -> None:
        """Call it, unless it was called or removed: for the thread that cancels."""
        mine = ("called", _runtime.get_ident())
        if self._claim.setdefault("by", mine) is not mine:
            return
        try:
            self._function.pop()()
        except BaseException as error:
            # A callback must not stop the others. What a signal handler raises is not its doing.
            if threading.current_thread() is threading.main_thread() and not isinstance(
                error, (Exception, Cancelled)
            ):
                raise
            unraisable(error)
        finally:
            self._ended.release()
            self._forget()

    def remove(self) -> None:
        """Let it not be called any more; if it is being called, wait for its end.

        So what the callback touches may be closed when this has returned. A callback that removes
        itself does not wait. C++'s `stop_callback` has the same rule.

        Example:
            >>> from joinable import CancelScope
            >>> with CancelScope() as scope:
            ...     callback = scope.on_cancel(lambda: print("never"))
            ...     callback.remove()
            ...     scope.cancel()
            >>> callback.called
            False
        """
        settled = self._claim.setdefault("by", _REMOVED)
        if settled is _REMOVED:
            self._function.clear()
            self._forget()
        # Who calls it forgets it: until then the scope, when it is left, finds it and waits too. In
        # the child of a fork nobody is there who could end a call.
        elif settled[1] != _runtime.get_ident() and self.scope._is_of_this_process():
            _runtime.acquire(self._ended)
            self._ended.release()  # for the next one who removes it
            self._forget()  # one who entered it meanwhile may have taken us for its caller

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]:
        """Remove it; if it was called, leave by `Cancelled`.

        So does an error that comes when the scope is cancelled or late: a foreign call may notice
        the deadline by itself, a moment before the callback.
        """
        self.remove()
        if isinstance(exc, Exception) or (exc is None and self.called):
            _chain.checkpoint()
        return False

    def look_again(self) -> None:
        """Watch anew: at a deadline, on the timer's thread, or when a shield has been left."""
        # Again at once if a scope was left meanwhile, since then the next one may count.
        while not self._claim and not self._watch():
            pass

    def _watch(self) -> bool:
        """Enter it in every scope that reaches it now; call it if one is cancelled.

        False when the scopes have changed meanwhile.
        """
        now = _runtime.monotonic()
        until = math.inf
        for scope in _chain.reach(self.scope, now, anywhere=True):
            with scope._lock:
                scope._callbacks[self] = None
            if scope._asks(now):  # looked at when it has been entered
                self.call()
                self._forget_if_over()
                return True
            if not scope._is_open():
                return False
            until = min(until, scope._changes_at(now))
        if until < math.inf:
            self._ask_timer(until)
        if not self.scope._is_open():
            self.remove()
        else:
            self._forget_if_over()
        return True

    def _forget_if_over(self) -> None:
        """Take it out again if it was settled while we entered it; one who calls it does so."""
        settled = self._claim.get("by")
        if settled is _REMOVED or (settled is not None and not self._ended.locked()):
            self._forget()

    def _ask_timer(self, when: float) -> None:
        try:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = _timer.call_at(when, self.look_again)
        except BaseException:  # Ctrl-C, or no thread for the timer: it was not entered
            self.remove()
            raise

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        link: Link | None = self.scope
        while link is not None:
            if link._is_of_this_process():
                with link._lock:
                    link._callbacks.pop(self, None)
            link = link._parent
