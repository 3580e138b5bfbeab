"""Which set of jobs is in force, for whoever asks. Starts no process and writes nothing.

What was judged is read from the shelf, composed if need be; a file that nobody has judged is judged here only when no
scheduler is there to do it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopilot_jobs import builtin, jobsfile
from echopilot_jobs.access import hidden
from echopilot_jobs.clock import SystemClock, iso
from echopilot_jobs.definitions import shelf
from echopilot_jobs.definitions.composed import read_composed
from echopilot_jobs.definitions.sheet import GONE, NAME, Sheet, Stamp, path_of, read_sheet, stamp_of
from echopilot_jobs.definitions.shelf import Accepted, Shelf, read_shelf
from echopilot_jobs.disk import read_whole
from echopilot_jobs.jobs import Registry
from echopilot_jobs.jobsfile.problems import BadJobsFile, Problem
from echopilot_jobs.records import record
from echopilot_jobs.settings import Settings

if TYPE_CHECKING:
    from echopilot_jobs.processes import Owner

UNKNOWN = Problem(
    "what the scheduler runs is not known here: `var/jobs.accepted.json` is missing, damaged or older than this file; it is "
    "written again as soon as that is possible; see `echopilot doctor` for the disk, and `echopilot logs scheduler`",
    file=NAME,
)
ONLY_BUILT_IN = "only the built-in jobs"
JUDGED_WITHIN = timedelta(seconds=15)  # two seconds, and ten for what has to be imported

JobsOf = Callable[[Settings, Accepted | None], Registry]


@record(frozen=True)
class InForce:
    """The jobs that run. *problems* says why the jobs file as it is now is not among them; empty when it is.

    *instead* names what runs as long as that is so: `the last good set without self_heal`.
    """

    registry: Registry
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    accepted_at: datetime | None = None
    refused_at: datetime | None = None
    instead: str = ""

    @property
    def refusal(self) -> str:
        """In one short sentence: that the jobs file is not in force, and what runs instead. Empty when it is in force."""
        if not self.problems:
            return ""
        if self.problems == (UNKNOWN,):
            return "what the scheduler runs is not known here"
        many = f"{len(self.problems)} mistake{'s' if len(self.problems) > 1 else ''}"
        what = f"{NAME} is gone" if self.problems == (GONE,) else f"{NAME} is refused: {many}"
        return f"{what}; {self.meanwhile}"

    @property
    def remedy(self) -> str:
        """What a person can do about the problems."""
        if self.problems == (UNKNOWN,):
            return "see to the disk if it is full; nothing that runs is stopped by this"
        return f"correct it and save it; `echopilot check` lists every mistake; until then {self.meanwhile}"

    @property
    def meanwhile(self) -> str:
        """What is in force as long as the jobs file is not: in words that are true whether or not the stack is up."""
        return f"{self.instead} {'are' if self.instead == ONLY_BUILT_IN else 'stays'} in force"

    def as_dict(self) -> dict[str, Any]:
        """How the jobs file stands, as plain JSON; field names are kept from release to release."""
        return {
            "ok": not self.problems,
            "problems": [problem.as_dict() for problem in self.problems],
            "warnings": [problem.as_dict() for problem in self.warnings],
            "accepted_at": iso(self.accepted_at) if self.accepted_at else None,
            "refused_at": iso(self.refused_at) if self.refused_at else None,
        }


def in_force(settings: Settings) -> InForce:
    """The set in force. Starts no process and raises nothing for a bad jobs file."""
    return _in_force(settings, read_sheet(path_of(settings)), read_shelf(shelf.path_of(settings)))[0]


def as_written(settings: Settings) -> InForce:
    """The set that the jobs file as it is now comes to, also while a living scheduler has not judged it yet.

    Where it comes to none, the set in force with what is wrong. Starts no process.
    """
    sheet, kept = read_sheet(path_of(settings)), read_shelf(shelf.path_of(settings))
    return _in_force(settings, sheet, kept)[0] if is_judged(sheet, kept) else _judged_here(settings, sheet, kept)


class Desk:
    """`in_force` for whoever asks often: read again only when the file or the shelf has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._guard = threading.Lock()
        self._known: tuple[tuple[Stamp, Stamp], InForce] | None = None
        self._last = InForce(Registry([]))

    def now(self) -> InForce:
        """The set in force at this moment; while its folder is closed to us the last one known, with that as its problem."""
        with self._guard:
            if closed := hidden(path_of(self._settings)):
                return replace(self._last, problems=(Problem(closed, file=NAME),))
            stamps = stamp_of(path_of(self._settings)), stamp_of(shelf.path_of(self._settings))
            if self._known is not None and self._known[0] == stamps:
                return self._known[1]
            sheet, kept = read_sheet(path_of(self._settings)), read_shelf(shelf.path_of(self._settings))
            found, lasts = _in_force(self._settings, sheet, kept)
            self._known = (stamps, found) if lasts else None
            self._last = found
            return found


