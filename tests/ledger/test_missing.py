"""A ledger that is gone is told with the way back that does no harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from keepkit import NOW, STAMP, new_ledger

from echopilot_jobs.ledger.identity import Identity, write_mark
from echopilot_jobs.ledger.missing import gone
from echopilot_jobs.processes import is_frozen, owner_of, this_process
from tests.process.stacks import eventually

HOLD = "import sys; held = open(sys.argv[1]); print(1, flush=True); sys.stdin.read()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ledger = tmp_path / "var" / "ledger.sqlite3"
    new_ledger(ledger, 3)
    write_mark(ledger, Identity("1" * 32, 1, 3), NOW)
    return ledger


@pytest.fixture
def holder(path: Path) -> Iterator[int]:
    """The pid of a scheduler that leads and has the ledger open, which is deleted then."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        path.with_name("scheduler.lock").write_text(str(owner_of(process.pid)))
        path.unlink()
        yield process.pid
        process.kill()


def way_back(path: Path) -> str:
    found = gone(path)
    assert found
    assert "; " not in found.do  # who splits a message takes what stands behind the last one
    return found.do


@pytest.mark.process
def test_while_its_scheduler_holds_the_deleted_ledger_nobody_is_told_to_do_anything_F18(
    path: Path, holder: int
) -> None:
    assert way_back(path) == (
        f"leave all running and ask again: the scheduler (pid {holder}) still holds it and puts it back within seconds"
    )


@pytest.mark.process
def test_a_frozen_scheduler_that_holds_it_is_to_be_woken_and_not_waited_for_F18(path: Path, holder: int) -> None:
    os.kill(holder, signal.SIGSTOP)
    eventually(lambda: is_frozen(holder), what="it is frozen")

    assert way_back(path).startswith(f"wake the scheduler (pid {holder}) with `kill -CONT {holder}`")


def test_a_scheduler_that_lives_and_never_had_it_open_puts_nothing_back(path: Path) -> None:
    path.with_name("scheduler.lock").write_text(str(this_process()))
    path.unlink()

    assert way_back(path).startswith("with the stack stopped, run `echopilot restore FILE`")


def test_a_rescued_copy_is_waited_for_while_the_stack_lives_and_needs_a_start_without_it_F18(path: Path) -> None:
    path.rename(path.with_name(f"ledger.sqlite3.rescued-{STAMP}.sqlite3"))
    without = way_back(path)
    path.with_name("stack.lock").write_text(str(this_process()))

    assert without.startswith("start the stack with `bin/stack`: it puts back the copy")
    assert way_back(path).startswith(
        "ask again in a few seconds: the next scheduler to start puts back 'ledger.sqlite3.resc"
    )
