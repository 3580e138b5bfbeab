"""What comes back, what goes away, and that nothing is left over, under real SIGKILLs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from echopilot_jobs import processes
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import Run, State
from tests.process.stacks import WAIT, Stack, eventually

pytestmark = pytest.mark.process
NewStack = Callable[..., Stack]


@pytest.fixture
def stack(new_stack: NewStack) -> Stack:
    """A stack whose programs have been up for `startsecs`: what is killed then is started again without a pause."""
    made = new_stack()
    made.start()
    made.settle()
    return made


def gone(owners: list[processes.Owner]) -> bool:
    return not any(processes.is_alive(owner) for owner in owners)


def workers(stack: Stack) -> list[int]:
    return processes.descendants(stack.pid("web"))


def test_a_killed_scheduler_comes_back_and_the_web_never_notices(stack: Stack) -> None:
    """I27."""
    old, web = processes.owner_of(stack.pid("scheduler")), stack.pid("web")

    os.kill(old.pid, signal.SIGKILL)
    eventually(lambda: stack.program("scheduler").pid not in (None, old.pid))
    stack.settle()

    assert stack.pid("web") == web
    assert not processes.is_alive(old)
    told = [
        line for line in (stack.home / "logs" / "scheduler.log").read_text().splitlines() if "scheduler.died" in line
    ]
    assert len(told) == 1
    assert "its process was killed by a signal" in told[0]  # what supervisord saw of it


def test_a_killed_gunicorn_master_leaves_no_worker_on_the_port(stack: Stack) -> None:
    """I27: the new master opens the port, since the orphaned workers close it at once."""
    master = processes.owner_of(stack.pid("web"))
    old = [processes.owner_of(pid) for pid in workers(stack)]

    os.kill(master.pid, signal.SIGKILL)
    eventually(lambda: stack.program("web").pid not in (None, master.pid))
    stack.settle()

    eventually(lambda: gone(old))
    assert stack.answers()
    assert "Address already in use" not in (stack.home / "logs" / "web.log").read_text()


def test_a_killed_worker_is_replaced_while_the_other_answers(stack: Stack) -> None:
    master = stack.pid("web")
    first, second = workers(stack)

    os.kill(first, signal.SIGKILL)

    assert stack.answers()
    eventually(lambda: len(workers(stack)) == 2 and first not in workers(stack))
    assert second in workers(stack)
    assert stack.pid("web") == master


def test_killing_supervisord_ends_all_its_programs_and_the_next_start_is_clean(stack: Stack) -> None:
    """F7."""
    owners = stack.owners()

    stack.process.kill()
    stack.process.wait(WAIT)

    eventually(lambda: gone(owners))
    stack.start()
    assert len([p for p in stack.supervisor.programs() if p.name == "scheduler"]) == 1
    assert stack.end() == 0


def test_the_next_start_ends_what_did_not_die_with_the_killed_one(new_stack: NewStack) -> None:
    """Programs of other people ask for no signal when supervisord dies; they must not run twice."""
    stack = new_stack()
    stack.configure("[program:stranger]\ncommand=sleep 600\n")
    stack.start()
    stranger = processes.owner_of(stack.pid("stranger"))
    stack.process.kill()
    stack.process.wait(WAIT)
    assert processes.is_alive(stranger)

    stack.start()

    assert not processes.is_alive(stranger)
    assert str(stranger.pid) in stack.console
    assert stack.end() == 0


LASTS = """
[jobs.{name}]
manual = true
shell = true
command = "test -e again && exit 0; touch begun-$ECHOPILOT_JOB; sleep 1000"
idempotent = {idempotent}
"""


def test_a_start_right_after_a_killed_supervisord_cuts_runs_off_and_says_so_F7_I12(new_stack: NewStack) -> None:
    """The new start ends the old programs; a run that went down with them did not fail, and goes on if it may."""
    stack = new_stack()
    jobs = [LASTS.format(name="once", idempotent="false"), LASTS.format(name="repeatable", idempotent="true")]
    (stack.home / "jobs.toml").write_text("".join(jobs))
    stack.start()
    for name in ("once", "repeatable"):
        assert stack.run("echopilot", "run", name).returncode == 0
        eventually((stack.home / f"begun-{name}").exists)

    stack.process.kill()
    stack.process.wait(WAIT)
    (stack.home / "again").touch()
    stack.start()

    assert "ended what a killed stack had left running" in stack.console
    once, repeatable = run_of(stack, "once"), run_of(stack, "repeatable")
    assert (once.state, once.exit_status) == (State.ABANDONED, -signal.SIGTERM)
    assert once.error is not None
    assert once.error.startswith("cut off: the scheduler was stopped while it ran")
    eventually(lambda: run_of(stack, "repeatable").state is State.SUCCEEDED, what="the repeatable run to go on")
    assert run_of(stack, "repeatable").id == repeatable.id
    assert stack.end() == 0


def run_of(stack: Stack, job_name: str) -> Run:
    """The only run of a job."""
    ledger = SqliteLedger(stack.home / "var" / "ledger.sqlite3", create=False)
    try:
        (run,) = ledger.runs(job_name=job_name, limit=10)
        return run
    finally:
        ledger.close()


WAITS_FOR_THE_OTHER = """
import pathlib, signal, sys
def leave(*_):
    pathlib.Path("told-" + sys.argv[1]).touch()
    while not (pathlib.Path("told-a").exists() and pathlib.Path("told-b").exists()):
        signal.sigtimedwait([], 0.05)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
