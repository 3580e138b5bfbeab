"""A folder or file that this account may not enter or read is said in one line, by every verb."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from echopilot_jobs.access import give_to_owner, is_there, may_read, unreadable
from echopilot_jobs.settings import Settings
from tests.modes import BOUND_BY_MODES

Ask = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ask(environment: dict[str, str]) -> Ask:
    """A verb as a process that modes bind."""

    def asking(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*BOUND_BY_MODES, sys.executable, "-m", "echopilot_jobs", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return asking


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """Inside the block nobody may enter or read it; afterwards it can be removed."""
    mode = path.stat().st_mode & 0o777
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)


@pytest.mark.process
@pytest.mark.parametrize(
    "line",
    [
        "status",
        "status --json",
        "runs",
        "audit",
        "next",
        "jobs",
        "why heartbeat",
        "run heartbeat",
        "backup",
        "pause heartbeat",
        "show 1",
        "logs 1",
    ],
)
def test_who_may_not_enter_var_reads_which_folder_and_what_to_do(
    lived, settings: Settings, ask: Ask, line: str
) -> None:
    with closed(settings.var_dir):
        answer = ask(*line.split())

    us, var = os.geteuid(), settings.var_dir
    assert answer.stderr.splitlines()[-1].startswith(
        f"error: cannot enter '{var}' as uid {us} (mode 0000); run `chmod u+rwx"
    )
    assert "Traceback" not in answer.stderr
    assert answer.returncode == 1


@pytest.mark.process
def test_logs_that_may_not_be_read_are_not_called_missing(lived, settings: Settings, ask: Ask) -> None:
    settings.logs_dir.mkdir()
    log = settings.logs_dir / "scheduler.log"
    log.write_text("{}\n")

    with closed(log):
        of_file = ask("logs")
    with closed(settings.logs_dir):
        of_folder, audit = ask("logs"), ask("audit")

    assert f"error: cannot read '{log}' as uid" in of_file.stderr
    assert f"error: cannot read '{settings.logs_dir}' as uid" in of_folder.stderr
    assert f"error: cannot enter '{settings.logs_dir}' as uid" in audit.stderr
    for answer in (of_file, of_folder, audit):
        assert "yet" not in answer.stderr
        assert "Traceback" not in answer.stderr
        assert answer.returncode == 1


@pytest.mark.process
def test_the_doctor_names_what_is_closed_and_asks_for_no_report(lived, settings: Settings, ask: Ask) -> None:
    with closed(settings.var_dir):
        answer = ask("doctor")

    assert f"cannot enter '{settings.var_dir}' as uid {os.geteuid()} (mode 0000)" in answer.stdout
    assert "the check itself failed" not in answer.stdout
    assert answer.returncode == 1


def test_a_file_of_another_account_is_told_with_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another account sees it: the one that runs the stack is to be used, for `chmod` is not ours to do."""
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path)

    said = unreadable(PermissionError(13, "Permission denied", str(tmp_path / "ledger.sqlite3")))

    assert said.startswith(
        f"cannot enter '{tmp_path}' as uid {owner + 1} (mode 0700, it belongs to uid {owner}); use the"
    )


ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what another account cannot use")
NOBODY = 65534


@ROOT_ONLY
def test_what_root_restores_and_backs_up_belongs_to_whom_the_stack_belongs(lived, settings: Settings, call) -> None:
    lived.close()
    for path in (settings.var_dir, *settings.var_dir.iterdir()):
        os.chown(path, NOBODY, NOBODY)

    backed_up = call("backup")
    (copy,) = (settings.var_dir / "backups").iterdir()
    restored = call("restore", str(copy))

    assert (backed_up.code, restored.code) == (0, 0)
    assert {path.stat().st_uid for path in settings.var_dir.rglob("*")} == {NOBODY}


@ROOT_ONLY
def test_a_link_in_anothers_folder_gives_nothing_of_roots_away(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "var"
    secret.touch()
    folder.mkdir()
    (folder / "soft").symlink_to(secret)
    (folder / "hard").hardlink_to(secret)
    os.chown(folder, NOBODY, NOBODY)

    with contextlib.suppress(OSError):
        give_to_owner(folder, sorted(folder.iterdir()))

    assert secret.stat().st_uid == 0


def test_what_is_not_there_is_neither_closed_nor_there(tmp_path: Path) -> None:
    may_read(tmp_path / "none")

    assert not is_there(tmp_path / "none")
    assert is_there(tmp_path)


@pytest.mark.parametrize("place", ["var", "var/ledger.sqlite3"])
@pytest.mark.parametrize("line", ["status", "runs", "backup", "restore --accept", "check", "doctor"])
def test_a_link_to_itself_is_named_and_not_called_a_stack_never_started(settings: Settings, call, place, line) -> None:
    link = settings.home / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(link.name)

    answer = call(*line.split())

    assert "nothing was ever started" not in answer.err
    assert "the check itself failed" not in answer.out
