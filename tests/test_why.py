"""Why did it not run? The recorded answer, in words (I32)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from echopilot_jobs.accounting.backfilling import MOST, TooMany, choices
from echopilot_jobs.accounting.why import Answer, why
from echopilot_jobs.errors import WrongState
from echopilot_jobs.jobs import Job, Registry
from echopilot_jobs.runs import Outcome, State
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.spans import span, stamp
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.triggers import Cron, DailyAt, Every
from tests.lifekit import DAY, HOUR, TICK, Life
from tests.worldkit import MINUTE, WORK, end_with

MINUTELY = Job("minutely", Every(MINUTE), TICK)
DAILY = Job("daily", DailyAt(time(9)), WORK)


@pytest.fixture
def life(clock: FakeClock) -> Life:
    return Life(MemoryLedger(), clock)


def at(text: str) -> datetime:
    """`08:05` of the day everything begins, or a date and a time."""
    return datetime.fromisoformat(f"2026-03-02 {text}" if len(text) <= 8 else text).replace(tzinfo=UTC)


def asked(life: Life, job: Job | str, moment: str) -> Answer:
    name, present = (job, Registry([])) if isinstance(job, str) else (job.name, Registry([job]))
    return why(life.ledger, name, present, at(moment), life.clock.now(), stamp)


def test_a_slot_that_ran_says_which_run_and_how_late(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), 5 * MINUTE)

    answer = asked(life, MINUTELY, "08:02")

    assert answer.verdict == "ran"
    assert answer.sentences[0].startswith("it ran: run 3 succeeded, started ")
    assert answer.sentences[0].endswith("after its moment")
    assert answer.facts["runs"][0]["id"] == 3


def test_a_start_that_jitter_spread_is_not_told_as_lateness(life: Life) -> None:
    spread = Job("spread", Every(10 * MINUTE), TICK, jitter=5 * MINUTE)
    life.go_on(life.begin(spread), 40 * MINUTE)
    run = max(life.ledger.runs(job_name="spread"), key=lambda run: run.lateness or timedelta(0))

    assert run.slot is not None
    (sentence,) = asked(life, spread, f"{run.slot.due_at:%H:%M}").sentences

    assert run.spread > MINUTE
    assert sentence.endswith(f" after its moment, {span(run.spread)} of it by its job's jitter")


def test_a_slot_whose_run_failed_says_with_what(life: Life) -> None:
    scheduler = life.begin(replace(DAILY, retries=0))
    life.go_on(scheduler, 61 * MINUTE)
    assert len(life.world.engine.out) == 1
    assert asked(life, DAILY, "09:00").sentences[0].startswith("it ran: run 1 has been running for ")
    end_with(life.world, Outcome(State.FAILED, error="no route\x1b[31m"))
    life.go_on(scheduler, MINUTE)

    (sentence,) = asked(life, DAILY, "09:00").sentences

    assert sentence.startswith("it ran: run 1 failed, started ")
    assert sentence.endswith(": no routeU+001B[31m")


@pytest.mark.parametrize(
    ("end", "words"), [(State.FAILED, "failed"), (State.TIMED_OUT, "timed out"), (State.ABANDONED, "was abandoned")]
)
def test_a_slot_whose_run_waits_for_another_attempt_says_how_the_last_one_ended_I12(
    life: Life, end: State, words: str
) -> None:
    scheduler = life.begin(replace(DAILY, retries=2))
    life.go_on(scheduler, 61 * MINUTE)
    end_with(life.world, Outcome(end, error="bad luck", retry_after=HOUR))
    life.go_on(scheduler, MINUTE)

    sentence, *_ = asked(life, DAILY, "09:00").sentences

    assert sentence == f"it ran: run 1 {words} at attempt 1 and waits to try again: bad luck"


def test_a_slot_caught_up_names_the_outage_it_was_missed_in(life: Life) -> None:
    life.go_on(life.begin(DAILY), MINUTE)
    life.clock.sleep(2 * 3600)
    life.go_on(life.begin(DAILY), MINUTE)

    answer = asked(life, DAILY, "09:00")

    assert answer.verdict == "caught_up"
    assert answer.sentences[0].startswith("it was missed and caught up: run 1 has been running")
    assert answer.sentences[1].startswith("it was missed while nobody planned from 2026-03-02 08:00:2")
    assert answer.sentences[1].endswith(": the scheduler died")
    assert answer.facts["outage"]["cause"] == "crash"


def test_a_slot_in_a_gap_says_why_it_was_given_up_and_with_how_many(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), MINUTE)
    life.clock.sleep(5 * 3600)
    life.go_on(life.begin(MINUTELY), MINUTE)

    answer = asked(life, MINUTELY, "10:00")

    assert answer.verdict == "skipped"
    assert answer.sentences == (
        "it was skipped: it was missed, and when somebody planned again at 2026-03-02 13:00:30Z it was 3 h late, later than "
        "its window of 1 min allows",
        "it is one of 299 slots from 2026-03-02 08:01:00Z to 2026-03-02 12:59:00Z that were given up together at "
        "2026-03-02 13:00:30Z",
        "nobody planned from 2026-03-02 08:00:28Z to 2026-03-02 13:00:30Z: the scheduler died",
    )
    assert answer.facts["gap"] == {"first": "2026-03-02T08:01:00Z", "last": "2026-03-02T12:59:00Z", "count": 299}


def test_a_moment_inside_a_gap_that_is_no_slot_is_not_said_to_be_one(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), MINUTE)
    life.clock.sleep(5 * 3600)
    life.go_on(life.begin(MINUTELY), MINUTE)

    answer = asked(life, MINUTELY, "10:00:30")

    assert answer.verdict == "not_a_slot"
    assert answer.sentences == (
        "that is no slot of minutely (every 1 min)",
        "its slots around that are 2026-03-02 10:00:00Z and 2026-03-02 10:01:00Z",
    )


def test_a_paused_slot_says_by_whom_until_when_and_why(life: Life) -> None:
    scheduler = life.begin(DAILY)
    life.go_on(scheduler, MINUTE)
    life.ledger.pause("daily", life.clock.now(), at("18:00"), "cli:ann", "disk move")
    life.go_on(scheduler, 2 * HOUR)

    answer = asked(life, DAILY, "09:00")

    assert answer.sentences == (
        "it was skipped: the job was paused",
        "it was paused by cli:ann from 2026-03-02 08:00:30Z to 2026-03-02 18:00:00Z, saying 'disk move'",
    )
    assert answer.facts["pauses"][0]["by"] == "cli:ann"


def test_a_pause_that_was_ended_since_is_still_named(life: Life) -> None:
    scheduler = life.begin(DAILY)
    life.go_on(scheduler, MINUTE)
    life.ledger.pause("daily", life.clock.now(), None, "cli:ann", "")
    life.go_on(scheduler, 2 * HOUR)
    life.ledger.resume("daily", life.clock.now(), "cli:bob")

    assert asked(life, DAILY, "09:00").sentences[1].startswith("it was paused by cli:ann from 2026-03-02 08:00:30Z to ")


def test_an_overlap_names_the_run_that_was_open(life: Life) -> None:
    slow = Job("slow", Every(MINUTE), WORK)
    life.go_on(life.begin(slow), 3 * MINUTE)

    answer = asked(life, slow, "08:01")

    assert answer.sentences == (
        "it was skipped: run 1 of the job was running, and its overlap rule 'skip' allows no more",
    )


def test_an_overlap_names_the_run_at_work_and_none_between_attempts(life: Life) -> None:
    slow = Job("slow", Every(MINUTE), WORK, retries=3)
    scheduler = life.begin(slow)
    life.go_on(scheduler, timedelta(seconds=40))
    ((_, run),) = life.world.engine.out
    end_with(life.world, Outcome(State.FAILED, error="bad luck", retry_after=HOUR))
    by_hand, _ = life.ledger.request_run("slow", life.clock.now(), actor="cli:ann")
    life.go_on(scheduler, 2 * MINUTE)

    answer = asked(life, slow, "08:01")

    assert life.ledger.run(run.id).state is State.RETRY_WAIT
    assert answer.sentences[0].startswith(f"it was skipped: run {by_hand.id} of the job was running, and")


def test_an_overlap_with_a_run_that_had_not_started_says_that_it_waited_I32(life: Life) -> None:
    slow = Job("slow", Every(MINUTE), WORK)
    life.world.engine.room = 0
    life.go_on(life.begin(slow), 3 * MINUTE)

    (sentence,) = asked(life, slow, "08:02").sentences

    assert sentence == "it was skipped: run 1 of the job waited to start, and its overlap rule 'skip' allows no more"


def test_an_overlap_of_queue_one_names_the_run_that_waited_already_I32(life: Life) -> None:
    slow = Job("slow", Every(MINUTE), WORK, overlap="queue_one")
    life.go_on(life.begin(slow), 4 * MINUTE)

    (sentence,) = asked(life, slow, "08:03").sentences

    assert sentence == (
        "it was skipped: run 2 of the job waited in the queue already, and its overlap rule 'queue_one' lets only one wait"
    )


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (8, "runs 1 and 2 of the job were running"),
        (1, "run 1 of the job was running and run 2 waited to start"),
        (0, "runs 1 and 2 of the job waited to start"),
    ],
)
def test_an_overlap_of_allow_names_every_run_that_was_open_I32(life: Life, places: int, said: str) -> None:
    slow = Job("slow", Every(MINUTE), WORK, overlap="allow", max_instances=2)
    life.world.engine.room = places
    life.go_on(life.begin(slow), 4 * MINUTE)

    (sentence,) = asked(life, slow, "08:03").sentences

    assert sentence == f"it was skipped: {said}, and its overlap rule 'allow(2)' allows no more"


def test_a_slot_that_has_just_come_due_beside_a_stopped_scheduler_says_so(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), 5 * MINUTE)
    life.clock.sleep(95)

    told = asked(life, MINUTELY, "08:06").sentences

    assert told[0] == "it has come due and nobody has decided about it yet"
    assert told[1].startswith("no scheduler has planned anything since ")


def test_slots_passed_over_for_a_newer_one_say_which_one_ran(life: Life) -> None:
    hourly = Job("hourly", Every(HOUR), WORK, catch_up_window=DAY)
    life.go_on(life.begin(hourly), timedelta(seconds=10))
    life.clock.sleep(4 * 3600)
    life.go_on(life.begin(hourly), MINUTE)

    answer = asked(life, hourly, "09:00")

    assert answer.sentences[0] == (
        "it was skipped: newer slots of the job had come due before anybody planned, and only the newest is run; that was "
        "2026-03-02 11:00:00Z, run 1"
    )


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Job("j", Every(HOUR), WORK, catch_up="none"), "missed slots of this job are not caught up"),
        (
            Job("j", Every(HOUR), WORK, catch_up="all", catch_up_window=30 * DAY),
            "more slots were missed than are caught up at once (10), and this was an older one",
        ),
        (
            Job("j", Every(HOUR), WORK, enabled=False),
            "it was skipped: when it was decided, at 2026-03-03 03:59:44Z, the job was disabled",
        ),
    ],
    ids=["none", "cap", "disabled"],
)
def test_every_reason_has_its_sentence(life: Life, job: Job, said: str) -> None:
    life.go_on(life.begin(job), timedelta(seconds=10))
    life.clock.sleep(20 * 3600)
    life.go_on(life.begin(job), MINUTE)

    assert said in asked(life, job, "09:00").sentences[0]


def test_no_reason_is_without_words() -> None:
    from echopilot_jobs.accounting.reasons import Given, skip_words

    given = Given("j", at("08:00"), at("09:00"), {})

    assert all(len(skip_words(MemoryLedger(), reason, given, stamp)) > 10 for reason in SkipReason)


def test_calendar_jobs_that_wait_for_the_clock_say_so(life: Life) -> None:
    scheduler = life.begin(DAILY)
    life.go_on(scheduler, MINUTE)
    life.clock.step(5 * 3600)
    life.go_on(scheduler, MINUTE)

    waits = asked(life, DAILY, "09:00")
    life.ledger.trust_clock()
    life.go_on(scheduler, MINUTE)
    after = asked(life, DAILY, "09:00")

    assert waits.verdict == "not_planned"
    assert "calendar jobs wait because the machine's clock was set at 2026-03-02 13:00:30Z" in waits.sentences[1]
    assert after.verdict == "caught_up"


def test_a_moment_the_clock_showed_twice_says_that_it_was_set(life: Life) -> None:
    scheduler = life.begin(MINUTELY)
    life.go_on(scheduler, 10 * MINUTE)
    life.clock.step(-5 * 60)
    life.go_on(scheduler, 10 * MINUTE)

    answer = asked(life, MINUTELY, "08:08")

    assert [run["slot_at"] for run in answer.facts["runs"]] == ["2026-03-02T08:08:00Z"] * 2
    assert answer.facts["generations"] == [0, 1]
    assert answer.sentences[-1].startswith("the machine's clock was set at 2026-03-02 08:04:3")


def test_before_the_job_was_registered_it_owes_nothing(life: Life) -> None:
    life.go_on(life.begin(DAILY), MINUTE)

    answer = asked(life, DAILY, "2026-03-01 09:00")

    assert answer.verdict == "unregistered"
    assert (
        answer.sentences[0]
        == "daily was registered at 2026-03-02 07:59:30Z, after that moment, and owes nothing before"
    )


def test_the_future_is_the_future(life: Life) -> None:
    life.go_on(life.begin(DAILY), timedelta(seconds=30))

    assert asked(life, DAILY, "09:00").sentences[0] == "that is in 1 h: the slot has not come yet"
    assert "is no slot of daily" in asked(life, DAILY, "09:01").sentences[0]
    assert asked(life, "daily", "09:00").sentences[0] == "that is in 1 h, and daily is no longer defined"


def test_a_slot_under_another_definition_names_it_and_since_when(life: Life) -> None:
    life.go_on(life.begin(DAILY), 2 * HOUR)
    later = replace(DAILY, trigger=DailyAt(time(9, 30)))
    life.go_on(life.begin(later), 24 * HOUR)

    answer = asked(life, later, "2026-03-03 09:00")

    assert answer.verdict == "not_a_slot"
    assert answer.sentences[1].startswith(
        "by 'daily at 09:00 UTC', the definition from 2026-03-02 07:59:30Z to 2026-03-02 09:59:"
    )


def test_what_changed_times_left_undone_is_said(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), MINUTE)
    life.clock.sleep(3600)
    other = replace(MINUTELY, trigger=Every(2 * MINUTE))
    life.go_on(life.begin(other), 5 * MINUTE)

    answer = asked(life, other, "08:30")

    assert answer.verdict == "skipped"
    assert (
        "the times of the job were changed, or it was removed, before anybody decided about it nobody planned"
        in " ".join(answer.sentences)
    )


def test_a_moment_before_the_registration_that_is_no_slot_anyway_is_said_to_be_none_first(life: Life) -> None:
    life.go_on(life.begin(DAILY), 90 * MINUTE)

    none, early = asked(life, DAILY, "02:30"), asked(life, DAILY, "2026-03-01 09:00")

    assert none.verdict == "not_a_slot"
    assert none.sentences[0] == "that is no slot of daily (daily at 09:00 UTC)"
    assert none.sentences[1].startswith("daily was registered at 2026-03-02 07:59:30Z, after that moment")
    assert early.verdict == "unregistered"
    assert early.sentences[0] == none.sentences[1]


def test_a_slot_nobody_planned_yet_says_what_planning_waits_for(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), 2 * MINUTE)
    life.clock.sleep(600)

    answer = asked(life, MINUTELY, "08:05")

    assert answer.verdict == "not_planned"
    assert answer.sentences[1].startswith("no scheduler has planned anything since 2026-03-02 08:01:")
    assert asked(life, MINUTELY, "08:11").sentences[0] == "it has come due and nobody has decided about it yet"


def test_since_when_nobody_plans_is_told_alike_before_and_after_somebody_does_again(life: Life) -> None:
    """Also where the scheduler beat on after its last pass, as one does that is stopped and waits for its runs."""
    scheduler = life.begin(MINUTELY)
    life.go_on(scheduler, 2 * MINUTE)
    since = stamp(life.clock.now())
    scheduler.beat()
    life.clock.sleep(3)
    scheduler.beat(planning=False)
    life.clock.sleep(600)
    before = asked(life, MINUTELY, "08:05").sentences
    undecided = life.audit().undecided

    life.go_on(life.begin(MINUTELY), MINUTE)

    assert f"no scheduler has planned anything since {since}; the next one decides about the slot" in before[1]
    assert undecided is not None
    assert undecided.words.endswith(f": no scheduler has planned anything since {since}")
    assert f"nobody planned from {since} to " in " ".join(asked(life, MINUTELY, "08:05").sentences)


def test_a_lost_slot_is_called_lost(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), 5 * MINUTE)
    life.sql("delete from runs where slot_at = ?", int(at("08:02").timestamp()))

    answer = asked(life, MINUTELY, "08:02")

    assert answer.verdict == "lost"
    assert answer.sentences[1] == "see `echopilot audit`"


def test_what_retention_removed_is_said(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), 5 * MINUTE)
    life.ledger.prune(at("08:03"), 1, 100, now=life.clock.now())

    assert (
        asked(life, MINUTELY, "08:02").sentences[0]
        == "the history before 2026-03-02 08:03:00Z was removed by retention"
    )


def test_a_definition_kept_without_its_rule_answers_nothing_it_cannot_know(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), 5 * MINUTE)
    life.sql("update definitions set definition = json_remove(definition, '$.rule')")

    assert asked(life, MINUTELY, "08:02").verdict == "ran"
    assert asked(life, MINUTELY, "08:02:30").verdict == "unknown"


def test_a_backfilled_slot_tells_both_stories(life: Life) -> None:
    scheduler = life.begin(MINUTELY)
    life.go_on(scheduler, MINUTE)
    life.clock.sleep(3600)
    scheduler = life.begin(MINUTELY)
    life.go_on(scheduler, MINUTE)
    chosen = choices(life.ledger, MINUTELY, at("08:30"), at("08:31"))
    life.ledger.backfill("minutely", [each.slot for each in chosen], "cli:ann", life.clock.now())
    life.go_on(scheduler, MINUTE)

    answer = asked(life, MINUTELY, "08:30")

    assert answer.verdict == "backfilled"
    assert answer.sentences[0].startswith("it was skipped: ")
    assert answer.sentences[-1].startswith("it was backfilled at ")
    assert "by cli:ann: run " in answer.sentences[-1]


def test_a_backlog_that_waits_for_a_word_says_so(life: Life) -> None:
    weekly = Job("weekly", Cron("0 9 * * *"), WORK, catch_up="all", catch_up_window=30 * DAY)
    life.go_on(life.begin(weekly), MINUTE)
    life.clock.sleep(5 * 86_400)
    life.go_on(life.begin(weekly), MINUTE)

    answer = asked(life, weekly, "2026-03-04 09:00")

    assert answer.verdict == "waiting"
    assert answer.sentences[0] == "it was missed and is to be caught up: run 3 waits in the queue"
    assert "unanswered, the newest of each job runs in 59 min" in answer.sentences[2]


def test_a_slot_whose_backlog_was_answered_without_it_was_not_caught_up(life: Life) -> None:
    daily = Job("daily", DailyAt(time(9)), WORK, catch_up="all", catch_up_window=30 * DAY)
    life.go_on(life.begin(daily), MINUTE)
    life.clock.sleep(5 * 86_400)
    life.go_on(life.begin(daily), MINUTE)

    life.ledger.answer_hold("latest", "cli:root", life.clock.now())

    answer = asked(life, daily, "2026-03-04 09:00")
    assert answer.verdict == "cancelled"
    assert answer.sentences[0] == (
        "it was missed and not caught up: run 3 was cancelled before it started: its backlog was answered 'latest' by "
        "cli:root"
    )


def test_a_slot_that_is_skipped_is_that_whatever_became_of_a_backfill_before_it_started(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), MINUTE)
    life.clock.sleep(600)
    life.go_on(life.begin(MINUTELY), MINUTE)
    (run,) = life.ledger.backfill("minutely", [Slot("minutely", at("08:05"))], "cli:ann", life.clock.now())
    waits = asked(life, MINUTELY, "08:05")

    life.ledger.cancel(run.id, life.clock.now(), "cli:ann")

    assert waits.verdict == "waiting"
    assert asked(life, MINUTELY, "08:05").verdict == "skipped"


# -- which slots a backfill takes


def test_a_backfill_takes_what_was_skipped_and_leaves_what_ran(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), 2 * MINUTE)
    life.clock.sleep(600)
    life.go_on(life.begin(MINUTELY), MINUTE)

    found = choices(life.ledger, MINUTELY, at("08:00:30"), at("08:03"))

    assert [(f"{each.slot.due_at:%H:%M}", each.is_queued, each.skipped) for each in found] == [
        ("08:01", False, None),
        ("08:02", True, SkipReason.EXPIRED),
        ("08:03", True, SkipReason.EXPIRED),
    ]


def test_a_backfill_goes_by_the_definition_of_each_time_and_by_the_present_one_before_the_first(life: Life) -> None:
    life.go_on(life.begin(replace(DAILY, action=TICK)), 26 * HOUR)
    later = replace(DAILY, action=TICK, trigger=DailyAt(time(11)))
    life.go_on(life.begin(later), 26 * HOUR)

    found = choices(life.ledger, later, at("2026-02-28 00:00"), at("2026-03-04 11:30"))

    assert [f"{each.slot.due_at:%d %H}" for each in found] == ["28 11", "01 11", "02 09", "03 09", "03 11", "04 11"]
    assert [each.run_id is not None for each in found] == [False, False, True, True, True, True]


def test_a_backfill_of_too_much_names_the_number(life: Life) -> None:
    life.go_on(life.begin(MINUTELY, Job("cronly", Cron("* * * * *"), TICK)), MINUTE)

    assert len(choices(life.ledger, MINUTELY, life.clock.now() - MOST * MINUTE, life.clock.now())) == MOST
    with pytest.raises(TooMany, match="'minutely' has 1,001 slots there; a backfill takes at most 1,000"):
        choices(life.ledger, MINUTELY, life.clock.now() - (MOST + 1) * MINUTE, life.clock.now())
    with pytest.raises(TooMany, match="has 5,258,880 slots there"):
        choices(life.ledger, MINUTELY, life.clock.now() - 3652 * DAY, life.clock.now())
    with pytest.raises(TooMany, match="has more than 100,000 slots there"):
        choices(life.ledger, Job("cronly", Cron("* * * * *"), TICK), life.clock.now() - 3652 * DAY, life.clock.now())


def test_a_slot_the_scheduler_has_not_decided_about_is_not_for_people_to_backfill(life: Life) -> None:
    life.go_on(life.begin(MINUTELY), MINUTE)
    life.clock.sleep(600)

    with pytest.raises(WrongState, match="slot of 2026-03-02 08:01:00Z is not planned yet"):
        choices(life.ledger, MINUTELY, at("08:00"), life.clock.now())


def test_a_moment_before_the_registration_that_a_clock_set_back_came_to_is_told_of_the_clock(life: Life) -> None:
    """The clock is set back by a day, an outage falls into that time, and then the clock is right again."""
    scheduler = life.begin(MINUTELY)
    life.go_on(scheduler, 2 * MINUTE)
    life.clock.step(-86_400)
    life.go_on(scheduler, 3 * MINUTE)
    ran = life.ledger.runs(limit=1)[0].slot
    life.clock.sleep(300)
    life.clock.step(86_400)
    life.go_on(life.begin(MINUTELY), MINUTE)

    assert ran is not None
    missed = why(life.ledger, "minutely", Registry([MINUTELY]), ran.due_at + 3 * MINUTE, life.clock.now(), stamp)
    earlier = why(life.ledger, "minutely", Registry([MINUTELY]), ran.due_at - 600 * MINUTE, life.clock.now(), stamp)

    assert missed.verdict == "undefined"
    assert "or the clock was set, and such time is not made up for" in missed.sentences[0]
    assert earlier.verdict == "unregistered"
