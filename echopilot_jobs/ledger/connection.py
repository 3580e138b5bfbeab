"""How SQLite is opened and how its transactions begin and end: the rules of this house, in one place.

WAL with `synchronous=FULL`, so that a committed claim survives a power loss (I9). Every write begins `IMMEDIATE`, so that
"read, then write" is one step. Automatic checkpoints are off everywhere and the scheduler alone checkpoints: library
versions before 3.51.3 have a WAL race when two processes do. Nothing but SQLite may open the file: a plain open and close
would drop the locks this process holds on it. What a statement needs to undo itself stays in memory: SQLite would make and
remove a file for every pass that claims a hundred slots, and could not on a full disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.errors import LedgerTooNew, LedgerUnavailable
from echopilot_jobs.ledger.permits import unwritable
from echopilot_jobs.ledger.statements import migrations, split

BUSY_TIMEOUT_SECONDS = 5.0
LOG_AT_REST_BYTES = 8 * 2**20
FRAME_BYTES = 4096 + 24  # a page in the WAL
LOOK_AGAIN_SECONDS = 0.01
CLOSED = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
PRAGMAS = ("synchronous=full", "wal_autocheckpoint=0", "foreign_keys=on", "temp_store=memory")


class Connector(Protocol):
    """How a ledger gets its connections: `connect`, unless a simulator stands in between."""

    def __call__(self, path: Path | None, *, create: bool) -> sqlite3.Connection:
        """A connection by the rules above."""
        ...


def connect(path: Path | None, *, create: bool) -> sqlite3.Connection:
    """A connection by the rules above; None is a database in memory. Raises `LedgerUnavailable`."""
    if path is not None and not create and not path.exists():
        raise LedgerUnavailable(f"no ledger at '{path}' yet; start the stack with `bin/stack` and it will be made")
    with readable_errors("opened", lambda: path):
        db = sqlite3.connect(
            # Never made by who only wants to open it: an exchange may have moved it aside this moment.
            ":memory:" if path is None else f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=path is not None,
            timeout=BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        db.row_factory = sqlite3.Row
        _turn_to_wal(db)
        for pragma in PRAGMAS:
            db.execute(f"pragma {pragma}").close()
    return db


def _turn_to_wal(db: sqlite3.Connection) -> None:
    """Have the file in WAL mode, waiting as long as for any lock.

    Two that turn a new file to WAL at once would each wait for the other's lock, so SQLite answers one of them `locked`
    without waiting at all: that one asks again.
    """
    clock = SystemClock()
    until = clock.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            db.execute("pragma journal_mode=wal").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or clock.monotonic() >= until:
                raise
            threading.Event().wait(LOOK_AGAIN_SECONDS)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """One IMMEDIATE transaction: committed when the block ends, undone when it raises."""
    with readable_errors("written", lambda: _file_of(db)):
        db.execute("begin immediate")
        try:
            yield
            db.execute("commit")
        except BaseException:
            # A failed COMMIT (full disk) may have rolled back by itself.
            if db.in_transaction:
                db.execute("rollback")
            raise


@contextmanager
def impatient(db: sqlite3.Connection) -> Iterator[None]:
    """Inside the block a lock is waited for a quarter of a second: for a health check, which must answer soon (F75)."""
    db.execute("pragma busy_timeout = 250").close()
    try:
        yield
    finally:
        db.execute(f"pragma busy_timeout = {round(BUSY_TIMEOUT_SECONDS * 1000)}").close()


@contextmanager
def readable_errors(verb: str, find: Callable[[], Path | None] = lambda: None) -> Iterator[None]:
    """Turn what SQLite says about the file into a sentence for a person; broken promises of ours stay bugs.

    SQLite names no file and no account: of one that *find* gives, both are said where they are the reason (F23).
    """
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.InternalError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        closed = code in CLOSED and (path := find()) and unwritable(path)
        said = closed or f"the ledger cannot be {verb}: {error}; see `echopilot doctor`"
        raise LedgerUnavailable(said) from error
    except UnicodeDecodeError as error:  # a damaged schema puts raw bytes into SQLite's message
        raise LedgerUnavailable("the ledger is damaged: its schema is no text; see `echopilot doctor`") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise LedgerUnavailable(f"the ledger is damaged or no ledger: {error}; see `echopilot doctor`") from error


def _file_of(db: sqlite3.Connection) -> Path | None:
    name = db.execute("pragma database_list").fetchone()[2]
    return Path(name) if name else None


def migrate(db: sqlite3.Connection) -> None:
    """Bring the schema to this release's version in one transaction (I30). Raises `LedgerTooNew` for a newer one."""
    newest = migrations()[-1][0]
    if _version(db) == newest:
        return
    with transaction(db):
        found = _version(db)  # again, now that nobody else can be migrating
        if found > newest:
            raise _too_new(found, newest)
        for version, script in migrations():
            if version > found:
                for statement in split(script):
                    db.execute(statement)
        db.execute(f"pragma user_version = {newest}")


def require_version(db: sqlite3.Connection) -> None:
    """For readers, which never migrate: a newer command line must not change the file under an older scheduler."""
    newest, found = migrations()[-1][0], _version(db)
    if found > newest:
        raise _too_new(found, newest)
    if found < newest:
        raise LedgerUnavailable(
            f"ledger at version {found}, this release needs {newest}; start the stack, which migrates it"
        )


def _too_new(found: int, newest: int) -> LedgerTooNew:
    return LedgerTooNew(f"ledger at version {found}, this release knows {newest}; start the newer release again")


def _version(db: sqlite3.Connection) -> int:
    with readable_errors("read"):
        return int(db.execute("pragma user_version").fetchone()[0])
