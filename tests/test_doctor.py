"""The doctor finds what is wrong, says what to do about it, and changes nothing."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from daykit import live

from echopilot_jobs import doctor
from echopilot_jobs.builtin import jobs
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.doctor import FAIL, OK, WARN, Finding, Place, examine, files, leavings, machine, running
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.processes import this_process
from echopilot_jobs.settings import Settings
from echopilot_jobs.supervision import Program
from echopilot_jobs.testing import FakeClock

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def place(settings: Settings, now: datetime = NOW, **environment: str) -> Place:
    return Place(settings, now, environment)


def named(findings: list[Finding], name: str) -> list[Finding]:
    return [finding for finding in findings if finding.name == name]


def test_every_check_speaks_and_every_trouble_has_a_fix(settings):
    findings = examine(NOW, {})

    assert {finding.name for finding in findings} == {name for name, _ in doctor.CHECKS}
    assert all(finding.fix for finding in findings if finding.state != OK)
    assert all(finding.finding and "\n" not in finding.finding for finding in findings)


def test_an_examination_leaves_everything_as_it_was(settings):
    settings.var_dir.mkdir(mode=0o700)
    settings.logs_dir.mkdir()
    ledger = SqliteLedger(settings.ledger_path)
    ledger.close()
    before = sorted(path.relative_to(settings.home) for path in settings.home.rglob("*"))

    examine(NOW, {})

    assert sorted(path.relative_to(settings.home) for path in settings.home.rglob("*")) == before


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(settings):
    def broken(_place: Place) -> list[Finding]:
        raise RuntimeError("a strange machine")

    found = doctor._findings("mine", broken, place(settings))

    assert [(each.name, each.state) for each in found] == [("mine", WARN)]
    assert "RuntimeError: a strange machine" in found[0].finding


def test_broken_settings_are_findings_not_the_end(monkeypatch, settings):
    monkeypatch.setenv("PORT", "abc")
    monkeypatch.setenv("DASHBOARD_KEY", "swordfish")

    findings = examine(NOW, {})

    assert {each.finding.partition(":")[0] for each in named(findings, "settings")} == {"PORT", "DASHBOARD_KEY"}
    assert all(each.state == FAIL for each in named(findings, "settings"))
    assert named(findings, "folders")[0].finding.startswith(f"'{settings.home}")
    assert "swordfish" not in str(findings)


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), FAIL),
        (datetime(2025, 12, 31, tzinfo=UTC), FAIL),
        (NOW, OK),
        (datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC), OK),
        (datetime(9999, 12, 31, tzinfo=UTC), FAIL),
    ],
)
def test_a_clock_that_cannot_be_right_is_said(settings, now, state):
    """F34, F37."""
    assert [each.state for each in machine.clock(place(settings, now))] == [state]


@pytest.mark.parametrize(
    ("environment", "marks", "where"),
    [
        ({"REPL_ID": "x"}, (), "replit workspace"),
        ({"REPL_ID": "x", "REPLIT_DEPLOYMENT": "1"}, ("/",), "replit deployment"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, (), "container"),
        ({"container": "podman"}, (), "container"),
        ({}, ("/",), "container"),
        ({}, ("/no/such/mark",), "machine"),
    ],
)
def test_where_we_run_is_told(environment, marks, where):
    assert machine.whereabouts(environment, marks) == where


def test_what_a_place_means_for_the_ledger_is_told(settings):
    said = [next(iter(machine.place(place(settings, **env)))) for env in ({"REPL_ID": "x"}, {"container": "x"})]

    assert "sleeps some time after the tab is closed" in said[0].finding
    assert "the ledger lives as long as the volume" in said[1].finding


def test_a_folder_that_cannot_be_written_names_path_and_account(settings):
    """F23: a file stands where the folder should be, which stops even root."""
    settings.logs_dir.write_text("in the way")

    found = [each for each in files.folders(place(settings)) if each.state == FAIL]

    assert len(found) == 1
    assert f"'{settings.logs_dir}' cannot be written" in found[0].finding
    assert f"uid {os.geteuid()}" in (found[0].fix or "")


def test_a_home_that_does_not_exist_is_not_made_by_the_next_start(settings):
    (found,) = files.folders(place(replace(settings, home=settings.home / "nowhere")))

    assert (found.state, found.fix) == (FAIL, "set it to the one that holds `var/`, or unset it")
    assert found.finding == f"the folder '{settings.home}/nowhere', which ECHOPILOT_HOME names, does not exist"


def test_a_state_folder_open_to_others_is_a_warning(settings):
    """S27."""
    settings.var_dir.mkdir()
    settings.var_dir.chmod(0o755)
    settings.logs_dir.mkdir()

    found = [each for each in files.folders(place(settings)) if each.state == WARN]

    assert [each.fix for each in found] == [f"run `chmod 700 '{settings.var_dir}'`"]


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / {home}/nfs rw - nfs4 server:/x rw
31 22 0:27 / {home}/with\\040space rw - 9p share rw
32 22 0:28 / {home}/twice rw - tmpfs tmpfs rw
33 22 0:29 / {home}/twice rw - xfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("nfs/deep/er", "nfs4"), ("nfsx", "ext4"), ("with space/x", "9p"), ("twice", "xfs"), ("", "ext4")],
)
def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(tmp_path, folder, kind):
    """F22."""
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS.format(home=tmp_path))

    assert files.file_system_of(tmp_path / folder, table) == kind


def test_a_machine_without_a_mount_table_has_an_unknown_file_system(tmp_path):
    assert files.file_system_of(tmp_path, tmp_path / "none") == "unknown"


@pytest.mark.process
def test_locks_are_tried_with_two_real_processes(tmp_path):
    """F22."""
    assert files.locks_hold(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_ledger_is_a_failure_and_stays_untouched(settings):
    """F21, I10."""
    settings.var_dir.mkdir(mode=0o700)
    settings.ledger_path.write_bytes(b"not a ledger at all " * 500)

    found = list(files.ledger(place(settings)))

    assert found[0].state == FAIL
    assert "damaged or no ledger" in found[0].finding
    assert settings.ledger_path.read_bytes() == b"not a ledger at all " * 500


@pytest.fixture
def lived(settings: Settings) -> FakeClock:
    """A ledger whose scheduler beat last at the clock's now and was killed."""
    settings.var_dir.mkdir(mode=0o700)
    ledger, clock = SqliteLedger(settings.ledger_path), FakeClock(NOW)
    live(ledger, jobs(settings), clock, NOW, step=0.001, stop=None, ending=lambda _run: None)
    ledger.request_run("heartbeat", NOW)
    ledger.close()
    return clock


