"""Which set of jobs is in force, and what a new file would have to say to come into force.

A bad jobs file never replaces a good set (I28). The scheduler alone puts sets on the shelf; everybody else reads what is
on it, and judges for itself only what no scheduler is there to judge.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from echopilot_jobs import builtin
from echopilot_jobs.clock import SystemClock, iso
from echopilot_jobs.definitions import shelf
from echopilot_jobs.definitions.sheet import NAME, Sheet, Stamp, path_of, read_sheet, stamp_of
from echopilot_jobs.definitions.shelf import Accepted, Refused, Shelf, read_shelf, write_shelf
from echopilot_jobs.jobs import Registry
from echopilot_jobs.jobsfile import BadJobsFile, Document, Problem, compose, read
from echopilot_jobs.placeholders import names_in
from echopilot_jobs.processes import Owner, is_alive
from echopilot_jobs.settings import Settings

GONE = Problem("it is gone; the last good set stays in force; put it back, or create an empty one", file=NAME)


@dataclass(frozen=True)
class InForce:
    """The jobs that run. *problems* says why the jobs file as it is now is not among them; empty when it is."""

    registry: Registry
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    accepted_at: datetime | None = None
    refused_at: datetime | None = None

    @property
    def refusal(self) -> str:
        """In one short sentence: that the jobs file is not in force, and what runs instead. Empty when it is in force."""
        if not self.problems:
            return ""
        many = f"{len(self.problems)} mistake{'s' if len(self.problems) > 1 else ''}"
        what = f"{NAME} is gone" if self.problems == (GONE,) else f"{NAME} is refused: {many}"
        return f"{what}; {'the last good set keeps running' if self.accepted_at else 'only the built-in jobs run'}"

    def as_dict(self) -> dict[str, Any]:
        """How the jobs file stands, as plain JSON; field names are kept from release to release."""
        return {
            "ok": not self.problems,
            "problems": [problem.as_dict() for problem in self.problems],
            "warnings": [problem.as_dict() for problem in self.warnings],
            "accepted_at": iso(self.accepted_at) if self.accepted_at else None,
            "refused_at": iso(self.refused_at) if self.refused_at else None,
        }


@dataclass(frozen=True)
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


# -- what is in force


def in_force(settings: Settings) -> InForce:
    """The set in force. Starts no process and raises nothing for a bad jobs file."""
    return _in_force(settings, read_sheet(path_of(settings)), read_shelf(shelf.path_of(settings)))[0]


class Desk:
    """`in_force` for whoever asks often: read again only when the file or the shelf has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._guard = threading.Lock()
        self._known: tuple[tuple[Stamp, Stamp], InForce] | None = None

    def now(self) -> InForce:
        """The set in force at this moment."""
        with self._guard:
            stamps = stamp_of(path_of(self._settings)), stamp_of(shelf.path_of(self._settings))
            if self._known is not None and self._known[0] == stamps:
                return self._known[1]
            sheet, kept = read_sheet(path_of(self._settings)), read_shelf(shelf.path_of(self._settings))
            found, is_judged = _in_force(self._settings, sheet, kept)
            self._known = (stamps, found) if is_judged else None
            return found


def _in_force(settings: Settings, sheet: Sheet, kept: Shelf) -> tuple[InForce, bool]:
    """The set in force, and whether that stays so until the file or the shelf changes."""
    if _is_judged(sheet, kept):
        return last_good(settings, kept, _why_not(sheet, kept)), True
    if scheduler_lives(settings):
        return last_good(settings, kept, ()), False  # it will have judged the file in a moment
    code = kept.accepted.code if kept.accepted is not None else ()
    known = kept.accepted.names if kept.accepted is not None else ()
    checked = _judged(settings, sheet, kept, code, known)
    if checked.registry is None:
        return last_good(settings, kept, checked.problems), False
    return InForce(checked.registry, (), checked.warnings), False


def _is_judged(sheet: Sheet, kept: Shelf) -> bool:
    """Whether the shelf speaks of this very file, or there neither is nor ever was one."""
    known = [each.digest for each in (kept.accepted, kept.refused) if each is not None]
    return sheet.digest in known or (sheet.is_absent and kept.accepted is None)


def _why_not(sheet: Sheet, kept: Shelf) -> tuple[Problem, ...]:
    refused = kept.refused
    return refused.problems if refused is not None and refused.digest == sheet.digest else ()


def last_good(settings: Settings, kept: Shelf, problems: tuple[Problem, ...]) -> InForce:
    """The newest set that was accepted, the built-in jobs alone where none ever was, and why no newer one."""
    refused_at = kept.refused.at if kept.refused is not None and problems else None
    if kept.accepted is None:
        return InForce(builtin.jobs(settings), problems, refused_at=refused_at)
    accepted = kept.accepted
    # What could be filled when it was accepted counts as filled: this process may be somebody's shell.
    environ = {**dict.fromkeys(accepted.names, ""), **os.environ}
    try:
        composed = compose(builtin.document(settings), accepted.document, accepted.code, environ=environ)
    except BadJobsFile as error:  # the settings have changed since, and the built-in jobs with them
        return InForce(builtin.jobs(settings), problems or error.found, (), accepted.at, refused_at)
    return InForce(composed.registry, problems, accepted.warnings, accepted.at, refused_at)


def living_scheduler(settings: Settings) -> Owner | None:
    """The scheduler of this folder, if one lives."""
    try:
        owner = Owner.parse((settings.var_dir / "scheduler.lock").read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
    return owner if is_alive(owner) else None


def scheduler_lives(settings: Settings) -> bool:
    """Whether a scheduler of this folder is there to judge a new file."""
    return living_scheduler(settings) is not None


# -- what a file would have to say


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
    nothing ran must not start once more. So is a refused one when there is nothing better to begin with.
    """
    sheet, kept = read_sheet(path_of(settings)), read_shelf(shelf.path_of(settings))
    if _is_judged(sheet, kept) and (kept.accepted is not None or kept.refused is None):
        return _in_force(settings, sheet, kept)[0], False
    checked = check_sheet(settings, sheet, kept, now)
    kept, _ = keep(settings, checked, now)
    if checked.registry is None:
        return last_good(settings, kept, checked.problems), True
    return InForce(checked.registry, (), checked.warnings, now), True


def keep(settings: Settings, checked: Checked, now: datetime) -> tuple[Shelf, str | None]:
    """Put what was *checked* on the shelf, and why it could not be written there, if so."""
    kept = read_shelf(shelf.path_of(settings))
    if checked.registry is not None:
        new = checked.accepted(now)
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
