"""What could keep this installation from its promises, examined from outside; every finding with its fix.

A check is a function `(Place) -> list[Finding]`; adding one is a function and a line in `CHECKS`. Examining changes
nothing: probes are made in temporary files and the ledger is only read. `mend` does what a finding says is safe to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from echopilot_jobs.access import is_obstacle, obstacle
from echopilot_jobs.doctor import defined, files, leavings, limits, machine, owners, running
from echopilot_jobs.doctor.findings import FAIL, OK, WARN, Finding, Place, worst
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.plain import remedy_apart
from echopilot_jobs.settings import PROJECT_ROOT, Settings, load

__all__ = ["CHECKS", "FAIL", "GROUPS", "OK", "WARN", "Finding", "Place", "examine", "mend", "worst"]

Check = Callable[[Place], Iterable[Finding]]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("python", machine.python),
    ("sqlite", machine.sqlite),
    ("zone data", machine.zone_data),
    ("clock", machine.clock),
    ("place", machine.place),
    ("account", machine.account),
    ("limits", limits.limits),
    ("settings", running.settings),
    ("stack's settings", defined.running_settings),
    ("dashboard key", running.dashboard_key),
    ("jobs file", defined.jobs_file),
    ("secrets", defined.secrets),
    ("folders", files.folders),
    ("owners", owners.owners),
    ("free space", files.free_space),
    ("file system", files.file_system),
    ("ledger", files.ledger),
    ("locks", leavings.locks),
    ("leftovers", leavings.leftovers),
    ("port", running.port),
    ("supervisor", running.supervisor),
    ("orphans", leavings.orphans),
    ("scheduler", running.scheduler),
)


# Under which heading a person reads a check.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "this machine": ("python", "sqlite", "zone data", "clock", "place", "account", "limits"),
    "what is set": ("settings", "stack's settings", "dashboard key", "jobs file", "secrets"),
    "the disk": ("folders", "owners", "free space", "file system", "ledger", "locks", "leftovers"),
    "what runs": ("port", "supervisor", "orphans", "scheduler"),
}


def mend(findings: Iterable[Finding]) -> list[tuple[Finding, str | None]]:
    """Do what is safe about *findings*; each one that could be mended, and why it was not, if so."""
    done: list[tuple[Finding, str | None]] = []
    for finding in findings:
        if finding.mend is not None and finding.state != OK:
            try:
                finding.mend()
                done.append((finding, None))
            except OSError as error:
                done.append((finding, error.strerror or str(error)))
    return done


def examine(now: datetime, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Every check's findings, in the order of `CHECKS`. Works with broken settings too: they are findings."""
    settings, problems = _settings()
    place = Place(settings, now, environment, problems)
    return [finding for name, check in CHECKS for finding in _findings(name, check, place)]


def _findings(name: str, check: Check, place: Place) -> list[Finding]:
    """What one check found. A check that itself breaks on a strange machine is a finding, and the others go on."""
    try:
        return [finding.named(name) for finding in check(place)]
    except Exception as error:  # whatever a foreign machine throws: an examination that dies helps nobody
        if isinstance(error, OSError) and is_obstacle(error):
            what, do = remedy_apart(obstacle(error))
            return [Finding(FAIL, what, do, name)]
        wrong = f"the check itself failed: {type(error).__name__}: {error}"
        return [Finding(WARN, wrong, "report this line; the other checks are not affected", name)]


def _settings() -> tuple[Settings, tuple[str, ...]]:
    """The settings in force or, when they cannot be used, the defaults and what is wrong."""
    try:
        return load(), ()
    except ConfigError as error:
        home = Path(os.environ.get("ECHOPILOT_HOME") or PROJECT_ROOT)
        return Settings(home=home), error.problems
