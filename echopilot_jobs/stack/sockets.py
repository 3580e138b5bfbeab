"""A supervisor socket where stock supervisord cannot make one: deep folders and odd file systems.

Stock binds `NAME.PID` and hard-links it to NAME. That fails beyond 98 characters, and for ever (a loop of "Unlinking
stale socket") where hard links are refused. The launcher's flock already says that nobody else lives here, so binding
NAME itself is safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from supervisor import http

from echopilot_jobs.supervision import LONGEST_SOCKET_PATH, reachable


def needs_help(path: Path) -> bool:
    """True where stock supervisord would not get its socket at *path*. The folder must exist."""
    return len(os.fsencode(path)) > LONGEST_SOCKET_PATH or not _takes(path.parent, linked=True)


def help_supervisord() -> None:
    """Make supervisord bind its sockets in our way, in this process only."""

    class AnywhereServer(http.supervisor_af_unix_http_server):  # type: ignore[misc]  # supervisor ships no types
        def __init__(self, socketname: str, sockchmod: int, _sockchown: Any, logger_object: Any) -> None:
            self.ip = self.port = socketname
            self.server_name = "<unix domain socket>"
            self.prebind(bound(Path(socketname), sockchmod), logger_object)
            self.postbind()

    http.supervisor_af_unix_http_server = AnywhereServer


def bound(path: Path, mode: int) -> socket.socket:
    """A socket bound at *path*, or, on a file system without sockets, behind a symbolic link there."""
    path.unlink(missing_ok=True)
    where = path
    if not _takes(path.parent, linked=False):
        where = _elsewhere(path)
        where.unlink(missing_ok=True)
        path.symlink_to(where)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with reachable(where) as name:
        server.bind(name)
    where.chmod(mode)
    return server


def _elsewhere(path: Path) -> Path:
    """A short place that is always the same for *path*: a 0700 folder of ours among the temporary files."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"echopilot-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(f"'{folder}' is not a private folder of uid {os.getuid()}; remove it and start again")
    return folder / path.name


def _takes(folder: Path, *, linked: bool) -> bool:
    """Whether *folder* takes a socket, and a hard link to it."""
    first, second = folder / f".try.{os.getpid()}", folder / f".try2.{os.getpid()}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, reachable(first) as name:
            probe.bind(name)
            if linked:
                os.link(first, second)
    except OSError:
        return False
    else:
        return True
    finally:
        for path in (first, second):
            with contextlib.suppress(OSError):
                path.unlink()
