"""A day is accounted for, slot by slot, and what is not known is not claimed."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from daykit import beat, live, well
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from echopilot_jobs.accounting.audit import audit
from echopilot_jobs.builtin import daily_report, jobs
from echopilot_jobs.builtin.daily_report import page_of
from echopilot_jobs.builtin.daystrip import BIN, MINUTES, background, strip
from echopilot_jobs.builtin.report_data import headline, report_data, verdict
from echopilot_jobs.context import RunContext
from echopilot_jobs.jobs import Inline, Job, Registry
from echopilot_jobs.ledger import Limits, SqliteLedger
from echopilot_jobs.planner import Plan
from echopilot_jobs.reporting import DAY, DayReport, Facts, Period, darkness, gather, report, spread
from echopilot_jobs.runs import SKIPPED, Origin, Outcome, Output, Run, State, Stint
from echopilot_jobs.settings import Settings
from echopilot_jobs.slots import Slot
from echopilot_jobs.spans import stamp
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.triggers import DailyAt, Every
from tests.schedulekit import dispose

THE_DAY = date(2026, 3, 1)
START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NASTY = "<script>alert(1)</script> {{7*7}} {0} \x1b[31m\u202e \u2028"


# Cells in which text stands on more than one line, but for those that hold a sentence.
BROKEN = """() => [...document.querySelectorAll('td:not(.words), th')].filter(cell => {
  const range = document.createRange(); range.selectNodeContents(cell);
  return new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1; }).map(cell => cell.textContent)"""


@pytest.fixture
def memory() -> Iterator[SqliteLedger]:
    store = MemoryLedger()
    yield store
    store.close()


@pytest.fixture
def evening() -> FakeClock:
    """Two hours before the day, a fifth of a second past the minute."""
    return FakeClock(START - 2 * HOUR + timedelta(milliseconds=200))


def figures(ledger: SqliteLedger, registry: Registry, now: datetime, day: date = THE_DAY) -> DayReport:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return report(day, registry, gather(ledger, start, start + DAY), now)


def failing(_run: Run) -> Outcome:
    return Outcome(State.FAILED, error="no")


def by_name(made: DayReport) -> dict:
    return {job.name: job for job in made.jobs}


def assert_adds_up(made: DayReport) -> None:
    for job in made.jobs:
        fates = [job.count(fate) for fate in ("ran", "cancelled", "open", "due")]
        assert job.planned == sum(fates) + sum(job.skipped.values()) + len(job.missing)


def test_a_quiet_day_is_all_ran_and_never_dark(memory, evening, settings):
    """I2, I16."""
    registry = jobs(settings)
    live(memory, registry, evening, START + 26 * HOUR)

    made = figures(memory, registry, evening.now())

    assert {job.name: job.planned for job in made.jobs} == {
        "heartbeat": 1440,
        "ceo_brief": 1,
        "daily_report": 1,
        "self_heal": 4,
    }
    assert all(job.count("ran") == job.planned for job in made.jobs)
    assert made.dark_for == timedelta(0)
    assert (made.restarts, made.missing, verdict(made)) == (0, 0, "good")
    assert headline(made) == "all 1,446 planned slots accounted for: 1,446 ran"
    beats = by_name(made)["heartbeat"]
    assert (beats.lateness.p50, beats.lateness.p99, beats.durations.most) == (200, 200, 40)


def test_a_day_with_outages_is_still_accounted_for(memory, evening, settings):
    """I2, I4, I32: single skips, a gap row and catching up together make the day whole."""
    registry = jobs(settings)
    live(memory, registry, evening, START + 3 * HOUR, stop=None)
    evening.sleep(40 * 60)
    live(memory, registry, evening, START + 13 * HOUR)
    evening.sleep(200 * 60)
    live(memory, registry, evening, START + 26 * HOUR)

    made = figures(memory, registry, evening.now())

    assert_adds_up(made)
    assert made.missing == 0
    beats = by_name(made)["heartbeat"]
    assert [gap.count for gap in beats.gaps] == [200]
    assert beats.skipped["expired"] >= 239
    assert made.restarts == 2
    assert made.dark_for == timedelta(minutes=241)
    assert verdict(made) == "mixed"
    assert headline(made).startswith("no scheduler for 4 h 1 min; all 1,446 planned slots accounted for")


def test_a_gap_over_midnight_counts_on_each_side_what_lies_there(memory, evening, settings):
    """I32."""
    registry = jobs(settings)
    live(memory, registry, evening, START - HOUR)
    evening.sleep(3 * 3600)
    live(memory, registry, evening, START + 26 * HOUR)

    today, before = (figures(memory, registry, evening.now(), day) for day in (THE_DAY, THE_DAY - DAY))

    assert_adds_up(today)
    assert_adds_up(before)
    assert today.missing == before.missing == 0
    gap = by_name(today)["heartbeat"].gaps[0]
    there = by_name(before)["heartbeat"].skipped["expired"]
    assert by_name(today)["heartbeat"].skipped["expired"] == gap.count - there
    assert before.dark[-1][1] == START == today.dark[0][0]


def test_a_slot_without_a_row_is_said_to_be_missing(memory, settings):
    """I32: the marker moved on but nothing was written; the report must not smooth that over."""
    registry = Registry([Job("hourly", Every(HOUR), Inline("x"))])
    clock = FakeClock(START - timedelta(minutes=1))
    lease = live(memory, registry, clock, START + 5 * HOUR, stop=None)
    with memory.leading(lease, START + 9 * HOUR) as work:
        dispose(work, registry["hourly"], Plan(START + 9 * HOUR))

    made = figures(memory, registry, START + 26 * HOUR)

    assert [due.hour for due in made.jobs[0].missing] == list(range(6, 24))
    assert (verdict(made), made.missing) == ("bad", 18)
    assert headline(made).endswith("18 of 24 planned slots unaccounted for (6 ran)")
    assert "no row for 18 slots from 2026-03-01 06:00:00Z to 2026-03-01 23:00:00Z" in "".join(
        report_data(made, memory, START + 26 * HOUR)["notes"]
    )


def test_a_slot_that_has_only_just_come_due_is_not_missing(memory, settings):
    registry = Registry([Job("hourly", Every(HOUR), Inline("x"))])
    live(memory, registry, FakeClock(START - timedelta(minutes=1)), START + 5 * HOUR - timedelta(minutes=2), stop=None)

    made = figures(memory, registry, START + 5 * HOUR + timedelta(seconds=3))

    assert (made.jobs[0].count("due"), made.missing) == (1, 0)
    assert_adds_up(made)


def test_a_ledger_younger_than_the_day_claims_nothing_about_the_time_before(memory, settings):
    """F42."""
    registry = jobs(settings)
    clock = FakeClock(START + 20 * HOUR + timedelta(seconds=30))
    live(memory, registry, clock, START + 26 * HOUR)

    made = figures(memory, registry, clock.now())
    data = report_data(made, memory, clock.now())

    assert by_name(made)["heartbeat"].planned == 239
    assert made.missing == 0
    assert made.dark_for == timedelta(0)
    assert data["known_from"] == "2026-03-01T20:00:30Z"
    assert data["notes"] == [
        "the ledger begins at 2026-03-01 20:00:30Z; nothing is known of the day before that",
    ]
    assert made.restarts == 0


def test_of_a_day_before_the_ledger_nothing_is_claimed(memory, settings):
    registry = jobs(settings)
    clock = FakeClock(START + 30 * HOUR)
    live(memory, registry, clock, START + 31 * HOUR)

    data, page = daily_report.make(THE_DAY, settings, memory, clock.now())

    assert (data["verdict"], data["totals"], data["known_from"]) == ("unknown", None, None)
    assert data["headline"] == "nothing is known of 2026-03-01: the ledger begins at 2026-03-02 06:00:00Z"
    assert "planned slots" not in page


def test_an_empty_ledger_is_reported_as_such(memory, settings):
    data, page = daily_report.make(THE_DAY, settings, memory, START + 30 * HOUR)

    assert data["verdict"] == "unknown"
    assert "Nothing is known of 2026-03-01" in page


def test_a_day_that_is_not_over_is_counted_up_to_now(memory, evening, settings):
    registry = jobs(settings)
    live(memory, registry, evening, START + 6 * HOUR + timedelta(minutes=1), stop=None)

    made = figures(memory, registry, evening.now())

    assert by_name(made)["heartbeat"].planned == by_name(made)["heartbeat"].count("ran") + len([1])
    assert made.missing == 0
    assert "the day was not over: counted until" in "".join(report_data(made, memory, evening.now())["notes"])


def test_bad_ends_come_with_their_error_and_last_lines(memory, evening, settings):
    """I12."""
    registry = jobs(settings)
    printed = Output(head="\n".join(f"line {n}" for n in range(100)))

    def ending(run: Run) -> Outcome:
        if run.job_name == "ceo_brief":
            return Outcome(State.TIMED_OUT, error="no end after 600 s", exit_status=-15, output=printed, duration_ms=9)
        return well(run)

    live(memory, registry, evening, START + 26 * HOUR, ending=ending)
    data, page = daily_report.make(THE_DAY, settings, memory, evening.now())

    failure = next(job for job in data["jobs"] if job["job"] == "ceo_brief")["failures"][0]
    assert (failure["state"], failure["error"], failure["exit_status"]) == ("timed_out", "no end after 600 s", -15)
    assert failure["last_lines"] == [f"line {n}" for n in range(92, 100)]
    assert data["headline"].startswith("1 bad end (ceo_brief); all 1,446 planned slots accounted for")
    assert data["verdict"] == "bad"
    assert f"run {failure['run']} timed out\n" in page
    assert "timed_out" not in page
    assert ", killed by SIGTERM</span>" in page


def test_the_report_says_an_exit_status_once(memory, evening, settings):
    def ending(run: Run) -> Outcome:
        bad = run.job_name == "ceo_brief"
        return Outcome(State.FAILED, error="exit status 3", exit_status=3) if bad else well(run)

    live(memory, jobs(settings), evening, START + 26 * HOUR, ending=ending)

    assert daily_report.make(THE_DAY, settings, memory, evening.now())[1].count("exit status 3") == 1


def test_bad_ends_of_one_job_stand_in_the_order_in_which_they_began(memory, evening, settings):
    registry = jobs(settings)
    brief = {"ceo_brief": registry["ceo_brief"]}
    lease = live(memory, brief, evening, START + 10 * HOUR, ending=failing, stop=None)
    memory.request_run("ceo_brief", evening.now())
    with memory.leading(lease, evening.now()) as work:
        (by_hand,) = work.start_ready(Limits(1))
        work.finish(by_hand, Outcome(State.FAILED, error="by hand"))
    evening.sleep(60)
    (planned, *_) = [run for run in memory.runs() if run.slot]
    memory.request_run("ceo_brief", evening.now(), origin=Origin.RETRY, retry_of=planned)
    with memory.leading(lease, evening.now()) as work:
        (again,) = work.start_ready(Limits(1))
        work.finish(again, Outcome(State.FAILED, error="again"))

    made = by_name(figures(memory, registry, evening.now()))["ceo_brief"]

    assert [run.id for run in made.failures] == [planned.id, by_hand.id, again.id]


def test_the_page_of_a_day_with_a_gap_is_written_and_tells_its_cause_in_words(memory, evening, settings):
    registry = jobs(settings)
    live(memory, registry, evening, START + 3 * HOUR)
    evening.sleep(200 * 60)
    live(memory, registry, evening, START + 26 * HOUR)

    _, page = daily_report.make(THE_DAY, settings, memory, evening.now())

    assert re.search(r"Gap: 200 slots from [-0-9: ]+ to [-0-9: ]+, expired; cause: the scheduler died\.", page)


@pytest.mark.browser
def test_no_name_and_no_length_is_broken_inside_a_table_and_the_page_never_scrolls_sideways(
    memory, evening, settings, tmp_path, chromium
):
    live(memory, jobs(settings), evening, START + 3 * HOUR, stop="orphaned")
    evening.sleep(200 * 60)
    live(memory, jobs(settings), evening, START + 26 * HOUR)
    made = tmp_path / "report.html"
    made.write_text(daily_report.make(THE_DAY, settings, memory, evening.now())[1], encoding="utf-8")

    for width in (360, 1280):
        context = chromium.new_context(viewport={"width": width, "height": 800})
        tab = context.new_page()
        tab.goto(made.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(BROKEN) == []
        context.close()


# Boxes that are wider inside than outside, so that something in them is cut off until it is scrolled.
CUT = """() => [...document.querySelectorAll('.wide')]
  .filter(box => box.scrollWidth > box.clientWidth).map(box => box.innerText)"""


@pytest.mark.browser
def test_on_a_phone_no_table_of_the_report_is_cut(memory, evening, settings, tmp_path, chromium):
    registry = jobs(settings)
    long = replace(registry["ceo_brief"], name="a_job_with_a_name_as_long_as_names_may_be_and_no_place_to_break")
    registry = {**registry, long.name: long}
    live(memory, registry, evening, START + 3 * HOUR, stop="orphaned")
    live(memory, registry, evening, START + 26 * HOUR, stop=None)
    made = tmp_path / "report.html"
    made.write_text(daily_report.make(THE_DAY, settings, memory, evening.now())[1], encoding="utf-8")

    context = chromium.new_context(viewport={"width": 360, "height": 800})
    tab = context.new_page()
    tab.goto(made.as_uri())

    assert tab.evaluate(CUT) == []
    assert tab.locator(".lives tbody tr").count() == 2
    assert "last beat" in tab.evaluate(
        "getComputedStyle(document.querySelector('.lives td:nth-child(2)'), '::before').content"
    )
    context.close()


def test_runs_nobody_planned_are_counted_beside_the_plan(memory, evening, settings):
    """I8: manual runs and retries never make a slot count twice."""
    registry = jobs(settings)

    def ending(run: Run) -> Outcome:
        bad = run.job_name == "self_heal" and run.origin is Origin.SCHEDULE
        return Outcome(State.FAILED, error="no") if bad else well(run)

    live(memory, registry, evening, START + 7 * HOUR, ending=ending, stop=None)
    memory.request_run("ceo_brief", evening.now(), actor="someone")
    failed = memory.runs(job_name="self_heal", limit=1)[0]
    memory.request_run("self_heal", evening.now(), origin=Origin.RETRY, request_key="again", retry_of=failed)
    live(memory, registry, evening, START + 26 * HOUR)

    made = figures(memory, registry, evening.now())

    assert_adds_up(made)
    assert by_name(made)["ceo_brief"].unplanned == {"manual": 1}
    assert by_name(made)["self_heal"].unplanned == {"retry": 1}
    assert by_name(made)["self_heal"].planned == 4
    assert by_name(made)["self_heal"].states == {"succeeded": 3, "failed": 2}


def test_a_late_start_is_labelled(memory, settings):
    """I4."""
    registry = Registry([Job("hourly", Every(HOUR), Inline("x"))])
    clock = FakeClock(START - timedelta(minutes=10))
    lease = live(memory, registry, clock, START - timedelta(minutes=2), stop=None)
    beat(memory, registry, START + timedelta(minutes=20), lease, well)

    job = figures(memory, registry, START + timedelta(minutes=30)).jobs[0]

    assert [run.lateness for run in job.late] == [timedelta(minutes=20)]
    assert job.lateness.most == 1_200_000


def test_a_job_that_is_gone_keeps_its_day(memory, evening, settings):
    """F64."""
    registry = jobs(settings)
    live(memory, registry, evening, START + 26 * HOUR)
    fewer = Registry([job for job in registry.values() if job.name != "self_heal"])

    made = figures(memory, fewer, evening.now())
    data = report_data(made, memory, evening.now())

    gone = by_name(made)["self_heal"]
    assert (gone.job, gone.planned, gone.count("ran")) == (None, 4, 4)
    assert any("self_heal: it is no longer defined" in note for note in data["notes"])


def test_a_schedule_changed_during_the_day_is_explained(memory, evening):
    """F64."""
    every_two = Registry([Job("j", Every(2 * HOUR), Inline("x"))])
    odd = Registry([Job("j", Every(2 * HOUR, HOUR), Inline("x"))])
    live(memory, every_two, evening, START + 12.5 * HOUR)
    live(memory, odd, evening, START + 26 * HOUR)

    made = figures(memory, odd, evening.now())
    data = report_data(made, memory, evening.now())
    (job,) = data["jobs"]

    assert data["headline"] == "all 13 planned slots accounted for: 13 ran"
    assert (job["planned"], job["missing"]["total"], job["not_owed"]) == (13, 0, 0)
    assert data["notes"] == [
        "j: its schedule changed: every 2 h, since 2026-03-01 12:30:00Z every 2 h from 01:00 UTC; "
        "each slot counts by the one of its time"
    ]


def test_what_the_report_counts_is_what_the_audit_counts_whatever_was_redefined_that_day(memory):
    """I2, F64: faster, slower, gone for a while and back with the same times."""
    clock = FakeClock(START + timedelta(milliseconds=200))
    versions = (Every(timedelta(seconds=20)), Every(timedelta(seconds=30)), None, Every(timedelta(seconds=45)))
    for trigger in versions:
        registry = Registry([Job("j", trigger, Inline("x"))] if trigger else [Job("other", Every(HOUR), Inline("x"))])
        clock.sleep(90)
        live(memory, registry, clock, clock.now() + timedelta(minutes=7), step=5)

    made = by_name(figures(memory, registry, clock.now()))["j"]
    (account,) = audit(memory, clock.now(), names=["j"]).accounts

    assert (made.missing, made.outside) == ([], [])
    assert made.planned - made.count("due") - len(made.missing) == account.slots


def test_of_a_definition_kept_without_its_rule_the_rows_are_all_that_is_counted(memory):
    """F42: an older release wrote it, and what it owed is not guessed from the rule of today."""
    registry = Registry([Job("hourly", Every(HOUR), Inline("x"))])
    live(memory, registry, FakeClock(START - timedelta(minutes=1)), START + 5.5 * HOUR)
    with memory._writing() as sql:
        sql.db.execute("update definitions set definition = json_remove(definition, '$.rule')")

    (made,) = figures(memory, Registry([Job("hourly", Every(HOUR / 2), Inline("x"))]), START + 6 * HOUR).jobs

    assert (made.planned, made.count("ran"), made.missing, made.outside) == (6, 6, [], [])


def test_calendar_slots_that_wait_for_a_trusted_clock_are_not_missing(memory):
    daily = Job("daily", DailyAt(time(3)), Inline("x"))
    live(memory, Registry([daily]), FakeClock(START - timedelta(minutes=1)), START + 2 * HOUR, stop=None)
    facts = gather(memory, START, START + DAY)

    held, trusted = (
        report(THE_DAY, Registry([daily]), replace(facts, clock_held=waits), START + 4 * HOUR)
        for waits in (True, False)
    )

    assert (held.jobs[0].count("due"), held.missing, trusted.missing) == (1, 0, 1)


def test_a_slot_that_waits_for_its_jitter_is_not_missing(memory):
    registry = Registry([Job("hourly", Every(HOUR), Inline("x"), jitter=timedelta(minutes=20))])
    live(memory, registry, FakeClock(START - timedelta(minutes=1)), START + HOUR - timedelta(minutes=2), stop=None)

    made = figures(memory, registry, START + HOUR + timedelta(minutes=5))

    assert (made.jobs[0].count("due"), made.missing) == (1, 0)


def test_slots_backfilled_from_before_the_job_was_known_are_not_said_to_be_outside_its_schedule(memory, evening):
    registry = Registry([Job("j", Every(6 * HOUR), Inline("x"))])
    live(memory, registry, evening, START + 15 * HOUR)
    memory.backfill("j", [Slot("j", START - 12 * HOUR)], "cli:ann", evening.now())

    made = figures(memory, registry, evening.now(), THE_DAY - DAY)
    data = report_data(made, memory, evening.now())
    (noted,) = (note for note in data["notes"] if note.startswith("j: "))

    assert noted == (
        f"j: 1 slot with a row lies before the job was first known here, at {stamp(memory.first_seen()['j'])}; "
        "the plan begins only then"
    )
    assert (data["jobs"][0]["not_owed"], data["jobs"][0]["before_first_known"]) == (0, 1)


def test_a_slot_whose_run_skipped_itself_is_told_apart_from_a_cancelled_one(memory, evening):
    registry = Registry([Job("j", Every(8 * HOUR), Inline("x"))])
    live(
        memory,
        registry,
        evening,
        START + 26 * HOUR,
        ending=lambda run: Outcome(State.CANCELLED, error=f"{SKIPPED}no orders"),
    )

    made = figures(memory, registry, evening.now())
    data = report_data(made, memory, evening.now())
    page = page_of(data, made, evening.now())

    (job,) = data["jobs"]
    assert (job["planned"], job["cancelled"], job["skipped_itself"]) == (3, 3, 3)
    assert data["headline"] == "all 3 planned slots accounted for: 0 ran, 3 skipped by the job itself"
    assert "3 planned = 0 ran + 3 skipped by the job itself." in page
    assert "cancelled" not in page


def stint(begin: float, end: float, *, live: bool = False) -> Stint:
    ended = None if live else START + end * HOUR
    return Stint(1, "o", "h", "c", 2, START + begin * HOUR, START + end * HOUR, ended, None if live else "stopped")


@pytest.mark.parametrize(
    ("lives", "dark"),
    [
        ([], [(0, 24)]),
        ([(-1, 25)], []),
        ([(0, 24)], []),
        ([(1, 2)], [(0, 1), (2, 24)]),
        ([(-5, 3), (2, 6), (6, 30)], []),
        ([(-5, 3), (4, 6), (5, 7)], [(3, 4), (7, 24)]),
        ([(-9, -1)], [(0, 24)]),
    ],
)
def test_dark_is_the_day_minus_every_life(lives, dark):
    period = Period(THE_DAY, START, START + DAY)

    found = darkness([stint(*life) for life in lives], period, START + 40 * HOUR)

    assert found == [(START + a * HOUR, START + b * HOUR) for a, b in dark]


def test_a_life_that_still_beats_is_light_until_now_and_one_that_fell_silent_is_not():
    """I26."""
    now = START + 10 * HOUR
    period = Period(THE_DAY, START, now)
    seconds_ago = 10 - 5 / 3600

    assert darkness([stint(-1, seconds_ago, live=True)], period, now) == []
    assert darkness([stint(-1, 9, live=True)], period, now) == [(START + 9 * HOUR, now)]


@examples(max_examples=200)
@given(st.lists(st.tuples(st.integers(-120, 1500), st.integers(0, 600)), max_size=12))
def test_dark_minutes_agree_with_counting_them_one_by_one(lives):
    period = Period(THE_DAY, START, START + DAY)
    stints = [stint(begin / 60, (begin + length) / 60) for begin, length in lives]

    dark = sum((until - since for since, until in darkness(stints, period, START + 60 * HOUR)), timedelta(0))

    lit = {minute for begin, length in lives for minute in range(begin, begin + length)}
    assert dark == timedelta(minutes=len(set(range(1440)) - lit))


@examples(max_examples=200)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300))
def test_percentiles_are_values_that_occurred_with_enough_below_them(values):
    found = spread(values)

    assert found.most == max(values)
    for value, share in ((found.p50, 0.5), (found.p99, 0.99)):
        assert value in values
        assert sum(each <= value for each in values) >= share * len(values)
        assert sum(each < value for each in values) < share * len(values)


def test_no_values_have_no_spread():
    assert spread([]) is None


def test_the_strip_shows_every_slot_and_lets_the_gravest_win(memory, evening, settings):
    registry = jobs(settings)

    def ending(run: Run) -> Outcome:
        bad = run.slot and run.slot.due_at == START + 6 * HOUR
        return Outcome(State.FAILED, error="no") if bad else well(run)

    live(memory, registry, evening, START + 10 * HOUR, ending=ending)
    evening.sleep(3600)
    live(memory, registry, evening, START + 26 * HOUR)
    made = figures(memory, registry, evening.now())

    marks = strip(by_name(made)["heartbeat"], made)
    kinds = Counter(mark.kind for mark in marks)

    assert kinds["bad"] == 1
    assert next(mark for mark in marks if mark.kind == "bad").x == 6 * 60
    assert kinds["skipped"] == 1
    assert all(mark.x >= 0 and mark.x + mark.width <= MINUTES + BIN / timedelta(minutes=1) for mark in marks)
    assert [mark.kind for mark in background(made)] == ["dark"]


def test_whatever_a_job_printed_the_page_only_shows_it(memory, evening, settings):
    """S12, S13: the payload is text in the page, and nothing in it can load, run or hide."""
    registry = jobs(settings)

    def ending(run: Run) -> Outcome:
        if run.job_name == "ceo_brief":
            return Outcome(State.FAILED, error=NASTY, output=Output(head=f"{NASTY}\n</pre><img src=x onerror=1>"))
        return well(run)

    live(memory, registry, evening, START + 26 * HOUR, ending=ending)

    data, page = daily_report.make(THE_DAY, settings, memory, evening.now())

    assert "<script" not in page.lower()
    assert "<img" not in page.lower()
    assert "{{7*7}}" in page
    assert "U+001B[31mU+202E U+2028" in page
    assert "src=" not in page.replace("&lt;img src=x", "")
    assert "\x1b" not in json.dumps(data)


def context(**changes: object) -> RunContext:
    facts = {
        "run_id": 7,
        "job_name": "daily_report",
        "attempt": 1,
        "started_at": START + 33 * HOUR,
        "idempotency_key": "k",
    }
    return RunContext(**{**facts, **changes})  # type: ignore[arg-type]


def test_the_day_is_the_one_before_the_slot_even_when_it_runs_late():
    late = context(slot_at=START + 9 * HOUR, started_at=START + 30 * HOUR)

    assert daily_report.day_of(late) == date(2026, 2, 28)
    assert daily_report.day_of(context()) == THE_DAY
    assert daily_report.day_of(context(params={"date": None})) == THE_DAY  # a parameter not given
    assert daily_report.day_of(context(params={"date": "2026-02-03"})) == date(2026, 2, 3)
    assert daily_report.day_of(context(params={"date": "2026-03-02"})) == date(2026, 3, 2)


@pytest.mark.parametrize(
    "given",
    [
        "", " ", "yesterday", "2026-13-01", "2026-02-29", "2026-3-1", "20260301", "2026-03-03", "9999-12-31", "0001-01-01",
        "1969-12-31", "2026-03-01T00:00", "2026-03-01\n", "../../etc", "\uff12\uff10\uff12\uff16-03-01", 20260301, True, ["2026-03-01"],  # noqa: E501
            1e400,
    ],
)  # fmt: skip
def test_a_date_that_is_no_day_yet_is_refused_with_what_is_wanted(given):
    with pytest.raises(daily_report.NoSuchDay, match=r"wanted: a UTC day that has begun, YYYY-MM-DD") as caught:
        daily_report.day_of(context(params={"date": given}))

    assert len(str(caught.value)) < 250


def test_the_pair_is_written_and_named_in_the_result(settings: Settings, evening, tmp_path: Path):
    """I23: the result names both files, and the size and digest are those of the JSON."""
    settings.var_dir.mkdir()
    ledger = SqliteLedger(settings.ledger_path)
    live(ledger, Registry([Job("hourly", Every(HOUR), Inline("x"))]), evening, START + 26 * HOUR, step=1800)
    ledger.close()

    result = daily_report.run(context())
    again = daily_report.run(context())

    written = (settings.home / result["json_path"]).read_bytes()
    assert result["json_path"] == "logs/reports/report_20260301.json"
    assert (settings.home / result["html_path"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (result["bytes"], result["sha256"]) == (len(written), hashlib.sha256(written).hexdigest())
    assert json.loads(written)["headline"] == result["headline"]
    assert Path(again["json_path"]).name == "report_20260301_2.json"


def test_facts_of_nothing_make_an_unknown_day():
    made = report(THE_DAY, Registry([]), Facts(), START + 30 * HOUR)

    assert not made.period.is_known
    assert made.dark == []
