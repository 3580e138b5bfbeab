"""One run carried out: its action performed, watched, ended in time, and described as an `Outcome`."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable
from dataclasses import field, replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from echopilot_jobs.clock import Clock
from echopilot_jobs.context import RunContext
from echopilot_jobs.executor import child_process
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.capture import newest_part
from echopilot_jobs.executor.own_web import OwnWeb
from echopilot_jobs.executor.report import Heard
from echopilot_jobs.executor.starting import ForkServer
from echopilot_jobs.jobs import BadParameters, Command, Http, Inline, Job, Python
from echopilot_jobs.placeholders import Hider, Unfilled, fill, names_in
from echopilot_jobs.processes import PROJECT_ROOT
from echopilot_jobs.records import record
from echopilot_jobs.runs import Artefact, Outcome, Output, Run, State

SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC})


def _to_nobody(_heard: Heard) -> None:
    """What a run says goes nowhere."""


@record(frozen=True)
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
        hide = Hider(_secrets_of(job), os.environ)
        try:
            outcome = self._perform(job, run, cancel, lambda heard: hear(_heard_as_told(heard, hide)))
        except (BadParameters, Unfilled) as error:
            outcome = Outcome(State.FAILED, error=str(error), final=True)
        except Exception as error:  # whatever it is, the run must end with its reason recorded and the next one start
            outcome = Outcome(State.FAILED, error=_fault_words(error))
        elapsed = round((self.clock.monotonic() - started) * 1000)
        return replace(self._without(outcome, hide), duration_ms=elapsed)

    def warm(self) -> None:
        """Begin to make ready what takes a process of its own, beside the caller."""
        self.server.warm()

    def get_ready(self) -> None:
        """Load what only some runs need, while nobody waits: not before the first claim, and of this release in any case."""
        import_module("echopilot_jobs.executor.http")
        import_module("echopilot_jobs.executor.pinging")

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
                from echopilot_jobs.executor import http  # what it stands on is a quarter of a start, see `get_ready`

                return http.perform(job.action, context, job.timeout.total_seconds(), self.own_web, cancel, self.clock)
            case Inline():
                raise TypeError(f"job '{job.name}' is carried out inside the scheduler, not here")

    def _without(self, outcome: Outcome, hide: Hider) -> Outcome:
        output = outcome.output
        return replace(
            outcome,
            error=_hidden(outcome.error, hide),
            result=_hidden(outcome.result, hide),
            output=Output(hide(output.head), hide(output.tail), output.dropped_bytes),
            artefacts=tuple(self._renamed(each, hide(each.name)) for each in outcome.artefacts),
        )

    def _renamed(self, artefact: Artefact, name: str) -> Artefact:
        """The kept file under a *name* that may be shown."""
        if name == artefact.name:
            return artefact
        path = PurePosixPath(artefact.path).with_name(name)
        (self.home / artefact.path).rename(self.home / path)
        return replace(artefact, name=name, path=str(path))


def _fault_words(error: Exception) -> str:
    """What this machine has run out of, in a line; a bug of ours with its traceback."""
    if isinstance(error, OSError) and error.errno in SHORT_OF:
        return f"it could not be carried out: {os.strerror(error.errno)}"
    return f"the executor itself failed: {traceback.format_exc(limit=5)}"


def process_mark(owner: str, run: Run) -> str:
    """What every process of one attempt carries in `processes.MARK`, and no process of any other."""
    return f"{owner}/{run.id}/{run.attempt}"


# -- what must not come back


def _secrets_of(job: Job) -> set[str]:
    """The names its definition fills in from the environment."""
    names = {name for value in job.env.values() for name in names_in(value)}
    return names | job.action.secret_names if isinstance(job.action, Http) else names


def _heard_as_told(heard: Heard, hide: Hider) -> Heard:
    """*heard* without secrets, and of what was printed so far only the newest part: cut after it was hidden (S25)."""
    said = [replace(each, message=hide(each.message), fields=_hidden(each.fields, hide)) for each in heard.said]
    progress = heard.progress and replace(heard.progress, note=hide(heard.progress.note))
    output = heard.output and newest_part(_growing_without(heard.output, hide))
    return Heard(tuple(said), progress, output)


def _growing_without(output: Output, hide: Hider) -> Output:
    return Output(hide.growing(output.head), hide.growing(output.tail), output.dropped_bytes)


def _hidden(value: Any, hide: Hider) -> Any:
    """*value* with every text in it hidden."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list):
        return [_hidden(item, hide) for item in value]
    if isinstance(value, dict):
        return {_hidden(key, hide): _hidden(item, hide) for key, item in value.items()}
    return value
