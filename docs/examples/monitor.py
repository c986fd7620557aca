"""Watch many services, and tell when one goes down or comes up again.

    python monitor.py --demo
    python monitor.py --every 30 --timeout 5 shop=http://localhost:8080/health tcp://localhost:5432

Each service is checked on a schedule of its own, and a check has so many seconds and no more: what
one service does or does not do changes nothing for the others. Ctrl-C, SIGTERM or `--for` end it.
The exit code is then 0 when all services are up, and 1 when one is not.
"""

from __future__ import annotations

import argparse
import math
import signal
import socket
import sys
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from joinable import (
    CancelledError,
    CancelScope,
    TaskGroup,
    Thread,
    checkpoint,
    move_on_after,
    sleep,
    spawn,
)
from joinable.sync import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

LOOPBACK = "127.0.0.1"


class Service(NamedTuple):
    """Something to watch: its name in the reports, and where it answers."""

    name: str
    address: str


# ---------------------------------------------------------------- one check


class UnhealthyError(OSError):
    """The service has answered, but not as a healthy one does."""


def check(address: str, timeout: float) -> None:
    """Return when the service is well; raise what says why it is not."""
    url = urlsplit(address)
    host = url.hostname or ""
    if url.scheme == "tcp":
        socket.create_connection((host, url.port or 0), timeout).close()
        return
    connect = HTTPSConnection if url.scheme == "https" else HTTPConnection
    with ExitStack() as stack:
        connection = stack.enter_context(closing(connect(host, url.port, timeout=timeout)))
        connection.connect()
        scope = stack.enter_context(CancelScope())
        # The timeout is one for each read: a server that sends a byte now and then could go on for
        # ever. When the time of the whole check is up, or nobody wants to know, hang up.
        with scope.on_cancel(partial(hang_up, connection.sock)):
            connection.request("GET", url.path or "/")
            answer = stack.enter_context(connection.getresponse())
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise UnhealthyError(f"{answer.status} {answer.reason}")


def hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # the other side was quicker
        sock.shutdown(socket.SHUT_RDWR)


# ---------------------------------------------------------------- the monitor


class Change(NamedTuple):
    """What is new about a service: it is up, or why it is down."""

    service: Service
    down: str  # empty: it is up


class Monitor:
    """Checks services, each in a thread of its own, and reports what changes."""

    def __init__(
        self,
        services: Sequence[Service],
        every: float,
        timeout: float,
        check: Callable[[str, float], None] = check,
    ) -> None:
        self.services, self.every, self.timeout, self.check = services, every, timeout, check
        self.news: Queue[Change] = Queue()
        self.states: dict[Service, str] = {}

    def run(self, report: Callable[[Change], object]) -> None:
        """Call `report`, in this thread, with each change, until somebody says stop."""
        with TaskGroup(name="monitor") as group:
            for service in self.services:
                group.spawn(self.watch, service)
            while True:
                change = self.news.get()
                self.states[change.service] = change.down
                report(change)

    def watch(self, service: Service) -> None:
        """Check one service again and again, on schedule."""
        began, turn = monotonic(), 0
        was_up = None
        while True:
            # A thread for the check: its outcome is there in time, whatever the check does.
            attempt = Thread(
                target=self.check,
                args=(service.address, self.timeout),
                name=f"check {service.name}",
                timeout=self.timeout,
            )
            # If the monitor is stopped meanwhile, nobody asks for an error of the check.
            attempt.add_done_callback(lambda _: None)
            attempt.start()
            down = self.outcome(attempt)
            if was_up is not (not down):
                was_up = not down
                self.news.put(Change(service, down))
            attempt.join()  # if it is stuck: one thread is enough
            # From the beginning, not from now, or delays would add up. What is past is left out.
            turn = max(turn + 1, math.ceil((monotonic() - began) / self.every))
            sleep(max(0.0, began + turn * self.every - monotonic()))

    def outcome(self, attempt: Thread[None]) -> str:
        """Wait for a check, and return why the service is down; nothing when it is up."""
        try:
            attempt.result()
        except CancelledError:
            checkpoint()  # the monitor is being stopped, and so was the check
            raise
        except TimeoutError:
            return f"no answer within {self.timeout:g} s"
        except OSError as error:
            return error.strerror or str(error)
        except Exception as error:  # noqa: BLE001  whatever it is, the others are watched on
            return repr(error)
        return ""


