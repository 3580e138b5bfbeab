"""Which code runs, as git keeps it."""

from __future__ import annotations

from pathlib import Path

from echopilot_jobs import __version__
from echopilot_jobs.revision import code_revision


def test_the_revision_is_the_commit_wherever_git_keeps_it(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    git = tmp_path / ".git"

    assert code_revision(tmp_path) == __version__

    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert code_revision(tmp_path) == __version__, "a branch without a commit yet"

    (git / "packed-refs").write_text(f"# pack-refs with: peeled\n{commit} refs/heads/main\n")
    assert code_revision(tmp_path) == commit[:12]

    (git / "HEAD").write_text("f" * 40)
    assert code_revision(tmp_path) == "f" * 12

    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {git}\n")
    assert code_revision(tree) == "f" * 12
