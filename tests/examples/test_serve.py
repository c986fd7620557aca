"""The server, run as a user runs it: a process of its own, with real clients and real signals."""

from __future__ import annotations

import re
import signal
import socket
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from joinable import run_all
from programs import PATIENCE, line_of, load, not_on_windows, refusal, send, started

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator
    from pathlib import Path

LOOPBACK = "127.0.0.1"
SOON = 25.0  # seconds; what is not stopped takes a minute


class Client:
    """Somebody who says lines and hears lines."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), PATIENCE)
        self.lines = self.socket.makefile()

    def say(self, text: str) -> None:
        self.socket.sendall(text.encode())

    def hear(self) -> str:
        """Return the next line; nothing when the server has hung up."""
        with suppress(ConnectionError):
            return self.lines.readline().rstrip("\n")
        return ""

    def ask(self, request: str) -> str:
        self.say(f"{request}\n")
        return self.hear()

    def hangs_up(self) -> None:
        self.lines.close()
        self.socket.close()


@contextmanager
def client_of(port: int) -> Generator[Client]:
    client = Client(port)
    try:
        yield client
    finally:
        client.hangs_up()


@contextmanager
def serving(*options: str, code: str = "") -> Generator[tuple[subprocess.Popen[str], int]]:
    with started("serve", *options, code=code) as process:
        said = re.fullmatch(r"serving at 127\.0\.0\.1:(\d+)", line_of(process))
        assert said
        yield process, int(said[1])


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    """Wait until it has ended, and return how, and what it has said."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out.splitlines(), err


def refuses(port: int) -> bool:
    with suppress(ConnectionRefusedError, ConnectionResetError), client_of(port) as client:
        return not client.ask("sum 1")
    return True


# A request takes until there is a file of that name.
PATIENT = """
import sys, serve
from pathlib import Path
from joinable import sleep
def answer(request):
    print("begun", flush=True)
    while not Path(request.strip()).exists():
        sleep(0.01)
    return "it exists"
serve.answer = answer
sys.exit(serve.main())
"""


def under_way(process: subprocess.Popen[str], client: Client, path: Path) -> None:
    """Have the server begin with a request for that file."""
    client.say(f"{path}\n")
    assert line_of(process) == "begun"


# -------------------------------------------------------------------- clients


def test_a_client_gets_an_answer_to_each_of_its_lines() -> None:
    with serving() as (_, port), client_of(port) as client:
        assert [client.ask("sum 1 2 3"), client.ask("div 7 2"), client.ask("nap 0")] == [
            "6",
            "3",
            "had a nap",
        ]


TOGETHER = """
import sys, threading, serve
barrier = threading.Barrier(100)
serve.answer = lambda _: str(barrier.wait() < 100)
sys.exit(serve.main())
"""


def test_a_hundred_clients_are_served_at_the_same_time() -> None:
    def visit() -> str:
        with client_of(port) as client:
            return client.ask("meet the others")

    with serving("--clients", "100", code=TOGETHER) as (_, port):
        assert run_all([visit] * 100) == ["True"] * 100


def test_who_is_one_too_many_waits_until_another_one_leaves() -> None:
    with (
        serving("--clients", "2") as (_, port),
        client_of(port) as first,
        client_of(port) as second,
        client_of(port) as third,
    ):
        assert (first.ask("sum 1"), second.ask("sum 2")) == ("1", "2")
        third.say("sum 3\n")
        third.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            third.socket.recv(1)
        third.socket.settimeout(PATIENCE)
        first.hangs_up()
        assert third.socket.recv(100) == b"3\n"


def test_a_mistake_of_a_client_is_told_to_it_and_it_may_go_on() -> None:
    with serving() as (process, port), client_of(port) as client:
        assert client.ask("sum one").startswith("error: ValueError(")
        assert client.ask("what?") == "error: ValueError('say sum, div or nap')"
        assert client.ask("sum 1") == "1"
        process.kill()
        assert ended(process)[2] == ""


def test_a_request_that_fails_is_logged_and_stops_nobody() -> None:
    with serving() as (process, port), client_of(port) as client, client_of(port) as other:
        assert other.ask("sum 1") == "1"
        assert client.ask("div 1 0") == "error: that has failed"
        assert (client.ask("sum 2"), other.ask("sum 3")) == ("2", "3")
        process.kill()
        assert "in the request b'div 1 0\\n'" in (error := ended(process)[2])
        assert "ZeroDivisionError" in error


def test_a_request_that_takes_too_long_is_stopped_and_its_client_may_go_on() -> None:
    with serving("--limit", "0.1") as (_, port), client_of(port) as client:
        assert client.ask("nap 60") == "error: that took too long"
        assert client.ask("sum 1") == "1"


