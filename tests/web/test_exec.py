"""`/api/exec/…`: a run through the scheduler, waited for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.runs import BAD_ENDS, Outcome, State
from echopilot_jobs.settings import Settings

from .conftest import Stack, with_key


@pytest.fixture
def waiting(make_app: Callable[..., Flask], stack: Stack) -> FlaskClient:
    """An API that waits up to ten real seconds for a run to end."""
    return with_key(make_app(clock=SystemClock(), exec_wait=10.0))


def scheduler_does(stack: Stack, outcome: Outcome) -> threading.Thread:
    """A scheduler that carries out the first run that appears."""

    def carry_out() -> None:
        pause = threading.Event()
        for _ in range(500):
            if stack.ledger.runs(states=frozenset({State.QUEUED})):
                stack.finish(stack.start(), outcome)
                return
            pause.wait(0.02)

    thread = threading.Thread(target=carry_out)
    thread.start()
    return thread


def a_brief(home: Settings) -> dict[str, str]:
    folder = home.logs_dir / "exec_briefs"
    folder.mkdir()
    (folder / "b.json").write_text(json.dumps({"ts": "2026-03-02T08:00:00Z", "headline": "all quiet"}))
    (folder / "b.html").write_text("<!doctype html><h1>all quiet</h1>")
    return {"json_path": str(folder / "b.json"), "html_path": str(folder / "b.html")}


def test_exec_waits_for_the_brief_and_answers_with_it(waiting: FlaskClient, stack: Stack, home: Settings) -> None:
    where = a_brief(home)
    thread = scheduler_does(stack, Outcome(State.SUCCEEDED, result=where))

    answer = waiting.post("/api/exec/brief")
    thread.join()

    assert answer.status_code == 200
    assert answer.json == {
        "ok": True,
        "data": {"ts": "2026-03-02T08:00:00Z", "headline": "all quiet"},
        "error": None,
        "run_id": 1,
        **where,
    }


def test_exec_answers_202_with_the_runs_address_when_it_takes_longer(api: FlaskClient, stack: Stack) -> None:
    answer = api.post("/api/exec/report")

    assert answer.status_code == 202
    assert answer.headers["Location"] == "/api/runs/1"
    assert stack.ledger.run(1).job_name == "daily_report"
    assert api.get(answer.headers["Location"]).status_code == 200


@pytest.mark.parametrize("outcome", [Outcome(state, error="no space left on device") for state in sorted(BAD_ENDS)])
def test_exec_of_a_run_that_fails_is_502_with_its_error(waiting: FlaskClient, stack: Stack, outcome: Outcome) -> None:
    thread = scheduler_does(stack, outcome)

    answer = waiting.post("/api/exec/brief")
    thread.join()

    assert answer.status_code == 502
    assert answer.json is not None
    assert answer.json["ok"] is False
    assert "no space left on device" in answer.json["error"]
    assert answer.json["run"]["state"] == outcome.state


def test_exec_attaches_to_a_run_that_is_on_its_way(api: FlaskClient, stack: Stack) -> None:
    queued = api.post("/api/exec/brief")
    again = api.post("/api/exec/brief")
    stack.start()
    while_running = api.post("/api/exec/brief")

    assert {answer.headers["Location"] for answer in (queued, again, while_running)} == {"/api/runs/1"}
    assert len(stack.ledger.runs()) == 1


def test_only_a_few_requests_wait_at_once(make_app: Callable[..., Flask], stack: Stack) -> None:
    """S31: the others get the run's address at once."""
    app = make_app(clock=SystemClock(), exec_wait=10.0)
    rooms = app.extensions["echopilot"].waiting_rooms
    taken = 0
    while rooms.acquire(blocking=False):
        taken += 1

    answer = with_key(app).post("/api/exec/brief")

    assert answer.status_code == 202
    assert taken == 8


def test_an_artefact_that_is_away_is_answered_with_the_runs_result(
    waiting: FlaskClient, stack: Stack, home: Settings
) -> None:
    result = {"json_path": str(home.logs_dir / "gone.json"), "share": 0.5}
    thread = scheduler_does(stack, Outcome(State.SUCCEEDED, result=result))

    answer = waiting.post("/api/exec/brief")
    thread.join()

    assert answer.json is not None
    assert answer.json["data"] == result
