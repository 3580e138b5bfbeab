"""Log files read as one: rotated and compressed parts in their true order, from the end, and on as they grow.

Only what is asked for is held: a file of a gigabyte is read backwards in blocks, a line of a megabyte is cut.
"""

from __future__ import annotations

import gzip
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

BLOCK = 64 * 1024
LINE_MOST = 256 * 1024
CUT = b" ...cut"
GZIP_ERRORS = (OSError, EOFError, gzip.BadGzipFile)

Keep = Callable[[bytes], bool]


def parts(current: Path) -> list[Path]:
    """All files of a log, the newest first: *current*, `NAME.MOMENT.log.gz` (loguru's) and `NAME.log.1` (supervisord's)."""
    folder, stem = current.parent, current.name.removesuffix(".log")
    by_moment = sorted(folder.glob(f"{stem}.*.log*"), reverse=True)  # their names carry the moment of their rotation
    numbered = [path for path in folder.glob(f"{current.name}.*") if re.fullmatch(r"[0-9]{1,4}", path.suffix[1:])]
    rotated = [*by_moment, *sorted(numbered, key=lambda path: int(path.suffix[1:]))]
    return [path for path in (current, *rotated) if path.is_file()]


def last_lines(files: list[Path], most: int, keep: Keep, is_before: Keep = lambda _line: False) -> list[bytes]:
    """The newest *most* lines of *files* (the newest first) that are to *keep*, oldest first.

    Looking ends at the first line that *is_before* all that is wanted. A part that cannot be read to its end is left there.
    """
    found: deque[bytes] = deque()
    for path in files:
        for line in _backwards(path):
            if len(found) >= most or is_before(line):
                return [*found]
            if keep(line):
                found.appendleft(line)
    return [*found]


def _backwards(path: Path) -> Iterator[bytes]:
    if path.suffix == ".gz":
        yield from _unpacked_backwards(path)
        return
    try:
        with path.open("rb") as file:
            yield from _blocks_backwards(file.fileno(), os.fstat(file.fileno()).st_size)
    except OSError:
        return


def _unpacked_backwards(path: Path) -> Iterator[bytes]:
    """A compressed part has to be read from its beginning; rotation keeps it to a few megabytes."""
    lines: list[bytes] = []
    try:
        with gzip.open(path) as file:
            lines.extend(_cut(line.removesuffix(b"\n")) for line in iter(lambda: file.readline(LINE_MOST), b""))
    except GZIP_ERRORS:
        pass  # torn: what could be read is all there is
    yield from reversed(lines)


def _blocks_backwards(descriptor: int, end: int) -> Iterator[bytes]:
    """Lines from the end. What follows the last line end is a line still being written, and is left out."""
    rest, has_ended = b"", False
    while end > 0:
        start = max(end - BLOCK, 0)
        first, *others = (os.pread(descriptor, end - start, start) + rest).split(b"\n")
        end = start
        if others and not has_ended:
            others.pop()
            has_ended = True
        yield from map(_cut, reversed(others))
        rest = first[:LINE_MOST]  # of a longer line its beginning is kept
    if has_ended:
        yield _cut(rest)


def _cut(line: bytes) -> bytes:
    return line if len(line) <= LINE_MOST else line[:LINE_MOST] + CUT


class Follower:
    """The lines that are added to *path* from now on, through any rotation: none twice, none left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._file = self._opened(at_end=True)

    def __iter__(self) -> Iterator[bytes]:
        """What has been added since the last time, without waiting for more."""
        while True:
            yield from self._more()
            if not self._was_replaced():
                return
            yield from self._more()  # what was written between our reading and the rotation
            self.close()
            self._rest = b""
            self._file = self._opened(at_end=False)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self, *, at_end: bool) -> int | None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        os.lseek(descriptor, 0, os.SEEK_END if at_end else os.SEEK_SET)
        return descriptor

    def _more(self) -> Iterator[bytes]:
        while self._file is not None and (data := os.read(self._file, BLOCK)):
            *lines, rest = (self._rest + data).split(b"\n")
            self._rest = rest[:LINE_MOST]
            yield from map(_cut, lines)

    def _was_replaced(self) -> bool:
        """Whether another file has the name now, or the file was emptied under us."""
        try:
            there = self._path.stat()
        except OSError:
            return False  # between two names; the next look finds it
        if self._file is None:
            return True
        here = os.fstat(self._file)
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            return True
        if there.st_size < os.lseek(self._file, 0, os.SEEK_CUR):
            os.lseek(self._file, 0, os.SEEK_SET)
            self._rest = b""
        return False
