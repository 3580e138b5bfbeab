"""What people do by hand: ask for runs, repeat and end them, hold jobs and let them go on. Each leaves a line in the log."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

from echopilot_jobs.clock import iso
from echopilot_jobs.errors import UnknownName, WrongState
from echopilot_jobs.healing import retry_run
from echopilot_jobs.holds import Hold, HoldAnswer, Pause
from echopilot_jobs.jobs import values_of
from echopilot_jobs.ledger.refusing import refusal
from echopilot_jobs.runs import Origin, Run, State, retry_key
from echopilot_jobs.wake import nudge
from echopilot_jobs.web import audit
from echopilot_jobs.web.guard import actor
from echopilot_jobs.web.health import SCHEDULER, desk
from echopilot_jobs.web.problems import Refused
from echopilot_jobs.web.services import Services

A_MINUTE_MOST = 10
LOOK_EVERY_SECONDS = 0.1


def queue(
    services: Services, job_name: str, key: str | None = None, params: dict[str, object] | None = None
) -> tuple[Run, bool]:
    """Queue a run of *job_name*: (run, whether it is new). It is durable when this returns (I24).

    The same *key* of the same job gives the same run. Raises `UnknownName`, `BadParameters` with every mistake,
    `WrongState` for a disabled job, when one already waits, and for a *key* that came with other *params* before, and 429
    for more than ten a minute.
    """
    job, now = services.registry.switched_on(job_name), services.clock.now()
    values = values_of(job.name, job.params, params or {})
    given = {name: values[name] for name in params} if params else None
    request_key = f"web:{job.name}:{key}" if key else None
    _hold_back(services, job.name, request_key)
    try:
        run, is_new = services.ledger.request_run(job.name, now, request_key=request_key, actor=actor(), params=given)
    except UnknownName:
        raise _unregistered(services, job.name) from None
    if is_new:
        acted(services, "web.run_requested", job=job.name, run=run.id)
    return run, is_new


def repeat(services: Services, run_id: int, *, insist: str, force: bool = False) -> tuple[Run, bool]:
    """One more run of what run *run_id* was for: (the run, whether it is new). It is durable when this returns (I24).

    Raises `UnknownName`, `WrongState` for a run that is open, for one that succeeded unless *force*, and for a disabled
    job, and 429 for more than ten a minute. *insist* says where it is asked how to do so.
    """
    before = services.ledger.run(run_id)
    _ = services.registry.switched_on(before.job_name)
    _hold_back(services, before.job_name, retry_key(before.id))
    run, is_new = retry_run(services.ledger, before, services.clock.now(), actor(), force=force, insist=insist)
    if is_new:
        acted(services, "web.run_retried", job=run.job_name, run=run.id)
    return run, is_new


def cancel(services: Services, run_id: int) -> Run:
    """End a run that has not started, or ask one that runs to stop. Raises `UnknownName`, `WrongState` for an ended one."""
    run = services.ledger.cancel(run_id, services.clock.now(), actor())
    acted(services, "web.run_cancelled", job=run.job_name, run=run.id)
    return run


def pause(services: Services, job_name: str, until: datetime | None, note: str) -> Pause:
    """Let the job's slots pass unrun. Raises `UnknownName`, `WrongState` when it is paused, 503 before it is registered."""
    _taken_up(services, job_name)
    made = services.ledger.pause(job_name, services.clock.now(), until, actor(), note)
    acted(services, "web.job_paused", job=job_name, until=iso(until) if until else None)
    return made


def resume(services: Services, job_name: str) -> list[Pause]:
    """End the job's pause; the slots that passed stay skipped. Raises `UnknownName`, and `WrongState` when there is none."""
    _taken_up(services, job_name)
    ended = services.ledger.resume(job_name, services.clock.now(), actor())
    acted(services, "web.job_resumed", job=job_name)
    return ended


