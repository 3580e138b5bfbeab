"""The processes of a soak: a whole stack and a scheduler started by hand on the same folder, started again when they end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.processes import Owner, is_alive, owner_of, wait_for_exit
from tests.process.stacks import OURS, PROJECT, TREE, free_port
from tests.soak.records import Records
from tests.soak.work import FOLDER

REAL = "tests.soak.scheduler"
REPLACED = {
    "command=python3 -m echopilot_jobs scheduler": f"command=python3 -m {REAL}",
    '"echopilot_jobs.web:create_app()"': '"tests.soak.web:create_app()"',
}
PAUSES = (0.0, 0.0, 0.2, 1.0, 3.0)
MARK = b"ECHOPILOT_MARK="


@dataclass(frozen=True)
class Proc:
    """One living process of the soak. *role*: scheduler, job, web, stack or other; *parent* is a pid."""

    pid: int
    role: str
    parent: int
    mark: str = ""


@dataclass
class Member:
    """What the soak itself starts, and starts again when it ends: a stack (sometimes two at once) or a scheduler."""

    name: str
    command: list[str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    start_at: float = 0.0

    @property
    def pids(self) -> list[int]:
        """Of what runs of it now."""
        return [process.pid for process in self.processes]


class Fleet:
    """Everything that runs in one soak's folder. *module* is the scheduler's; *whole* adds supervisord and the web."""

    def __init__(self, folder: Path, records: Records, rng: Random, *, module: str = REAL, whole: bool = True) -> None:
        self.folder = folder
        self.home = folder / "project"
        self.port = free_port()
        self.key = secrets.token_urlsafe(32)
        self._records = records
        self._rng = rng
        self._clock = SystemClock()
        self._module = module
        self.environment = self._make_environment()
        by_hand = [_python3(), "-m", module]
        stack = [_python3(), str(self.home / "bin" / "stack")]
        self.members = [Member("stack", stack) if whole else Member("first", by_hand), Member("second", by_hand)]
        _copy_project(self.home)
        (folder / "places").mkdir(mode=0o700)

    def _make_environment(self) -> dict[str, str]:
        """Of ours nothing is inherited, and compiled files may be kept: a dozen processes start every second."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(OURS) and k != "PYTHONDONTWRITEBYTECODE"}
        path = os.pathsep.join([str(Path(_python3()).parent), os.environ.get("PATH", os.defpath)])
        facts = {"PORT": str(self.port), "DASHBOARD_KEY": self.key, "PYTHONPATH": str(self.home), "TZ": "UTC"}
        return {**kept, **facts, FOLDER: str(self.folder), "PATH": path}

    # -- starting

    def tend(self) -> None:
        """Start again what ended, after a short while; a stack now and then twice at the same instant (F44)."""
        now = self._clock.monotonic()
        for member in self.members:
            if self.collect(member) and not member.processes:
                member.start_at = now + self._rng.choice(PAUSES)
            if not member.processes and now >= member.start_at:
                twice = member.name == "stack" and self._rng.random() < 0.4
                self.start(member, twice=twice)

    def start(self, member: Member, *, twice: bool = False) -> None:
        """Start it now; *twice*: two of it, one of which has to give way."""
        member.processes += [self.launch(member.name, member.command) for _ in range(1 + twice)]
        self._records.add("start", member=member.name, pids=member.pids)

    def collect(self, member: Member) -> bool:
        """Note what ended of it; whether anything did."""
        ended = [process for process in member.processes if process.poll() is not None]
        for process in ended:
            member.processes.remove(process)
            facts = {"code": process.returncode, "left": member.pids}
            self._records.add("exit", member=member.name, pid=process.pid, **facts)
        return bool(ended)

    def launch(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        """A process of the soak in a session of its own; what it prints is kept."""
        with (self.folder / f"console-{name}.txt").open("ab") as console:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=self.environment,
                start_new_session=True,
            )

    # -- finding

    def census(self) -> list[Proc]:
        """Every living process of this soak, whoever started it."""
        ours = f"{FOLDER}={self.folder}".encode()
        looked_at = (self._look_at(entry, ours) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [proc for proc in looked_at if proc is not None]

    def _look_at(self, entry: Path, ours: bytes) -> Proc | None:
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
            if ours not in environ:
                return None
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            status = (entry / "stat").read_bytes()
        except OSError:
            return None
        state, parent = status[status.rindex(b")") + 2 :].split()[:2]
        mark = next((item.removeprefix(MARK).decode() for item in environ if item.startswith(MARK)), "")
        return None if state in b"ZX" else Proc(int(entry.name), self._role(words, mark), int(parent), mark)

    def _role(self, words: list[str], mark: str) -> str:
        if mark:
            return "job"
        roles = {self._module: "scheduler", "gunicorn": "web", "echopilot_jobs.stack.launcher": "stack"}
        return next((roles[word] for word in words if word in roles), "other")

    @property
    def leader(self) -> int | None:
        """The pid in the lock file: who plans, or is about to."""
        try:
            owner = Owner.parse((self.home / "var" / "scheduler.lock").read_text("ascii"))
        except (OSError, ValueError):
            return None
        return owner.pid if is_alive(owner) else None

    # -- ending

    def stop(self, seconds: float, *, hurry: bool = False) -> bool:
        """TERM to what the soak started, and wait for it; with *hurry* the schedulers get a second one. False: too slow."""
        for member in self.members:
            for process in member.processes:
                process.send_signal(signal.SIGTERM)
        deadline = self._clock.monotonic() + seconds
        if hurry and not self._all_end_until(self._clock.monotonic() + 2):
            for proc in self.census():
                if proc.role == "scheduler":
                    _send(proc.pid, signal.SIGTERM)
        return self._all_end_until(deadline)

    def _all_end_until(self, deadline: float) -> bool:
        while (left := deadline - self._clock.monotonic()) > 0:
            for member in self.members:
                self.collect(member)
            running = [pid for member in self.members for pid in member.pids]
            if not running:
                return True
            wait_for_exit([owner_of(pid) for pid in running], min(left, 0.5))
        return False

    def end_everything(self) -> list[Proc]:
        """KILL until nothing of this soak lives; what had to be killed."""
        killed = []
        for _ in range(200):
            left = self.census()
            if not left:
                break
            killed += left
            for proc in left:
                _send(proc.pid, signal.SIGKILL)
            for member in self.members:
                self.collect(member)
            wait_for_exit([], 0.02)
        return killed


def eventually(look: Callable[[], bool], seconds: float) -> bool:
    """Whether *look* becomes true within *seconds*."""
    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while not look():
        if clock.monotonic() >= deadline:
            return False
        wait_for_exit([], 0.05)
    return True


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _python3() -> str:
    """The running Python by the name its folder gives to everybody."""
    return str(Path(sys.executable).with_name("python3"))


def _copy_project(home: Path) -> None:
    """What a stack needs, with its two programs replaced by those that know the soak's jobs."""
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in (*TREE, "tests/soak", "tests/process/stacks.py"):
        source, target = PROJECT / name, home / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, ignore=skip) if source.is_dir() else shutil.copy(source, target)
    text = (home / "supervisord.conf").read_text()
    for old, new in REPLACED.items():
        if old not in text:
            raise LookupError(f"supervisord.conf has no '{old}' any more; tell tests/soak/fleet.py what it is now")
        text = text.replace(old, new)
    (home / "supervisord.conf").write_text(text)
