"""That somebody wants this process to stop, and how long its work may go on then."""

from __future__ import annotations

import os
import signal
from types import FrameType

# Drain, then four seconds of TERM for the children, then KILL, then the last pings: together inside `stopwaitsecs` of
# supervisord.conf.
DRAIN_SECONDS = 8.0
DRAIN_ORPHANED_SECONDS = 2.0
LAST_WORDS_SECONDS = 5.0
LAST_PINGS_SECONDS = 1.0


class StopWish:
    """Remembers that somebody wants this process to stop. A second wish means: do not drain."""

    def __init__(self, parent: int) -> None:
        self.signal: str | None = None
        self.in_a_hurry = False
        self._parent = parent
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.in_a_hurry = self.signal is not None
        self.signal = self.signal or signal.Signals(number).name

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return self.signal is not None

    @property
    def is_orphaned(self) -> bool:
        """Whether supervisord is gone."""
        return os.getppid() != self._parent

    @property
    def drain_seconds(self) -> float:
        """How long running work may go on: less when supervisord is gone, since a new one may start any moment."""
        if self.in_a_hurry:
            return 0.0
        return DRAIN_ORPHANED_SECONDS if self.is_orphaned else DRAIN_SECONDS
