"""What each verb shows and does."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from daykit import live, well
from housekit import working

from echopilot_jobs.builtin import jobs
from echopilot_jobs.cli.following import StillOpen, follow
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.ledger import Limits, SqliteLedger
from echopilot_jobs.processes import this_process
from echopilot_jobs.runs import Origin, Outcome, Output, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.wake import Waiter, open_for_waiting

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def store(settings: Settings) -> Iterator[SqliteLedger]:
    settings.var_dir.mkdir(mode=0o700)
    ledger = SqliteLedger(settings.ledger_path)
    yield ledger
    ledger.close()


# -- status


def test_status_before_the_first_start_is_an_answer(call):
    answer = call("status")

    assert answer.code == 0
    assert answer.err == ""
    assert "stack      not running: no supervisord at" in answer.out
    assert "scheduler  never started here; start it with `bin/stack`" in answer.out
    assert re.search(r"heartbeat +every 1 min +\d{4}-\d\d-\d\d \d\d:\d\d:00Z \((in \d+ s|in 1 min|now)\)", answer.out)


def test_status_of_a_stopped_stack_says_since_when(call, lived):
    answer = call("status")

    assert re.search(r"scheduler +stopped \(.* ago; start it with `bin/stack`\)", answer.out)
    assert "self_heal: run" in answer.out.partition("\nstack ")[0]


def test_status_of_a_leading_scheduler_says_so(call, store, settings):
    """I26."""
    with working(store, jobs(settings), well):
        answer = call("status", "--json")

    status = json.loads(answer.out)["status"]
    assert (status["scheduler"]["state"], status["scheduler"]["ok"]) == ("leading", True)
    assert status["stack"]["running"] is False
    assert [job["name"] for job in status["jobs"] if job["last_run"] is None]


def test_status_calls_a_beat_older_than_three_beats_silent(call, store, settings):
    """I26."""
    past = FakeClock(SystemClock().now())
    past.step(-300)
    live(store, jobs(settings), past, past.now(), stop=None)

    answer = call("status")

    assert re.search(r"scheduler +silent \(last beat 5 min.* ago; see `echopilot doctor`\)", answer.out)


def test_status_calls_a_beat_that_lies_ahead_of_the_clock_silent_as_health_does_I26(call, store, settings):
    """A frozen scheduler under a clock that was set back has not beaten "0 ms ago"."""
    ahead = FakeClock(SystemClock().now())
    ahead.step(7_000)
    live(store, jobs(settings), ahead, ahead.now(), stop=None)

    answer, told = call("status"), json.loads(call("status", "--json").out)["status"]

    words = r"silent.+last beat lies 1 h 56 min in the future: the clock was set back"
    assert re.search(rf"scheduler +{words}", answer.out)
    assert re.match(rf"broken now\n! the stack is not running; its scheduler: {words}", answer.out)
    assert (told["scheduler"]["state"], told["scheduler"]["ok"]) == ("silent", False)


def test_who_asks_something_of_a_scheduler_that_does_not_move_is_told(call, store, settings):
    past = FakeClock(SystemClock().now())
    past.step(-300)
    live(store, jobs(settings), past, past.now(), stop=None)
    waiter = Waiter(settings.wake_path)  # its program runs, and hears

    answer = call("run", "heartbeat")

    waiter.close()
    assert answer.code == 0
    assert re.search(r"note: the scheduler is silent \(last beat 5 min.*\); nothing moves until it answers", answer.err)


def test_status_tells_a_run_of_a_dead_scheduler_from_a_living_one(call, store, settings):
    """I5, I7."""
    now = SystemClock().now()
    dead = store.take_lease("00000000-0000-0000-0000-000000000000:1:1", os.uname().nodename, "rev", now)
    with store.leading(dead, now) as work:
        work.standings(list(jobs(settings).values()))
        work.request("heartbeat", Origin.STARTUP, "one")
        work.start_ready(Limits(1))

    assert "its scheduler is dead, the next one will end it" in call("status").out

    living = store.take_lease(str(this_process()), os.uname().nodename, "rev", now)
    with store.leading(living, now) as work:
        work.request("ceo_brief", Origin.STARTUP, "two")
        work.start_ready(Limits(1))
    runs = {run["job"]: run["owner_alive"] for run in json.loads(call("status", "--json").out)["status"]["open_runs"]}

    assert runs == {"heartbeat": False, "ceo_brief": True}


# -- runs, jobs, show


def test_runs_are_filtered_and_paged(call, lived):
    newest = json.loads(call("runs", "--job", "heartbeat", "--limit", "2", "--json").out)["runs"]
    older = json.loads(call("runs", "--job", "heartbeat", "--before", str(newest[-1]["id"]), "--json").out)["runs"]
    bad = json.loads(call("runs", "--state", "failed", "--state", "timed_out", "--json").out)["runs"]

    assert [run["job"] for run in newest] == ["heartbeat"] * 2
    assert older[0]["id"] < newest[-1]["id"] < newest[0]["id"]
    assert {run["state"] for run in bad} == {"failed"}


def test_no_such_runs_is_said_and_no_failure(call, lived):
    answer = call("runs", "--state", "abandoned")

    newest = lived.runs(limit=1)[0].id
    said = f"no such runs; there are others, the newest is run {newest}: `echopilot runs` lists them\n"
    assert answer == (0, "", said)
    assert json.loads(call("runs", "--state", "abandoned", "--json").out)["runs"] == []


def test_of_a_job_without_such_runs_it_is_said_whether_it_has_any(call, lived):
    newest = lived.runs(job_name="heartbeat", limit=1)[0].id

    narrow = call("runs", "--job", "heartbeat", "--failed")
    none = call("runs", "--job", "daily_report", "--failed")

    others = f"there are others of heartbeat, the newest is run {newest}: `echopilot runs heartbeat` lists them"
    assert narrow == (0, "", f"no such runs; {others}\n")
    assert lived.runs(job_name="daily_report") or none == (0, "", "no such runs; there are none of daily_report yet\n")


def test_runs_of_a_job_are_asked_for_as_everywhere_else(call, lived):
    assert (
        call("runs", "heartbeat")
        == call("runs", "--job", "heartbeat")
        == call("runs", "heartbeat", "--job", "heartbeat")
    )

    two = call("runs", "heartbeat", "--job", "ceo_brief")

    assert two.code == 2
    assert "two jobs were given, 'heartbeat' and 'ceo_brief'; give one" in two.err


@pytest.mark.parametrize("verb", ["show", "cancel", "retry"])
def test_who_gives_a_jobs_name_for_a_runs_number_is_told_its_newest_run(call, lived, verb):
    newest = lived.runs(job_name="heartbeat", limit=1)[0].id

    answer = call(verb, "heartbeat")
    unknown = call(verb, "heartbaet")

    assert (answer.code, answer.out) == (2, "")
    assert (
        f"came 'heartbeat', which is a job; wanted: a run's number; its newest is {newest}, "
        "`echopilot runs heartbeat` lists them"
    ) in answer.err
    assert "came 'heartbaet'; wanted: a run's number, for example 12" in unknown.err


@pytest.mark.parametrize(
    ("late", "said"), [(1_244, "20 min 44 s after its moment, which is late"), (0, "0 ms after its moment")]
)
def test_show_says_once_how_long_after_its_moment_a_run_began_and_whether_that_is_late(
    call, lived, settings, late, said
):
    run = next(run for run in lived.runs(job_name="heartbeat") if run.slot and run.started_at)
    with closing(sqlite3.connect(settings.ledger_path)) as db, db:
        started = int(run.slot.due_at.timestamp() + late) * 1000
        db.execute("update runs set started_at = ? where id = ?", (started, run.id))

    lines = call("show", str(run.id)).out.splitlines()

    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith("began ")] == [said]


def test_jobs_agree_with_the_planner_about_the_next_slot(call, lived, settings):
    """I31."""
    listed = json.loads(call("jobs", "--json").out)

    from datetime import datetime

    at = datetime.fromisoformat(listed["at"])
    assert {job["name"]: job["next_at"] for job in listed["jobs"]} == jobs(settings).next_times(at)


def test_jobs_without_a_ledger_are_still_listed(call):
    answer = call("jobs")

    assert answer.code == 0
    assert "daily at 08:00 UTC" in answer.out
    assert answer.err.startswith("note: no history: no ledger at")


def test_show_has_facts_moves_and_output(call, lived):
    bad = next(run for run in lived.runs(job_name="self_heal") if run.actor)  # one of its schedule may be newer

    answer = call("show", str(bad.id))

    assert f"run          {bad.id} of self_heal" in answer.out
    assert "http status  503" in answer.out
    assert "asked for by test" in answer.out
    assert "failed, attempt 1" in answer.out
    assert answer.out.endswith("\n  last\n")


# -- run


def test_run_queues_for_a_leading_scheduler_and_nudges_it(call, store, settings):
    """I24."""
    waiter = open_for_waiting(settings.wake_path)
    with working(store, jobs(settings), lambda _run: None):
        answer = call("run", "daily_report", "--param", "date=2026-03-01")

    number = int(
        re.match(r"run (\d+) of daily_report is queued; follow it with `echopilot logs \1 -f`\n", answer.out)[1]
    )
    run = store.run(number)
    assert (answer.code, answer.err) == (0, "")
    who = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    assert (run.origin, run.params, run.actor) == (Origin.MANUAL, {"date": "2026-03-01"}, who)
    assert os.read(waiter, 10) == b"!"
    os.close(waiter)


def test_run_says_when_nobody_is_there_to_carry_it_out(call, lived):
    answer = call("run", "ceo_brief")

    assert answer.code == 0
    assert "note: no scheduler is running (stopped " in answer.err
    assert "waits in the queue until one starts; start it with `bin/stack`" in answer.err


def test_a_second_run_in_the_queue_is_refused_with_3(call, lived):
    """I8, F63."""
    call("run", "ceo_brief")

    answer = call("run", "ceo_brief")

    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("error: run ")
    assert "already waits in the queue" in answer.err


def test_a_job_no_scheduler_took_up_yet_is_refused_with_3(call, store):
    answer = call("run", "ceo_brief")

    assert answer.code == 3
    assert "no scheduler has taken up 'ceo_brief' yet; start the stack" in answer.err


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(State.SUCCEEDED, result={"headline": "all well"}, output=Output("one\ntwo\n"), duration_ms=5), 0),
        (Outcome(State.FAILED, error="it broke: \x1b[31m", output=Output("one\ntwo\n"), duration_ms=5), 1),
        (Outcome(State.TIMED_OUT, error="no end after 1 s", duration_ms=5), 1),
        (Outcome(State.CANCELLED, error="somebody said so", duration_ms=5), 1),
    ],
    ids=lambda value: str(getattr(value, "state", value)),
)
def test_waiting_ends_with_the_run_and_its_exit_code(call, store, settings, outcome, code):
    """I12."""
    with working(store, jobs(settings), lambda run: outcome if run.job_name == "ceo_brief" else well(run)):
        answer = call("run", "ceo_brief", "--wait")

    assert answer.code == code
    assert f"of ceo_brief {outcome.state.words} after 5 ms" in answer.out
    assert ("  two" in answer.out) == bool(outcome.output.text)
    assert ("headline  all well" in answer.out) == (code == 0)
    assert ("error: " in answer.err) == (code == 1)
    assert "\x1b" not in answer.err


def test_waiting_gives_up_after_its_timeout_and_the_run_goes_on(call, lived):
    answer = call("run", "ceo_brief", "--wait", "--timeout", "0.01")

    assert answer.code == 1
    assert re.search(
        r"error: run \d+ is still queued after 10 ms; it goes on, look with `echopilot show \d+`", answer.err
    )
    assert lived.runs(job_name="ceo_brief", limit=1)[0].is_open


def test_waiting_counts_on_a_clock_that_only_grows(settings):
    """I18: a wall clock that steps neither ends nor prolongs the waiting."""
    ledger, clock = MemoryLedger(), FakeClock()
    live(ledger, jobs(settings), clock, clock.now())
    run, _ = ledger.request_run("ceo_brief", clock.now())
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        clock.sleep(seconds)
        clock.step(-86_400)

    with pytest.raises(StillOpen):
        follow(ledger, run, 5.0, clock, rest)
    ledger.close()

    assert 4.9 <= sum(rests) <= 5.3


# -- check and doctor


@pytest.fixture
def conf(settings: Settings) -> Path:
    path = settings.home / "supervisord.conf"
    shutil.copy(ROOT / "supervisord.conf", path)
    (settings.home / "logs").mkdir()
    settings.var_dir.mkdir(mode=0o700)
    return path


def test_check_is_content_with_what_we_ship(call, conf):
    assert call("check") == (0, "settings, supervisord.conf and 4 jobs can be used\n", "")


def test_check_and_doctor_name_a_jobs_file_of_the_project_that_a_home_elsewhere_leaves_unread(
    call, conf, settings, tmp_path_factory, monkeypatch
):
    project = tmp_path_factory.mktemp("project")
    (project / "jobs.toml").write_text('[jobs.mine]\nevery = "1h"\ncommand = ["true"]\n')
    monkeypatch.setattr("echopilot_jobs.definitions.sheet.PROJECT_ROOT", project)
    said = (
        f"'{project}/jobs.toml' is not read, because ECHOPILOT_HOME is set: jobs are looked for in "
        f"'{settings.home}/jobs.toml', and no file is there"
    )

    check, doctor = call("check"), call("doctor")
    (settings.home / "jobs.toml").write_text("")
    heard = call("check"), call("doctor")

    assert check.code == 0
    assert check.err == f"warning: {said}; move it there, or unset ECHOPILOT_HOME\n"
    assert said in " ".join(doctor.out.split())
    assert not any("is not read" in answer.out + answer.err for answer in heard)


def test_check_names_every_mistake_on_its_own_line(call, conf, monkeypatch):
    conf.write_text(conf.read_text().replace("autorestart=", "autorestrat=", 1))
    monkeypatch.setenv("PORT", "abc")
    monkeypatch.setenv("SCHED_REPORT_UTC", "9:00")

    answer = call("check")

    assert answer.code == 78
    assert answer.out == ""
    assert [line.split(":")[1].strip() for line in answer.err.splitlines()[:2]] == ["PORT", "SCHED_REPORT_UTC"]
    assert all(line.startswith("error: ") for line in answer.err.splitlines())


def test_check_names_the_line_of_supervisord_conf(call, conf):
    conf.write_text(conf.read_text().replace("autorestart=", "autorestrat=", 1))

    answer = call("check")

    assert answer.code == 78
    assert re.search(r"error: supervisord.conf line \d+: .*autorestrat", answer.err)


def test_check_without_a_supervisord_conf_says_where_it_looked(call, settings):
    answer = call("check")

    assert answer.code == 78
    assert f"no '{settings.home}/supervisord.conf'" in answer.err


def test_check_as_json_lists_the_problems(call, conf, monkeypatch):
    monkeypatch.setenv("PORT", "0")

    answer = call("check", "--json")

    document = json.loads(answer.out)["check"]
    assert answer.code == 78
    assert document["ok"] is False
    assert document["problems"][0].startswith("PORT: came '0'")


def test_doctor_exits_1_when_a_promise_cannot_be_kept(call, settings):
    settings.ledger_path.parent.mkdir(mode=0o700)
    settings.ledger_path.write_bytes(b"this is no ledger" * 1000)

    answer = call("doctor")

    assert answer.code == 1
    assert re.search(r"^✗ ledger +the ledger is damaged or no ledger", answer.out, re.MULTILINE)
    assert "    -> stop the stack, keep a copy of `var/`" in answer.out


# -- the real thing


@pytest.mark.process
def test_a_real_scheduler_carries_out_what_the_command_asks_for(environment, spawn, settings):
    """I24, I25: queue, wake, run, wait, stop."""
    environment["PORT"] = "1"  # nobody answers there, so self_heal keeps waiting for its web
    scheduler = spawn("scheduler", env=environment, stderr=subprocess.STDOUT)
    assert any(b'"event":"startup","ok":true' in line for line in iter(scheduler.stdout.readline, b""))
    drained = threading.Thread(target=scheduler.stdout.read)
    drained.start()

    process = spawn("run", "heartbeat", "--wait", "--timeout", "60", env=environment)
    printed, said = process.communicate(timeout=90)
    status = spawn("status", "--json", env=environment).communicate(timeout=30)[0]
    scheduler.send_signal(signal.SIGTERM)

    assert scheduler.wait(60) == 0
    drained.join()
    assert process.returncode == 0, said
    assert re.match(rb"run \d+ of heartbeat succeeded after ", printed)
    assert b"no scheduler is running" not in said
    assert json.loads(status)["status"]["scheduler"]["state"] == "leading"
