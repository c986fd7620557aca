"""Check that every public name has its place in the built site, and an example that runs.

`check_names.py objects.inv`. A public name is one in `__all__` of the package or of one of its
public modules. Each has to be in the inventory of the site, and to be *used* in an example: in its
own docstring, or, for a class that is the standard library's, below its directive on a page. A
method or property has to be used in an example of its own docstring or of its class's. To import a
name is not to use it, and an example that is skipped does not run. The build runs all of them.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import joinable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

HEADER_LINES = 4  # name of the format, project, version, and that the rest is compressed

NOT_FOR_USERS = {
    "joinable.ThreadPool.begin_anew": "it is called in the child of a fork",
    "joinable._callback.CancelCallback.call": "the scope calls it",
    "joinable._callback.CancelCallback.look_again": "the timer and the scope call it",
    **{
        f"joinable.progress.{bar}.{method}": "run_all and run_each call it"
        for bar in ("RichProgress", "TqdmProgress")
        for method in ("start", "advance", "finish")
    },
}
"""What has no underscore and is not public all the same, and why."""


class Problem(NamedTuple):
    """What is wrong with a name."""

    name: str
    what: str


# -------------------------------------------------------------------- what there is


def documented(inventory: Path) -> dict[str, str]:
    """Return the Python names that the inventory lists, and what each is."""
    *_, body = inventory.read_bytes().split(b"\n", HEADER_LINES)
    rows = [line.split(" ", 2) for line in zlib.decompress(body).decode().splitlines()]
    return {name: role for name, role, _ in rows if role.startswith("py:")}


def public_modules(package: ModuleType) -> Iterator[ModuleType]:
    """Import the package and those of its modules whose names do not begin with an underscore."""
    yield package
    inner = f"{package.__name__}."
    for module in pkgutil.iter_modules(package.__path__, inner):
        if not module.name.startswith(f"{inner}_"):
            yield importlib.import_module(module.name)


def public_objects(package: ModuleType) -> dict[str, object]:
    """Return what the `__all__` lists promise, by full name."""
    return {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in public_modules(package)
        for name in getattr(module, "__all__", ())
        if not name.startswith("__")
    }


def own_members(cls: type, public: set[type]) -> Iterator[tuple[str, object]]:
    """Return the public methods and properties of a class, but for those of a public base."""
    package = cls.__module__.partition(".")[0]
    seen: set[str] = set()
    for base in cls.__mro__:
        ours = base.__module__.partition(".")[0] == package
        if base is not cls and (not ours or base in public):
            continue
        for name, member in vars(base).items():
            if not name.startswith("_") and name not in seen and is_callable_or_property(member):
                seen.add(name)
                yield name, member


def is_callable_or_property(member: object) -> bool:
    """Tell whether it is something that a user calls or asks, and not plain data."""
    kinds = (property, classmethod, staticmethod)
    return isinstance(member, kinds) or (callable(member) and not isinstance(member, type))


# -------------------------------------------------------------------- what an example uses


def used_in_examples(text: str) -> set[str]:
    """Return every name that the examples of a text use; to import one is not to use it."""
    examples = doctest.DocTestParser().get_examples(text)
    return {
        name
        for example in examples
        if not example.options.get(doctest.SKIP)
        for node in ast.walk(ast.parse(example.source))
        for name in names_of(node)
    }


def names_of(node: ast.AST) -> tuple[str, ...]:
    """Return the names that a piece of code uses; a function that is defined overrides one."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name):
            return (name,)
        case ast.ClassDef(bases=bases):
            return tuple(base.id for base in bases if isinstance(base, ast.Name))
        case _:
            return ()


def docstring(thing: object) -> str:
    """Return its docstring, with the indentation that it has in the source."""
    return getattr(thing, "__doc__", None) or ""


def entries(pages: Path) -> dict[str, str]:
    """Return what pages write below a directive of autodoc, by the last part of its name."""
    directive = re.compile(r"^\.\. auto\w+:: *([\w.]+).*\n((?:(?: {3}.*)?\n)*)", re.MULTILINE)
    return {
        name.rpartition(".")[2]: body
        for page in sorted(pages.rglob("*.md"))
        for name, body in directive.findall(page.read_text(encoding="utf-8"))
    }


# -------------------------------------------------------------------- what is wrong


def problems(package: ModuleType, names: dict[str, str], pages: Path) -> Iterator[Problem]:
    """Find the public names that are not documented, or that no example uses."""
    below = entries(pages)
    things = public_objects(package)
    promised = {thing for thing in things.values() if isinstance(thing, type)}
    shown = {name: found for name in names if (found := shown_class(name, package))}
    # Sphinx lists a public class a second time, under the module that it is written in.
    things |= {name: found for name, found in shown.items() if found not in promised}
    public = promised | set(shown.values())
    for full, thing in sorted(things.items()):
        short = full.rpartition(".")[2]
        if full not in names:
            yield Problem(full, "is not in the documentation")
        # A class that users are given and do not make need not be named.
        examples = docstring(thing) + "\n\n" + below.get(short, "")
        if full in public_objects(package) and short not in used_in_examples(examples):
            yield Problem(full, "is used in no example of its own")
        if isinstance(thing, type) and thing.__module__.partition(".")[0] == package.__name__:
            yield from problems_of_members(full, thing, names, public)


def shown_class(name: str, package: ModuleType) -> type | None:
    """Return the class if the site documents one of a private module under this name."""
    module, _, short = name.rpartition(".")
    if module not in sys.modules or not module.startswith(f"{package.__name__}._"):
        return None
    found = getattr(sys.modules[module], short, None)
    return found if isinstance(found, type) else None


def problems_of_members(
    full: str, cls: type, names: dict[str, str], public: set[type]
) -> Iterator[Problem]:
    """Find what is wrong with the methods and properties of a class."""
    shown = used_in_examples(docstring(cls))
    for name, member in own_members(cls, public):
        if f"{full}.{name}" in NOT_FOR_USERS:
            continue
        if f"{full}.{name}" not in names:
            yield Problem(f"{full}.{name}", "is not in the documentation")
        if name not in shown and name not in used_in_examples(docstring(member)):
            yield Problem(f"{full}.{name}", "is used in no example of its own or of its class")


def main() -> None:
    """Exit with an error that lists what is wrong."""
    names = documented(Path(sys.argv[1]))
    public = public_objects(joinable)
    if not public:
        sys.exit("no name is public: nothing was checked")
    if found := list(problems(joinable, names, Path(__file__).parent)):
        sys.exit("\n".join(f"{name} {what}" for name, what in found))
    print(f"all {len(public)} public names are documented, with examples that run")


if __name__ == "__main__":
    main()
