"""What `status` says first: what is broken now, which jobs fail, what went wrong lately; each with what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from echopilot_jobs.accounting.darkness import dark_before
from echopilot_jobs.accounting.dying import dying
from echopilot_jobs.accounting.overdue import overdue
from echopilot_jobs.cli import rows, sight
from echopilot_jobs.clock import iso
from echopilot_jobs.disk import free_bytes, shortage
from echopilot_jobs.ledger.refusing import refusal
from echopilot_jobs.plain import remedy_apart
from echopilot_jobs.records import record
from echopilot_jobs.runs import BAD_ENDS, bad_row, retry_key
from echopilot_jobs.spans import ago, near, relative

if TYPE_CHECKING:
    from echopilot_jobs.definitions import InForce
    from echopilot_jobs.ledger import SqliteReading
    from echopilot_jobs.runs import Generation, Run
    from echopilot_jobs.settings import Settings
    from echopilot_jobs.supervision import Program

SETTLING = timedelta(seconds=60)  # how long a scheduler that was just started may be silent
NAMED_MOST = 3
ROW_MOST = 30


@record(frozen=True)
class Trouble:
    """One thing that is not as it should be, and what to do."""

    what: str
    do: str

    def as_dict(self) -> dict[str, str]:
        """JSON types only."""
        return asdict(self)


@record(frozen=True)
class Failing:
    """A job whose newest end is a bad one, and when it last went well.

    *times* bad ends in a row, and more where there are `ROW_MOST`; the first of them was at *since*.
    """

    run: Run
    succeeded_at: datetime | None
    times: int = 1
    since: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        last = iso(self.succeeded_at) if self.succeeded_at else None
        since = iso(self.since) if self.since else None
        row = {"in_a_row": self.times, "since": since}
        return {"job": self.run.job_name, "run": self.run.as_dict(), "succeeded_at": last, **row}

    @property
    def remedy(self) -> str:
        """How to look at it, and how to do it again."""
        return f"`echopilot show {self.run.id}`, then `echopilot retry {self.run.id}`"

    def words(self, now: datetime) -> str:
        """Its newest end, how often it ended badly since its last good one, and when that was, in a line."""
        ended = ago(self.run.finished_at or self.run.claimed_at, now)
        good = f"last success {ago(self.succeeded_at, now)}" if self.succeeded_at else "it never succeeded"
        reason = rows.brief_error(self.run) or "no reason kept"
        often = f"{self.times}{' or more' if self.times == ROW_MOST else ''} bad ends in a row"
        row = f"; {often} since {near(self.since, now)}" if self.times > 1 and self.since else ""
        return f"{self.run.job_name}: run {self.run.id} {self.run.words} {ended}: {reason}{row}; {good}"


def of_supervisor(settings: Settings, away: str | None) -> Iterator[Trouble]:
    """A supervisord that lives though its socket is gone, in the words of why it is *away*."""
    from echopilot_jobs.processes import unsteered

    if away is not None and unsteered(settings.supervisor_socket) is not None:
        yield Trouble(*remedy_apart(away))


def of_programs(
    programs: Sequence[Program], standing: sight.Standing, now: datetime, *, away: bool, unknown: bool = False
) -> Iterator[Trouble]:
    """Programs that are down, and a scheduler that does not lead though its program is up.

    *unknown*: whether one leads stands in a ledger that cannot be read now, and to restart it on a guess could do harm.
    """
    if away:
        if standing.state in ("stopped", "silent"):
            yield Trouble(f"the stack is not running; its scheduler: {_stands(standing)}", sight.START)
        return
    for program in programs:
        if program.trouble:
            yield Trouble(program.trouble, program.remedy)
    scheduler = next((program for program in programs if program.name == "scheduler" and not program.trouble), None)
    if scheduler and not unknown and not standing.leads and not _settles(scheduler, standing, now):
        do = "`supervisorctl restart scheduler`; its last words: `supervisorctl tail scheduler`"
        yield Trouble(f"the program 'scheduler' runs but does not lead: {_stands(standing)}", do)


def _settles(scheduler: Program, standing: sight.Standing, now: datetime) -> bool:
    """Whether it was started a short while ago and has not led yet: one that has led since then is not coming up."""
    begun = scheduler.started_at
    if begun is None:
        return True
    # supervisord tells the start in whole seconds, rounded down, and leading comes after it.
    has_led = standing.state == "silent" and standing.since is not None and standing.since >= begun
    return not has_led and now - begun <= SETTLING


def _stands(standing: sight.Standing) -> str:
    sentence = standing.sentence.partition(";")[0]
    return "it has planned nothing yet" if standing.state == "never" else f"{standing.state}, {sentence}"


def of_ledger(settings: Settings, absent: str | None, *, known: bool) -> Iterator[Trouble]:
    """A ledger that is *known* and gone or not readable, or that a scheduler refused, or a home that is not there at all."""
    if refused := refusal(settings.ledger_path):
        what, do = remedy_apart(refused)
        yield Trouble(f"the ledger is refused: {what}", do or "see `echopilot doctor`")
    elif absent and (known or not settings.home.is_dir()):
        what, do = remedy_apart(absent)
        yield Trouble(what, do or "see `echopilot doctor`")


def of_disk(settings: Settings) -> Iterator[Trouble]:
    """A disk without the room that must be there, judged as `/health` does."""
    free = free_bytes((settings.var_dir, settings.logs_dir))
    if free is not None and (short := shortage(free)):
        yield Trouble(f"the disk is {short.word}: {short.what}", short.do)


def of_jobs_file(found: InForce, now: datetime) -> Iterator[Trouble]:
    """A jobs file that is not what runs, and since when where a scheduler refused it."""
    if found.problems:
        since = f"; refused since {near(found.refused_at, now)}" if found.refused_at else ""
        yield Trouble(f"{sight.not_in_force(found)}{since}", found.remedy)


def of_clock(clock: Generation, now: datetime) -> Iterator[Trouble]:
    """A clock nobody trusts yet."""
    if clock.held:
        what = f"calendar jobs wait: the machine's clock was set {relative(clock.began_at, now)}"
        yield Trouble(what, "look at the clock, then `echopilot clock trust`")


def of_rebirth(settings: Settings, ledger: SqliteReading, now: datetime) -> Iterator[Trouble]:
    """That the ledger began empty within the last day, where another one had been."""
    lost = ledger.rebirth()
    if lost is not None and lost.is_news(now):
        from echopilot_jobs.ledger.missing import restoring

        words = lost.words(lambda moment: near(moment, now))
        yield Trouble(words, f"with the stack stopped, {restoring(settings.ledger_path)}")


def of_deaths(settings: Settings, ledger: SqliteReading, now: datetime) -> Iterator[Trouble]:
    """A ledger that was lost under its scheduler within the hour, and a scheduler that dies again and again."""
    found, lost = dying(ledger, settings.logs_dir, now)
    for loss in lost:
        yield Trouble(f"the scheduler lost its ledger at {near(loss.at, now)}: {loss.what}", loss.remedy)
    if found:
        yield Trouble(found.words(lambda moment: near(moment, now)), found.remedy)


def of_darkness(ledger: SqliteReading, now: datetime) -> Iterator[Trouble]:
    """The times of the last day without a scheduler that are over, and what they cost."""
    if dark := dark_before(ledger, now):
        log = "why may be in `logs/supervisord.log`; " if dark.log_may_tell else ""
        yield Trouble(
            dark.words(lambda moment: near(moment, now)), f"{log}`echopilot audit` accounts for every slot, job by job"
        )


def of_slots(ledger: SqliteReading, found: InForce, paused: Collection[str], now: datetime) -> Iterator[Trouble]:
    """Slots that came due without anybody planning them."""
    late = overdue(ledger, found.registry.values(), paused, now)
    if late:
        named = ", ".join(each.job_name for each in late[:NAMED_MOST])
        more = f" and {len(late) - NAMED_MOST} more" if len(late) > NAMED_MOST else ""
        what = f"overdue, and nobody has decided about it: {named}{more}; the oldest slot came due "
        yield Trouble(
            what + relative(late[0].since, now), f"`echopilot why {late[0].job_name}` says what planning waits for"
        )


def _goes_on(ledger: SqliteReading, run: Run) -> bool:
    """Whether a repetition of *run* is under way."""
    repetition = ledger.requested(retry_key(run.id))
    return repetition is not None and repetition.is_open


def _counted(ledger: SqliteReading, newest: Run, good: datetime | None) -> Failing:
    """The job of a bad end, with how many there are in a row."""
    runs = ledger.runs(job_name=newest.job_name, before_id=newest.id, limit=ROW_MOST - 1)
    row = list(bad_row([newest, *(run for run in runs if not run.is_open)]))
    return Failing(newest, good, len(row), row[-1].finished_at)


def failing(ledger: SqliteReading, names: Iterable[str]) -> list[Failing]:
    """The jobs among *names* that ended badly after their last success, the newest end first."""
    ends = ledger.last_ends()
    found = []
    for name in names:
        good, bad = ends.get(name, (None, None))
        if bad is not None and (good is None or bad > good):
            newest = ledger.runs(job_name=name, states=BAD_ENDS, limit=1)
            found += [_counted(ledger, run, good) for run in newest if not _goes_on(ledger, run)]
    return sorted(found, key=lambda each: each.run.id, reverse=True)
