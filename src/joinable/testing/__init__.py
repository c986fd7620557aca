"""Test threaded code under control: every schedule tried, the failing one replayed."""

from __future__ import annotations

from joinable.testing._errors import (
    DeadlockError,
    ScheduleError,
    StepLimitError,
    UnseenBlockError,
)
from joinable.testing._explore import explore, replay
from joinable.testing._report import Report

__all__ = [
    "DeadlockError",
    "Report",
    "ScheduleError",
    "StepLimitError",
    "UnseenBlockError",
    "explore",
    "replay",
]
