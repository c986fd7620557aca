"""The files of a recording: that viewers can open them, whatever was recorded."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from joinable import TaskGroup, Thread, run_all, run_each, sleep, spawn
from joinable.trace import Timeline, record
from joinable.trace._axis import ticks
from joinable.trace._facts import say_seconds, shorten

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Event = dict[str, Any]

SVG = "{http://www.w3.org/2000/svg}"
ODD = "<&>\"' ]]> \N{GRINNING FACE} \x00\x1b\ud800 \N{CJK UNIFIED IDEOGRAPH-6F22}\n&amp;"
#: What an event needs beside "ph" and "name", by its phase: the trace event format.
NEEDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "M": {"pid": int, "tid": int, "args": dict},
    "X": {"pid": int, "tid": int, "ts": (int, float), "dur": (int, float), "cat": str},
    "s": {"pid": int, "tid": int, "ts": (int, float), "cat": str, "id": int},
    "f": {"pid": int, "tid": int, "ts": (int, float), "cat": str, "id": int, "bp": str},
    "i": {"pid": int, "tid": int, "ts": (int, float), "s": str},
}


def fail() -> None:
    raise ValueError("no <such> thing & more")


def everything() -> Timeline:
    """Record something of each kind, and leave one that runs."""
    gate, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait()

    timeline = record()
    with timeline:
        running = spawn(work)
        begun.wait()
        list(run_each(lambda _: sleep(0.001), range(20), max_workers=4))
        with suppress(ValueError):
            sleeping = threading.Event()

            def fail_later() -> None:
                sleeping.wait()
                fail()

            def sleep_long() -> None:
                sleeping.set()
                sleep(60)

            run_all([fail_later, sleep_long])
        with TaskGroup() as group:
            group.spawn(lambda: run_all([lambda: sleep(0.001)] * 2))
        with suppress(TimeoutError):
            running.result(timeout=0.001)
        Thread(target=int, name=ODD).cancel()
        odd = Thread(target=int, name=ODD)
        odd.start()
        odd.join()
    gate.set()
    running.join()
    return timeline


@pytest.fixture(scope="module")
def recorded() -> Timeline:
    return everything()


def events_of(timeline: Timeline, folder: Path) -> list[Event]:
    timeline.save(folder / "trace.json")
    whole = json.loads((folder / "trace.json").read_text("utf-8"))
    events: list[Event] = whole["traceEvents"]
    return events


def picture_of(timeline: Timeline, folder: Path) -> ET.Element:
    timeline.save(folder / "trace.svg")
    return ET.fromstring((folder / "trace.svg").read_text("utf-8"))  # noqa: S314  our own


def nanoseconds(microseconds: float) -> int:
    return round(microseconds * 1000)


# -------------------------------------------------------------------- JSON


def test_every_event_has_what_its_phase_needs(recorded: Timeline, tmp_path: Path) -> None:
    events = events_of(recorded, tmp_path)
    assert {event["ph"] for event in events} == set(NEEDS)
    for event in events:
        assert isinstance(event["name"], str)
        for field, kind in NEEDS[event["ph"]].items():
            assert isinstance(event[field], kind), event
        for field in ("ts", "dur"):
            assert math.isfinite(event.get(field, 0))
            assert event.get(field, 0) >= 0
        assert event["pid"] == os.getpid()


def test_each_thread_has_one_name_and_every_event_one_of_them(
    recorded: Timeline, tmp_path: Path
) -> None:
    events = events_of(recorded, tmp_path)
    named = [event["tid"] for event in events if event["name"] == "thread_name"]
    assert len(named) == len(set(named)) == len(recorded.summary().threads)
    used = {event["tid"] for event in events if event["name"] != "process_name"}
    assert used <= set(named)


def test_slices_of_a_thread_lie_in_each_other_or_beside_each_other(
    recorded: Timeline, tmp_path: Path
) -> None:
    around: dict[int, list[int]] = {}
    depths: Counter[int] = Counter()
    slices = [event for event in events_of(recorded, tmp_path) if event["ph"] == "X"]
    # As the format wants it: by time, and what comes first in the file is around what follows.
    for event in sorted(slices, key=lambda event: nanoseconds(event["ts"])):
        start = nanoseconds(event["ts"])
        end = start + nanoseconds(event["dur"])
        ends = around.setdefault(event["tid"], [])
        while ends and ends[-1] <= start:
            ends.pop()
        assert not ends or end <= ends[-1], event
        ends.append(end)
        depths[len(ends)] += 1
    assert depths[2] > 20  # waits in tasks


def test_each_arrow_has_two_ends_and_each_lies_in_a_slice(
    recorded: Timeline, tmp_path: Path
) -> None:
    events = events_of(recorded, tmp_path)
    slices = [event for event in events if event["ph"] == "X"]
    starts = {event["id"]: event for event in events if event["ph"] == "s"}
    ends = {event["id"]: event for event in events if event["ph"] == "f"}
    assert len(starts) == len(ends) == len(recorded.summary().tasks)
    for number, start in starts.items():
        end = ends[number]
        assert nanoseconds(start["ts"]) <= nanoseconds(end["ts"])
        assert (start["name"], start["cat"]) == (end["name"], end["cat"])
        for event in (start, end):
            assert any(
                each["tid"] == event["tid"]
                and nanoseconds(each["ts"]) <= nanoseconds(event["ts"])
                and nanoseconds(event["ts"]) <= nanoseconds(each["ts"]) + nanoseconds(each["dur"])
                for each in slices
            )


def test_a_slice_tells_what_became_of_the_task(recorded: Timeline, tmp_path: Path) -> None:
    slices = [event for event in events_of(recorded, tmp_path) if event.get("cat") == "task"]
    told = [(event["name"], event["args"]) for event in slices if event["ph"] == "X"]
    ((name, failed),) = [each for each in told if each[1]["outcome"] == "failed"]
    assert name == "run_all-0 (fail_later)"
    assert failed["error"] == "ValueError: no <such> thing & more"
    assert failed["spawned_at"].startswith(f"{__file__}:")
    assert {args["outcome"] for _, args in told} == {"ok", "failed", "cancelled", "running"}
    assert ODD in [name for name, _ in told]
    parents = [args["parent"] for _, args in told if "parent" in args]
    assert len(parents) == 2
    assert len({*parents}) == 1
    (never,) = [event for event in slices if event["ph"] == "i"]
    assert never["name"] == f"cancelled before its start: {ODD}"


# -------------------------------------------------------------------- SVG


def test_a_picture_is_xml_with_a_row_for_each_thread(recorded: Timeline, tmp_path: Path) -> None:
    picture = picture_of(recorded, tmp_path)
    texts = [text.text or "" for text in picture.iter(f"{SVG}text")]
    rows = [rect for rect in picture.iter(f"{SVG}rect") if rect.get("class") == "track"]
    seen = [thread for thread in recorded.summary().threads if thread.tasks or thread.waiting]
    assert len(rows) == len(seen) + 1  # and one in the legend
    assert threading.current_thread().name in texts
    titles = [title.text or "" for title in picture.iter(f"{SVG}title")]
    failed = next(title for title in titles if "\nfailed: " in title)
    assert "failed: ValueError: no <such> thing & more" in failed
    assert "spawned at tests/test_trace_files.py:" in failed
    assert any("has not ended" in title for title in titles)
    odd = "<&>\"' ]]> \N{GRINNING FACE} \N{REPLACEMENT CHARACTER}"
    assert any(title.startswith(odd) for title in titles)


def test_colours_say_what_became_of_tasks(recorded: Timeline, tmp_path: Path) -> None:
    picture = picture_of(recorded, tmp_path)
    kinds = Counter(rect.get("class") for rect in picture.iter(f"{SVG}rect"))
    assert kinds["bad b"] == 1
    assert kinds["off b"] == 1
    assert kinds["ok open b"] == 1
    assert kinds["wait"] > 5
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"running", "waiting", "failed (1)", "cancelled (1)", "idle", "not ended"} <= {*words}


@pytest.mark.parametrize("rows", [1, 8, 60, 200])
def test_all_that_is_drawn_lies_in_the_picture(rows: int, tmp_path: Path) -> None:
    together = threading.Barrier(rows)
    with record() as timeline:
        run_all([lambda: together.wait(60)] * rows)
    picture = picture_of(timeline, tmp_path)
    _, _, width, height = map(float, str(picture.get("viewBox")).split())
    assert float(str(picture.get("height"))) == height
    drawn = [*picture.iter(f"{SVG}rect")]
    bars = [rect for rect in drawn if rect.get("class") == "ok b"]
    assert len({rect.get("y") for rect in bars}) == rows
    for rect in drawn:
        x, y = float(rect.get("x", 0)), float(rect.get("y", 0))
        assert min(x, y) >= 0
        assert x + float(str(rect.get("width"))) <= width + 0.2
        assert y + float(str(rect.get("height"))) <= height
    sizes = [float(text.get("font-size", 11)) for text in picture.iter(f"{SVG}text")]
    assert min(sizes) >= 6  # it can be read


def test_its_size_has_a_bound_however_much_was_recorded(tmp_path: Path) -> None:
    with record() as timeline:
        list(run_each(abs, range(8000), max_workers=2, buffersize=None))
    picture = picture_of(timeline, tmp_path)
    assert len([*picture.iter(f"{SVG}g")]) < 4500  # two for each pixel of two rows
    titles = [title.text or "" for title in picture.iter(f"{SVG}title")]
    many = [int(title.partition(" ")[0]) for title in titles if " tasks, " in title]
    single = [title for title in titles if title.startswith("run_each")]
    assert sum(many) + len(single) == 8000


@pytest.mark.parametrize(
    ("seconds", "first", "last"),
    [
        (0, "0", "0"),
        (3e-6, "0.5 µs", "3.0 µs"),
        (0.00042, "50 µs", "400 µs"),
        (0.0999, "10 ms", "90 ms"),
        (1.1, "0.1 s", "1.1 s"),
        (47, "5 s", "45 s"),
        (200, "0:30 min", "3:00 min"),
        (8000, "0:15 h", "2:00 h"),
        (10_000_000, "240:00 h", "2640:00 h"),
    ],
)
def test_the_axis_has_round_marks_and_few(seconds: float, first: str, last: str) -> None:
    marks = [*ticks(seconds)]
    labels = [label for _, label in marks]
    assert (labels[min(1, len(labels) - 1)], labels[-1]) == (first, last)
    assert len(set(labels)) == len(labels) <= 13
    assert all(0 <= time <= seconds * (1 + 1e-9) for time, _ in marks)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (5e-9, "5 ns"),
        (1.234e-5, "12.3 µs"),
        (0.1234, "123 ms"),
        (1, "1 s"),
        (90, "90 s"),
        (150, "2.5 min"),
    ],
)
def test_times_are_said_in_a_unit_that_suits_them(seconds: float, told: str) -> None:
    assert say_seconds(seconds) == told


def test_what_is_too_long_is_cut() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"


# -------------------------------------------------------------------- saving


def test_the_name_decides_about_the_format(recorded: Timeline, tmp_path: Path) -> None:
    recorded.save(str(tmp_path / "A.SVG"))
    assert (tmp_path / "A.SVG").read_text("utf-8").startswith("<svg ")
    for name in ("trace", "trace.png", "trace.json.gz"):
        with pytest.raises(ValueError, match=r"path must end with \.json or \.svg, not '(\.\w+)?'"):
            recorded.save(tmp_path / name)
    with pytest.raises(TypeError, match="path must be a text or a path, not 7"):
        recorded.save(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert [file.name for file in tmp_path.iterdir()] == ["A.SVG"]


def test_a_save_that_fails_leaves_what_was_there_and_nothing_else(
    recorded: Timeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "trace.svg"
    file.write_text("before")

    def no_space(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="no space"):
        recorded.save(file)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(file.name, "before")]
    with pytest.raises(FileNotFoundError):
        recorded.save(tmp_path / "nowhere" / "trace.svg")


@pytest.mark.skipif(sys.platform == "win32", reason="there, links are for administrators")
def test_a_link_stays_one_and_the_mode_is_that_of_any_new_file(
    recorded: Timeline, tmp_path: Path
) -> None:
    (tmp_path / "real.svg").write_text("before")
    (tmp_path / "link.svg").symlink_to("real.svg")
    recorded.save(tmp_path / "link.svg")
    assert (tmp_path / "link.svg").is_symlink()
    assert (tmp_path / "real.svg").read_text("utf-8").startswith("<svg")
    (tmp_path / "plain").touch()
    assert (tmp_path / "real.svg").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_it_can_be_saved_meanwhile(tmp_path: Path) -> None:
    def look() -> None:
        for number in range(10):
            timeline.save(tmp_path / f"{number % 2}.json")
            timeline.save(tmp_path / f"{number % 2}.svg")

    calls: list[Callable[[], object]] = [look, look, *[lambda: sleep(0.001)] * 200]
    with record() as timeline:
        run_all(calls, max_workers=6)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "0.json",
        "0.svg",
        "1.json",
        "1.svg",
    ]
    for file in tmp_path.glob("*.svg"):
        ET.fromstring(file.read_text("utf-8"))  # noqa: S314  our own
    for file in tmp_path.glob("*.json"):
        assert json.loads(file.read_text("utf-8"))["traceEvents"]
    assert "look" in str(timeline.summary())


def test_the_table_tells_the_counts_the_longest_and_the_failures(recorded: Timeline) -> None:
    summary = recorded.summary()
    lines = str(summary).splitlines()
    assert lines[0] == (
        f"tasks    {len(summary.tasks)} ({summary.count('ok')} ok, 1 failed, 1 cancelled, "
        "1 still running, 1 never begun)"
    )
    assert [line.partition(" ")[0] for line in lines[1:5]] == [
        "threads",
        "wall",
        "running",
        "waiting",
    ]
    assert any(line.startswith("longest") for line in lines)
    assert lines[-1].startswith("run_all-0 (fail_later)")
    assert lines[-1].endswith("ValueError: no <such> thing & more")
    assert [*summary.longest] == sorted(summary.tasks, key=lambda task: -task.seconds)
    assert summary.running >= 0
