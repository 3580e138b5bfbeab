"""The tables of a jobs file: every key with its meaning, its kind, its default and an example.

These models are what is validated and what the reference is written from.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from echopilot_jobs.jobs.job import PRIORITY_MOST, CatchUp
from echopilot_jobs.jobs.params import READERS, ParamType
from echopilot_jobs.jobsfile import doing, request, when
from echopilot_jobs.jobsfile.words import length, name, one_of, several, table, tag, text, whole, yes_or_no

RETRIES_MOST = 100
TIMEOUT_MOST = timedelta(days=30)
WORDS = ("latest", "all", "none")


def key(default: Any, kind: str, meaning: str, example: str, *, default_words: str = "") -> Any:
    """A key of a table: its *default*, what *kind* of value it has, what it means and an *example* in TOML."""
    return Field(
        default=default,
        title=kind,
        description=meaning,
        examples=[example],
        json_schema_extra={"default_words": default_words},
    )


class Table(BaseModel):
    """One table; unknown keys are errors and nothing is converted that was not meant so."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class JobTable(Table):
    """`[jobs.NAME]`: one job."""

    every: Annotated[when.Rhythm | None, PlainValidator(when.every)] = key(
        None,
        "length, range or days",
        "How often. A length counts time as it passes, from the UTC epoch (`6h` is 00:00, 06:00, 12:00, 18:00 UTC); "
        "`5m to 10m` is irregular; `day`, `2 days`, `weekday`, `weekend`, `monday, friday` or a list of days are on the "
        "calendar of `timezone`, at the time `at`.",
        'every = "weekday"',
    )
    at: Annotated[time | None, PlainValidator(when.at)] = key(
        None,
        "time of day",
        "When on the days of `every`: `HH:MM` or `HH:MM:SS`. For more times than one a day use `cron`.",
        'at = "09:30"',
        default_words="midnight",
    )
    cron: Annotated[str | None, PlainValidator(when.cron)] = key(
        None,
        "five fields",
        "A cron expression, or `@daily` and the like: minute, hour, day of month, month, day of week. "
        "`L`, `LW` and `FRI#2` are understood.",
        'cron = "15 2 * * 1-5"',
    )
    manual: Annotated[bool, PlainValidator(yes_or_no)] = key(
        False, "true or false", "Only by hand, or at start-up with `on_startup`; no schedule.", "manual = true"
    )
    timezone: Annotated[str, PlainValidator(when.timezone)] = key(
        "UTC",
        "IANA name",
        "Whose clock `at`, `cron` and `until` mean. A time that a spring gap leaves out runs once, at the first instant "
        "after it; of one that an autumn fold shows twice the first copy runs.",
        'timezone = "Europe/Riga"',
    )
    until: Annotated[date | datetime | None, PlainValidator(when.until)] = key(
        None,
        "date or moment",
        "The end: no slot after it. A date alone means the whole of that day in `timezone`.",
        'until = "2026-12-31"',
        default_words="no end",
    )
    jitter: Annotated[timedelta, PlainValidator(length("30s", zero=True))] = key(
        timedelta(0),
        "length",
        "Spreads starts: each slot is started later by its own share of this, the same every time. At most half the "
        "distance between slots.",
        'jitter = "30s"',
    )
    run: Annotated[str | None, PlainValidator(doing.run)] = key(
        None,
        "module:function",
        "A python function. It gets the run's context and runs in a child process of its own.",
        'run = "myapp.exports:nightly"',
    )
    command: Annotated[tuple[str, ...] | str | None, PlainValidator(doing.command)] = key(
        None,
        "list of texts",
        "A program and its arguments. No shell reads it, so nothing in it is expanded.",
        'command = ["bin/export", "--full"]',
    )
    shell: Annotated[bool, PlainValidator(yes_or_no)] = key(
        False,
        "true or false",
        "The command is one text and `/bin/sh` reads it. `check` points at it every time.",
        "shell = true",
    )
    http: Annotated[Mapping[str, Any] | None, PlainValidator(table)] = key(
        None,
        "table",
        "One HTTP request; its keys are below.",
        'http = { method = "POST", url = "https://example.com/export" }',
    )
    description: Annotated[str, PlainValidator(text(empty=True))] = key(
        "", "text", "What the job is for, in a sentence.", 'description = "Exports the day\'s orders."'
    )
    tags: Annotated[tuple[str, ...], PlainValidator(several(tag, "tags"))] = key(
        (), "list of texts", "Words to sort jobs by.", 'tags = ["export", "night"]'
    )
    enabled: Annotated[bool, PlainValidator(yes_or_no)] = key(
        True, "true or false", "Whether its slots are run. `false` keeps the job and rests it.", "enabled = false"
    )
    on_startup: Annotated[bool, PlainValidator(yes_or_no)] = key(
        False, "true or false", "Run it once whenever the scheduler starts, too.", "on_startup = true"
    )
    timeout: Annotated[timedelta, PlainValidator(length("20m", most=TIMEOUT_MOST))] = key(
        timedelta(seconds=600),
        "length",
        "How long one attempt may take. Then its whole process tree is asked to stop, and killed 10 s later.",
        'timeout = "20m"',
    )
    retries: Annotated[int, PlainValidator(whole(0, RETRIES_MOST))] = key(
        0,
        "whole number",
        f"How many more attempts a bad end may get, 0 to {RETRIES_MOST}; waits double from 5 s to 15 min, with jitter. They "
        "stop when the next slot is claimed.",
        "retries = 3",
    )
    retry_on: Annotated[tuple[str, ...], PlainValidator(several(doing.retry_end, "bad ends"))] = key(
        (),
        "list of texts",
        "The bad ends another attempt may follow: `failed`, `timed_out`, `http 503`, `http 5xx`, `exit 75`.",
        'retry_on = ["timed_out", "http 5xx"]',
        default_words="any",
    )
    catch_up: Annotated[CatchUp, PlainValidator(one_of(WORDS))] = key(
        "latest",
        "word",
        "What becomes of slots missed while nothing ran: only the `latest`, `all` of them (oldest first, at most 10) or "
        "`none`.",
        'catch_up = "all"',
    )
    catch_up_window: Annotated[timedelta | None, PlainValidator(length("12h"))] = key(
        None,
        "length",
        "How long after its moment a missed slot may still be run.",
        'catch_up_window = "12h"',
        default_words="half the distance between slots, from 60 s to 24 h",
    )
    overlap: Annotated[tuple[str, int], PlainValidator(doing.overlap)] = key(
        ("skip", 1),
        "word",
        "What becomes of a slot that comes due while a run is still open: `skip`, `queue_one`, `queue_all`, "
        "`cancel_previous`, or `allow(3)` for up to three at a time.",
        'overlap = "queue_one"',
        default_words='`"skip"`',
    )
    group: Annotated[str | None, PlainValidator(name)] = key(
        None,
        "name",
        "Jobs of one group share the limit that `[groups]` gives it.",
        'group = "database"',
    )
    priority: Annotated[int, PlainValidator(whole(-PRIORITY_MOST, PRIORITY_MOST))] = key(
        0,
        "whole number",
        f"Of jobs that wait for a place the higher starts first, -{PRIORITY_MOST} to {PRIORITY_MOST}.",
        "priority = 10",
    )
    env: Annotated[Mapping[str, Any], PlainValidator(table)] = key(
        {},
        "table of texts",
        "What a python or command job finds in its environment besides the allowed names. `${NAME}` is filled from the "
        "scheduler's environment when the run starts, and kept nowhere.",
        'env = { API_TOKEN = "${EXPORT_TOKEN}", LEVEL = "2" }',
        default_words="none",
    )
    cwd: Annotated[str | None, PlainValidator(doing.folder)] = key(
        None,
        "folder",
        "Where a python or command job starts, relative to the project's folder.",
        'cwd = "work"',
        default_words="the project's folder",
    )
    idempotent: Annotated[bool, PlainValidator(yes_or_no)] = key(
        False,
        "true or false",
        "Doing it twice does no harm: a run whose scheduler died may be done again by itself.",
        "idempotent = true",
    )
    params: Annotated[Mapping[str, Any], PlainValidator(table)] = key(
        {},
        "table of tables",
        "What a run may be given by hand (`echopilot run NAME -p day=2026-03-01`); the keys of each are below.",
        'params = { day = { type = "date" } }',
        default_words="none",
    )
    on_failure: Annotated[tuple[str, ...], PlainValidator(several(name, "names of notifiers"))] = key(
        (), "list of names", "Notifiers to tell when a run ended badly.", 'on_failure = ["team"]'
    )
    on_recovery: Annotated[tuple[str, ...], PlainValidator(several(name, "names of notifiers"))] = key(
        (), "list of names", "Notifiers to tell when it went well again.", 'on_recovery = ["team"]'
    )
    ping: Annotated[str | None, PlainValidator(request.ping)] = key(
        None,
        "address",
        "An outside dead-man's switch that is told of start, success and failure. A secret: it is never shown.",
        'ping = "${HC_EXPORT}"',
    )


