"""What the jobs file would have to say to come into force, and the scheduler's side: putting sets on the shelf.

A bad jobs file never replaces a good set (I28). The scheduler alone puts sets on the shelf; everybody else reads what is
on it, and judges for itself only what no scheduler is there to judge.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from datetime import datetime
from pathlib import Path

from echopilot_jobs import builtin
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.definitions import shelf
from echopilot_jobs.definitions.composed import path_of as composed_path
from echopilot_jobs.definitions.composed import write_composed
from echopilot_jobs.definitions.inforce import InForce, composed_of, is_judged, last_good, scheduler_lives, why_not
from echopilot_jobs.definitions.sheet import GONE, NAME, Sheet, Stamp, path_of, read_sheet, stamp_of
from echopilot_jobs.definitions.shelf import Accepted, Refused, Shelf, read_shelf, write_shelf
from echopilot_jobs.jobs import Registry
from echopilot_jobs.jobsfile import BadJobsFile, Document, Problem, compose, read
from echopilot_jobs.placeholders import names_in
from echopilot_jobs.records import record
from echopilot_jobs.settings import Settings


@record(frozen=True)
class Checked:
    """What a full check found. *registry* is there when nothing is wrong; a change of *files* asks for another check."""

    digest: str | None
    registry: Registry | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    document: Document | None = None
    code: tuple[Document, ...] = ()
    names: tuple[str, ...] = ()
    files: frozenset[Path] = field(default=frozenset(), compare=False)

    def accepted(self, now: datetime) -> Accepted:
        """As it is kept on the shelf."""
        return Accepted(self.digest, now, self.document, self.code, self.names, self.warnings)


def check(settings: Settings) -> Checked:
    """Judge the jobs file as it is now, with everything it names: modules and functions are imported in a child.

    A `${NAME}` that the living scheduler could fill counts as filled: this process may be somebody's shell.
    """
    kept = read_shelf(shelf.path_of(settings))
    known = kept.accepted.names if kept.accepted is not None and scheduler_lives(settings) else ()
    return check_sheet(settings, read_sheet(path_of(settings)), kept, SystemClock().now(), known)


def check_sheet(settings: Settings, sheet: Sheet, kept: Shelf, now: datetime, known: Sequence[str] = ()) -> Checked:
    """Judge *sheet*, with all errors at once; warnings tell of what comes after *now*."""
    from echopilot_jobs.definitions.probing import World, in_order, probe

    document, problems = _read(sheet, kept)
    if document is None:
        return _judged(settings, sheet, kept, ())
    probed = probe(World(settings.home, os.environ), document)
    judged = _judged(settings, sheet, kept, tuple(probed.code), known, now)
    problems = in_order([*judged.problems, *probed.problems])
    warnings = in_order([*judged.warnings, *probed.warnings])
    registry = None if problems else judged.registry
    return replace(judged, registry=registry, problems=problems, warnings=warnings, files=frozenset(probed.files))


def judged_alone(settings: Settings, sheet: Sheet, kept: Shelf) -> Checked:
    """What *sheet* says where no scheduler is there to check it: the modules it names are taken to declare what they did."""
    accepted = kept.accepted
    if accepted is None:
        return _judged(settings, sheet, kept, ())
    return _judged(settings, sheet, kept, accepted.code, accepted.names)


def _judged(
    settings: Settings,
    sheet: Sheet,
    kept: Shelf,
    code: tuple[Document, ...],
    known: Sequence[str] = (),
    now: datetime | None = None,
) -> Checked:
    """What *sheet* says, without a look at the world. *known*: `${NAME}`s that count as filled."""
    document, problems = _read(sheet, kept)
    environ = {**dict.fromkeys(known, ""), **os.environ}
    checked = Checked(sheet.digest, None, problems, (), document, code, _filled_names(document, code, environ))
    if problems:
        return checked
    try:
        composed = compose(builtin.document(settings), document, code, environ=environ, now=now)
    except BadJobsFile as error:
        return replace(checked, problems=error.found)
    return replace(checked, registry=composed.registry, warnings=composed.warnings)


def _read(sheet: Sheet, kept: Shelf) -> tuple[Document | None, tuple[Problem, ...]]:
    """The document on *sheet*; None where there is none, with the reason if there ought to be one."""
    if sheet.problem is not None:
        return None, (sheet.problem,)
    if sheet.content is None:
        had_one = kept.accepted is not None and kept.accepted.digest is not None
        return None, (GONE,) if had_one else ()
    try:
        return read(sheet.content, NAME), ()
    except BadJobsFile as error:
        return None, error.found


def _filled_names(document: Document | None, code: tuple[Document, ...], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The `${NAME}`s anywhere in the documents that can be filled now."""
    found: set[str] = set()
    waiting: list[object] = [each.tables for each in (*code, *([document] if document is not None else []))]
    while waiting:
        match waiting.pop():
            case str() as text:
                found.update(names_in(text))
            case dict() as table:
                waiting += table.values()
            case list() as items:
                waiting += items
    return tuple(sorted(name for name in found if name in environ))


