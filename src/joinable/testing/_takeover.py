# pyright: reportPrivateUsage=false
"""Put our primitives where `threading` itself is built, and take every one of them back.

Promise: inside `takeover()` a strand that makes a lock, starts a thread, sleeps or reads the clock
gets ours; any other thread gets the real thing through the same names; and on leaving, whatever
happened, each name is what it was.

A name that was bound by `from threading import Lock` is found by identity in all loaded modules.
Locks that already exist are wrapped in place, in the modules that belong to the exploration only:
in others a point at each use would cost more schedules than it could ever find.
"""

from __future__ import annotations

import _thread
import concurrent.futures._base
import concurrent.futures.thread
import itertools
import sys
import threading
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from joinable import _runtime
from joinable.testing import _clock, _locks, _real, _scheduler, _simple_queue, _threads
from joinable.testing._errors import Unwind
from joinable.testing._identity import Numbering, identity, numbered

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from joinable.testing._strand import Strand

_LOCK = type(_thread.allocate_lock())
_RLOCK: type = type(_thread.RLock())
#: On 3.14 the library's own reentrant lock is a class of its own, which takes after the C one.
_OURS: Any = _runtime.allocate_mutex
_RLOCKS = (_RLOCK, _OURS)
#: Names of other packages that stay as they are: the import system and the engine run on them.
_EXEMPT = ("_thread", "sys", "builtins", "importlib", "_frozen_importlib", "joinable.testing")
_MISSING = object()
_POOL: Any = concurrent.futures.thread.ThreadPoolExecutor


def _replacements() -> dict[int, object]:
    """Map what is replaced, by identity, to what takes its place."""
    pairs: list[tuple[object, object]] = [
        (_real.allocate_lock, _locks.Lock),
        (_real.rlock_type, _locks.RLock),
        (_real.simple_queue_type, _simple_queue.SimpleQueue),
        (_real.monotonic, _clock.monotonic),
        (_real.sleep, _clock.sleep),
        (_real.start_new_thread, _threads.start_new_thread),
        (_real.start_joinable_thread, _threads.start_joinable_thread),
        (_real.thread_handle, _threads.Handle),
        (_real.set_sentinel, _threads.set_sentinel),
    ]
    if sys.version_info >= (3, 13):  # before, threading.Lock is the function, not the type
        pairs.append((_real.lock_type, _locks.Lock))
    if isinstance(_OURS, type) and _OURS is not _RLOCK:
        pairs.append((_OURS, _locks.RLock))
    return {id(old): new for old, new in pairs if old is not None}


