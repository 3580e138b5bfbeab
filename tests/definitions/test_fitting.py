"""A set that was accepted and no longer fits as a whole: what still does runs, and what does not is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from echopilot_jobs import definitions
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.definitions import InForce
from echopilot_jobs.settings import Settings, load

MINE = '[jobs.mine]\nevery = "3s"\ncommand = ["true"]\n'
SPREAD = '[jobs.self_heal]\njitter = "2h"\n'  # fits while it runs every six hours


@pytest.fixture
def began(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], InForce]:
    """A scheduler began with the file; now another begins, with other settings."""

    def twice(text: str) -> InForce:
        settings.var_dir.mkdir(mode=0o700, exist_ok=True)
        (settings.home / "jobs.toml").write_text(text)
        assert not definitions.begin(settings, SystemClock().now())[0].problems
        monkeypatch.setenv("SCHED_SELFHEAL_EVERY_HOURS", "1")
        return definitions.begin(load(), SystemClock().now())[0]

    return twice


def test_a_job_that_no_longer_fits_takes_no_other_with_it_I28(began: Callable[[str], InForce]) -> None:
    found = began(MINE + SPREAD)

    assert "mine" in found.registry
    assert not found.registry["self_heal"].enabled
    assert found.registry["heartbeat"].enabled
    words = [str(problem) for problem in found.problems]
    assert "not all of it fits: without self_heal" in words[0]
    assert "job 'self_heal': jitter: came '2 h'" in words[1]


def test_who_looks_sees_what_the_scheduler_began_with_and_what_is_wrong(began: Callable[[str], InForce]) -> None:
    running = began(MINE + SPREAD)

    seen = definitions.in_force(load())

    assert [*seen.registry.values()] == [*running.registry.values()]
    assert seen.problems == running.problems != ()


def test_settings_as_before_bring_all_of_it_back(
    began: Callable[[str], InForce], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    began(MINE + SPREAD)
    monkeypatch.delenv("SCHED_SELFHEAL_EVERY_HOURS")

    found, _ = definitions.begin(load(), SystemClock().now())

    assert found.problems == ()
    assert found.registry["self_heal"].jitter.total_seconds() == 7200
    assert [*definitions.in_force(settings).registry.values()] == [*found.registry.values()]


def test_what_is_wrong_with_no_job_leaves_the_built_in_ones(
    began: Callable[[str], InForce], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a release may that no longer allows what stands at the top of a file."""
    began(MINE)
    monkeypatch.setattr("echopilot_jobs.jobsfile.composing.keys_of", lambda _model: ["jobs"])
    monkeypatch.setattr(
        "echopilot_jobs.jobsfile.composing.validated", lambda _model, tables: ({}, [("jobs", {}, "no")])
    )
    monkeypatch.setattr("echopilot_jobs.builtin.jobs", lambda _settings: {"only": "built-in"})

    found, _ = definitions.begin(load(), SystemClock().now())

    assert found.registry == {"only": "built-in"}
    assert "not all of it fits: the built-in jobs alone" in str(found.problems[0])
