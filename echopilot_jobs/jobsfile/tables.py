"""The tables of a jobs file: every key with its meaning, its kind, its default and an example.

These models are what a file is held against and what the reference is written from.
"""

# ruff: noqa: RUF009  # `key` makes a `dataclasses.field`

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from echopilot_jobs.jobs.job import PRIORITY_MOST, CatchUp
from echopilot_jobs.jobs.params import READERS, ParamType
from echopilot_jobs.jobsfile import doing, request, when
from echopilot_jobs.jobsfile.keys import key
from echopilot_jobs.jobsfile.words import length, name, one_of, several, table, tag, text, whole, yes_or_no

RETRIES_MOST = 100
TIMEOUT_MOST = timedelta(days=30)
WORDS = ("latest", "all", "none")


@dataclass(frozen=True)
class JobTable:
    """`[jobs.NAME]`: one job."""

    every: when.Rhythm | None = key(
        when.every,
        None,
        "length, range or days",
        "How often. A length counts time as it passes, from the UTC epoch (`6h` is 00:00, 06:00, 12:00, 18:00 UTC); "
        "`5m to 10m` is irregular; `day`, `2 days`, `weekday`, `weekend`, `monday, friday` or a list of days are on the "
        "calendar of `timezone`, at the time `at`.",
        'every = "weekday"',
    )
    at: time | None = key(
        when.at,
        None,
        "time of day",
        "When on the days of `every`: `HH:MM` or `HH:MM:SS`. For more times than one a day use `cron`.",
        'at = "09:30"',
        default_words="midnight",
    )
    cron: str | None = key(
        when.cron,
        None,
        "five fields",
        "A cron expression, or `@daily` and the like: minute, hour, day of month, month, day of week. "
        "`L`, `LW` and `FRI#2` are understood. Where both a day of month and a day of week are given, a day that fits one of "
        "them is enough, as in cron: `0 9 1 * MON` is the first of every month and every Monday; for the first Monday write "
        "`0 9 * * MON#1`.",
        'cron = "15 2 * * 1-5"',
    )
    manual: bool = key(
        yes_or_no,
        False,
        "true or false",
        "Only by hand, or at start-up with `on_startup`; no schedule.",
        "manual = true",
    )
    timezone: str = key(
        when.timezone,
        "UTC",
        "IANA name",
        "Whose clock `at`, `cron` and `until` mean. A time that a spring gap leaves out runs once, at the first instant "
        "after it; of one that an autumn fold shows twice the first copy runs.",
        'timezone = "Europe/Riga"',
    )
    until: date | datetime | None = key(
        when.until,
        None,
        "date or moment",
        "The end: no slot after it. A date alone means the whole of that day in `timezone`.",
        'until = "2026-12-31"',
        default_words="no end",
    )
    jitter: timedelta = key(
        length("30s", zero=True),
        timedelta(0),
        "length",
        "Spreads starts: each slot is started later by its own share of this, the same every time. At most half the "
        "distance between slots.",
        'jitter = "30s"',
    )
    run: str | None = key(
        doing.run,
        None,
        "module:function",
        "A python function. It gets the run's context and runs in a child process of its own.",
        'run = "myapp.exports:nightly"',
    )
    command: tuple[str, ...] | str | None = key(
        doing.command,
        None,
        "list of texts",
        "A program and its arguments. No shell reads it, so nothing in it is expanded.",
        'command = ["bin/export", "--full"]',
    )
    shell: bool = key(
        yes_or_no,
        False,
        "true or false",
        "The command is one text and `/bin/sh` reads it. `check` points at it every time.",
        "shell = true",
    )
    http: Mapping[str, Any] | None = key(
        table,
        None,
        "table",
        "One HTTP request; its keys are below.",
        'http = { method = "POST", url = "https://example.com/export" }',
    )
    description: str = key(
        text(empty=True),
        "",
        "text",
        "What the job is for, in a sentence.",
        'description = "Exports the day\'s orders."',
    )
    tags: tuple[str, ...] = key(
        several(tag, "tags"), (), "list of texts", "Words to sort jobs by.", 'tags = ["export", "night"]'
    )
    enabled: bool = key(
        yes_or_no,
        True,
        "true or false",
        "Whether its slots are run. `false` keeps the job and rests it.",
        "enabled = false",
    )
    on_startup: bool = key(
        yes_or_no, False, "true or false", "Run it once whenever the scheduler starts, too.", "on_startup = true"
    )
    timeout: timedelta = key(
        length("20m", most=TIMEOUT_MOST),
        timedelta(seconds=600),
        "length",
        "How long one attempt may take. Then its whole process tree is asked to stop, and killed 10 s later.",
        'timeout = "20m"',
    )
    retries: int = key(
        whole(0, RETRIES_MOST),
        0,
        "whole number",
        f"How many more attempts a bad end may get, 0 to {RETRIES_MOST}; each wait is a random share of a limit that doubles "
        "from 5 s to 15 min. Those of a scheduled run stop when the next slot is claimed.",
        "retries = 3",
    )
    retry_on: tuple[str, ...] = key(
        several(doing.retry_end, "bad ends"),
        (),
        "list of texts",
        "The bad ends another attempt may follow: `failed`, `timed_out`, `http 503`, `http 5xx`, `exit 75`.",
        'retry_on = ["timed_out", "http 5xx"]',
        default_words="any",
    )
    catch_up: CatchUp = key(
        one_of(WORDS),
        "latest",
        "word",
        "What becomes of slots missed while nothing ran: only the `latest`, `all` of them (oldest first, at most 10) or "
        "`none`.",
        'catch_up = "all"',
    )
    catch_up_window: timedelta | None = key(
        length("12h"),
        None,
        "length",
        "How long after its moment a missed slot may still be run.",
        'catch_up_window = "12h"',
        default_words="half the distance between slots, from 60 s to 24 h",
    )
    overlap: tuple[str, int] = key(
        doing.overlap,
        ("skip", 1),
        "word",
        "What becomes of a slot that comes due while a run is still open: `skip`, `queue_one`, `queue_all`, "
        "`cancel_previous`, or `allow(3)` for up to three at a time. A run that waits for one of the eight places that all "
        "jobs share is open too.",
        'overlap = "queue_one"',
        default_words='`"skip"`',
    )
    group: str | None = key(
        name,
        None,
        "name",
        "Jobs of one group share the limit that `[groups]` gives it.",
        'group = "database"',
    )
    priority: int = key(
        whole(-PRIORITY_MOST, PRIORITY_MOST),
        0,
        "whole number",
        "Of jobs that wait for a place the higher starts first, "
        f"-{PRIORITY_MOST} to {PRIORITY_MOST}. Eight runs go on at a time, of all jobs together.",
        "priority = 10",
    )
    env: Mapping[str, Any] = key(
        table,
        {},
        "table of texts",
        "What a python or command job finds in its environment besides the allowed names. `${NAME}` is filled from the "
        "scheduler's environment when the run starts, and kept nowhere.",
        'env = { API_TOKEN = "${EXPORT_TOKEN}", LEVEL = "2" }',
        default_words="none",
    )
    cwd: str | None = key(
        doing.folder,
        None,
        "folder",
        "Where a python or command job starts, relative to the project's folder.",
        'cwd = "work"',
        default_words="the project's folder",
    )
    idempotent: bool = key(
        yes_or_no,
        False,
        "true or false",
        "Doing it twice does no harm: a run whose scheduler died may be done again by itself.",
        "idempotent = true",
    )
    params: Mapping[str, Any] = key(
        table,
        {},
        "table of tables",
        "What a run may be given by hand (`echopilot run NAME -p day=2026-03-01`); the keys of each are below.",
        'params = { day = { type = "date" } }',
        default_words="none",
    )
    on_failure: tuple[str, ...] = key(
        several(name, "names of notifiers"),
        (),
        "list of names",
        "Notifiers to tell when a run ended badly.",
        'on_failure = ["team"]',
    )
    on_recovery: tuple[str, ...] = key(
        several(name, "names of notifiers"),
        (),
        "list of names",
        "Notifiers to tell when it went well again.",
        'on_recovery = ["team"]',
    )
    ping: str | None = key(
        request.ping,
        None,
        "address",
        "An outside dead-man's switch that is told of start, success and failure. A secret: it is never shown.",
        'ping = "${HC_EXPORT}"',
    )


