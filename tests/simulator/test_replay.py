"""An outage record lived through again: every slot of a daily job is accounted for, and names the outage it was missed in."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from echopilot_jobs import builtin
from echopilot_jobs.cli.bars import telling
from echopilot_jobs.cli.door import carry_out
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.outages import Cause
from echopilot_jobs.settings import Settings
from echopilot_jobs.simulator.replay import moments_of, replay
from echopilot_jobs.testing import FakeClock

START = datetime(2025, 10, 20, 21, 35, 25, tzinfo=UTC)
LATER = START + timedelta(days=20)
# Alive from and to, in hours after the start: up on two mornings, one slept through and caught up, two lost in a long night.
ALIVE = [(0.0, 0.4), (10.0, 10.6), (38.0, 38.3), (106.2, 106.6)]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "uptime.ndjson"
    probes = [
        {"ts": f"{START + timedelta(hours=begin, minutes=minute):%Y-%m-%dT%H:%M:%SZ}", "latency_ms": 40, "ok": True}
        for begin, end in ALIVE
        for minute in range(int((end - begin) * 60) + 1)
    ]
    path.write_text("".join(json.dumps(probe) + "\n" for probe in probes), encoding="utf-8")
    return path


def test_every_daily_slot_ran_was_caught_up_or_says_why_not_I2_I32(record: Path, settings: Settings) -> None:
    played = replay(moments_of(record, LATER), builtin.jobs(settings), builtin.BRIEF)

    assert [(fate.slot_at.day, fate.what) for fate in played.fates] == [
        (21, "ran"),
        (22, "caught up"),
        (23, "skipped"),
        (24, "skipped"),
        (25, "ran"),
    ]
    assert len(played.dark) == 3
    assert timedelta(minutes=95) < played.alive < timedelta(minutes=110)


def test_what_was_missed_names_its_outage(record: Path, settings: Settings) -> None:
    fates = replay(moments_of(record, LATER), builtin.jobs(settings), builtin.BRIEF).fates

    caught_up, expired = fates[1], fates[3]
    assert caught_up.run_at is not None
    assert caught_up.run_at - START > timedelta(hours=38)
    assert expired.reason == "expired"
    assert all(fate.outage and fate.outage.cause is Cause.PLATFORM_SLEEP for fate in (caught_up, expired))
    assert all(fate.outage and fate.outage.since < fate.slot_at < fate.outage.until for fate in (caught_up, expired))


def test_what_is_due_often_lives_around_outages_only_and_how_far_it_is_is_told(settings: Settings) -> None:
    """I32: as `simulate` does it, and the outage is told from the last sign of life on."""
    begun = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
    up = [*range(60 * 60), *range(62 * 60, 90 * 60)]  # minutes
    far: list[float] = []

    played = replay([begun.timestamp() + 60 * minute for minute in up], builtin.jobs(settings), "heartbeat", far.append)

    (dark,) = played.dark
    assert dark == (begun + timedelta(minutes=59 + 59 * 60), begun + timedelta(hours=62))
    assert far[-1] == 1.0
    assert Counter(fate.what for fate in played.fates) == {"ran": 90 * 60 - 2 - 121 + 1, "skipped": 121}
    assert {fate.missed_in(played.dark) for fate in played.fates if fate.what == "skipped"} == {dark}
    lived = [fate for fate in played.fates if not fate.is_taken]
    assert 121 < len(lived) < 500


def test_long_work_without_a_terminal_is_told_in_lines_that_grow_rare(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    tell = telling(None, "replay of a.log", clock)

    for percent in range(50):
        tell(percent / 100)
        clock.sleep(1)

    told = ["10%", "20%", "40%"]
    assert capsys.readouterr().err.splitlines() == [f"note: replay of a.log: {share} done" for share in told]


def test_a_file_without_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "diary.txt"
    path.write_text("nothing happened\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="fewer than two moments"):
        moments_of(path, LATER)


def test_the_command_prints_the_table(record: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    code = carry_out(["replay", str(record), "--json"])

    told = json.loads(capsys.readouterr().out)["replay"]
    assert code == 0
    assert [slot["outcome"] for slot in told["slots"]] == ["ran", "caught up", "skipped", "skipped", "ran"]
    assert told["slots"][1]["outage"]["cause"] == "platform_sleep"
