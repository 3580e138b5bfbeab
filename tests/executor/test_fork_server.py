"""The process runs are forked from: what it knows, what becomes of runs when it suffers, and whose pids stay visible."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from threading import Thread
from typing import Any

import pytest

from echopilot_jobs import processes
from echopilot_jobs.executor import Cancel, Executor, Heard, child_process
from echopilot_jobs.executor.starting import Begun, ForkServer
from echopilot_jobs.jobs import Command, Python
from echopilot_jobs.processes import become_subreaper, command_line, descendants, end_leftovers, marked
from echopilot_jobs.runs import Outcome, State
from tests.executor.runkit import EXECUTOR, OWNER, Project, a_run, job, left_behind

pytestmark = pytest.mark.process
PROJECT_ROOT = Path(__file__).parent.parent.parent
TRUE = job(Command(("true",)))


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Executor]:
    """One with a fork server of its own, to be made to suffer."""
    made = replace(EXECUTOR, home=tmp_path, server=ForkServer())
    yield made
    made.close()


@pytest.fixture
def cancel() -> Iterator[Cancel]:
    wish = Cancel()
    yield wish
    wish.close()


def server_of(executor: Executor, cancel: Cancel) -> int:
    """The pid of its fork server."""
    return int(executor.carry_out(job(Command(("sh", "-c", "echo $PPID"))), a_run(), cancel).output.text)


def test_the_server_holds_no_secret_and_neither_do_its_children_F53(
    executor: Executor, cancel: Cancel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHBOARD_KEY", "a-secret-that-must-not-travel")
    monkeypatch.setenv("TOKEN_OF_OURS", "filled-into-one-run")
    look = "tr '\\0' '\\n' < /proc/$PPID/environ"

    outcome = executor.carry_out(job(Command(("sh", "-c", look)), env={"T": "${TOKEN_OF_OURS}"}), a_run(), cancel)

    assert "PATH=" in outcome.output.text
    assert "secret" not in outcome.output.text
    assert "TOKEN" not in outcome.output.text


@pytest.mark.parametrize(
    "escape",
    [
        "os.fork() or stay()",
        "os.fork() or (os.setsid(), os.fork() or stay(), os._exit(0))",
        "subprocess.Popen(['setsid', 'sleep', '1000'], close_fds=False)",
        "multiprocessing.get_context('fork').Process(target=stay, daemon=False).start()",
    ],
)
def test_whatever_a_python_job_leaves_behind_is_found_by_its_mark_and_ended_F49(project: Project, escape: str) -> None:
    seen: list[list[int]] = []
    go_on = project.home / "go-on"
    os.mkfifo(go_on)
    body = f"""
        import multiprocessing, os, subprocess, time
        def stay():
            while True: time.sleep(100)
        def run(ctx):
            {escape}
            ctx.progress(0)
            open({str(go_on)!r}).read()
            os._exit(5)
    """

    def hear(_heard: Heard) -> None:
        seen.append(left_behind())
        go_on.write_text("seen")

    outcome = project.python(body, hear=hear)

    assert outcome.error == "ended without an answer: exit status 5"
    assert len(seen[0]) >= 2, "of the job's own process and its escapee one is not to be found by its mark"
    assert left_behind() == []


def test_after_a_killed_scheduler_nothing_of_a_python_job_is_beyond_reach_F4_I8(tmp_path: Path) -> None:
    """Killed are the parent and, by the kernel, its fork server and the job; found are those that escaped all three."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    (tmp_path / "work.py").write_text(
        dedent(
            f"""
            import os, subprocess, time
            def run():
                forked = os.fork() or time.sleep(1000)
                double = subprocess.Popen(["sh", "-c", "setsid sleep 1000 & exec sleep 1000"], start_new_session=True)
                open({str(ready)!r}, "w").write(f"{{os.getppid()}} {{os.getpid()}} {{forked}} {{double.pid}}")
                time.sleep(1000)
            """
        )
    )
    script = dedent(
        f"""
        from pathlib import Path
        from dataclasses import replace
        from tests.executor.runkit import EXECUTOR, a_run, job
        from echopilot_jobs.executor import Cancel
        from echopilot_jobs.jobs import Python
        executor = replace(EXECUTOR, home=Path({str(tmp_path)!r}), owner="killed:{os.getpid()}")
        executor.carry_out(job(Python("work:run")), a_run(), Cancel())
        """
    )
    environ = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    scheduler = os.spawnve(os.P_NOWAIT, sys.executable, [sys.executable, "-c", script], environ)
    server, work, forked, double = map(int, ready.read_text().split())
    ends = [os.pidfd_open(pid) for pid in (server, work)]
    mark = f"killed:{os.getpid()}/"
    before = marked(processes.MARK, mark, prefix=True)

    os.kill(scheduler, signal.SIGKILL)
    os.waitpid(scheduler, 0)
    for end in ends:
        assert select.select([end], [], [], 10)[0], "it outlived its scheduler"
        os.close(end)
    escaped = marked(processes.MARK, mark, prefix=True)
    count = end_leftovers(f"killed:{os.getpid()}")

    assert {work, forked, double} <= set(before)
    assert len(escaped) == count == 3  # the fork, the shell that became `sleep`, and the one it set free
    assert {forked, double} <= set(escaped)
    assert marked(processes.MARK, mark, prefix=True) == []


