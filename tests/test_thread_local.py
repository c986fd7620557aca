# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false
"""`ThreadLocal`: one value a thread or a task, and what closes it."""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from joinable import (
    TaskGroup,
    ThreadLocal,
    run_all,
    spawn,
)
from joinable import _closing as closing
from joinable import _workers as workers
from things import Thing
from waiting import PATIENCE, elsewhere, until
from ways import REUSING, WAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ways import Way

pytestmark = pytest.mark.usefixtures("nothing_to_close")
WHO = contextvars.ContextVar("WHO", default="nobody")


class BoomError(Exception):
    """What an `on_exit` of these tests raises."""


def in_a_thread(call: Callable[[], object]) -> None:
    """Have a thread of the standard library's call it, and wait for its end."""
    elsewhere(call)()


# -------------------------------------------------------------------- one value for each


def test_a_value_is_made_once_in_each_thread() -> None:
    made: list[int] = []

    def make() -> list[int]:
        made.append(threading.get_ident())
        return []

    local = ThreadLocal(make)
    seen: list[list[int]] = [local.get()]
    in_a_thread(lambda: seen.extend((local.get(), local.get())))
    assert seen[0] is local.get()
    assert seen[1] is seen[2] is not seen[0]
    assert len(made) == len({*made}) == 2


@WAYS
def test_a_task_sees_no_value_of_another_one(way: Way[list[int]]) -> None:
    local = ThreadLocal[list[int]](list)

    def call(number: int) -> list[int]:
        local.get().append(number)
        return local.get()

    local.get().append(-1)
    assert way(call, 4) == [[0], [1], [2], [3]]
    assert local.get() == [-1]


@REUSING
@pytest.mark.usefixtures("workers_of_its_own")
def test_a_thread_that_is_used_again_keeps_what_is_made_for_the_thread(way: Way[Thing]) -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close, per="thread")
    things = way(lambda _: local.get(), 4)
    assert len({*things}) == 1
    assert not things[0].is_closed()
    workers._send_home()
    assert things[0].is_closed()


@pytest.mark.usefixtures("workers_of_its_own")
def test_one_that_nobody_needs_closes_what_it_has_and_ends() -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close, per="thread")
    with TaskGroup() as group:
        task = group.spawn(local.get)
    (idle,) = workers.idle()
    worker = workers._pool.idle[0]
    worker.give(workers._NO_MORE)  # as when its time is up
    idle.join(PATIENCE)
    assert task.result().is_closed()
    assert not workers._pool.leaving


@pytest.mark.usefixtures("workers_of_its_own")
def test_one_that_is_not_used_again_closes_what_it_has() -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close, per="thread")
    made: list[Thing] = []

    def leave() -> NoReturn:
        made.append(local.get())
        raise SystemExit

    with pytest.raises(SystemExit):
        run_all([leave])
    until(made[0].is_closed)
    until(lambda: not workers._pool.leaving)


def test_what_is_set_or_deleted_concerns_its_own_thread() -> None:
    local = ThreadLocal(lambda: "new")
    local.set("mine")
    seen: list[str] = []

    def other() -> None:
        local.set("theirs")
        seen.append(local.get())
        local.delete()
        local.delete()
        seen.append(local.get())

    in_a_thread(other)
    assert seen == ["theirs", "new"]
    assert local.get() == "mine"


# -------------------------------------------------------------------- what goes wrong


@WAYS
def test_an_error_of_on_exit_is_reported_and_costs_nobody_anything(
    way: Way[int], reported: list[threading.ExceptHookArgs]
) -> None:
    def fail(value: str) -> NoReturn:
        raise BoomError(value)

    first = ThreadLocal(Thing, on_exit=Thing.close)
    bad = ThreadLocal(lambda: "bad", on_exit=fail)
    last = ThreadLocal(Thing, on_exit=Thing.close)
    threads: list[threading.Thread] = []

    def call(number: int) -> int:
        threads.append(threading.current_thread())
        things.extend((first.get(), last.get()))
        bad.get()
        return number

    things: list[Thing] = []
    assert way(call, 2) == [0, 1]
    assert all(thing.is_closed() for thing in things)
    assert [str(report.exc_value) for report in reported] == ["bad", "bad"]
    assert [report.thread for report in reported] == threads
    (note,) = reported[0].exc_value.__notes__  # type: ignore[union-attr]
    assert note.startswith("in on_exit=<function test_an_error")
    assert note.endswith("of a ThreadLocal")
    traceback = reported[0].exc_traceback
    assert traceback is not None
    assert traceback.tb_frame.f_code is fail.__code__


