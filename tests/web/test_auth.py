"""Sessions, one-time links and the count of failures."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.web.auth import Door, Doorkeeper, SessionsUnavailable, new_login_link

from .conftest import KEY

ZERO = timedelta(0)


@pytest.mark.parametrize(
    "wrong", [b"", b"1", KEY.encode()[:-1], KEY.encode() + b"x", b"\xff" * 10, b"k" * 10_240, KEY.upper().encode()]
)
def test_only_the_key_itself_fits(front_door: Door, wrong: bytes) -> None:
    """S3"""
    assert front_door.key_fits(KEY.encode())
    assert not front_door.key_fits(wrong)


def test_a_session_lives_until_it_is_idle_for_eight_hours(front_door: Door, clock: FakeClock) -> None:
    """S6"""
    ticket = front_door.begin_session(clock.now()).ticket

    clock.sleep(7 * 3600)
    assert front_door.session(ticket, clock.now())
    clock.sleep(7 * 3600)
    assert front_door.session(ticket, clock.now())
    clock.sleep(8 * 3600)
    assert front_door.session(ticket, clock.now()) is None


def test_a_session_ends_after_seven_days_however_busy(front_door: Door, clock: FakeClock) -> None:
    """S6"""
    ticket = front_door.begin_session(clock.now()).ticket

    for _ in range(27):
        clock.sleep(6 * 3600)
        assert front_door.session(ticket, clock.now())
    clock.sleep(6 * 3600)

    assert front_door.session(ticket, clock.now()) is None


def test_signing_out_kills_the_session_on_the_server(front_door: Door, clock: FakeClock) -> None:
    """S6"""
    ticket = front_door.begin_session(clock.now()).ticket

    front_door.end_session(ticket)

    assert front_door.session(ticket, clock.now()) is None


def test_a_changed_key_kills_every_session_and_link(home: Settings, front_door: Door, clock: FakeClock) -> None:
    """S6"""
    ticket, token = front_door.begin_session(clock.now()).ticket, front_door.new_link(clock.now())

    changed = Door(home.var_dir / "web.sqlite3", KEY + "-new")

    assert changed.session(ticket, clock.now()) is None
    assert not changed.use_link(token, clock.now())


def test_two_sessions_share_nothing(front_door: Door, clock: FakeClock) -> None:
    """S4"""
    one, two = front_door.begin_session(clock.now()), front_door.begin_session(clock.now())

    assert len({one.ticket, two.ticket, one.form_token, two.form_token, one.name, two.name}) == 6
    assert KEY not in one.ticket + one.form_token + one.name


def test_the_file_holds_no_ticket_no_token_and_no_key_and_is_private(
    home: Settings, front_door: Door, clock: FakeClock
) -> None:
    """S4, S27, I29"""
    session, token = front_door.begin_session(clock.now()), front_door.new_link(clock.now())
    front_door.failed("203.0.113.9", clock.now())

    path = home.var_dir / "web.sqlite3"
    with sqlite3.connect(path) as db:
        held = "\n".join(db.iterdump())
    db.close()

    assert not [secret for secret in (session.ticket, session.form_token, token, KEY, "203.0.113.9") if secret in held]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_lets_exactly_one_of_twenty_in(home: Settings, clock: FakeClock) -> None:
    link = new_login_link(home, clock.now())
    token = link.removeprefix("/login?token=")
    doors = [Door(home.var_dir / "web.sqlite3", KEY) for _ in range(20)]

    with ThreadPoolExecutor(20) as pool:
        let_in = list(pool.map(lambda one: one.use_link(token, clock.now()), doors))

    assert sum(let_in) == 1


def test_a_link_is_worth_nothing_after_fifteen_minutes(front_door: Door, clock: FakeClock) -> None:
    token = front_door.new_link(clock.now())

    clock.sleep(15 * 60)

    assert not front_door.use_link(token, clock.now())


@pytest.mark.parametrize("token", ["", "x", "x" * 22, "é" * 22, "' or 1=1 --", "\x00" * 22, "\ud800" * 22])
def test_what_is_no_token_opens_nothing(front_door: Door, clock: FakeClock, token: str) -> None:
    front_door.new_link(clock.now())

    assert not front_door.use_link(token, clock.now())
    assert front_door.session(token, clock.now()) is None


def test_five_failures_a_minute_make_a_client_wait_and_the_wait_doubles(front_door: Door, clock: FakeClock) -> None:
    """S7"""
    waits = []
    for _ in range(6):
        for _ in range(5):
            assert front_door.wait_for("a", clock.now()) == ZERO
            front_door.failed("a", clock.now())
        waits.append(front_door.wait_for("a", clock.now()))
        clock.sleep(waits[-1].total_seconds())

    assert [wait.total_seconds() / 60 for wait in waits] == [1, 2, 4, 8, 15, 15]
    assert front_door.wait_for("b", clock.now()) == ZERO


def test_four_failures_a_minute_never_make_anybody_wait(front_door: Door, clock: FakeClock) -> None:
    """S7"""
    for _ in range(20):
        front_door.failed("a", clock.now())
        clock.sleep(16)

    assert front_door.wait_for("a", clock.now()) == ZERO


def test_a_flood_from_everywhere_shrinks_the_share_but_locks_no_newcomer_out(
    front_door: Door, clock: FakeClock
) -> None:
    """S7"""
    for number in range(101):
        front_door.failed(f"bot {number}", clock.now())

    assert front_door.wait_for("bot 100", clock.now()) == timedelta(minutes=1)
    assert front_door.wait_for("the operator", clock.now()) == ZERO


def test_failures_are_counted_across_processes(home: Settings, front_door: Door, clock: FakeClock) -> None:
    """S7"""
    for _ in range(5):
        Door(home.var_dir / "web.sqlite3", KEY).failed("a", clock.now())

    assert front_door.wait_for("a", clock.now()) == timedelta(minutes=1)


def test_a_clock_set_back_by_years_keeps_nobody_waiting_longer_than_the_limit(
    front_door: Door, clock: FakeClock
) -> None:
    """S7, F35"""
    for _ in range(5):
        front_door.failed("a", clock.now())

    clock.step(-10 * 365 * 86_400)

    assert front_door.wait_for("a", clock.now()) <= timedelta(minutes=15)


def test_the_right_key_forgives(front_door: Door, clock: FakeClock) -> None:
    for _ in range(4):
        front_door.failed("a", clock.now())

    front_door.forgive("a")
    front_door.failed("a", clock.now())

    assert front_door.wait_for("a", clock.now()) == ZERO


def test_a_damaged_file_costs_the_sessions_and_nothing_else(home: Settings, front_door: Door, clock: FakeClock) -> None:
    ticket = front_door.begin_session(clock.now()).ticket

    (home.var_dir / "web.sqlite3").write_bytes(b"this is no database " * 400)

    assert front_door.session(ticket, clock.now()) is None
    assert front_door.session(front_door.begin_session(clock.now()).ticket, clock.now())


def test_a_deleted_file_comes_back(home: Settings, front_door: Door, clock: FakeClock) -> None:
    front_door.begin_session(clock.now())

    (home.var_dir / "web.sqlite3").unlink()

    assert front_door.session(front_door.begin_session(clock.now()).ticket, clock.now())


def test_a_missing_folder_is_said_in_words(home: Settings, clock: FakeClock) -> None:
    nowhere = Door(home.var_dir / "gone" / "web.sqlite3", KEY)

    with pytest.raises(SessionsUnavailable, match="owner of `var/`"):
        nowhere.begin_session(clock.now())
    assert nowhere.wait_for("a", clock.now()) == ZERO
    nowhere.failed("a", clock.now())


def test_the_link_of_a_generated_key_works_too(home: Settings, clock: FakeClock) -> None:
    keyless = replace(home, dashboard_key=None)

    link = new_login_link(keyless, clock.now())

    assert link.startswith("/login?token=")
    assert (home.var_dir / "dashboard_key").exists()


def test_a_key_file_that_is_made_anew_counts_from_the_next_request_on_S6(home: Settings, clock: FakeClock) -> None:
    """Deleted to change the key, or with all of `var/`: the scheduler reads it anew as well."""
    keyless = replace(home, dashboard_key=None)
    keeper, file = Doorkeeper(keyless), home.var_dir / "dashboard_key"
    first = file.read_text().strip().encode()
    ticket = keeper.now().begin_session(clock.now()).ticket

    file.unlink()
    keeper.now()
    second = file.read_text().strip().encode()
    doors = [keeper.now(), Doorkeeper(keyless).now()]
    file.write_text("a-key-of-one's-own-1234567890\n")
    third = keeper.now()
    file.write_text("short\n")
    same = keeper.now()
    session = doors[0].session(ticket, clock.now())
    shutil.rmtree(home.var_dir)

    assert first != second
    assert all(door.key_fits(second) and not door.key_fits(first) for door in doors)
    assert session is None
    assert third.key_fits(b"a-key-of-one's-own-1234567890")
    assert same is third
    assert keeper.now() is third
    assert not home.var_dir.exists()


@pytest.mark.process
def test_the_launcher_makes_a_link_without_importing_flask() -> None:
    code = "import sys; from echopilot_jobs.web.auth import new_login_link; sys.exit('flask' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
