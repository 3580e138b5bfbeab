"""Small pictures as geometry: numbers for the SVG macros in `_charts.html`, which escape every text.

All drawings are `WIDTH` units wide and stretch to the page. Each has a title and a description for those who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from echopilot_jobs.records import record

WIDTH = 600.0


@record(frozen=True)
class Block:
    """A coloured stretch; *kind* is a class of the style sheet, *words* its tooltip."""

    x: float
    width: float
    kind: str
    words: str


@record(frozen=True)
class Strip:
    """A stretch of time from left to right with coloured blocks on it."""

    title: str
    description: str
    blocks: tuple[Block, ...]
    start: str
    end: str


@record(frozen=True)
class Line:
    """A series as one line, 0 to *height* from the top, with the limit as another where there is one."""

    title: str
    description: str
    points: str
    height: float
    limit_y: float | None
    limit_label: str
    low: str
    high: str
    dots: tuple[tuple[float, float], ...] = ()


@record(frozen=True)
class Bar:
    """Shares of a whole, side by side."""

    title: str
    description: str
    blocks: tuple[Block, ...]


def strip(
    title: str,
    description: str,
    spans: Sequence[tuple[float, float, str, str]],
    *,
    first: float,
    last: float,
    start: str,
    end: str,
) -> Strip:
    """A strip from *first* to *last* with (from, to, kind, words) *spans*, each wide enough to be seen."""
    scale = WIDTH / (last - first or 1.0)
    blocks = []
    for begin, stop, kind, words in spans:
        x = max(0.0, (begin - first) * scale)
        width = max(0.8, (min(stop, last) - begin) * scale)
        blocks.append(Block(round(min(x, WIDTH - width), 2), round(width, 2), kind, words))
    return Strip(title, description, tuple(blocks), start, end)


def line(
    title: str,
    description: str,
    values: Sequence[float],
    *,
    low: str,
    high: str,
    limit: float | None = None,
    limit_label: str = "",
    marked: Sequence[int] = (),
    height: float = 80.0,
) -> Line:
    """*values* from left to right; those at the indices *marked* get a dot; *limit* a line across."""
    shown = [*values, *([limit] if limit is not None else [])]
    least, most = min(shown), max(shown)
    reach = most - least

    def y(value: float) -> float:
        share = (value - least) / reach if reach else 0.5
        return round(4 + (height - 8) * (1 - share), 2)

    step = WIDTH / max(1, len(values) - 1)
    kept = _extremes(values, 300)
    points = " ".join(f"{round(i * step, 2)},{y(values[i])}" for i in kept)
    dots = tuple((round(i * step, 2), y(values[i])) for i in marked[:: max(1, len(marked) // 150)])
    return Line(
        title, description, points, height, y(limit) if limit is not None else None, limit_label, low, high, dots
    )


def _extremes(values: Sequence[float], most: int) -> list[int]:
    """The indices of at most *most* values that keep the lowest and highest of every stretch."""
    if len(values) <= most:
        return list(range(len(values)))
    size = math.ceil(len(values) / (most // 2))
    kept: set[int] = set()
    for i in range(0, len(values), size):
        piece = range(i, min(i + size, len(values)))
        kept |= {min(piece, key=values.__getitem__), max(piece, key=values.__getitem__)}
    return sorted(kept)


def bar(title: str, description: str, parts: Sequence[tuple[str, int]]) -> Bar:
    """(kind, count) *parts* of a whole; a part that is not zero is wide enough to be seen."""
    whole = sum(n for _, n in parts) or 1
    blocks, x = [], 0.0
    for kind, n in parts:
        if n:
            width = max(2.0, WIDTH * n / whole)
            blocks.append(Block(round(min(x, WIDTH - width), 2), round(width, 2), kind, f"{n:,} of {whole:,}: {kind}"))
            x += WIDTH * n / whole
    # The small parts come last, so that rounding up the width of one never hides it behind a big one.
    return Bar(title, description, tuple(sorted(blocks, key=lambda block: -block.width)))
