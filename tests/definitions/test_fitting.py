"""A set that was accepted and no longer fits as a whole: what still does runs, and what does not is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from echopilot_jobs import builtin, definitions
from echopilot_jobs.clock import SystemClock
from echopilot_jobs.definitions import InForce
from echopilot_jobs.definitions.fitting import NAMED_MOST, in_words
from echopilot_jobs.definitions.inforce import ONLY_BUILT_IN
from echopilot_jobs.definitions.shelf import Accepted
from echopilot_jobs.jobs import Registry
from echopilot_jobs.jobsfile import Document
from echopilot_jobs.processes import this_process
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
    assert "not all of it fits: only the built-in jobs" in str(found.problems[0])
    assert found.instead == "only the built-in jobs"


@pytest.mark.parametrize("lives", [False, True], ids=["nothing runs", "a scheduler runs"])
def test_whoever_looks_is_told_that_a_part_runs_also_when_the_file_was_changed_and_refused_I28(
    began: Callable[[str], InForce], settings: Settings, lives: bool
) -> None:
    began(MINE + SPREAD)
    (settings.home / "jobs.toml").write_text(MINE + SPREAD + "retires = 1\n")
    running, _ = definitions.begin(load(), SystemClock().now())
    if lives:
        (settings.var_dir / "scheduler.lock").write_text(str(this_process()))

    seen = definitions.in_force(load())

    assert running.instead == seen.instead == "the last good set without self_heal"
    assert seen.refusal.endswith("; the last good set without self_heal stays in force")
    assert seen.remedy.endswith("; until then the last good set without self_heal stays in force")
    assert replace(seen, instead=ONLY_BUILT_IN).refusal.endswith("; only the built-in jobs are in force")


def test_a_set_that_fits_is_called_the_last_good_one_and_none_is_called_nothing(
    began: Callable[[str], InForce], settings: Settings
) -> None:
    fits = began(MINE)
    (settings.home / "jobs.toml").write_text("[jobs.other]\n")

    refused, _ = definitions.begin(load(), SystemClock().now())

    assert (fits.instead, refused.instead) == ("", "the last good set")


def test_of_many_jobs_that_do_not_fit_a_few_are_named_and_of_all_none(settings: Settings) -> None:
    mine = builtin.jobs(settings)
    tables = {f"job_{number}": {} for number in range(NAMED_MOST + 2)}
    accepted = Accepted("digest", SystemClock().now(), Document("jobs.toml", {"jobs": tables}))
    with_one = Registry([*mine.values(), replace(mine["heartbeat"], name="job_0", declared_in="jobs.toml:1")])

    words = [in_words(accepted, registry) for registry in (with_one, mine)]

    assert words == ["the last good set without job_1, job_2, job_3, job_4, job_5 and 1 more", "only the built-in jobs"]
