"""Why did it not run? The recorded answer for one job and one moment (I32)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any, Literal

from echopilot_jobs.accounting.nearest import following, is_slot, previous
from echopilot_jobs.accounting.owed import Owed, owed_by, rule_of, seconds_of
from echopilot_jobs.accounting.reasons import (
    Given,
    Show,
    outage_json,
    outage_words,
    pause_json,
    pause_words,
    run_words,
    skip_words,
    unplanned_words,
)
from echopilot_jobs.accounting.undecided import planned_at
from echopilot_jobs.accounting.waiting import leader, waiting_words
from echopilot_jobs.clock import iso
from echopilot_jobs.holds import Pause
from echopilot_jobs.jobs import Job, Registry
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.outages import SILENT_ABOVE, Outage
from echopilot_jobs.records import record
from echopilot_jobs.runs import Origin, Run
from echopilot_jobs.slots import Gap, Skip, SkipReason
from echopilot_jobs.spans import relative
from echopilot_jobs.triggers import Trigger

Verdict = Literal[
    "ran", "caught_up", "backfilled", "waiting", "cancelled", "skipped", "lost", "future", "not_planned", "not_a_slot",
    "unregistered", "undefined", "removed", "unknown",
]  # fmt: skip
SECOND = timedelta(seconds=1)


@record(frozen=True)
class Answer:
    """What is known of a moment of a job: one word, sentences of which the first is the answer, and the facts."""

    verdict: Verdict
    sentences: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


def why(ledger: Ledger, job_name: str, registry: Registry, moment: datetime, now: datetime, show: Show) -> Answer:
    """What became of the slot of *job_name* at *moment* (whole seconds), or why there is none.

    *registry*: the jobs in force, which this one may be missing from. *show* writes moments. The ledger knows the job.
    """
    owed = owed_by(ledger, job_name)
    rows = _Rows.read(ledger, job_name, owed, moment)
    if rows.are_any:
        return _Recorded(ledger, job_name, registry, owed, rows, moment, now, show).answer()
    return _Unrecorded(ledger, job_name, registry.get(job_name), owed, moment, now, show).answer()


# -- what the ledger holds


@record(frozen=True)
class _Rows:
    """Everything the ledger holds of one slot."""

    runs: tuple[Run, ...]
    skips: tuple[Skip, ...]
    gaps: tuple[Gap, ...]
    generations: frozenset[int]

    @classmethod
    def read(cls, ledger: Ledger, job_name: str, owed: Owed, moment: datetime) -> _Rows:
        end = moment + SECOND
        found = ledger.dispositions(job_name, moment, end)
        covering = any(owed.owes(seconds_of(moment), gap[3]) for gap in found.gaps)
        runs = tuple(run for run in ledger.runs_between(moment, end) if run.job_name == job_name and run.slot)
        return cls(
            runs,
            tuple(skip for skip in ledger.skips_between(moment, end) if skip.slot.job_name == job_name),
            tuple(gap for gap in ledger.gaps_between(moment, end) if gap.job_name == job_name and covering),
            frozenset([row[1] for row in found.runs] + [row[1] for row in found.skips]),
        )

    @property
    def are_any(self) -> bool:
        return bool(self.runs or self.skips or self.gaps)


class _Recorded:
    """The answer from a slot's own rows."""

    def __init__(
        self,
        ledger: Ledger,
        job_name: str,
        registry: Registry,
        owed: Owed,
        rows: _Rows,
        moment: datetime,
        now: datetime,
        show: Show,
    ) -> None:
        self._ledger = ledger
        self._name = job_name
        self._registry = registry
        self._owed = owed
        self._rows = rows
        self._moment = moment
        self._now = now
        self._show = show

    def answer(self) -> Answer:
        rows = self._rows
        planned = [run for run in rows.runs if run.origin not in (Origin.BACKFILL, Origin.RETRY)]
        later = [run for run in rows.runs if run not in planned]
        sentences = [words for run in planned for words in self._run(run)]
        sentences += [words for skip in rows.skips for words in self._skipped(skip)]
        if not rows.skips:
            sentences += [words for gap in rows.gaps for words in self._in_gap(gap)]
        sentences += [words for run in later for words in self._run(run)]
        sentences += self._generations()
        return Answer(self._verdict(), tuple(sentences), self._facts())

    def _verdict(self) -> Verdict:
        origins = {run.origin for run in self._rows.runs if run.started_at}
        if Origin.CATCH_UP in origins:
            return "caught_up"
        if origins - {Origin.BACKFILL, Origin.RETRY}:
            return "ran"
        return "backfilled" if origins else self._verdict_unrun()

    def _verdict_unrun(self) -> Verdict:
        if any(run.is_open for run in self._rows.runs):
            return "waiting"
        return "skipped" if self._rows.skips or self._rows.gaps else "cancelled"

    def _run(self, run: Run) -> Iterator[str]:
        yield run_words(run, self._now, self._show)
        outage = self._ledger.outage_of(run.id) if run.origin is Origin.CATCH_UP else None
        if outage:
            yield f"it was missed while {outage_words(outage, self._show)}"
        yield from waiting_words(self._ledger, self._registry, run, self._now, self._show)

    def _skipped(self, skip: Skip) -> Iterator[str]:
        given = Given(self._name, self._moment, skip.decided_at, self._definition())
        yield f"it was skipped: {skip_words(self._ledger, skip.reason, given, self._show)}"
        yield from self._behind(skip.reason, skip.outage)

    def _in_gap(self, gap: Gap) -> Iterator[str]:
        given = Given(self._name, self._moment, gap.decided_at, self._definition())
        yield f"it was skipped: {skip_words(self._ledger, gap.reason, given, self._show)}"
        yield (
            f"it is one of {gap.count:,} slots from {self._show(gap.first)} to {self._show(gap.last)} that were given up "
            f"together at {self._show(gap.decided_at)}"
        )
        yield from self._behind(gap.reason, gap.outage)

    def _behind(self, reason: SkipReason, outage: Outage | None) -> Iterator[str]:
        if reason is SkipReason.PAUSED:
            yield from (f"it was {pause_words(pause, self._show)}" for pause in self._pauses())
        if outage := outage or self._outage_then():
            yield outage_words(outage, self._show)

    def _outage_then(self) -> Outage | None:
        """The outage the slot came due in, though it was not missed for it alone."""
        found = self._ledger.outages_between(self._moment, self._moment + SECOND)
        return next((each for each in found if each.since <= self._moment <= each.until), None)

    def _pauses(self) -> list[Pause]:
        return [pause for pause in self._ledger.pauses(self._moment, self._name) if pause.covers(self._moment)]

    def _definition(self) -> Mapping[str, Any]:
        """The definition in force at the moment, as far as it was kept."""
        inside = [each for each in self._owed.obligations if each.after < self._moment <= each.until]
        return inside[-1].definition if inside else {}

    def _generations(self) -> Iterator[str]:
        """A slot of an interval job that came twice, because the wall clock showed its moment twice."""
        for number in sorted(self._rows.generations - {0}):
            began = [each.after for each in self._owed.obligations if each.generation == number]
            if began:
                yield f"the machine's clock was set at {self._show(min(began))}; from then on it is clock generation {number}"

    def _facts(self) -> dict[str, Any]:
        outages = [self._ledger.outage_of(run.id) for run in self._rows.runs]
        skipped: list[Skip | Gap] = [*self._rows.skips, *self._rows.gaps]
        outages += [row.outage for row in skipped]
        outage = next(filter(None, outages), None)
        return {
            "slot_at": iso(self._moment),
            "runs": [run.as_dict() for run in self._rows.runs],
            "skipped": [{"reason": row.reason.value, "decided_at": iso(row.decided_at)} for row in skipped],
            "gap": next(
                ({"first": iso(g.first), "last": iso(g.last), "count": g.count} for g in self._rows.gaps), None
            ),
            "outage": outage_json(outage) if outage else None,
            "pauses": [pause_json(pause) for pause in self._pauses()],
            "generations": sorted(self._rows.generations),
        }


