"""The jobs that come with the product."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from echopilot_jobs import jobsfile, placeholders
from echopilot_jobs.jobs import Registry
from echopilot_jobs.settings import Settings

HEARTBEAT, SELF_HEAL = "heartbeat", "self_heal"
BRIEF, REPORT = "ceo_brief", "daily_report"
NAME = "built-in"


def text(settings: Settings) -> str:
    """The definitions in `jobs.toml` beside this module, with the operator's times filled in."""
    return placeholders.fill(
        _written(),
        {
            "SCHED_BRIEF_UTC": f"{settings.brief_at:%H:%M}",
            "SCHED_REPORT_UTC": f"{settings.report_at:%H:%M}",
            "SCHED_SELFHEAL_EVERY_HOURS": str(settings.self_heal_hours),
        },
    )


@cache
def _written() -> str:
    """Read once, as code is: it stays what it was while the project's folder is closed or replaced by the next release."""
    return Path(__file__).with_name("jobs.toml").read_text(encoding="utf-8")


def document(settings: Settings) -> jobsfile.Document:
    """The same, read."""
    return jobsfile.read(text(settings).encode(), NAME)


def jobs(settings: Settings) -> Registry:
    """The four built-in jobs as they are without any definitions of the user's."""
    return jobsfile.compose(document(settings), environ={}).registry
