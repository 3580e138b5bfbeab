"""Rules about what records say of themselves: error shares, streaks, bursts, complaints."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import isnan, nan

from echopilot_jobs.records import record
from echopilot_jobs.signals.fields import Verdict, role
from echopilot_jobs.signals.findings import Finding, Severity, capped, count, figure, listed, percent, quoted
from echopilot_jobs.signals.moments import minute
from echopilot_jobs.signals.reading import Signal
from echopilot_jobs.signals.table import Complaint

FEW = 10  # below so many records a share says little: one failure is a failure


@record(frozen=True)
class Row:
    """One record in order of time (rows without a time in the order of the file)."""

    at: float
    verdict: int


def failures(signal: Signal, causes: Sequence[str] = ()) -> list[Finding]:
    """How many records report trouble, in which words, and the *causes* other rules inferred."""
    verdicts = signal.table.verdicts
    bad, warned = sum(v >= Verdict.ERROR for v in verdicts), verdicts.count(Verdict.WARNING)
    if not bad and not warned:
        return []
    rows = in_order(signal)
    return [
        Finding(
            "failures" if bad else "warnings",
            _severity(signal, rows, bad, warned),
            signal.name,
            f"{signal.name}: {_headline(signal)}",
            (*_states(signal), *causes, *_complaints(signal), *_streak_sentence(rows), *_last_sentence(rows)),
            _fix(signal, bad),
            weight=(bad + 0.1 * warned) / len(verdicts),
        )
    ]


def _severity(signal: Signal, rows: Sequence[Row], bad: int, warned: int) -> Severity:
    n = len(signal.table)
    critical = signal.table.verdicts.count(Verdict.CRITICAL)
    if not bad:
        return Severity.MEDIUM if warned * 4 >= n else Severity.LOW
    if n < FEW:
        return Severity.CRITICAL if critical else Severity.HIGH
    share = bad / n
    level = next(s for least, s in _BY_SHARE if share >= least)
    failing_now = len(rows) >= 3 and all(row.verdict >= Verdict.ERROR for row in rows[-3:])
    return level.raised(bool(critical and share >= 0.05) + failing_now)


_BY_SHARE = ((0.25, Severity.CRITICAL), (0.05, Severity.HIGH), (0.01, Severity.MEDIUM), (0.0, Severity.LOW))


def noun(signal: Signal) -> str:
    """What a record of this signal is: a probe when it says whether something answered and how fast or with which code."""
    names = [path.rpartition(".")[2].lower() for path in signal.table.fields]
    answers = any(role(path).good_flag or role(path).bad_flag for path in signal.table.states)
    measured = any(
        word in name for name in names for word in ("latency", "rtt", "response", "ping", "code", "duration_ms")
    )
    return "probe" if answers and measured and signal.line.regular else "record"


def main_state(signal: Signal) -> str | None:
    """The field that reports most trouble."""
    weights = {
        path: sum(n * (1000 if verdict >= Verdict.ERROR else 1) for (_, verdict), n in counts.items() if verdict)
        for path, counts in signal.table.states.items()
    }
    best = max(weights, key=lambda path: weights[path], default=None)
    return best if best is not None and weights[best] else None


def _headline(signal: Signal) -> str:
    said = _complaints(signal)
    if len(signal.table) == 1 and said:
        return said[0]
    path = main_state(signal)
    return _state_sentence(signal, path) if path else f"{count(len(signal.table), 'record')} report trouble"


def _states(signal: Signal) -> list[str]:
    """One sentence for each field that reports trouble, the most telling first: four, and how many more there are."""
    first = main_state(signal)
    troubled = [path for path, counts in signal.table.states.items() if any(verdict for _, verdict in counts)]
    troubled.sort(key=lambda path: (path != first, -sum(n for (_, v), n in signal.table.states[path].items() if v)))
    return capped([_state_sentence(signal, path) for path in troubled], 4)


def _state_sentence(signal: Signal, path: str) -> str:
    """`63 critical of 539 records (11.7 %), by 'status'`; a flag says `9 failed probes of 1,318 (0.7 %): 'ok' is false`."""
    counts, total = signal.table.states[path], len(signal.table)
    by = {verdict: sum(n for (_, v), n in counts.items() if v == verdict) for verdict in reversed(Verdict)}
    known = role(path)
    name = quoted(path, 60)
    if (known.good_flag or known.bad_flag) and {word for word, _ in counts} <= {"true", "false", "1", "0"}:
        wrong = by[Verdict.ERROR]
        word = "false" if known.good_flag else "true"
        failed = count(wrong, f"failed {noun(signal)}")
        return f"{failed} of {total:,} ({percent(wrong, total)}): {name} is {word}"
    parts = [_counted(by[v], v) for v in (Verdict.CRITICAL, Verdict.ERROR, Verdict.WARNING) if by[v]]
    shares = listed(percent(by[v], total) for v in (Verdict.CRITICAL, Verdict.ERROR, Verdict.WARNING) if by[v])
    return f"{listed(parts)} of {count(total, 'record')} ({shares}), by {name}{_words(signal, path)}"


def _counted(number: int, verdict: Verdict) -> str:
    if verdict is Verdict.CRITICAL:
        return f"{number:,} critical"
    return count(number, "error" if verdict is Verdict.ERROR else "warning")


def _words(signal: Signal, path: str) -> str:
    """The words themselves, where they are not just what the sentence calls them already."""
    counts = signal.table.states[path]
    bad = [(word, n) for (word, verdict), n in counts.most_common() if verdict and word != "set"]
    plain_already = {"critical", "error", "warn", "warning"}
    if all(word.lower() in plain_already for word, _ in bad):
        return ""
    return ": " + ", ".join(capped([f"{quoted(word, 40)} {n:,}" for word, n in bad], 4))


def _complaints(signal: Signal) -> list[str]:
    """The sentences that came with trouble, by shape, most frequent first."""
    sentences = []
    for c in _telling(signal)[:4]:
        spread = ""
        if "#" in c.shape and c.low is not None and c.high is not None and c.count > 1:
            spread = f", {figure(c.low)} to {figure(c.high)}" if c.low != c.high else f", always {figure(c.low)}"
        text = c.example if c.count == 1 or "#" not in c.shape else c.shape
        times = "once" if c.count == 1 else f"{c.count:,} times"
        sentences.append(f"{quoted(c.field, 60)} says {quoted(text)} {times}{spread}")
    return sentences


def _telling(signal: Signal) -> list[Complaint]:
    """The complaints that tell trouble from its absence."""
    found = [c for c in signal.table.complaints.values() if c.shape and c.shape != "other" and c.fine <= 3 * c.count]
    return sorted(found, key=lambda c: (-c.bad, -c.count, not role(c.field).fault, c.shape))


def in_order(signal: Signal) -> list[Row]:
    """The rows by time, those without a plausible one left out; where most have none, all in the order of the file."""
    line, verdicts = signal.line, signal.table.verdicts
    if len(line.times) * 2 < len(verdicts) or not line.times:
        return [Row(nan, verdict) for verdict in verdicts]
    times = signal.table.times()
    rows = (Row(t, v) for t, v in zip(times, verdicts, strict=True) if line.first <= t <= line.last)
    return sorted(rows, key=lambda row: row.at)


def longest_streak(rows: Sequence[Row]) -> list[Row]:
    """The longest run of records in a row that all report an error."""
    runs = (list(group) for bad, group in groupby(rows, key=lambda row: row.verdict >= Verdict.ERROR) if bad)
    return max(runs, key=len, default=[])


def _streak_sentence(rows: Sequence[Row]) -> list[str]:
    streak = longest_streak(rows)
    if not 2 <= len(streak) < len(rows):
        return []
    when = "" if isnan(streak[0].at) else f", {minute(streak[0].at)} to {minute(streak[-1].at)}"
    return [f"the longest streak is {len(streak):,} in a row{when}"]


def _last_sentence(rows: Sequence[Row]) -> list[str]:
    bad = [row for row in rows if row.verdict >= Verdict.ERROR and not isnan(row.at)]
    return [f"the last one at {minute(bad[-1].at)}"] if bad else []


def bursts(signal: Signal) -> list[Finding]:
    """The hour (for slow signals the day) in which trouble piled up, when it did."""
    rows = [row for row in in_order(signal) if not isnan(row.at)]
    bad = [row for row in rows if row.verdict >= Verdict.ERROR]
    size = 3600.0 if (signal.line.cadence or 0) <= 1200 else 86_400.0
    if len(bad) < 5 or (signal.line.cadence or size) > size / 3 or len(bad) * 2 > len(rows):
        return []
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.at // size)]
    worst = max(groups, key=lambda group: sum(row.verdict >= Verdict.ERROR for row in group))
    hits, share = sum(row.verdict >= Verdict.ERROR for row in worst), len(bad) / len(rows)
    if hits < 5 or hits / len(worst) < max(0.25, 3 * share):
        return []
    start = worst[0].at // size * size
    when = f"the {'hour' if size == 3600 else 'day'} from {minute(start)}"
    streak = longest_streak(rows)
    return [
        Finding(
            "failure_burst",
            Severity.HIGH if hits / len(worst) >= 0.75 and hits >= 10 else Severity.MEDIUM,
            signal.name,
            f"{signal.name}: {hits:,} of {len(worst):,} records in {when} report trouble",
            (
                f"{hits:,} of {len(worst):,} records in {when} ({percent(hits, len(worst))}), against "
                f"{percent(len(bad), len(rows))} overall",
                f"the longest streak is {len(streak):,} in a row, {minute(streak[0].at)} to {minute(streak[-1].at)}",
            ),
            f"look at what changed around {minute(start)}: a deploy, a full disk, a dependency that was down",
            weight=hits / len(worst),
        )
    ]


def _fix(signal: Signal, bad: int) -> str:
    known = _telling(signal)
    if known and (known[0].bad or not bad):
        return f"start with what is said most often: {quoted(known[0].example, 120)}"
    return "look at the records in trouble and at what they depend on"
