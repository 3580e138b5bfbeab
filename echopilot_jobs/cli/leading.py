"""Waiting for a scheduler, and not for ever: what is queued while none leads does not move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from echopilot_jobs.cli import sight
from echopilot_jobs.errors import SupervisorUnreachable, WrongState
from echopilot_jobs.runs import State

if TYPE_CHECKING:
    from datetime import datetime

    from echopilot_jobs.clock import Clock
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.runs import Run
    from echopilot_jobs.settings import Settings

LED_WITHIN_SECONDS = 30.0  # supervisord starts a killed scheduler again in far less


class NobodyLeads(WrongState):
    """No scheduler carries out what was asked for."""


class Patience:
    """How long a wait has gone on without any scheduler that leads; by the monotonic clock."""

    def __init__(self, ledger: SqliteLedger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._since: float | None = None  # counted from a look that saw none: between two looks anything may have been

    def check(self, run: Run) -> None:
        """Raises `NobodyLeads` once none has led for `LED_WITHIN_SECONDS`."""
        if sight.standing(self._ledger.stint(), self._clock.now()).leads:
            self._since = None
        elif self._since is None:
            self._since = self._clock.monotonic()
        elif self._clock.monotonic() - self._since >= LED_WITHIN_SECONDS:
            raise NobodyLeads(f"no scheduler leads; {_what_becomes(run)}; {sight.START_SCHEDULER}")


def _what_becomes(run: Run) -> str:
    if run.state is State.RUNNING:
        return f"run {run.id} was running when it died, and the next one decides about it"
    return f"run {run.id} stays {run.words} and runs when a scheduler starts"


def refuse_without_stack(ledger: SqliteLedger, settings: Settings, now: datetime, instead: str) -> None:
    """Raise `NobodyLeads` when no scheduler leads and no supervisord would start one; *instead* says what can be done."""
    if sight.standing(ledger.stint(), now).leads or _is_supervised(settings):
        return
    raise NobodyLeads(f"no stack is running, so nothing can be made now; {sight.START}, {instead}")


def _is_supervised(settings: Settings) -> bool:
    """Whether a supervisord answers; one that was killed leaves its socket behind."""
    if not settings.supervisor_socket.exists():
        return False
    from echopilot_jobs.supervision import Supervisor

    try:
        Supervisor(settings.supervisor_socket).programs()
    except SupervisorUnreachable:
        return False
    return True
