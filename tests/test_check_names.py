"""The check of the documentation finds what is missing: the build fails by it, so it must."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import joinable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

DOCS = Path(__file__).parents[1] / "docs"

PACKAGE = '''
"""A package whose public names are documented, but for what a test takes away."""
from concurrent.futures import CancelledError
from toy._inner import Task

__all__ = ["CancelledError", "Task", "spawn", "__version__"]
__version__ = "1"

def spawn():
    """Start.

    >>> from toy import spawn
    >>> spawn()
    """
'''

INNER = '''
class Base:
    def wait(self):
        """Wait.

        >>> from toy import Task
        >>> Task().wait()
        """

class Task(Base):
    """Stand for a call.

    >>> from toy import Task
    >>> Task().done
    True
    """

    @property
    def done(self):
        return True

    def _hidden(self):
        pass
'''

PAGE = """
.. autoexception:: CancelledError

   Raised here and there.

   >>> from toy import CancelledError
   >>> CancelledError()
   CancelledError()

.. autofunction:: spawn
"""

NAMES = ("toy.CancelledError", "toy.Task", "toy.Task.done", "toy.Task.wait", "toy.spawn")


def load(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check: Any = load("check_names", DOCS / "check_names.py")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a small package, and forget it."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/__init__.py").write_text(PACKAGE)
    (tmp_path / "toy/_inner.py").write_text(INNER)
    (tmp_path / "page.md").write_text(PAGE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        del sys.modules[name]


def found(toy: Path, names: tuple[str, ...] = NAMES) -> list[str]:
    package: ModuleType = importlib.import_module("toy")
    inventory = dict.fromkeys(names, "py:class")
    return [" ".join(problem) for problem in check.problems(package, inventory, toy)]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


class TestWhatItFinds:
    def test_nothing_where_nothing_is_wrong(self, toy: Path) -> None:
        assert found(toy) == []

    def test_a_name_that_is_not_in_the_inventory(self, toy: Path) -> None:
        assert found(toy, NAMES[:-1]) == ["toy.spawn is not in the documentation"]

    def test_a_method_that_is_not_in_the_inventory(self, toy: Path) -> None:
        names = tuple(name for name in NAMES if name != "toy.Task.wait")
        assert found(toy, names) == ["toy.Task.wait is not in the documentation"]

    def test_a_function_without_an_example(self, toy: Path) -> None:
        edit(toy / "toy/__init__.py", ">>> spawn()", "spawn()")  # the import is left: no use
        assert found(toy) == ["toy.spawn is used in no example of its own"]

    def test_an_example_that_is_skipped(self, toy: Path) -> None:
        edit(toy / "toy/__init__.py", ">>> spawn()", ">>> spawn()  # doctest: +SKIP")
        assert found(toy) == ["toy.spawn is used in no example of its own"]

    def test_an_example_that_only_speaks_of_the_name(self, toy: Path) -> None:
        edit(toy / "toy/__init__.py", ">>> spawn()", ">>> print('spawn')  # spawn")
        assert found(toy) == ["toy.spawn is used in no example of its own"]

    def test_a_property_that_no_example_asks_for(self, toy: Path) -> None:
        edit(toy / "toy/_inner.py", "Task().done", "Task() is not None")
        assert found(toy) == ["toy.Task.done is used in no example of its own or of its class"]

    def test_a_method_of_a_private_base_without_an_example(self, toy: Path) -> None:
        edit(toy / "toy/_inner.py", ">>> Task().wait()", ">>> 1\n        1")
        assert found(toy) == ["toy.Task.wait is used in no example of its own or of its class"]

    def test_a_name_of_the_standard_library_without_an_entry_with_an_example(
        self, toy: Path
    ) -> None:
        edit(toy / "page.md", ">>> CancelledError()", "CancelledError()")
        assert found(toy) == ["toy.CancelledError is used in no example of its own"]

    def test_an_example_below_another_directive_is_not_its_own(self, toy: Path) -> None:
        edit(toy / "page.md", ":: CancelledError", ":: Something")
        assert found(toy) == ["toy.CancelledError is used in no example of its own"]


class TestTheInventory:
    def test_its_python_names_are_read(self, tmp_path: Path) -> None:
        rows = b"joinable.spawn py:function 1 api.html#$ -\nindex std:doc -1 index.html Home\n"
        head = b"# Sphinx inventory version 2\n# Project: x\n# Version: 1\n# zlib\n"
        file = tmp_path / "objects.inv"
        file.write_bytes(head + zlib.compress(rows))
        assert check.documented(file) == {"joinable.spawn": "py:function"}


def test_every_public_name_here_is_used_in_an_example_of_its_own() -> None:
    """What the build asks for, without the site: the examples are tests on every interpreter."""
    wrong = [
        problem.name
        for problem in check.problems(joinable, {}, DOCS)
        if problem.what != "is not in the documentation"
    ]
    assert wrong == []
    assert len(check.public_objects(joinable)) > 40
