"""The monitor: with services that answer, fail, hang and dribble, real signals and a fake clock."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from joinable import CancelScope, Thread, move_on_after, sleep, spawn
from joinable.testing import FakeClock
from programs import PATIENCE, line_of, load, not_on_windows, refusal, send, started

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Generator, Mapping

LOOPBACK = "127.0.0.1"
SOON = 25.0  # seconds; what is not stopped takes a minute
monitor = load("monitor")


# -------------------------------------------------------------------- services


class Handler(BaseHTTPRequestHandler):
    status = 200

    @override
    def handle(self) -> None:
        with suppress(ConnectionError):  # the monitor may hang up
            super().handle()

    def do_GET(self) -> None:
        self.send_response_only(self.status)
        self.end_headers()


class Dribbler(Handler):
    """Goes on sending headers, of which the last one never comes."""

    @override
    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            self.wfile.write(b"X: y\r\n")
            time.sleep(0.02)


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so server_close() joins the threads that answer
    request_queue_size = 128


@contextmanager
def http_server(handler: type[Handler] = Handler) -> Generator[str]:
    """Serve HTTP in this process; give the address."""
    with Server((LOOPBACK, 0), handler) as server:
        thread = spawn(server.serve_forever, poll_interval=0.02)
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
            thread.result()


@contextmanager
def silent_server() -> Generator[str]:
    """Let clients in, and say nothing."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield f"{LOOPBACK}:{listener.getsockname()[1]}"