def test_runs_of_a_killed_server_fail_and_say_so_and_the_next_run_has_a_new_one(
    executor: Executor, cancel: Cancel
) -> None:
    server = server_of(executor, cancel)

    outcome = executor.carry_out(job(Command(("sh", "-c", "kill -9 $PPID; sleep 1000"))), a_run(), cancel)
    after = server_of(executor, cancel)

    assert (outcome.state, outcome.exit_status, outcome.error) == (State.FAILED, None, child_process.SERVER_DIED)
    assert left_behind() == []
    assert after != server


def test_a_server_that_stands_still_costs_its_runs_their_time_and_nothing_starts_late_I13(
    executor: Executor, cancel: Cancel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(ForkServer, "wake", lambda _server: None)  # as under a debugger, where no signal helps
    server = server_of(executor, cancel)
    os.kill(server, signal.SIGSTOP)

    outcome = executor.carry_out(job(Command(("touch", "started")), timeout=0.2), a_run(), cancel)
    os.kill(server, signal.SIGCONT)
    next_one = executor.carry_out(TRUE, a_run(), cancel)

    assert outcome.state is State.TIMED_OUT
    assert outcome.error == "could not be started within its timeout of 0.2 s and was ended"
    assert next_one.state is State.SUCCEEDED
    assert not (tmp_path / "started").exists()


def test_a_run_is_ended_in_time_even_while_the_server_stands_still_I13(executor: Executor, cancel: Cancel) -> None:
    server = server_of(executor, cancel)
    line = "kill -STOP $PPID; exec sleep 1000"

    outcome = executor.carry_out(job(Command((line,), shell=True), timeout=0.5), a_run(), cancel)
    os.kill(server, signal.SIGCONT)

    assert outcome.state is State.TIMED_OUT
    assert left_behind() == []
    assert server_of(executor, cancel) == server


@contextmanager
def no_more_descriptors(pid: int) -> Iterator[None]:
    """Process *pid* may open nothing beyond what it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    held = max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(held, 3), before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_without_descriptors_a_run_fails_with_the_reason_and_the_next_one_starts_I15_F56(
    executor: Executor, cancel: Cancel
) -> None:
    server = server_of(executor, cancel)

    with no_more_descriptors(os.getpid()):
        here = executor.carry_out(TRUE, a_run(), cancel)
    with no_more_descriptors(server):
        there = executor.carry_out(TRUE, a_run(), cancel)
    after = executor.carry_out(TRUE, a_run(), cancel)

    assert (here.state, here.error) == (State.FAILED, "its process could not be started: Too many open files")
    assert there.state is State.FAILED
    assert "has no descriptor left" in (there.error or "")
    assert after.state is State.SUCCEEDED


def test_a_fork_that_the_system_refuses_fails_the_run_with_the_reason_I15_F56(
    tmp_path: Path, cancel: Cancel, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = (
        "import errno, os\ndef fork(): raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))\nos.fork = fork"
    )
    (tmp_path / "usercustomize.py").write_text(refusing)
    (tmp_path / "sitecustomize.py").write_text(refusing)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    executor = replace(EXECUTOR, server=ForkServer())

    outcome = executor.carry_out(TRUE, a_run(), cancel)
    executor.close()

    reason = "its process could not be started: Resource temporarily unavailable"
    assert (outcome.state, outcome.error) == (State.FAILED, reason)


def test_no_zombie_stays_whatever_runs_leave_behind_F50(executor: Executor, cancel: Cancel) -> None:
    server = server_of(executor, cancel)
    before = zombies_of(os.getpid())
    line = "setsid sh -c '(sleep 0.01 &) ; exit 0' & (sleep 1000 &) ; exit 0"

    for _ in range(20):
        executor.carry_out(job(Command((line,), shell=True)), a_run(), cancel)
    server_of(executor, cancel)

    assert len(zombies_of(server)) <= 1  # the child that was asked for the server's pid may not be collected yet
    assert zombies_of(os.getpid()) - before == set()


def zombies_of(parent: int) -> set[str]:
    """Each by pid, name and group, so that a test that fails says whose they are."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = path.read_text(encoding="utf-8", errors="replace").rpartition(")")
        except OSError:
            continue
        state, ppid, group, *_ = rest.split()
        if state == "Z" and int(ppid) == parent:
            found.add(f"{head}) of group {group}")
    return found


