"""The pages: the dashboard, its live part, the list of runs and one run. They work without scripts, too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from echopilot_jobs.accounting.waiting import waiting_words
from echopilot_jobs.artefacts import named
from echopilot_jobs.errors import SEE_RUNS, EchoPilotError, LedgerTooNew, LedgerUnavailable, UnknownName, WrongState
from echopilot_jobs.healing import repeated_by
from echopilot_jobs.jobs import BadParameters, Job
from echopilot_jobs.jobs.params import WORDS
from echopilot_jobs.runs import BAD_ENDS, State, retry_key
from echopilot_jobs.typed import LENGTHS
from echopilot_jobs.web import artefacts, entrance, guard, inputs, manual
from echopilot_jobs.web.backlog import ANSWERS
from echopilot_jobs.web.dashboard import gather, plain_lines, without_ledger
from echopilot_jobs.web.health import desk, examine
from echopilot_jobs.web.jobpage import job_sheet
from echopilot_jobs.web.problems import Refused
from echopilot_jobs.web.services import NAME, services
from echopilot_jobs.web.words import clock_text, counted, typed

# What the form calls its fields, for the form and for what is said of them.
PAUSE_FOR, PAUSE_WHY = "For how long", "Why"


def add_to(blueprint: Blueprint) -> None:
    """Put the pages' routes on *blueprint*."""
    for method, rule, view in ROUTES:
        blueprint.add_url_rule(rule, view.__name__, view, methods=[method], provide_automatic_options=False)


def home() -> Response:
    """The dashboard; for anybody else the sign-in page, at once and without touching the ledger."""
    if guard.caller() is None:
        return entrance.sign_in_page()
    asked = request.args.get("run", "")
    said = f"run {asked} is queued" if re.fullmatch(r"[0-9]{1,18}", asked) else ""
    return _dashboard("dashboard.html", said=said, said_run=asked)


def live() -> Response:
    """The part of the dashboard that changes."""
    return _dashboard("live.html")


def run_job(name: str) -> AnyResponse:
    """Run now."""
    given: dict[str, object] = {key[2:]: text for key, text in request.form.items() if key.startswith("p.") and text}
    try:
        run, _ = manual.queue(services(), name, params=given)
    except BadParameters as error:
        return _form(services().registry[name], given, error)
    except EchoPilotError as error:
        return _said(str(error), error)
    to = _address("run", run_id=run.id) if request.form.get("then") == "run" else None
    return _said(f"run {run.id} of {run.job_name} is queued", run_id=run.id, to=to)


def ask(name: str) -> Response:
    """A form with every parameter of a job; sent, it runs the job with them."""
    return _form(services().registry[name], {})


def _form(job: Job, given: Mapping[str, object], error: BadParameters | None = None) -> Response:
    mistakes = error.problems if error else ()
    page = _page("ask.html", job=job, given=given, mistakes=mistakes, wanted=WORDS, words_of=typed)
    page.status_code = error.status if error else 200
    return page


def job(name: str) -> Response:
    """One job: how it stands, what it is, what comes, what it did, and what can be done about it."""
    return _job(name)


def _job(name: str, given: Mapping[str, str] | None = None, error: EchoPilotError | None = None) -> Response:
    """The page of a job; with *error* the form to hold it comes back with what was *given*."""
    now = services().clock.now()
    sheet = job_sheet(services(), name, desk().now(), now)
    page = _page(
        "job.html",
        sheet=sheet,
        now=now,
        given={},
        held=given or {},
        mistakes=[str(error)] if error else [],
        wanted=WORDS,
        words_of=typed,
        lengths=LENGTHS,
        note_most=inputs.NOTE_MOST,
        asked={"for": PAUSE_FOR, "note": PAUSE_WHY},
    )
    page.status_code = error.status if error else 200
    return page


