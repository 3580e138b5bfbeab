"""What a stack that is gone left behind: locks, pid files, half-written files, a socket nobody listens on, programs."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from echopilot_jobs import processes
from echopilot_jobs.disk import read_whole
from echopilot_jobs.doctor.findings import FAIL, OK, WARN, Finding, Place


def locks(place: Place) -> Iterator[Finding]:
    """Lock files say nothing by being there; who holds them does. Read from the kernel, so that no lock is ever taken."""
    found = sorted(place.settings.var_dir.glob("*.lock")) if place.settings.var_dir.is_dir() else []
    held = _held_inodes()
    if held is None:
        yield Finding(OK, f"{len(found)} lock files; who holds them cannot be told here")
        return
    words = [f"{lock.name} {_holder(held.get(lock.stat().st_ino))}" for lock in found]
    yield Finding(OK, "; ".join(words) or "no lock files")
    if not _stack_lives(place.settings.var_dir):  # another container's pids say nothing here
        yield from _stale_pid_files(place.settings.var_dir)


def leftovers(place: Place) -> Iterator[Finding]:
    """What a stack that died left lying about. Looked for only where none lives: a living one may be writing it."""
    folder = place.settings.var_dir
    if folder.is_dir() and _stack_lives(folder):
        yield Finding(OK, "a stack lives here, and what is in `var/` is its own")
        return
    drafts = sorted(file for file in folder.glob(".*.draft") if not file.is_symlink() and file.is_file())
    for file in drafts:
        fix = "delete it: it was never put in place, and the next writer begins anew"
        yield Finding(WARN, f"'{file.name}' is half a file that a crash left", fix, mend=partial(_remove, file, folder))
    socket_file = place.settings.supervisor_socket
    if stat.S_ISSOCK(_mode(socket_file)) and _is_deaf(socket_file):
        yield Finding(
            WARN,
            f"'{socket_file.name}' is a socket nobody listens on any more",
            "delete it; the next start does",
            mend=partial(_remove, socket_file, folder),
        )
        return
    if not drafts:
        yield Finding(OK, "nothing of a former stack is in the way")


def _remove(file: Path, folder: Path) -> None:
    """Away with it, unless a stack has begun since it was found."""
    if _stack_lives(folder):
        raise BlockingIOError(errno.EAGAIN, "a stack has started meanwhile, and it is left alone")
    file.unlink(missing_ok=True)


def _stack_lives(folder: Path) -> bool:
    """Whether anybody holds one of the stack's locks; true where that cannot be told."""
    held = _held_inodes()
    return held is None or any(lock.stat().st_ino in held for lock in folder.glob("*.lock"))


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _is_deaf(path: Path) -> bool:
    """Whether the kernel itself says that nobody listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False


def _holder(pid: int | None) -> str:
    return "is free" if pid is None else f"is held by pid {pid}" if pid > 0 else "is held from another container"


def _held_inodes(table: Path = Path("/proc/locks")) -> dict[int, int] | None:
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    held: dict[int, int] = {}
    for line in lines:
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK":
            held[int(fields[5].rsplit(":", 1)[1])] = int(fields[4])
    return held


def _stale_pid_files(folder: Path) -> Iterator[Finding]:
    for file in sorted(folder.glob("*.pid")):
        with contextlib.suppress(OSError, ValueError):
            pid = int(read_whole(file))
            if not Path(f"/proc/{pid}").exists():
                yield Finding(
                    WARN,
                    f"'{file.name}' names pid {pid}, which is gone",
                    "no harm; the next start replaces it",
                    mend=partial(_remove, file, folder),
                )


def orphans(place: Place) -> Iterator[Finding]:
    """Programs of a supervisord that died without them: they answer and plan, and nobody restarts them."""
    socket_file = place.settings.supervisor_socket
    # That nobody can steer a living one is said of supervisord itself.
    if _listens(socket_file) or processes.stack_owner(place.settings.var_dir):
        yield Finding(OK, "the programs that run here have their supervisord")
        return
    spared = {os.getpid(), *processes.ancestors(os.getpid())}
    found = [pid for pid in processes.marked("SUPERVISOR_SERVER_URL", f"unix://{socket_file}") if pid not in spared]
    for pid in found:
        yield Finding(
            FAIL,
            f"pid {pid} ({processes.command_line(pid)[:80]}) is of a stack whose supervisord is gone",
            "start the stack with `bin/stack`: it ends what the one before left running, then begins",
        )
    if not found:
        yield Finding(OK, "no program of a former stack runs")


def _listens(path: Path) -> bool:
    """Whether somebody does; told from the kernel's refusal, so that a busy one counts as there."""
    return path.exists() and not _is_deaf(path)
