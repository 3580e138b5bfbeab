"""Files of the ledger that its account may not write are named before anything is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from keepkit import NOW, new_ledger

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.identity import identity_of, write_mark
from echopilot_jobs.ledger.keeping import make_ready
from echopilot_jobs.ledger.permits import narrowed, unwritable, widen
from echopilot_jobs.ledger.users import users_apart
from tests.ledger.keepkit import opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.sqlite3"
    new_ledger(made, runs=2)
    with opened(made) as db:
        known = identity_of(db)
    assert known
    write_mark(made, known, NOW)
    return made


@pytest.fixture
def left_narrow(path: Path) -> Iterator[list[Path]]:
    """Log and index as SQLite makes them while the ledger is read-only."""
    files = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]
    path.chmod(0o600)
    for file in files:
        file.touch()
        file.chmod(0o400)
    yield files
    path.chmod(0o600)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_log_left_read_only_gets_the_ledgers_mode_before_it_is_opened_F23(
    path: Path, left_narrow: list[Path]
) -> None:
    ready = make_ready(path, NOW)

    assert [note.event for note in ready.notes] == ["ledger.opened_up", "ledger.opened_up"]
    assert narrowed(path) == []
    assert ready.health.is_sound


def test_what_is_mended_is_never_opened_I9(
    path: Path, left_narrow: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any descriptor on the ledger's file that is closed takes SQLite's locks with it."""

    def refuse(*_what: object, **_more: object) -> int:
        raise AssertionError("opened")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr("io.open", refuse)

    assert unwritable(path) is None or os.geteuid()
    assert widen(path) == left_narrow
    assert [mode(file) for file in left_narrow] == [0o600, 0o600]


def test_a_ledger_that_is_meant_to_be_read_only_widens_nothing(path: Path, left_narrow: list[Path]) -> None:
    path.chmod(0o400)

    assert widen(path) == []
    assert [mode(file) for file in left_narrow] == [0o400, 0o400]


def test_a_link_in_the_place_of_a_log_is_left_alone(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch(0o400)
    path.with_name(path.name + "-wal").symlink_to(other)

    assert widen(path) == []
    assert mode(other) == 0o400


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_start_before_a_file_it_may_not_write_names_file_account_and_mode_F23(
    path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    file = path.with_name(path.name + suffix)
    file.touch()
    monkeypatch.setattr(os, "access", lambda asked, _mode: Path(asked) != file)

    with pytest.raises(
        LedgerUnavailable, match=f"^cannot write '{file}' as uid {os.geteuid()} .mode 0[0-7]+.; run `chmod u"
    ):
        make_ready(path, NOW)


def test_a_folder_that_is_not_there_is_no_obstacle(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "none" / "ledger.sqlite3") is None


def test_a_ledger_that_is_a_link_to_itself_is_said_to_be_one_F31(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.symlink_to(path.name)

    assert users_apart(path) == []
    with pytest.raises(LedgerUnavailable, match="cannot be reached: Too many levels of symbolic links"):
        make_ready(path, NOW)
