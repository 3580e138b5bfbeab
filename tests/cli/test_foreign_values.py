"""A ledger that somebody wrote into by hand ends no command in a traceback."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.settings import Settings
from tests.cli.conftest import Call

FAR = 2**62
VERBS = (
    ("status",),
    ("jobs",),
    ("runs",),
    ("show", "1"),
    ("audit",),
    ("why", "heartbeat", "5m ago"),
    ("next",),
    ("timetable", "--days", "1", "--diff"),
    ("clock",),
    ("backlog",),
    ("pause", "heartbeat"),
    ("resume", "heartbeat"),
    ("backfill", "heartbeat", "--from", "5m ago", "--to", "now", "--dry-run"),
)


@pytest.mark.parametrize(
    "damage",
    [
        f"update runs set claimed_at = {FAR}",
        f"update runs set started_at = -{FAR}",
        f"update runs set finished_at = {FAR}",
        f"update runs set slot_at = {FAR} where id = (select max(id) from runs where slot_at is not null)",
        "update runs set slot_at = -9000000000000 where id = (select max(id) from runs where slot_at is not null)",
        "update runs set result = '{half'",
        "update runs set params = 'no json'",
        f"update jobs set planned_through = {FAR}",
        f"update jobs set first_seen = -{FAR}",
        f"update stints set beat_at = {FAR}",
        f"update stints set started_at = {FAR}",
        f"update generations set began_at = {FAR}",
        f"update generations set step_ms = {FAR}",
        f"update obligations set from_at = -{FAR}",
        f"update obligations set until_at = {FAR}",
        "update definitions set definition = 'no json at all'",
        "update definitions set definition = '[1, 2]'",
        "update definitions set definition = '{\"rule\": 7}'",
        'update definitions set definition = replace(definition, \'"kind":"every"\', \'"kind":"odd"\')',
        f"insert into skips (job_id, slot_at, generation, reason, decided_at) values (1, {FAR}, 0, 'expired', 0)",
        "insert into skips (job_id, slot_at, generation, reason, decided_at)"
        " select 1, unixepoch() - 90, 0, 'because', 0",
        "insert into gaps (job_id, first_at, last_at, count, reason, decided_at)"
        f" values (1, -{FAR}, {FAR}, 7, 'expired', {FAR})",
        f"insert into outages (since_at, until_at, cause, detail) values ({FAR}, {FAR}, 'odd', '')",
        f"insert into pauses (job_id, since_at, until_at, actor, note) values (1, -{FAR}, {FAR}, 'x', 'y')",
        f"insert into holds (decided_at, expires_at, count) values ({FAR}, {FAR}, 3)",
        f"insert into prunes (at, count, older_than) values (0, 1, {FAR})",
    ],
)
def test_values_no_release_wrote_are_one_line_and_no_traceback_I32(
    call: Call, lived: SqliteLedger, settings: Settings, damage: str
) -> None:
    with contextlib.closing(sqlite3.connect(settings.ledger_path, isolation_level=None)) as stranger:
        stranger.execute("pragma foreign_keys = off")
        assert stranger.execute(damage).rowcount > 0

    for words in VERBS:
        answer = call(*words)  # a traceback would come through here

        assert answer.code in (0, 1, 2, 3), words
        if answer.code == 1 and words[0] != "audit":
            assert "error: the ledger holds" in answer.err, (words, answer.err)
        assert answer.err.count("error:") <= 1, (words, answer.err)
