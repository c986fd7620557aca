"""A fixture for the tests that change one line of our own source and want that to be noticed."""

from __future__ import annotations

import inspect
import itertools
import linecache
import sys
import textwrap
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import pytest

from joinable import _events
from joinable.testing import _session

if TYPE_CHECKING:
    from collections.abc import Callable

_numbers = itertools.count(1)


def changed(owner: Any, name: str, old: str, new: str) -> FunctionType:
    """Execute the source of `owner.name` anew, with `old` replaced, beside the original."""
    original = cast("FunctionType", vars(owner)[name])
    text = textwrap.dedent(inspect.getsource(original))
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
    text = "from __future__ import annotations\n" + text.replace(old, new)
    if isinstance(owner, type):  # outside of its class, nobody says which that is
        text = text.replace("super()", f"super({owner.__name__}, self)")
    file = f"<fault {next(_numbers)} in {name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    made: dict[str, Any] = {}
    # The globals are the module's own: what it looks up, the changed function looks up too.
    namespace = vars(sys.modules[original.__module__])
    exec(compile(text, file, "exec", dont_inherit=True), namespace, made)  # noqa: S102
    function = made[name]
    assert isinstance(function, FunctionType)
    return function


def as_found(_: _session.Session, deviations: Any, kind: type[BaseException]) -> Any:
    """Stand for the search for a shorter schedule."""
    del kind
    return deviations


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, str, str], None]:
    """Give a function that puts a fault into a method or function: `(owner, name, old, new)`.

    What is found is not shrunk then: that is tested elsewhere, and takes more runs than the search.
    """

    def put(owner: Any, name: str, old: str, new: str) -> None:
        if isinstance(owner, type):  # which of its bases defines it is not the test's matter
            owner = next(base for base in owner.__mro__ if name in vars(base))
        monkeypatch.setattr(owner, name, changed(owner, name, old, new))

    monkeypatch.setattr(_session.Session, "_shortest", as_found)
    # Put back after the test: a model that fails leaves its observer, and who is watched goes other
    # ways than who is not.
    monkeypatch.setattr(_events, "observers", _events.observers)
    return put
