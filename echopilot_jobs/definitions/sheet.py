"""A jobs file as it lies there: read once and never waited for; `jobs.toml` is told apart by its content."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from echopilot_jobs import jobsfile
from echopilot_jobs.jobsfile.problems import BadJobsFile, Problem
from echopilot_jobs.records import record
from echopilot_jobs.settings import PROJECT_ROOT, Settings

NAME = "jobs.toml"
GONE = Problem("it is gone; put it back, or create an empty one", file=NAME)
READ_MOST = 1_100_000  # a little more than is allowed, so that what is too long can be told
WORDS = {
    errno.EISDIR: "it is a folder; wanted: a file",
    errno.ELOOP: "it is a link that leads to itself; wanted: a file",
    errno.EACCES: f"uid {os.getuid()} may not read it; give it to this account",
}

Stamp = tuple[int, int, int, int] | None


@record(frozen=True)
class Sheet:
    """The file at one moment. Without *content* either there was none, or *problem* says why it cannot be read.

    *digest* tells any two contents and any two troubles apart; it is None where there is no file.
    """

    content: bytes | None
    digest: str | None
    problem: Problem | None = None

    @property
    def is_absent(self) -> bool:
        """Whether there was no file."""
        return self.digest is None


ABSENT = Sheet(None, None)


class NotRead(Exception):
    """Why a file is no jobs file that can be read, in words for a person."""


def path_of(settings: Settings) -> Path:
    """Where the jobs file of this folder is, if there is one."""
    return settings.home / NAME


def not_read(settings: Settings) -> str | None:
    """In one line, that the project's jobs file is not the one looked for, where that may surprise; else None."""
    wanted, left = path_of(settings), PROJECT_ROOT / NAME
    if os.path.lexists(wanted) or not _says_anything(left):
        return None
    return (
        f"'{left}' is not read, because ECHOPILOT_HOME is set: jobs are looked for in '{wanted}', and no file is there; "
        "move it there, or unset ECHOPILOT_HOME"
    )


def _says_anything(path: Path) -> bool:
    """False for no file, and for one of comments alone, as it is shipped."""
    try:
        return bool(jobsfile.read(content_of(path), NAME).tables)
    except (FileNotFoundError, NotRead):
        return False
    except BadJobsFile:
        return True


def read_sheet(path: Path) -> Sheet:
    """The file now, if nobody else may write it. Never raises, and never waits."""
    try:
        content = content_of(path, _not_open_to_others)
    except FileNotFoundError:
        return ABSENT
    except NotRead as error:
        return Sheet(None, f"unreadable: {error}", Problem(str(error), file=path.name))
    return Sheet(content, hashlib.sha256(content).hexdigest())


def content_of(path: Path, allow: Callable[[os.stat_result], object] = lambda _found: None) -> bytes:
    """What the file at *path* holds, a little more than a jobs file may have at most; never waits for a pipe in its place.

    *allow* is shown the open file and may raise `NotRead`, too. Raises that and `FileNotFoundError`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _only_a_file(found := os.fstat(descriptor))
            allow(found)
            return _read(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NotRead(WORDS.get(error.errno or 0, f"it cannot be read: {error.strerror}")) from None


def _read(descriptor: int) -> bytes:
    content = b""
    while len(content) < READ_MOST and (more := os.read(descriptor, READ_MOST - len(content))):
        content += more
    return content


def _only_a_file(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise NotRead(WORDS[errno.EISDIR])
    if not stat.S_ISREG(found.st_mode):
        raise NotRead("it is a pipe, socket or device; wanted: a file")


def _not_open_to_others(found: os.stat_result) -> None:
    # A group with the account's own number is the account's alone, and where there is one, files are made for both.
    others = stat.S_IWOTH if found.st_gid == found.st_uid else stat.S_IWOTH | stat.S_IWGRP
    if found.st_mode & others:
        raise NotRead("other accounts may write it, and so choose what runs here; `chmod go-w jobs.toml`")


def stamp_of(path: Path) -> Stamp:
    """What changes with the file: time, size, inode, and the time of the last word about it, such as who may run it.

    None where there is none; a folder's content does not count.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return (0, 0, 0, 0)
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns


def stamps_of(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """The stamp of each."""
    return {path: stamp_of(path) for path in paths}
