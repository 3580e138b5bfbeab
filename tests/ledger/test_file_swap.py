"""One file in another's place: whenever the process dies, the next start understands, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from keepkit import HERE, NOW, ROOT, STAMP, add_runs, commit_run, copy_files, files, new_ledger, opened, run_ids

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.identity import Continuation, identity_of, write_mark
from echopilot_jobs.ledger.inspection import Depth, inspect
from echopilot_jobs.ledger.keeping import make_ready
from echopilot_jobs.ledger.swap import exchange, part, set_aside, settle


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of ten runs whose scheduler was killed: the last five are in its log alone."""
    made, lived = tmp_path / "var" / "ledger.sqlite3", tmp_path / "lived.sqlite3"
    new_ledger(lived, runs=5)
    made.parent.mkdir()
    with opened(lived) as db:
        for _ in range(5):
            commit_run(db)
        copy_files(lived, made)
        known = identity_of(db)
    assert known
    write_mark(made, known, NOW)
    return made


def test_a_ledger_set_aside_keeps_its_log_and_can_be_opened_there_I10(path: Path) -> None:
    kept = set_aside(path, NOW)

    assert kept == path.with_name(f"ledger.sqlite3.damaged-{STAMP}")
    assert not path.exists()
    assert run_ids(kept) == list(range(1, 11))
    assert not settle(path)


def test_setting_aside_twice_in_one_second_overwrites_nothing_I10(path: Path) -> None:
    set_aside(path, NOW)
    path.write_text("second")
    second = set_aside(path, NOW)
    Path(f"{path}-wal").write_text("third, a log alone")
    third = set_aside(path, NOW)

    assert second
    assert third
    assert (second.name, third.name) == (f"ledger.sqlite3.damaged-{STAMP}-2", f"ledger.sqlite3.damaged-{STAMP}-3")
    assert second.read_text() == "second"
    assert Path(f"{third}-wal").read_text() == "third, a log alone"


def test_where_nothing_is_nothing_is_set_aside(tmp_path: Path) -> None:
    assert set_aside(tmp_path / "ledger.sqlite3", NOW) is None
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_parted_from_its_log_is_another_file_of_the_same_bytes_F20(path: Path) -> None:
    log, file, inode = Path(f"{path}-wal").read_bytes(), path.read_bytes(), path.stat().st_ino

    kept = part(path, NOW)

    assert kept == path.with_name(f"ledger.sqlite3.stale-{STAMP}")
    assert Path(f"{kept}-wal").read_bytes() == log
    assert (kept.stat().st_ino, kept.read_bytes()) == (inode, file)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (file, 0o600)
    assert run_ids(path) == list(range(1, 6))


def test_an_exchange_moves_the_former_log_along_F20(path: Path) -> None:
    incoming = path.with_name("incoming")
    new_ledger(incoming, runs=2)

    kept = exchange(path, incoming, NOW, "before")

    assert kept
    assert run_ids(kept) == list(range(1, 11))
    assert run_ids(path) == [1, 2]
    assert not incoming.exists()


def test_an_exchange_into_an_empty_seat_sets_nothing_aside(tmp_path: Path) -> None:
    incoming, path = tmp_path / "incoming", tmp_path / "ledger.sqlite3"
    new_ledger(incoming, runs=2)

    assert exchange(path, incoming, NOW, "before") is None
    assert run_ids(path) == [1, 2]


def test_files_that_cannot_be_moved_are_said_and_stay(path: Path) -> None:
    path.with_name("ledger.sqlite3.moving.json").mkdir()
    before = path.read_bytes()

    with pytest.raises(LedgerUnavailable, match=r"the files of 'ledger.sqlite3' cannot be moved"):
        set_aside(path, NOW)

    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"aside": 1}', "null"])
def test_a_plan_that_cannot_be_understood_is_not_guessed_at(path: Path, content: str) -> None:
    path.with_name("ledger.sqlite3.moving.json").write_text(content)

    with pytest.raises(LedgerUnavailable, match=r"moving.json' cannot be understood"):
        settle(path)

    assert run_ids(path) == list(range(1, 11))


def test_a_plan_that_came_back_after_a_power_loss_does_nothing_again(path: Path) -> None:
    """Its removal may not have reached the disk, and a new ledger lives there by now."""
    plan = path.with_name("ledger.sqlite3.moving.json")
    aside = set_aside(path, NOW)
    assert aside
    new_ledger(path, runs=3)
    plan.write_text(json.dumps({"aside": aside.name, "suffixes": ["-wal", "-shm", "-journal"], "arriving": []}))

    Path(f"{aside}-wal").unlink()

    with opened(path) as db:
        commit_run(db)
        assert settle(path)
        commit_run(db)

    assert run_ids(path) == [1, 2, 3, 4, 5]
    assert not plan.exists()
    assert not Path(f"{aside}-wal").exists()


