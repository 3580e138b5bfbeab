"""The brief: every signal read, judged by every rule, ranked, and put into the JSON that people and programs read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import EPOCH, iso
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.signals.fields import Verdict
from echopilot_jobs.signals.findings import EVIDENCE_MOST, Finding, Severity, capped, count, listed, percent, ranked
from echopilot_jobs.signals.moments import at, lasting
from echopilot_jobs.signals.own import OwnSignal
from echopilot_jobs.signals.reading import FileFacts, Reading, Signal, read_signals
from echopilot_jobs.signals.rules_numbers import Limit, ends_of_scale, limit_findings, limit_sentences, limits, shifts
from echopilot_jobs.signals.rules_state import bursts, failures
from echopilot_jobs.signals.rules_time import clocks, shared_outages, silence, stale, two_writers
from echopilot_jobs.signals.sources import mib

SCHEMA = "echopilot.brief/1"
RISKS_MOST = 60
TEXT_MOST = 600
ACTIONS_MOST = 6
NAMES_MOST = 4


@dataclass
class Brief:
    """All that was found, before it becomes JSON and a page."""

    now: datetime
    reading: Reading
    own: list[OwnSignal] = field(default_factory=list)
    missing: list[dict[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    limits: dict[str, list[Limit]] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """What matters most, in one plain sentence."""
        if self.findings and self.findings[0].severity >= Severity.MEDIUM:
            return tidy(self.findings[0].headline)
        if not self.reading.files and not self.own:
            return "Nothing could be read: no file matched and none of our own signals answered"
        noted = f"; {count(len(self.findings), 'small thing')} noted" if self.findings else ""
        blind = f"; {count(len(self.missing), 'signal')} missing" if self.missing else ""
        return f"Nothing needs attention{noted}{blind}"


def make(
    patterns: Sequence[str], home: Path, now: datetime, ledger: Path | None, own: dict[str, Callable[[], OwnSignal]]
) -> Brief:
    """Read every signal as of *now* and judge it. A signal that is dead or a rule that fails is named in `missing`."""
    seconds = (now - EPOCH) / timedelta(seconds=1)
    brief = Brief(now, read_signals(patterns, home, seconds, ledger))
    brief.missing += [{"signal": "files", "reason": note} for note in brief.reading.notes]
    brief.missing += [
        {"signal": facts.name, "reason": _why_missing(facts)} for facts in brief.reading.files if facts.state != "read"
    ]
    for name, ask in own.items():
        _ask(brief, name, ask)
    _judge(brief, seconds)
    brief.findings = ranked(brief.findings)
    return brief


def _ask(brief: Brief, name: str, ask: Callable[[], OwnSignal]) -> None:
    try:
        answer = ask()
    except (EchoPilotError, OSError) as error:
        brief.missing.append({"signal": name, "reason": plain(error)})
        return
    brief.own.append(answer)
    brief.findings += answer.findings


def _judge(brief: Brief, now: float) -> None:
    signals = brief.reading.signals
    for signal in signals:
        _guarded(brief, signal.name, lambda signal=signal: _rules(brief, signal, now))  # type: ignore[misc]
    _guarded(brief, "files", lambda: stale([s for s in signals if s.part_of is None], now))
    together = shared_outages(signals)
    brief.findings = [_with_company(found, together) for found in brief.findings]


def _rules(brief: Brief, signal: Signal, now: float) -> list[Finding]:
    found = brief.limits[signal.name] = limits(signal)
    return [
        *silence(signal),
        *two_writers(signal, now),
        *clocks(signal, now),
        *failures(signal, limit_sentences(signal, found)),
        *bursts(signal),
        *limit_findings(signal, found),
        *shifts(signal, found),
        *ends_of_scale(signal),
        *(_damage(facts) for facts in signal.files if facts.damaged and facts.records and not signal.part_of),
    ]


def _guarded(brief: Brief, name: str, rules: Callable[[], Iterable[Finding]]) -> None:
    try:
        brief.findings += rules()
    except Exception as error:  # files nobody has seen yet: one rule that stumbles must not cost the reader the rest
        brief.missing.append(
            {"signal": name, "reason": f"a rule failed on it: {type(error).__name__}: {plain(error)}"[:300]}
        )


def _damage(facts: FileFacts) -> Finding:
    seen = facts.damaged + facts.records
    where = f", the first at {facts.first_damage}" if facts.first_damage else ""
    what = f"{count(facts.damaged, 'stretch', 'stretches')} of {count(seen, 'entry', 'entries')} are no JSON{where}"
    return Finding(
        "damaged_lines",
        Severity.MEDIUM if facts.damaged * 20 >= seen else Severity.LOW,
        facts.name,
        f"{facts.name}: {count(facts.damaged, 'corrupted line')} among {count(facts.records, 'record')}",
        (f"{what} ({percent(facts.damaged, seen)}); the {count(facts.records, 'record')} around them were read",),
        "look for two processes writing one file, a writer that was killed, or lines that are not meant to be JSON",
        weight=facts.damaged / seen,
    )


def _with_company(found: Finding, together: dict[str, str]) -> Finding:
    if found.type != "silence" or found.signal not in together:
        return found
    evidence = (found.evidence[0], *found.evidence[1:3], together[found.signal], *found.evidence[3:])
    return Finding(found.type, found.severity, found.signal, found.title, evidence, found.fix, found.weight)


def _why_missing(facts: FileFacts) -> str:
    if facts.state == "empty":
        return "; ".join([f"is empty ({mib(facts.size)})", *facts.notes])
    if facts.state == "no records":
        held = count(facts.damaged + facts.scalars, "entry", "entries")
        return "; ".join([f"holds no JSON record in {held} ({mib(facts.size)})", *facts.notes])
    return "; ".join(facts.notes)


def as_json(brief: Brief, attachments: Sequence[str]) -> dict[str, Any]:
    """The brief as JSON types, every text on one line and without hidden characters."""
    shown = brief.findings[:RISKS_MOST]
    return {
        "schema": SCHEMA,
        "schema_version": 1,
        "ts": iso(brief.now),
        "headline": brief.headline,
        "summary": summary(brief),
        "kpis": kpis(brief),
        "top_risks": [_risk(found) for found in shown],
        "risks_not_shown": len(brief.findings) - len(shown),
        "actions_next_24h": actions(brief, (Severity.CRITICAL, Severity.HIGH)),
        "actions_next_7d": actions(brief, (Severity.MEDIUM, Severity.LOW)),
        **confidence(brief),
        "attachments": list(attachments),
        "sources": [_source(signal, brief.now) for signal in brief.reading.signals],
        "own_signals": [{"signal": own.name, "lines": [tidy(line) for line in own.lines]} for own in brief.own],
        "missing_signals": [{key: tidy(text) for key, text in each.items()} for each in brief.missing],
    }


def tidy(text: str) -> str:
    """Text for the brief: one line, nothing hidden, not endless."""
    return shorten(plain(text), TEXT_MOST)


def _risk(found: Finding) -> dict[str, Any]:
    return {
        "type": found.type,
        "severity": found.severity.word,
        "signal": tidy(found.signal),
        "title": tidy(found.headline),
        "evidence": [tidy(sentence) for sentence in capped(found.evidence, EVIDENCE_MOST)],
        "suggested_fix": tidy(found.fix),
        "score": found.score,
    }


def summary(brief: Brief) -> str:
    """A short paragraph: what was read, how bad it is, what comes first, what is missing."""
    by = {severity: sum(f.severity is severity for f in brief.findings) for severity in Severity}
    read = [facts for facts in brief.reading.files if facts.state == "read"]
    records = sum(facts.records for facts in read)
    files, ours = count(len(read), "file"), count(len(brief.own), "signal")
    sentences = [f"{files} with {count(records, 'record')} and {ours} of our own were read."]
    if brief.findings:
        said = listed(f"{by[s]:,} {s.word}" for s in reversed(Severity) if by[s])
        sentences.append(f"{count(len(brief.findings), 'risk')}: {said}.")
        # The headline has the first; then the worst of each other kind, so that one cause does not fill the paragraph.
        first_of = {found.type: found for found in reversed(brief.findings) if found.severity >= Severity.MEDIUM}
        sentences += [f"{tidy(found.headline)}." for found in ranked(first_of.values())[1:4]]
    if brief.missing:
        names = dict.fromkeys(each["signal"] for each in brief.missing)
        sentences.append(f"Missing or unreadable: {tidy(', '.join(names))}.")
    return " ".join(sentences)


def kpis(brief: Brief) -> dict[str, Any]:
    """Key figures by name; those of a signal that is missing are absent."""
    signals = [signal for signal in brief.reading.signals if signal.part_of is None]
    verdicts = [verdict for signal in signals for verdict in signal.table.verdicts]
    covered = [s for s in signals if s.line.coverage]
    worst = min(covered, key=lambda s: s.line.coverage.share if s.line.coverage else 1.0, default=None)
    outages = [(o.seconds, s) for s in signals if s.line.regular for o in s.line.outages]
    longest = max(outages, key=lambda each: each[0], default=None)
    return {
        "risks_critical": sum(f.severity is Severity.CRITICAL for f in brief.findings),
        "risks_high": sum(f.severity is Severity.HIGH for f in brief.findings),
        "files_read": sum(facts.state == "read" for facts in brief.reading.files),
        "records": sum(facts.records for facts in brief.reading.files),
        "records_critical": verdicts.count(Verdict.CRITICAL),
        "records_error": verdicts.count(Verdict.ERROR),
        "records_warning": verdicts.count(Verdict.WARNING),
        "corrupted_lines": sum(facts.damaged for facts in brief.reading.files),
        "lowest_coverage_percent": round(100 * worst.line.coverage.share, 1) if worst and worst.line.coverage else None,
        "lowest_coverage_signal": tidy(worst.name) if worst else None,
        "outages": len(outages),
        "longest_outage_hours": round(longest[0] / 3600, 1) if longest else None,
        "longest_outage_signal": tidy(longest[1].name) if longest else None,
        **{name: value for own in brief.own for name, value in own.kpis.items()},
    }


def actions(brief: Brief, severities: tuple[Severity, ...]) -> list[str]:
    """What to do about the findings of these severities, worst first, each advice once with the signals it is for."""
    advice: dict[str, list[str]] = {}
    for found in brief.findings:
        if found.severity in severities:
            names = advice.setdefault(found.fix, [])
            names += [found.signal] if found.signal not in names else []
    said = [tidy(f"{_named(names)}: {fix}") for fix, names in advice.items()]
    return capped(said, ACTIONS_MOST)


def _named(names: Sequence[str]) -> str:
    return ", ".join(capped(names, NAMES_MOST)) if len(names) > NAMES_MOST else listed(names)


def confidence(brief: Brief) -> dict[str, Any]:
    """How far the brief can be trusted, 0 to 1, and what was taken off for."""
    files = brief.reading.files
    unread = sum(facts.state != "read" for facts in files)
    damaged, records = sum(f.damaged for f in files), sum(f.records for f in files)
    untimed = sum(s.line.untimed for s in brief.reading.signals if s.part_of is None)
    partial = sum(signal.partial for signal in brief.reading.signals)
    ours = sum(each["signal"] in ("run ledger", "process table", "host") for each in brief.missing)
    losses = [
        (0.15 * ours, f"{count(ours, 'signal')} of our own missing"),
        (
            0.3 * unread / len(files) if files else 0.3 * bool(brief.reading.notes),
            f"{unread:,} of {count(len(files), 'file')} gave no records",
        ),
        (0.3 * damaged / (damaged + records or 1), f"{count(damaged, 'corrupted line')}"),
        (0.2 * untimed / (records or 1), f"{count(untimed, 'record')} without a time"),
        (0.05 * min(partial, 2), f"{count(partial, 'file')} read from the end only"),
    ]
    counted = [(loss, why) for loss, why in losses if loss > 0]
    return {
        "confidence": round(max(0.05, 0.98 - sum(loss for loss, _ in counted)), 2),
        "confidence_notes": [why for _, why in counted],
    }


def _source(signal: Signal, now: datetime) -> dict[str, Any]:
    line, table = signal.line, signal.table
    timed = bool(line.times)
    return {
        "signal": tidy(signal.name),
        "records": len(table),
        "records_without_time": line.untimed,
        "time_field": tidy(", ".join(table.time_fields)) or None,
        "first": iso(at(line.first)) if timed else None,
        "last": iso(at(line.last)) if timed else None,
        "age": lasting((now - at(line.last)).total_seconds()) if timed else None,
        "cadence_seconds": round(line.cadence, 3) if line.cadence is not None else None,
        "regular": line.regular,
        "coverage_percent": round(100 * line.coverage.share, 1) if line.coverage else None,
        "outages": len(line.outages) if line.regular else None,
        "critical": table.verdicts.count(Verdict.CRITICAL),
        "errors": table.verdicts.count(Verdict.ERROR),
        "warnings": table.verdicts.count(Verdict.WARNING),
        "part_of": tidy(signal.part_of) if signal.part_of else None,
        "files": [_file(facts) for facts in signal.files] if signal.part_of is None else [],
    }


def _file(facts: FileFacts) -> dict[str, Any]:
    return {
        "name": tidy(facts.name),
        "state": facts.state,
        "bytes": facts.size,
        "bytes_read": facts.read,
        "records": facts.records,
        "corrupted": facts.damaged,
        "first_corrupted": facts.first_damage or None,
        "values_without_fields": facts.scalars,
        "notes": [tidy(note) for note in facts.notes],
    }
