"""One job's table into a `Job`: what stands in it, each key by itself and then together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobs import Action, Command, Http, Inline, Job, Param, Python
from echopilot_jobs.jobs.params import PARAM_NAME, READERS
from echopilot_jobs.jobsfile import doing, request
from echopilot_jobs.jobsfile.documents import Document
from echopilot_jobs.jobsfile.keys import AnyTable, keys_of, validated
from echopilot_jobs.jobsfile.layers import Layered
from echopilot_jobs.jobsfile.notes import Notes
from echopilot_jobs.jobsfile.schedule import trigger_of_table
from echopilot_jobs.jobsfile.tables import HttpTable, JobTable, ParamTable
from echopilot_jobs.jobsfile.unknown import about_unknown, guess_of
from echopilot_jobs.jobsfile.words import Wrong, came, wrong

INSIDE = ("rule", "duty")  # keys of documents that nobody types
ENV_MOST = 100
PARAMS_MOST = 30


def job_of(layered: Layered, notes: Notes, user: Document | None) -> Job | None:
    """The job, or None when *notes* say what is wrong with it. The document *user* may hold only what people type."""
    inside, given = _parted(layered, user)
    table = _read(JobTable, given, notes, ())
    trigger = trigger_of_table(table, set(given), inside.get("rule"), notes)
    action = _action(table, given, inside.get("duty"), notes)
    params = dict(_params(table.params, notes))
    env = _env(table, notes)
    if notes.problems or trigger is None or action is None:
        return None
    overlap, instances = table.overlap
    try:
        return Job(
            name=layered.name,
            trigger=trigger,
            action=action,
            overlap=overlap,  # type: ignore[arg-type]  # its reader knows the words
            max_instances=instances,
            params=params,
            env=env,
            declared_in=layered.declared_in,
            **{key: getattr(table, key) for key in PLAIN},
        )
    except ConfigError as error:  # what the job itself refuses and no reader above knows of
        for problem in error.problems:
            notes.wrong([], problem.removeprefix(f"job '{layered.name}': "))
        return None


PLAIN = (
    "description", "timeout", "retries", "catch_up", "catch_up_window", "jitter", "group", "enabled", "on_startup",
    "idempotent", "tags", "priority", "retry_on", "cwd", "on_failure", "on_recovery", "ping",
)  # fmt: skip


def _parted(layered: Layered, user: Document | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys that only code and built-in documents have, and those a person types."""
    inside = {key: layered.table[key] for key in INSIDE if layered.sources.get(key) not in (None, user)}
    return inside, {key: value for key, value in layered.table.items() if key not in inside}


def _read(model: type[AnyTable], found: Mapping[str, Any], notes: Notes, path: tuple[str, ...]) -> AnyTable:
    """The table; what is wrong with it is noted."""
    table, faults = validated(model, found)
    where = f"in '{'.'.join(path)}'" if path else "in a job"
    for name, value, message in faults:
        notes.wrong((*path, name), message or about_unknown(name, value, keys_of(model), where))
        if not message and (guess := guess_of(name, keys_of(model))):
            notes.meant.add((*path, guess))
    return table


def _action(table: JobTable, given: Mapping[str, Any], duty: object, notes: Notes) -> Action | None:
    kinds = [key for key in ("run", "command", "http") if key in given]
    if duty is not None and not kinds:
        return Inline(str(duty))
    if not kinds:
        if notes.misses("run", "command", "http"):
            wanted = 'one of run = "package.module:function", command = ["prog"] or http = { … }'
            notes.wrong([], f"nothing to do; wanted: {wanted}")
        return None
    if len(kinds) > 1:
        said = " and ".join(f"'{key}'{notes.line_of(key)}" for key in kinds)
        notes.wrong([kinds[1]], f"came {said}; wanted: one of them")
        return None
    if table.shell and kinds != ["command"]:
        notes.wrong(["shell"], f"came true with '{kinds[0]}'; wanted: only with 'command'")
    if "http" in kinds:
        return _http(table.http or {}, given, notes)
    if table.run is not None:
        return Python(table.run)
    return _command(table, notes)


def _command(table: JobTable, notes: Notes) -> Action | None:
    if table.command is None or notes.blames("shell"):
        return None
    if isinstance(table.command, str):
        if not table.shell:
            hint = "; or, where a shell must read it, add shell = true"
            notes.wrong(
                ["command"],
                f"came the text {came(table.command)}; wanted: a list: {doing.as_list(table.command)}{hint}",
            )
            return None
        return Command((table.command,), shell=True)  # nosec B604  # a fact of the definition; nothing is called
    if table.shell:
        notes.wrong(["command"], "came a list with shell = true; wanted: one text for the shell, or no shell")
        return None
    return Command(table.command)


