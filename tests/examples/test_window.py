"""The window, on a virtual screen: driven by mouse and keyboard, and seen from outside."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from programs import PATIENCE, started, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

MISSING = [f"there is no {tool}" for tool in ("Xvfb", "xdotool") if not shutil.which(tool)]
# Both, of which an interpreter may have one. They are not imported here: the programs do that.
if not all(map(importlib.util.find_spec, ("tkinter", "_tkinter"))):
    MISSING.append("this interpreter has no tkinter")
needs_a_screen = pytest.mark.skipif(bool(MISSING), reason=", ".join(MISSING))

SOON = 20.0  # seconds; what is not stopped takes minutes
HAY, FILES = "hay\n" * 50_000, 1000  # much to read, all of it the same file


# -------------------------------------------------------------------- the screen


class Screen:
    """A virtual screen without a window manager, and whoever sits before it."""

    def __init__(self, display: str, picture: Path) -> None:
        self.env = {"DISPLAY": display}
        self.picture = picture

    def do(self, *arguments: object) -> str:
        """Use mouse or keyboard, and return what that prints."""
        command = ["xdotool", *map(str, arguments)]
        env = {**os.environ, **self.env}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)  # noqa: S603  a test's own
        return done.stdout.strip()

    def colour(self, x: int, y: int) -> bytes:
        """Return the bytes of a point of the screen."""
        data = self.picture.read_bytes()  # as xwd writes it: numbers, a table of colours, rows
        header = struct.unpack(">25I", data[:100])
        start, bits, row, colours = header[0], header[11], header[12], header[19]
        at = start + 12 * colours + y * row + x * bits // 8
        return data[at : at + 3]

    def selection(self) -> str:
        """Return the text that is marked somewhere, as any other program can read it."""
        code = "import tkinter; print(tkinter.Tk().selection_get())"
        command = [sys.executable, "-c", code]
        env = {**os.environ, **self.env}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout  # noqa: S603  a test's own


class ClientMessage(ctypes.Structure):
    """What a window manager sends to a window."""

    _fields_: ClassVar = [
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("rest_of_the_union", ctypes.c_long * 12),
    ]


def ask_to_close(screen: Screen, window: int) -> None:
    """Do what a window manager does when somebody presses the cross of a window."""
    library = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
    library.XOpenDisplay.restype = ctypes.c_void_p
    library.XInternAtom.restype = ctypes.c_ulong
    display = ctypes.c_void_p(library.XOpenDisplay(screen.env["DISPLAY"].encode()))
    protocols = library.XInternAtom(display, b"WM_PROTOCOLS", 0)
    delete = library.XInternAtom(display, b"WM_DELETE_WINDOW", 0)
    message = ClientMessage(type=33, window=window, message_type=protocols, format=32)
    message.data[0] = delete
    library.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    library.XCloseDisplay(display)


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Generator[Screen]:
    folder = tmp_path_factory.mktemp("screen")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1000x600x24"]
    command += ["-nolisten", "tcp", "-fbdir", str(folder)]
    silence = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=silence, stderr=silence, pass_fds=[write]) as server:  # noqa: S603  a test's own
        os.close(write)
        with os.fdopen(read) as lines:
            number = lines.readline().strip()  # it comes when the screen is there
        try:
            yield Screen(f":{number}", folder / "Xvfb_screen0")
        finally:
            server.terminate()


# -------------------------------------------------------------------- the window


class Opened:
    """A window that is open, and the process to which it belongs."""

    def __init__(self, screen: Screen, process: subprocess.Popen[str]) -> None:
        self.screen, self.process = screen, process
        wait_until(self.find)
        geometry = screen.do("getwindowgeometry", "--shell", self.window)
        self.width = int(geometry.partition("WIDTH=")[2].split()[0])

    def find(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        found = self.screen.do("search", "--onlyvisible", "--name", "^Search - ready$")
        self.window = int(found or 0)
        return bool(found)

    def click(self, x: int, y: int) -> None:
        """Click there; a negative x counts from the right."""
        self.screen.do("mousemove", x % self.width, y, "click", 1)

    def cancel(self) -> None:
        self.click(-53, 16)

    def search(self, text: str) -> None:
        self.click(200, 17)
        self.screen.do("key", "ctrl+slash", "type", text)  # over all that was there
        self.click(-151, 16)

    def says(self, words: str) -> str:
        """Wait until the title contains these words, and return what it says then."""
        said = ""

        def look() -> bool:
            nonlocal said
            said = self.screen.do("getwindowname", self.window).removeprefix("Search - ")
            return words in said

        wait_until(look)
        return said

    def is_shown(self) -> bool:
        return bool(self.screen.do("search", "--onlyvisible", "--name", "^Search - "))

    def has_ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@contextmanager
def opened(screen: Screen, folder: Path) -> Generator[Opened]:
    with started("window", str(folder), env=screen.env) as process:
        yield Opened(screen, process)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("one needle\ntwo\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_bytes(b"\xff three\n  another needle\xff\n")
    return tmp_path


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """Give a folder that takes minutes."""
    (tmp_path / "0").write_text(HAY)
    for number in range(1, FILES):
        (tmp_path / f"{number}").symlink_to("0")
    return tmp_path


@needs_a_screen
def test_what_was_found_is_listed_and_counted(screen: Screen, small: Path) -> None:
    with opened(screen, small) as window:
        window.search("needle")
        assert window.says("found") == "2 found in 2 files"
        window.click(100, 70)
        assert screen.selection() == "a.txt:1: one needle\n"
        window.click(100, 88)
        assert screen.selection() == "b/c.txt:2: another needle\ufffd\n"


@needs_a_screen
def test_an_error_is_shown_and_the_next_search_works(screen: Screen, small: Path) -> None:
    with opened(screen, small) as window:
        window.search("need(")
        assert "unterminated subpattern" in window.says("failed: ")
        window.search("need")
        assert window.says("found") == "2 found in 2 files"


@needs_a_screen
@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no file that opens only")
def test_a_file_that_cannot_be_read_is_listed_and_the_rest_is_searched(
    screen: Screen, small: Path
) -> None:
    (small / "0").symlink_to("/proc/self/mem")  # which nobody can read from its beginning
    with opened(screen, small) as window:
        window.search("needle")
        assert window.says("found") == "2 found in 3 files"
        window.click(100, 70)
        assert screen.selection() == "0: Input/output error\n"


@needs_a_screen
@pytest.mark.parametrize(
    "text", ["needle", "hay"], ids=["finds nothing", "finds more than it can show"]
)
def test_the_bar_moves_and_cancel_stops_at_once(screen: Screen, huge: Path, text: str) -> None:
    with opened(screen, huge) as window:
        window.search(text)
        end = window.width - 12
        if text == "needle":  # it goes on fast enough to see it: one end of the bar, not the other
            wait_until(lambda: screen.colour(8, 43) != screen.colour(end, 43))
        else:  # there is ink in the first line of the list
            wait_until(lambda: len({screen.colour(x, 70) for x in range(10, 40)}) > 1)
        assert window.says("") == "searching"
        began = time.monotonic()
        window.cancel()
        assert window.says("stopped").endswith(f"of {FILES} files")
        assert time.monotonic() - began < SOON
        window.search("(")  # the window is as alive as before
        window.says("failed")


@needs_a_screen
@pytest.mark.parametrize("working", [False, True], ids=["idle", "working"])
def test_closing_the_window_ends_the_program(screen: Screen, huge: Path, working: bool) -> None:
    with opened(screen, huge) as window:
        if working:
            window.search("needle")
            window.says("searching")
        began = time.monotonic()
        ask_to_close(screen, window.window)
        assert window.has_ended() == (0, "", "")
        assert time.monotonic() - began < SOON


DEAF = """
import threading, window
window.PATIENCE = 0.5
class Deaf(window.Search):
    def run(self):
        threading.Event().wait()
window.Search = Deaf
window.main()
"""


@needs_a_screen
def test_a_search_that_does_not_stop_holds_neither_the_window_nor_the_program(
    screen: Screen, small: Path
) -> None:
    with started("window", str(small), code=DEAF, env=screen.env) as process:
        window = Opened(screen, process)
        window.search("needle")
        window.says("searching")
        began = time.monotonic()
        ask_to_close(screen, window.window)
        wait_until(lambda: not window.is_shown())
        assert window.has_ended() == (0, "", "")
        assert 0.4 < time.monotonic() - began < SOON


@needs_a_screen
def test_ctrl_c_in_the_terminal_closes_the_window(screen: Screen, huge: Path) -> None:
    with opened(screen, huge) as window:
        window.search("needle")
        window.says("searching")
        window.process.send_signal(signal.SIGINT)
        assert window.has_ended() == (0, "", "")


@needs_a_screen
def test_what_is_no_folder_is_refused(screen: Screen, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with started("window", str(missing), env=screen.env) as process:
        assert process.communicate(timeout=PATIENCE) == ("", f"{missing} is not a folder\n")
    assert process.returncode == 1