def pause_job(name: str) -> AnyResponse:
    """Hold a job: for a length, or until somebody resumes it."""
    form = request.form
    try:
        now, lasting = services().clock.now(), form.get("for", "").strip()
        end = inputs.pause_end(lasting or None, None, now, asked=PAUSE_FOR)
        pause = manual.pause(services(), name, end, inputs.note(form.get("note", "").strip(), asked=PAUSE_WHY))
    except (inputs.BadInput, WrongState) as error:
        return _job(name, form, error)
    return _said(f"{pause.job_name} is paused", to=_address("job", name=name))


def resume_job(name: str) -> AnyResponse:
    """Let a job go on."""
    try:
        manual.resume(services(), name)
    except WrongState as error:
        return _said(str(error), error)
    return _said(f"{name} goes on", to=_address("job", name=name))


def answer_backlog(hold: int, answer: str) -> AnyResponse:
    """Say what becomes of a backlog; `then` names the job whose page asked."""
    if answer not in ANSWERS:
        raise Refused(404, f"no answer '{inputs.shown(answer)}' to a backlog; wanted: {', '.join(ANSWERS)}")
    try:
        answered = manual.answer_backlog(services(), ANSWERS[answer], hold)
    except WrongState as error:
        return _said(str(error), error)
    asked_by = request.form.get("then", "")
    to = _address("job", name=asked_by) if asked_by in services().registry else None
    return _said(f"the backlog of {counted(answered.count, 'missed slot')} is answered: {answer}", to=to)


def cancel_run(run_id: str) -> AnyResponse:
    """End a run, or ask it to stop."""
    run = manual.cancel(services(), _run_id(run_id))
    return redirect(_address("run", run_id=run.id), 303)


def retry_run(run_id: str) -> AnyResponse:
    """Repeat a run that ended badly, with its slot and its parameters."""
    try:
        insist = f"use `echopilot retry {run_id} --force`"  # there is no button for what need not be done again
        run, _ = manual.repeat(services(), _run_id(run_id), insist=insist)
    except WrongState as error:
        return _said(str(error), error)
    return _said(f"run {run.id} repeats run {run_id}", run_id=run.id, to=_address("run", run_id=run.id))


def run_scheduler(verb: str) -> AnyResponse:
    """Start or restart the scheduler."""
    if verb not in ("start", "restart"):
        raise Refused(404, "the dashboard can start and restart the scheduler, nothing else")
    try:
        manual.change_scheduler(services(), verb)
    except EchoPilotError as error:
        return _said(str(error), error)
    return _said(f"the scheduler is asked to {verb}")


def _said(
    message: str, error: EchoPilotError | None = None, run_id: int | None = None, to: str | None = None
) -> AnyResponse:
    """What came of a button: in place for htmx, which only the dashboard uses; else on to *to*, the dashboard where there
    is none, or a page with the refusal.
    """
    if "HX-Request" in request.headers:
        return _dashboard("live.html", said=message, said_run=run_id, said_tone="bad" if error else "good")
    if error is not None:
        raise error
    return redirect(to or _address("home", run=run_id), 303)


def _address(endpoint: str, **values: Any) -> str:
    return url_for(f"{NAME}.{endpoint}", **values)


def _dashboard(template: str, **facts: Any) -> Response:
    now, health = services().clock.now(), desk().now()
    try:
        board, status = gather(services(), health, now), 200
    except (LedgerUnavailable, LedgerTooNew):
        board, status = without_ledger(examine(services(), now), now), 503
    page = _page(template, board=board, now=now, **facts)
    page.status_code = status
    return page


def runs() -> Response:
    """A page of runs, newest first, by job and state."""
    query, ledger, limit = request.args, services().ledger, 50
    seen = ledger.first_seen()
    job_name = query.get("job") or None
    if job_name and job_name not in seen:
        _ = services().registry[job_name]  # raises with the nearest name
    wanted = inputs.states(query) if query.get("state") else None
    before = inputs.before(query, advice=f" is no run's number{SEE_RUNS}")
    found = ledger.runs(job_name=job_name, states=wanted, before_id=before, limit=limit)
    return _page(
        "runs.html",
        now=services().clock.now(),
        lines=plain_lines(found),
        job_name=job_name,
        state=query.get("state") or None,
        queued=ledger.count_queued(job_name),
        job_names=sorted(seen),
        states=list(State),
        before=before,
        next_before=found[-1].id if len(found) == limit else None,
    )


