"""`echopilot brief`: what matters most, made now, at the terminal."""

from __future__ import annotations

from typing import Any

import click

from echopilot_jobs.cli import out, sight
from echopilot_jobs.cli.made import json_option, last_option, made_by, show_end

MARKS = {"critical": "fail", "high": "fail", "medium": "warn", "low": "ok"}


@click.command("brief")
@last_option
@json_option
def command(last: bool, as_json: bool) -> None:
    """Read all signals and say what matters most.

    Runs the job ceo_brief and waits for it; the page it writes is named at the end. It needs a scheduler that leads; --last
    does not.

    Example: echopilot brief --last
    """
    from echopilot_jobs.builtin import BRIEF

    now = sight.now()
    run, data, page = made_by(BRIEF, last=last, params={}, now=now)
    if as_json:
        out.emit_json("brief", data, now)
        return
    out.heading(str(data["headline"]))
    out.line(str(data["summary"]))
    for number, risk in enumerate(data["top_risks"], start=1):
        out.line()
        _show_risk(number, risk)
    _show_actions("to do within a day", data["actions_next_24h"])
    _show_actions("to do within a week", data["actions_next_7d"])
    for missing in data["missing_signals"]:
        out.line()
        out.marked("!", "warn", f"missing: {', '.join(map(str, missing.values()))}", None)
    show_end(run, page)


def _show_risk(number: int, risk: dict[str, Any]) -> None:
    state = MARKS.get(str(risk["severity"]).lower(), "warn")
    out.marked(f"{number}.", state, f"{risk['severity']}: {risk['title']}", str(risk["suggested_fix"]))
    for sentence in risk["evidence"]:
        out.line(f"    {sentence}")


def _show_actions(title: str, actions: list[str]) -> None:
    if actions:
        out.line()
        out.heading(title)
        for action in actions:
            out.line(f"  - {action}")
