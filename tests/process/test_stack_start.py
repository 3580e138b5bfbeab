"""bin/stack: what it says, what it refuses, with which exit code, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from echopilot_jobs import processes
from tests.process.stacks import WAIT, Stack, eventually

pytestmark = pytest.mark.process
NewStack = Callable[..., Stack]


def gone(owners: list[processes.Owner]) -> bool:
    return not any(processes.is_alive(owner) for owner in owners)


def test_one_command_runs_both_programs_and_a_term_ends_everything(stack: Stack) -> None:
    """I25: exit 0, no orphan, port and socket free."""
    owners = stack.owners()

    assert {program.name for program in stack.supervisor.programs()} == {"scheduler", "web"}
    assert stack.end() == 0
    eventually(lambda: gone(owners))
    assert not stack.answers()
    assert not (stack.home / "var" / "supervisor.sock").exists()


def test_the_banner_says_where_to_look_and_what_comes_next(running: Stack) -> None:
    banner = running.console.partition(" INFO ")[0]

    assert f"http://127.0.0.1:{running.port}/\n" in banner
    assert re.search(
        rf"http://127\.0\.0\.1:{running.port}/login\?token=\S{{16,}}  \(works once, within 15 minutes\)", banner
    )
    assert banner.count("next run") == 3
    assert str(running.home / "logs") in banner


def test_without_a_key_one_is_made_and_kept_private(running: Stack) -> None:
    """S1: never starts open."""
    key = running.home / "var" / "dashboard_key"

    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().strip() not in running.console
    assert stat.S_IMODE((running.home / "var").stat().st_mode) == 0o700


def test_output_is_kept_in_logs_and_mirrored_to_the_console(running: Stack) -> None:
    assert "Booting worker" in (running.home / "logs" / "web.log").read_text()
    assert re.search(r"^\[web\] .*Booting worker", running.console, re.MULTILINE)
    eventually(lambda: re.search(r"^\[scheduler\] ", running.console, re.MULTILINE))
    assert "CRIT" not in (running.home / "logs" / "supervisord.log").read_text()


def test_a_second_start_is_refused_and_names_the_first(running: Stack) -> None:
    """F44: the first stays untouched."""
    before = running.owners()

    second = running.run("stack")

    assert second.returncode == 75
    assert f"pid {running.process.pid}" in second.stderr
    assert all(processes.is_alive(owner) for owner in before)


def test_a_frozen_stack_still_refuses_a_second_start_at_once(stack: Stack) -> None:
    """F8: neither the second start nor the status command hangs with it."""
    os.kill(stack.process.pid, signal.SIGSTOP)
    eventually(lambda: processes.is_frozen(stack.process.pid))

    second = stack.run("stack")
    status = stack.run("supervisorctl", "status")

    assert second.returncode == 75
    assert f"pid {stack.process.pid}" in second.stderr
    assert "frozen" in second.stderr
    assert status.returncode == 4
    assert "did not answer within 3 s" in status.stderr


def test_stop_ends_a_frozen_stack_too(stack: Stack) -> None:
    owners = stack.owners()
    os.kill(stack.process.pid, signal.SIGSTOP)

    stopped = stack.run("stack", "stop")

    assert stopped.returncode == 0, stopped.stderr
    assert stack.process.wait(WAIT) == 0
    assert gone(owners)


def test_stop_without_a_stack_is_no_error(new_stack: NewStack) -> None:
    assert new_stack().run("stack", "stop").returncode == 0


def test_stop_needs_no_environment_and_makes_none(stack: Stack) -> None:
    """It may have been deleted under the living stack, on a machine without a network."""
    owners = stack.owners()
    bare = [sys.executable, "-I", "-S", str(stack.home / "bin" / "stack"), "stop"]  # sees no package at all
    nowhere = {**stack.environment, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull}

    stopped = subprocess.run(bare, capture_output=True, text=True, timeout=WAIT, env=nowhere, check=False)

    assert (stopped.returncode, stopped.stderr) == (0, f"stack: stopped (pid {stack.process.pid})\n")
    assert stack.process.wait(WAIT) == 0
    assert gone(owners)
    assert not (stack.home / ".venv").exists()


def test_a_deleted_socket_does_not_open_the_door_to_a_second_stack(stack: Stack) -> None:
    (stack.home / "var" / "supervisor.sock").unlink()

    assert stack.run("stack").returncode == 75
    assert stack.run("supervisorctl", "status").returncode == 4
    assert stack.run("stack", "stop").returncode == 0
    assert stack.process.wait(WAIT) == 0


def test_a_stack_that_lost_all_of_var_is_found_told_and_ended_F47(stack: Stack) -> None:
    """Nothing in the folder tells of it any more, and a second start must not end the programs of a living supervisord."""
    owners = stack.owners()
    shutil.rmtree(stack.home / "var", ignore_errors=True)  # a program may write into it meanwhile

    second = stack.run("stack")
    status = stack.run("supervisorctl", "status")
    told = stack.run("echopilot", "status")
    alive = processes.is_alive(owners[0])
    stopped = stack.run("stack", "stop")

    assert (second.returncode, f"pid {stack.process.pid}" in second.stderr) == (75, True), second.stderr
    assert (status.returncode, f"pid {stack.process.pid}" in status.stderr) == (4, True), status.stderr
    assert f"supervisord lives (pid {stack.process.pid})" in told.stdout
    assert alive
    assert stopped.returncode == 0, stopped.stderr
    assert stack.process.wait(WAIT) == 0
    assert gone(owners)


def test_a_taken_port_is_refused_and_its_holder_named(new_stack: NewStack) -> None:
    stack = new_stack()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()

        refused = stack.run("stack", PORT=str(holder.getsockname()[1]))

    assert refused.returncode == 75
    assert f"pid {os.getpid()} " in refused.stderr
    assert stack.everything() == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"PORT": "abc"}, ["PORT"]),
        ({"PORT": "0", "SCHED_BRIEF_UTC": "25:00", "SCHED_SELFHEAL_EVERY_HOURS": "0"}, ["PORT", "BRIEF", "SELFHEAL"]),
        ({"DASHBOARD_KEY": ""}, ["DASHBOARD_KEY"]),
    ],
)
def test_bad_settings_are_refused_all_at_once(new_stack: NewStack, settings: dict[str, str], named: list[str]) -> None:
    refused = new_stack().run("stack", **settings)

    assert refused.returncode == 78
    assert len(refused.stderr.splitlines()) == len(named)
    assert all(name in refused.stderr for name in named)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[program:x]\ncommand=true\nautorestrat=true\n", "did you mean 'autorestart'"),
        ("[program:web]\ncommand=true\n", "[program:web] again"),
        ("[program:x]\ncommand=true\nstartsecs=soon\n", "'startsecs' came 'soon'"),
        ("[program:x]\ncommand=%(ENV_NOT_SET_HERE)s\n", "NOT_SET_HERE"),
        ("what is this\n", "neither [section] nor key=value"),
    ],
)
def test_a_broken_supervisord_conf_is_refused_with_its_line(new_stack: NewStack, text: str, wanted: str) -> None:
    stack = new_stack()
    stack.configure(text)

    refused = stack.run("stack")

    assert refused.returncode == 78
    assert wanted in refused.stderr
    assert re.search(r"supervisord\.conf line \d+", refused.stderr)
    assert stack.run("stack", "check").returncode == 78


def test_check_is_content_with_what_we_ship(new_stack: NewStack) -> None:
    checked = new_stack().run("stack", "check")

    assert checked.returncode == 0, checked.stderr


def test_an_unwritable_folder_is_named_with_the_account(new_stack: NewStack) -> None:
    """F23."""
    stack = new_stack()
    (stack.home / "var").write_text("not a folder")

    refused = stack.run("stack")

    assert refused.returncode == 73
    assert str(stack.home / "var") in refused.stderr
    assert f"uid {os.getuid()}" in refused.stderr


def test_it_starts_from_any_folder_and_through_a_link(new_stack: NewStack, tmp_path: Path) -> None:
    stack = new_stack()
    link = tmp_path / "start-it"
    link.symlink_to(stack.home / "bin" / "stack")

    stack.launch(cwd=tmp_path, script=link)
    stack.settle()

    assert stack.run("supervisorctl", "status", cwd=tmp_path).returncode == 0


def test_a_stale_socket_and_pid_file_are_no_obstacle(new_stack: NewStack) -> None:
    stack = new_stack()
    var = stack.home / "var"
    var.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(var / "supervisor.sock"))
    (var / "supervisord.pid").write_text("1\n")
    (var / "stack.lock").write_text("nonsense")

    stack.start()

    assert stack.end() == 0


def test_a_supervisord_started_by_hand_is_not_robbed_of_its_programs(new_stack: NewStack) -> None:
    """Plain `supervisord -c supervisord.conf` works, too, and holds no lock of ours."""
    stack = new_stack()
    for name in ("var", "logs"):
        (stack.home / name).mkdir()
    with (stack.home / "console.txt").open("wb") as console:
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", "supervisord.conf"]
        environment = {**stack.environment, "PYTHONPATH": str(stack.home)}
        stack.started.append(subprocess.Popen(command, cwd=stack.home, env=environment, stdout=console, stderr=console))
    stack.settle()
    before = stack.owners()

    refused = stack.run("stack")

    assert refused.returncode == 75
    assert "started by hand" in refused.stderr
    assert all(processes.is_alive(owner) for owner in before)
    assert stack.end() == 0


def test_a_project_150_characters_deep_works_the_same(new_stack: NewStack, tmp_path: Path) -> None:
    """supervisord's socket path ends at 98 characters."""
    deep = tmp_path / ("d" * 60) / ("e" * 60) / ("f" * 60)
    stack = new_stack(deep)
    assert len(str(deep)) > 150

    stack.start()
    stack.settle()
    status = stack.run("supervisorctl", "status")
    tail = stack.run("supervisorctl", "tail", "web")

    assert status.returncode == 0, status.stderr
    assert status.stdout.count("RUNNING") == 2
    assert "Booting worker" in tail.stdout
    assert stack.end() == 0
    assert not (deep / "var" / "supervisor.sock").exists()


