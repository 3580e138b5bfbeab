"""What a pass costs while nothing, or one job, is due; and what the scheduler does in a quiet minute.

    python bench/idle_pass.py                  passes of the pump, about a minute
    python bench/idle_pass.py --minutes 2      also the real scheduler process at rest

The bare heap and plain `schedule` are measured in the same process, pass by pass.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import heapq
import http.server
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kit
import schedule

from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.pump import Pump
from echopilot_jobs.triggers import Every

SIZES = (10, 100, 1_000, 10_000, 100_000)
SECOND = timedelta(seconds=1)
BEGIN = datetime(2026, 3, 2, 12, 0, 0, 500_000, tzinfo=UTC)


def best_us(calls: dict[str, Callable[[], object]], rounds: int = 12, seconds: float = 0.02) -> dict[str, float]:
    """Microseconds a call: the best of several rounds taken in turn, so that a busy neighbour meets all alike."""
    times, best = {}, dict.fromkeys(calls, float("inf"))
    for name, call in calls.items():
        began, times[name] = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            call()
            times[name] += 1
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            for _ in range(times[name]):
                call()
            best[name] = min(best[name], (time.perf_counter() - began) / times[name])
    return {name: round(value * 1e6, 2) for name, value in best.items()}


class Ticking:
    """A moment that goes on by a second a call."""

    def __init__(self) -> None:
        self.now = BEGIN

    def tick(self) -> datetime:
        self.now += SECOND
        return self.now


def jobs(size: int) -> list[Job]:
    """As many jobs as seconds in their period, one of them due each second."""
    return [Job(f"j{n}", Every(size * SECOND, n * SECOND), Inline("nothing")) for n in range(size)]


def pump_calls(size: int) -> tuple[dict[str, float], dict[str, Callable[[], object]]]:
    """Our pump: what making it and resetting it takes, and its passes with nothing and with one job due."""
    wanted, ticking = jobs(size), Ticking()
    began = time.perf_counter()
    pump = Pump(wanted, BEGIN)
    made = time.perf_counter()
    pump.reset(BEGIN)
    facts = {"made_s": round(made - began, 3), "reset_s": round(time.perf_counter() - made, 3)}

    def ask(now: datetime) -> None:
        pump.due(now)
        pump.idle_seconds(now)

    idle = Pump(wanted, BEGIN)

    def ask_idle() -> None:
        idle.due(BEGIN)
        idle.idle_seconds(BEGIN)

    return facts, {"idle_us": ask_idle, "one_due_us": lambda: ask(ticking.tick())}


def heap_calls(size: int) -> dict[str, Callable[[], object]]:
    """The least it could cost: a heap of moments, the same questions."""
    waiting = [(BEGIN + (n + 1) * SECOND, n) for n in range(size)]
    heapq.heapify(waiting)
    idle = waiting[:]
    period, ticking = size * SECOND, Ticking()

    def ask(heap: list[tuple[datetime, int]], now: datetime) -> float:
        while heap[0][0] <= now:
            due, name = heapq.heappop(heap)
            heapq.heappush(heap, (due + period, name))
        return (heap[0][0] - now).total_seconds()

    return {"heap_idle_us": lambda: ask(idle, BEGIN), "heap_one_due_us": lambda: ask(waiting, ticking.tick())}


def plain_call(size: int) -> Callable[[], object]:
    """The library by itself, with nothing due."""
    library = schedule.Scheduler()
    for _ in range(size):
        library.every().day.do(int)

    def ask() -> None:
        library.run_pending()
        _ = library.idle_seconds

    return ask


def passes(sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """One row a size; the ratio is ours to the bare heap with one job due."""
    rows = []
    for size in sizes:
        facts, ours = pump_calls(size)
        found = best_us({**ours, **heap_calls(size), "schedule_idle_us": plain_call(size)})
        ratio = round(found["one_due_us"] / found["heap_one_due_us"], 1)
        rows.append({"jobs": size, **facts, **found, "one_due_ratio": ratio})
        gc.collect()
    return rows


def switches(pid: int) -> int:
    """How often any thread of *pid* has gone to sleep of its own accord: every wait, and every wait for the disk."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        total += int(lines["voluntary_ctxt_switches"])
    return total


def memory_mb(pid: int) -> dict[str, float]:
    """Resident and proportional megabytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    lines = dict(line.split(":", 1) for line in rollup)
    return {name.lower() + "_mb": round(int(lines[name].split()[0]) / 1024, 1) for name in ("Rss", "Pss")}


def cpu_seconds(pid: int) -> float:
    """CPU time used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def well_web() -> Iterator[int]:
    """The port of a server that answers whatever it is asked with 200: healing is done with it at once."""

    class Well(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815 - the library asks for this name

        def log_message(self, *_what: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def at_rest(minutes: float) -> dict[str, float]:
    """The real scheduler process with its four built-in jobs, from its twentieth second on, beside a web that is well."""
    with tempfile.TemporaryDirectory(prefix="echopilot-bench-") as home, well_web() as port:
        env = {**os.environ, "ECHOPILOT_HOME": home, "PORT": str(port), "TZ": "UTC", "PYTHONPATH": str(kit.ROOT)}
        command = [sys.executable, "-m", "echopilot_jobs", "scheduler"]
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, cwd=kit.ROOT)
        try:
            time.sleep(20)
            before, cpu = switches(process.pid), cpu_seconds(process.pid)
            time.sleep(60 * minutes)
            slept = (switches(process.pid) - before) / minutes
            used = (cpu_seconds(process.pid) - cpu) / minutes
            return {"sleeps_a_minute": round(slept, 1), "cpu_s_a_minute": round(used, 3), **memory_mb(process.pid)}
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description="what passes with nothing or one job due cost")
    parser.add_argument("--minutes", type=float, default=0.0, help="watch the real process at rest this long")
    parser.add_argument("--most", type=int, default=100_000, help="the largest number of jobs")
    wanted = parser.parse_args()
    rows = passes(tuple(size for size in SIZES if size <= wanted.most))
    kit.table(rows)
    rest = at_rest(wanted.minutes) if wanted.minutes else {}
    if rest:
        kit.table([{"the process at rest": "four built-in jobs", **rest}])
    kit.keep("idle_pass", {"passes": rows, "at_rest": rest})


if __name__ == "__main__":
    main()
