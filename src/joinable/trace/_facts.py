"""What a recording comes to: facts, and their table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from joinable._typing import override

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    Outcome = Literal["ok", "failed", "cancelled", "given up", "running"]

__all__ = ["Summary", "TaskFacts", "ThreadFacts", "say_seconds", "shorten"]

_SHOWN = 5  # rows of each list in the table; the lists themselves are whole
_WIDE = 44  # characters of a name in the table


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What is known of one task: a call of whatever kind.

    Example:
        >>> from joinable import run_all
        >>> from joinable.trace import TaskFacts, record
        >>> with record() as timeline:
        ...     numbers = run_all([int])
        >>> task: TaskFacts = timeline.summary().tasks[0]
        >>> task.name, task.outcome, task.error
        ('run_all-0 (int)', 'ok', None)
    """

    name: str
    """Its name, at its end."""
    thread: str
    """The thread that ran it; where it was not in this process, the executor."""
    start: float
    """Seconds from the beginning of the recording to its start."""
    seconds: float
    """How long it ran; until the end of the recording, if it still runs."""
    waiting: float
    """Seconds of that in which it waited in the library."""
    outcome: Outcome
    """How it has ended, or `running`; `given up` if others did not wait for its end."""
    error: str | None
    """What it has raised, by its class and the beginning of its message."""
    place: str | None
    """The file and the line that have spawned it."""
    parent: str | None
    """The name of the task that has spawned it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ThreadFacts:
    """What is known of one thread.

    Example:
        >>> from joinable import run_all
        >>> from joinable.trace import ThreadFacts, record
        >>> with record() as timeline:
        ...     numbers = run_all([int, int])
        >>> here: ThreadFacts = timeline.summary().threads[0]
        >>> here.name, here.tasks
        ('MainThread', 0)
    """

    name: str
    """Its name; of a worker, that of the worker."""
    tasks: int
    """How many tasks it has run."""
    running: float
    """Seconds in which it ran tasks and did not wait in the library."""
    waiting: float
    """Seconds in which it waited in the library, in a task or outside of one."""
    idle: float
    """The rest of the recording."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a recording comes to. `str()` of it is a table.

    Example:
        >>> from joinable import run_all, sleep
        >>> from joinable.trace import Summary, record
        >>> with record() as timeline:
        ...     results = run_all([int, lambda: sleep(0.01), [].pop], return_exceptions=True)
        >>> facts: Summary = timeline.summary()
        >>> facts.count("ok"), facts.failures[0].error
        (2, 'IndexError: pop from empty list')
        >>> facts.longest[0].waiting > 0, facts.waiting > 0, facts.running > 0
        (True, True, True)
    """

    seconds: float
    """How long was recorded."""
    tasks: tuple[TaskFacts, ...]
    """Every task that has begun, in the order of their starts."""
    never_begun: int
    """How many were cancelled before they began."""
    threads: tuple[ThreadFacts, ...]
    """Every thread that was seen; the one that records comes first."""
    dropped: int
    """How many ends of tasks and waits are not here, since there were more than `capacity`."""

    @property
    def running(self) -> float:
        """Seconds that tasks ran and did not wait in the library, all together."""
        return sum(task.seconds - task.waiting for task in self.tasks)

    @property
    def waiting(self) -> float:
        """Seconds that tasks waited in the library, all together."""
        return sum(task.waiting for task in self.tasks)

    @property
    def longest(self) -> tuple[TaskFacts, ...]:
        """The tasks, those first that took longest."""
        return tuple(sorted(self.tasks, key=lambda task: -task.seconds))

    @property
    def failures(self) -> tuple[TaskFacts, ...]:
        """The tasks that have failed, or were given up."""
        return tuple(task for task in self.tasks if task.outcome in {"failed", "given up"})

    def count(self, outcome: Outcome) -> int:
        """Return how many of the tasks that have begun have this outcome.

        Args:
            outcome: `ok`, `failed`, `cancelled`, `given up` or `running`.
        """
        return sum(task.outcome == outcome for task in self.tasks)

    @override
    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(summary: Summary) -> Iterator[str]:
    ends = [(summary.count(each), each) for each in ("ok", "failed", "given up", "cancelled")]
    ends += [(summary.count("running"), "still running"), (summary.never_begun, "never begun")]
    told = ", ".join(f"{number} {end}" for number, end in ends if number)
    yield f"tasks    {len(summary.tasks)}" + (f" ({told})" if told else "")
    used = [thread for thread in summary.threads if thread.tasks]
    yield f"threads  {len(used)}{_idlest(used, summary.seconds)}"
    yield f"wall     {say_seconds(summary.seconds)}"
    yield f"running  {say_seconds(summary.running)} in all tasks together"
    yield f"waiting  {say_seconds(summary.waiting)} in all tasks together"
    if summary.dropped:
        yield f"dropped  {summary.dropped} that came before; a larger capacity keeps more"
    yield from _table("longest", summary.longest)
    yield from _table("failed", summary.failures)


def _idlest(threads: Sequence[ThreadFacts], seconds: float) -> str:
    if len(threads) < 2 or not seconds:
        return ""
    idlest = max(threads, key=lambda thread: thread.idle)
    return f" ({_plain(idlest.name)} was idle most: {idlest.idle / seconds:.0%} of the time)"


def _table(title: str, tasks: Sequence[TaskFacts]) -> Iterator[str]:
    if not tasks:
        return
    yield ""
    yield f"{title:{_WIDE}}{'took':>10}{'waiting':>10}  on"
    for task in tasks[:_SHOWN]:
        name = shorten(_plain(task.name), _WIDE - 2)
        error = f": {shorten(_plain(task.error), _WIDE)}" if task.error else ""
        took, waiting = say_seconds(task.seconds), say_seconds(task.waiting)
        yield f"{name:{_WIDE}}{took:>10}{waiting:>10}  {_plain(task.thread)}{error}"
    if len(tasks) > _SHOWN:
        yield f"and {len(tasks) - _SHOWN} more"


def _plain(text: str) -> str:
    """Put a blank for what would break the table: the end of a line, say."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def say_seconds(seconds: float) -> str:
    """Say a time in the unit that suits it."""
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns" if seconds > 0 else "0 s"


def shorten(text: str, length: int) -> str:
    """Return the text, cut to so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
