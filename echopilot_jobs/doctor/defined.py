"""The jobs file: whether it is in force, what it warns of, and whether what it asks of the environment is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import Field
from typing import Any

from echopilot_jobs import definitions, processes
from echopilot_jobs.doctor.findings import FAIL, OK, WARN, Finding, Place
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobsfile.advice import UNSET, fillable
from echopilot_jobs.placeholders import names_in
from echopilot_jobs.plain import plain, remedy_apart, shorten
from echopilot_jobs.settings import known_settings

SHOWN_MOST = 5
PLACES = frozenset({"ECHOPILOT_HOME"})  # the stack is found by it


def jobs_file(place: Place) -> Iterator[Finding]:
    """Judged without starting anything: imports are tried by `echopilot check`.

    What was not set when the file was judged is left out: `secrets` looks at what is set now, where it counts.
    """
    try:
        found = definitions.in_force(place.settings)
    except ConfigError as error:
        yield Finding(FAIL, str(error).splitlines()[0], "correct the settings; the built-in jobs depend on them")
        return
    path = place.settings.home / "jobs.toml"
    for problem in found.problems[:SHOWN_MOST]:
        yield Finding(FAIL, str(problem), found.remedy)
    if more := found.problems[SHOWN_MOST:]:
        yield Finding(FAIL, f"and {len(more)} more like it", "see all of them with `echopilot check`")
    for warning in [each for each in found.warnings if UNSET not in each.message][:SHOWN_MOST]:
        yield Finding(WARN, str(warning), "change it, or leave it if it is meant so")
    if not found.problems:
        own = sum(job.declared_in != "built-in" for job in found.registry.values())
        said = (
            f"{own} of {len(found.registry)} jobs are yours" if path.exists() else "no jobs.toml; the built-in jobs run"
        )
        yield Finding(OK, f"{said}; `echopilot check` also tries their imports")
    if other := definitions.not_read(place.settings):
        yield Finding(WARN, *remedy_apart(other))
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
    environment, where = _runs_environment(place)
    wanted: dict[str, list[str]] = {}
    for job in registry.values():
        for name in {name for _, text in fillable(job) for name in names_in(text)}:
            wanted.setdefault(name, []).append(f"'{job.name}'")
    missing = sorted(name for name in wanted if not environment.get(name))
    for name in missing:
        here = "; this shell has it" if place.environment.get(name) and environment is not place.environment else ""
        yield Finding(
            WARN,
            f"{name}, which {_who(wanted[name])}, is not set {where or 'here'}{here}",
            f"set {name} where the stack is started, then `bin/stack stop` and start again"
            f"{'' if where else '; this shell may lack it'}",
        )
    if not missing:
        there = ", ".join(_length(name, environment, place) for name in sorted(wanted))
        yield Finding(
            OK,
            f"set{f' {where}' if where else ''}: {there}" if there else "no job asks for a secret of the environment",
        )


def running_settings(place: Place) -> Iterator[Finding]:
    """Settings of this shell that are not those of the running stack; never what a secret holds."""
    environment, where = _runs_environment(place)
    differing = [
        _unlike(name, environment.get(name), place.environment.get(name))
        for name, setting in known_settings().items()
        if name not in PLACES and _read(setting, environment.get(name)) != _read(setting, place.environment.get(name))
    ]
    if differing:
        yield Finding(
            WARN,
            f"this shell's settings are not those of the running stack: {'; '.join(differing)}",
            "set them here as they are there; what the stack runs is shown as it is in any case",
        )
    else:
        yield Finding(OK, "the running stack has the same" if where else "no scheduler runs that could have others")


def _read(setting: Field[Any], text: str | None) -> Any:
    if text is None:
        return setting.default
    try:
        return setting.metadata["read"](text)
    except ValueError:
        return text


def _unlike(name: str, there: str | None, here: str | None) -> str:
    if name == "DASHBOARD_KEY":
        return f"{name} differs"
    words = ["not set" if value is None else f"'{shorten(plain(value), 40)}'" for value in (there, here)]
    return f"{name} is {words[0]} there and {words[1]} here"


def _who(jobs: list[str]) -> str:
    others = f" and {len(jobs) - SHOWN_MOST} more" if len(jobs) > SHOWN_MOST else ""
    return f"{', '.join(jobs[:SHOWN_MOST])}{others} ask{'s' if len(jobs) == 1 else ''} for"


def _runs_environment(place: Place) -> tuple[Mapping[str, str], str]:
    """The environment that runs are given, and whose it is: the living scheduler's, else this shell's, named by nothing."""
    scheduler = definitions.living_scheduler(place.settings)
    found = processes.environment_of(scheduler.pid) if scheduler else None
    return (place.environment, "") if found is None else (found, "in the scheduler's environment")


def _length(name: str, environment: Mapping[str, str], place: Place) -> str:
    elsewhere = "" if place.environment.get(name) else "; not set in this shell, but the scheduler has it"
    return f"{name} ({len(os.fsencode(environment[name]))} bytes{elsewhere})"
