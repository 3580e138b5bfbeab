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
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TextIO

from loguru import logger

from echopilot_jobs.clock import Clock, iso

ROTATE_AT_BYTES = 5_000_000
KEEP_FILES = 10
LINE_MOST_BYTES = 256 * 1024
BATCH_MOST_BYTES = 256 * 1024
SHOWN_MOST = 50
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
        "scheduler.died": "the one that led before ended without a word (last_beat; how, if supervisord saw it)",
        "scheduler.failed": "the process gives up and leaves its restart to supervisord (error)",
        "lease.taken": "this process is the planner (term, owner)",
        "lease.lost": "another scheduler leads; this one exits (term)",
        "ledger.unreachable": "a pass could not be written; it is tried again (error)",
        "ledger.reachable": "passes are written again (passes missed)",
        "slot.claimed": "a slot became a run (job, slot, run, origin)",
        "slot.skipped": "slots were given up (job, reason, count, first, last, cause)",
        "outage.recorded": "nobody planned for a while (cause, since, until, detail)",
        "clock.stepped": "the wall clock moved by itself (generation, step_s, held: calendar jobs wait)",
        "clock.trusted": "calendar jobs are planned again after a step of the clock (held_from)",
        "backlog.held": "a large or late backlog waits for a person (runs, until)",
        "backlog.answered": "nobody answered in time; the newest of each job run (runs, answer)",
        "job.overlapping": "three slots in a row met a run of the same job (job, count)",
        "run.cancel_asked": "a running run was asked to stop (run, actor)",
        "ledger.new": "this ledger is new here (ledger_id, said)",
        "ledger.vanished": "the ledger's file is gone, another one or damaged; this scheduler ends (said)",
        "ledger.set_aside": "a damaged ledger was set aside (said)",
        "ledger.adopted": "a rescued copy of a deleted ledger was put in place (said)",
        "ledger.settled": "an exchange of the ledger's file that was cut short was finished (said)",
        "ledger.refused": "the ledger is an older copy than this folder knew (said)",
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


class Log(Protocol):
    """Where events go. A fake that inherits from this needs only `event`."""

    def event(self, name: str, **facts: Any) -> None:
        """Write one event of `EVENTS` with its facts. Never raises for a full disk or a strange value."""
        ...

    def batch(self) -> AbstractContextManager[None]:
        """Events inside the block may be written together when it ends, however it ends; blocks may be nested."""
        return contextlib.nullcontext()


class SchedulerLog(Log):
    """`logs/scheduler.log` and, for whoever watches, one short line an event on *console*; used by one thread.

    The scheduler process is the only writer. A line that cannot be written is counted, never raised (I22). A batch costs
    one write; a kill inside it loses at most its lines.
    """

    def __init__(self, path: Path, clock: Clock, console: TextIO | None = None) -> None:
        self._clock = clock
        self._console = _Console(console) if console is not None else None
        self._lost = 0
        self._complained_at = -math.inf
        self._path = path
        self._sink: int | None = None
        self._open_file: tuple[int, int] | None = None
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        self._batches = 0
        self._waiting: list[str] = []
        self._waiting_bytes = 0
        logger.remove()
        self._library = logger.opt(raw=True)
        torn = 0
        with contextlib.suppress(OSError):  # tried again, and complained about, with the first line
            torn = cut_torn_line(path)
            self._open()
        if torn:
            self.event("log.repaired", bytes=torn)

    def event(self, name: str, **facts: Any) -> None:
        line, held = _encode(name, facts, self._clock.now())
        self._waiting.append(line)
        self._waiting_bytes += len(line) + 1
        if self._console is not None:
            self._console.note(name, line, held)
        if not self._batches:
            self._write_all()
        elif self._waiting_bytes >= BATCH_MOST_BYTES:
            self._write_lines()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1
            if not self._batches and self._waiting_bytes:
                self._write_all()

    def close(self) -> None:
        """Write what waits and let go of the file; on a full disk that is lost, as every line before it was."""
        self._write_all()
        self._let_go()
        os.close(self._nowhere)

    # -- the file

    def _write_all(self) -> None:
        self._write_lines()
        if self._console is not None:
            self._console.show()

    def _write_lines(self) -> None:
        lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not lines:
            return
        before = _place(self._path)
        try:
            if self._sink is None:
                self._open()
            self._library.info("\n".join(lines) + "\n")
        except (OSError, ValueError) as error:  # ValueError: the stream was closed under us by a failed rotation
            self._let_go()
            self._count_lost(len(lines) - self._salvaged(before), error)
        else:
            self._tell_lost()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # catch=False: loguru's own handling prints a traceback for every lost line; we count them instead.
        self._sink = logger.add(
            self._path,
            format="{message}",  # not used: every call is raw
            rotation=ROTATE_AT_BYTES,
            retention=KEEP_FILES,
            compression="gz",
            watch=True,
            catch=False,
            encoding="ascii",
            opener=self._opener,
        )

    def _opener(self, path: str, flags: int) -> int:
        """Open as `open` would, and remember the descriptor with its inode. A pipe in its place is an error, not a wait."""
        descriptor = os.open(path, flags | os.O_NONBLOCK, 0o666)
        self._open_file = descriptor, os.fstat(descriptor).st_ino
        return descriptor

    def _let_go(self) -> None:
        """Close the file. What a failed write left in the library's buffers goes nowhere: it would tear a later line."""
        if self._sink is None:
            return
        with contextlib.suppress(OSError):
            if self._open_file is not None and os.fstat(self._open_file[0]).st_ino == self._open_file[1]:
                os.dup2(self._nowhere, self._open_file[0], inheritable=False)
        with contextlib.suppress(OSError, ValueError):
            logger.remove(self._sink)
        self._sink = self._open_file = None

    def _salvaged(self, before: tuple[int, int]) -> int:
        """After a failed write: cut the torn line off and say how many whole lines reached the file."""
        with contextlib.suppress(OSError):
            cut_torn_line(self._path)
            inode, end = _place(self._path)
            start = before[1] if inode == before[0] else 0  # it was rotated first, or made by this very write
            with self._path.open("rb") as file:
                file.seek(start)
                return file.read(max(end - start, 0)).count(b"\n")
        return 0

    def _count_lost(self, count: int, error: Exception) -> None:
        self._lost += count
        if self._clock.monotonic() - self._complained_at >= COMPLAIN_EVERY_SECONDS:
            self._complained_at = self._clock.monotonic()
            _say(f"log line lost ({self._lost} so far): {error}", sys.stderr)

    def _tell_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self.event("log.lost", count=lost)


