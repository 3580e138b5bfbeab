"""No ledger lies where one should: nothing was ever started there, or the one that was known is gone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from echopilot_jobs.access import is_there
from echopilot_jobs.disk import read_whole
from echopilot_jobs.ledger.backup import newest_backup
from echopilot_jobs.ledger.identity import LedgerMark, read_mark
from echopilot_jobs.ledger.watch import rescued
from echopilot_jobs.processes import Owner, is_alive, is_frozen, stack_owner, with_open
from echopilot_jobs.records import record
from echopilot_jobs.spans import stamp


@record(frozen=True)
class Gone:
    """That the ledger known here is gone, and how to have it back."""

    what: str
    do: str


def gone(path: Path) -> Gone | None:
    """What the mark beside *path* says of a ledger that is not there; None where none was known, or it lies there."""
    mark = None if is_there(path) else read_mark(path)
    return gone_by(mark, path) if mark else None


def gone_by(mark: LedgerMark, path: Path) -> Gone:
    """The same of the ledger that *mark* tells of, whatever is at *path* now."""
    what = f"the ledger known here, with runs up to {mark.last_run} and last seen {stamp(mark.written_at)}, is gone"
    return Gone(what, _back(path))


def _back(path: Path) -> str:
    """How it comes back: while its scheduler lives, or left a rescue, by itself, and a hand laid on it would do harm."""
    if found := rescued(path):
        if stack_owner(path.parent):
            return f"ask again in a few seconds: the next scheduler to start puts back '{found[0].name}', which was rescued"
        return f"start the stack with `bin/stack`: it puts back the copy that was rescued, '{found[0].name}'"
    if (pid := _still_held(path)) is None:
        return f"with the stack stopped, {restoring(path)}, or the next start begins a new one"
    if is_frozen(pid):
        return f"wake the scheduler (pid {pid}) with `kill -CONT {pid}`: it still holds it, and puts it back then"
    return f"leave all running and ask again: the scheduler (pid {pid}) still holds it and puts it back within seconds"


def _still_held(path: Path) -> int | None:
    """The pid of the scheduler that lives and has the deleted ledger open; None when there is none to be seen."""
    with suppress(OSError, ValueError):
        leader = Owner.parse(read_whole(path.with_name("scheduler.lock")).decode("ascii").strip())
        deleted = f"{os.path.realpath(path.parent)}/{path.name} (deleted)"
        if is_alive(leader) and leader.pid in with_open({deleted}):
            return leader.pid
    return None


def restoring(path: Path) -> str:
    """How a backup of the ledger at *path* is put back, the newest where there is one."""
    backup = newest_backup(path.parent)
    return f"run `echopilot restore {backup or 'FILE'}`{'' if backup else ' with a backup, if you have one'}"
