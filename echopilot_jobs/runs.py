"""Runs as facts, and the table of legal moves between their states; with what holds them back: pauses, backlogs, clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from echopilot_jobs.clock import iso
from echopilot_jobs.plain import plain
from echopilot_jobs.records import record
from echopilot_jobs.slots import Slot
from echopilot_jobs.spans import span

LATE_AFTER = timedelta(seconds=60)

# Why a run was abandoned.
CUT_OFF = "cut off: the scheduler was stopped while it ran"
OWNER_DIED = "its scheduler died while it ran"
SKIPPED = "skipped by the job: "  # how the error of a run begins that found nothing to do and said so


class State(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"

    @property
    def words(self) -> str:
        """The state as a person reads it."""
        return "waiting to retry" if self is State.RETRY_WAIT else self.value.replace("_", " ")


OPEN_STATES = frozenset({State.QUEUED, State.RUNNING, State.RETRY_WAIT})
BAD_ENDS = frozenset({State.FAILED, State.TIMED_OUT, State.ABANDONED})

NEXT_SLOT = "the next slot"  # who cancels a run under `overlap = "cancel_previous"`; part of its error

ENDS = frozenset({State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.ABANDONED})

# The only legal moves. A state without an entry on the right is an end, and ends never change (I6).
MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.QUEUED: frozenset({State.RUNNING, State.CANCELLED}),
        State.RUNNING: ENDS | {State.RETRY_WAIT},
        State.RETRY_WAIT: BAD_ENDS | {State.RUNNING, State.CANCELLED},
        **{end: frozenset() for end in ENDS},
    }
)


class Origin(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    CATCH_UP = "catch_up"
    BACKFILL = "backfill"
    MANUAL = "manual"
    STARTUP = "startup"
    RETRY = "retry"


@record(frozen=True)
class Output:
    """What a run printed, capped: the first and last bytes as text, and how many between them were dropped."""

    head: str = ""
    tail: str = ""
    dropped_bytes: int = 0

    @property
    def text(self) -> str:
        """Head and tail with one line between them that counts what is missing."""
        if not self.dropped_bytes:
            return self.head + self.tail
        return f"{self.head}\n… {self.dropped_bytes:,} bytes dropped …\n{self.tail}"


@record(frozen=True)
class Progress:
    """How far a run says it is: *done* of *total*, if it knows the whole, with a word about it."""

    at: datetime
    done: float
    total: float | None = None
    note: str = ""

    @property
    def share(self) -> float | None:
        """How much of the whole is done, 0 to 1, where that is known."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total else None

    @property
    def words(self) -> str:
        """For a person: `40 of 100 (40%), orders`."""
        whole = "" if self.share is None else f" of {self.total:,.10g} ({self.share:.0%})"
        return f"{self.done:,.10g}{whole}" + (f", {plain(self.note)}" if self.note else "")

    def as_dict(self) -> dict[str, Any]:
        """The progress as plain JSON."""
        return {"at": iso(self.at), "done": self.done, "total": self.total, "note": self.note}


@record(frozen=True)
class Artefact:
    """A file a run left for people, copied whole. *path* is relative to the project's folder; *sha256* is in hex."""

    name: str
    path: str
    bytes: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """The file as plain JSON."""
        return {"name": self.name, "path": self.path, "bytes": self.bytes, "sha256": self.sha256}


@record(frozen=True)
class Outcome:
    """How one attempt ended, with its evidence. `exit_status` is negative for a signal, as in `subprocess`."""

    state: State
    error: str | None = None
    result: Any = None
    exit_status: int | None = None
    http_status: int | None = None
    output: Output = Output()
    duration_ms: int = 0
    retry_after: timedelta | None = None  # the earliest the other side wants to be asked again
    interrupted: bool = False  # cancelled from outside before it could end by itself
    artefacts: tuple[Artefact, ...] = ()
    final: bool = False  # no other attempt could end otherwise: it never came to its work


