"""The JSON API. Every answer is an object; every refusal is `{"ok": false, "error": …, "request_id": …}`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from echopilot_jobs.accounting.waiting import waiting_words
from echopilot_jobs.artefacts import named
from echopilot_jobs.builtin import BRIEF, REPORT
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import SupervisorUnreachable
from echopilot_jobs.healing import heal
from echopilot_jobs.jobs import Job, next_slot
from echopilot_jobs.ledger import Beat, Ledger, beat_of
from echopilot_jobs.runs import Run, State
from echopilot_jobs.spans import stamp
from echopilot_jobs.supervision import Program
from echopilot_jobs.wake import nudge
from echopilot_jobs.web import artefacts, audit, figures, guard, inputs, manual, slots
from echopilot_jobs.web.health import SCHEDULER, Check, desk, public
from echopilot_jobs.web.problems import Refused, reply
from echopilot_jobs.web.services import NAME, services

DOWN = frozenset({"FATAL", "BACKOFF", "EXITED"})


def add_to(blueprint: Blueprint) -> None:
    """Put the API's routes on *blueprint*. No route answers OPTIONS: nothing here is for other origins (S9)."""
    for method, rule, view in ROUTES:
        blueprint.add_url_rule(rule, view.__name__, view, methods=[method], provide_automatic_options=False)


def livez() -> Response:
    """The process answers. It asks nobody else, so that only a dead process fails here."""
    return reply({"ok": True})


def readyz() -> Response:
    """The ledger is open and can be read; until then 503."""
    services().ledger.stint()
    return reply({"ok": True})


def health() -> Response:
    """Every check: a word each for anybody, the details for those who signed in (I26)."""
    found = desk().now()
    body: dict[str, Any] = {"ok": found.is_green, "status": "green" if found.is_green else "red"}
    body["checks"] = public(found.checks)
    if guard.caller() is not None:
        body["at"] = iso(found.at)
        body["details"] = {check.name: _detail(check) for check in found.checks}
    return reply(body, 200 if found.is_green else 503)


def _detail(check: Check) -> dict[str, Any]:
    since = iso(check.since) if check.since else None
    said = {"level": check.level, "what": check.what, "since": since, "do": check.do}
    return {**said, "mistakes": [str(each) for each in check.mistakes]} if check.mistakes else said


# -- runs by hand


def api_exec_brief() -> Response:
    """Run the brief and answer with it, or with where it will be."""
    return _execute(BRIEF)


def api_exec_report() -> Response:
    """Run the daily report and answer with it, or with where it will be."""
    return _execute(REPORT)


def _execute(job_name: str) -> Response:
    inputs.no_more_than(_body(), ())
    run = manual.queue_or_attach(services(), job_name)
    run = manual.wait_for_end(services(), run)
    if run.is_open:
        return _accepted(run)
    if run.state is not State.SUCCEEDED:
        words = f"run {run.id} of {job_name} {run.words}: {run.error or 'no reason given'}"
        raise Refused(502, words, facts={"data": None, "run": run.as_dict()})
    return reply(
        {
            "ok": True,
            "data": artefacts.data(services(), run),
            "error": None,
            "run_id": run.id,
            "json_path": named(run, "json"),
            "html_path": named(run, "html"),
        }
    )


def api_run_job(name: str) -> Response:
    """Queue a run: 202 once its row is durable, 200 with the same run for the same `Idempotency-Key` (I24).

    With other parameters than before a key is refused with 409.
    """
    body = _body()
    inputs.no_more_than(body, ("params",))
    params = body.get("params")
    if params is not None and not isinstance(params, dict):
        raise inputs.BadInput(f"params is a {type(params).__name__}; wanted: an object like {{}}")
    key = inputs.idempotency_key(request.headers.get("Idempotency-Key"))
    run, is_new = manual.queue(services(), name, key, params)
    return _accepted(run) if is_new else reply({"ok": True, "run": run.as_dict(), "location": _address(run)})


