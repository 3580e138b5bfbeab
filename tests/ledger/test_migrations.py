"""A ledger of an earlier release becomes one of this release whole, or stays as it was."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from echopilot_jobs.clock import to_ms
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.ledger import SqliteLedger, connection
from echopilot_jobs.ledger.statements import migrations, split
from echopilot_jobs.planner import Plan
from echopilot_jobs.runs import Origin, State
from echopilot_jobs.slots import Slot
from echopilot_jobs.triggers import Every
from tests.schedulekit import claim, standing

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
JOB = Job(name="j", trigger=Every(MINUTE), action=Inline("tick"))
LATER = [version for version, _ in migrations() if version > 1]


def write_version_one(path: Path) -> None:
    """A ledger as the first release left it: a run that succeeded, one that was killed, a skip and a gap."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode=wal").close()
    for statement in split(migrations()[0][1]):
        db.execute(statement)
    now, slot = to_ms(NOON), to_ms(NOON) // 1000
    definition = '{"name":"j","trigger":"every 1 min"}'
    db.execute("insert into jobs values (1, 'j', ?, 'old', ?, ?, 1)", (definition, now - 600_000, now))
    db.execute("insert into stints values (1, 'boot:1:1', 'h', 'r', 7, ?, ?, null, null)", (now - 600_000, now))
    columns = "id, job_id, origin, state, slot_at, generation, attempt, claimed_at, started_at, finished_at, stint_id"
    run = f"insert into runs ({columns})"
    db.execute(f"{run} values (1, 1, 'schedule', 'succeeded', ?, 0, 1, ?, ?, ?, 1)", (slot - 120, now, now, now))
    db.execute(f"{run} values (2, 1, 'catch_up', 'running', ?, 0, 1, ?, ?, null, 1)", (slot - 60, now, now))
    moves = [(1, 1, "queued"), (1, 2, "running"), (1, 3, "succeeded"), (2, 1, "queued"), (2, 2, "running")]
    db.executemany("insert into events values (?, ?, 0, ?, 1, null)", moves)
    db.execute("insert into skips values (1, ?, 0, 'expired', ?)", (slot - 180, now))
    db.execute("insert into gaps values (1, 1, ?, ?, 5, 'expired', 'crash', ?)", (slot - 480, slot - 240, now))
    db.execute("pragma user_version = 1")
    db.close()


def test_a_ledger_of_the_first_release_keeps_its_history_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    write_version_one(path)

    ledger = SqliteLedger(path)

    states = {run.id: (run.state, run.origin) for run in ledger.runs()}
    assert states == {1: (State.SUCCEEDED, Origin.SCHEDULE), 2: (State.RUNNING, Origin.CATCH_UP)}
    assert [event.state for event in ledger.events(1)] == [State.QUEUED, State.RUNNING, State.SUCCEEDED]
    assert len(ledger.skips_between(NOON - timedelta(hours=1), NOON)) == 1
    assert [gap.count for gap in ledger.gaps_between(NOON - timedelta(hours=1), NOON)] == [5]
    assert ledger.last_runs()["j"].id == 2
    lease = ledger.take_lease("boot:2:2", "h", "r", NOON)
    assert lease.term == 8
    with ledger.leading(lease, NOON + MINUTE) as leading:
        assert standing(leading, JOB).planned_through == NOON
    assert [(o.after, o.until) for o in ledger.obligations("j")] == [(NOON, NOON), (NOON, NOON)]
    ledger.close()


CUT = "cut off: the scheduler was stopped while it ran"  # as that release said it


def write_version_three(path: Path) -> None:
    """A ledger as the release before left it: runs that wait for another attempt, one that has ended, one that runs."""
    write_version_one(path)
    db = sqlite3.connect(path, isolation_level=None)
    for _, script in migrations()[1:3]:
        for statement in split(script):
            db.execute(statement)
    now, slot = to_ms(NOON), to_ms(NOON) // 1000
    columns = (
        "id, job_id, origin, state, slot_at, generation, attempt, claimed_at, started_at, not_before, error, stint_id"
    )
    waiting = f"insert into runs ({columns}) values (?, 1, 'schedule', ?, ?, 0, 1, ?, ?, ?, ?, 1)"
    for number, state, error in (
        (3, "retry_wait", CUT),
        (4, "retry_wait", "ran longer than its timeout of 5 s and was ended"),
        (5, "retry_wait", None),
        (6, "abandoned", CUT),
    ):
        db.execute(waiting, (number, state, slot + 60 * number, now, now, now + 3_600_000, error))
    db.execute("pragma user_version = 3")
    db.close()


def test_runs_that_wait_through_the_upgrade_end_as_cut_off_where_that_is_known_and_else_as_failed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.sqlite3"
    write_version_three(path)

    ledger = SqliteLedger(path)

    ends = {run.id: run.attempt_end for run in ledger.runs()}
    assert ends == {1: None, 2: None, 3: State.ABANDONED, 4: None, 5: None, 6: None}
    lease = ledger.take_lease("boot:2:2", "h", "r", NOON)
    with ledger.leading(lease, NOON + 9 * MINUTE) as leading:
        standing(leading, JOB)
        made = Plan(NOON + 9 * MINUTE, (claim(Slot("j", NOON + 9 * MINUTE)),))
        ended = leading.dispose([(JOB, made)]).ended
    assert {run.id: run.state for run in ended} == {3: State.ABANDONED, 4: State.FAILED, 5: State.FAILED}
    assert all("no more retries" in (run.error or "") for run in ended)
    ledger.close()


def copy_of(path: Path) -> tuple[list[str], int]:
    """Everything in a ledger, and its version."""
    db = sqlite3.connect(path)
    dump, (version,) = list(db.iterdump()), db.execute("pragma user_version").fetchone()
    db.close()
    return dump, version


@pytest.mark.parametrize("version", LATER)
def test_a_migration_cut_short_at_any_statement_leaves_the_older_ledger_whole_I30_F77(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    path = tmp_path / "ledger.sqlite3"
    write_version_one(path)
    before = copy_of(path)
    done = [(number, script) for number, script in migrations() if number < version]
    statements = list(split(dict(migrations())[version]))

    for cut in range(len(statements)):
        broken = "".join(statements[:cut]) + "\nselect nonsense from nowhere;\n"
        monkeypatch.setattr(connection, "migrations", lambda broken=broken: (*done, (version, broken)))
        with pytest.raises(LedgerUnavailable):
            SqliteLedger(path)
        assert copy_of(path) == before

    monkeypatch.undo()
    SqliteLedger(path).close()
    assert copy_of(path)[1] == migrations()[-1][0]
