# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false
"""When what is in a `ThreadLocal` is closed, by whom, and what is kept until then."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from joinable import (
    CancelledError,
    TaskGroup,
    Thread,
    ThreadLocal,
    move_on_after,
    run_each,
    sleep,
    spawn,
)
from joinable import _closing as closing
from joinable import _owned as owned
from joinable._shelf import Piece
from joinable.testing import FakeClock
from things import Thing
from waiting import PATIENCE, elsewhere, until
from ways import WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from ways import Way

pytestmark = pytest.mark.usefixtures("nothing_to_close")
WHO = contextvars.ContextVar("WHO", default="nobody")


class BoomError(Exception):
    """What an `on_exit` of these tests raises."""


def in_a_thread(call: Callable[[], object]) -> None:
    """Have a thread of the standard library's call it, and wait for its end."""
    elsewhere(call)()


# -------------------------------------------------------------------- the end of a task


@WAYS
def test_a_value_is_closed_before_anybody_learns_of_the_outcome(way: Way[Thing]) -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    before: list[Thing] = []

    def call(_: int) -> Thing:
        assert all(thing.is_closed() for thing in before)
        before.append(local.get())
        return local.get()

    assert all(thing.is_closed() for thing in way(call, 3))
    assert len(before) == 3


@pytest.mark.parametrize("buffersize", [64, None])
@pytest.mark.parametrize("ordered", [True, False])
def test_a_result_of_a_stream_is_given_out_when_its_values_are_closed(
    buffersize: int | None, ordered: bool
) -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    with run_each(
        lambda _: local.get(), range(500), buffersize=buffersize, ordered=ordered, max_workers=4
    ) as things:
        assert sum(thing.is_closed() for thing in things) == 500


def test_who_sees_a_result_of_a_list_sees_that_it_is_held_back() -> None:
    """The owner holds and puts a result when somebody is about to take those that are there."""

    class Results(list[object]):
        def __getitem__(self, key: Any) -> Any:
            if len(self) == 1:
                piece.withhold(notes)
                self.append("held")
            return super().__getitem__(key)

    notes: dict[int, Any] = {}
    piece = Piece(5, [0, 1, 2])
    piece.results = Results(["first"])
    assert piece.take(5, 10) == ["first"]
    assert notes
    assert piece.at() == 6
    assert piece.take(6, 10) == []
    piece.publish(notes)
    assert not notes
    piece.withheld = 2  # that of a later call
    assert piece.take(6, 10) == ["held"]


@WAYS
def test_the_values_of_a_task_that_fails_are_closed_and_its_error_is_raised(
    way: Way[NoReturn],
) -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    made: list[Thing] = []

    def call(number: int) -> NoReturn:
        made.append(local.get())
        raise BoomError(number)

    with pytest.raises((BoomError, ExceptionGroup)) as failed:
        way(call, 1)
    error = failed.value
    if isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert repr(error) == "BoomError(0)"
    assert all(thing.is_closed() for thing in made)


def test_a_callback_of_a_task_finds_its_values_closed() -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    gate = threading.Event()
    seen: list[bool] = []
    with TaskGroup() as group:

        def call() -> Thing:
            assert gate.wait(PATIENCE)
            return local.get()

        task = group.spawn(call)
        task.add_done_callback(lambda done: seen.append(done.result().is_closed()))
        gate.set()
    assert seen == [True]


@WAYS
def test_on_exit_runs_in_the_context_of_the_task(way: Way[str]) -> None:
    seen: list[tuple[str, object]] = []
    local = ThreadLocal(str, on_exit=lambda value: seen.append((WHO.get(), value)))

    def call(number: int) -> str:
        WHO.set(f"task {number}")
        return local.get()

    WHO.set("the caller")
    way(call, 2)
    assert seen == [("task 0", ""), ("task 1", "")]


def test_what_was_made_last_is_closed_first() -> None:
    closed: list[str] = []
    locals_ = [ThreadLocal(str, on_exit=closed.append) for _ in range(4)]
    kept = ThreadLocal(lambda: "of the thread", on_exit=closed.append, per="thread")

    def call() -> None:
        kept.get()
        for number, local in enumerate(locals_):
            local.set(f"{number}")
        locals_[1].set("1 again")

    spawn(call).join()
    assert closed == ["1", "1 again", "3", "2", "0", "of the thread"]


def test_what_belongs_to_the_thread_is_closed_after_the_outcome_and_before_the_end() -> None:
    outcome_is_there = threading.Event()
    seen: list[bool] = []

    def close(thing: Thing) -> None:
        seen.append(outcome_is_there.wait(PATIENCE))
        thing.close()

    local = ThreadLocal(Thing, on_exit=close, per="thread")
    thread = spawn(local.get)
    thing = thread.result()
    outcome_is_there.set()
    thread.join()
    assert thing.is_closed()
    assert seen == [True]


