"""The seam holds: nothing but `_runtime` blocks, starts a thread or reads the clock."""

from __future__ import annotations

import ast
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import joinable
from joinable import _events as events
from joinable import _frames as frames
from joinable import _runtime as runtime
from joinable import spawn
from processes import run

if TYPE_CHECKING:
    import queue
    from collections.abc import Sequence
    from types import FrameType

# Not `testing`: what puts another world under the seam has to know the real one.
SOURCES = sorted(Path(joinable.__file__).parent.glob("*.py"))
# Names that block, start a thread or read the clock, by the module that has them.
FORBIDDEN = {
    "time": {"monotonic", "sleep", "time", "perf_counter", "monotonic_ns"},
    "threading": {"Lock", "RLock", "Event", "Semaphore", "Barrier", "Timer"},
    "queue": {"Queue", "SimpleQueue", "LifoQueue", "PriorityQueue"},
}


def offences(source: Path) -> list[str]:
    """Every use in one module of what only the seam may use."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    found: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in FORBIDDEN.get(
                module, ()
            ):
                found.append(f"{source.name}:{node.lineno} {module}.{name}")
            case ast.Import(names=names):
                found += [f"{source.name} imports {a.name}" for a in names if a.name == "_thread"]
            case ast.ImportFrom(module=str(module), names=names):
                wrong = FORBIDDEN.get(module, set[str]())
                found += [f"{source.name} imports {a.name}" for a in names if a.name in wrong]
            case _:
                pass
    return found


def allowed(offence: str) -> bool:
    # An annotation may name the queue's type; it makes none.
    return offence.startswith(("_unasked.py", "_timer.py")) and offence.endswith(
        "queue.SimpleQueue"
    )


@pytest.mark.parametrize(
    "source",
    [source for source in SOURCES if source.name != "_runtime.py"],
    ids=lambda source: source.stem,
)
def test_a_module_asks_the_runtime(source: Path) -> None:
    assert [offence for offence in offences(source) if not allowed(offence)] == []


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import _thread\nimport time\nfrom threading import Lock\ntime.sleep(1)\n")
    assert len(offences(bad)) == 3


# -------------------------------------------------------------------- the runtime itself


@pytest.mark.parametrize("sliced", [False, True])
def test_acquire_waits_until_the_lock_is_released_or_the_time_is_up(
    sliced: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "_SLICED", sliced)
    lock = runtime.allocate_lock()
    assert runtime.acquire(lock)
    assert not runtime.acquire(lock, 0)
    assert not runtime.acquire(lock, -1)
    assert not runtime.acquire(lock, 0.12)
    releaser = threading.Timer(0.12, lock.release)
    releaser.start()
    assert runtime.acquire(lock, float("inf"))
    releaser.join()


@pytest.mark.parametrize("sliced", [False, True])
def test_join_waits_until_the_thread_has_ended_or_the_time_is_up(
    sliced: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "_SLICED", sliced)
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait)
    thread.start()
    runtime.join(thread, 0.12)
    assert thread.is_alive()
    gate.set()
    runtime.join(thread)
    assert not thread.is_alive()


def test_receive_returns_a_message_or_none() -> None:
    channel: queue.SimpleQueue[int] = runtime.make_channel()
    assert runtime.receive(channel, 0) is None
    channel.put(3)
    assert runtime.receive(channel, None) == 3


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal."""


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals between threads here")
def test_receive_comes_back_in_time_whatever_signals_come() -> None:
    """Of which 3.11 and 3.12 hang in the `get` of a SimpleQueue, at the first few."""
    channel: queue.SimpleQueue[int] = runtime.make_channel()
    visits: list[int | None] = []
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            visits.append(runtime.receive(channel, 0.002))

    before = signal.signal(signal.SIGUSR1, _do_nothing)
    receiver = spawn(serve)
    try:
        end = time.monotonic() + 10
        while len(visits) < 100 and time.monotonic() < end:
            signal.pthread_kill(receiver.ident or 0, signal.SIGUSR1)
            sum(range(1000))  # and the receiver is late for what it was woken for
        assert len(visits) >= 100
    finally:
        over.set()
        receiver.result(10)  # first: what is still on its way to it would end the process
        signal.signal(signal.SIGUSR1, before)


