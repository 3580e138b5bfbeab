"""What a person sees."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from echopilot_jobs.accounting.lives import strip
from echopilot_jobs.clock import EPOCH
from echopilot_jobs.jobs import Command, Job, Registry
from echopilot_jobs.ledger import Limits
from echopilot_jobs.ledger.rebirth import Rebirth
from echopilot_jobs.ledger.refusing import note_refusal
from echopilot_jobs.outages import Cause, Outage
from echopilot_jobs.planner import Plan
from echopilot_jobs.runs import Outcome, Output, Run, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.triggers import Every
from tests.schedulekit import dispose, stretch

from .conftest import Browser, Stack, Table

WEB = Path(__file__).parent.parent.parent / "echopilot_jobs" / "web"
UNSAFE = ["|safe", "| safe", "autoescape false", "innerHTML =", "insertAdjacentHTML", "document.write", "eval("]
UNSAFE += ["Markup(", "render_template_string", "new Function"]
HTMX = {"HX-Request": "true"}
NASTY = [
    "<script>alert(1)</script>",
    "</pre><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "{{7*7}}",
    "{% include 'x' %}",
    "javascript:alert(1)",
    "<!--",
    "]]>",
    "&lt;b&gt;",
]
HIDDEN = ["\x1b[2J", "\u202ereversed", "a\u2028b", "a\u2029b", "a\x85b", "\x9b31m", "\x00", "\u200b", "\x07", "\ufeff"]


class Seen(HTMLParser):
    """The text, tags and attributes a browser would find."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(page: str) -> str:
    """The page's text on one line."""
    return re.sub(r"\s+", " ", Seen(page).text)


# -- the front door


