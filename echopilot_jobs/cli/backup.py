"""`echopilot backup [FILE]`: a checked copy of the ledger, made while everything goes on."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echopilot_jobs.access import give_to_owner
from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.bars import bar
from echopilot_jobs.cli.files import MEBIBYTE, file_name, is_long
from echopilot_jobs.errors import LedgerUnavailable

if TYPE_CHECKING:
    from echopilot_jobs.ledger.backup import Copy
    from echopilot_jobs.settings import Settings


@click.command("backup")
@click.argument("file", required=False, type=file_name)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: Path | None, as_json: bool) -> None:
    """Copy the ledger to FILE, by default to var/backups/.

    The stack goes on meanwhile. The copy is read again before it gets its name; a file that exists is never written over.

    Example: echopilot backup /mnt/disk/ledger.sqlite3
    """
    now, settings = sight.now(), sight.settings()
    sight.refuse_missing_ledger(settings, ", so there is nothing to copy")
    target = _default(settings, now) if file is None else _usable(file, settings.ledger_path)
    from echopilot_jobs.ledger.backup import back_up

    with bar("copying the ledger", wanted=is_long(settings.ledger_path)) as progress:
        copy = back_up(settings.ledger_path, target, progress)
    if settings.var_dir in target.parents:
        give_to_owner(settings.var_dir, (target.parent, target))
    if as_json:
        out.emit_json("backup", _facts(copy), now)
    else:
        out.line(
            f"'{copy.path}' holds the ledger up to run {copy.identity.last_run} ({copy.rows['runs']:,} runs, "
            f"{copy.bytes / MEBIBYTE:,.1f} MiB); it was read again and is sound"
        )


def _default(settings: Settings, now: datetime) -> Path:
    from echopilot_jobs.ledger.backup import default_target

    target = default_target(settings.var_dir, now)
    try:
        target.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise LedgerUnavailable(f"'{target.parent}' cannot be made: {error.strerror}; name a file elsewhere") from None
    return target


def _usable(target: Path, ledger: Path) -> Path:
    """A folder, the ledger itself and the names of its companions are slips of the pen."""
    if target.is_dir():
        raise click.UsageError(f"'{target}' is a folder; name a file in it, for example '{target / 'ledger.sqlite3'}'")
    if not target.parent.is_dir():
        raise click.UsageError(f"there is no folder '{target.parent}'; make it, or name a file in another one")
    if _is_ledgers_own(target, ledger):
        raise click.UsageError(f"'{target}' is the ledger, or a name kept for its companions; name another file")
    return target


def _is_ledgers_own(target: Path, ledger: Path) -> bool:
    if target.exists() and target.samefile(ledger):
        return True
    return target.name.startswith(ledger.name) and target.parent.samefile(ledger.parent)


def _facts(copy: Copy) -> dict[str, object]:
    return {
        "file": str(copy.path),
        "bytes": copy.bytes,
        "ledger_id": copy.identity.ledger_id,
        "version": copy.version,
        "term": copy.identity.term,
        "last_run": copy.identity.last_run,
        "rows": dict(copy.rows),
    }
