"""Values as the ledger's columns keep them, read with care: the file may have been written into by somebody else.

What no release of ours would have written is `LedgerUnavailable` with one line, never a traceback.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from echopilot_jobs.clock import from_ms
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.plain import plain, shorten

Word = TypeVar("Word", bound=StrEnum)


def moment(ms: int) -> datetime:
    """The UTC moment of a column of epoch milliseconds."""
    try:
        return from_ms(ms)
    except (OverflowError, TypeError):
        raise foreign("a moment", ms) from None


def maybe_moment(ms: int | None) -> datetime | None:
    """As `moment`, of a column that may be empty."""
    return None if ms is None else moment(ms)


def slot_moment(epoch_seconds: int) -> datetime:
    """The UTC moment of a slot's column of whole epoch seconds."""
    try:
        return datetime.fromtimestamp(epoch_seconds, UTC)
    except (OverflowError, ValueError, OSError, TypeError):
        raise foreign("a slot", epoch_seconds) from None


def length(ms: int) -> timedelta:
    """The length of time of a column of milliseconds."""
    try:
        return timedelta(milliseconds=ms)
    except (OverflowError, TypeError):
        raise foreign("a length of time", ms) from None


def word(kind: type[Word], value: str) -> Word:
    """The member of *kind* that a column names."""
    try:
        return kind(value)
    except ValueError:
        raise foreign(f"a {kind.__name__}", value) from None


def document(text: str) -> Any:
    """The JSON of a column."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise foreign("JSON", text) from None


def definition(text: str) -> dict[str, Any]:
    """The definition of a job as an object; whether its rule is one of ours is for the reader to find out."""
    found = document(text)
    if not isinstance(found, dict):
        raise foreign("a definition", text)
    return found


def foreign(wanted: str, value: object) -> LedgerUnavailable:
    """The refusal of *value* where *wanted* should stand."""
    shown = shorten(plain(value), 60)
    return LedgerUnavailable(
        f"the ledger holds '{shown}' where {wanted} should stand: somebody else wrote into it; "
        "restore a backup with `echopilot restore FILE`, or see `echopilot doctor`"
    )