def test_what_a_callback_makes_does_not_reach_the_next_task_of_the_thread() -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    gate, made = threading.Event(), list[Thing]()
    with TaskGroup(max_workers=1) as group:
        first = group.spawn(gate.wait)
        second = group.spawn(local.get)
        first.add_done_callback(lambda _: made.append(local.get()))
        gate.set()
    assert made[0].is_closed()
    assert second.result() is not made[0]


def test_what_a_source_makes_does_not_reach_the_calls() -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    made: list[Thing] = []

    def source() -> Generator[int]:
        for number in range(5):
            made.append(local.get())
            assert all(thing.is_closed() for thing in made[:-1])
            yield number

    things = list(run_each(lambda _: local.get(), source(), max_workers=1))
    assert all(thing.is_closed() for thing in (*made, *things))
    assert len({*made, *things}) == 10


def test_a_call_that_was_given_up_closes_its_values_when_it_ends() -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    gate, made = threading.Event(), list[Thing]()

    def stubborn() -> None:
        made.append(local.get())
        assert gate.wait(PATIENCE)

    with pytest.raises(ExceptionGroup), TaskGroup(grace=0) as group:
        group.spawn(stubborn)
        until(lambda: made)
        group.cancel()
    assert not made[0].is_closed()
    gate.set()
    until(made[0].is_closed)


def test_a_context_that_another_thread_is_in_costs_no_value_its_end() -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    context, taken, ended = contextvars.copy_context(), threading.Event(), threading.Event()

    def take() -> None:
        taken.set()
        assert ended.wait(PATIENCE)

    other = threading.Thread(target=context.run, args=(take,))
    record: list[Any] = []

    class Slow(Thread[Thing]):
        def run(self) -> Thing:  # type: ignore[override]
            record.append(closing.mine())
            return local.get()

    thread = Slow(context=context)
    real = closing.Record.end_task

    def end_task(self: closing.Record, *run: Any) -> None:
        if self in record:
            other.start()  # now: the call has left its context
            assert taken.wait(PATIENCE)
        real(self, *run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closing.Record, "end_task", end_task)
        thread.start()
        assert thread.result(PATIENCE).is_closed()
    ended.set()
    other.join()
    thread.join()


# -------------------------------------------------------------------- a task that is to stop


def test_on_exit_may_wait_for_a_second_in_a_task_that_was_told_to_stop(
    reported: list[threading.ExceptHookArgs],
) -> None:
    ended: list[float] = []
    with FakeClock(autojump=True) as clock:

        def close(seconds: float) -> None:
            begin = clock.now
            try:
                sleep(seconds)
            finally:
                ended.append(clock.now - begin)

        short, long = (ThreadLocal[float](float, on_exit=close) for _ in range(2))

        def call() -> None:
            short.set(0.9)
            long.set(5.0)
            sleep(60)

        with move_on_after(10):
            thread = spawn(call)
            thread.join()
        with pytest.raises(CancelledError):
            thread.result()
        assert clock.now == pytest.approx(11.9)
    assert ended == pytest.approx([1.0, 0.9])
    (report,) = reported
    assert report.exc_type.__name__ == "Cancelled"


# -------------------------------------------------------------------- what is kept


@WAYS
def test_nothing_of_a_task_is_kept(way: Way[int]) -> None:
    local = ThreadLocal(Thing)
    gone: list[weakref.ref[Thing]] = []

    def call(number: int) -> int:
        assert all(reference() is None for reference in gone)
        gone.append(weakref.ref(local.get()))
        return number

    way(call, 3)
    assert [reference() for reference in gone] == [None, None, None]


def test_one_that_is_dropped_lets_go_of_its_values_in_all_threads() -> None:
    gate, there = threading.Event(), threading.Semaphore(0)
    holder = [ThreadLocal(Thing), ThreadLocal(Thing, per="thread")]
    gone: list[weakref.ref[Thing]] = []

    def hold() -> None:
        gone.extend(weakref.ref(local.get()) for local in holder)
        there.release()
        assert gate.wait(PATIENCE)

    threads = [spawn(hold) for _ in range(3)]
    for _ in threads:
        assert there.acquire(timeout=PATIENCE)
    assert None not in [reference() for reference in gone]
    holder.clear()
    gc.collect()
    left = [reference() for reference in gone]
    gate.set()
    for thread in threads:
        thread.join()
    assert left == [None] * 6


def test_a_value_goes_with_its_thread_local_while_its_thread_runs() -> None:
    locals_ = [ThreadLocal(Thing), ThreadLocal(Thing, per="thread")]
    gone = [weakref.ref(local.get()) for local in locals_]
    locals_.clear()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


