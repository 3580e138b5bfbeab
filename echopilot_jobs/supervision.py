"""supervisord's process table, read and changed over its UNIX socket.

The restart policy itself lives in `supervisord.conf`; nothing here restarts anything on its own account. The
answers are trusted as far as XML goes: the peer is our own supervisord, behind a socket only our account can open.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from echopilot_jobs import rpc
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import SupervisorLost, SupervisorUnreachable, WrongState, unknown_name
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.processes import stack_owner
from echopilot_jobs.records import record

ANSWER_SECONDS = 3.0
# The kernel takes 108 bytes with the closing zero, and supervisord binds NAME.PID before it links NAME.
LONGEST_SOCKET_PATH = 98
NOT_RUNNING, ALREADY_STARTED, SHUTTING_DOWN = 70, 60, 6
UP = frozenset({"STARTING", "RUNNING", "STOPPING"})


@record(frozen=True)
class Program:
    """One line of supervisord's process table."""

    name: str
    state: str  # supervisor's word: STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL UNKNOWN
    pid: int | None
    started_at: datetime | None  # of the newest start, UTC
    exit_status: int | None  # of the newest end; None while it runs and before it ever ran
    description: str

    @property
    def trouble(self) -> str:
        """Why it is not up, as a clause; empty for one that runs or is being started."""
        match self.state:
            case "RUNNING" | "STARTING":
                return ""
            case "STOPPING":
                return f"'{self.name}' is being stopped by an operator, and a restart starts it again"
            case "STOPPED":
                return f"'{self.name}' was stopped by an operator"
            case "BACKOFF":
                return f"'{self.name}' keeps failing to start; supervisord tries again"
            case "FATAL":
                return f"'{self.name}' keeps failing to start; supervisord has given up"
        return f"'{self.name}' is {self.state.lower()}: {self.description}"

    @property
    def remedy(self) -> str:
        """What brings it back, and where it says why it went."""
        wait = "wait until it has ended; after a plain stop, " if self.state == "STOPPING" else ""
        return f"{wait}`supervisorctl start {self.name}`; its last words: `supervisorctl tail {self.name}`"

    def as_dict(self) -> dict[str, Any]:
        """What the command line and the API show of it, JSON types only."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid,
            "started_at": iso(self.started_at) if self.started_at else None,
            "exit_status": self.exit_status,
        }


class Supervisor:
    """The supervisord listening on *socket*. Every call raises `SupervisorUnreachable` when it is away."""

    def __init__(self, socket: Path, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.socket = socket
        self._answer_seconds = answer_seconds

    def programs(self) -> list[Program]:
        """Every program, by name."""
        try:
            found = sorted(map(_program, self._call("getAllProcessInfo")), key=lambda program: program.name)
        except (rpc.Fault, LookupError, TypeError, ValueError, OverflowError, OSError):
            raise self._stranger() from None
        if not found:
            raise self._stranger()
        return found

    def start(self, name: str) -> None:
        """Have *name* started, without waiting until it is up. A running program stays as it is."""
        self._change("startProcess", name, harmless=ALREADY_STARTED, wait=False)

    def stop(self, name: str) -> None:
        """Have *name* stopped, without waiting for its end. A stopped program stays as it is."""
        self._change("stopProcess", name, harmless=NOT_RUNNING, wait=False)

    def restart(self, name: str, *, stop_seconds: float = 60.0) -> None:
        """Stop *name*, wait at most *stop_seconds* for its end, and have it started again."""
        patient = Supervisor(self.socket, answer_seconds=stop_seconds)
        patient._change("stopProcess", name, harmless=NOT_RUNNING, wait=True)
        self.start(name)

    def pid(self) -> int:
        """The pid of supervisord itself."""
        with contextlib.suppress(rpc.Fault):
            if isinstance(found := self._call("getPID"), int):
                return found
        raise self._stranger()

    def _stranger(self) -> SupervisorUnreachable:
        words = f"what answers at '{self.socket}' is no supervisord; end it, then start the stack with `bin/stack`"
        return SupervisorUnreachable(words)

    def _change(self, method: str, name: str, *, harmless: int, wait: bool) -> None:
        states = {program.name: program.state for program in self.programs()}
        if name not in states:
            raise unknown_name("program", name, list(states))
        if method == "startProcess" and states[name] == "STOPPING":
            # supervisord would answer that all is well and forget the order.
            raise WrongState(f"'{name}' is still stopping; start it when it has stopped, within seconds")
        try:
            if self._call(method, name, wait) is not True:
                raise self._stranger()
        except rpc.Fault as fault:
            if fault.code != harmless:
                words = shorten(plain(fault.words), 200)
                raise WrongState(f"supervisord refused {method} of '{name}': {words}") from None

    def _call(self, method: str, *arguments: str | bool) -> Any:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, reachable(self.socket) as path:
                connection.settimeout(self._answer_seconds)
                connection.connect(path)
                return rpc.call(connection, self._answer_seconds, f"supervisor.{method}", *arguments)
        except (OSError, rpc.BadAnswer) as error:
            raise self._unreachable(error) from None
        except rpc.Fault as fault:
            if fault.code != SHUTTING_DOWN:
                raise
            # Whoever asks is told the same as a moment later, when nobody answers any more.
            raise SupervisorUnreachable("supervisord is shutting down; its programs stay as they are") from None

    def _unreachable(self, error: Exception) -> SupervisorUnreachable:
        if isinstance(error, FileNotFoundError) and (owner := stack_owner(self.socket.parent)):
            lost = f"'{self.socket}' is gone, though supervisord lives (pid {owner.pid}): nobody can steer it"
            return SupervisorLost(f"{lost}; end it with `bin/stack stop`, then start the stack with `bin/stack`")
        return SupervisorUnreachable(self._why(error))

    def _why(self, error: Exception) -> str:
        where = f"'{self.socket}'"
        match error:
            case FileNotFoundError():
                return f"no supervisord at {where}; the stack is not running here, start it with `bin/stack`"
            case ConnectionRefusedError():
                return f"{where} was left by a supervisord that is gone; start the stack with `bin/stack`"
            case PermissionError():
                return f"{where} is closed to uid {os.getuid()}; use the account that runs the stack"
            case TimeoutError():
                waited = f"supervisord did not answer within {self._answer_seconds:g} s"
                return f"{waited}; it may be frozen or overloaded, `bin/stack stop` ends it"
        return f"supervisord at {where} broke off: {error or type(error).__name__}"


def _program(info: dict[str, Any]) -> Program:
    name, group = str(info["name"]), str(info["group"])
    ran = bool(info["start"]) and info["statename"] not in UP
    return Program(
        name=name if name == group else f"{group}:{name}",
        state=str(info["statename"]),
        pid=int(info["pid"]) or None,
        started_at=datetime.fromtimestamp(info["start"], UTC) if info["start"] else None,
        exit_status=int(info["exitstatus"]) if ran else None,
        description=plain(str(info["description"])),
    )


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for the socket *path* that fits the kernel's limit, valid inside the `with` block.

    A long folder is opened and named by its descriptor, so the socket can live where it belongs.
    """
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