@contextmanager
def full_server() -> Generator[str]:
    """Let nobody in, and refuse nobody: who knocks waits."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((LOOPBACK, 0), backlog=0))
        for _ in range(10):
            client = stack.enter_context(socket.socket())
            client.settimeout(0.1)
            with suppress(TimeoutError):
                client.connect(listener.getsockname())
                continue
            break
        else:
            pytest.skip("here a listener lets in more than it was told to")
        yield f"{LOOPBACK}:{listener.getsockname()[1]}"


@contextmanager
def closed_port() -> Generator[str]:
    """Refuse who knocks: bound, so that nobody else can take the port, but not listening."""
    with closing(socket.socket()) as bound:
        bound.bind((LOOPBACK, 0))
        yield f"{LOOPBACK}:{bound.getsockname()[1]}"


def news(process: subprocess.Popen[str]) -> str:
    """Return the next change, or the last line, without the time at which it came."""
    return re.sub(r"^ *\d+\.\d\d s  ", "", line_of(process))


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
    """Send it a signal; return its exit code and its last line; it has to be soon."""
    began = time.monotonic()
    send(process, number)
    out, err = process.communicate(timeout=PATIENCE)
    assert err == ""
    assert time.monotonic() - began < SOON
    return process.returncode, out.splitlines()[-1]


# -------------------------------------------------------------------- what it reports


def test_a_service_is_reported_when_it_goes_down_and_when_it_comes_up_again() -> None:
    class Moody(Handler):
        pass

    with (
        http_server(Moody) as address,
        started("monitor", "--every", "0.05", f"shop={address}/health") as process,
    ):
        assert news(process) == "shop  up"
        Moody.status = 503
        assert news(process) == "shop  DOWN: 503 Service Unavailable"
        Moody.status = 404  # down for another reason is no news
        time.sleep(0.2)
        Moody.status = 204
        assert news(process) == "shop  up"


def test_what_is_up_and_what_is_down_is_told_at_once() -> None:
    with (
        http_server() as well,
        silent_server() as silent,
        closed_port() as closed,
        started(
            "monitor",
            *("--timeout", "60", f"well={well}", f"tcp=tcp://{silent}"),
            *(f"closed=tcp://{closed}", "nowhere=http://no.invalid"),
        ) as process,
    ):
        said = dict(news(process).split(maxsplit=1) for _ in range(4))
    assert said.pop("nowhere").startswith("DOWN: ")
    assert said == {"well": "up", "tcp": "up", "closed": "DOWN: Connection refused"}


def test_a_service_that_hangs_or_dribbles_is_down_in_time() -> None:
    with (
        http_server(Dribbler) as dribbling,
        silent_server() as silent,
        started(
            "monitor", "--timeout", "0.5", f"dribbling={dribbling}", f"silent=http://{silent}"
        ) as process,
    ):
        said = dict(news(process).split(maxsplit=1) for _ in range(2))
    assert said == dict.fromkeys(("dribbling", "silent"), "DOWN: no answer within 0.5 s")


def test_a_hundred_services_are_watched() -> None:
    with (
        http_server() as address,
        started(
            "monitor", "--timeout", "60", *(f"s{number}={address}" for number in range(100))
        ) as process,
    ):
        said = {news(process).split()[0] for _ in range(100)}
        assert said == {f"s{number}" for number in range(100)}
        assert end(process) == (0, "stopped: 100 of 100 are up")


# -------------------------------------------------------------------- its end


@not_on_windows
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_once_though_checks_hang(number: signal.Signals) -> None:
    with (
        http_server() as address,
        silent_server() as silent,
        started("monitor", "--timeout", "60", address, f"http://{silent}") as process,
    ):
        assert news(process).endswith("  up")
        assert end(process, number) == (1, "stopped: 1 of 2 are up")


@not_on_windows
def test_it_stops_at_once_though_nobody_lets_it_in() -> None:
    with (
        http_server() as address,
        full_server() as full,
        started("monitor", "--timeout", "60", address, f"tcp://{full}") as process,
    ):
        assert news(process).endswith("  up")
        assert end(process) == (1, "stopped: 1 of 2 are up")


def test_it_stops_by_itself_when_its_time_is_over() -> None:
    with http_server() as up, started("monitor", "--for", "1", f"s={up}") as process:
        assert news(process) == "s  up"
        assert process.communicate(timeout=PATIENCE) == ("stopped: 1 of 1 are up\n", "")
    assert process.returncode == 0


def test_what_is_not_known_by_then_is_not_up() -> None:
    with (
        silent_server() as silent,
        started("monitor", "--for", "0.1", f"http://{silent}") as process,
    ):
        assert process.communicate(timeout=PATIENCE) == ("stopped: 0 of 1 are up\n", "")
    assert process.returncode == 1


# -------------------------------------------------------------------- its schedule


def times_of_checks(
    checks: Mapping[str, Callable[[int], object]], seconds: float, patch: pytest.MonkeyPatch
) -> dict[str, list[float]]:
    """Watch, on a fake clock, services that are checked every second; return when each was."""
    times: dict[str, list[float]] = defaultdict(list)

    def check(address: str, timeout: float) -> None:
        assert timeout == 5
        times[address].append(clock.now)
        checks[address](len(times[address]))

    services = [monitor.Service(name, name) for name in checks]
    with FakeClock(autojump=True) as clock, move_on_after(seconds):
        patch.setattr(monitor, "monotonic", lambda: clock.now)
        monitor.Monitor(services, 1, 5, check).run(str)
    return times


def test_checks_that_take_their_time_do_not_delay_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = times_of_checks({"s": lambda turn: sleep(0.1 * (turn % 9))}, 19.5, monkeypatch)
    assert times["s"] == list(range(20))


def test_a_turn_that_is_past_is_left_out_and_the_schedule_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = times_of_checks({"s": lambda turn: sleep(2.5 if turn == 3 else 0)}, 7.5, monkeypatch)
    assert times["s"] == [0, 1, 2, 5, 6, 7]


def test_a_service_that_hangs_does_not_delay_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    times = times_of_checks({"hangs": lambda _: sleep(3600), "well": int}, 12.5, monkeypatch)
    assert times["well"] == list(range(13))
    assert times["hangs"] == [0, 5, 10]


# -------------------------------------------------------------------- checks that go wrong


@contextmanager
def watched(check: Callable[[str, float], object], timeout: float) -> Generator[Callable[[], str]]:
    """Watch one service, very often; give what waits for the next change."""
    changes: list[str] = []
    told = threading.Semaphore(0)

    def report(change: tuple[object, str]) -> None:
        changes.append(change[1])
        told.release()

    def next_change() -> str:
        assert told.acquire(timeout=PATIENCE)
        return changes.pop(0)

    watching = monitor.Monitor([monitor.Service("s", "s")], 0.01, timeout, check)
    thread: Thread[None] = Thread(target=watching.run, args=(report,))
    with CancelScope() as scope:
        thread.start()
        yield next_change
        scope.cancel()
    thread.join()
    assert thread.cancelled()


def test_a_check_that_is_stuck_is_reported_and_not_started_again_until_it_ends() -> None:
    gate, calls = threading.Event(), list[int]()

    def check(*_: object) -> None:
        calls.append(1)
        gate.wait()  # nothing stops this

    with watched(check, 0.05) as next_change:
        assert next_change() == "no answer within 0.05 s"
        time.sleep(0.1)
        assert len(calls) == 1
        gate.set()
        assert next_change() == ""
        assert len(calls) > 1


def test_a_mistake_in_a_check_is_a_service_that_is_down() -> None:
    outcomes = [None, ZeroDivisionError("oh"), None]

    def check(*_: object) -> None:
        if outcomes and (error := outcomes.pop(0)):
            raise error

    with watched(check, PATIENCE) as next_change:
        assert [next_change() for _ in range(3)] == ["", "ZeroDivisionError('oh')", ""]


# -------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("http://a/b", ("http://a/b", "http://a/b")),
        ("shop=https://a:1/b", ("shop", "https://a:1/b")),
        ("http://a/b?c=d", ("http://a/b?c=d", "http://a/b?c=d")),
        ("db=tcp://[::1]:5432", ("db", "tcp://[::1]:5432")),
    ],
)
def test_a_service_may_have_a_name(text: str, service: tuple[str, str]) -> None:
    assert monitor.service(text) == service


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a service, or say --demo"),
        (["localhost"], "'localhost' does not begin with http://, https:// or tcp://"),
        (["shop=ftp://localhost"], "'ftp://localhost' does not begin with"),
        (["http://"], "'http://' does not begin with"),
        (["tcp://localhost"], "'tcp://localhost' needs a port"),
        (["tcp://localhost:x"], "invalid service value: 'tcp://localhost:x'"),
        (["--every", "0", "tcp://a:1"], "--every: 0 is not above 0"),
        (["--timeout", "nan", "tcp://a:1"], "--timeout: nan is not above 0"),
    ],
)
def test_a_wrong_argument_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(monitor, arguments, capsys)
