"""Draw a history as one SVG picture: a row for each thread, time from left to right.

What this promises: it is one file without scripts or fonts of its own, which any browser shows, on
its own and in a page, on a light background and on a dark one. Its size has a bound that does not
depend on how much was recorded: what is too narrow to be seen is drawn together with its
neighbours, and says how many they are.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from joinable.trace._axis import ticks
from joinable.trace._facts import say_seconds, shorten
from joinable.trace._history import short_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from joinable.trace._history import Bar, Gap, History, Line

__all__ = ["to_svg"]

_NAMESPACE = "http://www.w3.org/2000/svg"
_WIDTH = 1200
_TOP = 76  # title, legend and the upper axis
_LETTER = 6.4  # pixels, of a letter of 11
_NARROW = 1.0  # pixels: what is narrower is drawn together with its neighbours
_CLASSES = {
    "ok": "ok",
    "running": "ok open",
    "failed": "bad",
    "given up": "bad",
    "cancelled": "off",
}

# Colours that differ in lightness too, for those who see few colours, and for paper.
_STYLE = """
svg{--back:#fff;--ink:#24292f;--soft:#5f6973;--track:#eef1f4;--grid:#d5dae0;--ok:#2f6fb5;--wait:#f2cf7a;
--bad:#c8322b;--off:#9aa3ad;--on:#fff;--dark:#3b2f0b;font:11px ui-sans-serif,system-ui,"Segoe UI",
Helvetica,Arial,sans-serif}
@media(prefers-color-scheme:dark){svg{--back:#16191d;--ink:#e4e8ec;--soft:#9aa4ae;--track:#22272d;
--grid:#3a424b;--ok:#3573b9;--wait:#cfa64c;--bad:#cf4038;--off:#6b7580;--on:#fff;--dark:#1c1503}}
.back{fill:var(--back)}text{fill:var(--ink);pointer-events:none}.soft{fill:var(--soft)}
.title{font-size:14px;font-weight:600}.track{fill:var(--track)}.grid{stroke:var(--grid)}
.ok{fill:var(--ok)}.bad{fill:var(--bad)}.off{fill:url(#off)}.wait{fill:var(--wait)}
.stripe{stroke:var(--off);stroke-width:3}.under{fill:var(--track)}
.open{stroke:var(--ink);stroke-dasharray:3 2}
text{paint-order:stroke;stroke-linejoin:round}.in-ok,.in-bad{fill:var(--on);stroke-width:3}
.in-ok{stroke:var(--ok)}.in-bad{stroke:var(--bad)}.in-off{stroke:var(--back);stroke-width:3}
.in-wait{fill:var(--dark);stroke:var(--wait);stroke-width:3}g:hover>.b{opacity:.75}
"""


def to_svg(history: History) -> str:
    """Return the text of the file."""
    return "".join(_Picture(history).draw())


@dataclasses.dataclass(slots=True)
class _Box:
    """What is drawn as one rectangle: a task, or many that are too narrow."""

    start: float
    end: float
    bars: list[Bar]


class _Picture:
    def __init__(self, history: History) -> None:
        self.history = history
        self.seconds = history.seconds or 1e-6  # nothing took no time
        self.lines = [line for line in history.lines if line.bars or line.gaps]
        self.lines = self.lines or history.lines[:1]
        self.row = _row_height(len(self.lines))
        longest = max((_width_of(line.name) for line in self.lines), default=0)
        self.left = min(200.0, 24 + max(40.0, longest * self._letter()))
        self.right = _WIDTH - 64.0
        self.bottom = _TOP + self.row * len(self.lines)

    def _letter(self) -> float:
        return _LETTER * self._size() / 11

    def _size(self) -> float:
        return max(6.0, min(11.0, self.row - 2))

    def x(self, time: float) -> float:
        return self.left + (self.right - self.left) * time / self.seconds

    # ---------------------------------------------------------------- the whole

    def draw(self) -> Iterator[str]:
        height = self.bottom + 30
        size = f'width="{_WIDTH}" height="{height:g}" viewBox="0 0 {_WIDTH} {height:g}"'
        label = _attribute(self._title())
        yield f'<svg xmlns="{_NAMESPACE}" {size} role="img" aria-label="{label}">'
        yield f"<style>{_STYLE}</style>"
        yield (
            '<defs><pattern id="off" width="6" height="6" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><rect class="under" width="6" height="6"/>'
            '<path class="stripe" d="M0 0V6"/></pattern></defs>'
        )
        yield f'<rect class="back" width="{_WIDTH}" height="{height:g}" rx="8"/>\n'
        yield _text(16, 26, self._title(), "title")
        yield from self._legend()
        yield from self._tracks()
        yield from self._axis()
        for number, line in enumerate(self.lines):
            yield from self._line(line, _TOP + number * self.row)
        yield "</svg>\n"

    def _title(self) -> str:
        history = self.history
        tasks = len(history.bars)
        used = sum(bool(line.bars) for line in history.lines)
        told = (
            f"{_many(tasks, 'task')} on {_many(used, 'thread')} in {say_seconds(history.seconds)}"
        )
        if history.dropped:
            told += f" (and {history.dropped} earlier ends that were dropped)"
        return told

    def _legend(self) -> Iterator[str]:
        counts = {"bad": 0, "off": 0}
        for bar in self.history.bars:
            if (kind := _CLASSES[bar.outcome]) in counts:
                counts[kind] += 1
        words = [("ok", "running"), ("wait", "waiting")]
        words += [("bad", f"failed ({counts['bad']})"), ("off", f"cancelled ({counts['off']})")]
        words += [("track", "idle")]
        if any(bar.outcome == "running" for bar in self.history.bars):
            words.append(("ok open", "not ended"))
        x = self.right
        for kind, word in reversed(words):
            x -= _width_of(word) * 6 + 4
            yield _text(x, 26, word)
            x -= 17
            yield f'<rect class="{kind}" x="{x:.1f}" y="16.5" width="12" height="11" rx="2"/>'
            x -= 14
        yield _text(_WIDTH - 12, 60, "busy", "soft", "end")

    def _tracks(self) -> Iterator[str]:
        gap = 1 if self.row < 14 else 2
        for number in range(len(self.lines)):
            top, width = _TOP + number * self.row + gap / 2, self.right - self.left
            yield _rect("track", self.left, top, width, self.row - gap)

    def _axis(self) -> Iterator[str]:
        ends = [60.0] if len(self.lines) <= 4 else [60.0, self.bottom + 18.0]
        for time, label in ticks(self.history.seconds):
            x = self.x(time)
            yield f'<path class="grid" d="M{x:.1f} {_TOP - 10}V{self.bottom + 4:g}"/>'
            for y in ends:
                yield _text(x, y, label, "soft", "middle")
        yield "\n"

    # ---------------------------------------------------------------- one thread

    def _line(self, line: Line, top: float) -> Iterator[str]:
        size = self._size()
        base = top + self.row / 2 + size * 0.36
        room = int((self.left - 18) / self._letter())
        yield _text(self.left - 8, base, shorten(line.name, room), "", "end", size=size)
        took = sum(bar.end - bar.start for bar in line.bars if bar.outer is None)
        busy = max(0.0, took - sum(bar.waiting for bar in line.bars)) / self.seconds
        yield _text(_WIDTH - 12, base, f"{min(1.0, busy):.0%}", "soft", "end", size=size)
        gap = 1 if self.row < 14 else 2
        for gaps in self._waits(line.gaps):
            yield self._wait(gaps, top + gap + self.row * 0.2, self.row * 0.6 - 2 * gap)
        for box in self._boxes(line.bars):
            yield from self._box(box, top + gap / 2, self.row - gap)
        yield "\n"

    def _boxes(self, bars: Iterable[Bar]) -> Iterator[_Box]:
        """Draw those together that are too narrow to be seen, and close to each other."""
        box: _Box | None = None
        for bar in bars:
            if box is not None and self._joins(box, bar):
                box.end = max(box.end, bar.end)
                box.bars.append(bar)
                continue
            if box is not None:
                yield box
            box = _Box(bar.start, bar.end, [bar])
        if box is not None:
            yield box

    def _joins(self, box: _Box, bar: Bar) -> bool:
        return (
            self.x(bar.start) - self.x(box.end) < _NARROW / 2
            and self.x(bar.end) - self.x(bar.start) < _NARROW
            and self.x(box.bars[-1].end) - self.x(box.bars[-1].start) < _NARROW
            and _CLASSES[box.bars[0].outcome] == _CLASSES[bar.outcome]
        )

    def _box(self, box: _Box, top: float, height: float) -> Iterator[str]:
        first = box.bars[0]
        inset = min(height / 3, 3.0 * first.depth)
        top, height = top + inset, height - 2 * inset
        x, width = self._span(box.start, box.end)
        yield f"<g><title>{_clean(_about(box.bars))}</title>"
        yield _rect(f"{_CLASSES[first.outcome]} b", x, top, width, height)
        frame = max(1.0, height * 0.14)
        if len(box.bars) == 1:
            for wait in self._waits(first.gaps):
                yield self._wait(wait, top + frame, height - 2 * frame)
            yield self._label(first, x, width, top, height)
        elif sum(bar.waiting for bar in box.bars) > (box.end - box.start) / 2:
            yield _rect("wait", x, top + frame, width, height - 2 * frame)
        yield "</g>"

    def _span(self, start: float, end: float) -> tuple[float, float]:
        x = self.x(start)
        # A hairline between neighbours, where there is room for it.
        width = self.x(end) - x
        return x, max(_NARROW, width - 0.6 if width > 3 else width)

    def _label(self, bar: Bar, x: float, width: float, top: float, height: float) -> str:
        size = self._size()
        if height < 11:
            return ""
        room = (width - 8) / self._letter()
        text = next((name for name in _names(bar.name) if _width_of(name) <= room), "")
        if not text:
            return ""
        ends = x + 4 + _width_of(text) * self._letter()
        under = sum(
            max(0.0, min(ends, self.x(gap.end)) - max(x, self.x(gap.start))) for gap in bar.gaps
        )
        kind = "in-wait" if under > (ends - x) / 2 else f"in-{_CLASSES[bar.outcome].split()[0]}"
        return _text(x + 4, top + height / 2 + size * 0.36, text, kind, size=size)

    def _waits(self, gaps: Sequence[Gap]) -> Iterator[list[Gap]]:
        """Draw those together between which nothing can be seen."""
        found: list[Gap] = []
        for gap in sorted(gaps, key=lambda each: each.start):
            if found and self.x(gap.start) - self.x(found[-1].end) >= _NARROW / 2:
                yield found
                found = []
            found.append(gap)
        if found:
            yield found

    def _wait(self, gaps: list[Gap], top: float, height: float) -> str:
        x, width = self.x(gaps[0].start), self.x(gaps[-1].end) - self.x(gaps[0].start)
        if width < _NARROW / 2:
            return ""
        took = say_seconds(sum(gap.end - gap.start for gap in gaps))
        longest = max(gaps, key=lambda gap: gap.end - gap.start)
        many = f"{len(gaps)} waits, {took} in all; the longest: " if len(gaps) > 1 else ""
        length = say_seconds(longest.end - longest.start)
        told = f"{many}waits {length} in {longest.what}\nat {short_place(longest.place)}"
        shown = _rect("wait", x, top, width, height, closed=False)
        return f"{shown}<title>{_clean(told)}</title></rect>"


# -------------------------------------------------------------------- words and pieces


def _row_height(lines: int) -> float:
    for most, height in ((12, 28.0), (32, 20.0), (80, 14.0)):
        if lines <= most:
            return height
    return 9.0


def _many(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _names(name: str) -> Iterator[str]:
    """Give the name, then shorter forms of it: what is called, of `group-1 (what is called)`."""
    yield name
    _, bracket, called = name.partition(" (")
    if bracket and called.endswith(")"):
        yield called[:-1]
        yield called[:-1].partition(" ")[0]


def _about(bars: Sequence[Bar]) -> str:
    if len(bars) == 1:
        return "\n".join(_about_one(bars[0]))
    longest = max(bars, key=lambda bar: bar.end - bar.start)
    took = say_seconds(sum(bar.end - bar.start for bar in bars))
    return "\n".join([f"{len(bars)} tasks, {took} in all; the longest:", *_about_one(longest)])


def _about_one(bar: Bar) -> Iterator[str]:
    yield bar.name
    waiting = f", of which {say_seconds(bar.waiting)} waiting" if bar.waiting else ""
    yield f"{say_seconds(bar.end - bar.start)}{waiting}, from {say_seconds(bar.start)} on"
    if bar.outcome != "ok":
        state = "has not ended" if bar.outcome == "running" else bar.outcome
        yield f"{state}: {bar.error}" if bar.error else state
    if bar.spawn is not None:
        parent = f" by {bar.parent.name}" if bar.parent else ""
        yield f"spawned at {short_place(bar.spawn.place)}{parent}"


def _rect(  # noqa: PLR0913  it has four sides
    kind: str, x: float, y: float, width: float, height: float, *, closed: bool = True
) -> str:
    end = "/>" if closed else ">"
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}"{end}'
    )


def _text(  # noqa: PLR0913  where, what, and how it looks
    x: float, y: float, text: str, kind: str = "", anchor: str = "", *, size: float = 11
) -> str:
    kind = f' class="{kind}"' if kind else ""
    anchor = f' text-anchor="{anchor}"' if anchor else ""
    more = "" if size > 10.9 else f' font-size="{size:g}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}{anchor}{more}>{_clean(text)}</text>'


def _width_of(text: str) -> int:
    """Return how many letters wide it is, about."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _clean(text: str) -> str:
    """Escape what has a meaning in XML, and replace what must not be in it at all."""
    return escape(
        "".join(letter if _is_allowed(letter) else "\N{REPLACEMENT CHARACTER}" for letter in text)
    )


def _attribute(text: str) -> str:
    return escape(_clean(text), {'"': "&quot;", "\n": " "})


def _is_allowed(letter: str) -> bool:
    code = ord(letter)
    return (
        (code >= 32 or letter in "\t\n\r")
        and not 0xD800 <= code <= 0xDFFF
        and code not in (0xFFFE, 0xFFFF)
    )
