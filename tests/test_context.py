# A scope may swallow what ends its block, so what is bound there may not be; in these tests it is.
# pyright: reportPossiblyUnboundVariable=false
"""`bind` and `carry`: a value for a block, and a context for calls that others make."""

from __future__ import annotations

import contextvars
import functools
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from joinable import (
    Cancelled,
    CancelScope,
    TaskGroup,
    ThreadLocal,
    bind,
    carry,
    current_scope,
    run_all,
    sleep,
    spawn,
)
from joinable import _bind as binding
from joinable._owned import Bound
from waiting import LONG, PATIENCE, elsewhere, waiting_in

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

pytestmark = pytest.mark.usefixtures("nothing_to_close")
WHO = ContextVar("WHO", default="nobody")
WHERE: ContextVar[str] = ContextVar("WHERE")

KINDS = pytest.mark.parametrize("per", ["task", "thread"])


class BoomError(Exception):
    """What the blocks of these tests raise."""


@pytest.fixture(autouse=True)
def _nothing_is_left_here() -> Generator[None]:
    yield
    assert WHO.get() == "nobody"
    assert WHERE not in contextvars.copy_context()


def has_value(local: ThreadLocal[Any]) -> bool:
    return "value" in local._here()


# -------------------------------------------------------------------- bind


def test_a_variable_has_the_value_in_the_block_only() -> None:
    with bind(WHO, "ann"):
        assert WHO.get() == "ann"
        with bind(WHO, "bob"):
            assert WHO.get() == "bob"
        assert WHO.get() == "ann"
    assert WHO.get() == "nobody"


def test_a_variable_without_a_value_has_none_behind_the_block() -> None:
    with bind(WHERE, "here"):
        WHERE.set("there")
    assert WHERE not in contextvars.copy_context()


@KINDS
def test_a_thread_local_has_the_value_in_the_block_only(per: Any) -> None:
    local = ThreadLocal(lambda: "made", per=per)
    with local.bind("ann"):
        assert local.get() == "ann"
    assert not has_value(local)
    assert local.get() == "made"
    with bind(local, "bob"), local.bind("cid"):
        assert local.get() == "cid"
    assert local.get() == "made"
    assert not any(isinstance(entry, Bound) for entry in local._entries())


def test_the_earlier_value_is_back_after_an_error() -> None:
    local = ThreadLocal(lambda: "made")

    def fail() -> NoReturn:
        with bind(WHO, "ann", local, "mine"):
            WHO.set("bob")
            local.set("yours")
            raise BoomError

    with pytest.raises(BoomError):
        fail()
    assert WHO.get() == "nobody"
    assert not has_value(local)


def test_several_are_bound_at_once() -> None:
    numbers = [ThreadLocal(int) for _ in range(2)]
    with bind(WHO, "ann", numbers[0], 1, WHERE, "here", numbers[1], 2):
        assert (WHO.get(), WHERE.get(), *(number.get() for number in numbers)) == (
            "ann",
            "here",
            1,
            2,
        )
    assert not any(map(has_value, numbers))


def test_one_variable_may_be_named_twice_and_the_last_value_counts() -> None:
    local = ThreadLocal(str)
    with bind(WHO, "ann", WHO, "bob", local, "one", local, "two"):
        assert (WHO.get(), local.get()) == ("bob", "two")
    assert WHO.get() == "nobody"
    assert not has_value(local)


def test_all_are_bound_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    local = ThreadLocal(str)

    def interrupted(_: binding.Variable) -> NoReturn:
        raise KeyboardInterrupt

    block = bind(local, "mine", WHO, "ann")
    with monkeypatch.context() as patch:
        patch.setattr(binding.Variable, "enter", interrupted)
        with pytest.raises(KeyboardInterrupt):
            block.__enter__()
    assert not has_value(local)
    with block:
        assert (WHO.get(), local.get()) == ("ann", "mine")
    assert not local._entries()


def test_leaving_that_is_interrupted_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    local = ThreadLocal(str)
    real, answers = binding.Variable.leave, [KeyboardInterrupt()]

    def leave(self: binding.Variable) -> None:
        real(self)
        if answers:
            raise answers.pop()

    monkeypatch.setattr(binding.Variable, "leave", leave)
    with pytest.raises(KeyboardInterrupt), bind(local, "mine", WHO, "ann"):
        pass
    assert WHO.get() == "nobody"
    assert not has_value(local)


