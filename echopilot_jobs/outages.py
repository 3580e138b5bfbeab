"""What happened between two beats: how much time passed, what the wall clock did meanwhile, and why nobody planned."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from echopilot_jobs.clock import Clock, iso
from echopilot_jobs.records import record

STEP_LEAST = timedelta(seconds=1)  # less is slewing or the noise of reading three clocks one after the other
HOLD_ABOVE = timedelta(hours=3)
SILENT_ABOVE = timedelta(seconds=15)  # G, the detection allowance: a longer silence is an outage
CLOCK_HOLD_FOR = timedelta(minutes=10)
FROZEN = "the scheduler was frozen while time went on"


class Cause(StrEnum):
    """Why slots were missed: the closed set."""

    DEPLOY = "deploy"
    STOPPED = "stopped"
    CRASH = "crash"
    PLATFORM_SLEEP = "platform_sleep"
    SUSPEND = "suspend"
    CLOCK_STEP = "clock_step"
    PAUSED = "paused"
    LEDGER_UNREACHABLE = "ledger_unreachable"
    UNKNOWN = "unknown"


IN_WORDS = {
    Cause.DEPLOY: "stopped for another version of the code",
    Cause.STOPPED: "somebody stopped it",
    Cause.CRASH: "the scheduler died",
    Cause.PLATFORM_SLEEP: "the machine, the container or the scheduler slept",
    Cause.SUSPEND: "the machine was suspended",
    Cause.CLOCK_STEP: "the wall clock stepped",
    Cause.PAUSED: "paused by a person",
    Cause.LEDGER_UNREACHABLE: "the ledger could not be written",
    Cause.UNKNOWN: "cause unknown",
}


@record(frozen=True)
class Reading:
    """All clocks at one moment, and which boot of the machine the counting ones belong to."""

    wall: datetime
    monotonic: float
    boottime: float
    boot_id: str

    @classmethod
    def of(cls, clock: Clock, boot_id: str) -> Reading:
        """What *clock* shows now. A process stopped between two of the questions would see a step, so they are repeated."""
        for _ in range(8):
            began = clock.boottime()
            reading = cls(clock.now(), clock.monotonic(), clock.boottime(), boot_id)
            if reading.boottime - began < STEP_LEAST.total_seconds() / 10:
                break
        return reading

    def at(self, moment: datetime) -> Reading:
        """What the clocks show at the wall clock's *moment*, unless one of them steps before."""
        seconds = (moment - self.wall).total_seconds()
        return Reading(moment, self.monotonic + seconds, self.boottime + seconds, self.boot_id)


@record(frozen=True)
class Change:
    """The difference of two readings. *step* is how far the wall clock moved beyond the time that really passed."""

    elapsed: timedelta
    step: timedelta = timedelta(0)
    suspended: timedelta = timedelta(0)
    same_boot: bool = True

    @property
    def begins_generation(self) -> bool:
        """Whether slots must be told apart from those of before: the wall clock repeats itself, or leapt."""
        return self.step <= -STEP_LEAST or self.step > HOLD_ABOVE

    @property
    def needs_hold(self) -> bool:
        """Whether the wall clock moved so far that calendar jobs wait for somebody, or for it to prove stable."""
        return abs(self.step) > HOLD_ABOVE

    @property
    def is_outage(self) -> bool:
        """Whether slots may have been missed, or the wall clock is not what it was."""
        return self.elapsed > SILENT_ABOVE or abs(self.step) >= STEP_LEAST


@record(frozen=True)
class Outage:
    """A stretch of wall time nobody planned, as it is kept: skips, gaps and caught-up runs refer to it."""

    since: datetime
    until: datetime
    cause: Cause
    detail: str = ""

    @property
    def why(self) -> str:
        """The cause as a clause; an end that tells its cause whole is not introduced by a second one."""
        if (self.cause, self.detail) in _ENDS.values():
            return self.detail
        return IN_WORDS[self.cause] + (f" ({self.detail})" if self.detail else "")

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{iso(self.since)} to {iso(self.until)}: {IN_WORDS[self.cause]}{detail}"


