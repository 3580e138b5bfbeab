"""A day's figures as JSON types and as sentences."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from echopilot_jobs.clock import iso
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.outages import IN_WORDS, life_words
from echopilot_jobs.plain import plain_lines, shorten
from echopilot_jobs.reporting import FAILURES_MOST, DayReport, JobDay, Spread
from echopilot_jobs.runs import Run, Stint
from echopilot_jobs.spans import span, stamp

JSON_VERSION = 1
LAST_LINES = 8
LINE_MOST = 300
STRETCHES_MOST = 100


def report_data(report: DayReport, ledger: Ledger, now: datetime) -> dict[str, Any]:
    """The whole report, JSON types only. Moments are ISO in UTC, lengths milliseconds or minutes as their names say.

    `known_from`, `known_until` and `totals` are null when nothing is known of the day: zeros would be a claim.
    """
    period = report.period
    return {
        "version": JSON_VERSION,
        "kind": "daily_report",
        "ts": iso(now),
        "date": period.day.isoformat(),
        "known_from": iso(period.known_from) if period.is_known else None,
        "known_until": iso(period.known_until) if period.is_known else None,
        "headline": headline(report),
        "verdict": verdict(report),
        "totals": totals(report) if period.is_known else None,
        "notes": notes(report),
        "jobs": [job_data(job, ledger) for job in report.jobs],
        "scheduler": scheduler_data(report),
    }


def totals(report: DayReport) -> dict[str, Any]:
    """The sums over all jobs, and whether they add up."""
    jobs = report.jobs
    sums = {fate: sum(job.count(fate) for job in jobs) for fate in ("ran", "cancelled", "open", "due", "missing")}
    planned = sum(job.planned for job in jobs)
    skipped = sum(sum(job.skipped.values()) for job in jobs)
    return {
        "planned": planned,
        **sums,
        "skipped_itself": sum(job.skipped_itself for job in jobs),  # of the cancelled
        "skipped": skipped,
        "accounted_for": report.missing == 0,
        "failures": sum(len(job.failures) for job in jobs),
        "late": sum(len(job.late) for job in jobs),
        "unplanned": sum(sum(job.unplanned.values()) for job in jobs),
        "restarts": report.restarts,
        "dark_minutes": minutes(report.dark_for),
    }


def job_data(job: JobDay, ledger: Ledger) -> dict[str, Any]:
    """One job's day; its failures with what they printed last."""
    missing = job.missing
    return {
        "job": job.name,
        "schedule": str(job.job.trigger) if job.job else None,
        "planned": job.planned,
        **{fate: job.count(fate) for fate in ("ran", "cancelled", "open", "due")},
        "skipped_itself": job.skipped_itself,  # of the cancelled
        "skipped": {"total": sum(job.skipped.values()), "by_reason": job.skipped},
        "missing": {"total": len(missing), "slots": [iso(due) for due in missing[:STRETCHES_MOST]]},
        "runs_by_state": job.states,
        "unplanned_by_origin": job.unplanned,
        "schedules": [{"since": iso(since), "schedule": words} for since, words in job.rules],
        "not_owed": len(job.outside),
        "before_first_known": len(job.earlier),
        "late": [_late(run) for run in job.late[:STRETCHES_MOST]],
        "late_total": len(job.late),
        "retried": job.retried,
        "lateness_ms": spread_data(job.lateness),
        "duration_ms": spread_data(job.durations),
        "failures": [failure_data(run, ledger) for run in job.failures[:FAILURES_MOST]],
        "failures_total": len(job.failures),
        "gaps": [
            {"first": iso(gap.first), "last": iso(gap.last), "count": gap.count}
            | {"reason": gap.reason.value, "cause": gap.cause.value, "cause_words": IN_WORDS[gap.cause]}
            for gap in job.gaps
        ],
    }


def failure_data(run: Run, ledger: Ledger) -> dict[str, Any]:
    """One bad end with its evidence; every text plain and capped."""
    lines = plain_lines(ledger.output(run.id).text)
    return {
        "run": run.id,
        "state": run.state.value,
        "state_words": run.words,
        "origin": run.origin.value,
        "slot_at": iso(run.slot.due_at) if run.slot else None,
        "started_at": iso(run.started_at) if run.started_at else None,
        "finished_at": iso(run.finished_at) if run.finished_at else None,
        "attempts": run.attempt,
        "exit_status": run.exit_status,
        "http_status": run.http_status,
        "error": shorten(" · ".join(plain_lines(run.error)), 2 * LINE_MOST) if run.error else None,
        "last_lines": [shorten(line, LINE_MOST) for line in lines[-LAST_LINES:]],
        "lines_total": len(lines),
    }


def spread_data(spread: Spread | None) -> dict[str, int] | None:
    """A spread as JSON types."""
    if spread is None:
        return None
    return {"count": spread.count, "p50": spread.p50, "p99": spread.p99, "max": spread.most}