def test_a_run_dumps_no_core_reads_nothing_and_is_alone_in_its_session(executor: Executor, cancel: Cancel) -> None:
    line = "ulimit -c; cat; umask; cut -d' ' -f1,5,6 /proc/$$/stat"

    outcome = executor.carry_out(job(Command((line,), shell=True)), a_run(), cancel)

    core, umask, ids = outcome.output.text.splitlines()
    assert (core, umask) == ("0", "0077")
    assert len(set(ids.split())) == 1  # its process, its group, its session


def test_what_a_job_takes_in_memory_is_gone_with_it_F55(project: Project) -> None:
    body = "import os\ndef run():\n    keep.append(bytearray(60_000_000))\n    return os.getppid()\nkeep = []"
    server = project.python(body).result

    before = resident(server)
    for _ in range(5):
        project.python(body)

    assert resident(server) - before < 8_000_000


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_server_ends_with_what_it_runs_when_it_is_let_go(executor: Executor, cancel: Cancel) -> None:
    server = os.pidfd_open(server_of(executor, cancel))

    executor.close()

    assert select.select([server], [], [], 10)[0]
    os.close(server)


def test_a_server_started_without_room_for_a_mark_says_so(tmp_path: Path) -> None:
    from echopilot_jobs.executor.mark import MarkRoom

    with pytest.raises(LookupError, match="started without room for a mark"):
        MarkRoom.find()


def test_a_mark_too_long_for_its_room_is_refused() -> None:
    from echopilot_jobs.executor.mark import MarkRoom

    with pytest.raises(ValueError, match="there is room for 255"):
        MarkRoom(0).write(OWNER * 100)


NAMELESS = "env -i setsid -f sh -c 'echo $$ > {file}; exec sleep 1000'; until [ -s {file} ]; do :; done"


def has_ended(file: Path) -> bool:
    return not command_line(int(file.read_text(encoding="ascii")))


@pytest.mark.parametrize("end", ["exit 0", "exit 3", "kill -9 $$"])
def test_what_shed_its_environment_and_its_session_ends_with_its_run_too_F49(
    tmp_path: Path, executor: Executor, cancel: Cancel, end: str
) -> None:
    line = f"{NAMELESS.format(file=tmp_path / 'pid')}; {end}"

    executor.carry_out(job(Command((line,), shell=True)), a_run(), cancel)

    assert has_ended(tmp_path / "pid")


def test_what_shed_everything_and_forks_on_ends_with_its_run_too_F49(
    tmp_path: Path, executor: Executor, cancel: Cancel
) -> None:
    (tmp_path / "fleeing.py").write_text(
        dedent("""
            import os

            def run():
                read, write = os.pipe()
                if not os.fork():
                    for _ in range(4):  # each in a session of its own, its parent gone
                        os.setsid()
                        if os.fork():
                            os._exit(0)
                    script = 'for n in 1 2 3; do (sleep 1000 &) ; done; echo $$; sleep 1000'
                    os.dup2(write, 1)
                    os.execve('/bin/sh', ['sh', '-c', script], {})
                return int(os.read(read, 20))
        """),
        encoding="utf-8",
    )

    outcome = executor.carry_out(job(Python("fleeing:run")), a_run(), cancel)

    assert outcome.state is State.SUCCEEDED
    assert not command_line(outcome.result)
    assert descendants(server_of(executor, cancel)) == []


