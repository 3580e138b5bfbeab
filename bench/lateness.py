"""How late a claim is committed after its planned moment, beside timers that promise less.

    python bench/lateness.py                 ours, a bare heap, a heap with a durable row, plain `schedule`: 12 minutes
    python bench/lateness.py --peers         also APScheduler 3 in memory and on SQLite, in a throw-away environment
    python bench/lateness.py --load "1 job a second" --load "100 a second"

Every timer gets the same loads one after the other in this one run, in a fresh process each, on the same disk.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

import kit
from loads import LOADS, Load

PEER_PACKAGES = ("apscheduler>=3.10,<4", "sqlalchemy>=2,<3")
PEERS = ("APScheduler 3 in memory", "APScheduler 3 on SQLite")


def peer_python(folder: Path) -> str | None:
    """An environment with the peers, or None with the reason said."""
    try:
        venv.create(folder / "peers", with_pip=True)
        python = str(folder / "peers" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"peers left out: {error}", file=sys.stderr)
        return None
    return python


def peer(python: str, name: str, load: Load, folder: Path) -> dict[str, Any]:
    """One peer on one load."""
    start = int(time.time()) + load.lead_in + (load.jobs // 200 if "SQLite" in name else 0)
    facts = {"start": start, "jobs": load.moments(start), "recurring": load.recurring, "patience": 20}
    wanted = folder / "load.json"
    wanted.write_text(json.dumps(facts))
    store = folder / "peer.sqlite3"
    store.unlink(missing_ok=True)
    found: dict[str, Any] = kit.fresh(
        "apscheduler_timer.py", str(store) if "SQLite" in name else "memory", str(wanted), python=python
    )
    return found


def one(timer: str, load: Load, python: str | None, folder: Path) -> dict[str, Any]:
    """One timer on one load: its row of the table and the raw milliseconds."""
    if timer == "EchoPilot Jobs":
        found = kit.fresh("stand.py", load.name)
    elif timer in PEERS:
        found = peer(str(python), timer, load, folder)
    else:
        found = kit.fresh("timers.py", timer, load.name)
    row = {"load": load.name, "timer": timer, **kit.spread(found["ms"]), "served": len(found["ms"])}
    return {"row": {**row, "missed": found["missed"], "doubled": found["doubled"]}, "raw": found}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description="milliseconds from the planned moment to the committed claim")
    parser.add_argument("--load", action="append", choices=sorted(LOADS), help="only this load; may be repeated")
    parser.add_argument("--peers", action="store_true", help="also install and measure APScheduler 3")
    parser.add_argument("--only-ours", action="store_true")
    wanted = parser.parse_args()
    os.environ["TZ"] = "UTC"
    timers = ["EchoPilot Jobs"] if wanted.only_ours else ["heap", "heap+sqlite", "schedule", "EchoPilot Jobs"]
    results = []
    with kit.folder() as folder:
        python = peer_python(folder) if wanted.peers else None
        for load in (LOADS[name] for name in wanted.load or LOADS):
            for timer in [*timers, *(PEERS if python else ())]:
                results.append(one(timer, load, python, folder))
                print(results[-1]["row"], file=sys.stderr)
    kit.table([result["row"] for result in results])
    kit.keep("lateness", {"rows": [result["row"] for result in results], "raw_ms": _sorted_ms(results)})


def _sorted_ms(results: list[dict[str, Any]]) -> dict[str, list[float]]:
    """The raw numbers, ascending and at most a thousand of each: enough to draw any curve of them again."""
    kept = {}
    for result in results:
        ordered = sorted(result["raw"]["ms"])
        step = max(len(ordered) // 1000, 1)
        kept[f"{result['row']['load']}: {result['row']['timer']}"] = ordered[::-1][::step][::-1]
    return kept


if __name__ == "__main__":
    main()