def test_supervisorctl_works_from_the_project_root_without_flags(running: Stack) -> None:
    command = [sys.executable, "-m", "supervisor.supervisorctl"]
    common = {"cwd": running.home, "env": running.environment, "capture_output": True, "text": True, "timeout": WAIT}

    status = subprocess.run([*command, "status"], **common, check=False)  # type: ignore[call-overload]
    restart = subprocess.run([*command, "restart", "scheduler"], **common, check=False)  # type: ignore[call-overload]

    assert status.returncode == 0
    assert re.findall(r"^(\w+) +RUNNING", status.stdout, re.MULTILINE) == ["scheduler", "web"]
    assert restart.stdout.splitlines() == ["scheduler: stopped", "scheduler: started"]


def test_secrets_reach_the_programs_as_they_are(new_stack: NewStack) -> None:
    """supervisord's own environment= would cut this one at the quote."""
    stack = new_stack()
    secret = "a\"b'c,d;e #f %g $h =i"
    stack.start(MY_SECRET=secret)

    for name in ("web", "scheduler"):
        variables = Path(f"/proc/{stack.pid(name)}/environ").read_bytes().split(b"\0")
        assert f"MY_SECRET={secret}".encode() in variables
        assert b"TZ=UTC" in variables


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.2, 0.3, 0.4, 0.6])
def test_a_term_during_the_start_ends_it_cleanly(new_stack: NewStack, delay: float) -> None:
    stack = new_stack()
    stack.launch()
    threading.Event().wait(delay)

    code = stack.end()

    # Before Python reads the first line of bin/stack nobody can catch it; later it is an orderly end.
    assert code in (0, -signal.SIGTERM), stack.console
    assert "Traceback" not in stack.console
    eventually(lambda: stack.everything() == [])


