"""How a scheduler begins: take the lease, put the past in order, say what happened since somebody last planned.

Nothing here asks the system: who lives, what a dead scheduler left running and what supervisord saw are told by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from echopilot_jobs.clock import Clock
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.healing import abandon_lost, retry_abandoned
from echopilot_jobs.jobs import Job, Registry
from echopilot_jobs.ledger import LEASE_TTL, Lease, Ledger
from echopilot_jobs.logs import Log
from echopilot_jobs.outages import Before, Reading
from echopilot_jobs.records import record
from echopilot_jobs.runs import Run, Stint


@record(frozen=True)
class Identity:
    """Which process this is. *owner* is its boot id, pid and start time as one text."""

    owner: str
    boot_id: str
    host: str
    code_revision: str


@record(frozen=True)
class Surroundings:
    """What the opening asks of the system.

    *lives*: whether the process behind an owner's text is still that process. *sweep*: end what a dead owner's runs left
    behind and say how many processes that were. *exit_words*: what supervisord saw of the last end, for a person.
    *could_not_write*: whether the log's last word on the ledger, later than a moment, is that it could not be written.
    *discard*: remove all that was kept for a run that is gone, named by one of its files. *announce*: tell whoever watches a
    job from outside of an end, once it is written.
    """

    lives: Callable[[str], bool]
    sweep: Callable[[str], int]
    exit_words: Callable[[], str] = str
    could_not_write: Callable[[datetime], bool] = lambda _since: False
    discard: Callable[[str], None] = lambda _path: None
    announce: Callable[[Job, Run], None] = lambda _job, _run: None


@record(frozen=True)
class Leadership:
    """What a scheduler begins with: its lease, all clocks at that moment, and what is known of the scheduler before."""

    lease: Lease
    identity: Identity
    began: Reading
    before: Before | None


class Succession:
    """Whether the scheduler that holds the lease is gone: asked again and again by whoever stands by.

    A process of this boot is asked for by name. One of another boot, and a frozen one, counts as gone once its beat has
    stood still for a lease's time on our own monotonic clock: its wall clock may be anything.
    """

    def __init__(self, clock: Clock, identity: Identity, lives: Callable[[str], bool]) -> None:
        self._clock = clock
        self._identity = identity
        self._lives = lives
        self._seen: tuple[int, datetime] | None = None
        self._seen_at = 0.0

    def may_follow(self, stint: Stint) -> bool:
        """Whether *stint*, which never ended, is over."""
        if stint.boot_id == self._identity.boot_id:
            is_ours = stint.owner == self._identity.owner  # an earlier try that led nowhere
            if is_ours or not self._lives(stint.owner):
                return True
        elif self._clock.now() - stint.beat_at > LEASE_TTL:
            return True
        beat = (stint.id, stint.beat_at)
        if beat != self._seen:
            self._seen, self._seen_at = beat, self._clock.monotonic()
        return self._clock.monotonic() - self._seen_at > LEASE_TTL.total_seconds()


def lead(
    ledger: Ledger,
    registry: Registry,
    clock: Clock,
    log: Log,
    identity: Identity,
    surroundings: Surroundings,
    succession: Succession,
    *,
    unreachable: bool = False,
) -> Leadership:
    """Become the planner and end what the scheduler before left. Raises `LeaseHeld` while another one leads.

    *unreachable*: an earlier try of this process met a ledger that could not be written.
    Everything here may be repeated: a kill at any step leaves something the next start puts in order.
    """
    began = Reading.of(clock, identity.boot_id)
    lease = ledger.take_lease(
        identity.owner, identity.host, identity.code_revision, began.wall, may_follow=succession.may_follow
    )
    try:
        with log.batch():
            _reconcile(ledger, registry, clock, log, surroundings)
        return Leadership(lease, identity, began, _before(ledger, surroundings, unreachable=unreachable))
    except LedgerUnavailable:
        with suppress(LedgerUnavailable):  # nobody should be told that this one leads
            ledger.end_stint(lease, "stopped", clock.now())
        raise


def _before(ledger: Ledger, surroundings: Surroundings, *, unreachable: bool) -> Before | None:
    """What is known of the scheduler that planned last; later ones that died before they planned do not count."""
    last = ledger.last_pass()
    if last is None:
        return None
    reading, stint = last
    return Before(
        reading,
        stint.ended_how if stint.ended_how != "lost" else None,
        stint.code_revision,
        surroundings.exit_words(),
        unreachable or surroundings.could_not_write(reading.wall),
        surroundings.lives(stint.owner),
    )


def _reconcile(ledger: Ledger, registry: Registry, clock: Clock, log: Log, surroundings: Surroundings) -> None:
    """End what the scheduler before left: its children that live on, its `running` rows, work of jobs now gone."""
    end_lost(ledger, registry, clock, log, surroundings)
    for run in ledger.set_defined(list(registry), clock.now()):
        log.event("run.cancelled", job=run.job_name, run=run.id, error=run.error)


def end_lost(ledger: Ledger, registry: Registry, clock: Clock, log: Log, surroundings: Surroundings) -> None:
    """End the runs of dead owners, processes first, and queue again what may be repeated."""

    def sweep(owner: str) -> int:
        if left := surroundings.sweep(owner):
            log.event("processes.swept", owner=owner, count=left)
        return left

    abandoned = abandon_lost(ledger, clock.now(), surroundings.lives, sweep)
    for run in abandoned:
        log.event("run.abandoned", job=run.job_name, run=run.id, owner=run.owner)
        if (job := registry.get(run.job_name)) is not None:
            surroundings.announce(job, run)
    for run in retry_abandoned(ledger, registry, abandoned, clock.now()):
        log.event("run.queued", job=run.job_name, run=run.id, origin=run.origin.value)
