"""`dump_tree`: what runs now, drawn as a tree, with the line where each thread is.

What it promises: it waits for nobody. It takes no lock, so it works while every lock of a program
is held by a thread that hangs, in a signal handler between any two lines of the library, and in a
finalizer. No code of the user's runs, but that of `file`. What begins or ends meanwhile is drawn or
not; the rest is as it was.

Who may run between which lines: everybody. What others change is copied in one step that is atomic
on every build (`dict.copy`), or read once. `_growth` gathers it, `_drawing` makes lines of it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from joinable import _drawing, _growth
from joinable._check import short, steady
from joinable._errors import unraisable
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any, Self, TextIO, TypeAlias

    _Handler: TypeAlias = Callable[[int, FrameType | None], Any] | int | signal.Handlers

__all__ = ["TreeSignal", "dump_tree", "dump_tree_on_signal"]


def dump_tree(file: TextIO | None = None) -> None:
    """Write what runs now: scopes, groups, pools, tasks and threads, and where each one is.

    Each thing stands below what it belongs to, with its state, its age, the seconds left until its
    deadline, and the line where its thread is. Threads that run nothing of the library come last.

    Example:
        >>> import sys
        >>> from joinable import TaskGroup, dump_tree, sleep
        >>> with TaskGroup(name="watchers") as group:
        ...     task = group.spawn(sleep, 60)
        ...     dump_tree(sys.stdout)  # doctest: +ELLIPSIS
        ...     group.cancel()
        What runs in process ...
        ...
        ... group 'watchers': open...

    Calls of `run_all` and `run_each`, and tasks of a pool, are shown without an age: nobody notes
    when each of them begins, which would cost more than a tiny call. Of many tasks at the same line
    some are shown, and the rest is counted. Lines are drawn in ASCII where `file` has no others.

    Args:
        file: Where to write. None: `sys.stderr` at this moment.

    Raises:
        TypeError: `file` has no method `write`.

    Thread-safety: may be called by any thread at any time, by a signal handler or a finalizer, and
    while others hold any lock of the library: it waits for none, and stops nobody.

    Cost: nothing until it is called; then some ten microseconds for each thread.
    """
    _check_file(file)
    target = sys.stderr if file is None else file
    if target is not None:  # as it is in a program without a console
        write(target)


def _check_file(file: object) -> None:
    if file is not None and not callable(getattr(file, "write", None)):
        raise TypeError(f"file must be a text file open for writing, or None, not {short(file)}")


def write(target: TextIO) -> None:
    """Draw the tree into a file."""
    text = _drawing.draw(_growth.grown(), plain=not _can_show(target, _drawing.BRANCHES))
    # Not through its buffer: another thread may hang in the midst of that, and keep its lock.
    if target is not sys.__stderr__ or os.name == "nt" or not _write_past(target, text):
        _write_to(target, text)


def _can_show(target: TextIO, text: str) -> bool:
    encoding: object = getattr(target, "encoding", None)
    try:
        text.encode(encoding if isinstance(encoding, str) else "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True


def _write_to(target: TextIO, text: str) -> None:
    try:
        target.write(text)
        target.flush()
    except RuntimeError:
        # A signal handler has interrupted the very thread that is in the midst of a write to it.
        if not _write_past(target, text):
            raise


def _write_past(target: TextIO, text: str) -> bool:
    """Write it to the file of the system's below; False where there is none."""
    try:
        number = target.fileno()
    except (OSError, ValueError, AttributeError):
        return False
    left = text.encode(target.encoding or "utf-8", "backslashreplace")
    while left:
        left = left[os.write(number, left) :]
    return True


class TreeSignal:
    """What `dump_tree_on_signal` has set up, for as long as it is to be: a context manager, too.

    Example:
        >>> import signal
        >>> from joinable import dump_tree_on_signal
        >>> on_demand = dump_tree_on_signal(signal.SIGINT)
        >>> on_demand.remove()
        >>> on_demand
        <dump_tree on SIGINT: off>
    """

    def __init__(self, signum: int, file: TextIO | None) -> None:
        """Install the handler."""
        self._signum = signum
        self._file = file
        self._active = True
        self._before = _handler_of(signum)
        try:
            signal.signal(signum, self._handle)
        except (OSError, ValueError) as error:
            raise ValueError(f"signum: {_said(signum)} cannot be handled: {error}") from None

    @override
    @steady
    def __repr__(self) -> str:
        return f"<dump_tree on {_said(self._signum)}: {'on' if self._active else 'off'}>"

    def remove(self) -> None:
        """Handle the signal as before; nothing happens if that was done already.

        Where another handler was installed since, that one stays, and this one draws no more.

        Raises:
            RuntimeError: The caller is not the main thread.
        """
        if not self._active:
            return
        _refuse_elsewhere()
        self._active = False
        if signal.getsignal(self._signum) == self._handle:
            signal.signal(self._signum, self._before)

    def __enter__(self) -> Self:
        """Have it undone at the end of the block."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Undo it."""
        self.remove()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        try:
            if self._active:
                dump_tree(self._file)
        except Exception as error:  # noqa: BLE001  a file that is closed must not end the program
            unraisable(error)
        if callable(self._before):
            self._before(signum, frame)


def dump_tree_on_signal(signum: int, *, file: TextIO | None = None) -> TreeSignal:
    """Write the tree of what runs whenever the process gets a signal: `kill -USR1 1234`.

    For programs that hang only where nobody can look. The handler runs on the main thread, also
    while that waits in the library, and while other threads hold any locks. Then it calls the
    handler that was there before, if there was one in Python: so with SIGINT, Ctrl-C draws the tree
    and interrupts as ever. What the system would have done by itself, such as to end the program,
    is not done.

    Example:
        >>> import signal, sys
        >>> from joinable import dump_tree_on_signal
        >>> with dump_tree_on_signal(signal.SIGTERM, file=sys.stdout):  # doctest: +ELLIPSIS
        ...     signal.raise_signal(signal.SIGTERM)
        ...     print("going on")
        What runs in process ...
        ...
        going on

    A main thread that is stuck in a function written in C, which does not come back for signals,
    handles none. `faulthandler.register` shows its lines even then.

    Args:
        signum: Which; `signal.SIGUSR1` is there for such things, on Windows `signal.SIGBREAK`.
        file: Where to write. None: what `sys.stderr` is when the signal comes.

    Returns:
        A context manager, with a method `remove()`, that undoes it. It need not be kept.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: There is no such signal on this system, or it cannot be handled.
        RuntimeError: The caller is not the main thread, which alone may handle signals, or the
            present handler is not of Python, and could not be put back.

    Thread-safety: the main thread calls it, and undoes it.
    """
    if isinstance(signum, bool) or not isinstance(signum, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"signum must be a signal, as signal.SIGINT is, not {short(signum)}")
    if signum not in signal.valid_signals():
        raise ValueError(f"signum must be a signal of this system, not {signum}")
    _check_file(file)
    _refuse_elsewhere()
    return TreeSignal(signum, file)


def _refuse_elsewhere() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("only the main thread may say how signals are handled: call it there")


def _handler_of(signum: int) -> _Handler:
    handler = signal.getsignal(signum)
    if handler is None:
        raise RuntimeError(
            f"{_said(signum)} is handled by something that is not written in Python, "
            "and could not be given back to that: take another signal"
        )
    return handler


def _said(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:  # a real-time signal
        return f"signal {signum}"
