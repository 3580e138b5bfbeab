"""When a changed jobs file is ready to be judged: at rest, or whole by construction (F65, F66)."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from echopilot_jobs.definitions.sheet import read_sheet
from echopilot_jobs.definitions.watching import PATIENCE_SECONDS, SETTLED_SECONDS, Watch

STEP = 0.1


class Eye:
    """A watch, its file and the time, which passes only here."""

    def __init__(self, folder: Path) -> None:
        self.file, self.module = folder / "jobs.toml", folder / "mine.py"
        self.now = 100.0
        self.watch = Watch(self.file)
        self._saves = 0

    def write(self, text: str) -> None:
        """Write in place, as a careless editor does."""
        self._saves += 1
        self.file.write_text(text)
        os.utime(self.file, ns=(self._saves, self._saves))

    def replace(self, text: str) -> None:
        """Write a new file and rename it, as a careful editor does."""
        draft = self.file.with_name("draft")
        draft.write_text(text)
        draft.replace(self.file)

    def look(self) -> bool:
        self.now += STEP
        return self.watch.is_due(self.now)

    def looks(self, seconds: float) -> list[bool]:
        return [self.look() for _ in range(round(seconds / STEP))]

    def judge(self) -> None:
        before = self.watch.stamps()
        self.watch.judged(read_sheet(self.file).digest, frozenset({self.module}), before)


@pytest.fixture
def eye(tmp_path: Path) -> Eye:
    made = Eye(tmp_path)
    made.write("one")
    made.judge()
    return made


def test_nothing_new_is_never_due(eye: Eye) -> None:
    assert not any(eye.looks(5))


def test_a_saved_file_is_due_once_it_has_come_to_rest(eye: Eye) -> None:
    eye.look()
    eye.write("two")

    found = eye.looks(SETTLED_SECONDS + 2 * STEP)

    assert found == [False, False, False, False, True]


def test_a_file_that_is_touched_or_rewritten_as_it_was_is_not_judged_again_F66(eye: Eye) -> None:
    found = []
    for _ in range(100):
        eye.write("one")
        found.append(eye.look())

    assert not any(found)


def test_a_file_that_grows_byte_by_byte_is_waited_for_however_long_that_takes_F65(eye: Eye) -> None:
    text = '[jobs.a]\nevery = "60s"\n' * 10
    while_written = []
    for length in range(len(text)):
        eye.write(text[:length])
        while_written.append(eye.look())

    at_rest = eye.looks(SETTLED_SECONDS + STEP)

    assert not any(while_written)
    assert at_rest[-1]


def test_a_storm_of_whole_files_is_judged_every_two_seconds_at_most_F66(eye: Eye) -> None:
    times = []
    for number in range(100):
        eye.replace(f"version {number}")
        if eye.look():
            times.append(eye.now)
            eye.judge()

    apart = [later - earlier for earlier, later in pairwise(times)]
    assert 3 <= len(times) <= 5
    assert all(PATIENCE_SECONDS <= each <= PATIENCE_SECONDS + 3 * STEP for each in apart)


@pytest.mark.parametrize("change", ["made", "changed", "removed"])
def test_a_change_of_a_module_it_depends_on_is_due_too(eye: Eye, change: str) -> None:
    if change != "made":
        eye.module.write_text("x = 1\n")
        eye.judge()
    eye.look()

    eye.module.unlink() if change == "removed" else eye.module.write_text("x = 22\n")

    assert any(eye.looks(1))


def test_what_may_be_done_with_a_file_it_depends_on_is_a_change_too(eye: Eye) -> None:
    """What a message asks for, `chmod +x`, has to end its refusal."""
    eye.module.write_text("#!/bin/sh")
    eye.module.chmod(0o644)
    eye.judge()
    assert not any(eye.looks(2))

    eye.module.chmod(0o755)

    assert any(eye.looks(2))


def test_a_removed_file_is_due_and_its_return_as_it_was_is_not(eye: Eye) -> None:
    eye.file.unlink()
    gone = any(eye.looks(1))
    eye.write("one")
    back = any(eye.looks(1))

    assert (gone, back) == (True, False)


def test_what_changes_while_it_is_judged_is_judged_again(eye: Eye) -> None:
    eye.write("two")
    eye.looks(1)
    before, digest = eye.watch.stamps(), read_sheet(eye.file).digest
    eye.write("three")

    eye.watch.judged(digest, frozenset({eye.module}), before)

    assert any(eye.looks(1))


def test_output_that_a_job_writes_into_a_folder_is_no_change(eye: Eye, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    eye.watch.judged(read_sheet(eye.file).digest, frozenset({folder}), {})
    eye.look()

    (folder / "output.txt").write_text("much")

    assert not any(eye.looks(1))
