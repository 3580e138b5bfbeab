"""Health says what is so, to strangers one word a check (I26)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from echopilot_jobs.disk import FLOOR, free_bytes
from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.refusing import note_refusal
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.web.health import disk

from .conftest import KEY, Browser, Stack, Table
from .test_pages import seen


def asked(client: FlaskClient) -> tuple[int, dict[str, Any]]:
    answer = client.get("/health")
    assert answer.json is not None
    return answer.status_code, answer.json


def test_all_well_is_green(client: FlaskClient) -> None:
    status, found = asked(client)

    assert status == 200
    assert found == {
        "ok": True,
        "status": "green",
        "checks": {
            "ledger": "ok",
            "scheduler": "ok",
            "supervisor": "ok",
            "program scheduler": "running",
            "program web": "running",
            "disk": "ok",
            "jobs_file": "ok",
        },
    }


def test_details_are_for_those_who_signed_in(client: FlaskClient, api: FlaskClient) -> None:
    stranger, operator = asked(client)[1], asked(api)[1]

    assert "details" not in stranger
    assert operator["details"]["scheduler"]["what"] == "beat 0 ms ago, term 1"
    assert operator["details"]["disk"]["what"].endswith("free")


def test_a_beat_older_than_three_beats_is_red(client: FlaskClient, clock: FakeClock, stack: Stack) -> None:
    clock.sleep(15)
    just = asked(client)
    clock.sleep(1.1)
    late = asked(client)
    stack.beat()
    clock.sleep(1.1)
    again = asked(client)

    assert just[0] == 200
    assert (late[0], late[1]["status"], late[1]["checks"]["scheduler"]) == (503, "red", "stale")
    assert again[0] == 200


def test_an_ended_scheduler_is_red_at_once(client: FlaskClient, clock: FakeClock, stack: Stack) -> None:
    stack.ledger.end_stint(stack.lease, "stopped", clock.now())

    assert asked(client)[1]["checks"]["scheduler"] == "ended"


@pytest.mark.parametrize("how", ["stopped", "orphaned"])
def test_a_scheduler_that_is_started_again_is_no_alarm_in_its_first_minute(
    api: FlaskClient, clock: FakeClock, stack: Stack, table: Table, how: str
) -> None:
    clock.sleep(0.4)  # supervisord tells the start of a program in whole seconds
    stack.ledger.end_stint(stack.lease, how, clock.now())
    stopping = asked(api)[1]["checks"]["scheduler"]
    started_at = clock.now().replace(microsecond=0)
    table.programs_now = [replace(table.program("scheduler", "STARTING"), started_at=started_at), table.program("web")]
    clock.sleep(2)

    green = asked(api)
    clock.sleep(60)
    red = asked(api)
    stack.lead()
    clock.sleep(1)

    assert stopping == "ended"
    assert (green[0], green[1]["checks"]["scheduler"]) == (200, "starting")
    assert green[1]["details"]["scheduler"]["level"] == "warn"
    assert (red[0], red[1]["checks"]["scheduler"]) == (503, "ended")
    assert asked(api)[1]["checks"]["scheduler"] == "ok"


def test_the_end_of_a_scheduler_is_told_in_words(api: FlaskClient, clock: FakeClock, stack: Stack) -> None:
    stack.ledger.end_stint(stack.lease, "orphaned", clock.now())

    what = asked(api)[1]["details"]["scheduler"]["what"]

    assert what == ("the scheduler has ended and no other one leads: supervisord died, and the scheduler ended with it")


def test_the_first_scheduler_is_no_alarm_while_it_starts(make_app: Callable[..., Flask], table: Table) -> None:
    table.programs_now = [table.program("scheduler", age_s=4), table.program("web", age_s=4)]

    status, found = asked(make_app().test_client())

    assert (status, found["checks"]["scheduler"]) == (200, "starting")


def test_no_scheduler_ever_is_red(make_app: Callable[..., Flask]) -> None:
    status, found = asked(make_app().test_client())

    assert (status, found["checks"]["scheduler"]) == (503, "never started")


def test_a_clock_set_back_is_red_until_the_next_beat(client: FlaskClient, clock: FakeClock, stack: Stack) -> None:
    """F35"""
    clock.step(-3600)
    before = asked(client)
    stack.beat()
    clock.sleep(2)

    assert before[1]["checks"]["scheduler"] == "clock"
    assert asked(client)[0] == 200


def test_a_ledger_that_cannot_be_written_is_red(
    client: FlaskClient, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F24"""

    def full() -> None:
        raise LedgerUnavailable("the ledger cannot be written: database or disk is full")

    monkeypatch.setattr(ledger, "ping", full)

    status, found = asked(client)

    assert (status, found["checks"]["ledger"], found["checks"]["scheduler"]) == (503, "not writable", "ok")


