"""A refused jobs file is seen on every page, in the API and in health; runs by hand get the parameters they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from echopilot_jobs import definitions
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock

from .conftest import SAME_ORIGIN, Browser, Stack, with_key

GOOD = """[jobs.export]
every = "3600s"
command = ["sh", "-c", "true"]
[jobs.export.params]
day = { type = "date", required = true, description = "the day to export" }
full = { type = "boolean", default = false }
kind = { choices = ["csv", "json"], default = "csv" }
times = { type = "integer" }
note = {}
[jobs.off]
every = "3600s"
command = ["sh", "-c", "true"]
enabled = false
"""
BAD = f"""{GOOD}
[jobs.other]
every = "3600s"
run = "no<b>where:f"
[jobs.evil]
every = "<script>alert(1)</script>"
command = ["true"]
"""


class File:
    """The jobs file of the application's folder, judged as a scheduler would."""

    def __init__(self, home: Settings, clock: FakeClock) -> None:
        self.home, self.clock = home, clock

    def save(self, text: str) -> None:
        (self.home.home / "jobs.toml").write_text(text)
        definitions.keep(self.home, definitions.check(self.home), self.clock.now())


@pytest.fixture
def file(home: Settings, clock: FakeClock) -> File:
    return File(home, clock)


@pytest.fixture
def refused(file: File, app: Flask) -> Flask:
    """An application beside a jobs file that is not in force, over one that is."""
    file.save(GOOD)
    file.save(BAD)
    return app


@pytest.fixture
def app_with_jobs(file: File, home: Settings, ledger: SqliteLedger, clock: FakeClock, app: Flask) -> Flask:
    """An application whose scheduler knows the jobs of the file."""
    file.save(GOOD)
    made = Stack(home, ledger, clock)
    made.registry = definitions.in_force(home).registry
    made.lead()
    return app


def test_every_page_says_once_that_a_file_is_refused_with_each_mistake_on_a_line_and_none_of_it_markup_I28_S13(
    refused: Flask,
) -> None:
    browser = Browser(refused)

    for path in ("/", "/live", "/runs"):
        page = browser.client.get(path).text
        assert page.lower().count("jobs.toml is refused: 2 mistakes; the last good set stays in force") == 1
        assert page.count("jobs.toml:19:1") == 1
        assert "<code>jobs.toml:19:1</code> job &#39;evil&#39;: every" in page
        assert "<script>alert" not in page


def test_a_stranger_sees_nothing_of_the_file(refused: Flask) -> None:
    assert "jobs.toml" not in refused.test_client().get("/", headers={"Accept": "text/html"}).text
    assert refused.test_client().get("/api/definitions").status_code == 401


def test_health_is_red_while_the_file_is_not_in_force_I26(refused: Flask, file: File, clock: FakeClock) -> None:
    red = with_key(refused).get("/health")
    file.save(GOOD)
    clock.sleep(2)
    green = with_key(refused).get("/health")

    assert (red.status_code, red.json["checks"]["jobs_file"]) == (503, "refused")
    said = red.json["details"]["jobs_file"]
    assert said["what"] == "jobs.toml is refused: 2 mistakes; the last good set stays in force"
    assert said["mistakes"][0].startswith("jobs.toml:17:1: job 'other': run")
    assert green.json["checks"]["jobs_file"] == "ok"


def test_the_api_names_every_problem_with_its_place_I28(refused: Flask, clock: FakeClock) -> None:
    jobs, found = with_key(refused).get("/api/jobs").json, with_key(refused).get("/api/definitions").json

    assert jobs["jobs_file"] == found["jobs_file"]
    assert found["jobs_file"]["ok"] is False
    assert [(each["job"], each["field"], each["line"]) for each in found["jobs_file"]["problems"]] == [
        ("other", "run", 17),
        ("evil", "every", 19),
    ]
    assert found["jobs_file"]["accepted_at"] == found["jobs_file"]["refused_at"] == "2026-03-02T07:59:30Z"
    assert {"export", "off", "heartbeat"} <= {each["name"] for each in found["definitions"]}


def test_a_saved_set_is_on_the_pages_without_a_restart(app: Flask, file: File) -> None:
    before = with_key(app).get("/api/jobs").json["jobs"]
    file.save(GOOD)
    after = with_key(app).get("/api/jobs").json["jobs"]

    assert {job["name"] for job in after} - {job["name"] for job in before} == {"export", "off"}


def test_a_disabled_job_is_not_counted_among_those_on_schedule(
    app_with_jobs: Flask, ledger: SqliteLedger, clock: FakeClock
) -> None:
    run, _ = ledger.request_run("heartbeat", clock.now())
    ledger.cancel(run.id, clock.now(), "somebody")

    page = Browser(app_with_jobs).client.get("/").text

    assert "All well: 5 jobs on schedule" in page