# -- the scheduler's side


def begin(settings: Settings, now: datetime) -> tuple[InForce, bool]:
    """What a scheduler begins with, and whether it had to check for that.

    A file it knows is used at once and checked again later; a new one is checked first: a job that was removed while
    nothing ran must not start once more. So is a refused one when there is nothing better to begin with, and one that was
    accepted and refused since: what was wrong may be mended.
    """
    sheet, kept = read_sheet(path_of(settings)), read_shelf(shelf.path_of(settings))
    problems, has_checked = why_not(sheet, kept), not _is_used_at_once(sheet, kept)
    if has_checked:
        checked = check_sheet(settings, sheet, kept, now)
        kept, _ = keep(settings, checked, now)
        if checked.registry is not None:
            return InForce(checked.registry, (), checked.warnings, now), True
        problems = checked.problems
    found = last_good(settings, kept, problems, composed_of)
    write_composed(settings, kept.accepted, found.registry)
    if found.problems and not problems:  # it was accepted, and no longer fits
        keep(settings, Checked(sheet.digest, None, found.problems), now)
    return found, has_checked


def _is_used_at_once(sheet: Sheet, kept: Shelf) -> bool:
    if kept.refused is None:
        return is_judged(sheet, kept)
    return is_judged(sheet, kept) and kept.accepted is not None and kept.accepted.digest != kept.refused.digest


def keep(settings: Settings, checked: Checked, now: datetime) -> tuple[Shelf, str | None]:
    """Put what was *checked* on the shelf, and why it could not be written there, if so."""
    kept = read_shelf(shelf.path_of(settings))
    if checked.registry is not None:
        new = checked.accepted(now)
        write_composed(settings, new, checked.registry)
        same = kept.accepted is not None and new.says_the_same(kept.accepted)
        wanted = Shelf(replace(new, at=kept.accepted.at) if same and kept.accepted is not None else new)
    else:
        refused = Refused(checked.digest, now, checked.problems)
        if kept.refused is not None and replace(refused, at=kept.refused.at) == kept.refused:
            refused = kept.refused
        wanted = Shelf(kept.accepted, refused)
    if wanted == kept:
        return kept, None
    try:
        write_shelf(shelf.path_of(settings), wanted)
    except OSError as error:
        return wanted, f"{error.strerror}: '{shelf.path_of(settings)}'"
    return wanted, None


def kept_stamps(settings: Settings) -> list[Stamp]:
    """What changes with the files that tell others which set is in force."""
    return [stamp_of(path) for path in (shelf.path_of(settings), composed_path(settings))]


def put_back(settings: Settings, kept: Shelf, *, was_written: bool) -> bool:
    """Write those files again: what *kept* says is in force as before. Whether the shelf says so now.

    One that *was_written* and speaks of another set since was written by another scheduler, and stays.
    """
    found = read_shelf(shelf.path_of(settings))
    if was_written and found not in (Shelf(), kept):
        return True
    with suppress(OSError):
        if found != kept:
            write_shelf(shelf.path_of(settings), kept)
        write_composed(settings, kept.accepted, last_good(settings, kept, (), composed_of).registry)
        return True
    return False