def _run_id(text: str) -> int:
    return inputs.run_id(text, advice=SEE_RUNS)


def run(run_id: str) -> Response:
    """One run: what it was for, every move it made, how it ended and what it printed."""
    ledger, now = services().ledger, services().clock.now()
    found = ledger.run(_run_id(run_id))
    hold = ledger.waiting_hold()
    job = services().registry.get(found.job_name)
    repeated = ledger.requested(retry_key(found.id))
    template = "run_live.html" if "HX-Request" in request.headers else "run.html"
    return _page(
        template,
        now=now,
        run=found,
        events=ledger.events(found.id),
        output=ledger.output(found.id),
        progress=ledger.progress(found.id),
        files=ledger.artefacts(found.id),
        kinds=[kind for kind in artefacts.KINDS if named(found, kind)],
        may_run=not found.is_open and job is not None and job.enabled,
        may_repeat=found.state in (*BAD_ENDS, State.CANCELLED) and repeated is None,
        repeats=repeated_by(found),
        repeated=repeated,
        waits=list(waiting_words(ledger, services().registry, found, now, lambda moment: clock_text(moment, now))),
        is_held=hold is not None and found.hold_id == hold.id and found.state is State.QUEUED,
        asks_for_params=job is not None and bool(job.params),
    )


def artefact(run_id: str, kind: str) -> Response:
    """A brief or report that a run has written, in a sandbox (S12)."""
    if kind not in artefacts.KINDS:
        raise Refused(404, f"no artefact of kind '{inputs.shown(kind)}'; wanted: html or json")
    found = services().ledger.run(_run_id(run_id))
    response = make_response(artefacts.read(services(), found, kind))
    response.headers["Content-Type"] = f"{artefacts.KINDS[kind]}; charset=utf-8"
    response.headers["Content-Security-Policy"] = artefacts.SANDBOX
    response.headers["Content-Disposition"] = f'inline; filename="{found.job_name}_{found.id}.{kind}"'
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def kept_file(run_id: str, name: str) -> Response:
    """A file that a run has kept, to be saved: nothing of it is shown here, whatever it holds (S12, S17)."""
    found = services().ledger.run(_run_id(run_id))
    kept = next((each for each in services().ledger.artefacts(found.id) if each.name == name), None)
    if kept is None:
        raise UnknownName(f"run {found.id} of {found.job_name} kept no file '{inputs.shown(name)}'")
    response = Response(artefacts.blocks(services(), kept), mimetype="application/octet-stream")
    response.content_length = kept.bytes
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(kept.name)}"
    response.headers["Content-Security-Policy"] = artefacts.SANDBOX
    return response


def _page(template: str, **facts: Any) -> Response:
    return make_response(render_template(template, **facts))


ROUTES = (
    ("GET", "/", home),
    ("GET", "/live", live),
    ("GET", "/jobs/<name>", job),
    ("GET", "/jobs/<name>/run", ask),
    ("POST", "/jobs/<name>/run", run_job),
    ("POST", "/jobs/<name>/pause", pause_job),
    ("POST", "/jobs/<name>/resume", resume_job),
    ("POST", "/backlog/<int:hold>/<answer>", answer_backlog),
    ("POST", "/scheduler/<verb>", run_scheduler),
    ("GET", "/runs", runs),
    ("GET", "/runs/<run_id>", run),
    ("POST", "/runs/<run_id>/cancel", cancel_run),
    ("POST", "/runs/<run_id>/retry", retry_run),
    ("GET", "/artefacts/<run_id>/<kind>", artefact),
    ("GET", "/runs/<run_id>/files/<name>", kept_file),
)