def test_a_bound_value_is_not_closed_and_what_is_set_in_the_block_is() -> None:
    closed: list[str] = []
    local = ThreadLocal(lambda: "made", on_exit=closed.append)

    def call() -> None:
        local.set("outer")
        with local.bind("bound"):
            assert closed == []
        with local.bind("bound"):
            local.set("inner")
            local.set("inner again")
            assert closed == ["inner"]
        assert closed == ["inner", "inner again"]
        with local.bind("bound"):
            local.delete()
            assert local.get() == "made"
        assert local.get() == "outer"

    spawn(call).join()
    assert closed == ["inner", "inner again", "made", "outer"]


def test_an_error_of_on_exit_leaves_the_block_and_the_earlier_value_is_back() -> None:
    def fail(value: str) -> NoReturn:
        raise BoomError(value)

    local = ThreadLocal(lambda: "made", on_exit=fail)
    with pytest.raises(BoomError, match="inner"), local.bind("bound"):
        local.set("inner")
    assert not has_value(local)
    assert not local._entries()


def test_tasks_inherit_a_variable_and_no_thread_local() -> None:
    local = ThreadLocal(lambda: "made")
    with bind(WHO, "ann", local, "mine"):
        seen = run_all([lambda: (WHO.get(), local.get())] * 2)
    assert seen == [("ann", "made")] * 2


def test_a_task_that_forgets_to_leave_leaves_nothing_to_the_next() -> None:
    closed: list[str] = []
    local = ThreadLocal(lambda: "made", on_exit=closed.append)

    def forgetful(name: str) -> str:
        before = local.get()
        local.bind("bound").__enter__()
        local.set(name)
        return before

    with TaskGroup(max_workers=1) as group:
        tasks = [group.spawn(forgetful, name) for name in ("a", "b")]
    assert [task.result() for task in tasks] == ["made", "made"]
    assert closed == ["a", "made", "b", "made"]


# -------------------------------------------------------------------- bind, wrongly used

