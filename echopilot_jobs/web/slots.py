"""The API's side of what people ask and do about slots: what comes next, pausing, cancelling, answering a backlog."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, request, url_for

from echopilot_jobs.accounting.preview import MOST, coming
from echopilot_jobs.accounting.reasons import pause_json
from echopilot_jobs.clock import iso
from echopilot_jobs.holds import Hold
from echopilot_jobs.runs import State
from echopilot_jobs.web import inputs, manual
from echopilot_jobs.web.backlog import ANSWERS
from echopilot_jobs.web.problems import reply
from echopilot_jobs.web.services import NAME, services

USUAL = 10


def api_next(name: str) -> Response:
    """The next `count` slots of a job later than `after`: those the scheduler will plan (I31)."""
    job, query, now = services().registry[name], request.args, services().clock.now()
    inputs.no_more_than(query, ("count", "after"))
    count = _count(query.get("count", str(USUAL)))
    after = inputs.moment("after", query["after"], now) if "after" in query else now
    slots = coming(job, after, count, pauses=services().ledger.pauses(after, name))
    more = iso(slots[-1].slot.due_at) if len(slots) == count else None
    found = [each.as_dict() for each in slots]
    return reply({"ok": True, "job": name, "enabled": job.enabled, "slots": found, "next_after": more})


def api_pause_job(name: str) -> Response:
    """Let the job's slots pass unrun: until somebody resumes it, for a length (`for`), or up to a moment (`until`)."""
    body, now = _body(), services().clock.now()
    inputs.no_more_than(body, ("for", "until", "note"))
    end = inputs.pause_end(_text(body, "for"), _text(body, "until"), now)
    pause = manual.pause(services(), name, end, inputs.note(_text(body, "note") or ""))
    return reply({"ok": True, "pause": pause_json(pause)})


def api_resume_job(name: str) -> Response:
    """End the job's pause; the slots that passed stay skipped."""
    inputs.no_more_than(_body(), ())
    ended = manual.resume(services(), name)
    return reply({"ok": True, "ended": [pause_json(pause) for pause in ended]})


def api_cancel_run(run_id: str) -> Response:
    """End a run that has not started (200), or ask one that runs to stop (202)."""
    inputs.no_more_than(_body(), ())
    run = manual.cancel(services(), inputs.run_id(run_id))
    return reply({"ok": True, "run": run.as_dict()}, 202 if run.state is State.RUNNING else 200)


def api_retry_run(run_id: str) -> Response:
    """Queue one more run of what a run was for: 202 once its row is durable, 200 when it was asked for before (I24)."""
    body = _body()
    inputs.no_more_than(body, ("force",))
    force = body.get("force", False)
    if not isinstance(force, bool):
        raise inputs.BadInput(f"force is {inputs.shown(str(force))}; wanted: true or false")
    run, is_new = manual.repeat(services(), inputs.run_id(run_id), insist='send {"force": true}', force=force)
    address = url_for(f"{NAME}.api_run", run_id=str(run.id))
    return reply({"ok": True, "run": run.as_dict(), "location": address}, 202 if is_new else 200)


def api_backlog() -> Response:
    """The backlog that waits for somebody's word; null when none does."""
    inputs.no_more_than(request.args, ())
    hold = services().ledger.waiting_hold()
    return reply({"ok": True, "backlog": _hold_json(hold) if hold else None})


def api_answer_backlog() -> Response:
    """Run the newest missed slot of each job (`latest`), `all` of them, or none (`drop`)."""
    body = _body()
    inputs.no_more_than(body, ("answer",))
    answer = ANSWERS.get(_text(body, "answer") or "")
    if answer is None:
        raise inputs.BadInput(f"answer '{inputs.shown(str(body.get('answer')))}'; wanted: {', '.join(ANSWERS)}")
    return reply({"ok": True, "backlog": _hold_json(manual.answer_backlog(services(), answer))})


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


def _hold_json(hold: Hold) -> dict[str, Any]:
    return {
        "count": hold.count,
        "decided_at": iso(hold.decided_at),
        "expires_at": iso(hold.expires_at),
        "answer": hold.answer,
        "answered_by": hold.actor,
    }
