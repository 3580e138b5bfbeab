"""How long `echopilot status` takes from start to end, and how many times a bare interpreter that is.

    python bench/cli_startup.py [ROUNDS]

Measured on an empty home, on one with a ledger, beside a running supervisord, on one with a jobs file of fifty jobs, and with
its output read by a pipe, as scripts do. Wall time, so run it on a quiet machine; the ratio travels better between machines
than the milliseconds do.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 15


def main() -> None:
    """Print a line for each way of calling."""
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
        bare = measure(["-c", "pass"], empty, rounds)
        report("bare interpreter", bare, bare)
        report("echopilot --version", measure(["-m", "echopilot_jobs", "--version"], empty, rounds), bare)
        report("status, never started", measure(["-m", "echopilot_jobs", "status"], empty, rounds), bare)
        report("status, with a ledger", measure(["-m", "echopilot_jobs", "status"], lived, rounds), bare)
        with supervised(lived):
            running = measure(["-m", "echopilot_jobs", "status"], lived, rounds)
        report("status, supervised", running, bare)
        report("status, 50 jobs", measure(["-m", "echopilot_jobs", "status"], defined, rounds), bare)
        report("status --json", measure(["-m", "echopilot_jobs", "status", "--json"], lived, rounds), bare)


def make_ledger(home: Path) -> None:
    """A ledger with four jobs and a life that has ended."""
    sys.path.insert(0, str(ROOT))
    os.environ["ECHOPILOT_HOME"] = str(home)
    from echopilot_jobs.builtin import jobs
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.settings import load

    settings = load()
    settings.var_dir.mkdir(mode=0o700)
    ledger, now = SqliteLedger(settings.ledger_path), datetime.now(UTC)  # a bench owns its clock
    lease = ledger.take_lease("bench:1:1", "bench", "bench", now)
    with ledger.leading(lease, now) as work:
        work.standings(list(jobs(settings).values()))
    for name in jobs(settings):
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


def measure(arguments: list[str], home: Path, rounds: int) -> list[float]:
    """Milliseconds of each round, after one that warms the caches."""
    environment = {**os.environ, "ECHOPILOT_HOME": str(home), "PYTHONPATH": str(ROOT)}
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, check=True)
        times.append((time.perf_counter() - began) * 1000)
    return times[1:]


def report(name: str, times: list[float], bare: list[float]) -> None:
    """One line: median, best, worst, and the median as a multiple of the bare interpreter's."""
    median = statistics.median(times)
    ratio = median / statistics.median(bare)
    print(f"{name:<22} median {median:6.1f} ms  best {min(times):6.1f}  worst {max(times):6.1f}  {ratio:5.1f} x bare")


if __name__ == "__main__":
    main()
