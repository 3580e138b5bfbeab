"""What passes between a store and whoever plans with it: the lease, what may run at once, what became of slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any

from echopilot_jobs.records import record
from echopilot_jobs.runs import Outcome, Run


@record(frozen=True)
class Lease:
    """The right to plan: whose it is and which term of office this is. A later term fences every earlier one."""

    stint_id: int
    owner: str
    term: int
    host: str = ""
    code_revision: str = ""


@record(frozen=True)
class Disposed:
    """The runs that slots became, older runs of the same jobs that ended because of them, and what started at once."""

    claimed: list[Run]
    ended: list[Run]
    started: list[Run]


End = tuple[Run, Outcome, datetime | None]  # how an attempt ended, and when the next one may start, if one may


@record(frozen=True)
class Limits:
    """How much may run at once. Jobs in *uncounted* need no place in the engine; a job not in *instances* runs alone.

    Of runs that are equally urgent those of the job with the higher one of *priorities* start first; the others have 0.
    """

    places: int
    uncounted: frozenset[str] = frozenset()
    instances: Mapping[str, int] = field(default_factory=dict)
    group_of: Mapping[str, str] = field(default_factory=dict)
    group_limits: Mapping[str, int] = field(default_factory=dict)
    priorities: Mapping[str, int] = field(default_factory=dict)


@record(frozen=True)
class Obligation:
    """From when until when a job owed its slots, under which definition (JSON) and in which clock generation."""

    generation: int
    after: datetime
    until: datetime
    definition: Mapping[str, Any]


@record(frozen=True)
class Dispositions:
    """What the ledger holds about one job's slots in a stretch, oldest first: moments as epoch seconds.

    *runs*: (slot, generation, run, state, origin, whether it ever started); *skips*: (slot, generation, reason); *gaps*:
    (first, last, count, generation, reason).
    """

    runs: list[tuple[int, int, int, str, str, int]]
    skips: list[tuple[int, int, str]]
    gaps: list[tuple[int, int, int, int, str]]


@record(frozen=True)
class Pruned:
    """What one small batch of retention did: runs removed, and the last run looked at (None: there is nothing older)."""

    count: int
    looked_at: int | None
