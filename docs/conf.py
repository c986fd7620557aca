"""How the site is built: `nox -s docs`."""

from __future__ import annotations

import ast
import concurrent.futures
import importlib
import inspect
import pkgutil
from typing import Any, get_origin

import joinable
from joinable._outcome import Outcome
from joinable._watched import Watched

project = "joinable"
author = "The joinable developers"
copyright = f"2026, {author}"
release = joinable.__version__
version = ".".join(release.split(".")[:2])

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"joinable {release}"
html_static_path = ["_static"]
html_css_files = ["site.css", "pages.css"]

# Every reference must lead somewhere, but for the type variables, which have no page of their own.
nitpicky = True
nitpick_ignore_regex = [("py:(class|obj)", r"(.*\.)?(P|R|T|T_co|K|T[1-8])(\.args|\.kwargs)?")]

nitpick_ignore = [
    # What `no_leaks()` returns has no name of its own to learn.
    ("py:class", "joinable.testing._leaks.NoLeaks"),
    # What a Condition takes: anything with `acquire` and `release`.
    ("py:class", "joinable._typing.AnyLock"),
    # What `executor=` takes: anything with `submit`.
    ("py:class", "joinable._typing.SupportsSubmit"),
    # The inventory here is cut to threads.
    ("py:class", "os.PathLike"),
    # A client of `distributed`, whose inventory is not here.
    ("py:class", "joinable._dask.Client"),
    # What is needed of a bar of tqdm's, and of a `rich.progress.Progress`.
    ("py:class", "joinable._bars._Bar"),
    ("py:class", "joinable._bars._Rich"),
]

# The inventory is kept here, cut to the names that a threading library refers to: the site builds
# without a network. (A URL alone would be asked for, and a failed answer is a warning.)
intersphinx_mapping = {"python": ("https://docs.python.org/3", "_inventory/python.inv")}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
# Short names in signatures; the reference still leads to the full one.
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Copying an example leaves its prompts and its output behind.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The standard library's inventory has them under the name they are imported by.
for public in (concurrent.futures.Future, concurrent.futures.Executor):
    public.__module__ = "concurrent.futures"


# What a public class is made of, by the public name of what that is for its users.
PUBLIC_BASES: dict[object, object] = {Outcome: concurrent.futures.Future, Watched: joinable.Task}


def show_public_bases(
    app: object, name: str, obj: object, options: object, bases: list[object]
) -> None:
    """Tell readers which classes they can use it as, and not how it is put together."""
    del app, name, obj, options
    bases[:] = [PUBLIC_BASES.get(get_origin(base) or base, base) for base in bases]


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("autodoc-process-bases", show_public_bases)


def import_types(module_name: str) -> None:
    """Run what a module imports for type checkers only, so that its signatures can be linked."""
    module = importlib.import_module(module_name)
    for statement in ast.parse(inspect.getsource(module)).body:
        match statement:
            case ast.If(test=ast.Name("TYPE_CHECKING"), body=body):
                code = compile(ast.Module(body, []), module_name, "exec")
                exec(code, vars(module))  # noqa: S102  the project's own source
            case _:
                pass


# These are what the others import their type variables and the like from.
import_types("joinable._typing")
import_types("joinable._frames")
for found in pkgutil.walk_packages(joinable.__path__, "joinable."):
    import_types(found.name)
