"""What may be said in the scheduler's log, and each event as one line: strict JSON for the file, plain words for a console.

Three lines keep the exact shape they had before this product, because people grep for them: `startup`,
`self_heal_startup` and `tick`. All others begin with `ts` and `event`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType, NoneType
from typing import Any

from echopilot_jobs.clock import iso

LINE_MOST_BYTES = 256 * 1024

Line = tuple[str, Mapping[str, Any]]  # as it stands in the file, and the facts it holds

# Object first, past tense. The value says what the line means and which fields it carries.
EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "startup": "the scheduler leads and plans from now on (ok, pid)",
        "tick": "the heartbeat ran (tick counts from this start, next: job to ISO time)",
        "self_heal_startup": "the start-up healing ended (ok, HTTP status)",
        "scheduler.waiting": "another scheduler holds the lock; this one stands by (holder)",
        "scheduler.stopping": "asked to stop; nothing new is planned (signal, running)",
        "scheduler.stopped": "the last line of a life (how, drained, interrupted)",
        "scheduler.died": "the one that led before ended without a word (last_beat; how, if supervisord saw it)",
        "scheduler.failed": "the process gives up and leaves its restart to supervisord (error)",
        "lease.taken": "this process is the planner (term, owner)",
        "lease.lost": "another scheduler leads; this one exits (term)",
        "ledger.unreachable": "a pass could not be written; it is tried again (error)",
        "ledger.reachable": "passes are written again (passes missed)",
        "slot.claimed": "a slot became a run (job, slot, run, origin)",
        "slot.skipped": "slots were given up (job, reason, count, first, last, cause)",
        "outage.recorded": "nobody planned for a while (cause, since, until, detail)",
        "clock.stepped": "the wall clock moved by itself (generation, held: calendar jobs wait)",
        "clock.trusted": "calendar jobs are planned again after a step of the clock (held_from)",
        "backlog.held": "a large or late backlog waits for a person (runs, until)",
        "backlog.answered": "nobody answered in time; the newest of each job run (runs, answer)",
        "job.overlapping": "three slots in a row met a run of the same job (job, count)",
        "run.cancel_asked": "a running run was asked to stop (run, actor)",
        "ledger.new": "this ledger is new here (ledger_id, empty: what the log tells before is of another one, said)",
        "ledger.vanished": "the ledger's file is gone, another one or damaged; this scheduler ends (said)",
        "ledger.set_aside": "a damaged ledger was set aside (said)",
        "ledger.adopted": "a rescued copy of a deleted ledger was put in place (said)",
        "ledger.unmarked": "how far the ledger got could not be noted beside it, so an older copy may pass for it (said)",
        "ledger.opened_up": "a log or index that SQLite had made read-only has the ledger's mode again (said)",
        "ledger.settled": "an exchange of the ledger's file that was cut short was finished (said)",
        "ledger.refused": "the ledger is, or may be, an older copy than this folder knew (said)",
        "lock.lost": "the lock file was removed or replaced; this scheduler steps down (path)",
        "run.queued": "a run without a slot was queued (job, run, origin)",
        "run.started": "an attempt began (job, run, attempt, lag_ms)",
        "run.said": "a line of a run's own log (job, run, level, message, fields of its own; dropped)",
        "run.finished": "an attempt ended (job, run, state, attempt, ms, error)",
        "run.finish_refused": "an outcome came too late to count (job, run, error)",
        "run.abandoned": "its owner died while it ran (job, run, owner)",
        "run.cancelled": "it ended before it started (job, run, error)",
        "job.failed_to_plan": "a job could not be planned and was passed over (job, error)",
        "jobs.accepted": "another set of definitions is in force (count, added, changed, removed, version, unkept)",
        "jobs.refused": "the jobs file is not in force; the last good set is (problem: one line each)",
        "ping.failed": "an outside watcher could not be told of a run; said once until one arrives again (job, error)",
        "ping.recovered": "an outside watcher can be told of runs again (job)",
        "processes.swept": "processes left behind by a dead owner's run were ended (run, count)",
        "log.repaired": "a torn last line was cut off at start (bytes)",
        "log.lost": "lines that could not be written (count)",
    }
)
LEGACY = frozenset({"startup", "tick", "self_heal_startup"})
_WITHOUT_TS = LEGACY - {"startup"}
_quoted = json.encoder.encode_basestring_ascii
_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def encode(name: str, facts: Mapping[str, Any], now: datetime) -> str:
    """One strict JSON line in ASCII without its line end, whatever the facts hold; too long ones say so (I21)."""
    return encoded(name, [facts], iso(now))[0][0]


def encoded(name: str, each: Sequence[Mapping[str, Any]], ts: str) -> list[Line]:
    """A line for each of the facts, which have the same keys in the same order."""
    if name not in EVENTS:
        raise KeyError(f"no event named '{name}'; add it to events.EVENTS")
    try:
        lines = _lines(name, each, ts)
    except Exception:  # a value no JSON can hold, or whose own `str` fails; unlike keys
        return [_at_any_rate(name, facts, ts) for facts in each]
    if max(map(len, lines), default=0) > LINE_MOST_BYTES:
        return [_at_any_rate(name, facts, ts) for facts in each]
    return [*zip(lines, each, strict=True)]


def _at_any_rate(name: str, facts: Mapping[str, Any], ts: str) -> Line:
    """What cannot be said, or too long a line, costs its own facts and nobody else's."""
    try:
        (line,) = _lines(name, [facts], ts)
    except Exception as error:
        facts = {"unreadable": type(error).__name__}
        (line,) = _lines(name, [facts], ts)
    if len(line) > LINE_MOST_BYTES:
        facts = {"cut": True, "bytes": len(line), "start": line[: LINE_MOST_BYTES // 8]}
        (line,) = _lines(name, [facts], ts)
    return line, facts


def _lines(name: str, each: Sequence[Mapping[str, Any]], ts: str) -> list[str]:
    """Put together by hand, key by key: every run has three lines, and `json.dumps` takes more than twice as long."""
    if not each:
        return []
    start = f'{{"event":"{name}"' if name in _WITHOUT_TS else f'{{"ts":"{ts}","event":"{name}"'
    shape = start + _rest(*each[0])
    if not each[0]:
        return [shape] * len(each)
    columns = map(_column, zip(*[facts.values() for facts in each], strict=True))
    return [shape % row for row in zip(*columns, strict=True)]


def _column(values: Sequence[Any]) -> Iterator[str]:
    """What stands under one key, as JSON; mostly all of it is of one kind."""
    kinds = {*map(type, values)}
    return map(_encoder_of(kinds.pop()) if len(kinds) == 1 else _json, values)


@lru_cache(maxsize=256)
def _rest(*keys: str) -> str:
    """What follows the event's name, to be filled with values; an event mostly comes with the same keys."""
    return "".join([f",{_quoted(key)}:".replace("%", "%%") + "%s" for key in keys]) + "}"


def _by_library(value: Any) -> str:
    return _dumps(strict(value))


# The kinds that lines are made of go past the encoder.
_AS_JSON: Mapping[type, Callable[[Any], str]] = {
    str: _quoted,
    int: str,
    NoneType: lambda _value: "null",
    datetime: lambda value: f'"{iso(value)}"',
}


def _json(value: Any) -> str:
    """The value as strict JSON."""
    return _encoder_of(type(value))(value)


def _encoder_of(kind: type) -> Callable[[Any], str]:
    return _AS_JSON.get(kind) or (_quoted if issubclass(kind, StrEnum) else _by_library)


def strict(value: Any) -> Any:
    """*value* as JSON types only: no NaN, no infinity, unknown objects as their text."""
    if value is None or isinstance(value, bool | int | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [strict(item) for item in value]
    return str(value)


def console_line(name: str, line: str, facts: Mapping[str, Any]) -> str:
    """The line itself where people grep for it, else `ts event key=value …`; control characters stay escaped JSON."""
    if name in LEGACY:
        return line
    ts = line[len('{"ts":"') : line.index('","event"')]
    told = (f"{key}={_console_value(value)}" for key, value in facts.items() if value is not None)
    return " ".join([f"{ts} {name}", *told])


def _console_value(value: Any) -> str:
    text = _json(value)
    return text.strip('"') if text[0] == '"' and " " not in text else text
