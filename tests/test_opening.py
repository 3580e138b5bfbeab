"""How a scheduler begins, where the ledger lets it down."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.jobs import Inline, Job, Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.scheduler.opening import Identity, Succession, Surroundings, lead
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import OnRequest
from tests import schedulekit
from tests.worldkit import Diary

REGISTRY = Registry([Job("j", OnRequest(), Inline("nothing"))])
OURS = Identity("boot:1:1", "boot", "host", "rev")
EVERYBODY_LIVES = Surroundings(lives=lambda _owner: True, sweep=lambda _owner: 0)


def full(*_what: Any, **_more: Any) -> Any:
    raise LedgerUnavailable("database or disk is full")


def begin(ledger: SqliteLedger, clock: FakeClock, succession: Succession) -> Any:
    return lead(ledger, REGISTRY, clock, Diary(), OURS, EVERYBODY_LIVES, succession)


def test_who_could_not_put_the_past_in_order_gives_the_lease_back(
    ledger: SqliteLedger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F25: nobody is told that it leads, and the next try needs not wait."""

    succession = Succession(clock, OURS, lambda _owner: True)
    with monkeypatch.context() as trouble:
        trouble.setattr(ledger, "set_defined", full)
        with pytest.raises(LedgerUnavailable):
            begin(ledger, clock, succession)
    stint = ledger.stint()

    assert stint is not None
    assert stint.ended_at == clock.now()
    assert begin(ledger, clock, succession).lease.term == stint.term + 1


def test_an_earlier_try_of_the_same_process_is_no_other_scheduler_F25(
    ledger: SqliteLedger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where giving the lease back could not be written either."""

    succession = Succession(clock, OURS, lambda _owner: True)
    with monkeypatch.context() as trouble:
        trouble.setattr(ledger, "set_defined", full)
        trouble.setattr(ledger, "end_stint", full)
        with pytest.raises(LedgerUnavailable):
            begin(ledger, clock, succession)

    assert begin(ledger, clock, succession).lease.term == 2


def test_what_the_log_and_the_process_table_tell_of_the_scheduler_before_is_kept_I12(
    ledger: SqliteLedger, clock: FakeClock
) -> None:
    first = schedulekit.begin(ledger, REGISTRY, clock, Diary(), "boot:9:9")
    last_beat = clock.now()
    with ledger.leading(first.lease, last_beat) as leading:
        leading.renew(schedulekit.reading(last_beat), planned=True)
    clock.sleep(100)
    asked: list[datetime] = []

    def could_not_write(since: datetime) -> bool:
        asked.append(since)
        return True

    surroundings = replace(EVERYBODY_LIVES, could_not_write=could_not_write)
    succession = Succession(clock, OURS, lambda _owner: False)
    second = lead(ledger, REGISTRY, clock, Diary(), OURS, surroundings, succession)

    assert second.before is not None
    assert (second.before.lives, second.before.unreachable) == (True, True)
    assert asked == [last_beat]
