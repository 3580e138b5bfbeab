"""Time, asked for in one place: decisions take `now`, loops own a `Clock`, and only this module asks the system."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """What a loop may ask about time."""

    def now(self) -> datetime:
        """The wall clock: timezone-aware, UTC. It may step in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, for durations. They stand still while the machine is suspended."""
        ...

    def boottime(self) -> float:
        """Seconds since the machine booted, time spent suspended included: the judge of what the wall clock says."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let so many seconds of the monotonic clock pass."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """The wall clock in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def boottime(self) -> float:
        """Seconds of CLOCK_BOOTTIME, which only Linux has; elsewhere suspended time cannot be told apart."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; a signal is answered by its handler and does not shorten it."""
        time.sleep(seconds)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the UTC epoch: the form moments are stored in."""
    return (moment - EPOCH) // _MILLISECOND


@lru_cache(maxsize=64)  # hundreds of jobs come due together, and were planned up to the same moment
def from_ms(ms: int) -> datetime:
    """The UTC moment of a stored number of milliseconds."""
    return EPOCH + timedelta(milliseconds=ms)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with a `Z`, whole seconds when there is no fraction, else milliseconds: `2026-03-01T08:00:00Z`."""
    return _iso_of_utc(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


@lru_cache(maxsize=64)  # of UTC alone: elsewhere the two moments of a repeated hour are equal to Python
def _iso_of_utc(utc: datetime) -> str:
    return utc.isoformat("T", "milliseconds" if utc.microsecond else "seconds")[:-6] + "Z"
