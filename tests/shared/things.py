"""Values of a `ThreadLocal` that know where they were made, and where they were closed."""

from __future__ import annotations

import threading


class Thing:
    """A value that knows where it was made, and where it was closed."""

    def __init__(self, name: object = None) -> None:
        self.name = name
        self.made_by = threading.get_ident()
        self.closed_by: list[int] = []

    def close(self) -> None:
        self.closed_by.append(threading.get_ident())

    def is_closed(self) -> bool:
        """Tell whether it is; once, and by the thread that has made it."""
        assert self.closed_by in ([], [self.made_by])
        return bool(self.closed_by)
