"""A task's outcome, and how it reaches those who wait for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import pickle
import threading
import traceback
import weakref
from typing import NoReturn

import pytest

from joinable import CancelledError, DeadlineExceeded, InvalidStateError, Task, Thread, spawn
from joinable import _runtime as runtime


class BoomError(Exception):
    """What the calls of these tests raise."""


def boom() -> NoReturn:
    raise BoomError("in the thread")


def lines_of(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def raised_by(task: Task[NoReturn]) -> BaseException:
    with pytest.raises(BoomError) as caught:
        task.result()
    return caught.value


# -------------------------------------------------------------------- values and errors


def test_result_is_what_the_call_returned() -> None:
    assert spawn(divmod, 17, 5).result() == (3, 2)


def test_a_result_of_none_is_a_result() -> None:
    thread = spawn(list[int]().clear)
    assert thread.result() is None
    assert thread.exception() is None


def test_the_error_is_the_very_object_that_was_raised() -> None:
    error = BoomError()

    def fail() -> NoReturn:
        raise error

    thread = spawn(fail)
    assert raised_by(thread) is error
    assert thread.exception() is error


def test_the_traceback_begins_with_the_users_frames_and_has_one_of_ours() -> None:
    thread = spawn(boom)
    assert lines_of(raised_by(thread))[-2:] == ["result", "boom"]


def test_asking_again_does_not_lengthen_the_traceback() -> None:
    thread = spawn(boom)
    first = lines_of(raised_by(thread))
    for _ in range(5):
        assert lines_of(raised_by(thread)) == first


def test_the_error_has_one_note_which_names_the_thread_and_the_line_that_started_it() -> None:
    thread: Thread[NoReturn] = Thread(target=boom, name="fetcher")
    thread.start()
    line = traceback.extract_stack()[-1].lineno
    assert line is not None
    raised_by(thread)
    raised_by(thread)
    error = thread.exception()
    assert error is not None
    assert error.__notes__ == [f"in thread 'fetcher', started at {__file__}:{line - 1}"]


def test_spawn_notes_the_line_of_its_caller_not_its_own() -> None:
    thread = spawn(boom)
    (note,) = raised_by(thread).__notes__
    assert f"started at {__file__}:" in note


class FrozenError(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} cannot be set to {value!r}")


def test_an_error_that_refuses_a_note_comes_out_all_the_same() -> None:
    def fail() -> NoReturn:
        raise FrozenError

    with pytest.raises(FrozenError):
        spawn(fail).result()


def test_system_exit_in_a_thread_is_its_outcome() -> None:
    def leave() -> NoReturn:
        raise SystemExit(3)

    thread = spawn(leave)
    with pytest.raises(SystemExit) as caught:
        thread.result()
    assert caught.value.code == 3


# -------------------------------------------------------------------- time


def test_a_timeout_names_the_call_and_the_line_it_is_at() -> None:
    together = threading.Barrier(2)

    def stuck() -> None:
        together.wait()

    thread: Thread[None] = Thread(target=stuck, name="stuck one")
    thread.start()
    while not together.n_waiting:  # until it is inside
        pass
    with pytest.raises(DeadlineExceeded) as caught:
        thread.result(timeout=0.05)
    with pytest.raises(DeadlineExceeded):
        thread.exception(timeout=0)
    together.wait()
    thread.result()
    assert isinstance(caught.value, TimeoutError)
    (unfinished,) = caught.value.unfinished
    assert unfinished.startswith("stuck one at ")
    assert f"called from {__file__}:" in unfinished
    assert "in stuck" in str(caught.value)
    assert "within 0.05 s" in str(caught.value)


def test_a_timeout_before_the_call_has_begun_says_so() -> None:
    with pytest.raises(
        DeadlineExceeded, match="'task' did not end within 0 s: it is not running yet"
    ):
        Task[int]().result(timeout=0)


def test_no_time_is_enough_for_a_task_that_is_done() -> None:
    thread = spawn(int)
    thread.join()
    assert thread.result(timeout=0) == 0
    assert thread.exception(timeout=-1) is None


def test_a_time_too_long_to_count_is_no_error() -> None:
    assert spawn(int).result(timeout=1e300) == 0
    assert spawn(int).result(timeout=float("inf")) == 0


def test_an_outcome_that_comes_with_the_timeout_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Force it: 1. the waiter's time is up, 2. the call ends and takes the latch, 3. it looks."""
    task = Task[int]()

    def acquire(lock: object, timeout: float | None) -> bool:
        del lock
        assert timeout is not None
        task.set_result(7)
        return False

    monkeypatch.setattr(runtime, "acquire", acquire)
    assert task.result(timeout=1) == 7


def test_a_waiter_that_timed_out_leaves_nothing_behind() -> None:
    task = Task[int]()
    for _ in range(3):
        with pytest.raises(DeadlineExceeded):
            task.result(timeout=0)
    assert not task._latches


