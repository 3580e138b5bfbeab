"""What people ask and do about slots, on the command line."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from daykit import live
from test_cli_manners import CONTROLS, on_terminal

from echopilot_jobs import definitions
from echopilot_jobs.builtin import jobs
from echopilot_jobs.cli.acting import actor
from echopilot_jobs.clock import SystemClock, iso
from echopilot_jobs.jobs import Command, Http, Job, Registry
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.processes import this_process
from echopilot_jobs.runs import SKIPPED, Origin, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.spans import stamp
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Cron, DailyAt, Every, OnRequest, Until
from echopilot_jobs.wake import open_for_waiting
from tests.cli.conftest import Call, House
from tests.lifekit import HOUR, TICK, Life
from tests.worldkit import MINUTE, WORK

DAY = timedelta(days=1)
NEWS = Job("news", DailyAt(time(8), "Europe/Riga"), WORK, catch_up="all", catch_up_window=40 * DAY)
MINUTELY = Job("minutely", Every(MINUTE), TICK)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, Job]:
    """The jobs this installation defines; a test may change them."""
    defined = {job.name: job for job in (MINUTELY, NEWS)}
    monkeypatch.setattr("echopilot_jobs.builtin.jobs", lambda _settings: Registry(defined.values()))
    return defined


@pytest.fixture
def life(settings: Settings, registry: dict[str, Job]) -> Iterator[Life]:
    """A ledger whose scheduler began 86 minutes ago and was killed after six; nothing has happened since.

    It dies at half past a minute: at a slot's own moment, that one's run would be left open.
    """
    settings.var_dir.mkdir(mode=0o700)
    settings.logs_dir.mkdir()
    clock = FakeClock((SystemClock().now() - 86 * MINUTE).replace(second=30, microsecond=0))
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        made = Life(ledger, clock)
        made.go_on(made.begin(*registry.values()), 6 * MINUTE)
        yield made


def lives_again(life: Life, *jobs: Job) -> None:
    """A scheduler leads that started 20 seconds ago; what came due by now is planned, and every tick has ended."""
    life.clock.sleep((SystemClock().now() - life.clock.now()).total_seconds() - 20)
    scheduler = life.begin(*jobs)
    for wait in (10.0, 10.0, 0.0, 0.0):
        scheduler.beat()
        life.clock.sleep(wait)


# -- manners


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["why"], 2, "missing argument 'JOB'"),
        (["why", "minutely", "08:00", "Europe/Rigga"], 2, "did you mean 'Europe/Riga'?"),
        (["why", "minutely", "08:00", "Europe/Riga", "--tz", "UTC"], 2, "the time is in 'Europe/Riga' and --tz says 'UTC'"),
        (["why", "minutley", "08:00"], 2, "no job named 'minutley'; did you mean 'minutely'?"),
        (["why", "minutely", "8:0"], 2, "'TIME': came '8:0'; wanted: a moment such as '2026-03-01 08:00'"),
        (["why", "minutely", ""], 2, "'TIME': came ''; wanted: a moment such as"),
        (["why", "minutely", "2026-02-30"], 2, "came '2026-02-30'"),
        (["why", "minutely", "24:00"], 2, "came '24:00'"),
        (["why", "minutely", "23:59:60"], 2, "came '23:59:60'"),
        (["why", "minutely", "0001-01-01"], 2, "came '0001-01-01'"),
        (["why", "minutely", "9999-12-31 23:59"], 2, "came '9999-12-31 23:59'"),
        (["why", "minutely", "\u0660\u0668:00"], 2, "wanted: a moment"),
        (["why", "minutely", "x" * 5000], 2, "wanted: a moment"),
        (["why", "minutely", "\x1b[31m"], 2, "came 'U+001B[31m'"),
        (["why", "minutely", "08:00", "--tz", "EST"], 2, "zone 'EST'; wanted: 'UTC' or an IANA name"),
        (["why", "minutely", "08:00", "--tz", "../../etc/passwd"], 2, "wanted: 'UTC' or an IANA name"),
        (["next", "minutley"], 2, "did you mean 'minutely'?"),
        (["next", "--count", "0"], 2, "came '0'; wanted: a whole number from 1 to 1,000"),
        (["next", "--count", "1001"], 2, "came '1001'; wanted: a whole number from 1 to 1,000"),
        (["next", "--count", "1e3"], 2, "came '1e3'"),
        (["next", "--count", "2", "--until", "tomorrow"], 2, "give --count or --until, not both"),
        (["next", "--until", "2020-01-01"], 2, "wanted: a moment to come"),
        (["next", "--tz", "Mars/Phobos"], 2, "zone 'Mars/Phobos'"),
        (["timetable", "--days", "0"], 2, "wanted: a whole number from 1 to 366"),
        (["timetable", "--days", "367"], 2, "wanted: a whole number from 1 to 366"),
        (["timetable", "nobody"], 2, "no job named 'nobody'"),
        (["timetable", "--job", "nobody"], 2, "no job named 'nobody'"),
        (["audit", "--job", "nobody"], 2, "no job named 'nobody'"),
        (["audit", "--since", "tomorrow"], 2, "wanted: a moment up to now"),
        (["audit", "--since", "soon"], 2, "came 'soon'; wanted: a moment"),
        (["pause"], 2, "name one or more jobs, or give --all"),
        (["pause", "minutely", "--all"], 2, "name jobs or give --all, not both"),
        (["pause", "nobody"], 2, "no job named 'nobody'"),
        (["pause", "minutely", "nobody"], 2, "no job named 'nobody'"),
        (["pause", "minutely", "--for", "0s"], 2, "wanted: a length such as '90s', '15m', '2h', '3d'"),
        (["pause", "minutely", "--for", "2"], 2, "came '2'; wanted: a length"),
        (["pause", "minutely", "--for", "-2h"], 2, "came '-2h'; wanted: a length"),
        (["pause", "minutely", "--for", "9999999d"], 2, "at most 3650 days"),
        (["pause", "minutely", "--for", "2h", "--until", "18:00"], 2, "give --for or --until, not both"),
        (["pause", "minutely", "--until", "yesterday 08:00"], 2, "wanted: a moment to come"),
        (["pause", "minutely", "--note", "x" * 501], 2, "--note of 501 characters; wanted: at most 500"),
        (["resume"], 2, "name one or more jobs, or give --all"),
        (["resume", "minutely"], 3, "'minutely' is not paused; nothing to resume"),
        (["cancel"], 2, "missing argument 'RUN'"),
        (["cancel", "x"], 2, "came 'x'; wanted: a run's number"),
        (["cancel", "999999"], 2, "no run 999999"),
        (["cancel", "1"], 3, "run 1 has ended (succeeded); only an open run can be cancelled"),
        (["cancel", "1", "--job", "news"], 2, "give RUN or --job, not both"),
        (["cancel", "--job", "nobody"], 2, "no job named 'nobody'"),
        (["backfill", "minutely"], 2, "missing option '--from'"),
        (["backfill", "minutely", "--from", "2h", "--to", "tomorrow"], 2, "'--to': came 'tomorrow', which is in"),
        (["backfill", "minutely", "--from", "1h", "--to", "2h"], 2, "which is later than --to"),
        (["backfill", "minutely", "--from", "2d", "--to", "90m"], 2, "has 2,790 slots there; a backfill takes at most 1,000"),
        (["backfill", "minutely", "--from", "2h", "--to", "now"], 3, "is not planned yet"),
        (["backfill", "nobody", "--from", "2h", "--to", "now"], 2, "no job named 'nobody'"),
        (["backlog", "none"], 2, "'ANSWER': came 'none'; wanted: latest, all, drop; see `echopilot backlog --help`"),
        (["backlog", "latest"], 3, "no backlog waits for an answer"),
        (["clock", "set"], 2, "'ORDER': came 'set'; wanted: trust"),
        (["clock", "trust"], 3, "no job waits because of the clock"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_that_says_what_is_wanted(call, life, arguments, code, said):
    answer = call(*arguments)

    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert said in answer.err
    assert not CONTROLS.search(answer.err)


@pytest.mark.parametrize(
    "arguments",
    [["audit"], ["why", "news", "08:00"], ["pause", "news"], ["resume", "news"], ["cancel", "1"], ["backlog"], ["clock"]],
)  # fmt: skip
def test_a_home_where_nothing_was_started_says_so(call, registry, arguments):
    answer = call(*arguments)

    assert answer.code == 1
    assert "nothing was ever started here; start it with `bin/stack`" in answer.err


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["audit"], "audit"),
        (["why", "minutely", "08:00"], "why"),
        (["next"], "next"),
        (["timetable"], "timetable"),
        (["timetable", "--diff"], "differences"),
        (["pause", "minutely"], "paused"),
        (["resume", "--all"], "resumed"),
        (["backfill", "minutely", "--from", "95m", "--to", "94m", "--dry-run"], "backfill"),
        (["backlog"], "backlog"),
        (["clock"], "clock"),
    ],
)
def test_json_has_one_envelope_and_stays_ascii(call, life, arguments, kind):
    answer = call(*arguments, "--json")

    document = json.loads(answer.out)
    assert answer.code == 0
    assert set(document) == {"version", "at", kind}
    assert answer.out.isascii()


@pytest.mark.process
@pytest.mark.parametrize("width", [20, 40, 80])
def test_any_terminal_is_wide_enough(life, environment, width, settings):
    for arguments in (["audit"], ["timetable", "--days", "1"], ["next"], ["clock"], ["backlog"], ["status"], ["jobs"]):
        code, written = on_terminal(arguments, environment, width)

        assert code == 0, written
        assert "Traceback" not in written


@pytest.mark.process
def test_a_block_of_a_narrow_terminal_leaves_out_what_is_empty(house, environment):
    house.ledger.pause("ceo_brief", SystemClock().now(), None, "cli:ann", "")

    asked = ["next", "ceo_brief", "daily_report", "--count", "1"]
    house.ledger.take_lease("boot:9:9", "host", "rev", SystemClock().now())  # one leads, or that would be noted, too
    _, shown = on_terminal(asked, {**environment, "NO_COLOR": "1"}, 40)

    assert re.findall(r"^note:.*$", shown, re.MULTILINE) == ["note: paused, so it will not run"]


# -- audit and why


def test_audit_is_green_and_says_what_became_of_every_slot(call, life):
    """I2."""
    lives_again(life, MINUTELY, NEWS)

    answer = call("audit")

    assert answer.code == 0
    assert re.search(r"^minutely +\d\d +[67] +[01] +\d+ +\d+ +0 +0$", answer.out, re.MULTILINE)
    assert re.search(r"^green: \d+ slots, none lost and none doubled$", answer.out, re.MULTILINE)


def test_audit_sums_up_jobs_without_a_slot_in_one_line(call, life):
    lives_again(life, MINUTELY, NEWS)
    since = ("audit", "--since", "1s ago")

    answer, document = call(*since), json.loads(call(*since, "--json").out)["audit"]

    idle = [account["job"] for account in document["jobs"] if not account["slots"]]
    assert idle
    assert f"left out: {len(idle)} job" in answer.out
    assert not any(re.search(rf"^{name} ", answer.out, re.MULTILINE) for name in idle)


def test_audit_names_lost_slots_and_exits_1(call, life):
    life.sql("delete from runs where id in (3, 4)")

    answer = call("audit")
    document = json.loads(call("audit", "--json").out)["audit"]

    assert answer.code == 1
    assert answer.out.count("✗ lost minutely: the slot of ") == 2
    assert re.search(
        r"^red: 2 lost among \d+ slots; ask about one with `echopilot why JOB TIME`$", answer.out, re.MULTILINE
    )
    assert (document["ok"], document["counts"]) == (False, {"lost": 2})


def test_audit_says_what_came_due_since_nobody_plans_and_stays_green(call, life):
    answer = call("audit", "--job", "minutely")
    found = json.loads(call("audit", "--job", "minutely", "--json").out)["audit"]["undecided"]
    lives_again(life, MINUTELY, NEWS)
    planned, document = call("audit"), json.loads(call("audit", "--json").out)["audit"]

    through = life.ledger.planned_through()["minutely"]
    assert (answer.code, planned.code) == (0, 0)
    assert re.search(
        r"^(79|80|81) slots came due, from [0-9: -]+Z on, and nobody has decided about them: "
        r"no scheduler has planned anything since [0-9: -]+Z$",
        answer.out.splitlines()[-1],
    )
    assert found["slots"] in (79, 80, 81)
    assert found["accounted_to"] < iso(through)
    assert "came due" not in planned.out
    assert document["undecided"] is None


def test_audit_of_one_job_from_a_moment_on(call, life):
    document = json.loads(call("audit", "--job", "minutely", "--since", "85m ago", "--json").out)["audit"]

    assert [account["job"] for account in document["jobs"]] == ["minutely"]
    assert document["jobs"][0]["slots"] in (4, 5)


def test_audit_lists_the_first_fifty_and_counts_the_rest(call, settings, registry, life):
    lives_again(life, MINUTELY, NEWS)
    life.sql("delete from gaps")
    life.sql("delete from skips")
    life.sql("delete from runs")

    answer = call("audit")

    assert answer.out.count("✗") == 50
    assert re.search(r"^  and \d+ more$", answer.out, re.MULTILINE)


def test_why_answers_in_a_sentence_and_its_reasons_below(call, life):
    """I32."""
    moment = life.clock.now().replace(second=0) - 3 * MINUTE

    answer = call("why", "minutely", iso(moment))

    assert answer.code == 0
    assert re.match(
        rf"minutely at {moment:%Y-%m-%d %H:%M}:00Z: it ran: run \d+ succeeded, started [0-9.]+ m?s after", answer.out
    )


def test_why_takes_and_answers_times_of_a_zone(call, life):
    moment = life.clock.now().replace(second=30) - 3 * MINUTE
    wall = moment.astimezone(ZoneInfo("Asia/Kolkata"))

    answer = call("why", "minutely", f"{wall:%Y-%m-%d %H:%M:%S}", "--tz", "Asia/Kolkata")

    utc = f"{moment:%H:%M}:30Z" if wall.date() == moment.date() else f"{moment:%Y-%m-%d %H:%M}:30Z"
    assert f"minutely at {wall:%Y-%m-%d %H:%M}:30 Asia/Kolkata ({utc}): " in answer.out
    assert ": that is no slot of minutely (every 1 min)\n" in answer.out
    assert answer.out.splitlines()[1].startswith("  its slots around that are ")


def test_why_takes_a_moment_in_several_words_and_a_zone_behind_it(call, life):
    moment = life.clock.now().replace(second=0) - 3 * MINUTE
    wall = moment.astimezone(ZoneInfo("Asia/Kolkata"))

    plain = call("why", "minutely", f"{moment:%Y-%m-%d}", f"{moment:%H:%M}")
    zoned = call("why", "minutely", f"{wall:%Y-%m-%d}", f"{wall:%H:%M}", "Asia/Kolkata")
    quoted = call("why", "minutely", f"{wall:%Y-%m-%d %H:%M} Asia/Kolkata")

    assert plain.out.startswith(f"minutely at {stamp(moment)}: it ran: run ")
    assert zoned.out.startswith(f"minutely at {wall:%Y-%m-%d %H:%M}:00 Asia/Kolkata (")
    assert zoned.out == quoted.out


def test_why_without_a_time_explains_the_newest_due_slot_and_says_which(call, life):
    before, answer, after = SystemClock().now(), call("why", "minutely"), SystemClock().now()

    minutes = {stamp(moment.replace(second=0)) for moment in (before, after)}
    assert any(answer.out.startswith(f"minutely at {each}: ") for each in minutes)
    assert "the newest slot of minutely that has come due" in answer.err


def test_why_without_a_time_of_a_job_without_slots_says_where_its_runs_are(call, house):
    answer = call("why", "export")

    assert answer.code == 3
    assert "'export' (on request) has no slot up to now; its runs: `echopilot runs export`" in answer.err


def test_why_without_a_time_of_a_removed_job_takes_the_last_slot_it_owed(call, life, registry):
    del registry["minutely"]
    lives_again(life, NEWS)
    removed_at = life.clock.now() - timedelta(seconds=20)

    answer = call("why", "minutely")

    assert "the last slot of minutely that has come due" in answer.err
    assert answer.out.startswith(f"minutely at {stamp(removed_at.replace(second=0))}: it was skipped: ")
    assert "or it was removed, before anybody decided about it" in answer.out


def test_why_of_a_bare_time_that_is_a_slot_in_the_zone_of_its_job_says_what_to_type(call, life):
    there = SystemClock().now().astimezone(ZoneInfo("Europe/Riga"))
    day = there.date() if there.hour >= 8 else there.date() - DAY
    utc = datetime.combine(day, time(8), ZoneInfo("Europe/Riga")).astimezone(UTC)

    answer, zoned = call("why", "news", "08:00"), call("why", "news", "08:00", "Europe/Riga")

    first, second, *_ = answer.out.splitlines()
    assert first.endswith(": that is no slot of news (daily at 08:00 Europe/Riga)")
    assert " ".join(answer.out.split()).count(
        f"08:00 in Europe/Riga is {stamp(utc)}, which is one: `echopilot why news '{day} 08:00' Europe/Riga`"
    )
    assert second.startswith("  08:00 in Europe/Riga is ")
    assert "which is one" not in zoned.out
    assert "which is one" not in call("why", "minutely", "08:00").out


def test_why_of_a_job_that_no_scheduler_took_up_is_refused_with_3(call, life, registry):
    registry["young"] = Job("young", Every(HOUR), TICK)

    answer = call("why", "young", "08:00")

    assert answer.code == 3
    assert "no scheduler has taken up 'young' yet, so nothing is recorded of it" in answer.err


# -- next and timetable


def test_next_shows_five_of_each_job_or_as_many_as_asked_for(call, life, registry):
    registry["never"] = Job("never", OnRequest(), TICK)
    registry["off"] = Job("off", Every(HOUR), TICK, enabled=False)
    registry["over"] = Job("over", Until(Every(HOUR), datetime(2020, 1, 1, tzinfo=UTC)), TICK)

    usual, few = call("next"), call("next", "news", "--count", "2", "--tz", "Europe/Riga")

    assert usual.out.count("\nminutely ") == usual.out.count("\nnews ") == 5
    assert "note: never" not in usual.err  # it runs only by hand: no news among many
    assert "note: off is disabled; its slots pass unrun" in usual.err
    assert "note: over (every 1 h, until 2020-01-01 00:00:00Z) has no more slots" in usual.err
    assert re.findall(r" 08:00:00\+0[23]00", few.out) != []
    assert few.out.count("\nnews ") == 2


def test_next_of_a_job_that_was_asked_for_by_name_says_that_it_runs_only_by_hand(call, life, registry):
    registry["never"] = Job("never", OnRequest(), TICK)
    registry["first"] = Job("first", OnRequest(), TICK, on_startup=True)

    answer = call("next", "never", "first")

    assert (answer.code, answer.out) == (0, "")
    assert answer.err.splitlines() == [
        "note: never has no slots: it runs only by hand, with `echopilot run never`",
        "note: first has no slots: it runs at start-up and by hand, with `echopilot run first`",
    ]


@pytest.mark.parametrize("verb", [["jobs"], ["jobs", "--json"], ["next"], ["next", "--json"]])
def test_moments_to_come_are_shown_with_a_note_on_standard_error_unless_a_scheduler_leads(call, life, verb):
    def said(ago: int, *, ended: bool = False) -> str:
        at = SystemClock().now() - timedelta(seconds=ago)
        lease = life.ledger.take_lease("boot:9:9", "host", "rev", at)
        if ended:
            life.ledger.end_stint(lease, "stopped", at)
        answer = call(*verb)
        assert answer.code == 0
        assert "note:" not in answer.out
        return answer.err

    stopped, silent, leads = said(120, ended=True), said(60), said(0)

    assert re.fullmatch(
        r"note: no scheduler is running \(stopped .*\), so nothing starts at these times; start it with `bin/stack`, or .*\n",
        stopped,
    )
    assert re.fullmatch(
        r"note: the scheduler is silent \(last beat 1 min.* ago\), so nothing starts at these times until it answers "
        r"again; see `echopilot doctor`\n",
        silent,
    )
    assert leads == ""


def test_next_where_nothing_was_ever_started_says_so(call, registry):
    answer = call("next")

    assert answer.err.startswith(
        "note: no scheduler is known to run, so nothing may start at these times: no ledger at "
    )
    assert answer.err.endswith("`\n") or "start it with `bin/stack`" in answer.err
    assert answer.err.count("\n") == 1


def test_next_up_to_a_moment_stops_there_and_at_a_thousand(call, life):
    some = json.loads(call("next", "minutely", "--until", "in 5m", "--json").out)["next"][0]
    many = json.loads(call("next", "minutely", "--until", "in 2d", "--json").out)["next"][0]

    assert (len(some["slots"]), some["complete"]) == (5, True)
    assert (len(many["slots"]), many["complete"]) == (1000, False)
    assert "has more slots than the 1,000 shown" in call("next", "minutely", "--until", "in 2d").err


def test_next_says_which_slots_a_pause_takes(call, life):
    call("pause", "minutely", "--for", "3m")

    slots = json.loads(call("next", "minutely", "--json").out)["next"][0]["slots"]

    assert [slot["paused"] for slot in slots][:2] == [True, True]
    assert slots[-1]["paused"] is False
    assert "paused, so it will not run" in call("next", "minutely").out


def test_next_of_several_jobs_goes_by_time(call, life):
    slots = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", call("next").out)

    assert len(slots) == 10
    assert slots == sorted(slots)


def test_next_says_of_a_rule_with_two_day_fields_that_either_is_enough(call, settings):
    (settings.home / "jobs.toml").write_text(
        '[jobs.both]\ncron = "0 9 1 * 1"\nuntil = "2999-01-01"\ncommand = ["true"]\n'
        '[jobs.one]\ncron = "0 9 * * 1"\ncommand = ["true"]\n'
    )

    answer = call("next", "both", "one")

    assert "note: both (cron '0 9 1 * 1' UTC): At 09:00 on the first day of month or on Monday" in answer.err
    assert answer.err.count("either day is enough") == 1


def test_next_works_where_nothing_was_ever_started(call, registry):
    assert call("next").code == 0


def test_next_marks_moments_that_a_jump_of_the_clock_moves(call, registry):
    """F38."""
    registry["early"] = Job("early", DailyAt(time(3, 30), "Europe/Riga"), TICK)
    registry["often"] = Job("often", Cron("*/30 3 * * *", "Europe/Riga"), TICK)

    spring = json.loads(call("next", "early", "--after", "2026-03-28 00:00", "--count", "2", "--json").out)["next"][0]
    autumn = json.loads(call("next", "often", "--after", "2026-10-24 12:00", "--count", "4", "--json").out)["next"][0]

    assert [slot["note"] for slot in spring["slots"]] == [
        None, "03:30 Europe/Riga does not exist that day; it runs right after the jump"]  # fmt: skip
    assert [slot["slot_at"][11:16] for slot in autumn["slots"]] == ["00:00", "00:30", "01:00", "01:30"]
    assert autumn["slots"][0]["note"] == "03:00 Europe/Riga comes twice that day; both run"


def test_the_timetable_goes_day_by_day_in_the_zone_asked_for(call, life):
    answer = call("timetable", "--days", "2", "--tz", "Europe/Riga", "news")
    days = json.loads(call("timetable", "--days", "3", "--json").out)["timetable"]["days"]

    assert len(re.findall(r"^\w+day \d{4}-\d\d-\d\d Europe/Riga", answer.out, re.MULTILINE)) == 2
    assert "  08:00     news\n" in answer.out
    assert [len([line for line in day["slots"] if line["job"] == "news"]) for day in days[1:]] == [1, 1]
    assert [line["count"] for line in days[1]["slots"] if line["job"] == "minutely"] == [1440]


def test_the_timetable_marks_the_slots_a_pause_takes(call, life):
    life.ledger.pause("news", life.clock.now(), None, "cli:ann", "")

    words = call("timetable", "news", "--days", "2", "--tz", "Europe/Riga").out
    (line,) = json.loads(call("timetable", "news", "--days", "2", "--json").out)["timetable"]["days"][1]["slots"]

    assert "  08:00     news  (paused, so it will not run)\n" in words
    assert (line["count"], line["paused"]) == (1, 1)


def test_the_timetable_needs_no_ledger(call, registry):
    assert call("timetable", "news").code == 0


def test_definitions_kept_without_their_rule_are_not_guessed_at(call, life, registry):
    life.sql("update definitions set definition = json_remove(definition, '$.rule')")
    same = call("timetable", "--diff")
    registry["news"] = replace(NEWS, trigger=DailyAt(time(9), "Europe/Riga"))

    answer = call("timetable", "--diff")

    assert same == (0, "", "no definition has changed\n")
    assert answer.code == 0
    assert (
        "note: the definitions of news cannot be compared: the definition 'daily at 08:00 Europe/Riga' was kept"
        in answer.err
    )


def test_the_difference_of_an_edited_definition_is_shown_before_and_after_it_is_taken_up(call, life, registry):
    edited = replace(NEWS, trigger=DailyAt(time(9, 30), "Europe/Riga"), retries=1)
    unchanged = call("timetable", "--diff")
    registry["news"] = edited

    planned = json.loads(call("timetable", "--diff", "--days", "3", "--json").out)["differences"]
    still_to_come = call("timetable", "--diff", "--days", "3").out
    lives_again(life, MINUTELY, edited)
    taken = json.loads(call("timetable", "--diff", "news", "--days", "3", "--json").out)["differences"]
    words = call("timetable", "--diff", "--days", "3").out

    assert unchanged == (0, "", "no definition has changed\n")
    for (found,) in (planned, taken):
        assert (found["job"], len(found["gone"]), len(found["new"]), found["unchanged"]) == ("news", 3, 3, 0)
    assert "news: daily at 08:00 Europe/Riga -> daily at 09:30 Europe/Riga\n" in words
    assert "  changed in the jobs file; no scheduler has taken it up yet\n" in still_to_come
    assert re.search(r"^  changed [0-9: -]+Z \(\d+ s ago\)$", words, re.MULTILINE)
    assert (planned[0]["changed_at"], taken[0]["changed_at"] is None) == (None, False)
    assert "  retries: 0 -> 1\n" in words
    assert "  gone: 3\n" in words
    assert "  unchanged: 0\n" in words


def test_the_difference_of_a_removed_job_tells_the_slots_that_will_not_come(call, life, registry):
    del registry["news"]

    planned = call("timetable", "--diff", "--days", "3").out
    lives_again(life, MINUTELY)
    taken = call("timetable", "--diff", "news", "--days", "3").out
    (found,) = json.loads(call("timetable", "--diff", "--days", "3", "--json").out)["differences"]

    assert planned.startswith(
        "news: removed; it was daily at 08:00 Europe/Riga\n  removed from the jobs file; no scheduler has taken it up yet\n"
    )
    assert re.search(r"^  removed [0-9: -]+Z \((\d+ s ago|just now)\)$", taken, re.MULTILINE)
    assert all("\n  gone: 3\n    - " in words and "new" not in words.partition("\n")[2] for words in (planned, taken))
    assert (found["after"], len(found["gone"]), found["new"]) == (None, 3, [])


def test_the_difference_of_a_new_job_tells_the_slots_that_come_newly(call, life, registry):
    gap = Job("gap", Every(HOUR), TICK)
    registry["gap"] = gap

    planned = call("timetable", "--diff", "--days", "1").out
    lives_again(life, MINUTELY, NEWS, gap)
    taken = call("timetable", "--diff", "gap", "--days", "1").out
    (found,) = json.loads(call("timetable", "--diff", "--days", "1", "--json").out)["differences"]

    assert planned.startswith("gap: new, every 1 h\n  added to the jobs file; no scheduler has taken it up yet\n")
    assert re.search(r"^  added [0-9: -]+Z \(\d+ s ago\)$", taken, re.MULTILINE)
    assert all("\n  new: 24\n    + " in words and "gone" not in words for words in (planned, taken))
    assert (found["before"], found["gone"], len(found["new"])) == (None, [], 24)


def test_days_on_which_clocks_jump_are_always_among_the_differences_F38(call, life, registry):
    night = Job("night", DailyAt(time(2, 30), "America/New_York"), TICK)
    lives_again(life, MINUTELY, NEWS, night)
    registry["night"] = replace(night, trigger=DailyAt(time(1, 45), "America/New_York"))
    earlier = call("timetable", "--diff", "night", "--days", "366").out
    registry["night"] = replace(night, trigger=DailyAt(time(2, 45), "America/New_York"))
    later = call("timetable", "--diff", "night", "--days", "366").out

    spring, autumn = "02:30 America/New_York does not exist that day", "01:45 America/New_York comes twice that day"
    assert re.search(rf"^    - \d\d\d\d-03-.* 07:00:00Z  \({spring}; it runs right after", earlier, re.MULTILINE)
    assert re.search(rf"^    \+ \d\d\d\d-11-.* 05:45:00Z  \({autumn}; the first one runs\)$", earlier, re.MULTILINE)
    assert re.search(r"^    and 34\d more$", earlier, re.MULTILINE)
    assert re.search(rf"^    = \d\d\d\d-03-.* 07:00:00Z  \({spring}; .*; 02:45 America", later, re.MULTILINE)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            Http("https://x.example/hook", headers={"Authorization": "Bearer ${API_TOKEN}"}),
            Http("https://x.example/hook"),
            ['  does: headers: {"Authorization": "Bearer ${API_TOKEN}"} -> none'],
        ),
        (Command(("sync", "--all")), Command(("sync",)), ['  does: argv: ["sync", "--all"] -> ["sync"]']),
    ],
    ids=["http", "command"],
)
def test_of_what_a_changed_job_does_only_the_keys_that_differ_are_told(call, life, registry, before, after, said):
    job = Job("hook", Cron("30 9 * * 1-5", "UTC"), before)
    lives_again(life, MINUTELY, NEWS, job)
    registry["hook"] = replace(job, action=after, retries=job.retries)

    lines = call("timetable", "--diff", "hook").out.splitlines()

    assert lines[0] == f"hook: {job.trigger}, as before"
    assert lines[2 : lines.index(next(line for line in lines if line.startswith("  from ")))] == said


# -- pause and resume


def test_a_pause_is_kept_with_who_until_when_and_why(call, life):
    answer = call("pause", "news", "minutely", "--for", "90m", "--note", "disk \x1b[31m move")

    kept = {pause.job_name: pause for pause in life.ledger.pauses(SystemClock().now())}
    assert answer.code == 0
    assert set(kept) == {"news", "minutely"}
    assert (kept["news"].actor, kept["news"].note) == (actor(), "disk \x1b[31m move")
    assert kept["news"].until is not None
    assert "minutely is paused until " in answer.out
    assert "90 slots will pass unrun; end it with `echopilot resume minutely`" in answer.out
    assert "so nothing runs in any case; the pause holds when one starts" in answer.err


def test_status_and_jobs_show_pauses(call, life):
    call("pause", "minutely", "--note", "why not\x1b")
    call("pause", "news", "--for", "2h")

    status, listed = call("status"), call("jobs")
    data = {job["name"]: job["paused"] for job in json.loads(call("status", "--json").out)["status"]["jobs"]}

    assert re.search(
        rf"^paused +minutely, by {actor()} .*, until somebody resumes it: why notU\+001B$", status.out, re.MULTILINE
    )
    assert re.search(
        rf"^paused +news, by {actor()} .*, until [0-9: -]+Z \(in (1 h 59 min|2 h)\)$", status.out, re.MULTILINE
    )
    assert re.search(r"^minutely +every 1 min +paused +succeeded", listed.out, re.MULTILINE)
    assert re.search(r"^news +daily at 08:00 Europe/Riga +paused until ", listed.out, re.MULTILINE)
    assert data["minutely"]["by"] == actor()


def test_a_second_pause_is_refused_with_3_and_the_others_are_made(call, life):
    call("pause", "news")

    answer = call("pause", "news", "minutely")

    assert answer.code == 3
    assert f"error: 'news' is paused already, by {actor()} until somebody resumes it; resume it first" in answer.err
    assert answer.out.startswith("minutely is paused until somebody resumes it; its slots pass unrun, the first at ")


def test_all_jobs_are_paused_and_resumed_at_once(call, life):
    call("pause", "news")

    paused, resumed, again = call("pause", "--all"), call("resume", "--all"), call("resume", "--all")

    assert paused.code == 0
    assert "note: 'news' is paused already" in paused.err
    assert re.search(r"^minutely +its slots pass unrun, the first at ", paused.out, re.MULTILINE)
    assert paused.out.endswith(
        "\nthe pause of 1 job lasts until somebody resumes it; end it with `echopilot resume --all`\n"
    )
    assert [line.split()[:1] for line in resumed.out.splitlines()[:3]] == [["JOB"], ["minutely"], ["news"]]
    assert re.search(r"^minutely +no slot came due meanwhile +20[0-9: -]+Z ", resumed.out, re.MULTILINE)
    assert resumed.out.endswith(
        "\n2 jobs are no longer paused; what passed stays skipped, and `echopilot backfill` runs it\n"
    )
    assert again == (0, "", "no job is paused\n")


def test_resuming_tells_what_passed_and_how_to_make_up_for_it(call, life):
    life.ledger.pause("minutely", life.clock.now(), None, "cli:ann", "")

    answer = call("resume", "minutely")

    assert re.match(
        r"minutely is no longer paused; (79|80|81) slots passed unrun "
        r"\(once a scheduler has planned them, `echopilot backfill minutely --from \S+Z --to \S+Z` runs them\); "
        r"its next slot is ",
        answer.out,
    )


def test_what_resuming_offers_works_as_soon_as_a_scheduler_has_planned_what_passed(call, life):
    since = life.clock.now()
    life.ledger.pause("minutely", since, None, "cli:ann", "")
    asleep = call("resume", "minutely").out
    early, late = re.search(r"--from (\S+Z) --to (\S+Z)`", asleep).groups()
    refused = call("backfill", "minutely", "--from", early, "--to", late)

    lives_again(life, MINUTELY, NEWS)
    accepted = call("backfill", "minutely", "--from", early, "--to", late, "--dry-run")

    assert "; end before it, or try again once it is planned\n" in refused.err
    assert refused.code == 3
    assert re.search(r"^(79|80|81) of \d\d slots would be queued", accepted.out, re.MULTILINE)


def test_what_passed_in_a_pause_that_was_planned_can_be_made_up_for_at_once(call, life):
    life.ledger.pause("minutely", life.clock.now(), None, "cli:ann", "")
    lives_again(life, MINUTELY, NEWS)

    said = call("resume", "minutely").out

    fill = re.search(r"passed unrun \(`echopilot (backfill [^`]+)` runs them\)", said)
    assert call(*fill[1].split(), "--dry-run").code == 0


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_the_scheduler_is_woken(call, life, settings, verb):
    if verb == "resume":
        life.ledger.pause("minutely", life.clock.now(), None, "cli:ann", "")
    waiter = open_for_waiting(settings.wake_path)

    answer = call(verb, "minutely")

    assert "no scheduler is running" not in answer.err
    assert os.read(waiter, 10) == b"!"
    os.close(waiter)


def test_a_pause_until_a_time_of_day_is_the_next_one(call, life):
    now = SystemClock().now()
    call("pause", "minutely", "--until", f"{now - MINUTE:%H:%M}")

    (pause,) = life.ledger.pauses(now)

    assert timedelta(hours=23) < pause.until - now < DAY


def test_a_job_without_a_schedule_is_not_said_to_have_no_more_slots(call, life, registry):
    registry["asked"] = Job("asked", OnRequest(), TICK)
    lives_again(life, *registry.values())
    call("pause", "asked")

    answer = call("resume", "asked")

    assert answer.out == "asked is no longer paused; no slot came due meanwhile; it has no schedule\n"


def test_runs_tell_the_slot_of_each_beside_the_moment_it_began(call, life):
    title, *lines = call("runs", "minutely").out.splitlines()
    run = life.ledger.runs(job_name="minutely", limit=1)[0]
    by_hand, _ = life.ledger.request_run("minutely", life.clock.now())
    asked = call("runs", "minutely", "--origin", "manual").out.splitlines()[1]

    assert run.slot is not None
    assert title.split()[:6] == ["RUN", "JOB", "STATE", "ORIGIN", "SLOT", "WHEN"]
    assert stamp(run.slot.due_at) in lines[0][title.index("SLOT") : title.index("WHEN")]
    assert asked.split()[:5] == [str(by_hand.id), "minutely", "queued", "manual", "-"]


# -- cancel, backfill, backlog, clock


def test_a_waiting_run_is_cancelled_and_a_running_one_is_asked_to_stop(call, life):
    first, _ = life.ledger.request_run("news", life.clock.now())
    cancelled = call("cancel", str(first.id))
    second, _ = life.ledger.request_run("news", life.clock.now())
    life.sql("update runs set state = 'running', attempt = 1, started_at = claimed_at where id = ?", second.id)
    asked = call("cancel", str(second.id))

    assert cancelled.out == f"run {first.id} of news is cancelled; it had not started\n"
    assert life.ledger.run(first.id).state is State.CANCELLED
    assert actor() in str(life.ledger.run(first.id).error)
    assert asked.out.startswith(f"run {second.id} of news is asked to stop and is killed after four seconds")
    assert life.ledger.run(second.id).cancel_wanted == actor()
    assert f"asked by {actor()}" in call("show", str(second.id)).out


def test_a_backfill_is_shown_slot_by_slot_before_anything_is_done(call, life):
    lives_again(life, MINUTELY, NEWS)

    dry = call("backfill", "minutely", "--from", "83m", "--to", "77m", "--dry-run")
    before = len(life.ledger.runs())
    done = call("backfill", "minutely", "--from", "83m", "--to", "77m")
    again = call("backfill", "minutely", "--from", "83m", "--to", "77m")

    left, taken = dry.out.count("run "), dry.out.count("skipped (expired)  queue")
    assert left >= 2
    assert taken >= 2
    assert f"{taken} of {left + taken} slots would be queued; nothing was changed" in dry.out
    assert re.match(
        rf"{taken} of {left + taken} slots of minutely are queued as runs \d+ to \d+; {left} had runs", done.out
    )
    made = life.ledger.runs(limit=taken)
    assert {(run.origin, run.actor) for run in made} == {(Origin.BACKFILL, actor())}
    assert len(life.ledger.runs()) == before + taken
    assert again.err.startswith("nothing was queued; ")


def test_a_backfill_of_more_than_a_hundred_slots_is_asked_about_first(call, life, monkeypatch):
    lives_again(life, MINUTELY, NEWS)
    stretch = ("--from", "4h", "--to", "10m")
    before = len(life.ledger.runs(limit=200))
    monkeypatch.setattr("sys.stdin", None)

    refused = call("backfill", "minutely", *stretch)
    unasked = call("backfill", "minutely", *stretch, "--dry-run")
    left = len(life.ledger.runs(limit=200))
    done = call("backfill", "minutely", *stretch, "--yes")

    count = int(re.search(r"^(\d+) of \d+ slots would be queued", unasked.out, re.MULTILINE)[1])
    assert count > 100
    assert (refused.code, refused.out) == (2, "")
    assert f"nobody can be asked here; give --yes to queue {count} runs of minutely, or --dry-run" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert left == before
    assert done.code == 0
    assert done.out.startswith(f"{count} of ")
    assert "take back all runs of minutely that still wait with `echopilot cancel --job minutely`" in done.err


def test_a_backfill_is_taken_back_together_and_what_runs_goes_on(call, life, monkeypatch):
    lives_again(life, MINUTELY, replace(NEWS, trigger=OnRequest()))  # no slot of its own, whatever the hour
    other, _ = life.ledger.request_run("news", life.clock.now())
    call("backfill", "minutely", "--from", "60m", "--to", "30m")
    waiting = [run.id for run in life.ledger.runs(job_name="minutely", states=frozenset({State.QUEUED}), limit=200)]
    life.sql("update runs set state = 'running', attempt = 1, started_at = claimed_at where id = ?", waiting[0])
    monkeypatch.setattr("sys.stdin", None)

    refused = call("cancel", "--job", "minutely")
    done = call("cancel", "--job", "minutely", "--yes")
    again = call("cancel", "--job", "minutely")
    document = json.loads(call("cancel", "--job", "news", "--yes", "--json").out)["cancelled"]

    count = len(waiting) - 1
    goes_on = f"; run {waiting[0]} goes on, stop one with `echopilot cancel {waiting[0]}`\n"
    assert refused.code == 2
    assert f"nobody can be asked here; give --yes to cancel {count} waiting runs of minutely" in refused.err
    assert done == (0, f"{count} waiting runs of minutely are cancelled{goes_on}", done.err)
    assert again == (0, "", f"no run of minutely waits; nothing was cancelled{goes_on}")
    assert {life.ledger.run(number).state for number in waiting[1:]} == {State.CANCELLED}
    assert life.ledger.run(waiting[0]).cancel_wanted is None
    assert document == {"job": "news", "runs": [other.id], "running": []}


@pytest.mark.process
@pytest.mark.parametrize(("typed", "code", "state"), [(b"n\n", 1, State.QUEUED), (b"y\n", 0, State.CANCELLED)])
def test_who_cancels_all_that_waits_is_asked_first(call, house, terminal, typed, code, state):
    run, _ = house.ledger.request_run("export", SystemClock().now())
    screen = terminal("cancel", "--job", "export")
    screen.wait_for(b"cancel 1 waiting run of export? [y/N]")

    screen.type(typed)

    assert screen.end() == code
    assert house.ledger.run(run.id).state is state


def test_a_backfill_of_a_paused_job_says_that_it_waits(call, life):
    lives_again(life, MINUTELY, NEWS)
    call("pause", "minutely")

    assert "note: minutely is paused until somebody resumes it, and so long they wait" in call(
        "backfill", "minutely", "--from", "40m", "--to", "38m").err  # fmt: skip


def test_a_backfill_that_is_waited_for_says_what_is_queued_before_it_waits_and_how_it_ended_after(
    call, life, monkeypatch
):
    lives_again(life, MINUTELY, NEWS)
    said_before: list[str] = []

    def ended(_ledger, runs, _clock):
        said_before.append(sys.stdout.getvalue())
        return [run.changed(state=State.SUCCEEDED) for run in runs]

    monkeypatch.setattr("echopilot_jobs.cli.backfill.all_ended", ended)
    answer = call("backfill", "minutely", "--from", "40m", "--to", "38m", "--wait")

    assert re.fullmatch(r"\d of \d slots of minutely are queued as runs \d+ to \d+\n", answer.out)
    assert said_before == [answer.out]
    assert re.fullmatch(r"all have ended: \d succeeded", answer.err.splitlines()[-1])
    assert "a Ctrl-C ends the waiting, not the runs" in answer.err


def test_a_backfill_of_runs_that_found_nothing_to_do_ends_well(call, life, monkeypatch):
    lives_again(life, MINUTELY, NEWS)
    skipped = {"state": State.CANCELLED, "error": f"{SKIPPED}no orders"}
    monkeypatch.setattr(
        "echopilot_jobs.cli.backfill.all_ended", lambda _ledger, runs, _clock: [run.changed(**skipped) for run in runs]
    )

    answer = call("backfill", "minutely", "--from", "40m", "--to", "38m", "--wait")

    assert answer.code == 0
    assert "error:" not in answer.err
    assert re.fullmatch(r"all have ended: \d skipped itself", answer.err.splitlines()[-1])


def test_a_backfill_of_nothing_says_so(call, life):
    answer = call("backfill", "news", "--from", "95m", "--to", "95m")

    tried = call("backfill", "news", "--from", "95m", "--to", "95m", "--dry-run")

    assert answer == (0, "", "news has no slots there; nothing was queued\n")
    assert tried == (0, "", "news has no slots there; nothing would be queued\n")


@pytest.fixture
def held(settings: Settings, registry: dict[str, Job]) -> Iterator[Life]:
    """Five daily slots were missed and wait for a word; none comes due now, whatever the hour."""
    settings.var_dir.mkdir(mode=0o700)
    now = SystemClock().now()
    news = registry["news"] = replace(NEWS, trigger=DailyAt(time((now.hour + 12) % 24)))
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        made = Life(ledger, FakeClock(now - 5 * DAY - 10 * MINUTE))
        made.go_on(made.begin(news), MINUTE)
        lives_again(made, news)
        yield made


@pytest.mark.parametrize(("answer", "left"), [("latest", 1), ("all", 5), ("drop", 0)])
def test_a_backlog_is_shown_and_answered(call, held, answer, left):
    shown, status = call("backlog"), call("status")
    document = json.loads(call("backlog", "--json").out)["backlog"]
    waits = call("show", str(document["runs"][0]["run"]))

    answered = call("backlog", answer)

    assert re.search(r"^news +5 ", shown.out, re.MULTILINE)
    assert "5 missed slots wait for a word since" in shown.out
    assert "backlog    5 missed slots wait for a word" in status.out
    assert document["count"] == len(document["runs"]) == 5
    assert "it belongs to a backlog of 5 runs" in waits.out
    words = {
        "latest": "1 run starts now; 4 of the 5 are cancelled",
        "all": "5 runs start now, one every five seconds",
        "drop": "none runs; all 5 are cancelled",
    }
    assert answered.out == f"{words[answer]}\n"
    assert sum(run.state is State.QUEUED for run in held.ledger.runs()) == left
    assert call("backlog").err == "no backlog waits for an answer\n"


def test_audit_counts_a_backlog_as_waiting_and_then_as_answered(call, held):
    waits = call("audit")

    call("backlog", "latest")
    answered = call("audit")

    assert re.search(r"^JOB .* DOUBLED +WAITING$", waits.out, re.MULTILINE)
    assert re.search(r"^news +5( +0){6} +5$", waits.out, re.MULTILINE)
    assert re.search(r"^JOB .* DOUBLED +WAITING +CANCELLED$", answered.out, re.MULTILINE)
    assert re.search(r"^news +5( +0){6} +1 +4$", answered.out, re.MULTILINE)


def test_the_outage_a_run_was_missed_in_is_shown_with_it(call, held):
    run = held.ledger.runs()[0]

    assert re.search(
        r"^missed +nobody planned from .* the scheduler died$", call("show", str(run.id)).out, re.MULTILINE
    )


def test_a_clock_on_hold_is_shown_and_trusted(call, settings, registry):
    settings.var_dir.mkdir(mode=0o700)
    clock = FakeClock(SystemClock().now() - 5 * HOUR)
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        life = Life(ledger, clock)
        scheduler = life.begin(NEWS)
        life.go_on(scheduler, MINUTE)
        clock.step(5 * 3600 - 100)
        life.go_on(scheduler, MINUTE)

        shown, status, coming = call("clock"), call("status"), call("next")
        trusted, after = call("clock", "trust"), call("clock", "trust")

        assert ledger.generation().released
    assert re.search(r"^last set +forward by 4 h 58 min, to .*; clock generation 1$", shown.out, re.MULTILINE)
    assert "wait until the clock was stable for 10 min" in shown.out
    assert "calendar jobs wait: the machine's clock was set" in status.out
    assert "note: calendar jobs wait because the machine's clock was set" in coming.err
    assert "somebody said to trust the clock; they go on with the scheduler's next look" in trusted.out
    assert after.code == 3


def test_the_clock_tells_the_last_step_and_not_the_sum_of_them_F34(call, settings, registry):
    """A return by 400 days is one, whatever is left of the way there; and so is a further step of a clock on hold."""
    settings.var_dir.mkdir(mode=0o700)
    clock = FakeClock(SystemClock().now() - HOUR)
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        life = Life(ledger, clock)
        scheduler = life.begin(NEWS)
        said = []
        for seconds in (400 * 86_400, -400 * 86_400, -5 * 3_600, -3_000):
            life.go_on(scheduler, MINUTE)
            clock.step(seconds)
            life.go_on(scheduler, MINUTE)
            said.append(json.loads(call("clock", "--json").out)["clock"])
        shown = call("clock").out

    assert [round(each["step_s"]) for each in said] == [400 * 86_400, -400 * 86_400, -5 * 3_600, -3_000]
    assert [each["held"] for each in said] == [True, False, True, True]
    assert re.search(r"^last set +back by 50 min, to ", shown, re.MULTILINE)


def test_builtin_jobs_have_an_account_too(call, lived, settings):
    """I2: the day of an ordinary installation."""
    answer = call("audit", "--json")

    assert answer.code == 0, answer.out
    accounts = json.loads(answer.out)["audit"]["jobs"]
    assert {account["job"] for account in accounts} == set(jobs(settings))


def test_the_difference_is_that_of_the_file_just_saved_while_the_living_scheduler_has_not_judged_it(
    call: Call, house: House
) -> None:
    file, now = house.settings.home / "jobs.toml", SystemClock().now()
    file.write_text('[jobs.export]\ncron = "30 2 * * *"\ncommand = ["true"]\n')
    taken = definitions.begin(house.settings, now)[0].registry
    live(house.ledger, taken, FakeClock(now - MINUTE), now)
    (house.settings.var_dir / "scheduler.lock").write_text(str(this_process()))
    file.write_text(file.read_text().replace("30 2", "45 2"))

    answer = call("timetable", "export", "--diff")

    assert answer.out.startswith("export: cron '30 2 * * *' UTC -> cron '45 2 * * *' UTC\n")
    assert "no scheduler has taken it up yet" in answer.out
