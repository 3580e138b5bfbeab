"""What everybody who looks at a ledger agrees on: how long a lease holds, and how much one page shows."""

from __future__ import annotations

from datetime import timedelta

RENEW_EVERY = timedelta(seconds=5)
LEASE_TTL = 3 * RENEW_EVERY  # three beats missed: whoever judges a scheduler's beat calls it silent from here on
MAX_PAGE = 200
