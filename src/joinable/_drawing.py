"""A tree of facts, and how it is written: which lines are left out, and what stands before them.

Branches are drawn, since a number of blanks says little to the eye three screens further down; in
ASCII where a file cannot show others.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BRANCHES", "Node", "draw"]

BRANCHES = "├└│─"

_PLAIN = str.maketrans(BRANCHES, "|`|-")

_ALIKE = 4  # of the threads that are at the same line; as many tell as much as all of them
_SIDE_BY_SIDE = 60  # below one thing; what has something below itself goes first
_ALL = 1000  # in one picture
_DEEPEST = 30  # levels that are indented; a screen is not wider


class Node:
    """One thing, what is to be told of it, and what belongs to it."""

    __slots__ = ("above", "below", "ident", "kind", "more", "title", "where")

    def __init__(
        self, kind: str, title: str, where: str | None = None, ident: int | None = None
    ) -> None:
        """Be a thing with nothing below it."""
        self.kind = kind  # in the plural: what is left out is counted by it
        self.title = title
        self.where = where
        self.ident = ident  # of the thread that runs its block, or its call
        self.more: tuple[str, ...] = ()  # further lines
        self.above: Node | None = None
        self.below: list[Node] = []

    def hang(self, node: Node) -> None:
        """Have another one below this one."""
        node.above = self
        self.below.append(node)

    def is_in(self, node: Node) -> bool:
        """Tell whether it is that one, or one below it."""
        here: Node | None = self
        while here is not None and here is not node:
            here = here.above
        return here is not None


class _Left(Node):
    """Stands for some that are not shown."""

    __slots__ = ()


def draw(roots: list[Node], *, plain: bool = False) -> str:
    """Write the tree; `plain`: with nothing that is not ASCII in its branches."""
    return "".join(f"{line.rstrip()}\n" for line in _lines(roots, plain=plain))


def _lines(roots: list[Node], *, plain: bool) -> Iterator[str]:
    shown = 0
    # Not by recursion: scopes may be nested deeper than calls.
    todo = [(root, "", "", 0) for root in reversed(roots)]
    while todo:
        node, first, rest, depth = todo.pop()
        if depth == 0 and shown:
            yield ""
        shown += not isinstance(node, _Left)
        if shown > _ALL:
            yield f"... and {1 + len(todo)} more branches"
            return
        below = _chosen(node.below)
        mark = f"[{depth} deep] " if depth > _DEEPEST else ""
        ahead = rest + ("│  " if below else "   ")
        yield from _own_lines(node, first + mark, ahead, plain=plain)
        for number, child in reversed([*enumerate(below, 1)]):
            last = number == len(below)
            todo.append(_placed(child, rest, depth + 1, last=last))


def _placed(child: Node, rest: str, depth: int, *, last: bool) -> tuple[Node, str, str, int]:
    if depth > _DEEPEST:
        return child, rest, rest, depth
    return child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "), depth


def _own_lines(node: Node, first: str, ahead: str, *, plain: bool) -> Iterator[str]:
    yield _branch(first, plain=plain) + node.title
    for line in (*node.more, node.where):
        if line:
            yield _branch(ahead, plain=plain) + line


def _branch(text: str, *, plain: bool) -> str:
    return text.translate(_PLAIN) if plain else text


def _chosen(nodes: list[Node]) -> list[Node]:
    """Leave out those that are like others, and those that are too many; say how many."""
    alike: dict[tuple[str, str | None], int] = {}
    kept: list[Node] = []
    for node in nodes:
        like = node.kind, node.where
        if not node.below and node.where is not None:
            alike[like] = alike.get(like, 0) + 1
            if alike[like] > _ALIKE:
                continue
        kept.append(node)
    left = [
        _Left(kind, f"... and {count - _ALIKE} more {kind} there", where)
        for (kind, where), count in alike.items()
        if count > _ALIKE
    ]
    if len(kept) <= _SIDE_BY_SIDE:
        return kept + left
    kept.sort(key=lambda node: not node.below)  # it keeps the order of those that are equal
    return [*kept[:_SIDE_BY_SIDE], _Left("", f"... and {len(kept) - _SIDE_BY_SIDE} more"), *left]
