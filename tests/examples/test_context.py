"""The examples of what a thread sees, each started as a user would."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from joinable import run_all

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PATIENCE = 30  # seconds after which an example hangs
REQUESTS = 40


def start(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own examples
        [sys.executable, *command],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_what_the_page_says_of_the_two_outputs_is_true() -> None:
    files = ("what_a_thread_sees.txt", "what_a_thread_sees_free_threaded.txt")
    texts = [(EXAMPLES / "output" / name).read_text(encoding="utf-8") for name in files]
    with_gil, free_threaded = (text.partition("\n")[2] for text in texts)
    assert with_gil != free_threaded
    assert with_gil.partition("joinable")[2] == free_threaded.partition("joinable")[2] != ""


def ask(port: int, number: int) -> tuple[str, str | None, bytes]:
    """Ask for a page; return the user, the id in the answer, and what is in it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", f"/user{number}")
        answer = connection.getresponse()
        return f"user{number}", answer.headers["X-Request-Id"], answer.read()
    finally:
        connection.close()


def test_every_line_of_the_log_has_the_id_of_its_request() -> None:
    command = [sys.executable, "request_ids.py", "--port", "0"]
    with subprocess.Popen(  # noqa: S603  our own example
        command, cwd=EXAMPLES, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address: str = process.stdout.readline().strip()
            port = urlsplit(address).port
            assert port is not None
            calls = [partial(ask, port, number) for number in range(REQUESTS)]
            answers = run_all(calls, max_workers=8)
            process.send_signal(signal.SIGINT)
            _, log = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 130
    users = {found: user for user, found, _ in answers}
    assert len(users) == REQUESTS
    *lines, last = log.splitlines()
    assert last == "- MainThread: stopped"
    found = [re.fullmatch(r"(r\d+) ([^:]+): (.*)", line) for line in lines]
    assert Counter(match[1] for match in found if match) == dict.fromkeys(users, 5)
    for match in found:
        assert match is not None
        if match[3].startswith("look up"):
            assert match[2].startswith("run_all-")
            assert match[3].endswith(f" of {users[match[1]]} (lookup 1)")


def test_the_fixtures_pass_their_own_tests() -> None:
    done = start("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "fixtures.py")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "4 passed" in done.stdout
