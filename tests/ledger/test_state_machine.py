"""The ledger under any order of what schedulers and people may do to it, on a real file."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from echopilot_jobs.errors import LeaseLost, WrongState
from echopilot_jobs.jobs import Job, Python
from echopilot_jobs.ledger import Lease, Limits, SqliteLedger
from echopilot_jobs.planner import Plan
from echopilot_jobs.runs import BAD_ENDS, MOVES, Outcome, Run, State
from echopilot_jobs.slots import Slot
from echopilot_jobs.triggers import Every
from tests.schedulekit import claim, dispose, reading, standing

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NAMES = ("a", "b")
JOBS = {name: Job(name=name, trigger=Every(timedelta(minutes=1)), action=Python("m:f"), retries=2) for name in NAMES}
ENDS = [state for state in State if not MOVES[state]]


class Histories(RuleBasedStateMachine):
    """Two jobs, leaders that come and go, people who ask, cancel and prune.

    The shadow remembers every state ever seen: a move must be one of `MOVES`, an end must stay (I6), an id must not come
    back (I10).
    """

    leases = Bundle("leases")
    running = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = SqliteLedger(Path(self.folder.name) / "ledger.sqlite3")
        self.now = NOON
        self.leader: Lease | None = None
        self.seen: dict[int, State] = {}
        self.ended: dict[int, State] = {}  # how the last attempt of each run did that was seen to end
        self.claimed: set[tuple[str, datetime]] = set()
        self.alive: set[str] = set()

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    @initialize(target=leases)
    def begin(self) -> Lease:
        return self.lead()

    def lead(self) -> Lease:
        owner = f"boot:{len(self.alive) + 1}:{int(self.now.timestamp())}"
        self.leader = self.ledger.take_lease(owner, "h", "r", self.now)
        self.alive.add(owner)
        with self.ledger.leading(self.leader, self.now) as leading:
            leading.standings(list(JOBS.values()))
        return self.leader

    @rule(seconds=st.integers(1, 90))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(target=leases)
    def another_leads(self) -> Lease:
        self.now += timedelta(seconds=1)
        return self.lead()

    @rule(lease=leases, name=st.sampled_from(NAMES), minute=st.integers(0, 5))
    def claim_slot(self, lease: Lease, name: str, minute: int) -> None:
        slot = Slot(name, NOON + timedelta(minutes=minute))
        before = standing_of(self.ledger, name)
        try:
            with self.ledger.leading(lease, self.now) as leading:
                made = dispose(leading, JOBS[name], Plan(before, (claim(slot),)))
        except LeaseLost:
            assert lease != self.leader  # I20
            return
        assert lease == self.leader
        assert len(made) == ((name, slot.due_at) not in self.claimed)  # I1
        self.claimed.add((name, slot.due_at))

    @rule(name=st.sampled_from(NAMES), key=st.sampled_from([None, "k1", "k2"]))
    def request(self, name: str, key: str | None) -> None:
        try:
            run, is_new = self.ledger.request_run(name, self.now, request_key=key)
        except WrongState:
            return
        assert is_new == (run.id not in self.seen)

    @rule(target=running, places=st.integers(0, 3))
    def start(self, places: int) -> list[tuple[Lease, Run]]:
        assert self.leader is not None
        with self.ledger.leading(self.leader, self.now) as leading:
            started = leading.start_ready(Limits(places))
        assert len(started) <= places
        return [(self.leader, run) for run in started]

    @rule(
        taken=consumes(running),
        state=st.sampled_from([*ENDS, State.RETRY_WAIT]),
        how=st.sampled_from(sorted(BAD_ENDS)),
        by_newest=st.booleans(),
    )
    def finish(self, taken: list[tuple[Lease, Run]], state: State, how: State, by_newest: bool) -> None:
        for lease, run in taken:
            end = how if state is State.RETRY_WAIT else State.FAILED if state is State.ABANDONED else state
            again = self.now + timedelta(seconds=30) if state is State.RETRY_WAIT else None
            by = self.leader if by_newest and self.leader else lease
            before = self.ledger.run(run.id)
            try:
                with self.ledger.leading(by, self.now) as leading:
                    leading.finish(run, Outcome(end), again)
                    self.ended[run.id] = end
            except LeaseLost:
                assert by != self.leader
                assert self.ledger.run(run.id) == before
            except WrongState:
                ours = before.state is State.RUNNING and before.attempt == run.attempt
                assert not (ours and by == lease)
                assert self.ledger.run(run.id) == before

    @rule(offset=st.integers(0, 20))
    @precondition(lambda self: self.seen)
    def cancel(self, offset: int) -> None:
        run_id = sorted(self.seen)[offset % len(self.seen)]
        try:
            self.ledger.cancel(run_id, self.now, "somebody")
        except WrongState:
            assert self.seen[run_id] in ENDS

    @rule()
    def the_former_leaders_died(self) -> None:
        assert self.leader is not None
        dead = sorted(self.alive - {self.leader.owner})
        abandoned = self.ledger.abandon_owned_by(dead, self.now, "dead")
        assert all(run.owner in dead for run in abandoned)  # I7

    @invariant()
    def every_move_is_a_legal_one(self) -> None:
        for run in self.ledger.runs(limit=200):
            before = self.seen.get(run.id)
            if before is None:
                assert run.id > max(self.seen, default=0)
            elif before is not run.state:
                # More than one move may lie between two looks: retry_wait is passed through inside one rule.
                assert run.state in MOVES[before] or State.RUNNING in MOVES[before]
                assert before not in ENDS
            self.seen[run.id] = run.state

    @invariant()
    def a_job_runs_once_at_a_time(self) -> None:
        running = self.ledger.runs(states=frozenset({State.RUNNING}), limit=200)
        assert len({run.job_name for run in running}) == len(running)  # I8

    @invariant()
    def what_ended_has_an_end_and_what_runs_has_an_owner(self) -> None:
        for run in self.ledger.runs(limit=200):
            assert (run.finished_at is None) == run.is_open
            assert (run.owner is not None) or run.state is not State.RUNNING
            moves = [event.state for event in self.ledger.events(run.id)]
            assert (moves[0], moves[-1]) == (State.QUEUED, run.state)

    @invariant()
    def a_bad_end_is_that_of_the_last_attempt(self) -> None:
        for run in self.ledger.runs(limit=200):
            if run.state in (State.FAILED, State.TIMED_OUT):
                assert run.state is self.ended[run.id]  # I12
            waits = run.state is State.RETRY_WAIT
            assert run.attempt_end is (self.ended[run.id] if waits else None)

    @invariant()
    def the_beat_can_be_written(self) -> None:
        if self.leader is not None:
            with self.ledger.leading(self.leader, self.now) as leading:
                leading.renew(reading(self.now), planned=True)


def standing_of(ledger: SqliteLedger, name: str) -> datetime:
    return ledger.planned_through()[name]


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=30)


@pytest.mark.parametrize("state", list(State))
def test_the_table_of_moves_has_a_word_for_every_state(state: State) -> None:
    assert state in MOVES
    assert all(State.RUNNING not in MOVES[end] for end in ENDS)


def test_a_standing_is_not_moved_back_by_an_older_plan(ledger: SqliteLedger) -> None:
    lease = ledger.take_lease("boot:1:1", "h", "r", NOON)
    with ledger.leading(lease, NOON) as leading:
        dispose(leading, JOBS["a"], Plan(NOON + timedelta(minutes=5)))
        dispose(leading, JOBS["a"], Plan(NOON + timedelta(minutes=2)))

        assert standing(leading, JOBS["a"]).planned_through == NOON + timedelta(minutes=5)
