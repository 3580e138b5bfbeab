"""`doctor --fix` does what is safe, twice without harm, and nothing to what is in use."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from echopilot_jobs import definitions, doctor, processes
from echopilot_jobs.cli import main
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.doctor.machine import deployment_target
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.settings import Settings

GOOD_KEY = "k9Xw2mQ7pLr4TzV8bN3c"


@pytest.fixture
def var(settings: Settings) -> Path:
    settings.var_dir.mkdir(mode=0o700, parents=True)
    settings.logs_dir.mkdir(mode=0o700)
    return settings.var_dir


def found(name: str, environment: dict[str, str] | None = None) -> list[doctor.Finding]:
    every = doctor.examine(SystemClock().now(), os.environ if environment is None else environment)
    return [each for each in every if each.name == name]


def open_folder(settings: Settings) -> Callable[[], bool]:
    settings.var_dir.chmod(0o755)
    return lambda: stat.S_IMODE(settings.var_dir.stat().st_mode) == 0o700


def open_key(settings: Settings) -> Callable[[], bool]:
    key = settings.var_dir / "dashboard_key"
    key.write_text(GOOD_KEY)
    key.chmod(0o644)
    return lambda: stat.S_IMODE(key.stat().st_mode) == 0o600


def open_jobs_file(settings: Settings) -> Callable[[], bool]:
    file = settings.home / "jobs.toml"
    file.write_text("")
    file.chmod(0o666)
    return lambda: stat.S_IMODE(file.stat().st_mode) == 0o644


def dead_pid_file(settings: Settings) -> Callable[[], bool]:
    file = settings.var_dir / "supervisord.pid"
    file.write_text("4194304\n")
    return lambda: not file.exists()


def half_a_file(settings: Settings) -> Callable[[], bool]:
    draft = settings.var_dir / ".jobs.accepted.json.draft"
    draft.write_text("{")
    return lambda: not draft.exists()


def deaf_socket(settings: Settings) -> Callable[[], bool]:
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(settings.supervisor_socket))
    return lambda: not settings.supervisor_socket.exists()


def no_logs(settings: Settings) -> Callable[[], bool]:
    settings.logs_dir.rmdir()
    (settings.var_dir / "stack.lock").touch()
    return lambda: stat.S_IMODE(settings.logs_dir.stat().st_mode) == 0o700


TROUBLES = [no_logs, open_folder, open_key, open_jobs_file, dead_pid_file, half_a_file, deaf_socket]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda each: each.__name__)
def test_what_is_safe_to_mend_is_mended_and_a_second_time_does_nothing_S27(
    settings: Settings, var: Path, capsys: pytest.CaptureFixture[str], trouble: Callable[[Settings], Callable[[], bool]]
) -> None:
    is_mended = trouble(settings)
    before = sum(each.mend is not None for each in doctor.examine(SystemClock().now()))

    main(["doctor"])
    told = capsys.readouterr().err
    main(["doctor", "--fix"])
    first = capsys.readouterr().err
    main(["doctor", "--fix"])
    second = capsys.readouterr().err

    assert before == 1
    assert "`echopilot doctor --fix` would mend 1 of these" in told
    assert is_mended()
    assert first.count("fixed: ") == 1
    assert second == "nothing here can be fixed by itself\n"


def test_the_fixes_are_data_too(settings: Settings, var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_key(settings)

    main(["doctor", "--fix", "--json"])

    said = json.loads(capsys.readouterr().out)["doctor"]
    assert [(each["name"], each["error"]) for each in said["fixed"]] == [("dashboard key", None)]
    assert not any(each["fixable"] for each in said["checks"])


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_nothing_of_a_stack_that_lives_is_touched(
    settings: Settings, var: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half_a_file(settings)
    deaf_socket(settings)
    SqliteLedger(settings.ledger_path).close()
    before = {file.name: file.lstat().st_mtime_ns for file in var.iterdir()}

    with held(var / "scheduler.lock"):
        main(["doctor", "--fix"])

    said = capsys.readouterr()
    assert "a stack lives here" in said.out
    assert said.err == "nothing here can be fixed by itself\n"
    assert {name: (var / name).lstat().st_mtime_ns for name in before} == before


def test_a_socket_somebody_listens_on_stays(settings: Settings, var: Path) -> None:
    with socket.socket(socket.AF_UNIX) as ear:
        ear.bind(str(settings.supervisor_socket))
        ear.listen()
        doctor.mend(found("leftovers"))

        assert settings.supervisor_socket.exists()


def test_a_mend_that_fails_is_a_line_and_the_others_go_on(settings: Settings, var: Path) -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted")

    done: list[str] = []
    findings = [
        doctor.Finding(doctor.WARN, "one", mend=refuse),
        doctor.Finding(doctor.WARN, "two", mend=lambda: done.append("two")),
        doctor.Finding(doctor.OK, "three", mend=lambda: done.append("three")),
    ]

    told = doctor.mend(findings)

    assert [(each.finding, why) for each, why in told] == [("one", "Operation not permitted"), ("two", None)]
    assert done == ["two"]


# -- the jobs file and what it asks for


def test_a_refused_jobs_file_is_a_failure_with_its_line_I28(settings: Settings, var: Path) -> None:
    (settings.home / "jobs.toml").write_text('[jobs.mine]\nevery = "6h"\ncommand = ["true"]\ntimout = "5m"\n')

    (first, *_) = found("jobs file")

    assert first.state == doctor.FAIL
    assert first.finding.startswith("jobs.toml:4:1: job 'mine': timout: no such key in a job; did you mean 'timeout'?")
    assert "correct it and save" in str(first.fix)


def test_secrets_are_said_to_be_there_by_length_and_never_shown_I29(settings: Settings, var: Path) -> None:
    (settings.home / "jobs.toml").write_text(
        '[jobs.mine]\nevery = "6h"\nhttp = { url = "https://example.com/x", headers = { X-Key = "${MY_TOKEN}" } }\n'
        '[jobs.other]\nevery = "6h"\ncommand = ["true"]\nenv = { A = "${OTHER_TOKEN}" }\n'
    )

    here = found("secrets", {"MY_TOKEN": "a-value-nobody-sees", "OTHER_TOKEN": "b" * 9})
    lacking = found("secrets", {"MY_TOKEN": "a-value-nobody-sees"})

    assert [each.finding for each in here] == ["set: MY_TOKEN (19 bytes), OTHER_TOKEN (9 bytes)"]
    assert [(each.state, each.finding) for each in lacking] == [
        (doctor.WARN, "OTHER_TOKEN, which 'other' asks for, is not set here")
    ]
    assert "nobody-sees" not in repr(here + lacking)


def test_a_secret_that_is_not_set_has_one_line_with_the_jobs_that_ask_for_it(settings: Settings, var: Path) -> None:
    job = '[jobs.{}]\nevery = "6h"\ncommand = ["true"]\nenv = {{ A = "${{MY_TOKEN}}", B = "${{MY_TOKEN}}" }}\n'
    (settings.home / "jobs.toml").write_text("".join(job.format(name) for name in "abcdefg"))

    (told,) = found("secrets", {})

    assert told.finding == "MY_TOKEN, which 'a', 'b', 'c', 'd', 'e' and 2 more ask for, is not set here"


MINE = '[jobs.mine]\nevery = "6h"\ncommand = ["true"]\nenv = { A = "${MY_TOKEN}" }\n'


@pytest.fixture
def scheduler(settings: Settings, var: Path) -> Iterator[Callable[[dict[str, str]], None]]:
    """Lets a process stand for a scheduler that judged `MINE` and lives, with an environment of its own."""
    with contextlib.ExitStack() as started:

        def live(environment: dict[str, str]) -> None:
            process = subprocess.Popen(["sleep", "600"], env={**environment, "PATH": os.defpath})
            started.callback(process.wait)
            started.callback(process.kill)
            (settings.home / "jobs.toml").write_text(MINE)
            definitions.begin(settings, SystemClock().now())
            (settings.var_dir / "scheduler.lock").write_text(str(processes.owner_of(process.pid)))

        yield live


@pytest.mark.process
def test_what_runs_are_given_is_what_the_living_scheduler_has_whatever_this_shell_has(
    settings: Settings, scheduler: Callable[[dict[str, str]], None]
) -> None:
    scheduler({"MY_TOKEN": "a-value-nobody-sees"})

    (line,) = found("secrets", {})

    assert (line.state, line.finding) == (
        doctor.OK,
        "set in the scheduler's environment: MY_TOKEN (19 bytes; not set in this shell, but the scheduler has it)",
    )


@pytest.mark.process
def test_settings_of_this_shell_that_are_not_those_of_the_stack_are_told_and_no_key_of_them(
    settings: Settings, scheduler: Callable[[dict[str, str]], None]
) -> None:
    usual = {"SCHED_BRIEF_UTC": "07:15", "SCHED_REPORT_UTC": "09:00"}
    scheduler({**usual, "PORT": "5001", "DASHBOARD_KEY": "a-key-nobody-sees-here"})

    (line,) = found("stack's settings", {"PORT": "5002", "SCHED_BRIEF_UTC": "07:15"})

    assert (line.state, "not those of the running stack" in line.finding) == (doctor.WARN, True)
    assert "PORT is '5001' there and '5002' here" in line.finding
    assert "DASHBOARD_KEY differs" in line.finding
    assert "SCHED_REPORT_UTC" not in line.finding  # the value it has anyway
    assert "nobody-sees" not in line.finding


@pytest.mark.process
def test_settings_that_are_as_the_stack_s_need_no_word(
    settings: Settings, scheduler: Callable[[dict[str, str]], None]
) -> None:
    scheduler({"SCHED_BRIEF_UTC": "07:15"})

    assert [each.finding for each in found("stack's settings", {"SCHED_BRIEF_UTC": "07:15"})] == [
        "the running stack has the same"
    ]


@pytest.mark.process
def test_what_only_this_shell_has_is_missing_while_a_scheduler_lives(
    settings: Settings, scheduler: Callable[[dict[str, str]], None]
) -> None:
    scheduler({})

    (line,) = found("secrets", {"MY_TOKEN": "a-value-nobody-sees"})

    assert (line.state, line.finding) == (
        doctor.WARN,
        "MY_TOKEN, which 'mine' asks for, is not set in the scheduler's environment; this shell has it",
    )


@pytest.mark.parametrize("environment", [{}, {"MY_TOKEN": "a-value-nobody-sees"}], ids=["missing", "set"])
def test_the_jobs_file_and_the_secrets_never_contradict_each_other(
    settings: Settings, var: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    (settings.home / "jobs.toml").write_text(MINE)
    definitions.begin(settings, SystemClock().now())  # judged by a scheduler that had no MY_TOKEN

    told = [each.finding for each in (*found("jobs file", environment), *found("secrets", environment))]

    assert sum("MY_TOKEN" in line for line in told) == 1
    assert any("is not set" in line for line in told) is not bool(environment)


# -- Replit


@pytest.mark.parametrize(
    ("target", "state", "words"),
    [
        ("vm", doctor.OK, "a Reserved VM"),
        ("gce", doctor.OK, "a Reserved VM"),
        ("autoscale", doctor.FAIL, "nothing runs between requests"),
        ("cloudrun", doctor.FAIL, "nothing runs between requests"),
        ("scheduled", doctor.FAIL, "nothing runs between requests"),
        ("static", doctor.FAIL, "nothing runs between requests"),
    ],
)
def test_the_target_of_a_replit_deployment_is_judged(
    settings: Settings, var: Path, target: str, state: str, words: str
) -> None:
    (settings.home / ".replit").write_text(f'run = ["x"]\n[deployment]\ndeploymentTarget = "{target}"\n')

    on_replit = found("place", {"REPL_ID": "x"})
    elsewhere = found("place", {})

    assert (on_replit[0].state, words in on_replit[0].finding) == (state, True)
    assert not any("deploys to" in each.finding for each in elsewhere)


@pytest.mark.parametrize("content", ["", "deployment = 3", "[deployment]\ndeploymentTarget = 7\n", "half = [", "\xff"])
def test_a_replit_file_that_says_nothing_of_it_is_no_trouble(tmp_path: Path, content: str) -> None:
    (tmp_path / ".replit").write_bytes(content.encode("latin-1"))

    assert deployment_target(tmp_path / ".replit") is None
    assert deployment_target(tmp_path / "missing") is None


def test_every_check_has_its_heading() -> None:
    named = [name for names in doctor.GROUPS.values() for name in names]

    assert sorted(named) == sorted(name for name, _ in doctor.CHECKS)


@pytest.mark.parametrize("width", ["80", "40"])
def test_the_examination_is_readable_where_marks_and_room_are_scarce(
    settings: Settings, var: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)

    main(["doctor"])

    lines: list[Any] = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in doctor.GROUPS] == list(doctor.GROUPS)
