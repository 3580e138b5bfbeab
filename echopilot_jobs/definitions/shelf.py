"""`var/jobs.accepted.json`: the last good set of definitions, and the newest one that was refused.

Placeholders stand in it as they were written; no secret is ever filled in here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import iso
from echopilot_jobs.disk import read_whole
from echopilot_jobs.jobsfile.documents import Document
from echopilot_jobs.jobsfile.problems import Problem
from echopilot_jobs.ledger.durable import write_whole
from echopilot_jobs.records import record
from echopilot_jobs.settings import Settings

FORMAT = 1


@record(frozen=True)
class Accepted:
    """The last good set: the file's *document*, the jobs of its modules, and which `${NAME}` could be filled then.

    *digest* is that of the file; None when there was none.
    """

    digest: str | None
    at: datetime
    document: Document | None = None
    code: tuple[Document, ...] = ()
    names: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def says_the_same(self, other: Accepted | None) -> bool:
        """Whether *other* defines the very same, whenever it was accepted."""
        if other is None:
            return False
        return (self.digest, self.document, self.code) == (other.digest, other.document, other.code)


@record(frozen=True)
class Refused:
    """The newest file that did not come into force, and why."""

    digest: str | None
    at: datetime
    problems: tuple[Problem, ...]


@record(frozen=True)
class Shelf:
    """What is kept. A refusal goes when the next set is accepted."""

    accepted: Accepted | None = None
    refused: Refused | None = None


def path_of(settings: Settings) -> Path:
    """Where the shelf of this folder is."""
    return settings.var_dir / "jobs.accepted.json"


def read_shelf(path: Path) -> Shelf:
    """What is kept at *path*; an empty shelf for a file that is missing, damaged or of another release."""
    try:
        kept = json.loads(read_whole(path))
        body = kept["body"]
        if kept["format"] != FORMAT or kept["sha256"] != _sum(body):
            return Shelf()
        accepted, refused = body["accepted"], body["refused"]
        return Shelf(
            None if accepted is None else _accepted(accepted),
            None if refused is None else Refused(refused["digest"], _moment(refused), _problems(refused["problems"])),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Shelf()


def write_shelf(path: Path, shelf: Shelf) -> None:
    """Keep *shelf*, whole or not at all. Raises `OSError`."""
    accepted, refused = shelf.accepted, shelf.refused
    body = {
        "accepted": None if accepted is None else _accepted_json(accepted),
        "refused": None if refused is None else {**_head(refused), "problems": [p.as_dict() for p in refused.problems]},
    }
    kept = {"format": FORMAT, "sha256": _sum(body), "body": body}
    write_whole(path, json.dumps(kept, ensure_ascii=True).encode("ascii"))


def _sum(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _head(kept: Accepted | Refused) -> dict[str, Any]:
    return {"digest": kept.digest, "at": iso(kept.at)}


def defined_json(accepted: Accepted | None) -> dict[str, Any]:
    """What *accepted* defines, whenever that was, as plain JSON."""
    document = None if accepted is None else accepted.document
    return {
        "document": None if document is None else _document_json(document),
        "code": [_document_json(each) for each in (accepted.code if accepted is not None else ())],
    }


def _accepted_json(accepted: Accepted) -> dict[str, Any]:
    return {
        **_head(accepted),
        **defined_json(accepted),
        "names": list(accepted.names),
        "warnings": [each.as_dict() for each in accepted.warnings],
    }


def _document_json(document: Document) -> dict[str, Any]:
    places = [[list(path), *place] for path, place in document.places.items()]
    return {"name": document.name, "tables": document.tables, "places": places}


def _accepted(kept: Mapping[str, Any]) -> Accepted:
    document = kept["document"]
    return Accepted(
        kept["digest"],
        _moment(kept),
        None if document is None else _document(document),
        tuple(_document(each) for each in kept["code"]),
        tuple(kept["names"]),
        _problems(kept["warnings"]),
    )


def _moment(kept: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(kept["at"])


def _document(kept: Mapping[str, Any]) -> Document:
    return Document(
        kept["name"], kept["tables"], {tuple(path): (line, column) for path, line, column in kept["places"]}
    )


def _problems(kept: Sequence[Mapping[str, Any]]) -> tuple[Problem, ...]:
    return tuple(Problem(**each) for each in kept)
