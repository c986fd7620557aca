"""Where a thread is, in the user's own code.

Frames of the standard library's threading machinery and of this package are skipped: a person who
reads "waits at" wants the line they wrote. What is watched is always shown.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import linecache
import os.path
import queue
import threading
from typing import TYPE_CHECKING, NamedTuple

from joinable._typing import override

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

# Strings, not paths: frames carry strings, and many are compared.
_ENGINE = os.path.dirname(__file__) + os.sep  # noqa: PTH120
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120
_FUTURES = os.path.dirname(concurrent.futures.__file__) + os.sep  # noqa: PTH120
_MACHINERY = frozenset(
    module.__file__ for module in (threading, queue, contextlib) if module.__file__ is not None
)
_shown: set[str] = set()


class Line(NamedTuple):
    """A line of source, by file and number."""

    file: str
    number: int
    function: str

    @override
    def __str__(self) -> str:
        text = self.text
        place = f"{os.path.basename(self.file)}:{self.number}"  # noqa: PTH119
        return f"{place} in {self.function}: {text}" if text else f"{place} in {self.function}"

    @property
    def text(self) -> str:
        """The source text, empty where there is none to read."""
        return linecache.getline(self.file, self.number).strip()


@contextlib.contextmanager
def shown(files: set[str]) -> Generator[None]:
    """Show frames of these files for a while, wherever they are."""
    _shown.update(files)
    try:
        yield
    finally:
        _shown.clear()


def user_line(frame: FrameType | None) -> Line:
    """Find the innermost frame that is not machinery, or else the innermost outside the engine."""
    fallback: FrameType | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        if file in _shown or not (file in _MACHINERY or file.startswith((_PACKAGE, _FUTURES))):
            return _line(frame)
        if fallback is None and not file.startswith(_ENGINE):
            fallback = frame
        frame = frame.f_back
    return Line("?", 0, "?") if fallback is None else _line(fallback)


def _line(frame: FrameType) -> Line:
    """Read a frame once, so that it is not kept alive."""
    code = frame.f_code
    return Line(code.co_filename, frame.f_lineno or 0, code.co_qualname)
