"""Jobs declared beside their code: `@job(every(6).hours)` says what a table of `jobs.toml` would say.

A declaration is noted, nothing more: the function stays as it is, and nothing runs. The jobs of a module come into force
when `jobs.toml` lists it under `modules`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Never, TypeVar

from echopilot_jobs.errors import ConfigError, nearest_names

if TYPE_CHECKING:
    import schedule

    from echopilot_jobs.jobs import Param
    from echopilot_jobs.triggers import Trigger

Function = TypeVar("Function", bound=Callable[..., Any])
Length = str | timedelta
SCHEDULE = ("every", "at", "cron", "manual", "timezone")  # what may not be said twice
DOING = ("run", "command", "shell", "http")  # keys of `jobs.toml` whose place the function takes


class Declared(NamedTuple):
    """One declaration: its table, and the function it is on."""

    table: dict[str, Any]
    function: Callable[..., Any]


_declared: dict[str, Declared] = {}


def job(
    when: schedule.Job | Trigger | None = None,
    /,
    *,
    name: str | None = None,
    every: str | Sequence[str] | None = None,
    at: str | time | None = None,
    cron: str | None = None,
    manual: bool | None = None,
    timezone: str | None = None,
    until: str | date | datetime | None = None,
    jitter: Length | None = None,
    description: str | None = None,
    tags: Sequence[str] | None = None,
    enabled: bool | None = None,
    on_startup: bool | None = None,
    timeout: Length | None = None,
    retries: int | None = None,
    retry_on: Sequence[str] | None = None,
    catch_up: str | None = None,
    catch_up_window: Length | None = None,
    overlap: str | None = None,
    group: str | None = None,
    priority: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    idempotent: bool | None = None,
    params: Mapping[str, Param | Mapping[str, Any]] | None = None,
    on_failure: Sequence[str] | None = None,
    on_recovery: Sequence[str] | None = None,
    ping: str | None = None,
    **unknown: Never,
) -> Callable[[Function], Function]:
    """Declare the function below as a job. It is given back unchanged, so a test may call it as it is.

    *when* is the schedule in `schedule`'s own words, `every().day.at("08:00", "Europe/Riga")`, or one of our rules; without
    it the schedule is said by keyword, as in `jobs.toml`. All keywords are the keys of `jobs.toml` (docs/jobs.md); lengths
    are text or `timedelta`s. *name* is the function's own when left out, *description* its docstring's first sentence.
    Raises `ConfigError`, with one line, for what cannot be a job; what the keys hold is judged with the jobs file.
    """
    said = {key: value for key, value in locals().items() if key not in ("when", "name", "unknown")}
    given = {key: _plain(value) for key, value in said.items() if value is not None}
    # Now, because a `@job` without brackets would never come to the next step.
    table = _laid(_schedule(when), given, list(unknown))

    def declare(function: Function) -> Function:
        _note(function, name, table)
        return function

    return declare


def declared() -> list[dict[str, Any]]:
    """Every job declared so far, oldest first: a table of `jobs.toml` with `name`, `module` and `line` beside its keys."""
    return [dict(each.table) for each in _declared.values()]


def clear() -> None:
    """Forget every declaration, for tests."""
    _declared.clear()


def _laid(schedule: dict[str, Any], given: dict[str, Any], unknown: Sequence[str]) -> dict[str, Any]:
    """The table of a job: its rule, the keys said beside it, the tags of both. Raises `ConfigError`."""
    if unknown:
        raise ConfigError([_about_unknown(unknown[0])])
    twice = [key for key in SCHEDULE if key in given]
    if schedule and twice:
        hint = "; a zone stands in the words: .at('08:00', 'Europe/Riga')" if "timezone" in twice else ""
        raise ConfigError([f"@job with a schedule in words and '{twice[0]}' beside it; wanted: one of them{hint}"])
    table = {**schedule, **given}
    if "tags" in schedule and "tags" in given:
        table["tags"] = list(dict.fromkeys([*schedule["tags"], *given["tags"]]))
    return table


def _about_unknown(keyword: str) -> str:
    if keyword in DOING:
        return (
            f"@job with '{keyword}'; what runs is the function below it; a command or request is declared in jobs.toml"
        )
    known = [*(job.__kwdefaults__ or {})]
    near = nearest_names(keyword, known)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"@job with '{keyword[:80]}'; {hint}known: {', '.join(known)}"


def _note(function: Any, name: str | None, table: dict[str, Any]) -> None:
    module, qualname, line = _place(function)
    chosen = name if name is not None else qualname.lower()
    run = f"{module}:{qualname}"
    known = _declared.get(chosen)
    if known is not None and not _is_reload(known, function, run, line):
        first = f"{known.table['run']} on line {known.table['line']}"
        raise ConfigError(
            [f"two jobs are named '{chosen}': {first} and {run} on line {line}; wanted: one name, one job; use name=…"]
        )
    words = {"description": said} if (said := _first_sentence(function)) and "description" not in table else {}
    named = {"name": chosen, "module": module, "line": line, "run": run, **words, **table}
    _declared[chosen] = Declared(named, function)


def _is_reload(known: Declared, function: Any, run: str, line: int) -> bool:
    """Whether the module was run again, and this is the same declaration: not two of one name, nor two on one function."""
    table = known.table
    again = table["run"] == run and (table["line"] == line or table["module"] == "__main__")
    return again and known.function is not function


def _place(function: Any) -> tuple[str, str, int]:
    """Where the function can be found again by name, and the line on which its own text begins."""
    code = getattr(function, "__code__", None)
    qualname = str(getattr(function, "__qualname__", ""))
    if code is None:
        raise ConfigError([f"@job on '{type(function).__name__}'; wanted: a function: def nightly(ctx): …"])
    if not qualname.isidentifier():
        raise ConfigError(
            [f"@job on '{qualname}' of {function.__module__}; wanted: a function at the top of a module, with a name"]
        )
    own = getattr(inspect.unwrap(function), "__code__", code)  # a decorator below ours stands in another file
    return function.__module__, qualname, own.co_firstlineno


def _schedule(when: object) -> dict[str, Any]:
    """The rule of *when*, as the ledger keeps rules, and its tags."""
    if when is None:
        return {}
    if hasattr(when, "as_dict"):
        return {"rule": when.as_dict()}
    if callable(when) and hasattr(when, "__code__"):
        raise ConfigError(
            [f"@job before '{getattr(when, '__name__', when)}' says no schedule; wanted: @job(every='6h')"]
        )
    from echopilot_jobs.fluent import translate

    found = translate(when)  # type: ignore[arg-type]  # it says itself what is no definition
    return {"rule": found.trigger.as_dict(), **({"tags": list(found.tags)} if found.tags else {})}


def _plain(value: Any) -> Any:
    """The value as a table of `jobs.toml` would hold it."""
    match value:
        case timedelta():
            return _length(value)
        case datetime() | date() | time():
            return value.isoformat()
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case str():
            return value
        case Sequence():
            return [_plain(each) for each in value]
    facts = getattr(value, "as_dict", None)  # a Param
    return _said(facts()) if facts else value


def _said(param: Mapping[str, Any]) -> dict[str, Any]:
    """What of a parameter's facts would be written in a table: False and 0 are good defaults, None is none."""
    empty: dict[str, Any] = {"default": None, "required": False, "choices": [], "description": ""}
    return {key: _plain(value) for key, value in param.items() if key not in empty or value != empty[key]}


def _length(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds}s"


def _first_sentence(function: Any) -> str:
    paragraph = " ".join((function.__doc__ or "").strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0][:200]
