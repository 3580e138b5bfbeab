"""`retry`, the filters of `runs`, what `show` tells, and the newest brief and report."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pytest
from daykit import live
from housekit import working

from echopilot_jobs import reporting
from echopilot_jobs.builtin import daily_report
from echopilot_jobs.builtin.report_data import report_data
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.jobs import Inline, Job, Registry
from echopilot_jobs.ledger import Lease, Limits, SqliteLedger
from echopilot_jobs.reporting import DAY
from echopilot_jobs.runs import SKIPPED, Artefact, Origin, Outcome, Progress, Run, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.triggers import Every
from tests.cli.conftest import Call, House


def started(ledger: SqliteLedger, name: str, params: dict[str, object] | None = None) -> tuple[Lease, Run]:
    now = SystemClock().now()
    lease = ledger.take_lease("b:1:1", "host", "abc", now)
    ledger.request_run(name, now, params=params)
    with ledger.leading(lease, now) as leading:
        (run,) = leading.start_ready(Limits(1))
    return lease, run


def ended(ledger: SqliteLedger, name: str, outcome: Outcome, params: dict[str, object] | None = None) -> Run:
    lease, run = started(ledger, name, params)
    with ledger.leading(lease, SystemClock().now()) as leading:
        return leading.finish(run, outcome)


def test_a_bad_end_is_repeated_once_however_often_it_is_asked_for_I24(call: Call, lived: SqliteLedger) -> None:
    failed = ended(lived, "daily_report", Outcome(State.FAILED, "no disk"), {"date": "2026-03-01"})

    first, again = call("retry", str(failed.id)), call("retry", str(failed.id))

    repeated = lived.runs(job_name="daily_report", limit=1)[0]
    assert (first.code, again.code) == (0, 0)
    assert first.out == (
        f"run {repeated.id} of daily_report repeats run {failed.id}; follow it with `echopilot logs {repeated.id} -f`\n"
    )
    assert f"run {failed.id} was repeated already, by run {repeated.id}: queued" in again.out
    assert (repeated.origin, repeated.params) == (Origin.RETRY, {"date": "2026-03-01"})


@pytest.mark.parametrize(("state", "code"), [(State.SUCCEEDED, 0), (State.FAILED, 1)])
def test_a_repetition_that_is_waited_for_ends_as_the_run_did_I12(
    call: Call, house: House, state: State, code: int
) -> None:
    failed = ended(house.ledger, "heartbeat", Outcome(State.FAILED, "no disk"))
    with working(house.ledger, house.registry, lambda run: Outcome(state, error=None if code == 0 else "again")):
        answer = call("retry", str(failed.id), "--wait")
    again = call("retry", str(failed.id), "--wait", "--json")

    assert (answer.code, again.code) == (code, code)
    repeated = json.loads(again.out)["run"]
    assert (repeated["origin"], repeated["state"]) == ("retry", state.value)
    assert answer.out.startswith(f"run {repeated['id']} of heartbeat {state.value}")
    assert f"run {repeated['id']} of heartbeat repeats run {failed.id}; follow it" in answer.err


def test_a_repetition_that_ended_badly_is_named_as_what_to_try_next(call: Call, lived: SqliteLedger) -> None:
    failed = ended(lived, "ceo_brief", Outcome(State.FAILED, "no disk"))
    call("retry", str(failed.id))
    lease, now = lived.take_lease("b:1:2", "host", "abc", SystemClock().now()), SystemClock().now()
    with lived.leading(lease, now) as leading:
        (run,) = leading.start_ready(Limits(1))
        leading.finish(run, Outcome(State.FAILED, "no disk again"))

    answer = call("retry", str(failed.id))

    assert f"by run {run.id}: failed; repeat that one with `echopilot retry {run.id}`" in answer.out


@pytest.mark.parametrize("line", ["retry {run}", "retry {run} --wait", "brief", "report", "run ceo_brief --wait"])
def test_nothing_of_a_disabled_job_is_queued_by_hand(
    call: Call, lived: SqliteLedger, settings: Settings, line: str
) -> None:
    failed = ended(lived, "ceo_brief", Outcome(State.FAILED, "no disk"))
    (settings.home / "jobs.toml").write_text(
        "[jobs.ceo_brief]\nenabled = false\n[jobs.daily_report]\nenabled = false\n"
    )
    before = len(lived.runs())

    answer = call(*line.format(run=failed.id).split())

    assert (answer.code, answer.out) == (3, "")
    assert "is disabled; take `enabled = false` out of its definition first" in answer.err
    assert len(lived.runs()) == before


def test_the_question_about_its_slot_that_show_names_is_one_that_why_answers(call: Call, lived: SqliteLedger) -> None:
    run = next(run for run in lived.runs() if run.slot)

    (said,) = re.findall(r"`echopilot (why [^`]+)`", call("show", str(run.id)).err)
    answer = call(*shlex.split(said))

    assert answer.code == 0
    assert f"run {run.id}" in answer.out


def test_both_ends_of_a_repetition_are_told(call: Call, lived: SqliteLedger) -> None:
    failed = ended(lived, "ceo_brief", Outcome(State.FAILED, "no disk"))
    call("retry", str(failed.id))
    repeated = lived.runs(job_name="ceo_brief", limit=1)[0]

    before, after = call("show", str(failed.id)), call("show", str(repeated.id))

    assert f"run {repeated.id}, queued" in before.out
    assert f"try it again with `echopilot retry {failed.id}`" in before.err
    assert "repeats" in after.out
    assert f"run {failed.id}" in after.out
    said = json.loads(call("show", str(repeated.id), "--json").out)["run"]
    assert (said["repeats"], said["repeated_by"]) == (failed.id, None)


def test_a_run_that_succeeded_is_repeated_only_by_force(call: Call, lived: SqliteLedger) -> None:
    done = ended(lived, "ceo_brief", Outcome(State.SUCCEEDED))

    refused, forced = call("retry", str(done.id)), call("retry", str(done.id), "--force", "--json")

    assert (refused.code, refused.out) == (3, "")
    assert "succeeded; to do it all again, ask with --force" in refused.err
    assert json.loads(forced.out)["run"]["origin"] == "retry"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("999",), 2, "run 999"),
        (("x",), 2, "wanted: a run's number"),
        ((), 2, "missing argument"),
        (("-1",), 2, "no such option"),
    ],
)
def test_what_cannot_be_repeated_is_refused(
    call: Call, lived: SqliteLedger, words: tuple[str, ...], code: int, said: str
) -> None:
    count = len(lived.runs())

    answer = call("retry", *words)

    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err.lower()
    assert len(lived.runs()) == count


def test_an_open_run_is_not_repeated(call: Call, lived: SqliteLedger) -> None:
    _, run = started(lived, "ceo_brief")

    answer = call("retry", str(run.id))

    assert answer.code == 3
    assert f"run {run.id} is running; wait for its end" in answer.err


def test_progress_and_kept_files_are_shown(call: Call, lived: SqliteLedger) -> None:
    lease, run = started(lived, "ceo_brief")
    with lived.leading(lease, SystemClock().now()) as leading:
        leading.note_progress({run.id: Progress(SystemClock().now(), 40, 100, "orders")})
        leading.finish(
            run, Outcome(State.SUCCEEDED, artefacts=(Artefact("a.csv", "logs/artefacts/x/1/a.csv", 1234, "ab"),))
        )

    answer, said = call("show", str(run.id)), json.loads(call("show", str(run.id), "--json").out)["run"]

    assert "40 of 100 (40%), orders, now" in answer.out or "40 of 100 (40%), orders, 1 s ago" in answer.out
    assert "logs/artefacts/x/1/a.csv (1,234 bytes)" in answer.out
    assert (said["progress"]["done"], said["artefacts"][0]["name"]) == (40, "a.csv")


# -- which runs


def listed(call: Call, *words: str) -> list[int]:
    answer = call("runs", "--json", *words)
    assert answer.code == 0, answer.err
    return [run["id"] for run in json.loads(answer.out)["runs"]]


def test_runs_are_chosen_by_end_origin_and_time(call: Call, lived: SqliteLedger) -> None:
    failed = ended(lived, "ceo_brief", Outcome(State.FAILED, "x"))
    waiting, _ = lived.request_run("ceo_brief", SystemClock().now(), actor="me")
    everything = {run.id: run for run in lived.runs(limit=200)}

    assert listed(call, "--failed", "--limit", "200") == [
        run.id for run in everything.values() if run.state is State.FAILED
    ]
    assert failed.id in listed(call, "--failed")
    assert listed(call, "--open") == [waiting.id]
    assert listed(call, "--origin", "startup", "--limit", "200") == [
        run.id for run in everything.values() if run.origin is Origin.STARTUP
    ]
    recent = SystemClock().now() - timedelta(minutes=1)
    assert listed(call, "--since", "1m ago") == [run.id for run in everything.values() if run.claimed_at >= recent]
    assert set(listed(call, "--until", "5m ago", "--limit", "200")).isdisjoint({failed.id, waiting.id})


def test_pages_follow_one_another_without_a_run_twice(call: Call, lived: SqliteLedger) -> None:
    everything, got, before = [run.id for run in lived.runs(limit=200)], [], []
    while True:
        answer = json.loads(call("runs", "--json", "--limit", "4", *before).out)
        got += [run["id"] for run in answer["runs"]]
        if answer["next_before"] is None:
            break
        before = ["--before", str(answer["next_before"])]

    assert got == everything


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--failed", "--open"), "give one of --state, --failed and --open"),
        (("--failed", "--state", "queued"), "give one of --state, --failed and --open"),
        (("--origin", "elsewhere"), "schedule"),
        (("--since", "tomorrow"), "wanted: a moment up to now"),
        (("--until", "x"), "wanted: a moment"),
        (("--limit", "0"), "wanted: a whole number from 1 to 200"),
        (("--job", "nobody"), "no job named 'nobody'"),
    ],
)
def test_filters_that_mean_nothing_are_refused(
    call: Call, lived: SqliteLedger, words: tuple[str, ...], said: str
) -> None:
    answer = call("runs", *words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


# -- what was made


def made(lived: SqliteLedger, settings: Settings, job: str, data: object) -> Run:
    folder = settings.logs_dir / "made"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "m.json").write_text(json.dumps(data))
    result = {"json_path": "logs/made/m.json", "html_path": "logs/made/m.html"}
    return ended(lived, job, Outcome(State.SUCCEEDED, result=result))


def test_without_anything_made_the_newest_is_asked_for_in_vain(call: Call, lived: SqliteLedger) -> None:
    for verb in ("brief", "report"):
        answer = call(verb, "--last")

        assert (answer.code, answer.out) == (1, "")
        assert "has succeeded yet; leave --last out to make one now" in answer.err


def test_a_day_that_was_never_lived_is_one_line_and_no_table(
    call: Call, lived: SqliteLedger, settings: Settings
) -> None:
    data, _ = daily_report.make(date(2026, 3, 1), settings, lived, SystemClock().now())
    made(lived, settings, "daily_report", data)

    answer = call("report", "--last")

    (line,) = answer.out.splitlines()
    assert line.startswith("nothing is known of 2026-03-01: the ledger begins at 20")
    assert "; today so far: `echopilot report --date " in line


def test_a_run_that_succeeded_is_repeated_by_force_as_the_command_line_has_it(call: Call, lived: SqliteLedger) -> None:
    run = ended(lived, "self_heal", Outcome(State.SUCCEEDED))

    refused, forced = call("retry", str(run.id)), call("retry", str(run.id), "--force")

    assert (refused.code, forced.code) == (3, 0)
    assert refused.err == f"error: run {run.id} succeeded; to do it all again, ask with --force\n"


def by_itself_before_noon(run: Run) -> Outcome:
    said = f"{SKIPPED}no orders" if run.slot and run.slot.due_at.hour < 12 else "cancelled by ann"
    return Outcome(State.CANCELLED, error=said)


def test_every_planned_slot_stands_in_a_column_of_the_report(
    call: Call, lived: SqliteLedger, settings: Settings
) -> None:
    clock, start = FakeClock(datetime(2026, 2, 28, 22, tzinfo=UTC)), datetime(2026, 3, 1, tzinfo=UTC)
    registry = Registry([Job("j", Every(timedelta(hours=4)), Inline("x"))])
    with closing(MemoryLedger()) as other:
        live(other, registry, clock, clock.now() + timedelta(hours=27), ending=by_itself_before_noon)
        figures = reporting.report(start.date(), registry, reporting.gather(other, start, start + DAY), clock.now())
        made(lived, settings, "daily_report", report_data(figures, other, clock.now()))

    lines = [line.split() for line in call("report", "--last").out.splitlines()]

    heading = next(line for line in lines if line[:1] == ["JOB"])
    assert " ".join(heading) == "JOB PLANNED RAN SKIPPED ELSE BAD ENDS MISSING TOOK"
    (row,) = (" ".join(line) for line in lines if line[:1] == ["j"])
    assert row.startswith("j 6 0 3 by the job itself 3 cancelled 0 0")


def test_what_was_made_and_is_gone_or_damaged_says_so(call: Call, lived: SqliteLedger, settings: Settings) -> None:
    made(lived, settings, "ceo_brief", {})
    path = settings.logs_dir / "made" / "m.json"
    path.write_text("{half")
    damaged = call("brief", "--last")
    path.unlink()
    gone = call("brief", "--last")

    assert (damaged.code, gone.code) == (1, 1)
    assert "it is no JSON any more; make a new one" in damaged.err
    assert "No such file or directory; make a new one" in gone.err


def test_a_redefined_job_that_made_nothing_to_show_says_so(call: Call, lived: SqliteLedger) -> None:
    run = ended(lived, "ceo_brief", Outcome(State.SUCCEEDED, result={"headline": "of another kind"}))
    answer = call("brief", "--last")

    assert answer.code == 1
    assert f"run {run.id} of ceo_brief succeeded and made no page and data to show; see `echopilot show" in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--date", "yesterday"), "wanted: a date YYYY-MM-DD"),
        (("--date", "2026-02-30"), "wanted: a date YYYY-MM-DD"),
        (("--date", "2999-01-01"), "which has not begun"),
        (("--date", "1969-12-31"), "wanted: a day from 1970-01-02 up to today"),
        (("--date", "2026-03-01", "--last"), "give one of them"),
    ],
)
def test_days_that_cannot_be_reported_are_refused(
    call: Call, lived: SqliteLedger, words: tuple[str, ...], said: str
) -> None:
    answer = call("report", *words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
