"""`echopilot logs`: the newest lines of everything, a job, a run or a program, rotated files included, and on as it grows."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.logs import EVENTS
from echopilot_jobs.settings import Settings
from tests.cli.conftest import NASTY, Call


def event(at: str, name: str, **facts: Any) -> str:
    return json.dumps({"ts": f"2026-03-02T{at}.000Z", "event": name, **facts}) + "\n"


OLDER = event("06:00:00", "startup", ok=True, pid=1) + event("06:00:01", "slot.claimed", job="a", run=1)
OLD = event("07:00:00", "run.started", job="a", run=1) + event("07:00:01", "run.started", job="b", run=2)
NEW = (
    event("08:00:00", "tick", tick=1, next={})
    + event("08:00:01", "run.said", job="a", run=1, level="warning", message="slow\nserver", rows=3)
    + event("08:00:02", "run.finished", job="a", run=1, state="failed", error="no\x1b[31m way")
    + event("08:00:03", "run.finished", job="b", run=2, state="succeeded")
    + event("08:00:04", "slot.skipped", job="b", reason="overlap", count=1)
)


@pytest.fixture
def logs(settings: Settings) -> Path:
    folder = settings.logs_dir
    folder.mkdir(parents=True)
    (folder / "scheduler.2026-03-02_06-30-00_000001.log.gz").write_bytes(gzip.compress(OLDER.encode()))
    (folder / "scheduler.2026-03-02_07-30-00_000001.log.gz").write_bytes(gzip.compress(OLD.encode()))
    (folder / "scheduler.log").write_text(NEW)
    return folder


def moments(out: str) -> list[str]:
    return [line[11:19] for line in out.splitlines()]


def test_rotated_and_compressed_files_are_read_in_their_true_order(call: Call, logs: Path) -> None:
    everything, newest = call("logs"), call("logs", "-n", "6")

    assert moments(everything.out) == [
        "06:00:00", "06:00:01", "07:00:00", "07:00:01", "08:00:00", "08:00:01", "08:00:02", "08:00:03", "08:00:04",
    ]  # fmt: skip
    assert moments(newest.out) == moments(everything.out)[-6:]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("a",), ["06:00:01", "07:00:00", "08:00:01", "08:00:02"]),
        (("2",), ["07:00:01", "08:00:03"]),
        (("--level", "warning"), ["08:00:01", "08:00:02", "08:00:04"]),
        (("--level", "error"), ["08:00:02"]),
        (("a", "--level", "warning", "-n", "1"), ["08:00:02"]),
        (("--since", "2026-03-02 07:00:01", "--until", "2026-03-02 08:00:00"), ["07:00:01", "08:00:00"]),
        (("scheduler", "-n", "1"), ["08:00:04"]),
    ],
)
def test_lines_are_chosen_by_job_run_time_and_gravity(
    call: Call, logs: Path, settings: Settings, words: tuple[str, ...], expected: list[str]
) -> None:
    (settings.home / "jobs.toml").write_text(
        '[jobs.a]\nevery = "1h"\ncommand = ["true"]\n[jobs.b]\nevery = "1h"\ncommand = ["true"]\n'
    )
    answer = call("logs", *words)

    said = [line for line in answer.out.splitlines() if line.startswith("2026-")]
    assert moments("\n".join(said)) == expected


def test_what_a_run_said_is_words_and_nothing_in_a_line_acts_on_the_terminal_S14_S15(call: Call, logs: Path) -> None:
    lines = call("logs").out.splitlines()

    assert "2026-03-02 08:00:01 warning warning: slowU+000Aserver  job=a run=1 rows=3" in lines
    assert "\x1b" not in "".join(lines)
    assert any('error="no\\u001b[31m way"' in line for line in lines)


def test_json_gives_the_lines_as_they_were_written(call: Call, logs: Path) -> None:
    out = call("logs", "--json", "-n", "3").out

    assert out.splitlines() == NEW.splitlines()[-3:]


def test_torn_foreign_and_huge_lines_are_no_trouble_F32(call: Call, logs: Path) -> None:
    with (logs / "scheduler.log").open("ab") as file:
        file.write(
            b"no json \xff\x00 at all\n[1, 2]\n" + b'{"event": "tick", "x": "' + b"y" * 600_000 + b'"}\n{"event": "ti'
        )

    answer = call("logs", "-n", "4")

    assert answer.code == 0
    lines = answer.out.splitlines()
    assert "no json \ufffdU+0000 at all" in lines
    assert lines[-1].endswith("...cut")
    assert len(lines) == 4


def test_programs_have_their_own_files_and_filters_of_events_are_no_use_there(call: Call, logs: Path) -> None:
    (logs / "web.log.2").write_text("1\n")
    (logs / "web.log.1").write_text("2\n3\n")
    (logs / "web.log").write_text("4\x1b[2J\n")

    assert call("logs", "web").out == "1\n2\n3\n4U+001B[2J\n"
    refused = call("logs", "web", "--since", "2h ago")
    assert (refused.code, refused.out) == (2, "")
    assert "--since, --until and --level go with the scheduler's log" in refused.err


def test_of_a_run_its_output_is_shown_too(call: Call, lived: SqliteLedger) -> None:
    failed = next(run for run in lived.runs() if run.job_name == "self_heal")

    answer = call("logs", str(failed.id))

    assert answer.code == 0
    assert "  first" in answer.out
    assert NASTY not in answer.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nobody",), 2, "no job, run or program named 'nobody'"),
        (("ceo_breif",), 2, "did you mean 'ceo_brief'?"),
        (("999999",), 2, "run"),
        (("0",), 2, "wanted: a run's number"),
        (("-n", "0"), 2, "wanted: lines from 1 to 100,000"),
        (("--since", "someday"), 2, "wanted: a moment"),
        (("--since", "1h ago", "--until", "2h ago"), 2, "the earlier moment in --since"),
        (("--level", "loud"), 2, "debug"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    call: Call, lived: SqliteLedger, logs: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = call("logs", *words)

    assert answer.code == code
    assert said in answer.err
    assert answer.err.count("error:") == 1


def test_where_nothing_was_written_yet_it_says_so(call: Call, settings: Settings) -> None:
    answer = call("logs")

    assert (answer.code, answer.out) == (0, "")
    assert "the stack writes it: start it with `bin/stack`" in answer.err


def test_every_event_that_is_called_grave_exists() -> None:
    from echopilot_jobs.cli import logs as verb

    assert set(EVENTS) >= verb.ERRORS | verb.WARNINGS
    assert not verb.ERRORS & verb.WARNINGS


def test_following_goes_on_through_a_rotation_and_ends_quietly_with_ctrl_c(
    spawn: Callable[..., subprocess.Popen[bytes]], logs: Path
) -> None:
    process = spawn("logs", "-f", "-n", "1")
    out = process.stdout
    assert out is not None
    first = out.readline()
    current = logs / "scheduler.log"
    with current.open("a") as file:
        file.write(event("08:00:05", "run.started", job="a", run=3))
    second = out.readline()
    current.rename(logs / "scheduler.2026-03-02_08-30-00_000001.log")
    current.write_text(event("08:00:06", "run.finished", job="a", run=3, state="succeeded"))
    third = out.readline()

    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=20)

    assert [line[11:19] for line in (first, second, third)] == [b"08:00:04", b"08:00:05", b"08:00:06"]
    assert (process.returncode, rest, err) == (130, b"", b"")


def test_a_reader_that_goes_away_ends_it_without_a_word(
    spawn: Callable[..., subprocess.Popen[bytes]], logs: Path
) -> None:
    read, write = os.pipe()
    process = spawn("logs", stdout=write)
    os.close(read)
    os.close(write)
    _, err = process.communicate(timeout=20)

    assert (process.returncode, err) == (141, b"")
