"""A backlog that waits for a person's word: inside a transaction of whoever answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from echopilot_jobs.clock import to_ms
from echopilot_jobs.holds import Hold, HoldAnswer
from echopilot_jobs.ledger.rows import hold_of
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.planner import PACE


def waiting(sql: Sql) -> Hold | None:
    """The backlog nobody has answered for yet."""
    row = sql.maybe("waiting_hold")
    return hold_of(row) if row else None


def answer(sql: Sql, hold: Hold, word: HoldAnswer, actor: str, now: datetime) -> Hold:
    """Let the newest run of each job go, or all, or none; the others end as cancelled and say by whom."""
    kept, dropped = _split(sql, hold, word)
    note = f"its backlog was answered '{word}' by {actor}"
    for run_id in dropped:
        sql.do("cancel", run_id=run_id, now=to_ms(now), note=note)
    for place, run_id in enumerate(reversed(kept)):  # the oldest first
        sql.do("let_go", run_id=run_id, not_before=to_ms(now + place * PACE))
    sql.do("answer_hold", hold_id=hold.id, now=to_ms(now), answer=word, actor=actor)
    return replace(hold, answered_at=now, answer=word, actor=actor)


def _split(sql: Sql, hold: Hold, word: HoldAnswer) -> tuple[list[int], list[int]]:
    """(run ids to start, run ids to drop), both newest first."""
    kept: list[int] = []
    dropped: list[int] = []
    served: set[int] = set()
    for row in sql.rows("held_runs", hold_id=hold.id):
        keep = word == "all" or (word == "latest" and row["job_id"] not in served)
        served.add(row["job_id"])
        (kept if keep else dropped).append(row["id"])
    return kept, dropped
