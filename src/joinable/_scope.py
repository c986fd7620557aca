"""Scopes: blocks of code that can be told to stop, or that have a deadline.

What they promise:

- A cancelled scope stops what waits in it, in every thread that runs in it, at once and without
  polling. Every later wait in it raises `Cancelled` again, until the scope is left.
- Only the scope that asked swallows its `Cancelled`. Of several, the outermost asks.
- A deadline is an absolute time; of nested ones the earlier counts. A `shield` keeps both off, for
  so many seconds.
- A scope that is left is over: it cannot be cancelled any more, its deadline does not fire, and
  what still runs in it, in other threads, belongs to its parent from then on. But what it has told
  to stop before stays told.

`_chain` tells how a scope reaches those who wait, `_callback` what holds for callbacks.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import math
from weakref import ref

from joinable import _chain, _frames, _live, _runtime
from joinable._callback import CancelCallback
from joinable._chain import ENTERED, LEFT, NEW, Link
from joinable._check import check_callable, check_time, short, steady
from joinable._errors import Cancelled
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from joinable._chain import Callback, Seat
    from joinable._typing import T

__all__ = ["CancelScope", "current_scope"]


class CancelScope(Link):
    """Bound a block of code that can be told to stop.

    `cancel()`, from any thread, makes every wait of the library in the block raise `Cancelled`,
    which leaves the block and ends there. Threads that were started in the block are stopped too,
    and the block does not wait for them: join them, or use `run_all`, which does. Once the block is
    left it is too late to cancel it: what still runs then belongs to the scope around it.

    Example:
        >>> from joinable import CancelScope, sleep, spawn
        >>> with CancelScope() as scope:
        ...     thread = spawn(scope.cancel, "no need any more")
        ...     sleep(60)
        >>> scope.cancelled, scope.reason
        (True, 'no need any more')

    Args:
        deadline: The monotonic time (`time.monotonic()`, in seconds) at which to stop. For a number
            of seconds from now use `move_on_after` or `fail_after`.

    Raises:
        TypeError, ValueError: `deadline` is not a number.
        RuntimeError: On entering: it was entered before. On leaving: another scope was entered in
            it and not left, or another thread has entered it.

    Thread-safety: every method may be called by any thread; one thread enters and leaves.

    Cost: some microseconds for the block. A wait in it looks at each scope around it.
    """

    _swallowed = False
    _shield: float | None = 0.0
    _outer: Link | Seat | None = None
    _place: _frames.Place | None = None

    def __init__(self, *, deadline: float = math.inf) -> None:
        """Make a scope that is not entered yet."""
        check_time(deadline, "deadline")
        super().__init__()
        self._deadline = deadline

    # ---------------------------------------------------------------- what it tells

    @property
    def deadline(self) -> float:
        """The monotonic time at which it stops; infinity without a deadline.

        Example:
            >>> import time
            >>> from joinable import CancelScope, move_on_after
            >>> with move_on_after(60) as scope:
            ...     59 < scope.deadline - time.monotonic() <= 60
            True
            >>> CancelScope().deadline
            inf
        """
        return self._deadline

    @property
    def cancelled(self) -> bool:
        """Whether `cancel()` was called, or the deadline passed, before the block was left."""
        return self._requested or self._passed or (self._is_open() and self._is_late())

    @property
    def cancelled_caught(self) -> bool:
        """Whether the block was cut short, by a `Cancelled` that has stopped at its end.

        A block that was asked to stop and came to its end all the same was not cut short:

        Example:
            >>> from joinable import CancelScope, sleep
            >>> with CancelScope() as scope:
            ...     scope.cancel()
            ...     sleep(60)
            >>> scope.cancelled, scope.cancelled_caught
            (True, True)
            >>> with CancelScope() as scope:
            ...     scope.cancel()
            >>> scope.cancelled, scope.cancelled_caught
            (True, False)
        """
        return self._swallowed

    @property
    def reason(self) -> str | BaseException | None:
        """What `cancel()` was given."""
        return self._reason

    @override
    @steady
    def __repr__(self) -> str:
        word = self._state
        if self._place is not None:
            word += f" at {_frames.show(self._place)}"
        if self._is_open() and self._shields(_runtime.monotonic()):
            word += ", a shield"
        if self.cancelled:
            word += ", cancelled"
        elif self._is_open() and self._deadline < math.inf:
            word += f", {self._deadline - _runtime.monotonic():.3g} s left"
        waiting = len(self._sleepers)
        word += f", {waiting} waiting" if waiting else ""
        return f"<CancelScope {word}>"

    # ---------------------------------------------------------------- cancelling

    def cancel(self, reason: str | BaseException | None = None) -> None:
        """Stop what runs in the scope; nothing happens if it was cancelled or left before.

        Waits are woken before this returns, and callbacks have run (but for those that another
        thread is just calling). It does not wait for the block to end. A signal handler may call
        it.

        Args:
            reason: Why, for whoever catches the `Cancelled` and for its message.
        """
        if not isinstance(reason, str | BaseException | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"reason must be a text or an exception, not {short(reason)}")
        if not self._is_of_this_process() and self._state is not NEW:
            return  # its lock may be held for ever
        with self._lock:
            if self._requested or self._state is LEFT:
                return
            self._reason = reason
            self._requested = True  # before the watchers are looked at
            callbacks, interrupt = self._wake_all()
        _call_all(callbacks, interrupt)

    def _wake_all(self) -> tuple[list[Callback], BaseException | None]:
        """Wake who waits, needs the lock; return the callbacks, and the Ctrl-C that came between.

        Who was left out by that would sleep on, since nobody cancels a scope twice.
        """
        interrupt = None
        try:
            self._wake_each()
        except BaseException as error:  # noqa: BLE001  raised by the caller, when all has been done
            interrupt = error
            self._wake_each()
        return list(self._callbacks), interrupt

    def _wake_each(self) -> None:
        for sleeper in list(self._sleepers):
            sleeper.wake()

    def on_cancel(self, callback: Callable[[], object]) -> CancelCallback:
        """Call `callback()` when the scope, or one around it, is cancelled or late.

        It is for what the library cannot wake: `sock.shutdown`, `process.terminate`,
        `connection.interrupt`. It runs once, on the thread that cancels, or on a thread of the
        library at a deadline, outside every lock; at once if the scope is cancelled already. It
        should be quick. What it raises goes to `sys.unraisablehook`.

        What this returns removes it: use it in a `with`, or call its `remove()`. Leaving the scope
        removes it too. Such a `with` is left by `Cancelled` if the callback was called, whatever
        the call that it has ended returned or raised.

        Example:
            >>> from joinable import CancelScope
            >>> with CancelScope() as scope, scope.on_cancel(lambda: print("stop the engine")):
            ...     scope.cancel()
            stop the engine

        Raises:
            TypeError: `callback` cannot be called.
            RuntimeError: The scope was not entered, or no thread can be had for a deadline.
        """
        check_callable(callback, "callback")
        if self._state is not ENTERED:
            raise RuntimeError(
                f"on_cancel has to be called inside the `with` of the scope: {self!r}"
            )
        return CancelCallback(self, callback)

    # ---------------------------------------------------------------- in and out

    def __enter__(self) -> Self:
        """Put the scope in force for this thread, and for those that it starts."""
        frame = _frames.entering()
        with self._lock:  # of two threads that enter it at once, one is too late
            if self._state is not NEW:
                raise RuntimeError(f"a scope can be entered once, and this one was: {self!r}")
            self._frame = _frames.leaky_generator(frame)
            self._place = None if frame is None else (frame.f_code.co_filename, frame.f_lineno)
            self._outer = _chain.current.get()
            self._open(_chain.in_force())
            _live.entered[id(self)] = ref(self)
        # In one step, and the last: were it in force when Ctrl-C comes, nobody would leave it.
        (_,) = map(_chain.current.set, (self,))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool:
        """Leave the scope, and swallow the `Cancelled` that it asked for."""
        if self._state is ENTERED and self._thread != _runtime.get_ident():
            # It stays in force where it was entered: that block is still running.
            raise RuntimeError(
                f"the scope was entered by another thread, which must leave it: {self!r}"
            )
        inner = self._left_behind()
        # An exception may have come between the lines of an inner scope's `__exit__`: Ctrl-C can.
        in_order = inner == [] or (exc is not None and inner is not None)
        if not in_order:
            message = f"the scope is left out of order: {self!r}; in force is {current_scope()!r}"
            self._close(stays=False)
            raise RuntimeError(message)
        (_,) = map(_chain.current.set, (self._outer,))
        for scope in (*(inner or ()), self):
            scope._close(stays=True)
        self._swallowed = isinstance(exc, Cancelled) and exc._scope is self
        return self._swallowed

    def _left_behind(self) -> list[CancelScope] | None:
        """Return the scopes that are in force inside this one; None where this one is not."""
        if not self._is_of_this_process():
            return []
        found: list[CancelScope] = []
        # Not `current`: what lies there may be of a generator that has yielded.
        link = _chain.in_force()
        while link is not None and link is not self:
            if isinstance(link, CancelScope):  # as all are
                found.append(link)
            link = link._parent
        return None if link is None else found

    @override
    def _open(self, parent: Link | None) -> None:
        if self._shield != 0:
            span = math.inf if self._shield is None else self._shield
            self._shield_until = _runtime.monotonic() + span
        super()._open(parent)

    def _close(self, *, stays: bool) -> None:
        """Be over: stop nobody any more, and let go of what was only for this block."""
        if self._deadline < math.inf:
            self._passed = self._is_open() and self._is_late()
        _live.entered.pop(id(self), None)
        self._frame = None
        self._shield_until = -math.inf
        if not self._is_of_this_process():
            self._state = LEFT
            return
        with self._lock:  # of a `cancel` that comes now, all is done or nothing
            self._stays = stays and (self._requested or self._passed)
            self._state = LEFT  # before the watchers are looked at
        if self._shield != 0:
            self._lift_shield()
        for callback in list(self._callbacks) if self._callbacks else ():
            if callback.scope is self:
                callback.remove()

    def _lift_shield(self) -> None:
        """Have those look again who wait in other threads: they belong to our parent now."""
        with self._lock:
            callbacks, interrupt = self._wake_all()
        for callback in callbacks:
            if callback.scope is not self:
                callback.look_again()
        if interrupt is not None:
            raise interrupt


def _call_all(callbacks: list[Callback], first: BaseException | None) -> None:
    """Call every one, whatever one of them raises; raise that, or what came before."""
    for callback in callbacks:
        try:
            callback.call()
        except BaseException as error:  # noqa: BLE001  raised below, when all have been called
            first = first or error
    if first is not None:
        raise first


def current_scope() -> CancelScope | None:
    """Return the innermost scope that the calling code runs in; None without one.

    A thread of the library's has a scope of its own, which `Task.cancel` cancels.

    Example:
        >>> from joinable import CancelScope, current_scope
        >>> with CancelScope() as scope:
        ...     current_scope() is scope
        True
    """
    return _chain.in_force()  # type: ignore[return-value]  # the one kind of link there is


def task_scope(parent: Link | None, deadline: float = math.inf) -> CancelScope:
    """Make the scope of a task, and open it: as the constructor and `with` do, for less."""
    scope = CancelScope.__new__(CancelScope)
    Link.__init__(scope)
    if deadline < math.inf:
        scope._deadline = deadline
    Link._open(scope, parent)
    return scope


def run_in(scope: Link | Seat, body: Callable[[], T]) -> T:
    """Run the body of a task in its scope, in a context of the user's, which is put right."""
    outer = _chain.current.get()
    _chain.current.set(scope)
    try:
        return body()
    finally:
        _chain.current.set(outer)
        # The traceback of an error may lead here, and must not keep the scopes around the task.
        del scope, outer, body
