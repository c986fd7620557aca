"""The crawler, run as a user runs it: a process of its own, crawling real servers."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from typing_extensions import override

import programs
from joinable import run_all
from joinable.testing import explore
from programs import ENVIRONMENT, EXAMPLES, load, not_on_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    Answer: TypeAlias = Callable[[BaseHTTPRequestHandler], None]

COMMAND = [sys.executable, str(EXAMPLES / "crawl.py")]
LOOPBACK = "127.0.0.1"
WORKERS = 32  # unless told otherwise
PATIENCE = 60.0  # seconds, long before which everything here has happened
SOON = 5.0  # seconds; half of what the crawler gives a silent server
HUGE = "1000000"  # pages: whatever comes in the meantime, such a crawl is in its middle

crawl = load("crawl")
html: Callable[[str, int], str | None] = crawl.html


# -------------------------------------------------------------------- the crawler as a process


run = partial(programs.run, "crawl", seconds=PATIENCE)


@contextmanager
def started(*arguments: str) -> Generator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603  the program is our own
        [*COMMAND, *arguments],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=ENVIRONMENT,
        process_group=0,  # as a shell does it
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def in_the_middle() -> Generator[tuple[subprocess.Popen[str], int, int]]:
    """Give a crawler that has found 500 pages of a million, and its server's process and port."""
    with started("--pages", HUGE) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        said = re.fullmatch(rf"process (\d+) serves {HUGE} pages at \S+:(\d+)\n", first)
        assert said, first
        assert process.stderr.readline() == "500 answers\n"
        yield process, int(said[1]), int(said[2])


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Interrupt the process and wait for its end; as a terminal does, with all of its group."""
    # CPython overlooks a signal that comes just before a lock wait, until it is woken: it then
    # takes two for one. So a second is in reserve, sent only when one did not end the process.
    for patience in (SOON, PATIENCE):
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break


class Found(NamedTuple):
    """What a crawler has printed."""

    ending: str
    pages: int
    size: int
    slowest: tuple[str, float] | None
    broken: dict[str, tuple[int, set[str]]]  # the status, and what links to it


def read(output: str) -> Found:
    ending, counts, *rest = output.splitlines()
    said = re.fullmatch(r"pages: (\d+) \((\d+) bytes, \d+ pages per second\)", counts)
    assert said, counts
    slow = re.fullmatch(r"slowest: (\S+) \((\d+\.\d\d) s\)", rest[0])
    heading, *lines = rest[1:] if slow else rest
    assert heading == f"broken links: {len(lines)}"
    broken: dict[str, tuple[int, set[str]]] = {}
    for line in lines:
        path, status, _, *places = line.split()
        broken[path] = (int(status.strip("()")), set(places))
    slowest = (slow[1], float(slow[2])) if slow else None
    return Found(ending.partition(", in ")[0], int(said[1]), int(said[2]), slowest, broken)


# -------------------------------------------------------------------- a server of the test's own


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so server_close() joins the threads that answer
    request_queue_size = 128


@contextmanager
def http_server(answer: Answer) -> Generator[str]:
    """Serve HTTP in this process; give the address."""

    class Handler(BaseHTTPRequestHandler):
        @override
        def handle(self) -> None:
            with suppress(ConnectionError):  # the crawler may hang up
                super().handle()

        def do_GET(self) -> None:
            answer(self)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with Server((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def send(request: BaseHTTPRequestHandler, text: str, status: int = 200, **headers: str) -> None:
    request.send_response_only(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(text.encode())


def linked(*targets: str) -> str:
    return "".join(f'<a href="{target}">there</a>' for target in targets)


class Site:
    """Answers with texts by path, and 404 for all else; keeps what it was asked."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self.asked: deque[str] = deque()  # `append` is one step

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        text = self.texts.get(request.path)
        send(request, text or "", 404 if text is None else 200)


