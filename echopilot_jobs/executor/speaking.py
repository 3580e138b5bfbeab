"""How a run in its child speaks: every word one line of the report, files copied whole before they are told of."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import stat
import sys
import threading
from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import SystemClock, iso
from echopilot_jobs.context import line_of
from echopilot_jobs.executor.report import (
    ARTEFACT_MOST_BYTES,
    ARTEFACT_NAME,
    ARTEFACTS_MOST,
    FIELDS_MOST,
    LINE_MOST_BYTES,
    RESULT_MOST_BYTES,
    TEXT_MOST,
)
from echopilot_jobs.runs import Artefact

PROGRESS_EVERY_SECONDS = 0.2
COPY_AT_ONCE = 1024 * 1024


class Speaker:
    """The voice of a run in its child process. Keeps the promises of `context.Voice`; used from any thread.

    Files are kept in *folder*, told of relative to *home*. A report nobody reads is no trouble of the run.
    """

    def __init__(self, descriptor: int, folder: Path, home: Path) -> None:
        self._descriptor = descriptor
        self._folder = folder
        self._home = home
        self._clock = SystemClock()
        self._guard = threading.RLock()
        self._born_as = os.getpid()
        self._progress_at = -math.inf
        self._progress_held: dict[str, Any] | None = None
        self._names: set[str] = set()

    def say(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        fields = {str(key): _simple(value) for key, value in [*fields.items()][:FIELDS_MOST]}
        with contextlib.suppress(OSError, ValueError):  # a job may have closed its own output
            print(line_of(level, message, fields), file=sys.stderr, flush=True)  # noqa: T201  # into the run's output
        line = _line("said", {"level": level, "message": message[:TEXT_MOST], "fields": fields})
        if len(line) > LINE_MOST_BYTES:
            line = _line("said", {"level": level, "message": message[:TEXT_MOST], "fields": {"fields_cut": len(line)}})
        self._write(line)

    def progress(self, done: float, total: float | None, note: str) -> None:
        """At most five lines a second; the newest is never lost, it goes out before the answer."""
        with self._guard:
            self._progress_held = {"done": done, "total": total, "note": str(note)[:200]}
            if self._clock.monotonic() - self._progress_at >= PROGRESS_EVERY_SECONDS:
                self._tell_progress()

    def keep(self, path: str, name: str | None) -> Artefact:
        with self._guard:
            name = name_to_keep(path, name, self._names)
            kept = copy_whole(path, self._folder / name, self._home)
            self._names.add(name)
            self._write(_line("artefact", {**kept.__dict__}))
        return kept

    def answer(self, facts: Mapping[str, Any]) -> None:
        """How it ended. Said once, and not by a fork of the job that comes back here."""
        if os.getpid() == self._born_as:
            with self._guard:
                self._tell_progress()
                self._write(_line("answer", facts))

    def _tell_progress(self) -> None:
        held, self._progress_held = self._progress_held, None
        if held is not None:
            self._progress_at = self._clock.monotonic()
            with contextlib.suppress(TypeError, ValueError):  # what is no number cannot be shown as progress
                self._write(_line("progress", held))

    def _write(self, line: bytes) -> None:
        with self._guard, contextlib.suppress(OSError):
            left = memoryview(line)
            while left:
                left = left[os.write(self._descriptor, left) :]


def _line(kind: str, facts: Mapping[str, Any]) -> bytes:
    return json.dumps({kind: facts}, separators=(",", ":")).encode("ascii") + b"\n"


def _simple(value: object) -> Any:
    """A field as JSON holds it: numbers, truth, text; anything else as its text."""
    if isinstance(value, datetime):
        return iso(value) if value.tzinfo else value.isoformat()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    try:
        return str(value)[:TEXT_MOST]
    except Exception as error:  # a field's own text may fail; the line is said all the same
        return f"unreadable: {type(error).__name__}"


def checked(result: Any) -> Any:
    """*result* as JSON can keep it, or an error that says why it cannot."""
    try:
        size = len(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"the job returned what JSON cannot keep: {error}") from None
    if size > RESULT_MOST_BYTES:
        raise ValueError(
            f"the job returned {size:,} bytes; allowed: {RESULT_MOST_BYTES:,}; keep it as a file with ctx.artifact(path)"
        )
    return result


def name_to_keep(path: str, name: str | None, kept: Collection[str]) -> str:
    """What the artefact *path* is called beside those a run has *kept*. Raises `ValueError` with what is wanted."""
    name = Path(path).name if name is None else name
    if not re.fullmatch(ARTEFACT_NAME, name):
        raise ValueError(
            f"an artefact named {name[:80]!r}; wanted: letters, digits, spaces and '._+()=,@-', at most 120, "
            "for example ctx.artifact(path, name='report.csv')"
        )
    if name not in kept and len(kept) >= ARTEFACTS_MOST:
        raise ValueError(f"artefact {name!r} is one too many; allowed: {ARTEFACTS_MOST} a run")
    return name


def copy_whole(source: str, target: Path, home: Path) -> Artefact:
    """Copy *source* to *target* so that it is there whole and durable, or not at all (I23)."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"'{source}' is a link; wanted: the file itself") from None
        raise
    try:
        _check(os.fstat(descriptor), source)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = target.parent / f".{target.name}.{os.getpid()}.draft"
        try:
            size, digest = _pour(descriptor, draft, source)
            draft.rename(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    finally:
        os.close(descriptor)
    for folder in takewhile(lambda folder: folder != home.parent, target.parents):
        _sync(folder)  # each of them may be new
    return Artefact(target.name, target.relative_to(home).as_posix(), size, digest)


def _check(facts: os.stat_result, source: str) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError(f"'{source}' is no regular file; wanted: a file of at most {ARTEFACT_MOST_BYTES:,} bytes")
    if facts.st_size > ARTEFACT_MOST_BYTES:
        raise ValueError(f"'{source}' has {facts.st_size:,} bytes; allowed: {ARTEFACT_MOST_BYTES:,}")


def _pour(source: int, draft: Path, name: str) -> tuple[int, str]:
    """Write what *source* holds now to *draft*; its size and SHA-256."""
    import hashlib  # here, because OpenSSL's pages would make every child of the server dearer

    digest, size = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, 0o600), "wb", buffering=0) as file:
        while data := os.read(source, COPY_AT_ONCE):
            size += len(data)
            if size > ARTEFACT_MOST_BYTES:
                raise ValueError(f"'{name}' grew beyond {ARTEFACT_MOST_BYTES:,} bytes while it was copied")
            digest.update(data)
            _write_all(file.fileno(), data)
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