class HttpTable(Table):
    """`http = { … }` or `[jobs.NAME.http]`: one request."""

    url: Annotated[str | None, PlainValidator(request.url)] = key(
        None,
        "address",
        "Where to, `http` or `https`. One that begins with `/` goes to our own web process, with the dashboard's key.",
        'url = "https://example.com/export"',
        default_words="required",
    )
    method: Annotated[str, PlainValidator(request.method)] = key(
        "POST", "word", f"One of {', '.join(request.METHODS)}.", 'method = "PUT"'
    )
    headers: Annotated[Mapping[str, Any], PlainValidator(table)] = key(
        {},
        "table of texts",
        "Headers to send. `${NAME}` is filled from the scheduler's environment when the request is made. Keys written out "
        "are refused.",
        'headers = { Authorization = "Bearer ${EXPORT_TOKEN}" }',
        default_words="none",
    )
    json_: Annotated[Any, PlainValidator(request.json_body)] = Field(
        default=None,
        alias="json",
        title="any value",
        description="What to send as JSON; not together with `body`.",
        examples=["json = { full = true, days = 7 }"],
        json_schema_extra={"default_words": "nothing"},
    )
    body: Annotated[str | None, PlainValidator(request.body)] = key(
        None, "text", "What to send as it is; `${NAME}` is filled.", 'body = "full=1"', default_words="nothing"
    )
    expect: Annotated[tuple[int, ...], PlainValidator(request.expect)] = key(
        (),
        "status, range or list",
        "The statuses that mean success.",
        'expect = [200, "202-204"]',
        default_words='`"2xx"`',
    )
    contains: Annotated[str | None, PlainValidator(text())] = key(
        None, "text", "A text the answer must hold, too.", "contains = '\"ok\": true'"
    )
    redirects: Annotated[int, PlainValidator(whole(0, 5))] = key(
        0, "whole number", "How many redirects are followed, to the same host only, 0 to 5.", "redirects = 2"
    )
    allow_private: Annotated[bool, PlainValidator(yes_or_no)] = key(
        False,
        "true or false",
        "Whether the peer may be a private or loopback address.",
        "allow_private = true",
    )


