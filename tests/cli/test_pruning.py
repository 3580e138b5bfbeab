"""`echopilot prune`: old history goes when a person says so, recorded, and never by mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from daykit import live, well
from housekit import everything_in

from echopilot_jobs import healing
from echopilot_jobs.builtin import jobs
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import State
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock

OLD = ("prune", "--older-than", "30d", "--keep", "5")
DAY = timedelta(days=1)


@pytest.fixture
def aged(settings: Settings) -> Iterator[SqliteLedger]:
    """Half an hour of forty days ago, and five minutes of just now; between them nobody planned."""
    settings.var_dir.mkdir(mode=0o700)
    now = SystemClock().now() - timedelta(minutes=6)
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        clock = FakeClock(now - 40 * DAY)
        live(ledger, jobs(settings), clock, clock.now() + timedelta(minutes=30))
        live(ledger, jobs(settings), FakeClock(now), now + timedelta(minutes=5))
        yield ledger


def test_a_dry_run_counts_and_changes_nothing(call, aged, settings):
    before = everything_in(settings.ledger_path)

    answer = call(*OLD, "--dry-run", "--json")
    told = call(*OLD, "--dry-run")

    body = json.loads(answer.out)["prune"]
    assert (answer.code, answer.err) == (0, "")
    assert (body["dry_run"], body["removed"]) == (True, 0)
    assert body["runs"] >= 25
    assert f"{body['runs']} runs and {body['slots']} skipped slots and gaps from before " in told.out
    assert told.out.endswith(" would be removed; nothing was changed\n")
    assert everything_in(settings.ledger_path) == before


def test_what_is_removed_is_what_was_counted_and_is_recorded_I10(call, aged, monkeypatch):
    monkeypatch.setattr(healing, "PRUNE_AT_ONCE", 4)
    counted = json.loads(call(*OLD, "--dry-run", "--json").out)["prune"]
    last = aged.last_runs()

    answer = call(*OLD, "--yes", "--json")
    again = call(*OLD, "--yes")

    body = json.loads(answer.out)["prune"]
    assert answer.code == 0
    assert body["removed"] == counted["runs"] + counted["slots"] > 25
    assert aged.pruned_before() is not None
    assert aged.last_runs() == last
    assert again.code == 0
    assert again.out.startswith("removed 0 rows: 0 runs and 0 skipped slots and gaps from before ")


def test_the_newest_runs_of_a_job_stay_however_old(call, aged):
    everything = {run.id for run in aged.runs(limit=200)}

    assert call("prune", "--older-than", "1d", "--keep", "1000", "--yes").code == 0
    assert {run.id for run in aged.runs(limit=200)} == everything

    assert call("prune", "--older-than", "1d", "--keep", "1", "--yes").code == 0
    left = aged.runs(limit=200)
    assert {run.job_name for run in left} == {"heartbeat", "ceo_brief", "daily_report", "self_heal"} & {
        run.job_name for run in left
    }
    assert set(aged.last_runs()) == {run.job_name for run in left}


def test_an_open_run_is_never_removed(call, aged, settings):
    run, _ = aged.request_run("self_heal", SystemClock().now() - 40 * DAY)

    assert call("prune", "--older-than", "1d", "--keep", "1", "--yes").code == 0

    assert aged.run(run.id).state is State.QUEUED


def test_where_nobody_can_be_asked_yes_is_needed(call, aged, settings, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    before = everything_in(settings.ledger_path)

    answer = call(*OLD)

    assert (answer.code, answer.out) == (2, "")
    assert "nobody can be asked here; give --yes to remove, or --dry-run to see what would go" in answer.err
    assert everything_in(settings.ledger_path) == before


def test_on_a_clock_that_is_not_trusted_nothing_goes_F34(call, settings):
    """I10: years ahead, all history would look old."""
    from tests.lifekit import Life
    from tests.worldkit import MINUTE

    settings.var_dir.mkdir(mode=0o700)
    clock = FakeClock(SystemClock().now() - 60 * DAY)
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        life = Life(ledger, clock)
        scheduler = life.begin(*jobs(settings).values())
        life.go_on(scheduler, 30 * MINUTE)
        clock.step(50 * 86_400)
        life.go_on(scheduler, MINUTE)
        before = everything_in(settings.ledger_path)

        answer = call("prune", "--older-than", "1d", "--keep", "1", "--yes")

        assert (answer.code, answer.out) == (3, "")
        assert "is not trusted yet, so nobody can say what is old; see `echopilot clock`" in answer.err
        assert everything_in(settings.ledger_path) == before
        with pytest.raises(healing.WrongState):
            next(healing.prune_to(ledger, clock.now(), 1, clock.now()))


def test_a_prune_that_ends_between_two_batches_leaves_whole_what_is_left_F79(ledger, settings):
    clock = FakeClock()
    live(ledger, jobs(settings), clock, clock.now() + timedelta(minutes=40), ending=well)
    before = ledger.runs(limit=200)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(healing, "PRUNE_AT_ONCE", 10)
        batches = healing.prune_to(ledger, clock.now(), 1, clock.now())
        first = next(batches)
        batches.close()

    left = ledger.runs(limit=200)
    assert 0 < first.count <= 10
    assert 0 < len(before) - len(left) <= first.count
    assert all(run in before for run in left)
    assert ledger.pruned_before() is not None


@pytest.mark.process
@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (b"n\n", 1, b"nothing was removed"),
        (b"\n", 1, b"nothing was removed"),
        (b"\x04", 130, b""),
        (b"\x03", 130, b""),
        (b"y\n", 0, b"removed "),
    ],
    ids=["no", "enter", "ctrl-d", "ctrl-c", "yes"],
)
def test_a_person_is_asked_first(aged, settings, terminal, typed, code, said):
    before = everything_in(settings.ledger_path)
    screen = terminal(*OLD, env={"ECHOPILOT_HOME": str(settings.home)})
    screen.wait_for(b"There is no way back [y/N]")

    if typed == b"\x03":
        screen.interrupt()
    else:
        screen.type(typed)

    assert screen.end() == code
    assert said in screen.seen
    assert b"Traceback" not in screen.seen
    assert (everything_in(settings.ledger_path) == before) is (code != 0)
