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

    Runner = tuple[str, int | None, "Origin | None"]
    """The name of a call, the thread that it is in, and where it comes from."""


def _folder(code: CodeType) -> str:
    return os.path.join(os.path.dirname(code.co_filename), "")


# Read off code objects, not off `__file__`: frames carry the same name, also in a zip file.
_OURS = _folder(_folder.__code__)
_STANDARD = _folder(contextlib.suppress.__enter__.__code__)
_CONTEXTLIB = contextlib.suppress.__enter__.__code__.co_filename
_GENERATOR_FLAGS = 0x20 | 0x200  # CO_GENERATOR, CO_ASYNC_GENERATOR
_INSTALLED = os.path.join(_STANDARD, "site-packages", "")
_THREADING = os.path.join(_STANDARD, "threading.py")
_WAITS = tuple(os.path.join(_OURS, name) for name in ("_park.py", "_runtime.py", "testing"))

_RUNNERS = frozenset(
    (
        "Thread.run",
        "Running._run_body",
        "run_in",
        "Errand.run_here",
        "Batch._call",
        "Lazy._call_some",
        "Eager._call",
        "Eager._call_one",
        "_take_one",
        "_Race._try",
        "Work.__call__",
        "_spread.<locals>.call",
        "watched",
        "Calls.watched",
        "Meter.counted.<locals>.call",
    )
)
"""Functions that do nothing but call the user's, by which it is told what was called there."""

_SPOKEN = {"_chunks": "run_each"}
"""Functions that users know by another name."""


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
    while frame is not None and not is_users(frame.f_code.co_filename):
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
        try:
            import gc  # noqa: PLC0415  for those interpreters alone
        except ImportError:  # in the last moments of the interpreter, when nothing is collected
            return sys._current_frames()  # noqa: SLF001

        is_on = gc.isenabled()
        try:
            if is_on:
                gc.disable()
            return sys._current_frames()  # noqa: SLF001
        finally:
            if is_on:
                gc.enable()


class Origin:
    """What a thread was given to call: told where none of the user's lines is to be seen there."""

    __slots__ = ("begun", "called")

    def __init__(self, called: str | None, begun: str) -> None:
        """Know the name of the function, if anybody has kept it, and who has asked for the call."""
        self.called = called
        self.begun = begun  # "started at app.py:12"


def where(ident: int | None, origin: Origin | None = None) -> str | None:
    """Tell where a thread is now, as a part of a sentence; None when it has ended.

    The line, and if that lies in the standard library the user's line that led there: `at
    threading.py:355 in wait, called from app.py:12 in fetch`. In a wait of the library, its name:
    `waiting in Queue.get at app.py:12 in fetch`. In a function that has no lines, because it is
    written in C, and was called by nobody but us: `in time.sleep, started at app.py:3`.
    """
    frame = None if ident is None else frames().get(ident)
    return None if frame is None else describe(frame, origin)


def describe(frame: FrameType, origin: Origin | None = None) -> str:
    """Tell the same of a thread whose innermost frame is this one."""
    look = _look(frame)
    begun = f", {origin.begun}" if origin is not None and origin.begun else ""
    if look.entry is not None and look.waits:
        place = begun if look.user is None else f" at {_line(look.user)}"
        return f"waiting in {_name(look.entry)}{place}"
    if look.user is not None and look.inner is not look.user:
        return f"at {_line(look.inner or look.user)}, called from {_line(look.user)}"
    if look.inner is not None:
        return f"at {_line(look.inner)}{'' if look.user else begun}"
    called = None if origin is None else origin.called
    if look.entry is not None:
        called = _name(look.entry)
    return f"in {called or 'a function that has no lines'}{begun}"


class _Look:
    """What is seen on the stack of a thread."""

    __slots__ = ("entry", "inner", "user", "waits")

    def __init__(self) -> None:
        self.inner: FrameType | None = None  # the innermost that is not ours
        self.user: FrameType | None = None  # the innermost that is the user's own
        self.entry: FrameType | None = None  # the function of ours that was called last by others
        self.waits = False


def _look(innermost: FrameType) -> _Look:
    look, frame = _Look(), innermost
    while True:
        code = frame.f_code
        if code.co_qualname in _RUNNERS and code.co_filename.startswith((_OURS, _THREADING)):
            break  # what lies behind it is only how the call was begun
        if code.co_filename.startswith(_OURS):
            look.entry = frame
            look.waits |= code.co_filename.startswith(_WAITS)
        else:
            look.inner = look.inner or frame
            if is_users(code.co_filename):
                look.user = frame
                break
        back = frame.f_back
        if back is None:
            break
        frame = back
    return look


def _name(frame: FrameType) -> str:
    name = frame.f_code.co_qualname
    return _SPOKEN.get(name, name)


def stack(ident: int | None, origin: Origin | None = None) -> str:
    """Show the lines that have led a thread to where it is, as a traceback does; ours are left out.

    The end of a thread has none, nor has what no thread of this process runs. A function without
    lines is named.
    """
    import traceback  # noqa: PLC0415  slow to import, and seldom needed

    frame = None if ident is None else frames().get(ident)
    lines = [*traceback.walk_stack(frame)] if frame is not None else []
    while lines and not is_users(lines[-1][0].f_code.co_filename):
        lines.pop()  # what the interpreter and we do to begin a thread
    shown = [each for each in reversed(lines) if not each[0].f_code.co_filename.startswith(_OURS)]
    nothing = "  in no thread of this process\n" if ident is None else "  at its end\n"
    if frame is not None:
        nothing = f"  {describe(frame, origin)}\n"
    return "".join(traceback.StackSummary.extract(iter(shown)).format()) or nothing


def raised_at(error: BaseException) -> str | None:
    """Tell which of the user's lines the exception came from; None when it has passed none."""
    found, traceback = None, _traceback_of(error)
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if is_users(code.co_filename):
            found = f"{code.co_filename}:{traceback.tb_lineno} in {code.co_name}"
        traceback = traceback.tb_next
    return found


def crossing() -> tuple[str, Place]:
    """Tell what the user's innermost line has called of ours, or of the library's, and the line."""
    inner = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    frame: FrameType | None = inner
    while frame is not None and not is_users(frame.f_code.co_filename):
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


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def is_users(filename: str) -> bool:
    """Tell whether the file is neither ours nor the standard library's."""
    if filename.startswith((_OURS, "<frozen ")):
        return False
    return not filename.startswith(_STANDARD) or filename.startswith(_INSTALLED)