class Takeover:
    """The names that were rebound, and how to bind them back."""

    def __init__(self, numbering: Numbering) -> None:
        self.numbering = numbering
        self._hook: Any = None
        self._undo: list[tuple[dict[str, Any], str, object, object]] = []
        self._wrapped: dict[int, _locks.Lock | _locks.RLock] = {}

    def bind(self, namespace: dict[str, Any], name: str, value: object) -> None:
        """Rebind one name, to be bound back by `restore`."""
        self._undo.append((namespace, name, namespace.get(name, _MISSING), value))
        namespace[name] = value

    def restore(self) -> None:
        """Bind every name back, newest first; what the program has rebound itself stays."""
        while self._undo:
            namespace, name, old, ours = self._undo.pop()
            if namespace.get(name) is ours:
                if old is _MISSING:
                    del namespace[name]
                else:
                    namespace[name] = old

    def everything(self, own: Iterable[dict[str, Any]]) -> None:
        """Rebind all there is to rebind; `own` are the namespaces whose locks are wrapped."""
        self.threading_itself()
        self.names()
        replacements = _replacements()
        for namespace in own:
            self.names_in(namespace, replacements)
            self.locks_in(namespace)
        self.locks_in(concurrent.futures.thread.__dict__)

    def names(self) -> None:
        """Rebind the primitives wherever a loaded module has bound them."""
        replacements = _replacements()
        seen: set[int] = set()
        for name, module in list(sys.modules.items()):
            if type(module) is ModuleType and not _exempt(name) and id(module) not in seen:
                seen.add(id(module))
                self.names_in(module.__dict__, replacements)
        for name in ("start_new_thread", "start_new", "start_joinable_thread"):
            if name in _thread.__dict__:
                new = _threads.start_new_thread if "new" in name else _threads.start_joinable_thread
                self.bind(_thread.__dict__, name, new)

    def names_in(self, namespace: dict[str, Any], replacements: dict[int, object]) -> None:
        """Rebind the primitives in one namespace."""
        names = namespace.copy()
        # Most have none, and there are thousands of names: this asks all of them in C.
        if replacements.keys().isdisjoint(map(id, names.values())):
            return
        for name, value in names.items():
            new = replacements.get(id(value))
            if new is not None:
                self.bind(namespace, name, new)

    def locks_in(self, namespace: dict[str, Any]) -> None:
        """Wrap the locks that exist in a namespace, and those inside its Conditions and Queues."""
        inside: list[tuple[str, Any]] = list(namespace.copy().items())
        for name, value in inside:
            new = self._wrapper(value)
            if new is not None:
                self.bind(namespace, name, new)
            elif _is_stock(value):
                self.locks_in(value.__dict__)

    def _wrapper(self, value: object) -> object:
        """Return what takes the place of a lock or of a method bound to one, or None."""
        owner = getattr(value, "__self__", None)
        if type(owner) in (_LOCK, *_RLOCKS):
            return getattr(self._wrapper(owner), value.__name__)  # type: ignore[attr-defined]
        if type(value) not in (_LOCK, *_RLOCKS):
            return None
        kind: Any = _locks.Lock if type(value) is _LOCK else _locks.RLock
        return self._wrapped.setdefault(id(value), kind.around(value))

    def threading_itself(self) -> None:
        """Rebind what `threading` keeps to itself."""
        namespace = threading.__dict__
        real = namespace["_active_limbo_lock"]
        self.bind(namespace, "_active_limbo_lock", _threads.BootLock(real))
        self._hook = _excepthook(threading.excepthook)
        self.bind(namespace, "excepthook", self._hook)
        self.bind(sys.__dict__, "unraisablehook", _unraisablehook(sys.unraisablehook))
        # `wait` and `as_completed` lock the futures in the order of their addresses.
        self.bind(concurrent.futures._base.__dict__, "id", identity)

    def fresh_run(self) -> None:
        """Make each run start from the same state: thread names, and no lock left held."""
        threading.excepthook = self._hook  # a run may have bound its own
        threading._counter = itertools.count(1).__next__  # type: ignore[attr-defined]
        _POOL._counter = itertools.count().__next__
        self.numbering.restart()
        for lock in self._wrapped.values():
            lock.abandon()


def _is_stock(value: object) -> bool:
    """Tell a Condition, an Event, a Queue and their like: objects that are made of locks."""
    stock = type(value).__module__ in ("threading", "queue") and hasattr(value, "__dict__")
    return stock and not isinstance(value, (threading.Thread, type))


def _exempt(name: str) -> bool:
    return any(name == e or name.startswith(e + ".") for e in _EXEMPT)


def _excepthook(before: Any) -> Any:
    """Take what leaves a strand as a failure; pass on what leaves any other thread."""

    def hook(args: threading.ExceptHookArgs, /) -> None:
        scheduler = _scheduler.here()
        if scheduler is None:
            before(args)
        elif not scheduler.ending and not issubclass(args.exc_type, (SystemExit, Unwind)):
            scheduler.fail(args.exc_value or args.exc_type())

    return hook


def _unraisablehook(before: Any) -> Any:
    """Keep quiet about finalizers that a run's end has cut short."""

    def hook(args: Any, /) -> None:
        if not issubclass(args.exc_type, Unwind):
            before(args)

    return hook


def release_idle_workers(alive: list[Strand]) -> list[Strand]:
    """Do what the exit of the interpreter does for executors that were left open.

    Once in a run, when nothing else can go on: a pool's workers then end as they would, and only
    threads that hold up an exit for ever are left. Returns those that waited for work.
    """
    pools: Any = concurrent.futures.thread
    if pools._shutdown:
        return []
    queues = {id(thread): queue for thread, queue in list(pools._threads_queues.items())}
    workers = [strand for strand in alive if id(strand.thread) in queues]
    if workers:
        pools._shutdown = True
    for strand in workers:
        queue = queues[id(strand.thread)]
        getattr(queue, "_inner", queue).put(None)
    return [strand for strand in workers if strand.wait is queues[id(strand.thread)]]


@contextmanager
def takeover(own: Iterable[dict[str, Any]]) -> Generator[Takeover]:
    """Rebind everything for a while; `own` are the namespaces whose locks are wrapped too."""
    counters = threading._counter, _POOL._counter  # type: ignore[attr-defined]
    with numbered() as numbering:
        taken = Takeover(numbering)
        try:
            taken.everything(own)
            yield taken
        finally:
            taken.fresh_run()
            taken.restore()
            threading._counter, _POOL._counter = counters  # type: ignore[attr-defined]
