"""A scheduler that dies again and again is told from the row of its lives."""

from __future__ import annotations

from datetime import timedelta

import pytest

from echopilot_jobs.accounting.dying import dying
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.testing import FakeClock


@pytest.mark.parametrize(("lives", "told"), [(1, None), (2, None), (3, 2), (4, 3)])
def test_one_death_may_be_chance_and_two_are_told(
    ledger: SqliteLedger, clock: FakeClock, lives: int, told: int | None
) -> None:
    for number in range(lives):
        ledger.take_lease(f"boot:{number}:1", "host", "rev", clock.now())
        clock.sleep(60)

    found = dying(ledger, clock.now())

    assert (found and found.count) == told
    if found:
        assert found.last == clock.now() - timedelta(minutes=2)


def test_an_orderly_stop_is_no_death(ledger: SqliteLedger, clock: FakeClock) -> None:
    for number in range(4):
        lease = ledger.take_lease(f"boot:{number}:1", "host", "rev", clock.now())
        ledger.end_stint(lease, "stopped", clock.now())

    assert dying(ledger, clock.now()) is None


def test_deaths_of_more_than_an_hour_ago_are_over(ledger: SqliteLedger, clock: FakeClock) -> None:
    for number in range(4):
        ledger.take_lease(f"boot:{number}:1", "host", "rev", clock.now())
    clock.sleep(3_601)

    assert dying(ledger, clock.now()) is None
