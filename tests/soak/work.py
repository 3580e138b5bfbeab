"""What the soak's jobs do, inside their own processes: leave a mark outside the ledger, and sometimes behave badly.

Light on imports, because a dozen of these start every second.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import SystemClock, to_ms

FOLDER = "ECHOPILOT_SOAK"  # in the environment of everything a soak starts: its folder
LEDGER = "project/var/ledger.sqlite3"
RECORD_BYTES = 1024  # of a line of effects; a page is four of them


def main() -> int:
    """Carry out the job named in the arguments, as a command."""
    return COMMANDS[sys.argv[1]]()


# -- python jobs


def quick(_context: object) -> str:
    """A small effect."""
    return str(_effect(0.05))


def slow(_context: object) -> str:
    """Longer than its interval."""
    return str(_effect(2.6))


def lasting(_context: object) -> str:
    """Outlives every drain."""
    return str(_effect(25.0))


def hurried(_context: object) -> str:
    """Longer than its interval, and cancelled by the next."""
    return str(_effect(3.0))


def failing(_context: object) -> str:
    """An effect, then an exception."""
    _effect(0.05)
    raise RuntimeError("this job always fails")


def witness(_context: object) -> str:
    """An effect that says what another process finds in the ledger before it: the claim must be durable by then."""
    return str(_effect(0.05, seen=_row_in_ledger()))


# -- commands


def note() -> int:
    """A small effect."""
    return _effect(0.05)


def crowd() -> int:
    """Two of these may run at a time."""
    return _effect(1.7, places=2)


def line() -> int:
    """A short wait among its like."""
    return _effect(0.4)


def again() -> int:
    """Fails the first time, may be repeated."""
    _effect(0.05)
    return 1 if os.environ["ECHOPILOT_ATTEMPT"] == "1" else 0


def stubborn() -> int:
    """Ignores what asks it to leave."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return _effect(60.0)


def family() -> int:
    """Leaves two processes behind: one in a session of its own, one whose parents are gone; both ignore TERM."""
    begin(places=1)
    for generations in (1, 2):
        _leave_behind(generations)
    _work(2.5)
    write("end")
    return 0


def _leave_behind(generations: int) -> None:
    if os.fork():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    for _ in range(generations - 1):
        if os.fork():
            os._exit(0)
    while True:
        signal.pause()


# -- effects


def _effect(seconds: float, *, places: int = 1, seen: str | None = None) -> int:
    begin(places=places, seen=seen)
    _work(seconds)
    write("end")
    return 0


def begin(*, places: int, seen: str | None = None) -> None:
    """The effect itself: one line, and whether another process of the same job lives."""
    alone = _take_place(places)
    facts = {} if alone else {"met": _others()}
    write("begin", alone=alone, seen=seen, **facts)


def _take_place(places: int) -> bool:
    """Hold one of the job's places for as long as this process or any it starts lives: the kernel counts, not we."""
    for place in range(places):
        path = _folder() / "places" / f"{os.environ['ECHOPILOT_JOB']}.{place}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            os.set_inheritable(descriptor, True)
            return True
    return False


def _others() -> list[str]:
    """The marks of other living processes of this job: evidence for the verdict."""
    from echopilot_jobs import processes

    own = os.environ["ECHOPILOT_MARK"]
    found = []
    for pid in processes.marked("ECHOPILOT_JOB", os.environ["ECHOPILOT_JOB"]):
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        mark = next((item.partition("=")[2] for item in environ if item.startswith("ECHOPILOT_MARK=")), "")
        if mark != own and f"{FOLDER}={_folder()}" in environ:
            found.append(f"pid {pid} mark {mark}")
    return found


def write(do: str, **facts: Any) -> None:
    """Append one line in one write, and see that it reaches the disk.

    A kill cuts a write off between two pages of the file. Records of one length, of which a page holds a whole number, lie
    in one page each: a line is there whole or not at all.
    """
    clock, environ = SystemClock(), os.environ
    record = {
        "do": do,
        "job": environ["ECHOPILOT_JOB"],
        "run": int(environ["ECHOPILOT_RUN_ID"]),
        "attempt": int(environ["ECHOPILOT_ATTEMPT"]),
        "slot": environ["ECHOPILOT_SLOT_AT"] or None,
        "mark": environ["ECHOPILOT_MARK"],
        "pid": os.getpid(),
        "at": to_ms(clock.now()),
        "monotonic": clock.monotonic(),
        **facts,
    }
    descriptor = os.open(_folder() / "effects.ndjson", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    line = json.dumps(record).encode()
    os.write(descriptor, line.ljust(RECORD_BYTES * (len(line) // RECORD_BYTES + 1) - 1) + b"\n")
    os.fsync(descriptor)
    os.close(descriptor)


def _row_in_ledger() -> str:
    """State, attempt and owner of this run, as the ledger has them now."""
    question = "select state, attempt, owner from runs left join stints on stints.id = stint_id where runs.id = ?"
    with closing(sqlite3.connect(_folder() / LEDGER, timeout=20)) as db:
        row = db.execute(question, (int(os.environ["ECHOPILOT_RUN_ID"]),)).fetchone()
    return f"{row[2]}/{row[0]}/{row[1]}" if row else "nothing"


def _folder() -> Path:
    return Path(os.environ[FOLDER])


def _work(seconds: float) -> None:
    select.select([], [], [], seconds)


COMMANDS = {
    "note": note,
    "crowd": crowd,
    "line": line,
    "again": again,
    "stubborn": stubborn,
    "family": family,
}

if __name__ == "__main__":
    sys.exit(main())
