"""The clock and `sleep`, virtual for strands and real for every other thread."""

from __future__ import annotations

from joinable.testing import _real, _scheduler
from joinable.testing._scheduler import EPOCH


class _Passing:
    """What a sleeping strand waits for: nothing but its deadline."""

    __slots__ = ()

    def ready(self) -> bool:
        """Only time ends a sleep."""
        return False

    def describe(self) -> str:
        """Name it."""
        return "the clock"


_PASSING = _Passing()


def monotonic() -> float:
    """Return the virtual time, `EPOCH` at the start of a run."""
    scheduler = _scheduler.here()
    if scheduler is None:
        return _real.monotonic()
    scheduler.tick()
    return scheduler.now


def monotonic_ns() -> int:
    """Return the virtual time in nanoseconds."""
    scheduler = _scheduler.here()
    if scheduler is None:
        return int(_real.monotonic() * 1e9)
    scheduler.tick()
    return int(scheduler.now * 1e9)


def sleep(seconds: float, /) -> None:
    """Let virtual time pass; zero only gives way."""
    scheduler = _scheduler.here()
    if scheduler is None or not seconds >= 0:
        _real.sleep(seconds)  # raises for a negative number, as a real one does
    elif seconds == 0:
        scheduler.give_way()
    else:
        scheduler.block(_PASSING, scheduler.now + seconds)


__all__ = ["EPOCH", "monotonic", "monotonic_ns", "sleep"]
