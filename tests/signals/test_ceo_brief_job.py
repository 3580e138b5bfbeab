"""The job itself, in a process of its own, as the scheduler runs it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from signalkit import NOW, uptime_like

from echopilot_jobs.builtin import ceo_brief
from echopilot_jobs.builtin.ceo_brief import run
from echopilot_jobs.context import RunContext
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.signals.own import HOST, OwnSignal

CONTEXT = RunContext(run_id=1, job_name="ceo_brief", attempt=1, started_at=NOW, idempotency_key="ceo_brief:1:0")
RUN = """
import json
from datetime import UTC, datetime
from echopilot_jobs.builtin.ceo_brief import run
from echopilot_jobs.context import RunContext
now = datetime(2026, 3, 2, 8, tzinfo=UTC)
print(json.dumps(run(RunContext(run_id=1, job_name="ceo_brief", attempt=1, started_at=now, idempotency_key="k"))))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "var").mkdir()
    monkeypatch.setenv("ECHOPILOT_HOME", str(tmp_path))
    monkeypatch.delenv("ECHOPILOT_SIGNALS", raising=False)
    # What else this machine does is no part of what is tried here, and a host that runs short comes first in every brief.
    monkeypatch.setattr(
        ceo_brief, "from_host", lambda _home: OwnSignal(HOST, {"load_5min_per_cpu": 0.1}, ("load: none",))
    )
    return tmp_path


def test_the_pair_is_written_where_it_is_promised_and_described_truly(home: Path) -> None:
    """I23."""
    uptime_like(home / "logs" / "web.ndjson")

    result = run(CONTEXT)

    content = (home / result["json_path"]).read_bytes()
    data = json.loads(content)
    assert result == {
        "headline": data["headline"],
        "json_path": "logs/exec_briefs/brief_20260302_080000.json",
        "html_path": "logs/exec_briefs/brief_20260302_080000.html",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "top_risks": len(data["top_risks"]),
    }
    assert data["headline"].startswith("web.ndjson has records for only 27.3 %")
    assert data["attachments"] == ["brief_20260302_080000.html"]
    assert (home / result["html_path"]).read_text().startswith("<!doctype html>")


def test_two_briefs_in_one_second_are_two_pairs(home: Path) -> None:
    first, second = run(CONTEXT), run(CONTEXT)

    assert second["json_path"] == "logs/exec_briefs/brief_20260302_080000_2.json"
    assert json.loads((home / second["json_path"]).read_text())["attachments"] == ["brief_20260302_080000_2.html"]
    assert (home / first["json_path"]).exists()


def test_on_a_fresh_machine_the_brief_names_what_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F68. Files are missed only where somebody asked for them, not by the default glob of a machine without any."""
    unasked = json.loads((home / run(CONTEXT)["json_path"]).read_text())
    monkeypatch.setenv("ECHOPILOT_SIGNALS", "logs/*.ndjson")
    asked = json.loads((home / run(CONTEXT)["json_path"]).read_text())

    assert [each["signal"] for each in unasked["missing_signals"]] == ["run ledger", "process table"]
    assert [each["signal"] for each in asked["missing_signals"]] == ["files", "run ledger", "process table"]
    assert unasked["confidence"] > asked["confidence"]


def test_the_ledger_is_a_signal_once_it_is_there(home: Path) -> None:
    SqliteLedger(home / "var" / "ledger.sqlite3").close()

    data = json.loads((home / run(CONTEXT)["json_path"]).read_text())

    assert data["kpis"]["runs_24h"] == 0
    assert "run ledger" not in [each["signal"] for each in data["missing_signals"]]


def test_the_settings_globs_may_point_anywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    uptime_like(elsewhere / "a.ndjson")
    uptime_like(elsewhere / "b.log")
    monkeypatch.setenv("ECHOPILOT_SIGNALS", f"{elsewhere}/*.ndjson, elsewhere/*.log:none/*")

    data = json.loads((home / run(CONTEXT)["json_path"]).read_text())

    assert [source["signal"] for source in data["sources"]] == ["a.ndjson", "b.log"]


@pytest.mark.process
@pytest.mark.parametrize("extra", [[], ["-O"], ["-W", "error"]])
def test_it_runs_alone_in_a_bare_environment(home: Path, extra: list[str]) -> None:
    """F82, F83: no locale, no HOME, optimised, with warnings as errors."""
    uptime_like(home / "logs" / "web.ndjson")
    bare = {"PATH": os.environ["PATH"], "ECHOPILOT_HOME": str(home), "TZ": "Asia/Kathmandu", "LC_ALL": "C"}

    done = subprocess.run(
        [sys.executable, *extra, "-c", RUN],
        env=bare, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    brief = (home / result["json_path"]).read_text()
    assert "270 of 989 minutes" in brief  # maybe not first: this host may run short meanwhile


def test_the_names_in_the_job_table_lead_to_it() -> None:
    entry: Callable[[RunContext], dict[str, Any]] = run

    assert f"{entry.__module__}:{entry.__name__}" == "echopilot_jobs.builtin.ceo_brief:run"
