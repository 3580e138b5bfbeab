"""The plugin inside supervisord, loaded by `[rpcinterface:echopilot]`; each part heals one measured weakness of 4.3.

- wake-up: Python retries an interrupted poll, so a dead child goes unnoticed for 1 to 2 s; a pipe ends the poll.
- stop: groups are stopped one after the other, too slow for platforms that allow 10 s; here all are told at once.
- logs: a rollover that fails (folder deleted, disk full) ends supervisord; here it costs that file's output only.
- exits: how a program ended is left for the one that follows, which then can say why it was away.
- console: what the programs print is mirrored with a `[name]` prefix, and a console nobody reads blocks nobody.

It touches private names of supervisor. When one is missing, or the version is unknown, it stays out of the way with
one warning and supervisord runs as it always did.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from supervisor import events, loggers
from supervisor.options import VERSION
from supervisor.states import SupervisorStates

from echopilot_jobs.processes import PARENT_VARIABLE
from echopilot_jobs.stack import guardedlog
from echopilot_jobs.stack.console import Console, Mirror
from echopilot_jobs.stack.exits import Exits

KNOWN_VERSIONS = ("4.3.",)

# `command=python3 ...` is to mean the python that runs supervisord, in an activated environment or not.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


class Plugin:
    """The namespace `echopilot` of supervisord's RPC interface. Empty: every public name in it could be called."""


def make_plugin(supervisord: Any, **_extras: str) -> Plugin:
    """Called by supervisord at its start and at every HUP, with the configuration read and no program running yet."""
    missing = _missing(supervisord)
    if missing:
        supervisord.options.logger.warn(f"plugin off: supervisor {VERSION} is not one it knows ({missing})")
    else:
        _install(supervisord)
    return Plugin()


def _missing(supervisord: Any) -> str:
    """The first thing this version of supervisor lacks, or '' when all is as we know it."""
    if not VERSION.startswith(KNOWN_VERSIONS):
        return f"wanted {' or '.join(KNOWN_VERSIONS)}x"
    needed = [
        (supervisord, ("process_groups", "options")),
        (supervisord.options, ("get_socket_map", "cleanup", "logger", "mood")),
        (supervisord.options.logger, ("handlers", "critical")),
        (loggers, ("RotatingFileHandler", "handle_file")),
        (loggers.RotatingFileHandler, ("emit", "doRollover", "handleError", "reopen")),
        (events, ("subscribe", "SupervisorStoppingEvent", "ProcessLogEvent", "ProcessStateEvent")),
        (events, ("ProcessStateExitedEvent", "ProcessStateBackoffEvent")),
    ]
    return next((f"no '{name}'" for thing, names in needed for name in names if not hasattr(thing, name)), "")


def _install(supervisord: Any) -> None:
    options = supervisord.options
    os.environ[PARENT_VARIABLE] = str(os.getpid())  # the programs compare it with their parent
    guardedlog.guard(options.logger)
    _hush(options.logger)
    console = Console(sys.stdout)
    for handler in options.logger.handlers:
        if getattr(handler, "stream", None) is sys.stdout:
            handler.stream = console
    mirror = Mirror(console)
    events.subscribe(events.ProcessLogEvent, mirror.wrote)
    events.subscribe(events.ProcessStateEvent, mirror.changed)
    events.subscribe(events.ProcessStateEvent, Exits(Path(options.here or ".") / "var").changed)
    events.subscribe(events.SupervisorStoppingEvent, lambda _event: _stop_all(supervisord))
    Wakeup(options).wake()  # 4.3 waits a second before it starts the first program; not any more


def _stop_all(supervisord: Any) -> None:
    if supervisord.options.mood < SupervisorStates.RUNNING:
        for group in list(supervisord.process_groups.values()):
            group.stop_all()


def _hush(logger: Any) -> None:
    """No password on the socket is by design, it is a 0700 file: not worth an alarm at every start."""
    critical = logger.critical

    def calmer(message: Any, **fields: Any) -> None:
        by_design = "running without any HTTP authentication" in str(message)
        (logger.debug if by_design else critical)(message, **fields)

    logger.critical = calmer


class Wakeup:
    """A pipe in supervisord's poll, written to by Python's own C signal handler the moment a signal arrives."""

    def __init__(self, options: Any) -> None:
        self._sockets, self._cleanup = options.get_socket_map(), options.cleanup
        self._second_round = False
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        self._sockets[self._read] = self
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        # A child closes all descriptors before its program begins; a signal just then must not be told to a closed one.
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
        options.cleanup = self._leave_and_clean_up  # a HUP closes descriptors by number: leave before it does

    def wake(self) -> None:
        """End the running or the next poll."""
        os.write(self._write, b"\0")

    def _leave_and_clean_up(self) -> None:
        self._leave()
        self._cleanup()

    def _leave(self) -> None:
        signal.set_wakeup_fd(-1)
        if self._sockets.pop(self._read, None) is self:
            os.close(self._read)
            os.close(self._write)

    # What supervisord's loop asks of everything in its socket map:

    def readable(self) -> bool:
        """Always worth a look."""
        return True

    def writable(self) -> bool:
        """Never waits to write."""
        return False

    def handle_read_event(self) -> None:
        """Give each signal two rounds of its own: leave its byte in the pipe once, take it the second time.

        A round starts what is to be started before it reaps: with one round, a child that died in the same moment
        as its output ended is reaped now and started again only when something else ends the next poll. And a round
        handles one signal, so no more than one byte is taken at a time.
        """
        self._second_round = not self._second_round
        if not self._second_round:
            with contextlib.suppress(BlockingIOError):
                os.read(self._read, 1)

    def handle_error(self) -> None:
        """The pipe is broken: leave the loop to its stock one-second pace rather than spin."""
        self._leave()
