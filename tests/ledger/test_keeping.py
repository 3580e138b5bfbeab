"""A scheduler that starts finds its ledger, or says what became of it; nothing it finds there is lost."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from keepkit import NOW, STAMP, add_runs, begin, commit_run, copy_files, files, new_ledger, opened, run_ids, set_term

from echopilot_jobs.errors import LedgerTooNew, LedgerUnavailable
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.connection import transaction
from echopilot_jobs.ledger.identity import RUNS_BEYOND_MARK, Continuation, continue_numbering, identity_of, write_mark
from echopilot_jobs.ledger.inspection import Condition, Depth, Inspection, inspect, is_condemned
from echopilot_jobs.ledger.keeping import Readiness, make_ready
from echopilot_jobs.ledger.watch import rescue


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A known ledger of twenty runs."""
    made = tmp_path / "ledger.sqlite3"
    new_ledger(made, runs=20)
    mark_now(made)
    return made


def mark_now(path: Path) -> None:
    with opened(path) as db:
        known = identity_of(db)
    assert known
    write_mark(path, known, NOW)


def said(ready: Readiness) -> list[str]:
    return [note.event for note in ready.notes]


def test_a_ledger_in_order_is_left_alone(path: Path) -> None:
    before = files(path)

    ready = make_ready(path, NOW)

    assert (ready.health.condition, ready.continuity.state) == (Condition.SOUND, Continuation.SAME)
    assert (ready.notes, ready.known_runs, ready.check) == ((), 20, None)
    assert files(path) - {"ledger.sqlite3-wal"} == before


def test_an_empty_folder_is_a_new_beginning_F42(tmp_path: Path) -> None:
    ready = make_ready(tmp_path / "var" / "ledger.sqlite3", NOW)

    assert (ready.continuity.state, ready.continuity.begins_empty) == (Continuation.NEW, True)
    assert (ready.notes, ready.known_runs) == ((), 0)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_was_deleted_while_nobody_ran_is_said_to_be_gone_F42(path: Path) -> None:
    path.unlink()

    ready = make_ready(path, NOW)

    assert ready.continuity.state is Continuation.REBORN
    assert ready.known_runs == 20


def test_the_ledger_after_a_lost_one_gives_no_run_id_twice_I10(path: Path) -> None:
    path.unlink()
    ready = make_ready(path, NOW)

    SqliteLedger(path).close()
    with opened(path) as db, transaction(db):
        continue_numbering(db, ready.known_runs + RUNS_BEYOND_MARK)
    begin(path)
    add_runs(path, 1)

    assert run_ids(path) == [20 + RUNS_BEYOND_MARK + 1]


@pytest.mark.parametrize("content", [b"a diary " * 1000, b"\0" * 8192, b"x"])
def test_ruins_are_kept_and_a_new_ledger_may_begin_F21_I10(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    ready = make_ready(path, NOW)

    assert said(ready) == ["ledger.set_aside"]
    assert f"it is kept as 'ledger.sqlite3.damaged-{STAMP}'" in ready.notes[0].sentence
    assert path.with_name(f"ledger.sqlite3.damaged-{STAMP}").read_bytes() == content
    assert (ready.health.condition, ready.continuity.state) == (Condition.MISSING, Continuation.REBORN)
    assert ready.known_runs == 20


def test_a_file_cut_to_nothing_is_a_ledger_lost_F21(path: Path) -> None:
    path.write_bytes(b"")

    ready = make_ready(path, NOW)

    assert ready.continuity.state is Continuation.REBORN
    assert ready.continuity.begins_empty


def test_whatever_is_damaged_nothing_is_lost_and_a_start_succeeds_F21_I10(path: Path) -> None:
    """Bits flipped all over: afterwards the bytes are there under one name or another, and the path can be opened."""
    whole = path.read_bytes()
    chance = random.Random(21)
    for _ in range(150):
        for each in path.parent.glob("ledger.sqlite3*"):
            if not each.name.endswith(".json"):
                each.unlink()
        bad = bytearray(whole)
        for _ in range(chance.randrange(1, 30)):
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)

        with suppress(LedgerTooNew):  # the bit was one of its version
            assert make_ready(path, NOW).health.can_begin

        kept = [each.read_bytes() for each in path.parent.glob("ledger.sqlite3*") if not each.name.endswith(".json")]
        assert bytes(bad) in kept


def test_an_older_copy_is_refused_and_stays_F19(path: Path, tmp_path: Path) -> None:
    old = tmp_path / "old" / "ledger.sqlite3"
    old.parent.mkdir()
    shutil.copy(path, old)
    set_term(path, 2)
    mark_now(path)
    Path(f"{path}-wal").unlink(missing_ok=True)
    old.replace(path)

    ready = make_ready(path, NOW)

    assert ready.continuity.needs_a_person
    assert ready.notes == ()
    assert run_ids(path)[-1] == 20