def test_receive_loses_no_message_between_threads() -> None:
    channel: queue.SimpleQueue[int] = runtime.make_channel()
    sent = range(3000)

    def send(part: Sequence[int]) -> None:
        for message in part:
            channel.put(message)

    senders = [spawn(send, sent[start::3]) for start in range(3)]
    got: list[int] = []
    start = time.monotonic()
    while len(got) < len(sent):
        message = runtime.receive(channel, 60)
        got += [] if message is None else [message]
    assert time.monotonic() - start < 60  # a message that is there was not waited for
    for sender in senders:
        sender.result()
    assert sorted(got) == list(sent)


# -------------------------------------------------------------------- events


def test_observers_see_a_task_start_and_end_and_who_waits() -> None:
    seen: list[tuple[events.Kind, object]] = []
    gate = threading.Event()

    def observer(kind: events.Kind, task: object) -> None:
        seen.append((kind, task))
        if kind is events.Kind.WAITING:
            gate.set()

    events.observe(observer)
    try:
        thread = spawn(gate.wait)
        thread.result()
        thread.join()
        dropped: joinable.Thread[int] = joinable.Thread(target=int)
        dropped.cancel()
    finally:
        events.unobserve(observer)
    spawn(int).result()
    others = {events.Kind.CANCELLED, events.Kind.FAILED, events.Kind.LEFT}
    assert {kind for kind, task in seen if task is thread} == set(events.Kind) - others
    assert seen[-1] == (events.Kind.CANCELLED, dropped)
    assert (events.Kind.STARTED, dropped) not in seen


def test_an_observer_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble: list[object] = []

    def remember(arguments: sys.UnraisableHookArgs) -> None:
        trouble.append(arguments.exc_value)

    monkeypatch.setattr(sys, "unraisablehook", remember)

    def observer(kind: events.Kind, task: object) -> None:
        raise ValueError(kind, task)

    events.observe(observer)
    try:
        thread = spawn(int)
        assert thread.result() == 0
        thread.join()
    finally:
        events.unobserve(observer)
    assert len(trouble) >= 2
    with pytest.raises(ValueError, match="not in list"):
        events.unobserve(observer)


def test_an_observer_that_leaves_does_not_take_the_thread_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trouble: list[object] = []

    def remember(arguments: sys.UnraisableHookArgs) -> None:
        trouble.append(arguments.exc_type)

    def observer(kind: events.Kind, task: object) -> None:
        if threading.current_thread() is task:
            raise SystemExit(kind)

    monkeypatch.setattr(sys, "unraisablehook", remember)
    events.observe(observer)
    try:
        thread = spawn(lambda: 5)
        assert thread.result(timeout=60) == 5
        thread.join()
    finally:
        events.unobserve(observer)
    assert trouble == [SystemExit, SystemExit]


# -------------------------------------------------------------------- frames


def test_it_is_told_where_a_thread_is_and_nothing_of_one_that_has_ended() -> None:
    together = threading.Barrier(2)
    thread = spawn(together.wait)
    while not together.n_waiting:  # until it is inside
        pass
    assert f"{threading.__file__}:" in str(frames.where(thread.ident))
    together.wait()
    thread.join()
    assert frames.where(None) is None
    assert frames.where(-1) is None
    here = frames.where(threading.get_ident())
    assert here is not None
    assert here.startswith(f"at {__file__}:")  # our own lines are passed over


def test_where_a_thread_is_can_be_asked_while_the_collector_comes_upon_what_is_local_to_one() -> (
    None
):
    """In a process of its own: before 3.11.9 the interpreter would wait for itself there."""
    done = run(
        """
        import gc, threading
        from joinable import _frames

        class Holder:
            pass

        for _ in range(50):
            gc.disable()
            for _ in range(5):
                holder = Holder()
                holder.itself, holder.local = holder, threading.local()
                holder.local.value = 1
                del holder
            gc.set_threshold(1)
            gc.enable()
            assert _frames.where(threading.get_ident())
            assert _frames.stack(threading.get_ident())
            assert gc.isenabled()
        gc.disable()
        _frames.where(threading.get_ident())
        assert not gc.isenabled()
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stack_of_our_own_frames_has_a_place_all_the_same() -> None:
    code = compile("place = caller()", frames.__file__, "exec")
    places: dict[str, object] = {"caller": frames.caller}

    def from_our_file() -> None:
        exec(code, places)  # noqa: S102  a frame that looks like ours

    thread = threading.Thread(target=from_our_file)
    thread.start()
    thread.join()
    assert places["place"] == (__file__, from_our_file.__code__.co_firstlineno + 1)
    assert sys._getframe().f_code.co_filename == __file__
