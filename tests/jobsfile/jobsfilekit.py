"""Jobs files in tests: read and composed over the built-ins, or over nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import pytest

from echopilot_jobs.jobs import Job
from echopilot_jobs.jobsfile import BadJobsFile, Composed, Document, Problem, compose, read
from echopilot_jobs.plain import plain

NOTHING = Document("built-in")
BUILT_IN = read(b'[jobs.heartbeat]\nevery = "60s"\nduty = "tick"\non_startup = true\n', "built-in")


def composed(
    text: str | bytes,
    *,
    over: Document = NOTHING,
    code: Sequence[Document] = (),
    environ: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Composed:
    """What the text of a jobs file comes to."""
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return compose(over, read(content, "jobs.toml"), code, environ=environ or {}, now=now)


def only(text: str) -> Job:
    """The one job of a file."""
    (job,) = composed(text).registry.values()
    return job


def refused(text: str | bytes, *, over: Document = NOTHING, code: Sequence[Document] = ()) -> tuple[Problem, ...]:
    """What is said against the text. Nothing but a `BadJobsFile` may come of it."""
    with pytest.raises(BadJobsFile) as caught:
        composed(text, over=over, code=code)
    error = caught.value
    assert (error.exit_code, error.status) == (2, 422)
    assert error.problems == tuple(str(problem) for problem in error.found)
    return error.found


def is_one_line(text: str) -> bool:
    """Whether nothing in *text* can move a cursor, hide or begin another line."""
    return plain(text) == text


def composes(document: Document) -> bool:
    """Whether jobs come of the document; else that is said, in lines, and nothing else ever happens."""
    try:
        compose(BUILT_IN, document, environ={})
    except BadJobsFile as error:
        _check(error)
        return False
    return True


def is_read(content: bytes) -> bool:
    """The same of bytes."""
    try:
        document = read(content, "jobs.toml")
    except BadJobsFile as error:
        _check(error)
        return False
    return composes(document)


def _check(error: BadJobsFile) -> None:
    assert error.found
    assert all(is_one_line(line) and len(line) < 1_500 for line in error.problems)


def warned(text: str, environ: Mapping[str, str] | None = None, now: datetime | None = None) -> list[str]:
    """The warnings about the text, as lines."""
    return [str(warning) for warning in composed(text, environ=environ, now=now).warnings]
