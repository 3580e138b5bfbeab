"""Who waits for a run while no scheduler leads is told so, and does not wait for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from daykit import well
from housekit import everything_in, working

from echopilot_jobs.builtin import jobs
from echopilot_jobs.cli import backfill, following, leading, made
from echopilot_jobs.cli.sight import START_SCHEDULER
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.ledger import Limits
from echopilot_jobs.runs import OPEN_STATES, State
from echopilot_jobs.testing import FakeClock


class Hasty(FakeClock):
    """A clock that nobody has to wait for: every look at it is ten seconds later."""

    def monotonic(self) -> float:
        self.sleep(10)
        return super().monotonic()


@pytest.fixture
def hasty(monkeypatch):
    """Waiting costs nothing."""
    for module in (backfill, made, following):
        monkeypatch.setattr(module, "SystemClock", lambda: Hasty(SystemClock().now()), raising=False)
    monkeypatch.setattr("echopilot_jobs.cli.run.SystemClock", lambda: Hasty(SystemClock().now()))
    monkeypatch.setattr(following, "LOOK_EVERY_SECONDS", 0)


@pytest.fixture
def supervised(monkeypatch):
    """A supervisord answers, and no scheduler of it leads."""
    monkeypatch.setattr(leading, "_is_supervised", lambda _settings: True)


def test_waiting_for_a_run_ends_with_3_when_no_scheduler_begins_to_lead_and_the_run_stays(call, lived, hasty):
    answer = call("run", "ceo_brief", "--wait")

    (run,) = lived.runs(states=OPEN_STATES)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.splitlines()[-1] == (
        f"error: no scheduler leads; run {run.id} stays queued and runs when a scheduler starts; {START_SCHEDULER}"
    )


def test_the_wait_is_bounded_by_the_time_without_a_leader_alone(lived, settings):
    clock, waited = FakeClock(SystemClock().now()), []
    run, _ = lived.request_run("ceo_brief", clock.now())

    def rest(seconds: float) -> None:
        waited.append(seconds)
        clock.sleep(seconds)

    with pytest.raises(leading.NobodyLeads):
        following.follow(lived, run, None, clock, rest)

    assert sum(waited) == pytest.approx(leading.LED_WITHIN_SECONDS, abs=1)


def test_a_scheduler_that_comes_in_time_is_waited_for(lived, settings):
    clock = FakeClock(SystemClock().now())
    run, _ = lived.request_run("ceo_brief", clock.now())
    begun = clock.monotonic()

    def rest(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.monotonic() - begun > leading.LED_WITHIN_SECONDS - 1:
            with working(lived, jobs(settings), well):
                following.follow(lived, run, None, SystemClock())

    assert following.follow(lived, run, None, clock, rest).state is State.SUCCEEDED


@pytest.mark.parametrize("verb", ["brief", "report"])
def test_what_was_only_asked_for_to_be_shown_now_is_taken_back(call, lived, hasty, supervised, verb):
    answer = call(verb)

    run = lived.runs(limit=1)[0]
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.splitlines()[-1] == (
        f"error: no scheduler leads, so run {run.id} is cancelled again; {START_SCHEDULER}, "
        "or give --last to show the newest one"
    )
    assert run.state is State.CANCELLED
    assert not lived.runs(states=OPEN_STATES)


def test_what_a_dead_scheduler_had_begun_is_left_to_the_next_one(call, lived, settings, hasty, supervised, monkeypatch):
    def dies_at_once(ledger, _settings, _now, _so):
        past = SystemClock().now() - timedelta(minutes=5)
        lease = ledger.take_lease("boot:1:1", "host", "rev", past)
        with ledger.leading(lease, past) as work:
            work.start_ready(Limits(1))
        return True

    monkeypatch.setattr("echopilot_jobs.cli.acting.wake", dies_at_once)

    answer = call("brief")

    run = lived.runs(job_name="ceo_brief", limit=1)[0]
    assert answer.code == 3
    assert answer.err.splitlines()[-1] == (
        f"error: no scheduler leads; run {run.id} was running when it died, and the next one decides about it; "
        f"{START_SCHEDULER}, or give --last to show the newest one"
    )
    assert (run.state, run.cancel_wanted) == (State.RUNNING, None)


@pytest.mark.parametrize("is_left_behind", [False, True], ids=["no socket", "the socket of a killed one"])
@pytest.mark.parametrize("verb", ["brief", "report"])
def test_without_any_stack_nothing_is_queued_and_that_is_said_at_once(call, lived, settings, verb, is_left_behind):
    if is_left_behind:
        settings.supervisor_socket.touch()
    before = everything_in(settings.ledger_path)

    answer = call(verb)

    assert (answer.code, answer.out) == (3, "")
    assert answer.err == (
        "error: no stack is running, so nothing can be made now; start it with `bin/stack`, "
        "or give --last to show the newest one\n"
    )
    assert everything_in(settings.ledger_path) == before


def test_waiting_for_a_backfill_ends_with_3_too(lived):
    clock = FakeClock(SystemClock().now())
    run, _ = lived.request_run("ceo_brief", clock.now())

    with pytest.raises(leading.NobodyLeads, match=f"run {run.id} stays queued"):
        backfill.all_ended(lived, [run], clock, clock.sleep)
