"""What it costs to start a run: a fork of the warm server, a fresh interpreter, a bare `/bin/true`; as multiples of the last.

    python bench/start_cost.py [ROUNDS]

Until the function begins, and until its process has ended and been swept. The kinds take turns, so that whatever else the
machine does meets all of them; the medians' ratios travel between machines, the milliseconds do not.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kit

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.executor import Cancel, Executor, OwnWeb
from echopilot_jobs.jobs import Action, Command, Job, Python
from echopilot_jobs.runs import Origin, Run, State
from echopilot_jobs.triggers import Every

ROUNDS = 100
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
WORK = "import time\ndef work():\n    return time.monotonic()\n"
# What a child did before there was a server to fork it from: start, import what a job needs, say when it began.
FRESH = "import json, importlib, time, echopilot_jobs.context; print(importlib.import_module('begun').work())"


def main() -> None:
    """Print the table and keep the figures."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("rounds", nargs="?", type=int, default=ROUNDS)
    rounds = options.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "begun.py").write_text(WORK)
        kinds = kinds_of(Path(folder))
        taken = measure(kinds, rounds)
    bare = statistics.median(whole for _, whole in taken["bare /bin/true"])
    rows = [row(name, figures, bare) for name, figures in taken.items()]
    kit.table(rows)
    kit.keep("start_cost", {"rounds": rounds, "rows": rows})


Start = Callable[[], float | None]  # does it; says when the function began, if it can


def kinds_of(home: Path) -> dict[str, Start]:
    """Every way to start something, by name."""
    executor = Executor(SystemClock(), "bench", OwnWeb("http://127.0.0.1:1", lambda: ""), home)
    return {
        "bare /bin/true": bare,
        "fresh interpreter": lambda: fresh(home),
        "python job, forked": lambda: run(executor, Python("begun:work")),
        "command job, forked": lambda: run(executor, Command(("/bin/true",))),
    }


def bare() -> None:
    """A process and nothing else."""
    subprocess.run(["/bin/true"], check=True)


def fresh(home: Path) -> float:
    """An interpreter that imports what a child needs, then the function."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(home), str(kit.ROOT)])}
    done = subprocess.run([sys.executable, "-c", FRESH], env=env, check=True, capture_output=True, text=True)
    return float(done.stdout)


def run(executor: Executor, action: Action) -> float | None:
    """A whole run by the executor."""
    job = Job("bench", Every(timedelta(minutes=1)), action)
    cancel = Cancel()
    outcome = executor.carry_out(job, Run(1, "bench", Origin.MANUAL, State.RUNNING, NOW), cancel)
    cancel.close()
    if outcome.state is not State.SUCCEEDED:
        raise AssertionError(outcome)
    return outcome.result


def measure(kinds: dict[str, Start], rounds: int) -> dict[str, list[tuple[float | None, float]]]:
    """Milliseconds until the function began and until all was over, of every kind in turn."""
    taken: dict[str, list[tuple[float | None, float]]] = {name: [] for name in kinds}
    for number in range(rounds + 3):
        for name, start in kinds.items():
            asked = time.monotonic()
            began = start()
            over = time.monotonic()
            if number >= 3:  # the first ones also start the server and fill the caches
                taken[name].append((None if began is None else (began - asked) * 1000, (over - asked) * 1000))
    return taken


def row(name: str, figures: list[tuple[float | None, float]], bare: float) -> dict[str, object]:
    """A line of the table."""
    begun = [first for first, _ in figures if first is not None]
    whole = [last for _, last in figures]
    return {
        "what": name,
        "begins ms": round(statistics.median(begun), 2) if begun else "",
        "p99": round(kit.percentile(begun, 0.99), 2) if begun else "",
        "whole ms": round(statistics.median(whole), 2),
        "whole p99": round(kit.percentile(whole, 0.99), 2),
        "x bare": round(statistics.median(whole) / bare, 2),
    }


if __name__ == "__main__":
    main()
