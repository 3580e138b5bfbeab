"""The rules find what is in the files, say it with exact figures, and say nothing that is not there."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signalkit import (
    NOW,
    brief_facts,
    brief_of,
    level_log,
    minutes,
    risks,
    sentinel_like,
    signal_of,
    stamp,
    told,
    uptime_like,
    write,
)

from echopilot_jobs.signals.findings import figure, percent
from echopilot_jobs.signals.rules_numbers import limits, plainest


def test_coverage_outages_and_failed_probes_of_an_uptime_file(tmp_path: Path) -> None:
    uptime_like(tmp_path / "web.ndjson")

    brief = brief_of(tmp_path)
    silence, failed = told(brief, "silence"), told(brief, "failures")

    assert "270 of 989 minutes have a record (27.3 %), between 1 Mar 2026 15:31 UTC and 2 Mar 2026 08:00 UTC" in silence
    assert "silent for 10.0 h from 1 Mar 2026 18:30 UTC to 2 Mar 2026 04:31 UTC" in silence
    assert "silent for 2.0 h from 2 Mar 2026 05:30 UTC to 2 Mar 2026 07:31 UTC" in silence
    assert "2 outages in all, 12.0 h together; a record every 60 s is usual" in silence
    assert "3 failed probes of 270 (1.1 %): 'alive' is false" in failed
    assert "the longest streak is 3 in a row, 1 Mar 2026 16:11 UTC to 1 Mar 2026 16:13 UTC" in failed
    assert brief["headline"].startswith("web.ndjson has records for only 27.3 % of its time (270 of 989 minutes)")
    assert not risks(brief, "stale")
    assert not risks(brief, "doubled_cadence")


def test_the_limits_behind_the_trouble_are_found_and_stand_ins_are_known(tmp_path: Path) -> None:
    sentinel_like(tmp_path / "box.ndjson")

    brief = brief_of(tmp_path)
    text = told(brief, "failures")

    assert "13 critical of 400 records (3.2 %), by 'state'" in text
    assert "'load_pct' from 91 up goes with 8 of 13 critical records; no other record is above 88: " in text
    assert "the limit lies between 88 and 91, 90 would fit" in text
    assert "'wait' is -1 in 5 of 13 critical records and at least 0.01 in the others: -1 stands for no answer" in text
    assert "together these explain 13 of 13 critical records" in text
    assert "'issues' says 'Load at #%' 8 times, 91 to 93" in text
    assert (
        risks(brief, "limit")[0]["title"]
        == "box.ndjson: the critical records go with 'load_pct' from about 90 (8 of 13)"
    )


def test_errors_and_warnings_of_a_level_log_are_counted_in_its_words(tmp_path: Path) -> None:
    level_log(tmp_path / "heal.ndjson")

    brief = brief_of(tmp_path)
    (source,) = brief["sources"]

    assert "4 errors and 11 warnings of 300 records (1.3 % and 3.7 %), by 'lvl'" in told(brief, "failures")
    assert "'msg' says 'check failed after # ms' 4 times, 3 to 78" in told(brief, "failures")
    assert (source["cadence_seconds"], source["outages"]) == (300, 0)


def test_a_quiet_and_healthy_file_gives_no_risk_at_all(tmp_path: Path) -> None:
    dice = random.Random(3)
    write(
        tmp_path / "a.ndjson",
        (
            {"ts": stamp(m), "ok": True, "ms": dice.gauss(50, 5), "n": i}
            for i, m in enumerate(minutes(NOW - timedelta(hours=8), 480))
        ),
    )

    brief = brief_of(tmp_path)

    assert brief["top_risks"] == []
    assert brief["headline"] == "Nothing needs attention"


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_chance_alone_is_never_called_a_limit(seed: int) -> None:
    from echopilot_jobs.signals.reading import FileFacts, Signal
    from echopilot_jobs.signals.table import Table
    from echopilot_jobs.signals.timeline import timeline

    dice, table = random.Random(seed), Table()
    for _ in range(300):
        table.add({"ok": dice.random() > 0.15, "a": dice.random(), "b": dice.gauss(0, 1), "c": dice.randrange(9)})
    signal = Signal("x", [FileFacts("x")], table, timeline(table.times(), 0.0))

    # One in ten thousand by design, six looks a file, 25 files: a limit here is a bug, not bad luck.
    assert limits(signal) == []


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(84.9, 85.1, 85), (81.6, 87.9, 85), (0.116, 999, 500), (254.41, 248.84, 250), (-0.5, 0.5, 0), (99.2, 101, 100)],
)
def test_a_limit_is_told_as_the_number_a_person_would_have_chosen(low: float, high: float, said: float) -> None:
    assert plainest(min(low, high), max(low, high)) == said


def test_a_signal_that_stopped_is_told_and_those_that_stopped_together_are_one(tmp_path: Path) -> None:
    for name, every in (("a", 60), ("b", 300)):
        write(
            tmp_path / f"{name}.ndjson",
            ({"ts": stamp(m)} for m in minutes(NOW - timedelta(hours=12), 7200 // every, every)),
        )
    write(tmp_path / "c.ndjson", ({"ts": stamp(m)} for m in minutes(NOW - timedelta(hours=2), 120)))

    (stale,) = risks(brief_of(tmp_path), "stale")

    assert (stale["severity"], stale["signal"]) == ("critical", "a.ndjson")
    assert stale["title"] == "Nothing from a.ndjson and b.ndjson since 1 Mar 2026 21:59 UTC, 10.0 h ago"


def test_a_signal_without_a_cadence_is_stale_only_when_it_is_long_overdue(tmp_path: Path) -> None:
    dice, moment, rows = random.Random(2), NOW - timedelta(days=9), []
    while moment < NOW - timedelta(days=5):
        moment += timedelta(seconds=dice.expovariate(1 / 1800))
        rows.append({"ts": stamp(moment)})
    write(tmp_path / "old.ndjson", rows)
    write(tmp_path / "fresh.ndjson", [{"ts": stamp(NOW - timedelta(hours=h**2))} for h in range(1, 15)])

    (stale,) = risks(brief_of(tmp_path), "stale")

    assert (stale["signal"], stale["severity"]) == ("old.ndjson", "low")
    assert "the median interval was" in stale["title"]


def test_an_outage_others_share_says_so(tmp_path: Path) -> None:
    for name in "ab":
        moments = minutes(NOW - timedelta(hours=9), 60) + minutes(NOW - timedelta(hours=1), 60)
        write(tmp_path / f"{name}.ndjson", ({"ts": stamp(m)} for m in moments))

    assert "b.ndjson was silent over the same 7.0 h: it was not this writer alone" in told(
        brief_of(tmp_path), "silence", "a."
    )


def test_two_writers_are_told_and_two_kinds_of_records_are_not_two_writers(tmp_path: Path) -> None:
    start = NOW - timedelta(hours=5)
    twice = minutes(start, 300) + minutes(start + timedelta(hours=1, seconds=20), 40)
    write(tmp_path / "two.ndjson", ({"ts": stamp(m), "ok": True} for m in twice))
    both = [{"ts": stamp(m), "ok": True} for m in minutes(start, 300)]
    both += [{"ts": stamp(m), "event": "report"} for m in minutes(start + timedelta(seconds=20), 20, 900)]
    write(tmp_path / "kinds.ndjson", both)

    (doubled,) = risks(brief_of(tmp_path), "doubled_cadence")

    assert doubled["signal"] == "two.ndjson"
    assert "40 of 339 intervals are under 30 s (11.8 %); the usual interval is 60 s" in doubled["evidence"]


def test_a_shift_of_level_is_told_with_both_medians_and_a_counter_is_none(tmp_path: Path) -> None:
    rows = ({"ts": stamp(m), "latency_ms": (20 if i < 200 else 55) + i % 5, "total": i * 3} for i, m in enumerate(
        minutes(NOW - timedelta(minutes=300), 300)
    ))  # fmt: skip
    write(tmp_path / "a.ndjson", rows)

    (shift,) = risks(brief_of(tmp_path), "level_shift")

    assert shift["title"] == "a.ndjson: 'latency_ms' rose from about 22 to 57 at 2 Mar 2026 06:20 UTC"
    assert shift["severity"] == "medium"


def test_trouble_that_piles_up_in_an_hour_is_told(tmp_path: Path) -> None:
    rows = ({"ts": stamp(m), "status": "error" if 300 <= i < 320 else "ok"} for i, m in enumerate(
        minutes(NOW - timedelta(hours=10), 600)
    ))  # fmt: skip
    write(tmp_path / "a.ndjson", rows)

    (burst,) = risks(brief_of(tmp_path), "failure_burst")

    assert burst["title"] == "a.ndjson: 20 of 60 records in the hour from 2 Mar 2026 03:00 UTC report trouble"
    assert "the longest streak is 20 in a row, 2 Mar 2026 03:00 UTC to 2 Mar 2026 03:19 UTC" in burst["evidence"]


def test_clocks_that_cannot_be_right_are_told(tmp_path: Path) -> None:
    rows = [{"ts": stamp(m)} for m in minutes(NOW - timedelta(hours=1), 180)] + [{"ts": "1970-01-01T00:00:05Z"}]
    write(tmp_path / "a.ndjson", rows)

    (clock,) = risks(brief_of(tmp_path), "clock")

    assert clock["title"] == "a.ndjson: 115 records with a time that cannot be right"
    assert "114 records stamped after 2 Mar 2026 08:00 UTC, up to 2.0 h ahead" in clock["evidence"][0]
    assert "1 record stamped before 1990, left out of the timeline" in clock["evidence"]


def test_zones_may_be_mixed(tmp_path: Path) -> None:
    lines = [f'{{"ts": "2026-03-02T{9 + i % 2:02d}:{i:02d}:00+0{1 + i % 2}:00"}}' for i in range(60)]
    (tmp_path / "a.ndjson").write_text("\n".join(lines))

    line = signal_of(tmp_path / "a.ndjson").line

    assert (line.cadence, line.backwards, line.outages) == (60, 0, ())


def test_a_share_that_is_used_up_is_told(tmp_path: Path) -> None:
    rows = (
        {"ts": stamp(m), "budget": {"remaining_pct": max(0, 50 - i)}}
        for i, m in enumerate(minutes(NOW - timedelta(hours=1), 60))
    )
    write(tmp_path / "a.ndjson", rows)

    (ended,) = risks(brief_of(tmp_path), "near_its_end")

    assert ended["title"] == "a.ndjson: 'budget.remaining_pct' stands at 0 %"
    assert ended["evidence"] == [
        "the newest of 60 values is 0 (5 or less is near the end), beyond that mark since 2 Mar 2026 07:45 UTC"
    ]


def test_a_document_speaks_for_itself_and_its_rows_for_themselves(tmp_path: Path) -> None:
    (tmp_path / "ci.json").write_text(
        '{\n "generated": "2026-03-02T07:00:00Z",\n "billing": {"ok": false, "error": "card declined"},\n'
        ' "checks": [\n  {"name": "a", "passed": true},\n  {"name": "b", "passed": false}\n ]\n}\n'
    )

    brief = brief_of(tmp_path)

    assert risks(brief, "failures", "ci.json")[0]["title"] == "ci.json: 'billing.error' says 'card declined' once"
    assert "1 failed record of 2 (50.0 %): 'passed' is false" in told(brief, "failures", "» checks")


def test_corrupted_lines_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    good = '{"ts": "2026-03-01T00:00:00Z", "ok": true}\n'
    (tmp_path / "a.ndjson").write_text(good * 11 + '{"ts": "2026-03-01T00:0\n' + good * 8)

    brief = brief_of(tmp_path)

    assert told(brief, "damaged_lines").splitlines() == [
        "a.ndjson: 1 corrupted line among 19 records",
        "1 stretch of 20 entries are no JSON, the first at line 12 (5.0 %); the 19 records around them were read",
    ]
    assert brief["kpis"]["corrupted_lines"] == 1


def test_a_rule_that_stumbles_costs_its_signal_and_not_the_brief(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F68: the only way to have a rule fail is to break one."""
    from echopilot_jobs.signals import brief as module

    uptime_like(tmp_path / "a.ndjson")
    monkeypatch.setattr(module, "bursts", lambda signal: 1 / 0)

    brief = brief_facts(tmp_path)

    assert brief.missing == [
        {"signal": "a.ndjson", "reason": "a rule failed on it: ZeroDivisionError: division by zero"}
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [(1272, "1,272"), (84.9, "84.9"), (0.11603, "0.116"), (999.0, "999"), (0, "0"), (1e-9, "1e-09"), (2.5e20, "2.5e+20"),
     (-3.14159, "-3.142"), (1234.56, "1,234.6")],
)  # fmt: skip
def test_figures_carry_what_matters(value: float, said: str) -> None:
    assert figure(value) == said


def test_a_share_is_never_rounded_to_none_or_all() -> None:
    assert [percent(n, 10_000) for n in (0, 1, 530, 9_999, 10_000)] == [
        "0.0 %", "under 0.1 %", "5.3 %", "over 99.9 %", "100.0 %"
    ]  # fmt: skip
