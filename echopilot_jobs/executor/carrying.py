"""One run carried out: its action performed, watched, ended in time, and described as an `Outcome`."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import Clock
from echopilot_jobs.context import RunContext
from echopilot_jobs.executor import child_process, http
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.capture import newest_part
from echopilot_jobs.executor.http import OwnWeb
from echopilot_jobs.executor.report import Heard
from echopilot_jobs.executor.starting import ForkServer
from echopilot_jobs.jobs import BadParameters, Command, Http, Inline, Job, Python
from echopilot_jobs.placeholders import Unfilled, fill, hide, hide_growing, names_in
from echopilot_jobs.processes import PROJECT_ROOT
from echopilot_jobs.runs import Outcome, Output, Run, State


def _to_nobody(_heard: Heard) -> None:
    """What a run says goes nowhere."""


@dataclass(frozen=True)
class Executor:
    """Carries out runs that leave the scheduler's thread. Safe to use from many threads at once.

    *owner* marks the processes of a run, so that whoever comes after a crash can find and end them. Commands start in *home*,
    functions are imported from it first, and artefacts are kept below it.
    """

    clock: Clock
    owner: str
    own_web: OwnWeb
    home: Path = PROJECT_ROOT
    server: ForkServer = field(default_factory=ForkServer)

    def carry_out(self, job: Job, run: Run, cancel: Cancel, hear: Callable[[Heard], None] = _to_nobody) -> Outcome:
        """Perform one attempt to its end. Never raises: a fault of ours is an outcome too, with its traceback.

        What the run says meanwhile goes to *hear*, from this thread, at most once a second. What its definition filled in
        from the environment comes out hidden, wherever the run repeats it.
        """
        started = self.clock.monotonic()
        secrets = _secrets_of(job)
        try:
            outcome = self._perform(job, run, cancel, lambda heard: hear(_heard_as_told(heard, secrets)))
        except (BadParameters, Unfilled) as error:
            outcome = Outcome(State.FAILED, error=str(error), final=True)
        except Exception:  # whatever it is, the run must end with its reason recorded and the next one start
            outcome = Outcome(State.FAILED, error=f"the executor itself failed: {traceback.format_exc(limit=5)}")
        elapsed = round((self.clock.monotonic() - started) * 1000)
        return replace(_without(outcome, secrets), duration_ms=elapsed)

    def warm(self) -> None:
        """Have everything ready before the first run."""
        self.server.warm()

    def close(self) -> None:
        """Let go of what was started for runs; those still going on end with it."""
        self.server.close()

    def _perform(self, job: Job, run: Run, cancel: Cancel, hear: Callable[[Heard], None]) -> Outcome:
        context = RunContext.of(run, job, self.clock.now() + job.timeout)
        match job.action:
            case Python() | Command():
                environ = {name: fill(value, os.environ) for name, value in job.env.items()}
                place = child_process.Place(self.clock, self.server, self.home)
                mark = process_mark(self.owner, run)
                return child_process.perform(job, context, environ, mark, place, cancel, hear)
            case Http():
                return http.perform(job.action, context, job.timeout.total_seconds(), self.own_web, cancel, self.clock)
            case Inline():
                raise TypeError(f"job '{job.name}' is carried out inside the scheduler, not here")


def process_mark(owner: str, run: Run) -> str:
    """What every process of one attempt carries in `processes.MARK`, and no process of any other."""
    return f"{owner}/{run.id}/{run.attempt}"


# -- what must not come back


def _secrets_of(job: Job) -> tuple[str, ...]:
    """The names its definition fills in from the environment, the longest values first: one may hold another."""
    names = {name for value in job.env.values() for name in names_in(value)}
    if isinstance(job.action, Http):
        names |= {*http.secret_names(job.action)}
    return tuple(sorted(names, key=lambda name: -len(os.environ.get(name, ""))))


def _without(outcome: Outcome, secrets: Iterable[str]) -> Outcome:
    if not secrets:
        return outcome
    output = outcome.output
    return replace(
        outcome,
        error=_hidden(outcome.error, secrets),
        result=_hidden(outcome.result, secrets),
        output=Output(_hidden(output.head, secrets), _hidden(output.tail, secrets), output.dropped_bytes),
    )


def _heard_as_told(heard: Heard, secrets: Collection[str]) -> Heard:
    """*heard* without secrets, and of what was printed so far only the newest part: cut after it was hidden (S25)."""
    if secrets:
        heard = _heard_without(heard, secrets)
    return replace(heard, output=newest_part(heard.output)) if heard.output else heard


def _heard_without(heard: Heard, secrets: Collection[str]) -> Heard:
    said = [
        replace(each, message=_hidden(each.message, secrets), fields=_hidden(each.fields, secrets))
        for each in heard.said
    ]
    progress = heard.progress and replace(heard.progress, note=_hidden(heard.progress.note, secrets))
    return Heard(tuple(said), progress, heard.output and _growing_without(heard.output, secrets))


def _growing_without(output: Output, secrets: Collection[str]) -> Output:
    head, tail = (hide_growing(text, secrets, os.environ) for text in (output.head, output.tail))
    return Output(head, tail, output.dropped_bytes)


def _hidden(value: Any, secrets: Iterable[str]) -> Any:
    """*value* with every text in it hidden."""
    if isinstance(value, str):
        return hide(value, secrets, os.environ)
    if isinstance(value, list):
        return [_hidden(item, secrets) for item in value]
    if isinstance(value, dict):
        return {_hidden(key, secrets): _hidden(item, secrets) for key, item in value.items()}
    return value
