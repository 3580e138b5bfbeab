"""A scheduler that dies again and again is told from the row of its lives."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from echopilot_jobs.accounting.dying import dying
from echopilot_jobs.clock import iso
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.testing import FakeClock


@pytest.mark.parametrize(("lives", "told"), [(1, None), (2, None), (3, 2), (4, 3)])
def test_one_death_may_be_chance_and_two_are_told(
    ledger: SqliteLedger, clock: FakeClock, tmp_path: Path, lives: int, told: int | None
) -> None:
    for number in range(lives):
        ledger.take_lease(f"boot:{number}:1", "host", "rev", clock.now())
        clock.sleep(60)

    found, _ = dying(ledger, tmp_path, clock.now())

    assert (found and found.count) == told
    if found:
        assert found.last == clock.now() - timedelta(minutes=2)


def test_an_orderly_stop_is_no_death(ledger: SqliteLedger, clock: FakeClock, tmp_path: Path) -> None:
    for number in range(4):
        lease = ledger.take_lease(f"boot:{number}:1", "host", "rev", clock.now())
        ledger.end_stint(lease, "stopped", clock.now())

    assert dying(ledger, tmp_path, clock.now()) == (None, [])


def test_deaths_of_more_than_an_hour_ago_are_over(ledger: SqliteLedger, clock: FakeClock, tmp_path: Path) -> None:
    for number in range(4):
        ledger.take_lease(f"boot:{number}:1", "host", "rev", clock.now())
    clock.sleep(3_601)

    assert dying(ledger, tmp_path, clock.now()) == (None, [])


GONE = "its file is gone; everything it held is kept as 'a.sqlite3.rescued-x.sqlite3'"
BACK = "'a.sqlite3.rescued-x.sqlite3', rescued from a deleted ledger, is 'a.sqlite3' again"


def write_log(folder: Path, *lines: tuple[datetime, str, dict[str, str]]) -> None:
    texts = [json.dumps({"ts": iso(at), "event": event, **facts}) for at, event, facts in lines]
    (folder / "scheduler.log").write_text("\n".join([*texts, '{"ts": 7, "event": "ledger.vanished"}', ""]))


def test_what_the_log_says_of_an_end_is_told_and_so_is_a_ledger_that_was_lost_and_rescued(
    ledger: SqliteLedger, clock: FakeClock, tmp_path: Path
) -> None:
    """F18."""
    begun = clock.now()
    for number in range(4):  # the first loses its ledger, the second gives up, the third is killed, the fourth leads
        ledger.take_lease(f"boot:{number}:1", "host", "rev", clock.now())
        clock.sleep(120)
    second = begun + timedelta(seconds=122)
    write_log(
        tmp_path,
        (begun - timedelta(hours=3), "ledger.vanished", {"said": "long ago"}),
        (begun + timedelta(seconds=1), "ledger.vanished", {"said": GONE}),
        (begun + timedelta(seconds=2), "scheduler.failed", {"error": f"the ledger is gone: {GONE}"}),
        (begun + timedelta(seconds=3), "ledger.adopted", {"said": BACK}),
        (second, "scheduler.failed", {"error": "no room"}),
    )

    found, lost = dying(ledger, tmp_path, clock.now())

    assert found is not None
    assert found.words(lambda _: "noon") == (
        "the scheduler died 3 times within the last hour, last at noon: "
        "once it lost its ledger; once no room; once without a word"
    )
    assert [(loss.at, loss.what) for loss in lost] == [(begun + timedelta(seconds=1), f"its file is gone; {BACK}")]
