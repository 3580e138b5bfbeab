"""A table of broken surroundings: each gives its line, and the line says what to do."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from echopilot_jobs import doctor
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.disk import FLOOR, LOW, MAKE_ROOM, shortage
from echopilot_jobs.doctor import FAIL, OK, WARN, Finding, files, leavings, limits, machine, owners
from echopilot_jobs.errors import SupervisorLost
from echopilot_jobs.processes import this_process
from echopilot_jobs.settings import Settings
from echopilot_jobs.supervision import Supervisor

GIB = 1024**3


def found(name: str, environment: dict[str, str] | None = None) -> list[Finding]:
    return [each for each in doctor.examine(SystemClock().now(), environment or {}) if each.name == name]


@pytest.fixture
def lived(settings: Settings) -> Settings:
    settings.var_dir.mkdir(mode=0o700)
    settings.logs_dir.mkdir(mode=0o700)
    return settings


def misspelt(_settings: Settings) -> dict[str, str]:
    return {"SCHED_BREIF_UTC": "08:00"}


def autoscale(settings: Settings) -> dict[str, str]:
    (settings.home / ".replit").write_text('[deployment]\ndeploymentTarget = "autoscale"\n')
    return {"REPL_ID": "x"}


def workspace(_settings: Settings) -> dict[str, str]:
    return {"REPL_ID": "x"}


def deployment(_settings: Settings) -> dict[str, str]:
    return {"REPL_ID": "x", "REPLIT_DEPLOYMENT": "1"}


def no_logs(settings: Settings) -> dict[str, str]:
    settings.logs_dir.rmdir()
    (settings.var_dir / "stack.lock").touch()
    return {}


def logs_is_a_file(settings: Settings) -> dict[str, str]:
    settings.logs_dir.rmdir()
    settings.logs_dir.touch()
    return {}


def open_to_all(settings: Settings) -> dict[str, str]:
    settings.var_dir.chmod(0o777)
    return {}


def damaged(settings: Settings) -> dict[str, str]:
    settings.ledger_path.write_bytes(b"no ledger " * 1000)
    return {}


def weak_key(settings: Settings) -> dict[str, str]:
    (settings.var_dir / "dashboard_key").write_text("secret")
    return {}


def deaf_socket(settings: Settings) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(settings.supervisor_socket))
    return {}


def half_a_draft(settings: Settings) -> dict[str, str]:
    (settings.var_dir / ".jobs.accepted.json.draft").touch()
    return {}


def dead_pid(settings: Settings) -> dict[str, str]:
    (settings.var_dir / "supervisord.pid").write_text("4194304")
    return {}


def bad_jobs(settings: Settings) -> dict[str, str]:
    (settings.home / "jobs.toml").write_text("[jobs.x\n")
    return {}


def jobs_for_all(settings: Settings) -> dict[str, str]:
    (settings.home / "jobs.toml").touch()
    (settings.home / "jobs.toml").chmod(0o666)
    return {}


def unset_secret(settings: Settings) -> dict[str, str]:
    (settings.home / "jobs.toml").write_text(
        '[jobs.x]\nevery = "1h"\ncommand = ["true"]\nenv = { A = "${NO_SUCH_SECRET}" }\n'
    )
    return {}


@pytest.mark.parametrize(
    ("breaks", "check", "state", "says", "fix"),
    [
        (misspelt, "settings", WARN, "did you mean SCHED_BRIEF_UTC", "correct the name"),
        (autoscale, "place", FAIL, "schedules would be missed", 'deploymentTarget = "vm"'),
        (workspace, "place", WARN, "it sleeps", "Reserved VM"),
        (deployment, "place", WARN, "its disk is replaced at every publish", "keep reports elsewhere"),
        (no_logs, "folders", WARN, "is gone, though a stack has lived here", "the next start makes it"),
        (logs_is_a_file, "folders", FAIL, "cannot be written", "chown -R"),
        (open_to_all, "folders", WARN, "open to other accounts (mode 0777)", "chmod 700"),
        (damaged, "ledger", FAIL, "damaged or no ledger", "stop the stack, keep a copy of `var/`"),
        (weak_key, "dashboard key", FAIL, "at least 16 bytes (it has 6)", "delete the file to get a new one"),
        (deaf_socket, "supervisor", FAIL, "left by a supervisord that is gone", "supervisord.log"),
        (deaf_socket, "leftovers", WARN, "a socket nobody listens on", "delete it"),
        (half_a_draft, "leftovers", WARN, "half a file that a crash left", "delete it"),
        (dead_pid, "locks", WARN, "names pid 4194304, which is gone", "no harm"),
        (bad_jobs, "jobs file", FAIL, "jobs.toml:", "correct it and save"),
        (jobs_for_all, "jobs file", WARN, "can be written by other accounts (mode 0666)", "chmod go-w"),
        (unset_secret, "secrets", WARN, "NO_SUCH_SECRET, which 'x' asks for, is not set", "set NO_SUCH_SECRET"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_broken_surroundings_have_a_line_and_a_way_out_I28(
    lived: Settings, breaks: Callable[[Settings], dict[str, str]], check: str, state: str, says: str, fix: str
) -> None:
    before = found(check)

    after = found(check, breaks(lived))

    hits = [each for each in after if says in each.finding]
    assert [(each.state, fix in (each.fix or "")) for each in hits] == [(state, True)]
    assert not any(says in each.finding for each in before)


# -- limits


@pytest.mark.parametrize(
    ("memory", "cpus", "processes", "opened", "says"),
    [
        (GIB, 2.0, None, 1024, "1,024 MiB of memory, 2 CPUs, no limit of processes, 1,024 open files"),
        (GIB, 0.5, 4096, resource.RLIM_INFINITY, "up to 4,096 processes, any number of open files"),
        (GIB // 4, 2.0, None, 1024, "256 MiB of memory: the kernel may end a run"),
        (GIB, 0.1, None, 1024, "0.1 of a CPU: beats and timeouts may come late"),
        (GIB, 2.0, 50, 1024, "only 50 processes and threads"),
        (GIB, 2.0, None, 128, "only 128 open files"),
    ],
)
def test_too_little_is_a_warning_with_what_would_do(
    memory: int, cpus: float, processes: int | None, opened: int, says: str
) -> None:
    (told,) = limits.judged(memory, cpus, processes, opened)

    assert says in told.finding
    assert (told.state == WARN) == bool(told.fix)


@pytest.mark.parametrize(
    ("free", "state", "says", "fix"),
    [
        (0, FAIL, "is full: no room is left: 0 bytes free, the floor is 50 MB", MAKE_ROOM),
        (FLOOR - 1, FAIL, "is nearly full: 50 MB free, the floor is 50 MB", MAKE_ROOM),
        (FLOOR, WARN, "50 MB free under", MAKE_ROOM),
        (LOW - 1, WARN, "below 50 MB it is too little", MAKE_ROOM),
        (LOW, OK, "500 MB free under", None),
    ],
)
def test_room_is_too_little_for_the_doctor_where_it_is_for_everybody_else(
    lived: Settings, monkeypatch: pytest.MonkeyPatch, free: int, state: str, says: str, fix: str | None
) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda folders: GIB if folders == [lived.var_dir] else free)

    (told,) = found("free space")

    assert (told.state, says in told.finding, told.fix) == (state, True, fix)
    assert f"'{lived.logs_dir}'" in told.finding
    assert (told.state == FAIL) == (shortage(free) is not None)


# -- whose files


def test_files_of_another_account_are_told_and_worse_if_they_cannot_be_written_F23(lived: Settings) -> None:
    for number in range(5):
        (lived.var_dir / f"file{number}").touch()
    (lived.var_dir / "dangling").symlink_to("nowhere")
    ours, theirs = os.geteuid(), os.geteuid() + 1

    states = [
        owners.judged(lived.var_dir, ours),
        owners.judged(lived.var_dir, theirs, can_write=lambda _path: True),
        owners.judged(lived.var_dir, theirs, can_write=lambda path: path.name != "file3"),
    ]

    assert [each.state for each in states] == [OK, WARN, FAIL]
    assert "and 2 more belong to another account" in states[1].finding
    assert states[2].finding.startswith("'var/file3' cannot be written by")
    assert f"chown -R {owners.name_of(theirs)}" in str(states[2].fix)


# -- programs without their supervisord


@pytest.mark.parametrize("name", ["logs/scheduler.log", "var/stack.lock", "var/dashboard_key", "var/supervisord.pid"])
def test_a_pipe_in_the_place_of_a_file_is_named_and_waited_for_by_no_check_F31(lived: Settings, name: str) -> None:
    os.mkfifo(lived.home / name)

    (trouble,) = (each for each in found("folders") if each.state == FAIL)

    assert trouble.finding.startswith(f"'{lived.home / name}' is a pipe where a file should be")
    assert trouble.fix == "remove it, or move it away"


@pytest.fixture
def program(lived: Settings) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "SUPERVISOR_SERVER_URL": f"unix://{lived.supervisor_socket}"}
    waits = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", waits], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.send_signal(signal.SIGKILL)


@pytest.mark.process
def test_a_program_that_outlived_its_supervisord_is_named_and_left_alone_F46(
    lived: Settings, program: subprocess.Popen[bytes]
) -> None:
    (told,) = found("orphans")

    doctor.mend([told])

    assert told.state == FAIL
    assert told.finding.startswith(f"pid {program.pid} (")
    assert "bin/stack" in str(told.fix)
    assert program.poll() is None


@pytest.mark.process
def test_a_program_whose_supervisord_listens_is_no_orphan(lived: Settings, program: subprocess.Popen[bytes]) -> None:
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(lived.supervisor_socket))
        ear.listen()

        assert [each.state for each in leavings.orphans(doctor.Place(lived, SystemClock().now(), {}))] == [OK]


def test_a_supervisord_whose_socket_is_gone_is_told_from_one_that_died_and_nothing_else_says_otherwise(
    lived: Settings,
) -> None:
    (lived.var_dir / "stack.lock").write_text(f"{this_process()}\n", encoding="ascii")

    (told,), orphans = found("supervisor"), found("orphans")
    with pytest.raises(SupervisorLost, match="is gone, though supervisord lives") as refused:
        Supervisor(lived.supervisor_socket).programs()

    assert told.state == FAIL
    assert f"supervisord lives (pid {os.getpid()})" in told.finding
    assert [each.state for each in orphans] == [OK]
    assert "end it with `bin/stack stop`" in str(told.fix)
    assert "bin/stack stop" in str(refused.value)


# -- the rest


@pytest.mark.parametrize(
    ("kind", "state", "says"),
    [
        ("nfs4", FAIL, "a network file system"),
        ("9p", FAIL, "a network file system"),
        ("fuse.sshfs", FAIL, "a network file system"),
        ("fuse.rclone", WARN, "a program decides there"),
        ("overlay", WARN, "gone with the container"),
        ("tmpfs", WARN, "gone at the next boot"),
        ("ext4", OK, "locks hold between processes"),
        ("unknown", OK, "locks hold between processes"),
    ],
)
def test_a_file_system_is_judged_for_a_ledger_F22(
    lived: Settings, monkeypatch: pytest.MonkeyPatch, kind: str, state: str, says: str
) -> None:
    monkeypatch.setattr(files, "file_system_of", lambda _path: kind)

    (told,) = files.file_system(doctor.Place(lived, SystemClock().now(), {}))

    assert (told.state, says in told.finding) == (state, True)


@pytest.mark.parametrize(
    ("name", "line", "release"),
    [
        ("tzdata.zi", "# version 2025b\n", "2025b"),
        ("+VERSION", "2024a\n", "2024a"),
        ("tzdata.zi", "", "(release unknown)"),
        ("other", "2025b", "(release unknown)"),
    ],
)
def test_the_release_of_the_zone_data_is_told(tmp_path: Path, name: str, line: str, release: str) -> None:
    (tmp_path / name).write_text(line)

    assert machine._release(tmp_path) == release


def test_a_stack_that_starts_between_the_look_and_the_fix_is_left_alone_F44(lived: Settings) -> None:
    import fcntl

    half_a_draft(lived)
    troubles = found("leftovers")
    with (lived.var_dir / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        ((_, why),) = doctor.mend(troubles)

    assert why == "a stack has started meanwhile, and it is left alone"
    assert (lived.var_dir / ".jobs.accepted.json.draft").exists()


@pytest.mark.process
def test_a_terminal_without_the_marks_gets_others(lived: Settings) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "echopilot_jobs", "doctor"],
        env={**os.environ, "ECHOPILOT_HOME": str(lived.home), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        check=False,
    )

    assert run.stdout.decode("ascii").splitlines()[1].startswith("ok python ")
    assert run.stderr == b""
