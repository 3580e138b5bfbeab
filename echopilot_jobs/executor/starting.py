"""Runs' processes as the scheduler starts them: through a fork server that is there when it is needed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess  # nosec B404  # running programs is what this package is for
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from typing import Any

from echopilot_jobs.executor.mark import EMPTY
from echopilot_jobs.processes import MARK, PROJECT_ROOT, is_frozen
from echopilot_jobs.records import record

SEND_SECONDS = 5.0

# What a job inherits. Secrets are not among it; a job is told of its own surroundings and nothing else.
ALLOWED_NAMES = frozenset({"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "PORT", "PYTHONPATH"})
ALLOWED_PREFIXES = ("LC_", "ECHOPILOT_", "SCHED_")


class CannotStart(Exception):
    """A run's process could not be started, with the reason. Nothing of it runs."""


@record(frozen=True)
class Begun:
    """Our ends of what was asked for: standard output, the report, and the socket that tells of the process."""

    output: int
    report: int
    status: socket.socket
    wake: Callable[[], None]  # has the fork server go on, should it have been stopped
    keeper: threading.Thread  # lives until the fork server is gone

    def close(self) -> None:
        """Give them back; with the socket, the process's pid."""
        os.close(self.output)
        os.close(self.report)
        self.status.close()


class ForkServer:
    """The process runs are forked from, started when it is first needed and again when it has died. For any thread.

    The kernel's parent-death signal means the thread that started a process, so a thread of its own starts the server and
    waits for its end.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._line: socket.socket | None = None
        self._pid: int | None = None
        self._keeper: threading.Thread | None = None

    def begin(self, order: Mapping[str, Any]) -> Begun:
        """Ask for a process that carries out *order*. Raises `CannotStart`."""
        self.wake()
        try:
            with ExitStack() as given_away, ExitStack() as ours:
                channels, descriptors = _channels(order, ours, given_away)
                keeper = self._send(descriptors)
                ours.pop_all()
                return Begun(*channels, self.wake, keeper)
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread more
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise CannotStart(f"its process could not be started: {reason}") from error

    def warm(self) -> None:
        """Have it start now. What prevents it is told by the first run that needs it."""
        try:
            with self._guard:
                if self._line is None:
                    self._start()
        except (OSError, RuntimeError):
            pass

    def wake(self) -> None:
        """Have it go on if somebody stopped it: a run may do that to its parent, and all others would wait for ever (I15)."""
        pid = self._pid
        if pid is not None and is_frozen(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """Let it go; what it still runs is ended with it."""
        with self._guard:
            if self._line is not None:
                self._line.close()
                self._line = None
        if self._keeper is not None:
            self._keeper.join()

    def _send(self, descriptors: list[int]) -> threading.Thread:
        """Ask the server, or one started anew when it has died since. The thread that waits for its end."""
        with self._guard:
            try:
                return self._send_once(descriptors)
            except (BrokenPipeError, ConnectionResetError):
                return self._send_once(descriptors)

    def _send_once(self, descriptors: list[int]) -> threading.Thread:
        line, keeper = self._line, self._keeper
        if line is None or keeper is None:
            line, keeper = self._start()
        try:
            socket.send_fds(line, [b"!"], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            line.close()
            self._line = None
            raise
        return keeper

    def _start(self) -> tuple[socket.socket, threading.Thread]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(SEND_SECONDS)
        born: Future[int] = Future()
        keeper = threading.Thread(target=self._keep, args=(theirs, born), name="fork server", daemon=True)
        try:
            keeper.start()
            self._keeper = keeper
            self._pid = born.result()
        except BaseException:
            ours.close()
            theirs.close()
            raise
        self._line = ours
        return ours, keeper

    def _keep(self, theirs: socket.socket, born: Future[int]) -> None:
        """Start the server and stay until it has ended."""
        with theirs:
            try:
                process = subprocess.Popen(  # nosec B603  # our own module
                    [
                        sys.executable,
                        "-m",
                        "echopilot_jobs.executor.forkserver",
                        str(theirs.fileno()),
                        str(os.getpid()),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={
                        **allowed_environment(),
                        MARK: EMPTY,
                        "PYTHONUNBUFFERED": "1",
                        "PYTHONIOENCODING": "utf-8:backslashreplace",
                    },
                    cwd=PROJECT_ROOT,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            except BaseException as error:
                born.set_exception(error)
                return
        born.set_result(process.pid)
        process.wait()
        if self._pid == process.pid:  # from now on another process may have it
            self._pid = None


def allowed_environment() -> dict[str, str]:
    """What of our own environment a job may see."""
    return {k: v for k, v in os.environ.items() if k in ALLOWED_NAMES or k.startswith(ALLOWED_PREFIXES)}


def _channels(
    order: Mapping[str, Any], ours: ExitStack, given_away: ExitStack
) -> tuple[tuple[int, int, socket.socket], list[int]]:
    """Our ends, and the descriptors to be sent: order, output, report, status."""
    written = os.memfd_create("order", os.MFD_CLOEXEC)
    given_away.callback(os.close, written)
    with os.fdopen(os.dup(written), "wb") as file:
        file.write(json.dumps(order).encode("ascii"))
    os.lseek(written, 0, os.SEEK_SET)
    pipes = []
    for _ in range(2):
        read, write = os.pipe()
        ours.callback(os.close, read)
        given_away.callback(os.close, write)
        os.set_blocking(read, False)
        pipes.append((read, write))
    status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.callback(status.close)
    given_away.callback(theirs.close)
    status.setblocking(False)
    return (pipes[0][0], pipes[1][0], status), [written, pipes[0][1], pipes[1][1], theirs.fileno()]
