"""The jobs file: whether it is in force, what it warns of, and whether what it asks of the environment is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from echopilot_jobs import definitions
from echopilot_jobs.doctor.findings import FAIL, OK, WARN, Finding, Place
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobs import Command, Http, Job, Python
from echopilot_jobs.jobs.actions import facts_of
from echopilot_jobs.placeholders import names_in

SHOWN_MOST = 5


def jobs_file(place: Place) -> Iterator[Finding]:
    """Judged without starting anything: imports are tried by `echopilot check`."""
    try:
        found = definitions.in_force(place.settings)
    except ConfigError as error:
        yield Finding(FAIL, str(error).splitlines()[0], "correct the settings; the built-in jobs depend on them")
        return
    path = place.settings.home / "jobs.toml"
    for problem in found.problems[:SHOWN_MOST]:
        yield Finding(FAIL, str(problem), "correct it and save; until then the last good set stays in force")
    if more := found.problems[SHOWN_MOST:]:
        yield Finding(FAIL, f"and {len(more)} more like it", "see all of them with `echopilot check`")
    for warning in found.warnings[:SHOWN_MOST]:
        yield Finding(WARN, str(warning), "change it, or leave it if it is meant so")
    if not found.problems:
        own = sum(job.declared_in != "built-in" for job in found.registry.values())
        said = (
            f"{own} of {len(found.registry)} jobs are yours" if path.exists() else "no jobs.toml; the built-in jobs run"
        )
        yield Finding(OK, f"{said}; `echopilot check` also tries their imports")
    yield from _open_to_others(place)


def _open_to_others(place: Place) -> Iterator[Finding]:
    path = place.settings.home / "jobs.toml"
    if not path.is_file():
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        yield Finding(
            WARN,
            f"'{path.name}' can be written by other accounts (mode {mode:04o}), and so chooses what runs here",
            f"run `chmod go-w '{path}'`",
            mend=lambda: path.chmod(mode & ~0o022),
        )


def secrets(place: Place) -> Iterator[Finding]:
    """The names that definitions fill in from the environment: whether each is there, never what it holds."""
    try:
        registry = definitions.in_force(place.settings).registry
    except ConfigError:
        return  # said by the jobs file's check
    wanted = sorted({(name, job.name) for job in registry.values() for name in _names(job)})
    missing = [(name, job) for name, job in wanted if not place.environment.get(name)]
    for name, job in missing:
        yield Finding(
            WARN,
            f"{name}, which '{job}' asks for, is not set here",
            f"set {name} where the stack is started, then `bin/stack stop` and start again; this shell may lack it",
        )
    there = sorted({name for name, _ in wanted} - {name for name, _ in missing})
    lengths = ", ".join(f"{name} ({len(os.fsencode(place.environment[name]))} bytes)" for name in there)
    if not missing:
        yield Finding(OK, f"set: {lengths}" if there else "no job asks for a secret of the environment")


def _names(job: Job) -> Iterator[str]:
    texts = [*job.env.values(), job.ping or ""]
    if isinstance(job.action, Http | Command | Python):
        texts.append(str(facts_of(job.action)))
    for text in texts:
        yield from names_in(text)
