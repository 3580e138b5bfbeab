"""What a field means, judged by its name and its value alone: moment, verdict, number or text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import IntEnum
from functools import lru_cache
from itertools import islice
from typing import Any

from echopilot_jobs.records import record

KEYS_MOST = 200  # of one record
DEPTH_MOST = 3  # names in a path: `metrics.data.note`
NAME_MOST = 80


class Verdict(IntEnum):
    """What a record says about itself; the worst of its fields counts."""

    FINE = 0
    WARNING = 1
    ERROR = 2
    CRITICAL = 3


def _list(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_TIME_NAMES = _list(
    "ts timestamp @timestamp time datetime date_time event_time logged_at log_time created_at created date at when t _time "
    "asctime start_time started_at received_at checked_at run_at occurred_at published_at updated_at end_time ended_at "
    "finished_at completed_at last_seen"
)
_TIME_TAIL = re.compile(r"(_at|_ts|_time|_date|timestamp|datetime|_on|_utc)$")
_NOT_TIME = re.compile(
    r"expir|next|due|until|valid|birth|deadline|plan|schedul|slot|eta|renew|ttl|duration|elapsed|uptime"
)
_GOOD_FLAGS = frozenset(
    _list(
        "ok success successful succeeded healthy passed pass alive up available reachable ready valid connected online"
    )
)
_BAD_FLAGS = frozenset(
    _list(
        "failed fail failure error errored has_error has_errors down timeout timed_out crashed unhealthy unreachable offline "
        "broken dead degraded oom_killed"
    )
)
_STATE_NAMES = frozenset(
    _list(
        "status state level severity lvl log_level loglevel levelname level_name outcome result health conclusion verdict "
        "priority grade check condition"
    )
)
_EVENT_NAMES = frozenset(_list("event event_name type kind event_type action"))
_CODE_NAMES = frozenset(_list("code status status_code http_status http_code response_code statuscode response_status"))
_EXIT_NAMES = frozenset(_list("exit_code exit_status returncode return_code exitcode"))
_FAULT_NAMES = frozenset(_list("error err exception traceback failure_reason error_message last_error stacktrace"))
_TEXT_NAMES = _FAULT_NAMES | frozenset(_list("message msg reason detail details note description text summary cause"))
_LIST_NAMES = re.compile(r"warn|error|alert|breach|issue|problem|fail|note|violation|exception")
_SKIP_NUMBER = re.compile(
    r"(^|_)(id|ids|pid|ppid|tid|uid|gid|port|line|lineno|seq|sequence|index|offset|version|year|hash|no|nr|number|shard|term|"
    r"phone|zip|revision|thread|process|code|exit_status|status)$"
)

_WORDS = {
    Verdict.CRITICAL: "critical crit fatal emergency emerg panic sev0 sev1 p0 disaster",
    Verdict.ERROR: "error err errored fail failed failing failure unhealthy down timeout timed_out timedout crashed broken "
    "dead rejected refused aborted abandoned exception unavailable unreachable offline severe sev2 p1 killed lost red "
    "oom_killed fault faulted bad_gateway backoff",
    Verdict.WARNING: "warn warning degraded partial slow retry retrying retry_wait unstable minor major stale yellow amber "
    "alert sev3 p2 skipped throttled delayed late",
    Verdict.FINE: "ok okay info debug trace notice success successful succeeded healthy pass passed up alive green normal "
    "running ready active available done complete completed connected online good low none informational verbose "
    "verified resolved",
}
WORD_VERDICTS = {word: verdict for verdict, words in _WORDS.items() for word in words.split()}


@record(frozen=True)
class Role:
    """What a field's name promises. `time_rank` orders rival time fields, lower first; None is no time by name."""

    time_rank: int | None
    good_flag: bool
    bad_flag: bool
    state: bool
    event: bool
    code: bool
    exit: bool
    fault: bool
    text: bool
    complaints: bool  # a list of sentences such as `warnings`
    countable: bool  # its numbers measure something


@lru_cache(maxsize=4096)
def role(path: str) -> Role:
    """The role of the field at *path* (names joined by dots)."""
    names = [snake(name) for name in path.split(".")]
    last, parents = names[-1], names[:-1]
    bare = re.sub(r"^(is|was|has|all)_", "", last)
    state = last in _STATE_NAMES or last.endswith(("_status", "_state")) or _graded(parents)
    return Role(
        time_rank=_time_rank(last, len(parents)),
        good_flag=bare in _GOOD_FLAGS,
        bad_flag=bare in _BAD_FLAGS or last in _BAD_FLAGS,
        state=state,
        event=last in _EVENT_NAMES,
        code=last in _CODE_NAMES,
        exit=last in _EXIT_NAMES,
        fault=last in _FAULT_NAMES,
        text=last in _TEXT_NAMES,
        complaints=bool(_LIST_NAMES.search(last)),
        countable=not (state or last in _CODE_NAMES or _SKIP_NUMBER.search(last)),
    )


