"""A user's first hour, from an empty folder to a green audit: the real stack, driven by the real command line."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import Origin, Run, State
from echopilot_jobs.slots import Skip, SkipReason
from tests.process.stacks import Stack, eventually

pytestmark = pytest.mark.process

PYTHON = """
import datetime
from pathlib import Path

from echopilot_jobs import RunContext


def collect(ctx: RunContext):
    ctx.progress(1, 1, "collected")
    ctx.log.info("collected", day=ctx.params["day"])
    Path("var/collected.txt").write_text(ctx.params["day"])
    ctx.artifact("var/collected.txt")
    return {"day": ctx.params["day"], "slot": ctx.slot_at and ctx.slot_at.isoformat()}
"""
SCRIPT = '#!/bin/sh\necho "$1 $ECHOPILOT_SLOT_AT" >> var/told.txt\n'
JOBS = """
[jobs.collect]
every = "2s"
run = "mine:collect"
params.day = {{ type = "date", default = "2026-03-01" }}

[jobs.tell]
every = "2s"
command = ["work/tell", "told"]
{more}

[jobs.notify]
manual = true
retries = 5
retry_on = ["http 4xx"]
http = {{ url = "http://127.0.0.1:{port}/{path}", allow_private = true, contains = "thanks" }}
"""


class Receiver(BaseHTTPRequestHandler):
    """Somebody else's endpoint: `/hook` thanks, everything else is not there."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012 - the server makes an object for every request

    def do_POST(self) -> None:
        self.asked.append((self.path, str(self.headers["Idempotency-Key"])))
        found = self.path == "/hook"
        body = b"thanks" if found else b"nothing here"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@contextmanager
def receiver() -> Iterator[int]:
    """The endpoint's port, while it answers."""
    Receiver.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