@dataclass(frozen=True)
class Run:
    """The record of carrying out a slot or a request. Moments are aware and in UTC."""

    id: int
    job_name: str
    origin: Origin
    state: State
    claimed_at: datetime
    slot: Slot | None = None
    attempt: int = 0
    planned_at: datetime | None = None
    not_before: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int | None = None
    owner: str | None = None
    host: str | None = None
    code_revision: str | None = None
    request_key: str | None = None
    actor: str | None = None
    params: Mapping[str, Any] | None = None
    error: str | None = None
    result: Any = None
    exit_status: int | None = None
    http_status: int | None = None
    attempt_end: State | None = None  # how the last attempt ended, while the run waits for another
    hold_id: int | None = None
    cancel_wanted: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything is still to come."""
        return self.state in OPEN_STATES

    @property
    def had_nothing_to_do(self) -> bool:
        """Whether it ended by its own `Skip`: neither a success nor a bad end."""
        return _skipped_itself(self.state, self.error)

    @property
    def did_its_duty(self) -> bool:
        """Whether it succeeded, or found nothing to do and said so."""
        return self.state is State.SUCCEEDED or self.had_nothing_to_do

    @property
    def was_cut_off(self) -> bool:
        """Whether the next slot of its job ended it."""
        return self.state is State.CANCELLED and NEXT_SLOT in (self.error or "")

    @property
    def exit_words(self) -> str | None:
        """Its exit status for a person: `3`, `-15 (killed by SIGTERM)`; None where there is none."""
        if self.exit_status is None or self.exit_status >= 0:
            return None if self.exit_status is None else str(self.exit_status)
        return f"{self.exit_status} ({exit_words(self.exit_status)})"

    @property
    def keeps_slot(self) -> bool:
        """Whether the run is what became of its slot. A retry repeats one that has its run; a backfill is for long ago."""
        return self.slot is not None and self.origin not in (Origin.RETRY, Origin.BACKFILL)

    @property
    def is_late(self) -> bool:
        """Whether it started more than a minute after its nominal moment (I4)."""
        return self.lateness is not None and self.lateness > LATE_AFTER

    @property
    def lateness(self) -> timedelta | None:
        """From the nominal moment to the first start, of a run that keeps its slot and has started."""
        return self.started_at - self.slot.due_at if self.slot and self.keeps_slot and self.started_at else None

    @property
    def spread(self) -> timedelta:
        """How much of its lateness its job's jitter asked for."""
        return self.planned_at - self.slot.due_at if self.planned_at and self.slot else timedelta(0)

    @property
    def took(self) -> timedelta | None:
        """How long all of it took, waits between attempts included; None before its end and where nobody saw that.

        A single attempt was measured. More of them are told from the first start to the end.
        """
        if self.is_open or self.duration_ms is None or self.state is State.ABANDONED:
            return None
        measured = timedelta(milliseconds=self.duration_ms)
        if self.attempt < 2 or self.started_at is None or self.finished_at is None:
            return measured
        return max(measured, self.finished_at - self.started_at)  # the clock may have been set back meanwhile

    @property
    def took_words(self) -> str | None:
        """For a person: `40 ms`, `3 min 20 s in 3 attempts`."""
        if self.took is None:
            return None
        return span(self.took) + (f" in {self.attempt} attempts" if self.attempt > 1 else "")

    @property
    def words(self) -> str:
        """The state as a person reads it: nobody has cancelled what found nothing to do and said so."""
        return _words(self.state, self.error)

    @property
    def stands(self) -> str:
        """The state behind a subject: `is running`, `succeeded`, `was abandoned`."""
        if self.is_open:
            return f"is {self.words}"
        is_done_to = self.state in (State.CANCELLED, State.ABANDONED) and not self.had_nothing_to_do
        return f"was {self.words}" if is_done_to else self.words

    @property
    def error_words(self) -> str:
        """Its error for a person; while it runs again, which attempt ended so. Empty for none."""
        is_earlier = self.state is State.RUNNING and self.error
        return f"attempt {self.attempt - 1}: {self.error}" if is_earlier else self.error or ""

    def state_words(self, show: Callable[[datetime], str]) -> str:
        """The state for a person, with what is known of its end: `waiting to retry at 08:05 UTC`; *show* puts moments."""
        if self.state is State.RETRY_WAIT and self.not_before:
            return f"{self.state.words} at {show(self.not_before)}"
        if self.state is State.RUNNING and self.cancel_wanted:
            return f"{self.state.words}, asked to stop"
        return self.words

    @property
    def attempt_words(self) -> str:
        """How the last attempt of a run ended that waits for another, behind a subject: `timed out`, `was abandoned`."""
        end = self.attempt_end or State.FAILED  # one that waited through an upgrade may not say
        return "was abandoned" if end is State.ABANDONED else end.words

    @property
    def idempotency_key(self) -> str:
        """What an effect should carry so that a repeated attempt is recognised."""
        return self.slot.key if self.slot else f"run:{self.id}"

    def changed(self, **facts: Any) -> Run:
        """The run with other *facts*: what `dataclasses.replace` does in a fifth of the time, for ten thousand a second."""
        other = object.__new__(Run)
        object.__setattr__(other, "__dict__", self.__dict__ | facts)
        return other

    def as_dict(self) -> dict[str, Any]:
        """The run as the API, the command line's `--json` and the logs show it (JSON types only)."""
        return {
            "id": self.id,
            "job": self.job_name,
            "origin": self.origin.value,
            "state": self.state.value,
            "attempt": self.attempt,
            "slot_at": _iso(self.slot.due_at if self.slot else None),
            "claimed_at": _iso(self.claimed_at),
            "not_before": _iso(self.not_before),
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "duration_ms": self.duration_ms,
            "late": self.is_late,
            "error": self.error,
            "result": self.result,
            "exit_status": self.exit_status,
            "http_status": self.http_status,
            "actor": self.actor,
            "params": dict(self.params) if self.params else None,
            "owner": self.owner,
            "host": self.host,
            "code_revision": self.code_revision,
        }


