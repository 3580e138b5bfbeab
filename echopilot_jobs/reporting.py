"""The figures of one UTC day, from the ledger's facts alone: what was planned, what became of it, how late, how long.

`gather` reads the ledger; everything else is pure. What was planned is what each job owed by the definitions it had then, as
the audit counts it; a definition of today says nothing of yesterday.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, date, datetime, time, timedelta
from math import ceil

from echopilot_jobs.accounting.owed import Owed, moment_of, owed_by, seconds_of
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger import Beat, Ledger, beat_of
from echopilot_jobs.records import record
from echopilot_jobs.runs import BAD_ENDS, Origin, Run, State, Stint
from echopilot_jobs.slots import Gap, Skip, SkipReason

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
JUST_DUE = timedelta(seconds=60)  # a slot this young may not have met its planner yet
FAILURES_MOST = 50


@record(frozen=True)
class Facts:
    """What the ledger holds of a day."""

    runs: Sequence[Run] = ()
    skips: Sequence[Skip] = ()
    gaps: Sequence[Gap] = ()
    stints: Sequence[Stint] = ()
    first_seen: Mapping[str, datetime] = field(default_factory=dict)
    owed: Mapping[str, Owed] = field(default_factory=dict)  # by job name
    clock_held: bool = False  # calendar jobs wait until the clock is trusted


@record(frozen=True)
class Period:
    """A day and the part of it that is known: [*known_from*, *known_until*), empty when the ledger is younger."""

    day: date
    known_from: datetime
    known_until: datetime

    @property
    def start(self) -> datetime:
        """The day's first instant, UTC."""
        return datetime.combine(self.day, time(0), UTC)

    @property
    def end(self) -> datetime:
        """The first instant of the next day."""
        return self.start + DAY

    @property
    def is_known(self) -> bool:
        """Whether anything of the day is."""
        return self.known_from < self.known_until

    @property
    def is_whole(self) -> bool:
        """Whether all of the day is."""
        return self.known_from == self.start and self.known_until == self.end


@record(frozen=True)
class Spread:
    """How a set of measurements lies, in milliseconds; percentiles by nearest rank, so each is a value that occurred."""

    count: int
    p50: int
    p99: int
    most: int


@record(frozen=True)
class JobDay:
    """One job's day. The fates in `fate` are those of its planned slots, each exactly one:
    `ran`, `cancelled`, `open`, `due` (just come due), `missing`, or a skip reason.
    """

    name: str
    job: Job | None
    fate: Mapping[datetime, str]
    runs: Sequence[Run]
    gaps: Sequence[Gap]
    outside: Sequence[datetime]  # slots with a row that no definition of the job owed
    earlier: Sequence[datetime] = ()  # slots with a row before the job was first known: backfilled ones
    first_seen: datetime | None = None
    rules: Sequence[tuple[datetime, str]] = ()  # the schedules of the day in words, each with when it began to owe

    def count(self, fate: str) -> int:
        """How many planned slots met this fate."""
        return sum(met == fate for met in self.fate.values())

    @property
    def planned(self) -> int:
        """How many slots the job owed in the known part of the day, by the definitions it had then."""
        return len(self.fate)

    @property
    def skipped(self) -> dict[str, int]:
        """Planned slots without a run, by reason, most frequent first."""
        counted = Counter(met for met in self.fate.values() if met in set(SkipReason))
        return {str(reason): count for reason, count in counted.most_common()}

    @property
    def skipped_itself(self) -> int:
        """How many of the `cancelled` are so because the job found nothing to do and said so."""
        said = {run.slot.due_at for run in self.runs if run.slot and _keeps_a_slot(run) and run.had_nothing_to_do}
        return sum(met == "cancelled" and due in said for due, met in self.fate.items())

    @property
    def missing(self) -> list[datetime]:
        """Planned slots of which the ledger says nothing: there should be none."""
        return [due for due, met in self.fate.items() if met == "missing"]

    @property
    def states(self) -> dict[str, int]:
        """All runs of the day by state, those that no slot asked for included."""
        return dict(Counter(run.state.value for run in self.runs).most_common())

    @property
    def unplanned(self) -> dict[str, int]:
        """Runs that no slot asked for, by origin."""
        return dict(Counter(run.origin.value for run in self.runs if not _keeps_a_slot(run)).most_common())

    @property
    def failures(self) -> list[Run]:
        """Runs that ended badly, in the order in which they began: a repetition comes after what it repeats."""
        bad = (run for run in self.runs if run.state in BAD_ENDS)
        return sorted(bad, key=lambda run: (run.started_at or run.claimed_at, run.id))

    @property
    def late(self) -> list[Run]:
        """Runs that started more than a minute after their slot."""
        return [run for run in self.runs if run.is_late]

    @property
    def retried(self) -> int:
        """Runs that needed more than one attempt."""
        return sum(run.attempt > 1 for run in self.runs)

    @property
    def lateness(self) -> Spread | None:
        """From slot to start."""
        return spread(round(run.lateness / timedelta(milliseconds=1)) for run in self.runs if run.lateness is not None)

    @property
    def durations(self) -> Spread | None:
        """Of every ended run, all its attempts and the waits between them."""
        return spread(round(run.took / timedelta(milliseconds=1)) for run in self.runs if run.took is not None)