def interrupt_at(imported: str, number: signal.Signals, folder: Path, whom: str = "os.killpg(0") -> None:
    """With *folder* on its path, a Python signals its process group, as a terminal does, when it comes to that import."""
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nclass Finder:\n    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {imported!r}: {whom}, {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
    )


@pytest.mark.parametrize(
    ("number", "imported"),
    [
        (signal.SIGINT, "echopilot_jobs.stack.bootstrap"),
        (signal.SIGINT, "echopilot_jobs.stack.preflight"),
        (signal.SIGINT, "echopilot_jobs.jobsfile.composing"),
        (signal.SIGTERM, "echopilot_jobs.definitions.probing"),
        (signal.SIGINT, "echopilot_jobs.web.auth"),
        (signal.SIGINT, "supervisor.options"),
        (signal.SIGTERM, "echopilot_jobs.stack.plugin"),
    ],
)
def test_whoever_stops_the_start_at_any_moment_is_answered_with_one_line_and_code_0(
    new_stack: NewStack, tmp_path: Path, number: signal.Signals, imported: str
) -> None:
    """A terminal's Ctrl-C reaches the launcher and the child that does its work: here while either is importing."""
    interrupt_at(imported, number, tmp_path)
    stack = new_stack()
    (stack.home / "jobs.toml").write_text('[jobs.mine]\nevery = "1h"\ncommand = ["true"]\n')

    stack.launch(PYTHONPATH=str(tmp_path))
    code = stack.process.wait(WAIT)

    said = [line for line in stack.console.splitlines() if line.startswith("stack: ")]
    assert said == ["stack: stopped before the programs were started"]
    assert "Traceback" not in stack.console
    assert code == 0
    assert stack.everything() == []
    assert not (stack.home / "var" / "supervisor.sock").exists()


