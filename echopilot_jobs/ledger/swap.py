"""One ledger file in the place of another, in steps that a crash may fall between.

A ledger is up to three files that belong together, and a write-ahead log without its file, or beside another one, is a
loss. So the moves are written down first, in a plan beside the ledger; whoever starts next calls `settle`, which carries
out what is left of it. Nothing is ever overwritten, and no ledger deleted: what stood there gets another name.

Only for the process that may lead, before it opens the ledger.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import datetime
from glob import escape
from pathlib import Path

from echopilot_jobs.disk import read_whole
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.copying import copy_database
from echopilot_jobs.ledger.durable import beside, draft_of, free_name, stamp, sync_folder, write_whole, writing_through
from echopilot_jobs.ledger.identity import MARK_SUFFIX
from echopilot_jobs.records import record

LOGS = ("-wal", "-shm", "-journal")
PLAN_SUFFIX = ".moving.json"
INCOMPLETE = "incomplete"  # a ledger that lost files of its own, once its rescue has taken its place


@record(frozen=True)
class _Plan:
    """Which name the ledger gets, what goes with it, and which files then take whose place. All names of one folder."""

    aside: str
    suffixes: tuple[str, ...]
    arriving: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, content: bytes) -> _Plan:
        facts = json.loads(content)
        arriving = tuple((str(source), str(target)) for source, target in facts["arriving"])
        return cls(str(facts["aside"]), tuple(map(str, facts["suffixes"])), arriving)

    def carry_out(self, path: Path) -> None:
        """Whatever of it was not done yet. Raises `OSError`."""
        aside = path.with_name(self.aside)
        _rename(path, aside)
        # With the file gone nobody can have made these anew; with another one in its place they are not ours.
        if not os.path.lexists(path):
            for suffix in self.suffixes:
                _rename(beside(path, suffix), beside(aside, suffix))
        for source, target in self.arriving:
            _rename(path.with_name(source), path.with_name(target))
        sync_folder(path.parent)


def set_aside(path: Path, now: datetime, why: str = "damaged") -> Path | None:
    """Give the ledger at *path* the name `NAME.WHY-STAMP`, `-wal` and `-shm` with it; None when there is nothing there.

    SQLite can open it under that name together with its log. The mark stays: it tells the next start what was lost.
    Raises `LedgerUnavailable`.
    """
    if not any(os.path.lexists(beside(path, suffix)) for suffix in ("", *LOGS)):
        return None
    plan = _Plan(_aside(path, now, why), LOGS)
    _carry_out(path, plan)
    return path.with_name(plan.aside)


def part(path: Path, now: datetime, *, with_log: bool = False) -> Path:
    """Part the ledger from whoever has its file open, and from a log that is not its own: `NAME.stale-STAMP`, its new name.

    A copy takes the file's place, and the file goes with its log. Left where it is, it would be written to: SQLite moves a
    log into its file when the last process closes it. *with_log*: the log beside it is its own, and is in the copy. Raises
    `LedgerUnavailable`, also where there is no room for the copy.
    """
    copy = parting_draft(path)
    try:
        (_copy_with_log if with_log else _copy_alone)(path, copy)
    except (OSError, sqlite3.Error) as error:
        copy.unlink(missing_ok=True)
        raise _unmovable(path, error) from error
    plan = _Plan(_aside(path, now, "stale"), LOGS, ((copy.name, path.name),))
    _carry_out(path, plan)
    return path.with_name(plan.aside)


def _copy_with_log(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
        copy_database(db, copy)


def _copy_alone(path: Path, copy: Path) -> None:
    """Byte by byte. Its plain close drops this process's locks on the file, of which there are none yet."""
    with path.open("rb") as file, writing_through(copy) as out:
        shutil.copyfileobj(file, out)


def parting_draft(path: Path) -> Path:
    """Where `part` makes its copy: half of one may lie there after a crash."""
    return beside(path, ".parting")


def exchange(path: Path, incoming: Path, now: datetime, why: str, *, mark: Path | None = None) -> Path | None:
    """Put the file *incoming* in the place of the ledger at *path*, which is set aside: its new name, None for none.

    Both lie in one folder. With *mark*, that file becomes the ledger's mark and the former one goes with its ledger.
    Raises `LedgerUnavailable`; the exchange is then either not begun or finished by `settle`.
    """
    arriving = [(incoming.name, path.name)]
    if mark:
        arriving.append((mark.name, path.name + MARK_SUFFIX))
    suffixes = (*LOGS, MARK_SUFFIX) if mark else LOGS
    left = any(os.path.lexists(beside(path, suffix)) for suffix in ("", *LOGS))
    plan = _Plan(_aside(path, now, why), suffixes, tuple(arriving))
    _carry_out(path, plan)
    return path.with_name(plan.aside) if left else None


def drop_widowed(path: Path) -> None:
    """Remove logs and indexes that stayed when the ledger at *path* was deleted and its rescue took its place.

    Without their file nothing can read them, and the rescue has all of it. Whoever has them open keeps them until it ends.
    """
    for suffix in LOGS:
        for log in path.parent.glob(f"{escape(path.name)}.{INCOMPLETE}-*{suffix}"):
            if not os.path.lexists(log.with_name(log.name.removesuffix(suffix))):
                with suppress(OSError):
                    log.unlink(missing_ok=True)


def settle(path: Path) -> bool:
    """Finish the exchange that a crash cut short, if there is one; whether there was. Raises `LedgerUnavailable`."""
    file = beside(path, PLAN_SUFFIX)
    try:
        plan = _Plan.read(read_whole(file))
    except FileNotFoundError:
        with suppress(OSError):
            draft_of(file).unlink(missing_ok=True)  # killed before the plan was one
        return False
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LedgerUnavailable(
            f"'{file}' cannot be understood: {error}; see what '{path.parent}' holds, then remove that file"
        ) from error
    _finish(path, plan)
    return True


def _carry_out(path: Path, plan: _Plan) -> None:
    try:
        write_whole(beside(path, PLAN_SUFFIX), json.dumps(asdict(plan)).encode("ascii"))
    except OSError as error:
        raise _unmovable(path, error) from error
    _finish(path, plan)


def _finish(path: Path, plan: _Plan) -> None:
    try:
        plan.carry_out(path)
        beside(path, PLAN_SUFFIX).unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise _unmovable(path, error) from error


def _aside(path: Path, now: datetime, why: str) -> str:
    return free_name(beside(path, f".{why}-{stamp(now)}"), ("", *LOGS, MARK_SUFFIX)).name


def _rename(source: Path, target: Path) -> None:
    """A name that is taken means: done before the crash."""
    if os.path.lexists(source) and not os.path.lexists(target):
        source.rename(target)


def _unmovable(path: Path, error: OSError | sqlite3.Error) -> LedgerUnavailable:
    why = getattr(error, "strerror", None) or error
    return LedgerUnavailable(f"the files of '{path.name}' cannot be moved: {why}; see `echopilot doctor`")
