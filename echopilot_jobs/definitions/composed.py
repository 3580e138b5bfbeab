"""`var/jobs.composed.json`: the jobs that the accepted definitions came to, for whoever only looks.

To read and judge a jobs file takes longer than all else that `echopilot status` does. This is a cache: it may be removed at
any time, and is believed only as long as it was made from the very definitions that are accepted now, by this code. The
scheduler never reads it: it composes what it runs, and writes down here what came of that. So while one lives, this is what
runs, even if it was started with other settings than the shell of whoever looks, or the code has changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from echopilot_jobs import __version__, builtin
from echopilot_jobs.definitions.shelf import Accepted, defined_json
from echopilot_jobs.disk import read_whole
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobs import Registry
from echopilot_jobs.jobs.facts import facts_of_jobs, jobs_of
from echopilot_jobs.ledger.durable import write_whole
from echopilot_jobs.revision import code_revision
from echopilot_jobs.settings import Settings

UNLIKE_OURS = (
    *(OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError),
    ConfigError,
)  # whatever stands in it, a look at the jobs goes on


def path_of(settings: Settings) -> Path:
    """Where it lies in this folder."""
    return settings.var_dir / "jobs.composed.json"


def read_composed(
    settings: Settings, accepted: Accepted | None, is_running: Callable[[], bool] = lambda: False
) -> Registry | None:
    """What *accepted* came to; None where that is not known here and has to be composed.

    Made by other code or with other settings than here it is believed only if *is_running*.
    """
    try:
        kept = json.loads(read_whole(path_of(settings)))
        if kept["made_from"] != _sum(defined_json(accepted)) or kept["sha256"] != _sum(kept["set"]):
            return None
        as_here = kept["made_by"] == _here(settings)
        return jobs_of(kept["set"]) if as_here or is_running() else None
    except UNLIKE_OURS:
        return None


def write_composed(settings: Settings, accepted: Accepted | None, registry: Registry) -> None:
    """Keep that *accepted* came to *registry*. Where that cannot be written, or would not come back as it is, nothing is."""
    path, kept = path_of(settings), _written(settings, accepted, registry)
    with suppress(OSError):
        if kept is None:
            path.unlink(missing_ok=True)
        elif not _says(path, kept):
            write_whole(path, kept)


def _says(path: Path, content: bytes) -> bool:
    try:
        return read_whole(path) == content
    except OSError:
        return False


def _here(settings: Settings) -> str:
    return _sum([__version__, code_revision(), builtin.text(settings)])


def _sum(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("ascii")).hexdigest()


def _written(settings: Settings, accepted: Accepted | None, registry: Registry) -> bytes | None:
    """What is kept; None for jobs that would come back as others."""
    try:
        facts = facts_of_jobs(registry)
        made = {"made_from": _sum(defined_json(accepted)), "made_by": _here(settings), "sha256": _sum(facts)}
        kept = json.dumps({**made, "set": facts}).encode("ascii")
        found = jobs_of(json.loads(kept)["set"])
    except UNLIKE_OURS:
        return None
    same = [*found.values()] == [*registry.values()] and found.group_limits == registry.group_limits
    return kept if same else None
