"""The audit says green of a true record, whatever happened in it, and names every slot that a damaged one lost or doubled."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from echopilot_jobs.accounting import comparing
from echopilot_jobs.accounting.audit import Report
from echopilot_jobs.accounting.findings import SHOWN_MOST, Account
from echopilot_jobs.accounting.logbook import read_logbook
from echopilot_jobs.accounting.owed import owed_by
from echopilot_jobs.holds import HoldAnswer
from echopilot_jobs.jobs import Job
from echopilot_jobs.ledger.restores import note_restore
from echopilot_jobs.logs import SchedulerLog
from echopilot_jobs.runs import Origin, Outcome, State
from echopilot_jobs.spans import stamp
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.triggers import DailyAt, Every
from tests.lifekit import DAY, HOUR, JOBS, TICK, Life
from tests.worldkit import MINUTE, WORK, end_with

EDITED = (
    *JOBS[1:-1],
    replace(JOBS[0], trigger=Every(2 * MINUTE)),
    Job("off", DailyAt(time(9)), TICK),  # counts time no longer, and is enabled
)


@pytest.fixture
def life(clock: FakeClock) -> Life:
    return Life(MemoryLedger(), clock)


def eventful(life: Life) -> None:
    """Restarts, a crash, suspends, steps of the clock in both directions, a pause, a backfill, edits, a removed job."""
    ledger, clock = life.ledger, life.clock
    scheduler = life.begin(*JOBS)
    life.go_on(scheduler, 40 * MINUTE)
    clock.sleep(3 * 3600)
    scheduler = life.begin(*JOBS)
    life.go_on(scheduler, 20 * MINUTE)
    clock.step(-40 * 60)
    life.go_on(scheduler, HOUR)
    ledger.pause("minutely", clock.now(), clock.now() + 4 * HOUR, "cli:ann", "moving")
    clock.suspend(5 * 3600)
    life.go_on(scheduler, 10 * MINUTE)
    clock.step(-5 * 3600)
    life.go_on(scheduler, 20 * MINUTE)
    clock.step(6 * 3600)
    life.go_on(scheduler, MINUTE)
    ledger.trust_clock()
    life.go_on(scheduler, MINUTE)
    clock.sleep(9 * 86_400)
    life.go_on(life.begin(*JOBS[:-1]), 20 * MINUTE)
    scheduler = life.begin(*EDITED)
    life.go_on(scheduler, HOUR)
    missed = ledger.skips_between(clock.now() - 20 * DAY, clock.now())
    ledger.backfill(
        "minutely", [skip.slot for skip in missed if skip.slot.job_name == "minutely"][:5], "ann", clock.now()
    )
    life.go_on(scheduler, 20 * MINUTE)


def kept_of(account: Account) -> int:
    """How many slots have a row, as its counts have it."""
    runs = account.ran + account.caught_up + account.waiting + account.cancelled
    return runs + account.skipped.total() + account.in_gaps


def everything(report: Report) -> list[tuple[object, ...]]:
    return [tuple(account.as_dict().items()) for account in report.accounts]


def test_a_true_record_is_green_whatever_happened_and_every_slot_is_in_one_account_I2_I18(life: Life) -> None:
    eventful(life)

    report = life.audit()

    assert report.is_green, report.findings.shown
    assert report.notes == []
    assert [account.job_name for account in report.accounts] == sorted(job.name for job in JOBS)
    for account in report.accounts:
        assert account.slots == kept_of(account) > 0, account
    assert sum(account.backfilled for account in report.accounts) == 5
    assert sum(account.in_gaps for account in report.accounts) > 10_000


def test_an_account_never_begins_after_its_end_and_says_neither_where_nothing_is_planned_yet(life: Life) -> None:
    life.begin(*JOBS).beat()
    new = life.audit(names={"minutely"}).as_dict()["jobs"][0]
    life.go_on(life.begin(*JOBS), 5 * MINUTE)
    planned_to = life.ledger.planned_through()["minutely"]

    later = life.audit(names={"minutely"}, since=planned_to + timedelta(seconds=1)).as_dict()["jobs"][0]
    old = life.audit(names={"minutely"}).as_dict()["jobs"][0]

    assert (new["since"], new["through"], new["slots"]) == (later["since"], later["through"], 0) == (None, None, 0)
    assert old["since"] < old["through"]


@pytest.mark.parametrize(("answer", "caught_up"), [("latest", 1), ("all", 5), ("drop", 0)])
def test_only_what_started_counts_as_caught_up_I2(life: Life, answer: HoldAnswer, caught_up: int) -> None:
    """What waits for a person's word waits, and what that word cancels never ran."""
    job = Job("daily", DailyAt(time(9)), TICK, catch_up="all", catch_up_window=30 * DAY)
    life.go_on(life.begin(job), MINUTE)
    life.clock.sleep(5 * 86_400)
    scheduler = life.begin(job)
    life.go_on(scheduler, MINUTE)
    (before,) = life.audit().accounts

    life.ledger.answer_hold(answer, "cli:ann", life.clock.now())
    life.go_on(scheduler, 2 * MINUTE)

    (after,) = life.audit().accounts
    assert (before.slots, before.waiting, before.caught_up, before.cancelled) == (5, 5, 0, 0)
    assert (after.slots, after.waiting, after.caught_up, after.cancelled) == (5, 0, caught_up, 5 - caught_up)
    assert (kept_of(before), kept_of(after)) == (5, 5)


