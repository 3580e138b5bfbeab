"""Copies of the ledger and their way back. A copy counts only when it was read again and found whole (F80)."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from echopilot_jobs.errors import EchoPilotError, LedgerTooNew, WrongState
from echopilot_jobs.ledger.connection import connect, transaction
from echopilot_jobs.ledger.copying import Progress, copy_database, row_counts
from echopilot_jobs.ledger.durable import beside, draft_of, stamp, sync_folder
from echopilot_jobs.ledger.identity import (
    RUNS_BEYOND_MARK,
    Identity,
    LedgerMark,
    continue_numbering,
    identity_of,
    mark_path,
    read_mark,
    write_mark,
)
from echopilot_jobs.ledger.inspection import Condition, Depth, Health, has_log, inspect, inspect_suspected
from echopilot_jobs.ledger.refusing import note_refusal
from echopilot_jobs.ledger.restores import note_restore
from echopilot_jobs.ledger.swap import LOGS, drop_widowed, exchange, part, parting_draft, settle
from echopilot_jobs.records import record

MEBIBYTE = 1024 * 1024
DRAFT_RULE = re.compile(r"\..+\.([0-9]+)\.draft")
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class CopyFailed(EchoPilotError):
    """A copy could not be made or is not what it should be; nothing of it was kept."""

    status = 507


@record(frozen=True)
class Copy:
    """A checked copy: where, how many bytes, which ledger at which point, and the rows of every table."""

    path: Path
    bytes: int
    identity: Identity
    version: int
    rows: Mapping[str, int]


@record(frozen=True)
class Restored:
    """What stands in the ledger's place now, and under which name the one before was kept (None: there was none)."""

    identity: Identity
    aside: Path | None


def default_target(var_dir: Path, now: datetime) -> Path:
    """Where a backup goes when nobody says: `var/backups/ledger-STAMP.sqlite3`."""
    return var_dir / "backups" / f"ledger-{stamp(now)}.sqlite3"


def newest_backup(var_dir: Path) -> Path | None:
    """The newest backup in the folder where backups go by default."""
    return max((var_dir / "backups").glob("ledger-*.sqlite3"), key=lambda path: path.name, default=None)


def back_up(ledger: Path, target: Path, progress: Progress | None = None) -> Copy:
    """Copy the ledger as it is this moment to *target* (0600), which must not exist. Nobody has to stop for it.

    The copy is read again before it gets its name: a file of that name is whole or absent. Raises `WrongState` for a
    target that is taken, `LedgerTooNew`, `LedgerUnavailable`, `CopyFailed`.
    """
    if os.path.lexists(target):
        raise WrongState(f"'{target}' exists and is not overwritten; name another file")
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    with _explained(f"no backup was written to '{target}'"), _dropped_on_failure(draft, *_left_behind(target.parent)):
        with closing(connect(ledger, create=False)) as source:
            _room_for(source, target.parent)
            rows = copy_database(source, draft, progress)
        copy = _checked(draft, rows)
        _name(draft, target)
    return Copy(target, target.stat().st_size, copy.identity, copy.version, rows)


def restore(
    source: Path,
    ledger: Path,
    now: datetime,
    progress: Progress | None = None,
    tell: Callable[[], None] = lambda: None,
    *,
    told: int = 0,
) -> Restored:
    """Put a copy of the ledger in *source* in the place of *ledger*, which is kept under another name.

    *tell* is called once the copy is checked and before anything moves; what it raises leaves all as it was.
    Only while nobody uses the ledger; the caller has seen to that. Run ids go on above all that were ever given, the mark
    is made to fit, and what was lost is noted in the ledger. *told*: the highest run the log names. Raises `LedgerTooNew`,
    `LedgerUnavailable`, `CopyFailed`, `WrongState` for the ledger itself.
    """
    settle(ledger)
    if ledger.exists() and source.samefile(ledger):
        raise WrongState(f"'{source}' is the ledger itself; name a copy of it")
    found = inspect(source, alone=not has_log(source))
    if not found.is_sound or found.identity is None:
        raise found.error()
    draft, mark, _ = drafts = _drafts(ledger)
    with (
        _explained(f"'{source}' was not restored, the ledger is as it was"),
        _dropped_on_failure(*drafts),
    ):
        identity = _prepared(source, draft, ledger, now, progress, told)
        write_mark(draft, identity, now)
        tell()
    aside = exchange(ledger, draft, now, "before-restore", mark=mark)
    note_refusal(ledger, None)
    if aside:
        _drop_empty_log(aside)
    return Restored(identity, aside)


def accept(ledger: Path, now: datetime, *, told: int = 0) -> LedgerMark:
    """Take the ledger as it lies there for the one to go on with: its mark is made to fit. Run ids are never given twice.

    A log beside it that belongs to another copy is parted from it first. *told*: the highest run the log names. Only while
    nobody uses the ledger. Raises `LedgerTooNew` and `LedgerUnavailable` for one that is not in order.
    """
    settle(ledger)
    mark = read_mark(ledger)
    found = inspect_suspected(ledger, mark) if mark else inspect(ledger, Depth.FULL)
    if found.condition is Condition.STALE_WAL:
        part(ledger, now)
        found = inspect(ledger, Depth.FULL)
    if not found.is_sound or found.identity is None:
        raise found.error()
    floor = _highest_run(ledger, found, told)
    if floor > found.identity.last_run:
        with closing(connect(ledger, create=False)) as db, transaction(db):
            note_restore(db, now, found.identity.last_run, floor)
            continue_numbering(db, floor)
    known = Identity(found.identity.ledger_id, found.identity.term, max(floor, found.identity.last_run))
    note_refusal(ledger, None)
    return write_mark(ledger, known, now)


