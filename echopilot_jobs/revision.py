"""Which code this is: what a stint, a run and a cache were made by."""

from __future__ import annotations

import contextlib
from pathlib import Path

from echopilot_jobs import __version__

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def code_revision(root: Path = PROJECT_ROOT) -> str:
    """The short git revision of the checkout in *root* if it can be read, else the package's version."""
    with contextlib.suppress(OSError, ValueError):
        folder = _git_folder(root)
        head = (folder / "HEAD").read_text(encoding="ascii").strip()
        commit = _resolve(folder, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
        if len(commit) >= 40 and set(commit) <= set("0123456789abcdef"):
            return commit[:12]
    return __version__


def _git_folder(root: Path) -> Path:
    folder = root / ".git"
    if folder.is_file():  # a worktree or submodule: "gitdir: PATH"
        folder = root / folder.read_text(encoding="utf-8").strip().removeprefix("gitdir: ")
    return folder


def _resolve(folder: Path, ref: str) -> str:
    """The commit a branch points to; worktrees keep branches in their common folder, old ones are packed."""
    common = folder / "commondir"
    homes = [folder, folder / common.read_text(encoding="utf-8").strip()] if common.is_file() else [folder]
    for home in homes:
        with contextlib.suppress(OSError):
            return (home / ref).read_text(encoding="ascii").strip()
    for home in homes:
        with contextlib.suppress(OSError):
            for line in (home / "packed-refs").read_text(encoding="utf-8").splitlines():
                commit, _, name = line.partition(" ")
                if name == ref:
                    return commit
    raise ValueError(f"no commit for '{ref}'")
