"""Which code is watched, and which of its instructions are points."""

from __future__ import annotations

import functools
import queue
import threading
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from joinable.testing import ScheduleError, explore
from joinable.testing._points import codes_of

if TYPE_CHECKING:
    from collections.abc import Callable


def twice(fn: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(fn)
    def wrapper(*args: Any) -> int:
        return fn(*args) + fn(*args)

    return wrapper


class Watched:
    """One member of each kind."""

    def method(self) -> list[int]:
        return sorted([2, 1], key=lambda value: value + 1)

    @staticmethod
    def static() -> int:
        return 1

    @classmethod
    def of_class(cls) -> int:
        return 1

    @property
    def readable(self) -> int:
        return 1

    @readable.setter
    def readable(self, value: int) -> None:
        self.value = value

    @functools.cached_property
    def cached(self) -> int:
        return 1

    @twice
    def decorated(self) -> int:
        return 1

    class Inner:
        def inner_method(self) -> int:
            return 1


Watched.itself = Watched  # type: ignore[attr-defined]


def names(codes: list[CodeType]) -> set[str]:
    return {code.co_name for code in codes}


def test_every_kind_of_member_of_a_class_is_watched() -> None:
    assert names(codes_of([Watched])) >= {
        "method",
        "<lambda>",
        "static",
        "of_class",
        "readable",
        "cached",
        "decorated",
        "inner_method",
    }
    assert sum(code.co_name == "readable" for code in codes_of([Watched])) == 2


def test_a_module_is_watched_without_what_it_imports() -> None:
    module = ModuleType("some_module")
    exec(  # noqa: S102
        "import logging\nfrom queue import Queue\n"
        "def mine(): pass\nclass Mine:\n    def method(self): pass\n",
        vars(module),
    )
    assert names(codes_of([module])) == {"mine", "method"}
    assert "put" in names(codes_of([queue]))


def test_a_bound_method_is_watched() -> None:
    assert names(codes_of([Watched().method])) >= {"method"}


@pytest.mark.parametrize("item", [len, 3, list], ids=repr)
def test_what_has_no_python_code_is_refused(item: object) -> None:
    with pytest.raises(TypeError, match="watch= takes modules, classes and functions"):
        codes_of([item])


def lost_update() -> None:
    box = [0]

    def add() -> None:
        box[0] += 1

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert box == [2]


def test_a_race_inside_one_line_needs_that_line_watched() -> None:
    assert explore(lost_update, strategy="dfs", runs=10_000).exhausted
    with pytest.raises(ScheduleError):
        explore(lost_update, watch=[lost_update], strategy="dfs")


def test_two_explorations_of_the_same_code_find_the_same() -> None:
    errors: list[str] = []
    for _ in range(2):
        with pytest.raises(ScheduleError) as caught:
            explore(lost_update, watch=[lost_update])
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


def test_code_that_is_no_longer_watched_has_no_points() -> None:
    with pytest.raises(ScheduleError):
        explore(lost_update, watch=[lost_update])
    unwatched = explore(lost_update, runs=1)
    assert unwatched.longest < 20
