"""Calls to make in another thread, process or interpreter: small enough to be imported there."""

from __future__ import annotations

import hashlib
import time

PAUSE = 0.01  # seconds that a call waits
BLOCK = bytes(4 * 2**20)  # to be hashed: some milliseconds
NUMBERS = list(range(100_000))


def nothing() -> None:
    """Stand for the smallest call there is."""


def compute(rounds: int = 150_000) -> int:
    """Compute for some milliseconds, in Python."""
    total = 0
    for number in range(rounds):
        total += number & 7
    return total


def digest() -> bytes:
    """Compute as long, in C code that gives the GIL away meanwhile."""
    return hashlib.sha256(BLOCK).digest()


def wait() -> None:
    time.sleep(PAUSE)


def add_up(numbers: list[int]) -> int:
    """Take much, and do little with it."""
    return sum(numbers)
