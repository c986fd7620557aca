"""`dump_tree` shows what runs, below what it belongs to, with its state and its line."""

# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from joinable import (
    Cancelled,
    CancelScope,
    DeadlineExceeded,
    TaskGroup,
    Thread,
    ThreadPool,
    carry,
    dump_tree,
    dump_tree_on_signal,
    fail_after,
    run_all,
    run_any,
    run_each,
    shield,
    sleep,
    spawn,
)
from joinable import _drawing as drawing
from joinable.testing import FakeClock, explore
from waiting import LONG, PATIENCE, Gate, until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import FrameType

HERE = re.escape(__file__)


def drawn() -> str:
    """Return what `dump_tree` writes now."""
    file = io.StringIO()
    dump_tree(file)
    return file.getvalue()


def seen(pattern: str) -> str:
    """Return the picture in which the pattern is found: threads get there in their own time."""
    pictures: list[str] = []

    def is_there() -> object:
        pictures.append(drawn())
        return re.search(pattern, pictures[-1])

    until(is_there, PATIENCE)
    return pictures[-1]


def depth(picture: str, title: str) -> int:
    """Return how deep in the picture the first thing with this title is."""
    line = next(line for line in picture.splitlines() if title in line)
    return len(line) - len(line.lstrip(" │├└─|`-"))


@contextlib.contextmanager
def ended(*gates: Gate) -> Generator[None]:
    """Let the calls end after the block, whatever it raises."""
    try:
        yield
    finally:
        for gate in gates:
            gate.may_end.set()


# -------------------------------------------------------------------- what there is


def test_a_group_in_a_group_in_a_group_is_drawn_in_it_and_names_the_read_that_hangs() -> None:
    near, far = socket.socketpair()

    def fetch() -> bytes:
        return near.recv(10)

    def nested(level: int) -> None:
        with TaskGroup(name=f"level {level}") as group:
            _ = group.spawn(fetch) if level == 3 else group.spawn(nested, level + 1)

    with near, far:
        thread = spawn(nested, 1)
        # Twice in their tasks, once at the first of them, and at the end of a line the read.
        waits = r"(waiting in TaskGroup.__exit__ .*){3}"
        picture = seen(
            rf"(?s){waits}level 3-1 \(fetch\)': running[^\n]*\n[^\n]*at {HERE}:\d+ in fetch"
        )
        far.send(b"x")
        thread.result(PATIENCE)
    levels = [depth(picture, f"group 'level {level}': open, 1 running") for level in (1, 2, 3)]
    assert levels == sorted(set(levels)), picture
    thread.join()


def test_a_thread_tells_its_age_and_that_it_is_a_daemon() -> None:
    gate = Gate()
    with FakeClock() as clock, ended(gate):
        thread: Thread[object] = Thread(target=gate, name="old", daemon=True)
        thread.start()
        clock.advance(3725)
        assert "thread 'old': running, 1 h 2 min old, daemon" in drawn()
    thread.join()


def test_a_task_tells_the_earliest_deadline_around_it() -> None:
    gate = Gate()
    with (
        FakeClock() as clock,
        fail_after(60),
        fail_after(90),
        TaskGroup(name="g") as group,
        ended(gate),
    ):
        task = group.spawn(gate)
        assert gate.begun.wait(PATIENCE)
        clock.advance(20)
        picture = drawn()
    assert "task 'g-1 (Gate)': running, 20.0 s old, 40.0 s left" in picture
    assert "scope, 20.0 s old, 40.0 s left" in picture
    assert "scope, 20.0 s old, 70.0 s left" in picture
    assert task.done()


def test_a_deadline_that_has_passed_is_told_as_such() -> None:
    with FakeClock() as clock, pytest.raises(DeadlineExceeded), fail_after(5):
        clock.advance(8)
        assert "late by 3.0 s" in drawn()
        sleep(1)


def test_a_cancelled_scope_tells_why_and_what_is_in_it_is_asked_to_stop() -> None:
    gate = Gate()
    with CancelScope() as scope:
        thread: Thread[object] = Thread(target=gate, name="deaf")
        thread.start()
        scope.cancel("the window was closed")
        with ended(gate):
            picture = drawn()
    assert "cancelled (the window was closed)" in picture
    assert re.search(r"└─ thread 'deaf': asked to stop", picture), picture
    thread.join()


