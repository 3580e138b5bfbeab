"""`bin/test` runs every test, whichever way it divides them, and says so when one fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from echopilot_jobs.stack import quality

FAKE = """#!/bin/sh
echo "$* at $(nice)" >> "$(dirname "$0")/calls"
case "$*" in *--ignore*) exit {others} ;; *) echo played; exit {played} ;; esac
"""


def tools(folder: Path, *, others: int = 0, played: int = 0) -> Path:
    """A folder whose `pytest` notes how it was called and ends as wanted."""
    (folder / "pytest").write_text(FAKE.format(others=others, played=played))
    (folder / "pytest").chmod(0o755)
    return folder


def called(folder: Path) -> list[list[str]]:
    return sorted(line.split() for line in (folder / "calls").read_text().splitlines())


@pytest.mark.process
def test_without_arguments_the_simulators_tests_run_beside_all_others_and_give_way(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    code = quality._pytest(tools(tmp_path), [])

    others, played = called(tmp_path)
    assert code == 0
    assert others[:-2] == ["--ignore=tests/simulator"]
    assert played[-3] == "tests/simulator"
    assert int(played[-1]) == min(int(others[-1]) + 10, 19)
    assert capfdbinary.readouterr().out.endswith(b"played\n")


@pytest.mark.process
@pytest.mark.parametrize(("others", "played"), [(1, 0), (0, 1), (1, 1), (5, 2)])
def test_a_failure_in_either_part_is_the_failure_of_the_whole(tmp_path: Path, others: int, played: int) -> None:
    assert quality._pytest(tools(tmp_path, others=others, played=played), []) == (others or played)


@pytest.mark.process
def test_arguments_go_to_one_pytest_as_they_are(tmp_path: Path) -> None:
    assert quality._pytest(tools(tmp_path), ["tests/web", "-x"]) == 0

    (only,) = called(tmp_path)
    assert only[:-2] == ["tests/web", "-x"]


def test_what_is_played_beside_the_others_is_there() -> None:
    assert list((quality.ROOT / quality.PLAYED).glob("test_*.py"))
