"""What verbs that work with files share: names refused before anything is done, and which files are large."""

from __future__ import annotations

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


def is_long(file: Path) -> bool:
    """Whether work on *file* takes long enough for a person to wonder."""
    try:
        return file.stat().st_size >= LONG_BYTES
    except OSError:
        return False
