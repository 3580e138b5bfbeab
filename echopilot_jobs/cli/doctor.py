"""`echopilot doctor`: what could go wrong here, why, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from echopilot_jobs.cli import out, sight

if TYPE_CHECKING:
    from echopilot_jobs.doctor import Finding

MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}
ASCII_MARKS = {"ok": "ok", "warn": "!", "fail": "x"}


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Do what is safe about what is found, then examine again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(fix: bool, as_json: bool) -> int:
    """Examine this installation; exit 1 if a promise cannot be kept.

    --fix sets permissions and removes what dead processes left (sockets, pid files, half-written files). It never touches
    a ledger or anything of a stack that lives, and may be repeated.

    Example: echopilot doctor --fix
    """
    from echopilot_jobs import doctor

    now = sight.now()
    findings = doctor.examine(now)
    mended = doctor.mend(findings) if fix else []
    if mended:
        findings = doctor.examine(now)
    verdict = doctor.worst(findings)
    if as_json:
        fixed = [{"name": each.name, "finding": each.finding, "error": why} for each, why in mended]
        body = {"verdict": verdict, "checks": [each.as_dict() for each in findings]}
        out.emit_json("doctor", {**body, "fixed": fixed} if fix else body, now)
    else:
        _tell_mended(mended, asked=fix)
        _show(findings)
    return 1 if verdict == doctor.FAIL else 0


def _tell_mended(mended: Sequence[tuple[Finding, str | None]], *, asked: bool) -> None:
    for finding, why in mended:
        out.say(f"could not fix: {finding.finding}: {why}" if why else f"fixed: {finding.finding}")
    if asked and not mended:
        out.say("nothing here can be fixed by itself")


def _show(findings: Sequence[Finding]) -> None:
    from echopilot_jobs.doctor import GROUPS

    marks = MARKS if _can_show("✓✗") else ASCII_MARKS
    width = max(len(each.name) for each in findings)
    for number, (title, names) in enumerate(GROUPS.items()):
        if number:
            out.line()
        out.heading(title)
        for each in findings:
            if each.name in names:
                out.marked(marks[each.state], each.state, f"{each.name:<{width}}  {each.finding}", each.fix)
    fixable = sum(each.mend is not None and each.state != "ok" for each in findings)
    if fixable:
        out.say(f"`echopilot doctor --fix` would mend {fixable} of these")


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
