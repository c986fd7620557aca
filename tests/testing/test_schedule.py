"""Schedules as strings, and the search for the shortest."""

from __future__ import annotations

import pytest

from joinable.testing._schedule import decode, encode, fewer, shrink

Switches = tuple[tuple[int, int, int], ...]


@pytest.mark.parametrize("switches", [(), ((1, 12, 2),), ((0, 1, 1), (10, 200, 0))])
def test_a_schedule_survives_its_string(switches: Switches) -> None:
    assert decode(encode(switches)) == switches


@pytest.mark.parametrize("text", ["", "1@2", "1@2>3,", "a@b>c", "1@2>3 ,4@5>6", "-,1@2>3"])
def test_another_string_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="paste the string from the ScheduleError unchanged"):
        decode(text)


def test_shrinking_keeps_what_the_failure_needs_and_nothing_else() -> None:
    full = tuple((0, step, 1) for step in range(40))
    needed = {(0, 3, 1), (0, 17, 1), (0, 31, 1)}

    def attempt(switches: Switches) -> Switches | None:
        return switches if needed <= set(switches) else None

    assert set(shrink(full, attempt)) == needed


def test_shrinking_drops_switches_that_did_not_take_place() -> None:
    full = tuple((0, step, 1) for step in range(10))
    runs: list[int] = []

    def attempt(switches: Switches) -> Switches | None:
        runs.append(1)
        kept = tuple(switch for switch in switches if switch[1] == 4)
        return kept or None

    assert shrink(full, attempt) == ((0, 4, 1),)
    assert len(runs) < 10


def test_a_failure_that_needs_no_switch_shrinks_to_none() -> None:
    assert shrink(((0, 1, 1), (0, 2, 1)), lambda switches: switches) == ()


def test_fewer_finds_a_shorter_schedule_that_is_no_part_of_the_long_one() -> None:
    long: Switches = ((0, 1, 1), (1, 1, 2), (2, 1, 0))
    short = (5, 5, 5)

    def branch(prefix: Switches) -> tuple[bool, list[tuple[int, int, int]]]:
        return prefix == (short,), [] if prefix else [(0, 1, 1), (9, 9, 9), short]

    assert fewer(long, branch) == (short,)


def test_fewer_gives_the_schedule_back_when_there_is_no_shorter() -> None:
    long: Switches = ((0, 1, 1), (1, 1, 2))
    assert fewer(long, lambda prefix: (False, [] if prefix else [(0, 1, 1), (3, 3, 3)])) == long
