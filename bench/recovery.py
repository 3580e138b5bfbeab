"""How fast the stack starts, comes back and goes away, and what it costs while nothing happens.

    python bench/recovery.py                      kills only, about 7 minutes
    python bench/recovery.py --idle-minutes 10    also CPU and memory at rest

Every figure is measured on a copy of the project in a temporary folder, with the real bin/stack. The table goes to
standard output, the raw numbers to bench/results/recovery.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from echopilot_jobs import processes  # noqa: E402
from echopilot_jobs.clock import EPOCH  # noqa: E402
from echopilot_jobs.ledger import SqliteLedger  # noqa: E402
from echopilot_jobs.runs import State  # noqa: E402
from tests.process.stacks import Stack  # noqa: E402

Figures = dict[str, list[float]]


def until(look: Callable[[], object], since: float, seconds: float = 60.0) -> float:
    """Seconds from *since* until *look* is true, looked at every 2 ms."""
    while not look():
        if time.monotonic() - since > seconds:
            raise SystemExit(f"gave up after {seconds:g} s")
        time.sleep(0.002)
    return time.monotonic() - since


def child_pid(stack: Stack, program: str) -> int:
    """The pid of a program, read from the process tree: asking supervisord would wake it and flatter the figure."""
    word = {"scheduler": "echopilot_jobs scheduler", "web": "-m gunicorn"}[program]
    for pid in Path(f"/proc/{stack.process.pid}/task/{stack.process.pid}/children").read_text().split():
        if word in processes.command_line(int(pid)):
            return int(pid)
    return 0


def started(stack: Stack, pid: int) -> bool:
    """Whether the scheduler *pid* has written its `startup` line: it holds the lease and plans."""
    log = stack.home / "logs" / "scheduler.log"
    return log.exists() and f'"pid":{pid}}}' in log.read_text().replace(" ", "")


def kill_scheduler(stack: Stack, figures: Figures) -> None:
    """New process, and from the kill until it plans."""
    old, began = child_pid(stack, "scheduler"), time.monotonic()
    os.kill(old, signal.SIGKILL)
    spawned = until(lambda: child_pid(stack, "scheduler") not in (0, old), began)
    ready = until(lambda: started(stack, child_pid(stack, "scheduler")), began)
    figures.setdefault("scheduler killed: new process", []).append(spawned)
    figures.setdefault("scheduler killed: planning again", []).append(ready)


def kill_master(stack: Stack, figures: Figures) -> None:
    """New master, and from the kill until it answers with no old worker left."""
    old, began = child_pid(stack, "web"), time.monotonic()
    workers = [processes.owner_of(pid) for pid in processes.descendants(old)]
    os.kill(old, signal.SIGKILL)
    spawned = until(lambda: child_pid(stack, "web") not in (0, old), began)
    gone = until(lambda: not any(map(processes.is_alive, workers)), began)
    ready = until(stack.answers, began)
    figures.setdefault("gunicorn master killed: new process", []).append(spawned)
    figures.setdefault("gunicorn master killed: old workers gone", []).append(gone)
    figures.setdefault("gunicorn master killed: answering again", []).append(ready)


def kill_worker(stack: Stack, figures: Figures) -> None:
    """New worker, and requests that failed while four clients asked all the time."""
    workers = processes.descendants(child_pid(stack, "web"))
    failed: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            if not stack.answers():
                failed.append(1)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    began = time.monotonic()
    os.kill(workers[0], signal.SIGKILL)
    back = until(lambda: len(set(processes.descendants(child_pid(stack, "web"))) - {workers[0]}) == 2, began)
    over.set()
    for client in clients:
        client.join()
    figures.setdefault("gunicorn worker killed: new worker", []).append(back)
    figures.setdefault("gunicorn worker killed: failed requests (count)", []).append(len(failed))


def one_life(stack: Stack, number: int, name: str, figures: Figures) -> None:
    """Start to serving and planning, then the signal, then until nothing of it is left."""
    began = time.monotonic()
    stack.launch()
    figures.setdefault("start: answering", []).append(until(stack.answers, began))
    planning = until(lambda: (pid := child_pid(stack, "scheduler")) and started(stack, pid), began)
    figures.setdefault("start: planning", []).append(planning)
    stack.settle()
    owners, began = stack.owners(), time.monotonic()
    stack.process.send_signal(number)
    stack.process.wait()
    figures.setdefault(name, []).append(until(lambda: not any(map(processes.is_alive, owners)), began))


def lives(home: Path, rounds: int, figures: Figures) -> None:
    """Whole lives, ended by TERM and by kill -9 of supervisord in turn."""
    ends = [(signal.SIGTERM, "TERM: everything gone"), (signal.SIGKILL, "supervisord killed: everything gone")]
    for number in range(rounds):
        for end, name in ends:
            stack = Stack(home / f"life{number}-{end.name}")
            try:
                one_life(stack, end, name, figures)
            finally:
                stack.tear_down()


def cpu_seconds(pid: int) -> float:
    """CPU time *pid* has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> tuple[float, float]:
    """RSS and PSS in MB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = dict(line.split(":", 1) for line in rollup.splitlines()[1:])
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("Rss", "Pss"))  # type: ignore[return-value]


def at_rest(stack: Stack, minutes: float) -> dict[str, dict[str, float]]:
    """CPU-seconds over *minutes* of nothing but heartbeats, and memory at the end, per process."""
    master = child_pid(stack, "web")
    named = {"supervisord": stack.process.pid, "scheduler": child_pid(stack, "scheduler"), "web master": master}
    named |= {f"web worker {n}": pid for n, pid in enumerate(processes.descendants(master), start=1)}
    before = {name: cpu_seconds(pid) for name, pid in named.items()}
    time.sleep(60 * minutes)
    result = {}
    for name, pid in named.items():
        rss, pss = memory(pid)
        result[name] = {
            "cpu_s": round(cpu_seconds(pid) - before[name], 2),
            "rss_mb": round(rss, 1),
            "pss_mb": round(pss, 1),
        }
    return result


def health_ms(stack: Stack) -> float:
    """One GET of /health, in ms."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.request("GET", "/health")
    connection.getresponse().read()
    connection.close()
    return (time.monotonic() - began) * 1000