def scheduler_data(report: DayReport) -> dict[str, Any]:
    """The scheduler's lives and the dark between them."""
    longest = sorted(report.dark, key=lambda stretch: stretch[0] - stretch[1])[:STRETCHES_MOST]
    return {
        "starts": len(report.starts),
        "restarts": report.restarts,
        "dark_minutes": minutes(report.dark_for),
        "dark": [
            {"from": iso(since), "until": iso(until), "minutes": minutes(until - since)}
            for since, until in sorted(longest)
        ],
        "lives": [_life(stint) for stint in report.stints[-STRETCHES_MOST:]],
        "lives_total": len(report.stints),
    }


def minutes(length: timedelta) -> float:
    """Minutes with one digit."""
    return round(length / timedelta(minutes=1), 1)


def verdict(report: DayReport) -> str:
    """`unknown` (nothing is known), `bad` (slots unaccounted for or a bad end), `mixed` (skips, lateness, dark), `good`."""
    sums = totals(report)
    if not report.period.is_known:
        return "unknown"
    if sums["missing"] or sums["failures"]:
        return "bad"
    return "mixed" if sums["skipped"] or sums["late"] or sums["dark_minutes"] >= 1 else "good"


def headline(report: DayReport) -> str:
    """The day in one sentence, the worst first."""
    if not report.period.is_known:
        return f"nothing is known of {report.period.day}: the ledger begins at {stamp(report.period.known_from)}"
    sums = totals(report)
    said = [_accounted(sums)]
    if sums["failures"]:
        named = ", ".join(job.name for job in report.jobs if job.failures)
        said.insert(0, f"{_many(sums['failures'], 'bad end')} ({named})")
    if report.dark_for >= timedelta(minutes=1):
        said.insert(0, f"no scheduler for {span(report.dark_for)}")
    return "; ".join(said)


def _accounted(sums: dict[str, Any]) -> str:
    parts = [f"{sums['ran']:,} ran"]
    counts = {**sums, "cancelled": sums["cancelled"] - sums["skipped_itself"]}
    words = {"skipped_itself": "skipped by the job itself"}
    fates = ("skipped", "skipped_itself", "cancelled", "open", "due")
    parts += [f"{counts[fate]:,} {words.get(fate, fate)}" for fate in fates if counts[fate]]
    planned = _many(sums["planned"], "planned slot")
    if sums["missing"]:
        return f"{sums['missing']:,} of {planned} unaccounted for ({', '.join(parts)})"
    return f"all {planned} accounted for: {', '.join(parts)}" if sums["planned"] else "no slot was planned"


def notes(report: DayReport) -> list[str]:
    """What a reader must know to read the figures right."""
    period = report.period
    if not period.is_known:
        return ["the ledger holds nothing of this day; ask for a later one"]
    said = []
    if period.known_from > period.start:
        said.append(f"the ledger begins at {stamp(period.known_from)}; nothing is known of the day before that")
    if period.known_until < period.end:
        said.append(f"the day was not over: counted until {stamp(period.known_until)}")
    return said + [note for job in report.jobs for note in _job_notes(job)]


def _job_notes(job: JobDay) -> list[str]:
    said = []
    if missing := job.missing:
        said.append(
            f"the ledger has no row for {_many(len(missing), 'slot')} from {stamp(missing[0])} to {stamp(missing[-1])}"
        )
    if job.job is None:
        said.append("it is no longer defined: counted is what it owed while it was")
    if len(job.rules) > 1:
        then = ", ".join(f"since {stamp(since)} {words}" for since, words in job.rules[1:])
        said.append(f"its schedule changed: {job.rules[0][1]}, {then}; each slot counts by the one of its time")
    if job.outside:
        said.append(f"{_lying(len(job.outside))} where no schedule of it had one, as after a backfill")
    if job.earlier and job.first_seen:
        known = f"before the job was first known here, at {stamp(job.first_seen)}"
        said.append(f"{_lying(len(job.earlier))} {known}; the plan begins only then")
    return [f"{job.name}: {words}" for words in said]


def _lying(count: int) -> str:
    return f"{_many(count, 'slot')} with a row {'lies' if count == 1 else 'lie'}"


def _late(run: Run) -> dict[str, Any]:
    late = run.lateness or timedelta(0)
    slot_at = iso(run.slot.due_at) if run.slot else None
    return {"run": run.id, "slot_at": slot_at, "late_ms": round(late / timedelta(milliseconds=1))}


def _life(stint: Stint) -> dict[str, Any]:
    return {
        "term": stint.term,
        "started_at": iso(stint.started_at),
        "last_beat_at": iso(stint.beat_at),
        "ended_how": stint.ended_how,
        "ended_words": life_words(stint.ended_how),
        "host": stint.host,
        "code_revision": stint.code_revision,
    }


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
