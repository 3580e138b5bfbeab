"""What everybody who looks at a ledger agrees on: how long a lease holds, whether one leads, how much one page shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echopilot_jobs.runs import Stint

RENEW_EVERY = timedelta(seconds=5)
LEASE_TTL = 3 * RENEW_EVERY  # three beats missed
MAX_PAGE = 200


class Beat(StrEnum):
    """What the newest beat of a scheduler says of it."""

    NEVER = "never"
    ENDED = "ended"
    SILENT = "silent"  # its beat is too old
    AHEAD = "ahead"  # the clock was set back, and it has not beaten since
    LIVES = "lives"


def beat_of(stint: Stint | None, now: datetime) -> Beat:
    """The one judgement of a beat: page, command line, doctor and audit say the same at the same moment."""
    if stint is None:
        return Beat.NEVER
    if stint.ended_at is not None:
        return Beat.ENDED
    age = now - stint.beat_at
    if age > LEASE_TTL:
        return Beat.SILENT
    return Beat.AHEAD if -age > LEASE_TTL else Beat.LIVES