@pytest.mark.parametrize("per", ["task", "thread"])
def test_what_has_an_on_exit_is_closed_though_its_thread_local_is_gone(per: Any) -> None:
    def call() -> Thing:
        local = ThreadLocal(Thing, on_exit=Thing.close, per=per)
        thing = local.get()
        del local
        gc.collect()
        assert not thing.is_closed()
        return thing

    thread = spawn(call)
    thread.join()
    assert thread.result().is_closed()


def test_a_value_that_leads_to_its_thread_local_does_not_keep_it() -> None:
    local: ThreadLocal[list[object]] = ThreadLocal(list)
    local.get().append(local)
    gone = weakref.ref(local)
    del local
    gc.collect()
    assert gone() is None


def test_threads_end_while_their_thread_local_is_dropped() -> None:
    """The value's finalizer and the thread's end meet, on any line of the interpreter's."""

    class Loud:
        ends: list[int] = []  # noqa: RUF012  shared on purpose

        def __del__(self) -> None:
            self.ends.append(1)

    rounds, count = 20, 4
    for _ in range(rounds):
        holder = [ThreadLocal(Loud, per="thread")]
        together = threading.Barrier(count + 1)

        def call(holder: Sequence[ThreadLocal[Loud]], together: threading.Barrier) -> None:
            holder[0].get()
            together.wait()

        arguments = (holder, together)
        threads = [threading.Thread(target=call, args=arguments) for _ in range(count)]
        for each in threads:
            each.start()
        together.wait()
        holder.clear()
        for each in threads:
            each.join()
    gc.collect()
    assert len(Loud.ends) == rounds * count


def test_many_threads_use_many_at_once() -> None:
    locals_ = [ThreadLocal(Thing, on_exit=Thing.close, per="task") for _ in range(5)]

    def call(number: int) -> list[Thing]:
        things = [local.get() for local in locals_]
        locals_[number % 5].delete()
        assert [local.get() is thing for local, thing in zip(locals_, things, strict=True)].count(
            False
        ) == 1
        return things

    made = [thing for things in run_each(call, range(400), max_workers=8) for thing in things]
    assert len({*made}) == 2000
    assert all(thing.is_closed() for thing in made)


def test_it_shows_what_it_is() -> None:
    assert repr(ThreadLocal(int, per="thread")) == (
        "<ThreadLocal(int, per='thread'): no value here>"
    )
    assert owned.LAST_WAIT == 1.0


# -------------------------------------------------------------------- threads of others


@pytest.mark.parametrize("per", ["task", "thread"])
def test_a_foreign_thread_closes_its_values_when_it_ends(per: Any) -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close, per=per)
    made: list[Thing] = []
    for _ in range(20):
        thread = threading.Thread(target=lambda: made.append(local.get()))
        thread.start()
        thread.join()
        assert made[-1].is_closed()
    assert len({*made}) == 20
    assert not closing._ending


def test_a_foreign_thread_is_itself_until_its_end() -> None:
    closed_by: list[threading.Thread] = []
    local = ThreadLocal(int, on_exit=lambda _: closed_by.append(threading.current_thread()))
    threads = [threading.Thread(target=local.get) for _ in range(10)]
    for thread in threads:
        thread.start()
        thread.join()
    assert closed_by == threads
    assert not {*threads} & {*threading.enumerate()}


def test_an_error_at_the_end_of_a_foreign_thread_names_that_thread(
    reported: list[threading.ExceptHookArgs],
) -> None:
    def fail(value: str) -> NoReturn:
        raise BoomError(value)

    local = ThreadLocal(lambda: "x", on_exit=fail)
    thread = threading.Thread(target=local.get, name="of somebody else")
    thread.start()
    thread.join()
    (report,) = reported
    assert report.thread is thread
    assert isinstance(report.exc_value, BoomError)


def test_what_on_exit_makes_at_the_end_of_a_foreign_thread_is_closed_too() -> None:
    made: list[Thing] = []

    def close(thing: Thing) -> None:
        thing.close()
        made.append(inner.get())
        assert made[-1] is inner.get()
        with outer.bind(Thing()):
            assert not outer.get().is_closed()

    inner = ThreadLocal(Thing, on_exit=Thing.close)
    outer = ThreadLocal(Thing, on_exit=close, per="thread")
    in_a_thread(lambda: made.append(outer.get()))
    assert len(made) == 2
    assert all(thing.is_closed() for thing in made)
    assert made[0].closed_by == made[1].closed_by
    assert not closing._ending


def test_what_is_made_again_and_again_at_the_end_of_a_foreign_thread_is_reported(
    reported: list[threading.ExceptHookArgs],
) -> None:
    closed: list[Thing] = []

    def close(thing: Thing) -> None:
        closed.append(thing)
        local.get()

    local = ThreadLocal(Thing, on_exit=close)
    in_a_thread(local.get)
    assert len({*closed}) == closing.ROUNDS
    assert "after 4 rounds" in str(reported[0].exc_value)
    assert not closing._ending
