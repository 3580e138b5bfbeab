"""Where runs go: an engine takes started runs and gives back how they ended."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from echopilot_jobs.executor import Heard
from echopilot_jobs.jobs import Job
from echopilot_jobs.records import record
from echopilot_jobs.runs import Outcome, Run

PLACES = 8  # how many runs the engine of one machine carries out at a time


class Ended(NamedTuple):
    """A run that came back from the engine."""

    job: Job
    run: Run
    outcome: Outcome


@record(frozen=True)
class Note:
    """What a run said while it goes on: lines of its log, how far it is, what it has printed so far."""

    run: Run
    heard: Heard


class Engine(Protocol):
    """Carries out runs somewhere else than in the scheduler's thread."""

    @property
    def free(self) -> int:
        """How many more runs it takes right now."""
        ...

    @property
    def busy(self) -> int:
        """How many it has not given back yet."""
        ...

    def submit(self, job: Job, run: Run) -> None:
        """Take a run that the ledger says is running. Returns at once."""
        ...

    def collect(self) -> list[Ended]:
        """The runs that ended since the last call."""
        ...

    def notes(self) -> list[Note]:
        """What runs said since the last call, oldest first; all that a run said, once `collect` has given it back."""
        ...

    def cancel(self, run_id: int) -> None:
        """Ask one run to stop; it still comes back through `collect`. A run that is not here is no matter."""
        ...

    def cancel_all(self) -> None:
        """Ask every run to stop; each still comes back through `collect`."""
        ...
