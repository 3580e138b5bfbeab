"""What must be true before supervisord starts. Each check raises `Refusal`, with a sentence and an exit code."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

from echopilot_jobs import disk, processes
from echopilot_jobs.access import obstacle
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.stack import conflint, sockets
from echopilot_jobs.supervision import reachable

EX_SOFTWARE, EX_CANTCREAT, EX_TEMPFAIL, EX_CONFIG = 70, 73, 75, 78  # sysexits.h
LEFTOVER_SECONDS = 15.0  # as `stopwaitsecs`: a scheduler ends its runs first, and writes down how they ended
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
LISTENING = "0A"  # in /proc/net/tcp


class Refusal(EchoPilotError):
    """The stack cannot start; the message says why and what to do."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def configuration(home: Path) -> Path:
    """The `supervisord.conf` of *home*, which is where the stack lives."""
    if not home.is_dir():
        from echopilot_jobs.settings import missing_home  # elsewhere it would stay in supervisord's memory

        raise Refusal(missing_home(home), EX_CONFIG)
    path = home / "supervisord.conf"
    if not path.is_file():
        raise Refusal(f"no '{path}'; copy the one of the project there, or unset ECHOPILOT_HOME", EX_CONFIG)
    return path


def no_mistakes(path: Path) -> None:
    """See that supervisord will take the file as it was meant. The folders it names must exist."""
    if found := conflint.problems(path) or conflint.program_mistakes(path):
        raise Refusal("\n".join(found), EX_CONFIG)


def folders(home: Path) -> None:
    """Make `var/` (0700) and `logs/`, and see that both can be written."""
    for name, mode in (("var", 0o700), ("logs", 0o755)):
        folder = home / name
        probe = folder / f".try.{os.getpid()}"
        try:
            folder.mkdir(mode=mode, exist_ok=True)
            if name == "var" and folder.stat().st_mode & 0o077 and folder.stat().st_uid == os.getuid():
                folder.chmod(mode)
            probe.touch()
            probe.unlink()
        except OSError as error:
            sentence = f"cannot write in '{folder}' as uid {os.getuid()}: {error.strerror}"
            raise Refusal(f"{sentence}; give the folder to this account or free some space", EX_CANTCREAT) from None


def log_files(home: Path) -> None:
    """See that supervisord can write the log files that are there already: it ends in a traceback otherwise."""
    for path in sorted((home / "logs").glob("*.log")):
        if not os.access(path, os.W_OK):
            sentence = f"cannot write '{path}' as uid {os.getuid()}"
            raise Refusal(f"{sentence}; give the file to this account, or move it away", EX_CANTCREAT)


def no_pipes(home: Path) -> None:
    """See that no pipe stands where a file of ours should: whoever opened it would wait for ever, without a word."""
    for path in (*disk.pipes_in(home / "var"), *disk.pipes_in(home / "logs")):
        raise Refusal(f"'{path}' is a pipe; wanted: a file, or nothing; remove it, or move it away", EX_CANTCREAT)


def open_files(path: Path) -> None:
    """See that this account may open as many files as supervisord, with the file at *path*, asks for."""
    wanted, most = conflint.min_open_files(path), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and most < wanted:
        words = f"at most {most} open files are allowed here, and supervisord wants {wanted}"
        raise Refusal(f"{words}; raise the hard limit (`ulimit -n`), or set `minfds` in '{path}' lower", EX_CONFIG)


class StackLock:
    """The right to be the one stack of a folder: a flock, held until this process ends, with the holder's name in it."""

    def __init__(self, home: Path) -> None:
        self._path = home / "var" / "stack.lock"
        self.descriptor = -1

    def take(self) -> None:
        """Take the lock or raise `Refusal` at once, naming the holder even if that one is frozen."""
        try:
            self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refusal(f"cannot open '{self._path}' as uid {os.getuid()}: {error.strerror}", EX_CANTCREAT) from None
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(self._taken(), EX_TEMPFAIL) from None
        if elder := processes.keeper_of_deleted(self._path):
            os.close(self.descriptor)
            words = f"a stack is already running here, pid {elder.pid}, though its '{self._path}' was deleted"
            raise Refusal(f"{words}; `bin/stack stop` ends it, then start again", EX_TEMPFAIL)
        try:
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, f"{processes.this_process()}\n".encode(), 0)
        except OSError as error:
            fix = "free some space on its disk" if error.errno in NO_ROOM else "see what it is, and move it away"
            raise Refusal(f"cannot write '{self._path}': {error.strerror}; {fix}", EX_CANTCREAT) from None

    def holder(self) -> processes.Owner | None:
        """Who has the lock now, or had it when it was deleted; None when nobody has."""
        return processes.stack_owner(self._path.parent)

    def _taken(self) -> str:
        owner = self.holder()
        if owner is None:
            return f"a stack is already running or starting here ('{self._path}' is locked); `bin/stack stop` ends it"
        if processes.is_frozen(owner.pid):
            return (
                f"a stack is already running here, pid {owner.pid}, and it is frozen; "
                f"`kill -CONT {owner.pid}` wakes it, `bin/stack stop` ends it"
            )
        return f"a stack is already running here, pid {owner.pid}; `bin/stack stop` ends it"


def no_other_supervisord(socket_path: Path) -> None:
    """See that no supervisord without our lock (started by hand) lives here, and remove the socket of a dead one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            with reachable(socket_path) as name:
                probe.connect(name)
        except OSError:
            _no_socket(socket_path)
            return
    raise Refusal(
        f"a supervisord started by hand listens on '{socket_path}'; `supervisorctl shutdown` ends it", EX_TEMPFAIL
    )


def _no_socket(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise Refusal(obstacle(error), EX_CANTCREAT) from None


def end_leftovers(socket_path: Path) -> list[int]:
    """End what a killed stack of this folder left running: pids of those that had to go.

    supervisord notes its socket in the environment of every program; with our flock taken, whoever carries the note
    has lost its supervisord.
    """
    spared = {os.getpid(), *processes.ancestors(os.getpid())}
    found = [pid for pid in processes.marked("SUPERVISOR_SERVER_URL", f"unix://{socket_path}") if pid not in spared]
    processes.end_programs(found, LEFTOVER_SECONDS)
    return found


def supervisor_socket(path: Path) -> None:
    """See that supervisord will get its socket, if need be in our own way."""
    if sockets.needs_help(path):
        try:
            sockets.bound(path, 0o700).close()
            path.unlink()
        except OSError as error:
            raise Refusal(
                f"cannot make a socket at '{path}': {error}; set ECHOPILOT_HOME elsewhere", EX_CANTCREAT
            ) from None
        sockets.help_supervisord()


def port(number: int) -> None:
    """See that the port is free, or name who has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", number))  # nosec B104
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                message = f"port {number} is taken by {_holder(number)}; end it, or choose another port with PORT"
                raise Refusal(message, EX_TEMPFAIL) from None
            message = f"port {number} is closed to uid {os.getuid()}: {error.strerror}; choose a PORT above 1023"
            raise Refusal(message, EX_CONFIG) from None


def _holder(number: int) -> str:
    inodes = {inode for local_port, inode in _listeners() if local_port == number}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in processes.with_open(wanted):
        return f"pid {pid} ({processes.command_line(pid)[:120]})"
    return "a process this account cannot see"


def _listeners() -> Iterator[tuple[int, str]]:
    """Local port and socket inode of everything that listens on TCP."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING:
                    yield int(fields[1].rpartition(":")[2], 16), fields[9]
