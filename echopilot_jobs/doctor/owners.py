"""Whose the files are: a command once run as root leaves files that the stack's own account cannot write."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from echopilot_jobs.doctor.findings import FAIL, OK, WARN, Finding, Place

LOOKED_AT_MOST = 5000
NAMED_MOST = 3


def owners(place: Place) -> Iterator[Finding]:
    """Every file in `var/` and `logs/` ought to belong to whom its folder belongs."""
    folders = [folder for folder in (place.settings.var_dir, place.settings.logs_dir) if folder.is_dir()]
    for folder in folders:
        yield judged(folder, folder.stat().st_uid)
    if not folders:
        yield Finding(OK, "no files yet")


def judged(
    folder: Path, owner: int, can_write: Callable[[Path], bool] = lambda path: os.access(path, os.W_OK)
) -> Finding:
    """Whether all in *folder* belongs to *owner* and, if not, whether this account can still work with it."""
    others = [path for path, uid in _owned(folder) if uid != owner]
    if not others:
        return Finding(OK, f"all in '{folder}' belongs to {name_of(owner)}")
    closed = [path for path in others if not can_write(path)]
    fix = f"run `chown -R {name_of(owner)} '{folder}'` as root, and start nothing of the stack as another account"
    if closed:
        return Finding(FAIL, f"{_named(closed, folder)} cannot be written by {name_of(os.geteuid())}", fix)
    return Finding(WARN, f"{_named(others, folder)} belong to another account than {name_of(owner)}", fix)


def _named(paths: Sequence[Path], folder: Path) -> str:
    more = f" and {len(paths) - NAMED_MOST} more" if len(paths) > NAMED_MOST else ""
    return ", ".join(f"'{folder.name}/{path.relative_to(folder)}'" for path in paths[:NAMED_MOST]) + more


def _owned(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in islice(folder.rglob("*"), LOOKED_AT_MOST):
        try:
            if not path.is_symlink():
                yield path, path.lstat().st_uid
        except OSError:  # it went while we looked
            continue


def name_of(uid: int) -> str:
    """An account as a person knows it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
