"""In what condition is the file of a ledger? Asked through SQLite, reading only.

A quick check reads every page: 0.3 s for a million runs in memory, two seconds and more from a cold disk. A full check also
compares every index with its table, which tells a mixture of two ledgers: 1.3 s. Therefore `Inspection` does both in a
thread of its own, and a start waits for it only so long.
"""

from __future__ import annotations

import sqlite3
import stat
import threading
from contextlib import closing, suppress
from enum import IntEnum, StrEnum
from pathlib import Path

from echopilot_jobs.errors import EchoPilotError, LedgerTooNew, LedgerUnavailable
from echopilot_jobs.ledger.connection import BUSY_TIMEOUT_SECONDS
from echopilot_jobs.ledger.durable import beside, write_whole
from echopilot_jobs.ledger.identity import Identity, LedgerMark, continuity, identity_of
from echopilot_jobs.ledger.statements import migrations
from echopilot_jobs.records import record

# What SQLite says when the bytes are wrong, as opposed to when it cannot get at them.
BAD_BYTES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
# What a damaged file can raise: SQLite's errors, and their texts, names and numbers when these are garbage themselves.
UNFIT = (sqlite3.Error, ValueError, TypeError)
SMALLEST_BYTES = 512  # of a SQLite database
CONDEMNED_SUFFIX = ".condemned"


class Depth(IntEnum):
    """How much is read: the first pages (a millisecond), every page, every page and every index entry."""

    GLANCE = 0
    QUICK = 1
    FULL = 2


class Condition(StrEnum):
    """What a file turned out to be. `empty`: a ledger that nothing was ever written to."""

    MISSING = "missing"
    EMPTY = "empty"
    SOUND = "sound"
    DAMAGED = "damaged"
    STALE_WAL = "stale_wal"
    FOREIGN = "foreign"
    TOO_NEW = "too_new"
    UNREADABLE = "unreadable"


@record(frozen=True)
class Health:
    """A file's condition with one sentence for a person; *identity* and *version* where they could be read."""

    condition: Condition
    sentence: str
    identity: Identity | None = None
    version: int | None = None

    @property
    def is_sound(self) -> bool:
        """Whether it is a ledger this release can use, every byte that was looked at in order."""
        return self.condition is Condition.SOUND

    @property
    def can_begin(self) -> bool:
        """Whether a scheduler may open the path: a sound ledger, or nothing that could be lost."""
        return self.condition in (Condition.SOUND, Condition.MISSING, Condition.EMPTY)

    def error(self) -> EchoPilotError:
        """What to raise for it."""
        return (LedgerTooNew if self.condition is Condition.TOO_NEW else LedgerUnavailable)(self.sentence)


def inspect(path: Path, depth: Depth = Depth.QUICK, *, alone: bool = False) -> Health:
    """The condition of the ledger at *path*. Never raises for what it finds, and changes nothing but `-wal` and `-shm`.

    *alone* looks at the file without the write-ahead log beside it and without locks: for a file nobody writes to.
    """
    found = _before_opening(path)
    if found is not None:
        return found
    try:
        with closing(_open(path, alone=alone)) as db:
            return _judged(db, path, depth)
    except UNFIT as error:
        return _refused(path, error)


def inspect_suspected(path: Path, mark: LedgerMark) -> Health:
    """A full check, in which a write-ahead log that belongs to another copy of the file is told from damage (F20).

    SQLite lays any log beside a file over it. The mixture fails the full check although the file alone is sound; or it
    passes, lacks what was known, and the file came after the log.
    """
    both = inspect(path, Depth.FULL)
    lacks = continuity(path, mark, both.identity).needs_a_person and _came_after_log(path)
    if not has_log(path) or not (both.condition is Condition.DAMAGED or lacks):
        return both
    alone = inspect(path, Depth.FULL, alone=True)
    if not alone.is_sound or alone.identity is None or alone.identity.ledger_id != mark.ledger_id:
        return both
    return Health(
        Condition.STALE_WAL,
        f"the write-ahead log beside '{path.name}' belongs to another copy of it; `echopilot restore FILE` puts a copy "
        "in place together with what belongs to it",
        alone.identity,
        alone.version,
    )


def _came_after_log(path: Path) -> bool:
    try:
        return path.stat().st_ctime_ns > beside(path, "-wal").stat().st_mtime_ns
    except OSError:
        return False


def is_suspect(path: Path, mark: LedgerMark | None) -> bool:
    """Whether the file may have been exchanged under its write-ahead log: it is not the one marked, or knows less."""
    if mark is None or not has_log(path):
        return False
    if not mark.is_of(path):
        return True
    alone = inspect(path, Depth.GLANCE, alone=True)
    known = alone.identity
    return known is None or known.term < mark.term or known.last_run < mark.last_run


