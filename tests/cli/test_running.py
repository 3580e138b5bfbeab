"""`echopilot run`: parameters, keys, following, and the exit code of the run."""

from __future__ import annotations

import json
import re
import threading

import pytest
from housekit import working

from echopilot_jobs.cli.following import Told, follow
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.context import line_of
from echopilot_jobs.engines import Note
from echopilot_jobs.executor import Heard, Said
from echopilot_jobs.ledger import Limits
from echopilot_jobs.logs import SchedulerLog
from echopilot_jobs.runs import SKIPPED, Outcome, Output, Progress, Run, State
from echopilot_jobs.scheduler.telling import Teller
from echopilot_jobs.testing import FakeClock

NOW = SystemClock().now()


def failed(status: int | None) -> Outcome:
    return Outcome(State.FAILED, error="it broke", exit_status=status, duration_ms=5)


def test_only_what_was_given_is_kept_and_as_the_job_understands_it(call, house):
    answer = call("run", "export", "-p", "copies=3", "--param", "day=2026-03-01", "--json")

    run = house.ledger.run(json.loads(answer.out)["run"]["id"])
    assert run.params == {"copies": 3, "day": "2026-03-01"}


def test_the_same_key_is_the_same_run_even_after_it_ended_I24(call, house):
    first = json.loads(call("run", "export", "--key", "2026-03-01", "--json").out)["run"]["id"]
    again = call("run", "export", "--key", "2026-03-01")
    other = call("run", "needy", "-p", "who=me", "--key", "2026-03-01", "--json")
    with working(house.ledger, house.registry, lambda _run: Outcome(State.SUCCEEDED)):
        waited = call("run", "export", "--key", "2026-03-01", "--wait")
    ended = call("run", "export", "--key", "2026-03-01", "--wait", "--timeout", "1")
    known = call("run", "export", "--key", "2026-03-01").out

    assert again.code == 0
    assert f"run {first} of export is queued (asked for before with the key '2026-03-01')" in again.out
    assert json.loads(other.out)["run"]["id"] != first
    assert (waited.code, ended.code) == (0, 0)
    assert f"run {first} of export succeeded" in waited.out
    assert f"run {first} of export succeeded" in ended.out
    assert known == (
        f"run {first} of export succeeded (asked for before with the key '2026-03-01'); see `echopilot show {first}`\n"
    )


def test_a_key_that_comes_with_other_parameters_is_refused_with_3_I24(call, house):
    call("run", "export", "-p", "day=2026-11-20", "--key", "k1")
    run = house.ledger.runs(job_name="export")[0]

    same = call("run", "export", "-p", "day=2026-11-20", "--key", "k1")
    other = call("run", "export", "-p", "day=2026-11-21", "-p", "copies=2", "--key", "k1")
    none = call("run", "export", "--key", "k1")

    assert same.code == 0
    assert other == (
        3,
        "",
        f"error: run {run.id} of 'export' was asked for with this key and other parameters ('copies', 'day'); give the same "
        "ones, or another key\n",
    )
    assert (none.code, house.ledger.run(run.id).params) == (3, {"day": "2026-11-20"})


@pytest.mark.parametrize(
    ("job", "outcome", "code"),
    [
        ("export", Outcome(State.SUCCEEDED, exit_status=0), 0),
        ("export", failed(1), 1),
        ("export", failed(75), 75),
        ("export", failed(125), 125),
        ("export", failed(126), 1),
        ("export", failed(-9), 1),
        ("export", failed(None), 1),
        ("export", Outcome(State.TIMED_OUT, exit_status=-15), 1),
        ("export", Outcome(State.CANCELLED), 1),
        ("heartbeat", failed(75), 1),
    ],
    ids=lambda value: getattr(value, "state", value),
)
def test_following_a_run_ends_as_the_run_did_I12(call, house, job, outcome, code):
    with working(house.ledger, house.registry, lambda run: outcome if run.job_name == job else None):
        answer = call("run", job, "--wait")

    assert answer.code == code
    assert f"of {job} {outcome.state.words}" in answer.out


def test_what_a_run_logs_is_data_and_the_rest_is_talk(call, house):
    """The scheduler's own log is read, whatever else stands in it; S15."""
    log = SchedulerLog(house.settings.logs_dir / "scheduler.log", FakeClock())
    log.event("run.said", job="export", run=1, level="info", message="of an earlier time")

    def ending(run: Run) -> Outcome:
        if run.job_name == "export":
            log.event("run.said", job="export", run=run.id, level="info", message="40 orders", file="a.csv")
            log.event("run.said", job="export", run=run.id + 1, level="info", message="somebody else's")
            log.event("run.said", job="export", run=run.id, level="warning", message="the esc \x1b[31m")
            return Outcome(State.SUCCEEDED, output=Output("info: 40 orders file=a.csv\nprinted beside\n"))
        return Outcome(State.SUCCEEDED)

    with working(house.ledger, house.registry, ending):
        answer = call("run", "export", "--logs")
    log.close()

    lines = answer.out.splitlines()
    assert answer.code == 0
    assert lines[:2] == ["info: 40 orders file=a.csv", "warning: the esc U+001B[31m"]
    assert re.fullmatch(r"run \d+ of export succeeded.*", lines[2])
    assert lines[-3:] == ["", "output", "  printed beside"]
    assert "is queued" in answer.err


