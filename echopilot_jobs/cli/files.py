"""What verbs that work with files share: names refused before anything is done, and a bar for long copies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

MEBIBYTE = 1024 * 1024
LONG_BYTES = 64 * MEBIBYTE


def file_name(value: str | Path) -> Path:
    """A reader of file names, made absolute. The file need not be there; its name must be possible."""
    text = str(value)
    if not text.strip() or text == "-" or "\0" in text:
        raise click.BadParameter(f"came '{text[:80]}'; wanted: the name of a file")
    path = Path(text).absolute()
    try:
        path.exists()
    except OSError as error:
        raise click.BadParameter(f"came '{text[:80]}': {error.strerror}; wanted: the name of a file") from None
    return path


@contextmanager
def bar(what: str, file: Path) -> Iterator[Callable[[int, int], None] | None]:
    """Inside the block, what to call with pages done and pages in all; None where no bar is shown.

    It is shown only to a person, only where there is time to see it, and never among the data.
    """
    if sys.stderr is None or not sys.stderr.isatty() or _size(file) < LONG_BYTES:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(what)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
