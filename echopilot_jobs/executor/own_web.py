"""Our own web process, as a run that asks it sees it."""

from __future__ import annotations

from collections.abc import Callable

from echopilot_jobs.records import record


@record(frozen=True)
class OwnWeb:
    """Our own web process: where it answers, and how to prove that we may ask. The key is called for late and never shown.

    *stopping* says that the scheduler is on its way out, so that nobody waits for a web that is stopping too.
    """

    base_url: str
    key: Callable[[], str]
    stopping: Callable[[], bool] = lambda: False