def answer_backlog(services: Services, answer: HoldAnswer, hold_id: int | None = None) -> Hold:
    """Answer the backlog that waits; with *hold_id* only that one. Raises `WrongState` when none, or another, waits."""
    waits = services.ledger.waiting_hold()
    if hold_id is not None and (waits is None or waits.id != hold_id):
        raise WrongState("that backlog waits no more: somebody answered it, or its hour was over; see what runs now")
    hold = services.ledger.answer_hold(answer, actor(), services.clock.now())
    acted(services, "web.backlog_answered", answer=answer, count=hold.count)
    return hold


def acted(services: Services, event: str, **facts: Any) -> None:
    """Wake the scheduler, look at health anew, and write down who it was."""
    nudge(services.settings.wake_path)
    desk().forget()
    audit.note(event, services.clock.now(), **facts, actor=actor())


def _taken_up(services: Services, job_name: str) -> None:
    _ = services.registry[job_name]  # raises with the nearest name
    if job_name not in services.ledger.job_names():
        raise _unregistered(services, job_name)


def _unregistered(services: Services, job_name: str) -> Refused:
    refused = refusal(services.settings.ledger_path)
    return Refused(503, refused or f"the scheduler has not registered '{job_name}' yet; wait until it has started")


def queue_or_attach(services: Services, job_name: str) -> Run:
    """A run of *job_name* that is on its way: the one that waits or runs already, else a new one."""
    for _ in range(3):  # between looking and asking, another caller may have asked or a run may have ended
        if run := underway(services, job_name):
            return run
        try:
            return queue(services, job_name)[0]
        except WrongState:
            continue
    return queue(services, job_name)[0]


def underway(services: Services, job_name: str) -> Run | None:
    """The newest run of *job_name* that is queued or running."""
    moving = frozenset({State.QUEUED, State.RUNNING})
    found = services.ledger.runs(job_name=job_name, states=moving, limit=1)
    return found[0] if found else None


def wait_for_end(services: Services, run: Run) -> Run:
    """*run* as it stands when it ends, or after `exec_wait` seconds, or at once when too many already wait."""
    if not services.waiting_rooms.acquire(blocking=False):
        return run
    try:
        return _watch(services, run)
    finally:
        services.waiting_rooms.release()


def _watch(services: Services, run: Run) -> Run:
    clock, pause = services.clock, threading.Event()
    deadline = clock.monotonic() + services.exec_wait
    while run.is_open and clock.monotonic() < deadline:
        pause.wait(LOOK_EVERY_SECONDS)
        run = services.ledger.run(run.id)
    return run


def _hold_back(services: Services, job_name: str, request_key: str | None) -> None:
    """At most ten requests a minute for one job (S31); repeating a request by its key is always allowed."""
    newest = services.ledger.runs(job_name=job_name, limit=A_MINUTE_MOST)
    if request_key and any(run.request_key == request_key for run in newest):
        return
    now = services.clock.now()
    by_hand = (run for run in newest if run.origin is Origin.MANUAL or (run.origin is Origin.RETRY and run.actor))
    # What lies ahead was asked for before the clock was set back, nobody can tell any more how long ago.
    recent = [run for run in by_hand if now - timedelta(minutes=1) < run.claimed_at <= now]
    if len(recent) >= A_MINUTE_MOST:
        raise Refused(
            429, f"'{job_name}' was asked for {len(recent)} times within a minute; wait", {"Retry-After": "60"}
        )


def change_scheduler(services: Services, verb: str) -> None:
    """Have supervisord `start`, `stop` or `restart` the scheduler.

    Raises `WrongState` while it is stopping: supervisord would take the order and forget it.
    """
    supervisor = services.supervisor
    states = {program.name: program.state for program in supervisor.programs()}
    if verb != "stop" and states.get(SCHEDULER) == "STOPPING":
        raise WrongState("the scheduler is still stopping; repeat this in a few seconds")
    {"start": supervisor.start, "stop": supervisor.stop, "restart": supervisor.restart}[verb](SCHEDULER)
    audit.note("web.scheduler_ordered", services.clock.now(), order=verb, actor=actor())
    desk().forget()