def _accepted(run: Run) -> Response:
    address = _address(run)
    response = reply({"ok": True, "data": None, "error": None, "run": run.as_dict(), "location": address}, 202)
    response.headers["Location"] = address
    response.headers["Retry-After"] = "5"
    return response


# -- healing and processes


def api_self_heal() -> Response:
    """Abandon lapsed runs, retry what may be repeated, prune, and look at the processes."""
    inputs.no_more_than(_body(), ())
    now, ledger = services().clock.now(), services().ledger
    report = heal(ledger, services().registry, now)
    if report.retried:
        nudge(services().settings.wake_path)
    programs = _programs()
    down = [program for program in programs or () if program.state in DOWN]
    audit.note("web.healed", now, retried=len(report.retried), abandoned=len(report.abandoned), actor=guard.actor())
    return reply(
        {
            "ok": True,
            "retried_count": len(report.retried),
            "abandoned_count": len(report.abandoned),
            "pruned_count": report.pruned,
            "worker_restart_suggested": bool(down),
            "notes": [*report.notes, *_process_notes(programs, down)],
        }
    )


def _process_notes(programs: list[Program] | None, down: list[Program]) -> list[str]:
    if programs is None:
        return ["supervisord did not answer, so the processes were not looked at"]
    return [f"{program.name} is {program.state}; `supervisorctl restart {program.name}`" for program in down]


def _programs() -> list[Program] | None:
    try:
        return services().supervisor.programs()
    except SupervisorUnreachable:
        return None


def api_automations_status() -> Response:
    """Whether the scheduler runs: as supervisord sees it, and by its own beat."""
    now, stint = services().clock.now(), services().ledger.stint()
    try:
        program, error = _scheduler(services().supervisor.programs()), None
    except SupervisorUnreachable as reason:
        program, error = None, str(reason)
    return reply(
        {
            "ok": True,
            "running": beat_of(stint, now) is Beat.LIVES,
            "program": _shown(program) if program else None,
            "supervisor_error": error,
            "last_beat": iso(stint.beat_at) if stint else None,
            "started_at": iso(stint.started_at) if stint else None,
        }
    )


def api_automations_start() -> Response:
    """Have supervisord start the scheduler."""
    inputs.no_more_than(_body(), ())
    return _order("start")


def api_automations_stop() -> Response:
    """Have supervisord stop the scheduler; health is red until it is started again."""
    inputs.no_more_than(_body(), ())
    return _order("stop")


def _order(verb: str) -> Response:
    manual.change_scheduler(services(), verb)
    program = _scheduler(services().supervisor.programs())
    return reply({"ok": True, "program": _shown(program) if program else None}, 202)


def _scheduler(programs: list[Program]) -> Program | None:
    return next((program for program in programs if program.name == SCHEDULER), None)


def _shown(program: Program) -> dict[str, Any]:
    return {**program.as_dict(), "description": program.description}


# -- reading


def api_metrics_summary() -> Response:
    """Numbers over the last day."""
    inputs.no_more_than(request.args, ())
    return reply({"ok": True, **figures.summary(services().ledger, services().clock.now())})


def api_jobs() -> Response:
    """Every job with its next slot and its newest run."""
    inputs.no_more_than(request.args, ())
    ledger = services().ledger
    last, found = ledger.last_runs(), services().jobs.now()
    jobs = [_job(job, last.get(job.name)) for job in found.registry.values()]
    return reply({"ok": True, "jobs": jobs, "jobs_file": found.as_dict()})


def api_definitions() -> Response:
    """Every definition in force and where it stands; what is wrong with the jobs file where it is not in force."""
    inputs.no_more_than(request.args, ())
    found = services().jobs.now()
    made = [{**job.definition(), "declared_in": job.declared_in} for job in found.registry.values()]
    limits = dict(found.registry.group_limits)
    return reply({"ok": True, "jobs_file": found.as_dict(), "definitions": made, "group_limits": limits})


