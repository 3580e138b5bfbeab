"""What became of every slot, durably.

Each name is fetched when it is asked for: most verbs of the command line only read, and what writes and plans is the larger
part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopilot_jobs.lazy import fetching

if TYPE_CHECKING:
    from echopilot_jobs.ledger.facts import Disposed, Dispositions, End, Lease, Limits, Obligation, Pruned
    from echopilot_jobs.ledger.guests import GuestLedger
    from echopilot_jobs.ledger.protocol import Ledger, Pass
    from echopilot_jobs.ledger.sqlite import SqliteLedger
    from echopilot_jobs.ledger.sqlite_reading import SqliteReading
    from echopilot_jobs.ledger.terms import LEASE_TTL, MAX_PAGE, RENEW_EVERY, Beat, beat_of

__all__ = [
    "LEASE_TTL",
    "MAX_PAGE",
    "RENEW_EVERY",
    "Beat",
    "Disposed",
    "Dispositions",
    "End",
    "GuestLedger",
    "Lease",
    "Ledger",
    "Limits",
    "Obligation",
    "Pass",
    "Pruned",
    "SqliteLedger",
    "SqliteReading",
    "beat_of",
]

__getattr__ = fetching(
    __name__,
    facts=("Disposed", "Dispositions", "End", "Lease", "Limits", "Obligation", "Pruned"),
    guests=("GuestLedger",),
    protocol=("Ledger", "Pass"),
    sqlite=("SqliteLedger",),
    sqlite_reading=("SqliteReading",),
    terms=("LEASE_TTL", "MAX_PAGE", "RENEW_EVERY", "Beat", "beat_of"),
)
