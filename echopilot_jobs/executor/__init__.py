"""One run carried out: its action performed, watched, ended in time, and described as an `Outcome`."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace

from echopilot_jobs.clock import Clock
from echopilot_jobs.context import RunContext
from echopilot_jobs.executor import child_process, http
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.http import OwnWeb
from echopilot_jobs.jobs import Command, Http, Inline, Job, Python
from echopilot_jobs.runs import Outcome, Run, State

__all__ = ["Cancel", "Executor", "OwnWeb"]


@dataclass(frozen=True)
class Executor:
    """Carries out runs that leave the scheduler's thread. Safe to use from many threads at once.

    *owner* marks the processes of a run, so that whoever comes after a crash can find and end them.
    """

    clock: Clock
    owner: str
    own_web: OwnWeb

    def carry_out(self, job: Job, run: Run, cancel: Cancel) -> Outcome:
        """Perform one attempt to its end. Never raises: a fault of ours is an outcome too, with its traceback."""
        started = self.clock.monotonic()
        try:
            outcome = self._perform(job, run, cancel)
        except Exception:  # whatever it is, the run must end with its reason recorded and the next one start
            outcome = Outcome(State.FAILED, error=f"the executor itself failed: {traceback.format_exc(limit=5)}")
        return replace(outcome, duration_ms=round((self.clock.monotonic() - started) * 1000))

    def _perform(self, job: Job, run: Run, cancel: Cancel) -> Outcome:
        context = RunContext.of(run)
        match job.action:
            case Python() | Command():
                return child_process.perform(job, context, process_mark(self.owner, run), cancel, self.clock)
            case Http():
                return http.perform(job.action, context, job.timeout.total_seconds(), self.own_web, cancel, self.clock)
            case Inline():
                raise TypeError(f"job '{job.name}' is carried out inside the scheduler, not here")


def process_mark(owner: str, run: Run) -> str:
    """What every process of one attempt carries in `processes.MARK`, and no process of any other."""
    return f"{owner}/{run.id}/{run.attempt}"
