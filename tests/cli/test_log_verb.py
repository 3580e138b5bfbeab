"""`echopilot logs`: the newest lines of everything, a job, a run or a program, rotated files included, and on as it grows."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from housekit import Terminal
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.cli import logs as verb
from echopilot_jobs.events import EVENTS
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.logs import SchedulerLog
from echopilot_jobs.runs import State
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock
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


def test_without_a_line_it_is_said_whether_the_job_has_runs_or_the_choice_is_narrow(
    call: Call, lived: SqliteLedger, settings: Settings
) -> None:
    settings.logs_dir.mkdir(exist_ok=True)
    (settings.logs_dir / "scheduler.log").write_text(event("08:00:00", "startup", ok=True, pid=1))
    newest = lived.runs(job_name="heartbeat", limit=1)[0].id
    (settings.home / "jobs.toml").write_text('[jobs.idle]\nmanual = true\ncommand = ["true"]\n')

    of_job = call("logs", "heartbeat")
    narrow = call("logs", "heartbeat", "--level", "error")
    idle = call("logs", "idle")

    has = f"no such lines; the newest run of heartbeat is {newest}, see `echopilot show {newest}`"
    assert of_job == (0, "", f"{has}\n")
    assert narrow == (0, "", f"{has}; give fewer of --since, --until and --level\n")
    assert idle == (0, "", "no such lines; idle has no runs yet\n")


def test_the_level_of_what_a_run_said_is_told_once(call: Call, logs: Path) -> None:
    (line,) = [line for line in call("logs", "--level", "warning").out.splitlines() if "rows=3" in line]

    assert line.count("warning") == 1


def test_what_a_run_said_is_words_and_nothing_in_a_line_acts_on_the_terminal_S14_S15(call: Call, logs: Path) -> None:
    lines = call("logs").out.splitlines()

    assert "2026-03-02 08:00:01 warning slowU+000Aserver  job=a run=1 rows=3" in lines
    assert "\x1b" not in "".join(lines)
    assert any('error="no\\u001b[31m way"' in line for line in lines)


def test_json_gives_the_lines_as_they_were_written(call: Call, logs: Path) -> None:
    out = call("logs", "--json", "-n", "3").out

    assert out.splitlines() == NEW.splitlines()[-3:]


def test_with_json_every_line_is_an_object_and_raw_is_what_was_written(call: Call, logs: Path) -> None:
    """S15 holds for both."""
    with (logs / "scheduler.log").open("a") as file:
        file.write("Traceback \x1b[31m\n[1, 2]\n")
    (logs / "web.log").write_text(event("08:00:00", "web.run_requested", job="a") + "[INFO] Booting worker\n")

    scheduler, web = call("logs", "--json").out, call("logs", "web", "--json").out
    raw = call("logs", "--raw", "-n", "3").out

    objects = [json.loads(line) for line in scheduler.splitlines()]
    assert [each["line"] for each in objects if "event" not in each] == ["Traceback \x1b[31m", "[1, 2]"]
    assert [json.loads(line).get("line") for line in web.splitlines()] == [None, "[INFO] Booting worker"]
    assert raw.splitlines() == [NEW.splitlines()[-1], "Traceback U+001B[31m", "[1, 2]"]
    assert "\x1b" not in scheduler + raw


def test_an_event_without_a_moment_is_chosen_with_its_neighbours_and_keeps_its_column(call: Call, logs: Path) -> None:
    (logs / "scheduler.log").write_text(
        event("08:00:00", "run.started", job="a", run=1)
        + '{"event":"tick","tick":1,"next":{}}\n'
        + event("08:00:01", "run.finished", job="a", run=1, state="succeeded")
        + '{"event":"self_heal_startup","ok":false,"status":500}\n'
        + event("09:00:00", "run.started", job="a", run=2)
    )

    def chosen(*words: str) -> list[str]:
        return [line[28:].split()[0] for line in call("logs", *words).out.splitlines()]

    assert chosen("--since", "2026-03-02 08:00:00", "--until", "2026-03-02 08:00:30") == [
        "run.started", "tick", "run.finished",
    ]  # fmt: skip
    assert chosen("--since", "2026-03-02 08:00:00", "--level", "warning") == ["self_heal_startup"]


SOME_EVENTS = st.builds(
    lambda name, state, level, ok, space: json.dumps(
        {"ts": "2026-03-02T08:00:00.000Z", "event": name, "job": "a", **state, **level, **ok}, separators=(",", space)
    ),
    st.sampled_from(sorted(EVENTS)),
    st.sampled_from([{}, *({"state": state.value} for state in State)]),
    st.sampled_from([{}, *({"level": level} for level in verb.LEVELS)]),
    st.sampled_from([{}, {"ok": True}, {"ok": False}]),
    st.sampled_from([":", ": "]),
)


@given(SOME_EVENTS, st.integers(0, 3))
def test_the_quick_look_at_a_line_drops_nothing_that_reading_it_would_keep(line: str, level: int) -> None:
    wanted = verb.Wanted(job="a", level=level)

    assert wanted.keeps(line.encode()) == (verb.level_of(json.loads(line)) >= level)


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


def test_of_an_unknown_run_nothing_is_said_but_that_it_is_unknown(call: Call, lived: SqliteLedger) -> None:
    answer = call("logs", "999999")

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: no run 999999; ")
    assert answer.err.count("\n") == 1


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
    assert set(EVENTS) >= verb.ERRORS | verb.WARNINGS
    assert not verb.ERRORS & verb.WARNINGS


@pytest.mark.process
@pytest.mark.parametrize(
    ("environment_of", "has_colours"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["colours", "NO_COLOR", "dumb"],
)
def test_on_a_terminal_gravity_is_a_word_and_a_colour_where_there_are_any(
    terminal: Callable[..., Terminal], logs: Path, environment_of: dict[str, str], has_colours: bool
) -> None:
    shown = terminal("logs", "-n", "3", env=environment_of)

    assert shown.end() == 0
    words = re.sub(rb"\x1b\[[0-9;]*m", b"", shown.seen)
    assert b"2026-03-02 08:00:02 error   run.finished  job=a run=1 state=failed" in words
    assert b"2026-03-02 08:00:04 warning slot.skipped  job=b" in words
    assert (b"\x1b[31mrun.finished" in shown.seen) is has_colours
    assert b"\x1b" not in words


@pytest.mark.process
def test_twenty_columns_are_enough_to_read_a_log(terminal: Callable[..., Terminal], logs: Path) -> None:
    shown = terminal("logs", "-n", "2", width=20, env={"NO_COLOR": "1"})

    assert shown.end() == 0
    lines = shown.seen.decode().splitlines()
    assert max(map(len, lines)) <= 20
    assert "slot.skipped" in shown.seen.decode()


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


def test_a_scheduler_that_writes_rotates_and_is_killed_is_followed_line_for_line_F32(
    spawn: Callable[..., subprocess.Popen[bytes]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real writer with its real rotation and compression, a torn line at every start."""
    monkeypatch.setattr("echopilot_jobs.logs.ROTATE_AT_BYTES", 2_000)
    path = settings.logs_dir / "scheduler.log"
    path.parent.mkdir(parents=True)
    path.write_text(event("08:00:00", "startup", ok=True, pid=1))
    process = spawn("logs", "-f", "--json")
    out = process.stdout
    assert out is not None
    deadline = threading.Timer(60, process.kill)  # a line that never comes is a failure, not a wait for ever
    deadline.start()
    assert b"startup" in out.readline()
    for life in range(4):
        log = SchedulerLog(path, FakeClock())
        for number in range(60):
            log.event("run.queued", job="a", run=life * 60 + number, origin="manual")
        log.close()
        with path.open("a") as file:
            file.write('{"ts":"2026-03-02T08:00:00.000Z","eve')
    SchedulerLog(path, FakeClock()).close()
    lines = (json.loads(out.readline()) for _ in range(400))
    runs = [
        line["run"] for line in takewhile(lambda line: line.get("run") != 239, lines) if line["event"] == "run.queued"
    ]

    deadline.cancel()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert runs == list(range(239))
    assert len(list(path.parent.glob("scheduler.*.log.gz"))) > 4


def test_a_reader_that_goes_away_ends_it_without_a_word(
    spawn: Callable[..., subprocess.Popen[bytes]], logs: Path
) -> None:
    read, write = os.pipe()
    process = spawn("logs", stdout=write)
    os.close(read)
    os.close(write)
    _, err = process.communicate(timeout=20)

    assert (process.returncode, err) == (141, b"")