def _http(found: Mapping[str, Any], given: Mapping[str, Any], notes: Notes) -> Action | None:
    if notes.blames("http"):
        return None
    table = _read(HttpTable, found, notes, ("http",))
    for key in ("env", "cwd"):
        if key in given:
            notes.wrong([key], "it means nothing to an http job; wanted: only with 'run' or 'command'; remove it")
    headers = dict(_headers(table.headers, notes))
    bodies = [key for key in ("json", "body") if key in found]
    if "url" not in found and notes.misses("url", inside=("http",)):
        notes.wrong(["http"], f"it has no url; wanted: url = {request.URL_WANTED}")
    if len(bodies) == 2:
        notes.wrong(["http", "body"], "came 'json' and 'body'; wanted: one of them")
    elif bodies and table.method in request.WITHOUT_BODY:
        notes.wrong(["http", bodies[0]], f"came with method '{table.method}'; wanted: no body, or method = 'POST'")
    if table.url and not table.allow_private and request.is_private_place(table.url):
        notes.wrong(
            ["http", "url"],
            f"came {came(table.url)}, a private or loopback address; wanted: a public one, or allow_private = true beside it",
        )
    if notes.blames("http") or table.url is None:
        return None
    return Http(
        table.url, table.method, headers, table.json, table.body, table.expect, table.contains, table.redirects,
        table.allow_private,
    )  # fmt: skip


def _headers(found: Mapping[str, Any], notes: Notes) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    if len(found) > ENV_MOST:
        notes.wrong(["http", "headers"], f"came {len(found):,}; wanted: at most {ENV_MOST}")
        return
    for name, value in found.items():
        try:
            request.header_name(name)
            if (other := seen.setdefault(name.lower(), name)) != name:
                raise Wrong(f"'{other}' is the same header; wanted: once")
            yield name, request.header_value(name, value)
        except Wrong as error:
            notes.wrong(["http", "headers", name], str(error))


def _env(table: JobTable, notes: Notes) -> dict[str, str]:
    env: dict[str, str] = {}
    if len(table.env) > ENV_MOST:
        notes.wrong(["env"], f"came {len(table.env):,} names; wanted: at most {ENV_MOST}")
        return env
    for name, value in table.env.items():
        try:
            env[doing.env_name(name)] = doing.env_value(name, value)
        except Wrong as error:
            notes.wrong(["env", name], str(error))
    if sum(len(name) + len(value.encode()) for name, value in env.items()) > doing.COMMAND_MOST_BYTES:
        notes.wrong(["env"], f"came too much; wanted: at most {doing.COMMAND_MOST_BYTES:,} bytes in all")
    return env


def _params(found: Mapping[str, Any], notes: Notes) -> Iterator[tuple[str, Param]]:
    if len(found) > PARAMS_MOST:
        notes.wrong(["params"], f"came {len(found):,}; wanted: at most {PARAMS_MOST}")
        return
    for name, facts in found.items():
        path = ("params", name)
        if not PARAM_NAME.fullmatch(name):
            notes.wrong(
                path, f"came {came(name)}; wanted: a name of a-z, 0-9 and '_', beginning with a letter, at most 64"
            )
        elif not isinstance(facts, Mapping):
            notes.wrong(path, f'came {came(facts)}; wanted: a table: {name} = {{ type = "text" }}')
        elif (param := _param(_read(ParamTable, facts, notes, path), facts, notes, path)) is not None:
            yield name, param


def _param(table: ParamTable, facts: Mapping[str, Any], notes: Notes, path: tuple[str, ...]) -> Param | None:
    if any(problem.field and problem.field.startswith(".".join(path)) for problem in notes.problems):
        return None
    read = READERS[table.type]
    choices: list[Any] = []
    if "choices" in facts and (not isinstance(table.choices, list) or not 1 <= len(table.choices) <= 100):
        notes.wrong((*path, "choices"), f"came {came(table.choices)}; wanted: a list of 1 to 100 values")
        return None
    for number, choice in enumerate(table.choices):
        try:
            choices.append(read(choice))
        except ValueError as wanted:
            notes.wrong((*path, "choices", str(number)), str(wrong(choice, str(wanted))))
    if "default" in facts and table.required:
        notes.wrong(
            (*path, "default"), "came with required = true; wanted: one of them: with a default it is never missing"
        )
        return None
    default = None
    if "default" in facts:
        try:
            default = Param(table.type, choices=tuple(choices)).read(table.default)
        except ValueError as wanted:
            notes.wrong((*path, "default"), str(wrong(table.default, str(wanted))))
    return Param(table.type, default, table.required, tuple(choices), table.description)
