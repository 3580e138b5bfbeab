"""The question before what cannot be taken back with one word; where nobody can be asked, `--yes` answers it."""

from __future__ import annotations

import sys

import click


def agreed(question: str, otherwise: str) -> bool:
    """Whether somebody at a terminal says yes. Raises where there is none; *otherwise* says what to give instead."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"nobody can be asked here; {otherwise}")
    return click.confirm(question, err=True)


yes_option = click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
