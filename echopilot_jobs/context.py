"""What a run is told about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from echopilot_jobs.clock import iso
from echopilot_jobs.runs import Run


class Skip(Exception):
    """Raised by a python job that finds nothing to do: the run ends as cancelled, with *reason*, and is not tried again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryAfter(Exception):
    """Raised by a python job that wants to be tried again, not before *seconds* have passed, if attempts are left."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason or f"asked to be tried again in {seconds:g} s")
        self.seconds = seconds


@dataclass(frozen=True)
class RunContext:
    """The argument of a python job. Moments are aware and in UTC; `slot_at` is None for runs no slot asked for."""

    run_id: int
    job_name: str
    attempt: int
    started_at: datetime
    idempotency_key: str
    slot_at: datetime | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> RunContext:
        """The context of a run that has just been started."""
        return cls(
            run_id=run.id,
            job_name=run.job_name,
            attempt=run.attempt,
            started_at=run.started_at or run.claimed_at,
            idempotency_key=run.idempotency_key,
            slot_at=run.slot.due_at if run.slot else None,
            params=run.params or {},
        )

    def environment(self) -> dict[str, str]:
        """The same facts as environment variables, for commands."""
        return {
            "ECHOPILOT_RUN_ID": str(self.run_id),
            "ECHOPILOT_JOB": self.job_name,
            "ECHOPILOT_ATTEMPT": str(self.attempt),
            "ECHOPILOT_SLOT_AT": iso(self.slot_at) if self.slot_at else "",
            "ECHOPILOT_IDEMPOTENCY_KEY": self.idempotency_key,
        }

    def headers(self) -> dict[str, str]:
        """The same facts as HTTP headers."""
        slot = {"X-Slot-At": iso(self.slot_at)} if self.slot_at else {}
        return {"X-Run-Id": str(self.run_id), "Idempotency-Key": self.idempotency_key, **slot}