@pytest.mark.parametrize("at_once", [1, 7, 300])
def test_the_account_does_not_depend_on_how_many_slots_are_looked_at_at_once(
    life: Life, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """I14: a window at a time is all the memory it takes."""
    eventful(life)
    whole = life.audit()

    monkeypatch.setattr(comparing, "AT_ONCE", at_once)

    assert everything(life.audit()) == everything(whole)


def test_an_audit_from_a_moment_on_counts_only_what_came_later(life: Life) -> None:
    eventful(life)
    since = life.clock.now() - HOUR

    report = life.audit(since=since, names={"minutely", "all_of_them"})

    assert report.is_green
    assert [account.job_name for account in report.accounts] == ["all_of_them", "minutely"]
    assert sum(account.slots for account in report.accounts) < 40
    assert all(account.first == int(since.timestamp()) + 1 for account in report.accounts)


# -- damage


def simple(life: Life) -> None:
    """Two jobs that ran for half an hour, were down for five hours and have run since: runs, skips and a gap."""
    life.go_on(life.begin(JOBS[0], JOBS[1]), 30 * MINUTE)
    life.clock.sleep(5 * 3600)
    scheduler = life.begin(JOBS[0], JOBS[1])
    life.go_on(scheduler, 10 * MINUTE)


MINUTELY = "(select id from jobs where name = 'minutely')"
A_RUN = f"select id from runs where origin = 'schedule' and job_id = {MINUTELY} order by id limit 1 offset 4"
DAMAGE: dict[str, tuple[str, str, str]] = {
    "a run removed": (f"delete from runs where id = ({A_RUN})", "lost", "has neither run nor skip"),
    "a gap that counts too few": ("update gaps set count = count - 2", "lost", "2 of the slots between"),
    "a gap that counts too many": ("update gaps set count = count + 1", "wrong", "slots, not"),
    "a gap removed": ("delete from gaps", "lost", "has neither run nor skip"),
    "a run moved to no slot": (
        f"update runs set slot_at = slot_at + 7 where id = ({A_RUN})", "lost wrong", "is no slot of any definition"),
    "a run of a clock that never was": (
        f"update runs set generation = 3 where id = ({A_RUN})", "lost wrong", "is no slot of any definition"),
    "a slot skipped and run": (
        "insert into skips (job_id, slot_at, generation, reason, decided_at) "
        f"select job_id, slot_at, 0, 'overlap', 0 from runs where id = ({A_RUN})", "doubled", "is skipped as well"),
    "a skip of no slot": (
        "insert into skips (job_id, slot_at, generation, reason, decided_at) "
        f"select job_id, slot_at + 1, 0, 'overlap', 0 from runs where id = ({A_RUN})", "wrong", "is no slot"),
    "a slot claimed before it came": (
        "insert into runs (job_id, origin, state, slot_at, generation, claimed_at) "
        f"select job_id, origin, state, slot_at + 864000, 0, 0 from runs where id = ({A_RUN})", "wrong", "is no slot"),
    "a slot claimed before the job was known": (
        "insert into runs (job_id, origin, state, slot_at, generation, claimed_at) "
        f"select job_id, origin, state, slot_at - 864000, 0, 0 from runs where id = ({A_RUN})", "wrong", "is no slot"),
    "a gap nobody had": (
        "insert into gaps (job_id, first_at, last_at, count, reason, decided_at) values (1, 1772438401, 1772438500, 101, "
        "'expired', 0)", "wrong", "a gap begins"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named_I2_I10(life: Life, name: str) -> None:
    statement, kinds, words = DAMAGE[name]
    simple(life)
    assert life.audit().is_green

    assert life.sql(statement) >= 1
    report = life.audit()

    assert not report.is_green
    assert set(report.findings.counts) == set(kinds.split())
    assert any(words in finding.words for finding in report.findings.shown)


def test_two_claims_of_one_slot_are_found_though_no_index_forbids_them_any_more_I1(life: Life) -> None:
    simple(life)
    life.sql("drop index runs_by_slot")
    copied = "insert into runs (job_id, origin, state, slot_at, generation, claimed_at) "
    life.sql(copied + f"select job_id, origin, state, slot_at, 0, 0 from runs where id = ({A_RUN})")

    (finding,) = life.audit().findings.shown

    assert finding.kind == "doubled"
    assert "has the runs" in finding.words
    assert finding.slot is not None


def test_a_repeated_and_a_backfilled_run_are_no_second_claim(life: Life) -> None:
    simple(life)
    run = life.ledger.run(life.ledger.dispositions("minutely", *_always()).runs[4][2])
    life.ledger.request_run("minutely", life.clock.now(), retry_of=run, request_key="again", origin=Origin.RETRY)
    skip = life.ledger.skips_between(*_always())
    life.ledger.backfill(
        "minutely", [one.slot for one in skip if one.slot.job_name == "minutely"][:1], "ann", life.clock.now()
    )

    assert life.audit().is_green


def test_a_calendar_moment_that_ran_in_two_clock_generations_is_doubled_I18(life: Life) -> None:
    life.go_on(life.begin(Job("daily", DailyAt(time(8)), TICK)), 10 * MINUTE)
    life.sql(
        "insert into runs (job_id, origin, state, slot_at, generation, claimed_at) "
        "select job_id, origin, state, slot_at, 1, claimed_at from runs limit 1"
    )

    (finding,) = life.audit().findings.shown

    assert (finding.kind, finding.words) == ("doubled", "the slot of 2026-03-02 08:00:00Z has the runs 1 and 2")


def test_every_loss_counts_and_fifty_are_named(life: Life) -> None:
    life.go_on(life.begin(JOBS[0]), 70 * MINUTE)

    life.sql("delete from runs")
    findings = life.audit().findings

    assert findings.counts == {"lost": 70}
    assert (len(findings.shown), findings.entries) == (SHOWN_MOST, 70)


# -- what retention removed, what was never kept


def test_what_retention_removed_is_left_out_and_said_I10(life: Life) -> None:
    simple(life)
    before = life.clock.now() - 5 * HOUR - 20 * MINUTE
    life.ledger.prune(before, 1, 1000, now=life.clock.now())
    assert len(life.ledger.dispositions("minutely", *_always()).runs) < 30

    report = life.audit()

    assert report.is_green
    assert report.notes == [f"history before {stamp(before)} was removed by retention and is not audited"]


def test_retention_under_a_clock_that_was_ahead_is_said(life: Life) -> None:
    simple(life)
    life.ledger.prune(life.clock.now() + 300 * DAY, 1, 1000, now=life.clock.now())

    assert "which ran while the clock was ahead of now" in life.audit().notes[0]


def test_definitions_kept_without_their_rule_are_said_and_not_guessed_at(life: Life) -> None:
    simple(life)
    life.sql(f"update definitions set definition = json_remove(definition, '$.rule') where job_id = {MINUTELY}")

    report = life.audit()

    assert report.is_green
    assert len(report.notes) == 1
    assert "is not audited: the definition 'every 1 min' was kept without its rule" in report.notes[0]


def test_history_older_than_the_history_of_definitions_is_said(life: Life) -> None:
    simple(life)
    life.sql(f"update jobs set first_seen = first_seen - 86400000 where id = {MINUTELY}")
    copied = "insert into runs (job_id, origin, state, slot_at, generation, claimed_at) select job_id, origin, state, "
    life.sql(copied + f"slot_at - 7200, 0, 0 from runs where id = ({A_RUN})")

    report = life.audit()

    assert report.is_green
    assert report.notes == [
        "minutely: definitions are kept since 2026-03-02 07:59:31Z; what lies before is not audited"
    ]


# -- the scheduler


def test_a_run_left_running_by_a_dead_scheduler_is_stuck_once_another_leads_I5(life: Life) -> None:
    scheduler = life.begin(JOBS[0])
    life.go_on(scheduler, 2 * MINUTE)
    life.sql("update runs set state = 'running', finished_at = null where id = 1")

    led = life.audit(lives=lambda _run: False)
    alive = life.audit(lives=lambda _run: True)
    unknown = life.audit(lives=lambda _run: None)
    life.clock.sleep(60)
    alone = life.audit(lives=lambda _run: False)

    assert [finding.kind for finding in led.findings.shown] == ["stuck"]
    assert alive.is_green
    assert unknown.is_green
    assert alone.is_green
    assert alone.notes == ["run 1 of minutely says 'running' though its scheduler is dead; the next one will end it"]


def test_a_slot_nobody_planned_though_a_scheduler_leads_is_late_I2(life: Life) -> None:
    scheduler = life.begin(JOBS[0], JOBS[6])
    life.go_on(scheduler, 2 * MINUTE)
    assert life.audit().is_green

    life.sql("update jobs set planned_through = planned_through - 120000 where name = 'minutely'")
    life.sql(f"delete from runs where slot_at = (select max(slot_at) from runs where job_id = {MINUTELY})")

    assert "late" in life.audit(since=life.clock.now()).findings.counts


def test_what_came_due_before_a_scheduler_that_gave_up_at_once_is_undecided_and_not_late_I2(life: Life) -> None:
    """One that took over and stepped down before its first pass has planned nothing, though its beat is young."""
    life.go_on(life.begin(JOBS[0]), 2 * MINUTE)
    life.clock.sleep(150)
    life.begin(JOBS[0])

    just = life.audit()
    life.sql("update stints set beat_at = beat_at + 60000 where id = (select max(id) from stints)")
    life.clock.sleep(60)

    assert just.is_green, just.findings.shown
    assert just.undecided is not None
    assert just.undecided.slots == 3
    assert life.audit().findings.counts["late"] == 1  # it leads for a minute, and plans nothing


def test_calendar_jobs_that_wait_for_the_clock_are_not_late(life: Life) -> None:
    scheduler = life.begin(Job("daily", DailyAt(time(9)), TICK))
    life.go_on(scheduler, MINUTE)
    life.clock.step(4 * 3600)
    life.go_on(scheduler, 2 * MINUTE)
    assert life.ledger.generation().held

    assert life.audit().is_green


# -- under way


class Busy(MemoryLedger):
    """A ledger in which something happens while it is read."""

    happening: Callable[[], None] | None = None

    def dispositions(self, job_name: str, start: datetime, end: datetime):  # type: ignore[no-untyped-def]
        found = super().dispositions(job_name, start, end)
        happening, self.happening = self.happening, None
        if happening is not None:
            happening()
        return found


def test_a_scheduler_that_goes_on_meanwhile_disturbs_nothing(clock: FakeClock) -> None:
    ledger = Busy()
    life = Life(ledger, clock)
    scheduler = life.begin(*JOBS)
    life.go_on(scheduler, 30 * MINUTE)

    def planned_further() -> None:
        life.go_on(scheduler, 30 * MINUTE)

    def set_back() -> None:
        clock.step(-1200)
        life.go_on(scheduler, 40 * MINUTE)

    for happening in (planned_further, set_back):
        ledger.happening = happening
        report = life.audit()
        assert report.is_green, report.findings.shown
    ledger.close()


def test_what_nobody_decided_begins_with_the_first_such_slot_of_any_job(life: Life) -> None:
    """A job's marker stands still while nothing of it comes due: it says nothing of the others."""
    jobs = (Job("minutely", Every(MINUTE), TICK), Job("hourly", Every(HOUR), TICK))
    life.go_on(life.begin(*jobs), 70 * MINUTE)
    life.clock.sleep(3_060)

    found = life.audit().undecided

    assert found is not None
    decided = max(run.slot.due_at for run in life.ledger.runs(limit=10) if run.slot)
    assert found.first == decided + MINUTE
    assert (found.slots, found.as_dict()["accounted_to"]) == (52, "2026-03-02T09:09:59Z")
    assert found.words.startswith(
        "52 slots came due, from 2026-03-02 09:10:00Z on, and nobody has decided about them: no"
    )


def test_a_single_slot_that_nobody_decided_about_is_named(life: Life) -> None:
    life.go_on(life.begin(Job("hourly", Every(HOUR), TICK)), 70 * MINUTE)
    life.clock.sleep(3_060)

    found = life.audit().undecided

    assert found is not None
    assert found.words.startswith("the slot of 2026-03-02 10:00:00Z came due and nobody has decided about it: no ")


# -- the log


@pytest.fixture
def logged(clock: FakeClock, tmp_path: Path) -> Life:
    """A life whose scheduler wrote its log."""
    life = Life(MemoryLedger(), clock)
    log = SchedulerLog(tmp_path / "scheduler.log", clock)
    life.world.log = log  # type: ignore[assignment]
    simple(life)
    log.close()
    return life


def with_log(life: Life, folder: Path) -> Report:
    known = life.ledger.ledger_id
    return life.audit(read_log=lambda since, begun, names: read_logbook(folder, since, begun, names, known))


def begin_in(folder: Path, life: Life) -> SchedulerLog:
    """The log of a scheduler that has just made its ledger, as its custody writes it."""
    log = SchedulerLog(folder / "scheduler.log", life.clock)
    log.event("ledger.new", ledger_id=life.ledger.ledger_id, empty=True, said="a new one begins")
    life.world.log = log  # type: ignore[assignment]
    return log


def test_the_log_and_the_ledger_tell_the_same(logged: Life, tmp_path: Path) -> None:
    report = with_log(logged, tmp_path)

    assert report.is_green
    assert report.log_files == 1
    assert report.log_lines > 80


@pytest.mark.parametrize("end", [State.FAILED, State.TIMED_OUT])
def test_the_log_and_the_ledger_tell_the_same_of_a_run_whose_retries_gave_way_I12(
    clock: FakeClock, tmp_path: Path, end: State
) -> None:
    life = Life(MemoryLedger(), clock)
    log = SchedulerLog(tmp_path / "scheduler.log", clock)
    life.world.log = log  # type: ignore[assignment]
    scheduler = life.begin(Job("minutely", Every(MINUTE), WORK, retries=3))
    life.go_on(scheduler, MINUTE)
    ((_, run),) = life.world.engine.out
    end_with(life.world, Outcome(end, retry_after=HOUR))
    life.go_on(scheduler, 2 * MINUTE)
    log.close()

    report = with_log(life, tmp_path)

    assert life.ledger.run(run.id).state is end
    assert report.findings.counts["history"] == 0
    life.sql("update runs set state = 'cancelled' where id = ?", run.id)
    assert with_log(life, tmp_path).findings.counts["history"] == 1


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_of_the_log_without_its_run_is_lost_history_I10(logged: Life, tmp_path: Path, packed: bool) -> None:
    """Rotated files count as well: a ledger put back to an older copy shows by them."""
    if packed:
        text = (tmp_path / "scheduler.log").read_bytes()
        (tmp_path / "scheduler.2026-03-02_09-00-00_000000.log.gz").write_bytes(gzip.compress(text))
        (tmp_path / "scheduler.log").unlink()
    last = logged.ledger.runs(limit=1)[0]
    logged.sql("delete from runs where id = ?", last.id)

    report = with_log(logged, tmp_path)

    assert report.findings.counts["history"] == 1
    assert f"the log tells of run {last.id}" in next(f for f in report.findings.shown if f.kind == "history").words


def test_what_a_restore_took_away_is_told_and_is_no_finding(logged: Life, tmp_path: Path) -> None:
    """Runs newer than the copy, and how those ended that went on when it was made."""
    runs = logged.ledger.runs(limit=2)
    with logged.ledger._writing() as sql:
        sql.db.execute("delete from runs where id = ?", (runs[0].id,))
        sql.db.execute("update runs set state = 'running' where id = ?", (runs[1].id,))
        note_restore(sql.db, logged.clock.now(), runs[1].id, runs[0].id)
        sql.db.execute("update runs set state = 'abandoned' where id = ?", (runs[1].id,))

    report = with_log(logged, tmp_path)

    assert report.findings.counts["history"] == 0
    assert report.notes == [
        f"lost by the restore of a copy of {stamp(logged.ledger.restores()[0].copied_at)} at {stamp(logged.clock.now())}: "
        f"1 run the log tells of ({runs[0].id}), and how 1 other run ended"
    ]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("update runs set state = 'failed' where id = 5", "ended as succeeded, the ledger has it as failed"),
        ("update runs set slot_at = slot_at + 60, generation = 9 where id = 5", "the log has run 5 for the slot of"),
        (
            "update runs set job_id = 3 - job_id where id = 5",
            "the log has run 5 as one of 'minutely', the ledger as one of",
        ),
    ],
)
def test_a_run_that_is_not_what_the_log_says_is_lost_history_I6(
    logged: Life, tmp_path: Path, damage: str, words: str
) -> None:
    logged.sql(damage)

    told = [finding.words for finding in with_log(logged, tmp_path).findings.shown if finding.kind == "history"]

    assert len(told) == 1
    assert words in told[0]


def test_lines_that_cannot_be_read_and_lines_of_an_earlier_ledger_are_no_loss_I21(logged: Life, tmp_path: Path) -> None:
    path = tmp_path / "scheduler.log"
    old = {
        "ts": "2025-01-01T00:00:00Z",
        "event": "slot.claimed",
        "job": "minutely",
        "run": 9999,
        "slot": "2025-01-01T00:00:00Z",
    }
    odd = [
        json.dumps(old).encode(),
        b'{"event":"slot.claimed"',
        b'{"event":"run.finished","ts":1}',
        b'{"ts":"2026-03-02T08:00:00Z","event":"tick","note":"\\"slot.claimed\\""}',
        b"\xff\xfe",
        b'{"ts":"2026-03-02T09:00:00Z","event":"slot.claimed","job":"stranger","run":8888,"slot":"2026-03-02T09:00:00Z"}',
    ]
    path.write_bytes(b"\n".join(odd) + b"\n" + path.read_bytes() + b'{"ts":"2026-03-02T09:00:00Z","event":"run.fin')
    (tmp_path / "scheduler.2026-03-02_08-30-00_000000.log.gz").write_bytes(b"no gzip")

    report = with_log(logged, tmp_path)

    assert report.is_green
    assert report.notes[0] == "1 line of the log is older than this ledger and tells of another one"
    assert "could not be read to its end" in report.notes[1]


def test_lines_of_a_clock_set_back_to_before_the_ledger_began_are_its_own_I10(clock: FakeClock, tmp_path: Path) -> None:
    """The log says where the ledger begins; by the moments of its lines they would be those of another one, unaudited."""
    life = Life(MemoryLedger(), clock)
    log = begin_in(tmp_path, life)
    scheduler = life.begin(JOBS[0])
    life.go_on(scheduler, 10 * MINUTE)
    clock.step(-2 * 3600)
    life.go_on(scheduler, 10 * MINUTE)
    log.close()

    report = with_log(life, tmp_path)

    assert (report.is_green, report.notes) == (True, [])
    assert report.log_lines == 40  # the claim and the end of twenty runs
    life.sql("delete from runs where id = (select max(id) from runs)")
    assert with_log(life, tmp_path).findings.counts["history"] == 1


def test_what_went_with_the_ledger_before_is_told_by_its_numbers_as_after_a_restore_I10(
    clock: FakeClock, tmp_path: Path
) -> None:
    lost, born = Life(MemoryLedger(), clock), Life(MemoryLedger(), clock)
    log, begun = begin_in(tmp_path, lost), clock.now()
    lost.go_on(lost.begin(JOBS[0]), 10 * MINUTE)
    log.close()
    clock.step(-60 * 60)  # by their moments those lines are younger than the ledger that follows
    log, at = begin_in(tmp_path, born), clock.now()
    born.go_on(born.begin(JOBS[0]), 10 * MINUTE)
    log.close()

    report = with_log(born, tmp_path)

    assert report.is_green
    (note,) = report.notes
    assert note.startswith(
        f"lost before this ledger began empty at {stamp(at)}: 10 runs the log tells of (1 to 10), from "
    )
    assert stamp(begun)[:10] in note
    assert report.log_lines > 0


def test_lines_older_than_what_retention_removed_are_left_alone(logged: Life, tmp_path: Path) -> None:
    logged.ledger.prune(logged.clock.now() - HOUR, 1, 1000, now=logged.clock.now())

    assert with_log(logged, tmp_path).is_green


# -- what is owed


def test_what_is_owed_is_worked_out_from_each_definition_while_it_was_in_force(life: Life) -> None:
    life.go_on(life.begin(JOBS[0]), 10 * MINUTE)
    life.go_on(life.begin(replace(JOBS[0], trigger=Every(5 * MINUTE))), 10 * MINUTE)

    (strand,) = owed_by(life.ledger, "minutely").strands

    first = int(datetime(2026, 3, 2, 8, 0, tzinfo=UTC).timestamp())
    assert [(slot - first) // 60 for slot in strand.moments(0, 2**40)] == [*range(10), 10, 15]


def test_the_slots_of_a_year_of_seconds_in_one_gap_are_counted_not_walked(life: Life) -> None:
    """I14"""
    job = Job("seconds", Every(timedelta(seconds=1)), TICK)
    life.go_on(life.begin(job), timedelta(seconds=5))
    life.clock.sleep(365 * 86_400)
    life.go_on(life.begin(job), timedelta(seconds=5))

    (account,) = life.audit().accounts

    assert account.in_gaps > 365 * 86_400 - 200
    assert account.slots == kept_of(account)


def _always() -> tuple[datetime, datetime]:
    return datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
