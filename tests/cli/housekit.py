"""A home with jobs of its own and a scheduler that works in a thread, for tests of what the verbs do."""

from __future__ import annotations

import os
import pty
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from fcntl import ioctl
from pathlib import Path

import psutil
from daykit import beat

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger import Lease, SqliteLedger
from echopilot_jobs.processes import this_process
from echopilot_jobs.runs import Outcome, Run
from tests.process.stacks import eventually

TOLD = 3_000
JOBS_TOML = """
[jobs.export]
manual = true
command = ["true"]
params.day = { type = "date" }
params.copies = { type = "integer", default = 1 }
params.how = { choices = ["fast", "slow"] }

[jobs.needy]
manual = true
command = ["true"]
params.who = { required = true }

[jobs.resting]
every = "1h"
command = ["true"]
enabled = false
"""


@contextmanager
def working(
    ledger: SqliteLedger, registry: Mapping[str, Job], ending: Callable[[Run], Outcome | None]
) -> Iterator[Lease]:
    """A scheduler that beats in a thread until the block ends, ending every run by *ending*."""
    clock, over = SystemClock(), threading.Event()
    lease = ledger.take_lease(str(this_process()), os.uname().nodename, "rev", clock.now())

    def beats() -> None:
        while not over.wait(0.02):
            beat(ledger, registry, clock.now(), lease, ending)

    beat(ledger, registry, clock.now(), lease, ending)
    thread = threading.Thread(target=beats)
    thread.start()
    try:
        yield lease
    finally:
        over.set()
        thread.join()


def everything_in(ledger: Path) -> list[str]:
    """All rows of the ledger, to be compared with themselves."""
    with closing(sqlite3.connect(ledger)) as db:
        return list(db.iterdump())


class Terminal:
    """The command as a real process on a terminal of its own; *talk_only*: its standard output is a pipe."""

    def __init__(
        self, arguments: list[str], environment: Mapping[str, str], *, width: int = 100, talk_only: bool = False
    ) -> None:
        self._leader, follower = pty.openpty()
        ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "echopilot_jobs", *arguments],
            stdin=follower,
            stdout=subprocess.PIPE if talk_only else follower,
            stderr=follower,
            env=environment,
        )
        os.close(follower)

    def wait_for(self, words: bytes, seconds: float = 60) -> None:
        """Until *words* have been shown; raises `AssertionError` with all that was, when they are not in time."""
        clock = SystemClock()
        deadline = clock.monotonic() + seconds
        while words not in self.seen:
            ready, _, _ = select.select([self._leader], [], [], max(0.0, deadline - clock.monotonic()))
            assert ready, f"{words!r} was not shown: {self.seen[-TOLD:]!r}"
            self._read(words)

    def _read(self, words: bytes) -> None:
        try:
            self.seen += os.read(self._leader, 65_536)
        except OSError:  # the other end is closed
            raise AssertionError(f"ended without {words!r}: {self.seen[-TOLD:]!r}") from None

    def type(self, text: bytes) -> None:
        """As if somebody pressed these keys."""
        os.write(self._leader, text)

    def interrupt(self) -> None:
        """Ctrl-C, by somebody who sees that it waits.

        Python hears a signal between two of its own steps: one that comes after the last step before a read is heard when
        that read ends, and in a test nothing ends it.
        """
        eventually(lambda: psutil.Process(self.process.pid).status() == psutil.STATUS_SLEEPING, what="it waits")
        self.process.send_signal(signal.SIGINT)

    def end(self, seconds: float = 60) -> int:
        """The exit code, once the process has ended and everything it showed was read."""
        clock = SystemClock()
        deadline = clock.monotonic() + seconds
        with suppress(OSError):  # the other end is closed
            while True:
                ready, _, _ = select.select([self._leader], [], [], max(0.0, deadline - clock.monotonic()))
                assert ready, f"did not end: {self.seen[-TOLD:]!r}"
                self.seen += os.read(self._leader, 65_536)
        return self.process.wait(60)

    def close(self) -> None:
        """Kill what is left and let go."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        os.close(self._leader)
