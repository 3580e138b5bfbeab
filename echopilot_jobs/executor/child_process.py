"""A job in a process of its own: watched, bounded in time and output, and ended with everything it started."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess  # nosec B404  # running programs is what this module is for
import sys
from dataclasses import asdict, dataclass, field
from typing import IO

from echopilot_jobs.backoff import wait_of
from echopilot_jobs.clock import Clock
from echopilot_jobs.context import RunContext
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.capture import Capture
from echopilot_jobs.jobs import Command, Job, Python
from echopilot_jobs.processes import MARK, end_tree, marked, signal_tree
from echopilot_jobs.runs import Outcome, Output, State
from echopilot_jobs.settings import PROJECT_ROOT

GRACE_SECONDS = 10.0
SHUTDOWN_GRACE_SECONDS = 4.0
READ_AT_ONCE = 65_536
ANSWER_MOST_BYTES = 256 * 1024

# What a job inherits. Secrets are not among it; a job is told of its own surroundings and nothing else.
ALLOWED_NAMES = frozenset({"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "PORT", "PYTHONPATH"})
ALLOWED_PREFIXES = ("LC_", "ECHOPILOT_", "SCHED_")


def perform(job: Job, context: RunContext, mark: str, cancel: Cancel, clock: Clock) -> Outcome:
    """Run the job's child to its end and describe it. Nothing it started is left when this returns (I13)."""
    child = _start(job, context, mark)
    try:
        watch = _Watch(child, cancel, clock, clock.monotonic() + job.timeout.total_seconds())
        watch.until_exit()
    finally:
        _sweep(child, mark)
    watch.read_leftovers()
    child.close()
    return _outcome(job, child, watch)


@dataclass
class _Child:
    """The process, our ends of its pipes, and what came out of them."""

    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    answer_descriptor: int
    output: Capture = field(default_factory=Capture)
    answer: bytearray = field(default_factory=bytearray)

    def take_output(self) -> bool:
        """Read what waits on standard output; False at its end."""
        data = os.read(self.stdout.fileno(), READ_AT_ONCE)
        self.output.add(data)
        return bool(data)

    def take_answer(self) -> bool:
        """Read what waits of the answer; False at its end."""
        data = os.read(self.answer_descriptor, READ_AT_ONCE)
        if len(self.answer) < ANSWER_MOST_BYTES:
            self.answer += data
        return bool(data)

    def close(self) -> None:
        self.stdout.close()
        os.close(self.answer_descriptor)


def _start(job: Job, context: RunContext, mark: str) -> _Child:
    answer_read, answer_write = os.pipe()
    os.set_blocking(answer_read, False)
    try:
        process = subprocess.Popen(  # nosec B603  # an argument list from the operator's own definition
            _argv(job),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(context, mark, answer_write),
            cwd=PROJECT_ROOT,
            pass_fds=(answer_write,) if isinstance(job.action, Python) else (),
            start_new_session=True,
        )
    except BaseException:
        os.close(answer_read)
        raise
    finally:
        os.close(answer_write)
    _feed(process, context)
    if process.stdout is None:
        raise AssertionError("stdout was asked to be a pipe")
    os.set_blocking(process.stdout.fileno(), False)
    return _Child(process, process.stdout, answer_read)


def _argv(job: Job) -> list[str]:
    prefix = [sys.executable, "-m", "echopilot_jobs.executor.child"]
    if isinstance(job.action, Python):
        return [*prefix, "python", job.action.target]
    if isinstance(job.action, Command):
        return [*prefix, "command", *job.action.argv]
    raise TypeError(f"{job.action} does not run in a child process")


def _environment(context: RunContext, mark: str, answer_descriptor: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in ALLOWED_NAMES or k.startswith(ALLOWED_PREFIXES)}
    ours = {
        MARK: mark,
        "ECHOPILOT_PARENT": str(os.getpid()),
        "ECHOPILOT_RESULT_FD": str(answer_descriptor),
        "PYTHONUNBUFFERED": "1",
    }
    return {**kept, **context.environment(), **ours}


def _feed(process: subprocess.Popen[bytes], context: RunContext) -> None:
    """Hand the context over. It is far smaller than a pipe, so this cannot block."""
    facts = asdict(context) | {"params": dict(context.params)}
    try:
        if process.stdin is not None:
            process.stdin.write(json.dumps(facts, default=str).encode())
            process.stdin.close()
    except BrokenPipeError:
        pass  # it died at once; its exit status tells