class User:
    """Somebody at a shell in the stack's folder, with a view of the ledger."""

    def __init__(self, stack: Stack, port: int) -> None:
        self.stack = stack
        self.port = port

    def save(self, *, path: str = "hok", more: str = "") -> None:
        """jobs.toml as an editor saves it."""
        draft = self.stack.home / "jobs.toml.new"
        draft.write_text(JOBS.format(port=self.port, path=path, more=more))
        draft.replace(self.stack.home / "jobs.toml")

    def says(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command line."""
        return self.stack.run("echopilot", *words)

    def shown(self, kind: str, *words: str) -> Any:
        """The body of one command line's JSON."""
        answer = self.says(*words, "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)[kind]

    @cached_property
    def ledger(self) -> SqliteLedger:
        """The stack's ledger, as soon as there is one."""

        def opened() -> SqliteLedger | None:
            try:
                return SqliteLedger(self.stack.home / "var" / "ledger.sqlite3", create=False)
            except LedgerUnavailable:
                return None

        found = eventually(opened)
        assert found is not None
        return found

    def runs(self, job: str, *states: State) -> list[Run]:
        """The newest runs of a job, oldest first."""
        found = reversed(self.ledger.runs(job_name=job, limit=200))
        return [run for run in found if not states or run.state in states]

    def succeeded(self, job: str, count: int = 1) -> list[Run]:
        """Once so many more runs of a job have succeeded than now: its runs."""
        before = len(self.runs(job, State.SUCCEEDED))

        def enough() -> bool:
            return len(self.runs(job, State.SUCCEEDED)) >= before + count

        eventually(enough, what=f"{count} more of {job}")
        return self.runs(job, State.SUCCEEDED)

    def skips(self, job: str, reason: SkipReason) -> list[Skip]:
        now = datetime.now(UTC)
        found = self.ledger.skips_between(now - timedelta(hours=1), now + timedelta(minutes=1))
        return sorted((s for s in found if s.slot.job_name == job and s.reason is reason), key=lambda s: s.slot.due_at)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (self.stack.home / "logs" / "scheduler.log").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["event"] == name]


@pytest.fixture
def user(new_stack: Callable[..., Stack]) -> Iterator[User]:
    """A new folder with a module, a script and a jobs file; nothing runs yet."""
    stack = new_stack()
    (stack.home / "mine.py").write_text(PYTHON)
    (stack.home / "work").mkdir()
    (stack.home / "work" / "tell").write_text(SCRIPT)
    (stack.home / "work" / "tell").chmod(0o755)
    with receiver() as port:
        made = User(stack, port)
        yield made
        made.ledger.close()


def test_a_new_folder_three_kinds_of_jobs_a_typo_a_dead_url_a_pause_and_a_green_audit_I2_I28_I32(user: User) -> None:
    user.save()
    checked = user.says("check")
    user.stack.start()

    assert (checked.returncode, checked.stdout) == (0, "settings, supervisord.conf and 7 jobs can be used\n")
    user.succeeded("collect")
    user.succeeded("tell")
    assert {each["name"] for each in user.shown("jobs", "jobs")} >= {"collect", "tell", "notify", "heartbeat"}

    _a_typo_changes_nothing_and_its_correction_everything(user)
    _a_dead_url_is_tried_again_until_it_is_mended(user)
    _a_pause_leaves_slots_out_and_a_backfill_makes_up_for_them(user)
    _a_run_by_hand_takes_a_parameter_and_ends_as_it_did(user)

    audit = user.says("audit")
    assert (audit.returncode, audit.stderr) == (0, "")
    assert user.stack.end() == 0
    assert user.says("audit").returncode == 0
    assert user.stack.everything() == []


def _a_typo_changes_nothing_and_its_correction_everything(user: User) -> None:
    user.save(more='tiemout = "30s"')
    checked = user.says("check")

    assert checked.returncode == 78
    (error,) = [line for line in checked.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: jobs.toml:10:1: job 'tell': ")
    assert "did you mean 'timeout'?" in error
    eventually(lambda: user.events("jobs.refused"))
    user.succeeded("tell", 2)  # the old set goes on
    broken = user.says("status").stdout.partition("no bad end")[0]
    assert "broken now" in broken
    assert "jobs.toml:10:1: job 'tell'" in broken

    user.save(more='timeout = "30s"')

    eventually(lambda: any(taken["changed"] == ["tell"] for taken in user.events("jobs.accepted")))
    assert user.says("check").returncode == 0
    user.succeeded("tell")


def _a_dead_url_is_tried_again_until_it_is_mended(user: User) -> None:
    asked = user.says("run", "notify")
    assert asked.returncode == 0, asked.stderr
    waiting = eventually(lambda: user.runs("notify", State.RETRY_WAIT))
    assert (waiting[0].http_status, waiting[0].attempt) == (404, 1)

    user.save(more='timeout = "30s"', path="hook")

    (run,) = eventually(lambda: user.runs("notify", State.SUCCEEDED))
    paths, keys = zip(*Receiver.asked, strict=True)
    assert run.attempt == len(paths) >= 2
    assert (paths[0], paths[-1], set(paths)) == ("/hok", "/hook", {"/hok", "/hook"})
    assert len(set(keys)) == 1  # whoever is asked again can tell


def _a_pause_leaves_slots_out_and_a_backfill_makes_up_for_them(user: User) -> None:
    paused = user.says("pause", "tell", "--note", "moving house")
    assert paused.returncode == 0, paused.stderr
    eventually(lambda: len(user.skips("tell", SkipReason.PAUSED)) >= 3)
    resumed = user.says("resume", "tell")
    assert resumed.returncode == 0, resumed.stderr
    user.succeeded("tell")
    left_out = [skip.slot for skip in user.skips("tell", SkipReason.PAUSED)]

    first, last = (f"{slot.due_at:%Y-%m-%dT%H:%M:%SZ}" for slot in (left_out[0], left_out[-1]))
    why = user.says("why", "tell", first)
    filled = user.says("backfill", "tell", "--from", first, "--to", last)

    assert "paused" in why.stdout
    assert "moving house" in why.stdout
    assert filled.returncode == 0, filled.stderr

    def made_up() -> bool:
        done = [run.slot for run in user.runs("tell", State.SUCCEEDED) if run.origin is Origin.BACKFILL]
        return sorted(done) == left_out

    eventually(made_up)
    told = Path(user.stack.home / "var" / "told.txt").read_text()
    assert all(f"{slot.due_at:%Y-%m-%dT%H:%M:%S}" in told for slot in left_out)


def _a_run_by_hand_takes_a_parameter_and_ends_as_it_did(user: User) -> None:
    done = user.says("run", "collect", "--param", "day=2026-02-28", "--wait")
    refused = user.says("run", "collect", "--param", "day=yesterday", "--wait")

    assert done.returncode == 0, done.stderr
    assert "2026-02-28" in done.stdout
    assert refused.returncode == 2
    assert "parameter 'day' of 'collect': came 'yesterday'; wanted: a date" in refused.stderr
    (run,) = [run for run in user.runs("collect") if run.origin is Origin.MANUAL]
    assert run.result == {"day": "2026-02-28", "slot": None}
    said = [(line["message"], line["day"]) for line in user.events("run.said") if line["run"] == run.id]
    assert said == [("collected", "2026-02-28")]
    (kept,) = user.ledger.artefacts(run.id)
    assert (user.stack.home / kept.path).read_text() == "2026-02-28"
