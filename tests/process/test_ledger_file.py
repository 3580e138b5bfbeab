"""What becomes of the ledger's file while a scheduler works on it, and what the next one makes of it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from echopilot_jobs.accounting.dying import dying
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.refusing import refusal
from tests.process.lone import Lone
from tests.process.stacks import eventually

pytestmark = pytest.mark.process


def ledger_of(lone: Lone) -> Path:
    return lone.home / "var" / "ledger.sqlite3"


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)


def beats(lone: Lone) -> list[int]:
    return [run.id for run in lone.runs("beat")]


FILES = ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"]


@pytest.mark.parametrize(
    "gone", [FILES, ["scheduler.lock", *FILES], None], ids=["the ledger", "and the lock", "all of var"]
)
def test_a_ledger_deleted_under_a_scheduler_is_rescued_and_nothing_is_lost_F18_I10(
    lone: Lone, gone: list[str] | None
) -> None:
    process = lone.start("true")
    eventually(lambda: len(beats(lone)) >= 3)

    var = ledger_of(lone).parent
    process.send_signal(signal.SIGSTOP)  # it looks when all are gone, and not in between
    if gone is None:
        shutil.rmtree(var)
    for name in gone or ():
        (var / name).unlink()
    process.send_signal(signal.SIGCONT)
    process.wait(timeout=30)
    lone.start("true")
    eventually(lambda: lone.events("ledger.adopted"))
    eventually(lambda: len(beats(lone)) >= 5)

    assert process.returncode == 1
    assert len(lone.events("ledger.vanished")) == 1
    assert beats(lone)[:3] == [1, 2, 3]
    assert var.stat().st_mode & 0o777 == 0o700
    with contextlib.closing(SqliteLedger(ledger_of(lone), create=False)) as ledger:
        _, (loss,) = dying(ledger, lone.home / "logs", SystemClock().now())
    assert loss.what.startswith("its file is gone; 'ledger.sqlite3.rescued-")
    assert loss.what.endswith("rescued from a deleted ledger, is 'ledger.sqlite3' again")


def test_an_older_copy_in_place_of_the_ledger_is_refused_until_somebody_agrees_F19(lone: Lone) -> None:
    first = lone.start("true")
    eventually(lambda: len(beats(lone)) >= 2)
    stop(first)
    older = lone.home / "older.sqlite3"
    shutil.copyfile(ledger_of(lone), older)
    second = lone.start("true")
    eventually(lambda: len(beats(lone)) >= 5)
    stop(second)

    shutil.copyfile(older, ledger_of(lone))
    third = lone.start("true")
    eventually(lambda: lone.events("ledger.refused"))

    (line,) = lone.events("ledger.refused")
    assert "older copy" in str(line["said"])
    assert "echopilot restore" in str(line["said"])
    assert refusal(ledger_of(lone)) == line["said"]
    assert third.poll() is None


def test_a_damaged_ledger_is_set_aside_and_a_new_one_owes_nothing_F21_I10(lone: Lone) -> None:
    first = lone.start("true")
    eventually(lambda: len(beats(lone)) >= 3)
    stop(first)
    with ledger_of(lone).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40_000)

    lone.start("true")
    eventually(lambda: lone.events("ledger.set_aside"))
    eventually(lambda: len(beats(lone)) >= 1)

    assert len(list(ledger_of(lone).parent.glob("ledger.sqlite3.damaged-*"))) >= 1
    assert "owes nothing" in str(lone.events("ledger.new")[-1]["said"])
    assert min(beats(lone)) > 3  # run ids are never given twice


def test_a_removed_lock_file_makes_the_scheduler_step_down_F47(lone: Lone) -> None:
    process = lone.start("true")
    eventually(lambda: len(beats(lone)) >= 1)

    (lone.home / "var" / "scheduler.lock").unlink()
    process.wait(timeout=30)

    assert process.returncode == 1
    assert len(lone.events("lock.lost")) == 1
