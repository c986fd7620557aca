"""`ThreadLocal`: one value a thread, or a task, and what closes it.

What it promises:

- A value is seen by the thread that has made or set it, and by nobody else. With `per="task"` the
  next task on that thread sees nothing of it; with `per="thread"` it stays until the thread ends.
- `on_exit` is called once for each value that was made or set: by the thread that owns the value,
  outside every lock, newest first. Its errors are reported, and cost the other values nothing.
- A value that `bind` has put there belongs to whoever bound it, and is not closed.

What there is in a thread is told in `_owned`.
"""

from __future__ import annotations

import threading
import weakref
from types import GenericAlias

from joinable import _closing
from joinable._bind import Bind
from joinable._check import called, check_callable, short, steady
from joinable._owned import Bound, Owned
from joinable._typing import override

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Generic, Literal

    from joinable._typing import T
else:

    class Generic:
        """Stand for `typing.Generic` at run time: see `_typing`."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)


__all__ = ["ThreadLocal"]


class ThreadLocal(Generic["T"]):
    """Keep one value for each thread, or for each task, and close it when that ends.

    Like `threading.local` with one attribute, but typed, made on first use, and with an end. A task
    is one call of `spawn`, `Thread`, `run_all`, `run_any`, `run_each` or `TaskGroup.spawn`.

    Example:
        >>> from joinable import ThreadLocal, run_all
        >>> seen = ThreadLocal(list)
        >>> def visit(page: str) -> list[str]:
        ...     seen.get().append(page)
        ...     return seen.get()
        >>> run_all([lambda: visit("a"), lambda: visit("b")], max_workers=1)
        [['a'], ['b']]

    With `per="thread"` a thread that is used again keeps its value: for connections.

        >>> import sqlite3
        >>> connection = ThreadLocal(
        ...     lambda: sqlite3.connect(":memory:"), on_exit=sqlite3.Connection.close, per="thread"
        ... )
        >>> def add(a: int, b: int) -> int:
        ...     return connection.get().execute("select ? + ?", (a, b)).fetchone()[0]
        >>> run_all([lambda: add(1, 2), lambda: add(3, 4)])
        [3, 7]

    Args:
        default_factory: Makes the value of a thread, in that thread, when it is first asked for.
        on_exit: Called with each value that was made or set, in its own thread, when it is over.
            None: it is only dropped.
        per: "task": each task has a value of its own; outside of tasks, each thread. "thread": a
            thread that runs several tasks keeps its value.

    When `on_exit` is called. With `per="task"`: at the end of the task, in its context, before
    anybody learns of its outcome. In a task that was told to stop it may wait for a second. With
    `per="thread"`: when the thread ends; a `Thread` after its outcome is there and before `join`
    returns, a thread that is used again some seconds after nobody needs it. Outside of tasks, both:
    when the thread ends; for the main thread that is the exit of the interpreter, at which all idle
    threads of the library end, too, and are given ten seconds. Newest first; what is made for a
    task before what is made for the thread. A thread that runs on at exit, because it is a daemon
    or was given up, closes nothing.

    What `on_exit` raises goes to `threading.excepthook`. What it makes or sets is closed in turn,
    four times over; then that is reported, and the rest forgotten.

    A ThreadLocal that is dropped lets go of the values that have no `on_exit`; the others are
    closed as if it were there. After a fork the child sees the values of the thread that forked,
    and does not close them: the parent does.

    Raises:
        TypeError: `default_factory` or `on_exit` cannot be called.
        ValueError: `per` is neither "task" nor "thread".

    Thread-safety: every method may be called by any thread at any time, for its own value.

    Cost: `get` of a value that is there costs up to twice an attribute of `threading.local`.
    """

    __slots__ = ("__weakref__", "_factory", "_local", "_on_exit", "_per_task", "_reference")

    def __init__(
        self,
        default_factory: Callable[[], T],
        /,
        *,
        on_exit: Callable[[T], object] | None = None,
        per: Literal["task", "thread"] = "task",
    ) -> None:
        """Make one that has no value in any thread."""
        check_callable(default_factory, "default_factory")
        if on_exit is not None:
            check_callable(on_exit, "on_exit")
        if per not in ("task", "thread"):
            raise ValueError(f'per must be "task" or "thread", not {short(per)}')
        self._factory = default_factory
        self._on_exit = on_exit
        self._per_task = per == "task"
        # Exactly that class: the interpreter is a third slower with what derives from it.
        self._local = threading.local()
        self._reference = weakref.ref(self._local)

    @override
    @steady
    def __repr__(self) -> str:
        per = "task" if self._per_task else "thread"
        here = "a value here" if "value" in self._here() else "no value here"
        return f"<ThreadLocal({called(self._factory)}, per={per!r}): {here}>"

    # ---------------------------------------------------------------- what may be asked of it

    def get(self) -> T:
        """Return the value of this thread or task; it is made if there is none.

        Example:
            >>> from joinable import ThreadLocal
            >>> ThreadLocal(dict).get()
            {}

        Raises:
            RuntimeError: `default_factory` asks for the very value that it is to make.
            BaseException: What `default_factory` raises; the next `get` calls it again.
        """
        try:
            return self._local.value  # type: ignore[no-any-return]  # what `set` has put there
        except AttributeError:
            pass  # not here: the factory's errors would have this one as their context
        return self._make()

    def set(self, value: T, /) -> None:
        """Give this thread or task another value, which is closed in its turn.

        The one that was there before, if it is another object, is closed now, when the new one is
        in its place. What `on_exit` raises then is raised here.

        Example:
            >>> from joinable import ThreadLocal
            >>> local = ThreadLocal(str, on_exit=print)
            >>> local.set("one")
            >>> local.set("two")
            one
            >>> local.delete()
            two
        """
        here = self._here()
        before = here.get("owned")
        if before is not None and here["value"] is value:
            return
        owned = Owned(self._reference, value, self._on_exit)
        record = _closing.mine()
        record.enter(owned, per_task=self._per_task)
        if self._on_exit is not None:
            _closing.close_at_exit()
            record.know_thread()
        here.update(value=value, owned=owned)
        self._close(before)

    def delete(self) -> None:
        """Close the value of this thread or task now; the next `get` makes one.

        What `on_exit` raises is raised here. Nothing happens where there is no value.

        Example:
            >>> from joinable import ThreadLocal
            >>> words: ThreadLocal[list[str]] = ThreadLocal(list, on_exit=print)
            >>> words.get().append("tea")
            >>> words.delete()
            ['tea']
            >>> words.get()
            []
            >>> words.delete()
            []
        """
        here = self._here()
        before = here.get("owned")
        here.pop("value", None)
        here["owned"] = None
        self._close(before)

    def bind(self, value: T, /) -> AbstractContextManager[None, None]:
        """Give this thread or task another value for a block: `with local.bind(value):`.

        After the block the value is what it was before, or absent. The bound value is not closed:
        it is yours. One that was set or made in the block, in its place, is closed at its end.

        Example:
            >>> from joinable import ThreadLocal
            >>> indent = ThreadLocal(int)
            >>> with indent.bind(4):
            ...     indent.get()
            4
            >>> indent.get()
            0

        A task that is started in the block does not see it: what a task is to inherit belongs into
        a `ContextVar`.

        Raises:
            RuntimeError: On leaving, in another thread or task than it was entered, or before a
                bind inside it. On entering: it is in force already.
        """
        return Bind((Bound(self, value),))

    # ---------------------------------------------------------------- what is in a thread

    def _here(self) -> dict[str, object]:
        return self._local.__dict__

    def _entries(self) -> _closing.Entries:
        return _closing.mine().entries(per_task=self._per_task)

    def _make(self) -> T:
        here = self._here()
        if "making" in here:
            raise RuntimeError(f"the default_factory of {self!r} asks for the value it is to make")
        here["making"] = True
        try:
            value = self._factory()
        finally:
            here.pop("making", None)
        self.set(value)
        return value

    def _close(self, owned: object) -> None:
        """Close a value that is not visible any more, on behalf of who calls us."""
        if isinstance(owned, Owned) and self._entries().pop(owned, owned) is None:
            owned.call()
