"""The outputs that the pages show are what the programs print: each command is run and compared.

After a change, `python tests/shared/outputs.py` writes them anew; what is compared, and what is
another one each time, is told there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import outputs

PAGES = [*outputs.ROOT.glob("*.md"), *(outputs.ROOT / "docs").rglob("*.md")]
FILES = sorted(outputs.OUTPUTS.glob("*.txt"))
PROGRAMS = sorted(path.name for path in outputs.EXAMPLES.glob("*.py"))
INCLUDE = re.compile(r"^ *```\{literalinclude\} +(\S+)$", re.MULTILINE)

# Programs without an output to show, and why.
LEFT_OUT = {
    "fixtures.py": "fixtures and tests, which pytest runs",
    "timeline.py": "a picture, which the home page shows",
    "window.py": "a window, which its page shows as a picture",
}


def included() -> set[Path]:
    """Return all files that the pages include."""
    return {
        (page.parent / name).resolve()
        for page in PAGES
        for name in INCLUDE.findall(page.read_text(encoding="utf-8"))
    }


# -------------------------------------------------------------------- they are true


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_output_is_what_the_command_prints(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    printed = outputs.output_of(outputs.command_in(text))
    if printed is None:
        pytest.skip("this interpreter has no option to act as the one of the command")
    shown = text.partition("\n")[2]
    assert outputs.comparable(path.name, printed) == outputs.comparable(path.name, shown)


def test_every_program_has_an_output_or_a_reason_to_have_none() -> None:
    shown = {outputs.program_in(outputs.command_in(path.read_text("utf-8"))) for path in FILES}
    assert shown
    assert sorted(shown | set(LEFT_OUT)) == PROGRAMS
    assert not shown & set(LEFT_OUT)


def test_every_output_is_in_a_page() -> None:
    assert sorted(path.name for path in set(FILES) - included()) == []


def test_no_output_tells_of_the_machine_it_was_made_on() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert str(outputs.ROOT) not in text
        assert str(Path.home()) not in text


# -------------------------------------------------------------------- what is compared


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("all seen, in 0.61 s", "all seen, in 12.3 s"),
        ("shop    up      1 ms", "shop    up  10401 ms"),
        ("399 pages (657 pages per second)", "399 pages (81 pages per second)"),
        ("copied at 1.2 MB/s", "copied at 310 MB/s"),
        ("at http://127.0.0.1:33447/a", "at http://127.0.0.1:8080/a"),
        ("process 15883 serves", "process 7 serves"),
        ("to /tmp/tmpab12cd_8/x", "to /tmp/tmp00000000/x"),
        ("<Task at 0x7f00aa>", "<Task at 0x1>"),
        ("in run_all-1", "in run_all-12"),
    ],
)
def test_what_differs_each_time_is_not_compared(one: str, other: str) -> None:
    assert one != other
    assert outputs.comparable("x.txt", one) == outputs.comparable("x.txt", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("all seen, in 0.61 s", "all lost, in 0.61 s"),
        ("399 pages (657 pages per second)", "398 pages (657 pages per second)"),
        ("took 5 s", "took 5 ms"),
        ("5 services", "6 services"),
        ("at http://127.0.0.1:80/a", "at http://127.0.0.1:80/b"),
        ("at http://127.0.0.1:80/", "at http://127.0.0.2:80/"),
        ("a\nb", "b\na"),
        ("a\nb", "a"),
        ("a", "a\na"),
        ("a", ""),
        ("v1.2s", "v1.3s"),
        ("temporary", "temporal"),
        ("r1 asked", "r2 asked"),
    ],
)
def test_all_else_is_compared(one: str, other: str) -> None:
    assert outputs.comparable("x.txt", one) != outputs.comparable("x.txt", other)


def test_only_where_it_is_said_may_the_lines_come_in_any_order() -> None:
    for name in outputs.UNORDERED:
        assert outputs.comparable(name, "a\nb") == outputs.comparable(name, "b\na")
        assert outputs.comparable(name, "a\nb") != outputs.comparable(name, "b\nb")


def test_what_was_overwritten_is_not_shown() -> None:
    assert outputs.as_shown("10 %\r100 %\rend\nnext \n\n", "/nowhere") == "end %\nnext\n"


def test_paths_are_shown_as_the_user_sees_them() -> None:
    assert outputs.as_shown("in /a/b/docs/x.py, line 3\n", "/a/b") == "in docs/x.py, line 3\n"


# -------------------------------------------------------------------- how they are made


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of examples, in which one program has an output."""
    folder = tmp_path / "docs" / "examples"
    (folder / "output").mkdir(parents=True)
    monkeypatch.setattr(outputs, "ROOT", tmp_path)
    monkeypatch.setattr(outputs, "EXAMPLES", folder)
    monkeypatch.setattr(outputs, "OUTPUTS", folder / "output")
    (folder / "hello.py").write_text(
        "import os, sys, pathlib\n"
        "print('zero', end='\\rone \\n')\n"
        "print('two', file=sys.stderr)\n"
        "print('three', *sys.argv[1:])\n"
        "pathlib.Path('left.txt').touch()\n"
        "sys.exit(len(sys.argv) > 2)\n"
    )
    return folder


def test_an_output_is_written_anew(examples: Path, tmp_path: Path) -> None:
    path = examples / "output" / "hello.txt"
    path.write_text("$ python docs/examples/hello.py 'to all'\nold\n")
    outputs.main("hello.txt")
    lines = path.read_text().splitlines()
    assert lines == ["$ python docs/examples/hello.py 'to all'", "one", "two", "three to all"]
    assert not (tmp_path / "left.txt").exists()  # it was run in a folder of its own


def test_a_command_that_fails_has_no_output(examples: Path) -> None:
    path = examples / "output" / "hello.txt"
    path.write_text("$ python docs/examples/hello.py a b\nold\n")
    with pytest.raises(RuntimeError, match=r"hello\.py a b ended with 1:\none\ntwo\nthree a b\n"):
        outputs.main()
    assert path.read_text().endswith("\nold\n")


@pytest.mark.parametrize("command", ["ls", "python3 hello.py"])
def test_only_python_is_run(command: str) -> None:
    with pytest.raises(ValueError, match="a command begins with python"):
        outputs.output_of(command)


def test_a_file_without_a_command_is_refused() -> None:
    with pytest.raises(ValueError, match="the first line has to be"):
        outputs.command_in("hello\n$ python x.py\n")
