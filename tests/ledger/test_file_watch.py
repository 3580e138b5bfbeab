"""Files that vanish or change under an open ledger are noticed, and what only memory still holds is saved."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from keepkit import NOW, STAMP, add_runs, commit_run, files, new_ledger, opened, run_ids, set_term

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.connection import transaction
from echopilot_jobs.ledger.identity import LedgerMark, identity_of, write_mark
from echopilot_jobs.ledger.inspection import Condition, Depth, inspect
from echopilot_jobs.ledger.keeping import make_ready
from echopilot_jobs.ledger.watch import LedgerWatch, Sight, adopt_rescued, rescue


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.sqlite3"
    new_ledger(made, runs=20)
    return made


def mark_of(path: Path) -> LedgerMark:
    with opened(path) as db:
        known = identity_of(db)
    assert known
    return write_mark(path, known, NOW)


def remove(*paths: str) -> None:
    """By another process, as a person would."""
    subprocess.run(["rm", *paths], check=True)


def test_work_of_ones_own_is_no_reason_for_alarm(path: Path) -> None:
    with opened(path) as db, opened(path) as reader:
        commit_run(db)
        watch = LedgerWatch(path)
        for _ in range(30):
            commit_run(db)
            assert watch.verdict() is Sight.SAME
        db.execute("pragma wal_checkpoint(passive)").fetchone()
        watch.settle()
        reader.execute("select count(*) from runs").fetchone()
        commit_run(db)

        assert watch.verdict() is Sight.SAME


def test_a_log_that_is_made_after_the_watch_is_no_reason_for_alarm(path: Path) -> None:
    watch = LedgerWatch(path)
    with opened(path) as db:
        commit_run(db)

        assert watch.verdict() is Sight.SAME


@pytest.mark.process
@pytest.mark.parametrize("suffixes", [[""], ["-wal"], ["-shm"], ["", "-wal", "-shm"], ["-wal", "-shm"]])
def test_a_deleted_ledger_is_noticed_whichever_file_went_F18(path: Path, suffixes: list[str]) -> None:
    with opened(path) as db:
        commit_run(db)
        watch = LedgerWatch(path)
        remove(*(f"{path}{suffix}" for suffix in suffixes))

        assert watch.verdict() is Sight.GONE


@pytest.mark.process
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_ledger_moved_over_is_noticed_F19(path: Path, tmp_path: Path, suffix: str) -> None:
    with opened(path) as db:
        commit_run(db)
        watch = LedgerWatch(path)
        shutil.copy(f"{path}{suffix}", tmp_path / "copy")
        subprocess.run(["mv", tmp_path / "copy", f"{path}{suffix}"], check=True)

        assert watch.verdict() is Sight.REPLACED


@pytest.mark.process
def test_a_copy_written_over_the_open_ledger_is_noticed_F19(path: Path, tmp_path: Path) -> None:
    """The file is the same one, so only its length and the moment of its last change can tell."""
    old = tmp_path / "old"
    shutil.copy(path, old)
    add_runs(path, 1)
    with opened(path) as db:
        commit_run(db)
        watch = LedgerWatch(path)
        subprocess.run(["cp", old, path], check=True)

        assert watch.verdict() is Sight.TOUCHED


@pytest.mark.process
@pytest.mark.parametrize("more", [1, 7, 40])
def test_an_older_copy_written_over_the_open_ledger_is_damage_to_a_full_check_only_F19(
    path: Path, tmp_path: Path, more: int
) -> None:
    """A glance sees the right id and the right term: it reads them from the log."""
    old = tmp_path / "old"
    shutil.copy(path, old)
    add_runs(path, 60)
    with opened(path) as db:
        for _ in range(more):
            commit_run(db)
        subprocess.run(["cp", old, path], check=True)

        assert inspect(path, Depth.GLANCE).is_sound
        assert inspect(path, Depth.FULL).condition is Condition.DAMAGED


@pytest.mark.process
@pytest.mark.parametrize("suffixes", [[""], ["", "-wal"], ["", "-wal", "-shm"], ["-wal"], ["-shm"], ["-wal", "-shm"]])
def test_nothing_is_lost_when_the_open_ledger_is_deleted_F18(path: Path, suffixes: list[str]) -> None:
    mark = mark_of(path)
    with opened(path) as db:
        for _ in range(10):
            commit_run(db)
        remove(*(f"{path}{suffix}" for suffix in suffixes))
        commit_run(db)  # SQLite notices nothing

        saved = rescue(db, path, NOW)

    kept = f"ledger.sqlite3.incomplete-{STAMP}"
    assert saved.name == f"ledger.sqlite3.rescued-{STAMP}.sqlite3"
    assert saved.stat().st_mode & 0o777 == 0o600
    assert adopt_rescued(path, mark, NOW) == saved
    assert run_ids(path) == list(range(1, 32))
    assert not saved.exists()
    assert kept in files(path) or not [each for each in files(path) if each.startswith(kept)]  # no log without its file
    assert adopt_rescued(path, mark, NOW) is None


def test_logs_without_their_ledger_go_at_the_next_start_and_a_ledger_with_its_log_stays(path: Path) -> None:
    """Releases before this one left them; so does a start that is killed between two moves."""
    alone, kept = (f"ledger.sqlite3.incomplete-{day}T080000Z" for day in ("20260301", "20260302"))
    for name in (f"{alone}-wal", f"{alone}-shm", kept, f"{kept}-wal"):
        path.with_name(name).touch()

    make_ready(path, NOW)

    assert {each for each in files(path) if "incomplete" in each} == {kept, f"{kept}-wal"}


def test_a_rescue_that_fails_leaves_nothing(path: Path) -> None:
    with opened(path) as db:
        commit_run(db)
        path.with_name(f"ledger.sqlite3.rescued-{STAMP}.sqlite3.draft").mkdir()

        with pytest.raises(LedgerUnavailable, match="cannot be rescued"):
            rescue(db, path, NOW)

        path.with_name(f"ledger.sqlite3.rescued-{STAMP}.sqlite3.draft").rmdir()
        assert files(path) == {"ledger.sqlite3", "ledger.sqlite3-wal"}
        assert rescue(db, path, NOW).exists()
        assert rescue(db, path, NOW).name == f"ledger.sqlite3.rescued-{STAMP}-2.sqlite3"


@pytest.fixture
def rescued(path: Path) -> Path:
    """A copy of 21 runs, rescued; the ledger itself is still there with its 20."""
    with opened(path) as db:
        with transaction(db):
            run = db.execute("insert into runs select 21, " + _others(path) + " from runs where id = 20").lastrowid
            db.execute("update stints set beat_at = ?", (run,))
        saved = rescue(db, path, NOW)
        with transaction(db):
            db.execute("delete from runs where id = 21")
            db.execute("update sqlite_sequence set seq = 20 where name = 'runs'")
            db.execute("update stints set beat_at = 20")
    return saved


def _others(path: Path) -> str:
    with opened(path) as db:
        return ", ".join(row[1] for row in db.execute("pragma table_info(runs)") if row[1] != "id")


def test_a_rescued_copy_takes_the_place_of_the_file_that_lost_its_log_F20(path: Path, rescued: Path) -> None:
    assert adopt_rescued(path, mark_of(path), NOW) == rescued

    assert run_ids(path)[-1] == 21
    assert run_ids(path.with_name(f"ledger.sqlite3.incomplete-{STAMP}"))[-1] == 20


def test_a_ledger_somebody_put_there_is_never_pushed_aside_by_a_rescued_one_F19(path: Path, rescued: Path) -> None:
    mark = mark_of(path)
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)

    assert adopt_rescued(path, mark, NOW) is None
    assert rescued.exists()
    assert run_ids(path)[-1] == 20


def test_a_rescued_copy_older_than_the_mark_stays_where_it_is(path: Path, rescued: Path) -> None:
    set_term(path, 2)
    mark = mark_of(path)
    path.unlink()

    assert adopt_rescued(path, mark, NOW) is None
    assert not path.exists()


def test_a_rescued_copy_of_another_ledger_stays_where_it_is(path: Path, rescued: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "ledger.sqlite3"
    new_ledger(other)
    mark = mark_of(other)
    path.unlink()

    assert adopt_rescued(path, mark, NOW) is None


def test_a_damaged_rescued_copy_gives_way_to_a_sound_one(path: Path, rescued: Path) -> None:
    mark = mark_of(path)
    path.unlink()
    path.with_name("ledger.sqlite3.rescued-20990101T000000Z.sqlite3").write_bytes(b"x" * 9000)

    assert adopt_rescued(path, mark, NOW + timedelta(days=1)) == rescued
    assert run_ids(path)[-1] == 21


def test_without_a_mark_a_missing_ledger_is_still_found_again(path: Path, rescued: Path) -> None:
    path.unlink()
    os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 0)

    assert adopt_rescued(path, None, NOW) == rescued
    assert run_ids(path)[-1] == 21
