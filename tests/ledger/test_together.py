"""What a pass writes together comes to the same as what it would have written step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from echopilot_jobs.errors import WrongState
from echopilot_jobs.jobs import Command, Inline, Job
from echopilot_jobs.ledger import Lease, Limits, SqliteLedger
from echopilot_jobs.planner import Claim, Plan
from echopilot_jobs.runs import Artefact, Origin, Outcome, Output, Run, State
from echopilot_jobs.slots import Slot
from echopilot_jobs.testing import MemoryLedger
from echopilot_jobs.triggers import DailyAt, Every
from tests.schedulekit import claim, standing

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NAMES = "abcdef"
JOBS = {
    name: Job(name=name, trigger=Every(MINUTE), action=Inline("tick") if name in "ab" else Command(("true",)))
    for name in NAMES
}


@dataclass(frozen=True)
class Scene:
    """What waits and runs before a pass, what the pass claims, and what may run at once."""

    queued: Sequence[str]
    running: Sequence[str]
    retrying: Sequence[tuple[str, bool]]
    paused: frozenset[str]
    claimed_before: frozenset[tuple[str, int]]
    claims: Sequence[tuple[str, int, Origin, int | None]]
    limits: Limits


def a_name() -> st.SearchStrategy[str]:
    return st.sampled_from(NAMES)


LIMITS = st.builds(
    Limits,
    places=st.integers(0, 4),
    uncounted=st.just(frozenset("ab")),
    instances=st.dictionaries(a_name(), st.integers(1, 3), max_size=3),
    group_of=st.dictionaries(a_name(), st.sampled_from(["g", "h"])),
    group_limits=st.dictionaries(st.sampled_from(["g", "h"]), st.integers(1, 2)),
    priorities=st.dictionaries(a_name(), st.integers(-2, 2), max_size=4),
)
CLAIMS = st.lists(
    st.tuples(
        a_name(),
        st.integers(1, 4),
        st.sampled_from([Origin.SCHEDULE, Origin.CATCH_UP]),
        st.sampled_from([None, None, -1, 1]),
    ),
    max_size=12,
    unique_by=lambda one: one[:2],
)
SCENES = st.builds(
    Scene,
    queued=st.lists(a_name(), max_size=2, unique=True),
    running=st.lists(a_name(), max_size=3, unique=True),
    retrying=st.lists(st.tuples(a_name(), st.booleans()), max_size=2, unique_by=lambda one: one[0]),
    paused=st.frozensets(a_name(), max_size=2),
    claimed_before=st.frozensets(st.tuples(a_name(), st.integers(1, 4)), max_size=2),
    claims=CLAIMS,
    limits=LIMITS,
)


def prepared(scene: Scene) -> tuple[SqliteLedger, Lease]:
    ledger = MemoryLedger()
    lease = ledger.take_lease("boot:1:1", "host", "rev", NOON)
    with ledger.leading(lease, NOON) as leading:
        leading.standings([*JOBS.values()])
    waiting = [*scene.running, *(name for name, _ in scene.retrying if name not in scene.running)]
    for name in waiting:
        ledger.request_run(name, NOON)
    with ledger.leading(lease, NOON) as leading:
        for run in leading.start_ready(Limits(99)):
            if run.job_name not in scene.running:
                is_due = dict(scene.retrying)[run.job_name]
                leading.finish(run, Outcome(State.FAILED), NOON + (MINUTE if is_due else 99 * MINUTE))
    for name in scene.queued:
        ledger.request_run(name, NOON)
    for name in scene.paused:
        ledger.pause(name, NOON, None, "test", "")
    with ledger.leading(lease, NOON) as leading:
        leading.standings([*JOBS.values()])
        leading.dispose(
            [(JOBS[name], Plan(NOON, (a_claim(name, n, Origin.SCHEDULE, 50),))) for name, n in scene.claimed_before]
        )
    return ledger, lease


def a_claim(name: str, minute: int, origin: Origin, not_before: int | None) -> Claim:
    slot = Slot(name, NOON + minute * MINUTE)
    at = None if not_before is None else NOON + (10 + not_before) * MINUTE
    return Claim(slot, origin, slot.due_at, not_before=at)


def pass_over(scene: Scene, limits: Limits | None) -> tuple[list[dict[str, Any]], list[Run], list[Run]]:
    """Every row as it is after the pass, what was claimed, as it is then, and what started, in order."""
    ledger, lease = prepared(scene)
    now = NOON + 10 * MINUTE
    by_job: dict[str, list[Claim]] = {}
    for name, *rest in scene.claims:
        by_job.setdefault(name, []).append(a_claim(name, *rest))
    with ledger.leading(lease, now) as leading:
        leading.standings([*JOBS.values()])
        plans = [(JOBS[name], Plan(now, tuple(claims))) for name, claims in by_job.items()]
        disposed = leading.dispose(plans, limits=limits)
        started = disposed.started + leading.start_ready(scene.limits)
    rows = [dict(row) for row in ledger._sql.db.execute("select * from runs order by id")]
    jobs = [dict(row) for row in ledger._sql.db.execute("select * from jobs order by id")]
    ledger.close()
    as_started = {run.id: run for run in started}
    return rows + jobs, [as_started.get(run.id, run) for run in disposed.claimed], started


@example(  # the last place is taken between two claims that are alike
    Scene((), (), (), frozenset(), frozenset(), [(name, 1, Origin.SCHEDULE, None) for name in "cd"], Limits(1))
)
@given(SCENES)
def test_what_starts_at_once_is_what_would_have_been_queued_and_started_I8_F61(scene: Scene) -> None:
    rows, claimed, started = pass_over(scene, None)
    rows_at_once, claimed_at_once, started_at_once = pass_over(scene, scene.limits)

    assert rows_at_once == rows
    assert claimed_at_once == claimed
    assert sorted(started_at_once, key=lambda run: run.id) == sorted(started, key=lambda run: run.id)


def test_claims_of_an_idle_ledger_run_from_the_first(ledger: SqliteLedger) -> None:
    lease = ledger.take_lease("boot:1:1", "host", "rev", NOON)
    with ledger.leading(lease, NOON) as leading:
        leading.standings([*JOBS.values()])
        plans = [(JOBS[name], Plan(NOON + MINUTE, (claim(Slot(name, NOON + MINUTE)),))) for name in "abc"]
        disposed = leading.dispose(plans, limits=Limits(9, uncounted=frozenset("ab")))
        rest = leading.start_ready(Limits(9, uncounted=frozenset("ab")))

    assert [run.job_name for run in disposed.started] == ["a", "b", "c"]
    assert rest == []
    assert [run.state for run in ledger.runs()] == [State.RUNNING] * 3


@pytest.fixture
def going(ledger: SqliteLedger) -> tuple[Lease, list[Run]]:
    """Three runs under way."""
    lease = ledger.take_lease("boot:1:1", "host", "rev", NOON)
    for name in "abc":
        with ledger.leading(lease, NOON) as leading:
            standing(leading, JOBS[name])
        ledger.request_run(name, NOON)
    with ledger.leading(lease, NOON) as leading:
        return lease, leading.start_ready(Limits(9))


def test_ends_that_arrive_together_are_each_as_if_alone_I20(
    ledger: SqliteLedger, going: tuple[Lease, list[Run]]
) -> None:
    lease, (one, two, three) = going
    kept = Artefact("f", "logs/artefacts/c/3/f", 1, "0" * 64)
    ends = [
        (one, Outcome(State.SUCCEEDED, result={"n": 1}, output=Output("said", "", 0)), None),
        (two, Outcome(State.FAILED, "no disk"), NOON + MINUTE),
        (three, Outcome(State.TIMED_OUT, "long", artefacts=(kept,)), None),
    ]

    with ledger.leading(lease, NOON) as leading:
        found = leading.finish_all(ends)

    assert [ledger.run(run.id) for run in (one, two, three)] == found
    assert [run.state for run in found if isinstance(run, Run)] == [
        State.SUCCEEDED,
        State.RETRY_WAIT,
        State.TIMED_OUT,
    ]
    known = {name: tuple(each is not None for each in ends) for name, ends in ledger.last_ends().items()}
    assert known == {"a": (True, False), "b": (False, False), "c": (False, True)}
    assert [each.name for each in ledger.artefacts(three.id)] == ["f"]


@pytest.mark.parametrize("stranger", [0, 1, 2])
def test_one_that_is_no_longer_ours_keeps_no_other_from_being_recorded_I20(
    ledger: SqliteLedger, going: tuple[Lease, list[Run]], stranger: int
) -> None:
    lease, runs = going
    with ledger.leading(lease, NOON) as leading:
        leading.finish(runs[stranger], Outcome(State.FAILED, "first word"))

    with ledger.leading(lease, NOON) as leading:
        found = leading.finish_all([(run, Outcome(State.SUCCEEDED), None) for run in runs])

    assert [isinstance(each, WrongState) for each in found] == [number == stranger for number in range(3)]
    ends = [ledger.run(run.id) for run in runs]
    assert [run.error for run in ends if run.state is State.FAILED] == ["first word"]
    assert sum(run.state is State.SUCCEEDED for run in ends) == 2


@pytest.mark.parametrize("second", [State.SUCCEEDED, State.FAILED], ids=["alike", "otherwise"])
def test_one_that_comes_twice_has_ended_once_I6(
    ledger: SqliteLedger, going: tuple[Lease, list[Run]], second: State
) -> None:
    lease, (one, two, _) = going

    with ledger.leading(lease, NOON) as leading:
        ends = [(one, State.SUCCEEDED), (two, State.SUCCEEDED), (one, second)]
        found = leading.finish_all([(run, Outcome(state), None) for run, state in ends])

    assert [isinstance(each, WrongState) for each in found] == [False, False, True]
    assert ledger.run(one.id) == found[0]


def an_attempt() -> st.SearchStrategy[Claim]:
    """A claim of any job that may share some of its facts with others, and not the rest."""
    return st.builds(
        lambda name, minute, origin, generation, jitter, wait: Claim(
            Slot(name, NOON + minute * MINUTE, generation),
            origin,
            NOON + minute * MINUTE + jitter,
            not_before=None if wait is None else NOON + (10 + wait) * MINUTE,
        ),
        a_name(),
        st.integers(1, 2),
        st.sampled_from([Origin.SCHEDULE, Origin.CATCH_UP]),
        st.integers(0, 1),
        st.sampled_from([timedelta(0), MINUTE]),
        st.sampled_from([None, 1]),
    )


def claimed_by(claims: Sequence[Claim], *, together: bool) -> tuple[list[dict[str, Any]], list[Run]]:
    """Every row as it is after *claims*, those of each job by one plan or each by a plan of its own, and their runs."""
    ledger = MemoryLedger()
    lease = ledger.take_lease("boot:1:1", "host", "rev", NOON)
    now = NOON + 10 * MINUTE
    with ledger.leading(lease, now) as leading:
        leading.standings([*CALENDAR.values()])
        hold = {"outage_id": None, "hold_id": leading.open_hold(1, now)}
        ran_before = [(each, Plan(NOON, (claim(Slot(each.name, NOON + MINUTE)),))) for each in CALENDAR.values()]
        leading.dispose([*ran_before[1::2]])  # in generation 0: a calendar job does not run that slot again
        plans = [(CALENDAR[each.slot.job_name], Plan(now, (each,))) for each in claims]
        parts = [plans] if together else [[plan] for plan in plans]
        runs = [run for part in parts for run in leading.dispose(part, **hold).claimed]
    rows = [dict(row) for row in ledger._sql.db.execute("select * from runs order by id")]
    ledger.close()
    return rows, runs


CALENDAR = {name: Job(name, Every(MINUTE) if name in "abc" else DailyAt(time(12, 1)), Inline("tick")) for name in NAMES}


def of_generation_1(name: str) -> Claim:
    due = NOON + MINUTE
    return Claim(Slot(name, due, 1), Origin.SCHEDULE, due)


@example([of_generation_1("a"), of_generation_1("d")])  # alike but for the kind of trigger
@given(st.lists(an_attempt(), max_size=8, unique_by=lambda each: (each.slot.job_name, each.slot.due_at)))
@settings(max_examples=300)
def test_claims_written_together_are_what_each_would_have_been_alone_I1(claims: Sequence[Claim]) -> None:
    assert claimed_by(claims, together=True) == claimed_by(claims, together=False)


def test_nothing_that_ended_is_nothing_to_write(ledger: SqliteLedger, going: tuple[Lease, list[Run]]) -> None:
    lease, _ = going
    with ledger.leading(lease, NOON) as leading:
        assert leading.finish_all([]) == []
