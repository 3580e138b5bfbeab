"""A scheduler process with jobs of the test's own: `python lone_scheduler.py COMMAND EVERY_SECONDS [FLAG…]`.

With `python` COMMAND is a target `module:function`, found in the scheduler's home; with `ping` the address of the watcher is
in LONE_WATCHER. With `breaks` the loop meets a bug as soon as a run is out; with `full` the lease cannot be given back at the
end, with `gone` the ledger has vanished then. The other flags are `startup` and `idempotent`.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.jobs import Command, Inline, Job, Python, Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import State
from echopilot_jobs.scheduler import main
from echopilot_jobs.scheduler.chores import Chores
from echopilot_jobs.scheduler.custody import Custody, LedgerGone
from echopilot_jobs.settings import load
from echopilot_jobs.triggers import Every


def meet_a_bug(self: Chores, _seconds: float) -> None:
    """In place of what the loop does between two passes."""
    if "work" in {run.job_name for run in self._ledger.runs(states=[State.RUNNING])}:
        raise ZeroDivisionError("a bug")


def meet_a_full_disk(*_what: object) -> None:
    """In place of giving the lease back."""
    raise LedgerUnavailable("database or disk is full")


def miss_the_ledger(_self: Custody) -> None:
    """In place of the last checkpoint."""
    raise LedgerGone("its file is gone")


if __name__ == "__main__":
    command, seconds, *flags = sys.argv[1:]
    if "full" in flags:
        SqliteLedger.end_stint = meet_a_full_disk  # type: ignore[method-assign]
    if "gone" in flags:
        Custody.checkpoint = miss_the_ledger  # type: ignore[method-assign]
    if "breaks" in flags:
        Chores.do_due = meet_a_bug  # type: ignore[method-assign]
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
