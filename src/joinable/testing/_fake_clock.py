"""`FakeClock`: deadlines and sleeps of the library in the hand of a test.

What it promises, while it is installed:

- A timed wait of the library ends when the clock reaches its deadline, and never by real time.
  Waits end in the order of their deadlines; of two with the same one, the older ends first.
- Untimed waits, and waits that succeed, are as always. Locks made before go on working.
- On leaving, whatever happened, every name of the runtime is what it was. What still waits then
  waits the rest of its time, for real.

It stands in the place of `_runtime`'s functions, and of nothing else: `time.sleep`, `threading` and
`concurrent.futures.wait` keep real time. `_waits` tells how it knows who waits.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Self

from joinable import _runtime, _timer, _unasked
from joinable._check import check_seconds, steady
from joinable._typing import override
from joinable.testing._latch import Latch
from joinable.testing._waits import PATIENCE, Ledger, Outcome, Wait

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable
    from types import TracebackType

    from joinable._typing import Lock, T
    from joinable.testing._waits import Life

__all__ = ["FakeClock"]

_REAL_TIME = time.monotonic  # to see whether somebody else has taken over the runtime
_PLAIN_LOCK = type(_runtime.allocate_lock())
#: Seconds between two looks at a thread of the library that was there before the clock.
_GLANCE = 0.001
#: How often it is looked at before it is left to itself.
_GLANCES = 5_000
_REPLACED = (
    "monotonic",
    "allocate_lock",
    "acquire",
    "acquire_until",
    "start",
    "start_service",
    "departing",
    "at_rest",
    "join",
    "receive",
)


class FakeClock:
    """Let the time of the library pass when the test says so.

    Inside the block, the deadlines of the library's waits are counted on this clock, which stands
    still but for `advance`.

    Example:
        >>> import threading
        >>> from joinable import DeadlineExceeded, spawn
        >>> from joinable.testing import FakeClock
        >>> gate = threading.Event()
        >>> slow = spawn(gate.wait)
        >>> with FakeClock() as clock:
        ...     waiter = spawn(slow.exception, timeout=60)
        ...     clock.until_waiting()
        ...     clock.advance(60)
        ...     type(waiter.exception()).__name__
        'DeadlineExceeded'
        >>> gate.set()

    With `autojump=True` the clock goes to the next deadline by itself whenever all wait:

        >>> from joinable import Task
        >>> with FakeClock(autojump=True) as clock:
        ...     never = Task()
        ...     try:
        ...         never.result(timeout=3600)
        ...     except DeadlineExceeded:
        ...         clock.now
        3600.0

    "All" is the thread that installed the clock, every thread that the library started since, and
    every thread that has waited in the library since, until it ends. A thread counts as waiting
    while it is in one of the library's waits, or waits for a step of a `Sequencer`. It counts as
    running otherwise: also while it blocks in something that is not the library's (a
    `threading.Event`, a socket, `time.sleep`, `concurrent.futures.wait`), or joins a thread that
    was started before. Then the clock does not jump; call `advance`. Nothing polls to know this.
    When all wait and none has a deadline, nothing happens: that is a deadlock, as without a clock.

    The reports of unasked errors (`report_after`) are due on this clock too. What is due later when
    the block ends is reported when the task is collected, or at exit, or as much later as the clock
    was ahead of real time.

    Args:
        autojump: Go to the next deadline when all wait.

    Raises:
        RuntimeError: On entering: a clock, or `explore`, has the runtime in hand already.

    Thread-safety: every method may be called by any thread. One clock at a time for the process.
    """

    def __init__(self, *, autojump: bool = False) -> None:
        """Make a clock that is not installed yet."""
        if not isinstance(autojump, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"autojump must be True or False, not {autojump!r}")
        self._autojump = autojump
        self._start = 0.0
        self._ledger: Ledger | None = None
        self._real: dict[str, object] = {}

    @override
    @steady
    def __repr__(self) -> str:
        ledger = self._ledger
        if ledger is None:
            return "<FakeClock: not installed>"
        state = "not installed any more" if ledger.over else "installed"
        return f"<FakeClock: {state}, {self.now:g} s have passed>"

    @property
    def now(self) -> float:
        """Seconds that have passed on this clock since it was installed."""
        # To the nanosecond, which is also when a deadline counts as reached.
        return round(self._books.now - self._start, 9)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass; whatever falls due on the way ends.

        When it returns, every thread whose wait it has ended has come back from that wait, one
        after the other in the order of their deadlines, and errors whose `report_after` is over
        have been reported. What those threads do next is their own affair: they may still be
        running, and a wait that one begins now counts from the present time of the clock.

        A thread that is on its way to a wait is not waited for; see `until_waiting`.

        Args:
            seconds: 0 or more. 0 ends what is due already.

        Raises:
            ValueError: `seconds` is negative, infinite or NaN.
            RuntimeError: The clock is not installed, or a hook for unasked errors keeps the
                reporting thread for more than 30 s of real time.
        """
        _check_span(seconds)
        books = self._books
        if books.over:
            raise RuntimeError("the clock is not installed any more: its block has ended")
        books.advance(seconds)

    def until_waiting(self, threads: int = 1, *, patience: float = PATIENCE) -> None:
        """Return when at least so many threads wait in the library with a deadline.

        So a test knows that the wait it is about to end has begun. The library's own threads do
        not count.

        Args:
            threads: How many.
            patience: Seconds of real time after which it is an error.

        Raises:
            TimeoutError: Fewer threads wait when the patience is over; the message says how many.
        """
        count = self._books.until_waiting(threads, patience)
        if count < threads:
            raise TimeoutError(
                f"{count} threads wait with a deadline after {patience:g} s, not {threads}: "
                "the others have not come to their waits, or block outside the library"
            )

    @property
    def _books(self) -> Ledger:
        if self._ledger is None:
            raise RuntimeError("the clock is not installed: write `with FakeClock() as clock:`")
        return self._ledger

    # ---------------------------------------------------------------- in and out

    def __enter__(self) -> Self:
        """Install the clock."""
        if self._ledger is not None:
            raise RuntimeError("a FakeClock is used once: make another one")
        if _runtime.monotonic is not _REAL_TIME:
            raise RuntimeError(
                "the library's time is under control already, of another FakeClock or of explore()"
            )
        # A whole number, and not before the present: time must not go back, and a sum of small
        # numbers must come out the same whichever way it is made.
        self._start = float(math.ceil(_runtime.monotonic()))
        self._ledger = ledger = Ledger(self._start, autojump=self._autojump)
        ledger.here()
        self._real = {name: getattr(_runtime, name) for name in _REPLACED}
        self._install(_Seam(ledger))
        return self

    def _install(self, seam: _Seam) -> None:
        try:
            for name in _REPLACED:
                setattr(_runtime, name, getattr(seam, name))
            for services in (_unasked, _timer):
                self._adopt(services.service(), services.look_again)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _adopt(
        self, service: threading.Thread | None, look_again: Callable[[], threading.Thread | None]
    ) -> None:
        """Count a thread of the library: it sleeps in real time, and must come to ours."""
        if service is None:
            return
        life = self._books.adopt(service)
        # With the message before it, it cannot end without coming to our `receive`. If another one
        # has the message, or none, this one was about to end and will not come.
        if look_again() is not service:
            self._books.end(life)
            return
        # It may have had its last message already, and end without coming to us.
        for _ in range(_GLANCES):
            if life.visits or not service.is_alive():
                break
            service.join(_GLANCE)
        if not life.visits:
            self._books.end(life)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Give the runtime its own functions back."""
        # First the names, then the waits: what is set free must find real time.
        for name, function in self._real.items():
            setattr(_runtime, name, function)
        self._books.close()


def _check_span(seconds: float | None) -> None:
    check_seconds(seconds, "seconds")
    if seconds is None or not 0 <= seconds < math.inf:
        raise ValueError(f"seconds must be 0 or more, and finite, not {seconds!r}")


class _Seam:
    """What stands in the place of the functions of `_runtime`, under the same names."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # The real ones, bound before they are replaced.
        self._acquire = _runtime.acquire
        self._start = _runtime.start
        self._start_service = _runtime.start_service
        self._join = _runtime.join
        self._receive = _runtime.receive

    def monotonic(self) -> float:
        """Read the clock."""
        return self._ledger.now

    def allocate_lock(self) -> Lock:
        """Make a lock whose waits the clock sees."""
        return Latch(self._ledger)

    def _deadline(self, timeout: float | None) -> float | None:
        # As in real time: longer than the system can count is for ever.
        if timeout is None or timeout >= threading.TIMEOUT_MAX:
            return None
        return self._ledger.now + timeout

    def acquire(self, lock: Lock, timeout: float | None = None) -> bool:
        """Wait for the lock."""
        return self._acquire_by(lock, self._deadline(timeout))

    def acquire_until(self, lock: Lock, deadline: float) -> bool:
        """Wait for the lock until then."""
        far = deadline - self._ledger.now >= threading.TIMEOUT_MAX
        return self._acquire_by(lock, None if far else deadline)

    def _acquire_by(self, lock: Lock, deadline: float | None) -> bool:
        if isinstance(lock, Latch) and lock.ledger is self._ledger:
            return lock.take(deadline)
        if deadline is None or self._ledger.passed(deadline) or not _is_plain(lock):
            return self._acquire(lock, None if deadline is None else deadline - self._ledger.now)
        return lock.acquire(timeout=0) or self._acquire_old(lock, deadline)

    def _acquire_old(self, lock: Lock, deadline: float) -> bool:
        """Wait for a lock that was made before: its release cannot be seen, only awaited."""
        outcome = self._ledger.help(lambda: self._acquire(lock, None), deadline, lock.release)
        if outcome is Outcome.SET_FREE:
            return self._acquire(lock, deadline - self._ledger.now)
        return outcome is Outcome.TAKEN

    def join(self, thread: threading.Thread, timeout: float | None = None) -> None:
        """Wait for the end of the thread."""
        ledger, deadline = self._ledger, self._deadline(timeout)
        life = ledger.life_of(thread)
        if ledger.passed(deadline) or not thread.is_alive() or life is ledger.here():
            self._join(thread, 0 if ledger.passed(deadline) else timeout)  # or it raises
            return
        if life is not None:
            outcome = self._await_end(life, deadline)
        elif deadline is not None:
            outcome = ledger.help(lambda: self._join(thread), deadline, None)
        else:
            outcome = Outcome.TAKEN
        if outcome is Outcome.TAKEN:
            self._join(thread)  # its Python code is over; the rest is a moment
        elif outcome is Outcome.SET_FREE and deadline is not None:
            self._join(thread, max(0.0, deadline - ledger.now))

    def _await_end(self, life: Life, deadline: float | None) -> Outcome:
        ledger = self._ledger
        wait = Wait(ledger.here(), deadline, life.joiners)
        with ledger.mutex:
            if life.over:
                return Outcome.TAKEN
            ledger.enter(wait)
        return ledger.block(wait)

    def receive(self, channel: queue.SimpleQueue[T], timeout: float | None) -> T | None:
        """Wait for a message; None may come early ("look again")."""
        ledger, deadline = self._ledger, self._deadline(timeout)
        if ledger.passed(deadline):
            return self._receive(channel, 0)
        life = ledger.here()
        wait = Wait(life, deadline, None)
        wait.channel = channel
        with ledger.mutex:
            life.service, life.channel = True, channel
            ledger.enter(wait)
        try:
            return channel.get()
        finally:
            ledger.leave(wait, Outcome.TAKEN)

    # ---------------------------------------------------------------- starts

    def start(self, thread: threading.Thread) -> None:
        """Start the thread; it counts as running from here on."""
        life = self._ledger.begin(thread)
        try:
            # `run` is put back by the new thread before it is called: nobody sees the difference.
            put_back = _replace_run(thread, lambda body: self._live(life, body))
            try:
                self._start(thread)
            except BaseException:
                put_back()
                raise
        except BaseException:
            self._ledger.end(life)
            raise

    def start_service(self, function: Callable[[], object], name: str) -> threading.Thread:
        """Start a service; it counts as one from here on."""
        life = self._ledger.begin(None, service=True)
        try:
            service = self._start_service(lambda: self._live(life, function), name)
        except BaseException:
            self._ledger.end(life)
            raise
        life.thread = None if life.over else service
        return service

    def departing(self) -> Trip:
        """Count a job as running from here on, though its worker may yet have to wake."""
        return Trip(self._ledger)

    def at_rest(self) -> None:
        """Count the calling worker no more."""
        self._ledger.settle_out()

    def _live(self, life: Life, body: Callable[[], object]) -> None:
        self._ledger.settle_in(life)
        try:
            body()
        finally:
            self._ledger.end(life)


class Trip:
    """The way of a job to its worker."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._life = ledger.begin(None)

    def arrive(self) -> None:
        """Let the calling thread be what was counted."""
        self._ledger.settle_in(self._life)

    def end(self) -> None:
        """Count it no more: it has not got a thread."""
        self._ledger.end(self._life)


def _replace_run(
    thread: threading.Thread, live: Callable[[Callable[[], object]], None]
) -> Callable[[], None]:
    """Have `live` called in the place of `run`, once; return what undoes it."""
    own, body = "run" in vars(thread), thread.run
    left = [None]  # `pop` is atomic: of an interrupted start and the new thread, one puts it back

    def put_back() -> None:
        try:
            left.pop()
        except IndexError:
            return
        if own:
            thread.run = body  # type: ignore[method-assign]
        else:
            vars(thread).pop("run", None)

    def run() -> None:
        put_back()
        live(body)

    thread.run = run  # type: ignore[method-assign]
    return put_back


def _is_plain(lock: Lock) -> bool:
    """Tell whether another thread may take it for us; a reentrant lock belongs to who takes it."""
    return isinstance(lock, (_PLAIN_LOCK, Latch))
