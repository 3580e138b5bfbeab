"""What only a file can do wrong: locks, damage, versions, two processes."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from echopilot_jobs.errors import LedgerTooNew, LedgerUnavailable
from echopilot_jobs.ledger import SqliteLedger, connection
from echopilot_jobs.ledger.statements import migrations, split
from echopilot_jobs.runs import Origin, State

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def test_every_connection_keeps_the_house_rules_I9(path: Path) -> None:
    db = connection.connect(path, create=True)

    wanted = {"journal_mode": "wal", "synchronous": 2, "wal_autocheckpoint": 0, "foreign_keys": 1, "temp_store": 2}
    assert {name: db.execute(f"pragma {name}").fetchone()[0] for name in wanted} == wanted
    db.close()


@pytest.mark.parametrize(("column", "known"), [("origin", set(Origin)), ("state", set(State))])
def test_the_file_itself_takes_the_words_of_the_product_and_no_others(path: Path, column: str, known: set[str]) -> None:
    SqliteLedger(path).close()
    db = sqlite3.connect(path)
    db.execute("insert into jobs (id, name, revision, first_seen, planned_through) values (1, 'j', 'r', 0, 0)")
    insert = "insert into runs (job_id, origin, state, claimed_at) values (1, :origin, :state, 0)"
    row = {"origin": "schedule", "state": "queued"}

    for word in known:
        db.execute(insert, row | {column: word})
    for word in ("", "nonsense", "QUEUED", "Schedule", "queued "):
        with pytest.raises(sqlite3.IntegrityError, match=f"CHECK constraint failed: {column} ="):
            db.execute(insert, row | {column: word})
    db.close()


def test_a_ledger_locked_by_a_stranger_is_said_to_be_so_F15(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_SECONDS", 0.05)
    ledger = SqliteLedger(path)
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("begin exclusive")

    with pytest.raises(LedgerUnavailable, match=r"cannot be written: database is locked; see `echopilot doctor`"):
        ledger.take_lease("b:1:1", "h", "r", NOON)

    stranger.execute("rollback")
    stranger.close()
    assert ledger.take_lease("b:1:1", "h", "r", NOON).term == 1
    ledger.close()


def test_a_file_that_is_no_ledger_is_left_as_it_is_F21(path: Path) -> None:
    path.write_bytes(b"this is not a database, it is a diary" * 100)

    with pytest.raises(LedgerUnavailable, match="damaged or no ledger"):
        SqliteLedger(path)

    assert path.read_bytes().startswith(b"this is not a database")


def test_a_newer_ledger_is_refused_with_both_versions_F78(path: Path) -> None:
    SqliteLedger(path).close()
    db = sqlite3.connect(path)
    db.execute("pragma user_version = 99")
    db.close()

    with pytest.raises(LedgerTooNew, match=f"ledger at version 99, this release knows {migrations()[-1][0]}"):
        SqliteLedger(path)


def test_reading_a_ledger_that_was_never_made_makes_none(path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=r"no ledger at .* yet; start the stack"):
        SqliteLedger(path, create=False)

    assert not path.exists()


def test_a_reader_never_migrates_the_file_under_a_running_scheduler(path: Path) -> None:
    sqlite3.connect(path).close()
    path.write_bytes(b"")

    with pytest.raises(LedgerUnavailable, match=r"ledger at version 0, this release needs \d+; start the stack"):
        SqliteLedger(path, create=False)


def test_a_migration_cut_short_leaves_the_ledger_as_it_was_I30(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version, script = migrations()[0]
    statements = list(split(script))
    assert len(statements) > 5

    for cut in range(1, len(statements)):
        broken = "".join(statements[:cut]) + "\nselect nonsense from nowhere;\n"
        monkeypatch.setattr(connection, "migrations", lambda broken=broken: ((version, broken),))
        with pytest.raises(LedgerUnavailable):
            SqliteLedger(path)
        db = sqlite3.connect(path)
        left = db.execute("select count(*) from sqlite_schema").fetchone(), db.execute("pragma user_version").fetchone()
        db.close()
        assert left == ((0,), (0,))

    monkeypatch.undo()
    SqliteLedger(path).close()


def test_many_first_openers_migrate_once_and_all_can_read(path: Path) -> None:
    failures: list[Exception] = []

    def open_and_read() -> None:
        try:
            ledger = SqliteLedger(path)
            ledger.runs()
            ledger.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_and_read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_threads_share_a_ledger_object_each_with_its_own_connection(path: Path) -> None:
    ledger = SqliteLedger(path)
    terms: list[int] = []

    threads = [
        threading.Thread(target=lambda n=n: terms.append(ledger.take_lease(f"b:{n}:1", "h", "r", NOON).term))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(terms) == list(range(1, 9))
    ledger.close()


def test_a_checkpoint_moves_the_wal_into_the_file(path: Path) -> None:
    ledger = SqliteLedger(path)
    ledger.take_lease("b:1:1", "h", "r", NOON)

    ledger.checkpoint()

    # immutable=1 reads the file alone, without the WAL beside it
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    assert db.execute("select owner from stints").fetchall() == [("b:1:1",)]
    db.close()
    ledger.close()


def grow_log(path: Path) -> int:
    """Write more than a log may hold at rest; its size."""
    with closing(connection.connect(path, create=False)) as db, connection.transaction(db):
        db.execute("create table if not exists bulk (bytes blob)")
        db.execute("insert into bulk values (zeroblob(?))", (connection.LOG_AT_REST_BYTES + 2**20,))
    return log_size(path)


def log_size(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


def test_a_log_that_grew_is_small_again_once_little_is_written_and_not_while_much_is_I14_I15(path: Path) -> None:
    scheduler = SqliteLedger(path)
    grown = grow_log(path)
    assert grown > connection.LOG_AT_REST_BYTES

    scheduler.checkpoint()  # of much
    scheduler.take_lease("b:1:1", "h", "r", NOON)
    assert log_size(path) == grown

    scheduler.checkpoint()  # of little
    scheduler.take_lease("b:2:1", "h", "r", NOON)
    assert log_size(path) <= connection.LOG_AT_REST_BYTES

    scheduler.checkpoint()
    scheduler.take_lease("b:3:1", "h", "r", NOON)
    grow_log(path)
    scheduler.checkpoint()  # a log that grows again is left as it is again
    scheduler.take_lease("b:4:1", "h", "r", NOON)
    assert log_size(path) > connection.LOG_AT_REST_BYTES
    scheduler.close()


def test_who_reads_in_a_log_that_grew_only_postpones_its_cut_and_sees_what_it_saw_I14(path: Path) -> None:
    scheduler, reader = SqliteLedger(path), connection.connect(path, create=False)
    reader.execute("begin")
    seen = reader.execute("select count(*) from sqlite_schema").fetchone()[0]
    grown = grow_log(path)
    term = scheduler.take_lease("b:1:1", "h", "r", NOON).term

    scheduler.checkpoint()
    scheduler.take_lease("b:2:1", "h", "r", NOON)
    assert log_size(path) >= grown
    assert reader.execute("select count(*) from sqlite_schema").fetchone()[0] == seen
    assert reader.execute("select count(*) from stints").fetchone()[0] == 0
    reader.execute("rollback")
    for owner in ("b:3:1", "b:4:1"):
        scheduler.checkpoint()
        scheduler.take_lease(owner, "h", "r", NOON)

    assert log_size(path) <= connection.LOG_AT_REST_BYTES
    assert reader.execute("select max(term) from stints").fetchone()[0] == term + 3
    assert reader.execute("select sum(length(bytes)) from bulk").fetchone()[0] == connection.LOG_AT_REST_BYTES + 2**20
    assert reader.execute("pragma integrity_check").fetchone()[0] == "ok"
    reader.close()
    scheduler.close()