class Inspection:
    """A quick check and, if that finds nothing, a full one, in a thread of its own, begun at once.

    Damage is noted in a file beside the ledger, so that a start that could not wait for the answer is followed by one that
    does: see `is_condemned`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: Health | None = None
        self._final: Health | None = None
        self._quickly = threading.Event()
        self._stopped = False
        self._db: sqlite3.Connection | None = None
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ledger-check", daemon=True)
        self._thread.start()

    def first(self, seconds: float | None) -> Health | None:
        """What the quick check found, waiting at most *seconds* for it (None: as long as it takes); else None."""
        self._quickly.wait(seconds)
        return self._first

    def wait(self, seconds: float | None = 0.0) -> Health | None:
        """What was found in the end, waiting at most *seconds* for it (None: as long as it takes); else None."""
        self._thread.join(seconds)
        return self._final

    def stop(self) -> None:
        """Break it off if it still goes on. What it had found by then stays."""
        with self._guard:
            self._stopped = True
            if self._db is not None:
                self._db.interrupt()
        self._thread.join()

    def _run(self) -> None:
        try:
            health = self._checked(Depth.QUICK)
            if not self._stopped:
                self._first = health
            self._quickly.set()
            if health.is_sound and not self._stopped:
                health = self._checked(Depth.FULL)
            if self._stopped:
                return
            if health.condition is Condition.DAMAGED:
                with suppress(OSError):
                    write_whole(beside(self._path, CONDEMNED_SUFFIX), health.sentence.encode("ascii", "replace"))
            self._final = health
        finally:
            self._quickly.set()

    def _checked(self, depth: Depth) -> Health:
        health = _before_opening(self._path)
        if health is None:
            try:
                health = self._opened(depth)
            except UNFIT as error:
                health = _refused(self._path, error)
        return health

    def _opened(self, depth: Depth) -> Health:
        with closing(_open(self._path, alone=False)) as db:
            with self._guard:
                self._db = db
            try:
                if self._stopped:
                    db.interrupt()
                return _judged(db, self._path, depth)
            finally:
                with self._guard:  # so that `stop` never interrupts a connection that is closed
                    self._db = None


def is_condemned(path: Path) -> bool:
    """Whether a check of the ledger at *path* has found damage that nobody has acted on yet."""
    return beside(path, CONDEMNED_SUFFIX).exists()


def acquit(path: Path) -> None:
    """Forget what was found: the ledger was looked at again, or another one stands there."""
    with suppress(OSError):
        beside(path, CONDEMNED_SUFFIX).unlink(missing_ok=True)


def _before_opening(path: Path) -> Health | None:
    """What can be told without SQLite; None when it has to be opened."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return _without_file(path)
    except OSError as error:
        return Health(Condition.UNREADABLE, f"'{path}' cannot be reached: {error.strerror}")
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        return Health(Condition.FOREIGN, f"'{path}' is {kind}, not a ledger")
    return None if found.st_size >= SMALLEST_BYTES else _without_a_page(path, found.st_size)


def _without_file(path: Path) -> Health:
    if has_log(path):
        return Health(Condition.DAMAGED, f"'{path}' is gone and its write-ahead log was left behind")
    return Health(Condition.MISSING, f"there is no '{path}'")


def _without_a_page(path: Path, size: int) -> Health:
    """SQLite would take it for new, write over it, and throw away the log, which may be all there is left."""
    if has_log(path):
        return Health(Condition.DAMAGED, f"'{path}' has {size} bytes and a write-ahead log beside it")
    if size:
        return Health(Condition.DAMAGED, f"'{path}' has only {size} bytes and is no SQLite database")
    return Health(Condition.EMPTY, f"'{path}' has 0 bytes")


def _open(path: Path, *, alone: bool) -> sqlite3.Connection:
    mode = "immutable=1" if alone else "mode=ro"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _judged(db: sqlite3.Connection, path: Path, depth: Depth) -> Health:
    version, newest = int(db.execute("pragma user_version").fetchone()[0]), migrations()[-1][0]
    identity = identity_of(db)
    if identity is None:
        return _without_identity(db, path, version)
    if version > newest:
        sentence = (
            f"'{path}' is a ledger at version {version}, this release knows {newest}; start the newer release again"
        )
        return Health(Condition.TOO_NEW, sentence, identity, version)
    if wrong := _wrong(db, depth):
        return Health(Condition.DAMAGED, f"'{path}' is damaged: {wrong}", identity, version)
    return Health(Condition.SOUND, f"'{path}' is a sound ledger", identity, version)


def _without_identity(db: sqlite3.Connection, path: Path, version: int) -> Health:
    tables = {row[0] for row in db.execute("select name from sqlite_schema")}
    if not version and not tables:
        return Health(Condition.EMPTY, f"'{path}' holds no table yet")
    if len(tables & {"meta", "stints", "runs", "jobs", "events"}) > 1:
        return Health(Condition.DAMAGED, f"'{path}' is damaged: it has lost tables or its id")
    return Health(Condition.FOREIGN, f"'{path}' is a database, but no ledger of EchoPilot Jobs")


def _wrong(db: sqlite3.Connection, depth: Depth) -> str | None:
    """The first thing that is not in order, in SQLite's words; None for none."""
    if depth is Depth.GLANCE:
        return None
    check = "quick_check" if depth is Depth.QUICK else "integrity_check"
    said = str(db.execute(f"pragma {check}(1)").fetchone()[0])
    return None if said == "ok" else " ".join(said.removeprefix("*** in database main ***").split())


def _refused(path: Path, error: Exception) -> Health:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if not isinstance(error, sqlite3.Error):
        return Health(Condition.DAMAGED, f"'{path}' is damaged: it holds what is no text or no number")
    if code == sqlite3.SQLITE_NOTADB:
        return Health(Condition.DAMAGED, f"'{path}' is no SQLite database")
    # A plain error is a schema that cannot be understood: a table without its column, a page of text.
    if code in BAD_BYTES or code == sqlite3.SQLITE_ERROR:
        return Health(Condition.DAMAGED, f"'{path}' is damaged: {error}")
    return Health(Condition.UNREADABLE, f"'{path}' cannot be read: {error}")


def has_log(path: Path) -> bool:
    """Whether a write-ahead log lies beside the file at *path* that anything was ever written to."""
    try:
        return beside(path, "-wal").stat().st_size > 0
    except OSError:
        return False