def test_the_root_answers_200_to_anybody_without_touching_the_ledger(
    make_app: Callable[..., Flask], ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stint", "runs", "last_runs", "ping", "first_seen"):
        monkeypatch.setattr(ledger, name, lambda *_, **__: pytest.fail("the ledger was asked"))

    answer = make_app().test_client().get("/")

    assert answer.status_code == 200
    assert "Dashboard key" in answer.text


def test_a_wrong_key_is_said_and_not_repeated(client: FlaskClient) -> None:
    answer = client.post("/login", data={"key": "my-wrong-guess"})

    assert answer.status_code == 401
    assert "not the dashboard key" in answer.text
    assert "my-wrong-guess" not in answer.text


# -- the dashboard


def test_all_well_is_one_line(browser: Browser, stack: Stack) -> None:
    stack.carry_out("self_heal", Outcome(State.SUCCEEDED, duration_ms=52))

    text = seen(browser.client.get("/").text)

    assert "All well: 4 jobs on schedule, last beat now" in text
    assert "daily at 08:00 UTC" in text
    assert "in 30 s" in text
    assert "succeeded" in text
    assert "took 52 ms" in text


def test_the_first_minute_has_words(browser: Browser) -> None:
    text = seen(browser.client.get("/").text)

    assert "nothing has run yet" in text
    assert "not run yet" in text
    assert "Nothing has run yet. The first run appears here." in text
    assert "Nothing has run yet. The first run appears here." in seen(browser.client.get("/runs").text)
    assert "none yet; it appears here after its first run" in text
    assert "nothing has come due yet" in text


def test_a_failed_job_is_named_with_its_error_and_what_to_do(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    for _ in range(3):
        stack.carry_out("ceo_brief", Outcome(State.FAILED, error="Traceback:\n  line\nOSError: no space left"))
        clock.sleep(5)
    stack.beat()

    page = browser.client.get("/").text
    text = seen(page)

    assert "'ceo_brief' ended badly 3 times in a row: OSError: no space left" in text
    assert "since 07:59:30" in text
    assert "mend the cause" in text
    assert 'href="/runs/3"' in page


def test_several_problems_are_counted_and_listed_causes_first(
    browser: Browser, stack: Stack, table: Table, clock: FakeClock
) -> None:
    stack.carry_out("ceo_brief", Outcome(State.FAILED, error="no answer"))
    table.programs_now = [table.program("scheduler", "FATAL"), table.program("web")]
    clock.sleep(60)

    text = seen(browser.client.get("/").text)

    assert "2 things are broken" in text
    assert text.index("supervisord has given up") < text.index("'ceo_brief' failed: no answer")
    assert "Do: supervisorctl start scheduler" in text


@pytest.mark.parametrize("path", ["/", "/jobs/heartbeat"])
def test_a_stopped_scheduler_is_one_fault_with_the_remedy_that_starts_it(
    browser: Browser, stack: Stack, table: Table, clock: FakeClock, path: str
) -> None:
    stack.carry_out("heartbeat", Outcome(State.SUCCEEDED))
    stack.ledger.end_stint(stack.lease, "stopped", clock.now())
    table.programs_now = [table.program("scheduler", "STOPPED"), table.program("web")]

    page = browser.client.get(path).text
    text = seen(page)

    assert (
        "'scheduler' was stopped by an operator; no scheduler leads, so nothing starts since 07:59:30"
        in text.replace(" as of 07:59:30 UTC", "")
    )
    assert "Do: supervisorctl start scheduler; its last words: supervisorctl tail scheduler" in text
    assert "no other one leads" not in text
    assert "supervisorctl restart" not in text
    assert "verdict--bad" in page


def test_a_frozen_scheduler_is_said_to_be_silent_and_since_when(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    clock.sleep(29)

    text = seen(browser.client.get("/").text)

    assert "The scheduler is silent: no beat of it, so nothing is planned or started" in text
    assert "since 07:59:30, 29 s ago" in text


def test_a_restart_that_is_under_way_is_told_and_no_alarm(
    browser: Browser, stack: Stack, table: Table, clock: FakeClock
) -> None:
    stack.ledger.end_stint(stack.lease, "stopped", clock.now())
    table.programs_now = [replace(table.program("scheduler", "STARTING"), started_at=clock.now()), table.program("web")]

    text = seen(browser.post("/scheduler/restart", **HTMX).text)

    assert "All jobs are well; 1 thing to know" in text
    assert "the scheduler is starting; before that, somebody stopped it Do: nothing: it leads" in text
    assert "supervisorctl restart" not in text


def test_an_unreachable_supervisord_has_words(browser: Browser, table: Table) -> None:
    table.programs_now = None

    text = seen(browser.client.get("/").text)

    assert "supervisord is not reachable." in text
    assert "start it with bin/stack" in text


def test_a_ledger_that_is_away_is_a_503_page_that_still_shows_the_processes(
    make_app: Callable[..., Flask], table: Table
) -> None:
    table.programs_now = [table.program("scheduler", "FATAL"), table.program("web")]
    app = make_app(ledger=None)
    answer = Browser(app).client.get("/")
    text = seen(answer.text)

    assert answer.status_code == 503
    assert "no ledger at 'ledger.sqlite3'; the scheduler makes it within seconds" in text
    assert "fatal" in text
    assert 'action="/scheduler/start"' in answer.text
    assert 'hx-get="/live"' in answer.text  # it comes back by itself


def test_the_part_that_refreshes_is_the_page_without_its_frame(browser: Browser, stack: Stack) -> None:
    part = browser.client.get("/live", headers=HTMX)

    assert part.status_code == 200
    assert "<html" not in part.text
    assert "Processes" in part.text
    assert 'id="note"' not in part.text


def test_dark_hours_and_what_they_cost_are_told(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    begun = clock.now()
    clock.sleep(3 * 3600)
    stack.lead()
    minutes = tuple(Slot("heartbeat", begun + timedelta(minutes=n)) for n in range(1, 179))
    many = stretch(SkipReason.COALESCED, minutes)
    lone = stretch(SkipReason.EXPIRED, (Slot("self_heal", begun + timedelta(hours=1)),))
    with stack.ledger.leading(stack.lease, clock.now()) as transaction:
        outage = Outage(begun, clock.now(), Cause.SUSPEND)
        plans = [
            (stack.registry["heartbeat"], Plan(clock.now(), (), (many,))),
            (stack.registry["self_heal"], Plan(clock.now(), (), (lone,))),
        ]
        transaction.standings([job for job, _ in plans])
        transaction.dispose(plans, outage_id=transaction.record_outage(outage))
    clock.sleep(5)
    stack.beat()

    text = seen(browser.client.get("/").text)

    went = (
        "no scheduler ran from 07:59:30 to 10:59:30, 3 h: the machine was suspended; 179 slots had no run of their own"
    )
    assert went in text
    assert "Do: the list below says what it cost" in text
    assert "178 slots heartbeat a newer slot stood in (the machine was suspended)" in text
    assert "1 slot self_heal missed, and not caught up (the machine was suspended)" in text
    assert "dark 3 h" in text


ORPHANED = Outage(EPOCH, EPOCH, Cause.CRASH, "supervisord died, and the scheduler ended with it")
LOG = "why may be in logs/supervisord.log"


@pytest.mark.parametrize(
    ("outage", "words", "log_is_named"),
    [
        (ORPHANED, "s: supervisord died, and the scheduler ended with it; 0 slots", False),
        (replace(ORPHANED, detail=""), "s: the scheduler died; 0 slots", True),
        (replace(ORPHANED, detail="exit status 3"), "s: the scheduler died (exit status 3); 0 slots", False),
        (None, "s; 0 slots", True),
    ],
)
def test_why_no_scheduler_ran_is_told_and_the_log_named_only_where_it_may_know(
    browser: Browser, stack: Stack, clock: FakeClock, outage: Outage | None, words: str, log_is_named: bool
) -> None:
    begun = clock.now()
    clock.sleep(1_252)
    stack.lead()
    with stack.ledger.leading(stack.lease, clock.now()) as transaction:
        if outage:
            transaction.record_outage(replace(outage, since=begun, until=clock.now()))
    ended = clock.now()
    clock.sleep(5)
    stack.beat()

    text = seen(browser.client.get("/").text)

    assert f"no scheduler ran from {begun:%H:%M:%S} to {ended:%H:%M:%S}, 20 min 52 {words}" in text
    assert (LOG in text) is log_is_named


def test_of_several_outages_only_the_last_one_s_cause_is_told(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    for cause in (Cause.UNKNOWN, Cause.SUSPEND, Cause.STOPPED):
        begun = clock.now()
        clock.sleep(600)
        stack.lead()
        with stack.ledger.leading(stack.lease, clock.now()) as transaction:
            transaction.record_outage(Outage(begun, clock.now(), cause))
        clock.sleep(20)
        stack.beat()

    text = seen(browser.client.get("/").text)

    last = f"{begun:%H:%M:%S} to {begun + timedelta(seconds=600):%H:%M:%S}"
    assert f"no scheduler ran 3 times in the last 24 h, 30 min in all, the last time from {last}: " in text
    assert f"the last time from {last}: somebody stopped it; 0 slots" in text
    assert "suspended" not in text
    assert LOG not in text


def test_an_outage_that_goes_on_is_not_told_with_the_cause_of_one_before(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    begun = clock.now()
    clock.sleep(600)
    stack.lead()
    with stack.ledger.leading(stack.lease, clock.now()) as transaction:
        transaction.record_outage(Outage(begun, clock.now(), Cause.UNKNOWN, "the ledger is a restored copy"))
    clock.sleep(60)
    ended = clock.now()
    stack.ledger.end_stint(stack.lease, "stopped", ended)
    clock.sleep(120)

    text = seen(browser.client.get("/").text)

    assert f"2 times in the last 24 h, 12 min in all, the last time since {ended:%H:%M:%S}; what has come due" in text
    assert "None: nothing has come due yet." in text
    assert "restored copy" not in text
    assert LOG not in text


def test_a_list_without_slots_claims_no_more_than_is_known(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    stack.carry_out("ceo_brief", Outcome(State.SUCCEEDED))
    clock.sleep(10)
    stack.beat()
    young = seen(browser.client.get("/").text)
    died = clock.now()
    clock.sleep(300)
    leaderless = seen(browser.client.get("/").text)

    assert "None: every slot since 07:59:30 has its run." in young
    assert f"None that anybody has decided about: no scheduler has led since {died:%H:%M:%S}." in leaderless


def test_a_refused_ledger_is_one_finding_with_the_command_that_ends_it_F19(
    browser: Browser, stack: Stack, clock: FakeClock, settings: Settings, table: Table
) -> None:
    stack.ledger.end_stint(stack.lease, "stopped", clock.now())
    clock.sleep(1)
    table.programs_now = [table.program("scheduler", "RUNNING"), table.program("web")]
    note_refusal(settings.ledger_path, "'l' is an older copy: x; stop the stack, then `echopilot restore --accept`")
    clock.sleep(2)

    board, job = (seen(browser.client.get(path).text) for path in ("/", "/jobs/ceo_brief"))

    assert "'l' is an older copy: x; nothing is planned or started before somebody decides" in board
    assert "Do: stop the stack, then echopilot restore --accept" in board
    assert "is starting" not in board
    assert board.count("echopilot restore --accept") == 1
    assert "'l' is an older copy" in job


def test_a_ledger_that_began_empty_after_a_lost_one_is_a_warning_for_a_day_F42(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    lost = Rebirth(clock.now() - timedelta(minutes=5), 1351, clock.now() - timedelta(hours=3))
    stack.ledger.go_on_after(101_351, lost)
    stack.beat()
    young = browser.client.get("/").text
    clock.sleep(25 * 3600)
    stack.lead()
    stack.beat()

    old = seen(browser.client.get("/").text)

    words = (
        "the ledger before this one, with runs up to 1351 and last seen 2026-03-02 04:59:30Z, is lost; this one began"
    )
    assert words in seen(young)
    assert "verdict--warn" in young
    assert "with the stack stopped, run echopilot restore FILE" in seen(young)
    assert "is lost" not in old


def test_a_time_without_scheduler_that_began_before_the_last_day_is_told_as_such(
    app: Flask, stack: Stack, clock: FakeClock
) -> None:
    begun = clock.now()
    clock.sleep(30 * 3600)
    stack.lead()
    slots = [Slot("heartbeat", begun + timedelta(minutes=n)) for n in range(1, 1_799)]
    with stack.ledger.leading(stack.lease, clock.now()) as leading:
        plan = Plan(clock.now(), (), (stretch(SkipReason.EXPIRED, slots),))
        leading.standings([stack.registry["heartbeat"]])
        outage = leading.record_outage(Outage(begun, clock.now(), Cause.SUSPEND))
        leading.dispose([(stack.registry["heartbeat"], plan)], outage_id=outage)
    ended = clock.now()
    clock.sleep(60)
    stack.beat()

    text = seen(Browser(app).client.get("/").text)

    assert f"no scheduler ran up to {ended:%H:%M:%S}, 23 h 59 min of the last 24 h: the machine was suspended; " in text
    assert "1,798 slots since 2 Mar 08:00:30 had no run of their own" in text


def test_an_outage_cost_what_was_missed_in_it_and_the_list_tells_outages_apart_and_how_much_it_leaves_out(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    begun, names = clock.now(), ["heartbeat", "self_heal", "ceo_brief", "daily_report"]
    for _ in range(3):
        went = clock.now()
        clock.sleep(120)
        stack.lead()
        with stack.ledger.leading(stack.lease, clock.now()) as leading:
            missed = [
                stretch(SkipReason.EXPIRED, [Slot(name, went + timedelta(seconds=n)) for n in (40, 80)])
                for name in names
            ]
            plans = [
                (stack.registry[name], Plan(clock.now(), (), (each,))) for name, each in zip(names, missed, strict=True)
            ]
            leading.standings([job for job, _ in plans])
            leading.dispose(plans, outage_id=leading.record_outage(Outage(went, clock.now(), Cause.STOPPED)))
        clock.sleep(20)
        stack.beat()
    with stack.ledger.leading(stack.lease, clock.now()) as leading:
        paused = stretch(SkipReason.PAUSED, [Slot("heartbeat", begun + timedelta(seconds=1))])
        dispose(leading, stack.registry["heartbeat"], Plan(clock.now(), (), (paused,)))

    text = seen(browser.client.get("/").text)

    assert "somebody stopped it; 24 slots had no run of their own" in text
    first, last = begun + timedelta(seconds=320), begun + timedelta(seconds=360)
    assert (
        f"2 slots heartbeat missed, and not caught up (somebody stopped it) {first:%H:%M:%S} to {last:%H:%M:%S}" in text
    )
    assert "and 9 slots more; echopilot why JOB TIME tells of any one" in text


def test_a_scheduler_that_dies_again_and_again_is_a_warning_also_while_one_leads(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    stack.carry_out("self_heal", Outcome(State.SUCCEEDED))
    for _ in range(2):
        clock.sleep(5)
        last = clock.now()
        stack.beat()
        stack.lead()  # the one before never said goodbye
    stack.beat()
    stack.ledger.pause("daily_report", clock.now(), None, "test", "")

    page = browser.client.get("/").text

    assert f"the scheduler died 2 times within the last hour, last at {last:%H:%M:%S}" in seen(page)
    assert page.index("the scheduler died 2 times") < page.index("daily_report is paused by test")
    assert "supervisorctl tail scheduler" in page
    assert "verdict--warn" in page


def test_that_every_place_is_taken_is_a_warning_on_the_dashboard_with_the_run_that_holds_one_longest(
    make_app: Callable[..., Flask], stack: Stack, clock: FakeClock
) -> None:
    jobs = [Job(f"j{number}", Every(timedelta(days=1)), Command(("true",))) for number in range(9)]
    with stack.ledger.leading(stack.lease, clock.now()) as leading:
        leading.standings(jobs)
    for job in jobs[:8]:
        stack.ledger.request_run(job.name, clock.now())
        stack.start()
    stack.ledger.request_run("j8", clock.now())
    browser = Browser(make_app(registry=Registry(jobs)))
    stack.beat()
    before = seen(browser.client.get("/").text)
    clock.sleep(70)
    stack.beat()

    page = browser.client.get("/").text

    assert "places for runs" not in before
    assert (
        "all 8 places for runs are taken, 1 by j0 since 07:59:30, 1 by j1 since 07:59:30, 1 by j2 since 07:59:30 "
        "and 5 other jobs; 1 run waits for one since 07:59:30, 1 min 10 s ago Do: echopilot cancel 1 frees"
    ) in seen(page)
    assert '<a href="/runs/1">Open run 1</a>' in page
    assert "verdict--warn" in page
    waiting, holding = (browser.client.get(f"/jobs/{name}").text for name in ("j8", "j0"))
    assert "verdict--warn" in waiting
    assert "All 8 places for runs are taken, 1 by j0" in seen(waiting)
    assert 'href="/jobs/j0"' in waiting.split("By hand")[0]
    assert "places for runs" not in seen(holding)


def test_single_skips_in_a_row_share_a_line(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    slots = tuple(Slot("heartbeat", clock.now() - timedelta(minutes=n, seconds=30)) for n in range(40, 0, -1))
    with stack.ledger.leading(stack.lease, clock.now()) as transaction:
        made = Plan(clock.now(), (), (stretch(SkipReason.OVERLAP, slots),))
        dispose(transaction, stack.registry["heartbeat"], made)

    assert "40 slots heartbeat the run before had not ended 07:19:00 to 07:58:00" in seen(browser.client.get("/").text)


def test_the_day_is_covered_without_a_hole(stack: Stack, clock: FakeClock) -> None:
    for pause in (600, 40, 20, 7_200):
        stack.beat()
        clock.sleep(pause)
        stack.lead()
    clock.sleep(100)
    now = clock.now()
    found = strip(stack.ledger, now - timedelta(days=1), now)

    assert found.pieces[0].start == found.start
    assert found.pieces[-1].end == found.end
    assert all(before.end == after.start for before, after in zip(found.pieces, found.pieces[1:], strict=False))
    assert found.dark == timedelta(seconds=600 + 40 + 7_200 + 100)


def test_thirty_heartbeats_share_a_line_but_a_failed_one_stands_alone(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    for number in range(9):
        outcome = Outcome(State.FAILED, error="disk full") if number == 4 else Outcome(State.SUCCEEDED, duration_ms=1)
        stack.carry_out("heartbeat", outcome)
        clock.sleep(1)

    page = browser.client.get("/").text

    assert page.count("× 4") == 2
    assert "disk full" in page


# -- buttons


def test_run_now_queues_a_run_and_says_so(browser: Browser, stack: Stack) -> None:
    answer = browser.post("/jobs/self_heal/run", **HTMX)

    assert answer.status_code == 200
    assert "run 1 of self_heal is queued" in seen(answer.text)
    assert 'hx-swap-oob="true"' in answer.text
    assert stack.ledger.run(1).actor.startswith("session ")  # type: ignore[union-attr]


def test_run_now_works_without_scripts(browser: Browser, stack: Stack) -> None:
    answer = browser.post("/jobs/self_heal/run")
    page = browser.client.get(answer.headers["Location"])

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/?run=1"
    assert "run 1 is queued" in seen(page.text)
    assert stack.ledger.run(1).state is State.QUEUED


def test_run_now_while_one_waits_says_why_not(browser: Browser) -> None:
    browser.post("/jobs/self_heal/run")

    part, page = browser.post("/jobs/self_heal/run", **HTMX), browser.post("/jobs/self_heal/run")

    assert "run 1 of 'self_heal' already waits in the queue" in seen(part.text)
    assert page.status_code == 409
    assert "already waits" in seen(page.text)


def test_the_scheduler_can_be_restarted_from_the_page_and_nothing_else(browser: Browser, table: Table) -> None:
    assert browser.post("/scheduler/restart").status_code == 303
    assert browser.post("/scheduler/stop").status_code == 404
    assert table.asked == [("restart", "scheduler")]


def test_a_supervisord_that_is_away_says_so_after_the_click(browser: Browser, table: Table) -> None:
    table.programs_now = None

    answer = browser.post("/scheduler/restart", **HTMX)

    assert "no supervisord at" in seen(answer.text)


# -- runs


def test_a_run_shows_its_facts_its_moves_and_its_output(browser: Browser, stack: Stack) -> None:
    printed = Output(head="begun\n", tail="ended", dropped_bytes=1_234)
    stack.carry_out("ceo_brief", Outcome(State.FAILED, error="OSError: no space", exit_status=-9, output=printed))

    text = seen(browser.client.get("/runs/1").text)

    assert "Run 1 of ceo_brief failed" in text
    assert "OSError: no space" in text
    assert "-9 (killed by SIGKILL)" in text
    assert "… 1,234 bytes dropped …" in text
    assert "queued" in text
    assert "running" in text


def test_a_run_that_is_still_going_refreshes_itself_and_one_that_ended_does_not(browser: Browser, stack: Stack) -> None:
    stack.ledger.request_run("ceo_brief", stack.clock.now())
    going = browser.client.get("/runs/1").text
    stack.finish(stack.start(), Outcome(State.SUCCEEDED))
    part = browser.client.get("/runs/1", headers=HTMX).text

    assert 'hx-get="/runs/1"' in going
    assert "hx-get" not in part
    assert "<html" not in part


def test_the_output_of_a_run_with_several_attempts_says_of_which_it_is(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    run = stack.carry_out("self_heal", Outcome(State.SUCCEEDED, output=Output("once")))
    assert "Output once" in seen(browser.client.get(f"/runs/{run.id}").text)
    stack.ledger.request_run("ceo_brief", clock.now())
    for attempt in (1, 2, 3):
        run = stack.start()
        during = seen(browser.client.get(f"/runs/{run.id}").text)
        with stack.ledger.leading(stack.lease, clock.now()) as leading:
            last = Outcome(State.FAILED, error="no", output=Output(f"said {attempt}"))
            leading.finish(run, last, clock.now() if attempt < 3 else None)

    after = seen(browser.client.get(f"/runs/{run.id}").text)

    assert "Output of attempt 3 so far" in during
    assert "Output of attempt 3 Of several attempts only the last one's output is kept. said 3" in after


def test_the_list_of_runs_pages_and_filters(browser: Browser, stack: Stack) -> None:
    for _ in range(52):
        stack.carry_out("self_heal", Outcome(State.SUCCEEDED))

    first = browser.client.get("/runs").text
    older = re.search(r'href="(/runs\?before=3)"', first)
    second = browser.client.get("/runs?before=3").text
    none = seen(browser.client.get("/runs?state=failed").text)

    assert older
    assert 'id="row-2"' in second
    assert 'id="row-3"' not in second
    assert "No such runs." in none


def test_a_queued_run_says_what_it_waits_for_on_its_page_and_in_the_api(
    browser: Browser, api: FlaskClient, stack: Stack, clock: FakeClock
) -> None:
    stack.ledger.request_run("ceo_brief", clock.now())
    stack.start()
    run, _ = stack.ledger.request_run("ceo_brief", clock.now())
    stack.beat()

    text = seen(browser.client.get(f"/runs/{run.id}").text)
    answer = api.get(f"/api/runs/{run.id}").json

    assert "It waits for a run of its own job to end (run 1 of ceo_brief)." in text
    assert answer is not None
    assert answer["waits"] == ["it waits for a run of its own job to end (run 1 of ceo_brief)"]


def waits_to_retry(stack: Stack, clock: FakeClock) -> Run:
    """A run whose first attempt failed at 07:59:30, to be repeated ten minutes later."""
    stack.ledger.request_run("ceo_brief", clock.now())
    with stack.ledger.leading(stack.lease, clock.now()) as leading:
        (run,) = leading.start_ready(Limits(1))
        outcome = Outcome(State.FAILED, error="no answer", duration_ms=40)
        return leading.finish(run, outcome, clock.now() + timedelta(minutes=10))


def test_a_run_between_attempts_says_until_when_it_waits(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    waits_to_retry(stack, clock)

    for path in ("/", "/runs", "/runs/1"):
        text = seen(browser.client.get(path).text)
        assert "waiting to retry" in text
        assert "08:09:30" in text
        assert "retry_wait" not in text
        assert "took 40 ms" not in text


def test_a_retried_run_took_all_of_its_time_and_says_its_attempts(
    browser: Browser, stack: Stack, clock: FakeClock
) -> None:
    waits_to_retry(stack, clock)
    clock.sleep(600)
    stack.finish(stack.start(), Outcome(State.SUCCEEDED, duration_ms=70))

    for path in ("/", "/runs", "/runs/1"):
        assert "10 min in 2 attempts" in seen(browser.client.get(path).text)
    assert "Last attempt70 ms" in seen(browser.client.get("/runs/1").text)


# -- other people's text


@pytest.mark.parametrize("text", NASTY)
def test_text_of_jobs_is_shown_and_never_becomes_markup(browser: Browser, stack: Stack, text: str) -> None:
    """S13"""
    outcome = Outcome(State.FAILED, error=text, result={text: text, "headline": text}, output=Output(head=text))
    stack.ledger.request_run("self_heal", stack.clock.now(), actor=text, params={"x": text})
    stack.finish(stack.start(), outcome)

    for path in ("/", "/runs", "/runs/1", "/live"):
        page = Seen(browser.client.get(path).text)
        assert text in page.text or path == "/runs/1"
        assert not [tag for tag, facts in page.tags if any(name.startswith("on") for name in facts)]
        assert not [
            facts for tag, facts in page.tags if tag == "script" and not (facts.get("src") or "").startswith("/static/")
        ]
        assert not [facts for tag, facts in page.tags if (facts.get("href") or "").startswith("javascript:")]
    assert text in Seen(browser.client.get("/runs/1").text).text


@pytest.mark.parametrize("text", HIDDEN)
def test_hidden_characters_are_shown_as_what_they_are(browser: Browser, stack: Stack, text: str) -> None:
    """S14"""
    stack.carry_out("self_heal", Outcome(State.FAILED, error=f"x{text}y", output=Output(head=f"x{text}y")))

    for path in ("/", "/runs/1"):
        page = browser.client.get(path).text
        assert text not in page
        assert re.search(r"xa?U\+[0-9A-F]{4}", page) or re.search(r"a?U\+[0-9A-F]{4}", page)


def test_no_template_switches_escaping_off_and_no_script_writes_markup() -> None:
    """S13, S23"""
    ours = [*WEB.glob("templates/*.html"), WEB / "static" / "live.js", *WEB.glob("*.py")]
    guilty = [(path.name, word) for path in ours for word in UNSAFE if word in path.read_text(encoding="utf-8")]

    assert not guilty


def test_no_template_has_inline_script_or_style(browser: Browser, stack: Stack) -> None:
    """S10: the policy would refuse it."""
    stack.carry_out("self_heal", Outcome(State.FAILED, error="x"))

    for path in ("/", "/runs", "/runs/1", "/login", "/nope"):
        for tag, facts in Seen(browser.client.get(path).text).tags:
            assert tag != "style", path
            assert "style" not in facts, (path, tag)
            assert not [name for name in facts if name.startswith("on")], (path, tag)
            assert tag != "script" or facts.get("src"), path
            assert not [value for name, value in facts.items() if name.startswith("hx-") and "js:" in (value or "")]


def test_refusals_have_a_page_for_people(browser: Browser) -> None:
    missing, unknown_run = browser.client.get("/nope"), browser.client.get("/runs/99")

    assert (missing.status_code, unknown_run.status_code) == (404, 404)
    assert "Nothing here" in missing.text
    assert "no run 99 To the runs there are" in seen(unknown_run.text)
    assert missing.headers["X-Request-Id"] in missing.text
    assert "Sign out" in missing.text
    assert f'<p class="problem__request dim">Request {missing.headers["X-Request-Id"]}</p>' in missing.text


def test_runs_of_a_job_that_never_was_are_a_404_that_leads_to_those_that_may_be_meant(browser: Browser) -> None:
    missing = browser.client.get("/runs?job=ceo_breif")

    assert missing.status_code == 404
    assert "no job named &#39;ceo_breif&#39;; did you mean &#39;ceo_brief&#39;?" in missing.text
    assert 'href="/jobs/ceo_breif"' not in missing.text


@pytest.mark.parametrize(
    ("path", "words"),
    [("/runs?before=abc", "before 'abc' is no run's number"), ("/runs/abc", "no run 'abc'")],
)
def test_what_is_no_run_is_refused_in_words_for_whoever_asks(
    browser: Browser, api: FlaskClient, path: str, words: str
) -> None:
    """A person is led to the list of runs, a program to the API."""
    person, program = seen(browser.client.get(path).text), api.get("/api" + path).json

    assert f"{words} To the runs there are" in person
    assert "/api/runs" not in person
    assert "next_before" not in person
    assert program is not None
    assert "wanted: " in program["error"]


def test_a_run_that_has_not_started_has_no_attempt(browser: Browser, stack: Stack, clock: FakeClock) -> None:
    run, _ = stack.ledger.request_run("ceo_brief", clock.now())
    queued = browser.client.get(f"/runs/{run.id}").text
    stack.start()

    assert "<dt>Attempt</dt>" not in queued
    assert "<dt>Attempt</dt><dd>1</dd>" in browser.client.get(f"/runs/{run.id}").text