@dataclass(frozen=True)
class HttpTable:
    """`http = { … }` or `[jobs.NAME.http]`: one request."""

    url: str | None = key(
        request.url,
        None,
        "address",
        "Where to, `http` or `https`. One that begins with `/` goes to our own web process, with the dashboard's key.",
        'url = "https://example.com/export"',
        default_words="required",
    )
    method: str = key(request.method, "POST", "word", f"One of {', '.join(request.METHODS)}.", 'method = "PUT"')
    headers: Mapping[str, Any] = key(
        table,
        {},
        "table of texts",
        "Headers to send. `${NAME}` is filled from the scheduler's environment when the request is made. Keys written out "
        "are refused.",
        'headers = { Authorization = "Bearer ${EXPORT_TOKEN}" }',
        default_words="none",
    )
    json: Any = key(
        request.json_body,
        None,
        "any value",
        "What to send as JSON; not together with `body`.",
        "json = { full = true, days = 7 }",
        default_words="nothing",
    )
    body: str | None = key(
        request.body,
        None,
        "text",
        "What to send as it is; `${NAME}` is filled.",
        'body = "full=1"',
        default_words="nothing",
    )
    expect: tuple[int, ...] = key(
        request.expect,
        (),
        "status, range or list",
        "The statuses that mean success.",
        'expect = [200, "202-204"]',
        default_words='`"2xx"`',
    )
    contains: str | None = key(text(), None, "text", "A text the answer must hold, too.", "contains = '\"ok\": true'")
    redirects: int = key(
        whole(0, 5),
        0,
        "whole number",
        "How many redirects are followed, to the same host only, 0 to 5.",
        "redirects = 2",
    )
    allow_private: bool = key(
        yes_or_no,
        False,
        "true or false",
        "Whether the peer may be a private or loopback address.",
        "allow_private = true",
    )


