"""`echopilot check`: whether settings, supervisord.conf and jobs can be used; every problem on its own line."""

from __future__ import annotations

from pathlib import Path

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.errors import ConfigError


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> int:
    """Check settings, supervisord.conf and jobs; exit 78 if any cannot be used."""
    problems = _problems()
    if as_json:
        out.emit_json("check", {"ok": not problems, "problems": problems}, sight.now())
    for problem in problems:
        out.say(f"error: {problem}")
    if not problems and not as_json:
        out.line("settings, supervisord.conf and jobs can be used")
    return ConfigError.exit_code if problems else 0


def _problems() -> list[str]:
    """Everything that is wrong. Jobs are looked at only where the settings they are made from can be used."""
    from echopilot_jobs.settings import PROJECT_ROOT

    try:
        settings = sight.settings()
        sight.registry(settings)
    except ConfigError as error:
        return [*error.problems, *_conf_problems(PROJECT_ROOT)]
    return _conf_problems(settings.home)


def _conf_problems(home: Path) -> list[str]:
    from echopilot_jobs.stack import conflint

    path = home / "supervisord.conf"
    if not path.is_file():
        return [f"no '{path}'; copy the one of the project there, or unset ECHOPILOT_HOME"]
    for name in ("var", "logs"):
        (home / name).mkdir(mode=0o700, exist_ok=True)  # the file names places in them
    return conflint.problems(path) or conflint.program_mistakes(path)
