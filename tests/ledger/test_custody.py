"""Whoever leads looks after the ledger's file: it writes no more into one that is no longer the ledger."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from keepkit import add_runs, new_ledger

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.backup import accept
from echopilot_jobs.ledger.identity import (
    RUNS_BEYOND_MARK,
    LedgerMark,
    MarkUnclear,
    identity_of,
    mark_path,
    read_mark,
    write_mark,
)
from echopilot_jobs.ledger.rebirth import TOLD_FOR, Rebirth
from echopilot_jobs.ledger.refusing import refusal
from echopilot_jobs.scheduler.custody import Custody, LedgerGone, LedgerRefused
from echopilot_jobs.spans import stamp
from echopilot_jobs.testing import FakeClock
from tests.worldkit import Diary


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "var" / "ledger.sqlite3"
    new_ledger(made, runs=20)
    return made


@pytest.fixture
def mark(path: Path) -> LedgerMark:
    """That of the ledger, written when the clock began."""
    with sqlite3.connect(path) as db:
        known = identity_of(db)
    assert known
    return write_mark(path, known, FakeClock().now())


@pytest.fixture
def log() -> Diary:
    return Diary()


@pytest.fixture
def custody(path: Path, clock: FakeClock, log: Diary) -> Iterator[Custody]:
    kept = Custody(path, clock, log)
    yield kept
    kept.close()


def test_a_ledger_seen_for_the_first_time_is_marked_and_said_F42(custody: Custody, path: Path, log: Diary) -> None:
    custody.open()
    custody.led()

    mark = read_mark(path)
    assert mark
    assert mark.is_of(path)
    assert log.names() == ["ledger.new"]


def test_an_older_copy_written_over_the_open_ledger_is_left_at_once_and_not_closed_F19(
    custody: Custody, path: Path, tmp_path: Path, log: Diary
) -> None:
    old = tmp_path / "old"
    shutil.copy(path, old)
    add_runs(path, 60)
    custody.open()
    custody.led()
    subprocess.run(["cp", old, path], check=True)

    with pytest.raises(LedgerGone) as told:
        custody.look()

    assert told.value.mixed
    assert log.names()[-1] == "ledger.vanished"


def test_no_checkpoint_goes_into_a_file_that_lost_its_name_F18(custody: Custody, path: Path) -> None:
    ledger = custody.open()
    custody.led()
    before = ledger.identity()
    path.unlink()

    with pytest.raises(LedgerGone) as told:
        custody.checkpoint()

    (copy,) = path.parent.glob("*.rescued-*.sqlite3")
    assert copy.name in str(told.value)
    assert not told.value.mixed
    with sqlite3.connect(copy) as db:
        assert db.execute("select max(id) from runs").fetchone() == (before.last_run,)


def test_an_older_copy_is_not_led_unasked_F19(
    custody: Custody, path: Path, tmp_path: Path, clock: FakeClock, log: Diary
) -> None:
    old = tmp_path / "old"
    shutil.copy(path, old)
    add_runs(path, 5)
    custody.open()
    custody.led()
    custody.close()
    shutil.copy(old, path)

    with pytest.raises(LedgerRefused, match="older copy"):
        Custody(path, clock, log).open()


def test_the_reserve_is_given_for_a_full_disk_and_for_nothing_else_F25(custody: Custody, path: Path) -> None:
    custody.open()
    reserve = path.with_name("ledger.sqlite3.reserve")
    full, locked = LedgerUnavailable("full"), LedgerUnavailable("locked")
    full.__cause__ = sqlite3.OperationalError("database or disk is full")
    full.__cause__.sqlite_errorcode = sqlite3.SQLITE_FULL
    locked.__cause__ = sqlite3.OperationalError("database is locked")
    locked.__cause__.sqlite_errorcode = sqlite3.SQLITE_BUSY

    assert not custody.relieve(locked)
    assert reserve.exists()
    assert custody.relieve(full)
    assert not reserve.exists()
    assert not custody.relieve(full)


def test_behind_a_mark_that_is_no_file_an_older_copy_is_not_led_F19(
    custody: Custody, path: Path, tmp_path: Path, log: Diary
) -> None:
    old = tmp_path / "old"
    shutil.copy(path, old)
    add_runs(path, 5)
    shutil.copy(old, path)
    mark_path(path).mkdir()

    with pytest.raises(LedgerRefused, match=r"cannot be read: .*; see that the ledger is no older copy"):
        custody.open()

    assert "mark.json" in (refusal(path) or "")
    assert log.names() == []
    mark_path(path).rmdir()
    custody.open()
    assert refusal(path) is None


def test_a_ledger_new_here_is_said_once_however_often_it_is_opened(custody: Custody, path: Path, log: Diary) -> None:
    for _ in range(3):
        custody.open()
        custody.close()

    assert log.names() == ["ledger.new"]


def test_a_mark_that_cannot_be_kept_is_said_once_F19(custody: Custody, path: Path, log: Diary) -> None:
    custody.open()
    mark_path(path).mkdir()

    custody.led()
    custody.checkpoint()

    assert log.names() == ["ledger.new", "ledger.unmarked"]


def test_an_older_copy_laid_over_beside_an_unclear_mark_is_left_at_once_F19(
    custody: Custody, path: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copy(path, old)
    custody.open()
    custody.led()
    mark_path(path).unlink()
    mark_path(path).mkdir()
    subprocess.run(["cp", old, path], check=True)

    with pytest.raises(LedgerGone) as told:
        custody.look()

    assert told.value.mixed


def test_a_mark_that_cannot_be_written_hinders_nobody_from_leading_F25(
    custody: Custody, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody.open()
    custody.led()
    before = read_mark(path)

    def refuse(*_what: object) -> None:
        raise LedgerUnavailable("no space left")

    with monkeypatch.context() as full:
        full.setattr("echopilot_jobs.scheduler.custody.write_mark", refuse)
        custody.led()
        custody.look()
    add_runs(path, 3)
    custody.checkpoint()

    after = read_mark(path)
    assert before
    assert after
    assert after.last_run > before.last_run


def test_the_ledger_after_a_lost_one_says_for_a_day_that_it_began_empty_F42_I10(
    custody: Custody, path: Path, clock: FakeClock, log: Diary, mark: LedgerMark
) -> None:
    for each in path.parent.glob("ledger.sqlite3*"):
        if each != mark_path(path):
            each.unlink()

    ledger = custody.open()
    lost = ledger.rebirth()

    assert lost == Rebirth(clock.now(), 20, mark.written_at)
    assert lost.words(stamp).startswith("the ledger before this one, with runs up to 20 and last seen ")
    assert (lost.is_news(clock.now() + TOLD_FOR), lost.is_news(clock.now() + 2 * TOLD_FOR)) == (True, False)
    assert ledger.identity().last_run == 20 + RUNS_BEYOND_MARK
    assert "runs up to 20" in next(facts for name, facts in log.lines if name == "ledger.new")["said"]


def test_without_any_mark_the_log_still_tells_which_run_numbers_were_given_I10(
    path: Path, clock: FakeClock, log: Diary
) -> None:
    for each in path.parent.glob("ledger.sqlite3*"):  # as people type it: the mark goes, too
        each.unlink()
    first = Custody(path, clock, log, lambda _moment: 1351)
    ledger = first.open()
    lost, number = ledger.rebirth(), ledger.identity().last_run
    first.close()
    second = Custody(path, clock, log, lambda _moment: 1351)
    again = second.open()

    assert lost == Rebirth(clock.now(), 1351, None)
    assert again.rebirth() == lost
    assert (number, again.identity().last_run) == (1351 + RUNS_BEYOND_MARK,) * 2
    second.close()


def test_a_first_ledger_is_no_loss_F42(tmp_path: Path, clock: FakeClock, log: Diary) -> None:
    kept = Custody(tmp_path / "ledger.sqlite3", clock, log)

    assert kept.open().rebirth() is None
    kept.close()


def test_a_ledger_that_knows_less_than_the_log_is_not_led_unasked_F19_F20_I1_I10(
    path: Path, clock: FakeClock, log: Diary, mark: LedgerMark
) -> None:
    asked: list[datetime | None] = []

    def told_since(moment: datetime | None) -> int:
        asked.append(moment)
        return 22

    mark = read_mark(path)
    assert mark
    with pytest.raises(
        LedgerRefused, match="it ends with run 20 and the log tells of run 22; stop the stack, then go on"
    ):
        Custody(path, clock, log, told_since).open()
    accept(path, clock.now(), told=22)
    accepted = Custody(path, clock, log, told_since)

    assert asked == [mark.written_at]
    assert accepted.open().identity().last_run == 22 + RUNS_BEYOND_MARK
    accepted.close()


@pytest.mark.parametrize("value", ["1e999", "-1", "9" * 400, str(2**62)])
@pytest.mark.usefixtures("mark")
def test_a_mark_with_a_number_no_ledger_ever_reached_is_no_mark_F19(path: Path, value: str) -> None:
    good = mark_path(path).read_text()
    for name in ("term", "last_run"):
        text = json.dumps({**json.loads(good), name: 4711}).replace("4711", value)
        mark_path(path).write_text(text)

        with pytest.raises(MarkUnclear, match="it is no mark of ours"):
            read_mark(path)
