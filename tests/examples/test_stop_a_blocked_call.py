"""The examples of how to stop a foreign wait: with real sockets, processes and queries."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import threading
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

import programs
from joinable import CancelScope, DeadlineExceeded, fail_after, move_on_after, spawn
from programs import load

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = "127.0.0.1"
PATIENCE = 30.0  # seconds, long before which everything here has happened
SOON = 5.0  # seconds; what a call takes that nothing stops is a minute, or for ever

wait_until = partial(programs.wait_until, seconds=PATIENCE)

sockets = load("stop_a_socket")
processes = load("stop_a_process")
queries = load("stop_a_query")


def is_in(thread: threading.Thread, function: str) -> bool:
    """Whether the innermost Python code that a thread runs is that function."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == function


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# -------------------------------------------------------------------- as programs

OUTPUTS = {
    "stop_a_socket": ("answered:  b'hello'\ncancelled: True\nlate:      no answer within 0.2 s\n"),
    "stop_a_process": "ended:    3\nstopped:  True\nkilled:   True\n",
    "stop_a_query": "answered: [(42,)]\nstopped:  True\nusable:   [('still here',)]\n",
}


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_the_program_says_what_it_has_stopped(name: str) -> None:
    ended = programs.run(name, seconds=60)
    said = [line for line in ended.stdout.splitlines(keepends=True) if line != "not listening\n"]
    assert ("".join(said), ended.stderr, ended.returncode) == (OUTPUTS[name], "", 0)


# -------------------------------------------------------------------- sockets


def test_a_read_returns_all_that_was_sent() -> None:
    here, there = socket.socketpair()
    with here, there:
        reader = spawn(sockets.receive_all, here)
        there.sendall(b"one ")
        there.sendall(b"two")
        there.close()
        assert reader.result(PATIENCE) == b"one two"


def test_cancelling_a_thread_ends_its_blocked_read() -> None:
    here, there = socket.socketpair()
    with here, there:
        reader = spawn(sockets.receive_all, here)
        wait_until(lambda: is_in(reader, "receive_all"))
        began = time.monotonic()
        assert reader.cancel()
        reader.join()
        assert time.monotonic() - began < SOON
        assert reader.cancelled()


def test_a_read_in_a_cancelled_scope_does_not_begin_to_wait() -> None:
    here, there = socket.socketpair()
    with here, there, CancelScope() as scope:
        scope.cancel()
        sockets.receive_all(here)
    assert scope.cancelled_caught


def test_a_deadline_ends_a_blocked_read() -> None:
    here, there = socket.socketpair()
    with here, there, pytest.raises(DeadlineExceeded, match="in receive_all"), fail_after(0.05):
        sockets.receive_all(here)


def test_hanging_up_where_the_other_side_was_quicker_is_silent() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    with here, CancelScope() as scope:
        there.close()
        assert here.recv(1) == b""
        here.shutdown(socket.SHUT_RDWR)
        with pytest.raises(OSError, match="connected"):
            here.shutdown(socket.SHUT_RDWR)
        scope.cancel()
        sockets.receive_all(here)  # what a callback raises would be a warning, and so an error
    assert scope.cancelled_caught


def test_without_a_deadline_a_foreign_timeout_is_none() -> None:
    assert sockets.time_left() is None
    with fail_after(PATIENCE):
        assert 0 < sockets.time_left() <= PATIENCE


def test_a_timeout_of_what_remains_ends_a_read_at_the_deadline() -> None:
    here, there = socket.socketpair()
    with here, there, move_on_after(0.05) as scope:
        sockets.receive_in_time(here)
    assert scope.cancelled_caught


def test_a_read_that_begins_after_its_deadline_is_no_read_without_waiting() -> None:
    here, there = socket.socketpair()
    with here, there, move_on_after(0) as scope:
        sockets.receive_in_time(here)  # a timeout of 0.0 would be a BlockingIOError
    assert scope.cancelled_caught


def test_a_timeout_does_not_end_a_read_that_is_cancelled_before() -> None:
    here, there = socket.socketpair()

    def read() -> None:
        with move_on_after(0.3):
            sockets.receive_in_time(here)

    with here, there:
        began = time.monotonic()
        reader = spawn(read)
        wait_until(lambda: is_in(reader, "receive_in_time"))
        reader.cancel()
        reader.join()
        assert time.monotonic() - began > 0.25
        assert reader.cancelled()


# -------------------------------------------------------------------- processes


