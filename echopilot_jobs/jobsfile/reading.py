"""One file of definitions: text becomes tables with places. Nothing here knows what a job is."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import Any

from echopilot_jobs.jobs.params import shown
from echopilot_jobs.jobsfile.documents import Document
from echopilot_jobs.jobsfile.positions import TOO_DEEP, Places, TooMuch, places
from echopilot_jobs.jobsfile.problems import BadJobsFile, Problem
from echopilot_jobs.plain import plain, shorten

BYTES_MOST = 1024 * 1024
JOBS_MOST = 1_000
_MARKS = (
    (b"\xef\xbb\xbf", "UTF-8 with a byte order mark"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_TOO_LONG = re.compile(r"[=\[,\s+-]([0-9][0-9_]{4000,})")
_AT = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")


def read(content: bytes, name: str) -> Document:
    """The tables of a TOML file with the place of every key. Raises `BadJobsFile` for what is no such file."""
    text = _decoded(content, name).replace("\r\n", "\n")
    try:
        found = places(text)
    except TooMuch as error:
        raise BadJobsFile([Problem(str(error), name, *error.place)]) from None
    tables = _parsed(text, name, found)
    jobs = tables.get("jobs")
    if isinstance(jobs, dict) and len(jobs) > JOBS_MOST:
        raise BadJobsFile([Problem(f"came {len(jobs):,} jobs; wanted: at most {JOBS_MOST:,}", name, 1, 1)])
    return Document(name, _as_json(tables), found.of)


def _decoded(content: bytes, name: str) -> str:
    def refuse(message: str, line: int | None = None, column: int | None = None) -> BadJobsFile:
        return BadJobsFile([Problem(message, name, line, column)])

    if len(content) > BYTES_MOST:
        raise refuse(f"came {len(content):,} bytes; wanted: at most {BYTES_MOST:,} (1 MiB)")
    for mark, what in _MARKS:
        if content.startswith(mark):
            raise refuse(f"came {what}; wanted: plain UTF-8; save the file again as UTF-8 without a mark", 1, 1)
    if (zero := content.find(b"\0")) >= 0:
        line, column = content.count(b"\n", 0, zero) + 1, zero - content.rfind(b"\n", 0, zero)
        raise refuse("came a NUL byte; wanted: plain UTF-8 text; save the file again as UTF-8", line, column)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        message = f"came the byte 0x{content[error.start]:02X}, which is not UTF-8; wanted: plain UTF-8 text"
        raise refuse(message, line, column) from None


def _parsed(text: str, name: str, found: Places) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        problem = Problem(TOO_DEEP, name)
    except ValueError as error:  # tomllib's own error, and what int() says of thousands of digits
        if found.twice:
            raise BadJobsFile(_repeated(*each, name=name) for each in found.twice) from None
        problem = _endless_number(text, name) or _syntax(str(error), text, name)
    raise BadJobsFile([problem])


def _repeated(path: tuple[str, ...], first: tuple[int, int], second: tuple[int, int], *, name: str) -> Problem:
    job = path[1] if path[0] == "jobs" and len(path) > 1 else None
    about = ".".join(path[2:]) if job is not None else ".".join(path)
    if job is not None and len(path) == 2:
        message = (
            f"job '{shown(job)}': it is defined twice, first on line {first[0]}; wanted: once; rename or remove one"
        )
    else:
        subject = f"job '{shown(job)}': {shown(about)}" if job is not None else f"'{shown(about)}'"
        message = f"{subject}: it is given twice, first on line {first[0]}; wanted: once; remove one"
    return Problem(message, name, *second, job, about or None)


def _endless_number(text: str, name: str) -> Problem | None:
    """The number that is too long to be read at all: Python's own words for it give no place and speak of Python."""
    if (number := _TOO_LONG.search(text)) is None:
        return None
    line, column = text.count("\n", 0, number.start(1)) + 1, number.start(1) - text.rfind("\n", 0, number.start(1))
    digits = len(number[1].replace("_", ""))
    return Problem(f"came a number of {digits:,} digits; wanted: numbers of a few digits", name, line, column)


def _syntax(said: str, text: str, name: str) -> Problem:
    place = _AT.search(said)
    what = plain(shorten(_AT.sub("", said), 200))
    what = what[:1].lower() + what[1:]
    if place is None:
        return Problem(f"not TOML: {what}; wanted: numbers of a few digits", name)
    lines = text.split("\n")
    line = int(place[1]) if place[1] else max(len(text.removesuffix("\n").split("\n")), 1)
    column = int(place[2]) if place[2] else len(lines[line - 1]) + 1
    return Problem(f"not TOML: {what}; {_hint(lines[line - 1], place[1] is None)}", name, line, column)


def _hint(line: str, is_at_end: bool) -> str:
    if is_at_end:
        return "wanted: a whole file; something that was opened is not closed"
    came = f"came '{shown(line.strip())}'; " if line.strip() else ""
    if re.match(r"\s*[\w.-]+\s*:", line):
        return f"{came}wanted: '=' between a key and its value, not ':'"
    if re.match(r"\s*[\w.-]+\s*=\s*[^\s\"'\[{]*[^\s\"'\[{0-9.+-]", line):
        return f'{came}wanted: texts and times in quotes, as in at = "08:00"'
    return f"{came}wanted: one key = value on a line, or a [table]"


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value
