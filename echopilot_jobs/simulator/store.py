"""The disk under the real ledger: every statement is a step at which the process may die or the disk refuse.

`Disk.connector` stands between the ledger and its connections: each statement is reported, before it runs, to the process
that runs it; a COMMIT reports twice, so that "reached the disk" and "returned" can be torn apart. What a power loss leaves
follows from what SQLite was told: under `synchronous=FULL` everything whose commit returned, under less only a prefix.
"""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

from echopilot_jobs.ledger.connection import Connector, connect
from echopilot_jobs.ledger.statements import spellings, statements
from echopilot_jobs.simulator.world import INSTANT, World

WORDS = {
    "full": "database or disk is full",
    "eio": "disk I/O error",
    "busy": "database is locked",
}
WRITE = re.compile(r"\s*(?:insert(?: or \w+)? into|update|delete from|create|alter|drop)\s+(\w+)", re.IGNORECASE)
BUSY_SECONDS = 5.0
UNSYNCED_MOST = 20  # how many commits an operating system may hold back


class Stepping(Protocol):
    """Whoever runs statements: asked before each step, it may raise `Killed` or name a trouble of `WORDS`."""

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        ...

    @property
    def owner(self) -> str:
        """Who it is."""
        ...

    @property
    def held_inside(self) -> bool:
        """Whether it is frozen in the middle of a step."""
        ...

    def step(self, label: str) -> str | None:
        """Pass one step boundary; the trouble that meets this step, if any."""
        ...


@cache
def _names() -> dict[str, str]:
    return {text: name for name, each in statements().items() for text in spellings(each)}


@cache
def label_of(sql: str) -> str:
    """The name a statement has in `queries.sql`, else its first word."""
    return _names().get(sql) or sql.split(None, 1)[0].lower().rstrip(";")


@cache
def _written(sql: str) -> str | None:
    """The table a statement writes to."""
    found = WRITE.match(sql)
    return found[1].lower() if found else None


class Disk:
    """One ledger file and what is wrong with the disk it is on."""

    def __init__(self, path: Path, world: World) -> None:
        self.path = path
        self.trouble: str | None = None
        self.watch_power = False  # whether states a power loss may bring back are kept
        self.commits = 0
        self.last_commit_in_flight_at: float | None = None
        self.on_commit: Callable[[str, set[str]], None] = lambda _writer, _tables: None
        self._world = world
        self._dice = random.Random(world.dice.random())
        self._open: list[SimConnection] = []
        self._unsynced: list[bytes] = []
        self._in_flight: bytes | None = None

    def connector(self, process: Stepping) -> Connector:
        """How *process* gets its connections: by the product's rules, and with every statement watched."""

        def connect_watched(path: Path | None, *, create: bool) -> sqlite3.Connection:
            process.step("connect")
            found = SimConnection(connect(path, create=create), self, process)
            self._open.append(found)
            return cast(sqlite3.Connection, found)

        return connect_watched

    def let_go(self, process: Stepping) -> None:
        """What the system does for a killed process: its open transactions end. Nothing is closed in order."""
        for connection in self._open:
            if connection.process is process:
                connection.undo()

    @property
    def is_held(self) -> bool:
        """Whether a frozen process sits on the write lock."""
        return any(each.process.held_inside and each.holds_lock for each in self._open)

    def close_all(self) -> None:
        """End every connection of this history."""
        for connection in self._open:
            connection.really_close()
        self._open.clear()

    def lose_power(self) -> None:
        """Every process is gone and the file is what the platter has."""
        left = [*self._unsynced, *([] if self._in_flight is None else [self._in_flight]), self.image()]
        kept = self._dice.choice(left)
        self.close_all()
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(kept)
        self._unsynced, self._in_flight = [], None

    def image(self) -> bytes:
        """The committed state, as a file's bytes."""
        if not self.path.exists() or not self.path.stat().st_size:
            return b""
        reader = sqlite3.connect(self.path)
        try:
            return reader.serialize()
        finally:
            reader.close()

    def refuse(self, connection: SimConnection, trouble: str) -> None:
        """Raise what SQLite would. After some errors it has rolled the transaction back by itself."""
        if trouble == "busy":
            self._world.spend(BUSY_SECONDS)
        elif connection.in_transaction and self._dice.random() < 0.5:
            connection.undo()
        raise sqlite3.OperationalError(WORDS[trouble])

    def meets(self, label: str, *, writes: bool) -> str | None:
        """The standing trouble a statement runs into: a full disk shows where bytes go, a lock where a write begins."""
        if self.trouble == "full":
            return "full" if writes and (label == "commit" or self._dice.random() < 0.1) else None
        if self.trouble == "busy":
            return "busy" if label == "begin" else None
        return self.trouble

    def commit(self, connection: SimConnection, run: Callable[[], Any]) -> Any:
        """Run a COMMIT and keep the books of what a power loss may undo."""
        before = self.image() if self.watch_power else None
        done = run()
        self._world.spend(INSTANT)
        self.commits += 1
        self._in_flight, self.last_commit_in_flight_at = before, self._world.true
        if connection.wrote:
            self.on_commit(connection.process.owner, connection.wrote)
        trouble = connection.process.step("committed")
        self._in_flight = self.last_commit_in_flight_at = None
        if before is not None:
            synced = connection.synchronous() >= 2
            self._unsynced = [] if synced else [*self._unsynced[-UNSYNCED_MOST:], before]
        if trouble:  # it reached the disk, and nobody is told so
            raise sqlite3.OperationalError(WORDS[trouble])
        return done


class SimConnection:
    """Stands before a real connection, so that every statement is a step of its process."""

    def __init__(self, real: sqlite3.Connection, disk: Disk, process: Stepping) -> None:
        self.process = process
        self.wrote: set[str] = set()  # the tables this transaction has written to
        self.closed = False
        self._real = real
        self._disk = disk
        real.execute("pragma busy_timeout = 0").close()  # waiting for a lock is virtual: see `Disk.refuse`

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql.startswith("pragma busy_timeout"):
            return self._real.execute("select 1")
        label = label_of(sql)
        if label == "commit":
            self._pass(label, writes=bool(self.wrote))
            done: sqlite3.Cursor = self._disk.commit(self, lambda: self._real.execute(sql))
            return done
        if label == "begin":
            self.wrote = set()
        elif table := _written(sql):
            self.wrote.add(table)
        if label != "rollback":
            self._pass(label, writes=_written(sql) is not None)
        return self._real.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        self.wrote.add(_written(sql) or "")
        self._pass(label_of(sql), writes=True)
        return self._real.executemany(sql, parameters)

    def _pass(self, label: str, *, writes: bool) -> None:
        trouble = self.process.step(label) or self._disk.meets(label, writes=writes)
        if trouble:
            self._disk.refuse(self, trouble)

    @property
    def in_transaction(self) -> bool:
        """As ever; but a dead process has nothing left to roll back."""
        return self.process.alive and not self.closed and self._real.in_transaction

    @property
    def holds_lock(self) -> bool:
        """Whether a transaction is open, whoever lives."""
        return not self.closed and self._real.in_transaction

    def synchronous(self) -> int:
        """What this connection asked SQLite to do at a commit: 2 is FULL."""
        return int(self._real.execute("pragma synchronous").fetchone()[0])

    def undo(self) -> None:
        """Roll back without asking anybody."""
        if not self.closed and self._real.in_transaction:
            self._real.execute("rollback")

    def close(self) -> None:
        """In order, as only a living process can."""
        if self.process.alive:
            self.really_close()

    def really_close(self) -> None:
        """Close without asking anybody."""
        if not self.closed:
            self.closed = True
            self._real.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
