"""Threads that wait in the library: how a test knows that they do, and how it ends them."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, ClassVar

from joinable import Cancelled, CancelScope, Thread, sleep, spawn

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 1000  # seconds that no test waits
PATIENCE = 30  # seconds after which a wait that should take no time has failed


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Return when other threads have got so far that it holds; that must be soon."""
    end = time.monotonic() + seconds  # real ones, whatever clock the library has
    # A pause that grows, to a thousandth of a second: who looks again and again without one takes
    # the GIL, and on a busy machine the core, from the very thread that is to get so far.
    pause = 0.0
    while not condition():
        assert time.monotonic() < end, "it does not come to hold"
        time.sleep(pause)
        pause = min(pause + 1e-5, 1e-3)


def waiting_in(scope: CancelScope, threads: int = 1) -> None:
    """Return when so many threads wait in the scope."""
    until(lambda: len(scope._sleepers) >= threads)


def sleeper() -> tuple[Thread[None], CancelScope]:
    """Start a thread and return it, with its own scope, when it waits."""
    thread = spawn(sleep, LONG)
    scope = thread._make_scope()
    assert scope is not None
    waiting_in(scope)
    return thread, scope


def interrupt_main() -> None:
    """Press Ctrl-C: the main thread gets the signal, and so is woken by it."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def interrupt_waiting_main() -> None:
    """Press Ctrl-C when the main thread has been blocked in one place for a while.

    One that comes in the very microseconds in which a wait begins is seen only when that wait ends.
    """
    main, pause, looks = threading.main_thread().ident, threading.Event(), [(0, 0)]
    assert main is not None
    while len(looks) < 5 or len(set(looks[-5:])) > 1:
        pause.wait(0.01)
        frame = sys._current_frames()[main]
        looks.append((id(frame.f_code), frame.f_lasti))
    interrupt_main()


def elsewhere(function: Callable[[], object]) -> Callable[[], None]:
    """Make a function that has another thread call that one, and waits for its end."""

    def call() -> None:
        thread = threading.Thread(target=function)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()

    return call


class Gate:
    """A call that says when it has begun, and ends when it may; nothing else stops it."""

    def __init__(self, then: Callable[[], object] = int) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.ended = False
        self.then = then

    def __call__(self) -> object:
        self.begun.set()
        assert self.may_end.wait(PATIENCE)
        self.ended = True
        return self.then()


class Waiter:
    """A thread that does one thing in a scope of its own, which a test can cancel."""

    limit: ClassVar[float] = 5  # seconds; what is not there by then never comes

    def __init__(self, wait: Callable[[], object]) -> None:
        self.scope = CancelScope()
        self.thread: Thread[object] = spawn(self._run, wait)

    def _run(self, wait: Callable[[], object]) -> object:
        with self.scope:
            return wait()
        return Cancelled

    def is_asleep(self) -> bool:
        return bool(self.scope._sleepers)

    def cancel(self) -> None:
        """Cancel it; return when it holds its latch again and stands at the primitive's lock."""
        self.scope.cancel()
        until(lambda: not self.scope._sleepers)

    def ended(self) -> bool:
        return self.thread.done()

    def end(self) -> object:
        """Return what it returned, or `Cancelled` if it was cut short."""
        result = self.thread.result(self.limit)
        self.thread.join(self.limit)
        return result