def api_job(name: str) -> Response:
    """One job with its newest runs."""
    inputs.no_more_than(request.args, ())
    job, ledger = services().registry[name], services().ledger
    runs = ledger.runs(job_name=job.name, limit=20)
    return reply({"ok": True, "job": _job(job, runs[0] if runs else None), "runs": [run.as_dict() for run in runs]})


def _job(job: Job, last: Run | None) -> dict[str, Any]:
    slot = next_slot(job, services().clock.now()) if job.enabled else None
    return {
        **job.definition(),
        "next": iso(slot.due_at) if slot else None,
        "last_run": last.as_dict() if last else None,
    }


def api_runs() -> Response:
    """A page of runs, newest first; `next_before` pages on."""
    ledger, query = services().ledger, request.args
    inputs.no_more_than(query, ("job", "state", "before", "limit"))
    limit = inputs.page_limit(query)
    runs = ledger.runs(
        job_name=_known_job(ledger), states=inputs.states(query), before_id=inputs.before(query), limit=limit
    )
    more = runs[-1].id if len(runs) == limit else None
    return reply({"ok": True, "runs": [run.as_dict() for run in runs], "next_before": more})


def _known_job(ledger: Ledger) -> str | None:
    """`job` of the query: one defined now or one with a history."""
    name = request.args.get("job")
    if name is None or name in ledger.first_seen():
        return name
    known = ", ".join(sorted(services().registry))
    raise inputs.BadInput(f"job '{inputs.shown(name)}'; wanted: {known}")


def api_run(run_id: str) -> Response:
    """One run with its moves and what it printed."""
    ledger = services().ledger
    run = ledger.run(inputs.run_id(run_id))
    output = ledger.output(run.id)
    moves = [
        {"at": iso(event.at), "state": event.state.value, "attempt": event.attempt, "note": event.note}
        for event in ledger.events(run.id)
    ]
    printed = {"head": output.head, "tail": output.tail, "dropped_bytes": output.dropped_bytes}
    at = ledger.progress(run.id)
    said = {
        "progress": at.as_dict() if at else None,
        "artefacts": [each.as_dict() for each in ledger.artefacts(run.id)],
        "waits": list(waiting_words(ledger, services().registry, run, services().clock.now(), stamp)),
    }
    return reply({"ok": True, "run": run.as_dict(), "events": moves, "output": printed, **said})


def _body() -> dict[str, Any]:
    return inputs.json_object(request.get_data(), request.headers.get("Content-Type", ""))


def _address(run: Run) -> str:
    return url_for(f"{NAME}.api_run", run_id=str(run.id))


ROUTES = (
    ("GET", "/livez", livez),
    ("GET", "/readyz", readyz),
    ("GET", "/health", health),
    ("POST", "/api/exec/brief", api_exec_brief),
    ("POST", "/api/exec/report", api_exec_report),
    ("POST", "/api/self-heal", api_self_heal),
    ("GET", "/api/metrics-summary", api_metrics_summary),
    ("GET", "/api/automations/status", api_automations_status),
    ("POST", "/api/automations/start", api_automations_start),
    ("POST", "/api/automations/stop", api_automations_stop),
    ("GET", "/api/jobs", api_jobs),
    ("GET", "/api/definitions", api_definitions),
    ("GET", "/api/jobs/<name>", api_job),
    ("POST", "/api/jobs/<name>/run", api_run_job),
    ("GET", "/api/jobs/<name>/next", slots.api_next),
    ("POST", "/api/jobs/<name>/pause", slots.api_pause_job),
    ("POST", "/api/jobs/<name>/resume", slots.api_resume_job),
    ("GET", "/api/runs", api_runs),
    ("GET", "/api/runs/<run_id>", api_run),
    ("POST", "/api/runs/<run_id>/cancel", slots.api_cancel_run),
    ("POST", "/api/runs/<run_id>/retry", slots.api_retry_run),
    ("GET", "/api/backlog", slots.api_backlog),
    ("POST", "/api/backlog", slots.api_answer_backlog),
)