def test_a_line_told_while_the_run_went_on_is_not_told_again_whatever_its_fields_hold(call, house):
    log = SchedulerLog(house.settings.logs_dir / "scheduler.log", FakeClock())
    fields = {"file": None, "whole": True, "share": 0.5, "words": "two words", "level": "mine", "job": "its own"}

    def ending(run: Run) -> Outcome:
        if run.job_name != "export":
            return Outcome(State.SUCCEEDED)
        Teller(log).tell_said(Note(run, Heard((Said("info", "40 orders", fields),))))
        return Outcome(State.SUCCEEDED, output=Output(line_of("info", "40 orders", fields) + "\n"))

    with working(house.ledger, house.registry, ending):
        answer = call("run", "export", "--logs")
    log.close()

    assert answer.out.count("40 orders") == 1
    assert answer.out.startswith(
        "info: 40 orders file=None whole=True share=0.5 words=two words level=mine job=its own\n"
    )


def test_the_log_of_a_run_is_followed_with_what_it_prints_and_ends_with_the_run(house, spawn):
    begun = threading.Event()

    def ending(run: Run) -> Outcome | None:
        if run.job_name != "export":
            return Outcome(State.SUCCEEDED)
        begun.set()
        return None

    clock = SystemClock()
    log = SchedulerLog(house.settings.logs_dir / "scheduler.log", clock)
    with working(house.ledger, house.registry, ending) as lease:
        run, _ = house.ledger.request_run("export", clock.now())
        log.event("run.started", job="export", run=run.id, attempt=1)
        assert begun.wait(60)
        with house.ledger.leading(lease, clock.now()) as work:
            work.note_outputs({run.id: Output("tick 1\n")})
        process = spawn("logs", str(run.id), "-f")
        first = [process.stdout.readline() for _ in range(4)]
        with house.ledger.leading(lease, clock.now()) as work:
            work.finish(house.ledger.run(run.id), Outcome(State.SUCCEEDED, output=Output("tick 1\ntick 2\nlast")))
        rest, _ = process.communicate()
    log.close()

    assert b"run.started" in first[0]
    assert first[1:] == [b"\n", b"output\n", b"  tick 1\n"]
    assert rest == b"  tick 2\n  last\n"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        (["", "one\n", "one\nTWO and\n", "one\nTWO and\nha"], "one\nTWO and\nhalf\n"),
        (["same\n", "same\nsame\n", "same\nsame\nsame\n"], "same\nsame\nsame\nsame\n"),
        (["a\nb\n", "b\nc\n", "c\nd\n"], "a\nb\nc\nd\n"),  # only the newest part is kept meanwhile
        (["a\n", "x\ny\n"], "a\nlost\nx\ny\n"),
        ([], "all\nat\nonce\n"),
    ],
)
def test_what_a_run_prints_is_told_as_it_comes_and_nothing_of_it_twice_or_never(shown, left):
    lines: list[str] = []
    told = Told(lines.append)

    told("info: of its log")
    for text in shown:
        told.printed(Output(tail=text, dropped_bytes=0) if text else Output())
    lines += told.left_of(Output(left + "info: of its log\n")).text.splitlines()

    wanted = left.splitlines() if "lost" not in left else ["a", "x", "y"]
    assert lines == ["info: of its log", *wanted]


def test_what_a_run_prints_is_shown_while_it_goes_on(house, terminal):
    def ending(run: Run) -> Outcome | None:
        return None if run.job_name == "export" else Outcome(State.SUCCEEDED)

    clock = SystemClock()
    with working(house.ledger, house.registry, ending) as lease:
        screen = terminal("run", "export", "--logs")
        screen.wait_for(b"is running")
        run = house.ledger.runs(job_name="export", limit=1)[0]
        with house.ledger.leading(lease, clock.now()) as work:
            work.note_outputs({run.id: Output("row 1 of 2\n")})
        screen.wait_for(b"row 1 of 2")
        with house.ledger.leading(lease, clock.now()) as work:
            work.finish(house.ledger.run(run.id), Outcome(State.SUCCEEDED, output=Output("row 1 of 2\nrow 2 of 2\n")))
        screen.end()

    assert screen.seen.count(b"row 1 of 2") == 1
    assert screen.seen.count(b"row 2 of 2") == 1


