"""Test threaded code under control: every schedule tried, the failing one replayed.

`explore` runs a test under many thread schedules and shrinks the failing one; `replay` runs that
one again. `Sequencer` puts steps of several threads in order, `FakeClock` holds the library's time
in the hand of a test, and `no_leaks` finds what a block leaves behind.
"""

from __future__ import annotations

from joinable.testing._errors import (
    DeadlockError,
    ScheduleError,
    StepLimitError,
    UnseenBlockError,
)
from joinable.testing._explore import explore, replay
from joinable.testing._fake_clock import FakeClock
from joinable.testing._leaks import LeakError, no_leaks
from joinable.testing._report import Report
from joinable.testing._sequencer import MissingStepError, SequenceError, Sequencer

__all__ = [
    "DeadlockError",
    "FakeClock",
    "LeakError",
    "MissingStepError",
    "Report",
    "ScheduleError",
    "SequenceError",
    "Sequencer",
    "StepLimitError",
    "UnseenBlockError",
    "explore",
    "no_leaks",
    "replay",
]
