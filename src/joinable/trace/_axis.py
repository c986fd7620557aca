"""Where the marks of a time axis are, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ticks"]

_MOST = 12  # marks, so that no two labels touch
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Seconds; below the first, steps are 1, 2 and 5 times a power of 10, above the last, of days."""


def ticks(seconds: float) -> Iterator[tuple[float, str]]:
    """Give the marks from 0 to so many seconds, each with its label."""
    if seconds <= 0:
        yield 0.0, "0"
        return
    step = _step(seconds)
    for number in range(int(seconds / step + 1e-9) + 1):
        yield number * step, _label(number * step, step, seconds)


def _step(seconds: float) -> float:
    if seconds > _STEPS[0] * 5:
        for step in _STEPS:
            if seconds / step <= _MOST:
                return step
    size = 1e-9 if seconds <= _STEPS[-1] else float(_STEPS[-1])
    while True:
        for factor in (1, 2, 5):
            if seconds / (size * factor) <= _MOST:
                return size * factor
        size *= 10


def _label(time: float, step: float, seconds: float) -> str:
    if time == 0:
        return "0"
    if seconds >= 7200:
        return f"{time // 3600:.0f}:{time % 3600 / 60:02.0f} h"
    if seconds >= 120:
        return f"{time // 60:.0f}:{time % 60:02.0f} min"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size or unit == "µs":
            places = 0
            while places < 6 and round(step / size, places) != round(step / size, 9):
                places += 1
            return f"{time / size:.{places}f} {unit}"
    raise AssertionError(time)  # one of them fits
