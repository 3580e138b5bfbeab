"""What the clocks say between two passes, and what follows for planning: outages, clock generations, a clock on hold."""

from __future__ import annotations

from datetime import datetime, timedelta

from echopilot_jobs.clock import Clock
from echopilot_jobs.jobs import Job, Registry
from echopilot_jobs.ledger import Pass
from echopilot_jobs.outages import (
    CLOCK_HOLD_FOR,
    HOLD_ABOVE,
    SILENT_ABOVE,
    STEP_LEAST,
    Change,
    Outage,
    Reading,
    between_beats,
    between_lives,
    compare,
)
from echopilot_jobs.records import record
from echopilot_jobs.runs import Generation
from echopilot_jobs.scheduler.opening import Leadership


@record(frozen=True)
class Footing:
    """What one pass stands on.

    *replan*: every job is looked at, whether or not it woke. *held*: calendar jobs are not planned. *trusted_from*: they
    were held from this moment and are planned again now.
    """

    generation: int
    outage: Outage | None = None
    outage_id: int | None = None
    replan: bool = False
    held: bool = False
    trusted_from: datetime | None = None


PUNCTUAL_WITHIN = timedelta(milliseconds=10)  # a pass that commits later than this must not say that it was on time
SLEWED_MOST = 0.001  # seconds: by how much NTP and the grain of the clocks may part them while a pass is prepared


class ClockMoved(Exception):
    """The moment a pass was prepared for did not come as foreseen: it is undone and made again. Never leaves the loop."""


class CameLate(Exception):
    """The moment of a prepared pass is well past: it is undone and made again as of now. Never leaves the loop."""


class Timekeeper:
    """Remembers the clocks as of the last pass that committed, so that a pass that failed forgets nothing."""

    def __init__(self, clock: Clock, leadership: Leadership, silent_above: timedelta = SILENT_ABOVE) -> None:
        self._clock = clock
        self._silent_above = silent_above  # between two passes of one life
        self._identity = leadership.identity
        self._before = leadership.before
        self._last = leadership.before.reading if leadership.before else leadership.began
        self._held_since: float | None = None

    def read(self) -> Reading:
        """All clocks now."""
        return Reading.of(self._clock, self._identity.boot_id)

    def wait_for(self, prepared: Reading) -> None:
        """Return when the clocks show what a pass was *prepared* for.

        Raises `ClockMoved` when they never will, since the wall clock was set meanwhile or this process was frozen for long,
        and `CameLate` when that was more than `PUNCTUAL_WITHIN` ago.
        """
        self._clock.sleep(max(prepared.monotonic - self._clock.monotonic(), 0.0))
        while 0 < (short := (prepared.wall - self._clock.now()).total_seconds()) <= SLEWED_MOST:
            self._clock.sleep(short)
        off = self._clock.now() - prepared.wall
        if not timedelta(0) <= off < STEP_LEAST:
            raise ClockMoved
        if off > PUNCTUAL_WITHIN:
            raise CameLate

    def has_stepped(self, reading: Reading) -> bool:
        """Whether wake-ups computed before are worthless: the wall clock moved by itself."""
        return compare(self._last, reading).begins_generation

    def account(self, leading: Pass, registry: Registry, reading: Reading, *, unreachable: bool) -> Footing:
        """Record what happened since the last committed pass; what this pass may plan."""
        change = compare(self._last, reading)
        outage = self._outage(reading, change, unreachable=unreachable) if self._is_outage(change) else None
        outage_id = leading.record_outage(outage) if outage else None
        generation = leading.generation()
        returned = False
        if change.begins_generation:
            self._held_since = None  # it has to prove stable anew
            before, generation = generation, _begin(leading, registry, change, generation)
            returned = before.held and not generation.held
        trusted_from = self._trust(leading, registry, generation, reading)
        return Footing(
            generation=generation.number,
            outage=outage,
            outage_id=outage_id,
            replan=outage is not None or returned or trusted_from is not None,
            held=generation.held and trusted_from is None,
            trusted_from=trusted_from,
        )

    def committed(self, reading: Reading, *, planned: bool) -> None:
        """The pass that began at *reading* is in the ledger. Without planning the time since still waits for it."""
        if planned:
            self._last, self._before = reading, None

    def _is_outage(self, change: Change) -> bool:
        if self._before is None and abs(change.step) < STEP_LEAST:
            return change.elapsed > self._silent_above
        return change.is_outage

    def _outage(self, reading: Reading, change: Change, *, unreachable: bool) -> Outage:
        if self._before is not None:
            return between_lives(self._before, reading, change, self._identity.code_revision)
        return between_beats(self._last, reading, change, unreachable=unreachable)

    def _trust(self, leading: Pass, registry: Registry, generation: Generation, reading: Reading) -> datetime | None:
        """Release calendar jobs when somebody said so or the clock was stable long enough; from when they were held."""
        if not generation.held and not generation.released:
            self._held_since = None
            return None
        if self._held_since is None:
            self._held_since = reading.boottime
        if generation.held and reading.boottime - self._held_since < CLOCK_HOLD_FOR.total_seconds():
            return None
        went_back = generation.away < timedelta(0)
        leading.trust_clock(rewound=_calendar_jobs(registry) if went_back else ())
        return generation.began_at


def _begin(leading: Pass, registry: Registry, change: Change, before: Generation) -> Generation:
    """A new clock generation. A step that takes back most of the one before, which was on hold, ends the hold."""
    away = change.step + before.away if before.held else change.step
    held = abs(away) > HOLD_ABOVE
    interval_jobs = [job for job in registry.values() if job.trigger.follows_real_time]
    return leading.begin_generation(change.step, away, held=held, rewound=interval_jobs)


def _calendar_jobs(registry: Registry) -> list[Job]:
    return [job for job in registry.values() if not job.trigger.follows_real_time]
