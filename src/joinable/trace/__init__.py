"""See what the threads did: record a block, and look at it as a picture, a file or a table.

`record` watches every task of the library that starts in its block, in whatever thread, and every
wait of its threads in the library. The `Timeline` that it gives is saved as a picture or for a
viewer, and counted in a `Summary`.
"""

from __future__ import annotations

from joinable.trace._facts import Summary, TaskFacts, ThreadFacts
from joinable.trace._timeline import Timeline, record

__all__ = ["Summary", "TaskFacts", "ThreadFacts", "Timeline", "record"]
