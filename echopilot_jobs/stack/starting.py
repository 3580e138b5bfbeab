"""Starts that are under way: found among the processes, because one that has only just begun holds nothing yet.

Nothing but Python's own library here: `bin/stack stop` needs no environment.
"""

from __future__ import annotations

import os
from pathlib import Path

from echopilot_jobs import processes
from echopilot_jobs.stack.bootstrap import ROOT

LAUNCHER = ["-P", "-m", "echopilot_jobs.stack.launcher"]  # how `bootstrap.start` goes on, in the same process


def under_way(home: Path) -> list[processes.Owner]:
    """The living `bin/stack`s of this project that begin, or are, the stack of *home*; as far as this account may look.

    Told by their command lines, which are there before their first statement: a note, or a lock, of theirs would come later.
    """
    found = {int(entry.name) for entry in processes.PROC.iterdir() if entry.name.isdigit() and _is_start(entry, home)}
    heads = [pid for pid in found if found.isdisjoint(processes.ancestors(pid))]  # without what the launcher forks
    return [owner for pid in sorted(heads) if (owner := _owner(pid))]


def _owner(pid: int) -> processes.Owner | None:
    try:
        return processes.owner_of(pid)
    except ProcessLookupError:
        return None


def _is_start(entry: Path, home: Path) -> bool:
    try:
        words = [os.fsdecode(word) for word in (entry / "cmdline").read_bytes().split(b"\0")[:-1]]
        return _begins_ours(entry, words) and _seen_by(entry, _variable(entry, "ECHOPILOT_HOME") or str(ROOT)).samefile(
            home
        )
    except OSError:  # gone, or somebody else's
        return False


def _begins_ours(entry: Path, words: list[str]) -> bool:
    """Whether these are the words of this project's `bin/stack` without a verb, or of the launcher it becomes."""
    if not words or not Path(words[0]).name.startswith("python"):  # no editor of that file, nor what reads it
        return False
    if words[1:] == LAUNCHER:
        return _seen_by(entry, _variable(entry, "PYTHONPATH").partition(os.pathsep)[0]).samefile(ROOT)
    *options, script = words[1:] or [""]
    is_script = Path(script).name == "stack" and all(option.startswith("-") for option in options)
    return is_script and _seen_by(entry, script).samefile(ROOT / "bin" / "stack")


def _seen_by(entry: Path, path: str) -> Path:
    """What *path* is to that process: it may be in another folder, and in a container of its own."""
    return entry / "root" / path.lstrip("/") if path.startswith("/") else entry / "cwd" / path


def _variable(entry: Path, name: str) -> str:
    return (processes.environment_of(int(entry.name)) or {}).get(name, "")
