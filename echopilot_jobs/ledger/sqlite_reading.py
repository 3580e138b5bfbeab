"""The ledger in one SQLite file: its connections, and everything it can be asked."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopilot_jobs.clock import to_ms
from echopilot_jobs.errors import SEE_RUNS, UnknownName, unknown_name
from echopilot_jobs.holds import Hold, Pause
from echopilot_jobs.ledger.connection import (
    Connector,
    connect,
    migrate,
    readable_errors,
    require_version,
    transaction,
)
from echopilot_jobs.ledger.rebirth import KEY as REBIRTH
from echopilot_jobs.ledger.rebirth import Rebirth
from echopilot_jobs.ledger.restores import Restore
from echopilot_jobs.ledger.rows import (
    artefact_of,
    event_of,
    gap_of,
    generation_of,
    hold_of,
    outage_of,
    pause_of,
    progress_of,
    reading_of,
    run_of,
    skip_of,
    stint_of,
)
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.ledger.stored import definition, maybe_moment, moment, slot_moment
from echopilot_jobs.ledger.terms import MAX_PAGE
from echopilot_jobs.runs import Artefact, Event, Generation, Output, Progress, Run, State, Stint
from echopilot_jobs.slots import Gap, Skip

if TYPE_CHECKING:
    from echopilot_jobs.ledger.facts import Dispositions, Obligation
    from echopilot_jobs.outages import Outage, Reading

_LAST_ID = 2**63 - 1


class SqliteReading:
    """What the store can be asked, and how it gets its connections. May be shared by threads: each has one of its own."""

    def __init__(self, path: Path | None, *, create: bool = True, connector: Connector = connect) -> None:
        self._path = path
        self._create = create
        self._connector = connector
        self._local = threading.local()
        self._guard = threading.RLock()
        self._opened: list[sqlite3.Connection] = []
        self._rows("newest_stint")  # opens, migrates and proves the file now rather than at the first use

    # -- reading

    def run(self, run_id: int) -> Run:
        row = self._maybe("run_by_id", run_id=run_id) if 0 < run_id <= _LAST_ID else None
        if row is None:
            raise UnknownName(f"no run {run_id}{SEE_RUNS}")
        return run_of(row)

    def requested(self, request_key: str) -> Run | None:
        row = self._maybe("run_by_request", request_key=request_key)
        return self.run(row["id"]) if row else None

    def output(self, run_id: int) -> Output:
        row = self._maybe("output_of", run_id=run_id)
        return Output(row["head"], row["tail"], row["dropped_bytes"]) if row else Output()

    def progress(self, run_id: int) -> Progress | None:
        row = self._maybe("progress_of", run_id=run_id)
        return progress_of(row) if row else None

    def progresses(self) -> dict[int, Progress]:
        return {row["run_id"]: progress_of(row) for row in self._rows("progress_of_running")}

    def artefacts(self, run_id: int) -> list[Artefact]:
        return [artefact_of(row) for row in self._rows("artefacts_of", run_id=run_id)]

    def artefacts_adrift(self, limit: int) -> list[tuple[int, Artefact]]:
        return [(row["run_id"], artefact_of(row)) for row in self._rows("artefacts_adrift", limit=limit)]

    def events(self, run_id: int) -> list[Event]:
        run = self.run(run_id)
        between = [event_of(row) for row in self._rows("events_of", run_id=run_id)]
        return [*_beginning(run), *between, *_end(run)]

    def runs(
        self,
        *,
        job_name: str | None = None,
        states: frozenset[State] | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[Run]:
        of_job: dict[str, object] = {} if job_name is None else {"job_name": job_name}
        rows = self._rows(
            "runs_page_of_job" if of_job else "runs_page",
            **of_job,
            states=f",{','.join(sorted(states))}," if states else None,
            before_id=min(before_id, _LAST_ID) if before_id is not None else _LAST_ID,
            limit=min(limit, MAX_PAGE),
        )
        return [run_of(row) for row in rows]

    def open_runs(self, limit: int = 50) -> list[Run]:
        rows = self._rows("open_runs", limit=min(limit, MAX_PAGE))
        return [run_of(row) for row in rows]

    def open_counts(self, but_of_hold: int | None = None) -> dict[str, int]:
        # No hold has the number 0, so that without one nothing is left out.
        return {row["job_name"]: row["count"] for row in self._rows("open_counts", hold_id=but_of_hold or 0)}

    def count_queued(self, job_name: str | None = None) -> int:
        ((count,),) = self._rows("count_queued", job_name=job_name)
        return int(count)

    def runs_between(self, start: datetime, end: datetime) -> list[Run]:
        return [run_of(row) for row in self._rows("runs_between", start=to_ms(start), end=to_ms(end))]

    def bad_ends_between(self, start: datetime, end: datetime) -> list[Run]:
        return [run_of(row) for row in self._rows("bad_ends_between", start=to_ms(start), end=to_ms(end))]

    def skips_between(self, start: datetime, end: datetime) -> list[Skip]:
        return [skip_of(row) for row in self._rows("skips_between", start=to_ms(start), end=to_ms(end))]

    def gaps_between(self, start: datetime, end: datetime) -> list[Gap]:
        return [gap_of(row) for row in self._rows("gaps_between", start=to_ms(start), end=to_ms(end))]

    def stints_between(self, start: datetime, end: datetime) -> list[Stint]:
        return [stint_of(row) for row in self._rows("stints_between", start=to_ms(start), end=to_ms(end))]

    def outages_between(self, start: datetime, end: datetime) -> list[Outage]:
        return [outage_of(row) for row in self._rows("outages_between", start=to_ms(start), end=to_ms(end))]

    def outage_of(self, run_id: int) -> Outage | None:
        row = self._maybe("outage_of_run", run_id=run_id)
        return outage_of(row) if row else None

    def obligations(self, job_name: str) -> list[Obligation]:
        from echopilot_jobs.ledger.facts import Obligation

        return [
            Obligation(
                row["generation"], moment(row["from_at"]), moment(row["until_at"]), definition(row["definition"])
            )
            for row in self._rows("obligations", job_name=job_name)
        ]

    def definitions(self, job_name: str) -> list[tuple[datetime, Mapping[str, Any]]]:
        rows = self._rows("definitions_of", job_name=job_name)
        return [(moment(row["since"]), definition(row["definition"])) for row in rows]

    def dispositions(self, job_name: str, start: datetime, end: datetime) -> Dispositions:
        from echopilot_jobs.ledger.facts import Dispositions

        span = {"job_name": job_name, "start": to_ms(start), "end": to_ms(end)}
        return Dispositions(
            runs=[tuple(row) for row in self._rows("slot_runs", **span)],
            skips=[tuple(row) for row in self._rows("slot_skips", **span)],
            gaps=[_gap_facts(row) for row in self._rows("slot_gaps", **span)],
        )

    def prunable(self, older_than: datetime, keep_per_job: int) -> tuple[int, int]:
        from echopilot_jobs.ledger import retention

        with self._reading() as sql:
            (slots,) = sql.rows("count_old_slots", older_than=to_ms(older_than))
            return retention.count(sql, to_ms(older_than), keep_per_job), int(slots["count"])

    def pruned_before(self) -> datetime | None:
        (row,) = self._rows("newest_prune")
        return moment(row["older_than"]) if row["older_than"] is not None else None

    def last_ends(self) -> dict[str, tuple[datetime | None, datetime | None]]:
        rows = self._rows("last_ends")
        return {row["job_name"]: (maybe_moment(row["succeeded_at"]), maybe_moment(row["failed_at"])) for row in rows}

    def planned_through(self) -> dict[str, datetime]:
        return {row["name"]: moment(row["planned_through"]) for row in self._rows("planned_through")}

    @property
    def ledger_id(self) -> str:
        (row,) = self._rows("meta", key="ledger_id")
        return str(row["value"])

    def rebirth(self) -> Rebirth | None:
        return next((Rebirth.read(row["value"]) for row in self._rows("meta", key=REBIRTH)), None)

    def restores(self) -> list[Restore]:
        return [Restore.read(row["value"]) for row in self._rows("restores")]

    def last_runs(self) -> dict[str, Run]:
        return {row["job_name"]: run_of(row) for row in self._rows("last_runs")}

    def last_pass(self) -> tuple[Reading, Stint] | None:
        row = self._maybe("last_pass")
        return (reading_of(row), stint_of(row)) if row else None

    def stint(self) -> Stint | None:
        row = self._maybe("newest_stint")
        return stint_of(row) if row else None

    def first_seen(self) -> dict[str, datetime]:
        return {row["name"]: moment(row["first_seen"]) for row in self._rows("first_seen")}

    def job_names(self) -> list[str]:
        return [row["name"] for row in self._rows("defined_names")]

    def running_owners(self) -> dict[str, str | None]:
        return {row["owner"]: row["ended_how"] for row in self._rows("running_owners")}

    def pauses(self, after: datetime, job_name: str | None = None) -> list[Pause]:
        return [pause_of(row) for row in self._rows("pauses", after=to_ms(after), job_name=job_name)]

    def waiting_hold(self) -> Hold | None:
        row = self._maybe("waiting_hold")
        return hold_of(row) if row else None

    def generation(self) -> Generation:
        with self._reading() as sql:
            return generation_of(sql.one("generation"))

    def close(self) -> None:
        with self._guard:
            while self._opened:
                self._opened.pop().close()
            self._local = threading.local()

    # -- plumbing

    @property
    def _sql(self) -> Sql:
        """This thread's connection."""
        sql: Sql | None = getattr(self._local, "sql", None)
        if sql is None:
            sql = self._local.sql = self._open()
        return sql

    def _open(self) -> Sql:
        db = self._connector(self._path, create=self._create)
        with self._guard:
            self._opened.append(db)
        (migrate if self._create else require_version)(db)
        return Sql(db)

    @contextmanager
    def _writing(self) -> Iterator[Sql]:
        sql = self._sql
        with transaction(sql.db):
            yield sql

    @contextmanager
    def _reading(self) -> Iterator[Sql]:
        with readable_errors("read", lambda: self._path):
            yield self._sql

    def _rows(self, statement: str, **params: object) -> list[sqlite3.Row]:
        with self._reading() as sql:
            return sql.rows(statement, **params)

    def _maybe(self, statement: str, **params: object) -> sqlite3.Row | None:
        rows = self._rows(statement, **params)
        return rows[0] if rows else None

    def _job_id(self, name: str) -> int:
        row = self._maybe("job_by_name", name=name)
        if row is None or not row["is_defined"]:
            raise unknown_name("job", name, self.job_names())
        return int(row["id"])


def _beginning(run: Run) -> list[Event]:
    """What the run's own row tells of its first moves."""
    queued = Event(run.claimed_at, State.QUEUED, 0, run.actor)
    return [queued, Event(run.started_at, State.RUNNING, 1)] if run.started_at else [queued]


def _end(run: Run) -> list[Event]:
    """What it tells of its end, with the reason for a bad one."""
    return [Event(run.finished_at, run.state, run.attempt, run.error)] if run.finished_at else []


def _gap_facts(row: sqlite3.Row) -> tuple[Any, ...]:
    """The row as a tuple; runs and skips are chosen by their moment, but a gap may reach beyond any calendar."""
    first, last, *_ = facts = tuple(row)
    slot_moment(first)
    slot_moment(last)
    return facts