def test_the_end_of_one_run_harms_nothing_of_another(tmp_path: Path, executor: Executor, cancel: Cancel) -> None:
    file, go_on = tmp_path / "pid", tmp_path / "go"
    os.mkfifo(go_on)
    line = f"{NAMELESS.format(file=file)}; read word < {go_on}; kill -0 $(cat {file}) && echo alive"
    results: list[str] = []
    long = Thread(
        target=lambda: results.append(
            executor.carry_out(job(Command((line,), shell=True)), a_run(), cancel).output.text
        )
    )

    long.start()
    with go_on.open("w", encoding="ascii") as fifo:  # opens when the long run reads: its orphan is there
        executor.carry_out(job(Command(("sh", "-c", "exit 0"))), a_run(id=1), cancel)
        fifo.write("now\n")
    long.join()

    assert results == ["alive\n"]
    assert has_ended(file)


def test_a_run_that_kills_what_it_was_forked_from_ends_the_others_too_and_they_say_so_I12(
    tmp_path: Path, executor: Executor, cancel: Cancel
) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    others: list[Outcome] = []
    line = f"echo > {ready}; exec sleep 1000"
    other = Thread(target=lambda: others.append(executor.carry_out(job(Command((line,), shell=True)), a_run(), cancel)))

    other.start()
    ready.read_text()
    executor.carry_out(job(Command(("sh", "-c", "kill -9 $PPID; sleep 1000"))), a_run(id=1), cancel)
    other.join()

    assert [(each.state, each.exit_status, each.error) for each in others] == [
        (State.FAILED, None, child_process.SERVER_DIED)
    ]


def test_a_run_that_kills_what_it_was_forked_from_leaves_no_zombie(executor: Executor, cancel: Cancel) -> None:
    become_subreaper()
    before = zombies_of(os.getpid())

    for _ in range(3):
        executor.carry_out(job(Command(("sh", "-c", "kill -9 $PPID; sleep 1000"))), a_run(), cancel)
    executor.close()

    assert zombies_of(os.getpid()) - before == set()


class SlowToDie(ForkServer):
    """One whose last word comes well before its end: it is gone only when somebody waits for that."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[socket.socket] = []

    def begin(self, order: Mapping[str, Any]) -> Begun:
        real = super().begin(order)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            select.select([real.status], [], [])
            theirs.send(real.status.recv(4096))
        self.held.append(real.status)  # closed, it would let the server collect its child
        return replace(real, status=ours, keeper=DiesWhenJoined(self._pid, real.keeper))


class DiesWhenJoined(Thread):
    def __init__(self, server: int | None, keeper: Thread) -> None:
        super().__init__()
        self.server = server
        self.keeper = keeper

    def join(self, timeout: float | None = None) -> None:
        assert self.server is not None
        os.kill(self.server, signal.SIGKILL)
        self.keeper.join(timeout)


def test_a_run_is_collected_however_slowly_the_process_dies_that_it_was_forked_from_F50(
    tmp_path: Path, cancel: Cancel
) -> None:
    become_subreaper()
    server = SlowToDie()
    before = zombies_of(os.getpid())

    outcome = replace(EXECUTOR, home=tmp_path, server=server).carry_out(TRUE, a_run(), cancel)
    server.close()
    for status in server.held:
        status.close()

    assert outcome.error == child_process.SERVER_DIED
    assert zombies_of(os.getpid()) - before == set()


def test_a_run_that_stops_what_it_was_forked_from_stops_no_other_I15(executor: Executor, cancel: Cancel) -> None:
    stops = job(Command(("sh", "-c", "kill -STOP $PPID; echo done")))

    first = executor.carry_out(stops, a_run(), cancel)
    server = int(executor.carry_out(job(Command(("sh", "-c", "echo $PPID"))), a_run(), cancel).output.text)
    os.kill(server, signal.SIGSTOP)
    begun_meanwhile = executor.carry_out(TRUE, a_run(), cancel)

    assert (first.state, first.output.text) == (State.SUCCEEDED, "done\n")
    assert begun_meanwhile.state is State.SUCCEEDED
