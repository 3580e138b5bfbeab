"""`bin/stack stop`. Nothing but Python's own library here: a stack can be ended though its environment is gone."""

from __future__ import annotations

import contextlib
import os
import signal

from echopilot_jobs import processes, settings
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.settings import Settings
from echopilot_jobs.stack import starting
from echopilot_jobs.stack.bootstrap import say

STOP_SECONDS = 30.0


def main() -> int:
    """Stop the stack of this folder, and every start of it that is under way. The process's exit code."""
    try:
        configuration = settings_in_force()
    except EchoPilotError as error:
        for line in str(error).splitlines():
            say(line)
        return error.exit_code
    owner = processes.stack_owner(configuration.var_dir)  # first: what takes the lock after this is a start still
    starts = [each for each in starting.under_way(configuration.home) if each != owner]
    if owner is not None:
        stop(owner)
    for start in starts:
        stop(start, "a start that was under way ")
    if owner is None and not starts:
        say("no stack is running here")
    return 0


def settings_in_force() -> Settings:
    """The settings, and a word about those that nothing reads. Raises `ConfigError`."""
    configuration = settings.load()
    for line in settings.strangers(os.environ):
        say(line)
    return configuration


def stop(owner: processes.Owner, what: str = "") -> None:
    """TERM *owner*, a supervisord or *what* will be one, and wait until it is gone; KILL after 30 s."""
    with contextlib.suppress(ProcessLookupError):  # a start may have ended by itself
        os.kill(owner.pid, signal.SIGTERM)
        os.kill(owner.pid, signal.SIGCONT)  # a frozen one hears the TERM only when woken
    clock = SystemClock()
    deadline = clock.monotonic() + STOP_SECONDS
    while processes.is_alive(owner) and (left := deadline - clock.monotonic()) > 0:
        processes.wait_for_exit([owner], left)
    if processes.is_alive(owner):
        say(f"pid {owner.pid} did not end within {STOP_SECONDS:g} s; killing it and its programs")
        processes.end_programs([owner.pid], 0.0)
    say(f"stopped {what}(pid {owner.pid})")
