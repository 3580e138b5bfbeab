"""The ledger in one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import from_ms, to_ms
from echopilot_jobs.errors import LeaseLost, UnknownName, WrongState, unknown_name
from echopilot_jobs.ledger.connection import connect, impatient, migrate, readable_errors, require_version, transaction
from echopilot_jobs.ledger.protocol import MAX_PAGE, Lease
from echopilot_jobs.ledger.rows import event_of, gap_of, run_of, skip_of, stint_of, to_json
from echopilot_jobs.ledger.sqlite_pass import SqlitePass
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.runs import Event, Gap, Origin, Output, Run, Skip, State, Stint

_LAST_ID = 2**63 - 1


class SqliteLedger:
    """Keeps the promises of `protocol.Ledger` in one file. May be shared by threads: each gets a connection of its own."""

    def __init__(self, path: Path | None, *, create: bool = True) -> None:
        self._path = path
        self._create = create
        self._local = threading.local()
        self._guard = threading.RLock()
        self._opened: list[sqlite3.Connection] = []
        self._rows("newest_stint")  # opens, migrates and proves the file now rather than at the first use

    # -- the scheduler's side

    def take_lease(self, owner: str, host: str, code_revision: str, now: datetime) -> Lease:
        with self._writing() as sql:
            sql.do("close_open_stints", how="lost")
            row = sql.one("open_stint", owner=owner, host=host, code_revision=code_revision, now=to_ms(now))
            return Lease(stint_id=row["id"], owner=row["owner"], term=row["term"])

    @contextmanager
    def leading(self, lease: Lease, now: datetime) -> Iterator[SqlitePass]:
        with self._writing() as sql:
            self._prove(lease)
            yield SqlitePass(sql, lease, now)

    def _prove(self, lease: Lease) -> None:
        newest = self._maybe("newest_stint")
        if newest is None or newest["term"] != lease.term or newest["ended_at"] is not None:
            raise LeaseLost(f"term {lease.term} of this scheduler has ended; another one leads now")

    def end_stint(self, lease: Lease, how: str, now: datetime) -> None:
        with self._writing() as sql:
            sql.do("end_stint", stint_id=lease.stint_id, how=how, now=to_ms(now))

    def set_defined(self, names: Sequence[str]) -> None:
        with self._writing() as sql:
            sql.do("set_defined", names=f",{','.join(names)},")

    def running_owners(self) -> list[str]:
        return [row["owner"] for row in self._rows("running_owners")]

    def abandon_owned_by(self, owners: Sequence[str], now: datetime, note: str) -> list[Run]:
        with self._writing() as sql:
            lost = [row["id"] for owner in owners for row in sql.rows("running_of", owner=owner)]
            for run_id in lost:
                sql.do("abandon", run_id=run_id, now=to_ms(now), note=note)
                sql.do("event", run_id=run_id, now=to_ms(now), note=note)
            return [self.run(run_id) for run_id in lost]

    def prune(self, older_than: datetime, keep_per_job: int, limit: int, *, now: datetime) -> int:
        with self._writing() as sql:
            old = sql.rows("prunable", older_than=to_ms(older_than), keep_per_job=keep_per_job, limit=limit)
            for row in old:
                sql.do("delete_run", run_id=row["id"])
            if old:
                sql.do("record_prune", now=to_ms(now), count=len(old), older_than=to_ms(older_than))
            return len(old)

    def checkpoint(self) -> None:
        """Move what the WAL holds into the file, as far as readers allow, without waiting. Only the scheduler calls this."""
        with readable_errors("written"):
            self._sql.db.execute("pragma wal_checkpoint(passive)").fetchone()

    # -- people's side

    def request_run(
        self,
        job_name: str,
        now: datetime,
        *,
        origin: Origin = Origin.MANUAL,
        request_key: str | None = None,
        actor: str | None = None,
        params: Mapping[str, Any] | None = None,
        retry_of: Run | None = None,
    ) -> tuple[Run, bool]:
        with self._writing() as sql:
            if request_key and (known := sql.maybe("run_by_request", request_key=request_key)):
                return self.run(known["id"]), False
            job_id = self._job_id(job_name)
            if origin is Origin.MANUAL and (waiting := sql.maybe("waiting_request", job_id=job_id)):
                raise WrongState(f"run {waiting['id']} of '{job_name}' already waits in the queue; let it start first")
            slot = retry_of.slot if retry_of else None
            row = sql.one(
                "request",
                job_id=job_id,
                origin=origin.value,
                slot_at=slot.epoch_seconds if slot else None,
                generation=slot.generation if slot else None,
                now=to_ms(now),
                request_key=request_key,
                actor=actor,
                params=to_json(dict(params)) if params else None,
            )
            sql.do("event", run_id=row["id"], now=to_ms(now), note=actor)
            return self.run(row["id"]), True

    def cancel(self, run_id: int, now: datetime, note: str) -> Run:
        with self._writing() as sql:
            run = self.run(run_id)
            if sql.do("cancel", run_id=run_id, now=to_ms(now), note=note) != 1:
                raise WrongState(f"run {run_id} is {run.state.value}; only a run that has not started can be cancelled")
            sql.do("event", run_id=run_id, now=to_ms(now), note=note)
            return self.run(run_id)

    # -- reading

    def run(self, run_id: int) -> Run:
        row = self._maybe("run_by_id", run_id=run_id) if 0 < run_id <= _LAST_ID else None
        if row is None:
            raise UnknownName(f"no run {run_id}; see `echopilot runs` for those there are")
        return run_of(row)

    def output(self, run_id: int) -> Output:
        row = self._maybe("output_of", run_id=run_id)
        return Output(row["head"], row["tail"], row["dropped_bytes"]) if row else Output()

    def events(self, run_id: int) -> list[Event]:
        return [event_of(row) for row in self._rows("events_of", run_id=run_id)]

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

    def runs_between(self, start: datetime, end: datetime) -> list[Run]:
        return [run_of(row) for row in self._rows("runs_between", start=to_ms(start), end=to_ms(end))]

    def skips_between(self, start: datetime, end: datetime) -> list[Skip]:
        return [skip_of(row) for row in self._rows("skips_between", start=to_ms(start), end=to_ms(end))]

    def gaps_between(self, start: datetime, end: datetime) -> list[Gap]:
        return [gap_of(row) for row in self._rows("gaps_between", start=to_ms(start), end=to_ms(end))]

    def stints_between(self, start: datetime, end: datetime) -> list[Stint]:
        return [stint_of(row) for row in self._rows("stints_between", start=to_ms(start), end=to_ms(end))]

    def last_runs(self) -> dict[str, Run]:
        return {row["job_name"]: run_of(row) for row in self._rows("last_runs")}

    def stint(self) -> Stint | None:
        row = self._maybe("newest_stint")
        return stint_of(row) if row else None

    def first_seen(self) -> dict[str, datetime]:
        return {row["name"]: from_ms(row["first_seen"]) for row in self._rows("first_seen")}

    def job_names(self) -> list[str]:
        return [row["name"] for row in self._rows("defined_names")]

    def ping(self) -> None:
        with impatient(self._sql.db), self._writing() as sql:
            sql.rows("newest_stint")  # the write lock is the proof; that bytes reach the disk is proved by every beat

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
        db = connect(self._path, create=self._create)
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
        with readable_errors("read"):
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
