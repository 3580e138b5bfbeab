"""The set of definitions in force: probed in a child, kept on a shelf, loaded for scheduler, web and command line."""

from __future__ import annotations

from echopilot_jobs.definitions.loading import Checked, Desk, InForce, begin, check, in_force, keep, living_scheduler
from echopilot_jobs.definitions.sheet import not_read

__all__ = ["Checked", "Desk", "InForce", "begin", "check", "in_force", "keep", "living_scheduler", "not_read"]