def run(monitor: Monitor, duration: float) -> int:
    """Watch until the time is up, or somebody says stop; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it does what Ctrl-C does
    began, width = monotonic(), max(len(service.name) for service in monitor.services)

    def report(change: Change) -> None:
        name, state = change.service.name, f"DOWN: {change.down}" if change.down else "up"
        print(f"{monotonic() - began:8.2f} s  {name:<{width}}  {state}", flush=True)

    with suppress(KeyboardInterrupt), move_on_after(duration):
        monitor.run(report)
    up = [*monitor.states.values()].count("")
    print(f"stopped: {up} of {len(monitor.services)} are up")
    return 0 if up == len(monitor.services) else 1


# ---------------------------------------------------------------- the demonstration


class Shop(BaseHTTPRequestHandler):
    """A web shop with a slow search, and a front page that fails twice and recovers."""

    visits = 0

    def do_GET(self) -> None:
        status = HTTPStatus.OK
        if self.path == "/search":
            sleep(0.1)
        else:
            Shop.visits += 1
            if Shop.visits in (3, 4):
                status = HTTPStatus.SERVICE_UNAVAILABLE
        self.send_response_only(status)  # "only": without a line of log
        self.end_headers()


@contextmanager
def demo_services() -> Generator[list[Service]]:
    """Run a shop, and a server that lets you in and says nothing, until the block is left."""
    with (
        socket.create_server((LOOPBACK, 0)) as silent,
        ThreadingHTTPServer((LOOPBACK, 0), Shop) as server,
    ):
        thread = spawn(server.serve_forever, poll_interval=0.02)
        shop = f"http://{LOOPBACK}:{server.server_port}"
        try:
            yield [
                Service("shop", shop),
                Service("search", f"{shop}/search"),
                Service("mail", f"http://{LOOPBACK}:{silent.getsockname()[1]}"),
            ]
        finally:
            server.shutdown()
            thread.result()


# ---------------------------------------------------------------- the command line


def service(text: str) -> Service:
    """Read `[NAME=]ADDRESS`, for argparse."""
    name, equals, address = text.partition("=")
    if not equals or "/" in name:  # this "=" belongs to the address
        name, address = text, text
    url = urlsplit(address)
    if url.scheme not in ("http", "https", "tcp") or not url.hostname:
        raise argparse.ArgumentTypeError(
            f"{address!r} does not begin with http://, https:// or tcp://"
        )
    if url.scheme == "tcp" and not url.port:
        raise argparse.ArgumentTypeError(f"{address!r} needs a port")
    return Service(name, address)


def seconds(text: str) -> float:
    """Read a number above 0, for argparse."""
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Watch services.")
    help_ = "http[s]://host[:port]/path or tcp://host:port"
    parser.add_argument("services", nargs="*", type=service, metavar="[NAME=]ADDRESS", help=help_)
    parser.add_argument("--demo", action="store_true", help="watch services of its own, and end")
    add = partial(parser.add_argument, type=seconds, metavar="SECONDS")
    add("--every", default=30.0, help="from one check to the next (default: %(default)g)")
    add("--timeout", default=5.0, help="for one check (default: %(default)g)")
    add("--for", dest="duration", default=math.inf, help="how long to watch (default: for ever)")
    given = parser.parse_args()
    if given.demo:
        with demo_services() as services:
            run(Monitor(services, every=0.3, timeout=0.8), duration=2.4)
        return 0
    if not given.services:
        parser.error("name a service, or say --demo")
    return run(Monitor(given.services, given.every, given.timeout), given.duration)


if __name__ == "__main__":
    sys.exit(main())
