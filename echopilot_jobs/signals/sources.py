"""The files a glob names, opened with care and read from the end within bounds.

A file is never trusted to be one: what is no regular file is not opened, what is big is read from its end, what is
compressed is unpacked up to a limit, and whatever went wrong is a sentence in the brief.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from glob import iglob
from itertools import islice
from pathlib import Path

from echopilot_jobs.records import record

MIB = 1024 * 1024
WINDOW_MOST = 16 * MIB  # of one file
TOTAL_MOST = 64 * MIB  # of all files together
WINDOW_LEAST = 256 * 1024
UNPACKED_MOST = 4 * WINDOW_MOST
FILES_MOST = 200
FOLDERS_MOST = 5_000


class Unreadable(Exception):
    """Why a file gives no text: a short clause for the brief."""


@record(frozen=True)
class Found:
    """What the globs name: the files in order, and a sentence for every glob or file that gave nothing."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...]


@record(frozen=True)
class Window:
    """The part of a file that was read. `size` is the file's, `read` how many (unpacked) bytes were looked at."""

    text: str
    size: int
    read: int
    partial: bool
    notes: tuple[str, ...] = ()


def find(patterns: Sequence[str], home: Path) -> Found:
    """The files named by *patterns* (relative to *home*), each once, sorted, at most `FILES_MOST`; never raises."""
    paths: dict[str, Path] = {}
    notes: list[str] = []
    for pattern in patterns:
        hits = sorted(islice(_expand(home, pattern), FILES_MOST * 10))
        if not hits:
            notes.append(f"'{pattern}' matches no file")
        paths |= {str(path): path for path in hits}
    chosen = sorted(paths.values())
    if len(chosen) > FILES_MOST:
        notes.append(f"{len(chosen) - FILES_MOST:,} more files match and were not read; at most {FILES_MOST} are")
    return Found(tuple(chosen[:FILES_MOST]), tuple(notes))


def _expand(root: Path, pattern: str) -> Iterator[Path]:
    """Like `glob`, but `**` does not walk through links: two that point upwards would keep it busy for ever."""
    head, stars, tail = pattern.partition("**/")
    if "\0" in pattern:
        return
    if not stars:
        yield from (root / name for name in iglob(pattern, root_dir=root))  # noqa: PTH207 - Path.glob takes no absolute pattern
        return
    for base in iglob(head, root_dir=root) if head else ("",):  # noqa: PTH207 - as above
        for folder, _, _ in islice(os.walk(root / base), FOLDERS_MOST):
            yield from _expand(Path(folder), tail or "*")