def test_a_run_that_finds_nothing_to_do_is_no_failure(call, house):
    def ending(run: Run) -> Outcome:
        state, error = State.CANCELLED, f"{SKIPPED}no orders today"
        return Outcome(state, error=error) if run.job_name == "export" else Outcome(State.SUCCEEDED)

    with working(house.ledger, house.registry, ending):
        answer = call("run", "export", "--wait")

    assert answer.code == 0
    assert "note: skipped by the job: no orders today" in answer.err
    assert "error" not in answer.err


@pytest.mark.parametrize(("result", "shown"), [(7, "7"), ([1, "a"], '[1, "a"]'), ("text", '"text"'), (False, "false")])
def test_what_a_run_returns_is_shown_whatever_it_is(call, house, result, shown):
    with working(house.ledger, house.registry, lambda _run: Outcome(State.SUCCEEDED, result=result)):
        answer = call("run", "export", "--wait")

    assert f"result  {shown}" in answer.out


def test_without_a_terminal_every_step_of_progress_is_a_line(house, capsys):
    steps = [
        Progress(NOW, 20, 80, "orders"),
        Progress(NOW, 20, 80, "orders"),
        Progress(NOW, 80, 80),
        Progress(NOW, 81.5),
    ]
    run, _ = house.ledger.request_run("export", NOW)
    lease = house.ledger.take_lease("boot:1:1", "host", "rev", NOW)
    with house.ledger.leading(lease, NOW) as work:
        work.start_ready(Limits(5))

    def rest(_seconds: float) -> None:
        with house.ledger.leading(lease, NOW) as work:
            if steps:
                work.note_progress({run.id: steps.pop(0)})
            else:
                work.finish(house.ledger.run(run.id), Outcome(State.SUCCEEDED))

    ended = follow(house.ledger, house.ledger.run(run.id), None, FakeClock(), rest)

    assert ended.state is State.SUCCEEDED
    assert capsys.readouterr() == ("", "  20 of 80 (25%), orders\n  80 of 80 (100%)\n  81.5\n")


def test_with_json_standard_output_is_the_document_alone(call, house):
    with working(house.ledger, house.registry, lambda _run: Outcome(State.SUCCEEDED)):
        answer = call("run", "export", "--logs", "--json")

    assert json.loads(answer.out)["run"]["state"] == "succeeded"
    assert "is queued" in answer.err


@pytest.mark.process
def test_a_bar_shows_how_far_a_run_is_and_is_gone_at_the_end(house, terminal):
    def ending(run: Run) -> Outcome | None:
        return None if run.job_name == "export" else Outcome(State.SUCCEEDED)

    clock = SystemClock()
    with working(house.ledger, house.registry, ending) as lease:
        screen = terminal("run", "export", "--logs", talk_only=True)
        screen.wait_for(b"is running")
        run = house.ledger.runs(job_name="export", limit=1)[0]
        with house.ledger.leading(lease, clock.now()) as work:
            work.note_progress({run.id: Progress(clock.now(), 20, 80, "orders \x1b[31m")})
        log = SchedulerLog(house.settings.logs_dir / "scheduler.log", clock)
        log.event("run.said", job="export", run=run.id, level="info", message="one line of data")
        log.close()
        screen.wait_for(b"25%")
        with house.ledger.leading(lease, clock.now()) as work:
            work.finish(house.ledger.run(run.id), Outcome(State.SUCCEEDED))
        code = screen.end()

    data = screen.process.stdout.read()
    assert code == 0
    assert b"orders U+001B[31m" in screen.seen
    assert b"\x1b" not in data
    assert data.startswith(b"info: one line of data\nrun ")
    assert b"of export succeeded" in data
    assert b"one line of data" not in screen.seen


@pytest.mark.process
@pytest.mark.parametrize("bare", [{"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=["dumb", "no colour"])
def test_a_terminal_without_colours_or_cursor_gets_neither(house, terminal, bare):
    screen = terminal("run", "export", "--wait", "--timeout", "1", env=bare, talk_only=True, width=20)

    assert screen.end() == 1
    assert b"is still queued" in screen.seen
    assert b"Traceback" not in screen.seen
    assert b"\x1b[3" not in screen.seen
    if bare.get("TERM") == "dumb":
        assert b"\x1b" not in screen.seen


@pytest.mark.process
def test_ctrl_c_says_that_the_run_goes_on_and_how_to_stop_it(house, terminal):
    screen = terminal("run", "export", "--wait")
    screen.wait_for(b"waiting for a scheduler")

    screen.interrupt()

    assert screen.end() == 130
    run = house.ledger.runs(job_name="export", limit=1)[0]
    assert run.is_open
    assert f"run {run.id} goes on; stop it with `echopilot cancel {run.id}`".encode() in screen.seen
    assert b"Traceback" not in screen.seen
