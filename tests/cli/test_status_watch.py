"""`echopilot status -w`: a live view in a screen of its own."""

from __future__ import annotations

import json
import threading

import pytest
from housekit import working

from echopilot_jobs.cli import out, watching
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.runs import Outcome, Progress, State

SCREEN, BACK, CLEAR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


@pytest.mark.process
@pytest.mark.parametrize("width", [20, 100])
def test_the_view_follows_a_run_and_leaves_the_terminal_as_it_was(house, terminal, width):
    clock, turn = SystemClock(), threading.Event()
    with working(
        house.ledger, house.registry, lambda run: None if run.job_name == "export" else Outcome(State.SUCCEEDED)
    ) as lease:
        screen = terminal("status", "-w", width=width)
        screen.wait_for(b"Ctrl-C ends")
        run, _ = house.ledger.request_run("export", clock.now())
        screen.wait_for(b"open runs")
        while house.ledger.run(run.id).state is not State.RUNNING:
            turn.wait(0.02)
        with house.ledger.leading(lease, clock.now()) as work:
            work.note_progress({run.id: Progress(clock.now(), 20, 80, "orders \x1b[31m")})
        screen.wait_for(b"25%")

        screen.interrupt()

        assert screen.end() == 130
    assert screen.seen.count(SCREEN) == screen.seen.count(BACK) == 1
    assert screen.seen.rstrip().endswith((BACK, CLEAR))
    assert b"Traceback" not in screen.seen
    assert b"\x1b[31mU" not in screen.seen


@pytest.mark.process
def test_without_colour_the_view_moves_the_cursor_and_no_more(house, terminal):
    screen = terminal("status", "--watch", env={"NO_COLOR": "1"})
    screen.wait_for(b"daily_report")

    screen.interrupt()

    assert screen.end() == 130
    assert b"\x1b[1m" not in screen.seen
    assert b"\x1b[32m" not in screen.seen


@pytest.mark.process
def test_a_terminal_that_cannot_move_its_cursor_is_refused(house, terminal):
    screen = terminal("status", "-w", env={"TERM": "dumb"})

    assert screen.end() == 2
    assert b"needs a terminal that can move its cursor, and TERM is 'dumb'; leave it out" in screen.seen
    assert b"\x1b" not in screen.seen


@pytest.mark.process
def test_the_end_of_the_process_gives_the_terminal_back_too(house, terminal):
    screen = terminal("status", "-w")
    screen.wait_for(b"daily_report")

    screen.process.terminate()

    assert screen.end() == 0
    assert BACK in screen.seen


def test_a_ledger_out_of_reach_for_a_while_is_shown_and_looked_at_again():
    def show() -> None:
        raise LedgerUnavailable("the ledger is locked")

    shown = watching.frame(show)

    assert "error: the ledger is locked; looking again" in shown


def test_what_is_shown_carries_nothing_that_acts_on_the_terminal():
    """S15: a frame holds our own colours alone."""
    shown = watching.frame(lambda: out.line("bad \x1b]52;c;aGk=\x07"))

    assert "bad U+001B]52;c;aGk=U+0007" in shown


def test_progress_of_running_runs_is_in_the_document(call, house):
    clock = SystemClock()
    run, _ = house.ledger.request_run("export", clock.now())
    with working(house.ledger, house.registry, lambda _run: None) as lease:
        with house.ledger.leading(lease, clock.now()) as work:
            work.note_progress({run.id: Progress(clock.now(), 3)})
        answer, told = call("status", "--json"), call("status")

    (found,) = [each for each in json.loads(answer.out)["status"]["open_runs"] if each["id"] == run.id]
    assert (found["progress"]["done"], found["progress"]["total"], found["progress"]["note"]) == (3, None, "")
    assert f"run {run.id} of export has been running for " in told.out
    assert "attempt 1: 3" in told.out