@record(frozen=True)
class Before:
    """What is known of the scheduler that led before: its last reading, how it ended, and which code it ran.

    *ended_how* is None when it never said goodbye. *exit_words* is what supervisord saw of its end, if anything.
    *unreachable*: the ledger could not be written before it ended, as its log tells, or whoever came after it could not at
    first. *lives*: its process is still there, and only stood still.
    """

    reading: Reading
    ended_how: str | None
    code_revision: str
    exit_words: str = ""
    unreachable: bool = False
    lives: bool = False


def compare(before: Reading, now: Reading) -> Change:
    """What changed between two readings. Across boots only a wall clock that went backwards shows as a step."""
    wall = now.wall - before.wall
    if before.boot_id != now.boot_id or now.boottime < before.boottime:
        return Change(max(wall, timedelta(0)), min(wall, timedelta(0)), same_boot=False)
    boot = timedelta(seconds=now.boottime - before.boottime)
    awake = timedelta(seconds=max(now.monotonic - before.monotonic, 0.0))
    return Change(boot, wall - boot, boot - awake)


def between_beats(before: Reading, now: Reading, change: Change, *, unreachable: bool) -> Outage:
    """The outage within one life of a scheduler. *unreachable*: passes failed for lack of the ledger meanwhile."""
    if unreachable:
        return _outage(before, now, Cause.LEDGER_UNREACHABLE)
    if abs(change.step) >= STEP_LEAST:
        return _outage(before, now, Cause.CLOCK_STEP, _step_words(change))
    if change.suspended > SILENT_ABOVE:
        return _outage(before, now, Cause.SUSPEND)
    return _outage(before, now, Cause.PLATFORM_SLEEP, FROZEN)


def between_lives(before: Before, now: Reading, change: Change, code_revision: str) -> Outage:
    """The outage between the last beat of the scheduler before and the first of this one."""
    cause, detail = _cause_of_end(before, change, code_revision)
    if abs(change.step) >= STEP_LEAST:
        detail = "; ".join(filter(None, [detail, _step_words(change)]))
        if change.elapsed <= SILENT_ABOVE:
            cause = Cause.CLOCK_STEP
    return _outage(before.reading, now, cause, detail)


# How a scheduler's life may end in the ledger, other than by an orderly stop.
_ENDS = {
    "restored": (
        Cause.UNKNOWN,
        "the ledger is a restored copy and does not know this time; a scheduler may well have run",
    ),
    "orphaned": (Cause.CRASH, "supervisord died, and the scheduler ended with it"),
}


def end_words(ended_how: str | None) -> str:
    """How a scheduler's life ended, as a clause for a person; empty for an orderly stop."""
    if ended_how in (None, "stopped"):
        return ""
    return _ENDS[ended_how][1] if ended_how in _ENDS else str(ended_how)


def life_words(ended_how: str | None) -> str:
    """How a scheduler's life stands or ended, in the few words of a table."""
    match ended_how:
        case None:
            return "goes on, or nobody saw its end"
        case "stopped":
            return "stopped in order"
        case "lost":
            return "ended without a word"
    return end_words(ended_how)


def _cause_of_end(before: Before, change: Change, code_revision: str) -> tuple[Cause, str]:
    if before.ended_how == "stopped":
        if before.code_revision != code_revision:
            return Cause.DEPLOY, f"{before.code_revision} to {code_revision}"
        return Cause.STOPPED, ""
    return _ENDS.get(before.ended_how or "") or _cause_of_silence(before, change)


def _cause_of_silence(before: Before, change: Change) -> tuple[Cause, str]:
    """Of a scheduler that never said goodbye."""
    if not change.same_boot:
        return Cause.PLATFORM_SLEEP, "the machine or container was started anew"
    if change.suspended > SILENT_ABOVE:
        return Cause.SUSPEND, before.exit_words
    if before.unreachable:  # which came first; the death alone would have been over in a moment
        return Cause.LEDGER_UNREACHABLE, f"then the scheduler ended: {before.exit_words}" if before.exit_words else ""
    return (Cause.PLATFORM_SLEEP, FROZEN) if before.lives else (Cause.CRASH, before.exit_words)


def _outage(before: Reading, now: Reading, cause: Cause, detail: str = "") -> Outage:
    return Outage(min(before.wall, now.wall), now.wall, cause, detail)


def _step_words(change: Change) -> str:
    direction = "back" if change.step < timedelta(0) else "forward"
    seconds = abs(change.step).total_seconds()
    return f"{direction} by {seconds:,.0f} s"
