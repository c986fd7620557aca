"""The library's own process-wide state, new for each run and put back after it.

A reporter of unasked errors, a list of idle workers: such state would carry threads and locks of
one run into the next. Any module of the package may have a function `renew()` that makes its
state new and returns two functions: one that does what the exit of the interpreter would do (it is
called in the run, after the explored function has returned), and one that puts the old state back.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


def library_modules() -> Iterator[ModuleType]:
    """Yield the loaded modules of the package, but for the testing tools themselves."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("joinable.") and not name.startswith("joinable.testing"):
            yield module


class OwnState:
    """What has been renewed for one run."""

    def __init__(self) -> None:
        self._finish: list[Callable[[], object]] = []
        self._restore: list[Callable[[], object]] = []

    def renew(self) -> None:
        """Make all state new; called in the run, so that its locks are controlled."""
        for module in library_modules():
            renew: Any = getattr(module, "renew", None)
            if renew is not None:
                finish, restore = renew()
                self._finish.append(finish)
                self._restore.append(restore)

    def finish(self) -> None:
        """Do what the exit of the interpreter would do, in the run."""
        for finish in self._finish:
            finish()

    def restore(self) -> None:
        """Put the old state back, after the run, newest first."""
        while self._restore:
            self._restore.pop()()
