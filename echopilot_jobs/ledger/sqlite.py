"""The ledger in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import from_ms, iso, to_ms
from echopilot_jobs.errors import LeaseHeld, LeaseLost, LedgerUnavailable, UnknownName, WrongState, unknown_name
from echopilot_jobs.ledger import backlog, retention
from echopilot_jobs.ledger.connection import (
    Connector,
    connect,
    impatient,
    migrate,
    readable_errors,
    require_version,
    transaction,
)
from echopilot_jobs.ledger.identity import Identity, continue_numbering, identity_of
from echopilot_jobs.ledger.protocol import MAX_PAGE, Dispositions, Lease, Obligation, Pruned
from echopilot_jobs.ledger.rows import (
    event_of,
    gap_of,
    generation_of,
    hold_of,
    moment_of,
    outage_of,
    pause_of,
    reading_of,
    run_of,
    skip_of,
    stint_of,
    to_json,
)
from echopilot_jobs.ledger.sqlite_pass import SqlitePass
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.ledger.watch import rescue
from echopilot_jobs.outages import Outage, Reading
from echopilot_jobs.runs import (
    Event,
    Gap,
    Generation,
    Hold,
    HoldAnswer,
    Origin,
    Output,
    Pause,
    Run,
    Skip,
    Slot,
    State,
    Stint,
)

_LAST_ID = 2**63 - 1


class SqliteLedger:
    """Keeps the promises of `protocol.Ledger` in one file. May be shared by threads: each gets a connection of its own."""

    def __init__(self, path: Path | None, *, create: bool = True, connector: Connector = connect) -> None:
        self._path = path
        self._create = create
        self._connector = connector
        self._local = threading.local()
        self._guard = threading.RLock()
        self._opened: list[sqlite3.Connection] = []
        self._rows("newest_stint")  # opens, migrates and proves the file now rather than at the first use

    # -- the scheduler's side

    def take_lease(
        self,
        owner: str,
        host: str,
        code_revision: str,
        now: datetime,
        *,
        may_follow: Callable[[Stint], bool] = lambda _stint: True,
    ) -> Lease:
        with self._writing() as sql:
            row = sql.maybe("newest_lease")
            if row is not None and row["ended_at"] is None and not may_follow(stint_of(row)):
                raise LeaseHeld(f"'{row['owner']}' on '{row['host']}' leads in term {row['term']}")
            sql.do("close_open_stints", how="lost")
            row = sql.one("open_stint", owner=owner, host=host, code_revision=code_revision, now=to_ms(now))
            sql.do("put_lease", stint_id=row["id"], term=row["term"])
            return Lease(row["id"], owner, row["term"], host, code_revision)

    @contextmanager
    def leading(self, lease: Lease, now: datetime) -> Iterator[SqlitePass]:
        with self._writing() as sql:
            if sql.maybe("holds_lease", term=lease.term) is None:
                raise LeaseLost(f"term {lease.term} of this scheduler has ended; another one leads now")
            leading = SqlitePass(sql, lease, now)
            yield leading
            leading.close()

    def end_stint(self, lease: Lease, how: str, now: datetime) -> None:
        with self._writing() as sql:
            sql.do("end_stint", stint_id=lease.stint_id, how=how, now=to_ms(now))

    def set_defined(self, names: Sequence[str], now: datetime) -> list[Run]:
        kept = frozenset(names)
        with self._writing() as sql:
            for row in sql.rows("defined_job_ids"):
                if row["name"] not in kept:
                    sql.do("close_obligation", job_id=row["id"])
                    sql.do("undefine_job", job_id=row["id"])
            rows = sql.rows("cancel_undefined", now=to_ms(now), note="its job is no longer defined")
            return [self.run(row["id"]) for row in rows]

    def running_owners(self) -> list[str]:
        return [row["owner"] for row in self._rows("running_owners")]

    def abandon_owned_by(self, owners: Sequence[str], now: datetime, note: str) -> list[Run]:
        with self._writing() as sql:
            lost = [row["id"] for owner in owners for row in sql.rows("running_of", owner=owner)]
            for run_id in lost:
                sql.do("abandon", run_id=run_id, now=to_ms(now), note=note)
                sql.do("note_failure", run_id=run_id)
            return [self.run(run_id) for run_id in lost]

    def prune(self, older_than: datetime, keep_per_job: int, limit: int, *, now: datetime, after: int = 0) -> Pruned:
        with self._writing() as sql:
            batch = retention.batch(sql, to_ms(older_than), keep_per_job, limit, after)
            sql.many("delete_run", [{"run_id": run_id} for run_id in batch.doomed])
            slots = sum(
                sql.do(name, older_than=to_ms(older_than), limit=limit) for name in ("prune_skips", "prune_gaps")
            )
            if batch.doomed or slots:
                sql.do("record_prune", now=to_ms(now), count=len(batch.doomed) + slots, older_than=to_ms(older_than))
            return Pruned(len(batch.doomed) + slots, batch.looked_at)

    def checkpoint(self) -> None:
        """Move what the WAL holds into the file, as far as readers allow, without waiting. Only the scheduler calls this."""
        with readable_errors("written"):
            self._sql.db.execute("pragma wal_checkpoint(passive)").fetchone()

    # -- its own file

    def identity(self) -> Identity:
        """What this ledger says of itself."""
        with self._reading() as sql:
            found = identity_of(sql.db)
        if found is None:
            raise LedgerUnavailable("the ledger has lost its tables; see `echopilot doctor`")
        return found

    def number_runs_after(self, run_id: int) -> None:
        """Give the next run an id above *run_id*: ids are never reused, not even by the ledger after a lost one (I10)."""
        with self._writing() as sql:
            continue_numbering(sql.db, run_id)

    def rescue(self, now: datetime) -> Path:
        """Copy everything into a file of its own beside the one that lost its name. Raises `LedgerUnavailable`."""
        if self._path is None:
            raise LedgerUnavailable("a ledger in memory has no file to lose")
        return rescue(self._sql.db, self._path, now)

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
            run_id = self._request(
                sql,
                job_id,
                origin,
                retry_of.slot if retry_of else None,
                now,
                request_key=request_key,
                actor=actor,
                params=params,
            )
            return self.run(run_id), True

    def _request(
        self,
        sql: Sql,
        job_id: int,
        origin: Origin,
        slot: Slot | None,
        now: datetime,
        *,
        request_key: str | None = None,
        actor: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> int:
        row = sql.one(
            "request",
            job_id=job_id,
            origin=origin.value,
            rank=2 if origin is Origin.BACKFILL else 0,
            slot_at=slot.epoch_seconds if slot else None,
            generation=slot.generation if slot else None,
            now=to_ms(now),
            not_before=None,
            request_key=request_key,
            actor=actor,
            params=to_json(dict(params)) if params else None,
        )
        sql.do("note_last_run", job_id=job_id, run_id=row["id"])
        return int(row["id"])

    def cancel(self, run_id: int, now: datetime, note: str) -> Run:
        with self._writing() as sql:
            run = self.run(run_id)
            if not run.is_open:
                raise WrongState(f"run {run_id} has ended as '{run.state}'; only an open run can be cancelled")
            if run.state is State.RUNNING:
                sql.do("want_cancelled", run_id=run_id, actor=note)
            else:
                sql.do("cancel", run_id=run_id, now=to_ms(now), note=note)
            return self.run(run_id)

    def backfill(self, job_name: str, slots: Sequence[Slot], actor: str, now: datetime) -> list[Run]:
        with self._writing() as sql:
            job_id = self._job_id(job_name)
            queued = []
            for slot in slots:
                moment = slot.epoch_seconds * 1000
                if not sql.rows("slot_runs", job_name=job_name, start=moment, end=moment + 1000):
                    queued.append(self._request(sql, job_id, Origin.BACKFILL, slot, now, actor=actor))
            return [self.run(run_id) for run_id in queued]

    # -- pausing, holding, the clock

    def pause(self, job_name: str, now: datetime, until: datetime | None, actor: str, note: str) -> Pause:
        with self._writing() as sql:
            job_id = self._job_id(job_name)
            if held := [pause for pause in self.pauses(now, job_name) if pause.covers(now)]:
                until_when = f"until {iso(held[0].until)}" if held[0].until else "until somebody resumes it"
                raise WrongState(f"'{job_name}' is paused already, by {held[0].actor} {until_when}; resume it first")
            facts = {"until": to_ms(until) if until else None, "actor": actor, "note": note}
            row = sql.one("pause", job_id=job_id, now=to_ms(now), **facts)
            return Pause(row["id"], job_name, from_ms(to_ms(now)), until, actor, note)

    def resume(self, job_name: str, now: datetime, actor: str) -> list[Pause]:
        with self._writing() as sql:
            job_id = self._job_id(job_name)
            held = [pause for pause in self.pauses(now, job_name) if pause.covers(now)]
            if not held:
                raise WrongState(f"'{job_name}' is not paused; nothing to resume")
            sql.do("resume", job_id=job_id, now=to_ms(now), actor=actor)
            return held

    def pauses(self, after: datetime, job_name: str | None = None) -> list[Pause]:
        return [pause_of(row) for row in self._rows("pauses", after=to_ms(after), job_name=job_name)]

    def waiting_hold(self) -> Hold | None:
        row = self._maybe("waiting_hold")
        return hold_of(row) if row else None

    def answer_hold(self, answer: HoldAnswer, actor: str, now: datetime) -> Hold:
        with self._writing() as sql:
            hold = backlog.waiting(sql)
            if hold is None:
                raise WrongState("no backlog waits for an answer")
            return backlog.answer(sql, hold, answer, actor, now)

    def generation(self) -> Generation:
        with self._reading() as sql:
            return generation_of(sql.one("generation"))

    def trust_clock(self) -> None:
        with self._writing() as sql:
            if sql.do("trust_generation") != 1:
                raise WrongState("no job waits because of the clock")

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

    def runs_between(self, start: datetime, end: datetime) -> list[Run]:
        return [run_of(row) for row in self._rows("runs_between", start=to_ms(start), end=to_ms(end))]

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
        return [
            Obligation(
                row["generation"], from_ms(row["from_at"]), from_ms(row["until_at"]), json.loads(row["definition"])
            )
            for row in self._rows("obligations", job_name=job_name)
        ]

    def definitions(self, job_name: str) -> list[tuple[datetime, Mapping[str, Any]]]:
        rows = self._rows("definitions_of", job_name=job_name)
        return [(from_ms(row["since"]), json.loads(row["definition"])) for row in rows]

    def dispositions(self, job_name: str, start: datetime, end: datetime) -> Dispositions:
        span = {"job_name": job_name, "start": to_ms(start), "end": to_ms(end)}
        return Dispositions(
            runs=[tuple(row) for row in self._rows("slot_runs", **span)],
            skips=[tuple(row) for row in self._rows("slot_skips", **span)],
            gaps=[tuple(row) for row in self._rows("slot_gaps", **span)],
        )

    def pruned_before(self) -> datetime | None:
        (row,) = self._rows("newest_prune")
        return from_ms(row["older_than"]) if row["older_than"] is not None else None

    def last_ends(self) -> dict[str, tuple[datetime | None, datetime | None]]:
        rows = self._rows("last_ends")
        return {row["job_name"]: (moment_of(row["succeeded_at"]), moment_of(row["failed_at"])) for row in rows}

    def planned_through(self) -> dict[str, datetime]:
        return {row["name"]: from_ms(row["planned_through"]) for row in self._rows("planned_through")}

    def all_job_names(self) -> list[str]:
        return [row["name"] for row in self._rows("all_job_names")]

    @property
    def ledger_id(self) -> str:
        (row,) = self._rows("meta", key="ledger_id")
        return str(row["value"])

    def last_runs(self) -> dict[str, Run]:
        return {row["job_name"]: run_of(row) for row in self._rows("last_runs")}

    def last_pass(self) -> tuple[Reading, Stint] | None:
        row = self._maybe("last_pass")
        return (reading_of(row), stint_of(row)) if row else None

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


def _beginning(run: Run) -> list[Event]:
    """What the run's own row tells of its first moves."""
    queued = Event(run.claimed_at, State.QUEUED, 0, run.actor)
    return [queued, Event(run.started_at, State.RUNNING, 1)] if run.started_at else [queued]


def _end(run: Run) -> list[Event]:
    """What it tells of its end, with the reason where nothing else shows it."""
    if run.finished_at is None:
        return []
    note = run.error if run.state in (State.CANCELLED, State.ABANDONED) else None
    return [Event(run.finished_at, run.state, run.attempt, note)]
