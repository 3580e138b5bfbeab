"""On a full disk the reserve is what a run's end is still recorded with."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from keepkit import HERE, can_mount, on_tiny_disk, python

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.connection import readable_errors
from echopilot_jobs.ledger.reserve import Reserve, is_full

# A disk of its own where the kernel lets this account mount one; a limit on every file's length works everywhere.
MEANS = ["limit", "disk"] if can_mount() else ["limit"]
KIBIBYTE = 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def test_the_reserve_really_occupies_its_space(path: Path) -> None:
    reserve = Reserve(path)

    assert reserve.take()

    file = path.with_name("ledger.sqlite3.reserve")
    assert reserve.held
    assert file.stat().st_size == 1024 * KIBIBYTE
    assert file.stat().st_blocks * 512 >= 1024 * KIBIBYTE
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(set(file.read_bytes()[:4096])) > 100, "zeroes may take no space at all"


def test_taking_and_giving_may_be_repeated(path: Path) -> None:
    reserve = Reserve(path)

    assert [reserve.release(), reserve.take(), reserve.take(), reserve.held] == [False, True, True, True]
    assert [Reserve(path).held, reserve.release(), reserve.release(), reserve.held] == [True, True, False, False]
    assert list(path.parent.iterdir()) == []


def test_a_reserve_cut_short_by_a_crash_is_made_anew(path: Path) -> None:
    path.with_name("ledger.sqlite3.reserve").write_bytes(b"x" * 1000)
    path.with_name("ledger.sqlite3.reserve.draft").write_bytes(b"x" * 5000)
    reserve = Reserve(path)

    assert not reserve.held
    assert reserve.take()
    assert [each.name for each in path.parent.iterdir()] == ["ledger.sqlite3.reserve"]


def test_a_reserve_that_cannot_be_made_is_quietly_not_held(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "nowhere" / "ledger.sqlite3")

    assert not reserve.take()
    assert not reserve.held
    assert not reserve.release()


def test_it_is_not_taken_where_little_would_be_left(path: Path) -> None:
    free = os.statvfs(path.parent)

    assert not Reserve(path, free.f_bavail * free.f_frsize // 2).take()
    assert list(path.parent.iterdir()) == []


@pytest.mark.process
@pytest.mark.parametrize("means", MEANS)
def test_a_full_disk_is_told_and_the_reserve_makes_room_for_one_more_F25(tmp_path: Path, means: str) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    arguments = (str(HERE / "disk_driver.py"), means, str(folder))

    done = on_tiny_disk(folder, "size=2m", *arguments) if means == "disk" else python(*arguments)

    assert (done.stdout, done.returncode) == ("well\n", 0), done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_the_systems_own_words_for_no_room_are_understood_F24(tmp_path: Path, number: int) -> None:
    assert is_full(OSError(number, "x"), tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EROFS, None])
def test_other_trouble_is_not_taken_for_a_full_disk(tmp_path: Path, number: int | None) -> None:
    assert not is_full(OSError(number, "x"), tmp_path)


def test_sqlites_words_are_found_under_ours_F24(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "small", isolation_level=None)) as db:
        db.execute("pragma max_page_count = 2")
        db.execute("create table t (x)")
        with pytest.raises(LedgerUnavailable) as raised, readable_errors("written"):
            db.execute("insert into t values (zeroblob(100000))")

    assert is_full(raised.value, tmp_path)


def test_a_locked_or_missing_ledger_is_not_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable) as raised, readable_errors("opened"):
        sqlite3.connect(tmp_path / "nowhere" / "x")

    assert not is_full(raised.value, tmp_path)
    assert not is_full(LedgerUnavailable("no cause"), tmp_path)
    assert not is_full(ValueError("no"), tmp_path)
