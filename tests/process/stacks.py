"""A whole stack in a folder of its own: the real bin/stack, the real supervisord, real programs."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from echopilot_jobs import processes
from echopilot_jobs.errors import SupervisorUnreachable
from echopilot_jobs.supervision import Program, Supervisor

PROJECT = Path(__file__).parents[2]
TREE = ("bin", "echopilot_jobs", "locks", "supervisord.conf", "pyproject.toml")
OURS = ("ECHOPILOT_", "SCHED_", "DASHBOARD_", "REPLIT_", "SUPERVISOR_", "PORT", "UV_PROJECT", "TZ")
WAIT = 40.0
T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float = WAIT, what: str = "") -> T:
    """The first true answer of *look*, asked again and again; fails after *seconds*."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if answer := look():
            return answer
        pause.wait(0.05)
    raise AssertionError(f"waited {seconds:g} s in vain: {what or look}")


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """A copy of the project and the stack running in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.supervisor = Supervisor(home / "var" / "supervisor.sock")
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
        self.environment["PORT"] = str(self.port)
        home.mkdir(parents=True)
        skip = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in TREE:
            source = PROJECT / name
            (shutil.copytree(source, home / name, ignore=skip) if source.is_dir() else shutil.copy(source, home / name))

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The newest bin/stack."""
        return self.started[-1]

    @property
    def console(self) -> str:
        """Everything printed so far."""
        return (self.home / "console.txt").read_text(errors="replace")

    def configure(self, text: str) -> None:
        """Append *text* to this copy's supervisord.conf."""
        with (self.home / "supervisord.conf").open("a") as file:
            file.write("\n" + text)

    def launch(self, *arguments: str, cwd: Path | None = None, script: Path | None = None, **extra: str) -> None:
        """bin/stack in the background."""
        command = [sys.executable, str(script or self.home / "bin" / "stack"), *arguments]
        with (self.home / "console.txt").open("ab") as console:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.home,
                env={**self.environment, **extra},
                start_new_session=True,
            )
        self.started.append(process)

    def start(self, **extra: str) -> None:
        """bin/stack in the background, waited for until every program has a process and the web answers."""
        self.launch(**extra)
        self._until(frozenset({"STARTING", "RUNNING"}))

    def settle(self) -> None:
        """Wait until every program has been up for `startsecs`, and the web answers."""
        self._until(frozenset({"RUNNING"}))

    def _until(self, states: frozenset[str]) -> None:
        def reached() -> bool:
            assert self.process.poll() is None, self.console[-4000:]
            try:
                programs = self.supervisor.programs()
            except SupervisorUnreachable:
                return False
            return bool(programs) and all(p.state in states and p.pid for p in programs) and self.answers()

        eventually(reached, what="the stack to be up")

    def run(
        self, script: str, *arguments: str, cwd: Path | None = None, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """A script of bin/ in the foreground."""
        return subprocess.run(
            [sys.executable, str(self.home / "bin" / script), *arguments],
            capture_output=True,
            text=True,
            timeout=WAIT,
            cwd=cwd or self.home,
            env={**self.environment, **extra},
            check=False,
        )

    def program(self, name: str) -> Program:
        """One line of the process table."""
        return next(program for program in self.supervisor.programs() if program.name == name)

    def pid(self, name: str) -> int:
        """The pid of a running program."""
        pid = self.program(name).pid
        assert pid is not None, f"{name} does not run"
        return pid

    def answers(self, path: str = "/livez") -> bool:
        """Whether the web answers 200 now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def everything(self) -> list[int]:
        """Pids of all processes this folder's supervisord ever started and that live."""
        return processes.marked("SUPERVISOR_SERVER_URL", f"unix://{self.home}/var/supervisor.sock")

    def owners(self) -> list[processes.Owner]:
        """supervisord and every process of the stack now, for asking later whether they are gone."""
        return [processes.owner_of(pid) for pid in [self.process.pid, *self.everything()]]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal bin/stack and wait for its exit code."""
        self.process.send_signal(number)
        return self.process.wait(WAIT)

    def tear_down(self) -> None:
        """Nothing survives, whatever the test did."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                processes.end_tree(process.pid, 10.0)
            process.wait(WAIT)
        for pid in self.everything():
            processes.end_tree(pid, 0.0)