def window_for(files: int) -> int:
    """How many bytes of each file may be read when there are so many."""
    return max(WINDOW_LEAST, min(WINDOW_MOST, TOTAL_MOST // max(files, 1)))


def identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of *path*, None when there is nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def read(path: Path, limit: int = WINDOW_MOST, never: frozenset[tuple[int, int]] = frozenset()) -> Window:
    """The text of the last *limit* bytes of *path*. Raises `Unreadable` with the reason.

    *never* holds the identities of files that must not be opened: an open and close of the ledger drops its locks.
    """
    try:
        _must_be_regular(path.stat(), never)
        # Between the two looks a pipe may have taken the name: non-blocking, and looked at again once open.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            _must_be_regular(found, never)
            return _window(file, found.st_size, limit)
    except (OSError, ValueError) as error:
        raise Unreadable(_why(error)) from None


def _must_be_regular(found: os.stat_result, never: frozenset[tuple[int, int]]) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise Unreadable("is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        kind = next((word for test, word in _KINDS if test(found.st_mode)), "special file")
        raise Unreadable(f"is a {kind}, not a regular file; it was not opened")
    if (found.st_dev, found.st_ino) in never:
        raise Unreadable("belongs to the ledger, which is read through SQLite only")


_KINDS = (
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "character device"),
    (stat.S_ISBLK, "block device"),
)


def _why(error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "is gone: rotated or removed between listing and reading, or a link to nothing"
        case PermissionError():
            return f"may not be read by uid {os.getuid()}"
        case OSError():
            return f"cannot be read: {error.strerror or error}"
    return f"cannot be read: {error}"


def _window(file: io.RawIOBase, size: int, limit: int) -> Window:
    start = max(0, size - limit)
    head = _exactly(file, 4)
    if head[:2] == b"\x1f\x8b":
        return _decoded(*_unpack(file, limit), size=size)
    if head.startswith((b"PK", b"BZh", b"\x28\xb5\x2f\xfd", b"\xfd7zX")):
        raise Unreadable("is an archive or compressed in a way that is not read; gzip is")
    wide = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(head[:2])
    start += start % 2 if wide else 0
    file.seek(start)
    content = _exactly(file, size - start)
    return _decoded(content, start > 0, (), size=size, wide=wide)


def _exactly(file: io.RawIOBase, count: int) -> bytes:
    """Up to *count* bytes; fewer when the file ends (it may shrink while we read)."""
    parts = []
    while count > 0 and (part := file.read(min(count, MIB))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _unpack(file: io.RawIOBase, limit: int) -> tuple[bytes, bool, tuple[str, ...]]:
    """The last *limit* bytes of what a gzip file holds, unpacking no more than `UNPACKED_MOST`."""
    file.seek(0)
    kept, total, notes = b"", 0, []
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as packed:
            while total < UNPACKED_MOST and (part := packed.read1(MIB)):
                total += len(part)
                kept = (kept + part)[-limit:]
            if total >= UNPACKED_MOST:
                notes.append(f"only the first {UNPACKED_MOST // MIB} MiB were unpacked")
    except (OSError, EOFError, zlib.error) as error:
        notes.append(f"the gzip data are damaged after {total:,} bytes ({error})")
    return kept, total > len(kept), tuple(notes)


def _decoded(content: bytes, partial: bool, notes: tuple[str, ...], *, size: int, wide: str | None = None) -> Window:
    said, read = list(notes), len(content)
    whole_line = content.startswith(b"\0")  # behind a hole a line begins
    if not wide and (holes := content.count(0)):
        content = content.replace(b"\0", b"")
        said.append(f"{holes:,} zero bytes were passed over (a hole left by a crash or by truncation)")
    if not wide and _looks_binary(content):
        raise Unreadable("is binary, not text")
    text = content.decode(wide or "utf-8", "replace")
    if partial:  # the first line is most likely the end of one that began before the window
        text = text if whole_line else text[text.find("\n") + 1 :]
        if read < size:
            said.append(f"read from the end: the last {mib(read)} of {mib(size)}")
        else:
            said.append(f"only the last {mib(read)} of what was unpacked were looked at")
    return Window(text, size, read, partial, tuple(said))


def _looks_binary(content: bytes) -> bool:
    """Whether one byte in ten of a sample is a control character or no UTF-8."""
    sample = content[:32_768] + content[-32_768:]
    if not sample:
        return False
    odd = len(re.findall(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", sample))
    odd += sample.decode("utf-8", "replace").count("\ufffd")
    return odd * 10 > len(sample)


def mib(size: int) -> str:
    """`812 bytes`, `94 KiB`, `16.0 MiB`, `1.0 GiB`."""
    for unit, name in ((1024 * MIB, "GiB"), (MIB, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1024:.0f} KiB" if size >= 4096 else f"{size:,} bytes"


_ROTATED = re.compile(
    r"([._-]\d{4}-?\d{2}-?\d{2}([T_-]?\d{2}[-:]?\d{2}([-:]?\d{2})?)?([._-]\d+)?(?=\.|$))|(\.(gz|\d{1,3})$)",
    re.IGNORECASE,
)


def family(path: Path) -> str:
    """The path without the marks of log rotation: `up.ndjson.1.gz` and `up.2025-11-01.ndjson` belong to `up.ndjson`."""
    name, before = path.name, ""
    while name != before:
        before, name = name, _ROTATED.sub("", name)
    return str(path.with_name(name or path.name))
