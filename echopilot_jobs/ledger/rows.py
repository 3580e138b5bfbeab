"""Between rows of the ledger and the facts of `runs.py`."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any

from echopilot_jobs.clock import from_ms
from echopilot_jobs.runs import Event, Gap, Origin, Run, Skip, SkipReason, Slot, State, Stint, slot_moment


def run_of(row: sqlite3.Row) -> Run:
    """A run from a row of `runs` joined with its job's name and its stint's owner, host and revision."""
    return Run(
        id=row["id"],
        job_name=row["job_name"],
        origin=Origin(row["origin"]),
        state=State(row["state"]),
        claimed_at=from_ms(row["claimed_at"]),
        slot=_slot(row),
        attempt=row["attempt"],
        planned_at=_moment(row["planned_at"]),
        not_before=_moment(row["not_before"]),
        started_at=_moment(row["started_at"]),
        finished_at=_moment(row["finished_at"]),
        duration_ms=row["duration_ms"],
        owner=row["owner"],
        host=row["host"],
        code_revision=row["code_revision"],
        request_key=row["request_key"],
        actor=row["actor"],
        params=_json(row["params"]),
        error=row["error"],
        result=_json(row["result"]),
        exit_status=row["exit_status"],
        http_status=row["http_status"],
    )


def stint_of(row: sqlite3.Row) -> Stint:
    """A stint from its row."""
    return Stint(
        id=row["id"],
        owner=row["owner"],
        host=row["host"],
        code_revision=row["code_revision"],
        term=row["term"],
        started_at=from_ms(row["started_at"]),
        beat_at=from_ms(row["beat_at"]),
        ended_at=_moment(row["ended_at"]),
        ended_how=row["ended_how"],
    )


def skip_of(row: sqlite3.Row) -> Skip:
    """A skipped slot from its row."""
    slot = Slot(row["job_name"], slot_moment(row["slot_at"]), row["generation"])
    return Skip(slot, SkipReason(row["reason"]), from_ms(row["decided_at"]))


def gap_of(row: sqlite3.Row) -> Gap:
    """A gap from its row."""
    return Gap(
        job_name=row["job_name"],
        first=slot_moment(row["first_at"]),
        last=slot_moment(row["last_at"]),
        count=row["count"],
        reason=SkipReason(row["reason"]),
        cause=row["cause"],
        decided_at=from_ms(row["decided_at"]),
    )


def event_of(row: sqlite3.Row) -> Event:
    """A move from its row."""
    return Event(from_ms(row["at"]), State(row["state"]), row["attempt"], row["note"])


def to_json(value: Any) -> str | None:
    """Compact JSON, or None for None."""
    return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _slot(row: sqlite3.Row) -> Slot | None:
    if row["slot_at"] is None:
        return None
    return Slot(row["job_name"], slot_moment(row["slot_at"]), row["generation"])


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
