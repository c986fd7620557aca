"""Many connections at the same time: a thread for each, or one thread with asyncio for all.

    python tests/bench/connections.py WAY CONNECTIONS

is a process that asks a server in another process so many questions over so many connections, and
prints one line of JSON. The server takes its time over each answer, as one far away would, and
does little else, so that what is measured is who asks.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from children import rate, resident
from joinable import TaskGroup
from joinable.sync import Barrier

if TYPE_CHECKING:
    from collections.abc import Callable

Address: TypeAlias = "tuple[str, int]"

DELAY = 0.01  # seconds until an answer is sent
QUESTION = b"What time is it?"
SIZE = len(QUESTION)  # of an answer, too
MOST = 50  # questions that a connection asks
TOTAL = 50_000  # questions of all of them, at most: with many connections each asks fewer
FEW = 10  # but so many at least, or it would be all connecting
ROOM = 512  # files that a process has open besides its connections, at most


def ask(address: Address, questions: int, gate: Barrier) -> None:
    with socket.create_connection(address) as connection:
        gate.wait()
        for _ in range(questions):
            connection.sendall(QUESTION)
            connection.recv(SIZE, socket.MSG_WAITALL)


def with_threads(address: Address, clients: int, questions: int) -> None:
    gate = Barrier(clients)
    with TaskGroup() as group:
        for _ in range(clients):
            group.spawn(ask, address, questions, gate)


async def ask_in_turn(address: Address, questions: int, gate: asyncio.Barrier) -> None:
    reader, writer = await asyncio.open_connection(*address)
    await gate.wait()
    for _ in range(questions):
        writer.write(QUESTION)
        await reader.readexactly(SIZE)
    writer.close()
    await writer.wait_closed()


async def with_asyncio(address: Address, clients: int, questions: int) -> None:
    gate = asyncio.Barrier(clients)
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask_in_turn(address, questions, gate))


def run_asyncio(address: Address, clients: int, questions: int) -> None:
    asyncio.run(with_asyncio(address, clients, questions))


WAYS: dict[str, Callable[[Address, int, int], None]] = {
    "threads": with_threads,
    "asyncio": run_asyncio,
}


class Server:
    """Answers every question with the same words, `DELAY` seconds after it came."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=8192)
        self.listener.setblocking(False)
        self.address: Address = self.listener.getsockname()
        self.ready = selectors.DefaultSelector()
        self.ready.register(self.listener, selectors.EVENT_READ)
        # All take as long, so they fall due in the order in which they came.
        self.due: deque[tuple[float, socket.socket]] = deque()

    def run(self) -> None:
        while True:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                with suppress(OSError):  # who asked is gone
                    self.due.popleft()[1].send(QUESTION)
            pause = max(self.due[0][0] - now, 0) if self.due else None
            for key, _ in self.ready.select(pause):
                if key.fileobj is self.listener:
                    self.accept()
                else:
                    self.read(key.fileobj)

    def accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                connection, _ = self.listener.accept()
                self.ready.register(connection, selectors.EVENT_READ)

    def read(self, connection: Any) -> None:
        # Nobody asks again before the answer, so each piece of news is one question, or the end.
        if connection.recv(SIZE):
            self.due.append((time.monotonic() + DELAY, connection))
        else:
            self.ready.unregister(connection)
            connection.close()


def be_server() -> None:
    server = Server()
    print(*server.address, flush=True)
    server.run()


def may_open(count: int) -> bool:
    """Ask the system for so many open files; whether this process may have them."""
    try:
        resource: Any = importlib.import_module("resource")
    except ModuleNotFoundError:  # Windows has no such limit
        return True
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        return False
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return True


def questions_of_each(clients: int) -> int:
    return max(FEW, min(MOST, TOTAL // clients))


def measure(way: str, clients: int) -> dict[str, float]:
    """Tell the answers a second, the CPU time of one in microseconds, and the MiB they take."""
    questions = questions_of_each(clients)
    command = [sys.executable, __file__, "server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603  (ours)
        assert server.stdout is not None
        host, port = server.stdout.readline().split()
        address = host, int(port)
        try:
            WAYS[way](address, 1, 1)  # what is made once is there before the measurement begins
            before, cpu = resident(), time.process_time()
            answers = clients * questions
            speed = rate(lambda: WAYS[way](address, clients, questions), answers)
            cpu = time.process_time() - cpu
        finally:
            server.kill()
    return {"rate": speed, "cpu": cpu / answers * 1e6, "memory": resident("VmHWM") - before}


def child(way: str, clients: int) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, str(Path(__file__)), way, str(clients)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  (ours)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main(arguments: list[str]) -> None:
    if not may_open(int(arguments[-1]) + ROOM if len(arguments) > 1 else ROOM):
        sys.exit("this process may not open so many connections")
    if arguments == ["server"]:
        be_server()
    print(json.dumps(measure(arguments[0], int(arguments[1]))), flush=True)
    os._exit(0)  # thousands of idle threads take seconds to end on a free-threaded build


if __name__ == "__main__":
    main(sys.argv[1:])
