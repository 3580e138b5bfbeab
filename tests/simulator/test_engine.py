"""The simulator's engine counts as the real one does: on a clock that stands still while the machine is suspended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from echopilot_jobs.simulator.faults import Fault
from echopilot_jobs.simulator.histories import Intent
from echopilot_jobs.simulator.play import judged
from echopilot_jobs.simulator.steps import SCENES

SUSPENDED = Fault("suspend", "time", wait=5.0, amount=7200.0)  # beyond the timeout of a run that lasts seconds


def only_run(*intents: Intent) -> dict[str, Any]:
    """The last row of a run of some twenty seconds, its timeout a minute, during which the machine was suspended."""
    scene = SCENES["cancel"]
    jobs = tuple(replace(job, timeout=timedelta(minutes=1)) for job in scene.jobs)
    verdict = judged(replace(scene, jobs=jobs, faults=(SUSPENDED,), intents=intents))

    assert verdict.broken == []
    assert [kind for _, kind, _ in verdict.truth.faults] == ["suspend"]
    (row,) = verdict.seen.runs()
    return row


def test_a_run_can_be_cancelled_after_a_suspend_longer_than_its_timeout_I8_F40() -> None:
    row = only_run(Intent(8.0, "cancel", "job", 1))

    assert row["state"] == "cancelled"


def test_the_time_a_run_took_is_without_the_time_suspended_F40() -> None:
    row = only_run()

    assert row["state"] == "succeeded"
    assert row["duration_ms"] == pytest.approx(20_000, abs=10_000)