def killed_at_every_step(what: str, path: Path, build: Path) -> list[set[str]]:
    """What lay there after each death, the ledger being made anew each time; ends with the step it survived."""
    path.parent.mkdir()
    with forking() as carried_out:
        return _killed_at_every_step(what, path, build, carried_out)


@contextmanager
def forking() -> Iterator[Callable[[str], int]]:
    """A process that carries out what a line says in children of its own; what became of the child."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE)))}
    command = [sys.executable, str(HERE / "swap_driver.py")]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:

        def carry_out(line: str) -> int:
            assert driver.stdin
            assert driver.stdout
            print(line, file=driver.stdin, flush=True)
            return int(driver.stdout.readline())

        yield carry_out


def _killed_at_every_step(what: str, path: Path, build: Path, carried_out: Callable[[str], int]) -> list[set[str]]:
    seen = []
    for step in range(1, 60):
        for each in path.parent.iterdir():
            each.unlink()
        copy_files(build, path)
        copy_files(build.with_name("other"), path.with_name("backup"))
        known = inspect(build, Depth.GLANCE, alone=True).identity
        assert known
        write_mark(path, known, NOW)
        status = carried_out(f"{step} {what} {path}")
        assert status in (0, signal.SIGKILL)
        seen.append(files(path))
        found = visited(path)
        next_start_understands(what, path, found)
        if status == 0:
            return seen
    raise AssertionError("it never got through")


def visited(path: Path) -> list[int]:
    """Before the next start comes a web process that was left over: it writes a request, if it finds a ledger, and dies."""
    if not path.exists():
        return []
    log = Path(f"{path}-wal")
    with opened(path) as db:
        commit_run(db)
        ids = [row[0] for row in db.execute("select id from runs order by id")]
        file, left = path.read_bytes(), log.read_bytes()
    path.write_bytes(file)
    log.write_bytes(left)
    return ids


def next_start_understands(what: str, path: Path, visitor: list[int]) -> None:
    """It finds the ten runs, and what the visitor left, in the ledger's place or under another name, and goes on."""
    ready = make_ready(path, NOW)
    everywhere = [
        run_ids(each)
        for each in path.parent.iterdir()
        if each.name.startswith(path.name) and not each.name.endswith(("-wal", "-shm", ".json"))
    ]
    assert any(ids[:10] == list(range(1, 11)) for ids in everywhere), files(path)
    assert not visitor or visitor in everywhere
    whole = list(range(1, 11))
    beginning = {"restore": [1, 2], "part": [1, 2, 3, 4, 5]}.get(what, whole)
    assert not visitor or visitor[:10] == whole or visitor[: len(beginning)] == beginning
    assert not any("restoring" in name or "moving" in name or "parting" in name for name in files(path))
    if what == "restore":
        assert ready.continuity.state is Continuation.SAME, ready.continuity.sentence
        assert run_ids(path)[:2] == [1, 2]
    with closing(SqliteLedger(path)):
        assert inspect(path).is_sound


@pytest.fixture(params=["with a log", "without a log"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What the killed process works on: ten runs, of which five are in the log or none; a copy of when there were two."""
    made, other = tmp_path / "build", tmp_path / "other"
    new_ledger(made, runs=2)
    copy_files(made, other)
    add_runs(made, 3)
    with opened(made) as db:
        for _ in range(5):
            commit_run(db)
        copy_files(made, tmp_path / "kept")
    if request.param == "with a log":
        copy_files(tmp_path / "kept", made)
    return made


@pytest.mark.process
def test_setting_aside_may_be_killed_at_any_step_I10(tmp_path: Path, build: Path) -> None:
    seen = killed_at_every_step("set_aside", tmp_path / "var" / "ledger.sqlite3", build)

    assert len(seen) >= 6
    assert f"ledger.sqlite3.damaged-{STAMP}" in seen[-1]


@pytest.mark.process
def test_a_parting_may_be_killed_at_any_step_F20(tmp_path: Path, build: Path) -> None:
    seen = killed_at_every_step("part", tmp_path / "var" / "ledger.sqlite3", build)

    assert len(seen) >= 8
    assert {"ledger.sqlite3", f"ledger.sqlite3.stale-{STAMP}"} <= seen[-1]


@pytest.mark.process
def test_a_restore_may_be_killed_at_any_step_I10(tmp_path: Path, build: Path) -> None:
    seen = killed_at_every_step("restore", tmp_path / "var" / "ledger.sqlite3", build)

    assert len(seen) >= 15
    aside = f"ledger.sqlite3.before-restore-{STAMP}"
    assert seen[-1] - {f"{aside}-wal"} == {
        "backup", "ledger.sqlite3", "ledger.sqlite3.mark.json", aside, f"{aside}.mark.json",
    }  # fmt: skip
