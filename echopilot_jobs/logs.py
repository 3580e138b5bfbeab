"""The scheduler's log: flat NDJSON, one writer, rotated; and what may be said in it. This module is loguru's only home.

Three lines keep the exact shape they had before this product, because people grep for them: `startup`,
`self_heal_startup` and `tick`. All others begin with `ts` and `event`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from loguru import logger

from echopilot_jobs.clock import Clock, iso

if TYPE_CHECKING:
    from loguru import Record

ROTATE_AT_BYTES = 5_000_000
KEEP_FILES = 10
LINE_MOST_BYTES = 256 * 1024
COMPLAIN_EVERY_SECONDS = 60.0

# Object first, past tense. The value says what the line means and which fields it carries.
EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "startup": "the scheduler leads and plans from now on (ok, pid)",
        "tick": "the heartbeat ran (tick counts from this start, next: job to ISO time)",
        "self_heal_startup": "the start-up healing ended (ok, HTTP status)",
        "scheduler.waiting": "another scheduler holds the lock; this one stands by (holder)",
        "scheduler.stopping": "asked to stop; nothing new is planned (signal, running)",
        "scheduler.stopped": "the last line of a life (how, drained, interrupted)",
        "scheduler.failed": "the process gives up and leaves its restart to supervisord (error)",
        "lease.taken": "this process is the planner (term, owner)",
        "lease.lost": "another scheduler leads; this one exits (term)",
        "ledger.unreachable": "a pass could not be written; it is tried again (error)",
        "ledger.reachable": "passes are written again (passes missed)",
        "slot.claimed": "a slot became a run (job, slot, run, origin)",
        "slot.skipped": "slots were given up (job, reason, count, first, last, cause)",
        "run.queued": "a run without a slot was queued (job, run, origin)",
        "run.started": "an attempt began (job, run, attempt, lag_ms)",
        "run.finished": "an attempt ended (job, run, state, attempt, ms, error)",
        "run.finish_refused": "an outcome came too late to count (job, run, error)",
        "run.abandoned": "its owner died while it ran (job, run, owner)",
        "run.cancelled": "it ended before it started (job, run, error)",
        "job.failed_to_plan": "a job could not be planned and was passed over (job, error)",
        "processes.swept": "processes left behind by a dead owner's run were ended (run, count)",
        "log.repaired": "a torn last line was cut off at start (bytes)",
        "log.lost": "lines that could not be written (count)",
    }
)
LEGACY = frozenset({"startup", "tick", "self_heal_startup"})


class Log(Protocol):
    """Where events go."""

    def event(self, name: str, **facts: Any) -> None:
        """Write one event of `EVENTS` with its facts. Never raises for a full disk or a strange value."""
        ...


class SchedulerLog:
    """`logs/scheduler.log` and, for whoever watches the console, one short line an event on *console*.

    The scheduler process is the only writer. A line that cannot be written is counted, never raised (I22).
    """

    def __init__(self, path: Path, clock: Clock, console: TextIO | None = None) -> None:
        self._clock = clock
        self._console = console
        self._lost = 0
        self._complained_at = -math.inf
        self._path = path
        self._sink: int | None = None
        logger.remove()
        torn = 0
        with contextlib.suppress(OSError):  # tried again, and complained about, with the first line
            torn = cut_torn_line(path)
            self._open()
        if torn:
            self.event("log.repaired", bytes=torn)

    def event(self, name: str, **facts: Any) -> None:
        line = encode(name, facts, self._clock.now())
        try:
            if self._sink is None:
                self._open()
            logger.bind(line=line).info("")
        except (OSError, ValueError) as error:  # ValueError: the stream was closed under us by a failed rotation
            self._count_lost(error)
        else:
            self._tell_lost()
        self._print(name, line)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # catch=False: loguru's own handling prints a traceback for every lost line; `event` counts them instead.
        self._sink = logger.add(
            self._path,
            format=_bare_line,
            rotation=ROTATE_AT_BYTES,
            retention=KEEP_FILES,
            compression="gz",
            watch=True,
            catch=False,
            encoding="ascii",
        )

    def close(self) -> None:
        """Flush and let go of the file; on a full disk what cannot be flushed is lost, as every line before it was."""
        if self._sink is not None:
            with contextlib.suppress(OSError):
                logger.remove(self._sink)

    def _count_lost(self, error: Exception) -> None:
        self._lost += 1
        if self._clock.monotonic() - self._complained_at >= COMPLAIN_EVERY_SECONDS:
            self._complained_at = self._clock.monotonic()
            self._say(f"log line lost ({self._lost} so far): {error}", sys.stderr)

    def _tell_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self.event("log.lost", count=lost)

    def _print(self, name: str, line: str) -> None:
        if self._console is not None:
            self._say(line if name in LEGACY else _plain(line), self._console)

    def _say(self, text: str, stream: TextIO) -> None:
        try:
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):  # the console may be a closed pipe; the file has the line
            self._console = None


def encode(name: str, facts: Mapping[str, Any], now: datetime) -> str:
    """One strict JSON line in ASCII without its line end, whatever the facts hold; too long ones say so (I21)."""
    if name not in EVENTS:
        raise KeyError(f"no event named '{name}'; add it to logs.EVENTS")
    head: dict[str, Any] = {"event": name} if name in LEGACY - {"startup"} else {"ts": iso(now), "event": name}
    line = _dumps({**head, **{key: strict(value) for key, value in facts.items()}})
    if len(line) > LINE_MOST_BYTES:
        line = _dumps({**head, "cut": True, "bytes": len(line), "start": line[: LINE_MOST_BYTES // 8]})
    return line


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


def cut_torn_line(path: Path) -> int:
    """Cut what follows the last line end off *path*, as a crash may have left it; the number of bytes cut."""
    try:
        with path.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            keep = _last_line_end(file.fileno(), end)
            if keep < end:
                file.truncate(keep)
            return end - keep
    except FileNotFoundError:
        return 0


def _last_line_end(descriptor: int, end: int) -> int:
    """The offset just behind the last newline before *end*, reading backwards in blocks."""
    while end > 0:
        start = max(0, end - 65_536)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _dumps(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _bare_line(_record: Record) -> str:
    """loguru formats what this returns with the record, so the JSON's braces must not be part of it."""
    return "{extra[line]}\n"


def _plain(line: str) -> str:
    """`ts event key=value …` for a console. The values stay JSON, so control characters stay escaped."""
    facts = json.loads(line)
    head = f"{facts.pop('ts')} {facts.pop('event')}"
    return " ".join([head, *(f"{key}={_dumps_value(value)}" for key, value in facts.items() if value is not None)])


def _dumps_value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.strip('"') if isinstance(value, str) and " " not in value else text
