"""When what is in a `ThreadLocal` is closed that a call makes in an executor of somebody else's."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from joinable import ThreadLocal, run_all, run_each, spawn
from things import Thing

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("nothing_to_close")


@pytest.mark.parametrize("ordered", [True, False, None])
def test_what_a_call_makes_in_a_foreign_executor_is_closed_at_its_end(ordered: bool | None) -> None:
    local = ThreadLocal(Thing, on_exit=Thing.close)
    with ThreadPoolExecutor(1) as pool:
        if ordered is None:
            things = run_all([local.get] * 3, executor=pool)
        else:
            results = run_each(lambda _: local.get(), range(3), ordered=ordered, executor=pool)
            things = [thing for thing in results if thing.is_closed()]
        assert all(thing.is_closed() for thing in things)
    assert len({*things}) == 3


def test_a_call_that_an_executor_makes_on_the_spot_closes_nothing_of_its_caller() -> None:
    local, other = (ThreadLocal(Thing, on_exit=Thing.close) for _ in range(2))

    class OnTheSpot:
        def submit(self, fn: Callable[[], Any], /) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(fn())
            return future

    def call() -> tuple[Thing, Thing]:
        mine = local.get()
        (theirs,) = run_all([other.get], executor=OnTheSpot())
        assert theirs.is_closed()
        assert other.get() is not theirs
        assert not mine.is_closed()
        assert local.get() is mine
        return mine, other.get()

    assert [thing.is_closed() for thing in spawn(call).result()] == [True, True]
