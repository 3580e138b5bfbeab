"""Settings are refused all at once, one clear line each, and secrets are never echoed."""

from __future__ import annotations

import stat
import threading
from dataclasses import FrozenInstanceError
from datetime import time
from pathlib import Path

import pytest

from echopilot_jobs.errors import ConfigError
from echopilot_jobs.settings import Settings, dashboard_key, load, strangers, weak_key

NAMES = (
    "DASHBOARD_KEY",
    "PORT",
    "SCHED_BRIEF_UTC",
    "SCHED_REPORT_UTC",
    "SCHED_SELFHEAL_EVERY_HOURS",
    "ECHOPILOT_SIGNALS",
)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def refused(monkeypatch: pytest.MonkeyPatch, **environ: str) -> tuple[str, ...]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as error:
        load()
    return error.value.problems


def test_defaults_are_those_operators_know() -> None:
    settings = load()

    assert (settings.port, settings.brief_at, settings.report_at, settings.self_heal_hours) == (
        5000,
        time(8),
        time(9),
        6,
    )
    assert settings.signals == ("logs/*.ndjson",)


@pytest.mark.parametrize(
    "value", ["25:00", "24:00", "8:0", "08:00 PM", "8", "", "08:60", "-1:00", "08:00:00", "٠٨:٠٠", "abc"]
)
def test_a_time_that_is_none_is_refused_with_what_came_and_what_is_wanted(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    assert refused(monkeypatch, SCHED_BRIEF_UTC=value) == (
        f"SCHED_BRIEF_UTC: came '{value}'; wanted: a UTC time HH:MM from 00:00 to 23:59, for example 08:00",
    )


@pytest.mark.parametrize("value", ["0", "-1", "abc", "1.5", "", "169", "1e3", "٣", " 6", "99999999999999999999"])
def test_hours_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    (line,) = refused(monkeypatch, SCHED_SELFHEAL_EVERY_HOURS=value)

    assert line == (
        f"SCHED_SELFHEAL_EVERY_HOURS: came '{value}'; wanted: a whole number of hours from 1 to 168, for example 6"
    )


@pytest.mark.parametrize("value", ["0", "70000", "abc", "", "-5", "5000.0", "0x50"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    (line,) = refused(monkeypatch, PORT=value)

    assert line == f"PORT: came '{value}'; wanted: a TCP port from 1 to 65535, for example 5000"


@pytest.mark.parametrize(
    "key",
    ["", " ", "short", "x" * 15, "changeme", "aaaaaaaaaaaaaaaaaaaaaaaa", "Password12345678", "key with spaces in it",
     "a-good-long-key-with-a-newline\n", "ключ-который-не-ascii", "tab\tseparated-key-here", "é" * 20],
)  # fmt: skip
def test_a_weak_key_is_refused_and_never_echoed_S1(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    (line,) = refused(monkeypatch, DASHBOARD_KEY=key)

    assert line.startswith("DASHBOARD_KEY: this value is refused; wanted: ")
    assert not key.strip() or key.strip() not in line


def test_every_error_comes_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = refused(monkeypatch, PORT="x", SCHED_BRIEF_UTC="x", SCHED_REPORT_UTC="x", SCHED_SELFHEAL_EVERY_HOURS="x")

    assert len(problems) == 4


def test_a_slip_in_a_setting_s_name_is_said_and_our_own_variables_are_not() -> None:
    environ = {"SCHED_BREIF_UTC": "8", "ECHOPILOT_SIGNAL": "x", "ECHOPILOT_STACK_PID": "1", "PORT": "1", "SCHED_X": ""}

    assert strangers(environ) == [
        "ECHOPILOT_SIGNAL: no such setting; did you mean ECHOPILOT_SIGNALS?",
        "SCHED_BREIF_UTC: no such setting; did you mean SCHED_BRIEF_UTC?",
    ]


def test_a_key_file_that_cannot_be_read_is_named(settings: Settings) -> None:
    (settings.var_dir / "dashboard_key").mkdir(parents=True)

    with pytest.raises(ConfigError, match=r"var/dashboard_key: uid .* cannot read or make it: Is a directory"):
        dashboard_key(settings)


def test_signals_are_globs_split_at_colons_and_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOPILOT_SIGNALS", "../shared/*: logs/*.ndjson,,x.json ")

    assert load().signals == ("../shared/*", "logs/*.ndjson", "x.json")


def test_settings_cannot_be_changed_and_do_not_print_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARD_KEY", "a-secret-of-sufficient-length")
    settings = load()

    with pytest.raises(FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]
    assert "a-secret" not in repr(settings) + str(settings)
    assert dashboard_key(settings) == "a-secret-of-sufficient-length"


def test_without_a_key_one_is_made_and_kept_for_its_owner_alone_S1_S27(settings: Settings) -> None:
    key = dashboard_key(settings)
    path = settings.var_dir / "dashboard_key"

    assert weak_key(key) is None
    assert len(key) >= 43  # 32 random bytes
    assert dashboard_key(settings) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.var_dir.stat().st_mode) == 0o700


def test_processes_that_start_together_agree_on_the_key(settings: Settings) -> None:
    keys: list[str] = []

    threads = [threading.Thread(target=lambda: keys.append(dashboard_key(settings))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 16
    assert len(set(keys)) == 1


def test_a_damaged_key_file_is_named_and_not_shown(settings: Settings) -> None:
    settings.var_dir.mkdir()
    Path(settings.var_dir / "dashboard_key").write_text("hunter2\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="delete the file to get a new one") as error:
        dashboard_key(settings)
    assert "hunter2" not in str(error.value)
