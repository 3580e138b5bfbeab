"""What a time without a scheduler costs the next one, and what becomes of the slots in it.

    python bench/downtime.py                 about four minutes
    python bench/downtime.py --runs 100000   with a smaller history

Thirty days of silence and ten thousand stale rows are measured under a clock the bench moves; starts, the outage of five
seconds and the kill in the middle of a run are real processes, killed with -9.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kit
from stand import Stand, fill

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import State
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Every

BEGIN = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
FOR_EVER = EPOCH + timedelta(days=36_500)
FIRST_CLAIM = "select count(*) from runs where id > ?"


# -- under a clock of ours


def thirty_days(folder: Path, *, in_life: bool) -> dict[str, Any]:
    """CPU seconds until a month without passes is accounted for, and the rows that took: after a crash, or a freeze."""
    folder.mkdir()
    clock = FakeClock(BEGIN)
    heartbeat = [Job("heartbeat", Every(timedelta(seconds=60)), Inline("nothing"))]
    stand = Stand(folder, heartbeat, clock)
    while not stand.scheduler.beat():
        pass
    if not in_life:
        stand.close()
    clock.sleep(timedelta(days=30).total_seconds())
    began, cpu = time.perf_counter(), time.process_time()
    stand = stand if in_life else Stand(folder, heartbeat, clock)
    while not stand.scheduler.beat():
        pass
    facts = {"cpu_s": round(time.process_time() - cpu, 4), "s": round(time.perf_counter() - began, 4)}
    gaps, skips = stand.ledger.gaps_between(EPOCH, FOR_EVER), stand.ledger.skips_between(EPOCH, FOR_EVER)
    runs = stand.ledger.runs_between(EPOCH, FOR_EVER)
    stand.end()
    accounted = sum(gap.count for gap in gaps) + len(skips) + len(runs)
    return {**facts, "gap rows": len(gaps), "skip rows": len(skips), "runs": len(runs), "slots": accounted}


def stale_rows(folder: Path, rows: int) -> dict[str, Any]:
    """Seconds the next scheduler needs to end *rows* running rows of a dead one."""
    folder.mkdir()
    clock = FakeClock(BEGIN)
    jobs = [Job(f"j{n}", Every(timedelta(hours=1)), Inline("nothing")) for n in range(rows)]
    stand = Stand(folder, jobs, clock)
    while not stand.scheduler.beat():
        pass
    clock.sleep(3600)
    stand.scheduler.beat()  # claimed and started; the outcomes wait for a pass that never comes
    stand.close()
    clock.sleep(60)
    began, cpu = time.perf_counter(), time.process_time()
    stand = Stand(folder, jobs, clock)
    facts = {"s": round(time.perf_counter() - began, 3), "cpu_s": round(time.process_time() - cpu, 3)}
    ended = stand.ledger.runs_between(EPOCH, FOR_EVER)
    stand.end()
    return {**facts, "rows": rows, "abandoned": sum(run.state is State.ABANDONED for run in ended)}


# -- real processes


@contextlib.contextmanager
def process(home: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler process with *home* as its folder, ended by TERM, or by -9 if that takes long."""
    env = {**os.environ, "ECHOPILOT_HOME": str(home), "TZ": "UTC", "PYTHONPATH": str(kit.ROOT)}
    child = subprocess.Popen([sys.executable, *command], env=env, stdout=subprocess.DEVNULL, cwd=kit.ROOT)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def scheduler(home: Path) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """The scheduler with its built-in jobs."""
    return process(home, "-m", "echopilot_jobs", "scheduler")


def until(look: Callable[[], object], seconds: float = 60.0) -> None:
    """Look every two milliseconds until there is something to see."""
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            raise SystemExit(f"gave up after {seconds:g} s")
        time.sleep(0.002)


def asked(home: Path, question: str, *values: object) -> Any:
    """The first value of a query on the ledger of *home*; None while there is no such table yet."""
    path = home / "var" / "ledger.sqlite3"
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
        try:
            return db.execute(question, values).fetchone()[0]
        except sqlite3.OperationalError:
            return None


