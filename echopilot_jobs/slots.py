"""Slots, and what became of those that got no run."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.records import record

if TYPE_CHECKING:
    from echopilot_jobs.outages import Cause, Outage

_SECOND = timedelta(seconds=1)


class SkipReason(StrEnum):
    """Why a slot has no run: the closed set."""

    EXPIRED = "expired"
    COALESCED = "coalesced"
    OVERLAP = "overlap"
    PAUSED = "paused"
    DISABLED = "disabled"
    CAP = "cap"
    DST_GAP = "dst_gap"
    SUPERSEDED = "superseded"
    OPERATOR = "operator"
    CLOCK_HOLD = "clock_hold"


class Slot(NamedTuple):
    """One job at one due moment; the pair (with the clock generation) is its identity."""

    job_name: str
    due_at: datetime
    generation: int = 0

    @property
    def epoch_seconds(self) -> int:
        """The due moment as whole UTC epoch seconds: the form it has in the ledger and in keys."""
        return (self.due_at - EPOCH) // _SECOND

    @property
    def key(self) -> str:
        """The idempotency key a slot's run carries: the same for every attempt, new for every slot."""
        return f"{self.job_name}:{self.epoch_seconds}:{self.generation}"


@record(frozen=True)
class Skip:
    """A slot that got no run, and why; *outage* is what it was missed in, if it was missed at all."""

    slot: Slot
    reason: SkipReason
    decided_at: datetime
    outage: Outage | None = None


@record(frozen=True)
class Gap:
    """A stretch of slots disposed of together."""

    job_name: str
    first: datetime
    last: datetime
    count: int
    reason: SkipReason
    cause: Cause
    decided_at: datetime
    outage: Outage | None = None
