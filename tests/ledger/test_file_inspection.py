"""Whatever lies where the ledger should be is named for what it is, and looking changes nothing."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from keepkit import NOW, add_runs, commit_run, new_ledger, opened, run_ids, set_term

from echopilot_jobs.errors import LedgerTooNew, LedgerUnavailable
from echopilot_jobs.ledger.connection import transaction
from echopilot_jobs.ledger.identity import identity_of, write_mark
from echopilot_jobs.ledger.inspection import (
    Condition,
    Depth,
    Inspection,
    acquit,
    inspect,
    inspect_suspected,
    is_condemned,
    is_suspect,
)
from echopilot_jobs.ledger.statements import migrations

DEPTHS = [Depth.GLANCE, Depth.QUICK, Depth.FULL]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.sqlite3"
    new_ledger(made, runs=40, term=2)
    return made


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_sound_ledger_is_sound_and_says_which_it_is(path: Path, depth: Depth, alone: bool) -> None:
    found = inspect(path, depth, alone=alone)

    assert found.is_sound
    assert found.can_begin
    assert found.version == migrations()[-1][0]
    assert found.identity
    assert (found.identity.term, found.identity.last_run) == (2, 40)


def test_a_ledger_in_use_is_read_with_its_log_and_nobody_waits(path: Path) -> None:
    with opened(path) as db:
        commit_run(db)
        with transaction(db):
            found = inspect(path)

    assert found.identity
    assert found.identity.last_run == 41


def test_locks_of_this_process_survive_a_look(path: Path) -> None:
    """A plain open and close of the file would drop them."""
    inode = path.stat().st_ino

    def held() -> int:
        return sum(f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines())

    with opened(path) as db:
        commit_run(db)
        before = held()
        for depth in DEPTHS:
            inspect(path, depth)
            inspect(path, depth, alone=True)

        assert held() == before > 0


def test_a_missing_file_is_missing_and_is_not_made(tmp_path: Path) -> None:
    found = inspect(tmp_path / "none" / "ledger.sqlite3")

    assert (found.condition, found.can_begin) == (Condition.MISSING, True)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_can_be_begun_with(tmp_path: Path) -> None:
    """The first start was killed between making the file and filling it."""
    path = tmp_path / "ledger.sqlite3"
    path.touch()
    assert (inspect(path).condition, inspect(path).can_begin) == (Condition.EMPTY, True)

    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma journal_mode=wal")
    assert (inspect(path).condition, inspect(path).can_begin) == (Condition.EMPTY, True)


@pytest.mark.parametrize("kept", [None, 0])
def test_a_log_without_its_file_is_damage_and_stays_F20(path: Path, kept: int | None) -> None:
    """SQLite would take the file for new and delete the log, which may be all there is left."""
    db = sqlite3.connect(path)
    db.execute("pragma journal_mode=wal")
    db.execute("insert into meta values ('a', 'b')")
    db.commit()
    log = Path(f"{path}-wal").read_bytes()
    db.close()
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)
    if kept is not None:
        path.touch()

    found = inspect(path)

    assert (found.condition, found.can_begin) == (Condition.DAMAGED, False)
    assert "write-ahead log" in found.sentence
    assert Path(f"{path}-wal").read_bytes() == log


@pytest.mark.parametrize(
    "content",
    [b"this is a diary\n" * 300, b"x", b"\0" * 8192, b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 5000],
)
def test_a_file_that_is_no_database_is_said_to_be_so_F21(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    found = inspect(path)

    assert found.condition is Condition.DAMAGED
    assert path.read_bytes() == content


def test_a_folder_and_a_pipe_are_no_ledger(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")

    assert inspect(tmp_path).condition is Condition.FOREIGN
    assert inspect(tmp_path / "pipe").condition is Condition.FOREIGN
    assert not inspect(tmp_path).can_begin


def test_the_database_of_another_program_is_not_ours_to_touch(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table songs (name)")

    found = inspect(path)

    assert (found.condition, found.can_begin) == (Condition.FOREIGN, False)
    assert "no ledger of EchoPilot Jobs" in found.sentence


@pytest.mark.parametrize("loss", ["drop table runs", "delete from meta", "alter table stints rename to stinks"])
def test_a_ledger_that_lost_a_table_is_damaged_not_foreign_F21(path: Path, loss: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(loss)
        db.commit()

    assert inspect(path).condition is Condition.DAMAGED


def test_a_newer_ledger_names_both_versions_F78(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma user_version = 99")

    found = inspect(path)

    assert found.condition is Condition.TOO_NEW
    assert f"at version 99, this release knows {migrations()[-1][0]}" in found.sentence
    assert isinstance(found.error(), LedgerTooNew)


def test_a_locked_ledger_is_unreadable_not_damaged_F15(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echopilot_jobs.ledger.inspection.BUSY_TIMEOUT_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("pragma locking_mode=exclusive")
        stranger.execute("begin exclusive")
        found = inspect(path)

    assert (found.condition, found.can_begin) == (Condition.UNREADABLE, False)
    assert isinstance(found.error(), LedgerUnavailable)


def test_a_truncated_ledger_is_damaged_wherever_it_was_cut_F21(path: Path) -> None:
    whole = path.read_bytes()
    pages = len(whole) // 4096
    assert pages > 20

    for cut in range(1, pages):
        path.write_bytes(whole[: cut * 4096])
        assert inspect(path).condition is Condition.DAMAGED, cut


def test_garbage_over_any_page_in_use_is_found_F21(path: Path) -> None:
    whole = path.read_bytes()
    noise = random.Random(7)
    missed = []
    for page in range(len(whole) // 4096):
        path.write_bytes(whole[: page * 4096] + noise.randbytes(4096) + whole[(page + 1) * 4096 :])
        if inspect(path, Depth.FULL).is_sound:
            missed.append(page)

    assert missed == []


@pytest.mark.parametrize("depth", DEPTHS)
def test_no_damage_makes_an_inspection_fail(path: Path, depth: Depth) -> None:
    whole = bytearray(path.read_bytes())
    chance = random.Random(11)
    for _ in range(200):
        bad = bytearray(whole)
        for _ in range(chance.randrange(1, 40)):
            bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        assert inspect(path, depth).condition in set(Condition) - {Condition.MISSING}


def older_copy_under_a_newer_log(path: Path, seed: int) -> None:
    """What `cp backup ledger` leaves behind when the scheduler was killed before."""
    chance = random.Random(seed)
    old = path.with_name("old")
    with opened(path) as db:
        for _ in range(chance.randrange(1, 100)):
            commit_run(db)
        db.execute("pragma wal_checkpoint(truncate)").fetchone()
        shutil.copy(path, old)
        set_term(path, 3)
        for _ in range(chance.randrange(1, 150)):
            commit_run(db)
        db.execute("pragma wal_checkpoint(passive)").fetchone()
        known = identity_of(db)
        assert known
        write_mark(path, known, NOW)
        for _ in range(chance.randrange(1, 40)):
            commit_run(db)
        log = Path(f"{path}-wal").read_bytes()
    path.write_bytes(old.read_bytes())
    Path(f"{path}-wal").write_bytes(log)


@pytest.mark.parametrize("seed", range(12))
def test_a_log_beside_an_older_copy_is_told_from_damage_F20(path: Path, seed: int) -> None:
    from echopilot_jobs.ledger.identity import read_mark

    older_copy_under_a_newer_log(path, seed)
    mark = read_mark(path)
    assert mark

    assert is_suspect(path, mark)
    found = inspect_suspected(path, mark)

    assert found.condition is Condition.STALE_WAL
    assert "belongs to another copy" in found.sentence
    assert found.identity
    assert found.identity.term == 2


def test_a_ledger_killed_at_work_is_suspected_at_most_and_never_condemned(path: Path) -> None:
    with opened(path) as db:
        known = identity_of(db)
        assert known
        mark = write_mark(path, known, NOW)
        assert not is_suspect(path, mark)
        add_runs(path, 5)
        assert not is_suspect(path, mark)

        newer = replace(mark, last_run=45)
        assert is_suspect(path, newer)
        assert inspect_suspected(path, newer).is_sound
        assert is_suspect(path, replace(mark, inode=1))
        assert inspect_suspected(path, replace(mark, inode=1)).is_sound
        assert not is_suspect(path, None)


def test_a_check_in_its_own_thread_finds_the_same(path: Path) -> None:
    check = Inspection(path)

    assert check.first(None) == inspect(path)
    assert check.wait(None) == inspect(path, Depth.FULL)
    check.stop()
    assert check.wait() == inspect(path)
    assert not is_condemned(path)


def test_a_check_in_its_own_thread_finds_damage(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    check = Inspection(path)
    found = check.wait(None)

    assert found
    assert found.condition is Condition.DAMAGED
    assert check.first(None) == found
    assert is_condemned(path)
    acquit(path)
    assert not is_condemned(path)


def test_a_check_that_is_broken_off_says_nothing(path: Path) -> None:
    for _ in range(20):
        check = Inspection(path)
        check.stop()
        assert check.wait() in (None, inspect(path))
    assert run_ids(path)[-1] == 40


def test_a_check_of_nothing_is_done_at_once(tmp_path: Path) -> None:
    found = Inspection(tmp_path / "none").wait(None)

    assert found
    assert found.condition is Condition.MISSING
