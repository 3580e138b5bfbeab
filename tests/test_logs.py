"""The log stays strict, whole and out of the way."""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs import events, logs
from echopilot_jobs.clock import iso
from echopilot_jobs.errors import LeaseLost
from echopilot_jobs.events import EVENTS, LEGACY, encode
from echopilot_jobs.logs import Log, SchedulerLog, cut_torn_line
from echopilot_jobs.testing import FakeClock

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner),
    max_leaves=8,
)


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@given(facts=st.dictionaries(st.text(min_size=1), ANYTHING, max_size=4))
def test_every_line_is_strict_ascii_json_whatever_the_facts_hold_I21_S16(facts: dict[str, Any]) -> None:
    line = encode("run.finished", {key: value for key, value in facts.items() if key not in {"ts", "event"}}, NOON)

    assert line.isascii()
    assert line.isprintable()
    back = json.loads(line, parse_constant=refuse_constant)
    assert (back["ts"], back["event"]) == ("2026-03-02T12:00:00Z", "run.finished")


def test_three_lines_keep_the_shape_people_grep_for() -> None:
    assert encode("startup", {"ok": True, "pid": 7}, NOON) == (
        '{"ts":"2026-03-02T12:00:00Z","event":"startup","ok":true,"pid":7}'
    )
    assert encode("self_heal_startup", {"ok": True, "status": 200}, NOON) == (
        '{"event":"self_heal_startup","ok":true,"status":200}'
    )
    assert encode("tick", {"tick": 1, "next": {"j": "2026-03-02T12:01:00Z"}}, NOON) == (
        '{"event":"tick","tick":1,"next":{"j":"2026-03-02T12:01:00Z"}}'
    )


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=30))
def test_lines_of_one_millisecond_have_one_stamp_wherever_the_clock_goes(micros: list[int]) -> None:
    stamp = logs._Stamp()

    for moment in (NOON + timedelta(microseconds=each) for each in micros):
        assert stamp.of(moment) == iso(moment.replace(microsecond=moment.microsecond // 1000 * 1000))


def test_an_event_nobody_declared_is_a_bug_at_once() -> None:
    with pytest.raises(KeyError, match=r"add it to events\.EVENTS"):
        encode("run.exploded", {}, NOON)


def test_a_monstrous_line_is_cut_and_says_so_I14() -> None:
    line = encode("run.finished", {"error": "x" * 1_000_000}, NOON)

    assert len(line) < events.LINE_MOST_BYTES
    assert json.loads(line)["cut"] is True


def test_events_are_named_object_first_in_the_past_tense_or_kept_for_old_greps() -> None:
    assert all("." in name or name in LEGACY for name in EVENTS)


@pytest.mark.parametrize("keep", range(1, 12))
def test_a_torn_last_line_is_cut_off_and_counted_at_every_byte_F32(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "scheduler.log"
    path.write_bytes(b'{"a":1}\n' + b'{"bcd":"e"}'[:keep])

    assert cut_torn_line(path) == keep
    assert path.read_bytes() == b'{"a":1}\n'
    assert cut_torn_line(path) == 0


def test_a_torn_line_longer_than_a_block_is_cut_whole(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.log"
    path.write_bytes(b"{}\n" + b"x" * 200_000)

    assert cut_torn_line(path) == 200_000
    assert path.read_bytes() == b"{}\n"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_a_restart_after_a_crash_begins_on_a_fresh_line_I21(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "scheduler.log"
    path.write_bytes(b'{"event":"tick","tick":1,"next":{}}\n{"event":"ti')

    log = SchedulerLog(path, clock)
    log.event("startup", ok=True, pid=1)
    log.close()

    assert [line["event"] for line in lines_of(path)] == ["tick", "log.repaired", "startup"]


def test_the_log_rotates_compresses_and_loses_no_line(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "ROTATE_AT_BYTES", 2_000)
    path = tmp_path / "scheduler.log"
    log = SchedulerLog(path, clock)

    for number in range(100):
        log.event("run.finished", run=number)
    log.close()

    packed = sorted(tmp_path.glob("scheduler.*.log.gz"), key=lambda file: file.stat().st_mtime_ns)
    text = b"".join(gzip.decompress(file.read_bytes()) for file in packed) + path.read_bytes()
    assert len(packed) >= 3
    assert sorted(json.loads(line)["run"] for line in text.splitlines()) == list(range(100))


def test_a_deleted_log_comes_back_F30(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "scheduler.log"
    log = SchedulerLog(path, clock)
    log.event("run.finished", run=1)

    path.unlink()
    log.event("run.finished", run=2)
    log.event("run.finished", run=3)
    log.close()

    assert [line["run"] for line in lines_of(path)][-1] == 3


def test_a_full_disk_never_reaches_a_job_and_complains_once_a_minute_I22_F29(
    tmp_path: Path, clock: FakeClock, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scheduler.log"
    path.symlink_to("/dev/full")
    log = SchedulerLog(path, clock)

    for number in range(100):
        log.event("run.finished", run=number)
        clock.sleep(1)
    log.close()
    del log
    gc.collect()  # a file object that still held lines would try the full device once more, and warn

    complaints = [line for line in capfd.readouterr().err.splitlines() if line]
    assert len(complaints) == 2
    assert "log line lost (1 so far)" in complaints[0]


@pytest.mark.parametrize(
    ("make", "remove"),
    [
        pytest.param(Path.mkdir, Path.rmdir, id="a folder"),  # nobody can open one for writing, not even root
        pytest.param(os.mkfifo, Path.unlink, id="a pipe"),  # opened as a file is, it waits for a reader for ever
    ],
)
def test_a_log_that_cannot_be_opened_stops_nothing_and_is_tried_again_F31(
    tmp_path: Path,
    clock: FakeClock,
    capfd: pytest.CaptureFixture[str],
    make: Callable[[Path], None],
    remove: Callable[[Path], None],
) -> None:
    path = tmp_path / "scheduler.log"
    make(path)
    log = SchedulerLog(path, clock)
    log.event("run.finished", run=1)

    remove(path)
    log.event("run.finished", run=2)
    log.close()

    assert "log line lost (1 so far)" in capfd.readouterr().err
    assert [(line["event"], line.get("run")) for line in lines_of(path)] == [("run.finished", 2), ("log.lost", None)]


def test_lost_lines_are_counted_in_the_log_once_it_can_be_written_again_I22(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scheduler.log"
    log = SchedulerLog(path, clock)

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(logs.logger), "info", full)
        log.event("run.finished", run=1)
        log.event("run.finished", run=2)
    log.event("run.finished", run=3)
    log.close()

    assert [(line["event"], line.get("count")) for line in lines_of(path)] == [("run.finished", None), ("log.lost", 2)]


def test_the_console_shows_one_plain_line_an_event_and_may_vanish(tmp_path: Path, clock: FakeClock) -> None:
    console = io.StringIO()
    log = SchedulerLog(tmp_path / "scheduler.log", clock, console=console)

    log.event("run.finished", job="j", error="\x1b[31mred\u2028", ms=None)
    console.close()
    log.event("run.finished", job="k")
    log.close()

    assert len(lines_of(tmp_path / "scheduler.log")) == 2


def test_control_characters_reach_the_console_escaped_S15(tmp_path: Path, clock: FakeClock) -> None:
    console = io.StringIO()
    log = SchedulerLog(tmp_path / "scheduler.log", clock, console=console)

    log.event("run.finished", job="j", error="\x1b[31mred\u2028")
    log.close()

    said = console.getvalue()
    assert said == "2026-03-02T07:59:30Z run.finished job=j error=\\u001b[31mred\\u2028\n"
    assert os.linesep in said


def test_a_batch_is_written_when_it_ends_in_the_order_of_its_events(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "scheduler.log"
    log = SchedulerLog(path, clock)

    with log.batch():
        log.event("run.started", run=1)
        with log.batch():
            log.event("run.started", run=2)
        inside = path.read_bytes()
        log.event("run.started", run=3)

    assert inside == b""
    assert [line["run"] for line in lines_of(path)] == [1, 2, 3]


@pytest.mark.parametrize("many", [0, 1, 2, logs.SOME_LINES, 2 * logs.SOME_LINES + 1])
def test_an_event_told_many_times_at_once_leaves_the_lines_and_the_words_it_leaves_one_by_one(
    tmp_path: Path, clock: FakeClock, many: int
) -> None:
    class Unsayable:
        def __str__(self) -> str:
            raise ValueError("no")

    strange: list[Any] = ["100 %s", NOON, float("nan"), "x" * events.LINE_MOST_BYTES, Unsayable(), None]
    each = [{"run": number, "error": strange[number % 6]} for number in range(many)]
    heard = io.StringIO(), io.StringIO()

    at_once = SchedulerLog(tmp_path / "at_once", clock, heard[0])
    at_once.events("run.finished", each)
    singly = SchedulerLog(tmp_path / "singly", clock, heard[1])
    with singly.batch():
        for facts in each:
            singly.event("run.finished", **facts)

    assert (tmp_path / "at_once").read_bytes() == (tmp_path / "singly").read_bytes()
    assert heard[0].getvalue() == heard[1].getvalue()
    assert len(lines_of(tmp_path / "at_once")) == many


def test_facts_that_lack_what_the_first_of_them_has_are_told_by_themselves(tmp_path: Path, clock: FakeClock) -> None:
    log = SchedulerLog(tmp_path / "log", clock)

    log.events("run.finished", [{"run": 1, "error": "e"}, {"run": 2}])

    assert [(line["run"], line.get("error")) for line in lines_of(tmp_path / "log")] == [(1, "e"), (2, None)]


def test_a_batch_is_written_even_when_its_pass_fails(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "scheduler.log"
    log = SchedulerLog(path, clock)

    def one_pass() -> None:
        with log.batch():
            log.event("run.started", run=1)
            raise LeaseLost("another one leads")

    with pytest.raises(LeaseLost):
        one_pass()
    log.event("run.started", run=2)

    assert [line["run"] for line in lines_of(path)] == [1, 2]


def test_a_huge_batch_does_not_wait_whole_in_memory_and_still_rotates(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "ROTATE_AT_BYTES", 3_000)
    monkeypatch.setattr(logs, "BATCH_MOST_BYTES", 1_000)
    path = tmp_path / "scheduler.log"
    log = SchedulerLog(path, clock)

    with log.batch():
        for number in range(100):
            log.event("run.finished", run=number)
        inside = path.stat().st_size
    log.close()

    packed = sorted(tmp_path.glob("scheduler.*.log.gz"), key=lambda file: file.stat().st_mtime_ns)
    text = b"".join(gzip.decompress(file.read_bytes()) for file in packed) + path.read_bytes()
    assert inside > 0
    assert packed
    assert sorted(json.loads(line)["run"] for line in text.splitlines()) == list(range(100))


def test_a_kill_inside_a_batch_loses_its_lines_and_no_other_I21(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.log"
    script = f"""
import os, pathlib
from echopilot_jobs.logs import SchedulerLog
from echopilot_jobs.testing import FakeClock
log = SchedulerLog(pathlib.Path({str(path)!r}), FakeClock())
log.event("run.started", run=1)
with log.batch():
    log.event("run.started", run=2)
    os._exit(9)
"""

    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)

    assert ended.returncode == 9
    assert [line["run"] for line in lines_of(path)] == [1]


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """The kernel takes a write up to *size* and refuses the rest, as a disk does that fills up in the middle of one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("many", [3, 300], ids=["smaller than the buffers", "larger than the buffers"])
def test_a_disk_that_fills_up_inside_a_batch_tears_no_line_and_every_lost_one_is_counted_I21_I22_F29(
    tmp_path: Path, clock: FakeClock, many: int
) -> None:
    size = len(encode("run.started", {"run": 100_000}, clock.now())) + 1
    for fits in (0, 1, size - 1, size, size + 1, 2 * size, (many - 1) * size + 5, many * size - 1):
        path = tmp_path / f"scheduler-{fits}.log"
        log = SchedulerLog(path, clock)

        with no_file_longer_than(fits), log.batch():
            for number in range(many):
                log.event("run.started", run=100_000 + number)
        after_the_batch = path.read_bytes()
        log.event("run.finished", run=7)
        log.close()

        lines = lines_of(path)
        kept = fits // size
        assert after_the_batch.count(b"\n") * size == len(after_the_batch) == kept * size
        assert [line["run"] for line in lines[:kept]] == [100_000 + number for number in range(kept)]
        assert [(line["event"], line.get("run"), line.get("count")) for line in lines[kept:]] == [
            ("run.finished", 7, None),
            ("log.lost", None, many - kept),
        ]


def test_a_failed_rotation_loses_one_write_and_counts_it_I22(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "ROTATE_AT_BYTES", 300)
    path = tmp_path / "scheduler.log"
    log = SchedulerLog(path, clock)
    log.event("run.started", run=1)

    def refuse(*_: object) -> None:
        raise OSError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        with log.batch():
            for number in range(2, 7):
                log.event("run.started", run=number)
    log.event("run.finished", run=7)
    log.close()

    text = b"".join(gzip.decompress(file.read_bytes()) for file in tmp_path.glob("*.gz")) + path.read_bytes()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line.get("run") for line in lines if line["event"] != "log.lost"} == {1, 7}
    assert [line["count"] for line in lines if line["event"] == "log.lost"] == [5]


def test_many_events_at_once_are_one_line_on_the_console_and_all_in_the_file(tmp_path: Path, clock: FakeClock) -> None:
    console = io.StringIO()
    log = SchedulerLog(tmp_path / "scheduler.log", clock, console=console)

    with log.batch():
        for number in range(40):
            log.event("run.started", run=number)
        log.event("tick", tick=1, next={})
        for number in range(20):
            log.event("run.finished", run=number)
    log.event("run.finished", run=99)

    assert console.getvalue().splitlines() == [
        '{"event":"tick","tick":1,"next":{}}',
        "61 events at once: 40 run.started, 20 run.finished, 1 tick",
        "2026-03-02T07:59:30Z run.finished run=99",
    ]
    assert len(lines_of(tmp_path / "scheduler.log")) == 62


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no words")


ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize("value", [Unspeakable(), 10**5000, ENDLESS], ids=["its text raises", "too long", "endless"])
def test_a_value_nobody_can_write_down_costs_its_line_only_the_facts_I22(value: object) -> None:
    back = json.loads(encode("run.finished", {"job": "j", "result": value}, NOON))

    assert (back["event"], back["ts"]) == ("run.finished", "2026-03-02T12:00:00Z")
    assert back["unreadable"] in {"RuntimeError", "ValueError", "RecursionError"}


def test_a_fake_log_needs_only_the_method_event() -> None:
    class Heard(Log):
        def __init__(self) -> None:
            self.names: list[str] = []

        def event(self, name: str, **_facts: Any) -> None:
            self.names.append(name)

    heard = Heard()
    with heard.batch():
        heard.event("run.started")

    assert heard.names == ["run.started"]
