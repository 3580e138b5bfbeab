"""Fields get their meaning from their name and value, in any file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from signalkit import signal_of, write
from test_moments import JSON

from echopilot_jobs.signals.fields import Verdict, flatten, judge, role, shape, snake
from echopilot_jobs.signals.moments import moment
from echopilot_jobs.signals.table import Table

FINE, WARNING, ERROR, CRITICAL = Verdict.FINE, Verdict.WARNING, Verdict.ERROR, Verdict.CRITICAL


@pytest.mark.parametrize(
    ("path", "value", "verdict"),
    [
        ("ok", False, ERROR), ("ok", True, FINE), ("isHealthy", False, ERROR), ("job.success", "no", ERROR),
        ("ok", 0, ERROR), ("failed", True, ERROR), ("failed", False, FINE), ("has_errors", True, ERROR),
        ("status", "critical", CRITICAL), ("Status", " Timed-Out ", ERROR), ("state", "degraded", WARNING),
        ("level", "WARN", WARNING), ("logLevel", "FATAL", CRITICAL), ("level", 50, ERROR), ("level", 30, FINE),
        ("severity.webhook", "CRITICAL", CRITICAL), ("budget.status", "OK", FINE), ("payment_status", "failed", ERROR),
        ("code", 503, ERROR), ("res.statusCode", 404, WARNING), ("http_status", "500", ERROR), ("code", None, None),
        ("exit_code", 1, ERROR), ("exit_code", 0, FINE), ("error", "boom", ERROR), ("error", "none", None),
        ("error", None, None), ("note", "Error: no such table", WARNING), ("note", "error rates fell", None),
        ("event", "run.failed", ERROR), ("event", "started", None), ("status", "blue", None), ("name", "error", None),
        ("visible", False, None), ("status", True, None), ("cpu", 99.0, None), ("message", "all failed", None),
    ],
)  # fmt: skip
def test_a_field_says_how_things_are_only_where_it_can(path: str, value: Any, verdict: Verdict | None) -> None:
    assert judge(path, value) is verdict


@given(JSON)
def test_no_record_makes_the_table_raise(value: Any) -> None:
    table = Table()
    for record in (
        {"ts": value},
        {"status": value, "ok": value},
        value if isinstance(value, dict) else {"warnings": [value]},
    ):
        table.add(record)

    assert len(table) == len(table.times()) == len(table.kinds) == 3


def test_a_record_is_flattened_three_names_deep_and_no_further() -> None:
    record = {"a": {"b": {"c": 1, "d": {"e": 2}}}, "l": [1, {"x": 1}], "n": None}

    assert dict(flatten(record)) == {"a.b.c": 1, "l": [1, {"x": 1}], "n": None}


def test_a_thousand_fields_are_bounded_and_counted() -> None:
    table = Table()
    for i in range(20):
        table.add({f"field_{i}_{n}": n for n in range(1000)})

    assert len(table.numbers) <= 64
    assert len(table.fields) <= 256
    assert table.unplaced > 0


@pytest.mark.parametrize(
    "name", ["id", "user_id", "pid", "port", "line", "seq", "status_code", "level", "year", "offset", "shard"]
)
def test_numbers_that_name_something_measure_nothing(name: str) -> None:
    assert not role(name).countable


@pytest.mark.parametrize("name", ["latency_ms", "cpu_percent", "queue.depth", "p99", "rows", "valid_count"])
def test_numbers_that_measure_something_are_series(name: str) -> None:
    assert role(name).countable


@pytest.mark.parametrize(
    "record",
    [
        {"ts": "T"}, {"timestamp": "T"}, {"time": "T"}, {"@timestamp": "T"}, {"eventTime": "T"}, {"Created-At": "T"},
        {"meta": {"timestamp": "T"}}, {"date": "2026-03-01", "time": "10:00:00"},
        {"logged_at": "T", "expires_at": "2031-01-01"},
        {"next_run_at": "2031-01-01T00:00:00Z", "when": "T"}, {"time": 12.5, "ts": "T"}, {"quux": "T", "n": 1},
        {"created_at": "2020-01-01T00:00:00Z", "ts": "T"},
    ],
)  # fmt: skip
def test_the_time_is_found_under_any_usual_name_and_under_none(tmp_path: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record).replace('"T"', '"2026-03-01T10:00:00Z"')
    signal = signal_of(write(tmp_path / "a.ndjson", [json.loads(text)] * 3))

    assert list(signal.line.times) == [moment("2026-03-01T10:00:00Z")] * 3


def test_records_without_a_time_are_counted_and_kept(tmp_path: Path) -> None:
    signal = signal_of(write(tmp_path / "a.ndjson", [{"status": "FAIL"}, {"ts": "2026-03-01", "status": "FAIL"}]))

    assert (len(signal.table), signal.line.untimed) == (2, 1)
    assert list(signal.table.verdicts) == [ERROR, ERROR]


def test_complaints_of_one_shape_are_one() -> None:
    assert shape("High CPU: 85.8%") == shape("High CPU: 91%") == "High CPU: #%"
    assert shape("p99_latency on host7") == "p99_latency on host7"
    assert shape("job 4f9d1c2ab7 died") == shape("job 0a9d1c2a99 died")


def test_names_are_compared_in_one_spelling() -> None:
    assert {snake(name) for name in ("eventTime", "event_time", "Event-Time", "event time")} == {"event_time"}
