"""The jobs that come with the product."""

from __future__ import annotations

from datetime import timedelta

from echopilot_jobs.jobs import Http, Inline, Job, Python, Registry
from echopilot_jobs.settings import Settings
from echopilot_jobs.triggers import DailyAt, Every

HEARTBEAT, SELF_HEAL = "heartbeat", "self_heal"
BRIEF, REPORT = "ceo_brief", "daily_report"


def jobs(settings: Settings) -> Registry:
    """The four built-in jobs with the operator's times."""
    return Registry(
        [
            Job(
                name=HEARTBEAT,
                description="Writes the tick line with the next run of every job.",
                trigger=Every(timedelta(seconds=60)),
                action=Inline("tick"),
                on_startup=True,
            ),
            Job(
                name=BRIEF,
                description="Reads the signals and says what matters most.",
                trigger=DailyAt(settings.brief_at),
                action=Python("echopilot_jobs.builtin.ceo_brief:run"),
                retries=2,
                idempotent=True,
            ),
            Job(
                name=REPORT,
                description="Accounts for yesterday, job by job.",
                trigger=DailyAt(settings.report_at),
                action=Python("echopilot_jobs.builtin.daily_report:run"),
                retries=2,
                idempotent=True,
            ),
            Job(
                name=SELF_HEAL,
                description="Abandons lapsed runs, retries what may be repeated, prunes old history.",
                trigger=Every(timedelta(hours=settings.self_heal_hours)),
                action=Http("/api/self-heal"),
                timeout=timedelta(seconds=120),
                retries=2,
                on_startup=True,
                idempotent=True,
            ),
        ]
    )