def test_the_age_of_the_beat_is_judged(settings, lived):
    """I26."""
    states = {
        seconds: next(iter(running.scheduler(place(settings, NOW + timedelta(seconds=seconds))))).state
        for seconds in (0, 14, 16, 3600)
    }

    assert states == {0: OK, 14: OK, 16: FAIL, 3600: FAIL}


def test_a_beat_from_the_future_accuses_the_clock(settings, lived):
    """F37."""
    found = list(files.ledger(place(settings, NOW - timedelta(hours=1))))

    assert [each.state for each in found] == [OK, FAIL]
    assert "in the future" in found[1].finding


def test_a_scheduler_whose_beat_lies_in_the_future_is_not_called_alive_I26(settings, lived):
    """Frozen, and the clock went back: nothing tells that it has beaten a moment ago."""
    (found,) = running.scheduler(place(settings, NOW - timedelta(hours=1)))

    assert found.state == FAIL
    assert found.finding == "the scheduler's last beat lies 1 h in the future: the clock was set back"


def test_a_stopped_scheduler_is_a_warning_because_nothing_is_planned(settings):
    settings.var_dir.mkdir(mode=0o700)
    ledger = SqliteLedger(settings.ledger_path)
    live(ledger, jobs(settings), FakeClock(NOW), NOW)
    ledger.close()

    assert [each.state for each in running.scheduler(place(settings))] == [WARN]