@pytest.mark.parametrize(
    "imported",
    [
        "echopilot_jobs.stack.bootstrap",
        "echopilot_jobs.stack.preflight",
        "echopilot_jobs.web.auth",
        "supervisor.options",
    ],
)
def test_a_stop_ends_a_start_that_is_under_way_at_any_moment(
    new_stack: NewStack, tmp_path: Path, imported: str
) -> None:
    """A start that has only just begun has taken no lock by which it could be found."""
    interrupt_at(imported, signal.SIGSTOP, tmp_path)
    stack = new_stack()
    stack.launch(PYTHONPATH=str(tmp_path))
    start = stack.process
    eventually(lambda: processes.is_frozen(start.pid))

    stopped = stack.run("stack", "stop")

    assert (stopped.returncode, start.wait(WAIT)) == (0, 0)
    assert re.fullmatch(rf"stack: stopped (a start that was under way )?\(pid {start.pid}\)\n", stopped.stderr)
    assert "stopped before the programs were started" in stack.console
    assert stack.run("stack", "stop").stderr == "stack: no stack is running here\n"


def test_a_stop_ends_a_first_start_with_all_that_installs_for_it(new_stack: NewStack) -> None:
    stack = new_stack()
    bare = [sys.executable, "-I", "-S", str(stack.home / "bin" / "stack")]  # sees no package at all
    nowhere = {**stack.environment, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull}
    start = subprocess.Popen(bare, env=nowhere, stderr=subprocess.DEVNULL)
    try:
        pip = eventually(lambda: [processes.owner_of(pid) for pid in processes.descendants(start.pid)])[0]
        os.kill(pip.pid, signal.SIGSTOP)  # it stays at work for as long as nobody ends it
        stopped = stack.run("stack", "stop")
    finally:
        processes.end_tree(start.pid, 0)

    assert (stopped.stderr, start.wait(WAIT)) == (f"stack: stopped a start that was under way (pid {start.pid})\n", 0)
    assert not processes.is_alive(pip)
    assert not (stack.home / "var" / "stack.lock").exists()


