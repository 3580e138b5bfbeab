"""A whole database copied into one file that stands alone, through SQLite's online backup.

Every step sees one snapshot, because the reading connection holds it open: without that, each commit of the scheduler would
make the copy begin again. Writers do not wait for it; only the write-ahead log grows meanwhile. A fifth of the time of
`VACUUM INTO`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

STEP_PAGES = 2000

Progress = Callable[[int, int], None]
"""Called after every step with pages done and pages in all. What it raises ends the copying."""


def copy_database(source: sqlite3.Connection, target: Path, progress: Progress | None = None) -> dict[str, int]:
    """Everything *source* sees at this moment, in the new file *target* (0600): the number of rows of every table.

    *target* keeps no log of its own; it is durable when the call returns, its name is not. *source* must not be inside a
    transaction. Raises `sqlite3.Error`, and `FileExistsError` rather than write over a file.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    source.execute("begin")
    try:
        rows = row_counts(source)  # the first read: the snapshot is taken here
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            # The callback is never left out: it is where a Ctrl-C gets through.
            source.backup(copy, pages=STEP_PAGES, progress=lambda _code, left, total: _tell(progress, left, total))
            copy.execute("pragma journal_mode=delete").fetchone()
    finally:
        if source.in_transaction:  # an I/O error may have ended it already
            source.execute("rollback")
    return rows


def row_counts(db: sqlite3.Connection) -> dict[str, int]:
    """How many rows every table has."""
    names = [row[0] for row in db.execute("select name from sqlite_schema where type = 'table' order by name")]
    return {name: _count(db, str(name)) for name in names}


def _count(db: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')  # a name cannot be a parameter; this one comes from the schema itself
    return int(db.execute(f'select count(*) from "{quoted}"').fetchone()[0])  # nosec B608


def _tell(progress: Progress | None, left: int, total: int) -> None:
    if progress is not None:
        progress(total - left, total)
