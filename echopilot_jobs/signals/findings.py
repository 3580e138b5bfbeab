"""A finding: one thing a person should know, with its evidence and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

from echopilot_jobs.plain import plain, sentence, shorten
from echopilot_jobs.records import record

EVIDENCE_MOST = 9


class Severity(IntEnum):
    """How much a finding matters; greater is worse."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        return self.name.lower()

    def raised(self, steps: int = 1) -> Severity:
        """So many steps worse, at most critical."""
        return Severity(max(1, min(4, self + steps)))


@record(frozen=True)
class Finding:
    """What a rule found in a signal. *weight* (0 to 1) orders findings of one severity.

    `title` and every sentence of `evidence` stand alone, carry exact figures and UTC times, and have no full stop.
    """

    type: str
    severity: Severity
    signal: str
    title: str
    evidence: tuple[str, ...]
    fix: str
    weight: float = 0.5

    @property
    def headline(self) -> str:
        """The title as a sentence begins; what the finding is about keeps its spelling."""
        return self.title if self.title.startswith(self.signal) else sentence(self.title)

    @property
    def score(self) -> float:
        """What the ranking goes by: 100 a severity step, up to 99 for the weight within it."""
        return round(100 * self.severity + 99 * max(0.0, min(1.0, self.weight)), 1)


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first; equal ones by signal and type, so that the order is the same every time."""
    return sorted(findings, key=lambda found: (-found.score, found.signal, found.type))


def quoted(text: object, limit: int = 100) -> str:
    """Text of unknown origin for a sentence: one line, nothing hidden, in quotes."""
    return f"'{shorten(plain(str(text).strip()), limit)}'"


def figure(value: float) -> str:
    """A measured number with four figures that matter and thousands marked: `1,272`, `84.9`, `0.116`, `999`."""
    if abs(value) >= 1e15 or (value and abs(value) < 1e-4):
        return f"{value:.3g}"
    if value == int(value):
        return f"{int(value):,}"
    digits = 1 if abs(value) >= 1000 else 2 if abs(value) >= 10 else 3 if abs(value) >= 1 else 4
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".")


def percent(part: float, whole: float) -> str:
    """`5.3 %`; never rounded to 0 or 100 when it is neither."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.1:
        return "under 0.1 %"
    if 99.9 < share < 100:
        return "over 99.9 %"
    return f"{share:.1f} %"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 record`, `1,300 records`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def capped(lines: Sequence[str], most: int) -> list[str]:
    """The first *most* of *lines*, and how many more there are."""
    left = len(lines) - most
    return [*lines[:most], f"and {left:,} more"] if left > 0 else list(lines)


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
