"""The regular duties of the leading process besides planning: checkpoints, lost runs, retention."""

from __future__ import annotations

import contextlib

from echopilot_jobs.clock import Clock
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.healing import prune_batch
from echopilot_jobs.jobs import Registry
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.logs import Log
from echopilot_jobs.scheduler.custody import Custody
from echopilot_jobs.scheduler.opening import Surroundings, end_lost

EVERY_SECONDS = 15.0
LEISURE_SECONDS = 0.05
PRUNE_AGAIN_SECONDS = 3600.0
DISCARD_AT_ONCE = 500


class Chores:
    """Does what is due, a little at a time, between two beats."""

    def __init__(
        self,
        ledger: Ledger,
        registry: Registry,
        custody: Custody,
        clock: Clock,
        log: Log,
        surroundings: Surroundings,
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._surroundings = surroundings
        self._custody = custody
        self._clock = clock
        self._log = log
        self._due_at = clock.monotonic() + EVERY_SECONDS
        self._prune_at = self._due_at
        self._pruned_to = 0

    def adopt(self, registry: Registry) -> None:
        """From now on the jobs are those of *registry*."""
        self._registry = registry

    def do_due(self, idle_seconds: float) -> None:
        """One round, if its time has come and nothing is due within *idle_seconds*, or if it has waited long enough.

        A ledger out of reach is the next beat's matter.
        """
        late = self._clock.monotonic() - self._due_at
        if late < 0 or (idle_seconds < LEISURE_SECONDS and late < EVERY_SECONDS):
            return
        self._due_at = self._clock.monotonic() + EVERY_SECONDS
        with contextlib.suppress(LedgerUnavailable), self._log.batch():
            self._custody.checkpoint()
            # An owner may have been deposed while it still lived, and died since.
            end_lost(self._ledger, self._registry, self._clock, self._log, self._surroundings)
            self._prune()

    def _discard_artefacts(self) -> None:
        """Remove what was kept for runs that retention removed, files first: the rows are the only pointer to them."""
        adrift = self._ledger.artefacts_adrift(DISCARD_AT_ONCE)
        for _, artefact in adrift:
            self._surroundings.discard(artefact.path)
        if adrift:
            self._ledger.forget_artefacts({run_id for run_id, _ in adrift})

    def _prune(self) -> None:
        """One small batch a round while there is old history, then not again for an hour."""
        if self._clock.monotonic() < self._prune_at:
            return
        self._discard_artefacts()
        done = prune_batch(self._ledger, self._clock.now(), self._pruned_to)
        self._pruned_to = done.looked_at or 0
        if done.looked_at is None:
            self._prune_at = self._clock.monotonic() + PRUNE_AGAIN_SECONDS
