#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2026.10"]
# ///
"""One session for each duty; a person and CI run the same ones.

``nox`` runs all that must pass before a change is taken, ``nox -l`` lists the rest. What follows
``--`` goes to the tool: ``nox -s tests-3.14t -- -k cancel``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

# Only interpreters that are already here: uv would fetch a missing one, and wait long if it cannot.
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
nox.options.download_python = "never"
# The tests start hundreds of interpreters. Where the environment forbids to keep compiled modules,
# as that of many containers does, each would compile pytest and the library anew: half of the time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# uv where there is one, else virtualenv, which comes with nox.
nox.options.default_venv_backend = "uv|virtualenv"
# An interpreter that is not here is left out, in CI as well; the summary names it as skipped.
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml("pyproject.toml")
# From the classifiers: 3.11 to 3.15, and the free-threaded builds from 3.14t on.
PYTHONS = nox.project.python_versions(PYPROJECT)
OLDEST, NEWEST = PYTHONS[0], max(python for python in PYTHONS if not python.endswith("t"))
# Its sys.monitoring makes coverage cheap there, so one interpreter of the row measures on the way.
COVERED = "3.14"
# Dask starts processes and takes its time: one interpreter has to do.
CLUSTER_PYTHON = "3.14"
# The builds of the page; others with `-P`.
BENCH_PYTHONS = ["3.13", "3.14", "3.14t"]

# Says which interpreter runs, and fails if a free-threaded build has its GIL on.
INTERPRETER = """
import sys, sysconfig
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
gil = getattr(sys, "_is_gil_enabled", lambda: True)()
print(f"interpreter: CPython {sys.version.split()[0]}{'t' * free}; GIL {'on' if gil else 'off'}")
sys.exit("the GIL of this free-threaded build is on" if free and gil else 0)
"""


def install(session: nox.Session, *groups: str) -> None:
    """Install the package and dependency groups, resolved here so that any pip will do."""
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, *groups))


def name_interpreter(session: nox.Session) -> None:
    """Print the interpreter and the state of its GIL; fail if a `t` build has it on."""
    session.run("python", "-c", INTERPRETER, log=False)


def asks_version(path: Path) -> bool:
    """Tell whether a module looks at the version of its interpreter."""
    return "version_info" in path.read_text(encoding="utf-8")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests and the examples in the docstrings."""
    install(session, "test")  # its conftest names the interpreter and refuses a GIL that is back on
    # Two at a time: most of the tests are schedules, of which one thread runs at any moment.
    pytest = ("python", "-m", "pytest", "-n2", "--dist=worksteal")
    if session.python != COVERED or session.posargs:
        parts = [session.posargs]
        if str(session.python).endswith("t") and not session.posargs:
            # Without a GIL the end of a thread takes the longer the more threads the process has
            # had: up to ten times as long. So the schedules have processes of their own.
            parts = [["tests/testing"], ["--ignore=tests/testing"]]
        for part in parts:
            session.run(*pytest, *part)
        return
    # Not `create_tmp`: that makes the tests' own temporary folders lie inside the project, whose
    # settings the runs of pytest in those tests would then take for theirs.
    data = {"COVERAGE_FILE": str(session.cache_dir / "coverage")}
    # The schedules of our own code take half of the time, and add no line.
    models = [str(path) for path in sorted(Path("tests/testing").glob("test_our_own_*.py"))]
    session.run(*pytest, *models)
    session.run("coverage", "erase", env=data)
    rest = [f"--ignore={path}" for path in models]
    session.run("coverage", "run", *pytest[1:], *rest, env=data)
    session.run("coverage", "combine", "--quiet", env=data)
    session.run("coverage", "report", env=data)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style, layers and spelling."""
    install(session, "lint")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")
    session.run("typos")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types, with two checkers, and that no public name is without one."""
    install(session, "typing")
    # Code that asks for the version is read both ways.
    session.run("mypy", f"--python-version={OLDEST}")
    session.run("mypy", f"--python-version={NEWEST}")
    # Without --pythonpath a .venv in the project would be taken for the environment.
    checker = ("basedpyright", f"--pythonpath={session.bin}/python")
    session.run(*checker)
    # The second time only what the version can make different: the library, the types that it
    # promises, and what asks for the version. Of the other tests mypy has seen both ways by now.
    tests = (str(path) for path in sorted(Path("tests").rglob("*.py")) if asks_version(path))
    session.run(*checker, f"--pythonversion={NEWEST}", "src", "docs", "tests/typing", *tests)
    session.run(*checker, "--verifytypes", "joinable", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site with every warning an error, and run its examples."""
    install(session, "docs")
    build = ("sphinx-build", "-W", "-n", "-T", "-q", "--keep-going", "-E")
    session.run(*build, "-b", "html", "docs", "docs/_build/html")
    session.run("python", "docs/check_names.py", "docs/_build/html/objects.inv")
    session.run(*build, "-b", "doctest", "docs", "docs/_build/doctest")


@nox.session(default=False)
def look(session: nox.Session) -> None:
    """Look at the built site in a browser: `-- --shots FOLDER` keeps pictures. Needs chromium."""
    session.install("selenium")
    session.run("python", "docs/look.py", *session.posargs)


@nox.session(python=COVERED, default=False)
def neighbours(session: nox.Session) -> None:
    """Find out what the table of the home page says of others; `-- --write` keeps it."""
    session.install(".", "mypy", "trio", "anyio", "joblib", "pebble")
    session.run("python", "docs/neighbours/table.py", *session.posargs)


@nox.session
def example(session: nox.Session) -> None:
    """Run the example of the README in an environment of its own."""
    session.install(".")
    session.run("python", "docs/examples/check_services.py", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build the distributions, check them, and import what was built."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "package"))
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("validate-pyproject", "pyproject.toml")
    # The last two points are for an e-mail address, and there is none to give.
    session.run("pyroma", "-n", "8", ".")
    session.run("python", "-m", "build", "--outdir", str(dist))
    built = sorted(str(path) for path in dist.iterdir())
    session.run("twine", "check", "--strict", *built)
    wheel = next(path for path in built if path.endswith(".whl"))
    session.run("check-wheel-contents", wheel)
    session.install("--force-reinstall", wheel)
    session.run("python", "-I", "-c", "import joinable; print('joinable', joinable.__version__)")


@nox.session(python=PYTHONS)
def cpython(session: nox.Session) -> None:
    """Run CPython's own thread tests on our classes, where the interpreter has them.

    Many are installed without their `test` package; CPYTHON_TESTS or `-- --test-package` tells
    where one lies, with `{version}` for the interpreter's.
    """
    install(session)
    name_interpreter(session)
    session.run("python", "tests/cpython/run.py", *session.posargs)
    session.run("python", "tests/cpython/run.py", "--pool", *session.posargs)


@nox.session(python=CLUSTER_PYTHON)
def executors(session: nox.Session) -> None:
    """Run what needs other people's executors: loky, and dask with two worker processes."""
    install(session, "test", "executors")
    session.run("python", "-m", "pytest", "tests/executors", *session.posargs)


@nox.session(python=BENCH_PYTHONS, default=False)
def bench(session: nox.Session) -> None:
    """Measure against others; `-- --write` keeps it for the page, `-P 3.15t` takes that build.

    `-- --questions --write` does so for the pages of docs/questions, in some two minutes each.
    """
    install(session, "bench")
    name_interpreter(session)
    session.run("python", "tests/bench", *session.posargs)
    if "--questions" not in session.posargs:
        session.run("python", "tests/bench/explore_rate.py")


@nox.session(python=PYTHONS, default=False)
def soak(session: nox.Session) -> None:
    """Run the tests that take minutes."""
    install(session, "test")
    session.run("python", "-m", "pytest", "-m", "soak", *session.posargs)


if __name__ == "__main__":
    nox.main()
