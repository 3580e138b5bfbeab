"""Moments on the wall of whatever zone was asked for."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from echopilot_jobs.spans import stamp


def shown(moment: datetime, zone: str | None) -> str:
    """The moment in UTC, or on the wall of *zone* with UTC behind it: `2026-03-02 10:00:00 Europe/Riga (08:00:00Z)`."""
    if zone is None or zone == "UTC":
        return stamp(moment)
    wall, utc = moment.astimezone(ZoneInfo(zone)), stamp(moment)
    same_day = utc[:10] == f"{wall:%Y-%m-%d}"
    return f"{wall:%Y-%m-%d %H:%M:%S} {zone} ({utc[11:] if same_day else utc})"


def wall(moment: datetime, zone: str | None) -> str:
    """The moment on the wall of *zone* (UTC by default) alone: `2026-03-02 10:00:00`, with a `Z` for UTC."""
    if zone is None or zone == "UTC":
        return stamp(moment)
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S%z}"
