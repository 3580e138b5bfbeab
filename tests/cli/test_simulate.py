"""`echopilot simulate`: what coming days would bring, by the real planner under a virtual clock."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from echopilot_jobs.settings import Settings
from tests.cli.conftest import Call

JOBS = """
[jobs.nightly]
every = "day"
at = "02:30"
timezone = "Europe/Berlin"
command = ["true"]

[jobs.hourly]
every = "1h"
command = ["true"]
catch_up = "all"
catch_up_window = "6h"

[jobs.never_late]
every = "1h"
command = ["true"]
catch_up = "none"

[jobs.second]
every = "1s"
command = ["true"]

[jobs.broken]
every = "6h"
command = ["false"]
retries = 1
"""
DAY = ("--from", "2026-03-02", "--days", "1")


@pytest.fixture
def file(settings: Settings) -> str:
    path = settings.home / "other.toml"
    path.write_text(JOBS)
    return str(path)


def data(call: Call, *words: str) -> dict:  # type: ignore[type-arg]
    answer = call("simulate", *words, "--json")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)["simulation"]


def test_what_was_missed_is_missed_in_the_very_outage_that_was_asked_for(call: Call, file: str) -> None:
    words = (
        *DAY,
        "--jobs",
        file,
        "--job",
        "hourly",
        "--outage",
        "2026-03-02 07:30..3h",
        "--outage",
        "2026-03-02 12:50..1h",
    )

    table = call("simulate", *words).out.partition("MISSED IN")[2]
    odd = data(call, *words)["jobs"][0]["odd"]

    assert [line.partition(" late ")[2].strip() for line in table.splitlines()[1:]] == [
        *["2026-03-02 07:30:00Z, 3 h"] * 3,
        "2026-03-02 12:50:00Z, 1 h",
    ]
    assert odd[-1]["outage"] == {"since": "2026-03-02T12:50:00Z", "until": "2026-03-02T13:50:00Z"}


def test_an_outage_costs_what_each_job_s_policy_says_I2_I4_I32(call: Call, file: str) -> None:
    words = ("--jobs", file, "--job", "hourly", "--job", "never_late", "--outage", "2026-03-02 07:30..3h")

    found = {each["job"]: each for each in data(call, *DAY, *words)["jobs"]}

    assert found["hourly"]["slots"] == found["never_late"]["slots"] == 24
    assert found["hourly"]["counts"] == {"ran": 21, "caught up": 3}
    assert found["never_late"]["counts"] == {"ran": 21, "expired": 3}
    assert [each["slot_at"][11:16] for each in found["hourly"]["odd"]] == ["08:00", "09:00", "10:00"]


def test_a_person_reads_what_was_lost_together_and_by_which_outage(call: Call, file: str) -> None:
    answer = call("simulate", *DAY, "--jobs", file, "--job", "never_late", "--outage", "2026-03-02 07:30..10:30")

    lines = answer.out.splitlines()
    assert lines[0] == "2026-03-02 00:00:00Z to 2026-03-03 00:00:00Z: 1 outage, up 87.5% of the time"
    assert "never_late     24  21 ran, 3 expired" in lines
    (odd,) = [line for line in lines if "3 skipped: expired" in line]
    assert odd.startswith("2026-03-02 08:00:00Z to 2026-03-02 10:00:00Z  never_late")
    assert odd.endswith("  2026-03-02 07:30:00Z, 3 h")


def test_jumps_of_the_clocks_within_the_days_are_marked_F38(call: Call, file: str) -> None:
    answer = call("simulate", "--from", "2026-03-28", "--days", "2", "--jobs", file, "--job", "nightly")

    assert "jumps of the clocks within these days" in answer.out
    assert (
        "2026-03-29 01:00:00Z nightly: 02:30 Europe/Berlin does not exist that day; it runs right after" in answer.out
    )


def test_a_job_that_fails_is_tried_again_and_said_to_fail(call: Call, file: str) -> None:
    (found,) = data(call, *DAY, "--jobs", file, "--job", "broken", "--fail", "broken")["jobs"]

    assert found["counts"] == {"ran, failed": 4}


def test_days_of_seconds_are_cut_and_that_is_said(call: Call, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echopilot_jobs.simulator.rehearsal.MOVES_MOST", 600)

    answer = call("simulate", *DAY, "--jobs", file, "--job", "second")

    assert "note: so many slots that only 10 min of 1 day are lived; choose with --job" in answer.err
    assert "second    600" in answer.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--days", "14", "--outage", "2026-03-02 07:30..2h"),
            "; with so many slots of second only the time to 2026-03-",
        ),
        (
            ("--days", "14", "--outage", "2026-03-02 07:30..2h"),
            " of 14 days can be lived; name other jobs with --job or begin near it with --from '2026-03-02 07:20'; see ",
        ),
        (
            ("--job", "second", "--outage", "2026-03-02 07:30..2h"),
            "to 2026-03-02 05:33:20Z of 1 day can be lived; begin near it with --from '2026-03-02 07:20'; see ",
        ),
        (("--job", "second", "--outage", "2026-03-02 07:30..6h"), " can be lived; give a shorter outage; see "),
        (
            ("--days", "90", "--job", "even", "--outage", "2026-03-30 07:30..2h"),
            "--from '2026-03-30 07:20' or give --takes 1s if their runs are that short; see ",
        ),
    ],
)
def test_an_outage_beyond_what_can_be_lived_is_told_as_that_with_what_really_helps(
    call: Call, file: str, words: tuple[str, ...], said: str
) -> None:
    with Path(file).open("a") as jobs:
        jobs.write('[jobs.even]\nevery = "30s"\ncommand = ["true"]\n' if "even" in words else "")

    answer = call("simulate", *DAY, "--jobs", file, *words)

    assert answer.code == 2
    assert answer.err.startswith("error: invalid value for '--outage': came 2026-03-")
    assert said in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("way", [("--job", "never_late"), ("--job", "second", "--from", "2026-03-02 07:20")])
def test_what_is_advised_against_too_many_slots_lets_the_outage_be_lived(
    call: Call, file: str, monkeypatch: pytest.MonkeyPatch, way: tuple[str, ...]
) -> None:
    monkeypatch.setattr("echopilot_jobs.simulator.rehearsal.MOVES_MOST", 4_000)
    words = (*DAY, "--jobs", file, "--outage", "2026-03-02 07:30..30m")

    refused, answer = call("simulate", *words), call("simulate", *words, *way)

    assert refused.code == 2
    assert answer.code == 0
    assert "dark 2026-03-02 07:30:00Z to 2026-03-02 08:00:00Z, 30 min" in answer.out


def test_random_outages_are_the_same_for_a_seed_and_others_for_another(call: Call, file: str) -> None:
    words = ("--from", "2026-03-02", "--days", "3", "--jobs", file, "--job", "broken", "--outages", "3")

    one, same, other = data(call, *words), data(call, *words), data(call, *words, "--seed", "2")

    assert one["outages"] == same["outages"] != other["outages"]
    assert one["jobs"] == same["jobs"]


def test_without_a_file_the_jobs_in_force_are_taken_and_nothing_of_ours_is_touched(
    call: Call, settings: Settings
) -> None:
    (settings.home / "jobs.toml").write_text(JOBS)
    before = sorted(path.name for path in settings.home.rglob("*"))

    (found,) = data(call, *DAY, "--job", "hourly")["jobs"]

    assert found["counts"] == {"ran": 24}
    assert sorted(path.name for path in settings.home.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--days", "0"), "wanted: days from 1 to 366"),
        (("--days", "x"), "wanted: days from 1 to 366"),
        (("--days", "400"), "wanted: days from 1 to 366"),
        (("--from", "someday"), "wanted: a moment such as"),
        (("--outage", "08:00"), "wanted: FROM..TO"),
        (("--outage", "..2h"), "wanted: FROM..TO"),
        (("--outage", "soon..later"), "wanted: a moment such as"),
        (("--days", "366", "--takes", "40s", "--outage", "soon..later"), "wanted: a moment such as"),
        (("--from", "2026-03-02", "--outage", "2026-03-02 08:00..2026-03-02 07:00"), "a beginning before its end"),
        (("--from", "2026-03-02", "--outage", "2027-03-02 08:00..2h"), "within the days simulated"),
        (("--outages", "-1"), "wanted: a number from 1 to 500"),
        (("--takes", "quickly"), "wanted: a length such as"),
        (("--job", "ceo_breif"), "did you mean 'ceo_brief'?"),
        (("--fail", "nobody"), "no job named 'nobody'"),
        (("--jobs", "/nowhere/jobs.toml"), "there is no file '/nowhere/jobs.toml'; wanted: a jobs file"),
        (("--jobs", "/"), "came '/': it is a folder; wanted: a file"),
        (("--jobs", "/dev/zero"), "came '/dev/zero': it is a pipe, socket or device; wanted: a file"),
    ],
)
def test_what_makes_no_simulation_is_refused_in_one_line(
    call: Call, settings: Settings, words: tuple[str, ...], said: str
) -> None:
    answer = call("simulate", *words)

    assert answer.code == 2
    assert answer.out == ""
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_neither_a_pipe_is_waited_for_nor_more_read_than_a_jobs_file_may_have(
    call: Call, settings: Settings, tmp_path: Path
) -> None:
    pipe, endless = tmp_path / "pipe", tmp_path / "endless.toml"
    os.mkfifo(pipe)
    with endless.open("wb") as file:
        file.truncate(2**40)

    answers = [call("simulate", "--jobs", str(path)) for path in (pipe, endless)]

    assert "it is a pipe, socket or device; wanted: a file" in answers[0].err
    assert "wanted: at most 1,048,576 (1 MiB)" in answers[1].err


def test_a_bad_file_is_told_with_its_lines(call: Call, settings: Settings, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('[jobs.x]\nevery = "6h"\ncommand = ["true"]\nretires = 3\n')

    answer = call("simulate", "--jobs", str(bad))

    assert answer.code != 0
    assert "bad.toml:4:1: job 'x': retires: no such key in a job; did you mean 'retries'?" in answer.err


def test_the_example_in_the_documentation_is_what_is_printed(call: Call, settings: Settings) -> None:
    words = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text(encoding="utf-8")
    jobs, example = (words.split(f"```{kind}\n")[1].split("```")[0] for kind in ("toml", "console"))
    asked, _, printed = example.partition("\n")
    (settings.home / "jobs.toml").write_text(jobs)

    answer = call(*shlex.split(asked.removeprefix("$ echopilot ")))

    assert answer.out == printed
    assert answer.err.startswith("note: heartbeat: lived around outages only")