def drop_unfinished(ledger: Path) -> None:
    """Remove what a restore or a start that was killed left half done or of no use. Only while neither can be at work."""
    _drop((*_drafts(ledger), parting_draft(ledger)))
    drop_widowed(ledger)


def _drafts(ledger: Path) -> tuple[Path, Path, Path]:
    """The copy, its mark, and the mark while it is written."""
    copy = beside(ledger, ".restoring")
    return copy, mark_path(copy), draft_of(mark_path(copy))


def _prepared(source: Path, draft: Path, ledger: Path, now: datetime, progress: Progress | None, told: int) -> Identity:
    """The copy beside the ledger, checked, its numbering above everything known; what it says of itself."""
    uri = f"{source.absolute().as_uri()}?{'mode=ro' if has_log(source) else 'immutable=1'}"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
        _room_for(db, draft.parent)
        rows = copy_database(db, draft, progress)
    copy = _checked(draft, rows)
    with closing(sqlite3.connect(draft, isolation_level=None)) as db:
        db.execute("begin immediate")
        floor = _highest_run(ledger, inspect(ledger, Depth.GLANCE), told)
        note_restore(db, now, copy.identity.last_run, floor)
        continue_numbering(db, floor)
        # Whoever follows says that a restored copy knows nothing of the time since, and not that somebody died.
        db.execute(
            "update stints set ended_at = coalesce(ended_at, beat_at), ended_how = 'restored' "
            "where id = (select max(id) from stints)"
        )
        db.execute("commit")
        return identity_of(db) or copy.identity


def _highest_run(ledger: Path, found: Health, told: int) -> int:
    """No run was ever given an id above this, as far as the present ledger, its mark and the log tell."""
    mark = read_mark(ledger)
    marked = max(mark.last_run if mark else 0, told)
    if found.condition in (Condition.MISSING, Condition.EMPTY) and not marked:
        return 0
    if found.identity is not None and found.identity.last_run >= marked:
        return found.identity.last_run
    return marked + RUNS_BEYOND_MARK


def _checked(draft: Path, rows: Mapping[str, int]) -> Copy:
    found = inspect(draft, alone=True)
    if found.condition is Condition.TOO_NEW:
        raise LedgerTooNew(found.sentence)
    if not found.is_sound or found.identity is None or found.version is None:
        raise CopyFailed(f"the copy is not sound, so neither is what it was made from: {found.sentence}")
    with closing(sqlite3.connect(f"{draft.absolute().as_uri()}?immutable=1", uri=True)) as db:
        counted = row_counts(db)
    if counted != rows:
        raise CopyFailed(f"the copy has other rows than the ledger: {counted}, not {rows}")
    return Copy(draft, draft.stat().st_size, found.identity, found.version, rows)


def _room_for(source: sqlite3.Connection, folder: Path) -> None:
    needed = source.execute("pragma page_count").fetchone()[0] * source.execute("pragma page_size").fetchone()[0]
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CopyFailed(
            f"the copy needs {needed / MEBIBYTE:,.1f} MiB and '{folder}' has {free / MEBIBYTE:,.1f} MiB free; make room "
            "or name a file on another disk"
        )


def _name(draft: Path, target: Path) -> None:
    """Give the draft its name unless somebody was first: `link` decides the race, where the file system has it."""
    try:
        os.link(draft, target)
        draft.unlink()
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        draft.rename(target)
    sync_folder(target.parent)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise WrongState(f"{what}: '{error.filename2 or error.filename}' exists; is another one at work?") from error
    except OSError as error:
        raise CopyFailed(f"{what}: {error.strerror}: '{error.filename}'") from error
    except (sqlite3.Error, UnicodeError) as error:
        raise CopyFailed(f"{what}: {error}") from error


@contextmanager
def _dropped_on_failure(*drafts: Path) -> Iterator[None]:
    """Drafts that a crash left behind go first, ours when they come to nothing."""
    _drop(drafts)
    try:
        yield
    except BaseException:  # a Ctrl-C leaves no half copy either
        _drop(drafts)
        raise


def _drop(drafts: Iterable[Path]) -> None:
    for draft in drafts:
        for suffix in ("", *LOGS):
            with suppress(OSError):
                beside(draft, suffix).unlink(missing_ok=True)


def _drop_empty_log(ledger: Path) -> None:
    """A log that nothing was written to, and its index, tell nothing: whoever only read the ledger left them."""
    if not has_log(ledger):
        for suffix in ("-wal", "-shm"):
            with suppress(OSError):
                beside(ledger, suffix).unlink(missing_ok=True)


def _left_behind(folder: Path) -> list[Path]:
    """Drafts of backups whose process is gone."""
    named = ((path, DRAFT_RULE.fullmatch(path.name)) for path in folder.glob(".*.draft"))
    return [path for path, match in named if match and not Path("/proc", match[1]).exists()]