class _Console:
    """One plain line an event for whoever watches; a batch of many becomes one line that counts them.

    The lines people grep for are shown in any case.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._noted: list[tuple[str, str, Mapping[str, Any]]] = []
        self._counts: Counter[str] = Counter()

    def note(self, name: str, line: str, facts: Mapping[str, Any]) -> None:
        """Remember an event until `show`."""
        self._counts[name] += 1
        if len(self._noted) < SHOWN_MOST or name in LEGACY:
            self._noted.append((name, line, facts))

    def show(self) -> None:
        """Print what was noted since the last time."""
        noted, counts, self._noted, self._counts = self._noted, self._counts, [], Counter()
        if self._stream is None or not noted:
            return
        if (total := counts.total()) <= SHOWN_MOST:
            lines = [_console_line(*event) for event in noted]
        else:
            lines = [line for name, line, _ in noted if name in LEGACY]
            told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
            lines.append(f"{total} events at once: {told}")
        if not _say("\n".join(lines), self._stream):
            self._stream = None  # it may be a closed pipe; the file has the lines


def _say(text: str, stream: TextIO) -> bool:
    """Whether *stream* took *text* and a line end."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def encode(name: str, facts: Mapping[str, Any], now: datetime) -> str:
    """One strict JSON line in ASCII without its line end, whatever the facts hold; too long ones say so (I21)."""
    return _encode(name, facts, now)[0]


def _encode(name: str, facts: Mapping[str, Any], now: datetime) -> tuple[str, Mapping[str, Any]]:
    """The line, and the facts it holds."""
    if name not in EVENTS:
        raise KeyError(f"no event named '{name}'; add it to logs.EVENTS")
    try:
        line = _line(name, facts, now)
    except (
        Exception
    ) as error:  # a value no JSON can hold, or whose own `str` fails, costs its line's facts, not the pass
        facts = {"unreadable": type(error).__name__}
        line = _line(name, facts, now)
    if len(line) > LINE_MOST_BYTES:
        facts = {"cut": True, "bytes": len(line), "start": line[: LINE_MOST_BYTES // 8]}
        line = _line(name, facts, now)
    return line, facts


def _line(name: str, facts: Mapping[str, Any], now: datetime) -> str:
    """The line, put together by hand: every run has three, and `json.dumps` takes twice as long."""
    start = f'{{"event":"{name}"' if name in _WITHOUT_TS else f'{{"ts":"{iso(now)}","event":"{name}"'
    return start + "".join([f",{_quoted(key)}:{_json(value)}" for key, value in facts.items()]) + "}"


def _json(value: Any) -> str:
    """The value as strict JSON; the kinds that lines are made of go past the encoder."""
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if kind is int:
        return str(value)
    if value is None:
        return "null"
    return f'"{iso(value)}"' if kind is datetime else _dumps(strict(value))


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


def _place(path: Path) -> tuple[int, int]:
    """The file's inode and size; zeros when there is none."""
    try:
        facts = os.stat(path)  # noqa: PTH116  # twice as fast as Path.stat, and asked before every write
    except OSError:
        return 0, 0
    return facts.st_ino, facts.st_size


def _console_line(name: str, line: str, facts: Mapping[str, Any]) -> str:
    """The line itself where people grep for it, else `ts event key=value …`; control characters stay escaped JSON."""
    if name in LEGACY:
        return line
    ts = line[len('{"ts":"') : line.index('","event"')]
    told = (f"{key}={_console_value(value)}" for key, value in facts.items() if value is not None)
    return " ".join([f"{ts} {name}", *told])


def _console_value(value: Any) -> str:
    text = _json(value)
    return text.strip('"') if text[0] == '"' and " " not in text else text
