"""Where code is: the line that called us, the line a thread is at, a traceback without our frames.

Everything here returns plain facts (strings, numbers, traceback objects) and keeps no frame, since
a frame keeps alive all that its function held.
"""

from __future__ import annotations

import contextlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType, TracebackType

    Place = tuple[str, int]
    """A file and a line in it."""


def _folder(code: CodeType) -> str:
    return os.path.join(os.path.dirname(code.co_filename), "")


# Read off code objects, not off `__file__`: frames carry the same name, also in a zip file.
_OURS = _folder(_folder.__code__)
_STANDARD = _folder(contextlib.suppress.__enter__.__code__)
_CONTEXTLIB = contextlib.suppress.__enter__.__code__.co_filename
_GENERATOR_FLAGS = 0x20 | 0x200  # CO_GENERATOR, CO_ASYNC_GENERATOR
_INSTALLED = os.path.join(_STANDARD, "site-packages", "")


def caller(depth: int = 1) -> Place:
    """Return the innermost line on the calling thread's stack that is not the library's own.

    So many calls are known to be ours: to look at a frame costs an object.
    """
    frame: FrameType | None = sys._getframe(depth)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    # A thread whose whole stack is ours is not one that a user wrote; say so instead of failing.
    return ("<joinable>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def place_in(code: CodeType, instruction: int) -> Place | None:
    """Return the line of an instruction; None where it is the library's own."""
    if code.co_filename.startswith(_OURS):
        return None
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return code.co_filename, next(lines, None) or code.co_firstlineno


_traceback_of: Callable[[BaseException], TracebackType | None] = vars(BaseException)[
    "__traceback__"
].__get__


def user_caller() -> Place:
    """Return the innermost line on the calling thread's stack that is the user's own."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    while frame is not None and not _is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return caller() if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def trimmed(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the first frame on that is not the library's own."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_OURS):
        traceback = traceback.tb_next
    return traceback


def cut(error: BaseException) -> TracebackType | None:
    """Let the error's traceback begin with the first frame that is not the library's own."""
    # `BaseException`'s own ways: a subclass may override them, and raise.
    traceback = trimmed(_traceback_of(error))
    BaseException.with_traceback(error, traceback)
    return traceback


def cut_behind(error: BaseException, code: CodeType) -> None:
    """Let the error's traceback begin behind the first frame that runs this code, if there is one.

    What lies before it is somebody else's way to call us.
    """
    traceback = _traceback_of(error)
    while traceback is not None and traceback.tb_frame.f_code is not code:
        traceback = traceback.tb_next
    if traceback is not None:
        BaseException.with_traceback(error, trimmed(traceback.tb_next))


if sys.version_info >= (3, 12) or TYPE_CHECKING:

    def frames() -> dict[int, FrameType]:
        """Return the frame that each thread of this interpreter is at, by ident."""
        # Documented, in spite of its name.
        return sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
else:

    def frames() -> dict[int, FrameType]:
        """Return the frame that each thread of this interpreter is at, by ident.

        Before 3.11.9 that waits for itself when the garbage collector, in the midst of it, comes
        upon a `threading.local` (cpython#106883). Of two threads that ask at the very same time,
        the one that ends first switches the collector on again for both.
        """
        import gc  # noqa: PLC0415  for those interpreters alone

        is_on = gc.isenabled()
        try:
            if is_on:
                gc.disable()
            return sys._current_frames()  # noqa: SLF001
        finally:
            if is_on:
                gc.enable()


def current_line(ident: int | None) -> str | None:
    """Tell which line the thread is at now; None when it has ended.

    Where that line lies in the standard library, the user's line that led there is told too:
    `threading.py:355 in wait, called from app.py:12 in fetch`. Lines of ours are passed over, where
    there is another one.
    """
    frame = None if ident is None else frames().get(ident)
    if frame is None:
        return None
    outer: FrameType | None = frame
    while outer is not None and not _is_users(outer.f_code.co_filename):
        outer = outer.f_back
    inner = _out_of_ours(frame)
    if outer is None or outer is inner:
        return _describe(inner)
    return f"{_describe(inner)}, called from {_describe(outer)}"


def stack(ident: int | None) -> str:
    """Show the lines that have led a thread to where it is, as a traceback does; ours are left out.

    The end of a thread has none, nor has what no thread of this process runs.
    """
    import traceback  # noqa: PLC0415  slow to import, and seldom needed

    frame = None if ident is None else frames().get(ident)
    lines = [*traceback.walk_stack(frame)] if frame is not None else []
    while lines and not _is_users(lines[-1][0].f_code.co_filename):
        lines.pop()  # what the interpreter and we do to begin a thread
    shown = [each for each in reversed(lines) if not each[0].f_code.co_filename.startswith(_OURS)]
    nothing = "  in no thread of this process\n" if ident is None else "  at its end\n"
    return "".join(traceback.StackSummary.extract(iter(shown)).format()) or nothing


def _out_of_ours(frame: FrameType) -> FrameType:
    found: FrameType | None = frame
    while found is not None and found.f_code.co_filename.startswith(_OURS):
        found = found.f_back
    return frame if found is None else found


def raised_at(error: BaseException) -> str | None:
    """Tell which of the user's lines the exception came from; None when it has passed none."""
    found, traceback = None, _traceback_of(error)
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if _is_users(code.co_filename):
            found = f"{code.co_filename}:{traceback.tb_lineno} in {code.co_name}"
        traceback = traceback.tb_next
    return found


def crossing() -> tuple[str, Place]:
    """Tell what the user's innermost line has called of ours, or of the library's, and the line."""
    inner = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    frame: FrameType | None = inner
    while frame is not None and not _is_users(frame.f_code.co_filename):
        inner, frame = frame, frame.f_back
    called = inner.f_code.co_qualname
    return called, ("<joinable>", 0) if frame is None else (
        frame.f_code.co_filename,
        frame.f_lineno,
    )


def entering() -> FrameType | None:
    """Return the calling frame that is not the library's own: for the moment, not to be kept."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame


def leaky_generator(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the generator in whose block we are; None in a block of another kind.

    A generator that `contextlib` has made a `with` of does not count: the code in that `with` does.
    """
    while frame is not None:
        back = frame.f_back
        in_contextlib = back is not None and back.f_code.co_filename == _CONTEXTLIB
        if frame.f_code.co_flags & _GENERATOR_FLAGS:
            if not in_contextlib:
                return frame
        elif frame.f_code.co_filename != _CONTEXTLIB:
            return None
        frame = back
    return None


def on_stack(wanted: FrameType) -> bool:
    """Tell whether the frame is one of those that the calling thread runs now."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame is not wanted:
        frame = frame.f_back
    return frame is not None


def note(error: BaseException, text: str) -> None:
    """Add a note to an exception, if it takes one."""
    # A frozen dataclass, for one, refuses: that must not hide the exception itself.
    with contextlib.suppress(Exception):
        error.add_note(text)


def show(place: Place) -> str:
    """Write a place as terminals and editors make it clickable: `file:line`."""
    return f"{place[0]}:{place[1]}"


def _describe(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def _is_users(filename: str) -> bool:
    if filename.startswith((_OURS, "<frozen ")):
        return False
    return not filename.startswith(_STANDARD) or filename.startswith(_INSTALLED)
