"""The web application as it is served: gunicorn, a scheduler beside it, raw sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.ledger import SqliteLedger

pytestmark = pytest.mark.process
KEY = "real-key-0123456789abcdef"
ROOT = Path(__file__).parent.parent.parent


@dataclass
class Served:
    """A running pair of processes; `get` and `post` carry the key."""

    home: Path
    port: int
    web: subprocess.Popen[bytes]
    scheduler: subprocess.Popen[bytes] | None
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, **facts: Any) -> requests.Response:
        headers = {"X-Dash-Key": KEY, **facts.pop("headers", {})}
        return self.session.request(method, self.address + path, headers=headers, timeout=60, **facts)

    def raw(self, sent: bytes) -> bytes:
        """What comes back for these very bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            line.sendall(sent)
            got = b""
            with suppress(TimeoutError, ConnectionError):
                while part := line.recv(65_536):
                    got += part
            return got


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Any, what: str, seconds: float = 30.0) -> None:
    """Wait for a real condition with a deadline."""
    clock, pause = SystemClock(), threading.Event()
    deadline = clock.monotonic() + seconds
    while not condition():
        assert clock.monotonic() < deadline, f"waited {seconds} s for {what}"
        pause.wait(0.05)


def answers(port: int) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/livez", timeout=5).ok
    return False


def end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    process.terminate()
    try:
        process.wait(25)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """gunicorn and the scheduler in a home of their own."""
    home, port = tmp_path_factory.mktemp("served"), free_port()
    (home / "var").mkdir(mode=0o700)
    (home / "logs").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ECHOPILOT", "SCHED_", "REPL"))}
    environment = {**kept, "ECHOPILOT_HOME": str(home), "DASHBOARD_KEY": KEY, "PORT": str(port), "TZ": "UTC"}

    def start(*argv: str) -> subprocess.Popen[bytes]:
        with (home / "logs" / f"{argv[0]}.out").open("wb") as out:
            return subprocess.Popen(
                [sys.executable, "-m", *argv], cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True
            )

    conf = "python:echopilot_jobs.stack.gunicorn_conf"
    web = start("gunicorn", "-c", conf, "--bind", f"127.0.0.1:{port}", "echopilot_jobs.web:create_app()")
    scheduler = start("echopilot_jobs", "scheduler")
    try:
        wait_until(lambda: answers(port), "gunicorn to answer")
        wait_until(lambda: requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok, "green health")
        yield Served(home, port, web, scheduler)
    finally:
        end(web)
        end(scheduler)


def test_the_stack_is_green_and_the_root_answers_200(served: Served) -> None:
    health = requests.get(served.address + "/health", timeout=10)
    root = requests.get(served.address + "/", timeout=10)

    assert health.json()["checks"] == {
        "ledger": "ok",
        "scheduler": "ok",
        "supervisor": "unreachable",
        "disk": "ok",
        "jobs_file": "ok",
    }
    assert root.status_code == 200
    assert root.headers["Server"] == "gunicorn"


def test_a_request_through_the_api_is_carried_out_by_the_scheduler(served: Served) -> None:
    queued = served.ask("POST", "/api/jobs/self_heal/run", headers={"Idempotency-Key": "one"})
    assert queued.status_code == 202

    wait_until(
        lambda: served.ask("GET", queued.headers["Location"]).json()["run"]["state"] == "succeeded", "the run to end"
    )
    again = served.ask("POST", "/api/jobs/self_heal/run", headers={"Idempotency-Key": "one"})

    assert again.status_code == 200
    assert again.json()["run"]["id"] == queued.json()["run"]["id"]


def test_two_workers_and_twenty_clients_make_one_run_of_one_key(served: Served) -> None:
    """I24, F63"""

    def click(_: int) -> tuple[int, int]:
        answer = requests.post(
            served.address + "/api/jobs/self_heal/run",
            headers={"X-Dash-Key": KEY, "Idempotency-Key": "many"},
            timeout=30,
        )
        return answer.status_code, answer.json()["run"]["id"]

    with ThreadPoolExecutor(20) as pool:
        answered = list(pool.map(click, range(20)))

    assert sorted(code for code, _ in answered) == [200] * 19 + [202]
    assert len({run for _, run in answered}) == 1


def test_exec_comes_back_with_the_run_whatever_became_of_it(served: Served) -> None:
    answer = served.ask("POST", "/api/exec/report")

    assert answer.status_code in (200, 202, 502)
    body = answer.json()
    assert body["ok"] is (answer.status_code != 502)
    if answer.status_code == 200:
        assert body["data"]
        assert Path(body["html_path"]).suffix == ".html"


