"""`echopilot status` says the worst first."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from daykit import live, well

from echopilot_jobs import definitions
from echopilot_jobs.cli import overview, sight, trouble
from echopilot_jobs.cli.sight import Standing
from echopilot_jobs.cli.trouble import of_programs
from echopilot_jobs.clock import SystemClock, iso
from echopilot_jobs.disk import FLOOR, free_bytes
from echopilot_jobs.ledger import Limits
from echopilot_jobs.ledger.identity import Identity, continuity, read_mark, write_mark
from echopilot_jobs.ledger.rebirth import Rebirth
from echopilot_jobs.ledger.refusing import note_refusal
from echopilot_jobs.outages import Cause, Outage
from echopilot_jobs.planner import Plan
from echopilot_jobs.processes import this_process
from echopilot_jobs.runs import Outcome, State
from echopilot_jobs.settings import Settings, load
from echopilot_jobs.slots import SkipReason, Slot
from echopilot_jobs.spans import near
from echopilot_jobs.supervision import Program
from echopilot_jobs.testing import FakeClock
from tests.cli.conftest import Call, House
from tests.cli.housekit import Terminal
from tests.schedulekit import reading, stretch

NOW = SystemClock().now()
LEADS, SILENT = Standing("leading", "beat 1 s ago, term 3"), Standing("silent", "last beat 5 min ago; see `it`")


def program(name: str, state: str, *, age: int = 3_600) -> Program:
    return Program(name, state, 7, NOW - timedelta(seconds=age), None, "its own words")


def end(house: House, job: str, outcome: Outcome, at: datetime = NOW) -> int:
    """The number of a run of *job* that ended so, just now unless *at* another moment."""
    run, _ = house.ledger.request_run(job, at)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", at)
    with house.ledger.leading(lease, at) as work:
        work.start_ready(Limits(5))
        work.finish(house.ledger.run(run.id), outcome)
    return run.id


def test_what_is_broken_now_stands_before_failing_jobs_and_those_before_all_else(call: Call, house: House) -> None:
    number = end(house, "ceo_brief", Outcome(State.FAILED, error="no route to host"))
    (house.settings.home / "jobs.toml").write_text("[jobs.export]\nevery = 'sometimes'\n")

    answer = call("status")

    lines = answer.out.splitlines()
    assert lines[0] == "broken now"
    assert any(line.startswith("! the jobs file is not in force: jobs.toml:") for line in lines)
    assert f"    -> `echopilot show {number}`, then `echopilot retry {number}`" in lines
    order = [lines.index(word) for word in ("broken now", "failing")]
    order += [next(n for n, line in enumerate(lines) if line.startswith(word)) for word in ("stack ", "JOB ")]
    assert order == sorted(order)
    assert answer.err == ""  # said once


def test_of_a_set_that_fits_in_part_status_says_what_can_run(
    call: Call, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, mine = house.settings.home / "jobs.toml", '[jobs.mine]\nevery = "1h"\ncommand = ["true"]\n'
    file.write_text(f'{mine}[jobs.self_heal]\njitter = "2h"\n')  # fits while it runs every six hours
    definitions.begin(house.settings, NOW)
    monkeypatch.setenv("SCHED_SELFHEAL_EVERY_HOURS", "1")
    file.write_text(f"{mine}retires = 1\n")
    definitions.begin(load(), NOW)

    broken = json.loads(call("status", "--json").out)["status"]["broken"]

    (do,) = (each["do"] for each in broken if each["what"].startswith("the jobs file is not in force: "))
    assert do.endswith("; until then the last good set without self_heal stays in force")


@pytest.mark.parametrize(("others", "told"), [(1, " (and 1 more mistake)"), (2, " (and 2 more mistakes)")])
def test_how_many_more_mistakes_a_jobs_file_has_stands_apart_from_the_first(
    call: Call, house: House, others: int, told: str
) -> None:
    more = "".join(f"[jobs.other{number}]\nevery = 'never'\ncommand = ['true']\n" for number in range(others))
    (house.settings.home / "jobs.toml").write_text(f"[jobs.mine]\nevery = 'sometimes'\ncommand = ['true']\n{more}")

    status, warned = call("status").out.splitlines(), call("jobs").err

    (line,) = (line for line in status if line.startswith("! the jobs file is not in force: "))
    assert line.endswith(told)
    assert f"{told}; see `echopilot check`" in warned


@pytest.mark.process
def test_a_narrow_terminal_breaks_what_status_says_between_words(
    house: House, terminal: Callable[..., Terminal]
) -> None:
    words = "HTTP 503 Service Unavailable from the place where the files go"
    end(house, "export", Outcome(State.FAILED, error=words))
    end(house, "export", Outcome(State.SUCCEEDED))

    screen = terminal("status", width=64, env={"NO_COLOR": "1"})
    screen.end()

    lines = screen.seen.decode().splitlines()
    told = next(n for n, line in enumerate(lines) if line.startswith("  run ") and "of export" in line)
    assert max(map(len, lines)) <= 64
    assert words in " ".join(line.strip() for line in lines[told : told + 3])


def test_a_job_that_went_well_since_is_not_failing_any_more_but_its_bad_end_is_told(call: Call, house: House) -> None:
    end(house, "export", Outcome(State.FAILED, error="no route to host"))
    end(house, "export", Outcome(State.SUCCEEDED))

    answer = call("status")

    assert "\nfailing\n" not in answer.out
    assert "bad ends in the last 24 h, newest first" in answer.out
    assert json.loads(call("status", "--json").out)["status"]["failing"] == []


def test_a_failing_job_says_how_often_in_a_row_and_since_when(call: Call, house: House) -> None:
    end(house, "export", Outcome(State.SUCCEEDED), NOW - timedelta(hours=1))
    first, *_, last = [end(house, "export", Outcome(State.FAILED, error="no route")) for _ in range(3)]

    answer = call("status")
    (failing,) = json.loads(call("status", "--json").out)["status"]["failing"]

    since = house.ledger.run(first).finished_at
    assert since is not None
    assert f"export: run {last} failed" in answer.out
    assert f": no route; 3 bad ends in a row since {near(since, NOW)}; last success 1 h" in answer.out
    assert (failing["in_a_row"], failing["since"]) == (3, iso(since))


def test_a_refused_jobs_file_says_since_when(call: Call, house: House) -> None:
    (house.settings.home / "jobs.toml").write_text("[jobs.export]\nevery = 'sometimes'\n")
    definitions.begin(house.settings, NOW)

    answer = call("status")

    assert f"; refused since {near(NOW, NOW)}\n" in answer.out


def test_slots_that_nobody_planned_are_overdue(call: Call, house: House) -> None:
    past = FakeClock(SystemClock().now() + timedelta(minutes=-30))
    live(house.ledger, house.registry, past, past.now())
    with house.ledger._writing() as sql:  # as after an outage that goes on
        sql.db.execute("update jobs set planned_through = ?", (round(past.now().timestamp() * 1000) - 1_800_000,))

    status = json.loads(call("status", "--json").out)["status"]

    assert any("overdue, and nobody has decided about it: heartbeat" in each["what"] for each in status["broken"])


def test_a_scheduler_that_was_killed_again_and_again_within_the_hour_is_told_lately(call: Call, house: House) -> None:
    """One leads now, so nothing of it is broken at this moment: the dashboard warns of it, too."""
    now = SystemClock().now()
    for minutes in (90, 30, 20, 10, 0):
        house.ledger.take_lease(f"boot:{minutes}:1", "host", "rev", now - timedelta(minutes=minutes))

    status = json.loads(call("status", "--json").out)["status"]
    lines = call("status").out.splitlines()

    told = "the scheduler died 3 times within the last hour"
    (do,) = (each["do"] for each in status["lately"] if each["what"].startswith(told))
    assert do.startswith("`supervisorctl tail scheduler`")
    assert not [each for each in status["broken"] if told in each["what"]]
    assert any(line.startswith(f"! {told}") for line in lines[lines.index("lately") :])


def test_a_ledger_that_was_lost_and_put_back_is_told_lately_and_not_as_broken_F18(call: Call, house: House) -> None:
    now = SystemClock().now()
    for seconds in (60, 0):
        house.ledger.take_lease(f"boot:{seconds}:1", "host", "rev", now - timedelta(seconds=seconds))
    facts = {"ts": iso(now - timedelta(seconds=58)), "event": "ledger.vanished", "said": "its file is gone"}
    (house.settings.logs_dir / "scheduler.log").write_text(json.dumps(facts) + "\n")

    status = json.loads(call("status", "--json").out)["status"]

    assert [each["what"] for each in status["lately"] if each["what"].startswith("the scheduler lost its ledger at ")]
    assert not [each for each in status["broken"] if "lost its ledger" in each["what"]]


def test_an_outage_that_is_over_is_told_with_its_cause_and_what_it_cost(call: Call, house: House) -> None:
    """The house's scheduler stopped two minutes ago."""
    now = SystemClock().now()
    before = json.loads(call("status", "--json").out)["status"]["lately"]
    with house.ledger.leading(house.ledger.take_lease("boot:7:1", "host", "rev", now), now) as work:
        gone = Outage(now - timedelta(minutes=2), now, Cause.STOPPED)
        job = house.registry["heartbeat"]
        missed = stretch(SkipReason.COALESCED, tuple(Slot(job.name, now - timedelta(seconds=n)) for n in (90, 30)))
        work.standings([job])
        work.dispose([(job, Plan(now, (), (missed,)))], outage_id=work.record_outage(gone))
        work.renew(reading(now), planned=True)

    (told,) = json.loads(call("status", "--json").out)["status"]["lately"]

    assert before == []  # while it goes on, that is what is broken
    assert told["what"].startswith("no scheduler ran from ")
    assert told["what"].endswith(": somebody stopped it; 2 slots had no run of their own")
    assert told["do"] == "`echopilot audit` accounts for every slot, job by job"


