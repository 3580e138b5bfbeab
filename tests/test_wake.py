"""Whoever queues a run can wake the scheduler, and nobody can hang on it."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from echopilot_jobs.wake import Waiter, nudge

FOR_EVER = 60.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scheduler.wake"


@pytest.fixture
def waiter(path: Path) -> Iterator[Waiter]:
    waiter = Waiter(path)
    yield waiter
    waiter.close()


@pytest.mark.parametrize(
    "make", [lambda path: None, os.mkfifo, Path.touch], ids=["nothing", "unread fifo", "plain file"]
)
def test_nudging_without_a_scheduler_is_harmless(path: Path, make) -> None:  # type: ignore[no-untyped-def]
    make(path)

    assert nudge(path) in {False, path.is_file()}


def test_a_nudge_before_or_during_the_wait_ends_it(path: Path, waiter: Waiter) -> None:
    assert nudge(path)
    waiter.wait(FOR_EVER)

    threading.Timer(0.1, nudge, [path]).start()
    waiter.wait(FOR_EVER)


def test_a_signal_ends_the_wait_even_if_it_came_first(waiter: Waiter) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: seen.append(number))

    os.kill(os.getpid(), signal.SIGUSR1)
    waiter.wait(FOR_EVER)

    signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]


def test_a_flood_of_nudges_blocks_nobody_and_is_swallowed_at_once(path: Path, waiter: Waiter) -> None:
    assert all(nudge(path) for _ in range(70_000))
    waiter.ring()

    waiter.wait(FOR_EVER)
    waiter.wait(0)  # nothing is left: a wait of nothing returns by time, not by data

    assert nudge(path)


def test_only_the_owner_may_wake_it(path: Path, waiter: Waiter) -> None:
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_who_rings_after_the_end_rings_nowhere(path: Path) -> None:
    """The number of a closed descriptor may be another file's."""
    waiter = Waiter(path)
    waiter.close()
    reader, writer = os.pipe()

    waiter.ring()

    os.close(writer)
    assert os.read(reader, 10) == b""
    os.close(reader)
