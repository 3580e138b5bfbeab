"""A backup is whole or absent, made while others write; a restore loses nothing and gives no id twice."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from keepkit import (
    HERE,
    NOW,
    ROOT,
    STAMP,
    add_runs,
    commit_run,
    copy_files,
    dump,
    files,
    new_ledger,
    opened,
    python,
    run_ids,
    set_term,
)

from echopilot_jobs.errors import LedgerTooNew, LedgerUnavailable, WrongState
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger import backup as backup_module
from echopilot_jobs.ledger.backup import CopyFailed, accept, back_up, default_target, newest_backup, restore
from echopilot_jobs.ledger.connection import transaction
from echopilot_jobs.ledger.copying import copy_database
from echopilot_jobs.ledger.identity import (
    RUNS_BEYOND_MARK,
    Continuation,
    continuity,
    identity_of,
    mark_path,
    read_mark,
    write_mark,
)
from echopilot_jobs.ledger.inspection import Depth, inspect
from echopilot_jobs.ledger.refusing import note_refusal, refusal

DRIVER = str(HERE / "backup_driver.py")

# What a restore changes in the copy: how runs are numbered, how the last scheduler's life ended, and a note of itself.
OF_A_RESTORE = ("sqlite_sequence", "stints", "meta")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "var" / "ledger.sqlite3"
    new_ledger(made, runs=60)
    return made


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "copies").mkdir()
    return tmp_path / "copies" / "copy.sqlite3"


def judged(path: Path) -> Continuation:
    return continuity(path, read_mark(path), inspect(path).identity).state


def mark_now(path: Path) -> None:
    with opened(path) as db:
        known = identity_of(db)
    assert known
    write_mark(path, known, NOW)


def test_a_backup_holds_everything_and_stands_alone_F80(path: Path, target: Path) -> None:
    with opened(path) as db:
        commit_run(db)  # still in the log only

        copy = back_up(path, target)

    assert target.read_bytes()[18:20] == b"\x01\x01", "it still asks for a log of its own"
    assert dump(target) == dump(path)
    assert (copy.path, copy.bytes, copy.rows["runs"]) == (target, target.stat().st_size, 61)
    assert copy.identity.last_run == 61
    assert target.stat().st_mode & 0o777 == 0o600
    assert inspect(target, Depth.FULL, alone=True).is_sound


def test_a_backup_leaves_nothing_else_behind(path: Path, target: Path) -> None:
    before = files(path)

    back_up(path, target)

    assert files(path) - before <= {"ledger.sqlite3-wal"}
    assert files(target) == {"copy.sqlite3"}


def test_progress_is_told_from_the_first_page_to_the_last(path: Path, target: Path, monkeypatch) -> None:
    monkeypatch.setattr("echopilot_jobs.ledger.copying.STEP_PAGES", 5)
    told: list[tuple[int, int]] = []

    back_up(path, target, lambda done, total: told.append((done, total)))

    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == path.stat().st_size // 4096


def test_a_target_that_exists_is_never_written_over(path: Path, target: Path) -> None:
    target.write_text("precious")

    with pytest.raises(WrongState, match="exists and is not overwritten"):
        back_up(path, target)

    assert target.read_text() == "precious"


def test_a_target_made_meanwhile_is_not_written_over_either(path: Path, target: Path) -> None:
    with pytest.raises(WrongState, match=r"no backup was written .* exists"):
        back_up(path, target, lambda done, total: target.write_text("precious") if done == total else None)

    assert target.read_text() == "precious"
    assert files(target) == {"copy.sqlite3"}


def test_a_link_to_nowhere_is_taken_too(path: Path, target: Path) -> None:
    target.symlink_to(target.with_name("nowhere"))

    with pytest.raises(WrongState):
        back_up(path, target)


def test_without_hard_links_the_copy_still_gets_its_name(path: Path, target: Path, monkeypatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)  # as FAT does

    back_up(path, target)

    assert files(target) == {"copy.sqlite3"}


def test_a_ctrl_c_leaves_nothing(path: Path, target: Path) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(path, target, interrupt)

    assert not list(target.parent.glob("*copy*"))


def test_there_is_no_backup_of_a_ledger_that_is_not_there(tmp_path: Path, target: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="no ledger at"):
        back_up(tmp_path / "none", target)

    assert not list(target.parent.glob("*copy*"))


def test_a_damaged_ledger_gives_no_backup_that_looks_sound_F21(path: Path, target: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[4096 * 8 : 4096 * 9] = b"\xa5" * 4096
    path.write_bytes(whole)

    with pytest.raises((CopyFailed, LedgerUnavailable), match=r"malformed|not sound"):
        back_up(path, target)

    assert not list(target.parent.glob("*copy*"))


def test_a_ledger_of_a_newer_release_is_not_copied_by_an_older_one_F78(path: Path, target: Path) -> None:
    with opened(path) as db:
        db.execute("pragma user_version = 99")

    with pytest.raises(LedgerTooNew, match="version 99"):
        back_up(path, target)

    assert not list(target.parent.glob("*copy*"))


def test_a_disk_without_room_is_told_before_anything_is_written(path: Path, target: Path, monkeypatch) -> None:
    usage = shutil.disk_usage(path)._replace(free=1000)
    monkeypatch.setattr(backup_module.shutil, "disk_usage", lambda _folder: usage)

    with pytest.raises(CopyFailed, match=r"needs 0\.\d MiB .* has 0\.0 MiB free; make room or name a file"):
        back_up(path, target)


@pytest.mark.process
def test_a_disk_that_fills_up_meanwhile_keeps_no_half_copy(path: Path, target: Path) -> None:
    done = python(DRIVER, "limit", str(path), str(target), str(40 * 1024))

    assert done.returncode == 1, done.stderr
    assert "no backup was written to" in done.stdout
    assert not list(target.parent.glob("*copy*"))


@pytest.mark.process
def test_a_backup_that_was_killed_leaves_no_copy_and_the_next_one_tidies_up(path: Path, target: Path) -> None:
    for step in (1, 2, 3):
        assert python(DRIVER, "die", str(path), str(target), str(step)).returncode == -9
        assert not target.exists()
    assert list(target.parent.glob(".copy.sqlite3.*.draft"))

    back_up(path, target)

    assert files(target) == {"copy.sqlite3"}
    assert dump(target) == dump(path)


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that commits run after run."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}
    command = [sys.executable, DRIVER, "write", str(path), "-"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.process
def test_backups_under_load_are_one_moment_each_and_later_ones_hold_more_F80(
    path: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("echopilot_jobs.ledger.copying.STEP_PAGES", 5)
    with writing(path) as writer:
        copies = []
        for number in range(5):
            copies.append(back_up(path, tmp_path / f"{number}.sqlite3"))
            assert writer.stdout
            writer.stdout.readline()

    counts = [run_ids(copy.path) for copy in copies]  # proves that no transaction was torn
    assert all(ids == list(range(1, len(ids) + 1)) for ids in counts)
    assert sorted(map(len, counts)) == list(map(len, counts))
    assert len(counts[-1]) > len(counts[0]) > 60


def test_a_copy_made_step_by_step_does_not_begin_again_with_every_commit(path: Path, target: Path, monkeypatch) -> None:
    monkeypatch.setattr("echopilot_jobs.ledger.copying.STEP_PAGES", 2)
    steps = 0
    with opened(path) as db, opened(path) as writer:

        def commit(_done: int, _total: int) -> None:
            nonlocal steps
            steps += 1
            commit_run(writer)

        pages = path.stat().st_size // 4096
        copy_database(db, target, commit)

    assert steps <= pages // 2 + 2
    assert len(run_ids(target)) == 60


def test_the_default_target_is_named_after_the_moment(tmp_path: Path) -> None:
    assert default_target(tmp_path, NOW) == tmp_path / "backups" / f"ledger-{STAMP}.sqlite3"
    assert newest_backup(tmp_path) is None

    (tmp_path / "backups").mkdir()
    for name in ("ledger-20260101T000000Z.sqlite3", "ledger-20260302T080000Z.sqlite3", "note.txt", ".ledger-9.1.draft"):
        (tmp_path / "backups" / name).touch()
    assert newest_backup(tmp_path) == tmp_path / "backups" / "ledger-20260302T080000Z.sqlite3"


# -- the way back


def test_a_restored_ledger_holds_what_the_copy_holds_and_the_other_is_kept_F80_I10(path: Path, target: Path) -> None:
    back_up(path, target)
    mark_now(path)
    former = add_and_dump(path, 5)

    done = restore(target, path, NOW)

    assert {name: rows for name, rows in dump(path).items() if name not in OF_A_RESTORE} == {
        name: rows for name, rows in dump(target).items() if name not in OF_A_RESTORE
    }
    assert done.aside == path.with_name(f"ledger.sqlite3.before-restore-{STAMP}")
    assert dump(done.aside) == former
    assert judged(path) is Continuation.SAME
    assert read_mark(done.aside) is not None


def add_and_dump(path: Path, count: int) -> dict[str, list[tuple[object, ...]]]:
    add_runs(path, count)
    return dump(path)


def test_run_ids_go_on_where_the_replaced_ledger_stood_I10(path: Path, target: Path) -> None:
    back_up(path, target)
    add_runs(path, 5)

    restore(target, path, NOW)
    add_runs(path, 1)

    assert run_ids(path)[-2:] == [60, 66]


def test_run_ids_jump_when_nobody_can_tell_where_it_stood_I10(path: Path, target: Path) -> None:
    back_up(path, target)
    mark_now(path)
    path.write_bytes(b"ruined" * 1000)

    restore(target, path, NOW)
    add_runs(path, 1)

    assert run_ids(path)[-1] == 60 + RUNS_BEYOND_MARK + 1


def test_a_stale_log_is_moved_along_F20(path: Path, target: Path) -> None:
    back_up(path, target)
    with opened(path) as db:
        commit_run(db)
        shutil.copy(f"{path}-wal", target.with_name("log"))
    shutil.copy(target.with_name("log"), f"{path}-wal")

    done = restore(target, path, NOW)

    assert done.aside
    assert Path(f"{done.aside}-wal").read_bytes() == target.with_name("log").read_bytes()
    assert run_ids(path) == list(range(1, 61))


def test_a_log_that_nothing_was_written_to_is_not_kept_with_the_former_ledger(path: Path, target: Path) -> None:
    """Whoever only read the ledger after its scheduler ended leaves one, with its index."""
    back_up(path, target)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").touch()

    done = restore(target, path, NOW)

    assert done.aside
    assert {name for name in files(path) if name.startswith(done.aside.name)} == {done.aside.name}
    assert run_ids(done.aside) == list(range(1, 61))


def test_a_ledger_can_be_restored_where_there_was_none_F42(tmp_path: Path, path: Path, target: Path) -> None:
    back_up(path, target)
    fresh = tmp_path / "fresh" / "ledger.sqlite3"
    fresh.parent.mkdir()

    done = restore(target, fresh, NOW)

    assert done.aside is None
    assert {name: rows for name, rows in dump(fresh).items() if name != "stints"} == {
        name: rows for name, rows in dump(path).items() if name != "stints"
    }
    with opened(fresh) as db:
        assert db.execute("select ended_how from stints order by id desc limit 1").fetchone()[0] == "restored"
    assert judged(fresh) is Continuation.SAME
    assert files(fresh) - {"ledger.sqlite3-wal"} == {"ledger.sqlite3", "ledger.sqlite3.mark.json"}


def test_a_restore_after_one_that_was_killed_finishes_that_one_first_I10(path: Path, target: Path) -> None:
    """The ledger's file had been moved, its log not yet."""
    back_up(path, target)
    aside, crashed = path.with_name(f"ledger.sqlite3.before-restore-{STAMP}"), target.with_name("crashed")
    with opened(path) as db:
        commit_run(db)
        copy_files(path, crashed)
    copy_files(crashed, path)
    path.rename(aside)
    shutil.copy(target, path.with_name("ledger.sqlite3.restoring"))
    plan = {"aside": aside.name, "suffixes": ["-wal"], "arriving": [["ledger.sqlite3.restoring", path.name]]}
    path.with_name("ledger.sqlite3.moving.json").write_text(json.dumps(plan))

    done = restore(target, path, NOW)

    assert run_ids(aside)[-1] == 61
    assert done.aside == path.with_name(f"{aside.name}-2")
    assert run_ids(done.aside)[-1] == 60


