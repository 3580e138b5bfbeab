"""What the doctor says about a ledger leads somewhere."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.doctor import FAIL, OK, Finding, Place, files, running
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.backup import back_up, default_target
from echopilot_jobs.ledger.identity import Identity, identity_of, mark_path, write_mark

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def kept(settings):
    """A home with a ledger that was opened once."""
    settings.var_dir.mkdir(mode=0o700)
    SqliteLedger(settings.ledger_path).close()
    return settings


def first(settings, now: datetime = NOW) -> Finding:
    return next(iter(files.ledger(Place(settings, now, {}))))


def mark(settings, **other: object) -> None:
    with closing(sqlite3.connect(settings.ledger_path)) as db:
        known = identity_of(db)
    assert known
    write_mark(settings.ledger_path, Identity(**{**vars(known), **other}), NOW)


def back_up_now(settings) -> str:
    target = default_target(settings.var_dir, NOW)
    target.parent.mkdir()
    back_up(settings.ledger_path, target)
    return str(target)


def test_a_sound_ledger_is_said_to_be_sound_and_when_it_was_copied(kept):
    assert "sound, takes writes; no backup yet" in first(kept).finding

    back_up_now(kept)

    later = SystemClock().now() + timedelta(hours=3, seconds=1)
    assert "newest backup 3 h ago" in first(kept, later).finding


def test_a_damaged_ledger_with_a_backup_names_the_command_that_brings_it_back_F21(kept):
    backup = back_up_now(kept)
    kept.ledger_path.write_bytes(kept.ledger_path.read_bytes()[:9000])

    found = first(kept)

    assert found.state == FAIL
    assert found.finding.startswith("the ledger is damaged or no ledger: ")
    assert f"run `echopilot restore {backup}`" in (found.fix or "")
    assert "doctor" not in (found.fix or "")


def test_a_damaged_ledger_without_a_backup_says_what_the_next_start_does_F21(kept):
    kept.ledger_path.write_bytes(b"ruins" * 500)

    assert "with a backup, if you have one" in (first(kept).fix or "")
    assert "keeps the file under another name and begins a new ledger" in (first(kept).fix or "")


def test_a_known_ledger_that_is_gone_is_a_failure_F42(kept):
    mark(kept, last_run=7)
    kept.ledger_path.unlink()

    found = first(kept)

    assert (found.state, found.finding) == (
        FAIL,
        "the ledger known here, with runs up to 7 and last seen 2026-11-23 12:00:00Z, is gone",
    )


def test_no_ledger_where_none_was_known_is_in_order(settings):
    assert first(settings).state == OK


def test_a_mark_that_is_no_file_is_a_failure_F19(kept):
    mark_path(kept.ledger_path).mkdir()

    found = first(kept)

    assert found.state == FAIL
    assert "mark.json', which tells how far the ledger beside it had got, cannot be read" in found.finding
    assert "move that away" in (found.fix or "")


def test_a_log_left_read_only_is_named_and_mended_F23(kept):
    wal = kept.ledger_path.with_name("ledger.sqlite3-wal")
    wal.touch()
    wal.chmod(0o400)

    found = first(kept)
    assert found.mend
    found.mend()

    assert found.finding == f"'{wal}' (mode 0400): closed to uid {os.geteuid()}, its own account"
    assert first(kept).state == OK


def test_a_ledger_that_may_not_be_written_names_file_account_and_mode_F23(kept, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != kept.ledger_path)

    found = first(kept)

    assert found.state == FAIL
    assert found.finding == f"cannot write '{kept.ledger_path}' as uid {os.geteuid()} (mode 0644)"


def test_a_scheduler_that_runs_and_does_not_lead_is_not_called_stopped(kept, monkeypatch):
    monkeypatch.setattr(running, "_is_up", lambda _place, name: name == "scheduler")

    (found,) = running.scheduler(Place(kept, NOW, {}))

    assert found.state == FAIL
    assert "runs and does not lead" in found.finding


def test_an_older_copy_is_a_failure_with_both_ways_out_F19(kept):
    mark(kept, term=9)

    found = [each for each in files.ledger(Place(kept, NOW, {})) if each.state == FAIL]

    assert len(found) == 1
    assert "where term 9 was known" in found[0].finding
    assert "`echopilot restore --accept`" in (found[0].fix or "")


def test_a_newer_ledger_names_the_ways_out_F78(kept):
    with closing(sqlite3.connect(kept.ledger_path)) as db:
        db.execute("pragma user_version = 99")

    assert "start the newer release again, or put back a copy" in (first(kept).fix or "")


def test_the_database_of_another_program_is_to_be_moved_away(settings):
    settings.var_dir.mkdir(mode=0o700)
    with closing(sqlite3.connect(settings.ledger_path)) as db:
        db.execute("create table songs (name)")

    assert "move it away" in (first(settings).fix or "")