def _in_force(settings: Settings, sheet: Sheet, kept: Shelf) -> tuple[InForce, bool]:
    """The set in force, and whether that stays so until the file or the shelf changes."""
    if is_judged(sheet, kept):
        return last_good(settings, kept, why_not(sheet, kept)), True
    if scheduler_lives(settings):
        is_known = kept.accepted is not None and _is_fresh(path_of(settings))  # it will have been judged in a moment
        return last_good(settings, kept, () if is_known else (UNKNOWN,)), False
    return _judged_here(settings, sheet, kept), False


def _judged_here(settings: Settings, sheet: Sheet, kept: Shelf) -> InForce:
    from echopilot_jobs.definitions.judging import judged_alone

    checked = judged_alone(settings, sheet, kept)
    if checked.registry is None:
        return last_good(settings, kept, checked.problems)
    return InForce(checked.registry, (), checked.warnings)


def _is_fresh(path: Path) -> bool:
    """Whether the file was changed so lately that nobody may have judged it yet; so is one that was just removed."""
    stamp = stamp_of(path)
    if stamp is None:
        return True
    changed = datetime.fromtimestamp(max(stamp[0], stamp[3]) / 1e9, UTC)
    return SystemClock().now() - changed < JUDGED_WITHIN


def is_judged(sheet: Sheet, kept: Shelf) -> bool:
    """Whether the shelf speaks of this very file, or there neither is nor ever was one."""
    known = [each.digest for each in (kept.accepted, kept.refused) if each is not None]
    return sheet.digest in known or (sheet.is_absent and kept.accepted is None)


def why_not(sheet: Sheet, kept: Shelf) -> tuple[Problem, ...]:
    """What the shelf has against this very file."""
    refused = kept.refused
    return refused.problems if refused is not None and refused.digest == sheet.digest else ()


def last_good(settings: Settings, kept: Shelf, problems: tuple[Problem, ...], jobs_of: JobsOf | None = None) -> InForce:
    """The newest set that was accepted, the built-in jobs alone where none ever was, and why no newer one.

    *jobs_of* tells what an accepted set comes to; unless given, what is known of that is believed.
    """
    accepted = kept.accepted
    at = accepted.at if accepted is not None else None
    refused_at = kept.refused.at if kept.refused is not None and problems else None
    warnings = accepted.warnings if accepted is not None else ()
    try:
        registry = (jobs_of or _known_or_composed)(settings, accepted)
    except BadJobsFile as error:
        if accepted is None:
            raise
        from echopilot_jobs.definitions.fitting import what_fits

        registry, left_out = what_fits(settings, accepted, error.found)
        problems, warnings = (left_out, *(problems or error.found)), ()
    return InForce(registry, problems, warnings, at, refused_at, _instead(accepted, registry) if problems else "")


def _instead(accepted: Accepted | None, registry: Registry) -> str:
    if accepted is None:
        return ONLY_BUILT_IN
    from echopilot_jobs.definitions.fitting import in_words

    return in_words(accepted, registry)


def _known_or_composed(settings: Settings, accepted: Accepted | None) -> Registry:
    known = read_composed(settings, accepted, lambda: scheduler_lives(settings))
    return composed_of(settings, accepted) if known is None else known


def composed_of(settings: Settings, accepted: Accepted | None) -> Registry:
    """The jobs that *accepted* comes to. Raises `BadJobsFile`."""
    if accepted is None:
        return builtin.jobs(settings)
    return composed_with(builtin.document(settings), accepted)


def composed_with(built_in: jobsfile.Document, accepted: Accepted) -> Registry:
    """The jobs that *accepted* comes to beside those *built_in*. Raises `BadJobsFile`."""
    # What could be filled when it was accepted counts as filled: this process may be somebody's shell.
    environ = {**dict.fromkeys(accepted.names, ""), **os.environ}
    return jobsfile.compose(built_in, accepted.document, accepted.code, environ=environ).registry


def living_scheduler(settings: Settings) -> Owner | None:
    """The scheduler of this folder, if one lives."""
    from echopilot_jobs.processes import Owner, is_alive

    try:
        owner = Owner.parse(read_whole(settings.var_dir / "scheduler.lock").decode("ascii").strip())
    except (OSError, ValueError):
        return None
    return owner if is_alive(owner) else None


def scheduler_lives(settings: Settings) -> bool:
    """Whether a scheduler of this folder is there to judge a new file."""
    return living_scheduler(settings) is not None