@record(frozen=True)
class DayReport:
    """The whole day."""

    period: Period
    jobs: Sequence[JobDay]
    stints: Sequence[Stint]
    dark: Sequence[tuple[datetime, datetime]]

    @property
    def starts(self) -> list[Stint]:
        """Scheduler lives that began this day."""
        return [stint for stint in self.stints if self.period.start <= stint.started_at < self.period.end]

    @property
    def restarts(self) -> int:
        """Starts that followed an earlier life: every one but the ledger's very first."""
        return sum(stint.term > 1 for stint in self.starts)

    @property
    def dark_for(self) -> timedelta:
        """For how long no scheduler lived, within the known part of the day."""
        return sum((until - since for since, until in self.dark), timedelta(0))

    @property
    def missing(self) -> int:
        """Planned slots of which the ledger says nothing."""
        return sum(len(job.missing) for job in self.jobs)


def gather(ledger: Ledger, start: datetime, end: datetime) -> Facts:
    """The facts of [start, end)."""
    first_seen, clock = ledger.first_seen(), ledger.generation()
    # What was owed is read before the rows: a slot that is planned meanwhile must not look as if its row were missing.
    owed = {name: owed_by(ledger, name) for name in first_seen}
    return Facts(
        ledger.runs_between(start, end),
        ledger.skips_between(start, end),
        ledger.gaps_between(start, end),
        ledger.stints_between(start, end),
        first_seen,
        owed,
        clock.held or clock.released,
    )


def period_of(day: date, facts: Facts, now: datetime) -> Period:
    """*day* and the part of it the ledger can know: not before it began, not after *now*."""
    start = datetime.combine(day, time(0), UTC)
    beginnings = [*facts.first_seen.values(), *(stint.started_at for stint in facts.stints)]
    began = min(beginnings, default=start + DAY)
    return Period(day, known_from=max(start, began), known_until=min(start + DAY, now))


def report(day: date, jobs: Mapping[str, Job], facts: Facts, now: datetime) -> DayReport:
    """The figures of *day* as they stand at *now*, for every job that is defined or left a row."""
    period = period_of(day, facts, now)
    seen = {run.job_name for run in facts.runs} | {skip.slot.job_name for skip in facts.skips}
    seen |= {gap.job_name for gap in facts.gaps}
    names = [*jobs, *sorted(seen - set(jobs))]
    known = dict(jobs)
    days = [job_day(name, known.get(name), facts, period, now) for name in names]
    dark = darkness(facts.stints, period, now) if period.is_known else []
    return DayReport(period, days, facts.stints, dark)


