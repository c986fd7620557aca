"""Serve many clients at once, and stop without cutting off what is under way.

    python serve.py --demo
    python serve.py --port 7000 --clients 200 --grace 10

A client sends lines and gets a line back for each: `sum 1 2 3`, `div 7 2`, `nap 0.5`. Every client
has a thread of its own. Ctrl-C or SIGTERM closes the server: nobody is let in any more, requests
that are under way have `--grace` seconds to end, and what is left then is cancelled. A second
Ctrl-C ends the process at once. The exit code is 0 when every request was finished, else 1.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from joinable import (
    CancelScope,
    DeadlineExceeded,
    TaskGroup,
    fail_after,
    move_on_after,
    run_all,
    shield,
    sleep,
    spawn,
)
from joinable.sync import Semaphore

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import BinaryIO

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
LONGEST = 1000  # bytes that a line may have
LAST_MOMENT = 1.0  # seconds that a cancelled request has to clean up


# ---------------------------------------------------------------- what it is all for


def answer(request: str) -> str:
    """Do what a client asks for; a ValueError is the client's mistake, other errors are ours."""
    match request.split():
        case ["sum", *numbers]:
            return str(sum(map(int, numbers)))
        case ["div", dividend, divisor]:
            return str(int(dividend) // int(divisor))
        case ["nap", seconds]:
            sleep(float(seconds))
            return "had a nap"
        case _:
            raise ValueError("say sum, div or nap")


# ---------------------------------------------------------------- the server


class Server:
    """Lets clients in, answers their lines, and knows which requests are under way."""

    def __init__(self, clients: int, patience: float, limit: float, grace: float) -> None:
        self.patience, self.limit, self.grace = patience, limit, grace
        self.accepting = CancelScope()
        self.slots = Semaphore(clients)
        self.requests: set[CancelScope] = set()  # those that are under way
        self.closing, self.cut_off = False, 0
        # It guards the three above. It is one of `threading`, which is deaf to scopes: who is
        # cancelled has to count down all the same, and nobody holds it for long.
        self.changed = threading.Condition()

    def close(self) -> None:
        """Begin to close; any thread may call this, and a signal handler."""
        self.accepting.cancel()

    def serve(self, listener: socket.socket) -> bool:
        """Serve until somebody calls `close`; return whether every request was finished."""
        begun = 0
        try:
            with TaskGroup(name="clients", grace=LAST_MOMENT) as group:
                with self.accepting, self.accepting.on_cancel(partial(hang_up, listener)):
                    while True:
                        self.slots.acquire()  # with all slots taken, the next client waits outside
                        self.let_in(group, listener)
                begun = self.drain(group)
        except* DeadlineExceeded as left:  # what was cancelled, and has not ended
            print(*left.exceptions, sep="\n")
        stuck = len(self.requests)
        finished = begun - self.cut_off - stuck
        print(f"closed: {finished} finished, {self.cut_off} cancelled, {stuck} left running")
        return finished == begun

    def let_in(self, group: TaskGroup, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except ConnectionAbortedError:  # it has thought better of it
            self.slots.release()
            return
        client = group.spawn(self.talk, connection)
        # Not at the end of `talk`: this comes, too, when the group is stopped before that begins.
        client.add_done_callback(partial(self.see_off, connection))

    def see_off(self, connection: socket.socket, _: Future[None]) -> None:
        connection.close()
        self.slots.release()

    # ------------------------------------------------------------ one client

    def talk(self, connection: socket.socket) -> None:
        """Answer the lines of a client, until it hangs up or takes too long for one."""
        with suppress(ConnectionError), connection.makefile("rb") as lines:
            while (line := self.read(connection, lines)).endswith(b"\n"):
                self.handle(connection, line)

    def read(self, connection: socket.socket, lines: BinaryIO) -> bytes:
        """Return the next line; nothing, if it does not come in time."""
        with move_on_after(self.patience) as limit, limit.on_cancel(partial(hang_up, connection)):
            return lines.readline(LONGEST)
        return b""

    def handle(self, connection: socket.socket, line: bytes) -> None:
        """Answer one line. That the server closes does not stop this; the end of the grace does."""
        request = shield(None)
        if not self.begin(request):
            return
        try:
            with request:
                self.send(connection, self.reply(line))
        finally:
            self.end(request)

    def reply(self, line: bytes) -> str:
        reply = "error: that took too long"
        try:
            with move_on_after(self.limit):
                reply = answer(line.decode())
        except ValueError as error:
            reply = f"error: {error!r}"  # repr: there is no line end in it
        except Exception:  # this request has failed, and no other one
            log.exception("in the request %r", line)
            reply = "error: that has failed"
        return reply

    def send(self, connection: socket.socket, reply: str) -> None:
        with move_on_after(self.patience) as limit, limit.on_cancel(partial(hang_up, connection)):
            connection.sendall(f"{reply}\n".encode())

    # ------------------------------------------------------------ closing

    def begin(self, request: CancelScope) -> bool:
        with self.changed:
            if not self.closing:
                self.requests.add(request)
            return not self.closing

    def end(self, request: CancelScope) -> None:
        with self.changed:
            self.requests.remove(request)
            self.cut_off += request.cancelled_caught
            self.changed.notify()

    def drain(self, group: TaskGroup) -> int:
        """Let requests finish, for a while; cancel the rest; return how many there were."""
        with self.changed:
            self.closing = True
            begun = len(self.requests)
            print(f"closing: {begun} requests under way", flush=True)
        group.cancel()  # it stops those who wait for a line; a request is shielded
        with self.changed:
            self.changed.wait_for(lambda: not self.requests, self.grace)
            left = [*self.requests]
        for request in left:
            request.cancel()
        return begun


def hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # the other side was quicker
        sock.shutdown(socket.SHUT_RDWR)


def close_on_signals(server: Server) -> None:
    """Have the first Ctrl-C or SIGTERM close the server, and the next one end the process."""

    def first(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        server.close()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, first)


def run(server: Server, port: int, visit: Callable[[Server, int], list[str]] | None = None) -> int:
    """Serve, in the main thread, and return the exit code."""
    close_on_signals(server)
    with socket.create_server((LOOPBACK, port), backlog=128) as listener:
        port = listener.getsockname()[1]
        print(f"serving at {LOOPBACK}:{port}", flush=True)
        visits = spawn(visit, server, port) if visit else None
        all_finished = server.serve(listener)
    if visits:
        print(*visits.result(), sep="\n")
    return 0 if all_finished else 1


# ---------------------------------------------------------------- the demonstration


def call(port: int, line: str) -> socket.socket:
    client = socket.create_connection((LOOPBACK, port))
    client.sendall(line.encode())
    return client


def hear(client: socket.socket) -> str:
    with client, client.makefile() as lines, suppress(ConnectionError):
        return lines.readline().rstrip() or "hung up"
    return "hung up"


def demonstrate(server: Server, port: int) -> list[str]:
    """Visit the server, and press Ctrl-C while two requests are under way."""
    began = time.perf_counter()
    answers = run_all([lambda: hear(call(port, "nap 0.2\n"))] * 100)
    took = time.perf_counter() - began
    print(f"100 clients, a nap of 0.2 s each: {answers.count('had a nap')} had it, in {took:.2f} s")
    print("a mistake:", hear(call(port, "sum 1 two\n")))
    began = time.perf_counter()
    ending = hear(call(port, "half a li"))
    print(f"a client that falls silent: {ending} after {time.perf_counter() - began:.2f} s")
    lines = {"the short nap": "nap 0.7\n", "the long nap": "nap 60\n", "the one who waits": ""}
    clients = {who: call(port, line) for who, line in lines.items()}
    with fail_after(10):
        while len(server.requests) < 2:
            sleep(0.01)
    print("Ctrl-C", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    # Python overlooks a signal that comes in the very moment in which a wait begins, until that
    # ends: the next client ends it.
    with suppress(ConnectionError):
        call(port, "").close()
    return [f"{who}: {hear(client)}" for who, client in clients.items()]


# ---------------------------------------------------------------- the command line


def positive(text: str) -> float:
    """Read a number above 0, for argparse."""
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Serve many clients at once.")
    parser.add_argument("--demo", action="store_true", help="serve clients of its own, and end")
    parser.add_argument("--port", type=int, default=0, help="where to listen (default: a free one)")
    add = partial(parser.add_argument, type=positive)
    add("--clients", default=100.0, help="at a time (default: %(default)g)")
    add("--patience", default=30.0, help="seconds for a silent client (default: %(default)g)")
    add("--limit", default=30.0, help="seconds for a request (default: %(default)g)")
    add("--grace", default=10.0, help="seconds for requests at the end (default: %(default)g)")
    given = parser.parse_args()
    if given.demo:
        run(Server(clients=150, patience=0.5, limit=60.0, grace=1.0), 0, demonstrate)
        return 0
    clients = math.ceil(given.clients)
    return run(Server(clients, given.patience, given.limit, given.grace), given.port)


if __name__ == "__main__":
    sys.exit(main())
