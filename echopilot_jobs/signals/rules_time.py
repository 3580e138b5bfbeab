"""Rules about when records came: silence, staleness, two writers, clocks that cannot be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from echopilot_jobs.signals.findings import Finding, Severity, capped, count, listed, percent
from echopilot_jobs.signals.moments import lasting, minute
from echopilot_jobs.signals.reading import Signal
from echopilot_jobs.signals.timeline import DAY, Coverage, Outage, Timeline, doubling, patience, timeline

OUTAGES_TOLD = 5
STALE_TOLD = 7  # with the two lines that may follow no more than a finding's evidence
STALE_LEAST = 120.0
ARCHIVE_AFTER = 30 * DAY


def silence(signal: Signal) -> list[Finding]:
    """The stretches without records, judged by the signal's own cadence."""
    line = signal.line
    if not line.outages or line.cadence is None:
        return []
    dark = sum(outage.seconds for outage in line.outages)
    share = dark / line.seconds
    return [
        Finding(
            "silence",
            _silence_severity(line, share),
            signal.name,
            _silence_title(signal, share),
            (
                *_coverage_evidence(signal),
                *map(_outage_sentence, line.outages[:OUTAGES_TOLD]),
                _sum_sentence(line, dark),
            ),
            "find out what stopped the writer at the start of each outage and let a supervisor restart it; have an outside "
            "check tell you when it goes quiet",
            weight=share,
        )
    ]


def _silence_severity(line: Timeline, share: float) -> Severity:
    if not line.regular:
        return Severity.LOW
    if share >= 0.25:
        return Severity.CRITICAL
    if share >= 0.05 or (line.outages[0].seconds >= DAY and (line.cadence or 0) <= 3600):
        return Severity.HIGH
    return Severity.MEDIUM if share >= 0.01 else Severity.LOW


def _silence_title(signal: Signal, share: float) -> str:
    line, longest = signal.line, signal.line.outages[0]
    worst = f"lasted {lasting(longest.seconds)} from {minute(longest.start)}"
    second = line.outages[1] if len(line.outages) > 1 else None
    if second and second.seconds * 2 >= longest.seconds:
        worst += f", the next {lasting(second.seconds)} from {minute(second.start)}"
    if not line.regular:
        return f"{signal.name} keeps no cadence; its longest silence {worst}"
    if line.coverage is None:
        return (
            f"{signal.name} was silent for {percent(share, 1)} of {lasting(line.seconds)}; the longest outage {worst}"
        )
    only = "only " if line.coverage.share < 0.9 else ""
    return f"{signal.name} has records for {only}{_covered(line.coverage)}; the longest outage {worst}"


def _covered(covered: Coverage) -> str:
    """`5.3 % of its time (1,272 of 23,837 minutes)`."""
    digits = 0 if covered.unit == "minutes" else 1
    parts = f"{covered.covered:,.{digits}f} of {covered.total:,.{digits}f} {covered.unit}"
    return f"{percent(covered.covered, covered.total)} of its time ({parts})"


def _coverage_evidence(signal: Signal) -> list[str]:
    line, covered = signal.line, signal.line.coverage
    when = f"between {minute(line.first)} and {minute(line.last)}"
    if signal.partial:
        when += ", the part that was read"
    if covered is None:
        return [f"{count(len(line.times), 'record')} {when}"]
    share = percent(covered.covered, covered.total)
    if covered.unit == "minutes":
        return [f"{covered.covered:,.0f} of {covered.total:,.0f} minutes have a record ({share}), {when}"]
    return [f"records cover {covered.covered:,.1f} of {covered.total:,.1f} hours ({share}), {when}"]


def _outage_sentence(outage: Outage) -> str:
    return f"silent for {lasting(outage.seconds)} from {minute(outage.start)} to {minute(outage.end)}"


def _sum_sentence(line: Timeline, dark: float) -> str:
    usual = f"a record every {lasting(line.cadence or 0)} is usual"
    return f"{count(len(line.outages), 'outage')} in all, {lasting(dark)} together; {usual}"


def shared_outages(signals: Sequence[Signal]) -> dict[str, str]:
    """For each signal whose longest outage others had too, the sentence that says so."""
    told = {}
    for one in signals:
        if not one.line.outages or not one.line.regular:
            continue
        longest = one.line.outages[0]
        others = [two.name for two in signals if two is not one and two.line.regular and _shares(two.line, longest)]
        if others:
            told[one.name] = (
                f"{listed(others)} {'were' if len(others) > 1 else 'was'} silent over the same {lasting(longest.seconds)}: "
                "it was not this writer alone"
            )
    return told


def _shares(line: Timeline, longest: Outage) -> bool:
    together = (min(o.end, longest.end) - max(o.start, longest.start) for o in line.outages)
    return max(together, default=0.0) >= 0.9 * longest.seconds


def stale(signals: Sequence[Signal], now: float) -> list[Finding]:
    """The signals that stopped; those that stopped together are one finding."""
    late = [signal for signal in signals if _age_limit(signal) < now - (signal.line.last if signal.line.times else now)]
    late.sort(key=lambda signal: -signal.line.last)
    groups: list[list[Signal]] = []
    for signal in late:
        near = max(900.0, 3 * (signal.line.cadence or 0))
        if groups and groups[-1][-1].line.last - signal.line.last <= near:
            groups[-1].append(signal)
        else:
            groups.append([signal])
    return [_stale_finding(group, now) for group in groups]