BAD: list[tuple[tuple[Any, ...], str]] = [
    ((), "a value for each variable, not 0 arguments"),
    ((WHO,), "a value for each variable, not 1 arguments"),
    ((WHO, 1, WHERE), "a value for each variable, not 3 arguments"),
    (("WHO", 1), "bind wants a ContextVar or a ThreadLocal, not 'WHO'"),
    ((threading.local(), 1), "bind wants a ContextVar or a ThreadLocal, not <_thread._local"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_a_wrong_argument_is_named_at_the_call(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        bind(*arguments)


def blocks() -> list[tuple[str, Callable[[], Any]]]:
    local = ThreadLocal(str)
    return [("variable", lambda: bind(WHO, "ann")), ("local", lambda: local.bind("ann"))]


BLOCKS = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in blocks()])


@BLOCKS
def test_one_block_at_a_time_and_then_another(make: Callable[[], Any]) -> None:
    block = make()
    with block:
        with pytest.raises(RuntimeError, match="in force already: make one for each block"):
            block.__enter__()
        with pytest.raises(RuntimeError, match="in force already"):
            spawn(block.__enter__).result()
    with block:
        pass


@BLOCKS
def test_a_block_is_left_once(make: Callable[[], Any]) -> None:
    block = make()
    with pytest.raises(RuntimeError, match="it was never entered, or left before"):
        block.__exit__(None, None, None)
    with block:
        pass
    with pytest.raises(RuntimeError, match="it was never entered, or left before"):
        block.__exit__(None, None, None)


@BLOCKS
def test_another_thread_cannot_leave_a_block(make: Callable[[], Any]) -> None:
    block = make()
    with block, pytest.raises(RuntimeError, match="another thread has entered this one"):
        spawn(block.__exit__, None, None, None).result()


@BLOCKS
def test_another_task_of_the_same_thread_cannot_leave_a_block(make: Callable[[], Any]) -> None:
    block = make()
    with pytest.raises(RuntimeError, match="must be left in the task and the thread in which"):
        run_all([block.__enter__, lambda: block.__exit__(None, None, None)], max_workers=1)


def test_a_thread_local_is_left_from_the_inside_out() -> None:
    closed: list[str] = []
    local = ThreadLocal(lambda: "made", on_exit=closed.append)
    local.set("first")
    outer, inner = local.bind("outer"), local.bind("inner")
    outer.__enter__()
    local.set("in outer")
    inner.__enter__()
    local.set("in inner")
    with pytest.raises(RuntimeError, match="left before another one that was entered in it"):
        outer.__exit__(None, None, None)
    assert local.get() == "first"
    assert closed == ["in inner", "in outer"]
    with pytest.raises(RuntimeError, match="must be left in the task and the thread in which"):
        inner.__exit__(None, None, None)
    assert local.get() == "first"
    local.delete()


def test_threads_that_enter_one_block_at_once_get_it_one_at_a_time() -> None:
    block, entered = bind(WHO, "ann"), list[int]()
    together = threading.Barrier(4)

    def call(number: int) -> None:
        together.wait()
        for _ in range(300):
            try:
                block.__enter__()
            except RuntimeError:
                continue
            entered.append(number)
            assert entered[-1] == number  # a second one would have added itself
            assert WHO.get() == "ann"
            entered.pop()
            block.__exit__(None, None, None)

    run_all([functools.partial(call, number) for number in range(4)])
    assert entered == []


# -------------------------------------------------------------------- carry


def greet(text: str) -> str:
    return f"{text} {WHO.get()}"


def test_a_carried_function_has_the_context_of_where_it_was_made() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(WHO.set, "the pool").result()
        with bind(WHO, "ann"):
            call = carry(greet)
        assert pool.submit(call, "hello").result() == "hello ann"
        assert call(text="bye") == "bye ann"
        assert pool.submit(contextvars.copy_context).result() is not None
    assert WHO.get() == "nobody"


def test_every_call_has_a_copy_of_its_own() -> None:
    def call() -> str:
        before = WHO.get()
        WHO.set("changed")
        return before

    with bind(WHO, "ann"):
        carried = carry(call)
    assert [carried() for _ in range(3)] == ["ann"] * 3


def test_many_threads_may_call_at_the_same_time() -> None:
    together = threading.Barrier(4)

    def call(number: int) -> tuple[str, int]:
        together.wait(PATIENCE)
        WHO.set(f"{WHO.get()} {number}")
        together.wait(PATIENCE)
        return WHO.get(), number

    with bind(WHO, "ann"):
        carried = carry(call)
    with ThreadPoolExecutor(4) as pool:
        seen = [*pool.map(carried, range(40))]
    assert seen == [(f"ann {number}", number) for number in range(40)]


def test_a_call_may_call_the_same_function_again() -> None:
    def count(left: int) -> list[str]:
        return [WHO.get(), *(carried(left - 1) if left else ())]

    with bind(WHO, "ann"):
        carried: Callable[[int], list[str]] = carry(count)
    assert carried(3) == ["ann"] * 4


def test_the_scope_goes_with_it() -> None:
    scopes: list[object] = []

    def wait() -> str:
        scopes.append(current_scope())
        try:
            sleep(LONG)
        except Cancelled:
            return "told to stop"
        return "slept"

    with ThreadPoolExecutor(1) as pool:
        with CancelScope() as scope:
            future = pool.submit(carry(wait))
            waiting_in(scope)
            scope.cancel()
        assert future.result(PATIENCE) == "told to stop"
    assert scopes == [scope]
    assert carry(current_scope)() is None


def test_the_value_of_a_thread_local_is_not_carried() -> None:
    local = ThreadLocal(lambda: "made")
    seen: list[str] = []
    with local.bind("mine"):
        call = carry(lambda: seen.append(local.get()))
        call()
        elsewhere(call)()
    assert seen == ["mine", "made"]


def test_a_carried_function_looks_like_the_function() -> None:
    def call(text: str) -> str:
        """Say it."""
        return text

    carried = carry(call)
    assert carried.__name__ == "call"
    assert carried.__doc__ == "Say it."
    assert carry(functools.partial(call, "x"))() == "x"


def test_it_keeps_the_function_and_the_context_no_longer_than_it_lives() -> None:
    class Value(str):
        __slots__ = ("__weakref__",)

    value = Value("ann")
    gone = weakref.ref(value)
    with bind(WHO, value):
        carried = carry(len)
    del value
    gc.collect()
    assert gone() == "ann"
    assert carried("four") == 4
    del carried
    gc.collect()
    assert gone() is None


def test_what_cannot_be_called_cannot_be_carried() -> None:
    async def coroutine() -> None:
        pass

    with pytest.raises(TypeError, match="fn must be callable, not int"):
        carry(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fn is the coroutine function"):
        carry(coroutine)
