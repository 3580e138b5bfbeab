"""APScheduler 3 on the same loads, run by the Python of a throw-away environment: `apscheduler_timer.py STORE FILE`.

STORE is `memory` or a path for its SQLite store; FILE holds {"start": s, "jobs": {name: [moments]}, "recurring": bool} as
JSON. Prints lateness as JSON. Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.schedulers.background import BackgroundScheduler


def nothing() -> None:
    """The work of every job."""


def main(store: str, wanted: dict) -> None:
    """Serve the load, print what was late, missed or doubled."""
    scheduler = BackgroundScheduler(timezone="UTC")
    if store != "memory":
        scheduler.add_jobstore("sqlalchemy", url=f"sqlite:///{store}")
    served: dict[str, list[float]] = {}
    late: list[float] = []

    def note(event) -> None:
        now = time.time()
        due = event.scheduled_run_time.timestamp()
        served.setdefault(event.job_id, []).append(due)
        late.append(round((now - due) * 1000, 3))

    scheduler.add_listener(note, EVENT_JOB_EXECUTED)
    grace = {"misfire_grace_time": 60, "coalesce": False, "max_instances": 1000}
    for name, dues in wanted["jobs"].items():
        first = datetime.fromtimestamp(dues[0], timezone.utc)  # noqa: UP017  # the peer's Python may be older than ours
        if wanted["recurring"]:
            last = datetime.fromtimestamp(dues[-1] + 0.5, timezone.utc)  # noqa: UP017
            scheduler.add_job(nothing, "interval", seconds=1, start_date=first, end_date=last, id=name, **grace)
        else:
            scheduler.add_job(nothing, "date", run_date=first, id=name, **grace)
    ready = time.time()
    scheduler.start()
    end = max(due for dues in wanted["jobs"].values() for due in dues)
    time.sleep(max(end + wanted["patience"] - time.time(), 0))
    expected = {(name, round(due, 3)) for name, dues in wanted["jobs"].items() for due in dues}
    done = [(name, round(due, 3)) for name, dues in served.items() for due in dues]
    report = {"ms": late, "missed": len(expected - set(done)), "doubled": len(done) - len(set(done))}
    print(json.dumps({**report, "ready_before_start_s": round(wanted["start"] - ready, 1)}), flush=True)
    scheduler.shutdown(wait=False)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
