"""Put `joinable.Thread`, `Task` and `sync` where code expects the standard library's classes.

After `install` an `import threading` gets a module whose `Thread`, `Lock`, `Condition`, `Event`,
`Semaphore`, `BoundedSemaphore` and `Barrier` are ours and whose other names are the standard ones,
and `concurrent.futures` makes a `Task` where it made a `Future`. The real module stays as it is:
the standard library's own classes, and ours, are built on it.

`test_queue` runs on copies of the module `queue` that it makes, so an import would not bring it our
queues: `install_queues` puts them into the copy, with the exceptions that they raise.

The same holds for the code that the tests run elsewhere: in a new process (`python -c CODE`), in a
subinterpreter, and in a subinterpreter of a new process. Such code gets a first line that calls
`install` there. Code that names nothing which is replaced is left as it was written: it may be
about what is imported.

A pool of ours stands in the place of the standard one where that is asked for; otherwise the
standard one is made of our threads, and gives out our tasks.

`Thread.report_after` is 0: errors are reported at once and by the thread itself, which is what the
tests of `threading.excepthook` are about.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures._base
import importlib
import queue
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, cast

import joinable
from joinable import _lounge, _workers, sync

if TYPE_CHECKING:
    from collections.abc import Callable

_POOL = joinable.ThreadPool  # now, while `threading` is the real one: it is imported when asked for

# Appended to a new interpreter's path: it may have been told to ignore the environment's.
_PATHS = [str(Path(__file__).parent), str(Path(joinable.__file__).parent.parent)]
_THREADING: dict[str, object] = {
    "Thread": joinable.Thread,
    "Lock": sync.Lock,
    "Condition": sync.Condition,
    "Event": sync.Event,
    "Semaphore": sync.Semaphore,
    "BoundedSemaphore": sync.BoundedSemaphore,
    "Barrier": sync.Barrier,
}
_QUEUE: dict[str, object] = {
    "Queue": sync.Queue,
    "LifoQueue": sync.LifoQueue,
    "PriorityQueue": sync.PriorityQueue,
    "ShutDown": sync.ShutDown,
    "Empty": queue.Empty,
    "Full": queue.Full,
}
# How the classes of `lock_tests` call what they try.
_TRIED = ("locktype", "condtype", "eventtype", "semtype", "barriertype")
_NAMES = (*_THREADING, "futures")
# What runs code in a subinterpreter: module, function, position of the code in its arguments.
_DOORS = (
    ("_testcapi", "run_in_subinterp", 0),
    ("_testinternalcapi", "run_in_subinterp_with_config", 0),
    ("_interpreters", "exec", 1),
    ("_xxsubinterpreters", "run_string", 1),  # what `_interpreters` was called on 3.12
)


class _View(types.ModuleType):
    """A module that is another one, but for some names."""

    def __init__(self, original: types.ModuleType, names: dict[str, object]) -> None:
        super().__init__(original.__name__, original.__doc__)
        vars(self).update(names, __spec__=original.__spec__, _original=original)

    def __getattr__(self, name: str) -> object:
        return getattr(vars(self)["_original"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(vars(self)["_original"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(vars(self)["_original"], name)


def install(test_package: str | None = None, *, ours: bool = True, pool: bool = False) -> None:
    """Put everything in place in this interpreter.

    Args:
        test_package: A folder with modules that the interpreter's `test` package lacks.
        ours: False leaves the standard classes where they are: for a comparison.
        pool: Whether our pool is put in the place of the standard one, too.
    """
    if isinstance(sys.modules["threading"], _View):
        return  # the first line may come to a fork, or to a subinterpreter's own new process
    if test_package is not None:
        importlib.import_module("test").__path__.append(test_package)
    if ours:
        joinable.Thread.report_after = 0
        sys.modules["threading"] = _View(threading, _THREADING)
        for module in (concurrent.futures, concurrent.futures._base):
            setattr(module, "Future", joinable.Task)  # noqa: B010  checkers know it for a class
    if pool:
        setattr(concurrent.futures, "ThreadPoolExecutor", _pool_class())  # noqa: B010  (the same)
    line = (
        f"import sys; sys.path += {_PATHS!r}; import stand_in; "
        f"stand_in.install({test_package!r}, ours={ours}, pool={pool})\n"
    )
    setattr(subprocess, "Popen", _process_class(line))  # noqa: B010  (the same)
    for name, function, position in _DOORS:
        _change_door(name, function, position, line)


def install_queues(test_queue: types.ModuleType) -> None:
    """Put our queues into the copy of `queue` on which the cases of the module run.

    Raises:
        AttributeError: The module has no such copy, and would test nothing of ours.
    """
    copy: types.ModuleType = test_queue.c_queue
    vars(copy).update(_QUEUE)


def tests_others(kind: type[object]) -> bool:
    """Tell whether a class of `lock_tests` would try a lock or the like that is not ours."""
    tried = [getattr(kind, name) for name in _TRIED if hasattr(kind, name)]
    return any(one not in _THREADING.values() for one in tried)


def prepared(code: str, line: str) -> str:
    """Return the code with that first line, if it is about threads, futures or locks."""
    if not any(name in code for name in _NAMES):
        return code
    # From 3.14 on `-c` takes code that is indented as a whole; with our line it would not be.
    return line + textwrap.dedent(code)


def _pool_class() -> type[_POOL]:
    """Return our pool with the standard name, constructor, and list of threads to look at.

    The cases count the threads that are left: idle ones do not stay for others here.
    """
    _workers.IDLE, _lounge.LINGER = 0.0, 0.2

    class ThreadPoolExecutor(_POOL):
        def __init__(self, max_workers: int | None = None, thread_name_prefix: str = "") -> None:
            super().__init__(max_workers, name=thread_name_prefix or None)

        @property
        def _threads(self) -> list[threading.Thread]:
            """The threads, when nobody is on the way any more: one sends for the next."""
            staff = self._staff
            while staff.waking or staff.coming is not None:
                time.sleep(0.001)
            return [job.thread for job in staff.lanes.copy() if job.thread is not None]

    return ThreadPoolExecutor


def _process_class(line: str) -> type[subprocess.Popen[bytes]]:
    class Prepared(subprocess.Popen[bytes]):
        def __init__(self, args: object, **options: object) -> None:
            if isinstance(args, list) and sys.executable in args and "-c" in args:
                command = list(cast("list[str]", args))
                code = command.index("-c") + 1
                command[code] = prepared(command[code], line)
                args = command
            super().__init__(args, **options)  # type: ignore[call-overload]

    return Prepared


def _change_door(name: str, function: str, position: int, line: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError:
        return  # another version's, or one that cannot be had in a subinterpreter
    original: Callable[..., object] | None = getattr(module, function, None)
    if original is None:
        return

    def door(*args: object, **options: object) -> object:
        changed = list(args)
        if isinstance(code := changed[position], str):
            changed[position] = prepared(code, line)
        return original(*changed, **options)

    setattr(module, function, door)
