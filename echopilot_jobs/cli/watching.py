"""A view that is shown anew every second until Ctrl-C, in a screen of its own that leaves the terminal as it was."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Literal, NoReturn

import click

from echopilot_jobs.cli import out
from echopilot_jobs.cli.bars import is_dumb
from echopilot_jobs.errors import EchoPilotError

EVERY_SECONDS = 1.0


class Frame(io.StringIO):
    """Takes what a verb prints and passes for the terminal it will be shown on."""

    def isatty(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.__stdout__.encoding if sys.__stdout__ is not None else "utf-8"


def refuse_without_terminal() -> None:
    """Raise unless there is a screen that can be written over."""
    if not out.is_terminal():
        raise click.UsageError(
            "--watch shows a live view and needs a terminal; leave it out, or give --json to a program"
        )
    if is_dumb():
        raise click.UsageError(
            f"--watch needs a terminal that can move its cursor, and TERM is '{os.environ.get('TERM', '')}'; leave it out"
        )


def watch(show: Callable[[], None], pause: Callable[[float], object] | None = None) -> NoReturn:
    """Show what *show* prints, again and again. Only Ctrl-C ends it; a ledger out of reach for a while does not."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    rest = pause or threading.Event().wait
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    console = Console(file=sys.stdout, color_system=colours, highlight=False, markup=False, emoji=False)
    with Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            live.update(Text.from_ansi(frame(show), overflow="fold"), refresh=True)
            rest(EVERY_SECONDS)


def frame(show: Callable[[], None]) -> str:
    """What *show* prints on either stream, or why it could not."""
    taken = Frame()
    with redirect_stdout(taken), redirect_stderr(taken):
        out.say("Ctrl-C ends the view; it is made anew every second")
        out.line()
        try:
            show()
        except EchoPilotError as error:
            out.say(f"error: {error}; looking again")
    return taken.getvalue()
