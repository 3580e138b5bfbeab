"""What every store promises about runs. `tests/ledger/` holds each store to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

from echopilot_jobs.errors import WrongState
from echopilot_jobs.holds import Hold, HoldAnswer, Pause
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger.facts import Disposed, Dispositions, End, Lease, Limits, Obligation, Pruned
from echopilot_jobs.ledger.rebirth import Rebirth
from echopilot_jobs.ledger.restores import Restore
from echopilot_jobs.outages import Outage, Reading
from echopilot_jobs.planner import Plan, Standing
from echopilot_jobs.runs import Artefact, Event, Generation, Origin, Outcome, Output, Progress, Run, State, Stint
from echopilot_jobs.slots import Gap, Skip, Slot
from echopilot_jobs.stretches import SkippedStretch


class Pass(Protocol):
    """One transaction of the leading scheduler. Entering it proves the lease; leaving it commits all or nothing."""

    def generation(self) -> Generation:
        """The clock generation slots are planned in now."""
        ...

    def begin_generation(self, step: timedelta, away: timedelta, *, held: bool, rewound: Sequence[Job]) -> Generation:
        """Begin the next one after a *step* of the wall clock; *away* is how far it is from where it was last trusted.

        The *rewound* jobs owe their slots from now on in it, and nothing more in those before; one whose interval is longer
        than the clock went back goes on where it was planned to. Runs that wait for a moment wait as long as before.
        """
        ...

    def trust_clock(self, rewound: Sequence[Job] = ()) -> None:
        """Let no job wait for the clock any more. Of the *rewound* jobs those that were planned beyond the beginning of this
        clock generation owe their slots from there on.
        """
        ...

    def standings(self, jobs: Sequence[Job]) -> dict[str, Standing]:
        """By name, what the planner needs to know about *jobs* (registered on first sight, owing nothing for the past)."""
        ...

    @property
    def superseded(self) -> Sequence[tuple[Job, SkippedStretch]]:
        """What this pass skipped because the times of a job were changed, or the job was removed."""
        ...

    def retire(self, kept: Collection[str]) -> None:
        """Skip, as superseded, what jobs owed by now that are no longer defined; from now on they owe nothing (I2).

        One among those *kept* is about to be defined again, and goes on owing its slots.
        """
        ...

    def record_outage(self, outage: Outage) -> int:
        """Keep the stretch nobody planned in; its number, for what was missed in it."""
        ...

    def open_hold(self, count: int, expires_at: datetime) -> int:
        """Ask a person about *count* runs of a backlog; the number their claims are to carry."""
        ...

    def settle_holds(self) -> Hold | None:
        """Answer `latest` for the backlog nobody spoke about in time; that hold, or None."""
        ...

    def dispose(
        self,
        plans: Sequence[tuple[Job, Plan]],
        *,
        outage_id: int | None = None,
        hold_id: int | None = None,
        limits: Limits | None = None,
    ) -> Disposed:
        """Write the plans' claims, skips and gaps and advance the jobs' markers; what was claimed and what ended by it.

        With *limits*, and when nothing else waits, what `start_ready` would start of the claims is written as running from
        the first: half the work of a pass in which everything starts at once.
        """
        ...

    def request(self, job_name: str, origin: Origin, request_key: str) -> Run | None:
        """Queue a run that no slot asked for (start-up, retry); None when *request_key* was used before."""
        ...

    def start_ready(self, limits: Limits) -> list[Run]:
        """Move queued or waiting runs that may start now to `running`, within *limits* (I8).

        Live ones first, then caught-up ones, then backfilled ones; the oldest first. While a job is paused only what a
        person asked for starts.
        """
        ...

    def strays(self, known: Set[int]) -> list[Run]:
        """This scheduler's own `running` rows beyond those it knows of: a commit that took effect and failed to say so."""
        ...

    def to_cancel(self) -> list[tuple[int, str]]:
        """(run, actor) of the running runs that somebody wants stopped."""
        ...

    def note_progress(self, progresses: Mapping[int, Progress]) -> None:
        """Keep how far runs say they are, by their ids; of a run only the newest word, and none of one that has ended."""
        ...

    def note_outputs(self, outputs: Mapping[int, Output]) -> None:
        """Keep what runs have printed so far, by their ids, until their end brings all of it; none of one that has ended."""
        ...

    def finish(self, run: Run, outcome: Outcome, retry_at: datetime | None = None) -> Run:
        """Record how an attempt ended and the files it left; with *retry_at* it waits for the next.

        Raises `WrongState` if it is not ours.
        """
        ...

    def finish_all(self, ends: Sequence[End]) -> list[Run | WrongState]:
        """As `finish`, of many that arrived together; for each its run, or why it is not ours."""
        ...

    def next_ready_at(self) -> datetime | None:
        """When the earliest run that is held back (a retry, a paced catch-up) may start; None when none is."""
        ...

    def renew(self, reading: Reading, *, planned: bool) -> None:
        """Write the beat: the lease holds for another TTL. What was *planned* up to here needs no second look."""
        ...


