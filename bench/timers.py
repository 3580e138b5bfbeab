"""Timers to compare with: `python bench/timers.py KIND LOAD` prints their lateness as JSON.

heap        a heap and a sleep: the least any timer in this language can do
heap+sqlite the same, and one durable row a moment, written together when they come due together
schedule    the library as its documentation uses it: `run_pending` in a loop, nothing kept
"""

from __future__ import annotations

import gc
import heapq
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import kit  # noqa: F401  # puts the project on the path
from loads import LOADS, Load

Noted = dict[str, list[float]]  # by job, when its moments were served


def heap(moments: Noted, commit: Callable[[list[str]], None]) -> Noted:
    """Serve every moment as soon as the clock says so."""
    waiting = sorted((due, name) for name, dues in moments.items() for due in dues)
    heapq.heapify(waiting)
    served: Noted = {name: [] for name in moments}
    while waiting:
        time.sleep(max(waiting[0][0] - time.time(), 0))
        now, due = time.time(), []
        while waiting and waiting[0][0] <= now:
            due.append(heapq.heappop(waiting)[1])
        commit(due)
        after = time.time()
        for name in due:
            served[name].append(after)
    return served


def durable(folder: Path) -> Callable[[list[str]], None]:
    """A commit in WAL with FULL for all that came due together."""
    db = sqlite3.connect(folder / "heap.sqlite3", isolation_level=None)
    for pragma in ("journal_mode=wal", "synchronous=full", "wal_autocheckpoint=0"):
        db.execute(f"pragma {pragma}").close()
    db.execute("create table runs (id integer primary key, name text not null, at real not null)")

    def commit(due: list[str]) -> None:
        if due:
            db.execute("begin immediate")
            db.executemany("insert into runs (name, at) values (?, ?)", [(name, time.time()) for name in due])
            db.execute("commit")

    return commit


def plain(load: Load, moments: Noted) -> Noted:
    """`every().second.do(…)`, or one call at a moment; the library counts a recurring job from its last end."""
    import schedule

    served: Noted = {name: [] for name in moments}

    def note(name: str) -> object:
        served[name].append(time.time())
        return None if load.recurring else schedule.CancelJob

    last = max(due for dues in moments.values() for due in dues)
    first = min(due for dues in moments.values() for due in dues)
    if load.recurring:
        time.sleep(max(first - 1 - time.time(), 0))
    for name, dues in moments.items():
        job = schedule.every(1).seconds.do(note, name)
        if not load.recurring:
            job.next_run = datetime.fromtimestamp(dues[0], UTC).replace(tzinfo=None)
    while schedule.jobs and time.time() <= last + (0.9 if load.recurring else 60):
        schedule.run_pending()
        time.sleep(max(schedule.idle_seconds() or 0, 0))
    return served


def lateness(moments: Noted, served: Noted) -> dict[str, object]:
    """Milliseconds from each moment to its service, in turn; what was never served, or more often than due."""
    late, missed, doubled = [], 0, 0
    for name, dues in moments.items():
        times = served.get(name, [])
        late += [(at - due) * 1000 for due, at in zip(dues, times, strict=False)]
        missed += max(len(dues) - len(times), 0)
        doubled += max(len(times) - len(dues), 0)
    return {"ms": [round(value, 3) for value in late], "missed": missed, "doubled": doubled}


def main(kind: str, load: Load) -> None:
    """Wait for the load's start, serve it, print."""
    start = int(time.time()) + load.lead_in
    moments = load.moments(start)
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="echopilot-bench-") as folder:
        if kind == "schedule":
            served = plain(load, moments)
        else:
            served = heap(moments, durable(Path(folder)) if kind == "heap+sqlite" else lambda _due: None)
    print(json.dumps(lateness(moments, served)))


if __name__ == "__main__":
    main(sys.argv[1], LOADS[sys.argv[2]])
