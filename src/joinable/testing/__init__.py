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
from joinable.testing._history import Call
from joinable.testing._leaks import LeakError, no_leaks
from joinable.testing._linearizable import LinearizabilityError, check_linearizable
from joinable.testing._orders import SearchLimitError, WouldBlock
from joinable.testing._report import Report
from joinable.testing._sequencer import MissingStepError, SequenceError, Sequencer

__all__ = [
    "Call",
    "DeadlockError",
    "FakeClock",
    "LeakError",
    "LinearizabilityError",
    "MissingStepError",
    "Report",
    "ScheduleError",
    "SearchLimitError",
    "SequenceError",
    "Sequencer",
    "StepLimitError",
    "UnseenBlockError",
    "WouldBlock",
    "check_linearizable",
    "explore",
    "no_leaks",
    "replay",
]
