"""Bars for long work: for a person, on standard error, and never among the data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from echopilot_jobs.cli import out
from echopilot_jobs.clock import Clock, SystemClock
from echopilot_jobs.plain import plain, shorten

if TYPE_CHECKING:
    from rich.progress import Progress

NARROW = 60
PATIENCE = 10.0  # seconds before work without a bar is told of
NOTE_MOST = 40


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None:
        """So much is *done* of *total*, where that is known, with a word about it."""


def shows_bars() -> bool:
    """Whether somebody looks at standard error who can be shown a line that changes."""
    return sys.stderr is not None and sys.stderr.isatty() and not is_dumb()


def is_dumb() -> bool:
    """Whether the terminal says that it cannot move its cursor."""
    return os.environ.get("TERM", "") in ("", "dumb", "unknown")


@contextmanager
def bar(what: str, *, wanted: bool = True) -> Iterator[Advance | None]:
    """Inside the block, what to call as the work goes on; None where no bar is shown or it is not *wanted*.

    Until it is called for the first time the bar tells only that something goes on. It is gone when the block ends.
    """
    if not (wanted and shows_bars()):
        yield None
        return
    with _bar() as progress:
        task = progress.add_task(what, total=None)

        def advance(done: float, total: float | None = None, note: str = "") -> None:
            about = f"{what}: {shorten(plain(note), NOTE_MOST)}" if note else what
            progress.update(task, completed=done, total=total, description=about)

        yield advance


def telling(advance: Advance | None, what: str, clock: Clock | None = None) -> Callable[[float], None]:
    """What work that counts in shares of the whole may call. Without a bar it is told in lines, but only if it lasts."""
    if advance is not None:
        return lambda share: advance(share, 1.0)
    clock = clock or SystemClock()
    lasted, began = PATIENCE, clock.monotonic()

    def tell(share: float) -> None:
        nonlocal lasted
        if clock.monotonic() - began >= lasted:
            out.say(f"note: {what}: {share:.0%} done")
            lasted *= 2  # a line in a log now and then, not a file of them

    return tell


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    console = Console(file=sys.stderr, color_system=colours, highlight=False, markup=False, emoji=False)
    # Lines printed meanwhile go above the bar; where standard output is no terminal they are data and stay what they are.
    is_shared = sys.stdout is not None and sys.stdout.isatty()
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), TaskProgressColumn()]
    if console.width >= NARROW:
        columns = [columns[0], BarColumn(), columns[1], TimeElapsedColumn()]
    return Progress(*columns, console=console, transient=True, redirect_stdout=is_shared)