def leftovers(home: Path) -> dict[str, int]:
    """What the ledger says when all is over: nothing running, no slot twice, no heartbeat slot without a row."""
    ledger = SqliteLedger(home / "var" / "ledger.sqlite3")
    try:
        every, running = ledger.runs(limit=200), ledger.runs(states=frozenset({State.RUNNING}))
        skipped = {skip.slot.due_at for skip in ledger.skips_between(EPOCH, EPOCH + timedelta(days=36500))}
    finally:
        ledger.close()
    slots = [(run.job_name, run.slot.due_at, run.attempt) for run in every if run.slot]
    beats = {due for job, due, _ in slots if job == "heartbeat"}
    span = (max(beats) - min(beats)) // timedelta(minutes=1) if beats else 0
    due = {min(beats) + timedelta(minutes=n) for n in range(span)}
    return {
        "runs": len(every),
        "still running": len(running),
        "doubled slots": len(slots) - len(set(slots)),
        "heartbeat slots": len(due | beats),
        "heartbeat slots without a row": len(due - beats - skipped),
    }


def show(figures: Figures) -> None:
    """The table, in seconds unless the name says otherwise."""
    print(f"\n{'':48}{'n':>4}{'median':>10}{'worst':>10}")
    for name, values in figures.items():
        print(f"{name:48}{len(values):4d}{statistics.median(values):10.3f}{max(values):10.3f}")


def kills(home: Path, rounds: int, minutes: float, figures: Figures) -> dict[str, object]:
    """One stack through all kills, then at rest, then stopped; what the ledger says of it."""
    stack = Stack(home / "kills")
    try:
        stack.start()
        stack.settle()
        for kill in (kill_scheduler, kill_master, kill_worker):
            for _ in range(rounds):
                kill(stack, figures)
                stack.settle()
        figures["health, quiet (ms)"] = [health_ms(stack) for _ in range(50)]
        rest = at_rest(stack, minutes) if minutes else {}
        stack.end()
        return {"idle_minutes": minutes, "idle": rest, "ledger": leftovers(stack.home)}
    finally:
        stack.tear_down()


def main() -> None:
    """Measure everything asked for, print it, write it."""
    parser = argparse.ArgumentParser(description="measure starts, kills, stops and rest of the stack")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--lives", type=int, default=5)
    parser.add_argument("--idle-minutes", type=float, default=0.0)
    wanted = parser.parse_args()
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="echopilot-bench-") as folder:
        lives(Path(folder), wanted.lives, figures)
        rest = kills(Path(folder), wanted.kills, wanted.idle_minutes, figures)
    show(figures)
    for name, row in rest["idle"].items():  # type: ignore[attr-defined]
        print(f"{name:24}{row['cpu_s']:8.2f} CPU-s{row['rss_mb']:8.1f} MB RSS{row['pss_mb']:8.1f} MB PSS")
    print(f"ledger after {3 * wanted.kills} kills: {rest['ledger']}")
    where = {"python": platform.python_version(), "kernel": platform.release(), "cores": os.cpu_count()}
    target = ROOT / "bench" / "results" / "recovery.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"where": where, **rest, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