def test_a_shield_is_told_and_what_is_behind_it_runs() -> None:
    gate = Gate()
    with FakeClock(), CancelScope() as scope:
        scope.cancel()
        with shield(LONG), ended(gate):
            thread: Thread[object] = Thread(target=gate, name="shielded")
            thread.start()
            picture = drawn()
        with pytest.raises(Cancelled):
            sleep(1)
    assert "a shield for 16 min 40 s more" in picture
    assert "thread 'shielded': running" in picture
    thread.join()


def test_one_that_was_cancelled_by_itself_is_asked_to_stop() -> None:
    gate = Gate()
    thread: Thread[object] = Thread(target=gate, name="deaf")
    thread.start()
    with ended(gate):
        thread.cancel()
        assert "thread 'deaf': asked to stop" in drawn()
    thread.join()


def test_calls_of_run_all_are_drawn_with_their_keys_and_scopes_in_the_right_one() -> None:
    gate = Gate()

    def inner() -> None:
        with TaskGroup(name="of left") as group:
            group.spawn(gate)

    calls: dict[str, Callable[[], object]] = {"left": inner, "right": gate}
    thread = spawn(lambda: run_all(calls))
    with ended(gate):
        picture = seen("(?s)run_all: open, 2 running, 0 of 2 calls waiting.*of left-1")
        assert depth(picture, "group 'of left'") == depth(picture, "call 'left': running") + 3
    thread.join()


def test_no_code_of_a_key_runs_while_it_is_drawn() -> None:
    class Key:
        def __repr__(self) -> str:
            raise AssertionError("it runs")

    gate = Gate()
    thread = spawn(lambda: run_all({Key(): gate}))
    with ended(gate):
        seen("call <Key>: running")
    thread.join()


def test_a_stream_tells_how_far_it_is() -> None:
    gate = Gate()
    with run_each(lambda _: gate(), range(1000), max_workers=2, buffersize=5) as stream:
        with ended(gate):
            # In one picture: the line of the stream is drawn before those of its calls.
            seen("run_each: open, 2 running, 2 items taken, 0 results used(.*\n)*.*call 1: running")
        assert next(stream) == 0


def test_a_source_that_waits_is_told() -> None:
    gate = Gate()

    def source() -> Iterator[object]:
        yield gate()

    with run_each(repr, source()) as stream, ended(gate):
        seen(r"the source of its items: running\n.* in __call__")
        gate.may_end.set()
        assert list(stream) == ["0"]


def test_a_race_is_drawn_as_one() -> None:
    gate = Gate()
    thread = spawn(run_any, [gate])
    with ended(gate):
        picture = seen(r"task 'run_any-1 \(Gate\)'")
        assert "run_any: open, 1 running" in picture
    thread.join()


def test_a_pool_tells_what_waits_and_who_has_nothing_to_do() -> None:
    gate = Gate()
    with ThreadPool(2, name="crew", backlog=9) as pool, ended(gate):
        tasks = [pool.submit(gate) for _ in range(5)]
        picture = seen(r"crew-2 \(Gate\)")
    assert "pool 'crew': open, 2 running, 3 waiting, room for 9" in picture
    assert "2 of 2 threads, 0 idle" in picture
    assert all(task.done() for task in tasks)


def test_calls_in_another_executor_are_drawn() -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    gate = Gate()
    with ThreadPoolExecutor(1) as executor:
        thread = spawn(lambda: run_all([gate, gate], executor=executor))
        with ended(gate):
            seen(r"(?s)call 0: running.*call 1: handed in\n[^\n]*at the ThreadPoolExecutor")
        thread.join()


def test_threads_of_others_come_last_with_what_they_do() -> None:
    gate, done = Gate(), threading.Event()
    foreign = threading.Thread(target=gate, name="foreign")
    builtin = threading.Thread(target=done.wait, name="waiter")
    foreign.start()
    builtin.start()
    with ended(gate):
        picture = drawn()
    done.set()
    last = picture[picture.index("threads that run nothing of the library") :]
    assert re.search(r"thread 'foreign'\n.* called from .*waiting\.py:\d+ in __call__", last), last
    assert "thread 'waiter'" in last
    foreign.join()
    builtin.join()


def test_a_thread_of_others_that_is_in_a_scope_is_drawn_in_it() -> None:
    gate = Gate()

    def guest() -> None:
        with TaskGroup(name="of the guest") as group:
            group.spawn(gate)

    with CancelScope():
        thread = threading.Thread(target=carry(guest), name="guest")
        thread.start()
        with ended(gate):
            picture = seen("task 'of the guest-1")
        thread.join()
    titles = ["scope, ", "thread 'guest'", "group 'of the guest'", "task 'of the guest-1"]
    depths = [depth(picture, title) for title in titles]
    assert depths == sorted(set(depths)), picture


