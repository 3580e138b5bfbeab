"""A scheduler whose folder is closed to it waits, says so once, and goes on by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.modes import BOUND_BY_MODES
from tests.process.lone import Lone
from tests.process.stacks import eventually

pytestmark = pytest.mark.process


@pytest.fixture
def var(lone: Lone) -> Iterator[Path]:
    folder = lone.home / "var"
    yield folder
    folder.chmod(0o700)


def test_a_folder_closed_under_a_leader_loses_nothing_and_it_leads_on_I2_F18(lone: Lone, var: Path) -> None:
    process = lone.start("true", 3600, "startup", under=BOUND_BY_MODES)
    eventually(lambda: lone.events("startup"))

    var.chmod(0)
    eventually(lambda: lone.events("ledger.unreachable"))
    var.chmod(0o700)
    eventually(lambda: lone.events("ledger.reachable"))

    (told,) = lone.events("ledger.unreachable")
    assert str(told["error"]).startswith(f"cannot enter '{var}' as uid {os.geteuid()} (mode 0000); run `chmod")
    assert lone.events("ledger.vanished", "lock.lost", "scheduler.failed") == []
    assert list(var.glob("*.rescued-*")) == []
    assert "Traceback" not in lone.said(process)
    assert process.poll() is None


def test_a_folder_closed_before_the_start_is_waited_for_F23_I27(lone: Lone, var: Path) -> None:
    var.mkdir()
    var.chmod(0)
    process = lone.start("true", under=BOUND_BY_MODES)
    eventually(lambda: "waiting:" in lone.said(process))

    var.chmod(0o700)
    eventually(lambda: lone.events("startup"))

    assert lone.said(process).count(f"waiting: cannot enter '{var}' as uid {os.geteuid()}") == 1
    assert "Traceback" not in lone.said(process)


def test_a_ledger_that_was_read_only_for_a_while_is_led_once_it_is_given_back_F23(lone: Lone, var: Path) -> None:
    first = lone.start("true", under=BOUND_BY_MODES)
    eventually(lambda: lone.events("startup"))
    first.terminate()
    first.wait(timeout=20)
    ledger = var / "ledger.sqlite3"
    ledger.chmod(0o400)
    lone.start("true", under=BOUND_BY_MODES)
    (told,) = eventually(lambda: lone.events("ledger.unreachable"))

    ledger.chmod(0o600)
    eventually(lambda: len(lone.events("startup")) == 2)

    assert str(told["error"]).startswith(f"cannot write '{ledger}' as uid {os.geteuid()} (mode 0400)")
    assert len(lone.events("ledger.unreachable")) == 1


@pytest.mark.parametrize("name", ["scheduler.lock", "scheduler.wake"])
def test_a_folder_in_the_place_of_a_file_is_said_in_one_line_and_waited_for_F31(
    lone: Lone, var: Path, name: str
) -> None:
    (var / name / "full").mkdir(parents=True)
    process = lone.start("true")
    eventually(lambda: "waiting:" in lone.said(process))

    (var / name / "full").rmdir()
    (var / name).rmdir()
    eventually(lambda: lone.events("startup"))

    assert lone.said(process).count(f"waiting: cannot use '{var / name}' as uid") == 1
    assert "Traceback" not in lone.said(process)
