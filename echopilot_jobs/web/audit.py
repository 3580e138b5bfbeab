"""Who did what through the web, one JSON line each on stderr, which supervisord keeps in `logs/web.log`."""

from __future__ import annotations

import json
import sys
import traceback
from datetime import datetime
from typing import Any

from echopilot_jobs.clock import iso


def note(event: str, now: datetime, **facts: Any) -> None:
    """Write one event, object first, past tense. ASCII only, so nothing a caller sent can break the line."""
    line = json.dumps({"ts": iso(now), "event": event, **facts}, ensure_ascii=True, default=str)
    try:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - stderr is this process's log
    except (OSError, ValueError):
        return  # a full disk or a closed pipe must not fail the request


def bug(error: BaseException, now: datetime, **facts: Any) -> None:
    """Keep the traceback of an error that should not have happened; the caller gets only its id (S26)."""
    note("web.failed", now, **facts, traceback="".join(traceback.format_exception(error))[-20_000:])
