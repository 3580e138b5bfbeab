"""What every figure needs: the machine's facts, percentiles, a table, a file for the raw numbers, a fresh process."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


def machine() -> dict[str, Any]:
    """Where a figure was measured."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def keep(name: str, facts: dict[str, Any]) -> None:
    """Write the raw numbers to `bench/results/NAME.json`, beside the machine's facts."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"where": machine(), **facts}, indent=1) + "\n")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that *share* of all do not exceed; not a number without values."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Median, 99th percentile and worst."""
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(percentile(values, share), digits) for name, share in shares.items()}


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Print *rows* under their keys; the first column to the left, the others to the right."""
    if not rows:
        return
    columns = list(rows[0])
    cells = [columns, *([_cell(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    print()
    for line in cells:
        first, *others = (
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *others]))


def _cell(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def fresh(script: str, *args: str, python: str = sys.executable, timeout: float = 1200.0) -> Any:
    """What `python bench/SCRIPT ARGS…` prints as JSON, in a process of its own with UTC as its zone."""
    env = {**os.environ, "TZ": "UTC", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, str(ROOT / "bench" / script), *args],
        stdout=subprocess.PIPE,
        env=env,
        check=True,
        timeout=timeout,
        text=True,
    )
    return json.loads(done.stdout)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk the temporary files are on, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="echopilot-bench-") as name:
        yield Path(name)