class _Watch:
    """Waits for the exit while pipes are drained and the deadline and the wish to cancel are minded."""

    def __init__(self, child: _Child, cancel: Cancel, clock: Clock, deadline: float) -> None:
        self._child = child
        self._cancel = cancel
        self._clock = clock
        self._deadline = deadline
        self._kill_at: float | None = None
        self.ended_because: State | None = None

    def until_exit(self) -> None:
        """Return when the process itself has exited, whoever may still hold its pipes."""
        pidfd = os.pidfd_open(self._child.process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(pidfd, selectors.EVENT_READ, None)
                selector.register(self._child.stdout, selectors.EVENT_READ, self._child.take_output)
                selector.register(self._child.answer_descriptor, selectors.EVENT_READ, self._child.take_answer)
                selector.register(self._cancel, selectors.EVENT_READ, self._on_cancel)
                self._loop(selector, pidfd)
        finally:
            os.close(pidfd)

    def _loop(self, selector: selectors.BaseSelector, pidfd: int) -> None:
        while True:
            ready = selector.select(self._seconds_left())
            for key, _ in ready:
                if key.fd != pidfd and not key.data():
                    selector.unregister(key.fileobj)
            if any(key.fd == pidfd for key, _ in ready):
                return
            self._mind_deadline()

    def _seconds_left(self) -> float:
        until = self._deadline if self._kill_at is None else self._kill_at
        return max(until - self._clock.monotonic(), 0.0)

    def _mind_deadline(self) -> None:
        now = self._clock.monotonic()
        if self._kill_at is None:
            if now >= self._deadline:
                self._ask_to_leave(State.TIMED_OUT, GRACE_SECONDS)
        elif now >= self._kill_at:
            end_tree(self._child.process.pid, 0)

    def _on_cancel(self) -> bool:
        if self._kill_at is None:
            self._ask_to_leave(State.CANCELLED, SHUTDOWN_GRACE_SECONDS)
        return False  # once is enough: stop listening

    def _ask_to_leave(self, why: State, grace: float) -> None:
        self.ended_because = why
        self._kill_at = self._clock.monotonic() + grace
        signal_tree(self._child.process.pid, signal.SIGTERM)

    def read_leftovers(self) -> None:
        """What the process wrote just before it ended."""
        for take in (self._child.take_output, self._child.take_answer):
            try:
                while take():
                    pass
            except BlockingIOError:
                pass  # somebody we may not end still holds the pipe


def _sweep(child: _Child, mark: str) -> None:
    """End whatever of the run is left: its tree, its group, and those that left both but still carry the mark."""
    end_tree(child.process.pid, 0)
    for pid in marked(MARK, mark):
        end_tree(pid, 0)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # ours by adoption, if the scheduler is a subreaper
    child.process.wait()


def _outcome(job: Job, child: _Child, watch: _Watch) -> Outcome:
    status = child.process.returncode
    output = child.output.output()
    if watch.ended_because is State.TIMED_OUT:
        error = f"ran longer than its timeout of {job.timeout.total_seconds():g} s and was ended"
        return Outcome(State.TIMED_OUT, error=error, exit_status=status, output=output)
    if watch.ended_because is State.CANCELLED:
        return Outcome(
            State.CANCELLED, error="it was asked to stop", exit_status=status, output=output, interrupted=True
        )
    if isinstance(job.action, Python):
        return _python_outcome(status, bytes(child.answer), output)
    error_text = None if status == 0 else _exit_words(status)
    return Outcome(State.FAILED if status else State.SUCCEEDED, error=error_text, exit_status=status, output=output)


def _python_outcome(status: int, answer: bytes, output: Output) -> Outcome:
    """Success needs the function's own answer: a process that merely exits with 0 has not returned (I11)."""
    try:
        said = json.loads(answer)
    except ValueError:
        error = f"ended without an answer: {_exit_words(status)}"
        return Outcome(State.FAILED, error=error, exit_status=status, output=output)
    if "skipped" in said:
        return Outcome(
            State.CANCELLED, error=f"skipped by the job: {said['skipped']}", exit_status=status, output=output
        )
    if not said["ok"]:
        after = wait_of(said.get("retry_after_s"))
        return Outcome(State.FAILED, error=said["error"], exit_status=status, output=output, retry_after=after)
    return Outcome(State.SUCCEEDED, result=said["result"], exit_status=status, output=output)


def _exit_words(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
