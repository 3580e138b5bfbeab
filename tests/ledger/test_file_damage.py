"""A log torn by a power loss costs its last transactions at most; a migration killed anywhere leaves the old or the new."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from keepkit import HERE, add_runs, commit_run, insert, new_ledger, opened, python, run_ids

from echopilot_jobs.ledger.connection import connect, transaction
from echopilot_jobs.ledger.inspection import Depth, inspect
from echopilot_jobs.ledger.statements import migrations, split

SECTOR, BLOCK = 512, 4096
HEAD, FRAME = 32, 24 + 4096  # of SQLite's log: its header, and a page with the frame's own
CHECKPOINTED = 30


@dataclass(frozen=True)
class Torn:
    """A ledger at the moment of a power loss. `ends` tells for every run in the log where its commit ends there."""

    file: bytes
    log: bytes
    ends: dict[int, int]

    def surely(self, offset: int) -> int:
        """The newest run whose every byte lies before *offset*."""
        return max((run for run, end in self.ends.items() if end <= offset), default=CHECKPOINTED)


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> Torn:
    """Thirty runs in the file, 25 in the log, and behind those what an earlier, longer log left."""
    path = tmp_path_factory.mktemp("torn") / "ledger.sqlite3"
    new_ledger(path)
    log = Path(f"{path}-wal")
    with opened(path) as db:
        for _ in range(CHECKPOINTED):
            commit_run(db)
        db.execute("pragma wal_checkpoint(restart)").fetchone()
        ends, before = {}, log.read_bytes()
        for _ in range(25):
            run = commit_run(db)
            now = log.read_bytes()
            ends[run] = max(
                end for end in range(HEAD, len(now) + 1, FRAME) if now[end - FRAME : end] != before[end - FRAME : end]
            )
            before = now
        made = Torn(path.read_bytes(), before, ends)
    assert list(ends) == list(range(CHECKPOINTED + 1, CHECKPOINTED + 26))
    assert len(before) > max(ends.values()) + 10 * BLOCK, "no older frames behind the newest"
    return made


def opened_again(torn: Torn, log: bytes, path: Path) -> int:
    """The newest run of the ledger as the next start finds it; proves that those before it are all there."""
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(torn.file)
    Path(f"{path}-wal").write_bytes(log)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:  # so that the last close writes nothing
        ids = [row[0] for row in db.execute("select id from runs order by id")]
        beats = {row[0] for row in db.execute("select beat_at from stints")}
    assert ids == list(range(1, len(ids) + 1)), "a hole"
    assert beats == {len(ids)}, "half a transaction"
    return len(ids)


def check(torn: Torn, path: Path, ways: Iterator[tuple[int, bytes]], least: int) -> None:
    """Each way of damage, given with the offset of its first bad byte, loses nothing before it."""
    tried = 0
    for offset, log in ways:
        newest = opened_again(torn, log, path)
        assert newest >= torn.surely(offset), f"damage at {offset} lost run {newest + 1}"
        if tried % 20 == 0:
            assert inspect(path, Depth.FULL).is_sound
            assert len(run_ids(path)) == newest
        tried += 1
    assert tried >= least


def test_an_undamaged_log_loses_nothing_I9(torn: Torn, tmp_path: Path) -> None:
    assert opened_again(torn, torn.log, tmp_path / "l") == CHECKPOINTED + 25


def test_a_log_cut_at_any_sector_loses_a_suffix_only_I9_F14(torn: Torn, tmp_path: Path) -> None:
    cuts = range(0, max(torn.ends.values()) + BLOCK, SECTOR)

    check(torn, tmp_path / "l", ((cut, torn.log[:cut]) for cut in cuts), least=300)


def test_a_log_cut_there_keeps_exactly_what_was_whole_I9_F14(torn: Torn, tmp_path: Path) -> None:
    for end in torn.ends.values():
        assert opened_again(torn, torn.log[:end], tmp_path / "l") == torn.surely(end)
        assert opened_again(torn, torn.log[: end - 1], tmp_path / "l") == torn.surely(end - 1) == torn.surely(end) - 1


def test_a_block_that_was_never_written_loses_a_suffix_only_I9_F14(torn: Torn, tmp_path: Path) -> None:
    ways = (
        (at, torn.log[:at] + bytes(BLOCK) + torn.log[at + BLOCK :]) for at in range(0, max(torn.ends.values()), BLOCK)
    )

    check(torn, tmp_path / "l", ways, least=40)


def test_a_sector_of_garbage_loses_a_suffix_only_I9_F14(torn: Torn, tmp_path: Path) -> None:
    chance = random.Random(14)

    def ways() -> Iterator[tuple[int, bytes]]:
        for _ in range(150):
            at = chance.randrange(len(torn.log) // SECTOR) * SECTOR
            yield at, torn.log[:at] + chance.randbytes(SECTOR) + torn.log[at + SECTOR :]

    check(torn, tmp_path / "l", ways(), least=150)


def test_sectors_written_in_any_order_lose_a_suffix_only_I9_F14(torn: Torn, tmp_path: Path) -> None:
    """Of the last twelve transactions any sectors may have reached the disk, any not."""
    chance = random.Random(15)
    start = torn.ends[CHECKPOINTED + 13]

    def ways() -> Iterator[tuple[int, bytes]]:
        for _ in range(100):
            log, first = bytearray(torn.log), len(torn.log)
            for at in range(start + SECTOR - start % SECTOR, max(torn.ends.values()), SECTOR):
                if chance.random() < 0.1:
                    log[at : at + SECTOR] = bytes(SECTOR)
                    first = min(first, at)
            yield first, bytes(log)

    check(torn, tmp_path / "l", ways(), least=100)


def test_a_flipped_bit_loses_a_suffix_only_I9_F14(torn: Torn, tmp_path: Path) -> None:
    chance = random.Random(16)

    def ways() -> Iterator[tuple[int, bytes]]:
        for _ in range(100):
            log = bytearray(torn.log)
            at = chance.randrange(len(log))
            log[at] ^= 1 << chance.randrange(8)
            yield at, bytes(log)

    check(torn, tmp_path / "l", ways(), least=100)


def test_after_a_torn_log_the_ledger_goes_on_I9(torn: Torn, tmp_path: Path) -> None:
    path = tmp_path / "l"
    left = opened_again(torn, torn.log[: len(torn.log) // 4], path)

    add_runs(path, 3)

    assert run_ids(path) == list(range(1, left + 4))
    assert inspect(path, Depth.FULL).is_sound


# -- migrations


def at_version(path: Path, version: int) -> None:
    """A ledger as an earlier release left it, with some runs in it."""
    with closing(connect(path, create=True)) as db:
        with transaction(db):
            for number, script in migrations():
                if number <= version:
                    for statement in split(script):
                        db.execute(statement)
            db.execute(f"pragma user_version = {version}")
        if version:
            with transaction(db):
                job = insert(db, "jobs", name="work")
                stint = insert(db, "stints", owner="b:1:1", term=1)
                for _ in range(5):
                    insert(db, "runs", job_id=job, origin="schedule", state="succeeded", stint_id=stint)


@pytest.mark.process
@pytest.mark.parametrize("version", range(len(migrations())))
def test_a_migration_killed_at_any_statement_leaves_the_old_or_the_new_I30_F77(tmp_path: Path, version: int) -> None:
    build = tmp_path / "build"
    at_version(build, version)

    done = python(str(HERE / "migrate_driver.py"), str(build), str(tmp_path / "ledger.sqlite3"))

    assert done.returncode == 0, done.stderr
    found = [int(line) for line in done.stdout.split()]
    assert len(found) > 5  # so many deaths, and one that got through
    assert set(found) == {version, migrations()[-1][0]}
    assert found == sorted(found)