def test_the_main_thread_comes_first_and_is_where_it_is() -> None:
    picture = drawn()
    lines = picture.splitlines()
    assert lines[0].startswith(f"What runs in process {os.getpid()}: ")
    assert lines[2] == "main thread"
    assert re.search(rf"at {HERE}:\d+ in drawn", lines[3]), picture


def test_what_is_over_is_not_drawn() -> None:
    with CancelScope(), TaskGroup(name="gone") as group:
        group.spawn(int)
    with ThreadPool(1, name="gone, too") as pool:
        pool.submit(int).result()
    del pool
    assert not re.search("gone|scope, ", drawn())


def test_an_abandoned_thread_is_told_as_such() -> None:
    gate = Gate()
    thread: Thread[object] = Thread(target=gate, name="given up", timeout=0)
    with FakeClock() as clock, ended(gate):
        thread.start()
        assert gate.begun.wait(PATIENCE)
        clock.advance(1)
        until(thread.done)
        assert isinstance(thread.exception(), DeadlineExceeded)
        assert "thread 'given up': abandoned" in drawn()
    thread.join()


def test_a_call_that_its_group_has_given_up_is_drawn_below_it() -> None:
    gate = Gate()
    with ended(gate):
        with pytest.raises(ExceptionGroup), TaskGroup(name="g", grace=0) as group:
            group.spawn(gate)
            assert gate.begun.wait(PATIENCE)
            group.cancel()
        picture = drawn()
    assert "task 'g-1 (Gate)': abandoned" in picture
    assert "its block was left" in picture


def test_a_call_that_run_all_has_given_up_is_drawn_below_it() -> None:
    gate = Gate()
    with FakeClock() as clock, ended(gate):
        thread = spawn(run_all, [gate], timeout=5)
        assert gate.begun.wait(PATIENCE)
        clock.until_waiting()
        clock.advance(5)
        clock.until_waiting()
        clock.advance(1)
        assert isinstance(thread.exception(), DeadlineExceeded)
        picture = drawn()
    thread.join()
    assert "run_all: left" in picture
    assert "call 0: abandoned" in picture


# -------------------------------------------------------------------- where it is


WAYS: dict[str, tuple[Callable[[threading.Lock], Thread[object]], str]] = {
    "spawn": (
        lambda latch: spawn(latch.acquire),
        rf"in lock.acquire, started at {HERE}",
    ),
    "run_all": (
        lambda latch: spawn(lambda: run_all([latch.acquire])),
        rf"in a function that has no lines, called by the run_all at {HERE}",
    ),
    "run_any": (
        lambda latch: spawn(lambda: run_any([latch.acquire])),
        rf"in lock.acquire, started at {HERE}",
    ),
    "run_each": (
        lambda latch: spawn(lambda: list(run_each(latch.acquire, [True]))),
        rf"in a function that has no lines, called by the run_each at {HERE}",
    ),
    "run_each of a list": (
        lambda latch: spawn(lambda: list(run_each(latch.acquire, [True], buffersize=None))),
        rf"in a function that has no lines, called by the run_each at {HERE}",
    ),
    "run_each as completed": (
        lambda latch: spawn(
            lambda: list(run_each(latch.acquire, [True], buffersize=None, ordered=False))
        ),
        rf"in a function that has no lines, called by the run_each at {HERE}",
    ),
    "pool": (
        lambda latch: spawn(lambda: pool_of_one(latch.acquire)),
        rf"in acquire, submitted at {HERE}",
    ),
    "group": (
        lambda latch: spawn(lambda: group_of_one(latch.acquire)),
        rf"in lock.acquire, started at {HERE}",
    ),
}


@pytest.mark.parametrize(("begin", "words"), WAYS.values(), ids=WAYS)
def test_a_call_in_c_is_named_with_the_line_that_has_started_it(
    begin: Callable[[threading.Lock], Thread[object]], words: str
) -> None:
    latch = threading.Lock()
    latch.acquire()
    thread = begin(latch)
    try:
        seen(words + r":\d+\n")
    finally:
        latch.release()
        thread.join()


def pool_of_one(fn: Callable[[], object]) -> object:
    with ThreadPool(1) as pool:
        task = pool.submit(fn)
    return task.result()


