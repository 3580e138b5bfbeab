"""How attempts end: written together, as they mostly arrive, and each only by the scheduler that started it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from echopilot_jobs.clock import to_ms
from echopilot_jobs.errors import WrongState
from echopilot_jobs.ledger.facts import End, Lease
from echopilot_jobs.ledger.rows import after_attempt, to_json
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.runs import BAD_ENDS, Outcome, Run, State


class Ending:
    """Inside the transaction that *sql* is in, at the moment *at*."""

    def __init__(self, sql: Sql, lease: Lease, at: datetime) -> None:
        self._sql = sql
        self._lease = lease
        self._at = at
        self._now = to_ms(at)
        self._succeeded: list[dict[str, object]] = []

    def close(self) -> None:
        """Write what was gathered to be written together."""
        self._sql.many("note_success", self._succeeded)

    def finish_all(self, ends: Sequence[End]) -> list[Run | WrongState]:
        """For each the run as it is now, or why it is not ours to finish."""
        ours = self._finish_each([self._end_row(*end) for end in ends])
        return [self._ended(*end) if is_ours else _not_ours(end[0]) for end, is_ours in zip(ends, ours, strict=True)]

    def _end_row(self, run: Run, outcome: Outcome, retry_at: datetime | None) -> dict[str, object]:
        state = State.RETRY_WAIT if retry_at else outcome.state
        return {
            "run_id": run.id,
            "stint_id": self._lease.stint_id,
            "attempt": run.attempt,
            "term": self._lease.term,
            "state": state.value,
            "finished_at": None if retry_at else self._now,
            "not_before": to_ms(retry_at) if retry_at else None,
            "duration_ms": outcome.duration_ms,
            "error": outcome.error,
            "result": to_json(outcome.result),
            "exit_status": outcome.exit_status,
            "http_status": outcome.http_status,
        }

    def _finish_each(self, rows: Sequence[dict[str, object]]) -> list[bool]:
        """Whether each was ours to write: all together, as that takes a third, and one by one if one of them was not."""
        if len(rows) > 1:
            self._sql.do("begin_ends")
            all_ours = self._sql.many("finish", rows) == len(rows)
            if not all_ours:
                self._sql.do("undo_ends")
            self._sql.do("keep_ends")
            if all_ours:
                return [True] * len(rows)
        return [self._sql.many("finish", [row]) == 1 for row in rows]

    def _ended(self, run: Run, outcome: Outcome, retry_at: datetime | None) -> Run:
        state = State.RETRY_WAIT if retry_at else outcome.state
        self._keep_output(run.id, outcome)
        self._sql.many("put_artefact", [{"run_id": run.id, **each.__dict__} for each in outcome.artefacts])
        ended = after_attempt(run, outcome, state, self._at, retry_at)
        if retry_at:
            keep_move(self._sql, ended, self._now, outcome.error)
        elif state is State.SUCCEEDED:
            self._succeeded.append({"run_id": run.id, "job_name": run.job_name})
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