# -- what it does not hold


class _Unrecorded:
    """The answer for a moment without a row."""

    def __init__(
        self,
        ledger: Ledger,
        job_name: str,
        job: Job | None,
        owed: Owed,
        moment: datetime,
        now: datetime,
        show: Show,
    ) -> None:
        self._ledger = ledger
        self._name = job_name
        self._job = job
        self._owed = owed
        self._moment = moment
        self._at = seconds_of(moment)
        self._now = now
        self._show = show
        self._history = ledger.definitions(job_name)

    def answer(self) -> Answer:
        verdict, sentences = self._judged()
        early, late = self._near()
        if verdict not in ("lost", "unknown"):
            sentences = (*sentences, *self._near_words(early, late))
        is_one = verdict in ("lost", "not_planned")
        facts = {"slot_at": iso(self._moment) if is_one else None}
        return Answer(verdict, sentences, {**facts, "before": _iso(early), "after": _iso(late)})

    def _judged(self) -> tuple[Verdict, tuple[str, ...]]:
        moment, pruned = self._moment, self._ledger.pruned_before()
        first_seen = self._ledger.first_seen()[self._name]
        if moment > self._now:
            return "future", self._future()
        if pruned is not None and moment < pruned:
            return "removed", (f"the history before {self._show(pruned)} was removed by retention",)
        if moment <= first_seen and not self._owed_so_early():
            return self._too_early(first_seen)
        if moment > self._ledger.planned_through()[self._name]:
            return self._not_planned()
        return self._planned_past()

    def _owed_so_early(self) -> bool:
        """Whether it owed slots by then all the same, because the clock had been set back beyond its registration."""
        return any(each.after <= self._moment for each in self._owed.obligations)

    def _too_early(self, first_seen: datetime) -> tuple[Verdict, tuple[str, ...]]:
        """Before the job was known. That it would be no slot anyway comes first: it is what was asked with."""
        words = f"{self._name} was registered at {self._show(first_seen)}, after that moment, and owes nothing before"
        trigger = self._present()
        if trigger is None or is_slot(trigger, self._moment):
            return "unregistered", (words,)
        return "not_a_slot", (f"that is no slot of {self._name} ({trigger})", words)

    def _planned_past(self) -> tuple[Verdict, tuple[str, ...]]:
        """The scheduler has decided about everything up to the moment, and has no row for it."""
        if self._owed.owes(self._at):
            lost = "the job owed that slot and the ledger has neither run nor skip: it is lost"
            return "lost", (lost, "see `echopilot audit`")
        if (part := self._owed.in_unknown(self._at)) is not None:
            return "unknown", (f"nobody can tell whether that was a slot: {part.why}",)
        if not self._owed.covers(self._at):
            return "undefined", (self._uncovered(),)
        return "not_a_slot", self._not_a_slot()

    # -- the sentences

    def _future(self) -> tuple[str, ...]:
        words = f"that is {relative(self._moment, self._now)}"
        trigger = self._present()
        if trigger is None:
            return (f"{words}, and {self._name} is no longer defined",)
        if is_slot(trigger, self._moment):
            disabled = ", but the job is disabled" if self._job and not self._job.enabled else ""
            return (f"{words}: the slot has not come yet{disabled}",)
        return (f"{words}, and it is no slot of {self._name} ({trigger})",)

    def _not_planned(self) -> tuple[Verdict, tuple[str, ...]]:
        trigger = self._present()
        if trigger is None:
            if self._name not in self._ledger.job_names():
                return "undefined", (f"{self._name} is no longer defined, and was not then",)
            gone = f"{self._name} is no longer defined; what it owed before is decided by the next scheduler"
            return "not_planned", (gone, *self._nobody_leads())
        if not is_slot(trigger, self._moment):
            return "not_a_slot", self._not_a_slot()
        if self._now - self._moment <= SILENT_ABOVE and leader(self._ledger, self._now) is not None:
            return "not_planned", ("it has only just come due; look again in a moment",)
        return "not_planned", ("it has come due and nobody has decided about it yet", *self._waits(trigger))

    def _waits(self, trigger: Trigger) -> Iterator[str]:
        """What planning waits for."""
        generation = self._ledger.generation()
        if leader(self._ledger, self._now) is None:
            yield from self._nobody_leads()
        elif (generation.held or generation.released) and not trigger.follows_real_time:
            yield (
                f"calendar jobs wait because the machine's clock was set at {self._show(generation.began_at)}; "
                "see `echopilot clock`"
            )
        elif self._job is not None and self._job.jitter:
            yield "its start is spread by jitter and may still come"
        else:
            yield "a scheduler leads and should have; see `echopilot audit` and `job.failed_to_plan` in logs/scheduler.log"

    def _nobody_leads(self) -> Iterator[str]:
        if leader(self._ledger, self._now) is None:
            nobody = unplanned_words(planned_at(self._ledger), self._show)
            yield f"{nobody}; the next one decides about the slot, and `echopilot status` says why there is none"

    def _uncovered(self) -> str:
        before = max((each.until for each in self._owed.obligations if each.until < self._moment), default=None)
        after = min((each.after for each in self._owed.obligations if each.after >= self._moment), default=None)
        start = f"from {self._show(before)}" if before else "at first"
        end = f"to {self._show(after)}" if after else "on"
        return (
            f"{start} {end} {self._name} owed nothing: it was edited, removed or added again, or the clock was set, and "
            "such time is not made up for"
        )

    def _not_a_slot(self) -> tuple[str, ...]:
        trigger = self._in_force()
        rule = f" ({trigger})" if trigger else ""
        return (f"that is no slot of {self._name}{rule}", *self._of_another_definition(trigger))

    def _of_another_definition(self, in_force: Trigger | None) -> Iterator[str]:
        """Definitions by which it would be one: before an edit, or after it."""
        ends = [since for since, _ in self._history[1:]]
        for (since, definition), end in zip_longest(self._history, ends):
            try:
                trigger = rule_of(definition)
            except ValueError:
                continue
            if trigger != in_force and is_slot(trigger, self._moment):
                until = f" to {self._show(end)}" if end else " on"
                yield f"by '{trigger}', the definition from {self._show(since)}{until}, it would be one"

    # -- rules

    def _present(self) -> Trigger | None:
        return self._job.trigger if self._job is not None else None

    def _in_force(self) -> Trigger | None:
        """The rule in force at the moment, or the present one where that is not known."""
        for each in reversed(self._owed.obligations):
            if each.after < self._moment <= each.until:
                try:
                    return rule_of(each.definition)
                except ValueError:  # kept without its rule, or not by us
                    break
        return self._present()

    def _near(self) -> tuple[datetime | None, datetime | None]:
        trigger = self._in_force()
        if trigger is None:
            return None, None
        return previous(trigger, self._moment), following(trigger, self._moment)

    def _near_words(self, early: datetime | None, late: datetime | None) -> Iterator[str]:
        if early and late:
            yield f"its slots around that are {self._show(early)} and {self._show(late)}"
        elif late:
            yield f"its first slot after that is {self._show(late)}"
        elif early:
            yield f"its last slot before that is {self._show(early)}; there are no more"


def _iso(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None
