"""`echopilot restore FILE`: a copy of the ledger back in its place. The ledger that was there is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echopilot_jobs.access import give_to_owner, obstacle
from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.bars import bar
from echopilot_jobs.cli.files import file_name, is_long
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import LedgerUnavailable, SupervisorUnreachable, WrongState
from echopilot_jobs.processes import command_line, this_process
from echopilot_jobs.spans import ago

if TYPE_CHECKING:
    from echopilot_jobs.ledger.reach import Reach, Setback
    from echopilot_jobs.settings import Settings

STOP_IT = "stop it with `bin/stack stop` (or `supervisorctl shutdown`), then restore"


@click.command("restore")
@click.argument("file", required=False, type=file_name)
@click.option("--accept", is_flag=True, help="Go on with the ledger that lies there now, although it is an older copy.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: Path | None, accept: bool, as_json: bool) -> None:
    """Put the copy in FILE in the ledger's place, while the stack is stopped.

    Before anything moves it says how old the copy is, how far it goes and how far the ledger that is there goes, and which
    rescued copy goes further. Nothing is deleted, so it does not ask: the ledger that was there is kept under another name,
    and restoring that takes all back. Pauses, open runs and definitions are again as the copy has them; no run's number is
    given twice. Slots that came due since the copy was made are dealt with at the next start as after any outage.

    Example: echopilot restore var/backups/ledger-20260301T080000Z.sqlite3
    """
    if (file is None) is not accept:
        raise click.UsageError("wanted: a FILE to restore, or --accept, and not both")
    now, settings = sight.now(), sight.settings()
    if file is not None:
        _usable(file, settings.ledger_path)
    with _nobody_else(settings):
        facts, sentence = _accepted(settings) if file is None else _restored(settings, file)
    if as_json:
        out.emit_json("restore", facts, now)
    else:
        out.line(sentence)


def _restored(settings: Settings, file: Path) -> tuple[dict[str, object], str]:
    from echopilot_jobs.ledger.backup import restore
    from echopilot_jobs.ledger.reach import setback

    now, found = sight.now(), setback(file, settings.ledger_path)
    with bar("checking and copying the ledger", wanted=is_long(file)) as progress:
        done = restore(file, settings.ledger_path, now, progress, lambda: _tell(found, now), told=_told(settings))
    kept = f"; the ledger before it is kept as '{done.aside}', and restoring that takes it back" if done.aside else ""
    facts: dict[str, object] = {
        "ledger": str(settings.ledger_path),
        "from": str(file),
        "kept": str(done.aside) if done.aside else None,
        "ledger_id": done.identity.ledger_id,
        "term": done.identity.term,
        "next_run_after": done.identity.last_run,
        "copy": _reach_json(found.copy if found else None),
        "before": _reach_json(found.before if found else None),
    }
    return facts, f"'{settings.ledger_path}' holds what was in '{file}'{kept}; start the stack with `bin/stack`"


def _told(settings: Settings) -> int:
    """The highest run number that the log names: it may have outlived what is beside the ledger."""
    from echopilot_jobs.logreading import SCHEDULER_LOG, highest_run

    return highest_run(settings.logs_dir / SCHEDULER_LOG)


def _tell(found: Setback | None, now: datetime) -> None:
    """What the copy lacks, while a Ctrl-C still leaves everything as it is."""
    if found is None:
        return
    before = f"; the ledger in place {_reach_words(found.before, now)} and is set aside whole" if found.before else ""
    again = "pauses, open runs and definitions are again as the copy has them"
    out.say(f"note: the copy {_reach_words(found.copy, now)}{before}; {again}")
    for path, reach in found.beyond:
        words = f"'{path}' goes further than the copy: it {_reach_words(reach, now)}"
        out.say(f"note: {words}; `echopilot restore {path}` takes that one instead")


def _reach_words(reach: Reach, now: datetime) -> str:
    written = f"was last led {ago(reach.last_beat, now)}" if reach.last_beat else "was never led"
    return f"{written}, holds {reach.runs:,} run{'' if reach.runs == 1 else 's'} and ends with run {reach.newest_run}"


def _reach_json(reach: Reach | None) -> dict[str, object] | None:
    if reach is None:
        return None
    last = iso(reach.last_beat) if reach.last_beat else None
    return {"runs": reach.runs, "newest_run": reach.newest_run, "last_beat": last}


def _accepted(settings: Settings) -> tuple[dict[str, object], str]:
    from echopilot_jobs.ledger.backup import accept

    mark = accept(settings.ledger_path, sight.now(), told=_told(settings))
    facts: dict[str, object] = {
        "ledger": str(settings.ledger_path),
        "from": None,
        "kept": None,
        "ledger_id": mark.ledger_id,
        "term": mark.term,
        "next_run_after": mark.last_run,
        "copy": None,
        "before": None,
    }
    return facts, f"'{settings.ledger_path}' is sound and is the ledger from now on; start the stack with `bin/stack`"


def _usable(file: Path, ledger: Path) -> None:
    if not file.exists():
        raise click.UsageError(f"there is no file '{file}'; backups are in '{ledger.parent / 'backups'}'")
    if file.is_dir():
        raise click.UsageError(f"'{file}' is a folder; name the file in it that is to be restored")
    if ledger.exists() and file.samefile(ledger):
        raise click.UsageError(f"'{file}' is the ledger itself; name a copy of it, or use --accept")


@contextmanager
def _nobody_else(settings: Settings) -> Iterator[None]:
    """Inside the block no scheduler leads here and nobody has the ledger open. A scheduler that starts stands by.

    Raises `WrongState` naming who is in the way.
    """
    from echopilot_jobs.ledger.users import users_of
    from echopilot_jobs.scheduler.lock import PlannerLock

    _no_stack(settings)
    try:
        settings.var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = PlannerLock(settings.var_dir / "scheduler.lock")
    except OSError as error:
        raise LedgerUnavailable(obstacle(error)) from None
    try:
        if not lock.take(str(this_process())):
            raise WrongState(f"a scheduler is running here ('{lock.holder}'); {STOP_IT}")
        for pid in users_of(settings.ledger_path):
            raise WrongState(f"pid {pid} ({command_line(pid)[:120]}) has the ledger open; end it, then restore")
        yield
    finally:
        lock.close()
        give_to_owner(settings.var_dir, (lock.path, *settings.var_dir.glob(f"{settings.ledger_path.name}*")))


def _no_stack(settings: Settings) -> None:
    from echopilot_jobs.stack.preflight import StackLock
    from echopilot_jobs.supervision import Supervisor

    if holder := StackLock(settings.home).holder():
        raise WrongState(f"the stack is running here, pid {holder.pid}; {STOP_IT}")
    try:
        pid = Supervisor(settings.supervisor_socket).pid()
    except SupervisorUnreachable:
        return
    raise WrongState(f"a supervisord is running here, pid {pid}; {STOP_IT}")
