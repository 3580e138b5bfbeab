"""How far an every-second job wanders from its seconds, beside plain `schedule`, both at the same time.

    python bench/drift.py                    ten minutes
    python bench/drift.py --minutes 1

The drift is the slope of the lateness over the runs, in milliseconds a run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kit
from loads import Load


def slope(late: list[float]) -> float:
    """Milliseconds more at each run, by least squares."""
    return statistics.linear_regression(range(len(late)), late).slope if len(late) > 1 else float("nan")


def ours(load: Load) -> dict[str, Any]:
    """The real loop, its claims committed."""
    from stand import Watched, lateness, serve

    with kit.folder() as folder:
        start = int(time.time()) + load.lead_in
        stand = Watched(folder, load.make(start))
        stand.scheduler.beat()
        serve(stand, folder, start + load.seconds + 0.5)
        found = lateness(stand, load.moments(start))
        stand.end()
    return found


def plain(load: Load) -> dict[str, Any]:
    """The library alone, which counts a job's next moment from the end of the last."""
    import timers

    moments = load.moments(int(time.time()) + load.lead_in)
    return timers.lateness(moments, timers.plain(load, moments))


def main() -> None:
    """Measure both, print, keep."""
    parser = argparse.ArgumentParser(description="milliseconds of drift a run")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--one", choices=("ours", "schedule"), help="only this one, its raw numbers as JSON")
    wanted = parser.parse_args()
    if wanted.one:
        load = Load("drift", 1, round(wanted.minutes * 60), recurring=True)
        print(json.dumps(ours(load) if wanted.one == "ours" else plain(load)))
        return
    args = ("--minutes", str(wanted.minutes), "--one")
    patience = 60 * wanted.minutes + 120
    with ThreadPoolExecutor() as both:
        asked = {
            name: both.submit(kit.fresh, Path(__file__).name, *args, name, timeout=patience)
            for name in ("ours", "schedule")
        }
        found = {name: answer.result() for name, answer in asked.items()}
    rows = [
        {
            "timer": name,
            "runs": len(one["ms"]),
            "missed": one["missed"],
            "drift ms/run": f"{slope(one['ms']):.4f}",
            "first ms": round(one["ms"][0], 2),
            "last ms": round(one["ms"][-1], 2),
        }
        for name, one in found.items()
    ]
    kit.table(rows)
    kit.keep("drift", {"minutes": wanted.minutes, "rows": rows, "raw_ms": {n: one["ms"] for n, one in found.items()}})


if __name__ == "__main__":
    sys.exit(main())
