"""The brief as a whole: its JSON, the record it was built for, and what is missing (F68, S12)."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from daykit import live
from signalkit import NOW, brief_facts, brief_of, level_log, sentinel_like, told, uptime_like, write

from echopilot_jobs.builtin import jobs
from echopilot_jobs.errors import SupervisorUnreachable
from echopilot_jobs.ledger import Limits, SqliteLedger
from echopilot_jobs.ledger.rebirth import Rebirth
from echopilot_jobs.runs import BAD_ENDS, Outcome, Run, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.signals.brief import Brief, as_json, make
from echopilot_jobs.signals.findings import EVIDENCE_MOST, Finding, Severity, ranked
from echopilot_jobs.signals.own import _short_of, cgroup_memory, from_host, from_ledger, from_processes
from echopilot_jobs.signals.page import page
from echopilot_jobs.signals.reading import Reading
from echopilot_jobs.slots import Slot
from echopilot_jobs.supervision import Program, Supervisor
from echopilot_jobs.testing import FakeClock

RECORD = Path(__file__).resolve().parents[2].parent / "shared" / "telemetry"
PROOF = {
    "uptime.ndjson": {
        "silence": [
            "1,272 of 23,837 minutes have a record (5.3 %)",
            "silent for 220.7 h from 27 Oct 2025 21:25 UTC",
            "silent for 143.1 h from 21 Oct 2025 12:34 UTC",
        ],
        "failures": ["9 failed probes of 1,318 (0.7 %): 'ok' is false", "the longest streak is 3 in a row"],
        "doubled_cadence": ["47 of 1,317 intervals are under 30 s"],
    },
    "ops_sentinel.ndjson": {
        "failures": [
            "63 critical of 539 records (11.7 %), by 'status'",
            "'cpu_percent' from 85.1 up goes with 24 of 63 critical records; no other record is above 84.9: "
            "the limit is about 85",
            "'latency_sec' is 999 in 7 of 63 critical records",
            "together these explain 63 of 63 critical records",
            "'warnings' says 'High CPU: #%' 24 times, 85.1 to 96.5",
        ],
        "limit": ["'cpu_percent' from about 85 (24 of 63)"],
    },
    "self_healing.ndjson": {"failures": ["14 errors and 83 warnings of 1,300 records (1.1 % and 6.4 %), by 'level'"]},
    "production_alerts.ndjson": {
        "failures": ["78 critical of 373 records (20.9 %), by 'severity'"],
        "near_its_end": ["'availability_error_budget.remaining_pct' stands at 0 %"],
    },
    "release_captain.json": {"failures": ["3 errors and 1 warning of 4 records", "'FAIL' 3, 'PARTIAL' 1"]},
    "e2e_validation.json": {"warnings": ["'reason' says 'Notion sync lag (retry)' 3 times"]},
    "daily_report_20251020.json": {"failures": ["'finance_metrics.ok' is false", "Cannot compute metrics"]},
}
PRESENT = [
    (name, kind, sentence)
    for name, kinds in PROOF.items()
    if (RECORD / name).exists()
    for kind, sentences in kinds.items()
    for sentence in sentences
]


@pytest.mark.parametrize(("name", "kind", "sentence"), PRESENT)
def test_the_record_of_the_old_system_gives_up_its_truth(name: str, kind: str, sentence: str) -> None:
    brief = brief_of(RECORD, now=datetime(2025, 11, 6, 11, tzinfo=UTC))

    assert sentence in told(brief, kind, name)


@pytest.mark.parametrize("folder", [RECORD] if PRESENT else [])
def test_the_headline_on_that_record_is_the_silence(folder: Path) -> None:
    brief = brief_of(folder, now=datetime(2026, 3, 2, tzinfo=UTC))

    assert brief["headline"] == (
        "uptime.ndjson has records for only 5.3 % of its time (1,272 of 23,837 minutes); "
        "the longest outage lasted 220.7 h from 27 Oct 2025 21:25 UTC, the next 143.1 h from 21 Oct 2025 12:34 UTC"
    )


def test_the_json_holds_every_promised_key(tmp_path: Path) -> None:
    uptime_like(tmp_path / "web.ndjson")
    sentinel_like(tmp_path / "box.ndjson")
    level_log(tmp_path / "heal.ndjson")

    brief = json.loads(json.dumps(brief_of(tmp_path), allow_nan=False))

    promised = {"ts", "headline", "summary", "kpis", "top_risks", "actions_next_24h", "actions_next_7d", "confidence"}
    assert promised | {"attachments", "sources", "missing_signals", "schema_version"} <= set(brief)
    assert brief["ts"] == "2026-03-02T08:00:00Z"
    assert all({"type", "severity", "signal", "evidence", "suggested_fix"} <= set(risk) for risk in brief["top_risks"])
    scores = [risk["score"] for risk in brief["top_risks"]]
    assert scores == sorted(scores, reverse=True)
    assert 0 < brief["confidence"] <= 1
    assert brief["actions_next_24h"]
    assert brief["kpis"]["lowest_coverage_percent"] == 27.3
    assert brief["kpis"]["longest_outage_hours"] == 10.0


def test_the_same_files_give_the_same_brief(tmp_path: Path) -> None:
    sentinel_like(tmp_path / "box.ndjson")

    assert brief_of(tmp_path) == brief_of(tmp_path)


def test_without_any_signal_the_brief_says_that_it_is_blind(tmp_path: Path) -> None:
    brief = brief_of(tmp_path, "*.ndjson")

    assert brief["headline"] == "Nothing could be read: no file matched and none of our own signals answered"
    assert brief["missing_signals"] == [{"signal": "files", "reason": "'*.ndjson' matches no file"}]


def test_each_dead_signal_is_named_and_the_others_are_told(tmp_path: Path) -> None:
    """F68: no supervisord listens, the ledger is not there, the host answers."""
    write(tmp_path / "a.ndjson", [{"ok": False}])

    def ledger() -> None:
        SqliteLedger(tmp_path / "none.sqlite3", create=False)

    own = {
        "run ledger": ledger,
        "process table": lambda: from_processes(Supervisor(tmp_path / "s.sock").programs(), NOW),
        "host": lambda: from_host(tmp_path),
    }
    brief = as_json(make(["*.ndjson"], tmp_path, NOW, None, own), [])  # type: ignore[arg-type]

    assert [each["signal"] for each in brief["missing_signals"]] == ["run ledger", "process table"]
    assert "no supervisord at" in brief["missing_signals"][1]["reason"]
    assert [each["signal"] for each in brief["own_signals"]] == ["host"]
    assert brief["confidence"] < brief_of(tmp_path)["confidence"]
    assert told(brief, "failures")


def failing_reports(run: Run) -> Outcome:
    failed = run.job_name == "daily_report"
    return Outcome(State.FAILED, error="Traceback\nValueError: no such table") if failed else Outcome(State.SUCCEEDED)


def test_the_ledger_tells_runs_failures_and_dark_minutes(
    ledger: SqliteLedger, clock: FakeClock, settings: Settings
) -> None:
    defined = {
        name: job for name in ("daily_report", "heartbeat") for job in jobs(settings).values() if job.name == name
    }
    live(ledger, defined, clock, clock.now() + timedelta(hours=2), ending=failing_reports)
    clock.sleep(3 * 3600)
    live(ledger, defined, clock, clock.now() + timedelta(minutes=30), ending=failing_reports)

    own = from_ledger(ledger, clock.now())
    found = {finding.type: finding for finding in own.findings}

    assert own.kpis["runs_failed_24h"] == 1
    assert own.kpis["scheduler_starts_24h"] == 2
    assert 179 <= own.kpis["scheduler_dark_minutes_24h"] <= 183
    assert "'ValueError: no such table'" in found["failed_runs"].evidence[0]
    (failed,) = ledger.runs(states=BAD_ENDS)
    assert f"the last one, run {failed.id}, at " in found["failed_runs"].evidence[0]
    assert f"`echopilot show {failed.id}` (daily_report)" in found["failed_runs"].fix
    assert found["failed_runs"].severity.word == "high"
    assert found["scheduler_dark"].severity.word == "high"
    assert "skipped_slots" in found


def test_a_ledger_that_began_empty_after_a_lost_one_is_no_quiet_day_F42(
    ledger: SqliteLedger, clock: FakeClock, settings: Settings
) -> None:
    live(ledger, {"heartbeat": jobs(settings)["heartbeat"]}, clock, clock.now() + timedelta(minutes=2))
    ledger.go_on_after(101_351, Rebirth(clock.now(), 1351, None))

    (told,) = [each for each in from_ledger(ledger, clock.now()).findings if each.type == "lost_ledger"]
    later = from_ledger(ledger, clock.now() + timedelta(days=2)).findings

    assert told.title.startswith("the ledger before this one, with runs up to 1351, is lost; this one began empty at ")
    assert told.severity.word == "high"
    assert "lost_ledger" not in [each.type for each in later]


def test_the_slots_that_did_not_run_are_the_sum_of_the_reasons_told_and_a_pause_is_told_apart(
    ledger: SqliteLedger, clock: FakeClock, settings: Settings
) -> None:
    beating = {"heartbeat": jobs(settings)["heartbeat"]}
    live(ledger, beating, clock, clock.now() + timedelta(minutes=10))
    clock.sleep(3600)
    live(ledger, beating, clock, clock.now() + timedelta(minutes=5))
    ledger.pause("heartbeat", clock.now(), None, "cli:ann", "moving house")
    live(ledger, beating, clock, clock.now() + timedelta(minutes=30))

    own = from_ledger(ledger, clock.now())
    (told,) = [finding for finding in own.findings if finding.type == "skipped_slots"]
    missed, meant = ([int(n) for n in re.findall(r"[a-z] ([0-9]+)", line)] for line in told.evidence)

    assert told.fix.startswith("`echopilot why JOB TIME` tells of each, the daily report counts them")
    assert told.title == f"{sum(missed)} slots of the last 24 h were missed"
    assert re.fullmatch(r"skipped on purpose and not counted: paused [0-9]+", told.evidence[1])
    assert sum(missed) + sum(meant) == own.kpis["slots_skipped_24h"]
    assert f"{sum(missed) + sum(meant)} slots skipped, {sum(meant)} of them on purpose" == own.lines[1]


def test_lives_within_a_minute_are_told_apart_and_the_newest_is_still_running(
    ledger: SqliteLedger, clock: FakeClock
) -> None:
    for number in range(7):
        ledger.take_lease(f"boot:{number}:1", "host", "rev", clock.now())
        clock.sleep(7)

    (dark,) = [each for each in from_ledger(ledger, clock.now()).findings if each.type == "scheduler_dark"]

    assert dark.evidence[0].endswith(", still running")
    assert all(line.endswith(", ended without a word") for line in dark.evidence[1:5])
    assert dark.evidence[5:] == ("and 2 more",)
    assert len(set(dark.evidence)) == 6
    assert "nobody saw" not in "".join(dark.evidence)


def test_what_ended_badly_in_a_day_counts_by_its_end_and_not_by_its_slot(
    ledger: SqliteLedger, clock: FakeClock, settings: Settings
) -> None:
    """The runs of a backfill end today, and their slots lie weeks back."""
    report = jobs(settings)["daily_report"]
    lease = live(ledger, {report.name: report}, clock, clock.now(), stop=None)
    old = [Slot(report.name, clock.now().replace(second=0) - timedelta(days=back)) for back in range(20, 24)]
    ledger.backfill(report.name, old, "ann", clock.now())
    with ledger.leading(lease, clock.now()) as work:
        for run in work.start_ready(Limits(8)):
            work.finish(run, Outcome(State.FAILED, error="no"))
    clock.sleep(20 * 60)

    own = from_ledger(ledger, clock.now())
    (failed,) = [each for each in own.findings if each.type == "failed_runs"]

    ended = len(ledger.runs(states=BAD_ENDS))
    assert ended > 0
    assert (own.kpis["runs_24h"], own.kpis["runs_failed_24h"]) == (ended, ended)
    assert failed.title.startswith(f"{ended} run")
    clock.sleep(86_400)
    assert from_ledger(ledger, clock.now()).kpis["runs_failed_24h"] == 0


def test_of_many_failing_jobs_none_is_left_out_without_a_word(
    ledger: SqliteLedger, clock: FakeClock, settings: Settings
) -> None:
    base = jobs(settings)["heartbeat"]
    many = {f"job{number}": replace(base, name=f"job{number}") for number in range(8)}
    lease = live(ledger, many, clock, clock.now(), stop=None)
    for name in many:
        ledger.request_run(name, clock.now())
    with ledger.leading(lease, clock.now()) as work:
        for run in work.start_ready(Limits(8)):
            work.finish(run, Outcome(State.FAILED, error="no"))
    clock.sleep(1)

    (failed,) = [each for each in from_ledger(ledger, clock.now()).findings if each.type == "failed_runs"]

    assert failed.title.endswith("job5, and 2 more")
    assert failed.evidence[6] == "and 2 more"
    assert failed.fix.count("`echopilot show ") == 3
    assert "`echopilot runs --failed`" in failed.fix
    assert failed.evidence[7].endswith("job5, and 2 more")


def test_evidence_beyond_what_is_kept_is_counted() -> None:
    found = Finding("kind", Severity.HIGH, "host", "much", tuple(map(str, range(EVIDENCE_MOST + 3))), "b")

    told = as_json(Brief(NOW, Reading((), ()), findings=[found]), [])

    assert told["top_risks"][0]["evidence"][-2:] == [str(EVIDENCE_MOST - 1), "and 3 more"]


def test_advice_and_names_beyond_what_is_told_are_counted() -> None:
    found = [Finding("kind", Severity.HIGH, f"s{n}", "much", ("a",), f"do {n % 8}") for n in range(48)]

    told = as_json(Brief(NOW, Reading((), ()), findings=found), [])["actions_next_24h"]

    assert told[0] == "s0, s8, s16, s24, and 2 more: do 0"
    assert told[6:] == ["and 2 more"]


def test_failing_jobs_and_dark_time_come_before_a_busy_host_that_breaks_nothing() -> None:
    figures = {"memory_percent": 10.0, "disk_percent": 10.0, "load_5min_per_cpu": 6.5}
    (busy,) = _short_of(figures, ["memory: none", "disk: none", "load: 13 over 5 minutes on 2 CPUs"])
    failed = Finding("failed_runs", Severity.HIGH, "run ledger", "2 runs ended badly", ("a",), "b", weight=0.1)
    dark = Finding(
        "scheduler_dark", Severity.HIGH, "run ledger", "the scheduler was away", ("a",), "b", weight=60 / 1440
    )

    assert busy.severity is Severity.HIGH
    assert ranked([busy, dark, failed]) == [failed, dark, busy]
    (lost,) = _short_of(figures | {"load_5min_per_cpu": 20.0}, ["memory: none", "disk: none", "load: 40"])
    assert lost.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("signal", "title", "headline"),
    [
        ("host", "the host runs short: load", "The host runs short: load"),
        ("uptime.ndjson", "uptime.ndjson has records for half", "uptime.ndjson has records for half"),
        ("nightly", "nightly has records for half", "nightly has records for half"),
        ("run ledger", "2 runs ended badly", "2 runs ended badly"),
    ],
)
def test_a_headline_begins_as_a_sentence_and_a_name_keeps_its_spelling(signal: str, title: str, headline: str) -> None:
    brief = Brief(NOW, Reading((), ()), findings=[Finding("kind", Severity.HIGH, signal, title, ("a",), "b")])

    told = as_json(brief, [])

    assert told["headline"] == told["top_risks"][0]["title"] == headline


def test_an_empty_ledger_gives_figures_and_no_risk(ledger: SqliteLedger) -> None:
    own = from_ledger(ledger, NOW)

    assert own.findings == ()
    assert own.kpis["runs_24h"] == 0


def test_a_program_that_is_down_is_a_risk(tmp_path: Path) -> None:
    table = [
        Program("web", "FATAL", None, None, 1, "Exited too quickly (process log may have details)"),
        Program("scheduler", "RUNNING", 5, NOW - timedelta(hours=3), None, "pid 5, uptime 3:00:00"),
    ]

    own = from_processes(table, NOW)

    assert [(f.type, f.severity.word) for f in own.findings] == [("process_down", "critical")]
    assert own.kpis == {"programs": 2, "programs_running": 1}


def test_an_unreachable_supervisor_is_an_error_the_brief_can_name(tmp_path: Path) -> None:
    with pytest.raises(SupervisorUnreachable):
        Supervisor(tmp_path / "none.sock").programs()


def test_memory_is_judged_against_the_containers_limit(tmp_path: Path) -> None:
    group = tmp_path / "box"
    group.mkdir()
    (tmp_path / "self").write_text("0::/box\n")
    (group / "memory.max").write_text("1000000\n")
    (group / "memory.current").write_text("900000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 250000\n")

    assert cgroup_memory(tmp_path, tmp_path / "self") == (650_000, 1_000_000)
    (group / "memory.max").write_text("max\n")
    assert cgroup_memory(tmp_path, tmp_path / "self") is None
    assert cgroup_memory(tmp_path / "none", tmp_path / "none") is None


def test_a_host_that_runs_short_is_a_risk() -> None:
    figures = {"memory_percent": 97.5, "disk_percent": 91.0, "load_5min_per_cpu": 0.4}

    found = _short_of(figures, ["memory: full", "disk: nearly full", "load: none"])

    assert [(f.type, f.severity.word) for f in found] == [("host_memory", "critical"), ("host_disk", "high")]


def test_many_broken_files_never_stop_the_brief(tmp_path: Path) -> None:
    for i, content in enumerate(
        [b"", b"\0\0", b"{", b"[", b"]" * 9, b"\xff\xfe", b"\xfe\xff{", b"\x1f\x8b", b'{"a":1}', b"{}\n{}"]
    ):
        (tmp_path / f"{chr(97 + i)}.ndjson").write_bytes(content)

    brief = brief_facts(tmp_path)

    assert len(brief.reading.files) == 10
    assert not [each for each in brief.missing if "a rule failed" in each["reason"]]


def damaged(content: bytes, dice: random.Random) -> bytes:
    """*content* after a disk, a crash and two writers have been at it."""
    lines = content.split(b"\n")
    for _ in range(dice.randrange(1, 40)):
        i = dice.randrange(len(lines))
        line = lines[i]
        cut = dice.randrange(len(line) + 1)
        lines[i] = dice.choice(
            [line[:cut], line[cut:], line[:cut] + b"\xff\x00" + line[cut:], line + line, b"", line.replace(b"T", b"\n"),
             line.replace(b"1", b"-9e999"), line.replace(b'"', b"'"), line.replace(b":", b": {\n", 1), line.lower(),
             line.replace(b"2026", dice.choice([b"0001", b"9999", b"1970", b"2027"]))]
        )  # fmt: skip
    if dice.random() < 0.3:
        dice.shuffle(lines)
    return b"\n".join(lines)


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_makes_a_rule_stumble_or_a_figure_impossible(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    for make_file in (uptime_like, sentinel_like, level_log):
        path = make_file(tmp_path / f"{make_file.__name__}.ndjson")
        path.write_bytes(damaged(path.read_bytes(), dice))

    facts = brief_facts(tmp_path)
    brief = json.loads(json.dumps(as_json(facts, []), allow_nan=False))

    assert facts.missing == []
    assert page(facts, brief)
    for source in brief["sources"]:
        assert source["coverage_percent"] is None or 0 <= source["coverage_percent"] <= 100
        assert source["critical"] + source["errors"] + source["warnings"] <= source["records"]
    for risk in brief["top_risks"]:
        assert not re.search(r"\b(nan|inf|None)\b", " ".join([risk["title"], *risk["evidence"]]))
