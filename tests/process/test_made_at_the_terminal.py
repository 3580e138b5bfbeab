"""Brief and report made by a real scheduler and read at the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from echopilot_jobs.settings import Settings
from tests.process.stacks import PROJECT
from tests.process.test_reload import Followed

pytestmark = pytest.mark.process


@pytest.fixture
def home(settings: Settings) -> Iterator[Followed]:
    stack = Followed(settings.home)
    stack.file.write_text(
        '[jobs.self_heal]\nenabled = false\n[jobs.hello]\nmanual = true\nrun = "mine:hello"\nparams.who = { type = "text" }\n'
    )
    (settings.home / "mine.py").write_text(
        "def hello(ctx):\n    ctx.log.info('greeting', who=ctx.params['who'])\n    ctx.progress(1, 2, 'half')\n    return 7\n"
    )
    stack.begin()
    yield stack
    for process in stack.processes:
        process.kill()
        process.wait()


def echopilot(home: Followed, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "ECHOPILOT_HOME": str(home.home), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "echopilot_jobs", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_a_brief_and_a_report_are_made_and_shown_and_shown_again(home: Followed) -> None:
    today = datetime.now(UTC).date().isoformat()  # of the day before nothing is known
    brief, report = echopilot(home, "brief"), echopilot(home, "report", "--date", today)
    again, data = echopilot(home, "brief", "--last"), echopilot(home, "report", "--last", "--json")
    unknown = echopilot(home, "report")

    assert unknown.stdout.startswith("nothing is known of ")
    assert (brief.returncode, report.returncode) == (0, 0), brief.stderr + report.stderr
    assert "were read." in brief.stdout
    assert "logs/exec_briefs/brief_" in brief.stdout
    assert again.stdout == brief.stdout
    assert "JOB" in report.stdout
    assert "hello" in report.stdout
    assert "logs/reports/report_" in report.stdout
    assert {job["job"] for job in json.loads(data.stdout)["report"]["jobs"]} >= {"heartbeat", "hello"}


def test_a_run_is_followed_with_its_words_and_its_exit_is_ours(home: Followed) -> None:
    well = echopilot(home, "run", "hello", "-p", "who=me", "--logs")
    wrong = echopilot(home, "run", "hello", "-p", "whom=me")

    assert well.returncode == 0, well.stderr
    assert "greeting" in well.stdout + well.stderr
    assert wrong.returncode == 2
    assert "no parameter 'whom'; did you mean 'who'?" in wrong.stderr
