"""The client of supervisord's process table, against a real supervisord."""

from __future__ import annotations

import os
import signal
import socket
import threading
import xmlrpc.client
from datetime import timedelta
from pathlib import Path

import pytest

from echopilot_jobs import processes
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.errors import SupervisorUnreachable, UnknownName
from echopilot_jobs.supervision import Supervisor
from tests.process.stacks import Stack, eventually

pytestmark = pytest.mark.process


def test_the_table_tells_pid_state_and_start(running: Stack) -> None:
    scheduler, web = running.supervisor.programs()

    assert (scheduler.name, scheduler.state) == ("scheduler", "RUNNING")
    assert web.pid is not None
    assert scheduler.exit_status is None
    assert scheduler.started_at is not None
    assert timedelta(0) <= SystemClock().now() - scheduler.started_at < timedelta(minutes=5)
    assert running.supervisor.pid() == running.process.pid


def test_a_program_can_be_stopped_started_and_restarted_again_and_again(stack: Stack) -> None:
    stack.settle()  # a TERM before the scheduler has its handlers ends it, too, but not with 0
    old = stack.pid("scheduler")

    stack.supervisor.stop("scheduler")
    stopped = eventually(lambda: next(iter(p for p in stack.supervisor.programs() if p.state == "STOPPED"), None))
    stack.supervisor.stop("scheduler")

    assert (stopped.name, stopped.pid, stopped.exit_status) == ("scheduler", None, 0)

    stack.supervisor.start("scheduler")
    stack.supervisor.start("scheduler")
    eventually(lambda: stack.program("scheduler").pid)
    middle = stack.pid("scheduler")
    stack.supervisor.restart("scheduler")

    assert len({old, middle, eventually(lambda: stack.program("scheduler").pid)}) == 3


@pytest.mark.parametrize("name", ["all", "*", "web:*", "scheduler ", "Web", "", "../web", "sheduler"])
def test_only_names_of_the_table_are_passed_on(running: Stack, name: str) -> None:
    """S22: 'all' and 'group:*' mean something to supervisord."""
    with pytest.raises(UnknownName, match="known: scheduler, web"):
        running.supervisor.stop(name)


def test_without_a_stack_the_message_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(SupervisorUnreachable, match="start it with `bin/stack`"):
        Supervisor(tmp_path / "supervisor.sock").programs()


def test_a_socket_without_a_listener_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    with pytest.raises(SupervisorUnreachable, match="gone"):
        Supervisor(path).programs()


def test_a_frozen_supervisord_is_an_error_and_not_a_wait(stack: Stack) -> None:
    os.kill(stack.process.pid, signal.SIGSTOP)
    eventually(lambda: processes.is_frozen(stack.process.pid))

    with pytest.raises(SupervisorUnreachable, match="frozen or overloaded"):
        Supervisor(stack.supervisor.socket, answer_seconds=0.3).programs()


def answered(path: Path, answer: bytes) -> str:
    """What the caller is told when the one listening on *path* gives this answer."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def babble() -> None:
            connection, _ = server.accept()
            with connection:
                heard = b""
                while b"</methodCall>" not in heard:
                    heard += connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=babble, daemon=True)
        thread.start()

        with pytest.raises(SupervisorUnreachable) as told:
            Supervisor(path, answer_seconds=5).programs()
        thread.join(10)
        return str(told.value)


def test_an_answer_that_is_no_answer_is_an_error(tmp_path: Path) -> None:
    assert "broke off" in answered(tmp_path / "supervisor.sock", b"220 hello, this is something else\r\n")


@pytest.mark.parametrize(
    "table",
    [
        [{"name": "web"}],
        [{"name": "web", "group": "web", "start": -(10**9), "statename": "RUNNING", "pid": "x", "description": ""}],
        ["web"],
        7,
        {"name": "web"},
    ],
)
def test_a_table_that_is_none_is_told_as_that(tmp_path: Path, table: object) -> None:
    body = xmlrpc.client.dumps((table,), methodresponse=True).encode()
    head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    assert "is no supervisord; end it" in answered(tmp_path / "supervisor.sock", head + body)


def test_a_supervisord_that_is_about_to_go_counts_as_gone(tmp_path: Path) -> None:
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(6, "SHUTDOWN_STATE"), methodresponse=True).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(fault)}\r\n\r\n".encode()

    assert "shutting down" in answered(tmp_path / "supervisor.sock", head + fault)