def test_what_on_exit_makes_is_closed_in_turn() -> None:
    closed: list[str] = []
    log = ThreadLocal(lambda: "log", on_exit=closed.append)

    def close(value: str) -> None:
        closed.append(f"{value} says goodbye to the {log.get()}")

    connection = ThreadLocal(lambda: "connection", on_exit=close)
    spawn(connection.get).join()
    assert closed == ["connection says goodbye to the log", "log"]


@pytest.mark.parametrize("per", ["task", "thread"])
def test_what_on_exit_makes_again_and_again_is_reported_in_the_end(
    per: Any, reported: list[threading.ExceptHookArgs]
) -> None:
    closed: list[Thing] = []

    def close(thing: Thing) -> None:
        closed.append(thing)
        assert local.get() is not thing

    local = ThreadLocal(Thing, on_exit=close, per=per)
    spawn(local.get).join()
    assert len({*closed}) == len(closed) == closing.ROUNDS
    (report,) = reported
    assert "after 4 rounds of closing" in str(report.exc_value)
    record: list[bool] = []
    spawn(lambda: record.append(bool(closing.mine().task or closing.mine().thread))).join()
    assert record == [False]


def test_a_factory_that_fails_is_asked_again_and_its_error_is_its_own() -> None:
    answers = iter([BoomError("not yet"), "value"])

    def make() -> str:
        answer = next(answers)
        if isinstance(answer, BoomError):
            raise answer
        return str(answer)

    local = ThreadLocal(make)
    with pytest.raises(BoomError) as failed:
        local.get()
    assert failed.value.__context__ is None
    assert local.get() == "value"


def test_a_factory_that_asks_for_its_own_value_is_told_so() -> None:
    def make() -> int:
        return local.get() + 1

    local: ThreadLocal[int] = ThreadLocal(make)
    with pytest.raises(RuntimeError, match=r"default_factory of <ThreadLocal\(.*, per=.* asks"):
        local.get()
    local.set(1)
    assert local.get() == 1


def test_a_factory_may_set_its_own_value() -> None:
    def make() -> Thing:
        local.set(early)
        return Thing("late")

    early = Thing("early")
    local: ThreadLocal[Thing] = ThreadLocal(make, on_exit=Thing.close)
    assert local.get().name == "late"
    assert early.is_closed()


BAD: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((None,), {}, TypeError, "default_factory must be callable, not None"),
    (([],), {}, TypeError, "default_factory must be callable, not list"),
    ((list,), {"on_exit": 3}, TypeError, "on_exit must be callable, not int"),
    ((list,), {"per": "process"}, ValueError, 'per must be "task" or "thread", not \'process\''),
    ((list,), {"per": None}, ValueError, 'per must be "task" or "thread", not None'),
    ((list,), {"per": []}, ValueError, 'per must be "task" or "thread", not \\[\\]'),
]


@pytest.mark.parametrize(("arguments", "options", "error", "message"), BAD)
def test_a_wrong_argument_is_named_at_the_call(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ThreadLocal(*arguments, **options)


# -------------------------------------------------------------------- set and delete


def test_set_closes_what_was_there_when_the_new_value_is_in_its_place() -> None:
    seen: list[tuple[str, str]] = []
    local = ThreadLocal(str, on_exit=lambda value: seen.append((value, local.get())))
    local.set("one")
    local.set("two")
    assert seen == [("one", "two")]
    local.set(local.get())
    assert seen == [("one", "two")]


def test_delete_closes_what_is_there_and_the_next_get_makes_one() -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    thing = local.get()
    local.delete()
    assert thing.is_closed()
    assert local.get() is not thing


def test_an_error_of_on_exit_reaches_who_sets_or_deletes() -> None:
    def fail(value: int) -> NoReturn:
        raise BoomError(value)

    local = ThreadLocal(int, on_exit=fail)
    local.set(1)
    with pytest.raises(BoomError, match="1"):
        local.set(2)
    assert local.get() == 2
    with pytest.raises(BoomError, match="2"):
        local.delete()
    local.delete()
