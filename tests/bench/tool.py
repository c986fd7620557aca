"""What the benchmark asks of a library, and how to say that it has no such thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Number: TypeAlias = "Callable[[int], int]"
Gather: TypeAlias = "Callable[[Callable[[], object], int, int], object]"
Collect: TypeAlias = "Callable[[Number, Iterable[int], int], list[int]]"
Stream: TypeAlias = "Callable[[Number, Iterable[int], int, int], Iterator[int]]"


@dataclass(frozen=True, slots=True)
class Tool:
    """The forms of work that a library has, each as its users would write it; None: not this one.

    What a form takes, in order: what to call; how often, or the items to call it with; how many
    threads at a time; of the streams also how many results may lie between.
    """

    name: str
    gather: Gather | None = None
    """Make the same call many times, and take all the results."""
    settle: Gather | None = None
    """The same with a call that fails: let all of them run, and take all the errors."""
    collect: Collect | None = None
    """Call a function with each item; a list of the results, in order."""
    stream: Stream | None = None
    """Call a function with each item; the results in order, as they are asked for."""
    unordered: Stream | None = None
    """Call a function with each item; the results as they come."""
    slow: bool = False
    """A tenth of the long lists is enough to measure it."""