@pytest.mark.parametrize(
    ("free", "told"),
    [
        (0, ["the disk is full: no room is left: 0 bytes free, the floor is 50 MB"]),
        (FLOOR - 1_000_000, ["the disk is nearly full: 49 MB free, the floor is 50 MB"]),
        (FLOOR, []),
    ],
)
def test_a_disk_without_room_is_broken_now_before_what_follows_from_it(
    call: Call, house: House, monkeypatch: pytest.MonkeyPatch, free: int, told: list[str]
) -> None:
    monkeypatch.setattr(trouble, "free_bytes", lambda _folders: free)

    broken = json.loads(call("status", "--json").out)["status"]["broken"]

    assert [each["what"] for each in broken if each["what"].startswith("the disk")] == told
    assert not told or broken[0] == {"what": told[0], "do": "free some space; old files in `logs/` may go"}


def test_the_room_told_of_is_what_this_account_may_fill_on_the_tightest_disk(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()

    found = free_bytes((tmp_path / "var", tmp_path / "not there"))

    assert found == pytest.approx(shutil.disk_usage(tmp_path).free, abs=10**9)
    assert free_bytes([tmp_path / "not there"]) is None


UP = program("scheduler", "RUNNING")


@pytest.mark.parametrize(
    ("programs", "standing", "expected"),
    [
        ([program("web", "RUNNING"), UP], LEADS, []),
        ([program("web", "FATAL"), UP], LEADS, ["'web' keeps failing to start; supervisord has given up"]),
        ([program("web", "EXITED")], LEADS, ["'web' is exited: its own words"]),
        ([program("scheduler", "STOPPED")], SILENT, ["'scheduler' was stopped by an operator"]),
        ([UP], SILENT, ["the program 'scheduler' runs but does not lead: silent, last beat 5 min ago"]),
        ([program("scheduler", "RUNNING", age=5)], SILENT, []),
        ([program("scheduler", "RUNNING", age=35)], replace(SILENT, since=NOW - timedelta(seconds=36)), []),
        (
            [program("scheduler", "RUNNING", age=35)],  # it has led in this very life, and does no more
            replace(SILENT, since=NOW - timedelta(seconds=35)),
            ["the program 'scheduler' runs but does not lead: silent, last beat 5 min ago"],
        ),
        (
            [program("scheduler", "RUNNING", age=35)],
            Standing("stopped", "5 s ago; start", since=NOW - timedelta(seconds=30)),
            [],
        ),
    ],
)
def test_a_program_that_is_down_is_broken_and_one_that_was_just_started_is_not(
    programs: list[Program], standing: Standing, expected: list[str]
) -> None:
    assert [each.what for each in of_programs(programs, standing, NOW, away=False)] == expected


def test_a_scheduler_is_not_told_to_be_restarted_while_nobody_can_read_whether_it_leads() -> None:
    """For a second or two after its ledger was deleted it still holds it, and is about to put it back (F18)."""
    never = Standing("never", "never started here; start it")

    assert list(of_programs([UP], never, NOW, away=False, unknown=True)) == []
    assert len(list(of_programs([program("web", "FATAL"), UP], never, NOW, away=False, unknown=True))) == 1


def test_a_refused_ledger_is_told_with_the_command_that_ends_it_F19(call: Call, house: House) -> None:
    mark = Identity(house.ledger.ledger_id, 900, 4_000)
    write_mark(house.settings.ledger_path, mark, NOW)
    said = continuity(
        house.settings.ledger_path, read_mark(house.settings.ledger_path), replace(mark, term=3, last_run=7)
    ).sentence
    note_refusal(house.settings.ledger_path, said)

    (told,) = (
        each
        for each in json.loads(call("status", "--json").out)["status"]["broken"]
        if each["what"].startswith("the ledger is refused: ")
    )

    assert told["what"].endswith("is an older copy of the ledger: it ends with term 3 where term 900 was known")
    assert told["do"].startswith("stop the stack, then go on with it by `echopilot restore --accept`, or ")


def test_the_very_first_scheduler_is_not_told_of_as_never_started(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    up = replace(UP, started_at=SystemClock().now())
    monkeypatch.setattr(overview, "_programs", lambda _settings: ([up], None))

    answer = call("status")

    assert "scheduler  its program runs; it has planned nothing yet" in answer.out
    assert "never" not in answer.out


def test_a_scheduler_that_leads_in_the_stead_of_the_stacks_own_is_told_of(
    call: Call, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.ledger.take_lease(str(this_process()), "host", "rev", SystemClock().now())
    monkeypatch.setattr(overview, "_programs", lambda _settings: ([UP], None))

    answer, data = call("status"), json.loads(call("status", "--json").out)["status"]["scheduler"]

    assert f"; pid {os.getpid()} leads, which the stack did not start; its own, pid 7, only stands by; " in answer.out
    assert data["stands_by"] == 7


def test_a_scheduler_that_starts_again_is_not_told_to_be_started(
    call: Call, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(house.ledger, house.registry, FakeClock(SystemClock().now()), SystemClock().now(), ending=well, stop="stopped")
    monkeypatch.setattr(overview, "_programs", lambda _settings: ([replace(UP, started_at=SystemClock().now())], None))

    answer = call("status")

    assert "scheduler  its program runs; it has planned nothing yet; the one before it ended" in answer.out
    assert "bin/stack" not in answer.out


def test_a_stack_that_was_never_started_is_not_broken(call: Call) -> None:
    answer = call("status")

    assert answer.out.startswith("stack      not running")


def test_of_a_ledger_that_cannot_be_read_nothing_is_claimed(call: Call, settings: Settings) -> None:
    settings.var_dir.mkdir(mode=0o700)
    settings.ledger_path.write_bytes(b"no ledger at all " * 100)

    answer = call("status")

    assert answer.out.startswith("broken now\n! the ledger is damaged or no ledger: file is not a database\n")
    assert "scheduler  unknown: what it does is written in the ledger, and that cannot be read" in answer.out
    assert answer.out.count("see `echopilot doctor`") == 1
    assert "never" not in answer.out


def test_a_stack_that_is_down_is_the_first_thing_said(call: Call, house: House) -> None:
    past = FakeClock(SystemClock().now() - timedelta(minutes=5))
    live(house.ledger, house.registry, past, past.now(), ending=well, stop="orphaned")

    answer = call("status")

    first = answer.out.splitlines()[1]
    assert first.startswith("! the stack is not running; its scheduler: stopped, ")
    assert first.endswith(" ago, because supervisord died, and the scheduler ended with it")
    assert answer.out.splitlines()[2] == "    -> start it with `bin/stack`"


def test_a_supervisord_that_nobody_can_steer_is_broken_now_and_not_said_to_be_down(call: Call, house: House) -> None:
    (house.settings.var_dir / "stack.lock").write_text(f"{this_process()}\n", encoding="ascii")

    answer = call("status")

    heading, what, do, *_ = answer.out.splitlines()
    assert heading == "broken now"
    assert what.endswith(f"is gone, though supervisord lives (pid {os.getpid()}): nobody can steer it")
    assert do == "    -> end it with `bin/stack stop`, then start the stack with `bin/stack`"
    assert "not running" not in answer.out


def test_a_scheduler_that_stopped_this_second_stopped_just_now(house: House) -> None:
    house.ledger.end_stint(house.ledger.take_lease("boot:1:1", "host", "rev", NOW), "stopped", NOW)

    standing = sight.standing(house.ledger.stint(), NOW)

    assert (standing.state, standing.sentence) == ("stopped", f"just now; {sight.START}")


def test_a_job_whose_repetition_is_under_way_is_not_told_to_be_repeated(call, house):
    number = end(house, "export", Outcome(State.FAILED, error="no route to host"))

    before = call("status").out
    call("retry", str(number))
    meanwhile = call("status").out

    assert f"`echopilot retry {number}`" in before
    assert f"`echopilot retry {number}`" not in meanwhile


def test_of_many_open_runs_those_that_run_come_first_and_the_rest_is_counted(call: Call, house: House) -> None:
    first = NOW - timedelta(days=2)
    slots = [Slot("heartbeat", first + number * timedelta(minutes=1)) for number in range(60)]
    running, _ = house.ledger.request_run("export", NOW)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    with house.ledger.leading(lease, NOW) as work:
        work.start_ready(Limits(1))
    queued = house.ledger.backfill("heartbeat", slots, "test", NOW)

    lines = call("status").out.splitlines()
    document = json.loads(call("status", "--json").out)["status"]["open_runs"]

    at = lines.index("open runs")
    shown = lines[at + 1 : lines.index("", at)]
    assert shown[0].startswith(f"  run {running.id} of export has been running for ")
    assert [line.split()[1] for line in shown[1:-1]] == [str(run.id) for run in queued[:9]]
    assert shown[-1] == "  and 51 more: 51 of heartbeat; see `echopilot runs --open`"
    assert document[0]["id"] == running.id


def test_what_began_after_the_clock_was_read_has_been_running_for_no_time_and_not_for_less(
    call: Call, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.ledger.request_run("export", NOW)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    with house.ledger.leading(lease, NOW) as work:
        work.start_ready(Limits(1))
    monkeypatch.setattr("echopilot_jobs.cli.sight.now", lambda: NOW - timedelta(milliseconds=6))

    assert "of export has been running for 0 ms, attempt 1" in call("status").out


def test_what_failed_this_second_failed_just_now(call: Call, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    number = end(house, "ceo_brief", Outcome(State.FAILED, error="no route to host"))
    monkeypatch.setattr("echopilot_jobs.cli.sight.now", lambda: NOW)

    assert f"ceo_brief: run {number} failed just now: no route to host" in call("status").out


def test_a_job_that_its_own_slots_never_let_finish_is_named(call: Call, house: House) -> None:
    (house.settings.home / "jobs.toml").write_text(
        "[jobs.hurried]\nevery = '1m'\ncommand = ['true']\noverlap = 'cancel_previous'\n"
    )
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    with house.ledger.leading(lease, NOW) as work:
        work.standings([definitions.in_force(house.settings).registry["hurried"]])
    for _ in range(5):
        end(house, "hurried", Outcome(State.CANCELLED, error="cancelled by the next slot"))

    said = call("status").out

    assert "cut off" in said
    assert "'hurried' never gets done: its last 5 runs were each ended by the next slot; give it more time" in " ".join(
        said.split()
    )
    assert json.loads(call("status", "--json").out)["status"]["cut_off"] == [{"job": "hurried", "count": 5}]


def test_that_every_place_is_taken_is_told_with_who_holds_them(call: Call, house: House) -> None:
    (house.settings.home / "jobs.toml").write_text(
        "[jobs.hangs]\nmanual = true\ncommand = ['true']\noverlap = 'allow(8)'\n"
        "[jobs.waits]\nmanual = true\ncommand = ['true']\n"
    )
    since = NOW - timedelta(minutes=5)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", since)
    registry = definitions.in_force(house.settings).registry
    with house.ledger.leading(lease, since) as work:
        work.standings([registry["hangs"], registry["waits"]])
    numbers = []
    for _ in range(8):
        numbers.append(house.ledger.request_run("hangs", since)[0].id)
        with house.ledger.leading(lease, since) as work:
            work.start_ready(Limits(8, instances={"hangs": 8}))
    house.ledger.request_run("waits", since)
    with house.ledger.leading(lease, SystemClock().now()) as work:
        work.renew(reading(SystemClock().now()), planned=True)

    said = " ".join(call("status").out.split())
    document = json.loads(call("status", "--json").out)["status"]["places"]

    assert "places all 8 places for runs are taken, 8 by hangs since " in said
    assert f"; 1 run waits for one since {near(since, NOW)}; `echopilot cancel {numbers[0]}` frees the place" in said
    assert (document["held_by"], document["waiting"]) == (numbers, 1)


def test_a_ledger_that_began_empty_after_a_lost_one_stands_under_lately_for_a_day_F42(call: Call, house: House) -> None:
    now = SystemClock().now()
    house.ledger.go_on_after(101_351, Rebirth(now - timedelta(hours=1), 1351, None))

    (told,) = (
        each for each in json.loads(call("status", "--json").out)["status"]["lately"] if "is lost" in each["what"]
    )

    assert told["what"].startswith(
        "the ledger before this one, with runs up to 1351, is lost; this one began empty at "
    )
    assert told["do"].startswith("with the stack stopped, run `echopilot restore ")
