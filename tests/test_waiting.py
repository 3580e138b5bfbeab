"""What a run that has not started waits for, as people are told."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.accounting.waiting import crowd_words, full, waiting_words
from echopilot_jobs.engines import PLACES
from echopilot_jobs.jobs import Inline, Job, Registry
from echopilot_jobs.ledger import Limits, SqliteLedger
from echopilot_jobs.ledger.room import Room
from echopilot_jobs.runs import Origin, Run, State
from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.spans import stamp
from echopilot_jobs.testing import A_MORNING, FakeClock
from echopilot_jobs.triggers import Every
from tests.worldkit import MINUTE, WORK, World

DAILY = Every(1440 * MINUTE)
SLOW = Job("slow_one", Every(MINUTE), WORK, group="database")
OTHER = Job("other", DAILY, WORK, group="database")
ALONE = Job("alone", DAILY, WORK)
TWICE = Job("twice", DAILY, WORK, overlap="allow", max_instances=2)
LIGHT = Job("light", DAILY, Inline("tick"))
REGISTRY = Registry([SLOW, OTHER, ALONE, TWICE, LIGHT], {"database": 1})


@pytest.fixture
def world(ledger: SqliteLedger, clock: FakeClock) -> World:
    return World(ledger, clock)


def begun(world: World, seconds: float = 2) -> Scheduler:
    """A scheduler that has led for so long; the minutely job runs from second 30 on."""
    scheduler = world.scheduler(*REGISTRY.values(), limits={"database": 1})
    world.run_for(scheduler, seconds)
    return scheduler


def told(world: World, run: Run, registry: Registry = REGISTRY) -> list[str]:
    return list(waiting_words(world.ledger, registry, world.ledger.run(run.id), world.clock.now(), stamp))


def asked(world: World, name: str) -> Run:
    return world.ledger.request_run(name, world.clock.now(), actor="ann")[0]


def test_a_run_whose_group_is_full_names_the_group_and_who_has_the_place(world: World) -> None:
    scheduler = begun(world, 61)
    run = asked(world, "other")
    world.run_for(scheduler, 2)

    assert told(world, run) == ["it waits for a place in group 'database' (run 1 of slow_one)"]
    world.engine.end_all()
    world.run_for(scheduler, 2)
    assert told(world, run) == []


def test_a_run_whose_job_runs_already_names_that_run(world: World) -> None:
    scheduler = begun(world)
    first = asked(world, "alone")
    world.run_for(scheduler, 2)
    second = asked(world, "alone")
    world.run_for(scheduler, 2)

    assert told(world, second) == [f"it waits for a run of its own job to end (run {first.id} of alone)"]


def test_a_run_of_a_paused_job_says_so_and_one_that_a_person_asked_for_does_not_wait_for_the_pause(
    world: World,
) -> None:
    """A person who asks knows of the pause; a retry goes on by itself, whoever asked first."""
    begun(world)
    by_hand = asked(world, "alone")
    world.ledger.pause("alone", world.clock.now(), None, "cli:ann", "")
    again, _ = world.ledger.request_run(
        "alone", world.clock.now(), origin=Origin.RETRY, request_key="retry-of:7", actor="ann"
    )

    assert told(world, by_hand) == []
    assert told(world, again)[0].startswith("the job is paused by cli:ann from ")


def test_a_run_that_may_not_start_yet_says_from_when_on(world: World) -> None:
    begun(world)
    run = asked(world, "alone")
    later = world.clock.now() + MINUTE
    with world.ledger._writing() as sql:
        sql.db.execute("update runs set not_before = ? where id = ?", (int(later.timestamp() * 1000), run.id))

    (words,) = told(world, run)

    assert words.startswith(f"it may not start before {stamp(later)}")


def test_without_a_scheduler_that_is_what_a_run_waits_for(world: World) -> None:
    begun(world)
    run = asked(world, "alone")
    world.clock.sleep(60)

    assert told(world, run) == ["no scheduler leads, so nothing starts; see `echopilot status`"]


# -- told as the scheduler chooses

LIMITS = Limits(
    PLACES,
    uncounted=frozenset({"light"}),
    instances={"twice": 2},
    group_of={"slow_one": "database", "other": "database"},
    group_limits={"database": 1},
)


def of(number: int, name: str, state: State) -> Run:
    return Run(number, name, Origin.SCHEDULE, state, A_MORNING)


@given(st.lists(st.sampled_from([*REGISTRY, "removed"]), max_size=PLACES + 2), st.sampled_from([*REGISTRY]))
def test_a_run_is_told_to_wait_for_others_exactly_when_there_is_no_room_for_it(names: list[str], name: str) -> None:
    running = [of(number, each, State.RUNNING) for number, each in enumerate(names, 1)]
    counted = sum(each != "light" for each in names)
    room = Room(replace(LIMITS, places=PLACES - counted), dict(Counter(names)))

    found = list(crowd_words(of(99, name, State.QUEUED), REGISTRY, running))

    assert (not found) is room.take(name)
    assert len(found) < 2


def test_when_every_place_is_taken_the_oldest_three_are_named_and_the_rest_counted() -> None:
    jobs = [Job(f"j{number}", Every(MINUTE), WORK) for number in range(PLACES)]
    running = [of(number, job.name, State.RUNNING) for number, job in enumerate(jobs, 1)]

    (words,) = crowd_words(of(99, "alone", State.QUEUED), Registry([*jobs, ALONE]), running[::-1])

    named = "run 1 of j0, run 2 of j1, run 3 of j2 and 5 more"
    assert words == f"all 8 places for runs are taken, and it waits for one ({named})"


def test_of_a_job_that_is_no_longer_defined_nothing_is_claimed() -> None:
    assert list(crowd_words(of(2, "removed", State.QUEUED), REGISTRY, [of(1, "removed", State.RUNNING)])) == []


# -- all places taken

HANGS = Job("hangs", DAILY, WORK, overlap="allow", max_instances=PLACES)
CROWD = Registry([HANGS, ALONE, LIGHT, *(Job(f"j{number}", DAILY, WORK) for number in range(3))])


def filled(world: World, count: int = PLACES) -> Scheduler:
    """A scheduler under which so many runs of `hangs` hold a place each, since the third second."""
    scheduler = world.scheduler(*CROWD.values())
    world.run_for(scheduler, 2)
    for _ in range(count):
        asked(world, "hangs")
        world.run_for(scheduler, 1)
    return scheduler


def test_runs_that_have_waited_a_minute_for_a_place_are_told_with_who_holds_the_places(world: World) -> None:
    scheduler, alone = filled(world), asked(world, "alone")
    world.run_for(scheduler, 50)
    asked(world, "j0")
    soon = full(world.ledger, CROWD, world.clock.now())
    world.run_for(scheduler, 20)

    found = full(world.ledger, CROWD, world.clock.now())
    world.engine.end_all()
    world.run_for(scheduler, 2)

    assert soon is None
    assert found is not None
    assert (len(found.waiting), found.since, len(found.holders)) == (2, alone.claimed_at, PLACES)
    since = stamp(found.holders[0].started_at or found.since)
    assert found.words(stamp) == f"all 8 places for runs are taken, 8 by hangs since {since}; 2 runs wait for one"
    assert found.remedy.startswith("`echopilot cancel 1` frees the place taken first; ")
    assert full(world.ledger, CROWD, world.clock.now()) is None


def test_where_a_place_is_free_or_something_else_holds_a_run_back_no_place_is_missed(world: World) -> None:
    """A pause, the run's own job, a backfill that may wait for ever, and a run that needs no place."""
    scheduler = filled(world)
    asked(world, "light")
    asked(world, "hangs")
    world.ledger.pause("alone", world.clock.now(), None, "cli:ann", "")
    world.ledger.request_run("alone", world.clock.now(), origin=Origin.RETRY, request_key="retry-of:7")
    world.ledger.request_run("j0", world.clock.now(), origin=Origin.BACKFILL, request_key="backfill:1")

    world.run_for(scheduler, 120)

    assert full(world.ledger, CROWD, world.clock.now()) is None


def test_while_no_scheduler_leads_nothing_waits_for_a_place(world: World) -> None:
    scheduler = filled(world)
    asked(world, "alone")
    world.run_for(scheduler, 90)
    led = full(world.ledger, CROWD, world.clock.now())
    world.clock.sleep(60)

    assert led is not None
    assert full(world.ledger, CROWD, world.clock.now()) is None
