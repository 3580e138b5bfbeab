"""Between rows of the ledger and the facts of `runs.py`."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING, Any

from echopilot_jobs.holds import Hold, Pause
from echopilot_jobs.ledger.stored import document, length, maybe_moment, moment, slot_moment, word
from echopilot_jobs.runs import Artefact, Event, Generation, Origin, Outcome, Progress, Run, State, Stint
from echopilot_jobs.slots import Gap, Skip, SkipReason, Slot

if TYPE_CHECKING:
    from echopilot_jobs.outages import Outage, Reading


def run_of(row: sqlite3.Row) -> Run:
    """A run from a row of `runs` joined with its job's name and its stint's owner, host and revision."""
    return Run(
        id=row["id"],
        job_name=row["job_name"],
        origin=word(Origin, row["origin"]),
        state=word(State, row["state"]),
        claimed_at=moment(row["claimed_at"]),
        slot=_slot(row),
        attempt=row["attempt"],
        planned_at=maybe_moment(row["planned_at"]),
        not_before=maybe_moment(row["not_before"]),
        started_at=maybe_moment(row["started_at"]),
        finished_at=maybe_moment(row["finished_at"]),
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
        attempt_end=_maybe_state(row["attempt_end"]),
        hold_id=row["hold_id"],
        cancel_wanted=row["cancel_wanted"],
    )


def stint_of(row: sqlite3.Row) -> Stint:
    """A stint from its row."""
    return Stint(
        id=row["id"],
        owner=row["owner"],
        host=row["host"],
        code_revision=row["code_revision"],
        term=row["term"],
        started_at=moment(row["started_at"]),
        beat_at=moment(row["beat_at"]),
        ended_at=maybe_moment(row["ended_at"]),
        ended_how=row["ended_how"],
    )


def reading_of(row: sqlite3.Row) -> Reading:
    """All clocks at the last pass that planned, joined with its stint."""
    from echopilot_jobs.outages import Reading

    boot_id = stint_of(row).boot_id
    return Reading(moment(row["wall_at"]), row["monotonic_ms"] / 1000, row["boottime_ms"] / 1000, boot_id)


def skip_of(row: sqlite3.Row) -> Skip:
    """A skipped slot from its row."""
    slot = Slot(row["job_name"], slot_moment(row["slot_at"]), row["generation"])
    return Skip(slot, word(SkipReason, row["reason"]), moment(row["decided_at"]), _outage(row))


def gap_of(row: sqlite3.Row) -> Gap:
    """A gap from its row."""
    from echopilot_jobs.outages import Cause

    reason, outage = word(SkipReason, row["reason"]), _outage(row)
    paused = Cause.PAUSED if reason is SkipReason.PAUSED else Cause.UNKNOWN
    return Gap(
        job_name=row["job_name"],
        first=slot_moment(row["first_at"]),
        last=slot_moment(row["last_at"]),
        count=row["count"],
        reason=reason,
        cause=outage.cause if outage else paused,
        decided_at=moment(row["decided_at"]),
        outage=outage,
    )


def outage_of(row: sqlite3.Row) -> Outage:
    """An outage from its row."""
    from echopilot_jobs.outages import Cause, Outage

    return Outage(moment(row["since_at"]), moment(row["until_at"]), word(Cause, row["cause"]), row["detail"])


def pause_of(row: sqlite3.Row) -> Pause:
    """A pause from its row joined with its job's name."""
    until = maybe_moment(row["until_at"])
    return Pause(row["id"], row["job_name"], moment(row["since_at"]), until, row["actor"], row["note"])


def hold_of(row: sqlite3.Row) -> Hold:
    """A held backlog from its row."""
    return Hold(
        id=row["id"],
        decided_at=moment(row["decided_at"]),
        expires_at=moment(row["expires_at"]),
        count=row["count"],
        answered_at=maybe_moment(row["answered_at"]),
        answer=row["answer"],
        actor=row["actor"],
    )


def generation_of(row: sqlite3.Row) -> Generation:
    """A clock generation from its row."""
    away, own = row["step_ms"], row["own_step_ms"]
    step = length(away if own is None else own)  # a release that kept only the sum wrote it
    return Generation(row["number"], moment(row["began_at"]), step, row["held"] == 1, row["held"] == 2, length(away))


def progress_of(row: sqlite3.Row) -> Progress:
    """A run's progress from its row."""
    return Progress(moment(row["at"]), row["done"], row["total"], row["note"])


def artefact_of(row: sqlite3.Row) -> Artefact:
    """A kept file from its row."""
    return Artefact(row["name"], row["path"], row["bytes"], row["sha256"])


def event_of(row: sqlite3.Row) -> Event:
    """A move from its row."""
    return Event(moment(row["at"]), word(State, row["state"]), row["attempt"], row["note"])


def to_json(value: Any) -> str | None:
    """Compact JSON, or None for None."""
    return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _outage(row: sqlite3.Row) -> Outage | None:
    return outage_of(row) if row["cause"] is not None else None


def _slot(row: sqlite3.Row) -> Slot | None:
    if row["slot_at"] is None:
        return None
    return Slot(row["job_name"], slot_moment(row["slot_at"]), row["generation"])


def _maybe_state(value: str | None) -> State | None:
    return None if value is None else word(State, value)


def _json(text: str | None) -> Any:
    return None if text is None else document(text)


def after_attempt(run: Run, outcome: Outcome, state: State, now: datetime, retry_at: datetime | None) -> Run:
    """*run* as the ledger has it once the attempt's end is written."""
    return run.changed(
        state=state,
        finished_at=None if retry_at else now,
        not_before=retry_at,
        duration_ms=outcome.duration_ms,
        error=outcome.error,
        result=outcome.result,
        exit_status=outcome.exit_status,
        http_status=outcome.http_status,
        attempt_end=outcome.state if retry_at else None,
    )
