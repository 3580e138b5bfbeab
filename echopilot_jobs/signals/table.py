"""Records as compact columns: what is kept of a file once it has been read, a few dozen bytes a record."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from echopilot_jobs.signals.fields import Verdict, first_number, flatten, judge, number, role, shape
from echopilot_jobs.signals.moments import moment

COLUMNS_MOST = 64
SHAPES_MOST = 300
WORDS_MOST = 60
KINDS_MOST = 500
ROWS_MOST = 1_000_000
NO_TIME = float("nan")


@dataclass
class Numbers:
    """The finite values of one field, each with the row it came from."""

    rows: array[int] = field(default_factory=lambda: array("I"))
    values: array[float] = field(default_factory=lambda: array("d"))


@dataclass
class Complaint:
    """Sentences of one shape: how many, one of them, and the least and greatest first number in them."""

    field: str
    shape: str
    example: str
    count: int = 0
    bad: int = 0
    fine: int = 0  # the same words in records that are not in trouble: then they explain nothing
    low: float | None = None
    high: float | None = None

    def add(self, text: str, bad: bool) -> None:
        self.count += 1
        self.bad += bad
        if (found := first_number(text)) is not None:
            self.low = found if self.low is None else min(self.low, found)
            self.high = found if self.high is None else max(self.high, found)


class Table:
    """All records of one signal. Rows are numbered in the order of reading."""

    def __init__(self) -> None:
        self.verdicts = bytearray()
        self.judged = 0  # rows with any field that has a verdict
        self.numbers: dict[str, Numbers] = {}
        self.states: dict[str, Counter[tuple[str, Verdict]]] = {}
        self.complaints: dict[tuple[str, str], Complaint] = {}
        self.fields: Counter[str] = Counter()
        self.time_fields: Counter[str] = Counter()
        self.unplaced = 0  # fields beyond the columns kept
        self._named: array[float] = array("d")
        self._guessed: dict[str, dict[int, float]] = {}
        self.dropped = 0  # records beyond ROWS_MOST
        self.kinds: array[int] = array("H")
        self._kind_of: dict[tuple[str, ...], int] = {}

    def __len__(self) -> int:
        return len(self.verdicts)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record in; never raises on any JSON."""
        row = len(self.verdicts)
        if row >= ROWS_MOST:
            self.dropped += 1
            return
        leaves = list(flatten(record))
        self._named.append(self._time(row, leaves))
        self.kinds.append(self._kind(record))
        worst, reason = self._judge(leaves)
        self.verdicts.append(worst)
        for path, value in leaves:
            self._keep(row, path, value, worst, reason)

    def times(self) -> array[float]:
        """The moment of every row as UTC epoch seconds, NaN without one.

        A field named like a time wins; a row without such takes the text field that most often reads as a moment.
        """
        merged = array("d", self._named)
        for path in sorted(self._guessed, key=lambda path: -len(self._guessed[path]))[:1]:
            if len(self._guessed[path]) * 2 >= self.fields[path]:
                for row, seconds in self._guessed[path].items():
                    if isnan(merged[row]):
                        merged[row] = seconds
        return merged

    def _kind(self, record: Mapping[str, Any]) -> int:
        """Records with the same fields and the same event name are of one kind: what one writer writes again and again."""
        names = tuple(record)[:40]
        events = [str(record[name])[:40] for name in names if role(name).event]
        key = (*names, *events)
        if key not in self._kind_of and len(self._kind_of) < KINDS_MOST:
            self._kind_of[key] = len(self._kind_of)
        return self._kind_of.get(key, KINDS_MOST)

    def _time(self, row: int, leaves: list[tuple[str, Any]]) -> float:
        best, best_rank, best_path = NO_TIME, 10_000, ""
        for path, value in leaves:
            rank = role(path).time_rank
            if rank is None:
                if isinstance(value, str) and value[:2] in ("19", "20") and len(value) >= 10:
                    self._guess(row, path, value)
            elif rank < best_rank and (found := moment(_with_clock(path, value, leaves))) is not None:
                best, best_rank, best_path = found, rank, path
        if best_path:
            self.time_fields[best_path] += 1
        return best

    def _guess(self, row: int, path: str, value: str) -> None:
        found = None if value.isdigit() else moment(value)
        if found is not None and (path in self._guessed or len(self._guessed) < 4):
            self._guessed.setdefault(path, {})[row] = found

    def _judge(self, leaves: list[tuple[str, Any]]) -> tuple[Verdict, str]:
        worst, reason, judged = Verdict.FINE, "", False
        for path, value in leaves:
            found = judge(path, value)
            if found is None:
                continue
            judged = True
            if path in self.states or len(self.states) < COLUMNS_MOST:
                self._count_state(path, value, found)
            if found > worst:
                worst, reason = found, path
        self.judged += judged
        return worst, reason

    def _count_state(self, path: str, value: Any, found: Verdict) -> None:
        counts = self.states.setdefault(path, Counter())
        word = str(value).lower() if isinstance(value, bool) else str(value)
        if role(path).text and role(path).fault:
            word = "set"  # sentences are counted by shape instead
        key = (word[:40], found)
        counts[key if key in counts or len(counts) < WORDS_MOST else ("other", found)] += 1

    def _keep(self, row: int, path: str, value: Any, worst: Verdict, reason: str) -> None:
        if path in self.fields or len(self.fields) < 4 * COLUMNS_MOST:
            self.fields[path] += 1
        else:
            self.unplaced += 1
            return
        known = role(path)
        if (size := number(value)) is not None:
            if known.countable and not (known.time_rank is not None and moment(value)):
                self._measure(row, path, size)
        elif isinstance(value, str):
            if known.text and value.strip():
                self._hear(path, value, worst, reason)
        elif isinstance(value, list) and known.complaints:
            for text in value[:20]:
                if isinstance(text, str) and text.strip():
                    self._complain(path, text, bad=worst >= Verdict.ERROR)

    def _measure(self, row: int, path: str, size: float) -> None:
        if path in self.numbers or len(self.numbers) < COLUMNS_MOST:
            column = self.numbers.setdefault(path, Numbers())
            column.rows.append(row)
            column.values.append(size)

    def _hear(self, path: str, text: str, worst: Verdict, reason: str) -> None:
        if worst >= Verdict.WARNING and _same_parent(path, reason):
            self._complain(path, text, bad=worst >= Verdict.ERROR)
        elif self.complaints and (known := self.complaints.get((path, shape(text)))):
            known.fine += 1

    def _complain(self, path: str, text: str, *, bad: bool) -> None:
        key = (path, shape(text))
        if key not in self.complaints and len(self.complaints) >= SHAPES_MOST:
            key = (path, "other")
        self.complaints.setdefault(key, Complaint(path, key[1], text[:160])).add(text, bad)


def _same_parent(path: str, reason: str) -> bool:
    """Whether a sentence at *path* may explain a verdict found at *reason*: beside it, or at the top of the record."""
    parent = path.rpartition(".")[0]
    return not parent or parent == reason.rpartition(".")[0]


def _with_clock(path: str, value: Any, leaves: list[tuple[str, Any]]) -> Any:
    """A date and a clock time in two fields are one moment."""
    if not (isinstance(value, str) and len(value) == 10 and path.rpartition(".")[2].lower() == "date"):
        return value
    clock = next((v for p, v in leaves if p.rpartition(".")[2].lower() == "time" and isinstance(v, str)), "")
    return f"{value}T{clock}" if clock[2:3] == ":" and len(clock) <= 18 else value
