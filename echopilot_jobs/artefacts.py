"""A JSON file and the page a person reads, written so that both are there or neither (I23).

The rule readers rely on: list by `*.json`. The page is renamed into place first and the JSON last, so whoever finds a JSON
finds its page. A crash between the two renames leaves the JSON's draft behind; the next writer takes such a page away again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.records import record
from echopilot_jobs.runs import Run

STEM_RULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
DRAFT_RULE = re.compile(r"\.([A-Za-z0-9][A-Za-z0-9_-]{0,110})\.(json|html)\.draft")


class ArtefactFailed(EchoPilotError):
    """A pair could not be written; nothing of it is visible."""

    status = 507


@record(frozen=True)
class Pair:
    """What was written; `sha256` (hex) and `bytes` are those of the JSON file."""

    json_path: Path
    html_path: Path
    sha256: str
    bytes: int


def write_pair(folder: Path, stem: str, data: Mapping[str, Any], html: str) -> Pair:
    """Write `STEM.json` and `STEM.html` into *folder*, whole and durable, or raise `ArtefactFailed` and leave nothing.

    The folder is made when missing (0700), the files are 0600. A stem that is taken gets `_2`, `_3` and so on. Drafts and
    pages without their JSON that a crash left behind are swept first.
    """
    if not STEM_RULE.fullmatch(stem):
        raise ValueError(f"stem '{stem}'; letters, digits, '_' and '-' are allowed")
    page = html.encode("utf-8", "backslashreplace")
    facts = (json.dumps(data, indent=2, allow_nan=False) + "\n").encode("ascii")
    try:
        _make_private(folder)
        with _alone_in(folder) as descriptor:
            sweep(folder)
            return _write(folder, descriptor, free_stem(folder, stem), facts, page)
    except OSError as error:
        why = error.strerror or str(error)
        raise ArtefactFailed(
            f"'{stem}' could not be written to '{folder}': {why}; nothing of it was kept, free space or fix the folder"
        ) from error


def named(run: Run, kind: str) -> str | None:
    """The path, relative to the home, that *run* says its `json` or `html` has; None where it made no such pair."""
    result = run.result if isinstance(run.result, dict) else {}
    path = result.get(f"{kind}_path")
    return path if isinstance(path, str) and path else None


def free_stem(folder: Path, stem: str) -> str:
    """*stem*, or the first of `STEM_2`, `STEM_3`… that neither a JSON nor a page in *folder* has."""
    names = (stem if n == 1 else f"{stem}_{n}" for n in count(1))
    return next(
        name for name in names if not any(os.path.lexists(folder / f"{name}{suffix}") for suffix in (".json", ".html"))
    )


def sweep(folder: Path) -> list[str]:
    """Remove what writers that died left in *folder*; the names removed. Only for the one who holds the folder's lock."""
    removed = []
    for draft in sorted(folder.glob(".*.draft")):
        if not (match := DRAFT_RULE.fullmatch(draft.name)):
            continue
        page = folder / f"{match[1]}.html"
        # The JSON's draft still here and its page already in place: the crash fell between the two renames.
        if match[2] == "json" and page.exists() and not (folder / f"{match[1]}.json").exists():
            removed.append(_remove(page))
        removed.append(_remove(draft))
    return removed


def discard(home: Path, path: str) -> None:
    """Remove everything kept for the run that *path*, a file of it relative to *home*, belongs to."""
    logs, kept, job, run, *rest = (*Path(path).parts, *[""] * 5)
    if (logs, kept) != ("logs", "artefacts") or ".." in (job, run, *rest) or not rest[0]:
        return  # nothing we kept
    folder = home / logs / kept / job
    shutil.rmtree(folder / run, ignore_errors=True)
    with suppress(OSError):  # other runs of the job are still kept there
        folder.rmdir()


def _write(folder: Path, descriptor: int, stem: str, facts: bytes, page: bytes) -> Pair:
    drafts = {suffix: folder / f".{stem}.{suffix}.draft" for suffix in ("json", "html")}
    finals = {suffix: folder / f"{stem}.{suffix}" for suffix in drafts}
    try:
        _put(drafts["json"], facts)
        _put(drafts["html"], page)
        os.fsync(descriptor)  # the JSON's draft is what tells a later sweep that the page is half of a pair
        for suffix in ("html", "json"):
            drafts[suffix].rename(finals[suffix])
            os.fsync(descriptor)
    except BaseException:  # an interrupt leaves no half pair either
        for path in (finals["json"], finals["html"], *drafts.values()):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise
    return Pair(finals["json"], finals["html"], hashlib.sha256(facts).hexdigest(), len(facts))


def _put(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _remove(path: Path) -> str:
    path.unlink(missing_ok=True)
    return path.name


def _make_private(folder: Path) -> None:
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[int]:
    """The folder's descriptor, locked: names are chosen and leftovers judged by one writer at a time."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # let go by the kernel when the holder dies
        yield descriptor
    finally:
        os.close(descriptor)
