"""A run that needs several attempts, as every verb tells of it."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from echopilot_jobs.cli.following import follow
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.ledger import Limits
from echopilot_jobs.runs import SKIPPED, Origin, Outcome, Run, State, retry_key
from echopilot_jobs.spans import stamped
from echopilot_jobs.testing import FakeClock
from tests.cli.conftest import Call, House
from tests.schedulekit import reading

NOW = SystemClock().now()


@pytest.fixture
def waiting(house: House) -> Run:
    """A run of `export` whose first attempt failed after a second, and which waits for its second one."""
    run, _ = house.ledger.request_run("export", NOW)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    with house.ledger.leading(lease, NOW) as work:
        work.start_ready(Limits(5))
        failed = Outcome(State.FAILED, error="the first word", duration_ms=1_000)
        return work.finish(house.ledger.run(run.id), failed, NOW + timedelta(minutes=5))


@pytest.fixture
def failed(house: House, waiting: Run) -> Run:
    """The same, five minutes later: its second attempt failed after two seconds, and there is no third."""
    later = NOW + timedelta(minutes=5)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", later)
    with house.ledger.leading(lease, later) as work:
        work.start_ready(Limits(5))
    with house.ledger.leading(lease, later + timedelta(seconds=2)) as work:
        return work.finish(
            house.ledger.run(waiting.id), Outcome(State.FAILED, error="the last word", duration_ms=2_000)
        )


@pytest.mark.parametrize("verb", ["runs", "status", "jobs", "show"])
def test_a_person_reads_until_when_a_run_waits_and_never_the_ledgers_own_word(call: Call, waiting: Run, verb: str):
    answer = call(verb, *([str(waiting.id)] if verb == "show" else []))

    assert waiting.not_before is not None
    assert "waiting to retry at" in answer.out
    assert f"{waiting.not_before:%H:%M:%S}Z" in answer.out
    assert "retry_wait" not in answer.out


@pytest.mark.parametrize(
    ("end", "words"), [(State.FAILED, "failed"), (State.TIMED_OUT, "timed out"), (State.ABANDONED, "was abandoned")]
)
def test_status_says_of_a_run_between_attempts_how_the_last_one_ended(call: Call, house: House, end: State, words: str):
    run, _ = house.ledger.request_run("export", NOW)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    with house.ledger.leading(lease, NOW) as work:
        work.start_ready(Limits(5))
        work.finish(house.ledger.run(run.id), Outcome(end, error="bad luck"), NOW + timedelta(minutes=5))

    assert f"attempt 1 {words}: bad luck" in call("status").out


def test_json_keeps_the_name_of_the_state(call: Call, waiting: Run):
    assert json.loads(call("show", str(waiting.id), "--json").out)["run"]["state"] == "retry_wait"


@pytest.mark.parametrize("verb", ["runs", "show"])
def test_what_a_retried_run_took_is_from_its_first_start_to_its_end(call: Call, failed: Run, verb: str):
    answer = call(verb, *([str(failed.id)] if verb == "show" else []))

    assert "5 min 2 s in 2 attempts" in answer.out


@pytest.mark.parametrize(("end", "words"), [(State.FAILED, "failed"), (State.TIMED_OUT, "timed out")])
def test_who_follows_a_run_is_told_how_an_attempt_ended_and_when_the_next_one_begins(
    house: House, capsys, end: State, words: str
):
    run, _ = house.ledger.request_run("export", NOW)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    clock, errors = FakeClock(NOW), ["the first word", "the last word"]

    def rest(_seconds: float) -> None:
        with house.ledger.leading(lease, clock.now()) as work:
            if (running := house.ledger.run(run.id)).state is not State.RUNNING:
                work.start_ready(Limits(5))
            else:
                again = clock.now() + timedelta(minutes=5) if len(errors) > 1 else None
                work.finish(running, Outcome(end, error=errors.pop(0)), again)
                clock.sleep(300)

    follow(house.ledger, run, None, clock, rest)

    again = NOW + timedelta(minutes=5)
    assert capsys.readouterr().err.splitlines() == [
        f"run {run.id} is running",
        f"run {run.id}: attempt 1 {words} (the first word); waiting to retry at {stamped(again, again)}",
        f"run {run.id} is running, attempt 2",
    ]


def test_a_signal_has_its_name_and_a_run_that_has_not_started_no_attempt(call: Call, house: House):
    run, _ = house.ledger.request_run("export", NOW)
    queued = call("show", str(run.id)).out
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    with house.ledger.leading(lease, NOW) as work:
        work.start_ready(Limits(5))
        work.finish(house.ledger.run(run.id), Outcome(State.FAILED, error="no", exit_status=-15))

    ended = call("show", str(run.id)).out

    assert not re.search(r"^attempt ", queued, re.MULTILINE)
    assert re.search(r"^exit status +-15 \(killed by SIGTERM\)$", ended, re.MULTILINE)


def test_every_failed_attempt_is_shown_with_its_error_the_last_one_too(call: Call, failed: Run):
    moves = call("show", str(failed.id)).out.partition("moves\n")[2].splitlines()

    assert [move.rpartition("  ")[2] for move in moves if "failed" in move or "retry" in move] == [
        "the first word",
        "the last word",
    ]
    events = json.loads(call("show", str(failed.id), "--json").out)["run"]["events"]
    assert events[-1]["note"] == "the last word"


@pytest.mark.parametrize("verb", ["runs", "status", "jobs", "show"])
def test_no_verb_says_of_a_run_that_skipped_itself_that_it_was_cancelled(call: Call, house: House, verb: str):
    run, _ = house.ledger.request_run("export", NOW)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    with house.ledger.leading(lease, NOW) as work:
        work.start_ready(Limits(5))
        work.finish(house.ledger.run(run.id), Outcome(State.CANCELLED, error=f"{SKIPPED}no orders"))

    answer = call(verb, *([str(run.id)] if verb == "show" else []))

    assert "skipped itself" in answer.out
    assert "cancelled" not in answer.out


@pytest.fixture
def crowded(house: House) -> tuple[Run, Run]:
    """A run of `export` that goes on, and one more that waits for its end; a scheduler leads."""
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    first, _ = house.ledger.request_run("export", NOW)
    with house.ledger.leading(lease, NOW) as work:
        work.start_ready(Limits(5))
    second, _ = house.ledger.request_run("export", NOW)
    with house.ledger.leading(lease, SystemClock().now()) as work:
        work.renew(reading(SystemClock().now()), planned=True)
    return first, second


def test_what_a_queued_run_waits_for_is_told_by_show_and_status(call: Call, crowded: tuple[Run, Run]):
    first, second = crowded
    words = f"it waits for a run of its own job to end (run {first.id} of export)"

    shown, status = call("show", str(second.id)).out, call("status").out
    document = json.loads(call("status", "--json").out)["status"]

    assert re.search(rf"^waits +{re.escape(words)}$", shown, re.MULTILINE)
    assert f"run {second.id} of export is queued, claimed " in status
    assert f"; {words}" in " ".join(status.split())
    assert {run["id"]: run["waits"] for run in document["open_runs"]} == {first.id: None, second.id: words}
    assert json.loads(call("show", str(second.id), "--json").out)["run"]["waits"] == [words]


def test_status_says_of_a_queued_run_of_a_paused_job_that_it_waits_for_the_pause(call: Call, house: House):
    before, _ = house.ledger.request_run("export", NOW)
    house.ledger.cancel(before.id, NOW, "cli:ann")
    again, _ = house.ledger.request_run(
        "export", NOW, origin=Origin.RETRY, request_key=retry_key(before.id), actor="cli:ann"
    )
    house.ledger.pause("export", NOW, None, "cli:ann", "")

    document = json.loads(call("status", "--json").out)["status"]

    (waits,) = (run["waits"] for run in document["open_runs"] if run["id"] == again.id)
    assert waits == "it waits for the end of the job's pause, or `echopilot resume export`"