def test_a_client_that_dribbles_is_hung_up_on_though_it_is_never_silent() -> None:
    with serving("--patience", "0.5") as (_, port), client_of(port) as client:
        began = time.monotonic()
        client.socket.settimeout(0.05)
        with suppress(ConnectionError):
            while True:
                assert time.monotonic() - began < PATIENCE
                client.say("x")
                with suppress(TimeoutError):
                    assert client.socket.recv(1) == b""
                    break
        assert time.monotonic() - began > 0.4
        with client_of(port) as other:
            assert other.ask("sum 1") == "1"


def test_a_client_that_does_not_read_its_answers_is_hung_up_on() -> None:
    lines = f"sum 1{'0' * 900}\n".encode() * 100
    with (
        serving("--patience", "0.5") as (_, port),
        client_of(port) as client,
        pytest.raises(ConnectionError),  # no TimeoutError: the server does not wait for ever
    ):
        while True:
            client.socket.sendall(lines)


def test_a_line_that_is_too_long_ends_the_talk() -> None:
    with serving() as (_, port), client_of(port) as client:
        assert client.ask("sum " + "1 " * 1000) == ""


# -------------------------------------------------------------------- closing


@not_on_windows
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_under_way_is_finished_and_nobody_is_let_in(
    number: signal.Signals, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    with (
        serving("--grace", "60", code=PATIENT) as (process, port),
        client_of(port) as idle,
        client_of(port) as busy,
    ):
        under_way(process, idle, tmp_path)
        assert idle.hear() == "it exists"
        under_way(process, busy, done)
        send(process, number)
        assert line_of(process) == "closing: 1 requests under way"
        assert idle.hear() == ""
        assert refuses(port)
        done.touch()
        assert (busy.hear(), busy.hear()) == ("it exists", "")
        assert ended(process) == (0, ["closed: 1 finished, 0 cancelled, 0 left running"], "")


@not_on_windows
def test_with_nothing_under_way_it_ends_at_once() -> None:
    with serving("--grace", "60") as (process, port), client_of(port) as idle:
        assert idle.ask("sum 1") == "1"
        began = time.monotonic()
        send(process)
        code, said, error = ended(process)
        assert time.monotonic() - began < SOON
    assert (code, error) == (0, "")
    assert said[-1] == "closed: 0 finished, 0 cancelled, 0 left running"


@not_on_windows
def test_it_closes_though_all_slots_are_taken() -> None:
    with serving("--clients", "1") as (process, port), client_of(port) as idle:
        assert idle.ask("sum 1") == "1"
        send(process)
        assert ended(process)[0] == 0


@not_on_windows
def test_what_is_not_finished_when_the_grace_is_over_is_cancelled(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with (
        serving("--grace", "1", code=PATIENT) as (process, port),
        client_of(port) as long,
        client_of(port) as short,
    ):
        under_way(process, long, tmp_path / "never")
        under_way(process, short, done)
        send(process)
        assert line_of(process) == "closing: 2 requests under way"
        began = time.monotonic()
        done.touch()
        assert (short.hear(), short.hear(), long.hear()) == ("it exists", "", "")
        code, said, error = ended(process)
        assert time.monotonic() - began < SOON
    assert (code, error) == (1, "")
    assert said == ["closed: 1 finished, 1 cancelled, 0 left running"]


@not_on_windows
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_it_at_once(number: signal.Signals, tmp_path: Path) -> None:
    with serving("--grace", "60", code=PATIENT) as (process, port), client_of(port) as client:
        under_way(process, client, tmp_path / "never")
        send(process, number)
        assert line_of(process) == "closing: 1 requests under way"
        began = time.monotonic()
        process.send_signal(number)
        assert ended(process)[0] == -number
        assert time.monotonic() - began < SOON


DEAF = """
import sys, threading, serve
def answer(request):
    print("begun", flush=True)
    threading.Event().wait()
serve.answer = answer
sys.exit(serve.main())
"""


@not_on_windows
def test_a_request_that_does_not_stop_is_named_and_left() -> None:
    with serving("--grace", "0.2", code=DEAF) as (process, port), client_of(port) as client:
        client.say("anything\n")
        assert line_of(process) == "begun"
        send(process)
        code, said, error = ended(process)
    assert (code, error) == (1, "")
    assert said[0] == "closing: 1 requests under way"
    assert "clients-1 (talk)" in said[1]
    assert said[2] == "closed: 0 finished, 0 cancelled, 1 left running"


# -------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--clients", "0"], "--clients: 0 is not above 0"),
        (["--grace", "nan"], "--grace: nan is not above 0"),
        (["--limit", "soon"], "--limit: invalid positive value: 'soon'"),
        (["--port", "http"], "--port: invalid int value: 'http'"),
    ],
)
def test_a_wrong_argument_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(load("serve"), arguments, capsys)
