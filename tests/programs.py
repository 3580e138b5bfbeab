"""A process table for tests that need no supervisord."""

from __future__ import annotations

from echopilot_jobs.errors import SupervisorLost, SupervisorUnreachable, unknown_name
from echopilot_jobs.supervision import Program


class Table:
    """A process table that stands still and notes what it was asked; None as `programs_now` is a supervisord away.

    *lost*: it is not away, but lives and cannot be reached.
    """

    lost = False

    def __init__(self, programs: list[Program] | None) -> None:
        self.programs_now = programs
        self.asked: list[tuple[str, str]] = []

    def programs(self) -> list[Program]:
        if self.lost:
            words = "'var/supervisor.sock' is gone, though supervisord lives (pid 70): nobody can steer it"
            raise SupervisorLost(f"{words}; end it with `bin/stack stop`, then start the stack with `bin/stack`")
        if self.programs_now is None:
            raise SupervisorUnreachable("no supervisord at 'var/supervisor.sock'; start it with `bin/stack`")
        return self.programs_now

    def start(self, name: str) -> None:
        self._ask("start", name)

    def stop(self, name: str) -> None:
        self._ask("stop", name)

    def restart(self, name: str) -> None:
        self._ask("restart", name)

    def _ask(self, verb: str, name: str) -> None:
        known = [program.name for program in self.programs()]
        if name not in known:
            raise unknown_name("program", name, known)
        self.asked.append((verb, name))