@pytest.mark.parametrize("same_file", [True, False])
def test_an_older_copy_under_a_newer_log_loses_the_log_and_is_refused_F20(
    path: Path, tmp_path: Path, same_file: bool
) -> None:
    old, log = tmp_path / "old", Path(f"{path}-wal")
    shutil.copy(path, old)
    with opened(path) as db:
        for _ in range(60):
            commit_run(db)
        db.execute("pragma wal_checkpoint(passive)").fetchone()
        mark_now(path)
        commit_run(db)
        left = log.read_bytes()
    if same_file:
        path.write_bytes(old.read_bytes())
    else:
        old.replace(path)
    log.write_bytes(left)

    ready = make_ready(path, NOW)

    assert said(ready) == ["ledger.set_aside"]
    assert ready.continuity.state is Continuation.ROLLED_BACK
    assert path.with_name(f"ledger.sqlite3.stale-{STAMP}-wal").read_bytes() == left
    assert run_ids(path)[-1] == 20


def test_a_scheduler_killed_at_work_finds_its_ledger_with_everything_in_it_I9(path: Path, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    with opened(path) as db:
        for _ in range(5):
            commit_run(db)
        copy_files(path, crashed)
    path.write_bytes(crashed.read_bytes())
    Path(f"{path}-wal").write_bytes(Path(f"{crashed}-wal").read_bytes())

    ready = make_ready(path, NOW)

    assert (said(ready), ready.continuity.state) == ([], Continuation.SAME)
    assert run_ids(path)[-1] == 25


def test_a_ledger_deleted_live_is_whole_again_after_the_restart_F18(path: Path) -> None:
    with opened(path) as db:
        commit_run(db)
        path.unlink()
        commit_run(db)
        rescue(db, path, NOW)

    ready = make_ready(path, NOW)

    assert said(ready) == ["ledger.adopted"]
    assert ready.continuity.state is Continuation.SAME
    assert run_ids(path) == list(range(1, 23))


def test_a_log_left_alone_is_kept_before_anything_new_begins_I10(path: Path) -> None:
    path.unlink()
    Path(f"{path}-wal").write_bytes(b"all that is left")

    ready = make_ready(path, NOW)

    assert path.with_name(f"ledger.sqlite3.damaged-{STAMP}-wal").read_bytes() == b"all that is left"
    assert ready.health.condition is Condition.MISSING


def test_a_newer_ledger_is_not_touched_F78(path: Path) -> None:
    with opened(path) as db:
        db.execute("pragma user_version = 99")
    before = path.read_bytes()

    with pytest.raises(LedgerTooNew):
        make_ready(path, NOW)

    assert path.read_bytes() == before


def test_the_database_of_another_program_is_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table songs (name)")

    with pytest.raises(LedgerUnavailable, match="no ledger of EchoPilot Jobs"):
        make_ready(path, NOW)

    assert files(path) == {"ledger.sqlite3"}


def test_a_start_does_not_wait_for_a_long_check_but_learns_its_end(path: Path) -> None:
    ready = make_ready(path, NOW, wait_seconds=0)

    assert ready.health.is_sound
    if ready.check:
        found = ready.check.wait(None)
        assert found
        assert found.is_sound


def break_an_index(path: Path) -> bytes:
    """One entry of an index no longer fits its row, which only a full check can tell."""
    add_runs(path, 40)
    with opened(path) as db:
        page = db.execute("select rootpage from sqlite_schema where name = 'runs_by_time'").fetchone()[0]
        db.execute("pragma wal_checkpoint(truncate)").fetchone()
    whole = bytearray(path.read_bytes())
    whole[page * 4096 - 2] ^= 1  # the rowid at the end of the first entry written
    path.write_bytes(whole)
    assert inspect(path).is_sound
    assert inspect(path, Depth.FULL).condition is Condition.DAMAGED
    return bytes(whole)


def test_damage_found_after_leading_began_is_waited_for_by_the_next_start_F21(path: Path, monkeypatch) -> None:
    ruins = break_an_index(path)
    monkeypatch.setattr("echopilot_jobs.ledger.keeping.WAIT_FOR_FULL_SECONDS", 0)
    check = Inspection(path)
    found = check.wait(None)
    assert found
    assert found.condition is Condition.DAMAGED
    assert is_condemned(path)

    ready = make_ready(path, NOW, wait_seconds=0)

    assert said(ready) == ["ledger.set_aside"]
    assert ready.check is None
    assert path.with_name(f"ledger.sqlite3.damaged-{STAMP}").read_bytes() == ruins
    assert not is_condemned(path)


def test_a_ledger_made_sound_again_is_acquitted(path: Path) -> None:
    condemned = path.with_name("ledger.sqlite3.condemned")
    condemned.write_text("it was damaged")

    assert make_ready(path, NOW).notes == ()
    assert not condemned.exists()


def test_damage_that_a_glance_overlooks_is_found_by_the_check(path: Path) -> None:
    with opened(path) as db:
        page = db.execute("select rootpage from sqlite_schema where name = 'runs_by_time'").fetchone()[0]
        db.execute("pragma wal_checkpoint(truncate)").fetchone()
    whole = bytearray(path.read_bytes())
    whole[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(whole)

    ready = make_ready(path, NOW, wait_seconds=None)

    assert said(ready) == ["ledger.set_aside"]
    assert path.with_name(f"ledger.sqlite3.damaged-{STAMP}").read_bytes() == whole
