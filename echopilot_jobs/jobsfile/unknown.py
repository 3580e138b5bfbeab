"""Keys nobody knows, and which one was most likely meant."""

from __future__ import annotations

from collections.abc import Sequence

from echopilot_jobs.jobs.params import shown

# What other schedulers call it, or what one would guess.
_ELSEWHERE = {
    "schedule": "cron",
    "crontab": "cron",
    "interval": "every",
    "seconds": "every",
    "minutes": "every",
    "hours": "every",
    "days": "every",
    "time": "at",
    "tz": "timezone",
    "zone": "timezone",
    "end": "until",
    "end_date": "until",
    "splay": "jitter",
    "random_delay": "jitter",
    "func": "run",
    "function": "run",
    "callable": "run",
    "target": "run",
    "task": "run",
    "python": "run",
    "script": "command",
    "cmd": "command",
    "exec": "command",
    "args": "command",
    "argv": "command",
    "url": "http",
    "request": "http",
    "disabled": "enabled",
    "active": "enabled",
    "paused": "enabled",
    "startup": "on_startup",
    "run_on_start": "on_startup",
    "time_limit": "timeout",
    "max_runtime": "timeout",
    "max_retries": "retries",
    "retry": "retries",
    "attempts": "retries",
    "coalesce": "catch_up",
    "misfire": "catch_up",
    "misfire_grace_time": "catch_up_window",
    "window": "catch_up_window",
    "max_instances": "overlap",
    "concurrency": "overlap",
    "environment": "env",
    "vars": "env",
    "workdir": "cwd",
    "working_directory": "cwd",
    "directory": "cwd",
    "parameters": "params",
    "alert": "on_failure",
    "notify": "on_failure",
    "healthcheck": "ping",
    "comment": "description",
    "title": "description",
    "job": "jobs",
    "module": "modules",
    "imports": "modules",
    "status": "expect",
    "verb": "method",
    "data": "body",
    "payload": "json",
    "allow_redirects": "redirects",
    "follow_redirects": "redirects",
    "private": "allow_private",
    "enum": "choices",
    "help": "description",
}


def about_unknown(key: str, value: object, known: Sequence[str], where: str) -> str:
    """What is said about an unknown key: the likeliest known one, else all of them."""
    guess = guess_of(key, known)
    if guess:
        return f"no such key {where}; did you mean '{guess}'?"
    if isinstance(value, dict) and "jobs" in known:
        return f"no such table {where}; did you mean [jobs.{shown(key)}]?"
    return f"no such key {where}; known: {', '.join(known)}"


def guess_of(key: str, known: Sequence[str]) -> str:
    """The known key that is most likely meant; empty where none is near."""
    from difflib import get_close_matches

    key = key.lower()[:80].replace("-", "_")
    near = get_close_matches(key, known, n=1, cutoff=0.7)
    other = _ELSEWHERE.get(key, "")
    return near[0] if near else other if other in known else ""
