"""`Thread`: a standard thread whose outcome is kept."""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import gc
import signal
import threading
import weakref
from typing import NoReturn

import pytest

from joinable import CancelledError, Thread, spawn, threaded
from joinable import _runtime as runtime

WHO = contextvars.ContextVar("WHO", default="nobody")


def held(gate: threading.Event) -> Thread[bool]:
    return spawn(gate.wait)


# -------------------------------------------------------------------- it is both


def test_it_is_a_thread_and_a_future() -> None:
    thread = spawn(threading.current_thread)
    assert isinstance(thread, threading.Thread)
    assert isinstance(thread, concurrent.futures.Future)
    assert thread.result() is thread


def test_the_bases_share_no_name_that_matters() -> None:
    own = set(vars(threading.Thread(target=int))) | set(vars(threading.Thread))
    futures = set(vars(concurrent.futures.Future[int]())) | set(vars(concurrent.futures.Future))
    every_class = set(vars(object)) | {"__module__", "__dict__", "__weakref__", "__doc__"}
    shared = own & futures - every_class
    assert shared <= {"__static_attributes__", "__firstlineno__"}


def test_join_only_waits_and_returns_none_also_after_an_error() -> None:
    def fail() -> NoReturn:
        raise ValueError

    thread = spawn(fail)
    assert thread.join() is None
    assert not thread.is_alive()
    with pytest.raises(ValueError, match="in thread"):
        thread.result()


def test_join_with_a_timeout_returns_when_the_time_is_up() -> None:
    gate = threading.Event()
    thread = held(gate)
    thread.join(0.01)
    assert thread.is_alive()
    gate.set()
    thread.join(float("inf"))
    assert not thread.is_alive()


def test_names_are_the_standard_ones_and_can_be_set() -> None:
    thread = spawn(int)
    thread.join()
    assert thread.name.startswith("Thread-")
    assert thread.name.endswith("(int)")
    thread.name = "renamed"
    assert thread.name == "renamed"
    assert "renamed" in repr(thread)


def test_repr_shows_the_outcome_and_the_standard_state() -> None:
    thread = Thread(target=int, name="t", daemon=True)
    assert repr(thread) == "<Thread(t, pending, initial daemon)>"
    thread.start()
    thread.join()
    assert repr(thread) == f"<Thread(t, returned int, stopped daemon {thread.ident})>"


def test_running_is_true_as_soon_as_start_has_returned() -> None:
    gate = threading.Event()
    thread = held(gate)
    assert thread.running()
    assert not thread.done()
    gate.set()
    thread.join()
    assert thread.done()
    assert not thread.running()


def test_a_thread_that_runs_is_asked_to_stop_and_may_end_as_it_likes() -> None:
    gate = threading.Event()
    thread = held(gate)  # in the standard library's wait, which cannot be woken
    assert thread.cancel()
    assert not thread.cancelled()
    gate.set()
    assert thread.result()
    assert not thread.cancel()


# -------------------------------------------------------------------- the run method


class Square(Thread[int]):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def run(self) -> int:  # type: ignore[override]  # the standard one returns None
        return self.number**2


def test_a_subclass_may_return_a_value_from_run() -> None:
    square = Square(7)
    square.start()
    assert square.result() == 49


def test_run_of_a_subclass_may_call_ours() -> None:
    class Doubling(Thread[int]):
        def run(self) -> int:  # type: ignore[override]  # the standard one returns None
            return 2 * super().run()

    thread = Doubling(target=lambda: 21)
    thread.start()
    assert thread.result() == 42


def test_run_is_what_it_was_when_the_thread_has_ended() -> None:
    square = Square(2)
    square.start()
    square.join()
    assert "run" not in vars(square)
    assert square.run() == 4


def test_run_set_on_the_instance_is_honoured() -> None:
    thread: Thread[str] = Thread()
    thread.run = lambda: "mine"  # type: ignore[method-assign]  # people do
    thread.start()
    assert thread.result() == "mine"
    thread.join()
    assert thread.run() == "mine"


def test_run_called_directly_runs_here() -> None:
    thread = Thread(target=threading.current_thread)
    assert thread.run() is threading.current_thread()
    assert not thread.done()


def test_a_thread_with_nothing_to_do_returns_none() -> None:
    thread: Thread[None] = Thread()
    thread.start()
    assert thread.result() is None


def test_a_target_that_is_false_is_called_all_the_same() -> None:
    class Empty(list[int]):
        def __call__(self) -> str:
            return "called"

    thread = Thread(target=Empty())
    thread.start()
    assert thread.result() == "called"


# -------------------------------------------------------------------- start


def test_starting_twice_is_an_error() -> None:
    thread = spawn(int)
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()
    assert thread.result() == 0


def test_of_many_starts_at_once_one_wins() -> None:
    together = threading.Barrier(8)
    calls: list[int] = []
    thread: Thread[None] = Thread(target=calls.append, args=(1,))

    def start() -> bool:
        together.wait()
        try:
            thread.start()
        except RuntimeError:
            return False
        return True

    starters = [spawn(start) for _ in range(8)]
    assert sorted(starter.result() for starter in starters) == [False] * 7 + [True]
    thread.result()
    assert calls == [1]


