"""Room on a disk: how much is left, whether that is enough, and amounts in words. Reading a file without ever waiting."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from echopilot_jobs.records import record

FLOOR = 50_000_000
LOW = 10 * FLOOR  # enough, and worth a word before it is not
FULL = 1_000_000  # what a file system keeps for itself: below it hardly anything can be written
WAKE_NAME = "scheduler.wake"  # the one pipe in `var/` that is meant to be one
MAKE_ROOM = "free some space; old files in `logs/` may go"


@record(frozen=True)
class Shortage:
    """That there is too little room, in a word and in a clause, with what to do."""

    word: str
    what: str
    do: str = MAKE_ROOM


def free_bytes(folders: Iterable[Path]) -> int | None:
    """What is left for this account on the tightest of the disks under *folders*; None when it may enter none of them."""
    # As shutil.disk_usage, which takes longer to load than the whole answer.
    rooms = [os.statvfs(folder) for folder in folders if _is_folder(folder)]
    return min((room.f_bavail * room.f_frsize for room in rooms), default=None)


def shortage(free: int) -> Shortage | None:
    """What is wrong with so few bytes; None when they are enough to write what must be written."""
    if free < FULL:
        return Shortage("full", f"no room is left: {amount(free)} free, the floor is {amount(FLOOR)}")
    if free < FLOOR:
        return Shortage("nearly full", f"{amount(free)} free, the floor is {amount(FLOOR)}")
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that is closed to us
        return False


def amount(count: int) -> str:
    """Bytes in a person's unit: `50 MB`, `1.4 GB`."""
    size, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1_000 and len(units) > 1:
        size, units = size / 1_000, units[1:]
    return f"{size:.0f} {units[0]}" if size >= 10 or size == int(size) else f"{size:.1f} {units[0]}"


def read_whole(path: Path) -> bytes:
    """What the file at *path* holds. Raises `OSError`, also for a pipe or device in its place: it never waits for one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        return file.read()


def pipes_in(folder: Path) -> list[Path]:
    """The named pipes in *folder* that are not ours: opened in a file's place, one waits for its other end for ever."""
    try:
        found = sorted(folder.iterdir())
    except OSError:  # whoever writes there tells
        return []
    return [path for path in found if path.name != WAKE_NAME and _is_pipe(path)]


def _is_pipe(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except OSError:  # such as a link that leads nowhere
        return False