while True:
    signal.pause()
"""


def test_all_programs_are_told_to_stop_at_the_same_time(new_stack: NewStack) -> None:
    """Each of the two leaves only when the other was told, too: one after the other would end in SIGKILL."""
    stack = new_stack()
    (stack.home / "wait.py").write_text(WAITS_FOR_THE_OTHER)
    for name in "ab":
        stack.configure(f"[program:{name}]\ncommand=python wait.py {name}\ndirectory=%(here)s\nstopwaitsecs=30\n")
    stack.start()

    code = stack.end()

    assert code == 0
    assert "SIGKILL" not in stack.console
    assert {"told-a", "told-b"} <= {path.name for path in stack.home.iterdir()}


NOISE = """
import sys, time
while True:
    sys.stdout.write("x" * 998 + "\\n")
    sys.stdout.flush()
    time.sleep(0.0005)
"""


def test_deleting_the_logs_folder_under_heavy_output_does_not_end_the_stack(new_stack: NewStack) -> None:
    """Stock supervisord dies of the next rollover and leaves its programs as orphans."""
    stack = new_stack()
    (stack.home / "noise.py").write_text(NOISE)
    stack.configure(
        "[program:noise]\ncommand=python noise.py\ndirectory=%(here)s\nredirect_stderr=true\n"
        "stdout_logfile=%(here)s/logs/noise.log\nstdout_logfile_maxbytes=100KB\nstdout_logfile_backups=1\n"
    )
    log = stack.home / "logs" / "supervisord.log"
    stack.start()
    eventually((stack.home / "logs" / "noise.log.1").exists)

    for _ in range(3):
        shutil.rmtree(stack.home / "logs")
        eventually((stack.home / "logs" / "noise.log.1").exists)

    stack.settle()
    old = stack.pid("noise")
    os.kill(old, signal.SIGKILL)
    eventually(lambda: stack.program("noise").pid not in (None, old))
    eventually(log.exists)
    assert stack.end() == 0


def test_a_console_nobody_reads_does_not_block_the_stack(new_stack: NewStack) -> None:
    stack = new_stack()
    (stack.home / "noise.py").write_text(NOISE)
    stack.configure(
        "[program:noise]\ncommand=python noise.py\ndirectory=%(here)s\nredirect_stderr=true\n"
        "stdout_logfile=%(here)s/logs/noise.log\nstdout_logfile_maxbytes=1MB\nstdout_events_enabled=true\n"
    )
    (stack.home / "console.txt").touch()
    read, write = os.pipe()
    command = [sys.executable, str(stack.home / "bin" / "stack")]
    stack.started.append(subprocess.Popen(command, stdout=write, stderr=write, env=stack.environment, cwd=stack.home))
    os.close(write)
    try:
        stack.settle()
        eventually(lambda: (stack.home / "logs" / "noise.log").stat().st_size > 300_000)

        assert stack.run("supervisorctl", "status").returncode == 0
        assert stack.end() == 0
    finally:
        os.close(read)


def test_dawdling_clients_do_not_keep_others_from_an_answer(stack: Stack) -> None:
    """F75: 60 half-open heads and 60 bodies that never come."""
    clients = []
    try:
        for index in range(120):
            client = socket.create_connection(("127.0.0.1", stack.port), timeout=WAIT)
            clients.append(client)
            head = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
            body = b"POST /api/self-heal HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            client.sendall(body if index % 2 else head)

        assert all(stack.answers() for _ in range(20))
        assert stack.program("web").state == "RUNNING"
    finally:
        for client in clients:
            client.close()


def test_a_dawdling_head_is_cut_off_in_the_end(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=WAIT) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost:")

        assert client.recv(1) == b"", "the server hangs up, without a word"
    assert stack.answers()


def test_a_stop_takes_the_port_away_at_once_and_a_request_in_flight_is_answered(stack: Stack) -> None:
    """I25 for the web: the request came before the stop."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=WAIT) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        threading.Event().wait(0.3)
        stack.process.terminate()
        eventually(lambda: not stack.answers())
        client.sendall(b"Connection: close\r\n\r\n")

        assert client.recv(12) == b"HTTP/1.1 200"
    assert stack.process.wait(WAIT) == 0


def test_the_disk_limit_of_all_logs_is_what_the_configuration_says() -> None:
    """Under 100 MB together with the scheduler's own 55 MB; computed from the file we ship."""
    import configparser

    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read(Path(__file__).parents[2] / "supervisord.conf")
    total = 0
    for section in parser.sections():
        for prefix in ("", "stdout_"):
            if size := parser.get(section, f"{prefix}logfile_maxbytes", fallback=""):
                total += int(size.removesuffix("MB")) * (1 + parser.getint(section, f"{prefix}logfile_backups"))

    assert total < 45