def _graded(parents: list[str]) -> bool:
    """`severity.webhook`: the parent says that these are grades, the last name says of what."""
    return any(
        name in ("severity", "severities", "status", "statuses", "state", "states", "health") for name in parents[-1:]
    )


def _time_rank(last: str, depth: int) -> int | None:
    if last in _TIME_NAMES:
        return _TIME_NAMES.index(last) + 100 * depth
    if _TIME_TAIL.search(last) and not _NOT_TIME.search(last):
        return 60 + 100 * depth
    return None


def snake(name: str) -> str:
    """`eventTime`, `Event-Time` and `event_time` are one name."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\s-]+", "_", name).lower()


def flatten(record: Mapping[str, Any], prefix: str = "", depth: int = DEPTH_MOST) -> Iterator[tuple[str, Any]]:
    """The leaves of *record* as (path, value); what lies deeper than `DEPTH_MOST` names is left out, lists stay whole."""
    for key, value in islice(record.items(), KEYS_MOST):
        path = f"{prefix}{key[:NAME_MOST]}"
        if not isinstance(value, dict):
            yield path, value
        elif depth > 1:
            yield from flatten(value, f"{path}.", depth - 1)


def judge(path: str, value: Any) -> Verdict | None:
    """What this field says about how things are; None when it says nothing about that."""
    known = role(path)
    if isinstance(value, bool):
        return _judge_flag(known, value)
    if isinstance(value, int | float):
        return _judge_number(known, value)
    if isinstance(value, str):
        return _judge_text(known, value)
    return None


def _judge_flag(known: Role, value: bool) -> Verdict | None:
    if known.good_flag:
        return Verdict.FINE if value else Verdict.ERROR
    if known.bad_flag:
        return Verdict.ERROR if value else Verdict.FINE
    return None


def _judge_number(known: Role, value: float) -> Verdict | None:
    if known.good_flag and value in (0, 1):
        return _judge_flag(known, bool(value))
    if known.exit:
        return Verdict.ERROR if value else Verdict.FINE
    if known.code and 100 <= value <= 599:
        return Verdict.ERROR if value >= 500 else Verdict.WARNING if value >= 400 else Verdict.FINE
    if known.state and value in (
        10,
        20,
        30,
        40,
        50,
        60,
    ):  # loggers number their levels; from 50 on all call it an error
        return Verdict.ERROR if value >= 50 else Verdict.WARNING if value == 40 else Verdict.FINE
    return None


def _judge_text(known: Role, value: str) -> Verdict | None:
    word = plain_word(value)
    if known.good_flag and word in ("true", "false", "yes", "no", "1", "0"):
        return _judge_flag(known, word in ("true", "yes", "1"))
    if known.state or known.good_flag:
        return WORD_VERDICTS.get(word) if not word.isdigit() else _judge_number(known, float(word[:6]))
    if known.code and word.isdigit():
        return _judge_number(known, float(word[:6]))
    if known.event:
        worst = WORD_VERDICTS.get(re.split(r"[.:/ _-]", word)[-1])
        return worst if worst in (Verdict.ERROR, Verdict.CRITICAL) else None
    return _judge_sentence(known, value)


def _judge_sentence(known: Role, value: str) -> Verdict | None:
    if known.fault or known.bad_flag:
        return (
            Verdict.ERROR
            if value.strip() and plain_word(value) not in ("none", "null", "no", "false", "0", "-")
            else None
        )
    if known.text and re.match(r"\s*(error|exception|traceback|fatal)\b\s*[:(]", value[:60], re.IGNORECASE):
        return Verdict.WARNING
    return None


def plain_word(value: str) -> str:
    """A state's word for comparing: `" Timed-Out "` is `timed_out`."""
    return re.sub(r"[\s-]+", "_", value[:60].strip()).lower()


def number(value: object) -> float | None:
    """*value* as a float when it is a number (not a flag) of a size one can reckon with, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        size = float(value)
    except OverflowError:
        return None
    return size if abs(size) < 1e150 else None  # sums and differences of these never overflow


_DIGIT_RUNS = re.compile(r"(?<![\w.])[-+]?\d[\d.,:]*(?<=\d)(?![A-Za-z]{2}|_)")
_HEX_RUNS = re.compile(r"\b(?=[0-9a-f-]*\d)[0-9a-f]{8}[0-9a-f-]*\b", re.IGNORECASE)


def shape(text: str) -> str:
    """A sentence without its numbers and ids, so that `High CPU: 85.8%` and `High CPU: 91%` are one complaint."""
    return _DIGIT_RUNS.sub("#", _HEX_RUNS.sub("#", text[:160])).strip()


def first_number(text: str) -> float | None:
    """The first number in a sentence; None without one."""
    match = re.search(r"(?<![\w.])-?\d{1,15}(\.\d{1,6})?", text[:160])
    return float(match[0]) if match else None
