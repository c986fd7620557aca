"""`executor=` and Ctrl-C between any two lines of the caller: nothing waits for ever after it.

An executor that makes its calls in the thread of the caller, or has them cancelled there, tells
that thread of their ends, so all that happens to a call is there to be interrupted.
"""

from __future__ import annotations

import linecache
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import pytest

from executing import Desk
from joinable import _abroad, _foreign, _foreign_batch, _foreign_flow, run_all, run_each, spawn
from waiting import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import FrameType
    from typing import Any

    from joinable._typing import T

FILES = {module.__file__ for module in (_abroad, _foreign, _foreign_batch, _foreign_flow)}


class Interrupter:
    """Raises KeyboardInterrupt in its thread at the so many-th line of what is about executors."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in FILES:
            return None
        # Where a `with` is left it comes to that line again, and no signal comes before the exit.
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        if self.left and event == "line" and not line.startswith("with "):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
        return self

    def run(self, program: Callable[[], object]) -> bool:
        """Run it in the thread that calls; tell whether it came to that line."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            program()
        except KeyboardInterrupt:
            assert not self.left
        finally:
            sys.settrace(before)
        return not self.left


class Prompt(Desk):
    """Makes each call at once."""

    every: ClassVar = 1

    def submit(self, fn: Callable[[], T], /) -> Future[T]:
        future = super().submit(fn)
        number = len(self.futures) - 1
        if number % self.every == 0:
            self.make(number)
        return future


class Mixed(Prompt):
    """Makes every other call at once, and leaves the others to whoever takes them back."""

    every: ClassVar = 2


def all_at_once(desk: Desk) -> None:
    run_all([partial(abs, number) for number in range(2)], executor=desk)


def one_of_all_fails(desk: Desk) -> None:
    with pytest.raises(TypeError):
        run_all([partial(abs, 1), int, partial(abs, "")], max_workers=2, executor=desk)  # type: ignore[arg-type]


def each_in_order(desk: Desk) -> None:
    list(run_each(abs, range(2), buffersize=0, executor=desk))


def each_as_it_comes(desk: Desk) -> None:
    list(run_each(abs, range(2), max_workers=2, ordered=False, executor=desk))


def each_until_it_is_closed(desk: Desk) -> None:
    with run_each(abs, range(3), executor=desk) as results:
        next(results)


CASES = [
    (all_at_once, Prompt),
    (one_of_all_fails, Mixed),
    (each_in_order, Prompt),
    (each_as_it_comes, Prompt),
    (each_until_it_is_closed, Mixed),
]


def all_are_done(desk: Desk) -> bool:
    return all(future.done() for future in desk.futures)


@pytest.mark.parametrize(("program", "kind"), CASES, ids=[case[0].__name__ for case in CASES])
def test_it_comes_back_wherever_it_is_interrupted(
    program: Callable[[Desk], None], kind: type[Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", id)  # the one it comes to may be a call
    after, interrupted = 0, True
    while interrupted:
        after += 1
        desk = kind()
        running = spawn(Interrupter(after).run, partial(program, desk))
        interrupted = running.result(PATIENCE)
        # Not at once where it was not even asked to leave: then the stream is dropped.
        until(partial(all_are_done, desk))
    assert after > 50, "these are its lines"
