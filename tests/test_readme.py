"""The README keeps its word: its code runs, its names, sessions and links exist."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

import joinable

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadAll = Callable[[list[str]], list[int]]

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language ("" for those without)."""
    return [match["code"] for match in FENCE.finditer(README) if match["language"] == language]


def execute(code: str) -> dict[str, object]:
    """Run ``code`` in a fresh namespace, and return that."""
    namespace: dict[str, object] = {"__name__": "readme"}
    # S102: to run what the README shows is the test.
    exec(compile(code, "README.md", "exec"), namespace)  # noqa: S102
    return namespace


def side_by_side() -> list[ReadAll]:
    """Return the function that both sides of the comparison define."""
    found = [execute(code) for code in blocks("python") if "def read_all(" in code]
    return [cast("ReadAll", namespace["read_all"]) for namespace in found]


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[-1])
def test_every_python_block_runs(code: str) -> None:
    execute(code)


def test_the_two_sides_do_the_same_job() -> None:
    sides = side_by_side()
    assert len(sides) == 2
    for read_all in sides:
        assert read_all(["1", "2", "3"]) == [1, 2, 3]
        with pytest.raises(ValueError, match=r"invalid literal.*'two'"):
            read_all(["1", "two", "3"])


def test_only_our_side_says_which_thread_failed() -> None:
    plain, ours = side_by_side()
    with pytest.raises(ValueError, match="two") as caught:
        plain(["two"])
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(ValueError, match="two") as caught:
        ours(["two"])
    assert any("README.md" in note for note in caught.value.__notes__)


def test_the_single_call_prints_what_its_comment_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (code for code in blocks("python") if "spawn" in code)
    execute(code)
    assert capsys.readouterr().out == "meanwhile\n1024\n"


def test_the_block_with_a_deadline_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (code for code in blocks("python") if "move_on_after" in code)
    execute(code)
    assert capsys.readouterr().out == "stopped\n"


def test_every_name_it_mentions_exists() -> None:
    names = set(re.findall(r"\bjoinable\.(\w+)", README))
    assert {"Thread", "spawn", "threaded", "run_all"} <= names
    modules = {"progress", "sync", "testing", "trace"}
    assert names - modules <= set(joinable.__all__)
    for module, name in re.findall(r"\bjoinable\.(progress|sync|testing|trace)\.(\w+)", README):
        assert name in importlib.import_module(f"joinable.{module}").__all__


def test_every_nox_command_runs_a_session_that_exists() -> None:
    source = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {node.name for node in source.body if isinstance(node, ast.FunctionDef)}
    commands = [shlex.split(line) for code in blocks("") for line in code.splitlines()]
    assert len(commands) >= 6
    used = {words[words.index("-s") + 1] for words in commands if "-s" in words}
    assert used <= sessions
    assert "example" in used


def test_ci_runs_the_words_of_the_readme() -> None:
    match = re.search(r"^command='(.*)'$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert match is not None
    assert f"{match[1]}\n" in blocks("")


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
