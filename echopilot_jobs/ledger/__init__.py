"""What became of every slot, durably."""

from echopilot_jobs.ledger.protocol import (
    LEASE_TTL,
    MAX_PAGE,
    RENEW_EVERY,
    Disposed,
    Dispositions,
    Lease,
    Ledger,
    Limits,
    Obligation,
    Pass,
    Pruned,
)
from echopilot_jobs.ledger.sqlite import SqliteLedger

__all__ = [
    "LEASE_TTL",
    "MAX_PAGE",
    "RENEW_EVERY",
    "Disposed",
    "Dispositions",
    "Lease",
    "Ledger",
    "Limits",
    "Obligation",
    "Pass",
    "Pruned",
    "SqliteLedger",
]