@pytest.mark.parametrize("timeout", ["1", True, float("nan"), [1]], ids=repr)
def test_a_timeout_that_is_no_number_is_refused(timeout: float) -> None:
    task = Task[int]()
    with pytest.raises((TypeError, ValueError), match="timeout must be a number of seconds"):
        task.result(timeout)


# -------------------------------------------------------------------- waiting for oneself


def test_result_from_within_is_an_error_not_a_hang() -> None:
    thread: Thread[int]

    def ask() -> int:
        return thread.result()

    thread = Thread(target=ask, name="selfish")
    thread.start()
    with pytest.raises(RuntimeError, match="'selfish' would wait for itself"):
        thread.result()


def test_exception_from_within_is_an_error_not_a_hang() -> None:
    thread: Thread[object]

    def ask() -> object:
        return thread.exception()

    thread = Thread(target=ask)
    thread.start()
    with pytest.raises(RuntimeError, match="would wait for itself"):
        thread.result()


# -------------------------------------------------------------------- as a Future


def test_wait_and_as_completed_take_tasks_in_every_state() -> None:
    gate = threading.Event()
    # All of one type, since that of a Future is invariant.
    done: Thread[object] = spawn(int)
    waiting: Thread[object] = spawn(gate.wait)
    failing: Thread[object] = spawn(boom)
    dropped: Thread[object] = Thread(target=gate.set)
    dropped.cancel()
    done.join()
    failing.join()
    finished = concurrent.futures.wait([done, waiting, failing, dropped], timeout=0.01)
    assert finished.done == {done, failing, dropped}
    assert finished.not_done == {waiting}
    first = concurrent.futures.wait([waiting, failing], return_when="FIRST_EXCEPTION")
    assert first.done == {failing}
    order = concurrent.futures.as_completed([waiting, dropped])
    assert next(order) is dropped
    gate.set()
    assert next(order) is waiting
    assert isinstance(failing.exception(), BoomError)


def test_wait_wakes_for_a_task_that_is_cancelled_meanwhile() -> None:
    never = Thread(target=threading.Event().wait)
    waiter = spawn(concurrent.futures.wait, [never])
    while not never._waiters:  # until it is inside: nothing to wait on shows from outside
        pass
    never.cancel()
    assert waiter.result().done == {never}


def test_callbacks_run_in_order_and_at_once_when_late() -> None:
    task = Task[int]()
    seen: list[str] = []
    task.add_done_callback(lambda _: seen.append("first"))
    task.add_done_callback(lambda _: seen.append("second"))
    task.set_result(1)
    task.add_done_callback(lambda _: seen.append("late"))
    assert seen == ["first", "second", "late"]


def test_a_callback_may_use_the_task() -> None:
    task = Task[int]()
    seen: list[int] = []
    task.add_done_callback(lambda done: seen.append(done.result()))
    task.set_result(5)
    assert seen == [5]


def test_a_failing_callback_is_logged_and_the_rest_run(caplog: pytest.LogCaptureFixture) -> None:
    task = Task[int]()
    seen: list[int] = []

    def fail(_: object) -> None:
        raise BoomError

    task.add_done_callback(fail)
    task.add_done_callback(lambda done: seen.append(done.result()))
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        task.set_result(5)
    assert seen == [5]
    assert "exception calling callback" in caplog.text


def test_a_done_task_refuses_another_outcome() -> None:
    task = Task[int]()
    task.set_result(1)
    with pytest.raises(InvalidStateError):
        task.set_result(2)
    with pytest.raises(InvalidStateError):
        task.set_exception(BoomError())
    assert task.result() == 1


def test_a_pending_task_can_be_cancelled_once_and_for_all() -> None:
    task = Task[int]()
    assert task.cancel()
    assert task.cancel()
    assert task.cancelled()
    assert task.done()
    assert not task.set_running_or_notify_cancel()
    with pytest.raises(CancelledError, match="was cancelled"):
        task.result()
    with pytest.raises(CancelledError, match="was cancelled"):
        task.exception()


def test_a_running_task_is_not_marked_as_running_twice() -> None:
    task = Task[int]()
    assert task.set_running_or_notify_cancel()
    assert task.running()
    assert not task.cancel()
    with pytest.raises(RuntimeError, match="started already"):
        task.set_running_or_notify_cancel()


def test_waiters_all_wake() -> None:
    task = Task[int]()
    threads = [spawn(task.result) for _ in range(10)]
    while len(task._latches) < 10:  # until all are inside
        pass
    task.set_result(3)
    assert [thread.result() for thread in threads] == [3] * 10


def test_an_interrupt_between_two_wake_ups_leaves_nobody_asleep() -> None:
    """Force it: the first latch that is released raises, as Ctrl-C would there."""

    class Interrupted:
        def locked(self) -> bool:
            return True

        def release(self) -> None:
            if not interrupts:
                interrupts.append(1)
                raise KeyboardInterrupt

    interrupts: list[int] = []
    seen: list[int] = []
    task = Task[int]()
    waiter = spawn(task.result)
    while not task._latches:  # until it is inside
        pass
    task.add_done_callback(lambda done: seen.append(done.result()))
    task._latches.append(Interrupted())  # type: ignore[arg-type]  # all that is used of it
    with pytest.raises(KeyboardInterrupt):
        task.set_result(4)
    assert waiter.result() == 4
    assert seen == [4]


