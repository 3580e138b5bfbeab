"""`echopilot backlog`: what was missed and waits for somebody's word."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.accounting.reasons import answer_words, unanswered_words
from echopilot_jobs.cli import acting, out, sight
from echopilot_jobs.cli.inputs import OneOf
from echopilot_jobs.clock import iso
from echopilot_jobs.runs import State
from echopilot_jobs.spans import stamp, stamped

if TYPE_CHECKING:
    from echopilot_jobs.holds import Hold, HoldAnswer
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.runs import Run

COLUMNS = (
    out.Column("JOB", gives_way=True),
    out.Column("RUNS", right=True),
    out.Column("OLDEST SLOT"),
    out.Column("NEWEST SLOT"),
)
PAGE = 200


@click.command("backlog")
@click.argument("answer", required=False, type=OneOf(["latest", "all", "drop"], "ANSWER"), metavar="[latest|all|drop]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(answer: HoldAnswer | None, as_json: bool) -> None:
    """Show the missed slots that wait for a word, or give it.

    latest runs the newest missed slot of each job, all runs every one of them, drop runs none.

    Example: echopilot backlog latest
    """
    now, settings = sight.now(), sight.settings()
    ledger = sight.ledger(settings)
    hold = ledger.waiting_hold()
    held = list(_held(ledger, hold)) if hold else []
    if answer is not None:
        hold = ledger.answer_hold(answer, acting.actor(), now)
        acting.wake(ledger, settings, now, "nothing runs until one starts")
    if as_json:
        out.emit_json("backlog", _json(hold, held) if hold else None, now)
    elif hold is None:
        out.say("no backlog waits for an answer")
    elif answer is None:
        _show(hold, held, now)
    else:
        out.line(_answered(answer, held))


def _held(ledger: SqliteLedger, hold: Hold) -> Iterator[Run]:
    """The runs that wait, newest first."""
    before: int | None = None
    while page := ledger.runs(states=frozenset({State.QUEUED}), before_id=before, limit=PAGE):
        yield from (run for run in page if run.hold_id == hold.id)
        before = page[-1].id


def _json(hold: Hold, held: list[Run]) -> dict[str, Any]:
    return {
        "decided_at": iso(hold.decided_at),
        "expires_at": iso(hold.expires_at),
        "count": hold.count,
        "answer": hold.answer,
        "answered_by": hold.actor,
        "runs": [{"run": run.id, "job": run.job_name, "slot_at": iso(run.slot.due_at)} for run in held if run.slot],
    }


def _show(hold: Hold, held: list[Run], now: datetime) -> None:
    slots: dict[str, list[datetime]] = {}
    for run in held:
        slots.setdefault(run.job_name, []).extend([run.slot.due_at] if run.slot else [])
    out.table(
        COLUMNS,
        [[name, len(dues), stamp(min(dues)), stamp(max(dues))] for name, dues in sorted(slots.items())],
    )
    out.line()
    out.line(
        f"{len(held):,} missed slots wait for a word since {stamped(hold.decided_at, now)}: "
        "`echopilot backlog latest`, `all` or `drop`"
    )
    out.line(unanswered_words(hold, now))


def _answered(answer: HoldAnswer, held: list[Run]) -> str:
    return answer_words(answer, len({run.job_name for run in held}), len(held))
