"""What the verbs look at together: settings, the clock, the ledger, and how the scheduler stands."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from echopilot_jobs.access import is_there
from echopilot_jobs.cli import out
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.records import record
from echopilot_jobs.spans import ago, span

if TYPE_CHECKING:
    from echopilot_jobs.definitions import InForce
    from echopilot_jobs.jobs import Registry
    from echopilot_jobs.ledger import GuestLedger, SqliteReading
    from echopilot_jobs.runs import Run, Stint
    from echopilot_jobs.settings import Settings

START = "start it with `bin/stack`"
START_SCHEDULER = f"{START}, or with `supervisorctl start scheduler` where the stack runs already"


@record(frozen=True)
class Standing:
    """How the scheduler stands: `leading`, `silent` (no beat, or one ahead of the clock), `stopped`, or `never` started."""

    state: str
    sentence: str
    beat_age_s: float | None = None
    since: datetime | None = None  # when the scheduler it tells of began to lead

    @property
    def why(self) -> str:
        """Why none leads, without what to do: `stopped 5 min ago`, `never started here`."""
        sentence = self.sentence.partition(";")[0]
        return sentence if self.state == "never" else f"{self.state} {sentence}"

    @property
    def leads(self) -> bool:
        """Whether a scheduler plans and starts runs now."""
        return self.state == "leading"


def now() -> datetime:
    """The wall clock, read once per command."""
    return SystemClock().now()


def settings() -> Settings:
    """The settings in force; raises `ConfigError`."""
    from echopilot_jobs.settings import load

    return load()


def ledger(settings: Settings) -> GuestLedger:
    """The ledger as it is; raises `LedgerUnavailable` when nothing was ever started here, or it is gone."""
    from echopilot_jobs.ledger import GuestLedger

    return GuestLedger(_path(settings))


def reading(settings: Settings) -> SqliteReading:
    """As `ledger`, only to be asked: without what writes and plans, which takes longer to load than most answers."""
    from echopilot_jobs.ledger import SqliteReading

    return SqliteReading(_path(settings), create=False)


def _path(settings: Settings) -> Path:
    refuse_missing_ledger(settings, f"; {START}, or set ECHOPILOT_HOME to the folder that holds `var/`")
    return settings.ledger_path


def refuse_missing_ledger(settings: Settings, so: str) -> None:
    """Raise `LedgerUnavailable` where no ledger lies: the known one is gone, or nothing was ever started here, *so*."""
    refuse_missing_home(settings)
    path = settings.ledger_path
    if is_there(path):
        return
    from echopilot_jobs.ledger.missing import gone

    lost = gone(path)
    why = f"{lost.what}; {lost.do}" if lost else f"nothing was ever started here{so}"
    raise LedgerUnavailable(f"no ledger at '{path}': {why}")


def refuse_missing_home(settings: Settings) -> None:
    """Raise `LedgerUnavailable` when the home is no folder: `bin/stack` would not start there either."""
    from echopilot_jobs.settings import missing_home

    if not settings.home.is_dir():
        raise LedgerUnavailable(missing_home(settings.home))


def in_force(settings: Settings) -> InForce:
    """The jobs in force; says on standard error when the jobs file as it is now is not among them."""
    from echopilot_jobs import definitions

    return _warned(definitions.in_force(settings))


def as_written(settings: Settings) -> InForce:
    """The jobs that the jobs file as it is now comes to, whether or not they are in force yet; says what is wrong with it."""
    from echopilot_jobs import definitions

    return _warned(definitions.as_written(settings))


def _warned(found: InForce) -> InForce:
    if found.problems:
        out.say(f"warning: {not_in_force(found)}; see `echopilot check`")
    return found


def not_in_force(found: InForce) -> str:
    """That the jobs file is not what runs, with its first mistake and how many more there are."""
    others = len(found.problems) - 1
    more = f" (and {others:,} more mistake{'' if others == 1 else 's'})" if others else ""
    return f"the jobs file is not in force: {found.problems[0]}{more}"


def registry(settings: Settings) -> Registry:
    """`in_force`, the jobs alone."""
    return in_force(settings).registry


def say_unless_led(standing: Standing, so: str) -> None:
    """A note when nobody carries out what was shown: *so* says what that means."""
    if standing.leads:
        return
    if standing.state == "silent":
        what, _, do = standing.sentence.partition("; ")
        out.say(f"note: the scheduler is silent ({what}), so {so} until it answers again; {do}")
        return
    say_nobody_runs(standing, so)


def say_nobody_runs(standing: Standing, so: str) -> None:
    """A note that no scheduler is there; *so* says what that means."""
    out.say(f"note: no scheduler is running ({standing.why}), so {so}; {START_SCHEDULER}")


def _why_ended(stint: Stint) -> str:
    from echopilot_jobs.outages import end_words

    words = end_words(stint.ended_how)
    return f", because {words}" if words else ""


def standing(stint: Stint | None, now: datetime) -> Standing:
    """What the newest stint says about the scheduler."""
    if stint is None:
        return Standing("never", f"never started here; {START}")
    from echopilot_jobs.ledger.terms import Beat, beat_of

    age, beat = (now - stint.beat_at).total_seconds(), beat_of(stint, now)
    if stint.ended_at is not None:
        why = "" if stint.ended_how == "stopped" else _why_ended(stint)
        return Standing("stopped", f"{ago(stint.ended_at, now)}{why}; {START}", age, stint.started_at)
    if beat is not Beat.LIVES:
        what = f"{span(age)} ago" if beat is Beat.SILENT else f"lies {span(-age)} in the future: the clock was set back"
        return Standing("silent", f"last beat {what}; see `echopilot doctor`", age, stint.started_at)
    return Standing("leading", f"beat {span(max(age, 0.0))} ago, term {stint.term}", age, stint.started_at)


def owner_alive(run: Run) -> bool | None:
    """Whether the scheduler that started the run lives; None where that cannot be told from here."""
    import socket

    from echopilot_jobs.processes import Owner, is_alive

    if run.owner is None or run.host != socket.gethostname():
        return None
    try:
        return is_alive(Owner.parse(run.owner))
    except (ValueError, OSError):
        return None
