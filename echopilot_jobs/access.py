"""What this account may do with a file: told from names and modes alone, so that nothing is opened for it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from echopilot_jobs.plain import plain

ASK_OWNER = "use the account that runs the stack, or give it to this account"


def is_there(path: Path) -> bool:
    """Whether anything is at *path*. Raises `PermissionError` where this account may not look: then nobody can say."""
    try:
        path.stat()
    except PermissionError:
        raise
    except OSError:
        return False
    return True


def may_read(path: Path) -> None:
    """Raise `PermissionError` for what is there and cannot be read; a folder must let itself be listed and entered."""
    if is_there(path) and not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise PermissionError(None, None, str(path))


def unreadable(error: OSError) -> str:
    """What an error with a file's name says for a person: the file or folder in the way, whose it is, and what to do."""
    named = Path(os.fsdecode(error.filename))
    closed = next((folder for folder in reversed(named.parents) if not os.access(folder, os.X_OK)), None)
    if closed:
        return _refused("enter", closed)
    return _refused("read" if named.exists() and not os.access(named, os.R_OK) else "write", named)


def _refused(verb: str, path: Path) -> str:
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