class Holding:
    """Answers for `/` with more links than there are workers, and for none of these.

    Each of them gets the first part of an answer, if there is one, and has to wait for the rest.
    """

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.held: deque[str] = deque()
        self.all_held, self.let_go = threading.Event(), threading.Event()

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/":
            send(request, linked(*map(str, range(2 * WORKERS))))
            return
        request.wfile.write(self.first)
        self.held.append(request.path)
        if len(self.held) >= WORKERS:
            self.all_held.set()
        assert self.let_go.wait(PATIENCE * 2)


FIRST_PARTS = {
    "nothing": b"",
    "half_a_head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half_a_body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<a href=/x>",
    "a_body_without_an_end": b"HTTP/1.0 200 OK\r\n\r\n<a href=/x>",
}


@contextmanager
def all_waiting(first: bytes, *arguments: str) -> Generator[tuple[subprocess.Popen[str], Holding]]:
    """Give a crawler all of whose workers wait for their server."""
    holding = Holding(first)
    with http_server(holding) as address:
        try:
            with started(address, *arguments) as process:
                assert holding.all_held.wait(PATIENCE)
                yield process, holding
        finally:
            holding.let_go.set()


# -------------------------------------------------------------------- what it finds


def reachable(pages: int) -> dict[str, str | None]:
    """Return the text of each path that can be reached from `/`: one after the other."""
    found: dict[str, str | None] = {}
    todo = ["/"]
    while todo:
        path = todo.pop()
        if path not in found:
            text = found[path] = html(path, pages)
            todo += re.findall(r'href="(/[^"]*)"', text or "")
    return found


def test_it_finds_all_pages_and_broken_links_of_the_generated_site() -> None:
    done = run()
    assert done.returncode == 0
    first, *progress = done.stderr.splitlines()
    assert first.startswith("process ")
    assert progress == ["500 answers", "1000 answers", "1500 answers", "2000 answers"]
    found = read(done.stdout)
    there = reachable(2000)
    texts = [text for text in there.values() if text is not None]
    assert (found.ending, found.pages) == ("all seen", 1999)  # nothing leads to the last one
    assert (found.pages, found.size) == (len(texts), sum(map(len, texts)))
    assert set(found.broken) == {path for path, text in there.items() if text is None}
    places = {f"/missing/{n}": {f"/{500 * n + 50 + 100 * i}" for i in range(5)} for n in range(4)}
    assert found.broken == {path: (404, place) for path, place in places.items()}
    assert found.slowest is not None
    assert 0.5 <= found.slowest[1] < PATIENCE  # the page at which the server sleeps that long


@pytest.mark.parametrize(("pages", "there"), [(1, 1), (2, 1), (3, 2), (43, 42)])
def test_small_sites_are_seen_too(pages: int, there: int) -> None:
    done = run("--pages", str(pages), "--workers", "2")
    assert done.returncode == 0
    assert read(done.stdout)[:2] == ("all seen", there)


