"""Whoever works on the ledger without leading it: what it acknowledges is found again, and what it closes harms nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from keepkit import HERE, NOW, ROOT, add_runs, commit_run, copy_files, new_ledger, opened, run_ids, set_term

from echopilot_jobs.ledger.backup import accept, back_up
from echopilot_jobs.ledger.identity import identity_of, write_mark
from echopilot_jobs.ledger.inspection import Depth, inspect
from echopilot_jobs.ledger.keeping import make_ready

pytestmark = pytest.mark.process


class Guest:
    """A process that has the ledger open."""

    def __init__(self, path: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}
        command = [sys.executable, str(HERE / "guest_driver.py"), str(path)]
        self._process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._heard() == "open"

    def ask(self, key: str) -> str:
        """The number of a run asked for, or why there is none."""
        assert self._process.stdin
        self._process.stdin.write(key + "\n")
        self._process.stdin.flush()
        return self._heard()

    def leave(self) -> None:
        """Close everything in good order."""
        self._process.communicate(timeout=30)

    def _heard(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().rstrip("\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "var" / "ledger.sqlite3"
    new_ledger(made, runs=20)
    mark(made)
    return made


@pytest.fixture
def guests(path: Path) -> Iterator[Callable[[], Guest]]:
    made: list[Guest] = []

    def guest() -> Guest:
        made.append(Guest(path))
        return made[-1]

    yield guest
    for each in made:
        each.leave()


def mark(path: Path) -> None:
    with opened(path) as db:
        known = identity_of(db)
    assert known
    write_mark(path, known, NOW)


def lay_over(copy: Path, path: Path) -> None:
    """By another process, as a person would."""
    subprocess.run(["cp", copy, path], check=True)


def test_who_had_the_ledger_open_leaves_the_older_copy_laid_over_it_whole_F19(
    path: Path, tmp_path: Path, guests: Callable[[], Guest]
) -> None:
    """It still has the log that was parted from the copy: SQLite moves a log into its file when the last one closes it."""
    older = tmp_path / "older.sqlite3"
    back_up(path, older)
    guest = guests()
    with opened(path) as db:
        for _ in range(60):
            commit_run(db)
        db.execute("pragma wal_checkpoint(passive)").fetchone()
    set_term(path, 2)
    mark(path)
    lay_over(older, path)

    ready = make_ready(path, NOW)
    guest.leave()

    assert ready.continuity.needs_a_person
    assert path.read_bytes() == older.read_bytes()
    accept(path, NOW)
    assert inspect(path, Depth.FULL).is_sound
    assert run_ids(path) == list(range(1, 21))


@pytest.mark.parametrize(("suffixes", "kept"), [(["-wal"], 20), (["-shm"], 21), (["-wal", "-shm"], 20)])
def test_who_has_a_deleted_log_or_index_open_harms_no_ledger_that_went_on_F20(
    path: Path, guests: Callable[[], Guest], suffixes: list[str], kept: int
) -> None:
    """No scheduler was there to rescue what the log held; the next one begins with what the names show, and writes."""
    guest = guests()
    guest.ask("k")
    subprocess.run(["rm", *(f"{path}{suffix}" for suffix in suffixes)], check=True)

    ready = make_ready(path, NOW)
    with opened(path) as db:
        for _ in range(60):
            commit_run(db)
        db.execute("pragma wal_checkpoint(passive)").fetchone()
    guest.leave()

    assert ready.health.is_sound
    assert inspect(path, Depth.FULL).is_sound
    assert len(run_ids(path)) == kept + 60


def test_an_older_copy_nobody_has_open_keeps_the_log_it_came_with_F19(path: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.sqlite3"
    with opened(path) as db:
        commit_run(db)
        copy_files(path, older)
    add_runs(path, 5)
    mark(path)
    copy_files(older, path)

    ready = make_ready(path, NOW)

    assert ready.continuity.needs_a_person
    assert ready.notes == ()
    assert run_ids(path) == list(range(1, 22))
