"""The slots around a moment: the one before it, the one after it, and whether it is one itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from echopilot_jobs.accounting.owed import Owed, moment_of, moments_of, seconds_of
from echopilot_jobs.clock import EPOCH
from echopilot_jobs.triggers import Trigger

FARTHEST = timedelta(days=366 * 50)


def is_slot(trigger: Trigger, moment: datetime) -> bool:
    """Whether *moment* is one of the rule's."""
    return bool(moments_of(trigger, seconds_of(moment), seconds_of(moment)))


def newest(trigger: Trigger, now: datetime) -> datetime | None:
    """The last moment of the rule up to and including *now*, to the second; None when there is none."""
    at = now.replace(microsecond=0)
    return at if is_slot(trigger, at) else previous(trigger, at)


def newest_owed(owed: Owed) -> datetime | None:
    """The last moment the job owed, by whichever of its rules that are known; None when it owed none."""
    parts = [part for strand in owed.strands for part in strand.stretches]
    ends = [(newest(part.trigger, moment_of(part.last)), moment_of(part.first)) for part in parts]
    return max((at for at, first in ends if at is not None and at >= first), default=None)


def following(trigger: Trigger, moment: datetime) -> datetime | None:
    """The first moment of the rule later than *moment*; None when there is none."""
    return next(trigger.after(moment), None)


def previous(trigger: Trigger, moment: datetime) -> datetime | None:
    """The last moment of the rule before *moment*, looked for in ever longer stretches; None when there is none."""
    end, back = seconds_of(moment) - 1, max(trigger.period, timedelta(minutes=1))
    while True:
        back = min(back * 4, FARTHEST)
        start = max(seconds_of(moment - back) if moment - back > EPOCH else 0, 0)
        if found := moments_of(trigger, start, end):
            return moment_of(found[-1])
        if back == FARTHEST or start == 0:
            return None
