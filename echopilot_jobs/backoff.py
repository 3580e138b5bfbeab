"""How long to wait before trying again: exponential with full jitter, never tighter than a second (I17)."""

from __future__ import annotations

import math
from datetime import timedelta

LEAST = timedelta(seconds=1)
BASE = timedelta(seconds=5)
MOST = timedelta(minutes=15)
YEAR_SECONDS = 365 * 86_400.0


def wait_of(seconds: float | None) -> timedelta | None:
    """A wait somebody else named, bounded to what can be counted with: never negative, at most a year."""
    if seconds is None or math.isnan(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), YEAR_SECONDS))


def delay(attempt: int, *, seed: int) -> timedelta:
    """The wait after failed attempt number *attempt* (from 1).

    Full jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): uniform between the least wait and a
    ceiling that doubles. The seed makes it repeatable, so that a test or a simulator sees the same wait.
    """
    import random

    doubled: int = 2 ** min(attempt - 1, 30)
    ceiling = min(BASE * doubled, MOST)
    share = random.Random(f"{seed}:{attempt}").random()  # nosec B311  # spreading load, not secrets
    return LEAST + share * (ceiling - LEAST)
