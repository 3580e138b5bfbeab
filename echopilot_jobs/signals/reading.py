"""Signals: files read into tables, rotated siblings as one, with an honest account of what was and was not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from echopilot_jobs.records import record
from echopilot_jobs.signals.scan import Damage, Scalar, scan
from echopilot_jobs.signals.sources import Unreadable, Window, family, find, identity, read, window_for
from echopilot_jobs.signals.table import Table
from echopilot_jobs.signals.timeline import Timeline, timeline

OUR_SCHEMAS = "echopilot."


@dataclass
class FileFacts:
    """One file's account. `state` is `read`, `empty`, `no records` or `unreadable`; `notes` are short clauses."""

    name: str
    state: str = "read"
    size: int = 0
    read: int = 0
    records: int = 0
    damaged: int = 0
    first_damage: str = ""
    scalars: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass
class Signal:
    """One source: its files, its records as columns, and when they came."""

    name: str
    files: list[FileFacts]
    table: Table
    line: Timeline
    part_of: str | None = None  # the signal whose documents held these rows

    @property
    def partial(self) -> bool:
        """Whether only the end of it was read."""
        return any("read from the end" in note for facts in self.files for note in facts.notes)

    @property
    def damaged(self) -> int:
        return sum(facts.damaged for facts in self.files)


@record(frozen=True)
class Reading:
    """All signals from files, and a sentence for every glob that named nothing."""

    signals: tuple[Signal, ...]
    notes: tuple[str, ...]

    @property
    def files(self) -> list[FileFacts]:
        return [facts for signal in self.signals if signal.part_of is None for facts in signal.files]


def read_signals(patterns: Sequence[str], home: Path, now: float, ledger: Path | None = None) -> Reading:
    """Read every file the globs name. *now* is UTC epoch seconds; the files of *ledger* are never opened."""
    found = find(patterns, home)
    limit = window_for(len(found.paths))
    never = _ledger_files(ledger)
    families: dict[str, list[Path]] = {}
    seen: set[tuple[int, int]] = set()
    for path in found.paths:
        this = identity(path)
        if this is None or this not in seen:  # a second name of a file is no second signal
            families.setdefault(family(path), []).append(path)
            seen |= {this} if this else set()
    named = labels([path for paths in families.values() for path in paths])
    heads = labels([_head(name, paths) for name, paths in families.items()])
    signals = [
        signal
        for name, paths in families.items()
        for signal in _signals(heads[_head(name, paths)], {path: named[path] for path in paths}, now, limit, never)
    ]
    return Reading(tuple(signals), found.notes)


def _ledger_files(ledger: Path | None) -> frozenset[tuple[int, int]]:
    names = [ledger.with_name(ledger.name + tail) for tail in ("", "-wal", "-shm", "-journal")] if ledger else []
    return frozenset(found for path in names if (found := identity(path)))


def _head(name: str, paths: Sequence[Path]) -> Path:
    """What a family is called after: its only file, or the name its rotated files have in common."""
    return Path(name) if len(paths) > 1 else paths[0]


def _signals(
    shown: str, paths: dict[Path, str], now: float, limit: int, never: frozenset[tuple[int, int]]
) -> list[Signal]:
    """The signal of one family of files, and one for every list of records inside its documents."""
    table, inner = Table(), dict[str, Table]()
    files = [_take(path, name, table, inner, limit, never) for path, name in paths.items()]
    made = [Signal(shown, files, table, timeline(table.times(), now))]
    if len(table) <= 50:  # documents, not a stream of records that carry lists
        made += [
            Signal(f"{shown} » {key}", files, rows, timeline(rows.times(), now), part_of=shown)
            for key, rows in inner.items()
            if len(rows) >= 2
        ]
    return made


def labels(paths: Sequence[Path]) -> dict[Path, str]:
    """How files are called in the brief: the shortest ends of their paths that tell them apart."""
    shown = {path: path.parts for path in paths}
    named: dict[Path, str] = {}
    for path, parts in shown.items():
        rivals = [other for other in shown.values() if other[-1] == parts[-1]]
        length = next((n for n in range(1, len(parts)) if sum(r[-n:] == parts[-n:] for r in rivals) == 1), len(parts))
        named[path] = "/".join(parts[-length:])
    return named


def _take(
    path: Path, name: str, table: Table, inner: dict[str, Table], limit: int, never: frozenset[tuple[int, int]]
) -> FileFacts:
    facts = FileFacts(name)
    try:
        window = read(path, limit, never)
    except Unreadable as why:
        facts.state, facts.notes = "unreadable", [str(why)]
        return facts
    facts.size, facts.read, facts.notes = window.size, window.read, list(window.notes)
    for found in scan(window.text):
        _count(found, facts, window, table, inner)
    if not window.text.strip():
        facts.state = "empty"
    elif not facts.records:
        facts.state = "no records"
    return facts


def _count(found: object, facts: FileFacts, window: Window, table: Table, inner: dict[str, Table]) -> None:
    if isinstance(found, Damage):
        facts.damaged += 1
        if facts.damaged == 1 and not window.partial:
            facts.first_damage = f"line {window.text.count(chr(10), 0, found.offset) + 1:,}"
    elif isinstance(found, Scalar):
        facts.scalars += 1
    elif isinstance(found, dict):
        if str(found.get("schema", "")).startswith(OUR_SCHEMAS):
            facts.notes = [*facts.notes, "written by the brief itself; not read back"][:8]
            return
        facts.records += 1
        table.add(found)
        if len(table) <= 50:
            _take_inner(found, inner)


def _take_inner(document: dict[str, object], inner: dict[str, Table]) -> None:
    """Rows of the lists of objects that a document holds at its top."""
    for key, value in document.items():
        if isinstance(value, list) and len(value) >= 2 and (key in inner or len(inner) < 8):
            rows = [row for row in value if isinstance(row, dict)]
            if len(rows) >= 2:
                into = inner.setdefault(key[:80], Table())
                for row in rows:
                    into.add(row)
