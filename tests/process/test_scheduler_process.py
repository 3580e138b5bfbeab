"""The scheduler as a process: real signals, real kills, a real ledger file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from echopilot_jobs.processes import Owner, is_alive
from echopilot_jobs.runs import State
from echopilot_jobs.scheduler.custody import LedgerGone
from echopilot_jobs.wake import nudge
from tests.process.lone import SCRIPT, Lone
from tests.process.stacks import PROJECT, eventually

pytestmark = pytest.mark.process


def test_term_lets_a_short_run_end_and_leaves_no_running_row_I25_F5(lone: Lone) -> None:
    process = lone.start("sleep 1; echo finished", 3600, "startup")
    run = lone.running()

    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)

    assert process.returncode == 0
    assert [run.state for run in lone.runs()] == [State.SUCCEEDED]
    assert lone.left_behind(run) == []
    assert [(line["drained"], line["interrupted"]) for line in lone.events("scheduler.stopped")] == [(True, 0)]


def test_the_ping_of_a_run_that_ends_during_a_stop_leaves_before_the_process_does_I25_I29(
    lone: Lone, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a-place-nobody-may-see"
    answers = iter([500, 200])

    def slow(_request: Request) -> Response:
        threading.Event().wait(0.4)  # longer than a process takes to be gone once its last run is written
        return Response(status=next(answers))

    monkeypatch.setenv("LONE_WATCHER", httpserver.url_for(f"/{secret}"))
    httpserver.expect_request(f"/{secret}/start").respond_with_data("OK")
    httpserver.expect_request(f"/{secret}").respond_with_handler(slow)
    process = lone.start("sleep 1", 3600, "startup", "ping")
    lone.running()

    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)

    told = [(request.path, response.status_code) for request, response in httpserver.log]
    assert told == [(f"/{secret}/start", 200), (f"/{secret}", 500), (f"/{secret}", 200)]
    kept = [file.read_bytes() for file in lone.home.rglob("*") if file.is_file()]
    assert not any(secret.encode() in content for content in kept)


def test_a_second_term_does_not_wait_for_the_run_and_the_end_is_told_F6(lone: Lone) -> None:
    process = lone.start("sleep 1000", 3600, "startup")
    run = lone.running()

    process.send_signal(signal.SIGTERM)
    eventually(lambda: lone.events("scheduler.stopping"))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        process.send_signal(number)
    process.wait(timeout=30)

    assert process.returncode == 0
    assert "Traceback" not in lone.said(process)
    words = "cut off: the scheduler was stopped while it ran; the next start brings another"
    assert [(run.state, run.error) for run in lone.runs()] == [(State.CANCELLED, words)]
    assert [(line["drained"], line["interrupted"]) for line in lone.events("scheduler.stopped")] == [(False, 1)]
    assert lone.left_behind(run) == []


def test_an_idempotent_run_that_a_stop_interrupted_goes_on_with_the_next_scheduler(lone: Lone) -> None:
    process = lone.start("test -e again && exit 0; sleep 1000", 3600, "idempotent")
    eventually(lambda: lone.events("startup"))
    ledger = eventually(lone.ledger)
    eventually(lambda: "work" in ledger.job_names())
    run, _ = ledger.request_run("work", eventually(ledger.stint).beat_at)
    assert nudge(lone.home / "var" / "scheduler.wake")
    lone.running()

    process.send_signal(signal.SIGTERM)
    eventually(lambda: lone.events("scheduler.stopping"))
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    between = ledger.run(run.id)
    lone.start("exit 0", 3600, "idempotent")
    eventually(lambda: ledger.run(run.id).state is State.SUCCEEDED)

    assert between.state is State.RETRY_WAIT
    assert ledger.run(run.id).attempt == 2
    assert "cut off: the scheduler was stopped while it ran" in [event.note for event in ledger.events(run.id)]
    ledger.close()


def test_killed_in_the_middle_of_a_run_it_tells_the_truth_at_its_next_start_F4_I5_I8_I12(lone: Lone) -> None:
    command = "(trap '' TERM HUP; setsid sleep 1000) & sleep 1000"
    process = lone.start(command, 3600, "startup")
    run = lone.running()
    eventually(lambda: len(lone.left_behind(run)) >= 2)

    process.kill()
    process.wait()
    lone.start("exit 0", 3600, "startup")
    eventually(lambda: len(lone.runs()) == 2 and lone.runs()[1].state is State.SUCCEEDED)

    lost = lone.runs()[0]
    assert (lost.state, lost.error) == (State.ABANDONED, "its scheduler died while it ran")
    assert lone.left_behind(run) == []
    assert [line["run"] for line in lone.events("run.abandoned")] == [run.id]


def test_what_a_python_job_says_is_shown_live_and_what_it_leaves_outlives_its_scheduler_I23_F4(lone: Lone) -> None:
    (lone.home / "work.py").write_text(
        "import os, subprocess, time\n"
        "def run(ctx):\n"
        "    if os.path.exists('again'): return ctx.artifact('again').name\n"
        "    ctx.log.info('begun', rows=3, job='mine')\n"
        "    ctx.progress(1, 4, 'of it')\n"
        "    os.fork() or subprocess.run(['setsid', 'sleep', '1000'])\n"
        "    time.sleep(1000)\n"
    )
    process = lone.start("work:run", 3600, "startup", "python")
    run = lone.running()
    ledger = lone.ledger()
    progress = eventually(lambda: ledger.progresses().get(run.id))
    assert progress
    said = eventually(lambda: lone.events("run.said"))
    eventually(lambda: len(lone.left_behind(run)) >= 3)

    (lone.home / "again").write_text("kept")
    process.kill()
    process.wait()
    lone.start("work:run", 3600, "startup", "python")
    eventually(lambda: len(lone.runs()) == 2 and lone.runs()[1].state is State.SUCCEEDED)

    assert (progress.done, progress.total, progress.note) == (1, 4, "of it")
    assert [(line["run"], line["message"], line["rows"], line["job_"]) for line in said] == [
        (run.id, "begun", 3, "mine")
    ]
    assert lone.left_behind(run) == []
    (kept,) = ledger.artefacts(lone.runs()[1].id)
    assert (lone.home / kept.path).read_text() == "kept"
    assert ledger.progresses() == {}
    ledger.close()


def test_killed_again_and_again_no_slot_is_lost_and_none_runs_twice_I1_I2_I9(lone: Lone) -> None:
    lone.start("exit 0", 1)
    for _ in range(8):
        count = len(lone.runs())
        eventually(lambda count=count: len(lone.runs()) > count)
        lone.processes[-1].kill()
        lone.processes[-1].wait()
        lone.start("exit 0", 1)
    eventually(lambda: len(lone.events("startup")) == 9)
    count = len(lone.runs())
    eventually(lambda: len(lone.runs()) > count)
    lone.processes[-1].send_signal(signal.SIGTERM)
    lone.processes[-1].wait(timeout=30)

    for job_name in ("work", "beat"):
        slots = slots_of(lone, job_name)
        first, last = min(slots), max(slots)
        expected = {first + timedelta(seconds=n) for n in range(int((last - first).total_seconds()) + 1)}
        assert set(slots) == expected, "a slot was lost"
        assert max(slots.values()) == 1, "a slot has two dispositions"
        assert not [run for run in lone.runs(job_name) if run.is_open and run.state is not State.QUEUED]


def slots_of(lone: Lone, job_name: str) -> Counter:  # type: ignore[type-arg]
    """Every slot with the number of its dispositions, runs and skips alike."""
    ledger = lone.ledger()
    runs = [run.slot.due_at for run in lone.runs(job_name) if run.slot]
    start, end = min(runs) - timedelta(seconds=1), max(runs) + timedelta(hours=1)
    skipped = [skip.slot.due_at for skip in ledger.skips_between(start, end) if skip.slot.job_name == job_name]
    ledger.close()
    return Counter(runs + skipped)


def test_a_second_scheduler_stands_by_and_takes_over_when_the_first_dies_I19_F44(lone: Lone) -> None:
    first = lone.start("exit 0")
    eventually(lambda: lone.events("startup"))
    second = lone.start("exit 0")
    eventually(lambda: "standby:" in lone.said(second))

    assert Owner.parse(lone.said(second).split("'")[1]).pid == first.pid
    assert len(lone.events("startup")) == 1

    first.kill()
    first.wait()
    eventually(lambda: len(lone.events("startup")) == 2)

    assert [line["pid"] for line in lone.events("startup")] == [first.pid, second.pid]


def test_who_takes_over_from_a_frozen_scheduler_does_not_call_it_dead_F46_I12(lone: Lone) -> None:
    first = lone.start("exit 0")
    eventually(lambda: lone.runs("beat"))

    lone.freeze(first)
    (lone.home / "var" / "scheduler.lock").unlink()
    lone.start("exit 0")
    eventually(lambda: lone.events("outage.recorded"))

    (told,) = lone.events("outage.recorded")
    assert (told["cause"], told["detail"]) == ("platform_sleep", "the scheduler was frozen while time went on")
    assert lone.events("scheduler.died") == []


def test_a_standby_says_that_the_leader_is_frozen_and_takes_over_once_it_is_killed_F46(lone: Lone) -> None:
    first = lone.start("exit 0")
    eventually(lambda: lone.runs("beat"))
    second = lone.start("exit 0")
    eventually(lambda: "standby:" in lone.said(second))

    first.send_signal(signal.SIGSTOP)
    eventually(lambda: f"and it is frozen: `kill -CONT {first.pid}` wakes it" in lone.said(second))
    first.kill()
    first.wait()
    eventually(lambda: len(lone.events("startup")) == 2)

    assert lone.said(second).count("standby:") == 2


def test_a_standby_leaves_when_asked(lone: Lone) -> None:
    lone.start("exit 0")
    eventually(lambda: lone.events("startup"))
    second = lone.start("exit 0")
    eventually(lambda: "standby:" in lone.said(second))

    second.send_signal(signal.SIGTERM)
    second.wait(timeout=10)

    assert second.returncode == 0


def test_without_its_supervisor_the_scheduler_ends_by_itself_F7(lone: Lone, tmp_path: Path) -> None:
    """A parent that is killed cannot tell its child: the kernel does."""
    parent_script = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    environ = {**os.environ, "ECHOPILOT_HOME": str(lone.home), "PYTHONPATH": str(PROJECT), "PORT": "1"}
    command = [sys.executable, "-c", parent_script, sys.executable, str(SCRIPT), "sleep 1000", "3600", "startup"]
    parent = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, text=True)
    lone.processes.append(parent)
    run = lone.running()
    owner = Owner.parse(run.owner or "")

    parent.kill()
    eventually(lambda: not is_alive(owner), seconds=20)

    assert lone.left_behind(run) == []
    assert [run.state for run in lone.runs()] == [State.CANCELLED]


def test_a_scheduler_before_a_locked_ledger_waits_and_goes_on_by_itself_F15_I27(lone: Lone) -> None:
    (lone.home / "var").mkdir()
    stranger = sqlite3.connect(lone.home / "var" / "ledger.sqlite3", isolation_level=None)
    stranger.execute("begin exclusive")
    process = lone.start("exit 0")
    eventually(lambda: lone.events("ledger.unreachable"))
    before = lone.events("startup")

    stranger.execute("rollback")
    stranger.close()
    eventually(lambda: lone.events("startup"))

    assert before == []
    assert process.poll() is None


def test_a_manual_run_starts_when_it_is_asked_for_and_not_at_the_next_beat_I24(lone: Lone) -> None:
    lone.start("echo hello")
    ledger = eventually(lambda: lone.ledger() if lone.events("startup") else None)
    assert ledger
    eventually(lambda: "work" in ledger.job_names())

    run, _ = ledger.request_run("work", eventually(ledger.stint).beat_at, actor="me")
    nudge(lone.home / "var" / "scheduler.wake")
    eventually(lambda: ledger.run(run.id).state is State.SUCCEEDED)

    assert ledger.output(run.id).text == "hello\n"
    ledger.close()


def test_a_bug_in_the_loop_ends_the_process_and_its_runs_at_once(lone: Lone) -> None:
    """supervisord starts another one; one that stayed for its runs would plan nothing and look alive."""
    process = lone.start("sleep 55", 3600, "startup", "breaks")

    assert process.wait(40) == 1

    (run,) = lone.runs()
    assert run.state is State.RUNNING  # the next one puts that in order
    assert lone.left_behind(run) == []
    assert "ZeroDivisionError: a bug" in lone.said(process)
    (told,) = lone.events("scheduler.failed")
    assert told["error"] == "ZeroDivisionError: a bug"


@pytest.mark.parametrize(("flag", "code"), [("full", 0), ("gone", LedgerGone.exit_code)])
def test_a_stop_on_a_full_disk_is_in_order_and_one_without_a_ledger_is_not_F25_F18(
    lone: Lone, flag: str, code: int
) -> None:
    process = lone.start("true", 3600, "startup", flag)
    eventually(lambda: any(run.state is State.SUCCEEDED for run in lone.runs()))

    process.terminate()

    assert process.wait(40) == code
    assert len(lone.events("scheduler.stopped")) == (code == 0)
