"""Log files read as one: rotated and compressed parts in their true order, from the end, and on as they grow.

Only what is asked for is held: a file of a gigabyte is read backwards in blocks, a line of a megabyte is cut.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import nullcontext, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Self

from echopilot_jobs.clock import iso

SCHEDULER_LOG = "scheduler.log"  # in `logs/`, written by whoever leads
BLOCK = 64 * 1024
LINE_MOST = 256 * 1024
HEAD_MOST = 4096
RUNS_LOOKED_AT = 500  # what ends late is named late: the highest is not far above the last
RUN_MOST = 2**53
_OF_RUNS = (b'"event":"slot.claimed"', b'"event":"run.queued"', b'"event":"run.started"', b'"event":"run.finished"')
IN_MEMORY_MOST = 32 * 1024 * 1024
TRIES = 20
CUT = b" ...cut"
FIRST_MOMENT = re.compile(rb'"ts": ?"([0-9T:.+Z-]{19,35})"')
TORN = (OSError, EOFError, zlib.error)  # what unpacking raises for a part that is cut short or damaged

Keep = Callable[[bytes], bool]


class Part:
    """One file of a log, held open, so that a rotation meanwhile takes nothing away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb", buffering=0)

    @property
    def is_packed(self) -> bool:
        """Whether it was compressed after its rotation."""
        return self.path.suffix == ".gz"

    @property
    def place(self) -> tuple[int, int]:
        """The file's device and inode, which a new name leaves as they are."""
        return _place(os.fstat(self.file.fileno()))

    @cached_property
    def head(self) -> bytes:
        """How the text begins. Unlike name and inode it stays what it is through rotation and compression."""
        if not self.is_packed:
            return os.pread(self.file.fileno(), HEAD_MOST, 0)
        return b"".join(self._unpacked(HEAD_MOST))[:HEAD_MOST]

    def lines(self) -> Iterator[bytes]:
        """Every whole line, the oldest first."""
        rest = b""
        for block in self._unpacked() if self.is_packed else self._blocks():
            *lines, rest = (rest + block).split(b"\n")
            yield from map(_cut, lines)
            rest = rest[: LINE_MOST + 1]

    def backwards(self, end: int | None = None) -> Iterator[bytes]:
        """Every whole line, the newest first; of a plain file only up to *end*."""
        if not self.is_packed:
            yield from _backwards(self.file, os.fstat(self.file.fileno()).st_size if end is None else end)
            return
        from tempfile import SpooledTemporaryFile  # only packed parts need it, and it loads much

        with SpooledTemporaryFile(max_size=IN_MEMORY_MOST) as unpacked:
            with suppress(OSError):  # no room for all of it: what fits
                unpacked.writelines(self._unpacked())
            yield from _backwards(unpacked, unpacked.tell())

    def _blocks(self) -> Iterator[bytes]:
        at = 0
        while block := os.pread(self.file.fileno(), BLOCK, at):
            at += len(block)
            yield block

    def _unpacked(self, most: int | None = None) -> Iterator[bytes]:
        """The text in blocks, at least the first *most* bytes; of a torn part as far as it goes."""
        self.file.seek(0)
        got = 0
        with suppress(*TORN), gzip.GzipFile(fileobj=self.file) as packed:
            while (most is None or got < most) and (block := packed.read1(BLOCK)):
                got += len(block)
                yield block


