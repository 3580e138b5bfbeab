"""The ground the simulator stands on: clocks, power, and slots worked out a second time."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime, time, timedelta
from itertools import takewhile
from pathlib import Path

import pytest

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.simulator.nominal import every, nominal
from echopilot_jobs.simulator.store import Disk
from echopilot_jobs.simulator.world import SimClock, World
from echopilot_jobs.triggers import DailyAt, Every, Trigger, Weekly

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Process:
    """Something that runs statements and meets no trouble but what it is told."""

    alive = True
    owner = "boot1:1:1"
    held_inside = False
    trouble: str | None = None

    def step(self, label: str) -> str | None:
        found, self.trouble = self.trouble, None
        return found


@pytest.fixture
def world() -> World:
    return World(NOON, random.Random(1))


def test_only_suspended_time_tells_the_two_counting_clocks_apart_F40(world: World) -> None:
    clock = SimClock(world)
    awake, since_boot = clock.monotonic(), clock.boottime()

    world.run_until(10.0)
    world.sleep(300.0)
    world.step_clock(-60.0)

    assert clock.monotonic() - awake == pytest.approx(10.0)
    assert clock.boottime() - since_boot == pytest.approx(310.0)
    assert clock.now() == NOON + timedelta(seconds=250)


def test_events_may_let_the_world_go_on_around_them(world: World) -> None:
    seen: list[str] = []
    world.at(1.0, lambda: (seen.append("frozen"), world.run_until(5.0), seen.append("thawed"))[0])
    world.at(3.0, lambda: seen.append("meanwhile"))

    world.run_until(10.0)

    assert seen == ["frozen", "meanwhile", "thawed"]


@pytest.mark.parametrize(("synchronous", "may_be_lost"), [("full", False), ("normal", True)])
def test_power_loss_takes_back_only_what_was_not_waited_for_I9(
    tmp_path: Path, world: World, synchronous: str, may_be_lost: bool
) -> None:
    lost = 0
    for number in range(20):
        disk = Disk(tmp_path / f"{number}.sqlite3", world)
        disk.watch_power = True
        ledger = SqliteLedger(disk.path, connector=disk.connector(Process()))
        ledger._sql.db.execute(f"pragma synchronous={synchronous}")
        for _ in range(3):
            ledger.take_lease("boot1:1:1", "host", "r1", NOON)

        disk.lose_power()

        with sqlite3.connect(disk.path) as after:
            lost += 3 - after.execute("select count(*) from stints").fetchone()[0]
        after.close()
    assert (lost > 0) == may_be_lost


def test_a_killed_process_leaves_nothing_half_written_I9(tmp_path: Path, world: World) -> None:
    disk, process = Disk(tmp_path / "ledger.sqlite3", world), Process()
    ledger = SqliteLedger(disk.path, connector=disk.connector(process))
    ledger._sql.db.execute("begin immediate")
    ledger._sql.do("open_stint", **_stint(ledger))

    process.alive = False
    disk.let_go(process)

    other = SqliteLedger(disk.path, connector=disk.connector(Process()))
    assert other.stint() is None
    disk.close_all()


def _stint(ledger: SqliteLedger) -> dict[str, object]:
    return {"owner": "boot1:1:1", "host": "host", "code_revision": "r1", "now": 0, "boot_id": "boot1"}


@pytest.mark.parametrize(
    "trigger",
    [
        DailyAt(time(2, 30), "America/New_York"),
        DailyAt(time(1, 30), "America/New_York"),
        DailyAt(time(1, 45), "Australia/Lord_Howe", 2),
        DailyAt(time(0, 30), "Africa/Cairo"),
        Weekly({5, 6}, time(23, 30), "America/Nuuk"),
        Weekly({0, 6}, time(0, 30), "America/Havana"),
    ],
    ids=str,
)
def test_the_judge_and_the_product_find_the_same_days_each_in_its_own_way_F38(trigger: Trigger) -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)

    theirs = [round(due.timestamp()) for due in takewhile(lambda due: due <= end, trigger.after(start))]

    assert list(nominal(trigger, start.timestamp(), end.timestamp())) == theirs


@pytest.mark.parametrize("seconds", [1, 7, 90, 86_400])
def test_the_judge_counts_intervals_as_the_product_does_I16(seconds: int) -> None:
    trigger = Every(timedelta(seconds=seconds), timedelta(seconds=3 % seconds))
    start, end = NOON + timedelta(seconds=0.25), NOON + timedelta(days=1 if seconds < 100 else 40)

    theirs = [round(due.timestamp()) for due in takewhile(lambda due: due <= end, trigger.after(start))]

    assert list(every(trigger, start.timestamp(), end.timestamp())) == theirs
