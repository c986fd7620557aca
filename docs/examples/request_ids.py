"""Serve HTTP, and let every line of the log say which request it is about.

    python request_ids.py
    python request_ids.py --port 8080
    python request_ids.py --demo

Ask it for a page, as by `curl http://127.0.0.1:8000/ann`. It has three things looked up at the same
time to answer that, in threads of the library's, and each of them logs. The id of the request is in
a `ContextVar`: it is bound once, where the request comes in, and every call that is started there
inherits it. The id is in the answer, too. Ctrl-C ends it, with exit code 130. With `--demo` it asks
itself for two pages at the same time, and ends.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
from contextlib import closing
from contextvars import ContextVar
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from typing_extensions import override

from joinable import ThreadLocal, bind, run_all, spawn

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK = "127.0.0.1"
LOG = logging.getLogger("shop")

request_id: ContextVar[str] = ContextVar("request_id", default="-")
numbers = itertools.count(1)

# How many lookups a task has made: each has a count of its own, on whatever thread it runs.
lookups = ThreadLocal[list[str]](list)


def add_id(record: logging.LogRecord) -> bool:
    """Give every record the id of the request in whose context it was made."""
    record.request_id = request_id.get()
    return True


def look_up(what: str, user: str) -> str:
    """Stand for a question to a database or to another service."""
    lookups.get().append(what)
    LOG.info("look up the %s of %s (lookup %d)", what, user, len(lookups.get()))
    return f"{what} of {user}"


class Handler(BaseHTTPRequestHandler):
    """Answers with what three lookups give."""

    def do_GET(self) -> None:
        """Answer one request, with an id of its own."""
        with bind(request_id, f"r{next(numbers)}"):  # `next` of a count is one step
            LOG.info("asked for %s", self.path)
            user = self.path.strip("/") or "nobody"
            found = run_all(
                [partial(look_up, what, user) for what in ("cart", "address", "orders")]
            )
            LOG.info("answer")  # first: the program does not wait for threads that are behind that
            self.answer(found)

    def answer(self, found: Sequence[str]) -> None:
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-Id", request_id.get())
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the log above says it."""


def prepare_log() -> None:
    handler = logging.StreamHandler()
    handler.addFilter(add_id)  # of the handler: it sees the records of every logger
    logging.basicConfig(
        level=logging.INFO,
        handlers=[handler],
        format="%(request_id)s %(threadName)s: %(message)s",
    )


def ask(port: int, user: str) -> str:
    """Be a browser: return what is on the page of a user, and the id of the request."""
    with closing(HTTPConnection(LOOPBACK, port, timeout=10)) as connection:
        connection.request("GET", f"/{user}")
        answer = connection.getresponse()
        return f"{answer.headers['X-Request-Id']}: {answer.read().decode()}"


def demonstrate(server: ThreadingHTTPServer) -> None:
    """Serve two users at the same time, and print what they get."""
    serving = spawn(server.serve_forever, poll_interval=0.02)
    try:
        pages = run_all([partial(ask, server.server_port, user) for user in ("ann", "bob")])
    finally:
        server.shutdown()
        serving.result()
    print(*pages, sep="\n")


def main() -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    parser.add_argument("--demo", action="store_true", help="ask for two pages, and end")
    options = parser.parse_args()
    prepare_log()
    port = 0 if options.demo else options.port
    with ThreadingHTTPServer((LOOPBACK, port), Handler) as server:
        if options.demo:
            demonstrate(server)
            return 0
        print(f"http://{LOOPBACK}:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            LOG.info("stopped")
    return 130


if __name__ == "__main__":
    sys.exit(main())
