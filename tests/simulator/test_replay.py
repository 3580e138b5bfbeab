"""An outage record lived through again: every slot of a daily job is accounted for, and names the outage it was missed in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from echopilot_jobs import builtin
from echopilot_jobs.cli.bars import telling
from echopilot_jobs.cli.door import carry_out
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobs import Command, Job, Registry
from echopilot_jobs.outages import Cause
from echopilot_jobs.runs import State
from echopilot_jobs.settings import Settings
from echopilot_jobs.simulator.rehearsal import Dark, Fate
from echopilot_jobs.simulator.replay import moments_of, replay
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Every

START = datetime(2025, 10, 20, 21, 35, 25, tzinfo=UTC)
LATER = START + timedelta(days=20)
# Alive from and to, in hours after the start: up on two mornings, one slept through and caught up, two lost in a long night.
ALIVE = [(0.0, 0.4), (10.0, 10.6), (38.0, 38.3), (106.2, 106.6)]
BEGUN = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TRUE = Command(("true",))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return written(tmp_path / "uptime.ndjson", ALIVE)


def written(path: Path, alive: Sequence[tuple[float, float]]) -> Path:
    """A log of a probe a minute while *alive*, in hours after the start."""
    probes = [
        {"ts": f"{START + timedelta(hours=begin, minutes=minute):%Y-%m-%dT%H:%M:%SZ}", "latency_ms": 40, "ok": True}
        for begin, end in alive
        for minute in range(int((end - begin) * 60) + 1)
    ]
    path.write_text("".join(json.dumps(probe) + "\n" for probe in probes), encoding="utf-8")
    return path


def probed(*alive: tuple[int, int]) -> list[float]:
    """The moments of a probe a minute while *alive*, in minutes after `BEGUN`."""
    return [BEGUN.timestamp() + 60 * minute for begin, end in alive for minute in range(begin, end + 1)]


def dark_minutes(found: Dark | None) -> tuple[float, float] | None:
    return found and ((found[0] - BEGUN) / MINUTE, (found[1] - BEGUN) / MINUTE)


def fates(alive: list[float], *jobs: Job) -> tuple[Fate, ...]:
    """What became of the slots of the first of *jobs*."""
    return replay(alive, Registry(jobs), jobs[0].name).fates


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


@pytest.mark.parametrize("sign", [170, 180], ids=["between slots", "at a slot"])
def test_a_single_sign_of_life_parts_two_outages_and_each_slot_names_the_one_that_holds_it_I32(sign: int) -> None:
    """The ledger has one outage there: in a moment no scheduler comes up."""
    hourly = Job("hourly", Every(HOUR), TRUE, catch_up="none")

    played = replay(probed((0, 65), (sign, sign), (400, 520)), Registry([hourly]), "hourly")

    missed = {(fate.slot_at - BEGUN) // HOUR: dark_minutes(fate.missed_in(played.dark)) for fate in played.fates}
    first, second = (65, sign), (sign, 400)
    assert missed == {1: None, 2: first, 3: second, 4: second, 5: second, 6: second, 7: None, 8: None}


def test_outages_parted_by_a_sign_of_life_each_end_when_the_record_says_so_I4() -> None:
    """Forty moments of life that no scheduler can use leave the time of the one after them as it is."""
    hourly = Job("hourly", Every(HOUR), TRUE, catch_up="latest", catch_up_window=HOUR, on_startup=True)
    signs = [(minute, minute) for minute in range(100, 500, 10)]

    found = fates(probed((0, 65), *signs, (510, 620)), hourly)

    (late,) = [fate for fate in found if fate.what == "caught up"]
    assert late.run_at is not None
    assert BEGUN + 510 * MINUTE < late.run_at < BEGUN + 511 * MINUTE
    assert Counter(fate.what for fate in found) == {"ran": 3, "skipped": 6, "caught up": 1}


def test_a_slot_in_a_life_too_short_to_plan_names_all_the_time_nobody_planned_I32() -> None:
    hourly = Job("hourly", Every(HOUR), TRUE, catch_up="none")
    alive = sorted([*probed((0, 65), (400, 520)), *(BEGUN.timestamp() + 7200 + part for part in (-0.03, 0.06))])

    played = replay(alive, Registry([hourly]), "hourly")

    missed = played.fates[1].missed_in(played.dark)
    assert missed is not None
    assert missed not in played.dark
    assert missed[0] < played.fates[1].slot_at < missed[1]


def test_a_jittered_slot_was_missed_in_the_outage_that_took_its_own_moment_I32() -> None:
    spread = Job("spread", Every(HOUR), TRUE, catch_up="none", jitter=25 * MINUTE)

    played = replay(probed((0, 61), (200, 200), (400, 520)), Registry([spread]), "spread")

    first = played.fates[0]
    assert (first.slot_at, first.what) == (BEGUN + HOUR, "skipped")
    assert dark_minutes(first.missed_in(played.dark)) == (61, 200)


def test_a_run_that_never_began_is_waiting_and_not_caught_up_I2() -> None:
    every_slot = Job("all", Every(HOUR), TRUE, catch_up="all", catch_up_window=24 * HOUR)

    found = fates(probed((0, 65), (800, 800)), every_slot)

    told = Counter(fate.outcome for fate in found)
    assert told == {"ran": 1, "skipped": 2, "caught up": 5, "caught up, running": 1, "waiting": 4}
    assert {fate.state for fate in found if fate.run_at is None and fate.what != "skipped"} == {State.QUEUED}
    assert all(fate.outage for fate in found if fate.what == "waiting")


def test_a_slot_whose_jitter_is_not_over_when_all_ends_is_waiting_and_not_lost_I2() -> None:
    spread = Job("spread", Every(HOUR), TRUE, jitter=25 * MINUTE)

    last = fates(probed((0, 65), (70, 181)), spread)[-1]

    assert (last.slot_at, last.what, last.state) == (BEGUN + 3 * HOUR, "waiting", None)
    assert last.planned_at is not None
    assert last.planned_at > BEGUN + 181 * MINUTE


def test_a_run_that_an_outage_cut_off_is_told_so_and_so_is_its_repetition_I2_I32() -> None:
    once, again = Job("once", Every(HOUR), TRUE), Job("again", Every(HOUR), TRUE, idempotent=True)
    alive = sorted([*probed((0, 60), (100, 190)), BEGUN.timestamp() + 3605])

    cut_off, repeated = fates(alive, once, again)[0], fates(alive, again, once)[0]

    assert (cut_off.outcome, cut_off.run_at) == ("ran, abandoned", BEGUN + HOUR)
    assert (repeated.outcome, repeated.first_run_at) == ("repeated", BEGUN + HOUR)
    assert repeated.run_at is not None
    assert repeated.run_at >= BEGUN + 100 * MINUTE


def test_a_repetition_was_missed_in_the_outage_of_the_run_it_repeats_I32() -> None:
    again = Job("again", Every(6 * HOUR), TRUE, idempotent=True)
    alive = sorted([*probed((0, 65), (400, 400), (500, 600)), BEGUN.timestamp() + 400 * 60 + 15])

    played = replay(alive, Registry([again]), "again")

    assert [fate.outcome for fate in played.fates] == ["repeated"]
    assert dark_minutes(played.fates[0].missed_in(played.dark)) == (65, 400)


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


@pytest.mark.parametrize(
    ("line", "state", "why"),
    [
        ("", "queued", "its run is queued and has not begun when the record ends"),
        ('jitter = "25m"', None, "its jitter has it begin "),
    ],
    ids=["queued", "jittered"],
)
def test_a_person_is_told_why_a_run_waits_and_a_wait_is_no_loss_I2_I32(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str], line: str, state: str | None, why: str
) -> None:
    job = f'[jobs.hourly]\nevery = "1h"\ncommand = ["true"]\ncatch_up = "all"\ncatch_up_window = "1d"\n{line}\n'
    (settings.home / "jobs.toml").write_text(job, encoding="utf-8")
    log = written(tmp_path / "short.ndjson", [(0.0, 0.4), (8.43, 8.43)])

    codes = [carry_out(["replay", str(log), "--job", "hourly", *more]) for more in ([], ["--json"])]

    table, _, told = capsys.readouterr().out.partition("{")
    slot = json.loads("{" + told)["replay"]["slots"][-1]
    row = table.splitlines()[-2]
    assert codes == [0, 0]
    assert (slot["outcome"], slot["run_at"], slot["state"]) == ("waiting", None, state)
    assert why in slot["reason"]
    assert slot["reason"] in row
    assert "waiting" in table.splitlines()[-1]


def test_a_backlog_that_nobody_has_answered_when_the_record_ends_waits_for_a_person_I2_I32(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = 'every = "1h"\ncommand = ["true"]\ncatch_up = "all"\ncatch_up_window = "1d"\n'
    (settings.home / "jobs.toml").write_text("".join(f"[jobs.{name}]\n{policy}" for name in "abc"), encoding="utf-8")
    log = written(tmp_path / "long.ndjson", [(0.0, 0.4), (12.0, 12.3)])

    code = carry_out(["replay", str(log), "--job", "a"])

    out = capsys.readouterr().out
    assert code == 0
    assert out.count("has not begun when the record ends, for its backlog waits for a person") == 10
    assert out.splitlines()[-1] == "12 slots of a: 2 skipped, 10 waiting"


def test_the_command_tells_which_runs_an_outage_cut_off_I32(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (settings.home / "jobs.toml").write_text('[jobs.once]\nevery = "1h"\ncommand = ["true"]\n', encoding="utf-8")
    log = written(tmp_path / "cut.ndjson", [(0.0, 0.4), (1.0, 1.4)])
    probes = log.read_text(encoding="utf-8") + '{"ts": "2025-10-20T22:00:05Z"}\n'
    log.write_text(probes, encoding="utf-8")

    carry_out(["replay", str(log), "--job", "once"])

    out = capsys.readouterr().out.splitlines()
    assert out[2].split("  ")[1:] == ["ran and abandoned", "2025-10-20T22:00:00Z; an outage cut it off"]
    assert out[-1] == "1 slot of once: 1 ran and abandoned"
