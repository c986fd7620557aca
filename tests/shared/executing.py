"""Executors in the hand of a test: they count, do nothing by themselves, or do it in disorder."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from typing import Self

    from joinable._typing import SupportsOutcome, SupportsSubmit, T


class Counting:
    """Hands calls on to another executor, and keeps account of those that it has."""

    def __init__(self, executor: SupportsSubmit) -> None:
        self.executor = executor
        self.lock = threading.Lock()
        self.now = 0
        self.most = 0
        self.total = 0
        self.threads: set[threading.Thread] = set()

    def submit(self, fn: Callable[[], T], /) -> SupportsOutcome[T]:
        with self.lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)
        self.threads.add(threading.current_thread())
        future = self.executor.submit(fn)
        future.add_done_callback(self._ended)  # before that of the library
        return future

    def _ended(self, _: object) -> None:
        with self.lock:
            self.now -= 1


class Desk:
    """Makes a call when the test says so, in the thread that says it."""

    def __init__(self) -> None:
        self.futures: list[Future[object]] = []
        self.calls: list[Callable[[], object]] = []
        self.begun: list[int] = []

    def submit(self, fn: Callable[[], T], /) -> Future[T]:
        future: Future[T] = Future()
        self.futures.append(future)  # type: ignore[arg-type]  # results of all kinds
        self.calls.append(fn)
        return future

    def make(self, number: int) -> bool:
        """Make a call, as executors do; False if it was cancelled before."""
        future, call = self.futures[number], self.calls[number]
        if not future.set_running_or_notify_cancel():
            return False
        self.begun.append(number)
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  as executors do
            future.set_exception(error)
        else:
            future.set_result(result)
        return True


class AtOnce:
    """Makes each call in the thread that submits it, before `submit` returns."""

    def submit(self, fn: Callable[[], T], /) -> Future[T]:
        desk = Desk()
        future = desk.submit(fn)
        desk.make(0)
        return future


class Shuffling(Desk):
    """Makes its calls in a thread of its own, in an order of its own; a context manager."""

    def __init__(self, order: random.Random) -> None:
        super().__init__()
        self.order = order
        self.left: list[int] = []
        self.news = threading.Condition()
        self.over = False
        self.thread = threading.Thread(target=self._work)

    def submit(self, fn: Callable[[], T], /) -> Future[T]:
        with self.news:
            future = super().submit(fn)
            self.left.append(len(self.futures) - 1)
            self.news.notify()
        return future

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.news:
            self.over = True
            self.news.notify()
        self.thread.join()

    def _work(self) -> None:
        while True:
            with self.news:
                self.news.wait_for(lambda: self.left or self.over)
                if not self.left:
                    return
                number = self.left.pop(self.order.randrange(len(self.left)))
            self.make(number)
