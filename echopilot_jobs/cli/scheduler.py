"""`echopilot scheduler`: the process that plans and runs jobs. supervisord starts it; a person seldom does."""

from __future__ import annotations

import click

from echopilot_jobs.cli import sight


@click.command("scheduler")
def command() -> int:
    """Run the scheduler in the foreground until it is told to stop.

    Example: echopilot scheduler
    """
    settings = sight.settings()
    from echopilot_jobs.scheduler import main

    return main(settings)
