"""The ledger in one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import from_ms, to_ms
from echopilot_jobs.errors import LeaseHeld, LeaseLost, LedgerUnavailable, WrongState
from echopilot_jobs.holds import Hold, HoldAnswer, Pause
from echopilot_jobs.ledger import backlog, retention
from echopilot_jobs.ledger.connection import (
    FRAME_BYTES,
    LOG_AT_REST_BYTES,
    impatient,
    readable_errors,
)
from echopilot_jobs.ledger.durable import beside
from echopilot_jobs.ledger.facts import Lease, Pruned
from echopilot_jobs.ledger.identity import Identity, continue_numbering, identity_of
from echopilot_jobs.ledger.rebirth import Rebirth, note_rebirth
from echopilot_jobs.ledger.rows import (
    stint_of,
    to_json,
)
from echopilot_jobs.ledger.sqlite_pass import SqlitePass
from echopilot_jobs.ledger.sqlite_reading import SqliteReading
from echopilot_jobs.ledger.statements import Sql
from echopilot_jobs.ledger.watch import rescue
from echopilot_jobs.runs import Origin, Run, State, Stint
from echopilot_jobs.slots import Slot
from echopilot_jobs.spans import until_words


class SqliteLedger(SqliteReading):
    """Keeps the promises of `protocol.Ledger` in one file. May be shared by threads: each gets a connection of its own."""

    _cuts_log = False  # the connection that checkpoints cuts a WAL that grew

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
            _see_lease(sql, lease)
            leading = SqlitePass(sql, lease, now)
            yield leading
            leading.close()

    def end_stint(self, lease: Lease, how: str, now: datetime) -> None:
        with self._writing() as sql:
            sql.do("end_stint", stint_id=lease.stint_id, how=how, now=to_ms(now))

    def set_defined(self, names: Sequence[str], now: datetime, lease: Lease | None = None) -> list[Run]:
        kept = frozenset(names)
        with self._writing() as sql:
            if lease is not None:
                _see_lease(sql, lease)
            for row in sql.rows("defined_job_ids"):
                if row["name"] not in kept:
                    sql.do("undefine_job", job_id=row["id"])
            rows = sql.rows("cancel_undefined", now=to_ms(now), note="its job is no longer defined")
            return [self.run(row["id"]) for row in rows]

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

    def forget_artefacts(self, run_ids: Iterable[int]) -> None:
        with self._writing() as sql:
            sql.many("forget_artefacts", [{"run_id": run_id} for run_id in run_ids])

    def checkpoint(self) -> None:
        """Move what the WAL holds into the file, as far as readers allow, without waiting. Only the scheduler calls this.

        A WAL that grew is cut to `LOG_AT_REST_BYTES` by its next write once little is written: cut under load it would
        have to grow again, at four times the lateness (I14).
        """
        with readable_errors("written", lambda: self._path):
            _busy, frames, _moved = self._sql.db.execute("pragma wal_checkpoint(passive)").fetchone()
            is_to_cut = frames * FRAME_BYTES <= LOG_AT_REST_BYTES < self._log_bytes
            if is_to_cut != self._cuts_log:
                limit = LOG_AT_REST_BYTES if is_to_cut else -1
                self._sql.db.execute(f"pragma journal_size_limit={limit}").fetchone()
                self._cuts_log = is_to_cut

    @property
    def _log_bytes(self) -> int:
        if self._path is None:
            return 0
        try:
            return beside(self._path, "-wal").stat().st_size
        except OSError:
            return 0

    # -- its own file

    def identity(self) -> Identity:
        """What this ledger says of itself."""
        with self._reading() as sql:
            found = identity_of(sql.db)
        if found is None:
            raise LedgerUnavailable("the ledger has lost its tables; see `echopilot doctor`")
        return found

    def go_on_after(self, run_id: int, reborn: Rebirth | None) -> None:
        """Give the next run an id above *run_id*: ids are never reused, not even by the ledger after a lost one (I10).

        *reborn*: that it is such a ledger.
        """
        with self._writing() as sql:
            continue_numbering(sql.db, run_id)
            if reborn is not None:
                note_rebirth(sql.db, reborn)

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
                return _asked_alike(self.run(known["id"]), params), False
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

    def cancel(self, run_id: int, now: datetime, actor: str) -> Run:
        with self._writing() as sql:
            run = self.run(run_id)
            if not run.is_open:
                raise WrongState(f"run {run_id} has ended ({run.state.words}); only an open run can be cancelled")
            if run.state is State.RUNNING:
                sql.do("want_cancelled", run_id=run_id, actor=actor)
            else:
                sql.do("cancel", run_id=run_id, now=to_ms(now), note=f"cancelled by {actor}")
            return self.run(run_id)

    def cancel_waiting(self, job_name: str, now: datetime, actor: str) -> list[int]:
        with self._writing() as sql:
            job_id = self._job_id(job_name)
            rows = sql.rows("cancel_waiting", job_id=job_id, now=to_ms(now), note=f"cancelled by {actor}")
            return sorted(row["id"] for row in rows)

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
                ends = until_words(held[0].until)
                raise WrongState(f"'{job_name}' is paused already, by {held[0].actor} {ends}; resume it first")
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

    def answer_hold(self, answer: HoldAnswer, actor: str, now: datetime) -> Hold:
        with self._writing() as sql:
            hold = backlog.waiting(sql)
            if hold is None:
                raise WrongState("no backlog waits for an answer")
            return backlog.answer(sql, hold, answer, actor, now)

    def trust_clock(self) -> None:
        with self._writing() as sql:
            if sql.do("trust_generation") != 1:
                raise WrongState("no job waits because of the clock")

    def ping(self) -> None:
        with impatient(self._sql.db), self._writing() as sql:
            sql.rows("newest_stint")  # the write lock is the proof; that bytes reach the disk is proved by every beat


def _asked_alike(run: Run, params: Mapping[str, Any] | None) -> Run:
    """*run*, which was asked for with the same key; raises `WrongState` when that was with other parameters."""
    before, wanted = run.params or {}, params or {}
    others = sorted(name for name in {*before, *wanted} if before.get(name) != wanted.get(name))
    if others:
        names = ", ".join(f"'{name}'" for name in others)
        raise WrongState(
            f"run {run.id} of '{run.job_name}' was asked for with this key and other parameters ({names}); give the same "
            "ones, or another key"
        )
    return run


def _see_lease(sql: Sql, lease: Lease) -> None:
    """Inside a transaction: raises `LeaseLost` unless *lease* is the one that holds (I20)."""
    if sql.maybe("holds_lease", term=lease.term) is None:
        raise LeaseLost(f"term {lease.term} of this scheduler has ended; another one leads now")