def exit_words(status: int) -> str:
    """How a process ended: `exit status 3`, `killed by SIGTERM`."""
    import signal  # every command would wait for its tables, and few ask

    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _skipped_itself(state: State, why: str | None) -> bool:
    return state is State.CANCELLED and (why or "").startswith(SKIPPED)


def _words(state: State, why: str | None) -> str:
    return "skipped itself" if _skipped_itself(state, why) else state.words


def retry_key(run_id: int) -> str:
    """The request key of the run that repeats run *run_id*: there is one."""
    return f"retry-of:{run_id}"


def _iso(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None


def bad_row(ended: Iterable[Run]) -> Iterator[Run]:
    """The bad ends in a row that runs of a job, *ended* and the newest first, begin with."""
    for run in ended:
        if run.state in BAD_ENDS:
            yield run
        elif run.state is not State.CANCELLED or run.had_nothing_to_do:  # one that was cancelled mends nothing
            return


@record(frozen=True)
class Event:
    """One move of a run: when, into which state, at which attempt."""

    at: datetime
    state: State
    attempt: int
    note: str | None = None

    @property
    def words(self) -> str:
        """The state as a person reads it."""
        return _words(self.state, self.note)


@record(frozen=True)
class Generation:
    """One run of the wall clock: from a step to the next. *held*: calendar jobs wait until it is trusted.

    *released*: somebody said that it may be trusted, and the scheduler has not acted on that yet. *away*: how far all steps
    since the clock was believed have taken it, this one among them.
    """

    number: int
    began_at: datetime
    step: timedelta
    held: bool = False
    released: bool = False
    away: timedelta = timedelta(0)


@record(frozen=True)
class Stint:
    """One life of a scheduler process: from its lease to its last beat, and how it ended (None while it lives)."""

    id: int
    owner: str
    host: str
    code_revision: str
    term: int
    started_at: datetime
    beat_at: datetime
    ended_at: datetime | None
    ended_how: str | None

    @property
    def boot_id(self) -> str:
        """The boot of the machine it lived in: an owner is boot id, pid and start time."""
        return self.owner.rsplit(":", 2)[0]