class Ledger(Protocol):
    """The promises about runs. All moments are aware and in UTC; every write is durable when the call returns."""

    def take_lease(
        self,
        owner: str,
        host: str,
        code_revision: str,
        now: datetime,
        *,
        may_follow: Callable[[Stint], bool] = lambda _stint: True,
    ) -> Lease:
        """Become the planner: ends the stint before, opens a new one with the next term.

        Raises `LeaseHeld` when that stint goes on and *may_follow* does not say that its scheduler is gone.
        """
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

        Raises `UnknownName` for a job the ledger never saw, `WrongState` when one already waits in the queue, and for a key
        that came with other parameters before.
        """
        ...

    def running_owners(self) -> dict[str, str | None]:
        """The owners of all `running` rows, so that the caller can ask which of them still live, and how each said to end."""
        ...

    def abandon_owned_by(self, owners: Sequence[str], now: datetime, note: str) -> list[Run]:
        """End the `running` rows of owners known to be dead (I5, I7); returns them as they stand now."""
        ...

    def cancel(self, run_id: int, now: datetime, actor: str) -> Run:
        """End a run that has not started, or ask the scheduler to end one that runs; raises `WrongState` for ended ones."""
        ...

    def cancel_waiting(self, job_name: str, now: datetime, actor: str) -> list[int]:
        """End all runs of the job that wait, in the queue or to retry; those that run go on. The numbers of the ended."""
        ...

    def backfill(self, job_name: str, slots: Sequence[Slot], actor: str, now: datetime) -> list[Run]:
        """Queue a run for each of *slots* that has none yet; they start one after another, after everything else."""
        ...

    def pause(self, job_name: str, now: datetime, until: datetime | None, actor: str, note: str) -> Pause:
        """Let the job's slots pass unrun from now on; raises `WrongState` when it is paused already."""
        ...

    def resume(self, job_name: str, now: datetime, actor: str) -> list[Pause]:
        """End the job's pause now; raises `WrongState` when it is not paused."""
        ...

    def pauses(self, after: datetime, job_name: str | None = None) -> list[Pause]:
        """The pauses that go on later than *after*, oldest first."""
        ...

    def waiting_hold(self) -> Hold | None:
        """The backlog that waits for somebody's word, if there is one; none when all of its runs were cancelled."""
        ...

    def answer_hold(self, answer: HoldAnswer, actor: str, now: datetime) -> Hold:
        """Run the newest of each job, all, or none of the backlog; raises `WrongState` when none waits."""
        ...

    def generation(self) -> Generation:
        """The clock generation slots are planned in now."""
        ...

    def trust_clock(self) -> None:
        """Release calendar jobs that wait because of a step of the wall clock; raises `WrongState` when none do."""
        ...

    def set_defined(self, names: Sequence[str], now: datetime, lease: Lease | None = None) -> list[Run]:
        """Mark every job not among *names* as no longer defined: its history stays, its open runs end.

        What it owed until now is written down by `Pass.retire`.
        Returns the runs that were cancelled. A run of it that still goes on ends by itself. Raises `LeaseLost` when a
        *lease* is given and another scheduler leads by now.
        """
        ...

    def prune(self, older_than: datetime, keep_per_job: int, limit: int, *, now: datetime, after: int = 0) -> Pruned:
        """Look at *limit* runs beyond run *after* and delete those ended before *older_than*, never a job's newest ones.

        What was removed is recorded (I10).
        """
        ...

    def prunable(self, older_than: datetime, keep_per_job: int) -> tuple[int, int]:
        """How many runs, and how many skipped slots and gaps, `prune` would remove if it looked at everything."""
        ...

    def run(self, run_id: int) -> Run:
        """One run; raises `UnknownName`."""
        ...

    def requested(self, request_key: str) -> Run | None:
        """The run that was asked for with this key; None when none was."""
        ...

    def output(self, run_id: int) -> Output:
        """What the run's last attempt printed; while it goes on, the newest part of what it has printed so far."""
        ...

    def progress(self, run_id: int) -> Progress | None:
        """How far the run's last attempt said it was; None when it said nothing."""
        ...

    def progresses(self) -> dict[int, Progress]:
        """How far the running runs say they are, by their ids."""
        ...

    def artefacts(self, run_id: int) -> list[Artefact]:
        """The files the run left for people, by name."""
        ...

    def artefacts_adrift(self, limit: int) -> list[tuple[int, Artefact]]:
        """Files of runs that retention removed, with those runs' ids: still to be removed themselves."""
        ...

    def forget_artefacts(self, run_ids: Iterable[int]) -> None:
        """The files of those removed runs are gone too."""
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

    def open_runs(self, limit: int = 50) -> list[Run]:
        """What has not ended, at most `MAX_PAGE`: what runs, what waits to retry, the queue; in each the oldest first.

        Queued runs of a backlog that waits for a word come last.
        """
        ...

    def open_counts(self, but_of_hold: int | None = None) -> dict[str, int]:
        """By job, how many runs have not ended, without those in the queue that belong to the hold *but_of_hold*."""
        ...

    def count_queued(self, job_name: str | None = None) -> int:
        """How many runs wait in the queue, of all jobs or of one."""
        ...

    def runs_between(self, start: datetime, end: datetime) -> list[Run]:
        """Runs whose slot (or, without one, whose claim) lies in [start, end), oldest first."""
        ...

    def bad_ends_between(self, start: datetime, end: datetime) -> list[Run]:
        """Runs that ended badly in [start, end), the first end first, whenever their slots were."""
        ...

    def skips_between(self, start: datetime, end: datetime) -> list[Skip]:
        """Single skipped slots in [start, end), oldest first."""
        ...

    def gaps_between(self, start: datetime, end: datetime) -> list[Gap]:
        """Gap rows that touch [start, end), oldest first."""
        ...

    def outages_between(self, start: datetime, end: datetime) -> list[Outage]:
        """The stretches nobody planned in that touch [start, end), oldest first."""
        ...

    def obligations(self, job_name: str) -> list[Obligation]:
        """All stretches in which the job owed its slots, oldest first."""
        ...

    def dispositions(self, job_name: str, start: datetime, end: datetime) -> Dispositions:
        """What became of the job's slots in [start, end)."""
        ...

    def definitions(self, job_name: str) -> list[tuple[datetime, Mapping[str, Any]]]:
        """Every definition the job ever had with the moment it came into force, oldest first."""
        ...

    def outage_of(self, run_id: int) -> Outage | None:
        """The outage a caught-up run was missed in."""
        ...

    def pruned_before(self) -> datetime | None:
        """Until when retention has removed history; None while it has removed nothing."""
        ...

    def stints_between(self, start: datetime, end: datetime) -> list[Stint]:
        """Scheduler lives that touch [start, end), oldest first."""
        ...

    def last_runs(self) -> dict[str, Run]:
        """The newest run of every job that has one."""
        ...

    def last_pass(self) -> tuple[Reading, Stint] | None:
        """All clocks at the last pass that planned, and the scheduler's life it was part of."""
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

    def planned_through(self) -> dict[str, datetime]:
        """By job name, up to when every slot has its row."""
        ...

    def last_ends(self) -> dict[str, tuple[datetime | None, datetime | None]]:
        """By job name, when it last succeeded and when it last ended badly."""
        ...

    @property
    def ledger_id(self) -> str:
        """Which ledger this is, for ever: two files with one id are copies of each other."""
        ...

    def rebirth(self) -> Rebirth | None:
        """That this ledger began empty where another one had been; None for one that did not."""
        ...

    def restores(self) -> list[Restore]:
        """Older copies that were put in this ledger's place, oldest first, and what each lost."""
        ...

    def ping(self) -> None:
        """Prove that the ledger can be written: raises `LedgerUnavailable`."""
        ...

    def close(self) -> None:
        """Let go of the connections of this process."""
        ...
