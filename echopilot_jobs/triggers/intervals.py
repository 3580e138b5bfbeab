"""Rules that count time as it passes, from the UTC epoch on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.records import record

SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=count) for count in (1, 60, 3_600, 86_400))
NOTHING = timedelta(0)
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


@record(frozen=True)
class Every:
    """Every *interval* since the UTC epoch plus *phase*: it never drifts and keeps its phase across restarts (I16)."""

    interval: timedelta
    phase: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        _check_length("interval", self.interval)
        if self.phase % SECOND:
            raise ValueError(f"phase '{self.phase}'; wanted: whole seconds")

    @property
    def period(self) -> timedelta:
        return self.interval

    @property
    def follows_real_time(self) -> bool:
        return True

    def after(self, moment: datetime) -> Iterator[datetime]:
        first = EPOCH + self.phase
        try:
            due = first + ((moment - first) // self.interval + 1) * self.interval
            while True:
                yield due
                due += self.interval
        except OverflowError:  # the year 10000
            return

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "every", "interval_s": self.interval // SECOND, "phase_s": self.phase // SECOND}

    def __str__(self) -> str:
        return f"every {_length(self.interval)}{_shift(self.interval, self.phase % self.interval)}"


@record(frozen=True)
class EveryBetween:
    """At irregular distances, each at least *low* and at most *high*, which time alone decides.

    Time since the UTC epoch is cut into cells of the mean length, and each cell has one moment, moved within a quarter of
    the range to either side by a hash of the cell's number. So the moments never drift, are the same after a restart, and
    any one can be found without those before it.
    """

    low: timedelta
    high: timedelta

    def __post_init__(self) -> None:
        _check_length("low", self.low)
        _check_length("high", self.high)
        if self.high < self.low:
            raise ValueError(f"from '{self.low}' to '{self.high}'; wanted: the shorter length first")

    @property
    def period(self) -> timedelta:
        return (self.low + self.high) / 2

    @property
    def follows_real_time(self) -> bool:
        return True

    def after(self, moment: datetime) -> Iterator[datetime]:
        low, high = self.low // SECOND, self.high // SECOND
        # Whole seconds: cells are (low + high) // 2 long or one more, and two neighbours differ by at most *room*.
        room = min(high - (low + high + 1) // 2, (low + high) // 2 - low)
        name = f"{low}-{high}:"
        cell = 2 * ((moment - EPOCH) // SECOND - room) // (low + high)
        try:
            while True:
                moved = (
                    int.from_bytes(blake2b(f"{name}{cell}".encode(), digest_size=8).digest()) % (room + 1) - room // 2
                )
                due = EPOCH + timedelta(seconds=cell * (low + high) // 2 + moved)
                if due > moment:
                    yield due
                cell += 1
        except OverflowError:  # the year 10000
            return

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "every_between", "low_s": self.low // SECOND, "high_s": self.high // SECOND}

    def __str__(self) -> str:
        return f"every {_length(self.low)} to {_length(self.high)}"


def jitter_of(key: str, most: timedelta) -> timedelta:
    """The share of *most* that belongs to *key*: whole milliseconds in [0, *most*), the same in every process for ever.

    Zero when *most* leaves no room. Spread evenly over keys, by a hash.
    """
    steps = -(-most // timedelta(milliseconds=1))
    if steps <= 1:
        return timedelta(0)
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return timedelta(milliseconds=int.from_bytes(digest) % steps)


def _check_length(name: str, length: timedelta) -> None:
    if length < SECOND or length % SECOND:
        raise ValueError(f"{name} '{length}'; wanted: whole seconds, at least 1 s")


def _shift(interval: timedelta, phase: timedelta) -> str:
    """Where in the hour or the day the moments lie; nothing when they lie on its full parts."""
    if not phase:
        return ""
    at = (EPOCH + phase).time().isoformat("seconds")
    if MINUTE % interval == NOTHING:
        return f" at second {phase // SECOND}" if interval == MINUTE else f" from second {phase // SECOND}"
    if HOUR % interval == NOTHING:
        minute = at.removeprefix("00").removesuffix(":00")
        return f" at {minute}" if interval == HOUR else f" from {minute}"
    return f" from {at.removesuffix(':00')} UTC" if DAY % interval == NOTHING else f", shifted by {_length(phase)}"


def _length(length: timedelta) -> str:
    """The length in the largest unit that divides it: `6 h`, `90 s`."""
    seconds = length // SECOND
    for unit, size in _UNITS:
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
