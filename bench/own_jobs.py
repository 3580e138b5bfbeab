"""The real scheduler process with a bench's own jobs: `own_jobs.py ticking`, or `own_jobs.py effect FILE`.

ticking     an inline job every second, every missed slot caught up
effect      a command every two seconds that leaves one line in FILE at once and then works for a second
"""

from __future__ import annotations

import sys
from datetime import timedelta

import kit  # noqa: F401  # puts the project on the path

from echopilot_jobs.jobs import Command, Inline, Job, Registry
from echopilot_jobs.scheduler import main
from echopilot_jobs.settings import load
from echopilot_jobs.triggers import Every

LEAVE_A_LINE = 'echo "$ECHOPILOT_RUN_ID" >> "$0"; exec sleep 1'


def jobs(kind: str, *args: str) -> Registry:
    """The jobs of *kind*."""
    if kind == "ticking":
        return Registry([Job("ticking", Every(timedelta(seconds=1)), Inline("tick"), catch_up="all")])
    action = Command(("sh", "-c", LEAVE_A_LINE, *args))
    return Registry([Job("effect", Every(timedelta(seconds=2)), action, timeout=timedelta(seconds=30))])


if __name__ == "__main__":
    sys.exit(main(load(), jobs(*sys.argv[1:])))
