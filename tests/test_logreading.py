"""Log files read as one, from the end and as they grow."""

from __future__ import annotations

import gzip
import os
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs import logreading
from echopilot_jobs.logreading import CUT, LINE_MOST, Follower, last_lines, parts


def everything(_line: bytes) -> bool:
    return True


def test_parts_are_in_their_true_order_whoever_rotated_them(tmp_path: Path) -> None:
    names = [
        "scheduler.log",
        "scheduler.2026-03-02_08-00-00_000001.log.gz",
        "scheduler.2026-03-01_08-00-00_000001.log.gz",
        "web.log",
        "web.log.1",
        "web.log.2",
        "web.log.10",
        "web.log.lock",
    ]
    for name in names:
        (tmp_path / name).touch()

    assert [path.name for path in parts(tmp_path / "scheduler.log")] == names[:3]
    assert [path.name for path in parts(tmp_path / "web.log")] == names[3:7]
    assert parts(tmp_path / "nothing.log") == []


def test_the_newest_lines_come_from_as_many_parts_as_it_takes(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"5\n6\n")
    (tmp_path / "a.2026-03-02_x.log.gz").write_bytes(gzip.compress(b"3\n4\n"))
    (tmp_path / "a.2026-03-01_x.log.gz").write_bytes(gzip.compress(b"1\n2\n"))
    files = parts(tmp_path / "a.log")

    assert last_lines(files, 3, everything) == [b"4", b"5", b"6"]
    assert last_lines(files, 99, everything) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert last_lines(files, 2, lambda line: int(line) % 2 == 0) == [b"4", b"6"]
    assert last_lines(files, 99, everything, lambda line: line == b"2") == [b"3", b"4", b"5", b"6"]


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"?")), max_size=60), st.integers(1, 30))
def test_backwards_is_forwards_turned_round_whatever_the_blocks(lines: list[bytes], block: int) -> None:
    path = Path(f"/dev/shm/echopilot-lines-{os.getpid()}")
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    kept, logreading.BLOCK = logreading.BLOCK, block
    try:
        assert last_lines([path], 1000, everything) == lines
    finally:
        logreading.BLOCK = kept
        path.unlink()


def test_a_line_still_being_written_is_not_told_yet_and_a_torn_part_as_far_as_it_goes_F32(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"whole\nhalf")
    packed = gzip.compress(b"".join(b"line %d\n" % n for n in range(50_000)))
    (tmp_path / "a.2026-03-01_x.log.gz").write_bytes(packed[: len(packed) // 2])

    found = last_lines(parts(tmp_path / "a.log"), 100_000, everything)

    assert found[-1] == b"whole"
    assert found[0] == b"line 0"
    assert 100 < len(found) < 50_000


def test_a_huge_line_is_cut_and_its_neighbours_are_there_I14(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"before\n" + b"x" * (3 * LINE_MOST) + b"\nafter\n")

    before, huge, after = last_lines([tmp_path / "a.log"], 9, everything)

    assert (before, after) == (b"before", b"after")
    assert len(huge) <= LINE_MOST + len(CUT)


def test_what_is_added_is_followed_through_rotations_with_nothing_twice_or_left_out(tmp_path: Path) -> None:
    path, got = tmp_path / "a.log", list[bytes]()
    path.write_bytes(b"old\n")
    follower = Follower(path)
    for number in range(300):
        with path.open("ab") as file:
            file.write(b"%d\n" % number)
        if number % 7 == 3:
            path.rename(tmp_path / f"a.{number}.log")
            with path.open("ab") as file:
                file.write(b"")
        if number % 5 == 0:
            got += follower
    got += follower
    follower.close()

    # More than one rotation between two looks loses a whole file to any follower; one never does.
    numbers = [int(line) for line in got]
    assert numbers == sorted(set(numbers))
    assert all(late - early <= 8 for early, late in pairwise(numbers))
    assert numbers[-1] == 299


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
