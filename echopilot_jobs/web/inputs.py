"""What callers send, read strictly: every refusal says what came and what is allowed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn

from echopilot_jobs import typed
from echopilot_jobs.errors import EchoPilotError, UnknownName
from echopilot_jobs.ledger import MAX_PAGE
from echopilot_jobs.runs import State

MAX_DEPTH = 32
MAX_DIGITS = 20
MAX_KEY = 200
NOTE_MOST = 500
# The closing quote is optional, so that a string without an end is passed over once and not tried again at each quote.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


class BadInput(EchoPilotError):
    """A request that cannot mean anything here."""

    status = 400


class WrongMedia(EchoPilotError):
    """A body of a kind nobody asked for."""

    status = 415


def json_object(body: bytes, content_type: str) -> dict[str, Any]:
    """The JSON object in *body*, `{}` for no body at all.

    Refuses other media types, other encodings than UTF-8, more than 32 levels, repeated keys, NaN and infinity,
    numbers of more than 20 digits and half surrogate pairs, which SQLite could not keep.
    """
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise WrongMedia(f"content type '{shown(content_type)}'; wanted: application/json, or no body at all")
    value = _parsed(_text(body))
    if not isinstance(value, dict):
        raise BadInput(f"the body is JSON but a {type(value).__name__}; wanted: an object like {{}}")
    return value


def no_more_than(fields: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Refuse any field whose name is not among *allowed*."""
    for name in fields:
        if name not in allowed:
            raise BadInput(f"unknown field '{shown(name)}'; wanted: {', '.join(allowed) or 'none at all'}")


def run_id(text: str, *, advice: str = "; wanted: a number, see /api/runs for those there are") -> int:
    """A run's number from a path. Raises `UnknownName`: whatever is no number is no run either.

    *advice* is for programs, unless the caller has one for a person.
    """
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise UnknownName(f"no run '{shown(text)}'{advice}")
    return int(text)


def page_limit(query: Mapping[str, str], default: int = 50) -> int:
    """`limit` of a query, 1 to 200."""
    text = query.get("limit", str(default))
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_PAGE:
        raise BadInput(f"limit '{shown(text)}'; wanted: a whole number from 1 to {MAX_PAGE}")
    return int(text)


def before(
    query: Mapping[str, str], *, advice: str = "; wanted: the `next_before` of the page before this one"
) -> int | None:
    """`before` of a query: the id to page on from. *advice* as for `run_id`."""
    text = query.get("before")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < 1:
        raise BadInput(f"before '{shown(text)}'{advice}")
    return int(text)


def states(query: Mapping[str, str]) -> frozenset[State] | None:
    """`state` of a query: one or more run states, separated by commas."""
    text = query.get("state")
    if text is None:
        return None
    known = {state.value for state in State}
    for word in text.split(","):
        if word not in known:
            raise BadInput(f"state '{shown(word)}'; wanted: {', '.join(state.value for state in State)}")
    return frozenset(State(word) for word in text.split(","))


def idempotency_key(text: str | None) -> str | None:
    """The caller's own name for its request, or None."""
    if text is None:
        return None
    if not re.fullmatch(rf"[\x21-\x7e]{{1,{MAX_KEY}}}", text):
        raise BadInput(f"Idempotency-Key of {len(text)} characters; wanted: 1 to {MAX_KEY} printable ASCII, no spaces")
    return text


def moment(name: str, text: str, now: datetime) -> datetime:
    """The moment *text* names, the next one where it is a time of day."""
    try:
        return typed.moment(text, now, prefer="future")
    except ValueError as error:
        raise BadInput(f"{name}: {error}; a '+' in an address is written '%2B'") from None


def pause_end(lasting: str | None, until: str | None, now: datetime, *, asked: str = "for") -> datetime | None:
    """When a pause ends by itself: after a length, or at a moment to come; None for neither.

    *asked* is what the caller knows the length as.
    """
    if lasting is not None and until is not None:
        raise BadInput("both 'for' and 'until'; wanted: one of them, or neither")
    if lasting is not None:
        return (now + _length(asked, lasting)).replace(microsecond=0)
    if until is None:
        return None
    end = moment("until", until, now)
    if end <= now:
        raise BadInput(f"until '{shown(until)}' is over; wanted: a moment to come")
    return end


def note(text: str, *, asked: str = "note") -> str:
    """Why somebody does what they do, at most 500 characters; *asked* is what the caller knows it as."""
    if len(text) > NOTE_MOST:
        raise BadInput(f"{asked} of {len(text):,} characters; wanted: at most {NOTE_MOST}")
    return text


def shown(text: str) -> str:
    """A caller's own text, fit to be repeated in a message."""
    safe = text.encode("ascii", "backslashreplace").decode("ascii")
    safe = re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", safe)
    return safe if len(safe) <= 80 else safe[:77] + "..."


def _length(asked: str, text: str) -> timedelta:
    try:
        return typed.length(text)
    except ValueError as error:
        raise BadInput(f"{asked}: {error}") from None


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"the body is not UTF-8 at byte {error.start}; wanted: JSON in UTF-8") from None


def _parsed(text: str) -> Any:
    if _depth(text) > MAX_DEPTH:
        raise BadInput(f"JSON nested deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_whole, parse_float=_fraction
        )
    except json.JSONDecodeError as error:
        raise BadInput(
            f"the body is no JSON: {error.msg.lower()} at line {error.lineno}, column {error.colno}"
        ) from None
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput("a string holds half a surrogate pair; wanted: whole characters") from None
    return value


def _depth(text: str) -> int:
    """The deepest nesting, found without recursion: brackets outside of strings."""
    deepest = level = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        level += 1 if bracket in "[{" else -1
        deepest = max(deepest, level)
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadInput(f"the key '{shown(name)}' comes twice; wanted: each key once")
        found[name] = value
    return found


def _no_constant(word: str) -> NoReturn:
    raise BadInput(f"'{word}' is no JSON; wanted: a finite number, or null")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadInput(f"a number of {len(digits)} digits; wanted: at most {MAX_DIGITS}")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits) if len(digits) <= 400 else math.inf
    if not math.isfinite(value):
        raise BadInput(f"the number '{shown(digits)}' is too large; wanted: one that fits a double")
    return value
