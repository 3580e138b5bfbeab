"""Migrates copies of a ledger and is killed before the first, second… statement: `python migrate_driver.py BUILD LEDGER`.

Prints for every death, and for the one time it got through, the version that was found afterwards. The processes that die
are forked here, where no thread is.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.connection import connect, migrate
from echopilot_jobs.ledger.inspection import Depth, inspect


def main() -> None:
    """Ends when a migration got through."""
    build, path = Path(sys.argv[1]), Path(sys.argv[2])
    wanted = runs_in(build)
    status = step = -1
    while status:
        step += 1
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        shutil.copy(build, path)
        child = os.fork()
        if not child:
            migrate_until(step + 1, path)
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL), status
        with closing(sqlite3.connect(path)) as db:
            print(db.execute("pragma user_version").fetchone()[0])
        SqliteLedger(path).close()
        assert inspect(path, Depth.FULL).is_sound
        assert runs_in(path) == wanted


def migrate_until(deadly: int, path: Path) -> None:
    """In the child: never returns."""
    db = connect(path, create=True)
    seen = 0

    def count(_statement: str) -> None:
        nonlocal seen
        seen += 1
        if seen == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    db.set_trace_callback(count)
    migrate(db)
    os._exit(0)


def runs_in(path: Path) -> int:
    """How many runs the ledger holds; none where it has no such table yet."""
    with closing(sqlite3.connect(path)) as db:
        if not db.execute("select 1 from sqlite_schema where name = 'runs'").fetchone():
            return 0
        return int(db.execute("select count(*) from runs").fetchone()[0])


if __name__ == "__main__":
    main()
