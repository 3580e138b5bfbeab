"""The audit: every slot since registration, worked out anew and held against what the ledger and the log say of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from echopilot_jobs.accounting.comparing import JobAudit, unlike
from echopilot_jobs.accounting.findings import Account, Finding, Findings
from echopilot_jobs.accounting.logbook import Logbook, Told
from echopilot_jobs.accounting.owed import Owed, moment_of, owed_by, rule_of, seconds_from, seconds_of
from echopilot_jobs.accounting.undecided import Undecided, undecided
from echopilot_jobs.accounting.waiting import leader
from echopilot_jobs.clock import EPOCH
from echopilot_jobs.errors import UnknownName
from echopilot_jobs.ledger import MAX_PAGE, Ledger
from echopilot_jobs.ledger.restores import Restore
from echopilot_jobs.outages import SILENT_ABOVE
from echopilot_jobs.runs import Run, State, Stint
from echopilot_jobs.spans import span, stamp

TRIES = 3
LOG_AFTER_PRUNE = timedelta(minutes=1)  # a line is written a little later than the moment it tells of

ReadLog = Callable[[datetime, datetime, Collection[str] | None], Logbook]
Lives = Callable[[Run], bool | None]


@dataclass
class Report:
    """What one audit saw. *notes* are true and worth knowing, and no fault of the record.

    *undecided*: what came due after the record ends, because no scheduler leads.
    """

    accounts: list[Account] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    notes: list[str] = field(default_factory=list)
    log_lines: int = 0
    log_files: int = 0
    undecided: Undecided | None = None

    @property
    def is_green(self) -> bool:
        """Whether nothing was found."""
        return not self.findings.total

    def as_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "ok": self.is_green,
            "jobs": [account.as_dict() for account in self.accounts],
            "findings": [finding.as_dict() for finding in self.findings.shown],
            "counts": dict(sorted(self.findings.counts.items())),
            "log": {"lines": self.log_lines, "files": self.log_files},
            "notes": self.notes,
            "undecided": self.undecided.as_dict() if self.undecided else None,
        }


def audit(
    ledger: Ledger,
    now: datetime,
    *,
    names: Collection[str] | None = None,
    since: datetime | None = None,
    read_log: ReadLog | None = None,
    lives: Lives | None = None,
) -> Report:
    """Audit the jobs of *names* (all the ledger ever saw by default) from *since* on, or from their registration.

    *read_log*: what the log says of runs, (later than, ledger begun at, job names; None for all). *lives*: whether the
    process that owns a run lives; None where that cannot be told. History that retention has removed is left out.
    The scheduler may go on meanwhile: what changes under the audit is looked at again.
    """
    for _ in range(TRIES):
        pruned = ledger.pruned_before()
        report = _audit(ledger, now, names, since, pruned, read_log, lives)
        if ledger.pruned_before() == pruned:
            break
    return report


def _audit(
    ledger: Ledger,
    now: datetime,
    names: Collection[str] | None,
    since: datetime | None,
    pruned: datetime | None,
    read_log: ReadLog | None,
    lives: Lives | None,
) -> Report:
    begun = ledger.first_seen()
    chosen = sorted(begun if names is None else names)
    report = Report(notes=list(_retention(now, pruned)))
    start = max(since or EPOCH, pruned or EPOCH)
    book = Logbook()
    if read_log is not None and begun:
        after = start + LOG_AFTER_PRUNE if pruned and start == pruned else start
        # Of all jobs: a restored copy may know fewer than the ledger whose runs it lost.
        book = read_log(after, min(begun.values()), names)
    report.log_lines, report.log_files = sum(book.lines[name] for name in chosen), book.files
    report.notes += _log_notes(book)
    report.notes += [note for restore in ledger.restores() if (note := _lost_by(restore, book))]
    for name in chosen:
        _audit_job(ledger, name, begun[name], start, book.runs.get(name, {}), report)
    _add_stuck(ledger, now, chosen, lives, report)
    if planner := _planner(ledger, now):
        _add_late(ledger, planner, chosen, report)
    else:
        report.undecided = undecided(ledger, now, chosen)
    return report


# -- one job


def _audit_job(
    ledger: Ledger, name: str, first_seen: datetime, since: datetime, told: Mapping[int, Told], report: Report
) -> None:
    for _ in range(TRIES):
        owed = owed_by(ledger, name)
        done = _compare(ledger, name, first_seen, owed, since, told)
        if _shape(owed_by(ledger, name)) == _shape(owed):
            break
    report.accounts.append(done.account)
    report.findings.extend(done.findings)
    report.notes += _unaudited(name, owed, first_seen, since)
    for run_id in sorted(told.keys() - done.seen):
        if words := _told_in_vain(ledger, run_id, told[run_id]):
            report.findings.add(Finding("history", name, words, told[run_id].slot, run_id))


def _compare(
    ledger: Ledger, name: str, first_seen: datetime, owed: Owed, since: datetime, told: Mapping[int, Told]
) -> JobAudit:
    if owed.first is None or owed.last is None:
        return JobAudit(ledger, name, owed, None, None, told)
    start = max(owed.first, seconds_from(since))
    done = JobAudit(ledger, name, owed, start, owed.last, told)
    if start == owed.first and not _is_older_than_its_definitions(owed, first_seen):
        done.compare_before()
    done.compare()
    done.compare_after(lambda: owed_by(ledger, name))
    return done


def _shape(owed: Owed) -> list[tuple[int, datetime]]:
    """What changes when a job is redefined or the clock steps, and does not while it is only planned further."""
    return [(each.generation, each.after) for each in owed.obligations]


def _told_in_vain(ledger: Ledger, run_id: int, told: Told) -> str | None:
    """What is wrong with a run the log tells of that was not met among the audited slots."""
    try:
        run = ledger.run(run_id)
    except UnknownName:
        of = f" for the slot of {stamp(moment_of(told.slot))}" if told.slot is not None else ""
        return f"the log tells of run {run_id}{of}; the ledger has no such run"
    if run.job_name != told.job_name:
        return f"the log has run {run_id} as one of '{told.job_name}', the ledger as one of '{run.job_name}'"
    return unlike(told, run_id, run.slot.epoch_seconds if run.slot else None, run.state.value)


# -- the scheduler


def _add_stuck(ledger: Ledger, now: datetime, names: Collection[str], lives: Lives | None, report: Report) -> None:
    """Runs that say `running` though their scheduler is dead: the next one ends them within fifteen seconds (I5)."""
    stint = leader(ledger, now)
    settled = stint is not None and now - stint.started_at > SILENT_ABOVE
    for run in _running(ledger) if lives is not None else ():
        if run.job_name not in names or lives is None or lives(run) is not False:
            continue
        if settled and run.started_at and now - run.started_at > SILENT_ABOVE:
            words = f"run {run.id} says 'running', its scheduler is dead, and the one that leads has not ended it"
            report.findings.add(Finding("stuck", run.job_name, words, None, run.id))
        else:
            report.notes.append(
                f"run {run.id} of {run.job_name} says 'running' though its scheduler is dead; the next one will end it"
            )


def _running(ledger: Ledger) -> Iterator[Run]:
    before: int | None = None
    while page := ledger.runs(states=frozenset({State.RUNNING}), before_id=before, limit=MAX_PAGE):
        yield from page
        before = page[-1].id


def _planner(ledger: Ledger, now: datetime) -> Stint | None:
    """The scheduler that leads, once it has planned or had fifteen seconds for it: what came due before is not late by it."""
    stint, last = leader(ledger, now), ledger.last_pass()
    if stint is None or (last is not None and last[1].id == stint.id):
        return stint
    return stint if stint.beat_at - stint.started_at > SILENT_ABOVE else None


def _add_late(ledger: Ledger, stint: Stint, names: Collection[str], report: Report) -> None:
    """Jobs with a slot that nobody planned within fifteen seconds although the scheduler of *stint* leads (I2)."""
    generation = ledger.generation()
    for name, through in ledger.planned_through().items():
        newest = ledger.definitions(name) if name in names and name in ledger.job_names() else []
        due = _next_due(newest[-1][1], through, clock_waits=generation.held or generation.released) if newest else None
        if due is not None and due + SILENT_ABOVE < stint.beat_at:
            words = (
                f"the slot of {stamp(due)} is not planned {span(stint.beat_at - due)} later though a scheduler leads; "
                "see `job.failed_to_plan` in logs/scheduler.log"
            )
            report.findings.add(Finding("late", name, words, seconds_of(due)))


def _next_due(definition: Mapping[str, Any], through: datetime, *, clock_waits: bool) -> datetime | None:
    """By when the first slot later than *through* had to be planned; None where none is, or it rightly waits."""
    try:
        trigger = rule_of(definition)
    except ValueError:
        return None
    if clock_waits and not trigger.follows_real_time:
        return None
    due = next(trigger.after(through), None)
    return due and due + timedelta(seconds=definition.get("jitter_s", 0.0))


# -- what cannot be audited


def _is_older_than_its_definitions(owed: Owed, first_seen: datetime) -> bool:
    """Whether the job was registered by a release that kept no history of definitions."""
    return owed.first is not None and seconds_of(first_seen) + 1 < owed.first


def _unaudited(name: str, owed: Owed, first_seen: datetime, since: datetime) -> Iterator[str]:
    if owed.first is None:
        yield f"{name}: the definitions it had were not kept, so nothing of it can be audited"
    elif _is_older_than_its_definitions(owed, first_seen) and since < moment_of(owed.first):
        before = stamp(moment_of(owed.first))
        yield f"{name}: definitions are kept since {before}; what lies before is not audited"
    for part in owed.unknown:
        if part.first <= part.last and moment_of(part.last) >= since:
            yield f"{name}: {stamp(moment_of(part.first))} to {stamp(moment_of(part.last))} is not audited: {part.why}"


def _retention(now: datetime, pruned: datetime | None) -> Iterator[str]:
    if pruned is not None and pruned > now:
        yield f"history before {stamp(pruned)} was removed by retention, which ran while the clock was ahead of now"
    elif pruned is not None:
        yield f"history before {stamp(pruned)} was removed by retention and is not audited"


def _lost_by(restore: Restore, book: Logbook) -> str | None:
    """What the log tells of and *restore* took away: it is on record, so it is no finding."""
    lost, ends = book.forget(restore)
    told = []
    if lost:
        told.append(f"{_told_of(len(lost))} {_numbers(lost[0], lost[-1])}")
    if ends:
        told.append(f"how {ends:,} other run{'s' if ends > 1 else ''} ended")
    of = f"a copy of {stamp(restore.copied_at)}" if restore.copied_at else "an empty copy"
    return f"lost by the restore of {of} at {stamp(restore.at)}: {', and '.join(told)}" if told else None


def _told_of(count: int) -> str:
    return f"{count:,} run{'s' if count > 1 else ''} the log tells of"


def _numbers(first: int, last: int) -> str:
    return f"({first} to {last})" if last > first else f"({first})"


def _log_notes(book: Logbook) -> Iterator[str]:
    if book.foreign:
        are = "1 line of the log is" if book.foreign == 1 else f"{book.foreign:,} lines of the log are"
        yield f"{are} older than this ledger and tell{'s' if book.foreign == 1 else ''} of another one"
    if earlier := book.earlier:
        numbers = _numbers(earlier.first_run, earlier.last_run)
        yield (
            f"lost before this ledger began empty at {stamp(earlier.at)}: {_told_of(earlier.count)} {numbers}, from "
            f"{stamp(earlier.since)} to {stamp(earlier.until)}"
        )
    yield from book.notes
