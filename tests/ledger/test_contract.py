"""What every store promises. Each test runs on each store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from echopilot_jobs.errors import LeaseLost, UnknownName, WrongState
from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.ledger import Lease, Limits, SqliteLedger
from echopilot_jobs.ledger.statements import statements
from echopilot_jobs.outages import Cause, Outage
from echopilot_jobs.planner import Plan
from echopilot_jobs.runs import BAD_ENDS, Origin, Outcome, Output, Run, State
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.triggers import Every
from tests.schedulekit import claim, dispose, plan_all, reading, standing, stretch

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
JOB = Job(name="j", trigger=Every(MINUTE), action=Inline("tick"))
OTHER = Job(name="k", trigger=Every(MINUTE), action=Inline("tick"))
DONE = Outcome(State.SUCCEEDED, result={"n": 1}, duration_ms=5, output=Output("said", "", 0))


@pytest.fixture
def lease(ledger: SqliteLedger) -> Lease:
    lease = ledger.take_lease("boot:1:1", "host", "abc", NOON)
    with ledger.leading(lease, NOON) as leading:
        standing(leading, JOB)
    return lease


def claim_slot(ledger: SqliteLedger, lease: Lease, at: datetime, job: Job = JOB) -> list[Run]:
    with ledger.leading(lease, at) as leading:
        return dispose(leading, job, Plan(at, (claim(Slot(job.name, at)),)))


def start_all(ledger: SqliteLedger, lease: Lease, at: datetime, limit: int = 9) -> list[Run]:
    with ledger.leading(lease, at) as leading:
        return leading.start_ready(Limits(limit))


def running(ledger: SqliteLedger, lease: Lease, at: datetime = NOON + MINUTE) -> Run:
    claim_slot(ledger, lease, at)
    (run,) = start_all(ledger, lease, at)
    return run


def finish(ledger: SqliteLedger, lease: Lease, run: Run, at: datetime, retry_at: datetime | None = None) -> Run:
    with ledger.leading(lease, at) as leading:
        return leading.finish(run, DONE, retry_at)


def test_a_slot_is_claimed_once_whoever_asks_again_I1(ledger: SqliteLedger, lease: Lease) -> None:
    first = claim_slot(ledger, lease, NOON + MINUTE)
    again = claim_slot(ledger, lease, NOON + MINUTE)

    assert [run.slot for run in first] == [Slot("j", NOON + MINUTE)]
    assert again == []
    assert len(ledger.runs()) == 1


@pytest.mark.parametrize("state", sorted(BAD_ENDS))
def test_bad_ends_are_found_by_their_end_through_an_index(ledger: SqliteLedger, lease: Lease, state: State) -> None:
    """The slot may lie weeks back, and a million other runs are not looked at for it."""
    run, ended_at = running(ledger, lease, NOON - timedelta(days=20)), NOON + MINUTE
    with ledger.leading(lease, ended_at) as leading:
        leading.finish(run, Outcome(state))
    with ledger._writing() as sql:
        asked = f"explain query plan {statements()['bad_ends_between']}"
        plan = " ".join(row["detail"] for row in sql.db.execute(asked, {"start": 1, "end": 2}))

    assert [found.id for found in ledger.bad_ends_between(ended_at, ended_at + MINUTE)] == [run.id]
    assert ledger.bad_ends_between(NOON - timedelta(days=21), ended_at) == []
    assert "SEARCH runs USING INDEX runs_ended_badly" in plan
    assert "SCAN runs" not in plan


def test_a_run_goes_from_queued_through_running_to_its_end_with_every_move_recorded(
    ledger: SqliteLedger, lease: Lease
) -> None:
    run = running(ledger, lease)

    done = finish(ledger, lease, run, NOON + 2 * MINUTE)

    assert (done.state, done.attempt, done.result, done.duration_ms) == (State.SUCCEEDED, 1, {"n": 1}, 5)
    assert (done.owner, done.host, done.code_revision) == ("boot:1:1", "host", "abc")
    assert [event.state for event in ledger.events(run.id)] == [State.QUEUED, State.RUNNING, State.SUCCEEDED]
    assert ledger.output(run.id) == Output("said", "", 0)


def test_an_end_never_changes_I6(ledger: SqliteLedger, lease: Lease) -> None:
    run = running(ledger, lease)
    finish(ledger, lease, run, NOON + MINUTE)

    with pytest.raises(WrongState, match="no longer ours"):
        finish(ledger, lease, run, NOON + 2 * MINUTE)

    assert ledger.abandon_owned_by(["boot:1:1"], NOON + 2 * MINUTE, "dead") == []
    assert ledger.run(run.id).state is State.SUCCEEDED


def test_a_deposed_scheduler_can_write_nothing_I20(ledger: SqliteLedger, lease: Lease) -> None:
    run = running(ledger, lease)
    newer = ledger.take_lease("boot:2:2", "host", "abc", NOON + MINUTE)

    with pytest.raises(LeaseLost), ledger.leading(lease, NOON + MINUTE):
        pass
    with pytest.raises(WrongState), ledger.leading(newer, NOON + MINUTE) as leading:
        leading.finish(run, DONE)

    assert newer.term == lease.term + 1
    assert ledger.run(run.id).state is State.RUNNING


def test_a_stint_that_ended_can_write_nothing(ledger: SqliteLedger, lease: Lease) -> None:
    ledger.end_stint(lease, "stopped", NOON + MINUTE)

    with pytest.raises(LeaseLost), ledger.leading(lease, NOON + MINUTE):
        pass

    stint = ledger.stint()
    assert stint
    assert (stint.ended_how, stint.ended_at) == ("stopped", NOON + MINUTE)


def test_what_waits_in_the_queue_is_counted_for_all_jobs_and_for_one(ledger: SqliteLedger, lease: Lease) -> None:
    with ledger.leading(lease, NOON) as leading:
        standing(leading, OTHER)
    assert ledger.count_queued() == 0
    running(ledger, lease)
    for minutes in (2, 3, 4):
        claim_slot(ledger, lease, NOON + minutes * MINUTE)
    claim_slot(ledger, lease, NOON + MINUTE, OTHER)

    assert (ledger.count_queued(), ledger.count_queued("j"), ledger.count_queued("nobody")) == (4, 3, 0)


def test_a_pass_is_all_or_nothing(ledger: SqliteLedger, lease: Lease) -> None:
    def cut_short() -> None:
        with ledger.leading(lease, NOON + MINUTE) as leading:
            dispose(leading, JOB, Plan(NOON + MINUTE, (claim(Slot("j", NOON + MINUTE)),)))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        cut_short()

    assert ledger.runs() == []
    with ledger.leading(lease, NOON + MINUTE) as leading:
        assert standing(leading, JOB).planned_through == NOON


def test_a_job_runs_once_at_a_time_and_the_next_waits_I8(ledger: SqliteLedger, lease: Lease) -> None:
    first = running(ledger, lease)
    ledger.request_run("j", NOON + MINUTE)

    assert start_all(ledger, lease, NOON + MINUTE) == []

    finish(ledger, lease, first, NOON + MINUTE)
    assert [run.origin for run in start_all(ledger, lease, NOON + MINUTE)] == [Origin.MANUAL]


def test_two_queued_runs_of_one_job_do_not_start_in_one_pass_I8(ledger: SqliteLedger, lease: Lease) -> None:
    claim_slot(ledger, lease, NOON + MINUTE)
    claim_slot(ledger, lease, NOON + 2 * MINUTE)

    started = start_all(ledger, lease, NOON + 2 * MINUTE)

    assert [run.slot for run in started] == [Slot("j", NOON + MINUTE)]


def test_only_as_many_start_as_there_is_room_for_and_inline_jobs_need_none(ledger: SqliteLedger, lease: Lease) -> None:
    for job in (JOB, OTHER):
        claim_slot(ledger, lease, NOON + MINUTE, job)

    with ledger.leading(lease, NOON + MINUTE) as leading:
        without_room = leading.start_ready(Limits(0, frozenset({"k"})))

    assert [run.job_name for run in without_room] == ["k"]
    assert [run.job_name for run in start_all(ledger, lease, NOON + MINUTE, limit=1)] == ["j"]


def test_a_failed_attempt_waits_and_starts_again_as_the_next_attempt_I17(ledger: SqliteLedger, lease: Lease) -> None:
    run = running(ledger, lease)
    waiting = finish(ledger, lease, run, NOON + MINUTE, retry_at=NOON + 2 * MINUTE)

    assert (waiting.state, waiting.not_before, waiting.finished_at) == (State.RETRY_WAIT, NOON + 2 * MINUTE, None)
    assert start_all(ledger, lease, NOON + MINUTE) == []

    (again,) = start_all(ledger, lease, NOON + 2 * MINUTE)
    assert (again.id, again.attempt, again.started_at) == (run.id, 2, run.started_at)


def test_a_new_attempt_has_no_figures_of_the_one_before(ledger: SqliteLedger, lease: Lease) -> None:
    """Nobody is there to see how an attempt ends whose scheduler dies."""
    run = running(ledger, lease)
    ended = Outcome(State.FAILED, error="no", exit_status=1, http_status=500, duration_ms=205)
    with ledger.leading(lease, NOON + MINUTE) as leading:
        leading.finish(run, ended, NOON + MINUTE)
    (again,) = start_all(ledger, lease, NOON + MINUTE)

    (lost,) = ledger.abandon_owned_by(["boot:1:1"], NOON + 2 * MINUTE, "dead")

    for seen in (again, lost, ledger.run(run.id)):
        assert (seen.attempt, seen.duration_ms, seen.exit_status, seen.http_status) == (2, None, None, None)


BAD = [State.FAILED, State.TIMED_OUT, State.ABANDONED]


def ends_badly(ledger: SqliteLedger, lease: Lease, run: Run, state: State) -> Run:
    """Its attempt ends as *state*, and the next one is far off."""
    with ledger.leading(lease, NOON + MINUTE) as leading:
        return leading.finish(run, Outcome(state, error="bad luck"), NOON + 9 * MINUTE)


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("end", BAD)
def test_retries_stop_when_the_next_slot_is_claimed_and_the_run_ends_as_its_last_attempt_did_I12(
    ledger: SqliteLedger, lease: Lease, end: State, cancels: bool
) -> None:
    waiting = ends_badly(ledger, lease, running(ledger, lease), end)
    plan = Plan(NOON + 2 * MINUTE, (claim(Slot("j", NOON + 2 * MINUTE)),), cancels_previous=cancels)

    with ledger.leading(lease, NOON + 2 * MINUTE) as leading:
        standing(leading, JOB)
        (ended,) = leading.dispose([(JOB, plan)]).ended

    assert waiting.attempt_end is end
    assert (ended.state, ended.error) == (end, "bad luck (no more retries: the next slot came due)")
    assert (ended.finished_at, ended.not_before, ended.attempt_end) == (NOON + 2 * MINUTE, None, None)
    assert ledger.run(waiting.id) == ended
    assert [event.state for event in ledger.events(waiting.id)][-2:] == [State.RETRY_WAIT, end]
    assert ledger.last_ends()["j"] == (None, NOON + 2 * MINUTE)


@pytest.mark.parametrize("first", BAD)
@pytest.mark.parametrize("last", BAD)
def test_of_several_attempts_the_last_one_says_how_the_run_ended_I12(
    ledger: SqliteLedger, lease: Lease, first: State, last: State
) -> None:
    run = ends_badly(ledger, lease, running(ledger, lease), first)
    (again,) = start_all(ledger, lease, NOON + 9 * MINUTE)
    going = ledger.run(run.id)
    ends_badly(ledger, lease, again, last)

    claim_slot(ledger, lease, NOON + 10 * MINUTE)

    assert (again.attempt_end, going.attempt_end) == (None, None)
    assert (ledger.run(run.id).state, ledger.run(run.id).attempt) == (last, 2)


def test_attempts_that_end_together_and_differently_are_each_told_as_they_ended_I12(
    ledger: SqliteLedger, lease: Lease
) -> None:
    for job in (JOB, OTHER):
        claim_slot(ledger, lease, NOON + MINUTE, job)
    ends = zip(start_all(ledger, lease, NOON + MINUTE), (State.TIMED_OUT, State.FAILED), strict=True)
    with ledger.leading(lease, NOON + MINUTE) as leading:
        leading.finish_all([(run, Outcome(state, error="bad luck"), NOON + 9 * MINUTE) for run, state in ends])

    for job in (JOB, OTHER):
        claim_slot(ledger, lease, NOON + 2 * MINUTE, job)

    ended = {run.job_name: run.state for run in ledger.runs() if not run.is_open}
    assert ended == {"j": State.TIMED_OUT, "k": State.FAILED}


@pytest.mark.parametrize("end", BAD)
def test_what_a_person_or_the_end_of_its_job_cancels_between_attempts_is_told_as_that_I12(
    ledger: SqliteLedger, lease: Lease, end: State
) -> None:
    """Somebody decided it; how the attempt before went stays among its moves."""

    def cancelled_by(how: str, job: Job) -> Run:
        claim_slot(ledger, lease, NOON + MINUTE, job)
        waiting = ends_badly(ledger, lease, start_all(ledger, lease, NOON + MINUTE)[0], end)
        match how:
            case "one":
                ledger.cancel(waiting.id, NOON + 2 * MINUTE, "me")
            case "all":
                ledger.cancel_waiting(job.name, NOON + 2 * MINUTE, "me")
            case _:
                ledger.set_defined([], NOON + 2 * MINUTE)
        return ledger.run(waiting.id)

    jobs = [Job(name=name, trigger=Every(MINUTE), action=Inline("tick")) for name in ("one", "all", "gone")]

    ended = [cancelled_by(job.name, job) for job in jobs]

    words = ["cancelled by me", "cancelled by me", "its job is no longer defined"]
    assert [(run.state, run.error) for run in ended] == [(State.CANCELLED, said) for said in words]
    assert [run.attempt_end for run in ended] == [None] * 3
    assert all(ledger.events(run.id)[-2].note == "bad luck" for run in ended)


def test_a_last_attempt_whose_scheduler_died_is_abandoned_however_the_one_before_ended_I12(
    ledger: SqliteLedger, lease: Lease
) -> None:
    run = ends_badly(ledger, lease, running(ledger, lease), State.TIMED_OUT)
    start_all(ledger, lease, NOON + 9 * MINUTE)

    (lost,) = ledger.abandon_owned_by(["boot:1:1"], NOON + 10 * MINUTE, "dead")

    assert (lost.id, lost.state, lost.attempt_end) == (run.id, State.ABANDONED, None)


def test_an_old_attempt_cannot_finish_the_new_one_I6(ledger: SqliteLedger, lease: Lease) -> None:
    first = running(ledger, lease)
    finish(ledger, lease, first, NOON + MINUTE, retry_at=NOON + MINUTE)
    start_all(ledger, lease, NOON + MINUTE)

    with pytest.raises(WrongState):
        finish(ledger, lease, first, NOON + MINUTE)


def test_the_same_request_key_gives_the_same_run_I24(ledger: SqliteLedger, lease: Lease) -> None:
    first, is_new = ledger.request_run("j", NOON, request_key="click-1", actor="me", params={"n": 1})
    again, is_new_again = ledger.request_run("j", NOON + MINUTE, request_key="click-1", params={"n": 1})

    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert (first.actor, first.params, first.origin) == ("me", {"n": 1}, Origin.MANUAL)


@pytest.mark.parametrize("params", [{"n": 2}, {"n": 1, "m": 0}, {}, None])
def test_a_request_key_that_comes_with_other_parameters_is_refused_I24(
    ledger: SqliteLedger, lease: Lease, params: dict[str, int] | None
) -> None:
    first, _ = ledger.request_run("j", NOON, request_key="click-1", params={"n": 1})

    with pytest.raises(WrongState, match=f"run {first.id} of 'j' was asked for with this key and other parameters"):
        ledger.request_run("j", NOON, request_key="click-1", params=params)

    assert ledger.runs() == [first]


def test_a_second_manual_run_is_refused_while_one_waits_F63(ledger: SqliteLedger, lease: Lease) -> None:
    ledger.request_run("j", NOON)

    with pytest.raises(WrongState, match="already waits"):
        ledger.request_run("j", NOON)


def test_an_unknown_job_cannot_be_requested_and_the_nearest_is_named(ledger: SqliteLedger, lease: Lease) -> None:
    with ledger.leading(lease, NOON) as leading:
        standing(leading, Job(name="daily_report", trigger=Every(MINUTE), action=Inline("tick")))

    with pytest.raises(UnknownName, match="no job named 'dayly_report'; did you mean 'daily_report'"):
        ledger.request_run("dayly_report", NOON)


def test_a_startup_run_is_queued_once_a_term(ledger: SqliteLedger, lease: Lease) -> None:
    for expected in (1, 0):
        with ledger.leading(lease, NOON) as leading:
            run = leading.request("j", Origin.STARTUP, f"startup:{lease.term}:j")
        assert (run is not None) == bool(expected)


def test_rows_of_a_dead_owner_are_abandoned_and_others_are_not_I5_I7(ledger: SqliteLedger, lease: Lease) -> None:
    run = running(ledger, lease)

    assert ledger.running_owners() == {"boot:1:1": None}
    assert ledger.abandon_owned_by(["boot:9:9"], NOON, "dead") == []

    (lost,) = ledger.abandon_owned_by(["boot:1:1"], NOON + MINUTE, "dead")
    assert (lost.id, lost.state, lost.error) == (run.id, State.ABANDONED, "dead")


class OtherwiseWorded(Every):
    """The same rule as another release would say it."""

    def __str__(self) -> str:
        return "once a minute"


@pytest.mark.parametrize("trigger", [Every(timedelta(seconds=30)), Every(MINUTE, timedelta(seconds=30))])
def test_a_job_with_new_times_owes_nothing_for_the_time_before_the_edit(
    ledger: SqliteLedger, lease: Lease, trigger: Every
) -> None:
    edited = Job(name="j", trigger=trigger, action=Inline("tick"))

    with ledger.leading(lease, NOON + timedelta(hours=1)) as leading:
        known = standing(leading, edited)

    assert known.planned_through == NOON + timedelta(hours=1)


@pytest.mark.parametrize("trigger", [Every(MINUTE), OtherwiseWorded(MINUTE)])
def test_an_edit_of_anything_but_the_times_forgets_no_slot_I2_I32(
    ledger: SqliteLedger, lease: Lease, trigger: Every
) -> None:
    edited = Job(name="j", trigger=trigger, action=Inline("tick"), description="new words", retries=3)

    with ledger.leading(lease, NOON + timedelta(hours=1)) as leading:
        known = standing(leading, edited)

    assert known.planned_through == NOON


def test_skips_and_gaps_are_told_apart_and_found_by_time(ledger: SqliteLedger, lease: Lease) -> None:
    few = tuple(Slot("j", NOON + n * MINUTE) for n in range(1, 4))
    many = tuple(Slot("j", NOON + n * MINUTE) for n in range(4, 204))
    with ledger.leading(lease, NOON + 204 * MINUTE) as leading:
        outage = Outage(NOON, NOON + 204 * MINUTE, Cause.CRASH, "killed by signal 9")
        made = Plan(NOON + 204 * MINUTE, (), (stretch(SkipReason.COALESCED, few), stretch(SkipReason.EXPIRED, many)))
        leading.standings([JOB])
        leading.dispose([(JOB, made)], outage_id=leading.record_outage(outage))

    skips = ledger.skips_between(NOON, NOON + timedelta(days=1))
    (gap,) = ledger.gaps_between(NOON + 100 * MINUTE, NOON + 101 * MINUTE)

    assert [(skip.slot, skip.reason) for skip in skips] == [(slot, SkipReason.COALESCED) for slot in few]
    assert (gap.count, gap.cause, gap.first, gap.last) == (200, Cause.CRASH, many[0].due_at, many[-1].due_at)
    assert gap.outage == outage
    assert ledger.outages_between(NOON, NOON + MINUTE) == [outage]
    assert ledger.gaps_between(NOON - timedelta(days=1), NOON) == []


def test_history_is_paged_newest_first_and_filtered(ledger: SqliteLedger, lease: Lease) -> None:
    for n in range(1, 6):
        run = running(ledger, lease, NOON + n * MINUTE)
        finish(ledger, lease, run, NOON + n * MINUTE)
    claim_slot(ledger, lease, NOON + 9 * MINUTE, OTHER)

    page = ledger.runs(limit=2)
    rest = ledger.runs(before_id=page[-1].id, limit=200)

    assert [run.id for run in page + rest] == sorted((run.id for run in page + rest), reverse=True)
    assert len(page + rest) == 6
    assert {run.job_name for run in ledger.runs(job_name="k")} == {"k"}
    assert [run.state for run in ledger.runs(states=frozenset({State.QUEUED}))] == [State.QUEUED]
    assert ledger.last_runs()["j"].slot == Slot("j", NOON + 5 * MINUTE)


def test_pruning_keeps_the_newest_of_each_job_and_never_reuses_an_id_I10(ledger: SqliteLedger, lease: Lease) -> None:
    for n in range(1, 6):
        finish(ledger, lease, running(ledger, lease, NOON + n * MINUTE), NOON + n * MINUTE)

    removed = ledger.prune(NOON + timedelta(days=1), 2, 100, now=NOON + timedelta(days=1))

    assert removed.count == 3
    assert [run.slot and run.slot.due_at for run in ledger.runs()] == [NOON + 5 * MINUTE, NOON + 4 * MINUTE]
    assert ledger.prune(NOON + timedelta(days=1), 2, 100, now=NOON + timedelta(days=1)).count == 0
    assert claim_slot(ledger, lease, NOON + 7 * MINUTE)[0].id == 6


def test_a_run_that_waits_is_cancelled_at_once_and_one_that_runs_is_asked_to_stop(
    ledger: SqliteLedger, lease: Lease
) -> None:
    waiting, _ = ledger.request_run("j", NOON)

    assert ledger.cancel(waiting.id, NOON, "not wanted").state is State.CANCELLED
    with pytest.raises(WrongState, match=r"has ended \(cancelled\)"):
        ledger.cancel(waiting.id, NOON, "again")
    run = running(ledger, lease)
    assert ledger.cancel(run.id, NOON, "cli:me").state is State.RUNNING
    with ledger.leading(lease, NOON) as leading:
        assert leading.to_cancel() == [(run.id, "cli:me")]


@pytest.mark.parametrize("run_id", [0, -1, 999, 2**63, 10**30])
def test_a_run_that_does_not_exist_is_said_so(ledger: SqliteLedger, run_id: int) -> None:
    with pytest.raises(UnknownName, match=f"no run {run_id}"):
        ledger.run(run_id)


def test_a_job_whose_definition_is_gone_keeps_its_history(ledger: SqliteLedger, lease: Lease) -> None:
    finish(ledger, lease, running(ledger, lease), NOON + MINUTE)

    ledger.set_defined(["k"], NOON)

    assert ledger.job_names() == []
    assert len(ledger.runs(job_name="j")) == 1
    with pytest.raises(UnknownName):
        ledger.request_run("j", NOON)


def test_the_beat_and_lives_of_schedulers_can_be_read(ledger: SqliteLedger, lease: Lease) -> None:
    with ledger.leading(lease, NOON + MINUTE) as leading:
        leading.renew(reading(NOON + MINUTE), planned=True)
    ledger.take_lease("boot:2:2", "host", "abc", NOON + 5 * MINUTE)

    first, second = ledger.stints_between(NOON, NOON + timedelta(hours=1))

    assert (first.beat_at, first.ended_at, first.ended_how) == (NOON + MINUTE, NOON + MINUTE, "lost")
    assert second.ended_at is None
    assert ledger.first_seen() == {"j": NOON}


def test_planning_with_what_the_ledger_knows_disposes_of_each_slot_once(ledger: SqliteLedger, lease: Lease) -> None:
    now = NOON
    for seconds in (7, 61, 200, 3, 1000):
        now += timedelta(seconds=seconds)
        with ledger.leading(lease, now) as leading:
            plan_all(leading, [JOB], now)
            for run in leading.start_ready(Limits(9)):
                leading.finish(run, DONE)

    slots = [run.slot.due_at for run in ledger.runs() if run.slot]
    slots += [skip.slot.due_at for skip in ledger.skips_between(NOON, now)]
    assert sorted(slots) == [NOON + n * MINUTE for n in range(1, int((now - NOON) / MINUTE) + 1)]


def test_of_those_that_wait_the_higher_priority_starts_first_and_then_the_oldest_F61(
    ledger: SqliteLedger, lease: Lease
) -> None:
    names = ["low", "first", "high", "second"]
    jobs = [Job(name=name, trigger=Every(MINUTE), action=Inline("tick")) for name in names]
    with ledger.leading(lease, NOON) as leading:
        for job in jobs:
            standing(leading, job)
    for job in jobs:
        claim_slot(ledger, lease, NOON + MINUTE, job)
    limits = Limits(3, priorities={"high": 100, "low": -1})

    with ledger.leading(lease, NOON + MINUTE) as leading:
        started = [run.job_name for run in leading.start_ready(limits)]

    assert started == ["high", "first", "second"]


def test_no_priority_carries_a_caught_up_run_past_a_live_one_F61(ledger: SqliteLedger, lease: Lease) -> None:
    late, live = (Job(name=name, trigger=Every(MINUTE), action=Inline("tick")) for name in ("late", "live"))
    with ledger.leading(lease, NOON) as leading:
        for job in (late, live):
            standing(leading, job)
        dispose(leading, late, Plan(NOON, (claim(Slot("late", NOON), Origin.CATCH_UP),)))
    claim_slot(ledger, lease, NOON + MINUTE, live)

    with ledger.leading(lease, NOON + MINUTE) as leading:
        started = [run.job_name for run in leading.start_ready(Limits(1, priorities={"late": 100}))]

    assert started == ["live"]


def test_open_runs_are_what_runs_then_what_waits_to_retry_then_the_queue_each_oldest_first(
    ledger: SqliteLedger, lease: Lease
) -> None:
    failed = running(ledger, lease)
    finish(ledger, lease, failed, NOON + MINUTE, retry_at=NOON + 9 * MINUTE)
    with ledger.leading(lease, NOON + MINUTE) as leading:
        standing(leading, OTHER)
    going, _ = ledger.request_run("k", NOON + MINUTE)
    start_all(ledger, lease, NOON + MINUTE)
    slots = [Slot("k", NOON - number * MINUTE) for number in range(1, 4)]
    queued = ledger.backfill("k", slots, "test", NOON + MINUTE)

    found = ledger.open_runs()

    assert [run.id for run in found] == [going.id, failed.id, *(run.id for run in queued)]
    assert [run.id for run in ledger.open_runs(limit=2)] == [going.id, failed.id]
    assert ledger.open_counts() == {"j": 1, "k": 4}


def test_all_that_wait_of_one_job_are_cancelled_together_and_nothing_else(ledger: SqliteLedger, lease: Lease) -> None:
    going = running(ledger, lease)
    with ledger.leading(lease, NOON + MINUTE) as leading:
        standing(leading, OTHER)
    other, _ = ledger.request_run("k", NOON + MINUTE)
    slots = [Slot("j", NOON - number * MINUTE) for number in range(1, 4)]
    queued = [run.id for run in ledger.backfill("j", slots, "test", NOON + MINUTE)]

    ended = ledger.cancel_waiting("j", NOON + 2 * MINUTE, "cli:ann")
    again = ledger.cancel_waiting("j", NOON + 2 * MINUTE, "cli:ann")

    assert (ended, again) == (queued, [])
    assert {ledger.run(number).error for number in ended} == {"cancelled by cli:ann"}
    assert ledger.run(going.id).state is State.RUNNING
    assert ledger.run(other.id).state is State.QUEUED
    with pytest.raises(UnknownName):
        ledger.cancel_waiting("nobody", NOON, "cli:ann")
