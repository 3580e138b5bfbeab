"""The API's side of what people ask and do about slots: what comes next, pausing, cancelling, answering a backlog."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from flask import Response, request, url_for

from echopilot_jobs import typed
from echopilot_jobs.accounting.preview import MOST, coming
from echopilot_jobs.accounting.reasons import pause_json
from echopilot_jobs.clock import iso
from echopilot_jobs.healing import retry_run
from echopilot_jobs.runs import Hold, HoldAnswer, State
from echopilot_jobs.wake import nudge
from echopilot_jobs.web import audit, guard, inputs
from echopilot_jobs.web.health import desk
from echopilot_jobs.web.problems import Refused, reply
from echopilot_jobs.web.services import NAME, services

USUAL = 10
NOTE_MOST = 500
ANSWERS: dict[str, HoldAnswer] = {"latest": "latest", "all": "all", "drop": "drop"}


def api_next(name: str) -> Response:
    """The next `count` slots of a job later than `after`: those the scheduler will plan (I31)."""
    job, query, now = services().registry[name], request.args, services().clock.now()
    inputs.no_more_than(query, ("count", "after"))
    count = _count(query.get("count", str(USUAL)))
    after = _moment("after", query["after"], now) if "after" in query else now
    slots = coming(job, after, count, pauses=services().ledger.pauses(after, name))
    more = iso(slots[-1].slot.due_at) if len(slots) == count else None
    found = [each.as_dict() for each in slots]
    return reply({"ok": True, "job": name, "enabled": job.enabled, "slots": found, "next_after": more})


def api_pause_job(name: str) -> Response:
    """Let the job's slots pass unrun: until somebody resumes it, for a length (`for`), or up to a moment (`until`)."""
    body, now = _body(), services().clock.now()
    inputs.no_more_than(body, ("for", "until", "note"))
    end, note = _end(body, now), _text(body, "note") or ""
    if len(note) > NOTE_MOST:
        raise inputs.BadInput(f"note of {len(note):,} characters; wanted: at most {NOTE_MOST}")
    _taken_up(name)
    pause = services().ledger.pause(name, now, end, guard.actor(), note)
    _acted("web.job_paused", now, job=name, until=iso(end) if end else None)
    return reply({"ok": True, "pause": pause_json(pause)})


def api_resume_job(name: str) -> Response:
    """End the job's pause; the slots that passed stay skipped."""
    inputs.no_more_than(_body(), ())
    now = services().clock.now()
    _taken_up(name)
    ended = services().ledger.resume(name, now, guard.actor())
    _acted("web.job_resumed", now, job=name)
    return reply({"ok": True, "ended": [pause_json(pause) for pause in ended]})


def api_cancel_run(run_id: str) -> Response:
    """End a run that has not started (200), or ask one that runs to stop (202)."""
    inputs.no_more_than(_body(), ())
    now = services().clock.now()
    run = services().ledger.cancel(inputs.run_id(run_id), now, guard.actor())
    _acted("web.run_cancelled", now, job=run.job_name, run=run.id)
    return reply({"ok": True, "run": run.as_dict()}, 202 if run.state is State.RUNNING else 200)


def api_retry_run(run_id: str) -> Response:
    """Queue one more run of what a run was for: 202 once its row is durable, 200 when it was asked for before (I24)."""
    body, now = _body(), services().clock.now()
    inputs.no_more_than(body, ("force",))
    force = body.get("force", False)
    if not isinstance(force, bool):
        raise inputs.BadInput(f"force is {inputs.shown(str(force))}; wanted: true or false")
    before = services().ledger.run(inputs.run_id(run_id))
    _ = services().registry.switched_on(before.job_name)
    run, is_new = retry_run(services().ledger, before, now, guard.actor(), force=force)
    if is_new:
        _acted("web.run_retried", now, job=run.job_name, run=run.id)
    address = url_for(f"{NAME}.api_run", run_id=str(run.id))
    return reply({"ok": True, "run": run.as_dict(), "location": address}, 202 if is_new else 200)


def api_backlog() -> Response:
    """The backlog that waits for somebody's word; null when none does."""
    hold = services().ledger.waiting_hold()
    return reply({"ok": True, "backlog": _hold_json(hold) if hold else None})


def api_answer_backlog() -> Response:
    """Run the newest missed slot of each job (`latest`), `all` of them, or none (`drop`)."""
    body, now = _body(), services().clock.now()
    inputs.no_more_than(body, ("answer",))
    answer = ANSWERS.get(_text(body, "answer") or "")
    if answer is None:
        raise inputs.BadInput(f"answer '{inputs.shown(str(body.get('answer')))}'; wanted: {', '.join(ANSWERS)}")
    hold = services().ledger.answer_hold(answer, guard.actor(), now)
    _acted("web.backlog_answered", now, answer=answer, count=hold.count)
    return reply({"ok": True, "backlog": _hold_json(hold)})


def _acted(event: str, now: datetime, **facts: Any) -> None:
    """Wake the scheduler, look at health anew, and write down who it was."""
    nudge(services().settings.wake_path)
    desk().forget()
    audit.note(event, now, **facts, actor=guard.actor())


def _taken_up(name: str) -> None:
    _ = services().registry[name]  # raises with the nearest name
    if name not in services().ledger.job_names():
        raise Refused(503, f"the scheduler has not registered '{name}' yet; wait until it has started")


def _body() -> dict[str, Any]:
    return inputs.json_object(request.get_data(), request.headers.get("Content-Type", ""))


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise inputs.BadInput(f"{name} is a {type(value).__name__}; wanted: a string")
    return value


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MOST:
        raise inputs.BadInput(f"count '{inputs.shown(text)}'; wanted: a whole number from 1 to {MOST}")
    return int(text)


def _moment(name: str, text: str, now: datetime) -> datetime:
    try:
        return typed.moment(text, now, prefer="future")
    except ValueError as error:
        raise inputs.BadInput(f"{name}: {error}; a '+' in an address is written '%2B'") from None


def _end(body: dict[str, Any], now: datetime) -> datetime | None:
    lasting, until = _text(body, "for"), _text(body, "until")
    if lasting is not None and until is not None:
        raise inputs.BadInput("both 'for' and 'until'; wanted: one of them, or neither")
    if lasting is not None:
        return (now + _length(lasting)).replace(microsecond=0)
    if until is None:
        return None
    end = _moment("until", until, now)
    if end <= now:
        raise inputs.BadInput(f"until '{inputs.shown(until)}' is over; wanted: a moment to come")
    return end


def _length(text: str) -> timedelta:
    try:
        return typed.length(text)
    except ValueError as error:
        raise inputs.BadInput(f"for: {error}") from None


def _hold_json(hold: Hold) -> dict[str, Any]:
    return {
        "count": hold.count,
        "decided_at": iso(hold.decided_at),
        "expires_at": iso(hold.expires_at),
        "answer": hold.answer,
        "answered_by": hold.actor,
    }
