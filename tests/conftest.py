"""What every run of the tests says about itself, and what makes a run worthless."""

from __future__ import annotations

import faulthandler
import signal
import sys
import sysconfig
import threading
import time
from typing import TYPE_CHECKING

import pytest

from joinable import _closing, _timer, _workers

if TYPE_CHECKING:
    from collections.abc import Generator

# An assertion there is to say what it has found, as one in a test does.
pytest.register_assert_rewrite("executing", "exploring", "processes", "waiting")

_OURS = frozenset(("joinable-reports", "joinable-timer", "joinable-callbacks"))
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def gil_is_on() -> bool:
    """Whether the interpreter runs with its GIL: always before 3.13, which cannot be asked."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


def refuse_gil(when: str) -> None:
    """End the run with an error if a free-threaded build has its GIL on: it would prove nothing.

    Importing one extension module that is not ready for it switches the GIL on, for good.
    """
    if FREE_THREADED and gil_is_on():
        message = f"the GIL of this free-threaded build was on {when} the tests"
        pytest.exit(message, returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_report_header() -> str:
    """Name the interpreter and the state of its GIL at the top of the run."""
    version = sys.version.split()[0] + "t" * FREE_THREADED
    return f"interpreter: CPython {version}; GIL {'on' if gil_is_on() else 'off'}"


def pytest_sessionstart() -> None:
    """Check the GIL before the first test is imported, and see that Ctrl-C can be tested."""
    refuse_gil("before")
    # What a shell starts in the background ignores Ctrl-C, and so would every process we start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    """Check the GIL after the last test, when all has been imported."""
    refuse_gil("after")


@pytest.fixture(autouse=True)
def _every_thread_is_joined() -> Generator[None]:
    """Fail the test that leaves a thread behind, not a later, innocent one.

    `result()` returns when the outcome is there, a moment before the OS thread has ended, so a
    thread that is about to end is waited for. The library's own threads stay for some seconds, and
    so do its workers that have nothing to do.
    """
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        # What Python did not start it cannot join, and before 3.13 never forgets.
        if thread.name in _OURS or isinstance(thread, threading._DummyThread):
            continue
        if thread.name == "tqdm_monitor":  # which the first bar starts, and nothing ends
            continue
        assert ends_or_rests(thread), f"the test left {thread!r} behind"


def ends_or_rests(thread: threading.Thread, seconds: float = 10) -> bool:
    """Wait until the thread has ended, or is a worker that has nothing to do."""
    end = time.monotonic() + seconds
    while thread.is_alive() and thread not in _workers.idle():
        if time.monotonic() > end:
            return False
        thread.join(0.01)
    return True


@pytest.fixture
def timer_of_its_own() -> Generator[None]:
    """See that the test does not find, or leave, the timer's thread of another one."""
    end, restore = _timer.renew()
    yield
    end()
    restore()


@pytest.fixture
def workers_of_its_own() -> Generator[None]:
    """See that the test does not find, or leave, the idle workers of another one."""
    end, restore = _workers.renew()
    yield
    end()
    restore()


@pytest.fixture
def nothing_to_close() -> Generator[None]:
    """See that nothing is closed at the exit of the run that a test has made on the main thread."""
    yield
    record = _closing.mine()
    record.task.clear()
    record.thread.clear()


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[threading.ExceptHookArgs]:
    """Return what goes to `threading.excepthook`."""
    found: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", found.append)
    return found


def pytest_unconfigure() -> None:
    """See that the process ends: a thread that a failed test left behind would hold it for ever."""
    faulthandler.dump_traceback_later(30, exit=True)
