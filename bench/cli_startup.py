"""How long `echopilot status` takes from start to end, and how many times a bare interpreter that is.

    python bench/cli_startup.py [ROUNDS]

Measured on a folder where nothing was ever started, on one where a scheduler has lived, beside a running supervisord, with a
jobs file of fifty jobs, and through `bin/echopilot`, which looks for its environment first. Each round takes every way once,
so that a machine that changes its speed changes it for all. Wall time: the multiples travel better than the milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import kit

ROUNDS = 31
MODULE = (sys.executable, "-m", "echopilot_jobs")


@dataclass(frozen=True)
class Way:
    """A command line in a folder."""

    name: str
    command: Sequence[str]
    home: Path


def main() -> None:
    """Measure, print, keep."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        # Compiled modules are kept, as anywhere the command is used twice, whatever this shell says about that.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder, "compiled"))
        empty, lived, defined = Path(folder, "empty"), Path(folder, "lived"), Path(folder, "defined")
        for home in (empty, lived, defined):
            home.mkdir()
        for number in range(50):
            with Path(defined, "jobs.toml").open("a") as file:
                file.write(f'[jobs.job_{number}]\nevery = "15 minutes"\ncommand = ["true"]\ntimeout = "5m"\n\n')
        make_ledger(lived)
        make_ledger(defined)
        with supervised(lived):
            times = measure(ways(empty, lived, defined), rounds)
    bare = statistics.median(times["bare interpreter"])
    rows = [
        {"milliseconds": name, **kit.spread(found, 1), "x bare": statistics.median(found) / bare}
        for name, found in times.items()
    ]
    kit.table(rows)
    kit.keep("cli_startup", {"rounds": rounds, "raw_ms": times})


def ways(empty: Path, lived: Path, defined: Path) -> list[Way]:
    """What is compared. Supervisord runs for *lived* alone."""
    return [
        Way("bare interpreter", (sys.executable, "-c", "pass"), empty),
        Way("echopilot --version", (*MODULE, "--version"), empty),
        Way("status, never started", (*MODULE, "status"), empty),
        Way("status, beside supervisord", (*MODULE, "status"), lived),
        Way("status --json, beside supervisord", (*MODULE, "status", "--json"), lived),
        Way("status, 50 jobs", (*MODULE, "status"), defined),
        Way("bin/echopilot status", (str(kit.ROOT / "bin" / "echopilot"), "status"), lived),
    ]


def make_ledger(home: Path) -> None:
    """A ledger with a life that has ended, in a folder whose definitions were judged."""
    os.environ["ECHOPILOT_HOME"] = str(home)
    from echopilot_jobs import definitions
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.settings import load

    settings, now = load(), datetime.now(UTC)  # a bench owns its clock
    settings.var_dir.mkdir(mode=0o700)
    jobs = definitions.begin(settings, now)[0].registry
    ledger = SqliteLedger(settings.ledger_path)
    lease = ledger.take_lease("bench:1:1", "bench", "bench", now)
    with ledger.leading(lease, now) as work:
        work.standings(list(jobs.values()))
    for name in list(jobs)[:4]:
        ledger.request_run(name, now)
    ledger.end_stint(lease, "stopped", now)
    ledger.close()


@contextlib.contextmanager
def supervised(home: Path) -> Iterator[None]:
    """A supervisord with two programs on the socket where the command looks for one."""
    file = home / "var" / "supervisor.sock"
    programs = "".join(f"[program:{name}]\ncommand=sleep 1000\n" for name in ("scheduler", "web"))
    Path(home, "bench.conf").write_text(
        f"[unix_http_server]\nfile={file}\n[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
        f"pidfile={home}/var/pid\n{programs}[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
    )
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(home / "bench.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not file.exists():
            time.sleep(0.05)
        time.sleep(2)  # its programs count as started after a second
        try:
            yield
        finally:
            process.terminate()


def measure(wanted: Sequence[Way], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each round, after one that warms the caches."""
    times: dict[str, list[float]] = {way.name: [] for way in wanted}
    for number in range(rounds + 1):
        for way in wanted:
            environment = {**os.environ, "ECHOPILOT_HOME": str(way.home), "PYTHONPATH": str(kit.ROOT)}
            began = time.perf_counter()
            subprocess.run(way.command, env=environment, stdout=subprocess.PIPE, check=True)
            if number:
                times[way.name].append(round((time.perf_counter() - began) * 1000, 2))
    return times


if __name__ == "__main__":
    main()
