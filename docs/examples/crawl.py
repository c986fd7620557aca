"""Crawl a web site with many threads, and tell which of its links are broken.

    python crawl.py
    python crawl.py --pages 500 --workers 8 --timeout 10
    python crawl.py http://localhost:8080
    python crawl.py --pages 200 --workers 8 --trace crawl.svg

Without an address it crawls a generated site, which another process serves on this machine. Each
page is a call in a `TaskGroup`, which starts one more for every link that nobody has seen before.
Ctrl-C and the timeout stop it at once, and it says what it has found so far. Its exit code is 0
when all was seen, 1 when the time was up or the server lost, and 130 after Ctrl-C. With `--trace`
it leaves a picture of what its threads did, or a file for a viewer, however it has ended.
"""

from __future__ import annotations

import argparse
import math
import socket
import string
import subprocess
import sys
import time
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from html.parser import HTMLParser
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import quote, urldefrag, urljoin, urlsplit

from typing_extensions import override

from joinable import (
    CancelScope,
    DeadlineExceeded,
    TaskGroup,
    checkpoint,
    fail_after,
    run_each,
    spawn,
)
from joinable.sync import Lock
from joinable.trace import record

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from http.client import HTTPResponse

LOOPBACK = "127.0.0.1"
PATIENCE = 10.0  # seconds that a server may be silent


# ---------------------------------------------------------------- the crawler


@dataclass(slots=True)
class Page:
    """A path of the site, and what the server said when it was asked for it."""

    path: str
    status: int = 0  # it has not answered yet
    size: int = 0
    seconds: float = 0.0
    links: Sequence[str] = ()

    @property
    def is_broken(self) -> bool:
        return self.status >= HTTPStatus.BAD_REQUEST


class Links(HTMLParser):
    """The paths of a site to which the links of one of its pages lead."""

    def __init__(self, site: str, path: str) -> None:
        super().__init__()
        self.site, self.page = site, site + path
        self.paths: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and (target := dict(attrs).get("href")):
            self.add(target)

    def add(self, target: str) -> None:
        with suppress(ValueError):  # what is no address leads nowhere
            url, _ = urldefrag(urljoin(self.page, target))
            if url.startswith(f"{self.site}/"):  # it stays here
                self.paths.append(quote(url.removeprefix(self.site), safe=string.punctuation))


class Crawler:
    """The pages of a site, as far as they are known; its threads add to them all the time."""

    def __init__(self, site: str, workers: int) -> None:
        self.site, self.workers = site, workers
        self.pages: dict[str, Page] = {}
        self.answers, self.lock = 0, Lock()
        self.idle: list[HTTPConnection] = []  # each serves one call at a time

    def crawl(self, paths: Iterable[str]) -> None:
        """Visit these pages, and all to which they lead."""
        with TaskGroup(max_workers=self.workers) as group:
            for path in paths:
                self.visit_once(group, path)

    def visit_once(self, group: TaskGroup, path: str) -> None:
        page = Page(path)
        # One step, with no lock: of all threads that find the same link, one is the first.
        if self.pages.setdefault(path, page) is page:
            task = group.spawn(self.visit, group, page)
            task.name = path  # errors and pictures show it

    def visit(self, group: TaskGroup, page: Page) -> None:
        for path in self.fetch(page).links:
            self.visit_once(group, path)
        with self.lock:  # to add is more than one step
            self.answers += 1
            answers = self.answers
        if answers % 500 == 0:
            sys.stderr.write(f"{answers} answers\n")

    def fetch(self, page: Page) -> Page:
        """Ask for a page and note the answer, on a connection that is idle or on a new one."""
        began = time.perf_counter()
        try:
            self.ask(self.idle.pop(), page)  # one step: no two threads get the same
        except (IndexError, ConnectionError):  # there is none, or the server has closed it
            host = self.site.removeprefix("http://")
            connection = HTTPConnection(host, timeout=PATIENCE)
            connection.connect()  # nothing wakes this; it ends by its timeout
            self.ask(connection, page)
        page.seconds = time.perf_counter() - began
        return page

    def ask(self, connection: HTTPConnection, page: Page) -> None:
        """Ask for a page; hang up when the scope says stop."""
        try:
            with (
                # A handle of our own: http.client may close its own in the moment we hang up.
                connection.sock.dup() as line,
                CancelScope() as scope,
                # If we hang up, this ends by `Cancelled`, whatever error comes of it.
                scope.on_cancel(partial(hang_up, line)),
            ):
                connection.request("GET", page.path)
                self.note(connection.getresponse(), page)
        except BaseException:
            connection.close()
            raise
        if connection.sock:  # the server keeps it
            self.idle.append(connection)

    def note(self, answer: HTTPResponse, page: Page) -> None:
        text = answer.read()
        checkpoint()  # if we have hung up, that looked like its end
        page.status, page.size = answer.status, len(text)
        if not page.is_broken:
            links = Links(self.site, page.path)
            for target in answer.headers.get_all("Location", ()):  # it is a redirection
                links.add(target)
            links.feed(text.decode(errors="replace"))
            page.links = links.paths

    def look_again(self) -> None:
        """Ask for what is broken once more, since servers have moods; crawl what answers now."""
        broken = [Page(page.path) for page in self.pages.values() if page.is_broken]
        with run_each(self.fetch, broken, max_workers=self.workers) as pages:
            well = [page.path for page in pages if not page.is_broken]
        for path in well:
            del self.pages[path]
        self.crawl(well)

    def close(self) -> None:
        while self.idle:
            self.idle.pop().close()


def hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # the other side was quicker
        sock.shutdown(socket.SHUT_RDWR)


def crawl(crawler: Crawler, timeout: float) -> tuple[int, str]:
    """Crawl the whole site if nothing prevents it; return the exit code and what it means."""
    code, ending = 0, "all seen"
    try:
        with fail_after(timeout):
            crawler.crawl(["/"])
            crawler.look_again()
    except* KeyboardInterrupt as stop:
        left_running = getattr(stop.exceptions[0], "__notes__", ())  # after a second Ctrl-C
        code, ending = 130, "\n".join(["stopped by Ctrl-C", *left_running])
    except* DeadlineExceeded:
        code, ending = 1, f"stopped after {timeout:g} s"
    except* (OSError, HTTPException) as lost:
        # A link is broken if the server says so. If it says nothing, no link is to blame.
        code, ending = 1, f"the server is lost: {lost.exceptions[0]!r}"
    return code, ending


def report(pages: Iterable[Page], seconds: float) -> Iterator[str]:
    """Yield the lines that tell what was found."""
    answered = sorted((page for page in pages if page.status), key=lambda page: page.path)
    good = [page for page in answered if not page.is_broken]
    broken = [page for page in answered if page.is_broken]
    size = sum(page.size for page in good)
    yield f"pages: {len(good)} ({size} bytes, {len(good) / seconds:.0f} pages per second)"
    if good:
        slowest = max(good, key=lambda page: page.seconds)
        yield f"slowest: {slowest.path} ({slowest.seconds:.2f} s)"
    yield f"broken links: {len(broken)}"
    for page in broken:
        places = [other.path for other in good if page.path in other.links]
        yield f"  {page.path} ({page.status}) in {' '.join(places)}"


# ---------------------------------------------------------------- the site


def html(path: str, pages: int) -> str | None:
    """Return the page of the generated site that has this path; None if there is none."""
    number = path[1:] or "0"
    if not number.isdecimal() or int(number) >= pages:
        return None
    n = int(number)
    # A tree, and links across it and out of it. Nothing leads to the last page.
    targets = [f"/{link}" for link in range(3 * n + 1, 3 * n + 4) if link < pages - 1]
    targets += ["/", f"/{n // 2 or ''}", "https://example.com/"]
    if n % 100 == 50:
        targets.append(f"/missing/{n // 500}")
    anchors = "".join(f'<a href="{target}">{target}</a> ' for target in targets)
    return f"<!doctype html><title>{n}</title><p>{'word ' * (n % 50)}</p>{anchors}"