def group_of_one(fn: Callable[[], object]) -> object:
    with TaskGroup() as group:
        task = group.spawn(fn)
    return task.result()


def test_a_wait_of_the_library_is_named() -> None:
    with CancelScope() as scope:
        bare = spawn(sleep, LONG)
        line = spawn(lambda: sleep(LONG))
        picture = seen(r"(?s)waiting in sleep, started at .*waiting in sleep at .* in <lambda>")
        scope.cancel()
    for thread in (bare, line):
        thread.join()
    assert "waiting in sleep, started at" in picture


def test_the_error_of_a_timeout_has_the_same_words() -> None:
    latch = threading.Lock()
    latch.acquire()
    thread = spawn(latch.acquire)
    try:
        picture = seen(r"in lock.acquire, started at")
        with pytest.raises(DeadlineExceeded) as caught:
            thread.result(0)
    finally:
        latch.release()
        thread.join()
    (words,) = re.findall(r"in lock.acquire, started at .*", picture)
    assert str(caught.value).endswith(f"it is {words}")
    assert caught.value.unfinished == (f"{thread.name} {words}",)


# -------------------------------------------------------------------- how it is drawn


def nodes(count: int, where: Callable[[int], str]) -> list[drawing.Node]:
    return [drawing.Node("tasks", f"task {n}", where(n)) for n in range(count)]


def test_of_many_at_the_same_line_some_are_drawn_and_all_are_counted() -> None:
    root = drawing.Node("groups", "group")
    root.below = nodes(5000, lambda _: "at app.py:3")
    lines = drawing.draw([root]).splitlines()
    assert len(lines) < 15
    assert lines[-2:] == ["└─ ... and 4996 more tasks there", "      at app.py:3"]


def test_of_many_in_different_places_the_first_are_drawn_and_all_are_counted() -> None:
    root = drawing.Node("groups", "group")
    root.below = nodes(5000, lambda n: f"at app.py:{n}")
    lines = drawing.draw([root]).splitlines()
    assert lines[-1] == "└─ ... and 4940 more"
    assert len(lines) == 122


def test_one_with_something_below_it_is_not_left_out() -> None:
    root = drawing.Node("groups", "group")
    root.below = nodes(5000, lambda n: f"at app.py:{n}")
    root.below[-1].below = [drawing.Node("groups", "the one that hangs")]
    assert "the one that hangs" in drawing.draw([root])


def test_a_picture_has_an_end() -> None:
    roots = [drawing.Node("groups", f"group {n}") for n in range(5000)]
    picture = drawing.draw(roots)
    assert picture.count("group") == 1000
    assert picture.endswith("... and 4000 more branches\n")


def test_what_is_nested_deeper_than_calls_can_be_is_drawn_and_not_wider_than_a_screen() -> None:
    root = node = drawing.Node("scopes", "scope 0")
    for number in range(1, 900):
        node.below = [drawing.Node("scopes", f"scope {number}")]
        node = node.below[0]
    lines = drawing.draw([root]).splitlines()
    assert lines[-1].endswith("[899 deep] scope 899")
    assert max(map(len, lines)) < 130


def test_nested_scopes_of_one_thread_are_drawn_in_order() -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(CancelScope())
        assert "[300 deep] scope, " in drawn()


def test_a_file_without_other_characters_gets_ascii() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as file, CancelScope():
        dump_tree(file)
        text = raw.getvalue().decode("ascii")
    assert re.search(r"\n`- scope, ", text), text


def test_without_a_file_it_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    dump_tree()
    captured = capsys.readouterr()
    assert captured.err.startswith("What runs in process ")
    assert not captured.out


def test_without_stderr_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    dump_tree()


def test_what_is_no_file_is_refused() -> None:
    with pytest.raises(TypeError, match="file must be a text file open for writing, or None, not"):
        dump_tree("tree.txt")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# -------------------------------------------------------------------- it waits for nobody


def test_it_works_while_every_lock_of_the_library_is_held() -> None:
    gate, pictures = Gate(), list[str]()
    with ended(gate), ThreadPool(1, name="locked pool") as pool, TaskGroup(name="locked") as group:
        _ = pool.submit(gate)
        call = group.spawn(gate)
        seen(r"locked-1 \(Gate\)': running")
        seen(r"locked pool-1 \(Gate\)': running")
        with contextlib.ExitStack() as held:
            for lock in (group._crew.lock, group._scope._lock, pool._staff.lock, call._mutex):
                held.enter_context(lock)
            looker = threading.Thread(target=lambda: pictures.append(drawn()))
            looker.start()
            looker.join(PATIENCE)
            assert not looker.is_alive(), "it waits for a lock"
        gate.may_end.set()
    assert "locked-1 (Gate)" in pictures[0]
    assert "locked pool-1 (Gate)" in pictures[0]


