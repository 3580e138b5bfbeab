"""What goes to standard output and how it looks: JSON, plain columns for pipes, tables for people.

Every text is made plain on the way (S15), so nothing a job printed can act on the terminal. Rich is loaded only for a
terminal, which keeps scripts fast.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from echopilot_jobs.clock import iso
from echopilot_jobs.plain import plain
from echopilot_jobs.records import record

if TYPE_CHECKING:
    from rich.console import Console

JSON_VERSION = 1
STATE_STYLES = {
    "succeeded": "green", "RUNNING": "green", "leading": "green", "ok": "green",
    "running": "cyan", "queued": "cyan", "STARTING": "cyan",
    "waiting": "yellow", "warn": "yellow", "cancelled": "yellow", "skipped": "yellow", "stopped": "yellow",
    "STOPPED": "yellow",
    "failed": "red", "timed": "red", "abandoned": "red", "fail": "red", "silent": "red", "FATAL": "red",
    "BACKOFF": "red", "EXITED": "red",
}  # fmt: skip


@record(frozen=True)
class Column:
    """A column's heading; *gives_way* marks the one that is wrapped first when the terminal is narrow.

    A *spare* one is left out of a table that is only too wide because of it.
    """

    title: str
    right: bool = False
    gives_way: bool = False
    spare: bool = False


def say(text: str) -> None:
    """One line of talk, on standard error."""
    print(plain(text), file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def line(text: str = "") -> None:
    """One line of data, on standard output, made plain."""
    print(plain(text))  # noqa: T201


def sentence(text: str, lead: str = "") -> None:
    """A line of data that people read: on a terminal broken between words, and going on beside *lead*."""
    if not is_terminal():
        line(f"{lead}{text}")
        return
    console = _console()
    for number, piece in enumerate(_text(plain(text)).wrap(console, max(console.width - len(lead), 1))):
        line(f"{' ' * len(lead) if number else lead}{piece.plain.rstrip()}")


def script(text: str) -> None:
    """Text of our own for another program to read, as it is."""
    print(text)  # noqa: T201


def emit_json(kind: str, body: Any, now: datetime, **more: Any) -> None:
    """The envelope `{"version": 1, "at": …, kind: body, …}`. ASCII only, so no character in it can act on a terminal."""
    whole = {"version": JSON_VERSION, "at": iso(now), kind: body, **more}
    print(json.dumps(whole, indent=2, ensure_ascii=True))  # noqa: T201


def is_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def heading(text: str) -> None:
    """A line that opens a section."""
    if is_terminal():
        _console().print(_text(text, "bold"))
    else:
        line(text)


def table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """Rows under headings: aligned plain text in a pipe, a table on a terminal, one field a line where that is too narrow."""
    cells = [["-" if cell is None else plain(cell) for cell in row] for row in rows]
    if not is_terminal():
        _columns(columns, cells)
        return
    console = _console()
    for shown in (range(len(columns)), [place for place, column in enumerate(columns) if not column.spare]):
        kept, rest = [columns[place] for place in shown], [[row[place] for place in shown] for row in cells]
        if _least_width(kept, rest) <= console.width:
            _rich_table(console, kept, rest)
            return
    _cards(console, columns, cells)


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, one a line."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        text = "-" if value is None else plain(value)
        if is_terminal():
            _console().print(_pair(f"{name:<{width}}  ", "dim", text))
        else:
            line(f"{name:<{width}}  {text}")


def marked(mark: str, state: str, text: str, note: str | None) -> None:
    """A line with a coloured mark before it and, indented, what to do about it."""
    if is_terminal():
        _console().print(_pair(f"{mark} ", _style(state), plain(text)))
    else:
        line(f"{mark} {text}")
    if note:
        sentence(note, lead="    -> ")


def logged(at: str, level: str, what: str, beside: str) -> None:
    """A line of a log: when, what, and the facts beside it; the grave ones in colour."""
    if not is_terminal():
        line(f"{at} {level:<7} {what}  {beside}".rstrip())
        return
    style = {"warning": "yellow", "error": "red", "debug": "dim"}.get(level, "")
    when = _text("").append(f"{at} {level:<7} ", "dim")  # the level in words, too: not everybody is shown colours
    _console().print(
        when.append(what, style or "bold").append(f"  {beside}".rstrip(), "dim" if level == "debug" else "")
    )


def flush() -> None:
    """Let what was printed be seen now."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _columns(columns: Sequence[Column], rows: list[list[str]]) -> None:
    lines = [[column.title for column in columns], *rows]
    widths = [max(len(row[n]) for row in lines) for n in range(len(columns))]
    for row in lines:
        padded = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        line("  ".join(padded).rstrip())


def _least_width(columns: Sequence[Column], rows: list[list[str]]) -> int:
    """How wide a terminal must be for the table to stay readable."""
    widths = [max(len(row[n]) for row in [[c.title for c in columns], *rows]) for n in range(len(columns))]
    needed = [min(width, 14) if column.gives_way else width for width, column in zip(widths, columns, strict=True)]
    return sum(needed) + 2 * len(columns)


def _rich_table(console: Console, columns: Sequence[Column], rows: list[list[str]]) -> None:
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.gives_way,
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*(_text(cell, _style(cell)) for cell in row))
    console.print(grid)


def _cards(console: Console, columns: Sequence[Column], rows: list[list[str]]) -> None:
    for number, row in enumerate(rows):
        if number:
            console.print()
        for column, cell in zip(columns, row, strict=True):
            if cell in ("", "-"):  # a table needs something in each place, a block does not
                continue
            console.print(_pair(f"{column.title.lower()}: ", "dim", cell))


def _console() -> Console:
    from rich.console import Console

    class Terminal(Console):
        """Leaves a closed pipe to the one place that handles it."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    # NO_COLOR: not only no colour but no escape sequence at all.
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Terminal(file=sys.stdout, color_system=colours, highlight=False, markup=False, emoji=False)


def _text(text: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(text, style=style, overflow="fold")


def _pair(name: str, style: str, value: str) -> Any:
    """A name in its style, then a value in its own."""
    return _text("").append(name, style).append(value, _style(value))


def _style(cell: str) -> str:
    return STATE_STYLES.get(cell.partition(" ")[0], "")
