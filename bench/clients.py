"""How long /health takes while 60 clients send half a head and 60 send half a body: our worker and gunicorn's own.

    python bench/clients.py

The table goes to standard output, the raw numbers to bench/results/clients.json.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.process.stacks import eventually, free_port  # noqa: E402

OURS = "echopilot_jobs.stack.worker.DeadlineWorker"
SHAPES = [
    ("sync", 2, 1),
    ("gthread", 2, 4),
    ("gthread", 2, 40),
    ("gthread", 2, 160),
    (OURS, 2, 160),
]
PATIENCE = 15.0


def ask(port: int, path: bytes = b"/health") -> float | None:
    """Seconds one request takes, None when nobody answers in time."""
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return time.monotonic() - began if client.recv(4096).startswith(b"HTTP/1.1 ") else None
    except OSError:
        return None


def dawdle(port: int, number: int) -> list[socket.socket]:
    """*number* clients, every other one stuck in its body, the others in their head."""
    clients = []
    for index in range(number):
        client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        head = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        body = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        client.sendall(body + b"Content-Length: 100\r\n\r\nk" if index % 2 else head)
        clients.append(client)
    return clients


def measure(worker: str, workers: int, threads: int) -> dict[str, object]:
    """One gunicorn of this shape with our application, 20 requests among 120 dawdlers, then memory."""
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        shape = ["-k", worker, "-w", str(workers), "--threads", str(threads)]
        command = [sys.executable, "-m", "gunicorn", "-c", "python:echopilot_jobs.stack.gunicorn_conf", *shape]
        environment = {**os.environ, "ECHOPILOT_HOME": home, "PORT": str(port), "PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(
            [*command, "echopilot_jobs.web:create_app()"], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        try:
            eventually(lambda: ask(port, b"/livez"), 30)
            clients = dawdle(port, 120)
            time.sleep(1.0)
            times = []
            for _ in range(20):
                times.append(ask(port))
                if times[-1] is None and len(times) >= 2:
                    break
            for client in clients:
                client.close()
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    answered = [value for value in times if value is not None]
    return {"worker": worker.rpartition(".")[2], "workers": workers, "threads": threads, "asked": len(times),
            "answered": len(answered), "median_s": statistics.median(answered) if answered else None,
            "worst_s": max(answered) if answered else None}  # fmt: skip


def main() -> None:
    """Measure every shape, print it, write it."""
    rows = [measure(*shape) for shape in SHAPES]
    print(f"{'worker':18}{'workers':>8}{'threads':>8}{'answered':>12}{'median s':>10}{'worst s':>10}")
    for row in rows:
        worst, median = (f"{row[k]:.3f}" if row[k] is not None else "-" for k in ("worst_s", "median_s"))
        told = f"{row['answered']} of {row['asked']}"
        print(f"{row['worker']:18}{row['workers']:>8}{row['threads']:>8}{told:>12}{median:>10}{worst:>10}")
    target = ROOT / "bench" / "results" / "clients.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
