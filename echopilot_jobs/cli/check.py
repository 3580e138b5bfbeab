"""`echopilot check`: whether settings, supervisord.conf and jobs can be used; every problem on its own line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.errors import ConfigError

if TYPE_CHECKING:
    from echopilot_jobs.definitions import Checked


@dataclass
class _Findings:
    """What is wrong, and what is only odd. *jobs* is there when the settings could be used."""

    problems: list[str] = field(default_factory=list)
    jobs: Checked | None = None
    not_read: str | None = None

    @property
    def warnings(self) -> list[str]:
        """Each on a line."""
        found = [str(warning) for warning in self.jobs.warnings] if self.jobs else []
        return [self.not_read, *found] if self.not_read else found

    def as_dict(self) -> dict[str, Any]:
        """As JSON; `found` has the problems of the jobs file with their places."""
        return {
            "ok": not self.problems,
            "problems": self.problems,
            "warnings": self.warnings,
            "found": [problem.as_dict() for problem in self.jobs.problems] if self.jobs else [],
            "jobs": len(self.jobs.registry) if self.jobs and self.jobs.registry is not None else None,
        }


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> int:
    """Check settings, supervisord.conf and jobs; exit 78 if any cannot be used.

    Example: echopilot check
    """
    found = _look()
    if as_json:
        out.emit_json("check", found.as_dict(), sight.now())
    for problem in found.problems:
        out.say(f"error: {problem}")
    for warning in found.warnings:
        out.say(f"warning: {warning}")
    if not found.problems and not as_json:
        count = len(found.jobs.registry) if found.jobs and found.jobs.registry is not None else 0
        out.line(f"settings, supervisord.conf and {count} jobs can be used")
    return ConfigError.exit_code if found.problems else 0


def _look() -> _Findings:
    """Everything there is to see. Jobs are looked at only where the settings they are made from can be used."""
    from echopilot_jobs.settings import PROJECT_ROOT

    try:
        settings = sight.settings()
    except ConfigError as error:
        return _Findings([*error.problems, *_conf_problems(PROJECT_ROOT)])
    from echopilot_jobs import definitions

    jobs = definitions.check(settings)
    problems = [*(str(problem) for problem in jobs.problems), *_conf_problems(settings.home)]
    return _Findings(problems, jobs, definitions.not_read(settings))


def _conf_problems(home: Path) -> list[str]:
    from echopilot_jobs.stack import conflint

    path = home / "supervisord.conf"
    if not home.is_dir():
        from echopilot_jobs.settings import missing_home

        return [missing_home(home)]
    if not path.is_file():
        return [f"no '{path}'; copy the one of the project there, or unset ECHOPILOT_HOME"]
    for name in ("var", "logs"):
        (home / name).mkdir(mode=0o700, exist_ok=True)  # the file names places in them
    return conflint.problems(path) or conflint.program_mistakes(path)
