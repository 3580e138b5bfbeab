"""What runs say, as the scheduler writes it down: lines in its log, progress in the ledger, files with the finish."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from echopilot_jobs.artefacts import discard
from echopilot_jobs.engines import Ended, Note
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.executor import Heard, Said
from echopilot_jobs.jobs import Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import Artefact, Outcome, Output, Progress, Run, State
from echopilot_jobs.scheduler import Scheduler
from echopilot_jobs.scheduler.chores import EVERY_SECONDS, Chores
from echopilot_jobs.scheduler.custody import Custody
from echopilot_jobs.scheduler.opening import Surroundings
from echopilot_jobs.testing import FakeClock
from tests.worldkit import MINUTE, World, job


@pytest.fixture
def world(ledger: SqliteLedger, clock: FakeClock) -> World:
    return World(ledger, clock)


def started(world: World, **facts: object) -> tuple[Scheduler, Run]:
    """A scheduler with one run out."""
    scheduler = world.scheduler(job(**facts))
    world.run_for(scheduler, 61)
    return scheduler, world.engine.out[0][1]


def says(world: World, run: Run, *said: Said, done: float | None = None, total: float | None = None) -> None:
    progress = None if done is None else Progress(world.clock.now(), done, total, "rows")
    world.engine.said.append(Note(run, Heard(said, progress)))


def end(world: World, outcome: Outcome) -> None:
    ((ended_job, run),) = world.engine.out
    world.engine.out.clear()
    world.engine.ended.append(Ended(ended_job, run, outcome))


def test_lines_of_a_run_are_events_with_its_own_fields_beside_ours(world: World) -> None:
    scheduler, run = started(world)

    says(world, run, Said("info", "loaded", {"rows": 3, "job": "mine", "name": "x"}), Said("warning", "cut", {}, 7))
    scheduler.beat()

    ours = {"job": "j", "run": run.id}
    assert [facts for name, facts in world.log.lines if name == "run.said"] == [
        {**ours, "level": "info", "message": "loaded", "rows": 3, "job_": "mine", "name_": "x"},
        {**ours, "level": "warning", "message": "cut", "dropped": 7},
    ]


def test_only_the_newest_progress_is_kept_and_only_running_runs_show_it(world: World) -> None:
    scheduler, run = started(world)

    says(world, run, done=1, total=10)
    says(world, run, done=2.5, total=10)
    scheduler.beat()
    shown = world.ledger.progresses()
    end(world, Outcome(State.SUCCEEDED))
    scheduler.beat()

    assert {run_id: (each.done, each.total, each.note) for run_id, each in shown.items()} == {run.id: (2.5, 10, "rows")}
    assert world.ledger.progresses() == {}
    last = world.ledger.progress(run.id)
    assert last is not None
    assert last.done == 2.5
    assert world.ledger.progress(run.id + 1) is None


def test_the_last_word_counts_even_when_it_comes_with_the_end(world: World) -> None:
    scheduler, run = started(world)

    says(world, run, done=10, total=10)
    end(world, Outcome(State.SUCCEEDED))
    scheduler.beat()

    last = world.ledger.progress(run.id)
    assert last is not None
    assert (last.done, type(last.done)) == (10, int)


def test_a_new_attempt_begins_without_the_progress_of_the_last(world: World) -> None:
    scheduler, run = started(world, retries=1)

    says(world, run, done=9)
    end(world, Outcome(State.FAILED))
    scheduler.beat()
    world.run_for(scheduler, 50)

    assert world.ledger.run(run.id).attempt == 2
    assert world.ledger.progress(run.id) is None


def prints(world: World, run: Run, text: str) -> None:
    world.engine.said.append(Note(run, Heard(output=Output(text))))


def test_what_a_running_run_has_printed_is_in_the_ledger_until_its_end_brings_all_of_it(world: World) -> None:
    scheduler, run = started(world)

    prints(world, run, "one\n")
    prints(world, run, "one\ntwo\n")
    scheduler.beat()
    so_far = world.ledger.output(run.id).text
    end(world, Outcome(State.SUCCEEDED, output=Output("one\ntwo\nthree\n")))
    scheduler.beat()

    assert so_far == "one\ntwo\n"
    assert world.ledger.output(run.id).text == "one\ntwo\nthree\n"


def test_what_was_printed_before_its_scheduler_died_stays_with_the_run(world: World) -> None:
    scheduler, run = started(world)

    prints(world, run, "half way\n")
    scheduler.beat()
    world.ledger.abandon_owned_by(world.ledger.running_owners(), world.clock.now(), "it died")

    assert world.ledger.run(run.id).state is State.ABANDONED
    assert world.ledger.output(run.id).text == "half way\n"


def test_a_new_attempt_begins_without_the_output_of_the_last(world: World) -> None:
    scheduler, run = started(world, retries=1)

    end(world, Outcome(State.FAILED, output=Output("no answer\n")))
    scheduler.beat()
    between = world.ledger.output(run.id).text
    world.run_for(scheduler, 50)

    assert world.ledger.run(run.id).attempt == 2
    assert (between, world.ledger.output(run.id).text) == ("no answer\n", "")


def test_a_word_that_comes_after_the_end_changes_nothing(world: World) -> None:
    scheduler, run = started(world)
    end(world, Outcome(State.SUCCEEDED, output=Output("all of it\n")))
    scheduler.beat()

    prints(world, run, "late")
    scheduler.beat()

    assert world.ledger.output(run.id).text == "all of it\n"


def test_progress_waits_for_the_ledger_and_lines_do_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, run = started(world)

    @contextmanager
    def unavailable(*_: object) -> object:
        raise LedgerUnavailable("the disk is full")
        yield

    says(world, run, Said("info", "still here"), done=4)
    with monkeypatch.context() as patch:
        patch.setattr(world.ledger, "leading", unavailable)
        scheduler.beat()
    told, kept = "run.said" in world.log.names(), world.ledger.progress(run.id)
    scheduler.beat()

    assert (told, kept) == (True, None)
    assert world.ledger.progresses()[run.id].done == 4


def test_a_run_s_files_are_recorded_with_its_finish_and_a_later_attempt_s_replace_them_by_name_I23(
    world: World,
) -> None:
    scheduler, run = started(world, retries=1)
    first = Artefact("out.csv", "logs/artefacts/j/1/out.csv", 3, "aa")
    other = Artefact("a.txt", "logs/artefacts/j/1/a.txt", 4, "bb")
    second = replace(first, path="logs/artefacts/j/1/attempt-2/out.csv", sha256="cc")

    end(world, Outcome(State.FAILED, artefacts=(first, other)))
    scheduler.beat()
    after_one = world.ledger.artefacts(run.id)
    world.run_for(scheduler, 50)
    end(world, Outcome(State.SUCCEEDED, artefacts=(second,)))
    scheduler.beat()

    assert after_one == [other, first]
    assert world.ledger.artefacts(run.id) == [other, second]
    assert world.ledger.artefacts_adrift(9) == []


def test_retention_takes_a_run_s_files_with_it_even_if_a_crash_came_between(world: World, tmp_path: Path) -> None:
    scheduler, run = started(world)
    path = f"logs/artefacts/j/{run.id}/out.csv"
    kept, stays = tmp_path / path, tmp_path / "logs/artefacts/j/999/mine"
    for file in (kept, stays, kept.with_name("an-earlier-attempt-s")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    end(world, Outcome(State.SUCCEEDED, artefacts=(Artefact("out.csv", path, 1, "aa"),)))
    scheduler.beat()
    world.clock.sleep(MINUTE.total_seconds())
    scheduler.beat()
    world.ledger.prune(world.clock.now() + timedelta(days=1), 1, 500, now=world.clock.now())

    adrift = world.ledger.artefacts_adrift(9)
    round_of_chores(world, tmp_path)

    assert [(run_id, each.path) for run_id, each in adrift] == [(run.id, path)]
    assert (kept.parent.exists(), stays.exists()) == (False, True)
    assert world.ledger.artefacts_adrift(9) == []


def round_of_chores(world: World, home: Path) -> None:
    surroundings = Surroundings(
        lives=lambda _owner: True, sweep=lambda _owner: 0, discard=lambda path: discard(home, path)
    )
    custody = Custody(home / "var" / "ledger.sqlite3", world.clock, world.log)
    chores = Chores(world.ledger, Registry([job()]), custody, world.clock, world.log, surroundings)
    world.clock.sleep(2 * EVERY_SECONDS)
    chores.do_due(60)


@pytest.mark.parametrize(
    "path",
    ["", "/", "logs", "logs/artefacts", "logs/artefacts/j", "logs/artefacts/j/7", "logs/artefacts/../x/y", "var/a/b/c/d",
     "logs/artefacts/j/../x", "/etc/artefacts/j/7/x"],
)  # fmt: skip
def test_only_what_was_kept_for_a_run_is_ever_discarded(tmp_path: Path, path: str) -> None:
    kept = [tmp_path / "logs/artefacts/j/7/x", tmp_path / "var/a/b/c/d", tmp_path / "logs/x/y"]
    for file in kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")

    discard(tmp_path, path)

    assert all(file.exists() for file in kept)
