"""What the API answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.identity import Identity, write_mark
from echopilot_jobs.planner import Plan
from echopilot_jobs.runs import Outcome, Output, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.wake import drain, open_for_waiting
from echopilot_jobs.web.services import LedgerFile
from tests.schedulekit import dispose, stretch

from .conftest import Stack, Table, with_key

DONE = Outcome(State.SUCCEEDED, duration_ms=12)


# -- runs by hand


def test_202_means_the_row_is_there(api: FlaskClient, stack: Stack) -> None:
    """I24"""
    answer = api.post("/api/jobs/self_heal/run", json={"params": {}})

    assert answer.status_code == 202
    assert answer.json is not None
    assert answer.headers["Location"] == answer.json["location"] == "/api/runs/1"
    run = stack.ledger.run(1)
    assert (run.state, run.job_name, run.params) == (State.QUEUED, "self_heal", None)
    assert run.actor == "api key from 127.0.0.1"


def test_the_same_idempotency_key_is_the_same_run(api: FlaskClient, stack: Stack) -> None:
    """I24"""
    headers = {"Idempotency-Key": "deploy-77"}
    first = api.post("/api/jobs/self_heal/run", headers=headers)
    stack.finish(stack.start(), DONE)
    second = api.post("/api/jobs/self_heal/run", headers=headers)
    other_job = api.post("/api/jobs/ceo_brief/run", headers=headers)

    assert (first.status_code, second.status_code, other_job.status_code) == (202, 200, 202)
    assert first.json is not None
    assert second.json is not None
    assert first.json["run"]["id"] == second.json["run"]["id"] == 1
    assert second.json["run"]["state"] == "succeeded"


def test_an_idempotency_key_that_comes_with_other_parameters_is_409_and_with_the_same_ones_the_same_run(
    api: FlaskClient, stack: Stack
) -> None:
    """I24"""

    def asked(date: str) -> Any:
        body = {"params": {"date": date}}
        return api.post("/api/jobs/daily_report/run", json=body, headers={"Idempotency-Key": "k1"})

    first, other, again = asked("2026-03-01"), asked("2026-02-28"), asked("2026-03-01")

    assert (first.status_code, other.status_code, again.status_code) == (202, 409, 200)
    assert "run 1 of 'daily_report' was asked for with this key and other parameters ('date')" in other.json["error"]
    assert again.json["run"]["params"] == {"date": "2026-03-01"}


def test_a_second_request_while_one_waits_is_409(api: FlaskClient, stack: Stack) -> None:
    api.post("/api/jobs/self_heal/run")

    answer = api.post("/api/jobs/self_heal/run")

    assert answer.status_code == 409
    assert "run 1 of 'self_heal' already waits" in answer.text


def test_twenty_clicks_at_once_make_one_run(app: Flask, stack: Stack) -> None:
    """F63"""

    def click(_: int) -> int:
        return with_key(app).post("/api/jobs/self_heal/run").status_code

    with ThreadPoolExecutor(20) as pool:
        codes = sorted(pool.map(click, range(20)))

    assert codes == [202] + [409] * 19
    assert len(stack.ledger.runs()) == 1


def test_an_unknown_job_is_404_with_the_nearest_name(api: FlaskClient) -> None:
    answer = api.post("/api/jobs/ceo_brif/run")

    assert answer.status_code == 404
    assert "did you mean 'ceo_brief'?" in answer.text


def test_a_job_the_scheduler_has_not_registered_yet_is_503(make_app: Callable[..., Flask]) -> None:
    answer = with_key(make_app()).post("/api/jobs/ceo_brief/run")

    assert answer.status_code == 503
    assert "has not registered 'ceo_brief' yet" in answer.text


def test_more_than_ten_requests_a_minute_for_one_job_are_429(api: FlaskClient, stack: Stack, clock: FakeClock) -> None:
    """S31"""
    for _ in range(10):
        assert api.post("/api/jobs/self_heal/run").status_code == 202
        stack.finish(stack.start(), DONE)

    answer = api.post("/api/jobs/self_heal/run")
    other = api.post("/api/jobs/ceo_brief/run")
    clock.sleep(61)
    later = api.post("/api/jobs/self_heal/run")

    assert (answer.status_code, other.status_code, later.status_code) == (429, 202, 202)
    assert answer.headers["Retry-After"] == "60"


def test_requests_that_lie_in_the_future_of_a_clock_set_back_hold_nobody_back_S31_F35(
    api: FlaskClient, stack: Stack, clock: FakeClock
) -> None:
    for _ in range(10):
        api.post("/api/jobs/self_heal/run")
        stack.finish(stack.start(), DONE)

    clock.step(-3_600)
    codes = []
    for _ in range(11):
        codes.append(api.post("/api/jobs/self_heal/run").status_code)
        if codes[-1] == 202:
            stack.finish(stack.start(), DONE)

    assert codes == [202] * 10 + [429]


def test_a_request_wakes_the_scheduler(api: FlaskClient, home: Settings) -> None:
    ear = open_for_waiting(home.wake_path)

    api.post("/api/jobs/self_heal/run")

    assert os.read(ear, 10) == b"!"
    drain(ear)
    os.close(ear)


# -- healing, processes


def test_self_heal_abandons_what_a_dead_scheduler_left_and_retries_it(api: FlaskClient, stack: Stack) -> None:
    stack.ledger.request_run("ceo_brief", stack.clock.now())
    stack.start()

    answer = api.post("/api/self-heal")

    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["ok"] is True
    assert answer.json["retried_count"] == 1
    assert answer.json["worker_restart_suggested"] is False
    assert "run 1 of ceo_brief was abandoned" in answer.json["notes"][0]
    assert stack.ledger.run(1).state is State.ABANDONED


@pytest.mark.parametrize("state", ["FATAL", "BACKOFF", "EXITED"])
def test_self_heal_suggests_a_restart_when_a_program_is_down(api: FlaskClient, table: Table, state: str) -> None:
    table.programs_now = [table.program("scheduler", state), table.program("web")]

    answer = api.post("/api/self-heal")

    assert answer.json is not None
    assert answer.json["worker_restart_suggested"] is True
    assert f"scheduler is {state}" in answer.json["notes"][-1]


def test_self_heal_works_without_supervisord_and_says_so(api: FlaskClient, table: Table) -> None:
    table.programs_now = None

    answer = api.post("/api/self-heal")

    assert answer.json is not None
    assert answer.json["notes"] == ["supervisord did not answer, so the processes were not looked at"]


def test_the_scheduler_is_started_and_stopped_through_supervisord(api: FlaskClient, table: Table) -> None:
    start, stop = api.post("/api/automations/start"), api.post("/api/automations/stop")
    status = api.get("/api/automations/status")

    assert table.asked == [("start", "scheduler"), ("stop", "scheduler")]
    assert (start.status_code, stop.status_code) == (202, 202)
    assert status.json is not None
    assert status.json["running"] is True
    assert status.json["program"]["state"] == "RUNNING"


def test_an_order_to_a_scheduler_that_is_stopping_is_409_and_not_forgotten_in_silence(
    api: FlaskClient, table: Table
) -> None:
    table.programs_now = [table.program("scheduler", "STOPPING")]

    answer = api.post("/api/automations/start")

    assert answer.status_code == 409
    assert "still stopping; repeat this" in answer.text
    assert table.asked == []


def test_without_supervisord_the_status_is_still_answered_and_changes_are_503(api: FlaskClient, table: Table) -> None:
    table.programs_now = None

    status = api.get("/api/automations/status")

    assert status.json is not None
    assert (status.json["running"], status.json["program"]) == (True, None)
    assert "bin/stack" in status.json["supervisor_error"]
    assert api.post("/api/automations/stop").status_code == 503


def test_a_scheduler_whose_beat_is_stale_is_not_running(api: FlaskClient, clock: FakeClock) -> None:
    clock.sleep(16)

    answer = api.get("/api/automations/status")

    assert answer.json is not None
    assert answer.json["running"] is False


# -- reading


def test_jobs_come_with_their_next_slot_and_their_newest_run(api: FlaskClient, stack: Stack) -> None:
    stack.carry_out("ceo_brief", DONE)

    answer = api.get("/api/jobs")

    assert answer.json is not None
    jobs = {job["name"]: job for job in answer.json["jobs"]}
    assert list(jobs) == ["heartbeat", "ceo_brief", "daily_report", "self_heal"]
    assert jobs["ceo_brief"]["next"] == "2026-03-02T08:00:00Z"
    assert jobs["ceo_brief"]["last_run"]["state"] == "succeeded"
    assert jobs["heartbeat"]["last_run"] is None


def test_a_job_comes_with_its_runs(api: FlaskClient, stack: Stack) -> None:
    stack.carry_out("ceo_brief", DONE)
    stack.carry_out("self_heal", DONE)

    answer = api.get("/api/jobs/ceo_brief")

    assert answer.json is not None
    assert [run["id"] for run in answer.json["runs"]] == [1]


def test_runs_are_filtered_and_paged(api: FlaskClient, stack: Stack, clock: FakeClock) -> None:
    for number in range(7):
        stack.carry_out("self_heal", DONE if number % 2 else Outcome(State.FAILED, error="no"))
        clock.sleep(30)

    first = api.get("/api/runs?limit=3").json
    second = api.get(f"/api/runs?limit=3&before={first['next_before']}").json
    last = api.get(f"/api/runs?limit=3&before={second['next_before']}").json
    failed = api.get("/api/runs?job=self_heal&state=failed,timed_out").json

    assert [[run["id"] for run in page["runs"]] for page in (first, second, last)] == [[7, 6, 5], [4, 3, 2], [1]]
    assert last["next_before"] is None
    assert [run["id"] for run in failed["runs"]] == [7, 5, 3, 1]


def test_a_run_comes_with_its_moves_and_what_it_printed(api: FlaskClient, stack: Stack) -> None:
    printed = Output(head="one\n\x1b[31mtwo", tail="three", dropped_bytes=9)
    stack.carry_out("self_heal", Outcome(State.FAILED, error="no", output=printed))

    answer = api.get("/api/runs/1")

    assert answer.json is not None
    assert answer.json["output"] == {"head": "one\n\x1b[31mtwo", "tail": "three", "dropped_bytes": 9}
    assert [event["state"] for event in answer.json["events"]] == ["queued", "running", "failed"]


def test_a_result_with_nan_is_still_strict_json(api: FlaskClient, stack: Stack) -> None:
    stack.carry_out("self_heal", Outcome(State.SUCCEEDED, result={"share": float("nan"), "most": float("inf")}))

    text = api.get("/api/runs/1").text

    found = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert found["run"]["result"] == {"share": None, "most": None}


def test_the_summary_counts_the_day(api: FlaskClient, stack: Stack, clock: FakeClock) -> None:
    stack.carry_out("self_heal", DONE)
    stack.carry_out("self_heal", Outcome(State.FAILED, error="no"))
    stack.carry_out("ceo_brief", DONE)
    missed = stretch(SkipReason.EXPIRED, (Slot("ceo_brief", clock.now() - timedelta(hours=1)),))
    with stack.ledger.leading(stack.lease, clock.now()) as transaction:
        dispose(transaction, stack.registry["ceo_brief"], Plan(clock.now(), (), (missed,)))

    found = api.get("/api/metrics-summary").json

    assert found["today"]["succeeded"] == 2
    assert found["last_24h"]["total"] == 3
    assert found["success_rate_24h"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["skipped_24h"] == {"expired": 1}
    assert found["last_beat"] == "2026-03-02T07:59:30Z"
    assert found["jobs"]["self_heal"]["last_24h"]["failed"] == 1
    assert found["jobs"]["heartbeat"]["success_rate_24h"] is None


def test_the_summary_of_nothing_is_nothing(make_app: Callable[..., Flask]) -> None:
    found: Any = with_key(make_app()).get("/api/metrics-summary").json

    assert found["last_24h"]["total"] == 0
    assert found["success_rate_24h"] is None
    assert found["lateness_24h_ms"] == {"p50": None, "p99": None, "max": None}
    assert found["last_beat"] is None


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [
        ([], 0.5, None),
        ([7], 0.5, 7),
        ([7], 0.99, 7),
        ([1, 2, 3, 4], 0.5, 2),
        (list(range(1, 101)), 0.99, 99),
        ([1, 2], 0.99, 2),
    ],
)
def test_quantiles_are_values_that_occurred(values: list[int], share: float, wanted: int | None) -> None:
    from echopilot_jobs.web.figures import quantile

    assert quantile(values, share) == wanted


# -- a ledger that is away


GET_PATHS = [
    "/readyz",
    "/api/jobs",
    "/api/jobs/ceo_brief",
    "/api/runs",
    "/api/runs/1",
    "/api/metrics-summary",
    "/api/automations/status",
]


@pytest.mark.parametrize("path", GET_PATHS)
def test_without_a_ledger_the_answer_is_503_in_words(make_app: Callable[..., Flask], path: str) -> None:
    answer = with_key(make_app(ledger=None)).get(path)

    assert answer.status_code == 503
    assert "no ledger at 'ledger.sqlite3'" in answer.text


def test_a_ledger_that_was_there_before_is_not_said_to_wait_for_a_first_start_F18_I12(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    SqliteLedger(path).close()
    seen, later = LedgerFile(path), LedgerFile(path)  # the other one was started after it had gone
    seen.open()
    write_mark(path, Identity("one", 1, 1), datetime(2026, 3, 2, tzinfo=UTC))

    path.unlink()

    for file in (seen, later):
        with pytest.raises(
            LedgerUnavailable, match=r"no ledger at 'ledger.sqlite3'; it was there before; the scheduler"
        ):
            file.open()


def test_without_a_ledger_nothing_is_queued_and_nothing_is_created(
    make_app: Callable[..., Flask], home: Settings
) -> None:
    client = with_key(make_app(ledger=None))

    codes = [client.post(path).status_code for path in ("/api/jobs/ceo_brief/run", "/api/exec/brief", "/api/self-heal")]

    assert codes == [503] * 3
    assert not home.ledger_path.exists()


def test_a_ledger_that_appears_is_found_and_one_that_is_replaced_is_noticed(
    make_app: Callable[..., Flask], home: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    """F18"""
    client = with_key(make_app(ledger=None))
    assert client.get("/readyz").status_code == 503
    SqliteLedger(home.ledger_path).close()
    assert client.get("/readyz").status_code == 200

    aside = tmp_path / "aside.sqlite3"
    home.ledger_path.rename(aside)
    gone = client.get("/readyz")
    other = SqliteLedger(tmp_path / "other.sqlite3")
    other.take_lease("boot:9:9", "elsewhere", "rev", clock.now())
    other.checkpoint()
    other.close()
    for suffix in ("-wal", "-shm"):
        home.ledger_path.with_name(home.ledger_path.name + suffix).unlink(missing_ok=True)
    (tmp_path / "other.sqlite3").rename(home.ledger_path)

    assert gone.status_code == 503
    assert client.get("/api/automations/status").json["last_beat"] is not None


def test_a_damaged_ledger_is_said_to_be_damaged(make_app: Callable[..., Flask], home: Settings) -> None:
    """F21"""
    home.ledger_path.write_bytes(b"no database at all " * 600)

    answer = with_key(make_app(ledger=None)).get("/api/jobs")

    assert answer.status_code == 503
    assert "damaged" in answer.text


def test_livez_asks_nobody(make_app: Callable[..., Flask]) -> None:
    assert make_app(ledger=None).test_client().get("/livez").json == {"ok": True}


def test_a_ledger_that_cannot_be_written_refuses_the_request_in_words(
    make_app: Callable[..., Flask], stack: Stack, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F24: no 202 without a row."""

    def full(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the ledger cannot be written: database or disk is full; see `echopilot doctor`")

    monkeypatch.setattr(ledger, "request_run", full)

    answer = with_key(make_app()).post("/api/jobs/ceo_brief/run")

    assert answer.status_code == 503
    assert "disk is full" in answer.text
