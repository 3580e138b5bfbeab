"""What the verbs that change something share: who asks, and whether a scheduler is there to act on it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.errors import LedgerUnavailable, WrongState
from echopilot_jobs.wake import nudge

if TYPE_CHECKING:
    from echopilot_jobs.jobs import Registry
    from echopilot_jobs.ledger import GuestLedger, SqliteLedger
    from echopilot_jobs.settings import Settings


def actor() -> str:
    """Who asks, as it is kept with what they did: `cli:ann`."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a container may give a user no name
        return f"cli:uid {os.getuid()}"


def wake(ledger: SqliteLedger, settings: Settings, now: datetime, so: str) -> bool:
    """Nudge the scheduler; when none is there, or it does not move, say *so*. Whether one leads."""
    woken = nudge(settings.wake_path)
    standing = sight.standing(ledger.stint(), now)
    if standing.leads or (woken and standing.state != "silent"):  # one that begins just now has no stint yet
        return True
    if woken:
        what, _, do = standing.sentence.partition("; ")
        out.say(f"note: the scheduler is silent ({what}); nothing moves until it answers again; {do}")
        return False
    sight.say_nobody_runs(standing, so)
    return False


def chosen(registry: Registry, ledger: GuestLedger, names: Sequence[str], everyone: bool) -> list[str]:
    """The jobs that were named, each once, or all the ledger has. Raises for none, both, and unknown ones."""
    if everyone == bool(names):
        raise click.UsageError(
            "name one or more jobs, or give --all" if not names else "name jobs or give --all, not both"
        )
    if everyone:
        return ledger.job_names()
    for name in names:
        taken_up(registry, ledger, name)
    return list(dict.fromkeys(names))


def taken_up(registry: Registry, ledger: GuestLedger, name: str) -> None:
    """Raise unless *name* is a job, and one that the scheduler plans already."""
    _ = registry[name]  # raises with the nearest name
    if name not in ledger.job_names():
        if ledger.refused:
            raise LedgerUnavailable(ledger.refused)
        raise WrongState(
            f"no scheduler has taken up '{name}' yet; start the stack with `bin/stack`, or restart the scheduler"
        )
