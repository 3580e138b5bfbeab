"""The scheduler: its loop and its process."""

from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.scheduler.process import main

__all__ = ["Scheduler", "main"]