def test_waiting_for_a_thread_that_was_not_started_is_an_error() -> None:
    thread = Thread(target=int, name="forgotten")
    with pytest.raises(RuntimeError, match="'forgotten' has not been started: call start"):
        thread.result()
    with pytest.raises(RuntimeError, match="has not been started"):
        thread.exception(timeout=1)
    with pytest.raises(RuntimeError, match="before it is started"):
        thread.join()


def test_a_constructor_that_forgets_ours_is_told() -> None:
    class Forgetful(Thread[None]):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match=r"Thread.__init__\(\) not called"):
        Forgetful().start()


def test_a_start_that_failed_can_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    thread = Thread(target=int)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="can't start"):
        patch.setattr(runtime, "start", no_more)
        thread.start()
    assert repr(thread).startswith("<Thread(Thread-")
    assert "pending" in repr(thread)
    with pytest.raises(RuntimeError, match="has not been started"):
        thread.result()
    thread.start()
    assert thread.result() == 0


def test_a_waiter_learns_that_the_start_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Force it: 1. the start claims, 2. a waiter goes to sleep, 3. the start fails."""
    thread = Thread(target=int)
    waiters: list[Thread[int]] = []
    start = runtime.start

    def fail_when_waited_for(started: threading.Thread) -> None:
        if started is not thread:
            return start(started)
        waiters.append(spawn(thread.result))
        while not thread._latches:  # until it is inside
            pass
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(runtime, "start", fail_when_waited_for)
    with pytest.raises(RuntimeError, match="can't start"):
        thread.start()
    with pytest.raises(RuntimeError, match="has not been started"):
        waiters[0].result()


@pytest.mark.parametrize("exists", [True, False], ids=["os thread exists", "no os thread"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, TimeoutError])
def test_an_interrupted_start_runs_the_call_or_says_that_it_will_not(
    kind: type[BaseException],
    exists: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C, or a signal handler that raises, comes before or after there is an OS thread."""
    start = runtime.start

    def interrupted(thread: threading.Thread) -> None:
        if exists:
            start(thread)
        raise kind

    thread = Thread(target=lambda: 0)
    monkeypatch.setattr(runtime, "start", interrupted)
    with pytest.raises(kind):
        thread.start()
    monkeypatch.undo()
    if exists:
        threading.Thread.join(thread)
    try:
        assert thread.result() == 0
    except CancelledError:
        assert thread.cancelled()
    except RuntimeError:
        thread.start()  # it was not started, and can be
        assert thread.result() == 0
    thread.join()
    assert thread.done()


