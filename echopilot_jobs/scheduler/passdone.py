"""What a pass did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from echopilot_jobs.engines import Ended
from echopilot_jobs.errors import WrongState
from echopilot_jobs.holds import Hold
from echopilot_jobs.jobs import Job
from echopilot_jobs.planner import Plan
from echopilot_jobs.runs import Run
from echopilot_jobs.scheduler.timekeeping import Footing
from echopilot_jobs.stretches import SkippedStretch


@dataclass
class PassDone:
    """What one committed pass did, to be told and acted on after the commit."""

    footing: Footing | None = None
    plans: list[tuple[Job, Plan]] = field(default_factory=list)
    claimed: list[Run] = field(default_factory=list)
    started: list[Run] = field(default_factory=list)
    ended: list[tuple[Ended, Run]] = field(default_factory=list)
    refused: list[tuple[Ended, WrongState]] = field(default_factory=list)
    gave_way: list[Run] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)
    to_cancel: list[tuple[int, str]] = field(default_factory=list)
    held_until: datetime | None = None
    settled: Hold | None = None
    retired: bool = False
    superseded: Sequence[tuple[Job, SkippedStretch]] = ()