class Parts:
    """All files of a log as they were at one moment: *current*, and what was rotated away, the newest first.

    Their names are `NAME.MOMENT.log` and `NAME.MOMENT.log.gz` (loguru's) or `NAME.log.1` (supervisord's).
    """

    def __init__(self, current: Path) -> None:
        self.current: Part | None = None
        self.rotated: list[Part] = []
        for _ in range(TRIES):  # a rotation between listing and opening shows as another listing
            listed = _listed(current)
            self._open(current, listed)
            if _listed(current) == listed:
                break
            self.close()
        else:
            self._open(current, _listed(current))
        self.rotated = _newest_first(self.rotated)
        # Behind the last line end is a line still being written, or one that a kill tore and the next start cuts off.
        self.end = _last_line_end(self.current) if self.current else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def paths(self) -> list[Path]:
        """Where they were, the newest first."""
        return [part.path for part in self._all()]

    def last_lines(self, most: int, keep: Keep, is_before: Keep = lambda _line: False) -> list[bytes]:
        """The newest *most* lines that are to *keep*, oldest first.

        Looking ends at the first line that *is_before* all that is wanted. A torn part is read as far as it goes.
        """
        found: deque[bytes] = deque()
        for line in self._backwards():
            if len(found) >= most or is_before(line):
                break
            if keep(line):
                found.appendleft(line)
        return [*found]

    def close(self) -> None:
        """Let go of the files."""
        for part in self._all():
            part.file.close()
        self.current, self.rotated = None, []

    def _open(self, current: Path, listed: Iterable[tuple[Path, tuple[int, int]]]) -> None:
        for path, _ in listed:
            with suppress(OSError):
                part = Part(path)
                if path == current:
                    self.current = part
                else:
                    self.rotated.append(part)

    def _all(self) -> list[Part]:
        return [*([self.current] if self.current else []), *self.rotated]

    def _backwards(self) -> Iterator[bytes]:
        for part in self._all():
            with suppress(OSError):
                yield from part.backwards(self.end if part is self.current else None)


def older_than(since: datetime) -> Keep:
    """Whether a line of the scheduler's log is from before the second of *since*; one without a moment is not."""
    start = iso(since)[:19].encode()

    def is_before(line: bytes) -> bool:
        return (at := FIRST_MOMENT.search(line)) is not None and at[1][:19] < start

    return is_before


def last_event(current: Path, names: Collection[str], since: datetime) -> str | None:
    """Which of the events *names* the scheduler's log at *current* told last, from the second of *since* on; or None."""

    def told(line: bytes) -> str | None:
        return next((name for name in names if f'"event":"{name}"'.encode() in line), None)

    with Parts(current) as parts:
        lines = parts.last_lines(1, lambda line: told(line) is not None, older_than(since))
    return told(lines[0]) if lines else None


def highest_run(current: Path, since: datetime | None = None) -> int:
    """The highest number among the newest runs that the scheduler's log at *current* names, from the second of *since* on.

    0 for none. What a run says of itself is passed over: it may say anything.
    """
    is_before = older_than(since) if since else lambda _line: False
    with Parts(current) as parts:
        lines = parts.last_lines(RUNS_LOOKED_AT, lambda line: any(name in line for name in _OF_RUNS), is_before)
    return max(map(_run_of, lines), default=0)


def _run_of(line: bytes) -> int:
    try:
        number = json.loads(line)["run"]
    except (ValueError, KeyError, TypeError):
        return 0
    return number if type(number) is int and number < RUN_MOST else 0