def test_a_callback_that_raises_what_is_no_exception_does_not_cost_the_others() -> None:
    seen: list[int] = []
    task = Task[int]()

    def leave(_: object) -> NoReturn:
        raise SystemExit(2)

    task.add_done_callback(leave)
    task.add_done_callback(lambda done: seen.append(done.result()))
    with pytest.raises(SystemExit):
        task.set_result(6)
    assert seen == [6]


class StubbornError(Exception):
    def with_traceback(self, _: object) -> NoReturn:
        raise TypeError("not with this one")


def test_an_error_that_refuses_a_traceback_comes_out_all_the_same() -> None:
    def fail() -> NoReturn:
        raise StubbornError

    thread = spawn(fail)
    with pytest.raises(StubbornError):
        thread.result(timeout=60)


@pytest.mark.parametrize("exception", [ValueError, "text", 3], ids=repr)
def test_an_outcome_that_is_no_exception_is_refused(exception: BaseException) -> None:
    task = Task[int]()
    with pytest.raises(TypeError, match="exception must be an exception object, not"):
        task.set_exception(exception)
    assert not task.done()


def test_deadline_exceeded_can_be_pickled() -> None:
    error = DeadlineExceeded(2.0, [("job", "at app.py:3 in fetch"), ("other", None)])
    error.add_note("a note")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert (str(copy), copy.unfinished, copy.__notes__) == (
        "2 calls did not end within 2 s: they are at app.py:3 in fetch; not running yet",
        ("job at app.py:3 in fetch", "other, not running yet"),
        ["a note"],
    )


# -------------------------------------------------------------------- in an event loop


def test_a_task_can_be_awaited() -> None:
    async def main() -> int:
        return await spawn(pow, 2, 5)

    assert asyncio.run(main()) == 32


def test_awaiting_raises_the_error_itself() -> None:
    async def main() -> None:
        await spawn(boom)

    with pytest.raises(BoomError):
        asyncio.run(main())


def test_wrap_future_takes_a_task() -> None:
    async def main() -> int:
        return await asyncio.wrap_future(spawn(pow, 2, 6))

    assert asyncio.run(main()) == 64


def stop() -> NoReturn:
    raise StopIteration(5)


def test_stop_iteration_reaches_a_loop_as_runtime_error() -> None:
    async def main() -> None:
        await asyncio.wait_for(spawn(stop), 20)

    with pytest.raises(RuntimeError) as caught:
        asyncio.run(main())
    assert isinstance(caught.value.__cause__, StopIteration)


def test_stop_iteration_reaches_a_plain_caller_as_itself() -> None:
    thread = spawn(stop)
    with pytest.raises(StopIteration):
        thread.result()
    assert isinstance(thread.exception(), StopIteration)


# -------------------------------------------------------------------- what is kept


class Thing:
    """Something that can be watched for its end."""


def test_nothing_of_a_finished_call_is_kept() -> None:
    thing = Thing()

    def use(used: Thing, *, again: Thing, own: Thing = thing) -> int:
        return len([used, again, own])

    watched: list[weakref.ref[object]] = [weakref.ref(thing), weakref.ref(use)]
    thread = spawn(use, thing, again=thing)
    assert thread.result() == 3
    thread.join()
    del thing, use
    gc.collect()
    assert [ref() for ref in watched] == [None, None]


def test_nothing_of_a_cancelled_call_is_kept() -> None:
    thing = Thing()
    watched = weakref.ref(thing)
    thread: Thread[str] = Thread(target=repr, args=(thing,))
    thread.cancel()
    del thing
    gc.collect()
    assert watched() is None


def test_nothing_of_a_call_that_was_completed_before_it_began_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thing = Thing()
    watched = weakref.ref(thing)
    thread: Thread[str] = Thread(target=repr, args=(thing,))
    start = runtime.start

    def complete_first(started: threading.Thread) -> None:
        thread.set_result("early")
        start(started)

    monkeypatch.setattr(runtime, "start", complete_first)
    thread.start()
    thread.join()
    del thing
    gc.collect()
    assert thread.result() == "early"
    assert watched() is None


def test_callbacks_are_let_go() -> None:
    thing = Thing()
    watched = weakref.ref(thing)
    task = Task[int]()
    holder: list[object] = [thing]
    task.add_done_callback(holder.append)  # a method holds its object
    task.set_result(1)
    del thing, holder
    gc.collect()
    assert watched() is None


# -------------------------------------------------------------------- how it looks


def test_repr_shows_the_state() -> None:
    task = Task[int]()
    task.name = "job"
    assert repr(task) == "<Task(job, pending)>"
    task.set_running_or_notify_cancel()
    assert repr(task) == "<Task(job, running)>"
    task.set_result(1)
    assert repr(task) == "<Task(job, returned int)>"
    other = Task[int]()
    other.cancel()
    assert repr(other) == "<Task(task, cancelled)>"
