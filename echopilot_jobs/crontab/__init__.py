"""Crontabs, for whoever comes from cron: read, and turned into a jobs file."""

from echopilot_jobs.crontab.translating import Translated, translate

__all__ = ["Translated", "translate"]
