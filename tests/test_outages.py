"""What happened between two beats is told from three clocks, the boot and how the scheduler before ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from echopilot_jobs.outages import (
    Before,
    Cause,
    Outage,
    Reading,
    between_beats,
    between_lives,
    compare,
    life_words,
)
from echopilot_jobs.testing import FakeClock

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST = Reading(NOON, 1000.0, 5000.0, "boot")


def later(wall: float, awake: float | None = None, boot: float | None = None, boot_id: str = "boot") -> Reading:
    """The clocks so many seconds after `FIRST`; by default all of them went on alike."""
    boot = wall if boot is None else boot
    awake = boot if awake is None else awake
    return Reading(NOON + timedelta(seconds=wall), 1000.0 + awake, 5000.0 + boot, boot_id)


@pytest.mark.parametrize(
    ("now", "generation", "hold", "outage"),
    [
        pytest.param(later(5), False, False, False, id="an ordinary beat"),
        pytest.param(later(5.4, boot=5), False, False, False, id="slewed by 0.4 s"),
        pytest.param(later(4.6, boot=5), False, False, False, id="back by 0.4 s F36"),
        pytest.param(later(40, boot=5), False, False, True, id="forward by half a minute"),
        pytest.param(later(3, boot=5), True, False, True, id="back by 2 s"),
        pytest.param(later(-3595, boot=5), True, False, True, id="back by an hour F35"),
        pytest.param(later(3 * 3600, boot=5), False, False, True, id="forward by almost three hours F34"),
        pytest.param(later(86_405, boot=5), True, True, True, id="forward by a day F34"),
        pytest.param(later(-86_395, boot=5), True, True, True, id="back by a day F35"),
        pytest.param(later(86_405), False, False, True, id="a day really passed"),
        pytest.param(later(86_405, awake=5), False, False, True, id="suspended for a day F40"),
        pytest.param(later(86_405, boot=7, boot_id="other"), False, False, True, id="booted anew a day later"),
        pytest.param(later(-60, boot=7, boot_id="other"), True, False, True, id="booted with a clock behind F37"),
        pytest.param(later(-86_400, boot=7, boot_id="other"), True, True, True, id="booted with a clock far behind"),
    ],
)
def test_a_step_of_the_wall_clock_is_told_from_time_that_passed(
    now: Reading, generation: bool, hold: bool, outage: bool
) -> None:
    change = compare(FIRST, now)

    assert (change.begins_generation, change.needs_hold, change.is_outage) == (generation, hold, outage)


@pytest.mark.parametrize(
    ("now", "cause"),
    [
        (later(100), Cause.LEDGER_UNREACHABLE),
        (later(100, awake=3), Cause.SUSPEND),
        (later(100, boot=7, boot_id="other"), Cause.PLATFORM_SLEEP),
    ],
)
def test_a_scheduler_that_left_a_ledger_out_of_reach_did_not_die_of_itself(now: Reading, cause: Cause) -> None:
    before = Before(FIRST, None, "one", "exit status 1", unreachable=True)

    outage = between_lives(before, now, compare(FIRST, now), "one")

    assert outage.cause is cause


def test_a_death_after_the_ledger_was_out_of_reach_is_told_as_what_came_second_I12() -> None:
    before = Before(FIRST, None, "one", "its process was killed by a signal", unreachable=True)

    outage = between_lives(before, later(100), compare(FIRST, later(100)), "one")

    words = "the ledger could not be written (then the scheduler ended: its process was killed by a signal)"
    assert outage.why == words


def test_a_scheduler_that_lives_was_frozen_and_did_not_die_F46() -> None:
    before = Before(FIRST, None, "one", lives=True)

    outage = between_lives(before, later(100), compare(FIRST, later(100)), "one")

    assert (outage.cause, outage.detail) == (Cause.PLATFORM_SLEEP, "the scheduler was frozen while time went on")


@pytest.mark.parametrize(
    ("now", "unreachable", "cause"),
    [
        (later(100), False, Cause.PLATFORM_SLEEP),
        (later(100, awake=5), False, Cause.SUSPEND),
        (later(3700, boot=5), False, Cause.CLOCK_STEP),
        (later(-3700, boot=5), False, Cause.CLOCK_STEP),
        (later(100), True, Cause.LEDGER_UNREACHABLE),
    ],
)
def test_within_one_life_the_clocks_say_why_nobody_planned(now: Reading, unreachable: bool, cause: Cause) -> None:
    outage = between_beats(FIRST, now, compare(FIRST, now), unreachable=unreachable)

    assert outage.cause is cause
    assert outage.since <= outage.until == now.wall


@pytest.mark.parametrize(
    ("ended_how", "revision", "now", "cause", "words"),
    [
        ("stopped", "two", later(100), Cause.DEPLOY, "one to two"),
        ("stopped", "one", later(100), Cause.STOPPED, ""),
        ("orphaned", "one", later(100), Cause.CRASH, "supervisord died"),
        ("restored", "one", later(100), Cause.UNKNOWN, "a restored copy"),
        (None, "one", later(100), Cause.CRASH, "killed by a signal"),
        (None, "two", later(100), Cause.CRASH, "killed by a signal"),
        (None, "one", later(100, awake=3), Cause.SUSPEND, "killed by a signal"),
        (None, "one", later(100, boot=7, boot_id="other"), Cause.PLATFORM_SLEEP, "started anew"),
        ("stopped", "one", later(-100, boot=5), Cause.CLOCK_STEP, "back by 105 s"),
        (None, "one", later(3700, boot=100), Cause.CRASH, "forward by 3,600 s"),
    ],
)
def test_between_two_lives_the_end_of_the_first_says_why(
    ended_how: str | None, revision: str, now: Reading, cause: Cause, words: str
) -> None:
    before = Before(FIRST, ended_how, "one", "killed by a signal")

    outage = between_lives(before, now, compare(FIRST, now), revision)

    assert outage.cause is cause
    assert words in outage.detail


def test_a_process_stopped_between_two_questions_to_the_clocks_sees_no_step() -> None:
    class Interrupted(FakeClock):
        """Is stopped for a minute after the first question of the first reading."""

        asked = 0

        def now(self) -> datetime:
            answer = super().now()
            self.asked += 1
            if self.asked == 1:
                self.sleep(60)
            return answer

    clock = Interrupted()

    first, second = Reading.of(clock, "boot"), Reading.of(clock, "boot")

    assert clock.asked == 3
    assert compare(first, second).step == timedelta(0)


@pytest.mark.parametrize(
    ("cause", "detail", "words"),
    [
        (
            Cause.CRASH,
            "supervisord died, and the scheduler ended with it",
            "supervisord died, and the scheduler ended with it",
        ),
        (Cause.CRASH, "exit status 3", "the scheduler died (exit status 3)"),
        (Cause.STOPPED, "", "somebody stopped it"),
    ],
)
def test_a_cause_is_told_once(cause: Cause, detail: str, words: str) -> None:
    assert Outage(NOON, NOON, cause, detail).why == words


@pytest.mark.parametrize(
    ("ended_how", "words"),
    [
        (None, "goes on, or nobody saw its end"),
        ("stopped", "stopped in order"),
        ("lost", "ended without a word"),
        ("orphaned", "supervisord died, and the scheduler ended with it"),
        ("of a later release", "of a later release"),
    ],
)
def test_a_life_is_told_in_words(ended_how: str | None, words: str) -> None:
    assert life_words(ended_how) == words
