"""Rules about having an end: none but by hand, and no moment after a given one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

from echopilot_jobs.clock import iso
from echopilot_jobs.records import record
from echopilot_jobs.spans import stamp
from echopilot_jobs.triggers.protocol import Trigger


@record(frozen=True)
class OnRequest:
    """Never by itself: for a job run only by hand or at start-up."""

    @property
    def period(self) -> timedelta:
        """A century: there is no distance, and nothing may seem overdue."""
        return timedelta(days=36_500)

    @property
    def follows_real_time(self) -> bool:
        return False

    def after(self, _moment: datetime) -> Iterator[datetime]:
        return iter(())

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "on_request"}

    def __str__(self) -> str:
        return "on request"


def without_schedule(*, on_startup: bool) -> str:
    """When a job without a schedule runs, in words."""
    return "at start-up and by hand" if on_startup else "only by hand"


def without_end(trigger: Trigger) -> Trigger:
    """The rule itself, whether it has an end or not."""
    return trigger.trigger if isinstance(trigger, Until) else trigger


@record(frozen=True)
class Until:
    """The moments of *trigger* up to and including *moment* (aware), and none after it."""

    trigger: Trigger
    moment: datetime

    def __post_init__(self) -> None:
        if isinstance(self.trigger, Until):
            raise ValueError(f"two ends, '{iso(self.trigger.moment)}' and another; wanted: one")
        if self.moment.utcoffset() is None:
            raise ValueError(f"end '{self.moment}'; wanted: a moment with a zone")
        object.__setattr__(self, "moment", self.moment.astimezone(UTC).replace(microsecond=0))

    @property
    def period(self) -> timedelta:
        return self.trigger.period

    @property
    def follows_real_time(self) -> bool:
        return self.trigger.follows_real_time

    def after(self, moment: datetime) -> Iterator[datetime]:
        return takewhile(lambda due: due <= self.moment, self.trigger.after(moment))

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "until", "trigger": self.trigger.as_dict(), "moment": iso(self.moment)}

    def __str__(self) -> str:
        return f"{self.trigger}, until {stamp(self.moment)}"
