"""An older copy of the ledger laid over it while the whole stack works on it, and what a person can do then."""

from __future__ import annotations

import http.client
import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.ledger import SqliteLedger, SqliteReading
from echopilot_jobs.ledger.inspection import Depth, inspect
from echopilot_jobs.ledger.refusing import refusal
from tests.process.stacks import Stack, eventually

pytestmark = pytest.mark.process


@pytest.fixture
def ledger(stack: Stack) -> Path:
    """The ledger of a stack that leads, with a run asked for by hand in it."""
    path = stack.home / "var" / "ledger.sqlite3"
    eventually(lambda: asked(stack)[0] == 202)
    return path


def asked(stack: Stack) -> tuple[int, str]:
    """Ask the web for a run: the status, and the body."""
    key = (stack.home / "var" / "dashboard_key").read_text().strip()
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)) as connection:
        connection.request("POST", "/api/jobs/heartbeat/run", headers={"X-Dash-Key": key})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def newest(path: Path) -> int:
    try:
        with closing(SqliteReading(path, create=False)) as ledger:
            return ledger.runs(limit=1)[0].id
    except EchoPilotError:
        return 0


def backed_up(stack: Stack, ledger: Path) -> tuple[Path, int]:
    """A backup, and the newest run in it. Afterwards file, log and mark of the ledger each know what it does not."""
    copy = stack.home / "older.sqlite3"
    assert stack.run("echopilot", "backup", str(copy)).returncode == 0
    known = newest(copy)
    hold(ledger, 100)
    stack.supervisor.restart("scheduler")
    eventually(lambda: newest(ledger) > known)
    stack.settle()
    with closing(SqliteLedger(ledger, create=False)) as guest:
        guest.checkpoint()  # as the scheduler's chores would within half a minute
    hold(ledger, 1)
    return copy, known


def hold(ledger: Path, times: int) -> None:
    """Write a page each time: a job is paused and resumed."""
    now = SystemClock().now()
    with closing(SqliteLedger(ledger, create=False)) as guest:
        for _ in range(times):
            guest.pause("daily_report", now, None, "ann", "x" * 2000)
            guest.resume("daily_report", now, "ann")


def test_a_refused_copy_takes_no_request_and_can_be_accepted_after_the_stop_F19_I24(stack: Stack, ledger: Path) -> None:
    copy, known = backed_up(stack, ledger)

    shutil.copyfile(copy, ledger)
    said = eventually(lambda: refusal(ledger))
    status, body = asked(stack)
    verb = stack.run("echopilot", "run", "heartbeat")
    stack.end()
    accepted = stack.run("echopilot", "restore", "--accept")

    assert "older copy" in str(said)
    assert (status, json.loads(body)["error"]) == (503, said)
    assert (verb.returncode, "older copy" in verb.stderr) == (1, True)
    assert accepted.returncode == 0, accepted.stderr
    assert inspect(ledger, Depth.FULL).is_sound
    assert newest(ledger) == known
    assert refusal(ledger) is None  # who asks before the start is not refused


def test_the_web_closes_no_ledger_a_copy_was_laid_over_while_nobody_led_F19(stack: Stack, ledger: Path) -> None:
    copy, known = backed_up(stack, ledger)
    stack.supervisor.stop("scheduler")
    eventually(lambda: stack.program("scheduler").pid is None)
    hold(ledger, 1)  # in the log alone: nobody is there to move it into the file

    shutil.copyfile(copy, ledger)
    stack.end()

    assert ledger.read_bytes() == copy.read_bytes()
    accepted = stack.run("echopilot", "restore", "--accept")
    assert accepted.returncode == 0, accepted.stderr
    assert newest(ledger) == known
