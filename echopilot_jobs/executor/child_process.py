"""A job in a process of its own: watched, bounded in time and output, and ended with everything it started."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from select import select
from typing import Any

from echopilot_jobs.backoff import wait_of
from echopilot_jobs.clock import Clock
from echopilot_jobs.context import RunContext
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.capture import Capture
from echopilot_jobs.executor.report import Heard, Report
from echopilot_jobs.executor.starting import Begun, CannotStart, ForkServer, allowed_environment
from echopilot_jobs.jobs import Command, Job, Python
from echopilot_jobs.processes import MARK, end_marked, end_tree, owner_of, signal_tree, wait_for_exit
from echopilot_jobs.records import record
from echopilot_jobs.runs import SKIPPED, Artefact, Outcome, State, exit_words

GRACE_SECONDS = 10.0
SHUTDOWN_GRACE_SECONDS = 4.0  # also after a cancel: `echopilot cancel` says so
STATUS_SECONDS = 2.0
COLLECT_SECONDS, LOOK_SECONDS = 1.0, 0.01
HEAR_EVERY_SECONDS = 1.0
READ_AT_ONCE = 65_536
READS_AFTER_THE_END = 64
ARTEFACTS = PurePosixPath("logs/artefacts")
SERVER_DIED = "the process it was forked from died, and it died with it"

Hear = Callable[[Heard], None]


@record(frozen=True)
class Place:
    """Where runs are carried out: by what clock, forked from what, in which project."""

    clock: Clock
    server: ForkServer
    home: Path


def perform(
    job: Job, context: RunContext, environ: Mapping[str, str], mark: str, place: Place, cancel: Cancel, hear: Hear
) -> Outcome:
    """Run the job's child to its end and describe it. Nothing it started is left when this returns (I13).

    *environ* is what the job asks for besides what every job gets. What the run says meanwhile is handed to *hear*, at most
    once a second.
    """
    deadline = place.clock.monotonic() + job.timeout.total_seconds()
    try:
        begun = place.server.begin(_order(job, context, environ, mark, place.home))
    except CannotStart as error:
        return Outcome(State.FAILED, error=str(error))
    watch = _Watch(begun, cancel, place.clock, deadline, hear)
    try:
        try:
            watch.until_exit()
        finally:
            _sweep(watch.pid, mark, has_ended=watch.is_over)
        watch.read_leftovers()
        status = watch.exit_status()
        if status is None and watch.pid is not None:
            _collect(watch.pid, begun)
    finally:
        begun.close()
    artefacts = _kept(watch.report, _folder_of(context), place.home)
    return _outcome(job, watch, status, artefacts)


def _order(job: Job, context: RunContext, environ: Mapping[str, str], mark: str, home: Path) -> dict[str, object]:
    order: dict[str, object] = {
        "mark": mark,
        "home": str(home),
        "cwd": job.cwd,
        "environ": {"PYTHONUNBUFFERED": "1", **allowed_environment(), **environ, **context.environment(), MARK: mark},
        "artefacts": str(_folder_of(context)),
    }
    match job.action:
        case Python(target):
            return order | {"target": target, "context": context.facts()}
        case Command(argv, shell):
            return order | {"argv": ["/bin/sh", "-c", *argv] if shell else list(argv)}
    raise TypeError(f"{job.action} does not run in a child process")


def _folder_of(context: RunContext) -> PurePosixPath:
    """Where the files of this attempt are kept, relative to the project. An earlier attempt's stay as they were recorded."""
    folder = ARTEFACTS / context.job_name / str(context.run_id)
    return folder if context.attempt <= 1 else folder / f"attempt-{context.attempt}"