def test_it_works_in_a_finalizer_in_the_midst_of_our_own_lines() -> None:
    pictures: list[str] = []

    class Last:
        def __del__(self) -> None:
            pictures.append(drawn())

    with TaskGroup(name="last"):
        circle: list[object] = [Last()]
        circle.append(circle)
        del circle
        import gc  # noqa: PLC0415

        gc.collect()
    assert "group 'last': open" in pictures[0]


def test_it_works_under_explore() -> None:
    pictures: list[str] = []

    def program() -> None:
        with TaskGroup(name="explored") as group:
            group.spawn(sleep, 1)
            pictures.append(drawn())

    explore(program, runs=5)
    assert all("group 'explored': open" in picture for picture in pictures)


def test_nothing_is_kept_alive_for_it() -> None:
    import gc  # noqa: PLC0415
    import weakref  # noqa: PLC0415

    scope, group = CancelScope(), TaskGroup()
    with scope, group:
        pass
    left_scope, left_group = weakref.ref(scope), weakref.ref(group)
    del scope, group
    gc.collect()
    assert left_scope() is None
    assert left_group() is None


def test_what_was_left_is_no_longer_looked_at_though_it_is_kept() -> None:
    from joinable import _live  # noqa: PLC0415

    before = len(_live.found())
    scope, group = CancelScope(), TaskGroup()
    with scope, group:
        group.spawn(lambda: run_all([int, int])).result()
        stream = run_each(abs, [1, 2])
        assert len(_live.found()) > before
        assert list(stream) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        run_all([lambda: 1, lambda: 1 // 0])
    assert len(_live.found()) == before
    assert len(_live.entered) == before


def test_a_scope_that_is_dropped_unleft_goes_from_the_register() -> None:
    import weakref  # noqa: PLC0415

    from joinable import _live  # noqa: PLC0415

    def left_open() -> None:
        scope = CancelScope()
        _live.entered[id(scope)] = weakref.ref(scope)  # as entering it does

    before = len(_live.found())
    for _ in range(100):
        left_open()
    import gc  # noqa: PLC0415

    gc.collect()
    assert len(_live.found()) <= before
    assert len(_live.entered) <= before


def test_a_scope_that_was_left_open_and_whose_thread_has_its_number_again_is_drawn() -> None:
    gate = Gate()
    outer = CancelScope()
    outer.__enter__()
    try:
        with TaskGroup(name="in it") as group, ended(gate):
            group.spawn(gate)
            picture = seen("in it-1")
            (call,) = group._crew.running
            outer._thread, entered = call._runner, outer._thread
            picture = drawn()
            outer._thread = entered
    finally:
        outer.__exit__(None, None, None)
    assert "scope, " in picture
    assert "task 'in it-1 (Gate)'" in picture


def test_hundreds_of_pictures_can_be_drawn_while_groups_come_and_go() -> None:
    over = threading.Event()
    calls: list[Callable[[], object]] = [int, lambda: sleep(0)]

    def busy() -> None:
        while not over.is_set():
            with TaskGroup(timeout=LONG) as group, CancelScope():
                group.spawn(lambda: run_all(calls))
                group.spawn(lambda: list(run_each(abs, range(20), max_workers=2)))
            with ThreadPool(2) as pool:
                list(pool.map(abs, range(20)))
            spawn(sleep, 0).result()

    threads = [spawn(busy) for _ in range(3)]
    try:
        pictures = [drawn() for _ in range(300)]
    finally:
        over.set()
        for thread in threads:
            thread.result(PATIENCE)
            thread.join()
    assert all(picture.startswith("What runs") for picture in pictures)
    assert any("group 'TaskGroup-" in picture for picture in pictures)


# -------------------------------------------------------------------- on a signal

USR = getattr(signal, "SIGUSR1", signal.SIGINT)
needs_user_signals = pytest.mark.skipif(
    not hasattr(signal, "SIGUSR1"), reason="the system has no signal that is there for programs"
)


@needs_user_signals
def test_a_signal_draws_the_tree_until_that_is_undone() -> None:
    file = io.StringIO()
    before = signal.getsignal(USR)
    with dump_tree_on_signal(USR, file=file) as installed:
        signal.raise_signal(USR)
        assert "on" in repr(installed)
    assert file.getvalue().count("What runs in process") == 1
    assert signal.getsignal(USR) == before
    installed.remove()  # once more, to no effect
    assert "off" in repr(installed)


@needs_user_signals
def test_the_handler_that_was_there_is_called_afterwards() -> None:
    told: list[object] = []
    before = signal.signal(USR, lambda number, frame: told.append((number, frame is not None)))
    try:
        with dump_tree_on_signal(USR, file=io.StringIO()):
            signal.raise_signal(USR)
    finally:
        signal.signal(USR, before)
    assert told == [(USR, True)]


def test_ctrl_c_draws_the_tree_and_interrupts() -> None:
    file = io.StringIO()
    with dump_tree_on_signal(signal.SIGINT, file=file), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert "What runs" in file.getvalue()


@needs_user_signals
def test_a_handler_that_was_installed_since_stays() -> None:
    file = io.StringIO()
    before = signal.getsignal(USR)
    try:
        installed = dump_tree_on_signal(USR, file=file)
        ours = signal.getsignal(USR)
        assert callable(ours)

        def later(number: int, frame: FrameType | None) -> None:
            ours(number, frame)

        signal.signal(USR, later)
        installed.remove()
        assert signal.getsignal(USR) is later
        signal.raise_signal(USR)
    finally:
        signal.signal(USR, before)
    assert not file.getvalue()


@needs_user_signals
def test_a_file_that_fails_does_not_end_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def note(facts: sys.UnraisableHookArgs) -> None:
        told.append(facts.exc_type)

    monkeypatch.setattr(sys, "unraisablehook", note)
    file = io.StringIO()
    with dump_tree_on_signal(USR, file=file):
        file.close()
        signal.raise_signal(USR)
    assert told == [ValueError]


@pytest.mark.parametrize(
    ("signum", "error", "message"),
    [
        ("SIGINT", TypeError, "signum must be a signal, as signal.SIGINT is, not 'SIGINT'"),
        (True, TypeError, "signum must be a signal"),
        (12345, ValueError, "signum must be a signal of this system, not 12345"),
    ],
)
def test_what_is_no_signal_is_refused(signum: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dump_tree_on_signal(signum)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no such signal")
def test_a_signal_that_nobody_can_handle_is_refused() -> None:
    with pytest.raises(ValueError, match="SIGKILL cannot be handled"):
        dump_tree_on_signal(signal.SIGKILL)


def test_another_thread_cannot_ask_for_it() -> None:
    with pytest.raises(RuntimeError, match="only the main thread may say how signals are handled"):
        spawn(dump_tree_on_signal, signal.SIGINT).result()


def test_a_handler_that_could_not_be_put_back_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(_: int) -> None:
        """Tell of it as of one that the program around an embedded interpreter has installed."""

    monkeypatch.setattr(signal, "getsignal", unknown)
    with pytest.raises(RuntimeError, match="SIGINT is handled by something that is not written in"):
        dump_tree_on_signal(signal.SIGINT)


@needs_user_signals
def test_a_signal_that_interrupts_a_write_to_the_same_file_is_drawn_all_the_same(
    tmp_path: object,
) -> None:
    path = os.path.join(str(tmp_path), "log")  # noqa: PTH118

    class Interrupting(io.FileIO):
        armed = False

        def write(self, data: object) -> int:
            if self.armed:
                self.armed = False
                signal.raise_signal(USR)  # the buffer's lock is held by this very thread
            return super().write(data)  # type: ignore[arg-type]

    raw = Interrupting(path, "w")
    with (
        io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8") as file,
        dump_tree_on_signal(USR, file=file),
    ):
        raw.armed = True
        file.write("a line\n")
        file.flush()
    with open(path, encoding="utf-8") as written:  # noqa: PTH123
        text = written.read()
    assert "What runs in process" in text
    assert "a line" in text


def test_the_time_of_a_picture_is_short() -> None:
    gate = Gate()
    with ended(gate), TaskGroup() as group:
        for _ in range(50):
            group.spawn(gate)
        begun = time.process_time()
        for _ in range(20):
            drawn()
        spent = (time.process_time() - begun) / 20
        gate.may_end.set()
    assert spent < 0.5
