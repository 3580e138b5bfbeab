"""Whoever works on the ledger without leading it: what it acknowledges is found again, and what it closes harms nobody."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from keepkit import HERE, NOW, ROOT, add_runs, commit_run, copy_files, files, new_ledger, opened, run_ids, set_term

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger import GuestLedger
from echopilot_jobs.ledger.backup import accept, back_up
from echopilot_jobs.ledger.connection import connect
from echopilot_jobs.ledger.identity import identity_of, write_mark
from echopilot_jobs.ledger.inspection import Depth, inspect
from echopilot_jobs.ledger.keeping import make_ready
from echopilot_jobs.ledger.refusing import note_refusal
from echopilot_jobs.ledger.users import users_apart
from echopilot_jobs.ledger.watch import rescue

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


@pytest.mark.parametrize("suffixes", [[""], ["-wal"], ["-shm"], ["", "-wal", "-shm"], ["-wal", "-shm"]])
def test_what_was_acknowledged_before_files_were_deleted_is_rescued_and_nothing_is_after_it_I24_I10_F18(
    path: Path, guests: Callable[[], Guest], suffixes: list[str]
) -> None:
    guest = guests()
    with opened(path) as scheduler:
        commit_run(scheduler)
        before = guest.ask("before")
        subprocess.run(["rm", *(f"{path}{suffix}" for suffix in suffixes)], check=True)

        after = guest.ask("after")

        assert before == "22"
        assert "the ledger's files were deleted or exchanged while in use" in after
        with opened(rescue(scheduler, path, NOW)) as saved:
            keys = saved.execute("select request_key from runs where request_key is not null").fetchall()
    assert [tuple(key) for key in keys] == [("before",)]


def test_a_log_deleted_while_a_request_is_written_is_no_acknowledgement_I24(path: Path) -> None:
    def with_a_log_that_goes(path: Path | None, *, create: bool) -> sqlite3.Connection:
        """The log loses its name at the last moment before the first commit."""
        db = connect(path, create=create)
        db.set_trace_callback(lambda said: Path(f"{path}-wal").unlink(missing_ok=True) if said == "commit" else None)
        return db

    with closing(GuestLedger(path, connector=with_a_log_that_goes)) as ledger:
        with pytest.raises(LedgerUnavailable, match="may not have been kept"):
            ledger.request_run("work", NOW, request_key="k")

        assert ledger.requested("k")  # it can still be read, until the scheduler has put things in order


def test_who_comes_while_others_have_a_deleted_log_open_makes_no_other_one_F20(
    path: Path, guests: Callable[[], Guest]
) -> None:
    guests().ask("k")
    subprocess.run(["rm", f"{path}-wal"], check=True)

    with pytest.raises(LedgerUnavailable, match="deleted or exchanged while in use"):
        GuestLedger(path)

    assert "ledger.sqlite3-wal" not in files(path)


def test_a_thread_that_comes_after_the_log_was_deleted_opens_nothing(path: Path) -> None:
    with closing(GuestLedger(path)) as ledger, ThreadPoolExecutor(1) as another:
        Path(f"{path}-wal").unlink()

        with pytest.raises(LedgerUnavailable, match="deleted or exchanged while in use"):
            another.submit(ledger.job_names).result()

        assert ledger.job_names() == ["work"]
        assert "ledger.sqlite3-wal" not in files(path)


def test_a_ledger_that_a_scheduler_refused_takes_nothing_from_others_and_says_why_F19(path: Path) -> None:
    with closing(GuestLedger(path)) as ledger:
        note_refusal(path, "an older copy of the ledger; stop the stack, then …")
        with pytest.raises(LedgerUnavailable, match=r"^an older copy of the ledger; stop the stack, then …$"):
            ledger.request_run("work", NOW)
        note_refusal(path, None)

        assert ledger.request_run("work", NOW)[1]


def test_an_older_copy_no_scheduler_has_looked_at_yet_is_not_written_to_F19_I10(path: Path, tmp_path: Path) -> None:
    """Else a run would get a number that another one had."""
    older = tmp_path / "older.sqlite3"
    back_up(path, older)
    add_runs(path, 5)
    mark(path)
    older.replace(path)

    with closing(GuestLedger(path)) as ledger:
        with pytest.raises(LedgerUnavailable, match="is an older copy of the ledger"):
            ledger.request_run("work", NOW)

        assert run_ids(path) == list(range(1, 21))


def test_a_ledger_that_is_only_to_be_opened_is_never_made(path: Path) -> None:
    """An exchange may have moved it aside between the look and the opening."""
    moved = path.with_name("moved")

    def moving(path: Path | None, *, create: bool) -> sqlite3.Connection:
        assert path
        path.rename(moved)
        return connect(path, create=create)

    with pytest.raises(LedgerUnavailable):
        GuestLedger(path, connector=moving)

    assert not path.exists()


@pytest.mark.parametrize("opening", ["connect(path, create=False)", "path.open('rb')"])
def test_who_still_has_the_log_of_a_former_ledger_open_uses_this_one_as_it_is(path: Path, opening: str) -> None:
    """As the web for a moment after a restore, when it has opened the new file, and when its log, too."""
    script = (
        "import sys; from pathlib import Path; from keepkit import commit_run, connect; path = Path(sys.argv[1])\n"
        "first = connect(path, create=False); commit_run(first); path.rename(path.with_name(path.name + '.former'))\n"
        "[path.with_name(path.name + end).rename(path.with_name(path.name + '.former' + end)) for end in ('-wal', '-shm')]\n"
        "path.write_bytes(path.with_name(path.name + '.former').read_bytes())\n"
        f"second = {opening}; print('open', flush=True); sys.stdin.readline()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout
        assert user.stdout.readline() == "open\n"

        apart = users_apart(path)
        user.communicate("end\n", timeout=30)

    assert apart == []