def _age_limit(signal: Signal) -> float:
    line = signal.line
    if line.cadence is None:
        return float("inf")
    intervals = [] if line.regular else [b - a for a, b in pairwise(line.visits)]
    return max(STALE_LEAST if line.regular else DAY, patience(line.cadence, line.regular, intervals))


def _usual(line: Timeline) -> str:
    how = "one every {} is usual" if line.regular else "the median interval was {}"
    return how.format(lasting(line.cadence or 0))


def _stale_finding(group: list[Signal], now: float) -> Finding:
    lead = min(group, key=lambda signal: (not signal.line.regular, signal.line.cadence or 0))
    age = now - lead.line.last
    beats = age / (lead.line.cadence or 1)
    names = listed(signal.name for signal in group)
    tail = f"; {_usual(lead.line)}" if len(group) == 1 else ""
    return Finding(
        "stale",
        _stale_severity(age, beats, any(signal.line.regular for signal in group)),
        lead.name,
        f"nothing from {names} since {minute(lead.line.last)}, {lasting(age)} ago{tail}",
        (*capped([_last_record(signal, now) for signal in group], STALE_TOLD),)
        + (("they stopped together, so look at the machine before the writers",) if len(group) > 1 else ()),
        "if it should still be running, start its writer and check what stopped it; if it is an archive, take it out of "
        "ECHOPILOT_SIGNALS",
        weight=min(1.0, beats / 1000) if age < ARCHIVE_AFTER else 0.2,
    )


def _last_record(signal: Signal, now: float) -> str:
    last = signal.line.last
    return f"{signal.name}: last record {minute(last)}, {lasting(now - last)} ago; {_usual(signal.line)}"


def _stale_severity(age: float, beats: float, regular: bool) -> Severity:
    if age > ARCHIVE_AFTER or not regular:
        return Severity.MEDIUM if regular else Severity.LOW
    if beats >= 10 and age >= 900:
        return Severity.CRITICAL if age <= 7 * DAY else Severity.HIGH
    return Severity.MEDIUM


def two_writers(signal: Signal, now: float) -> list[Finding]:
    """Where records of the usual kind came at least twice as often as usual."""
    line = _main_kind(signal, now)
    found = doubling(line)
    if not found or found.count < max(5, found.of * 0.005) or not _keeps_time(line):
        return []
    share = found.count / found.of
    usual = lasting(line.cadence or 0)
    return [
        Finding(
            "doubled_cadence",
            Severity.HIGH if share >= 0.2 else Severity.MEDIUM if share >= 0.02 else Severity.LOW,
            signal.name,
            f"{signal.name}: {found.count:,} records came under {lasting(found.limit)} after the one before, where "
            f"{usual} is usual: two writers at times, or quick restarts",
            (
                f"{found.count:,} of {found.of:,} intervals are under {lasting(found.limit)} "
                f"({percent(found.count, found.of)}); the usual interval is {usual}",
                f"the first at {minute(found.first)}, the last at {minute(found.last)}",
            ),
            "make sure that one copy of the writer runs: look for a second process, or a start that does not wait for the "
            "old one's end",
            weight=share,
        )
    ]


def _main_kind(signal: Signal, now: float) -> Timeline:
    """The timeline of the most frequent kind of record: other kinds beside it are no second writer."""
    kinds = Counter(signal.table.kinds).most_common(1)
    if not kinds or kinds[0][1] == len(signal.table):
        return signal.line
    times = signal.table.times()
    return timeline([t for t, kind in zip(times, signal.table.kinds, strict=True) if kind == kinds[0][0]], now)


def _keeps_time(line: Timeline) -> bool:
    """Whether six of ten intervals lie within a quarter of the usual one; a jittery signal proves no second writer."""
    intervals = [b - a for a, b in pairwise(line.visits)]
    usual = median(intervals) if intervals else 0.0
    return sum(abs(i - usual) <= usual / 4 for i in intervals) >= 0.6 * len(intervals) > 0


def clocks(signal: Signal, now: float) -> list[Finding]:
    """Moments that cannot be right: ahead of now, before clocks, or out of order."""
    line, evidence = signal.line, []
    if line.ahead:
        evidence.append(
            f"{count(line.ahead, 'record')} stamped after {minute(now)}, up to {lasting(line.furthest_ahead)} ahead"
        )
    if line.left_out:
        evidence.append(f"{count(line.left_out, 'record')} more than a day ahead left out of the timeline")
    if line.before_clocks:
        evidence.append(f"{count(line.before_clocks, 'record')} stamped before 1990, left out of the timeline")
    # One step back in ten is a file that was merged, not a clock that was set.
    if line.backwards > max(3, len(line.times) // 10):
        evidence.append(
            f"{line.backwards:,} of {len(line.times):,} records are older than the one before them in the file"
        )
    if not evidence:
        return []
    wrong = line.ahead + line.before_clocks
    title = (
        f"{count(wrong, 'record')} with a time that cannot be right" if wrong else "records are not in order of time"
    )
    return [
        Finding(
            "clock",
            Severity.MEDIUM if wrong else Severity.LOW,
            signal.name,
            f"{signal.name}: {title}",
            tuple(evidence),
            "check the clock and the time zone of the writer; times without a zone are read as UTC",
            weight=wrong / max(1, len(signal.table)),
        )
    ]
