"""Check services all at once: HTTP addresses and TCP ports.

    python check_services.py
    python check_services.py shop=http://localhost:8080/health tcp://localhost:5432 [::1]:6379

Without arguments it starts a few small servers of its own on this machine and checks those, so it
needs no network. With arguments it checks the addresses given, and its exit code is 1 when one of
them is down. Every check has a thread of its own: all of them take as long as the slowest one.
"""

from __future__ import annotations

import argparse
import socket
import string
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from joinable import run_all, spawn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

LOOPBACK = "127.0.0.1"
STANDARD_PORTS = {"http": 80, "https": 443, "tcp": None}


class Service(NamedTuple):
    """One thing to check: its name in the table, and where it answers."""

    name: str
    scheme: str
    host: str
    port: int
    target: str = "/"  # what an HTTP server is asked for


class UnhealthyError(OSError):
    """The service answered, but not as a healthy one does."""


def check(service: Service, timeout: float) -> float:
    """Return the seconds ``service`` took to answer; raise OSError when it is down."""
    began = time.perf_counter()
    try:
        if service.scheme == "tcp":
            socket.create_connection((service.host, service.port), timeout).close()
        else:
            ask(service, timeout)
    except TimeoutError:
        raise TimeoutError(f"no answer after {time.perf_counter() - began:.1f} s") from None
    except HTTPException as error:
        raise UnhealthyError(f"no HTTP answer: {error!r}") from error
    return time.perf_counter() - began


def ask(service: Service, timeout: float) -> None:
    """Send one GET request; raise UnhealthyError when the answer is an error (400 and above)."""
    connect = HTTPSConnection if service.scheme == "https" else HTTPConnection
    with closing(connect(service.host, service.port, timeout=timeout)) as connection:
        connection.request("GET", service.target)
        with connection.getresponse() as answer:
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise UnhealthyError(f"answered {answer.status} {answer.reason}")


def table(outcomes: Mapping[Service, float | BaseException]) -> Iterator[str]:
    """Yield the lines of the table: a heading, then one line a service."""
    width = max(len(name) for name in ("SERVICE", *(service.name for service in outcomes)))
    yield f"{'SERVICE':<{width}}  STATE  LATENCY  ERROR"
    for service, outcome in outcomes.items():
        match outcome:
            case OSError():
                # A server's words may hold what steers a terminal: only what is printable passes.
                words = outcome.strerror or str(outcome)
                safe = "".join(letter if letter.isprintable() else "?" for letter in words)
                yield f"{service.name:<{width}}  down         -  {safe}"
            case BaseException():  # a mistake in this program, not a service that is down
                raise outcome
            case latency:
                yield f"{service.name:<{width}}  up    {latency * 1000:5.0f} ms"


def report(services: Sequence[Service], timeout: float) -> int:
    """Check ``services``, print the table, and return how many are down."""
    began = time.perf_counter()
    checks = {service: partial(check, service, timeout) for service in services}
    outcomes = run_all(checks, return_exceptions=True)  # a latency or, in its place, an error
    took = time.perf_counter() - began
    down = sum(isinstance(outcome, OSError) for outcome in outcomes.values())
    print(*table(outcomes), f"\n{len(outcomes)} checked in {took:.2f} s, {down} down", sep="\n")
    return down


@contextmanager
def demo_services() -> Generator[list[Service]]:
    """Run small real servers on free ports of this machine, until the block is left."""
    with ExitStack() as stack:
        # Bound but not listening: it refuses connections, and nobody else can take the port.
        closed = stack.enter_context(socket.socket())
        closed.bind((LOOPBACK, 0))
        database = stack.enter_context(socket.create_server((LOOPBACK, 0)))
        shop = stack.enter_context(http_server(HTTPStatus.OK))
        search = stack.enter_context(http_server(HTTPStatus.OK, delay=0.4))
        payment = stack.enter_context(http_server(HTTPStatus.INTERNAL_SERVER_ERROR))
        yield [
            Service("shop", "http", LOOPBACK, shop),
            Service("search (slow)", "http", LOOPBACK, search),
            Service("payment (broken)", "http", LOOPBACK, payment),
            Service("mail (closed)", "http", LOOPBACK, closed.getsockname()[1]),
            Service("database (TCP)", "tcp", LOOPBACK, database.getsockname()[1]),
        ]


@contextmanager
def http_server(status: HTTPStatus, delay: float = 0.0) -> Generator[int]:
    """Serve HTTP in a thread, each answer ``status`` after ``delay`` seconds; give the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(delay)
            self.send_response_only(status)  # "only": without printing a line of log
            self.end_headers()

    with HTTPServer((LOOPBACK, 0), Handler) as server:
        thread = spawn(server.serve_forever, poll_interval=0.02)
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.result()  # had the server died, its error would come out here


def parse_service(text: str) -> Service:
    """Read ``[NAME=]ADDRESS``, for argparse."""
    name, equals, address = text.partition("=")
    if not equals or set(name) & set("/:["):  # this "=" belongs to the address
        name, address = text, text
    try:
        return Service(name, *split_address(address))
    except ValueError as error:  # of other errors argparse would not show the words
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def split_address(address: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and target; raise ValueError when ``address`` has not got them."""
    url = urlsplit(address if "://" in address else f"tcp://{address}")
    if url.scheme not in STANDARD_PORTS or "@" in url.netloc:
        raise ValueError(
            "only http://, https:// and tcp:// can be checked, and without a user name"
        )
    if url.netloc.count(":") > 1 and "[" not in url.netloc:
        raise ValueError("an IPv6 address goes in brackets, as in [::1]:5432")
    if url.scheme == "tcp" and (url.path or url.query):
        raise ValueError("only HTTP has paths; for HTTP begin with http://")
    port = STANDARD_PORTS[url.scheme] if url.port is None else url.port
    if not url.hostname or not port:
        raise ValueError("it needs a host and a port from 1 to 65535, as in localhost:5432")
    url.hostname.encode("idna")  # a name nobody could look up: UnicodeError, which is a ValueError
    target = (url.path or "/") + (url.query and f"?{url.query}")
    return url.scheme, url.hostname, port, quote(target, safe=string.punctuation)


def seconds(text: str) -> float:
    """Read a ``timeout`` that a socket can wait, for argparse."""
    if not 0 < (value := float(text)) <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 3600")
    return value


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Check services all at once.")
    add = parser.add_argument
    address = "http[s]://host[:port]/path, tcp://host:port or host:port; none: a demonstration"
    add("services", nargs="*", type=parse_service, metavar="[NAME=]ADDRESS", help=address)
    wait = "how long to wait for a connection, and for each read (default: %(default)g)"
    add("--timeout", type=seconds, default=5.0, metavar="SECONDS", help=wait)
    options = parser.parse_args()
    try:
        if options.services:
            return 1 if report(options.services, options.timeout) else 0
        with demo_services() as services:
            report(services, options.timeout)
    except KeyboardInterrupt as interrupt:
        left_running = getattr(interrupt, "__notes__", ())  # after a second Ctrl-C
        print("stopped", *left_running, sep="\n", file=sys.stderr)
        return 130  # what a shell gives for a program that Ctrl-C ended
    return 0


if __name__ == "__main__":
    sys.exit(main())
