"""Bugs in what becomes of slots: markers, catching up, the clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from echopilot_jobs import planner, stretches
from echopilot_jobs.ledger import defining, sqlite_reading
from echopilot_jobs.ledger.claiming import Claiming
from echopilot_jobs.ledger.defining import Definitions
from echopilot_jobs.ledger.sqlite_pass import SqlitePass
from echopilot_jobs.outages import Change
from echopilot_jobs.scheduler import loop, timekeeping
from echopilot_jobs.scheduler.loop import Scheduler
from echopilot_jobs.scheduler.passdone import PassDone
from echopilot_jobs.scheduler.timekeeping import Timekeeper
from echopilot_jobs.simulator.plants.planting import Patches, planning, plant
from echopilot_jobs.slots import SkipReason

SECOND = timedelta(seconds=1)


# -- claims and markers


@plant("one slot in five vanishes: the marker advances, nothing is written")
def marker_without_claim(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def claim(self: Any, wanted: Any, *rest: Any) -> Any:
            return before(self, {key: value for key, value in wanted.items() if key[1] % 5}, *rest)

        return claim

    patches.put(Claiming, "claim_all", make)


@plant("the marker is committed before the claims it stands for")
def marker_before_claims(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def dispose(self: Any, plans: Any, **facts: Any) -> Any:
            self._advance(plans)
            self._sql.db.execute("commit")
            self._sql.db.execute("begin immediate")
            return before(self, plans, **facts)

        return dispose

    patches.put(SqlitePass, "dispose", make)


@plant("a run's work begins before its claim is committed")
def effect_before_claim(patches: Patches) -> None:
    def early(_before: Any) -> Any:
        def one_transaction(self: Any, reading: Any, planning: bool, *, prepared: bool = False) -> Any:
            with self._ledger.leading(self._lease, reading.wall) as leading:
                done = PassDone()
                if prepared:
                    self._timekeeper.wait_for(reading)
                if planning:
                    done.footing = self._timekeeper.account(leading, self._registry, reading, unreachable=False)
                self._record(leading, reading.wall, done)
                if done.footing is not None:
                    self._plan(leading, reading.wall, done.footing, done)
                    for run in [*done.started, *leading.start_ready(self._may_start)]:
                        self.start_one(run)
                    done.started = []
                done.to_cancel = leading.to_cancel()
                self._next_ready = leading.next_ready_at()
                leading.renew(reading, planned=planning)
            return done

        return one_transaction

    patches.put(Scheduler, "_one_transaction", early)


@plant("no unique index, and the marker is lost now and then")
def slots_claimed_again(patches: Patches) -> None:
    patches.sql("claim", r"on conflict do nothing", "")
    patches.sql("advance", r"where", "where :planned_through % 3 <> 0 and")

    def make(before: Any) -> Any:
        def migrate(db: Any) -> None:
            before(db)
            db.execute("drop index if exists runs_by_slot")

        return migrate

    patches.put(sqlite_reading, "migrate", make)


@plant("a new job owes its last day")
def first_seen_ignored(patches: Patches) -> None:
    patches.sql("register_job", r":now, :now\)", ":now, :now - 86400000)")


@plant("new times owe what the old ones had not planned")
def redefinition_owes_the_past(patches: Patches) -> None:
    patches.sql("redefine_job", r"planned_through = max\([^)]*\),", "planned_through = planned_through - 600000,")


@plant("slots taken together into one run leave no row")
def coalesced_without_rows(patches: Patches) -> None:
    def make(before: Any) -> Any:
        return lambda self, found, reason: None if reason is SkipReason.COALESCED else before(self, found, reason)

    patches.put(stretches.Gathered, "skip_all", make)


@plant("a gap row counts one slot too few")
def gap_miscounted(patches: Patches) -> None:
    patches.sql("gap", r":count,", ":count - 1,")


@plant("what was missed is told as merged with a later slot")
def reason_forged(patches: Patches) -> None:
    def make(before: Any) -> Any:
        return lambda self, number, slot, reason: before(
            self, number, slot, SkipReason.COALESCED if reason is SkipReason.EXPIRED else reason
        )

    patches.put(stretches.Gathered, "_tally", make)


@plant("a long stretch is counted off one slot short")
def stretch_miscounted(patches: Patches) -> None:
    def make(before: Any) -> Any:
        return lambda self, first, last, count, reason: before(self, first, last, count - 1, reason)

    patches.put(stretches.Gathered, "skip_many", make)


# -- catching up


@plant("after a gap only the last fifteen seconds are planned")
def gap_not_planned(patches: Patches) -> None:
    def change(job: Any, standing: Any, now: Any) -> tuple[Any, Any]:
        return job, standing._replace(planned_through=max(standing.planned_through, now - 15 * SECOND))

    patches.put(loop, "plan", planning(change))


@plant("eleven slots are caught up where ten are allowed")
def cap_off_by_one(patches: Patches) -> None:
    patches.put(planner, "CATCH_UP_MOST", lambda most: most + 1)


@plant("slots are caught up however late they are")
def window_ignored(patches: Patches) -> None:
    def change(job: Any, standing: Any, _now: Any) -> tuple[Any, Any]:
        late = replace(job, catch_up_window=timedelta(days=30)) if job.catch_up != "none" else job
        return late, standing

    patches.put(loop, "plan", planning(change))


@plant("a job that wants nothing caught up is treated like all others")
def catch_up_none_ignored(patches: Patches) -> None:
    def change(job: Any, standing: Any, _now: Any) -> tuple[Any, Any]:
        return replace(job, catch_up="latest") if job.catch_up == "none" else job, standing

    patches.put(loop, "plan", planning(change))


@plant("`latest` catches everything up")
def latest_runs_all(patches: Patches) -> None:
    def change(job: Any, standing: Any, _now: Any) -> tuple[Any, Any]:
        return replace(job, catch_up="all") if job.catch_up == "latest" else job, standing

    patches.put(loop, "plan", planning(change))


@plant("a backlog of a day starts without a word from anybody")
def consent_not_waited_for(patches: Patches) -> None:
    patches.put(loop, "CONSENT_WITHIN", lambda _: timedelta(seconds=1))


# -- the clock


@plant("a step back is not noticed")
def step_back_not_noticed(patches: Patches) -> None:
    patches.put(Change, "begins_generation", lambda _before: lambda self: self.step > timedelta(hours=3))


@plant("interval jobs go on under the old generation after a step back")
def generation_not_bumped(patches: Patches) -> None:
    def make(_before: Any) -> Any:
        def begin_generation(self: Any, _step: Any, _away: Any, *, held: bool, rewound: Any) -> Any:
            for job in rewound:
                self._owe_from(job, self._now)
            return replace(self.generation(), held=held)

        return begin_generation

    patches.put(SqlitePass, "begin_generation", make)


@plant("after a step back everything is planned from the new time, and run again")
def calendar_run_again(patches: Patches) -> None:
    def make(_before: Any) -> Any:
        def begin(leading: Any, registry: Any, change: Any, _generation: Any) -> Any:
            return leading.begin_generation(change.step, change.step, held=False, rewound=list(registry.values()))

        return begin

    def keep_beat(before: Any) -> Any:
        def kept(self: Any, job: Any, step: Any) -> None:
            if job.trigger.follows_real_time:
                before(self, job, step)
            else:
                self.owe_from(job.name, self._now)

        return kept

    patches.put(timekeeping, "_begin", make)
    patches.put(Definitions, "keep_beat", keep_beat)
    patches.sql("claim", r"not \(:once and", "not (:once and false and")


@plant("after a step back an interval job is planned from the new time, however short the step was")
def interval_run_again(patches: Patches) -> None:
    def make(_before: Any) -> Any:
        return lambda self, job, _step: self.owe_from(job.name, self._now)

    patches.put(Definitions, "keep_beat", make)


@plant("after a step back an interval job goes on where it was, however far that is")
def interval_silent(patches: Patches) -> None:
    def make(_before: Any) -> Any:
        def keep_beat(self: Any, job: Any, _step: Any) -> None:
            for row in self.rows([job.name]):
                self.owe_from(job.name, row.planned_through)

        return keep_beat

    patches.put(Definitions, "keep_beat", make)


@plant("a clock that leapt for hours is believed at once")
def clock_believed(patches: Patches) -> None:
    patches.put(timekeeping, "HOLD_ABOVE", lambda _before: timedelta(days=36_500))


@plant("a clock that leapt is never believed again")
def clock_never_believed(patches: Patches) -> None:
    patches.put(timekeeping, "CLOCK_HOLD_FOR", lambda _before: timedelta(days=36_500))


@plant("runs that wait are left on the old wall clock after a step back")
def waiting_runs_not_shifted(patches: Patches) -> None:
    patches.sql("shift_waiting_runs", r":step_ms", "0 * :step_ms")


@plant("what a job owed before it was removed has no row")
def removed_without_a_word(patches: Patches) -> None:
    patches.put(Definitions, "retire", lambda _before: lambda _self, _kept: None)


@plant("of what was superseded the first slot is forgotten")
def superseded_one_short(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def stretch(job: Any, after: Any, *rest: Any) -> Any:
            return before(job, next(job.trigger.after(after), after), *rest)

        return stretch

    patches.put(defining, "stretch_of", make)


@plant("jitter reaches beyond the next slot")
def jitter_too_far(patches: Patches) -> None:
    def make(_before: Any) -> Any:
        def planned_at(job: Any, slot: Any) -> Any:
            return slot.due_at + job.jitter * (slot.epoch_seconds * 7919 % 1000 / 1000)

        return planned_at

    patches.put(planner, "planned_at", make)


@plant("a time shown twice in autumn runs twice")
def fold_doubled(patches: Patches) -> None:
    from echopilot_jobs.triggers import calendar, zones

    def make(before: Any) -> Any:
        def moments(walls: Any, moment: Any, zone: str) -> Iterator[Any]:
            early = before(walls, moment - timedelta(hours=2), zone)
            seen = []
            for due in early:
                change = zones.first_change(zone, due, due + timedelta(hours=2))
                copies = [due, due + (change.before - change.after)] if change and not change.is_gap else [due]
                seen = [copy for copy in copies if copy > moment]
                yield from seen

        return moments

    patches.put(calendar, "fixed_moments", make)


@plant("clocks are compared with those of a scheduler that died before it planned")
def stillborn_reading_believed(patches: Patches) -> None:
    columns = "stints.started_at as wall_at, 0 as boottime_ms, 0 as monotonic_ms, stints.*"
    newest_but_one = "from (select * from stints order by id desc limit 1 offset 1) as stints"
    patches.sql("last_pass", r"(?s)^select .*from last_pass join .*$", f"select {columns} {newest_but_one}")


@plant("a step of the clock shifts what this very pass is about to write")
def shifted_twice(patches: Patches) -> None:
    def make(_before: Any) -> Any:
        def one_transaction(self: Any, reading: Any, planning: bool, *, prepared: bool = False) -> Any:
            done = PassDone()
            with self._ledger.leading(self._lease, reading.wall) as leading:
                if prepared:
                    self._timekeeper.wait_for(reading)
                self._record(leading, reading.wall, done)
                if planning:
                    done.footing = self._timekeeper.account(leading, self._registry, reading, unreachable=False)
                    strays = leading.strays(self._out) if self._in_doubt else []
                    self._plan(leading, reading.wall, done.footing, done)
                    done.started = strays + done.started + leading.start_ready(self._may_start)
                done.to_cancel = leading.to_cancel()
                self._next_ready = leading.next_ready_at()
                leading.renew(reading, planned=planning)
            return done

        return one_transaction

    patches.put(Scheduler, "_one_transaction", make)


@plant("a gap row spans slots that have rows of their own")
def gap_not_one_stretch(patches: Patches) -> None:
    patches.put(stretches.Tally, "takes", lambda _before: lambda self, _number, reason: self.reason is reason)


@plant("the ten minutes a leapt clock must stand still count from its first leap")
def hold_not_begun_anew(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def account(self: Any, *args: Any, **facts: Any) -> Any:
            since = self._held_since
            footing = before(self, *args, **facts)
            if since is not None and footing.held:
                self._held_since = since
            return footing

        return account

    patches.put(Timekeeper, "account", make)


@plant("after a step back a backlog still waits for a moment of the old wall clock")
def pacing_on_the_old_clock(patches: Patches) -> None:
    def make(before: Any) -> Any:
        def beat(self: Any, **facts: Any) -> Any:
            paced = self._paced_from
            waits = before(self, **facts)
            self._paced_from = max(paced, self._paced_from)
            return waits

        return beat

    patches.put(Scheduler, "beat", make)


@plant("a pass prepared for a moment is committed before it")
def prepared_not_awaited(patches: Patches) -> None:
    patches.put(Timekeeper, "wait_for", lambda _before: lambda _self, _prepared: None)


@plant("a prepared pass does not see that the clock was set meanwhile")
def prepared_clock_not_seen(patches: Patches) -> None:
    def wait_for(self: Any, prepared: Any) -> None:
        self._clock.sleep(max(prepared.monotonic - self._clock.monotonic(), 0.0))

    patches.put(Timekeeper, "wait_for", lambda _before: wait_for)