class _Watch:
    """Waits for the exit while pipes are drained and the deadline and the wish to cancel are minded."""

    def __init__(self, begun: Begun, cancel: Cancel, clock: Clock, deadline: float, hear: Hear) -> None:
        self._begun = begun
        self._cancel = cancel
        self._clock = clock
        self._deadline = deadline
        self._hear = hear
        self._hear_at = clock.monotonic()
        self._show_at = self._hear_at + HEAR_EVERY_SECONDS  # a run shorter than that is shown once, by its end
        self._has_printed = False
        self._kill_at: float | None = None
        self._pidfd: int | None = None
        self._status: int | None = None
        self.is_over = False
        self.pid: int | None = None
        self.refused: str | None = None
        self.ended_because: State | None = None
        self.output = Capture()
        self.report = Report()

    def until_exit(self) -> None:
        """Return when the process itself has exited, whoever may still hold its pipes."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._begun.status, selectors.EVENT_READ, self._take_status)
                selector.register(self._begun.output, selectors.EVENT_READ, self._take_output)
                selector.register(self._begun.report, selectors.EVENT_READ, self._take_report)
                selector.register(self._cancel, selectors.EVENT_READ, self._on_cancel)
                while not self.is_over:
                    for key, _ in selector.select(self._seconds_left()):
                        if not key.data():
                            selector.unregister(key.fileobj)
                    self._watch_pid(selector)
                    self._mind_deadline()
                    self._pass_on()
        finally:
            if self._pidfd is not None:
                os.close(self._pidfd)

    # -- what may happen; each says whether it can happen again

    def _take_output(self) -> bool:
        data = os.read(self._begun.output, READ_AT_ONCE)
        self.output.add(data)
        self._has_printed = self._has_printed or bool(data)
        return bool(data)

    def _take_report(self) -> bool:
        data = os.read(self._begun.report, READ_AT_ONCE)
        self.report.add(data, self._clock.now())
        return bool(data)

    def _take_status(self) -> bool:
        """What the fork server says: which process it is, why there is none, how it ended; or nothing more, ever."""
        try:
            said = json.loads(self._begun.status.recv(4096) or b"{}")
        except ConnectionResetError:
            said = {}
        self.pid = said.get("pid", self.pid)
        self._status = said.get("ended", self._status)
        self.refused = said.get("error", self.refused)
        self.is_over = self.is_over or "pid" not in said
        return "pid" in said

    def _on_exit(self) -> bool:
        self.is_over = True
        return False

    def _on_cancel(self) -> bool:
        if self._kill_at is None:
            self._ask_to_leave(State.CANCELLED, SHUTDOWN_GRACE_SECONDS)
        return False  # once is enough: stop listening

    # -- time

    def _watch_pid(self, selector: selectors.BaseSelector) -> None:
        """See the exit with our own eyes: the fork server may be stopped, or gone."""
        if self.pid is None or self._pidfd is not None or self.is_over:
            return
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self.is_over = True
            return
        selector.register(self._pidfd, selectors.EVENT_READ, self._on_exit)
        if self.ended_because is not None:
            signal_tree(self.pid, signal.SIGTERM)  # it was asked to leave before we knew who it is

    def _seconds_left(self) -> float:
        until = self._deadline if self._kill_at is None else self._kill_at
        if self.pid is None:
            self._begun.wake()
            until = min(until, self._clock.monotonic() + HEAR_EVERY_SECONDS)
        if self.report.is_waiting:
            until = min(until, self._hear_at)
        if self._has_printed:
            until = min(until, self._show_at)
        return max(until - self._clock.monotonic(), 0.0)

    def _mind_deadline(self) -> None:
        now = self._clock.monotonic()
        if self._kill_at is None:
            if now >= self._deadline:
                self._ask_to_leave(State.TIMED_OUT, GRACE_SECONDS)
        elif now >= self._kill_at:
            if self.pid is None:
                self.is_over = True  # it never began; with our end of the socket closed, it never will
            else:
                end_tree(self.pid, 0)

    def _ask_to_leave(self, why: State, grace: float) -> None:
        self.ended_because = why
        self._kill_at = self._clock.monotonic() + grace
        if self.pid is not None:
            signal_tree(self.pid, signal.SIGTERM)

    def _pass_on(self) -> None:
        now = self._clock.monotonic()
        shows = self._has_printed and now >= self._show_at
        if not shows and not (self.report.is_waiting and now >= self._hear_at):
            return
        heard, self._hear_at = self.report.heard(), now + HEAR_EVERY_SECONDS
        if shows:
            self._show_at, self._has_printed = self._hear_at, False
            heard = replace(heard, output=self.output.output())
        self._hear(heard)

    # -- after the end

    def read_leftovers(self) -> None:
        """What the process wrote just before it ended. A stranger we may not end could go on writing: not for ever."""
        for take in (self._take_output, self._take_report):
            with contextlib.suppress(BlockingIOError):
                for _ in range(READS_AFTER_THE_END):
                    if not take():
                        break
        if heard := self.report.heard(last=True):
            self._hear(heard)

    def exit_status(self) -> int | None:
        """How the process ended; None when nobody is left who knows."""
        self._begun.wake()
        if self.pid is not None and self._status is None and select([self._begun.status], [], [], STATUS_SECONDS)[0]:
            self._take_status()
        return self._status


def _sweep(pid: int | None, mark: str, *, has_ended: bool) -> None:
    """End whatever of the run is left: its group, and those that left the group but still carry the mark.

    The group is the run's own as long as the pid is taken, and the fork server keeps it so.
    """
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        if not has_ended:
            end_tree(pid, 0)
        with contextlib.suppress(ProcessLookupError):
            wait_for_exit([owner_of(pid)], COLLECT_SECONDS)
    end_marked(mark)


def _collect(pid: int, begun: Begun, patience: float = COLLECT_SECONDS) -> None:
    """Zombies of its group are ours when the fork server has died: not with its last word, but once it is gone."""
    begun.keeper.join(patience)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-pid, os.WNOHANG)[0] or (patience := patience - LOOK_SECONDS) > 0:
            select([], [], [], LOOK_SECONDS)


# -- what it comes to


def _kept(report: Report, folder: PurePosixPath, home: Path) -> tuple[Artefact, ...]:
    """Of the files the run told of, those that are where they should be, and whole."""
    return tuple(each for each in report.artefacts.values() if _is_whole(each, folder, home))


def _is_whole(artefact: Artefact, folder: PurePosixPath, home: Path) -> bool:
    if artefact.path != str(folder / artefact.name) or "/" in artefact.name:
        return False
    path = home / artefact.path
    with contextlib.suppress(OSError):
        return path.is_file() and not path.is_symlink() and path.stat().st_size == artefact.bytes
    return False


def _outcome(job: Job, watch: _Watch, status: int | None, artefacts: tuple[Artefact, ...]) -> Outcome:
    evidence: dict[str, Any] = {"exit_status": status, "output": watch.output.output(), "artefacts": artefacts}
    if watch.ended_because is State.TIMED_OUT:
        what = "ran longer than its timeout of" if watch.pid else "could not be started within its timeout of"
        error = f"{what} {job.timeout.total_seconds():g} s and was ended"
        return Outcome(State.TIMED_OUT, error=error, **evidence)
    if watch.ended_because is State.CANCELLED:
        return Outcome(State.CANCELLED, error="it was asked to stop", interrupted=True, **evidence)
    if watch.pid is None:
        why = watch.refused or "the process it was to be forked from died or has no descriptor left"
        return Outcome(State.FAILED, error=f"its process could not be started: {why}", **evidence)
    if status is None:
        return Outcome(State.FAILED, error=SERVER_DIED, **evidence)
    if isinstance(job.action, Python):
        return _python_outcome(status, watch.report.answer, evidence)
    return _command_outcome(status, watch.report.answer, evidence)


def _command_outcome(status: int, answer: Mapping[str, Any] | None, evidence: dict[str, Any]) -> Outcome:
    if status == 0:
        return Outcome(State.SUCCEEDED, **evidence)
    trouble = (answer or {}).get("trouble")  # only a command that never began has anything to report
    return Outcome(State.FAILED, error=trouble or exit_words(status), **evidence)


def _python_outcome(status: int, answer: Mapping[str, Any] | None, evidence: dict[str, Any]) -> Outcome:
    """Success needs the function's own answer: a process that merely exits with 0 has not returned (I11)."""
    if answer is None:
        advice = "; to end well, return instead of exiting" if status == 0 else ""
        return Outcome(State.FAILED, error=f"ended without an answer: {exit_words(status)}{advice}", **evidence)
    if "skipped" in answer:
        return Outcome(State.CANCELLED, error=f"{SKIPPED}{answer['skipped']}", **evidence)
    if not answer["ok"]:
        error = answer.get("trouble") or answer.get("error")
        return Outcome(State.FAILED, error=error, retry_after=wait_of(answer.get("retry_after_s")), **evidence)
    if status != 0:
        return Outcome(State.FAILED, error=f"returned, and then ended badly: {exit_words(status)}", **evidence)
    return Outcome(State.SUCCEEDED, result=answer["result"], **evidence)
