"""What every store promises about runs. `tests/ledger/` holds each store to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from echopilot_jobs.jobs import Job
from echopilot_jobs.planner import Plan, Standing
from echopilot_jobs.runs import Event, Gap, Origin, Outcome, Output, Run, Skip, State, Stint

RENEW_EVERY = timedelta(seconds=5)
LEASE_TTL = 3 * RENEW_EVERY  # three beats missed: whoever judges a scheduler's beat calls it silent from here on
MAX_PAGE = 200


@dataclass(frozen=True)
class Lease:
    """The right to plan: whose it is and which term of office this is. A later term fences every earlier one."""

    stint_id: int
    owner: str
    term: int


class Pass(Protocol):
    """One transaction of the leading scheduler. Entering it proves the lease; leaving it commits all or nothing."""

    def standing(self, job: Job) -> Standing:
        """What the planner needs to know about *job* (registers it on first sight, owing nothing for the past)."""
        ...

    def dispose(self, job: Job, plan: Plan) -> list[Run]:
        """Write the plan's claims, skips and gaps and advance the job's marker; returns the runs that were claimed."""
        ...

    def request(self, job_name: str, origin: Origin, request_key: str) -> Run | None:
        """Queue a run that no slot asked for (start-up, retry); None when *request_key* was used before."""
        ...

    def start_ready(self, limit: int, uncounted: frozenset[str] = frozenset()) -> list[Run]:
        """Move queued or waiting runs that may start now to `running`, oldest first, one a job (I8).

        At most *limit* of them, not counting those of the jobs in *uncounted*, which need no place in the engine.
        """
        ...

    def finish(self, run: Run, outcome: Outcome, retry_at: datetime | None = None) -> Run:
        """Record how an attempt ended; with *retry_at* it waits for the next. Raises `WrongState` if it is not ours."""
        ...

    def next_ready_at(self) -> datetime | None:
        """When the earliest run that is held back (a retry, a paced catch-up) may start; None when none is."""
        ...

    def renew(self) -> None:
        """Write the beat: the lease holds for another TTL."""
        ...


class Ledger(Protocol):
    """The promises about runs. All moments are aware and in UTC; every write is durable when the call returns."""

    def take_lease(self, owner: str, host: str, code_revision: str, now: datetime) -> Lease:
        """Become the planner: ends the stint before, opens a new one with the next term."""
        ...

    def leading(self, lease: Lease, now: datetime) -> AbstractContextManager[Pass]:
        """A transaction of the holder; raises `LeaseLost` when the term is no longer its own (I20)."""
        ...

    def end_stint(self, lease: Lease, how: str, now: datetime) -> None:
        """Give the lease back; *how* is a word such as `stopped`."""
        ...

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
        """Queue a run no slot asked for now: (run, whether it is new). The same key gives the same run (I24).

        With *retry_of* the new run stands for the same slot as that one.

        Raises `UnknownName` for a job the ledger never saw, `WrongState` when one already waits in the queue.
        """
        ...

    def running_owners(self) -> list[str]:
        """The owners of all `running` rows, so that the caller can ask which of them still live."""
        ...

    def abandon_owned_by(self, owners: Sequence[str], now: datetime, note: str) -> list[Run]:
        """End the `running` rows of owners known to be dead (I5, I7); returns them as they stand now."""
        ...

    def cancel(self, run_id: int, now: datetime, note: str) -> Run:
        """End a run that has not started; raises `WrongState` for any other."""
        ...

    def set_defined(self, names: Sequence[str]) -> None:
        """Mark every job not among *names* as no longer defined; its history stays."""
        ...

    def prune(self, older_than: datetime, keep_per_job: int, limit: int, *, now: datetime) -> int:
        """Delete at most *limit* ended runs finished before *older_than*, never a job's newest ones; records the count."""
        ...

    def run(self, run_id: int) -> Run:
        """One run; raises `UnknownName`."""
        ...

    def output(self, run_id: int) -> Output:
        """What the run's last attempt printed."""
        ...

    def runs(
        self,
        *,
        job_name: str | None = None,
        states: frozenset[State] | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[Run]:
        """Newest first, at most `MAX_PAGE`; *before_id* pages on."""
        ...

    def runs_between(self, start: datetime, end: datetime) -> list[Run]:
        """Runs whose slot (or, without one, whose claim) lies in [start, end), oldest first."""
        ...

    def skips_between(self, start: datetime, end: datetime) -> list[Skip]:
        """Single skipped slots in [start, end), oldest first."""
        ...

    def gaps_between(self, start: datetime, end: datetime) -> list[Gap]:
        """Gap rows that touch [start, end), oldest first."""
        ...

    def stints_between(self, start: datetime, end: datetime) -> list[Stint]:
        """Scheduler lives that touch [start, end), oldest first."""
        ...

    def last_runs(self) -> dict[str, Run]:
        """The newest run of every job that has one."""
        ...

    def stint(self) -> Stint | None:
        """The newest scheduler life: whose beat `/health` judges."""
        ...

    def events(self, run_id: int) -> list[Event]:
        """Every move of a run, oldest first."""
        ...

    def first_seen(self) -> dict[str, datetime]:
        """When each job was first registered: before that it owes nothing."""
        ...

    def job_names(self) -> list[str]:
        """Every job that is defined now, sorted."""
        ...

    def ping(self) -> None:
        """Prove that the ledger can be written: raises `LedgerUnavailable`."""
        ...

    def close(self) -> None:
        """Let go of the connections of this process."""
        ...
