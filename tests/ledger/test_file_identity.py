"""A copy, a newcomer and a rollback are told from the ledger that was known."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from keepkit import NOW, add_runs, new_ledger, opened, run_ids, set_term

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.connection import transaction
from echopilot_jobs.ledger.identity import (
    Continuation,
    Identity,
    LedgerMark,
    MarkUnclear,
    continue_numbering,
    continuity,
    identity_of,
    mark_path,
    read_mark,
    write_mark,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.sqlite3"
    new_ledger(made, runs=5, term=3)
    return made


def here(path: Path) -> Identity:
    with opened(path) as db:
        found = identity_of(db)
    assert found
    return found


def test_a_ledger_says_which_it_is_and_how_far_it_got(path: Path) -> None:
    found = here(path)

    assert (found.term, found.last_run, len(found.ledger_id)) == (3, 5, 32)


def test_runs_that_retention_removed_still_count_I10(path: Path) -> None:
    with opened(path) as db, transaction(db):
        db.execute("delete from runs where id > 2")

    assert here(path).last_run == 5


def test_a_database_without_our_tables_has_no_identity(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite3")) as db:
        assert identity_of(db) is None
        db.execute("create table meta (key, value)")
        assert identity_of(db) is None


def test_a_mark_comes_back_as_it_was_written(path: Path) -> None:
    written = write_mark(path, here(path), NOW)

    assert read_mark(path) == written
    assert written.is_of(path)
    assert (written.written_at, written.term, written.last_run) == (NOW, 3, 5)
    assert mark_path(path).stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in path.parent.iterdir() if "draft" in each.name) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"ledger_id": "x"}', b"\xff\xfe", b"[" * 100_000, b'{"ledger_id":1,"term":"x"}'],
)
def test_a_mark_that_cannot_be_understood_is_not_taken_for_none_F19(path: Path, content: bytes) -> None:
    """As none it would let an older copy pass for a ledger seen for the first time."""
    mark_path(path).write_bytes(content)

    with pytest.raises(
        MarkUnclear, match="it is no mark of ours; see that the ledger is no older copy, then move that away"
    ):
        read_mark(path)


def test_a_mark_that_is_no_file_is_not_taken_for_none_F19(path: Path) -> None:
    mark_path(path).mkdir()

    with pytest.raises(MarkUnclear, match=r"mark\.json', which .* cannot be read: (it is no file|Is a directory); see"):
        read_mark(path)


def test_a_mark_that_cannot_be_written_is_said_so(path: Path) -> None:
    mark_path(path).mkdir()

    with pytest.raises(LedgerUnavailable, match=r"the ledger's mark 'ledger.sqlite3.mark.json' cannot be written"):
        write_mark(path, here(path), NOW)

    assert [each.name for each in path.parent.glob("*draft*")] == []


def test_a_draft_that_a_crash_left_is_written_over(path: Path) -> None:
    path.with_name(".ledger.sqlite3.mark.json.draft").write_bytes(b"x" * 5000)

    written = write_mark(path, here(path), NOW)

    assert read_mark(path) == written


def marked(path: Path, **other: object) -> LedgerMark:
    return replace(write_mark(path, here(path), NOW), **other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "state", "said"),
    [
        ({}, "same", "is the ledger known"),
        ({"term": 2}, "same", "is the ledger known"),
        ({"last_run": 0}, "same", "is the ledger known"),
        ({"inode": 1}, "same", "in a file moved or copied here"),
        ({"term": 4}, "rolled_back", "it ends with term 3 where term 4 was known"),
        ({"last_run": 6}, "rolled_back", "it ends with run 5 where run 6 was known"),
        ({"ledger_id": "f" * 32}, "reborn", "is another ledger"),
        ({"ledger_id": "f" * 32, "term": 99}, "reborn", "is another ledger"),
    ],
)
def test_what_stands_there_is_judged_against_the_mark_F19(path, other, state, said) -> None:
    judged = continuity(path, marked(path, **other), here(path))

    assert judged.state == state
    assert said in judged.sentence
    assert judged.needs_a_person is (state == "rolled_back")
    assert not judged.begins_empty


def test_a_rollback_names_both_ways_out_F19(path: Path) -> None:
    sentence = continuity(path, marked(path, term=9), here(path)).sentence

    assert "`echopilot restore --accept`" in sentence
    assert "`echopilot restore FILE`" in sentence


def test_nothing_known_and_nothing_there_is_a_new_beginning_F42(path: Path) -> None:
    judged = continuity(path, None, None)

    assert (judged.state, judged.begins_empty) == (Continuation.NEW, True)


def test_a_ledger_from_before_there_were_marks_keeps_its_history(path: Path) -> None:
    judged = continuity(path, None, here(path))

    assert (judged.state, judged.begins_empty) == (Continuation.NEW, False)


def test_a_known_ledger_that_is_gone_is_never_silently_a_new_one_F42(path: Path) -> None:
    judged = continuity(path, marked(path), None)

    assert (judged.state, judged.begins_empty) == (Continuation.REBORN, True)
    assert "runs up to 5" in judged.sentence
    assert "owes nothing" in judged.sentence


def test_a_mark_is_of_one_file_not_of_its_copies(path: Path) -> None:
    mark = write_mark(path, here(path), NOW)
    os.link(path, path.with_name("linked"))
    path.with_name("copied").write_bytes(b"x")

    assert mark.is_of(path.with_name("linked"))
    assert not mark.is_of(path.with_name("copied"))
    assert not mark.is_of(path.with_name("missing"))


def test_the_real_ledgers_lease_moves_the_term(path: Path) -> None:
    mark = write_mark(path, here(path), NOW)
    set_term(path, 4)
    add_runs(path, 1)

    assert continuity(path, mark, here(path)).state is Continuation.SAME
    assert here(path).term == 4


@pytest.mark.parametrize("runs", [0, 5])
def test_numbering_goes_on_above_what_was_given_before_I10(tmp_path: Path, runs: int) -> None:
    path = tmp_path / "young.sqlite3"
    new_ledger(path, runs=runs)

    with opened(path) as db, transaction(db):
        continue_numbering(db, 100)
    add_runs(path, 2)
    with opened(path) as db, transaction(db):
        continue_numbering(db, 50)
    add_runs(path, 1)

    assert run_ids(path)[-3:] == [101, 102, 103]


def test_opening_a_ledger_anew_changes_nothing_of_its_identity(path: Path) -> None:
    before = here(path)

    SqliteLedger(path).close()

    assert here(path) == before