@dataclass(frozen=True)
class ParamTable:
    """`params.NAME = { … }`: one parameter of a run."""

    type: ParamType = key(
        one_of(READERS), "text", "word", "One of `text`, `integer`, `number`, `boolean`, `date`.", 'type = "date"'
    )
    default: Any = key(
        lambda value: value,
        None,
        "a value",
        "Its value when none is given.",
        'default = "all"',
        default_words="nothing (`None`)",
    )
    required: bool = key(
        yes_or_no, False, "true or false", "A run by hand must give it. Slots have nobody to ask.", "required = true"
    )
    choices: Any = key(
        lambda value: value, (), "list", "The only values it may have.", 'choices = ["all", "new"]', default_words="any"
    )
    description: str = key(text(empty=True), "", "text", "What it is for.", 'description = "Which day to export"')


@dataclass(frozen=True)
class FileTable:
    """The file itself."""

    jobs: Mapping[str, Any] = key(
        table,
        {},
        "tables",
        "The jobs, one table each: `[jobs.nightly_export]`. One named like a built-in job, or like one in code, is laid "
        "over it.",
        '[jobs.nightly_export]\ncron = "15 2 * * 1-5"\nrun = "myapp.exports:nightly"',
        default_words="none",
    )
    groups: Mapping[str, Any] = key(
        table,
        {},
        "table of whole numbers",
        "How many runs of each group may go on at a time.",
        "[groups]\ndatabase = 1",
        default_words="none",
    )
    modules: Any = key(
        lambda value: value,
        (),
        "list of texts",
        "Python modules that declare jobs with `@job`.",
        'modules = ["myapp.jobs"]',
        default_words="none",
    )