class ParamTable(Table):
    """`params.NAME = { … }`: one parameter of a run."""

    type: Annotated[ParamType, PlainValidator(one_of(READERS))] = key(
        "text", "word", "One of `text`, `integer`, `number`, `boolean`, `date`.", 'type = "date"'
    )
    default: Annotated[Any, PlainValidator(lambda value: value)] = key(
        None, "a value", "Its value when none is given.", 'default = "all"', default_words="nothing (`None`)"
    )
    required: Annotated[bool, PlainValidator(yes_or_no)] = key(
        False, "true or false", "A run by hand must give it. Slots have nobody to ask.", "required = true"
    )
    choices: Annotated[Any, PlainValidator(lambda value: value)] = key(
        (), "list", "The only values it may have.", 'choices = ["all", "new"]', default_words="any"
    )
    description: Annotated[str, PlainValidator(text(empty=True))] = key(
        "", "text", "What it is for.", 'description = "Which day to export"'
    )


class FileTable(Table):
    """The file itself."""

    jobs: Annotated[Mapping[str, Any], PlainValidator(table)] = key(
        {},
        "tables",
        "The jobs, one table each: `[jobs.nightly_export]`. One named like a built-in job, or like one in code, is laid "
        "over it.",
        '[jobs.nightly_export]\ncron = "15 2 * * 1-5"\nrun = "myapp.exports:nightly"',
        default_words="none",
    )
    groups: Annotated[Mapping[str, Any], PlainValidator(table)] = key(
        {},
        "table of whole numbers",
        "How many runs of each group may go on at a time.",
        "[groups]\ndatabase = 1",
        default_words="none",
    )
    modules: Annotated[Any, PlainValidator(lambda value: value)] = key(
        (),
        "list of texts",
        "Python modules that declare jobs with `@job`.",
        'modules = ["myapp.jobs"]',
        default_words="none",
    )


AnyTable = TypeVar("AnyTable", bound=Table)
Fault = tuple[tuple[str, ...], object, str]


def keys_of(model: type[Table]) -> tuple[str, ...]:
    """The keys of a table as they are written."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def validated(model: type[AnyTable], found: Mapping[str, Any]) -> tuple[AnyTable, list[Fault]]:
    """The table, its faulty keys left at their defaults, and for each fault: where, what came, what is the matter.

    An unknown key comes with an empty text.
    """
    try:
        return model.model_validate(dict(found)), []
    except ValidationError as error:
        faults = [_fault(dict(item)) for item in error.errors(include_url=False)]
    bad = {where[0] for where, _, _ in faults}
    rest = {key: value for key, value in found.items() if key not in bad}
    return model.model_validate(rest), faults


def _fault(item: Mapping[str, Any]) -> Fault:
    where = tuple(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return where, item["input"], ""
    return where, item["input"], str(item["ctx"]["error"]) if "ctx" in item else str(item["msg"])
