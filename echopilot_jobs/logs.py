"""The scheduler's log: flat NDJSON, one writer, rotated. This module is loguru's only home."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TextIO

from loguru import logger

from echopilot_jobs.clock import EPOCH, Clock, iso
from echopilot_jobs.events import LEGACY, Line, console_line, encoded

ROTATE_AT_BYTES = 5_000_000
KEEP_FILES = 10
BATCH_MOST_BYTES = 256 * 1024
SHOWN_MOST = 50
SOME_LINES = 100  # are put together before any of them may be written
COMPLAIN_EVERY_SECONDS = 60.0

_MILLISECOND = timedelta(milliseconds=1)


class Log(Protocol):
    """Where events go. A fake that inherits from this needs only `event`."""

    def event(self, name: str, **facts: Any) -> None:
        """Write one event of `events.EVENTS` with its facts. Never raises for a full disk or a strange value."""
        ...

    def events(self, name: str, each: Sequence[Mapping[str, Any]]) -> None:
        """Write the event once for each of the facts, which have the same keys in the same order."""
        for facts in each:
            self.event(name, **facts)

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
        self._stamp = _Stamp()
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
        self.events(name, [facts])

    def events(self, name: str, each: Sequence[Mapping[str, Any]]) -> None:
        for first in range(0, len(each), SOME_LINES):
            now = self._stamp.of(self._clock.now())
            self._take(name, encoded(name, each[first : first + SOME_LINES], now))
        if not self._batches:
            self._write_all()

    def _take(self, name: str, lines: Sequence[Line]) -> None:
        self._waiting += [line for line, _ in lines]
        self._waiting_bytes += sum([len(line) + 1 for line, _ in lines])
        if self._console is not None:
            self._console.note(name, lines)
        if self._waiting_bytes >= BATCH_MOST_BYTES:
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
            compression=_pack,
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

    def note(self, name: str, lines: Sequence[Line]) -> None:
        """Remember what was said of an event until `show`."""
        self._counts[name] += len(lines)
        shown = lines if name in LEGACY else lines[: max(SHOWN_MOST - len(self._noted), 0)]
        self._noted += [(name, line, facts) for line, facts in shown]

    def show(self) -> None:
        """Print what was noted since the last time."""
        noted, counts, self._noted, self._counts = self._noted, self._counts, [], Counter()
        if self._stream is None or not noted:
            return
        if (total := counts.total()) <= SHOWN_MOST:
            lines = [console_line(*event) for event in noted]
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


def _pack(path: str) -> None:
    """Compress a rotated file in its place at gzip's fastest: nobody plans meanwhile (5 MB: about 25 ms, at level 9: 240)."""
    import gzip  # once in five million bytes, and not while the scheduler starts

    with Path(path).open("rb") as plain, gzip.open(f"{path}.gz", "wb", compresslevel=1) as packed:
        shutil.copyfileobj(plain, packed, BATCH_MOST_BYTES)
    Path(path).unlink()


class _Stamp:
    """Moments as text, made anew only in another millisecond: a pass tells of hundreds of events at once."""

    def __init__(self) -> None:
        self._first = self._end = EPOCH
        self._text = ""

    def of(self, moment: datetime) -> str:
        """The millisecond that *moment* (aware, UTC) is in, as `iso` writes it."""
        if not self._first <= moment < self._end:
            self._first = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
            self._end = self._first + _MILLISECOND
            self._text = iso(self._first)
        return self._text


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