@pytest.mark.parametrize(("verb", "elsewhere"), [(["check"], False), ([], True)])
def test_a_stop_leaves_alone_what_is_no_start_of_its_stack(
    new_stack: NewStack, tmp_path: Path, verb: list[str], elsewhere: bool
) -> None:
    interrupt_at("echopilot_jobs.stack.preflight", signal.SIGSTOP, tmp_path)
    stack = new_stack()
    if elsewhere:
        stack.environment["ECHOPILOT_HOME"] = str(tmp_path)
    stack.launch(*verb, PYTHONPATH=str(tmp_path))
    other = stack.process
    stack.environment.pop("ECHOPILOT_HOME", None)
    eventually(lambda: processes.is_frozen(other.pid))

    stopped = stack.run("stack", "stop")

    assert (stopped.returncode, stopped.stderr) == (0, "stack: no stack is running here\n")
    assert processes.is_frozen(other.pid)


@pytest.mark.parametrize("verb", [[], ["check"]])
def test_a_child_of_the_start_that_is_killed_is_told_with_a_code_of_ours(
    new_stack: NewStack, tmp_path: Path, verb: list[str]
) -> None:
    """As the kernel does when memory has run out."""
    interrupt_at("echopilot_jobs.definitions.probing", signal.SIGKILL, tmp_path, whom="os.kill(os.getpid()")
    stack = new_stack()
    (stack.home / "jobs.toml").write_text('[jobs.mine]\nevery = "1h"\ncommand = ["true"]\n')

    stack.launch(*verb, PYTHONPATH=str(tmp_path))
    code = stack.process.wait(WAIT)

    advice = "memory may have run out: free some, and try again"
    assert re.fullmatch(rf"stack: a child of this start, pid \d+, was ended by SIGKILL; {advice}\n", stack.console)
    assert code == 70


def test_a_check_that_is_interrupted_does_not_say_that_all_is_fine(new_stack: NewStack, tmp_path: Path) -> None:
    interrupt_at("echopilot_jobs.definitions.probing", signal.SIGINT, tmp_path)
    stack = new_stack()

    stack.launch("check", PYTHONPATH=str(tmp_path))

    assert stack.process.wait(WAIT) == 130
    assert stack.console == "stack: interrupted\n"


def test_a_hup_restarts_the_programs_and_keeps_lock_and_plugin(stack: Stack) -> None:
    before = {program.name: program.pid for program in stack.supervisor.programs()}

    stack.process.send_signal(signal.SIGHUP)
    eventually(lambda: "received SIGHUP" in stack.console)
    eventually(lambda: stack.console.count("supervisord started with pid") == 2)
    stack.settle()

    after = {program.name: program.pid for program in stack.supervisor.programs()}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert stack.run("stack").returncode == 75, "the lock went with the descriptors"
    assert "plugin off" not in stack.console
    assert stack.end() == 0


def test_a_supervisord_that_breaks_ends_with_an_exit_code_that_says_so(new_stack: NewStack, tmp_path: Path) -> None:
    """Stock ends with 0 or 1 whatever happened; a platform restarts on 70."""
    (tmp_path / "sitecustomize.py").write_text(
        "import signal\nfrom supervisor import events, supervisord\n"
        "def breaks(self, now=None):\n"
        "    if signal.sigtimedwait([signal.SIGUSR1], 0): raise RuntimeError('broken main loop')\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
        "supervisord.Supervisor.tick = breaks\n"
    )
    stack = new_stack()
    stack.start(PYTHONPATH=str(tmp_path))
    owners = stack.owners()

    code = stack.end(signal.SIGUSR1)

    assert code == 70
    assert "broken main loop" in stack.console
    eventually(lambda: gone(owners))


def test_an_unknown_supervisor_version_only_switches_the_plugin_off(new_stack: NewStack, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import supervisor.options\nsupervisor.options.VERSION = '9.9.9'\n")
    stack = new_stack()

    stack.start(PYTHONPATH=str(tmp_path))

    assert stack.console.count("plugin off: supervisor 9.9.9") == 1
    assert stack.end() == 0
