"""Read from a socket until the other side has sent everything, or the scope says stop.

    python stop_a_socket.py

Three times a thread reads from a socket whose other side is silent at first: once it answers in
the end, once nobody waits any longer, once the time is up.
"""

from __future__ import annotations

import math
import socket
from contextlib import suppress

from joinable import (
    CancelScope,
    DeadlineExceeded,
    checkpoint,
    fail_after,
    remaining,
    spawn,
)

PATIENCE = 0.2  # seconds


def receive_all(sock: socket.socket) -> bytes:
    """Return what the other side sends, up to its end; stop at once when the scope does."""

    def hang_up() -> None:
        with suppress(OSError):  # the other side was quicker
            sock.shutdown(socket.SHUT_RDWR)

    chunks: list[bytes] = []
    with CancelScope() as scope, scope.on_cancel(hang_up):
        while chunk := sock.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks)


def time_left() -> float | None:
    """Return what a foreign `timeout=` takes: None for infinity, and never 0."""
    checkpoint()
    left = remaining()
    return None if left == math.inf else max(left, 0.001)


def receive_in_time(sock: socket.socket) -> bytes:
    """Return what comes next; stop at the deadline, but not before it when it is cancelled."""
    sock.settimeout(time_left())
    try:
        return sock.recv(65536)
    except TimeoutError:
        checkpoint()  # raises Cancelled: it was our deadline
        raise


def main() -> None:
    """Show the three ends of a read."""
    here, there = socket.socketpair()
    with here, there:
        reader = spawn(receive_all, here)
        there.sendall(b"hello")
        there.close()
        print("answered: ", reader.result())

    here, there = socket.socketpair()
    with here, there:
        reader = spawn(receive_all, here)
        reader.cancel()
        reader.join()
        print("cancelled:", reader.cancelled())

    here, there = socket.socketpair()
    with here, there:
        try:
            with fail_after(PATIENCE):
                receive_all(here)
        except DeadlineExceeded:
            print("late:      no answer within", PATIENCE, "s")


if __name__ == "__main__":
    main()
