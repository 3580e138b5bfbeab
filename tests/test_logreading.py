"""Log files read as one, from the end and as they grow."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs import logreading
from echopilot_jobs.logreading import CUT, LINE_MOST, Follower, Keep, Parts, highest_run, last_event
from echopilot_jobs.logs import cut_torn_line


def everything(_line: bytes) -> bool:
    return True


def told(current: Path, most: int = 1_000_000, *how: Keep) -> list[bytes]:
    with Parts(current) as parts:
        return parts.last_lines(most, *(how or (everything,)))


@pytest.mark.parametrize(
    ("lines", "last"),
    [
        ([], None),
        (["08:00:09Z ledger.unreachable"], None),
        (["08:00:10.250Z ledger.unreachable"], "ledger.unreachable"),
        (["08:00:11Z ledger.unreachable", "08:00:12Z run.finished"], "ledger.unreachable"),
        (["08:00:11Z ledger.unreachable", "08:00:12Z ledger.reachable"], "ledger.reachable"),
        (["08:00:09Z ledger.unreachable", "08:00:12Z run.finished"], None),
    ],
)
def test_the_last_event_of_a_few_is_found_no_further_back_than_asked(
    tmp_path: Path, lines: list[str], last: str | None
) -> None:
    said = [line.split() for line in lines]
    current = tmp_path / "scheduler.log"
    current.write_text("".join(f'{{"ts":"2026-03-02T{at}","event":"{event}","job":"x"}}\n' for at, event in said))

    since = datetime(2026, 3, 2, 8, 0, 10, 900_000, tzinfo=UTC)

    assert last_event(current, ("ledger.unreachable", "ledger.reachable"), since) == last


def test_a_log_that_is_not_there_told_no_event(tmp_path: Path) -> None:
    assert last_event(tmp_path / "logs" / "scheduler.log", ("startup",), datetime(2026, 3, 2, tzinfo=UTC)) is None


def names(current: Path) -> list[str]:
    with Parts(current) as parts:
        return [path.name for path in parts.paths]


def test_parts_are_in_their_true_order_whoever_rotated_them(tmp_path: Path) -> None:
    made = [
        "scheduler.log",
        "scheduler.2026-03-02_08-00-00_000001.log.gz",
        "scheduler.2026-03-01_08-00-00_000001.log.gz",
        "web.log",
        "web.log.1",
        "web.log.2",
        "web.log.10",
        "web.log.lock",
    ]
    for name in made:
        (tmp_path / name).touch()

    assert names(tmp_path / "scheduler.log") == made[:3]
    assert names(tmp_path / "web.log") == made[3:7]
    assert names(tmp_path / "nothing.log") == []


def test_the_newest_lines_come_from_as_many_parts_as_it_takes(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"5\n6\n")
    (tmp_path / "a.2026-03-02_x.log.gz").write_bytes(gzip.compress(b"3\n4\n"))
    (tmp_path / "a.2026-03-01_x.log.gz").write_bytes(gzip.compress(b"1\n2\n"))
    log = tmp_path / "a.log"

    assert told(log, 3) == [b"4", b"5", b"6"]
    assert told(log) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert told(log, 2, lambda line: int(line) % 2 == 0) == [b"4", b"6"]
    assert told(log, 99, everything, lambda line: line == b"2") == [b"3", b"4", b"5", b"6"]


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"?")), max_size=60), st.integers(1, 30))
def test_backwards_is_forwards_turned_round_whatever_the_blocks(lines: list[bytes], block: int) -> None:
    path = Path(f"/dev/shm/echopilot-lines-{os.getpid()}")
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    kept, logreading.BLOCK = logreading.BLOCK, block
    try:
        assert told(path) == lines
    finally:
        logreading.BLOCK = kept
        path.unlink()


def test_a_line_still_being_written_is_not_told_yet_and_a_torn_part_as_far_as_it_goes_F32(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"whole\nhalf")
    packed = gzip.compress(b"".join(b"line %d\n" % n for n in range(50_000)))
    (tmp_path / "a.2026-03-01_x.log.gz").write_bytes(packed[: len(packed) // 2])

    found = told(tmp_path / "a.log")

    assert found[-1] == b"whole"
    assert found[0] == b"line 0"
    assert 100 < len(found) < 50_000


def test_a_huge_line_is_cut_and_its_neighbours_are_there_I14(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"before\n" + b"x" * (3 * LINE_MOST) + b"\nafter\n")

    before, huge, after = told(tmp_path / "a.log")

    assert (before, after) == (b"before", b"after")
    assert len(huge) <= LINE_MOST + len(CUT)


@pytest.mark.parametrize("packs", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("every", [1, 3, 20], ids=lambda every: f"a-rotation-every-{every}-lines")
def test_what_is_added_is_followed_through_any_rotations_with_nothing_twice_or_left_out(
    tmp_path: Path, packs: bool, every: int
) -> None:
    path, got = tmp_path / "a.log", list[int]()
    path.write_bytes(b"old\n")
    follower = Follower(path)
    for number in range(300):
        with path.open("ab") as file:
            file.write(b"%d\n" % number)
        if number % every == 0:
            rotate_by_moment(path, number, packs=packs)
        if number % 7 == 0:
            got += map(int, follower)
    got += map(int, follower)
    follower.close()

    assert got == list(range(300))


def rotate_by_moment(path: Path, number: int, *, packs: bool) -> None:
    """As loguru does it."""
    away = path.with_name(f"a.2026-03-02_{number:06}.log")
    path.rename(away)
    if packs:
        Path(f"{away}.gz").write_bytes(gzip.compress(away.read_bytes()))
        away.unlink()
    path.touch()


def test_numbered_parts_may_move_on_as_they_are_followed_and_the_oldest_fall_away(tmp_path: Path) -> None:
    path, got = tmp_path / "web.log", list[int]()
    path.write_bytes(b"old\n")
    follower = Follower(path)
    for number in range(200):
        with path.open("ab") as file:
            file.write(b"%d\n" % number)
        for place in (4, 3, 2, 1, 0):  # as supervisord does it
            here = tmp_path / f"web.log.{place}" if place else path
            if here.exists():
                here.rename(tmp_path / f"web.log.{place + 1}")
        path.touch()
        if number % 4 == 0:
            got += map(int, follower)
    got += map(int, follower)
    follower.close()

    assert got == list(range(200))


def test_a_log_that_was_deleted_and_begun_anew_brings_nothing_old_back(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"1\n")
    rotate_by_moment(path, 1, packs=True)
    path.write_bytes(b"2\n")
    follower = Follower(path)

    path.unlink()
    path.write_bytes(b"3\n")
    got = list(follower)
    follower.close()

    assert got == [b"3"]


def test_a_torn_line_that_the_next_start_cuts_off_is_followed_as_if_it_had_never_been_F32(tmp_path: Path) -> None:
    path, got = tmp_path / "a.log", list[bytes]()
    path.write_bytes(b"old\n" * 50)
    follower = Follower(path)
    for torn in (b"1\nto", b"2\n" + b"torn" * LINE_MOST, b"3\nt"):
        with path.open("ab") as file:
            file.write(torn)
        got += follower
        cut_torn_line(path)
        if torn != b"3\nt":
            got += follower
        with path.open("ab") as file:
            file.write(b"after\n")
        got += follower
    follower.close()

    assert got == [b"1", b"after", b"2", b"after", b"3", b"after"]


@pytest.mark.parametrize("cut_at", range(12))
def test_between_the_newest_lines_and_the_following_nothing_is_twice_or_left_out(tmp_path: Path, cut_at: int) -> None:
    path, text = tmp_path / "a.log", b"".join(b"%d\n" % n for n in range(6))
    path.write_bytes(text[:cut_at])

    with Parts(path) as parts:
        with path.open("ab") as file:  # somebody writes between our opening, our following and our reading
            file.write(text[cut_at:])
        follower = Follower(path, parts)
        rotate_by_moment(path, 1, packs=True)
        newest = parts.last_lines(99, everything)
    rest = list(follower)
    follower.close()

    assert [*newest, *rest] == text.split()


def test_a_part_that_is_being_compressed_or_was_when_a_kill_came_is_told_once_F32(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"3\n")
    (tmp_path / "a.2026-03-02_x.log").write_bytes(b"1\n2\n")
    (tmp_path / "a.2026-03-02_x.log.gz").write_bytes(gzip.compress(b"1\n2\n")[:15])

    assert told(tmp_path / "a.log") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("at", [0, 5, 12, 200, -6])
def test_a_damaged_part_is_read_as_far_as_it_goes_and_its_neighbours_are_there_F32(tmp_path: Path, at: int) -> None:
    packed = bytearray(gzip.compress(b"".join(b"line %d\n" % (n * 7919) for n in range(900))))
    packed[at] ^= 0xFF
    (tmp_path / "a.2026-03-02_x.log.gz").write_bytes(packed)
    (tmp_path / "a.2026-03-01_x.log.gz").write_bytes(gzip.compress(b"before\n"))
    (tmp_path / "a.log").write_bytes(b"after\n")

    found = told(tmp_path / "a.log")

    assert (found[0], found[-1]) == (b"before", b"after")


def test_parts_are_ordered_by_what_they_begin_with_when_the_zone_of_their_names_was_changed(tmp_path: Path) -> None:
    moments = {"a.2026-03-02_23-00-00_1.log": "2026-03-02T06", "a.2026-03-02_09-00-00_1.log": "2026-03-02T09"}
    for name, moment in moments.items():
        (tmp_path / name).write_text(f'{{"event":"tick"}}\n{{"ts":"{moment}:00:00.000Z","event":"startup"}}\n')
    (tmp_path / "a.log").touch()

    assert names(tmp_path / "a.log") == ["a.log", "a.2026-03-02_09-00-00_1.log", "a.2026-03-02_23-00-00_1.log"]


def test_one_rotation_between_two_looks_loses_nothing(tmp_path: Path) -> None:
    path, got = tmp_path / "a.log", list[bytes]()
    path.touch()
    follower = Follower(path)
    for number in range(100):
        with path.open("ab") as file:
            file.write(b"%d\n%d" % (2 * number, 2 * number + 1))  # the second line is torn for now
        got += follower
        with path.open("ab") as file:
            file.write(b"\n")
        path.rename(tmp_path / f"a.{number}.log")
        path.touch()
    got += follower
    follower.close()

    assert [int(line) for line in got] == list(range(200))


def test_a_log_that_is_emptied_or_not_there_yet_is_followed_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    follower = Follower(path)
    assert list(follower) == []

    path.write_bytes(b"one\ntwo\n")
    first = list(follower)
    path.write_bytes(b"3\n")
    second = list(follower) + list(follower)
    follower.close()

    assert (first, second) == ([b"one", b"two"], [b"3"])


def test_the_highest_run_the_log_names_is_no_word_of_a_run_itself_I10(tmp_path: Path) -> None:
    log = tmp_path / "scheduler.log"
    lines = [
        ("09:00:00", "run.finished", {"run": 7}),
        ("10:00:00", "slot.claimed", {"run": 12}),
        ("10:00:05", "run.finished", {"run": 11}),
        ("10:00:06", "run.said", {"run": 11, "fields": {"event": "slot.claimed", "run": 999}}),
        ("10:00:07", "run.started", {"run": "13"}),
        ("10:00:08", "run.started", {"run": 10**30}),
    ]
    log.write_text(
        "".join(
            f'{{"ts":"2026-03-02T{at}.000Z","event":"{name}",{json.dumps(facts)[1:]}\n' for at, name, facts in lines
        )
        + '{"ts":"2026-03-02T10:00:09.000Z","event":"slot.claimed","run":1'
    )

    assert highest_run(log) == 12
    assert highest_run(log, datetime(2026, 3, 2, 10, 0, 1, tzinfo=UTC)) == 11
    assert highest_run(log, datetime(2026, 3, 2, 11, tzinfo=UTC)) == 0
    assert highest_run(tmp_path / "nothing.log") == 0
