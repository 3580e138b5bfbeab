"""The benches still fit the code they measure. No figure is judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*args: str) -> str:
    env = {**os.environ, "TZ": "UTC", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *args], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "script", ["downtime.py", "drift.py", "idle_pass.py", "lateness.py", "stand.py", "start_cost.py", "throughput.py"]
)
def test_every_bench_can_be_asked_for_help(script: str) -> None:
    assert "usage:" in run(f"bench/{script}", "--help")


def test_the_benches_drive_the_real_loop_and_count_what_it_commits() -> None:
    counted = json.loads(run("bench/throughput.py", "--lone", "5"))

    assert counted["commits_a_run"] == 2
