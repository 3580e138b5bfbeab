"""What of an accepted set still fits, when the settings or the code have changed since and not all of it does."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from echopilot_jobs import builtin
from echopilot_jobs.definitions.inforce import ONLY_BUILT_IN, composed_with
from echopilot_jobs.definitions.sheet import NAME
from echopilot_jobs.definitions.shelf import Accepted
from echopilot_jobs.jobs import Registry
from echopilot_jobs.jobsfile import BadJobsFile, Document, Problem
from echopilot_jobs.jobsfile.layers import tables_of
from echopilot_jobs.settings import Settings

NAMED_MOST = 5


def in_words(accepted: Accepted, registry: Registry) -> str:
    """What *registry* is, made of *accepted*: the last good set, that without some jobs, or only the built-in ones."""
    names = {name for document in (*accepted.code, accepted.document) if document for name, _ in tables_of(document)}
    out = {name for name in names if name not in registry or registry[name].declared_in == builtin.NAME}
    if out and out == names:
        return ONLY_BUILT_IN
    return f"the last good set {_without(out)}" if out else "the last good set"


def what_fits(settings: Settings, accepted: Accepted, found: Iterable[Problem]) -> tuple[Registry, Problem]:
    """The jobs of *accepted* but those of which something was *found* wrong, and the words that say so.

    A built-in job among those is there and disabled: it must not run as nobody wanted it. Where it is no job that is wrong,
    the built-in jobs are all that is left.
    """
    out: set[str] = set()
    while not (names := {problem.job for problem in found if problem.job}) <= out:
        out |= names
        try:
            return _composed_without(settings, accepted, out), _left_out(_without(out))
        except BadJobsFile as error:
            found = error.found
    return builtin.jobs(settings), _left_out(ONLY_BUILT_IN)


def _left_out(what: str) -> Problem:
    return Problem(f"the settings or the code have changed since it was accepted, and not all of it fits: {what}", NAME)


def _without(out: Collection[str]) -> str:
    named = sorted(out)[:NAMED_MOST]
    more = f" and {len(out) - len(named):,} more" if len(out) > len(named) else ""
    return f"without {', '.join(named)}{more}"


def _composed_without(settings: Settings, accepted: Accepted, out: Collection[str]) -> Registry:
    built_in = builtin.document(settings)
    off = {name: {**table, "enabled": False} for name, table in built_in.tables["jobs"].items() if name in out}
    built_in = replace(built_in, tables={**built_in.tables, "jobs": {**built_in.tables["jobs"], **off}})
    document = None if accepted.document is None else _lessened(accepted.document, out)
    code = tuple(_lessened(each, out) for each in accepted.code)
    return composed_with(built_in, replace(accepted, document=document, code=code))


def _lessened(document: Document, out: Collection[str]) -> Document:
    jobs = {name: table for name, table in document.tables.get("jobs", {}).items() if name not in out}
    return replace(document, tables={**document.tables, "jobs": jobs})
