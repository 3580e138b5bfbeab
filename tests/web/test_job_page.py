"""The page of a job and the buttons that hold, end and repeat: what a person does without the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from echopilot_jobs.cli.rows import job_row
from echopilot_jobs.jobs import Command, Job, Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.planner import Plan
from echopilot_jobs.runs import Outcome, Run, State
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Cron, Every, OnRequest, Until
from echopilot_jobs.web.defined import definition_words
from tests.schedulekit import claim, dispose, stretch

from .conftest import SAME_ORIGIN, Browser, Stack, Table, with_key
from .test_pages import HTMX, NASTY, Seen, seen

FAILED = Outcome(State.FAILED, error="no answer")


def send(browser: Browser, path: str, **fields: str) -> Any:
    """Send a form of ours."""
    return browser.client.post(path, data={"form_token": browser.token, **fields}, headers=SAME_ORIGIN)


# -- the page


def test_a_job_has_a_page_with_its_definition_its_next_moments_its_runs_and_what_did_not_run(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    stack.carry_out("ceo_brief", FAILED)
    yesterday = Slot("ceo_brief", clock.now() - timedelta(days=1))
    with stack.ledger.leading(stack.lease, clock.now()) as leading:
        made = Plan(clock.now(), (), (stretch(SkipReason.EXPIRED, (yesterday,)),))
        dispose(leading, stack.registry["ceo_brief"], made)

    page = browser.client.get("/jobs/ceo_brief").text
    text = seen(page)

    assert "'ceo_brief' failed: no answer" in text
    assert "<dt>When</dt><dd>daily at 08:00 UTC</dd>" in page
    assert "the newest one runs, up to 12 h late" in text
    assert [f"{day} Mar 08:00:00" in text for day in (3, 4, 5, 6, 7)] == [True, True, True, True, False]
    assert "08:00:00, in 30 s" in text
    assert "1 slot ceo_brief missed, and not caught up 1 Mar 07:59:30" in text


def test_what_was_passed_over_for_an_edit_or_a_removal_is_told_as_either(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    yesterday = Slot("ceo_brief", clock.now() - timedelta(days=1))
    stack.lead()
    with stack.ledger.leading(stack.lease, clock.now()) as leading:
        made = Plan(clock.now(), (), (stretch(SkipReason.SUPERSEDED, (yesterday,)),))
        dispose(leading, stack.registry["ceo_brief"], made)

    text = seen(browser.client.get("/jobs/ceo_brief").text)

    assert "1 slot ceo_brief its times were changed, or the job was removed, first 1 Mar 07:59:30" in text


def test_a_cron_rule_is_told_in_words_too_also_one_with_an_end(clock: FakeClock) -> None:
    rule = Cron("15 2 * * 1-5", "Europe/Riga")
    for trigger in (rule, Until(rule, clock.now())):
        words = dict(definition_words(Job("export", trigger, Command(("true",))), {}))

        assert words["When"].startswith("cron '15 2 * * 1-5' Europe/Riga")
        assert words["In words"] == "At 02:15 on Monday through Friday (Europe/Riga)"


@pytest.mark.parametrize("path", ["/", "/jobs/ceo_brief", "/runs"])
def test_what_a_person_cancelled_is_not_shown_as_an_error(
    browser: Browser, stack: Stack, clock: FakeClock, path: str
) -> None:
    run, _ = stack.ledger.request_run("ceo_brief", clock.now())
    stack.ledger.cancel(run.id, clock.now(), "cli:root")
    stack.carry_out("self_heal" if path != "/jobs/ceo_brief" else "ceo_brief", FAILED)

    page = browser.client.get(path).text

    assert '<tr class="error error--dull"><td></td><td colspan="4">cancelled by cli:root</td>' in page
    assert '<tr class="error"><td></td><td colspan="4">no answer</td>' in page
    assert "output--dull" in browser.client.get(f"/runs/{run.id}").text


def test_a_long_queue_is_told_whole_though_only_its_newest_part_is_listed(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    slots = [Slot("heartbeat", clock.now() - timedelta(minutes=n)) for n in range(1, 26)]
    for count in (20, 25):
        while stack.ledger.count_queued() < count:
            slot = slots.pop()
            with stack.ledger.leading(stack.lease, clock.now()) as leading:
                dispose(leading, stack.registry["heartbeat"], Plan(slot.due_at, (claim(slot),)))
        page = browser.client.get("/jobs/heartbeat").text

        assert ("25 runs of it are queued in all; these are the newest." in seen(page)) is (count == 25)
        assert page.count('class="going"') == 20 + (count == 25)

    assert "25 runs are queued in all." in seen(browser.client.get("/runs").text)
    assert "25 runs of it are queued in all." in seen(browser.client.get("/runs?job=heartbeat&state=queued").text)
    assert "queued in all" not in seen(browser.client.get("/runs?job=ceo_brief").text)


def test_a_failing_job_s_page_leads_to_the_failed_run_and_says_what_comes(browser: Browser, stack: Stack) -> None:
    run = stack.carry_out("ceo_brief", FAILED)

    banner = browser.client.get("/jobs/ceo_brief").text.split("By hand")[0]

    assert f'<a href="/runs/{run.id}">Open run {run.id}</a>' in banner
    assert f'action="/runs/{run.id}/retry"' in banner
    assert "Do: next try at 08:00:00 UTC; read the run" in seen(banner)


def test_a_failing_job_that_is_tried_again_already_names_the_run_that_does_so(browser: Browser, stack: Stack) -> None:
    stack.carry_out("ceo_brief", FAILED)
    again, _ = stack.ledger.request_run("ceo_brief", stack.clock.now())
    waits = seen(browser.client.get("/jobs/ceo_brief").text)
    stack.start()
    runs = seen(browser.client.get("/jobs/ceo_brief").text)

    assert f"Do: run {again.id} waits to try it again; read the run" in waits
    assert f"Do: run {again.id} tries it now; read the run" in runs


def test_a_job_page_promises_no_run_while_no_scheduler_leads(
    browser: Browser, stack: Stack, table: Table, clock: FakeClock
) -> None:
    stack.carry_out("ceo_brief", Outcome(State.SUCCEEDED))
    waiting, _ = stack.ledger.request_run("ceo_brief", clock.now())
    green = browser.client.get("/jobs/ceo_brief").text
    stack.ledger.end_stint(stack.lease, "stopped", clock.now())
    table.programs_now = [table.program("scheduler", "STOPPED"), table.program("web")]
    clock.sleep(2)

    page = browser.client.get("/jobs/ceo_brief").text
    text = seen(page)

    assert "verdict--good" in green
    assert "Next run at 08:00:00, in 30 s" in seen(green)
    assert "Nothing starts until" not in green
    assert "verdict--bad" in page
    assert text.index("no scheduler leads, so nothing starts") < text.index("Its next slot comes due at 08:00:00")
    assert "Do: supervisorctl start scheduler" in text
    assert "Next run" not in text
    assert "What comes Nothing starts until a scheduler leads." in text
    assert f"Run {waiting.id} …queued" in text


def test_a_queued_run_on_its_job_s_page_says_what_it_waits_for(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    for _ in range(2):
        stack.ledger.request_run("ceo_brief", clock.now())
        if stack.ledger.count_queued() and not stack.ledger.runs(states=frozenset({State.RUNNING}), limit=1):
            stack.start()
    stack.beat()

    text = seen(browser.client.get("/jobs/ceo_brief").text)

    assert "; it waits for a run of its own job to end (run 1 of ceo_brief)" in text


@pytest.mark.parametrize(("on_startup", "words"), [(True, "at start-up and by hand"), (False, "only by hand")])
def test_page_and_command_line_say_alike_when_a_job_without_a_schedule_runs(
    make_app: Callable[..., Flask], stack: Stack, clock: FakeClock, on_startup: bool, words: str
) -> None:
    warm = Job("warm", OnRequest(), Command(("true",)), on_startup=on_startup)
    with stack.ledger.leading(stack.lease, clock.now()) as leading:
        leading.standings([warm])
    browser = Browser(make_app(registry=Registry([warm])))

    board, page = (seen(browser.client.get(path).text) for path in ("/", "/jobs/warm"))

    assert job_row(warm, None, None, clock.now())[2] == words
    assert words in board
    assert f"Runs {words}" in page
    assert f"It has no schedule: it runs {words}." in page


def test_a_run_that_was_cancelled_mends_no_bad_row(browser: Browser, stack: Stack) -> None:
    for outcome in (FAILED, Outcome(State.CANCELLED, error="cancelled by the next slot"), FAILED):
        stack.carry_out("ceo_brief", outcome)
    twice = seen(browser.client.get("/jobs/ceo_brief").text)
    stack.carry_out("ceo_brief", Outcome(State.CANCELLED, error="cancelled by cli:ann"))
    still = seen(browser.client.get("/").text)
    stack.carry_out("ceo_brief", Outcome(State.SUCCEEDED))

    assert "'ceo_brief' ended badly 2 times in a row: no answer" in twice
    assert "'ceo_brief' ended badly 2 times in a row: no answer" in still
    assert "ended badly" not in seen(browser.client.get("/").text)


def test_a_job_that_its_own_slots_never_let_finish_is_said_to_get_nothing_done(
    make_app: Callable[..., Flask], stack: Stack
) -> None:
    hurried = Job("hurried", Every(timedelta(minutes=1)), Command(("true",)), overlap="cancel_previous")
    with stack.ledger.leading(stack.lease, stack.clock.now()) as leading:
        leading.standings([hurried])
    browser = Browser(make_app(registry=Registry([hurried])))
    for _ in range(4):
        stack.carry_out("hurried", Outcome(State.CANCELLED, error="cancelled by the next slot"))
    before = seen(browser.client.get("/").text)
    stack.carry_out("hurried", Outcome(State.CANCELLED, error="gave way to the next slot"))
    said = "'hurried' never gets done: its last 5 runs were each ended by the next slot"
    pages = [seen(browser.client.get(path).text) for path in ("/", "/jobs/hurried")]
    stack.carry_out("hurried", Outcome(State.SUCCEEDED))

    assert "never gets done" not in before
    assert all(said in page for page in pages)
    assert all("Do: give it more time between its slots, or another overlap" in page for page in pages)
    assert "never gets done" not in seen(browser.client.get("/").text)


def test_the_next_try_of_a_failing_job_that_is_paused_comes_after_its_pause(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    stack.carry_out("ceo_brief", FAILED)
    stack.ledger.pause("ceo_brief", clock.now(), clock.now() + timedelta(days=1, seconds=30), "cli:ann", "")
    bounded = [seen(browser.client.get(path).text) for path in ("/", "/jobs/ceo_brief")]
    stack.ledger.resume("ceo_brief", clock.now(), "cli:ann")
    stack.ledger.pause("ceo_brief", clock.now(), None, "cli:ann", "")
    unbounded = [seen(browser.client.get(path).text) for path in ("/", "/jobs/ceo_brief")]

    assert all("next try at 3 Mar 08:00:00 UTC" in page for page in bounded)
    assert "ceo_brief is paused by cli:ann, until 3 Mar 08:00:00" in bounded[0]
    assert all("no more tries until somebody resumes it; read the run" in page for page in unbounded)


def test_a_job_that_has_not_run_has_words_for_everything(browser: Browser) -> None:
    text = seen(browser.client.get("/jobs/daily_report").text)

    assert "Next run at 09:00:00, in 1 h" in text
    assert "It has not run yet." in text
    assert "None that is known." in text


def test_only_a_job_that_has_run_is_told_to_be_well(browser: Browser, stack: Stack) -> None:
    before = browser.client.get("/jobs/ceo_brief").text
    stack.carry_out("ceo_brief", Outcome(State.SUCCEEDED))

    assert "verdict--plain" in before
    assert "verdict--good" in browser.client.get("/jobs/ceo_brief").text


def test_every_name_of_a_job_leads_to_its_page(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    run = stack.carry_out("ceo_brief", FAILED)
    with stack.ledger.leading(stack.lease, clock.now()) as leading:
        slot = Slot("ceo_brief", clock.now() - timedelta(hours=1))
        made = Plan(clock.now(), (), (stretch(SkipReason.OVERLAP, (slot,)),))
        dispose(leading, stack.registry["ceo_brief"], made)

    for path, least in {
        "/": 4,
        "/runs": 1,
        "/runs?job=ceo_brief": 2,
        f"/runs/{run.id}": 2,
        "/jobs/ceo_brief/run": 1,
    }.items():
        assert browser.client.get(path).text.count('href="/jobs/ceo_brief">ceo_brief</a>') >= least, path


def test_an_unknown_job_is_a_404_that_leads_to_those_that_may_be_meant(app: Flask, browser: Browser) -> None:
    near, far = browser.client.get("/jobs/ceo_breif"), browser.client.get("/jobs/zzz")

    assert (near.status_code, far.status_code) == (404, 404)
    assert "did you mean &#39;ceo_brief&#39;?" in near.text
    assert 'Perhaps you meant <a class="jobname" href="/jobs/ceo_brief">ceo_brief</a>' in near.text
    assert "Perhaps" not in far.text
    assert "known: ceo_brief, daily_report, heartbeat, self_heal" in far.text
    assert with_key(app).get("/api/jobs/ceo_breif").json["error"].startswith("no job named 'ceo_breif'")


def test_a_job_that_is_no_longer_defined_keeps_a_page_with_its_past(
    make_app: Callable[..., Flask], stack: Stack
) -> None:
    stack.carry_out("ceo_brief", FAILED)
    registry = Registry([job for job in stack.registry.values() if job.name != "ceo_brief"])

    answer = Browser(make_app(registry=registry)).client.get("/jobs/ceo_brief")

    assert answer.status_code == 200
    assert "No longer defined" in seen(answer.text)
    assert 'href="/runs/1"' in answer.text
    assert 'name="note"' not in answer.text


def test_a_disabled_job_can_be_held_but_not_run(make_app: Callable[..., Flask], stack: Stack) -> None:
    registry = Registry([replace(job, enabled=False) for job in stack.registry.values()])

    page = Browser(make_app(registry=registry)).client.get("/jobs/ceo_brief").text

    assert "Disabled by its definition: <code>enabled = false</code>" in page
    assert "Nothing while it is disabled." in page
    assert "/jobs/ceo_brief/run" not in page


@pytest.mark.parametrize("text", NASTY)
def test_other_peoples_text_on_a_job_s_page_never_becomes_markup_S13(
    browser: Browser, stack: Stack, clock: FakeClock, text: str
) -> None:
    stack.carry_out("ceo_brief", Outcome(State.FAILED, error=text))
    stack.ledger.pause("ceo_brief", clock.now(), None, text, text)

    page = Seen(browser.client.get("/jobs/ceo_brief").text)

    assert text in page.text
    assert not [tag for tag, facts in page.tags if any(name.startswith("on") or name == "style" for name in facts)]
    assert not [
        tag for tag, facts in page.tags if tag == "script" and not (facts.get("src") or "").startswith("/static/")
    ]


def test_a_definition_is_told_in_words_without_values_of_its_environment() -> None:
    job = Job(
        "export",
        Every(timedelta(hours=6)),
        Command(("bin/export", "--day", "a b")),
        retries=3,
        retry_on=("timed_out", "exit 75"),
        overlap="allow",
        max_instances=3,
        group="heavy",
        env={"TOKEN": "half-a-secret ${REST}"},
        jitter=timedelta(minutes=5),
        ping="https://hc.example/secret",
        on_startup=True,
    )

    words = dict(definition_words(job, {"heavy": 2}))

    assert words["When"] == "every 6 h, each up to 5 min later; also whenever the scheduler starts"
    assert words["Does"] == "command `bin/export --day 'a b'`"
    assert words["Retries"] == "up to 3 more attempts, only after timed_out, exit 75"
    assert words["Overlap"] == "up to 3 runs at a time"
    assert words["Group"] == "heavy, at most 2 runs at a time"
    assert words["Environment"] == "TOKEN"
    assert "secret" not in "".join(words.values())
    assert "Missed slots" not in dict(definition_words(replace(job, trigger=OnRequest(), jitter=timedelta(0)), {}))


# -- holding and letting go


def test_a_job_is_paused_with_a_length_and_a_note_and_resumed_and_the_log_says_who(
    browser: Browser, stack: Stack, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    held = send(browser, "/jobs/ceo_brief/pause", **{"for": "2h", "note": "moving house"})
    page = seen(browser.client.get(held.headers["Location"]).text)
    (pause,) = stack.ledger.pauses(clock.now(), "ceo_brief")
    freed = send(browser, "/jobs/ceo_brief/resume")

    assert (held.status_code, held.headers["Location"]) == (303, "/jobs/ceo_brief")
    assert pause.until == clock.now() + timedelta(hours=2)
    assert (pause.note, pause.actor.startswith("session ")) == ("moving house", True)
    assert "saying 'moving house'" in page
    assert "08:00:00, in 30 s; paused: it will pass unrun" in page
    assert (freed.status_code, freed.headers["Location"]) == (303, "/jobs/ceo_brief")
    assert stack.ledger.pauses(clock.now(), "ceo_brief") == []
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    acts = [(line["event"], line["job"], line["actor"]) for line in said if line["event"].startswith("web.job_")]
    assert acts == [("web.job_paused", "ceo_brief", pause.actor), ("web.job_resumed", "ceo_brief", pause.actor)]


def test_a_pause_needs_neither_length_nor_note(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    send(browser, "/jobs/ceo_brief/pause", **{"for": " ", "note": ""})

    (pause,) = stack.ledger.pauses(clock.now(), "ceo_brief")
    assert (pause.until, pause.note) == (None, "")


def test_a_pause_that_cannot_be_meant_comes_back_with_what_was_typed(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    wrong = send(browser, "/jobs/ceo_brief/pause", **{"for": "soon", "note": "for <b>us</b>"})
    long = send(browser, "/jobs/ceo_brief/pause", note="x" * 501)

    assert (wrong.status_code, long.status_code) == (400, 400)
    assert "<li>For how long: came &#39;soon&#39;; wanted: a length such as" in wrong.text
    assert "<li>Why of 501 characters; wanted: at most 500" in long.text
    assert 'value="soon"' in wrong.text
    assert 'value="for &lt;b&gt;us&lt;/b&gt;"' in wrong.text
    assert stack.ledger.pauses(clock.now(), "ceo_brief") == []


def test_what_is_paused_is_not_paused_again_and_what_goes_on_not_resumed(browser: Browser) -> None:
    send(browser, "/jobs/ceo_brief/pause")

    assert send(browser, "/jobs/ceo_brief/pause").status_code == 409
    assert send(browser, "/jobs/daily_report/resume").status_code == 409


def test_the_dashboard_lets_a_paused_job_go_on(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    stack.ledger.pause("ceo_brief", clock.now(), None, "cli:ann", "")

    board = browser.client.get("/").text
    answer = browser.post("/jobs/ceo_brief/resume", **HTMX)

    assert 'id="resume-ceo_brief"' in board
    assert "ceo_brief goes on" in seen(answer.text)
    assert stack.ledger.pauses(clock.now(), "ceo_brief") == []


# -- ending and repeating


def going(stack: Stack) -> Run:
    """A run that is out."""
    stack.ledger.request_run("ceo_brief", stack.clock.now())
    return stack.start()


def test_a_running_run_is_asked_to_stop_from_its_page_and_from_the_job_s(browser: Browser, stack: Stack) -> None:
    run = going(stack)

    pages = [browser.client.get(path).text for path in (f"/runs/{run.id}", "/jobs/ceo_brief")]
    answer = send(browser, f"/runs/{run.id}/cancel")
    after = [browser.client.get(path).text for path in (f"/runs/{run.id}", "/jobs/ceo_brief")]

    assert all(f'action="/runs/{run.id}/cancel"' in page for page in pages)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/runs/{run.id}")
    assert stack.ledger.run(run.id).cancel_wanted is not None
    assert all("running, asked to stop" in seen(page) for page in after)
    assert not [page for page in after if f'action="/runs/{run.id}/cancel"' in page]


def test_an_ended_run_is_left_alone_with_a_word(browser: Browser, stack: Stack) -> None:
    stack.carry_out("ceo_brief", FAILED)

    answer = send(browser, "/runs/1/cancel")

    assert answer.status_code == 409
    assert "run 1" in seen(answer.text)
    assert send(browser, "/runs/99/cancel").status_code == 404


def test_a_failed_run_is_repeated_once_and_both_runs_lead_to_each_other(browser: Browser, stack: Stack) -> None:
    stack.carry_out("ceo_brief", FAILED)

    page = browser.client.get("/runs/1").text
    first, again = send(browser, "/runs/1/retry"), send(browser, "/runs/1/retry")
    old, new = browser.client.get("/runs/1").text, browser.client.get("/runs/2").text

    assert 'action="/runs/1/retry"' in page
    assert [answer.headers["Location"] for answer in (first, again)] == ["/runs/2", "/runs/2"]
    assert len(stack.ledger.runs(job_name="ceo_brief")) == 2
    assert 'action="/runs/1/retry"' not in old
    assert "Repeated by run 2, queued." in seen(old)
    assert "It repeats run 1." in seen(new)


def test_the_dashboard_offers_to_repeat_what_failed(browser: Browser, stack: Stack) -> None:
    stack.carry_out("ceo_brief", FAILED)

    board = browser.client.get("/").text
    answer = browser.post("/runs/1/retry", **HTMX)

    assert 'id="retry-1"' in board
    assert "run 2 repeats run 1" in seen(answer.text)


def test_a_run_that_succeeded_is_not_repeated_by_a_button(browser: Browser, stack: Stack) -> None:
    stack.carry_out("ceo_brief", Outcome(State.SUCCEEDED))

    assert 'action="/runs/1/retry"' not in browser.client.get("/runs/1").text
    assert send(browser, "/runs/1/retry").status_code == 409


def test_repeating_counts_among_the_ten_runs_a_minute_S31(browser: Browser, stack: Stack) -> None:
    newest = stack.carry_out("ceo_brief", FAILED)
    statuses = []
    for _ in range(12):
        answer = send(browser, f"/runs/{newest.id}/retry")
        statuses.append(answer.status_code)
        if answer.status_code == 303:
            newest = stack.finish(stack.start(), FAILED)

    assert statuses.count(303) <= 10
    assert statuses[-1] == 429


def test_running_a_job_from_its_page_leads_to_the_run(browser: Browser, ledger: SqliteLedger) -> None:
    answer = send(browser, "/jobs/ceo_brief/run", then="run")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/runs/1")


@pytest.mark.parametrize("path", ["/jobs/self_heal/pause", "/jobs/self_heal/resume", "/runs/1/cancel", "/runs/1/retry"])
def test_a_button_needs_its_form_and_a_post_S8(browser: Browser, stack: Stack, clock: FakeClock, path: str) -> None:
    run = going(stack)

    assert browser.client.get(path).status_code == 405
    assert browser.client.post(path, headers=SAME_ORIGIN).status_code == 403
    evil = {"Origin": "https://evil.example"}
    assert browser.client.post(path, data={"form_token": browser.token}, headers=evil).status_code == 403
    assert stack.ledger.run(run.id).cancel_wanted is None
    assert stack.ledger.pauses(clock.now()) == []
