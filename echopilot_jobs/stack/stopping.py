"""`bin/stack stop`. Nothing but Python's own library here: a stack can be ended though its environment is gone."""

from __future__ import annotations

import os
import signal

from echopilot_jobs import processes, settings
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.settings import Settings
from echopilot_jobs.stack.bootstrap import say

STOP_SECONDS = 30.0


def main() -> int:
    """Stop the stack of this folder. The process's exit code."""
    try:
        owner = processes.stack_owner(settings_in_force().var_dir)
    except EchoPilotError as error:
        for line in str(error).splitlines():
            say(line)
        return error.exit_code
    if owner is None:
        say("no stack is running here")
    else:
        stop(owner)
    return 0


def settings_in_force() -> Settings:
    """The settings, and a word about those that nothing reads. Raises `ConfigError`."""
    configuration = settings.load()
    for line in settings.strangers(os.environ):
        say(line)
    return configuration


def stop(owner: processes.Owner) -> None:
    """TERM *owner*, a supervisord, and wait until it is gone; KILL after 30 s."""
    os.kill(owner.pid, signal.SIGTERM)
    os.kill(owner.pid, signal.SIGCONT)  # a frozen one hears the TERM only when woken
    clock = SystemClock()
    deadline = clock.monotonic() + STOP_SECONDS
    while processes.is_alive(owner) and (left := deadline - clock.monotonic()) > 0:
        processes.wait_for_exit([owner], left)
    if processes.is_alive(owner):
        say(f"pid {owner.pid} did not end within {STOP_SECONDS:g} s; killing it and its programs")
        processes.end_programs([owner.pid], 0.0)
    say(f"stopped (pid {owner.pid})")
