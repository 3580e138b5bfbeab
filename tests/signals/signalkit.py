"""Files with known truths in them, and short ways to read and judge them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import EPOCH
from echopilot_jobs.signals.brief import Brief, as_json, make
from echopilot_jobs.signals.reading import Signal, read_signals

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def write(path: Path, records: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def signal_of(path: Path, now: datetime = NOW) -> Signal:
    (signal, *_) = read_signals([str(path)], path.parent, (now - EPOCH) / timedelta(seconds=1)).signals
    return signal


def brief_of(folder: Path, pattern: str = "*", now: datetime = NOW) -> dict[str, Any]:
    return as_json(brief_facts(folder, pattern, now), ["brief.html"])


def brief_facts(folder: Path, pattern: str = "*", now: datetime = NOW) -> Brief:
    return make([pattern], folder, now, None, {})


def risks(brief: dict[str, Any], kind: str, signal: str = "") -> list[dict[str, Any]]:
    return [risk for risk in brief["top_risks"] if risk["type"] == kind and signal in risk["signal"]]


def told(brief: dict[str, Any], kind: str, signal: str = "") -> str:
    """All sentences of one kind of risk as one text."""
    return "\n".join(text for risk in risks(brief, kind, signal) for text in (risk["title"], *risk["evidence"]))


def minutes(start: datetime, count: int, every: float = 60.0) -> list[datetime]:
    return [start + timedelta(seconds=every * i) for i in range(count)]


def uptime_like(path: Path) -> Path:
    """One probe a minute for three hours, dark for 10 h, one more hour, dark for 2 h, 30 min; 3 failed probes in a row."""
    start = NOW - timedelta(hours=16, minutes=29)
    moments = minutes(start, 180) + minutes(start + timedelta(hours=13), 60) + minutes(NOW - timedelta(minutes=29), 30)
    failed = set(moments[40:43])
    return write(
        path, ({"at": stamp(m), "rtt_ms": 20 + i % 7, "alive": m not in failed} for i, m in enumerate(moments))
    )


def sentinel_like(path: Path) -> Path:
    """A check every 3 min; `state` is critical whenever `load_pct` reaches 90 (8 times) or `wait` is -1 (5 times)."""
    rows = []
    for i, moment in enumerate(minutes(NOW - timedelta(minutes=3 * 399), 400, every=180)):
        hot, dead = i % 50 == 7, i % 80 == 33
        load = 90 + i % 4 if hot else 20 + (i * 37) % 69
        rows.append(
            {
                "checked": {"at": moment.timestamp() * 1000},
                "state": "CRITICAL" if hot or dead else "OK",
                "load_pct": load,
                "wait": -1 if dead else 0.01 * (1 + i % 9),
                "issues": [f"Load at {load}%"] if hot else ["no answer"] if dead else [],
            }
        )
    return write(path, rows)


def level_log(path: Path) -> Path:
    """Three lines every five minutes, 100 rounds: 4 errors and 11 warnings of 300."""
    rows = []
    for i, moment in enumerate(minutes(NOW - timedelta(minutes=5 * 99), 100, every=300)):
        rows.append({"time": stamp(moment), "lvl": "info", "msg": "check started"})
        level, text = ("error", f"check failed after {i} ms") if i % 25 == 3 else ("info", "well")
        rows.append({"time": stamp(moment + timedelta(milliseconds=20)), "lvl": level, "msg": text})
        level = "warning" if i % 9 == 5 else "info"
        rows.append({"time": stamp(moment + timedelta(milliseconds=70)), "lvl": level, "msg": "check ended"})
    return write(path, rows)
