"""Documents into the jobs in force: every mistake in all of them is found in one pass."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from echopilot_jobs.jobs import NAME_RULE, Job, Registry
from echopilot_jobs.jobs.params import shown
from echopilot_jobs.jobsfile.advice import advise
from echopilot_jobs.jobsfile.documents import MODULE_RULE, MODULES_MOST, Document
from echopilot_jobs.jobsfile.keys import keys_of, validated
from echopilot_jobs.jobsfile.layers import KINDS, RHYTHM, Layered, first, over, tables_of
from echopilot_jobs.jobsfile.making import job_of
from echopilot_jobs.jobsfile.notes import Notes
from echopilot_jobs.jobsfile.problems import BadJobsFile, Problem
from echopilot_jobs.jobsfile.tables import FileTable
from echopilot_jobs.jobsfile.unknown import about_unknown
from echopilot_jobs.jobsfile.words import NAME_WANTED, ONE_NAME, Wrong, came, nearest, whole
from echopilot_jobs.records import record

GROUP_MOST = 1_000


@record(frozen=True)
class Composed:
    """The jobs that follow from the documents, and what is worth knowing about them though nothing is wrong."""

    registry: Registry
    warnings: tuple[Problem, ...] = ()


def compose(
    built_in: Document,
    user: Document | None = None,
    code: Sequence[Document] = (),
    *,
    environ: Mapping[str, str],
    now: datetime | None = None,
) -> Composed:
    """The jobs of all documents: built-in ones, those in code, and the user's, which may be laid over either.

    *environ* tells which `${NAME}` can be filled; no value of it is used. With *now*, warnings tell which of the coming
    times the jumps of a zone's clocks move. Raises `BadJobsFile` with everything that is wrong, in the order of the files.
    """
    documents = [built_in, *code, *([user] if user else [])]
    notes = [Notes(document) for document in documents]
    for each in notes:
        _judge_file(each)
    layered, misnamed = _layered(built_in, user, notes)
    limits = {name: limit for each in notes for name, limit in _groups(each).items()}
    for one in misnamed:  # what stands in them may be wrong, too
        notes.append(Notes(one.home, one.name, one.sources))
        job_of(replace(one, name="misnamed"), notes[-1], user)
    jobs: list[Job] = []
    for one in layered.values():
        about = Notes(one.home, one.name, one.sources)
        notes.append(about)
        job = job_of(one, about, user)
        if job is None:
            _judge_stray(one, about, user, [name for name, other in layered.items() if other.home is not user])
            continue
        jobs.append(job)
        if one.home is not built_in or one.above is not None:
            advise(job, set(one.table), about, limits, environ, now)
    if problems := [problem for each in notes for problem in each.problems]:
        raise BadJobsFile(problems)
    return Composed(Registry(jobs, limits), tuple(warning for each in notes for warning in each.warnings))


def _judge_stray(one: Layered, notes: Notes, user: Document | None, known: Sequence[str]) -> None:
    """A table without a schedule and without an action is most likely meant for a job that is there already."""
    if one.home is user and not (RHYTHM | KINDS) & set(one.table) and (hint := nearest(one.name, known)):
        notes.wrong([], f"no job of this name is built in or in code{hint}")


def _judge_file(notes: Notes) -> None:
    """What stands at the top of a file."""
    _, faults = validated(FileTable, notes.home.tables)
    for name, value, message in faults:
        notes.wrong([name], message or about_unknown(name, value, keys_of(FileTable), "at the top of the file"))
    found = notes.home.tables.get("modules", [])
    if not isinstance(found, list) or len(found) > MODULES_MOST:
        notes.wrong(
            ["modules"], f"came {came(found)}; wanted: a list of at most {MODULES_MOST} modules, ['myapp.jobs']"
        )
        return
    for number, name in enumerate(found):
        if not isinstance(name, str) or not MODULE_RULE.fullmatch(name) or len(name) > 200:
            notes.wrong(["modules", str(number)], f"came {came(name)}; wanted: a module such as 'myapp.jobs'")


def _groups(notes: Notes) -> dict[str, int]:
    """The limits a file gives; bad ones are noted and left out."""
    found = notes.home.tables.get("groups")
    limits = {}
    for name, limit in found.items() if isinstance(found, Mapping) else ():
        if not ONE_NAME.fullmatch(name):
            notes.wrong(["groups", name], f"came {came(name)}; wanted: a name of {NAME_WANTED}")
        try:
            limits[name] = whole(1, GROUP_MOST)(limit)
        except Wrong as error:
            notes.wrong(["groups", name], str(error))
    return limits


def _layered(
    built_in: Document, user: Document | None, notes: Sequence[Notes]
) -> tuple[dict[str, Layered], list[Layered]]:
    """Every job by name, the user's words laid over what was there; and the tables whose name can be no job's."""
    found: dict[str, Layered] = {}
    misnamed: list[Layered] = []
    for each in notes:
        spellings: dict[str, str] = {}
        for name, table in tables_of(each.home):
            if not _judge_name(each, name, table, spellings):
                if isinstance(table, Mapping) and (RHYTHM | KINDS) & set(table):  # else meant for a job that is there
                    misnamed.append(first(name, each.home, table))
                continue
            if name not in found:
                found[name] = first(name, each.home, table)
            elif each.home is user:
                found[name] = over(found[name], each.home, table)
            else:
                owner = "a built-in job" if found[name].home is built_in else f"one of {found[name].home.name}"
                about = Notes(each.home, name, problems=each.problems)
                about.wrong([], f"there is {owner} of this name already; wanted: another name")
    return found, misnamed


def _judge_name(notes: Notes, name: str, table: object, spellings: dict[str, str]) -> bool:
    """Whether *name* and *table* can be a job at all; if not, that is noted."""
    about = Notes(notes.home, name, problems=notes.problems)
    folded = unicodedata.normalize("NFKC", name).casefold().strip()
    other = spellings.setdefault(folded, name)
    if not NAME_RULE.fullmatch(name):
        twin = f"; '{shown(other)}' is the same name in another spelling" if other != name else ""
        hint = f"; did you mean '{folded}'?" if folded != name and NAME_RULE.fullmatch(folded) and not twin else ""
        about.wrong([], f"the name came as {came(name)}; wanted: {NAME_WANTED}{hint}{twin}")
        return False
    if other != name:
        about.wrong([], f"'{shown(other)}' is the same name in another spelling; wanted: one name, one job")
        return False
    if not isinstance(table, Mapping):
        about.wrong([], f"came {came(table)}; wanted: a table: [jobs.{name}] and its keys below")
        return False
    return True