class Handler(BaseHTTPRequestHandler):
    """Answers for a site of so many pages."""

    protocol_version = "HTTP/1.1"  # a connection, and its thread, serves one call after the other
    disable_nagle_algorithm = True  # or the second half of an answer waits for an acknowledgement
    pages = 0

    @override
    def handle(self) -> None:
        with suppress(ConnectionError):  # a client may hang up
            super().handle()

    def do_GET(self) -> None:
        time.sleep(0.5 if self.path == "/42" else 0.005)  # a real server takes its time
        text = html(self.path, self.pages)
        body = (text or "nothing here").encode()
        self.send_response_only(HTTPStatus.NOT_FOUND if text is None else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # that many may knock at once; with 5, the default, some lose seconds


def serve(pages: int) -> None:
    """Serve the site and print its address; end when the standard input does."""
    Handler.pages = pages
    with Server((LOOPBACK, 0), Handler) as server:
        thread = spawn(server.serve_forever, poll_interval=0.02)
        try:
            print(f"http://{LOOPBACK}:{server.server_port}", flush=True)
            sys.stdin.read()
        finally:
            server.shutdown()
            thread.result()


@contextmanager
def served(pages: int) -> Generator[str]:
    """Have another process serve the site until the block is left; give its address."""
    command = [sys.executable, __file__, "--serve", "--pages", str(pages)]
    pipe = subprocess.PIPE
    # In a process group of its own a Ctrl-C at the terminal does not reach it. It ends when its
    # input does: when this block is left, or when this process has ended, in whatever way.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0) as server:
        address = server.stdout.readline().strip() if server.stdout else ""
        if not address:
            raise RuntimeError("the server has not started")
        sys.stderr.write(f"process {server.pid} serves {pages} pages at {address}\n")
        yield address


# ---------------------------------------------------------------- the command line


@contextmanager
def traced(file: str) -> Generator[None]:
    """Record what the threads do, and save it, whatever ends the block."""
    with record() as timeline:
        try:
            yield
        finally:
            timeline.save(file)


def run(site: str, workers: int, timeout: float, trace: str | None) -> int:
    """Crawl a site, print what was found, and return the exit code."""
    began = time.perf_counter()
    with closing(Crawler(site, workers)) as crawler, traced(trace) if trace else nullcontext():
        code, ending = crawl(crawler, timeout)
    seconds = time.perf_counter() - began
    # A copy, made in one step: after a second Ctrl-C threads may be left that still add to it.
    pages = crawler.pages.copy().values()
    print(f"{ending}, in {seconds:.2f} s", *report(pages, seconds), sep="\n")
    return code


def count(text: str) -> int:
    """Read a number of at least 1, for argparse."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def span(text: str) -> float:
    """Read a number of seconds, for argparse."""
    if not (value := float(text)) >= 0:
        raise argparse.ArgumentTypeError(f"{text} is not at least 0")
    return value


def address(text: str) -> str:
    """Read `http://host[:port]`, for argparse."""
    url = urlsplit(text)
    if url.scheme != "http" or not url.hostname or url.port == 0 or url.path.strip("/"):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form http://host:port")
    return f"http://{url.netloc}"


def picture(text: str) -> str:
    """Read the name of a file that a timeline can be saved as, for argparse."""
    if not text.lower().endswith((".svg", ".json")):
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .svg or .json")
    return text


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Crawl a site and find its broken links.")
    add = parser.add_argument
    add("site", nargs="?", type=address, help="http://host:port; none: a generated one")
    add("--pages", type=count, default=2000, help="of the generated site (default: %(default)s)")
    add("--workers", type=count, default=32, help="calls at a time (default: %(default)s)")
    add("--timeout", type=span, default=math.inf, metavar="SECONDS", help="for all of it")
    add("--trace", type=picture, metavar="FILE", help="what the threads did: .svg, or .json")
    add("--serve", action="store_true", help="only serve the generated site, until input ends")
    options = parser.parse_args()
    try:
        if options.serve:
            serve(options.pages)
            return 0
        if options.site:
            return run(options.site, options.workers, options.timeout, options.trace)
        with served(options.pages) as site:
            return run(site, options.workers, options.timeout, options.trace)
    except KeyboardInterrupt:  # before or after the crawl
        return 130


if __name__ == "__main__":
    sys.exit(main())