def start_to_first_claim(home: Path, times: int) -> list[float]:
    """Seconds from the start of the process until another process sees its first run committed."""
    found = []
    for _ in range(times):
        newest = asked(home, "select coalesce(max(id), 0) from runs") or 0
        began = time.monotonic()
        with scheduler(home):
            until(lambda newest=newest: asked(home, FIRST_CLAIM, newest))
            found.append(time.monotonic() - began)
    return found


def outage(home: Path, seconds: float) -> dict[str, Any]:
    """An every-second job, its process killed and started again after *seconds*: every slot of both lives and between."""
    job = str(Path(__file__).with_name("own_jobs.py"))
    rows = "select count(*) from runs where state = 'succeeded'"
    with process(home, job, "ticking") as child:
        until(lambda: (asked(home, rows) or 0) >= 4)
        child.kill()
        child.wait()
    before = asked(home, rows)
    time.sleep(seconds)
    began = time.monotonic()
    with process(home, job, "ticking"):
        until(lambda: asked(home, rows) >= before + round(seconds))
        caught_up = time.monotonic() - began
        time.sleep(3)
    ledger = SqliteLedger(home / "var" / "ledger.sqlite3")
    slots = [run.slot.epoch_seconds for run in ledger.runs_between(EPOCH, FOR_EVER) if run.slot]
    ledger.close()
    return {
        "slots": max(slots) - min(slots) + 1,
        "lost": len(set(range(min(slots), max(slots) + 1)) - set(slots)),
        "doubled": len(slots) - len(set(slots)),
        "caught up after s": round(caught_up, 2),
    }


def kill_in_a_run(home: Path) -> dict[str, Any]:
    """A scheduler killed while its command works: what the command did, and what the rows say of it."""
    home.mkdir()
    effects, job = home / "effects", str(Path(__file__).with_name("own_jobs.py"))
    with process(home, job, "effect", str(effects)) as child:
        until(lambda: effects.exists() and effects.read_text())
        child.kill()
        child.wait()
    killed = effects.read_text().split()[-1]
    with process(home, job, "effect", str(effects)):
        until(lambda: (asked(home, "select count(*) from runs where state = 'succeeded'") or 0) >= 2)
    ids = effects.read_text().split()
    return {
        "effects of the killed run": ids.count(killed),
        "told as": asked(home, "select state from runs where id = ?", int(killed)),
        "effects twice": len(ids) - len(set(ids)),
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description="what downtime costs")
    parser.add_argument("--runs", type=int, default=1_000_000, help="length of the history for the slow start")
    parser.add_argument("--starts", type=int, default=10)
    wanted = parser.parse_args()
    kept: dict[str, Any] = {}
    with kit.folder() as folder:
        kept["30 days, process dead"] = thirty_days(folder / "dead", in_life=False)
        kept["30 days, process frozen"] = thirty_days(folder / "frozen", in_life=True)
        kept["10,000 stale rows"] = stale_rows(folder / "stale", 10_000)
        home = folder / "starts"
        home.mkdir()
        starts = {
            "empty ledger": start_to_first_claim(home, 1),
            "small ledger": start_to_first_claim(home, wanted.starts),
        }
        newest = int(time.time()) // 60 * 60 - 3600
        size = fill(home / "var" / "ledger.sqlite3", "heartbeat", wanted.runs, newest)
        starts[f"{wanted.runs:,} runs, {size:.0f} MB"] = start_to_first_claim(home, wanted.starts)
        kept["start to first claim"] = {name: kit.spread(values, 3) for name, values in starts.items()}
        kept["raw_starts_s"] = starts
        kept["5 s outage, caught up whole"] = outage(folder / "outage", 5.0)
        kept["killed in a run"] = kill_in_a_run(folder / "effect")
    for name, facts in kept.items():
        if name == "start to first claim":
            kit.table([{name: ledger, **values} for ledger, values in facts.items()])
        elif isinstance(facts, dict) and name != "raw_starts_s":
            kit.table([{name: "", **facts}])
    kit.keep("downtime", kept)


if __name__ == "__main__":
    main()
