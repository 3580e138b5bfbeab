"""How attempts end: written together, as they mostly arrive, and each only by the scheduler that started it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from echopilot_jobs.clock import to_ms
from echopilot_jobs.errors import WrongState
from echopilot_jobs.ledger.facts import End, Lease
from echopilot_jobs.ledger.rows import after_attempt, to_json
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.runs import BAD_ENDS, Outcome, Run, State


class _End(NamedTuple):
    """What is written of an attempt's end. Those that are alike in all of it take one statement together."""

    attempt: int
    state: str
    finished_at: int | None
    not_before: int | None
    duration_ms: int
    error: str | None
    result: str | None
    exit_status: int | None
    http_status: int | None
    attempt_end: str | None  # of one that waits for another


class Ending:
    """Inside the transaction that *sql* is in, at the moment *at*."""

    def __init__(self, sql: Sql, lease: Lease, at: datetime) -> None:
        self._sql = sql
        self._lease = lease
        self._at = at
        self._now = to_ms(at)
        self._succeeded: dict[str, int] = {}  # the last of each job

    def close(self) -> None:
        """Write what was gathered to be written together."""
        if self._succeeded:
            self._sql.do("note_successes", run_ids=json.dumps(self._succeeded))

    def finish_all(self, ends: Sequence[End]) -> list[Run | WrongState]:
        """For each the run as it is now, or why it is not ours to finish."""
        alike: dict[_End, dict[int, int]] = {}
        for place, end in enumerate(ends):
            places = alike.setdefault(self._end_of(*end), {})
            places.setdefault(end[0].id, place)  # one that came twice has ended once
        ours = {places[run_id] for end, places in alike.items() for run_id in self._write(end, [*places])}
        return [self._ended(*end) if place in ours else _not_ours(end[0]) for place, end in enumerate(ends)]

    def _end_of(self, run: Run, outcome: Outcome, retry_at: datetime | None) -> _End:
        return _End(
            attempt=run.attempt,
            state=State.RETRY_WAIT.value if retry_at else outcome.state.value,
            finished_at=None if retry_at else self._now,
            not_before=to_ms(retry_at) if retry_at else None,
            duration_ms=outcome.duration_ms,
            error=outcome.error,
            result=to_json(outcome.result),
            exit_status=outcome.exit_status,
            http_status=outcome.http_status,
            attempt_end=outcome.state.value if retry_at else None,
        )

    def _write(self, end: _End, run_ids: Sequence[int]) -> list[int]:
        """Write one end of several runs: those of which it was ours to write."""
        owner = {"stint_id": self._lease.stint_id, "term": self._lease.term}
        return [row["id"] for row in self._sql.together("finish", run_ids, **owner, **end._asdict())]

    def _ended(self, run: Run, outcome: Outcome, retry_at: datetime | None) -> Run:
        state = State.RETRY_WAIT if retry_at else outcome.state
        self._keep_output(run.id, outcome)
        if outcome.artefacts:
            self._sql.many("put_artefact", [{"run_id": run.id, **each.__dict__} for each in outcome.artefacts])
        ended = after_attempt(run, outcome, state, self._at, retry_at)
        if retry_at:
            keep_move(self._sql, ended, self._now, outcome.error)
        elif state is State.SUCCEEDED:
            self._succeeded[run.job_name] = run.id
        elif state in BAD_ENDS:
            self._sql.do("note_failure", run_id=run.id)
        return ended

    def _keep_output(self, run_id: int, outcome: Outcome) -> None:
        output = outcome.output
        if output.head or output.tail:
            self._sql.do(
                "put_output",
                run_id=run_id,
                head=output.head,
                tail=output.tail,
                dropped_bytes=output.dropped_bytes,
            )


def _not_ours(run: Run) -> WrongState:
    return WrongState(f"run {run.id} attempt {run.attempt} is no longer ours to finish")


def keep_move(sql: Sql, run: Run, now: int, note: str | None = None) -> None:
    """Keep a move that a later one will overwrite in the run's own row."""
    sql.do("event", run_id=run.id, now=now, state=run.state.value, attempt=run.attempt, note=note)