# -- parameters of runs by hand


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "parameter 'day' of 'export' is required; wanted: a date YYYY-MM-DD, for example 2026-03-01"),
        ({"day": "2026-02-30"}, "parameter 'day' of 'export': came '2026-02-30'; wanted: a date"),
        ({"day": "2026-03-01", "times": 1.5}, "parameter 'times' of 'export': came '1.5'; wanted: a whole number"),
        (
            {"day": "2026-03-01", "times": "9" * 27},
            "wanted: a whole number from -9,007,199,254,740,992 to 9,007,199,254,740,992, written without commas",
        ),
        ({"day": "2026-03-01", "kind": "xml"}, "parameter 'kind' of 'export': came 'xml'; wanted: one of csv, json"),
        ({"day": "2026-03-01", "dya": 1}, "'export' has no parameter 'dya'; did you mean 'day'?"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_with_every_mistake_and_nothing_is_queued(
    app_with_jobs: Flask, ledger: SqliteLedger, given: dict[str, Any], said: str
) -> None:
    answer = with_key(app_with_jobs).post("/api/jobs/export/run", json={"params": given})

    assert answer.status_code == 422
    assert said in answer.json["error"]
    assert ledger.runs(job_name="export") == []


def test_parameters_are_kept_as_they_were_given_so_that_defaults_come_with_the_run(
    app_with_jobs: Flask, ledger: SqliteLedger
) -> None:
    note = "café 👩‍🚀 \u2028 [[[[ {{7*7}} \x1b"
    params = {"day": "2026-03-01", "times": "3", "full": True, "note": note}

    answer = with_key(app_with_jobs).post("/api/jobs/export/run", json={"params": params})

    (run,) = ledger.runs(job_name="export")
    assert answer.status_code == 202
    assert run.params == {"day": "2026-03-01", "times": 3, "full": True, "note": note}


def test_a_disabled_job_is_not_run_by_hand(app_with_jobs: Flask, ledger: SqliteLedger) -> None:
    answer = with_key(app_with_jobs).post("/api/jobs/off/run")

    assert answer.status_code == 409
    assert answer.json["error"].startswith("'off' is disabled")
    assert ledger.runs(job_name="off") == []


def test_a_run_of_a_disabled_job_is_not_repeated_by_hand(
    app_with_jobs: Flask, ledger: SqliteLedger, clock: FakeClock
) -> None:
    run, _ = ledger.request_run("off", clock.now())
    ledger.cancel(run.id, clock.now(), "test")

    answer = with_key(app_with_jobs).post(f"/api/runs/{run.id}/retry")

    assert answer.status_code == 409
    assert answer.json["error"].startswith("'off' is disabled")
    assert len(ledger.runs(job_name="off")) == 1


def test_the_dashboard_asks_for_parameters_where_a_job_has_any(app_with_jobs: Flask) -> None:
    browser = Browser(app_with_jobs)

    board, form = browser.client.get("/").text, browser.client.get("/jobs/export/run").text

    assert 'href="/jobs/export/run"' in board
    assert 'id="run-ceo_brief"' in board
    assert 'id="run-off"' not in board
    assert 'name="p.day" type="date" value="" required' in form
    assert '<option value="csv">csv</option>' in form
    assert "the day to export: a date YYYY-MM-DD" in form
    assert "empty means csv" not in form
    assert '<option value="">csv (default)</option>' in form
    assert "style=" not in form


def test_a_form_with_mistakes_comes_back_with_them_and_what_was_typed(
    app_with_jobs: Flask, ledger: SqliteLedger
) -> None:
    browser = Browser(app_with_jobs)

    def send(**fields: str) -> Any:
        data = {"form_token": browser.token, **{f"p.{name}": value for name, value in fields.items()}}
        return browser.client.post("/jobs/export/run", data=data, headers=SAME_ORIGIN)

    wrong = send(day="", times="many", kind="json")
    right = send(day="2026-03-01", times="", kind="json", full="true")

    assert wrong.status_code == 422
    assert "parameter &#39;day&#39; of &#39;export&#39; is required" in wrong.text
    assert 'value="many"' in wrong.text
    assert '<option value="json" selected>' in wrong.text
    assert right.status_code == 303
    (run,) = ledger.runs(job_name="export")
    assert run.params == {"day": "2026-03-01", "kind": "json", "full": True}


def test_jobs_that_a_host_application_gives_have_no_file(make_app: Callable[..., Flask], stack: Stack) -> None:
    client: FlaskClient = with_key(make_app(registry=stack.registry))

    assert client.get("/api/jobs").json["jobs_file"] == {
        "ok": True,
        "problems": [],
        "warnings": [],
        "accepted_at": None,
        "refused_at": None,
    }