def write_pid(path: Path, then: str) -> list[str]:
    """Return a command that leaves its number in a file and goes on."""
    return ["sh", "-c", f'echo $$ > "$0.new" && mv "$0.new" "$0" && {then}', str(path)]


def test_the_exit_code_of_a_process_comes_back() -> None:
    for run in (processes.run, processes.run_firmly):
        assert run(["sh", "-c", "exit 3"]) == 3


@pytest.mark.parametrize("name", ["run", "run_firmly"])
def test_cancelling_a_thread_ends_its_process(name: str, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    runner = spawn(getattr(processes, name), write_pid(pid, "exec sleep 60"))
    wait_until(pid.exists)
    began = time.monotonic()
    runner.cancel()
    runner.join()
    assert time.monotonic() - began < SOON
    assert runner.cancelled()
    assert not is_running(int(pid.read_text()))


@pytest.mark.parametrize("name", ["run", "run_firmly"])
def test_a_deadline_ends_a_process(name: str, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded), fail_after(0.5):
        getattr(processes, name)(write_pid(pid, "exec sleep 60"))
    assert time.monotonic() - began < SOON
    assert not pid.exists() or not is_running(int(pid.read_text()))


def test_a_process_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    deaf = write_pid(pid, "while :; do sleep 0.01; done")
    deaf[2] = "trap '' TERM; " + deaf[2]
    runner = spawn(processes.run_firmly, deaf, grace=0.2)
    wait_until(pid.exists)
    began = time.monotonic()
    runner.cancel()
    runner.join()
    assert 0.15 < time.monotonic() - began < SOON
    assert runner.cancelled()
    assert not is_running(int(pid.read_text()))


# -------------------------------------------------------------------- queries

BEGUN = """
WITH RECURSIVE numbers(n) AS (SELECT begun() UNION ALL SELECT n + 1 FROM numbers)
SELECT sum(n) FROM numbers
"""


def endless_query(begun: threading.Event) -> None:
    """Run, on a connection of this thread, what says that it has begun and never ends."""

    def tell() -> int:
        begun.set()
        return 1

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.create_function("begun", 0, tell)
        queries.query(connection, BEGUN)


@pytest.mark.parametrize("steps", [queries.STEPS, 2**31 - 1], ids=["as shipped", "interrupt alone"])
def test_cancelling_a_thread_interrupts_its_query(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "STEPS", steps)
    begun = threading.Event()
    asker = spawn(endless_query, begun)
    assert begun.wait(PATIENCE)
    began = time.monotonic()
    asker.cancel()
    asker.join()
    assert time.monotonic() - began < SOON
    assert asker.cancelled()


def test_an_interrupt_that_comes_too_early_is_made_good() -> None:
    began = time.monotonic()
    with closing(sqlite3.connect(":memory:")) as connection, CancelScope() as scope:
        scope.cancel()  # the callback runs at once, when sqlite has not begun
        queries.query(connection, queries.ENDLESS)
    assert time.monotonic() - began < SOON
    assert scope.cancelled_caught


def test_a_look_that_is_quicker_than_the_interrupt_is_no_error_of_the_database() -> None:
    ended = threading.Event()
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(DeadlineExceeded),
        fail_after(0.05) as scope,
    ):
        # What calls at deadlines is busy with this one, until the query has ended by itself.
        scope.on_cancel(partial(ended.wait, PATIENCE))
        try:
            queries.query(connection, queries.ENDLESS)
        finally:
            ended.set()


def test_a_connection_goes_on_working_after_an_interrupt() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        with pytest.raises(DeadlineExceeded), fail_after(0.05):
            queries.query(connection, queries.ENDLESS)
        assert queries.query(connection, "SELECT 6 * ?", [7]) == [(42,)]


def test_a_statement_that_waits_for_a_lock_ends_with_the_timeout_of_its_connection(
    tmp_path: Path,
) -> None:
    connect = partial(sqlite3.connect, tmp_path / "shop.db", isolation_level=None, timeout=0.2)
    with closing(connect()) as first, closing(connect()) as second:
        first.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with move_on_after(0.05) as scope:
            queries.query(second, "BEGIN IMMEDIATE")
        assert time.monotonic() - began < SOON
        assert scope.cancelled_caught
        first.execute("ROLLBACK")


def test_an_error_of_the_database_is_raised_as_it_is() -> None:
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(sqlite3.OperationalError, match="no such table"),
        CancelScope(),
    ):
        queries.query(connection, "SELECT * FROM nowhere")
