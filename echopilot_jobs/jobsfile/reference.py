"""The reference of the jobs file, written from its tables: `python -m echopilot_jobs.jobsfile.reference > docs/jobs.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from datetime import timedelta
from typing import Any

from echopilot_jobs.jobsfile.tables import FileTable, HttpTable, JobTable, ParamTable
from echopilot_jobs.spans import span

SECTIONS = {
    "When it runs": ("every", "at", "cron", "manual", "timezone", "until", "jitter", "on_startup", "enabled"),
    "What it does": ("run", "command", "shell", "http", "env", "cwd", "params"),
    "How long, how often, what if not": (
        "timeout",
        "retries",
        "retry_on",
        "catch_up",
        "catch_up_window",
        "overlap",
        "group",
        "priority",
        "idempotent",
    ),
    "For people": ("description", "tags", "on_failure", "on_recovery", "ping"),
}

HEAD = """\
# jobs.toml: every key

<!-- Written from the tables in echopilot_jobs/jobsfile/tables.py; make it anew with
     python -m echopilot_jobs.jobsfile.reference > docs/jobs.md -->

Your jobs stand in `jobs.toml` in the project's folder: UTF-8, at most 1 MiB and 1,000 jobs. With `ECHOPILOT_HOME` set, that
folder is meant wherever this page says "the project's folder". Every job is a table `[jobs.NAME]`; a name has a-z, 0-9, `-`
and `_`, at most 64, not beginning with `-` or `_`. A file that has a mistake is not taken over: the jobs in force stay, and
every mistake is told with its line, what came and what is wanted.

```toml
[jobs.nightly_export]
cron = "15 2 * * 1-5"
timezone = "Europe/Riga"
run = "myapp.exports:nightly"
timeout = "20m"
retries = 3
```

A length of time is a number with its unit: `90s`, `15m`, `6h`, `2d`, `1h30m`. Values that name a time or a length are in
quotes. A job needs one of `every`, `cron` and `manual`, and one of `run`, `command` and `http`.
"""

TAIL = """\
## Jobs that are there already

A table named like a built-in job, or like a job in code, is laid over it: `[jobs.ceo_brief]` with `at = "07:30"` moves the
brief, `enabled = false` rests it. A key replaces its like. Another `every`, `cron` or `manual` replaces the whole schedule
(`at`, `timezone`, `until` and `jitter` too), and another `run`, `command` or `http` the whole action.

## Secrets

`${NAME}` in `env`, in an http job's `headers`, `json` and `body`, and in `ping` is filled from the scheduler's environment
when the run starts. What is kept and shown is the placeholder. A value written out that looks like a key is refused, and the
message does not repeat it.

What was filled in comes out as `[NAME]` wherever the run repeats it: output, log, progress, result, error, the name of a kept
file. Also each line of a value of several lines, and what JSON, a URL, base64 or hex make of it. A value of fewer than eight
characters is not hidden, and neither is what is inside a kept file.
"""


def reference() -> str:
    """The whole document."""
    parts = [HEAD, "## The file\n", *_rows(FileTable)]
    for title, keys in SECTIONS.items():
        parts += [f"## {title}\n", *_rows(JobTable, keys)]
    parts += [
        "## `http`: one request\n",
        *_rows(HttpTable),
        "## `params.NAME`: one parameter\n",
        *_rows(ParamTable),
        TAIL,
    ]
    return "\n".join(parts)


def keys_by_name(model: type[Any]) -> dict[str, Field[Any]]:
    """The keys of a table, in its order."""
    return {one.name: one for one in fields(model)}


def _rows(model: type[Any], names: tuple[str, ...] = ()) -> Iterator[str]:
    known = keys_by_name(model)
    for name in names or known:
        about = known[name].metadata
        yield f"### `{name}`\n"
        yield f"{about['meaning']}\n"
        yield f"*{about['kind']}*, default: {_default(known[name])}\n"
        yield f"```toml\n{about['example']}\n```\n"


def _default(key: Field[Any]) -> str:
    words: str = key.metadata["default_words"]
    if words:
        return words
    value = key.default if key.default is not MISSING else None
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, timedelta):
        return span(value) if value else "none"
    if value in (None, "", ()):
        return "none"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
