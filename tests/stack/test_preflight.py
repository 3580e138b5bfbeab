"""What must be true before supervisord starts, each check on its own."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from echopilot_jobs import processes
from echopilot_jobs.stack import preflight, sockets
from echopilot_jobs.stack.preflight import Refusal, StackLock


def test_folders_are_made_and_the_private_one_is_private(tmp_path: Path) -> None:
    """F31, S27."""
    (tmp_path / "var").mkdir(mode=0o755)

    preflight.folders(tmp_path)

    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700
    assert (tmp_path / "logs").is_dir()
    assert list((tmp_path / "var").iterdir()) == []


@pytest.mark.parametrize("name", ["var", "logs"])
def test_a_folder_that_cannot_be_is_named_with_path_and_account(tmp_path: Path, name: str) -> None:
    """F23: a symlink loop, as one of many reasons."""
    (tmp_path / name).symlink_to(name)

    with pytest.raises(Refusal, match=f"'{tmp_path}/{name}' as uid {os.getuid()}") as refused:
        preflight.folders(tmp_path)

    assert refused.value.exit_code == 73


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder ready for a stack."""
    preflight.folders(tmp_path)
    return tmp_path


@pytest.fixture
def holder(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the stack's lock."""
    code = (
        "from pathlib import Path; from echopilot_jobs.stack.preflight import StackLock\n"
        f"lock = StackLock(Path({str(home)!r})); lock.take(); print('held', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.process
def test_a_held_lock_is_refused_and_its_holder_named(home: Path, holder: subprocess.Popen[bytes]) -> None:
    """F44."""
    with pytest.raises(Refusal, match=f"pid {holder.pid};") as refused:
        StackLock(home).take()

    assert refused.value.exit_code == 75
    known = StackLock(home).holder()
    assert known is not None
    assert known.pid == holder.pid


@pytest.mark.process
def test_a_lock_is_free_again_when_its_holder_was_killed(home: Path, holder: subprocess.Popen[bytes]) -> None:
    holder.kill()
    holder.wait(20)

    assert StackLock(home).holder() is None
    StackLock(home).take()


@pytest.mark.process
@pytest.mark.parametrize("lost", ["stack.lock", "."])
def test_a_stack_whose_lock_was_deleted_is_still_the_stack_of_its_folder_F47(
    home: Path, holder: subprocess.Popen[bytes], lost: str
) -> None:
    """Also after a later start made a new lock file, wrote its name in and left again."""
    place = home / "var" / lost
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    preflight.folders(home)

    for _ in range(2):
        with pytest.raises(
            Refusal, match=f"pid {holder.pid}, though its '.*' was deleted; `bin/stack stop`"
        ) as refused:
            StackLock(home).take()
        assert refused.value.exit_code == 75
    known = StackLock(home).holder()

    assert known is not None
    assert known.pid == holder.pid


def test_a_lock_file_full_of_nonsense_is_no_obstacle(home: Path) -> None:
    (home / "var" / "stack.lock").write_bytes(b"\xff\xfe nonsense")
    lock = StackLock(home)

    assert lock.holder() is None
    lock.take()
    assert lock.holder() == processes.this_process()
    os.close(lock.descriptor)


def test_a_full_disk_is_said_when_the_lock_is_taken_F25(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_what: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)

    with pytest.raises(Refusal, match=r"stack.lock': No space left on device; free some space") as refused:
        StackLock(home).take()

    assert refused.value.exit_code == 73


def test_a_lock_that_is_no_file_is_not_called_a_full_disk_F31(home: Path) -> None:
    os.mkfifo(home / "var" / "stack.lock")

    assert StackLock(home).holder() is None
    with pytest.raises(Refusal, match=r"stack.lock': Invalid argument; see what it is, and move it away") as refused:
        StackLock(home).take()

    assert refused.value.exit_code == 73


def test_a_folder_in_the_place_of_the_socket_is_refused_F31(home: Path) -> None:
    (home / "var" / "supervisor.sock" / "full").mkdir(parents=True)

    with pytest.raises(
        Refusal, match=r"cannot use '.*supervisor.sock' as uid .*: Is a directory; see what it is"
    ) as refused:
        preflight.no_other_supervisord(home / "var" / "supervisor.sock")

    assert refused.value.exit_code == 73


@pytest.mark.parametrize("place", ["logs/scheduler.log", "logs/web.log", "var/stack.lock", "var/dashboard_key"])
def test_a_pipe_in_the_place_of_a_file_is_refused_before_anybody_waits_for_it_F31_I22(home: Path, place: str) -> None:
    os.mkfifo(home / "var" / "scheduler.wake")
    (home / "logs" / "old.log").symlink_to("a" * 300)  # what no file can be named
    preflight.no_pipes(home)
    preflight.no_pipes(home / "elsewhere")
    os.mkfifo(home / place)

    with pytest.raises(Refusal, match=f"'{home}/{place}' is a pipe; wanted: a file, or nothing; remove it") as refused:
        preflight.no_pipes(home)

    assert refused.value.exit_code == 73


@pytest.mark.parametrize(("said", "most", "passes"), [("", 1024, True), ("", 1023, False), ("minfds=64", 64, True)])
def test_too_few_open_files_are_said_before_supervisord_is_begun(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: str, most: int, passes: bool
) -> None:
    path = home / "supervisord.conf"
    path.write_text(f"[supervisord]\n{said}\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (10, most))

    with nullcontext() if passes else pytest.raises(Refusal, match=r"at most 1023 open files .* wants 1024; raise"):
        preflight.open_files(path)


def test_a_free_port_passes_and_a_taken_one_names_its_holder() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        taken.listen()

        with pytest.raises(Refusal, match=f"port {number} is taken by pid {os.getpid()} ") as refused:
            preflight.port(number)

    assert refused.value.exit_code == 75
    preflight.port(number)


def test_a_port_taken_on_ipv6_is_taken() -> None:
    with socket.socket(socket.AF_INET6) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        taken.bind(("::", 0))
        taken.listen()

        with pytest.raises(Refusal, match=f"pid {os.getpid()}"):
            preflight.port(taken.getsockname()[1])


def test_a_home_that_is_not_there_is_said_before_anything_in_it(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^the folder '.*/nowhere', which ECHOPILOT_HOME names, does not exist; set it "):
        preflight.configuration(tmp_path / "nowhere")


def test_a_missing_supervisord_conf_is_said(home: Path) -> None:
    with pytest.raises(Refusal, match="unset ECHOPILOT_HOME"):
        preflight.configuration(home)


class TestSockets:
    """Where stock supervisord would not get its socket."""

    def test_a_common_folder_needs_no_help(self, home: Path) -> None:
        path = Path(os.path.relpath(home)) if len(str(home)) > 60 else home

        assert not sockets.needs_help(path / "var" / "s") or len(str(path)) > 90

    def test_a_deep_folder_gets_its_socket_in_its_own_place(self, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * 100) / ("e" * 100)
        deep.mkdir(parents=True)
        path = deep / "supervisor.sock"

        assert sockets.needs_help(path)
        with sockets.bound(path, 0o700) as server:
            server.listen()
            assert path.is_socket()
            assert stat.S_IMODE(path.stat().st_mode) == 0o700

    def test_a_file_system_without_sockets_gets_a_link_to_one_elsewhere(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Binding fails on such a file system; here it is the probe's answer that is given."""
        monkeypatch.setattr(sockets, "_takes", lambda *_, **__: False)
        monkeypatch.setattr(sockets.tempfile, "gettempdir", lambda: "/tmp")
        path = home / "var" / "supervisor.sock"

        with sockets.bound(path, 0o700) as server:
            server.listen()
            real = path.resolve()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path) if len(str(path)) < 100 else str(real))

        assert path.is_symlink()
        assert stat.S_IMODE(real.parent.stat().st_mode) == 0o700
        real.unlink()
        real.parent.rmdir()

    def test_a_folder_of_somebody_else_in_that_place_is_not_used(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sockets, "_takes", lambda *_, **__: False)
        monkeypatch.setattr(sockets.tempfile, "gettempdir", lambda: str(tmp_path))
        path = home / "var" / "supervisor.sock"
        sockets._elsewhere(path).parent.chmod(0o755)

        with pytest.raises(PermissionError, match="not a private folder"):
            sockets.bound(path, 0o700)
