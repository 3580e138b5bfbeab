"""Durable no-op runs a second, as multiples of what the same file takes in bare commits.

    python bench/throughput.py               about two minutes
    python bench/throughput.py --history 0   without the row for a long history

Time stands still but for the clock the bench moves: every run's claim, start and finish are committed on the disk, nobody
waits for a due moment. A bare run is one row, inserted by one commit and updated by another. A lone run is measured in two
ways: its finish committed by itself before the next one comes due, or with the claim of the next.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kit
from stand import Stand, count_runs, fill

from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Every

BEGIN = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
GROUPS = (100, 1_000, 10_000)


def bare(folder: Path, runs: int, group: int) -> float:
    """Runs a second of SQLite alone: *group* rows a commit when claimed, and again when finished."""
    folder.mkdir()
    db = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)
    for pragma in ("journal_mode=wal", "synchronous=full", "wal_autocheckpoint=0"):
        db.execute(f"pragma {pragma}").close()
    db.execute("create table runs (id integer primary key, job integer, slot integer, state text, started integer)")
    began = time.perf_counter()
    for first in range(1, runs + 1, group):
        rows = range(first, first + group)
        db.execute("begin immediate")
        db.executemany("insert into runs values (?, 1, ?, 'running', ?)", [(row, row, row) for row in rows])
        db.execute("commit")
        db.execute("begin immediate")
        db.executemany("update runs set state = 'succeeded' where id = ?", [(row,) for row in rows])
        db.execute("commit")
    took = time.perf_counter() - began
    db.close()
    return runs / took


def one_commit_a_run(folder: Path, runs: int) -> float:
    """Bare rows a second, each inserted by a commit of its own and never touched again."""
    folder.mkdir()
    db = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)
    for pragma in ("journal_mode=wal", "synchronous=full", "wal_autocheckpoint=0"):
        db.execute(f"pragma {pragma}").close()
    db.execute("create table runs (id integer primary key, job integer, slot integer, state text, started integer)")
    began = time.perf_counter()
    for row in range(runs):
        db.execute("begin immediate")
        db.execute("insert into runs values (?, 1, ?, 'running', ?)", (row, row, row))
        db.execute("commit")
    took = time.perf_counter() - began
    db.close()
    return runs / took


def ours(folder: Path, jobs: int, seconds: int, *, pause: bool = True, history: int = 0) -> dict[str, float]:
    """*jobs* jobs due together every second: runs a second, the pass that claims, commits a run.

    With *pause* everything is recorded before the next second begins. The first two seconds, in which every job is
    registered and every statement prepared, do not count.
    """
    folder.mkdir()
    path = folder / "ledger.sqlite3"
    clock = FakeClock(BEGIN - timedelta(seconds=2))
    stand = Stand(folder, [Job(f"j{n}", Every(timedelta(seconds=1)), Inline("nothing")) for n in range(jobs)], clock)
    claims: list[float] = []
    took, passes, before = 0.0, 0, 0
    for second in range(-2, seconds):
        if second == 0:
            if history:
                fill(path, "j0", history, int(BEGIN.timestamp()) - 3600)
            took, passes, claims, before = 0.0, stand.ledger.passes, [], count_runs(path)
        began, wall = time.perf_counter(), time.time()
        wait = stand.scheduler.beat()
        claims.append(stand.ledger.committed_at - wall)
        while pause and not wait:
            wait = stand.scheduler.beat()
        took += time.perf_counter() - began
        clock.sleep(1)
    runs = count_runs(path) - before
    passes = stand.ledger.passes - passes
    stand.end()
    if runs != jobs * seconds:
        raise SystemExit(f"{runs} runs instead of {jobs * seconds}")
    return {"runs_s": runs / took, "all_claimed_s": max(claims), "commits_a_run": passes / runs}


def syncs_a_run(runs: int = 200) -> float | None:
    """What the kernel was asked to put on the disk for each lone run, by strace; None where there is none."""
    if shutil.which("strace") is None:
        return None
    counts = [_syncs(number) for number in (runs, 2 * runs)]
    return round((counts[1] - counts[0]) / runs, 3)


def _syncs(runs: int) -> int:
    command = [sys.executable, str(Path(__file__).resolve()), "--lone", str(runs)]
    with kit.folder() as folder:
        trace = folder / "trace"
        watched = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", str(trace), *command]
        env = {**os.environ, "PYTHONPATH": str(kit.ROOT)}
        subprocess.run(watched, check=True, env=env, stdout=subprocess.DEVNULL)
        rows = [line.split() for line in trace.read_text().splitlines()]
        return sum(int(row[3]) for row in rows if row and row[-1] in {"fsync", "fdatasync"})


def measure(folder: Path, lone: int, rounds: int, history: int) -> list[dict[str, Any]]:
    """One row a group. In every round ours and the two yardsticks take turns: the disk changes its speed by the hour."""
    cases: list[tuple[str, int, int, dict[str, Any]]] = [
        ("1", 1, lone, {}),
        ("1, back to back", 1, lone, {"pause": False}),
        *((f"{group:,}", group, max(3, 3_000 // group), {}) for group in GROUPS),
    ]
    if history:
        cases.append((f"1, after {history:,} runs", 1, lone, {"history": history}))
    found: dict[str, list[dict[str, float]]] = {name: [] for name, *_ in cases}
    for number in range(rounds):
        for name, group, seconds, how in cases:
            here = folder / f"{number} {name}"
            here.mkdir()
            yardsticks = {
                "single_s": one_commit_a_run(here / "single", lone),
                "bare_s": bare(here / "bare", group * seconds, group),
            }
            found[name].append(yardsticks | ours(here / "ours", group, seconds, **how))
            shutil.rmtree(here)
    return [_row(name, each) for name, each in found.items()]


def _row(name: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    """The median of every figure; a multiple is the median of the rounds' multiples. All of them are kept."""
    multiples = [one["runs_s"] / one["single_s"] for one in rounds]
    middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    return {
        "due together": name,
        "runs/s": round(middle["runs_s"]),
        "all claimed s": f"{middle['all_claimed_s']:.4f}",
        "commits a run": f"{middle['commits_a_run']:.4f}",
        "bare runs/s": round(middle["bare_s"]),
        "x bare": round(statistics.median(one["runs_s"] / one["bare_s"] for one in rounds), 2),
        "bare single commits/s": round(middle["single_s"]),
        "x single commits": round(statistics.median(multiples), 2),
        "least": round(min(multiples), 2),
        "most": round(max(multiples), 2),
        "rounds": [{key: round(value, 4) for key, value in one.items()} for one in rounds],
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description="durable no-op runs a second")
    parser.add_argument("--lone", type=int, help="only this many runs that stand alone, and nothing else")
    parser.add_argument("--runs", type=int, default=1_000, help="how many runs that stand alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--history", type=int, default=1_000_000, help="runs behind the job of the last row; 0: no such row"
    )
    wanted = parser.parse_args()
    with kit.folder() as folder:
        if wanted.lone:
            print(json.dumps(ours(folder / "lone", 1, wanted.lone)))
            return
        rows = measure(folder, wanted.runs, wanted.rounds, wanted.history)
    kit.table([{key: value for key, value in row.items() if key != "rounds"} for row in rows])
    syncs = syncs_a_run()
    print(f"\nsyncs a lone run, claim and finish together: {syncs if syncs is not None else 'not counted: no strace'}")
    kit.keep("throughput", {"rows": rows, "syncs_a_run": syncs})


if __name__ == "__main__":
    main()
