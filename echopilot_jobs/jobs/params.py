"""Parameters of a run: what a job may be given by hand, typed, with defaults."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Literal

from echopilot_jobs.errors import EchoPilotError, nearest_names
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record

ParamType = Literal["text", "integer", "number", "boolean", "date"]
PARAM_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
TEXT_MOST = 4_000
LARGEST = 2**53  # beyond it JSON readers no longer agree on the number
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class BadParameters(EchoPilotError):
    """What a run was given does not fit its job. Carries every problem found, one line each."""

    status = 422
    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@record(frozen=True)
class Param:
    """One parameter. Its values are JSON: text, whole numbers, numbers, true and false, dates as `YYYY-MM-DD`.

    Without a *default* its value is None unless it is *required*. *choices*, when there are any, are the only values.
    """

    type: ParamType = "text"
    default: Any = None
    required: bool = False
    choices: tuple[Any, ...] = ()
    description: str = ""

    def read(self, value: object) -> Any:
        """The value that *value* means, be it typed text or JSON. Raises `ValueError` with what is wanted."""
        found = READERS[self.type](value)
        if self.choices and found not in self.choices:
            raise ValueError(f"one of {', '.join(map(str, self.choices))}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """The parameter as plain JSON."""
        return {
            "type": self.type,
            "default": self.default,
            "required": self.required,
            "choices": list(self.choices),
            "description": self.description,
        }


def values_of(job_name: str, params: Mapping[str, Param], given: Mapping[str, object]) -> dict[str, Any]:
    """The value of every parameter of *params*, given or by default. Raises `BadParameters` with every mistake."""
    problems = [_unknown(job_name, name, params) for name in given if name not in params]
    values: dict[str, Any] = {}
    for name, param in params.items():
        if name not in given:
            values[name] = param.default
            if param.required and param.default is None:
                problems.append(f"parameter '{name}' of '{job_name}' is required; wanted: {WORDS[param.type]}")
            continue
        try:
            values[name] = param.read(given[name])
        except ValueError as wanted:
            problems.append(f"parameter '{name}' of '{job_name}': came '{shown(given[name])}'; wanted: {wanted}")
    if problems:
        raise BadParameters(problems)
    return values


def shown(value: object) -> str:
    """A value out of somebody's hands, short and in one line."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    return shorten(plain(value), 80)


def _unknown(job_name: str, name: str, params: Mapping[str, Param]) -> str:
    near = nearest_names(name, params)
    hint = f"did you mean '{near[0]}'? " if near else ""
    known = ", ".join(params) or "none"
    return f"'{job_name}' has no parameter '{shown(name)}'; {hint}known: {known}"


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > TEXT_MOST:
        raise ValueError(WORDS["text"])
    if "\0" in value:
        raise ValueError(f"{WORDS['text']}, without NUL")
    return value


def _integer(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,16}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST:
        raise ValueError(WORDS["integer"])
    return value


def _number(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,16}(\.[0-9]{1,16})?(e[+-]?[0-9]{1,3})?", value.lower()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e300:
        raise ValueError(WORDS["number"])
    return value


def _boolean(value: object) -> bool:
    if isinstance(value, str) and value.lower() in (*_TRUE, *_FALSE):
        return value.lower() in _TRUE
    if not isinstance(value, bool):
        raise ValueError(WORDS["boolean"])
    return value


def _date(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise ValueError(WORDS["date"])


WORDS: Mapping[ParamType, str] = {
    "text": f"text of at most {TEXT_MOST:,} characters",
    "integer": f"a whole number from {-LARGEST:,} to {LARGEST:,}, written without commas, for example 3",
    "number": "a number, for example 1.5",
    "boolean": "true or false",
    "date": "a date YYYY-MM-DD, for example 2026-03-01",
}
READERS: Mapping[ParamType, Callable[[object], Any]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
}
