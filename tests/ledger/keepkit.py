"""Ledgers made in the real schema without knowing more of it than its promises; processes; disks that are full."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.connection import connect, transaction

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STAMP = "20260302T080000Z"


def insert(db: sqlite3.Connection, table: str, **given: object) -> int:
    """One row, with something harmless in every column that must have a value; its id."""
    for name, kind, required, default, key in (
        (row[1], row[2], row[3], row[4], row[5]) for row in db.execute(f"pragma table_info({table})")
    ):
        if required and default is None and not key and name not in given:
            given[name] = "{}" if kind.lower() == "text" else 0
    marks = ", ".join(f":{name}" for name in given)
    return int(db.execute(f"insert into {table} ({', '.join(given)}) values ({marks})", given).lastrowid or 0)


def new_ledger(path: Path, runs: int = 0, term: int = 1) -> None:
    """A closed ledger with one job, stints up to *term* and *runs* runs."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(_built(runs, term))
    with opened(path) as db:
        db.execute("pragma synchronous = off")
        db.execute("update meta set value = lower(hex(randomblob(16))) where key = 'ledger_id'")


@cache
def _built(runs: int, term: int) -> bytes:
    """The file of such a ledger: made once, because every commit waits for the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger")
        SqliteLedger(path).close()
        begin(path, term)
        add_runs(path, runs)
        return path.read_bytes()


def begin(path: Path, term: int = 1) -> None:
    """One job, and stints up to *term*."""
    with opened(path) as db, transaction(db):
        insert(db, "jobs", name="work")
        for number in range(1, term + 1):
            insert(db, "stints", owner="b:1:1", term=number)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection by the rules of the house."""
    with closing(connect(path, create=False)) as db:
        yield db


def add_runs(path: Path, count: int) -> None:
    """*count* runs more, each in a transaction of its own."""
    with opened(path) as db:
        db.execute("pragma synchronous = off")  # nobody pulls the plug on a test
        for _ in range(count):
            commit_run(db)


def commit_run(db: sqlite3.Connection) -> int:
    """One transaction that touches two tables: a run, and its id noted as the beat of every stint."""
    with transaction(db):
        run = insert(db, "runs", job_id=1, origin="schedule", state="succeeded", result="x" * 300)
        db.execute("update stints set beat_at = ?", (run,))
    return run


def run_ids(path: Path) -> list[int]:
    """The ids of all runs; proves on the way that no transaction was torn in two."""
    with opened(path) as db:
        ids = [row[0] for row in db.execute("select id from runs order by id")]
        beats = {row[0] for row in db.execute("select beat_at from stints")}
    assert beats == {max(ids, default=0)}, "half a transaction"
    return ids


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with opened(path) as db:
        names = [row[0] for row in db.execute("select name from sqlite_schema where type = 'table'")]
        return {name: sorted(map(tuple, db.execute(f"select * from {name}")), key=repr) for name in names}


def set_term(path: Path, term: int) -> None:
    """One stint more, with that term."""
    with opened(path) as db, transaction(db):
        beat = db.execute("select coalesce(max(id), 0) from runs").fetchone()[0]
        insert(db, "stints", owner="b:1:1", term=term, beat_at=beat)


def copy_files(source: Path, target: Path) -> None:
    """The file and its log as they lie there, as after a power loss."""
    for suffix in ("", "-wal"):
        there, here = Path(f"{source}{suffix}"), Path(f"{target}{suffix}")
        here.unlink(missing_ok=True)
        if there.exists():
            shutil.copy(there, here)


def files(path: Path) -> set[str]:
    """What lies beside the ledger, the index left out: it is made anew by whoever looks."""
    return {each.name for each in path.parent.iterdir() if not each.name.endswith("-shm")}


def python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A real process with this package and these helpers."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def can_mount() -> bool:
    """Whether this account may mount a small disk of its own in a namespace."""
    try:
        tried = subprocess.run(
            ["unshare", "-Urm", "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True, check=False
        )
    except OSError:
        return False
    return tried.returncode == 0


def on_tiny_disk(folder: Path, options: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with *arguments* where *folder* is a disk of its own, for example with `size=2m`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}
    script = 'mount -t tmpfs -o "$1" tiny "$2" && shift 2 && exec "$@"'
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", options, str(folder), sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