class Follower:
    """The lines that are added to *path* from now on, through any rotations: none twice, none left out.

    *seen* is where they go on from: everything it holds was told already.
    """

    def __init__(self, path: Path, seen: Parts | None = None) -> None:
        self._path = path
        self._file: int | None = None
        with Parts(path) if seen is None else nullcontext(seen) as now:  # theirs stays open
            self._take(now, now.end)

    def __iter__(self) -> Iterator[bytes]:
        """What has been added since the last time, without waiting for more."""
        yield from self._more()
        while self._was_replaced():
            yield from self._more()  # what was written between our reading and the rotation
            with Parts(self._path) as now:
                missed = self._missed(now)
                self._take(now, 0)
                for part in missed:
                    yield from part.lines()
            yield from self._more()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, now: Parts, start: int) -> None:
        """Go on with the current file, from *start*."""
        self.close()
        self._file = os.dup(now.current.file.fileno()) if now.current else None
        self._known = {part.head for part in now.rotated}
        self._ended = self._at = start  # behind the last whole line, and how far was read
        self._rest = b""  # what lies between them

    def _missed(self, now: Parts) -> list[Part]:
        """What came and was rotated away between two looks, the oldest first."""
        ours = b"" if self._file is None else os.pread(self._file, HEAD_MOST, 0)
        return [part for part in reversed(now.rotated) if part.head not in {b"", ours, *self._known}]

    def _more(self) -> Iterator[bytes]:
        if self._file is None:
            return
        size = os.fstat(self._file).st_size
        if size < self._ended:  # emptied under us
            self._ended = 0
        if size < self._at or self._at - self._ended <= LINE_MOST:
            # A begun line is read again each time: a starting scheduler cuts off what a killed one tore, and writes there.
            self._at, self._rest = self._ended, b""
        while block := os.pread(self._file, BLOCK, self._at):
            self._at += len(block)
            *lines, rest = (self._rest + block).split(b"\n")
            if lines:
                self._ended = self._at - len(rest)
            self._rest = rest[: LINE_MOST + 1]
            yield from map(_cut, lines)

    def _was_replaced(self) -> bool:
        """Whether another file has the name now."""
        try:
            there = self._path.stat()
        except OSError:
            return False  # between two names; the next look finds it
        return self._file is None or _place(there) != _place(os.fstat(self._file))


def _listed(current: Path) -> list[tuple[Path, tuple[int, int]]]:
    """The files there are, the newest first as far as names tell, each with its place."""
    folder, stem = current.parent, current.name.removesuffix(".log")
    named = {path.name: path for path in folder.glob(f"{stem}.*.log*") if path.name.endswith((".log", ".log.gz"))}
    # While a part is compressed both are there, and after a kill in the middle they stay: the plain one is whole.
    by_moment = [path for name, path in named.items() if name.removesuffix(".gz") == name or name[:-3] not in named]
    numbered = [path for path in folder.glob(f"{current.name}.*") if re.fullmatch(r"[0-9]{1,4}", path.suffix[1:])]
    rotated = [*sorted(by_moment, key=_stem, reverse=True), *sorted(numbered, key=lambda path: int(path.suffix[1:]))]
    found = []
    for path in (current, *rotated):
        with suppress(OSError):
            if path.is_file():
                found.append((path, _place(path.stat())))
    return found


def _newest_first(rotated: list[Part]) -> list[Part]:
    """By the moments they begin with, where all tell one: names carry local time, which a change of zone turns round."""
    moments = {part.path: FIRST_MOMENT.search(part.head) for part in rotated if not part.path.suffix[1:].isdecimal()}
    if not moments or len(moments) < len(rotated) or not all(moments.values()):
        return rotated
    return sorted(rotated, key=lambda part: (_moment(moments[part.path]), _stem(part.path)), reverse=True)


def _moment(found: re.Match[bytes] | None) -> bytes:
    return found[1] if found else b""


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".log")


def _place(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _last_line_end(part: Part) -> int:
    """The offset just behind the last line end."""
    at = os.fstat(part.file.fileno()).st_size
    while at > 0:
        start = max(at - BLOCK, 0)
        found = os.pread(part.file.fileno(), at - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0


def _backwards(file: IO[bytes], end: int) -> Iterator[bytes]:
    """Lines from the end. What follows the last line end is a line still being written, and is left out."""
    rest, has_ended = b"", False
    while end > 0:
        start = max(end - BLOCK, 0)
        file.seek(start)
        first, *others = (file.read(end - start) + rest).split(b"\n")
        end = start
        if others and not has_ended:
            others.pop()
            has_ended = True
        yield from map(_cut, reversed(others))
        rest = first[: LINE_MOST + 1]  # of a longer line its beginning is kept
    if has_ended:
        yield _cut(rest)


def _cut(line: bytes) -> bytes:
    return line if len(line) <= LINE_MOST else line[:LINE_MOST] + CUT
