"""NDJSON files of the soak's own: what was done to the processes, and what the jobs did."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import SystemClock, to_ms


class Records:
    """`storm.ndjson`: everything the soak did and saw, in order; may be written from several threads."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "storm.ndjson"
        self._guard = threading.Lock()

    def add(self, what: str, **facts: Any) -> None:
        """Append one record."""
        line = json.dumps({"what": what, "at": to_ms(SystemClock().now()), **facts})
        with self._guard, self._path.open("a", encoding="ascii") as file:
            file.write(line + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines of *path*; none when there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line]
