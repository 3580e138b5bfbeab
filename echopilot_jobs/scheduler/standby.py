"""What a scheduler waits for before it may lead: that its folder lets it in, and that nobody else is its scheduler."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from typing import TypeVar

from echopilot_jobs.access import obstacle
from echopilot_jobs.processes import Owner, is_frozen
from echopilot_jobs.scheduler.lock import PlannerLock
from echopilot_jobs.scheduler.stopwish import StopWish
from echopilot_jobs.settings import Settings

LOOK_SECONDS = 1.0

Opened = TypeVar("Opened")


def open_lock(settings: Settings) -> PlannerLock:
    """The folder's lock, not taken yet. Raises `OSError`."""
    settings.var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return PlannerLock(settings.var_dir / "scheduler.lock")


def once_possible(make: Callable[[], Opened], stop: StopWish) -> Opened | None:
    """What *make* opens in `var/`, however long something is in its way; each obstacle is said once. None when asked to stop.

    Ending would bring nothing but the same line from the next process, and in the end none that tries.
    """
    told = ""
    while not stop.asked:
        try:
            return make()
        except OSError as error:
            if error.filename is None:
                raise
            if (words := obstacle(error)) != told:
                print(f"waiting: {words}", flush=True)  # noqa: T201 - the log's one writer may be another process
                told = words
        with contextlib.suppress(InterruptedError):
            signal.sigtimedwait([], LOOK_SECONDS)
    return None


def stand_by(lock: PlannerLock, owner: str, stop: StopWish) -> bool:
    """Wait for the lock; False when asked to stop meanwhile. Only a second stack on one folder ever waits here.

    A leader that is frozen keeps its lock, and what its runs hold: taking it away would let two work at once. So it is told.
    """
    told = ""
    while not stop.asked:
        if lock.take(owner):
            return True
        if (words := _leader_words(lock.holder)) != told:
            # Not into scheduler.log: the leader is its only writer.
            print(f"standby: {words}", flush=True)  # noqa: T201
            told = words
        with contextlib.suppress(InterruptedError):
            signal.sigtimedwait([], LOOK_SECONDS)
    return False


def _leader_words(holder: str) -> str:
    """Who keeps a standby waiting, by the text in the lock, and what helps if that one is frozen."""
    words = f"'{holder}' is the scheduler of this folder"
    with contextlib.suppress(ValueError):
        if is_frozen(pid := Owner.parse(holder).pid):
            return f"{words}, and it is frozen: `kill -CONT {pid}` wakes it, `kill -KILL {pid}` lets this one take over"
    return words