def job_day(name: str, job: Job | None, facts: Facts, period: Period, now: datetime) -> JobDay:
    """One job's part of *facts*, every planned slot with its fate."""
    runs = [run for run in facts.runs if run.job_name == name]
    gaps = [gap for gap in facts.gaps if gap.job_name == name]
    known: dict[datetime, str] = {
        skip.slot.due_at: skip.reason.value for skip in facts.skips if skip.slot.job_name == name
    }
    known |= {run.slot.due_at: _fate_of(run) for run in runs if run.slot and _keeps_a_slot(run)}
    first_seen, owed = facts.first_seen.get(name), facts.owed.get(name, Owed((), (), ()))
    planned = planned_slots(owed, known, period, is_defined=job is not None)
    fate = {due: known.get(due) or _in_gap(due, gaps) or _without_row(due, owed, facts, now) for due in planned}
    others = sorted(known.keys() - fate.keys())
    earlier = [due for due in others if first_seen and due <= first_seen]
    return JobDay(name, job, fate, runs, gaps, others[len(earlier) :], earlier, first_seen, _rules(owed, period))


def planned_slots(owed: Owed, known: Collection[datetime], period: Period, *, is_defined: bool) -> list[datetime]:
    """The moments owed in the known part of the day. Where no rule was kept, the rows (*known*) are all there is."""
    if owed.first is None or owed.last is None or not period.is_known:
        return sorted(known) if not is_defined else []
    first, until = seconds_of(period.start), seconds_of(min(period.known_until, period.end - INSTANT))
    moments = {*owed.moments(first, min(owed.last, until)), *(owed.pending(until) if is_defined else ())}
    unruled = {due for due in known if owed.in_unknown(seconds_of(due))}
    return sorted({moment_of(moment) for moment in moments if moment >= first} | unruled)


def _rules(owed: Owed, period: Period) -> list[tuple[datetime, str]]:
    """The schedules in force in the known part of the day, one after the other; what leaves the times alone is no change."""
    rules: list[tuple[datetime, str]] = []
    for each in owed.obligations:
        words = str(each.definition.get("trigger"))
        if each.after < period.known_until and each.until > period.start and (not rules or rules[-1][1] != words):
            rules.append((each.after, words))
    return rules


def darkness(stints: Iterable[Stint], period: Period, now: datetime) -> list[tuple[datetime, datetime]]:
    """The stretches of the known day in which no scheduler lived: the day minus every life from start to last beat."""
    dark, reached = [], period.known_from
    for begin, end in sorted((stint.started_at, _lived_until(stint, now)) for stint in stints):
        if begin > reached:
            dark.append((reached, min(begin, period.known_until)))
        reached = max(reached, end)
        if reached >= period.known_until:
            return dark
    return [*dark, (reached, period.known_until)]


def spread(values: Iterable[int]) -> Spread | None:
    """How *values* lie; None when there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(len(ordered), _percentile(ordered, 50), _percentile(ordered, 99), ordered[-1])


def _percentile(ordered: list[int], percent: int) -> int:
    return ordered[max(ceil(len(ordered) * percent / 100), 1) - 1]


def _lived_until(stint: Stint, now: datetime) -> datetime:
    """The last moment a life is proved for; one that still beats lives until now."""
    return max(stint.beat_at, now) if beat_of(stint, now) is Beat.LIVES else stint.beat_at


def _keeps_a_slot(run: Run) -> bool:
    """Whether the run is what became of its slot; a retry only repeats one that already has its run."""
    return run.slot is not None and run.origin is not Origin.RETRY


def _fate_of(run: Run) -> str:
    if run.is_open:
        return "open"
    return "cancelled" if run.state is State.CANCELLED else "ran"


def _in_gap(due: datetime, gaps: Iterable[Gap]) -> str | None:
    return next((gap.reason.value for gap in gaps if gap.first <= due <= gap.last), None)


def _without_row(due: datetime, owed: Owed, facts: Facts, now: datetime) -> str:
    """`due` while the slot may rightly wait for its planner: for its jitter, or until the clock is trusted again."""
    waits = facts.clock_held and seconds_of(due) > (owed.last or 0) and owed.is_calendar
    return "due" if waits or now - due <= JUST_DUE + owed.jitter else "missing"