@pytest.mark.parametrize("suffix", ["svg", "json"])
def test_a_picture_of_what_its_threads_did_names_every_page(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"crawl.{suffix}"
    done = run("--pages", "20", "--workers", "2", "--trace", str(file))
    assert (done.returncode, read(done.stdout)[:2]) == (0, ("all seen", 19))
    text = file.read_text("utf-8")
    assert all(f"/{number or ''}" in text for number in range(19))
    assert "joinable-worker-2" in text


def test_each_page_is_asked_for_once_however_many_lead_to_it_and_what_is_broken_twice() -> None:
    paths = [f"/{n}" for n in range(150)]
    everything = linked("/", *paths, "/missing")
    site = Site(dict.fromkeys(["/", *paths], everything))
    with http_server(site) as address:
        done = run(address)
    assert (done.returncode, done.stderr) == (0, "")
    assert Counter(site.asked) == {**dict.fromkeys(["/", *paths], 1), "/missing": 2}
    found = read(done.stdout)
    assert (found.pages, found.size) == (151, 151 * len(everything))
    assert found.broken == {"/missing": (404, {"/", *paths})}


def test_of_two_threads_that_find_a_link_one_visits_it_under_any_schedule() -> None:
    def program() -> None:
        def spawn(*call: object) -> SimpleNamespace:
            visits.append(call)
            return SimpleNamespace()

        crawler, visits = crawl.Crawler("http://localhost", WORKERS), deque[object]()
        group = SimpleNamespace(spawn=spawn)
        run_all([partial(crawler.visit_once, group, "/page")] * 2)
        assert len(visits) == 1

    explore(program, watch=(crawl,), strategy="random", runs=200)


def test_it_follows_what_leads_to_the_same_site_and_nothing_else() -> None:
    with http_server(Site({"/": ""})) as elsewhere:
        targets = [elsewhere, f"{elsewhere}/x", "ftp://localhost/x", "mailto:x@y", "http://[", "#x"]
        targets += ["folder/page#part", "a b?c=é", "//example.com/x", "?q"]
        folder = linked("neighbour", "/folder/page")
        texts = {"/": linked(*targets), "/a%20b?c=%C3%A9": "x", "/?q": linked("/")}
        site = Site({**texts, "/folder/page": folder, "/folder/neighbour": "<a>nowhere</a>"})
        with http_server(site) as address:
            done = run(f"{address}/")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(site.asked) == sorted(site.texts)
    assert read(done.stdout)[:2] == ("all seen", 5)


def test_it_goes_where_a_redirection_leads() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/":
            send(request, "", 301, Location="/home")
        else:
            Site({"/home": "welcome"})(request)

    with http_server(answer) as address:
        done = run(address)
    assert (done.returncode, done.stderr) == (0, "")
    assert read(done.stdout)[:3] == ("all seen", 2, len("welcome"))


def test_what_answers_at_the_second_look_is_no_broken_link_and_is_crawled() -> None:
    site = Site({"/": linked("/moody", "/broken"), "/moody": linked("/behind"), "/behind": "x"})

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/moody" and "/moody" not in site.asked:
            site.asked.append(request.path)
            send(request, linked("/error-page"), 503)
        else:
            site(request)

    with http_server(answer) as address:
        done = run(address)
    assert (done.returncode, done.stderr) == (0, "")
    found = read(done.stdout)
    assert (found.pages, found.broken) == (3, {"/broken": (404, {"/"})})
    assert Counter(site.asked) == {"/": 1, "/broken": 2, "/moody": 3, "/behind": 1}


def test_a_server_that_closes_idle_connections_without_a_word_is_asked_anew() -> None:
    paths = [f"/{n}" for n in range(50)]
    asked: deque[str] = deque()

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        request.protocol_version = "HTTP/1.1"  # which promises to keep the connection
        text = linked(*paths)
        send(request, text, 200, **{"Content-Length": str(len(text))})
        request.close_connection = True

    with http_server(answer) as address:
        done = run(address)
    assert (done.returncode, done.stderr) == (0, "")
    assert read(done.stdout)[:2] == ("all seen", 51)
    assert Counter(asked) == dict.fromkeys(["/", *paths], 1)


# -------------------------------------------------------------------- what ends it


@not_on_windows
@pytest.mark.parametrize("first", FIRST_PARTS.values(), ids=FIRST_PARTS)
def test_ctrl_c_ends_it_at_once_though_all_workers_wait_for_the_server(first: bytes) -> None:
    with all_waiting(first) as (process, holding):
        press_ctrl_c(process)  # and the server still says nothing
        stdout, stderr = process.communicate(timeout=PATIENCE)
        assert len(holding.held) == WORKERS
    assert (process.returncode, stderr) == (130, "")
    found = read(stdout)
    assert (found.ending, found.pages, found.broken) == ("stopped by Ctrl-C", 1, {})


@not_on_windows
def test_ctrl_c_in_the_middle_tells_what_was_found_and_leaves_no_server() -> None:
    with in_the_middle() as (process, server, _):
        press_ctrl_c(process)
        stdout, stderr = process.communicate(timeout=PATIENCE)
        with pytest.raises(ProcessLookupError):
            os.kill(server, 0)
    assert process.returncode == 130
    assert re.fullmatch(r"(\d+ answers\n)*", stderr)
    found = read(stdout)
    assert found.ending == "stopped by Ctrl-C"
    assert 400 < found.pages < int(HUGE)


@not_on_windows
def test_a_server_that_dies_ends_it_and_no_link_is_blamed() -> None:
    with in_the_middle() as (process, server, _):
        os.kill(server, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert re.fullmatch(r"(\d+ answers\n)*", stderr)
    found = read(stdout)
    assert re.match(r"the server is lost: (Connection|RemoteDisc|IncompleteRead)", found.ending)
    assert 400 < found.pages < int(HUGE)
    assert all(status == 404 for status, _ in found.broken.values())


def test_a_server_that_is_not_there_is_lost() -> None:
    with socket.socket() as closed:  # bound and not listening: nobody else can take the port
        closed.bind((LOOPBACK, 0))
        done = run(f"http://{LOOPBACK}:{closed.getsockname()[1]}")
    assert (done.returncode, done.stderr) == (1, "")
    found = read(done.stdout)
    assert found.ending.startswith("the server is lost: ConnectionRefusedError")
    assert (found.pages, found.slowest, found.broken) == (0, None, {})


@pytest.mark.parametrize("first", FIRST_PARTS.values(), ids=FIRST_PARTS)
def test_the_timeout_ends_it_though_all_workers_wait_for_the_server(first: bytes) -> None:
    # Two seconds: the first page must have been seen and all workers wait before they are over.
    with all_waiting(first, "--timeout", "2") as (process, _):
        stdout, stderr = process.communicate(timeout=SOON)
    assert (process.returncode, stderr) == (1, "")
    found = read(stdout)
    assert (found.ending, found.pages, found.broken) == ("stopped after 2 s", 1, {})


def test_no_time_at_all_is_a_timeout_too() -> None:
    done = run("--timeout", "0")
    assert done.returncode == 1
    assert read(done.stdout)[:2] == ("stopped after 0 s", 0)


# -------------------------------------------------------------------- its server


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again: what another process does wakes nobody here."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.001)


def refuses(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), PATIENCE).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


@contextmanager
def serving(pages: int) -> Generator[tuple[subprocess.Popen[str], int]]:
    with started("--serve", "--pages", str(pages)) as server:
        assert server.stdout is not None
        yield server, int(server.stdout.readline().rpartition(":")[2])


@pytest.mark.parametrize(("path", "status"), [("/9", 200), ("/10", 404), ("/x", 404), ("/-1", 404)])
def test_the_page_to_which_nothing_leads_is_there(path: str, status: int) -> None:
    with serving(10) as (server, port):
        connection = HTTPConnection(LOOPBACK, port, timeout=PATIENCE)
        connection.request("GET", path)
        with connection.getresponse() as answer:
            body = answer.read().decode()
        assert (answer.status, body) == (status, html(path, 10) or "nothing here")
        connection.close()
        assert server.communicate("", timeout=PATIENCE) == ("", "")  # its input has ended
    assert server.returncode == 0


@not_on_windows
def test_ctrl_c_ends_the_server_politely() -> None:
    with serving(10) as (server, _):
        press_ctrl_c(server)
        assert server.communicate(timeout=PATIENCE) == ("", "")
    assert server.returncode == 130


@not_on_windows
def test_the_server_ends_when_the_crawler_is_killed() -> None:
    with in_the_middle() as (process, _, port):
        process.kill()
        process.wait(PATIENCE)
        wait_until(lambda: refuses(port))


# -------------------------------------------------------------------- its arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "0"], "--workers: 0 is not at least 1"),
        (["--pages", "-3"], "--pages: -3 is not at least 1"),
        (["--pages", "many"], "--pages: invalid count value"),
        (["--timeout", "-1"], "--timeout: -1 is not at least 0"),
        (["--trace", "crawl.png"], "--trace: 'crawl.png' does not end with .svg or .json"),
        (["--timeout", "nan"], "--timeout: nan is not at least 0"),
        (["https://localhost"], "'https://localhost' is not of the form http://host:port"),
        (["localhost:80"], "'localhost:80' is not of the form http://host:port"),
        (["http://localhost/page"], "'http://localhost/page' is not of the form"),
        (["http://"], "'http://' is not of the form"),
        (["http://localhost:x"], "site: invalid address value"),
        (["http://localhost:0"], "'http://localhost:0' is not of the form"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
