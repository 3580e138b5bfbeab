"""Healing abandons the dead, repeats what may be repeated, and leaves the living alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from echopilot_jobs.healing import abandon_lost, heal, owner_lives
from echopilot_jobs.jobs import Job, Python, Registry
from echopilot_jobs.ledger import Lease, SqliteLedger
from echopilot_jobs.planner import Plan
from echopilot_jobs.processes import Owner, this_process
from echopilot_jobs.runs import Origin, Outcome, Run, State
from echopilot_jobs.slots import Slot
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Every
from tests.schedulekit import PLACES, claim, dispose

HOUR = timedelta(hours=1)


def job(**limits: Any) -> Job:
    return Job(name="j", trigger=Every(HOUR), action=Python("a:b"), **limits)


def a_run(ledger: SqliteLedger, clock: FakeClock, one: Job, owner: str, end: State | None = None) -> Run:
    lease = ledger.take_lease(owner, "h", "r", clock.now())
    with ledger.leading(lease, clock.now()) as leading:
        slot = Slot(one.name, clock.now().replace(microsecond=0))
        dispose(leading, one, Plan(clock.now(), (claim(slot),)))
        (run,) = leading.start_ready(PLACES)
        return leading.finish(run, Outcome(end)) if end else run


def test_a_run_of_a_living_owner_is_never_declared_lost_I7(ledger: SqliteLedger, clock: FakeClock) -> None:
    run = a_run(ledger, clock, job(), str(this_process()))

    report = heal(ledger, Registry([job()]), clock.now())

    assert report.abandoned == []
    assert ledger.run(run.id).state is State.RUNNING


@pytest.mark.parametrize("what", ["pid reused", "other boot", "gone", "unreadable"])
def test_a_run_of_a_dead_owner_is_abandoned_and_said_so_I5_F41_F43(
    ledger: SqliteLedger, clock: FakeClock, what: str
) -> None:
    me = this_process()
    owners = {
        "pid reused": str(Owner(me.boot_id, me.pid, me.started - 1)),
        "other boot": str(Owner("another-boot", me.pid, me.started)),
        "gone": str(Owner(me.boot_id, 2**22 + 1, 1)),
        "unreadable": "nonsense",
    }
    run = a_run(ledger, clock, job(), owners[what])

    report = heal(ledger, Registry([job()]), clock.now())

    assert [lost.id for lost in report.abandoned] == [run.id]
    assert report.notes == [f"run {run.id} of j was abandoned: its scheduler died while it ran"]
    assert report.retried == []  # not idempotent: abandoned fails by default


@pytest.mark.parametrize("end", [State.FAILED, State.TIMED_OUT])
def test_a_failed_idempotent_job_runs_once_more_for_the_same_slot(
    ledger: SqliteLedger, clock: FakeClock, end: State
) -> None:
    one = job(idempotent=True)
    lost = a_run(ledger, clock, one, "b:1:1", end)

    first = heal(ledger, Registry([one]), clock.now())
    second = heal(ledger, Registry([one]), clock.now())

    assert [(run.origin, run.slot, run.state) for run in first.retried] == [(Origin.RETRY, lost.slot, State.QUEUED)]
    assert second.retried == []


@pytest.mark.parametrize(
    ("limits", "end", "later"),
    [
        ({"idempotent": False}, State.FAILED, timedelta(0)),
        ({"idempotent": True}, State.SUCCEEDED, timedelta(0)),
        ({"idempotent": True}, State.CANCELLED, timedelta(0)),
        ({"idempotent": True}, State.FAILED, 2 * HOUR),
    ],
)
def test_what_may_not_be_repeated_is_not(
    ledger: SqliteLedger, clock: FakeClock, limits: dict[str, bool], end: State, later: timedelta
) -> None:
    one = job(**limits)
    a_run(ledger, clock, one, "b:1:1", end)

    assert heal(ledger, Registry([one]), clock.now() + later).retried == []


def test_a_repetition_that_fails_is_not_repeated_for_ever(ledger: SqliteLedger, clock: FakeClock) -> None:
    one = job(idempotent=True)
    a_run(ledger, clock, one, "b:1:1", State.FAILED)
    heal(ledger, Registry([one]), clock.now())
    lease = ledger.take_lease("b:2:2", "h", "r", clock.now())
    with ledger.leading(lease, clock.now()) as leading:
        (run,) = leading.start_ready(PLACES)
        leading.finish(run, Outcome(State.FAILED))

    assert heal(ledger, Registry([one]), clock.now()).retried == []


def test_old_history_is_pruned_and_counted(ledger: SqliteLedger, clock: FakeClock) -> None:
    for _ in range(25):
        clock.sleep(3600)
        a_run(ledger, clock, job(), "b:1:1", State.SUCCEEDED)

    report = heal(ledger, Registry([job()]), clock.now() + timedelta(days=100))

    assert report.pruned == 5
    assert "5 runs older than 90 days were removed" in report.notes


def test_an_owner_s_text_says_whether_it_lives() -> None:
    assert owner_lives(str(this_process()))
    assert not owner_lives("nonsense")


def test_what_a_dead_owner_left_running_is_ended_before_its_rows_are_I8_F49(
    ledger: SqliteLedger, clock: FakeClock
) -> None:
    a_run(ledger, clock, job(), "b:1:1")
    swept: list[tuple[str, list[str]]] = []

    def sweep(owner: str) -> int:
        swept.append((owner, list(ledger.running_owners())))
        return 1

    lost = abandon_lost(ledger, clock.now(), lambda _owner: False, sweep)

    assert swept == [("b:1:1", ["b:1:1"])]
    assert [run.state for run in lost] == [State.ABANDONED]


def test_a_run_that_its_scheduler_left_behind_when_it_stopped_in_order_is_not_told_as_one_whose_scheduler_died(
    ledger: SqliteLedger, clock: FakeClock
) -> None:
    a_run(ledger, clock, job(), "b:1:1")
    stint = ledger.stint()
    assert stint is not None
    ledger.end_stint(Lease(stint.id, stint.owner, stint.term), "stopped", clock.now())

    (lost,) = abandon_lost(ledger, clock.now(), lambda _owner: False, lambda _owner: 0)

    assert (lost.state, lost.error) == (State.ABANDONED, "cut off: the scheduler was stopped while it ran")
