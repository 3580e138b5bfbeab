"""What this account may do with a file: told from names and modes alone, so that nothing is opened for it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from echopilot_jobs.plain import plain

ASK_OWNER = "use the account that runs the stack, or give it to this account"


OBSTACLES = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EEXIST, errno.EISDIR, errno.ENOTDIR)


def is_there(path: Path) -> bool:
    """Whether anything is at *path*. Raises `OSError` where nobody can say: a closed folder, a link to itself."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def may_read(path: Path) -> None:
    """Raise `PermissionError` for what is there and cannot be read; a folder must let itself be listed and entered."""
    if is_there(path) and not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def unreadable(error: OSError) -> str:
    """What an error with a file's name says for a person: the file or folder in the way, whose it is, and what to do."""
    named = Path(os.fsdecode(error.filename))
    return hidden(named) or refused("read" if named.exists() and not os.access(named, os.R_OK) else "write", named)


def is_obstacle(error: OSError) -> bool:
    """Whether something of the wrong kind is in the way, or closed to us, as only a person can have put it there."""
    return error.filename is not None and error.errno in OBSTACLES


def obstacle(error: OSError) -> str:
    """What keeps a file of ours from being opened or made, in one line with what to do."""
    if isinstance(error, PermissionError):
        return unreadable(error)
    name = plain(os.fsdecode(error.filename))
    return f"cannot use '{name}' as uid {os.geteuid()}: {error.strerror}; see what it is, and move it away"


def hidden(path: Path) -> str | None:
    """Which folder keeps this account from looking at *path*, and what to do; None when it may look."""
    closed = next((folder for folder in reversed(path.absolute().parents) if _is_closed(folder)), None)
    return refused("enter", closed) if closed else None


def _is_closed(folder: Path) -> bool:
    return not os.access(folder, os.X_OK) and is_there(folder)


def refused(verb: str, path: Path) -> str:
    """That this account may not *verb* (read, write, enter) what is at *path*, both accounts, its mode and what to do."""
    name, us = plain(str(path)), os.geteuid()
    try:
        found = path.stat()
    except OSError:
        return f"cannot {verb} '{name}' as uid {us}; {ASK_OWNER}"
    mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
    if found.st_uid == us:
        bits = "rwx" if stat.S_ISDIR(found.st_mode) else "rw"
        return f"cannot {verb} '{name}' as uid {us} ({mode}); run `chmod u+{bits} '{name}'`"
    return f"cannot {verb} '{name}' as uid {us} ({mode}, it belongs to uid {found.st_uid}); {ASK_OWNER}"


def give_to_owner(folder: Path, made: Iterable[Path]) -> None:
    """Give what root *made* in another account's *folder* to that account, which could not use it. Raises `OSError`.

    Each is held by a descriptor that reads nothing: that drops no lock, and the name may lead elsewhere in a moment. Only
    root's own files with one name: a link to what else belongs to root gives nothing away.
    """
    owner = folder.stat()
    if os.geteuid() or not owner.st_uid:
        return
    for path in made:
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found = os.fstat(descriptor)
                is_one_file = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
                if not found.st_uid and (is_one_file or stat.S_ISDIR(found.st_mode)):
                    os.chown(f"/proc/self/fd/{descriptor}", owner.st_uid, owner.st_gid)
            finally:
                os.close(descriptor)
