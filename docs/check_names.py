"""Check that every public name has its place in the built site: `check_names.py objects.inv`.

A public name is one in `__all__` of the package or of one of its public modules.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import zlib
from pathlib import Path

import joinable

HEADER_LINES = 4  # name of the format, project, version, and that the rest is compressed


def documented_names(inventory: Path) -> set[str]:
    """Return the Python names that the inventory lists."""
    *_, body = inventory.read_bytes().split(b"\n", HEADER_LINES)
    rows = [line.split(" ", 2) for line in zlib.decompress(body).decode().splitlines()]
    return {name for name, role, _ in rows if role.startswith("py:")}


def public_names() -> set[str]:
    """Return the full names that the package's `__all__` lists promise."""
    found = pkgutil.iter_modules(joinable.__path__, "joinable.")
    modules = ["joinable", *(m.name for m in found if not m.name.startswith("joinable._"))]
    return {
        f"{module}.{name}"
        for module in modules
        for name in getattr(importlib.import_module(module), "__all__", ())
        if not name.startswith("__")
    }


def main() -> None:
    """Exit with an error that lists the public names without documentation."""
    public = public_names()
    missing = sorted(public - documented_names(Path(sys.argv[1])))
    if not public:
        sys.exit("no name is public: nothing was checked")
    if missing:
        sys.exit(f"public, but not in the documentation: {', '.join(missing)}")
    print(f"all {len(public)} public names are documented")


if __name__ == "__main__":
    main()