def test_a_thread_that_comes_late_of_an_attempt_that_failed_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Force it: 1. an attempt fails, 2. the next one runs the call, 3. the first thread comes."""
    calls: list[int] = []
    late: list[object] = []
    thread = Thread(target=calls.append, args=(1,))

    def fail(started: threading.Thread) -> NoReturn:
        late.append(started.run)  # what the bootstrap of an OS thread has looked up
        raise TimeoutError

    with monkeypatch.context() as patch, pytest.raises(TimeoutError):
        patch.setattr(runtime, "start", fail)
        thread.start()
    thread.start()
    thread.join()
    (run,) = late
    assert callable(run)
    run()
    assert calls == [1]
    assert "run" not in vars(thread)


def test_ctrl_c_that_the_standard_library_turns_into_another_error_comes_out_as_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wait() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            raise RuntimeError("release unlocked lock")

    class Standard:
        def start(self) -> None:
            wait()

    monkeypatch.setattr(runtime, "_Thread", Standard)
    with pytest.raises(KeyboardInterrupt):
        runtime.start(Standard())  # type: ignore[arg-type]  # has the one method


def test_a_start_that_fails_while_an_interrupt_is_handled_fails_as_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Standard:
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(runtime, "_Thread", Standard)
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        with pytest.raises(RuntimeError, match="can't start"):
            runtime.start(Standard())  # type: ignore[arg-type]  # has the one method


def test_a_run_on_the_instance_need_not_be_comparable() -> None:
    class Run:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise TypeError(f"not comparable with {other!r}")

        def __call__(self) -> str:
            return "ran"

    thread: Thread[str] = Thread()
    thread.run = Run()  # type: ignore[method-assign]  # people do
    thread.start()
    assert thread.result(timeout=60) == "ran"


def test_a_fault_of_our_own_in_the_thread_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(Thread, "_annotate", broken)
    with pytest.raises(MemoryError):
        spawn(int, "x").result(timeout=60)


# -------------------------------------------------------------------- cancel before the start


def test_cancelled_before_the_start_it_never_runs() -> None:
    calls: list[int] = []
    thread: Thread[None] = Thread(target=calls.append, args=(1,))
    assert thread.cancel()
    thread.start()
    thread.join()
    assert calls == []
    assert not thread.is_alive()
    assert thread.cancelled()
    with pytest.raises(CancelledError):
        thread.result()


def test_of_a_start_and_a_cancel_at_once_one_wins() -> None:
    for _ in range(200):
        together = threading.Barrier(2)
        calls: list[int] = []
        thread: Thread[None] = Thread(target=calls.append, args=(1,))

        def cancel(thread: Thread[None] = thread, together: threading.Barrier = together) -> bool:
            together.wait()
            return thread.cancel()

        canceller = spawn(cancel)
        together.wait()
        thread.start()
        cancelled = canceller.result()
        thread.join()
        # One that had been started was asked to stop, or had ended; it has no wait to stop at.
        assert cancelled or not thread.cancelled()
        assert calls == ([] if thread.cancelled() else [1])


# -------------------------------------------------------------------- context


def test_the_context_is_copied_when_it_starts() -> None:
    thread = Thread(target=WHO.get)
    token = WHO.set("starter")
    thread.start()
    WHO.reset(token)
    assert thread.result() == "starter"


def test_what_a_thread_sets_stays_in_it() -> None:
    spawn(WHO.set, "thread").result()
    assert WHO.get() == "nobody"


def test_a_context_can_be_given() -> None:
    context = contextvars.Context()
    context.run(WHO.set, "given")
    thread = Thread(target=lambda: (WHO.get(), WHO.set("changed"))[0], context=context)
    thread.start()
    assert thread.result() == "given"
    assert context[WHO] == "changed"


def test_an_empty_context_is_a_context_too() -> None:
    token = WHO.set("starter")
    thread = Thread(target=WHO.get, context=contextvars.Context())
    thread.start()
    WHO.reset(token)
    assert thread.result() == "nobody"


def test_a_context_that_is_in_use_is_the_threads_error_not_a_hang() -> None:
    context = contextvars.Context()
    gate, entered = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        gate.wait()

    first = Thread(target=hold, context=context)
    first.start()
    entered.wait()
    second = Thread(target=int, context=context)
    second.start()
    with pytest.raises(RuntimeError, match="already entered"):
        second.result()
    gate.set()
    first.result()


def test_the_context_is_let_go_when_the_thread_has_ended() -> None:
    class Thing:
        pass

    holder: contextvars.ContextVar[Thing] = contextvars.ContextVar("holder")
    context = contextvars.Context()
    thing = Thing()
    context.run(holder.set, thing)
    watched = weakref.ref(thing)
    thread = Thread(target=int, context=context)
    thread.start()
    thread.join()
    del thing, context
    gc.collect()
    assert watched() is None


# -------------------------------------------------------------------- spawn, threaded


def test_spawn_passes_arguments_on() -> None:
    assert spawn(int, "ff", base=16).result() == 255
    assert spawn(dict, fn=1, self=2).result() == {"fn": 1, "self": 2}


def test_threaded_starts_a_thread_a_call_and_keeps_the_name() -> None:
    @threaded
    def shout(text: str) -> str:
        """Say it loud."""
        return text.upper()

    assert [thread.result() for thread in (shout("a"), shout(text="b"))] == ["A", "B"]
    assert shout.__name__ == "shout"
    assert shout.__doc__ == "Say it loud."


def test_threaded_works_on_methods() -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 41

        @threaded
        def up(self, step: int) -> int:
            return self.count + step

    assert Counter().up(1).result() == 42


# -------------------------------------------------------------------- bad input


async def coroutine() -> None:
    pass


@pytest.mark.parametrize(
    "call", [3, None, "text", coroutine], ids=["int", "None", "str", "coroutine"]
)
def test_what_cannot_be_called_is_refused_at_the_call(call: object) -> None:
    if call is not None:
        with pytest.raises(TypeError, match=r"^target (must be callable|is the coroutine)"):
            _ = Thread(target=call)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^fn (must be callable|is the coroutine)"):
        _ = spawn(call)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^fn (must be callable|is the coroutine)"):
        threaded(call)  # type: ignore[arg-type]


def test_a_proxy_that_has_any_attribute_is_welcome() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> object:
            return Proxy()

        def __call__(self) -> str:
            return "called"

    assert spawn(Proxy()).result() == "called"


def test_a_partial_of_a_plain_function_is_welcome() -> None:
    assert spawn(functools.partial(pow, 2), 3).result() == 8


def test_wrong_arguments_of_the_constructor_are_named() -> None:
    with pytest.raises(TypeError, match=r"args must be a tuple .* write args=\(5,\)"):
        _ = Thread(target=int, args=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="kwargs must be a mapping"):
        _ = Thread(target=int, kwargs=[1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"context must be a contextvars\.Context"):
        _ = Thread(target=int, context={})  # type: ignore[arg-type]


def test_a_property_of_a_subclass_that_fails_in_the_new_thread_is_an_outcome() -> None:
    class Failing(Thread[int]):
        @property
        def daemon(self) -> bool:
            if threading.current_thread() is self:
                raise OSError("no daemon here")
            return True

        @daemon.setter
        def daemon(self, daemon: bool) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
            """As the constructor wants it."""

    thread = Failing(target=int)
    thread.start()
    with pytest.raises(OSError, match="no daemon here"):
        thread.result(10)
