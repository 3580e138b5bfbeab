"""`echopilot doctor`: what could go wrong here, why, and what to do about it."""

from __future__ import annotations

import sys

import click

from echopilot_jobs.cli import out, sight

MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}
ASCII_MARKS = {"ok": "ok", "warn": "!", "fail": "x"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> int:
    """Examine this installation; exit 1 if a promise cannot be kept."""
    from echopilot_jobs import doctor

    now = sight.now()
    findings = doctor.examine(now)
    verdict = doctor.worst(findings)
    if as_json:
        out.emit_json("doctor", {"verdict": verdict, "checks": [each.as_dict() for each in findings]}, now)
    else:
        marks = MARKS if _can_show("✓✗") else ASCII_MARKS
        width = max(len(each.name) for each in findings)
        for each in findings:
            out.marked(marks[each.state], each.state, f"{each.name:<{width}}  {each.finding}", each.fix)
    return 1 if verdict == doctor.FAIL else 0


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
