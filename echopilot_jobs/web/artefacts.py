"""Briefs and reports that runs have written: found by run, served from `logs/` alone, shown in a sandbox."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from echopilot_jobs.artefacts import named
from echopilot_jobs.errors import UnknownName
from echopilot_jobs.runs import Artefact, Run
from echopilot_jobs.web.services import Services

KINDS = {"html": "text/html", "json": "application/json"}
MOST_BYTES = 16 * 1024 * 1024
BLOCK = 64 * 1024
# Whatever the text in a brief tries, it has no scripts, no forms, no origin of its own, and nothing to load (S12).
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def read(services: Services, run: Run, kind: str) -> bytes:
    """The artefact's bytes. Raises `UnknownName` for anything but a regular file below `logs/` (S17)."""
    name = named(run, kind)
    path = name and inside(services.settings.logs_dir, services.settings.home / name, kind)
    content = _read(path) if path else None
    if content is None:
        raise UnknownName(f"run {run.id} of {run.job_name} left no {kind} file; only briefs and reports do")
    return content


def data(services: Services, run: Run) -> Any:
    """The JSON artefact as data; the run's own result where there is none."""
    try:
        return json.loads(read(services, run, "json"))
    except (UnknownName, ValueError, RecursionError):  # away, damaged, or nested beyond reason
        return run.result


def blocks(services: Services, kept: Artefact) -> Iterator[bytes]:
    """The bytes of a kept file, block by block. Raises `UnknownName` for anything but that very file below `logs/` (S17)."""
    path = inside(services.settings.logs_dir, services.settings.home / kept.path)
    descriptor = -1
    if path is not None:
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if descriptor < 0:
        raise UnknownName(f"the file '{kept.name}' is not there any more; it goes with the history of its run")
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_size != kept.bytes:
        os.close(descriptor)
        raise UnknownName(f"the file '{kept.name}' is not the one that was kept any more")
    return _streamed(descriptor)


def _streamed(descriptor: int) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb") as file:
        yield from iter(lambda: file.read(BLOCK), b"")


def inside(root: Path, path: Path, kind: str | None = None) -> Path | None:
    """*path* with its links followed, if it then still lies below *root* and ends in *kind*, if any; else None."""
    try:
        real, home = path.resolve(strict=True), root.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # missing, a NUL inside, a loop of links
        return None
    return real if real.is_relative_to(home) and (kind is None or real.suffix == f".{kind}") else None


def _read(path: Path) -> bytes | None:
    """The bytes of a regular file; None for a link, FIFO, device or giant that took its place meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not _is_plain(os.fstat(descriptor)):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MOST_BYTES)
    finally:
        os.close(descriptor)


def _is_plain(facts: os.stat_result) -> bool:
    """Whether it is a regular file of one name only: a second name could lie outside of `logs/`."""
    return stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1 and facts.st_size <= MOST_BYTES