def test_a_killed_worker_loses_no_acknowledged_request(served: Served) -> None:
    """F11, I24: a client that repeats its request by its key gets one run."""
    children = Path(f"/proc/{served.web.pid}/task/{served.web.pid}/children").read_text().split()
    acknowledged: dict[str, int] = {}

    def ask(number: int) -> None:
        key = f"kill-{number % 4}"
        for _ in range(40):
            with suppress(requests.RequestException):
                answer = requests.post(
                    served.address + "/api/jobs/daily_report/run",
                    headers={"X-Dash-Key": KEY, "Idempotency-Key": key},
                    timeout=10,
                )
                if answer.status_code in (200, 202):
                    assert acknowledged.setdefault(key, answer.json()["run"]["id"]) == answer.json()["run"]["id"]
                    return

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, number) for number in range(8)]
        os.kill(int(children[0]), signal.SIGKILL)
        for one in asked:
            one.result()
    wait_until(lambda: answers(served.port), "the next worker")

    ledger = SqliteLedger(served.home / "var" / "ledger.sqlite3", create=False)
    keys = [run.request_key for run in ledger.runs(job_name="daily_report", limit=200) if run.request_key]
    ledger.close()
    assert len(keys) == len(set(keys))
    assert {f"web:daily_report:{key}" for key in acknowledged} <= set(keys)


GET = b"GET /api/jobs HTTP/1.1\r\nHost: localhost\r\nX-Dash-Key: " + KEY.encode() + b"\r\nConnection: close\r\n"
POST = GET.replace(b"GET /api/jobs", b"POST /api/jobs/self_heal/run").replace(b"Connection: close\r\n", b"")


@pytest.mark.parametrize(
    ("sent", "codes"),
    [
        (GET + b"\r\n", {200}),
        (GET.replace(b"Host: localhost\r\n", b"") + b"\r\n", {400}),
        (GET + b"Host: evil.example\r\n\r\n", {400}),
        (GET.replace(b"localhost", b"") + b"\r\n", {400}),
        (GET + b"X-Dash-Key: second\r\n\r\n", {401}),
        (GET.replace(KEY.encode(), b"\xff\xfe\x80") + b"\r\n", {400, 401}),
        (GET.replace(KEY.encode(), b"k" * 10_240) + b"\r\n", {400, 431}),
        (GET.replace(b"/api/jobs", b"/api/jobs/%00%ff") + b"\r\n", {404}),
        (GET.replace(b"/api/jobs", b"/api/jobs/../../etc/passwd") + b"\r\n", {404}),
        (GET.replace(b"/api/jobs", b"/" + b"a" * 4_000) + b"\r\n", {400, 414}),
        (GET.replace(b"/api/jobs", b"http://evil.example/api/jobs") + b"\r\n", {200, 400, 404}),
        (GET.replace(b"GET", b"TRACE") + b"\r\n", {405}),
        (GET.replace(b"GET", b"G\x00T") + b"\r\n", {400}),
        (GET.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n", {400, 505}),
        (GET + b" folded: yes\r\n\r\n", {400}),
        (GET + b"bad header\r\n\r\n", {400}),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
        (POST + b"Content-Length: -1\r\n\r\n", {400}),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", {400}),
        (POST + b"Content-Length: 104857600\r\nContent-Type: application/json\r\n\r\n{}", {413}),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 65_536 + b"\r\n1\r\n \r\n0\r\n\r\n", {413}),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", {400, 415}),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabXX", {400, 415}),
        (POST + b"Content-Length: 50\r\n\r\nab", {400}),
        (b"\x16\x03\x01\x02\x00\x01\x00", {400, 0}),
        (b"GET / HTTP/1.0\r\n\r\n", {400}),
    ],
)  # fmt: skip
def test_odd_requests_on_the_wire_are_refused_and_never_a_500(served: Served, sent: bytes, codes: set[int]) -> None:
    """S19"""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as line:
        line.sendall(sent)
        with suppress(OSError):
            line.shutdown(socket.SHUT_WR)
        head = b""
        with suppress(TimeoutError, ConnectionError):
            while b"\r\n\r\n" not in head and (part := line.recv(65_536)):
                head += part

    found = int(head.split()[1]) if head.startswith(b"HTTP/") else 0
    assert found in codes, head[:300]


def test_the_web_process_stays_small(served: Served) -> None:
    """The figure: at most 60 MB resident for each worker after some use."""
    for _ in range(50):
        served.ask("GET", "/api/jobs")
        served.ask("GET", "/api/metrics-summary")
    children = Path(f"/proc/{served.web.pid}/task/{served.web.pid}/children").read_text().split()

    for child in children:
        status = Path(f"/proc/{child}/status").read_text()
        resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        assert resident < 60_000, f"{resident} kB"


def test_every_line_of_the_audit_trail_is_json_and_holds_no_key(served: Served) -> None:
    """S33, I29"""
    served.ask("GET", "/api/jobs", headers={"X-Dash-Key": "a-wrong-guess"})

    text = (served.home / "logs" / "gunicorn.out").read_text()
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    assert KEY not in text
    assert "a-wrong-guess" not in text
    assert {"web.run_requested", "web.login_failed", "web.healed"} <= {event["event"] for event in events}
