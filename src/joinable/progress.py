"""What `run_all(progress=...)` and `run_each(progress=...)` can show how far they are with."""

from __future__ import annotations

from joinable._bars import RichProgress, TqdmProgress
from joinable._progress import Progress

__all__ = ["Progress", "RichProgress", "TqdmProgress"]