def test_a_copy_with_its_log_beside_it_is_restored_with_it(path: Path, target: Path) -> None:
    with opened(path) as db:
        commit_run(db)
        shutil.copy(path, target)
        shutil.copy(f"{path}-wal", f"{target}-wal")

    restore(target, path, NOW)

    assert run_ids(path)[-1] == 61


def test_a_restored_ledger_is_led_like_any_other_F80(path: Path, target: Path) -> None:
    back_up(path, target)

    restore(target, path, NOW)

    with closing(SqliteLedger(path)):
        assert inspect(path, Depth.FULL).is_sound


@pytest.mark.parametrize("content", [b"", b"a diary " * 2000, b"SQLite format 3\0" + b"\0" * 9000])
def test_what_is_no_ledger_is_not_restored(path: Path, target: Path, content: bytes) -> None:
    target.write_bytes(content)
    before = dump(path)

    with pytest.raises(LedgerUnavailable):
        restore(target, path, NOW)

    assert dump(path) == before
    assert files(path) - {"ledger.sqlite3-wal"} == {"ledger.sqlite3"}


def test_a_damaged_copy_is_not_restored_F21(path: Path, target: Path) -> None:
    back_up(path, target)
    whole = target.read_bytes()
    target.write_bytes(whole[: len(whole) // 2])

    with pytest.raises(LedgerUnavailable, match="is damaged"):
        restore(target, path, NOW)

    assert run_ids(path)[-1] == 60


def test_a_newer_copy_is_not_restored_F78(path: Path, target: Path) -> None:
    back_up(path, target)
    with closing(sqlite3.connect(target)) as db:
        db.execute("pragma user_version = 99")

    with pytest.raises(LedgerTooNew, match="version 99"):
        restore(target, path, NOW)


def test_the_ledger_is_not_restored_from_itself(path: Path, target: Path) -> None:
    target.symlink_to(path)

    with pytest.raises(WrongState, match="is the ledger itself"):
        restore(target, path, NOW)


def test_a_restore_without_room_leaves_everything_as_it_was(path: Path, target: Path, monkeypatch) -> None:
    back_up(path, target)
    usage = shutil.disk_usage(path)._replace(free=1000)
    monkeypatch.setattr(backup_module.shutil, "disk_usage", lambda _folder: usage)

    with pytest.raises(CopyFailed, match="MiB free"):
        restore(target, path, NOW)

    assert files(path) - {"ledger.sqlite3-wal"} == {"ledger.sqlite3"}
    assert run_ids(path)[-1] == 60


# -- a person's word


def test_an_older_copy_put_there_by_hand_is_refused_until_a_person_agrees_F19(path: Path, target: Path) -> None:
    back_up(path, target)
    set_term(path, 2)
    add_runs(path, 3)
    mark_now(path)
    Path(f"{path}-wal").unlink(missing_ok=True)
    shutil.copy(target, path)
    assert judged(path) is Continuation.ROLLED_BACK

    mark = accept(path, NOW)
    add_runs(path, 1)

    assert judged(path) is Continuation.SAME
    assert mark.term == 1
    assert run_ids(path)[-1] == 63 + RUNS_BEYOND_MARK + 1


def test_what_is_no_sound_ledger_cannot_be_accepted(path: Path) -> None:
    mark_now(path)
    kept = mark_path(path).read_bytes()
    path.write_bytes(path.read_bytes()[:9000])

    with pytest.raises(LedgerUnavailable, match="damaged"):
        accept(path, NOW)

    assert mark_path(path).read_bytes() == kept


def test_an_older_copy_under_a_newer_log_is_accepted_without_it_and_no_longer_refused_F19_F20(
    path: Path, target: Path
) -> None:
    back_up(path, target)
    lives, log = path.with_name("lives"), Path(f"{path}-wal")
    with opened(path) as db:
        for _ in range(60):
            commit_run(db)
        db.execute("pragma wal_checkpoint(passive)").fetchone()
        db.execute("create table other (x)")
        commit_run(db)
        mark_now(path)
        copy_files(path, lives)
    shutil.copy(f"{lives}-wal", log)
    path.write_bytes(target.read_bytes())
    note_refusal(path, "an older copy")

    accept(path, NOW)

    assert inspect(path, Depth.FULL).is_sound
    assert run_ids(path) == run_ids(target)
    assert path.with_name(f"{path.name}.stale-{STAMP}-wal").exists()
    assert refusal(path) is None


def test_accepting_what_is_in_order_changes_nothing_of_it(path: Path) -> None:
    mark_now(path)
    before = dump(path)

    accept(path, NOW)

    assert dump(path) == before


def test_rows_that_were_lost_on_the_way_are_noticed(path: Path, target: Path, monkeypatch) -> None:
    def losing(source: sqlite3.Connection, file: Path, progress: object = None) -> dict[str, int]:
        rows = copy_database(source, file)
        with closing(sqlite3.connect(file, isolation_level=None)) as db, transaction(db):
            db.execute("delete from runs where id = 30")
        return rows

    monkeypatch.setattr(backup_module, "copy_database", losing)

    with pytest.raises(CopyFailed, match="other rows than the ledger"):
        back_up(path, target)
