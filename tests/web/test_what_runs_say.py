"""Progress, kept files and repeating a run: on pages and in the API."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from echopilot_jobs.runs import SKIPPED, Artefact, Origin, Outcome, Output, Progress, Run, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock

from .conftest import Browser, Stack, with_key


@pytest.fixture
def api(browser: Browser) -> FlaskClient:
    return with_key(browser.client.application)


def started(stack: Stack, clock: FakeClock, progress: Progress | None = None) -> Run:
    stack.ledger.request_run("ceo_brief", clock.now())
    run = stack.start()
    if progress is not None:
        with stack.ledger.leading(stack.lease, clock.now()) as leading:
            leading.note_progress({run.id: progress})
    return run


def test_how_far_a_run_is_stands_on_its_page_on_the_dashboard_and_in_the_api(
    browser: Browser, api: FlaskClient, stack: Stack, clock: FakeClock
) -> None:
    run = started(stack, clock, Progress(clock.now(), 40, 100, "<b>orders</b>"))

    board, page = browser.client.get("/"), browser.client.get(f"/runs/{run.id}")

    for answer in (board, page):
        assert "40 of 100 (40%), &lt;b&gt;orders&lt;/b&gt;" in answer.text
        assert '<progress class="far" value="0.4" max="1"' in answer.text
    said = api.get(f"/api/runs/{run.id}").json["progress"]
    assert (said["done"], said["total"], said["note"]) == (40, 100, "<b>orders</b>")


def test_a_running_run_shows_what_it_has_printed_so_far(
    browser: Browser, api: FlaskClient, stack: Stack, clock: FakeClock
) -> None:
    run = started(stack, clock)

    def shows(output: Output) -> str:
        with stack.ledger.leading(stack.lease, clock.now()) as leading:
            leading.note_outputs({run.id: output})
        return browser.client.get(f"/runs/{run.id}").text

    nothing = browser.client.get(f"/runs/{run.id}").text
    some, much = shows(Output("info: loaded <b>\n")), shows(Output("", "newest\n", 12_345))

    assert "Nothing printed yet." in nothing
    assert "Output so far" in some
    assert "info: loaded &lt;b&gt;" in some
    assert "12,345 bytes came before" in much
    assert ">newest</pre>" in much
    assert api.get(f"/api/runs/{run.id}").json["output"]["tail"] == "newest\n"


def test_progress_without_a_whole_has_words_and_no_share(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    run = started(stack, clock, Progress(clock.now(), 7))

    page = browser.client.get(f"/runs/{run.id}").text

    assert ">7 <" in page.replace("</progress> 7 <", "></progress>>7 <")
    assert 'class="far" ' in page
    assert "max=" not in page.split('class="far"')[1].split(">")[0]


def keep(stack: Stack, home: Settings, clock: FakeClock, name: str, content: bytes) -> Run:
    folder = home.logs_dir / "artefacts" / "ceo_brief" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    kept = Artefact(
        name, str((folder / name).relative_to(home.home)), len(content), hashlib.sha256(content).hexdigest()
    )
    return stack.finish(started(stack, clock), Outcome(State.SUCCEEDED, artefacts=(kept,)))


def test_a_kept_file_is_saved_and_never_shown_S12(
    browser: Browser, api: FlaskClient, stack: Stack, home: Settings, clock: FakeClock
) -> None:
    run = keep(stack, home, clock, "größe & co.html", b"<script>alert(1)</script>")

    page = browser.client.get(f"/runs/{run.id}").text
    answer = browser.client.get(f"/runs/{run.id}/files/größe & co.html")

    assert "Files it kept" in page
    assert "25 bytes" in page
    assert (answer.status_code, answer.data) == (200, b"<script>alert(1)</script>")
    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert [each["name"] for each in api.get(f"/api/runs/{run.id}").json["artefacts"]] == ["größe & co.html"]


@pytest.mark.parametrize("trick", ["gone", "link", "hard link", "fifo", "longer", "outside"])
def test_only_the_very_file_that_was_kept_is_given_S17(
    browser: Browser, stack: Stack, home: Settings, clock: FakeClock, tmp_path: Path, trick: str
) -> None:
    run = keep(stack, home, clock, "a.csv", b"1,2")
    path = home.logs_dir / "artefacts" / "ceo_brief" / "1" / "a.csv"
    secret = tmp_path / "key"
    secret.write_bytes(b"key")
    path.unlink()
    if trick == "link":
        path.symlink_to(secret)
    elif trick == "hard link":
        os.link(secret, path)
    elif trick == "fifo":
        os.mkfifo(path)
    elif trick == "longer":
        path.write_bytes(b"1,2,3")
    elif trick == "outside":
        path.parent.rmdir()
        path.parent.symlink_to(tmp_path)
        (tmp_path / "a.csv").write_bytes(b"key")

    answer = browser.client.get(f"/runs/{run.id}/files/a.csv")

    assert answer.status_code == 404
    assert b"key" not in answer.data


@pytest.mark.parametrize("name", ["b.csv", "..", "../a.csv", "%2e%2e%2fa.csv", "a.csv%00", "a.csv/"])
def test_names_lead_to_rows_and_to_nothing_else_S17(
    browser: Browser, stack: Stack, home: Settings, clock: FakeClock, name: str
) -> None:
    run = keep(stack, home, clock, "a.csv", b"1,2")

    assert browser.client.get(f"/runs/{run.id}/files/{name}").status_code == 404


# -- once more


def test_a_run_that_ended_badly_is_repeated_with_its_slot_and_parameters_I24(
    api: FlaskClient, stack: Stack, clock: FakeClock
) -> None:
    stack.ledger.request_run("daily_report", clock.now(), params={"date": "2026-03-01"})
    failed = stack.finish(stack.start(), Outcome(State.FAILED, "no disk"))
    clock.sleep(5)

    first, again = api.post(f"/api/runs/{failed.id}/retry"), api.post(f"/api/runs/{failed.id}/retry")

    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json["run"]["id"] == again.json["run"]["id"]
    repeated = stack.ledger.run(first.json["run"]["id"])
    assert (repeated.origin, repeated.params, repeated.slot) == (Origin.RETRY, {"date": "2026-03-01"}, failed.slot)
    assert first.json["location"].endswith(f"/api/runs/{repeated.id}")


def test_of_a_run_that_skipped_itself_no_page_says_that_it_was_cancelled(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    run = stack.finish(started(stack, clock), Outcome(State.CANCELLED, error=f"{SKIPPED}no orders today"))

    shown, listed = browser.client.get(f"/runs/{run.id}").text, browser.client.get("/runs").text

    assert re.search(r"<h1[^>]*>Run \d+ of .*skipped itself", shown)
    assert "skipped itself</span>" in listed
    assert ">cancelled</span>" not in listed + shown


def test_what_is_open_or_went_well_is_not_repeated_by_mistake(api: FlaskClient, stack: Stack, clock: FakeClock) -> None:
    running = started(stack, clock)
    still = api.post(f"/api/runs/{running.id}/retry")
    stack.finish(running, Outcome(State.SUCCEEDED))
    well = api.post(f"/api/runs/{running.id}/retry")
    forced = api.post(f"/api/runs/{running.id}/retry", json={"force": True})

    assert (still.status_code, well.status_code, forced.status_code) == (409, 409, 202)
    assert "wait for its end" in still.json["error"] or "wait until it has ended" in still.json["error"]
    assert well.json["error"] == f'run {running.id} succeeded; to do it all again, send {{"force": true}}'


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/runs/99/retry", None, 404),
        ("/api/runs/x/retry", None, 404),
        ("/api/runs/1/retry", {"force": "yes"}, 400),
        ("/api/runs/1/retry", {"why": "no"}, 400),
    ],
)
def test_what_asks_for_no_repetition_is_refused(
    api: FlaskClient, stack: Stack, clock: FakeClock, path: str, body: object, status: int
) -> None:
    stack.carry_out("ceo_brief", Outcome(State.FAILED, "x"))

    answer = api.post(path, json=body) if body else api.post(path)

    assert answer.status_code == status
    assert len(stack.ledger.runs()) == 1


def test_a_minute_later_it_may_be_repeated_by_hand_after_healing_did_and_is_the_same_run(
    api: FlaskClient, stack: Stack, clock: FakeClock
) -> None:
    failed = stack.carry_out("ceo_brief", Outcome(State.FAILED, "x"))
    clock.sleep(60)
    healed = api.post("/api/self-heal").json["retried_count"]

    answer = api.post(f"/api/runs/{failed.id}/retry")

    assert healed == 1
    assert answer.status_code == 200
    assert len(stack.ledger.runs()) == 2
    assert timedelta(0) <= clock.now() - stack.ledger.run(2).claimed_at
