"""No ledger lies where one should: nothing was ever started there, or the one that was known is gone."""

from __future__ import annotations

from pathlib import Path

from echopilot_jobs.access import is_there
from echopilot_jobs.ledger.backup import newest_backup
from echopilot_jobs.ledger.identity import LedgerMark, read_mark
from echopilot_jobs.ledger.watch import rescued
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
    if found := rescued(path):
        return Gone(
            what, f"start the stack with `bin/stack`: it puts back the copy that was rescued, '{found[0].name}'"
        )
    return Gone(what, f"with the stack stopped, {restoring(path)}, or the next start begins a new one")


def restoring(path: Path) -> str:
    """How a backup of the ledger at *path* is put back, the newest where there is one."""
    backup = newest_backup(path.parent)
    return f"run `echopilot restore {backup or 'FILE'}`{'' if backup else ' with a backup, if you have one'}"
