"""Moments from arguments alone: rules that yield when a job is due, with no clock and no memory."""

from echopilot_jobs.triggers.calendar import DailyAt, Weekly
from echopilot_jobs.triggers.cron import Cron
from echopilot_jobs.triggers.ends import OnRequest, Until, without_end, without_schedule
from echopilot_jobs.triggers.facts import trigger_of
from echopilot_jobs.triggers.intervals import Every, EveryBetween, jitter_of
from echopilot_jobs.triggers.protocol import Trigger
from echopilot_jobs.triggers.zones import offsets_of, zone_named

__all__ = [
    "Cron",
    "DailyAt",
    "Every",
    "EveryBetween",
    "OnRequest",
    "Trigger",
    "Until",
    "Weekly",
    "jitter_of",
    "offsets_of",
    "trigger_of",
    "without_end",
    "without_schedule",
    "zone_named",
]
