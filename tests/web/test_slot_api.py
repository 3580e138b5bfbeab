"""What people ask and do about slots through the web, and that every door shows the same slots."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from echopilot_jobs.accounting.preview import coming
from echopilot_jobs.cli import main
from echopilot_jobs.clock import iso
from echopilot_jobs.jobs import Job, Registry, slots
from echopilot_jobs.pump import Pump
from echopilot_jobs.runs import Outcome, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.triggers import Cron, DailyAt, Every, EveryBetween, OnRequest, Trigger, Until, Weekly
from echopilot_jobs.wake import drain, open_for_waiting
from tests.lifekit import DAY, TICK, Life
from tests.worldkit import WORK

from .conftest import SAME_ORIGIN, Browser, Stack, with_key
from .test_pages import HTMX, seen

SECOND = timedelta(seconds=1)
WINTER = datetime(2026, 2, 27, 23, 59, 30, tzinfo=UTC)

# Every kind of rule, in zones whose clocks jump in odd ways within a thousand of their slots.
RULES: dict[str, Trigger] = {
    "every_minute": Every(60 * SECOND),
    "every_odd": Every(97 * 60 * SECOND, 13 * SECOND),
    "irregular": EveryBetween(40 * 60 * SECOND, 90 * 60 * SECOND),
    "daily_utc": DailyAt(time(8)),
    "daily_riga": DailyAt(time(3, 30), "Europe/Riga"),
    "daily_havana": DailyAt(time(0), "America/Havana"),
    "every_third_day": DailyAt(time(2, 30), "America/New_York", 3),
    "weekly": Weekly([5, 6], time(2, 15), "Australia/Lord_Howe"),
    "cron_fixed": Cron("30 2 * * *", "America/New_York"),
    "cron_often": Cron("*/30 * * * *", "Antarctica/Troll"),
    "cron_hours": Cron("*/20 1-4 * * *", "Europe/Riga"),
    "cron_odd": Cron("5 4 L * *", "Africa/Casablanca"),
    "cron_friday": Cron("15 10 * * FRI#2", "Asia/Kolkata"),
    "until": Until(Every(3600 * SECOND), WINTER + 20 * DAY),
    "on_request": OnRequest(),
}


@pytest.fixture
def every_rule(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """One job a rule, one that is spread by jitter and one that is disabled."""
    made = [Job(name, trigger, TICK) for name, trigger in RULES.items()]
    made.append(Job("spread", Every(300 * SECOND), TICK, jitter=60 * SECOND))
    made.append(Job("disabled", Every(300 * SECOND), TICK, enabled=False))
    registry = Registry(made)
    monkeypatch.setattr("echopilot_jobs.builtin.jobs", lambda _settings: registry)
    return registry


def by_the_scheduler(job: Job, after: datetime) -> Iterator[datetime]:
    """What the scheduler would plan: it sleeps until its pump wakes it and plans the slots that came due meanwhile."""
    pump, last = Pump([job], after), after
    while (idle := pump.idle_seconds(last)) != float("inf"):
        now = last + timedelta(seconds=idle)
        assert pump.due(now) == [job.name]
        yield from (slot.due_at for slot in slots(job, last, now))
        last = now


@pytest.mark.parametrize("name", [*RULES, "spread", "disabled"])
def test_command_line_api_and_scheduler_agree_on_the_next_thousand_slots_I31(
    make_app: Callable[..., Flask],
    stack: Stack,
    every_rule: Registry,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """F38: across the jumps of every zone."""
    job = every_rule[name]
    planned = [] if not job.enabled else [iso(due) for due in islice(by_the_scheduler(job, WINTER), 1000)]

    assert main(["next", name, "--count", "1000", "--after", iso(WINTER), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["next"][0]["slots"]
    api = with_key(make_app(registry=every_rule)).get(f"/api/jobs/{name}/next?count=1000&after={iso(WINTER)}").json

    assert api is not None
    shown = [slot["slot_at"] for slot in told]
    assert shown == [slot["slot_at"] for slot in api["slots"]]
    if name == "spread":  # its wake-ups come later than its slots, each by its own share
        assert [slot["planned_at"] for slot in told] == [slot["planned_at"] for slot in api["slots"]]
        late = [datetime.fromisoformat(s["planned_at"]) - datetime.fromisoformat(s["slot_at"]) for s in told]
        assert 0 * SECOND <= min(late) < max(late) < 60 * SECOND
        assert shown[:990] == planned[:990]
    else:
        assert shown == planned
    assert len(shown) == {"until": 480, "on_request": 0, "disabled": 0}.get(name, 1000)


def test_the_next_slots_are_paged_through_without_a_hole(
    make_app: Callable[..., Flask], stack: Stack, every_rule: Registry
) -> None:
    client, after, found = with_key(make_app(registry=every_rule)), iso(WINTER), []
    for _ in range(4):
        page = client.get(f"/api/jobs/cron_hours/next?count=250&after={after}").json
        assert page is not None
        found += [slot["slot_at"] for slot in page["slots"]]
        after = page["next_after"]

    assert found == [iso(each.slot.due_at) for each in coming(every_rule["cron_hours"], WINTER)]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/jobs/nobody/next", 404, "no job named 'nobody'"),
        ("/api/jobs/heartbeat/next?count=0", 400, "count '0'; wanted: a whole number from 1 to 1000"),
        ("/api/jobs/heartbeat/next?count=1001", 400, "count '1001'"),
        ("/api/jobs/heartbeat/next?count=1e2", 400, "count '1e2'"),
        ("/api/jobs/heartbeat/next?count=%D9%A3", 400, "count '\\\\u0663'"),
        ("/api/jobs/heartbeat/next?count=-1", 400, "count '-1'"),
        ("/api/jobs/heartbeat/next?count=", 400, "count ''"),
        ("/api/jobs/heartbeat/next?after=soon", 400, "after: came 'soon'; wanted: a moment such as"),
        ("/api/jobs/heartbeat/next?after=2026-03-01T08:00:00+02:00", 400, "is written '%2B'"),
        ("/api/jobs/heartbeat/next?after=", 400, "after: came ''"),
        ("/api/jobs/heartbeat/next?limit=3", 400, "unknown field 'limit'; wanted: count, after"),
        ("/api/jobs/heartbeat/next?after=2026-03-01T08:00:00%2B02:00", 200, "2026-03-01T06:01:00Z"),
        ("/api/jobs/heartbeat/next", 200, "2026-03-02T08:00:00Z"),
    ],
)
def test_questions_about_the_next_slots_are_read_strictly(
    api: FlaskClient, stack: Stack, path: str, status: int, says: str
) -> None:
    answer = api.get(path)

    assert answer.status_code == status, answer.text
    assert says in answer.text


# -- pause, resume, cancel


def test_a_pause_is_kept_with_its_actor_and_wakes_the_scheduler(
    api: FlaskClient, stack: Stack, home: Settings, clock: FakeClock, capfd: pytest.CaptureFixture[str]
) -> None:
    ear = open_for_waiting(home.wake_path)

    answer = api.post("/api/jobs/ceo_brief/pause", json={"for": "2h", "note": "disk move"})

    (pause,) = stack.ledger.pauses(clock.now())
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["pause"] == {
        "job": "ceo_brief",
        "since": "2026-03-02T07:59:30Z",
        "until": "2026-03-02T09:59:30Z",
        "by": "api key from 127.0.0.1",
        "note": "disk move",
    }
    assert pause.until == clock.now() + 2 * timedelta(hours=1)
    assert Path(home.wake_path).exists()
    assert '"event": "web.job_paused"' in capfd.readouterr().err
    drain(ear)


def test_a_paused_job_is_resumed_and_neither_twice(api: FlaskClient, stack: Stack) -> None:
    codes = [
        api.post(f"/api/jobs/ceo_brief/{verb}").status_code for verb in ("resume", "pause", "pause", "resume", "resume")
    ]

    assert codes == [409, 200, 409, 200, 409]


def test_slots_in_a_pause_are_marked(api: FlaskClient, stack: Stack) -> None:
    api.post("/api/jobs/heartbeat/pause", json={"until": "2026-03-02 08:01"})

    answer = api.get("/api/jobs/heartbeat/next?count=3").json

    assert answer is not None
    assert [slot["paused"] for slot in answer["slots"]] == [True, False, False]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"for": "2h", "until": "18:00"}, 400, "both 'for' and 'until'"),
        ({"for": 7200}, 400, "for is a int; wanted: a string"),
        ({"for": "0s"}, 400, "for: came '0s'; wanted: a length"),
        ({"for": "99999d"}, 400, "at most 3650 days"),
        ({"until": "yesterday 08:00"}, 400, "until 'yesterday 08:00' is over"),
        ({"until": ["x"]}, 400, "until is a list"),
        ({"note": "x" * 501}, 400, "note of 501 characters; wanted: at most 500"),
        ({"note": {}}, 400, "note is a dict"),
        ({"till": "18:00"}, 400, "unknown field 'till'; wanted: for, until, note"),
        ({"until": "18:00", "note": "\u202e\x1b[31m<b>"}, 200, "ceo_brief"),
    ],
)
def test_a_pause_is_read_strictly(api: FlaskClient, stack: Stack, body: object, status: int, says: str) -> None:
    answer = api.post("/api/jobs/ceo_brief/pause", json=body)

    assert answer.status_code == status, answer.text
    assert says in answer.text


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_job_nobody_registered_yet_is_503_and_an_unknown_one_404(make_app: Callable[..., Flask], verb: str) -> None:
    client = with_key(make_app())

    assert client.post(f"/api/jobs/ceo_brief/{verb}").status_code == 503
    assert client.post(f"/api/jobs/nobody/{verb}").status_code == 404


def test_a_waiting_run_is_cancelled_a_running_one_asked_to_stop_an_ended_one_left_alone(
    api: FlaskClient, stack: Stack, clock: FakeClock
) -> None:
    """I6"""
    stack.ledger.request_run("ceo_brief", clock.now())
    waiting = api.post("/api/runs/1/cancel")
    stack.ledger.request_run("ceo_brief", clock.now())
    running = stack.start()
    asked = api.post("/api/runs/2/cancel")
    stack.finish(running, Outcome(State.CANCELLED))
    ended = api.post("/api/runs/2/cancel")

    assert [answer.status_code for answer in (waiting, asked, ended)] == [200, 202, 409]
    assert stack.ledger.run(1).state is State.CANCELLED
    assert stack.ledger.run(2).cancel_wanted == "api key from 127.0.0.1"
    assert [api.post(f"/api/runs/{odd}/cancel").status_code for odd in ("3", "x", "-1", "9" * 30)] == [404] * 4
    assert api.post("/api/runs/1/cancel", json={"why": "no"}).status_code == 400


# -- a backlog, and what the dashboard says


@pytest.fixture
def behind(ledger: MemoryLedger, clock: FakeClock, home: Settings) -> Life:
    """A scheduler found five missed days of a job that wants them all, and asks."""
    life = Life(ledger, clock)
    news = Job("ceo_brief", DailyAt(time(8)), WORK, catch_up="all", catch_up_window=40 * DAY)
    life.go_on(life.begin(news), timedelta(seconds=10))
    clock.sleep(5 * 86_400)
    life.go_on(life.begin(news), timedelta(seconds=10))
    return life


@pytest.mark.parametrize(("answer", "left"), [("latest", 1), ("all", 5), ("drop", 0)])
def test_a_backlog_is_shown_and_answered_once(
    make_app: Callable[..., Flask], behind: Life, answer: str, left: int
) -> None:
    client = with_key(make_app())

    shown = client.get("/api/backlog").json
    answered = client.post("/api/backlog", json={"answer": answer})
    again = client.post("/api/backlog", json={"answer": answer})
    after = client.get("/api/backlog").json

    assert shown is not None
    assert shown["backlog"]["count"] == 5
    assert (answered.status_code, again.status_code) == (200, 409)
    assert answered.json is not None
    assert answered.json["backlog"]["answered_by"] == "api key from 127.0.0.1"
    assert after == {"ok": True, "backlog": None}
    assert sum(run.state is State.QUEUED for run in behind.ledger.runs()) == left


@pytest.mark.parametrize("body", [{}, {"answer": "yes"}, {"answer": None}, {"answer": ["all"]}, {"answers": "all"}])
def test_an_answer_that_is_none_is_400(make_app: Callable[..., Flask], behind: Life, body: object) -> None:
    answer = with_key(make_app()).post("/api/backlog", json=body)

    assert answer.status_code == 400, answer.text
    assert behind.ledger.waiting_hold() is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/jobs/heartbeat/next"),
        ("post", "/api/jobs/heartbeat/pause"),
        ("post", "/api/jobs/heartbeat/resume"),
        ("post", "/api/runs/1/cancel"),
        ("get", "/api/backlog"),
        ("post", "/api/backlog"),
    ],
)
def test_nobody_gets_in_without_the_key(client: FlaskClient, method: str, path: str) -> None:
    """S2"""
    assert getattr(client, method)(path).status_code == 401


def test_the_dashboard_says_what_waits_for_a_person(make_app: Callable[..., Flask], behind: Life) -> None:
    page = Browser(make_app()).client.get("/").text

    assert "5 missed slots wait for your word" in page
    assert "<code>echopilot backlog latest</code>" in page


# -- a backlog answered on the pages


def test_the_page_of_a_job_says_that_its_missed_slots_wait_and_what_each_answer_does(
    make_app: Callable[..., Flask], behind: Life
) -> None:
    browser = Browser(make_app())

    home, own, other = (seen(browser.client.get(path).text) for path in ("/", "/jobs/ceo_brief", "/jobs/self_heal"))
    run = seen(browser.client.get("/runs/1").text)

    means = (
        "Run the newest missed slot of each job: 1 run starts now; 4 of the 5 are cancelled",
        "Run every missed slot, the oldest first: 5 runs start now, one every five seconds",
        "Run nothing: none runs; all 5 are cancelled",
    )
    for words in means:
        assert words in home
        assert words in own
        assert words not in other
    assert "5 of its missed slots wait for your word" in own
    assert "… queued" not in own.split("By hand")[0]
    assert "It belongs to a backlog that waits for your word: answer it on the page of the job" in run


@pytest.mark.parametrize(("answer", "left"), [("latest", 1), ("all", 5), ("drop", 0)])
def test_a_backlog_is_answered_on_a_page_once_and_by_a_name(
    make_app: Callable[..., Flask], behind: Life, answer: str, left: int
) -> None:
    browser, hold = Browser(make_app()), behind.ledger.waiting_hold()
    assert hold is not None
    path, form = f"/backlog/{hold.id}/{answer}", {"form_token": browser.token, "then": "ceo_brief"}

    forged = browser.client.post(path, data={"then": "ceo_brief"}, headers=SAME_ORIGIN)
    other = browser.client.post(f"/backlog/{hold.id + 1}/{answer}", data=form, headers=SAME_ORIGIN)
    odd = browser.client.post(f"/backlog/{hold.id}/perhaps", data=form, headers=SAME_ORIGIN)
    waits = behind.ledger.waiting_hold()
    done = browser.client.post(path, data=form, headers=SAME_ORIGIN)
    again = browser.client.post(path, data=form, headers=SAME_ORIGIN)

    assert (forged.status_code, other.status_code, odd.status_code, waits) == (403, 409, 404, hold)
    assert (done.status_code, done.headers["Location"]) == (303, "/jobs/ceo_brief")
    assert (again.status_code, "that backlog waits no more" in again.text) == (409, True)
    assert sum(run.state is State.QUEUED for run in behind.ledger.runs()) == left
    assert behind.ledger.waiting_hold() is None


def test_a_backlog_of_which_a_part_was_cancelled_is_told_with_what_still_waits(
    make_app: Callable[..., Flask], behind: Life
) -> None:
    app = make_app()
    for run_id in (1, 2):
        behind.ledger.cancel(run_id, behind.clock.now(), "cli:ann")
    browser, hold = Browser(app), behind.ledger.waiting_hold()
    assert hold is not None

    home = seen(browser.client.get("/").text)
    shown = with_key(app).get("/api/backlog").json
    said = seen(browser.post(f"/backlog/{hold.id}/latest", **HTMX).text)

    assert "3 missed slots wait for your word" in home
    assert shown is not None
    assert shown["backlog"]["count"] == 3
    assert "the backlog of 3 missed slots is answered: latest" in said


def test_a_backlog_that_was_cancelled_whole_waits_no_more(behind: Life) -> None:
    for run in behind.ledger.runs(states=frozenset({State.QUEUED})):
        behind.ledger.cancel(run.id, behind.clock.now(), "cli:ann")

    assert behind.ledger.waiting_hold() is None


def test_the_dashboard_shows_a_paused_job_as_paused(app: Flask, stack: Stack, clock: FakeClock) -> None:
    stack.ledger.pause("ceo_brief", clock.now(), clock.now() + DAY, "cli:ann", "disk <b>move</b>")
    stack.ledger.pause("self_heal", clock.now(), None, "cli:ann", "")

    page = Browser(app).client.get("/").text

    assert "ceo_brief, self_heal are paused by cli:ann (disk &lt;b&gt;move&lt;/b&gt;), ceo_brief until 3 Mar" in page
    assert "self_heal until somebody resumes it" in page
    assert "<code>echopilot resume --all</code>" in page
    assert page.count(">paused</span>") == 2
    assert "until 3 Mar 07:59:30" in page
    assert "until it is resumed" in page


def test_the_dashboard_is_red_while_calendar_jobs_wait_for_the_clock(
    make_app: Callable[..., Flask], ledger: MemoryLedger, clock: FakeClock, home: Settings
) -> None:
    life = Life(ledger, clock)
    scheduler = life.begin(Job("ceo_brief", DailyAt(time(8)), WORK))
    life.go_on(scheduler, timedelta(seconds=10))
    clock.step(5 * 3600)
    life.go_on(scheduler, timedelta(seconds=10))

    page = Browser(make_app()).client.get("/").text

    assert 'data-tone="bad"' in page
    assert "calendar jobs wait: the machine&#39;s clock was set" in page.lower()
    assert "<code>echopilot clock trust</code>" in page


def test_a_disabled_job_says_so_on_the_dashboard(make_app: Callable[..., Flask], stack: Stack) -> None:
    registry = Registry([replace(job, enabled=job.name != "ceo_brief") for job in stack.registry.values()])

    page = Browser(make_app(registry=registry)).client.get("/").text

    assert '<span class="dim">disabled</span>' in page


def test_an_answer_with_scripts_is_told_in_place_and_so_is_one_that_came_too_late(
    make_app: Callable[..., Flask], behind: Life
) -> None:
    browser, hold = Browser(make_app()), behind.ledger.waiting_hold()
    assert hold is not None

    done, late = (browser.post(f"/backlog/{hold.id}/drop", **HTMX) for _ in range(2))

    assert "the backlog of 5 missed slots is answered: drop" in seen(done.text)
    assert "wait for your word" not in seen(done.text)
    assert "that backlog waits no more" in seen(late.text)
