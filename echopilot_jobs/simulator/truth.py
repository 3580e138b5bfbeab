"""What really happened, as an outsider with a perfect watch would write it down: the checker's only witness."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from echopilot_jobs.jobs import Job
from echopilot_jobs.records import record


@dataclass
class Effect:
    """One attempt's work out in the world, from *began* to *ended* (true seconds; None while it goes on)."""

    job: str
    run: int
    attempt: int
    slot: int | None
    owner: str
    began: float
    ended: float | None = None
    said: str = "nothing"  # ok, failed, timed_out, killed, skipped: what an observer of the child saw
    known: bool = False  # whether its scheduler was there to see it end
    asked: float = 0.0  # for how many seconds it asked to be left alone


@dataclass
class Stay:
    """One process's time in the world; *died* is None while it lives. True seconds."""

    owner: str
    born: float
    died: float | None = None


@record(frozen=True)
class Turn:
    """From *at* (true seconds) on, how the world stood: the wall clock's offset, and whether a scheduler could work."""

    at: float
    offset: float
    healthy: bool
    why: str


@record(frozen=True)
class Deed:
    """Something a person did and was told it worked: manual, cancel, pause, resume, backfill, redefine, remove, answer."""

    at: float
    kind: str
    job: str
    facts: dict[str, Any]


@record(frozen=True)
class Defined:
    """From *at* (true seconds; the scheduler that began then) on, this was the job's definition. None: it was removed."""

    at: float
    name: str
    job: Job | None


@dataclass
class Truth:
    """The record of one history."""

    began_at: datetime
    effects: list[Effect] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    defined: list[Defined] = field(default_factory=list)
    faults: list[tuple[float, str, str]] = field(default_factory=list)  # true seconds, kind, where it struck
    log: list[tuple[float, str, str, dict[str, Any]]] = field(default_factory=list)  # true, owner, event, facts
    bugs: list[tuple[float, str]] = field(default_factory=list)  # tracebacks that no promise foresees
    ended: float = 0.0
    calm_since: float = 0.0  # true seconds of the last disturbance
