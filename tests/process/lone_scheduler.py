"""A scheduler process with jobs of a test's own: `lone_scheduler.py COMMAND EVERY_SECONDS [idempotent] [python] [ping]`.

With `python` COMMAND is a target `module:function`, found in the scheduler's home. With `ping` the watcher's
address is in LONE_WATCHER.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from echopilot_jobs.jobs import Command, Inline, Job, Python, Registry
from echopilot_jobs.scheduler import main
from echopilot_jobs.settings import load
from echopilot_jobs.triggers import Every

if __name__ == "__main__":
    command, seconds, *flags = sys.argv[1:]
    jobs = Registry(
        [
            Job(
                name="work",
                trigger=Every(timedelta(seconds=int(seconds))),
                action=Python(command) if "python" in flags else Command(("sh", "-c", command)),
                on_startup="startup" in flags,
                idempotent="idempotent" in flags,
                timeout=timedelta(seconds=60),
                ping="${LONE_WATCHER}" if "ping" in flags else None,
            ),
            Job(name="beat", trigger=Every(timedelta(seconds=1)), action=Inline("tick")),
        ]
    )
    sys.exit(main(load(), jobs))
