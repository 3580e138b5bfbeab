"""The brief as a page: which pictures it has, and the template's environment, which escapes everything (S12, S13)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from math import isnan
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from echopilot_jobs.plain import coded_parts, plain, shorten
from echopilot_jobs.signals.brief import Brief
from echopilot_jobs.signals.charts import Bar, Line, Strip, bar, line, strip
from echopilot_jobs.signals.fields import Verdict
from echopilot_jobs.signals.findings import count, figure, percent
from echopilot_jobs.signals.moments import lasting, minute
from echopilot_jobs.signals.reading import Signal
from echopilot_jobs.signals.rules_numbers import Limit, series
from echopilot_jobs.signals.rules_state import in_order
from echopilot_jobs.spans import day_clock

STRIPS_MOST, LINES_MOST, BARS_MOST, MARKS_MOST = 12, 6, 16, 200


def render(template: str, /, **facts: Any) -> str:
    """A template of `builtin/templates` with *facts*. Every text is escaped and made plain, whatever it holds."""
    environment = Environment(
        loader=PackageLoader("echopilot_jobs.builtin"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters.update(coded_parts=coded_parts, day_clock=_day_clock)
    return environment.get_template(template).render(**facts)


def _day_clock(moment: str) -> str:
    """An ISO moment of the data as a person says it."""
    return day_clock(datetime.fromisoformat(moment))


def _visible(value: Any) -> Any:
    """What autoescape leaves alone: characters that hide, turn a line around or end it."""
    return plain(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def page(brief: Brief, data: dict[str, Any]) -> str:
    """The page of *brief*, whose JSON form is *data*."""
    strips, bars, lines = list(_strips(brief)), list(_bars(brief)), list(_lines(brief))
    return render(
        "ceo_brief.html",
        brief=data,
        strips=strips[:STRIPS_MOST],
        bars=bars[:BARS_MOST],
        lines=lines[:LINES_MOST],
        more={"strips": len(strips) - STRIPS_MOST, "bars": len(bars) - BARS_MOST, "lines": len(lines) - LINES_MOST},
    )


def _name(signal: Signal) -> str:
    return shorten(plain(signal.name), 80)


def _strips(brief: Brief) -> Iterator[Strip]:
    timed = [s for s in brief.reading.signals if s.line.coverage or (s.line.regular and len(s.line.times) >= 8)]
    timed.sort(key=lambda s: (s.line.coverage.share if s.line.coverage else 1.0, s.name))
    for signal in timed:
        now = signal.line
        share = percent(now.coverage.covered, now.coverage.total) if now.coverage else "all"
        gaps = [
            (o.start, o.end, "dark", f"silent {lasting(o.seconds)} from {minute(o.start)}")
            for o in now.outages[:MARKS_MOST]
        ]
        longest = (
            f"; longest outage {lasting(now.outages[0].seconds)} from {minute(now.outages[0].start)}" if gaps else ""
        )
        yield strip(
            _name(signal),
            f"covers {share} of the time from {minute(now.first)} to {minute(now.last)}{longest}",
            [*sorted(gaps), *_trouble(signal)],
            first=now.first,
            last=now.last,
            start=minute(now.first),
            end=minute(now.last),
        )


def _trouble(signal: Signal) -> list[tuple[float, float, str, str]]:
    """Records that report an error, those near each other as one mark."""
    bad = [row.at for row in in_order(signal) if row.verdict >= Verdict.ERROR and not isnan(row.at)]
    width = signal.line.seconds / 300 or 1.0
    groups = (list(group) for _, group in groupby(bad, key=lambda moment: (moment - signal.line.first) // width))
    return [
        (group[0], max(group[-1], group[0] + width), "bad", f"{len(group)} in trouble from {minute(group[0])}")
        for group in groups
        if signal.line.first <= group[0] <= signal.line.last
    ]


def _bars(brief: Brief) -> Iterator[Bar]:
    judged = [signal for signal in brief.reading.signals if signal.table.judged]
    judged.sort(key=lambda s: (-sum(v >= Verdict.ERROR for v in s.table.verdicts) / len(s.table), s.name))
    for signal in judged:
        verdicts = signal.table.verdicts
        counts = {v: verdicts.count(v) for v in Verdict}
        said = [_said(counts[v], word) for v, word in _WORDS.items() if counts[v]]
        yield bar(
            _name(signal),
            f"{count(len(verdicts), 'record')}: {', '.join(said)}",
            [(word, counts[verdict]) for verdict, word in _WORDS.items()],
        )


def _said(number: int, word: str) -> str:
    return count(number, word) if word in ("error", "warning") else f"{number:,} {word}"


_WORDS = {Verdict.CRITICAL: "critical", Verdict.ERROR: "error", Verdict.WARNING: "warning", Verdict.FINE: "fine"}


def _lines(brief: Brief) -> Iterator[Line]:
    for signal in brief.reading.signals:
        for limit in brief.limits.get(signal.name, []):
            if limit.stand_in is None:
                yield _limit_line(signal, limit)


def _limit_line(signal: Signal, limit: Limit) -> Line:
    column = signal.table.numbers[limit.field]
    values = [value for _, value in series(column, signal.table.times())]
    beyond = [i for i, value in enumerate(values) if (value >= limit.edge if limit.upper else value <= limit.edge)]
    side = "from" if limit.upper else "up to"
    return line(
        f"{_name(signal)}: {shorten(plain(limit.field), 60)}",
        f"{len(values):,} values from {figure(min(values))} to {figure(max(values))}, in order of time without the silences; "
        f"{side} about {figure(limit.bound)} ({len(beyond):,} values) the records report trouble",
        values,
        low=figure(min(values)),
        high=figure(max(values)),
        limit=limit.bound,
        limit_label=f"limit about {figure(limit.bound)}",
        marked=beyond,
    )