def test_no_ledger_is_red(make_app: Callable[..., Flask]) -> None:
    status, found = asked(make_app(ledger=None).test_client())

    assert (status, found["checks"]["ledger"], found["checks"]["scheduler"]) == (503, "unavailable", "unknown")


@pytest.mark.parametrize(("free", "green"), [(FLOOR - 1, False), (0, False), (FLOOR, True)])
def test_a_disk_below_the_floor_is_red(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, free: int, green: bool
) -> None:
    monkeypatch.setattr("echopilot_jobs.web.services.free_bytes", lambda _folders: free)

    status, found = asked(client)

    assert found["ok"] is green
    assert status == (200 if green else 503)


def test_folders_that_may_not_be_entered_are_red_and_no_bug_I26(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refuse)

    assert free_bytes([tmp_path]) is None
    assert disk(None).level == "fail"


def test_a_full_disk_is_not_called_nearly_full() -> None:
    full, nearly = disk(0), disk(40_000_000)

    assert (full.level, full.word) == ("fail", "full")
    assert full.what.startswith("no room is left: 0 ")
    assert (nearly.level, nearly.word) == ("fail", "nearly full")


@pytest.mark.parametrize(
    ("state", "age_s", "green"),
    [
        ("RUNNING", 5, True),
        ("STARTING", 5, True),
        ("STARTING", 61, False),
        ("BACKOFF", 5, False),
        ("FATAL", 5, False),
        ("EXITED", 5, False),
        ("STOPPED", 5, False),
        ("STOPPING", 5, False),
        ("UNKNOWN", 5, False),
    ],
)
def test_a_program_that_is_not_up_is_red_with_its_reason(
    api: FlaskClient, table: Table, state: str, age_s: float, green: bool
) -> None:
    """I27"""
    table.programs_now = [table.program("scheduler", state, age_s), table.program("web")]

    status, found = asked(api)

    assert found["ok"] is green
    assert status == (200 if green else 503)
    if state == "STOPPED":
        assert "stopped by an operator" in found["details"]["program scheduler"]["what"]
    if not green:
        assert "supervisorctl start scheduler" in found["details"]["program scheduler"]["do"]


def test_an_unreachable_supervisord_is_a_warning_not_an_alarm(api: FlaskClient, table: Table) -> None:
    table.programs_now = None

    status, found = asked(api)

    assert (status, found["checks"]["supervisor"]) == (200, "unreachable")
    assert found["details"]["supervisor"]["level"] == "warn"


def test_a_supervisord_that_lives_and_cannot_be_reached_is_red_with_its_remedy_once_I26(
    api: FlaskClient, browser: Browser, table: Table
) -> None:
    """Whether its programs are well nobody knows, and it does not pass by itself."""
    table.lost = True

    status, found = asked(api)
    text = seen(browser.client.get("/").text)

    detail = found["details"]["supervisor"]
    assert (status, found["checks"]["supervisor"], detail["level"]) == (503, "unreachable", "fail")
    assert detail["what"].endswith("lives (pid 70): nobody can steer it")
    assert detail["do"] == "end it with `bin/stack stop`, then start the stack with `bin/stack`"
    assert text.count("bin/stack stop") == 1
    assert "Do: end it with bin/stack stop, then start the stack with bin/stack" in text


def test_probes_read_the_ledger_at_most_once_a_second(
    client: FlaskClient, ledger: MemoryLedger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks: list[int] = []
    real = ledger.ping
    monkeypatch.setattr(ledger, "ping", lambda: (asks.append(1), real()))

    for _ in range(50):
        client.get("/health")
    clock.sleep(1)
    client.get("/health")

    assert len(asks) == 2


def test_readyz_is_ready_when_the_ledger_can_be_read(client: FlaskClient) -> None:
    assert client.get("/readyz").json == {"ok": True}


def test_a_wrong_key_learns_no_details(client: FlaskClient) -> None:
    answer = client.get("/health", headers={"X-Dash-Key": KEY[::-1]})

    assert answer.status_code == 401
    assert "checks" not in answer.text


def test_a_ledger_that_no_scheduler_will_lead_is_red_and_says_how_to_go_on_F19(
    api: FlaskClient, stack: Stack, settings: Settings
) -> None:
    settings.var_dir.mkdir(exist_ok=True)
    note_refusal(settings.ledger_path, "an older copy of the ledger; stop the stack, then …")
    red = asked(api)
    note_refusal(settings.ledger_path, None)

    assert (red[0], red[1]["checks"]["ledger"]) == (503, "refused")
    assert red[1]["details"]["ledger"]["what"].startswith("an older copy")
