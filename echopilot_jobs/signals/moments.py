"""Moments as people and programs write them, as UTC epoch seconds; and back into sentences."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.spans import day_clock

# Before this a clock was not set (1970 and 1980 are what machines without a battery say); the rules leave those out.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()

_DIGITS = re.compile(r"[+-]?\d{9,20}(\.\d+)?")
_DAY_DIGITS = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_STARTS_LIKE_ISO = re.compile(r"[12]\d{3}[-/.]?\d\d[-/.]?\d\d")
_ZONE_WORD = re.compile(r"\s*(UTC|GMT|Zulu|z)$", re.IGNORECASE)
_SLASHED = re.compile(r"^(\d{4})[/.](\d\d)[/.](\d\d)")
_FINE = re.compile(r"([.,]\d{6})\d+")
_ACCESS_LOG = re.compile(r"\[?\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]?")
_MAIL = re.compile(r"([A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d")


def moment(value: object) -> float | None:
    """UTC epoch seconds of a time in any usual writing, else None; never raises.

    Numbers are epoch seconds, milli-, micro- or nanoseconds by their size. Texts are ISO 8601 and its relatives, mail and
    access-log dates, or such a number in digits. Without a zone it is UTC.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _from_number(value)
    if isinstance(value, str) and 8 <= len(value) <= 64:
        return _from_text(value.strip())
    return None


def _from_number(value: float) -> float | None:
    try:
        size = abs(float(value))
    except OverflowError:
        return None
    # 3e8 is 1979: smaller numbers are durations, counts or uptimes, not moments.
    for least, most, unit in ((3e8, 1e11, 1.0), (3e11, 1e14, 1e3), (3e14, 1e17, 1e6), (3e17, 1e20, 1e9)):
        if least <= size < most and value > 0:
            return _sane(float(value) / unit)
    return None


def _sane(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds < LATEST else None


def _from_text(text: str) -> float | None:
    if _DIGITS.fullmatch(text):
        return _from_number(float(text))
    try:
        parsed = _parse(text)
        return None if parsed is None else _epoch(parsed)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _parse(text: str) -> datetime | None:
    if _STARTS_LIKE_ISO.match(text):
        return _parse_iso(text)
    if _ACCESS_LOG.fullmatch(text):
        return datetime.strptime(text.strip("[]"), "%d/%b/%Y:%H:%M:%S %z")
    if _MAIL.match(text):
        return parsedate_to_datetime(text)
    return None


def _parse_iso(text: str) -> datetime | None:
    if text.isdigit() and not _DAY_DIGITS.fullmatch(text):
        return None
    text = _SLASHED.sub(r"\1-\2-\3", _ZONE_WORD.sub("+00:00", text))
    text = _FINE.sub(r"\1", text).replace(":60", ":59", 1) if ":" in text else text
    return datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))


def _epoch(parsed: datetime) -> float:
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return (aware - EPOCH).total_seconds()


def at(seconds: float) -> datetime:
    """The UTC moment of epoch seconds."""
    return EPOCH + timedelta(seconds=seconds)


def minute(seconds: float) -> str:
    """`27 Oct 2025 21:25 UTC`."""
    return day_clock(at(seconds))


def second(seconds: float) -> str:
    """`2025-10-27 21:25:03 UTC`."""
    return at(seconds).strftime("%Y-%m-%d %H:%M:%S UTC")


def lasting(seconds: float) -> str:
    """A duration in the unit a person would use: `61 s`, `5.0 min`, `220.7 h`, `17.0 days`; outages stay in hours."""
    size = abs(seconds)
    if size < 1:
        return f"{seconds * 1000:.0f} ms"
    if size < 10:
        return f"{seconds:.1f} s"
    if size < 120:
        return f"{seconds:.0f} s"
    if size < 5400:
        return f"{seconds / 60:.1f} min"
    if size < 14 * 86400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