def test_a_lock_file_is_judged_by_who_holds_it(settings):
    """F44: and looking never takes it, or a start at that moment would be refused."""
    import fcntl

    settings.var_dir.mkdir(mode=0o700)
    (settings.var_dir / "idle.lock").touch()
    with (settings.var_dir / "scheduler.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        words = next(iter(leavings.locks(place(settings)))).finding

    assert words == f"idle.lock is free; scheduler.lock is held by pid {os.getpid()}"


def test_a_pid_file_of_a_dead_process_is_a_warning(settings):
    settings.var_dir.mkdir(mode=0o700)
    (settings.var_dir / "supervisord.pid").write_text("4194305\n")  # beyond the largest pid there can be

    found = list(leavings.locks(place(settings)))

    assert [each.state for each in found] == [OK, WARN]


def test_a_scheduler_beside_the_stacks_own_is_named(settings, monkeypatch):
    settings.var_dir.mkdir(mode=0o700)
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        ledger.take_lease(str(this_process()), "host", "rev", SystemClock().now())
    own = Program("scheduler", "RUNNING", 2**22 + 7, None, None, "")
    monkeypatch.setattr(running, "_programs", lambda _place: [own])

    beside, beat = running.scheduler(place(settings, SystemClock().now()))

    assert (beside.state, beat.state) == (WARN, OK)
    assert beside.finding.startswith(f"pid {os.getpid()} leads, which the stack did not start; ")
    assert f"`kill {os.getpid()}`" in (beside.fix or "")


@pytest.mark.parametrize(
    ("environment", "said"), [({}, ", which is the default: PORT is not set in this shell"), ({"PORT": "5041"}, "")]
)
def test_a_free_port_says_whether_anybody_chose_it(settings, monkeypatch, environment, said):
    """A stack that was stopped may have had another one, of which nothing here tells."""
    monkeypatch.setattr(running, "_bind_error", lambda _number: None)

    (found,) = running.port(place(settings, **environment))

    assert found.finding == f"port {settings.port} is free{said}"


def test_a_taken_port_names_its_holder(settings, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        busy = replace(settings, port=number)

        found = list(running.port(place(busy)))

    assert [each.state for each in found] == [FAIL]
    assert f"port {number} is taken by pid {os.getpid()} (" in found[0].finding


@pytest.mark.parametrize(("port", "warned"), [(5999, False), (6000, True), (6665, True), (6670, False), (10080, True)])
def test_a_port_that_browsers_refuse_to_open_is_a_warning(settings, port, warned):
    found = list(running.port(place(replace(settings, port=port))))

    said = [each for each in found if each.state == WARN]
    assert [each.finding for each in said] == ([f"browsers refuse to open port {port}"] if warned else [])
    assert all(each.fix == "choose another one with PORT, for example 5000" for each in said)


def test_a_socket_nobody_answers_on_is_a_failure(settings):
    settings.var_dir.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(settings.supervisor_socket))

    found = list(running.supervisor(place(settings)))

    assert found[-1].state == FAIL
    assert "left by a supervisord that is gone" in found[-1].finding


def test_a_socket_path_that_is_too_long_is_told_before_it_hurts(settings, tmp_path):
    deep = replace(settings, home=tmp_path / ("d" * 120))

    found = list(running.supervisor(place(deep)))

    assert found[0].state == WARN
    assert "more than 98" in found[0].finding


def test_the_key_is_judged_and_never_shown(settings, monkeypatch):
    """S1, S29: its length is all that is told."""
    secret = "kZ8-swordfish-9PlmQ2"
    settings.var_dir.mkdir(mode=0o700)
    kept = settings.var_dir / "dashboard_key"
    said = []

    said += running.dashboard_key(place(settings))
    kept.write_text(secret)
    kept.chmod(0o644)
    said += running.dashboard_key(place(settings))
    kept.chmod(0o600)
    said += running.dashboard_key(place(settings))
    kept.write_text("short")
    said += running.dashboard_key(place(settings))

    assert [each.state for each in said] == [OK, WARN, OK, FAIL]
    assert secret not in str(said)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_findings_are_data(settings):
    found = Finding(FAIL, "it is so", "do this", "thing")

    said = {"name": "thing", "state": "fail", "finding": "it is so", "fix": "do this", "fixable": False}
    assert found.as_dict() == said
    assert doctor.worst([Finding(OK, "a"), Finding(WARN, "b"), Finding(OK, "c")]) == WARN
    assert doctor.worst([]) == OK


def test_the_real_machine_here_is_examined_without_breaking(settings):
    assert not [each for each in examine(SystemClock().now()) if "check itself failed" in each.finding]
